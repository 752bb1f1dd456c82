//! Rows of JSON as a table for people: columns by name, each as wide as it must be.

use std::io::Write;

use serde_json::Value;

use crate::commands::{Alerts, ApiToken, Command, Pki, User};
use crate::packs::Order;

/// Longest cell that is shown whole.
const MAX_CELL: usize = 80;

/// Which members of a row are shown; none is all, as `name: value` lines.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    columns: &'static [&'static str],
    /// A single member is printed bare, for scripts.
    bare: Option<&'static str>,
}

/// Rules and what may come of them.
pub const COVERED_RULES: Shape =
    Shape { columns: &["verdict", "level", "log_source", "title", "lacks"], bare: None };
/// Log sources and what may come of their rules.
pub const COVERED_SOURCES: Shape = Shape {
    columns: &["log_source", "rules", "fires", "partly", "lacks", "no_source"],
    bare: None,
};
/// Fields and how many rules lack them.
pub const LACKED_FIELDS: Shape = Shape { columns: &["field", "rules"], bare: None };
/// What arrives.
pub const ARRIVING: Shape =
    Shape { columns: &["dataset", "events", "fields", "rules", "last"], bare: None };

/// How the rows of a command are shown.
pub fn shape(command: &Command) -> Shape {
    let columns: &[&str] = match command {
        Command::Hosts { host: None } => {
            &["agent", "host", "site", "system", "os", "presence", "last_seen", "open_alerts"]
        }
        Command::Alerts(Alerts::List { .. }) => &[
            "id",
            "rule.level",
            "rule.title",
            "entity.value",
            "count",
            "host",
            "last_seen",
            "state",
        ],
        Command::Ledger { gaps: false } => {
            &["agent", "kind", "epoch", "next", "records", "missing", "last"]
        }
        Command::Ledger { gaps: true } => &[
            "agent", "kind", "number", "span", "cause", "records", "bytes", "path", "detail",
            "time",
        ],
        Command::RuleCost { .. } => {
            &["rule", "title", "tries", "matches", "nanos_per_try", "nanos_per_event"]
        }
        Command::Coverage => &["id", "name_zh", "name_en", "level", "reporting", "expected"],
        Command::User(User::List) => &["user", "role", "disabled", "password", "last_login"],
        Command::Token(ApiToken::List) => &["user", "token", "scope", "expires"],
        Command::Pki(Pki::List) => {
            &["agent.id", "agent.host", "agent.site", "agent.system", "agent.enrolled"]
        }
        _ => &[],
    };
    let bare = match command {
        Command::Pki(Pki::Token { .. }) | Command::Token(ApiToken::Add { .. }) => Some("token"),
        Command::User(User::Add { .. } | User::Invite { .. }) => Some("link"),
        _ => None,
    };
    Shape { columns, bare }
}

/// How the rows of an order about rules are shown.
pub fn order(order: &Order) -> Shape {
    let columns: &[&str] = match order {
        Order::Packs => {
            &["pack", "version", "live", "rules", "refused", "left_out", "imported", "tested"]
        }
        Order::Import(_) => &["outcome", "rule", "title", "document", "reason"],
        _ => &[],
    };
    Shape { columns, bare: None }
}

/// Prints rows. A row without the first column is no row of the table, and follows it as a whole.
pub fn print(shape: &Shape, rows: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(name) = shape.bare {
        return rows.iter().try_for_each(|row| writeln!(out, "{}", cell(row, name)));
    }
    if shape.columns.is_empty() {
        return rows.iter().try_for_each(|row| whole(row, 0, out));
    }
    let in_table = |row: &&Value| !member(row, shape.columns[0]).is_null();
    let (rows, others): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(in_table);
    if rows.is_empty() && !others.is_empty() {
        return others.into_iter().try_for_each(|row| whole(row, 0, out));
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| shape.columns.iter().map(|name| short(&cell(row, name))).collect())
        .collect();
    let widths: Vec<usize> = shape
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            cells.iter().map(|row| width(&row[at])).chain([width(name)]).max().unwrap_or(0)
        })
        .collect();
    let heads: Vec<String> = shape.columns.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&heads).chain(&cells) {
        let mut line = String::new();
        for (text, wide) in row.iter().zip(&widths) {
            line.push_str(text);
            line.extend(std::iter::repeat_n(' ', wide - width(text) + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    others.into_iter().try_for_each(|row| whole(row, 0, out))
}

/// A row of a search as one line: an event, or a series with its last point.
pub fn event(row: &Value) -> String {
    if let Some(labels) = row.get("metric") {
        let last = row.get("values").and_then(Value::as_array).and_then(|points| points.last());
        return printable(&format!("{labels} {}", last.unwrap_or(&Value::Null)));
    }
    let names = ["@timestamp", "host.name", "event.dataset"];
    let mut cells: Vec<String> = names.iter().map(|name| cell(row, name)).collect();
    let text = cell(row, "event.original");
    cells.push(if text.is_empty() { printable(&row.to_string()) } else { text });
    cells.join("  ")
}

/// What a backtest found of one rule, as a few lines: how much, when, about what, for example.
pub fn backtested(row: &Value) -> String {
    let items = |name: &str| row.get(name).and_then(Value::as_array).into_iter().flatten();
    let before = match row.get("alerts_before") {
        Some(before) => format!(" ({} before)", text(before)),
        None => String::new(),
    };
    let [change, level, alerts, matches, title, rule] =
        ["change", "level", "alerts", "matches", "title", "rule"].map(|name| cell(row, name));
    let mut lines = format!(
        "{change:<8} {level:<13} {alerts} alerts{before}, {matches} matches  {title}  [{rule}]"
    );
    if !member(row, "first").is_null() {
        let entities: Vec<String> = items("entities")
            .map(|entity| format!("{} ({})", cell(entity, "value"), cell(entity, "count")))
            .collect();
        let times = format!("{} to {}", cell(row, "first"), cell(row, "last"));
        lines.push_str(&format!("\n    {times}; {}", entities.join(", ")));
    }
    for example in items("examples") {
        let [time, host, text] = ["time", "host", "text"].map(|name| cell(example, name));
        lines.push_str(&format!("\n    {time} {host}: {text}"));
    }
    lines
}

/// How far a search has come, as one line.
pub fn progress(progress: &Value) -> String {
    let number = |name: &str| progress.get(name).and_then(Value::as_u64).unwrap_or_default();
    let extent = |name: &str| {
        let part = |of: &str| progress.pointer(&format!("/{name}/{of}")).and_then(Value::as_u64);
        let bytes = part("bytes").unwrap_or_default();
        format!("{} blocks, {bytes} bytes {name}", part("blocks").unwrap_or_default())
    };
    let extents = ["read", "skipped", "left"].map(extent).join("; ");
    let flag = |name: &str| progress.get(name).and_then(Value::as_bool).unwrap_or_default();
    let rows = format!("{} rows of {} events; {extents}", number("rows"), number("looked_at"));
    match progress.get("after").and_then(Value::as_str).filter(|_| flag("more")) {
        Some(after) => format!("{rows}; there may be more: --after '{after}'"),
        None if flag("done") => rows,
        None => format!("{rows} …"),
    }
}

/// Everything of a row, members below each other.
fn whole(value: &Value, depth: usize, out: &mut dyn Write) -> std::io::Result<()> {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => members.iter().try_for_each(|(name, value)| match value {
            Value::Object(_) | Value::Array(_) => {
                writeln!(out, "{indent}{}:", printable(name))?;
                whole(value, depth + 1, out)
            }
            value => writeln!(out, "{indent}{}: {}", printable(name), text(value)),
        }),
        Value::Array(items) => items.iter().try_for_each(|item| match item {
            Value::Object(members) => {
                let line: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{}={}", printable(name), text(value)))
                    .collect();
                writeln!(out, "{indent}- {}", line.join(" "))
            }
            item => writeln!(out, "{indent}- {}", text(item)),
        }),
        value => writeln!(out, "{indent}{}", text(value)),
    }
}

/// A member by its name, the literal name before dots.
fn cell(row: &Value, name: &str) -> String {
    text(member(row, name))
}

fn member<'a>(row: &'a Value, name: &str) -> &'a Value {
    let found =
        row.get(name).or_else(|| name.split('.').try_fold(row, |value, part| value.get(part)));
    found.unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        // JSON leaves the C1 controls as they are.
        other => printable(&other.to_string()),
    }
}

/// Without what a terminal would obey, or what would turn text round: cells hold what strangers
/// wrote.
fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '·' } else { c }).collect()
}

fn short(text: &str) -> String {
    if text.chars().count() <= MAX_CELL {
        return text.to_owned();
    }
    text.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// Columns of a terminal: Han and full-width forms take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3fffd}') { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(shape: &Shape, rows: &[Value]) -> String {
        let mut out = Vec::new();
        print(shape, rows, &mut out).expect("a Vec takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let shape = Shape { columns: &["a", "b.c"], bare: None };
        let rows = [json!({"a": "血站", "b.c": 1}), json!({"a": "x\u{1b}[2J", "b": {"c": null}})];
        assert_eq!(printed(&shape, &rows), "a      b.c\n血站   1\nx·[2J\n");
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        let evil = "\u{9b}2J\u{1b}[2J\u{202e}\n";
        let row = json!({ evil: 1, "b": { evil: evil }, "c": [{ evil: [evil] }, [evil], evil] });
        let all = printed(&Shape::default(), std::slice::from_ref(&row));
        let shape = Shape { columns: &["b", "c"], bare: None };
        let cells = printed(&shape, &[row]);
        for text in [all, cells] {
            let obeyed = text.chars().find(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}'));
            assert_eq!(obeyed, None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_row_of_the_table_follows_it() {
        let shape = Shape { columns: &["a", "b"], bare: None };
        let rows = [json!({"c": 1}), json!({"a": 1, "b": 2})];
        assert_eq!(printed(&shape, &rows), "a  b\n1  2\nc: 1\n");
        assert_eq!(printed(&shape, &rows[..1]), "c: 1\n");
    }

    #[test]
    fn a_backtested_rule_takes_a_few_lines() {
        let row = json!({
            "change": "new", "level": "high", "alerts": 1, "alerts_before": 0, "matches": 9,
            "title": "T\u{1b}", "rule": "r", "first": "F", "last": "L",
            "entities": [{"value": "a\n", "count": 9}],
            "examples": [{"time": "F", "host": "h", "text": "x\ny"}],
        });
        let expected = "new      high          1 alerts (0 before), 9 matches  T·  [r]\n    F to L; a· (9)\n    F h: x·y";
        assert_eq!(backtested(&row), expected);
    }

    #[test]
    fn without_columns_everything_is_shown() {
        let row = json!({"a": 1, "b": {"c": ["x", {"d": 2}]}});
        assert_eq!(printed(&Shape::default(), &[row]), "a: 1\nb:\n  c:\n    - x\n    - d=2\n");
    }
}

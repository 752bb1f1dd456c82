//! Audit records of databases as they leave the database: each value behind its name, as `name=value`
//! or `name: value` pairs or as one JSON object whose keys are the columns of the audit view.
//!
//! In: a record and the names that one product uses. Out: the same fields for all of them. The names
//! come from the product, the values from whoever used the database. A value in quotes ends at the quote
//! that is not doubled or escaped; one without quotes ends at the separator, so a statement without
//! quotes is only believed where it is the last value. A name that stands twice makes the record
//! ambiguous: whoever wrote the statement can write `username=SYSDBA` into it, and the one who did it is
//! then not taken from the record, only the statement is.

use std::borrow::Cow;

use super::json::{self, Scalar};
use super::out::Out;
use super::{postgresql, scan, sql};
use crate::event::names;

/// The names of one product, in lower case.
pub(crate) type Names = &'static [(&'static str, Part)];

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Time,
    User,
    Client,
    Database,
    /// What was done, in the product's words.
    Action,
    Class,
    Schema,
    Object,
    ObjectType,
    Statement,
    Parameters,
    Code,
    Message,
    /// Whether it worked.
    Result,
    Session,
    Process,
    Application,
    Host,
    Rows,
    /// Known, and of no use to anybody.
    Ignored,
}

/// Values of one record; what stands behind them is left out.
const MAX_PAIRS: usize = 64;
/// Names of a record that must be known before it is taken for one.
const MIN_KNOWN: usize = 3;
/// The parts that say who and what; they count when a name stands twice.
const SINGLE: &[Part] = &[Part::User, Part::Client, Part::Action, Part::Result, Part::Statement];
const TWICE: &str = "a name stands in the record twice: who and what it was is not taken from it";

/// Words for what worked and what did not.
const WORKED: &[&str] =
    &["y", "yes", "success", "successful", "succeed", "succeeded", "ok", "true", "t", "成功", "1"];
const FAILED: &[&str] =
    &["n", "no", "fail", "failed", "failure", "error", "false", "f", "失败", "0"];
/// Actions that are logins, by how they begin.
const LOGINS: &[&str] = &["login", "logon", "connect", "user login", "用户登录", "登录"];
/// Actions that end a session.
const LOGOUTS: &[&str] =
    &["logout", "logoff", "disconnect", "user logout", "用户登出", "登出", "退出"];

/// Reads one record.
pub(crate) fn read(text: &str, known: Names, out: &mut Out) -> Option<()> {
    let values = if text.starts_with('{') { object(text, out)? } else { pairs(text) };
    let part = |name: &str| {
        let name = name.trim_matches('"');
        known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, part)| *part)
    };
    let mut parts: Vec<(Part, &str)> = Vec::with_capacity(values.len());
    let mut twice = false;
    for (name, value) in &values {
        let Some(part) = part(name) else { continue };
        twice |= SINGLE.contains(&part) && parts.iter().any(|(seen, _)| *seen == part);
        parts.push((part, value));
    }
    if parts.len() < MIN_KNOWN {
        return None;
    }
    write(&parts, twice, out);
    Some(())
}

/// Writes the event of a record whose parts are known.
pub(crate) fn write(parts: &[(Part, &str)], twice: bool, out: &mut Out) {
    let said = |wanted: Part| {
        parts
            .iter()
            .find(|(part, value)| *part == wanted && !value.is_empty())
            .map(|(_, value)| *value)
    };
    if let Some((stamp, _)) = said(Part::Time).and_then(postgresql::stamp) {
        out.stamp(&stamp);
    }
    for (part, id) in [
        (Part::Database, names::DB_NAME),
        (Part::Class, names::HENGWEI_DB_CLASS),
        (Part::Object, names::HENGWEI_DB_OBJECT),
        (Part::ObjectType, names::HENGWEI_DB_OBJECT_TYPE),
        (Part::Schema, names::HENGWEI_DB_SCHEMA),
        (Part::Parameters, names::HENGWEI_DB_PARAMETERS),
        (Part::Message, names::ERROR_MESSAGE),
        (Part::Session, names::DB_SESSION_ID),
        (Part::Application, names::HENGWEI_DB_APPLICATION),
        (Part::Host, names::HENGWEI_DB_CLIENT_HOST),
    ] {
        if let Some(value) = said(part) {
            out.text(id, value);
        }
    }
    for (part, id) in [(Part::Process, names::PROCESS_PID), (Part::Rows, names::DB_ROWS)] {
        if let Some(value) = said(part) {
            out.digits(id, value);
        }
    }
    if twice {
        out.word(names::EVENT_CATEGORY, "database");
        out.problem(TWICE);
        // Else a statement with a name in it would be one that nobody sees.
        for (_, statement) in parts.iter().filter(|(part, _)| *part == Part::Statement) {
            sql::evidence(statement, out);
        }
        return;
    }
    let code = said(Part::Code).filter(|code| !matches!(*code, "0" | "00000"));
    if let Some(code) = code {
        out.text(names::ERROR_CODE, code);
    }
    if let Some(user) = said(Part::User) {
        out.text(names::USER_NAME, user);
    }
    if let Some(client) = said(Part::Client) {
        let bare = client.strip_prefix("::ffff:").unwrap_or(client);
        if let Some(address) = scan::address(bare) {
            out.address(names::SOURCE_IP, address);
        } else if let Some((address, port)) = scan::endpoint(bare) {
            out.address(names::SOURCE_IP, address);
            out.integer(names::SOURCE_PORT, port.into());
        } else {
            out.text(names::SOURCE_ADDRESS, client);
        }
    }
    let is = |words: &[&str], value: &str| {
        words.iter().any(|word| word.eq_ignore_ascii_case(value.trim()))
    };
    match said(Part::Result) {
        Some(result) if is(WORKED, result) => out.outcome(true),
        Some(result) if is(FAILED, result) => out.outcome(false),
        _ if code.is_some() => out.outcome(false),
        _ => {}
    }
    let action = said(Part::Action).unwrap_or_default();
    let begins = |words: &[&str]| {
        words.iter().any(|word| {
            action.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        })
    };
    if begins(LOGINS) {
        out.event("authentication", "login");
        out.word(names::DB_OPERATION, "login");
        return;
    }
    if begins(LOGOUTS) {
        out.event("database", "logout");
        out.word(names::DB_OPERATION, "logout");
        return;
    }
    out.word(names::EVENT_CATEGORY, "database");
    match (said(Part::Statement), sql::operation(action)) {
        (statement, Some(operation)) => {
            out.word(names::DB_OPERATION, operation);
            out.word(names::EVENT_ACTION, operation);
            if let Some(statement) = statement {
                out.text(names::DB_STATEMENT, statement);
            }
        }
        (Some(statement), None) => sql::statement(statement, out),
        (None, None) if !action.is_empty() => {
            out.owned(names::EVENT_ACTION, &action.to_lowercase());
        }
        (None, None) => {}
    }
    let table = said(Part::Object).or_else(|| said(Part::Statement).and_then(sql::table));
    if let Some(table) = table {
        out.text(names::DB_TABLE, table);
    }
}

/// The keys and values of one flat object; a key that stands twice comes back twice.
fn object<'a>(text: &str, out: &mut Out) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
    let mut flat = Vec::new();
    let whole = json::each(text, out, &mut |name, value, _| {
        if flat.len() < MAX_PAIRS {
            let value = match value {
                Scalar::Text(text) => text.to_owned(),
                Scalar::Integer(integer) => integer.to_string(),
                Scalar::Large(integer) => integer.to_string(),
                Scalar::Number(number) => number.to_string(),
                Scalar::Flag(flag) => flag.to_string(),
            };
            flat.push((name.to_owned().into(), value.into()));
        }
    });
    whole.then_some(flat)
}

/// `name=value` or `name: value` behind one another, values in quotes or ended by a comma, a semicolon
/// or the next name.
fn pairs(text: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while pairs.len() < MAX_PAIRS {
        rest = rest.trim_start_matches([' ', ',', ';', '\t', '|']);
        let Some(mark) = rest.find(['=', ':']) else { break };
        let name = rest[..mark].trim();
        // What stands before the first pair, such as the date of the line.
        let name = name.rsplit([' ', ',', ';', '\t', '|']).next().unwrap_or(name);
        let behind = rest[mark + 1..].trim_start_matches(' ');
        let (value, after) = value(behind);
        if !name.is_empty() {
            pairs.push((name.into(), value));
        }
        rest = after;
    }
    pairs
}

fn value(text: &str) -> (Cow<'_, str>, &str) {
    let quote = match text.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => char::from(*quote),
        Some(b'[') => ']',
        _ => {
            let end = text.find([',', ';', '\t', '|']).unwrap_or(text.len());
            // `name=value name=value`: the value ends at the blank before the next name.
            let next = text[..end].find('=').and_then(|mark| text[..mark].rfind(' '));
            let end = next.unwrap_or(end);
            return (text[..end].trim().into(), &text[end..]);
        }
    };
    let inner = &text[1..];
    let (mut from, mut doubled) = (0, false);
    loop {
        let Some(end) = inner[from..].find(quote).map(|at| from + at) else {
            return (inner.into(), "");
        };
        if quote != ']' && inner[end + 1..].starts_with(quote) {
            doubled = true;
            from = end + 2;
            continue;
        }
        let raw = &inner[..end];
        let value = if doubled {
            let quote = quote.to_string();
            raw.replace(&quote.repeat(2), &quote).into()
        } else {
            raw.into()
        };
        return (value, &inner[end + 1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_taken_apart() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = pairs(text);
            let found: Vec<_> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("a=1, b=\"x, y=\"\"2\"\"\" c='z'", &[("a", "1"), ("b", "x, y=\"2\""), ("c", "z")]);
        check("a=one b=two", &[("a", "one"), ("b", "two")]);
        check("a:1;b:[x y]", &[("a", "1"), ("b", "x y")]);
        check("a=\"open", &[("a", "open")]);
        check("=,=", &[]);
        check("", &[]);
    }
}

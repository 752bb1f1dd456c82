//! SQL as the logs of databases hold it: which operation it is, and on which table.
//!
//! A statement is written by whoever is at the other end. Nothing here judges it: it is kept whole,
//! and beside it stand the words by which it does something. Text, names in quotes and comments are
//! stepped over, so that a verb in a comment is none. Several statements in one text give several
//! operations, because what follows a semicolon is what an injection adds. Only the first
//! [`MAX_TOKENS`] are looked at; the statement is in the event in any case.

use super::out::Out;
use crate::event::names;

/// How much of a statement is looked at.
const MAX_TOKENS: usize = 256;
/// Operations of one text that are named.
const MAX_OPERATIONS: usize = 4;

/// What a statement may begin with.
const OPERATIONS: &[&str] = &[
    "select",
    "insert",
    "update",
    "delete",
    "set",
    "begin",
    "commit",
    "show",
    "call",
    "execute",
    "exec",
    "create",
    "alter",
    "drop",
    "truncate",
    "grant",
    "revoke",
    "copy",
    "merge",
    "replace",
    "rollback",
    "savepoint",
    "release",
    "start",
    "end",
    "abort",
    "do",
    "declare",
    "fetch",
    "close",
    "prepare",
    "deallocate",
    "discard",
    "explain",
    "analyze",
    "vacuum",
    "reindex",
    "cluster",
    "refresh",
    "comment",
    "lock",
    "unlock",
    "load",
    "listen",
    "unlisten",
    "notify",
    "reset",
    "move",
    "reassign",
    "security",
    "import",
    "export",
    "backup",
    "restore",
    "use",
    "describe",
    "desc",
    "rename",
    "flush",
    "kill",
    "shutdown",
    "purge",
    "install",
    "uninstall",
    "change",
    "stop",
    "xa",
    "handler",
    "optimize",
    "repair",
    "checkpoint",
    "bulk",
    "dbcc",
    "print",
    "waitfor",
    "deny",
    "reconfigure",
    "audit",
    "noaudit",
    "table",
    "values",
    "help",
    "check",
    "binlog",
    "noop",
    "connect",
    "logoff",
];

/// What a `WITH` may do beside reading.
const WRITES: &[&str] = &["insert", "update", "delete", "merge"];

/// The operation of a verb such as `SELECT`, or of a tag such as `DROP TABLE`.
pub(crate) fn operation(tag: &str) -> Option<&'static str> {
    let end = tag.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tag.len());
    let verb = &tag[..end];
    OPERATIONS.iter().find(|name| name.eq_ignore_ascii_case(verb)).copied()
}

/// A statement and what it does: `db.statement`, `db.operation`, `db.table` and `event.action`.
pub(crate) fn statement(text: &str, out: &mut Out) {
    if let Some(first) = evidence(text, out) {
        out.word(names::EVENT_ACTION, first);
    }
}

/// The same without `event.action`, for a statement beside something else that was done; its first
/// operation comes back.
pub(crate) fn evidence(text: &str, out: &mut Out) -> Option<&'static str> {
    let text = text.trim();
    out.some(names::DB_STATEMENT, text);
    let read = read(text);
    for operation in &read.operations {
        out.word(names::DB_OPERATION, operation);
    }
    if let Some(table) = read.table {
        out.some(names::DB_TABLE, table);
    }
    read.operations.first().copied()
}

/// The table that a statement names first.
pub(crate) fn table(text: &str) -> Option<&str> {
    read(text).table
}

/// What [`read`] finds.
#[derive(Debug, Default, PartialEq)]
struct Read<'a> {
    operations: Vec<&'static str>,
    /// Of the first statement.
    table: Option<&'a str>,
}

fn read(text: &str) -> Read<'_> {
    let mut read = Read::default();
    let mut fresh = true;
    // Whether the next name is the table, and of which statement we are inside.
    let (mut expects, mut verb) = (false, "");
    for token in (Tokens { rest: text, left: MAX_TOKENS }) {
        if token == ";" {
            fresh = true;
            continue;
        }
        if fresh {
            if token == "(" {
                continue;
            }
            fresh = false;
            verb = if token.eq_ignore_ascii_case("with") {
                "with"
            } else {
                operation(token).unwrap_or_default()
            };
            if verb != "with" && !verb.is_empty() {
                push(&mut read.operations, verb);
            }
            expects = matches!(verb, "update" | "truncate" | "copy" | "table");
            continue;
        }
        if verb == "with"
            && let Some(write) = WRITES.iter().find(|write| write.eq_ignore_ascii_case(token))
        {
            push(&mut read.operations, write);
            verb = write;
        }
        if read.operations.len() > 1 || read.table.is_some() {
            continue;
        }
        if expects && is_name(token) {
            if !is_filler(token) {
                read.table = Some(bare(token));
            }
        } else {
            expects = introduces(token, verb);
        }
    }
    if read.operations.is_empty() && verb == "with" {
        read.operations.push("select");
    }
    read
}

fn push(operations: &mut Vec<&'static str>, operation: &'static str) {
    if operations.len() < MAX_OPERATIONS && !operations.contains(&operation) {
        operations.push(operation);
    }
}

/// Whether a table's name follows this word of a statement of that verb.
fn introduces(token: &str, verb: &str) -> bool {
    let words: &[&str] = match verb {
        "insert" | "replace" | "merge" => &["into"],
        "create" | "alter" | "drop" | "lock" | "load" | "comment" | "rename" => &["table"],
        "grant" | "revoke" | "deny" => &["on"],
        "update" | "truncate" => &[],
        _ => &["from"],
    };
    words.iter().any(|word| word.eq_ignore_ascii_case(token))
}

/// Words between the one that announces a table and its name.
fn is_filler(token: &str) -> bool {
    ["if", "not", "exists", "only", "table", "ignore", "low_priority", "quick", "lateral"]
        .iter()
        .any(|filler| filler.eq_ignore_ascii_case(token))
}

fn is_name(token: &str) -> bool {
    token
        .chars()
        .next()
        .is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '"' | '`' | '[' | '#'))
}

/// A name without the quotes around all of it.
fn bare(name: &str) -> &str {
    for (open, close) in [('"', '"'), ('`', '`'), ('[', ']')] {
        let inner = name.strip_prefix(open).and_then(|name| name.strip_suffix(close));
        if let Some(inner) = inner
            && !inner.contains(close)
        {
            return inner;
        }
    }
    name
}

/// The names, verbs and marks of a statement; text, numbers and comments are left out.
struct Tokens<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while self.left > 0 {
            self.left -= 1;
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            match first {
                '-' if self.rest.starts_with("--") => self.skip_past("\n"),
                // What MySQL executes although it stands in a comment.
                '/' if self.rest.starts_with("/*!") => {
                    let digits = self.rest[3..].trim_start_matches(|c: char| c.is_ascii_digit());
                    self.rest = digits;
                }
                '/' if self.rest.starts_with("/*") => self.skip_past("*/"),
                '*' if self.rest.starts_with("*/") => self.rest = &self.rest[2..],
                '\'' => self.text(),
                '$' => self.dollars(),
                _ if first.is_alphabetic() || matches!(first, '_' | '"' | '`' | '[' | '#') => {
                    return Some(self.name());
                }
                _ if first.is_ascii_digit() => {
                    let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
                    self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                }
                _ => {
                    let (mark, rest) = self.rest.split_at(first.len_utf8());
                    self.rest = rest;
                    return Some(mark);
                }
            }
        }
        None
    }
}

impl<'a> Tokens<'a> {
    fn skip_past(&mut self, end: &str) {
        self.rest = self.rest.split_once(end).map_or("", |(_, rest)| rest);
    }

    /// Steps over `'…'`; a doubled quote begins the next piece of the same text.
    fn text(&mut self) {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        while at < bytes.len() && bytes[at] != b'\'' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        self.rest = self.rest.get(at + 1..).unwrap_or_default();
    }

    /// Steps over PostgreSQL's `$$ … $$` and `$body$ … $body$`, and over the `$1` of a parameter.
    fn dollars(&mut self) {
        let rest = &self.rest[1..];
        let tag = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let digits = rest.starts_with(|c: char| c.is_ascii_digit());
        if digits || !rest[tag..].starts_with('$') {
            self.rest = &rest[tag..];
            return;
        }
        let mark = &self.rest[..tag + 2];
        let inner = &self.rest[tag + 2..];
        self.rest = inner.split_once(mark).map_or("", |(_, rest)| rest);
    }

    /// A name with its schema: `public.patient`, `"public"."patient"`.
    fn name(&mut self) -> &'a str {
        let whole = self.rest;
        let mut at = 0;
        loop {
            let rest = &whole[at..];
            let len = match rest.as_bytes().first() {
                Some(b'"') => rest[1..].find('"').map(|end| end + 2),
                Some(b'`') => rest[1..].find('`').map(|end| end + 2),
                Some(b'[') => rest.find(']').map(|end| end + 1),
                _ => rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$' | '#')),
            };
            at += len.unwrap_or(rest.len());
            let Some(rest) = whole[at..].strip_prefix('.') else { break };
            if rest.starts_with('*') {
                at += 2;
                break;
            }
            if !rest.starts_with(|c: char| {
                c.is_alphanumeric() || matches!(c, '_' | '"' | '`' | '[' | '#')
            }) {
                break;
            }
            at += 1;
        }
        let (name, rest) = whole.split_at(at.max(1));
        self.rest = rest;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        let check = |text: &str, operations: &[&str], table: Option<&str>| {
            let read = read(text);
            assert_eq!((read.operations.as_slice(), read.table), (operations, table), "{text}");
        };
        check("select * from public.patient where id = 1", &["select"], Some("public.patient"));
        check("SELECT a FROM (select b from \"Visit\") x", &["select"], Some("Visit"));
        check("/* drop */ Update only bed set a = 'delete from x'", &["update"], Some("bed"));
        check("insert into `his`.`bill` values ('it''s', 1)", &["insert"], Some("`his`.`bill`"));
        check("DROP TABLE IF EXISTS patient; select 1", &["drop", "select"], Some("patient"));
        check("select 1 -- \n; drop table x", &["select", "drop"], None);
        check("select 1;/*!50000drop*/ table x", &["select", "drop"], None);
        check("copy patient to program 'gzip'", &["copy"], Some("patient"));
        check("COPY (select * from patient) to stdout", &["copy"], Some("patient"));
        check("with a as (select 1) select * from b", &["select"], Some("b"));
        check("with a as (delete from b returning *) select * from a", &["delete"], Some("b"));
        check("grant select on table patient to public", &["grant"], Some("patient"));
        check("grant all on his.* to desk", &["grant"], Some("his.*"));
        check("truncate table [dbo].[log]", &["truncate"], Some("[dbo].[log]"));
        check("do $a$ begin; delete from x; end $a$; drop table y", &["do", "drop"], None);
        check("select $1, $2 from visit", &["select"], Some("visit"));
        check("drop database his", &["drop"], None);
        check("病人 from 表", &[], Some("表"));
        for odd in [
            "",
            "'",
            "\"",
            "[",
            "/*",
            "--",
            "`",
            "select from",
            "a.",
            "$",
            "$$",
            "$a",
            "$1$",
            "\\'",
            "#.é.",
        ] {
            let _ = read(odd);
        }
    }
}

//! Audit logs: MariaDB's `server_audit` as a file and through syslog, and the JSON of MySQL Enterprise
//! Audit and Percona's audit plugin.
//!
//! `server_audit` writes `STAMP,SERVER,USER,HOST,CONNECTION,QUERY,WHAT,DATABASE,OBJECT,CODE` and quotes
//! only the statement, in which it escapes quotes. The name of the user stands bare, and with commas of
//! its own it brings columns of its own. The columns behind it say where it ends: two numbers and a word
//! of the plugin. Where that stands more than once before the statement, or the statement does not end
//! where its record does, nothing is taken from the record but that it is one.

use super::super::json::{self, Scalar};
use super::super::out::Out;
use super::super::time::{self, Stamp};
use super::super::{scan, sql};
use super::{AUDIT, source};
use crate::event::names;

/// What the plugin says was done.
const OPERATIONS: &[&str] = &[
    "QUERY",
    "CONNECT",
    "DISCONNECT",
    "FAILED_CONNECT",
    "READ",
    "WRITE",
    "CREATE",
    "ALTER",
    "DROP",
    "RENAME",
    "CHANGEUSER",
    "QUERY_DDL",
    "QUERY_DML",
    "QUERY_DCL",
    "QUERY_DML_NO_SELECT",
];
/// How far into a record its columns are looked for: a name has at most 128 characters, a host 255.
const MAX_HEAD: usize = 2_048;
const AMBIGUOUS: &str =
    "the columns of the record stand in it more than once: nothing is taken from it";

/// Whether a line may be `server_audit`'s: `20261122 09:11:36,`.
pub(super) fn looks_like(line: &str) -> bool {
    stamped(line).is_some() && columns(line).is_some()
}

/// `20261122 09:11:36,` and what follows.
fn stamped(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    if bytes.get(8) != Some(&b' ') || bytes.get(17) != Some(&b',') {
        return None;
    }
    let mut full = *b"yyyy-mm-dd hh:mm:ss";
    for (to, from) in [(0..4, 0..4), (5..7, 4..6), (8..10, 6..8), (11..19, 9..17)] {
        full.get_mut(to)?.copy_from_slice(bytes.get(from)?);
    }
    Some((time::iso(&full)?.0, line.get(18..)?))
}

/// Where `,CONNECTION,QUERY,WHAT,` stands.
struct Columns<'a> {
    /// Everything before it.
    who: &'a str,
    connection: &'a str,
    what: &'static str,
    /// Everything behind it.
    rest: &'a str,
}

/// All readings of a record; one, when it is an honest one.
fn readings(text: &str) -> Vec<Columns<'_>> {
    let head = &text[..text.floor_char_boundary(MAX_HEAD)];
    let mut found = Vec::new();
    for what in OPERATIONS {
        let mut from = 0;
        while let Some(at) = head[from..].find(what).map(|at| from + at) {
            from = at + what.len();
            let Some(rest) = text[from..].strip_prefix(',') else { continue };
            let Some(before) = text[..at].strip_suffix(',') else { continue };
            let Some((before, query)) = before.rsplit_once(',') else { continue };
            let Some((who, connection)) = before.rsplit_once(',') else { continue };
            if scan::is_digits(query) && scan::is_digits(connection) {
                found.push(Columns { who, connection, what, rest });
            }
        }
    }
    found
}

fn columns(text: &str) -> Option<Columns<'_>> {
    readings(text).into_iter().next()
}

/// Reads one record of `server_audit`. Through syslog it has neither stamp nor server.
pub(super) fn csv(text: &str, of_syslog: bool, out: &mut Out) -> Option<()> {
    let (stamp, rest) = match stamped(text) {
        Some((stamp, rest)) => (Some(stamp), rest),
        None if of_syslog => (None, text.trim_start()),
        None => return None,
    };
    let mut found = readings(rest);
    // What stands within the statement is the statement's.
    let statement_at = |columns: &Columns<'_>| quoted(columns.rest).is_some();
    let whole = found.iter().position(statement_at);
    if let Some(at) = whole {
        let limit = found.get(at).map_or(0, |columns| columns.who.len());
        found.retain(|columns| columns.who.len() <= limit);
    }
    let first = found.pop()?;
    if let Some(stamp) = &stamp {
        out.stamp(stamp);
    }
    out.dataset = Some(AUDIT);
    if !found.is_empty() {
        out.word(names::EVENT_CATEGORY, "database");
        out.problem(AMBIGUOUS);
        return Some(());
    }
    record(&first, out);
    Some(())
}

/// `DATABASE,'STATEMENT',CODE` whose statement ends where the record does.
fn quoted(rest: &str) -> Option<(&str, &str, &str)> {
    let (database, object) = rest.split_once(",'")?;
    if database.contains(',') {
        return None;
    }
    let bytes = object.as_bytes();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'\'' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    let code = object.get(at..)?.strip_prefix("',")?;
    code.trim().parse::<u32>().ok()?;
    Some((database, object.get(..at)?, code.trim()))
}

fn record(columns: &Columns<'_>, out: &mut Out) {
    out.digits(names::DB_SESSION_ID, columns.connection);
    // `SERVER,USER,HOST`, the name being all between the first and the last comma.
    let (who, host) = columns.who.rsplit_once(',').unwrap_or((columns.who, ""));
    let user = who.split_once(',').map_or(who, |(_, user)| user);
    out.some(names::USER_NAME, user);
    source(host, out);
    match columns.what {
        "CONNECT" | "FAILED_CONNECT" | "CHANGEUSER" => {
            let (database, code) = plain(columns.rest);
            out.event("authentication", "login");
            out.word(names::DB_OPERATION, "login");
            out.outcome(columns.what != "FAILED_CONNECT" && code == "0");
            out.some(names::DB_NAME, database);
            error_code(code, out);
        }
        "DISCONNECT" => {
            let (database, _) = plain(columns.rest);
            out.event("database", "logout");
            out.word(names::DB_OPERATION, "logout");
            out.some(names::DB_NAME, database);
        }
        what if what.starts_with("QUERY") => {
            out.word(names::EVENT_CATEGORY, "database");
            match quoted(columns.rest) {
                Some((database, statement, code)) => {
                    out.some(names::DB_NAME, database);
                    let clear = unescaped(statement);
                    sql::statement(clear.as_deref().unwrap_or(statement), out);
                    out.outcome(code == "0");
                    error_code(code, out);
                }
                None => out.problem("the statement does not end where its record does"),
            }
        }
        what => {
            // Which table a statement touched: `emr,patient,`.
            out.word(names::EVENT_CATEGORY, "database");
            let action = match what {
                "READ" => "table_read",
                "WRITE" => "table_write",
                "CREATE" => "table_create",
                "ALTER" => "table_alter",
                "RENAME" => "table_rename",
                _ => "table_drop",
            };
            out.word(names::EVENT_ACTION, action);
            let mut parts = columns.rest.splitn(3, ',');
            out.some(names::DB_NAME, parts.next().unwrap_or_default());
            out.some(names::DB_TABLE, parts.next().unwrap_or_default());
        }
    }
}

/// `DATABASE,,CODE`.
fn plain(rest: &str) -> (&str, &str) {
    let (before, code) = rest.rsplit_once(',').unwrap_or((rest, ""));
    let database = before.split_once(',').map_or(before, |(database, _)| database);
    (database, code.trim())
}

fn error_code(code: &str, out: &mut Out) {
    if code != "0" {
        out.some(names::ERROR_CODE, code);
    }
}

/// The statement without the plugin's escapes; None when it has none.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return None;
    }
    let mut clear = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            clear.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => clear.push('\n'),
            Some('r') => clear.push('\r'),
            Some('t') => clear.push('\t'),
            Some(other) => clear.push(other),
            None => clear.push('\\'),
        }
    }
    Some(clear)
}

/// Whether an object may be one of the audit plugins'.
pub(super) fn looks_like_json(line: &str) -> bool {
    line.starts_with("{\"audit_record\":{")
        || line.contains("\"class\":") && line.contains("\"connection_id\":")
}

/// What was seen of a record.
#[derive(Default)]
struct Seen {
    class: bool,
    login: bool,
    status: Option<i64>,
    statement: bool,
    action: bool,
    user: bool,
}

/// Reads one record in JSON. Account, login and connection say the same name in different fields; the
/// first counts.
pub(super) fn json(text: &str, out: &mut Out) -> Option<()> {
    if !looks_like_json(text) && !text.contains("\"audit_record\"") {
        return None;
    }
    let text = text.trim_end_matches(',');
    let mut seen = Seen::default();
    let whole = json::each(text, out, &mut |path, value, out| part(path, value, &mut seen, out));
    if !whole || !seen.class {
        return None;
    }
    out.dataset = Some(AUDIT);
    if let Some(status) = seen.status {
        out.outcome(status == 0);
        if status != 0 {
            out.integer(names::ERROR_CODE, status);
        }
    }
    if seen.login {
        out.event("authentication", "login");
        out.word(names::DB_OPERATION, "login");
    } else {
        out.word(names::EVENT_CATEGORY, "database");
        if !seen.statement && !seen.action {
            out.word(names::EVENT_ACTION, "audited");
        }
    }
    Some(())
}

fn part(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    let path = path.strip_prefix("audit_record.").unwrap_or(path);
    if matches!(path, "status" | "connection_data.status" | "general_data.status") {
        seen.status = seen.status.or(value.integer());
        return;
    }
    if matches!(path, "connection_id") {
        seen.class = true;
        if let Some(id) = value.integer() {
            out.integer(names::DB_SESSION_ID, id);
        }
        return;
    }
    let Some(text) = value.text().filter(|text| !text.is_empty()) else { return };
    match path {
        "timestamp" => {
            // UTC, whether it says so or not.
            if let Some((stamp, _)) = time::iso(text.as_bytes()) {
                out.stamp(&Stamp { offset_secs: stamp.offset_secs.or(Some(0)), ..stamp });
            }
        }
        "class" | "name" => {
            seen.class = true;
            seen.login |= matches!(text, "Connect" | "Change user");
            if matches!(text, "Quit") {
                seen.action = true;
                out.word(names::EVENT_ACTION, "logout");
                out.word(names::DB_OPERATION, "logout");
            }
        }
        "event" if text == "connect" || text == "change_user" => seen.login = true,
        "event" if text == "disconnect" => {
            seen.action = true;
            out.word(names::EVENT_ACTION, "logout");
            out.word(names::DB_OPERATION, "logout");
        }
        "account.user" | "login.user" | "user" | "priv_user" if !seen.user => {
            seen.user = true;
            // Percona's `user` is `his[his] @ pc7 [192.0.2.7]`.
            let name = text.split_once('[').map_or(text, |(name, _)| name);
            out.owned(names::USER_NAME, name.trim());
        }
        "login.ip" | "ip" => {
            if let Some(address) = scan::address(text) {
                out.address(names::SOURCE_IP, address);
            }
        }
        "general_data.query" | "sqltext" | "table_access_data.query" | "query_data.query"
            if !seen.statement =>
        {
            seen.statement = true;
            sql::statement(text, out);
        }
        "connection_data.db" | "db" | "table_access_data.db" => out.text(names::DB_NAME, text),
        "table_access_data.table" => out.text(names::DB_TABLE, text),
        _ => {}
    }
}

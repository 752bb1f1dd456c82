//! Logs of databases that hospital systems run on: InterSystems IRIS and Caché, and openGauss.
//!
//! ```text
//! 02/11/26-08:00:00:123 (811) 2 [Utility.Event] TEXT
//! when="2026-02-11 08:00:00.123" pid=811 level=INFO event=%System.%Login.LoginFailure text="…"
//! 2026-02-11 08:00:00.123 622ab6c7.1 his 140186462385856 [unknown] 0 dn_6001 28P01 0 [BACKEND] FATAL:  TEXT
//! ```
//!
//! IRIS writes the first form to `messages.log` (`cconsole.log` in Caché) and the second to its structured
//! log, which also has what it audits; texts in it are quoted, and a quote within is escaped. openGauss is
//! PostgreSQL's kin with more columns before the level: which ones is configured, so what matters among
//! them is told by its form, and everything of them was written by the server before the text, in which a
//! client's words stand.

use super::out::Out;
use super::{Decoder, Looks, moment, scan, time};
use crate::event::names;

pub(crate) const IRIS: Decoder = Decoder {
    name: "iris",
    datasets: &["iris"],
    programs: &["iris", "irisdb", "cache", "ccontrol"],
    paths: &["mgr/messages.log", "mgr/cconsole.log", "cconsole.log"],
    looks: Looks {
        first: b"01w",
        test: |line| line.starts_with("when=\"") || iris_head(line).is_some(),
    },
    security: false,
    decode: |line, out| iris(line.message, out).is_some(),
};

pub(crate) const GAUSSDB: Decoder = Decoder {
    name: "gaussdb",
    datasets: &["gaussdb"],
    programs: &["gaussdb"],
    paths: &["gaussdb", "opengauss", "openGauss", "pg_log/dn_"],
    looks: Looks { first: b"12", test: |line| gauss_head(line).is_some() },
    security: false,
    decode: |line, out| gaussdb(line.message, out).is_some(),
};

/// Severities of IRIS.
const SEVERITIES: &[(&str, &str)] =
    &[("-1", "debug"), ("0", "info"), ("1", "warning"), ("2", "severe"), ("3", "fatal")];

struct Head<'a> {
    stamp: time::Stamp,
    pid: &'a str,
    level: &'static str,
    said: &'a str,
}

/// `02/11/26-08:00:00:123 (811) 2 `.
fn iris_head(line: &str) -> Option<Head<'_>> {
    if line.as_bytes().get(8) != Some(&b'-') {
        return None;
    }
    let (date, rest) = moment::month_first(line)?;
    let (stamp, rest) = moment::clock(date, rest)?;
    let (pid, rest) = rest.strip_prefix(" (")?.split_once(") ")?;
    let (severity, said) = rest.split_once(' ')?;
    let (_, level) = SEVERITIES.iter().find(|(known, _)| *known == severity)?;
    let number = pid.len() <= 20 && pid.bytes().all(|byte| byte.is_ascii_digit());
    number.then_some(Head { stamp, pid, level, said })
}

fn iris(text: &str, out: &mut Out) -> Option<()> {
    if text.starts_with("when=\"") {
        return structured(text, out);
    }
    let head = iris_head(text)?;
    out.stamp(&head.stamp);
    out.digits(names::PROCESS_PID, head.pid);
    out.word(names::LOG_LEVEL, head.level);
    let (event, said) = match head.said.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((event, said)) if !event.contains(' ') => (event, said),
        _ => ("", head.said),
    };
    out.some(names::LOG_LOGGER, event);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, said);
    }
    if matches!(head.level, "severe" | "fatal") {
        out.some(names::ERROR_MESSAGE, said);
    }
    let action = match () {
        () if said.starts_with("System shutdown initiated")
            || said.starts_with("Starting shutdown") =>
        {
            "database_stopping"
        }
        () if said.starts_with("Shutdown complete") => "database_stopped",
        () if said.starts_with("System Initialized") || said.starts_with("Enabling logons") => {
            "database_started"
        }
        () => return Some(()),
    };
    out.event("database", action);
    Some(())
}

/// `when="…" pid=N level=LEVEL event=NAME text="…"` and more keys.
fn structured(line: &str, out: &mut Out) -> Option<()> {
    let mut rest = line;
    let (mut event, mut level, mut said, mut dated) = ("", "", "", false);
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => closed(quoted)?,
            None => behind.split_once(' ').unwrap_or((behind, "")),
        };
        match key.trim_start() {
            "when" => {
                let (stamp, left) = moment::read(value)?;
                dated = left.is_empty();
                out.stamp(&stamp?);
            }
            "pid" => out.digits(names::PROCESS_PID, value),
            "level" => level = value,
            "event" => event = value,
            "text" => said = value,
            "user" | "username" | "Username" => out.some(names::USER_NAME, value),
            "clientip" | "ClientIPAddress" => {
                if let Some(address) = scan::address(value) {
                    out.address(names::SOURCE_IP, address);
                }
            }
            _ => {}
        }
        rest = behind;
    }
    let level = match level {
        "INFO" => "info",
        "WARNING" => "warning",
        "SEVERE" => "severe",
        "FATAL" => "fatal",
        "DEBUG" | "DEBUG2" => "debug",
        _ => return None,
    };
    if !dated || event.is_empty() {
        return None;
    }
    out.word(names::LOG_LEVEL, level);
    out.text(names::LOG_LOGGER, event);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, said);
    }
    let (category, action, success) = match event.rsplit('.').next()? {
        "LoginFailure" => ("authentication", "login", Some(false)),
        "Login" => ("authentication", "login", Some(true)),
        "Logout" => ("authentication", "logout", None),
        "UserChange" => ("iam", "user_changed", None),
        "AuditChange" => ("configuration", "audit_changed", None),
        _ => return Some(()),
    };
    out.security = true;
    out.event(category, action);
    if let Some(success) = success {
        out.outcome(success);
    }
    Some(())
}

/// Text up to the quote that closes it, and what follows; a quote behind a backslash closes nothing.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Some((text.get(..at)?, text.get(at + 1..)?)),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// How far into a line the level of openGauss is looked for.
const MAX_PREFIX: usize = 256;
/// What the part of the server and the level look like, one after the other.
const GAUSS_LEVELS: &[(&str, &str)] = &[
    ("LOG:  ", "info"),
    ("ERROR:  ", "error"),
    ("FATAL:  ", "fatal"),
    ("WARNING:  ", "warning"),
    ("PANIC:  ", "fatal"),
    ("NOTICE:  ", "notice"),
    ("DETAIL:  ", "info"),
    ("HINT:  ", "info"),
    ("CONTEXT:  ", "info"),
    ("STATEMENT:  ", "info"),
];

struct Gauss<'a> {
    stamp: time::Stamp,
    /// The columns between the stamp and the part of the server.
    columns: &'a str,
    part: &'a str,
    word: &'static str,
    level: &'static str,
    said: &'a str,
}

/// `STAMP COLUMNS [PART] LEVEL:  TEXT`, the part in capitals.
fn gauss_head(line: &str) -> Option<Gauss<'_>> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let rest = line.get(len..)?;
    let near = rest.get(..rest.floor_char_boundary(MAX_PREFIX))?;
    let (columns, behind) = near.split_once(" [")?;
    let mut columns = columns.len();
    let mut behind = behind;
    // `[unknown]` is a column; a part is in capitals and a level follows it.
    loop {
        let (part, text) = behind.split_once("] ")?;
        let capitals = part.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let found = GAUSS_LEVELS.iter().find(|(word, _)| text.starts_with(word));
        if let Some((word, level)) = found.filter(|_| capitals && !part.is_empty()) {
            let said = rest.get(columns + 2 + part.len() + 2 + word.len()..)?;
            let columns = rest.get(..columns)?.trim();
            // PostgreSQL has no part; without columns it is some other program's line.
            return columns.contains(' ').then_some(Gauss {
                stamp,
                columns,
                part,
                word,
                level,
                said,
            });
        }
        let next = text.find(" [")?;
        columns += 2 + part.len() + 2 + next;
        behind = text.get(next + 2..)?;
    }
}

fn gaussdb(text: &str, out: &mut Out) -> Option<()> {
    let head = gauss_head(text)?;
    out.stamp(&head.stamp);
    out.word(names::LOG_LEVEL, head.level);
    out.text(names::LOG_LOGGER, head.part);
    let said = head.said.split('\n').next().unwrap_or(head.said);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, head.said);
    }
    let mut code = "";
    let mut addresses = head.columns.split(' ').filter_map(|column| {
        let shaped = column.contains(['.', ':']);
        scan::address(column).filter(|_| shaped)
    });
    let (address, second) = (addresses.next(), addresses.next());
    // A database or user may be called like an address, or like a level and its text.
    let certain = second.is_none() && !["] FATAL:  ", "] LOG:  "].iter().any(|m| said.contains(m));
    if !certain {
        out.problem("the columns can be read in two ways: no address or login is taken");
    } else if let Some(address) = address {
        out.address(names::SOURCE_IP, address);
    }
    for column in head.columns.split(' ') {
        let state = column.len() == 5
            && column.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && column.bytes().any(|byte| byte.is_ascii_digit());
        // The last one: what a client chooses stands before it.
        if state {
            code = column;
        }
    }
    if matches!(head.word, "ERROR:  " | "FATAL:  " | "PANIC:  ") {
        out.outcome(false);
        out.some(names::ERROR_MESSAGE, said);
        if code != "00000" {
            out.some(names::ERROR_CODE, code);
        }
    }
    if let Some(statement) = (head.word == "STATEMENT:  ").then_some(head.said) {
        out.text(names::DB_STATEMENT, statement);
    }
    let refused = ["28P01", "28000", "28P02"].contains(&code)
        || said.starts_with("Invalid username/password,login denied");
    if !refused || !certain || head.word != "FATAL:  " {
        out.word(names::EVENT_CATEGORY, "database");
    } else {
        out.security = true;
        out.event("authentication", "login");
        let user = said.strip_prefix("password authentication failed for user \"");
        if let Some((user, _)) = user.and_then(|rest| rest.rsplit_once('"')) {
            out.some(names::USER_NAME, user);
        }
    }
    Some(())
}

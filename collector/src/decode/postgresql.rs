//! The log of PostgreSQL and of the databases made from it (KingbaseES, openGauss), in its three forms:
//! text behind any of the usual prefixes, CSV with the columns of versions 9 to 17, and JSON. What
//! pgaudit writes into it has a dataset of its own (`postgresql/audit.rs`); what the messages say is
//! read in `postgresql/message.rs`. KingbaseES writes the same text; its `sys_log` is told by the
//! configured dataset or its path, and a line that names neither is taken for PostgreSQL's.
//!
//! ```text
//! 2026-11-22 08:00:00.123 CST [4711] his@emr LOG:  statement: drop table ward
//! 2026-11-22 08:00:00 CST [4711]: [3-1] user=his,db=emr,app=psql,client=192.0.2.4 FATAL:  …
//! 2026-11-22 08:00:00.123 CST,"his","emr",4711,"192.0.2.4:51234",…
//! {"timestamp":"2026-11-22 08:00:00.123 CST","user":"his",…
//! ```
//!
//! Whoever connects chooses the names of user, database and application before he has proved anything,
//! and the text form writes them bare in front of the severity. The user `a@b LOG:  connection
//! authorized: user=postgres` makes a line that reads like a login. Such a line has a second severity,
//! that of the refusal it really is: it is kept with the problem named, and nothing is taken from it but
//! what may be a statement, since a statement may hold a severity as well.
//! An address that stands behind names the peer chose is only believed of sessions that were let in.
//! CSV and JSON quote what the peer writes and leave no such doubt.

mod audit;
mod message;
mod structured;

use std::borrow::Cow;

use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, ISO, Line, Looks, scan, sql};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "postgresql",
    datasets: &["postgresql", "postgresql.audit"],
    programs: &["postgres", "postgresql"],
    paths: &["postgresql", "pgsql", "pg_log"],
    looks: Looks { first: &[ISO, b'{'], test: looks_like },
    security: false,
    decode,
};

pub(crate) const KINGBASE: Decoder = Decoder {
    name: "kingbase",
    datasets: &["kingbase.log", "kingbase.audit"],
    programs: &["kingbase"],
    paths: &["ingbase", "sys_log/", "sysaudit"],
    looks: Looks::NEVER,
    security: false,
    decode: decode_kingbase,
};

/// The severities as PostgreSQL writes them, in Chinese where `lc_messages` says so, and as we do.
const LEVELS: &[(&str, &str)] = &[
    ("LOG", "log"),
    ("ERROR", "error"),
    ("FATAL", FATAL),
    ("STATEMENT", STATEMENT),
    ("DETAIL", DETAIL),
    ("HINT", "hint"),
    ("CONTEXT", "context"),
    ("WARNING", "warning"),
    ("NOTICE", "notice"),
    ("INFO", "info"),
    ("PANIC", "panic"),
    ("DEBUG", "debug"),
    ("DEBUG1", "debug"),
    ("DEBUG2", "debug"),
    ("DEBUG3", "debug"),
    ("DEBUG4", "debug"),
    ("DEBUG5", "debug"),
    ("QUERY", "query"),
    ("LOCATION", "location"),
    ("日志", "log"),
    ("错误", "error"),
    ("致命错误", FATAL),
    ("严重错误", FATAL),
    ("警告", "warning"),
    ("注意", "notice"),
    ("信息", "info"),
    ("语句", STATEMENT),
    ("详细信息", DETAIL),
    ("提示", "hint"),
    ("上下文", "context"),
    ("比致命错误还过分的错误", "panic"),
];
const FATAL: &str = "fatal";
const STATEMENT: &str = "statement";
const DETAIL: &str = "detail";
/// How far into a line its severity is looked for: names have at most 63 bytes each.
const MAX_PREFIX: usize = 512;
/// Commas in front of the message of a CSV line.
const MIN_COMMAS: usize = 13;
/// What the server writes where there is no name yet.
const UNKNOWN: &str = "[unknown]";
const AMBIGUOUS: &str = "a severity stands in the line twice, in a name that the peer chose or in a statement: nothing but a statement is taken from it";
const NAMED_TWICE: &str =
    "a name of the prefix stands in the line twice: user and address are not taken";

/// Under which names the events are filed.
#[derive(Debug, Clone, Copy)]
struct Datasets {
    log: &'static str,
    audit: &'static str,
}

const POSTGRESQL: Datasets = Datasets { log: "postgresql", audit: "postgresql.audit" };
const OF_KINGBASE: Datasets = Datasets { log: "kingbase.log", audit: "kingbase.audit" };

/// Whether a line may be one: a date, a zone in letters and a bracket or a comma, or the keys of JSON.
fn looks_like(line: &str) -> bool {
    if line.starts_with('{') {
        return line.starts_with("{\"timestamp\":\"") && line.contains("\"error_severity\":\"");
    }
    let Some((_, rest)) = stamp(line) else { return false };
    rest.starts_with(" [") && severity(rest).is_some_and(|found| found.strict)
        || rest.starts_with(':') && severity(rest).is_some_and(|found| found.strict)
        || rest.starts_with(',')
            && rest.bytes().filter(|byte| *byte == b',').take(MIN_COMMAS).count() == MIN_COMMAS
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, POSTGRESQL, line.program.is_some(), out).is_some()
}

fn decode_kingbase(line: &Line<'_>, out: &mut Out) -> bool {
    let audit = line.configured == OF_KINGBASE.audit || line.path.contains("sysaudit");
    audit && audit::kingbase(line.message, out).is_some()
        || read(line.message, OF_KINGBASE, line.program.is_some(), out).is_some()
}

fn read(text: &str, datasets: Datasets, carried: bool, out: &mut Out) -> Option<()> {
    if text.starts_with('{') {
        return structured::json(text, datasets, out);
    }
    // syslog: `[5-1] …`, the session's line and which piece of it this is.
    let (text, piece) = match pieces(text) {
        Some((piece, rest)) if carried => (rest, piece),
        _ => (text, 1),
    };
    if piece > 1 {
        out.word(names::EVENT_CATEGORY, "database");
        out.word(names::EVENT_ACTION, "continued");
        out.dataset = Some(datasets.log);
        return Some(());
    }
    match stamp(text) {
        Some((stamp, rest)) if rest.starts_with(',') => {
            structured::csv(&stamp, rest, datasets, out)
        }
        Some((stamp, rest)) => {
            out.stamp(&stamp);
            plain(rest, carried, datasets, out)
        }
        None if carried => plain(text, carried, datasets, out),
        None => {
            let (stamp, rest) = stamp(text.strip_prefix("< ")?)?;
            out.stamp(&stamp);
            plain(rest, carried, datasets, out)
        }
    }
}

/// `[5-1] `, as the server counts the pieces of what it tells syslog.
fn pieces(text: &str) -> Option<(u32, &str)> {
    let (counters, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let (line, piece) = counters.split_once('-')?;
    line.parse::<u64>().ok()?;
    Some((piece.parse().ok()?, rest))
}

/// `2026-11-22 08:00:00.123 CST` and what follows. The names of zones mean different things in
/// different countries: only UTC is believed, for all others the sender's zone stands.
pub(super) fn stamp(text: &str) -> Option<(Stamp, &str)> {
    let (stamp, len) = time::iso(text.as_bytes())?;
    let rest = text.get(len..)?;
    let zone = rest.strip_prefix(' ').unwrap_or(rest);
    let end = zone.bytes().take_while(u8::is_ascii_uppercase).count();
    let (zone, behind) = zone.split_at(end);
    match zone {
        "UTC" | "GMT" => Some((Stamp { offset_secs: Some(0), ..stamp }, behind)),
        _ if (2..=5).contains(&end) => Some((stamp, behind)),
        // `+08`, as servers write zones without letters.
        _ if behind.starts_with(['+', '-']) => {
            let hours: i32 = behind.get(..3)?.parse().ok()?;
            (hours.abs() < 24).then_some(())?;
            Some((Stamp { offset_secs: Some(hours * 3_600), ..stamp }, behind.get(3..)?))
        }
        _ => Some((stamp, rest)),
    }
}

/// Where a severity stands.
struct Severity {
    /// Where its word begins.
    start: usize,
    /// Where the message begins.
    message: usize,
    level: &'static str,
    /// Whether two blanks follow, as the server writes them.
    strict: bool,
}

/// The first severity of a text.
fn severity(text: &str) -> Option<Severity> {
    let first_line = text.split_once('\n').map_or(text, |(line, _)| line);
    let within = &first_line[..first_line.floor_char_boundary(MAX_PREFIX)];
    let mut from = 0;
    while let Some(colon) = within[from..].find(": ").map(|at| from + at) {
        let before = &within[..colon];
        if let Some((word, level)) = LEVELS.iter().rev().find(|(word, _)| before.ends_with(word)) {
            let start = colon - word.len();
            let apart = before[..start]
                .chars()
                .next_back()
                .is_none_or(|c| matches!(c, ' ' | ':' | ']' | '>' | ','));
            if apart {
                let strict = text[colon..].starts_with(":  ");
                let message = colon + if strict { 3 } else { 2 };
                return Some(Severity { start, message, level, strict });
            }
        }
        from = colon + 2;
    }
    None
}

/// `[PID] USER@DATABASE LEVEL:  MESSAGE`, the prefix being what the administrator made of it.
fn plain(text: &str, carried: bool, datasets: Datasets, out: &mut Out) -> Option<()> {
    let found = severity(text)?;
    let (prefix, said) = (text.get(..found.start)?, text.get(found.message..)?);
    out.dataset = Some(datasets.log);
    let again =
        severity(said).filter(|again| again.strict && matches!(again.level, FATAL | DETAIL));
    if again.is_some() && found.level != FATAL && found.level != DETAIL {
        let pid = prefix.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let Some((pid, _)) = pid.filter(|_| !carried) {
            out.digits(names::PROCESS_PID, pid);
        }
        out.word(names::EVENT_CATEGORY, "database");
        out.problem(AMBIGUOUS);
        doubtful(found.level, said, datasets, out);
        return Some(());
    }
    let session = prefix_of(prefix, found.level, carried, out);
    tell(found.level, said, &session, datasets, out);
    Some(())
}

/// What is taken from a line with two severities: a statement, so that nobody hides one by writing a
/// severity into it. Whoever invents a statement before he is let in gets an event without a user.
fn doubtful(level: &str, said: &str, datasets: Datasets, out: &mut Out) {
    if level == STATEMENT {
        return sql::statement(said, out);
    }
    let mark = out.mark();
    match said.strip_prefix("AUDIT: ") {
        Some(rest) if audit::pgaudit(rest, out).is_some() => out.dataset = Some(datasets.audit),
        _ => {
            out.reset(mark);
            out.dataset = Some(datasets.log);
            let _ = message::ran(said, out);
        }
    }
}

/// Who the prefix says it was.
#[derive(Debug, Default)]
struct Session<'a> {
    user: Cow<'a, str>,
    database: Cow<'a, str>,
    /// As written: an address, a name, `[local]`, with the port behind it or not.
    client: Cow<'a, str>,
}

/// The pid, the user, the database and the client of a prefix; the pid is known where syslog carried
/// the line.
fn prefix_of<'a>(prefix: &'a str, level: &str, carried: bool, out: &mut Out) -> Session<'a> {
    let mut session = Session::default();
    let prefix = prefix.trim_start_matches([' ', '>']).trim_end();
    // RDS: `192.0.2.4(51234):his@emr:[4711]:`, the address in front.
    if let Some((head, pid)) = prefix.strip_suffix("]:").and_then(|rest| rest.rsplit_once(":["))
        && let Some((client, names)) = head.strip_prefix(':').unwrap_or(head).split_once(':')
    {
        out.digits(names::PROCESS_PID, pid);
        session.client = client.into();
        user_at(names, &mut session, out);
        return session;
    }
    let bracketed = prefix.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let rest = match bracketed
        .map(|(pid, rest)| (pid.split_once('-').map_or(pid, |(pid, _)| pid), rest))
    {
        Some((pid, rest)) if scan::is_digits(pid) => {
            if !carried {
                out.digits(names::PROCESS_PID, pid);
            }
            rest
        }
        _ if carried => prefix,
        _ => return session,
    };
    let rest = rest.trim_start_matches([':', ' ']);
    let rest = pieces(rest).map_or(rest, |(_, rest)| rest);
    if rest.contains("user=") {
        named(rest, &mut session, out);
        return session;
    }
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    if client(first).is_some() {
        session.client = first.into();
        user_at(behind, &mut session, out);
    } else if let Some((names, last)) = rest.rsplit_once(' ')
        && client(last).is_some()
    {
        if level != FATAL && level != DETAIL {
            session.client = last.into();
        }
        user_at(names, &mut session, out);
    } else {
        user_at(rest, &mut session, out);
    }
    session
}

/// `USER@DATABASE`.
fn user_at<'a>(text: &'a str, session: &mut Session<'a>, out: &mut Out) {
    let Some((user, database)) = text.trim().split_once('@') else { return };
    if database.contains('@') {
        out.problem("the user and the database cannot be told apart");
        return;
    }
    session.user = user.into();
    session.database = database.into();
}

/// `user=his,db=emr,app=psql,client=192.0.2.4`, separated by commas or blanks.
fn named<'a>(text: &'a str, session: &mut Session<'a>, out: &mut Out) {
    let mut seen = [false; 4];
    for part in text.split([',', ' ']) {
        let Some((key, value)) = part.split_once('=') else { continue };
        let (at, slot) = match key {
            "user" => (0, &mut session.user),
            "db" | "database" => (1, &mut session.database),
            "client" | "host" | "remote" => (2, &mut session.client),
            _ => continue,
        };
        if seen.get(at).copied().unwrap_or_default() {
            *session = Session::default();
            out.problem(NAMED_TWICE);
            return;
        }
        if let Some(seen) = seen.get_mut(at) {
            *seen = true;
        }
        *slot = value.into();
    }
}

/// A client as written: `192.0.2.4`, `192.0.2.4(51234)`, `192.0.2.4:51234`, `[local]`.
fn client(text: &str) -> Option<(Option<std::net::IpAddr>, Option<u16>)> {
    if text == "[local]" {
        return Some((None, None));
    }
    if let Some((host, port)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        return Some((Some(scan::address(host)?), Some(port.parse().ok()?)));
    }
    if let Some(address) = scan::address(text) {
        return Some((Some(address), None));
    }
    let (address, port) = scan::endpoint(text)?;
    Some((Some(address), Some(port)))
}

/// What is the same in all forms: who, and what is said.
fn tell(
    level: &'static str,
    said: &str,
    session: &Session<'_>,
    datasets: Datasets,
    out: &mut Out,
) -> message::Told {
    out.word(names::LOG_LEVEL, level);
    let client = client(&session.client);
    if let Some((address, port)) = client {
        if let Some(address) = address {
            out.address(names::SOURCE_IP, address);
        }
        if let Some(port) = port {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
    let mut told = message::Told::default();
    match said.strip_prefix("AUDIT: ") {
        Some(rest) if audit::pgaudit(rest, out).is_some() => out.dataset = Some(datasets.audit),
        _ => told = message::read(level, said, client.is_some(), out),
    }
    if !told.user && !matches!(&*session.user, "" | UNKNOWN) {
        out.text(names::USER_NAME, &session.user);
    }
    if !told.database && !matches!(&*session.database, "" | UNKNOWN) {
        out.text(names::DB_NAME, &session.database);
    }
    told
}

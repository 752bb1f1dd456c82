//! The logs of MySQL and MariaDB: error, general, slow, and the audit logs (`mysql/audit.rs`).
//!
//! ```text
//! 2026-11-22  9:11:36 7 [Warning] Access denied for user 'his'@'192.0.2.7' (using password: YES)
//! 2026-11-22T01:11:36.123456Z 8 [Note] [MY-010926] [Server] Access denied for user 'his'@'192.0.2.7' (using password: YES)
//! 261122  9:11:36\t     3 Connect\this@192.0.2.7 on emr using TCP/IP
//! # User@Host: his[his] @ pc7 [192.0.2.7]\n# Query_time: 2.0 …\nselect …;
//! 20261122 09:11:36,db01,his,192.0.2.7,8,21,QUERY,emr,'drop table ward',0
//! ```
//!
//! Names of users stand in these logs as the client sent them, quotes, commas and `@` included, before
//! anybody knew who it was. Each is read from the side that the client does not write: `'@'` counts from
//! the end, and in the audit log the columns behind the name say where it ends. Where two readings are
//! possible the event has neither user nor address, and says why.

mod audit;
mod slow;

use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, ISO, Line, Looks, NUMBER, scan, sql};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "mysql",
    datasets: &[ERROR, GENERAL, SLOW, AUDIT],
    programs: &["mysqld", "mariadbd", "mysql", "mariadb", "mysql-server_auditing", "mysqld_safe"],
    paths: &["mysql", "mariadb", "server_audit"],
    looks: Looks { first: &[ISO, NUMBER, b'#', b'{', b'\t', b'/'], test: looks_like },
    security: false,
    decode,
};

const ERROR: &str = "mysql.error";
const GENERAL: &str = "mysql.general";
const SLOW: &str = "mysql.slow";
const AUDIT: &str = "mysql.audit";

/// What the general log says was done, and what that is.
const COMMANDS: &[(&str, &str)] = &[
    ("Query", ""),
    ("Execute", ""),
    ("Prepare", ""),
    ("Connect", "login"),
    ("Change user", "login"),
    ("Quit", "logout"),
    ("Init DB", "use"),
    ("Field List", "show"),
    ("Statistics", "show"),
    ("Ping", "ping"),
    ("Close stmt", "close"),
    ("Reset stmt", "reset"),
    ("Long Data", "execute"),
    ("Fetch", "fetch"),
    ("Shutdown", "shutdown"),
    ("Kill", "kill"),
    ("Refresh", "flush"),
    ("Processlist", "show"),
    ("Binlog Dump", "binlog_dump"),
    ("Register Slave", "register_replica"),
    ("Debug", "debug"),
    ("Reset connection", "reset"),
    ("Set option", "set"),
    ("Drop DB", "drop"),
    ("Create DB", "create"),
];
/// Levels as the error log writes them between brackets.
const LEVELS: &[(&str, &str)] = &[
    ("Note", "note"),
    ("Warning", "warning"),
    ("ERROR", "error"),
    ("Error", "error"),
    ("System", "system"),
];
/// Heads of log files, which say nothing.
const HEADS: &[&str] = &[
    "Tcp port: ",
    "Time                 Id Command",
    "Time\t\t    Id Command",
    "Time                 Id",
    "Version: '",
];

/// Whether a line may be one.
fn looks_like(line: &str) -> bool {
    match line.as_bytes().first() {
        Some(b'#') => line.starts_with("# User@Host: ") || line.starts_with("# Time: "),
        Some(b'\t') => line.starts_with("\t\t") && general(line).is_some(),
        Some(b'/') => line.contains("d, Version: ") && line.ends_with("started with:"),
        Some(b'{') => audit::looks_like_json(line),
        _ => match stamp(line) {
            Some((_, rest)) => stamped(line, rest),
            None => audit::looks_like(line),
        },
    }
}

/// Whether a line with a stamp may be one: behind it stands the thread's number, a level in brackets or
/// the plugin's name.
fn stamped(line: &str, rest: &str) -> bool {
    match rest.trim_start_matches([' ', '\t']).as_bytes().first() {
        Some(b'0'..=b'9' | b'[') => {
            general(line).is_some()
                || error_head(line)
                    .is_some_and(|(_, thread, level, said)| certain(line, thread, level, said))
        }
        _ => rest.starts_with(" server_audit: "),
    }
}

/// Whether the head of an error log's line is MySQL's without anybody saying so: other programs write a
/// level in brackets too.
fn certain(line: &str, thread: &str, level: &str, said: &str) -> bool {
    let short = line.as_bytes().get(6) == Some(&b' ');
    let own_word = matches!(level, "note" | "warning" | "system");
    said.starts_with("[MY-") || own_word && (short || !thread.is_empty())
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if text.starts_with('{') {
        return audit::json(text, out).is_some();
    }
    if text.starts_with("# ") {
        return slow::read(text, out).is_some();
    }
    let mark = out.mark();
    let of_syslog = line.program == Some("mysql-server_auditing");
    if audit::csv(text, of_syslog, out).is_some() {
        return true;
    }
    out.reset(mark);
    if let Some(read) = general(text) {
        return command(&read, out).is_some();
    }
    if let Some((stamp, thread, level, said)) = error_head(text) {
        out.stamp(&stamp);
        out.digits(names::PROCESS_THREAD_ID, thread);
        return error(level, said, out);
    }
    if let Some((stamp, rest)) = stamp(text)
        && let Some(said) = rest.strip_prefix(" server_audit: ")
    {
        out.stamp(&stamp);
        plugin(said, out);
        return true;
    }
    if HEADS.iter().any(|head| text.starts_with(head)) || text.ends_with("started with:") {
        out.dataset = Some(GENERAL);
        out.event("database", "log_head");
        return true;
    }
    // syslog and the journal put their own stamp: `8 [Warning] …` or `[Warning] …`.
    let known = line.program.is_some();
    match bracketed(text) {
        Some((thread, level, said)) if known => {
            out.some(names::PROCESS_THREAD_ID, thread);
            error(level, said, out)
        }
        _ => false,
    }
}

/// `2026-11-22  9:11:36`, `2026-11-22T01:11:36.123456Z`, `261122  9:11:36`: the stamp and what follows.
fn stamp(text: &str) -> Option<(Stamp, &str)> {
    let bytes = text.as_bytes();
    if bytes.get(6) == Some(&b' ') {
        return short_stamp(text);
    }
    if bytes.get(10) == Some(&b' ') && bytes.get(11) == Some(&b' ') {
        // A blank stands for the first digit of the hour.
        let mut padded: [u8; 19] = bytes.get(..19)?.try_into().ok()?;
        padded[11] = b'0';
        let (stamp, _) = time::iso(&padded)?;
        return Some((stamp, text.get(19..)?));
    }
    let (stamp, len) = time::iso(bytes)?;
    Some((stamp, text.get(len..)?))
}

/// `261122  9:11:36`, the year with two digits.
fn short_stamp(text: &str) -> Option<(Stamp, &str)> {
    let (head, rest) = (text.as_bytes().get(..15)?, text.get(15..)?);
    let mut full = *b"20yy-mm-dd hh:mm:ss";
    for (to, from) in [(2, 0..2), (5, 2..4), (8, 4..6)] {
        full.get_mut(to..to + 2)?.copy_from_slice(head.get(from)?);
    }
    full.get_mut(11..19)?.copy_from_slice(head.get(7..15)?);
    if full[11] == b' ' {
        full[11] = b'0';
    }
    Some((time::iso(&full)?.0, rest))
}

/// `8 [Note] [MY-010926] [Server] `, the thread and the level.
fn bracketed(text: &str) -> Option<(&str, &'static str, &str)> {
    let (thread, rest) = text.split_once('[')?;
    let thread = thread.trim();
    if !thread.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (level, said) = rest.split_once(']')?;
    let (_, level) = LEVELS.iter().find(|(name, _)| *name == level)?;
    Some((thread, level, said.trim_start()))
}

/// A line of the error log.
fn error_head(text: &str) -> Option<(Stamp, &str, &'static str, &str)> {
    let (stamp, rest) = stamp(text)?;
    let (thread, level, said) = bracketed(rest.strip_prefix(' ')?)?;
    Some((stamp, thread, level, said))
}

fn error(level: &'static str, said: &str, out: &mut Out) -> bool {
    out.dataset = Some(ERROR);
    out.word(names::LOG_LEVEL, level);
    let mut said = said;
    // `[MY-010926] [Server] ` of version 8.
    if let Some((code, rest)) = said.strip_prefix("[MY-").and_then(|rest| rest.split_once("] ")) {
        out.owned(names::EVENT_CODE, &format!("MY-{code}"));
        said = rest;
        if let Some((part, rest)) = said.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            out.some(names::LOG_LOGGER, part);
            said = rest;
        }
    }
    if !denied(said, out) {
        out.word(names::EVENT_CATEGORY, "database");
        if let Some(action) = of_server(said) {
            out.word(names::EVENT_ACTION, action);
        }
    }
    if matches!(level, "error" | "warning") {
        out.some(names::ERROR_MESSAGE, said);
    }
    true
}

/// What the audit plugin says of itself in the error log.
fn plugin(said: &str, out: &mut Out) {
    out.dataset = Some(ERROR);
    let action = if said.contains("STOPPED") || said.contains("logging was stopped") {
        "audit_stopped"
    } else if said.contains("STARTED") || said.contains("logging started") {
        "audit_started"
    } else {
        "audit_message"
    };
    out.event("configuration", action);
    out.text(names::EVENT_REASON, said);
}

/// What the server says of itself.
fn of_server(said: &str) -> Option<&'static str> {
    let action = if said.contains("ready for connections") {
        "server_started"
    } else if said.contains("Normal shutdown") || said.contains("Received SHUTDOWN") {
        "server_stopping"
    } else if said.contains("hutdown complete") {
        "server_stopped"
    } else if said.starts_with("Aborted connection") || said.starts_with("Got an error reading") {
        "connection_aborted"
    } else if said.contains("--skip-grant-tables") {
        "authentication_disabled"
    } else if said.contains("is blocked because of many connection errors") {
        "host_blocked"
    } else {
        return None;
    };
    Some(action)
}

/// `Access denied for user 'NAME'@'HOST' (using password: YES)[ to database 'X']`: a login that failed.
fn denied(said: &str, out: &mut Out) -> bool {
    let Some(rest) = said.strip_prefix("Access denied for user '") else { return false };
    out.event("authentication", "login");
    out.word(names::DB_OPERATION, "login");
    out.word(names::EVENT_TYPE, "denied");
    out.outcome(false);
    let mut ends = rest.match_indices("'@'").map(|(at, _)| at);
    match (ends.next(), ends.next()) {
        (Some(at), None) => {
            out.some(names::USER_NAME, &rest[..at]);
            if let Some((host, _)) = rest[at + 3..].split_once('\'') {
                source(host, out);
            }
        }
        (Some(_), Some(_)) => out.problem("the user and the host cannot be told apart"),
        (None, _) => {}
    }
    true
}

/// A client as the server knows it: an address, or a name where it looks names up.
fn source(host: &str, out: &mut Out) {
    match scan::address(host) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None if host == "localhost" || host == "%" => {}
        None => out.some(names::SOURCE_DOMAIN, host),
    }
}

/// A line of the general log.
struct General<'a> {
    stamp: Option<Stamp>,
    thread: &'a str,
    action: &'static str,
    argument: &'a str,
}

/// `STAMP\t     3 Command\targument`; a line of the same second has no stamp.
fn general(text: &str) -> Option<General<'_>> {
    let (stamp, rest) = match text.strip_prefix("\t\t") {
        Some(rest) => (None, rest),
        None => {
            let (stamp, rest) = stamp(text)?;
            (Some(stamp), rest.strip_prefix('\t').or_else(|| rest.strip_prefix(' '))?)
        }
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let (thread, rest) = rest.split_once(' ')?;
    if !scan::is_digits(thread) {
        return None;
    }
    let (name, argument) = rest.split_once('\t').unwrap_or((rest.trim_end(), ""));
    let (_, action) = COMMANDS.iter().find(|(known, _)| *known == name)?;
    Some(General { stamp, thread, action, argument })
}

fn command(read: &General<'_>, out: &mut Out) -> Option<()> {
    if let Some(stamp) = &read.stamp {
        out.stamp(stamp);
    }
    out.dataset = Some(GENERAL);
    out.digits(names::DB_SESSION_ID, read.thread);
    match read.action {
        "" => {
            out.word(names::EVENT_CATEGORY, "database");
            sql::statement(read.argument, out);
        }
        "login" => connect(read.argument, out),
        action => {
            out.event("database", action);
            out.word(names::DB_OPERATION, action);
            let database = matches!(action, "use" | "drop" | "create");
            out.some(if database { names::DB_NAME } else { names::EVENT_REASON }, read.argument);
        }
    }
    Some(())
}

/// `his@192.0.2.7 on emr using TCP/IP`, or the refusal that follows it.
fn connect(argument: &str, out: &mut Out) {
    if denied(argument, out) {
        return;
    }
    // Whether it is let in is not known yet: the refusal, if any, is the next line.
    out.event("authentication", "connect");
    out.word(names::DB_OPERATION, "login");
    let who = argument.rsplit_once(" using ").map_or(argument, |(who, _)| who);
    let Some((who, database)) =
        who.rsplit_once(" on ").or_else(|| Some((who.strip_suffix(" on")?, "")))
    else {
        return;
    };
    let Some((user, host)) = who.rsplit_once('@') else { return };
    if argument.matches(" on ").count() > 1 {
        out.problem("the user and the host cannot be told apart");
        return;
    }
    out.some(names::USER_NAME, user);
    out.some(names::DB_NAME, database.trim());
    source(host, out);
}

//! The log of Redis, and what its MONITOR command shows.
//!
//! ```text
//! 1234:M 22 Nov 2026 08:00:00.123 # Possible SECURITY ATTACK detected. …
//! 1795338702.643331 [0 192.0.2.7:57810] "config" "set" "dir" "/root/.ssh"
//! ```
//!
//! Redis quotes and escapes what a client sent in MONITOR, so the command is between the quotes and the
//! client before them. In the log only addresses and the names of clients come from outside.

use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, Line, Looks, NUMBER, json, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "redis",
    datasets: &["redis"],
    programs: &["redis", "redis-server"],
    paths: &["redis"],
    looks: Looks { first: &[NUMBER], test: looks_like },
    security: false,
    decode,
};

/// What the mark before the message says.
const LEVELS: &[(&str, &str)] =
    &[(".", "debug"), ("-", "verbose"), ("*", "notice"), ("#", "warning")];

/// Messages worth an action, by words in them.
const SAID: &[(&str, &str)] = &[
    ("Possible SECURITY ATTACK detected", "cross_protocol_attack"),
    ("Ready to accept connections", "server_started"),
    ("User requested shutdown", "server_stopping"),
    ("is now ready to exit, bye bye", "server_stopped"),
    ("Accepted ", "connection_received"),
    ("Client closed connection", "disconnected"),
    ("REPLICAOF ", "replica_of"),
    ("SLAVEOF ", "replica_of"),
    ("MASTER MODE enabled", "master_mode"),
    ("Connecting to MASTER ", "replica_connecting"),
    ("Full resync from master", "replica_resync"),
    ("DB saved on disk", "saved"),
    ("Background saving started", "saving"),
    ("no password is set", "authentication_disabled"),
    ("Module ", "module"),
    ("CONFIG REWRITE executed", "configuration_written"),
    ("Denied connection", "connection_denied"),
    ("max number of clients reached", "connection_denied"),
    ("OOM command not allowed", "out_of_memory"),
    ("crashed by signal", "crashed"),
];

/// Commands that change the server or leave it, as MONITOR shows them.
const ADMINISTRATION: &[&str] = &[
    "config",
    "module",
    "slaveof",
    "replicaof",
    "debug",
    "shutdown",
    "acl",
    "save",
    "bgsave",
    "bgrewriteaof",
    "flushall",
    "flushdb",
    "script",
    "function",
    "migrate",
    "cluster",
];

/// The longest name of a command.
const MAX_VERB: usize = 64;

/// Whether a line may be one: `1234:M 22 Nov 2026`, or the stamp and bracket of MONITOR.
fn looks_like(line: &str) -> bool {
    head(line).is_some() || monitored(line).is_some()
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if let Some((pid, role, stamp, rest)) = head(line.message) {
        out.stamp(&stamp);
        if line.program.is_none() {
            out.digits(names::PROCESS_PID, pid);
        }
        out.word(names::HENGWEI_DB_ROLE, role);
        return said(rest, out);
    }
    if let Some((epoch, database, client, command)) = monitored(line.message) {
        return monitor(epoch, database, client, command, out).is_some();
    }
    // Through syslog there is neither pid nor stamp.
    line.program.is_some() && SAID.iter().any(|(words, _)| line.message.contains(words)) && {
        message(line.message, out);
        true
    }
}

/// `1234:M 22 Nov 2026 08:00:00.123 `; version 2.8 writes `[1234] 22 Nov …` without a role.
fn head(line: &str) -> Option<(&str, &'static str, Stamp, &str)> {
    let (pid, rest) = line.split_once(':')?;
    if pid.len() > 10 || !scan::is_digits(pid) {
        return None;
    }
    let (role, rest) = rest.split_once(' ')?;
    let role = match role {
        "M" => "master",
        "S" => "replica",
        "C" => "child",
        "X" => "sentinel",
        "signal-handler" => "signal",
        _ => return None,
    };
    // `22 Nov 2026 08:00:00.123` in the order of the other stamps.
    let mut full = *b"dd-Mon-yyyy ";
    let bytes = rest.as_bytes();
    full.get_mut(..2)?.copy_from_slice(bytes.get(..2)?);
    full.get_mut(3..6)?.copy_from_slice(bytes.get(3..6)?);
    full.get_mut(7..11)?.copy_from_slice(bytes.get(7..11)?);
    let mut dated = [0_u8; 24];
    dated.get_mut(..12)?.copy_from_slice(&full);
    dated.get_mut(12..24)?.copy_from_slice(bytes.get(12..24)?);
    let (stamp, len) = time::day_first(&dated, b'-', b' ')?;
    Some((pid, role, stamp, rest.get(len..)?.strip_prefix(' ')?))
}

/// `* Ready to accept connections`.
fn said(rest: &str, out: &mut Out) -> bool {
    let Some((mark, text)) = rest.split_once(' ') else { return false };
    let Some((_, level)) = LEVELS.iter().find(|(known, _)| *known == mark) else { return false };
    out.word(names::LOG_LEVEL, level);
    message(text, out);
    true
}

fn message(text: &str, out: &mut Out) {
    let found = SAID.iter().find(|(words, _)| text.contains(words));
    let action = found.map(|(_, action)| *action).unwrap_or_default();
    match action {
        "cross_protocol_attack" => {
            out.event("intrusion_detection", action);
            out.word(names::EVENT_TYPE, "denied");
            out.security = true;
        }
        "connection_denied" => {
            out.event("database", action);
            out.word(names::EVENT_TYPE, "denied");
        }
        "replica_of" | "configuration_written" | "module" | "master_mode" => {
            out.event("configuration", action);
        }
        "" => out.word(names::EVENT_CATEGORY, "database"),
        _ => out.event("database", action),
    }
    // The name of a client is its own: the address is what stands before it, or right behind the word.
    let from = text
        .strip_prefix("Accepted ")
        .or_else(|| text.split_once(" addr=").map(|(_, rest)| rest))
        .or_else(|| text.split_once("Connection from ").map(|(_, rest)| rest));
    let from =
        from.map(|rest| rest.split(' ').next().unwrap_or(rest).trim_end_matches(" aborted."));
    if let Some((address, port)) = from.and_then(scan::endpoint) {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    }
    if action == "replica_of"
        && let Some(target) = text.split(' ').nth(1)
        && let Some((host, port)) = target.rsplit_once(':')
    {
        match scan::address(host) {
            Some(address) => out.address(names::DESTINATION_IP, address),
            None => out.text(names::DESTINATION_DOMAIN, host),
        }
        out.digits(names::DESTINATION_PORT, port);
    }
}

/// `1795338702.643331 [0 192.0.2.7:57810] "set" "x"`.
fn monitored(line: &str) -> Option<(f64, &str, &str, &str)> {
    let (stamp, rest) = line.split_once(" [")?;
    let (seconds, micros) = stamp.split_once('.')?;
    if seconds.len() != 10
        || micros.len() != 6
        || !scan::is_digits(seconds)
        || !scan::is_digits(micros)
    {
        return None;
    }
    let (who, command) = rest.split_once("] ")?;
    let (database, client) = who.split_once(' ')?;
    (scan::is_digits(database) && command.starts_with('"')).then_some(())?;
    Some((stamp.parse().ok()?, database, client, command))
}

fn monitor(epoch: f64, database: &str, client: &str, command: &str, out: &mut Out) -> Option<()> {
    let (verb, behind) = command.strip_prefix('"')?.split_once('"')?;
    if verb.len() > MAX_VERB {
        return None;
    }
    out.time = json::epoch(epoch);
    let lower = verb.to_ascii_lowercase();
    let administration = ADMINISTRATION.contains(&lower.as_str());
    out.word(names::EVENT_CATEGORY, if administration { "configuration" } else { "database" });
    // `config set` is another thing than `config get`.
    let second = behind.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let action = match second {
        Some((word, _)) if administration && word.bytes().all(|b| b.is_ascii_alphabetic()) => {
            format!("{lower}_{}", word.to_ascii_lowercase())
        }
        _ => lower.clone(),
    };
    out.owned(names::EVENT_ACTION, &action);
    out.owned(names::DB_OPERATION, &lower);
    out.text(names::DB_STATEMENT, command);
    out.text(names::DB_NAME, database);
    if let Some((address, port)) = scan::endpoint(client) {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    } else {
        out.text(names::SOURCE_ADDRESS, client);
    }
    Some(())
}

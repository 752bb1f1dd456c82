//! Records of Linux audit, alone or all of one event with line feeds between them.
//!
//! They come as auditd's log (`type=SYSCALL msg=audit(1700000000.123:456): …`), raw or enriched with
//! names behind a control character, with `node=` in front where hosts are gathered, through syslog from
//! audispd, and from the kernel's own log where no daemon runs (`audit: type=1400 audit(…): …`).
//!
//! What a stranger chooses (paths, arguments, the names of commands and accounts) the kernel writes in
//! quotes that cannot be closed from inside, or as hexadecimal; so nobody can put a field of his own
//! into a record of the kernel. Messages of user space (`msg='…'`) promise less: the first value of a
//! key counts, the kernel's stand in front, and one that names its account or address twice names none.
//! A record of another event among joined ones is left out and said to be.
//!
//! `gather` reads the pairs and keeps each under its own name (`auditd.exe`, `auditd.a1`), which is what
//! rules written for auditd ask for; `conclude` says in ECS what the event was.

mod calls;
mod conclude;
mod gather;
mod keys;
mod places;
mod sockaddr;
mod syscalls;
mod types;
mod value;

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;
use gather::Gathered;
use types::Type;

pub(crate) const DECODER: Decoder = Decoder {
    name: "audit",
    datasets: &["auditd", EXECVE, FILE, NETWORK],
    programs: &["auditd", "audispd", "audisp-syslog", JOURNALD],
    paths: &["audit/audit.log"],
    looks: Looks { first: b"tna[", test: looks },
    security: true,
    decode,
};

/// The name under which journald hands records on.
pub(crate) const JOURNALD: &str = "audit";
/// The dataset of started programs.
const EXECVE: &str = "auditd.execve";
/// The dataset of what was done to files.
const FILE: &str = "auditd.file";
/// The dataset of what was done with sockets.
const NETWORK: &str = "auditd.network";

/// How far into a line its serial number is looked for.
const MAX_HEAD: usize = 400;
/// The longest name of a type.
const MAX_TYPE: usize = 40;
/// Digits of a second that count.
const NANO_DIGITS: usize = 9;

fn looks(line: &str) -> bool {
    let begins =
        ["type=", "node=", "audit: type=", "["].iter().any(|start| line.starts_with(start));
    begins && line[..line.floor_char_boundary(MAX_HEAD)].contains("audit(")
}

/// Reads one event.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let (_, message) = scan::uptime(line.message);
    let message = message.strip_prefix("audit: ").unwrap_or(message);
    let mut lines = message.split('\n');
    let Some(first) = lines.next() else { return false };
    let Some(head) = head(first).or_else(|| unnumbered(first, line.program)) else {
        return line.program == Some("auditd") && daemon(message, out);
    };
    let mut event = Gathered::new();
    event.record(head.known, head.body, out);
    record_type(&head, out);
    let mut strange = false;
    for line in lines.filter(|line| !line.is_empty()) {
        match self::head(line).filter(|next| next.id == head.id) {
            Some(next) => {
                event.record(next.known, next.body, out);
                record_type(&next, out);
            }
            None => strange = true,
        }
    }
    if strange {
        out.problem("a record of another event stands among these: it is left out");
    }
    event.check(out);
    if let Some(nanos) = head.nanos {
        out.time = Some(nanos);
    }
    out.some(names::EVENT_ID, head.id);
    if line.program.is_none() {
        out.some(names::LOG_SYSLOG_HOSTNAME, head.node);
    }
    conclude::event(&event, head.kind, out);
    true
}

fn record_type(head: &Head<'_>, out: &mut Out) {
    match head.known {
        Some(known) => out.word(keys::record_type(), known.name),
        None => out.text(keys::record_type(), head.kind),
    }
}

/// What stands in front of a record's pairs.
#[derive(Debug)]
struct Head<'a> {
    node: &'a str,
    kind: &'a str,
    known: Option<&'static Type>,
    /// Time and serial number: the same for all records of one event of one boot.
    id: &'a str,
    nanos: Option<i64>,
    body: &'a str,
}

/// `[node=NAME ]type=TYPE [msg=]audit(SECONDS.MILLIS:SERIAL)[:] BODY`.
fn head(line: &str) -> Option<Head<'_>> {
    let (node, rest) = match line.strip_prefix("node=") {
        Some(rest) => rest.split_once(' ')?,
        None => ("", line),
    };
    let (kind, rest) = rest.strip_prefix("type=")?.split_once(' ')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'[' | b']');
    if kind.is_empty() || kind.len() > MAX_TYPE || !kind.bytes().all(plain) {
        return None;
    }
    let rest = rest.strip_prefix("msg=").unwrap_or(rest).strip_prefix("audit(")?;
    let (id, body) = rest.split_once(')')?;
    let (time, serial) = id.split_once(':')?;
    let (seconds, fraction) = time.split_once('.')?;
    if !scan::is_digits(seconds) || !scan::is_digits(fraction) || !scan::is_digits(serial) {
        return None;
    }
    let body = body.strip_prefix(':').unwrap_or(body).trim_start();
    let nanos = nanos(seconds, fraction);
    Some(Head { node, kind, known: types::of(kind), id, nanos, body })
}

fn nanos(seconds: &str, fraction: &str) -> Option<i64> {
    let fraction = fraction.get(..NANO_DIGITS).unwrap_or(fraction);
    let digits = u32::try_from(NANO_DIGITS - fraction.len()).ok()?;
    let nanos = fraction.parse::<i64>().ok()?.checked_mul(10_i64.checked_pow(digits)?)?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// As journald hands records on to syslog, under the name `audit`: `USER_AUTH pid=1 uid=0 …`.
fn unnumbered<'a>(line: &'a str, program: Option<&str>) -> Option<Head<'a>> {
    if program != Some(JOURNALD) {
        return None;
    }
    let (kind, body) = line.split_once(' ')?;
    let known = types::of(kind).filter(|known| known.name == kind)?;
    Some(Head { node: "", kind, known: Some(known), id: "", nanos: None, body: body.trim_start() })
}

/// What auditd says itself, as a text begins: an audit trail that ends or is no longer written.
const DAEMON: &[(&str, &str, Option<bool>)] = &[
    ("Init complete, auditd", "started_audit", Some(true)),
    ("The audit daemon is exiting", "stopped_audit", None),
    ("Audit daemon rotating log files", "rotated_audit_log", None),
    ("Audit daemon is suspending logging", "suspended_audit", None),
    ("Audit daemon has no space left", "suspended_audit", Some(false)),
    ("Audit daemon is low on disk space", "audit_log_space_low", None),
    ("Audit daemon is changing the system", "audit_changed_run_level", None),
    ("Error receiving audit netlink packet", "audit_error", Some(false)),
    ("Could not open dir", "audit_error", Some(false)),
    ("Unable to set", "audit_error", Some(false)),
    ("dispatch err", "audit_error", Some(false)),
];

fn daemon(message: &str, out: &mut Out) -> bool {
    let Some((_, action, success)) = DAEMON.iter().find(|(start, ..)| message.starts_with(start))
    else {
        return false;
    };
    out.event("configuration", action);
    if let Some(success) = success {
        out.outcome(*success);
    }
    out.text(names::EVENT_REASON, message);
    true
}

#[cfg(test)]
mod tests;

//! The log of RabbitMQ.
//!
//! ```text
//! 2026-11-22 08:00:00.123456+08:00 [error] <0.811.0> PLAIN login refused: user 'li' - invalid credentials
//! 2026-11-22 08:00:00.123 [info] <0.811.0> accepting AMQP connection <0.811.0> (203.0.113.7:50000 -> 192.0.2.9:5672)
//! ```
//!
//! The number of the process stands in angle brackets behind the level, which no other log has. A refused
//! login names the user in quotes and no address: the address is in the line that accepted the connection
//! of the same process, so the process is kept as the session. In newer versions the refusal comes in a
//! second line below `Error on AMQP connection … (ADDRESS -> ADDRESS, state: starting):`; whichever of the
//! two a record begins with is read.

use super::out::Out;
use super::{Decoder, Looks, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "rabbitmq",
    datasets: &["rabbitmq"],
    programs: &["rabbitmq", "rabbitmq-server"],
    paths: &["rabbitmq"],
    looks: Looks { first: super::DIGITS, test: |line| head(line).is_some() },
    security: false,
    decode: |line, out| read(line.message, out).is_some(),
};

struct Head<'a> {
    stamp: time::Stamp,
    level: &'static str,
    process: &'a str,
    said: &'a str,
}

fn head(line: &str) -> Option<Head<'_>> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let rest = line.get(len..)?.strip_prefix(" [")?;
    let (level, rest) = rest.split_once("] <")?;
    let level = match level {
        "debug" => "debug",
        "info" => "info",
        "notice" => "notice",
        "warning" => "warning",
        "error" => "error",
        "critical" => "critical",
        "alert" => "alert",
        "emergency" => "emergency",
        _ => return None,
    };
    let (process, said) = rest.split_once('>')?;
    let numbers = process.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let said = said.strip_prefix(' ').unwrap_or(said);
    (numbers && !process.is_empty()).then_some(Head { stamp, level, process, said })
}

fn read(text: &str, out: &mut Out) -> Option<()> {
    let head = head(text)?;
    out.stamp(&head.stamp);
    out.word(names::LOG_LEVEL, head.level);
    out.text(names::HENGWEI_SESSION_ID, head.process);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, head.said);
    }
    said(head.said, out);
    if matches!(head.level, "error" | "critical") {
        out.some(names::ERROR_MESSAGE, head.said.split('\n').next().unwrap_or(head.said));
    }
    Some(())
}

fn said(text: &str, out: &mut Out) -> Option<()> {
    // `PLAIN login refused: user 'NAME' - REASON`, `HTTP access denied: user 'NAME' - REASON`.
    for mark in [" login refused: user '", "HTTP access denied: user '"] {
        if let Some((before, rest)) = text.split_once(mark) {
            // The mechanism is one word, or the line above the refusal.
            if before.rsplit('\n').next().is_some_and(|line| line.contains(' ')) {
                return None;
            }
            let line = rest.split('\n').next().unwrap_or(rest);
            let (user, reason) = line.rsplit_once("' - ")?;
            out.security = true;
            out.event("authentication", "login");
            out.outcome(false);
            out.some(names::USER_NAME, user);
            out.some(names::EVENT_REASON, reason);
            peer(before, out);
            return Some(());
        }
    }
    // `connection … (ADDRESS -> ADDRESS): user 'NAME' authenticated and granted access to vhost 'V'`,
    // also with ` - CLIENT'S NAME` behind the addresses.
    if let Some((before, rest)) = text.split_once(": user '")
        && before.starts_with("connection ")
        && let Some((user, _)) = rest.split_once("' authenticated and granted access to vhost '")
    {
        out.security = true;
        out.event("authentication", "login");
        out.outcome(true);
        out.some(names::USER_NAME, user);
        peer(before, out);
        return Some(());
    }
    let table = [
        ("accepting ", "connection_accepted"),
        ("closing ", "connection_closed"),
        ("Error on ", "connection_error"),
        ("Created user '", "user_created"),
        ("Deleted user '", "user_deleted"),
        ("Successfully changed password for user '", "password_changed"),
        ("Successfully set user tags for user '", "user_changed"),
        ("Successfully set permissions for user '", "user_changed"),
    ];
    let (start, action) = table.iter().find(|(start, _)| text.starts_with(start))?;
    let category = if start.ends_with('\'') { "iam" } else { "network" };
    out.event(category, action);
    if category == "iam" {
        let (user, _) = text.strip_prefix(start)?.split_once('\'')?;
        out.some(names::USER_NAME, user);
    } else {
        peer(text, out);
    }
    Some(())
}

/// `(203.0.113.7:50000 -> 192.0.2.9:5672`, the first in a text.
fn peer(text: &str, out: &mut Out) {
    let Some((source, rest)) = text.split_once(" -> ") else { return };
    let source = source.rsplit_once('(').map(|(_, source)| source).and_then(scan::endpoint);
    let target = rest.split([',', ')', ' ']).next().and_then(scan::endpoint);
    if let Some((address, port)) = source {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    }
    if let Some((address, port)) = target {
        out.address(names::DESTINATION_IP, address);
        out.integer(names::DESTINATION_PORT, port.into());
    }
}

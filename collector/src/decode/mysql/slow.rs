//! Entries of the slow log: comment lines that say who and how long, and the statement below them.
//!
//! ```text
//! # Time: 2026-11-22T01:11:36.123456Z
//! # User@Host: his[his] @ pc7 [192.0.2.7]  Id:     8
//! # Query_time: 2.500000  Lock_time: 0.000100 Rows_sent: 50000  Rows_examined: 100000
//! SET timestamp=1795338696;
//! select * from patient;
//! ```
//!
//! The comment lines of an entry stand before its statement. Comment lines within a statement are part of
//! it, whatever they say, so reading stops with the first line that is none. A statement with a line that
//! reads like the head of an entry does begin an entry, though: the server quotes nothing here. Who did
//! what is better taken from the audit log.

use super::super::out::Out;
use super::super::{json, scan, sql};
use super::{SLOW, source, stamp};
use crate::event::names;

/// Reads one entry.
pub(super) fn read(text: &str, out: &mut Out) -> Option<()> {
    out.dataset = Some(SLOW);
    out.word(names::EVENT_CATEGORY, "database");
    let mut known = false;
    let mut rest = text;
    while let Some(line) = rest.strip_prefix("# ") {
        let (line, behind) = line.split_once('\n').unwrap_or((line, ""));
        rest = behind;
        if let Some(time) = line.strip_prefix("Time: ") {
            let (stamp, _) = stamp(time)?;
            out.stamp(&stamp);
            known = true;
        } else if let Some(who) = line.strip_prefix("User@Host: ") {
            user(who, out);
            known = true;
        } else if let Some(command) = line.strip_prefix("administrator command: ") {
            out.owned(names::EVENT_ACTION, &command.trim_end_matches(';').to_lowercase());
        } else {
            numbers(line, out);
        }
    }
    if !known {
        return None;
    }
    statement(rest, out);
    Some(())
}

/// `his[his] @ pc7 [192.0.2.7]  Id:     8`.
fn user(text: &str, out: &mut Out) {
    let (user, host) = match text.rsplit_once(" @ ") {
        Some(parts) if text.matches(" @ ").count() == 1 => parts,
        _ => {
            out.problem("the user and the host cannot be told apart");
            return;
        }
    };
    let user = user.split_once('[').map_or(user, |(user, _)| user);
    out.some(names::USER_NAME, user.trim());
    let (name, rest) = host.split_once('[').unwrap_or((host, ""));
    let (address, id) = rest.split_once(']').unwrap_or((rest, ""));
    match scan::address(address) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => source(name.trim(), out),
    }
    if let Some(id) = id.trim().strip_prefix("Id:") {
        out.digits(names::DB_SESSION_ID, id.trim());
    }
}

/// `Query_time: 2.5  Lock_time: 0.0  Rows_sent: 1  Rows_examined: 2` and the like.
fn numbers(line: &str, out: &mut Out) {
    let mut words = line.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_suffix(':') else { continue };
        let Some(value) = words.next_if(|word| !word.ends_with(':')) else { continue };
        match name {
            "Query_time" => {
                if let Ok(seconds) = value.parse::<f64>()
                    && (0.0..1e9).contains(&seconds)
                {
                    #[expect(clippy::cast_possible_truncation, reason = "it is below the bound")]
                    out.integer(names::EVENT_DURATION, (seconds * 1e9).round() as i64);
                }
            }
            "Rows_sent" => out.digits(names::DB_ROWS, value),
            "Thread_id" => out.digits(names::DB_SESSION_ID, value),
            "Schema" => out.some(names::DB_NAME, value),
            _ => {}
        }
    }
}

/// The statement, behind the `use` and the time that the server puts in front of it.
fn statement(text: &str, out: &mut Out) {
    let mut rest = text;
    if let Some((database, behind)) =
        rest.strip_prefix("use ").and_then(|rest| rest.split_once(";\n"))
    {
        out.some(names::DB_NAME, database);
        rest = behind;
    }
    if let Some((epoch, behind)) =
        rest.strip_prefix("SET timestamp=").and_then(|rest| rest.split_once(';'))
    {
        if out.time.is_none() {
            out.time = epoch.parse().ok().and_then(json::epoch);
        }
        rest = behind;
    }
    let rest = rest.trim();
    if !rest.is_empty() {
        sql::statement(rest.strip_suffix(';').unwrap_or(rest), out);
    }
}

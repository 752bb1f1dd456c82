//! Login records as `utmpdump` prints them, for hosts whose wtmp and btmp are read by a pipe instead of
//! by the agent: `[7] [04711] [ts/0] [wang    ] [pts/0       ] [192.0.2.7           ] ...`.
//!
//! utmpdump writes a question mark for every bracket in a name, so that eight fields are eight fields
//! whatever somebody typed as a user name; a line with more or fewer is refused. The events are those of
//! the agent's source `logins`.

use std::net::IpAddr;

use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "utmp",
    // What a path is configured as. The events are of `login`, as those of the program login are.
    datasets: &["utmp"],
    programs: &["utmpdump"],
    paths: &[],
    looks: Looks { first: b"[", test: looks },
    security: true,
    decode,
};

/// The dataset of login records, whoever read them.
const DATASET: &str = "login";
/// What getty writes as the user of a terminal at which nobody is yet.
const NOBODY: &str = "LOGIN";

/// `[7] [04711] [`.
fn looks(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.get(1).is_some_and(u8::is_ascii_digit)
        && bytes.get(2..5) == Some(b"] [")
        && bytes.get(5..10).is_some_and(|pid| pid.iter().all(u8::is_ascii_digit))
        && line.ends_with(']')
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    looks(line.message) && read(line, out).is_some()
}

fn read(line: &Line<'_>, out: &mut Out) -> Option<()> {
    let inner = line.message.strip_prefix('[')?.strip_suffix(']')?;
    let mut fields = inner.split("] [").map(str::trim_end);
    let mut next = || fields.next();
    let [kind, pid, _, user, tty] = [next()?, next()?, next()?, next()?, next()?];
    let [host, address, stamp] = [next()?, next()?, next()?];
    if next().is_some() {
        return None;
    }
    let stamp = dated(stamp)?;
    out.dataset = Some(DATASET);
    if kind == "0" {
        out.word(names::EVENT_ACTION, "unreadable");
        out.problem("a record of zeros, as erasing one leaves it");
        return Some(());
    }
    out.stamp(&stamp);
    if out.time.is_none() {
        out.problem("a date that does not exist");
    }
    let failures = line.path.contains("btmp") || (kind == "6" && !matches!(user, "" | NOBODY));
    let (category, action, when, worked) = match kind {
        _ if failures => ("authentication", "failed_login", "start", Some(false)),
        "1" if user == "shutdown" => ("host", "shutdown", "end", None),
        "1" => ("host", "runlevel", "change", None),
        "2" => ("host", "boot", "start", None),
        "3" | "4" => ("host", "clock_changed", "change", None),
        // A terminal that waits for somebody.
        "5" | "6" => ("host", "terminal_ready", "info", None),
        "7" => ("authentication", "login", "start", Some(true)),
        "8" => ("authentication", "logout", "end", Some(true)),
        _ => return None,
    };
    out.event(category, action);
    out.word(names::EVENT_TYPE, when);
    if let Some(worked) = worked {
        out.outcome(worked);
    }
    if category == "authentication" {
        out.some(names::USER_NAME, user);
        out.some(names::HENGWEI_AUTH_TTY, tty);
        if pid.bytes().any(|digit| digit != b'0') {
            out.digits(names::PROCESS_PID, pid);
        }
        source(host, address, out);
    }
    Some(())
}

/// Where somebody came from: the address, and the host when it is a name and no second address.
fn source(host: &str, address: &str, out: &mut Out) {
    let told = scan::address(host);
    let given = scan::address(address).filter(|address: &IpAddr| !address.is_unspecified());
    if let Some(address) = given.or(told) {
        out.address(names::SOURCE_IP, address);
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if told.is_none() && !host.is_empty() {
        let name = host.chars().all(named) && host.contains(|c: char| c.is_ascii_alphabetic());
        out.text(if name { names::SOURCE_DOMAIN } else { names::SOURCE_ADDRESS }, host);
    }
}

/// `2026-11-22T08:00:00,500000+00:00`, or `Sun Nov 22 08:00:00 2026 UTC` of old releases.
fn dated(text: &str) -> Option<Stamp> {
    if text.as_bytes().first()?.is_ascii_digit() {
        return time::iso(text.as_bytes()).map(|(stamp, _)| stamp);
    }
    let bytes = text.as_bytes();
    let plain = bytes.get(.."Sun Nov 22 08:00:00 2026".len())?;
    let stamp = time::asctime(plain)?;
    let utc = text.ends_with(" UTC") || text.ends_with(" GMT");
    Some(if utc { Stamp { offset_secs: Some(0), ..stamp } } else { stamp })
}

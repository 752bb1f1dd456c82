//! Messages of FreeRADIUS: `radius.log`, the same from syslog, and the blocks of a `detail` file.
//!
//! A login is `[NAME]` or `[NAME/PASSWORD]`, as the server is configured to log, both as the client
//! sent them, and so is the station behind `cli`. Where a line has the words between them twice, name and
//! station stay unread and the event says so. A password is never made a field; where name and password
//! can't be told apart neither is the name.

use super::out::Out;
use super::time::asctime;
use super::{Decoder, Line, Looks, scan};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "freeradius",
    datasets: &["freeradius"],
    programs: &["radiusd", "freeradius"],
    paths: &["radius.log", "freeradius", "radacct"],
    looks: Looks { first: b"SMTWF", test: looks_like },
    security: true,
    decode,
};

/// The length of `Sat Feb 28 08:10:01 2026`.
const STAMP: usize = 24;
/// What stands before the message in `radius.log`.
const LEVELS: &[&str] = &["Auth", "Info", "Error", "Warning", "Warn", "Proxy", "Acct", "Debug"];
/// How the login messages begin, the action, and whether it worked. The server says `Login incorrect`
/// of a request it called `Invalid user`, too; only the former is counted as a login.
const LOGINS: &[(&str, &str, bool)] = &[
    ("Login OK", "radius_login", true),
    ("Login incorrect", "radius_login", false),
    ("Invalid user", "radius_invalid_user", false),
    ("Multiple logins", "radius_multiple_logins", false),
];
/// What stands between the name and who asked.
const BETWEEN: &str = "] (from client ";
/// Attributes of a `detail` block that are fields.
const ATTRIBUTES: &[(&str, FieldId)] = &[
    ("User-Name", names::USER_NAME),
    ("NAS-IP-Address", names::OBSERVER_NAME),
    ("Framed-IP-Address", names::SOURCE_IP),
    ("Calling-Station-Id", names::SOURCE_MAC),
    ("Called-Station-Id", names::DESTINATION_MAC),
    ("Acct-Session-Id", names::HENGWEI_SESSION_ID),
    ("Acct-Terminate-Cause", names::EVENT_REASON),
    ("Acct-Input-Octets", names::SOURCE_BYTES),
    ("Acct-Output-Octets", names::DESTINATION_BYTES),
];

fn looks_like(line: &str) -> bool {
    let Some((stamp, rest)) = line.split_at_checked(STAMP) else { return false };
    let told = rest.strip_prefix(" : ").and_then(|rest| rest.split_once(": "));
    let block = rest.starts_with("\n\t") && rest.contains(" = ");
    (told.is_some_and(|(level, _)| LEVELS.contains(&level)) || block)
        && asctime(stamp.as_bytes()).is_some()
}

/// Reads one message or block.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let mut message = line.message;
    if let Some((stamp, rest)) = message.split_at_checked(STAMP)
        && let Some(stamp) = asctime(stamp.as_bytes())
    {
        out.stamp(&stamp);
        if let Some(block) = rest.strip_prefix('\n') {
            return detail(block, out).is_some();
        }
        let Some(rest) = rest.strip_prefix(" : ") else { return false };
        message = rest;
    }
    let level = match message.split_once(": ") {
        Some((level, rest)) if LEVELS.contains(&level) => {
            message = rest;
            Some(level)
        }
        _ => None,
    };
    // `(17) `: the number of the request.
    if let Some((number, rest)) = message.strip_prefix('(').and_then(|rest| rest.split_once(") "))
        && scan::is_digits(number)
    {
        message = rest;
    }
    if login(message, out).is_some() || server(message, out).is_some() {
        return true;
    }
    let Some(level) = level else { return false };
    out.event("authentication", "radius_message");
    if level != "Auth" {
        out.owned(names::LOG_LEVEL, &level.to_ascii_lowercase());
    }
    out.some(names::EVENT_REASON, message);
    true
}

/// `Login incorrect (REASON): [NAME/PASSWORD] (from client NAME port N cli MAC)[ via TLS tunnel]`.
fn login(message: &str, out: &mut Out) -> Option<()> {
    let (start, action, success) =
        LOGINS.iter().find(|(start, _, _)| message.starts_with(start))?;
    let rest = message.strip_prefix(start)?;
    let (said, rest) = match rest.strip_prefix(" (") {
        Some(rest) => rest.split_once("): [")?,
        None => ("", rest.strip_prefix(": [")?),
    };
    let (who, from) = rest.split_once(BETWEEN)?;
    out.event("authentication", action);
    out.outcome(*success);
    if from.contains(BETWEEN) {
        out.problem("name or station imitate the log; neither is read");
        return Some(());
    }
    let (from, _) = from.split_once(')')?;
    let name = match who.split_once('/') {
        Some((name, secret)) if !secret.contains('/') || secret.starts_with("<via ") => name,
        Some(_) => {
            out.problem("name and password hold slashes and cannot be told apart");
            ""
        }
        None => who,
    };
    out.some(names::USER_NAME, name);
    out.some(names::EVENT_REASON, said);
    let (client, rest) = from.split_once(" port ").unwrap_or((from, ""));
    out.some(names::OBSERVER_NAME, client);
    if let Some((_, station)) = rest.split_once(" cli ") {
        station_of(station, out);
    }
    Some(())
}

/// The caller: an address, a MAC or a telephone number.
fn station_of(station: &str, out: &mut Out) {
    match scan::address(station) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_MAC, station),
    }
}

fn server(message: &str, out: &mut Out) -> Option<()> {
    if message == "Ready to process requests" {
        out.event("process", "radius_started");
        return Some(());
    }
    if message == "Exiting normally" {
        out.event("process", "radius_stopped");
        return Some(());
    }
    // Whoever asks without being a client.
    let (what, from) = message.split_once(" from unknown client ")?;
    let (address, rest) = from.split_once(" port ").unwrap_or((from, ""));
    let address = scan::address(address)?;
    out.event("authentication", "radius_unknown_client");
    out.outcome(false);
    out.address(names::SOURCE_IP, address);
    let port = rest.split_once(' ').map_or(rest, |(port, _)| port);
    out.digits(names::SOURCE_PORT, port);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// Lines `\tAttribute = value` of an accounting or authentication packet.
fn detail(block: &str, out: &mut Out) -> Option<()> {
    let mut action = "radius_packet";
    let mut known = false;
    for line in block.split('\n') {
        let Some((name, value)) = line.trim_start().split_once(" = ") else { continue };
        let value = value.trim_end();
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        if name == "Acct-Status-Type" {
            action = match value {
                "Start" => "radius_session_started",
                "Stop" => "radius_session_stopped",
                "Interim-Update" => "radius_session_updated",
                "Accounting-On" => "radius_accounting_on",
                "Accounting-Off" => "radius_accounting_off",
                _ => action,
            };
        }
        let Some((_, id)) = ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name) else {
            continue;
        };
        known = true;
        match *id {
            names::SOURCE_IP => match scan::address(value) {
                Some(address) => out.address(*id, address),
                None => out.some(*id, value),
            },
            names::SOURCE_BYTES | names::DESTINATION_BYTES => out.digits(*id, value),
            _ => out.some(*id, value),
        }
    }
    out.event("session", action);
    known.then_some(())
}

//! Messages of OpenLDAP's slapd at its usual level (`stats`), from syslog or its own log.
//!
//! A connection is told in several lines that only share its number: `ACCEPT` has the address, `BIND`
//! the name, `RESULT` the outcome. The number is `hengwei.session.id`. A bind is counted by its result
//! (`ldap_bind`), which is the line that says whether it worked; the request before it is
//! `ldap_bind_request` and has the name.
//!
//! Names and filters are the client's. slapd escapes quotation marks in names, not in filters, which
//! therefore are read to the end of the line.

use super::out::Out;
use super::{Decoder, Line, Looks, NUMBER, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "openldap",
    datasets: &["openldap"],
    programs: &["slapd"],
    paths: &["slapd.log", "openldap"],
    looks: Looks { first: &[b'a', b'b', b'c', b'd', b'e', b'f', NUMBER], test: looks_like },
    security: true,
    decode,
};

/// The digits of slapd's own stamp: seconds, a dot, nanoseconds, both hexadecimal.
const STAMP: usize = 17;
const NANOS: i64 = 1_000_000_000;

/// What an operation's line begins with, its action and its category.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("ADD ", "ldap_add", "iam"),
    ("DEL ", "ldap_delete", "iam"),
    ("MOD ", "ldap_modify", "iam"),
    ("MODRDN ", "ldap_rename", "iam"),
    ("PASSMOD", "ldap_password_change", "iam"),
    ("CMP ", "ldap_compare", "database"),
    ("EXT ", "ldap_extended", "database"),
    ("WHOAMI", "ldap_whoami", "database"),
    ("STARTTLS", "ldap_starttls", "network"),
    ("ABANDON ", "ldap_abandon", "database"),
    ("UNBIND", "ldap_unbind", "session"),
];

/// Which operation a result answers, by the tag of the answer.
const TAGS: &[(&str, &str, &str)] = &[
    ("97", "ldap_bind", "authentication"),
    ("101", "ldap_search", "database"),
    ("103", "ldap_modify", "iam"),
    ("105", "ldap_add", "iam"),
    ("107", "ldap_delete", "iam"),
    ("109", "ldap_rename", "iam"),
    ("111", "ldap_compare", "database"),
    ("120", "ldap_extended", "database"),
];

/// What the usual results mean.
const ERRORS: &[(i64, &str)] = &[
    (1, "operations error"),
    (3, "time limit exceeded"),
    (4, "size limit exceeded"),
    (8, "stronger authentication required"),
    (13, "confidentiality required"),
    (16, "no such attribute"),
    (19, "constraint violation"),
    (32, "no such object"),
    (34, "invalid name"),
    (48, "inappropriate authentication"),
    (49, "invalid credentials"),
    (50, "insufficient access"),
    (52, "unavailable"),
    (53, "unwilling to perform"),
    (68, "already exists"),
];
/// Results that are answers, not failures: referral, and the outcomes of a comparison.
const ANSWERS: &[i64] = &[0, 5, 6, 10, 14];

fn looks_like(line: &str) -> bool {
    let line = own_stamp(line).map_or(line, |(_, message)| message);
    line.strip_prefix("conn=").is_some_and(|rest| {
        let rest = rest.trim_start_matches(|byte: char| byte.is_ascii_digit());
        rest.starts_with(" fd=") || rest.starts_with(" op=")
    })
}

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match own_stamp(line.message) {
        Some((time, message)) => {
            out.time = Some(time);
            message
        }
        None => line.message,
    };
    read(message, out).is_some()
}

/// `6b02b340.07a3d947 0x7f73ca7fe6c0 conn=…`: when, and the message.
fn own_stamp(line: &str) -> Option<(i64, &str)> {
    let (stamp, rest) = line.split_at_checked(STAMP)?;
    let (seconds, nanos) = stamp.split_once('.')?;
    if seconds.len() != nanos.len() {
        return None;
    }
    let seconds = i64::from_str_radix(seconds, 16).ok()?;
    let nanos = i64::from_str_radix(nanos, 16).ok()?;
    let (_, message) = rest.strip_prefix(" 0x")?.split_once(' ')?;
    Some((seconds.checked_mul(NANOS)?.checked_add(nanos)?, message))
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let Some(rest) = message.strip_prefix("conn=") else { return server(message, out) };
    let (connection, rest) = rest.split_once(' ')?;
    connection.parse::<u64>().ok()?;
    out.text(names::HENGWEI_SESSION_ID, connection);
    let (_, what) = rest.split_once(' ')?;
    if rest.starts_with("fd=") {
        return socket(what, out);
    }
    if rest.starts_with("op=") {
        return operation(what, out);
    }
    None
}

/// `slapd starting`, `slapd stopped.`.
fn server(message: &str, out: &mut Out) -> Option<()> {
    let action = match message {
        "slapd starting" => "ldap_server_started",
        "slapd stopped." => "ldap_server_stopped",
        _ => return None,
    };
    out.event("process", action);
    Some(())
}

/// `ACCEPT from IP=ADDRESS:PORT (IP=ADDRESS:PORT)`, `closed (REASON)`, `TLS established …`.
fn socket(what: &str, out: &mut Out) -> Option<()> {
    if let Some(from) = what.strip_prefix("ACCEPT from ") {
        out.event("network", "ldap_connection");
        out.word(names::EVENT_TYPE, "start");
        let (from, to) = from.split_once(" (").unwrap_or((from, ""));
        if let Some((address, port)) = from.strip_prefix("IP=").and_then(scan::endpoint) {
            out.address(names::SOURCE_IP, address);
            out.integer(names::SOURCE_PORT, port.into());
        }
        let to = to.strip_suffix(')').and_then(|to| to.strip_prefix("IP="));
        if let Some((address, port)) = to.and_then(scan::endpoint) {
            out.address(names::DESTINATION_IP, address);
            out.integer(names::DESTINATION_PORT, port.into());
        }
        return Some(());
    }
    if let Some(reason) = what.strip_prefix("closed") {
        out.event("network", "ldap_disconnect");
        out.word(names::EVENT_TYPE, "end");
        out.some(names::EVENT_REASON, reason.trim_start().trim_matches(['(', ')']));
        return Some(());
    }
    if what.starts_with("TLS established ") {
        out.event("network", "ldap_tls_established");
        return Some(());
    }
    if what.starts_with("TLS negotiation failure") {
        out.event("network", "ldap_tls_established");
        out.outcome(false);
        return Some(());
    }
    None
}

fn operation(what: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = what.strip_prefix("BIND ") {
        return bind(rest, out);
    }
    if let Some(rest) = what.strip_prefix("SRCH ") {
        return search(rest, out);
    }
    let result = what.strip_prefix("SEARCH RESULT ").or_else(|| what.strip_prefix("RESULT "));
    if let Some(rest) = result {
        return ended(rest, out);
    }
    let (start, action, category) =
        OPERATIONS.iter().find(|(start, _, _)| what.starts_with(*start))?;
    out.event(category, action);
    let rest = what.strip_prefix(start)?;
    if let Some(names) = rest.strip_prefix("attr=") {
        out.some(names::HENGWEI_LDAP_ATTRIBUTES, names);
    }
    if let Some(dn) =
        rest.trim_start().strip_prefix("dn=\"").or_else(|| rest.strip_prefix(" id=\""))
        && let Some((dn, _)) = dn.split_once('"')
    {
        out.some(names::HENGWEI_LDAP_DN, dn);
    }
    Some(())
}

/// `dn="NAME" method=N`, `dn="NAME" mech=SIMPLE …`, `anonymous mech=implicit …`.
fn bind(rest: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ldap_bind_request");
    if rest.starts_with("anonymous ") {
        return Some(());
    }
    let name = rest.strip_prefix("dn=\"").or_else(|| rest.strip_prefix("authcid=\""));
    let (name, rest) = name?.split_once('"')?;
    out.some(names::USER_NAME, name);
    if let Some(mechanism) = scan::value(rest, "mech=") {
        out.some(names::HENGWEI_AUTH_METHOD, mechanism);
    }
    Some(())
}

/// `base="NAME" scope=N deref=N filter="FILTER"`, `attr=NAME NAME`.
fn search(rest: &str, out: &mut Out) -> Option<()> {
    out.event("database", "ldap_search_request");
    if let Some(attributes) = rest.strip_prefix("attr=") {
        out.some(names::HENGWEI_LDAP_ATTRIBUTES, attributes);
        return Some(());
    }
    let (base, rest) = rest.strip_prefix("base=\"")?.split_once('"')?;
    let (options, filter) = rest.split_once(" filter=\"")?;
    out.some(names::HENGWEI_LDAP_BASE, base);
    out.digits(names::HENGWEI_LDAP_SCOPE, scan::value(options, "scope=").unwrap_or_default());
    out.some(names::HENGWEI_LDAP_FILTER, filter.strip_suffix('"').unwrap_or(filter));
    Some(())
}

/// `[oid=…] tag=N err=N [qtime=S etime=S] [nentries=N] text=TEXT`.
fn ended(rest: &str, out: &mut Out) -> Option<()> {
    let (head, text) = rest.split_once("text=").unwrap_or((rest, ""));
    let tag = scan::value(head, "tag=").unwrap_or("120");
    let error: i64 = scan::value(head, "err=")?.parse().ok()?;
    let known = TAGS.iter().find(|(known, _, _)| *known == tag);
    let (category, action) =
        known.map_or(("database", "ldap_result"), |(_, action, category)| (*category, *action));
    out.event(category, action);
    // A bind that goes on is neither.
    if error != 14 {
        out.outcome(ANSWERS.contains(&error));
    }
    if error != 0 {
        out.integer(names::EVENT_CODE, error);
    }
    match ERRORS.iter().find(|(known, _)| *known == error) {
        Some((_, reason)) if text.is_empty() => out.word(names::EVENT_REASON, reason),
        _ => out.some(names::EVENT_REASON, text),
    }
    if let Some(entries) = scan::value(head, "nentries=") {
        out.digits(names::HENGWEI_LDAP_ENTRIES, entries);
    }
    if let Some(seconds) = scan::value(head, "etime=").and_then(|text| text.parse::<f64>().ok())
        && (0.0..1e9).contains(&seconds)
    {
        #[expect(clippy::cast_possible_truncation, reason = "below 2^63")]
        out.integer(names::EVENT_DURATION, (seconds * 1e9) as i64);
    }
    Some(())
}

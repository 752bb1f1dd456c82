//! Messages of SIP servers: Kamailio and OpenSIPS, Asterisk, FreeSWITCH. Who registers with a wrong
//! password, who floods, and which transactions were answered.
//!
//! Names, URIs and call ids are the caller's. In the accounting line of Kamailio they stand among the
//! server's own `key=value;`: a key that stands there twice is not believed. In the others the address
//! is the last of its kind, behind the names; Asterisk writes the call id behind it, so there an address that
//! stands twice is none.

use super::out::Out;
use super::time::{bsd, iso};
use super::{Decoder, Line, Looks, NUMBER, scan};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "kamailio",
    datasets: &["kamailio"],
    programs: &["kamailio", "opensips", "ser"],
    paths: &["kamailio", "opensips"],
    looks: Looks { first: &[b' ', NUMBER], test: |line| own_file(line).is_some() },
    security: false,
    decode,
};

pub(crate) const ASTERISK: Decoder = Decoder {
    name: "asterisk",
    datasets: &["asterisk"],
    programs: &["asterisk"],
    paths: &["/asterisk/"],
    looks: Looks { first: b"[", test: |line| asterisk_entry(line).is_some() },
    security: false,
    decode: decode_asterisk,
};

pub(crate) const FREESWITCH: Decoder = Decoder {
    name: "freeswitch",
    datasets: &["freeswitch"],
    programs: &["freeswitch"],
    paths: &["freeswitch"],
    looks: Looks::NEVER,
    security: false,
    decode: decode_freeswitch,
};

const LEVELS: &[&str] =
    &["ALERT", "BUG", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

/// Keys of an accounting line, and the field each is.
const ACCOUNTED: &[(&str, FieldId)] = &[
    ("method", names::SIP_METHOD),
    ("call_id", names::SIP_CALL_ID),
    ("code", names::SIP_STATUS_CODE),
    ("reason", names::EVENT_REASON),
    ("src_user", names::USER_NAME),
    ("src_domain", names::USER_DOMAIN),
    ("src_ip", names::SOURCE_IP),
    ("src_port", names::SOURCE_PORT),
    ("from_uri", names::SIP_FROM_URI),
    ("to_uri", names::SIP_TO_URI),
    ("dst_user", names::USER_TARGET_NAME),
];
/// Those that every line has, the last of which are the server's.
const ALWAYS: &[&str] = &["method", "call_id", CODE, "reason"];
const CODE: &str = "code";
/// What stands between a name and an address in Asterisk's lines.
const FAILED_FOR: &str = "' failed for '";
/// How scripts begin the line of a login that failed.
const FAILED: &[&str] = &[
    "Auth error for ",
    "Auth failed for ",
    "auth failed for ",
    "Authentication failed for ",
    "authentication failed for ",
    "Registration failed for ",
];

/// Reads one message of Kamailio.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = own_file(line.message).unwrap_or(line.message);
    let Some((level, rest)) = message.split_once(": ").filter(|(level, _)| LEVELS.contains(level))
    else {
        return false;
    };
    out.owned(names::LOG_LEVEL, &level.to_ascii_lowercase());
    // `{1 1 REGISTER CALLID} `: the prefix of lines about a message.
    let rest = match rest.strip_prefix('{').and_then(|rest| rest.split_once("} ")) {
        Some((_, rest)) => rest,
        None => rest,
    };
    let text = match rest.split_once(": ") {
        Some((module, text)) if module == "<script>" || module.ends_with(']') => {
            let module = module.split_once(' ').map_or(module, |(module, _)| module);
            out.text(names::LOG_LOGGER, module);
            text.split_once("(): ")
                .filter(|(name, _)| !name.contains(' '))
                .map_or(text, |(_, rest)| rest)
        }
        _ => rest,
    };
    if said(text.trim_end(), out).is_none() {
        out.event("network", "sip_message");
        out.some(names::EVENT_REASON, text);
    }
    true
}

/// ` 1(24076) LEVEL: …`: what it writes to a terminal or container; the message comes back.
fn own_file(line: &str) -> Option<&str> {
    let (number, rest) = line.trim_start().split_once('(')?;
    let (pid, message) = rest.split_once(") ")?;
    let (level, _) = message.split_once(": ")?;
    (scan::is_digits(number) && scan::is_digits(pid) && LEVELS.contains(&level)).then_some(message)
}

fn said(text: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = text.strip_prefix("ACC: ") {
        return accounted(rest, out);
    }
    if let Some(rest) = text.strip_prefix("PIKE - BLOCKing ip ") {
        let address = rest.split_once(',').map_or(rest, |(address, _)| address);
        out.address(names::SOURCE_IP, scan::address(address)?);
        out.event("network", "sip_flood_blocked");
        out.word(names::EVENT_TYPE, "denied");
        out.security = true;
        return Some(());
    }
    let blocking = text.strip_prefix("ALERT: ").unwrap_or(text);
    let blocking = blocking.strip_prefix("pike ").unwrap_or(blocking);
    if let Some(rest) = blocking.strip_prefix("blocking ") {
        let (method, rest) = rest.split_once(" from ")?;
        let (uri, address) = rest.rsplit_once(" (IP:")?;
        let (address, port) = scan::endpoint(address.strip_suffix(')')?)?;
        out.event("network", "sip_blocked");
        out.word(names::EVENT_TYPE, "denied");
        out.security = true;
        out.text(names::SIP_METHOD, method);
        out.some(names::SIP_FROM_URI, uri);
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
        return Some(());
    }
    let rest = FAILED.iter().find_map(|start| text.strip_prefix(start))?;
    let (user, from) = rest.rsplit_once(" from ")?;
    let (address, cause) = from.split_once(' ').unwrap_or((from, ""));
    let address = scan::address(address.trim_end_matches([',', '.', ':']))?;
    failed(user, out);
    out.address(names::SOURCE_IP, address);
    out.some(names::EVENT_REASON, cause);
    Some(())
}

/// `transaction answered: timestamp=…;method=…;from_tag=…;call_id=…;code=…;reason=…;src_ip=…`.
fn accounted(rest: &str, out: &mut Out) -> Option<()> {
    let (what, pairs) = rest.split_once(": ")?;
    let mut found: [Option<&str>; ACCOUNTED.len()] = [None; ACCOUNTED.len()];
    let mut twice = [false; ACCOUNTED.len()];
    let mut coded = false;
    for pair in pairs.split(';') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let Some(at) = ACCOUNTED.iter().position(|(known, _)| *known == key) else { continue };
        coded |= key == CODE;
        // What the administrator adds stands behind the code, in front of which the tags and the id are
        // the caller's.
        let added = !ALWAYS.contains(&key);
        twice[at] |= found[at].is_some() || added && !coded;
        found[at] = Some(value);
    }
    out.event("session", "sip_transaction");
    out.some(names::EVENT_PROVIDER, what);
    if twice.contains(&true) {
        out.problem("a key stands twice, or where the caller writes; no value of it is read");
    }
    let mut code = None;
    for ((value, twice), (_, id)) in found.iter().zip(twice).zip(ACCOUNTED) {
        let Some(value) = value.filter(|value| !twice && !value.is_empty()) else { continue };
        match *id {
            names::SOURCE_IP => match scan::address(value) {
                Some(address) => out.address(*id, address),
                None => out.text(names::SOURCE_ADDRESS, value),
            },
            names::SIP_STATUS_CODE => {
                code = value.parse::<u16>().ok();
                out.digits(*id, value);
            }
            names::SOURCE_PORT => out.digits(*id, value),
            _ => out.text(*id, value),
        }
    }
    match code {
        Some(200..300) => out.outcome(true),
        Some(300..) => out.outcome(false),
        _ => {}
    }
    Some(())
}

/// What stands before the message in a line of Asterisk's own file.
struct Entry<'a> {
    stamp: super::time::Stamp,
    level: &'a str,
    message: &'a str,
}

/// `[Feb 28 08:10:01] NOTICE[4411][C-00000001] FILE: MESSAGE`, or an ISO stamp in the brackets.
fn asterisk_entry(line: &str) -> Option<Entry<'_>> {
    let rest = line.strip_prefix('[')?;
    let (stamp, len) = bsd(rest.as_bytes()).or_else(|| iso(rest.as_bytes()))?;
    let rest = rest.get(len..)?.strip_prefix("] ")?;
    let (level, rest) = rest.split_once('[')?;
    if !matches!(level, "NOTICE" | "WARNING" | "ERROR" | "SECURITY" | "VERBOSE" | "DEBUG") {
        return None;
    }
    let (ids, message) = rest.split_once(": ")?;
    ids.contains(']').then_some(Entry { stamp, level, message })
}

/// Reads one line of Asterisk.
fn decode_asterisk(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match asterisk_entry(line.message) {
        Some(entry) => {
            out.stamp(&entry.stamp);
            out.owned(names::LOG_LEVEL, &entry.level.to_ascii_lowercase());
            entry.message
        }
        // In syslog the level and the file stand before the message.
        None if line.program == Some("asterisk") => line.message,
        None => return false,
    };
    let claimed = message.len() != line.message.len();
    let mark = out.mark();
    let read = match message.find("SecurityEvent=\"") {
        Some(at) => message.get(at..).and_then(|text| security_event(text, out)),
        None => registration(message, out),
    };
    if read.is_none() {
        out.reset(mark);
        if claimed {
            out.event("network", "sip_message");
            out.some(names::EVENT_REASON, message);
        }
    }
    read.is_some() || claimed
}

/// `Registration from 'URI' failed for 'ADDRESS:PORT' - REASON`, `Request 'REGISTER' from 'URI' failed
/// for 'ADDRESS:PORT' (callid: ID) - REASON`: the caller's words stand on both sides of his address.
fn registration(message: &str, out: &mut Out) -> Option<()> {
    let (head, rest) = message.split_once(FAILED_FOR)?;
    if rest.contains(FAILED_FOR) {
        failed("", out);
        out.problem("a name imitates the log: neither user nor address is taken");
        return Some(());
    }
    let (place, reason) = rest.split_once('\'')?;
    let (_, uri) = head.split_once(" from '")?;
    let (address, port) = match scan::endpoint(place) {
        Some((address, port)) => (address, Some(port)),
        None => (scan::address(place)?, None),
    };
    failed(uri, out);
    out.address(names::SOURCE_IP, address);
    if let Some(port) = port {
        out.integer(names::SOURCE_PORT, port.into());
    }
    let reason = reason.rsplit_once(" - ").map_or(reason, |(_, reason)| reason);
    out.some(names::EVENT_REASON, reason.trim());
    Some(())
}

/// `SecurityEvent="InvalidPassword",EventTV="…",…,AccountID="…",…,RemoteAddress="IPV4/UDP/ADDRESS/PORT"`.
fn security_event(text: &str, out: &mut Out) -> Option<()> {
    let value = |key: &str| -> Option<&str> {
        let (_, rest) = text.split_once(key)?;
        // A key that stands twice was written by the caller once.
        if rest.contains(key) { None } else { Some(rest.split_once('"')?.0) }
    };
    let event = text.strip_prefix("SecurityEvent=\"")?.split_once('"')?.0;
    let success = matches!(event, "SuccessfulAuth");
    let is_failure = matches!(
        event,
        "InvalidPassword"
            | "InvalidAccountID"
            | "ChallengeResponseFailed"
            | "FailedACL"
            | "AuthMethodNotAllowed"
            | "UnexpectedAddress"
    );
    out.security = true;
    out.event(
        "authentication",
        if success || is_failure { "sip_login" } else { "sip_security_event" },
    );
    if success || is_failure {
        out.outcome(success);
    }
    out.text(names::EVENT_REASON, event);
    out.some(names::USER_NAME, value(",AccountID=\"").unwrap_or_default());
    let mut remote = value(",RemoteAddress=\"").unwrap_or_default().split('/').skip(1);
    if let Some(transport) = remote.next() {
        out.owned(names::NETWORK_TRANSPORT, &transport.to_ascii_lowercase());
    }
    if let Some(address) = remote.next().and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
        out.digits(names::SOURCE_PORT, remote.next().unwrap_or_default());
    }
    Some(())
}

/// Reads one line of FreeSWITCH: `[ID ]STAMP [CPU%] [WARNING] sofia_reg.c:1793 SIP auth failure (REGISTER) on sofia
/// profile 'internal' for [USER@DOMAIN] from ip ADDRESS`.
fn decode_freeswitch(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if let Some((stamp, _)) = iso(message.as_bytes()) {
        out.stamp(&stamp);
    }
    let read = || {
        let (_, rest) = message.split_once(" SIP auth ")?;
        let (what, rest) = rest.split_once(" (")?;
        let (method, rest) = rest.split_once(") on sofia profile '")?;
        let (_, rest) = rest.split_once("' for [")?;
        let (user, address) = rest.rsplit_once("] from ip ")?;
        Some((what, method, user, scan::address(address.trim_end())?))
    };
    let Some((what, method, user, address)) = read() else { return false };
    match what {
        "failure" => failed(user, out),
        // Any call begins without an answer to it.
        "challenge" => {
            out.event("network", "sip_challenge");
            out.some(names::SIP_FROM_URI, user);
        }
        _ => return false,
    }
    out.text(names::SIP_METHOD, method);
    out.address(names::SOURCE_IP, address);
    true
}

/// A login that failed, by the name or URI it was tried for.
fn failed(user: &str, out: &mut Out) {
    out.security = true;
    out.event("authentication", "sip_login");
    out.outcome(false);
    let uri = user.rsplit_once('<').and_then(|(_, uri)| uri.strip_suffix('>')).unwrap_or(user);
    out.some(names::SIP_FROM_URI, uri);
    let bare = uri.strip_prefix("sips:").or_else(|| uri.strip_prefix("sip:")).unwrap_or(uri);
    out.some(names::USER_NAME, bare.split_once('@').map_or(bare, |(name, _)| name));
}

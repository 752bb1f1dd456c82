//! Messages of OpenSSH's server, versions 7 to 10.
//!
//! User names, methods, banners and disconnect reasons are chosen by whoever connects and may hold
//! any text, such as `root from 203.0.113.9 port 22 ssh2`. So every message is read from the end
//! that the peer does not write: where a name stands before the address, the last ` from ` counts;
//! where a reason stands behind it, the first.
//!
//! Only `Failed …` and `Accepted …` are logins (`ssh_login`). The lines that accompany them
//! (`Invalid user`, PAM, disconnects) have actions of their own, so that a login is counted once.

use std::net::IpAddr;

use super::out::Out;
use super::{Decoder, Line, Looks, pam, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "sshd",
    datasets: &["sshd"],
    programs: &["sshd", "sshd-session", "sshd-auth"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

type Shape = fn(&str, &mut Out) -> Option<()>;

/// How a message begins, and who reads what follows. The frequent ones first.
const SHAPES: &[(&str, Shape)] = &[
    ("Failed ", failed),
    ("Accepted ", accepted),
    ("Received disconnect from ", received_disconnect),
    ("Invalid user ", invalid_user),
    ("Illegal user ", invalid_user),
    ("input_userauth_request: invalid user ", requested_invalid_user),
    ("Connection closed by ", closed),
    ("Connection reset by ", closed),
    ("Disconnected from ", closed),
    ("reverse mapping checking getaddrinfo for ", reverse_mapping),
    ("Address ", address_maps),
    ("Did not receive identification string from ", no_identification),
    ("Disconnecting ", disconnecting),
    ("Disconnecting: ", disconnecting_bare),
    ("maximum authentication attempts exceeded for ", max_attempts),
    ("User ", user_line),
    ("ROOT LOGIN REFUSED FROM ", root_refused),
    ("Postponed ", postponed),
    ("Partial ", partial),
    ("banner exchange: Connection from ", banner),
    ("ssh_dispatch_run_fatal: Connection from ", dispatch),
    ("Bad protocol version identification ", bad_version),
    ("Unable to negotiate with ", negotiate),
    ("kex_exchange_identification: ", exchange),
    ("Protocol major versions differ for ", negotiate),
    ("Connection from ", connection),
    ("Starting session: ", session),
    ("Timeout before authentication for ", timeout),
    ("drop connection ", dropped),
    ("Server listening on ", listening),
    ("Received signal ", signal),
    ("PAM: ", pam_error),
    ("subsystem request for ", subsystem),
    ("Authentication refused: ", refused),
    ("Could not get shadow information for ", no_shadow),
    ("Close session: ", session_closed),
    ("srclimit_penalise: ", penalised),
    ("Nasty PTR record ", nasty),
    ("refused connect from ", refused_host),
    ("Exiting on signal", |rest, out| signal(rest.trim_start(), out)),
    ("Authentication key ", revoked),
    ("Certificate invalid: ", refused),
];

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if message.starts_with("pam_") || message.starts_with("PAM ") {
        return pam::decode(line, out);
    }
    let body = message.strip_suffix(" [preauth]").unwrap_or(message);
    let (level, body) = match body.split_once(": ") {
        Some((level @ ("error" | "fatal"), rest)) => (Some(level), rest),
        _ => (None, body),
    };
    let mark = out.mark();
    for (start, shape) in SHAPES {
        if let Some(rest) = body.strip_prefix(start) {
            if shape(rest, out).is_some() {
                return true;
            }
            out.reset(mark);
        }
    }
    match level {
        Some(level) => {
            out.event("authentication", "ssh_error");
            out.text(names::LOG_LEVEL, level);
            out.some(names::ERROR_MESSAGE, body);
            true
        }
        None => false,
    }
}

fn failed(rest: &str, out: &mut Out) -> Option<()> {
    login(rest, "ssh_login", Some(false), out)
}

fn accepted(rest: &str, out: &mut Out) -> Option<()> {
    login(rest, "ssh_login", Some(true), out)
}

fn postponed(rest: &str, out: &mut Out) -> Option<()> {
    login(rest, "ssh_login_postponed", None, out)
}

fn partial(rest: &str, out: &mut Out) -> Option<()> {
    login(rest, "ssh_login_partial", None, out)
}

/// `METHOD for [invalid user ]USER from ADDRESS port N ssh2[: KEY]`.
fn login(rest: &str, action: &'static str, success: Option<bool>, out: &mut Out) -> Option<()> {
    let (method, who) = rest.split_once(" for ")?;
    let (user, from, key) = match who.strip_suffix(" ssh2") {
        Some(who) => {
            let (user, from) = split_from(who)?;
            (user, from, None)
        }
        // sshd names a key only for users that exist, whose names hold no blank; the comment of a
        // certificate, which follows, may hold anything.
        None => {
            let (user, rest) = who.split_once(" from ")?;
            let (from, key) = rest.split_once(" ssh2: ")?;
            (user, from, Some(key))
        }
    };
    let peer = scan::peer(from);
    // Old versions may name a host instead of its address; the login counts all the same.
    let host = if peer.is_none() { Some(named_host(from)?) } else { None };
    out.event("authentication", action);
    if let Some(success) = success {
        out.outcome(success);
    }
    let method = method.split_once('/').map_or(method, |(method, _)| method);
    out.text(names::HENGWEI_AUTH_METHOD, method);
    named(user, out);
    if let Some((address, port)) = peer {
        source(address, port, out);
    }
    if let Some((host, port)) = host {
        out.text(names::SOURCE_DOMAIN, host);
        source(None, Some(port), out);
    }
    if let Some((kind, fingerprint)) = key.and_then(|key| key.split_once(' ')) {
        out.text(names::HENGWEI_SSH_KEY_TYPE, kind);
        let fingerprint = fingerprint.split_once(' ').map_or(fingerprint, |(first, _)| first);
        out.text(names::HENGWEI_SSH_KEY_FINGERPRINT, fingerprint);
    }
    Some(())
}

/// `USER from ADDRESS[ port N]`.
fn invalid_user(rest: &str, out: &mut Out) -> Option<()> {
    let (user, from) = split_from(rest)?;
    let (address, port) = scan::peer(from)?;
    requested_invalid_user(user, out)?;
    source(address, port, out);
    Some(())
}

fn requested_invalid_user(user: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_invalid_user");
    out.outcome(false);
    out.some(names::USER_NAME, user);
    out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
    Some(())
}

/// `[invalid user USER |authenticating user USER |user USER ]ADDRESS[ port N]`.
fn closed(rest: &str, out: &mut Out) -> Option<()> {
    let (user, address, port) = user_and_peer(rest)?;
    out.event("authentication", "ssh_disconnect");
    if let Some(user) = user {
        named(user, out);
    }
    source(address, port, out);
    Some(())
}

/// `ADDRESS[ port N]:CODE: REASON`: the reason is the peer's own words.
fn received_disconnect(rest: &str, out: &mut Out) -> Option<()> {
    let (address, port, reason) = peer_and_rest(rest)?;
    out.event("authentication", "ssh_disconnect");
    source(address, port, out);
    let reason = reason.trim_start_matches([':', ' ']);
    let (code, text) = reason.split_once(": ").unwrap_or((reason, ""));
    out.digits(names::EVENT_CODE, code.trim_end_matches(':'));
    out.some(names::EVENT_REASON, text);
    Some(())
}

/// `[invalid user |authenticating user ]USER ADDRESS port N: REASON`: the reason is the server's,
/// and the last of its kind in the line.
fn disconnecting(rest: &str, out: &mut Out) -> Option<()> {
    let (who, reason) = rest.rsplit_once(": ")?;
    let (user, address, port) = user_and_peer(who)?;
    out.event("authentication", disconnect_action(reason));
    if let Some(user) = user {
        named(user, out);
    }
    source(address, port, out);
    out.text(names::EVENT_REASON, reason);
    Some(())
}

fn disconnecting_bare(reason: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", disconnect_action(reason));
    if let Some(user) = reason.strip_prefix("Too many authentication failures for ") {
        named(user, out);
    }
    out.some(names::EVENT_REASON, reason);
    Some(())
}

fn disconnect_action(reason: &str) -> &'static str {
    if reason.starts_with("Too many authentication failures") {
        "ssh_max_attempts"
    } else {
        "ssh_disconnect"
    }
}

fn max_attempts(rest: &str, out: &mut Out) -> Option<()> {
    let (user, from) = split_from(rest.strip_suffix(" ssh2").unwrap_or(rest))?;
    let (address, port) = scan::peer(from)?;
    out.event("authentication", "ssh_max_attempts");
    out.outcome(false);
    named(user, out);
    source(address, port, out);
    Some(())
}

/// `User USER from ADDRESS not allowed because REASON`, `User child is on pid N`.
fn user_line(rest: &str, out: &mut Out) -> Option<()> {
    if let Some(pid) = rest.strip_prefix("child is on pid ") {
        out.event("authentication", "ssh_session_child");
        out.some(names::EVENT_REASON, pid);
        return Some(());
    }
    if let Some((user, reason)) = rest.rsplit_once(" not allowed because ") {
        out.event("authentication", "ssh_denied");
        out.outcome(false);
        match split_from(user) {
            Some((user, from)) => {
                out.some(names::USER_NAME, user);
                match scan::peer(from) {
                    Some((address, port)) => source(address, port, out),
                    None => out.text(names::SOURCE_DOMAIN, from),
                }
            }
            None => out.some(names::USER_NAME, user),
        }
        out.text(names::EVENT_REASON, reason);
        return Some(());
    }
    None
}

fn root_refused(rest: &str, out: &mut Out) -> Option<()> {
    let (address, port) = scan::peer(rest)?;
    out.event("authentication", "ssh_denied");
    out.outcome(false);
    out.word(names::USER_NAME, "root");
    source(address, port, out);
    Some(())
}

/// `HOST [ADDRESS] failed …`: the name is what the peer's own DNS says.
fn reverse_mapping(rest: &str, out: &mut Out) -> Option<()> {
    let (host, rest) = rest.rsplit_once(" [")?;
    let (address, _) = rest.split_once("] failed")?;
    mapping(address, host, out)
}

/// `ADDRESS maps to HOST, but this does not map back to the address…`.
fn address_maps(rest: &str, out: &mut Out) -> Option<()> {
    let (address, rest) = rest.split_once(" maps to ")?;
    let (host, _) = rest.split_once(", but ")?;
    mapping(address, host, out)
}

fn mapping(address: &str, host: &str, out: &mut Out) -> Option<()> {
    let address = scan::address(address)?;
    out.event("authentication", "ssh_reverse_mapping");
    out.address(names::SOURCE_IP, address);
    out.text(names::SOURCE_DOMAIN, host);
    Some(())
}

fn no_identification(rest: &str, out: &mut Out) -> Option<()> {
    let (address, port) = scan::peer(rest)?;
    out.event("authentication", "ssh_no_identification");
    source(address, port, out);
    Some(())
}

fn banner(rest: &str, out: &mut Out) -> Option<()> {
    about_peer(rest, "ssh_bad_banner", out)
}

fn dispatch(rest: &str, out: &mut Out) -> Option<()> {
    about_peer(rest, "ssh_error", out)
}

fn negotiate(rest: &str, out: &mut Out) -> Option<()> {
    about_peer(rest, "ssh_no_negotiation", out)
}

/// `ADDRESS port N: TEXT`.
fn about_peer(rest: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (address, port, text) = peer_and_rest(rest)?;
    out.event("authentication", action);
    source(address, port, out);
    out.some(names::EVENT_REASON, text.trim_start_matches([':', ' ']));
    Some(())
}

/// `'WHAT CAME' from ADDRESS port N`: what came is anything.
fn bad_version(rest: &str, out: &mut Out) -> Option<()> {
    let (came, from) = split_from(rest)?;
    let (address, port) = scan::peer(from)?;
    out.event("authentication", "ssh_bad_banner");
    source(address, port, out);
    out.some(names::EVENT_REASON, came);
    Some(())
}

fn exchange(rest: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_bad_banner");
    out.some(names::EVENT_REASON, rest);
    Some(())
}

/// `ADDRESS port N on ADDRESS port N[ rdomain "…"]`.
fn connection(rest: &str, out: &mut Out) -> Option<()> {
    let (from, to) = rest.split_once(" on ")?;
    let (address, port) = scan::peer(from)?;
    let to = to.split_once(" rdomain ").map_or(to, |(to, _)| to);
    let (own, own_port) = scan::peer(to)?;
    out.event("authentication", "ssh_connection");
    source(address, port, out);
    if let Some(own) = own {
        out.address(names::DESTINATION_IP, own);
    }
    if let Some(own_port) = own_port {
        out.integer(names::DESTINATION_PORT, own_port.into());
    }
    Some(())
}

/// `shell on pts/0 for USER from ADDRESS port N id 0`.
fn session(rest: &str, out: &mut Out) -> Option<()> {
    let (what, from) = split_from(rest)?;
    let from = from.split_once(" id ").map_or(from, |(from, _)| from);
    let (address, port) = scan::peer(from)?;
    let (what, user) = what.rsplit_once(" for ")?;
    out.event("authentication", "ssh_session");
    out.text(names::USER_NAME, user);
    source(address, port, out);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// `ADDRESS port N`, since 9.8 `connection from ADDRESS to ADDRESS, pid = N`.
fn timeout(rest: &str, out: &mut Out) -> Option<()> {
    let from = match rest.strip_prefix("connection from ") {
        Some(rest) => rest.split_once(" to ")?.0,
        None => rest,
    };
    let (address, port) = scan::peer(from)?;
    out.event("authentication", "ssh_timeout");
    source(address, port, out);
    Some(())
}

/// `#N from [ADDRESS]:PORT on [ADDRESS]:PORT REASON`.
fn dropped(rest: &str, out: &mut Out) -> Option<()> {
    let (_, rest) = rest.split_once(" from ")?;
    let (from, rest) = rest.split_once(" on ")?;
    let (address, port) = scan::endpoint(from)?;
    out.event("authentication", "ssh_dropped");
    source(Some(address), Some(port), out);
    if let Some((_, reason)) = rest.split_once(' ') {
        out.some(names::EVENT_REASON, reason);
    }
    Some(())
}

fn listening(rest: &str, out: &mut Out) -> Option<()> {
    let (address, port) = scan::peer(rest.trim_end_matches('.'))?;
    out.event("process", "ssh_listening");
    if let Some(address) = address {
        out.address(names::SERVER_IP, address);
    }
    out.integer(names::SERVER_PORT, port?.into());
    Some(())
}

fn signal(rest: &str, out: &mut Out) -> Option<()> {
    out.event("process", "ssh_stopped");
    out.text(names::EVENT_REASON, rest);
    Some(())
}

/// `REASON for [illegal user ]USER from HOST`.
fn pam_error(rest: &str, out: &mut Out) -> Option<()> {
    let (reason, who) = rest.split_once(" for ")?;
    let (user, from) = split_from(who)?;
    out.event("authentication", "pam_failure");
    out.outcome(false);
    named(user, out);
    match scan::peer(from) {
        Some((address, port)) => source(address, port, out),
        None => out.some(names::SOURCE_DOMAIN, from),
    }
    out.text(names::EVENT_REASON, reason);
    Some(())
}

fn subsystem(rest: &str, out: &mut Out) -> Option<()> {
    let (what, user) = rest.split_once(" by user ")?;
    let user = user.split_once(" failed, ").map_or(user, |(user, _)| user);
    out.event("authentication", "ssh_subsystem");
    out.text(names::USER_NAME, user);
    out.text(names::EVENT_REASON, what);
    Some(())
}

fn refused(rest: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_key_refused");
    out.outcome(false);
    out.text(names::EVENT_REASON, rest);
    Some(())
}

fn no_shadow(user: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_error");
    out.text(names::USER_NAME, user);
    Some(())
}

/// `user USER from ADDRESS port N id 0`.
fn session_closed(rest: &str, out: &mut Out) -> Option<()> {
    let (who, from) = split_from(rest)?;
    let from = from.split_once(" id ").map_or(from, |(from, _)| from);
    let (address, port) = scan::peer(from)?;
    out.event("authentication", "ssh_session_closed");
    out.text(names::USER_NAME, who.strip_prefix("user ").unwrap_or(who));
    source(address, port, out);
    Some(())
}

/// `ipv4: new ADDRESS/32 deferred penalty of 5 seconds for penalty: failed authentication` since 9.8,
/// `ADDRESS/32: activating ipv4 penalty of 18.071 seconds for penalty: …` since 10.
fn penalised(rest: &str, out: &mut Out) -> Option<()> {
    let network = rest.split(' ').find(|word| word.contains('/'))?;
    let (address, _) = network.split_once('/')?;
    let (_, reason) = rest.split_once("penalty: ")?;
    out.event("authentication", "ssh_penalised");
    source(Some(scan::address(address)?), None, out);
    out.some(names::EVENT_REASON, reason);
    Some(())
}

/// `"NAME" is set up for ADDRESS, ignoring`.
fn nasty(rest: &str, out: &mut Out) -> Option<()> {
    let (name, rest) = rest.strip_prefix('"')?.rsplit_once("\" is set up for ")?;
    mapping(rest.strip_suffix(", ignoring").unwrap_or(rest), name, out)
}

/// `HOST (ADDRESS)`, by hosts.deny.
fn refused_host(rest: &str, out: &mut Out) -> Option<()> {
    let (host, address) = rest.rsplit_once(" (").unwrap_or((rest, rest));
    let address = scan::address(address.trim_end_matches(')'))?;
    out.event("authentication", "ssh_denied");
    out.outcome(false);
    source(Some(address), None, out);
    if scan::address(host).is_none() {
        out.some(names::SOURCE_DOMAIN, host);
    }
    Some(())
}

/// `TYPE FINGERPRINT revoked by file PATH`.
fn revoked(rest: &str, out: &mut Out) -> Option<()> {
    let (key, _) = rest.split_once(" revoked by file ")?;
    let (kind, fingerprint) = key.split_once(' ')?;
    out.event("authentication", "ssh_key_refused");
    out.outcome(false);
    out.text(names::HENGWEI_SSH_KEY_TYPE, kind);
    out.text(names::HENGWEI_SSH_KEY_FINGERPRINT, fingerprint);
    out.text(names::EVENT_REASON, rest);
    Some(())
}

/// Splits at the last ` from `: what follows it is the server's.
fn split_from(text: &str) -> Option<(&str, &str)> {
    // An empty user leaves the blank of ` from ` at the beginning.
    text.rsplit_once(" from ").or_else(|| Some(("", text.strip_prefix("from ")?)))
}

/// A name with the words sshd puts before it.
fn named(user: &str, out: &mut Out) {
    let invalid = ["invalid user ", "illegal user "]
        .iter()
        .find_map(|words| user.strip_prefix(words))
        // The name itself may be empty, and the blank gone with it.
        .or_else(|| (user == "invalid user" || user == "illegal user").then_some(""));
    out.some(names::USER_NAME, invalid.unwrap_or(user));
    out.flag(names::HENGWEI_AUTH_INVALID_USER, invalid.is_some());
}

fn source(address: Option<IpAddr>, port: Option<u16>, out: &mut Out) {
    if let Some(address) = address {
        out.address(names::SOURCE_IP, address);
    }
    if let Some(port) = port {
        out.integer(names::SOURCE_PORT, port.into());
    }
}

/// `HOST port N`.
fn named_host(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.split_once(" port ")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then_some((host, port.parse().ok()?))
}

type Peer = (Option<IpAddr>, Option<u16>);

/// `[WORDS USER ]ADDRESS[ port N]`, from the right: the user's name with the words before it.
fn user_and_peer(text: &str) -> Option<(Option<&str>, Option<IpAddr>, Option<u16>)> {
    let (head, port) = match text.rsplit_once(" port ") {
        Some((head, port)) => (head, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let (user, host) = match head.rsplit_once(' ') {
        Some((user, host)) => (Some(user), host),
        None => (None, head),
    };
    let address = match host {
        "UNKNOWN" => None,
        host => Some(scan::address(host)?),
    };
    let user = user.map(|user| {
        let plain = ["authenticating user ", "user "];
        plain.iter().find_map(|words| user.strip_prefix(words)).unwrap_or(user)
    });
    Some((user, address, port))
}

/// `ADDRESS[ port N]` at the left, and the rest.
fn peer_and_rest(text: &str) -> Option<(Option<IpAddr>, Option<u16>, &str)> {
    let end = text.find(' ').unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    if let Some(rest) = rest.strip_prefix(" port ") {
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (port, rest) = rest.split_at(end);
        let peer: Peer = (address_or_unknown(host)?, Some(port.parse().ok()?));
        return Some((peer.0, peer.1, rest));
    }
    let host = host.strip_suffix(':').unwrap_or(host);
    Some((address_or_unknown(host)?, None, rest))
}

fn address_or_unknown(host: &str) -> Option<Option<IpAddr>> {
    match host {
        "UNKNOWN" => Some(None),
        host => scan::address(host).map(Some),
    }
}

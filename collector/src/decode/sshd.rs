//! Messages of OpenSSH's server, versions 7 to 10.
//!
//! User names, methods, banners and disconnect reasons are chosen by whoever connects and may hold
//! any text, such as `root from 203.0.113.9 port 22 ssh2`. So every message is read from the end
//! that the peer does not write: where a name stands before the address, the last ` from ` counts;
//! where a reason stands behind it, the first.
//!
//! Only `Failed …` and `Accepted …` are logins (`ssh_login`). The lines that accompany them
//! (`Invalid user`, PAM, disconnects) have actions of their own, so that a login is counted once.

mod peer;
mod sessions;

use super::out::Out;
use super::{Decoder, Line, Looks, pam, scan};
use crate::event::names;
use peer::{named, named_host, peer_and_rest, source, split_from, user_and_peer};

pub(crate) const DECODER: Decoder = Decoder {
    name: "sshd",
    datasets: &["sshd"],
    programs: &["sshd", "sshd-session", "sshd-auth"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

/// The reason that quotes the name the peer began with and the one he went on with.
const USER_CHANGED: &str = ": Change of username or service not allowed: ";

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
    ("Connection from ", sessions::connection),
    ("Starting session: ", sessions::session),
    ("Timeout before authentication for ", sessions::timeout),
    ("drop connection ", sessions::dropped),
    ("Server listening on ", sessions::listening),
    ("Received signal ", sessions::signal),
    ("PAM: ", sessions::pam_error),
    ("subsystem request for ", sessions::subsystem),
    ("Authentication refused: ", sessions::refused),
    ("Could not get shadow information for ", sessions::no_shadow),
    ("Close session: ", sessions::session_closed),
    ("srclimit_penalise: ", sessions::penalised),
    ("Nasty PTR record ", sessions::nasty),
    ("refused connect from ", sessions::refused_host),
    ("Exiting on signal", |rest, out| sessions::signal(rest.trim_start(), out)),
    ("Authentication key ", sessions::revoked),
    ("Certificate invalid: ", sessions::refused),
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
/// and the last of its kind in the line. One reason quotes two names, both of the peer: there the address
/// is the server's only where nothing else in the line looks like one.
fn disconnecting(rest: &str, out: &mut Out) -> Option<()> {
    if let Some((who, _)) = rest.split_once(USER_CHANGED) {
        if rest.matches(" port ").nth(1).is_some() {
            out.event("authentication", "ssh_disconnect");
            out.problem("a name imitates the log: neither user nor address is taken");
            return Some(());
        }
        return disconnected(who, &rest[who.len() + ": ".len()..], out);
    }
    let (who, reason) = rest.rsplit_once(": ")?;
    disconnected(who, reason, out)
}

fn disconnected(who: &str, reason: &str, out: &mut Out) -> Option<()> {
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

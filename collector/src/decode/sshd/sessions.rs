//! sshd's messages about connections, sessions, its keys and itself: all that is no attempt to log in.

use super::super::out::Out;
use super::super::scan;
use super::mapping;
use super::peer::{named, source, split_from};
use crate::event::names;

/// `ADDRESS port N on ADDRESS port N[ rdomain "…"]`.
pub(super) fn connection(rest: &str, out: &mut Out) -> Option<()> {
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
pub(super) fn session(rest: &str, out: &mut Out) -> Option<()> {
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
pub(super) fn timeout(rest: &str, out: &mut Out) -> Option<()> {
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
pub(super) fn dropped(rest: &str, out: &mut Out) -> Option<()> {
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

pub(super) fn listening(rest: &str, out: &mut Out) -> Option<()> {
    let (address, port) = scan::peer(rest.trim_end_matches('.'))?;
    out.event("process", "ssh_listening");
    if let Some(address) = address {
        out.address(names::SERVER_IP, address);
    }
    out.integer(names::SERVER_PORT, port?.into());
    Some(())
}

pub(super) fn signal(rest: &str, out: &mut Out) -> Option<()> {
    out.event("process", "ssh_stopped");
    out.text(names::EVENT_REASON, rest);
    Some(())
}

/// `REASON for [illegal user ]USER from HOST`.
pub(super) fn pam_error(rest: &str, out: &mut Out) -> Option<()> {
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

/// `NAME by user USER[ failed, REASON]`: the client chooses the name, accounts of the host hold no blank.
pub(super) fn subsystem(rest: &str, out: &mut Out) -> Option<()> {
    let (what, user) = rest.rsplit_once(" by user ")?;
    let user = user.split_once(" failed, ").map_or(user, |(user, _)| user);
    out.event("authentication", "ssh_subsystem");
    out.text(names::USER_NAME, user);
    out.text(names::EVENT_REASON, what);
    Some(())
}

pub(super) fn refused(rest: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_key_refused");
    out.outcome(false);
    out.text(names::EVENT_REASON, rest);
    Some(())
}

pub(super) fn no_shadow(user: &str, out: &mut Out) -> Option<()> {
    out.event("authentication", "ssh_error");
    out.text(names::USER_NAME, user);
    Some(())
}

/// `user USER from ADDRESS port N id 0`.
pub(super) fn session_closed(rest: &str, out: &mut Out) -> Option<()> {
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
pub(super) fn penalised(rest: &str, out: &mut Out) -> Option<()> {
    let network = rest.split(' ').find(|word| word.contains('/'))?;
    let (address, _) = network.split_once('/')?;
    let (_, reason) = rest.split_once("penalty: ")?;
    out.event("authentication", "ssh_penalised");
    source(Some(scan::address(address)?), None, out);
    out.some(names::EVENT_REASON, reason);
    Some(())
}

/// `"NAME" is set up for ADDRESS, ignoring`.
pub(super) fn nasty(rest: &str, out: &mut Out) -> Option<()> {
    let (name, rest) = rest.strip_prefix('"')?.rsplit_once("\" is set up for ")?;
    mapping(rest.strip_suffix(", ignoring").unwrap_or(rest), name, out)
}

/// `HOST (ADDRESS)`, by hosts.deny.
pub(super) fn refused_host(rest: &str, out: &mut Out) -> Option<()> {
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
pub(super) fn revoked(rest: &str, out: &mut Out) -> Option<()> {
    let (key, _) = rest.split_once(" revoked by file ")?;
    let (kind, fingerprint) = key.split_once(' ')?;
    out.event("authentication", "ssh_key_refused");
    out.outcome(false);
    out.text(names::HENGWEI_SSH_KEY_TYPE, kind);
    out.text(names::HENGWEI_SSH_KEY_FINGERPRINT, fingerprint);
    out.text(names::EVENT_REASON, rest);
    Some(())
}

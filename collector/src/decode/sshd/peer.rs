//! Who is at the other end: names, addresses and ports of sshd's messages, read from the end that the peer
//! does not write.

use std::net::IpAddr;

use super::super::out::Out;
use super::super::scan;
use crate::event::names;

/// Splits at the last ` from `: what follows it is the server's.
pub(super) fn split_from(text: &str) -> Option<(&str, &str)> {
    // An empty user leaves the blank of ` from ` at the beginning.
    text.rsplit_once(" from ").or_else(|| Some(("", text.strip_prefix("from ")?)))
}

/// A name with the words sshd puts before it.
pub(super) fn named(user: &str, out: &mut Out) {
    let invalid = ["invalid user ", "illegal user "]
        .iter()
        .find_map(|words| user.strip_prefix(words))
        // The name itself may be empty, and the blank gone with it.
        .or_else(|| (user == "invalid user" || user == "illegal user").then_some(""));
    out.some(names::USER_NAME, invalid.unwrap_or(user));
    out.flag(names::HENGWEI_AUTH_INVALID_USER, invalid.is_some());
}

pub(super) fn source(address: Option<IpAddr>, port: Option<u16>, out: &mut Out) {
    if let Some(address) = address {
        out.address(names::SOURCE_IP, address);
    }
    if let Some(port) = port {
        out.integer(names::SOURCE_PORT, port.into());
    }
}

/// `HOST port N`.
pub(super) fn named_host(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.split_once(" port ")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then_some((host, port.parse().ok()?))
}

type Peer = (Option<IpAddr>, Option<u16>);

/// `[WORDS USER ]ADDRESS[ port N]`, from the right: the user's name with the words before it.
pub(super) fn user_and_peer(text: &str) -> Option<(Option<&str>, Option<IpAddr>, Option<u16>)> {
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
pub(super) fn peer_and_rest(text: &str) -> Option<(Option<IpAddr>, Option<u16>, &str)> {
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

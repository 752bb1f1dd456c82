//! ocserv, the OpenConnect server.
//!
//! In: `main[bob]:203.0.113.9:51234 user logged in`, `worker: 203.0.113.9 failed authentication for 'bob'`, from the
//! program `ocserv`. Out: logins with their address, sessions that end, addresses that were banned.
//!
//! The process and the peer stand before each message. A user's name between brackets is what he typed;
//! what stands behind the last bracket before the message is the server's.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "ocserv",
    datasets: &["ocserv"],
    programs: &["ocserv"],
    paths: &["ocserv"],
    looks: Looks::NEVER,
    security: false,
    decode,
};

const LOGIN: &str = "vpn_login";
const SESSION: &str = "vpn_session";
const ROWS: &[Row] = &[
    row("user logged in", "authentication", LOGIN).ok(),
    row("new user session", "session", SESSION).kind("start"),
    row("user disconnected ({reason})", "session", SESSION).kind("end"),
    row("user disconnected {reason}", "session", SESSION).kind("end"),
    row("user disconnected", "session", SESSION).kind("end"),
    row("failed authentication attempt for user '{user}'", "authentication", LOGIN).failed(),
    row("failed authentication for '{user}'", "authentication", LOGIN).failed(),
    row("error authenticating user '{user}'", "authentication", LOGIN).failed(),
    row("failed authentication attempt for {*}", "authentication", LOGIN).failed(),
    row("rejected connection from banned IP: {ip}", "network", "vpn_connection")
        .failed()
        .kind("denied"),
    row("added IP '{ip}' (with score {_}) to ban list{*}", "network", "address_blocked")
        .kind("denied"),
    row(
        "added {_} points (total {_}) for IP '{ip}' to ban list",
        "authentication",
        "vpn_ban_points",
    ),
    row("client certificate verification failed: {reason}", "authentication", "vpn_certificate")
        .failed(),
    row("certificate verification failed: {reason}", "authentication", "vpn_certificate").failed(),
    row("authentication for user '{user}' failed", "authentication", LOGIN).failed(),
    row("initiating session for user '{user}' (session: {_})", "session", "vpn_session_prepared"),
    row("initialized ocserv {reason}", "process", "vpn_started"),
    row("termination request received; {reason}", "process", "vpn_stopped"),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));
/// Processes of the server.
const PARTS: &[&str] = &["main", "worker", "sec-mod", "proxy"];

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

/// `PART[USER]:ADDRESS:PORT message`, `PART[USER]: ADDRESS message`, `PART: message`.
fn read(message: &str, out: &mut Out) -> Option<()> {
    let part = PARTS.iter().find(|part| message.starts_with(**part))?;
    let rest = message.get(part.len()..)?;
    let (user, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (user, behind) = rest.split_once("]:")?;
            (user, behind)
        }
        None => ("", rest.strip_prefix(':')?),
    };
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (word, said) = rest.split_once(' ').unwrap_or((rest, ""));
    let peer = match scan::address(word) {
        Some(address) => Some((address, None)),
        None => scan::endpoint(word).map(|(address, port)| (address, Some(port))),
    };
    let said = if peer.is_some() { said } else { rest };
    let first = out.fields.len();
    SAID.read(said.trim_end(), out)?;
    let written = out.fields.get(first..).unwrap_or_default();
    let (mut address, mut named) = (false, false);
    for (id, _) in written {
        address |= *id == names::SOURCE_IP;
        named |= *id == names::USER_NAME;
    }
    if let Some((ip, port)) = peer.filter(|_| !address) {
        out.address(names::SOURCE_IP, ip);
        if let Some(port) = port {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
    if !named {
        out.some(names::USER_NAME, user);
    }
    out.some(names::LOG_LOGGER, part);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(ROWS);
    }
}

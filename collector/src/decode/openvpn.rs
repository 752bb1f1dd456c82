//! OpenVPN, as server and as client, from syslog or its own file; the accounts of pfSense's servers too.
//!
//! In: `bob/203.0.113.9:51234 TLS: Username/Password authentication succeeded for username 'bob'`,
//! `203.0.113.9:51234 TLS Auth Error: Auth Username/Password verification failed for peer`, before which the file
//! has its own stamp. Out: the login and how it went, the session, the errors of TLS.
//!
//! The peer stands before each message; its name there is that of its certificate, and kept unless the
//! message names a user. A name that a certificate brings may hold anything: the address is what stands
//! behind the last `/` before the message. A certificate that is refused counts as no login: a client whose
//! own has expired tries again every few seconds, and guesses nothing.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::time::{Stamp, bsd, iso, year_after};
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "openvpn",
    datasets: &["openvpn"],
    programs: &[
        "openvpn",
        "ovpn-server",
        "ovpn-client",
        "ovpn-openvpn",
        "openvpn-server",
        "openvpnas",
    ],
    paths: &["openvpn"],
    looks: Looks { first: b"0123456789MTWFS", test: looks_like },
    security: false,
    decode,
};

/// How far into a line the signs of OpenVPN are looked for.
const HEAD: usize = 160;
/// The longest word before a message that may be a peer.
const MAX_PEER: usize = 320;

const LOGIN: &str = "vpn_login";
const CERTIFICATE: &str = "vpn_certificate";
const TLS: &str = "tls_error";
const STARTED: &str = "vpn_session";

const ROWS: &[Row] = &[
    row(
        "TLS: Username/Password authentication succeeded for username '{user}'{reason}",
        "authentication",
        LOGIN,
    )
    .ok(),
    row(
        "TLS: Username/auth-token authentication succeeded for username '{user}'{reason}",
        "authentication",
        LOGIN,
    )
    .ok(),
    row(
        "TLS: Username/Password authentication deferred for username '{user}'{reason}",
        "authentication",
        "vpn_login_deferred",
    ),
    row(
        "TLS Auth Error: Auth Username/Password verification failed for peer",
        "authentication",
        LOGIN,
    )
    .failed(),
    row("TLS Auth Error: Auth-token verification failed for peer", "authentication", LOGIN)
        .failed(),
    row("TLS Auth Error: username attempted to change from '{*}", "authentication", LOGIN).failed(),
    row("TLS Auth Error: {reason}", "authentication", LOGIN).failed(),
    row(
        "AUTH-PAM: BACKGROUND: user '{user}' failed to authenticate: {event.reason}",
        "authentication",
        "vpn_password_checked",
    )
    .failed(),
    row(
        "AUTH-PAM: BACKGROUND: user '{user}' failed to authenticate: {_} {_}",
        "authentication",
        "vpn_password_checked",
    )
    .failed(),
    row(
        "AUTH: Received control message: AUTH_FAILED{reason}",
        "authentication",
        "vpn_client_login",
    )
    .failed(),
    row("user '{user}' authenticated", "authentication", "vpn_password_checked").ok(),
    row("user '{user}' could not authenticate.", "authentication", "vpn_password_checked").failed(),
    row(
        "openvpn server {_} user '{user}' address '{peer}' - connecting",
        "network",
        "vpn_connection",
    ),
    row("openvpn server {_} user '{user}' address '{peer}' - connected", "session", STARTED)
        .kind("start"),
    row("openvpn server {_} user '{user}' address '{peer}' - disconnected", "session", STARTED)
        .kind("end"),
    row("[{user}] Peer Connection Initiated with [AF_INET]{peer}", "session", STARTED)
        .kind("start"),
    row("[{user}] Peer Connection Initiated with [AF_INET6]{from}", "session", STARTED)
        .kind("start"),
    row("[{user}] Inactivity timeout (--ping-restart), restarting", "session", STARTED).kind("end"),
    row("SIGTERM[{reason}] received, client-instance exiting", "session", STARTED).kind("end"),
    row("SIGUSR1[{reason}] received, client-instance restarting", "session", STARTED).kind("end"),
    row("Connection reset, restarting [{_}]", "session", STARTED).kind("end"),
    row("Inactivity timeout (--ping-restart), restarting", "session", STARTED).kind("end"),
    row("MULTI: primary virtual IP for {*}: {source.nat.ip}", "network", "vpn_address_given"),
    row(
        "MULTI: new connection by client '{user}' will cause previous active sessions by this client to be dropped.{_} {*}",
        "session",
        "vpn_session_replaced",
    ),
    row(
        "MULTI: new connection by client '{user}' will cause previous active sessions by this client to be dropped{*}",
        "session",
        "vpn_session_replaced",
    ),
    row(
        "MULTI: bad source address from client [{ip}], packet dropped",
        "network",
        "vpn_bad_source",
    )
    .kind("denied"),
    row("VERIFY ERROR: depth={_} error=certificate has expired: {reason}", "network", CERTIFICATE)
        .failed(),
    row("VERIFY ERROR: {reason}", "network", CERTIFICATE).failed(),
    row("VERIFY KU ERROR{reason}", "network", CERTIFICATE).failed(),
    row("VERIFY EKU ERROR{reason}", "network", CERTIFICATE).failed(),
    row("VERIFY SCRIPT ERROR: {reason}", "network", CERTIFICATE).failed(),
    row("VERIFY CRL: {reason}", "network", CERTIFICATE).failed(),
    row("CRL CHECK FAILED: {reason}", "network", CERTIFICATE).failed(),
    row("VERIFY OK: {reason}", "network", CERTIFICATE).ok(),
    row("TLS: Initial packet from [AF_INET]{peer}, sid={_} {_}", "network", "vpn_connection")
        .kind("start"),
    row("TLS: Initial packet from {*}, sid={_} {_}", "network", "vpn_connection").kind("start"),
    row("TLS Error: incoming packet authentication failed from [AF_INET]{peer}", "network", TLS)
        .failed(),
    row("TLS Error: cannot locate HMAC in incoming packet from [AF_INET]{peer}", "network", TLS)
        .failed(),
    row("TLS Error: {reason}", "network", TLS).failed(),
    row("TLS_ERROR: {reason}", "network", TLS).failed(),
    row("Fatal TLS error {reason}", "network", TLS).failed(),
    row("OpenSSL: error:{reason}", "network", TLS).failed(),
    row("Authenticate/Decrypt packet error: {reason}", "network", "vpn_packet_refused").failed(),
    row("TLS: tls_process: killed expiring key", "network", "vpn_key_expired"),
    row("Initialization Sequence Completed", "process", "vpn_started"),
    row("Exiting due to fatal error", "process", "vpn_stopped").failed(),
    row("SIGTERM[{reason}] received, process exiting", "process", "vpn_stopped"),
    row("SIGINT[{reason}] received, process exiting", "process", "vpn_stopped"),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));

fn looks_like(line: &str) -> bool {
    const SIGNS: &[&str] =
        &["[AF_INET", " TLS: ", " TLS Auth Error: ", " TLS Error: ", " VERIFY ", " MULTI"];
    let message = stamped(line).map_or(line, |(_, message)| message);
    let Some((_, rest)) = before(message) else { return false };
    let head = message.get(..message.floor_char_boundary(HEAD)).unwrap_or_default();
    !rest.is_empty() && SIGNS.iter().any(|sign| head.contains(sign))
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match stamped(line.message) {
        Some((stamp, message)) => {
            out.stamp(&stamp);
            message
        }
        None => line.message,
    };
    let Some((peer, rest)) = before(message) else {
        return SAID.read(message, out).is_some();
    };
    let first = out.fields.len();
    let read = SAID.read(rest, out).is_some();
    let written = out.fields.get(first..).unwrap_or_default();
    let (mut address, mut user) = (false, false);
    for (id, _) in written {
        address |= *id == names::SOURCE_IP;
        user |= *id == names::USER_NAME;
    }
    if !address {
        out.address(names::SOURCE_IP, peer.address);
        out.integer(names::SOURCE_PORT, peer.port.into());
    }
    if !user && peer.name != "UNDEF" {
        out.some(names::USER_NAME, peer.name);
    }
    // Of a peer that is known the line tells, whatever it says.
    read || !peer.name.is_empty()
}

/// `2026-11-22 08:00:00 ` and `Sun Nov 22 08:00:00 2026 `, maybe with `us=1234 ` behind.
fn stamped(line: &str) -> Option<(Stamp, &str)> {
    let (stamp, rest) = match iso(line.as_bytes()) {
        Some((stamp, length)) => (stamp, line.get(length..)?),
        None => {
            let behind = line.get(4..)?;
            let (stamp, length) = bsd(behind.as_bytes())?;
            let (year, rest) = year_after(behind.get(length..)?)?;
            (Stamp { year: Some(year), ..stamp }, rest)
        }
    };
    let rest = rest.strip_prefix(' ')?;
    let micros = rest.strip_prefix("us=").and_then(|rest| rest.split_once(' '));
    Some((stamp, micros.map_or(rest, |(_, rest)| rest)))
}

/// Who a message is about.
#[derive(Debug, Clone, Copy)]
struct Peer<'a> {
    name: &'a str,
    address: std::net::IpAddr,
    port: u16,
}

/// `NAME/ADDRESS:PORT `, `ADDRESS:PORT `.
fn before(message: &str) -> Option<(Peer<'_>, &str)> {
    let head = message.get(..message.floor_char_boundary(MAX_PEER))?;
    let end = head.find(' ')?;
    let word = message.get(..end)?;
    let (name, ends) = word.rsplit_once('/').unwrap_or(("", word));
    let ends =
        ends.strip_prefix("[AF_INET]").or_else(|| ends.strip_prefix("[AF_INET6]")).unwrap_or(ends);
    let (address, port) = scan::endpoint(ends)?;
    Some((Peer { name, address, port }, message.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(ROWS);
    }

    #[test]
    fn peers() {
        let name = |text| before(text).map(|(peer, rest)| (peer.name, peer.port, rest));
        assert_eq!(name("bob/203.0.113.9:1194 x y"), Some(("bob", 1194, "x y")));
        assert_eq!(name("a/b/203.0.113.9:1194 x"), Some(("a/b", 1194, "x")));
        assert_eq!(name("203.0.113.9:1194 x"), Some(("", 1194, "x")));
        assert_eq!(name("bob/203.0.113.9 x"), None);
        assert_eq!(name("TLS: x"), None);
    }
}

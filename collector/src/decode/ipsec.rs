//! IPsec: strongSwan's `charon` and Libreswan's `pluto`.
//!
//! In: `16[IKE] <ward|3> authentication of 'bob' with EAP successful`, and
//! `"ward"[2] 203.0.113.9 #5: responder established IKE SA; authenticated peer …`. Out: who was authenticated or
//! refused, tunnels that come up and go down, peers that were turned away.
//!
//! charon does not repeat the peer's address in most lines: only those that have it say where it was. A
//! peer's identity is its own text, between quotes or brackets, and is read up to the last of them. Keys that
//! do not match are no login: gateways that were set up wrong try again for ever.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{DIGITS, Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const STRONGSWAN: Decoder = Decoder {
    name: "strongswan",
    datasets: &["strongswan"],
    programs: &["charon", "charon-systemd", "charon-nm", "strongswan"],
    paths: &["charon.log", "strongswan"],
    looks: Looks { first: DIGITS, test: |line| thread(line).is_some() },
    security: false,
    decode: charon,
};

pub(crate) const LIBRESWAN: Decoder = Decoder {
    name: "libreswan",
    datasets: &["libreswan"],
    programs: &["pluto"],
    paths: &["pluto.log"],
    looks: Looks::NEVER,
    security: false,
    decode: pluto,
};

const IKE: &str = "ike_sa";
const CHILD: &str = "ipsec_sa";
const PEER: &str = "vpn_login";
const REFUSED: &str = "ike_refused";

const CHARON: &[Row] = &[
    row("IKE_SA {_} established between {destination.ip}[{_}]...{ip}[{user}]", "session", IKE)
        .ok()
        .kind("start"),
    row("IKE_SA {_} established between {destination.ip}[{*}]...{ip}[{user.name}]", "session", IKE)
        .ok()
        .kind("start"),
    row("deleting IKE_SA {_} between {destination.ip}[{_}]...{ip}[{user}]", "session", IKE)
        .kind("end"),
    row("deleting IKE_SA {_} between {destination.ip}[{*}]...{ip}[{user.name}]", "session", IKE)
        .kind("end"),
    row("IKE_SA {_} state change: {reason}", "network", "ike_sa_state"),
    row("IKE_SA deleted", "session", IKE).kind("end"),
    row("received DELETE for IKE_SA {_}", "session", IKE).kind("end"),
    row("CHILD_SA {_} established with SPIs {reason}", "network", CHILD).ok().kind("start"),
    row("inbound CHILD_SA {_} established with SPIs {reason}", "network", CHILD).ok().kind("start"),
    row("closing CHILD_SA {_} with SPIs {reason}", "network", CHILD).kind("end"),
    row("{ip} is initiating an IKE_SA", "network", "ike_started").kind("start"),
    row("{ip} is initiating a {_} Mode IKE_SA", "network", "ike_started").kind("start"),
    row("authentication of '{user}' with {_} successful", "authentication", PEER).ok(),
    row("authentication of '{user}' with {_} {_} successful", "authentication", PEER).ok(),
    row("authentication of '{user}' with {_} {_} {_} successful", "authentication", PEER).ok(),
    row("authentication of '{user}' with {_} failed", "authentication", PEER).failed(),
    row("authentication of '{user}' with {_} {_} failed", "authentication", PEER).failed(),
    row("XAuth authentication of '{user}' successful", "authentication", PEER).ok().by("xauth"),
    row("XAuth authentication of '{user}' failed", "authentication", PEER).failed().by("xauth"),
    row("EAP method {method} failed for peer {user}", "authentication", PEER).failed(),
    row("EAP method {method} succeeded, {*}", "authentication", "eap_succeeded").ok(),
    row("EAP method {method} failed, {*}", "authentication", PEER).failed(),
    row("RADIUS authentication of '{user}' successful", "authentication", PEER).ok().by("radius"),
    row("RADIUS authentication of '{user}' failed", "authentication", PEER).failed().by("radius"),
    row("EAP-MS-CHAPv2 verification failed, retry {_}", "authentication", PEER)
        .failed()
        .by("EAP_MSCHAPV2"),
    row("tried {_} shared {_} for '{*}, but MAC mismatched", "network", "ike_key_mismatch")
        .failed()
        .by("psk"),
    row("received AUTHENTICATION_FAILED notify error", "authentication", "vpn_client_login")
        .failed(),
    row("no shared key found for {reason}", "network", "ike_key_mismatch").failed(),
    row("no trusted {_} public key found for '{user}'", "authentication", PEER).failed(),
    row("no issuer certificate found for \"{user}\"", "authentication", PEER).failed(),
    row("no matching peer config found", "network", REFUSED).failed(),
    row("no IKE config found for {destination.ip}...{ip}, {reason}", "network", REFUSED).failed(),
    row("no peer config found{reason}", "network", REFUSED).failed(),
    row("received NO_PROPOSAL_CHOSEN {reason}", "network", REFUSED).failed(),
    row("received proposals unacceptable", "network", REFUSED).failed(),
    row("received proposals inacceptable", "network", REFUSED).failed(),
    row("giving up after {_} retransmits", "network", "ike_peer_lost").failed(),
    row("peer not responding, {reason}", "network", "ike_peer_lost").failed(),
    row("assigning virtual IP {source.nat.ip} to peer '{user}'", "network", "vpn_address_given"),
    row("Starting IKE charon daemon ({reason})", "process", "vpn_started"),
    row("SIGINT received, shutting down", "process", "vpn_stopped"),
    row("SIGTERM received, shutting down", "process", "vpn_stopped"),
];

const PLUTO: &[Row] = &[
    row("XAUTH: User {user}: Attempting to login", "authentication", "vpn_login_attempt"),
    row("XAUTH: User {user}: Authentication Successful", "authentication", PEER).ok().by("xauth"),
    row("XAUTH: User {user}: Authentication Failed: {event.reason}", "authentication", PEER).failed().by("xauth"),
    row("XAUTH: User {user}: Authentication Failed: Incorrect Username or Password", "authentication", PEER).failed().by("xauth"),
    row("XAUTH: User {user}: Authentication Failed", "authentication", PEER).failed().by("xauth"),
    row("responder established IKE SA; authenticated peer using {reason}", "authentication", PEER).ok(),
    row("responder established IKE SA; authenticated peer '{reason}", "authentication", PEER).ok(),
    row("initiator established IKE SA; authenticated peer {reason}", "session", IKE).ok().kind("start"),
    row("responder established Child SA {reason}", "network", CHILD).ok().kind("start"),
    row("initiator established Child SA {reason}", "network", CHILD).ok().kind("start"),
    row("IPsec SA established {reason}", "network", CHILD).ok().kind("start"),
    row("ISAKMP SA established {reason}", "session", IKE).ok().kind("start"),
    row("IKE SA established {reason}", "session", IKE).ok().kind("start"),
    row("STATE_QUICK_{_}: IPsec SA established {reason}", "network", CHILD).ok().kind("start"),
    row("STATE_MAIN_{_}: ISAKMP SA established {reason}", "session", IKE).ok().kind("start"),
    row("authentication failed{reason}", "authentication", PEER).failed(),
    row("authentication using {*} failed{_}", "authentication", PEER).failed(),
    row("IKE_AUTH response contained the error notification AUTHENTICATION_FAILED", "authentication", "vpn_client_login").failed(),
    row("malformed payload in packet. Probable authentication failure (mismatch of preshared secrets?)", "network", "ike_key_mismatch").failed().by("psk"),
    row("responding to {_} Mode from unknown peer {from}", "network", "ike_started").kind("start"),
    row("responding to {_} Mode", "network", "ike_started").kind("start"),
    row("initiating {reason}", "network", "ike_started").kind("start"),
    row("initial Main Mode message received {*} but no connection has been authorized with policy {_}", "network", REFUSED).failed(),
    row("no suitable connection for peer '{*}'", "network", REFUSED).failed(),
    row("sending notification {_} to {peer}", "network", REFUSED).failed(),
    row("no acceptable Oakley Transform{reason}", "network", REFUSED).failed(),
    row("deleting {*}", "session", IKE).kind("end"),
    row("received Delete SA payload: {reason}", "session", IKE).kind("end"),
];

static SAID_CHARON: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(CHARON));
static SAID_PLUTO: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(PLUTO));
/// Groups of charon's messages.
const GROUPS: &[&str] = &[
    "APP", "ASN", "CFG", "CHD", "DMN", "ENC", "ESP", "IKE", "IMC", "IMV", "JOB", "KNL", "LIB",
    "MGR", "NET", "PTS", "TLS", "TNC",
];

/// `16[IKE] <ward|3> message`: the group, the connection and the message.
fn thread(line: &str) -> Option<(&str, &str, &str)> {
    let digits = line.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let (group, rest) = line.get(digits..)?.strip_prefix('[')?.split_once("] ")?;
    if digits == 0 || !GROUPS.contains(&group) {
        return None;
    }
    let named = rest.strip_prefix('<').and_then(|rest| rest.split_once("> "));
    let (connection, message) = named.filter(|(name, _)| !name.contains(' ')).unwrap_or(("", rest));
    Some((group, connection, message))
}

fn charon(line: &Line<'_>, out: &mut Out) -> bool {
    let (group, connection, message) = match thread(line.message) {
        Some(parts) => parts,
        // charon-systemd leaves the thread out when the journal keeps it.
        None => ("", "", line.message),
    };
    out.some(names::LOG_LOGGER, group);
    out.some(names::HENGWEI_SESSION_ID, connection);
    SAID_CHARON.read(message, out).is_some() || !group.is_empty()
}

/// `"NAME"[INSTANCE] ADDRESS #N: message`, `packet from ADDRESS:PORT: message`.
fn pluto(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if let Some(rest) = message.strip_prefix("packet from ") {
        let Some((peer, said)) = rest.split_once(": ") else { return false };
        let first = out.fields.len();
        let read = SAID_PLUTO.read(said, out).is_some();
        let told = out.fields.get(first..).unwrap_or_default().iter();
        if !told.into_iter().any(|(id, _)| *id == names::SOURCE_IP)
            && let Some((address, port)) = scan::endpoint(peer)
        {
            out.address(names::SOURCE_IP, address);
            out.integer(names::SOURCE_PORT, port.into());
        }
        return read;
    }
    let Some((name, rest)) = message.strip_prefix('"').and_then(|rest| rest.split_once('"')) else {
        return SAID_PLUTO.read(message, out).is_some();
    };
    let Some((head, said)) = rest.split_once(": ") else { return false };
    out.some(names::HENGWEI_SESSION_ID, name);
    let first = out.fields.len();
    let read = SAID_PLUTO.read(said, out).is_some();
    let told = out.fields.get(first..).unwrap_or_default().iter();
    if !told.into_iter().any(|(id, _)| *id == names::SOURCE_IP)
        && let Some(address) = head.split(' ').find_map(scan::address)
    {
        out.address(names::SOURCE_IP, address);
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(CHARON);
        super::super::phrase::check(PLUTO);
    }

    #[test]
    fn threads() {
        assert_eq!(thread("16[IKE] <ward|3> x y"), Some(("IKE", "ward|3", "x y")));
        assert_eq!(thread("05[NET] x y"), Some(("NET", "", "x y")));
        for other in ["16[XYZ] x", "[IKE] x", "16 IKE x", "", "16[IKE]x"] {
            assert_eq!(thread(other), None, "{other}");
        }
    }
}

//! MikroTik's RouterOS: topics between commas, then what happened.
//!
//! In: `firewall,info DROP forward: in:ether1 out:bridge, src-mac …, proto TCP (SYN), 203.0.113.7:4711->192.0.2.5:22, len 60`,
//! `system,error,critical login failure for user admin from 203.0.113.9 via ssh`, `system,info filter rule added by admin`,
//! from syslog or bare, as routers send it by default. Out: the packet, the login, the change.
//!
//! RouterOS does not say what it did with a packet; what the administrator's prefix says is believed. A
//! user's name is anybody's text: where a login came from is read from the end of the line. Who changed
//! something is named only where the line can be read in one way.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks, netfilter, network, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "mikrotik",
    datasets: &["mikrotik"],
    programs: &[],
    paths: &["mikrotik", "routeros"],
    looks: Looks { first: b"abcdefghijklmnopqrstuvwz", test: |line| topics(line).is_some() },
    security: false,
    decode,
};

/// How much of a line may be topics.
const MAX_TOPICS: usize = 64;
/// The words of which one says how bad it is.
const LEVELS: &[&str] = &["critical", "error", "warning", "info", "debug"];
/// Topics that come first.
const TOPICS: &[&str] = &[
    "account",
    "async",
    "backup",
    "bfd",
    "bgp",
    "bridge",
    "calc",
    "caps",
    "certificate",
    "client",
    "container",
    "ddns",
    "dhcp",
    "disk",
    "dns",
    "dot1x",
    "dude",
    "e-mail",
    "event",
    "fetch",
    "firewall",
    "gps",
    "gsm",
    "health",
    "hotspot",
    "igmp-proxy",
    "interface",
    "ipsec",
    "iscsi",
    "isdn",
    "kvm",
    "l2tp",
    "ldp",
    "lora",
    "lte",
    "manager",
    "mpls",
    "mqtt",
    "mvrp",
    "netinstall",
    "netwatch",
    "ntp",
    "ospf",
    "ovpn",
    "packet",
    "pim",
    "poe-out",
    "ppp",
    "pppoe",
    "pptp",
    "ptp",
    "queue",
    "radius",
    "raw",
    "read",
    "rip",
    "route",
    "rpki",
    "rsvp",
    "script",
    "sertcp",
    "simulator",
    "smb",
    "snmp",
    "ssh",
    "sstp",
    "state",
    "store",
    "stp",
    "system",
    "telephony",
    "tftp",
    "timer",
    "tr069",
    "update",
    "ups",
    "upnp",
    "vpls",
    "vrrp",
    "watchdog",
    "web-proxy",
    "winbox",
    "wireguard",
    "wireless",
    "write",
    "zerotier",
];

const SIGNED: &[Row] = &[
    row("login failure for user {user} from {from} via {method}", "authentication", "login")
        .failed(),
    row("login failure for user {user} from {from}", "authentication", "login").failed(),
    row("login failure for user {user} via {method}", "authentication", "login").failed(),
    row("user {user} logged in from {from} via {method}", "authentication", "login").ok(),
    row("user {user} logged in via {method}", "authentication", "login").ok(),
    row("user {user} logged out from {from} via {method}", "authentication", "logout").ok(),
    row("user {user} logged out via {method}", "authentication", "logout").ok(),
    row("{user} logged in, {source.nat.ip} from {from}", "authentication", "login").ok().by("ppp"),
    row("{user} logged in, {source.nat.ip}", "authentication", "login").ok().by("ppp"),
    row("{user} logged out, {_} {_} {_} {_} {_} from {from}", "authentication", "logout")
        .ok()
        .by("ppp"),
    row("{user} logged out, {_} {_} {_} {_} {_}", "authentication", "logout").ok().by("ppp"),
    row("<{ip}>: user {user} authentication failed", "authentication", "login").failed().by("ppp"),
    row("<{_}>: user {user} authentication failed", "authentication", "login").failed().by("ppp"),
    row("user {user} authentication failed", "authentication", "login").failed().by("ppp"),
    row("{user} ({ip}): login failed: {reason}", "authentication", "login").failed().by("hotspot"),
    row("{user} ({ip}): logged in", "authentication", "login").ok().by("hotspot"),
    row("{user} ({ip}): logged out: {reason}", "authentication", "logout").ok().by("hotspot"),
    row("{hengwei.interface.name} link down", "network", "link_down"),
    row("{hengwei.interface.name} link up", "network", "link_up"),
    row("{hengwei.interface.name} link up ({reason})", "network", "link_up"),
    row("{_} assigned {ip} to {source.mac}", "network", "dhcp_assigned"),
    row("{_} assigned {ip} for {source.mac} {source.domain*}", "network", "dhcp_assigned"),
    row("{_} assigned {ip} for {source.mac}", "network", "dhcp_assigned"),
    row("{_} deassigned {ip} from {source.mac}", "network", "dhcp_released"),
    row("{_} deassigned {ip} for {source.mac} {source.domain*}", "network", "dhcp_released"),
    row("{_} deassigned {ip} for {source.mac}", "network", "dhcp_released"),
    row("router rebooted", "host", "restarted"),
    row("router rebooted by {user}", "host", "restarted"),
    row("router rebooted {reason}", "host", "restarted"),
    row(
        "router was rebooted without proper shutdown{reason}",
        "host",
        "restarted_without_shutdown",
    ),
    row("TCP connection established from {peer}", "network", "vpn_connection").kind("start"),
    row("first L2TP UDP packet received from {peer}", "network", "vpn_connection").kind("start"),
    row("phase1 negotiation failed due to {reason}", "network", "ike_negotiation").failed(),
    row("{ip} failed to pre-process ph1 packet {reason}", "network", "ike_negotiation").failed(),
    row("{ip} failed to get valid proposal.", "network", "ike_negotiation").failed(),
    row("{ip} parsing packet failed, possible cause: {reason}", "network", "ike_negotiation")
        .failed(),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(SIGNED));

/// Between what was changed and who did it.
const CHANGES: &[(&str, &str, &str)] = &[
    (" added by ", "added", "creation"),
    (" removed by ", "removed", "deletion"),
    (" changed by ", "changed", "change"),
    (" moved by ", "moved", "change"),
    (" enabled by ", "enabled", "change"),
    (" disabled by ", "disabled", "change"),
];

/// The topics a line begins with, its level and the message.
fn topics(line: &str) -> Option<(&str, &'static str, &str)> {
    let head = line.as_bytes().get(..line.len().min(MAX_TOPICS))?;
    let end = head.iter().position(|byte| matches!(byte, b' ' | b':'))?;
    let topics = line.get(..end)?;
    let (first, others) = topics.split_once(',')?;
    let level = LEVELS.iter().find(|level| others.split(',').any(|topic| topic == **level))?;
    if !TOPICS.contains(&first) {
        return None;
    }
    let rest = line.get(end..)?;
    Some((topics, level, rest.strip_prefix(':').unwrap_or(rest).trim_start()))
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let Some((topics, level, message)) = topics(line.message) else { return false };
    out.word(names::OBSERVER_VENDOR, "MikroTik");
    out.word(names::LOG_LEVEL, level);
    out.text(names::LOG_LOGGER, topics);
    let _read = packet(message, out)
        .or_else(|| SAID.read(message, out).map(|_| ()))
        .or_else(|| changed(message, out));
    true
}

/// `PREFIX CHAIN: in:IF out:IF, connection-state:new src-mac MAC, proto TCP (SYN), A:P->B:P, NAT …, len N`.
fn packet(message: &str, out: &mut Out) -> Option<()> {
    let (head, rest) = message.split_once(" in:")?;
    let head = head.strip_suffix(':')?;
    let (prefix, chain) = head.rsplit_once(' ').unwrap_or(("", head));
    let (before, rest) = rest.split_once(", proto ").or_else(|| rest.split_once(" proto "))?;
    let (protocol, rest) = rest.split_once(", ")?;
    // `ICMP (type 8, code 0)` has a comma of its own.
    let rest = match protocol.contains('(') && !protocol.contains(')') {
        true => rest.split_once("), ")?.1,
        false => rest,
    };
    let (ends, rest) = rest.split_once(',').unwrap_or((rest, ""));
    let (source, destination) = ends.split_once("->")?;
    let (source, source_port) = network::endpoint(source)?;
    let (destination, destination_port) = network::endpoint(destination)?;

    let (action, kind) = netfilter::said(prefix).unwrap_or(("log", "connection"));
    out.event("network", action);
    out.word(names::EVENT_TYPE, kind);
    out.word(names::OBSERVER_TYPE, "firewall");
    out.some(names::RULE_NAME, prefix.trim());
    out.some(names::RULE_RULESET, chain);
    out.address(names::SOURCE_IP, source);
    out.address(names::DESTINATION_IP, destination);
    for (id, port) in
        [(names::SOURCE_PORT, source_port), (names::DESTINATION_PORT, destination_port)]
    {
        if let Some(port) = port {
            out.integer(id, port.into());
        }
    }
    network::protocol(protocol.split(' ').next().unwrap_or_default(), out);
    let (inside, rest_before) = before.split_once(" out:")?;
    out.some(names::OBSERVER_INGRESS_INTERFACE_NAME, named(inside));
    let outside = rest_before.split([',', ' ']).next().unwrap_or_default();
    out.some(names::OBSERVER_EGRESS_INTERFACE_NAME, named(outside));
    if let Some((_, mac)) = before.split_once("src-mac ") {
        network::lower(names::SOURCE_MAC, mac.split([',', ' ']).next().unwrap_or_default(), out);
    }
    if let Some((_, length)) = rest.rsplit_once("len ")
        && length.parse::<u32>().is_ok()
    {
        out.digits(names::NETWORK_BYTES, length);
    }
    if let Some((_, translated)) = rest.split_once("NAT ") {
        translation(translated, out);
    }
    Some(())
}

/// An interface, unless the line says that there is none.
fn named(interface: &str) -> &str {
    if interface.starts_with('(') { "" } else { interface }
}

/// `(A:P->N:P)->B:P` for the source, `A:P->(B:P->N:P)` for the destination.
fn translation(text: &str, out: &mut Out) {
    let inner = text.split_once('(').and_then(|(_, inner)| inner.split_once(')'));
    let translated = inner.and_then(|(inner, _)| network::endpoint(inner.split_once("->")?.1));
    let Some((address, port)) = translated else { return };
    let (ip, id) = match text.starts_with('(') {
        true => (names::SOURCE_NAT_IP, names::SOURCE_NAT_PORT),
        false => (names::DESTINATION_NAT_IP, names::DESTINATION_NAT_PORT),
    };
    out.address(ip, address);
    if let Some(port) = port {
        out.integer(id, port.into());
    }
}

/// `filter rule added by admin`, `user bob added by tcp-msg(winbox):admin@192.0.2.9 (/user add name=bob)`.
fn changed(message: &str, out: &mut Out) -> Option<()> {
    let (what, verb) = message.split_once(" (").map_or((message, ""), |(what, verb)| (what, verb));
    let (at, sign, done, kind) = CHANGES.iter().find_map(|(sign, done, kind)| {
        memchr::memmem::find(what.as_bytes(), sign.as_bytes()).map(|at| (at, *sign, *done, *kind))
    })?;
    // The brackets after which a command stands may also be in the name of who sent it.
    let who = message.get(at + sign.len()..)?;
    out.event("configuration", "config");
    out.word(names::EVENT_TYPE, kind);
    out.owned(names::EVENT_REASON, &format!("{} {done}", what.get(..at)?));
    out.security = true;
    let twice = CHANGES.iter().any(|(sign, ..)| who.contains(*sign));
    if twice {
        out.problem("the line may be read in two ways: who made the change is not said");
        return Some(());
    }
    let (who, command) = match who.split_once(" (") {
        Some((who, command)) => (who, command.strip_suffix(')').unwrap_or(command)),
        None => (who, verb.get(verb.len()..).unwrap_or_default()),
    };
    let who = who.rsplit_once(':').map_or(who, |(_, who)| who);
    let (user, address) = match who.rsplit_once('@') {
        Some((user, address)) => (user, scan::address(address)),
        None => (who, None),
    };
    out.some(names::USER_NAME, user);
    if let Some(address) = address {
        out.address(names::SOURCE_IP, address);
    }
    out.some(names::PROCESS_COMMAND_LINE, command);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(SIGNED);
    }

    #[test]
    fn topics_of_lines() {
        assert_eq!(
            topics("system,info,account user x"),
            Some(("system,info,account", "info", "user x"))
        );
        assert_eq!(topics("system,error,critical x").map(|(_, level, _)| level), Some("critical"));
        for other in
            ["system info x", "hello,info x", "system,account x", "", "system,info", "a,b c"]
        {
            assert_eq!(topics(other), None, "{other}");
        }
    }
}

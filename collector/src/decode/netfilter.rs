//! Packets that netfilter logs: the LOG targets of iptables and nftables, UFW, firewalld, ulogd.
//!
//! `[UFW BLOCK] IN=eth0 OUT= MAC=… SRC=203.0.113.7 DST=192.0.2.5 LEN=60 … PROTO=TCP SPT=4711 DPT=22 …`.
//! The words in front are the administrator's own: whether the packet was dropped is known only as far
//! as they say it. Everything else is written by the kernel from numbers, and no packet can put a word
//! of its own there. What an ICMP error quotes of another packet stands in brackets and is not read.

use super::out::Out;
use super::scan;
use crate::event::names;

/// How much of the words in front is looked at.
const MAX_PREFIX: usize = 128;
/// Pairs and flags of one packet.
const MAX_PAIRS: usize = 64;
/// A MAC header of Ethernet: both addresses and the type, `aa:` each.
const MAC_HEADER: usize = 14 * 3 - 1;
/// One address of it.
const MAC: usize = 6 * 3 - 1;

/// What the words in front say became of the packet. A word may be part of another (`DROPPED`).
const VERDICTS: &[(&str, &str, &str)] = &[
    ("DROP", "drop", "denied"),
    ("REJECT", "reject", "denied"),
    ("BLOCK", "deny", "denied"),
    ("DENY", "deny", "denied"),
    ("DENIED", "deny", "denied"),
    ("ACCEPT", "allow", "allowed"),
    ("ALLOW", "allow", "allowed"),
    ("PASS", "allow", "allowed"),
];

const TCP_FLAGS: &[&str] = &["SYN", "ACK", "FIN", "RST", "PSH", "URG", "ECE", "CWR"];

/// Whether a line may be one, by its beginning.
pub(super) fn looks(line: &str) -> bool {
    line.starts_with("[UFW ") || line.starts_with("IN=")
}

/// Reads one packet.
pub(super) fn read(message: &str, out: &mut Out) -> Option<()> {
    let (head, rest) = message.split_once(" OUT=")?;
    let at = head.rfind("IN=")?;
    let (prefix, inside) = head.split_at(at);
    let inside = inside.strip_prefix("IN=")?;
    if inside.contains(' ') {
        return None;
    }
    let (outside, rest) = rest.split_once(' ')?;
    // The packet that an ICMP error is about.
    let rest = rest.split_once(" [").map_or(rest, |(rest, _)| rest);
    let source = pair(rest, "SRC=").and_then(scan::address)?;
    let destination = pair(rest, "DST=").and_then(scan::address)?;

    verdict(prefix, out);
    out.address(names::SOURCE_IP, source);
    out.address(names::DESTINATION_IP, destination);
    out.some(names::OBSERVER_INGRESS_INTERFACE_NAME, inside);
    out.some(names::OBSERVER_EGRESS_INTERFACE_NAME, outside);
    match (inside.is_empty(), outside.is_empty()) {
        (false, true) => out.word(names::NETWORK_DIRECTION, "ingress"),
        (true, false) => out.word(names::NETWORK_DIRECTION, "egress"),
        _ => {}
    }
    out.word(names::NETWORK_TYPE, if source.is_ipv4() { "ipv4" } else { "ipv6" });
    let mut measured = false;
    for word in rest.split_ascii_whitespace().take(MAX_PAIRS) {
        match word.split_once('=') {
            Some(("MAC", value)) => hardware(value, out),
            // The first is the packet's, a later one that of what it carries.
            Some(("LEN", value)) if !measured => {
                measured = true;
                out.digits(names::NETWORK_BYTES, value);
            }
            Some(("PROTO", value)) => transport(value, out),
            Some(("SPT", value)) => out.digits(names::SOURCE_PORT, value),
            Some(("DPT", value)) => out.digits(names::DESTINATION_PORT, value),
            Some(("UID", value)) => out.digits(names::USER_ID, value),
            Some(_) => {}
            None => {
                if let Some(flag) = TCP_FLAGS.iter().find(|flag| **flag == word) {
                    out.word(names::HENGWEI_NETWORK_TCP_FLAGS, flag);
                }
            }
        }
    }
    out.security = true;
    Some(())
}

fn pair<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_ascii_whitespace().take(MAX_PAIRS).find_map(|word| word.strip_prefix(key))
}

/// What the words in front of a packet say became of it: the action and the type of the event.
pub(super) fn said(prefix: &str) -> Option<(&'static str, &'static str)> {
    let found = VERDICTS.iter().find(|(word, ..)| says(prefix, word));
    found.map(|(_, action, kind)| (*action, *kind)).or_else(|| lettered(prefix))
}

/// UniFi and EdgeOS end the name of a rule with a letter: `[WAN_LOCAL-default-D]`.
fn lettered(prefix: &str) -> Option<(&'static str, &'static str)> {
    let name = prefix.trim().strip_prefix('[')?.strip_suffix(']')?;
    match name.rsplit_once('-')?.1 {
        "D" => Some(("drop", "denied")),
        "R" => Some(("reject", "denied")),
        "A" => Some(("allow", "allowed")),
        _ => None,
    }
}

fn says(prefix: &str, word: &str) -> bool {
    let said = &prefix.as_bytes()[..prefix.len().min(MAX_PREFIX)];
    said.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

fn verdict(prefix: &str, out: &mut Out) {
    let name = prefix.trim().trim_end_matches(':').trim_start_matches('[').trim_end_matches(']');
    out.some(names::RULE_NAME, name.trim());
    let (action, kind) = said(prefix).unwrap_or(("log", "connection"));
    out.event("network", action);
    out.word(names::EVENT_TYPE, kind);
    out.word(names::OBSERVER_TYPE, "firewall");
    let product = if says(prefix, "UFW ") { "ufw" } else { "netfilter" };
    out.word(names::OBSERVER_PRODUCT, product);
}

fn transport(protocol: &str, out: &mut Out) {
    let word = match protocol {
        "TCP" => "tcp",
        "UDP" => "udp",
        "UDPLITE" => "udplite",
        "ICMP" | "1" => "icmp",
        "ICMPv6" | "58" => "ipv6-icmp",
        "SCTP" | "132" => "sctp",
        "ESP" => "esp",
        "AH" => "ah",
        "2" => "igmp",
        "47" => "gre",
        "112" => "vrrp",
        other => return out.some(names::NETWORK_TRANSPORT, other),
    };
    out.word(names::NETWORK_TRANSPORT, word);
}

/// Both addresses of an Ethernet header, the destination's first.
fn hardware(header: &str, out: &mut Out) {
    if header.len() != MAC_HEADER || !header.is_ascii() {
        return;
    }
    out.some(names::DESTINATION_MAC, &header[..MAC]);
    out.some(names::SOURCE_MAC, &header[MAC + 1..2 * MAC + 1]);
}

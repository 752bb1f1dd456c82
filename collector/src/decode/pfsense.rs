//! pfSense and OPNsense: packets that pf logged, logins at the web interface; and sshguard, which blocks
//! on both and elsewhere.
//!
//! In: `filterlog` writes values between commas, rule and interface first, then what the IP version and the
//! protocol have: `5,,,1000000103,igb0,match,block,in,4,0x0,,64,0,0,DF,6,tcp,60,203.0.113.7,192.0.2.5,4711,22,…`.
//! The web interface says who signed in through `php-fpm`, and OPNsense through `audit`. Out: the packet with its
//! rule, its way and its ends; the login.
//!
//! The kernel wrote every value of a packet from numbers, only rule labels are an administrator's words.
//! The name of a login is the visitor's; the address behind it is found from the end.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks, network, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "pfsense",
    datasets: &["pfsense"],
    programs: &["filterlog"],
    paths: &["filterlog", "filter.log"],
    looks: Looks { first: b"/0123456789u", test: looks_like },
    security: false,
    decode,
};

pub(crate) const SSHGUARD: Decoder = Decoder {
    name: "sshguard",
    datasets: &["sshguard"],
    programs: &["sshguard"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| GUARD.read(line.message, out).is_some(),
};

/// What happens at the web interface.
const WEB: &[Row] = &[
    row(
        "{_}: webConfigurator authentication error for user '{user}' from: {ip}",
        "authentication",
        "login",
    )
    .failed(),
    row(
        "{_}: webConfigurator authentication error for '{user}' from {ip}",
        "authentication",
        "login",
    )
    .failed(),
    row(
        "{_}: Web GUI authentication error for user '{user}' from: {ip}",
        "authentication",
        "login",
    )
    .failed(),
    row("{_}: Web GUI authentication error for '{user}' from {ip}", "authentication", "login")
        .failed(),
    row("{_}: Successful login for user '{user}' from: {ip}", "authentication", "login").ok(),
    row("{_}: Successful login for user '{user}' from: {ip} ({method})", "authentication", "login")
        .ok(),
    row(
        "{_}: Successful login for user '{user}' from: {ip} (Local Database)",
        "authentication",
        "login",
    )
    .ok()
    .by("local database"),
    row("{_}: webConfigurator login for user '{user}' from: {ip}", "authentication", "login").ok(),
    row(
        "{_}: Successful webConfigurator login for user '{user}' from {ip}",
        "authentication",
        "login",
    )
    .ok(),
    row("{_}: User logged out for user '{user}' from: {ip}", "authentication", "logout").ok(),
    row(
        "{_}: User logged out for user '{user}' from: {ip} (Local Database)",
        "authentication",
        "logout",
    )
    .ok(),
    row("{_}: Session timed out for user '{user}' from: {ip}", "authentication", "logout").ok(),
    row(
        "{_}: Session timed out for user '{user}' from: {ip} (Local Database)",
        "authentication",
        "logout",
    )
    .ok(),
    row(
        "{_}: Configuration Change: {user}@{ip} (Local Database): {reason}",
        "configuration",
        "config",
    ),
    row("user {user} authenticated successfully for WebGui [using {*}]", "authentication", "login")
        .ok(),
];

const BLOCKED: &str = "address_blocked";
const GUARDED: &[Row] = &[
    row("Attack from \"{ip}\" on service {*} with danger {_}.", "intrusion_detection", "attack"),
    row("Blocking \"{ip}/32\" for {reason}", "intrusion_detection", BLOCKED).kind("denied"),
    row("Blocking \"{ip}/128\" for {reason}", "intrusion_detection", BLOCKED).kind("denied"),
    row("Blocking \"{ip}\" for {reason}", "intrusion_detection", BLOCKED).kind("denied"),
    row("Blocking {peer} for >{reason}", "intrusion_detection", BLOCKED).kind("denied"),
    row("Blocking \"{*}\" forever{reason}", "intrusion_detection", BLOCKED).kind("denied"),
    row("{ip}: unblocking after {_} secs", "intrusion_detection", "address_released"),
    row("\"{ip}\": unblocking after {_} secs", "intrusion_detection", "address_released"),
    row("Exiting on {_}", "process", "sshguard_stopped"),
    row("Now monitoring attacks.", "process", "sshguard_started"),
];

static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(WEB));
static GUARD: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(GUARDED));

/// Commas before the version of IP.
const COMMON: usize = 8;
/// The digits of a rule's number, and a comma.
const MAX_NUMBER: usize = 11;
/// What is looked at of a line that nothing else speaks for.
const HEAD: usize = 160;

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(HEAD)).unwrap_or_default();
    match head.as_bytes().first() {
        Some(b'/') => head.contains(".php: "),
        Some(b'u') => head.starts_with("user ") && head.contains(" for WebGui ["),
        _ => {
            // The number of a rule is short, and dates have no comma so early.
            if !head.as_bytes().iter().take(MAX_NUMBER).any(|byte| *byte == b',') {
                return false;
            }
            let mut values = head.split(',').skip(6);
            matches!(values.next(), Some("pass" | "block" | "nat" | "rdr" | "binat"))
                && matches!(values.next(), Some("in" | "out"))
                && matches!(values.next(), Some("4" | "6"))
        }
    }
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    match line.message.as_bytes().first() {
        Some(b'/' | b'u') => {
            let said = SAID.read(line.message, out).is_some();
            if said {
                out.word(names::OBSERVER_TYPE, "firewall");
            }
            said
        }
        _ => packet(line.message, out).is_some(),
    }
}

fn packet(message: &str, out: &mut Out) -> Option<()> {
    let mut values = message.split(',');
    let mut common = [""; COMMON];
    for place in &mut common {
        *place = values.next()?;
    }
    let [number, _, anchor, tracker, interface, reason, action, way] = common;
    // 2^32 - 1 stands for no rule.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let version = values.next()?;
    let (action, kind) = match action {
        "pass" => ("allow", Some("allowed")),
        "block" => ("deny", Some("denied")),
        "nat" => ("nat", None),
        "rdr" => ("rdr", None),
        "binat" => ("binat", None),
        _ => return None,
    };
    out.event("network", action);
    out.word(names::EVENT_TYPE, kind.unwrap_or("connection"));
    out.word(names::OBSERVER_TYPE, "firewall");
    let rule = if matches!(tracker, "" | "0") { number } else { tracker };
    out.some(names::RULE_ID, rule);
    out.some(names::RULE_RULESET, anchor);
    if reason != "match" {
        out.some(names::EVENT_REASON, reason);
    }
    match way {
        "in" => {
            out.some(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
            out.word(names::NETWORK_DIRECTION, "ingress");
        }
        "out" => {
            out.some(names::OBSERVER_EGRESS_INTERFACE_NAME, interface);
            out.word(names::NETWORK_DIRECTION, "egress");
        }
        _ => return None,
    }
    let transport = match version {
        "4" => {
            out.word(names::NETWORK_TYPE, "ipv4");
            let (_, name) = (values.nth(6)?, values.next()?);
            name
        }
        "6" => {
            out.word(names::NETWORK_TYPE, "ipv6");
            let (name, _) = (values.nth(3)?, values.next()?);
            name
        }
        _ => return None,
    };
    network::protocol(transport, out);
    let length = values.next()?;
    let source = scan::address(values.next()?)?;
    let destination = scan::address(values.next()?)?;
    if length.parse::<u32>().is_ok() {
        out.digits(names::NETWORK_BYTES, length);
    }
    out.address(names::SOURCE_IP, source);
    out.address(names::DESTINATION_IP, destination);
    let transport = transport.as_bytes();
    let (tcp, udp) =
        (transport.eq_ignore_ascii_case(b"tcp"), transport.eq_ignore_ascii_case(b"udp"));
    if tcp || udp {
        for id in [names::SOURCE_PORT, names::DESTINATION_PORT] {
            // A fragment has none.
            let Some(port) = values.next().and_then(|port| port.parse::<u16>().ok()) else { break };
            out.integer(id, port.into());
        }
        if tcp && let Some(flags) = values.nth(1) {
            tcp_flags(flags, out);
        }
    }
    Some(())
}

/// `SA` is SYN and ACK.
fn tcp_flags(flags: &str, out: &mut Out) {
    const FLAGS: &[(u8, &str)] = &[
        (b'S', "SYN"),
        (b'A', "ACK"),
        (b'F', "FIN"),
        (b'R', "RST"),
        (b'P', "PSH"),
        (b'U', "URG"),
        (b'E', "ECE"),
        (b'C', "CWR"),
    ];
    for (_, name) in FLAGS.iter().filter(|(sign, _)| flags.as_bytes().contains(sign)) {
        out.word(names::HENGWEI_NETWORK_TCP_FLAGS, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(WEB);
        super::super::phrase::check(GUARDED);
    }
}

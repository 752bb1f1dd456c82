//! Firewalls: what a line of ASA or FTD says, by its number.

use super::super::network::{self, Dialect, Meaning, Side, protocol};
use super::super::out::Out;
use super::super::pairs::{Assign, Between as Separator, Style};
use super::super::scan;
use super::{
    Between, End, address_between, between, doubt, end, ends, login, text_between, told, verdict,
};
use crate::event::names;

/// Ports below this one are a service's.
const SERVICES: u16 = 1_024;
const FTD: Dialect = Dialect { vendor: "cisco.ftd", own: ftd };

fn ftd(key: &str) -> Option<Meaning> {
    Some(match key {
        "AccessControlRuleAction" | "InlineResult" => Meaning::Action,
        "AccessControlRuleName" | "IntrusionPolicy" => Meaning::Policy,
        "AccessControlRuleReason" => Meaning::Field(names::EVENT_REASON),
        "Message" => Meaning::Attack,
        "Classification" => Meaning::AttackCategory,
        "ThreatName" => Meaning::Attack,
        "IngressInterface" => Meaning::Field(names::OBSERVER_INGRESS_INTERFACE_NAME),
        "EgressInterface" => Meaning::Field(names::OBSERVER_EGRESS_INTERFACE_NAME),
        "IngressZone" => Meaning::Field(names::OBSERVER_INGRESS_ZONE),
        "EgressZone" => Meaning::Field(names::OBSERVER_EGRESS_ZONE),
        "InitiatorBytes" => Meaning::Count(names::SOURCE_BYTES),
        "ResponderBytes" => Meaning::Count(names::DESTINATION_BYTES),
        "NAT_InitiatorIP" => Meaning::Address(Side::SourceNat),
        "NAT_InitiatorPort" => Meaning::Port(Side::SourceNat),
        "ApplicationProtocol" => Meaning::Lower(names::NETWORK_PROTOCOL),
        "SID" => Meaning::PolicyId,
        _ => return None,
    })
}

/// Reads what is known; other lines have their number and severity only.
pub(super) fn read(number: &str, text: &str, out: &mut Out) {
    match number {
        "302013" | "302015" | "302017" | "302303" => built(text, out),
        "302014" | "302016" | "302018" | "302304" => teardown(text, out),
        "302020" | "302021" => icmp(text, out),
        "305011" | "305012" | "305009" | "305010" => translated(text, out),
        "106023" | "106010" | "106014" | "106018" => denied_src_dst(text, out),
        "106100" | "106102" => listed(text, out),
        "106001" | "106002" | "106006" | "106007" | "106011" | "106012" | "106015" | "106016"
        | "106017" | "106020" | "106021" | "106022" | "313001" | "313004" | "313005" | "313008"
        | "710003" | "710005" | "322001" | "500004" | "710002" => denied_from_to(text, out),
        "605004" | "605005" => console_login(number == "605005", text, out),
        "611101" | "611102" => {
            login(number == "611101", out);
            address_between(text, "IP address: ", ",", out);
            text_between(names::USER_NAME, text, "Uname: ", "", out);
        }
        "611103" | "315011" => {
            told("authentication", "logout", out);
            text_between(names::USER_NAME, text, "Uname: ", "", out);
        }
        "113004" | "113005" | "113012" | "113015" | "113008" | "113014" | "113016" | "113017" => {
            aaa(text, out)
        }
        "113006" | "113007" => {
            told(
                "authentication",
                if number == "113006" { "account_locked" } else { "account_unlocked" },
                out,
            );
            text_between(names::USER_NAME, text, "User ", " ", out);
        }
        "113019" => disconnected(text, out),
        "113039" | "716001" | "716002" | "716038" | "716039" | "722022" | "722023" | "722051"
        | "722028" | "722033" | "722034" | "722037" | "734001" | "721016" | "721018" => {
            tunnel(number, text, out)
        }
        "111008" | "111009" | "111010" => command(text, out),
        "111001" | "111003" | "111004" | "111005" | "111007" => {
            told("configuration", "config", out);
            if let Some(address) = text.split(' ').next().and_then(scan::address) {
                out.address(names::SOURCE_IP, address);
            }
        }
        "502101" | "502102" | "502103" | "502111" | "502112" => {
            told(
                "iam",
                match number {
                    "502101" => "user_added",
                    "502102" => "user_deleted",
                    "502103" => "privilege_changed",
                    _ => "policy_changed",
                },
                out,
            );
            text_between(names::USER_TARGET_NAME, text, "Uname: ", " ", out);
        }
        "733100" | "733101" | "733102" | "733103" | "733104" | "733105" => {
            told("intrusion_detection", if number == "733102" { "shun" } else { "alert" }, out);
            if let Some(address) = super::word(text, "host ").and_then(scan::address) {
                out.address(names::SOURCE_IP, address);
            }
        }
        "430001" | "430002" | "430003" | "430004" | "430005" => connection_event(text, out),
        _ if number.starts_with("400") && text.starts_with("I") => {
            told("intrusion_detection", "alert", out);
            if let Some((name, _)) = text.split_once(" from ") {
                out.some(names::RULE_NAME, name);
            }
            pair(text, " from ", " to ", out);
        }
        _ => {}
    }
}

/// `Built outbound TCP connection 1 for outside:… (…) to inside:… (…)`.
fn built(text: &str, out: &mut Out) {
    verdict(true, out);
    out.word(names::EVENT_TYPE, "start");
    let Some((head, rest)) = text.split_once(" for ") else { return };
    let outbound = head.starts_with("Built outbound");
    out.word(names::NETWORK_DIRECTION, if outbound { "outbound" } else { "inbound" });
    if let Some(name) = head.split(' ').nth(2) {
        protocol(name, out);
    }
    let Some((far, near)) = rest.split_once(" to ") else { return };
    let (far, near) = (Mapped::read(far), Mapped::read(near));
    let (source, destination) = if outbound { (near, far) } else { (far, near) };
    ends(source.real, destination.real, out);
    for (mapped, address, port) in [
        (source, names::SOURCE_NAT_IP, names::SOURCE_NAT_PORT),
        (destination, names::DESTINATION_NAT_IP, names::DESTINATION_NAT_PORT),
    ] {
        let (Some(real), Some(nat)) = (mapped.real, mapped.mapped) else { continue };
        if (real.address, real.port) != (nat.address, nat.port) {
            out.address(address, nat.address);
            if let Some(number) = nat.port {
                out.integer(port, number.into());
            }
        }
    }
}

/// An end and what it is translated to.
#[derive(Debug, Clone, Copy)]
struct Mapped<'a> {
    real: Option<End<'a>>,
    mapped: Option<End<'a>>,
}

impl<'a> Mapped<'a> {
    /// `outside:192.0.2.1/443 (198.51.100.1/443)`.
    fn read(text: &'a str) -> Mapped<'a> {
        let mut words = text.split(' ');
        let real = words.next().and_then(end);
        let mapped = words.next().and_then(|word| word.strip_prefix('(')?.strip_suffix(')'));
        Mapped { real, mapped: mapped.and_then(end) }
    }
}

/// `Teardown TCP connection 1 for outside:… to inside:… duration 0:00:30 bytes 1234 TCP FINs`. The line
/// does not say who began: the service's end is the destination, else the first is the source.
fn teardown(text: &str, out: &mut Out) {
    told("network", "close", out);
    out.word(names::EVENT_TYPE, "end");
    if let Some(name) = text.split(' ').nth(1) {
        protocol(name, out);
    }
    let Some((_, rest)) = text.split_once(" for ") else { return };
    let Some((first, rest)) = rest.split_once(" to ") else { return };
    let (first, second) =
        (first.split(' ').next().and_then(end), rest.split(' ').next().and_then(end));
    let service =
        |end: Option<End<'_>>| end.and_then(|end| end.port).is_some_and(|port| port < SERVICES);
    if service(first) && !service(second) {
        ends(second, first, out);
    } else {
        ends(first, second, out);
    }
    // A user's name may stand between, in brackets; the last ones are the firewall's own.
    if let Some((_, rest)) = rest.rsplit_once(" duration ") {
        let mut words = rest.split(' ');
        if let Some(nanos) = words.next().and_then(duration) {
            out.integer(names::EVENT_DURATION, nanos);
        }
        if words.next() == Some("bytes")
            && let Some(bytes) = words.next().and_then(|bytes| bytes.parse().ok())
        {
            out.integer(names::NETWORK_BYTES, bytes);
        }
        let reason: &str = rest.splitn(4, ' ').nth(3).unwrap_or_default();
        out.some(names::EVENT_REASON, reason);
    }
}

/// `1:02:03` as nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let seconds = text.split(':').try_fold(0i64, |sum, part| {
        sum.checked_mul(60)?.checked_add(part.parse::<u32>().ok()?.into())
    })?;
    seconds.checked_mul(1_000_000_000)
}

/// `Built inbound ICMP connection for faddr 203.0.113.1/0 gaddr 198.51.100.1/0 laddr 192.0.2.1/0`.
fn icmp(text: &str, out: &mut Out) {
    if text.starts_with("Built") {
        verdict(true, out);
    } else {
        told("network", "close", out);
    }
    out.word(names::NETWORK_TRANSPORT, "icmp");
    let address =
        |sign: &str| super::word(text, sign).and_then(end).map(|end| End { port: None, ..end });
    let (far, near) = (address("faddr "), address("laddr "));
    if text.contains(" outbound ") {
        ends(near, far, out);
    } else {
        ends(far, near, out);
    }
}

/// `Built dynamic TCP translation from inside:192.0.2.1/1024 to outside:198.51.100.1/1024`.
fn translated(text: &str, out: &mut Out) {
    told("network", if text.starts_with("Built") { "nat_created" } else { "nat_removed" }, out);
    let mut words = text.split(' ');
    if let Some(name) = words.nth(2).filter(|name| *name != "translation") {
        protocol(name, out);
    }
    let Some((_, rest)) = text.split_once(" from ") else { return };
    let Some((inside, outside)) = rest.split_once(" to ") else { return };
    ends(inside.split(' ').next().and_then(end), None, out);
    if let Some(nat) = outside.split(' ').next().and_then(end) {
        out.address(names::SOURCE_NAT_IP, nat.address);
        if let Some(port) = nat.port {
            out.integer(names::SOURCE_NAT_PORT, port.into());
        }
    }
}

/// `Deny tcp src outside:203.0.113.1/1024 dst inside:192.0.2.1/22 by access-group "OUT" […]`.
fn denied_src_dst(text: &str, out: &mut Out) {
    verdict(false, out);
    if let Some(name) = text.split(' ').find(|word| !matches!(*word, "Deny" | "inbound")) {
        protocol(name, out);
    }
    pair(text, " src ", " dst ", out);
    text_between(names::RULE_NAME, text, "by access-group \"", "\"", out);
}

/// `access-list OUT denied tcp outside/203.0.113.1(1024) -> inside/192.0.2.1(22) hit-cnt 1 …`.
fn listed(text: &str, out: &mut Out) {
    let mut words = text.split(' ');
    let (Some("access-list"), Some(list), Some(what)) = (words.next(), words.next(), words.next())
    else {
        return;
    };
    verdict(what != "denied", out);
    out.some(names::RULE_NAME, list);
    if let Some(name) = words.next() {
        protocol(name, out);
    }
    let Some((before, behind)) = text.split_once(" -> ") else { return };
    // A user's name in brackets may follow an end.
    let source = before.split(' ').filter_map(end).next_back();
    ends(source, behind.split(' ').next().and_then(end), out);
}

/// `Deny TCP (no connection) from 192.0.2.1/1024 to 203.0.113.1/443 flags RST on interface inside`.
fn denied_from_to(text: &str, out: &mut Out) {
    let permitted = text.contains("access permitted");
    verdict(permitted, out);
    let named = text
        .split(' ')
        .take(4)
        .find(|word| ["TCP", "UDP", "ICMP", "tcp", "udp", "icmp"].contains(word));
    if let Some(name) = named {
        protocol(name, out);
    }
    pair(text, " from ", " to ", out);
    if let Some(interface) = super::word(text, "on interface ") {
        out.text(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
    }
}

/// Two ends behind their signs.
fn pair(text: &str, first: &str, second: &str, out: &mut Out) {
    let Some((_, rest)) = text.split_once(first) else { return };
    let (before, behind) = rest.split_once(second).unwrap_or((rest, ""));
    let source = first_word(before).map(brackets).and_then(end);
    let destination = first_word(behind).map(brackets).and_then(end);
    ends(source, destination, out);
}

fn first_word(text: &str) -> Option<&str> {
    text.trim_start().split(' ').next()
}

fn brackets(word: &str) -> &str {
    word.strip_prefix('(').and_then(|word| word.strip_suffix(')')).unwrap_or(word)
}

/// `Login denied from 203.0.113.1/1024 to outside:198.51.100.1/ssh for user "a"`.
fn console_login(permitted: bool, text: &str, out: &mut Out) {
    login(permitted, out);
    pair(text, " from ", " to ", out);
    if let Some((_, user)) = text.split_once(" for user \"") {
        out.some(names::USER_NAME, user.trim_end_matches('.').strip_suffix('"').unwrap_or(user));
    }
}

/// `AAA user authentication Rejected : reason = … : local database : user = a : user IP = 203.0.113.1`.
fn aaa(text: &str, out: &mut Out) {
    let rejected =
        text.contains("Rejected") || text.contains("rejected") || text.contains("Failed");
    login(!rejected, out);
    let Some((head, rest)) = text.split_once(" : user = ") else { return };
    let (user, address) = rest.rsplit_once(" : user IP = ").unwrap_or((rest, ""));
    if user.contains(" : user IP = ") {
        doubt(names::USER_NAME, out);
    } else if !user.bytes().all(|byte| byte == b'*') {
        out.some(names::USER_NAME, user.trim());
    }
    if let Some(address) = scan::address(address.trim()) {
        out.address(names::SOURCE_IP, address);
    }
    text_between(names::EVENT_REASON, head, "reason = ", " :", out);
    if let Between::Once(server) = between(head, "server = ", " :")
        && let Some(server) = scan::address(server.trim())
    {
        out.address(names::SERVER_IP, server);
    }
}

/// `Group = VPN, Username = a, IP = 203.0.113.1, Session disconnected. Session Type: SSL, … Reason: …`.
fn disconnected(text: &str, out: &mut Out) {
    told("authentication", "logout", out);
    text_between(names::GROUP_NAME, text, "Group = ", ",", out);
    text_between(names::USER_NAME, text, "Username = ", ", IP = ", out);
    address_between(text, "IP = ", ",", out);
    text_between(names::EVENT_REASON, text, "Reason: ", "", out);
}

/// `Group <VPN> User <a> IP <203.0.113.1> AnyConnect parent session started.`
fn tunnel(number: &str, text: &str, out: &mut Out) {
    match number {
        "716039" => login(false, out),
        "716038" | "113039" | "716001" => login(true, out),
        "716002" | "722023" => told("authentication", "logout", out),
        _ => told("network", "vpn", out),
    }
    text_between(names::GROUP_NAME, text, "Group <", ">", out);
    text_between(names::USER_NAME, text, "User <", ">", out);
    address_between(text, " IP <", ">", out);
}

/// `User 'a', running 'CLI' from IP 192.0.2.1, executed 'no access-list x'`.
fn command(text: &str, out: &mut Out) {
    told("configuration", "config", out);
    let Some((who, rest)) = text.split_once(" executed ") else { return };
    out.dataset = Some("cisco.command");
    text_between(names::USER_NAME, who, "User '", "'", out);
    address_between(who, " from IP ", ",", out);
    let command = rest.strip_prefix("the ").unwrap_or(rest).trim_end_matches('.');
    let command = command.strip_suffix(" command").unwrap_or(command);
    out.some(names::PROCESS_COMMAND_LINE, command.trim_matches('\''));
}

/// `… SrcIP: 192.0.2.1, DstIP: 198.51.100.1, SrcPort: 1024, …`.
fn connection_event(text: &str, out: &mut Out) {
    let style = Style { assign: Assign::Colon, between: Separator::Comma };
    network::read(text, style, FTD, out).conclude(out);
}

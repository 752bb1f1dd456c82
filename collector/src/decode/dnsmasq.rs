//! Messages of dnsmasq: names asked for and answered, and leases of its DHCP.
//!
//! Names of hosts in leases are the client's own words; they stand last in their line.

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "dnsmasq",
    datasets: &["dnsmasq"],
    programs: &["dnsmasq", "dnsmasq-dhcp"],
    paths: &["dnsmasq.log"],
    looks: Looks::NEVER,
    security: false,
    decode,
};

/// How the refusal of a lease ends.
const NO_ADDRESS: &str = "no address available";

/// Reads one message.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let text = extra(message, out).unwrap_or(message);
    if let Some(rest) = text.strip_prefix("query[") {
        let (kind, rest) = rest.split_once("] ")?;
        let (name, from) = rest.rsplit_once(" from ")?;
        dns("dns_query", out);
        out.some(names::DNS_QUESTION_NAME, name);
        out.some(names::DNS_QUESTION_TYPE, kind);
        out.address(names::SOURCE_IP, scan::address(from)?);
        return Some(());
    }
    if let Some(rest) = text.strip_prefix("DHCP") {
        return lease(rest, out);
    }
    if let Some(rest) = text.strip_prefix("possible DNS-rebind attack detected: ") {
        out.event("intrusion_detection", "dns_rebind");
        out.text(names::DNS_QUESTION_NAME, rest);
        out.security = true;
        return Some(());
    }
    if let Some(rest) = text.strip_prefix("forwarded ") {
        let (name, to) = rest.rsplit_once(" to ")?;
        dns("dns_forwarded", out);
        out.some(names::DNS_QUESTION_NAME, name);
        out.address(names::DESTINATION_IP, scan::address(to)?);
        return Some(());
    }
    for (start, action) in [
        ("reply ", "dns_reply"),
        ("cached ", "dns_reply"),
        ("config ", "dns_reply"),
        ("/etc/hosts ", "dns_reply"),
        ("DHCP ", "dns_reply"),
        ("validation ", "dns_validation"),
    ] {
        if let Some(rest) = text.strip_prefix(start) {
            let (name, answer) = rest.rsplit_once(" is ")?;
            dns(action, out);
            out.some(names::DNS_QUESTION_NAME, name);
            match answer {
                "NXDOMAIN" | "SERVFAIL" | "REFUSED" => out.text(names::DNS_RESPONSE_CODE, answer),
                "NXDOMAIN-IPv4" | "NXDOMAIN-IPv6" => out.word(names::DNS_RESPONSE_CODE, "NXDOMAIN"),
                answer => out.some(names::DNS_ANSWERS_DATA, answer),
            }
            return Some(());
        }
    }
    daemon(text, out)
}

/// With `log-queries=extra`: `SERIAL ADDRESS/PORT TEXT`.
fn extra<'a>(message: &'a str, out: &mut Out) -> Option<&'a str> {
    let (serial, rest) = message.split_once(' ')?;
    serial.parse::<u64>().ok()?;
    let (client, text) = rest.split_once(' ')?;
    let (address, port) = client.split_once('/')?;
    // The query names the address again.
    if !text.starts_with("query[") {
        out.address(names::SOURCE_IP, scan::address(address)?);
    }
    out.digits(names::SOURCE_PORT, port);
    Some(text)
}

fn dns(action: &'static str, out: &mut Out) {
    out.event("network", action);
    out.word(names::NETWORK_PROTOCOL, "dns");
}

/// `DHCPACK(eth0) ADDRESS MAC[ HOST]`, `DHCPDISCOVER(eth0) MAC`, `DHCPDISCOVER(eth0) ADDRESS MAC no address
/// available`.
fn lease(rest: &str, out: &mut Out) -> Option<()> {
    let (kind, rest) = rest.split_once('(')?;
    let (interface, rest) = rest.split_once(") ")?;
    let action = match kind {
        "DISCOVER" => "dhcp_discover",
        "OFFER" => "dhcp_offer",
        "REQUEST" => "dhcp_request",
        "ACK" => "dhcp_ack",
        "NAK" => "dhcp_nak",
        "RELEASE" => "dhcp_release",
        "INFORM" => "dhcp_inform",
        "DECLINE" => "dhcp_decline",
        _ => return None,
    };
    out.event("network", action);
    out.word(names::NETWORK_PROTOCOL, "dhcp");
    out.text(names::HENGWEI_INTERFACE_NAME, interface);
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    let (mac, rest) = match scan::address(first) {
        Some(address) => {
            out.address(names::CLIENT_IP, address);
            behind.split_once(' ').unwrap_or((behind, ""))
        }
        None => (first, behind),
    };
    out.some(names::SOURCE_MAC, mac);
    if let Some(end) =
        rest.len().checked_sub(NO_ADDRESS.len()).filter(|_| rest.ends_with(NO_ADDRESS))
    {
        out.outcome(false);
        out.text(names::EVENT_REASON, &rest[end..]);
    } else if kind == "NAK" {
        out.outcome(false);
        out.some(names::EVENT_REASON, rest);
    } else {
        out.some(names::SOURCE_DOMAIN, rest);
    }
    Some(())
}

fn daemon(text: &str, out: &mut Out) -> Option<()> {
    const STARTS: &[(&str, &str, Option<bool>)] = &[
        ("started, version ", "dns_server_started", Some(true)),
        ("exiting on receipt of SIGTERM", "dns_server_stopped", None),
        ("failed to ", "dns_server_error", Some(false)),
        ("using nameserver ", "dns_configuration_loaded", None),
        ("using local addresses only for ", "dns_configuration_loaded", None),
        ("reading ", "dns_configuration_loaded", None),
        ("read ", "dns_configuration_loaded", None),
        ("ignoring nameserver ", "dns_configuration_loaded", None),
        ("Maximum number of concurrent DNS queries reached", "dns_rate_limited", Some(false)),
        ("nameserver ", "dns_message", None),
        ("reducing DNS packet size ", "dns_message", None),
        ("cleared cache", "dns_message", None),
    ];
    let (_, action, success) = STARTS.iter().find(|(start, ..)| text.starts_with(start))?;
    out.event("process", action);
    if let Some(success) = success {
        out.outcome(*success);
    }
    out.text(names::EVENT_REASON, text);
    Some(())
}

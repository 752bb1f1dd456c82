//! Values as appliances write them: addresses with ports, protocols by number, directions in words.

use std::net::IpAddr;

use crate::decode::out::Out;
use crate::decode::pairs::Pair;
use crate::decode::{json, scan};
use crate::event::{FieldId, names};

/// Text, borrowed where it needs no change.
pub(crate) fn text(id: FieldId, pair: &Pair<'_>, out: &mut Out) {
    if pair.escaped { out.owned(id, &pair.text()) } else { json::put(id, pair.value, out) }
}

/// Text in lower case, copied only where it was not.
pub(crate) fn lower(id: FieldId, value: &str, out: &mut Out) {
    if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        out.owned(id, &value.to_ascii_lowercase());
    } else {
        out.text(id, value);
    }
}

/// An address as appliances write one: alone, with a port, with a name in brackets behind it.
pub(crate) fn endpoint(value: &str) -> Option<(IpAddr, Option<u16>)> {
    if !value
        .as_bytes()
        .first()
        .is_some_and(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'['))
    {
        return None;
    }
    if let Some(address) = scan::address(value) {
        return Some((address, None));
    }
    if let Some((address, port)) = scan::endpoint(value) {
        return Some((address, Some(port)));
    }
    // SonicWall puts the interface behind the port, and a name behind that: `192.0.2.1:443:X1:pc01`.
    if let Some(end) = with_interface(value) {
        return Some(end);
    }
    let (address, rest) = value.split_once(['(', '/'])?;
    // `192.0.2.0/24` is a network, `192.0.2.1/32` and `192.0.2.1/443` are not.
    let address = scan::address(address)?;
    if value.contains('(') {
        return Some((address, None));
    }
    match rest.parse::<u16>() {
        Ok(32 | 128) => Some((address, None)),
        Ok(port) if port > 128 => Some((address, Some(port))),
        _ => None,
    }
}

/// `ADDRESS:PORT:INTERFACE…`, IPv4 only: of IPv6 nobody could say where the address ends.
fn with_interface(value: &str) -> Option<(IpAddr, Option<u16>)> {
    let (address, rest) = value.split_once(':')?;
    let (port, interface) = rest.split_once(':')?;
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if !address.contains('.') || interface.is_empty() || !interface.bytes().all(plain) {
        return None;
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    Some((scan::address(address)?, port))
}

/// Transports by their numbers and names; other names are protocols above them.
pub(crate) fn protocol(value: &str, out: &mut Out) {
    let value = value.strip_prefix("IPPROTO_").unwrap_or(value);
    if value.is_empty() {
        return;
    }
    // `tcp/https` names both.
    if let Some((transport, above)) =
        value.split_once('/').filter(|(transport, _)| !transport.is_empty())
    {
        protocol(transport, out);
        // `HTTP/1.1` names one and its version.
        if above.starts_with(|char: char| char.is_ascii_digit()) {
            return;
        }
        return lower(names::NETWORK_PROTOCOL, above, out);
    }
    let number = value.parse::<u8>().ok();
    let name = match number {
        Some(1) => "icmp",
        Some(2) => "igmp",
        Some(6) => "tcp",
        Some(17) => "udp",
        Some(41) => "ipv6",
        Some(47) => "gre",
        Some(50) => "esp",
        Some(51) => "ah",
        Some(58) => "ipv6-icmp",
        Some(89) => "ospf",
        Some(103) => "pim",
        Some(112) => "vrrp",
        Some(132) => "sctp",
        Some(_) => return out.text(names::NETWORK_TRANSPORT, value),
        None => {
            let known = [
                "tcp",
                "udp",
                "icmp",
                "igmp",
                "gre",
                "esp",
                "ah",
                "sctp",
                "ipv6-icmp",
                "ospf",
                "vrrp",
                "pim",
            ];
            match known.iter().find(|name| value.eq_ignore_ascii_case(name)) {
                Some(name) => name,
                None if value.eq_ignore_ascii_case("icmpv6")
                    || value.eq_ignore_ascii_case("icmp6") =>
                {
                    "ipv6-icmp"
                }
                None => return lower(names::NETWORK_PROTOCOL, value, out),
            }
        }
    };
    out.word(names::NETWORK_TRANSPORT, name);
}

pub(super) fn direction(value: &str) -> Option<&'static str> {
    let holds = |words: &[&str]| words.iter().any(|word| value.contains(word));
    if value.eq_ignore_ascii_case("in")
        || value.eq_ignore_ascii_case("inbound")
        || holds(&[
            "外到内",
            "外->内",
            "外网到内网",
            "外网->内网",
            "外网-->内网",
            "外网→内网",
            "低到高",
        ])
    {
        Some("inbound")
    } else if value.eq_ignore_ascii_case("out")
        || value.eq_ignore_ascii_case("outbound")
        || holds(&[
            "内到外",
            "内->外",
            "内网到外网",
            "内网->外网",
            "内网-->外网",
            "内网→外网",
            "高到低",
        ])
    {
        Some("outbound")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let check = |text: &str, address: &str, port: Option<u16>| {
            let address: Option<IpAddr> = (!address.is_empty()).then(|| address.parse().unwrap());
            assert_eq!(endpoint(text), address.map(|address| (address, port)), "{text}");
        };
        check("192.0.2.1", "192.0.2.1", None);
        check("192.0.2.1:80", "192.0.2.1", Some(80));
        check("[2001:db8::1]:80", "2001:db8::1", Some(80));
        check("192.0.2.1:80:X1", "192.0.2.1", Some(80));
        check("192.0.2.1(pc01)", "192.0.2.1", None);
        check("192.0.2.1/443", "192.0.2.1", Some(443));
        check("192.0.2.1/32", "192.0.2.1", None);
        check("192.0.2.1:443:X1", "192.0.2.1", Some(443));
        check("192.0.2.1:443:X1:pc01", "192.0.2.1", Some(443));
        check("192.0.2.1:443:X1 x", "", None);
        check("192.0.2.0/24", "", None);
        check("pc01", "", None);
        check("", "", None);
        assert_eq!(direction("内网到外网"), Some("outbound"));
        assert_eq!(direction("sideways"), None);
    }
}

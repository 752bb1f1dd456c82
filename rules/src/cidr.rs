//! Networks, for the `cidr` modifier.

use std::net::IpAddr;

/// A network of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    base: IpAddr,
    bits: u32,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fe80::/10`, or a single address. Bits beyond the prefix are ignored.
    pub(crate) fn parse(text: &str) -> Option<Cidr> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok()?,
            None => width,
        };
        (bits <= width).then_some(Cidr { base, bits })
    }

    /// Whether an address lies in it. An IPv4 address mapped into IPv6 is an IPv4 address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let same = |left: u128, right: u128, width: u32| {
            self.bits == 0 || (left ^ right) >> (width - self.bits) == 0
        };
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                same(u32::from(base).into(), u32::from(address).into(), 32)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) if same(base.into(), address.into(), 128) => {
                true
            }
            (IpAddr::V4(base), IpAddr::V6(address)) => address
                .to_ipv4_mapped()
                .is_some_and(|address| same(u32::from(base).into(), u32::from(address).into(), 32)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let cidr = Cidr::parse(network).unwrap();
        for address in inside {
            assert!(cidr.contains(address.parse().unwrap()), "{network} {address}");
        }
        for address in outside {
            assert!(!cidr.contains(address.parse().unwrap()), "{network} {address}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        check("10.0.0.0/8", &["10.255.1.2", "::ffff:10.1.1.1"], &["11.0.0.0", "::1"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.8"]);
        check("fe80::/10", &["fe80::1", "febf::"], &["fec0::", "10.0.0.1"]);
        check("::/0", &["::", "ffff::"], &["1.2.3.4"]);
        check("::1/128", &["::1"], &["::2"]);
    }

    #[test]
    fn what_is_no_network_is_not_read() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "fe80::/129", "a/b", "10.0.0.0/-1", "/"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}

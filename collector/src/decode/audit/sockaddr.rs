//! The address of a SOCKADDR record: the bytes of a C `struct sockaddr`, as hexadecimal.
//!
//! The family is a number in the byte order of the host; port and address are in that of the network.
//! The hosts we read are little-endian, but for s390x, so both orders of the family are tried: no
//! family of ours is large enough to be taken for another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest structure the kernel has: `struct sockaddr_storage`.
const MAX_BYTES: usize = 128;

/// Whom a socket call talked to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// An address and port.
    Internet(IpAddr, u16),
    /// A socket of the host, by its path; one without a file begins with `@`.
    Local(String),
    /// A family without an address for us: netlink, packets.
    Other(&'static str),
}

/// Reads the value of `saddr=`.
pub(super) fn peer(hex: &str) -> Option<Peer> {
    let bytes = super::value::bytes(hex.get(..MAX_BYTES * 2).unwrap_or(hex))?;
    let (first, rest) = bytes.split_first_chunk::<2>()?;
    let family = match u16::from_le_bytes(*first) {
        family if family < 256 => family,
        _ => u16::from_be_bytes(*first),
    };
    match family {
        1 => local(rest),
        2 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            Some(Peer::Internet(address.into(), u16::from_be_bytes(*port)))
        }
        10 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
            Some(Peer::Internet(IpAddr::from(address).to_canonical(), u16::from_be_bytes(*port)))
        }
        0 => Some(Peer::Other("unspec")),
        16 => Some(Peer::Other("netlink")),
        17 => Some(Peer::Other("packet")),
        38 => Some(Peer::Other("alg")),
        40 => Some(Peer::Other("vsock")),
        _ => None,
    }
}

/// A path ends at its first NUL; what stands behind it was never set. A name of the abstract space
/// begins with one.
fn local(bytes: &[u8]) -> Option<Peer> {
    let (mark, bytes) = match bytes.split_first()? {
        (0, rest) => ("@", rest),
        _ => ("", bytes),
    };
    let path = bytes.split(|byte| *byte == 0).next()?;
    Some(Peer::Local(format!("{mark}{}", String::from_utf8_lossy(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_each_family() {
        let internet = |address: &str, port| Peer::Internet(address.parse().unwrap(), port);
        for (hex, expected) in [
            ("02000050CB0071090000000000000000", Some(internet("203.0.113.9", 80))),
            (
                "0A0001BB0000000020010DB800000000000000000000000700000000",
                Some(internet("2001:db8::7", 443)),
            ),
            (
                "0A0000160000000000000000000000000000FFFFCB00710900000000",
                Some(internet("203.0.113.9", 22)),
            ),
            ("00020050CB007109", Some(internet("203.0.113.9", 80))),
            ("01002F72756E2F6E7363640000603B7B", Some(Peer::Local("/run/nscd".into()))),
            ("0100006162630000", Some(Peer::Local("@abc".into()))),
            ("100000000000000000000000", Some(Peer::Other("netlink"))),
            ("02000050CB00", None),
            ("02", None),
            ("", None),
            ("0X", None),
            ("FF00", None),
        ] {
            assert_eq!(peer(hex), expected, "{hex}");
        }
    }
}

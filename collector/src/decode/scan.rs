//! Small readers that several decoders share.

use std::net::IpAddr;

/// An address as logs write it: in brackets or not, with an interface or not; an IPv4 address in
/// IPv6 clothes comes back as itself.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let text = match text.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => text,
    };
    let known = text.bytes().next().is_some_and(|byte| byte.is_ascii_hexdigit() || byte == b':');
    if !known {
        return None;
    }
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// `ADDRESS` or `ADDRESS port N`, all of it. sshd says `UNKNOWN` when it cannot tell.
pub(crate) fn peer(text: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    let (host, port) = match text.split_once(" port ") {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    if host == "UNKNOWN" {
        return Some((None, None));
    }
    Some((Some(address(host)?), port))
}

/// `ADDRESS:PORT`, the address in brackets when it is IPv6.
pub(crate) fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((address(host)?, port.parse().ok()?))
}

/// The seconds since the start that the kernel puts before its messages, `[   12.345678] `, and what
/// follows them.
pub(crate) fn uptime(text: &str) -> (Option<f64>, &str) {
    let read = || {
        let (seconds, rest) = text.strip_prefix('[')?.split_once(']')?;
        let seconds = seconds.trim_start();
        let plain = seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let seconds = seconds.contains('.').then_some(seconds).filter(|_| plain)?;
        Some((seconds.parse().ok(), rest.strip_prefix(' ').unwrap_or(rest)))
    };
    read().unwrap_or((None, text))
}

/// Text between single quotes at the beginning, and what follows it.
pub(crate) fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('\'')?.split_once('\'')
}

/// What follows `key` (its `=` included) up to the next blank; the key begins the text or follows a
/// blank.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = match text.strip_prefix(key) {
        Some(rest) => rest,
        None => {
            let whole = memchr::memmem::find_iter(text.as_bytes(), key.as_bytes())
                .find(|at| at.checked_sub(1).is_some_and(|at| text.as_bytes()[at] == b' '))?;
            &text[whole + key.len()..]
        }
    };
    Some(start.split_once(' ').map_or(start, |(value, _)| value))
}

/// Whether a text is digits and nothing else.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text without the angles around it.
pub(crate) fn unangled(text: &str) -> &str {
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(address(text), expected.map(|text| text.parse().unwrap()), "{text}");
        };
        check("203.0.113.7", Some("203.0.113.7"));
        check("::ffff:203.0.113.7", Some("203.0.113.7"));
        check("fe80::1%eth0", Some("fe80::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("203.0.113.7%eth0", None);
        check("example.org", None);
        check("", None);
    }

    #[test]
    fn uptimes() {
        assert_eq!(uptime("[   12.345678] usb 1-1"), (Some(12.345_678), "usb 1-1"));
        assert_eq!(uptime("[1.0]x"), (Some(1.0), "x"));
        for other in ["", "usb", "[12] usb", "[x.y] usb", "[1.0", "[T1.5] x"] {
            assert_eq!(uptime(other), (None, other));
        }
    }

    #[test]
    fn peers() {
        let ip = "203.0.113.7".parse().unwrap();
        assert_eq!(peer("203.0.113.7 port 22"), Some((Some(ip), Some(22))));
        assert_eq!(peer("203.0.113.7"), Some((Some(ip), None)));
        assert_eq!(peer("UNKNOWN port 65535"), Some((None, None)));
        assert_eq!(peer("203.0.113.7 port 22 "), None);
        assert_eq!(peer("203.0.113.7 port 65536"), None);
        assert_eq!(endpoint("[2001:db8::1]:22"), Some(("2001:db8::1".parse().unwrap(), 22)));
    }
}

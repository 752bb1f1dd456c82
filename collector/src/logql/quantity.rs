//! What fields are compared with beside text: numbers, durations, sizes, addresses.

use std::net::IpAddr;

use super::Value;

/// A number with what it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantity {
    pub(super) unit: Unit,
    /// Plain, in nanoseconds, or in bytes.
    pub(super) amount: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    Duration,
    Size,
}

/// Units of time, longer names first, in nanoseconds.
const TIMES: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
    ("w", 7.0 * 86_400e9),
    ("y", 365.0 * 86_400e9),
];

/// Units of size, in bytes; without regard to case.
const SIZES: &[(&str, f64)] = &[
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("b", 1.0),
];

impl Quantity {
    /// Reads `5`, `-1.5`, `1e3`, `10ms`, `1h30m`, `5KB`, `2MiB`.
    pub(super) fn parse(text: &str) -> Option<Quantity> {
        let quantity = |unit, amount| Quantity { unit, amount };
        number(text)
            .map(|amount| quantity(Unit::Plain, amount))
            .or_else(|| duration(text).map(|amount| quantity(Unit::Duration, amount)))
            .or_else(|| size(text).map(|amount| quantity(Unit::Size, amount)))
    }

    /// A value in this quantity's unit; None when it has none. A number without a unit is taken in
    /// the unit its field has: bytes, nanoseconds (as `event.duration`), or seconds where the
    /// field's name ends with that word.
    pub(super) fn measure(self, field: &str, value: Value<'_>) -> Option<f64> {
        let (amount, text) = match value {
            Value::Integer(integer) => (Some(integer as f64), ""),
            Value::Number(number) => (Some(number), ""),
            Value::Text(text) => (number(text.trim()), text.trim()),
            Value::Flag(_) | Value::Address(_) => return None,
        };
        match self.unit {
            Unit::Plain => amount,
            Unit::Size => amount.or_else(|| size(text)),
            Unit::Duration => {
                let scale = if field.ends_with("seconds") { 1e9 } else { 1.0 };
                amount.map(|amount| amount * scale).or_else(|| duration(text))
            }
        }
    }
}

/// A finite decimal number.
fn number(text: &str) -> Option<f64> {
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if !text.bytes().all(decimal) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `10ms`, `1h30m`, `1.5s`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut total = 0.0;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let count: f64 = number(&rest[..digits])?;
        let unit = &rest[digits..];
        let (name, nanos) = TIMES.iter().find(|(name, _)| {
            unit.strip_prefix(name).is_some_and(|after| !after.starts_with(char::is_alphabetic))
        })?;
        total += count * nanos;
        rest = &unit[name.len()..];
        parts += 1;
    }
    (parts > 0).then_some(sign * total)
}

/// `5KB`, `1.5 MiB`, in bytes.
fn size(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let unit = text[digits..].trim_start();
    let (_, bytes) = SIZES.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    Some(number(&text[..digits])? * bytes)
}

/// Some addresses in a row: one, a network, or from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addresses {
    first: IpAddr,
    last: IpAddr,
}

impl Addresses {
    /// Reads `10.1.2.3`, `10.0.0.0/8`, `10.1.2.3-10.1.2.9`, and the same of IPv6.
    pub(super) fn parse(text: &str) -> Option<Addresses> {
        let one = |text: &str| text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if let Some(ip) = one(text) {
            return Some(Addresses { first: ip, last: ip });
        }
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (one(first)?, one(last)?);
            let ordered = first.is_ipv4() == last.is_ipv4() && first <= last;
            return ordered.then_some(Addresses { first, last });
        }
        let (base, length) = text.split_once('/')?;
        Addresses::network(base.trim().parse().ok()?, length.trim().parse().ok()?)
    }

    fn network(base: IpAddr, length: u32) -> Option<Addresses> {
        let (first, last): (IpAddr, IpAddr) = match base {
            IpAddr::V4(ip) if length <= u32::BITS => {
                let host = u32::MAX.checked_shr(length).unwrap_or(0);
                let bits = ip.to_bits();
                (IpAddr::V4((bits & !host).into()), IpAddr::V4((bits | host).into()))
            }
            IpAddr::V6(ip) if length <= u128::BITS => {
                let host = u128::MAX.checked_shr(length).unwrap_or(0);
                let bits = ip.to_bits();
                (IpAddr::V6((bits & !host).into()), IpAddr::V6((bits | host).into()))
            }
            _ => return None,
        };
        Some(Addresses { first, last })
    }

    pub(super) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && self.first <= ip && ip <= self.last
    }

    /// Whether one of them stands somewhere in a text.
    pub(super) fn in_text(&self, text: &str) -> bool {
        let part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        text.split(|c| !part(c)).filter(|run| run.contains(['.', ':'])).any(|run| self.in_run(run))
    }

    /// A run of what addresses are written with: an address, perhaps with a full stop, a colon or a
    /// port behind it.
    fn in_run(&self, run: &str) -> bool {
        let has = |text: &str| text.parse().is_ok_and(|ip| self.has(ip));
        has(run)
            || has(run.trim_end_matches('.'))
            || has(run.strip_suffix(':').unwrap_or(run))
            || run.split(':').any(|piece| has(piece.trim_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_unit() {
        let check = |text: &str, expected: Option<(Unit, f64)>| {
            let read = Quantity::parse(text).map(|read| (read.unit, read.amount));
            assert_eq!(read, expected, "{text}");
        };
        check("5", Some((Unit::Plain, 5.0)));
        check("-1.5e3", Some((Unit::Plain, -1500.0)));
        check("10ms", Some((Unit::Duration, 1e7)));
        check("1h30m", Some((Unit::Duration, 5400e9)));
        check("1.5s", Some((Unit::Duration, 1.5e9)));
        check("5m", Some((Unit::Duration, 300e9)));
        check("5MB", Some((Unit::Size, 5e6)));
        check("2KiB", Some((Unit::Size, 2048.0)));
        check("7b", Some((Unit::Size, 7.0)));
        for text in ["", "-", ".", "5x", "ms", "inf", "nan", "1e999", "5mb5", "1h30", "٣"] {
            check(text, None);
        }
    }

    #[test]
    fn values_without_a_unit_have_that_of_their_field() {
        let over = |text: &str| Quantity::parse(text).expect("a quantity");
        let ms = over("10ms");
        assert_eq!(ms.measure("event.duration", Value::Integer(5)), Some(5.0));
        assert_eq!(ms.measure("took_seconds", Value::Number(0.5)), Some(5e8));
        assert_eq!(ms.measure("took", Value::Text("2s")), Some(2e9));
        assert_eq!(over("1KB").measure("size", Value::Text("3 KiB")), Some(3072.0));
        assert_eq!(over("1").measure("n", Value::Text("x")), None);
        assert_eq!(over("1").measure("n", Value::Flag(true)), None);
    }

    #[test]
    fn addresses_are_found_in_text() {
        let check = |wanted: &str, text: &str, expected: bool| {
            let addresses = Addresses::parse(wanted).expect("addresses");
            assert_eq!(addresses.in_text(text), expected, "{wanted} in {text}");
        };
        check("10.0.0.0/8", "from 10.1.2.3 port 22", true);
        check("10.0.0.0/8", "from 11.1.2.3.", false);
        check("10.1.2.3", "peer 10.1.2.3:443, done", true);
        check("10.1.2.3", "see 10.1.2.3.", true);
        check("10.1.2.3", "version 10.1.2.30", false);
        check("10.1.2.3-10.1.2.9", "[10.1.2.5]", true);
        check("2001:db8::/32", "[2001:db8::1]:443", true);
        check("2001:db8::/32", "from 2001:db8::7: x", true);
        check("::1", "to ::1", true);
        check("0.0.0.0/0", "dead beef.", false);
        check("10.1.2.3", "::ffff:10.1.2.3", true);
        for text in ["", "10.0.0.0/33", "::/129", "10.1.2.9-10.1.2.3", "10.1.2.3-::1", "x"] {
            assert_eq!(Addresses::parse(text), None, "{text}");
        }
    }
}

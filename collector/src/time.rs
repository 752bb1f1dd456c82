//! Unix nanoseconds inside, RFC 3339 in UTC outside.

use jiff::Timestamp;

/// The clock, Unix nanoseconds. The one place that reads it.
pub fn now() -> i64 {
    nanos(Timestamp::now())
}

/// Nanoseconds of a timestamp; the ends of time stand for what does not fit.
pub fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time.as_nanosecond() < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// `2026-11-21T08:00:00.123Z`, with as many digits as are needed.
pub fn rfc3339(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos))
        .expect("every i64 of nanoseconds is within jiff's range")
        .to_string()
}

/// Reads RFC 3339.
pub fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(nanos)
}

/// Reads what an operator types: RFC 3339, a date (its first moment, UTC), or an age such as `15m`,
/// `2h`, `7d` before `now`.
pub fn parse_operator(text: &str, now: i64) -> Option<i64> {
    if let Some(time) = parse(text) {
        return Some(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| nanos(zoned.timestamp()));
    }
    duration(text).map(|age| now.saturating_sub(age))
}

/// Nanoseconds of `90s`, `15m`, `2h`, `7d`.
pub fn duration(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    count.checked_mul(seconds)?.checked_mul(1_000_000_000).filter(|_| count >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789, i64::MAX, i64::MIN] {
            assert_eq!(parse(&rfc3339(nanos)), Some(nanos));
        }
    }

    #[test]
    fn what_operators_type() {
        let now = parse("2026-11-21T00:00:00Z").expect("a time");
        for (text, expected) in [
            ("2026-11-20T00:00:00Z", Some(now - 86_400_000_000_000)),
            ("2026-11-20", Some(now - 86_400_000_000_000)),
            ("1d", Some(now - 86_400_000_000_000)),
            ("90s", Some(now - 90_000_000_000)),
            ("-1d", None),
            ("1y", None),
            ("", None),
            ("d", None),
            ("é", None),
        ] {
            assert_eq!(parse_operator(text, now), expected, "{text}");
        }
    }
}

//! Unix nanoseconds inside, RFC 3339 in UTC outside.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Nanoseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Nanoseconds of a day.
pub const DAY: i64 = 24 * HOUR;

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

/// Reads RFC 3339, or a date, which is its first moment in UTC.
pub fn parse_date(text: &str) -> Option<i64> {
    parse(text).or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        Some(nanos(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()))
    })
}

/// Reads what an operator types: as [`parse_date`], or an age such as `15m`, `2h`, `7d` before `now`.
pub fn parse_operator(text: &str, now: i64) -> Option<i64> {
    parse_date(text).or_else(|| duration(text).map(|age| now.saturating_sub(age)))
}

/// Nanoseconds of `90s`, `15m`, `2h`, `7d`.
pub fn duration(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let unit = match unit {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    count.checked_mul(unit).filter(|_| count >= 0)
}

/// Waits; whether it was told to stop meanwhile.
pub async fn stopped(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
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
            ("2026-11-20T00:00:00Z", Some(now - DAY)),
            ("2026-11-20", Some(now - DAY)),
            ("1d", Some(now - DAY)),
            ("90s", Some(now - 90 * SECOND)),
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

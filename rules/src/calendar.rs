//! Parts of a date, for the modifiers `minute` to `year`.
//!
//! As the standard says, nothing is converted: the numbers of a written date are taken as they
//! stand, whatever zone follows them. A number is seconds, milliseconds, microseconds or
//! nanoseconds since 1970 by its size, and read in UTC.

use crate::Value;

/// Part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month, 1 to 31.
    Day,
    /// Of the year as ISO 8601 counts them, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// As it is written.
    Year,
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Hour and minute, when they are given.
    clock: Option<(i64, i64)>,
}

/// The part of the date a value holds, if it holds one.
pub(crate) fn part(value: Value<'_>, part: Part) -> Option<i64> {
    let date = match value {
        Value::Text(text) => match text.trim().parse::<i64>() {
            Ok(number) => from_epoch(number),
            Err(_) => from_text(text.trim())?,
        },
        Value::Integer(number) => from_epoch(number),
        Value::Number(number) if number.is_finite() => from_epoch(number as i64),
        _ => return None,
    };
    match part {
        Part::Minute => date.clock.map(|(_, minute)| minute),
        Part::Hour => date.clock.map(|(hour, _)| hour),
        Part::Day => Some(date.day),
        Part::Week => Some(week(&date)),
        Part::Month => Some(date.month),
        Part::Year => Some(date.year),
    }
}

/// Reads `2026-01-31`, and behind `T` or a space `23:59`.
fn from_text(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let is = |index: usize, wanted: &[u8]| bytes.get(index).is_some_and(|b| wanted.contains(b));
    if !is(4, b"-/") || !is(7, b"-/") {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let clock = if is(10, b"T t_") && is(13, b":") {
        let (hour, minute) = (number(11, 13)?, number(14, 16)?);
        (hour < 24 && minute < 60).then_some((hour, minute))
    } else {
        None
    };
    Some(Date { year, month, day, clock })
}

fn from_epoch(number: i64) -> Date {
    let seconds = match number.unsigned_abs() {
        0..100_000_000_000 => number,
        100_000_000_000..100_000_000_000_000 => number.div_euclid(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => number.div_euclid(1_000_000),
        _ => number.div_euclid(1_000_000_000),
    };
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let minutes = seconds.rem_euclid(86_400) / 60;
    Date { year, month, day, clock: Some((minutes / 60, minutes % 60)) }
}

/// Year, month and day of a day since 1970: years begin in March, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970 of a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

fn week(date: &Date) -> i64 {
    let day = days(date.year, date.month, date.day);
    // 1970-01-01 was a Thursday; the Thursday of a week decides which year it belongs to.
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil(thursday);
    (thursday - days(year, 1, 1)) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value<'_>, expected: [Option<i64>; 6]) {
        let parts = [Part::Minute, Part::Hour, Part::Day, Part::Week, Part::Month, Part::Year];
        assert_eq!(parts.map(|wanted| part(value, wanted)), expected, "{value:?}");
    }

    #[test]
    fn parts_of_dates() {
        let all = |values: [i64; 6]| values.map(Some);
        check(Value::Text("2026-02-03T04:05:06Z"), all([5, 4, 3, 6, 2, 2026]));
        check(Value::Text("2026-02-03 04:05:06.789+08:00"), all([5, 4, 3, 6, 2, 2026]));
        check(Value::Text("2021-01-01T00:00:00"), all([0, 0, 1, 53, 1, 2021]));
        check(Value::Text("2024-12-30T00:00:00"), all([0, 0, 30, 1, 12, 2024]));
        check(Value::Integer(0), all([0, 0, 1, 1, 1, 1970]));
        check(Value::Integer(1_709_210_096), all([34, 12, 29, 9, 2, 2024]));
        check(Value::Integer(1_709_210_096_000), all([34, 12, 29, 9, 2, 2024]));
        check(Value::Integer(1_709_210_096_000_000_000), all([34, 12, 29, 9, 2, 2024]));
        check(Value::Integer(-1), all([59, 23, 31, 1, 12, 1969]));
        check(Value::Text("1709210096"), all([34, 12, 29, 9, 2, 2024]));
        check(Value::Text("2026-02-03"), [None, None, Some(3), Some(6), Some(2), Some(2026)]);
    }

    #[test]
    fn what_is_no_date_has_no_parts() {
        for text in ["", "yesterday", "2026-13-01", "2026-1-1", "20260101T00", "衡衡衡衡"] {
            check(Value::Text(text), [None; 6]);
        }
        check(Value::Flag(true), [None; 6]);
        check(Value::Number(f64::NAN), [None; 6]);
    }
}

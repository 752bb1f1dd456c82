//! Stamps as applications write them, in whichever of many forms.
//!
//! `decode/time.rs` has one function per form for decoders that know theirs. Here the form is found out:
//! nobody tells a reader of unknown applications which it is. In: text that may begin with a date and a
//! time of day. Out: the stamp, and what follows. The text is read once from the left, no further than the
//! stamp goes.
//!
//! ```text
//! 2026-11-22 08:00:00,123    2026/11/22 8:00:00    2026.11.22 08:00:00.123456    20261122-08:00:00
//! 2026年11月22日 下午08时00分00秒 CST    22-Nov-2026 08:00:00    Nov 22, 2026 8:00:00,123 PM CST
//! Sun Nov 22 08:00:00 CST 2026    11/22/2026 08:00:00    十一月 22, 2026 8:00:00 下午
//! ```
//!
//! `11/12/2026` may be a day in November or in December: such a date is read over and dates nothing.
//! `CST` is four zones, ours among them: it says nothing, so the sender's zone holds.

use super::time::{self, Stamp};

/// Names of months in Chinese, as Java writes them.
pub(super) const CHINESE_MONTHS: [&str; 12] = [
    "一月",
    "二月",
    "三月",
    "四月",
    "五月",
    "六月",
    "七月",
    "八月",
    "九月",
    "十月",
    "十一月",
    "十二月",
];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Years that a stamp is believed about; other numbers of four digits are something else.
const YEARS: std::ops::Range<i16> = 1990..2100;
/// Digits of a fraction that count.
const MAX_FRACTION: usize = 9;
/// Digits of a fraction that are read over.
const MAX_DIGITS: usize = 40;

/// A stamp at the beginning of a text, and what follows it. The stamp is None where its date may be read
/// in two ways.
pub(super) fn read(text: &str) -> Option<(Option<Stamp>, &str)> {
    let mut at = Cursor(text);
    let first = *text.as_bytes().first()?;
    let mut date = match first {
        b'0'..=b'9' => at.numbers()?,
        b'A'..=b'Z' => at.words()?,
        0xe4..=0xe5 => at.chinese()?,
        _ => return None,
    };
    let clock = at.clock(date.year.is_some())?;
    if date.year.is_none() {
        date.year = Some(at.year_behind()?);
    }
    let known = date.certain.then_some(Stamp {
        year: date.year,
        month: date.month,
        day: date.day,
        ..clock
    });
    Some((known, at.0))
}

/// `11/22/26`, month first, as American and some vendors' logs have it.
pub(super) fn month_first(text: &str) -> Option<((i16, u8, u8), &str)> {
    let mut at = Cursor(text);
    let month = at.number(1, 2)?;
    at.skip("/").then_some(())?;
    let day = at.number(1, 2)?;
    at.skip("/").then_some(())?;
    let year = at.short_year()?;
    Some((whole(year, month, day)?, at.0))
}

/// `26-11-22` or `26/11/22`, year first, as the Chinese locale of older Java has it.
pub(super) fn year_first(text: &str) -> Option<((i16, u8, u8), &str)> {
    let mut at = Cursor(text);
    let year = at.short_year()?;
    let separator = if at.skip("-") { "-" } else { "/" };
    if separator == "/" && !at.skip("/") {
        return None;
    }
    let month = at.number(1, 2)?;
    at.skip(separator).then_some(())?;
    let day = at.number(1, 2)?;
    Some((whole(year, month, day)?, at.0))
}

/// A time of day at the beginning of a text, `8:00:00:123 CST`, for a date that was read before it.
pub(super) fn clock(date: (i16, u8, u8), text: &str) -> Option<(Stamp, &str)> {
    let mut at = Cursor(text);
    let stamp = at.clock(true)?;
    let (year, month, day) = date;
    Some((Stamp { year: Some(year), month, day, ..stamp }, at.0))
}

fn whole(year: i16, month: u32, day: u32) -> Option<(i16, u8, u8)> {
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
}

/// A date as read.
struct Date {
    /// None where the year stands behind the time of day.
    year: Option<i16>,
    month: u8,
    day: u8,
    certain: bool,
}

impl Date {
    fn of(year: i16, month: u32, day: u32) -> Option<Date> {
        let (year, month, day) = whole(year, month, day)?;
        YEARS.contains(&year).then_some(Date { year: Some(year), month, day, certain: true })
    }
}

/// What is left of the text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.0.as_bytes().get(at).copied()
    }

    /// A number of so many digits, and no more digits behind it.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.0.bytes().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if !(least..=most).contains(&digits) {
            return None;
        }
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.parse().ok()
    }

    fn short_year(&mut self) -> Option<i16> {
        let short = i16::try_from(self.number(2, 4)?).ok()?;
        let year = if short < 100 { short + 2000 } else { short };
        YEARS.contains(&year).then_some(year)
    }

    /// A date that begins with a digit.
    fn numbers(&mut self) -> Option<Date> {
        let digits = self.0.bytes().take(9).take_while(|byte| byte.is_ascii_digit()).count();
        match digits {
            4 => {
                let year = i16::try_from(self.number(4, 4)?).ok()?;
                let (second, third) = match self.byte(0)? {
                    b'-' => ("-", ""),
                    b'/' => ("/", ""),
                    b'.' => (".", ""),
                    _ if self.0.starts_with('年') => ("月", "日"),
                    _ => return None,
                };
                self.skip(if third.is_empty() { second } else { "年" });
                let month = self.number(1, 2)?;
                self.skip(second).then_some(())?;
                let day = self.number(1, 2)?;
                self.skip(third).then_some(())?;
                Date::of(year, month, day)
            }
            8 => {
                let all = self.number(8, 8)?;
                Date::of(i16::try_from(all / 10_000).ok()?, all / 100 % 100, all % 100)
            }
            1 | 2 => self.short(),
            _ => None,
        }
    }

    /// `22-Nov-2026`, `22 Nov 2026`, `11/22/2026`, `11月 22, 2026`.
    fn short(&mut self) -> Option<Date> {
        let first = self.number(1, 2)?;
        if self.skip("月 ") {
            return self.day_and_year(u8::try_from(first).ok()?);
        }
        let separator = match self.byte(0)? {
            b'-' => "-",
            b'/' => "/",
            b'.' => ".",
            b' ' => " ",
            _ => return None,
        };
        self.skip(separator);
        if self.byte(0)?.is_ascii_uppercase() {
            let month = time::month(self.0.as_bytes().get(..3)?)?;
            self.0 = self.0.get(3..)?;
            self.skip(separator).then_some(())?;
            let year = i16::try_from(self.number(4, 4)?).ok()?;
            return Date::of(year, month.into(), first);
        }
        if separator == " " {
            return None;
        }
        let second = self.number(1, 2)?;
        self.skip(separator).then_some(())?;
        let year = i16::try_from(self.number(4, 4)?).ok()?;
        if separator == "." {
            // Nobody puts the month first and dots behind.
            return Date::of(year, second, first);
        }
        match (first, second) {
            (13.., _) => Date::of(year, second, first),
            (_, 13..) => Date::of(year, first, second),
            _ => {
                Date::of(year, first, second).map(|date| Date { certain: first == second, ..date })
            }
        }
    }

    /// `Sun Nov 22 `, `Nov 22, 2026`, `Nov 22 2026`.
    fn words(&mut self) -> Option<Date> {
        let word = self.0.get(..3)?;
        if WEEKDAYS.contains(&word) {
            self.0 = self.0.get(3..)?;
            self.skip(",");
            self.skip(" ").then_some(())?;
            if self.byte(0)?.is_ascii_digit() {
                return self.numbers();
            }
        }
        let month = time::month(self.0.as_bytes().get(..3)?)?;
        self.0 = self.0.get(3..)?;
        self.skip(" ").then_some(())?;
        self.skip(" ");
        self.day_and_year(month)
    }

    fn chinese(&mut self) -> Option<Date> {
        // The longer names end in the shorter ones, not the other way round.
        let at = CHINESE_MONTHS.iter().position(|month| self.0.starts_with(month))?;
        self.skip(CHINESE_MONTHS[at]);
        self.skip(" ").then_some(())?;
        self.day_and_year(u8::try_from(at + 1).ok()?)
    }

    /// `22, 2026`, or the day alone where the year stands behind the time.
    fn day_and_year(&mut self, month: u8) -> Option<Date> {
        let day = self.number(1, 2)?;
        if self.skip(", ") {
            let year = i16::try_from(self.number(4, 4)?).ok()?;
            return Date::of(year, month.into(), day);
        }
        let (_, month, day) = whole(2000, month.into(), day)?;
        let mut year = Cursor(self.0.strip_prefix(' ')?);
        if let Some(year) = year.number(4, 4).filter(|_| year.byte(0) == Some(b' ')) {
            self.0 = self.0.get(5..)?;
            return Date::of(i16::try_from(year).ok()?, month.into(), day.into());
        }
        Some(Date { year: None, month, day, certain: true })
    }

    /// What stands between date and time, the time of day, its half, and the zone.
    fn clock(&mut self, zoned: bool) -> Option<Stamp> {
        for between in [" - ", ", ", "T", " ", "-", ":"] {
            if self.skip(between) {
                break;
            }
        }
        if self.skip("星期") || self.skip("周") {
            let mut rest = self.0.chars();
            rest.next()?;
            self.0 = rest.as_str();
            self.skip(" ");
        }
        let mut half = self.half();
        self.skip(" ");
        let hour = self.number(1, 2)?;
        let words = self.skip("时");
        (words || self.skip(":")).then_some(())?;
        let minute = self.number(1, 2)?;
        self.skip(if words { "分" } else { ":" }).then_some(())?;
        let second = self.number(1, 2)?;
        if words {
            self.skip("秒");
        }
        let nanos = self.fraction();
        if half.is_none() {
            let before = self.0;
            self.skip(" ");
            half = self.half();
            if half.is_none() {
                self.0 = before;
            }
        }
        let hour = match (half, hour) {
            (Some(false), 12) => 0,
            (Some(true), 1..=11) => hour + 12,
            (_, hour) => hour,
        };
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let offset_secs = if zoned { self.zone() } else { None };
        Some(Stamp {
            hour: u8::try_from(hour).ok()?,
            minute: u8::try_from(minute).ok()?,
            second: u8::try_from(second).ok()?,
            nanos,
            offset_secs,
            ..Stamp::default()
        })
    }

    /// Whether a word says that it is after noon.
    fn half(&mut self) -> Option<bool> {
        let found = [("上午", false), ("下午", true), ("AM", false), ("PM", true)];
        let (_, afternoon) = found.iter().find(|(word, _)| self.skip(word))?;
        Some(*afternoon)
    }

    /// `.123`, `,123`, `:123`, or ` 123` where the text or its bracket ends.
    fn fraction(&mut self) -> u32 {
        let digits = |from: usize| {
            let rest = self.0.as_bytes().get(from..).unwrap_or_default();
            rest.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count()
        };
        let count = match self.byte(0) {
            Some(b'.' | b',' | b':') => digits(1),
            Some(b' ') if digits(1) == 3 && matches!(self.byte(4), None | Some(b']')) => 3,
            _ => 0,
        };
        if count == 0 {
            return 0;
        }
        let (text, rest) = self.0.split_at(count + 1);
        self.0 = rest;
        let mut unit = 100_000_000;
        let mut nanos = 0;
        for digit in text.bytes().skip(1).take(MAX_FRACTION) {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
        }
        nanos
    }

    /// A zone behind the time: an offset, `Z`, or a name. Only an offset and UTC say something.
    fn zone(&mut self) -> Option<i32> {
        let rest = self.0.strip_prefix(' ').unwrap_or(self.0);
        if let Some((secs, len)) = time::offset(rest.as_bytes()) {
            // `-0800` is a zone, `- 0800` and `-main` are not; `Z` is one where a word ends.
            let behind = rest.as_bytes().get(len);
            if !behind.is_some_and(u8::is_ascii_alphanumeric) {
                self.0 = rest.get(len..)?;
                return Some(secs);
            }
        }
        let letters = rest.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
        let (name, behind) = rest.split_at_checked(letters)?;
        let utc = matches!(name, "UTC" | "GMT");
        if utc && let Some((secs, len)) = time::offset(behind.as_bytes()) {
            self.0 = behind.get(len..)?;
            return Some(secs);
        }
        // `INFO` is no zone: names are believed in brackets, and of those that everybody knows.
        let closed = matches!(behind.as_bytes().first(), Some(b']' | b'>' | b')'));
        if utc || name == "CST" || closed && (3..=4).contains(&letters) && name.ends_with('T') {
            self.0 = behind;
            return utc.then_some(0);
        }
        None
    }

    /// ` 2026` or ` CST 2026` behind a time of day.
    fn year_behind(&mut self) -> Option<i16> {
        let rest = self.0.strip_prefix(' ')?;
        let letters = rest.bytes().take(5).take_while(u8::is_ascii_uppercase).count();
        let rest = rest.get(letters..)?;
        let mut year = Cursor(if letters > 0 { rest.strip_prefix(' ')? } else { rest });
        let number = i16::try_from(year.number(4, 4)?).ok()?;
        self.0 = year.0;
        YEARS.contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stamp as `year-month-day hour:minute:second.nanos offset`, and what follows.
    fn said(text: &str) -> Option<String> {
        let (stamp, rest) = read(text)?;
        let Some(s) = stamp else { return Some(format!("?|{rest}")) };
        let year = s.year.unwrap_or_default();
        let zone = s.offset_secs.map(|secs| format!(" {secs}")).unwrap_or_default();
        Some(format!(
            "{year}-{}-{} {}:{}:{}.{}{zone}|{rest}",
            s.month, s.day, s.hour, s.minute, s.second, s.nanos
        ))
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("2026-11-22 08:00:00,123 INFO", "2026-11-22 8:0:0.123000000| INFO"),
            ("2026-11-22T08:00:00.5Z x", "2026-11-22 8:0:0.500000000 0| x"),
            ("2026-11-22 08:00:00.123+0800 [", "2026-11-22 8:0:0.123000000 28800| ["),
            ("2026-11-22 08:00:00 +08:00 [", "2026-11-22 8:0:0.0 28800| ["),
            ("2026-11-22 08:00:00 - x", "2026-11-22 8:0:0.0| - x"),
            ("2026-11-22 08:00:00 123] [", "2026-11-22 8:0:0.123000000|] ["),
            ("2026/11/22 8:00:00 x", "2026-11-22 8:0:0.0| x"),
            ("2026/11/22 - 08:00:00 |", "2026-11-22 8:0:0.0| |"),
            ("2026.11.22 08:00:00.123456 [", "2026-11-22 8:0:0.123456000| ["),
            ("20261122-08:00:00]", "2026-11-22 8:0:0.0|]"),
            ("2026年11月22日 下午08时00分01秒 CST>", "2026-11-22 20:0:1.0|>"),
            ("2026-11-22 上午12时00分01秒 CST>", "2026-11-22 0:0:1.0|>"),
            ("2026/11/22 星期日 下午 8:00:00 x", "2026-11-22 20:0:0.0| x"),
            ("22-Nov-2026 08:00:00 x", "2026-11-22 8:0:0.0| x"),
            ("22/Nov/2026:08:00:00 +0800]", "2026-11-22 8:0:0.0 28800|]"),
            ("Nov 22, 2026 8:00:00,123 PM CST> <", "2026-11-22 20:0:0.123000000|> <"),
            ("Nov 22, 2026 12:00:00 AM UTC> <", "2026-11-22 0:0:0.0 0|> <"),
            ("Sun Nov 22 08:00:00 CST 2026 x", "2026-11-22 8:0:0.0| x"),
            ("Sun Nov  2 08:00:00.5 2026] x", "2026-11-2 8:0:0.500000000|] x"),
            ("十一月 22, 2026 8:00:00 下午 x", "2026-11-22 20:0:0.0| x"),
            ("11月 22, 2026 8:00:00 上午 x", "2026-11-22 8:0:0.0| x"),
            ("11/22/2026 08:00:00 x", "2026-11-22 8:0:0.0| x"),
            ("22/11/2026 08:00:00 x", "2026-11-22 8:0:0.0| x"),
            ("11/12/2026 08:00:00 x", "?| x"),
            ("11-12-2026 08:00:00 x", "?| x"),
            ("11.12.2026 08:00:00 x", "2026-12-11 8:0:0.0| x"),
        ] {
            assert_eq!(said(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "2026",
            "2026-11-22",
            "2026-11-22 words",
            "2026-13-22 08:00:00",
            "2026-11-22 24:00:00",
            "1026-11-22 08:00:00",
            "192.0.2.7 08:00:00",
            "20261122",
            "Nov 22 08:00:00 host",
            "Sun Nov",
            "11/22/26",
            "一月",
            "2026年11月22 08:00:00",
            "99999999 08:00:00",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }

    #[test]
    fn short_years() {
        assert_eq!(month_first("11/22/26-08:"), Some(((2026, 11, 22), "-08:")));
        assert_eq!(year_first("26-11-22 8:"), Some(((2026, 11, 22), " 8:")));
        assert_eq!(month_first("22/11/26 "), None);
        let (stamp, rest) = clock((2026, 11, 22), " 8:00:00:123 CST]").expect("a time");
        assert_eq!((stamp.hour, stamp.nanos, rest), (8, 123_000_000, "]"));
    }
}

//! A time as each program writes it, in the zone of the hospital.

/// China has one zone and no summer time.
const ZONE: i64 = 8 * 3600;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    year: i64,
    month: i64,
    day: i64,
    pub(super) hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
}

impl Stamp {
    /// Of Unix nanoseconds.
    pub(super) fn of(time: i64) -> Stamp {
        let seconds = time.div_euclid(SECOND) + ZONE;
        let (days, within) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Days since 0000-03-01, so that the odd day of leap years comes last.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Stamp {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: within / 3600,
            minute: within / 60 % 60,
            second: within % 60,
            nanos: time.rem_euclid(SECOND),
        }
    }

    fn month_name(self) -> &'static str {
        usize::try_from(self.month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan")
    }

    fn clock(self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// `Nov  2 08:01:02`
    pub(super) fn syslog(self) -> String {
        format!("{} {:2} {}", self.month_name(), self.day, self.clock())
    }

    /// `02/Nov/2026:08:01:02 +0800`
    pub(super) fn access(self) -> String {
        format!("{:02}/{}/{}:{} +0800", self.day, self.month_name(), self.year, self.clock())
    }

    /// `2026-11-02 08:01:02`
    pub(super) fn plain(self) -> String {
        format!("{:04}-{:02}-{:02} {}", self.year, self.month, self.day, self.clock())
    }

    /// `2026/11/02 08:01:02`
    pub(super) fn slashed(self) -> String {
        format!("{:04}/{:02}/{:02} {}", self.year, self.month, self.day, self.clock())
    }

    /// `2026-11-02 08:01:02.123`
    pub(super) fn millis(self) -> String {
        format!("{}.{:03}", self.plain(), self.nanos / 1_000_000)
    }

    /// `2026-11-02T08:01:02.123456+08:00`
    pub(super) fn iso(self) -> String {
        let date = format!("{:04}-{:02}-{:02}", self.year, self.month, self.day);
        format!("{date}T{}.{:06}+08:00", self.clock(), self.nanos / 1_000)
    }

    /// `1102 08:01:02.123456`
    pub(super) fn glog(self) -> String {
        format!("{:02}{:02} {}.{:06}", self.month, self.day, self.clock(), self.nanos / 1_000)
    }

    /// `02 Nov 2026 08:01:02.123`
    pub(super) fn redis(self) -> String {
        let (day, month) = (self.day, self.month_name());
        format!("{day:02} {month} {} {}.{:03}", self.year, self.clock(), self.nanos / 1_000_000)
    }

    /// `Mon Nov 02 08:01:02.123456 2026`, the day of the week left as it falls.
    pub(super) fn apache(self, time: i64) -> String {
        const WEEK: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let days = (time.div_euclid(SECOND) + ZONE).div_euclid(DAY).rem_euclid(7);
        let week = usize::try_from(days).ok().and_then(|at| WEEK.get(at)).unwrap_or(&"Thu");
        let (month, day) = (self.month_name(), self.day);
        format!("{week} {month} {day:02} {}.{:06} {}", self.clock(), self.nanos / 1_000, self.year)
    }

    /// `20261102080102`
    pub(super) fn packed(self) -> String {
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_fall_on_the_right_day() {
        let check = |seconds: i64, expected: &str| {
            assert_eq!(Stamp::of(seconds * SECOND).plain(), expected);
        };
        check(0, "1970-01-01 08:00:00");
        check(1_709_164_800, "2024-02-29 08:00:00");
        check(1_798_732_799, "2026-12-31 23:59:59");
        let leap = Stamp::of(1_709_164_800 * SECOND + 123_456_789);
        assert_eq!(leap.apache(1_709_164_800 * SECOND), "Thu Feb 29 08:00:00.123456 2024");
        assert_eq!(leap.iso(), "2024-02-29T08:00:00.123456+08:00");
    }
}

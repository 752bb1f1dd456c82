//! Growth: how fast each class fills the disk, and when that comes to an end.
//!
//! In: sizes and times of segments, how long they are kept, the room there is, the time. Out: bytes
//! per day as measured, and whole days until a limit of size, or the disk, can no longer hold what is
//! to be kept. What retention will remove on the way is counted in: a class that has reached its age
//! is steady. It is arithmetic alone: no file, no clock.

use super::retention::Keep;
use super::stored::Segment;
use crate::time::DAY;

/// Growth is measured over so many days.
const MEASURED_DAYS: i64 = 7;
/// So many days are looked ahead; what does not happen by then is not told.
pub const HORIZON_DAYS: u32 = 3_650;

/// One class, as it is and as it will be.
#[derive(Debug, Clone)]
pub(super) struct Growth {
    now: i64,
    keep: Keep,
    /// When each segment ends, ascending, and the bytes of it and all behind it.
    segments: Vec<(i64, u64)>,
    /// Bytes per day; None before a whole day was measured.
    pub(super) per_day: Option<u64>,
}

impl Growth {
    /// Measures a class by its segments. `began` is when the oldest record of any class came.
    pub(super) fn of<'a>(
        segments: impl Iterator<Item = &'a Segment> + Clone,
        keep: Keep,
        began: i64,
        now: i64,
    ) -> Growth {
        let days = MEASURED_DAYS.min(i64::from(keep.days).max(1));
        let from = began.max(now.saturating_sub(days * DAY));
        let span = now.saturating_sub(from);
        let bytes: f64 = segments.clone().map(|segment| part_after(segment, from)).sum();
        let per_day = (span >= DAY).then(|| (bytes * DAY as f64 / span as f64) as u64);
        let mut ends: Vec<(i64, u64)> =
            segments.map(|segment| (segment.until, segment.bytes)).collect();
        ends.sort_unstable();
        let mut behind = 0u64;
        for (_, bytes) in ends.iter_mut().rev() {
            behind = behind.saturating_add(*bytes);
            *bytes = behind;
        }
        Growth { now, keep, segments: ends, per_day }
    }

    /// Days until the class would need more than its limit for what it is to keep at least.
    pub(super) fn days_left(&self) -> Option<u32> {
        let limit = Some(self.keep.max_bytes).filter(|bytes| *bytes > 0)?;
        (0..=HORIZON_DAYS).find(|ahead| self.kept(*ahead, self.keep.least()) > limit)
    }

    /// Bytes in so many days, when so many days are kept.
    fn kept(&self, ahead: u32, days: u32) -> u64 {
        let since =
            self.now.saturating_add((i64::from(ahead) - i64::from(days)).saturating_mul(DAY));
        let first = self.segments.partition_point(|(until, _)| *until < since);
        let old = self.segments.get(first).map_or(0, |(_, behind)| *behind);
        let new = self.per_day.unwrap_or(0).saturating_mul(u64::from(ahead.min(days)));
        old.saturating_add(new)
    }

    /// Bytes in so many days, as retention leaves them.
    fn bytes(&self, ahead: u32) -> u64 {
        let Keep { days, max_bytes, .. } = self.keep;
        let by_age = self.kept(ahead, days);
        if max_bytes == 0 || by_age <= max_bytes {
            return by_age;
        }
        by_age.min(self.kept(ahead, self.keep.least()).max(max_bytes))
    }
}

/// Days until so much room is taken up; None while no growth was measured.
pub(super) fn days_until_full(classes: &[Growth], room: u64) -> Option<u32> {
    classes.iter().find(|class| class.per_day.is_some())?;
    if room == 0 {
        return Some(0);
    }
    let sum =
        |ahead: u32| classes.iter().fold(0u64, |sum, class| sum.saturating_add(class.bytes(ahead)));
    let full = sum(0).saturating_add(room);
    (0..=HORIZON_DAYS).find(|ahead| sum(*ahead) > full)
}

/// Bytes of a segment that came after `from`, as if they had come evenly.
fn part_after(segment: &Segment, from: i64) -> f64 {
    let span = segment.until.saturating_sub(segment.since);
    let after = segment.until.saturating_sub(segment.since.max(from));
    match (segment.until >= from, span) {
        (false, _) => 0.0,
        (true, ..=0) => segment.bytes as f64,
        (true, _) => segment.bytes as f64 * after as f64 / span as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: i64 = 20_000 * DAY;
    const GIB: u64 = 1 << 30;

    /// One segment for each of the last days, of so many bytes.
    fn daily(days: i64, bytes: u64) -> Vec<Segment> {
        (1..=days)
            .map(|ago| Segment {
                since: TODAY - ago * DAY,
                until: TODAY - (ago - 1) * DAY - 1,
                bytes,
                ..Segment::default()
            })
            .collect()
    }

    fn growth(segments: &[Segment], keep: Keep) -> Growth {
        let began = segments.iter().map(|segment| segment.since).min().unwrap_or(TODAY);
        Growth::of(segments.iter(), keep, began, TODAY)
    }

    #[test]
    fn growth_is_what_came_in_the_last_days() {
        let check = |segments: &[Segment], days: u32, expected: Option<u64>| {
            assert_eq!(growth(segments, Keep::days(days)).per_day, expected);
        };
        check(&daily(30, GIB), 180, Some(GIB));
        check(&daily(3, GIB), 180, Some(GIB));
        // Not before a day is over: agents bring old logs at first.
        let hours =
            Segment { since: TODAY - DAY / 2, until: TODAY, bytes: GIB, ..Segment::default() };
        check(&[hours], 180, None);
        check(&[], 180, None);
        // More of late, and a segment that lies across the beginning counts for its part in it.
        let mut more = daily(30, GIB);
        more.extend(daily(7, GIB));
        check(&more, 180, Some(2 * GIB));
        let across = Segment {
            since: TODAY - 14 * DAY,
            until: TODAY,
            bytes: 14 * GIB,
            ..Segment::default()
        };
        check(&[across], 180, Some(GIB));
        // What is kept for two days is measured over two.
        check(&daily(2, GIB), 2, Some(GIB));
    }

    #[test]
    fn a_limit_is_seen_coming() {
        let check = |days: u32, least: u32, max_gib: u64, expected: Option<u32>| {
            let keep = Keep { days, at_least_days: least, max_bytes: max_gib * GIB };
            assert_eq!(growth(&daily(30, GIB), keep).days_left(), expected, "{days} {max_gib}");
        };
        check(180, 180, 0, None);
        check(180, 180, 20, Some(0));
        check(180, 180, 30, Some(1));
        check(180, 180, 37, Some(8));
        // It grows until it is 180 days, and no further.
        check(180, 180, 179, Some(150));
        check(180, 180, 181, None);
        check(30, 30, 31, None);
        // What may go earlier makes room.
        check(180, 20, 25, None);
        check(180, 28, 25, Some(0));
    }

    #[test]
    fn a_full_disk_is_seen_coming() {
        let check = |keep: &[Keep], room_gib: u64, expected: Option<u32>| {
            let classes: Vec<_> = keep.iter().map(|keep| growth(&daily(30, GIB), *keep)).collect();
            assert_eq!(days_until_full(&classes, room_gib * GIB), expected, "{keep:?} {room_gib}");
        };
        let long = Keep::days(180);
        check(&[long], 10, Some(11));
        check(&[long, long], 10, Some(6));
        // Steady already, or steady before it is full.
        check(&[Keep::days(20)], 10, None);
        check(&[long], 160, None);
        let limited = Keep { days: 180, at_least_days: 20, max_bytes: 35 * GIB };
        check(&[limited], 10, None);
        check(&[long], 0, Some(0));
        check(&[], 10, None);
    }
}

//! Events in order, in bounded memory.
//!
//! Units come by their latest event. A row is shown when it is newer than every unit left; until
//! then it waits. Rows wait within the limit and within [`WAITING`] bytes; the oldest ones beyond that
//! are dropped. Those beyond the bytes are found again by another pass, which begins after the last
//! row shown: where units do not overlap in time there is one pass, and little waits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CURSOR, Place, Said, Search, Skip, understand};
use crate::history::{Hunt, Labels};

/// Bytes of rows that wait at most, roughly. Tests have enough for several passes.
const WAITING: usize = if cfg!(test) { 16 << 10 } else { 48 << 20 };
/// What a member of a row takes beside its text, roughly.
const MEMBER_BYTES: usize = 128;

/// How a pass over history ended.
enum Pass {
    /// All there was after the place was shown, or as much as was asked for.
    Whole,
    /// Rows were dropped: another pass shows them.
    Part,
    /// Nobody wants more.
    Unwanted,
}

/// Where the rows have got to.
struct Shown {
    after: Option<Place>,
    /// How many more may be shown.
    left: usize,
}

/// Rows that were found and may not be shown yet.
#[derive(Default)]
struct Waiting {
    rows: BTreeMap<Place, (Value, usize)>,
    bytes: usize,
    /// The newest place that was dropped: nothing up to it is shown in this pass.
    dropped: Option<Place>,
    /// Whether what was dropped is wanted.
    cut: bool,
}

impl Search<'_> {
    /// Shows events; whether all of them were wanted.
    pub(super) fn rows(&mut self) -> bool {
        let left = self.asked.limit.unwrap_or(usize::MAX);
        let mut shown = Shown { after: self.asked.after.clone(), left };
        while shown.left > 0 {
            match self.pass(&mut shown) {
                Pass::Part => {}
                Pass::Whole => break,
                Pass::Unwanted => return false,
            }
        }
        self.progress.more = shown.left == 0;
        true
    }

    fn pass(&mut self, shown: &mut Shown) -> Pass {
        let skip = Skip::of(self.asked);
        let (stream, dataset) = (
            |labels: &Labels<'_>| skip.wants_stream(labels),
            |name: &str| skip.wants_dataset(name),
        );
        let start = shown.after.clone();
        let not_after = start.as_ref().map(|place| place.time.saturating_add(1));
        let hunt = Hunt {
            since: self.asked.since,
            until: self.asked.until.into_iter().chain(not_after).min(),
            kinds: &self.asked.kinds,
            stream: &stream,
            dataset: &dataset,
            need: &skip.need,
            version: understand::VERSION,
        };
        let before = self.progress.read;
        let mut waiting = Waiting::default();
        let mut units = self.history.units(&hunt);
        while !waiting.is_settled(units.newest_left()) {
            let Some(unit) = units.next(&hunt) else { break };
            let room = shown.left;
            let whole = self.load(&unit, &hunt, &mut |seen| {
                let place = seen.place();
                if start.as_ref().is_none_or(|start| place < *start) && waiting.takes(&place) {
                    waiting.add(place, seen.to_json(), room);
                }
                true
            });
            let newest_left = units.newest_left();
            if !whole
                || !self.report(&units, before)
                || !self.show(&mut waiting, newest_left, shown)
            {
                return Pass::Unwanted;
            }
            if shown.left == 0 {
                break;
            }
        }
        self.note(&units, before);
        if !self.show(&mut waiting, None, shown) {
            return Pass::Unwanted;
        }
        if waiting.cut { Pass::Part } else { Pass::Whole }
    }

    /// Shows the rows that are newer than anything left to read; whether they were wanted.
    fn show(&mut self, waiting: &mut Waiting, newest_left: Option<i64>, shown: &mut Shown) -> bool {
        while shown.left > 0
            && let Some((place, mut row)) = waiting.take(newest_left)
        {
            let cursor = place.to_string();
            if let Some(row) = row.as_object_mut() {
                row.insert(CURSOR.to_owned(), Value::String(cursor.clone()));
            }
            shown.after = Some(place);
            shown.left -= 1;
            self.progress.rows += 1;
            self.progress.after = Some(cursor);
            if !(self.see)(Said::Row(row)) {
                return false;
            }
        }
        true
    }
}

impl Waiting {
    fn takes(&self, place: &Place) -> bool {
        self.dropped.as_ref().is_none_or(|dropped| place > dropped)
    }

    fn add(&mut self, place: Place, row: Value, room: usize) {
        let bytes = weight(&row);
        self.bytes += bytes;
        self.rows.insert(place, (row, bytes));
        while self.rows.len() > room || self.bytes > WAITING && self.rows.len() > 1 {
            let Some((place, (_, bytes))) = self.rows.pop_first() else { break };
            self.cut |= self.rows.len() < room;
            self.bytes -= bytes;
            self.dropped = Some(place);
        }
    }

    /// The newest row, when it is newer than anything left to read.
    fn take(&mut self, newest_left: Option<i64>) -> Option<(Place, Value)> {
        let newest = self.rows.last_entry()?;
        if newest_left.is_some_and(|left| newest.key().time <= left) {
            return None;
        }
        let (place, (row, bytes)) = newest.remove_entry();
        self.bytes -= bytes;
        Some((place, row))
    }

    /// Whether nothing left to read can be shown in this pass.
    fn is_settled(&self, newest_left: Option<i64>) -> bool {
        match (&self.dropped, newest_left) {
            (Some(dropped), Some(left)) => left < dropped.time,
            (_, left) => left.is_none(),
        }
    }
}

/// What a row takes in memory, roughly.
fn weight(row: &Value) -> usize {
    match row {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|it| MEMBER_BYTES + weight(it)).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, it)| MEMBER_BYTES + name.len() + weight(it)).sum()
        }
        _ => 0,
    }
}

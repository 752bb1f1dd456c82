//! Which value of an event an item stands on: for explanations, never for matching.
//!
//! In: a compiled item and an event. Out: for one value of the rule, the first value of the event
//! that meets it, cut around the place where it stands. Evaluates as [`Item::holds`] does, and
//! copies no more of an event than it shows.

use std::ops::Range;

use serde::Serialize;

use super::{Item, Place, Test, any_of, reference};
use crate::{Event, Key, Value, text};

/// Bytes of a value that are shown.
const MAX_SHOWN_BYTES: usize = 256;

/// Bytes shown in front of the place where something stands.
const LEAD_BYTES: usize = 64;

/// A value, or the piece of it around what matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The piece.
    pub text: String,
    /// Bytes of the value in front of the piece.
    pub from: usize,
    /// Bytes of the value.
    pub bytes: usize,
}

impl Shown {
    /// The piece of a value around a place in it.
    pub(crate) fn around(value: &str, place: &Range<usize>) -> Shown {
        let mut from = 0;
        if place.end > MAX_SHOWN_BYTES {
            from = value.floor_char_boundary(place.start.saturating_sub(LEAD_BYTES));
        }
        let piece = text::cut(&value[from..], MAX_SHOWN_BYTES);
        Shown { text: piece.to_owned(), from, bytes: value.len() }
    }

    /// The beginning of a value.
    pub(crate) fn beginning(value: &str) -> Shown {
        Shown::around(value, &(0..0))
    }

    /// Whether it is not all of the value.
    pub fn is_cut(&self) -> bool {
        self.text.len() < self.bytes
    }
}

/// How a value of a rule was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Met {
    /// The event's value; none when its absence, or that it is nothing, is what met it.
    pub(crate) value: Option<Shown>,
    /// Where it stands in that value, in bytes.
    pub(crate) place: Option<Range<usize>>,
    /// What a `fieldref` compared it with.
    pub(crate) other: Option<Shown>,
}

impl Met {
    const NOTHING: Met = Met { value: None, place: None, other: None };

    fn at(value: &str, place: Range<usize>) -> Met {
        Met { value: Some(Shown::around(value, &place)), place: Some(place), other: None }
    }

    fn whole(value: Value<'_>) -> Met {
        text::of(value).map_or(Met::NOTHING, |text| Met::at(&text, 0..text.len()))
    }

    fn referred(left: Value<'_>, right: Value<'_>, place: Place, cased: bool) -> Option<Met> {
        let (left, right) = (text::of(left)?, text::of(right)?);
        let found = reference(&right, place, cased).stands(&left)?;
        Some(Met { other: Some(Shown::beginning(&right)), ..Met::at(&left, found) })
    }
}

impl Item {
    /// What meets a value of the rule, by its place; none when nothing does.
    pub(crate) fn met(&self, number: usize, event: &dyn Event) -> Option<Met> {
        self.values.get(number)?.iter().find_map(|test| match self.keys.as_slice() {
            [] => {
                let mut found = None;
                event.any_value(&mut |value| {
                    found = test.met_by(value);
                    found.is_some()
                });
                found
            }
            keys => test.met(event, keys),
        })
    }
}

impl Test {
    fn met(&self, event: &dyn Event, keys: &[Key]) -> Option<Met> {
        let mut found = None;
        match self {
            // What meets these may be that there is nothing.
            Test::Null => return self.holds(event, keys).then_some(Met::NOTHING),
            Test::Exists(_) => {
                any_of(event, keys, &mut |value| {
                    found = Some(Met::whole(value));
                    true
                });
                return self.holds(event, keys).then(|| found.unwrap_or(Met::NOTHING));
            }
            Test::Field { keys: others, place, cased } => {
                any_of(event, keys, &mut |left| {
                    any_of(event, others, &mut |right| {
                        found = Met::referred(left, right, *place, *cased);
                        found.is_some()
                    })
                });
            }
            _ => {
                any_of(event, keys, &mut |value| {
                    found = self.met_by(value);
                    found.is_some()
                });
            }
        }
        found
    }

    fn met_by(&self, value: Value<'_>) -> Option<Met> {
        match self {
            Test::Pattern(pattern) => {
                let text = text::of(value)?;
                pattern.stands(&text).map(|place| Met::at(&text, place))
            }
            Test::Regex(regex) => {
                let text = text::of(value)?;
                regex.find(&text).map(|place| Met::at(&text, place.range()))
            }
            _ => self.accepts(value).then(|| Met::whole(value)),
        }
    }
}

//! What the events of each dataset hold: a bounded sample of what is stored, decoded anew.
//!
//! In: the datasets that are known to have come, and since when. Out: for each dataset found, the
//! fields of its newest events, [`EACH`] of them or more. History passes over sealed blocks without a
//! dataset that is still wanted, so a rare one is found without reading all that stands before it.
//! What is decoded at most is [`MOST`] records, so that asking costs no more than a few seconds.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Decoded, are_alike};
use super::{AT_ONCE, understand};
use crate::event::FieldId;
use crate::history::{Found, History, Hunt, Need, Unit};

/// Events of a dataset that are enough.
const EACH: u64 = if cfg!(test) { 20 } else { 500 };
/// Records that are decoded at most.
const MOST: u64 = 300_000;
/// Fields told apart in one dataset: JSON lines bring names of their own.
const MAX_FIELDS: usize = 4_096;

/// What was seen of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Events looked at.
    pub events: u64,
    /// The fields they hold, without those of the header.
    pub fields: BTreeSet<FieldId>,
}

/// What was seen of each dataset.
pub type Sample = BTreeMap<&'static str, Sampled>;

/// Looks at stored events, the newest first, until each dataset of `expected` was seen often enough,
/// nothing is left, or `wanted` says that nobody waits any more. `since` is about `@timestamp`,
/// Unix nanoseconds. Other datasets are taken as they are met. Blocking.
pub fn sample(
    history: &History,
    expected: &BTreeSet<String>,
    since: i64,
    wanted: &dyn Fn() -> bool,
) -> Sample {
    let left = Cell::new(MOST);
    let walk = Walk { history, expected, wanted, found: RefCell::default(), left: &left };
    walk.run(Some(since));
    let mut found = walk.found.into_inner();
    let rest: BTreeSet<String> =
        expected.iter().filter(|name| !found.contains_key(name.as_str())).cloned().collect();
    // What came lately may tell of long ago.
    let walk = Walk { history, expected: &rest, wanted, found: RefCell::default(), left: &left };
    walk.run(None);
    for (dataset, sampled) in walk.found.into_inner() {
        found.entry(dataset).or_insert(sampled);
    }
    found
}

struct Walk<'a> {
    history: &'a History,
    expected: &'a BTreeSet<String>,
    wanted: &'a dyn Fn() -> bool,
    found: RefCell<Sample>,
    /// Records that may still be decoded.
    left: &'a Cell<u64>,
}

impl Walk<'_> {
    fn run(&self, since: Option<i64>) {
        let hunt = Hunt {
            since,
            until: None,
            kinds: &[],
            stream: &|_| true,
            dataset: &|name| self.expected.contains(name) && self.lacks(name),
            need: &Need::Anything,
            version: understand::VERSION,
        };
        let mut units = self.history.units(&hunt);
        while self.goes_on() && self.expected.iter().any(|name| self.lacks(name)) {
            let Some(unit) = units.next(&hunt) else { break };
            self.unit(&unit, &hunt);
        }
    }

    fn goes_on(&self) -> bool {
        self.left.get() > 0 && (self.wanted)()
    }

    /// Whether more of a dataset is to be seen; what nobody expects is taken where it is met.
    fn lacks(&self, dataset: &str) -> bool {
        let enough = |found: &Sample| found.get(dataset).is_some_and(|it| it.events >= EACH);
        !enough(&self.found.borrow())
    }

    fn unit(&self, unit: &Unit<'_>, hunt: &Hunt<'_>) {
        let mut alike: Vec<Found> = Vec::new();
        unit.load(hunt, &mut |found| {
            let other = alike.first().is_some_and(|first| !are_alike(first, &found));
            if other || alike.len() == AT_ONCE {
                self.take(std::mem::take(&mut alike));
            }
            alike.push(found);
            self.goes_on()
        });
        self.take(alike);
    }

    fn take(&self, alike: Vec<Found>) {
        self.left.set(self.left.get().saturating_sub(alike.len() as u64));
        let Some(decoded) = Decoded::of(alike) else { return };
        let mut found = self.found.borrow_mut();
        for event in decoded.events() {
            let sampled = found.entry(event.event.dataset).or_default();
            sampled.events += 1;
            for (field, _) in event.iter() {
                if sampled.fields.len() < MAX_FIELDS {
                    sampled.fields.insert(field);
                }
            }
        }
    }
}

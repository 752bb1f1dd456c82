//! The hits of one group, in order of event time, and the windows over them.
//!
//! Counts and sums come from running totals, so that a burst of a hundred thousand failed logins
//! costs a binary search each. What must look at every hit of a window holds fewer of them: for
//! distinct values, for rules seen and for one rule before another, a hit between two others of the
//! same value or rule that lie within one timespan can decide nothing and is merged into the later
//! one. (With three rules in their order it can: it may stand before the second where the later one
//! does not, in a window that no longer reaches the earlier one.)

use std::collections::HashSet;

use rsigma_parser::CorrelationType;
use serde::{Deserialize, Serialize};

use crate::correlation::{Condition, Correlation, MAX_THRESHOLD, Reference};

/// Hits a group holds where totals run.
const MAX_COUNTED_HITS: usize = MAX_THRESHOLD as usize + 1;

/// Hits a group holds where windows are looked through.
const MAX_SCANNED_HITS: usize = 10_000;

/// Thresholds' worth of hits a group holds where nothing but more of them matters: past the threshold
/// every hit fires, so the oldest can go.
const HELD_THRESHOLDS: usize = 8;

/// The least such a group may hold: by count, and by distinct values.
const LEAST_COUNTED_HITS: usize = 10_000;
const LEAST_SCANNED_HITS: usize = 1_000;

/// Hits that are looked at to judge one, at least; more where the condition may need them. What comes
/// in order is judged by one window. What comes late belongs to many, and somebody who writes a log
/// backwards must not hold up everybody else's events.
const LOOKED_AT: usize = 1_024;

/// The most one hit may weigh, so that totals of a full group stay exact.
const MAX_WEIGHT: u64 = 1 << 32;

/// Hits at the beginning, and at the end, of a group that keep their reference.
const REFERENCED: usize = 32;

/// References of the first and of the latest events in a firing.
const FIRST_REFERENCES: usize = 3;
const LATEST_REFERENCES: usize = 5;

/// A hit in a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hit {
    time_ns: i64,
    weight: u64,
    member: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    value: String,
    /// When it came, by the clock `prune` is given; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrived_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<Box<Reference>>,
    /// Weight of all hits of the group up to this one; rebuilt when restored.
    #[serde(skip)]
    weight_through: u64,
    /// The same of the value as a number.
    #[serde(skip)]
    sum_through: f64,
}

impl Hit {
    pub(super) fn new(
        time_ns: i64,
        weight: u64,
        member: usize,
        value: String,
        reference: Reference,
    ) -> Hit {
        Hit {
            time_ns,
            weight: weight.min(MAX_WEIGHT),
            member: u32::try_from(member).unwrap_or(u32::MAX),
            value,
            arrived_ns: None,
            reference: Some(Box::new(reference)),
            weight_through: 0,
            sum_through: 0.0,
        }
    }

    fn number(&self) -> f64 {
        self.value.trim().parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(0.0)
    }
}

/// A window that met the condition.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) count: u64,
    pub(super) value: f64,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) references: Vec<Reference>,
}

/// The hits of a group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Hit>", into = "Vec<Hit>")]
pub(super) struct Hits {
    hits: Vec<Hit>,
    evicted: u64,
    pub(super) now_ns: Option<i64>,
}

impl From<Vec<Hit>> for Hits {
    fn from(mut hits: Vec<Hit>) -> Hits {
        hits.sort_by_key(|hit| hit.time_ns);
        let mut hits = Hits { hits, evicted: 0, now_ns: None };
        hits.total_from(0);
        hits
    }
}

impl From<Hits> for Vec<Hit> {
    fn from(hits: Hits) -> Vec<Hit> {
        hits.hits
    }
}

impl Hits {
    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    pub(super) fn latest_ns(&self) -> i64 {
        self.hits.last().map_or(i64::MIN, |hit| hit.time_ns)
    }

    /// Hits pushed out since the last call.
    pub(super) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Bytes held, about.
    pub(super) fn bytes(&self) -> usize {
        let text = |reference: &Reference| {
            size_of::<Reference>() + reference.locator.len() + reference.text.len()
        };
        let of = |hit: &Hit| {
            size_of::<Hit>() + hit.value.len() + hit.reference.as_deref().map_or(0, text)
        };
        self.hits.iter().map(of).sum()
    }

    pub(super) fn prune(&mut self, now_ns: i64, keep_ns: i64) {
        let old = |time_ns: i64| time_ns.saturating_add(keep_ns) < now_ns;
        let before = self.hits.len();
        self.hits.retain_mut(|hit| {
            let arrived_ns = *hit.arrived_ns.get_or_insert(now_ns);
            !(old(hit.time_ns) && old(arrived_ns))
        });
        if self.hits.len() != before {
            self.hits.shrink_to_fit();
            self.total_from(0);
        }
    }

    /// What lies in the timespan up to the latest hit.
    pub(super) fn total(&self, span_ns: i64) -> Option<super::Total> {
        let last_ns = self.hits.last()?.time_ns;
        let from = self.first_in(last_ns.saturating_sub(span_ns));
        let count = self.weight(from, self.hits.len() - 1);
        Some(super::Total { count, first_ns: self.hits[from].time_ns, last_ns })
    }

    /// Puts a hit in its place, and gives the window that meets the condition with most, of those
    /// that hold the hit.
    pub(super) fn insert(&mut self, correlation: &Correlation, mut hit: Hit) -> Option<Window> {
        hit.arrived_ns = self.now_ns;
        if is_numeric(correlation.kind) && hit.value.trim().parse::<f64>().is_err() {
            return None;
        }
        let time_ns = hit.time_ns;
        let at = self.hits.partition_point(|other| other.time_ns <= time_ns);
        self.hits.insert(at, hit);
        let (mut at, changed) = self.merge(correlation, at);
        self.forget_references();
        let most = most(correlation);
        if self.hits.len() > most {
            // A tenth at once, so that a full group does not move its hits for every new one.
            let gone = (most / 10).max(1);
            self.hits.drain(..gone);
            self.evicted += gone as u64;
            self.total_from(0);
            at = at.checked_sub(gone)?;
        } else {
            self.total_from(changed);
        }
        self.best(correlation, at)
    }

    /// Running totals from a place on.
    fn total_from(&mut self, from: usize) {
        let (mut weight, mut sum) = match from.checked_sub(1).and_then(|i| self.hits.get(i)) {
            Some(before) => (before.weight_through, before.sum_through),
            None => (0, 0.0),
        };
        for hit in self.hits.iter_mut().skip(from) {
            weight = weight.wrapping_add(hit.weight);
            sum += hit.number();
            (hit.weight_through, hit.sum_through) = (weight, sum);
        }
    }

    /// Merges what can decide nothing, around a new hit; where that hit is then, and from where on
    /// something changed.
    fn merge(&mut self, correlation: &Correlation, at: usize) -> (usize, usize) {
        let by_value = match correlation.kind {
            CorrelationType::ValueCount => true,
            CorrelationType::Temporal => false,
            CorrelationType::TemporalOrdered if correlation.members.len() == 2 => false,
            _ => return (at, at),
        };
        let new = &self.hits[at];
        let same = |other: &Hit| {
            if by_value { other.value == new.value } else { other.member == new.member }
        };
        let near =
            |other: &Hit| new.time_ns.abs_diff(other.time_ns) <= correlation.timespan_ns as u64;
        let mut before =
            (0..at).rev().take_while(|i| near(&self.hits[*i])).filter(|i| same(&self.hits[*i]));
        let (one, two) = (before.next(), before.next());
        let after = (at + 1..self.hits.len())
            .take_while(|i| near(&self.hits[*i]))
            .find(|i| same(&self.hits[*i]));
        // Three of a kind within one timespan: the middle one goes.
        let close = |from: usize, to: usize| {
            self.hits[from].time_ns.abs_diff(self.hits[to].time_ns)
                <= correlation.timespan_ns as u64
        };
        let (middle, into) = match (two, one, after) {
            (_, Some(one), Some(after)) if close(one, after) => (at, after),
            (Some(two), Some(one), _) if close(two, at) => (one, at),
            _ => return (at, at),
        };
        let weight = self.hits[middle].weight;
        self.hits[into].weight = self.hits[into].weight.saturating_add(weight);
        self.hits.remove(middle);
        // Both pairs are in order of time: what is merged stands before what it is merged into.
        (into - 1, middle)
    }

    /// Keeps references at both ends only.
    fn forget_references(&mut self) {
        let len = self.hits.len();
        if len > 2 * REFERENCED {
            self.hits[len - REFERENCED - 1].reference = None;
            self.hits[REFERENCED].reference = None;
        }
    }

    /// First hit at or after a time.
    fn first_in(&self, from_ns: i64) -> usize {
        self.hits.partition_point(|hit| hit.time_ns < from_ns)
    }

    fn weight(&self, from: usize, to: usize) -> u64 {
        let (first, last) = (&self.hits[from], &self.hits[to]);
        last.weight_through.wrapping_sub(first.weight_through).wrapping_add(first.weight)
    }

    /// Of the windows that hold the hit at `at`, the one that meets the condition with most.
    fn best(&self, correlation: &Correlation, at: usize) -> Option<Window> {
        let span_ns = correlation.timespan_ns;
        let until_ns = self.hits.get(at)?.time_ns.saturating_add(span_ns);
        let mut best: Option<(f64, u64, usize, usize)> = None;
        let (mut looked, enough) =
            (0, LOOKED_AT.max(plenty(correlation).unwrap_or(MAX_SCANNED_HITS)));
        let mut to = at;
        while looked < enough && to < self.hits.len() && self.hits[to].time_ns <= until_ns {
            let time_ns = self.hits[to].time_ns;
            // A window ends behind the last hit of its time.
            while self.hits.get(to + 1).is_some_and(|next| next.time_ns == time_ns) {
                to += 1;
            }
            let from = self.first_in(time_ns.saturating_sub(span_ns));
            looked += if runs(correlation.kind) { 1 } else { to - from + 1 };
            if let Some(value) = self.value(correlation, from, to) {
                let count = self.weight(from, to);
                if best.is_none_or(|(most, weight, ..)| (value, count) > (most, weight)) {
                    best = Some((value, count, from, to));
                }
            }
            to += 1;
        }
        let (value, count, from, to) = best?;
        Some(Window {
            count,
            value,
            first_ns: self.hits[from].time_ns,
            last_ns: self.hits[to].time_ns,
            references: self.references(from, to),
        })
    }

    /// What a window amounts to, when that meets the condition.
    fn value(&self, correlation: &Correlation, from: usize, to: usize) -> Option<f64> {
        let window = &self.hits[from..=to];
        let value = match correlation.kind {
            CorrelationType::EventCount => self.weight(from, to) as f64,
            CorrelationType::ValueCount => {
                window.iter().map(|hit| hit.value.as_str()).collect::<HashSet<_>>().len() as f64
            }
            CorrelationType::Temporal => {
                let seen: HashSet<usize> = window.iter().map(|hit| hit.member as usize).collect();
                if let Condition::Seen(expression) = &correlation.condition {
                    return expression
                        .holds(&|member| seen.contains(&member))
                        .then_some(seen.len() as f64);
                }
                seen.len() as f64
            }
            CorrelationType::TemporalOrdered => chain(window, correlation.members.len()) as f64,
            CorrelationType::ValueSum => self.sum(from, to),
            CorrelationType::ValueAvg => self.sum(from, to) / window.len() as f64,
            CorrelationType::ValuePercentile => quantile(window, correlation.percentile / 100.0),
            CorrelationType::ValueMedian => quantile(window, 0.5),
        };
        correlation.condition.met(value).then_some(value)
    }

    fn sum(&self, from: usize, to: usize) -> f64 {
        let (first, last) = (&self.hits[from], &self.hits[to]);
        last.sum_through - first.sum_through + first.number()
    }

    fn references(&self, from: usize, to: usize) -> Vec<Reference> {
        let all: Vec<&Reference> =
            self.hits[from..=to].iter().filter_map(|hit| hit.reference.as_deref()).collect();
        let latest =
            all.len().saturating_sub(LATEST_REFERENCES).max(FIRST_REFERENCES.min(all.len()));
        let first = &all[..FIRST_REFERENCES.min(all.len())];
        first.iter().chain(&all[latest..]).map(|reference| (*reference).clone()).collect()
    }
}

/// Whether totals run: a window costs the same however many hits it has.
fn runs(kind: CorrelationType) -> bool {
    matches!(
        kind,
        CorrelationType::EventCount | CorrelationType::ValueSum | CorrelationType::ValueAvg
    )
}

/// Hits a group of a correlation may hold.
fn most(correlation: &Correlation) -> usize {
    let most = if runs(correlation.kind) { MAX_COUNTED_HITS } else { MAX_SCANNED_HITS };
    let least = match correlation.kind {
        CorrelationType::EventCount => LEAST_COUNTED_HITS,
        _ => LEAST_SCANNED_HITS,
    };
    plenty(correlation).map_or(most, |plenty| plenty.clamp(least, most))
}

/// Hits among which the condition is met for sure, where nothing but more of them matters.
fn plenty(correlation: &Correlation) -> Option<usize> {
    if !matches!(correlation.kind, CorrelationType::EventCount | CorrelationType::ValueCount) {
        return None;
    }
    let threshold = usize::try_from(correlation.condition.at_least()?).ok()?;
    Some(threshold.saturating_mul(HELD_THRESHOLDS))
}

fn is_numeric(kind: CorrelationType) -> bool {
    matches!(
        kind,
        CorrelationType::ValueSum
            | CorrelationType::ValueAvg
            | CorrelationType::ValuePercentile
            | CorrelationType::ValueMedian
    )
}

/// How many members were seen in the order they are listed: the longest rising run. Hits of one
/// instant may be taken in any order.
fn chain(window: &[Hit], members: usize) -> usize {
    let mut longest = vec![0usize; members];
    let mut instant: Vec<usize> = Vec::new();
    let mut index = 0;
    while index < window.len() {
        let time_ns = window[index].time_ns;
        instant.clear();
        while index < window.len() && window[index].time_ns == time_ns {
            instant.push(window[index].member as usize);
            index += 1;
        }
        instant.sort_unstable();
        for &member in instant.iter().filter(|member| **member < members) {
            let before = longest[..member].iter().copied().max().unwrap_or(0);
            longest[member] = longest[member].max(before + 1);
        }
    }
    longest.into_iter().max().unwrap_or(0)
}

/// The value at a rank between 0 and 1, between two values in proportion.
fn quantile(window: &[Hit], rank: f64) -> f64 {
    let mut numbers: Vec<f64> = window.iter().map(Hit::number).collect();
    numbers.sort_by(f64::total_cmp);
    let place = rank * (numbers.len().saturating_sub(1)) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (numbers.get(below), numbers.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => 0.0,
    }
}

//! The windows of correlations: base hits in, firings out.
//!
//! A correlation fires for a group when a window `[t − timespan, t]` of event time meets its
//! condition, `t` being the time of one of the group's hits. A hit that comes late is put in its
//! place: every window that holds it is looked at, so that the order of arrival decides which hit
//! completes a window, never whether one is completed (for conditions that more hits cannot undo:
//! `gt` and `gte`). Past the threshold every further hit fires again; joining firings into one
//! alert is the caller's.
//!
//! Nothing is discarded for being late. A hit is dropped when both its event time and its arrival
//! are a timespan in the past, by the time [`Correlator::prune`] is given: a spool that is drained
//! after days refills its windows as it would have live. Memory is bounded by the constants below;
//! what they push out is counted ([`Correlator::evicted`]).
//!
//! State belongs to a correlation by its [`Rule::key`](crate::Rule::key) and survives a reload of
//! the set as long as type, rules, group-by and fields stay the same; threshold and timespan may
//! change. [`Correlator::snapshot`] is `HWCS`, a version byte, then JSON.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rsigma_parser::CorrelationType;
use serde::{Deserialize, Serialize};

use crate::correlation::{Ascent, BaseHit, Correlation, Feed, Group, Reference};
use crate::set::Set;

mod window;

use window::{Hit, Hits, Window};

/// Hits held over all correlations.
const MAX_HITS: usize = 1_000_000;

/// Bytes held over all correlations, about. What strangers write is in them (values, evidence), and
/// a snapshot, which is text, may be several times as long.
const MAX_BYTES: usize = 96 << 20;

/// Hits placed after which the bytes are counted again.
const WEIGH_EVERY: usize = 16_384;

/// Groups held for one correlation.
const MAX_GROUPS: usize = 200_000;

/// Firings and steps one base hit may cause, so that correlations over correlations stay finite in
/// time as they are in number.
const MAX_STEPS: usize = 4_096;

/// Beyond the timespan, how long a hit is kept for others that are on their way, nanoseconds.
const GRACE_NS: i64 = 600 * 1_000_000_000;

/// What a snapshot begins with.
const MAGIC: &[u8] = b"HWCS\x01";

/// A window that met its correlation's condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// Index of the correlation.
    pub rule: usize,
    /// For which group.
    pub group: Group,
    /// Events in the window, by weight.
    pub count: u64,
    /// What the condition was met with: events, distinct values, rules seen, a sum ...
    pub value: f64,
    /// Event time of the first, Unix nanoseconds.
    pub first_ns: i64,
    /// Event time of the last, Unix nanoseconds.
    pub last_ns: i64,
    /// The first and the latest events of the window, bounded.
    pub references: Vec<Reference>,
}

/// What a group holds in the timespan up to its latest hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Events, by weight.
    pub count: u64,
    /// Event time of the first, Unix nanoseconds.
    pub first_ns: i64,
    /// Event time of the last, Unix nanoseconds.
    pub last_ns: i64,
}

/// Why a snapshot was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It doesn't begin as one of ours does.
    #[error("not a snapshot of correlation state, or of another version")]
    Foreign,
    /// It began well.
    #[error("damaged snapshot of correlation state: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// The windows of every correlation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Correlator {
    states: BTreeMap<String, State>,
    /// Hits in all of them.
    held: usize,
    /// Hits that limits pushed out.
    evicted: u64,
    /// The latest time `prune` was given, Unix nanoseconds; none before the first.
    now_ns: Option<i64>,
    /// Hits placed since the bytes were counted.
    #[serde(default)]
    unweighed: usize,
}

/// The groups of one correlation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    shape: String,
    #[serde(with = "pairs")]
    groups: HashMap<Vec<String>, Hits>,
}

impl Correlator {
    /// With nothing in it.
    pub fn new() -> Correlator {
        Correlator::default()
    }

    /// Takes a hit in and says what it completes: correlations over its rule, then those over them.
    /// A hit of a rule that is no longer there changes nothing.
    pub fn feed(&mut self, set: &Set, hit: &BaseHit) -> Vec<Fired> {
        let Some(base) = set.by_key(&hit.rule) else { return Vec::new() };
        let mut fired: Vec<Fired> = Vec::new();
        let mut steps = 0;
        // Source, event time, weight, what it was grouped by on the way.
        let mut rising: VecDeque<(usize, i64, u64, Group)> = VecDeque::new();
        rising.push_back((base, hit.time_ns, hit.weight, Group::new()));
        while let Some((source, time_ns, weight, grouped)) = rising.pop_front() {
            let ascent = Ascent { hit, base: &set.rules()[base], grouped: &grouped };
            for feed in &set.rules()[source].feeds {
                steps += 1;
                if steps > MAX_STEPS {
                    self.limit();
                    return fired;
                }
                // A firing of what counts this very event adds nothing where the event is counted too.
                let counted = source != base && counts_both(set, *feed, base);
                let weight = if counted { 0 } else { weight };
                let Some(one) = self.place(set, *feed, &ascent, time_ns, weight) else { continue };
                let mut above = one.group.clone();
                above.extend(grouped.iter().cloned());
                rising.push_back((one.rule, one.last_ns, 1, above));
                fired.push(one);
            }
        }
        self.limit();
        fired
    }

    /// Puts a hit into one correlation.
    fn place(
        &mut self,
        set: &Set,
        feed: Feed,
        ascent: &Ascent<'_>,
        time_ns: i64,
        weight: u64,
    ) -> Option<Fired> {
        let rule = &set.rules()[feed.correlation];
        let correlation = rule.correlation()?;
        let group = ascent.group(set, feed);
        let values = ascent.counted(set, feed);
        if !correlation.fields.is_empty() && values.is_empty() {
            return None;
        }
        let hits = self.hits(rule.key(), correlation, &group);
        let before = hits.len();
        let mut found: Option<Window> = None;
        // A field with several values is several values of one event: the weight counts once.
        let values = if values.is_empty() { vec![String::new()] } else { values };
        for (place, value) in values.into_iter().enumerate() {
            let weight = if place == 0 { weight } else { 0 };
            let hit = Hit::new(time_ns, weight, feed.member, value, ascent.hit.reference.clone());
            found = hits.insert(correlation, hit).or(found);
        }
        let evicted = hits.take_evicted();
        let after = hits.len();
        self.evicted += evicted;
        self.held = (self.held + after).saturating_sub(before);
        self.unweighed += 1;
        let window = found?;
        Some(Fired {
            rule: feed.correlation,
            group,
            count: window.count,
            value: window.value,
            first_ns: window.first_ns,
            last_ns: window.last_ns,
            references: window.references,
        })
    }

    fn hits(&mut self, key: &str, correlation: &Correlation, group: &Group) -> &mut Hits {
        let state = self.states.entry(key.to_owned()).or_default();
        if state.shape != correlation.shape {
            let held: usize = state.groups.values().map(Hits::len).sum();
            self.held = self.held.saturating_sub(held);
            self.evicted += held as u64;
            *state = State { shape: correlation.shape.clone(), groups: HashMap::new() };
        }
        let values: Vec<String> = group.iter().map(|(_, value)| value.clone()).collect();
        if state.groups.len() >= MAX_GROUPS && !state.groups.contains_key(&values) {
            let gone = quietest(&mut state.groups, MAX_GROUPS / 10);
            self.held = self.held.saturating_sub(gone);
            self.evicted += gone as u64;
        }
        let now_ns = self.now_ns;
        let hits = state.groups.entry(values).or_default();
        hits.now_ns = now_ns;
        hits
    }

    /// Drops the groups that have been quiet longest when more is held than may be.
    fn limit(&mut self) {
        if self.held > MAX_HITS {
            self.shed();
        }
        if self.unweighed >= WEIGH_EVERY {
            self.unweighed = 0;
            while self.bytes() > MAX_BYTES {
                self.shed();
            }
        }
    }

    /// Bytes held, about.
    fn bytes(&self) -> usize {
        let groups = self.states.values().flat_map(|state| &state.groups);
        groups.map(|(key, hits)| key.iter().map(String::len).sum::<usize>() + hits.bytes()).sum()
    }

    /// Drops a tenth of the groups of each correlation.
    fn shed(&mut self) {
        for state in self.states.values_mut() {
            let tenth = state.groups.len().div_ceil(10);
            let gone = quietest(&mut state.groups, tenth);
            self.held = self.held.saturating_sub(gone);
            self.evicted += gone as u64;
        }
    }

    /// Drops what no window can need any more. `now_ns` is the clock's time; call it every minute
    /// or so.
    pub fn prune(&mut self, set: &Set, now_ns: i64) {
        self.now_ns = Some(now_ns);
        let mut held = 0;
        self.states.retain(|key, state| {
            let span_ns = set
                .by_key(key)
                .and_then(|index| set.rule(index)?.correlation())
                .filter(|correlation| correlation.shape == state.shape)
                .map(|correlation| correlation.timespan_ns);
            // A correlation that is gone may come back by the next reload; its hits age all the
            // same.
            let keep_ns = span_ns.unwrap_or(0).saturating_add(GRACE_NS);
            state.groups.retain(|_, hits| {
                hits.prune(now_ns, keep_ns);
                hits.len() > 0
            });
            held += state.groups.values().map(Hits::len).sum::<usize>();
            !state.groups.is_empty()
        });
        self.held = held;
    }

    /// What a correlation's group holds in the timespan up to its latest hit: for an alert that
    /// counts the events before a threshold too. Of several correlations whose matches join one
    /// alert, the one with the longest timespan knows most.
    pub fn total(&self, set: &Set, rule: usize, group: &[(String, String)]) -> Option<Total> {
        let rule = set.rule(rule)?;
        let state = self.states.get(rule.key())?;
        let values: Vec<String> = group.iter().map(|(_, value)| value.clone()).collect();
        state.groups.get(&values)?.total(rule.timespan_ns())
    }

    /// Hits held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Hits that the limits on memory pushed out, since the beginning.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// All of it, as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // Maps with text keys, numbers and text: JSON holds all of it, and memory is all it writes
        // to; an empty snapshot would be refused by `restore`, so a failure cannot pass unseen.
        match serde_json::to_writer(&mut bytes, self) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// Back from [`Correlator::snapshot`].
    pub fn restore(bytes: &[u8]) -> Result<Correlator, RestoreError> {
        let json = bytes.strip_prefix(MAGIC).ok_or(RestoreError::Foreign)?;
        let mut correlator: Correlator = serde_json::from_slice(json)?;
        correlator.held =
            correlator.states.values().flat_map(|state| state.groups.values()).map(Hits::len).sum();
        Ok(correlator)
    }
}

/// Whether a correlation looks at events of a rule and at firings over them: the firings say something
/// of the events, and are none.
fn counts_both(set: &Set, feed: Feed, base: usize) -> bool {
    let rule = set.rules().get(feed.correlation);
    rule.and_then(|rule| rule.correlation()).is_some_and(|correlation| {
        matches!(correlation.kind, CorrelationType::Temporal | CorrelationType::TemporalOrdered)
            && correlation.members.iter().any(|member| member.rules.contains(&base))
    })
}

/// Removes the groups whose latest hit is oldest; how many hits went.
fn quietest(groups: &mut HashMap<Vec<String>, Hits>, count: usize) -> usize {
    let mut ages: Vec<(i64, Vec<String>)> =
        groups.iter().map(|(key, hits)| (hits.latest_ns(), key.clone())).collect();
    ages.sort_unstable();
    ages.iter()
        .take(count.max(1))
        .filter_map(|(_, key)| groups.remove(key))
        .map(|hits| hits.len())
        .sum()
}

/// A map whose keys are no text, as pairs.
mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::window::Hits;

    type Groups = HashMap<Vec<String>, Hits>;

    pub(super) fn serialize<S: Serializer>(map: &Groups, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs: Vec<_> = map.iter().collect();
        // Sorted, so that the same state gives the same bytes.
        pairs.sort_by_key(|(key, _)| *key);
        pairs.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Groups, D::Error> {
        Vec::<(Vec<String>, Hits)>::deserialize(deserializer)
            .map(|pairs| pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;

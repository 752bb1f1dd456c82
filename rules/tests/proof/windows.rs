//! Correlations against windows counted by brute force.
//!
//! Hits come late, early, twice and in any order; in between the state is written and read back, or
//! lost and refilled from a snapshot and the hits since. The oracle keeps every hit for ever and, for
//! each new one, looks at every window `[t - timespan, t]` that holds it, `t` being the time of a hit.

use std::collections::{BTreeMap, BTreeSet};

use hengwei_rules::{BaseHit, Correlator, Options, Reference, Scratch, Set};
use proptest::prelude::*;
use serde_json::json;

use crate::made::{Made, Rules};

/// Timespan of every correlation here, seconds.
const SPAN: i64 = 60;

const SECOND: i64 = 1_000_000_000;

/// Seconds in which events happen.
const SECONDS: i64 = 240;

const KINDS: [&str; 3] = ["a", "b", "c"];

/// What happened: kind, host, second, value.
type Happened = (usize, usize, i64, i64);

/// A correlation under test.
#[derive(Debug, Clone)]
struct Correlation {
    kind: &'static str,
    condition: Vec<(&'static str, i64)>,
    percentile: i64,
    grouped: bool,
}

impl Correlation {
    fn text(&self) -> String {
        let mut text = String::new();
        for kind in KINDS {
            text += &format!(
                "title: {kind}\nid: {kind}\nname: {kind}\nlogsource: {{product: test}}\ndetection: {{s: {{kind: {kind}}}, condition: s}}\n---\n"
            );
        }
        let mut correlation =
            json!({"type": self.kind, "rules": KINDS, "timespan": format!("{SPAN}s")});
        if self.grouped {
            correlation["group-by"] = json!(["host"]);
        }
        if !self.condition.is_empty() {
            let mut condition: serde_json::Map<_, _> = self
                .condition
                .iter()
                .map(|(name, number)| (name.to_string(), json!(number)))
                .collect();
            if self.kind.starts_with("value") {
                condition.insert("field".to_owned(), json!("size"));
            }
            if self.kind == "value_percentile" {
                condition.insert("percentile".to_owned(), json!(self.percentile));
            }
            correlation["condition"] = condition.into();
        }
        text + &json!({"title": "c", "id": "c", "correlation": correlation}).to_string()
    }

    /// What a window amounts to.
    fn value(&self, window: &[Happened]) -> f64 {
        let mut sizes: Vec<i64> = window.iter().map(|hit| hit.3).collect();
        sizes.sort_unstable();
        let sum = sizes.iter().sum::<i64>() as f64;
        let rank = |percent: f64| {
            let place = percent / 100.0 * (sizes.len() - 1) as f64;
            let (low, high) = (sizes[place.floor() as usize], sizes[place.ceil() as usize]);
            low as f64 + (high - low) as f64 * place.fract()
        };
        match self.kind {
            "event_count" => window.len() as f64,
            "value_count" => sizes.iter().collect::<BTreeSet<_>>().len() as f64,
            "temporal" => window.iter().map(|hit| hit.0).collect::<BTreeSet<_>>().len() as f64,
            "temporal_ordered" => ordered(window),
            "value_sum" => sum,
            "value_avg" => sum / sizes.len() as f64,
            "value_median" => rank(50.0),
            _ => rank(self.percentile as f64),
        }
    }

    fn met(&self, value: f64) -> bool {
        let everyone = [("gte", KINDS.len() as i64)];
        let condition =
            if self.condition.is_empty() { &everyone } else { self.condition.as_slice() };
        condition.iter().all(|(name, number)| {
            let number = *number as f64;
            match *name {
                "gt" => value > number,
                "gte" => value >= number,
                "lt" => value < number,
                "lte" => value <= number,
                _ => value == number,
            }
        })
    }

    /// Whether hits that can decide nothing are merged.
    fn merges(&self) -> bool {
        ["value_count", "temporal"].contains(&self.kind)
    }

    /// Whether more hits can't undo what a window amounts to.
    fn grows(&self) -> bool {
        let grows =
            ["event_count", "value_count", "temporal", "temporal_ordered"].contains(&self.kind);
        grows && self.condition.iter().all(|(name, _)| name.starts_with('g'))
    }
}

/// How many different kinds follow each other in their order: every subset that is, by brute force.
fn ordered(window: &[Happened]) -> f64 {
    let mut most = 0;
    for mask in 1u32..(1 << KINDS.len()) {
        let wanted: Vec<usize> = (0..KINDS.len()).filter(|kind| mask & (1 << kind) != 0).collect();
        // The earliest of each that is not before the one before.
        let mut from = i64::MIN;
        let held = wanted.iter().all(|kind| {
            let next =
                window.iter().filter(|hit| hit.0 == *kind && hit.2 >= from).map(|hit| hit.2).min();
            from = next.unwrap_or(from);
            next.is_some()
        });
        if held {
            most = most.max(wanted.len());
        }
    }
    most as f64
}

/// Every hit there was, and the windows over them.
struct Oracle<'a> {
    correlation: &'a Correlation,
    hits: Vec<Happened>,
}

impl Oracle<'_> {
    /// The best value of the windows that hold a new hit and meet the condition.
    fn feed(&mut self, new: Happened) -> Option<f64> {
        self.hits.push(new);
        let group: Vec<Happened> = self
            .hits
            .iter()
            .filter(|hit| !self.correlation.grouped || hit.1 == new.1)
            .copied()
            .collect();
        let ends = group.iter().map(|hit| hit.2).filter(|end| (new.2..=new.2 + SPAN).contains(end));
        ends.filter_map(|end| {
            let inside = |hit: &&Happened| (end - SPAN..=end).contains(&hit.2);
            let window: Vec<Happened> = group.iter().filter(inside).copied().collect();
            let value = self.correlation.value(&window);
            self.correlation.met(value).then_some(value)
        })
        .reduce(f64::max)
    }
}

/// The engine under test, whatever becomes of its process.
struct Engine {
    rules: Rules,
    correlator: Correlator,
    /// The last snapshot, and the hits since.
    kept: Vec<u8>,
    since: Vec<BaseHit>,
}

impl Engine {
    fn new(correlation: &Correlation) -> Engine {
        let rules = Rules::of([correlation.text().as_str()], &Options::default());
        assert_eq!(rules.refused, []);
        let correlator = Correlator::new();
        Engine { kept: correlator.snapshot(), rules, correlator, since: Vec::new() }
    }

    fn hit(&self, (kind, host, second, size): Happened) -> BaseHit {
        let event =
            Made::of(&json!({"kind": KINDS[kind], "host": format!("h{host}"), "size": size}));
        let hits = self.rules.hits(&event, &mut Scratch::new());
        let seen = event.seen(&self.rules.known);
        self.rules.set.base_hit(hits[0], &seen, second * SECOND, 1, Reference::default()).unwrap()
    }

    fn feed(&mut self, happened: Happened) -> Option<f64> {
        let hit = self.hit(happened);
        let fired = self.correlator.feed(&self.rules.set, &hit);
        self.since.push(hit);
        assert!(fired.len() <= 1);
        fired.first().map(|fired| fired.value)
    }

    fn checkpoint(&mut self) {
        self.kept = self.correlator.snapshot();
        self.since.clear();
    }

    /// What a crash leaves: the snapshot and the hits that were committed since, as text.
    fn restart(&mut self) {
        let before = self.correlator.snapshot();
        self.correlator = Correlator::restore(&self.kept).unwrap();
        for hit in &self.since {
            let text = serde_json::to_vec(hit).unwrap();
            self.correlator.feed(&self.rules.set, &serde_json::from_slice(&text).unwrap());
        }
        assert_eq!(self.correlator.snapshot(), before, "refilled otherwise than it was");
    }
}

fn correlations() -> impl Strategy<Value = Correlation> {
    let kinds = [
        ("event_count", 1..7i64),
        ("value_count", 1..5),
        ("temporal", 1..4),
        ("temporal_ordered", 1..4),
        ("value_sum", 0..60),
        ("value_avg", 0..12),
        ("value_median", 0..12),
        ("value_percentile", 0..12),
    ];
    (prop::sample::select(kinds.to_vec()), any::<bool>(), 0..=100i64).prop_flat_map(
        |((kind, range), grouped, percentile)| {
            let one = (prop::sample::select(&["gt", "gte", "gte", "lt", "lte", "eq"][..]), range);
            let least = usize::from(!kind.starts_with("temporal"));
            prop::collection::vec(one, least..=2)
                .prop_filter("each operator once", |all| all.len() < 2 || all[0].0 != all[1].0)
                .prop_map(move |condition| Correlation { kind, condition, percentile, grouped })
        },
    )
}

/// Events in the order they arrive: some a little late, some much, some twice.
fn arrivals() -> impl Strategy<Value = Vec<Happened>> {
    let one = (
        0..KINDS.len(),
        0..2usize,
        0..SECONDS,
        -2..12i64,
        prop_oneof![
            4 => Just(0i64),
            3 => 0..20i64,
            1 => -200..200i64,
        ],
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(one, 1..40).prop_map(|all| {
        let mut arriving: Vec<(i64, Happened)> = Vec::new();
        for (kind, host, second, size, late, twice) in all {
            for _ in 0..=usize::from(twice) {
                arriving.push((second + late, (kind, host, second, size)));
            }
        }
        arriving.sort_by_key(|(arrival, _)| *arrival);
        arriving.into_iter().map(|(_, happened)| happened).collect()
    })
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    /// Hit by hit, what fires and how far it went is what brute force finds, also across restarts.
    /// Where a hit between two of its like is merged into the later one, it may fire again or not;
    /// what has fired for its group by then is the same.
    #[test]
    fn every_hit_fires_what_its_windows_amount_to(
        correlation in correlations(),
        arrivals in arrivals(),
        restarts in prop::collection::btree_set(0..40usize, 0..4),
        checkpoints in prop::collection::btree_set(0..40usize, 0..4),
    ) {
        let mut engine = Engine::new(&correlation);
        let mut oracle = Oracle { correlation: &correlation, hits: Vec::new() };
        let mut most: BTreeMap<usize, [Option<f64>; 2]> = BTreeMap::new();
        for (index, happened) in arrivals.iter().enumerate() {
            let mut both = [engine.feed(*happened), oracle.feed(*happened)];
            prop_assert!(both[0].is_none_or(|value| correlation.met(value)));
            if correlation.merges() {
                let group = if correlation.grouped { happened.1 } else { 0 };
                let most = most.entry(group).or_default();
                for (most, value) in most.iter_mut().zip(both) {
                    *most = [*most, value].into_iter().flatten().reduce(f64::max);
                }
                both = if correlation.grows() { *most } else { [None; 2] };
            }
            let [found, counted] = both;
            let close = match (found, counted) {
                (Some(found), Some(counted)) => (found - counted).abs() < 1e-6,
                (found, counted) => found == counted,
            };
            prop_assert!(
                close,
                "{:?}: hit {index} {happened:?}: found {found:?}, counted {counted:?}, of {:?}",
                correlation, &arrivals[..=index]
            );
            if checkpoints.contains(&index) {
                engine.checkpoint();
            }
            if restarts.contains(&index) {
                engine.restart();
            }
        }
    }

    /// Where more hits can't undo a window, the order of arrival decides which hit fires and never
    /// which group, nor how far it went.
    #[test]
    fn any_order_comes_to_the_same(
        correlation in correlations().prop_filter("grows", Correlation::grows),
        arrivals in arrivals(),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let most = |arrivals: &[Happened]| {
            let mut engine = Engine::new(&correlation);
            let mut most: BTreeMap<usize, u64> = BTreeMap::new();
            for happened in arrivals {
                if let Some(value) = engine.feed(*happened) {
                    let group = if correlation.grouped { happened.1 } else { 0 };
                    let best = most.entry(group).or_default();
                    *best = (*best).max(value as u64);
                }
            }
            most
        };
        let mut sorted = arrivals.clone();
        sorted.sort_by_key(|happened| happened.2);
        let expected = most(&sorted);
        sorted.reverse();
        prop_assert_eq!(&most(&sorted), &expected);
        let mut turned = arrivals.clone();
        turned.rotate_left(shuffled.index(arrivals.len()));
        prop_assert_eq!(&most(&turned), &expected);
        prop_assert_eq!(&most(&arrivals), &expected);
    }

    /// Pruning by a clock that runs with the events, ahead of them or behind them takes nothing that a
    /// hit no later than the grace could still complete.
    #[test]
    fn pruning_loses_nothing_that_can_still_count(
        correlation in correlations(),
        arrivals in arrivals(),
        ahead in prop::sample::select(&[0i64, -1_000_000, 500, 86_400 * 3][..]),
    ) {
        let mut pruned = Engine::new(&correlation);
        let mut whole = Engine::new(&correlation);
        for (index, happened) in arrivals.iter().enumerate() {
            let now = (ahead + i64::try_from(index).unwrap()) * SECOND;
            pruned.correlator.prune(&pruned.rules.set, now);
            prop_assert_eq!(pruned.feed(*happened), whole.feed(*happened));
        }
        prop_assert_eq!(pruned.correlator.evicted(), 0);
    }
}

/// A correlation over correlations, its state lost and refilled after every event.
#[test]
fn a_chain_survives_restarts_at_every_event() {
    let text = "title: a\nid: a\nlogsource: {product: test}\ndetection: {s: {kind: a}, condition: s}\n---\ntitle: b\nid: b\nlogsource: {product: test}\ndetection: {s: {kind: b}, condition: s}\n---\ntitle: many\nid: many\ncorrelation: {type: event_count, rules: [a], group-by: [host], timespan: 60s, condition: {gte: 3}}\n---\ntitle: top\nid: top\ncorrelation: {type: temporal_ordered, rules: [many, b], group-by: [host], timespan: 5m}\n";
    let rules = Rules::of([text], &Options::default());
    assert_eq!(rules.refused, []);
    let events =
        [("a", 0), ("b", 1), ("a", 50), ("a", 20), ("b", 40), ("b", 51), ("a", 400), ("b", 401)];
    let run = |restarts: bool| -> Vec<Vec<String>> {
        let mut correlator = Correlator::new();
        events
            .iter()
            .map(|(kind, second)| {
                if restarts {
                    correlator = Correlator::restore(&correlator.snapshot()).unwrap();
                }
                fired(&rules, &rules.set, &mut correlator, kind, *second)
            })
            .collect()
    };
    let expected: Vec<Vec<String>> = [&[][..], &[], &[], &["many"], &[], &["top"], &[], &[]]
        .map(|names| names.iter().map(|name: &&str| (*name).to_owned()).collect())
        .into();
    assert_eq!(run(false), expected);
    assert_eq!(run(true), expected);
}

fn fired(
    rules: &Rules,
    set: &Set,
    correlator: &mut Correlator,
    kind: &str,
    second: i64,
) -> Vec<String> {
    let event = Made::of(&json!({"kind": kind, "host": "h"}));
    let hits = rules.hits(&event, &mut Scratch::new());
    let seen = event.seen(&rules.known);
    let hit = set.base_hit(hits[0], &seen, second * SECOND, 1, Reference::default()).unwrap();
    let name = |rule: usize| set.rules()[rule].title.clone();
    correlator.feed(set, &hit).iter().map(|fired| name(fired.rule)).collect()
}

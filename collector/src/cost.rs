//! What rules cost: one event in many is matched under a clock.
//!
//! In: events on their way through the matcher, of which [`Costs::samples`] picks few. Out: for each
//! rule, how often its condition was tried in those, how often it held and how long it took; the
//! costliest as metrics ([`Gauges`]) and as rows. The matcher looks through the values of an event
//! once for all rules and tries only the rules whose witness it saw, so a rule's cost is what it
//! costs to be tried: a rule that is never tried costs nothing. Reading the clock is part of the
//! time. Counts begin anew with every set that is loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hengwei_rules::{Observer, Rule};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Opts};
use serde::Serialize;

use crate::detect::Rules;

/// One event of so many is sampled. A prime, so that no cadence of a log keeps step with it.
pub const EVERY: u64 = 1021;

/// Rules the metrics show: each label value is a time series.
const MAX_SHOWN: usize = 20;

/// Bytes of a rule's id in a label.
const MAX_LABEL_BYTES: usize = 128;

const NANOS: f64 = 1e9;

/// Costs of the rules of one set.
#[derive(Debug, Default)]
pub struct Costs {
    /// Events that came by.
    seen: AtomicU64,
    /// Those that were sampled.
    sampled: AtomicU64,
    /// Per rule of the set.
    rules: Box<[Tally]>,
}

#[derive(Debug, Default)]
struct Tally {
    tries: AtomicU64,
    matches: AtomicU64,
    nanos: AtomicU64,
}

/// What a rule cost in the events that were sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Its index in the set.
    pub index: usize,
    /// How often its condition was tried.
    pub tries: u64,
    /// How often it held.
    pub matches: u64,
    /// How long that took.
    pub nanos: u64,
}

impl Costs {
    /// Nothing counted yet, for a set of so many rules.
    pub fn new(rules: usize) -> Costs {
        Costs { rules: (0..rules).map(|_| Tally::default()).collect(), ..Costs::default() }
    }

    /// Takes note of a batch of events: whether the one at an index is to be matched under a clock.
    pub fn samples(&self, events: usize) -> impl Fn(usize) -> bool + use<> {
        let before = self.seen.fetch_add(events as u64, Ordering::Relaxed);
        move |index| (before.wrapping_add(index as u64)).is_multiple_of(EVERY)
    }

    /// The clock for one event.
    pub fn clock(&self) -> Clock<'_> {
        self.sampled.fetch_add(1, Ordering::Relaxed);
        Clock { costs: self, begun: Instant::now() }
    }

    /// Events that were sampled.
    pub fn sampled(&self) -> u64 {
        self.sampled.load(Ordering::Relaxed)
    }

    /// The rules that took longest, at most so many, the costliest first.
    pub fn costliest(&self, most: usize) -> Vec<Cost> {
        let mut costs: Vec<Cost> = self
            .rules
            .iter()
            .enumerate()
            .map(|(index, tally)| Cost {
                index,
                tries: tally.tries.load(Ordering::Relaxed),
                matches: tally.matches.load(Ordering::Relaxed),
                nanos: tally.nanos.load(Ordering::Relaxed),
            })
            .filter(|cost| cost.tries > 0)
            .collect();
        costs.sort_by_key(|cost| (std::cmp::Reverse(cost.nanos), cost.index));
        costs.truncate(most);
        costs
    }

    fn add(&self, rule: usize, holds: bool, nanos: u64) {
        let Some(tally) = self.rules.get(rule) else { return };
        tally.tries.fetch_add(1, Ordering::Relaxed);
        tally.matches.fetch_add(u64::from(holds), Ordering::Relaxed);
        tally.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// Times the conditions that are tried in one event.
#[derive(Debug)]
pub struct Clock<'a> {
    costs: &'a Costs,
    begun: Instant,
}

impl Observer for Clock<'_> {
    fn tried(&mut self, _: usize) {
        self.begun = Instant::now();
    }

    fn judged(&mut self, rule: usize, holds: bool) {
        let nanos = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.costs.add(rule, holds, nanos);
    }
}

/// A rule's cost as the command `rules cost` shows it.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Id, else name, else title.
    rule: String,
    title: String,
    tries: u64,
    matches: u64,
    /// Of all sampled events.
    seconds: f64,
    nanos_per_try: u64,
    /// Over all sampled events, also those in which it was not tried; to one place.
    nanos_per_event: f64,
}

/// The costliest rules of a set.
pub fn rows(rules: &Rules, most: usize) -> Vec<Row> {
    let costs = rules.costs();
    let events = costs.sampled().max(1) as f64;
    let row = |cost: Cost| {
        let rule = rules.set().rule(cost.index)?;
        Some(Row {
            rule: rule.key().to_owned(),
            title: rule.title.clone(),
            tries: cost.tries,
            matches: cost.matches,
            seconds: cost.nanos as f64 / NANOS,
            nanos_per_try: cost.nanos / cost.tries.max(1),
            nanos_per_event: (10.0 * cost.nanos as f64 / events).round() / 10.0,
        })
    };
    costs.costliest(most).into_iter().filter_map(row).collect()
}

/// Gives the rules in force.
type InForce = Arc<dyn Fn() -> Arc<Rules> + Send + Sync>;

/// The costliest rules as metrics, computed when they are scraped.
#[derive(Clone)]
pub struct Gauges {
    rules: InForce,
    descs: Vec<Desc>,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gauges").finish_non_exhaustive()
    }
}

const SAMPLED: (&str, &str) = (
    "hengwei_rule_sampled_events_total",
    "Events in which rules were timed; the other metrics of sampled rules are about these.",
);

/// Name, help, value.
type Shown = (&'static str, &'static str, fn(&Cost) -> f64);

const SHOWN: [Shown; 3] = [
    (
        "hengwei_rule_sampled_seconds_total",
        "Time the conditions of the 20 costliest rules took in sampled events.",
        |cost| cost.nanos as f64 / NANOS,
    ),
    (
        "hengwei_rule_sampled_tries_total",
        "Times the conditions of the 20 costliest rules were tried in sampled events.",
        |cost| cost.tries as f64,
    ),
    (
        "hengwei_rule_sampled_matches_total",
        "Sampled events that the 20 costliest rules matched.",
        |cost| cost.matches as f64,
    ),
];

fn by_rule((name, help, _): Shown) -> CounterVec {
    CounterVec::new(Opts::new(name, help), &["rule"]).expect("a name of the list is well formed")
}

fn sampled() -> Counter {
    Counter::with_opts(Opts::new(SAMPLED.0, SAMPLED.1)).expect("the name is well formed")
}

impl Gauges {
    /// Over the rules that are in force at each scrape.
    pub fn new(rules: impl Fn() -> Arc<Rules> + Send + Sync + 'static) -> Gauges {
        let mut descs: Vec<Desc> = sampled().desc().into_iter().cloned().collect();
        for shown in SHOWN {
            descs.extend(by_rule(shown).desc().into_iter().cloned());
        }
        Gauges { rules: Arc::new(rules), descs }
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let rules = (self.rules)();
        let counter = sampled();
        counter.inc_by(rules.costs().sampled() as f64);
        let mut families = counter.collect();
        let costliest = rules.costs().costliest(MAX_SHOWN);
        for shown in SHOWN {
            // Several rules may go by one id.
            let mut values: BTreeMap<&str, f64> = BTreeMap::new();
            for cost in &costliest {
                let Some(rule) = rules.set().rule(cost.index) else { continue };
                *values.entry(label(rule)).or_default() += (shown.2)(cost);
            }
            let counters = by_rule(shown);
            for (rule, value) in values {
                counters.with_label_values(&[rule]).inc_by(value);
            }
            families.extend(counters.collect());
        }
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

fn label(rule: &Rule) -> &str {
    let key = rule.key();
    &key[..key.floor_char_boundary(MAX_LABEL_BYTES)]
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use bytes::Bytes;
    use hengwei_protocol::Kind;
    use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
    use hengwei_rules::{Document, Level, Mapping, Options, Set};

    use super::*;
    use crate::decode;
    use crate::event::{FieldNames, Sender};

    /// Rules `r0`, `r1` and so on.
    fn rules(count: usize) -> Rules {
        let text: String = (0..count)
            .map(|n| {
                format!(
                    "title: Rule {n}\nid: r{n}\nlogsource: {{product: linux}}\ndetection:\n  s: {{message: m{n}}}\n  condition: s\n---\n"
                )
            })
            .collect();
        let options = Options { mapping: Mapping::Ecs, ..Options::default() };
        let document = Document { name: "test.yml", text: &text };
        let (set, refused) = Set::compile([document], &FieldNames, &options);
        assert_eq!(refused, []);
        Rules::new(set, Level::High)
    }

    fn text(rules: Rules) -> String {
        let rules = Arc::new(rules);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(Gauges::new(move || Arc::clone(&rules)))).unwrap();
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn matching_times_the_rules_that_are_tried() {
        let rules = Arc::new(rules(2));
        let sender = Sender {
            agent: "a".into(),
            host: "h".into(),
            site: "".into(),
            system: "".into(),
            zone: "UTC".into(),
        };
        let line = Body::Original(Bytes::from_static(b"<86>Nov 22 05:00:00 h sshd[1]: m1"));
        let records = (1..=2 * EVERY)
            .map(|number| Record { number, body: Some(line.clone()), ..Record::default() })
            .collect();
        let block = Block { origins: vec![Origin::default()], records };
        let context = decode::Context { sender: &sender, ingested: 0, kind: Kind::Log };
        let events = decode::block(block, &context);
        let found = rules.matches(&sender, &events);
        assert_eq!(found.hits.len() as u64, 2 * EVERY);
        assert_eq!(rules.costs().sampled(), 2);
        let costs = rules.costs().costliest(9);
        let cost = costs.iter().find(|cost| cost.index == 1).unwrap();
        assert_eq!((cost.tries, cost.matches), (2, 2));
        assert!(cost.nanos > 0);
    }

    #[test]
    fn one_event_in_many_is_sampled_over_all_batches() {
        let costs = Costs::new(1);
        let mut sampled = Vec::new();
        let mut number = 0;
        for batch in [1, 500, 1000, 3000] {
            let samples = costs.samples(batch);
            for index in 0..batch {
                if samples(index) {
                    sampled.push(number);
                }
                number += 1;
            }
        }
        assert_eq!(sampled, [0, EVERY, 2 * EVERY, 3 * EVERY, 4 * EVERY]);
    }

    #[test]
    fn the_costliest_come_first_and_those_never_tried_not_at_all() {
        let costs = Costs::new(4);
        costs.add(0, false, 5);
        costs.add(2, true, 40);
        costs.add(2, false, 2);
        costs.add(3, true, 7);
        costs.add(9, true, 7);
        let cost = |index, tries, matches, nanos| Cost { index, tries, matches, nanos };
        assert_eq!(costs.costliest(2), [cost(2, 2, 1, 42), cost(3, 1, 1, 7)]);
        assert_eq!(costs.costliest(9).len(), 3);
    }

    #[test]
    fn metrics_show_seconds_of_at_most_twenty() {
        let rules = rules(30);
        rules.costs().clock().judged(0, false);
        for index in 0..30 {
            rules.costs().add(index, index == 29, 1_000_000 * (1 + index as u64));
        }
        let rows = rows(&rules, 1);
        assert_eq!((rows[0].rule.as_str(), rows[0].nanos_per_try), ("r29", 30_000_000));
        let text = text(rules);
        for line in [
            "hengwei_rule_sampled_events_total 1",
            "hengwei_rule_sampled_seconds_total{rule=\"r29\"} 0.03",
            "hengwei_rule_sampled_tries_total{rule=\"r10\"} 1",
            "hengwei_rule_sampled_matches_total{rule=\"r29\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("\"r9\""), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("seconds_total{")).count(), MAX_SHOWN);
    }

    #[test]
    fn before_anything_was_sampled_only_that_is_shown() {
        let text = text(rules(1));
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["hengwei_rule_sampled_events_total 0"]);
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        let rules = rules(2);
        rules.costs().add(0, true, 1000);
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else {
            println!("skipped: promtool is not installed");
            return;
        };
        promtool.stdin.take().unwrap().write_all(text(rules).as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(String::from_utf8_lossy(&said), "");
        assert!(output.status.success());
    }
}

//! What one set finds on its way through history, counted in bounded memory.
//!
//! A [`Lane`] is a detector with the alerts it would have raised: of each alert is kept what later
//! findings need to join it, of each rule its counts, its entities with the most events and the first
//! examples. Where more alerts would be open than `MAX_OPEN`, further ones are not counted and
//! [`Lane::is_cut`] says so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hengwei_rules::{Group, Level};
use serde_json::{Value, json};

use crate::alerts::{Alert, Entity, Key, Past, RuleRef, State};
use crate::detect::{Batch, Detector, Matches, Rules, entity, evidence_text};
use crate::time;

/// Alerts that are followed.
const MAX_OPEN: usize = 100_000;
/// Entities of one rule that are counted at a time.
const ENTITIES: usize = 32;
/// Those of them that are shown.
const SHOWN: usize = 5;
/// Bytes of an entity that are kept.
const MAX_ENTITY: usize = 128;
/// Examples of one rule.
const EXAMPLES: usize = 3;
/// Bytes of an example.
const MAX_EXAMPLE: usize = 512;
/// How often windows that have ended are freed, by the time of the records.
const TIDY: i64 = time::MINUTE;

/// A set on its way through history.
#[derive(Debug)]
pub struct Lane {
    rules: Arc<Rules>,
    detector: Detector,
    open: Open,
    /// Per rule of the set.
    tallies: Vec<Tally>,
    levels: BTreeMap<String, u64>,
    days: BTreeMap<String, u64>,
    cut: bool,
    tidied: i64,
}

/// The alerts that are open.
#[derive(Debug, Default)]
struct Open(HashMap<Vec<u8>, Slim>);

/// What of an alert later findings need.
#[derive(Debug)]
struct Slim {
    id: String,
    rule: RuleRef,
    first: String,
    last: String,
    count: u64,
}

#[derive(Debug, Default)]
struct Tally {
    matches: u64,
    alerts: u64,
    /// Event time of the first and the last match.
    times: Option<(i64, i64)>,
    entities: Vec<(String, u64)>,
    examples: Vec<Value>,
}

impl Past for Open {
    fn latest(&self, key: &Key) -> Option<Alert> {
        let Slim { id, rule, first, last, count } = self.0.get(&key.bytes())?;
        Some(Alert {
            id: id.clone(),
            rule: rule.clone(),
            entity: key.entity.clone(),
            count: *count,
            first_seen: first.clone(),
            last_seen: last.clone(),
            host: String::new(),
            agent: String::new(),
            site: String::new(),
            system: String::new(),
            tags: Vec::new(),
            evidence: Vec::new(),
            state: State::New,
            raised: String::new(),
            advice: BTreeMap::new(),
            related: Vec::new(),
            changes: Vec::new(),
        })
    }
}

impl Lane {
    /// A set that has seen nothing.
    pub fn new(rules: Arc<Rules>) -> Lane {
        let mut detector = Detector::new(Arc::clone(&rules));
        // As it is in force.
        detector.book.limit();
        let tallies = rules.set().rules().iter().map(|_| Tally::default()).collect();
        Lane {
            rules,
            detector,
            open: Open::default(),
            tallies,
            levels: BTreeMap::new(),
            days: BTreeMap::new(),
            cut: false,
            tidied: i64::MIN,
        }
    }

    /// Judges a batch that was taken in at that time.
    pub fn take(&mut self, batch: &Batch<'_>, ingested: i64) {
        let matches = self.rules.matches(batch.sender, batch.events);
        self.count(batch, &matches);
        let outcome = self.detector.judge(&self.open, batch, &matches, ingested);
        for (rule, last) in outcome.fired {
            self.tallies[rule].matches += 1;
            self.tallies[rule].seen(last);
        }
        for (key, alert, raised) in self.detector.book.drain() {
            self.follow(&key, &alert, raised.is_some(), ingested);
        }
        self.detector.book.clear();
        if ingested.saturating_sub(self.tidied) >= TIDY {
            self.tidied = ingested;
            self.detector.prune(ingested);
        }
    }

    /// Counts what single events matched.
    fn count(&mut self, batch: &Batch<'_>, matches: &Matches) {
        for (index, hits) in &matches.hits {
            let Some(event) = batch.events.get(*index, batch.sender) else { continue };
            for &rule in hits {
                let tally = &mut self.tallies[rule];
                tally.matches += 1;
                tally.seen(event.event.time);
                let about = entity(&self.rules.set().rules()[rule], &Group::new(), batch, event);
                tally.about(&about, 1);
                if tally.examples.len() < EXAMPLES {
                    tally.examples.push(json!({
                        "time": time::rfc3339(event.event.time), "host": &*batch.sender.host,
                        "record": batch.record(event), "text": cut(&evidence_text(event), MAX_EXAMPLE),
                    }));
                }
            }
        }
    }

    /// Takes over how an alert stands.
    fn follow(&mut self, key: &Key, alert: &Alert, raised: bool, ingested: i64) {
        let bytes = key.bytes();
        if !self.open.0.contains_key(&bytes) && self.open.0.len() >= MAX_OPEN {
            self.cut = true;
            return;
        }
        if raised {
            *self.levels.entry(alert.rule.level.clone()).or_default() += 1;
            *self.days.entry(time::rfc3339(ingested)[..10].to_owned()).or_default() += 1;
        }
        let before = self.open.0.get(&bytes).map_or(0, |slim| slim.count);
        let rule = self.rules.set().by_key(&alert.rule.id);
        if let Some((tally, rule)) =
            rule.and_then(|rule| Some((self.tallies.get_mut(rule)?, self.rules.set().rule(rule)?)))
        {
            tally.alerts += u64::from(raised);
            // What single events matched is counted already.
            if rule.is_correlation() {
                tally.about(&alert.entity, alert.count.saturating_sub(before));
                time::parse(&alert.first_seen).into_iter().for_each(|time| tally.seen(time));
                for evidence in &alert.evidence {
                    if tally.examples.len() < EXAMPLES {
                        tally.examples.push(json!({
                            "time": evidence.time, "host": alert.host, "record": evidence.record,
                            "text": cut(&evidence.text, MAX_EXAMPLE),
                        }));
                    }
                }
            }
        }
        let slim = Slim {
            id: alert.id.clone(),
            rule: alert.rule.clone(),
            first: alert.first_seen.clone(),
            last: alert.last_seen.clone(),
            count: alert.count,
        };
        self.open.0.insert(bytes, slim);
    }

    /// Matches of all rules.
    pub fn matches(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.matches).sum()
    }

    /// Alerts of all rules.
    pub fn alerts(&self) -> u64 {
        self.levels.values().sum()
    }

    /// Alerts by level.
    pub fn levels(&self) -> &BTreeMap<String, u64> {
        &self.levels
    }

    /// Alerts by the day (UTC) they would have been raised.
    pub fn days(&self) -> &BTreeMap<String, u64> {
        &self.days
    }

    /// Whether there were more alerts than were counted.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Matches and alerts of the rule that goes by a key.
    fn of(&self, key: &str) -> Option<(u64, u64)> {
        let tally = self.tallies.get(self.rules.set().by_key(key)?)?;
        Some((tally.matches, tally.alerts))
    }
}

impl Tally {
    fn seen(&mut self, time: i64) {
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
    }

    /// Counts an entity: the rarest makes room for one that is not known, which takes its count over,
    /// so that those with the most stay.
    fn about(&mut self, entity: &Entity, events: u64) {
        let value = cut(&entity.value, MAX_ENTITY);
        if let Some((_, count)) = self.entities.iter_mut().find(|(known, _)| *known == value) {
            *count += events;
        } else if self.entities.len() < ENTITIES {
            self.entities.push((value, events));
        } else if let Some(rarest) = self.entities.iter_mut().min_by_key(|(_, count)| *count) {
            *rarest = (value, rarest.1 + events);
        }
    }

    fn most(&self) -> Vec<Value> {
        let mut entities: Vec<&(String, u64)> = self.entities.iter().collect();
        entities.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let shown = entities.into_iter().take(SHOWN);
        shown.map(|(value, count)| json!({ "value": value, "count": count })).collect()
    }
}

/// A row for each rule that matched, those with the most alerts first; of those in force that are not
/// tried, too.
pub fn rows(lane: &Lane, before: Option<&Lane>) -> Vec<Value> {
    let mut rows: Vec<(u64, u64, Value)> = Vec::new();
    for (rule, tally) in lane.rules.set().rules().iter().zip(&lane.tallies) {
        let compared = before.map(|before| before.of(rule.key()));
        let (matches, alerts) = (tally.matches, tally.alerts);
        let before = compared.flatten().unwrap_or_default();
        if matches == 0 && before.0 == 0 {
            continue;
        }
        let change = match compared {
            None => "in force",
            Some(None) => "new",
            Some(Some((old, raised))) => match (alerts, matches).cmp(&(raised, old)) {
                std::cmp::Ordering::Greater => "noisier",
                std::cmp::Ordering::Less => "quieter",
                std::cmp::Ordering::Equal => "same",
            },
        };
        let time =
            |time: fn((i64, i64)) -> i64| tally.times.map(|times| time::rfc3339(time(times)));
        let mut row = json!({
            "change": change, "level": rule.level, "alerts": alerts, "matches": matches,
            "rule": rule.key(), "title": rule.title, "document": rule.document,
            "first": time(|times| times.0), "last": time(|times| times.1),
            "entities": tally.most(), "examples": tally.examples,
        });
        if let (Some(row), Some(_)) = (row.as_object_mut(), compared) {
            row.insert("alerts_before".to_owned(), before.1.into());
            row.insert("matches_before".to_owned(), before.0.into());
        }
        rows.push((alerts, matches, row));
    }
    for gone in before.into_iter().flat_map(|before| gone(lane, before)) {
        rows.push((0, 0, gone));
    }
    rows.sort_by_key(|(alerts, matches, _)| std::cmp::Reverse((*alerts, *matches)));
    rows.into_iter().map(|(_, _, row)| row).collect()
}

/// Rules in force that matched and are not tried.
fn gone<'a>(lane: &'a Lane, before: &'a Lane) -> impl Iterator<Item = Value> + 'a {
    let rules = before.rules.set().rules().iter().zip(&before.tallies);
    let gone = rules
        .filter(|(rule, tally)| tally.matches > 0 && lane.rules.set().by_key(rule.key()).is_none());
    gone.map(|(rule, tally)| {
        let level: Level = rule.level;
        json!({
            "change": "gone", "level": level, "alerts": 0, "matches": 0, "rule": rule.key(),
            "title": rule.title, "document": rule.document, "alerts_before": tally.alerts,
            "matches_before": tally.matches,
        })
    })
}

/// The beginning of a text.
fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_with_the_most_events_stay() {
        let mut tally = Tally::default();
        let about = |tally: &mut Tally, value: String| {
            tally.about(&Entity { kind: "source.ip".into(), value }, 1);
        };
        for n in 0..2_000u32 {
            about(&mut tally, format!("10.0.{}.{}", n / 256, n % 256));
            about(&mut tally, "203.0.113.9".to_owned());
        }
        assert_eq!(tally.entities.len(), ENTITIES);
        assert_eq!(tally.most()[0], json!({ "value": "203.0.113.9", "count": 2_000 }));
        assert_eq!(tally.most().len(), SHOWN);
        about(&mut tally, "衡".repeat(100));
        assert!(tally.entities.iter().all(|(value, _)| value.len() <= MAX_ENTITY));
    }
}

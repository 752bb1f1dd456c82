//! Alerts: what a match becomes, how matches join, what an officer does with them.
//!
//! In: findings of [`crate::detect`], changes by officers. Out: alerts as they stand after it, to be
//! committed with what caused them. It reads earlier alerts through [`Past`], so that `replay`, which
//! has no history, runs the same code. It knows neither rules nor decoders nor the disk.
//!
//! A finding joins the open alert of its key (the rule, or the rule it `joins`, and the entity) or
//! begins one. An alert that was closed is not joined again: the next finding begins a new one, unless
//! the risk was accepted and its time has not run out, in which case it is counted there and quiet.

use std::collections::{BTreeMap, HashMap};

use hengwei_protocol::identity;
use serde::{Deserialize, Serialize};

use crate::history::{Entry, History, Put, tree};
use crate::store::{Decision, Error};
use crate::time;

/// Events kept as evidence from the beginning of an alert.
const EVIDENCE_FIRST: usize = 3;
/// Events kept as evidence from its end.
const EVIDENCE_LAST: usize = 5;
/// Bytes of an event's text kept as evidence.
pub const EVIDENCE_TEXT: usize = 1024;
/// Rules that may join one alert by name.
const MAX_RELATED: usize = 32;
/// Changes by officers one alert keeps.
const MAX_CHANGES: usize = 200;
/// The longest reason an officer may give.
const MAX_REASON: usize = 4096;
/// Bytes of an entity's value; a longer one is cut and told apart by its digest.
pub const MAX_ENTITY: usize = 1024;
/// Alerts that one rule may begin an hour over what one agent sends, while the book is limited: what
/// comes beyond joins one alert of the rule. An officer reads no more of them, and who can make up
/// addresses or names must not be able to fill the disk with alerts.
const MAX_BEGUN: u32 = 1_000;
/// What an hour is, nanoseconds.
const HOUR_NANOS: i64 = 3_600_000_000_000;
/// The entity's value of the alert that those beyond `MAX_BEGUN` join.
pub const MANY: &str = "*";

/// An alert, as stored, as in the feed, as `replay` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Unique and stable; sorts by creation.
    pub id: String,
    /// The rule that raised it.
    pub rule: RuleRef,
    /// What it is about.
    pub entity: Entity,
    /// Events it stands for, those before a threshold included.
    pub count: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// The host most of the evidence is from.
    pub host: String,
    /// Agent id of that host.
    pub agent: String,
    /// Site of that host.
    pub site: String,
    /// System of that host.
    pub system: String,
    /// ATT&CK and MLPS.
    pub tags: Vec<String>,
    /// The first and the latest events, bounded.
    pub evidence: Vec<Evidence>,
    /// Where it stands.
    pub state: State,
    /// When the collector raised it, RFC 3339.
    pub raised: String,
    /// What to do, by language tag ("zh", "en").
    pub advice: BTreeMap<String, String>,
    /// Rules that joined it, beside `rule`: their ids.
    pub related: Vec<String>,
    /// Each change, oldest first.
    pub changes: Vec<Change>,
}

/// The part of a rule an alert carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Sigma id.
    pub id: String,
    /// English title.
    pub title: String,
    /// Chinese title; empty when the rule has none.
    pub title_zh: String,
    /// `critical`, `high`, `medium`, `low`, `informational`.
    pub level: String,
}

/// What an alert is about: a field and its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entity {
    /// `source.ip`, `user.name`, `host.name` ... joined by `+` when there are several.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value, joined the same way.
    pub value: String,
}

/// One event behind an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// `@timestamp`, RFC 3339.
    pub time: String,
    /// Agent id.
    pub agent: String,
    /// `agent/kind/epoch/number`: finds the event again.
    pub record: String,
    /// The line, or the fields in short; cut to 1 KiB.
    pub text: String,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody has looked.
    New,
    /// Somebody is on it.
    Acknowledged,
    /// It was real and is dealt with.
    TruePositive,
    /// It was nothing.
    FalsePositive,
    /// Known and accepted, until the expiry in the change.
    AcceptedRisk,
}

/// What an officer did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// RFC 3339.
    pub time: String,
    /// Account or `local:<user>`.
    pub who: String,
    /// The new state.
    pub state: State,
    /// Why.
    pub reason: String,
    /// When an accepted risk ends, RFC 3339.
    pub expires: Option<String>,
}

impl Alert {
    /// Whether it is for the review list rather than an alert: its rule's level is below `high`.
    pub fn is_review(&self) -> bool {
        !matches!(self.rule.level.as_str(), "high" | "critical")
    }
}

impl State {
    /// Whether matches still join an alert in this state.
    pub fn is_open(self) -> bool {
        matches!(self, State::New | State::Acknowledged)
    }
}

/// What decides which alert a finding joins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Id of the rule whose alert it is.
    pub rule: String,
    /// What it is about.
    pub entity: Entity,
}

impl Key {
    /// The key in tree [`tree::ALERTS_OPEN`]. Hashed: entities are text of strangers.
    pub fn bytes(&self) -> Vec<u8> {
        let text = format!("{}\0{}\0{}", self.rule, self.entity.kind, self.entity.value);
        identity::sha256(text.as_bytes()).to_vec()
    }
}

impl Entity {
    /// An entity whose value strangers may have written: bounded.
    pub fn new(kind: String, mut value: String) -> Entity {
        if value.len() > MAX_ENTITY {
            let digest = identity::hex(&identity::sha256(value.as_bytes())[..8]);
            let mut end = MAX_ENTITY - digest.len() - '…'.len_utf8();
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            value.truncate(end);
            value.push('…');
            value.push_str(&digest);
        }
        Entity { kind, value }
    }
}

/// Something a rule found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which alert it joins or begins.
    pub key: Key,
    /// The rule that found it.
    pub rule: RuleRef,
    /// Events it stands for, should it begin an alert.
    pub total: u64,
    /// Events it adds, should it join one.
    pub weight: u64,
    /// Earliest event, should it begin an alert; Unix nanoseconds.
    pub first: i64,
    /// Latest event, Unix nanoseconds.
    pub last: i64,
    /// When the latest event was read at its host, Unix nanoseconds.
    pub created: i64,
    /// Where it was seen.
    pub place: Place,
    /// Tags of the rule.
    pub tags: Vec<String>,
    /// What to do, by language.
    pub advice: BTreeMap<String, String>,
    /// Events behind it, oldest first.
    pub evidence: Vec<Evidence>,
}

/// The host a finding is from.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Host name.
    pub host: String,
    /// Agent id.
    pub agent: String,
    /// Site.
    pub site: String,
    /// System.
    pub system: String,
}

/// Alerts that were there before.
pub trait Past {
    /// The alert that findings of this key join, whatever its state.
    fn latest(&self, key: &Key) -> Option<Alert>;
}

impl Past for History {
    fn latest(&self, key: &Key) -> Option<Alert> {
        let id = self.get(tree::ALERTS_OPEN, &key.bytes())?;
        serde_json::from_slice(&self.get(tree::ALERTS, &id)?).ok()
    }
}

/// Nothing before.
#[derive(Debug)]
pub struct NoPast;

impl Past for NoPast {
    fn latest(&self, _: &Key) -> Option<Alert> {
        None
    }
}

/// Alerts as they change while a commit is made up.
#[derive(Debug, Default)]
pub struct Book {
    pages: HashMap<Key, Page>,
    order: Vec<Key>,
    issued: u64,
    /// Pages that changed since they were drained.
    changed: usize,
    /// Alerts begun in the current hour by rule and agent, when that is limited.
    begun: Option<Begun>,
}

#[derive(Debug, Default)]
struct Begun {
    hour: i64,
    counts: HashMap<(String, String), u32>,
}

#[derive(Debug)]
struct Page {
    alert: Alert,
    /// Something changed.
    touched: bool,
    /// It began in this commit: when the event that raised it was read at its host.
    raised: Option<i64>,
}

impl Book {
    /// Takes a finding in. `now` is Unix nanoseconds. Returns whether it began an alert.
    pub fn take(&mut self, past: &dyn Past, finding: Finding, now: i64) -> bool {
        if self.join(past, &finding, now) {
            return false;
        }
        let mut finding = finding;
        if self.begins_too_many(&finding, now) {
            finding.key.entity.value = MANY.to_owned();
            if self.join(past, &finding, now) {
                return false;
            }
        }
        self.issued += 1;
        let created = finding.created;
        let alert = begin(&finding, format!("{:016x}{:04x}", now, self.issued & 0xffff), now);
        self.changed += 1;
        self.insert(finding.key, Page { alert, touched: true, raised: Some(created) });
        true
    }

    /// Joins a finding to the open alert of its key; whether there is one.
    fn join(&mut self, past: &dyn Past, finding: &Finding, now: i64) -> bool {
        let Some(page) = self.page(past, &finding.key).filter(|page| joins(&page.alert, now))
        else {
            return false;
        };
        join(&mut page.alert, finding);
        let first = !std::mem::replace(&mut page.touched, true);
        self.changed += usize::from(first);
        true
    }

    /// Whether a rule has begun all alerts it may, this hour, over what an agent sends. Counts.
    fn begins_too_many(&mut self, finding: &Finding, now: i64) -> bool {
        let Some(begun) = &mut self.begun else { return false };
        let hour = now.div_euclid(HOUR_NANOS);
        if begun.hour != hour {
            *begun = Begun { hour, counts: HashMap::new() };
        }
        let key = (finding.key.rule.clone(), finding.place.agent.clone());
        let count = begun.counts.entry(key).or_default();
        let most = *count >= MAX_BEGUN;
        *count = count.saturating_add(1);
        most
    }

    /// Limits from now on how many alerts a rule may begin over what one agent sends.
    pub fn limit(&mut self) {
        self.begun.get_or_insert_default();
    }

    /// Alerts that changed since they were drained.
    pub fn changed(&self) -> usize {
        self.changed
    }

    /// Adds events to an open alert without beginning one: whether there was one.
    pub fn add(
        &mut self,
        past: &dyn Past,
        key: &Key,
        weight: u64,
        last: i64,
        evidence: Evidence,
        now: i64,
    ) -> bool {
        let Some(page) = self.page(past, key).filter(|page| joins(&page.alert, now)) else {
            return false;
        };
        widen(&mut page.alert, last, last);
        page.alert.count = page.alert.count.saturating_add(weight);
        keep(&mut page.alert.evidence, std::iter::once(evidence));
        let first = !std::mem::replace(&mut page.touched, true);
        self.changed += usize::from(first);
        true
    }

    /// The alerts that changed since the last call, in the order they began; for each that began since
    /// then, when the event that raised it was read at its host.
    pub fn drain(&mut self) -> Vec<(Key, Alert, Option<i64>)> {
        let mut changed = Vec::with_capacity(std::mem::take(&mut self.changed));
        for key in &self.order {
            if let Some(page) = self.pages.get_mut(key).filter(|page| page.touched) {
                page.touched = false;
                changed.push((key.clone(), page.alert.clone(), std::mem::take(&mut page.raised)));
            }
        }
        changed
    }

    /// Forgets what it knows; the past is asked again.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.order.clear();
        self.changed = 0;
    }

    /// Every alert it knows, in the order they began.
    pub fn all(&self) -> impl Iterator<Item = &Alert> {
        self.order.iter().filter_map(|key| self.pages.get(key)).map(|page| &page.alert)
    }

    fn page(&mut self, past: &dyn Past, key: &Key) -> Option<&mut Page> {
        if !self.pages.contains_key(key) {
            let alert = past.latest(key)?;
            self.insert(key.clone(), Page { alert, touched: false, raised: None });
        }
        self.pages.get_mut(key)
    }

    fn insert(&mut self, key: Key, page: Page) {
        if self.pages.insert(key.clone(), page).is_none() {
            self.order.push(key);
        }
    }
}

/// What an officer does to an alert: acknowledges or closes it, with a reason.
///
/// `expires` (RFC 3339) is for an accepted risk, which needs one.
pub fn change(
    history: &History,
    now: i64,
    who: &str,
    id: &str,
    state: State,
    reason: &str,
    expires: Option<&str>,
) -> Result<(Decision, Alert), Error> {
    let refused = |text: String| Err(Error::Refused(text));
    let Some(mut alert) = find(history, id) else {
        return refused(format!("there is no alert `{id}`: `alerts list` shows those there are"));
    };
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return refused(format!("a change needs a reason of at most {MAX_REASON} bytes"));
    }
    let expires = match (state, expires) {
        (State::AcceptedRisk, Some(text)) => match time::parse(text) {
            Some(at) if at > now => Some(time::rfc3339(at)),
            _ => return refused(format!("`{text}` is no time ahead (RFC 3339)")),
        },
        (State::AcceptedRisk, None) => {
            return refused("an accepted risk needs the time it ends".into());
        }
        (_, Some(_)) => return refused("only an accepted risk has an end".into()),
        (_, None) => None,
    };
    if alert.changes.len() >= MAX_CHANGES {
        return refused(format!("alert `{id}` was changed {MAX_CHANGES} times already"));
    }
    alert.state = state;
    let made =
        Change { time: time::rfc3339(now), who: who.into(), state, reason: reason.into(), expires };
    let entry = Entry {
        time: now,
        actor: who.into(),
        action: "alert.changed".into(),
        body: serde_json::json!({ "alert": id, "change": &made }).to_string(),
    };
    alert.changes.push(made);
    let puts = vec![put(&alert)];
    Ok((Decision { entries: vec![entry], puts }, alert))
}

/// The alert of that id.
pub fn find(history: &History, id: &str) -> Option<Alert> {
    serde_json::from_slice(&history.get(tree::ALERTS, id.as_bytes())?).ok()
}

/// The small record that keeps an alert.
pub fn put(alert: &Alert) -> Put {
    let value = serde_json::to_vec(alert).expect("an alert is plain data");
    Put { tree: tree::ALERTS, key: alert.id.clone().into_bytes(), value: Some(value) }
}

fn joins(alert: &Alert, now: i64) -> bool {
    match alert.state {
        State::New | State::Acknowledged => true,
        State::TruePositive | State::FalsePositive => false,
        State::AcceptedRisk => alert
            .changes
            .last()
            .and_then(|change| change.expires.as_deref())
            .and_then(time::parse)
            .is_some_and(|end| now < end),
    }
}

fn begin(finding: &Finding, id: String, now: i64) -> Alert {
    let mut alert = Alert {
        id,
        rule: finding.rule.clone(),
        entity: finding.key.entity.clone(),
        count: finding.total,
        first_seen: time::rfc3339(finding.first),
        last_seen: time::rfc3339(finding.last),
        host: finding.place.host.clone(),
        agent: finding.place.agent.clone(),
        site: finding.place.site.clone(),
        system: finding.place.system.clone(),
        tags: finding.tags.clone(),
        evidence: Vec::new(),
        state: State::New,
        raised: time::rfc3339(now),
        advice: finding.advice.clone(),
        related: Vec::new(),
        changes: Vec::new(),
    };
    keep(&mut alert.evidence, finding.evidence.iter().cloned());
    alert
}

fn join(alert: &mut Alert, finding: &Finding) {
    alert.count = alert.count.saturating_add(finding.weight);
    widen(alert, finding.last, finding.last);
    // Only what is new: the rest of a correlation's window was counted and shown as it came.
    keep(&mut alert.evidence, finding.evidence.last().into_iter().cloned());
    let id = &finding.rule.id;
    if *id != alert.rule.id && !alert.related.contains(id) && alert.related.len() < MAX_RELATED {
        alert.related.push(id.clone());
        // The advice of the one that knows some.
        if alert.advice.is_empty() {
            alert.advice.clone_from(&finding.advice);
        }
        for tag in &finding.tags {
            if !alert.tags.contains(tag) {
                alert.tags.push(tag.clone());
            }
        }
    }
}

fn widen(alert: &mut Alert, first: i64, last: i64) {
    if time::parse(&alert.first_seen).is_none_or(|seen| first < seen) {
        alert.first_seen = time::rfc3339(first);
    }
    if time::parse(&alert.last_seen).is_none_or(|seen| last > seen) {
        alert.last_seen = time::rfc3339(last);
    }
}

/// Keeps the first and the latest of all evidence.
fn keep(kept: &mut Vec<Evidence>, more: impl Iterator<Item = Evidence>) {
    for evidence in more {
        if kept.last().is_some_and(|last| last.record == evidence.record) {
            continue;
        }
        if kept.len() == EVIDENCE_FIRST + EVIDENCE_LAST {
            kept.remove(EVIDENCE_FIRST);
        }
        kept.push(evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &str, value: &str, at: i64) -> Finding {
        Finding {
            key: Key {
                rule: "r".into(),
                entity: Entity { kind: "source.ip".into(), value: value.into() },
            },
            rule: RuleRef {
                id: rule.into(),
                title: rule.into(),
                title_zh: String::new(),
                level: "high".into(),
            },
            total: 5,
            weight: 1,
            first: at - 4,
            last: at,
            created: at,
            place: Place::default(),
            tags: vec![format!("tag.{rule}")],
            advice: BTreeMap::new(),
            evidence: vec![Evidence {
                time: String::new(),
                agent: String::new(),
                record: at.to_string(),
                text: String::new(),
            }],
        }
    }

    #[test]
    fn findings_of_one_key_join_and_count_each_event_once() {
        let mut book = Book::default();
        assert!(book.take(&NoPast, finding("r", "a", 10), 100));
        assert!(!book.take(&NoPast, finding("r", "a", 11), 101));
        assert!(!book.take(&NoPast, finding("slow", "a", 12), 102));
        assert!(book.take(&NoPast, finding("r", "b", 13), 103));
        let alerts: Vec<_> = book.all().collect();
        assert_eq!(alerts.iter().map(|a| a.count).collect::<Vec<_>>(), [7, 5]);
        assert_eq!(alerts[0].related, ["slow"]);
        assert_eq!(alerts[0].tags, ["tag.r", "tag.slow"]);
        assert_ne!(alerts[0].id, alerts[1].id);
        assert_eq!(
            (time::parse(&alerts[0].first_seen), time::parse(&alerts[0].last_seen)),
            (Some(6), Some(12))
        );
    }

    #[test]
    fn made_up_entities_begin_so_many_alerts_and_then_one() {
        let mut book = Book::default();
        book.limit();
        let flood = |book: &mut Book, from: u32, now: i64| {
            let mut begun = 0;
            for n in from..from + MAX_BEGUN + 10 {
                begun += u32::from(book.take(&NoPast, finding("r", &n.to_string(), 10), now));
            }
            begun
        };
        assert_eq!(flood(&mut book, 0, 100), MAX_BEGUN + 1);
        assert_eq!(book.changed(), book.drain().len());
        assert_eq!(book.changed(), 0);
        let many = book.all().last().expect("the last to begin");
        assert_eq!((many.entity.value.as_str(), many.count), (MANY, 5 + 9));
        // Another agent is not held back by it, and the next hour begins anew.
        let mut other = finding("r", "other", 10);
        other.place.agent = "b".into();
        assert!(book.take(&NoPast, other, 100));
        assert_eq!(flood(&mut book, 1 << 20, 100 + HOUR_NANOS), MAX_BEGUN);
    }

    #[test]
    fn a_long_entity_is_cut_and_stays_itself() {
        let value = |end: &str| {
            Entity::new("user.name".into(), format!("{}{end}", "衡".repeat(MAX_ENTITY))).value
        };
        assert!(value("a").len() <= MAX_ENTITY);
        assert_eq!(value("a"), value("a"));
        assert_ne!(value("a"), value("b"));
        assert_eq!(Entity::new("k".into(), "x".repeat(MAX_ENTITY)).value.len(), MAX_ENTITY);
    }

    #[test]
    fn evidence_keeps_both_ends() {
        let mut book = Book::default();
        for at in 0..20 {
            book.take(&NoPast, finding("r", "a", at), 100);
        }
        let alert = book.all().next().expect("one alert");
        let records: Vec<_> = alert.evidence.iter().map(|e| e.record.as_str()).collect();
        assert_eq!(records, ["0", "1", "2", "15", "16", "17", "18", "19"]);
    }

    #[test]
    fn a_closed_alert_is_not_joined_and_an_accepted_risk_stays_quiet() {
        struct Closed(State, Option<&'static str>);
        impl Past for Closed {
            fn latest(&self, _: &Key) -> Option<Alert> {
                let mut alert = begin(&finding("r", "a", 1), "old".into(), 1);
                alert.state = self.0;
                let expires = self.1.map(str::to_owned);
                alert.changes = vec![Change {
                    time: String::new(),
                    who: String::new(),
                    state: self.0,
                    reason: String::new(),
                    expires,
                }];
                Some(alert)
            }
        }
        let now = time::parse("2026-06-01T00:00:00Z").expect("a time");
        for (state, expires, begins) in [
            (State::Acknowledged, None, false),
            (State::TruePositive, None, true),
            (State::FalsePositive, None, true),
            (State::AcceptedRisk, Some("2026-07-01T00:00:00Z"), false),
            (State::AcceptedRisk, Some("2026-05-01T00:00:00Z"), true),
        ] {
            let mut book = Book::default();
            assert_eq!(
                book.take(&Closed(state, expires), finding("r", "a", 2), now),
                begins,
                "{state:?}"
            );
        }
    }

    #[test]
    fn events_are_added_only_to_an_open_alert() {
        let mut book = Book::default();
        let evidence = || Evidence {
            time: String::new(),
            agent: String::new(),
            record: "x".into(),
            text: String::new(),
        };
        let key = finding("r", "a", 1).key;
        assert!(!book.add(&NoPast, &key, 1, 5, evidence(), 100));
        book.take(&NoPast, finding("r", "a", 10), 100);
        assert!(book.add(&NoPast, &key, 5, 20, evidence(), 100));
        assert_eq!(book.all().next().expect("one alert").count, 10);
    }
}

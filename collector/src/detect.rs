//! Events in, findings out: the rules crate fed with events, its matches made into alerts.
//!
//! Matching is stateless and done where the batch was decoded ([`Rules::matches`]); what needs memory
//! (correlations, open alerts) is done by one [`Detector`], in the order of commits, so that what it
//! decided depends only on history. It reads no file and no clock.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::identity::hex;
use hengwei_rules::{
    BaseHit, Correlator, Fired, Group, Level, Program, Reference, Rule, Scratch, Set,
};

use crate::alerts::{Book, EVIDENCE_TEXT, Entity, Evidence, Finding, Key, Past, Place, RuleRef};
use crate::cost::Costs;
use crate::event::{EventRef, Events, FieldId, Sender};
use crate::time;

/// Memories of evaluating that are kept for the next batch; more threads than that seldom match at once.
const MAX_SPARE: usize = 8;

/// A compiled set, and what detection needs to know of each rule. Those in force are replaced as a
/// whole ([`crate::judge::Desk::replace_rules`]).
#[derive(Debug)]
pub struct Rules {
    set: Set,
    about: About,
    /// Per rule of the set.
    profiles: Vec<Profile>,
    /// Correlations by the id of the rule whose alerts theirs are.
    families: HashMap<String, Vec<usize>>,
    /// What each rule costs, sampled.
    costs: Costs,
    /// Memory of evaluating that no thread uses now.
    spare: Mutex<Vec<Scratch>>,
}

/// What is known of a set beside its rules.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// SHA-256 over everything it was made of, hex.
    pub digest: String,
    /// Rules that could not be used.
    pub refused: usize,
    /// SHA-256 of each document, by name.
    pub documents: HashMap<String, [u8; 32]>,
}

#[derive(Debug)]
struct Profile {
    level: Level,
    /// Its matches become findings of their own: it stands alone, and its level is high enough.
    tells: bool,
    /// Id of the rule whose alerts its findings join.
    family: String,
    /// Places of rules that it names as related: where both match one event, theirs is its finding.
    related: Vec<usize>,
}

impl Rules {
    /// Prepares a compiled set. Matches of `threshold` and above become alerts (those below `high`
    /// are the review list).
    pub fn new(set: Set, threshold: Level) -> Rules {
        Rules::of(set, About::default(), &|_| threshold)
    }

    /// The same with a threshold for each rule.
    pub fn of(set: Set, about: About, threshold: &dyn Fn(&Rule) -> Level) -> Rules {
        let mut families: HashMap<String, Vec<usize>> = HashMap::new();
        let places: HashMap<&str, usize> =
            set.rules().iter().enumerate().map(|(at, rule)| (rule.key(), at)).collect();
        let profiles: Vec<Profile> = set
            .rules()
            .iter()
            .map(|rule| Profile {
                related: rule.related.iter().filter_map(|id| places.get(&**id).copied()).collect(),
                level: rule.level,
                tells: rule.standalone && rule.level >= threshold(rule),
                family: rule.attributes.joins.clone().unwrap_or_else(|| rule.key().to_owned()),
            })
            .collect();
        for (index, rule) in set.rules().iter().enumerate() {
            if rule.counts() {
                families.entry(profiles[index].family.clone()).or_default().push(index);
            }
        }
        let costs = Costs::new(set.rules().len());
        Rules { set, about, profiles, families, costs, spare: Mutex::default() }
    }

    /// The compiled set.
    pub fn set(&self) -> &Set {
        &self.set
    }

    /// What its rules cost.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What is known of it beside its rules.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Each rule by its key, with what it was made of: what differs is another rule.
    pub fn marks(&self) -> BTreeMap<&str, (Option<&[u8; 32]>, Level)> {
        let mark = |rule: &Rule| (self.about.documents.get(&rule.document), rule.level);
        let rules = self.set.rules().iter().rev();
        rules.map(|rule| (rule.key(), mark(rule))).collect()
    }

    /// Which rules match which events. A panic in matching is caught: that event matches nothing, and
    /// its number is in the answer's `failed`.
    pub fn matches(self: &Arc<Self>, sender: &Sender, events: &Events) -> Matches {
        let mut matches = Matches { rules: Arc::clone(self), hits: Vec::new(), failed: Vec::new() };
        let mut hits = Vec::new();
        // An event's log sources are those of its dataset.
        let mut programs: HashMap<&'static str, Arc<Program>> = HashMap::new();
        let mut scratch = self.scratch();
        let samples = self.costs.samples(events.events.len());
        for (index, event) in events.iter(sender).enumerate() {
            let program =
                programs.entry(event.event.dataset).or_insert_with(|| self.set.program(&event));
            if program.is_empty() {
                continue;
            }
            hits.clear();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                if samples(index) {
                    let mut clock = self.costs.clock();
                    program.run_observed(&event, &mut scratch, &mut hits, &mut clock);
                } else {
                    program.run(&event, &mut scratch, &mut hits);
                }
            }));
            if outcome.is_err() {
                scratch = Scratch::new();
                matches.failed.push(event.event.number);
            } else if !hits.is_empty() {
                matches.hits.push((index, hits.as_slice().into()));
            }
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MAX_SPARE {
            spare.push(scratch);
        }
        matches
    }

    /// Of the rules that met one event with this one, the one whose alert its finding belongs to, since
    /// they are known to tell of the same thing.
    fn leader(&self, hit: usize, hits: &[usize]) -> Option<usize> {
        let gravest = |rule: &usize| (self.profiles[*rule].level, Reverse(*rule));
        let mut way = vec![hit];
        // A leader may itself be led.
        while let Some(last) = way.last() {
            let next = hits.iter().copied().filter(|other| self.leads(*other, *last));
            let Some(next) = next.max_by_key(gravest) else { break };
            if let Some(at) = way.iter().position(|rule| *rule == next) {
                // Rules that name one another in a circle: the same of them leads all.
                way.extend(way[at..].iter().copied().max_by_key(gravest));
                break;
            }
            way.push(next);
        }
        way.last().copied().filter(|leader| *leader != hit)
    }

    /// Whether a rule's alert takes in another's finding: of two of which one names the other, the higher
    /// level leads, so that nothing grave hides in what is less; at one level the one that names.
    fn leads(&self, one: usize, other: usize) -> bool {
        let (mine, theirs) = (&self.profiles[one], &self.profiles[other]);
        let (named, names_me) = (mine.related.contains(&other), theirs.related.contains(&one));
        if !mine.tells || !(named || names_me) {
            return false;
        }
        match mine.level.cmp(&theirs.level) {
            _ if !theirs.tells => true,
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => named && (!names_me || one < other),
        }
    }

    fn scratch(&self) -> Scratch {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

/// What [`Rules::matches`] found in a batch.
#[derive(Debug)]
pub struct Matches {
    /// Whose they are: places in another set mean other rules.
    pub rules: Arc<Rules>,
    /// Index of an event and the rules that matched it, in order of events.
    pub hits: Vec<(usize, Box<[usize]>)>,
    /// Numbers of events in which matching panicked.
    pub failed: Vec<u64>,
}

/// What a batch was found to hold.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Base hits that feed correlations, encoded, to be committed with the batch.
    pub hits: Vec<Bytes>,
    /// Matches by level, for the metrics.
    pub matched: BTreeMap<&'static str, u64>,
    /// Correlations that fired, by their index, each time with the time of the last event in the
    /// window, Unix nanoseconds.
    pub fired: Vec<(usize, i64)>,
}

/// The memory of detection: correlations and open alerts.
#[derive(Debug)]
pub struct Detector {
    rules: Arc<Rules>,
    correlator: Correlator,
    /// Alerts as they stand.
    pub book: Book,
}

impl Detector {
    /// A detector without memory.
    pub fn new(rules: Arc<Rules>) -> Detector {
        Detector { rules, correlator: Correlator::new(), book: Book::default() }
    }

    /// Goes on with other rules. Memory stays: the windows of a correlation belong to it by its key,
    /// as long as it counts the same things, and alerts to the rule that raised them.
    pub fn switch(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// Takes up the memory of a checkpoint and the hits committed since; raises nothing.
    pub fn restore(&mut self, checkpoint: Option<&[u8]>, hits: &[Bytes]) {
        match checkpoint.map(Correlator::restore) {
            Some(Ok(correlator)) => self.correlator = correlator,
            Some(Err(error)) => {
                tracing::error!(%error, "correlation state of the checkpoint was not understood and begins anew");
            }
            None => {}
        }
        for bytes in hits {
            match serde_json::from_slice::<BaseHit>(bytes) {
                Ok(hit) => drop(self.correlator.feed(self.rules.set(), &hit)),
                Err(error) => tracing::error!(%error, "a committed hit was not understood"),
            }
        }
    }

    /// The memory, for a checkpoint.
    pub fn snapshot(&self) -> Bytes {
        self.correlator.snapshot().into()
    }

    /// Frees memory of windows that ended long before `now`.
    pub fn prune(&mut self, now: i64) {
        self.correlator.prune(self.rules.set(), now);
    }

    /// Judges a batch by matches that are of its own rules. `now` is when alerts are raised.
    pub fn judge(
        &mut self,
        past: &dyn Past,
        batch: &Batch<'_>,
        matches: &Matches,
        now: i64,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let rules = Arc::clone(&self.rules);
        for (index, hits) in &matches.hits {
            let Some(event) = batch.events.get(*index, batch.sender) else { continue };
            // Leaders first: they begin the alert that the others are named in.
            let leaders: Vec<Option<usize>> =
                hits.iter().map(|hit| rules.leader(*hit, hits)).collect();
            for led in [false, true] {
                for (&rule, leader) in hits.iter().zip(&leaders) {
                    if leader.is_some() == led {
                        self.hit(past, &rules, batch, event, (rule, *leader), now, &mut outcome);
                    }
                }
            }
        }
        outcome
    }

    #[expect(clippy::too_many_arguments, reason = "one step of judge, split for reading")]
    fn hit(
        &mut self,
        past: &dyn Past,
        rules: &Rules,
        batch: &Batch<'_>,
        event: EventRef<'_>,
        (index, leader): (usize, Option<usize>),
        now: i64,
        outcome: &mut Outcome,
    ) {
        let profile = &rules.profiles[index];
        let rule = &rules.set.rules()[index];
        *outcome.matched.entry(profile.level.as_str()).or_default() += 1;
        if profile.tells {
            let mut finding = single(rule, profile, batch, event);
            if let Some(leader) = leader {
                let (rule, profile) = (&rules.set.rules()[leader], &rules.profiles[leader]);
                // The event counts once, with the leader.
                finding.key = single(rule, profile, batch, event).key;
                finding.weight = 0;
            }
            self.book.take(past, finding, now);
        }
        let header = event.event;
        let text = format!("{} {}", time::rfc3339(header.time), evidence_text(event));
        let reference = Reference::new(&batch.record(event), &text);
        let hit = rules.set.base_hit(index, &event, header.time, header.weight, reference);
        let Some(hit) = hit else { return };
        outcome.hits.push(serde_json::to_vec(&hit).expect("a hit is plain data").into());
        let fired = self.correlator.feed(&rules.set, &hit);
        self.correlate(past, rules, batch, event, &hit, &fired, now, outcome);
    }

    /// What a base hit means for the correlations it feeds: those that fired begin or join their
    /// family's alert; where none fired, an open alert of the family takes the hit in all the same,
    /// so that an alert counts every event of its entity and not only those above the threshold.
    #[expect(clippy::too_many_arguments, reason = "one step of judge, split for reading")]
    fn correlate(
        &mut self,
        past: &dyn Past,
        rules: &Rules,
        batch: &Batch<'_>,
        event: EventRef<'_>,
        hit: &BaseHit,
        fired: &[Fired],
        now: i64,
        outcome: &mut Outcome,
    ) {
        let mut counted: HashSet<Key> = HashSet::new();
        for fired in fired {
            let profile = &rules.profiles[fired.rule];
            *outcome.matched.entry(profile.level.as_str()).or_default() += 1;
            outcome.fired.push((fired.rule, fired.last_ns));
            if !profile.tells {
                continue;
            }
            let rule = &rules.set.rules()[fired.rule];
            let key = Key {
                rule: profile.family.clone(),
                entity: entity(rule, &fired.group, batch, event),
            };
            let first_of_family = counted.insert(key.clone());
            let (total, first) = self.family_total(rules, &profile.family, fired);
            let finding = Finding {
                key,
                rule: rule_ref(rule),
                total,
                weight: if first_of_family { hit.weight } else { 0 },
                first,
                last: fired.last_ns,
                created: event.event.created,
                place: batch.place(),
                tags: rule.tags.clone(),
                advice: rule.attributes.advice.clone(),
                evidence: fired.references.iter().map(evidence_of).collect(),
            };
            self.book.take(past, finding, now);
        }
        for (index, group) in rules.set.groups(hit) {
            let profile = &rules.profiles[index];
            let rule = &rules.set.rules()[index];
            if !rule.counts() || !profile.tells {
                continue;
            }
            let key =
                Key { rule: profile.family.clone(), entity: entity(rule, &group, batch, event) };
            if counted.insert(key.clone()) {
                self.book.add(
                    past,
                    &key,
                    hit.weight,
                    hit.time_ns,
                    evidence_of(&hit.reference),
                    now,
                );
            }
        }
    }

    /// Events of a fired group and the first of them, over the widest window of its family.
    fn family_total(&self, rules: &Rules, family: &str, fired: &Fired) -> (u64, i64) {
        let mut most = (fired.count, fired.first_ns);
        for &index in rules.families.get(family).into_iter().flatten() {
            if let Some(total) = self.correlator.total(&rules.set, index, &fired.group)
                && total.count > most.0
            {
                most = (total.count, total.first_ns.min(most.1));
            }
        }
        most
    }
}

/// A batch as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Who sent it.
    pub sender: &'a Sender,
    /// What was understood of it.
    pub events: &'a Events,
    /// Queue.
    pub kind: Kind,
    /// Epoch of the queue.
    pub epoch: &'a [u8; 16],
}

impl Batch<'_> {
    /// `agent/kind/epoch/number`.
    pub(crate) fn record(&self, event: EventRef<'_>) -> String {
        format!("{}/{}/{}/{}", self.sender.agent, self.kind, hex(self.epoch), event.event.number)
    }

    fn place(&self) -> Place {
        Place {
            host: self.sender.host.to_string(),
            agent: self.sender.agent.to_string(),
            site: self.sender.site.to_string(),
            system: self.sender.system.to_string(),
        }
    }
}

fn single(rule: &Rule, profile: &Profile, batch: &Batch<'_>, event: EventRef<'_>) -> Finding {
    let header = event.event;
    Finding {
        key: Key {
            rule: profile.family.clone(),
            entity: entity(rule, &Group::new(), batch, event),
        },
        rule: rule_ref(rule),
        total: header.weight,
        weight: header.weight,
        first: header.time,
        last: header.time,
        created: header.created,
        place: batch.place(),
        tags: rule.tags.clone(),
        advice: rule.attributes.advice.clone(),
        evidence: vec![Evidence {
            time: time::rfc3339(header.time),
            agent: batch.sender.agent.to_string(),
            record: batch.record(event),
            text: evidence_text(event),
        }],
    }
}

/// What an alert is about: the rule's `hengwei.entity`, else what its correlation groups by, else the
/// host and the user.
pub(crate) fn entity(rule: &Rule, group: &Group, batch: &Batch<'_>, event: EventRef<'_>) -> Entity {
    let join = |pairs: Vec<(String, String)>| {
        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        Entity::new(names.join("+"), values.join("+"))
    };
    if !rule.attributes.entity.is_empty() {
        let value = |name: &String| {
            let grouped =
                group.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
            (name.clone(), grouped.or_else(|| text_of(event, name)).unwrap_or_default())
        };
        return join(rule.attributes.entity.iter().map(value).collect());
    }
    if !group.is_empty() {
        return join(group.clone());
    }
    let mut pairs = vec![("host.name".to_owned(), batch.sender.host.to_string())];
    if let Some(user) = text_of(event, "user.name") {
        pairs.push(("user.name".to_owned(), user));
    }
    join(pairs)
}

fn rule_ref(rule: &Rule) -> RuleRef {
    RuleRef {
        id: rule.key().to_owned(),
        title: rule.title.clone(),
        title_zh: rule.attributes.title_zh.clone().unwrap_or_default(),
        level: rule.level.as_str().to_owned(),
    }
}

fn evidence_of(reference: &Reference) -> Evidence {
    let agent = reference.locator.split('/').next().unwrap_or_default().to_owned();
    let (time, text) = reference.text.split_once(' ').unwrap_or(("", &reference.text));
    Evidence {
        time: time.to_owned(),
        agent,
        record: reference.locator.clone(),
        text: text.to_owned(),
    }
}

/// The first value of a field as text.
fn text_of(event: EventRef<'_>, name: &str) -> Option<String> {
    event.display(FieldId::of(name)).map(std::borrow::Cow::into_owned)
}

/// The line, or the fields in short, cut to what evidence keeps.
pub(crate) fn evidence_text(event: EventRef<'_>) -> String {
    let mut text = event.text().to_owned();
    if text.is_empty() {
        for (id, _) in event.iter() {
            if text.len() > EVIDENCE_TEXT {
                break;
            }
            let value = event.display(id).unwrap_or_default();
            text.push_str(&format!("{}={value} ", id.name()));
        }
    }
    let mut end = text.trim_end().len().min(EVIDENCE_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
#[path = "detect/tests.rs"]
mod tests;

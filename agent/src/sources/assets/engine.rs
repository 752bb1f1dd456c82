//! When to look at which class, and what to say about it: nothing here reads the host or sends.
//!
//! [`Engine::step`] takes the time and a way to look, and returns chunks. Each chunk carries records
//! and what is to be remembered once they are in the spool, so that a crash loses neither: records
//! that are not in the spool are found again, because what was remembered is still the old state.
//!
//! A snapshot names every item of the classes it covers, then ends with the record of the host
//! itself, which says in `hengwei.asset.complete` how many items each covered class has
//! (`asset.package=412`). Who keeps the inventory may then drop what was not named, provided all of
//! it arrived. A class that could not be read is left out of that list, and so keeps what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::record::text;
use hengwei_protocol::wire::{Field, Fields, Origin, record::Body};

use super::item::{self, Class, Item, Known, Value};
use crate::sources::{Chunk, NewRecord};

/// Records that go to the spool together; more are sent in parts that each leave a true memory.
const MAX_RECORDS: usize = 500;
/// Where the time of the last full snapshot is remembered.
pub(crate) const LAST_SNAPSHOT: &str = "snapshot";
const SECOND: i64 = 1_000_000_000;

/// What a look at a class came to.
#[derive(Debug)]
pub(crate) enum Look {
    /// All items there are.
    Items(Vec<Item>),
    /// The host has nothing of the kind; why.
    Absent(&'static str),
    /// What there is is about to change: look again soon.
    Passing,
    /// It could not be read; why.
    Failed(String),
}

/// How often to look, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cadence {
    /// Between full snapshots.
    pub(crate) snapshot_secs: u64,
    /// Between looks at sockets, interfaces and file systems.
    pub(crate) sockets_secs: u64,
    /// Between looks at everything else, when no file says that it changed.
    pub(crate) others_secs: u64,
}

impl Cadence {
    fn of(&self, class: Class) -> i64 {
        let seconds = match class {
            Class::Socket | Class::Interface | Class::Filesystem => self.sockets_secs,
            _ => self.others_secs,
        };
        nanos(seconds)
    }
}

fn nanos(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND)
}

/// What a step says.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// For the spool, in this order.
    pub(crate) chunks: Vec<Chunk>,
    /// For the operator, by class: what is wrong now, None when nothing is any more.
    pub(crate) reports: Vec<(&'static str, Option<String>)>,
}

/// What is known of the host, and when it was looked at.
#[derive(Debug)]
pub(crate) struct Engine {
    cadence: Cadence,
    remembered: BTreeMap<Class, Bytes>,
    looked: BTreeMap<Class, i64>,
    problems: BTreeMap<Class, String>,
    /// Sockets on passing ports, as of the last look: one is told only when it stays for two.
    passing: BTreeSet<String>,
    last_snapshot: Option<i64>,
    origins: BTreeMap<Class, Arc<Origin>>,
}

impl Engine {
    /// Goes on from what was remembered: keys are datasets, and [`LAST_SNAPSHOT`].
    pub(crate) fn restore(cadence: Cadence, position: impl Fn(&str) -> Option<Bytes>) -> Engine {
        let remembered: BTreeMap<Class, Bytes> = Class::ALL
            .into_iter()
            .filter_map(|class| {
                let bytes = position(class.dataset())?;
                item::recall(class, &bytes).map(|_| (class, bytes))
            })
            .collect();
        let last_snapshot = position(LAST_SNAPSHOT)
            .and_then(|bytes| std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()));
        let sockets = remembered.get(&Class::Socket);
        let sockets = sockets.and_then(|bytes| item::recall(Class::Socket, bytes));
        let passing = sockets.into_iter().flatten().filter(|(_, item)| is_passing(item));
        let passing = passing.map(|(key, _)| key).collect();
        let origin = |class: Class| Origin {
            source: "assets".into(),
            dataset: class.dataset().into(),
            ..Origin::default()
        };
        Engine {
            cadence,
            remembered,
            looked: BTreeMap::new(),
            problems: BTreeMap::new(),
            passing,
            last_snapshot,
            origins: Class::ALL.into_iter().map(|class| (class, Arc::new(origin(class)))).collect(),
        }
    }

    /// Looks at what is due at `now` (Unix nanoseconds) or has `changed`, and says what is different.
    pub(crate) fn step(
        &mut self,
        now: i64,
        changed: &BTreeSet<Class>,
        look: &mut dyn FnMut(Class) -> Look,
    ) -> Step {
        let mut step = Step::default();
        let weekly = self.last_snapshot.is_none_or(|last| {
            let age = now.saturating_sub(last);
            // A clock that was set back must not put the next snapshot off for years.
            age < 0 || age >= nanos(self.cadence.snapshot_secs)
        });
        let mut snapshot: Vec<(Class, Known)> = Vec::new();
        let mut host = None;
        for class in Class::ALL {
            if !(weekly || changed.contains(&class) || self.is_due(class, now)) {
                continue;
            }
            let Some(known) = self.look(class, now, look, &mut step) else { continue };
            self.difference(class, &known, now, &mut step);
            if weekly || !self.remembered.contains_key(&class) {
                snapshot.push((class, known));
            } else if class == Class::Host {
                host = Some(known);
            }
        }
        if !snapshot.is_empty() {
            if snapshot.last().is_some_and(|(class, _)| *class != Class::Host) {
                let known = host.or_else(|| self.look(Class::Host, now, look, &mut step));
                snapshot.extend(known.map(|known| (Class::Host, known)));
            }
            self.snapshot(&snapshot, now, &mut step);
        }
        if weekly {
            self.last_snapshot = Some(now);
            step.chunks.push(Chunk {
                kind: Kind::Asset,
                origin: Arc::clone(&self.origins[&Class::Host]),
                records: Vec::new(),
                position: Some((LAST_SNAPSHOT.into(), now.to_string().into())),
            });
        }
        step
    }

    fn is_due(&self, class: Class, now: i64) -> bool {
        let Some(looked) = self.looked.get(&class) else { return true };
        let age = now.saturating_sub(*looked);
        age < 0 || age >= self.cadence.of(class)
    }

    /// The items of a class now; None when there is nothing to say about it this time.
    fn look(
        &mut self,
        class: Class,
        now: i64,
        look: &mut dyn FnMut(Class) -> Look,
        step: &mut Step,
    ) -> Option<Known> {
        let (known, problem) = match look(class) {
            Look::Passing => return None,
            Look::Items(items) => (Some(item::by_key(items)), None),
            // What was there and is not to be found is not gone: a mount may be missing, or a
            // database being replaced.
            Look::Absent(why) if self.has_items(class) => (None, Some(why.to_owned())),
            Look::Absent(why) => (Some(Known::new()), Some(why.to_owned())),
            Look::Failed(why) => (None, Some(why)),
        };
        self.looked.insert(class, now);
        self.report(class, problem, step);
        let mut known = known?;
        if class == Class::Socket {
            self.withhold_passing(&mut known);
        }
        Some(known)
    }

    fn has_items(&self, class: Class) -> bool {
        let known = self.remembered.get(&class).and_then(|bytes| item::recall(class, bytes));
        known.is_some_and(|known| !known.is_empty())
    }

    fn report(&mut self, class: Class, problem: Option<String>, step: &mut Step) {
        if self.problems.get(&class) == problem.as_ref() {
            return;
        }
        step.reports.push((class.dataset(), problem.clone()));
        match problem {
            Some(problem) => self.problems.insert(class, problem),
            None => self.problems.remove(&class),
        };
    }

    fn withhold_passing(&mut self, known: &mut Known) {
        let now: BTreeSet<String> =
            known.values().filter(|item| is_passing(item)).map(|item| item.key.clone()).collect();
        known.retain(|key, _| !now.contains(key) || self.passing.contains(key));
        self.passing = now;
    }

    /// Says what is different from what is remembered, if anything is remembered.
    fn difference(&mut self, class: Class, after: &Known, now: i64, step: &mut Step) {
        let Some(before) = self.remembered.get(&class) else { return };
        if item::remember(after) == *before {
            return;
        }
        // It was recalled when it was taken in, or written by us since.
        let mut known = item::recall(class, before).unwrap_or_default();
        let found = item::differences(&known, after);
        for part in found.chunks(MAX_RECORDS) {
            part.iter().for_each(|difference| difference.apply(&mut known));
            let records = part.iter().map(|difference| record(now, difference.record())).collect();
            let memory = Bytes::from(item::remember(&known));
            step.chunks.push(self.chunk(class, records, Some(memory.clone())));
            self.remembered.insert(class, memory);
        }
    }

    /// Names everything in these classes; the last of them is the host, whose record closes it.
    fn snapshot(&mut self, classes: &[(Class, Known)], now: i64, step: &mut Step) {
        let id = format!("{now:x}");
        let complete: Vec<String> = classes
            .iter()
            .map(|(class, known)| format!("{}={}", class.dataset(), known.len()))
            .collect();
        for (class, known) in classes {
            let memory = Bytes::from(item::remember(known));
            let items: Vec<&Item> = known.values().collect();
            let parts = items.len().div_ceil(MAX_RECORDS).max(1);
            for part in 0..parts {
                let last = part + 1 == parts;
                let of_part = items.iter().skip(part * MAX_RECORDS).take(MAX_RECORDS);
                let records = of_part.map(|item| {
                    let mut fields = item.record("snapshot");
                    fields.push(text("hengwei.asset.snapshot", id.as_str()));
                    if *class == Class::Host {
                        fields.extend(
                            complete.iter().map(|c| text("hengwei.asset.complete", c.as_str())),
                        );
                    }
                    record(now, fields)
                });
                let chunk = self.chunk(*class, records.collect(), last.then(|| memory.clone()));
                step.chunks.push(chunk);
            }
            self.remembered.insert(*class, memory);
        }
    }

    fn chunk(&self, class: Class, records: Vec<NewRecord>, memory: Option<Bytes>) -> Chunk {
        Chunk {
            kind: Kind::Asset,
            origin: Arc::clone(&self.origins[&class]),
            records,
            position: memory.map(|memory| (class.dataset().to_owned(), memory)),
        }
    }
}

fn is_passing(item: &Item) -> bool {
    item.fields.contains(&("hengwei.socket.ephemeral", Value::Flag(true)))
}

fn record(now: i64, fields: Vec<Field>) -> NewRecord {
    NewRecord {
        time: now,
        created: now,
        body: Some(Body::Fields(Fields { fields })),
        ..NewRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hengwei_protocol::wire::field;
    use std::collections::HashMap;

    const CADENCE: Cadence =
        Cadence { snapshot_secs: 7 * 86400, sockets_secs: 60, others_secs: 300 };
    const START: i64 = 1_800_000_000 * SECOND;

    /// A host that is what the test says, and a spool that keeps positions.
    struct World {
        items: BTreeMap<Class, Vec<Item>>,
        engine: Engine,
        spool: HashMap<String, Bytes>,
        now: i64,
    }

    impl World {
        fn new() -> World {
            let mut items: BTreeMap<Class, Vec<Item>> = BTreeMap::new();
            items.insert(Class::Host, vec![Item::new(Class::Host, "host")]);
            items.insert(Class::User, vec![user("root")]);
            World {
                items,
                engine: Engine::restore(CADENCE, |_| None),
                spool: HashMap::new(),
                now: START,
            }
        }

        fn restart(&mut self) {
            self.engine = Engine::restore(CADENCE, |key| self.spool.get(key).cloned());
        }

        /// `action dataset key` of every record of the next step.
        fn step_after(&mut self, seconds: i64) -> Vec<String> {
            self.now += seconds * SECOND;
            let items = self.items.clone();
            let step = self.engine.step(self.now, &BTreeSet::new(), &mut |class| {
                Look::Items(items.get(&class).cloned().unwrap_or_default())
            });
            self.take(step)
        }

        fn take(&mut self, step: Step) -> Vec<String> {
            let mut said = Vec::new();
            for chunk in step.chunks {
                for record in &chunk.records {
                    let get = |name| field(record, name).join(",");
                    said.push(format!(
                        "{} {} {}",
                        get("event.action"),
                        chunk.origin.dataset,
                        get(item::KEY)
                    ));
                }
                self.spool.extend(chunk.position);
            }
            said
        }
    }

    fn user(name: &str) -> Item {
        Item::new(Class::User, name).text("user.name", name)
    }

    fn socket(port: u64, ephemeral: bool) -> Item {
        Item::new(Class::Socket, &format!("tcp:{port}"))
            .number("server.port", port)
            .flag("hengwei.socket.ephemeral", ephemeral)
    }

    fn field(record: &NewRecord, name: &str) -> Vec<String> {
        let Some(Body::Fields(fields)) = &record.body else { return Vec::new() };
        let fields = fields.fields.iter().filter(|field| field.name == name);
        fields
            .filter_map(|field| match &field.value {
                Some(field::Value::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_first_look_is_a_snapshot_and_then_only_differences() {
        let mut world = World::new();
        let first = world.step_after(0);
        assert_eq!(first, ["snapshot asset.user root", "snapshot asset.host host"]);
        assert!(world.step_after(10).is_empty());
        world.items.insert(Class::User, vec![user("root"), user("wang")]);
        assert!(world.step_after(10).is_empty(), "not due yet");
        assert_eq!(world.step_after(300), ["added asset.user wang"]);
        assert!(world.step_after(300).is_empty(), "said once");
    }

    #[test]
    fn a_change_of_a_file_is_looked_at_at_once() {
        let mut world = World::new();
        world.step_after(0);
        world.items.insert(Class::User, vec![]);
        let step =
            world.engine.step(world.now + SECOND, &BTreeSet::from([Class::User]), &mut |class| {
                assert_eq!(class, Class::User, "nothing else is due");
                Look::Items(vec![])
            });
        assert_eq!(world.take(step), ["removed asset.user root"]);
    }

    #[test]
    fn a_restart_says_only_what_is_different() {
        let mut world = World::new();
        world.step_after(0);
        world.restart();
        assert!(world.step_after(1).is_empty());
        world.items.insert(Class::User, vec![user("li"), user("root")]);
        world.restart();
        assert_eq!(world.step_after(1), ["added asset.user li"], "found although we were stopped");
    }

    #[test]
    fn what_was_not_sent_is_said_again() {
        let mut world = World::new();
        world.step_after(0);
        world.items.insert(Class::User, vec![user("li"), user("root")]);
        let items = world.items.clone();
        let lost = world.engine.step(world.now + 400 * SECOND, &BTreeSet::new(), &mut |class| {
            Look::Items(items.get(&class).cloned().unwrap_or_default())
        });
        assert_eq!(lost.chunks.len(), 1);
        world.restart();
        assert_eq!(world.step_after(401), ["added asset.user li"]);
    }

    #[test]
    fn a_week_later_everything_is_named_again_and_counted() {
        let mut world = World::new();
        world.step_after(0);
        world.items.insert(Class::User, vec![user("li"), user("root")]);
        world.now += 7 * 86400 * SECOND;
        let items = world.items.clone();
        let step = world.engine.step(world.now, &BTreeSet::new(), &mut |class| {
            Look::Items(items.get(&class).cloned().unwrap_or_default())
        });
        let close = step.chunks.iter().flat_map(|chunk| &chunk.records).next_back().unwrap();
        let complete = field(close, "hengwei.asset.complete");
        assert!(complete.contains(&"asset.user=2".to_owned()), "{complete:?}");
        assert!(complete.contains(&"asset.package=0".to_owned()), "{complete:?}");
        assert_eq!(
            world.take(step),
            [
                "added asset.user li",
                "snapshot asset.user li",
                "snapshot asset.user root",
                "snapshot asset.host host"
            ]
        );
        world.restart();
        assert!(world.step_after(60).is_empty(), "the week is remembered");
    }

    #[test]
    fn what_can_not_be_read_is_reported_and_not_removed() {
        let mut world = World::new();
        world.step_after(0);
        let mut reports = Vec::new();
        for look in [true, true, false] {
            world.now += 301 * SECOND;
            let step = world.engine.step(world.now, &BTreeSet::new(), &mut |class| match class {
                Class::User if look => Look::Failed("/etc/passwd: permission denied".into()),
                Class::User => Look::Items(vec![user("root")]),
                Class::Host => Look::Items(vec![Item::new(Class::Host, "host")]),
                _ => Look::Items(vec![]),
            });
            assert!(step.chunks.is_empty());
            reports.extend(step.reports);
        }
        let expected =
            [("asset.user", Some("/etc/passwd: permission denied".into())), ("asset.user", None)];
        assert_eq!(reports, expected, "once when it begins, once when it ends");
    }

    #[test]
    fn a_class_that_was_not_there_gets_a_snapshot_of_its_own() {
        let mut world = World::new();
        let absent = |class| match class {
            Class::Package => Look::Passing,
            Class::Service => Look::Absent("systemd does not run here"),
            Class::Host => Look::Items(vec![Item::new(Class::Host, "host")]),
            _ => Look::Items(vec![]),
        };
        let step = world.engine.step(world.now, &BTreeSet::new(), &mut { absent });
        assert_eq!(step.reports, [("asset.service", Some("systemd does not run here".into()))]);
        let close = step.chunks.iter().flat_map(|chunk| &chunk.records).next_back().unwrap();
        let complete = field(close, "hengwei.asset.complete").join(" ");
        assert!(!complete.contains("asset.package"), "{complete}");
        assert!(complete.contains("asset.service=0"), "{complete}");
        world.take(step);
        world.items.remove(&Class::User);
        world.items.insert(Class::Package, vec![Item::new(Class::Package, "bash")]);
        assert_eq!(
            world.step_after(10),
            ["snapshot asset.package bash", "snapshot asset.host host"],
            "a first sight of a class is no list of additions"
        );
    }

    #[test]
    fn passing_sockets_must_stay_to_be_told() {
        let mut world = World::new();
        world.step_after(0);
        world.items.insert(Class::Socket, vec![socket(22, false), socket(50000, true)]);
        assert_eq!(world.step_after(60), ["added asset.socket tcp:22"]);
        world.items.insert(Class::Socket, vec![socket(22, false), socket(50001, true)]);
        assert!(world.step_after(60).is_empty());
        assert_eq!(world.step_after(60), ["added asset.socket tcp:50001"]);
        world.restart();
        assert!(world.step_after(60).is_empty(), "a restart does not forget that it stayed");
        world.items.insert(Class::Socket, vec![socket(22, false)]);
        assert_eq!(world.step_after(60), ["removed asset.socket tcp:50001"]);
    }

    #[test]
    fn many_differences_go_in_parts_that_each_leave_a_true_memory() {
        let mut world = World::new();
        world.step_after(0);
        let many: Vec<Item> = (0..1200).map(|n| user(&format!("u{n:04}"))).collect();
        world.items.insert(Class::User, many);
        world.now += 301 * SECOND;
        let items = world.items.clone();
        let mut step = world.engine.step(world.now, &BTreeSet::new(), &mut |class| {
            Look::Items(items.get(&class).cloned().unwrap_or_default())
        });
        assert_eq!(step.chunks.len(), 3);
        step.chunks.truncate(1);
        let first = world.take(step);
        assert_eq!(first.len(), MAX_RECORDS);
        world.restart();
        let rest = world.step_after(1);
        assert_eq!(rest.len(), 1201 - MAX_RECORDS, "what a crash kept back, and only that");
        assert!(rest.iter().all(|said| !first.contains(said)));
    }

    #[test]
    fn a_clock_set_back_does_not_stop_looking() {
        let mut world = World::new();
        world.step_after(0);
        world.items.insert(Class::User, vec![user("li"), user("root")]);
        assert!(world.step_after(-86400).contains(&"added asset.user li".to_owned()));
    }

    #[test]
    fn a_damaged_memory_leads_to_a_snapshot() {
        let mut world = World::new();
        world.step_after(0);
        world.spool.insert("asset.user".into(), Bytes::from_static(b"garbage"));
        world.restart();
        assert_eq!(world.step_after(1), ["snapshot asset.user root", "snapshot asset.host host"]);
    }
}

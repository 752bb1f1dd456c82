//! Turns the events of a batch into rows: inventory and its changes, the host, its sources.
//!
//! Rows are written with the batch, so they are as true as it is. [`Observer`] sees batches that are
//! not committed yet, several of which may go into one commit; what history can't show it for that
//! reason (a snapshot half arrived, changes already counted) it keeps in memory, and it finds its
//! way again after a restart from the rows alone.
//!
//! A snapshot of the inventory comes as many records and ends with the record of the host, which
//! says how many items each class has. Rows of a class go only when that many came: if part of the
//! snapshot was dropped on the way, a stale row is better than a missing one.

use std::collections::{BTreeMap, HashMap, HashSet};

use hengwei_protocol::identity::{hex, sha256};
use hengwei_protocol::wire::Origin;
use serde_json::Value as Json;

use super::read;
use super::rows::{Change, Host, Lag, change_key, key, prefix};
use crate::event::{Event, EventRef, Events, Sender};
use crate::history::{Put, tree};
use crate::store::{self, Store};
use crate::time::{SECOND, rfc3339};

/// How often a source's row is written.
pub const SOURCE_EVERY: i64 = 10 * SECOND;
/// How often a host's row is written when only its last sign is new.
pub const HOST_EVERY: i64 = 60 * SECOND;
/// Changes kept of one host's inventory; the oldest go.
const MAX_CHANGES: usize = 1000;
/// Items kept of one host: ten times what a big one has.
const MAX_ITEMS: usize = 50_000;
/// Sources told apart of one host; the rest are one.
const MAX_SOURCES: usize = 512;
/// Datasets told apart of one host.
const MAX_DATASETS: usize = 256;
/// The longest key of an item that is kept as it is.
const MAX_KEY: usize = 2048;
/// The longest path of a source that is kept as it is.
const MAX_PATH: usize = 1024;
/// The dataset of gaps, as decoding names them.
const GAP: &str = "hengwei.gap";

/// What batches said, as far as rows can't tell yet.
#[derive(Debug, Default)]
pub struct Observer {
    agents: HashMap<String, Agent>,
}

#[derive(Debug, Default)]
struct Agent {
    host: Host,
    /// When the host's row was last written; None when never by this process.
    host_put: Option<i64>,
    sources: BTreeMap<(String, String), Source>,
    snapshot: Option<Snapshot>,
    changes: Option<Changes>,
    items: Option<usize>,
    /// The limit of items was told.
    told: bool,
}

#[derive(Debug, Default)]
struct Source {
    lag: Lag,
    put: i64,
    dirty: bool,
}

/// What one batch has of one origin.
#[derive(Debug, Clone, Default)]
struct Heard {
    records: u64,
    last_record: i64,
    /// When the last of them was read at the host.
    created: i64,
    gaps: u64,
    missing: u64,
}

/// A snapshot that is arriving: digests of the keys that came, by class.
#[derive(Debug, Default)]
struct Snapshot {
    id: String,
    came: HashMap<String, HashSet<[u8; 32]>>,
}

/// Rows of changes: how many there are, and up to where they were deleted.
#[derive(Debug, Default)]
struct Changes {
    count: usize,
    deleted: Vec<u8>,
}

impl Observer {
    /// Knows nothing yet.
    pub fn new() -> Observer {
        Observer::default()
    }

    /// What to write with a batch of `sender`, received at `now`, Unix nanoseconds.
    pub fn observe(
        &mut self,
        store: &dyn Store,
        sender: &Sender,
        events: &Events,
        now: i64,
    ) -> Vec<Put> {
        let agent = self
            .agents
            .entry(sender.agent.to_string())
            .or_insert_with(|| Agent::recall(store, &sender.agent, now));
        let mut puts = Vec::new();
        let mut changes: Vec<(Vec<u8>, Change)> = Vec::new();
        let before = agent.host.clone();
        let mut heard = vec![Heard::default(); events.origins.len()];
        let mut dataset = "";
        for (index, event) in events.events.iter().enumerate() {
            if let Some(heard) = heard.get_mut(event.origin as usize) {
                heard.take(event);
            }
            // Most batches are runs of few datasets, and of most events no more is wanted.
            if event.dataset != dataset {
                dataset = event.dataset;
                agent.dataset(dataset, now);
            }
            let item = event.dataset.strip_prefix("asset.");
            if item.is_none() && event.dataset != GAP {
                continue;
            }
            let Some(event) = events.get(index, sender) else { continue };
            if let Some(item) = item {
                agent.asset(store, sender, &event, item, &mut puts, &mut changes);
            } else if let Some(heard) = heard.get_mut(event.event.origin as usize) {
                heard.gap(&event);
            }
        }
        for (origin, heard) in events.origins.iter().zip(&heard) {
            if heard.records > 0 {
                agent.source(store, sender, origin, heard, now);
            }
        }
        agent.host.agent = sender.agent.to_string();
        agent.host.host = sender.host.to_string();
        agent.host.site = sender.site.to_string();
        agent.host.system = sender.system.to_string();
        agent.host.last_seen = agent.host.last_seen.max(now);
        agent.put_host(&before, now, &mut puts);
        agent.put_changes(store, &sender.agent, changes, &mut puts);
        agent.put_sources(
            &sender.agent,
            |source| now.saturating_sub(source.put) >= SOURCE_EVERY,
            now,
            &mut puts,
        );
        puts
    }

    /// What was held back to write less often: at times, and before stopping.
    pub fn flush(&mut self, now: i64) -> Vec<Put> {
        let mut puts = Vec::new();
        for (id, agent) in &mut self.agents {
            if agent.host_put.is_some_and(|put| put < agent.host.last_seen) {
                agent.host_put = Some(now);
                puts.push(store::put(tree::HOSTS, id.clone().into_bytes(), &agent.host));
            }
            agent.put_sources(id, |_| true, now, &mut puts);
        }
        puts
    }

    /// Forgets an agent whose rows were removed.
    pub fn forget(&mut self, agent: &str) {
        self.agents.remove(agent);
    }
}

impl Heard {
    fn take(&mut self, event: &Event) {
        self.records += 1;
        self.last_record = self.last_record.max(event.time);
        self.created = event.created;
    }

    fn gap(&mut self, event: &EventRef<'_>) {
        self.gaps += 1;
        let missing = read::number(event, "hengwei.gap.records").unwrap_or_default();
        self.missing = self.missing.saturating_add(missing.max(0.0) as u64);
    }
}

impl Agent {
    fn recall(store: &dyn Store, agent: &str, now: i64) -> Agent {
        let host = store::get::<Host>(store, tree::HOSTS, agent.as_bytes());
        let host = host.unwrap_or_else(|| Host { first_seen: now, ..Host::default() });
        Agent { host, ..Agent::default() }
    }

    fn dataset(&mut self, dataset: &str, now: i64) {
        if let Some(last) = self.host.datasets.get_mut(dataset) {
            *last = now;
        } else if self.host.datasets.len() < MAX_DATASETS {
            self.host.datasets.insert(dataset.to_owned(), now);
        }
    }

    fn source(
        &mut self,
        store: &dyn Store,
        sender: &Sender,
        origin: &Origin,
        heard: &Heard,
        now: i64,
    ) {
        let mut name = (plain(&origin.source), plain(&origin.path));
        if !self.sources.contains_key(&name) {
            if self.sources.len() >= MAX_SOURCES {
                name = ("other".to_owned(), String::new());
            }
            let known = key(&[&sender.agent, &name.0, &name.1]);
            let mut lag: Lag = store::get(store, tree::SOURCES, &known).unwrap_or_default();
            (lag.source, lag.path) = name.clone();
            self.sources.entry(name.clone()).or_insert(Source { lag, put: 0, dirty: false });
        }
        let source = self.sources.entry(name).or_default();
        source.dirty = true;
        source.lag.records += heard.records;
        source.lag.last_record = source.lag.last_record.max(heard.last_record);
        source.lag.last_received = now;
        source.lag.lag = now.saturating_sub(heard.created).max(0);
        source.lag.gaps += heard.gaps;
        source.lag.missing = source.lag.missing.saturating_add(heard.missing);
    }

    fn asset(
        &mut self,
        store: &dyn Store,
        sender: &Sender,
        event: &EventRef<'_>,
        item: &str,
        puts: &mut Vec<Put>,
        changes: &mut Vec<(Vec<u8>, Change)>,
    ) {
        let name = read::text(event, "hengwei.asset.key");
        let action = read::text(event, "event.action");
        if name.is_empty() {
            return;
        }
        self.attributes(item, event);
        let row_key = item_key(&sender.agent, item, &name);
        let snapshot = read::text(event, "hengwei.asset.snapshot");
        match action.as_str() {
            "removed" => {
                // What is not there makes no room by going.
                if store.get(tree::INVENTORY, &row_key).is_some() {
                    self.items = self.items.map(|items| items.saturating_sub(1));
                }
                puts.push(store::remove(tree::INVENTORY, row_key));
            }
            "snapshot" | "added" | "changed" => {
                if !self.has_room(store, &sender.agent, &row_key) {
                    return;
                }
                if action == "snapshot" {
                    self.came(&snapshot, item, &row_key);
                }
                let mut fields = read::object(event, |name| {
                    name != "event.action"
                        && name != "event.dataset"
                        && !name.starts_with("hengwei.asset.")
                });
                fields.insert("hengwei.asset.key".into(), name.clone().into());
                fields.insert("hengwei.asset.seen".into(), rfc3339(event.event.time).into());
                if !snapshot.is_empty() {
                    fields.insert("hengwei.asset.snapshot".into(), snapshot.clone().into());
                }
                puts.push(store::put(tree::INVENTORY, row_key, &fields));
            }
            _ => return,
        }
        if action != "snapshot" {
            let change = Change {
                time: rfc3339(event.event.time),
                item: item.to_owned(),
                key: name,
                action,
                changed: read::texts(event, "hengwei.asset.changed"),
                previous: read::texts(event, "hengwei.asset.previous"),
            };
            let at = change_key(&sender.agent, event.event.time, event.event.number);
            changes.push((at, change));
        } else if item == "host" {
            self.close(store, sender, event, &snapshot, puts, changes);
        }
    }

    /// What a host's own page and list say of it.
    fn attributes(&mut self, item: &str, event: &EventRef<'_>) {
        let wanted: &mut [(&mut String, &str)] = match item {
            "os" => &mut [
                (&mut self.host.os, "host.os.name"),
                (&mut self.host.kernel, "host.os.kernel"),
                (&mut self.host.architecture, "host.architecture"),
            ],
            "host" => &mut [(&mut self.host.architecture, "host.architecture")],
            _ => return,
        };
        for (field, name) in wanted {
            let value = read::text(event, name);
            if !value.is_empty() {
                **field = value;
            }
        }
    }

    fn has_room(&mut self, store: &dyn Store, agent: &str, row_key: &[u8]) -> bool {
        let items = *self.items.get_or_insert_with(|| count(store, tree::INVENTORY, agent));
        if store.get(tree::INVENTORY, row_key).is_some() {
            return true;
        }
        if items >= MAX_ITEMS {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    agent,
                    "more than {MAX_ITEMS} items of inventory: the rest is left out"
                );
            }
            return false;
        }
        self.items = Some(items + 1);
        true
    }

    fn came(&mut self, id: &str, item: &str, row_key: &[u8]) {
        if self.snapshot.as_ref().is_none_or(|snapshot| snapshot.id != id) {
            self.snapshot = Some(Snapshot { id: id.to_owned(), came: HashMap::new() });
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.came.entry(item.to_owned()).or_default().insert(sha256(row_key));
        }
    }

    /// The snapshot is over: rows of the classes it covers that it did not name are stale.
    fn close(
        &mut self,
        store: &dyn Store,
        sender: &Sender,
        event: &EventRef<'_>,
        id: &str,
        puts: &mut Vec<Put>,
        changes: &mut Vec<(Vec<u8>, Change)>,
    ) {
        let snapshot = self.snapshot.take().unwrap_or_default();
        for complete in read::texts(event, "hengwei.asset.complete") {
            let Some((dataset, expected)) = complete.split_once('=') else { continue };
            let (Some(item), Ok(expected)) =
                (dataset.strip_prefix("asset."), expected.parse::<usize>())
            else {
                continue;
            };
            let empty = HashSet::new();
            let came = snapshot.came.get(item).unwrap_or(&empty);
            let (mut named, mut stale) = (came.len(), Vec::new());
            let of_item = key(&[&sender.agent, item, ""]);
            store.scan(tree::INVENTORY, &of_item, &mut |row_key, value| {
                if !came.contains(&sha256(row_key)) {
                    // Named by a part that was committed before this process started?
                    if row_snapshot(value).as_deref() == Some(id) {
                        named += 1;
                    } else {
                        stale.push((row_key.to_vec(), value.to_vec()));
                    }
                }
                true
            });
            if named < expected {
                continue;
            }
            for (row_key, value) in stale {
                let name = row_name(&value).unwrap_or_default();
                let n = event.event.number.wrapping_shl(32).wrapping_add(changes.len() as u64);
                let change = Change {
                    time: rfc3339(event.event.time),
                    item: item.to_owned(),
                    key: name,
                    action: "removed".to_owned(),
                    ..Change::default()
                };
                changes.push((change_key(&sender.agent, event.event.time, n), change));
                puts.push(store::remove(tree::INVENTORY, row_key));
                self.items = self.items.map(|items| items.saturating_sub(1));
            }
        }
    }

    fn put_host(&mut self, before: &Host, now: i64, puts: &mut Vec<Put>) {
        // Times move with every batch; anything else is worth a row at once.
        let new_dataset = before.datasets.len() != self.host.datasets.len();
        let still = Host {
            last_seen: self.host.last_seen,
            datasets: self.host.datasets.clone(),
            ..before.clone()
        };
        let due = self.host_put.is_none_or(|put| now.saturating_sub(put) >= HOST_EVERY);
        if due || new_dataset || still != self.host {
            self.host_put = Some(now);
            puts.push(store::put(tree::HOSTS, self.host.agent.clone().into_bytes(), &self.host));
        }
    }

    fn put_changes(
        &mut self,
        store: &dyn Store,
        agent: &str,
        mut new: Vec<(Vec<u8>, Change)>,
        puts: &mut Vec<Put>,
    ) {
        if new.is_empty() {
            return;
        }
        new.drain(..new.len().saturating_sub(MAX_CHANGES));
        let changes = self.changes.get_or_insert_with(|| Changes {
            count: count(store, tree::INVENTORY_CHANGES, agent),
            deleted: Vec::new(),
        });
        let mut excess = (changes.count + new.len()).saturating_sub(MAX_CHANGES);
        changes.count += new.len();
        puts.extend(
            new.iter().map(|(at, change)| store::put(tree::INVENTORY_CHANGES, at.clone(), change)),
        );
        if excess > 0 {
            store.scan(tree::INVENTORY_CHANGES, &prefix(agent), &mut |at, _| {
                if at > changes.deleted.as_slice() {
                    puts.push(store::remove(tree::INVENTORY_CHANGES, at));
                    changes.deleted = at.to_vec();
                    changes.count -= 1;
                    excess -= 1;
                }
                excess > 0
            });
        }
    }

    fn put_sources(
        &mut self,
        agent: &str,
        due: impl Fn(&Source) -> bool,
        now: i64,
        puts: &mut Vec<Put>,
    ) {
        for ((name, path), source) in &mut self.sources {
            if source.dirty && due(source) {
                source.dirty = false;
                source.put = now;
                puts.push(store::put(tree::SOURCES, key(&[agent, name, path]), &source.lag));
            }
        }
    }
}

/// A name as part of a key: bounded, and without the byte that separates parts.
fn plain(text: &str) -> String {
    let mut end = text.len().min(MAX_PATH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}

fn item_key(agent: &str, item: &str, name: &str) -> Vec<u8> {
    if name.len() <= MAX_KEY {
        key(&[agent, item, name])
    } else {
        key(&[agent, item, &hex(&sha256(name.as_bytes()))])
    }
}

fn row_snapshot(value: &[u8]) -> Option<String> {
    let row: Json = serde_json::from_slice(value).ok()?;
    row.get("hengwei.asset.snapshot")?.as_str().map(str::to_owned)
}

fn row_name(value: &[u8]) -> Option<String> {
    let row: Json = serde_json::from_slice(value).ok()?;
    row.get("hengwei.asset.key")?.as_str().map(str::to_owned)
}

fn count(store: &dyn Store, tree: &'static str, agent: &str) -> usize {
    let mut count = 0;
    store.scan(tree, &prefix(agent), &mut |_, _| {
        count += 1;
        true
    });
    count
}

#[cfg(test)]
mod tests;

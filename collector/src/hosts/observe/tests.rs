//! Batches of one agent, into rows.

use super::super::read::fake::{add, sender};
use super::*;
use crate::store::fake::Fake;
use serde_json::json;

const START: i64 = 1_800_000_000 * SECOND;

/// Batches of one agent into one history.
struct World {
    store: Fake,
    observer: Observer,
    now: i64,
}

impl World {
    fn new() -> World {
        World { store: Fake::default(), observer: Observer::new(), now: START }
    }

    fn batch(&mut self, events: &[(&'static str, Json)]) -> Vec<Put> {
        let mut batch = Events::default();
        for (dataset, fields) in events {
            add(&mut batch, dataset, self.now, fields.clone());
        }
        self.now += SECOND;
        self.observer.observe(&self.store, &sender("his-01"), &batch, self.now)
    }

    fn commit(&mut self, events: &[(&'static str, Json)]) {
        let puts = self.batch(events);
        self.store.apply(puts);
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(self.store.keys(tree::INVENTORY), expected);
    }
}

fn package(action: &str, name: &str, snapshot: &str) -> (&'static str, Json) {
    let mut fields = json!({
        "event.action": action, "hengwei.asset.key": name, "package.name": name,
    });
    if !snapshot.is_empty() {
        fields["hengwei.asset.snapshot"] = snapshot.into();
    }
    ("asset.package", fields)
}

fn close(snapshot: &str, complete: &[&str]) -> (&'static str, Json) {
    let fields = json!({
        "event.action": "snapshot", "hengwei.asset.key": "host", "host.name": "his-01",
        "hengwei.asset.snapshot": snapshot, "hengwei.asset.complete": complete,
    });
    ("asset.host", fields)
}

#[test]
fn items_come_change_and_go() {
    let mut world = World::new();
    world.commit(&[package("snapshot", "bash", "1"), package("added", "vim", "")]);
    world.check(&["his-01|package|bash", "his-01|package|vim"]);
    world.commit(&[
        (
            "asset.package",
            json!({
                "event.action": "changed", "hengwei.asset.key": "bash", "package.version": "2",
                "hengwei.asset.changed": ["package.version"],
                "hengwei.asset.previous": ["package.version=1"],
            }),
        ),
        package("removed", "vim", ""),
    ]);
    world.check(&["his-01|package|bash"]);
    let row = &world.store.values(tree::INVENTORY)[0];
    assert_eq!(row["package.version"], "2");
    assert_eq!(row.get("event.action"), None);
    let changes: Vec<Change> = world
        .store
        .values(tree::INVENTORY_CHANGES)
        .into_iter()
        .map(|row| serde_json::from_value(row).unwrap())
        .collect();
    let actions: Vec<&str> = changes.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(actions, ["added", "changed", "removed"], "a snapshot is no change");
    assert_eq!(changes[1].previous, ["package.version=1"]);
}

#[test]
fn a_complete_snapshot_removes_what_it_did_not_name() {
    let mut world = World::new();
    world.commit(&[
        package("added", "stale", ""),
        (
            "asset.user",
            json!({
                "event.action": "added", "hengwei.asset.key": "root",
            }),
        ),
    ]);
    world.commit(&[package("snapshot", "a", "s1")]);
    world.commit(&[package("snapshot", "b", "s1"), close("s1", &["asset.package=2"])]);
    world.check(&["his-01|host|host", "his-01|package|a", "his-01|package|b", "his-01|user|root"]);
    let last = world.store.values(tree::INVENTORY_CHANGES).pop().unwrap();
    assert_eq!((last["action"].as_str(), last["key"].as_str()), (Some("removed"), Some("stale")));
}

#[test]
fn batches_of_one_commit_make_one_snapshot() {
    let mut world = World::new();
    world.commit(&[package("added", "stale", "")]);
    let mut puts = world.batch(&[package("snapshot", "a", "s1")]);
    puts.extend(world.batch(&[package("snapshot", "b", "s1"), close("s1", &["asset.package=2"])]));
    world.store.apply(puts);
    world.check(&["his-01|host|host", "his-01|package|a", "his-01|package|b"]);
}

#[test]
fn a_restart_in_the_middle_of_a_snapshot_finishes_it_from_rows() {
    let mut world = World::new();
    world.commit(&[package("added", "stale", ""), package("snapshot", "a", "s1")]);
    world.observer = Observer::new();
    world.commit(&[package("snapshot", "b", "s1"), close("s1", &["asset.package=2"])]);
    world.check(&["his-01|host|host", "his-01|package|a", "his-01|package|b"]);
}

#[test]
fn a_snapshot_with_a_hole_removes_nothing() {
    let mut world = World::new();
    world.commit(&[package("added", "old", "")]);
    world.commit(&[
        package("snapshot", "a", "s1"),
        close("s1", &["asset.package=2", "rubbish", "asset.user=x"]),
    ]);
    world.check(&["his-01|host|host", "his-01|package|a", "his-01|package|old"]);
}

#[test]
fn another_agent_is_not_touched() {
    let mut world = World::new();
    let mut other = Events::default();
    let (dataset, fields) = package("added", "theirs", "");
    add(&mut other, dataset, START, fields);
    let puts = world.observer.observe(&world.store, &sender("his-012"), &other, START);
    world.store.apply(puts);
    world.commit(&[close("s1", &["asset.package=0"])]);
    world.check(&["his-01|host|host", "his-012|package|theirs"]);
}

#[test]
fn changes_are_bounded_and_the_oldest_go() {
    let mut world = World::new();
    let names: Vec<String> = (0..600).map(|n| format!("p{n:03}")).collect();
    let added: Vec<_> = names.iter().map(|name| package("added", name, "")).collect();
    let removed: Vec<_> = names.iter().map(|name| package("removed", name, "")).collect();
    world.commit(&added);
    // Two batches in one commit must not delete the same rows twice.
    let mut puts = world.batch(&removed[..300]);
    puts.extend(world.batch(&removed[300..]));
    world.store.apply(puts);
    let rows = world.store.values(tree::INVENTORY_CHANGES);
    assert_eq!(rows.len(), MAX_CHANGES);
    assert_eq!(rows[0]["key"], "p200");
    assert_eq!(rows[MAX_CHANGES - 1]["action"], "removed");
    world.commit(&[&added[..], &added[..], &added[..]].concat());
    assert_eq!(world.store.values(tree::INVENTORY_CHANGES).len(), MAX_CHANGES);
}

#[test]
fn a_host_is_written_when_it_changes_and_else_by_the_minute() {
    let mut world = World::new();
    let hosts = |puts: &[Put]| puts.iter().filter(|put| put.tree == tree::HOSTS).count();
    let cpu = [("perf.cpu", json!({"system.cpu.cores": 2}))];
    assert_eq!(hosts(&world.batch(&cpu)), 1);
    assert_eq!(hosts(&world.batch(&cpu)), 0);
    let os = json!({"event.action": "snapshot", "hengwei.asset.key": "os",
        "host.os.name": "Debian 12", "host.os.kernel": "6.1", "host.architecture": "x86_64"});
    assert_eq!(hosts(&world.batch(&[("asset.os", os)])), 1);
    assert_eq!(hosts(&world.batch(&cpu)), 0);
    world.now += HOST_EVERY;
    let puts = world.batch(&cpu);
    assert_eq!(hosts(&puts), 1);
    world.store.apply(puts);
    let host: Host = serde_json::from_value(world.store.values(tree::HOSTS).remove(0)).unwrap();
    assert_eq!((host.os.as_str(), host.kernel.as_str()), ("Debian 12", "6.1"));
    assert_eq!((host.system.as_str(), host.host.as_str()), ("health-card", "his-01.lan"));
    assert_eq!(host.last_seen, world.now);
    assert!(host.datasets.contains_key("asset.os") && host.first_seen > START);
    world.observer = Observer::new();
    world.commit(&cpu);
    let again: Host = serde_json::from_value(world.store.values(tree::HOSTS).remove(0)).unwrap();
    assert_eq!((again.first_seen, again.os), (host.first_seen, host.os), "a restart keeps it");
}

#[test]
fn sources_count_and_are_written_every_ten_seconds() {
    let mut world = World::new();
    let cpu = ("perf.cpu", json!({"system.cpu.cores": 2}));
    let gap = ("hengwei.gap", json!({"hengwei.gap.records": 40}));
    let sources = |puts: &[Put]| puts.iter().filter(|put| put.tree == tree::SOURCES).count();
    let puts = world.batch(&[cpu.clone(), cpu.clone()]);
    assert_eq!(sources(&puts), 1);
    world.store.apply(puts);
    let puts = world.batch(&[cpu.clone(), gap]);
    assert_eq!(sources(&puts), 0, "too soon");
    let flushed = world.observer.flush(world.now);
    assert_eq!(sources(&flushed), 1);
    assert!(world.observer.flush(world.now).is_empty());
    world.store.apply(flushed);
    world.observer = Observer::new();
    world.commit(&[cpu]);
    let lag: Lag = serde_json::from_value(world.store.values(tree::SOURCES).remove(0)).unwrap();
    assert_eq!((lag.records, lag.gaps, lag.missing, lag.lag), (5, 1, 40, SECOND));
    assert_eq!(world.store.keys(tree::SOURCES), ["his-01|performance|"]);
}

#[test]
fn one_item_can_not_fill_the_index() {
    let mut world = World::new();
    let long = "x".repeat(1 << 20);
    let members: Vec<String> = (0..1000).map(|n| format!("{n:0100}")).collect();
    let fields = json!({"event.action": "changed", "hengwei.asset.key": "all",
        "hengwei.group.members": members, "group.id": "9", "group.name": long,
        "hengwei.asset.previous": members});
    world.commit(&[("asset.group", fields)]);
    let row = &world.store.values(tree::INVENTORY)[0];
    assert_eq!(row["group.id"], "9");
    assert!(row.to_string().len() < 64 << 10 && row.get("group.name").is_none());
    assert!(world.store.values(tree::INVENTORY_CHANGES)[0].to_string().len() < 64 << 10);
}

#[test]
fn hostile_names_stay_inside_their_host() {
    let mut world = World::new();
    let long = "x".repeat(10_000);
    world.commit(&[
        package("added", &long, ""),
        package("added", "a\0b\nc", ""),
        package("nonsense", "x", ""),
        package("added", "", ""),
    ]);
    let keys = world.store.keys(tree::INVENTORY);
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.starts_with("his-01|package|") && key.len() < 100));
}

#[test]
fn what_is_not_there_makes_no_room_by_going() {
    let mut world = World::new();
    world.commit(&[package("added", "bash", ""), package("added", "vim", "")]);
    world.commit(&[package("removed", "emacs", ""), package("removed", "vim", "")]);
    assert_eq!(world.observer.agents["his-01"].items, Some(1));
}

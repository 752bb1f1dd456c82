//! The watch over hosts that come, go and fill up.

use super::*;
use crate::hosts::fleet::Filesystem;
use crate::systems::{Missing, Silent};
use hengwei_protocol::wire::field::Value;

const START: i64 = 1_800_000_000 * SECOND;
const MINUTE: i64 = 60 * SECOND;
const GIB: f64 = 1_073_741_824.0;

/// A watch over a world the test changes.
struct World {
    watch: Watch,
    view: View,
    now: i64,
}

impl World {
    /// One agent, connected.
    fn new() -> World {
        let live = Live {
            host: "h".into(),
            site: "s".into(),
            system: "card".into(),
            connected: true,
            last_seen: START,
            ..Live::default()
        };
        let hosts = BTreeMap::from([("his-01".to_owned(), live)]);
        let view = View { started: START - 3600 * SECOND, hosts, ..View::default() };
        World { watch: Watch::new(None), view, now: START }
    }

    fn host(&mut self) -> &mut Live {
        self.view.hosts.get_mut("his-01").unwrap()
    }

    fn gone(&mut self, orderly: bool) {
        let now = self.now;
        let host = self.host();
        (host.connected, host.orderly, host.last_seen) = (false, orderly, now);
    }

    fn back(&mut self) {
        let now = self.now;
        let host = self.host();
        (host.connected, host.orderly, host.last_seen) = (true, false, now);
    }

    fn restart(&mut self) {
        let state = self.watch.state();
        self.watch = Watch::new(Some(&state));
        self.view.started = self.now;
        let host = self.host();
        (host.connected, host.orderly) = (false, false);
    }

    /// Time passes; `dataset action` of what is told.
    fn after(&mut self, nanos: i64, expected: &[&str]) -> Vec<Own> {
        self.now += nanos;
        let told = self.watch.check(&self.view, self.now);
        let said: Vec<String> = told
            .iter()
            .map(|own| format!("{} {}", own.dataset, value(own, "event.action")))
            .collect();
        assert_eq!(said, expected);
        told
    }
}

fn value(own: &Own, name: &str) -> String {
    let field = own.fields.iter().find(|field| field.name == name);
    match field.and_then(|field| field.value.clone()) {
        Some(Value::Text(text)) => text,
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_silent_agent_is_told_once_a_day_and_when_it_is_back() {
    let mut world = World::new();
    world.after(0, &[]);
    world.gone(false);
    world.after(4 * MINUTE, &[]);
    let told = world.after(MINUTE, &["hengwei.agent silent"]);
    assert_eq!(told[0].kind, Kind::Security);
    for (name, expected) in [
        ("hengwei.subject.agent", "his-01"),
        ("hengwei.subject.site", "s"),
        ("hengwei.subject.system", "card"),
        ("hengwei.agent.last_seen", "2027-01-15T08:00:00Z"),
        ("hengwei.condition.since", "2027-01-15T08:05:00Z"),
    ] {
        assert_eq!(value(&told[0], name), expected, "{name}");
    }
    world.after(MINUTE, &[]);
    world.after(23 * 60 * MINUTE, &[]);
    let again = world.after(60 * MINUTE, &["hengwei.agent silent"]);
    assert_eq!(value(&again[0], "hengwei.condition.since"), "2027-01-15T08:05:00Z");
    world.back();
    world.after(MINUTE, &["hengwei.agent back"]);
    world.after(MINUTE, &[]);
}

#[test]
fn an_orderly_stop_is_no_silence_even_over_a_restart() {
    let mut world = World::new();
    world.gone(true);
    world.after(60 * MINUTE, &[]);
    world.restart();
    world.after(60 * MINUTE, &[]);
    world.back();
    world.after(MINUTE, &[]);
    world.gone(false);
    world.after(5 * MINUTE, &["hengwei.agent silent"]);
}

#[test]
fn a_restart_of_the_collector_gives_agents_time() {
    let mut world = World::new();
    world.now += 10 * 60 * MINUTE;
    world.restart();
    world.after(4 * MINUTE, &[]);
    world.back();
    world.after(2 * MINUTE, &[]);
}

#[test]
fn a_restart_neither_repeats_nor_forgets() {
    let mut world = World::new();
    world.gone(false);
    world.after(5 * MINUTE, &["hengwei.agent silent"]);
    world.restart();
    world.after(MINUTE, &[]);
    world.after(5 * MINUTE, &[]);
    world.back();
    world.after(MINUTE, &["hengwei.agent back"]);
}

#[test]
fn an_agent_that_never_came_or_was_revoked_is_not_silent() {
    let mut world = World::new();
    world.gone(false);
    world.host().last_seen = 0;
    world.after(60 * MINUTE, &[]);
    world.gone(false);
    world.after(5 * MINUTE, &["hengwei.agent silent"]);
    world.view.hosts.clear();
    world.after(MINUTE, &[]);
    assert_eq!(world.watch.state, State::default());
}

#[test]
fn a_clock_has_two_limits() {
    let mut world = World::new();
    for (offset, expected) in [
        (59, &[][..]),
        (-61, &["hengwei.agent clock-skew"]),
        (50, &[]),
        (61, &[]),
        (-44, &["hengwei.agent clock-right"]),
        (50, &[]),
    ] {
        world.host().clock_offset = Some(offset * SECOND);
        world.after(MINUTE, expected);
    }
    world.host().clock_offset = Some(i64::MIN);
    let told = world.after(MINUTE, &["hengwei.agent clock-skew"]);
    assert!(value(&told[0], "hengwei.clock.offset_seconds").starts_with("-9223372036"));
}

#[test]
fn disks_have_two_limits_in_two_units() {
    let check = |size: f64, avail: f64, expected: Holds| {
        let disk = Disk { path: "/".into(), size_bytes: size, avail_bytes: avail };
        assert_eq!(low(&disk), expected, "{avail} of {size}");
    };
    check(100.0 * GIB, 9.9 * GIB, Holds::Yes);
    check(100.0 * GIB, 11.0 * GIB, Holds::AsBefore);
    check(100.0 * GIB, 12.1 * GIB, Holds::No);
    check(5.0 * GIB, 0.99 * GIB, Holds::Yes);
    check(5.0 * GIB, 1.1 * GIB, Holds::AsBefore);
    check(5.0 * GIB, 1.3 * GIB, Holds::No);
    check(0.5 * GIB, 0.4 * GIB, Holds::No);
    check(0.5 * GIB, 0.04 * GIB, Holds::Yes);
    check(0.0, 0.0, Holds::AsBefore);
    check(f64::NAN, 1.0, Holds::AsBefore);
}

#[test]
fn a_host_and_the_collector_tell_of_their_disks() {
    let mut world = World::new();
    let now = world.now;
    world.host().performance.time = now;
    let nearly = Filesystem { time: now, size_bytes: 100.0 * GIB, avail_bytes: GIB };
    world.host().performance.filesystems.insert("/data".into(), nearly);
    world.view.disks =
        vec![Disk { path: "/var/lib/hengwei".into(), size_bytes: 100.0 * GIB, avail_bytes: GIB }];
    let told = world.after(MINUTE, &["hengwei.disk low", "hengwei.disk low"]);
    assert_eq!(value(&told[0], "hengwei.subject.agent"), "his-01");
    assert_eq!(value(&told[0], "system.filesystem.mount_point"), "/data");
    assert_eq!(value(&told[1], "hengwei.subject.agent"), "collector");
    world.view.disks[0].avail_bytes = 50.0 * GIB;
    // The host stopped measuring: nothing new is known of its disk.
    world.host().performance.filesystems.get_mut("/data").unwrap().avail_bytes = 50.0 * GIB;
    world.after(10 * MINUTE, &["hengwei.disk recovered"]);
    let now = world.now;
    world.host().performance.time = now;
    world.after(MINUTE, &["hengwei.disk recovered"]);
}

#[test]
fn what_fills_is_told_days_ahead_and_when_there_is_room_again() {
    let mut world = World::new();
    let day = 24 * 60 * MINUTE;
    let limit = |days_left| Limit {
        name: "log",
        bytes: 90,
        max_bytes: 100,
        bytes_per_day: 5,
        days_left,
        warn_days: 7,
    };
    let mut left = |days_left, after, expected: &[&str]| {
        world.view.limits = vec![limit(days_left)];
        world.after(after, expected)
    };
    left(None, 0, &[]);
    left(Some(8), MINUTE, &[]);
    let told = left(Some(7), MINUTE, &["hengwei.history filling"]);
    assert_eq!(told[0].kind, Kind::Log);
    for (name, expected) in [
        ("hengwei.history.limit", "log"),
        ("hengwei.history.bytes", "90"),
        ("hengwei.history.max_bytes", "100"),
        ("hengwei.history.bytes_per_day", "5"),
        ("hengwei.history.days_left", "7"),
    ] {
        assert_eq!(value(&told[0], name), expected, "{name}");
    }
    left(Some(8), MINUTE, &[]);
    left(Some(6), day, &["hengwei.history filling"]);
    left(Some(9), MINUTE, &["hengwei.history room"]);
    left(Some(0), MINUTE, &["hengwei.history filling"]);
    left(None, MINUTE, &["hengwei.history room"]);
}

#[test]
fn coverage_is_told_when_it_begins_and_ends() {
    let mut world = World::new();
    let whole = Coverage {
        system: "card".into(),
        expected: Some(2),
        seen: 2,
        reporting: 2,
        ..Coverage::default()
    };
    let silent = Silent {
        agent: "his-02".into(),
        site: "s2".into(),
        since: "2027-01-15T07:00:00Z".into(),
        orderly: false,
    };
    let partly = Coverage { reporting: 1, silent: vec![silent.clone()], ..whole.clone() };
    world.view.coverage = vec![partly.clone()];
    let told = world.after(MINUTE, &["hengwei.coverage incomplete"]);
    assert_eq!(value(&told[0], "hengwei.subject.system"), "card");
    assert_eq!(value(&told[0], "hengwei.coverage.expected"), "2");
    assert!(value(&told[0], "hengwei.coverage.text").starts_with("1 of 2 reporting: silent since"));
    world.after(MINUTE, &[]);
    world.view.coverage = vec![whole.clone()];
    world.after(MINUTE, &["hengwei.coverage complete"]);
    let stopped = Silent { orderly: true, ..silent };
    world.view.coverage = vec![Coverage { silent: vec![stopped], ..partly.clone() }];
    world.after(MINUTE, &[]);
    world.view.coverage = vec![Coverage { seen: 0, never: 2, ..Coverage::default() }];
    world.after(MINUTE, &[]);
    let lacking = Missing { member: "s".into(), datasets: vec!["sshd".into()] };
    world.view.coverage = vec![Coverage { missing: vec![lacking], ..whole }];
    world.after(MINUTE, &["hengwei.coverage incomplete"]);
    world.view.coverage = vec![partly];
    world.restart();
    world.back();
    world.after(9 * MINUTE, &[]);
}

#[test]
fn a_state_that_can_not_be_read_is_as_good_as_none() {
    assert_eq!(Watch::new(Some(b"rubbish")).state, State::default());
    assert_eq!(Watch::new(Some(b"{\"active\": 7}")).state, State::default());
}

//! What the collector itself sees: agents silent, clocks off, disks nearly full, coverage incomplete.
//!
//! In: a [`View`] of the fleet, taken every half minute or so, and the time. Out: records of the
//! collector's own ([`Own`]), which go the way of all records, through the rules that make alerts of
//! them. Nothing here reads a clock, a disk or history, and nothing raises an alert.
//!
//! Each condition is told once when it begins and once when it ends, and again each day that it
//! lasts. What was told is kept as [`Watch::state`] by the caller, in the same commit as the records
//! and whenever else it changed, so that a restart neither repeats nor forgets. After a start agents get time to come back before
//! they count as silent.

use std::collections::{BTreeMap, BTreeSet};

use hengwei_protocol::Kind;
use hengwei_protocol::record::{integer, number, text};
use hengwei_protocol::wire::Field;
use serde::{Deserialize, Serialize};

use crate::event::OWN_AGENT;
use crate::hosts::{Fleet, Live};
use crate::systems::{Coverage, REPORTS_WITHIN};
use crate::time::{SECOND, rfc3339};

/// A condition that lasts is told again after this time.
const AGAIN: i64 = 24 * 3600 * SECOND;
/// Time after a start in which nobody is missed.
const GRACE: i64 = REPORTS_WITHIN;
/// A clock further off than this is off, and is right again below the second.
const SKEW: (i64, i64) = (60 * SECOND, 45 * SECOND);
/// A disk with less than this share left is low, and well again above the second.
const LOW_RATIO: (f64, f64) = (0.10, 0.12);
/// The same in bytes …
const LOW_BYTES: (f64, f64) = (1_073_741_824.0, 1_288_490_189.0);
/// … for disks that are not small themselves: `/boot` never has a GiB left.
const SMALL_BYTES: f64 = 4.0 * 1_073_741_824.0;

/// What the watch looks at.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// When this collector started, Unix nanoseconds.
    pub started: i64,
    /// Agents that are known and not revoked, by id.
    pub hosts: BTreeMap<String, Live>,
    /// Coverage of each system.
    pub coverage: Vec<Coverage>,
    /// The collector's own file systems.
    pub disks: Vec<Disk>,
    /// What of history can be full.
    pub limits: Vec<Limit>,
}

/// Something of history that can be full: the disk, or what a class may take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limit {
    /// `disk`, or the class.
    pub name: &'static str,
    /// What it takes now.
    pub bytes: u64,
    /// What it may take; 0 for the disk.
    pub max_bytes: u64,
    /// How it grew in the last days.
    pub bytes_per_day: u64,
    /// Days until it is full; None when it won't be.
    pub days_left: Option<u32>,
    /// It is told so many days ahead.
    pub warn_days: u32,
}

/// A file system of the collector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Disk {
    /// Where it is mounted, or what of ours lies on it.
    pub path: String,
    /// All of it.
    pub size_bytes: f64,
    /// What can still be written.
    pub avail_bytes: f64,
}

impl View {
    /// Looks at the fleet as it is now.
    pub fn of(started: i64, fleet: &Fleet, coverage: Vec<Coverage>, disks: Vec<Disk>) -> View {
        View { started, hosts: fleet.all(), coverage, disks, limits: Vec::new() }
    }
}

/// A record of the collector's own; its time is that of the check.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// `hengwei.agent`, `hengwei.disk`, `hengwei.coverage`, `hengwei.history`.
    pub dataset: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// Its fields, `event.action` first.
    pub fields: Vec<Field>,
}

/// What was told and still holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Conditions by name.
    active: BTreeMap<String, Told>,
    /// Agents that said that they stop, and did not come back.
    orderly: BTreeSet<String>,
}

/// A condition that was told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    /// Whose it is: an agent, or empty.
    agent: String,
    /// When it began, Unix nanoseconds.
    since: i64,
    /// When it was last told.
    told: i64,
}

/// The watch, with what it told so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    state: State,
}

/// Whether a condition holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    /// Between its two limits, or nothing new is known: as it was.
    AsBefore,
    No,
}

/// Something that can be told, as it is now.
struct Condition {
    name: String,
    agent: String,
    holds: Holds,
    dataset: &'static str,
    kind: Kind,
    begins: &'static str,
    ends: &'static str,
    fields: Vec<Field>,
}

impl Watch {
    /// Goes on from [`Watch::state`]; what can't be read is as good as nothing told.
    pub fn new(state: Option<&[u8]>) -> Watch {
        let state = state.and_then(|bytes| serde_json::from_slice(bytes).ok());
        Watch { state: state.unwrap_or_default() }
    }

    /// What to keep, JSON. It can change without anything being told: an agent said that it stops.
    pub fn state(&self) -> Vec<u8> {
        serde_json::to_vec(&self.state).expect("names and numbers are JSON")
    }

    /// Agents that said that they stop, and did not come back.
    pub fn stopped(&self) -> impl Iterator<Item = &str> {
        self.state.orderly.iter().map(String::as_str)
    }

    /// What is to be told at `now`, Unix nanoseconds.
    pub fn check(&mut self, view: &View, now: i64) -> Vec<Own> {
        self.remember_orderly(view);
        let mut conditions = Vec::new();
        for (agent, live) in &view.hosts {
            conditions.push(self.silent(view, agent, live, now));
            conditions.push(skewed(agent, live));
            conditions.extend(full(agent, live, now));
        }
        conditions.extend(view.disks.iter().map(own_disk));
        conditions.extend(view.limits.iter().map(filling));
        let settled = now.saturating_sub(view.started) >= 2 * GRACE;
        conditions.extend(view.coverage.iter().filter_map(|one| self.incomplete(one, settled)));
        let mut told = Vec::new();
        let mut listed = BTreeSet::new();
        for condition in conditions {
            listed.insert(condition.name.clone());
            told.extend(self.tell(condition, now));
        }
        // An agent that was revoked, a disk that was unmounted, a system that was taken out: over,
        // and nothing to say.
        self.state.active.retain(|name, _| listed.contains(name));
        told
    }

    fn remember_orderly(&mut self, view: &View) {
        for (agent, live) in &view.hosts {
            if live.connected {
                self.state.orderly.remove(agent);
            } else if live.orderly {
                self.state.orderly.insert(agent.clone());
            }
        }
        self.state.orderly.retain(|agent| view.hosts.contains_key(agent));
    }

    fn silent(&self, view: &View, agent: &str, live: &Live, now: i64) -> Condition {
        let quiet_since = live.last_seen.max(view.started);
        let silent = !live.connected
            && live.last_seen != 0
            && !self.state.orderly.contains(agent)
            && now.saturating_sub(quiet_since) >= REPORTS_WITHIN;
        let mut fields = subject(agent, live);
        if live.last_seen != 0 {
            fields.push(text("hengwei.agent.last_seen", rfc3339(live.last_seen)));
        }
        let waiting = now.saturating_sub(view.started) < REPORTS_WITHIN;
        Condition {
            name: format!("silent {agent}"),
            agent: agent.to_owned(),
            // Who was silent before a restart and did not come back is silent still.
            holds: match (silent, live.connected || !waiting) {
                (true, _) => Holds::Yes,
                (false, false) => Holds::AsBefore,
                (false, true) => Holds::No,
            },
            dataset: "hengwei.agent",
            kind: Kind::Security,
            begins: "silent",
            ends: "back",
            fields,
        }
    }

    fn incomplete(&self, coverage: &Coverage, settled: bool) -> Option<Condition> {
        // A system to which nobody was connected yet is not incomplete: it has not begun.
        if coverage.seen == 0 {
            return None;
        }
        let unexpected = coverage
            .silent
            .iter()
            .any(|silent| !silent.orderly && !self.state.orderly.contains(&silent.agent));
        let incomplete = unexpected || coverage.never > 0 || !coverage.missing.is_empty();
        let mut fields = vec![
            text("hengwei.subject.system", coverage.system.as_str()),
            integer("hengwei.coverage.reporting", i64::from(coverage.reporting)),
            text("hengwei.coverage.text", coverage.text_en()),
            text("hengwei.coverage.text_zh", coverage.text_zh()),
        ];
        if let Some(expected) = coverage.expected {
            fields.push(integer("hengwei.coverage.expected", i64::from(expected)));
        }
        Some(Condition {
            name: format!("coverage {}", coverage.system),
            agent: String::new(),
            holds: match (settled, incomplete) {
                (false, _) => Holds::AsBefore,
                (true, true) => Holds::Yes,
                (true, false) => Holds::No,
            },
            dataset: "hengwei.coverage",
            kind: Kind::Security,
            begins: "incomplete",
            ends: "complete",
            fields,
        })
    }

    fn tell(&mut self, condition: Condition, now: i64) -> Option<Own> {
        let known = self.state.active.get_mut(&condition.name);
        let (action, since) = match (condition.holds, known) {
            (Holds::Yes, None) => {
                let told = Told { agent: condition.agent, since: now, told: now };
                self.state.active.insert(condition.name, told);
                (condition.begins, now)
            }
            (Holds::Yes, Some(told)) if now.saturating_sub(told.told) >= AGAIN => {
                told.told = now;
                (condition.begins, told.since)
            }
            (Holds::No, Some(told)) => {
                let since = told.since;
                self.state.active.remove(&condition.name);
                (condition.ends, since)
            }
            _ => return None,
        };
        let mut fields = vec![text("event.action", action)];
        fields.extend(condition.fields);
        fields.push(text("hengwei.condition.since", rfc3339(since)));
        Some(Own { dataset: condition.dataset, kind: condition.kind, fields })
    }
}

fn subject(agent: &str, live: &Live) -> Vec<Field> {
    vec![
        text("hengwei.subject.agent", agent),
        text("hengwei.subject.host", live.host.as_str()),
        text("hengwei.subject.site", live.site.as_str()),
        text("hengwei.subject.system", live.system.as_str()),
    ]
}

fn skewed(agent: &str, live: &Live) -> Condition {
    let offset = live.clock_offset.filter(|_| live.connected);
    let mut fields = subject(agent, live);
    fields.extend(offset.map(|offset| number("hengwei.clock.offset_seconds", offset as f64 / 1e9)));
    Condition {
        name: format!("clock {agent}"),
        agent: agent.to_owned(),
        holds: match offset.map(i64::saturating_abs) {
            Some(off) if off > SKEW.0 => Holds::Yes,
            Some(off) if off < SKEW.1 => Holds::No,
            _ => Holds::AsBefore,
        },
        dataset: "hengwei.agent",
        kind: Kind::Security,
        begins: "clock-skew",
        ends: "clock-right",
        fields,
    }
}

fn full(agent: &str, live: &Live, now: i64) -> Vec<Condition> {
    let fresh = live.performance.is_fresh(now);
    let disks = live.performance.filesystems.iter();
    let conditions = disks.map(|(path, filesystem)| {
        let disk = Disk {
            path: path.clone(),
            size_bytes: filesystem.size_bytes,
            avail_bytes: filesystem.avail_bytes,
        };
        let holds = if fresh { low(&disk) } else { Holds::AsBefore };
        disk_condition(agent, subject(agent, live), &disk, holds)
    });
    conditions.collect()
}

fn own_disk(disk: &Disk) -> Condition {
    let fields = vec![text("hengwei.subject.agent", OWN_AGENT)];
    disk_condition(OWN_AGENT, fields, disk, low(disk))
}

fn disk_condition(agent: &str, mut fields: Vec<Field>, disk: &Disk, holds: Holds) -> Condition {
    fields.push(text("system.filesystem.mount_point", disk.path.as_str()));
    fields.push(integer("system.filesystem.total", disk.size_bytes as i64));
    fields.push(integer("system.filesystem.available", disk.avail_bytes as i64));
    Condition {
        name: format!("disk {agent} {}", disk.path),
        agent: agent.to_owned(),
        holds,
        dataset: "hengwei.disk",
        kind: Kind::Log,
        begins: "low",
        ends: "recovered",
        fields,
    }
}

fn filling(limit: &Limit) -> Condition {
    let mut fields = vec![
        text("hengwei.subject.agent", OWN_AGENT),
        text("hengwei.history.limit", limit.name),
        integer("hengwei.history.bytes", whole(limit.bytes)),
        integer("hengwei.history.bytes_per_day", whole(limit.bytes_per_day)),
    ];
    if limit.max_bytes > 0 {
        fields.push(integer("hengwei.history.max_bytes", whole(limit.max_bytes)));
    }
    fields.extend(limit.days_left.map(|days| integer("hengwei.history.days_left", days.into())));
    Condition {
        name: format!("filling {}", limit.name),
        agent: OWN_AGENT.to_owned(),
        holds: match limit.days_left {
            Some(days) if days <= limit.warn_days => Holds::Yes,
            // A day more or less is no news.
            Some(days) if days <= limit.warn_days.saturating_add(1) => Holds::AsBefore,
            _ => Holds::No,
        },
        dataset: "hengwei.history",
        kind: Kind::Log,
        begins: "filling",
        ends: "room",
        fields,
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn low(disk: &Disk) -> Holds {
    // Negated, so that a size that is no number, or zero, says nothing.
    if !(disk.size_bytes > 0.0 && disk.avail_bytes >= 0.0) {
        return Holds::AsBefore;
    }
    let ratio = disk.avail_bytes / disk.size_bytes;
    let below = |ratio_limit: f64, bytes_limit: f64| {
        ratio < ratio_limit || disk.size_bytes >= SMALL_BYTES && disk.avail_bytes < bytes_limit
    };
    if below(LOW_RATIO.0, LOW_BYTES.0) {
        Holds::Yes
    } else if below(LOW_RATIO.1, LOW_BYTES.1) {
        Holds::AsBefore
    } else {
        Holds::No
    }
}

#[cfg(test)]
#[path = "watch/tests.rs"]
mod tests;

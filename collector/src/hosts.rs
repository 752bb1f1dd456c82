//! Hosts: what is known of each, from what its agent sends.
//!
//! In: the events of batches and the comings and goings of agents. Out: rows of history's small
//! trees ([`Observer`]: the host, its inventory and changes, its sources), the fleet as it is now
//! ([`Fleet`], also its gauges), and the view a page or `hengwei-collector hosts` shows. Nothing here
//! decides who an agent is or where it belongs (the registry does), whether something is wrong (the
//! watch and the rules do), or writes (the judge does).

pub mod fleet;
pub mod observe;
mod read;
pub mod rows;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use self::rows::{key, prefix};
use crate::event::rfc3339;
use crate::history::tree;

pub use self::fleet::{Fleet, Live, Performance};
pub use self::observe::Observer;
#[cfg(test)]
pub(crate) use self::rows::fake;
pub use self::rows::{Change, Host, Known, Lag, Rows, known};

/// Changes a view shows, newest first.
const RECENT: usize = 50;

/// A host as a page shows it and `hosts --json` prints it, one per line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostView {
    /// Agent id.
    pub agent: String,
    /// Host name.
    pub host: String,
    /// Site.
    pub site: String,
    /// System.
    pub system: String,
    /// Operating system.
    pub os: String,
    /// Kernel.
    pub kernel: String,
    /// Architecture.
    pub architecture: String,
    /// `connected`, `stopped` (it said so), `away`, `never`, `revoked`.
    pub state: &'static str,
    /// RFC 3339; None when nothing ever came.
    pub first_seen: Option<String>,
    /// RFC 3339; None when nothing ever came.
    pub last_seen: Option<String>,
    /// Its clock minus ours.
    pub clock_offset_seconds: Option<f64>,
    /// When the newest of its good certificates ends, RFC 3339.
    pub certificate_expires: Option<String>,
    /// The newest measurements, when they are of now.
    pub performance: Option<Performance>,
    /// Where each source stands.
    pub sources: Vec<SourceView>,
    /// How many items of each class there are; only of a single host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<BTreeMap<String, u64>>,
    /// The latest changes of the inventory, newest first; only of a single host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
}

/// Where a source stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// `files`, `journal` …
    pub source: String,
    /// What it reads.
    pub path: String,
    /// The newest record's own time, RFC 3339.
    pub last_record: String,
    /// When it came, RFC 3339.
    pub last_received: String,
    /// How long it took to come.
    pub lag_seconds: f64,
    /// Records that came.
    pub records: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Records known to be missing.
    pub missing: u64,
}

/// Every host, by agent id.
pub fn list(rows: &impl Rows, fleet: &Fleet, now: i64) -> Vec<HostView> {
    let expiries = expiries(rows);
    let known = known(rows);
    known.into_iter().map(|(agent, one)| shown(rows, fleet, &expiries, &agent, one, now)).collect()
}

/// One host, by agent id or, where only one has it, by host name.
pub fn view(rows: &impl Rows, fleet: &Fleet, name: &str, now: i64) -> Option<HostView> {
    let mut known = known(rows);
    let agent = if known.contains_key(name) {
        name.to_owned()
    } else {
        let mut named = known.iter().filter(|(_, one)| one.host.host == name);
        match (named.next(), named.next()) {
            (Some((agent, _)), None) => agent.clone(),
            _ => return None,
        }
    };
    let one = known.remove(&agent)?;
    let mut view = shown(rows, fleet, &expiries(rows), &agent, one, now);
    view.inventory = Some(inventory(rows, &agent));
    view.changes = Some(changes(rows, &agent, RECENT));
    Some(view)
}

/// Items of one class of a host (`package`, `socket` …), in the order of their keys.
pub fn items(rows: &impl Rows, agent: &str, item: &str, limit: usize) -> Vec<Json> {
    let mut found = Vec::new();
    rows.scan(tree::INVENTORY, &key(&[agent, item, ""]), &mut |_, value| {
        found.extend(serde_json::from_slice::<Json>(value));
        found.len() < limit
    });
    found
}

/// The latest changes of a host's inventory, newest first.
pub fn changes(rows: &impl Rows, agent: &str, limit: usize) -> Vec<Change> {
    let mut found = Vec::new();
    rows.scan_back(tree::INVENTORY_CHANGES, &prefix(agent), &mut |_, value| {
        found.extend(serde_json::from_slice::<Change>(value));
        found.len() < limit
    });
    found
}

fn inventory(rows: &impl Rows, agent: &str) -> BTreeMap<String, u64> {
    let prefix = prefix(agent);
    let mut counts = BTreeMap::new();
    rows.scan(tree::INVENTORY, &prefix, &mut |key, _| {
        let item = key[prefix.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
        *counts.entry(String::from_utf8_lossy(item).into_owned()).or_default() += 1;
        true
    });
    counts
}

fn shown(
    rows: &impl Rows,
    fleet: &Fleet,
    expiries: &BTreeMap<String, String>,
    agent: &str,
    one: Known,
    now: i64,
) -> HostView {
    let live = fleet.get(agent).unwrap_or_default();
    let last_seen = live.last_seen.max(one.host.last_seen);
    let state = match () {
        () if one.revoked => "revoked",
        () if live.connected => "connected",
        () if live.orderly => "stopped",
        () if last_seen == 0 => "never",
        () => "away",
    };
    let time = |time: i64| (time != 0).then(|| rfc3339(time));
    HostView {
        agent: agent.to_owned(),
        state,
        first_seen: time(one.host.first_seen),
        last_seen: time(last_seen),
        clock_offset_seconds: live.clock_offset.map(|offset| offset as f64 / 1e9),
        certificate_expires: expiries.get(agent).cloned(),
        performance: Some(live.performance).filter(|performance| performance.is_fresh(now)),
        sources: sources(rows, agent),
        inventory: None,
        changes: None,
        host: one.host.host,
        site: one.host.site,
        system: one.host.system,
        os: one.host.os,
        kernel: one.host.kernel,
        architecture: one.host.architecture,
    }
}

fn sources(rows: &impl Rows, agent: &str) -> Vec<SourceView> {
    let mut found = Vec::new();
    rows.scan(tree::SOURCES, &prefix(agent), &mut |_, value| {
        if let Ok(lag) = serde_json::from_slice::<Lag>(value) {
            found.push(SourceView {
                source: lag.source,
                path: lag.path,
                last_record: rfc3339(lag.last_record),
                last_received: rfc3339(lag.last_received),
                lag_seconds: lag.lag as f64 / 1e9,
                records: lag.records,
                gaps: lag.gaps,
                missing: lag.missing,
            });
        }
        true
    });
    found
}

/// When the newest good certificate of each agent ends. The registry owns these rows: they are read
/// loosely, and one that reads differently shows no end.
fn expiries(rows: &impl Rows) -> BTreeMap<String, String> {
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    rows.scan(tree::CERTIFICATES, b"", &mut |_, value| {
        let Ok(row) = serde_json::from_slice::<Json>(value) else { return true };
        let revoked = row
            .get("revoked")
            .is_some_and(|revoked| !matches!(revoked, Json::Null | Json::Bool(false)));
        let (Some(agent), Some(end)) =
            (row.get("agent").and_then(Json::as_str), row.get("not_after"))
        else {
            return true;
        };
        let end = match end {
            Json::String(text) => text.clone(),
            other => other.as_i64().map(rfc3339).unwrap_or_default(),
        };
        let newer = ends.get(agent).is_none_or(|known| *known < end);
        if !revoked && newer && !end.is_empty() {
            ends.insert(agent.to_owned(), end);
        }
        true
    });
    ends
}

#[cfg(test)]
mod tests {
    use super::fake::Memory;
    use super::*;
    use serde_json::json;

    const DAY: i64 = 86_400 * 1_000_000_000;
    const START: i64 = 20_000 * DAY;

    fn rows() -> Memory {
        let mut rows = Memory::default();
        rows.put(
            tree::AGENTS,
            "his-01",
            json!({"site": "s1", "system": "health-card", "host": "old"}),
        );
        rows.put(
            tree::AGENTS,
            "his-02",
            json!({"site": "s2", "system": "health-card", "host": "h2", "os": "Debian 12"}),
        );
        rows.put(
            tree::AGENTS,
            "his-03",
            json!({"site": "s3", "system": "x", "host": "h2", "revoked": {"by": "wang"}}),
        );
        rows.put(
            tree::HOSTS,
            "his-01",
            json!({"host": "h1", "os": "Kylin V10", "first_seen": START, "last_seen": START + DAY}),
        );
        rows.put(
            tree::CERTIFICATES,
            "01",
            json!({"agent": "his-01", "not_after": START + 90 * DAY}),
        );
        rows.put(
            tree::CERTIFICATES,
            "02",
            json!({"agent": "his-01", "not_after": START + 99 * DAY, "revoked": {"by": "x"}}),
        );
        rows.put(
            tree::CERTIFICATES,
            "03",
            json!({"agent": "his-01", "not_after": START + 10 * DAY, "revoked": null}),
        );
        rows.put(
            tree::CERTIFICATES,
            "04",
            json!({"agent": "his-02", "not_after": "2030-01-01T00:00:00Z"}),
        );
        rows.put(tree::CERTIFICATES, "05", json!("rubbish"));
        rows.put(tree::SOURCES, "his-01\0files\0/var/log/auth.log", json!({"source": "files", "path": "/var/log/auth.log", "records": 9, "lag": 1_500_000_000}));
        for (item, name) in [("package", "a"), ("package", "b"), ("user", "root")] {
            rows.put(
                tree::INVENTORY,
                &format!("his-01\0{item}\0{name}"),
                json!({"hengwei.asset.key": name}),
            );
        }
        rows.put(tree::INVENTORY, "his-011\0package\0a", json!({}));
        for n in 0..60 {
            rows.put(
                tree::INVENTORY_CHANGES,
                &format!("his-01\0{n:03}"),
                json!({"key": n.to_string()}),
            );
        }
        rows
    }

    #[test]
    fn the_list_shows_every_host_and_its_state() {
        let (rows, fleet) = (rows(), Fleet::new());
        fleet.recall(&rows);
        let found: Vec<_> = list(&rows, &fleet, START)
            .into_iter()
            .map(|view| (view.agent, view.host, view.os, view.state, view.certificate_expires))
            .collect();
        let row = |agent: &str, host: &str, os: &str, state, end: Option<&str>| {
            (agent.to_owned(), host.to_owned(), os.to_owned(), state, end.map(str::to_owned))
        };
        let end = rfc3339(START + 90 * DAY);
        assert_eq!(
            found,
            [
                row("his-01", "h1", "Kylin V10", "away", Some(&end)),
                row("his-02", "h2", "Debian 12", "never", Some("2030-01-01T00:00:00Z")),
                row("his-03", "h2", "", "revoked", None),
            ]
        );
    }

    #[test]
    fn one_host_shows_inventory_changes_and_sources() {
        let (rows, fleet) = (rows(), Fleet::new());
        let view_of = |name: &str| view(&rows, &fleet, name, START);
        let view = view_of("his-01").unwrap();
        let counts: Vec<_> =
            view.inventory.as_ref().unwrap().iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(counts, [("package", 2), ("user", 1)]);
        let changes = view.changes.as_ref().unwrap();
        assert_eq!((changes.len(), changes[0].key.as_str()), (RECENT, "59"));
        assert_eq!((view.sources[0].records, view.sources[0].lag_seconds), (9, 1.5));
        assert_eq!(view_of("h1").unwrap().agent, "his-01", "found by its name too");
        assert_eq!(view_of("h2"), None, "two have that name");
        assert_eq!(view_of("nobody"), None);
        assert_eq!(items(&rows, "his-01", "package", 1).len(), 1);
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["inventory"]["package"], 2);
    }
}

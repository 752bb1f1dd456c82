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
use crate::history::tree;
use crate::registry;
use crate::store::{Store, parse};
use crate::time::rfc3339;

pub use self::fleet::{Fleet, Live, Performance};
pub use self::observe::Observer;
pub use self::rows::{Change, Host, Known, Lag, known};

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
pub fn list(store: &dyn Store, fleet: &Fleet, now: i64) -> Vec<HostView> {
    let expiries = expiries(store);
    let known = known(store);
    known.into_iter().map(|(agent, one)| shown(store, fleet, &expiries, &agent, one, now)).collect()
}

/// One host, by agent id or, where only one has it, by host name.
pub fn view(store: &dyn Store, fleet: &Fleet, name: &str, now: i64) -> Option<HostView> {
    let mut known = known(store);
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
    let mut view = shown(store, fleet, &expiries(store), &agent, one, now);
    view.inventory = Some(inventory(store, &agent));
    view.changes = Some(changes(store, &agent, RECENT));
    Some(view)
}

/// Items of one class of a host (`package`, `socket` …), in the order of their keys.
pub fn items(store: &dyn Store, agent: &str, item: &str, limit: usize) -> Vec<Json> {
    let mut found = Vec::new();
    store.scan(tree::INVENTORY, &key(&[agent, item, ""]), &mut |_, value| {
        found.extend(parse::<Json>(tree::INVENTORY, value));
        found.len() < limit
    });
    found
}

/// The latest changes of a host's inventory, newest first.
pub fn changes(store: &dyn Store, agent: &str, limit: usize) -> Vec<Change> {
    let mut found = Vec::new();
    store.scan_back(tree::INVENTORY_CHANGES, &prefix(agent), &mut |_, value| {
        found.extend(parse::<Change>(tree::INVENTORY_CHANGES, value));
        found.len() < limit
    });
    found
}

/// When a record of each dataset last came from any host, Unix nanoseconds, to within
/// [`observe::HOST_EVERY`].
pub fn datasets(store: &dyn Store) -> BTreeMap<String, i64> {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for (dataset, came) in known(store).into_values().flat_map(|one| one.host.datasets) {
        let last = last.entry(dataset).or_insert(came);
        *last = came.max(*last);
    }
    last
}

fn inventory(store: &dyn Store, agent: &str) -> BTreeMap<String, u64> {
    let prefix = prefix(agent);
    let mut counts = BTreeMap::new();
    store.scan(tree::INVENTORY, &prefix, &mut |key, _| {
        let item = key[prefix.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
        *counts.entry(String::from_utf8_lossy(item).into_owned()).or_default() += 1;
        true
    });
    counts
}

fn shown(
    store: &dyn Store,
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
        sources: sources(store, agent),
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

fn sources(store: &dyn Store, agent: &str) -> Vec<SourceView> {
    let mut found = Vec::new();
    store.scan(tree::SOURCES, &prefix(agent), &mut |_, value| {
        if let Some(lag) = parse::<Lag>(tree::SOURCES, value) {
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

/// When the newest good certificate of each agent ends, RFC 3339.
fn expiries(store: &dyn Store) -> BTreeMap<String, String> {
    let newest = registry::list(store).into_iter().filter_map(|listed| {
        let good = listed.certificates.iter().filter(|certificate| certificate.revoked.is_none());
        let end = good.map(|certificate| certificate.not_after).max()?;
        Some((listed.agent.id, rfc3339(end)))
    });
    newest.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Agent, Certificate, Revocation};
    use crate::store::fake::Fake;
    use crate::time::DAY;
    use serde_json::json;

    const START: i64 = 20_000 * DAY;

    fn store() -> Fake {
        let store = Fake::default();
        let agent =
            |id: &str, site: &str, host: &str, os: &str, revoked: bool, serials: &[&str]| {
                let agent = Agent {
                    id: id.into(),
                    site: site.into(),
                    system: "health-card".into(),
                    host: host.into(),
                    os: os.into(),
                    certificates: serials.iter().map(|serial| (*serial).to_owned()).collect(),
                    revoked: revoked.then(Revocation::default),
                    ..Agent::default()
                };
                store.put(tree::AGENTS, id, json!(agent));
            };
        agent("his-01", "s1", "old", "", false, &["01", "02", "03", "04"]);
        agent("his-02", "s2", "h2", "Debian 12", false, &["05"]);
        agent("his-03", "s3", "h2", "", true, &[]);
        let certificate = |serial: &str, agent: &str, days: i64, revoked: bool| {
            let certificate = Certificate {
                serial: serial.into(),
                agent: agent.into(),
                not_after: START + days * DAY,
                revoked: revoked.then(Revocation::default),
                ..Certificate::default()
            };
            store.put(tree::CERTIFICATES, serial, json!(certificate));
        };
        certificate("01", "his-01", 90, false);
        certificate("02", "his-01", 99, true);
        certificate("03", "his-01", 10, false);
        store.put(tree::CERTIFICATES, "04", json!("rubbish"));
        certificate("05", "his-02", 30, false);
        store.put(
            tree::HOSTS,
            "his-01",
            json!({"host": "h1", "os": "Kylin V10", "first_seen": START, "last_seen": START + DAY}),
        );
        store.put(tree::SOURCES, "his-01\0files\0/var/log/auth.log", json!({"source": "files", "path": "/var/log/auth.log", "records": 9, "lag": 1_500_000_000}));
        for (item, name) in [("package", "a"), ("package", "b"), ("user", "root")] {
            store.put(
                tree::INVENTORY,
                format!("his-01\0{item}\0{name}"),
                json!({"hengwei.asset.key": name}),
            );
        }
        store.put(tree::INVENTORY, "his-011\0package\0a", json!({}));
        for n in 0..60 {
            store.put(
                tree::INVENTORY_CHANGES,
                format!("his-01\0{n:03}"),
                json!({"key": n.to_string()}),
            );
        }
        store
    }

    #[test]
    fn the_list_shows_every_host_and_its_state() {
        let (store, fleet) = (store(), Fleet::new());
        fleet.recall(&store);
        let found: Vec<_> = list(&store, &fleet, START)
            .into_iter()
            .map(|view| (view.agent, view.host, view.os, view.state, view.certificate_expires))
            .collect();
        let row = |agent: &str, host: &str, os: &str, state, end: Option<String>| {
            (agent.to_owned(), host.to_owned(), os.to_owned(), state, end)
        };
        let end = |days: i64| Some(rfc3339(START + days * DAY));
        assert_eq!(
            found,
            [
                row("his-01", "h1", "Kylin V10", "away", end(90)),
                row("his-02", "h2", "Debian 12", "never", end(30)),
                row("his-03", "h2", "", "revoked", None),
            ]
        );
    }

    #[test]
    fn one_host_shows_inventory_changes_and_sources() {
        let (store, fleet) = (store(), Fleet::new());
        let view_of = |name: &str| view(&store, &fleet, name, START);
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
        assert_eq!(items(&store, "his-01", "package", 1).len(), 1);
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["inventory"]["package"], 2);
    }
}

//! What is stored of hosts, as rows of history's small trees, and their keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::tree;
use crate::registry;
use crate::store::{Store, parse};

/// What is known of a host: tree [`tree::HOSTS`], by agent id. Times are Unix nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Agent id.
    pub agent: String,
    /// Host name.
    pub host: String,
    /// Site, from the registry.
    pub site: String,
    /// System, from the registry.
    pub system: String,
    /// Operating system, as it names itself.
    pub os: String,
    /// Kernel.
    pub kernel: String,
    /// Architecture.
    pub architecture: String,
    /// When its first record came.
    pub first_seen: i64,
    /// When its last record came, to within [`super::observe::HOST_EVERY`].
    pub last_seen: i64,
    /// When a record of each dataset last came, as coarse.
    pub datasets: BTreeMap<String, i64>,
}

/// Where one source of a host stands: tree [`tree::SOURCES`]. Times are Unix nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lag {
    /// `files`, `journal`, `performance` …
    pub source: String,
    /// What it reads; empty where it is one thing.
    pub path: String,
    /// The newest record's own time.
    pub last_record: i64,
    /// When that came.
    pub last_received: i64,
    /// How long the last record took from being read on the host to here, in nanoseconds.
    pub lag: i64,
    /// Records that came.
    pub records: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Records known to be missing.
    pub missing: u64,
}

/// A change of the inventory: tree [`tree::INVENTORY_CHANGES`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// RFC 3339.
    pub time: String,
    /// `package`, `user`, `socket` …
    pub item: String,
    /// Which one.
    pub key: String,
    /// `added`, `changed`, `removed`.
    pub action: String,
    /// Names of the fields that changed.
    pub changed: Vec<String>,
    /// `name=value`, as it was.
    pub previous: Vec<String>,
}

impl Change {
    /// What was different, in one line; empty where the action says it all.
    pub fn detail(&self) -> String {
        let new = self.changed.iter().filter(|name| {
            !self.previous.iter().any(|was| was.split_once('=').is_some_and(|(of, _)| of == *name))
        });
        let was = self.previous.iter().map(|was| format!("was {was}"));
        was.chain(new.map(|name| format!("new {name}"))).collect::<Vec<_>>().join("; ")
    }
}

/// An agent that is known, by its enrolment, by what it sent, or both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// What is stored of it; where it sent nothing yet, what its enrolment said.
    pub host: Host,
    /// An operator revoked it: nothing is expected of it.
    pub revoked: bool,
}

/// Every agent that is known, by id. Where it belongs is the registry's to say; what it is, its
/// inventory's, and until that came, what its enrolment said.
pub fn known(store: &dyn Store) -> BTreeMap<String, Known> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    store.scan(tree::HOSTS, b"", &mut |key, value| {
        if let Some(host) = parse::<Host>(tree::HOSTS, value) {
            let agent = String::from_utf8_lossy(key).into_owned();
            known.insert(agent, Known { host, revoked: false });
        }
        true
    });
    for agent in registry::agents(store) {
        let one = known.entry(agent.id.clone()).or_default();
        one.revoked = agent.revoked.is_some();
        one.host.agent = agent.id;
        one.host.site = agent.site;
        one.host.system = agent.system;
        for (field, said) in [
            (&mut one.host.host, agent.host),
            (&mut one.host.os, agent.os),
            (&mut one.host.kernel, agent.kernel),
            (&mut one.host.architecture, agent.architecture),
        ] {
            if field.is_empty() {
                *field = said;
            }
        }
    }
    known
}

/// `agent \0`: what all keys of an agent in a tree begin with.
pub(super) fn prefix(agent: &str) -> Vec<u8> {
    key(&[agent, ""])
}

/// Parts joined by NUL.
pub(super) fn key(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

/// `agent \0 time \0 n`: sorts by time within an agent. `n` tells changes of one moment apart.
pub(super) fn change_key(agent: &str, time: i64, n: u64) -> Vec<u8> {
    let mut key = prefix(agent);
    key.extend_from_slice(&time.max(0).to_be_bytes());
    key.push(0);
    key.extend_from_slice(&n.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_one_line() {
        let change = |changed: &[&str], previous: &[&str]| Change {
            changed: changed.iter().map(|name| (*name).to_owned()).collect(),
            previous: previous.iter().map(|was| (*was).to_owned()).collect(),
            ..Change::default()
        };
        assert_eq!(change(&[], &[]).detail(), "");
        let both = change(&["host.ip", "host.mac"], &["host.ip=10.0.0.1"]);
        assert_eq!(both.detail(), "was host.ip=10.0.0.1; new host.mac");
    }
}

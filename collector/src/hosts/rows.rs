//! What is stored of hosts, as rows of history's small trees, and their keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::history::{History, tree};

/// Reads small records: history, or what a test has in its place.
pub trait Rows {
    /// See [`History::get`].
    fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>>;
    /// See [`History::scan`].
    fn scan(&self, tree: &'static str, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8]) -> bool);
    /// See [`History::scan_back`].
    fn scan_back(
        &self,
        tree: &'static str,
        prefix: &[u8],
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    );
}

impl Rows for History {
    fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        History::get(self, tree, key)
    }

    fn scan(&self, tree: &'static str, prefix: &[u8], see: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        History::scan(self, tree, prefix, see);
    }

    fn scan_back(
        &self,
        tree: &'static str,
        prefix: &[u8],
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        History::scan_back(self, tree, prefix, see);
    }
}

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

/// Every agent that is known, by id. A registry entry is read loosely: it has an owner elsewhere.
pub fn known(rows: &impl Rows) -> BTreeMap<String, Known> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    rows.scan(tree::HOSTS, b"", &mut |key, value| {
        if let Ok(host) = serde_json::from_slice::<Host>(value) {
            let agent = String::from_utf8_lossy(key).into_owned();
            known.insert(agent, Known { host, revoked: false });
        }
        true
    });
    rows.scan(tree::AGENTS, b"", &mut |key, value| {
        let Ok(entry) = serde_json::from_slice::<Json>(value) else { return true };
        let agent = String::from_utf8_lossy(key).into_owned();
        let one = known.entry(agent.clone()).or_default();
        one.host.agent = agent;
        one.revoked = entry
            .get("revoked")
            .is_some_and(|revoked| !matches!(revoked, Json::Null | Json::Bool(false)));
        let text =
            |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        // Where it belongs is the registry's to say; what it is, its inventory's.
        one.host.site = text("site");
        one.host.system = text("system");
        for (field, name) in [
            (&mut one.host.host, "host"),
            (&mut one.host.os, "os"),
            (&mut one.host.kernel, "kernel"),
            (&mut one.host.architecture, "architecture"),
        ] {
            if field.is_empty() {
                *field = text(name);
            }
        }
        true
    });
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

#[cfg(test)]
pub(crate) mod fake {
    //! History in memory, for tests of what only reads and writes rows.

    use super::*;
    use crate::history::Put;

    /// Trees in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Memory(BTreeMap<(&'static str, Vec<u8>), Vec<u8>>);

    impl Memory {
        /// What a commit does with small records.
        pub(crate) fn commit(&mut self, puts: Vec<Put>) {
            for put in puts {
                assert!(tree::ALL.contains(&put.tree));
                match put.value {
                    Some(value) => {
                        serde_json::from_slice::<Json>(&value).expect("rows are JSON");
                        self.0.insert((put.tree, put.key), value);
                    }
                    None => {
                        self.0.remove(&(put.tree, put.key));
                    }
                }
            }
        }

        /// Stores one row.
        pub(crate) fn put(&mut self, tree: &'static str, key: &str, value: Json) {
            self.0.insert((tree, key.into()), value.to_string().into_bytes());
        }

        /// Keys of a tree, as text, NUL as `|`.
        pub(crate) fn keys(&self, tree: &str) -> Vec<String> {
            let keys = self.0.keys().filter(|(of, _)| *of == tree);
            keys.map(|(_, key)| String::from_utf8_lossy(key).replace('\0', "|")).collect()
        }

        /// Values of a tree, in key order.
        pub(crate) fn values(&self, tree: &str) -> Vec<Json> {
            let values = self.0.iter().filter(|((of, _), _)| *of == tree);
            values.map(|(_, value)| serde_json::from_slice(value).unwrap()).collect()
        }
    }

    impl Rows for Memory {
        fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
            self.0.get(&(tree, key.to_vec())).cloned()
        }

        fn scan(
            &self,
            tree: &'static str,
            prefix: &[u8],
            see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) {
            let rows = self.0.range((tree, prefix.to_vec())..);
            let _ = rows
                .take_while(|((of, key), _)| *of == tree && key.starts_with(prefix))
                .all(|((_, key), value)| see(key, value));
        }

        fn scan_back(
            &self,
            tree: &'static str,
            prefix: &[u8],
            see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) {
            let mut rows = Vec::new();
            self.scan(tree, prefix, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                true
            });
            let _ = rows.iter().rev().all(|(key, value)| see(key, value));
        }
    }
}

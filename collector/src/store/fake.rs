//! History and judge over a map, for tests.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use hengwei_protocol::identity;
use serde_json::Value as Json;

use super::*;
use crate::history::tree;

/// A clone shares the same state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    entries: Vec<Entry>,
    now: i64,
}

impl Fake {
    /// What time it is for the judge.
    pub(crate) fn set_now(&self, now: i64) {
        self.lock().now = now;
    }

    /// What was chained so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// The actions of what was chained so far.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.entries().into_iter().map(|entry| entry.action).collect()
    }

    /// Commits a decision.
    pub(crate) fn commit(&self, decision: Decision) {
        self.lock().entries.extend(decision.entries);
        self.apply(decision.puts);
    }

    /// What a commit does with small records.
    pub(crate) fn apply(&self, puts: Vec<Put>) {
        let mut state = self.lock();
        for put in puts {
            assert!(tree::ALL.contains(&put.tree), "no tree `{}`", put.tree);
            match put.value {
                Some(value) => {
                    serde_json::from_slice::<Json>(&value).expect("records are JSON");
                    state.records.insert((put.tree, put.key), value);
                }
                None => {
                    state.records.remove(&(put.tree, put.key));
                }
            }
        }
    }

    /// Stores one record.
    pub(crate) fn put(&self, tree: &'static str, key: impl Into<Vec<u8>>, value: Json) {
        self.apply(vec![super::put(tree, key, &value)]);
    }

    /// Keys of a tree, as text, NUL as `|`.
    pub(crate) fn keys(&self, tree: &'static str) -> Vec<String> {
        let rows = self.rows(tree).into_iter();
        rows.map(|(key, _)| String::from_utf8_lossy(&key).replace('\0', "|")).collect()
    }

    /// Values of a tree, in key order.
    pub(crate) fn values(&self, tree: &'static str) -> Vec<Json> {
        let rows = self.rows(tree).into_iter();
        rows.map(|(_, value)| serde_json::from_slice(&value).expect("records are JSON")).collect()
    }

    fn rows(&self, tree: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let state = self.lock();
        let rows = state.records.iter().filter(|((of, _), _)| *of == tree);
        rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }
}

impl Store for Fake {
    fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().records.get(&(tree, key.to_vec())).cloned()
    }

    fn scan(&self, tree: &'static str, prefix: &[u8], see: See<'_>) {
        let rows = self.rows(tree);
        let mut rows = rows.iter().filter(|(key, _)| key.starts_with(prefix));
        let _ = rows.all(|(key, value)| see(key, value));
    }

    fn scan_back(&self, tree: &'static str, prefix: &[u8], see: See<'_>) {
        let rows = self.rows(tree);
        let mut rows = rows.iter().rev().filter(|(key, _)| key.starts_with(prefix));
        let _ = rows.all(|(key, value)| see(key, value));
    }

    fn scan_from(&self, tree: &'static str, from: &[u8], see: See<'_>) {
        let rows = self.rows(tree);
        let mut rows = rows.iter().filter(|(key, _)| key.as_slice() >= from);
        let _ = rows.all(|(key, value)| see(key, value));
    }

    fn queue(&self, agent: &str, kind: Kind, epoch: &[u8; 16]) -> Option<QueueLedger> {
        let key = format!("{agent}\0{kind}\0{}", identity::hex(epoch));
        get(self, tree::LEDGER, key.as_bytes())
    }
}

impl Judge for Fake {
    fn decide(&self, decide: Decide) -> Decided<'_> {
        let now = self.lock().now;
        let decided = decide(self, now);
        Box::pin(async move { decided.map(|decision| self.commit(decision)) })
    }
}

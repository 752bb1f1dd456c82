//! The two things that pages, accounts and channels need of history: to read small records, and to
//! have a change decided and committed. Traits, so that what is built on them is tested over a map;
//! in the daemon they are [`History`] and [`Desk`] and nothing else.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;

use crate::history::{Entry, History, Put};
use crate::judge::{Decision, Desk, Error};

/// What sees records go by: key and value in, false to stop.
pub type See<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// Reads small records. Blocking, but short: the records are in memory or one read away.
pub trait Store: Send + Sync {
    /// One record.
    fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>>;
    /// Records whose key begins with `prefix`, in key order, until `see` returns false.
    fn scan(&self, tree: &'static str, prefix: &[u8], see: See<'_>);
    /// The same, last key first.
    fn scan_back(&self, tree: &'static str, prefix: &[u8], see: See<'_>);
    /// From `from` (inclusive) on, in key order.
    fn scan_from(&self, tree: &'static str, from: &[u8], see: See<'_>);
}

impl Store for History {
    fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        History::get(self, tree, key)
    }

    fn scan(&self, tree: &'static str, prefix: &[u8], see: See<'_>) {
        History::scan(self, tree, prefix, see);
    }

    fn scan_back(&self, tree: &'static str, prefix: &[u8], see: See<'_>) {
        History::scan_back(self, tree, prefix, see);
    }

    fn scan_from(&self, tree: &'static str, from: &[u8], see: See<'_>) {
        History::scan_from(self, tree, from, see);
    }
}

/// What is decided over the state as of the last commit; the number is now, Unix nanoseconds.
pub type Decide = Box<dyn FnOnce(&dyn Store, i64) -> Result<Decision, Error> + Send>;
/// The answer, once what was decided is on disk.
pub type Decided<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Where changes are decided, one after the other.
pub trait Judge: Send + Sync {
    /// Runs `decide` alone and commits what it decides; only then answers.
    fn decide(&self, decide: Decide) -> Decided<'_>;
}

impl Judge for Desk {
    fn decide(&self, decide: Decide) -> Decided<'_> {
        Box::pin(self.transact(move |history, now| decide(history, now).map(|it| (it, ()))))
    }
}

/// [`Judge::decide`] with a result beside the decision.
///
/// # Errors
/// What `decide` refused, or why it was not committed.
pub async fn transact<T, F>(judge: &dyn Judge, decide: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&dyn Store, i64) -> Result<(Decision, T), Error> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    judge
        .decide(Box::new(move |store, now| {
            let (decision, result) = decide(store, now)?;
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(decision)
        }))
        .await?;
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.ok_or_else(|| Error::Busy("the judge answered without deciding".to_owned()))
}

/// A record read as JSON; None when it is not there or cannot be read, which is logged: a record of
/// ours that does not parse is damage, and a page that fails for it would hide all the others.
pub fn get<T: DeserializeOwned>(store: &dyn Store, tree: &'static str, key: &[u8]) -> Option<T> {
    parse(tree, &store.get(tree, key)?)
}

/// The JSON of a stored record.
pub fn parse<T: DeserializeOwned>(tree: &'static str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::error!("a record of `{tree}` cannot be read: {error}"))
        .ok()
}

/// A change of a record.
pub fn put(tree: &'static str, key: impl Into<Vec<u8>>, value: &impl serde::Serialize) -> Put {
    let value = serde_json::to_vec(value)
        .expect("records hold strings, numbers and lists: nothing JSON cannot say");
    Put { tree, key: key.into(), value: Some(value) }
}

/// The end of a record.
pub fn remove(tree: &'static str, key: impl Into<Vec<u8>>) -> Put {
    Put { tree, key: key.into(), value: None }
}

/// A chained entry.
pub fn entry(time: i64, actor: &str, action: &str, body: &serde_json::Value) -> Entry {
    Entry { time, actor: actor.to_owned(), action: action.to_owned(), body: body.to_string() }
}

/// History and judge over a map, for tests.
#[cfg(test)]
pub(crate) mod fake {
    use std::collections::BTreeMap;

    use super::*;

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
            self.state.lock().unwrap().now = now;
        }

        /// What was chained so far.
        pub(crate) fn entries(&self) -> Vec<Entry> {
            self.state.lock().unwrap().entries.clone()
        }

        /// Commits a decision.
        pub(crate) fn commit(&self, decision: Decision) {
            let mut state = self.state.lock().unwrap();
            state.entries.extend(decision.entries);
            for put in decision.puts {
                match put.value {
                    Some(value) => state.records.insert((put.tree, put.key), value),
                    None => state.records.remove(&(put.tree, put.key)),
                };
            }
        }

        fn rows(&self, tree: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
            let state = self.state.lock().unwrap();
            let rows = state.records.iter().filter(|((of, _), _)| *of == tree);
            rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        }
    }

    impl Store for Fake {
        fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
            self.state.lock().unwrap().records.get(&(tree, key.to_vec())).cloned()
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
    }

    impl Judge for Fake {
        fn decide(&self, decide: Decide) -> Decided<'_> {
            let now = self.state.lock().unwrap().now;
            let decided = decide(self, now);
            Box::pin(async move { decided.map(|decision| self.commit(decision)) })
        }
    }
}

//! History as everything above it sees it: small records are read, and a change is decided and
//! committed. Two traits, so that what is built on them is tested over a map; in the daemon they are
//! [`History`] and the judge's desk and nothing else.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hengwei_protocol::Kind;
use serde::de::DeserializeOwned;

use crate::history::{Entry, History, Put, QueueLedger};

#[cfg(test)]
pub(crate) mod fake;

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
    /// Where a queue of an agent stands.
    fn queue(&self, agent: &str, kind: Kind, epoch: &[u8; 16]) -> Option<QueueLedger>;
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

    fn queue(&self, agent: &str, kind: Kind, epoch: &[u8; 16]) -> Option<QueueLedger> {
        History::queue(self, agent, kind, epoch)
    }
}

/// What a transaction decides: chained entries and changes of small records, committed together.
#[derive(Debug, Default)]
pub struct Decision {
    /// Chained.
    pub entries: Vec<Entry>,
    /// Small records.
    pub puts: Vec<Put>,
}

/// Why the judge did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The batch begins beyond what is expected.
    #[error("a batch begins at {found} where {expected} was expected")]
    Hole {
        /// First number not committed.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Short of space, or stopping.
    #[error("not taken: {0}")]
    Busy(String),
    /// A transaction said no: what the operator is told.
    #[error("{0}")]
    Refused(String),
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

//! What the agent observes. The one table of all sources, and what a source is.
//!
//! A source turns something of the host into chunks of records and hands them to its [`Output`].
//! It does its one job and returns the error; the supervisor around it restarts it, with a growing
//! pause, and says so. A source reads below a root (`/` on a real host), so that tests bring their
//! own `/etc` and `/proc`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Origin, record::Body};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::spool::{Appended, Spool};
use crate::time;

mod supervisor;

pub use crate::record::{Chunk, NewRecord};
pub use supervisor::{Entry, Observer, Section, Status, Supervisor, supervise};

pub mod assets;
pub mod files;
pub mod integrity;
pub mod journal;
pub mod logins;
pub mod performance;

/// Every source. To add one, write its file and name it here, twice.
pub const SOURCES: &[Entry] = &[
    Entry::of::<assets::Assets>("assets"),
    Entry::of::<files::Files>("files"),
    Entry::of::<integrity::Integrity>("integrity"),
    Entry::of::<journal::Journal>("journal"),
    Entry::of::<logins::Logins>("logins"),
    Entry::of::<performance::Performance>("performance"),
];

/// Where a source begins to read when it never read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// With what is written from now on.
    #[default]
    End,
    /// With the oldest there is.
    Start,
}

/// Where a source's chunks go.
#[derive(Debug, Clone)]
pub struct Output {
    source: Arc<str>,
    waits: bool,
    spool: Spool,
    reports: Reports,
    lost: Arc<Mutex<Lost>>,
}

/// What sources show to an operator: under a path or a unit, one line.
pub type Reports = Arc<Mutex<BTreeMap<String, String>>>;

/// What was not taken and is still to be told.
#[derive(Debug, Default)]
struct Lost {
    records: u64,
    bytes: u64,
    /// The queue the first of it would have gone to, and where it came from.
    place: Option<(Kind, Arc<Origin>)>,
}

/// The agent is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

impl Output {
    /// The output of the source of that name; `waits` when what it reads stays where it is.
    pub fn new(source: &str, waits: bool, spool: Spool, reports: Reports) -> Output {
        Output { source: source.into(), waits, spool, reports, lost: Arc::default() }
    }

    /// Hands over a chunk. For a source that can wait, returns when the spool has room; for one that
    /// can't, at once, and what does not fit becomes a gap by the spool's own rules.
    pub async fn send(&self, chunk: Chunk) -> Result<(), Stopping> {
        self.tell_lost().await?;
        let place = (chunk.kind, Arc::clone(&chunk.origin));
        let records = chunk.records.len() as u64;
        let bytes: usize = chunk.records.iter().map(NewRecord::size).sum();
        if self.append(chunk).await? == Appended::Overrun {
            let mut lost = self.lost();
            lost.records += records;
            lost.bytes += bytes as u64;
            lost.place.get_or_insert(place);
        }
        Ok(())
    }

    /// The last place stored on disk under `key`, of this source. While chunks are under way theirs
    /// is not it yet; before a source is started again they are waited for.
    pub fn position(&self, key: &str) -> Option<Bytes> {
        self.spool.position(&self.source, key)
    }

    /// Every place of this source whose key begins with `prefix`.
    pub fn positions(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.spool.positions(&self.source, prefix)
    }

    /// Shows an operator what is wrong or how far it is (`hengwei-agent status`): under `what` (a
    /// path, a unit), one line; None clears it.
    pub fn report(&self, what: &str, problem: Option<String>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(line) => reports.insert(what.to_owned(), line),
            None => reports.remove(what),
        };
    }

    /// Sends the gap for what an earlier chunk lost, if it fits now.
    async fn tell_lost(&self) -> Result<(), Stopping> {
        let lost = std::mem::take(&mut *self.lost());
        let Some((kind, origin)) = lost.place.clone() else { return Ok(()) };
        let now = time::now();
        let detail = "the spool's disk did not keep up".to_owned();
        let gap = NewRecord::gap(now, Cause::Overrun, lost.records, lost.bytes, detail);
        let chunk = Chunk { kind, origin, records: vec![gap], position: None };
        if self.append(chunk).await? == Appended::Overrun {
            let mut newer = self.lost();
            newer.records += lost.records;
            newer.bytes += lost.bytes;
            newer.place = lost.place;
        }
        Ok(())
    }

    async fn append(&self, chunk: Chunk) -> Result<Appended, Stopping> {
        self.spool.append(&self.source, chunk, self.waits).await.map_err(|_| Stopping)
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, Lost> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NewRecord {
    /// Bytes of its body, about.
    fn size(&self) -> usize {
        match &self.body {
            Some(Body::Original(bytes)) => bytes.len(),
            Some(Body::Fields(fields)) => prost::Message::encoded_len(fields),
            Some(Body::Gap(_)) | None => 0,
        }
    }
}

/// What every source is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the host's file system begins: `/`, or a test's folder.
    pub root: PathBuf,
    /// Where its chunks go.
    pub output: Output,
    /// Cancelled when the agent stops: finish the chunk at hand and return.
    pub stop: CancellationToken,
}

/// Something to observe.
pub trait Source: Sized + Send + 'static {
    /// Its section in the configuration, as written.
    type Config: serde::de::DeserializeOwned + Default + Send;
    /// Whether what it reads stays where it is while the spool is full (a file, the journal).
    const CAN_WAIT: bool;
    /// Checks the configuration, without reading the host; None when there is nothing to do.
    /// The error names the key and the remedy.
    fn configure(config: Self::Config) -> anyhow::Result<Option<Self>>;
    /// What it would need to read and can't, one line each with the remedy (`hengwei-agent check`).
    fn unreadable(&self, root: &std::path::Path) -> Vec<String>;
    /// Observes until stopped.
    fn run(&mut self, context: Context) -> impl Future<Output = anyhow::Result<()>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_source_once() {
        let mut names: Vec<&str> = SOURCES.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SOURCES.len());
    }
}

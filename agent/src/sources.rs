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
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Field, Fields, Gap, Origin, record::Body};
use hengwei_protocol::{Kind, identity, limits};
use tokio_util::sync::CancellationToken;

use crate::spool::{Appended, Spool};
use crate::time;

mod supervisor;

pub use supervisor::{Entry, Observer, Section, Status, Supervisor, supervise};

pub mod assets;
pub mod files;
pub mod integrity;
pub mod journal;
pub mod performance;

/// Every source. To add one, write its file and name it here, twice.
pub const SOURCES: &[Entry] = &[
    Entry::of::<assets::Assets>("assets"),
    Entry::of::<files::Files>("files"),
    Entry::of::<integrity::Integrity>("integrity"),
    Entry::of::<journal::Journal>("journal"),
    Entry::of::<performance::Performance>("performance"),
];

/// One record before it has a number.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// The record's own time, Unix nanoseconds; 0 when only its text says it.
    pub time: i64,
    /// When it was read, Unix nanoseconds.
    pub created: i64,
    /// Original bytes, typed fields or a gap.
    pub body: Option<Body>,
    /// Set when the original was cut: its full length.
    pub length: u64,
    /// Set when the original was cut: SHA-256 of the whole.
    pub sha256: Bytes,
}

impl NewRecord {
    /// A line as it was read; cut to what is kept, with its length and digest, when it is longer.
    pub fn line(created: i64, original: Bytes) -> NewRecord {
        let mut record = NewRecord { created, ..NewRecord::default() };
        let mut kept = original;
        if kept.len() > limits::MAX_ORIGINAL {
            record.length = kept.len() as u64;
            record.sha256 = Bytes::copy_from_slice(&identity::sha256(&kept));
            // A copy, so that the rest of the line does not stay in memory with it.
            kept = Bytes::copy_from_slice(&kept[..limits::MAX_ORIGINAL]);
        }
        record.body = Some(Body::Original(kept));
        record
    }

    /// Typed fields.
    pub fn fields(created: i64, fields: Vec<Field>) -> NewRecord {
        let body = Some(Body::Fields(Fields { fields }));
        NewRecord { time: created, created, body, ..NewRecord::default() }
    }

    /// Something that is missing.
    pub fn gap(created: i64, cause: Cause, records: u64, bytes: u64, detail: String) -> NewRecord {
        let cause = cause.as_str().to_owned();
        let body = Some(Body::Gap(Gap { span: 1, records, bytes, cause, detail }));
        NewRecord { time: created, created, body, ..NewRecord::default() }
    }
}

/// Records that go to the spool together, with the source's place after the last of them. All or
/// nothing of it survives a crash.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The queue it travels in.
    pub kind: Kind,
    /// What the records have in common.
    pub origin: Arc<Origin>,
    /// The records; may be empty when only the place moved.
    pub records: Vec<NewRecord>,
    /// Where the source goes on after these records: a key of its own choosing and opaque bytes.
    /// Empty bytes forget the key.
    pub position: Option<(String, Bytes)>,
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
    fn a_line_is_kept_whole_up_to_the_limit_and_told_beyond_it() {
        let check = |len: usize, kept: usize, length: u64| {
            let whole = vec![b'x'; len];
            let record = NewRecord::line(5, whole.clone().into());
            assert_eq!(record.body, Some(Body::Original(vec![b'x'; kept].into())), "{len}");
            assert_eq!((record.created, record.length), (5, length));
            let digest = if length > 0 { identity::sha256(&whole).to_vec() } else { Vec::new() };
            assert_eq!(record.sha256, digest, "{len}");
        };
        check(0, 0, 0);
        check(limits::MAX_ORIGINAL, limits::MAX_ORIGINAL, 0);
        check(limits::MAX_ORIGINAL + 1, limits::MAX_ORIGINAL, limits::MAX_ORIGINAL as u64 + 1);
        check(10 << 20, limits::MAX_ORIGINAL, 10 << 20);
    }

    #[test]
    fn the_table_names_each_source_once() {
        let mut names: Vec<&str> = SOURCES.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SOURCES.len());
    }
}

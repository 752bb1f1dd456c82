//! The durable queue between sources and shipper. In: chunks of records with their source's position.
//! Out: ranges of numbered records for the wire, and positions for a source that starts again. It
//! knows neither what a record says nor how it travels.
//!
//! # Layout
//!
//! ```text
//! spool/lock                      held by the agent that runs
//! spool/<kind>/state              epoch, acknowledged number and its digest, known gaps
//! spool/<kind>/<index>-<salt>.spool   header, snapshot of all positions, frames …
//! ```
//!
//! Each kind has a queue with its own numbers. A frame holds what one round wrote into one queue:
//! records, and in the same CRC the positions of the sources they came from, so either both survive or
//! neither does. Frames carry a sequence number that rises over all queues; of two positions under one
//! name the one with the higher number holds. Every file begins with a snapshot of all positions,
//! therefore deleting older files never loses one; the newest file of a queue is never deleted.
//!
//! On disk numbers never restart. What is sent is `number − start + 1`, `start` being where the epoch
//! began: a new epoch renumbers everything not acknowledged by changing two fields of the state.
//!
//! # Who does what
//!
//! One thread (`write`) writes, syncs, deletes. Readers look at a `view` that only ever holds what
//! is synced. Sources wait for a share of memory and, where what they read can wait, for room on
//! disk. Files go when the collector has all of them; when there is no room, by
//! [`Kind::DROP_ORDER`], with a gap left in the place of exactly the numbers that went.
//!
//! # What a crash leaves
//!
//! - Half a frame: no frame was written before its predecessor was synced, so nothing intact can
//!   follow it. It is cut; its sources never heard of success and read again from their old positions.
//! - Half a file, without an intact snapshot: it is removed; nothing was written behind it yet.
//! - An acknowledgement not saved: Hello says an older number, Welcome the newer one with its digest,
//!   and since a file is only deleted after the state was saved, the record to compare is still there.
//! - A file whose numbers are a gap in the state or acknowledged: the removal did not happen; it does.
//!
//! Damage with an intact frame behind it was no torn write: its numbers become a gap "spool-damaged"
//! and the rest is used. After a failed sync nobody knows what is on disk: the writer stops
//! ([`Health::Poisoned`]), the process ends and opens again.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{self, Origin, Record, record::Body};
use hengwei_protocol::{Kind, identity, limits, record};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::record::{Chunk, NewRecord};

mod disk;
mod format;
mod read;
mod recover;
mod state;
#[cfg(test)]
mod tests;
mod view;
mod write;

use disk::Disk;
use view::{Positions, Shared, View};
use write::{Entry, Message};

pub use format::Epoch;
pub use read::{Known, Slice};
pub use view::Health;

/// The most a spool takes when the configuration does not say.
pub const MAX_BYTES: u64 = 1 << 30;
/// The share of the file system it takes at most when the configuration does not say, in percent.
pub const MAX_PERCENT: u64 = 5;
/// What it leaves free of the file system, in percent.
pub const FREE_PERCENT: u64 = 10;
/// A file is full at this size.
pub const FILE_BYTES: u64 = 16 << 20;
/// The least a spool can work with.
pub const MIN_BYTES: u64 = 1 << 20;
/// One part in so many is kept for sources that can't wait.
const RESERVE_SHARE: u64 = 8;
/// One record, encoded.
const MAX_RECORD: usize = 1 << 20;
/// Chunks on their way to disk, for sources that can wait and for the others.
const UNDER_WAY_BYTES: u64 = 8 << 20;
/// Bytes one permit stands for.
const UNIT: usize = 1024;
/// Name of the source of what the spool itself has to say.
const SOURCE: &str = "spool";

/// Why the spool could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another agent holds it.
    #[error("{0} is held by another hengwei-agent: stop that one, or set another `data` folder")]
    Locked(PathBuf),
    /// Written by a newer agent.
    #[error(
        "{0} is of version {1}, which this agent cannot read: install the newer agent again, or move the file away"
    )]
    Version(PathBuf, u32),
    /// The file system refused.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Error {
    fn io(path: &Path, error: io::Error) -> Error {
        Error::Io { path: path.to_owned(), error }
    }
}

/// The spool takes nothing any more: it was closed, or a sync failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the spool is closed")]
pub struct Closed;

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is on its way to disk.
    Taken,
    /// The disk does not keep up and the source cannot wait: it was not taken.
    Overrun,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// Something is no longer needed.
    Advanced,
    /// It was known.
    Known,
    /// It is about another epoch.
    OtherEpoch,
    /// It is about numbers that were never given out.
    Ahead,
}

/// How large a spool may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes on disk; None is the smaller of [`MAX_BYTES`] and [`MAX_PERCENT`] of the file system.
    pub max_bytes: Option<u64>,
}

/// The options as used.
#[derive(Debug, Clone)]
struct Limits {
    dir: PathBuf,
    max_bytes: u64,
    file_bytes: u64,
    /// Usable however little is free.
    floor_bytes: u64,
}

/// One queue for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Which.
    pub kind: String,
    /// Its epoch, hexadecimal.
    pub epoch: String,
    /// The number the next record gets.
    pub next: u64,
    /// Everything below is stored by the collector.
    pub acked: u64,
    /// Numbers that are not.
    pub waiting: u64,
    /// When the oldest of them was read, Unix nanoseconds.
    pub oldest: Option<i64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Gaps among what waits.
    pub gaps: usize,
}

/// The spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    messages: Sender<Message>,
    /// What may be under way, of sources that can wait and of the others.
    waiting: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
    units: u32,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Spool {
    /// Opens (or begins) the spool in `dir`. Reads all of it once; blocking.
    pub fn open(dir: &Path, options: &Options) -> Result<Spool, Error> {
        Spool::open_on(Disk::default(), dir, options)
    }

    fn open_on(disk: Disk, dir: &Path, options: &Options) -> Result<Spool, Error> {
        let io = |error| Error::io(dir, error);
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = lock(dir)?;
        let mut positions = Positions::default();
        let mut queues = Vec::new();
        let mut seq = 0;
        let mut kinds = Kind::ALL;
        kinds.sort();
        for kind in kinds {
            let (queue, newest) =
                recover::queue(&disk, &dir.join(kind.as_str()), kind, &mut positions)?;
            queues.push(queue);
            seq = seq.max(newest);
        }
        disk.sync_dir(dir).map_err(io)?;
        let seq = seq.max(positions.seq());
        let limits = limits(&disk, dir, options)?;
        let units = u32::try_from((limits.max_bytes / 16).min(UNDER_WAY_BYTES) / UNIT as u64);
        let units = units.unwrap_or(u32::MAX).max(64);
        let shared = Arc::new(Shared::new(View { queues, positions }));
        let (messages, received) = mpsc::channel();
        let writer = write::Writer::new(Arc::clone(&shared), disk, limits, seq);
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || {
                writer.run(&received);
                // Nobody else may open it while the thread lives.
                drop(lock);
            })
            .map_err(io)?;
        Ok(Spool {
            shared,
            messages,
            waiting: Arc::new(Semaphore::new(units as usize)),
            urgent: Arc::new(Semaphore::new(units as usize)),
            units,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Takes a chunk. A source that `waits` is held up until there is room; for another one the
    /// answer comes at once. Taken is not yet stored: see [`Spool::flush`].
    pub async fn append(
        &self,
        source: &Arc<str>,
        chunk: Chunk,
        waits: bool,
    ) -> Result<Appended, Closed> {
        let (records, bytes) = admit(chunk.records);
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        let share = if waits {
            self.running(self.has_room()).await?;
            let share = Arc::clone(&self.waiting).acquire_many_owned(units);
            self.running(share).await?.map_err(|_| Closed)?
        } else {
            match Arc::clone(&self.urgent).try_acquire_many_owned(units) {
                Ok(share) => share,
                Err(_) if *self.shared.health.borrow() == Health::Running => {
                    return Ok(Appended::Overrun);
                }
                Err(_) => return Err(Closed),
            }
        };
        let entry = Entry {
            source: Arc::clone(source),
            kind: chunk.kind,
            origin: origin(&chunk.origin),
            records,
            position: chunk.position,
            waits,
            bytes,
            share,
        };
        self.messages.send(Message::Chunk(Box::new(entry))).map_err(|_| Closed)?;
        Ok(Appended::Taken)
    }

    /// Returns once everything that was taken before is synced.
    pub async fn flush(&self) -> Result<(), Closed> {
        self.ask(Message::Flush).await
    }

    /// Returns when the writing thread has shown that it lives.
    pub async fn ping(&self) -> Result<(), Closed> {
        self.ask(Message::Ping).await
    }

    /// The stored position of a source under a key.
    pub fn position(&self, source: &str, key: &str) -> Option<Bytes> {
        self.shared.view().positions.get(source, key)
    }

    /// The stored positions of a source under keys with a prefix.
    pub fn positions(&self, source: &str, prefix: &str) -> Vec<(String, Bytes)> {
        self.shared.view().positions.with_prefix(source, prefix)
    }

    /// Where a queue stands, as Hello says it.
    pub fn state(&self, kind: Kind) -> wire::QueueState {
        let view = self.shared.view();
        let queue = view.queue(kind);
        wire::QueueState {
            kind: kind.into(),
            epoch: queue.state.epoch.clone(),
            next: queue.sent(queue.state.acked),
            digest: queue.state.digest.clone(),
        }
    }

    /// The number the next record of a queue gets, as it is sent.
    pub fn next(&self, kind: Kind) -> u64 {
        let view = self.shared.view();
        let queue = view.queue(kind);
        queue.sent(queue.next)
    }

    /// Records from the number `from` on, about `max_bytes` of them and at least one; None when
    /// nothing is there yet. Blocking.
    pub fn read(&self, kind: Kind, from: u64, max_bytes: usize) -> Result<Option<Slice>, Error> {
        read::read(&self.shared, kind, from, max_bytes)
    }

    /// What is known of the record sent as `number`. Blocking.
    pub fn known(&self, kind: Kind, number: u64) -> Result<Known, Error> {
        read::known(&self.shared, kind, number)
    }

    /// The collector has stored everything below `next` of that epoch; `digest` is that of the last.
    pub fn ack(&self, kind: Kind, epoch: &[u8], next: u64, digest: Option<[u8; 32]>) -> Acked {
        let mut view = self.shared.view();
        let queue = view.queue_mut(kind);
        if queue.state.epoch != epoch {
            return Acked::OtherEpoch;
        }
        let on_disk = queue.on_disk(next);
        if on_disk > queue.next {
            return Acked::Ahead;
        }
        if on_disk <= queue.state.acked {
            return Acked::Known;
        }
        let digest = digest.map_or_else(Bytes::new, |digest| Bytes::copy_from_slice(&digest));
        queue.state.ack(on_disk, digest);
        queue.unsaved = true;
        let spent = queue.segments.len() > 1 && queue.segments[0].next <= on_disk;
        drop(view);
        if spent || *self.shared.full.borrow() {
            // A writer that has ended has nothing to delete.
            drop(self.messages.send(Message::Reap));
        }
        Acked::Advanced
    }

    /// Begins a new epoch of a queue, durably: what is not acknowledged is sent again under new
    /// numbers, behind a gap of this cause.
    pub async fn begin_epoch(
        &self,
        kind: Kind,
        cause: Cause,
        detail: String,
    ) -> Result<(), Closed> {
        self.ask(|done| Message::BeginEpoch { kind, cause, detail, done }).await
    }

    /// Counts up whenever something became readable.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// How the writer is; anything but running is final.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Whether everything synced is acknowledged.
    pub fn is_drained(&self) -> bool {
        self.shared.view().queues.iter().all(|queue| queue.depth() == 0)
    }

    /// Whether sources that can wait do.
    pub fn is_full(&self) -> bool {
        *self.shared.full.borrow()
    }

    /// Every queue for an operator. Blocking.
    pub fn status(&self) -> Vec<QueueStatus> {
        Kind::ALL.into_iter().map(|kind| self.queue_status(kind)).collect()
    }

    fn queue_status(&self, kind: Kind) -> QueueStatus {
        let (acked, mut status) = {
            let view = self.shared.view();
            let queue = view.queue(kind);
            let acked = queue.sent(queue.state.acked);
            let status = QueueStatus {
                kind: kind.to_string(),
                epoch: identity::hex(&queue.state.epoch),
                next: queue.sent(queue.next),
                acked,
                waiting: queue.depth(),
                oldest: None,
                bytes: queue.bytes(),
                gaps: queue.state.gaps.len(),
            };
            (acked, status)
        };
        if status.waiting > 0 {
            let oldest = self.read(kind, acked, 1).ok().flatten();
            status.oldest = oldest.map(|slice| slice.block.records[0].created);
        }
        status
    }

    /// Writes what is there, syncs, saves, and ends the thread.
    pub async fn close(&self) -> Health {
        // An error means that it has ended already.
        drop(self.messages.send(Message::Close));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        self.shared.health.borrow().clone()
    }

    async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<()>) -> Message,
    ) -> Result<(), Closed> {
        let (done, answer) = oneshot::channel();
        self.messages.send(message(done)).map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    async fn has_room(&self) {
        // The sender lives as long as this does.
        drop(self.shared.full.subscribe().wait_for(|full| !full).await);
    }

    /// Waits for something the writer brings about, or for its end.
    async fn running<T>(&self, wish: impl Future<Output = T>) -> Result<T, Closed> {
        let mut health = self.shared.health.subscribe();
        tokio::select! {
            biased;
            _ = health.wait_for(|health| *health != Health::Running) => Err(Closed),
            granted = wish => Ok(granted),
        }
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let open = File::options().create(true).append(true).open(&path);
    let file = open.map_err(|error| Error::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::io(&path, error)),
    }
}

fn limits(disk: &Disk, dir: &Path, options: &Options) -> Result<Limits, Error> {
    let space = disk.space(dir).map_err(|error| Error::io(dir, error))?;
    let usual = MAX_BYTES.min(space.total / 100 * MAX_PERCENT);
    let max_bytes = options.max_bytes.unwrap_or(usual).max(MIN_BYTES);
    Ok(Limits {
        dir: dir.to_owned(),
        max_bytes,
        file_bytes: FILE_BYTES.min(max_bytes / 16),
        floor_bytes: FILE_BYTES,
    })
}

/// Records as they are stored, each within the limits of the wire, and their size. One that is not
/// would stop its queue for good: a gap that says so takes its place.
fn admit(records: Vec<NewRecord>) -> (Vec<Record>, usize) {
    let mut bytes = 0;
    let records = records.into_iter().map(|new| {
        let mut record = Record {
            time: new.time,
            created: new.created,
            body: new.body,
            length: new.length,
            sha256: new.sha256,
            ..Record::default()
        };
        if let Some(Body::Gap(gap)) = &mut record.body {
            // Only the spool's own gaps stand for numbers.
            gap.span = 1;
            truncate(&mut gap.detail, limits::MAX_NAME);
        }
        let len = record.encoded_len();
        let wrong = match record::check(&record) {
            Err(why) => Some(why),
            Ok(()) => (len > MAX_RECORD).then_some("a record of more than 1 MiB"),
        };
        if let Some(why) = wrong {
            tracing::error!(why, bytes = len, "a source made a record that cannot be sent");
            let gap = wire::Gap {
                span: 1,
                records: 1,
                bytes: len as u64,
                cause: Cause::Unreadable.as_str().to_owned(),
                detail: why.to_owned(),
            };
            let (time, created) = (record.time, record.created);
            record = Record { time, created, body: Some(Body::Gap(gap)), ..Record::default() };
            bytes += record.encoded_len();
        } else {
            bytes += len;
        }
        record
    });
    let records = records.collect();
    (records, bytes)
}

/// An origin within the limits of the wire.
fn origin(origin: &Arc<Origin>) -> Arc<Origin> {
    let long = |text: &String| text.len() > limits::MAX_NAME;
    if ![&origin.source, &origin.path, &origin.dataset, &origin.charset].into_iter().any(long) {
        return Arc::clone(origin);
    }
    let mut short = Origin::clone(origin);
    for text in [&mut short.source, &mut short.path, &mut short.dataset, &mut short.charset] {
        truncate(text, limits::MAX_NAME);
    }
    Arc::new(short)
}

fn truncate(text: &mut String, len: usize) {
    text.truncate(text.floor_char_boundary(len));
}

fn new_epoch() -> Epoch {
    let mut epoch = Epoch::default();
    aws_lc_rs::rand::fill(&mut epoch).expect("the system's random numbers never fail once booted");
    epoch
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers never fail once booted");
    u64::from_le_bytes(bytes)
}

//! The writer: one commit after the other, each on disk before anybody hears of it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use hengwei_protocol::wire::Heads;
use rustix::fs::FallocateFlags;
use tracing::{error, info, warn};

use super::chain::{self, Class, Key, Tips, Unpacked};
use super::disk::{Disk, Space};
use super::index::{self, Direct, Index};
use super::log::{self, Frame, LogFile, Refused, Tail};
use super::merge::Merger;
use super::open::{self, INDEX, LOG, Options};
use super::read::{Correlations, History, View};
use super::status::Counters;
use super::stored::{Batch, Commit, Manifest, Removed, StoredEntry, StoredPut};
use super::{Committed, Draft, Error, MAX_DRAFT_RAW, checkpoint, ledger, seal, tree};
use crate::time;

/// After low water, batches are taken again when this part of it is free on top.
const HYSTERESIS: u64 = 8;
pub(super) const RESERVE: &str = "reserve";

/// What writer, readers and sealer share.
pub(super) struct Inner {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) key: Option<Key>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) index: Index,
    /// As of the last commit.
    pub(super) heads: RwLock<Heads>,
    pub(super) log: Mutex<Log>,
    pub(super) correlations: Mutex<Correlations>,
    pub(super) view: RwLock<Arc<View>>,
    /// The newest signed heads.
    pub(super) signed: Mutex<Option<Heads>>,
    /// Held for the whole of a seal: there is one at a time.
    pub(super) manifest: Mutex<Manifest>,
    /// What the manifest says was removed, for whoever can't wait for a seal.
    pub(super) removed: Mutex<Vec<Removed>>,
    /// Held for the whole of a merge.
    pub(super) merger: Mutex<Merger>,
    pub(super) counters: Counters,
    pub(super) signal: Mutex<Signal>,
    pub(super) wake: Condvar,
}

/// The end of the log, and where the chain stands.
pub(super) struct Log {
    pub(super) tail: Tail,
    /// Of the last commit.
    pub(super) number: u64,
    pub(super) tips: Tips,
    pub(super) signed_tips: Tips,
    pub(super) signed_at: Instant,
    pub(super) poisoned: Option<String>,
    /// Below low water.
    pub(super) low: bool,
}

/// What the sealer is to do.
#[derive(Debug, Default)]
pub(super) struct Signal {
    pub(super) stop: bool,
    pub(super) seal: bool,
    pub(super) save: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A lock whose holder panicked guards data that is still whole: everything behind these locks is
/// replaced in one step.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes history; there is one.
#[derive(Debug)]
pub struct Writer {
    inner: Arc<Inner>,
    /// The sealer and the merger.
    threads: Vec<JoinHandle<()>>,
    /// Held for its drop.
    _lock: File,
}

impl Writer {
    /// Opens (or begins) history below `dir`, rebuilding the index where it can't be trusted.
    pub fn open(dir: &std::path::Path, options: Options) -> Result<(Writer, History), Error> {
        open::start(dir, options, false)
    }

    pub(super) fn new(inner: Arc<Inner>, threads: Vec<JoinHandle<()>>, lock: File) -> Writer {
        Writer { inner, threads, _lock: lock }
    }

    /// Writes and syncs one commit, then brings the index up to it. Blocking.
    ///
    /// After [`Error::Full`] nothing has happened and the same draft may be tried again. After
    /// [`Error::Poisoned`] nothing more is taken: the process is to exit and open again.
    pub fn commit(&mut self, draft: Draft) -> Result<Committed, Error> {
        let inner = &*self.inner;
        let mut log = locked(&inner.log);
        if let Some(text) = &log.poisoned {
            return Err(Error::Poisoned(text.clone()));
        }
        if inner.index.failed() {
            return Err(Error::Poisoned(
                "the index failed; it is rebuilt at the next start".into(),
            ));
        }
        inner.check_room(&mut log, !draft.received.is_empty())?;
        inner.check_draft(&draft)?;
        if inner.rotation_due(&log) {
            // Without room for a new file the old one goes on; the next commit tries again.
            match inner.rotate(&mut log) {
                Err(Error::Poisoned(text)) => return Err(Error::Poisoned(text)),
                Err(error) => warn!("no new log file: {error}"),
                Ok(()) => {}
            }
        }
        let number = log.number + 1;
        let (commit, received) = encoded(draft);
        let batches = commit.batches.iter().zip(&received).filter_map(|(batch, received)| {
            let sender = batch.sender.as_ref()?;
            Some(Unpacked { sender, block: &received.records, raised: &batch.raised })
        });
        let steps = chain::steps(&log.tips, number, batches, &commit.entries, &commit.puts);
        let commit = Commit { steps, ..commit };
        let (offset, len) = log.tail.encode(log::COMMIT, number, &commit)?;
        inner.append(&mut log, received.is_empty())?;
        if let Err(error) = log.tail.sync(&*inner.disk) {
            let text = format!("{}: {error}", log.tail.file.path.display());
            error!(error = text, "a sync failed; what is on disk is not known");
            log.poisoned = Some(text.clone());
            return Err(Error::Poisoned(text));
        }
        // From here on it has happened.
        log.number = number;
        log.tips.advance(number, &commit.steps);
        log.tail.file.note(Frame::new(number, offset, len, &commit), &commit);
        let senders = commit.batches.iter().filter_map(|batch| batch.sender.as_ref());
        let parts = senders.zip(received.iter().map(|received| &*received.records));
        checkpoint::apply(&mut Direct(&inner.index), commit.time, parts, &commit.puts);
        if let Err(error) = inner.index.applied(number) {
            log.poisoned = Some(error.to_string());
            return Err(error);
        }
        locked(&inner.correlations).take(number, commit.correlations);
        if log.signed_at.elapsed() >= inner.options.sign_every {
            inner.sign(&mut log);
        }
        let heads = inner.publish_heads(&log, commit.time);
        Ok(Committed { number, heads })
    }

    /// Why no batches can be taken now, when the file system is below its low water.
    pub fn short_of_space(&self) -> Option<String> {
        self.inner
            .check_room(&mut locked(&self.inner.log), true)
            .err()
            .map(|error| error.to_string())
    }

    /// Whether the next draft should carry a snapshot of correlation state: the log has moved on to
    /// another file since the last one.
    pub fn wants_correlations(&self) -> bool {
        let file = locked(&self.inner.log).tail.file.base;
        locked(&self.inner.correlations).commit < file
    }

    /// Stops sealing and merging, signs the heads and closes the index in order. Without this the next open
    /// builds the index again.
    pub fn close(mut self) -> Result<(), Error> {
        self.stop_threads();
        let inner = &*self.inner;
        let mut log = locked(&inner.log);
        if let Some(text) = &log.poisoned {
            return Err(Error::Poisoned(text.clone()));
        }
        inner.sign(&mut log);
        log.tail
            .sync(&*inner.disk)
            .map_err(|error| Error::Poisoned(format!("{}: {error}", inner.dir.display())))?;
        seal::save_signed(inner)?;
        let tips = open::tips_text(&log.tips);
        inner
            .index
            .mark(&inner.dir.join(INDEX), log.number, &tips)
            .map_err(|text| Error::Unusable(format!("the index was not closed in order: {text}")))
    }

    fn stop_threads(&mut self) {
        locked(&self.inner.signal).stop = true;
        self.inner.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a thread of history panicked");
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// A draft in the form it is stored in, without its links, and its batches for hashing.
fn encoded(draft: Draft) -> (Commit, Vec<super::Received>) {
    let commit = Commit {
        time: time::now(),
        batches: draft.received.iter().map(Batch::from).collect(),
        entries: draft.entries.into_iter().map(StoredEntry::from).collect(),
        puts: draft.puts.into_iter().map(StoredPut::from).collect(),
        hits: draft.hits,
        correlations: draft.correlations,
        steps: Vec::new(),
    };
    (commit, draft.received)
}

impl Inner {
    /// Whether every batch goes on where its queue stands. The judge has seen to that; a mistake
    /// here would be written down for ever.
    fn check_draft(&self, draft: &Draft) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::Unusable(text));
        let raw: u64 = draft.received.iter().map(|received| received.raw_len).sum();
        if raw > MAX_DRAFT_RAW {
            return refuse(format!("a draft of {raw} bytes, where {MAX_DRAFT_RAW} are the most"));
        }
        if let Some(put) =
            draft.puts.iter().find(|put| [tree::LEDGER, tree::GAPS].contains(&put.tree))
        {
            return refuse(format!("a put into `{}`, which history keeps itself", put.tree));
        }
        let mut nexts: Vec<(Vec<u8>, u64)> = Vec::new();
        for received in &draft.received {
            let key = ledger::key(&received.agent, received.kind, &received.epoch);
            let at = nexts.iter().position(|(known, _)| *known == key);
            let expected = match at {
                Some(at) => Some(nexts[at].1),
                None => self.queue(&key).map(|row| row.next),
            };
            let first = received.records.records.first().map_or(received.first, |r| r.number);
            if expected.is_some_and(|next| next != received.first) || first != received.first {
                return refuse(format!(
                    "a batch of {}/{} begins at {} where {expected:?} was expected",
                    received.agent, received.kind, received.first,
                ));
            }
            let next = received.first.saturating_add(received.span);
            match at {
                Some(at) => nexts[at].1 = next,
                None => nexts.push((key, next)),
            }
        }
        Ok(())
    }

    pub(super) fn queue(&self, key: &[u8]) -> Option<super::QueueLedger> {
        serde_json::from_slice(&self.index.get(tree::LEDGER, key)?).ok()
    }

    /// Appends the encoded frame. A commit of decisions alone may use up the reserve.
    fn append(&self, log: &mut Log, decisions_only: bool) -> Result<(), Error> {
        let mut refused = log.tail.append(&*self.disk);
        if let Err(Refused::Full(_)) = refused
            && decisions_only
            && self.free_reserve(log.tail.frame_len())
        {
            refused = log.tail.append(&*self.disk);
        }
        let path = log.tail.file.path.display();
        match refused {
            Ok(()) => Ok(()),
            Err(Refused::Full(error)) => Err(Error::Full(format!("{path}: {error}"))),
            Err(Refused::Failed(error)) => Err(Error::Unusable(format!("{path}: {error}"))),
            Err(Refused::Poisoned(error)) => {
                let text = format!("{path}: a part of a frame could not be cut off: {error}");
                log.poisoned = Some(text.clone());
                Err(Error::Poisoned(text))
            }
        }
    }

    /// Room, and below which of it batches are refused.
    pub(super) fn space(&self) -> Option<(Space, u64)> {
        let space = self.disk.space(&self.dir).ok()?;
        let share = space.total_bytes / 100 * self.options.low_water_percent;
        Some((space, self.options.low_water_bytes.min(share)))
    }

    fn check_room(&self, log: &mut Log, receives: bool) -> Result<(), Error> {
        let Some((space, water)) = self.space() else { return Ok(()) };
        let limit = if log.low { water + water / HYSTERESIS } else { water };
        let low = space.free_bytes < limit;
        if low != log.low {
            log.low = low;
            if low {
                warn!(free_bytes = space.free_bytes, "low water: no batches are taken");
            } else {
                info!(free_bytes = space.free_bytes, "room again: batches are taken");
            }
        }
        if low && receives {
            return Err(Error::Full(format!(
                "{}: {} bytes free, {limit} needed; agents keep what they have",
                self.dir.display(),
                space.free_bytes
            )));
        }
        Ok(())
    }

    /// Gives at least `bytes` of the reserve back to the file system. False when it has no more.
    pub(super) fn free_reserve(&self, bytes: u64) -> bool {
        let path = self.dir.join(RESERVE);
        let Ok(file) = File::options().write(true).open(&path) else { return false };
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        // A block more than the frame, for the file system's own needs.
        let rest = len.saturating_sub(bytes.saturating_add(64 << 10));
        warn!(bytes = len - rest, "the disk is full; decisions use the reserve");
        len > 0 && file.set_len(rest).is_ok()
    }

    /// Makes the reserve whole while there is room, and that of the index.
    pub(super) fn keep_reserve(&self) {
        let path = self.dir.join(RESERVE);
        let want = self.options.reserve_bytes;
        let have = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if self.space().is_none_or(|(space, water)| space.free_bytes <= water + want) {
            return;
        }
        if let Err(error) = index::keep_room(&self.dir.join(INDEX)) {
            warn!("the index has no room set aside: {error}");
        }
        if have >= want {
            return;
        }
        let made =
            File::options().create(true).truncate(false).write(true).open(&path).and_then(|file| {
                Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, want)?)
            });
        if let Err(error) = made {
            warn!("{}: no reserve: {error}", path.display());
        }
    }

    pub(super) fn rotation_due(&self, log: &Log) -> bool {
        let begun = log.number >= log.tail.file.base;
        begun
            && (log.tail.len >= self.options.seal_bytes
                || log.tail.begun.elapsed() >= self.options.seal_after)
    }

    /// Goes on in a new log file; the old one is the sealer's.
    pub(super) fn rotate(&self, log: &mut Log) -> Result<(), Error> {
        // Heads that were signed since the last commit may not be on disk yet.
        if let Err(error) = log.tail.sync(&*self.disk) {
            let text = format!("{}: {error}", log.tail.file.path.display());
            log.poisoned = Some(text.clone());
            return Err(Error::Poisoned(text));
        }
        let file = LogFile::create(&self.dir.join(LOG), log.number + 1, &*self.disk);
        let file = Arc::new(file.inspect_err(|error| {
            if let Error::Poisoned(text) = error {
                log.poisoned = Some(text.clone());
            }
        })?);
        log.tail = Tail::of_new(Arc::clone(&file));
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut logs = view.logs.clone();
        logs.push(file);
        *view = Arc::new(View { segments: view.segments.clone(), logs });
        drop(view);
        locked(&self.signal).seal = true;
        self.wake.notify_all();
        Ok(())
    }

    /// Signs the heads when anything is new since they were signed last. Every commit up to here is
    /// synced. The frame itself is not: what is lost of it is signed again.
    pub(super) fn sign(&self, log: &mut Log) {
        log.signed_at = Instant::now();
        let Some(key) = &self.key else { return };
        if log.tips == log.signed_tips {
            return;
        }
        let mut heads = log.tips.heads(time::now());
        key.sign_heads(&mut heads);
        let written =
            log.tail.encode(log::HEADS, log.number, &heads).and_then(|_| self.append(log, false));
        if let Err(error) = written {
            warn!("signed heads were not written: {error}");
        }
        log.signed_tips = log.tips;
        *locked(&self.signed) = Some(heads);
        locked(&self.signal).save = true;
        self.wake.notify_all();
    }

    /// Sets what readers see as the heads: the signed ones when nothing came after them.
    pub(super) fn publish_heads(&self, log: &Log, time: i64) -> Heads {
        let signed = locked(&self.signed).clone();
        let heads = match signed {
            Some(heads) if log.tips == log.signed_tips && self.key.is_some() => heads,
            _ => log.tips.heads(time),
        };
        *self.heads.write().unwrap_or_else(PoisonError::into_inner) = heads.clone();
        heads
    }

    /// Counts records of the log that are in no segment yet.
    pub(super) fn log_entries(&self, class: Class) -> u64 {
        let view = self.view();
        view.logs
            .iter()
            .flat_map(|file| file.frames())
            .map(|frame| u64::from(frame.entries[class.index()]))
            .sum()
    }

    /// Latest time that retention removed of a class.
    pub(super) fn removed_until(&self, class: Class) -> Option<i64> {
        let removed = locked(&self.removed);
        removed.iter().find(|one| one.class == class.number()).map(|one| one.until)
    }

    /// When the last seal was. Not from the manifest itself, which is held for the whole of a seal.
    pub(super) fn last_seal(&self) -> Option<i64> {
        let time = self.counters.last_seal.load(Ordering::Relaxed);
        (time != 0).then_some(time)
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_damage(&self, text: &str) {
        self.counters.damaged.fetch_add(1, Ordering::Relaxed);
        error!("{text}");
    }
}

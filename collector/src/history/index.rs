//! The index: small records in sled, the only place that names it.
//!
//! sled's flush does not survive a power cut and is never relied on. The index says itself how far it
//! is (`applied`) and whether it was closed in order (`mark`, which names the chain tips it belongs
//! to). The mark is taken away at open. Without one that fits the log, the whole folder is moved
//! aside and built again from the newest checkpoint and the commits after it; sled's panics, which it
//! has for damaged files, are caught and mean the same.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::ledger::Rows;
use super::{Error, tree};

/// sled's cache of pages. What it needs beyond is small and per tree.
const CACHE_BYTES: u64 = 64 << 20;
/// The tree for what the index says of itself.
const OWN_TREE: &str = "history";
const APPLIED: &[u8] = b"applied";
const MARK: &[u8] = b"mark";

/// What sled keeps its data in, below its folder.
const DATA: &str = "db";
/// Room behind the end of that file that is already its own.
const ROOM_BYTES: u64 = 8 << 20;
/// So long an open waits for the lock of an index that was closed a moment ago.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Entries and bytes of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Size {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Written when the index is closed in order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    applied: u64,
    /// Digest of the chain tips as of `applied`.
    tips: String,
    trees: BTreeMap<String, Size>,
}

struct Tree {
    sled: sled::Tree,
    entries: AtomicU64,
    bytes: AtomicU64,
}

/// The open index.
pub(super) struct Index {
    db: sled::Db,
    trees: BTreeMap<&'static str, Tree>,
    own: sled::Tree,
    failed: AtomicBool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// Runs something of sled's; its errors and its panics are texts.
fn caught<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("sled panicked".to_owned()),
    }
}

impl Index {
    /// Opens the index of a folder, an empty one where there is none.
    pub(super) fn open(path: &Path) -> Result<Index, String> {
        await_lock(path);
        caught(|| {
            let db = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open()?;
            let trees = tree::ALL
                .iter()
                .map(|name| {
                    let sled = db.open_tree(name)?;
                    let tree = Tree { sled, entries: AtomicU64::new(0), bytes: AtomicU64::new(0) };
                    Ok((*name, tree))
                })
                .collect::<sled::Result<_>>()?;
            let own = db.open_tree(OWN_TREE)?;
            Ok(Index { db, trees, own, failed: AtomicBool::new(false) })
        })
    }

    /// Whether the index was closed in order at exactly this commit and these tips. The mark is used
    /// up: until the next orderly close the index counts as unclean.
    pub(super) fn take_mark(&self, commit: u64, tips: &str) -> Result<(), String> {
        let mark = caught(|| {
            let mark = self.own.remove(MARK)?;
            self.db.flush()?;
            Ok(mark)
        })?;
        let mark = mark.ok_or("it was not closed in order")?;
        let mark: Mark = serde_json::from_slice(&mark).map_err(|error| error.to_string())?;
        if mark.applied != commit || mark.tips != tips {
            return Err(format!(
                "it stands at commit {} where the log is at {commit}",
                mark.applied
            ));
        }
        for (name, tree) in &self.trees {
            let size = mark.trees.get(*name).copied().unwrap_or_default();
            tree.entries.store(size.entries, Ordering::Relaxed);
            tree.bytes.store(size.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Closes in order: from here on the index can be trusted by the next open.
    pub(super) fn mark(&self, path: &Path, commit: u64, tips: &str) -> Result<(), String> {
        if self.failed.load(Ordering::Relaxed) {
            return Err("it failed before".to_owned());
        }
        let trees = self.sizes().into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        let mark = Mark { applied: commit, tips: tips.to_owned(), trees };
        let mark = serde_json::to_vec(&mark).map_err(|error| error.to_string())?;
        caught(|| {
            self.own.insert(MARK, mark)?;
            self.db.flush().map(|_| ())
        })?;
        // sled's flush leaves the data in the system's hands; this does not.
        sync_files(path).map_err(|error| error.to_string())
    }

    /// Takes note that every change up to this commit is in.
    pub(super) fn applied(&self, commit: u64) -> Result<(), Error> {
        self.note(caught(|| self.own.insert(APPLIED, &commit.to_be_bytes()).map(|_| ())));
        if self.failed() {
            return Err(Error::Poisoned(
                "the index failed after its commit was synced; it is rebuilt at the next start"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether sled failed since it was opened: what it answers can't be trusted any more.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, tree: &str, key: &[u8]) -> Option<Vec<u8>> {
        let tree = self.trees.get(tree)?;
        self.note(caught(|| tree.sled.get(key))).flatten().map(|value| value.to_vec())
    }

    /// Walks keys that begin with `prefix`, or from `prefix` on when `open_end`.
    pub(super) fn walk(
        &self,
        tree: &str,
        from: &[u8],
        open_end: bool,
        back: bool,
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        let Some(tree) = self.trees.get(tree) else { return };
        let mut rows = if open_end { tree.sled.range(from..) } else { tree.sled.scan_prefix(from) };
        loop {
            // Only sled's own step is caught: a panic of the caller's stays the caller's.
            let row = caught(|| {
                let row = if back { rows.next_back() } else { rows.next() };
                row.transpose()
            });
            match self.note(row).flatten() {
                Some((key, value)) if see(&key, &value) => {}
                _ => return,
            }
        }
    }

    /// Bytes of the index on disk; 0 where sled can't say.
    pub(super) fn disk_bytes(&self) -> u64 {
        caught(|| self.db.size_on_disk()).unwrap_or(0)
    }

    pub(super) fn sizes(&self) -> Vec<(&'static str, Size)> {
        let size = |tree: &Tree| Size {
            entries: tree.entries.load(Ordering::Relaxed),
            bytes: tree.bytes.load(Ordering::Relaxed),
        };
        tree::ALL.iter().map(|name| (*name, size(&self.trees[name]))).collect()
    }

    /// Sets or removes a key and keeps count.
    pub(super) fn put(&self, tree: &'static str, key: &[u8], value: Option<&[u8]>) {
        let Some(tree) = self.trees.get(tree) else { return };
        let old = self.note(caught(|| match value {
            Some(value) => tree.sled.insert(key, value),
            None => tree.sled.remove(key),
        }));
        let Some(old) = old else { return };
        let row = |value: usize| (key.len() + value) as u64;
        if let Some(old) = old {
            tree.entries.fetch_sub(1, Ordering::Relaxed);
            tree.bytes.fetch_sub(row(old.len()), Ordering::Relaxed);
        }
        if let Some(value) = value {
            tree.entries.fetch_add(1, Ordering::Relaxed);
            tree.bytes.fetch_add(row(value.len()), Ordering::Relaxed);
        }
    }

    fn note<T>(&self, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(text) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    error!(error = text, "the index failed; it will be rebuilt at the next start");
                }
                None
            }
        }
    }
}

/// Waits until nobody holds sled's lock. One of sled's own threads may do so for a moment after an
/// index is closed in the same process, and sled, which does not wait, would say that it can't be
/// opened; a whole index would be built again for that. That no other collector has it is what the
/// lock of history says. Whatever else is wrong, sled says itself.
fn await_lock(path: &Path) {
    let Ok(file) = File::open(path.join(DATA)) else { return };
    let until = Instant::now() + LOCK_WAIT;
    while let Err(TryLockError::WouldBlock) = file.try_lock()
        && Instant::now() < until
    {
        thread::sleep(LOCK_PAUSE);
    }
}

/// Sees to it that sled has room to go on for a while when the disk is full: a write of its own
/// thread that fails, though nobody asked for one, ends the process at the next commit.
pub(super) fn keep_room(dir: &Path) -> std::io::Result<()> {
    let file = File::options().write(true).open(dir.join(DATA))?;
    let metadata = file.metadata()?;
    if metadata.blocks() * 512 < metadata.len() + ROOM_BYTES / 2 {
        // The length stays: to sled the file is what it was.
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, metadata.len(), ROOM_BYTES)?;
    }
    Ok(())
}

/// Syncs every file of a folder, and the folder.
fn sync_files(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

/// The index as the ledger sees it.
pub(super) struct Direct<'a>(pub(super) &'a Index);

impl Rows for Direct<'_> {
    fn row(&mut self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(tree, key)
    }

    fn set(&mut self, tree: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.0.put(tree, &key, value.as_deref());
    }
}

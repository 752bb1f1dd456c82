//! Opening: from whatever a stop, a crash or damage left on disk to a writer that may go on.
//!
//! In: the folder and [`Options`]. Out: [`Writer`] and [`History`]. What is done, in this order:
//! lock; manifest (found again from the segments when it does not read); left-overs of a seal swept;
//! log files read, the torn tail of the last one cut, damage kept aside; index checked or built
//! again; the last log file written anew unless history was closed in order; the sealer
//! started.
//!
//! **Why the last log file is written again.** When an fdatasync fails, Linux marks the pages it
//! could not write as clean: they read well from memory, a second sync finds nothing to do and
//! succeeds, and the disk never gets them. The process that had the failure ends there, but the one
//! that opens next reads those very pages, and would take commits for durable that a power cut
//! undoes, after it told agents where they stand. So what was read is written to
//! a new file, which takes the place of the old one: the sync that follows writes it or fails, and then
//! history does not open. Writing it over itself does not do: a block whose first write failed stays
//! unwritten to ext4, whatever is written there before it is mounted anew. Where there is no room for a
//! second copy it is what is left. Only the last file can be in doubt: the one before was synced before
//! it was begun, and nothing follows a failed sync.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Heads};
use prost::Message;
use tracing::{error, info, warn};

use super::chain::{ALGORITHM, Class, Key, Tips};
use super::commit::{Inner, Log, Signal, Writer};
use super::disk::{self, Disk, Real, failed};
use super::index::{Direct, Index};
use super::log::{self, Frame, LogFile, Opened, Scan, Tail};
use super::read::{Correlations, History, Sealed, View};
use super::retention::{self, Policy};
use super::status::{Counters, Status};
use super::stored::{Commit, Manifest, Segment, Sender, StoredPut};
use super::understand::Understand;
use super::{Error, checkpoint, ledger, manifest, merge, replace, seal, segment};

/// How history is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Ed25519 key that signs heads and manifest, PKCS#8 in DER or PEM; without one nothing is
    /// signed.
    pub key: Option<PathBuf>,
    /// A log file is closed and sealed when it is so long.
    pub seal_bytes: u64,
    /// A log file with something in it is closed and sealed when it is so old.
    pub seal_after: Duration,
    /// Heads are signed at least so often while there is anything new.
    pub sign_every: Duration,
    /// A seal writes a checkpoint when the newest is so old, or older by what opening would have to
    /// read after it.
    pub checkpoint_age: Duration,
    /// So often neighbouring small segments are looked at, to be merged.
    pub merge_every: Duration,
    /// How long each class is kept.
    pub retention: Policy,
    /// Batches are refused when less than this is free ...
    pub low_water_bytes: u64,
    /// ... or less than this share of the file system, whichever is less.
    pub low_water_percent: u64,
    /// Room set aside for decisions on a full disk.
    pub reserve_bytes: u64,
    /// Who understands records as they are sealed; without one searches pass fewer blocks over.
    pub understand: Option<Arc<dyn Understand>>,
    /// The file system, or one that fails on purpose.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            key: None,
            seal_bytes: 16 << 20,
            seal_after: Duration::from_secs(3600),
            sign_every: Duration::from_secs(60),
            checkpoint_age: Duration::from_secs(3600),
            merge_every: Duration::from_secs(60),
            retention: Policy::default(),
            low_water_bytes: 1 << 30,
            low_water_percent: 2,
            reserve_bytes: 16 << 20,
            understand: None,
            disk: Arc::new(Real),
        }
    }
}

pub(super) const LOG: &str = "log";
pub(super) const SEGMENTS: &str = "segments";
pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const INDEX: &str = "index";
const INDEX_ASIDE: &str = "index.old";
const DAMAGED: &str = "damaged";
pub(super) const LOCK: &str = "lock";

/// Builds the index again from checkpoint, segments and log, on a stopped collector.
pub fn rebuild(dir: &Path, options: Options) -> Result<Status, Error> {
    let (writer, history) = start(dir, options, true)?;
    let status = history.status();
    drop(history);
    writer.close()?;
    Ok(status)
}

/// What the log files hold beyond the manifest.
#[derive(Default)]
struct Found {
    files: Vec<Arc<LogFile>>,
    /// The valid bytes of the last file.
    tail: Bytes,
    number: u64,
    time: i64,
    tips: Tips,
    signed: Option<Heads>,
    correlations: Correlations,
}

pub(super) fn start(
    dir: &Path,
    options: Options,
    distrust_index: bool,
) -> Result<(Writer, History), Error> {
    for dir in [dir.to_owned(), dir.join(LOG), dir.join(SEGMENTS), dir.join(CHECKPOINTS)] {
        disk::create_dir(&dir)?;
    }
    let lock = lock(dir)?;
    let key = options.key.as_deref().map(Key::load).transpose()?;
    let counters = Counters::default();
    let manifest = read_manifest(dir, &counters)?;
    sweep(dir, &manifest, &*options.disk, &counters)?;
    counters.last_seal.store(manifest.sealed_at, Ordering::Relaxed);
    let mut found = read_log(dir, &manifest, &counters)?;
    if let Some(signed) = &manifest.signed
        && signed.heads.iter().any(|head| head.commit > found.number)
    {
        counters.damaged.fetch_add(1, Ordering::Relaxed);
        error!(
            "the log ends at commit {}, before commits that were signed; `verify` tells more",
            found.number
        );
    }
    let (index, in_order) = open_index(dir, &manifest, &mut found, distrust_index, &counters)?;
    let disk = Arc::clone(&options.disk);
    let tail = match found.files.last_mut() {
        Some(file) => {
            let bytes = std::mem::take(&mut found.tail);
            if !in_order && let Some(file) = Arc::get_mut(file) {
                file.rewrite(&*disk, &bytes)?;
            }
            Tail::new(Arc::clone(file), bytes.len() as u64)
        }
        None => {
            let file = Arc::new(LogFile::create(&dir.join(LOG), found.number + 1, &*disk)?);
            found.files.push(Arc::clone(&file));
            Tail::of_new(file)
        }
    };
    let segments = manifest
        .segments
        .iter()
        .map(|stored| Arc::new(Sealed::new(dir.join(SEGMENTS), stored.clone())))
        .collect();
    let signed_tips = found.signed.as_ref().or(manifest.signed.as_ref()).map(tips_of);
    let inner = Arc::new(Inner {
        dir: dir.to_owned(),
        key,
        disk,
        index,
        heads: RwLock::new(found.tips.heads(found.time)),
        log: Mutex::new(Log {
            tail,
            number: found.number,
            tips: found.tips,
            signed_tips: signed_tips.unwrap_or_default(),
            signed_at: Instant::now(),
            poisoned: None,
            low: false,
        }),
        correlations: Mutex::new(found.correlations),
        view: RwLock::new(Arc::new(View { segments, logs: found.files })),
        signed: Mutex::new(found.signed.or_else(|| manifest.signed.clone())),
        removed: Mutex::new(manifest.removed.clone()),
        merger: Mutex::default(),
        manifest: Mutex::new(manifest),
        counters,
        signal: Mutex::new(Signal::default()),
        wake: Condvar::new(),
        options,
    });
    inner.keep_reserve();
    {
        let log = super::commit::locked(&inner.log);
        inner.publish_heads(&log, found.time);
    }
    let threads = vec![seal::spawn(Arc::clone(&inner))?, merge::spawn(Arc::clone(&inner))?];
    let history = History::new(Arc::clone(&inner));
    Ok((Writer::new(inner, threads, lock), history))
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| failed(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Unusable(format!(
            "{}: another collector has this history open; stop it first",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
    }
}

fn read_manifest(dir: &Path, counters: &Counters) -> Result<Manifest, Error> {
    match manifest::load(dir) {
        Ok(Some(signed)) if signed.manifest.algorithm == ALGORITHM => Ok(signed.manifest),
        Ok(Some(_)) => Err(Error::Unusable(format!(
            "{}: made by a newer version of the collector; use that one",
            dir.join(manifest::NAME).display()
        ))),
        Ok(None) => {
            let manifest = recover(dir)?;
            if !manifest.segments.is_empty() {
                counters.damaged.fetch_add(1, Ordering::Relaxed);
                error!("the manifest is gone; it was made again from the segments");
            }
            Ok(manifest)
        }
        Err(text) => {
            counters.damaged.fetch_add(1, Ordering::Relaxed);
            error!("{text}; it was made again from the segments");
            aside(dir, &dir.join(manifest::NAME))?;
            recover(dir)
        }
    }
}

/// A manifest from what is on disk. Segments of commits whose log file is still there are those of
/// a seal that did not come to its end, and don't count.
pub(super) fn recover(dir: &Path) -> Result<Manifest, Error> {
    let first_log = log::list(&dir.join(LOG))?.first().map_or(u64::MAX, |(base, _)| *base);
    let mut manifest = Manifest { algorithm: ALGORITHM, ..Manifest::default() };
    let mut tips = Tips::default();
    let mut found = Vec::new();
    for path in files(&dir.join(SEGMENTS), "seg")? {
        match segment::describe(&path) {
            Ok(segment) if segment.last_commit < first_log => found.push(segment),
            Ok(_) => {}
            Err(error) => warn!("{}: {error}", path.display()),
        }
    }
    manifest.segments = replace::without_parts(found);
    manifest.removed = retention::recovered(dir, &manifest.segments)?;
    let kept = |segment: &Segment| !manifest.removed.iter().any(|removed| removed.has(segment));
    manifest.segments.retain(kept);
    for removed in &manifest.removed {
        if let (Some(class), Ok(link)) =
            (Class::from_number(removed.class), removed.link[..].try_into())
        {
            tips.set(class, removed.to_commit, link);
        }
    }
    for segment in &manifest.segments {
        manifest.sealed_to = manifest.sealed_to.max(segment.last_commit);
        if let (Some(class), Ok(link)) =
            (Class::from_number(segment.class), segment.link[..].try_into())
        {
            tips.set(class, segment.link_commit, link);
        }
    }
    if !manifest.segments.is_empty() && first_log != u64::MAX {
        manifest.sealed_to = manifest.sealed_to.max(first_log - 1);
    }
    manifest.tips = tips.to_stored();
    for path in files(&dir.join(CHECKPOINTS), "ckpt")? {
        let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
        let digest = digest::digest(&digest::SHA256, &bytes);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let commit = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0);
        let Ok(loaded) = checkpoint::load(&path, digest.as_ref()) else { continue };
        if commit <= manifest.sealed_to {
            manifest.checkpoints.push(super::stored::Checkpoint {
                file: name,
                commit,
                digest: Bytes::copy_from_slice(digest.as_ref()),
                correlations_commit: loaded.head().map_or(0, |head| head.correlations_commit),
                written: 0,
            });
        }
    }
    manifest.checkpoints.sort_by_key(|checkpoint| checkpoint.commit);
    Ok(manifest)
}

fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Moves a file to where damaged things are kept.
fn aside(dir: &Path, path: &Path) -> Result<(), Error> {
    let damaged = dir.join(DAMAGED);
    disk::create_dir(&damaged)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (0..)
        .map(|n| damaged.join(format!("{name}.{n}")))
        .find(|path| !path.exists())
        .expect("numbers don't end");
    fs::rename(path, &free).map_err(|error| failed(path, &error))
}

/// Keeps bytes that are no frame; a failure to do so does not stop anything.
pub(super) fn keep_bytes(dir: &Path, name: &str, bytes: &[u8]) {
    let damaged = dir.join(DAMAGED);
    let path = damaged.join(name);
    let kept = disk::create_dir(&damaged)
        .and_then(|()| fs::write(&path, bytes).map_err(|error| failed(&path, &error)));
    if let Err(error) = kept {
        warn!("damaged bytes could not be kept: {error}");
    }
}

/// Removes what a seal left that did not come to its end, or came to it but for the unlinking.
fn sweep(
    dir: &Path,
    manifest: &Manifest,
    disk: &dyn Disk,
    counters: &Counters,
) -> Result<(), Error> {
    // A rename that can be seen may not be durable yet, and what it replaces goes below.
    for dir in [dir.to_owned(), dir.join(SEGMENTS), dir.join(CHECKPOINTS), dir.join(LOG)] {
        disk::sync_dir(disk, &dir)?;
    }
    let logs = log::list(&dir.join(LOG))?;
    let open_log = logs.iter().map(|(base, _)| *base).find(|base| *base > manifest.sealed_to);
    let segment_names: Vec<_> = manifest.segments.iter().map(|segment| &segment.file).collect();
    let checkpoint_names: Vec<_> = manifest.checkpoints.iter().map(|c| &c.file).collect();
    let listed = |path: &Path, names: &[&String]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        names.iter().any(|listed| **listed == name)
    };
    let segments = dir.join(SEGMENTS);
    segment::sweep_temporary(&segments)?;
    merge::sweep(dir)?;
    for path in files(&segments, "seg")? {
        if listed(&path, &segment_names) {
            continue;
        }
        // Its commits are in the log still, in other segments, or removed by a decision; or else the
        // manifest is older than it should be.
        let first =
            path.file_stem().and_then(|stem| stem.to_str()?.split('-').nth(1)?.parse().ok());
        if open_log.is_some_and(|base| first.is_some_and(|first: u64| first >= base))
            || replace::covered(manifest, &path)
        {
            disk::remove(&path)?;
        } else {
            counters.damaged.fetch_add(1, Ordering::Relaxed);
            error!("{}: a segment the manifest does not list; moved aside", path.display());
            aside(dir, &path)?;
        }
    }
    for path in files(&dir.join(CHECKPOINTS), "ckpt")? {
        if !listed(&path, &checkpoint_names) {
            disk::remove(&path)?;
        }
    }
    for (base, path) in logs {
        if base <= manifest.sealed_to {
            disk::remove(&path)?;
        }
    }
    disk::remove(&dir.join("manifest.tmp"))
}

fn read_log(dir: &Path, manifest: &Manifest, counters: &Counters) -> Result<Found, Error> {
    let mut found = Found {
        number: manifest.sealed_to,
        time: manifest.sealed_at,
        tips: Tips::from_stored(&manifest.tips),
        ..Found::default()
    };
    let files = log::list(&dir.join(LOG))?;
    let count = files.len();
    for (at, (_, path)) in files.into_iter().enumerate() {
        let last = at + 1 == count;
        match LogFile::open(&path)? {
            Opened::NoHeader(bytes) if last && bytes.len() < log::FILE_HEADER => {
                // It was being created; no commit was ever in it.
                disk::remove(&path)?;
            }
            Opened::NoHeader(_) => {
                counters.damaged.fetch_add(1, Ordering::Relaxed);
                error!("{}: the header does not read; moved aside", path.display());
                aside(dir, &path)?;
            }
            Opened::File(file, scan, bytes) => {
                take_file(dir, &mut found, *file, &scan, &bytes, last, counters)?;
            }
        }
    }
    Ok(found)
}

fn take_file(
    dir: &Path,
    found: &mut Found,
    file: LogFile,
    scan: &Scan,
    bytes: &Bytes,
    last: bool,
    counters: &Counters,
) -> Result<(), Error> {
    for raw in &scan.frames {
        if raw.kind == log::HEADS {
            found.signed = Heads::decode(raw.payload.clone()).ok().or(found.signed.take());
            continue;
        }
        let Ok(commit) = Commit::decode(raw.payload.clone()) else {
            damage(dir, &file.path, raw.offset, &raw.payload, counters);
            continue;
        };
        if raw.number <= found.number {
            damage(dir, &file.path, raw.offset, &raw.payload, counters);
            continue;
        }
        if raw.number != found.number + 1 {
            error!("commits {} to {} are missing", found.number + 1, raw.number - 1);
        }
        found.number = raw.number;
        found.time = commit.time;
        found.tips.advance(raw.number, &commit.steps);
        let len = u32::try_from(raw.payload.len()).unwrap_or(u32::MAX);
        file.note(Frame::new(raw.number, raw.offset as u64, len, &commit), &commit);
        found.correlations.take(raw.number, commit.correlations);
    }
    for bad in &scan.damage {
        damage(dir, &file.path, bad.offset, &bytes[bad.offset..bad.offset + bad.len], counters);
    }
    let tail = &bytes[scan.end..];
    if !tail.is_empty() {
        if !last || log::claims_whole(tail) {
            // More than a write that was cut short: it may have been acknowledged.
            damage(dir, &file.path, scan.end, tail, counters);
        } else {
            warn!(
                "{}: a torn tail of {} bytes was cut; nothing of it was acknowledged",
                file.path.display(),
                tail.len()
            );
        }
        if last {
            file.cut(scan.end as u64)?;
        }
    }
    // A frame that was written but not synced when the process was killed reads well now, and could
    // still be lost to a power cut after it was taken for committed.
    file.sync()?;
    found.tail = bytes.slice(..scan.end);
    found.files.push(Arc::new(file));
    Ok(())
}

fn damage(dir: &Path, path: &Path, offset: usize, bytes: &[u8], counters: &Counters) {
    counters.damaged.fetch_add(1, Ordering::Relaxed);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    match log::claimed_number(bytes, 0) {
        Some(number) => error!("{file}: commit {number} at byte {offset} is damaged; kept aside"),
        None => error!("{file}: {} bytes at byte {offset} are damaged; kept aside", bytes.len()),
    }
    keep_bytes(dir, &format!("{file}-{offset}.bin"), bytes);
}

/// One word for where all classes stand.
pub(super) fn tips_text(tips: &Tips) -> String {
    let bytes = super::chain::canonical_heads(&tips.heads(0));
    ledger::hex(digest::digest(&digest::SHA256, &bytes).as_ref())
}

fn tips_of(heads: &Heads) -> Tips {
    let mut tips = Tips::default();
    for head in &heads.heads {
        let class = Class::ALL.into_iter().find(|class| class.as_str() == head.class);
        if let (Some(class), Ok(link)) = (class, head.link[..].try_into()) {
            tips.set(class, head.commit, link);
        }
    }
    tips
}

/// Opens the index, or builds it again; true when history was closed in order.
fn open_index(
    dir: &Path,
    manifest: &Manifest,
    found: &mut Found,
    distrust: bool,
    counters: &Counters,
) -> Result<(Index, bool), Error> {
    let path = dir.join(INDEX);
    let tips = tips_text(&found.tips);
    let begun = !path.exists() && found.number == 0;
    let reason = if distrust {
        "asked to".to_owned()
    } else if !path.exists() {
        "it is not there".to_owned()
    } else {
        match Index::open(&path).and_then(|i| i.take_mark(found.number, &tips).map(|()| i)) {
            Ok(index) => {
                found.correlations.base(&load_checkpoint(dir, manifest, counters).0);
                return Ok((index, true));
            }
            Err(reason) => reason,
        }
    };
    if begun {
        let index = Index::open(&path).map_err(|text| unusable_index(&path, &text))?;
        return Ok((index, false));
    }
    warn!(reason, "the index can't be trusted; building it again");
    counters.rebuilds.fetch_add(1, Ordering::Relaxed);
    let started = Instant::now();
    let old = dir.join(INDEX_ASIDE);
    if path.exists() {
        if old.exists() {
            fs::remove_dir_all(&old).map_err(|error| failed(&old, &error))?;
        }
        fs::rename(&path, &old).map_err(|error| failed(&path, &error))?;
    }
    // What it took is what the new one needs, on a full disk too.
    if old.exists() {
        fs::remove_dir_all(&old).map_err(|error| failed(&old, &error))?;
    }
    let index = Index::open(&path).map_err(|text| unusable_index(&path, &text))?;
    fill(dir, manifest, found, &index, counters)?;
    let millis = started.elapsed().as_millis();
    info!(commits = found.number, millis, "the index is built again");
    Ok((index, false))
}

fn unusable_index(path: &Path, text: &str) -> Error {
    Error::Unusable(format!("{}: the index can't be made: {text}", path.display()))
}

/// Fills an empty index from the newest good checkpoint and the commits after it.
fn fill(
    dir: &Path,
    manifest: &Manifest,
    found: &mut Found,
    index: &Index,
    counters: &Counters,
) -> Result<(), Error> {
    let (loaded, from) = load_checkpoint(dir, manifest, counters);
    found.correlations.base(&loaded);
    if let Some(loaded) = loaded {
        let read = loaded.read(&mut |row| {
            if let Some(tree) = super::stored::tree_named(&row.tree) {
                index.put(tree, &row.key, Some(&row.value));
            }
            Ok(())
        });
        read.map_err(|error| failed(&dir.join(CHECKPOINTS), &error))?;
    }
    let mut rows = Direct(index);
    sealed_commits(dir, manifest, from, counters, &mut |sealed| {
        checkpoint::apply(&mut rows, sealed.time, sealed.parts(), &sealed.puts);
    });
    for file in &found.files {
        for frame in file.frames() {
            let commit = file.read(&frame).map_err(|error| failed(&file.path, &error))?;
            let blocks = unpacked(&commit, counters);
            checkpoint::apply(&mut rows, commit.time, parts(&commit, &blocks), &commit.puts);
        }
    }
    index.applied(found.number)
}

/// The newest checkpoint that reads, and its commit; nothing and 0 when there is none.
pub(super) fn load_checkpoint(
    dir: &Path,
    manifest: &Manifest,
    counters: &Counters,
) -> (Option<checkpoint::Loaded>, u64) {
    for stored in manifest.checkpoints.iter().rev() {
        match checkpoint::load(&dir.join(CHECKPOINTS).join(&stored.file), &stored.digest) {
            Ok(loaded) => return (Some(loaded), stored.commit),
            Err(text) => {
                counters.damaged.fetch_add(1, Ordering::Relaxed);
                error!("{text}; an older checkpoint is used");
            }
        }
    }
    (None, 0)
}

/// What segments have of one commit, put together again.
pub(super) struct SealedCommit {
    pub(super) time: i64,
    pub(super) groups: Vec<super::stored::Group>,
    pub(super) puts: Vec<StoredPut>,
}

impl SealedCommit {
    pub(super) fn parts(&self) -> impl Iterator<Item = (&Sender, &Block)> {
        self.groups.iter().filter_map(|group| Some((group.sender.as_ref()?, group.block.as_ref()?)))
    }
}

/// Shows sealed commits after `from`, oldest first.
pub(super) fn sealed_commits(
    dir: &Path,
    manifest: &Manifest,
    from: u64,
    counters: &Counters,
    see: &mut dyn FnMut(SealedCommit),
) {
    let late = manifest.segments.iter().filter(|segment| segment.last_commit > from);
    let segments: Vec<_> =
        late.map(|stored| Arc::new(Sealed::new(dir.join(SEGMENTS), stored.clone()))).collect();
    super::read::forward(&segments, from, counters, &mut |items| {
        let mut commit = SealedCommit { time: items[0].time, groups: Vec::new(), puts: Vec::new() };
        for item in items {
            commit.groups.extend(item.groups);
            commit.puts.extend(item.puts);
        }
        see(commit);
    });
}

/// The blocks of a commit, unpacked; None where one does not, which is counted.
pub(super) fn unpacked(commit: &Commit, counters: &Counters) -> Vec<Option<Block>> {
    let unpack = |batch| {
        segment::unpack(batch)
            .inspect_err(|text| {
                counters.damaged.fetch_add(1, Ordering::Relaxed);
                error!("a stored batch does not unpack: {text}");
            })
            .ok()
    };
    commit.batches.iter().map(unpack).collect()
}

/// Senders and blocks of a commit from the log.
pub(super) fn parts<'a>(
    commit: &'a Commit,
    blocks: &'a [Option<Block>],
) -> impl Iterator<Item = (&'a Sender, &'a Block)> {
    commit
        .batches
        .iter()
        .zip(blocks)
        .filter_map(|(batch, block)| Some((batch.sender.as_ref()?, block.as_ref()?)))
}

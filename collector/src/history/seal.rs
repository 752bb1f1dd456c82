//! The sealer: a thread that turns closed log files into segments, and does what is due by the clock.
//!
//! A seal of one log file, in this order, `Disk::step` between:
//!
//! 1. segments written under temporary names, synced, renamed, their directory synced;
//! 2. when one is due: the checkpoint at the file's last commit written and synced;
//! 3. the manifest replaced: **this is the moment**;
//! 4. readers given the new view;
//! 5. the log file unlinked, then checkpoints but the newest two.
//!
//! A checkpoint is all small records again, so not every seal writes one: opening is the newest and
//! the commits after it, and [`due`] bounds how many those can be.
//!
//! A crash before 3 leaves segments and a checkpoint that nobody lists, swept at open, and the log
//! file, which counts. A crash after 3 leaves a log file that begins at or below `sealed_to`, which
//! is unlinked at open. Commits go on all the while: the sealer reads a file nobody writes to and
//! takes the log's lock only to change to a new file or to sign.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Error;
use super::chain::{Class, Tips};
use super::checkpoint::{self, Next};
use super::commit::{Inner, Signal, locked};
use super::disk::{self, failed};
use super::log::LogFile;
use super::manifest;
use super::merge;
use super::open::{self, CHECKPOINTS, SEGMENTS};
use super::read::{Sealed, View};
use super::segment::{self, Level};
use super::stored::{Item, Manifest, Segment, Site};
use crate::time;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// The same, when signing is asked for more often than that.
const SHORTEST_TICK: Duration = Duration::from_millis(10);
/// How long a seal that failed is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// Checkpoints that are kept.
const KEEP: usize = 2;
/// A checkpoint is due when the newest is so many commits behind, ...
const CHECKPOINT_COMMITS: u64 = 100_000;
/// ... or so many bytes of segments and log, or older than [`super::Options::checkpoint_age`].
const CHECKPOINT_BYTES: u64 = 256 << 20;

/// Starts the thread. It ends when the signal says stop.
pub(super) fn spawn(inner: Arc<Inner>) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new()
        .name("history-seal".to_owned())
        .spawn(move || run(&inner))
        .map_err(|error| Error::Unusable(format!("the sealer can't be started: {error}")))
}

fn run(inner: &Inner) {
    let mut not_before = Instant::now();
    loop {
        let signal = wait(inner);
        if signal.stop {
            return;
        }
        tick(inner);
        if signal.save
            && let Err(error) = save_signed(inner)
        {
            warn!("the manifest was not saved: {error}");
        }
        if Instant::now() < not_before {
            continue;
        }
        // A panic over one log file must not end sealing for good, unnoticed: the thread goes on.
        let sealed = catch_unwind(AssertUnwindSafe(|| closed(inner)));
        let text = match sealed {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the sealer panicked".to_owned(),
        };
        warn!("a log file was not sealed, and stays: {text}");
        not_before = Instant::now() + RETRY;
    }
}

fn wait(inner: &Inner) -> Signal {
    let signal = locked(&inner.signal);
    let idle = |signal: &mut Signal| !(signal.stop || signal.seal || signal.save);
    let (mut signal, _) = inner
        .wake
        .wait_timeout_while(signal, inner.options.sign_every.clamp(SHORTEST_TICK, TICK), idle)
        .unwrap_or_else(PoisonError::into_inner);
    let taken = std::mem::take(&mut *signal);
    // Stopping is for every thread, not only for the first that sees it.
    signal.stop = taken.stop;
    taken
}

/// What the clock asks for.
fn tick(inner: &Inner) {
    inner.keep_reserve();
    let mut log = locked(&inner.log);
    if log.poisoned.is_some() {
        return;
    }
    if log.signed_at.elapsed() >= inner.options.sign_every {
        inner.sign(&mut log);
    }
    if inner.rotation_due(&log)
        && let Err(error) = inner.rotate(&mut log)
    {
        warn!("no new log file: {error}");
    }
}

/// Closes the log file that is being written, and seals everything.
pub(super) fn all(inner: &Inner) -> Result<(), Error> {
    {
        let mut log = locked(&inner.log);
        if let Some(text) = &log.poisoned {
            return Err(Error::Poisoned(text.clone()));
        }
        if log.number >= log.tail.file.base {
            inner.sign(&mut log);
            inner.rotate(&mut log)?;
        }
    }
    closed(inner)
}

/// Seals every log file but the last.
fn closed(inner: &Inner) -> Result<(), Error> {
    let mut manifest = locked(&inner.manifest);
    loop {
        let view = inner.view();
        let [file, _, ..] = &view.logs[..] else { return Ok(()) };
        one(inner, &mut manifest, file, view.logs[1].base - 1)?;
    }
}

/// Writes the newest signed heads into the manifest.
pub(super) fn save_signed(inner: &Inner) -> Result<(), Error> {
    let mut manifest = locked(&inner.manifest);
    let mut next = Manifest { signed: locked(&inner.signed).clone(), ..manifest.clone() };
    manifest::save(&*inner.disk, &inner.dir, &mut next, inner.key.as_ref())?;
    *manifest = next;
    Ok(())
}

/// Seals one file, whose last commit is `last`.
fn one(
    inner: &Inner,
    manifest: &mut Manifest,
    file: &Arc<LogFile>,
    last: u64,
) -> Result<(), Error> {
    let started = Instant::now();
    let disk = &*inner.disk;
    let segments_dir = inner.dir.join(SEGMENTS);
    let checkpoints_dir = inner.dir.join(CHECKPOINTS);
    let bytes = file.frames().iter().map(|frame| u64::from(frame.len)).sum();
    let mut next = match due(manifest, bytes, last, inner.options.checkpoint_age, time::now()) {
        true => Some(base(inner, manifest)?),
        false => None,
    };
    let mut tips = Tips::from_stored(&manifest.tips);
    let segments = rewrite(inner, file, &mut next, &mut tips)?;
    disk::sync_dir(disk, &segments_dir)?;
    disk.step("segments");
    let checkpoint = next.map(|next| next.write(disk, &checkpoints_dir, last)).transpose()?;
    disk.step("checkpoint");

    let mut sealed = manifest.clone();
    sealed.sealed_to = last;
    sealed.sealed_at = time::now();
    sealed.tips = tips.to_stored();
    sealed.signed = locked(&inner.signed).clone();
    sealed.segments.extend(segments.iter().cloned());
    sealed.checkpoints.extend(checkpoint);
    let gone = sealed.checkpoints.len().saturating_sub(KEEP);
    let gone: Vec<_> = sealed.checkpoints.drain(..gone).collect();
    manifest::save(disk, &inner.dir, &mut sealed, inner.key.as_ref())?;
    *manifest = sealed;
    inner.counters.last_seal.store(manifest.sealed_at, Ordering::Relaxed);
    disk.step("manifest");

    show(inner, file, &segments);
    disk::remove(&file.path)?;
    disk.step("unlinked");
    for checkpoint in gone {
        disk::remove(&checkpoints_dir.join(&checkpoint.file))?;
    }
    let millis = started.elapsed().as_millis();
    info!(commits = last, segments = segments.len(), millis, "sealed");
    Ok(())
}

/// Whether the seal of a log file of so many bytes, whose last commit is `last`, writes a checkpoint.
fn due(manifest: &Manifest, bytes: u64, last: u64, age: Duration, now: i64) -> bool {
    let Some(newest) = manifest.checkpoints.last() else { return true };
    let since = manifest.segments.iter().filter(|segment| segment.last_commit > newest.commit);
    let behind = since.map(|segment| segment.bytes).sum::<u64>() + bytes;
    // A clock that was set back is no reason to wait until it has caught up.
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    let fresh = newest.written..newest.written.saturating_add(age);
    manifest.checkpoints.len() < KEEP
        || last.saturating_sub(newest.commit) > CHECKPOINT_COMMITS
        || behind > CHECKPOINT_BYTES
        || !fresh.contains(&now)
}

/// The last checkpoint to go on from; where the newest does not read, an older one and the segments
/// after it.
fn base(inner: &Inner, manifest: &Manifest) -> Result<Next, Error> {
    let (loaded, from) = open::load_checkpoint(&inner.dir, manifest, &inner.counters);
    let mut next =
        Next::after(loaded).map_err(|error| failed(&inner.dir.join(CHECKPOINTS), &error))?;
    open::sealed_commits(&inner.dir, manifest, from, &inner.counters, &mut |sealed| {
        checkpoint::apply(&mut next, sealed.time, sealed.parts(), &sealed.puts);
    });
    Ok(next)
}

/// Writes the segments of a log file. What does not read back is kept aside and left out.
fn rewrite(
    inner: &Inner,
    file: &LogFile,
    next: &mut Option<Next>,
    tips: &mut Tips,
) -> Result<Vec<Segment>, Error> {
    let dir = inner.dir.join(SEGMENTS);
    let mut writers: [Option<segment::Writer<'_>>; 5] = Default::default();
    let mut sites: [Vec<Site>; 5] = Default::default();
    for frame in file.frames() {
        let commit = match file.read(&frame) {
            Ok(commit) => commit,
            Err(error) => {
                inner.note_damage(&format!(
                    "{}: commit {} does not read back: {error}",
                    file.path.display(),
                    frame.number
                ));
                open::keep_bytes(
                    &inner.dir,
                    &format!("commit-{}.bin", frame.number),
                    &file.raw(&frame),
                );
                continue;
            }
        };
        let blocks = open::unpacked(&commit, &inner.counters);
        for (batch, _) in commit.batches.iter().zip(&blocks).filter(|(_, block)| block.is_none()) {
            let name = format!("block-{}-{}.zst", frame.number, batch.first);
            open::keep_bytes(&inner.dir, &name, &batch.block);
        }
        if let Some(next) = next {
            let parts = open::parts(&commit, &blocks);
            let correlations = commit.correlations.clone();
            next.apply(frame.number, commit.time, parts, &commit.puts, correlations);
        }
        tips.advance(frame.number, &commit.steps);
        let items = segment::split(frame.number, &commit, blocks);
        for (class, item) in Class::ALL.into_iter().zip(items) {
            let Some(item) = item else { continue };
            let own = &mut sites[class.index()];
            *own = merge::sites(own.iter().chain(&sites_of(&item)));
            write(inner, &dir, &mut writers[class.index()], class, item)?;
        }
    }
    let finished = writers.into_iter().zip(sites).filter_map(|(writer, sites)| {
        Some(writer?.finish().map(|segment| Segment { sites, ..segment }))
    });
    finished.collect()
}

fn sites_of(item: &Item) -> Vec<Site> {
    let senders = item.groups.iter().filter_map(|group| group.sender.as_ref());
    senders
        .map(|sender| Site {
            name: sender.site.clone(),
            since: sender.ingested,
            until: sender.ingested,
        })
        .collect()
}

fn write<'a>(
    inner: &'a Inner,
    dir: &std::path::Path,
    writer: &mut Option<segment::Writer<'a>>,
    class: Class,
    item: Item,
) -> Result<(), Error> {
    if writer.is_none() {
        *writer = Some(segment::Writer::create(
            &*inner.disk,
            dir,
            class,
            inner.options.understand.as_deref(),
            Level::SEAL,
        )?);
    }
    writer.as_mut().map_or(Ok(()), |writer| writer.push(item))
}

/// Gives readers the segments in place of the log file.
fn show(inner: &Inner, file: &Arc<LogFile>, segments: &[Segment]) {
    let dir = inner.dir.join(SEGMENTS);
    let mut view = inner.view.write().unwrap_or_else(PoisonError::into_inner);
    let mut next = View { segments: view.segments.clone(), logs: view.logs.clone() };
    next.logs.retain(|log| !Arc::ptr_eq(log, file));
    next.segments
        .extend(segments.iter().map(|stored| Arc::new(Sealed::new(dir.clone(), stored.clone()))));
    *view = Arc::new(next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::stored::Checkpoint;

    #[test]
    fn a_checkpoint_is_due_before_opening_takes_long() {
        let checkpoint = |commit| Checkpoint { commit, written: 7, ..Checkpoint::default() };
        let manifest =
            Manifest { checkpoints: vec![checkpoint(5), checkpoint(10)], ..Manifest::default() };
        const AGE: i64 = time::HOUR;
        let check = |manifest: &Manifest, bytes, last, now, expected| {
            let due = due(manifest, bytes, last, Duration::from_secs(3600), now);
            assert_eq!(due, expected, "{bytes} {last} {now}");
        };
        check(&manifest, 5, 11, 7, false);
        check(&manifest, 5, 10 + CHECKPOINT_COMMITS, 6 + AGE, false);
        check(&manifest, 5, 11 + CHECKPOINT_COMMITS, 7, true);
        check(&manifest, CHECKPOINT_BYTES + 1, 11, 7, true);
        check(&manifest, 5, 11, 7 + AGE, true);
        check(&manifest, 5, 11, 6, true);
        let sealed = |last_commit, bytes| Segment { last_commit, bytes, ..Segment::default() };
        let mut more = manifest.clone();
        more.segments = vec![sealed(10, CHECKPOINT_BYTES), sealed(12, 5)];
        check(&more, 5, 13, 7, false);
        more.segments.push(sealed(13, CHECKPOINT_BYTES));
        check(&more, 5, 14, 7, true);
        // One that does not read must not cost more than the other.
        more = Manifest { checkpoints: vec![checkpoint(10)], ..Manifest::default() };
        check(&more, 5, 11, 7, true);
        check(&Manifest::default(), 5, 11, 7, true);
    }
}

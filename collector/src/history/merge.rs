//! Merging: small neighbouring segments of one class become one, in a thread of its own.
//!
//! In: the segments of the manifest. Out: fewer, larger ones, through [`replace`]. What they hold does
//! not change: items are read chunk by chunk, linked again, and written in the order of their commits,
//! so the chain runs through a merged segment as it ran through its parts, and memory holds one chunk
//! of either side.
//!
//! **Which.** Neighbours whose sizes are alike (at most [`ALIKE`] times apart), [`RUN`] of them or
//! more: so each byte is written again a few times in all, not once per seal. Of a day that is over,
//! whatever is small beside the rest is taken too. The result is at most [`MAX_BYTES`], and all its
//! parts end on one UTC day: retention drops whole files, and a file that reached further would hold
//! back what is due.
//!
//! **How.** The new segment is written and synced in `merging/`, read back and linked once more, and
//! only then moved to `segments/`, listed, and its parts unlinked. A crash or a stop leaves a file in
//! `merging/`, or one in `segments/` that nobody lists; both are swept at open. Its name has the first
//! commit of its first part and the last of its last, so it is never the name of a part.
//!
//! **What it stays out of.** Seals: only the manifest's change waits for one, and one for it. A part
//! that does not read back as it should is told once and left as it is, for `verify` to name; its
//! neighbours merge without it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tracing::{error, info, warn};

use super::chain::{Class, Link};
use super::commit::{Inner, locked};
use super::disk::{self, failed};
use super::open::SEGMENTS;
use super::segment::{self, Level, Reader};
use super::stored::{Item, Manifest, Segment, Site};
use super::{Error, replace};
use crate::time::DAY;

/// So many neighbours of like size are worth writing again.
const RUN: usize = 4;
/// Sizes are alike when the largest is at most so many times the smallest.
const ALIKE: u64 = 4;
/// Sizes below this are all alike.
const SMALL_BYTES: u64 = 64 << 10;
/// What a merged segment may grow to.
const MAX_BYTES: u64 = 256 << 20;
/// Added to the thread's nice value: whatever answers somebody goes first.
const NICE: i32 = 10;

/// Where a merge writes, below history's folder.
pub(super) const MERGING: &str = "merging";

/// What the merger remembers; its lock is held for the whole of a merge, of which there is one at a
/// time.
#[derive(Debug, Default)]
pub(super) struct Merger {
    /// Files that did not read back: never merged again.
    left: Vec<String>,
}

/// Why a merge did not come to its end.
enum Stopped {
    /// The process stops, or retention was faster.
    Overtaken,
    /// This part is not what was sealed, or what was written of all of them is not what they hold.
    Damaged(String, String),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Failed(error)
    }
}

/// Starts the thread. It ends when the signal says stop.
pub(super) fn spawn(inner: Arc<Inner>) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new()
        .name("history-merge".to_owned())
        .spawn(move || run(&inner))
        .map_err(|error| Error::Unusable(format!("the merger can't be started: {error}")))
}

/// Removes what an earlier merge left.
pub(super) fn sweep(dir: &Path) -> Result<(), Error> {
    let merging = dir.join(MERGING);
    match fs::remove_dir_all(&merging) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&merging, &error)),
        _ => Ok(()),
    }
}

fn run(inner: &Inner) {
    // On Linux this is the calling thread's own; without it merging is only less polite.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        warn!("merging runs at full priority: {error}");
    }
    loop {
        let signal = locked(&inner.signal);
        let (signal, _) = inner
            .wake
            .wait_timeout_while(signal, inner.options.merge_every, |signal| !signal.stop)
            .unwrap_or_else(PoisonError::into_inner);
        if signal.stop {
            return;
        }
        drop(signal);
        // A panic over one segment must not end merging for good, unnoticed.
        match catch_unwind(AssertUnwindSafe(|| all(inner, crate::time::now()))) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!("segments were not merged, and stay: {error}"),
            Err(_) => error!("the merger panicked; segments stay as they are"),
        }
    }
}

/// Merges until nothing is worth it; returns how many merges there were.
pub(super) fn all(inner: &Inner, now: i64) -> Result<usize, Error> {
    let mut merger = locked(&inner.merger);
    let mut merged = 0;
    loop {
        let segments = inner.view();
        let segments = segments.segments.iter().map(|sealed| &sealed.stored);
        let Some(run) = choose(segments, &merger.left, now) else { return Ok(merged) };
        let bytes: u64 = run.iter().map(|segment| segment.bytes).sum();
        if inner.space().is_none_or(|(space, water)| space.free_bytes < water + 2 * bytes) {
            return Ok(merged);
        }
        match one(inner, &run) {
            Ok(()) => merged += 1,
            Err(Stopped::Overtaken) => return Ok(merged),
            Err(Stopped::Damaged(file, text)) => {
                inner.note_damage(&format!("{SEGMENTS}/{file}: {text}; it is not merged"));
                merger.left.push(file);
            }
            Err(Stopped::Failed(error)) => return Err(error),
        }
    }
}

/// The next run worth merging.
fn choose<'a>(
    segments: impl Iterator<Item = &'a Segment> + Clone,
    left: &[String],
    now: i64,
) -> Option<Vec<Segment>> {
    Class::ALL.into_iter().find_map(|class| {
        let own: Vec<&Segment> =
            segments.clone().filter(|segment| segment.class == class.number()).collect();
        let joined = |one: &&Segment, next: &&Segment| {
            day(one.until) == day(next.until)
                && !left.contains(&one.file)
                && !left.contains(&next.file)
        };
        own.chunk_by(joined).find_map(|neighbours| {
            let over = neighbours.first().is_some_and(|first| day(first.until) < day(now));
            let run = alike(neighbours).or_else(|| remains(neighbours).filter(|_| over))?;
            Some(run.iter().copied().cloned().collect())
        })
    })
}

fn day(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// The first run of like sizes that is long enough.
fn alike<'a, 'b>(neighbours: &'b [&'a Segment]) -> Option<&'b [&'a Segment]> {
    (0..neighbours.len()).find_map(|from| {
        let (mut least, mut most, mut sum) = (u64::MAX, 0, 0);
        let fits = |segment: &&&Segment| {
            let size = segment.bytes.max(SMALL_BYTES);
            (least, most, sum) = (least.min(size), most.max(size), sum + segment.bytes);
            most <= least.saturating_mul(ALIKE) && sum <= MAX_BYTES
        };
        let len = neighbours[from..].iter().take_while(fits).count();
        (len >= RUN).then(|| &neighbours[from..from + len])
    })
}

/// A run of two or more of which none is more than half, so that a large one is not written again for
/// a small one.
fn remains<'a, 'b>(neighbours: &'b [&'a Segment]) -> Option<&'b [&'a Segment]> {
    (0..neighbours.len()).find_map(|from| {
        let (mut most, mut sum, mut best) = (0, 0, 0);
        for (at, segment) in neighbours[from..].iter().enumerate() {
            (most, sum) = (most.max(segment.bytes), sum + segment.bytes);
            if sum > MAX_BYTES {
                break;
            }
            if at > 0 && most <= (sum - most).max(SMALL_BYTES) {
                best = at + 1;
            }
        }
        (best > 1).then(|| &neighbours[from..from + best])
    })
}

fn one(inner: &Inner, run: &[Segment]) -> Result<(), Stopped> {
    let started = Instant::now();
    let merging = inner.dir.join(MERGING);
    sweep(&inner.dir)?;
    disk::create_dir(&merging)?;
    let segment = write(inner, &merging, run)?;
    let at = merging.join(&segment.file);
    let whole = Part { path: at.clone(), stored: &segment };
    match read(inner, &whole, &mut |_| Ok(())) {
        // The parts were good, so it is what was written of them that is not to be trusted.
        Err(Stopped::Damaged(_, text)) => {
            let text = format!("what was merged from it on does not read back: {text}");
            return Err(Stopped::Damaged(run[0].file.clone(), text));
        }
        read => read?,
    }
    let segments = inner.dir.join(SEGMENTS);
    let path = segments.join(&segment.file);
    fs::rename(&at, &path).map_err(|error| failed(&path, &error))?;
    disk::sync_dir(&*inner.disk, &segments)?;
    inner.disk.step("merged");
    let file = segment.file.clone();
    let bytes = segment.bytes;
    publish(inner, run, segment)?;
    let millis = started.elapsed().as_millis();
    info!(file, parts = run.len(), bytes, millis, "merged");
    Ok(())
}

/// Lists the merged segment in the place of its parts.
fn publish(inner: &Inner, run: &[Segment], segment: Segment) -> Result<(), Stopped> {
    let mut manifest = locked(&inner.manifest);
    let at = manifest.segments.iter().position(|listed| listed.file == run[0].file);
    let still = |listed: &Manifest| {
        run.iter().all(|part| listed.segments.iter().any(|listed| listed.file == part.file))
    };
    let (Some(at), true) = (at, still(&manifest)) else {
        disk::remove(&inner.dir.join(SEGMENTS).join(&segment.file))?;
        return Err(Stopped::Overtaken);
    };
    let mut next = manifest.clone();
    next.segments[at] = segment;
    next.segments.retain(|listed| !run.iter().any(|part| part.file == listed.file));
    Ok(replace::replace(inner, &mut manifest, next)?)
}

/// A file, and what the manifest says of it.
struct Part<'a> {
    path: PathBuf,
    stored: &'a Segment,
}

/// Writes all parts into one segment, durably but for its directory.
fn write(inner: &Inner, merging: &Path, run: &[Segment]) -> Result<Segment, Stopped> {
    let class = Class::from_number(run[0].class)
        .ok_or_else(|| Error::Unusable("a segment of no class".to_owned()))?;
    let mut writer = segment::Writer::create(
        &*inner.disk,
        merging,
        class,
        inner.options.understand.as_deref(),
        Level::MERGE,
    )?;
    let mut last = 0;
    for stored in run {
        let path = inner.dir.join(SEGMENTS).join(&stored.file);
        read(inner, &Part { path, stored }, &mut |item| {
            if item.commit <= last {
                let text = format!("commit {} comes after commit {last}", item.commit);
                return Err(Stopped::Damaged(stored.file.clone(), text));
            }
            last = item.commit;
            Ok(writer.push(item)?)
        })?;
    }
    let mut segment = writer.finish()?;
    segment.sites = sites(run.iter().flat_map(|part| &part.sites));
    Ok(segment)
}

/// Shows the items of a part, linked again; an error where they are not what the manifest says.
fn read(
    inner: &Inner,
    part: &Part<'_>,
    see: &mut dyn FnMut(Item) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let Part { path, stored } = part;
    let damaged = |text: String| Stopped::Damaged(stored.file.clone(), text);
    let reader = Reader::open(path).map_err(|error| damaged(error.to_string()))?;
    if reader.catalog.is_none() {
        return Err(damaged("a damaged catalog".to_owned()));
    }
    let class = Class::from_number(stored.class).ok_or_else(|| damaged("no class".to_owned()))?;
    let mut link = Link::try_from(&stored.previous[..]).unwrap_or_default();
    let mut entries = 0;
    for chunk in &reader.chunks {
        if locked(&inner.signal).stop {
            return Err(Stopped::Overtaken);
        }
        let mut items = reader
            .read(chunk)
            .map_err(|error| damaged(format!("{error} at byte {}", chunk.offset)))?;
        segment::relink(class, &mut link, &mut items)
            .map_err(|commit| damaged(format!("commit {commit} does not give its link")))?;
        for item in items {
            entries += segment::entries(&item);
            see(item)?;
        }
        thread::yield_now();
    }
    if entries != stored.entries || !(stored.link.is_empty() || link == stored.link[..]) {
        return Err(damaged("it does not hold what the manifest says".to_owned()));
    }
    Ok(())
}

/// Each site once, with the earliest and latest of all.
pub(super) fn sites<'a>(parts: impl Iterator<Item = &'a Site>) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for part in parts {
        match sites.binary_search_by(|known| known.name.cmp(&part.name)) {
            Ok(at) => {
                sites[at].since = sites[at].since.min(part.since);
                sites[at].until = sites[at].until.max(part.until);
            }
            Err(at) => sites.insert(at, part.clone()),
        }
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(n: u64, bytes: u64, until: i64) -> Segment {
        Segment {
            file: format!("{n}"),
            class: Class::Log.number(),
            first_commit: n,
            last_commit: n,
            bytes,
            until,
            ..Segment::default()
        }
    }

    /// Sizes in MiB of segments, with the day each ends on, become runs by number; today is day 1.
    fn check(sizes: &[(u64, i64)], left: &[&str], expected: &[u64]) {
        let segments: Vec<Segment> = (1..)
            .zip(sizes)
            .map(|(n, (mib, day))| segment(n, mib << 20, day * DAY + n as i64))
            .collect();
        let left: Vec<String> = left.iter().map(|file| (*file).to_owned()).collect();
        let run = choose(segments.iter(), &left, DAY + DAY / 2).unwrap_or_default();
        let run: Vec<u64> = run.iter().map(|segment| segment.first_commit).collect();
        assert_eq!(run, expected, "{sizes:?}");
    }

    #[test]
    fn runs_of_like_size_and_one_day_are_chosen() {
        check(&[(1, 1), (1, 1), (1, 1)], &[], &[]);
        check(&[(1, 1), (2, 1), (3, 1), (1, 1)], &[], &[1, 2, 3, 4]);
        // A large one is not written again for small ones, nor does it part what is behind it.
        check(&[(100, 1), (1, 1), (1, 1), (1, 1), (1, 1)], &[], &[2, 3, 4, 5]);
        check(&[(1, 1), (1, 1), (100, 1), (1, 1), (1, 1)], &[], &[]);
        // No more than the most.
        check(&[(100, 1), (100, 1), (100, 1), (100, 1)], &[], &[]);
        check(&[(60, 1), (60, 1), (60, 1), (60, 1), (60, 1)], &[], &[1, 2, 3, 4]);
        // Never beyond a day, and not over one that does not read.
        check(&[(1, 0), (1, 1), (1, 1), (1, 1)], &[], &[]);
        check(&[(1, 1), (1, 1), (1, 1), (1, 1), (1, 1)], &["3"], &[]);
        // Of a day that is over two are enough, unless one is most of it.
        check(&[(5, 0), (5, 0)], &[], &[1, 2]);
        check(&[(5, 0), (1, 0)], &[], &[]);
        check(&[(100, 0), (5, 0), (5, 0)], &[], &[2, 3]);
        check(&[(0, 0), (0, 0), (1, 1)], &[], &[1, 2]);
    }

    #[test]
    fn only_neighbours_of_one_class_merge() {
        let mut segments: Vec<Segment> = (1..=8).map(|n| segment(n, 1, 0)).collect();
        segments.iter_mut().step_by(2).for_each(|other| other.class = Class::Asset.number());
        let run = choose(segments.iter(), &[], 0).expect("a run");
        assert!(run.iter().all(|segment| segment.class == Class::Asset.number()), "{run:?}");
        assert_eq!(run.len(), 4);
    }
}

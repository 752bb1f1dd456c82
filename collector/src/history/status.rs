//! How history is doing: for `status`, the console and the metrics.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

use super::chain::Class;
use super::commit::{Inner, locked};
use super::growth::{self, Growth};
use super::read::{Sealed, View};

/// What is counted since the process started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Times the index was built again.
    pub(super) rebuilds: AtomicU64,
    /// Frames, chunks, files that did not read; one that is read twice counts twice.
    pub(super) damaged: AtomicU64,
    /// When the last seal was, Unix nanoseconds; 0 before the first.
    pub(super) last_seal: AtomicI64,
}

/// History at one moment. Times are Unix nanoseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Number of the last commit.
    pub commits: u64,
    /// Commits up to this one are sealed.
    pub sealed_to: u64,
    /// Files of the log.
    pub log_files: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Each class of segments.
    pub classes: Vec<ClassStatus>,
    /// Each tree of small records.
    pub trees: Vec<TreeStatus>,
    /// Bytes of the index on disk.
    pub index_bytes: u64,
    /// Free on the file system.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
    /// Below so much free space no batches are taken.
    pub low_water_bytes: u64,
    /// Whether batches are refused for want of space.
    pub low: bool,
    /// Set aside for decisions on a full disk.
    pub reserve_bytes: u64,
    /// Times the index was built again since the process started.
    pub rebuilds: u64,
    /// What did not read back since the process started.
    pub damaged: u64,
    /// When the last seal was; None before the first.
    pub last_seal: Option<i64>,
    /// When heads were signed last; None before the first time.
    pub last_signed: Option<i64>,
    /// Whether a failed sync stopped the writer.
    pub poisoned: bool,
    /// Days until the disk is full at the growth of the last days; None when it will hold, or nothing
    /// was measured yet.
    pub days_left: Option<u32>,
    /// So many days ahead an operator is told.
    pub warn_days: u32,
    /// Classes that are kept for less than they ought to be, and for how long: `security 30 days`.
    pub short_retention: Vec<String>,
}

/// One class of segments.
#[derive(Debug, Clone, Serialize)]
pub struct ClassStatus {
    /// Which.
    pub class: Class,
    /// Segments.
    pub segments: u64,
    /// Records (in class `record`: decisions) in them.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records still in the log alone.
    pub log_entries: u64,
    /// The oldest record's time of ingestion.
    pub oldest: Option<i64>,
    /// The same of each site, by name.
    pub sites: Vec<SiteStatus>,
    /// Bytes of segments that came on each of the last days; None before a day was measured.
    pub bytes_per_day: Option<u64>,
    /// What is older goes.
    pub days: u32,
    /// What the class may take; 0 is as much as there is.
    pub max_bytes: u64,
    /// Days until it would have to be more than that; None when it won't.
    pub days_left: Option<u32>,
    /// Latest time that retention removed.
    pub removed_until: Option<i64>,
}

/// What a class has of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteStatus {
    /// Its name.
    pub site: String,
    /// Its oldest record's time of ingestion.
    pub oldest: i64,
}

/// One tree of small records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeStatus {
    /// Its name.
    pub name: &'static str,
    /// Keys.
    pub entries: u64,
    /// Bytes of keys and values, without sled's own.
    pub bytes: u64,
}

impl Status {
    pub(super) fn of(inner: &Inner, now: i64) -> Status {
        let (commits, low, poisoned) = {
            let log = locked(&inner.log);
            (log.number, log.low, log.poisoned.is_some())
        };
        let view = inner.view();
        let space = inner.space();
        let sealed = |class: Class| {
            view.segments.iter().map(|s| &s.stored).filter(move |s| s.class == class.number())
        };
        let in_log = |class: Class| {
            let frames = view.logs.iter().flat_map(|file| file.frames());
            frames.filter(|frame| frame.has(class)).map(|frame| frame.since).min()
        };
        let policy = &inner.options.retention;
        let began = view.segments.iter().map(|sealed| sealed.stored.since).min().unwrap_or(now);
        let growth =
            Class::ALL.map(|class| Growth::of(sealed(class), *policy.of(class), began, now));
        let classes = Class::ALL.into_iter().zip(&growth).map(|(class, growth)| ClassStatus {
            class,
            segments: sealed(class).count() as u64,
            entries: sealed(class).map(|segment| segment.entries).sum(),
            bytes: sealed(class).map(|segment| segment.bytes).sum(),
            log_entries: inner.log_entries(class),
            oldest: sealed(class)
                .map(|segment| segment.since)
                .min()
                .or_else(|| in_log(class))
                .filter(|time| *time != i64::MAX),
            sites: sites(&view, class),
            bytes_per_day: growth.per_day,
            days: policy.of(class).days,
            max_bytes: policy.of(class).max_bytes,
            days_left: growth.days_left(),
            removed_until: inner.removed_until(class),
        });
        let trees = inner.index.sizes().into_iter().map(|(name, size)| TreeStatus {
            name,
            entries: size.entries,
            bytes: size.bytes,
        });
        let size = |path: &std::path::Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let signed = locked(&inner.signed).as_ref().map(|heads| heads.time);
        Status {
            commits,
            sealed_to: view.logs.first().map_or(commits, |file| file.base - 1),
            log_files: view.logs.len() as u64,
            log_bytes: view.logs.iter().map(|file| size(&file.path)).sum(),
            classes: classes.collect(),
            trees: trees.collect(),
            index_bytes: inner.index.disk_bytes(),
            free_bytes: space.map_or(0, |(space, _)| space.free_bytes),
            total_bytes: space.map_or(0, |(space, _)| space.total_bytes),
            low_water_bytes: space.map_or(0, |(_, water)| water),
            low,
            reserve_bytes: size(&inner.dir.join(super::commit::RESERVE)),
            rebuilds: inner.counters.rebuilds.load(Ordering::Relaxed),
            damaged: inner.counters.damaged.load(Ordering::Relaxed),
            last_seal: inner.last_seal(),
            last_signed: signed,
            poisoned,
            days_left: space.and_then(|(space, water)| {
                growth::days_until_full(&growth, space.free_bytes.saturating_sub(water))
            }),
            warn_days: policy.warn_days,
            short_retention: policy
                .short()
                .map(|(class, days)| format!("{} {days} days", class.as_str()))
                .collect(),
        }
    }
}

/// The oldest record of each site, in segments and in the log.
fn sites(view: &View, class: Class) -> Vec<SiteStatus> {
    let own = |sealed: &&Arc<Sealed>| sealed.stored.class == class.number();
    let sealed = view.segments.iter().filter(own).flat_map(|sealed| &sealed.stored.sites);
    let sealed = sealed.map(|site| (site.name.clone(), site.since));
    let logged = view.logs.iter().flat_map(|file| file.sites(class));
    let mut oldest: BTreeMap<String, i64> = BTreeMap::new();
    for (site, since) in sealed.chain(logged) {
        oldest.entry(site).and_modify(|known| *known = since.min(*known)).or_insert(since);
    }
    oldest.into_iter().map(|(site, oldest)| SiteStatus { site, oldest }).collect()
}

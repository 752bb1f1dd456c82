//! Retention: how long each class is kept, what is due to go, and its removal once that is decided.
//!
//! In: a [`Policy`], the manifest, the time. Out: [`Removal`]s, which the caller commits as decisions
//! ([`Removal::ENTRY`] in class `record`) before it hands them back to [`History::remove`]. Only then
//! a manifest change drops the segments, names the decision in `removed`, and their files go.
//!
//! **What is due.** Whole segments, from the oldest on, since a chain can only begin later:
//! - by age, when all of a segment is older than its class's `days`;
//! - by size, when the class is over `max_bytes` and all of the segment is older than
//!   `at_least_days`. That is `days` unless set lower, and then a limit of size removes nothing: what
//!   it would have to remove is younger than was promised. The limit is told of days ahead instead
//!   (`growth`), and what is older than `days` has gone by age already.
//!
//! **What is never due.** Commits that opening still needs: those after the oldest checkpoint that is
//! kept, and in class `record` those after its correlation state.
//!
//! **When a crash falls** between the decision and the manifest, the segments are due again: the next
//! decision of that class restates what the first one said, and nothing was lost. After the manifest,
//! files that were not unlinked yet are swept at open.
//!
//! When class `record` itself begins later, decisions about other classes go with it. So it comes
//! with a restatement for each of them, in the same commit, and from then on their `removed` names
//! that one; the decision on `record` lists all beginnings too (`begins`).

use std::fs;

use bytes::Bytes;
use hengwei_protocol::identity::unhex;
use prost::Message;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::chain::{Class, Link};
use super::commit::locked;
use super::ledger::hex;
use super::open::{LOG, SEGMENTS};
use super::segment::Reader;
use super::stored::{Commit, Manifest, Removed, Segment, StoredEntry};
use super::{Error, History, log, replace};
use crate::time::DAY;

/// Security records and decisions are kept so long at least, unless the operator says that less will
/// do: six months, as the Cybersecurity Law (article 21) and MLPS have it.
pub const MINIMUM_DAYS: u32 = 180;

/// How long one class is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// What is older goes.
    pub days: u32,
    /// What is younger never goes; at most `days`.
    pub at_least_days: u32,
    /// What the class may take on disk; 0 is as much as there is.
    pub max_bytes: u64,
}

impl Keep {
    /// So many days, whatever it takes.
    pub const fn days(days: u32) -> Keep {
        Keep { days, at_least_days: days, max_bytes: 0 }
    }

    /// What nothing removes earlier.
    pub fn least(&self) -> u32 {
        self.at_least_days.min(self.days)
    }
}

/// How long every class is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// In the order of [`Class::ALL`].
    pub keep: [Keep; 5],
    /// An operator is told so many days before a disk or a limit is full.
    pub warn_days: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        let keep = Class::ALL.map(|class| match class {
            Class::Performance => Keep::days(30),
            Class::Asset | Class::Log | Class::Security | Class::Record => Keep::days(MINIMUM_DAYS),
        });
        Policy { keep, warn_days: 7 }
    }
}

impl Policy {
    /// How long a class is kept.
    pub fn of(&self, class: Class) -> &Keep {
        &self.keep[class.index()]
    }

    /// Classes with a minimum that are kept for less, and for how long.
    pub fn short(&self) -> impl Iterator<Item = (Class, u32)> {
        [Class::Security, Class::Record]
            .into_iter()
            .map(|class| (class, self.of(class).least()))
            .filter(|(_, days)| *days < MINIMUM_DAYS)
    }
}

/// Why something goes, or is told of again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// All of it is older than `days`.
    Age,
    /// The class is over `max_bytes`, and all of it is older than `at_least_days`.
    Size,
    /// It went before; the decision that said so goes now.
    Restated,
}

/// The beginning of a class that goes, as it is decided: the body of the entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    /// Which.
    pub class: Class,
    /// By which rule.
    pub rule: Rule,
    /// The last commit that goes.
    pub through_commit: u64,
    /// The class's link at that commit, hex: what is left goes on from it.
    pub link: String,
    /// Segments that go.
    pub segments: u64,
    /// Their records; in class `record`, entries and puts.
    pub records: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Earliest and latest time in them, Unix nanoseconds.
    pub since: i64,
    /// Latest.
    pub until: i64,
    /// In class `record`: where every class that lost its beginning begins from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<Begin>,
}

/// Where a class begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Which.
    pub class: Class,
    /// After this commit.
    pub through_commit: u64,
    /// With this link before it, hex.
    pub link: String,
}

impl Removal {
    /// The action of the entry that decides it.
    pub const ENTRY: &'static str = "retention.removed";

    /// The body of that entry, JSON.
    pub fn body(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }

    fn begin(&self) -> Begin {
        let Removal { class, through_commit, ref link, .. } = *self;
        Begin { class, through_commit, link: link.clone() }
    }

    fn restated(removed: &Removed) -> Option<Removal> {
        Some(Removal {
            class: Class::from_number(removed.class)?,
            rule: Rule::Restated,
            through_commit: removed.to_commit,
            link: hex(&removed.link),
            segments: removed.segments,
            records: removed.records,
            bytes: removed.bytes,
            since: removed.since,
            until: removed.until,
            begins: Vec::new(),
        })
    }

    fn stored(&self, entry_commit: u64) -> Option<Removed> {
        Some(Removed {
            class: self.class.number(),
            to_commit: self.through_commit,
            link: unhex(&self.link)?.into(),
            entry_commit,
            segments: self.segments,
            records: self.records,
            bytes: self.bytes,
            since: self.since,
            until: self.until,
        })
    }
}

impl Removed {
    /// Whether a segment is part of it.
    pub(super) fn has(&self, segment: &Segment) -> bool {
        segment.class == self.class && segment.last_commit <= self.to_commit
    }
}

impl History {
    /// How long every class is kept.
    pub fn policy(&self) -> &Policy {
        &self.inner().options.retention
    }

    /// What is to go at `now`, Unix nanoseconds. The caller commits an entry for each, all in one
    /// commit, and hands them to [`History::remove`].
    pub fn retention_due(&self, now: i64) -> Vec<Removal> {
        due(&locked(&self.inner().manifest), self.policy(), now)
    }

    /// Removes what was decided in commit `decided`. What no longer fits the segments, since a merge
    /// came between, is left for the next decision.
    pub fn remove(&self, removals: &[Removal], decided: u64) -> Result<(), Error> {
        let inner = self.inner();
        let mut manifest = locked(&inner.manifest);
        let mut next = manifest.clone();
        for removal in removals {
            let Some(removed) = removal.stored(decided) else { continue };
            if removal.rule != Rule::Restated && !fits(&next, &removed) {
                info!(class = removal.class.as_str(), "retention waits for the next round");
                continue;
            }
            next.segments.retain(|segment| !removed.has(segment));
            next.removed.retain(|known| known.class != removed.class);
            next.removed.push(removed);
        }
        if next == *manifest {
            return Ok(());
        }
        match replace::replace(inner, &mut manifest, next.clone()) {
            // On a full disk it is this that makes room; the reserve is there for decisions.
            Err(Error::Full(_)) if inner.free_reserve(next.encoded_len() as u64) => {
                replace::replace(inner, &mut manifest, next)
            }
            done => done,
        }
    }
}

/// Whether the class has a boundary between segments where it would begin from now on.
fn fits(manifest: &Manifest, removed: &Removed) -> bool {
    let own = || manifest.segments.iter().filter(|segment| segment.class == removed.class);
    let across = own().any(|s| s.first_commit <= removed.to_commit && !removed.has(s));
    own().any(|segment| removed.has(segment)) && !across
}

fn due(manifest: &Manifest, policy: &Policy, now: i64) -> Vec<Removal> {
    let mut removals: Vec<Removal> =
        Class::ALL.into_iter().filter_map(|class| of_class(manifest, policy, class, now)).collect();
    if !removals.iter().any(|removal| removal.class == Class::Record) {
        return removals;
    }
    for removed in &manifest.removed {
        let Some(restated) = Removal::restated(removed) else { continue };
        if !removals.iter().any(|removal| removal.class == restated.class) {
            removals.push(restated);
        }
    }
    removals.sort_by_key(|removal| removal.class);
    let begins: Vec<Begin> = removals.iter().map(Removal::begin).collect();
    for removal in removals.iter_mut().filter(|removal| removal.class == Class::Record) {
        removal.begins.clone_from(&begins);
    }
    removals
}

fn of_class(manifest: &Manifest, policy: &Policy, class: Class, now: i64) -> Option<Removal> {
    let keep = policy.of(class);
    let older = |days: u32| now.saturating_sub(i64::from(days).saturating_mul(DAY));
    let (by_age, by_size) = (older(keep.days), older(keep.least()));
    let free = not_needed(manifest, class);
    let own = || manifest.segments.iter().filter(|segment| segment.class == class.number());
    let mut left: u64 = own().map(|segment| segment.bytes).sum();
    let (mut rule, mut gone) = (Rule::Age, Vec::new());
    for segment in own().take_while(|segment| segment.last_commit <= free) {
        let too_much = keep.max_bytes > 0 && left > keep.max_bytes;
        match segment.until {
            until if until < by_age => {}
            until if too_much && until < by_size => rule = Rule::Size,
            _ => break,
        }
        left -= segment.bytes;
        gone.push(segment);
    }
    let last = gone.last()?;
    let known = manifest.removed.iter().find(|removed| removed.class == class.number());
    // A segment of correlation hits alone does not move the chain.
    let link = gone.iter().rev().map(|segment| &segment.link).find(|link| !link.is_empty());
    let link = link.or(known.map(|removed| &removed.link)).cloned();
    Some(Removal {
        class,
        rule,
        through_commit: last.last_commit,
        link: hex(&link.unwrap_or_else(|| Bytes::copy_from_slice(&Link::default()))),
        segments: gone.len() as u64,
        records: gone.iter().map(|segment| segment.entries).sum(),
        bytes: gone.iter().map(|segment| segment.bytes).sum(),
        since: gone.iter().map(|segment| segment.since).min()?,
        until: gone.iter().map(|segment| segment.until).max()?,
        begins: Vec::new(),
    })
}

/// The last commit of a class that opening does without, from any checkpoint that is kept.
fn not_needed(manifest: &Manifest, class: Class) -> u64 {
    let checkpoints = manifest.checkpoints.iter().map(|checkpoint| match class {
        Class::Record => checkpoint.commit.min(checkpoint.correlations_commit),
        _ => checkpoint.commit,
    });
    checkpoints.min().unwrap_or(0)
}

/// What decisions say was removed, for a manifest that was lost: of each class the newest.
pub(super) fn recovered(
    dir: &std::path::Path,
    segments: &[Segment],
) -> Result<Vec<Removed>, Error> {
    let mut removed: Vec<Removed> = Vec::new();
    let mut take = |commit: u64, entries: &[StoredEntry]| {
        let decisions = entries.iter().filter(|entry| entry.action == Removal::ENTRY);
        for decision in decisions.filter_map(|entry| serde_json::from_str(&entry.body).ok()) {
            let decision: Removal = decision;
            if let Some(stored) = decision.stored(commit) {
                removed.retain(|known| known.class != stored.class);
                removed.push(stored);
            }
        }
    };
    for segment in segments.iter().filter(|segment| segment.class == Class::Record.number()) {
        let Ok(reader) = Reader::open(&dir.join(SEGMENTS).join(&segment.file)) else { continue };
        for item in reader.chunks.iter().filter_map(|chunk| reader.read(chunk).ok()).flatten() {
            take(item.commit, &item.entries);
        }
    }
    for (_, path) in log::list(&dir.join(LOG))? {
        let bytes: Bytes = fs::read(&path).unwrap_or_default().into();
        for frame in log::scan(&bytes).unwrap_or_default().frames {
            if frame.kind == log::COMMIT
                && let Ok(commit) = Commit::decode(frame.payload)
            {
                take(frame.number, &commit.entries);
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
#[path = "retention/tests.rs"]
mod tests;

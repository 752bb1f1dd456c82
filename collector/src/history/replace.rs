//! Replacing segments: some go and others, or nothing, come in their place, in one manifest change.
//!
//! In: a manifest as it is to be, whose segments differ from those that count now. Merging and
//! retention come through here; so does whatever else will rewrite segments. `Disk::step` between:
//!
//! 1. files of new segments are in `segments/` under their names, synced, their directory too;
//! 2. the manifest replaced: **this is the moment**;
//! 3. readers given the new view;
//! 4. files that no longer count are doomed: each is unlinked when its last reader lets go of it.
//!
//! A crash before 2 leaves new files that nobody lists; a crash after it leaves old ones. Both are
//! swept at open ([`covered`]): what a file holds is in the segments that the manifest lists, or was
//! removed by a decision that it names. A file of which neither is true is no left-over, and is kept.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::Error;
use super::chain::Class;
use super::commit::{Inner, locked};
use super::manifest;
use super::open::SEGMENTS;
use super::read::{Sealed, View};
use super::stored::{Manifest, Segment};

/// Makes `next` the manifest, and its segments those that readers see. The lock on the manifest is
/// held by the caller. After an error nothing has changed here, though the manifest on disk may have:
/// so nothing that either of the two lists may be unlinked.
pub(super) fn replace(
    inner: &Inner,
    manifest: &mut Manifest,
    mut next: Manifest,
) -> Result<(), Error> {
    let disk = &*inner.disk;
    manifest::save(disk, &inner.dir, &mut next, inner.key.as_ref())?;
    *manifest = next;
    locked(&inner.removed).clone_from(&manifest.removed);
    disk.step("replaced");
    let gone = show(inner, manifest);
    disk.step("shown");
    gone.iter().for_each(|sealed| sealed.doom());
    drop(gone);
    disk.step("unlinked");
    Ok(())
}

/// Gives readers the segments of the manifest; returns those that are no longer among them.
fn show(inner: &Inner, manifest: &Manifest) -> Vec<Arc<Sealed>> {
    let dir = inner.dir.join(SEGMENTS);
    let mut view = inner.view.write().unwrap_or_else(PoisonError::into_inner);
    let mut known: HashMap<String, Arc<Sealed>> = view
        .segments
        .iter()
        .map(|sealed| (sealed.stored.file.clone(), Arc::clone(sealed)))
        .collect();
    let segments = manifest
        .segments
        .iter()
        .map(|stored| {
            known
                .remove(&stored.file)
                .unwrap_or_else(|| Arc::new(Sealed::new(dir.clone(), stored.clone())))
        })
        .collect();
    *view = Arc::new(View { segments, logs: view.logs.clone() });
    known.into_values().collect()
}

/// Whether what a segment's file holds, by its name, is in other segments of the manifest or was
/// removed by a decision: a left-over of a replacement.
pub(super) fn covered(manifest: &Manifest, path: &Path) -> bool {
    let Some((class, first, last)) = named(path) else { return false };
    let removed = |commit: u64| {
        manifest
            .removed
            .iter()
            .any(|removed| removed.class == class.number() && commit <= removed.to_commit)
    };
    let listed = |commit: u64| {
        manifest
            .segments
            .iter()
            .filter(|segment| segment.class == class.number())
            .any(|segment| (segment.first_commit..=segment.last_commit).contains(&commit))
    };
    // Segments of a class follow each other without a hole, so its two ends speak for all of it.
    let there = |commit: u64| listed(commit) || removed(commit);
    there(first) && there(last)
}

/// Segments in the order of their commits, without those whose commits are in another, larger one:
/// for a manifest that was lost between a merge and the unlinking of its parts.
pub(super) fn without_parts(mut found: Vec<Segment>) -> Vec<Segment> {
    found
        .sort_by_key(|segment| (segment.first_commit, segment.class, Reverse(segment.last_commit)));
    let mut through = [0; 5];
    found.retain(|segment| {
        let Some(class) = Class::from_number(segment.class) else { return false };
        let through = &mut through[class.index()];
        let new = segment.first_commit > *through;
        *through = segment.last_commit.max(*through);
        new
    });
    found
}

/// Class, first and last commit of a segment, from its file's name.
fn named(path: &Path) -> Option<(Class, u64, u64)> {
    let mut parts = path.file_stem()?.to_str()?.split('-');
    let name = parts.next()?;
    let class = Class::ALL.into_iter().find(|class| class.as_str() == name)?;
    let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (first <= last).then_some((class, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::segment;
    use crate::history::stored::Removed;

    #[test]
    fn left_overs_are_told_from_what_was_lost() {
        let listed = |class: Class, first_commit, last_commit| Segment {
            class: class.number(),
            first_commit,
            last_commit,
            ..Segment::default()
        };
        let removed = Removed { class: Class::Log.number(), to_commit: 10, ..Removed::default() };
        let manifest = Manifest {
            segments: vec![listed(Class::Log, 12, 20), listed(Class::Log, 23, 30)],
            removed: vec![removed],
            ..Manifest::default()
        };
        let check = |class, first, last, expected| {
            let path = segment::name(class, first, last);
            assert_eq!(covered(&manifest, Path::new(&path)), expected, "{path}");
        };
        check(Class::Log, 12, 30, true);
        check(Class::Log, 13, 19, true);
        check(Class::Log, 1, 10, true);
        check(Class::Log, 5, 20, true);
        check(Class::Log, 23, 31, false);
        check(Class::Log, 31, 40, false);
        check(Class::Security, 1, 10, false);
        check(Class::Record, 12, 20, false);
        let found = vec![
            listed(Class::Log, 4, 6),
            listed(Class::Log, 1, 3),
            listed(Class::Asset, 1, 3),
            listed(Class::Log, 1, 6),
            listed(Class::Log, 7, 9),
        ];
        let left: Vec<_> =
            without_parts(found).iter().map(|s| (s.class, s.first_commit, s.last_commit)).collect();
        assert_eq!(left, [(1, 1, 3), (3, 1, 6), (3, 7, 9)]);
        assert!(!covered(&manifest, Path::new("log-12.seg")));
        assert!(!covered(&manifest, Path::new("log-12-x.seg")));
    }
}

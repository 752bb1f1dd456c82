//! What was missed: generations of a log that were rotated away, copied or truncated unread.
//!
//! In: the generations that lie beside a log, the stored places, the files held open. Out: what is still
//! to be read, oldest first, and gaps for what is nowhere any more. The engine's other half reads on
//! from there.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use hengwei_protocol::gap::Cause;

use super::{Engine, Now, empty_place};
use crate::sources::NewRecord;
use crate::sources::files::lines::Form;
use crate::sources::files::place::{FileId, Place, fingerprint};
use crate::sources::files::rotation::{self, Generations};
use crate::sources::files::tail::Tail;

/// How far the kernel's coarse clock, which stamps files, may lag behind the one read here.
const CLOCK_SLACK_NANOS: i64 = 20_000_000;
/// How much of two files is compared to tell a copy from an earlier life.
const BEGINNING: usize = 1 << 10;

impl Engine {
    /// Generations of a log that are still to be read, oldest first.
    pub(super) fn missed(
        &mut self,
        search: Search<'_>,
        generations: Generations,
        now: Now,
    ) -> Missed {
        let held = self.held(search.path);
        let pending: Vec<(FileId, Place)> = self
            .places
            .iter()
            .filter(|(id, place)| place.path == search.name && !place.done && !held.contains(id))
            .filter(|(id, _)| Some(**id) != search.current)
            .map(|(id, place)| (*id, place.clone()))
            .collect();
        let since = self.since(search.name);
        let mut missed = Missed::default();
        let mut anchored = search.anchored;
        // Newest first, each with the time it was last written to unless it is known to be missing.
        let mut tails: Vec<(Option<i64>, Tail)> = Vec::new();
        for generation in generations.files {
            let id = generation.id;
            if Some(id) == search.current {
                continue;
            }
            let fits = |place: &Place| place.fits(&generation.file).unwrap_or(false);
            let known = self.places.get(&id).filter(|place| fits(place)).cloned();
            if held.contains(&id) {
                anchored = true;
            } else if let Some(place) = known {
                anchored = true;
                if !place.done || generation.size > place.offset {
                    let place = Place { done: false, ..place };
                    tails.push((None, Tail::new(id, generation.file, place)));
                }
            } else if !anchored {
                let lost = search.copy_of.into_iter().chain(pending.iter().map(|(_, p)| p));
                let original = lost.filter(|place| place.offset > 0).find(|place| fits(place));
                if let Some(original) = original {
                    anchored = true;
                    missed.recovered = true;
                    missed.copied.push(original.clone());
                    let place = Place { since: now.wall, ..original.clone() };
                    tails.push((None, Tail::new(id, generation.file, place)));
                } else {
                    let place = empty_place(search.name.to_owned(), now);
                    let tail = Tail::new(id, generation.file, place);
                    tails.push((Some(generation.modified), tail));
                }
            }
        }
        let newer = |modified: i64| modified >= since.saturating_sub(CLOCK_SLACK_NANOS);
        missed.tails = tails
            .into_iter()
            .rev()
            .filter(|(modified, _)| anchored || modified.is_none_or(newer))
            .map(|(_, tail)| tail)
            .collect();
        self.lost(search.path, &pending, &missed, generations.compressed, now);
        missed
    }

    /// The files of a log that are open, under whatever name they have now.
    fn held(&self, path: &Path) -> HashSet<FileId> {
        let Some(log) = self.logs.get(path) else { return HashSet::new() };
        let lingering = log.lingering.iter().map(|(tail, _)| tail.id);
        let open = log.queue.iter().filter(|tail| tail.file.is_some()).map(|tail| tail.id);
        open.chain(lingering).collect()
    }

    /// Records places whose file is nowhere any more as gaps, and forgets them.
    fn lost(
        &mut self,
        path: &Path,
        pending: &[(FileId, Place)],
        missed: &Missed,
        compressed: usize,
        now: Now,
    ) {
        let Some(index) = self.entry_of(path) else { return };
        for (id, place) in pending {
            // One that another pattern matches now is read on under that name.
            if missed.tails.iter().any(|tail| tail.id == *id) || self.met.contains(id) {
                continue;
            }
            let records = if missed.copied.contains(place) {
                Vec::new()
            } else {
                let unread = place.unread();
                let hint =
                    if compressed > 0 { "; compressed generations can't be read" } else { "" };
                let detail = format!(
                    "{} was rotated away while it was not read: lost from byte {} on{hint}",
                    place.path, place.offset
                );
                vec![gap(now, unread, detail)]
            };
            let log = self.log(path, index);
            let chunk = log.forget(records, *id);
            self.places.remove(id);
            self.outbox.push_back(chunk);
        }
    }

    /// The file at the front of a queue was truncated.
    pub(super) fn restart(&mut self, path: &Path, now: Now) -> bool {
        let Some(log) = self.logs.get_mut(path) else { return false };
        if !log.is_alone() {
            // An earlier generation that was overwritten: nothing of it is left to go on with.
            let Some(tail) = log.queue.pop_front() else { return false };
            self.give_up(path, &tail, now);
            return true;
        }
        let Some((id, lost)) = log.queue.front().map(|tail| (tail.id, tail.place.clone())) else {
            return false;
        };
        let name = log.name.clone();
        let Ok(Some(generations)) = rotation::generations(path, Some(id)) else { return false };
        let current = Some(id);
        let copy_of = Some(&lost);
        let search = Search { path, name: &name, current, copy_of, anchored: false };
        let mut missed = self.missed(search, generations, now);
        let Some(log) = self.logs.get_mut(path) else { return false };
        if let Some(mut tail) = log.queue.pop_front()
            && let Some(file) = tail.file.take()
        {
            // What waited for another line is in the copy, or else only in memory.
            let (mut opening, waited) = tail.last_words(now.wall);
            if missed.recovered {
                opening.clear();
                opening.push(truncation(&lost, true, now));
            } else {
                opening.push(truncation(&waited, false, now));
            }
            let mut place = empty_place(name, now);
            if !missed.recovered
                && let Some(same) = rewritten(&file, log.form, &lost)
            {
                let detail = format!(
                    "{} was changed before byte {}, where nothing is ever changed: records may have \
                     been erased or forged",
                    lost.path, lost.offset
                );
                opening = vec![gap(now, 0, detail)];
                place = same;
            }
            let mut tail = Tail::new(id, file, place);
            tail.opening = opening;
            missed.tails.push_back(tail);
        }
        log.queue = missed.tails;
        true
    }

    /// Whether a file of which nothing was read yet had been filled, copied and truncated before. Only
    /// the copy tells: an unknown generation that does not begin as the file does now. The file is
    /// looked at after its generations: what a copy holds and the file does not was truncated. In a
    /// second life the copies come first.
    pub(super) fn life(&mut self, path: &Path, before: &Place, now: Now) -> Life {
        let Some(id) = self.logs.get(path).and_then(|log| log.queue.front()).map(|tail| tail.id)
        else {
            return Life::First;
        };
        let mut generations = match rotation::generations(path, Some(id)) {
            Ok(Some(generations)) => generations,
            Ok(None) => return Life::Unclear,
            // A folder that can't be listed: then what can be read is read.
            Err(_) => return Life::First,
        };
        let file = self.logs.get(path).and_then(|log| log.queue.front()?.file.as_ref());
        let Some(first) = file.and_then(beginning) else { return Life::Unclear };
        generations.files.retain(|generation| {
            let other = beginning(&generation.file).unwrap_or_default();
            let same = if first.is_empty() { other.is_empty() } else { is_prefix(&first, &other) };
            self.places.contains_key(&generation.id) || !same
        });
        let name = &before.path;
        let search = Search { path, name, current: Some(id), copy_of: None, anchored: false };
        let mut missed = self.missed(search, generations, now);
        let Some(log) = self.logs.get_mut(path).filter(|_| !missed.tails.is_empty()) else {
            return Life::First;
        };
        if let Some(file) = log.queue.pop_front().and_then(|tail| tail.file) {
            let mut tail = Tail::new(id, file, empty_place(name.clone(), now));
            tail.opening = vec![truncation(before, true, now)];
            missed.tails.push_back(tail);
        }
        log.queue = missed.tails;
        Life::Second
    }

    /// A closed file whose path is gone and has not been taken over.
    pub(super) fn vanished(&mut self, path: &Path, now: Now) {
        let Ok(Some(generations)) = rotation::generations(path, None) else { return };
        let name = self.name(path);
        self.release_closed(path);
        let search = Search { path, name: &name, current: None, copy_of: None, anchored: false };
        let missed = self.missed(search, generations, now);
        if let Some(log) = self.logs.get_mut(path) {
            log.attached = false;
            log.queue.extend(missed.tails);
        }
    }

    /// At start: logs that were read before and whose path is gone, but not all of their files.
    pub(super) fn resume_vanished(&mut self, found: &BTreeMap<PathBuf, usize>, now: Now) {
        let gone: BTreeSet<PathBuf> = self
            .places
            .values()
            .filter(|place| !place.done)
            .map(|place| self.path(&place.path))
            .filter(|path| !found.contains_key(path) && !self.logs.contains_key(path))
            .collect();
        for path in gone {
            let Some(entry) = self.entry_of(&path) else { continue };
            let Ok(Some(generations)) = rotation::generations(&path, None) else { continue };
            let name = self.name(&path);
            self.log(&path, entry);
            let search =
                Search { path: &path, name: &name, current: None, copy_of: None, anchored: false };
            let missed = self.missed(search, generations, now);
            if let Some(log) = self.logs.get_mut(&path) {
                log.queue.extend(missed.tails);
            }
        }
    }

    /// Drops an earlier generation that can't be read on: a gap when bytes of it are missing.
    pub(super) fn give_up(&mut self, path: &Path, tail: &Tail, now: Now) {
        let Some(log) = self.logs.get(path) else { return };
        let (mut records, waited) = tail.last_words(now.wall);
        let unread = waited.unread();
        let detail = format!("an earlier generation of {} was overwritten", log.name);
        if unread > 0 {
            records.push(gap(now, unread, detail));
        }
        let chunk = log.forget(records, tail.id);
        self.places.remove(&tail.id);
        self.outbox.push_back(chunk);
    }

    /// When this log was last taken up: a generation written to since then is newer. For a log never
    /// seen, when its pattern was first read.
    fn since(&self, name: &str) -> i64 {
        let places = self.places.values().filter(|place| place.path == name);
        places.map(|place| place.since).max().unwrap_or_else(|| self.first_read(name))
    }
}

/// What is looked for among earlier generations.
pub(super) struct Search<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    /// The file that has the name now.
    pub(super) current: Option<FileId>,
    /// What was read of that file before it was truncated.
    pub(super) copy_of: Option<&'a Place>,
    /// The file that has the name was read before, so that older ones unknown are none of ours.
    pub(super) anchored: bool,
}

/// Whether a file is in its first life since the agent knows it.
pub(super) enum Life {
    First,
    /// It was filled and truncated in between.
    Second,
    /// A rotation is under way: nobody can say yet.
    Unclear,
}

/// What a search among earlier generations came to.
#[derive(Default)]
pub(super) struct Missed {
    pub(super) tails: VecDeque<Tail>,
    /// Whether one of them is a copy of the file that was truncated.
    pub(super) recovered: bool,
    /// The places that were found again in copies.
    pub(super) copied: Vec<Place>,
}

/// The gap in front of a file that begins anew.
pub(super) fn truncation(lost: &Place, recovered: bool, now: Now) -> NewRecord {
    let (bytes, what) = if recovered {
        (0, "a copy held the rest; what was written between copy and truncation is unknown")
    } else {
        (lost.unread(), "what was written since the last read is unknown")
    };
    gap(now, bytes, format!("{} was truncated: {what}", lost.path))
}

/// The place to go on from in a file of login records that has not become shorter and yet is not what
/// was read: somebody hides a login, and all others would come twice if it were read again.
fn rewritten(file: &std::fs::File, form: Form, lost: &Place) -> Option<Place> {
    let size = file.metadata().ok()?.len();
    if !matches!(form, Form::Fixed { .. }) || size < lost.size.max(lost.offset) {
        return None;
    }
    let digest = fingerprint(file, lost.offset).ok()??;
    Some(Place { digest, ..lost.clone() })
}

/// Whether two files begin alike, as far as the shorter goes.
fn is_prefix(one: &[u8], other: &[u8]) -> bool {
    let length = one.len().min(other.len());
    one[..length] == other[..length]
}

/// The first bytes of a file, enough to tell it from another.
fn beginning(file: &std::fs::File) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; BEGINNING];
    let length = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// A gap for what was rotated away.
fn gap(now: Now, bytes: u64, detail: String) -> NewRecord {
    NewRecord::gap(now.wall, Cause::RotatedAway, 0, bytes, detail)
}

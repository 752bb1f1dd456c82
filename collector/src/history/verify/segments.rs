//! Walking the segments of one class, oldest first, a chunk at a time.
//!
//! In: the segments as the manifest lists them, each open. Out: findings, and of every commit that
//! held what the replay needs. No more than one chunk of a segment is in memory; its digest is taken
//! in blocks. Of each segment the first difference is told; the walk then goes on behind it, with the
//! link that the manifest says it ends in.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use aws_lc_rs::digest;

use super::Walk;
use super::report::{Finding, Problem, finding};
use crate::history::chain::{Class, Link};
use crate::history::ledger::Advances;
use crate::history::open::SEGMENTS;
use crate::history::segment::{self, Reader};
use crate::history::stored::{Chunk, Item, Segment, StoredPut};

/// Bytes of a file that are hashed at a time.
const BLOCK: usize = 256 << 10;

/// What one class has of a commit, without its records.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) commit: u64,
    pub(super) time: i64,
    pub(super) advances: Advances,
    pub(super) puts: Vec<StoredPut>,
}

/// The segments of a class, on the way.
pub(super) struct Lane {
    class: Class,
    segments: std::vec::IntoIter<(Segment, Option<File>)>,
    begun: bool,
    current: Option<Current>,
    ready: VecDeque<Part>,
}

/// The segment that is being walked.
struct Current {
    stored: Segment,
    reader: Reader,
    /// How many of its chunks were walked.
    walked: usize,
    len: u64,
    /// Its digest is the manifest's. When it is not, a finding is certain, and only which is open.
    whole: bool,
    /// What is known before it is walked.
    place: Finding,
    measured: Measured,
    /// Of the last item.
    commit: u64,
}

impl Lane {
    pub(super) fn new(class: Class, mut segments: Vec<(Segment, Option<File>)>) -> Lane {
        segments.sort_by_key(|(segment, _)| segment.first_commit);
        let segments = segments.into_iter();
        Lane { class, segments, begun: false, current: None, ready: VecDeque::new() }
    }

    /// The next commit that this class has something of.
    pub(super) fn peek(&mut self, walk: &mut Walk<'_>) -> Option<u64> {
        while self.ready.is_empty() {
            self.step(walk)?;
        }
        self.ready.front().map(|part| part.commit)
    }

    /// Takes what it has of a commit.
    pub(super) fn take(&mut self, commit: u64) -> Option<Part> {
        self.ready.pop_front_if(|part| part.commit == commit)
    }

    /// Does the next bit of work; None when all is done.
    fn step(&mut self, walk: &mut Walk<'_>) -> Option<()> {
        let Some(mut current) = self.current.take() else {
            let (stored, file) = self.segments.next()?;
            let first = !std::mem::replace(&mut self.begun, true);
            walk.joint(self.class, &stored, first);
            self.current = walk.begin(self.class, stored, file);
            return Some(());
        };
        let next = current.reader.chunks.get_mut(current.walked).map(std::mem::take);
        let done = next.is_none();
        let found = match next {
            None => walk.finished(self.class, &current),
            Some(chunk) => {
                let found = walk.chunk(self.class, &mut current, &chunk, &mut self.ready);
                current.reader.chunks[current.walked] = chunk;
                current.walked += 1;
                found
            }
        };
        if let Some(finding) = found {
            walk.find(finding);
            walk.resume(self.class, &current.stored);
        } else if !done {
            self.current = Some(current);
        }
        Some(())
    }
}

impl Walk<'_> {
    /// Checks that a segment goes on where the one before it ended.
    fn joint(&mut self, class: Class, stored: &Segment, first: bool) {
        // A segment of hits alone has no link.
        if stored.link.is_empty() && stored.previous.is_empty() {
            return;
        }
        let found = if first {
            self.starts.first(class, stored)
        } else {
            (stored.previous != self.tips.link(class)[..]).then(|| Finding {
                class: Some(class),
                commit: Some(self.tips.commit(class) + 1),
                time: Some(stored.since),
                detail: format!(
                    "what is between commit {} and commit {} is not there",
                    self.tips.commit(class),
                    stored.first_commit
                ),
                ..finding(Problem::Removed, name(stored))
            })
        };
        if let Some(found) = found {
            let commit = stored.first_commit.saturating_sub(1);
            self.witnesses.told(class, self.tips.commit(class).saturating_add(1), commit);
            self.replay.lost(commit);
            self.find(found);
        }
        if let Ok(link) = Link::try_from(&stored.previous[..])
            && link != *self.tips.link(class)
        {
            self.tips.set(class, stored.first_commit.saturating_sub(1), link);
        }
    }

    /// Opens a segment, unless it is passed over or not there.
    fn begin(&mut self, class: Class, stored: Segment, file: Option<File>) -> Option<Current> {
        let place = Finding {
            class: Some(class),
            commit: Some(stored.first_commit),
            time: Some(stored.since),
            ..finding(Problem::Removed, name(&stored))
        };
        let length = file.as_ref().map(|file| file.metadata().map(|metadata| metadata.len()));
        let (Some(file), Some(Ok(len))) = (file, length) else {
            let detail = "the segment is not there".to_owned();
            self.find(Finding { detail, ..place });
            self.resume(class, &stored);
            return None;
        };
        let late = |since: i64| stored.until >= since || self.starts.needs(&stored);
        if !self.since.is_none_or(late) {
            self.pass_over(class, &stored, len, place);
            return None;
        }
        self.report.segments += 1;
        let whole = self.digest(&file).is_ok_and(|found| found == stored.digest[..]);
        let reader = match Reader::of(file) {
            Ok(reader) => reader,
            Err(error) => {
                let problem = Problem::Changed;
                self.find(Finding { problem, detail: format!("does not read: {error}"), ..place });
                self.resume(class, &stored);
                return None;
            }
        };
        if !whole && let Some(found) = swapped(&stored, &reader, &place) {
            self.find(found);
            self.resume(class, &stored);
            return None;
        }
        let measured = Measured::default();
        Some(Current { stored, reader, walked: 0, len, whole, place, measured, commit: 0 })
    }

    /// A segment before the time asked for: it is there, it is as long as it was, and the chain goes
    /// through it.
    fn pass_over(&mut self, class: Class, stored: &Segment, len: u64, place: Finding) {
        self.report.segments_passed_over += 1;
        self.replay.lost(stored.last_commit);
        if len != stored.bytes {
            let (problem, offset) = (Problem::Cut, Some(len.min(stored.bytes)));
            let detail = format!("the file has {len} bytes where there were {}", stored.bytes);
            self.find(Finding { problem, offset, detail, ..place });
        }
        if let Ok(link) = Link::try_from(&stored.link[..]) {
            let known = (stored.link_commit, &link[..]);
            let found = self.witnesses.passed_over(class, stored.last_commit, known);
            self.report.findings.extend(found);
            self.tips.set(class, stored.link_commit, link);
        }
    }

    /// The digest of a file, read in blocks.
    fn digest(&mut self, file: &File) -> io::Result<[u8; 32]> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut block = vec![0u8; BLOCK];
        let mut offset = 0;
        loop {
            match file.read_at(&mut block, offset)? {
                0 => break,
                read => {
                    context.update(&block[..read]);
                    offset += read as u64;
                    self.went(read as u64);
                }
            }
        }
        context.finish().as_ref().try_into().map_err(io::Error::other)
    }

    /// Walks the items of a chunk; says the first difference.
    fn chunk(
        &mut self,
        class: Class,
        current: &mut Current,
        chunk: &Chunk,
        ready: &mut VecDeque<Part>,
    ) -> Option<Finding> {
        let (items, damage) = current
            .reader
            .read_damaged(chunk)
            .unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
        self.went(chunk.len);
        for item in items {
            if let Some(detail) = self.item(class, &item, current) {
                // What changed may be the number itself: it is one of this chunk all the same.
                let (one, other) = (chunk.first_commit, chunk.last_commit);
                let commit = item.commit.clamp(one.min(other), one.max(other));
                return Some(changed(&current.place, chunk, commit, Some(item.time), detail));
            }
            current.measured.take(&item);
            if current.whole {
                ready.extend(Part::of(item));
            }
        }
        if let Some(detail) = damage.into_iter().next() {
            let (commit, time) = (chunk.first_commit, Some(chunk.since));
            return Some(changed(&current.place, chunk, commit, time, detail));
        }
        // An item has the beginning of its link only; here it stands in full.
        if !chunk.link.is_empty() && self.tips.link(class) != &chunk.link[..] {
            let (commit, time) = (chunk.link_commit, self.report.last_time);
            let detail = "its records do not give its link".to_owned();
            return Some(changed(&current.place, chunk, commit, time, detail));
        }
        None
    }

    /// Computes the link of one item again; says what does not fit.
    fn item(&mut self, class: Class, item: &Item, current: &mut Current) -> Option<String> {
        let decisions = (item.entries.len() + item.puts.len()) as u64;
        self.report.decisions += decisions;
        self.report.records += segment::entries(item) - decisions;
        self.at(item.time);
        if item.commit <= current.commit {
            return Some("its commit does not come after the one before".to_owned());
        }
        current.commit = item.commit;
        let link = segment::link_of(class, self.tips.link(class), item);
        match (link, item.check) {
            (None, None) => return None,
            (Some(link), Some(check)) if link[..check.len()] == check => {
                self.report.links += 1;
                self.tips.set(class, item.commit, link);
                if current.whole {
                    self.meet(class, item.commit, &link);
                    self.starts.entries(item.commit, &item.entries);
                }
                return None;
            }
            (Some(_), Some(_)) => "its records do not give its link",
            (Some(_), None) => "records without a link",
            (None, Some(_)) => "a link without records",
        }
        .to_owned()
        .into()
    }

    /// What is wrong with a segment whose chunks are all fine.
    fn finished(&mut self, class: Class, current: &Current) -> Option<Finding> {
        let Current { stored, reader, place, .. } = current;
        if let Some(found) = strayed(reader, place) {
            return Some(found);
        }
        if !current.whole {
            return Some(self.unlike(current));
        }
        if self.tips.link(class) != &stored.link[..] && !stored.link.is_empty() {
            return Some(Finding {
                problem: Problem::Changed,
                commit: Some(stored.link_commit),
                detail: "the segment does not end in the link the manifest has".to_owned(),
                ..place.clone()
            });
        }
        current.measured.against(stored).map(|detail| Finding {
            problem: Problem::Contradicted,
            detail,
            ..place.clone()
        })
    }

    /// Names what is different about a segment whose items are fine and whose digest is not.
    fn unlike(&self, current: &Current) -> Finding {
        let Current { stored, reader, place, len, .. } = current;
        let last = reader.chunks.last();
        if reader.catalog.is_none() && *len < stored.bytes {
            return Finding {
                problem: Problem::Cut,
                commit: Some(last.map_or(stored.first_commit, |chunk| chunk.last_commit + 1)),
                offset: Some(*len),
                time: self.report.last_time.or(Some(stored.since)),
                detail: format!("the file has {len} bytes of {}", stored.bytes),
                ..place.clone()
            };
        }
        let own = reader.class == Some(stored.class);
        if reader.catalog.is_some() && own {
            return Finding {
                problem: Problem::Recreated,
                offset: Some(0),
                detail: "the file is whole, but not the one that was sealed".to_owned(),
                ..place.clone()
            };
        }
        let offset = if own { reader.stray.first().map_or(*len, |(from, _)| *from) } else { 0 };
        Finding {
            problem: Problem::Changed,
            offset: Some(offset),
            detail: "the segment's header or catalog was changed".to_owned(),
            ..place.clone()
        }
    }

    /// Goes on behind a segment as the manifest says it ends, so that one difference is told once.
    fn resume(&mut self, class: Class, stored: &Segment) {
        if let Ok(link) = Link::try_from(&stored.link[..]) {
            self.tips.set(class, stored.link_commit, link);
        }
        self.witnesses.told(class, stored.first_commit, stored.last_commit);
        self.replay.lost(stored.last_commit);
    }
}

impl Part {
    /// None when nothing of it tells in small records.
    fn of(item: Item) -> Option<Part> {
        let mut advances = Advances::default();
        for group in &item.groups {
            if let (Some(sender), Some(block)) = (&group.sender, &group.block) {
                advances.take(sender, block);
            }
        }
        let none = item.groups.is_empty() && item.puts.is_empty();
        let Item { commit, time, puts, .. } = item;
        (!none).then_some(Part { commit, time, advances, puts })
    }
}

/// What a catalog says of a segment, as its items have it.
#[derive(Debug, Default)]
struct Measured {
    first: Option<u64>,
    last: u64,
    entries: u64,
    agents: BTreeSet<String>,
}

impl Measured {
    fn take(&mut self, item: &Item) {
        self.first.get_or_insert(item.commit);
        self.last = item.commit;
        self.entries += segment::entries(item);
        for sender in item.groups.iter().filter_map(|group| group.sender.as_ref()) {
            if !self.agents.contains(&sender.agent) {
                self.agents.insert(sender.agent.clone());
            }
        }
    }

    /// What the manifest says otherwise. Somebody who can sign may have made it so to hide records
    /// from readers, who pass over what the list says is of no interest.
    fn against(&self, stored: &Segment) -> Option<String> {
        let agents: BTreeSet<&String> = stored.agents.iter().collect();
        if (self.first, self.last) != (Some(stored.first_commit), stored.last_commit) {
            return Some(format!(
                "its commits are {} to {}, the manifest says {} to {}",
                self.first.unwrap_or_default(),
                self.last,
                stored.first_commit,
                stored.last_commit
            ));
        }
        if self.entries != stored.entries {
            let (is, said) = (self.entries, stored.entries);
            return Some(format!("it has {is} records, the manifest says {said}"));
        }
        let same = self.agents.iter().eq(agents);
        (!same).then(|| "its agents are others than the manifest says".to_owned())
    }
}

/// A file that holds what belongs to another.
fn swapped(stored: &Segment, reader: &Reader, place: &Finding) -> Option<Finding> {
    let catalog = reader.catalog.as_ref()?;
    let is = (catalog.class, catalog.first_commit, catalog.last_commit);
    (is != (stored.class, stored.first_commit, stored.last_commit)).then(|| Finding {
        problem: Problem::Swapped,
        offset: Some(0),
        detail: format!(
            "the file holds commits {} to {} of class {}",
            catalog.first_commit,
            catalog.last_commit,
            Class::from_number(catalog.class).map_or("unknown", Class::as_str),
        ),
        ..place.clone()
    })
}

/// Bytes between the chunks of a segment without a catalog.
fn strayed(reader: &Reader, place: &Finding) -> Option<Finding> {
    let (from, _) = reader.stray.first().filter(|_| reader.catalog.is_none())?;
    let last = reader.chunks.iter().rev().find(|chunk| chunk.offset < *from);
    let behind = reader.chunks.iter().any(|chunk| chunk.offset > *from);
    behind.then(|| Finding {
        problem: Problem::Changed,
        commit: last.map(|chunk| chunk.last_commit + 1).or(place.commit),
        offset: Some(*from),
        detail: "bytes that are no chunk".to_owned(),
        ..place.clone()
    })
}

fn changed(
    place: &Finding,
    chunk: &Chunk,
    commit: u64,
    time: Option<i64>,
    detail: String,
) -> Finding {
    Finding {
        problem: Problem::Changed,
        commit: Some(commit),
        offset: Some(chunk.offset),
        time,
        detail,
        ..place.clone()
    }
}

fn name(stored: &Segment) -> String {
    format!("{SEGMENTS}/{}", stored.file)
}

//! Reading: small records from the index, stored records from log and segments.
//!
//! A reader takes the view (which segments and log files there are) once and keeps it: a seal that
//! ends meanwhile makes a new view, and the log file it unlinked stays readable through the old one.
//! So everything is seen exactly once. A segment that a merge or retention replaced stays in the same
//! way: its file is unlinked when the last reader lets go. What does not read back is counted, told
//! in the log, and passed over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Heads};
use tracing::{error, warn};

use super::chain::{self, Class};
use super::checkpoint::Loaded;
use super::commit::{Inner, locked};
use super::log::{Frame, LogFile};
use super::segment::{self, Reader};
use super::status::{Counters, Status};
use super::stored::{self, Chunk, Group, Item};
use super::units::Index;
use super::{Entry, Error, Found, QueueLedger, Range, disk, ledger, merge, open, seal};
use crate::time;

/// Reads history; cheap to clone, shared by everything that answers questions.
#[derive(Debug, Clone)]
pub struct History {
    inner: Arc<Inner>,
}

/// What there is to read, at one moment.
#[derive(Debug)]
pub(super) struct View {
    /// In the order of their commits.
    pub(super) segments: Vec<Arc<Sealed>>,
    /// Oldest first; all after the segments.
    pub(super) logs: Vec<Arc<LogFile>>,
}

/// A segment of the manifest.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) path: PathBuf,
    pub(super) stored: stored::Segment,
    /// What searches need of it, once one has asked.
    index: OnceLock<Index>,
    /// No longer listed: whoever lets go of it last unlinks the file.
    doomed: AtomicBool,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire)
            && let Err(error) = disk::remove(&self.path)
        {
            warn!("a segment that no longer counts stays until the next start: {error}");
        }
    }
}

impl Sealed {
    pub(super) fn new(path: PathBuf, stored: stored::Segment) -> Sealed {
        Sealed {
            path: path.join(&stored.file),
            stored,
            index: OnceLock::new(),
            doomed: AtomicBool::new(false),
        }
    }

    /// None when it can't be opened: the next one who asks tries again.
    pub(super) fn index(&self, counters: &Counters) -> Option<&Index> {
        if let Some(index) = self.index.get() {
            return Some(index);
        }
        let index = Index::of(self.open(counters)?);
        Some(self.index.get_or_init(|| index))
    }

    /// Has the file unlinked once nobody reads it any more. The manifest must not list it.
    pub(super) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    pub(super) fn open(&self, counters: &Counters) -> Option<Reader> {
        let reader = Reader::open(&self.path);
        let reader =
            reader.inspect_err(|e| damaged(counters, &format!("{}: {e}", self.path.display())));
        let reader = reader.ok()?;
        if reader.catalog.is_none() {
            damaged(counters, &format!("{}: a damaged catalog", self.path.display()));
        }
        Some(reader)
    }
}

pub(super) fn damaged(counters: &Counters, text: &str) {
    counters.damaged.fetch_add(1, Ordering::Relaxed);
    error!("{text}; passed over");
}

/// The correlation state last handed in, and the commit that carried it.
#[derive(Debug, Default)]
pub(super) struct Correlations {
    pub(super) commit: u64,
    snapshot: Option<Bytes>,
}

impl Correlations {
    pub(super) fn take(&mut self, commit: u64, snapshot: Option<Bytes>) {
        if snapshot.is_some() {
            *self = Correlations { commit, snapshot };
        }
    }

    /// Takes what the checkpoint has, unless the log had something newer.
    pub(super) fn base(&mut self, checkpoint: &Option<Loaded>) {
        let Some(Ok(head)) = checkpoint.as_ref().map(Loaded::head) else { return };
        if head.correlations_commit > self.commit {
            self.commit = head.correlations_commit;
            self.snapshot = Some(head.correlations);
        }
    }
}

impl History {
    pub(super) fn new(inner: Arc<Inner>) -> History {
        History { inner }
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.inner.view()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// A small record.
    pub fn get(&self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        self.inner.index.get(tree, key)
    }

    /// Small records whose key begins with `prefix`, in key order, until `see` returns false.
    pub fn scan(
        &self,
        tree: &'static str,
        prefix: &[u8],
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        self.inner.index.walk(tree, prefix, false, false, see);
    }

    /// The same, last key first.
    pub fn scan_back(
        &self,
        tree: &'static str,
        prefix: &[u8],
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        self.inner.index.walk(tree, prefix, false, true, see);
    }

    /// From `from` (inclusive) on, in key order.
    pub fn scan_from(
        &self,
        tree: &'static str,
        from: &[u8],
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        self.inner.index.walk(tree, from, true, false, see);
    }

    /// Stored records, newest commit first, until `see` returns false. Blocking.
    ///
    /// Within a commit: class by class, the last record first.
    pub fn read(&self, range: &Range, see: &mut dyn FnMut(Found) -> bool) -> Result<(), Error> {
        let classes: Vec<Class> = [Kind::Asset, Kind::Performance, Kind::Log, Kind::Security]
            .into_iter()
            .filter(|kind| range.kinds.is_empty() || range.kinds.contains(kind))
            .map(Class::from)
            .collect();
        let agent = range.agent.as_deref();
        let wanted = Wanted { since: range.since, until: range.until, agent };
        self.backward(&classes, &wanted, &mut |class, item| show(class, item, &wanted, see));
        Ok(())
    }

    /// Decisions with the commit that holds them, newest first, until `see` returns false: those
    /// whose time is at or after `since` and before `until`. Blocking.
    pub fn entries(
        &self,
        since: Option<i64>,
        until: Option<i64>,
        see: &mut dyn FnMut(u64, Entry) -> bool,
    ) -> Result<(), Error> {
        // The log's frames know when records came, not when decisions were made: times are looked
        // at here, and only segments are passed over by theirs.
        let wanted = Wanted { since, until, agent: None };
        self.backward(&[Class::Record], &wanted, &mut |_, item| {
            let (commit, entries) = (item.commit, item.entries);
            entries
                .into_iter()
                .rev()
                .filter(|entry| wanted.time(entry.time))
                .all(|entry| see(commit, entry.into()))
        });
        Ok(())
    }

    /// Where a queue stands; None when nothing of that epoch was ever committed.
    pub fn queue(&self, agent: &str, kind: Kind, epoch: &[u8; 16]) -> Option<QueueLedger> {
        self.inner.queue(&ledger::key(agent, kind, epoch))
    }

    /// The chain heads as of the last commit, signed when they were.
    pub fn heads(&self) -> Heads {
        self.inner.heads.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest signed heads, which may be older than the last commit.
    pub fn signed_heads(&self) -> Option<Heads> {
        locked(&self.inner.signed).clone()
    }

    /// The last snapshot of correlation state, and every hit committed after it, in order.
    pub fn hits_since_checkpoint(&self) -> (Option<Bytes>, Vec<Bytes>) {
        let (from, snapshot) = {
            let correlations = locked(&self.inner.correlations);
            (correlations.commit, correlations.snapshot.clone())
        };
        let (inner, view) = (&self.inner, self.inner.view());
        let mut hits = Vec::new();
        let record = Class::Record.number();
        let sealed: Vec<_> =
            view.segments.iter().filter(|sealed| sealed.stored.class == record).cloned().collect();
        forward(&sealed, from, &inner.counters, &mut |items| {
            hits.extend(items.into_iter().flat_map(|item| item.hits));
        });
        for file in &view.logs {
            for frame in file.frames().iter().filter(|frame| frame.number > from) {
                match file.read(frame) {
                    Ok(commit) => hits.extend(commit.hits),
                    Err(e) => damaged(&inner.counters, &format!("{}: {e}", file.path.display())),
                }
            }
        }
        (snapshot, hits)
    }

    /// Seals everything committed so far, and returns when that is done. Commits go on meanwhile.
    pub fn seal(&self) -> Result<(), Error> {
        seal::all(&self.inner)
    }

    /// Merges small neighbouring segments now, where that is worth it; returns how many merges there
    /// were. A thread does so from time to time.
    pub fn merge(&self, now: i64) -> Result<usize, Error> {
        merge::all(&self.inner, now)
    }

    /// How history is doing.
    pub fn status(&self) -> Status {
        Status::of(&self.inner, time::now())
    }

    /// Items of these classes, newest commit first; log, then segments.
    fn backward(
        &self,
        classes: &[Class],
        wanted: &Wanted<'_>,
        see: &mut dyn FnMut(Class, Item) -> bool,
    ) {
        let (view, counters) = (self.inner.view(), &self.inner.counters);
        for file in view.logs.iter().rev() {
            for frame in file.frames().iter().rev() {
                let records = wanted.overlaps(frame.since, frame.until);
                let has = |class: &Class| frame.has(*class) && (records || *class == Class::Record);
                if classes.iter().any(has) && !from_log(file, frame, classes, counters, see) {
                    return;
                }
            }
        }
        let mut cursors: Vec<Cursor> = classes
            .iter()
            .map(|class| {
                let own = |sealed: &&Arc<Sealed>| {
                    let stored = &sealed.stored;
                    stored.class == class.number()
                        && wanted.overlaps(stored.since, stored.until)
                        && wanted.agent.is_none_or(|agent| stored.agents.iter().any(|a| a == agent))
                };
                Cursor::new(*class, view.segments.iter().filter(own).cloned().collect())
            })
            .collect();
        while let Some(at) = newest(&mut cursors, wanted, counters) {
            let cursor = &mut cursors[at];
            if let Some(item) = cursor.items.pop()
                && !see(cursor.class, item)
            {
                return;
            }
        }
    }
}

/// What a reader asked for.
pub(super) struct Wanted<'a> {
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) agent: Option<&'a str>,
}

impl Wanted<'_> {
    pub(super) fn time(&self, time: i64) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    pub(super) fn overlaps(&self, since: i64, until: i64) -> bool {
        self.since.is_none_or(|wanted| until >= wanted)
            && self.until.is_none_or(|wanted| since < wanted)
    }
}

fn from_log(
    file: &LogFile,
    frame: &Frame,
    classes: &[Class],
    counters: &Counters,
    see: &mut dyn FnMut(Class, Item) -> bool,
) -> bool {
    let commit = match file.read(frame) {
        Ok(commit) => commit,
        Err(e) => {
            let text = format!("{}: commit {}: {e}", file.path.display(), frame.number);
            damaged(counters, &text);
            return true;
        }
    };
    let only_decisions = classes == [Class::Record];
    let blocks = if only_decisions {
        vec![None; commit.batches.len()]
    } else {
        open::unpacked(&commit, counters)
    };
    let mut items = segment::split(frame.number, &commit, blocks);
    classes.iter().all(|class| match items[class.index()].take() {
        Some(item) => see(*class, item),
        None => true,
    })
}

/// The cursor with the newest item, the first of those that have the same commit.
fn newest(cursors: &mut [Cursor], wanted: &Wanted<'_>, counters: &Counters) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (at, cursor) in cursors.iter_mut().enumerate() {
        if let Some(commit) = cursor.peek(wanted, counters)
            && best.is_none_or(|(newest, _)| commit > newest)
        {
            best = Some((commit, at));
        }
    }
    best.map(|(_, at)| at)
}

/// Walks the segments of one class from the newest item to the oldest. All lists are ascending and
/// taken from their end.
struct Cursor {
    class: Class,
    segments: Vec<Arc<Sealed>>,
    reader: Option<(Arc<Sealed>, Reader)>,
    chunks: Vec<Chunk>,
    items: Vec<Item>,
}

impl Cursor {
    fn new(class: Class, segments: Vec<Arc<Sealed>>) -> Cursor {
        Cursor { class, segments, reader: None, chunks: Vec::new(), items: Vec::new() }
    }

    fn peek(&mut self, wanted: &Wanted<'_>, counters: &Counters) -> Option<u64> {
        loop {
            if let Some(item) = self.items.last() {
                return Some(item.commit);
            }
            if let Some((sealed, reader)) = &self.reader
                && let Some(chunk) = self.chunks.pop()
            {
                if wanted.overlaps(chunk.since, chunk.until) {
                    self.items = read_chunk(sealed, reader, &chunk, counters);
                }
                continue;
            }
            let sealed = self.segments.pop()?;
            self.reader = sealed.open(counters).map(|reader| {
                self.chunks = reader.chunks.clone();
                (sealed, reader)
            });
        }
    }
}

pub(super) fn read_chunk(
    sealed: &Sealed,
    reader: &Reader,
    chunk: &Chunk,
    counters: &Counters,
) -> Vec<Item> {
    let (path, offset) = (sealed.path.display(), chunk.offset);
    let tell = |error: &str| damaged(counters, &format!("{path}: {error} at byte {offset}"));
    match reader.read_damaged(chunk) {
        Ok((items, damage)) => {
            damage.iter().for_each(|text| tell(text));
            items
        }
        Err(error) => {
            tell(&error.to_string());
            Vec::new()
        }
    }
}

/// Shows sealed commits after `from` oldest first, each with the items its classes have of it. The
/// segments must be in the order of their commits.
pub(super) fn forward(
    segments: &[Arc<Sealed>],
    from: u64,
    counters: &Counters,
    see: &mut dyn FnMut(Vec<Item>),
) {
    // Ascending, taken from the front: the same cursors with every list turned round.
    let mut cursors: Vec<_> = Class::ALL
        .into_iter()
        .map(|class| {
            let own = segments.iter().filter(move |sealed| {
                sealed.stored.class == class.number() && sealed.stored.last_commit > from
            });
            own.cloned()
                .flat_map(move |sealed| {
                    let reader = sealed.open(counters);
                    let chunks = reader.as_ref().map(|r| r.chunks.clone()).unwrap_or_default();
                    let late = chunks.into_iter().filter(move |chunk| chunk.last_commit > from);
                    late.flat_map(move |chunk| {
                        reader
                            .as_ref()
                            .map(|reader| read_chunk(&sealed, reader, &chunk, counters))
                            .unwrap_or_default()
                    })
                })
                .filter(move |item| item.commit > from)
                .peekable()
        })
        .collect();
    loop {
        let next = cursors.iter_mut().filter_map(|c| c.peek().map(|item| item.commit)).min();
        let Some(commit) = next else { return };
        let items =
            cursors.iter_mut().filter_map(|c| c.next_if(|item| item.commit == commit)).collect();
        see(items);
    }
}

/// Shows the records of one item, the last one first.
fn show(class: Class, item: Item, wanted: &Wanted<'_>, see: &mut dyn FnMut(Found) -> bool) -> bool {
    for Group { sender, block } in item.groups.into_iter().rev() {
        let (Some(sender), Some(block)) = (sender, block) else { continue };
        if !wanted.time(sender.ingested) || wanted.agent.is_some_and(|agent| agent != sender.agent)
        {
            continue;
        }
        let kind = chain::kind_of(&sender);
        let text = |text: &str| -> Arc<str> { Arc::from(text) };
        let [agent, host, site, system, zone] =
            [&sender.agent, &sender.host, &sender.site, &sender.system, &sender.zone]
                .map(|name| text(name));
        let Block { origins, records } = block;
        for record in records.into_iter().rev() {
            let found = Found {
                commit: item.commit,
                agent: Arc::clone(&agent),
                host: Arc::clone(&host),
                site: Arc::clone(&site),
                system: Arc::clone(&system),
                zone: Arc::clone(&zone),
                kind,
                raised: Class::from(kind) != class,
                epoch: sender.epoch[..].try_into().unwrap_or_default(),
                origin: origins.get(record.origin as usize).cloned().unwrap_or_default(),
                record,
                ingested: sender.ingested,
            };
            if !see(found) {
                return false;
            }
        }
    }
    true
}

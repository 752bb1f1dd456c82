//! Entries into chunks, and cursors into positions.
//!
//! Security entries and others travel in two queues, a chunk belongs to one queue, and a crash may
//! leave the chunk of one stored without that of the other. So each kind has a position of its own,
//! under `security` and `log`: `{"cursor": …, "batch": …}`, where `batch` counts up with every batch and
//! says which of the two is further on. After a restart reading begins at the one that is behind, and
//! entries of the other kind are dropped until its own cursor has passed. While that lasts the one
//! behind keeps its number, so that a second crash begins at the right one again. When only one kind was
//! stored yet, the other begins where the source began, which every position names. A kind that has
//! nothing to say for long moves its position along without records.

use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::Origin;
use serde::{Deserialize, Serialize};

use super::entry;
use super::export::Entry;
use crate::sources::{Chunk, NewRecord};

/// Entries in one batch.
pub(super) const MAX_ENTRIES: usize = 512;
/// Bytes of messages in one batch, about.
pub(super) const MAX_BYTES: usize = 512 << 10;
/// Batches after which a silent kind's position is moved along.
const MAX_LAG: u64 = 64;
/// A cursor that never comes by (its file was vacuumed) counts as passed when the journal's time is
/// so far beyond it.
const PASSED_MICROS: u64 = 60_000_000;

/// A stored position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) cursor: String,
    pub(super) batch: u64,
    /// The cursor at which the source began when it was new, empty for the journal's start: where
    /// the other kind begins when nothing of it was stored yet.
    pub(super) first: String,
}

impl Mark {
    pub(super) fn decode(bytes: &[u8]) -> Option<Mark> {
        serde_json::from_slice(bytes).ok()
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }
}

/// What a cursor says: the journal's sequence, the number in it, and the time.
#[derive(Debug, PartialEq, Eq)]
struct Cursor<'a> {
    sequence: &'a str,
    number: u64,
    micros: u64,
}

impl Cursor<'_> {
    fn parse(text: &str) -> Option<Cursor<'_>> {
        let part = |name: &str| {
            text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Cursor {
            sequence: part("s")?,
            number: u64::from_str_radix(part("i")?, 16).ok()?,
            micros: u64::from_str_radix(part("t")?, 16).ok()?,
        })
    }
}

/// Whether the entry at `here` comes after the one at `mark`.
fn is_after(here: &str, mark: &str) -> bool {
    match (Cursor::parse(here), Cursor::parse(mark)) {
        (Some(here), Some(mark)) if here.sequence == mark.sequence => here.number > mark.number,
        (Some(here), Some(mark)) => here.micros > mark.micros.saturating_add(PASSED_MICROS),
        _ => false,
    }
}

/// Gathers entries until they are worth a chunk.
pub(super) struct Batcher {
    log: Option<Mark>,
    security: Option<Mark>,
    /// The kind whose entries are dropped until its cursor has passed.
    ahead: Option<Kind>,
    /// The cursor reading began at, until the first entry shows whether it still exists.
    began: Option<String>,
    origin: Arc<Origin>,
    entries: usize,
    bytes: usize,
    log_records: Vec<NewRecord>,
    security_records: Vec<NewRecord>,
    last: Option<String>,
    first: String,
}

impl Batcher {
    /// A batcher that goes on from the stored positions.
    pub(super) fn new(log: Option<Mark>, security: Option<Mark>) -> Batcher {
        let origin = Origin { source: "journal".to_owned(), ..Origin::default() };
        let mut batcher = Batcher {
            log,
            security,
            ahead: None,
            began: None,
            origin: Arc::new(origin),
            entries: 0,
            bytes: 0,
            log_records: Vec::new(),
            security_records: Vec::new(),
            last: None,
            first: String::new(),
        };
        let known = batcher.log.as_ref().or(batcher.security.as_ref());
        if let Some(first) = known.map(|mark| mark.first.clone()) {
            let begin = Mark { cursor: first.clone(), batch: 0, first: first.clone() };
            batcher.log.get_or_insert_with(|| begin.clone());
            batcher.security.get_or_insert(begin);
            batcher.first = first;
        }
        batcher.restart();
        batcher
    }

    /// Forgets what is not yet handed over and says where to begin, because journalctl is started anew:
    /// at a cursor, at the journal's start (empty), or None when the source was never started.
    pub(super) fn restart(&mut self) -> Option<String> {
        self.log_records.clear();
        self.security_records.clear();
        (self.entries, self.bytes, self.last) = (0, 0, None);
        self.ahead = match (&self.log, &self.security) {
            (Some(log), Some(security)) if log.cursor != security.cursor => {
                Some(if log.batch > security.batch { Kind::Log } else { Kind::Security })
            }
            _ => None,
        };
        let behind = match self.ahead {
            Some(Kind::Log) => &self.security,
            Some(_) => &self.log,
            None => {
                if self.security.is_some() {
                    &self.security
                } else {
                    &self.log
                }
            }
        };
        let begin = behind.as_ref().map(|mark| mark.cursor.clone());
        self.began = begin.clone().filter(|cursor| !cursor.is_empty());
        begin
    }

    /// Chunks that only say where reading begins: for a first start at the journal's end.
    pub(super) fn begin_at(&mut self, cursor: String) -> Vec<Chunk> {
        self.first.clone_from(&cursor);
        self.last = Some(cursor);
        self.entries = 1;
        let chunks = self.flush(true);
        self.restart();
        chunks
    }

    /// Takes an entry.
    pub(super) fn push(&mut self, entry: &Entry, created: i64) {
        let Some(cursor) = entry.text("__CURSOR") else { return };
        let kind = entry::kind(entry);
        let began = self.began.take();
        let taken_before = began.as_deref().is_some_and(|began| is_same(cursor, began))
            || self.ahead == Some(kind) && !self.is_past_mark(cursor);
        if let Some(began) = began.filter(|began| !is_same(cursor, began)) {
            self.lost(cursor, &began, created);
        }
        if self.is_past_mark(cursor) || self.is_at_mark(cursor) {
            self.ahead = None;
        }
        // An entry that is dropped moves the place as well: it must never fall behind the mark passed.
        self.last = Some(cursor.to_owned());
        if !taken_before {
            self.entries += 1;
            self.take(kind, entry, created);
        }
    }

    /// Whether enough is gathered.
    pub(super) fn is_full(&self) -> bool {
        self.entries >= MAX_ENTRIES || self.bytes >= MAX_BYTES
    }

    /// Whether anything is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether a position could be moved along.
    pub(super) fn lags(&self) -> bool {
        let batch = |mark: &Option<Mark>| mark.as_ref().map_or(0, |mark| mark.batch);
        self.ahead.is_none() && batch(&self.log) != batch(&self.security)
    }

    /// What is gathered, as chunks; `all` moves both positions along.
    pub(super) fn flush(&mut self, all: bool) -> Vec<Chunk> {
        let newest = [&self.log, &self.security].into_iter().flatten().max_by_key(|m| m.batch);
        let (newest_batch, newest_cursor) =
            newest.map_or((0, None), |mark| (mark.batch, Some(mark.cursor.clone())));
        // The newest cursor is only that of both kinds when none is behind.
        let newest_cursor = newest_cursor.filter(|_| self.ahead.is_none());
        let Some(cursor) = self.last.take().or(newest_cursor) else { return Vec::new() };
        let moved = std::mem::take(&mut self.entries) > 0;
        self.bytes = 0;
        let next = newest_batch + u64::from(moved);
        let mut chunks = Vec::new();
        for kind in [Kind::Security, Kind::Log] {
            let (mark, records) = match kind {
                Kind::Security => (&mut self.security, &mut self.security_records),
                _ => (&mut self.log, &mut self.log_records),
            };
            if self.ahead == Some(kind) {
                continue;
            }
            let batch = match (self.ahead, &*mark) {
                (Some(_), Some(mark)) => mark.batch,
                _ => next,
            };
            let lag = next - mark.as_ref().map_or(0, |mark| mark.batch);
            if records.is_empty() && (mark.is_some() && !all && lag < MAX_LAG) {
                continue;
            }
            let new = Mark { cursor: cursor.clone(), batch, first: self.first.clone() };
            if records.is_empty() && mark.as_ref() == Some(&new) {
                continue;
            }
            let position = Some((kind.as_str().to_owned(), new.encode()));
            *mark = Some(new);
            let records = std::mem::take(records);
            chunks.push(Chunk { kind, origin: Arc::clone(&self.origin), records, position });
        }
        chunks
    }

    fn take(&mut self, kind: Kind, entry: &Entry, created: i64) {
        self.bytes += entry.value("MESSAGE").map_or(0, |message| message.bytes.len());
        let records = entry::records(entry, created);
        match kind {
            Kind::Security => self.security_records.extend(records),
            _ => self.log_records.extend(records),
        }
    }

    /// The cursor of the kind that is ahead.
    fn mark_ahead(&self) -> Option<&str> {
        let mark = match self.ahead? {
            Kind::Log => &self.log,
            _ => &self.security,
        };
        mark.as_ref().map(|mark| mark.cursor.as_str())
    }

    fn is_past_mark(&self, cursor: &str) -> bool {
        self.mark_ahead().is_some_and(|mark| is_after(cursor, mark))
    }

    fn is_at_mark(&self, cursor: &str) -> bool {
        self.mark_ahead().is_some_and(|mark| is_same(cursor, mark))
    }

    /// The entry reading was to go on from is gone.
    fn lost(&mut self, cursor: &str, began: &str, created: i64) {
        let records = match (Cursor::parse(cursor), Cursor::parse(began)) {
            (Some(here), Some(there)) if here.sequence == there.sequence => {
                here.number.saturating_sub(there.number + 1)
            }
            _ => 0,
        };
        let detail = "the journal was vacuumed past the last entry read".to_owned();
        let gap = NewRecord::gap(created, Cause::JournalLost, records, 0, detail);
        match self.ahead {
            Some(Kind::Security) => self.log_records.push(gap),
            _ => self.security_records.push(gap),
        }
    }
}

fn is_same(here: &str, mark: &str) -> bool {
    match (Cursor::parse(here), Cursor::parse(mark)) {
        (Some(a), Some(b)) => a.sequence == b.sequence && a.number == b.number,
        _ => here == mark,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hengwei_protocol::wire::field::Value;
    use hengwei_protocol::wire::record::Body;

    use super::super::export::Parser;
    use super::*;

    fn cursor(number: u64) -> String {
        format!("s=aa;i={number:x};b=bb;m=1;t={:x};x=cc", number * 1_000)
    }

    fn entry(number: u64) -> Entry {
        // Bursts of either kind.
        let facility = if number % 7 < 3 { 10 } else { 3 };
        let cursor = cursor(number);
        let text = format!("__CURSOR={cursor}\nMESSAGE={number}\nSYSLOG_FACILITY={facility}\n\n");
        let mut entries = Vec::new();
        Parser::new(entry::WANTED).feed(text.as_bytes(), |entry| entries.push(entry)).unwrap();
        entries.pop().unwrap()
    }

    /// A spool in which a crash may keep the chunks of one queue and lose those of the other.
    #[derive(Default)]
    struct Spool {
        positions: BTreeMap<String, Bytes>,
        messages: Vec<String>,
    }

    impl Spool {
        fn keep(&mut self, chunk: Chunk) {
            let (key, value) = chunk.position.unwrap();
            self.positions.insert(key, value);
            for record in chunk.records {
                self.messages.push(match record.body.unwrap() {
                    Body::Fields(fields) => match fields.fields[0].value.clone().unwrap() {
                        Value::Text(text) => text,
                        other => panic!("{other:?}"),
                    },
                    Body::Gap(gap) => format!("gap {} {}", gap.cause, gap.records),
                    Body::Original(_) => panic!("an entry has fields"),
                });
            }
        }

        fn batcher(&self) -> Batcher {
            let mark = |key: &str| self.positions.get(key).and_then(|bytes| Mark::decode(bytes));
            Batcher::new(mark("log"), mark("security"))
        }
    }

    fn number(cursor: Option<String>) -> u64 {
        cursor.filter(|c| !c.is_empty()).map_or(1, |c| Cursor::parse(&c).unwrap().number)
    }

    #[test]
    fn each_entry_comes_once_whatever_a_crash_keeps() {
        const TOTAL: u64 = 3_000;
        for seed in 1..40_u64 {
            let mut dice = seed;
            let mut below = |limit: u64| {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % limit
            };
            let mut spool = Spool::default();
            let mut last = 0;
            while last < TOTAL {
                let mut batcher = spool.batcher();
                let mut next = number(batcher.restart());
                // In memory, each queue is stored up to some point when the crash comes.
                let mut pending: Vec<Chunk> = Vec::new();
                for _ in 0..1 + below(8) {
                    for _ in 0..1 + below(40) {
                        if next <= TOTAL {
                            batcher.push(&entry(next), 1);
                            next += 1;
                        }
                    }
                    pending.extend(batcher.flush(below(5) == 0));
                }
                let keep = |kind: Kind, below: &mut dyn FnMut(u64) -> u64| {
                    let count = pending.iter().filter(|chunk| chunk.kind == kind).count() as u64;
                    if next > TOTAL { count } else { below(count + 1) }
                };
                let security = keep(Kind::Security, &mut below);
                let log = keep(Kind::Log, &mut below);
                let mut left = [(Kind::Security, security), (Kind::Log, log)];
                for chunk in pending {
                    let quota = left.iter_mut().find(|(kind, _)| *kind == chunk.kind).unwrap();
                    if quota.1 > 0 {
                        quota.1 -= 1;
                        spool.keep(chunk);
                    }
                }
                last = next - 1;
            }
            let mut counts: BTreeMap<u64, u32> = (1..=TOTAL).map(|n| (n, 0)).collect();
            for message in &spool.messages {
                *counts.entry(message.parse().unwrap()).or_default() += 1;
            }
            let odd: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
            assert!(odd.is_empty(), "seed {seed}: {odd:?}");
        }
    }

    #[test]
    fn a_vacuumed_journal_is_a_gap() {
        let mut spool = Spool::default();
        let mut batcher = spool.batcher();
        batcher.push(&entry(1), 1);
        batcher.flush(true).into_iter().for_each(|chunk| spool.keep(chunk));
        let mut batcher = spool.batcher();
        batcher.push(&entry(11), 1);
        batcher.flush(true).into_iter().for_each(|chunk| spool.keep(chunk));
        assert_eq!(spool.messages, ["1", "gap journal-lost 9", "11"]);
    }

    #[test]
    fn a_silent_kind_moves_along() {
        let mut spool = Spool::default();
        let mut batcher = spool.batcher();
        let mut chunks = 0;
        for number in (1..2_000).filter(|number| number % 7 >= 3) {
            batcher.push(&entry(number), 1);
            for chunk in batcher.flush(false) {
                chunks += usize::from(chunk.records.is_empty());
                spool.keep(chunk);
            }
        }
        assert!((10..30).contains(&chunks), "{chunks}");
        let behind = number(spool.batcher().restart());
        assert!(behind > 1_850, "{behind}");
    }

    #[test]
    fn a_first_start_at_the_end_is_remembered_before_anything_comes() {
        let mut spool = Spool::default();
        let mut batcher = spool.batcher();
        batcher.begin_at(cursor(5)).into_iter().for_each(|chunk| spool.keep(chunk));
        assert_eq!(spool.positions.len(), 2);
        assert_eq!(number(spool.batcher().restart()), 5);
    }
}

//! The ledger: what every queue of every agent delivered, and every hole in it.
//!
//! In: the records of a commit, whole batches or as a segment splits them. Out: rows of the trees
//! `ledger` and `gaps`. Everything here follows from what was received, so it is not chained, and
//! the same rows come out whether commits are read from the log or from segments.

use std::collections::BTreeMap;

use hengwei_protocol::wire::{Block, Record, record::Body};
use hengwei_protocol::{Kind, record};

use super::stored::Sender;
use super::{GapRow, QueueLedger, chain, tree};

/// Where small records are read and changed: the index, or a checkpoint in the making.
pub(super) trait Rows {
    /// The value of a key.
    fn row(&mut self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>>;
    /// Sets a key, or removes it.
    fn set(&mut self, tree: &'static str, key: Vec<u8>, value: Option<Vec<u8>>);
}

/// The key of a queue's row.
pub(super) fn key(agent: &str, kind: Kind, epoch: &[u8]) -> Vec<u8> {
    format!("{agent}\0{kind}\0{}", hex(epoch)).into_bytes()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes what it is given");
        text
    })
}

/// How far one queue came in one commit.
#[derive(Debug)]
struct Advance {
    first: u64,
    next: u64,
    /// Of the record with the highest number.
    last: Option<(u64, [u8; 32])>,
    records: u64,
    missing: u64,
    gaps: Vec<GapRow>,
}

/// Brings ledger and gaps up to one commit.
pub(super) fn apply<'a>(
    rows: &mut dyn Rows,
    time: i64,
    parts: impl Iterator<Item = (&'a Sender, &'a Block)>,
) {
    let mut advances = Advances::default();
    parts.for_each(|(sender, block)| advances.take(sender, block));
    advances.apply(rows, time);
}

/// How far the queues came in one commit: all that the ledger needs of its records. What the classes
/// have of a commit can be taken apart and joined.
#[derive(Debug, Default)]
pub(super) struct Advances(BTreeMap<Vec<u8>, Advance>);

impl Advances {
    pub(super) fn take(&mut self, sender: &Sender, block: &Block) {
        if !block.records.is_empty() {
            let key = key(&sender.agent, chain::kind_of(sender), &sender.epoch);
            self.0.entry(key).or_insert_with(Advance::new).take(block);
        }
    }

    pub(super) fn join(&mut self, other: Advances) {
        for (key, advance) in other.0 {
            self.0.entry(key).or_insert_with(Advance::new).join(advance);
        }
    }

    pub(super) fn apply(self, rows: &mut dyn Rows, time: i64) {
        for (key, advance) in self.0 {
            for gap in &advance.gaps {
                let gap_key = [&key[..], &[0], &gap.number.to_be_bytes()].concat();
                rows.set(tree::GAPS, gap_key, Some(json(gap)));
            }
            let row =
                rows.row(tree::LEDGER, &key).and_then(|row| serde_json::from_slice(&row).ok());
            let row = advance.onto(row, time);
            rows.set(tree::LEDGER, key, Some(json(&row)));
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a struct of numbers and texts is always JSON")
}

impl Advance {
    fn new() -> Advance {
        Advance { first: u64::MAX, next: 0, last: None, records: 0, missing: 0, gaps: Vec::new() }
    }

    fn take(&mut self, block: &Block) {
        for record in &block.records {
            let next = record::next(record).unwrap_or(u64::MAX);
            self.first = self.first.min(record.number);
            self.next = self.next.max(next);
            self.records += 1;
            self.missing += record::span(record) - 1;
            if let Some(gap) = gap(block, record) {
                self.gaps.push(gap);
            }
        }
        let highest = block.records.iter().max_by_key(|record| record.number);
        if let Some(record) = highest
            && self.last.is_none_or(|(number, _)| record.number > number)
        {
            let digest = record::digest(chain::origin_of(block, record), record);
            self.last = Some((record.number, digest));
        }
    }

    fn join(&mut self, other: Advance) {
        self.first = self.first.min(other.first);
        self.next = self.next.max(other.next);
        self.records += other.records;
        self.missing += other.missing;
        self.gaps.extend(other.gaps);
        if let Some((number, _)) = other.last
            && self.last.is_none_or(|(known, _)| number > known)
        {
            self.last = other.last;
        }
    }

    /// A hole between the old row and this commit can only come from a damaged frame; it is counted
    /// as missing.
    fn onto(&self, old: Option<QueueLedger>, time: i64) -> QueueLedger {
        let mut row = old.unwrap_or(QueueLedger {
            next: self.first,
            digest: String::new(),
            records: 0,
            missing: 0,
            last: time,
            first_time: time,
        });
        row.missing = row
            .missing
            .saturating_add(self.missing)
            .saturating_add(self.first.saturating_sub(row.next));
        row.records += self.records;
        row.next = row.next.max(self.next);
        row.last = time;
        if let Some((_, digest)) = &self.last {
            row.digest = hex(digest);
        }
        row
    }
}

fn gap(block: &Block, record: &Record) -> Option<GapRow> {
    let Some(Body::Gap(gap)) = &record.body else { return None };
    let origin = chain::origin_of(block, record);
    Some(GapRow {
        number: record.number,
        span: record::span(record),
        records: gap.records,
        bytes: gap.bytes,
        cause: gap.cause.clone(),
        detail: gap.detail.clone(),
        source: origin.source.clone(),
        path: origin.path.clone(),
        time: record.created,
    })
}

//! What is on disk and synced, as readers see it. One lock over all of it, held only for look-ups
//! and never while a file is read or written.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hengwei_protocol::Kind;
use tokio::sync::watch;

use super::format::{self, Position};
use super::state::{Gap, State};

/// Bytes between two places a file's index remembers.
const INDEX_STEP: u64 = 64 << 10;

/// One file, up to where it is synced.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) index: u64,
    pub(super) salt: u64,
    pub(super) path: PathBuf,
    /// Numbers in it: `first` up to but without `next`.
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) len: u64,
    /// No frame before the file has a higher sequence number; 0 when its header could not be read.
    pub(super) seq: u64,
    /// Some numbers and where their frames begin, ascending.
    places: Vec<(u64, u64)>,
}

impl Segment {
    pub(super) fn new(index: u64, salt: u64, path: PathBuf, first: u64, seq: u64) -> Segment {
        let places = vec![(first, format::HEADER as u64)];
        Segment { index, salt, path, first, next: first, len: 0, seq, places }
    }

    /// Takes note of a frame at `offset`.
    pub(super) fn saw(&mut self, offset: u64, frame: &format::Frame) {
        self.next = self.next.max(frame.next());
        self.len = self.len.max(offset + frame.total());
        if self.places.last().is_none_or(|(_, last)| offset >= last + INDEX_STEP) {
            self.places.push((frame.first, offset));
        }
    }

    /// Where a frame begins that is at or before the one with `number`.
    pub(super) fn place(&self, number: u64) -> u64 {
        let after = self.places.partition_point(|(first, _)| *first <= number);
        // A frame that ends where the next begins may share its first number (it held none).
        self.places[..after].last().map_or(format::HEADER as u64, |(_, offset)| *offset)
    }
}

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) dir: PathBuf,
    pub(super) state: State,
    /// Whether `state` differs from its file.
    pub(super) unsaved: bool,
    /// First number that is not synced.
    pub(super) next: u64,
    /// Oldest first; the last is the one being written and is never deleted, because it carries the
    /// positions.
    pub(super) segments: VecDeque<Segment>,
    /// Where the last read ended: file, number, offset.
    pub(super) hint: Option<(u64, u64, u64)>,
}

/// What to read for a number.
pub(super) enum Plan {
    /// Nothing: it is not there yet.
    End,
    /// It was here once and was acknowledged and deleted.
    Gone,
    /// A gap stands for it.
    Gap(Gap),
    /// It should be in this file, in the frame at `offset` or after; other numbers begin at `until`.
    File { segment: Box<Segment>, offset: u64, until: u64 },
    /// It should be somewhere and no file has it; what follows begins at `until`.
    Hole { until: u64 },
}

impl Queue {
    /// The number on disk of one that was sent.
    pub(super) fn on_disk(&self, sent: u64) -> u64 {
        self.state.start.saturating_add(sent).saturating_sub(1)
    }

    /// The number as it is sent.
    pub(super) fn sent(&self, on_disk: u64) -> u64 {
        on_disk.saturating_sub(self.state.start).saturating_add(1)
    }

    /// How to read `number`.
    pub(super) fn plan(&self, number: u64) -> Plan {
        if number >= self.next {
            return Plan::End;
        }
        if let Some(gap) = self.state.gap_at(number) {
            return Plan::Gap(gap.clone());
        }
        let after = self.segments.partition_point(|segment| segment.first <= number);
        let gap = self.state.gap_after(number).map_or(u64::MAX, |gap| gap.first);
        match after.checked_sub(1).map(|at| &self.segments[at]).filter(|s| number < s.next) {
            Some(segment) => {
                let offset = match self.hint {
                    Some((index, at, offset)) if index == segment.index && at == number => offset,
                    _ => segment.place(number),
                };
                let until = segment.next.min(gap);
                Plan::File { segment: Box::new(segment.clone()), offset, until }
            }
            None if number < self.state.acked => Plan::Gone,
            None => {
                let file = self.segments.get(after).map_or(self.next, |segment| segment.first);
                Plan::Hole { until: file.min(gap).min(self.next) }
            }
        }
    }

    /// Bytes of all its files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Records and gaps not acknowledged, as numbers.
    pub(super) fn depth(&self) -> u64 {
        self.next.saturating_sub(self.state.acked)
    }
}

/// Where sources go on, the newest by sequence number.
#[derive(Debug, Default)]
pub(super) struct Positions(BTreeMap<String, BTreeMap<String, (Bytes, u64)>>);

impl Positions {
    /// Takes a position unless a newer one is known. Empty ones stay, as what they forget may still
    /// be in some file.
    pub(super) fn apply(&mut self, position: Position) {
        // A slice would keep alive the whole buffer it was read from.
        let value = Bytes::copy_from_slice(&position.value);
        let keys = self.0.entry(position.source).or_default();
        match keys.get_mut(&position.key) {
            Some(old) if old.1 > position.seq => {}
            Some(old) => *old = (value, position.seq),
            None => {
                keys.insert(position.key, (value, position.seq));
            }
        }
    }

    /// The position of one key.
    pub(super) fn get(&self, source: &str, key: &str) -> Option<Bytes> {
        let (value, _) = self.0.get(source)?.get(key)?;
        (!value.is_empty()).then(|| value.clone())
    }

    /// The positions of all keys with a prefix.
    pub(super) fn with_prefix(&self, source: &str, prefix: &str) -> Vec<(String, Bytes)> {
        let Some(keys) = self.0.get(source) else { return Vec::new() };
        keys.range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, (value, _))| !value.is_empty())
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }

    /// All of them, for a new file. Forgets the forgotten that no file can bring back: those older
    /// than every file there is.
    pub(super) fn snapshot(&mut self, oldest_file: u64) -> Vec<Position> {
        for keys in self.0.values_mut() {
            keys.retain(|_, (value, seq)| !value.is_empty() || *seq > oldest_file);
        }
        self.0.retain(|_, keys| !keys.is_empty());
        let mut all = Vec::new();
        for (source, keys) in &self.0 {
            for (key, (value, seq)) in keys {
                let (source, key, value) = (source.clone(), key.clone(), value.clone());
                all.push(Position { source, key, value, seq: *seq });
            }
        }
        all
    }

    /// The highest sequence number in it.
    pub(super) fn seq(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).map(|(_, seq)| *seq).max().unwrap_or(0)
    }
}

/// How the writer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes chunks.
    Running,
    /// It was asked to end and did.
    Closed,
    /// A step of it failed after which nobody knows what is on disk.
    Poisoned(String),
}

/// Everything readers see.
#[derive(Debug)]
pub(super) struct View {
    /// In the order of [`slot`].
    pub(super) queues: Vec<Queue>,
    pub(super) positions: Positions,
}

impl View {
    pub(super) fn queue(&self, kind: Kind) -> &Queue {
        &self.queues[slot(kind)]
    }

    pub(super) fn queue_mut(&mut self, kind: Kind) -> &mut Queue {
        &mut self.queues[slot(kind)]
    }
}

/// Where a kind's queue is in every list of queues.
pub(super) fn slot(kind: Kind) -> usize {
    kind as usize - 1
}

/// What the writer and everybody else share.
#[derive(Debug)]
pub(super) struct Shared {
    view: Mutex<View>,
    /// Counts up when something became readable.
    pub(super) changed: watch::Sender<u64>,
    /// Whether sources that can wait must.
    pub(super) full: watch::Sender<bool>,
    pub(super) health: watch::Sender<Health>,
}

impl Shared {
    pub(super) fn new(view: View) -> Shared {
        Shared {
            view: Mutex::new(view),
            changed: watch::Sender::new(0),
            full: watch::Sender::new(false),
            health: watch::Sender::new(Health::Running),
        }
    }

    /// The view. A panic elsewhere does not make it wrong: every change to it is a plain assignment.
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The small file beside each queue: which epoch its numbers belong to, how far the collector has
//! it, and which numbers are known to be missing.
//!
//! It is written to a temporary name, synced, renamed and the directory synced, so it is always a
//! whole one. It is written before anything that depends on it (deleting a file, dropping one, a
//! new epoch) and not at each ack: an ack that a crash forgets is learnt again from the collector's
//! Welcome, since the records it was about are still there. When it is missing or damaged, the
//! newest file's header has the epoch, and the oldest file says where to go on.

use std::path::Path;

use bytes::Bytes;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire;
use prost::Message;

use super::disk::Disk;
use super::format::Epoch;

/// File name within a queue's folder.
pub(super) const NAME: &str = "state";
const TEMPORARY: &str = "state.new";
const MAGIC: &[u8; 8] = b"HWSTATE\x01";

/// Numbers that stand for something that is not there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Gap {
    /// First number, as on disk.
    #[prost(uint64, tag = "1")]
    pub(super) first: u64,
    /// How many.
    #[prost(uint64, tag = "2")]
    pub(super) span: u64,
    /// Records lost; 0 when nothing was lost or nobody can say.
    #[prost(uint64, tag = "3")]
    pub(super) records: u64,
    #[prost(uint64, tag = "4")]
    pub(super) bytes: u64,
    #[prost(string, tag = "5")]
    pub(super) cause: String,
    #[prost(string, tag = "6")]
    pub(super) detail: String,
    /// When it was noticed, Unix nanoseconds.
    #[prost(int64, tag = "7")]
    pub(super) created: i64,
}

impl Gap {
    /// The number after its last.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(self.span)
    }

    /// Whether it stands at the beginning of an epoch and not for numbers that were records.
    pub(super) fn begins_epoch(&self) -> bool {
        self.cause == Cause::RolledBack.as_str()
            || self.cause == Cause::CollectorRolledBack.as_str()
    }

    /// The part from `number` on.
    fn tail(&self, number: u64) -> Gap {
        if number <= self.first {
            return self.clone();
        }
        let span = self.next().saturating_sub(number);
        // Nobody can say how many of the lost bytes belonged to the numbers that are left.
        Gap { first: number, span, records: self.records.min(span), bytes: 0, ..self.clone() }
    }

    /// The record that is sent from `number` on in its place.
    pub(super) fn body(&self, number: u64) -> wire::Gap {
        let tail = self.tail(number);
        wire::Gap {
            span: tail.span,
            records: tail.records,
            bytes: tail.bytes,
            cause: tail.cause,
            detail: tail.detail,
        }
    }
}

/// What the file holds. Numbers are those on disk, which never restart; `start` is the one that is
/// sent as 1.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) epoch: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) start: u64,
    /// First number the collector has not acknowledged.
    #[prost(uint64, tag = "3")]
    pub(super) acked: u64,
    /// Digest of the record before it; empty when there is none or it is not known.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) digest: Bytes,
    /// Ascending, without overlap, all of them at or above `acked`.
    #[prost(message, repeated, tag = "5")]
    pub(super) gaps: Vec<Gap>,
}

impl State {
    /// A queue that begins.
    pub(super) fn fresh(epoch: Epoch) -> State {
        State { epoch: Bytes::copy_from_slice(&epoch), start: 1, acked: 1, ..State::default() }
    }

    /// The epoch as the array it is.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch::try_from(&self.epoch[..]).unwrap_or_default()
    }

    /// The gap that `number` lies in.
    pub(super) fn gap_at(&self, number: u64) -> Option<&Gap> {
        let after = self.gaps.partition_point(|gap| gap.first <= number);
        self.gaps[..after].last().filter(|gap| number < gap.next())
    }

    /// The first gap that begins at or after `number`.
    pub(super) fn gap_after(&self, number: u64) -> Option<&Gap> {
        self.gaps.get(self.gaps.partition_point(|gap| gap.first < number))
    }

    /// Moves the acknowledged mark and forgets the gaps below it.
    pub(super) fn ack(&mut self, next: u64, digest: Bytes) {
        self.acked = next;
        self.digest = digest;
        self.gaps.retain(|gap| gap.next() > next);
        if let Some(first) = self.gaps.first_mut()
            && first.first < next
        {
            *first = first.tail(next);
        }
    }

    /// Adds a gap in place of those inside it. Its losses include theirs. What overlaps its edges
    /// keeps its own numbers: those may have been sent already.
    pub(super) fn add_gap(&mut self, mut gap: Gap) {
        let end = gap.next();
        gap.first = gap.first.max(self.acked);
        let (inside, mut kept): (Vec<Gap>, Vec<Gap>) =
            self.gaps.drain(..).partition(|old| old.first >= gap.first && old.next() <= end);
        for old in &inside {
            gap.bytes = gap.bytes.saturating_add(old.bytes);
        }
        if let Some(before) = kept.iter().rfind(|old| old.first < gap.first) {
            gap.first = gap.first.max(before.next());
        }
        let until = kept.iter().find(|old| old.first > gap.first).map_or(end, |o| o.first.min(end));
        gap.span = until.saturating_sub(gap.first);
        gap.records = gap.records.min(gap.span);
        if gap.span > 0 {
            kept.push(gap);
            kept.sort_by_key(|gap| gap.first);
        }
        self.gaps = kept;
    }

    /// Begins an epoch: what is not acknowledged keeps its place, is sent under new numbers, and a
    /// gap that says why goes in front as number 1. A gap that already does is replaced, so that a
    /// collector which keeps changing its mind does not make the file grow.
    pub(super) fn begin_epoch(&mut self, epoch: Epoch, cause: Cause, detail: String, now: i64) {
        let gap = Gap {
            first: self.acked.saturating_sub(1),
            span: 1,
            cause: cause.as_str().to_owned(),
            detail,
            created: now,
            ..Gap::default()
        };
        match self.gaps.first_mut().filter(|g| g.begins_epoch() && g.first == self.acked) {
            Some(front) => *front = Gap { first: self.acked, ..gap },
            None => {
                self.acked = gap.first;
                self.gaps.insert(0, gap);
            }
        }
        self.start = self.acked;
        self.epoch = Bytes::copy_from_slice(&epoch);
        self.digest = Bytes::new();
    }

    /// The bytes of the file.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let body = self.encode_to_vec();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the bytes of the file; None when they are not what was written.
    pub(super) fn from_file(bytes: &[u8]) -> Option<State> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (sum, body) = rest.split_first_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let state = State::decode(body).ok()?;
        (state.epoch.len() == 16).then_some(state)
    }

    /// Makes it durable in a queue's folder.
    pub(super) fn save(&self, disk: &Disk, dir: &Path) -> std::io::Result<()> {
        let temporary = dir.join(TEMPORARY);
        let mut file = disk.create(&temporary)?;
        disk.write(&mut file, &temporary, &self.to_file())?;
        disk.sync(&file, &temporary)?;
        disk.rename(&temporary, &dir.join(NAME))?;
        disk.sync_dir(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(first: u64, span: u64) -> Gap {
        Gap { first, span, records: span, bytes: 10 * span, ..Gap::default() }
    }

    fn spans(state: &State) -> Vec<(u64, u64)> {
        state.gaps.iter().map(|gap| (gap.first, gap.span)).collect()
    }

    #[test]
    fn gaps_never_overlap_and_an_ack_trims_them() {
        let mut state = State::fresh([1; 16]);
        let mut add = |first, span, expected: &[(u64, u64)]| {
            state.add_gap(gap(first, span));
            assert_eq!(spans(&state), expected, "after {first}+{span}");
        };
        add(10, 5, &[(10, 5)]);
        add(30, 5, &[(10, 5), (30, 5)]);
        add(12, 10, &[(10, 5), (15, 7), (30, 5)]);
        add(25, 15, &[(10, 5), (15, 7), (25, 15)]);
        add(20, 6, &[(10, 5), (15, 7), (22, 3), (25, 15)]);
        assert_eq!(state.gap_at(14).map(|gap| gap.first), Some(10));
        assert_eq!(state.gap_at(40), None);
        assert_eq!(state.gap_after(16).map(|gap| gap.first), Some(22));
        state.ack(12, Bytes::new());
        assert_eq!(spans(&state), [(12, 3), (15, 7), (22, 3), (25, 15)]);
        assert_eq!((state.gaps[0].records, state.gaps[0].bytes), (3, 0));
        state.ack(40, Bytes::new());
        assert_eq!(spans(&state), []);
        state.add_gap(gap(5, 40));
        assert_eq!(spans(&state), [(40, 5)], "what was acknowledged is not missing");
    }

    #[test]
    fn the_file_reads_back_and_every_flipped_bit_is_seen() {
        let mut state = State::fresh([7; 16]);
        state.add_gap(gap(3, 4));
        let bytes = state.to_file();
        assert_eq!(State::from_file(&bytes), Some(state));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::from_file(&bytes), None, "bit {bit}");
        }
        assert_eq!(State::from_file(b""), None);
    }
}

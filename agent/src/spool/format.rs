//! Bytes of the spool on disk: file names, file headers, frames. Pure functions; no file is opened
//! here.
//!
//! ```text
//! <index>-<salt>.spool   header │ frame (snapshot of positions) │ frame │ frame │ …
//! header                 magic 8, version 4, kind 4, index 8, first 8, seq 8, start 8, epoch 16, CRC 4
//! frame                  magic 4, length 4, CRC 4, count 4, seq 8, first 8, payload
//! ```
//! All integers are little-endian. A frame's CRC covers its header, its payload and the file's salt:
//! the salt is random, so neither a log line that quotes an old spool nor a block that a deleted file
//! left behind can pass for a frame. It is part of the name, where no flipped bit of the content
//! reaches it.

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Origin, Record};
use prost::Message;

/// Length of a file's header.
pub(super) const HEADER: usize = 68;
/// Length of a frame's header.
pub(super) const FRAME_HEADER: usize = 32;

const MAGIC: &[u8; 8] = b"HWSPOOL\0";
const FRAME_MAGIC: &[u8; 4] = b"HWf\x01";
const VERSION: u32 = 1;
const EXTENSION: &str = ".spool";

/// A random number under which a queue's numbers are unique.
pub type Epoch = [u8; 16];

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) index: u64,
    /// The number its first record will have.
    pub(super) first: u64,
    /// No frame written before this file has a higher sequence number.
    pub(super) seq: u64,
    /// The number that is sent as 1 in `epoch`.
    pub(super) start: u64,
    pub(super) epoch: Epoch,
}

/// Why a header was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Not ours, torn or damaged.
    Damaged,
    /// Ours and intact, of a version this agent does not read.
    Version(u32),
}

/// Where a source goes on.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Position {
    #[prost(string, tag = "1")]
    pub(super) source: String,
    #[prost(string, tag = "2")]
    pub(super) key: String,
    /// Empty when the key was forgotten.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) value: Bytes,
    /// The newest wins.
    #[prost(uint64, tag = "4")]
    pub(super) seq: u64,
}

/// What a frame holds. Records carry no number: the frame's `first` gives it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Payload {
    #[prost(message, repeated, tag = "1")]
    pub(super) origins: Vec<Origin>,
    #[prost(message, repeated, tag = "2")]
    pub(super) records: Vec<Record>,
    #[prost(message, repeated, tag = "3")]
    pub(super) positions: Vec<Position>,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Length of its payload in bytes.
    pub(super) len: u32,
    crc: u32,
    /// Records in it.
    pub(super) count: u32,
    /// Rises over all queues.
    pub(super) seq: u64,
    /// Number of its first record, or of the next one where it holds none.
    pub(super) first: u64,
}

impl Frame {
    /// One that begins at `first` and holds nothing: what stands behind the last of a file.
    pub(super) fn empty(first: u64) -> Frame {
        Frame { len: 0, crc: 0, count: 0, seq: 0, first }
    }

    /// The number after its last record.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Header and payload in bytes.
    pub(super) fn total(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.len)
    }

    /// Reads a header; None when there is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Frame> {
        let bytes: &[u8; FRAME_HEADER] = bytes.get(..FRAME_HEADER)?.try_into().ok()?;
        (&bytes[..4] == FRAME_MAGIC).then(|| Frame {
            len: u32_at(bytes, 4),
            crc: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            seq: u64_at(bytes, 16),
            first: u64_at(bytes, 24),
        })
    }

    /// Whether the frame is what was written.
    pub(super) fn is_intact(&self, salt: u64, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && self.sum(salt, payload) == self.crc
    }

    fn sum(&self, salt: u64, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt.to_le_bytes());
        hasher.update(&self.len.to_le_bytes());
        hasher.update(&self.count.to_le_bytes());
        hasher.update(&self.seq.to_le_bytes());
        hasher.update(&self.first.to_le_bytes());
        hasher.update(payload);
        hasher.finalize()
    }
}

/// Appends a frame to `bytes`. None when the payload is beyond what a frame can say.
pub(super) fn put_frame(
    bytes: &mut Vec<u8>,
    salt: u64,
    seq: u64,
    first: u64,
    payload: &Payload,
) -> Option<Frame> {
    let begin = bytes.len();
    bytes.extend_from_slice(&[0; FRAME_HEADER]);
    payload.encode(bytes).ok()?;
    let body = &bytes[begin + FRAME_HEADER..];
    let mut frame = Frame {
        len: u32::try_from(body.len()).ok()?,
        crc: 0,
        count: u32::try_from(payload.records.len()).ok()?,
        seq,
        first,
    };
    frame.crc = frame.sum(salt, body);
    let mut header = Vec::with_capacity(FRAME_HEADER);
    header.extend_from_slice(FRAME_MAGIC);
    for word in [frame.len, frame.crc, frame.count] {
        header.extend_from_slice(&word.to_le_bytes());
    }
    for word in [frame.seq, frame.first] {
        header.extend_from_slice(&word.to_le_bytes());
    }
    bytes[begin..begin + FRAME_HEADER].copy_from_slice(&header);
    Some(frame)
}

/// The first intact frame at or after `from`, with its place. `least_seq` and `least_first` are what
/// it must have reached: what came before it said so.
pub(super) fn find_frame(
    bytes: &[u8],
    salt: u64,
    from: usize,
    least_seq: u64,
    least_first: u64,
) -> Option<(usize, Frame)> {
    let mut at = from;
    while at + FRAME_HEADER <= bytes.len() {
        if &bytes[at..at + 4] == FRAME_MAGIC
            && let Some(frame) = Frame::parse(&bytes[at..])
            && frame.seq >= least_seq
            && frame.first >= least_first
            && let Some(payload) =
                bytes[at + FRAME_HEADER..].get(..usize::try_from(frame.len).unwrap_or(usize::MAX))
            && frame.is_intact(salt, payload)
        {
            return Some((at, frame));
        }
        at += 1;
    }
    None
}

impl Header {
    /// The header's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.kind).to_le_bytes());
        for word in [self.index, self.first, self.seq, self.start] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Header, BadHeader> {
        let bytes: &[u8; HEADER] =
            bytes.get(..HEADER).and_then(|b| b.try_into().ok()).ok_or(BadHeader::Damaged)?;
        if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..HEADER - 4]) != u32_at(bytes, 64) {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let mut epoch = Epoch::default();
        epoch.copy_from_slice(&bytes[48..64]);
        Ok(Header {
            kind: Kind::try_from(u32_at(bytes, 12)).map_err(|_| BadHeader::Damaged)?,
            index: u64_at(bytes, 16),
            first: u64_at(bytes, 24),
            seq: u64_at(bytes, 32),
            start: u64_at(bytes, 40),
            epoch,
        })
    }
}

/// The name of a file.
pub(super) fn file_name(index: u64, salt: u64) -> String {
    format!("{index:016x}-{salt:016x}{EXTENSION}")
}

/// Index and salt of a file by its name; None when it is no file of ours.
pub(super) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (index, salt) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let word = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok())?;
    Some((word(index)?, word(salt)?))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        Payload {
            records: vec![Record { time: 7, ..Record::default() }; 3],
            positions: vec![Position { source: "files".into(), ..Position::default() }],
            ..Payload::default()
        }
    }

    #[test]
    fn a_name_reads_back_and_a_strange_one_does_not() {
        assert_eq!(parse_name(&file_name(7, u64::MAX)), Some((7, u64::MAX)));
        for name in ["state", "1-2.spool", "x.spool", "0000000000000001.spool", ""] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_is_seen() {
        let header =
            Header { kind: Kind::Log, index: 3, first: 9, seq: 11, start: 1, epoch: [5; 16] };
        let bytes = header.encode();
        assert_eq!((bytes.len(), Header::parse(&bytes)), (HEADER, Ok(header)));
        for bit in 0..HEADER * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&bytes), Err(BadHeader::Damaged), "bit {bit}");
        }
        assert_eq!(Header::parse(&bytes[..HEADER - 1]), Err(BadHeader::Damaged));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let header =
            Header { kind: Kind::Log, index: 3, first: 9, seq: 11, start: 1, epoch: [5; 16] };
        let mut bytes = header.encode();
        bytes[8] = 2;
        let sum = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::parse(&bytes), Err(BadHeader::Version(2)));
    }

    #[test]
    fn a_frame_is_found_behind_rubbish_and_never_when_damaged() {
        let mut bytes = b"HWf\x01 rubbish HWf\x01".to_vec();
        let at = bytes.len();
        let frame = put_frame(&mut bytes, 42, 8, 100, &payload()).expect("a small frame");
        assert_eq!((frame.next(), frame.total()), (103, (bytes.len() - at) as u64));
        assert_eq!(find_frame(&bytes, 42, 0, 0, 0), Some((at, frame)));
        assert_eq!(find_frame(&bytes, 43, 0, 0, 0), None, "another file's salt");
        assert_eq!(find_frame(&bytes, 42, 0, 9, 0), None, "an older sequence");
        assert_eq!(find_frame(&bytes, 42, 0, 0, 101), None, "numbers that were there before");
        for bit in at * 8..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(find_frame(&bytes, 42, 0, 0, 0), None, "bit {bit}");
        }
    }
}

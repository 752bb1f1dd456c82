//! Reading the spool: a range of numbers as a block for the wire, and one record's digest.
//!
//! Only what is synced is ever read. A frame that no longer matches its CRC, or that the disk
//! refuses to give back, becomes a gap for exactly its numbers, and reading goes on behind it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_protocol::{Kind, limits, record};
use prost::Message;

use super::format::{self, FRAME_HEADER, Frame, Payload};
use super::state::Gap;
use super::view::{Plan, Segment, Shared};
use super::{Error, SOURCE};
use crate::time::now;

/// Bytes read from a file at once.
const READ: u64 = 128 << 10;
/// Room kept for what encoding adds to a record.
const OVERHEAD: usize = 8;

/// A contiguous range of one queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its records, numbered as they are sent.
    pub block: Block,
    /// The number after its last.
    pub next: u64,
    /// Digest of its last record.
    pub digest: [u8; 32],
}

/// What is known of the record with some number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is in the spool and this is its digest.
    Digest([u8; 32]),
    /// It was in the spool and is lost; a gap stands for it.
    Lost,
    /// It is not in the spool: acknowledged and deleted, or never there.
    Absent,
}

/// Walks the frames of one file.
pub(super) struct Frames {
    file: File,
    salt: u64,
    end: u64,
    /// Offset of the next frame.
    pub(super) at: u64,
    buffer: Bytes,
    buffer_at: u64,
}

/// What stands at an offset.
pub(super) enum Found {
    Frame { offset: u64, frame: Frame, payload: Bytes },
    Damage { offset: u64 },
    End,
}

impl Frames {
    pub(super) fn open(path: &Path, salt: u64, at: u64, end: u64) -> io::Result<Frames> {
        let file = File::open(path)?;
        Ok(Frames { file, salt, end, at, buffer: Bytes::new(), buffer_at: 0 })
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        let offset = self.at;
        if offset >= self.end {
            return Ok(Found::End);
        }
        let Some(header) = self.bytes(offset, FRAME_HEADER as u64)? else {
            return Ok(Found::Damage { offset });
        };
        let Some(frame) = Frame::parse(&header) else { return Ok(Found::Damage { offset }) };
        match self.bytes(offset + FRAME_HEADER as u64, u64::from(frame.len))? {
            Some(payload) if frame.is_intact(self.salt, &payload) => {
                self.at = offset + frame.total();
                Ok(Found::Frame { offset, frame, payload })
            }
            _ => Ok(Found::Damage { offset }),
        }
    }

    /// Goes to the first intact frame behind the damage at `self.at`; false when there is none.
    pub(super) fn skip_damage(&mut self, seq: u64, first: u64) -> io::Result<bool> {
        let Some(rest) = self.bytes(self.at, self.end - self.at)? else { return Ok(false) };
        // The damaged frame's own magic may be intact: looking starts behind it.
        let found = format::find_frame(&rest, self.salt, 1, seq, first);
        self.buffer = Bytes::new();
        if let Some((offset, _)) = found {
            self.at += offset as u64;
        }
        Ok(found.is_some())
    }

    /// Bytes of the file, None when it ends before them.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<Option<Bytes>> {
        if at + len > self.end {
            return Ok(None);
        }
        let have = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if !(have.contains(&at) && at + len <= have.end) {
            let want = len.max(READ.min(self.end - at));
            let mut buffer = vec![0; usize::try_from(want).map_err(io::Error::other)?];
            match self.file.read_exact_at(&mut buffer, at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            (self.buffer, self.buffer_at) = (buffer.into(), at);
        }
        let begin = usize::try_from(at - self.buffer_at).map_err(io::Error::other)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        Ok(Some(self.buffer.slice(begin..begin + len)))
    }
}

/// A block as it grows.
struct Builder {
    block: Block,
    origins: HashMap<Origin, u32>,
    bytes: usize,
    max_bytes: usize,
}

impl Builder {
    fn origin(&mut self, origin: &Origin) -> Option<u32> {
        if let Some(known) = self.origins.get(origin) {
            return Some(*known);
        }
        if self.block.origins.len() >= limits::MAX_ORIGINS {
            return None;
        }
        let index = u32::try_from(self.block.origins.len()).ok()?;
        self.bytes += origin.encoded_len() + OVERHEAD;
        self.block.origins.push(origin.clone());
        self.origins.insert(origin.clone(), index);
        Some(index)
    }

    /// Adds a record unless the block is full. `known` is the origin's index in the block, once one
    /// record of it is there.
    fn push(
        &mut self,
        origin: &Origin,
        known: &mut Option<u32>,
        mut record: Record,
        number: u64,
    ) -> bool {
        let len = record.encoded_len() + OVERHEAD;
        let full =
            self.bytes + len > self.max_bytes || self.block.records.len() >= limits::MAX_RECORDS;
        if full && !self.block.records.is_empty() {
            return false;
        }
        if known.is_none() {
            *known = self.origin(origin);
        }
        let Some(origin) = *known else { return false };
        record.origin = origin;
        record.number = number;
        self.bytes += len;
        self.block.records.push(record);
        true
    }
}

/// Reads from the number `from` (as sent) on, up to about `max_bytes` of records, at least one.
/// None when there is nothing yet.
pub(super) fn read(
    shared: &Shared,
    kind: Kind,
    from: u64,
    max_bytes: usize,
) -> Result<Option<Slice>, Error> {
    let block = Block::default();
    let mut builder = Builder { block, origins: HashMap::new(), bytes: 0, max_bytes };
    let mut at = shared.view().queue(kind).on_disk(from);
    loop {
        let (plan, start) = {
            let view = shared.view();
            let queue = view.queue(kind);
            (queue.plan(at), queue.state.start)
        };
        let done = match plan {
            Plan::End | Plan::Gone => true,
            Plan::Gap(gap) => {
                let created = gap.created;
                let body = Some(Body::Gap(gap.body(at)));
                let record = Record { created, body, ..Record::default() };
                let number = (at + 1).saturating_sub(start);
                let pushed = builder.push(&own_origin(), &mut None, record, number);
                if pushed {
                    at = gap.next();
                }
                !pushed
            }
            Plan::Hole { until } => {
                lose(shared, kind, at, until, "no file of the spool has these numbers".into());
                false
            }
            Plan::File { segment, offset, until } => {
                read_file(shared, kind, &segment, offset, until, start, &mut at, &mut builder)?
            }
        };
        if done {
            break;
        }
    }
    Ok(slice(builder.block))
}

/// Reads frames of one file until `until` or the block is full; true when it is.
#[expect(clippy::too_many_arguments, reason = "the chapters of one story, called once")]
fn read_file(
    shared: &Shared,
    kind: Kind,
    segment: &Segment,
    offset: u64,
    until: u64,
    start: u64,
    at: &mut u64,
    builder: &mut Builder,
) -> Result<bool, Error> {
    let mut frames = match Frames::open(&segment.path, segment.salt, offset, segment.len) {
        Ok(frames) => frames,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Dropped since the look-up: then a gap stands there now. Otherwise somebody took it.
            if shared.view().queue(kind).segments.iter().any(|s| s.index == segment.index) {
                lose(shared, kind, *at, until, format!("{} is gone", segment.path.display()));
            }
            return Ok(false);
        }
        Err(error) => return Err(Error::io(&segment.path, error)),
    };
    while *at < until {
        let (offset, frame, payload) = match next_or_damage(&mut frames, segment, *at) {
            Ok(Found::Frame { offset, frame, payload }) => (offset, frame, payload),
            // Then everything up to the end of the file is missing.
            Ok(Found::End | Found::Damage { .. }) => {
                (segment.len, Frame::empty(segment.next), Bytes::new())
            }
            Err(error) => return Err(Error::io(&segment.path, error)),
        };
        if frame.first > *at {
            let detail = format!("damaged between frames of {}", segment.path.display());
            lose(shared, kind, *at, frame.first.min(until), detail);
            return Ok(false);
        }
        if frame.next() <= *at {
            continue;
        }
        // What does not fit as a whole waits for the next block, unless it would never fit.
        let fits = builder.bytes + payload.len() <= builder.max_bytes;
        if !fits && !builder.block.records.is_empty() {
            return Ok(true);
        }
        let Ok(payload) = Payload::decode(payload) else {
            lose(shared, kind, *at, frame.next().min(until), "a frame of no payload".into());
            return Ok(false);
        };
        let skip = usize::try_from(*at - frame.first).unwrap_or(usize::MAX);
        let nowhere = Origin::default();
        // The last is for records whose origin the frame does not have.
        let mut known = vec![None; payload.origins.len() + 1];
        for record in payload.records.into_iter().skip(skip) {
            if *at >= until {
                break;
            }
            let index = payload.origins.len().min(record.origin as usize);
            let origin = payload.origins.get(index).unwrap_or(&nowhere);
            let number = (*at + 1).saturating_sub(start);
            if !builder.push(origin, &mut known[index], record, number) {
                shared.view().queue_mut(kind).hint = Some((segment.index, *at, offset));
                return Ok(true);
            }
            *at += 1;
        }
        shared.view().queue_mut(kind).hint = Some((segment.index, *at, frames.at));
    }
    Ok(false)
}

/// The next frame, or the next intact one behind damage; `Found::Damage` when none follows.
fn next_or_damage(frames: &mut Frames, segment: &Segment, at: u64) -> io::Result<Found> {
    match frames.next() {
        Ok(Found::Damage { .. }) => match frames.skip_damage(segment.seq, at)? {
            true => frames.next(),
            false => Ok(Found::Damage { offset: segment.len }),
        },
        // The disk does not give these bytes back: nothing behind them can be told either.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            Ok(Found::Damage { offset: segment.len })
        }
        other => other,
    }
}

/// Puts a gap in place of numbers that can't be read.
fn lose(shared: &Shared, kind: Kind, from: u64, until: u64, detail: String) {
    tracing::error!(%kind, numbers = until.saturating_sub(from), %detail, "records of the spool are lost");
    let mut view = shared.view();
    let queue = view.queue_mut(kind);
    queue.state.add_gap(damage(from, until, detail));
    queue.unsaved = true;
}

/// The gap for numbers whose frames are damaged.
pub(super) fn damage(from: u64, until: u64, detail: String) -> Gap {
    let span = until.saturating_sub(from);
    let cause = Cause::SpoolDamaged.as_str().to_owned();
    Gap { first: from, span, records: span, bytes: 0, cause, detail, created: now() }
}

/// The origin of what the spool itself has to say.
pub(super) fn own_origin() -> Origin {
    Origin { source: SOURCE.to_owned(), ..Origin::default() }
}

fn slice(block: Block) -> Option<Slice> {
    let last = block.records.last()?;
    let digest = record::digest(block.origins.get(last.origin as usize)?, last);
    let next = record::next(last)?;
    Some(Slice { block, next, digest })
}

/// What is known of the record sent as `number`.
pub(super) fn known(shared: &Shared, kind: Kind, number: u64) -> Result<Known, Error> {
    let plan = {
        let view = shared.view();
        let queue = view.queue(kind);
        if number == 0 {
            return Ok(Known::Absent);
        }
        queue.plan(queue.on_disk(number))
    };
    Ok(match plan {
        Plan::End | Plan::Gone => Known::Absent,
        Plan::Gap(_) | Plan::Hole { .. } => Known::Lost,
        Plan::File { .. } => match read(shared, kind, number, 1)? {
            Some(slice) if matches!(slice.block.records[0].body, Some(Body::Gap(ref gap)) if gap.span > 1) => {
                Known::Lost
            }
            Some(slice) => Known::Digest(slice.digest),
            None => Known::Absent,
        },
    })
}

//! Streams: pieces of a packed column that are compressed so that each can be had by itself.
//!
//! ```text
//! length of the directory, packed and unpacked | directory, zstd | frames, zstd
//! directory   number of streams | per stream: length * 3 + class | per frame: its packed length
//! ```
//!
//! A stream of [`ALONE`] bytes and more is a frame of its own; shorter ones share one frame per class, in
//! front of the others, because a frame costs a dozen bytes and like compresses well with like. What
//! is where follows from the directory. A frame is unpacked when one of its streams is first asked for,
//! into memory that the directory announced and [`MAX_UNPACKED`] bounds.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use super::varint::{self, Reader};
use super::{Damaged, Effort, MAX_BYTES};

/// A shorter stream shares its frame.
const ALONE: usize = 1024;
/// What all streams of a column may be together: the values, and what it takes to divide them up.
const MAX_UNPACKED: usize = 3 * MAX_BYTES;
const MAX_STREAMS: usize = 1 << 18;
const CLASSES: usize = 3;
/// zstd levels for text.
const TEXT_WHEN_SEALING: i32 = 6;
const TEXT_WHEN_MERGING: i32 = 15;
/// Text of more bytes is packed like the rest.
const MUCH: usize = 2 << 20;

/// Which short streams are alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    Numbers,
    Raw,
}

/// Streams being gathered. They are numbered in the order they come.
#[derive(Default)]
pub(super) struct Writer {
    streams: Vec<(Class, Vec<u8>)>,
}

impl Writer {
    pub(super) fn add(&mut self, class: Class, bytes: Vec<u8>) {
        self.streams.push((class, bytes));
    }

    /// Adds the streams of another.
    pub(super) fn append(&mut self, mut other: Writer) {
        self.streams.append(&mut other.streams);
    }

    /// The bytes of a stream, for tests that damage them. Counts on from the first after the last.
    #[cfg(test)]
    pub(super) fn stream(&mut self, number: usize) -> &mut Vec<u8> {
        let number = number % self.streams.len();
        &mut self.streams[number].1
    }

    /// Compresses all streams, text harder than the rest: there is less of it.
    pub(super) fn finish(self, effort: Effort) -> Vec<u8> {
        let mut shared = [const { Vec::new() }; CLASSES];
        let mut directory = Vec::new();
        varint::put(&mut directory, self.streams.len() as u64);
        for (class, bytes) in &self.streams {
            varint::put(&mut directory, (bytes.len() * CLASSES + *class as usize) as u64);
            if bytes.len() < ALONE {
                shared[*class as usize].extend_from_slice(bytes);
            }
        }
        let (text, rest) = match effort {
            Effort::Seal => (TEXT_WHEN_SEALING, 3),
            Effort::Merge => (TEXT_WHEN_MERGING, 9),
        };
        let mut compressors = [Compressor::new(text), Compressor::new(rest)];
        let mut frames = Vec::new();
        let shared = [Class::Text, Class::Numbers, Class::Raw].into_iter().zip(&shared);
        let shared = shared.filter(|(_, bytes)| !bytes.is_empty());
        let alone = self.streams.iter().filter(|(_, bytes)| bytes.len() >= ALONE);
        for (class, bytes) in shared.chain(alone.map(|(class, bytes)| (*class, bytes))) {
            let harder = class == Class::Text && bytes.len() <= MUCH;
            let frame = compressors[usize::from(!harder)].compress(bytes);
            varint::put(&mut directory, frame.len() as u64);
            frames.extend_from_slice(&frame);
        }
        let packed = compressors[1].compress(&directory);
        let mut out = Vec::with_capacity(packed.len() + frames.len() + 10);
        varint::put(&mut out, packed.len() as u64);
        varint::put(&mut out, directory.len() as u64);
        out.extend_from_slice(&packed);
        out.extend_from_slice(&frames);
        out
    }
}

struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    fn new(level: i32) -> Compressor {
        Compressor(zstd::bulk::Compressor::new(level).expect("the level is one that zstd has"))
    }

    fn compress(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.compress(bytes).expect("zstd compresses into as much memory as it asks for")
    }
}

/// The streams of a stored column.
pub(super) struct Streams {
    bytes: Bytes,
    places: Vec<Place>,
    frames: Vec<Frame>,
}

struct Place {
    frame: u32,
    at: u32,
    len: u32,
}

struct Frame {
    packed: Range<usize>,
    len: usize,
    unpacked: OnceLock<Result<Bytes, Damaged>>,
}

impl Streams {
    /// Reads the directory; nothing else is unpacked yet.
    pub(super) fn open(bytes: Bytes) -> Result<Streams, Damaged> {
        let mut reader = Reader::new(&bytes);
        let packed = reader.count(bytes.len())?;
        let len = reader.count(MAX_STREAMS * 8)?;
        let directory = unpack(reader.bytes(packed)?, len)?;
        let mut start = bytes.len() - reader.len();
        let mut reader = Reader::new(&directory);
        let count = reader.count(MAX_STREAMS)?;
        // A stream takes a byte in the directory at least.
        let mut streams = Vec::with_capacity(count.min(directory.len()));
        let mut total = 0;
        for _ in 0..count {
            let number = reader.count(MAX_UNPACKED * CLASSES)?;
            let (class, len) = (number % CLASSES, number / CLASSES);
            total += len;
            if total > MAX_UNPACKED {
                return Err(Damaged("its streams are too long"));
            }
            streams.push((class, len));
        }
        let (places, lens) = divide(&streams);
        let mut frames = Vec::with_capacity(lens.len());
        for len in lens {
            let end = start + reader.count(bytes.len() - start)?;
            frames.push(Frame { packed: start..end, len, unpacked: OnceLock::new() });
            start = end;
        }
        Ok(Streams { bytes, places, frames })
    }

    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// One of the streams, by its number.
    pub(super) fn get(&self, number: usize) -> Result<Bytes, Damaged> {
        let place = self.places.get(number).ok_or(Damaged("a stream is missing"))?;
        if place.len == 0 {
            return Ok(Bytes::new());
        }
        let frame = &self.frames[place.frame as usize];
        let unpacked =
            frame.unpacked.get_or_init(|| unpack(&self.bytes[frame.packed.clone()], frame.len));
        let (at, len) = (place.at as usize, place.len as usize);
        unpacked.as_ref().map(|bytes| bytes.slice(at..at + len)).map_err(|damaged| *damaged)
    }
}

/// Where each stream is, and how long the frames are unpacked.
fn divide(streams: &[(usize, usize)]) -> (Vec<Place>, Vec<usize>) {
    let mut shared = [0; CLASSES];
    for (class, len) in streams.iter().filter(|(_, len)| *len < ALONE) {
        shared[*class] += len;
    }
    let mut lens: Vec<usize> = shared.iter().copied().filter(|len| *len > 0).collect();
    let frame_of = |class: usize| shared[..class].iter().filter(|len| **len > 0).count() as u32;
    let mut ends = [0; CLASSES];
    let places = streams.iter().map(|&(class, len)| {
        if len >= ALONE {
            lens.push(len);
            return Place { frame: lens.len() as u32 - 1, at: 0, len: len as u32 };
        }
        let at = ends[class];
        ends[class] += len as u32;
        Place { frame: frame_of(class), at, len: len as u32 }
    });
    (places.collect(), lens)
}

/// Unpacks a frame of exactly `len` bytes, which was bounded.
fn unpack(packed: &[u8], len: usize) -> Result<Bytes, Damaged> {
    let bytes =
        zstd::bulk::decompress(packed, len).map_err(|_| Damaged("a frame does not unpack"))?;
    if bytes.len() == len {
        Ok(bytes.into())
    } else {
        Err(Damaged("a frame is not as long as it said"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_back_each_by_itself() {
        let lens = [0, 1, 5_000, 3, 0, 1_023, 1_024, 70_000];
        let stream = |number: usize, len: usize| vec![number as u8 + 1; len];
        let mut writer = Writer::default();
        for (number, len) in lens.into_iter().enumerate() {
            let class = [Class::Raw, Class::Text, Class::Numbers][number % 3];
            writer.add(class, stream(number, len));
        }
        let streams = Streams::open(writer.finish(Effort::Seal).into()).unwrap();
        assert_eq!(streams.len(), lens.len());
        for (number, len) in lens.into_iter().enumerate().rev() {
            assert_eq!(streams.get(number).unwrap(), stream(number, len));
        }
        assert!(streams.get(lens.len()).is_err());
    }
}

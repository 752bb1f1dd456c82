//! The plain form of a column: the lengths of the values, and all of them joined, each compressed.

use memchr::memmem;

use super::streams::{Class, Streams, Writer};
use super::varint::{self, Reader};
use super::{Damaged, MAX_BYTES, MAX_ROWS, Needle, Rows};
use crate::history::tokens;

/// Adds the streams of the plain form.
pub(super) fn pack(values: &[&[u8]], streams: &mut Writer) {
    let mut lens = Vec::with_capacity(values.len() * 2);
    varint::put(&mut lens, values.len() as u64);
    values.iter().for_each(|value| varint::put(&mut lens, value.len() as u64));
    streams.add(Class::Numbers, lens);
    streams.add(Class::Text, values.concat());
}

/// A column in the plain form.
pub(super) struct Plain {
    streams: Streams,
    /// Where each value ends.
    ends: Vec<u32>,
}

impl Plain {
    pub(super) fn open(streams: Streams) -> Result<Plain, Damaged> {
        let lens = streams.get(0)?;
        let mut reader = Reader::new(&lens);
        let mut ends = Vec::with_capacity(reader.count(MAX_ROWS)?);
        let mut end = 0;
        for _ in 0..ends.capacity() {
            end += reader.count(MAX_BYTES - end)?;
            ends.push(end as u32);
        }
        Ok(Plain { streams, ends })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn some(
        &self,
        wanted: impl Iterator<Item = usize>,
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        let text = self.streams.get(1)?;
        for row in wanted {
            let end = *self.ends.get(row).ok_or(Damaged("a row is missing"))? as usize;
            let start = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
            see(row, text.get(start..end).ok_or(Damaged("the text ends early"))?);
        }
        Ok(())
    }
}

/// Exactly the rows that hold all needles.
pub(super) fn candidates(plain: &Plain, needles: &[Needle]) -> Result<Rows, Damaged> {
    let finders: Vec<Finder> = needles.iter().map(|needle| Finder::new(*needle)).collect();
    let mut rows = Rows::none(plain.len());
    plain.some(0..plain.len(), &mut |row, value| {
        if finders.iter().all(|finder| finder.is_in(value)) {
            rows.insert(row);
        }
    })?;
    Ok(rows)
}

/// Decides about one needle after the other value.
pub(super) enum Finder<'n> {
    Word(&'n [u8]),
    Text(Box<memmem::Finder<'n>>),
}

impl<'n> Finder<'n> {
    pub(super) fn new(needle: Needle<'n>) -> Finder<'n> {
        match needle {
            Needle::Word(word) => Finder::Word(word),
            Needle::Text(text) => Finder::Text(Box::new(memmem::Finder::new(text))),
        }
    }

    pub(super) fn is_in(&self, value: &[u8]) -> bool {
        match self {
            Finder::Word(word) => tokens::holds_word(value, word),
            Finder::Text(finder) => finder.find(value).is_some(),
        }
    }
}

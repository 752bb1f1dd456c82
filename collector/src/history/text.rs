//! The text column: values of any bytes, packed so that they take little room, come back exactly, and
//! can be asked which of them may hold a word or a piece of text.
//!
//! In: the originals of a block of rows, in their order. Out: bytes to store, and the hashes of all
//! tokens of the values for the block's filter; and from those bytes the values again. It knows nothing
//! of records, of time or of files, and checksums are the container's job: bytes that were changed
//! give [`Damaged`] or wrong values, and never a panic or more memory than [`MAX_BYTES`] allows.
//!
//! ```text
//! version u8 | form u8 | streams
//! ```

use bytes::Bytes;

use super::tokens;

mod plain;
mod rows;
mod streams;
mod varint;

pub(super) use rows::Rows;

/// Rows a column may have.
pub(super) const MAX_ROWS: usize = 1 << 16;
/// Bytes all values of a column may have together.
pub(super) const MAX_BYTES: usize = 64 << 20;

const VERSION: u8 = 1;
const PLAIN: u8 = 0;

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// While events wait: fast.
    Seal,
    /// In the background: small.
    Merge,
}

impl Effort {
    fn level(self) -> i32 {
        match self {
            Effort::Seal => 3,
            Effort::Merge => 9,
        }
    }
}

/// A packed column.
pub(super) struct Packed {
    /// What [`Column::open`] takes.
    pub(super) bytes: Vec<u8>,
    /// The hashes of all tokens of all values, distinct, in no order.
    pub(super) tokens: Vec<u64>,
}

/// What a value must hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needle<'a> {
    /// This whole word, as [`tokens::holds_word`] means it.
    Word(&'a [u8]),
    /// Exactly these bytes.
    Text(&'a [u8]),
}

/// Packed bytes that are not what was written, and what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text column is damaged: {0}")]
pub(super) struct Damaged(&'static str);

/// Packs values of any bytes: at most [`MAX_ROWS`] and together at most [`MAX_BYTES`], which the
/// caller sees to.
pub(super) fn pack(values: &[&[u8]], effort: Effort) -> Packed {
    assert!(values.len() <= MAX_ROWS, "the container bounds rows");
    let total: usize = values.iter().map(|value| value.len()).sum();
    assert!(total <= MAX_BYTES, "the container bounds bytes");
    let mut streams = streams::Writer::default();
    plain::pack(values, &mut streams);
    let mut bytes = vec![VERSION, PLAIN];
    bytes.extend_from_slice(&streams.finish(effort.level()));
    let mut distinct = std::collections::HashSet::new();
    for value in values {
        tokens::each(value, &mut |token| {
            distinct.insert(tokens::hash(token));
        });
    }
    Packed { bytes, tokens: distinct.into_iter().collect() }
}

/// A stored column. Its parts are unpacked as they are needed, and kept until it is dropped.
pub(super) struct Column {
    form: plain::Plain,
}

impl Column {
    /// Takes the bytes of a packed column.
    pub(super) fn open(bytes: Bytes) -> Result<Column, Damaged> {
        match bytes.first_chunk() {
            Some([VERSION, PLAIN]) => {
                let streams = streams::Streams::open(bytes.slice(2..))?;
                Ok(Column { form: plain::Plain::open(streams)? })
            }
            Some([VERSION, _]) => Err(Damaged("its form is not known")),
            _ => Err(Damaged("its version is not known")),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.form.len()
    }

    /// Shows all values in order.
    pub(super) fn each(&self, see: &mut dyn FnMut(usize, &[u8])) -> Result<(), Damaged> {
        self.form.rows(0..self.len(), see)
    }

    /// Shows the values of some rows, which are in ascending order.
    pub(super) fn rows(
        &self,
        wanted: &[u32],
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        self.form.rows(wanted.iter().map(|row| *row as usize), see)
    }

    /// Rows that may hold all needles: all that do, and perhaps more.
    pub(super) fn candidates(&self, needles: &[Needle]) -> Result<Rows, Damaged> {
        self.form.candidates(needles)
    }
}

#[cfg(test)]
mod tests;

//! The text column: values of any bytes, packed so that they take little room, come back exactly, and
//! can be asked which of them may hold a word or a piece of text.
//!
//! In: the originals of a block of rows, in their order. Out: bytes to store, and the hashes of all
//! tokens of the values for the block's filter; and from those bytes the values again. It knows nothing
//! of records, of time or of files, and checksums are the container's job: bytes that were changed
//! give [`Damaged`] or wrong values, and never a panic or more memory than [`MAX_BYTES`] allows.
//!
//! Two forms. The plain one is the values joined and their lengths. The template form is what months of
//! logs are kept in: most lines are one of a few hundred sentences with numbers, names and addresses
//! filled in, so a value is taken apart into fixed text and slots (`lex`, `shapes`), sentences that differ
//! in a word only become one (`merge`), and what stands in the slots becomes columns (`gather`), each
//! stored in the way that suits it (`numbers`, `texts`, `context`). Whichever form is smaller is kept, and
//! only when it gave back every value (`comes_back`).
//!
//! ```text
//! version u8 | form u8 | streams (`streams`; plain: `plain`, templates: `write`)
//! ```
//!
//! A search first looks which columns can hold what it wants, and unpacks those (`find`). What values are
//! wanted is read back by `read`.

use bytes::Bytes;

use plain::Plain;
use read::Coded;
use streams::{Streams, Writer};

mod context;
mod find;
mod gather;
mod hashing;
mod lex;
mod merge;
mod numbers;
mod plain;
mod print;
mod read;
mod rows;
mod shapes;
mod streams;
mod texts;
mod varint;
mod write;

pub(super) use rows::Rows;

/// Rows a column may have.
pub(super) const MAX_ROWS: usize = 1 << 16;
/// Bytes all values of a column may have together.
pub(super) const MAX_BYTES: usize = 64 << 20;

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const CODED: u8 = 1;

/// Values of fewer bytes are packed both ways, and the smaller one is kept.
const SMALL: usize = 256 << 10;
/// So are values that templates do not make so many times smaller.
const WORTH: usize = 6;

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// While events wait: fast.
    Seal,
    /// In the background: small.
    Merge,
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
    let (coded, tokens) = pack_coded(values, effort);
    if total >= SMALL && coded.len() <= total / WORTH && comes_back(&coded, values) {
        return Packed { bytes: coded, tokens };
    }
    let mut plain = Writer::default();
    plain::pack(values, &mut plain);
    let mut bytes = vec![VERSION, PLAIN];
    bytes.extend_from_slice(&plain.finish(effort));
    let smaller = coded.len() < bytes.len() && comes_back(&coded, values);
    Packed { bytes: if smaller { coded } else { bytes }, tokens }
}

/// Packs values in the template form, and gives their tokens.
fn pack_coded(values: &[&[u8]], effort: Effort) -> (Vec<u8>, Vec<u64>) {
    let gathered = gather::gather(values, shapes::take(values));
    let mut streams = Writer::default();
    let tokens = write::write(gathered, &mut streams);
    let mut bytes = vec![VERSION, CODED];
    bytes.extend_from_slice(&streams.finish(effort));
    (bytes, tokens)
}

/// Whether packed bytes give the values again. What is kept for years is not left to reasoning about
/// the code, and readers' limits are kept this way, too.
fn comes_back(packed: &[u8], values: &[&[u8]]) -> bool {
    let mut same = 0;
    let read = Column::open(Bytes::copy_from_slice(packed)).and_then(|column| {
        column.each(&mut |row, value| same += usize::from(values.get(row) == Some(&value)))
    });
    read.is_ok() && same == values.len()
}

/// A stored column. Its parts are unpacked as they are needed, and kept until it is dropped.
pub(super) struct Column {
    form: Form,
}

enum Form {
    Plain(Plain),
    Coded(Coded),
}

impl Column {
    /// Takes the bytes of a packed column.
    pub(super) fn open(bytes: Bytes) -> Result<Column, Damaged> {
        let form = match bytes.first_chunk() {
            Some([VERSION, PLAIN]) => Form::Plain(Plain::open(Streams::open(bytes.slice(2..))?)?),
            Some([VERSION, CODED]) => Form::Coded(Coded::open(Streams::open(bytes.slice(2..))?)?),
            Some([VERSION, _]) => return Err(Damaged("its form is not known")),
            _ => return Err(Damaged("its version is not known")),
        };
        Ok(Column { form })
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        match &self.form {
            Form::Plain(plain) => plain.len(),
            Form::Coded(coded) => coded.len(),
        }
    }

    /// Shows all values in order.
    pub(super) fn each(&self, see: &mut dyn FnMut(usize, &[u8])) -> Result<(), Damaged> {
        self.some(0..self.len(), see)
    }

    /// Shows the values of some rows, which are in ascending order.
    pub(super) fn rows(
        &self,
        wanted: &[u32],
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        self.some(wanted.iter().map(|row| *row as usize), see)
    }

    fn some(
        &self,
        wanted: impl Iterator<Item = usize>,
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        match &self.form {
            Form::Plain(plain) => plain.some(wanted, see),
            Form::Coded(coded) => coded.some(wanted, see),
        }
    }

    /// Rows that may hold all needles: all that do, and perhaps more.
    pub(super) fn candidates(&self, needles: &[Needle]) -> Result<Rows, Damaged> {
        match &self.form {
            Form::Plain(plain) => plain::candidates(plain, needles),
            Form::Coded(coded) => find::candidates(coded, needles),
        }
    }
}

#[cfg(test)]
mod tests;

//! The first pass over the values: each is taken apart into its shape and what its slots hold.
//!
//! In: values. Out: distinct shapes (fixed text, and where which kinds of slots are in it), for each
//! value its shape and the contents of its slots, and all distinct strings. Whether two values are of one
//! shape is decided by comparing them. A value that is too long, has too many slots, or comes when
//! there are too many shapes already, gets none, and is kept as it is.

use std::ops::Range;

use super::hashing::Table;
use super::lex::{self, Kind};

/// Distinct shapes of a column; who floods it with more has the others kept as they are.
const MAX_SHAPES: usize = 1 << 14;
/// Slots of a shape.
const MAX_SLOTS: usize = 500;
/// Bytes of a value that is taken apart.
const MAX_LEN: usize = 16 << 10;
/// Contents of all slots together; values that come after are kept as they are.
const MAX_CONTENTS: usize = 4 << 20;

/// A value's shape, if it has one.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) shape: Option<u32>,
    /// Where the contents of its slots begin.
    contents: u32,
}

/// What many values have in common.
pub(super) struct Shape<'a> {
    /// One of them, whose text between the slots is that of all.
    pub(super) sample: &'a [u8],
    /// Where in the sample the slots are.
    pub(super) slots: Vec<(Kind, Range<usize>)>,
    /// How many values have it.
    pub(super) count: u32,
}

/// All distinct strings, by number.
#[derive(Default)]
pub(super) struct Strings<'a> {
    numbers: Table<&'a [u8], u32>,
    all: Vec<&'a [u8]>,
}

impl<'a> Strings<'a> {
    pub(super) fn number(&mut self, string: &'a [u8]) -> u32 {
        *self.numbers.entry(string).or_insert_with(|| {
            self.all.push(string);
            self.all.len() as u32 - 1
        })
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: u64) -> &'a [u8] {
        self.all[number as usize]
    }
}

/// Values taken apart.
pub(super) struct Apart<'a> {
    pub(super) shapes: Vec<Shape<'a>>,
    pub(super) rows: Vec<Row>,
    pub(super) strings: Strings<'a>,
    contents: Vec<u64>,
}

impl Apart<'_> {
    /// What the slots of a row hold: numbers, or numbers of strings.
    pub(super) fn contents(&self, row: Row) -> &[u64] {
        let slots = row.shape.map_or(0, |shape| self.shapes[shape as usize].slots.len());
        &self.contents[row.contents as usize..][..slots]
    }
}

/// Takes values apart.
pub(super) fn take<'a>(values: &[&'a [u8]]) -> Apart<'a> {
    let mut apart = Apart {
        shapes: Vec::new(),
        rows: Vec::with_capacity(values.len()),
        strings: Strings::default(),
        contents: Vec::with_capacity(values.len() * 8),
    };
    let mut known: Table<Vec<u8>, u32> = Table::default();
    let mut key = Vec::new();
    let mut slots = Vec::new();
    let mut places = Vec::new();
    for value in values {
        let contents = apart.contents.len();
        key.clear();
        slots.clear();
        places.clear();
        let known_len = value.len() <= MAX_LEN && contents < MAX_CONTENTS;
        let shape = known_len.then(|| {
            let mut end = 0;
            lex::slots(value, &mut |slot| {
                key.extend_from_slice(&value[end..slot.start]);
                slots.push((slot.kind, slot.start..slot.end));
                places.push((key.len() as u32, slot.kind));
                apart.contents.push(if slot.kind.is_number() {
                    slot.number
                } else {
                    apart.strings.number(&value[slot.start..slot.end]).into()
                });
                end = slot.end;
            });
            key.extend_from_slice(&value[end..]);
        });
        let shape = shape.filter(|()| slots.len() <= MAX_SLOTS).and_then(|()| {
            // The key tells shapes apart: the places are as many as the last number says.
            for (at, kind) in &places {
                key.extend_from_slice(&at.to_le_bytes());
                key.extend_from_slice(&kind.code());
            }
            key.extend_from_slice(&(slots.len() as u32).to_le_bytes());
            if let Some(shape) = known.get(&key) {
                return Some(*shape);
            }
            if apart.shapes.len() == MAX_SHAPES {
                return None;
            }
            let shape = apart.shapes.len() as u32;
            known.insert(key.clone(), shape);
            apart.shapes.push(Shape { sample: value, slots: slots.clone(), count: 0 });
            Some(shape)
        });
        match shape {
            Some(shape) => apart.shapes[shape as usize].count += 1,
            None => apart.contents.truncate(contents),
        }
        apart.rows.push(Row { shape, contents: contents as u32 });
    }
    apart
}

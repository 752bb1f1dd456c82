//! Columns of strings: a list of the different ones and which of them each row has, or all as they come.
//!
//! In: numbers of strings in the order of rows. Out: a few numbers for the head, and streams: the lengths
//! of the strings, their bytes, and for a list the places of the rows in it. Strings of hexadecimal digits
//! are stored as the bytes they spell, and need no lengths.

use bytes::Bytes;

use super::gather::Column;
use super::lex::Kind;
use super::numbers;
use super::shapes::Strings;
use super::streams::{Class, Streams, Writer};
use super::varint::{self, Reader};
use super::{Damaged, MAX_BYTES, MAX_ROWS};

const LISTED: u8 = 0;
const ALL: u8 = 1;

/// A list so long is in the order of how often its strings occur, a shorter one in theirs.
const SORTED: usize = 256;

/// Tells which strings of a column are different, keeping its memory for the next one.
#[derive(Default)]
pub(super) struct Lister {
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Lister {
    /// The different strings of a column and how often each occurs, in the order they come.
    pub(super) fn list(&mut self, values: &[u64], strings: &Strings) -> Vec<(u64, u32)> {
        self.places.resize(strings.len(), NOWHERE);
        let mut list: Vec<(u64, u32)> = Vec::new();
        for value in values {
            let place = &mut self.places[*value as usize];
            if *place == NOWHERE {
                *place = list.len() as u32;
                list.push((*value, 0));
            }
            list[*place as usize].1 += 1;
        }
        for (value, _) in &list {
            self.places[*value as usize] = NOWHERE;
        }
        list
    }

    /// The place in the list of each value.
    fn places(&mut self, values: &[u64], list: &[u64]) -> Vec<u64> {
        for (place, value) in list.iter().enumerate() {
            self.places[*value as usize] = place as u32;
        }
        let places = values.iter().map(|value| self.places[*value as usize].into()).collect();
        for value in list {
            self.places[*value as usize] = NOWHERE;
        }
        places
    }
}

/// Adds a column; `list` is what [`Lister::list`] says of it, and `tell` makes of places in it what is to be
/// stored. Returns how many columns up is what tells them, or None if there is no list.
pub(super) fn write(
    column: &Column,
    mut list: Vec<(u64, u32)>,
    strings: &Strings,
    lister: &mut Lister,
    head: &mut Vec<u8>,
    streams: &mut Writer,
    tell: impl FnOnce(Vec<u64>) -> (usize, Vec<u64>),
) -> Option<usize> {
    let (kind, values) = (column.kind, &column.values);
    if list.len() > 1 && list.len() * 3 > values.len() * 2 {
        head.push(ALL);
        write_strings(kind, values, strings, head, streams);
        return None;
    }
    if list.len() > SORTED {
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    } else {
        list.sort_by_key(|(value, _)| strings.get(*value));
    }
    let list: Vec<u64> = list.into_iter().map(|(value, _)| value).collect();
    head.push(LISTED);
    varint::put(head, list.len() as u64);
    write_strings(kind, &list, strings, head, streams);
    let (up, places) = tell(lister.places(values, &list));
    varint::put(head, up as u64);
    numbers::planes(&places, head, streams);
    Some(up)
}

fn write_strings(
    kind: Kind,
    values: &[u64],
    strings: &Strings,
    head: &mut Vec<u8>,
    streams: &mut Writer,
) {
    let mut bytes = Vec::new();
    if matches!(kind, Kind::Hex(_) | Kind::Uuid) {
        values.iter().for_each(|value| spell(strings.get(*value), &mut bytes));
        return streams.add(Class::Raw, bytes);
    }
    let lens: Vec<u64> = values.iter().map(|value| strings.get(*value).len() as u64).collect();
    numbers::planes(&lens, head, streams);
    values.iter().for_each(|value| bytes.extend_from_slice(strings.get(*value)));
    streams.add(Class::Text, bytes);
}

/// Appends the bytes that hexadecimal digits spell; hyphens between them say nothing.
fn spell(digits: &[u8], bytes: &mut Vec<u8>) {
    let mut high = None;
    for digit in digits.iter().filter(|digit| **digit != b'-') {
        let nibble = if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
        match high.take() {
            None => high = Some(nibble << 4),
            Some(high) => bytes.push(high | nibble),
        }
    }
    bytes.extend(high);
}

/// A stored column whose streams have not been unpacked.
pub(super) struct Texts {
    kind: Kind,
    /// How many strings there are, if not one for each row.
    listed: Option<usize>,
    /// How many columns up is what tells the places in the list.
    pub(super) up: usize,
    len_planes: usize,
    place_planes: usize,
    first_stream: usize,
}

/// The strings of a column, unpacked.
pub(super) struct List {
    text: Bytes,
    ends: Vec<u32>,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string at a place below the length.
    pub(super) fn get(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[place] as usize]
    }
}

impl Texts {
    /// Reads what the head says. `stream` is the number of the column's first stream, and counts on.
    pub(super) fn read(
        kind: Kind,
        reader: &mut Reader,
        stream: &mut usize,
    ) -> Result<Texts, Damaged> {
        let listed = match reader.byte()? {
            LISTED => Some(reader.count(MAX_ROWS)?),
            ALL => None,
            _ => return Err(Damaged("a column of strings is of no known way")),
        };
        let spelled = matches!(kind, Kind::Hex(_) | Kind::Uuid);
        let len_planes = if spelled { 0 } else { numbers::read_planes(reader)? };
        let up = if listed.is_some() { reader.count(numbers::MAX_UP)? } else { 0 };
        let place_planes = if listed.is_some() { numbers::read_planes(reader)? } else { 0 };
        let first_stream = *stream;
        *stream += len_planes + 1 + place_planes;
        Ok(Texts { kind, listed, up, len_planes, place_planes, first_stream })
    }

    /// The strings of a column of so many rows.
    pub(super) fn list(&self, rows: usize, streams: &Streams) -> Result<List, Damaged> {
        let count = self.listed.unwrap_or(rows);
        let bytes = streams.get(self.first_stream + self.len_planes)?;
        if let Kind::Hex(_) | Kind::Uuid = self.kind {
            return unspell(self.kind, count, &bytes);
        }
        let lens = numbers::unplane(self.first_stream, self.len_planes, count, streams)?;
        let mut end = 0;
        let ends = lens.iter().map(|len| {
            end = len.checked_add(end).filter(|end| *end <= bytes.len() as u64)?;
            Some(end as u32)
        });
        let ends =
            ends.collect::<Option<_>>().ok_or(Damaged("the strings of a column end early"))?;
        Ok(List { text: bytes, ends })
    }

    /// The place in the list of each row; None when they are the list. `untell` puts places back that
    /// were told.
    pub(super) fn places(
        &self,
        rows: usize,
        streams: &Streams,
        untell: impl FnOnce(usize, &mut [u64]) -> Result<(), Damaged>,
    ) -> Result<Option<Vec<u64>>, Damaged> {
        let Some(listed) = self.listed else { return Ok(None) };
        let first = self.first_stream + self.len_planes + 1;
        let mut places = numbers::unplane(first, self.place_planes, rows, streams)?;
        untell(self.up, &mut places)?;
        if places.iter().any(|place| *place >= listed as u64) {
            return Err(Damaged("a string is not in its list"));
        }
        Ok(Some(places))
    }
}

/// Writes bytes as the digits that spelled them.
fn unspell(kind: Kind, count: usize, bytes: &[u8]) -> Result<List, Damaged> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (digits, len) = match kind {
        Kind::Hex(digits) => (usize::from(digits), usize::from(digits)),
        _ => (32, 36),
    };
    let each = digits.div_ceil(2);
    if bytes.len() != count * each || count * len > MAX_BYTES {
        return Err(Damaged("identifiers are missing"));
    }
    let mut text = Vec::with_capacity(count * len);
    for spelled in bytes.chunks_exact(each) {
        let nibbles = spelled.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (at, nibble) in nibbles.take(digits).enumerate() {
            if kind == Kind::Uuid && matches!(at, 8 | 12 | 16 | 20) {
                text.push(b'-');
            }
            text.push(DIGITS[usize::from(nibble)]);
        }
    }
    let ends = (1..=count).map(|number| (number * len) as u32).collect();
    Ok(List { text: text.into(), ends })
}

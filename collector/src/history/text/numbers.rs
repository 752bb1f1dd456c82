//! Columns of numbers, each stored the cheapest way.
//!
//! In: numbers in the order of rows. Out: a few numbers for the head, and streams of bytes: the lowest
//! byte of every number, then the next one of every number, and so on, which zstd packs better than
//! numbers of whole bytes or bits. The ways, of which the one is taken whose bytes tell the least apart:
//!
//! - all the same: no stream;
//! - each less the smallest;
//! - each less the one before, folded so that small steps back are small, too;
//! - the place of each in the list of different ones, which is stored as steps.

use super::Damaged;
use super::streams::{Class, Streams, Writer};
use super::varint::{self, Reader};

const SAME: u8 = 0;
const ABOVE: u8 = 1;
const STEPS: u8 = 2;
const LISTED: u8 = 3;

/// Numbers from which the cheapest way is judged.
const SAMPLE: usize = 8192;
/// Different numbers that are listed at most.
const MAX_LISTED: usize = 1 << 16;
/// Columns that are counted up at most.
pub(super) const MAX_UP: usize = 1 << 10;
/// What a stream costs beyond its bytes, in bits.
const STREAM: f64 = 100.0;

/// Adds a column. `distinct` are its different numbers in ascending order; `tell` makes of places in
/// a list what is to be stored. Returns how many columns up is what tells them.
pub(super) fn write(
    values: &[u64],
    distinct: &[u64],
    head: &mut Vec<u8>,
    streams: &mut Writer,
    tell: impl FnOnce(Vec<u64>) -> (usize, Vec<u64>),
) -> usize {
    let least = distinct.first().copied().unwrap_or_default();
    if distinct.len() < 2 {
        head.push(SAME);
        varint::put(head, least);
        return 0;
    }
    let above: Vec<u64> = values.iter().map(|value| value - least).collect();
    let steps = steps(&above);
    let mut best = (cost(&above), ABOVE);
    best = better(best, (cost(&steps), STEPS));
    let listable = distinct.len() <= MAX_LISTED && distinct.len() < values.len() / 2;
    let places = listable.then(|| tell(places(values, distinct)));
    if let Some((_, places)) = &places {
        let list: f64 = distinct.windows(2).map(|pair| width_bits(pair[1] - pair[0])).sum();
        best = better(best, (cost(places) + list + STREAM, LISTED));
    }
    head.push(best.1);
    varint::put(head, least);
    match (best.1, places) {
        (LISTED, Some((up, places))) => {
            let mut list = Vec::new();
            distinct.windows(2).for_each(|pair| varint::put(&mut list, pair[1] - pair[0]));
            varint::put(head, distinct.len() as u64);
            varint::put(head, up as u64);
            streams.add(Class::Numbers, list);
            planes(&places, head, streams);
            return up;
        }
        (STEPS, _) => planes(&steps, head, streams),
        _ => planes(&above, head, streams),
    }
    0
}

fn better(a: (f64, u8), b: (f64, u8)) -> (f64, u8) {
    if b.0 < a.0 { b } else { a }
}

/// Each number less the one before.
fn steps(values: &[u64]) -> Vec<u64> {
    let mut before = 0u64;
    let fold = |step: i64| ((step << 1) ^ (step >> 63)) as u64;
    let step = values.iter().map(|value| {
        let step = value.wrapping_sub(before) as i64;
        before = *value;
        fold(step)
    });
    step.collect()
}

/// The place of each number in the list.
fn places(values: &[u64], distinct: &[u64]) -> Vec<u64> {
    let least = distinct[0];
    let range = distinct[distinct.len() - 1] - least;
    if range < 4 * MAX_LISTED as u64 {
        let mut table = vec![0u32; range as usize + 1];
        for (place, value) in distinct.iter().enumerate() {
            table[(value - least) as usize] = place as u32;
        }
        return values.iter().map(|value| table[(value - least) as usize].into()).collect();
    }
    let mut before = (values[0], distinct.binary_search(&values[0]));
    let place = values.iter().map(|value| {
        if *value != before.0 {
            before = (*value, distinct.binary_search(value));
        }
        before.1.unwrap_or_else(|place| place) as u64
    });
    place.collect()
}

/// Bytes the largest of some numbers takes.
fn bytes_of(values: &[u64]) -> usize {
    let all = values.iter().fold(0, |all, value| all | value);
    (64 - all.leading_zeros()).div_ceil(8) as usize
}

fn width_bits(number: u64) -> f64 {
    f64::from((64 - number.leading_zeros()).div_ceil(7).max(1) * 8)
}

/// What the planes of numbers cost, in bits, by how often which byte is in them.
pub(super) fn cost(values: &[u64]) -> f64 {
    let width = bytes_of(values);
    let from = (values.len().saturating_sub(SAMPLE)) / 2;
    let sample = &values[from..values.len().min(from + SAMPLE)];
    let scale = values.len() as f64 / sample.len().max(1) as f64;
    let plane = |index: usize| {
        let mut counts = [0u32; 256];
        sample.iter().for_each(|value| counts[usize::from((value >> (8 * index)) as u8)] += 1);
        let all = sample.len() as f64;
        let counts = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count));
        counts.map(|count| count * (all / count).log2()).sum::<f64>()
    };
    (0..width).map(|index| plane(index) * scale + STREAM).sum()
}

/// Adds the planes of numbers, and how many there are to the head.
pub(super) fn planes(values: &[u64], head: &mut Vec<u8>, streams: &mut Writer) {
    let width = bytes_of(values);
    head.push(width as u8);
    for index in 0..width {
        let plane = values.iter().map(|value| (value >> (8 * index)) as u8).collect();
        streams.add(Class::Numbers, plane);
    }
}

/// A stored column whose streams have not been unpacked.
pub(super) struct Numbers {
    way: u8,
    least: u64,
    listed: usize,
    /// How many columns up is what tells the places in the list.
    pub(super) up: usize,
    planes: usize,
    first_stream: usize,
}

impl Numbers {
    /// Reads what the head says. `stream` is the number of the column's first stream, and counts on.
    pub(super) fn read(reader: &mut Reader, stream: &mut usize) -> Result<Numbers, Damaged> {
        let way = reader.byte()?;
        if way > LISTED {
            return Err(Damaged("a column of numbers is of no known way"));
        }
        let least = reader.number()?;
        let listed = if way == LISTED { reader.count(MAX_LISTED)? } else { 0 };
        let up = if way == LISTED { reader.count(MAX_UP)? } else { 0 };
        let planes = if way == SAME { 0 } else { read_planes(reader)? };
        let first_stream = *stream;
        *stream += planes + usize::from(way == LISTED);
        Ok(Numbers { way, least, listed, up, planes, first_stream })
    }

    /// Whether a number may be in the column, by what is known without unpacking its rows.
    pub(super) fn may_hold(&self, number: u64, streams: &Streams) -> Result<bool, Damaged> {
        Ok(match self.way {
            SAME => number == self.least,
            ABOVE if self.planes < 8 => {
                number.checked_sub(self.least).is_some_and(|above| above >> (8 * self.planes) == 0)
            }
            LISTED => self.list(streams)?.is_none_or(|list| list.binary_search(&number).is_ok()),
            _ => number >= self.least,
        })
    }

    /// The list of different numbers, if that is how they are stored.
    fn list(&self, streams: &Streams) -> Result<Option<Vec<u64>>, Damaged> {
        if self.way != LISTED {
            return Ok(None);
        }
        let steps = streams.get(self.first_stream)?;
        let mut reader = Reader::new(&steps);
        let mut list = Vec::with_capacity(self.listed.min(reader.len() + 1));
        let mut number = self.least;
        list.push(number);
        for _ in 1..self.listed {
            number = number.wrapping_add(reader.number()?);
            list.push(number);
        }
        Ok(Some(list))
    }

    /// All numbers of the column, which has so many. `untell` puts places back that were told.
    pub(super) fn all(
        &self,
        count: usize,
        streams: &Streams,
        untell: impl FnOnce(usize, &mut [u64]) -> Result<(), Damaged>,
    ) -> Result<Vec<u64>, Damaged> {
        if self.way == SAME {
            return Ok(vec![self.least; count]);
        }
        let first = self.first_stream + usize::from(self.way == LISTED);
        let mut values = unplane(first, self.planes, count, streams)?;
        match self.list(streams)? {
            Some(list) => {
                untell(self.up, &mut values)?;
                for value in &mut values {
                    let listed = list.get(*value as usize);
                    *value = *listed.ok_or(Damaged("a number is not in its list"))?;
                }
            }
            None if self.way == STEPS => {
                let mut before = self.least;
                for value in &mut values {
                    let step = (*value >> 1) as i64 ^ -((*value & 1) as i64);
                    before = before.wrapping_add(step as u64);
                    *value = before;
                }
            }
            None => values.iter_mut().for_each(|value| *value = value.wrapping_add(self.least)),
        }
        Ok(values)
    }
}

/// How many planes there are.
pub(super) fn read_planes(reader: &mut Reader) -> Result<usize, Damaged> {
    match reader.byte()? {
        width @ 0..=8 => Ok(width.into()),
        _ => Err(Damaged("a number has more than eight bytes")),
    }
}

/// Numbers from their planes.
pub(super) fn unplane(
    first_stream: usize,
    planes: usize,
    count: usize,
    streams: &Streams,
) -> Result<Vec<u64>, Damaged> {
    let mut values = vec![0; count];
    for index in 0..planes {
        let plane = streams.get(first_stream + index)?;
        if plane.len() != count {
            return Err(Damaged("a plane has not as many rows as its column"));
        }
        for (value, byte) in values.iter_mut().zip(plane.iter()) {
            *value |= u64::from(*byte) << (8 * index);
        }
    }
    Ok(values)
}

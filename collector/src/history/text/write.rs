//! Writes the template form: what was gathered, as a head and streams, and the tokens of it all.
//!
//! ```text
//! stream 0   head: rows | columns | per column: parent + 1, length of the text before, kind, how stored
//!                | templates | per template: last column + 1, length of the tail, rows | planes
//! stream 1   the fixed texts in that order
//! then       the streams of each column, and the planes of each row's template
//! ```

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::context::Contexts;
use super::gather::{Column, Gathered, Template};
use super::lex::{self, Kind};
use super::numbers;
use super::print;
use super::streams::{Class, Writer};
use super::texts::{self, Lister};
use super::varint;
use crate::history::tokens;

/// How integers are written: as short as can be, with so many digits, or each as it says.
pub(super) const SHORT: u8 = 0;
pub(super) const OF_WIDTH: u8 = 1;
pub(super) const EACH_ITS_WIDTH: u8 = 2;

/// The streams of what was gathered, and the hashes of its tokens.
pub(super) fn write(mut gathered: Gathered, streams: &mut Writer) -> Vec<u64> {
    let mut head = Vec::new();
    let mut fixed = Vec::new();
    let mut bodies = Writer::default();
    let mut seen = Seen::default();
    let mut lister = Lister::default();
    let mut contexts = Contexts::default();
    sort_templates(&mut gathered);
    varint::put(&mut head, gathered.rows.len() as u64);
    varint::put(&mut head, gathered.columns.len() as u64);
    for (number, column) in gathered.columns.iter().enumerate() {
        varint::put(&mut head, column.parent.map_or(0, |parent| u64::from(parent) + 1));
        varint::put(&mut head, column.before.len() as u64);
        fixed.extend_from_slice(&column.before);
        seen.text(&column.before);
        head.extend_from_slice(&column.kind.code());
        let tell = |places| contexts.tell(&gathered.columns, number, places);
        let up = if column.kind.is_number() {
            Some(write_numbers(column, &mut seen, &mut head, &mut bodies, tell))
        } else {
            let list = lister.list(&column.values, &gathered.strings);
            list.iter().for_each(|(value, _)| seen.text(gathered.strings.get(*value)));
            texts::write(column, list, &gathered.strings, &mut lister, &mut head, &mut bodies, tell)
        };
        contexts.note(&gathered.columns, number, up.is_some(), up.unwrap_or(0));
    }
    let mut counts = vec![0u64; gathered.templates.len()];
    gathered.rows.iter().for_each(|template| counts[*template as usize] += 1);
    varint::put(&mut head, gathered.templates.len() as u64);
    for (Template { last, tail, .. }, count) in gathered.templates.iter().zip(counts) {
        varint::put(&mut head, last.map_or(0, |last| u64::from(last) + 1));
        varint::put(&mut head, tail.len() as u64);
        varint::put(&mut head, count);
        fixed.extend_from_slice(tail);
        seen.text(tail);
    }
    let rows: Vec<u64> = gathered.rows.iter().map(|row| u64::from(*row)).collect();
    numbers::planes(&rows, &mut head, &mut bodies);
    streams.add(Class::Text, head);
    streams.add(Class::Text, fixed);
    streams.append(bodies);
    seen.tokens()
}

/// Puts the templates of most rows first, so that their numbers are of one byte.
fn sort_templates(gathered: &mut Gathered) {
    let mut counts = vec![0u32; gathered.templates.len()];
    gathered.rows.iter().for_each(|template| counts[*template as usize] += 1);
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|template| std::cmp::Reverse(counts[*template]));
    let mut number_of = vec![0; order.len()];
    for (number, template) in order.iter().enumerate() {
        number_of[*template] = number as u32;
    }
    let mut templates: Vec<Option<Template>> =
        std::mem::take(&mut gathered.templates).into_iter().map(Some).collect();
    gathered.templates = order.iter().filter_map(|template| templates[*template].take()).collect();
    gathered.rows.iter_mut().for_each(|row| *row = number_of[*row as usize]);
}

/// Adds a column of numbers. Returns how many columns up is what tells them.
fn write_numbers(
    column: &Column,
    seen: &mut Seen,
    head: &mut Vec<u8>,
    streams: &mut Writer,
    tell: impl FnOnce(Vec<u64>) -> (usize, Vec<u64>),
) -> usize {
    if column.kind != Kind::Integer {
        let distinct = distinct(&column.values);
        distinct.iter().for_each(|number| seen.number(column.kind, *number));
        return numbers::write(&column.values, &distinct, head, streams, tell);
    }
    let split = column.values.iter().map(|value| lex::value_and_width(*value));
    let (values, widths): (Vec<u64>, Vec<usize>) = split.unzip();
    let different = distinct(&values);
    if values.iter().zip(&widths).all(|(value, width)| digits(*value) == *width) {
        head.push(SHORT);
        different.iter().for_each(|value| seen.integer(*value, 0));
    } else if widths.iter().all(|width| *width == widths[0]) {
        head.extend_from_slice(&[OF_WIDTH, widths[0] as u8]);
        different.iter().for_each(|value| seen.integer(*value, widths[0]));
    } else {
        head.push(EACH_ITS_WIDTH);
        streams.add(Class::Numbers, widths.iter().map(|width| *width as u8).collect());
        for number in distinct(&column.values) {
            let (value, width) = lex::value_and_width(number);
            seen.integer(value, width);
        }
    }
    numbers::write(&values, &different, head, streams, tell)
}

/// How many digits a number takes.
fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

/// The different numbers in ascending order.
fn distinct(values: &[u64]) -> Vec<u64> {
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else {
        return Vec::new();
    };
    let range = most - least;
    if range > 8 * values.len() as u64 {
        let mut distinct = values.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        return distinct;
    }
    let mut words = vec![0u64; range as usize / 64 + 1];
    for value in values {
        let bit = value - least;
        words[bit as usize / 64] |= 1 << (bit % 64);
    }
    let mut distinct = Vec::new();
    for (index, mut word) in words.into_iter().enumerate() {
        while word != 0 {
            distinct.push(least + index as u64 * 64 + u64::from(word.trailing_zeros()));
            word &= word - 1;
        }
    }
    distinct
}

/// The hashes of tokens that were seen.
#[derive(Default)]
struct Seen {
    hashes: HashSet<u64, BuildHasherDefault<AsIs>>,
    text: Vec<u8>,
}

impl Seen {
    fn text(&mut self, text: &[u8]) {
        tokens::each(text, &mut |token| {
            self.hashes.insert(tokens::hash(token));
        });
    }

    /// The token of an integer.
    fn integer(&mut self, value: u64, width: usize) {
        self.text.clear();
        print::digits(value, width, &mut self.text);
        self.hashes.insert(tokens::hash(&self.text));
    }

    fn number(&mut self, kind: Kind, number: u64) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        print::number(kind, number, &mut text);
        self.text(&text);
        self.text = text;
    }

    fn tokens(self) -> Vec<u64> {
        self.hashes.into_iter().collect()
    }
}

/// Hashes what is a hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

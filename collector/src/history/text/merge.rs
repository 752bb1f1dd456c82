//! Which words vary: shapes that differ in words only become one where that is cheaper.
//!
//! In: shapes and how many values have each. Out: clusters of shapes, each with the words that vary
//! within it. Shapes are grouped by everything but their words. A group is split by the word that makes the
//! others more certain, say `Failed` and `Accepted`, as long as that saves more bits than the further
//! templates cost; words that still vary then, say names of users, become slots. This is the partitioning
//! known from log mining (IPLoM), with a cost in bits to decide.

use std::collections::BTreeMap;

use super::hashing::Table;
use super::lex::{self, Kind};
use super::shapes::Shape;

/// Shapes of a group that decide about a split, those of most values.
const DECIDING: usize = 512;
/// Words by which a group may be split: those with the fewest different ones.
const CANDIDATES: usize = 6;
/// Different words a group may be split into at once.
const MAX_SPLIT: usize = 64;
/// Words of a shape that is compared with others.
const MAX_WORDS: usize = 200;
/// What things cost in bits, about, once zstd has been over them.
const TEMPLATE: f64 = 300.0;
const SLOT_OF_TEMPLATE: f64 = 120.0;
const COLUMN: f64 = 200.0;
const WORD: f64 = 8.0;
const BYTE_OF_WORD: f64 = 4.0;

/// In place of a word: there is a slot already.
const VARIES: u32 = u32::MAX;

/// A piece of a shape.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    /// What separates words.
    Fixed(&'a [u8]),
    /// A word without a digit.
    Word(&'a [u8]),
    /// One of the shape's slots.
    Slot(Kind),
}

/// Shapes that become one.
pub(super) struct Cluster<'a> {
    /// Each shape, and its words as [`pieces`] shows them; None where it has a text slot.
    pub(super) shapes: Vec<(u32, Vec<Option<&'a [u8]>>)>,
    /// Which of the words vary.
    pub(super) varying: Vec<bool>,
    /// How many values have one of the shapes.
    pub(super) count: u64,
}

/// Shows a shape piece by piece.
pub(super) fn pieces<'a>(shape: &Shape<'a>, see: &mut impl FnMut(Piece<'a>)) {
    let fixed = |text: &'a [u8], see: &mut dyn FnMut(Piece<'a>)| {
        let mut at = 0;
        while at < text.len() {
            let word = lex::in_unit(text[at]);
            let end = if word {
                lex::unit(text, at).0
            } else {
                text[at..]
                    .iter()
                    .position(|byte| lex::in_unit(*byte))
                    .map_or(text.len(), |len| at + len)
            };
            see(if word { Piece::Word(&text[at..end]) } else { Piece::Fixed(&text[at..end]) });
            at = end;
        }
    };
    let mut end = 0;
    for (kind, place) in &shape.slots {
        fixed(&shape.sample[end..place.start], see);
        see(Piece::Slot(*kind));
        end = place.end;
    }
    fixed(&shape.sample[end..], see);
}

struct Member {
    shape: u32,
    count: u64,
    words: Vec<u32>,
    cost: f64,
}

/// The different words of all shapes, by number.
#[derive(Default)]
struct Words<'a> {
    numbers: Table<&'a [u8], u32>,
    all: Vec<&'a [u8]>,
}

impl<'a> Words<'a> {
    fn number(&mut self, word: &'a [u8]) -> u32 {
        *self.numbers.entry(word).or_insert_with(|| {
            self.all.push(word);
            self.all.len() as u32 - 1
        })
    }

    fn get(&self, number: u32) -> Option<&'a [u8]> {
        self.all.get(number as usize).copied()
    }
}

/// Clusters shapes.
pub(super) fn clusters<'a>(shapes: &[Shape<'a>]) -> Vec<Cluster<'a>> {
    let mut words = Words::default();
    let mut open: Vec<Vec<Member>> = groups(shapes, &mut words).into_values().collect();
    let mut done = Vec::new();
    while let Some(mut members) = open.pop() {
        members.sort_by_key(|member| (std::cmp::Reverse(member.count), member.shape));
        if let Some(position) = split_by(&members, &words) {
            let mut children: BTreeMap<u32, Vec<Member>> = BTreeMap::new();
            for member in members {
                children.entry(member.words[position]).or_default().push(member);
            }
            open.extend(children.into_values());
            continue;
        }
        let varying = |at| members[0].words[at] == VARIES || varies(&members, at);
        let of = |member: &Member| member.words.iter().map(|word| words.get(*word)).collect();
        done.push(Cluster {
            varying: (0..members[0].words.len()).map(varying).collect(),
            count: members.iter().map(|member| member.count).sum(),
            shapes: members.iter().map(|member| (member.shape, of(member))).collect(),
        });
    }
    // The order of groups is that of a table keyed at random.
    done.sort_by_key(|cluster| cluster.shapes.iter().map(|(shape, _)| *shape).min());
    done
}

/// Shapes that are alike but for their words. One of very many words is alone.
fn groups<'a>(shapes: &[Shape<'a>], numbers: &mut Words<'a>) -> Table<Vec<u8>, Vec<Member>> {
    let mut groups: Table<Vec<u8>, Vec<Member>> = Table::default();
    let mut key = Vec::new();
    for (number, shape) in shapes.iter().enumerate() {
        key.clear();
        let mut words = Vec::new();
        pieces(shape, &mut |piece| match piece {
            Piece::Fixed(text) => {
                key.push(1);
                key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                key.extend_from_slice(text);
            }
            Piece::Word(word) => {
                key.push(2);
                words.push(numbers.number(word));
            }
            Piece::Slot(Kind::Text) => {
                key.push(2);
                words.push(VARIES);
            }
            Piece::Slot(kind) => {
                key.push(3);
                key.extend_from_slice(&kind.code());
            }
        });
        if words.len() > MAX_WORDS {
            key.extend_from_slice(&(number as u32).to_le_bytes());
        }
        let cost = TEMPLATE + SLOT_OF_TEMPLATE * shape.slots.len() as f64;
        let member = Member { shape: number as u32, count: shape.count.into(), words, cost };
        match groups.get_mut(&key) {
            Some(members) => members.push(member),
            None => {
                groups.insert(key.clone(), vec![member]);
            }
        }
    }
    groups
}

fn varies(members: &[Member], position: usize) -> bool {
    members.iter().any(|member| member.words[position] != members[0].words[position])
}

/// The position whose word a group had better be split by, if any.
fn split_by(members: &[Member], words: &Words) -> Option<usize> {
    if members.len() == 1 {
        return None;
    }
    let deciding: Vec<&Member> = members.iter().take(DECIDING).collect();
    let varying: Vec<usize> =
        (0..members[0].words.len()).filter(|position| varies(members, *position)).collect();
    let costs: Vec<f64> =
        varying.iter().map(|position| slot_cost(&deciding, *position, words)).collect();
    let whole: f64 = costs.iter().sum();
    let mut candidates: Vec<(usize, usize)> = varying
        .iter()
        .map(|position| (different(&deciding, *position), *position))
        .filter(|(different, _)| (2..=MAX_SPLIT).contains(different))
        .collect();
    candidates.sort_unstable();
    let best = candidates.into_iter().take(CANDIDATES).map(|(_, position)| {
        let mut children: BTreeMap<u32, Vec<&Member>> = BTreeMap::new();
        for member in &deciding {
            children.entry(member.words[position]).or_default().push(member);
        }
        // Which child a value belongs to is told by its template.
        let counts = children.values().map(|child| child.iter().map(|member| member.count).sum());
        let told = bits(&counts.collect::<Vec<u64>>());
        let apart = children.values().map(|child| {
            let slots = varying.iter().filter(|other| **other != position);
            child[0].cost + slots.map(|other| slot_cost(child, *other, words)).sum::<f64>()
        });
        (told + apart.sum::<f64>(), position)
    });
    let (cost, position) = best.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (cost < whole + members[0].cost).then_some(position)
}

/// How many values have each of the words at a position.
fn count(members: &[&Member], position: usize) -> Vec<(u32, u64)> {
    let mut words: Vec<(u32, u64)> =
        members.iter().map(|member| (member.words[position], member.count)).collect();
    words.sort_unstable();
    words.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    words
}

fn different(members: &[&Member], position: usize) -> usize {
    count(members, position).len()
}

/// What it costs to have the word at a position as a slot.
fn slot_cost(members: &[&Member], position: usize, words: &Words) -> f64 {
    let first = members[0].words[position];
    if members.iter().all(|member| member.words[position] == first) {
        return 0.0;
    }
    let counted = count(members, position);
    let texts = counted.iter().filter_map(|(word, _)| words.get(*word));
    let texts: f64 = texts.map(|word| WORD + BYTE_OF_WORD * word.len() as f64).sum();
    let counts: Vec<u64> = counted.iter().map(|(_, count)| *count).collect();
    COLUMN + texts + bits(&counts)
}

/// What it takes to tell which of several things each value has.
fn bits(counts: &[u64]) -> f64 {
    let all = counts.iter().sum::<u64>() as f64;
    counts.iter().map(|count| *count as f64).map(|count| count * (all / count).log2()).sum()
}

//! What a slot holds can often be told from a slot before it: the same address comes with the same
//! browser, the same path with the same length.
//!
//! In: the places of a column's rows in its list, and the columns above it. Out: the column that tells most,
//! if any does, and in place of each place a zero where it is the one last seen with the same value
//! there, else the place and one. Reading goes the other way.

use super::gather::Column;
use super::hashing::Table;
use super::lex::{self, Kind};
use super::{Damaged, numbers};

/// How many columns above are tried.
const TRIED: usize = 8;
/// Rows by which they are tried, and without which it is not worth it.
const SAMPLE: usize = 4096;
const MIN_ROWS: usize = 64;
/// What telling by another column must save, as a part of the cost.
const WORTH: f64 = 0.95;
/// How often what tells may itself be told: who reads one column reads all of these.
pub(super) const MAX_CHAIN: u8 = 16;
/// Keys below this are looked up in a plain list.
const DENSE: u64 = 1 << 17;

/// Chooses, for one column after the other, what tells it.
#[derive(Default)]
pub(super) struct Contexts {
    /// Of each column so far how long its chain is, or None if it has no list and tells nothing.
    chains: Vec<Option<u8>>,
}

impl Contexts {
    /// What is to be stored for the places of a column: how many columns up is what tells them (0 for
    /// nothing), and the numbers.
    pub(super) fn tell(
        &self,
        columns: &[Column],
        number: usize,
        places: Vec<u64>,
    ) -> (usize, Vec<u64>) {
        if places.len() < MIN_ROWS {
            return (0, places);
        }
        let sample = &places[..places.len().min(SAMPLE)];
        let plain = numbers::cost(sample);
        let mut best = (plain * WORTH, 0);
        let mut at: Vec<u32> = (0..places.len() as u32).collect();
        let mut keys = Vec::new();
        let mut column = number;
        for up in 1..=TRIED {
            let Some(parent) = columns[column].parent else { break };
            at.iter_mut().for_each(|at| *at = columns[column].above[*at as usize]);
            column = parent as usize;
            let above = &columns[column];
            if !self.tells(column) || above.values.iter().all(|value| *value == above.values[0]) {
                continue;
            }
            let key = |at: &u32| key(above.kind, above.values[*at as usize]);
            let told = tell(&at[..sample.len()].iter().map(key).collect::<Vec<u64>>(), sample);
            let cost = numbers::cost(&told);
            if cost < best.0 {
                best = (cost, up);
                keys = at.iter().map(key).collect();
            }
        }
        if best.1 == 0 {
            return (0, places);
        }
        let told = tell(&keys, &places);
        if numbers::cost(&told) < numbers::cost(&places) * WORTH {
            (best.1, told)
        } else {
            (0, places)
        }
    }

    fn tells(&self, column: usize) -> bool {
        self.chains[column].is_some_and(|chain| chain < MAX_CHAIN)
    }

    /// Notes a column that was stored: whether it can tell others, and what tells it, so many up.
    pub(super) fn note(&mut self, columns: &[Column], number: usize, tells: bool, up: usize) {
        let above = |column: usize| columns[column].parent.map(|parent| parent as usize);
        let told_by = (0..up).try_fold(number, |column, _| above(column));
        let chain = match told_by.filter(|by| *by != number) {
            Some(by) => self.chains[by].unwrap_or(0) + 1,
            None => 0,
        };
        self.chains.push(tells.then_some(chain));
    }
}

/// By what the value of a slot is known as a key.
fn key(kind: Kind, value: u64) -> u64 {
    if kind == Kind::Integer { lex::value_and_width(value).0 } else { value }
}

fn tell(keys: &[u64], places: &[u64]) -> Vec<u64> {
    let mut last = Last::new(keys);
    keys.iter()
        .zip(places)
        .map(|(key, place)| if last.replace(*key, place + 1) == place + 1 { 0 } else { place + 1 })
        .collect()
}

/// Puts the places back that were told by keys, one per row.
pub(super) fn untell(keys: &[u64], places: &mut [u64]) -> Result<(), Damaged> {
    let mut last = Last::new(keys);
    for (key, place) in keys.iter().zip(places) {
        let known = if *place == 0 { last.get(*key) } else { *place };
        *place = known.checked_sub(1).ok_or(Damaged("what tells a slot was never seen"))?;
        last.replace(*key, known);
    }
    Ok(())
}

/// The last place and one by key; zero if there was none.
enum Last {
    Dense(Vec<u64>),
    Sparse(Table<u64, u64>),
}

impl Last {
    fn new(keys: &[u64]) -> Last {
        match keys.iter().max() {
            Some(most) if *most < DENSE => Last::Dense(vec![0; *most as usize + 1]),
            _ => Last::Sparse(Table::default()),
        }
    }

    fn get(&self, key: u64) -> u64 {
        match self {
            Last::Dense(last) => last[key as usize],
            Last::Sparse(last) => last.get(&key).copied().unwrap_or(0),
        }
    }

    fn replace(&mut self, key: u64, place: u64) -> u64 {
        match self {
            Last::Dense(last) => std::mem::replace(&mut last[key as usize], place),
            Last::Sparse(last) => last.insert(key, place).unwrap_or(0),
        }
    }
}

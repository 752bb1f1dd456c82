//! Which rows of the template form may hold something, without writing the values again.
//!
//! In: needles. Out: rows. A needle is taken apart into runs of letters and digits, its atoms. The lexer
//! never cuts such a run, so each atom is in one piece of fixed text or in one slot, and only columns
//! whose kind can hold it are unpacked: letters are not in numbers, and a number below the smallest of
//! its column is not in it. A whole address is looked for as such. Rows that have all atoms somewhere
//! are candidates; where they are few, their values are looked at to be sure.

use memchr::memmem;

use super::lex::{self, Kind};
use super::plain::Finder;
use super::read::{Coded, Loaded, Slots, Stored, Width};
use super::{Damaged, Needle, Rows};
use crate::history::tokens;

/// Up to so many candidates are looked at one by one.
const FEW: usize = 2048;
/// So few are looked at right away, whatever else could be known of them.
const SURE: usize = 256;

/// Rows that may hold all needles.
pub(super) fn candidates(coded: &Coded, needles: &[Needle]) -> Result<Rows, Damaged> {
    let mut rows = Rows::all(coded.len());
    let mut atoms: Vec<Atom> = needles.iter().flat_map(|needle| atoms(*needle)).collect();
    // What is quickly looked for and seldom found comes first; with few rows left the rest is moot.
    atoms.sort_by_key(|atom| std::cmp::Reverse((atom.is_whole(), atom.bytes().len())));
    for atom in atoms {
        rows.intersect(&holding(coded, &atom)?);
        if rows.is_empty() {
            return Ok(rows);
        }
        if rows.count() <= SURE {
            break;
        }
    }
    if rows.count() <= FEW {
        let finders: Vec<Finder> = needles.iter().map(|needle| Finder::new(*needle)).collect();
        let before: Vec<usize> = rows.iter().map(|row| row as usize).collect();
        coded.some(before.into_iter(), &mut |row, value| {
            if !finders.iter().all(|finder| finder.is_in(value)) {
                rows.remove(row);
            }
        })?;
    }
    Ok(rows)
}

/// Something that is in one slot or one piece of fixed text.
enum Atom<'n> {
    /// A word, ASCII case ignored.
    Word(&'n [u8]),
    /// These bytes; where they are bounded, the run does not go on.
    Run { finder: Box<memmem::Finder<'n>>, left: bool, right: bool },
    /// An address with nothing joined to it.
    Address(u32, Vec<u8>),
}

/// What every text has that has the needle.
fn atoms(needle: Needle) -> Vec<Atom> {
    let (bytes, tokens) = match needle {
        Needle::Word(word) => (word, tokens::of_word(word)),
        Needle::Text(text) => (text, tokens::inner(text)),
    };
    let mut atoms = Vec::new();
    let address = tokens.into_iter().find_map(|token| Some((address(&token)?, token)));
    let has_address = address.is_some();
    if let Some((number, token)) = address {
        atoms.push(Atom::Address(number, token));
    }
    let mut start = 0;
    while start < bytes.len() {
        let belongs = lex::in_unit(bytes[start]);
        let len = bytes[start..].iter().position(|byte| lex::in_unit(*byte) != belongs);
        let end = len.map_or(bytes.len(), |len| start + len);
        let run = &bytes[start..end];
        // The digits of an address are found with it.
        if belongs && !(has_address && run.iter().all(u8::is_ascii_digit)) {
            atoms.push(match needle {
                Needle::Word(_) => Atom::Word(run),
                Needle::Text(_) => Atom::Run {
                    finder: Box::new(memmem::Finder::new(run)),
                    left: start > 0,
                    right: end < bytes.len(),
                },
            });
        }
        start = end;
    }
    atoms
}

/// The address that a token is, written as addresses are.
fn address(token: &[u8]) -> Option<u32> {
    let mut found = None;
    lex::slots(token, &mut |slot| {
        let whole = slot.kind == Kind::Address && slot.start == 0 && slot.end == token.len();
        found = whole.then_some(slot.number as u32);
    });
    found
}

/// Rows that have an atom somewhere.
fn holding(coded: &Coded, atom: &Atom) -> Result<Rows, Damaged> {
    let mut hits: Vec<Option<Rows>> = Vec::with_capacity(coded.columns.len());
    for (number, slots) in coded.columns.iter().enumerate() {
        let hit = match slots.kind {
            _ if slots.count == 0 => None,
            kind if kind.is_number() => in_numbers(coded, number as u32, slots, atom)?,
            _ => in_texts(coded, number as u32, slots, atom)?,
        };
        hits.push(hit.filter(|rows| !rows.is_empty()));
    }
    // Of each template: whether its fixed text has the atom, and which of its columns do.
    let hit = |column: &&u32| hits[**column as usize].is_some();
    let told = coded.templates.iter().map(|template| {
        let fixed = coded.fixed(template).any(|text| atom.is_in(text));
        (fixed, template.columns.iter().filter(hit).copied().collect())
    });
    let told: Vec<(bool, Vec<u32>)> = told.collect();
    let mut rows = Rows::none(coded.len());
    if told.iter().all(|(fixed, columns)| !fixed && columns.is_empty()) {
        return Ok(rows);
    }
    let mut at = vec![0u32; coded.columns.len()];
    for (row, template) in coded.template_of()?.iter().enumerate() {
        let (fixed, columns) = &told[usize::from(*template)];
        let mut held = *fixed;
        for column in columns {
            let column = *column as usize;
            held |= hits[column].as_ref().is_some_and(|rows| rows.contains(at[column] as usize));
            at[column] += 1;
        }
        if held {
            rows.insert(row);
        }
    }
    Ok(rows)
}

impl Atom<'_> {
    /// Whether a piece of fixed text or what a slot holds has the atom.
    fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Atom::Word(word) => tokens::holds_word(text, word),
            Atom::Address(_, address) => tokens::holds_word(text, address),
            Atom::Run { finder, left, right } => {
                let len = finder.needle().len();
                let goes_on = |at: Option<usize>| {
                    at.and_then(|at| text.get(at)).is_some_and(|byte| lex::in_unit(*byte))
                };
                // Within a run the same bytes may occur again, so every place counts.
                let mut from = 0;
                while let Some(found) = finder.find(&text[from..]) {
                    let start = from + found;
                    let cut = *left && goes_on(start.checked_sub(1))
                        || *right && goes_on(Some(start + len));
                    if !cut {
                        return true;
                    }
                    from = start + 1;
                }
                false
            }
        }
    }

    /// The bytes of the atom.
    fn bytes(&self) -> &[u8] {
        match self {
            Atom::Word(word) => word,
            Atom::Run { finder, .. } => finder.needle(),
            Atom::Address(_, address) => address,
        }
    }

    /// Whether it is a whole run wherever it occurs.
    fn is_whole(&self) -> bool {
        matches!(
            self,
            Atom::Word(_) | Atom::Address(..) | Atom::Run { left: true, right: true, .. }
        )
    }
}

/// Which rows of a column of strings have the atom.
fn in_texts(
    coded: &Coded,
    number: u32,
    slots: &Slots,
    atom: &Atom,
) -> Result<Option<Rows>, Damaged> {
    let spelled = matches!(slots.kind, Kind::Hex(_) | Kind::Uuid);
    let spells = |byte: &u8| byte.is_ascii_hexdigit();
    if spelled && (atom.bytes().len() < 2 || !atom.bytes().iter().all(spells)) {
        // An atom of a byte is in so many identifiers that all are taken.
        let all = atom.bytes().len() < 2 && atom.bytes().iter().all(spells);
        return Ok(all.then(|| Rows::all(slots.count)));
    }
    let Stored::Texts(texts) = &slots.stored else { return Ok(None) };
    let list = texts.list(slots.count, &coded.streams)?;
    let held: Vec<bool> = (0..list.len()).map(|place| atom.is_in(list.get(place))).collect();
    if !held.iter().any(|held| *held) {
        return Ok(None);
    }
    let Loaded::Texts { places, .. } = coded.loaded(number)? else { return Ok(None) };
    Ok(Some(Rows::of(slots.count, |row| match places {
        Some(places) => held[places[row] as usize],
        None => held[row],
    })))
}

/// Which rows of a column of numbers have the atom.
fn in_numbers(
    coded: &Coded,
    number: u32,
    slots: &Slots,
    atom: &Atom,
) -> Result<Option<Rows>, Damaged> {
    if let Atom::Address(wanted, _) = atom {
        if slots.kind != Kind::Address {
            return Ok(None);
        }
        let Stored::Numbers(numbers) = &slots.stored else { return Ok(None) };
        if !numbers.may_hold(u64::from(*wanted), &coded.streams)? {
            return Ok(None);
        }
        let Loaded::Numbers(values) = coded.loaded(number)? else { return Ok(None) };
        return Ok(Some(Rows::of(slots.count, |row| values[row] == u64::from(*wanted))));
    }
    let digits = atom.bytes();
    let letters = match slots.kind {
        Kind::Moment(_) => &b"Tt"[..],
        Kind::ZuluMoment(_) => b"TtZz",
        _ => b"",
    };
    let spells = |byte: &u8| byte.is_ascii_digit() || letters.contains(byte);
    if !digits.iter().all(spells) || digits.len() > longest(slots.kind) {
        return Ok(None);
    }
    let value = digits
        .iter()
        .fold(0u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    if let (Stored::Integers { width, numbers }, true) = (&slots.stored, atom.is_whole()) {
        let short = digits.len() == 1 || digits[0] != b'0';
        let written = match width {
            Width::Short => short,
            Width::Fixed(width) => *width == digits.len(),
            Width::Each(_) => true,
        };
        if !written || !numbers.may_hold(value, &coded.streams)? {
            return Ok(None);
        }
        let Loaded::Integers { values, .. } = coded.loaded(number)? else { return Ok(None) };
        return Ok(Some(Rows::of(slots.count, |row| values[row] == value)));
    }
    let loaded = coded.loaded(number)?;
    if let (Loaded::Numbers(values), Kind::Address, true) = (loaded, slots.kind, atom.is_whole()) {
        let held = |row: usize| {
            (values[row] as u32).to_be_bytes().iter().any(|byte| value == u64::from(*byte))
        };
        return Ok(Some(Rows::of(slots.count, held)));
    }
    let mut text = Vec::new();
    Ok(Some(Rows::of(slots.count, |row| {
        text.clear();
        loaded.write(slots.kind, row, &mut text);
        atom.is_in(&text)
    })))
}

/// The longest run of digits that a slot of a kind can hold.
fn longest(kind: Kind) -> usize {
    match kind {
        Kind::Address => 3,
        Kind::Clock(fraction) | Kind::CommaClock(fraction) => usize::from(fraction).max(2),
        // Day and hour are one word, as are fraction and zone.
        Kind::Moment(fraction) | Kind::ZuluMoment(fraction) => usize::from(fraction + 1).max(5),
        Kind::Integer => lex::MAX_DIGITS,
        _ => 20,
    }
}

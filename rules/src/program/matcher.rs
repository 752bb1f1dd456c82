//! One field of a program: which lists of tests a value meets.
//!
//! In: a value as text. Out: the lists it meets, some more than once. What compares a whole value is
//! in a table, what begins or ends one in a tree each, and what stands anywhere is found by its grams
//! ([`super::grams`]). A test these can't decide alone (a wildcard inside, case that matters, a regular
//! expression) is represented by texts it can't do without, and looked at when one of them is there.

use std::collections::{BTreeMap, HashMap};

use super::atom::Form;
use super::grams::{Grams, PADDING};
use super::trie::Trie;
use super::{Span, place};
use crate::Value;
use crate::item::Test;
use crate::text::fold;

/// What may stand between values that are looked at together: the first that is in nothing that is
/// looked for. Behind the control characters come those for private use, of which there are so many
/// that no set of rules has them all.
const SEPARATORS: [std::ops::RangeInclusive<char>; 2] =
    ['\u{1}'..='\u{1f}', '\u{f0000}'..='\u{ffffd}'];

type Table<K> = HashMap<K, Span, foldhash::fast::FixedState>;

/// All tests of one field.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// What spans are ranges of.
    lists: Vec<u32>,
    /// Met by any value.
    always: Span,
    equals: Table<Box<[u8]>>,
    /// Bit n: some whole value is n bytes long, or 63 and more.
    lengths: u64,
    prefixes: Trie,
    suffixes: Trie,
    grams: Grams,
    /// Characters of the shortest text that is looked for anywhere; 0 when any value will do. Folding
    /// keeps their number, and not that of their bytes.
    shortest: usize,
    /// Between joined values.
    separator: char,
    /// Whether one of these texts is made of digits and a sign.
    digits: bool,
    checks: Vec<Test>,
    /// What numbers that are not whole ones may equal.
    numbers: Vec<(i64, Span)>,
    /// Those of `equals` that are whole numbers, when there is nothing else to compare with.
    integers: Option<Table<i64>>,
}

/// A test that has to be asked where one of its texts stands.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) texts: Vec<Vec<u8>>,
    pub(super) test: Test,
    pub(super) lists: Vec<u32>,
}

/// Room to work in.
#[derive(Debug, Default)]
pub(super) struct Desk {
    folded: Vec<u8>,
    /// Number of the text at hand.
    turn: u32,
    /// By needle, and by check: the text in which it was last found, or asked.
    found: Vec<u32>,
    checked: Vec<u32>,
}

impl Matcher {
    /// Builds it of forms and the lists each decides, and of tests with the texts they are asked at.
    /// `common` says how often a gram of four bytes is met, about.
    pub(super) fn new(
        forms: BTreeMap<Form, Vec<u32>>,
        checks: Vec<Check>,
        common: &dyn Fn(&[u8]) -> u32,
    ) -> Matcher {
        let mut matcher = Matcher::default();
        let mut integers = Table::default();
        let (mut prefixes, mut suffixes, mut needles) = (Vec::new(), Vec::new(), Vec::new());
        for (form, lists) in forms {
            let span = matcher.keep(lists);
            match form {
                Form::Always => matcher.always = span,
                Form::Number(number) => matcher.numbers.push((number, span)),
                Form::Equals(text) => {
                    if let Some(number) = canonical(&text) {
                        integers.insert(number, span);
                    }
                    matcher.lengths |= 1 << text.len().min(63);
                    matcher.equals.insert(text.into(), span);
                }
                Form::Prefix(text) => prefixes.push((text, span)),
                Form::Suffix(text) => suffixes.push((text, span)),
                Form::Contains(text) => needles.push((text, span, None)),
            }
        }
        for Check { texts, test, lists } in checks {
            let span = matcher.keep(lists);
            let check = place(matcher.checks.len());
            needles.extend(texts.into_iter().map(|text| (text, span, Some(check))));
            matcher.checks.push(test);
        }
        let anything = matcher.always.0 != matcher.always.1;
        let texts = || needles.iter().map(|(text, _, _)| text);
        let characters = |text: &Vec<u8>| String::from_utf8_lossy(text).chars().count();
        matcher.shortest = texts().map(characters).min().filter(|_| !anything).unwrap_or(0);
        matcher.digits = anything
            || texts().any(|text| text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'));
        let unused = |separator: &char| {
            !texts().any(|text| String::from_utf8_lossy(text).contains(*separator))
        };
        matcher.separator = SEPARATORS.into_iter().flatten().find(unused).unwrap_or(char::MAX);
        matcher.prefixes = Trie::new(prefixes, false);
        matcher.suffixes = Trie::new(suffixes, true);
        matcher.grams = Grams::new(needles, common);
        matcher.integers = (!matcher.looks_inside()).then_some(integers);
        matcher
    }

    fn keep(&mut self, mut lists: Vec<u32>) -> Span {
        lists.sort_unstable();
        lists.dedup();
        let start = place(self.lists.len());
        self.lists.append(&mut lists);
        (start, place(self.lists.len()))
    }

    fn of(&self, span: Span) -> &[u32] {
        &self.lists[span.0 as usize..span.1 as usize]
    }

    /// The lists a whole number meets, when its text need not be looked at.
    pub(super) fn integer(&self, number: i64) -> Option<[&[u32]; 2]> {
        let found = self.integers.as_ref()?.get(&number).copied().unwrap_or_default();
        Some([self.of(self.always), self.of(found)])
    }

    /// Appends the lists that any other number than a whole one meets besides those its text does.
    pub(super) fn number(&self, number: f64, met: &mut Vec<u32>) {
        for (whole, span) in &self.numbers {
            if Test::whole(*whole).accepts(Value::Number(number)) {
                met.extend_from_slice(self.of(*span));
            }
        }
    }

    /// Whether there is more to do with a text than to compare the whole of it.
    pub(super) fn looks_inside(&self) -> bool {
        !(self.prefixes.is_empty() && self.suffixes.is_empty() && self.grams.is_empty())
    }

    /// Appends the lists that a text meets.
    pub(super) fn text(&self, text: &str, desk: &mut Desk, met: &mut Vec<u32>) {
        fold_into(text, &mut desk.folded);
        let folded = desk.folded.as_slice();
        met.extend_from_slice(self.of(self.always));
        if self.lengths & (1 << folded.len().min(63)) != 0
            && let Some(span) = self.equals.get(folded)
        {
            met.extend_from_slice(self.of(*span));
        }
        self.prefixes.each(folded, |span| met.extend_from_slice(self.of(span)));
        self.suffixes.each(folded, |span| met.extend_from_slice(self.of(span)));
        if !self.grams.is_empty() {
            self.inside(desk, met, |test| test.accepts(Value::Text(text)));
        }
    }

    /// Whether some of what is looked for anywhere may be in a whole number.
    pub(super) fn looks_for_digits(&self) -> bool {
        self.digits
    }

    /// Adds a value to those that [`Matcher::joined`] looks at together.
    pub(super) fn join(&self, text: &str, joined: &mut String) {
        // No text has more characters than bytes.
        if text.len() >= self.shortest {
            joined.push_str(text);
            joined.push(self.separator);
        }
    }

    /// Appends the lists that joined values meet, if each is a list of texts that may stand anywhere.
    /// `ask` puts a test to all values.
    pub(super) fn joined(
        &self,
        joined: &str,
        desk: &mut Desk,
        met: &mut Vec<u32>,
        ask: impl FnMut(&Test) -> bool,
    ) {
        if !joined.is_empty() {
            met.extend_from_slice(self.of(self.always));
            fold_into(joined, &mut desk.folded);
            self.inside(desk, met, ask);
        }
    }

    /// Appends the lists of what stands anywhere in the folded text of the desk.
    fn inside(&self, desk: &mut Desk, met: &mut Vec<u32>, mut ask: impl FnMut(&Test) -> bool) {
        desk.folded.extend_from_slice(&[0; PADDING]);
        desk.begin(self.grams.len(), self.checks.len());
        let Desk { folded, turn, found, checked } = desk;
        // What stands in a text a thousand times is met once.
        let first = |last: &mut u32| std::mem::replace(last, *turn) != *turn;
        self.grams.each(folded, |number, needle| {
            if !first(&mut found[number]) {
                return;
            }
            if let Some(check) = needle.check
                && !(first(&mut checked[check as usize]) && ask(&self.checks[check as usize]))
            {
                return;
            }
            met.extend_from_slice(self.of(needle.value));
        });
    }
}

impl Desk {
    /// Begins another text.
    fn begin(&mut self, needles: usize, checks: usize) {
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            self.found.clear();
            self.checked.clear();
            self.turn = 1;
        }
        self.found.resize(needles.max(self.found.len()), 0);
        self.checked.resize(checks.max(self.checked.len()), 0);
    }
}

/// The number a text is, when it is how that number is written.
fn canonical(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The place of the first byte that is not ASCII.
fn first_sign(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    let chunk = bytes.chunks(CHUNK).position(|chunk| !chunk.is_ascii())? * CHUNK;
    let at = bytes[chunk..].iter().position(|byte| !byte.is_ascii())?;
    Some(chunk + at)
}

fn fold_into(text: &str, folded: &mut Vec<u8>) {
    folded.clear();
    let mut rest = text;
    // Mostly ASCII with a sign here and there: only the signs are folded one by one.
    while let Some(at) = first_sign(rest.as_bytes()) {
        folded.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let after = rest.trim_start_matches(|character: char| !character.is_ascii());
        for character in rest[..rest.len() - after.len()].chars() {
            let mut buffer = [0; 4];
            folded.extend_from_slice(fold(character).encode_utf8(&mut buffer).as_bytes());
        }
        rest = after;
    }
    folded.extend_from_slice(rest.as_bytes());
    folded.make_ascii_lowercase();
}

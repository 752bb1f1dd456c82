//! A test of a rule, in the form it is looked for.
//!
//! In: what the naive evaluator tests a value with. Out: the forms that decide it together, the texts it
//! can't do without, or that it has to be asked as it is.

use super::literal;
use crate::item::{Number, Test};
use crate::pattern::{DASHES, Pattern, Unit};
use crate::text::fold;

/// Dashes that are written out in each of their ways; beyond them a pattern is checked.
const MAX_DASHES: usize = 2;

/// How a test is looked for.
#[derive(Debug)]
pub(super) enum Look {
    /// One of these is enough.
    For(Vec<Form>),
    /// Where one of these texts stands the test has to be asked.
    Where(Vec<Vec<u8>>),
    /// It has to be asked of the event.
    Ask,
}

/// What decides a test. Texts are folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Form {
    /// Any value that has a text.
    Always,
    Equals(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Vec<u8>),
    /// A number that is not kept as a whole one, and equals this.
    Number(i64),
}

impl Look {
    /// How likely a value meets it, for choosing between two that both must hold; only the order
    /// matters. Short texts are met often, and those that stand at an end less than those anywhere.
    pub(super) fn likelihood(&self) -> f32 {
        match self {
            Look::For(forms) => forms.iter().map(Form::likelihood).sum(),
            Look::Where(texts) => texts.iter().map(|text| by_length(text)).sum(),
            Look::Ask => 1.0,
        }
    }
}

impl Form {
    fn likelihood(&self) -> f32 {
        match self {
            Form::Always => 1.0,
            // Often an event id or a flag: the shorter, the fewer values there are.
            Form::Equals(text) if text.len() < 6 => 0.2,
            Form::Equals(_) => 0.01,
            Form::Prefix(text) | Form::Suffix(text) => by_length(text).min(0.2),
            Form::Contains(text) => by_length(text),
            Form::Number(_) => 0.0,
        }
    }
}

fn by_length(text: &[u8]) -> f32 {
    match text.len() {
        0 => 1.0,
        1 => 0.5,
        2 => 0.3,
        3 => 0.12,
        4 => 0.06,
        5 => 0.04,
        6..8 => 0.025,
        8..12 => 0.012,
        _ => 0.006,
    }
}

/// How a test is looked for.
pub(super) fn look(test: &Test) -> Look {
    match test {
        Test::Pattern(pattern) => of_pattern(pattern),
        Test::Number(Number::Whole(number)) => {
            let text = number.to_string().into_bytes();
            Look::For(vec![Form::Equals(text), Form::Number(*number)])
        }
        Test::Regex(regex) => match literal::required(regex.as_str()) {
            Some(texts) => Look::Where(texts.into_iter().map(String::into_bytes).collect()),
            None => Look::Ask,
        },
        _ => Look::Ask,
    }
}

fn of_pattern(pattern: &Pattern) -> Look {
    let open = (pattern.open_start, pattern.open_end);
    let [segment] = pattern.segments.as_slice() else {
        if pattern.segments.is_empty() {
            let any = open.0 || open.1;
            return Look::For(vec![if any { Form::Always } else { Form::Equals(Vec::new()) }]);
        }
        return asked_where(pattern);
    };
    let dashes = segment.iter().filter(|unit| **unit == Unit::Dash).count();
    if pattern.cased || segment.contains(&Unit::One) || dashes > MAX_DASHES {
        return asked_where(pattern);
    }
    let form = |text| match open {
        (false, false) => Form::Equals(text),
        (false, true) => Form::Prefix(text),
        (true, false) => Form::Suffix(text),
        (true, true) => Form::Contains(text),
    };
    Look::For(written_out(segment).into_iter().map(form).collect())
}

/// A segment with every dash in each of its ways.
fn written_out(segment: &[Unit]) -> Vec<Vec<u8>> {
    let mut all = vec![String::new()];
    for unit in segment {
        match unit {
            Unit::Character(character) => all.iter_mut().for_each(|text| text.push(*character)),
            Unit::Dash => {
                all = all
                    .iter()
                    .flat_map(|text| DASHES.map(|dash| format!("{text}{dash}")))
                    .collect();
            }
            Unit::One => {}
        }
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// A pattern is asked where its longest run of plain characters stands.
fn asked_where(pattern: &Pattern) -> Look {
    let runs = pattern.segments.iter().flat_map(|segment| {
        segment.split(|unit| !matches!(unit, Unit::Character(_))).map(|run| {
            let characters = run.iter().filter_map(|unit| match unit {
                // A pattern whose case matters is not folded yet.
                Unit::Character(character) => Some(fold(*character)),
                _ => None,
            });
            characters.collect::<String>().into_bytes()
        })
    });
    match runs.max_by_key(Vec::len) {
        Some(run) if !run.is_empty() => Look::Where(vec![run]),
        _ => Look::Ask,
    }
}

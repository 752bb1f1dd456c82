//! How text compares: folding of case, and the text of values that are not text.
//!
//! Folding is Unicode's simple case folding, one character to one character, so that offsets stay
//! what they were. A pattern is folded once when it is compiled, a value while it is compared.

use std::borrow::Cow;

use crate::Value;

/// Folds a character's case: two characters that differ only in case fold to the same one.
///
/// Lowering the upper form also joins those with several lower forms (`σ` and `ς`, `s` and `ſ`).
/// Characters whose forms are longer than one character (`ß`, `İ`) stay as they are, but three that
/// Unicode takes for the same as another, and so does the dotless `ı`, which it does not fold to `i`.
pub fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    match character {
        'ı' => return character,
        '\u{1fd3}' => return '\u{390}',
        '\u{1fe3}' => return '\u{3b0}',
        '\u{fb05}' => return '\u{fb06}',
        character if CASELESS.contains(&character) => return character,
        _ => {}
    }
    single(single(character, char::to_uppercase), char::to_lowercase)
}

/// A run of characters without case (Chinese, Japanese and Korean among them), so that they are not
/// looked up one by one.
const CASELESS: std::ops::RangeInclusive<char> = '\u{2e80}'..='\u{a4cf}';

fn single<I: Iterator<Item = char>>(character: char, form: impl Fn(char) -> I) -> char {
    let mut forms = form(character);
    match (forms.next(), forms.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// The text of a value, as a pattern sees it; none for a value that is said to be nothing.
pub fn of(value: Value<'_>) -> Option<Cow<'_, str>> {
    if let Value::Text(text) = value {
        return Some(Cow::Borrowed(text));
    }
    let mut written = String::new();
    write(value, &mut written).then_some(Cow::Owned(written))
}

/// Appends the text of a value, see [`of`]; whether it has one.
pub(crate) fn write(value: Value<'_>, out: &mut String) -> bool {
    use std::fmt::Write as _;
    let written = match value {
        Value::Null => return false,
        Value::Text(text) => out.write_str(text),
        Value::Integer(number) => out.write_str(itoa::Buffer::new().format(number)),
        Value::Number(number) => write!(out, "{number}"),
        Value::Flag(flag) => out.write_str(if flag { "true" } else { "false" }),
        Value::Address(address) => write!(out, "{address}"),
    };
    // Writing to a string does not fail.
    written.is_ok()
}

/// Cuts text to at most `max_bytes`, never inside a character.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_differ_in_case_fold_alike() {
        for (left, right) in [
            ('A', 'a'),
            ('É', 'é'),
            ('Σ', 'ς'),
            ('σ', 'ς'),
            ('K', 'k'), // the Kelvin sign
            ('ſ', 'S'),
            ('Ж', 'ж'),
            ('Ａ', 'ａ'),
        ] {
            assert_eq!(fold(left), fold(right), "{left} {right}");
        }
        for (left, right) in [('ı', 'i'), ('İ', 'i'), ('a', 'b'), ('衡', '卫')] {
            assert_ne!(fold(left), fold(right), "{left} {right}");
        }
    }

    #[test]
    fn what_is_said_to_be_caseless_is() {
        for character in CASELESS {
            let forms =
                (single(character, char::to_uppercase), single(character, char::to_lowercase));
            assert_eq!(forms, (character, character));
        }
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("衡卫", 4), "衡");
        assert_eq!(cut("ab", 9), "ab");
    }
}

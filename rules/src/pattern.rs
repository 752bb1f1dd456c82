//! A string value of a rule: plain text, wildcards, and dashes that stand for each other.
//!
//! In: the pieces the modifiers made of a value. Out: whether a text matches, as a whole, from its
//! first to its last character. This is the plain algorithm on purpose: it is the one the compiled
//! matcher is compared with.

use std::ops::Range;

use crate::text::fold;

/// The characters `windash` takes for each other.
pub(crate) const DASHES: [char; 5] = ['-', '/', '–', '—', '―'];

/// A piece of a pattern before it is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it is.
    Text(String),
    /// `*`: any run of characters, also none.
    Any,
    /// `?`: one character.
    One,
    /// One of [`DASHES`].
    Dash,
}

impl Piece {
    /// Memory it takes in a pattern, at the most.
    pub(crate) fn compiled_bytes(&self) -> usize {
        let units = match self {
            Piece::Text(text) => text.len(),
            Piece::Any | Piece::One | Piece::Dash => 1,
        };
        size_of::<Vec<Unit>>() + units * size_of::<Unit>()
    }
}

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Character(char),
    One,
    Dash,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    /// What stands between the runs of `*`.
    pub(crate) segments: Vec<Vec<Unit>>,
    /// Whether it begins with `*`.
    pub(crate) open_start: bool,
    /// Whether it ends with `*`.
    pub(crate) open_end: bool,
    /// Whether case matters.
    pub(crate) cased: bool,
}

impl Pattern {
    /// Compiles pieces.
    pub(crate) fn new(pieces: &[Piece], cased: bool) -> Pattern {
        let mut segments = vec![Vec::new()];
        for piece in pieces {
            let segment = match segments.last_mut() {
                Some(segment) if *piece != Piece::Any => segment,
                _ => {
                    segments.push(Vec::new());
                    continue;
                }
            };
            match piece {
                Piece::Text(text) => segment.extend(
                    text.chars().map(|c| if cased { c } else { fold(c) }).map(Unit::Character),
                ),
                Piece::One => segment.push(Unit::One),
                Piece::Dash => segment.push(Unit::Dash),
                Piece::Any => {}
            }
        }
        let open_start = pieces.first() == Some(&Piece::Any);
        let open_end = pieces.last() == Some(&Piece::Any);
        segments.retain(|segment| !segment.is_empty());
        Pattern { segments, open_start, open_end, cased }
    }

    /// The text it asks for, folded, when it asks for one whole text whatever its case.
    pub(crate) fn plain(&self) -> Option<String> {
        let [units] = self.segments.as_slice() else { return None };
        if self.open_start || self.open_end || self.cased {
            return None;
        }
        let characters = units.iter().map(|unit| match unit {
            Unit::Character(character) => Some(*character),
            Unit::One | Unit::Dash => None,
        });
        characters.collect()
    }

    /// The same, met anywhere in a text.
    pub(crate) fn anywhere(mut self) -> Pattern {
        self.open_start = true;
        self.open_end = true;
        self
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if text.is_ascii() {
            self.matches_in(text.len(), |index| char::from(text.as_bytes()[index])).is_some()
        } else {
            let characters: Vec<char> = text.chars().collect();
            self.matches_in(characters.len(), |index| characters[index]).is_some()
        }
    }

    /// Where it stands in a text that matches, in bytes: what is written, without the runs of `*` at
    /// its ends.
    pub(crate) fn stands(&self, text: &str) -> Option<Range<usize>> {
        let (starts, characters): (Vec<usize>, Vec<char>) = text.char_indices().unzip();
        let found = self.matches_in(characters.len(), |index| characters[index])?;
        let byte = |index: usize| starts.get(index).copied().unwrap_or(text.len());
        Some(byte(found.start)..byte(found.end))
    }

    /// Where it stands, in characters.
    fn matches_in(&self, len: usize, at: impl Fn(usize) -> char) -> Option<Range<usize>> {
        let (mut from, mut to) = (0, len);
        let mut segments = self.segments.as_slice();
        if segments.is_empty() {
            return (self.open_start || self.open_end || len == 0).then_some(0..len);
        }
        if !self.open_start && !self.open_end && segments.len() == 1 && segments[0].len() != len {
            return None;
        }
        if !self.open_start
            && let [first, rest @ ..] = segments
        {
            if len < first.len() || !self.stands_at(first, 0, &at) {
                return None;
            }
            from = first.len();
            segments = rest;
        }
        if !self.open_end
            && let [rest @ .., last] = segments
        {
            if to < from + last.len() || !self.stands_at(last, to - last.len(), &at) {
                return None;
            }
            to -= last.len();
            segments = rest;
        }
        // The leftmost place is enough: whatever follows has most room then.
        let mut first = (!self.open_start).then_some(0);
        for segment in segments {
            let last = to.checked_sub(segment.len())?;
            let start = (from..=last).find(|&start| self.stands_at(segment, start, &at))?;
            first = first.or(Some(start));
            from = start + segment.len();
        }
        let end = if self.open_end { from } else { len };
        Some(first.unwrap_or(to)..end)
    }

    fn stands_at(&self, segment: &[Unit], start: usize, at: &impl Fn(usize) -> char) -> bool {
        segment.iter().enumerate().all(|(offset, unit)| {
            let found = at(start + offset);
            match *unit {
                Unit::Character(wanted) => {
                    found == wanted || (!self.cased && fold(found) == wanted)
                }
                Unit::One => true,
                Unit::Dash => DASHES.contains(&found),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn check(pieces: &[Piece], matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pieces, false);
        for haystack in matching {
            assert!(pattern.matches(haystack), "{pieces:?} should match {haystack:?}");
        }
        for haystack in others {
            assert!(!pattern.matches(haystack), "{pieces:?} should not match {haystack:?}");
        }
    }

    #[test]
    fn plain_text_is_the_whole_value_in_any_case() {
        check(&[text("Whoami")], &["whoami", "WHOAMI"], &["whoami ", "awhoami", ""]);
        check(&[], &[""], &["a"]);
        check(&[text("ÜBER")], &["über"], &["uber"]);
        check(&[text("k")], &["\u{212a}"], &[]);
    }

    #[test]
    fn stars_take_any_run() {
        check(&[Piece::Any], &["", "a", "衡"], &[]);
        check(&[Piece::Any, text(".exe")], &["a.exe", ".EXE"], &["exe", "a.exe "]);
        check(&[text("a"), Piece::Any, text("a")], &["aa", "aba"], &["a", "ab"]);
        check(
            &[text("ab"), Piece::Any, text("c"), Piece::Any, text("cd")],
            &["abccd", "abxcxcd"],
            &["abcd"],
        );
        check(&[Piece::Any, text("衡"), Piece::Any], &["x衡y", "衡"], &["x卫y"]);
    }

    #[test]
    fn a_question_mark_is_one_character() {
        check(&[text("a"), Piece::One, text("c")], &["abc", "a衡c"], &["ac", "abbc"]);
        check(&[Piece::Any, Piece::One, Piece::Any], &["a"], &[""]);
    }

    #[test]
    fn a_dash_is_any_of_its_kind() {
        check(&[Piece::Dash, text("e")], &["-e", "/E", "–e", "—e", "―e"], &["e", "+e"]);
    }

    #[test]
    fn where_it_stands_leaves_out_the_runs_at_its_ends() {
        let any = Piece::Any;
        for (pieces, haystack, expected) in [
            (vec![text("abc")], "ABC", Some(0..3)),
            (vec![any.clone(), text("b"), any.clone()], "abcb", Some(1..2)),
            (vec![any.clone(), text("cb")], "abcb", Some(2..4)),
            (vec![text("a"), any.clone()], "abcb", Some(0..1)),
            (
                vec![any.clone(), text("a"), any.clone(), text("c"), any.clone()],
                "xaxxcx",
                Some(1..5),
            ),
            (vec![any.clone(), text("卫"), any.clone()], "衡卫衡", Some(3..6)),
            (vec![text("a"), any.clone(), text("b")], "axxb", Some(0..4)),
            (vec![any.clone(), text("a"), any.clone(), text("b")], "xaxb", Some(1..4)),
            (vec![any.clone()], "abc", Some(0..3)),
            (vec![text("a")], "b", None),
        ] {
            assert_eq!(Pattern::new(&pieces, false).stands(haystack), expected, "{pieces:?}");
        }
    }

    #[test]
    fn cased_means_cased() {
        let pattern = Pattern::new(&[text("Ab")], true);
        assert!(pattern.matches("Ab"));
        assert!(!pattern.matches("ab"));
    }
}

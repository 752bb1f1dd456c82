//! A string value of a rule: plain text, wildcards, and dashes that stand for each other.
//!
//! In: the pieces the modifiers made of a value. Out: whether a text matches, as a whole, from its
//! first to its last character. This is the plain algorithm on purpose: it is the one the compiled
//! matcher is compared with.

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

    /// The same, met anywhere in a text.
    pub(crate) fn anywhere(mut self) -> Pattern {
        self.open_start = true;
        self.open_end = true;
        self
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if text.is_ascii() {
            self.matches_in(text.len(), |index| char::from(text.as_bytes()[index]))
        } else {
            let characters: Vec<char> = text.chars().collect();
            self.matches_in(characters.len(), |index| characters[index])
        }
    }

    fn matches_in(&self, len: usize, at: impl Fn(usize) -> char) -> bool {
        let (mut from, mut to) = (0, len);
        let mut segments = self.segments.as_slice();
        if segments.is_empty() {
            return self.open_start || self.open_end || len == 0;
        }
        if !self.open_start && !self.open_end && segments.len() == 1 && segments[0].len() != len {
            return false;
        }
        if !self.open_start
            && let [first, rest @ ..] = segments
        {
            if len < first.len() || !self.stands_at(first, 0, &at) {
                return false;
            }
            from = first.len();
            segments = rest;
        }
        if !self.open_end
            && let [rest @ .., last] = segments
        {
            if to < from + last.len() || !self.stands_at(last, to - last.len(), &at) {
                return false;
            }
            to -= last.len();
            segments = rest;
        }
        // The leftmost place is enough: whatever follows has most room then.
        segments.iter().all(|segment| {
            let Some(last) = to.checked_sub(segment.len()) else { return false };
            match (from..=last).find(|&start| self.stands_at(segment, start, &at)) {
                Some(start) => {
                    from = start + segment.len();
                    true
                }
                None => false,
            }
        })
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
    fn cased_means_cased() {
        let pattern = Pattern::new(&[text("Ab")], true);
        assert!(pattern.matches("Ab"));
        assert!(!pattern.matches("ab"));
    }
}

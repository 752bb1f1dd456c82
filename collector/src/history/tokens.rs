//! Tokens: the pieces of text that filters, the text column and searches agree on.
//!
//! In: the bytes of a text, a needle or a word. Out: tokens, or their hashes. What is here is the
//! whole contract between who writes a filter and who asks it: a text's tokens go in, a search asks
//! for tokens that every matching text must have, and both come from the same walk over the bytes.
//!
//! - A word byte is an ASCII letter, digit or `_`; a *part* is a longest run of them. A *joined* token
//!   is a longest run of at least two parts with single dots between: `10.1.2.3`, `a.log`. Both count,
//!   so `10.1.2.3` has the tokens `10`, `1`, `2`, `3` and `10.1.2.3`. A decimal fraction is no joined
//!   token: `04.512` has `04` and `512`, for who logs milliseconds would fill filters with them.
//! - Text beyond ASCII has no spaces to rely on: of a run of such characters every two neighbours are
//!   a token, of a run of one character that character. Bytes that are no UTF-8 only separate.
//! - Tokens are in ASCII lower case, and of a longer one only the first [`MAX`] bytes count.
//!
//! No encoding but UTF-8 is known here: who stores GB18030 decodes it first.

use std::ops::Range;

/// A longer token is known by its first bytes only.
pub(super) const MAX: usize = 64;

/// Shows every token of a text in lower case, as often as it occurs.
pub(super) fn each(text: &[u8], see: &mut dyn FnMut(&[u8])) {
    walk(text, &mut |_, span| with_lower(&text[span], see));
}

/// Tokens that every text must have in which `needle` occurs, distinct, the longest first. What
/// touches an edge of the needle may go on in the text, so it is left out.
pub(super) fn inner(needle: &[u8]) -> Vec<Vec<u8>> {
    bounded(needle, false, false)
}

/// Tokens that every text must have that [`holds_word`], distinct, the longest first.
pub(super) fn of_word(word: &[u8]) -> Vec<Vec<u8>> {
    let edges = Edges::of(word);
    bounded(word, edges.left, edges.right)
}

/// What a bare word in a search means: it occurs in the text, ASCII case ignored, and where it begins
/// or ends with a word byte it does not go on there. A word with a dot in it does not go on over
/// another dot either, so `1.2` is not in `1.2.3`, while `2` is.
pub(super) fn holds_word(text: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return true };
    let edges = Edges::of(word);
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last = text.len().checked_sub(word.len());
    let Some(starts) = last.and_then(|last| text.get(..=last)) else { return false };
    memchr::memchr2_iter(lower, upper, starts).any(|start| {
        let end = start + word.len();
        text[start..end].eq_ignore_ascii_case(word) && edges.hold(text, start, end)
    })
}

/// The hash filters know a token by: folded multiplication (as wyhash does) over words of eight
/// bytes. Its keys are constants, for filters are read long after they are written; who crafts
/// collisions makes a search read a block in vain, and nothing else.
pub(super) fn hash(token: &[u8]) -> u64 {
    const KEYS: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0xa076_1d64_78bd_642f];
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let mut state = KEYS[0] ^ token.len() as u64;
    let (words, rest) = token.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), KEYS[1]);
    }
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    state = fold(state ^ u64::from_le_bytes(tail), KEYS[1]);
    fold(state ^ KEYS[2], KEYS[0] ^ token.len() as u64)
}

/// Whether a byte belongs to words.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What must not be next to a word for it to be whole.
struct Edges {
    left: bool,
    right: bool,
    dots: bool,
}

impl Edges {
    fn of(word: &[u8]) -> Edges {
        let closed = |edge: Option<&u8>| edge.is_some_and(|byte| is_word(*byte));
        Edges { left: closed(word.first()), right: closed(word.last()), dots: word.contains(&b'.') }
    }

    /// Whether the word at `start..end` of a text is whole there.
    fn hold(&self, text: &[u8], start: usize, end: usize) -> bool {
        let goes_on = |next: Option<u8>, beyond: Option<u8>| match next {
            Some(b'.') => self.dots && beyond.is_some_and(is_word),
            next => next.is_some_and(is_word),
        };
        let before = |by: usize| start.checked_sub(by).map(|at| text[at]);
        let after = |by: usize| text.get(end + by).copied();
        let longer =
            self.left && goes_on(before(1), before(2)) || self.right && goes_on(after(0), after(1));
        !longer
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Part,
    Joined,
    Pair,
    Single,
}

/// Shows where each token of a text is.
fn walk(text: &[u8], see: &mut dyn FnMut(Kind, Range<usize>)) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at = match byte {
            byte if is_word(*byte) => words(text, at, see),
            0x80.. => beyond_ascii(text, at, see),
            _ => at + 1,
        };
    }
}

/// The parts from `start` on and what they join to. Returns where they end.
fn words(text: &[u8], start: usize, see: &mut dyn FnMut(Kind, Range<usize>)) -> usize {
    let mut part = start;
    let (mut parts, mut digits) = (0, true);
    loop {
        let end = end_of(text, part, is_word);
        see(Kind::Part, part..end);
        parts += 1;
        digits &= text[part..end].iter().all(u8::is_ascii_digit);
        let next = text.get(end + 1).is_some_and(|byte| is_word(*byte));
        if text.get(end) == Some(&b'.') && next {
            part = end + 1;
            continue;
        }
        let fraction = parts == 2 && digits;
        if parts > 1 && !fraction {
            see(Kind::Joined, start..end);
        }
        return end;
    }
}

/// The pairs of the characters from `start` on up to the next ASCII byte. Returns where that is.
fn beyond_ascii(text: &[u8], start: usize, see: &mut dyn FnMut(Kind, Range<usize>)) -> usize {
    let end = end_of(text, start, |byte| byte >= 0x80);
    let mut at = start;
    for chunk in text[start..end].utf8_chunks() {
        let mut previous: Option<usize> = None;
        let mut pairs = 0;
        for (offset, character) in chunk.valid().char_indices() {
            if let Some(previous) = previous {
                see(Kind::Pair, at + previous..at + offset + character.len_utf8());
                pairs += 1;
            }
            previous = Some(offset);
        }
        if pairs == 0 && !chunk.valid().is_empty() {
            see(Kind::Single, at..at + chunk.valid().len());
        }
        at += chunk.valid().len() + chunk.invalid().len();
    }
    end
}

fn end_of(text: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> usize {
    text[start..].iter().position(|byte| !belongs(*byte)).map_or(text.len(), |len| start + len)
}

/// The tokens of a piece of text that are tokens whatever stands around the piece. `left` and `right`
/// say that words at the edge do not go on beyond it.
fn bounded(piece: &[u8], left: bool, right: bool) -> Vec<Vec<u8>> {
    let mut tokens = Vec::new();
    walk(piece, &mut |kind, span| {
        let (before, after) = (&piece[..span.start], &piece[span.end..]);
        let whole = match kind {
            Kind::Part => (left || !before.is_empty()) && (right || !after.is_empty()),
            // A dot at the very edge may have a further part behind it.
            Kind::Joined => {
                !(before == b"." || after == b".")
                    && (left || !before.is_empty())
                    && (right || !after.is_empty())
            }
            // A character begins at its first byte whatever came before, so a pair remains one.
            Kind::Pair => true,
            // Bytes at the edge that are no character may be a part of one in the text.
            Kind::Single => {
                before.last().is_some_and(u8::is_ascii) && after.first().is_some_and(u8::is_ascii)
            }
        };
        if whole {
            with_lower(&piece[span], &mut |token| tokens.push(token.to_vec()));
        }
    });
    tokens.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    tokens.dedup();
    tokens
}

/// Shows the first bytes of a token in lower case.
fn with_lower(token: &[u8], see: &mut dyn FnMut(&[u8])) {
    let token = &token[..token.len().min(MAX)];
    let mut lower = [0; MAX];
    let lower = &mut lower[..token.len()];
    lower.copy_from_slice(token);
    lower.make_ascii_lowercase();
    see(lower);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<String> {
        let mut tokens = Vec::new();
        each(text, &mut |token| tokens.push(String::from_utf8_lossy(token).into_owned()));
        tokens
    }

    fn strings(tokens: Vec<Vec<u8>>) -> Vec<String> {
        tokens.iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn the_tokens_of_a_text() {
        let check = |text: &[u8], expected: &[&str]| assert_eq!(all(text), expected);
        check(b"", &[]);
        check(b"- .. -", &[]);
        check(b"Failed password", &["failed", "password"]);
        check(b"from 10.1.2.3 port", &["from", "10", "1", "2", "3", "10.1.2.3", "port"]);
        check(b".a.b..c.", &["a", "b", "a.b", "c"]);
        check(b"user_name=x-y 0.25 1.x", &["user_name", "x", "y", "0", "25", "1", "x", "1.x"]);
        check("错误码a中b".as_bytes(), &["错误", "误码", "a", "中", "b"]);
        check(b"a\xff\xe4\xb8\xadb\xe4\xb8", &["a", "中", "b"]);
        check(&[b'X'; 70], &["x".repeat(64).as_str()]);
    }

    #[test]
    fn tokens_at_the_edge_of_a_needle_are_not_relied_on() {
        let check = |needle: &[u8], expected: &[&str]| assert_eq!(strings(inner(needle)), expected);
        check(b"ssh", &[]);
        check(b" ssh ", &["ssh"]);
        check(b"ed password fo", &["password"]);
        check(b" 10.1.2.3 ", &["10.1.2.3", "10", "1", "2", "3"]);
        check(b" 10.1.2.", &["10", "1", "2"]);
        check(b".1.2 ", &["1", "2"]);
        check(b" .1.2. ", &["1", "2"]);
        check(b" .1.2.3. ", &["1.2.3", "1", "2", "3"]);
        check(b".1.2.3 ", &["1", "2", "3"]);
        check("中文字".as_bytes(), &["中文", "文字"]);
        check("中".as_bytes(), &[]);
        check("=中,".as_bytes(), &["中"]);
        check(b"\xad\xe4\xb8\xad,", &[]);
    }

    #[test]
    fn tokens_at_the_edge_of_a_word_are() {
        let check = |word: &[u8], expected: &[&str]| assert_eq!(strings(of_word(word)), expected);
        check(b"sshD", &["sshd"]);
        check(b"10.1.2.3", &["10.1.2.3", "10", "1", "2", "3"]);
        check(b".1.2", &["1", "2"]);
        check(b"a-b", &["a", "b"]);
        check("中".as_bytes(), &[]);
    }

    #[test]
    fn what_a_whole_word_is() {
        let check = |text: &str, word: &str, expected: bool| {
            let held = holds_word(text.as_bytes(), word.as_bytes());
            assert_eq!(held, expected, "{word:?} in {text:?}");
        };
        check("Accepted for root from", "ROOT", true);
        check("rooted root", "root", true);
        check("rooted chroot", "root", false);
        check("at 10.1.2.3:22", "10.1.2.3", true);
        check("at 10.1.2.3. Then", "10.1.2.3", true);
        check("at 10.1.2.3.4", "10.1.2.3", false);
        check("at 110.1.2.3", "10.1.2.3", false);
        check("at 1.10.1.2.3", "10.1.2.3", false);
        check("at 10.1.2.3", "1", true);
        check("a user-name b", "user-name", true);
        check("错误码", "误", true);
        check("short", "longer than it", false);
        check("", "", true);
    }

    /// Text with few letters, so that pieces of it are found again.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[aB1_.]{1,4}".prop_map(String::into_bytes),
            2 => "[-. ,:=]".prop_map(String::into_bytes),
            2 => "[中文é]{1,3}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 1..3),
            1 => "[a1]{60,70}".prop_map(String::into_bytes),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn set(text: &[u8]) -> HashSet<Vec<u8>> {
        let mut tokens = HashSet::new();
        each(text, &mut |token| {
            tokens.insert(token.to_vec());
        });
        tokens
    }

    proptest! {
        #[test]
        fn a_text_has_the_inner_tokens_of_all_its_pieces(
            text in text(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()
        ) {
            let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
            let needle = &text[from.min(to)..from.max(to)];
            let tokens = set(&text);
            for token in inner(needle) {
                prop_assert!(tokens.contains(&token), "{token:?} of {needle:?} in {text:?}");
            }
        }

        #[test]
        fn a_text_has_the_tokens_of_every_word_it_holds(
            text in text(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()
        ) {
            let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
            let word = text[from.min(to)..from.max(to)].to_ascii_uppercase();
            let tokens = set(&text);
            if holds_word(&text, &word) {
                for token in of_word(&word) {
                    prop_assert!(tokens.contains(&token), "{token:?} of {word:?} in {text:?}");
                }
            }
        }

        #[test]
        fn a_text_holds_its_own_tokens_as_words(text in text()) {
            for token in set(&text).iter().filter(|token| token.len() < MAX) {
                prop_assert!(holds_word(&text, token), "{token:?} in {text:?}");
            }
        }
    }

    #[test]
    fn hashes_differ_by_bytes_and_length() {
        let tokens: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"aaaaaaaa"];
        let hashes: HashSet<u64> = tokens.iter().map(|token| hash(token)).collect();
        assert_eq!(hashes.len(), tokens.len());
        // Stored filters rely on it never changing.
        assert_eq!(hash(b"sshd"), 6_544_406_067_380_516_159);
    }
}

//! How a text writes its pairs, found out by keys that somebody knows.
//!
//! Every sign that may stand between key and value is looked at, up to [`SNIFFED`] bytes in; the first
//! kind of sign that two known keys stand before is it, and what stands before the second key is what
//! stands between pairs. What is in quotes is passed over: it is a value, whatever it looks like.

use super::{
    Assign, Between, MAX_KEY, MAX_WORDS, Style, WIDE_COMMA, WIDE_SEMICOLON, assign, blank,
    wide_separator,
};

/// How much of a text is looked at.
const SNIFFED: usize = 2_048;

/// How a text writes its pairs, told by the keys that are known: at least two of them.
pub(crate) fn sniff(text: &str, known: impl Fn(&str) -> bool) -> Option<Style> {
    let bytes = text.as_bytes();
    let end = bytes.len().min(SNIFFED);
    let mut counts = [0usize; 2];
    let mut between = [None; 2];
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'=', b':', 0xEF, bytes.get(at..end)?) {
        let place = at + found;
        at = place + 1;
        let kind = match bytes.get(place) {
            Some(b'=') => 0,
            _ if assign(bytes, place, Assign::Colon) > 0 => 1,
            _ => continue,
        };
        let Some(before) = key_before(text, place, &known) else { continue };
        counts[kind] += 1;
        match before {
            Some(Between::Blank) if counts[kind] > 1 => {
                between[kind].get_or_insert(Between::Blank);
            }
            Some(Between::Blank) | None => {}
            Some(other) => {
                between[kind].get_or_insert(other);
            }
        }
        if counts[kind] > 1
            && let Some(between) = between[kind]
        {
            let assign = if kind == 0 { Assign::Equals } else { Assign::Colon };
            return Some(Style { assign, between });
        }
        at = past_quoted(bytes, at, end);
    }
    None
}

/// What stands before the known key that ends here: None where it is the first thing of the text.
fn key_before(text: &str, end: usize, known: &impl Fn(&str) -> bool) -> Option<Option<Between>> {
    let bytes = text.as_bytes();
    let stop = end.saturating_sub(MAX_KEY);
    let end = trim_back(bytes, end, stop);
    let mut start = before_number(bytes, end);
    let mut best = None;
    for _ in 0..MAX_WORDS {
        start = word_back(bytes, start, stop);
        let key = text.get(start..end)?;
        if known(key.trim_matches('"')) {
            best = Some(start);
        }
        let before = trim_back(bytes, start, stop);
        if before == start || before == stop {
            break;
        }
        start = before;
    }
    let start = best?;
    let before = trim_back(bytes, start, 0);
    let Some(last) = before.checked_sub(1).and_then(|at| bytes.get(at)) else { return Some(None) };
    Some(Some(match last {
        b',' => Between::Comma,
        b';' => Between::Semicolon,
        b'|' => Between::Bar,
        _ => match before.checked_sub(3) {
            Some(at) if bytes.get(at..before) == Some(WIDE_COMMA) => Between::Comma,
            Some(at) if bytes.get(at..before) == Some(WIDE_SEMICOLON) => Between::Semicolon,
            _ => Between::Blank,
        },
    }))
}

/// Before the number in brackets that Comware puts behind its keys: `SrcIPAddr(1003)`.
fn before_number(bytes: &[u8], end: usize) -> usize {
    const MAX_NUMBER: usize = 6;
    let head = bytes.get(end.saturating_sub(MAX_NUMBER + 2)..end).unwrap_or_default();
    let digits = |inside: &[u8]| inside.iter().all(u8::is_ascii_digit);
    let open = || {
        let inside = head.strip_suffix(b")")?;
        let open = memchr::memrchr(b'(', inside)?;
        digits(inside.get(open + 1..)?).then_some(inside.len() + 1 - open)
    };
    open().map_or(end, |length| end - length)
}

fn trim_back(bytes: &[u8], mut at: usize, stop: usize) -> usize {
    while at > stop && bytes.get(at - 1).is_some_and(|byte| blank(*byte)) {
        at -= 1;
    }
    at
}

fn word_back(bytes: &[u8], mut at: usize, stop: usize) -> usize {
    let wide = |at: usize| at >= 3 && wide_separator(bytes, at - 3);
    while at > stop && !wide(at) {
        match bytes.get(at - 1) {
            Some(b',' | b';' | b'|' | b'=' | b':' | b'(' | b'{' | b'[') | None => break,
            Some(byte) if blank(*byte) => break,
            Some(_) => at -= 1,
        }
    }
    at
}

/// Past a quoted value that begins here.
fn past_quoted(bytes: &[u8], at: usize, end: usize) -> usize {
    match bytes.get(at) {
        Some(quote @ (b'"' | b'\'')) => bytes
            .get(at + 1..end)
            .and_then(|rest| memchr::memchr(*quote, rest))
            .map_or(at, |length| at + 1 + length),
        _ => at,
    }
}

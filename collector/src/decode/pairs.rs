//! Key and value pairs as appliances write them, whatever they put between the two and between pairs.
//!
//! In: `src=192.0.2.1 dst=198.51.100.2 msg="a b"`, `源IP:192.0.2.1, 目的端口:80`, `a=1;b=2`, `a：1；b：2`.
//! Out: one [`Pair`] after the other, slices of the text. A value may be quoted, with backslashes before
//! quotes; a bare value may hold blanks or the separator itself and ends where the next key begins.
//! How a text is written is found out ([`sniff`]) by the keys that somebody knows, before it is read.
//!
//! Whoever fills a value may write quotes, separators and keys into it. What he gets is a value that
//! ends early and pairs that look like the appliance's own; that is why those who use the pairs take an
//! address that is named twice for no address. Work is linear: looking ahead for a key ends after
//! [`MAX_KEY`] bytes, a quote that never closes is looked for once, and pairs are counted.

mod sniff;

use std::borrow::Cow;

pub(crate) use sniff::sniff;

/// The longest key, in bytes.
pub(crate) const MAX_KEY: usize = 64;
/// Pairs of one text.
pub(crate) const MAX_PAIRS: usize = 192;
/// Words of one key, as in `src IP`.
const MAX_WORDS: usize = 4;

/// What stands between key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assign {
    Equals,
    /// `:` or its full-width form.
    Colon,
}

/// What stands between pairs; full-width forms count as the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    Blank,
    Comma,
    Semicolon,
    Bar,
}

/// How a text writes its pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) assign: Assign,
    pub(crate) between: Between,
}

impl Style {
    /// `key=value key="a value"`.
    pub(crate) const PLAIN: Style = Style { assign: Assign::Equals, between: Between::Blank };
}

/// One pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    /// Without its quotes.
    pub(crate) value: &'a str,
    /// Whether quotes or backslashes in it have a backslash before them.
    pub(crate) escaped: bool,
}

impl<'a> Pair<'a> {
    /// The value as it was meant.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if self.escaped { unescape(self.value) } else { Cow::Borrowed(self.value) }
    }
}

/// Takes the backslashes before quotes, signs and backslashes away. Others stay: `C:\new` is a path.
fn unescape(value: &str) -> Cow<'_, str> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('\\') {
        text.push_str(before);
        match behind.chars().next() {
            Some(known @ ('"' | '\'' | '\\' | '=' | '|')) => {
                text.push(known);
                rest = &behind[1..];
            }
            _ => {
                text.push('\\');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Reads the pairs of a text, at most [`MAX_PAIRS`].
pub(crate) fn pairs(text: &str, style: Style) -> Pairs<'_> {
    Pairs { text, at: 0, style, left: MAX_PAIRS, unclosed: [false; 2] }
}

/// The pairs of a text. What is no pair is passed over.
#[derive(Debug)]
pub(crate) struct Pairs<'a> {
    text: &'a str,
    at: usize,
    style: Style,
    left: usize,
    /// Whether a `"` or a `'` was found to have no end, so that no later one has.
    unclosed: [bool; 2],
}

impl Pairs<'_> {
    /// Whether there was more than [`MAX_PAIRS`].
    pub(crate) fn cut(&self) -> bool {
        self.left == 0 && self.at < self.text.len()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        if self.left == 0 {
            return None;
        }
        let bytes = self.text.as_bytes();
        loop {
            self.at = self.past(self.at);
            bytes.get(self.at)?;
            if let Some((key, value_at)) = self.key(self.at).or_else(|| self.late_key(self.at)) {
                self.left -= 1;
                return Some(self.value(key, value_at));
            }
            self.at = self.step(self.at);
        }
    }
}

impl<'a> Pairs<'a> {
    /// Past blanks, separators and opening brackets.
    fn past(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(at) {
            if blank(*byte) || matches!(byte, b',' | b';' | b'|' | b'(' | b'[' | b'{') {
                at += 1;
            } else if wide_separator(bytes, at) {
                at += 3;
            } else {
                break;
            }
        }
        at
    }

    /// Past something that is no pair: to the next separator.
    fn step(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while at < bytes.len() {
            match separator(bytes, at, self.style.between) {
                0 => at += 1,
                length => return at + length,
            }
        }
        at
    }

    /// The key that begins here, and where its value does.
    fn key(&self, start: usize) -> Option<(&'a str, usize)> {
        let bytes = self.text.as_bytes();
        let first = *bytes.get(start)?;
        if !(first.is_ascii_alphabetic() || matches!(first, b'_' | b'"' | b'@') || first >= 0x80) {
            return None;
        }
        let (mut at, mut words, mut was_blank) = (start, 1, false);
        loop {
            if at - start > MAX_KEY {
                return None;
            }
            let length = assign(bytes, at, self.style.assign);
            if length > 0 {
                break self.key_between(start, at, at + length);
            }
            let byte = *bytes.get(at)?;
            let plain = matches!(self.style.between, Between::Blank);
            if separator(bytes, at, self.style.between) > 0 && !blank(byte) {
                return None;
            }
            match byte {
                b' ' | b'\t' => {
                    words += usize::from(!was_blank);
                    was_blank = true;
                    if plain && self.style.assign == Assign::Colon || words > MAX_WORDS {
                        return None;
                    }
                }
                // In `a b=c` only `b` is the key.
                _ if was_blank && plain => return None,
                b'\r' | b'\n' | b'=' | b',' | b';' | b'|' => return None,
                b'"' if at != start && assign(bytes, at + 1, self.style.assign) == 0 => {
                    return None;
                }
                _ if wide_separator(bytes, at) => return None,
                _ => was_blank = false,
            }
            at += 1;
        }
    }

    /// The key behind something that is none, as in `2026-11-22 fw01 src=192.0.2.1, dst=…`.
    fn late_key(&self, start: usize) -> Option<(&'a str, usize)> {
        if self.style.between == Between::Blank {
            return None;
        }
        let bytes = self.text.as_bytes();
        let mut word = start;
        for at in start..bytes.len() {
            let length = assign(bytes, at, self.style.assign);
            if length > 0
                && at - word <= MAX_KEY
                && let Some(found) = self.key(word).filter(|(_, value_at)| *value_at == at + length)
            {
                return Some(found);
            }
            let byte = *bytes.get(at)?;
            if blank(byte) {
                word = at + 1;
            } else if separator(bytes, at, self.style.between) > 0 {
                return None;
            }
        }
        None
    }

    /// The key of these bytes, unless what follows says that they are none.
    fn key_between(&self, start: usize, end: usize, value_at: usize) -> Option<(&'a str, usize)> {
        let bytes = self.text.as_bytes();
        let key = self.text.get(start..end)?.trim_matches([' ', '\t', '"']);
        if key.is_empty() {
            return None;
        }
        // What stands before a colon in it says what the line is about: `session closed: src=…`.
        let key = match self.style.assign {
            Assign::Equals => key.rsplit_once([':', '：']).map_or(key, |(_, key)| key.trim_start()),
            Assign::Colon => key,
        };
        if key.is_empty() {
            return None;
        }
        if self.style.assign == Assign::Colon {
            // `http://`, `fe80::1`, `C:\`, and the groups of an address.
            let next = bytes.get(value_at).copied().unwrap_or(b' ');
            let hex = key.len() <= 4 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            let path = next == b'/' && bytes.get(value_at + 1) == Some(&b'/') || next == b'\\';
            if path || next == b':' || hex {
                return None;
            }
        }
        Some((key, value_at))
    }

    fn value(&mut self, key: &'a str, mut at: usize) -> Pair<'a> {
        let bytes = self.text.as_bytes();
        while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            at += 1;
        }
        let quote = match bytes.get(at) {
            Some(b'"') => Some((b'"', 0)),
            Some(b'\'') => Some((b'\'', 1)),
            _ => None,
        };
        if let Some((quote, kind)) = quote
            && !self.unclosed[kind]
        {
            match self.quoted(at + 1, quote) {
                Some((end, escaped)) => {
                    self.at = end + 1;
                    return Pair { key, value: self.slice(at + 1, end), escaped };
                }
                None => self.unclosed[kind] = true,
            }
        }
        // An empty value is followed by a key, which is not the value.
        let end = if self.key_after_blank(at) { at } else { self.bare(at) };
        self.at = end;
        let value = self.slice(at, end).trim_end();
        Pair { key, value, escaped: false }
    }

    fn key_after_blank(&self, at: usize) -> bool {
        let blank = at > 0 && self.text.as_bytes().get(at - 1).is_some_and(|byte| blank(*byte));
        blank && self.style.between == Between::Blank && self.key(at).is_some()
    }

    /// Where a quoted value ends: at a quote with nothing before it, and behind it a separator or
    /// the end.
    fn quoted(&self, start: usize, quote: u8) -> Option<(usize, bool)> {
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (start, false);
        loop {
            let found = at + memchr::memchr2(quote, b'\\', bytes.get(at..)?)?;
            if bytes.get(found) == Some(&b'\\') {
                escaped |= matches!(bytes.get(found + 1), Some(b'"' | b'\'' | b'\\'));
                at = found + 2;
                continue;
            }
            let ends = match bytes.get(found + 1) {
                None => true,
                Some(byte) if blank(*byte) => true,
                Some(b',' | b';' | b'|' | b')' | b']' | b'}' | b'.') => true,
                Some(_) => wide_separator(bytes, found + 1),
            };
            if ends {
                return Some((found, escaped));
            }
            at = found + 1;
        }
    }

    /// Where a bare value ends: at the separator before the next key, or with the text.
    fn bare(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = start;
        while at < bytes.len() {
            let length = separator(bytes, at, self.style.between);
            if length == 0 {
                at += 1;
                continue;
            }
            let next = self.past(at + length);
            if next >= bytes.len() || self.key(next).is_some() {
                return at;
            }
            at = next.max(at + length);
        }
        at
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }
}

const WIDE_COLON: &[u8] = "：".as_bytes();
const WIDE_COMMA: &[u8] = "，".as_bytes();
const WIDE_SEMICOLON: &[u8] = "；".as_bytes();

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn wide_separator(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&0xEF)
        && matches!(bytes.get(at..at + 3), Some(three) if three == WIDE_COMMA || three == WIDE_SEMICOLON)
}

/// The length of the sign between key and value that is here, or 0.
fn assign(bytes: &[u8], at: usize, assign: Assign) -> usize {
    match (bytes.get(at), assign) {
        (Some(b'='), Assign::Equals) | (Some(b':'), Assign::Colon) => 1,
        (Some(0xEF), Assign::Colon) if bytes.get(at..at + 3) == Some(WIDE_COLON) => 3,
        _ => 0,
    }
}

/// The length of the separator that is here, or 0.
fn separator(bytes: &[u8], at: usize, between: Between) -> usize {
    let Some(byte) = bytes.get(at) else { return 0 };
    match (between, byte) {
        (Between::Blank, b' ' | b'\t' | b'\r' | b'\n')
        | (Between::Comma, b',')
        | (Between::Semicolon, b';')
        | (Between::Bar, b'|') => 1,
        (Between::Comma, 0xEF) if bytes.get(at..at + 3) == Some(WIDE_COMMA) => 3,
        (Between::Semicolon, 0xEF) if bytes.get(at..at + 3) == Some(WIDE_SEMICOLON) => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;

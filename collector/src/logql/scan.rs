//! The characters of a query, read from left to right: names, quoted texts, operators.

use super::error::{self, Error};

/// A place in a query.
#[derive(Debug)]
pub(super) struct Scan<'q> {
    text: &'q str,
    at: usize,
}

/// A text in quotes as it was meant, and where it stood.
#[derive(Debug)]
pub(super) struct Quoted {
    pub(super) text: String,
    /// Byte of the opening quote.
    pub(super) at: usize,
}

const ESCAPES: &str = "`\\\\`, `\\\"`, `\\n`, `\\r`, `\\t`, `\\x`, `\\u` or `\\U` after a backslash \
                       (backslashes of a pattern are doubled in \"…\", and stand as they are in `…`)";

impl<'q> Scan<'q> {
    pub(super) fn new(text: &'q str) -> Scan<'q> {
        Scan { text, at: 0 }
    }

    /// The byte to be read next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'q str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read since a byte.
    pub(super) fn since(&self, at: usize) -> &'q str {
        self.text.get(at..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Reads a token after blanks, if it stands there.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    /// The same, or what is wrong.
    pub(super) fn expect(&mut self, token: &str, expected: &str) -> Result<(), Error> {
        if self.eat(token) { Ok(()) } else { Err(self.fail(expected)) }
    }

    /// The name that stands after blanks, without reading it.
    pub(super) fn peek_name(&self) -> Option<&'q str> {
        let rest = self.rest().trim_start();
        let first = rest.chars().next()?;
        if !(first.is_alphanumeric() || matches!(first, '_' | '@')) {
            return None;
        }
        let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
        rest.get(..end)
    }

    pub(super) fn name(&mut self) -> Option<&'q str> {
        let name = self.peek_name()?;
        self.blanks();
        self.at += name.len();
        Some(name)
    }

    /// Reads a word of the language, if it stands after blanks.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let there = self.peek_name() == Some(word);
        there && self.eat(word)
    }

    /// What follows a name that stands after blanks, blanks skipped.
    pub(super) fn after_name(&self) -> &'q str {
        let rest = self.rest().trim_start();
        rest.get(self.peek_name().map_or(0, str::len)..).unwrap_or_default().trim_start()
    }

    /// A text in double quotes or backticks, after blanks.
    pub(super) fn quoted(&mut self, expected: &str) -> Result<Quoted, Error> {
        self.blanks();
        let at = self.at;
        match self.next() {
            Some('`') => self.raw(at),
            Some('"') => self.escaped(at),
            _ => {
                self.at = at;
                Err(self.fail(expected))
            }
        }
    }

    fn raw(&mut self, at: usize) -> Result<Quoted, Error> {
        let rest = self.rest();
        let Some(end) = rest.find('`') else {
            return Err(self.unclosed(at, "a closing backtick"));
        };
        self.at += end + 1;
        Ok(Quoted { text: rest[..end].to_owned(), at })
    }

    fn escaped(&mut self, at: usize) -> Result<Quoted, Error> {
        let mut text = String::new();
        loop {
            let here = self.at;
            match self.next() {
                None => return Err(self.unclosed(at, "a closing quote")),
                Some('"') => return Ok(Quoted { text, at }),
                Some('\\') => text.push(self.escape(here)?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, Error> {
        let c = match self.next() {
            Some(c @ ('\\' | '"' | '\'')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('x') => self.code(2).filter(char::is_ascii),
            Some('u') => self.code(4),
            Some('U') => self.code(8),
            _ => None,
        };
        c.ok_or_else(|| {
            let found: String = self.since(at).chars().take(2).collect();
            Error::new(self.text, at, format!("`{found}`"), ESCAPES)
        })
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let code = self.rest().get(..digits)?;
        // A sign is a digit for nobody but the standard library.
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += digits;
        char::from_u32(u32::from_str_radix(code, 16).ok()?)
    }

    fn unclosed(&self, at: usize, expected: &str) -> Error {
        let quote: String = self.text.get(at..).unwrap_or_default().chars().take(1).collect();
        Error::new(self.text, at, format!("`{quote}` that is never closed"), expected)
    }

    /// What stands after blanks is wrong.
    pub(super) fn fail(&self, expected: &str) -> Error {
        let rest = self.rest();
        self.fail_at(self.at + rest.len() - rest.trim_start().len(), expected)
    }

    /// What stands at a byte is wrong.
    pub(super) fn fail_at(&self, at: usize, expected: &str) -> Error {
        Error::new(self.text, at, error::found(self.text, at), expected)
    }

    /// Something at a byte is wrong in a way of its own.
    pub(super) fn fail_with(&self, at: usize, found: String, expected: &str) -> Error {
        Error::new(self.text, at, found, expected)
    }

    /// The byte of the query that a byte of a quoted text came from, when it can be told.
    pub(super) fn inside(&self, quoted: &Quoted, offset: usize) -> usize {
        let plain = self.text.get(quoted.at + 1..).unwrap_or_default().starts_with(&quoted.text);
        if plain && quoted.text.is_char_boundary(offset) {
            quoted.at + 1 + offset
        } else {
            quoted.at
        }
    }
}

/// What names of fields consist of.
pub(super) fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '-')
}

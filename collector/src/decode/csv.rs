//! Values between commas, as databases write their logs: a value that holds a comma, a quote or the end
//! of a line stands in double quotes, with a quote of its own doubled. Where a quote is not closed the
//! line was cut, and the reader says so instead of taking what stands behind for values.

use std::borrow::Cow;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell<'a> {
    /// As written, without the quotes around it.
    raw: &'a str,
    doubled: bool,
}

impl<'a> Cell<'a> {
    /// The value; a copy only where it holds a quote.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if self.doubled { self.raw.replace("\"\"", "\"").into() } else { self.raw.into() }
    }
}

/// The values of a line.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    rest: Option<&'a str>,
    /// Whether a quote was not closed, or closed in the middle of a value.
    pub(crate) broken: bool,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(line: &'a str) -> Cells<'a> {
        Cells { rest: Some(line), broken: false }
    }

    /// The next value; nothing behind the last one and behind one that is broken.
    pub(crate) fn cell(&mut self) -> Option<Cell<'a>> {
        let rest = self.rest?;
        let Some(quoted) = rest.strip_prefix('"') else {
            let (raw, behind) = match rest.split_once(',') {
                Some((raw, behind)) => (raw, Some(behind)),
                None => (rest, None),
            };
            self.rest = behind;
            return Some(Cell { raw, doubled: false });
        };
        let (mut at, mut doubled) = (0, false);
        let end = loop {
            let Some(quote) = quoted[at..].find('"').map(|quote| at + quote) else {
                self.rest = None;
                self.broken = true;
                return Some(Cell { raw: quoted, doubled });
            };
            if quoted[quote + 1..].starts_with('"') {
                doubled = true;
                at = quote + 2;
            } else {
                break quote;
            }
        };
        let behind = &quoted[end + 1..];
        self.rest = behind.strip_prefix(',');
        self.broken = self.rest.is_none() && !behind.is_empty();
        Some(Cell { raw: &quoted[..end], doubled })
    }

    /// The next value as written.
    pub(crate) fn raw(&mut self) -> Option<&'a str> {
        self.cell().map(|cell| cell.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let check = |line: &str, expected: &[&str], broken: bool| {
            let mut cells = Cells::new(line);
            let mut values = Vec::new();
            while let Some(cell) = cells.cell() {
                values.push(cell.text().into_owned());
            }
            assert_eq!(
                (values, cells.broken),
                (expected.iter().map(|t| (*t).to_owned()).collect(), broken)
            );
        };
        check("a,,\"b,\"\"c\"\"\",d", &["a", "", "b,\"c\"", "d"], false);
        check("", &[""], false);
        check("a,", &["a", ""], false);
        check("a,\"b", &["a", "b"], true);
        check("a,\"b\"c,d", &["a", "b"], true);
        check("a,\"", &["a", ""], true);
        check("\"\"", &[""], false);
        check("\"\"\"\"", &["\""], false);
    }
}

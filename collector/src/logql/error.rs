//! What is wrong with a query: where, what stands there, and what would be right.

use std::fmt;

/// Characters of the query shown on each side of the place.
const AROUND: usize = 60;
/// Characters of what was found that are shown.
const FOUND: usize = 24;

/// A query that is not one. Displayed as a line of text, the query, and a caret below the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Where: the character, from 1; one more than the query has when it ends too early.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
    query: String,
}

impl Error {
    /// At a byte of the query.
    pub(super) fn new(query: &str, at: usize, found: String, expected: &str) -> Error {
        let before = query.get(..at).unwrap_or(query);
        let column = before.chars().count() + 1;
        Error { column, found, expected: expected.to_owned(), query: query.to_owned() }
    }

    /// The text without the query and the caret.
    pub fn message(&self) -> String {
        format!("column {}: found {}, expected {}", self.column, self.found, self.expected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.column.saturating_sub(AROUND + 1);
        let shown: Vec<char> = self.query.chars().skip(from).take(2 * AROUND).map(plain).collect();
        let before = &shown[..shown.len().min(self.column.saturating_sub(from + 1))];
        let pad: usize = before.iter().map(|c| if is_wide(*c) { 2 } else { 1 }).sum();
        writeln!(out, "{}", self.message())?;
        writeln!(out, "  {}", shown.iter().collect::<String>())?;
        write!(out, "  {:pad$}^", "")
    }
}

/// What stands at a byte of the query, in words.
pub(super) fn found(query: &str, at: usize) -> String {
    let rest = query.get(at..).unwrap_or_default();
    let Some(first) = rest.chars().next() else { return "the end of the query".to_owned() };
    let name = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '-');
    let text: String = if name(&first) {
        rest.chars().take_while(name).take(FOUND).collect()
    } else if rest.get(..2).is_some_and(|two| OPERATORS.contains(&two)) {
        rest.chars().take(2).collect()
    } else {
        plain(first).to_string()
    };
    format!("`{text}`")
}

const OPERATORS: &[&str] =
    &["|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "||", "&&"];

/// A character that moves nothing on a terminal.
fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Whether a terminal gives it two columns: Chinese, Japanese, Korean, full-width forms.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f
        | 0x20000..=0x3fffd)
}

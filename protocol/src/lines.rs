//! Which physical lines of a log make one record.
//!
//! In: the lines of a file, one after the other, as bytes. Out: whether each begins a record or goes on
//! with the one before it. Agent, `replay` and the examples of rules and decoders all ask here, so that
//! an event read from disk is the event that was tested. Nothing is configured: the lines say by their
//! beginnings what they are. Only ASCII is compared, and bytes of a character of UTF-8 or GB18030 never
//! look like the ASCII that is asked for at a line's beginning, so no charset needs to be known.
//!
//! What a line begins depends on that line alone, and what goes on with it on the lines since. So a
//! reader that is killed in the middle of a record and begins at its first line again cuts the file in
//! the same places. A record has at most [`MAX_LINES`] lines and [`MAX_ORIGINAL`] bytes; the line that
//! would be too much begins another.
//!
//! Whoever can write a line feed into a log can begin or continue a record there, as he could write a
//! line of his own before; joining gives him no more. It takes something from him: what he adds to a
//! quoted CSV entry, a logged statement or a message section with a random boundary stays inside that
//! record and is not read as a line of another program. A line with a syslog header is never joined to,
//! because such a line was sent alone, and whoever comes next in the file may be another host. Nor is a
//! line of a web server, recognised by its stamp and request: many are set up to begin their lines with a
//! header of the client's, who could begin a record with it that swallows what others ask for.

mod block;
mod shape;
#[cfg(test)]
mod tests;

use crate::limits::MAX_ORIGINAL;
use block::{Block, Step};

/// Lines of one record.
pub const MAX_LINES: usize = 1_000;

/// What a line is to the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// It begins a record.
    Begins,
    /// It belongs to the record that the lines before it made.
    Continues,
}

/// Tells of each line whether it begins a record. Holds no line, only what is asked of the next.
#[derive(Debug, Default)]
pub struct Joiner {
    block: Block,
    lines: usize,
    bytes: usize,
}

impl Joiner {
    /// One that has seen nothing.
    pub fn new() -> Joiner {
        Joiner::default()
    }

    /// Takes the next line, without its LF; a CR at its end is taken for part of the ending.
    pub fn take(&mut self, line: &[u8]) -> Line {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let room = self.lines < MAX_LINES && self.bytes + 1 + line.len() <= MAX_ORIGINAL;
        if room && self.block.is_open() {
            match self.block.step(text) {
                Step::Ends => {}
                Step::Continues => return self.grow(line),
                Step::Completes => {
                    self.block = Block::Closed;
                    return self.grow(line);
                }
            }
        }
        self.block = if line.len() < MAX_ORIGINAL { Block::begin(text) } else { Block::Closed };
        self.lines = 1;
        self.bytes = line.len();
        Line::Begins
    }

    /// Whether a next line could belong to the record; when not, the record is complete.
    pub fn is_open(&self) -> bool {
        self.block.is_open()
    }

    fn grow(&mut self, line: &[u8]) -> Line {
        self.lines += 1;
        self.bytes += 1 + line.len();
        Line::Continues
    }
}

/// What a record is without the empty lines after it.
pub fn trimmed(record: &[u8]) -> &[u8] {
    let end = record.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    record.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

/// A record made of lines that came one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its lines with LF between them, without the CRs of their endings and without empty lines at
    /// its end.
    pub text: Vec<u8>,
    /// How many lines it was made of.
    pub lines: u64,
}

/// Collects lines into records, for a reader that has the whole file.
#[derive(Debug, Default)]
pub struct Gather {
    joiner: Joiner,
    held: Option<Record>,
}

impl Gather {
    /// One that has seen nothing.
    pub fn new() -> Gather {
        Gather::default()
    }

    /// Takes the next line, without its LF. The record before it comes back when this line begins
    /// another.
    pub fn push(&mut self, line: &[u8]) -> Option<Record> {
        let continues = self.joiner.take(line) == Line::Continues;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match &mut self.held {
            Some(held) if continues => {
                held.text.push(b'\n');
                held.text.extend_from_slice(line);
                held.lines += 1;
                None
            }
            _ => {
                let begun = Record { text: line.to_vec(), lines: 1 };
                self.held.replace(begun).map(Record::trimmed)
            }
        }
    }

    /// The last record.
    pub fn finish(self) -> Option<Record> {
        self.held.map(Record::trimmed)
    }
}

impl Record {
    fn trimmed(mut self) -> Record {
        self.text.truncate(trimmed(&self.text).len());
        self
    }
}

/// The records of a whole text: its lines joined, without a last empty line after the last LF.
pub fn records(text: &[u8]) -> Vec<Record> {
    let mut gather = Gather::new();
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n');
    let mut records: Vec<Record> = lines.filter_map(|line| gather.push(line)).collect();
    records.extend(gather.finish());
    records
}

//! Bytes of a file into records: lines, or lines that belong together.
//!
//! In: a slice of a file that begins at the start of a record, or goes on inside a long line. Out: the
//! finished records and how many bytes they took; what follows the last newline is not taken, nor are
//! finished lines at the end that the next may go on with: they are held. A line ends at LF, and one CR right before it belongs to the ending. Neither byte occurs
//! inside a character of UTF-8 or GB18030 (trail bytes begin at 0x30, digits, and skip 0x0A and 0x0D),
//! so that lines of both are cut without being decoded. NUL bytes and broken characters are bytes
//! like others. An empty line has nothing to say and makes no record.
//!
//! A line longer than is kept is never held whole: [`Long`] keeps its head and runs length and digest
//! along. A line that does not end, as in a binary file, is ended after [`MAX_LINE`].

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::limits::MAX_ORIGINAL;
use hengwei_protocol::lines::{Joiner, Line, trimmed};
use hengwei_protocol::wire::record::Body;

use crate::sources::NewRecord;

/// One read: a line of the greatest kept length and its ending fit.
pub(super) const SLICE: usize = MAX_ORIGINAL + 2;
/// Where a line without an end is ended.
pub(super) const MAX_LINE: u64 = 64 << 20;
/// Lines in one chunk: bounds the memory of records when lines are short.
pub(super) const MAX_LINES: usize = 4_096;

/// What a slice was cut into.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) records: Vec<NewRecord>,
    /// Bytes that the records and their endings take.
    pub(super) taken: usize,
    /// Bytes of the finished lines behind them that the next line may go on with.
    pub(super) held: usize,
}

/// What the records of a file are made of.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) enum Form {
    /// One line each.
    Lines,
    /// Lines that belong together.
    Joined,
    /// So many bytes each, without anything between them.
    Fixed {
        /// The bytes of one.
        size: usize,
        /// Understands some, of which the last may be torn, that begin at a byte of the file.
        read: fn(&[u8], u64, i64) -> Vec<NewRecord>,
    },
}

/// How a slice is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) form: Form,
    /// Nothing is held: no line will come that goes on with the last.
    pub(super) all: bool,
    /// Where in the file the slice begins.
    pub(super) at: u64,
}

/// The finished records at the beginning of `slice`.
pub(super) fn split(slice: &Bytes, created: i64, way: Way) -> Cut {
    let join = match way.form {
        Form::Lines => false,
        Form::Joined => true,
        Form::Fixed { size, read } => {
            let taken = slice.len() - slice.len() % size;
            return Cut { records: read(&slice[..taken], way.at, created), taken, held: 0 };
        }
    };
    let mut records = Vec::new();
    let mut joiner = Joiner::new();
    let (mut start, mut at) = (0, 0);
    while records.len() < MAX_LINES {
        let Some(length) = memchr::memchr(b'\n', &slice[at..]) else { break };
        let begins = !join || joiner.take(&slice[at..at + length]) == Line::Begins;
        if begins && start < at {
            push_record(&mut records, slice.slice(start..at - 1), created);
            start = at;
        }
        at += length + 1;
        if !joiner.is_open() {
            push_record(&mut records, slice.slice(start..at - 1), created);
            start = at;
        }
    }
    // A record that fills a slice has no room for another line.
    let filled = start == 0 && slice.len() >= SLICE;
    if start < at && (way.all || filled) {
        push_record(&mut records, slice.slice(start..at - 1), created);
        start = at;
    }
    Cut { records, taken: start, held: at - start }
}

/// All that is left of a file that nobody writes to any more: its last line needs no newline.
pub(super) fn rest(mut bytes: Vec<u8>, created: i64, way: Way) -> Vec<NewRecord> {
    if let Form::Fixed { read, .. } = way.form {
        return read(&bytes, way.at, created);
    }
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    let (mut slice, mut records) = (Bytes::from(bytes), Vec::new());
    while !slice.is_empty() {
        let cut = split(&slice, created, Way { all: true, ..way });
        records.extend(cut.records);
        slice = slice.slice(cut.taken.max(1)..);
    }
    records
}

/// The record of one or more lines without the last LF.
fn push_record(records: &mut Vec<NewRecord>, bytes: Bytes, created: i64) {
    if memchr::memchr(b'\n', &bytes).is_none() {
        return push_line(records, bytes, created);
    }
    let bytes = bytes.slice(..trimmed(&bytes).len());
    let text = match memchr::memchr(b'\r', &bytes) {
        None => bytes,
        Some(_) => without_carriage_returns(&bytes),
    };
    records.push(NewRecord::line(created, text));
}

fn without_carriage_returns(bytes: &[u8]) -> Bytes {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Bytes::from(lines.collect::<Vec<_>>().join(&b'\n'))
}

fn push_line(records: &mut Vec<NewRecord>, mut bytes: Bytes, created: i64) {
    if bytes.last() == Some(&b'\r') {
        bytes.truncate(bytes.len() - 1);
    }
    if bytes.len() > MAX_ORIGINAL {
        let mut long = Long::new();
        long.push(&bytes);
        records.extend(long.finish(created));
    } else if !bytes.is_empty() {
        records.push(NewRecord::line(created, bytes));
    }
}

/// A line that is longer than is kept, while it is being read.
pub(super) struct Long {
    head: Vec<u8>,
    /// Bytes that belong to the line for certain.
    length: u64,
    digest: digest::Context,
    /// The last byte seen was a CR, which may turn out to belong to the line's ending.
    carriage_return: bool,
}

impl Long {
    pub(super) fn new() -> Long {
        Long {
            head: Vec::new(),
            length: 0,
            digest: digest::Context::new(&digest::SHA256),
            carriage_return: false,
        }
    }

    /// How far into the file the line was read, from its start.
    pub(super) fn taken(&self) -> u64 {
        self.length + u64::from(self.carriage_return)
    }

    /// Takes what of `slice` belongs to the line; Some(bytes taken, the ending included) when it ends.
    pub(super) fn feed(&mut self, slice: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', slice);
        let mut part = &slice[..end.unwrap_or(slice.len())];
        if !part.is_empty() && std::mem::take(&mut self.carriage_return) {
            self.push(b"\r");
        }
        if part.last() == Some(&b'\r') {
            self.carriage_return = true;
            part = &part[..part.len() - 1];
        }
        self.push(part);
        if end.is_none() && self.length >= MAX_LINE {
            if std::mem::take(&mut self.carriage_return) {
                self.push(b"\r");
            }
            return Some(slice.len());
        }
        end.map(|end| end + 1)
    }

    /// The record and, when something was cut, the gap that says so.
    pub(super) fn finish(self, created: i64) -> Vec<NewRecord> {
        let kept = self.head.len() as u64;
        if self.length == kept {
            let whole = Bytes::from(self.head);
            return if whole.is_empty() { vec![] } else { vec![NewRecord::line(created, whole)] };
        }
        let record = NewRecord {
            time: 0,
            created,
            body: Some(Body::Original(Bytes::from(self.head))),
            length: self.length,
            sha256: Bytes::copy_from_slice(self.digest.finish().as_ref()),
        };
        let detail = format!("a line of {} bytes was cut after {kept}", self.length);
        vec![record, NewRecord::gap(created, Cause::LineCut, 0, self.length - kept, detail)]
    }

    fn push(&mut self, part: &[u8]) {
        let room = MAX_ORIGINAL - self.head.len();
        self.head.extend_from_slice(&part[..part.len().min(room)]);
        self.length += part.len() as u64;
        self.digest.update(part);
    }
}

#[cfg(test)]
mod tests {
    use hengwei_protocol::identity::sha256;

    use super::*;

    const JOINED: Way = Way { form: Form::Joined, all: false, at: 0 };

    fn texts(records: &[NewRecord]) -> Vec<&[u8]> {
        records
            .iter()
            .map(|record| match &record.body {
                Some(Body::Original(bytes)) => &bytes[..],
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_are_cut_at_newlines_only() {
        let check = |input: &[u8], lines: &[&[u8]], taken: usize| {
            for form in [Form::Lines, Form::Joined] {
                let cut = split(&Bytes::copy_from_slice(input), 1, Way { form, ..JOINED });
                assert_eq!((texts(&cut.records), cut.taken), (lines.to_vec(), taken));
            }
        };
        let longest = vec![b'x'; MAX_ORIGINAL];
        check(&[&longest, &b"\r\n"[..]].concat(), &[&longest], SLICE);
        check(b"", &[], 0);
        check(b"half", &[], 0);
        check(b"a\nb\nhalf", &[b"a", b"b"], 4);
        check(b"a\r\n\r\n\nb\r\r\n", &[b"a", b"b\r"], 10);
        check(b"nul\0nul\n\xff\xfe\n", &[b"nul\0nul", b"\xff\xfe"], 11);
        // GB18030: two bytes, and four whose second and fourth are digits.
        check(b"\xb5\xc7\xc2\xbc\x81\x30\x81\x30\r\n", &[b"\xb5\xc7\xc2\xbc\x81\x30\x81\x30"], 10);
    }

    #[test]
    fn lines_that_belong_together_are_one_record() {
        let check = |input: &str, all: bool, lines: &[&str], taken: usize, held: usize| {
            let cut = split(&Bytes::from(input.to_owned()), 1, Way { all, ..JOINED });
            let found: Vec<_> =
                texts(&cut.records).into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(
                (found, cut.taken, cut.held),
                (lines.iter().map(|line| (*line).into()).collect(), taken, held)
            );
        };
        let head = "2026-11-22 08:00:00 failed";
        check(&format!("{head}\n"), false, &[], 0, 27);
        check(&format!("{head}\n"), true, &[head], 27, 0);
        check(&format!("{head}\n\tat a"), false, &[], 0, 27);
        check(
            &format!("{head}\n\tat a\nwords\n"),
            false,
            &[&format!("{head}\n\tat a"), "words"],
            39,
            0,
        );
        check(
            &format!("{head}\n\tat a\n{head}\nhalf"),
            false,
            &[&format!("{head}\n\tat a")],
            33,
            27,
        );
        check(
            &format!("{head}\r\n\tat a\r\n\r\nwords\n"),
            false,
            &[&format!("{head}\n\tat a"), "words"],
            43,
            0,
        );
        // One that fills a slice can't be gone on with.
        let full = format!("{head}\n\tat {}", "x".repeat(SLICE));
        check(&full[..SLICE], false, &[head], 27, 0);
        let lines = rest(format!("{head}\n\tat a\nwords\n{head}\n\tat b").into_bytes(), 1, JOINED);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn short_lines_do_not_fill_memory() {
        let way = Way { all: true, ..JOINED };
        let cut = split(&Bytes::from("x\n".repeat(MAX_LINES + 5)), 1, way);
        assert_eq!((cut.records.len(), cut.taken), (MAX_LINES, MAX_LINES * 2));
    }

    #[test]
    fn a_long_line_keeps_head_length_and_digest() {
        let check = |text: &[u8], ending: &[u8], pieces: usize| {
            let whole = [text, ending, b"next"].concat();
            let mut long = Long::new();
            let mut at = 0;
            let taken = loop {
                let piece = &whole[at..(at + pieces).min(whole.len())];
                match long.feed(piece) {
                    Some(taken) => break at + taken,
                    None => at += piece.len(),
                }
                assert_eq!(long.taken(), at as u64);
            };
            assert_eq!(taken, text.len() + ending.len());
            let records = long.finish(1);
            assert_eq!(texts(&records[..1]), [&text[..MAX_ORIGINAL]]);
            assert_eq!(records[0].length, text.len() as u64);
            assert_eq!(records[0].sha256[..], sha256(text));
            match &records[1].body {
                Some(Body::Gap(gap)) => {
                    assert_eq!(gap.cause, "line-cut");
                    assert_eq!(gap.bytes, (text.len() - MAX_ORIGINAL) as u64);
                }
                other => panic!("{other:?}"),
            }
        };
        let text: Vec<u8> = (0..10 << 20).map(|at| (at % 9) as u8 + b'0').collect();
        check(&text, b"\n", SLICE);
        check(&text, b"\r\n", SLICE);
        // The CR is the last byte of one piece and the LF the first of the next.
        check(&text[..2 * 300_000 - 1], b"\r\n", 300_000);
        let mut inner = text[..1 << 20].to_vec();
        inner[300_000 - 1] = b'\r';
        check(&inner, b"\n", 300_000);
    }

    #[test]
    fn a_line_just_too_long_is_cut_too() {
        let text = vec![b'x'; MAX_ORIGINAL + 1];
        let records = split(&Bytes::from([&text, &b"\n"[..]].concat()), 1, JOINED).records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].length, text.len() as u64);
        assert_eq!(records[0].sha256[..], sha256(&text));
    }

    #[test]
    fn a_line_without_end_is_ended() {
        let piece = vec![0; 1 << 20];
        let mut long = Long::new();
        let mut fed = 1;
        while long.feed(&piece).is_none() {
            fed += 1;
        }
        assert_eq!(fed << 20, MAX_LINE);
    }
}

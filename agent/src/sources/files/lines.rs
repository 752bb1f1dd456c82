//! Bytes of a file into lines.
//!
//! In: a slice of a file that begins at the start of a line, or goes on inside a long one. Out: the
//! finished lines as records and how many bytes they took; what follows the last newline is not
//! taken. A line ends at LF, and one CR right before it belongs to the ending. Neither byte occurs
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
use hengwei_protocol::wire::record::Body;

use crate::sources::NewRecord;

/// One read: a line of the greatest kept length and its ending fit.
pub(super) const SLICE: usize = MAX_ORIGINAL + 2;
/// Where a line without an end is ended.
pub(super) const MAX_LINE: u64 = 64 << 20;
/// Lines in one chunk: bounds the memory of records when lines are short.
pub(super) const MAX_LINES: usize = 4_096;

/// The finished lines at the beginning of `slice`, and the bytes they and their endings take.
pub(super) fn split(slice: &Bytes, created: i64) -> (Vec<NewRecord>, usize) {
    let mut records = Vec::new();
    let mut start = 0;
    while records.len() < MAX_LINES {
        let Some(length) = memchr::memchr(b'\n', &slice[start..]) else { break };
        push_line(&mut records, slice.slice(start..start + length), created);
        start += length + 1;
    }
    (records, start)
}

/// The records of a whole line without its LF: none for an empty one, two for one that is cut.
pub(super) fn line(bytes: Bytes, created: i64) -> Vec<NewRecord> {
    let mut records = Vec::new();
    push_line(&mut records, bytes, created);
    records
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
            let (records, length) = split(&Bytes::copy_from_slice(input), 1);
            assert_eq!((texts(&records), length), (lines.to_vec(), taken));
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
    fn short_lines_do_not_fill_memory() {
        let (records, taken) = split(&Bytes::from("x\n".repeat(MAX_LINES + 5)), 1);
        assert_eq!((records.len(), taken), (MAX_LINES, MAX_LINES * 2));
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
        let (records, _) = split(&Bytes::from([&text, &b"\n"[..]].concat()), 1);
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

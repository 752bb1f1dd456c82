//! The journal's export format, as bytes arrive.
//!
//! In: the standard output of `journalctl --output=export`, in pieces cut anywhere. Out: entries with
//! the fields that are wanted. An entry is a run of fields, each `NAME=value\n` or, for values with
//! newlines or other than text, `NAME\n`, a 64-bit little-endian length, the bytes, `\n`; an empty line
//! ends it. A value longer than is kept is run through: its head, length and digest remain, so that an
//! entry of hundreds of megabytes costs no memory.

use aws_lc_rs::digest;
use hengwei_protocol::limits::MAX_ORIGINAL;

/// The longest name of a field that journald allows, and more.
const MAX_NAME: usize = 256;

/// What journalctl printed is not the export format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a field of the journal has a name of more than {MAX_NAME} bytes")]
    LongName,
    #[error("a binary field of the journal does not end with a newline")]
    NoNewline,
}

/// A field's value, or the head of a long one.
#[derive(Default)]
pub(super) struct Value {
    /// What is kept.
    pub(super) bytes: Vec<u8>,
    /// The length of the whole.
    pub(super) length: u64,
    digest: Option<digest::Context>,
}

impl Value {
    fn push(&mut self, part: &[u8]) {
        let room = MAX_ORIGINAL - self.bytes.len();
        if part.len() > room && self.digest.is_none() {
            let mut digest = digest::Context::new(&digest::SHA256);
            digest.update(&self.bytes);
            self.digest = Some(digest);
        }
        if let Some(digest) = &mut self.digest {
            digest.update(part);
        }
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        self.length += part.len() as u64;
    }

    /// SHA-256 of the whole when only its head is kept.
    pub(super) fn cut(&self) -> Option<[u8; 32]> {
        self.digest.clone()?.finish().as_ref().try_into().ok()
    }

    /// The value as text, when it is.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

/// One entry: the wanted fields, in the order of the list of wanted names.
pub(super) struct Entry {
    wanted: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Entry {
    fn new(wanted: &'static [&'static str]) -> Entry {
        Entry { wanted, values: wanted.iter().map(|_| None).collect() }
    }

    /// The first value of a wanted field.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        let index = self.wanted.iter().position(|wanted| *wanted == name)?;
        self.values[index].as_ref()
    }

    /// The first value of a wanted field, when it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.text()
    }

    fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

enum State {
    Name,
    Text,
    Length { bytes: [u8; 8], have: usize },
    Data { left: u64 },
    End,
}

/// Reads entries from a stream.
pub(super) struct Parser {
    state: State,
    name: Vec<u8>,
    /// The value being read, None while it is one nobody wants.
    value: Option<(usize, Value)>,
    entry: Entry,
}

impl Parser {
    /// A parser that keeps the fields of these names.
    pub(super) fn new(wanted: &'static [&'static str]) -> Parser {
        Parser { state: State::Name, name: Vec::new(), value: None, entry: Entry::new(wanted) }
    }

    /// Takes the next bytes of the stream and hands over each entry they finish.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Entry),
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Name => self.name(bytes, &mut take)?,
                State::Text => self.text(bytes),
                State::Length { .. } => self.length(bytes),
                State::Data { left } => self.data(bytes, left),
                State::End if bytes[0] != b'\n' => return Err(Malformed::NoNewline),
                State::End => {
                    self.store();
                    &bytes[1..]
                }
            };
        }
        Ok(())
    }

    fn name<'a>(
        &mut self,
        bytes: &'a [u8],
        take: &mut impl FnMut(Entry),
    ) -> Result<&'a [u8], Malformed> {
        let end = bytes.iter().position(|byte| matches!(byte, b'=' | b'\n'));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.name.len() + part.len() > MAX_NAME {
            return Err(Malformed::LongName);
        }
        self.name.extend_from_slice(part);
        let Some(end) = end else { return Ok(&[]) };
        if bytes[end] == b'\n' && self.name.is_empty() {
            let fresh = Entry::new(self.entry.wanted);
            let entry = std::mem::replace(&mut self.entry, fresh);
            if !entry.is_empty() {
                take(entry);
            }
        } else {
            let index = self.entry.wanted.iter().position(|name| name.as_bytes() == self.name);
            let index = index.filter(|&index| self.entry.values[index].is_none());
            self.value = index.map(|index| (index, Value::default()));
            self.state = if bytes[end] == b'=' {
                State::Text
            } else {
                State::Length { bytes: [0; 8], have: 0 }
            };
            self.name.clear();
        }
        Ok(&bytes[end + 1..])
    }

    fn text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        self.push(&bytes[..end.unwrap_or(bytes.len())]);
        let Some(end) = end else { return &[] };
        self.store();
        &bytes[end + 1..]
    }

    fn length<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let State::Length { bytes: length, have } = &mut self.state else { return bytes };
        let take = bytes.len().min(length.len() - *have);
        length[*have..*have + take].copy_from_slice(&bytes[..take]);
        *have += take;
        if *have == length.len() {
            self.state = match u64::from_le_bytes(*length) {
                0 => State::End,
                left => State::Data { left },
            };
        }
        &bytes[take..]
    }

    fn data<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.push(&bytes[..take]);
        let left = left - take as u64;
        self.state = if left == 0 { State::End } else { State::Data { left } };
        &bytes[take..]
    }

    fn push(&mut self, part: &[u8]) {
        if let Some((_, value)) = &mut self.value {
            value.push(part);
        }
    }

    fn store(&mut self) {
        if let Some((index, value)) = self.value.take() {
            self.entry.values[index] = Some(value);
        }
        self.state = State::Name;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &["__CURSOR", "MESSAGE", "_PID"];

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    #[test]
    fn entries_come_whole_however_the_stream_is_cut() {
        let stream = [
            b"\n__CURSOR=a\nIGNORED=x\nMESSAGE=one=1\n_PID=7\n\n".to_vec(),
            b"__CURSOR=b\n".to_vec(),
            binary("MESSAGE", b"two\nlines\n\n\xff"),
            binary("IGNORED", b"__CURSOR=z\n\n"),
            binary("_PID", b""),
            b"\n\n__CURSOR=c\nMESSAGE=first\nMESSAGE=second\n\n__CURSOR=unfinished\n".to_vec(),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 64, stream.len()] {
            let mut parser = Parser::new(WANTED);
            let mut entries = Vec::new();
            for bytes in stream.chunks(piece) {
                parser.feed(bytes, |entry| entries.push(entry)).unwrap();
            }
            let got: Vec<[Option<&[u8]>; 3]> = entries
                .iter()
                .map(|entry| {
                    ["__CURSOR", "MESSAGE", "_PID"]
                        .map(|name| entry.value(name).map(|value| &value.bytes[..]))
                })
                .collect();
            let expected: [[Option<&[u8]>; 3]; 3] = [
                [Some(b"a"), Some(b"one=1"), Some(b"7")],
                [Some(b"b"), Some(b"two\nlines\n\n\xff"), Some(b"")],
                [Some(b"c"), Some(b"first"), None],
            ];
            assert_eq!(got, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_huge_value_keeps_head_length_and_digest() {
        let text = vec![b'm'; (10 << 20) + 1];
        let check = |stream: &[u8]| {
            let mut parser = Parser::new(WANTED);
            let mut entries = Vec::new();
            for bytes in stream.chunks(64 << 10) {
                parser.feed(bytes, |entry| entries.push(entry)).unwrap();
            }
            let value = entries[0].value("MESSAGE").unwrap();
            assert_eq!(value.bytes, text[..MAX_ORIGINAL]);
            assert_eq!(value.length, text.len() as u64);
            assert_eq!(value.cut(), Some(hengwei_protocol::identity::sha256(&text)));
        };
        check(&[&binary("MESSAGE", &text)[..], b"\n"].concat());
        check(&[b"MESSAGE=", &text[..], b"\n\n"].concat());
    }

    #[test]
    fn what_is_not_the_format_is_an_error() {
        let check = |stream: &[u8], error: Malformed| {
            let mut parser = Parser::new(WANTED);
            assert_eq!(parser.feed(stream, |_| {}), Err(error));
        };
        check(&[b'x'; MAX_NAME + 1], Malformed::LongName);
        check(b"MESSAGE\n\x01\0\0\0\0\0\0\0xx", Malformed::NoNewline);
    }
}

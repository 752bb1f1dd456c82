//! Parts: the pieces a segment is made of, each checked and packed by itself.
//!
//! ```text
//! part  "HWPT" | kind u32 | stored length u32 | length u32 | CRC32 u32 | bytes
//! ```
//!
//! Little-endian. Where both lengths are the same the bytes are as they were given (a filter, a text
//! column, which packs itself), else they are zstd. The CRC is over everything else. So a flipped
//! bit costs one part, and parts can be found by walking when what lists them is damaged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::history::stored::Part;

const MAGIC: &[u8; 4] = b"HWPT";
pub(super) const HEADER: usize = 20;
/// The longest part, packed or not: far above what sealing makes, far below what a length can claim.
const MAX_PART: usize = 1 << 30;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::history) enum Kind {
    /// Which records in which order: `stripe::Structure`.
    Structure,
    /// Streams, numbers, times: `rows::Heads`.
    Heads,
    /// Originals: a text column.
    Originals,
    /// Originals that are no UTF-8, so that their text is not their bytes: a text column.
    Converted,
    /// Shapes and short columns of typed records: `fields::Columns`.
    Fields,
    /// A long column of texts of typed records: a text column.
    FieldTexts,
    /// Records that fit in no column, whole.
    Odd,
    /// The tokens of the block: `filter`.
    Filter,
}

const KINDS: [Kind; 8] = [
    Kind::Structure,
    Kind::Heads,
    Kind::Originals,
    Kind::Converted,
    Kind::Fields,
    Kind::FieldTexts,
    Kind::Odd,
    Kind::Filter,
];

impl Kind {
    pub(in crate::history) const fn number(self) -> u32 {
        self as u32 + 1
    }

    pub(super) fn from_number(number: u32) -> Option<Kind> {
        KINDS.into_iter().find(|kind| kind.number() == number)
    }
}

/// Appends a part that packs itself.
pub(super) fn put_plain(to: &mut Vec<u8>, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    put_bytes(to, kind, bytes, bytes.len())
}

/// Appends a part, packed where that makes it shorter.
pub(super) fn put(to: &mut Vec<u8>, kind: Kind, bytes: &[u8], level: i32) -> io::Result<()> {
    let packed = zstd::bulk::compress(bytes, level)?;
    let shorter = packed.len() < bytes.len();
    put_bytes(to, kind, if shorter { &packed } else { bytes }, bytes.len())
}

fn put_bytes(to: &mut Vec<u8>, kind: Kind, stored: &[u8], len: usize) -> io::Result<()> {
    if len > MAX_PART {
        return Err(io::Error::other(format!("a part of {len} bytes, {MAX_PART} are the most")));
    }
    let word = |len: usize| u32::try_from(len).expect("bounded just above").to_le_bytes();
    let at = to.len();
    to.extend_from_slice(MAGIC);
    to.extend_from_slice(&kind.number().to_le_bytes());
    to.extend_from_slice(&word(stored.len()));
    to.extend_from_slice(&word(len));
    let crc = crc(&to[at + 4..], stored);
    to.extend_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(stored);
    Ok(())
}

fn crc(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

/// A part's header: kind, stored length, length.
pub(super) fn header(bytes: &[u8]) -> Option<(Kind, usize, usize)> {
    let header = bytes.get(..HEADER)?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| header[at + n]));
    let (stored, len) = (word(8) as usize, word(12) as usize);
    let known = &header[..4] == MAGIC && stored <= len && len <= MAX_PART;
    Some((Kind::from_number(word(4))?, stored, len)).filter(|_| known)
}

/// The whole part at the beginning of `bytes`, when it is a good one, and how long it is there.
pub(super) fn check(bytes: &[u8]) -> Option<(Kind, usize)> {
    let (kind, stored, _) = header(bytes)?;
    let body = bytes.get(HEADER..HEADER + stored)?;
    let good = crc(&bytes[4..16], body).to_le_bytes() == bytes[16..HEADER];
    good.then_some((kind, HEADER + stored))
}

/// Where the next part may begin in `bytes`.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, MAGIC)
}

/// Reads a part that lies at `offset` of a file and is `len` bytes there.
pub(in crate::history) fn read(
    file: &File,
    offset: u64,
    len: u64,
    kind: Kind,
) -> io::Result<Bytes> {
    let len = usize::try_from(len).ok().filter(|len| (HEADER..=MAX_PART).contains(len));
    let mut bytes = vec![0u8; len.ok_or_else(|| io::Error::other("a part of no length"))?];
    file.read_exact_at(&mut bytes, offset)?;
    if check(&bytes) != Some((kind, bytes.len())) {
        return Err(io::Error::other("a damaged part"));
    }
    let (_, stored, len) = header(&bytes).ok_or_else(|| io::Error::other("a damaged part"))?;
    let bytes = Bytes::from(bytes).slice(HEADER..);
    if stored == len {
        return Ok(bytes);
    }
    hengwei_protocol::block::decompress(&bytes, len).map_err(io::Error::other)
}

/// Where the bytes of a part that packs itself lie in the file, and how many they are.
pub(in crate::history) fn plain(base: u64, part: &Part) -> io::Result<(u64, u64)> {
    let place = base.checked_add(part.offset).zip(part.len.checked_sub(HEADER as u64));
    let place = place.and_then(|(at, len)| Some((at.checked_add(HEADER as u64)?, len)));
    place.ok_or_else(|| io::Error::other("a part of no length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_reads_back_and_no_flipped_bit_passes() {
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::Heads, &[7; 1000], 3).expect("packs");
        let first = bytes.len();
        assert!(first < 100, "{first}");
        put_plain(&mut bytes, Kind::Filter, b"filter").expect("puts");
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&bytes, 5).expect("writes");
        let len = first as u64;
        assert_eq!(read(&file, 5, len, Kind::Heads).expect("reads"), vec![7; 1000]);
        let rest = bytes.len() as u64 - len;
        assert_eq!(&read(&file, 5 + len, rest, Kind::Filter).expect("reads")[..], b"filter");
        assert!(read(&file, 5, len, Kind::Odd).is_err());
        for at in 0..first * 8 {
            let mut flipped = bytes[..first].to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(check(&flipped), None, "bit {at}");
        }
    }
}

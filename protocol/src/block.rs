//! Packing records into a batch's block and unpacking one that a stranger sent.
//!
//! Unpacking trusts nothing: the declared length is checked before memory is taken, the
//! decompressor writes into exactly that much, what the block holds is counted before it is decoded,
//! and every record is checked before it is returned.

use bytes::Bytes;
use prost::Message;

use crate::scan::{self, Malformed};
use crate::wire::{Batch, Block};
use crate::{Kind, limits, record};

/// zstd level of a block: the cheapest that still halves text several times over.
const LEVEL: i32 = 1;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Longer than [`limits`] allow, compressed or not, or not as long as it said.
    #[error("block of {0}")]
    Bomb(String),
    /// No block of ours.
    #[error("malformed block: {0}")]
    Malformed(String),
    /// The numbers inside are not `first`, `first + 1`, … up to `span`.
    #[error("the numbers of a batch are not contiguous at {0}")]
    Hole(u64),
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Error {
        Error::Malformed("bytes that are no message".to_owned())
    }
}

/// Packs a block into a batch. The records must be numbered without a hole, and the encoded block
/// must keep [`limits::MAX_BLOCK`].
pub fn pack(kind: Kind, epoch: Bytes, block: &Block) -> std::io::Result<Batch> {
    let raw = block.encode_to_vec();
    let first = block.records.first().map_or(0, |record| record.number);
    let span = block.records.iter().map(record::span).sum();
    Ok(Batch {
        kind: kind.into(),
        epoch,
        first,
        span,
        raw_len: raw.len() as u64,
        block: zstd::bulk::compress(&raw, LEVEL)?.into(),
    })
}

/// Unpacks a batch and checks every limit and number in it.
pub fn unpack(batch: &Batch) -> Result<Block, Error> {
    if batch.block.len() > limits::MAX_BLOCK_COMPRESSED {
        return Err(Error::Bomb(format!("{} compressed bytes", batch.block.len())));
    }
    let len = usize::try_from(batch.raw_len).unwrap_or(usize::MAX);
    if len > limits::MAX_BLOCK {
        return Err(Error::Bomb(format!("{} bytes", batch.raw_len)));
    }
    let raw = decompress(&batch.block, len)?;
    count(&raw)?;
    let block = Block::decode(raw).map_err(|error| Error::Malformed(error.to_string()))?;
    check(batch, &block)?;
    Ok(block)
}

/// Decompresses exactly `len` bytes, which the caller has bounded.
pub fn decompress(compressed: &[u8], len: usize) -> Result<Bytes, Error> {
    let raw = zstd::bulk::decompress(compressed, len).map_err(|error| {
        Error::Bomb(format!("more than the {len} bytes it said, or no zstd: {error}"))
    })?;
    if raw.len() != len {
        return Err(Error::Bomb(format!("{} bytes that said {len}", raw.len())));
    }
    Ok(raw.into())
}

/// Refuses a block of more origins, records or fields than there may be, before it is decoded: each
/// costs two bytes on the wire, and a hundred times that in memory.
fn count(raw: &[u8]) -> Result<(), Error> {
    // Field numbers of the schema.
    const ORIGINS: u64 = 1;
    const RECORDS: u64 = 2;
    const RECORD_FIELDS: u64 = 6;
    const FIELD: u64 = 1;
    let (mut origins, mut records, mut all) = (0usize, 0usize, 0usize);
    scan::fields(raw, |number, content| {
        let Some(content) = content else { return Ok(()) };
        origins += usize::from(number == ORIGINS);
        records += usize::from(number == RECORDS);
        let mut own = 0usize;
        if number == RECORDS {
            scan::fields(content, |number, content| match content {
                Some(content) if number == RECORD_FIELDS => {
                    scan::fields::<Malformed>(content, |number, _| {
                        own += usize::from(number == FIELD);
                        Ok(())
                    })
                }
                _ => Ok(()),
            })?;
        }
        all += own;
        if origins > limits::MAX_ORIGINS || records > limits::MAX_RECORDS {
            return Err(Error::Malformed("too many records or origins".to_owned()));
        }
        if own > limits::MAX_FIELDS || all > limits::MAX_BLOCK_FIELDS {
            return Err(Error::Malformed("too many fields".to_owned()));
        }
        Ok(())
    })
}

fn check(batch: &Batch, block: &Block) -> Result<(), Error> {
    let malformed = |text: &str| Err(Error::Malformed(text.to_owned()));
    for origin in &block.origins {
        if [&origin.source, &origin.path, &origin.dataset, &origin.charset]
            .iter()
            .any(|text| text.len() > limits::MAX_NAME)
        {
            return malformed("an origin's name is too long");
        }
    }
    let mut next = batch.first;
    for record in &block.records {
        if record.number != next {
            return Err(Error::Hole(next));
        }
        if record.origin as usize >= block.origins.len() {
            return malformed("a record of no origin");
        }
        record::check(record).map_err(|text| Error::Malformed(text.to_owned()))?;
        next = record::next(record).expect("checked just above");
    }
    if next - batch.first != batch.span {
        return Err(Error::Hole(next));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Gap, Origin, Record, record::Body};
    use proptest::prelude::*;

    fn line(number: u64, text: &str) -> Record {
        Record { number, body: Some(Body::Original(text.to_owned().into())), ..Record::default() }
    }

    fn block(records: Vec<Record>) -> Block {
        Block { origins: vec![Origin { source: "files".into(), ..Origin::default() }], records }
    }

    fn batch(records: Vec<Record>) -> Batch {
        pack(Kind::Log, Bytes::from_static(&[1; 16]), &block(records)).expect("packs")
    }

    #[test]
    fn a_batch_unpacks_to_what_was_packed() {
        let records = vec![
            line(5, "a"),
            Record {
                number: 6,
                body: Some(Body::Gap(Gap { span: 4, ..Gap::default() })),
                ..Record::default()
            },
            line(10, "b"),
        ];
        let batch = batch(records.clone());
        assert_eq!((batch.first, batch.span), (5, 6));
        assert_eq!(unpack(&batch).expect("unpacks").records, records);
    }

    #[test]
    fn a_hole_is_named() {
        let holed = batch(vec![line(5, "a"), line(7, "b")]);
        assert!(matches!(unpack(&holed), Err(Error::Hole(6))), "{:?}", unpack(&holed));
        let mut short = batch(vec![line(5, "a")]);
        short.span = 2;
        assert!(matches!(unpack(&short), Err(Error::Hole(6))));
    }

    #[test]
    fn a_bomb_costs_no_more_than_it_said() {
        let zeros = vec![0u8; limits::MAX_BLOCK + 1];
        let block: Bytes = zstd::bulk::compress(&zeros, 1).expect("compresses").into();
        for raw_len in [10, limits::MAX_BLOCK as u64, limits::MAX_BLOCK as u64 + 1, u64::MAX] {
            let bomb = Batch { block: block.clone(), raw_len, ..Batch::default() };
            assert!(matches!(unpack(&bomb), Err(Error::Bomb(_))), "{raw_len}");
        }
    }

    /// A batch of an encoded block, whatever it is.
    fn raw(raw: &[u8]) -> Batch {
        let block = zstd::bulk::compress(raw, 1).expect("compresses").into();
        Batch { block, raw_len: raw.len() as u64, ..Batch::default() }
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_counted_first() {
        let check = |bytes: &[u8], expected: &str| match count(bytes) {
            Err(Error::Malformed(text)) => assert_eq!(text, expected),
            other => panic!("{other:?}"),
        };
        let (origin, record) = ([0x0a, 0], [0x12, 0]);
        check(&origin.repeat(limits::MAX_ORIGINS + 1), "too many records or origins");
        check(&record.repeat(limits::MAX_RECORDS + 1), "too many records or origins");
        assert!(count(&record.repeat(limits::MAX_RECORDS)).is_ok());
        // Fields in one piece, and in pieces that the decoder would merge.
        let fields = |pieces: usize, of: usize| {
            let block = Block { records: vec![Record::default()], ..Block::default() };
            let piece = Record {
                body: Some(Body::Fields(crate::wire::Fields {
                    fields: vec![Default::default(); of],
                })),
                ..Record::default()
            };
            assert_eq!(block.encode_to_vec(), record);
            let pieces = piece.encode_to_vec().repeat(pieces);
            let mut bytes = vec![0x12];
            prost::encoding::encode_varint(pieces.len() as u64, &mut bytes);
            bytes.extend(pieces);
            bytes
        };
        assert!(count(&fields(1, limits::MAX_FIELDS)).is_ok());
        check(&fields(1, limits::MAX_FIELDS + 1), "too many fields");
        check(&fields(limits::MAX_FIELDS + 1, 1), "too many fields");
        let full = limits::MAX_BLOCK_FIELDS / limits::MAX_FIELDS;
        assert!(count(&fields(1, limits::MAX_FIELDS).repeat(full)).is_ok());
        check(&fields(1, limits::MAX_FIELDS).repeat(full + 1), "too many fields");
        // As it would come: 32 MiB of nothing, in a few kilobytes.
        let bomb = raw(&record.repeat(limits::MAX_BLOCK / 2));
        assert!(bomb.block.len() < 64 << 10, "{}", bomb.block.len());
        assert!(matches!(unpack(&bomb), Err(Error::Malformed(_))));
    }

    #[test]
    fn a_record_of_no_origin_is_malformed() {
        let stray = batch(vec![Record { origin: 1, ..line(1, "a") }]);
        assert!(matches!(unpack(&stray), Err(Error::Malformed(_))));
    }

    proptest! {
        #[test]
        fn bytes_of_a_stranger_never_panic(block in prop::collection::vec(any::<u8>(), 0..200), first: u64, span: u64, raw_len in 0u64..1000) {
            let raw = Batch { first, span, raw_len, block: zstd::bulk::compress(&block, 1).expect("compresses").into(), ..Batch::default() };
            let _ = unpack(&raw);
            let _ = unpack(&Batch { raw_len: block.len() as u64, ..raw.clone() });
            let _ = unpack(&Batch { block: block.into(), ..raw });
        }
    }
}

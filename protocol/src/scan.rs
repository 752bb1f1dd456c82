//! The fields of an encoded message, looked at without decoding it.
//!
//! Two bytes on the wire can become hundreds in memory (an empty record, an empty field), so what a
//! stranger sent is counted here before the decoder may take memory for it. Nothing is allocated and
//! nothing is copied.

/// Bytes that are no encoded message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Shows each field of a message, its number and, when it is length-delimited, its bytes (none for
/// a plain number). Ends at the first that does not read, or with what `see` says.
pub(crate) fn fields<'a, E: From<Malformed>>(
    mut bytes: &'a [u8],
    mut see: impl FnMut(u64, Option<&'a [u8]>) -> Result<(), E>,
) -> Result<(), E> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let content = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                None
            }
            1 => {
                take(&mut bytes, 8)?;
                None
            }
            2 => {
                let len = varint(&mut bytes)?;
                Some(take(&mut bytes, usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => {
                take(&mut bytes, 4)?;
                None
            }
            // Groups, which no message of ours has, and what is no wire type.
            _ => return Err(Malformed.into()),
        };
        see(key >> 3, content)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    prost::encoding::decode_varint(bytes).map_err(|_| Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Gap, Record, record::Body};
    use prost::Message;

    #[test]
    fn fields_are_those_the_decoder_sees() {
        let record = Record {
            number: 300,
            created: -1,
            body: Some(Body::Gap(Gap { cause: "spool-full".into(), ..Gap::default() })),
            ..Record::default()
        };
        let mut seen = Vec::new();
        let bytes = record.encode_to_vec();
        let walked = fields::<Malformed>(&bytes, |number, content| {
            seen.push((number, content.map(<[u8]>::len)));
            Ok(())
        });
        assert_eq!(walked, Ok(()));
        assert_eq!(seen, [(1, None), (4, None), (7, Some(12))]);
    }

    #[test]
    fn what_does_not_read_is_malformed() {
        for bytes in [&[0x0a][..], &[0x0a, 2, 1], &[0x0b], &[0x09, 0], &[0x80], &[0x0f]] {
            assert_eq!(fields::<Malformed>(bytes, |_, _| Ok(())), Err(Malformed), "{bytes:?}");
        }
    }
}

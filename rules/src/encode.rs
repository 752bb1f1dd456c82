//! What the encoding modifiers make of a value: UTF-16 in its forms, Base64 whole and at its three
//! offsets, and the permutations of dashes where an encoding follows `windash`.

use crate::pattern::{DASHES, Piece};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Byte order of UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `wide`, `utf16le`, and `utf16` behind its mark.
    Little,
    /// `utf16be`.
    Big,
}

/// Text as UTF-16 bytes.
pub(crate) fn utf16(text: &str, order: Order) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| match order {
            Order::Little => unit.to_le_bytes(),
            Order::Big => unit.to_be_bytes(),
        })
        .collect()
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                let index = (group >> (18 - 6 * position)) & 0x3f;
                out.push(char::from(ALPHABET[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The part that stays the same wherever the bytes lie in a longer Base64 text, for each of the
/// three offsets: characters that also hold bits of a neighbour are cut off.
pub(crate) fn base64_offsets(bytes: &[u8]) -> [String; 3] {
    [0, 1, 2].map(|offset| {
        let mut shifted = vec![b' '; offset];
        shifted.extend_from_slice(bytes);
        let encoded = base64(&shifted);
        let start = [0, 2, 3][offset];
        let end = encoded.len() - [0, 3, 2][shifted.len() % 3];
        encoded.get(start..end).unwrap_or_default().to_owned()
    })
}

/// Every way to write the dashes among `pieces`, or none when there are more than `max`.
pub(crate) fn permutations(pieces: &[Piece], max: usize) -> Option<Vec<Vec<Piece>>> {
    let mut all = vec![Vec::new()];
    for piece in pieces {
        let choices: Vec<Piece> = match piece {
            Piece::Dash => DASHES.iter().map(|dash| Piece::Text(dash.to_string())).collect(),
            other => vec![other.clone()],
        };
        if all.len() * choices.len() > max {
            return None;
        }
        all = all
            .iter()
            .flat_map(|begun: &Vec<Piece>| {
                choices.iter().map(|choice| {
                    let mut one = begun.clone();
                    one.push(choice.clone());
                    one
                })
            })
            .collect();
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn an_offset_form_is_found_wherever_the_value_lies() {
        for value in ["/bin/sh", "http://", "foobar", "ab", "衡卫"] {
            let forms = base64_offsets(value.as_bytes());
            for before in ["", "x", "xy", "xyz", "wxyz"] {
                for after in ["", "1", "12", "123"] {
                    let whole = base64(format!("{before}{value}{after}").as_bytes());
                    assert!(
                        whole.contains(&forms[before.len() % 3]),
                        "{value} after {before:?} before {after:?}: {whole} lacks {forms:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn utf16_in_both_orders() {
        assert_eq!(utf16("cmd", Order::Little), [0x63, 0, 0x6d, 0, 0x64, 0]);
        assert_eq!(utf16("cmd", Order::Big), [0, 0x63, 0, 0x6d, 0, 0x64]);
    }

    #[test]
    fn dashes_multiply_up_to_a_limit() {
        let pieces = [Piece::Dash, Piece::Text("a".into()), Piece::Dash];
        assert_eq!(permutations(&pieces, 25).unwrap().len(), 25);
        assert_eq!(permutations(&pieces, 24), None);
    }
}

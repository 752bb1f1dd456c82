//! Aliases of YAML, which repeat what an anchor stands before: a few of a few make much of little.
//!
//! In: the text of one document. Out: whether what it becomes with every alias written out stays
//! within bounds. It is counted, not built.

use std::cell::Cell;
use std::fmt;

use serde::de::VariantAccess as _;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// Keys, values, lists and maps of a document with aliases in it.
const MAX_NODES: usize = 100_000;

/// Whether aliases may be in a text: something looks like an anchor, and something like an alias.
pub(super) fn may_be_in(chunk: &str) -> bool {
    let has = |sign: u8| {
        chunk.as_bytes().windows(2).enumerate().any(|(at, pair)| {
            let before = at.checked_sub(1).and_then(|before| chunk.as_bytes().get(before));
            pair[0] == sign
                && (pair[1].is_ascii_alphanumeric() || b"_-".contains(&pair[1]))
                && before.is_none_or(|byte| byte.is_ascii_whitespace() || b"[{,:-".contains(byte))
        })
    };
    has(b'&') && has(b'*')
}

/// Refuses a document that becomes too much.
pub(super) fn check(chunk: &str) -> Result<(), String> {
    let left = Cell::new(MAX_NODES);
    // One document, as the reader takes one.
    let Some(document) = yaml_serde::Deserializer::from_str(chunk).next() else { return Ok(()) };
    match Node(&left).deserialize(document) {
        Err(_) if left.get() == 0 => {
            Err(format!("YAML: with its aliases more than {MAX_NODES} values"))
        }
        // What else is wrong with it is said by the reader.
        _ => Ok(()),
    }
}

/// Counts a value and all in it.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Cell<usize>);

impl Node<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        match self.0.get().checked_sub(1) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(E::custom("too many")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let ((), variant) = tagged.variant_seed(self)?;
        variant.newtype_variant_seed(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_counted_as_often_as_they_stand() {
        let with = |values: usize, aliases: usize| {
            let values = vec!["x"; values].join(", ");
            let aliases = vec!["*a"; aliases].join(", ");
            format!("b: &a [{values}]\nc: [{aliases}]\n")
        };
        for (text, expected) in [
            (with(10, 10), Ok(())),
            (with(300, 300), Ok(())),
            (with(400, 400), Err(())),
            ("a: &b {c: d}\ne: *b\n".to_owned(), Ok(())),
            ("a: &b [*b]\n".to_owned(), Ok(())),
            ("a: &a !x [y]\nb: *a\nc: 'cmd &a *b'\n".to_owned(), Ok(())),
            ("a: &a x\nb: !z *a\n".to_owned(), Ok(())),
        ] {
            assert!(may_be_in(&text), "{text}");
            assert_eq!(check(&text).map_err(drop), expected, "{}", text.len());
        }
    }

    #[test]
    fn a_rule_without_anchors_is_not_counted() {
        for text in ["a: '*x*'\nb: x && y\n", "a: '&x'\n", "a: x&y\nb: x*y\n"] {
            assert!(!may_be_in(text), "{text}");
        }
    }
}

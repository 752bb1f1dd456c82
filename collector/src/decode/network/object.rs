//! JSON objects of security platforms, whose keys are an appliance's.

use std::borrow::Cow;

use super::{Dialect, Facts};
use crate::decode::json::{self, Scalar};
use crate::decode::out::Out;
use crate::decode::pairs::Pair;

/// Values of one object.
const MAX_VALUES: usize = 256;

/// Reads an object's top-level values as pairs.
pub(crate) fn read_object(body: &str, kind: &str, dialect: Dialect, out: &mut Out) -> bool {
    let mut values: Vec<(String, String)> = Vec::new();
    let read = json::each(body, out, &mut |path, value, _| {
        if values.len() >= MAX_VALUES {
            return;
        }
        let text: Cow<'_, str> = match value {
            Scalar::Text(text) => text.into(),
            Scalar::Integer(integer) => integer.to_string().into(),
            Scalar::Large(integer) => integer.to_string().into(),
            Scalar::Number(number) => number.to_string().into(),
            Scalar::Flag(flag) => flag.to_string().into(),
        };
        values.push((path.to_owned(), text.into_owned()));
    });
    if !read {
        return false;
    }
    let mut facts = Facts::new(dialect);
    facts.set_kind(kind);
    for (key, value) in &values {
        facts.take(Pair { key, value, escaped: false }, out);
    }
    facts.conclude(out);
    true
}

//! Typed records by column: which fields a record has (its shape), and each field's values one
//! after the other, packed as their type allows.
//!
//! A field's texts go into a text column of their own when there is enough of them to pay for it;
//! short ones stay together in the part that has the shapes.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use hengwei_protocol::limits;
use hengwei_protocol::wire::{Field, Fields, field::Value};
use prost::Message;

use super::series::Series;
use crate::history::text::{self, Effort};
use crate::history::tokens;

/// Texts of one field below this many bytes stay with the shapes.
const SHORT: usize = 4 << 10;
/// Values of one text column.
const MAX_VALUES: usize = 65_536;
/// Bytes of one text column.
const MAX_BYTES: usize = 8 << 20;

/// Values of one field in one block: more than the bytes of a block can hold.
const MAX_COLUMN: usize = 8 << 20;

const NONE: u32 = 0;
const TEXT: u32 = 1;
const INTEGER: u32 = 2;
const NUMBER: u32 = 3;
const FLAG: u32 = 4;

#[derive(Clone, PartialEq, prost::Message)]
struct Columns {
    #[prost(message, repeated, tag = "1")]
    shapes: Vec<Shape>,
    /// The shape of each record.
    #[prost(message, optional, tag = "2")]
    shape_of: Option<Series>,
    #[prost(message, repeated, tag = "3")]
    columns: Vec<Column>,
}

/// The fields of a record in their order, as indexes of columns.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
struct Shape {
    #[prost(uint32, repeated, tag = "1")]
    columns: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Column {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint64, tag = "3")]
    count: u64,
    #[prost(string, repeated, tag = "4")]
    texts: Vec<String>,
    /// Text columns that follow, in place of `texts`.
    #[prost(uint32, tag = "5")]
    parts: u32,
    #[prost(message, optional, tag = "6")]
    integers: Option<Series>,
    /// Numbers and flags, byte by byte of each.
    #[prost(bytes = "vec", tag = "7")]
    planes: Vec<u8>,
}

/// Typed records, packed.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// For the part `Fields`.
    pub(super) columns: Vec<u8>,
    /// For parts `FieldTexts`, in this order.
    pub(super) texts: Vec<Vec<u8>>,
}

/// Packs typed records, and shows the hash of every token of their values.
pub(super) fn pack(records: &[&Fields], effort: Effort, token: &mut dyn FnMut(u64)) -> Packed {
    let mut found: HashMap<(&str, u32), u32> = HashMap::new();
    let mut values: Vec<(&str, u32, Vec<&Field>)> = Vec::new();
    let mut shapes: HashMap<Shape, i64> = HashMap::new();
    let mut message = Columns::default();
    let mut shape_of = Vec::with_capacity(records.len());
    for record in records {
        let mut shape = Shape::default();
        for field in &record.fields {
            let kind = kind_of(field);
            let column = *found.entry((&field.name, kind)).or_insert_with(|| {
                values.push((&field.name, kind, Vec::new()));
                index(values.len() - 1)
            });
            values[column as usize].2.push(field);
            shape.columns.push(column);
        }
        let next = shapes.len() as i64;
        let shape = *shapes.entry(shape).or_insert_with_key(|shape| {
            message.shapes.push(shape.clone());
            next
        });
        shape_of.push(shape);
    }
    message.shape_of = Some(Series::of(shape_of));
    let mut packed = Packed::default();
    for (name, kind, fields) in values {
        let column = column(name, kind, &fields, effort, &mut packed.texts, token);
        message.columns.push(column);
    }
    packed.columns = message.encode_to_vec();
    packed
}

/// Shows the hash of every token of a record's values, for one that gets no columns.
pub(super) fn tokens_of(record: &Fields, token: &mut dyn FnMut(u64)) {
    let mut add = |text: &str| tokens::each(text.as_bytes(), &mut |t| token(tokens::hash(t)));
    for value in record.fields.iter().filter_map(|field| field.value.as_ref()) {
        match value {
            Value::Text(text) => add(text),
            Value::Integer(integer) => add(&integer.to_string()),
            Value::Number(number) => add(&number.to_string()),
            Value::Flag(flag) => add(&flag.to_string()),
        }
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("a block has fewer fields than that")
}

fn kind_of(field: &Field) -> u32 {
    match field.value {
        None => NONE,
        Some(Value::Text(_)) => TEXT,
        Some(Value::Integer(_)) => INTEGER,
        Some(Value::Number(_)) => NUMBER,
        Some(Value::Flag(_)) => FLAG,
    }
}

fn column(
    name: &str,
    kind: u32,
    fields: &[&Field],
    effort: Effort,
    texts: &mut Vec<Vec<u8>>,
    token: &mut dyn FnMut(u64),
) -> Column {
    let mut column =
        Column { name: name.to_owned(), kind, count: fields.len() as u64, ..Column::default() };
    let mut tokens = |text: &str| tokens::each(text.as_bytes(), &mut |t| token(tokens::hash(t)));
    let each = fields.iter().filter_map(|field| field.value.as_ref());
    match kind {
        TEXT => {
            let values: Vec<&str> = each
                .filter_map(|value| match value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            if values.iter().map(|text| text.len()).sum::<usize>() < SHORT {
                values.iter().for_each(|text| tokens(text));
                column.texts = values.into_iter().map(str::to_owned).collect();
                return column;
            }
            for run in runs(&values) {
                let bytes: Vec<&[u8]> = run.iter().map(|text| text.as_bytes()).collect();
                let packed = text::pack(&bytes, effort);
                packed.tokens.iter().for_each(|hash| token(*hash));
                texts.push(packed.bytes);
                column.parts += 1;
            }
        }
        INTEGER => {
            let values: Vec<i64> = each
                .filter_map(|value| match value {
                    Value::Integer(integer) => Some(*integer),
                    _ => None,
                })
                .collect();
            let mut last = None;
            for value in &values {
                if last.replace(*value) != Some(*value) {
                    tokens(&value.to_string());
                }
            }
            column.integers = Some(Series::of(values));
        }
        NUMBER => {
            let mut bits = Vec::with_capacity(fields.len());
            for value in each {
                if let Value::Number(number) = value {
                    tokens(&number.to_string());
                    bits.push(number.to_bits());
                }
            }
            column.planes = planes(&bits);
        }
        FLAG => {
            let flag = |value: &Value| matches!(value, Value::Flag(true));
            column.planes = each.map(|value| u8::from(flag(value))).collect();
            tokens("true false");
        }
        _ => {}
    }
    column
}

/// Cuts texts into runs that a text column takes.
fn runs<'a, 'b>(values: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    let mut runs = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, text) in values.iter().enumerate() {
        if at > from && (at - from == MAX_VALUES || bytes + text.len() > MAX_BYTES) {
            runs.push(&values[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += text.len();
    }
    runs.push(&values[from..]);
    runs
}

/// The first bytes of all, then the second ones: what is alike in numbers that are near each other
/// comes to lie together.
fn planes(bits: &[u64]) -> Vec<u8> {
    (0..8).flat_map(|byte| bits.iter().map(move |bits| bits.to_be_bytes()[byte])).collect()
}

/// Unpacks `count` typed records; `texts` are the text columns in their order.
pub(super) fn read(columns: &[u8], texts: &[Bytes], count: usize) -> io::Result<Vec<Fields>> {
    let wrong = || io::Error::other("typed records that do not fit together");
    let message = Columns::decode(columns).map_err(io::Error::other)?;
    let mut texts = texts.iter();
    let mut values: Vec<std::vec::IntoIter<Field>> = Vec::with_capacity(message.columns.len());
    for column in message.columns {
        let count = usize::try_from(column.count).map_err(|_| wrong())?;
        if count > MAX_COLUMN {
            return Err(wrong());
        }
        let own: Vec<&Bytes> = texts.by_ref().take(column.parts as usize).collect();
        let fields = column_values(column, &own, count)?;
        values.push(fields.into_iter());
    }
    let shape_of = message.shape_of.unwrap_or_default().read(count)?;
    let mut records = Vec::with_capacity(count);
    for shape in shape_of {
        let shape = usize::try_from(shape).ok().and_then(|shape| message.shapes.get(shape));
        let columns = &shape.ok_or_else(wrong)?.columns;
        let mut fields = Vec::with_capacity(columns.len().min(limits::MAX_FIELDS));
        for column in columns {
            let value = values.get_mut(*column as usize).and_then(Iterator::next);
            fields.push(value.ok_or_else(wrong)?);
        }
        records.push(Fields { fields });
    }
    Ok(records)
}

fn column_values(column: Column, parts: &[&Bytes], count: usize) -> io::Result<Vec<Field>> {
    let wrong = || io::Error::other("a column of typed records that does not fit");
    let Column { name, kind, texts, integers, planes, .. } = column;
    let field = |value| Field { name: name.clone(), value };
    let fields: Vec<Field> = match kind {
        TEXT if parts.is_empty() => {
            texts.into_iter().map(|text| field(Some(Value::Text(text)))).collect()
        }
        TEXT => {
            let mut fields = Vec::new();
            let mut all_text = true;
            for part in parts {
                let column = text::Column::open((*part).clone()).map_err(io::Error::other)?;
                let read = column.each(&mut |_, bytes| match std::str::from_utf8(bytes) {
                    Ok(text) => fields.push(field(Some(Value::Text(text.to_owned())))),
                    Err(_) => all_text = false,
                });
                read.map_err(io::Error::other)?;
            }
            if !all_text {
                return Err(wrong());
            }
            fields
        }
        INTEGER => {
            let integers = integers.unwrap_or_default().read(count)?;
            integers.into_iter().map(|integer| field(Some(Value::Integer(integer)))).collect()
        }
        NUMBER => {
            let rows = planes.len() / 8;
            let bits = |row: usize| {
                u64::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| planes[byte * rows + row]))
            };
            (0..rows).map(|row| field(Some(Value::Number(f64::from_bits(bits(row)))))).collect()
        }
        FLAG => planes.iter().map(|flag| field(Some(Value::Flag(*flag != 0)))).collect(),
        NONE => vec![field(None); count],
        _ => return Err(wrong()),
    };
    if fields.len() == count { Ok(fields) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![
            Just(None),
            "[a-z]{0,3}|\\PC{0,40}".prop_map(|text| Some(Value::Text(text))),
            any::<i64>().prop_map(|integer| Some(Value::Integer(integer))),
            any::<u64>().prop_map(|bits| Some(Value::Number(f64::from_bits(bits)))),
            any::<bool>().prop_map(|flag| Some(Value::Flag(flag))),
        ]
    }

    fn records() -> impl Strategy<Value = Vec<Fields>> {
        let field = ("[ab]{0,2}", value()).prop_map(|(name, value)| Field { name, value });
        let fields = prop::collection::vec(field, 0..6).prop_map(|fields| Fields { fields });
        prop::collection::vec(fields, 0..40)
    }

    /// Numbers by their bits: one that is none is not equal to itself.
    fn bits(records: &[Fields]) -> Vec<Vec<u8>> {
        records.iter().map(Message::encode_to_vec).collect()
    }

    proptest! {
        #[test]
        fn typed_records_come_back(mut records in records(), long in 0usize..200) {
            if let Some(field) = records.first_mut().and_then(|record| record.fields.first_mut()) {
                field.value = Some(Value::Text("a long one ".repeat(long * 8)));
            }
            let refs: Vec<&Fields> = records.iter().collect();
            let packed = pack(&refs, Effort::Seal, &mut |_| {});
            let texts: Vec<Bytes> = packed.texts.into_iter().map(Bytes::from).collect();
            let back = read(&packed.columns, &texts, records.len()).expect("reads");
            prop_assert_eq!(bits(&back), bits(&records));
            prop_assert!(read(&packed.columns, &texts, records.len() + 1).is_err());
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes: Vec<u8>, count in 0usize..9) {
            let _ = read(&bytes, &[], count);
            let _ = read(&[], &[bytes.into()], count);
        }
    }
}

//! A record's canonical bytes, its digest, and what makes one acceptable.
//!
//! The chain of history and the handshake both need bytes that depend only on what a record means,
//! not on the batch it came in. They are: every field with its length in front, in one fixed
//! order, the origin spelled out instead of its index.

use aws_lc_rs::digest;

use crate::limits;
use crate::wire::{Field, Origin, Record, field, record};

/// Takes canonical bytes: a hasher, a buffer, a counter.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for digest::Context {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes the canonical bytes of a record to `sink`.
pub fn canonical(sink: &mut impl Sink, origin: &Origin, record: &Record) {
    let mut text = |bytes: &[u8]| {
        sink.put(&(bytes.len() as u64).to_le_bytes());
        sink.put(bytes);
    };
    text(origin.source.as_bytes());
    text(origin.path.as_bytes());
    text(origin.dataset.as_bytes());
    text(origin.charset.as_bytes());
    text(&record.sha256);
    sink.put(&record.number.to_le_bytes());
    sink.put(&record.time.to_le_bytes());
    sink.put(&record.created.to_le_bytes());
    sink.put(&record.length.to_le_bytes());
    match &record.body {
        None => sink.put(&[0]),
        Some(record::Body::Original(bytes)) => {
            sink.put(&[1]);
            sink.put(&(bytes.len() as u64).to_le_bytes());
            sink.put(bytes);
        }
        Some(record::Body::Fields(fields)) => {
            sink.put(&[2]);
            sink.put(&(fields.fields.len() as u64).to_le_bytes());
            for field in &fields.fields {
                canonical_field(sink, field);
            }
        }
        Some(record::Body::Gap(gap)) => {
            sink.put(&[3]);
            for number in [gap.span, gap.records, gap.bytes] {
                sink.put(&number.to_le_bytes());
            }
            for text in [&gap.cause, &gap.detail] {
                sink.put(&(text.len() as u64).to_le_bytes());
                sink.put(text.as_bytes());
            }
        }
    }
}

/// SHA-256 of a record's canonical bytes: what Hello and Welcome compare.
pub fn digest(origin: &Origin, record: &Record) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    canonical(&mut context, origin, record);
    context.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// How many numbers a record stands for: 1, or a gap's span.
pub fn span(record: &Record) -> u64 {
    match &record.body {
        Some(record::Body::Gap(gap)) => gap.span.max(1),
        _ => 1,
    }
}

/// The number after a record's last; None when a hostile span overflows.
pub fn next(record: &Record) -> Option<u64> {
    record.number.checked_add(span(record))
}

/// Whether a record keeps the limits; the error names the one it breaks.
pub fn check(record: &Record) -> Result<(), &'static str> {
    match &record.body {
        None => return Err("a record without a body"),
        Some(record::Body::Original(bytes)) if bytes.len() > limits::MAX_ORIGINAL => {
            return Err("an original longer than is kept");
        }
        Some(record::Body::Fields(fields)) => {
            if fields.fields.len() > limits::MAX_FIELDS {
                return Err("too many fields");
            }
            if fields
                .fields
                .iter()
                .any(|f| f.name.is_empty() || f.name.len() > limits::MAX_FIELD_NAME)
            {
                return Err("a field name that is empty or too long");
            }
        }
        Some(record::Body::Gap(gap))
            if gap.detail.len() > limits::MAX_NAME || gap.cause.len() > limits::MAX_FIELD_NAME =>
        {
            return Err("a gap with too much to say");
        }
        _ => {}
    }
    if !(record.sha256.is_empty() || record.sha256.len() == 32) {
        return Err("a digest that is not 32 bytes");
    }
    if next(record).is_none() {
        return Err("a span beyond the last number");
    }
    Ok(())
}

fn canonical_field(sink: &mut impl Sink, field: &Field) {
    sink.put(&(field.name.len() as u64).to_le_bytes());
    sink.put(field.name.as_bytes());
    match &field.value {
        None => sink.put(&[0]),
        Some(field::Value::Text(text)) => {
            sink.put(&[1]);
            sink.put(&(text.len() as u64).to_le_bytes());
            sink.put(text.as_bytes());
        }
        Some(field::Value::Integer(integer)) => {
            sink.put(&[2]);
            sink.put(&integer.to_le_bytes());
        }
        Some(field::Value::Number(number)) => {
            sink.put(&[3]);
            sink.put(&number.to_bits().to_le_bytes());
        }
        Some(field::Value::Flag(flag)) => sink.put(&[4, u8::from(*flag)]),
    }
}

/// A typed field in one word, for sources: `text("host.name", name)`.
pub fn text(name: &str, value: impl Into<String>) -> Field {
    Field { name: name.to_owned(), value: Some(field::Value::Text(value.into())) }
}

/// A typed whole number.
pub fn integer(name: &str, value: i64) -> Field {
    Field { name: name.to_owned(), value: Some(field::Value::Integer(value)) }
}

/// A typed fraction.
pub fn number(name: &str, value: f64) -> Field {
    Field { name: name.to_owned(), value: Some(field::Value::Number(value)) }
}

/// A typed yes or no.
pub fn flag(name: &str, value: bool) -> Field {
    Field { name: name.to_owned(), value: Some(field::Value::Flag(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Fields, Gap};

    fn record(body: record::Body) -> Record {
        Record { number: 1, body: Some(body), ..Record::default() }
    }

    #[test]
    fn the_digest_tells_every_part_apart() {
        let origin = Origin { source: "files".into(), path: "/a".into(), ..Origin::default() };
        let base = record(record::Body::Original("line".into()));
        let mut seen = vec![digest(&origin, &base)];
        let mut check = |origin: &Origin, record: &Record| {
            let digest = digest(origin, record);
            assert!(!seen.contains(&digest), "{record:?}");
            seen.push(digest);
        };
        check(&Origin { path: "/b".into(), ..origin.clone() }, &base);
        check(&Origin { source: "file".into(), path: "s/a".into(), ..origin.clone() }, &base);
        check(&origin, &Record { number: 2, ..base.clone() });
        check(&origin, &Record { time: 1, ..base.clone() });
        check(&origin, &Record { created: 1, ..base.clone() });
        check(&origin, &Record { length: 1, ..base.clone() });
        check(&origin, &record(record::Body::Original("lines".into())));
        check(&origin, &record(record::Body::Fields(Fields { fields: vec![text("a", "b")] })));
        check(&origin, &record(record::Body::Fields(Fields { fields: vec![text("ab", "")] })));
        check(&origin, &record(record::Body::Fields(Fields { fields: vec![integer("a", 1)] })));
        check(&origin, &record(record::Body::Gap(Gap { span: 3, ..Gap::default() })));
    }

    #[test]
    fn a_hostile_span_is_an_error() {
        let mut gap = record(record::Body::Gap(Gap { span: u64::MAX, ..Gap::default() }));
        assert_eq!(check(&gap), Err("a span beyond the last number"));
        gap.number = 0;
        assert_eq!(check(&gap), Ok(()));
    }
}

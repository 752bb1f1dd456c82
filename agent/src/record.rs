//! What sources hand over and the spool takes: records before they have a number.

use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Field, Fields, Gap, Origin, record::Body};
use hengwei_protocol::{Kind, identity, limits};

/// One record before it has a number.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// The record's own time, Unix nanoseconds; 0 when only its text says it.
    pub time: i64,
    /// When it was read, Unix nanoseconds.
    pub created: i64,
    /// Original bytes, typed fields or a gap.
    pub body: Option<Body>,
    /// Set when the original was cut: its full length.
    pub length: u64,
    /// Set when the original was cut: SHA-256 of the whole.
    pub sha256: Bytes,
}

impl NewRecord {
    /// A line as it was read; cut to what is kept, with its length and digest, when it is longer.
    pub fn line(created: i64, original: Bytes) -> NewRecord {
        let mut record = NewRecord { created, ..NewRecord::default() };
        let mut kept = original;
        if kept.len() > limits::MAX_ORIGINAL {
            record.length = kept.len() as u64;
            record.sha256 = Bytes::copy_from_slice(&identity::sha256(&kept));
            // A copy, so that the rest of the line does not stay in memory with it.
            kept = Bytes::copy_from_slice(&kept[..limits::MAX_ORIGINAL]);
        }
        record.body = Some(Body::Original(kept));
        record
    }

    /// Typed fields.
    pub fn fields(created: i64, fields: Vec<Field>) -> NewRecord {
        let body = Some(Body::Fields(Fields { fields }));
        NewRecord { time: created, created, body, ..NewRecord::default() }
    }

    /// Something that is missing.
    pub fn gap(created: i64, cause: Cause, records: u64, bytes: u64, detail: String) -> NewRecord {
        let cause = cause.as_str().to_owned();
        let body = Some(Body::Gap(Gap { span: 1, records, bytes, cause, detail }));
        NewRecord { time: created, created, body, ..NewRecord::default() }
    }
}

/// Records that go to the spool together, with the source's place after the last of them. All or
/// nothing of it survives a crash.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The queue it travels in.
    pub kind: Kind,
    /// What the records have in common.
    pub origin: Arc<Origin>,
    /// The records; may be empty when only the place moved.
    pub records: Vec<NewRecord>,
    /// Where the source goes on after these records: a key of its own choosing and opaque bytes.
    /// Empty bytes forget the key.
    pub position: Option<(String, Bytes)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_whole_up_to_the_limit_and_told_beyond_it() {
        let check = |len: usize, kept: usize, length: u64| {
            let whole = vec![b'x'; len];
            let record = NewRecord::line(5, whole.clone().into());
            assert_eq!(record.body, Some(Body::Original(vec![b'x'; kept].into())), "{len}");
            assert_eq!((record.created, record.length), (5, length));
            let digest = if length > 0 { identity::sha256(&whole).to_vec() } else { Vec::new() };
            assert_eq!(record.sha256, digest, "{len}");
        };
        check(0, 0, 0);
        check(limits::MAX_ORIGINAL, limits::MAX_ORIGINAL, 0);
        check(limits::MAX_ORIGINAL + 1, limits::MAX_ORIGINAL, limits::MAX_ORIGINAL as u64 + 1);
        check(10 << 20, limits::MAX_ORIGINAL, 10 << 20);
    }
}

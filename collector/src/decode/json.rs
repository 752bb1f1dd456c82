//! Lines that are one JSON object.
//!
//! Nested objects are flattened with dots, arrays become several values, names of ECS keep their
//! meaning. What the line says about who it is (`agent.id`, `event.dataset` …), and what it says under
//! names of ours, is kept under `hengwei.claimed.*`: who it is comes from the certificate and the
//! registry. Depth, fields and
//! new names are bounded; what is left out is said. Null and empty arrays leave no field.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::out::Out;
use super::time::iso;
use super::{Decoder, Line, Looks, scan};
use crate::event::{FieldId, intern, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "json",
    datasets: &["json"],
    programs: &[],
    paths: &[".json", ".ndjson"],
    looks: Looks { first: b"{@", test: looks_like },
    security: false,
    decode,
};

/// Objects and arrays within one another.
const MAX_DEPTH: usize = 16;
/// Values of one line.
const MAX_FIELDS: usize = 1_024;
/// Names of ours, which say what the platform found out, not what a line says.
const OURS: &str = "hengwei.";
/// The mark that rsyslog and others put before JSON in a syslog message.
const COOKIE: &str = "@cee:";
/// Names of the line's own time, ECS first, then what applications write.
const TIMES: &[&str] = &["@timestamp", "timestamp", "time", "ts"];

/// Whether a line may be one.
pub(crate) fn looks_like(line: &str) -> bool {
    line.starts_with('{') || line.starts_with(COOKIE)
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message.strip_prefix(COOKIE).unwrap_or(line.message).trim();
    if !text.starts_with('{') {
        return false;
    }
    let mut reader =
        Reader { out, path: String::new(), fields: 0, time_rank: TIMES.len(), left_out: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = At { reader: &mut reader, depth: 0 }.deserialize(&mut json);
    let left_out = reader.left_out;
    if read.and_then(|()| json.end()).is_err() {
        return false;
    }
    if let Some(why) = left_out {
        out.problem(why);
    }
    if !line.configured.is_empty() {
        // The format says nothing about what the lines are; the configuration does.
        out.dataset = intern::dataset(line.configured);
    }
    true
}

struct Reader<'o> {
    out: &'o mut Out,
    path: String,
    fields: usize,
    /// Which of [`TIMES`] dated the line: an earlier one wins.
    time_rank: usize,
    left_out: Option<&'static str>,
}

/// A value at the reader's path.
struct At<'r, 'o> {
    reader: &'r mut Reader<'o>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH || self.reader.fields >= MAX_FIELDS {
            self.reader.left_out = Some("parts of the line are left out: too deep or too many");
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let length = reader.path.len();
        while let Some(key) = map.next_key_seed(Key)? {
            if length > 0 {
                reader.path.push('.');
            }
            reader.path.push_str(&key);
            map.next_value_seed(At { reader: &mut *reader, depth: self.depth + 1 })?;
            reader.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if self.reader.path.is_empty() {
            return Err(A::Error::custom("an array at the top"));
        }
        while values
            .next_element_seed(At { reader: &mut *self.reader, depth: self.depth + 1 })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.reader.text(text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.reader.text(text);
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        if let Some(id) = self.reader.field() {
            self.reader.out.flag(id, flag);
        }
        Ok(())
    }

    fn visit_i64<E>(self, integer: i64) -> Result<(), E> {
        self.reader.integer(integer);
        Ok(())
    }

    fn visit_u64<E>(self, integer: u64) -> Result<(), E> {
        match i64::try_from(integer) {
            Ok(integer) => self.reader.integer(integer),
            Err(_) => {
                if let Some(id) = self.reader.field() {
                    self.reader.out.owned(id, &integer.to_string());
                }
            }
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.reader.epoch(number);
        if let Some(id) = self.reader.field() {
            self.reader.out.number(id, number);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(key.into())
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(key.to_owned().into())
    }
}

impl Reader<'_> {
    /// The id of the current path; None when the value is left out.
    fn field(&mut self) -> Option<FieldId> {
        self.fields += 1;
        if self.path.len() > intern::MAX_OUTSIDE_LEN {
            self.left_out = Some("a field is left out: its name is too long");
            return None;
        }
        let id =
            if self.path.starts_with(OURS) { claimed(&self.path) } else { outside(&self.path) };
        if id.is_none() {
            self.left_out = Some("a field is left out: no room for its name");
        }
        id
    }

    fn text(&mut self, text: &str) {
        if let Some(rank) = self.time_rank_here()
            && let Some((stamp, len)) = iso(text.as_bytes())
            && len == text.len()
        {
            if let Some(time) = self.out.resolve(&stamp) {
                self.out.time = Some(time);
                self.time_rank = rank;
            }
            if rank == 0 {
                return;
            }
        }
        let Some(id) = self.field() else { return };
        put(id, text, self.out);
    }

    fn integer(&mut self, integer: i64) {
        #[expect(clippy::cast_precision_loss, reason = "an epoch has far fewer digits")]
        self.epoch(integer as f64);
        if let Some(id) = self.field() {
            self.out.integer(id, integer);
        }
    }

    /// Dates the line by a number of seconds or, when that would be far in the future, of
    /// milliseconds.
    fn epoch(&mut self, number: f64) {
        const YEAR_2100_SECS: f64 = 4_102_444_800.0;
        let Some(rank) = self.time_rank_here() else { return };
        let seconds = if number > YEAR_2100_SECS { number / 1_000.0 } else { number };
        if seconds > 0.0 && seconds < YEAR_2100_SECS {
            #[expect(clippy::cast_possible_truncation, reason = "below 2100 it fits")]
            let micros = (seconds * 1e6).round() as i64;
            self.out.time = Some(micros * 1_000);
            self.time_rank = rank;
        }
    }

    /// The rank of the current path among [`TIMES`], when no better one was seen.
    fn time_rank_here(&self) -> Option<usize> {
        TIMES.iter().position(|name| *name == self.path).filter(|rank| *rank < self.time_rank)
    }
}

/// The id of a name that a line or a typed record gives: header fields are only claimed.
pub(crate) fn outside(name: &str) -> Option<FieldId> {
    let id = FieldId::outside(name)?;
    if id < names::HEADER_END {
        return claimed(name);
    }
    Some(id)
}

fn claimed(name: &str) -> Option<FieldId> {
    FieldId::outside(&format!("{}{name}", names::CLAIMED_PREFIX))
}

/// Stores text, as an address where the field holds addresses.
pub(crate) fn put(id: FieldId, text: &str, out: &mut Out) {
    if names::ADDRESSES.contains(&id)
        && let Some(address) = scan::address(text)
    {
        out.address(id, address);
    } else {
        out.text(id, text);
    }
}

//! Lines that are one JSON object.
//!
//! Nested objects are flattened with dots, arrays become several values, names of ECS keep their
//! meaning. What the line says about who it is (`agent.id`, `event.dataset` …), and what it says under
//! names of ours, is kept under `hengwei.claimed.*`: who it is comes from the certificate and the
//! registry. Depth, fields and
//! new names are bounded; what is left out is said. Null and empty arrays leave no field.
//!
//! What such a line means when no product's decoder knows it is read from its fields afterwards
//! (`json/shapes.rs`), which all stay as they are. A line that is JSON but for one careless escape or a number no
//! computer holds is read with that one put right (`json/repair.rs`).
//!
//! [`each`] is how decoders of products that write JSON read a line value by value.

mod appliance;
mod application;
pub(super) mod places;
mod products;
mod repair;
mod requests;
mod roles;
mod shapes;
mod signing;

use std::fmt;
use std::net::IpAddr;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::out::Out;
use super::time::iso;
use super::{Decoder, Line, Looks, kubernetes, scan, suricata, zeek};
use crate::event::{FieldId, intern, names};
use shapes::Picture;

pub(crate) const DECODER: Decoder = Decoder {
    name: "json",
    datasets: &["json", "web.access"],
    programs: &[],
    paths: &[".json", ".ndjson"],
    looks: Looks { first: b"{@", test: looks_like },
    security: false,
    decode,
};

/// Objects and arrays within one another.
const MAX_DEPTH: usize = 16;
/// Values of one line that are read.
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

/// Those that write JSON of their own. Their decoders know their lines by how they begin; these by their
/// names, where a shipper has put them in another order.
const PRODUCTS: &[fn(&Line<'_>, &mut Out) -> bool] =
    &[suricata::decode, zeek::decode, kubernetes::decode];

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let mark = out.mark();
    if !whole(line.message, out) {
        return false;
    }
    let mut picture = Picture::of(line.message, mark.fields, out);
    if picture.is_of_product() {
        let claimed = PRODUCTS.iter().any(|decode| {
            out.reset(mark);
            decode(line, out)
        });
        if claimed {
            return true;
        }
        out.reset(mark);
        if !whole(line.message, out) {
            return false;
        }
        picture = Picture::of(line.message, mark.fields, out);
    }
    shapes::conclude(line, &picture, out);
    if !line.configured.is_empty() {
        // The format says nothing about what the lines are; the configuration does.
        out.dataset = intern::dataset(line.configured);
    }
    true
}

/// Reads a line as it is, or put right.
fn whole(text: &str, out: &mut Out) -> bool {
    let mark = out.mark();
    if read(text, out) {
        return true;
    }
    let Some(repaired) = repair::repaired(text) else { return false };
    out.reset(mark);
    let whole = read(&repaired, out);
    out.problem(repair::PROBLEM);
    whole
}

fn read(text: &str, out: &mut Out) -> bool {
    let mut reader = Reader { time_rank: TIMES.len(), left_out: None };
    let whole = each(text, out, &mut |path, scalar, out| reader.value(path, scalar, out));
    if let Some(why) = reader.left_out.filter(|_| whole) {
        out.problem(why);
    }
    whole
}

/// Dates a line by text or a number of seconds or milliseconds; true when it is a date.
pub(crate) fn date(value: Scalar<'_>, out: &mut Out) -> bool {
    let time = match value {
        Scalar::Text(text) => match iso(text.as_bytes()) {
            Some((stamp, _)) => out.resolve(&stamp),
            None => text.parse().ok().and_then(epoch),
        },
        #[expect(clippy::cast_precision_loss, reason = "an epoch has far fewer digits")]
        Scalar::Integer(integer) => epoch(integer as f64),
        Scalar::Number(number) => epoch(number),
        Scalar::Large(_) | Scalar::Flag(_) => None,
    };
    out.time = time.or(out.time);
    time.is_some()
}

/// An end of a connection, which a line should name once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Once {
    address: Option<IpAddr>,
    differently: bool,
}

impl Once {
    /// Takes what the line says; what is no address says nothing.
    pub(crate) fn tell(&mut self, text: &str) {
        let Some(address) = scan::address(text) else { return };
        self.differently |= self.address.is_some_and(|before| before != address);
        self.address = Some(address);
    }

    /// Writes the address, or that there are two.
    pub(crate) fn conclude(&self, id: FieldId, out: &mut Out) {
        match self.address {
            Some(_) if self.differently => {
                out.problem(&format!("the line gives two values for {}", id.name()));
            }
            Some(address) => out.address(id, address),
            None => {}
        }
    }
}

/// One value of a line that is neither an object nor an array nor null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// Text: a slice of the line where it has no escapes, which [`Out::text`] keeps without copying.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A whole number that no `i64` holds.
    Large(u64),
    /// Any other number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

impl<'a> Scalar<'a> {
    /// The text, when it is one.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, also one that is written as text.
    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// Stores the value as it is; text where addresses belong as an address.
    pub(crate) fn put(self, id: FieldId, out: &mut Out) {
        match self {
            Scalar::Text(text) => put(id, text, out),
            Scalar::Integer(integer) => out.integer(id, integer),
            Scalar::Large(integer) => out.owned(id, &integer.to_string()),
            Scalar::Number(number) => out.number(id, number),
            Scalar::Flag(flag) => out.flag(id, flag),
        }
    }
}

/// What is shown each value: its dotted path, the value, and where to write.
pub(crate) type See<'s> = &'s mut dyn FnMut(&str, Scalar<'_>, &mut Out);

/// Shows each value of a line that is one JSON object, whatever mark stands before it, in the order
/// of the line; the values of an array have the array's path. Nothing is allocated per value. Depth
/// and number are bounded, and what they leave out is said in `out`. False when the line is anything
/// else, which may show only after some values.
pub(crate) fn each(text: &str, out: &mut Out, see: See<'_>) -> bool {
    let text = text.strip_prefix(COOKIE).unwrap_or(text).trim();
    if !text.starts_with('{') {
        return false;
    }
    let mut walk = Walk { out, see, path: String::new(), values: 0, left_out: false };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = At { walk: &mut walk, depth: 0 }.deserialize(&mut json);
    let left_out = walk.left_out;
    if read.and_then(|()| json.end()).is_err() {
        return false;
    }
    if left_out {
        out.problem("parts of the line are left out: too deep or too many");
    }
    true
}

struct Walk<'w> {
    out: &'w mut Out,
    see: See<'w>,
    path: String,
    values: usize,
    left_out: bool,
}

impl Walk<'_> {
    fn see(&mut self, scalar: Scalar<'_>) {
        self.values += 1;
        (self.see)(&self.path, scalar, self.out);
    }
}

/// A value at the walk's path.
struct At<'r, 'w> {
    walk: &'r mut Walk<'w>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH || self.walk.values >= MAX_FIELDS {
            self.walk.left_out = true;
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
        let walk = self.walk;
        let length = walk.path.len();
        while let Some(key) = map.next_key_seed(Key)? {
            if length > 0 {
                walk.path.push('.');
            }
            walk.path.push_str(&key);
            map.next_value_seed(At { walk: &mut *walk, depth: self.depth + 1 })?;
            walk.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if self.walk.path.is_empty() {
            return Err(A::Error::custom("an array at the top"));
        }
        while values
            .next_element_seed(At { walk: &mut *self.walk, depth: self.depth + 1 })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.walk.see(Scalar::Text(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.walk.see(Scalar::Text(text));
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.walk.see(Scalar::Flag(flag));
        Ok(())
    }

    fn visit_i64<E>(self, integer: i64) -> Result<(), E> {
        self.walk.see(Scalar::Integer(integer));
        Ok(())
    }

    fn visit_u64<E>(self, integer: u64) -> Result<(), E> {
        self.walk.see(i64::try_from(integer).map_or(Scalar::Large(integer), Scalar::Integer));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.walk.see(Scalar::Number(number));
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

/// The generic reading of a line: every value becomes the field of its path.
struct Reader {
    /// Which of [`TIMES`] dated the line: an earlier one wins.
    time_rank: usize,
    left_out: Option<&'static str>,
}

impl Reader {
    fn value(&mut self, path: &str, scalar: Scalar<'_>, out: &mut Out) {
        if self.dates(path, scalar, out) {
            return;
        }
        if let Some(id) = self.field(path) {
            scalar.put(id, out);
        }
    }

    /// The id of a path; None when the value is left out.
    fn field(&mut self, path: &str) -> Option<FieldId> {
        if path.len() > intern::MAX_OUTSIDE_LEN {
            self.left_out = Some("a field is left out: its name is too long");
            return None;
        }
        let id = if path.starts_with(OURS) { claimed(path) } else { outside(path) };
        if id.is_none() {
            self.left_out = Some("a field is left out: no room for its name");
        }
        id
    }

    /// Dates the line by a value under one of [`TIMES`]; true when nothing else is to be kept of it.
    fn dates(&mut self, path: &str, scalar: Scalar<'_>, out: &mut Out) -> bool {
        let rank = TIMES.iter().position(|name| *name == path);
        let Some(rank) = rank.filter(|rank| *rank < self.time_rank) else { return false };
        let (time, whole) = match scalar {
            Scalar::Text(text) => {
                match iso(text.as_bytes()).filter(|(_, len)| *len == text.len()) {
                    Some((stamp, _)) => (out.resolve(&stamp), rank == 0),
                    None => (None, false),
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "an epoch has far fewer digits")]
            Scalar::Integer(integer) => (epoch(integer as f64), false),
            Scalar::Number(number) => (epoch(number), false),
            Scalar::Large(_) | Scalar::Flag(_) => (None, false),
        };
        if time.is_some() {
            out.time = time;
            self.time_rank = rank;
        }
        whole
    }
}

/// A number of seconds since 1970 or, when that would be far in the future, of milliseconds, as
/// nanoseconds.
pub(crate) fn epoch(number: f64) -> Option<i64> {
    const YEAR_2100_SECS: f64 = 4_102_444_800.0;
    let seconds = if number > YEAR_2100_SECS { number / 1_000.0 } else { number };
    if seconds > 0.0 && seconds < YEAR_2100_SECS {
        #[expect(clippy::cast_possible_truncation, reason = "below 2100 it fits")]
        let micros = (seconds * 1e6).round() as i64;
        return Some(micros * 1_000);
    }
    None
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

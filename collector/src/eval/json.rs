//! JSON objects as events, the way a decoder hands them over: an array of (key, value) sorted by
//! key, texts as spans of one buffer, so that a field allocates nothing and asking for one is a
//! search in a small array.
//!
//! Field names are as given, without the spaces in them. A literal key comes before the way down by
//! dots, and of two ways down the one whose first key is longer; of an array any element may match;
//! an object asked for by its own name is its text. Of a key said twice the last value holds, of keys
//! that become one without their spaces the first key. Keys that begin with `_` are never matched:
//! they say where the event comes from (`_ls_product`, `_ls_category`, `_ls_service`) and when
//! (`_time`). Without any `_ls_*`, the keys `product`, `category` and `service` say where it comes
//! from and are then no fields.
//!
//! [`read`] is the way from text to fields. Nothing here is prepared for a rule: which log sources an
//! event has is worked out when it is asked for.

use hengwei_rules::{Event, Key, LogSource, Value, Wanted, logsource};

use super::names::{self, Interned};

mod read;
#[cfg(test)]
mod tree;

use read::Buffers;

/// Events, read one by one into buffers they share.
#[derive(Debug, Default)]
pub struct JsonEvents {
    text: String,
    fields: Vec<Field>,
    ends: Vec<End>,
    buffers: Buffers,
}

/// Where an event ends in the text and in the fields.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    text: usize,
    fields: usize,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    key: Key,
    held: Held,
}

/// A value. Spans count from the beginning of the event's text.
#[derive(Debug, Clone, Copy)]
enum Held {
    Null,
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text {
        start: u32,
        len: u32,
    },
    /// An empty array: null to whoever asks for it by name.
    Empty,
    /// An object, as its text: only for whoever asks for it by name.
    Whole {
        start: u32,
        len: u32,
    },
    /// Text in another buffer, until the event is read.
    Apart {
        start: u32,
        len: u32,
    },
}

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEvent {
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Not JSON.
    #[error(transparent)]
    Malformed(serde_json::Error),
    /// Longer than [`JsonEvents::MAX_LINE`].
    #[error("longer than {} bytes", JsonEvents::MAX_LINE)]
    TooLong,
}

impl JsonEvents {
    /// The longest line that is read, in bytes.
    pub const MAX_LINE: usize = 64 << 20;

    /// None yet.
    pub fn new() -> JsonEvents {
        JsonEvents::default()
    }

    /// Forgets the events and keeps the room for others.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.ends.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Reads one more. A line that is none leaves nothing.
    pub fn push(&mut self, line: &str, names: &Interned) -> Result<(), NotAnEvent> {
        let from = self.ends.last().copied().unwrap_or_default();
        let read = read::object(
            line,
            &mut names.table(),
            &mut self.text,
            &mut self.fields,
            &mut self.buffers,
        );
        if let Err(error) = read {
            self.text.truncate(from.text);
            self.fields.truncate(from.fields);
            return Err(error);
        }
        // The same order for values of one name as in the line.
        self.fields[from.fields..].sort_by_key(|field| field.key);
        self.ends.push(End { text: self.text.len(), fields: self.fields.len() });
        Ok(())
    }

    /// An event by its place.
    pub fn get(&self, index: usize) -> Option<JsonEvent<'_>> {
        let end = self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => End::default(),
        };
        Some(JsonEvent::new(
            self.text.get(start.text..end.text)?,
            self.fields.get(start.fields..end.fields)?,
        ))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = JsonEvent<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct JsonEvent<'a> {
    text: &'a str,
    /// What it says of itself, then its fields, sorted.
    all: &'a [Field],
    /// Those that can be matched.
    fields: &'a [Field],
}

/// What an event says of where it comes from: all that its log sources depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Category, product, service.
    pub said: [Option<&'a str>; 3],
    /// `Channel` of a Windows event.
    pub channel: Option<&'a str>,
    /// `EventID`, where there is a channel.
    pub event_id: Option<i64>,
    /// `EventType`, where there is a channel.
    pub event_type: Option<&'a str>,
    /// `event.dataset`.
    pub dataset: Option<&'a str>,
}

impl<'a> JsonEvent<'a> {
    fn new(text: &'a str, all: &'a [Field]) -> JsonEvent<'a> {
        let first = if says_log_source(all) { names::HIDDEN } else { names::OPEN };
        let hidden = all.iter().take_while(|field| field.key < first).count();
        JsonEvent { text, all, fields: &all[hidden..] }
    }

    /// Its own time, Unix nanoseconds: `_time`, else `@timestamp`.
    pub fn time_ns(&self) -> Option<i64> {
        [names::TIME, names::TIMESTAMP]
            .iter()
            .find_map(|key| self.first(*key).and_then(|held| time_of(held.value(self.text))))
    }

    /// What it says of where it comes from.
    pub fn origin(&self) -> Origin<'a> {
        let mut origin = Origin::default();
        // Of several values the first, so later ones come first and are replaced.
        let fixed = self.all.partition_point(|field| field.key < names::FIRST_FREE);
        let explicit = says_log_source(self.all);
        let mut event_id = None;
        for field in self.all[..fixed].iter().rev() {
            let text = || match field.held {
                Held::Text { start, len } => {
                    Some(span(self.text, start, len)).filter(|t| !t.is_empty())
                }
                _ => None,
            };
            match (field.key, explicit) {
                (names::SAID_CATEGORY, _) | (names::CATEGORY, false) => origin.said[0] = text(),
                (names::SAID_PRODUCT, _) | (names::PRODUCT, false) => origin.said[1] = text(),
                (names::SAID_SERVICE, _) | (names::SERVICE, false) => origin.said[2] = text(),
                (names::CHANNEL, _) => origin.channel = text(),
                (names::EVENT_ID, _) => event_id = Some(field.held),
                (names::EVENT_TYPE, _) => origin.event_type = text(),
                (names::DATASET, _) => origin.dataset = text(),
                _ => {}
            }
        }
        if origin.channel.is_some() {
            origin.event_id = match event_id {
                Some(Held::Integer(id)) => Some(id),
                Some(Held::Text { start, len }) => span(self.text, start, len).trim().parse().ok(),
                _ => None,
            };
        } else {
            origin.event_type = None;
        }
        origin
    }

    /// Appends all that its origin depends on: two events that append the same have the same origin.
    pub(super) fn spell_origin(&self, out: &mut Vec<u8>) {
        // UTF-8 has neither.
        const END: u8 = 0xff;
        const NUMBER: u8 = 0xfe;
        let explicit = says_log_source(self.all);
        for field in self.all.iter().take_while(|field| field.key < names::TIMESTAMP) {
            let source = (names::CATEGORY..=names::SERVICE).contains(&field.key);
            if field.key == names::TIME || (source && explicit) {
                continue;
            }
            out.push(field.key.0.to_le_bytes()[0]);
            match field.held {
                Held::Text { start, len } => {
                    out.extend_from_slice(span(self.text, start, len).as_bytes());
                }
                Held::Integer(number) => {
                    out.push(NUMBER);
                    out.extend_from_slice(&number.to_le_bytes());
                }
                _ => {}
            }
            out.push(END);
        }
    }

    fn first(&self, key: Key) -> Option<Held> {
        let at = self.all.partition_point(|field| field.key < key);
        self.all.get(at).filter(|field| field.key == key).map(|field| field.held)
    }
}

/// Whether some `_ls_*` is there.
fn says_log_source(all: &[Field]) -> bool {
    all.first().is_some_and(|field| field.key < names::TIME)
}

impl Origin<'_> {
    /// The log sources of such an event: what it says itself first.
    pub fn log_sources(&self) -> Vec<LogSource> {
        let [category, product, service] = self.said;
        let mut sources = vec![LogSource::new(category, product, service)];
        if let Some(channel) = self.channel {
            sources.extend(logsource::of_windows(channel, self.event_id, self.event_type));
        }
        if let Some(dataset) = self.dataset {
            sources.extend(logsource::of_dataset(dataset));
        }
        sources.retain(|source| !source.is_empty());
        sources
    }
}

impl Held {
    fn value<'a>(&self, text: &'a str) -> Value<'a> {
        match *self {
            // Nothing is apart any more once an event is read.
            Held::Null | Held::Empty | Held::Apart { .. } => Value::Null,
            Held::Flag(flag) => Value::Flag(flag),
            Held::Integer(number) => Value::Integer(number),
            Held::Number(number) => Value::Number(number),
            Held::Text { start, len } | Held::Whole { start, len } => {
                Value::Text(span(text, start, len))
            }
        }
    }

    /// Whether it is a value of its own, and not only the name of others or of none.
    fn is_leaf(&self) -> bool {
        !matches!(self, Held::Empty | Held::Whole { .. })
    }
}

fn span(text: &str, start: u32, len: u32) -> &str {
    let start = start as usize;
    text.get(start..start + len as usize).unwrap_or_default()
}

impl Event for JsonEvent<'_> {
    fn any(&self, key: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let at = self.fields.partition_point(|field| field.key < key);
        self.fields[at..]
            .iter()
            .take_while(|field| field.key == key)
            .any(|field| see(field.held.value(self.text)))
    }

    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.fields
            .iter()
            .filter(|field| field.held.is_leaf())
            .any(|field| see(field.held.value(self.text)))
    }

    fn visit(&self, wanted: &Wanted, see: &mut dyn FnMut(usize, Value<'_>)) {
        for field in self.fields {
            if let Some(place) = wanted.place(field.key) {
                see(place, field.held.value(self.text));
            }
        }
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        self.origin().log_sources().iter().any(see)
    }
}

/// A time: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970
/// by its size.
fn time_of(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Integer(whole) => Some(from_epoch(whole)),
        Value::Number(number) => from_fraction(number),
        Value::Text(text) => {
            let text = text.trim();
            if let Ok(whole) = text.parse::<i64>() {
                return Some(from_epoch(whole));
            }
            if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
                return i64::try_from(stamp.as_nanosecond()).ok();
            }
            text.parse::<f64>().ok().and_then(from_fraction)
        }
        _ => None,
    }
}

fn from_epoch(number: i64) -> i64 {
    let per = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.saturating_mul(per)
}

fn from_fraction(number: f64) -> Option<i64> {
    if !number.is_finite() {
        return None;
    }
    let per = match number.abs() {
        size if size < 1e11 => 1e9,
        size if size < 1e14 => 1e6,
        size if size < 1e17 => 1e3,
        _ => 1.0,
    };
    Some((number * per).round() as i64)
}

#[cfg(test)]
mod tests;

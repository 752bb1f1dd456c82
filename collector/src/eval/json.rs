//! A JSON object as an event.
//!
//! Field names are as given, without the spaces in them. A literal key comes before the way down by
//! dots; of an array any element may match. Keys that begin with `_` are never matched: they say
//! where the event comes from (`_ls_product`, `_ls_category`, `_ls_service`) and when (`_time`).
//! Without any `_ls_*`, the keys `product`, `category` and `service` say where it comes from and
//! are then no fields.

use std::cell::RefCell;
use std::rc::Rc;

use hengwei_rules::{Event, Key, LogSource, Value, logsource};
use serde_json::{Map, Value as Json};

use super::Interned;

const SOURCE_KEYS: [&str; 3] = ["category", "product", "service"];
const EXPLICIT_KEYS: [&str; 3] = ["_ls_category", "_ls_product", "_ls_service"];

/// An event made of a JSON object.
#[derive(Debug)]
pub struct JsonEvent<'a> {
    object: Map<String, Json>,
    names: &'a Interned,
    sources: Vec<LogSource>,
    /// Whether `product`, `category` and `service` are no fields.
    hides_source: bool,
    time_ns: Option<i64>,
    /// The values of fields asked for before, by key: every rule asks for the same few.
    found: RefCell<Vec<Option<Rc<[Found]>>>>,
}

/// A value on its own, so that nothing borrows from the event it lies in.
#[derive(Debug, Clone)]
enum Found {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

impl Found {
    fn value(&self) -> Value<'_> {
        match self {
            Found::Null => Value::Null,
            Found::Text(text) => Value::Text(text),
            Found::Integer(number) => Value::Integer(*number),
            Found::Number(number) => Value::Number(*number),
            Found::Flag(flag) => Value::Flag(*flag),
        }
    }
}

impl<'a> JsonEvent<'a> {
    /// Reads what an object says of itself.
    pub fn new(object: Map<String, Json>, names: &'a Interned) -> JsonEvent<'a> {
        let object = stripped(object);
        let explicit = EXPLICIT_KEYS.iter().any(|key| object.contains_key(*key));
        let keys = if explicit { EXPLICIT_KEYS } else { SOURCE_KEYS };
        let time_ns =
            ["_time", "@timestamp"].iter().find_map(|key| object.get(*key).and_then(time_of));
        let sources = sources(&object, keys);
        let hides_source = !explicit;
        JsonEvent { object, names, sources, hides_source, time_ns, found: RefCell::default() }
    }

    /// Its own time, Unix nanoseconds.
    pub fn time_ns(&self) -> Option<i64> {
        self.time_ns
    }

    fn is_field(&self, key: &str) -> bool {
        let hidden = self.hides_source && SOURCE_KEYS.contains(&key);
        !hidden && !key.starts_with('_')
    }

    fn look_up(&self, key: Key) -> Rc<[Found]> {
        let index = key.0 as usize;
        if let Some(Some(found)) = self.found.borrow().get(index) {
            return Rc::clone(found);
        }
        let values = self.names.name(key, |name| self.resolve(name)).unwrap_or_default();
        let values: Rc<[Found]> = values.into();
        let mut cache = self.found.borrow_mut();
        if cache.len() <= index {
            cache.resize(index + 1, None);
        }
        cache[index] = Some(Rc::clone(&values));
        values
    }

    fn resolve(&self, name: &str) -> Vec<Found> {
        let mut values = Vec::new();
        let name: String = name.split(' ').collect();
        let first = name.split('.').next().unwrap_or_default();
        if !self.is_field(&name) || (first.len() < name.len() && !self.is_field(first)) {
            return values;
        }
        if let Some(found) = descend(&self.object, &name) {
            found.into_iter().for_each(|value| collect(value, &mut values));
        }
        values
    }
}

impl Event for JsonEvent<'_> {
    fn any(&self, key: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.look_up(key).iter().any(|found| see(found.value()))
    }

    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.object
            .iter()
            .filter(|(key, _)| self.is_field(key))
            .any(|(_, value)| any_leaf(value, see))
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        self.sources.iter().any(see)
    }
}

/// Without the spaces in its keys; of two keys that become one, the first stays.
fn stripped(object: Map<String, Json>) -> Map<String, Json> {
    let mut out = Map::with_capacity(object.len());
    for (key, value) in object {
        let key = if key.contains(' ') { key.replace(' ', "") } else { key };
        let value = match value {
            Json::Object(inner) => Json::Object(stripped(inner)),
            Json::Array(items) => Json::Array(items.into_iter().map(stripped_item).collect()),
            other => other,
        };
        out.entry(key).or_insert(value);
    }
    out
}

fn stripped_item(item: Json) -> Json {
    match item {
        Json::Object(inner) => Json::Object(stripped(inner)),
        Json::Array(items) => Json::Array(items.into_iter().map(stripped_item).collect()),
        other => other,
    }
}

fn sources(object: &Map<String, Json>, keys: [&str; 3]) -> Vec<LogSource> {
    let text = |key: &str| object.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    let [category, product, service] = keys.map(text);
    let mut sources = vec![LogSource::new(category, product, service)];
    let one = |name: &str| descend(object, name).and_then(|values| values.first().copied());
    if let Some(channel) = one("Channel").and_then(Json::as_str) {
        let id = one("EventID").and_then(|id| match id {
            Json::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        });
        let event_type = one("EventType").and_then(Json::as_str);
        sources.extend(logsource::of_windows(channel, id, event_type));
    }
    if let Some(dataset) = one("event.dataset").and_then(Json::as_str) {
        sources.extend(logsource::of_dataset(dataset));
    }
    sources.retain(|source| !source.is_empty());
    sources
}

/// The values at a name: the literal key, else the longest key that leads on by a dot.
fn descend<'a>(object: &'a Map<String, Json>, name: &str) -> Option<Vec<&'a Json>> {
    if let Some(value) = object.get(name) {
        return Some(vec![value]);
    }
    name.rmatch_indices('.').find_map(|(dot, _)| {
        let (head, rest) = (&name[..dot], &name[dot + 1..]);
        let mut values = Vec::new();
        enter(object.get(head)?, rest, &mut values);
        (!values.is_empty()).then_some(values)
    })
}

fn enter<'a>(value: &'a Json, rest: &str, values: &mut Vec<&'a Json>) {
    match value {
        Json::Object(inner) => values.extend(descend(inner, rest).unwrap_or_default()),
        Json::Array(items) => items.iter().for_each(|item| enter(item, rest, values)),
        _ => {}
    }
}

fn collect(value: &Json, values: &mut Vec<Found>) {
    match value {
        Json::Null => values.push(Found::Null),
        Json::Bool(flag) => values.push(Found::Flag(*flag)),
        Json::Number(number) => values.push(match number.as_i64() {
            Some(whole) => Found::Integer(whole),
            // Beyond 64 bits with a sign, what is written says more than the nearest number.
            None if number.is_u64() => Found::Text(number.to_string()),
            None => Found::Number(number.as_f64().unwrap_or_default()),
        }),
        Json::String(text) => values.push(Found::Text(text.clone())),
        // Present, and nothing in it.
        Json::Array(items) if items.is_empty() => values.push(Found::Null),
        Json::Array(items) => items.iter().for_each(|item| collect(item, values)),
        // An object asked for by its own name is its text.
        Json::Object(_) => values.push(Found::Text(value.to_string())),
    }
}

fn any_leaf(value: &Json, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    match value {
        Json::Array(items) => items.iter().any(|item| any_leaf(item, see)),
        Json::Object(inner) => inner.values().any(|value| any_leaf(value, see)),
        Json::String(text) => see(Value::Text(text)),
        other => {
            let mut values = Vec::with_capacity(1);
            collect(other, &mut values);
            values.iter().any(|found| see(found.value()))
        }
    }
}

/// A time: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970
/// by its size.
fn time_of(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(from_epoch(whole)),
            None => from_fraction(number.as_f64()?),
        },
        Json::String(text) => {
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

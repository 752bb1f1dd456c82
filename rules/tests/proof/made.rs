//! Names, events and sets made by hand, and the question every test here asks.
//!
//! An event is a list of fields with their values and, if it has one, the line it was read from;
//! from JSON, an array is several values and `{"address": "..."}` an address.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use hengwei_rules::{
    Document, Event, Key, LogSource, Names, Options, Refused, Scratch, Set, Value, Wanted,
};
use serde_json::Value as Json;

/// Names, numbered as they are met.
#[derive(Debug, Default)]
pub(crate) struct Known(RefCell<HashMap<String, u32>>);

impl Names for Known {
    fn key(&self, name: &str) -> Key {
        let mut names = self.0.borrow_mut();
        let next = u32::try_from(names.len()).unwrap();
        Key(*names.entry(name.to_owned()).or_insert(next))
    }
}

/// A value on its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    Address(IpAddr),
}

impl Owned {
    /// As an event holds it.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Owned::Null => Value::Null,
            Owned::Text(text) => Value::Text(text),
            Owned::Integer(number) => Value::Integer(*number),
            Owned::Number(number) => Value::Number(*number),
            Owned::Flag(flag) => Value::Flag(*flag),
            Owned::Address(address) => Value::Address(*address),
        }
    }

    /// As JSON, where an address is its text.
    pub(crate) fn json(&self) -> Json {
        match self {
            Owned::Null => Json::Null,
            Owned::Text(text) => Json::from(text.as_str()),
            Owned::Integer(number) => Json::from(*number),
            Owned::Number(number) => Json::from(*number),
            Owned::Flag(flag) => Json::from(*flag),
            Owned::Address(address) => Json::from(address.to_string()),
        }
    }

    fn read(json: &Json, out: &mut Vec<Owned>) {
        match json {
            Json::Null => out.push(Owned::Null),
            Json::Bool(flag) => out.push(Owned::Flag(*flag)),
            Json::Number(number) => out.push(match number.as_i64() {
                Some(number) => Owned::Integer(number),
                None => Owned::Number(number.as_f64().unwrap()),
            }),
            Json::String(text) => out.push(Owned::Text(text.clone())),
            Json::Array(items) => items.iter().for_each(|item| Owned::read(item, out)),
            Json::Object(object) => {
                out.push(Owned::Address(object["address"].as_str().unwrap().parse().unwrap()));
            }
        }
    }
}

/// An event made by hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// Its log sources.
    pub(crate) sources: Vec<LogSource>,
    /// Its fields; one of several values is there several times.
    pub(crate) fields: Vec<(String, Owned)>,
    /// The line it was read from, if any.
    pub(crate) line: Option<String>,
}

impl Made {
    /// Of log source `test`, from an object; the key `@line` is the line.
    pub(crate) fn of(json: &Json) -> Made {
        let mut made =
            Made { sources: vec![LogSource::new(None, Some("test"), None)], ..Made::default() };
        for (name, json) in json.as_object().expect("an event is an object") {
            if name == "@line" {
                made.line = json.as_str().map(str::to_owned);
                continue;
            }
            let mut values = Vec::new();
            Owned::read(json, &mut values);
            made.fields.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        made
    }

    /// Seen by sets whose names `known` resolved.
    pub(crate) fn seen<'a>(&'a self, known: &Known) -> Seen<'a> {
        Seen { made: self, keys: self.fields.iter().map(|(name, _)| known.key(name)).collect() }
    }

    /// As JSON: fields and, under `message`, the line.
    pub(crate) fn json(&self) -> Json {
        let mut fields: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
        for (name, value) in &self.fields {
            fields.entry(name).or_default().push(value.json());
        }
        if let Some(line) = &self.line {
            fields.entry("message").or_default().push(Json::from(line.as_str()));
        }
        let one = |mut values: Vec<Json>| match values.len() {
            1 => values.remove(0),
            _ => Json::from(values),
        };
        fields.into_iter().map(|(name, values)| (name.to_owned(), one(values))).collect()
    }
}

/// An event with its names resolved.
pub(crate) struct Seen<'a> {
    made: &'a Made,
    keys: Vec<Key>,
}

impl Event for Seen<'_> {
    fn any(&self, key: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let fields = self.keys.iter().zip(&self.made.fields);
        fields.filter(|(own, _)| **own == key).any(|(_, (_, value))| see(value.value()))
    }

    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.made.fields.iter().any(|(_, value)| see(value.value()))
            || self.made.line.as_deref().is_some_and(|line| see(Value::Text(line)))
    }

    /// Leaves out what is a piece of the line, as an event of a decoded line may.
    fn any_whole_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let line = self.made.line.as_deref();
        let whole = |value: &Owned| match value {
            Owned::Text(text) => !line.is_some_and(|line| line.contains(text.as_str())),
            _ => true,
        };
        self.made.fields.iter().any(|(_, value)| whole(value) && see(value.value()))
            || line.is_some_and(|line| see(Value::Text(line)))
    }

    /// In the order of the event, which is no order of keys.
    fn visit(&self, wanted: &Wanted, see: &mut dyn FnMut(usize, Value<'_>)) {
        for (key, (_, value)) in self.keys.iter().zip(&self.made.fields) {
            if let Some(place) = wanted.place(*key) {
                see(place, value.value());
            }
        }
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        self.made.sources.iter().any(see)
    }
}

/// A set and what its names resolve to.
#[derive(Default)]
pub(crate) struct Rules {
    /// The names.
    pub(crate) known: Known,
    /// The rules.
    pub(crate) set: Set,
    /// What is not among them.
    pub(crate) refused: Vec<Refused>,
}

impl Rules {
    /// Compiled from texts.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>, options: &Options) -> Rules {
        let known = Known::default();
        let documents = texts.into_iter().map(|text| Document { name: "rules.yml", text });
        let (set, refused) = Set::compile(documents, &known, options);
        Rules { known, set, refused }
    }

    /// The indices of the rules that an event matches, by the plain evaluator; the fast one must
    /// say the same, with nothing remembered and with what `scratch` remembers.
    pub(crate) fn hits(&self, event: &Made, scratch: &mut Scratch) -> Vec<usize> {
        let seen = event.seen(&self.known);
        let mut plainly = Vec::new();
        self.set.evaluate_plainly(&seen, &mut plainly);
        for (scratch, what) in [(&mut Scratch::new(), "new"), (scratch, "used")] {
            let mut hits = Vec::new();
            self.set.evaluate(&seen, scratch, &mut hits);
            assert_eq!(hits, plainly, "with a {what} scratch, of {event:?}");
        }
        plainly
    }

    /// What rules that matched go by.
    pub(crate) fn names(&self, event: &Made) -> Vec<&str> {
        let hits = self.hits(event, &mut Scratch::new());
        hits.iter().map(|index| self.set.rules()[*index].key()).collect()
    }
}

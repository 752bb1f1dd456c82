//! The same events read the plain way: a tree, and each name followed down it when it is asked for.
//! What [`super::JsonEvent`] is compared with.

use serde_json::{Map, Value as Json};

use super::super::json::Origin;

const SOURCE_KEYS: [&str; 3] = ["category", "product", "service"];
const EXPLICIT_KEYS: [&str; 3] = ["_ls_category", "_ls_product", "_ls_service"];

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

/// An object without the spaces in its keys.
pub(super) struct Tree {
    object: Map<String, Json>,
    explicit: bool,
}

impl Tree {
    pub(super) fn new(object: Map<String, Json>) -> Tree {
        let object = stripped(object);
        let explicit = EXPLICIT_KEYS.iter().any(|key| object.contains_key(*key));
        Tree { object, explicit }
    }

    /// The values of a field.
    pub(super) fn values(&self, name: &str) -> Vec<Found> {
        let mut values = Vec::new();
        let hidden = name.starts_with('_') || (!self.explicit && SOURCE_KEYS.contains(&name));
        if !hidden {
            for value in descend(&self.object, name).unwrap_or_default() {
                collect(value, &mut values);
            }
        }
        values
    }

    /// What keywords look at.
    pub(super) fn leaves(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for (key, value) in &self.object {
            let source = !self.explicit && SOURCE_KEYS.contains(&key.as_str());
            if !key.starts_with('_') && (!source || leads_on(value)) {
                leaves(value, source, &mut found);
            }
        }
        found
    }

    /// Calls `look` with what it says of where it comes from.
    pub(super) fn origin<T>(&self, look: impl FnOnce(Origin<'_>) -> T) -> T {
        let keys = if self.explicit { EXPLICIT_KEYS } else { SOURCE_KEYS };
        let first = |name: &str| {
            let mut found = Vec::new();
            collect(descend(&self.object, name)?.first()?, &mut found);
            found.into_iter().next()
        };
        let text = |name: &str| match first(name) {
            Some(Found::Text(text)) if !text.is_empty() && !text.starts_with('{') => Some(text),
            _ => None,
        };
        let said = keys.map(|key| match self.object.get(key) {
            // What is inside is never looked at.
            Some(Json::Array(_) | Json::Object(_)) if self.explicit => None,
            _ => text(key),
        });
        let channel = text("Channel");
        let event_id = first("EventID").and_then(|id| match id {
            Found::Text(text) => text.trim().parse().ok(),
            Found::Integer(id) => Some(id),
            _ => None,
        });
        let (event_type, dataset) = (text("EventType"), text("event.dataset"));
        look(Origin {
            said: said.each_ref().map(Option::as_deref),
            channel: channel.as_deref(),
            event_id: channel.as_ref().and(event_id),
            event_type: channel.as_ref().and(event_type.as_deref()),
            dataset: dataset.as_deref(),
        })
    }
}

fn leads_on(value: &Json) -> bool {
    match value {
        Json::Object(_) => true,
        Json::Array(items) => items.iter().any(leads_on),
        _ => false,
    }
}

/// Without the spaces in its keys; of two keys that become one, the first stays.
fn stripped(object: Map<String, Json>) -> Map<String, Json> {
    let mut out = Map::with_capacity(object.len());
    for (key, value) in object {
        out.entry(key.replace(' ', "")).or_insert(stripped_value(value));
    }
    out
}

fn stripped_value(value: Json) -> Json {
    match value {
        Json::Object(inner) => Json::Object(stripped(inner)),
        Json::Array(items) => Json::Array(items.into_iter().map(stripped_value).collect()),
        other => other,
    }
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
        // Present, and nothing in it.
        Json::Array(items) if items.is_empty() => values.push(Found::Null),
        Json::Array(items) => items.iter().for_each(|item| collect(item, values)),
        // An object asked for by its own name is its text.
        Json::Object(_) => values.push(Found::Text(value.to_string())),
        other => leaves(other, false, values),
    }
}

/// The values that are no objects or arrays, or only those inside objects.
fn leaves(value: &Json, inside: bool, found: &mut Vec<Found>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| leaves(item, inside, found)),
        Json::Object(inner) => inner.values().for_each(|value| leaves(value, false, found)),
        _ if inside => {}
        Json::Null => found.push(Found::Null),
        Json::Bool(flag) => found.push(Found::Flag(*flag)),
        Json::String(text) => found.push(Found::Text(text.clone())),
        Json::Number(number) => found.push(match number.as_i64() {
            Some(whole) => Found::Integer(whole),
            // Beyond 64 bits with a sign, what is written says more than the nearest number.
            None if number.is_u64() => Found::Text(number.to_string()),
            None => Found::Number(number.as_f64().unwrap()),
        }),
    }
}

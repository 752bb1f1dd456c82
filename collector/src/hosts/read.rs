//! Reading fields of typed events by name: the one place here that knows how events are laid out.

use hengwei_rules::Value as Seen;
use serde_json::{Map, Value as Json};

use crate::event::{EventRef, FieldId};

/// What is taken of one event into a row, in bytes of text: a group of a thousand members fits, and
/// no agent fills the index with one item.
const MAX_ROW: usize = 32 << 10;

/// The first value of a field as text; empty when there is none.
pub(super) fn text(event: &EventRef<'_>, name: &str) -> String {
    texts(event, name).into_iter().next().unwrap_or_default()
}

/// Every value of a field as text, as far as they fit into a row.
pub(super) fn texts(event: &EventRef<'_>, name: &str) -> Vec<String> {
    let Some(id) = FieldId::find(name) else { return Vec::new() };
    let mut room = MAX_ROW;
    event.values(id).take_while(|value| takes(&mut room, *value)).map(plain).collect()
}

/// Takes a value's share of the room; false when there is not enough.
fn takes(room: &mut usize, value: Seen<'_>) -> bool {
    let len = match value {
        Seen::Text(text) => text.len() + 8,
        _ => 16,
    };
    let fits = len <= *room;
    if fits {
        *room -= len;
    }
    fits
}

/// A number, whole or not; None when there is none that is finite.
pub(super) fn number(event: &EventRef<'_>, name: &str) -> Option<f64> {
    let number = match event.get(FieldId::find(name)?)? {
        Seen::Integer(integer) => integer as f64,
        Seen::Number(number) => number,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// All stored fields whose name `keep` takes, as one flat object, as far as they fit into a row;
/// several values are an array.
pub(super) fn object(event: &EventRef<'_>, keep: impl Fn(&str) -> bool) -> Map<String, Json> {
    let mut object = Map::new();
    let mut room = MAX_ROW;
    for (id, value) in event.iter().filter(|(id, _)| keep(id.name())) {
        if !takes(&mut room, value) {
            continue;
        }
        let value = json(value);
        match object.get_mut(id.name()) {
            None => {
                object.insert(id.name().to_owned(), value);
            }
            Some(Json::Array(values)) => values.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
    }
    object
}

fn plain(value: Seen<'_>) -> String {
    match value {
        Seen::Null => String::new(),
        Seen::Text(text) => text.to_owned(),
        Seen::Integer(integer) => integer.to_string(),
        Seen::Number(number) => number.to_string(),
        Seen::Flag(flag) => flag.to_string(),
        Seen::Address(address) => address.to_string(),
    }
}

fn json(value: Seen<'_>) -> Json {
    match value {
        Seen::Null => Json::Null,
        Seen::Integer(integer) => integer.into(),
        Seen::Number(number) => number.into(),
        Seen::Flag(flag) => flag.into(),
        other => plain(other).into(),
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Batches of typed events, for tests.

    use std::sync::Arc;

    use bytes::Bytes;
    use hengwei_protocol::Kind;
    use hengwei_protocol::wire::Origin;
    use serde_json::Value as Json;

    use crate::event::{Event, Events, FieldId, Sender, Value};

    /// An agent of system `health-card`.
    pub(crate) fn sender(agent: &str) -> Sender {
        Sender {
            agent: agent.into(),
            host: format!("{agent}.lan").as_str().into(),
            site: "hospital-1".into(),
            system: "health-card".into(),
            zone: Arc::from("UTC"),
        }
    }

    /// Adds an event of `time` with the fields of a flat object.
    pub(crate) fn add(events: &mut Events, dataset: &'static str, time: i64, fields: Json) {
        let source = if dataset.starts_with("asset.") { "assets" } else { "performance" };
        let origin = Origin { source: source.into(), ..Origin::default() };
        if !events.origins.contains(&origin) {
            events.origins.push(origin.clone());
        }
        let at = events.origins.iter().position(|known| *known == origin).unwrap();
        let first = events.fields.len();
        for (name, value) in fields.as_object().unwrap() {
            let several = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for value in several {
                let value = match value {
                    Json::String(text) => {
                        let start = u32::try_from(events.arena.len()).unwrap();
                        events.arena.push_str(&text);
                        Value::Arena { start, len: u32::try_from(text.len()).unwrap() }
                    }
                    Json::Number(number) if number.is_i64() => {
                        Value::Integer(number.as_i64().unwrap())
                    }
                    Json::Number(number) => Value::Number(number.as_f64().unwrap()),
                    Json::Bool(flag) => Value::Flag(flag),
                    other => panic!("{other}"),
                };
                events.fields.push((FieldId::of(name), value));
            }
        }
        events.fields[first..].sort_by_key(|(id, _)| *id);
        let bound = |index: usize| u32::try_from(index).unwrap();
        events.events.push(Event {
            number: events.events.len() as u64,
            span: 1,
            kind: Kind::Asset,
            dataset,
            time,
            created: time,
            suspect: false,
            origin: bound(at),
            original: Bytes::new(),
            converted: None,
            fields: bound(first)..bound(events.fields.len()),
            weight: 1,
        });
    }
}

//! How an event is read: by field id, as JSON, and by rules.
//!
//! Header fields ([`names::HEADER_END`] and below) are answered here from the event, its batch and
//! its sender; what a line says of itself under those names never reaches them.

use std::borrow::Cow;

use hengwei_rules::{Key, LogSource, Value as Seen, Wanted};
use serde_json::{Map, Value as Json, json};

use super::{Event, Events, FieldId, Sender, Value, logsource, names, slice};
use crate::time::rfc3339;

/// An event with what it takes to read it.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// Its batch.
    pub batch: &'a Events,
    /// The event.
    pub event: &'a Event,
    /// Who sent it.
    pub sender: &'a Sender,
    text: &'a str,
}

/// Resolves the names that rules use: a key is a [`FieldId`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FieldNames;

impl hengwei_rules::Names for FieldNames {
    fn key(&self, name: &str) -> Key {
        Key(FieldId::of(name).0)
    }
}

impl<'a> EventRef<'a> {
    /// Puts the parts together.
    pub fn new(batch: &'a Events, event: &'a Event, sender: &'a Sender) -> EventRef<'a> {
        EventRef { batch, event, sender, text: batch.text(event) }
    }

    /// The original as UTF-8; of a journal record its message; empty for other typed records.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The first value of a field. Times (`@timestamp`, `event.created`, `event.ingested`) are
    /// Unix nanoseconds here, text everywhere else.
    pub fn get(&self, id: FieldId) -> Option<Seen<'a>> {
        self.values(id).next()
    }

    /// Every value of a field, see [`EventRef::get`].
    pub fn values(&self, id: FieldId) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        let view = *self;
        let stored = view.batch.fields_of(view.event);
        let from = stored.partition_point(|(other, _)| *other < id);
        let stored = stored[from..].iter().take_while(move |(other, _)| *other == id);
        let header = self.header(id);
        header.into_iter().chain(stored.map(move |(_, value)| view.seen(*value)))
    }

    /// The stored fields, sorted by id; those of the header are not among them.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, Seen<'a>)> + use<'a> {
        let view = *self;
        view.batch.fields_of(view.event).iter().map(move |(id, value)| (*id, view.seen(*value)))
    }

    /// The first value of a field, if it is text.
    pub fn get_text(&self, id: FieldId) -> Option<&'a str> {
        match self.get(id) {
            Some(Seen::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The first value of a field, if it is a whole number.
    pub fn get_integer(&self, id: FieldId) -> Option<i64> {
        match self.get(id) {
            Some(Seen::Integer(integer)) => Some(integer),
            _ => None,
        }
    }

    /// The first value of a field as a person reads it, times as RFC 3339.
    pub fn display(&self, id: FieldId) -> Option<Cow<'a, str>> {
        if let Some(time) = self.time(id) {
            return Some(rfc3339(time).into());
        }
        Some(match self.get(id)? {
            Seen::Null => Cow::Borrowed(""),
            Seen::Text(text) => Cow::Borrowed(text),
            Seen::Integer(integer) => integer.to_string().into(),
            Seen::Number(number) => number.to_string().into(),
            Seen::Flag(flag) => flag.to_string().into(),
            Seen::Address(address) => address.to_string().into(),
        })
    }

    /// The event as one flat object: dotted names, times as RFC 3339, several values as an array.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        for (id, name) in (0u32..).map(FieldId).zip(names::KNOWN) {
            if id >= names::HEADER_END {
                break;
            }
            if let Some(time) = self.time(id) {
                object.insert((*name).to_owned(), rfc3339(time).into());
            } else if let Some(value) = self.header(id) {
                object.insert((*name).to_owned(), json_of(value));
            }
        }
        for (id, value) in self.iter() {
            let value = json_of(value);
            match object.get_mut(id.name()) {
                None => {
                    object.insert(id.name().to_owned(), value);
                }
                Some(Json::Array(values)) => values.push(value),
                Some(first) => *first = json!([first.take(), value]),
            }
        }
        Json::Object(object)
    }

    fn time(&self, id: FieldId) -> Option<i64> {
        match id {
            names::TIMESTAMP => Some(self.event.time),
            names::EVENT_CREATED => Some(self.event.created),
            names::EVENT_INGESTED => Some(self.batch.ingested),
            _ => None,
        }
    }

    /// What the header says under a name; None for stored fields and for what it leaves open.
    fn header(&self, id: FieldId) -> Option<Seen<'a>> {
        if id > names::MESSAGE {
            return None;
        }
        if let Some(time) = self.time(id) {
            return Some(Seen::Integer(time));
        }
        let text = |text: &'a str| (!text.is_empty()).then_some(Seen::Text(text));
        let origin = self.batch.origins.get(self.event.origin as usize);
        match id {
            names::EVENT_KIND => text("event"),
            names::EVENT_DATASET => text(self.event.dataset),
            names::EVENT_ORIGINAL => text(self.text),
            names::HENGWEI_KIND => text(self.event.kind.as_str()),
            names::HENGWEI_SITE => text(&self.sender.site),
            names::HENGWEI_SYSTEM => text(&self.sender.system),
            names::HENGWEI_TIME_SUSPECT => self.event.suspect.then_some(Seen::Flag(true)),
            names::HENGWEI_WEIGHT => (self.event.weight != 1)
                .then(|| Seen::Integer(i64::try_from(self.event.weight).unwrap_or(i64::MAX))),
            names::HENGWEI_SOURCE => text(origin.map_or("", |origin| &origin.source)),
            names::AGENT_ID => text(&self.sender.agent),
            // A file replayed without an agent has only its own word for the host.
            names::HOST_NAME if self.sender.host.is_empty() => self.get(names::LOG_SYSLOG_HOSTNAME),
            names::HOST_NAME => text(&self.sender.host),
            names::LOG_FILE_PATH => text(origin.map_or("", |origin| &origin.path)),
            names::MESSAGE if !self.stores(names::MESSAGE) => text(self.text),
            _ => None,
        }
    }

    fn stores(&self, id: FieldId) -> bool {
        self.batch.fields_of(self.event).binary_search_by_key(&id, |(id, _)| *id).is_ok()
    }

    fn seen(&self, value: Value) -> Seen<'a> {
        match value {
            Value::Text { start, len } => Seen::Text(slice(self.text, start, len)),
            Value::Arena { start, len } => Seen::Text(self.batch.span(start, len)),
            Value::Integer(integer) => Seen::Integer(integer),
            Value::Number(number) => Seen::Number(number),
            Value::Flag(flag) => Seen::Flag(flag),
            Value::Address(address) => Seen::Address(address),
        }
    }
}

impl hengwei_rules::Event for EventRef<'_> {
    fn any(&self, key: Key, see: &mut dyn FnMut(Seen<'_>) -> bool) -> bool {
        let id = FieldId(key.0);
        if let Some(time) = self.time(id) {
            return see(Seen::Text(&rfc3339(time)));
        }
        self.values(id).any(see)
    }

    fn any_value(&self, see: &mut dyn FnMut(Seen<'_>) -> bool) -> bool {
        self.iter().any(|(_, value)| see(value))
            || (!self.text.is_empty() && see(Seen::Text(self.text)))
    }

    fn any_whole_value(&self, see: &mut dyn FnMut(Seen<'_>) -> bool) -> bool {
        let stored = self.batch.fields_of(self.event).iter();
        // A span of the text is shown with the text.
        let mut apart = stored.filter(|(_, value)| !matches!(value, Value::Text { .. }));
        apart.any(|(_, value)| see(self.seen(*value)))
            || (!self.text.is_empty() && see(Seen::Text(self.text)))
    }

    fn visit(&self, wanted: &Wanted, see: &mut dyn FnMut(usize, Seen<'_>)) {
        // The header answers for names up to this one, and it is asked; what is stored is gone through.
        let last = names::MESSAGE;
        for (place, key) in wanted.keys().iter().enumerate() {
            if key.0 > last.0 {
                break;
            }
            self.any(*key, &mut |value| {
                see(place, value);
                false
            });
        }
        let stored = self.batch.fields_of(self.event);
        let from = stored.partition_point(|(id, _)| *id <= last);
        for (id, value) in &stored[from..] {
            if let Some(place) = wanted.place(Key(id.0)) {
                see(place, self.seen(*value));
            }
        }
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        logsource::of_dataset(self.event.dataset).iter().any(see)
    }
}

fn json_of(value: Seen<'_>) -> Json {
    match value {
        Seen::Null => Json::Null,
        Seen::Text(text) => text.into(),
        Seen::Integer(integer) => integer.into(),
        Seen::Number(number) => number.into(),
        Seen::Flag(flag) => flag.into(),
        Seen::Address(address) => address.to_string().into(),
    }
}

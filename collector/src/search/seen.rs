//! A stored record as a query sees it: decoded, with its line, its labels and its fields.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Field, Record, field, record::Body};
use hengwei_rules::{Event as _, Key, Value as Plain};
use serde_json::Value as Json;

use super::Place;
use crate::decode;
use crate::event::{EventRef, Events, FieldId, Sender, names};
use crate::history::Found;
use crate::logql::{self, Label, Value};

/// Records that were found, decoded.
pub(super) struct Decoded {
    sender: Sender,
    queue: Kind,
    epoch: [u8; 16],
    block: Block,
    events: Events,
}

/// One event of them.
pub(super) struct Seen<'a> {
    event: EventRef<'a>,
    record: &'a Record,
    queue: Kind,
    epoch: [u8; 16],
    /// What stands for the text of a record that has none.
    line: OnceCell<String>,
}

/// Whether two records can be decoded together: one sender, one origin, taken in at once.
pub(super) fn are_alike(one: &Found, other: &Found) -> bool {
    [&one.agent, &one.host, &one.site, &one.system, &one.zone]
        .iter()
        .zip([&other.agent, &other.host, &other.site, &other.system, &other.zone])
        .all(|(one, other)| Arc::ptr_eq(one, other))
        && (one.kind, one.raised, one.epoch, one.ingested)
            == (other.kind, other.raised, other.epoch, other.ingested)
        && one.origin == other.origin
}

impl Decoded {
    /// Decodes records that [`are_alike`]; None of none.
    pub(super) fn of(mut alike: Vec<Found>) -> Option<Decoded> {
        let records = alike.iter_mut().map(|found| {
            let mut record = std::mem::take(&mut found.record);
            record.origin = 0;
            record
        });
        let records = records.collect();
        let Found {
            agent, host, site, system, zone, kind, raised, epoch, origin, ingested, ..
        } = alike.into_iter().next()?;
        let sender = Sender { agent, host, site, system, zone };
        let block = Block { origins: vec![origin], records };
        let context = decode::Context { sender: &sender, ingested, kind };
        let mut events = decode::block(&block, &context);
        for event in &mut events.events {
            // As it stood at commit: that is how history keeps it.
            event.kind = if raised { Kind::Security } else { kind };
        }
        Some(Decoded { sender, queue: kind, epoch, block, events })
    }

    pub(super) fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.events.iter(&self.sender)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Seen<'_>> {
        let events = self.events.iter(&self.sender).zip(&self.block.records);
        events.map(|(event, record)| Seen::new(event, record, self.queue, self.epoch))
    }
}

impl<'a> Seen<'a> {
    pub(super) fn new(
        event: EventRef<'a>,
        record: &'a Record,
        queue: Kind,
        epoch: [u8; 16],
    ) -> Seen<'a> {
        Seen { event, record, queue, epoch, line: OnceCell::new() }
    }

    pub(super) fn time(&self) -> i64 {
        self.event.event.time
    }

    pub(super) fn agent(&self) -> &str {
        &self.event.sender.agent
    }

    pub(super) fn dataset(&self) -> &'static str {
        self.event.event.dataset
    }

    pub(super) fn place(&self) -> Place {
        let agent: &Arc<str> = &self.event.sender.agent;
        Place::new(self.time(), agent, self.queue, self.epoch, self.event.event.number)
    }

    pub(super) fn to_json(&self) -> Json {
        self.event.to_json()
    }

    /// Whether the line is the original, byte for byte.
    pub(super) fn is_as_it_came(&self) -> bool {
        self.is_original() && self.event.event.converted.is_none()
    }

    /// The values of decoded fields.
    pub(super) fn values(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        self.event.iter().filter_map(|(_, value)| of(value)).map(Value::text)
    }

    fn fields(&self) -> Option<&'a [Field]> {
        match self.record.body.as_ref()? {
            Body::Fields(fields) => Some(&fields.fields),
            _ => None,
        }
    }

    /// The fields of a typed record as they came; of what is neither line nor fields (a gap), those
    /// that say what it is.
    fn logfmt(&self) -> String {
        let mut line = String::new();
        match self.fields() {
            Some(fields) => {
                for field in fields {
                    if let Some(value) = received(field) {
                        logql::logfmt(&mut line, &field.name, &value.text());
                    }
                }
            }
            None => {
                for (id, value) in self.event.iter() {
                    if let Some(value) = of(value) {
                        logql::logfmt(&mut line, id.name(), &value.text());
                    }
                }
            }
        }
        line
    }

    fn is_original(&self) -> bool {
        matches!(self.record.body, Some(Body::Original(_)))
    }

    fn any_of(&self, id: FieldId, see: &mut dyn FnMut(Value<'_>) -> bool) -> (bool, bool) {
        let mut present = false;
        let seen = self.event.any(Key(id.0), &mut |value| {
            present = true;
            of(value).is_some_and(&mut *see)
        });
        (present, seen)
    }
}

impl logql::Event for Seen<'_> {
    fn line(&self) -> &str {
        let text = self.event.text();
        if self.is_original() || !text.is_empty() {
            return text;
        }
        self.line.get_or_init(|| self.logfmt())
    }

    fn label(&self, label: Label) -> Cow<'_, str> {
        let id = match label {
            Label::Agent => names::AGENT_ID,
            Label::Host => names::HOST_NAME,
            Label::Site => names::HENGWEI_SITE,
            Label::System => names::HENGWEI_SYSTEM,
            Label::Zone => names::HENGWEI_ZONE,
            Label::Kind => names::HENGWEI_KIND,
            Label::Dataset => names::EVENT_DATASET,
            Label::Source => names::HENGWEI_SOURCE,
            Label::Path => names::LOG_FILE_PATH,
            Label::Level => names::LOG_LEVEL,
        };
        let value = |id: FieldId| self.event.get(id).and_then(of).map(Value::text);
        value(id)
            // What a line of JSON calls so is no other thing.
            .or_else(|| value(FieldId::find(label.name()).filter(|_| label == Label::Level)?))
            .unwrap_or_default()
    }

    fn any_received(&self, see: &mut dyn FnMut(&str) -> bool) -> bool {
        let text = self.event.text();
        if self.is_original() {
            return see(text);
        }
        if !text.is_empty() && see(text) {
            return true;
        }
        match self.fields() {
            Some(fields) => fields.iter().filter_map(received).any(|value| see(&value.text())),
            None => self.values().any(|value| see(&value)),
        }
    }

    fn any(&self, field: &str, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        if let Some(id) = FieldId::find(field)
            && let (true, seen) = self.any_of(id, see)
        {
            return seen;
        }
        if field.contains('.') || !field.contains('_') {
            return false;
        }
        let header = (0..=names::MESSAGE.0).map(FieldId);
        let mut last = None;
        let stored =
            self.event.iter().map(|(id, _)| id).filter(|id| last.replace(*id) != Some(*id));
        let ids: Vec<FieldId> = header.chain(stored).collect();
        ids.into_iter()
            .filter(|id| logql::is_underscored(field, id.name()))
            .any(|id| self.any_of(id, see).1)
    }
}

fn of(value: Plain<'_>) -> Option<Value<'_>> {
    Some(match value {
        Plain::Null => return None,
        Plain::Text(text) => Value::Text(text),
        Plain::Integer(integer) => Value::Integer(integer),
        Plain::Number(number) => Value::Number(number),
        Plain::Flag(flag) => Value::Flag(flag),
        Plain::Address(address) => Value::Address(address),
    })
}

fn received(field: &Field) -> Option<Value<'_>> {
    Some(match field.value.as_ref()? {
        field::Value::Text(text) => Value::Text(text),
        field::Value::Integer(integer) => Value::Integer(*integer),
        field::Value::Number(number) => Value::Number(*number),
        field::Value::Flag(flag) => Value::Flag(*flag),
    })
}

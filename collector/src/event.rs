//! An event: what a decoder understood of a record.
//!
//! A header and a small sorted array of (field id, value). Values are spans into the event's text,
//! spans in the arena its batch shares, or plain numbers, so a field allocates nothing. Names are
//! Elastic Common Schema 8; ours are under `hengwei.*`, patient data under `patient.*`.
//!
//! [`names`] lists the names known at compile time, [`intern`] adds those that rules and JSON
//! lines bring, [`view`] is how an event is read: field by field, as JSON, and by the rules crate.
//! Nothing here reads bytes from outside; that is [`crate::decode`].

pub mod intern;
pub mod logsource;
pub mod names;
pub mod view;

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::Origin;

pub use view::{EventRef, FieldNames};

/// The agent id of the collector's own records; no certificate is issued for it.
pub const OWN_AGENT: &str = "collector";

/// A field's name, interned. Ids of known ECS names are constants in [`names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u32);

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A span of the event's text ([`Events::text`]).
    Text {
        /// First byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
    /// A span of the batch's arena.
    Arena {
        /// First byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// An address.
    Address(IpAddr),
}

/// One event of a batch.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number of its record.
    pub number: u64,
    /// Numbers its record stands for (a gap's span).
    pub span: u64,
    /// As configured, or raised to security by a decoder.
    pub kind: Kind,
    /// `sshd`, `nginx.access`, `perf.cpu`, `asset.package`, `fim` ...
    pub dataset: &'static str,
    /// `@timestamp`, Unix nanoseconds.
    pub time: i64,
    /// `event.created`, Unix nanoseconds.
    pub created: i64,
    /// Whether `time` was too far ahead and `created` stands in for it.
    pub suspect: bool,
    /// Index into [`Events::origins`].
    pub origin: u32,
    /// The original as it came; empty for typed records.
    pub original: Bytes,
    /// The original as UTF-8, when it had to be converted (or the message of a journal record,
    /// which came typed): a span of the arena.
    pub converted: Option<Range<u32>>,
    /// Its fields: a range of [`Events::fields`], sorted by id, ids repeat for several values.
    pub fields: Range<u32>,
    /// How many events it stands for: "message repeated N times" says N.
    pub weight: u64,
}

/// The events of one batch of one agent.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Spans of [`Value::Arena`] and `converted` point here; valid UTF-8.
    pub arena: String,
    /// Fields of all events.
    pub fields: Vec<(FieldId, Value)>,
    /// The events, in the order of their records.
    pub events: Vec<Event>,
    /// The block's origins.
    pub origins: Vec<Origin>,
    /// `event.ingested` of all of them, Unix nanoseconds.
    pub ingested: i64,
}

/// Where a batch comes from, as the collector knows it: the certificate and the registry, never
/// what the agent says. (The zone is the agent's word, and only dates lines that have none.)
#[derive(Debug, Clone)]
pub struct Sender {
    /// The agent's id (`agent.id`), from its certificate.
    pub agent: Arc<str>,
    /// From Hello (`host.name`).
    pub host: Arc<str>,
    /// From the registry (`hengwei.site`).
    pub site: Arc<str>,
    /// From the registry (`hengwei.system`).
    pub system: Arc<str>,
    /// Zone of stamps that carry none: IANA name or offset.
    pub zone: Arc<str>,
}

impl Events {
    /// An event's text: its original as UTF-8. Empty for typed records without a message.
    pub fn text<'a>(&'a self, event: &'a Event) -> &'a str {
        match &event.converted {
            Some(span) => self.span(span.start, span.end.saturating_sub(span.start)),
            // Decoding leaves an original unconverted only when it is UTF-8.
            None => std::str::from_utf8(&event.original).unwrap_or_default(),
        }
    }

    /// A span of the arena.
    pub fn span(&self, start: u32, len: u32) -> &str {
        slice(&self.arena, start, len)
    }

    /// The fields of an event, sorted by id.
    pub fn fields_of(&self, event: &Event) -> &[(FieldId, Value)] {
        let range = event.fields.start as usize..event.fields.end as usize;
        self.fields.get(range).unwrap_or_default()
    }

    /// Every event, ready to be read.
    pub fn iter<'a>(&'a self, sender: &'a Sender) -> impl Iterator<Item = EventRef<'a>> {
        self.events.iter().map(move |event| EventRef::new(self, event, sender))
    }

    /// The event at `index`, ready to be read.
    pub fn get<'a>(&'a self, index: usize, sender: &'a Sender) -> Option<EventRef<'a>> {
        self.events.get(index).map(|event| EventRef::new(self, event, sender))
    }
}

/// A span of a text, or nothing when it is not one.
fn slice(text: &str, start: u32, len: u32) -> &str {
    let start = start as usize;
    text.get(start..start.saturating_add(len as usize)).unwrap_or_default()
}

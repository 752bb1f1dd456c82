//! The language of searches: LogQL's log part, bare words, and counts over time.
//!
//! In: the text of a query, and events seen through [`Event`]. Out: whether an event fits
//! ([`Filter::fits`]), what a store may skip by ([`Filter::plan`]), and series of counts
//! ([`Metric`]). No event type, store or clock is known here. Text from outside costs no more than
//! its length allows: queries, patterns, nesting and series are bounded, and every [`Error`] says
//! where it is and what was expected.
//!
//! ```text
//! sshd 10.1.2.3 "two words" user.name=root        whole words and exact values; all must fit
//! {host="emr-01", system=~"em.*", kind!="asset"}  labels: = != =~ !~ (a pattern is the whole value)
//! |= "a" or "b"   != "c"   |~ "re"   !~ "re"      the line has this in it, or matches
//! |= ip("10.0.0.0/8")                             the line has such an address in it
//! | source.ip = "10.1.2.3" and url.path =~ "/a.*" fields: = != =~ !~ with texts,
//! | status >= 500 or event.duration > 10ms        == != > >= < <= with numbers, times, sizes,
//! | source.ip = ip("10.0.0.0/8"), size > 5KB      = != with ip(...); and, or, comma, brackets
//! sum by (host) (count_over_time({...} |= "x" [5m]))
//! ```
//!
//! Texts stand in `"…"` with a backslash before quotes and backslashes, or in backticks as they are.
//! Words and `field=value` stand before the first `|` of a stage; a word is whole
//! ([`holds_word`](crate::history::holds_word)) and without regard to ASCII case.
//!
//! **Names.** `agent`, `host`, `site`, `system`, `zone`, `kind`, `dataset`, `source`, `path` and
//! `level` are labels, under their ECS names (`host.name`) and with underscores (`host_name`), too; a
//! field of a line that has such a short name is not reached by it, since who a host is comes from
//! its certificate and not from what a line says. Every other name is a field of the event: the one of exactly this name, or, when it has none and
//! the name has no dot, the one that is called so when dots are written as underscores, which is
//! how Grafana shows it (`source_ip`).
//!
//! **What is not there.** As in LogQL: compared with a text or a pattern, a field an event does not
//! have is the empty text, so `!= "x"` fits; compared with a number, a time, a size or an address
//! it never fits, not even `!=`. A value that is none fits neither; Loki would keep such a line and
//! mark it with `__error__`. Of several values of a field one must fit, and with `!=` or `!~` none.
//!
//! **Stages.** Fields are decoded already, so `| json`, `| logfmt` and `| unpack` are taken and do
//! nothing; stages that would extract by a pattern or change lines are refused by name.

mod aggregate;
mod error;
mod filter;
mod parse;
mod pattern;
mod plan;
mod quantity;
mod scan;
mod series;
mod terms;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

pub use error::Error;
pub use filter::{Filter, LabelMatcher};
pub use parse::MAX_QUERY;
pub use plan::Plan;
pub use series::{MAX_POINTS, MAX_SERIES, Metric, Series, Steps, Tally, TooMuch};

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which events.
    pub filter: Filter,
    /// What is counted of them; None when the events themselves are wanted.
    pub metric: Option<Metric>,
}

impl Query {
    /// Reads a query. The empty one is about every event.
    pub fn parse(text: &str) -> Result<Query, Error> {
        parse::query(text)
    }

    /// Whether an event fits.
    pub fn fits(&self, event: &dyn Event) -> bool {
        self.filter.fits(event)
    }

    /// What a store may skip by.
    pub fn plan(&self) -> Plan {
        self.filter.plan()
    }
}

/// An event, as a query sees it.
pub trait Event {
    /// Its text: the original as UTF-8, the message of a journal record, or of other typed records
    /// their fields as received, as [`logfmt`] writes them.
    fn line(&self) -> &str;
    /// A label; empty when it has none.
    fn label(&self, label: Label) -> Cow<'_, str>;
    /// Calls `see` with its text, if it came with one, and every value of a field it was received
    /// with, until it returns true; whether it did.
    fn any_received(&self, see: &mut dyn FnMut(&str) -> bool) -> bool;
    /// Calls `see` with each value of a field until it returns true; whether it did. The field is
    /// the one of this name, or, when there is none and the name has no dot, those whose name
    /// [`is_underscored`].
    fn any(&self, field: &str, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
}

/// One value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// An address.
    Address(IpAddr),
}

impl<'a> Value<'a> {
    /// As a person reads it.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Integer(integer) => Cow::Owned(integer.to_string()),
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::Flag(true) => Cow::Borrowed("true"),
            Value::Flag(false) => Cow::Borrowed("false"),
            Value::Address(address) => Cow::Owned(address.to_string()),
        }
    }

    fn is(self, wanted: &str) -> bool {
        match self {
            Value::Text(text) => text == wanted,
            value => value.text() == wanted,
        }
    }
}

/// What a stream of events has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// `agent.id`
    Agent,
    /// `host.name`
    Host,
    /// `hengwei.site`
    Site,
    /// `hengwei.system`
    System,
    /// `hengwei.zone`
    Zone,
    /// `hengwei.kind`
    Kind,
    /// `event.dataset`
    Dataset,
    /// `hengwei.source`
    Source,
    /// `log.file.path`
    Path,
    /// `log.level`, or what a line of JSON calls `level`.
    Level,
}

impl Label {
    /// All of them.
    pub const ALL: [Label; 10] = [
        Label::Agent,
        Label::Host,
        Label::Site,
        Label::System,
        Label::Zone,
        Label::Kind,
        Label::Dataset,
        Label::Source,
        Label::Path,
        Label::Level,
    ];

    /// Its short name.
    pub fn name(self) -> &'static str {
        match self {
            Label::Agent => "agent",
            Label::Host => "host",
            Label::Site => "site",
            Label::System => "system",
            Label::Zone => "zone",
            Label::Kind => "kind",
            Label::Dataset => "dataset",
            Label::Source => "source",
            Label::Path => "path",
            Label::Level => "level",
        }
    }

    /// The field it stands for.
    pub fn ecs(self) -> &'static str {
        match self {
            Label::Agent => "agent.id",
            Label::Host => "host.name",
            Label::Site => "hengwei.site",
            Label::System => "hengwei.system",
            Label::Zone => "hengwei.zone",
            Label::Kind => "hengwei.kind",
            Label::Dataset => "event.dataset",
            Label::Source => "hengwei.source",
            Label::Path => "log.file.path",
            Label::Level => "log.level",
        }
    }

    /// The label of a name in any of its forms.
    pub fn named(name: &str) -> Option<Label> {
        Label::ALL.into_iter().find(|label| {
            name == label.name() || name == label.ecs() || is_underscored(name, label.ecs())
        })
    }
}

/// Whether `name` is what `field` is called when its dots are written as underscores.
pub fn is_underscored(name: &str, field: &str) -> bool {
    let same = |(one, other): (u8, u8)| one == if other == b'.' { b'_' } else { other };
    name.len() == field.len() && name.bytes().zip(field.bytes()).all(same)
}

/// Adds a field to the line of a typed record: `name=value`, after a blank when it is not the first.
///
/// A value with blanks, quotes or `=` stands in quotes, quotes and backslashes with a backslash in
/// front. Nothing else is escaped, so a value's words are words of the line.
pub fn logfmt(line: &mut String, name: &str, value: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(name);
    line.push('=');
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && !value.contains(special) {
        line.push_str(value);
        return;
    }
    line.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push('"');
}

//! Sigma rules: parse, compile, evaluate.
//!
//! In: the text of rules, and events seen through [`Event`]. Out: which rules matched, and what the
//! correlations over those matches say. This crate knows no file, no socket, no clock and no event
//! type of anybody's: a field is asked for by a [`Key`] that [`Names`] resolved once, at compile time.
//!
//! A [`Set`] is compiled from documents; what it cannot honour whole is [`Refused`] by name.
//! [`Set::evaluate`] gives the detection rules an event matches, one event at a time. A match that a
//! correlation counts is a [`BaseHit`]: the caller commits it with its event and feeds it to the
//! [`Correlator`], which holds the windows.
//!
//! [`Set::explainer`] says why one rule matched an event or not; [`Set::coverage`] which rules can match
//! anything of what arrives.
//!
//! There are two evaluators. [`Set::evaluate_plainly`] is the plain reading of the standard, rule by
//! rule; [`Set::evaluate`] runs all rules at once ([`Program`]) and is compared with it.

use std::net::IpAddr;

mod budget;
mod calendar;
mod cidr;
mod correlation;
mod correlator;
pub mod coverage;
mod detection;
mod document;
mod encode;
pub mod explain;
mod expression;
mod item;
mod lint;
pub mod logsource;
mod narrow;
mod pattern;
mod program;
mod rule;
mod set;
pub mod taxonomy;
pub mod text;
mod tuning;

#[cfg(test)]
mod testing;

pub use correlation::{BaseHit, Group, MAX_LOCATOR_BYTES, MAX_TEXT_BYTES, Reference};
pub use correlator::{Correlator, Fired, RestoreError, Total};
pub use lint::{Finding, lint, lint_knowing, lint_set};
pub use program::{Observer, Program, Scratch, Wanted};
pub use rule::{Attributes, Level, Rule};
pub use set::{Document, Mapping, Options, Refused, Set};
pub use tuning::{LeftOut, Override};

/// A field's name, resolved once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u32);

/// Resolves the names that rules use to keys that events know.
pub trait Names {
    /// The key of a field name, the same for the same name.
    fn key(&self, name: &str) -> Key;
}

/// One value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Present, and said to be nothing.
    Null,
    /// Text.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// An address, which matches as its text and by `cidr`.
    Address(IpAddr),
}

/// An event, as a rule sees it.
pub trait Event {
    /// Calls `see` with each value of a field until it returns true; whether it did. A field that
    /// is absent calls nothing.
    fn any(&self, key: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
    /// The same over every value of every field, and then the original line, for keywords.
    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
    /// The same, but values that are pieces of the original line may be left out when the line
    /// itself is shown: for what is found in the line wherever it is found in a piece of it.
    fn any_whole_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.any_value(see)
    }
    /// Shows every value of the fields that are wanted, in any order, with the field's place there.
    fn visit(&self, wanted: &Wanted, see: &mut dyn FnMut(usize, Value<'_>)) {
        for (place, key) in wanted.keys().iter().enumerate() {
            self.any(*key, &mut |value| {
                see(place, value);
                false
            });
        }
    }
    /// Calls `see` with each log source of the event's set until it returns true; whether it did.
    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool;
}

/// Where events come from, in Sigma's terms. In an event, the most that is known; in a rule, what
/// is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogSource {
    /// Such as `process_creation`, `webserver`.
    pub category: Option<Box<str>>,
    /// Such as `linux`, `windows`, `nginx`.
    pub product: Option<Box<str>>,
    /// Such as `sshd`, `sysmon`.
    pub service: Option<Box<str>>,
}

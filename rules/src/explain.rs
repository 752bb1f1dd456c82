//! Why a rule matched an event, or why it did not.
//!
//! In: a compiled set, the texts it was compiled from, and one rule of it. Out: an [`Explainer`],
//! which says of any event what the rule found in it or what it lacked. A set keeps none of what
//! rules write (names of selections, fields, values): the text of the one rule is read again, so
//! that explaining one costs no memory for thousands. What decides is what [`crate::Set::evaluate_plainly`]
//! asks, so that what is explained is what happens.
//!
//! Everything copied from an event is bounded. Nothing is remembered between events: of a
//! correlation it says what it groups by, what its window needs and which of its rules matched, and
//! not how full its windows are.

use serde::Serialize;

use crate::Group;
pub(crate) use told::written as modifier;

mod explainer;
mod text;
mod told;
mod why;

pub use crate::item::Shown;
pub use explainer::{Explainer, Unexplained};

/// What a rule made of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Explained {
    /// Of a rule over single events.
    Event(Explanation),
    /// Of a correlation.
    Correlation(Correlated),
}

impl Explained {
    /// Whether the event matched: of a correlation, whether any rule it counts did.
    pub fn matched(&self) -> bool {
        match self {
            Explained::Event(explanation) => explanation.matched,
            Explained::Correlation(correlated) => {
                correlated.members.iter().any(|member| member.explained.matched())
            }
        }
    }
}

/// Why a rule matched an event or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it did.
    pub matched: bool,
    /// Whether the rule is for such events at all.
    pub log_source: Coverage,
    /// What its condition says, whether or not it is for such events.
    pub detection: Verdict,
    /// What filters over it say; each must hold too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filtered>,
}

/// Whether a rule is for an event's log sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Whether it is for one of them.
    pub covered: bool,
    /// What the rule asks for.
    pub wanted: String,
    /// What the event comes from.
    pub found: Vec<String>,
    /// When it is not covered, the keys that differ from the nearest of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Difference>,
}

/// A key of a log source that is not as a rule asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `category`, `product` or `service`.
    pub key: &'static str,
    /// What the rule asks for.
    pub wanted: String,
    /// What the event has, if anything.
    pub found: Option<String>,
}

/// A filter over a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filtered {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its title.
    pub title: String,
    /// What its condition says; when it does not hold, the rule is kept quiet.
    pub verdict: Verdict,
}

/// What a condition says of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it holds.
    pub held: bool,
    /// As written: of several, the first that holds, else the nearest to holding.
    pub condition: String,
    /// When it holds, the selections it holds by; else the fewest that would have to be otherwise.
    pub selections: Vec<Counted>,
    /// Further ones that are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// A selection, as far as it counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Its name.
    pub name: String,
    /// Whether the condition wants it not to hold.
    pub negated: bool,
    /// Whether it holds.
    pub held: bool,
    /// Others that would have done instead, of which none holds either.
    #[serde(skip_serializing_if = "is_zero")]
    pub instead: usize,
    /// Of a list of maps, the first that holds, else the nearest: its place from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<usize>,
    /// Of a list of maps, how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<usize>,
    /// When it holds, what it asks; else what of that was not so.
    pub asked: Vec<Asked>,
    /// Further ones that are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// What a rule asks of one field, or of the whole event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The field as the rule writes it; none for keywords.
    pub field: Option<String>,
    /// Its name in the event, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_event: Option<String>,
    /// As the rule writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<&'static str>,
    /// Whether it is so.
    pub held: bool,
    /// The values of the rule that were met, and by what: the first, or with `all` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Evidence>,
    /// What was not met, when too little was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Lacking>,
}

/// A value of a rule that was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// As the rule writes it.
    pub wanted: String,
    /// The event's value; none when there is none and that is what the rule asks.
    pub value: Option<Shown>,
    /// Where it stands in that value, in bytes: from, up to.
    pub span: Option<(usize, usize)>,
    /// The value of the other field, of a `fieldref`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Shown>,
}

/// Values of a rule that were not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// Whether the event has no such field.
    pub absent: bool,
    /// As the rule writes them.
    pub wanted: Vec<String>,
    /// Further ones that are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_wanted: usize,
    /// What the event has in that field.
    pub values: Vec<Shown>,
    /// Further ones that are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_values: usize,
}

/// What a correlation asks, and which of its rules an event matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Correlated {
    /// Such as `event_count`.
    pub correlation: &'static str,
    /// What it groups by.
    pub group_by: Vec<String>,
    /// How far back it looks.
    pub timespan_secs: i64,
    /// What must be so within that time.
    pub condition: String,
    /// The rules it counts.
    pub members: Vec<Member>,
}

/// A rule that a correlation counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// As the correlation names it.
    pub name: String,
    /// Its id, else its name, else its title.
    pub rule: String,
    /// When the event matched it: the group of the correlation it counts for.
    #[serde(skip_serializing_if = "Group::is_empty")]
    pub group: Group,
    /// What it made of the event.
    pub explained: Explained,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;

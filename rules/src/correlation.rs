//! Correlations, compiled: which rules they count, grouped by what, over which span.
//!
//! In: the parser's tree and the indices of the rules it refers to. Out: for a match of one of
//! those, the [`BaseHit`] that carries all a correlation will ever ask of the event, so that the
//! event itself need not be kept; and the group of each correlation that hit belongs to. The
//! windows are the [`crate::Correlator`]'s.
//!
//! A group-by field that is absent groups with the other events where it is absent, as `GROUP BY`
//! does. A field with several values groups by the first.

use std::borrow::Cow;

use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType,
    FieldAlias, WindowMode,
};
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::set::{Options, Set, mapped};
use crate::text;
use crate::{Event, Value};

/// The longest a correlation may look back.
const MAX_TIMESPAN_SECS: u64 = 400 * 86_400;

/// Rules one correlation may refer to.
const MAX_MEMBERS: usize = 256;

/// The most events or values a condition may ask for: a group holds no more.
pub(crate) const MAX_THRESHOLD: u64 = 100_000;

/// The same for correlations that look at each hit of a window.
pub(crate) const MAX_SCANNED_THRESHOLD: u64 = 5_000;

/// Values of one field a base hit carries.
const MAX_VALUES: usize = 16;

/// Bytes of a value a base hit carries; a longer one is cut and told apart by its hash.
const MAX_VALUE_BYTES: usize = 512;

/// Bytes of [`Reference::locator`].
pub const MAX_LOCATOR_BYTES: usize = 256;

/// Bytes of [`Reference::text`].
pub const MAX_TEXT_BYTES: usize = 1024;

/// A group: group-by fields as the correlation writes them, with their values; the value of an
/// absent field is empty.
pub type Group = Vec<(String, String)>;

/// Where evidence is: something the caller can find the event by, and its text in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Opaque here.
    pub locator: String,
    /// The line, or the fields in short.
    pub text: String,
}

impl Reference {
    /// A reference, cut to [`MAX_LOCATOR_BYTES`] and [`MAX_TEXT_BYTES`].
    pub fn new(locator: &str, text: &str) -> Reference {
        Reference {
            locator: text::cut(locator, MAX_LOCATOR_BYTES).to_owned(),
            text: text::cut(text, MAX_TEXT_BYTES).to_owned(),
        }
    }
}

/// A match of a rule that a correlation counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseHit {
    /// The rule's [`Rule::key`], which survives a reload.
    pub rule: String,
    /// The event's own time, Unix nanoseconds.
    pub time_ns: i64,
    /// How many events it stands for.
    pub weight: u64,
    /// The fields correlations ask for, by their names in the event; a name repeats for several
    /// values.
    pub fields: Vec<(String, String)>,
    /// Where the event is.
    pub reference: Reference,
}

/// That a rule is a member of a correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// Index of the correlation.
    pub(crate) correlation: usize,
    /// Place among its members.
    pub(crate) member: usize,
}

/// A compiled correlation.
#[derive(Debug)]
pub(crate) struct Correlation {
    pub(crate) kind: CorrelationType,
    pub(crate) members: Vec<Member>,
    pub(crate) group_by: Vec<String>,
    pub(crate) timespan_ns: i64,
    pub(crate) condition: Condition,
    /// What `value_*` look at.
    pub(crate) fields: Vec<String>,
    /// Rank of `value_percentile`, 0 to 100.
    pub(crate) percentile: f64,
    aliases: Vec<FieldAlias>,
    /// What held state means: another shape makes it worthless.
    pub(crate) shape: String,
}

/// A rule, or several of one name, that a correlation refers to.
#[derive(Debug)]
pub(crate) struct Member {
    /// As the correlation writes it.
    pub(crate) name: String,
    pub(crate) rules: Vec<usize>,
}

/// When a correlation fires.
#[derive(Debug)]
pub(crate) enum Condition {
    /// All of these comparisons.
    Compare(Vec<(ConditionOperator, u64)>),
    /// An expression over which members were seen.
    Seen(Seen),
}

/// An expression over members.
#[derive(Debug)]
pub(crate) enum Seen {
    And(Vec<Seen>),
    Or(Vec<Seen>),
    Not(Box<Seen>),
    Member(usize),
}

impl Seen {
    /// Whether it holds when exactly these members were seen.
    pub(crate) fn holds(&self, seen: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Seen::And(all) => all.iter().all(|one| one.holds(seen)),
            Seen::Or(all) => all.iter().any(|one| one.holds(seen)),
            Seen::Not(one) => !one.holds(seen),
            Seen::Member(index) => seen(*index),
        }
    }
}

impl Condition {
    /// The number from which on every number meets the condition; None when there is none such.
    pub(crate) fn at_least(&self) -> Option<u64> {
        let Condition::Compare(all) = self else { return None };
        all.iter()
            .map(|(operator, wanted)| match operator {
                ConditionOperator::Gt => Some(wanted.saturating_add(1)),
                ConditionOperator::Gte => Some(*wanted),
                _ => None,
            })
            .try_fold(0, |most, one| Some(most.max(one?)))
    }

    /// Whether a number meets every comparison.
    pub(crate) fn met(&self, value: f64) -> bool {
        match self {
            Condition::Compare(all) => all.iter().all(|(operator, wanted)| {
                let wanted = *wanted as f64;
                match operator {
                    ConditionOperator::Lt => value < wanted,
                    ConditionOperator::Lte => value <= wanted,
                    ConditionOperator::Gt => value > wanted,
                    ConditionOperator::Gte => value >= wanted,
                    ConditionOperator::Eq => value == wanted,
                    ConditionOperator::Neq => value != wanted,
                }
            }),
            Condition::Seen(_) => false,
        }
    }
}

impl Correlation {
    /// Compiles a correlation whose members were found.
    pub(crate) fn new(
        rule: &CorrelationRule,
        states_condition: bool,
        found: Vec<(String, Vec<usize>)>,
    ) -> Result<Correlation, String> {
        if rule.window != WindowMode::Sliding {
            return Err(format!("window {} is not supported", rule.window.as_str()));
        }
        let timespan_secs = rule.timespan.seconds;
        if timespan_secs == 0 || timespan_secs > MAX_TIMESPAN_SECS {
            return Err(format!(
                "timespan {} is not between 1s and {}d",
                rule.timespan.original,
                MAX_TIMESPAN_SECS / 86_400
            ));
        }
        let members = members(found)?;
        let kind = rule.correlation_type;
        let (condition, fields, percentile) = condition(rule, states_condition, &members)?;
        let counts = matches!(
            kind,
            CorrelationType::EventCount
                | CorrelationType::Temporal
                | CorrelationType::TemporalOrdered
        );
        if counts != fields.is_empty() {
            let wants = if counts { "no field" } else { "a field in its condition" };
            return Err(format!("{} takes {wants}", kind.as_str()));
        }
        if fields.len() > 1 && kind != CorrelationType::ValueCount {
            return Err(format!("{} takes one field", kind.as_str()));
        }
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let shape = format!(
            "{}|{}|{}|{}",
            kind.as_str(),
            names.join("\u{1f}"),
            rule.group_by.join("\u{1f}"),
            fields.join("\u{1f}")
        );
        Ok(Correlation {
            kind,
            group_by: rule.group_by.clone(),
            timespan_ns: i64::try_from(timespan_secs)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000_000),
            condition,
            fields,
            percentile,
            aliases: rule.aliases.clone(),
            shape,
            members,
        })
    }

    /// The names in the event of a field, for a hit of `base` that came by `member`: the first of them
    /// that has values is meant.
    fn names_in_event<'a>(
        &'a self,
        sigma_names: bool,
        field: &'a str,
        member: usize,
        base: &Rule,
        options: &Options,
    ) -> Vec<Cow<'a, str>> {
        let alias = self.aliases.iter().find(|alias| alias.alias == field);
        let name = alias
            .and_then(|alias| {
                let name = &self.members[member].name;
                // The standard maps by the rule's name; an id or a name of the same rule will do.
                [Some(name.as_str()), base.name.as_deref(), base.id.as_deref()]
                    .into_iter()
                    .flatten()
                    .find_map(|name| alias.mapping.get(name))
            })
            .map_or(field, String::as_str);
        mapped(options, &base.log_source, sigma_names && base.sigma_names, name)
    }

    /// The fields whose values are counted, each by its names in the event, for hits of `base` that
    /// come by `member`.
    pub(crate) fn counted(
        &self,
        sigma_names: bool,
        member: usize,
        base: &Rule,
        options: &Options,
    ) -> Vec<Vec<Cow<'_, str>>> {
        let names = |field| self.names_in_event(sigma_names, field, member, base, options);
        self.fields.iter().map(|field| names(field)).collect()
    }
}

fn members(found: Vec<(String, Vec<usize>)>) -> Result<Vec<Member>, String> {
    if found.is_empty() {
        return Err("a correlation without rules".to_owned());
    }
    if found.len() > MAX_MEMBERS {
        return Err(format!("more than {MAX_MEMBERS} rules"));
    }
    let mut members: Vec<Member> = Vec::with_capacity(found.len());
    for (name, rules) in found {
        if let Some(twice) = members.iter().find(|other| other.rules == rules) {
            return Err(format!("{} and {name} are the same rule", twice.name));
        }
        members.push(Member { name, rules });
    }
    Ok(members)
}

type Stated = (Condition, Vec<String>, f64);

fn condition(rule: &CorrelationRule, stated: bool, members: &[Member]) -> Result<Stated, String> {
    let kind = rule.correlation_type;
    let temporal = matches!(kind, CorrelationType::Temporal | CorrelationType::TemporalOrdered);
    match &rule.condition {
        CorrelationCondition::Extended(expression) if kind == CorrelationType::Temporal => {
            let seen = seen(expression, members)?;
            if seen.holds(&|_| false) {
                return Err("a condition that holds when nothing happens".to_owned());
            }
            Ok((Condition::Seen(seen), Vec::new(), 0.0))
        }
        CorrelationCondition::Extended(_) => {
            Err(format!("{} with an expression as its condition", kind.as_str()))
        }
        CorrelationCondition::Threshold { .. } if temporal && !stated => Ok((
            Condition::Compare(vec![(ConditionOperator::Gte, members.len() as u64)]),
            Vec::new(),
            0.0,
        )),
        CorrelationCondition::Threshold { predicates, field, percentile } => {
            let most = match kind {
                CorrelationType::EventCount => MAX_THRESHOLD,
                CorrelationType::ValueCount => MAX_SCANNED_THRESHOLD,
                // Sums and averages are of any size; a negative number wraps beyond this.
                _ => i64::MAX as u64,
            };
            if let Some((_, wanted)) = predicates.iter().find(|(_, wanted)| *wanted > most) {
                return Err(format!("a condition of {wanted}, more than {most}"));
            }
            let rank = percentile.unwrap_or(50);
            if rank > 100 {
                return Err(format!("percentile {rank} is not between 0 and 100"));
            }
            let fields = field.clone().unwrap_or_default();
            Ok((Condition::Compare(predicates.clone()), fields, rank as f64))
        }
    }
}

fn seen(expression: &ConditionExpr, members: &[Member]) -> Result<Seen, String> {
    let many = |all: &[ConditionExpr]| -> Result<Vec<Seen>, String> {
        all.iter().map(|one| seen(one, members)).collect()
    };
    Ok(match expression {
        ConditionExpr::And(all) => Seen::And(many(all)?),
        ConditionExpr::Or(all) => Seen::Or(many(all)?),
        ConditionExpr::Not(one) => Seen::Not(Box::new(seen(one, members)?)),
        ConditionExpr::Identifier(name) => members
            .iter()
            .position(|member| member.name == *name)
            .map(Seen::Member)
            .ok_or_else(|| format!("the condition names {name}, which rules does not list"))?,
        ConditionExpr::Selector { .. } => {
            return Err("a condition over rules with \"of\"".to_owned());
        }
    })
}

/// For each rule, the correlations it is a member of.
pub(crate) fn feeds(rules: &[Rule]) -> Vec<Vec<Feed>> {
    let mut feeds = vec![Vec::new(); rules.len()];
    for (correlation, rule) in rules.iter().enumerate() {
        let members = rule.correlation().map_or(&[][..], |correlation| &correlation.members);
        for (member, names) in members.iter().enumerate() {
            for base in &names.rules {
                feeds[*base].push(Feed { correlation, member });
            }
        }
    }
    feeds
}

/// The names in the event of all fields that correlations above a detection rule ask for.
pub(crate) fn carried(rules: &[Rule], base: usize, options: &Options) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if rules[base].is_correlation() {
        return names;
    }
    for Feed { correlation, member } in above(rules, base) {
        let Some(inner) = rules[correlation].correlation() else { continue };
        for field in inner.group_by.iter().chain(&inner.fields) {
            let more = inner.names_in_event(
                rules[correlation].sigma_names,
                field,
                member,
                &rules[base],
                options,
            );
            for name in more {
                if !names.iter().any(|known| *known == name) {
                    names.push(name.into_owned());
                }
            }
        }
    }
    names
}

/// Every way from a rule to a correlation above it, each once.
fn above(rules: &[Rule], base: usize) -> Vec<Feed> {
    let mut ways: Vec<Feed> = rules[base].feeds.clone();
    let mut next = 0;
    while let Some(feed) = ways.get(next).copied() {
        for further in &rules[feed.correlation].feeds {
            if !ways.contains(further) {
                ways.push(*further);
            }
        }
        next += 1;
    }
    ways
}

/// A hit on its way up: the base hit, and what the correlations below grouped it by.
pub(crate) struct Ascent<'a> {
    pub(crate) hit: &'a BaseHit,
    pub(crate) base: &'a Rule,
    pub(crate) grouped: &'a [(String, String)],
}

impl Ascent<'_> {
    /// The values of a correlation's field.
    fn values(&self, set: &Set, feed: Feed, field: &str) -> Vec<String> {
        let rule = &set.rules()[feed.correlation];
        let Some(correlation) = rule.correlation() else { return Vec::new() };
        let names = correlation.names_in_event(
            rule.sigma_names,
            field,
            feed.member,
            self.base,
            set.options(),
        );
        for name in names {
            let named = self.hit.fields.iter().filter(|(found, _)| *found == name);
            let found: Vec<String> = named.map(|(_, value)| value.clone()).collect();
            if !found.is_empty() {
                return found;
            }
        }
        let below = self.grouped.iter().find(|(found, _)| found == field);
        below.map(|(_, value)| value.clone()).into_iter().collect()
    }

    /// The group of a correlation it belongs to.
    pub(crate) fn group(&self, set: &Set, feed: Feed) -> Group {
        let group_by = set.rules()[feed.correlation].group_by();
        group_by
            .iter()
            .map(|field| {
                let first = self.values(set, feed, field).into_iter().next();
                (field.clone(), first.unwrap_or_default())
            })
            .collect()
    }

    /// What a correlation's `value_*` sees of it: for several fields, their values as one.
    pub(crate) fn counted(&self, set: &Set, feed: Feed) -> Vec<String> {
        let Some(correlation) = set.rules()[feed.correlation].correlation() else {
            return Vec::new();
        };
        match correlation.fields.as_slice() {
            [] => Vec::new(),
            [field] => self.values(set, feed, field),
            fields => {
                let parts: Option<Vec<String>> = fields
                    .iter()
                    .map(|field| self.values(set, feed, field).into_iter().next())
                    .collect();
                parts.map(|parts| parts.join("\u{1f}")).into_iter().collect()
            }
        }
    }
}

impl Set {
    /// What correlations need of a match, or none when no correlation refers to the rule.
    pub fn base_hit<E: Event>(
        &self,
        rule: usize,
        event: &E,
        time_ns: i64,
        weight: u64,
        reference: Reference,
    ) -> Option<BaseHit> {
        let rule = self.rule(rule).filter(|rule| rule.is_base())?;
        let mut fields = Vec::with_capacity(rule.carries.len());
        for (name, key) in &rule.carries {
            let mut values = 0;
            event.any(*key, &mut |value| {
                if let Some(value) = carried_value(value) {
                    fields.push((name.clone(), value));
                    values += 1;
                }
                values >= MAX_VALUES
            });
        }
        let rule = rule.key().to_owned();
        Some(BaseHit { rule, time_ns, weight, fields, reference })
    }

    /// The correlations a hit belongs to, directly or by correlations between, each with its group
    /// there.
    pub fn groups(&self, hit: &BaseHit) -> Vec<(usize, Group)> {
        let Some(base) = self.by_key(&hit.rule) else { return Vec::new() };
        let ascent = Ascent { hit, base: &self.rules()[base], grouped: &[] };
        let mut groups: Vec<(usize, Group)> = Vec::new();
        for feed in above(self.rules(), base) {
            let group = (feed.correlation, ascent.group(self, feed));
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }
}

fn carried_value(value: Value<'_>) -> Option<String> {
    let text = text::of(value)?;
    if text.len() <= MAX_VALUE_BYTES {
        return Some(text.into_owned());
    }
    // FNV-1a: stable across versions, which a hasher of the standard library does not promise.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Some(format!("{}…{hash:016x}", text::cut(&text, MAX_VALUE_BYTES)))
}

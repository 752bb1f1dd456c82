//! One item of a detection: a field, its modifiers and values, compiled into tests.
//!
//! In: what the parser read of `field|modifier|modifier: values`. Out: an [`Item`] that an event
//! meets or not. Modifiers apply in the order they are written; a combination that has no meaning
//! is refused by name rather than read in some way.

use regex::Regex;
use rsigma_parser::{DetectionItem, Modifier, SigmaString, SigmaValue};

use crate::budget::Budget;
use crate::calendar::{self, Part};
use crate::cidr::Cidr;
use crate::expression::{self, Flags};
use crate::pattern::{Pattern, Piece};
use crate::set::Options;
use crate::{Event, Key, Value, text};

mod evidence;
mod transform;

pub use evidence::Shown;

use transform::{Encoded, expanded, expanded_expression, pieces};

/// A compiled item.
#[derive(Debug)]
pub(crate) struct Item {
    /// The fields whose values it looks at, together; none for keywords, which look at every value.
    pub(crate) keys: Vec<Key>,
    /// For each value as written, what it became; one of those is enough.
    pub(crate) values: Vec<Vec<Test>>,
    /// Whether every value must be met, not just one.
    pub(crate) all: bool,
    /// `neq`: whether the whole is turned round.
    pub(crate) negated: bool,
}

/// What one value of a field is asked.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Pattern(Pattern),
    Number(Number),
    Flag(bool),
    Null,
    Exists(bool),
    Regex(Regex),
    Cidr(Cidr),
    Compare(Operator, Number),
    Part(Part, Operator, i64),
    Field { keys: Vec<Key>, place: Place, cased: bool },
}

/// A number as rules and events write them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Whole(i64),
    Other(f64),
}

/// How a number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where in a value the other field's value must stand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    open_start: bool,
    open_end: bool,
}

/// What items of one detection are compiled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compiling<'a> {
    pub(crate) options: &'a Options,
    /// What is left of the detection's share of memory.
    pub(crate) budget: &'a Budget,
}

/// Resolves a field's name as the rule writes it: to one field as a rule, to more where what the rule
/// calls by one name stands in several.
pub(crate) type Resolve<'a> = &'a dyn Fn(&str) -> Vec<Key>;

impl Item {
    /// Compiles an item.
    pub(crate) fn new(
        item: &DetectionItem,
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Item, String> {
        let name = item.field.name.as_deref();
        Item::compile(name, &item.field.modifiers, &item.values, resolve, with)
            .map_err(|reason| format!("{}: {reason}", name.unwrap_or("keywords")))
    }

    /// Compiles a list of plain values without a field.
    pub(crate) fn keywords(values: &[SigmaValue], with: Compiling<'_>) -> Result<Item, String> {
        Item::compile(None, &[], values, &|_| Vec::new(), with)
            .map_err(|reason| format!("keywords: {reason}"))
    }

    fn compile(
        name: Option<&str>,
        modifiers: &[Modifier],
        values: &[SigmaValue],
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Item, String> {
        if values.is_empty() {
            return Err("an empty list of values".to_owned());
        }
        let plan = Plan::new(modifiers)?;
        if name.is_none() && (plan.exists || plan.field_reference) {
            return Err("exists and fieldref need a field".to_owned());
        }
        let mut tests = Vec::with_capacity(values.len());
        for value in values {
            let mut alternatives = plan.tests(value, resolve, with)?;
            if name.is_none() {
                for test in &mut alternatives {
                    test.make_keyword()?;
                }
            }
            with.budget.take(alternatives.len() * size_of::<Test>())?;
            tests.push(alternatives);
        }
        Ok(Item {
            keys: name.map(|name| resolve(&unescaped(name))).unwrap_or_default(),
            values: tests,
            all: plan.all,
            negated: plan.negated,
        })
    }

    /// Whether an event meets it.
    pub(crate) fn holds(&self, event: &dyn Event) -> bool {
        let met = |alternatives: &Vec<Test>| {
            alternatives.iter().any(|test| match self.keys.as_slice() {
                [] => event.any_value(&mut |value| test.accepts(value)),
                keys => test.holds(event, keys),
            })
        };
        let held = if self.all { self.values.iter().all(met) } else { self.values.iter().any(met) };
        held != self.negated
    }
}

/// Below the version where brackets select, the parser escapes them in names.
pub(crate) fn unescaped(name: &str) -> String {
    name.replace("\\[", "[").replace("\\]", "]")
}

impl Test {
    /// A whole number.
    pub(crate) fn whole(number: i64) -> Test {
        Test::Number(Number::Whole(number))
    }

    /// Whether an event meets it in some fields, whose values count as those of one.
    pub(crate) fn holds(&self, event: &dyn Event, keys: &[Key]) -> bool {
        match self {
            Test::Null => {
                let mut present = false;
                any_of(event, keys, &mut |value| {
                    present = true;
                    value == Value::Null
                }) || !present
            }
            Test::Exists(wanted) => any_of(event, keys, &mut |_| true) == *wanted,
            Test::Field { keys: others, place, cased } => any_of(event, keys, &mut |left| {
                any_of(event, others, &mut |right| refers(left, right, *place, *cased))
            }),
            _ => any_of(event, keys, &mut |value| self.accepts(value)),
        }
    }

    /// Whether one value passes, for the tests that look at one value at a time.
    pub(crate) fn accepts(&self, value: Value<'_>) -> bool {
        match self {
            Test::Pattern(pattern) => text::of(value).is_some_and(|text| pattern.matches(&text)),
            Test::Regex(regex) => text::of(value).is_some_and(|text| regex.is_match(&text)),
            Test::Flag(wanted) => match value {
                Value::Flag(found) => found == *wanted,
                Value::Text(text) => {
                    text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" })
                }
                _ => false,
            },
            Test::Number(wanted) => match value {
                // The text a rule writes without quotes is a number all the same.
                Value::Text(text) => match wanted {
                    Number::Whole(number) => text == number.to_string(),
                    Number::Other(number) => text.trim().parse() == Ok(*number),
                },
                other => Number::of(other)
                    .is_some_and(|found| found.compare(*wanted) == Some(std::cmp::Ordering::Equal)),
            },
            Test::Compare(operator, wanted) => Number::of(value)
                .and_then(|found| found.compare(*wanted))
                .is_some_and(|ordering| operator.holds(ordering)),
            Test::Part(part, operator, wanted) => {
                calendar::part(value, *part).is_some_and(|found| operator.holds(found.cmp(wanted)))
            }
            Test::Cidr(cidr) => match value {
                Value::Address(address) => cidr.contains(address),
                Value::Text(text) => {
                    text.trim().parse().is_ok_and(|address| cidr.contains(address))
                }
                _ => false,
            },
            Test::Null => value == Value::Null,
            Test::Exists(_) | Test::Field { .. } => false,
        }
    }

    /// A keyword is looked for anywhere in a value.
    fn make_keyword(&mut self) -> Result<(), String> {
        match self {
            Test::Pattern(pattern) => *pattern = pattern.clone().anywhere(),
            Test::Number(number) => {
                *self = Test::Pattern(
                    Pattern::new(&[Piece::Text(number.to_string())], false).anywhere(),
                );
            }
            Test::Flag(flag) => {
                *self =
                    Test::Pattern(Pattern::new(&[Piece::Text(flag.to_string())], false).anywhere());
            }
            Test::Null => return Err("null as a keyword".to_owned()),
            _ => {}
        }
        Ok(())
    }
}

/// Shows the values of some fields until one is taken; whether one was.
fn any_of(event: &dyn Event, keys: &[Key], see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    keys.iter().any(|key| event.any(*key, see))
}

fn refers(left: Value<'_>, right: Value<'_>, place: Place, cased: bool) -> bool {
    let (Some(left), Some(right)) = (text::of(left), text::of(right)) else { return false };
    reference(&right, place, cased).matches(&left)
}

/// The value of the other field as a pattern.
fn reference(right: &str, place: Place, cased: bool) -> Pattern {
    let mut pieces = Vec::with_capacity(3);
    if place.open_start {
        pieces.push(Piece::Any);
    }
    pieces.push(Piece::Text(right.to_owned()));
    if place.open_end {
        pieces.push(Piece::Any);
    }
    Pattern::new(&pieces, cased)
}

impl Operator {
    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => ordering.is_eq(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Number {
    fn of(value: Value<'_>) -> Option<Number> {
        match value {
            Value::Integer(number) => Some(Number::Whole(number)),
            Value::Number(number) => Some(Number::Other(number)),
            Value::Text(text) => Number::read(text),
            _ => None,
        }
    }

    fn read(text: &str) -> Option<Number> {
        let text = text.trim();
        match text.parse() {
            Ok(number) => Some(Number::Whole(number)),
            Err(_) => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Other)
            }
        }
    }

    fn compare(self, other: Number) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
            (left, right) => left.as_f64().partial_cmp(&right.as_f64()),
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Other(number) => number,
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Whole(number) => number.fmt(formatter),
            Number::Other(number) => number.fmt(formatter),
        }
    }
}

/// What the modifiers of an item ask for, taken apart once for all its values.
#[derive(Debug, Default)]
struct Plan {
    all: bool,
    negated: bool,
    exists: bool,
    field_reference: bool,
    regex: bool,
    cidr: bool,
    cased: bool,
    expand: bool,
    flags: Flags,
    operator: Option<Operator>,
    part: Option<Part>,
    /// The modifiers that change text, in their order.
    steps: Vec<Modifier>,
}

impl Plan {
    fn new(modifiers: &[Modifier]) -> Result<Plan, String> {
        let mut plan = Plan::default();
        for modifier in modifiers {
            plan.take(*modifier)?;
        }
        plan.check()?;
        Ok(plan)
    }

    fn take(&mut self, modifier: Modifier) -> Result<(), String> {
        match modifier {
            Modifier::All => self.all = true,
            Modifier::Neq => self.negated = true,
            Modifier::Exists => self.exists = true,
            Modifier::FieldRef => self.field_reference = true,
            Modifier::Re => self.regex = true,
            Modifier::Cidr => self.cidr = true,
            Modifier::Cased => self.cased = true,
            Modifier::Expand => self.expand = true,
            Modifier::IgnoreCase => self.flags.ignore_case = true,
            Modifier::Multiline => self.flags.multi_line = true,
            Modifier::DotAll => self.flags.dot_all = true,
            Modifier::Gt => self.compare(Operator::Greater)?,
            Modifier::Gte => self.compare(Operator::GreaterOrEqual)?,
            Modifier::Lt => self.compare(Operator::Less)?,
            Modifier::Lte => self.compare(Operator::LessOrEqual)?,
            Modifier::Minute => self.date(Part::Minute)?,
            Modifier::Hour => self.date(Part::Hour)?,
            Modifier::Day => self.date(Part::Day)?,
            Modifier::Week => self.date(Part::Week)?,
            Modifier::Month => self.date(Part::Month)?,
            Modifier::Year => self.date(Part::Year)?,
            Modifier::Contains
            | Modifier::StartsWith
            | Modifier::EndsWith
            | Modifier::Base64
            | Modifier::Base64Offset
            | Modifier::Wide
            | Modifier::Utf16
            | Modifier::Utf16be
            | Modifier::WindAsh => self.steps.push(modifier),
        }
        Ok(())
    }

    fn compare(&mut self, operator: Operator) -> Result<(), String> {
        match self.operator.replace(operator) {
            Some(_) => Err("two comparisons in one item".to_owned()),
            None => Ok(()),
        }
    }

    fn date(&mut self, part: Part) -> Result<(), String> {
        match self.part.replace(part) {
            Some(_) => Err("two parts of a date in one item".to_owned()),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        let placing = |step: &Modifier| {
            matches!(step, Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith)
        };
        let kinds = [
            (self.exists, "exists"),
            (self.field_reference, "fieldref"),
            (self.regex, "re"),
            (self.cidr, "cidr"),
            (self.operator.is_some() || self.part.is_some(), "a comparison or part of a date"),
        ];
        let mut named = kinds.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
        let kind = named.next();
        if let (Some(first), Some(second)) = (kind, named.next()) {
            return Err(format!("{first} together with {second}"));
        }
        let flags = self.flags;
        if !self.regex && (flags.ignore_case || flags.multi_line || flags.dot_all) {
            return Err("i, m and s belong to re".to_owned());
        }
        let Some(kind) = kind else { return Ok(()) };
        let placeable = self.regex || self.field_reference;
        if let Some(step) = self.steps.iter().find(|step| !(placeable && placing(step))) {
            return Err(format!("{kind} together with {step:?}").to_lowercase());
        }
        if self.cased && !placeable {
            return Err(format!("{kind} together with cased"));
        }
        if self.expand && !(self.regex || self.cidr) {
            return Err(format!("{kind} together with expand"));
        }
        Ok(())
    }

    /// What one value becomes.
    fn tests(
        &self,
        value: &SigmaValue,
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Vec<Test>, String> {
        if self.exists {
            return match value {
                SigmaValue::Bool(wanted) => Ok(vec![Test::Exists(*wanted)]),
                _ => Err("exists takes true or false".to_owned()),
            };
        }
        if let Some(part) = self.part {
            let operator = self.operator.unwrap_or(Operator::Equal);
            return match number(value) {
                Some(Number::Whole(wanted)) => Ok(vec![Test::Part(part, operator, wanted)]),
                _ => Err("a part of a date is compared with a whole number".to_owned()),
            };
        }
        if let Some(operator) = self.operator {
            let wanted = number(value).ok_or("lt, lte, gt and gte take a number")?;
            return Ok(vec![Test::Compare(operator, wanted)]);
        }
        let pieces = match value {
            SigmaValue::String(string) => return self.text_tests(string, resolve, with),
            SigmaValue::Null if self.bare() => return Ok(vec![Test::Null]),
            SigmaValue::Null => return Err("null with a modifier that needs text".to_owned()),
            SigmaValue::Bool(flag) if self.bare() => return Ok(vec![Test::Flag(*flag)]),
            SigmaValue::Integer(number) if self.bare() => {
                return Ok(vec![Test::Number(Number::Whole(*number))]);
            }
            SigmaValue::Float(number) if self.bare() => {
                return Ok(vec![Test::Number(Number::Other(*number))]);
            }
            // A number or flag under a modifier for text is the text it is written as.
            other => SigmaString::from_raw(&other.to_string()),
        };
        self.text_tests(&pieces, resolve, with)
    }

    /// Whether nothing asks for text.
    fn bare(&self) -> bool {
        self.steps.is_empty() && !self.regex && !self.cidr && !self.field_reference && !self.expand
    }

    fn text_tests(
        &self,
        string: &SigmaString,
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Vec<Test>, String> {
        if self.regex {
            return expanded_expression(&string.original, self.expand, with)?
                .iter()
                .map(|source| {
                    expression::compile_within(source, self.flags, with.budget).map(Test::Regex)
                })
                .collect();
        }
        let mut all = vec![pieces(string)];
        if self.expand {
            all = expanded(&all[0], with)?;
        }
        if self.cidr {
            return all.iter().map(|pieces| network(pieces)).collect();
        }
        if self.field_reference {
            let [Piece::Text(name)] = all[0].as_slice() else {
                return Err("fieldref takes the name of a field".to_owned());
            };
            return Ok(vec![Test::Field {
                keys: resolve(name),
                place: self.place(),
                cased: self.cased,
            }]);
        }
        let mut encoded = all.into_iter().map(Encoded::Pieces).collect::<Vec<_>>();
        for step in &self.steps {
            let mut after = Vec::with_capacity(encoded.len());
            for one in encoded {
                one.apply(*step, with.budget, &mut after)?;
            }
            encoded = after;
        }
        encoded
            .into_iter()
            .map(|one| {
                let pieces = one.into_pieces()?;
                with.budget.take(pieces.iter().map(Piece::compiled_bytes).sum())?;
                Ok(Test::Pattern(Pattern::new(&pieces, self.cased)))
            })
            .collect()
    }

    fn place(&self) -> Place {
        let mut place = Place::default();
        for step in &self.steps {
            place.open_start |= matches!(step, Modifier::Contains | Modifier::EndsWith);
            place.open_end |= matches!(step, Modifier::Contains | Modifier::StartsWith);
        }
        place
    }
}

fn number(value: &SigmaValue) -> Option<Number> {
    match value {
        SigmaValue::Integer(number) => Some(Number::Whole(*number)),
        SigmaValue::Float(number) if number.is_finite() => Some(Number::Other(*number)),
        SigmaValue::String(text) => Number::read(&text.original),
        _ => None,
    }
}

fn network(pieces: &[Piece]) -> Result<Test, String> {
    let [Piece::Text(text)] = pieces else { return Err("cidr takes a network".to_owned()) };
    Cidr::parse(text).map(Test::Cidr).ok_or_else(|| format!("{text:?} is not a network"))
}

#[cfg(test)]
mod tests;

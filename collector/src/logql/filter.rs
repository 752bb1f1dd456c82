//! The log part of a query, as it is decided for one event.

use memchr::memmem::Finder;

use super::pattern::Pattern;
use super::quantity::{Addresses, Quantity};
use super::{Event, Label, Value};
use crate::history::holds_word;

/// Which events a query is about: all of its parts must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub(super) selector: Vec<LabelMatcher>,
    pub(super) words: Vec<String>,
    pub(super) lines: Vec<LineFilter>,
    pub(super) trees: Vec<Tree>,
}

/// A label compared with a text or a pattern.
#[derive(Debug, Clone)]
pub struct LabelMatcher {
    /// Which label.
    pub label: Label,
    test: LabelTest,
    negated: bool,
}

#[derive(Debug, Clone)]
pub(super) enum LabelTest {
    Is(String),
    Fits(Pattern),
}

/// `|=`, `!=`, `|~`, `!~`: one of the tests holds, or none of them when it is negated.
#[derive(Debug, Clone)]
pub(super) struct LineFilter {
    pub(super) negated: bool,
    pub(super) tests: Vec<LineTest>,
}

#[derive(Debug, Clone)]
pub(super) enum LineTest {
    Text(Finder<'static>),
    Fits(Pattern),
    Ip(Addresses),
}

/// Comparisons of fields, joined by `and` and `or`.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Compare(Compare),
}

/// A field compared with something.
#[derive(Debug, Clone)]
pub(super) struct Compare {
    pub(super) name: Name,
    pub(super) negated: bool,
    pub(super) test: Test,
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    /// As text; an absent field is the empty text.
    Is(String),
    /// The whole text; an absent field is the empty text.
    Fits(Pattern),
    /// As a number; an absent field, and one that is none, never fits.
    Order(Order, Quantity),
    /// As an address; an absent field never fits.
    Ip(Addresses),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
}

/// The name of a field as a query gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// The label it stands for.
    pub(super) label: Option<Label>,
}

impl LabelMatcher {
    pub(super) fn new(label: Label, test: LabelTest, negated: bool) -> LabelMatcher {
        LabelMatcher { label, test, negated }
    }

    /// The label has exactly this value.
    pub fn is(label: Label, value: &str) -> LabelMatcher {
        LabelMatcher::new(label, LabelTest::Is(value.to_owned()), false)
    }

    /// Whether a label's value is what is wanted; the empty text when an event has none.
    pub fn fits(&self, value: &str) -> bool {
        let fits = match &self.test {
            LabelTest::Is(text) => value == text,
            LabelTest::Fits(pattern) => pattern.fits(value),
        };
        fits != self.negated
    }

    /// The one value it wants, when there is one.
    pub fn only(&self) -> Option<&str> {
        match &self.test {
            LabelTest::Is(text) if !self.negated => Some(text),
            _ => None,
        }
    }
}

impl Filter {
    /// Whether an event fits.
    pub fn fits(&self, event: &dyn Event) -> bool {
        self.selector.iter().all(|matcher| matcher.fits(&event.label(matcher.label)))
            && self.words.iter().all(|word| {
                event.any_received(&mut |text| holds_word(text.as_bytes(), word.as_bytes()))
            })
            && self.lines.iter().all(|line| line.fits(event.line()))
            && self.trees.iter().all(|tree| tree.fits(event))
    }
}

impl LineFilter {
    fn fits(&self, line: &str) -> bool {
        let fits = self.tests.iter().any(|test| match test {
            LineTest::Text(text) => text.find(line.as_bytes()).is_some(),
            LineTest::Fits(pattern) => pattern.fits(line),
            LineTest::Ip(addresses) => addresses.in_text(line),
        });
        fits != self.negated
    }
}

impl Tree {
    fn fits(&self, event: &dyn Event) -> bool {
        match self {
            Tree::All(trees) => trees.iter().all(|tree| tree.fits(event)),
            Tree::Any(trees) => trees.iter().any(|tree| tree.fits(event)),
            Tree::Compare(compare) => compare.fits(event),
        }
    }
}

impl Compare {
    /// The same as a matcher of a label, when a label is compared as text.
    pub(super) fn label_matcher(&self) -> Option<LabelMatcher> {
        let test = match &self.test {
            Test::Is(text) => LabelTest::Is(text.clone()),
            Test::Fits(pattern) => LabelTest::Fits(pattern.clone()),
            Test::Order(..) | Test::Ip(_) => return None,
        };
        Some(LabelMatcher::new(self.name.label?, test, self.negated))
    }

    fn fits(&self, event: &dyn Event) -> bool {
        let (mut present, mut fits) = (false, false);
        self.name.any(event, &mut |value| {
            let usable = match &self.test {
                Test::Is(text) => Some(value.is(text)),
                Test::Fits(pattern) => Some(pattern.fits(&value.text())),
                Test::Order(order, quantity) => quantity
                    .measure(&self.name.text, value)
                    .map(|amount| order.holds(amount, quantity.amount)),
                Test::Ip(addresses) => Some(match value {
                    Value::Address(ip) => addresses.has(ip),
                    value => addresses.in_text(&value.text()),
                }),
            };
            present |= usable.is_some();
            fits |= usable == Some(true);
            fits
        });
        match &self.test {
            Test::Is(text) if !present => text.is_empty() != self.negated,
            Test::Fits(pattern) if !present => pattern.fits("") != self.negated,
            _ => present && fits != self.negated,
        }
    }
}

impl Order {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Order::Equal => left == right,
            Order::More => left > right,
            Order::MoreOrEqual => left >= right,
            Order::Less => left < right,
            Order::LessOrEqual => left <= right,
        }
    }
}

impl Name {
    /// Finds out what a name means: a label under any of its names, else a field.
    pub(super) fn new(text: &str) -> Name {
        Name { text: text.to_owned(), label: Label::named(text) }
    }

    /// Calls `see` with each value until it returns true.
    pub(super) fn any(&self, event: &dyn Event, see: &mut dyn FnMut(Value<'_>) -> bool) {
        match self.label {
            Some(label) => {
                let value = event.label(label);
                if !value.is_empty() {
                    see(Value::Text(&value));
                }
            }
            None => {
                event.any(&self.text, see);
            }
        }
    }
}

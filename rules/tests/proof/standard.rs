//! What the standard says, one section per topic.
//!
//! Each table states a detection and the events that meet it or do not. Both evaluators are asked
//! and must agree. Where the text of the standard leaves a choice, the comment says which was made.

use std::collections::BTreeMap;

use hengwei_rules::{Options, Scratch};
use serde_json::{Value as Json, json};

use crate::made::{Made, Rules};

mod conditions;
mod correlations;
mod dates;
mod encodings;
mod expressions;
mod fields;
mod filters;
mod keywords;
mod nothing;
mod numbers;
mod placeholders;
mod text;
mod windash;

/// A detection under test.
struct Case {
    text: String,
    rules: Rules,
    scratch: Scratch,
}

/// A rule with the id `rule`, around the lines of a detection.
fn rule(detection: &str) -> String {
    let lines: String = detection.lines().map(|line| format!("  {line}\n")).collect();
    format!("title: t\nid: rule\nlogsource: {{product: test}}\ndetection:\n{lines}")
}

/// The lists every test may use.
fn options() -> Options {
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    Options {
        placeholders: BTreeMap::from([
            ("Servers".to_owned(), list(&["srv*", "dc01"])),
            ("Admins".to_owned(), list(&["root", "a.b"])),
            ("Nets".to_owned(), list(&["10.0.0.0/8", "fe80::/10"])),
            ("Empty".to_owned(), Vec::new()),
        ]),
        ..Options::default()
    }
}

/// A detection with its condition.
#[track_caller]
fn detection(text: &str) -> Case {
    let text = rule(text);
    let rules = Rules::of([text.as_str()], &options());
    assert_eq!(rules.refused, [], "{text}");
    Case { text, rules, scratch: Scratch::new() }
}

/// A detection of one selection of one item.
#[track_caller]
fn item(item: &str) -> Case {
    detection(&format!("s:\n  {item}\ncondition: s"))
}

/// Asserts that an item is refused, by its rule's id and with a reason that names this.
#[track_caller]
fn refused(item: &str, reason: &str) {
    refused_detection(&format!("s:\n  {item}\ncondition: s"), reason);
}

#[track_caller]
fn refused_detection(detection: &str, reason: &str) {
    refused_text(&rule(detection), "rule", reason);
}

#[track_caller]
fn refused_text(text: &str, name: &str, reason: &str) {
    let rules = Rules::of([text], &options());
    let [refusal] = rules.refused.as_slice() else {
        panic!("one refusal expected: {:?} of {text}", rules.refused)
    };
    assert_eq!(refusal.rule.as_deref(), Some(name), "{text}");
    assert!(refusal.reason.contains(reason), "{:?} lacks {reason:?}: {text}", refusal.reason);
    assert!(rules.set.by_id(name).is_none(), "{text}");
}

impl Case {
    #[track_caller]
    fn check(&mut self, event: &Json, expected: bool) {
        let found = self.rules.hits(&Made::of(event), &mut self.scratch) == [0];
        let should = if expected { "should" } else { "should not" };
        assert_eq!(found, expected, "{}{should} match {event}", self.text);
    }

    /// Events that meet it.
    #[track_caller]
    fn met_by(mut self, events: impl IntoIterator<Item = Json>) -> Case {
        for event in events {
            self.check(&event, true);
        }
        self
    }

    /// Events that do not.
    #[track_caller]
    fn not_met_by(mut self, events: impl IntoIterator<Item = Json>) -> Case {
        for event in events {
            self.check(&event, false);
        }
        self
    }

    /// Values of field `f` that meet it.
    #[track_caller]
    fn met<T: Into<Json>>(mut self, values: impl IntoIterator<Item = T>) -> Case {
        for value in values {
            self.check(&json!({ "f": value.into() }), true);
        }
        self
    }

    /// Values of field `f` that do not.
    #[track_caller]
    fn not_met<T: Into<Json>>(mut self, values: impl IntoIterator<Item = T>) -> Case {
        for value in values {
            self.check(&json!({ "f": value.into() }), false);
        }
        self
    }
}

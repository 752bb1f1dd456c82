//! What a store may skip by: conditions that every fitting event meets.
//!
//! Necessary, never sufficient: what meets them is decoded and decided by [`Filter::fits`]. What a
//! query rules out contributes nothing, since a block cannot prove that it has none.

use super::Label;
use super::filter::{Compare, Filter, LabelMatcher, LineFilter, LineTest, Test, Tree};
use crate::history::Need;

/// Conditions of one tree at most: more of them cost more than they save.
const MAX_NEEDS: usize = 32;

/// What a store may skip by.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every one must fit the labels of an event. A store tests those that its blocks know.
    pub labels: Vec<LabelMatcher>,
    /// What an event must have.
    pub need: Need,
}

impl Need {
    pub(super) fn text(text: &[u8]) -> Need {
        if text.is_empty() { Need::Anything } else { Need::Text(text.to_vec()) }
    }

    /// All of them; what asks for nothing is left out.
    pub(super) fn all(needs: impl IntoIterator<Item = Need>) -> Need {
        let mut all = Vec::new();
        for need in needs {
            match need {
                Need::Anything => {}
                Need::All(needs) => all.extend(needs),
                need => all.push(need),
            }
        }
        all.truncate(MAX_NEEDS);
        match all.len() {
            0 => Need::Anything,
            1 => all.remove(0),
            _ => Need::All(all),
        }
    }

    /// One of them: nothing at all as soon as one asks for nothing.
    pub(super) fn any(needs: impl IntoIterator<Item = Need>) -> Need {
        let mut any = Vec::new();
        for need in needs {
            match need {
                Need::Anything => return Need::Anything,
                Need::Any(needs) => any.extend(needs),
                need => any.push(need),
            }
        }
        match any.len() {
            0 => Need::Anything,
            1 => any.remove(0),
            2..=MAX_NEEDS => Need::Any(any),
            _ => Need::Anything,
        }
    }
}

impl Filter {
    /// What a store may skip by.
    pub fn plan(&self) -> Plan {
        let mut labels = self.selector.clone();
        for tree in &self.trees {
            wanted_labels(tree, &mut labels);
        }
        // What is neither known of a stream nor of a dataset is a field as others are.
        let stored = labels.iter().filter(|it| matches!(it.label, Label::Zone | Label::Level));
        let stored: Vec<Need> = stored.filter_map(LabelMatcher::only).map(of_value).collect();
        let words = self.words.iter().map(|word| Need::Word(word.as_bytes().to_vec()));
        let lines = self.lines.iter().map(of_line);
        let trees = self.trees.iter().map(of_tree);
        Plan { labels, need: Need::all(words.chain(lines).chain(trees).chain(stored)) }
    }
}

/// Labels that a comparison after `|` asks for, where all of its tree must hold.
fn wanted_labels(tree: &Tree, labels: &mut Vec<LabelMatcher>) {
    match tree {
        Tree::All(trees) => trees.iter().for_each(|tree| wanted_labels(tree, labels)),
        Tree::Any(_) => {}
        Tree::Compare(compare) => labels.extend(compare.label_matcher()),
    }
}

fn of_line(line: &LineFilter) -> Need {
    if line.negated {
        return Need::Anything;
    }
    Need::any(line.tests.iter().map(|test| match test {
        LineTest::Text(text) => Need::text(text.needle()),
        LineTest::Fits(pattern) => pattern.need().clone(),
        LineTest::Ip(_) => Need::Anything,
    }))
}

fn of_tree(tree: &Tree) -> Need {
    match tree {
        Tree::All(trees) => Need::all(trees.iter().map(of_tree)),
        Tree::Any(trees) => Need::any(trees.iter().map(of_tree)),
        Tree::Compare(compare) => of_compare(compare),
    }
}

fn of_compare(compare: &Compare) -> Need {
    if compare.negated || compare.name.label.is_some() || in_header(&compare.name.text) {
        return Need::Anything;
    }
    match &compare.test {
        Test::Is(text) => of_value(text),
        Test::Fits(pattern) => match pattern.texts() {
            Some(texts) => Need::any(texts.iter().map(|text| of_value(text))),
            None => Need::Anything,
        },
        Test::Order(..) | Test::Ip(_) => Need::Anything,
    }
}

fn of_value(text: &str) -> Need {
    match text.is_empty() {
        // An event without the field fits, too.
        true => Need::Anything,
        false => Need::Value(text.as_bytes().to_vec()),
    }
}

/// Whether a field may be answered from what all events have, so that no block stores it as a value.
fn in_header(name: &str) -> bool {
    const HEADER: &[&str] = &[
        "@timestamp",
        "event.created",
        "event.ingested",
        "event.kind",
        "event.original",
        "hengwei.time.suspect",
        "hengwei.weight",
        "message",
    ];
    let ecs = Label::ALL.iter().map(|label| label.ecs());
    HEADER
        .iter()
        .copied()
        .chain(ecs)
        .any(|field| name == field || super::is_underscored(name, field))
}

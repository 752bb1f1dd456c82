//! The detection of a rule: named selections, and the conditions over them.
//!
//! In: the parser's tree. Out: whether an event meets it. Evaluated the way the standard reads,
//! nothing remembered between selections: this is the oracle of the compiled matcher.

use std::collections::BTreeMap;

use rsigma_parser::{ConditionExpr, Detection as Tree, Detections, Quantifier, SelectorPattern};

use crate::Event;
use crate::budget::Budget;
use crate::item::{Compiling, Item, Resolve};
use crate::set::Options;

/// A compiled detection.
#[derive(Debug)]
pub(crate) struct Detection {
    pub(crate) selections: Vec<Node>,
    /// One of them is enough.
    pub(crate) conditions: Vec<Expression>,
    /// What filters add: each must hold too.
    pub(crate) filters: Vec<Detection>,
}

/// What a selection asks of an event.
#[derive(Debug)]
pub(crate) enum Node {
    All(Vec<Item>),
    Any(Vec<Node>),
    Keywords(Item),
}

/// A condition over selections, by their places in the order of their names.
#[derive(Debug)]
pub(crate) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Selection(usize),
    /// At least so many of these selections.
    Of(usize, Vec<usize>),
}

impl Detection {
    /// Compiles a detection.
    pub(crate) fn new(
        detections: &Detections,
        resolve: Resolve<'_>,
        options: &Options,
    ) -> Result<Detection, String> {
        if detections.timeframe.is_some() {
            return Err("timeframe: use a correlation".to_owned());
        }
        let budget = Budget::new();
        let with = Compiling { options, budget: &budget };
        // Sorted, so that the same text gives the same program.
        let named: BTreeMap<&str, &Tree> =
            detections.named.iter().map(|(name, tree)| (name.as_str(), tree)).collect();
        let names: Vec<&str> = named.keys().copied().collect();
        let selections = named
            .iter()
            .map(|(name, tree)| {
                Node::new(tree, resolve, with).map_err(|reason| format!("{name}: {reason}"))
            })
            .collect::<Result<_, _>>()?;
        let conditions = detections
            .conditions
            .iter()
            .map(|condition| Expression::new(condition, &names))
            .collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() {
            return Err("no condition".to_owned());
        }
        Ok(Detection { selections, conditions, filters: Vec::new() })
    }

    /// Adds a filter: its condition must hold as well.
    pub(crate) fn narrow(&mut self, filter: Detection) {
        self.filters.push(filter);
    }

    /// Whether an event meets it.
    pub(crate) fn holds(&self, event: &dyn Event) -> bool {
        self.conditions.iter().any(|condition| condition.holds(&self.selections, event))
            && self.filters.iter().all(|filter| filter.holds(event))
    }
}

impl Node {
    fn new(tree: &Tree, resolve: Resolve<'_>, with: Compiling<'_>) -> Result<Node, String> {
        match tree {
            Tree::AllOf(items) if items.is_empty() => Err("an empty map".to_owned()),
            Tree::AllOf(items) => items
                .iter()
                .map(|item| Item::new(item, resolve, with))
                .collect::<Result<_, _>>()
                .map(Node::All),
            Tree::AnyOf(trees) if trees.is_empty() => Err("an empty list".to_owned()),
            Tree::AnyOf(trees) => trees
                .iter()
                .map(|tree| Node::new(tree, resolve, with))
                .collect::<Result<_, _>>()
                .map(Node::Any),
            Tree::Keywords(values) => Item::keywords(values, with).map(Node::Keywords),
            Tree::ArrayMatch { .. } | Tree::And(_) | Tree::Conditional { .. } => {
                Err("array matching is not supported".to_owned())
            }
        }
    }

    fn holds(&self, event: &dyn Event) -> bool {
        match self {
            Node::All(items) => items.iter().all(|item| item.holds(event)),
            Node::Any(nodes) => nodes.iter().any(|node| node.holds(event)),
            Node::Keywords(item) => item.holds(event),
        }
    }
}

impl Expression {
    /// Compiles a condition over selections of these names, sorted.
    pub(crate) fn new(condition: &ConditionExpr, names: &[&str]) -> Result<Expression, String> {
        let many = |all: &[ConditionExpr]| -> Result<Vec<Expression>, String> {
            all.iter().map(|one| Expression::new(one, names)).collect()
        };
        Ok(match condition {
            ConditionExpr::And(all) => Expression::And(many(all)?),
            ConditionExpr::Or(all) => Expression::Or(many(all)?),
            ConditionExpr::Not(one) => Expression::Not(Box::new(Expression::new(one, names)?)),
            ConditionExpr::Identifier(name) => {
                let index = names.binary_search(&name.as_str());
                Expression::Selection(
                    index.map_err(|_| format!("the condition names no selection {name:?}"))?,
                )
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let chosen = chosen(pattern, names);
                if chosen.is_empty() {
                    return Err(format!("the condition's \"of {pattern}\" names no selection"));
                }
                let least = match quantifier {
                    Quantifier::Any => 1,
                    Quantifier::All => chosen.len(),
                    Quantifier::Count(0) => return Err("a condition of 0 selections".to_owned()),
                    Quantifier::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
                };
                Expression::Of(least, chosen)
            }
        })
    }

    fn holds(&self, selections: &[Node], event: &dyn Event) -> bool {
        match self {
            Expression::And(all) => all.iter().all(|one| one.holds(selections, event)),
            Expression::Or(all) => all.iter().any(|one| one.holds(selections, event)),
            Expression::Not(one) => !one.holds(selections, event),
            Expression::Selection(index) => selections[*index].holds(event),
            Expression::Of(least, chosen) => {
                chosen.iter().filter(|index| selections[**index].holds(event)).take(*least).count()
                    == *least
            }
        }
    }
}

/// The selections a pattern names: `them` leaves out those that begin with an underscore, and so
/// does a pattern that doesn't begin with one itself.
pub(crate) fn chosen(pattern: &SelectorPattern, names: &[&str]) -> Vec<usize> {
    let (glob, hidden) = match pattern {
        SelectorPattern::Them => ("*", false),
        SelectorPattern::Pattern(glob) => (glob.as_str(), glob.starts_with('_')),
    };
    (0..names.len())
        .filter(|index| (hidden || !names[*index].starts_with('_')) && globs(glob, names[*index]))
        .collect()
}

/// Whether a name matches a pattern with any number of `*`.
fn globs(pattern: &str, name: &str) -> bool {
    let Some((head, mut tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    while let Some((middle, after)) = tail.split_once('*') {
        match rest.find(middle) {
            Some(at) => rest = &rest[at + middle.len()..],
            None => return false,
        }
        tail = after;
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names_take_stars_anywhere() {
        for (pattern, name, expected) in [
            ("selection_*", "selection_a", true),
            ("selection_*", "selection", false),
            ("*_main", "filter_main", true),
            ("*lect*", "selection", true),
            ("s*l*n", "selection", true),
            ("s*x*n", "selection", false),
            ("ab*ba", "aba", false),
            ("selection", "selection", true),
        ] {
            assert_eq!(globs(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hidden_selections_are_named_only_by_patterns_that_say_so() {
        let names = ["_helper", "filter", "selection"];
        let pattern = |text: &str| SelectorPattern::Pattern(text.to_owned());
        assert_eq!(chosen(&SelectorPattern::Them, &names), [1, 2]);
        assert_eq!(chosen(&pattern("*"), &names), [1, 2]);
        assert_eq!(chosen(&pattern("_*"), &names), [0]);
    }
}

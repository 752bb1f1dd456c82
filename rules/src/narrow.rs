//! Which datasets a rule can be about, when it asks for them in its detection.
//!
//! A rule for several of our datasets can't say so in its log source, which has one service: it asks for
//! product `hengwei` and says `event.dataset` in a selection. Left so, it would be looked for in every event
//! there is. In: such a detection. Out: the datasets without one of which it can't hold, so that a set
//! files it under those and other events never meet it. A detection that could hold without any
//! gives none, and stays where it is.

use std::collections::BTreeSet;

use crate::detection::{Detection, Expression, Node};
use crate::item::{Item, Test};
use crate::text::fold;
use crate::{Key, LogSource};

/// The field that holds an event's dataset, which is also its service of product `hengwei`.
pub(crate) const FIELD: &str = "event.dataset";
/// The product every decoded event belongs to.
const PRODUCT: &str = "hengwei";

pub(crate) type Datasets = BTreeSet<String>;

/// The datasets a rule is filed under in place of its log source, folded as patterns are; None when it is
/// not for any event of ours, or may be about any dataset.
pub(crate) fn datasets(
    source: &LogSource,
    detection: &Detection,
    dataset: Key,
) -> Option<Datasets> {
    let any_of_ours = is_ours(source) && source.category.is_none() && source.service.is_none();
    if any_of_ours { of_detection(detection, dataset) } else { None }
}

/// The dataset that an event's log source tells, folded as patterns are.
pub(crate) fn told(source: &LogSource) -> Option<String> {
    let service = source.service.as_deref().filter(|_| is_ours(source))?;
    Some(service.chars().map(fold).collect())
}

fn is_ours(source: &LogSource) -> bool {
    source.product.as_deref() == Some(PRODUCT)
}

fn of_detection(detection: &Detection, dataset: Key) -> Option<Datasets> {
    either(detection.conditions.iter().map(|one| of_expression(one, detection, dataset)))
}

fn of_expression(one: &Expression, detection: &Detection, dataset: Key) -> Option<Datasets> {
    match one {
        Expression::And(all) => both(all.iter().map(|one| of_expression(one, detection, dataset))),
        Expression::Or(any) => either(any.iter().map(|one| of_expression(one, detection, dataset))),
        Expression::Not(_) => None,
        Expression::Selection(place) => of_node(detection.selections.get(*place)?, dataset),
        Expression::Of(least, places) => {
            let each =
                places.iter().map(|place| of_node(detection.selections.get(*place)?, dataset));
            match *least {
                0 => None,
                least if least >= places.len() => both(each),
                _ => either(each),
            }
        }
    }
}

fn of_node(node: &Node, dataset: Key) -> Option<Datasets> {
    match node {
        Node::All(items) => both(items.iter().map(|item| of_item(item, dataset))),
        Node::Any(nodes) => either(nodes.iter().map(|node| of_node(node, dataset))),
        Node::Keywords(_) => None,
    }
}

/// The values of a test on the dataset, when they are plain.
fn of_item(item: &Item, dataset: Key) -> Option<Datasets> {
    if item.keys != [dataset] || item.negated {
        return None;
    }
    let tests = item.values.iter().flatten();
    let plain = tests.map(|test| match test {
        Test::Pattern(pattern) => pattern.plain().map(|text| Datasets::from([text])),
        _ => None,
    });
    // That every value must be met narrows more; one of them will do here.
    either(plain)
}

/// What holds when one of several does: the datasets of all, unless one of them needs none.
fn either(parts: impl Iterator<Item = Option<Datasets>>) -> Option<Datasets> {
    let mut all = Datasets::new();
    for part in parts {
        all.extend(part?);
    }
    (!all.is_empty()).then_some(all)
}

/// What holds when all of several do: the fewest datasets that one of them needs.
fn both(parts: impl Iterator<Item = Option<Datasets>>) -> Option<Datasets> {
    parts.flatten().min_by_key(Datasets::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Body;
    use crate::testing::{Known, compiled};
    use crate::{Names, Options};

    /// The datasets a detection is filed under; "-" when it stays where it is.
    #[track_caller]
    fn check(detection: &str, expected: &str) {
        let text = format!(
            "title: t\nid: rule\nlogsource:\n  product: hengwei\ndetection:\n{detection}\n"
        );
        let known = Known::default();
        let set = compiled(&text, &known, &Options::default());
        let rule = &set.rules()[0];
        let Body::Detection(detection) = &rule.body else { panic!("a detection") };
        let found = datasets(&rule.log_source, detection, known.key(FIELD));
        let found = found.map(|found| found.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref().unwrap_or("-"), expected, "{text}");
    }

    #[test]
    fn datasets_a_rule_needs() {
        check("  s: {event.dataset: a, x: y}\n  condition: s", "a");
        check("  s: {event.dataset: PortaL}\n  condition: s", "portal");
        check("  s: {event.dataset: [b, a]}\n  condition: s", "a b");
        check(
            "  s: {event.dataset: [a, b]}\n  t: {event.dataset: c}\n  condition: s or t",
            "a b c",
        );
        check("  s: {event.dataset: [a, b]}\n  t: {event.dataset: a}\n  condition: s and t", "a");
        check("  s1: {event.dataset: a}\n  s2: {event.dataset: b}\n  condition: 1 of s*", "a b");
        check("  s1: {event.dataset: a}\n  s2: {x: b}\n  condition: all of s*", "a");
        check("  s:\n    - {event.dataset: a}\n    - {event.dataset: b}\n  condition: s", "a b");
        check("  s: {event.dataset: a}\n  f: {x: y}\n  condition: s and not f", "a");
    }

    #[test]
    fn rules_that_may_be_about_others_stay() {
        for detection in [
            "  s: {x: y}\n  condition: s",
            "  s: {event.dataset: a}\n  t: {x: y}\n  condition: s or t",
            "  s: {event.dataset: a}\n  condition: not s",
            "  s1: {event.dataset: a}\n  s2: {x: b}\n  condition: 1 of s*",
            "  s: {event.dataset: 'a*'}\n  condition: s",
            "  s: {event.dataset|contains: a}\n  condition: s",
            "  s: {event.dataset|neq: a}\n  condition: s",
            "  s: {event.dataset|re: a}\n  condition: s",
            "  s: {event.dataset: null}\n  condition: s",
            "  s:\n    - {event.dataset: a}\n    - {x: b}\n  condition: s",
            "  s: [a, b]\n  condition: s",
        ] {
            check(detection, "-");
        }
    }
}

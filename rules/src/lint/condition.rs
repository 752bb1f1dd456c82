//! Checks of conditions and of how selections stand to each other.

use rsigma_parser::{
    ConditionExpr, Detection as Tree, DetectionItem, Modifier, Quantifier, SelectorPattern,
    SigmaValue, StringPart,
};

use super::{Kind, Place, Report, Subject};
use crate::detection::{Detection, chosen};
use crate::set::Options;
use crate::{Event, Key, LogSource, Value};

/// Characters in a row that few values have by chance.
const SELECTIVE_CHARACTERS: usize = 3;

/// A selection that no condition names.
pub(super) fn unused(subject: &Subject<'_>, report: &mut Report<'_>) {
    let Some(detections) = subject.detections else { return };
    let selections = subject.selections();
    let names: Vec<&str> = selections.iter().map(|(name, _)| *name).collect();
    let mut used = vec![false; names.len()];
    detections.conditions.iter().for_each(|condition| mark(condition, &names, &mut used));
    for (name, used) in names.iter().zip(used) {
        if !used {
            let message = format!("{name} is named by no condition");
            report.warn("unused_selection", Place::Selection(name), message);
        }
    }
}

fn mark(condition: &ConditionExpr, names: &[&str], used: &mut [bool]) {
    match condition {
        ConditionExpr::And(all) | ConditionExpr::Or(all) => {
            all.iter().for_each(|one| mark(one, names, used));
        }
        ConditionExpr::Not(one) => mark(one, names, used),
        ConditionExpr::Identifier(name) => {
            if let Ok(index) = names.binary_search(&name.as_str()) {
                used[index] = true;
            }
        }
        ConditionExpr::Selector { pattern, .. } => {
            chosen(pattern, names).into_iter().for_each(|index| used[index] = true);
        }
    }
}

/// `of them` where there is but one.
pub(super) fn alone(subject: &Subject<'_>, report: &mut Report<'_>) {
    let Some(detections) = subject.detections else { return };
    let selections = subject.selections();
    let names: Vec<&str> = selections.iter().map(|(name, _)| *name).collect();
    let [only] = chosen(&SelectorPattern::Them, &names)[..] else { return };
    if detections.conditions.iter().any(says_them) {
        let message = format!("them is only {}: name it", names[only]);
        report.warn("them_of_one", Place::Condition, message);
    }
}

fn says_them(condition: &ConditionExpr) -> bool {
    match condition {
        ConditionExpr::And(all) | ConditionExpr::Or(all) => all.iter().any(says_them),
        ConditionExpr::Not(one) => says_them(one),
        ConditionExpr::Identifier(_) => false,
        ConditionExpr::Selector { pattern, .. } => *pattern == SelectorPattern::Them,
    }
}

/// Two selections that ask the same.
pub(super) fn repeated(subject: &Subject<'_>, report: &mut Report<'_>) {
    let selections = subject.selections();
    for (index, (name, tree)) in selections.iter().enumerate() {
        if let Some((first, _)) = selections[..index].iter().find(|(_, other)| other == tree) {
            let message = format!("{name} asks what {first} asks");
            report.warn("repeated_selection", Place::Selection(name), message);
        }
    }
}

/// A rule for which nothing need be in an event before its condition is worth trying: it costs time
/// with every event of its log source, and often matches most.
pub(super) fn unselective(subject: &Subject<'_>, report: &mut Report<'_>) {
    let (Kind::Rule, Some(detections)) = (subject.kind, subject.detections) else { return };
    // What does not compile is refused, and that says more.
    let Ok(detection) = Detection::new(detections, &|_| vec![Key(0)], &Options::default()) else {
        return;
    };
    if detection.holds(&Nothing) {
        report.warn(
            "matches_nothing_at_all",
            Place::Condition,
            "holds for an event without any field: nothing in it must be there".to_owned(),
        );
        return;
    }
    let selections = subject.selections();
    let names: Vec<&str> = selections.iter().map(|(name, _)| *name).collect();
    let selective: Vec<bool> = selections.iter().map(|(_, tree)| is_selective(tree)).collect();
    let narrows = |condition: &ConditionExpr| is_narrow(condition, &names, &selective);
    if !detections.conditions.iter().all(narrows) {
        report.warn(
            "unselective",
            Place::Condition,
            format!(
                "holds without any text of {SELECTIVE_CHARACTERS} characters, number or network \
                 that must be there: it is tried on every event of its log source"
            ),
        );
    }
}

/// Whether a condition only holds where something selective stands.
fn is_narrow(condition: &ConditionExpr, names: &[&str], selective: &[bool]) -> bool {
    match condition {
        ConditionExpr::And(all) => all.iter().any(|one| is_narrow(one, names, selective)),
        ConditionExpr::Or(all) => all.iter().all(|one| is_narrow(one, names, selective)),
        ConditionExpr::Not(_) => false,
        ConditionExpr::Identifier(name) => {
            names.binary_search(&name.as_str()).is_ok_and(|index| selective[index])
        }
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen = chosen(pattern, names);
            let least = match quantifier {
                Quantifier::Any => 1,
                Quantifier::All => chosen.len(),
                Quantifier::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            };
            // With fewer others than it needs, one of those it needs is selective.
            chosen.iter().filter(|index| !selective[**index]).count() < least
        }
    }
}

fn is_selective(tree: &Tree) -> bool {
    match tree {
        Tree::AllOf(items) => items.iter().any(is_selective_item),
        Tree::AnyOf(trees) => trees.iter().all(is_selective),
        Tree::Keywords(values) => {
            values.iter().all(|value| is_selective_value(value, &[Modifier::Contains]))
        }
        _ => true,
    }
}

fn is_selective_item(item: &DetectionItem) -> bool {
    let has =
        |wanted: &[Modifier]| item.field.modifiers.iter().any(|modifier| wanted.contains(modifier));
    let mut each = item.values.iter().map(|value| is_selective_value(value, &item.field.modifiers));
    if has(&[Modifier::Neq, Modifier::Exists, Modifier::FieldRef]) {
        false
    } else if has(&[Modifier::All]) {
        each.any(|selective| selective)
    } else {
        each.all(|selective| selective)
    }
}

fn is_selective_value(value: &SigmaValue, modifiers: &[Modifier]) -> bool {
    let has = |modifier: Modifier| modifiers.contains(&modifier);
    let compares = [Modifier::Gt, Modifier::Gte, Modifier::Lt, Modifier::Lte].into_iter().any(has);
    match value {
        SigmaValue::Null | SigmaValue::Bool(_) => false,
        SigmaValue::Integer(_) | SigmaValue::Float(_) => !compares,
        SigmaValue::String(_) if compares => false,
        SigmaValue::String(text) if has(Modifier::Re) => {
            // Letters in a row that are no escape: a guess in favour of the rule.
            let mut run = 0;
            text.original.chars().any(|character| {
                run = if character.is_alphanumeric() { run + 1 } else { 0 };
                run >= SELECTIVE_CHARACTERS
            })
        }
        SigmaValue::String(_) if has(Modifier::Cidr) || has(Modifier::Expand) => true,
        SigmaValue::String(text) => {
            let placed = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith];
            let whole = text.is_plain() && !placed.into_iter().any(has);
            let most = text.parts.iter().map(|part| match part {
                StringPart::Plain(text) => text.chars().count(),
                StringPart::Special(_) => 0,
            });
            most.max().unwrap_or_default() >= if whole { 1 } else { SELECTIVE_CHARACTERS }
        }
    }
}

/// An event with nothing in it.
struct Nothing;

impl Event for Nothing {
    fn any(&self, _: Key, _: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        false
    }

    fn any_value(&self, _: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        false
    }

    fn any_log_source(&self, _: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        false
    }
}

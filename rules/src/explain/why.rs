//! What of a detection counted for an event.
//!
//! In: a detection with its source, and an event. Out: when the condition holds, the selections it
//! holds by, each with what it found; when it does not, the fewest that would have to be otherwise,
//! each with what it lacked or, where it should not hold, with what it found.

use super::told::{Branch, Line, Told};
use super::{Asked, Counted, Evidence, Lacking, Shown, Verdict};
use crate::detection::Expression;
use crate::{Event, text};

/// Selections one verdict shows.
const MAX_SELECTIONS: usize = 32;

/// Items one selection shows.
const MAX_ASKED: usize = 32;

/// Values of a rule or of an event that one item shows.
const MAX_VALUES: usize = 8;

/// A selection that counts, and how.
struct Picked {
    selection: usize,
    negated: bool,
    instead: usize,
}

impl Told {
    /// What the condition says of an event.
    pub(super) fn judge(&self, event: &dyn Event) -> Verdict {
        let held: Vec<bool> =
            self.selections.iter().map(|(_, branch)| branch.holds(event)).collect();
        let missing: Vec<usize> = self
            .selections
            .iter()
            .zip(&held)
            .map(|((_, branch), held)| if *held { 0 } else { branch.missing(event) })
            .collect();
        let weighed = Weighed { held, missing };
        let chosen = self
            .conditions
            .iter()
            .enumerate()
            .map(|(number, (_, condition))| {
                let mut picked = Vec::new();
                let cost = weighed.reasons(condition, false, &mut picked);
                (!weighed.holds(condition), cost, number, picked)
            })
            .min_by_key(|(fails, cost, number, _)| (*fails, *cost, *number));
        let Some((fails, _, number, picked)) = chosen else {
            return Verdict {
                held: false,
                condition: String::new(),
                selections: Vec::new(),
                more: 0,
            };
        };
        let mut selections: Vec<Counted> = Vec::new();
        let mut more = 0;
        for picked in picked {
            let Some((name, branch)) = self.selections.get(picked.selection) else { continue };
            let same = |other: &Counted| other.name == *name && other.negated == picked.negated;
            if selections.iter().any(same) {
                continue;
            }
            if selections.len() == MAX_SELECTIONS {
                more += 1;
                continue;
            }
            let mut counted = Counted {
                name: name.clone(),
                negated: picked.negated,
                held: weighed.held[picked.selection],
                instead: picked.instead,
                entry: None,
                entries: None,
                asked: Vec::new(),
                more: 0,
            };
            branch.tell(event, &mut counted);
            selections.push(counted);
        }
        let condition = self.conditions[number].0.clone();
        Verdict { held: !fails, condition, selections, more }
    }
}

/// Which selections hold, and how many items each of the others lacks.
struct Weighed {
    held: Vec<bool>,
    missing: Vec<usize>,
}

impl Weighed {
    fn holds(&self, expression: &Expression) -> bool {
        match expression {
            Expression::And(all) => all.iter().all(|one| self.holds(one)),
            Expression::Or(all) => all.iter().any(|one| self.holds(one)),
            Expression::Not(one) => !self.holds(one),
            Expression::Selection(index) => self.held[*index],
            Expression::Of(least, chosen) => self.count(chosen) >= *least,
        }
    }

    fn count(&self, chosen: &[usize]) -> usize {
        chosen.iter().filter(|index| self.held[**index]).count()
    }

    /// The selections by which an expression is what it is: by which it holds, or the fewest that
    /// keep it from holding; with `negated`, it is meant not to hold. Returns how much is amiss.
    fn reasons(&self, expression: &Expression, negated: bool, out: &mut Vec<Picked>) -> usize {
        match expression {
            Expression::Not(one) => self.reasons(one, !negated, out),
            Expression::Selection(index) => {
                out.push(Picked { selection: *index, negated, instead: 0 });
                match self.held[*index] {
                    true => usize::from(negated),
                    false if negated => 0,
                    false => self.missing[*index],
                }
            }
            Expression::And(all) => {
                let holds = self.holds(expression);
                let counted = all.iter().filter(|one| self.holds(one) == holds);
                counted.map(|one| self.reasons(one, negated, out)).sum()
            }
            Expression::Or(all) => {
                if negated || self.holds(expression) {
                    let holds = self.holds(expression);
                    let counted = all.iter().filter(|one| self.holds(one) == holds);
                    return counted.map(|one| self.reasons(one, negated, out)).sum();
                }
                let ways = all.iter().map(|one| {
                    let mut picked = Vec::new();
                    (self.reasons(one, negated, &mut picked), picked)
                });
                let Some((cost, picked)) = ways.min_by_key(|(cost, _)| *cost) else { return 0 };
                let others = all.len() - 1;
                out.extend(
                    picked.into_iter().map(|one| Picked { instead: one.instead + others, ..one }),
                );
                cost
            }
            Expression::Of(least, chosen) => {
                let count = self.count(chosen);
                let holds = count >= *least;
                let mut counted: Vec<usize> =
                    chosen.iter().copied().filter(|index| self.held[*index] == holds).collect();
                let mut instead = 0;
                if !holds && !negated {
                    let needed = (*least - count).min(counted.len());
                    counted.sort_by_key(|index| self.missing[*index]);
                    instead = counted.len() - needed;
                    counted.truncate(needed);
                }
                let amiss = counted.iter().map(|index| match self.held[*index] {
                    true => usize::from(negated),
                    false if negated => 0,
                    false => self.missing[*index],
                });
                let cost = amiss.sum();
                out.extend(counted.into_iter().map(|selection| Picked {
                    selection,
                    negated,
                    instead,
                }));
                cost
            }
        }
    }
}

impl Branch {
    /// How many items are not met, at the least.
    fn missing(&self, event: &dyn Event) -> usize {
        match self {
            Branch::All(lines) => lines.iter().filter(|line| !line.item.holds(event)).count(),
            Branch::Any(branches) => {
                branches.iter().map(|branch| branch.missing(event)).min().unwrap_or_default()
            }
        }
    }

    fn tell(&self, event: &dyn Event, counted: &mut Counted) {
        match self {
            Branch::All(lines) => {
                for line in lines {
                    if !counted.held && line.item.holds(event) {
                        continue;
                    }
                    if counted.asked.len() < MAX_ASKED {
                        counted.asked.push(line.tell(event));
                    } else {
                        counted.more += 1;
                    }
                }
            }
            Branch::Any(branches) => {
                let Some((number, branch)) =
                    branches.iter().enumerate().min_by_key(|(_, branch)| branch.missing(event))
                else {
                    return;
                };
                branch.tell(event, counted);
                if branches.len() > 1 {
                    counted.entry = Some(number + 1);
                    counted.entries = Some(branches.len());
                }
            }
        }
    }
}

impl Line {
    fn tell(&self, event: &dyn Event) -> Asked {
        let item = &self.item;
        let (mut found, mut wanted) = (Vec::new(), Vec::new());
        let (mut met, mut more_wanted) = (0usize, 0);
        for number in 0..item.values.len() {
            let written = self.written.get(number).cloned().unwrap_or_default();
            match item.met(number, event) {
                Some(how) => {
                    met += 1;
                    if found.len() < MAX_VALUES {
                        found.push(Evidence {
                            wanted: written,
                            value: how.value,
                            span: how.place.map(|place| (place.start, place.end)),
                            other: how.other,
                        });
                    }
                    if !item.all {
                        break;
                    }
                }
                None if wanted.len() < MAX_VALUES => wanted.push(written),
                None => more_wanted += 1,
            }
        }
        let enough = if item.all { met == item.values.len() } else { met > 0 };
        let lacking = (!enough).then(|| {
            let (values, more_values, absent) = self.values(event);
            Lacking { absent, wanted, more_wanted, values, more_values }
        });
        Asked {
            field: self.field.clone(),
            in_event: self.in_event.clone(),
            modifiers: self.modifiers.clone(),
            held: enough != item.negated,
            found,
            lacking,
        }
    }

    /// What the event has in the field: the first values, how many more, whether it has none at all.
    fn values(&self, event: &dyn Event) -> (Vec<Shown>, usize, bool) {
        let (mut values, mut more) = (Vec::new(), 0);
        if self.item.keys.is_empty() {
            return (values, more, false);
        }
        for key in &self.item.keys {
            event.any(*key, &mut |value| {
                if values.len() < MAX_VALUES {
                    let text = text::of(value);
                    values.push(Shown::beginning(text.as_deref().unwrap_or("null")));
                } else {
                    more += 1;
                }
                false
            });
        }
        let absent = values.is_empty();
        (values, more, absent)
    }
}

//! Which rules can fire on what arrives, and what the others lack.
//!
//! In: a compiled set, and for each dataset that arrives its log sources and the fields its events may
//! hold. Out: for each rule a [`Covered`]. Values are not looked at: a field that is there may have any
//! value and may be absent from an event; one that is never there makes every test on it false, but
//! `exists: false` and `null`, which it meets. From that a condition can become true or it can't,
//! worked out over its tree: exact where a selection stands once in it.
//!
//! A rule is judged by the dataset that suits it best. A correlation is as good as the rules it counts.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

use rsigma_parser::CorrelationType;

use crate::correlation::{Condition, Correlation, Seen};
use crate::detection::{Detection, Expression, Node};
use crate::item::{Item, Test};
use crate::rule::Body;
use crate::{Key, LogSource, Rule, Set};

/// What arrives under one dataset.
#[derive(Debug, Clone, Default)]
pub struct Arriving {
    /// Its log sources.
    pub sources: Vec<LogSource>,
    /// The fields its events may hold.
    pub fields: HashSet<Key>,
}

/// What may come of a rule. Later is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing of its log source arrives.
    NoSource,
    /// Its condition can't become true: fields are missing.
    Lacks,
    /// It can fire, but some of its alternatives can't: fields are missing.
    Partly,
    /// It can fire.
    Fires,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Verdict; 4] =
        [Verdict::Fires, Verdict::Partly, Verdict::Lacks, Verdict::NoSource];

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Fires => "fires",
            Verdict::Partly => "partly",
            Verdict::Lacks => "lacks",
            Verdict::NoSource => "no source",
        }
    }
}

/// Fields of which one would be enough: those a rule calls by one name.
pub type Missing = Vec<Key>;

/// What may come of a rule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// What may come of it.
    pub verdict: Verdict,
    /// Places of the datasets where that is so; for a correlation those of the rules it counts.
    pub datasets: Vec<usize>,
    /// What keeps it, or some alternatives of it, from firing: the least that would have to be there.
    pub lacks: BTreeSet<Missing>,
    /// Fields without which exceptions it makes never hold, so that it fires more than it should.
    pub exceptions: BTreeSet<Missing>,
}

impl Covered {
    const NO_SOURCE: Covered = Covered {
        verdict: Verdict::NoSource,
        datasets: Vec::new(),
        lacks: BTreeSet::new(),
        exceptions: BTreeSet::new(),
    };
}

impl Set {
    /// What may come of each rule, by its index, when only this arrives.
    pub fn coverage(&self, arriving: &[Arriving]) -> Vec<Covered> {
        let mut all: Vec<Covered> = Vec::with_capacity(self.rules().len());
        for rule in self.rules() {
            let covered = match &rule.body {
                Body::Detection(detection) => of_detection(rule, detection, arriving),
                // The rules it refers to stand in front of it.
                Body::Correlation(correlation) => {
                    self.of_correlation(rule, correlation, arriving, &all)
                }
            };
            all.push(covered);
        }
        all
    }

    /// Every field that some rule asks for.
    pub fn keys(&self) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        for rule in self.rules() {
            keys.extend(rule.carries.iter().map(|(_, key)| *key));
            if let Body::Detection(detection) = &rule.body {
                asked(detection, &mut keys);
            }
        }
        keys
    }

    fn of_correlation(
        &self,
        rule: &Rule,
        correlation: &Correlation,
        arriving: &[Arriving],
        before: &[Covered],
    ) -> Covered {
        let members: Vec<Covered> = correlation
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| {
                let rules = member.rules.iter();
                let each = rules.filter_map(|index| {
                    let (covered, base) = (before.get(*index)?.clone(), self.rule(*index)?);
                    let counted =
                        correlation.counted(rule.sigma_names, place, base, self.options());
                    Some(with_counted(covered, base, &counted, arriving))
                });
                any_of(each.collect())
            })
            .collect();
        let needs_all = matches!(
            correlation.kind,
            CorrelationType::Temporal | CorrelationType::TemporalOrdered
        );
        match &correlation.condition {
            Condition::Seen(seen) => of_seen(seen, &members),
            Condition::Compare(_) if needs_all => all_of(members.iter()),
            Condition::Compare(_) => any_of(members),
        }
    }
}

/// The fields a detection asks for.
fn asked(detection: &Detection, keys: &mut BTreeSet<Key>) {
    fn of_node(node: &Node, keys: &mut BTreeSet<Key>) {
        match node {
            Node::All(items) => items.iter().for_each(|item| of_item(item, keys)),
            Node::Any(nodes) => nodes.iter().for_each(|node| of_node(node, keys)),
            Node::Keywords(item) => of_item(item, keys),
        }
    }
    fn of_item(item: &Item, keys: &mut BTreeSet<Key>) {
        keys.extend(&item.keys);
        for test in item.values.iter().flatten() {
            if let Test::Field { keys: others, .. } = test {
                keys.extend(others);
            }
        }
    }
    detection.selections.iter().for_each(|node| of_node(node, keys));
    detection.filters.iter().for_each(|filter| asked(filter, keys));
}

/// A base rule's coverage for a correlation that counts values of fields, each by its names in the
/// event: without them it counts nothing.
fn with_counted(
    mut covered: Covered,
    base: &Rule,
    counted: &[Vec<Cow<'_, str>>],
    arriving: &[Arriving],
) -> Covered {
    // What a correlation below grouped by is not in the event.
    if covered.verdict < Verdict::Partly || base.is_correlation() {
        return covered;
    }
    let carried = |names: &Vec<Cow<'_, str>>| -> Missing {
        let carried = base.carries.iter();
        carried
            .filter(|(name, _)| names.iter().any(|one| one == name))
            .map(|(_, key)| *key)
            .collect()
    };
    let fields = covered.datasets.iter().filter_map(|place| Some(&arriving.get(*place)?.fields));
    let absent =
        |keys: &Missing| !fields.clone().any(|there| keys.iter().any(|key| there.contains(key)));
    let absent: BTreeSet<Missing> = counted.iter().map(carried).filter(absent).collect();
    if !absent.is_empty() {
        covered.verdict = Verdict::Lacks;
        covered.lacks = absent;
    }
    covered
}

/// One of these is enough.
fn any_of(all: Vec<Covered>) -> Covered {
    let Some(best) = all.iter().map(|covered| covered.verdict).max() else {
        return Covered::NO_SOURCE;
    };
    let mut found = Covered { verdict: best, ..Covered::NO_SOURCE };
    let able = best >= Verdict::Partly;
    if able && all.iter().any(|covered| covered.verdict < Verdict::Fires) {
        found.verdict = Verdict::Partly;
    }
    for covered in all {
        // What lacks a source has no fields to name; of those that can't, any will do.
        if able || covered.verdict == best {
            found.join(covered);
        }
    }
    found
}

/// Each of these is needed.
fn all_of<'a>(all: impl Iterator<Item = &'a Covered> + Clone) -> Covered {
    let worst = all.clone().map(|covered| covered.verdict).min();
    let mut found = Covered { verdict: worst.unwrap_or(Verdict::NoSource), ..Covered::NO_SOURCE };
    all.filter(|covered| covered.verdict != Verdict::Fires || worst == Some(Verdict::Fires))
        .for_each(|covered| found.join(covered.clone()));
    found
}

fn of_seen(seen: &Seen, members: &[Covered]) -> Covered {
    let each =
        |all: &[Seen]| -> Vec<Covered> { all.iter().map(|one| of_seen(one, members)).collect() };
    match seen {
        Seen::And(all) => all_of(each(all).iter()),
        Seen::Or(all) => any_of(each(all)),
        // That something is not seen needs nothing.
        Seen::Not(_) => Covered { verdict: Verdict::Fires, ..Covered::NO_SOURCE },
        Seen::Member(place) => members.get(*place).cloned().unwrap_or(Covered::NO_SOURCE),
    }
}

impl Covered {
    fn join(&mut self, other: Covered) {
        self.datasets.extend(other.datasets);
        self.datasets.sort_unstable();
        self.datasets.dedup();
        self.lacks.extend(other.lacks);
        self.exceptions.extend(other.exceptions);
    }
}

/// A detection over each dataset of its log source; those where it comes to the best count, and what
/// is missing where least is.
fn of_detection(rule: &Rule, detection: &Detection, arriving: &[Arriving]) -> Covered {
    let applies = |one: &Arriving| one.sources.iter().any(|source| rule.log_source.covers(source));
    let judged: Vec<(usize, Covered)> = arriving
        .iter()
        .enumerate()
        .filter(|(_, one)| applies(one))
        .map(|(place, one)| (place, Tree { fields: &one.fields }.judge(detection)))
        .collect();
    let best = judged.iter().map(|(_, covered)| covered).max_by_key(|covered| {
        (covered.verdict, Reverse(covered.lacks.len() + covered.exceptions.len()))
    });
    let Some(best) = best.cloned() else { return Covered::NO_SOURCE };
    let same = judged.iter().filter(|(_, covered)| covered.verdict == best.verdict);
    Covered { datasets: same.map(|(place, _)| *place).collect(), ..best }
}

/// Whether something can be true, and whether it can be false. One of them holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Can {
    hold: bool,
    fail: bool,
}

impl Can {
    const EITHER: Can = Can { hold: true, fail: true };

    fn only(holds: bool) -> Can {
        Can { hold: holds, fail: !holds }
    }

    fn be(self, wanted: bool) -> bool {
        if wanted { self.hold } else { self.fail }
    }

    fn turned(self) -> Can {
        Can { hold: self.fail, fail: self.hold }
    }

    /// That at least so many hold.
    fn of(least: usize, all: impl Iterator<Item = Can>) -> Can {
        let (mut may, mut must) = (0, 0);
        for one in all {
            may += usize::from(one.hold);
            must += usize::from(!one.fail);
        }
        Can { hold: may >= least, fail: must < least }
    }
}

/// A part of a condition.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// Conditions and what filters add.
    Whole(&'a Detection),
    /// An expression over the selections of a detection.
    Expression(&'a Expression, &'a Detection),
    Conditions(&'a Detection),
    Node(&'a Node),
    Item(&'a Item),
}

/// What a part is made of.
enum Made<'a> {
    /// At least so many of these.
    Of(usize, Vec<Part<'a>>),
    Not(Part<'a>),
    Item(&'a Item),
}

impl<'a> Part<'a> {
    fn made(self) -> Made<'a> {
        let all = |parts: Vec<Part<'a>>| Made::Of(parts.len(), parts);
        match self {
            Part::Whole(detection) => {
                let filters = detection.filters.iter().map(Part::Whole);
                all([Part::Conditions(detection)].into_iter().chain(filters).collect())
            }
            Part::Conditions(detection) => {
                let conditions = detection.conditions.iter();
                Made::Of(1, conditions.map(|one| Part::Expression(one, detection)).collect())
            }
            Part::Expression(expression, detection) => {
                let parts = |all: &'a [Expression]| -> Vec<Part<'a>> {
                    all.iter().map(|one| Part::Expression(one, detection)).collect()
                };
                let selection = |index: &usize| Part::Node(&detection.selections[*index]);
                match expression {
                    Expression::And(many) => all(parts(many)),
                    Expression::Or(many) => Made::Of(1, parts(many)),
                    Expression::Not(one) => Made::Not(Part::Expression(one, detection)),
                    Expression::Selection(index) => selection(index).made(),
                    Expression::Of(least, chosen) => {
                        Made::Of(*least, chosen.iter().map(selection).collect())
                    }
                }
            }
            Part::Node(Node::All(items)) => all(items.iter().map(Part::Item).collect()),
            Part::Node(Node::Any(nodes)) => Made::Of(1, nodes.iter().map(Part::Node).collect()),
            Part::Node(Node::Keywords(item)) | Part::Item(item) => Made::Item(item),
        }
    }
}

/// A condition over events that may hold these fields.
struct Tree<'a> {
    fields: &'a HashSet<Key>,
}

impl Tree<'_> {
    fn judge(&self, detection: &Detection) -> Covered {
        let whole = Part::Whole(detection);
        let mut covered = Covered { verdict: Verdict::Lacks, ..Covered::NO_SOURCE };
        if !self.can(whole).hold {
            covered.lacks = self.missing(whole, true);
            return covered;
        }
        self.gaps(whole, &mut covered.lacks, &mut covered.exceptions);
        covered.verdict = if covered.lacks.is_empty() { Verdict::Fires } else { Verdict::Partly };
        covered
    }

    fn has(&self, keys: &[Key]) -> bool {
        keys.iter().any(|key| self.fields.contains(key))
    }

    fn can(&self, part: Part<'_>) -> Can {
        match part.made() {
            Made::Of(least, parts) => Can::of(least, parts.into_iter().map(|part| self.can(part))),
            Made::Not(part) => self.can(part).turned(),
            Made::Item(item) => self.item(item),
        }
    }

    fn item(&self, item: &Item) -> Can {
        let value = |tests: &Vec<Test>| Can::of(1, tests.iter().map(|test| self.test(item, test)));
        let least = if item.all { item.values.len() } else { 1 };
        let can = Can::of(least, item.values.iter().map(value));
        if item.negated { can.turned() } else { can }
    }

    fn test(&self, item: &Item, test: &Test) -> Can {
        let keywords = item.keys.is_empty();
        match test {
            _ if keywords => Can::EITHER,
            Test::Field { keys, .. } if !self.has(keys) => Can::only(false),
            _ if self.has(&item.keys) => Can::EITHER,
            Test::Null => Can::only(true),
            Test::Exists(wanted) => Can::only(!wanted),
            _ => Can::only(false),
        }
    }

    /// The least that would have to be there for a part to be what it can't be.
    fn missing(&self, part: Part<'_>, wanted: bool) -> BTreeSet<Missing> {
        match part.made() {
            Made::Not(part) => self.missing(part, !wanted),
            Made::Item(item) => self.missing_of(item),
            Made::Of(least, parts) => {
                let enough = if wanted { least } else { parts.len() + 1 - least.min(parts.len()) };
                let (able, unable): (Vec<_>, Vec<_>) =
                    parts.into_iter().partition(|part| self.can(*part).be(wanted));
                let mut each: Vec<BTreeSet<Missing>> =
                    unable.into_iter().map(|part| self.missing(part, wanted)).collect();
                each.sort_by_key(BTreeSet::len);
                each.truncate(enough.saturating_sub(able.len()));
                each.into_iter().flatten().collect()
            }
        }
    }

    fn missing_of(&self, item: &Item) -> BTreeSet<Missing> {
        if !self.has(&item.keys) {
            return [item.keys.clone()].into();
        }
        let others = item.values.iter().flatten().filter_map(|test| match test {
            Test::Field { keys, .. } if !self.has(keys) => Some(keys.clone()),
            _ => None,
        });
        others.collect()
    }

    /// What is missing of the alternatives of a part that can hold, and of the exceptions it makes.
    fn gaps(
        &self,
        part: Part<'_>,
        alternatives: &mut BTreeSet<Missing>,
        exceptions: &mut BTreeSet<Missing>,
    ) {
        match part.made() {
            Made::Item(_) => {}
            Made::Of(_, parts) => {
                for part in parts {
                    if self.can(part).hold {
                        self.gaps(part, alternatives, exceptions);
                    } else {
                        alternatives.extend(self.missing(part, true));
                    }
                }
            }
            Made::Not(part) if self.can(part).hold => self.gaps(part, exceptions, alternatives),
            Made::Not(part) => exceptions.extend(self.missing(part, true)),
        }
    }
}

#[cfg(test)]
mod tests;

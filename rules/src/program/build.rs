//! How a program is made.
//!
//! In: detections as the naive evaluator has them. Out: a [`Program`]. Tests, lists and nodes that are
//! the same are one. Negation is pushed down to where it meets a list or a question, so that a witness
//! is found behind two of them; then each rule's witness is chosen, and what is cheap and telling is
//! put first in every condition.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::atom::{Form, Look, look};
use super::matcher::{Check, Matcher};
use super::{Asked, Judged, Keywords, Node, Program, Span, Wanted, next_id, place};
use crate::Key;
use crate::detection::{self, Detection, Expression};
use crate::item::{Item, Test};

/// A witness of more lists than this is none: the rule is always awake.
const MAX_WITNESS: usize = 4_096;

impl Program {
    /// Makes the program of some rules: index, detection; ascending.
    pub(crate) fn new(rules: &[(usize, &Detection)]) -> Program {
        let mut builder = Builder::default();
        let roots: Vec<u32> =
            rules.iter().map(|(_, detection)| builder.detection(detection)).collect();
        builder.finish(rules.iter().map(|(index, _)| *index).zip(roots))
    }
}

type Table<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A node while it is being built; the same is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Draft {
    All(Vec<u32>),
    Any(Vec<u32>),
    Not(u32),
    Of(u32, Vec<u32>),
    Met(u32),
    Ask(u32),
}

/// A test of one field that is looked for.
#[derive(Debug)]
struct Atom {
    key: Option<Key>,
    test: Test,
    look: Look,
    lists: Vec<u32>,
}

#[derive(Debug, Default)]
struct Builder {
    nodes: Vec<Draft>,
    known_nodes: Table<Draft, u32>,
    negated: Table<u32, u32>,
    atoms: Vec<Atom>,
    /// By field and what the test is.
    known_atoms: Table<(Option<Key>, String), Option<u32>>,
    /// Atoms of each list.
    lists: Vec<Vec<u32>>,
    known_lists: Table<Vec<u32>, u32>,
    asked: Vec<Asked>,
    known_asked: Table<(Vec<Key>, String), u32>,
}

/// Lists of which one must be met, and how likely that is.
#[derive(Debug, Clone)]
struct Witness {
    likelihood: f32,
    lists: Rc<[u32]>,
}

impl Builder {
    fn node(&mut self, draft: Draft) -> u32 {
        if let Some(known) = self.known_nodes.get(&draft) {
            return *known;
        }
        let node = place(self.nodes.len());
        self.nodes.push(draft.clone());
        self.known_nodes.insert(draft, node);
        node
    }

    fn many(&mut self, mut nodes: Vec<u32>, draft: fn(Vec<u32>) -> Draft) -> u32 {
        nodes.sort_unstable();
        nodes.dedup();
        match nodes.as_slice() {
            [one] => *one,
            _ => self.node(draft(nodes)),
        }
    }

    fn not(&mut self, node: u32) -> u32 {
        if let Some(known) = self.negated.get(&node) {
            return *known;
        }
        let negated = self.negation(node);
        self.negated.insert(node, negated);
        negated
    }

    fn negation(&mut self, node: u32) -> u32 {
        match self.nodes[node as usize].clone() {
            Draft::Not(inner) => inner,
            Draft::All(nodes) => {
                let nodes = nodes.into_iter().map(|node| self.not(node)).collect();
                self.many(nodes, Draft::Any)
            }
            Draft::Any(nodes) => {
                let nodes = nodes.into_iter().map(|node| self.not(node)).collect();
                self.many(nodes, Draft::All)
            }
            _ => self.node(Draft::Not(node)),
        }
    }

    fn detection(&mut self, detection: &Detection) -> u32 {
        let selections: Vec<u32> =
            detection.selections.iter().map(|selection| self.selection(selection)).collect();
        let conditions = detection
            .conditions
            .iter()
            .map(|condition| self.expression(condition, &selections))
            .collect();
        let mut all = vec![self.many(conditions, Draft::Any)];
        for filter in &detection.filters {
            all.push(self.detection(filter));
        }
        self.many(all, Draft::All)
    }

    fn expression(&mut self, expression: &Expression, selections: &[u32]) -> u32 {
        let each = |builder: &mut Builder, all: &[Expression]| -> Vec<u32> {
            all.iter().map(|one| builder.expression(one, selections)).collect()
        };
        match expression {
            Expression::And(all) => {
                let nodes = each(self, all);
                self.many(nodes, Draft::All)
            }
            Expression::Or(all) => {
                let nodes = each(self, all);
                self.many(nodes, Draft::Any)
            }
            Expression::Not(one) => {
                let node = self.expression(one, selections);
                self.not(node)
            }
            Expression::Selection(index) => selections[*index],
            Expression::Of(least, chosen) => {
                let nodes: Vec<u32> = chosen.iter().map(|index| selections[*index]).collect();
                if *least == nodes.len() {
                    self.many(nodes, Draft::All)
                } else if *least == 1 {
                    self.many(nodes, Draft::Any)
                } else {
                    // Not sorted out: of two selections that say the same both count.
                    self.node(Draft::Of(u32::try_from(*least).unwrap_or(u32::MAX), nodes))
                }
            }
        }
    }

    fn selection(&mut self, selection: &detection::Node) -> u32 {
        match selection {
            detection::Node::All(items) => {
                let nodes = items.iter().map(|item| self.item(item)).collect();
                self.many(nodes, Draft::All)
            }
            detection::Node::Any(nodes) => {
                let nodes = nodes.iter().map(|node| self.selection(node)).collect();
                self.many(nodes, Draft::Any)
            }
            detection::Node::Keywords(item) => self.item(item),
        }
    }

    fn item(&mut self, item: &Item) -> u32 {
        let node = if item.all {
            let nodes = item.values.iter().map(|tests| self.any_of(&item.keys, tests.iter()));
            let nodes = nodes.collect();
            self.many(nodes, Draft::All)
        } else {
            self.any_of(&item.keys, item.values.iter().flatten())
        };
        if item.negated { self.not(node) } else { node }
    }

    /// A node that holds when one of the tests does, in one of the fields.
    fn any_of<'a>(&mut self, keys: &[Key], tests: impl Iterator<Item = &'a Test>) -> u32 {
        let (mut atoms, mut asked) = (Vec::new(), Vec::new());
        for test in tests {
            // Whether a test is looked for does not depend on the field.
            let found: Option<Vec<u32>> = match keys {
                [] => self.atom(None, test).map(|atom| vec![atom]),
                keys => keys.iter().map(|key| self.atom(Some(*key), test)).collect(),
            };
            match found {
                Some(mut found) => atoms.append(&mut found),
                None => asked.push(test.clone()),
            }
        }
        let mut nodes = Vec::new();
        if !atoms.is_empty() {
            atoms.sort_unstable();
            atoms.dedup();
            let list = self.list(atoms);
            nodes.push(self.node(Draft::Met(list)));
        }
        if !asked.is_empty() {
            let asked = self.ask(keys, asked);
            nodes.push(self.node(Draft::Ask(asked)));
        }
        self.many(nodes, Draft::Any)
    }

    /// The number of a test that is looked for; none when it has to be asked.
    fn atom(&mut self, key: Option<Key>, test: &Test) -> Option<u32> {
        // What a test prints is all there is to it.
        let known = (key, format!("{test:?}"));
        if let Some(known) = self.known_atoms.get(&known) {
            return *known;
        }
        let atom = match look(test) {
            Look::Ask => None,
            look => {
                self.atoms.push(Atom { key, test: test.clone(), look, lists: Vec::new() });
                Some(place(self.atoms.len() - 1))
            }
        };
        self.known_atoms.insert(known, atom);
        atom
    }

    fn list(&mut self, atoms: Vec<u32>) -> u32 {
        if let Some(known) = self.known_lists.get(&atoms) {
            return *known;
        }
        let list = place(self.lists.len());
        for atom in &atoms {
            self.atoms[*atom as usize].lists.push(list);
        }
        self.lists.push(atoms.clone());
        self.known_lists.insert(atoms, list);
        list
    }

    fn ask(&mut self, keys: &[Key], tests: Vec<Test>) -> u32 {
        let known = (keys.to_vec(), format!("{tests:?}"));
        if let Some(known) = self.known_asked.get(&known) {
            return *known;
        }
        let asked = place(self.asked.len());
        self.asked.push(Asked { keys: keys.to_vec(), tests });
        self.known_asked.insert(known, asked);
        asked
    }

    fn finish(self, rules: impl Iterator<Item = (usize, u32)>) -> Program {
        let rules: Vec<Judged> = rules.map(|(index, node)| Judged { index, node }).collect();
        let likelihoods: Vec<f32> = self.lists.iter().map(|atoms| self.likelihood(atoms)).collect();
        let witnesses = self.witnesses(&likelihoods);
        let mut by_list: Vec<Vec<u32>> = vec![Vec::new(); self.lists.len()];
        let mut always = Vec::new();
        for (rule, judged) in (0u32..).zip(&rules) {
            match &witnesses[judged.node as usize] {
                Some(witness) => {
                    witness.lists.iter().for_each(|list| by_list[*list as usize].push(rule));
                }
                None => always.push(rule),
            }
        }
        let (mut wakes, mut woken) = (Vec::with_capacity(by_list.len()), Vec::new());
        for mut rules in by_list {
            rules.dedup();
            let start = place(woken.len());
            woken.append(&mut rules);
            wakes.push((start, place(woken.len())));
        }
        let mut children = Vec::new();
        let nodes = self
            .nodes
            .iter()
            .map(|draft| self.settled(draft, &likelihoods, &witnesses, &mut children))
            .collect();
        let common = common(&self.atoms);
        let common = |gram: &[u8]| common.get(&gram_of(gram)).copied().unwrap_or(0);
        let mut by_key: BTreeMap<Option<Key>, Vec<Atom>> = BTreeMap::new();
        for atom in self.atoms {
            by_key.entry(atom.key).or_default().push(atom);
        }
        let keywords = by_key.remove(&None).map(|atoms| Keywords {
            whole: !atoms.iter().any(|atom| matches!(atom.test, Test::Regex(_))),
            matcher: matcher(atoms, &common),
        });
        let keys = by_key.keys().copied().flatten().collect();
        let fields = by_key.into_values().map(|atoms| matcher(atoms, &common)).collect();
        Program {
            id: next_id(),
            wanted: Wanted::new(keys),
            fields,
            keywords,
            wakes,
            woken,
            always,
            rules,
            nodes,
            children,
            asked: self.asked,
        }
    }

    /// How likely a list is met: what many rules look for is what many events have.
    fn likelihood(&self, atoms: &[u32]) -> f32 {
        let one = |atom: &u32| {
            let atom = &self.atoms[*atom as usize];
            atom.look.likelihood() * (atom.lists.len() as f32).sqrt()
        };
        atoms.iter().map(one).sum::<f32>().min(1.0)
    }

    /// The best witness of each node. A node's children come before it.
    fn witnesses(&self, likelihoods: &[f32]) -> Vec<Option<Witness>> {
        let mut all: Vec<Option<Witness>> = Vec::with_capacity(self.nodes.len());
        for draft in &self.nodes {
            let of = |nodes: &[u32]| -> Vec<Option<Witness>> {
                nodes.iter().map(|node| all[*node as usize].clone()).collect()
            };
            let witness = match draft {
                Draft::Met(list) => Some(Witness {
                    likelihood: likelihoods[*list as usize],
                    lists: Rc::from([*list]),
                }),
                Draft::Ask(_) | Draft::Not(_) => None,
                Draft::All(nodes) => of(nodes)
                    .into_iter()
                    .flatten()
                    .min_by(|one, other| one.likelihood.total_cmp(&other.likelihood)),
                Draft::Any(nodes) => joined(of(nodes).into_iter().collect::<Option<Vec<_>>>()),
                Draft::Of(least, nodes) => {
                    let mut known: Vec<Witness> = of(nodes).into_iter().flatten().collect();
                    known.sort_by(|one, other| one.likelihood.total_cmp(&other.likelihood));
                    // However the others turn out, one of so many must hold.
                    let enough = (nodes.len() + 1).saturating_sub(*least as usize);
                    known.truncate(enough);
                    joined((known.len() == enough && enough > 0).then_some(known))
                }
            };
            all.push(witness);
        }
        all
    }

    /// A node as it is run, its children in the order they are worth asking.
    fn settled(
        &self,
        draft: &Draft,
        likelihoods: &[f32],
        witnesses: &[Option<Witness>],
        children: &mut Vec<u32>,
    ) -> Node {
        // Lists first, then what is built of them, then what asks the event.
        let cost = |node: u32| match &self.nodes[node as usize] {
            Draft::Met(list) => (0, likelihoods[*list as usize]),
            Draft::Ask(_) => (2, 1.0),
            Draft::Not(inner) if matches!(self.nodes[*inner as usize], Draft::Ask(_)) => (2, 1.0),
            _ => (1, witnesses[node as usize].as_ref().map_or(1.0, |one| one.likelihood)),
        };
        let mut keep = |nodes: &[u32], rare_first: bool| -> Span {
            let mut nodes = nodes.to_vec();
            nodes.sort_by(|one, other| {
                let ((one, rarity), (other, other_rarity)) = (cost(*one), cost(*other));
                let by_rarity = rarity.total_cmp(&other_rarity);
                one.cmp(&other).then(if rare_first { by_rarity } else { by_rarity.reverse() })
            });
            let start = place(children.len());
            children.append(&mut nodes);
            (start, place(children.len()))
        };
        match draft {
            Draft::All(nodes) => Node::All(keep(nodes, true)),
            Draft::Any(nodes) => Node::Any(keep(nodes, false)),
            Draft::Of(least, nodes) => Node::Of(*least, keep(nodes, false)),
            Draft::Not(node) => Node::Not(*node),
            Draft::Met(list) => Node::Met(*list),
            Draft::Ask(asked) => Node::Ask(*asked),
        }
    }
}

/// One of all of these must be met.
fn joined(witnesses: Option<Vec<Witness>>) -> Option<Witness> {
    let witnesses = witnesses?;
    let mut lists: Vec<u32> = Vec::new();
    for witness in &witnesses {
        lists.extend_from_slice(&witness.lists);
        if lists.len() > MAX_WITNESS {
            return None;
        }
    }
    lists.sort_unstable();
    lists.dedup();
    let likelihood = witnesses.iter().map(|witness| witness.likelihood).sum();
    Some(Witness { likelihood, lists: lists.into() })
}

/// How often each gram of four bytes stands in what rules look for: what is common there is common
/// in events.
fn common(atoms: &[Atom]) -> Table<u32, u32> {
    let mut common = Table::default();
    let mut count = |text: &[u8]| {
        for gram in text.windows(4) {
            *common.entry(gram_of(gram)).or_insert(0) += 1;
        }
    };
    for atom in atoms {
        match &atom.look {
            Look::For(forms) => {
                for form in forms {
                    match form {
                        Form::Equals(text)
                        | Form::Prefix(text)
                        | Form::Suffix(text)
                        | Form::Contains(text) => count(text),
                        Form::Always | Form::Number(_) => {}
                    }
                }
            }
            Look::Where(texts) => texts.iter().for_each(|text| count(text)),
            Look::Ask => {}
        }
    }
    common
}

fn gram_of(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |gram, byte| gram << 8 | u32::from(*byte))
}

fn matcher(atoms: Vec<Atom>, common: &dyn Fn(&[u8]) -> u32) -> Matcher {
    let mut forms: BTreeMap<Form, Vec<u32>> = BTreeMap::new();
    let mut checks = Vec::new();
    for Atom { test, look, lists, .. } in atoms {
        match look {
            Look::For(all) => {
                for form in all {
                    forms.entry(form).or_default().extend_from_slice(&lists);
                }
            }
            Look::Where(texts) => checks.push(Check { texts, test, lists }),
            Look::Ask => {}
        }
    }
    Matcher::new(forms, checks, common)
}

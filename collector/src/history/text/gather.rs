//! The second pass over the values: what their slots hold, gathered into columns.
//!
//! In: values taken apart, and the clusters of their shapes. Out: templates and columns. A column is
//! known by all that stands before it in a template, not by the template: lines that begin alike share
//! the columns of their beginnings, so that the times of a log are one column in which each is close
//! to the one before, whatever the lines say. Thus columns are the nodes of a tree, and a template is a
//! path in it and the fixed text after.
//!
//! Values whose shape is too rare for a template keep what they share with others at their beginning,
//! and have all the rest in one slot.

use super::hashing::Table;
use super::lex::{self, Kind};
use super::merge::{self, Cluster, Piece};
use super::shapes::{Apart, Row, Shape, Strings};

/// A shape of fewer values gets no template of its own.
const MIN_VALUES: u64 = 3;
/// A beginning that fewer values share is no beginning.
const MIN_SHARED: u64 = 8;

/// A slot of all templates that begin with the same text and slots.
pub(super) struct Column {
    pub(super) parent: Option<u32>,
    /// The fixed text between the parent and this.
    pub(super) before: Vec<u8>,
    pub(super) kind: Kind,
    /// Numbers, or numbers of strings, in the order of rows.
    pub(super) values: Vec<u64>,
    /// Which value of the parent is in the same row as each.
    pub(super) above: Vec<u32>,
    /// How many values are expected to get here.
    shared: u64,
}

/// A path in the tree of columns, and what comes after.
pub(super) struct Template {
    pub(super) last: Option<u32>,
    pub(super) tail: Vec<u8>,
    /// The columns from first to last.
    columns: Vec<u32>,
}

/// Everything there is to store.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    pub(super) columns: Vec<Column>,
    pub(super) templates: Vec<Template>,
    /// The template of each row.
    pub(super) rows: Vec<u32>,
    pub(super) strings: Strings<'a>,
}

/// Where the value of a slot of a template comes from.
enum Source {
    Slot(usize),
    Word(u32),
    /// All that comes after so many slots of the shape.
    RestAfter(usize),
}

/// How values of a shape fill a template.
struct Plan {
    template: u32,
    sources: Vec<Source>,
}

/// Gathers the columns of values.
pub(super) fn gather<'a>(values: &[&'a [u8]], mut apart: Apart<'a>) -> Gathered<'a> {
    let clusters = merge::clusters(&apart.shapes);
    let mut tree = Tree::default();
    let mut plans: Vec<Option<Plan>> = apart.shapes.iter().map(|_| None).collect();
    let (rare, common): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|cluster| cluster.count < MIN_VALUES);
    for cluster in common {
        tree.plan(&cluster, &mut apart, &mut plans);
    }
    for (shape, _) in rare.into_iter().flat_map(|cluster| cluster.shapes) {
        plans[shape as usize] = Some(tree.rest_plan(&apart.shapes[shape as usize]));
    }
    let whole = apart.rows.iter().any(|row| row.shape.is_none()).then(|| tree.rest(None, 0));
    let mut gathered = tree.gathered;
    for column in &mut gathered.columns {
        column.values.reserve_exact(column.shared as usize);
        column.above.reserve_exact(column.shared as usize);
    }
    for (value, row) in values.iter().zip(apart.rows.clone()) {
        let plan = row.shape.and_then(|shape| plans[shape as usize].as_ref()).or(whole.as_ref());
        gathered.add(value, row, plan.expect("every shape has a plan"), &mut apart);
    }
    gathered.strings = apart.strings;
    gathered
}

impl<'a> Gathered<'a> {
    fn add(&mut self, value: &'a [u8], row: Row, plan: &Plan, apart: &mut Apart<'a>) {
        self.rows.push(plan.template);
        let mut above = 0;
        for (slot, source) in plan.sources.iter().enumerate() {
            let value = match source {
                Source::Slot(number) => apart.contents(row)[*number],
                Source::Word(word) => u64::from(*word),
                Source::RestAfter(slots) => {
                    let rest = &value[end_of(value, *slots)..];
                    u64::from(apart.strings.number(rest))
                }
            };
            let column = self.templates[plan.template as usize].columns[slot];
            let column = &mut self.columns[column as usize];
            column.above.push(above);
            above = column.values.len() as u32;
            column.values.push(value);
        }
    }
}

/// Where so many slots of a value end.
fn end_of(value: &[u8], slots: usize) -> usize {
    let (mut end, mut seen) = (0, 0);
    if slots > 0 {
        lex::slots(value, &mut |slot| {
            seen += 1;
            if seen == slots {
                end = slot.end;
            }
        });
    }
    end
}

#[derive(Default)]
struct Tree<'a> {
    gathered: Gathered<'a>,
    edges: Table<(Option<u32>, Vec<u8>, Kind), u32>,
    templates: Table<(Option<u32>, Vec<u8>), u32>,
}

impl<'a> Tree<'a> {
    /// Plans the shapes of a cluster, which share a template.
    fn plan(&mut self, cluster: &Cluster<'a>, apart: &mut Apart<'a>, plans: &mut [Option<Plan>]) {
        let mut varying = cluster.varying.iter();
        let (mut at, mut fixed) = (None, Vec::new());
        // Of each slot of the template, which word it is, if it is one.
        let mut slots = Vec::new();
        let mut words = 0;
        merge::pieces(&apart.shapes[cluster.shapes[0].0 as usize], &mut |piece| {
            let (kind, word) = match piece {
                Piece::Fixed(text) => return fixed.extend_from_slice(text),
                Piece::Word(word) => {
                    words += 1;
                    if varying.next() != Some(&true) {
                        return fixed.extend_from_slice(word);
                    }
                    (Kind::Text, Some(words - 1))
                }
                Piece::Slot(Kind::Text) => {
                    words += 1;
                    varying.next();
                    (Kind::Text, Some(words - 1))
                }
                Piece::Slot(kind) => (kind, None),
            };
            let column = self.column(at, std::mem::take(&mut fixed), kind);
            self.gathered.columns[column as usize].shared += cluster.count;
            at = Some(column);
            slots.push(word);
        });
        let template = self.template(at, fixed);
        for (shape, words) in &cluster.shapes {
            let mut next = 0..;
            let sources = slots.iter().map(|word| match word.and_then(|word: usize| words[word]) {
                Some(word) => Source::Word(apart.strings.number(word)),
                None => Source::Slot(next.next().unwrap_or_default()),
            });
            plans[*shape as usize] = Some(Plan { template, sources: sources.collect() });
        }
    }

    /// The plan of a shape that is rare.
    fn rest_plan(&mut self, shape: &Shape) -> Plan {
        let (mut at, mut end, mut slots) = (None, 0, 0);
        for (kind, place) in &shape.slots {
            let edge = (at, shape.sample[end..place.start].to_vec(), *kind);
            let Some(next) = self.edges.get(&edge) else { break };
            if self.gathered.columns[*next as usize].shared < MIN_SHARED {
                break;
            }
            (at, end, slots) = (Some(*next), place.end, slots + 1);
        }
        self.rest(at, slots)
    }

    /// The plan of values of which only so many slots, in the columns down to `last`, are told apart.
    fn rest(&mut self, last: Option<u32>, slots: usize) -> Plan {
        let column = self.column(last, Vec::new(), Kind::Rest);
        let mut sources: Vec<Source> = (0..slots).map(Source::Slot).collect();
        sources.push(Source::RestAfter(slots));
        Plan { template: self.template(Some(column), Vec::new()), sources }
    }

    fn column(&mut self, parent: Option<u32>, before: Vec<u8>, kind: Kind) -> u32 {
        let columns = &mut self.gathered.columns;
        *self.edges.entry((parent, before, kind)).or_insert_with_key(|(parent, before, kind)| {
            columns.push(Column {
                parent: *parent,
                before: before.clone(),
                kind: *kind,
                values: Vec::new(),
                above: Vec::new(),
                shared: 0,
            });
            columns.len() as u32 - 1
        })
    }

    fn template(&mut self, last: Option<u32>, tail: Vec<u8>) -> u32 {
        let Gathered { columns, templates, .. } = &mut self.gathered;
        *self.templates.entry((last, tail)).or_insert_with_key(|(last, tail)| {
            let up = |column: &u32| columns[*column as usize].parent;
            let mut path: Vec<u32> = std::iter::successors(*last, up).collect();
            path.reverse();
            templates.push(Template { last: *last, tail: tail.clone(), columns: path });
            templates.len() as u32 - 1
        })
    }
}

//! A detection with what the rule wrote: names of selections, fields, modifiers, values.
//!
//! In: the parser's tree. Out: the same selections and conditions that [`crate::detection`]
//! compiles, each item beside its source. What decides whether an item holds is the compiled
//! [`Item`] itself.

use std::collections::BTreeMap;

use rsigma_parser::{Detection as Tree, DetectionItem, Detections, Modifier, SigmaValue};

use crate::Event;
use crate::budget::Budget;
use crate::detection::Expression;
use crate::item::{Compiling, Item, Resolve};
use crate::set::Options;
use crate::text;

/// Bytes of a condition or of a rule's value that are shown.
const MAX_WRITTEN_BYTES: usize = 512;

/// A detection with its source.
#[derive(Debug)]
pub(super) struct Told {
    /// Sorted by name, as the expressions count them.
    pub(super) selections: Vec<(String, Branch)>,
    /// As written, and compiled.
    pub(super) conditions: Vec<(String, Expression)>,
}

/// A selection, or a map of its list.
#[derive(Debug)]
pub(super) enum Branch {
    All(Vec<Line>),
    Any(Vec<Branch>),
}

/// An item with its source.
#[derive(Debug)]
pub(super) struct Line {
    /// As written; none for keywords.
    pub(super) field: Option<String>,
    /// Its name in the event, where that is another.
    pub(super) in_event: Option<String>,
    pub(super) modifiers: Vec<&'static str>,
    /// Values as written, in the order of the item's.
    pub(super) written: Vec<String>,
    pub(super) item: Item,
}

/// Says what a field of the rule is called in events.
type Rename<'a> = &'a dyn Fn(&str) -> String;

impl Told {
    /// Compiles a detection beside its source.
    pub(super) fn new(
        detections: &Detections,
        rename: Rename<'_>,
        resolve: Resolve<'_>,
        options: &Options,
    ) -> Result<Told, String> {
        let budget = Budget::new();
        let with = Compiling { options, budget: &budget };
        let named: BTreeMap<&str, &Tree> =
            detections.named.iter().map(|(name, tree)| (name.as_str(), tree)).collect();
        let names: Vec<&str> = named.keys().copied().collect();
        let selections = named
            .iter()
            .map(|(name, tree)| {
                let branch = Branch::new(tree, rename, resolve, with)?;
                Ok(((*name).to_owned(), branch))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let conditions = detections
            .condition_strings
            .iter()
            .zip(&detections.conditions)
            .map(|(written, condition)| {
                Ok((cut(written.trim()), Expression::new(condition, &names)?))
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok(Told { selections, conditions })
    }
}

impl Branch {
    fn new(
        tree: &Tree,
        rename: Rename<'_>,
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Branch, String> {
        match tree {
            Tree::AllOf(items) => items
                .iter()
                .map(|item| Line::new(item, rename, resolve, with))
                .collect::<Result<_, _>>()
                .map(Branch::All),
            Tree::AnyOf(trees) => trees
                .iter()
                .map(|tree| Branch::new(tree, rename, resolve, with))
                .collect::<Result<_, _>>()
                .map(Branch::Any),
            Tree::Keywords(values) => {
                let item = Item::keywords(values, with)?;
                let written = values.iter().map(shown).collect();
                let line =
                    Line { field: None, in_event: None, modifiers: Vec::new(), written, item };
                Ok(Branch::All(vec![line]))
            }
            Tree::ArrayMatch { .. } | Tree::And(_) | Tree::Conditional { .. } => {
                Err("array matching is not supported".to_owned())
            }
        }
    }

    /// Whether an event meets it.
    pub(super) fn holds(&self, event: &dyn Event) -> bool {
        match self {
            Branch::All(lines) => lines.iter().all(|line| line.item.holds(event)),
            Branch::Any(branches) => branches.iter().any(|branch| branch.holds(event)),
        }
    }
}

impl Line {
    fn new(
        item: &DetectionItem,
        rename: Rename<'_>,
        resolve: Resolve<'_>,
        with: Compiling<'_>,
    ) -> Result<Line, String> {
        let field = item.field.name.as_deref().map(crate::item::unescaped);
        let in_event = field.as_deref().map(rename).filter(|name| Some(name) != field.as_ref());
        Ok(Line {
            field,
            in_event,
            modifiers: item.field.modifiers.iter().map(|modifier| written(*modifier)).collect(),
            written: item.values.iter().map(shown).collect(),
            item: Item::new(item, resolve, with)?,
        })
    }
}

fn shown(value: &SigmaValue) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    text::cut(text, MAX_WRITTEN_BYTES).to_owned()
}

/// A modifier as rules write it.
pub(crate) fn written(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16be => "utf16be",
        Modifier::Utf16 => "utf16",
        Modifier::WindAsh => "windash",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Cased => "cased",
        Modifier::Exists => "exists",
        Modifier::Expand => "expand",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Neq => "neq",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
    }
}

//! Checks of the items of selections: fields, modifiers, values.

use std::collections::{BTreeSet, HashSet};

use rsigma_parser::{
    Detection as Tree, Modifier, SigmaString, SigmaValue, SpecialChar, StringPart,
};

use super::{Place, Report, Subject};
use crate::expression::{self, Flags};
use crate::item::unescaped;
use crate::pattern::DASHES;
use crate::text;

/// Memory of a compiled expression that is worth a word.
const LARGE_EXPRESSION_BYTES: usize = 1 << 20;

/// Values of a list that are compared with each other.
const MAX_COMPARED: usize = 300;

/// Bytes of a value that a message shows.
const MAX_SHOWN_BYTES: usize = 80;

/// What is checked of each item.
pub(super) const CHECKS: &[fn(&Item<'_>, &mut Findings<'_, '_>)] = &[
    fields,
    wildcards_for_modifiers,
    wildcards_beside_modifiers,
    wildcards_in_a_row,
    wildcards_that_are_none,
    always_met,
    repeated,
    covered,
    quoted_numbers,
    expressions,
    idle_modifiers,
    networks,
    control_characters,
];

/// An item under inspection.
pub(super) struct Item<'a> {
    /// None for keywords.
    field: Option<&'a str>,
    modifiers: &'a [Modifier],
    values: &'a [SigmaValue],
    /// Whether the field's name is one that events have, or need not be.
    known: bool,
}

/// Takes what is found of one item.
pub(super) struct Findings<'a, 'b> {
    report: &'a mut Report<'b>,
    selection: &'a str,
    /// The item's key as the rule writes it.
    key: &'a str,
}

impl Findings<'_, '_> {
    fn warn(&mut self, check: &str, message: String) {
        let place = Place::Item(self.selection, self.key);
        let name = if self.key.is_empty() { "keywords" } else { self.key };
        self.report.warn(check, place, format!("{} in {}: {message}", name, self.selection));
    }
}

/// Runs every check over every item of a document.
pub(super) fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (selection, tree) in subject.selections() {
        each_item(tree, &mut |field, modifiers, values| {
            let known = field.is_none_or(|field| {
                !subject.names_of_events || (subject.known_field)(&unescaped(field))
            });
            let item = Item { field, modifiers, values, known };
            let key = item.key();
            let mut findings = Findings { report, selection, key: &key };
            CHECKS.iter().for_each(|check| check(&item, &mut findings));
        });
    }
}

type See<'a, 'b> = &'a mut dyn FnMut(Option<&'b str>, &'b [Modifier], &'b [SigmaValue]);

fn each_item<'b>(tree: &'b Tree, see: See<'_, 'b>) {
    match tree {
        Tree::AllOf(items) => {
            for item in items {
                see(item.field.name.as_deref(), &item.field.modifiers, &item.values);
            }
        }
        Tree::AnyOf(trees) => trees.iter().for_each(|tree| each_item(tree, see)),
        Tree::Keywords(values) => see(None, &[], values),
        _ => {}
    }
}

impl Item<'_> {
    fn key(&self) -> String {
        let mut key = self.field.unwrap_or_default().to_owned();
        for modifier in self.modifiers {
            key.push('|');
            key.push_str(crate::explain::modifier(*modifier));
        }
        key
    }

    fn has(&self, modifier: Modifier) -> bool {
        self.modifiers.contains(&modifier)
    }

    fn has_any(&self, modifiers: &[Modifier]) -> bool {
        modifiers.iter().any(|modifier| self.has(*modifier))
    }

    /// Whether its values are compared as text, in which `*` and `?` are wildcards.
    fn is_text(&self) -> bool {
        use Modifier::*;
        !self.has_any(&[Re, Cidr, Exists, FieldRef, Gt, Gte, Lt, Lte])
            && !self.has_any(&[Minute, Hour, Day, Week, Month, Year])
    }

    fn is_placed(&self) -> bool {
        self.has_any(&[Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith])
    }

    fn is_encoded(&self) -> bool {
        use Modifier::*;
        self.has_any(&[Base64, Base64Offset, Wide, Utf16, Utf16be])
    }

    fn texts(&self) -> impl Iterator<Item = &SigmaString> {
        self.values.iter().filter_map(|value| match value {
            SigmaValue::String(text) => Some(text),
            _ => None,
        })
    }
}

fn shown(text: &str) -> String {
    let cut = text::cut(text, MAX_SHOWN_BYTES);
    format!("'{cut}{}'", if cut.len() < text.len() { "…" } else { "" })
}

fn is_any(part: &StringPart) -> bool {
    *part == StringPart::Special(SpecialChar::WildcardMulti)
}

fn is_only_any(text: &SigmaString) -> bool {
    !text.parts.is_empty() && text.parts.iter().all(is_any)
}

fn fields(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    let Some(field) = item.field else { return };
    if field.contains(char::is_whitespace) {
        findings.warn("field_with_space", "events have no spaces in names of fields".to_owned());
    }
    if !item.known {
        findings.warn("unknown_field", "no decoder makes such a field".to_owned());
    }
}

/// `*x*` where `|contains` says it.
fn wildcards_for_modifiers(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if item.field.is_none() || !item.is_text() || item.is_placed() || item.is_encoded() {
        return;
    }
    let shape = |value: &SigmaValue| match value {
        SigmaValue::String(text) => match text.parts.as_slice() {
            [first, StringPart::Plain(_), last] if is_any(first) && is_any(last) => {
                Some("contains")
            }
            [first, StringPart::Plain(_)] if is_any(first) => Some("endswith"),
            [StringPart::Plain(_), last] if is_any(last) => Some("startswith"),
            _ => None,
        },
        _ => None,
    };
    let shapes: BTreeSet<_> = item.values.iter().map(shape).collect();
    if let (1, Some(Some(modifier))) = (shapes.len(), shapes.first()) {
        findings.warn(
            "wildcard_for_modifier",
            format!("wildcards at the ends of each value: |{modifier} says it"),
        );
    }
}

/// A wildcard at the end where a modifier puts one, or where it should not be open.
fn wildcards_beside_modifiers(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.is_text() || !item.is_placed() {
        return;
    }
    for text in item.texts().filter(|text| text.parts.len() > 1) {
        let first = text.parts.first().is_some_and(is_any);
        let last = text.parts.last().is_some_and(is_any);
        let (idle_first, idle_last) = match () {
            () if item.has(Modifier::Contains) => (true, true),
            () if item.has(Modifier::StartsWith) => (false, true),
            () => (true, false),
        };
        let message = if (first && !idle_first) || (last && !idle_last) {
            "opens the end that the modifier closes: it is |contains then"
        } else if first || last {
            "has a wildcard where the modifier puts one"
        } else {
            continue;
        };
        let message = format!("{} {message}", shown(&text.original));
        findings.warn("wildcard_beside_modifier", message);
    }
}

fn wildcards_in_a_row(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.is_text() {
        return;
    }
    for text in item.texts() {
        if text.parts.windows(2).any(|pair| pair.iter().all(is_any)) {
            let message = format!("{}: ** is no more than *", shown(&text.original));
            findings.warn("double_wildcard", message);
        }
    }
}

/// `C:\*` means a star itself, and hardly ever should.
fn wildcards_that_are_none(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.is_text() {
        return;
    }
    for text in item.texts() {
        let characters: Vec<char> = text.original.chars().collect();
        let looks_like_a_path = characters.windows(3).any(|three| {
            (three[0].is_alphanumeric() || ":%)".contains(three[0]))
                && three[1] == '\\'
                && three[2] == '*'
        });
        if looks_like_a_path {
            findings.warn(
                "escaped_wildcard",
                format!(
                    "{}: \\* is a star itself; behind a path, \\\\* is a backslash and anything",
                    shown(&text.original)
                ),
            );
        }
    }
}

/// Values that are met whenever the field is there, or always.
fn always_met(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.is_text() || item.has(Modifier::All) {
        return;
    }
    let any = item.texts().find(|text| is_only_any(text));
    let empty = item.is_placed() && item.texts().any(|text| text.parts.is_empty());
    let absent = item.values.contains(&SigmaValue::Null);
    if absent && (any.is_some() || empty) {
        findings.warn("always_met", "null and anything: every event meets it".to_owned());
    } else if empty {
        findings
            .warn("empty_value", "an empty value is in every value: say |exists: true".to_owned());
    } else if any.is_some() && (item.values.len() > 1 || item.field.is_none()) {
        findings.warn("any_among_values", "* makes the other values idle".to_owned());
    }
}

/// What a value compares as.
fn compared(item: &Item<'_>, value: &SigmaValue) -> String {
    let text = value.to_string();
    let exact = item.has_any(&[Modifier::Cased, Modifier::Re]) || item.is_encoded();
    if exact { text } else { text.chars().map(text::fold).collect() }
}

fn repeated(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    let mut seen = HashSet::new();
    for value in item.values {
        if !seen.insert(compared(item, value)) {
            let message = format!("{} is in the list already", shown(&value.to_string()));
            findings.warn("repeated_value", message);
        }
    }
}

/// A value that never counts because a shorter one of the list is met first.
fn covered(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.is_placed() || item.is_encoded() || !item.is_text() {
        return;
    }
    if item.has_any(&[Modifier::All, Modifier::Expand, Modifier::WindAsh]) {
        return;
    }
    if item.values.len() > MAX_COMPARED {
        return;
    }
    let plain: Vec<String> = item
        .texts()
        .filter_map(|text| match text.parts.as_slice() {
            [StringPart::Plain(_)] => Some(compared(item, &SigmaValue::String(text.clone()))),
            _ => None,
        })
        .collect();
    let covers = |short: &str, long: &str| match () {
        () if item.has(Modifier::Contains) => long.contains(short),
        () if item.has(Modifier::StartsWith) => long.starts_with(short),
        () => long.ends_with(short),
    };
    for long in &plain {
        let short = plain.iter().find(|short| short.len() < long.len() && covers(short, long));
        if let Some(short) = short {
            let message = format!("{} is met by {} already", shown(long), shown(short));
            findings.warn("covered_value", message);
        }
    }
}

/// Numbers of one list, some with quotes and some without.
fn quoted_numbers(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    let bare = item.values.iter().any(|value| matches!(value, SigmaValue::Integer(_)));
    let quoted = item.texts().find(|text| text.original.parse::<i64>().is_ok());
    if let (true, Some(text)) = (bare, quoted) {
        let message = format!("{} has quotes and other numbers have none", shown(&text.original));
        findings.warn("quoted_number", message);
    }
}

fn expressions(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.has(Modifier::Re) {
        return;
    }
    let flags = Flags {
        ignore_case: item.has(Modifier::IgnoreCase),
        multi_line: item.has(Modifier::Multiline),
        dot_all: item.has(Modifier::DotAll),
    };
    for text in item.texts().map(|text| text.original.as_str()) {
        let plain = !text.contains(|c: char| {
            c != ' ' && c.is_ascii_punctuation() && !"_-,:;@/'\"=<>%!~`".contains(c)
        });
        if plain {
            let message = format!("{} is plain text: |contains says it", shown(text));
            findings.warn("plain_expression", message);
        }
        let open = ["^.*", ".*"].iter().any(|start| {
            text.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('$'))
        });
        let closes = text.strip_suffix("$").unwrap_or(text);
        if open || (closes.ends_with(".*") && !closes.ends_with("\\.*") && closes.len() > 2) {
            let message = format!("{}: it is found anywhere, .* at an end is idle", shown(text));
            findings.warn("idle_expression_end", message);
        }
        if findings.report.measures() && expression::is_larger(text, flags, LARGE_EXPRESSION_BYTES)
        {
            let message = format!(
                "{} takes more than {} MiB compiled: fewer or smaller repetitions would do",
                shown(text),
                LARGE_EXPRESSION_BYTES >> 20
            );
            findings.warn("large_expression", message);
        }
    }
}

/// Modifiers that change nothing about these values.
fn idle_modifiers(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    let any =
        |holds: &dyn Fn(char) -> bool| item.texts().any(|text| text.original.chars().any(holds));
    let letters = &|character: char| character.is_lowercase() || character.is_uppercase();
    let checks: [(Modifier, bool); 6] = [
        (Modifier::Cased, any(letters)),
        (Modifier::WindAsh, any(&|character| DASHES.contains(&character))),
        (Modifier::Expand, any(&|character| character == '%')),
        (Modifier::IgnoreCase, any(letters)),
        (Modifier::Multiline, any(&|character| "^$".contains(character))),
        (Modifier::DotAll, any(&|character| character == '.')),
    ];
    for (modifier, matters) in checks {
        if item.has(modifier) && !matters {
            let name = crate::explain::modifier(modifier);
            findings.warn("idle_modifier", format!("{name} changes nothing here"));
        }
    }
}

fn networks(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    if !item.has(Modifier::Cidr) {
        return;
    }
    for text in item.texts().filter(|text| text.original.trim().ends_with("/0")) {
        let message = format!("{} holds every address", shown(&text.original));
        findings.warn("whole_network", message);
    }
}

fn control_characters(item: &Item<'_>, findings: &mut Findings<'_, '_>) {
    let controls = |text: &&SigmaString| {
        text.original.chars().any(|c| c.is_control() && !"\n\r\t".contains(c))
    };
    if let Some(text) = item.texts().find(controls) {
        let visible: String = text.original.escape_debug().collect();
        let message = format!("{} holds a control character: is it meant?", shown(&visible));
        findings.warn("control_character", message);
    }
}

//! Rules from the grammar, and events made to meet them or to miss by little.
//!
//! In: a stream of choices, from a seed or from bytes (a fuzzer's). Out: rules as JSON, which is YAML
//! too, and events whose values are derived from the rules' own by doing what the modifiers say and
//! then, now and then, by spoiling the result.

use hengwei_rules::{LogSource, Options};
use serde_json::{Map, Value as Json, json};

use crate::items::{FIELDS, Item};
use crate::made::{Made, Owned};
use crate::values::{self, Choices};

/// Which rules to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that the standard has.
    Whole,
    /// What other engines read as well.
    Common,
}

/// A rule: its id, its log source, its selections and the conditions over them.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Its id.
    pub(crate) id: String,
    source: usize,
    selections: Vec<(String, Selection)>,
    conditions: Vec<String>,
}

/// A filter over some rules or all.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    source: usize,
    rules: Json,
    selections: Vec<(String, Selection)>,
    condition: String,
}

#[derive(Debug, Clone)]
struct Selection {
    /// Any of these; of each, all items.
    maps: Vec<Vec<Item>>,
    /// Values without a field, beside the maps.
    words: Vec<Json>,
}

/// Log sources of rules: category, product, service.
const SOURCES: [[Option<&str>; 3]; 5] = [
    [None, Some("windows"), None],
    [Some("process_creation"), Some("windows"), None],
    [None, Some("linux"), Some("sshd")],
    [Some("webserver"), None, None],
    [None, None, Some("sshd")],
];

const NAMES: [&str; 6] = ["sel_a", "sel_b", "sel_c", "filter_x", "keywords", "_hidden"];

/// The lists that rules may ask for.
pub(crate) fn options() -> Options {
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let lists = [("Servers", list(&["srv*", "dc01", "Ünx"])), ("Admins", list(&["root", "a.b"]))];
    Options {
        placeholders: lists.into_iter().map(|(name, list)| (name.to_owned(), list)).collect(),
        ..Options::default()
    }
}

impl Rule {
    /// Makes one.
    pub(crate) fn new(id: String, choices: &mut Choices<'_>, scope: Scope) -> Rule {
        let source = choices.below(SOURCES.len());
        let count = 1 + choices.below(4);
        let mut names = NAMES.to_vec();
        let selections: Vec<(String, Selection)> = (0..count)
            .map(|_| {
                let name = names.remove(choices.below(names.len()));
                (name.to_owned(), Selection::new(choices, scope))
            })
            .collect();
        let conditions = 1 + usize::from(scope == Scope::Whole && choices.one_in(8));
        let conditions = (0..conditions).map(|_| condition(&selections, choices, scope)).collect();
        Rule { id, source, selections, conditions }
    }

    /// As a document.
    pub(crate) fn text(&self) -> String {
        let mut detection = named(&self.selections);
        let condition = match self.conditions.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        detection.insert("condition".to_owned(), condition);
        json!({
            "title": self.id,
            "id": self.id,
            "logsource": source_json(self.source),
            "detection": detection,
        })
        .to_string()
    }
}

impl Filter {
    /// Makes one for some of these rules or for any.
    pub(crate) fn new(rules: &[Rule], choices: &mut Choices<'_>) -> Filter {
        let aimed = &rules[choices.below(rules.len())];
        let meant = match choices.below(3) {
            0 => json!("any"),
            1 => json!([aimed.id]),
            _ => rules.iter().filter(|_| choices.one_in(2)).map(|rule| json!(rule.id)).collect(),
        };
        let selections = vec![
            ("sel_a".to_owned(), Selection::new(choices, Scope::Whole)),
            ("own".to_owned(), Selection::new(choices, Scope::Whole)),
        ];
        let condition =
            ["not sel_a", "own", "not 1 of them", "sel_a or own", "not (sel_a and own)"]
                [choices.below(5)]
            .to_owned();
        Filter { source: aimed.source, rules: meant, selections, condition }
    }

    /// As a document.
    pub(crate) fn text(&self) -> String {
        let mut filter = named(&self.selections);
        filter.insert("condition".to_owned(), json!(self.condition));
        filter.insert("rules".to_owned(), self.rules.clone());
        json!({
            "title": "filter",
            "id": "filter",
            "logsource": source_json(self.source),
            "filter": filter,
        })
        .to_string()
    }
}

fn source_json(source: usize) -> Json {
    let keys = ["category", "product", "service"].iter().zip(SOURCES[source]);
    keys.filter_map(|(key, value)| Some((key.to_string(), json!(value?)))).collect()
}

fn named(selections: &[(String, Selection)]) -> Map<String, Json> {
    selections.iter().map(|(name, selection)| (name.clone(), selection.json())).collect()
}

impl Selection {
    fn new(choices: &mut Choices<'_>, scope: Scope) -> Selection {
        let mut selection = Selection { maps: Vec::new(), words: Vec::new() };
        let shape = choices.below(10);
        if shape >= 8 {
            let count = 1 + choices.below(3);
            selection.words = (0..count).map(|_| word(choices, scope)).collect();
        }
        if shape == 7 && scope == Scope::Whole {
            let modifiers: &[&str] =
                [&["all"][..], &["contains", "all"], &["re"], &["windash"], &["cased"], &["neq"]]
                    [choices.below(6)];
            selection.maps.push(vec![Item::with(String::new(), modifiers.to_vec(), choices)]);
        } else if shape < 8 || (shape == 9 && scope == Scope::Whole) {
            let maps = if shape >= 6 { 1 + choices.below(3) } else { 1 };
            for _ in 0..maps {
                let count = 1 + choices.below(3);
                let mut items: Vec<Item> = Vec::new();
                for _ in 0..count {
                    let item = Item::new(choices, scope);
                    // A map has each of its keys once.
                    if items.iter().all(|other| other.key() != item.key()) {
                        items.push(item);
                    }
                }
                selection.maps.push(items);
            }
        }
        selection
    }

    fn json(&self) -> Json {
        let map = |items: &Vec<Item>| -> Json {
            items.iter().map(|item| (item.key(), item.json())).collect()
        };
        match (self.words.as_slice(), self.maps.as_slice()) {
            ([], [one]) => map(one),
            (words, maps) => words.iter().cloned().chain(maps.iter().map(map)).collect(),
        }
    }
}

fn word(choices: &mut Choices<'_>, scope: Scope) -> Json {
    match choices.below(12) {
        0 => json!(values::number(choices)),
        1 if scope == Scope::Whole => json!(choices.one_in(2)),
        _ => json!(values::pattern(choices)),
    }
}

fn condition(
    selections: &[(String, Selection)],
    choices: &mut Choices<'_>,
    scope: Scope,
) -> String {
    let mut depth = 0;
    part(selections, choices, scope, &mut depth)
}

fn part(
    selections: &[(String, Selection)],
    choices: &mut Choices<'_>,
    scope: Scope,
    depth: &mut usize,
) -> String {
    *depth += 1;
    let name = |choices: &mut Choices<'_>| selections[choices.below(selections.len())].0.clone();
    let shown = selections.iter().any(|(name, _)| !name.starts_with('_'));
    let sel = selections.iter().any(|(name, _)| name.starts_with("sel_"));
    let choice = if *depth > 4 { 0 } else { choices.below(13) };
    match choice {
        4 => format!("not {}", name(choices)),
        5 => format!("{} and not {}", name(choices), name(choices)),
        6 | 7 => {
            let left = part(selections, choices, scope, depth);
            let right = part(selections, choices, scope, depth);
            let operator = ["and", "or"][choices.below(2)];
            match choices.below(3) {
                0 => format!("{left} {operator} {right}"),
                1 => format!("({left}) {operator} ({right})"),
                _ => format!("{left} {operator} not ({right})"),
            }
        }
        8 if shown => "1 of them".to_owned(),
        9 if shown => "all of them".to_owned(),
        10 if sel => format!("{} of sel_*", ["1", "all"][choices.below(2)]),
        11 if shown && scope == Scope::Whole => format!("{} of them", 1 + choices.below(3)),
        12 if sel => format!("1 of sel_* and not {}", name(choices)),
        _ => name(choices),
    }
}

/// An event aimed at one of these rules: values for most of its items, and some that belong to
/// another rule or to nobody.
pub(crate) fn event(rules: &[Rule], aimed: usize, choices: &mut Choices<'_>) -> Made {
    let mut event = Made::default();
    let rule = &rules[aimed];
    event.sources.push(filled(rule.source, choices));
    while choices.one_in(4) {
        event.sources.push(filled(choices.below(SOURCES.len()), choices));
    }
    aim(rule, &mut event, choices);
    if choices.one_in(3) {
        let other = &rules[choices.below(rules.len())];
        aim(other, &mut event, choices);
    }
    while choices.one_in(3) {
        let field = FIELDS[choices.below(FIELDS.len())];
        let text = values::pattern(choices);
        event.put(field, values::typed(text, choices));
    }
    if choices.one_in(6) && !event.fields.is_empty() {
        event.fields.swap_remove(choices.below(event.fields.len()));
    }
    if choices.one_in(3) {
        event.fields.reverse();
    }
    if choices.one_in(4) {
        let mut line = String::new();
        for (_, value) in &event.fields {
            if let Owned::Text(text) = value
                && choices.one_in(2)
            {
                line.push_str(text);
                line.push(' ');
            }
        }
        for (_, selection) in &rule.selections {
            for word in &selection.words {
                line.push_str(&values::meaning(word.as_str().unwrap_or("7"), &[], choices));
            }
        }
        event.line = Some(line);
    }
    event
}

/// The log source of an event that a rule for `source` applies to, mostly.
fn filled(source: usize, choices: &mut Choices<'_>) -> LogSource {
    let [category, product, service] = SOURCES[source];
    let mut fill = |own: Option<&'static str>, other: &'static str| match own {
        Some(own) => Some(own),
        None => choices.one_in(3).then_some(other),
    };
    let category = fill(category, "process_creation");
    let product = fill(product, "linux");
    let service = fill(service, "sshd");
    LogSource::new(category, product, service)
}

fn aim(rule: &Rule, event: &mut Made, choices: &mut Choices<'_>) {
    for (name, selection) in &rule.selections {
        // What a rule negates it mostly calls a filter.
        if choices.one_in(if name.starts_with("filter") { 2 } else { 12 }) {
            continue;
        }
        let places = selection.maps.len() + usize::from(!selection.words.is_empty());
        let place = choices.below(places);
        match selection.maps.get(place) {
            Some(items) => items.iter().for_each(|item| item.aim(event, choices)),
            None => {
                let word = &selection.words[choices.below(selection.words.len())];
                let text = match word {
                    Json::String(text) => values::meaning(text, &["contains"], choices),
                    other => values::surrounded(&other.to_string(), choices),
                };
                event.put(
                    FIELDS[choices.below(FIELDS.len())],
                    Owned::Text(values::spoiled(text, choices)),
                );
            }
        }
    }
}

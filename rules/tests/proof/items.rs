//! Items of rules from the grammar: a field, modifiers that go together, values; and what an event
//! holds that meets one.

use serde_json::{Value as Json, json};

use crate::grammar::Scope;
use crate::made::{Made, Owned};
use crate::values::{self, Choices};

/// One item of a map; without a field it has modifiers.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The field; empty for keywords.
    pub(crate) field: String,
    /// Its modifiers, in their order.
    modifiers: Vec<&'static str>,
    /// Its values.
    values: Vec<Json>,
    /// For each value, a text that an expression among them finds; else empty.
    examples: Vec<String>,
}

/// Fields of rules.
pub(crate) const FIELDS: [&str; 9] =
    ["f", "g", "Image", "CommandLine", "a.b", "Hashes", "user.name", "EventID", "F"];

/// Modifiers that go together, with how often.
const MODIFIERS: &[(usize, &[&str])] = &[
    (10, &[]),
    (10, &["contains"]),
    (5, &["startswith"]),
    (5, &["endswith"]),
    (4, &["contains", "all"]),
    (2, &["all"]),
    (4, &["re"]),
    (1, &["re", "i"]),
    (2, &["cidr"]),
    (2, &["exists"]),
    (2, &["gt"]),
    (1, &["gte"]),
    (1, &["lt"]),
    (1, &["lte"]),
    (2, &["base64offset", "contains"]),
    (1, &["base64", "contains"]),
    (3, &["windash", "contains"]),
    (2, &["cased"]),
    (2, &["contains", "cased"]),
    (2, &["fieldref"]),
    // From here on, only where the whole standard is asked for.
    (1, &["startswith", "cased"]),
    (1, &["endswith", "cased"]),
    (1, &["contains", "windash", "all"]),
    (1, &["windash"]),
    (1, &["windash", "startswith"]),
    (1, &["windash", "endswith"]),
    (1, &["windash", "base64offset", "contains"]),
    (1, &["wide", "base64offset", "contains"]),
    (1, &["utf16", "base64"]),
    (1, &["utf16le", "contains"]),
    (1, &["utf16be", "base64", "cased", "contains"]),
    (1, &["wide"]),
    (1, &["re", "all"]),
    (1, &["re", "m"]),
    (1, &["re", "s", "i"]),
    (1, &["re", "startswith"]),
    (1, &["re", "neq"]),
    (1, &["re", "expand"]),
    (2, &["neq"]),
    (1, &["contains", "neq"]),
    (1, &["contains", "all", "neq"]),
    (1, &["cidr", "neq"]),
    (1, &["exists", "neq"]),
    (1, &["gt", "neq"]),
    (1, &["fieldref", "startswith"]),
    (1, &["fieldref", "endswith"]),
    (1, &["fieldref", "contains"]),
    (1, &["fieldref", "cased"]),
    (1, &["fieldref", "neq"]),
    (2, &["expand"]),
    (1, &["expand", "contains"]),
    (1, &["expand", "contains", "all"]),
    (1, &["minute"]),
    (1, &["hour", "gte"]),
    (1, &["day"]),
    (1, &["week", "lt"]),
    (1, &["month", "neq"]),
    (1, &["year"]),
    (1, &["startswith", "endswith"]),
    (1, &["startswith", "all"]),
    (1, &["endswith", "all"]),
];

/// How many of [`MODIFIERS`] other engines read as well.
const COMMON_MODIFIERS: usize = 20;

impl Item {
    pub(crate) fn new(choices: &mut Choices<'_>, scope: Scope) -> Item {
        let table = match scope {
            Scope::Whole => MODIFIERS,
            Scope::Common => &MODIFIERS[..COMMON_MODIFIERS],
        };
        let weight = table.iter().map(|(weight, _)| weight).sum();
        let mut left = choices.below(weight);
        let (_, modifiers) = table
            .iter()
            .find(|(weight, _)| {
                let found = left < *weight;
                left = left.wrapping_sub(*weight);
                found
            })
            .unwrap();
        let field = FIELDS[choices.below(FIELDS.len())].to_owned();
        Item::with(field, modifiers.to_vec(), choices)
    }

    pub(crate) fn with(
        field: String,
        modifiers: Vec<&'static str>,
        choices: &mut Choices<'_>,
    ) -> Item {
        let has = |name: &str| modifiers.contains(&name);
        let several = if has("exists") { 1 } else { 1 + choices.below(3) };
        let several = if !has("exists") && choices.one_in(20) { several * 8 } else { several };
        let keyword = field.is_empty();
        let mut item = Item { field, modifiers, values: Vec::new(), examples: Vec::new() };
        for _ in 0..several {
            let (value, example) = item.value(keyword, choices);
            item.values.push(value);
            item.examples.push(example);
        }
        item
    }

    fn has(&self, modifier: &str) -> bool {
        self.modifiers.contains(&modifier)
    }

    fn value(&self, keyword: bool, choices: &mut Choices<'_>) -> (Json, String) {
        let plain = |value: Json| (value, String::new());
        if self.has("re") {
            let (expression, example) = values::expression(choices);
            if self.has("expand") && choices.one_in(2) {
                return (json!(format!("{expression}%Admins%")), format!("{example}root"));
            }
            return (json!(expression), example);
        }
        if self.has("exists") {
            return plain(json!(choices.one_in(2)));
        }
        if self.has("cidr") {
            return plain(json!(values::network(choices)));
        }
        if self.has("fieldref") {
            return plain(json!(FIELDS[choices.below(FIELDS.len())]));
        }
        if ["gt", "gte", "lt", "lte"].iter().any(|name| self.has(name)) && !self.dated() {
            let number = values::number(choices);
            return plain(if choices.one_in(3) {
                json!(number as f64 + 0.5)
            } else {
                json!(number)
            });
        }
        if self.dated() {
            return plain(json!([2, 4, 5, 6, 2026][choices.below(5)]));
        }
        let encoded = ["base64", "base64offset", "wide", "utf16", "utf16le", "utf16be"]
            .iter()
            .any(|name| self.has(name));
        if encoded {
            return plain(json!(values::ascii(choices)));
        }
        if self.has("expand") {
            let list = ["%Servers%", "x-%Admins%", "%Admins%%Servers%", "100%"][choices.below(4)];
            return plain(json!(list));
        }
        if self.has("windash") {
            return plain(json!(values::parameter(choices)));
        }
        let bare = self.modifiers.iter().all(|name| ["all", "neq", "cased"].contains(name));
        match choices.below(16) {
            0 if bare && !keyword => plain(Json::Null),
            1 | 2 => plain(json!(values::number(choices))),
            3 if !self.has("cased") => plain(json!(choices.one_in(2))),
            4 if bare => plain(json!(values::number(choices) as f64 + 0.25)),
            5 if self.field == "Hashes" => plain(json!(values::hash(choices))),
            _ => plain(json!(values::pattern(choices))),
        }
    }

    fn dated(&self) -> bool {
        ["minute", "hour", "day", "week", "month", "year"].iter().any(|name| self.has(name))
    }

    /// The key as a rule writes it.
    pub(crate) fn key(&self) -> String {
        std::iter::once(self.field.as_str())
            .chain(self.modifiers.iter().copied())
            .collect::<Vec<_>>()
            .join("|")
    }

    pub(crate) fn json(&self) -> Json {
        match self.values.as_slice() {
            [one] => one.clone(),
            several => json!(several),
        }
    }

    /// Puts values into an event that meet this item, or nearly.
    pub(crate) fn aim(&self, event: &mut Made, choices: &mut Choices<'_>) {
        let field = match self.field.as_str() {
            // Anywhere will do for a keyword.
            "" => FIELDS[choices.below(FIELDS.len())],
            field => field,
        };
        let all = self.has("all");
        let chosen = choices.below(self.values.len());
        for (index, value) in self.values.iter().enumerate() {
            if !all && index != chosen {
                continue;
            }
            if self.has("fieldref") {
                let text = values::pattern(choices);
                let whole = values::placed(&text, &self.modifiers, choices);
                event.put(value.as_str().unwrap(), Owned::Text(text));
                event.put(field, Owned::Text(values::spoiled(whole, choices)));
            } else if self.has("exists") {
                if value == &json!(true) {
                    event.put(field, Owned::Text(values::pattern(choices)));
                }
            } else if let Some(met) = self.meeting(value, &self.examples[index], choices) {
                event.put(field, met);
            }
        }
    }

    /// A value that meets one of the rule's, or nearly; none where absence does.
    fn meeting(&self, value: &Json, example: &str, choices: &mut Choices<'_>) -> Option<Owned> {
        if self.has("cidr") {
            return Some(values::address_in(value.as_str().unwrap(), choices));
        }
        if self.dated() {
            let moments = ["2026-02-03T04:05:06Z", "2026-06-04 05:02:00", "2025-02-05"];
            return Some(match choices.below(5) {
                0 => {
                    Owned::Integer(1_770_091_506 + i64::try_from(choices.below(4)).unwrap() * 3_600)
                }
                index => Owned::Text(moments[index % 3].to_owned()),
            });
        }
        let compared = ["gt", "gte", "lt", "lte"].iter().any(|name| self.has(name));
        match value {
            Json::Null => choices.one_in(2).then_some(Owned::Null),
            Json::Bool(flag) => Some(match choices.below(3) {
                0 => Owned::Text(if *flag { "True" } else { "faLse" }.to_owned()),
                _ => Owned::Flag(*flag),
            }),
            Json::Number(number) if compared || choices.one_in(2) => {
                let near = i64::try_from(choices.below(3)).unwrap() - 1;
                let near = if compared { near } else { 0 };
                let number = number.as_f64().unwrap() + near as f64;
                Some(match choices.below(4) {
                    0 => Owned::Text(number.to_string()),
                    1 => Owned::Number(number),
                    _ => Owned::Integer(number as i64),
                })
            }
            Json::Number(number) => {
                let text = values::placed(&number.to_string(), &self.modifiers, choices);
                Some(values::typed(values::spoiled(text, choices), choices))
            }
            _ => {
                let written = value.as_str().unwrap();
                let text = match example {
                    "" if self.has("re") => values::pattern(choices),
                    "" => values::meaning(written, &self.modifiers, choices),
                    example => values::surrounded(example, choices),
                };
                Some(values::typed(values::spoiled(text, choices), choices))
            }
        }
    }
}

impl Made {
    pub(crate) fn put(&mut self, field: &str, value: Owned) {
        self.fields.push((field.to_owned(), value));
    }
}

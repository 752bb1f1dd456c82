//! What a fuzzer calls: bytes in, a panic when something is amiss.
//!
//! The targets in `fuzz/` run these with bytes they learn; [`crate::seeds`] with those in
//! `fuzz/seeds/`.

use hengwei_rules::{LogSource, Scratch, lint};
use serde_json::json;

use crate::grammar::{self, Filter, Rule, Scope};
use crate::items;
use crate::made::{Made, Owned, Rules};
use crate::values::Choices;

/// Bytes beyond which an input is not looked at: a fuzzer learns more from small ones.
const MAX_BYTES: usize = 1 << 14;

/// Rules in a set.
const MAX_RULES: usize = 8;

/// Any text as rules: it compiles or is refused in one line each, and events made of the text itself
/// are found alike by both evaluators.
pub(crate) fn rule_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
    let rules = Rules::of([&*text], &grammar::options());
    for refusal in &rules.refused {
        assert!(!refusal.to_string().contains('\n'), "{refusal:?}");
    }
    lint(&text);
    let mut sources: Vec<LogSource> =
        rules.set.rules().iter().map(|rule| rule.log_source.clone()).collect();
    sources.dedup();
    let words: Vec<&str> = text.split(['\n', ' ', ':', '\'', '"', '[', ']', ',']).collect();
    let words = words.iter().filter(|word| !word.is_empty());
    let mut event = Made { sources, ..Made::default() };
    for (word, next) in words.clone().zip(words.skip(1)).take(64) {
        let name = word.split('|').next().unwrap_or_default();
        event.fields.push((name.to_owned(), Owned::Text((*next).to_owned())));
    }
    let mut scratch = Scratch::new();
    rules.hits(&event, &mut scratch);
    event.fields.clear();
    rules.hits(&event, &mut scratch);
    event.line = Some(text.into_owned());
    rules.hits(&event, &mut scratch);
}

/// A set chosen by the first half of the bytes; events chosen by the second, and one whose values are
/// the second half as it is.
pub(crate) fn events(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut choices = Choices::of_bytes(first);
    let count = 1 + choices.below(MAX_RULES);
    let rules: Vec<Rule> = (0..count)
        .map(|number| Rule::new(format!("rule-{number}"), &mut choices, Scope::Whole))
        .collect();
    let filter = choices.one_in(4).then(|| Filter::new(&rules, &mut choices).text());
    let texts: Vec<String> = rules.iter().map(Rule::text).chain(filter).collect();
    let compiled = Rules::of(texts.iter().map(String::as_str), &grammar::options());
    let mut scratch = Scratch::new();
    let mut chosen = Choices::of_bytes(second);
    let mut raw = Made::default();
    for aimed in 0..rules.len() {
        let event = grammar::event(&rules, aimed, &mut chosen);
        compiled.hits(&event, &mut scratch);
        raw.sources.extend(event.sources);
    }
    for (index, value) in second.split(|byte| *byte == 0xff).take(32).enumerate() {
        let name = items::FIELDS[index % items::FIELDS.len()];
        let text = String::from_utf8_lossy(value).into_owned();
        raw.fields.push((name.to_owned(), Owned::Text(text)));
    }
    compiled.hits(&raw, &mut scratch);
}

/// The first line is a value, the rest a text: as a pattern in every place, cased and not, and as an
/// expression; whole patterns also by a second matcher.
pub(crate) fn patterns(bytes: &[u8]) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 10)]);
    let (value, haystack) = text.split_once('\n').unwrap_or((&text, ""));
    let modifiers = [
        "",
        "|cased",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|cased",
        "|windash",
        "|re",
        "|re|i",
        "|re|m",
        "|re|s",
    ];
    let rule = |modifiers: &&str| {
        let detection = json!({"s": {format!("f{modifiers}"): value}, "condition": "s"});
        json!({
            "title": "t",
            "id": if modifiers.is_empty() { "plain" } else { *modifiers },
            "logsource": {"product": "test"},
            "detection": detection,
        })
        .to_string()
    };
    let texts: Vec<String> = modifiers.iter().map(rule).collect();
    let rules = Rules::of(texts.iter().map(String::as_str), &grammar::options());
    let event = Made::of(&json!({"f": haystack}));
    let names = rules.names(&event);
    let expected = matches(&units(value), &haystack.chars().collect::<Vec<_>>());
    assert_eq!(names.contains(&"|cased"), expected, "{value:?} {haystack:?}");
    if expected {
        assert!(names.contains(&"plain"), "{value:?} {haystack:?}");
    }
}

/// A unit of a pattern: a character, one of any, or a run of any.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Character(char),
    One,
    Any,
}

fn units(written: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        units.push(match (character, characters.peek()) {
            ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                let unit = Unit::Character(*next);
                characters.next();
                unit
            }
            ('*', _) => Unit::Any,
            ('?', _) => Unit::One,
            _ => Unit::Character(character),
        });
    }
    units
}

/// Every prefix of the pattern against every prefix of the text.
fn matches(pattern: &[Unit], text: &[char]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for unit in pattern {
        let mut next = vec![false; text.len() + 1];
        next[0] = row[0] && *unit == Unit::Any;
        for (index, character) in text.iter().enumerate() {
            next[index + 1] = match unit {
                Unit::Any => row[index + 1] || next[index],
                Unit::One => row[index],
                Unit::Character(wanted) => row[index] && wanted == character,
            };
        }
        row = next;
    }
    row[text.len()]
}

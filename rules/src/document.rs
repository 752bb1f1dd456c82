//! Rule files: a text in, its documents out, each parsed or refused with a reason.
//!
//! A file may hold several documents, and `action: global`, `reset` or `repeat` among them. What
//! the parser would take in silence or choke on is refused here first: keys that are not text,
//! values nested where only plain ones mean something, and conditions nested so deep that a parser
//! that descends into them would run out of stack.

use rsigma_parser::{SigmaCollection, SigmaDocument, parse_sigma_yaml};
use serde::Deserialize as _;
use yaml_serde::Value;

mod aliases;

/// From here on a number is no whole one of 64 bits with a sign, and the parser keeps its neighbour.
const MAX_NUMBER: f64 = 9_223_372_036_854_775_808.0;

/// A text longer than this is refused.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// Parentheses and `not`s a condition may nest.
const MAX_NESTING: usize = 40;

/// Conditions longer than this together are refused.
const MAX_CONDITION_BYTES: usize = 16 << 10;

/// Selections of one rule.
const MAX_SELECTIONS: usize = 1000;

/// Brackets and braces that may be open at once, counted without regard to quotes.
const MAX_OPEN: usize = 1000;

/// A document that parsed, with what the parser's tree no longer says.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The tree.
    pub(crate) document: SigmaDocument,
    /// Whether a correlation states its condition.
    pub(crate) states_condition: bool,
    /// As it is written; nothing where documents build on each other.
    pub(crate) source: Value,
    /// Lines of the text in front of it.
    pub(crate) line: usize,
}

/// A document that did not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Its id, else its title.
    pub(crate) rule: Option<String>,
    /// Why, in one line.
    pub(crate) reason: String,
}

/// Parses a text.
pub(crate) fn parse(text: &str) -> Vec<Result<Parsed, Failed>> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return vec![Err(Failed {
            rule: None,
            reason: format!("{} bytes, more than {MAX_DOCUMENT_BYTES}", text.len()),
        })];
    }
    let chunks = split(text);
    let values: Vec<Result<Value, String>> = chunks.iter().map(|(_, chunk)| read(chunk)).collect();
    let acts = |value: &Result<Value, String>| {
        value.as_ref().is_ok_and(|value| value.get("action").is_some())
    };
    if values.iter().any(acts) {
        return with_actions(text, &values);
    }
    chunks
        .iter()
        .zip(values)
        .filter_map(|((line, chunk), value)| match value {
            // A comment between separators, or nothing behind the last one.
            Ok(Value::Null) => None,
            Ok(value) => Some(one(*line, chunk, value)),
            Err(reason) => Some(Err(Failed { rule: line_id(chunk), reason })),
        })
        .collect()
}

/// Splits at the lines YAML separates documents with; those cannot be part of a value. Each comes
/// with the number of lines in front of it.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut first = 0;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || line.starts_with("--- ") || bare == "..." {
            chunks.push((first, &text[start..at]));
            start = at + bare.len().min(3);
            first = number;
        }
        at += line.len();
    }
    chunks.push((first, &text[start..]));
    chunks
}

fn read(chunk: &str) -> Result<Value, String> {
    if chunk.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Ok(Value::Null);
    }
    check_brackets(chunk)?;
    if aliases::may_be_in(chunk) {
        aliases::check(chunk)?;
    }
    let mut documents = yaml_serde::Deserializer::from_str(chunk);
    let Some(first) = documents.next() else { return Ok(Value::Null) };
    let value = Value::deserialize(first).map_err(|error| flat(&format!("YAML: {error}")))?;
    match value {
        Value::Mapping(_) => check(&value).map(|()| value),
        Value::Null => Ok(Value::Null),
        _ => Err("not a map".to_owned()),
    }
}

/// The reader looks at every open bracket again for each new one.
fn check_brackets(chunk: &str) -> Result<(), String> {
    let mut open = 0usize;
    for byte in chunk.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN {
            return Err(format!("YAML: more than {MAX_OPEN} brackets open at once"));
        }
    }
    Ok(())
}

fn one(line: usize, chunk: &str, source: Value) -> Result<Parsed, Failed> {
    let failed = |reason: String| Failed { rule: named(&source), reason: flat(&reason) };
    let collection = parse_sigma_yaml(chunk).map_err(|error| failed(error.to_string()))?;
    if !collection.errors.is_empty() {
        return Err(failed(collection.errors.join("; ")));
    }
    let states_condition =
        source.get("correlation").is_some_and(|inner| inner.get("condition").is_some());
    match documents(collection).pop() {
        Some(document) => Ok(Parsed { document, states_condition, source, line }),
        None => Err(failed("no rule".to_owned())),
    }
}

/// Documents that build on each other are parsed together; a failure then has no rule's name.
fn with_actions(text: &str, values: &[Result<Value, String>]) -> Vec<Result<Parsed, Failed>> {
    if let Some(Err(reason)) = values.iter().find(|value| value.is_err()) {
        return vec![Err(Failed { rule: None, reason: reason.clone() })];
    }
    let collection = match parse_sigma_yaml(text) {
        Ok(collection) => collection,
        Err(error) => return vec![Err(Failed { rule: None, reason: flat(&error.to_string()) })],
    };
    let errors: Vec<_> = collection
        .errors
        .iter()
        .map(|reason| Err(Failed { rule: None, reason: flat(reason) }))
        .collect();
    documents(collection)
        .into_iter()
        .map(|document| {
            Ok(Parsed { document, states_condition: true, source: Value::Null, line: 0 })
        })
        .chain(errors)
        .collect()
}

fn documents(collection: SigmaCollection) -> Vec<SigmaDocument> {
    let rules = collection.rules.into_iter().map(|rule| SigmaDocument::Rule(Box::new(rule)));
    let correlations = collection.correlations.into_iter().map(SigmaDocument::Correlation);
    let filters = collection.filters.into_iter().map(SigmaDocument::Filter);
    rules.chain(correlations).chain(filters).collect()
}

fn named(value: &Value) -> Option<String> {
    ["id", "title"]
        .iter()
        .find_map(|key| value.get(*key)?.as_str())
        .map(|name| flat(crate::text::cut(name, 256)))
}

/// The id of a text that is no YAML.
fn line_id(chunk: &str) -> Option<String> {
    let value = chunk.lines().find_map(|line| line.strip_prefix("id:"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| flat(crate::text::cut(value, 256)))
}

/// One line, whatever the parser wrote.
fn flat(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Refuses what the parser would misread.
fn check(value: &Value) -> Result<(), String> {
    if let Some(detection) = value.get("detection") {
        check_detection(detection, &["condition", "timeframe"])?;
    }
    if let Some(filter) = value.get("filter") {
        if filter.get("rules").is_none() {
            return Err("a filter without rules (any, or a list of them)".to_owned());
        }
        check_detection(filter, &["condition", "rules"])?;
    }
    if let Some(condition) = value.get("correlation").and_then(|inner| inner.get("condition")) {
        check_conditions(condition)?;
    }
    Ok(())
}

fn check_detection(detection: &Value, others: &[&str]) -> Result<(), String> {
    let Some(mapping) = detection.as_mapping() else {
        return Err("the detection is not a map".to_owned());
    };
    if mapping.len() > MAX_SELECTIONS + others.len() {
        return Err(format!("more than {MAX_SELECTIONS} selections"));
    }
    for (key, value) in mapping {
        let name = key.as_str().ok_or_else(|| format!("the name {key:?} is not text"))?;
        if !others.contains(&name) {
            check_selection(value).map_err(|reason| format!("{name}: {reason}"))?;
        } else if name == "condition" {
            check_conditions(value)?;
        }
    }
    Ok(())
}

fn check_selection(value: &Value) -> Result<(), String> {
    match value {
        Value::Mapping(mapping) => mapping.iter().try_for_each(|(key, value)| {
            let name = key.as_str().ok_or_else(|| format!("the field {key:?} is not text"))?;
            match value {
                Value::Sequence(values) => values.iter().try_for_each(|value| plain(name, value)),
                value => plain(name, value),
            }
        }),
        Value::Sequence(values) => values.iter().try_for_each(|value| match value {
            Value::Sequence(_) => Err("a list in a list".to_owned()),
            value => check_selection(value),
        }),
        Value::Tagged(_) => Err("a tagged value".to_owned()),
        Value::Number(number) => exact("keywords", number),
        _ => Ok(()),
    }
}

fn plain(name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Mapping(_) | Value::Sequence(_) | Value::Tagged(_) => {
            Err(format!("{name}: a value that is not plain"))
        }
        Value::Number(number) => exact(name, number),
        _ => Ok(()),
    }
}

/// Refuses a number that would be taken for its neighbours too, or is none.
fn exact(name: &str, number: &yaml_serde::Number) -> Result<(), String> {
    match number.as_f64() {
        Some(near) if !near.is_finite() => Err(format!("{name}: {number} as a value")),
        Some(near) if number.as_i64().is_none() && near.abs() >= MAX_NUMBER => Err(format!(
            "{name}: {number} is beyond 64 bits with a sign; in quotes it is compared as text"
        )),
        _ => Ok(()),
    }
}

fn check_conditions(value: &Value) -> Result<(), String> {
    match value {
        Value::String(condition) => check_condition(condition),
        Value::Sequence(conditions) => {
            let conditions = conditions.iter().filter_map(Value::as_str);
            check_length(conditions.clone().map(str::len).sum())?;
            conditions.clone().try_for_each(check_condition)
        }
        _ => Ok(()),
    }
}

fn check_length(bytes: usize) -> Result<(), String> {
    if bytes > MAX_CONDITION_BYTES {
        return Err(format!("a condition longer than {MAX_CONDITION_BYTES} bytes"));
    }
    Ok(())
}

fn check_condition(condition: &str) -> Result<(), String> {
    check_length(condition.len())?;
    let mut open = 0usize;
    let mut nested = 0usize;
    for character in condition.chars() {
        match character {
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
        nested = nested.max(open);
    }
    // A run of nots descends as parentheses do.
    let mut run = 0usize;
    for word in condition.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
        match word {
            "" => {}
            "not" => run += 1,
            _ => run = 0,
        }
        nested = nested.max(run);
    }
    if nested > MAX_NESTING {
        return Err(format!("a condition nested deeper than {MAX_NESTING}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "title: t\nid: one\nlogsource: {product: linux}\ndetection:\n  s: {a: b}\n  condition: s\n";

    fn check(text: &str, expected: &[Result<(), &str>]) {
        let found: Vec<Result<(), String>> = parse(text)
            .into_iter()
            .map(|one| one.map(|_| ()).map_err(|failed| failed.reason))
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            match (found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(expected)) => {
                    assert!(found.contains(expected), "{found:?} lacks {expected:?}");
                    assert!(!found.contains('\n'), "{found:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_file_holds_one_document_or_several() {
        check(RULE, &[Ok(())]);
        check(&format!("---\n{RULE}---\n# nothing\n---\n{RULE}...\n"), &[Ok(()), Ok(())]);
        check(&format!("{RULE}---\n: : :\n  - x\n---\n{RULE}"), &[Ok(()), Err("YAML"), Ok(())]);
        check("", &[]);
    }

    #[test]
    fn actions_merge_documents() {
        let text = "action: global\ntitle: t\nlogsource: {product: linux}\n---\ndetection:\n  s: {a: b}\n  condition: s\n---\ndetection:\n  s: {a: c}\n  condition: s\n";
        check(text, &[Ok(()), Ok(())]);
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        let with = |selection: &str, condition: &str| {
            format!(
                "title: t\nid: one\nlogsource: {{product: linux}}\ndetection:\n  s: {selection}\n  condition: {condition}\n"
            )
        };
        check(&with("{1: b}", "s"), &[Err("not text")]);
        check(&with("{a: {b: c}}", "s"), &[Err("not plain")]);
        check(&with("{a: [[b]]}", "s"), &[Err("not plain")]);
        check(&with("[[a]]", "s"), &[Err("a list in a list")]);
        check(&with("{a: .nan}", "s"), &[Err("as a value")]);
        check(&with("{a|nonsense: b}", "s"), &[Err("nonsense")]);
        check(&with("{a: b}", "s | count() > 5"), &[Err("ondition")]);
        let deep = |open: &str, n: usize, close: &str| {
            format!("\"{}s{}\"", open.repeat(n), close.repeat(n))
        };
        check(&with("{a: b}", &deep("(", 2_000, ")")), &[Err("nested deeper")]);
        check(&with("{a: b}", &deep("\\x28", 2_000, ")")), &[Err("nested deeper")]);
        check(&with("{a: b}", &deep("not ", 2_000, "")), &[Err("nested deeper")]);
        check(&with("{a: b}", &deep("(", 20, ")")), &[Ok(())]);
        check(&"[".repeat(100_000), &[Err("brackets open")]);
        let bomb = format!("x: &a [{}]\ny: [{}]\n{}", "z,".repeat(2000), "*a,".repeat(2000), RULE);
        check(&bomb, &[Err("aliases")]);
        let many: String = (0..1001).map(|n| format!("  s{n}: {{a: b}}\n")).collect();
        check(
            &RULE.replace("  s: {a: b}\n", &format!("  s: {{a: b}}\n{many}")),
            &[Err("selections")],
        );
        check(&with("{a: b}", &format!("[{}s]", "s, ".repeat(20_000))), &[Err("longer than")]);
        check("- a\n", &[Err("not a map")]);
    }

    #[test]
    fn a_failed_document_is_named() {
        let failed = parse("title: t\nid: abc\ndetection: 1\n").pop().unwrap().unwrap_err();
        assert_eq!(failed.rule.as_deref(), Some("abc"));
        let failed = parse("id: \"abc\"\n\tx: [\n").pop().unwrap().unwrap_err();
        assert_eq!(failed.rule.as_deref(), Some("abc"));
    }
}

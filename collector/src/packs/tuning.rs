//! What a site changes about rules it did not write, kept apart from them so that a new pack keeps it:
//! Sigma filters, and overrides of single rules.
//!
//! In: a folder with `overrides.yml` and any number of filters (`*.yml`), and the clock. Out: filters
//! as documents for the rules crate, overrides by rule, when the next of them ends, and a complaint
//! for each that is wrong; the others count. What an override or a filter names is looked for in the
//! compiled set afterwards ([`Tuning::unmet`]).

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use hengwei_rules::{Level, Override, Set};
use serde::Deserialize as _;
use yaml_serde::Value;

use super::files;
use crate::time;

/// The file of overrides.
const OVERRIDES: &str = "overrides.yml";
/// Bytes of one file.
const MAX_FILE: u64 = 1 << 20;
/// Overrides that are read.
const MAX_OVERRIDES: usize = 20_000;
/// Bytes of a reason.
const MAX_REASON: usize = 1_000;

/// What the folder holds.
#[derive(Debug, Default)]
pub struct Tuning {
    /// Filters: file name, text.
    pub filters: Vec<(String, String)>,
    /// Overrides in force, by the rule's id, else its name or title.
    pub overrides: BTreeMap<String, Override>,
    /// When the first override ends, Unix nanoseconds.
    pub until: Option<i64>,
    /// What was wrong, one line each.
    pub complaints: Vec<String>,
    /// Rules that filters name, with the filter's file.
    named: Vec<(String, String)>,
    /// The file the overrides are from.
    file: String,
}

/// An override, as written.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: String,
    enabled: Option<bool>,
    level: Option<Level>,
    entity: Option<Value>,
    reason: Option<String>,
    until: Option<String>,
}

/// Reads the tuning of a folder; `optional` when it need not be there.
pub fn read(dir: &Path, optional: bool, now: i64) -> anyhow::Result<Tuning> {
    let mut tuning = Tuning::default();
    for path in files::of(dir, optional)? {
        let shown = path.display().to_string();
        let yaml = path.extension().is_some_and(|it| it == "yml" || it == "yaml");
        if !yaml {
            tuning.complaints.push(format!("{shown}: not read: only .yml and .yaml are"));
            continue;
        }
        let text = match files::text(&path, MAX_FILE) {
            Ok(text) => text,
            Err(error) => {
                tuning.complaints.push(format!("{error:#}"));
                continue;
            }
        };
        if path.file_name().is_some_and(|name| name == OVERRIDES) {
            tuning.file.clone_from(&shown);
            tuning.take_overrides(&shown, &text, now);
        } else {
            tuning.take_filter(shown, text);
        }
    }
    Ok(tuning)
}

impl Tuning {
    fn take_overrides(&mut self, shown: &str, text: &str, now: i64) {
        let values: Vec<Value> = match yaml_serde::from_str::<Option<Vec<Value>>>(text) {
            Ok(values) => values.unwrap_or_default(),
            Err(error) => {
                self.complaints.push(format!("{shown}: no list of overrides: {}", flat(&error)));
                return;
            }
        };
        for (at, value) in values.into_iter().enumerate() {
            let taken = match at < MAX_OVERRIDES {
                true => self.take_override(value, now),
                false => Err(anyhow::anyhow!("more than {MAX_OVERRIDES} overrides")),
            };
            if let Err(error) = taken {
                self.complaints.push(format!("{shown}: override {}: {error:#}", at + 1));
                if at >= MAX_OVERRIDES {
                    return;
                }
            }
        }
    }

    fn take_override(&mut self, value: Value, now: i64) -> anyhow::Result<()> {
        let written: Written =
            yaml_serde::from_value(value).map_err(|error| anyhow::anyhow!("{}", flat(&error)))?;
        let Written { rule, enabled, level, entity, reason, until } = written;
        let named = |text: &str| format!("{rule}: {text}");
        let reason = reason.unwrap_or_default();
        ensure!(!reason.trim().is_empty(), named("it needs a reason"));
        ensure!(reason.len() <= MAX_REASON, named("its reason is too long"));
        ensure!(
            enabled.is_some() || level.is_some() || entity.is_some(),
            named("it changes nothing: enabled, level, entity")
        );
        let entity = entity.map(fields).transpose().with_context(|| rule.clone())?;
        if let Some(text) = until {
            let end = end_of(&text)
                .with_context(|| named(&format!("until: `{text}` is no date (RFC 3339)")))?;
            ensure!(end > now, named(&format!("it ended, {text}: renew it or remove it")));
            self.until = Some(self.until.map_or(end, |first| first.min(end)));
        }
        ensure!(!self.overrides.contains_key(&rule), named("overridden already, further up"));
        self.overrides.insert(rule, Override { enabled, level, entity });
        Ok(())
    }

    /// Takes a file of filters, if it is one: rules belong where rules are.
    fn take_filter(&mut self, shown: String, text: String) {
        let mut rules = Vec::new();
        for document in yaml_serde::Deserializer::from_str(&text) {
            match Value::deserialize(document) {
                Ok(Value::Null) => {}
                Ok(value) => match value.get("filter") {
                    Some(filter) => rules.extend(listed(filter.get("rules"))),
                    None => {
                        let text =
                            "not read: no Sigma filter; rules belong into a folder of rules.dirs";
                        self.complaints.push(format!("{shown}: {text}"));
                        return;
                    }
                },
                Err(error) => {
                    self.complaints.push(format!("{shown}: {}", flat(&error)));
                    return;
                }
            }
        }
        self.named.extend(rules.into_iter().map(|rule| (shown.clone(), rule)));
        self.filters.push((shown, text));
    }

    /// What is meant for rules that are not there, one line each.
    pub fn unmet(&self, set: &Set) -> Vec<String> {
        let mut known: HashSet<&str> = HashSet::new();
        for rule in set.rules() {
            known.extend(
                [Some(rule.key()), rule.id.as_deref(), rule.name.as_deref()].into_iter().flatten(),
            );
        }
        for left in set.left_out() {
            known.extend([Some(left.rule.as_str()), left.name.as_deref()].into_iter().flatten());
        }
        let file = &self.file;
        let overrides = self.overrides.keys().filter(|rule| !known.contains(rule.as_str()));
        let overrides =
            overrides.map(|rule| format!("{file}: {rule}: overrides no rule that is loaded"));
        let filters = self.named.iter().filter(|(_, rule)| !known.contains(rule.as_str()));
        let filters =
            filters.map(|(file, rule)| format!("{file}: {rule}: filters no rule that is loaded"));
        overrides.chain(filters).collect()
    }
}

/// The rules a filter names; none when it means any.
fn listed(rules: Option<&Value>) -> Vec<String> {
    let any = |text: &str| text.eq_ignore_ascii_case("any") || text.eq_ignore_ascii_case("all");
    let one = |value: &Value| value.as_str().filter(|text| !any(text)).map(str::to_owned);
    match rules {
        Some(Value::Sequence(rules)) => rules.iter().filter_map(one).collect(),
        Some(rule) => one(rule).into_iter().collect(),
        None => Vec::new(),
    }
}

fn fields(value: Value) -> anyhow::Result<Vec<String>> {
    let one = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => bail!("entity: a field or a list of fields"),
    };
    match value {
        Value::Sequence(values) => values.into_iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// The first moment after what an operator wrote: a date holds to its end, UTC.
fn end_of(text: &str) -> Option<i64> {
    match text.parse::<jiff::civil::Date>() {
        Ok(_) => time::parse_date(text)?.checked_add(time::DAY),
        Err(_) => time::parse(text),
    }
}

/// One line, whatever the parser wrote.
fn flat(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(text: &str) -> Tuning {
        let mut tuning = Tuning::default();
        let now = time::parse("2026-11-22T12:00:00Z").expect("a time");
        tuning.take_overrides("o", text, now);
        tuning
    }

    #[test]
    fn a_wrong_override_is_named_and_the_others_count() {
        let tuning = overrides(
            "- {rule: a, enabled: false, reason: r}\n- {rule: b, level: loud, reason: r}\n- {rule: c, level: low}\n- {rule: d, level: medium, entity: source.ip, reason: r, until: 2026-11-22}\n- {rule: e, reason: r}\n- {rule: f, enabled: false, reason: r, until: 2026-11-21}\n- {rule: g, enabled: false, reason: r, since: 1}\n- {rule: a, level: low, reason: r}\n- {rule: h, entity: [1], reason: r}\n- i\n- {rule: j, enabled: false, reason: r, until: soon}\n",
        );
        assert_eq!(tuning.overrides.keys().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(tuning.overrides["d"].entity, Some(vec!["source.ip".to_owned()]));
        assert_eq!(tuning.until, time::parse("2026-11-23T00:00:00Z"), "the whole day");
        let expected = [
            "override 2: unknown variant `loud`",
            "override 3: c: it needs a reason",
            "override 5: e: it changes nothing",
            "override 6: f: it ended, 2026-11-21",
            "override 7: unknown field `since`",
            "override 8: a: overridden already",
            "override 9: h: entity: a field",
            "override 10: invalid type",
            "override 11: j: until: `soon` is no date",
        ];
        assert_eq!(tuning.complaints.len(), expected.len(), "{:?}", tuning.complaints);
        for (complaint, expected) in tuning.complaints.iter().zip(expected) {
            assert!(complaint.contains(expected), "{complaint} lacks {expected}");
        }
        assert!(overrides("").complaints.is_empty());
        assert!(overrides("a: b").complaints[0].contains("no list of overrides"));
    }

    #[test]
    fn a_file_that_is_no_filter_is_not_read_as_a_rule() {
        let mut tuning = Tuning::default();
        let filter = "title: f\nlogsource: {product: linux}\nfilter:\n  rules: [r, any]\n  s: {a: b}\n  condition: not s\n";
        tuning.take_filter("1".to_owned(), filter.to_owned());
        tuning.take_filter("2".to_owned(), format!("{filter}---\ntitle: a rule\n"));
        tuning.take_filter("3".to_owned(), "a: [".to_owned());
        assert_eq!(tuning.filters.len(), 1);
        assert_eq!(tuning.complaints.len(), 2, "{:?}", tuning.complaints);
        assert_eq!(tuning.unmet(&Set::default()), ["1: r: filters no rule that is loaded"]);
    }
}

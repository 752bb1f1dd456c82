//! `rules coverage`: which rules of a pack can fire on what arrives, and what the others lack.
//!
//! In: rules, read here, and what arrives: each dataset with the fields its events hold. That is asked
//! from the collector, running or stopped ([`arrived`]: datasets that came lately, the fields of a
//! sample of their stored events), or found in raw logs ([`of_logs`]), or what the decoders' own
//! examples hold ([`known`]). Out: a verdict on every rule ([`hengwei_rules::coverage`]), counts for
//! each log source, and the fields that would help most. Nothing is stored and nothing is judged: what
//! a value must be to match is not looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use anyhow::Context as _;
use hengwei_rules::coverage::{Arriving, Covered, Missing, Verdict};
use hengwei_rules::logsource::{self, windows};
use hengwei_rules::{Key, LogSource, Rule, Set};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::{FieldId, names};
use crate::replay::{self, Reading};
use crate::services::Services;
use crate::{hosts, search, time};

/// How far back unless said otherwise.
const SINCE: &str = "7d";
/// Datasets and their fields as the decoders' examples hold them: `dataset<TAB>field`. A test compares
/// it with the examples and writes it anew.
const KNOWN: &str = include_str!("decode/known.tsv");
/// Families of datasets whose events name some fields themselves.
const OPEN: &[(&str, Open)] = &[
    (windows::WINDOWS, Open::Below("winlog.event_data.")),
    ("auditd", Open::Numbered("auditd.a")),
];
/// What a correlation is counted under, which has no log source.
const CORRELATION: &str = "correlation";

/// `rules coverage` arguments.
#[derive(Debug, clap::Args)]
pub struct CoverageArgs {
    /// A folder of rules, read recursively, or a file; repeats.
    #[arg(long, required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// Datasets that came at or after: RFC 3339, a date, or an age such as 2h
    #[arg(long, default_value = SINCE)]
    pub since: String,
    /// Everything the decoders know, in place of what arrives
    #[arg(long, conflicts_with_all = ["since", "logs"])]
    pub known: bool,
    /// Raw logs, in place of what arrives
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "since")]
    pub logs: Vec<PathBuf>,
    /// What raw lines do not say of themselves.
    #[command(flatten)]
    pub reading: Reading,
    /// Every rule, too, and not only counts of them
    #[arg(long)]
    pub each: bool,
}

/// What arrives under one dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// `event.dataset`.
    pub dataset: String,
    /// Events whose fields are known.
    pub events: u64,
    /// When a record of it last came, RFC 3339; empty when nobody knows.
    pub last: String,
    /// The fields those events hold, without those every event has.
    pub fields: BTreeSet<String>,
    /// Names of which any may come; none as a rule.
    #[serde(skip)]
    pub open: Option<Open>,
}

/// Names of which any may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Those that begin so.
    Below(&'static str),
    /// This with a number behind it.
    Numbered(&'static str),
}

impl Open {
    fn has(self, name: &str) -> bool {
        match self {
            Open::Below(prefix) => name.starts_with(prefix),
            Open::Numbered(prefix) => {
                name.strip_prefix(prefix).is_some_and(|number| number.parse::<u8>().is_ok())
            }
        }
    }
}

/// Shows what arrived at a collector since a time: each dataset that some host sent, and what of its
/// events is stored. Blocking.
pub fn arrived(
    services: &Services,
    since: &str,
    wanted: &dyn Fn() -> bool,
) -> anyhow::Result<Vec<Arrival>> {
    let now = time::now();
    let since = time::parse_operator(since, now)
        .with_context(|| format!("`{since}` is no time: RFC 3339, a date, or an age such as 2h"))?;
    let mut last = hosts::datasets(&services.history);
    last.retain(|_, came| *came >= since);
    let expected: BTreeSet<String> = last.keys().cloned().collect();
    let sampled = search::sample(&services.history, &expected, since, wanted);
    let mut arrivals: BTreeMap<String, Arrival> = BTreeMap::new();
    for (dataset, came) in last {
        let arrival =
            Arrival { dataset: dataset.clone(), last: time::rfc3339(came), ..Arrival::default() };
        arrivals.insert(dataset, arrival);
    }
    for (dataset, sampled) in sampled {
        // What was met on the way to others may be of before the time asked for.
        let Some(arrival) = arrivals.get_mut(dataset) else { continue };
        arrival.events = sampled.events;
        arrival.fields = sampled.fields.iter().map(|field| field.name().to_owned()).collect();
    }
    Ok(arrivals.into_values().collect())
}

/// What raw logs hold.
pub fn of_logs(files: &[PathBuf], reading: &Reading) -> anyhow::Result<Vec<Arrival>> {
    let mut arrivals: BTreeMap<&'static str, (u64, BTreeSet<FieldId>)> = BTreeMap::new();
    for file in files {
        replay::each_event(file, reading, &mut |_, event| {
            let (events, fields) = arrivals.entry(event.event.dataset).or_default();
            *events += 1;
            fields.extend(event.iter().map(|(field, _)| field));
            Ok(())
        })?;
    }
    let arrival = |(dataset, (events, fields)): (&str, (u64, BTreeSet<FieldId>))| Arrival {
        dataset: dataset.to_owned(),
        events,
        fields: fields.iter().map(|field| field.name().to_owned()).collect(),
        ..Arrival::default()
    };
    Ok(arrivals.into_iter().map(arrival).collect())
}

/// Every field that the examples of the decoders hold.
pub fn known_fields() -> BTreeSet<&'static str> {
    KNOWN.lines().filter_map(|line| line.split_once('\t')).map(|(_, field)| field).collect()
}

/// What the examples of the decoders hold. Events of Windows are read by the names of their data
/// whatever their dataset, so what one of them holds any may hold.
pub fn known() -> Vec<Arrival> {
    let mut arrivals: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (dataset, field) in KNOWN.lines().filter_map(|line| line.split_once('\t')) {
        arrivals.entry(dataset).or_default().insert(field.to_owned());
    }
    let of_windows = |name: &str| is_below(name, windows::WINDOWS);
    let shared: BTreeSet<String> = arrivals
        .iter()
        .filter(|(name, _)| of_windows(name))
        .flat_map(|(_, fields)| fields.clone())
        .collect();
    if !shared.is_empty() {
        arrivals.extend(windows::DATASETS.iter().map(|name| (*name, shared.clone())));
    }
    let open = |dataset: &str| OPEN.iter().find(|(name, _)| is_below(dataset, name));
    let arrival = |(dataset, fields): (&str, BTreeSet<String>)| Arrival {
        dataset: dataset.to_owned(),
        fields,
        open: open(dataset).map(|(_, open)| *open),
        ..Arrival::default()
    };
    arrivals.into_iter().map(arrival).collect()
}

/// Whether a dataset is of a family: `windows.security` is of `windows`.
fn is_below(dataset: &str, family: &str) -> bool {
    dataset.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What came of every rule of a set.
#[derive(Debug)]
pub struct Report {
    /// One row for each rule, in the order of the set.
    pub rules: Vec<Value>,
    /// One for each log source that rules ask for.
    pub sources: Vec<Value>,
    /// One for each field that rules lack, that most rules lack first.
    pub fields: Vec<Value>,
    /// One for each dataset.
    pub datasets: Vec<Value>,
    /// The sums.
    pub total: Value,
}

/// How many rules came to each verdict.
#[derive(Debug, Clone, Copy, Default)]
struct Count([u64; Verdict::ALL.len()]);

impl Count {
    fn add(&mut self, verdict: Verdict) {
        for (count, one) in self.0.iter_mut().zip(Verdict::ALL) {
            *count += u64::from(one == verdict);
        }
    }

    fn into_row(self, name: &str, value: Value) -> Map<String, Value> {
        let mut row = Map::new();
        row.insert(name.to_owned(), value);
        row.insert("rules".to_owned(), self.0.iter().sum::<u64>().into());
        for (count, verdict) in self.0.iter().zip(Verdict::ALL) {
            row.insert(verdict.as_str().replace(' ', "_"), (*count).into());
        }
        row
    }
}

/// Judges the rules of a set, compiled for decoded events, by what arrives.
pub fn report(set: &Set, refused: usize, arrivals: &[Arrival]) -> Report {
    let asked = set.keys();
    let arriving: Vec<Arriving> = arrivals.iter().map(|one| arriving(one, &asked)).collect();
    let covered = set.coverage(&arriving);
    let mut sources: BTreeMap<String, Count> = BTreeMap::new();
    let mut lacking: BTreeMap<String, u64> = BTreeMap::new();
    let mut used = vec![0u64; arrivals.len()];
    let mut all = Count::default();
    let mut rules = Vec::with_capacity(covered.len());
    for (rule, covered) in set.rules().iter().zip(&covered) {
        all.add(covered.verdict);
        sources.entry(source_of(rule)).or_default().add(covered.verdict);
        for missing in &covered.lacks {
            *lacking.entry(shown(missing)).or_default() += 1;
        }
        if covered.verdict >= Verdict::Partly {
            for place in &covered.datasets {
                used.get_mut(*place).into_iter().for_each(|rules| *rules += 1);
            }
        }
        rules.push(row(rule, covered, arrivals));
    }
    let mut fields: Vec<(String, u64)> = lacking.into_iter().collect();
    fields.sort_by_key(|(_, rules)| std::cmp::Reverse(*rules));
    let mut total = all.into_row("total", "rules".into());
    total.insert("refused".to_owned(), refused.into());
    total.insert("datasets".to_owned(), arrivals.len().into());
    Report {
        rules,
        sources: sources
            .into_iter()
            .map(|(source, count)| Value::Object(count.into_row("log_source", source.into())))
            .collect(),
        fields: fields
            .into_iter()
            .map(|(field, rules)| json!({ "field": field, "rules": rules }))
            .collect(),
        datasets: arrivals
            .iter()
            .zip(used)
            .map(|(one, rules)| {
                json!({
                    "dataset": one.dataset, "events": one.events, "last": one.last,
                    "fields": one.fields.len(), "rules": rules,
                })
            })
            .collect(),
        total: Value::Object(total),
    }
}

fn arriving(arrival: &Arrival, asked: &BTreeSet<Key>) -> Arriving {
    // Every event has the fields of the header, and a line, which is its message.
    let header = (0..=names::MESSAGE.0).map(Key);
    let own = arrival.fields.iter().map(|name| Key(FieldId::of(name).0));
    let open = |key: &&Key| arrival.open.is_some_and(|open| open.has(FieldId(key.0).name()));
    let any = asked.iter().filter(open).copied();
    let fields: HashSet<Key> = header.chain(own).chain(any).collect();
    Arriving { sources: logsource::of_dataset(&arrival.dataset), fields }
}

fn row(rule: &Rule, covered: &Covered, arrivals: &[Arrival]) -> Value {
    let datasets = covered.datasets.iter().filter_map(|place| arrivals.get(*place));
    let datasets: Vec<&str> = datasets.map(|arrival| arrival.dataset.as_str()).collect();
    let names = |all: &BTreeSet<Missing>| all.iter().map(shown).collect::<Vec<String>>();
    json!({
        "rule": rule.key(), "title": rule.title, "level": rule.level,
        "log_source": source_of(rule), "verdict": covered.verdict.as_str(),
        "datasets": datasets, "lacks": names(&covered.lacks),
        "exceptions_lack": names(&covered.exceptions),
        "base": !rule.standalone, "document": rule.document,
    })
}

/// Names of fields of which one would do.
fn shown(missing: &Missing) -> String {
    let names: Vec<&str> = missing.iter().map(|key| FieldId(key.0).name()).collect();
    names.join(" | ")
}

/// `category/product/service`, `-` for a key a rule does not have.
fn source_of(rule: &Rule) -> String {
    if rule.is_correlation() {
        return CORRELATION.to_owned();
    }
    let LogSource { category, product, service } = &rule.log_source;
    [category, product, service].map(|key| key.as_deref().unwrap_or("-")).join("/")
}

#[cfg(test)]
mod tests;

//! The public Sigma set over the events that come with it.
//!
//! Needs the corpora (`CORPORA`, else `../shared/corpora` beside the workspace) and says so when
//! they are absent. Every regression case of the set must fire its rule, and as often as it says;
//! every generated event must fire the rule it was generated from. What does not is listed below
//! with the reason, and a line that no longer applies fails the test as well.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hengwei_collector::eval::{EvalArgs, eval};
use serde_json::Value;

/// Rules that are refused: id, why.
const REFUSED: &[(&str, &str)] = &[];

/// Regression cases that differ: rule, why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "45e112d0-7759-4c2a-aa36-9f8fb79d3393",
        "match_count is 1; the file holds three events (https, http, *) with Details \
         DWORD (0x00000002), which the filter does not exclude: each meets the rule as written",
    ),
    (
        "c7dcacd0-cc59-4004-b0a4-1d6cdebe6f3e",
        "match_count is 1; the file holds two events, AutoShareServer and AutoShareWks, both \
         listed by the rule",
    ),
];

/// Generated events that do not fire their rule: rule, why.
const QUIET: &[(&str, &str)] = &[];

fn corpora() -> Option<PathBuf> {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    let sigma = root.join("sigma");
    if sigma.join("rules").is_dir() {
        return Some(sigma);
    }
    println!("skipped: no Sigma corpora at {}", root.display());
    None
}

struct Ran {
    /// Rules by line, from 1.
    hits: BTreeMap<usize, BTreeSet<String>>,
    refused: Vec<String>,
}

fn run(sigma: &Path, events: &Path) -> Ran {
    let args =
        EvalArgs { rules: vec![sigma.join("rules")], events: events.to_path_buf(), strict: false };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let started = std::time::Instant::now();
    assert_eq!(eval(&args, &mut out, &mut err).unwrap(), 0);
    println!("{}: {:.1} s", events.display(), started.elapsed().as_secs_f64());
    let mut hits: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(out).unwrap().lines() {
        let hit: Value = serde_json::from_str(line).unwrap();
        let number = usize::try_from(hit["line"].as_u64().unwrap()).unwrap();
        let new = hits.entry(number).or_default().insert(hit["rule"].as_str().unwrap().to_owned());
        assert!(new, "printed twice: {line}");
    }
    let refused = String::from_utf8(err).unwrap().lines().map(str::to_owned).collect();
    Ran { hits, refused }
}

/// What each line expects.
fn expected(events: &Path) -> Vec<String> {
    fs::read_to_string(events)
        .unwrap()
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["__expect"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

#[track_caller]
fn compare(what: &str, found: BTreeMap<String, String>, listed: &[(&str, &str)]) {
    let listed: BTreeSet<&str> = listed.iter().map(|(rule, _)| *rule).collect();
    let unlisted: Vec<_> =
        found.iter().filter(|(rule, _)| !listed.contains(rule.as_str())).collect();
    assert!(unlisted.is_empty(), "{what}: {unlisted:#?}");
    let stale: Vec<_> = listed.iter().filter(|rule| !found.contains_key(**rule)).collect();
    assert!(stale.is_empty(), "{what}: no longer so: {stale:?}");
}

/// The regression cases of the set: rule, how often it must fire where that is given.
fn cases(folder: &Path, found: &mut BTreeMap<String, Option<usize>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, found);
        } else if path.ends_with("info.yml") {
            let text = fs::read_to_string(&path).unwrap();
            let after = |key: &str, text: &str| {
                text.lines()
                    .find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))
                    .map(|rest| rest.trim().trim_matches(['\'', '"']).to_owned())
            };
            let (_, metadata) = text.split_once("rule_metadata").unwrap();
            let rule = after("id:", metadata).unwrap();
            let count = after("match_count:", &text).map(|count| count.parse().unwrap());
            found.insert(rule, count);
        }
    }
}

#[test]
fn every_regression_case_fires_its_rule() {
    let Some(sigma) = corpora() else { return };
    let events = sigma.join("events/regression_flat.ndjson");
    let ran = run(&sigma, &events);
    let refused = ran
        .refused
        .iter()
        .map(|line| {
            let rule = line.split(": ").nth(1).unwrap_or_default();
            (rule.to_owned(), line.clone())
        })
        .collect();
    compare("refused", refused, REFUSED);

    let lines = expected(&events);
    let mut wanted = BTreeMap::new();
    cases(&sigma.join("regression_data"), &mut wanted);
    assert!(wanted.len() > 100, "{} cases", wanted.len());
    let mut different = BTreeMap::new();
    for (rule, count) in &wanted {
        let of_case = lines.iter().filter(|expected| *expected == rule).count();
        let fired = (1..=lines.len())
            .filter(|line| lines[line - 1] == *rule)
            .filter(|line| ran.hits.get(line).is_some_and(|hits| hits.contains(rule)))
            .count();
        // The file may hold fewer events of a case than the case has.
        let exact = count.filter(|count| *count <= of_case);
        if fired == 0 || exact.is_some_and(|count| count != fired) {
            different.insert(
                rule.clone(),
                format!("fired {fired} of {of_case} events, {count:?} expected"),
            );
        }
    }
    println!("{} cases, {} events", wanted.len(), lines.len());
    compare("regression cases", different, DIFFERENT);
}

#[test]
fn every_generated_event_fires_its_rule() {
    let Some(sigma) = corpora() else { return };
    let events = sigma.join("events/synth_positive_seed1.ndjson");
    let ran = run(&sigma, &events);
    let lines = expected(&events);
    let mut quiet = BTreeMap::new();
    for (index, rule) in lines.iter().enumerate() {
        if !ran.hits.get(&(index + 1)).is_some_and(|hits| hits.contains(rule)) {
            quiet.insert(rule.clone(), format!("line {}", index + 1));
        }
    }
    println!("{} events, {} quiet", lines.len(), quiet.len());
    compare("generated events", quiet, QUIET);
}

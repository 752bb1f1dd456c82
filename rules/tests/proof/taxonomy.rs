//! That Sigma's names mean in decoded events what they mean in Sigma's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hengwei_rules::coverage::{Arriving, Verdict};
use hengwei_rules::{LogSource, Mapping, Names, Options, Scratch, taxonomy};
use serde_json::json;
use yaml_serde::Value as Yaml;

use crate::corpora;
use crate::made::{Made, Rules};

/// Fields of the public rules that are looked up as they are written, by area, because nobody has
/// another name for them: at most so many.
const AS_WRITTEN: &[(&str, usize)] = &[
    ("application", 2),
    ("category", 0),
    ("cloud", 53),
    ("identity", 0),
    ("linux", 0),
    ("macos", 0),
    ("network", 1),
    ("web", 0),
    ("windows", 0),
];

fn ecs() -> Options {
    Options { mapping: Mapping::Ecs, ..Options::default() }
}

/// What an event with Sigma's names is when it was decoded: each field under the first of the names
/// it has for the event's log sources.
fn decoded(event: &Made) -> Made {
    let mut decoded =
        Made { sources: event.sources.clone(), line: event.line.clone(), ..Made::default() };
    for (name, value) in &event.fields {
        let sources = event.sources.iter();
        let names: BTreeSet<String> =
            sources.map(|source| taxonomy::ecs(source, name)[0].clone().into_owned()).collect();
        decoded.fields.extend(names.into_iter().map(|name| (name, value.clone())));
    }
    decoded
}

#[test]
fn a_name_may_stand_in_several_fields() {
    let rule = |name: &str, detection: &str| {
        format!(
            "title: {name}\nid: {name}\nlogsource: {{category: webserver}}\ndetection:\n  s:\n    {detection}\n  condition: s\n"
        )
    };
    let texts = [
        rule("contains", "cs-uri-query|contains: passwd"),
        rule("all", "cs-uri-query|contains|all: [passwd, etc]"),
        rule("neq", "cs-uri-query|contains|neq: passwd"),
        rule("re", "cs-uri-query|re: 'a+b'"),
        rule("nothing", "cs-uri-query: null"),
        rule("exists", "cs-uri-query|exists: true"),
        rule("absent", "cs-uri-query|exists: false"),
        rule("reference", "cs-method|fieldref: cs-uri-query"),
        rule("referring", "cs-uri-query|fieldref: cs-method"),
        rule("number", "cs-uri-query: 7"),
    ];
    let rules = Rules::of(texts.iter().map(String::as_str), &ecs());
    assert_eq!(rules.refused, []);
    for (fields, expected) in [
        (json!({}), &["neq", "nothing", "absent"][..]),
        (json!({"url.query": "x=/etc/passwd"}), &["contains", "all", "exists"]),
        (json!({"url.original": "/etc/passwd?x"}), &["contains", "all", "exists"]),
        // Each value is looked for by itself.
        (json!({"url.query": "passwd", "url.original": "/etc"}), &["contains", "all", "exists"]),
        (json!({"url.query": "x", "url.original": "/aab"}), &["neq", "re", "exists"]),
        (json!({"url.query": null, "url.original": "/"}), &["neq", "nothing", "exists"]),
        (json!({"url.query": 7, "url.original": "/"}), &["neq", "exists", "number"]),
        (
            json!({"url.original": "GET", "http.request.method": "GET"}),
            &["neq", "exists", "reference", "referring"],
        ),
    ] {
        let mut event = Made::of(&fields);
        event.sources = vec![LogSource::new(Some("webserver"), Some("nginx"), None)];
        assert_eq!(rules.names(&event), expected, "{fields}");
    }
}

#[test]
fn decoded_events_meet_the_rules_that_meet_sigmas_own() {
    let Some(root) = corpora::root() else { return };
    let texts = corpora::rules(&root);
    let texts = || texts.iter().map(String::as_str);
    let (plain, mapped) = (Rules::of(texts(), &Options::default()), Rules::of(texts(), &ecs()));
    let (mut asked, mut hits) = (0, 0);
    let (mut plain_scratch, mut mapped_scratch) = (Scratch::new(), Scratch::new());
    for (lane, objects) in corpora::events(&root) {
        let mut different = Vec::new();
        let step = corpora::stride(objects.len(), EVENTS_OF_A_LANE);
        for (number, object) in objects.iter().enumerate().step_by(step) {
            let event = corpora::event(object);
            let expected = plain.hits(&event, &mut plain_scratch);
            let event = decoded(&event);
            let found = mapped.hits(&event, &mut mapped_scratch);
            asked += 1;
            hits += found.len();
            if found != expected {
                let name = |index: &usize| mapped.set.rules()[*index].key().to_owned();
                let lost: Vec<_> =
                    expected.iter().filter(|hit| !found.contains(hit)).map(name).collect();
                let new: Vec<_> =
                    found.iter().filter(|hit| !expected.contains(hit)).map(name).collect();
                different.push(format!("line {}: lost {lost:?}, new {new:?}", number + 1));
            }
            if number % (step * COVERED_EACH) == 0 {
                covers(&mapped, &event, &found);
            }
        }
        assert!(
            different.is_empty(),
            "{lane}: {} events\n{}",
            different.len(),
            different.join("\n")
        );
    }
    println!("{asked} events, {hits} hits");
    assert!(hits > 100);
}

/// Events of one lane; `HENGWEI_ALL=1` takes all.
const EVENTS_OF_A_LANE: usize = 40;

/// Of every so many of them what they cover is looked at.
const COVERED_EACH: usize = 6;

/// A rule that an event meets can fire where such events arrive.
fn covers(rules: &Rules, event: &Made, hits: &[usize]) {
    if hits.is_empty() {
        return;
    }
    let fields = event.fields.iter().map(|(name, _)| rules.known.key(name)).collect();
    let covered = rules.set.coverage(&[Arriving { sources: event.sources.clone(), fields }]);
    for hit in hits {
        assert!(covered[*hit].verdict >= Verdict::Partly, "{}", rules.set.rules()[*hit].key());
    }
}

/// The fields a detection asks for.
fn fields(detection: &Yaml, out: &mut BTreeSet<String>) {
    match detection {
        Yaml::Mapping(items) => {
            for (name, _) in items {
                let name = name.as_str().unwrap_or_default().split('|').next().unwrap_or_default();
                if !name.is_empty() {
                    out.insert(name.to_owned());
                }
            }
        }
        Yaml::Sequence(entries) => entries.iter().for_each(|entry| fields(entry, out)),
        _ => {}
    }
}

/// Rules by area: the folder they are in.
fn areas(root: &Path) -> BTreeMap<String, Vec<Yaml>> {
    let mut areas: BTreeMap<String, Vec<Yaml>> = BTreeMap::new();
    for folder in fs::read_dir(root.join("sigma/rules")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let rules = corpora::texts(&folder);
            areas.insert(
                name,
                rules.iter().map(|text| yaml_serde::from_str(text).unwrap()).collect(),
            );
        }
    }
    areas
}

#[test]
fn the_fields_of_the_public_rules_have_names() {
    let Some(root) = corpora::root() else { return };
    let mut beyond = Vec::new();
    for (area, rules) in areas(&root) {
        // Log source, field: how many rules.
        let mut used: BTreeMap<(LogSource, String), usize> = BTreeMap::new();
        for rule in &rules {
            let key = |name: &str| rule["logsource"].get(name).and_then(Yaml::as_str);
            let source = LogSource::new(key("category"), key("product"), key("service"));
            let mut names = BTreeSet::new();
            for (name, detection) in rule["detection"].as_mapping().unwrap() {
                if name.as_str() != Some("condition") {
                    fields(detection, &mut names);
                }
            }
            for name in names {
                *used.entry((source.clone(), name)).or_default() += 1;
            }
        }
        let written: Vec<_> =
            used.iter().filter(|((source, field), _)| !taxonomy::knows(source, field)).collect();
        println!(
            "{area}: {} rules, {} fields by log source, {} mapped",
            rules.len(),
            used.len(),
            used.len() - written.len()
        );
        for ((source, field), rules) in &written {
            let keys = [&source.category, &source.product, &source.service];
            let keys = keys.map(|key| key.as_deref().unwrap_or("-")).join("/");
            println!("  as written: {keys} {field} ({rules} rules)");
        }
        let most = AS_WRITTEN.iter().find(|(name, _)| *name == area).map_or(0, |(_, most)| *most);
        if written.len() > most {
            beyond.push(format!("{area}: {} as written, {most} expected", written.len()));
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}

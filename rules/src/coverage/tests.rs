use std::collections::HashMap;

use super::*;
use crate::testing::{Known, Made, compiled, rule};
use crate::{Names, Options, Value};

const ROUNDS: u32 = 400;

/// What arrives of log source `test`, with these fields.
fn arriving(known: &Known, fields: &[&str]) -> Arriving {
    Arriving {
        sources: vec![LogSource::new(None, Some("test"), None)],
        fields: fields.iter().map(|name| known.key(name)).collect(),
    }
}

/// The names of what is missing, `|` between those of which one is enough.
fn named(known: &Known, all: &BTreeSet<Missing>) -> Vec<String> {
    let names: HashMap<Key, &str> = ["a", "b", "c", "d", "e", "user.name", "source.ip"]
        .map(|name| (known.key(name), name))
        .into();
    let one = |keys: &Missing| keys.iter().map(|key| names[key]).collect::<Vec<_>>().join("|");
    all.iter().map(one).collect()
}

#[track_caller]
fn check(detection: &str, fields: &[&str], verdict: Verdict, lacks: &[&str], exceptions: &[&str]) {
    let known = Known::default();
    // Numbered in this order, which is that of what is shown.
    let _ = ["a", "b", "c", "d", "e"].map(|name| known.key(name));
    let set = compiled(&rule(detection), &known, &Options::default());
    let covered = &set.coverage(&[arriving(&known, fields)])[0];
    assert_eq!(covered.verdict, verdict, "{detection} with {fields:?}");
    assert_eq!(named(&known, &covered.lacks), lacks, "{detection} with {fields:?}");
    assert_eq!(named(&known, &covered.exceptions), exceptions, "{detection} with {fields:?}");
}

#[test]
fn every_field_of_a_map_is_needed() {
    let both = "  s:\n    a: x\n    b: y\n  condition: s";
    check(both, &["a", "b"], Verdict::Fires, &[], &[]);
    check(both, &["a"], Verdict::Lacks, &["b"], &[]);
    check(both, &[], Verdict::Lacks, &["a", "b"], &[]);
}

#[test]
fn one_alternative_is_enough() {
    let either = "  s:\n    - a: x\n    - b: y\n      c: z\n  condition: s";
    check(either, &["a", "b", "c"], Verdict::Fires, &[], &[]);
    check(either, &["a"], Verdict::Partly, &["b", "c"], &[]);
    check(either, &["b"], Verdict::Lacks, &["a"], &[]);
    let of = "  s1:\n    a: x\n  s2:\n    b: x\n  s3:\n    c: x\n  condition: 2 of s*";
    check(of, &["a", "b"], Verdict::Partly, &["c"], &[]);
    check(of, &["a"], Verdict::Lacks, &["b"], &[]);
}

#[test]
fn what_is_absent_is_absent() {
    let null = "  s:\n    a: x\n    b: null\n  condition: s";
    check(null, &["a"], Verdict::Fires, &[], &[]);
    check("  s:\n    b|exists: false\n  condition: s", &[], Verdict::Fires, &[], &[]);
    check("  s:\n    b|exists: true\n  condition: s", &[], Verdict::Lacks, &["b"], &[]);
    check("  s:\n    b|neq: x\n  condition: s", &[], Verdict::Fires, &[], &[]);
    check("  s:\n    a|fieldref: b\n  condition: s", &["a"], Verdict::Lacks, &["b"], &[]);
    check("  s:\n    - words\n    - more\n  condition: s", &[], Verdict::Fires, &[], &[]);
}

#[test]
fn an_exception_that_never_holds_is_told_apart() {
    let except = "  s:\n    a: x\n  f:\n    b: y\n    c: z\n  condition: s and not f";
    check(except, &["a", "b", "c"], Verdict::Fires, &[], &[]);
    check(except, &["a", "b"], Verdict::Fires, &[], &["c"]);
    let one_of = "  s:\n    a: x\n  f1:\n    b: y\n  f2:\n    c: z\n  condition: s and not 1 of f*";
    check(one_of, &["a", "b"], Verdict::Fires, &[], &["c"]);
    check(one_of, &["b"], Verdict::Lacks, &["a"], &[]);
    // What must not be nothing must be there.
    let present = "  s:\n    a: x\n  f:\n    b: null\n  condition: s and not f";
    check(present, &["a"], Verdict::Lacks, &["b"], &[]);
}

#[test]
fn without_its_log_source_a_rule_has_nothing() {
    let known = Known::default();
    let set = compiled(&rule("  s:\n    a: x\n  condition: s"), &known, &Options::default());
    let other = Arriving {
        sources: vec![LogSource::new(None, Some("other"), None)],
        ..arriving(&known, &["a"])
    };
    assert_eq!(set.coverage(std::slice::from_ref(&other)), [Covered::NO_SOURCE]);
    assert_eq!(set.coverage(&[]), [Covered::NO_SOURCE]);
    let found = set.coverage(&[other, arriving(&known, &[]), arriving(&known, &["a"])]);
    assert_eq!((found[0].verdict, found[0].datasets.as_slice()), (Verdict::Fires, &[2][..]));
}

/// Two base rules, of fields a and b, and a correlation over them.
fn correlated(correlation: &str) -> String {
    let base = |id: &str, field: &str| {
        format!(
            "title: {id}\nname: {id}\nlogsource: {{product: test}}\ndetection: {{s: {{{field}: x}}, condition: s}}\n---\n"
        )
    };
    let head =
        "title: c\nid: c\ncorrelation:\n  rules: [one, two]\n  timespan: 5m\n  group-by: [e]\n";
    format!("{}{}{head}{correlation}", base("one", "a"), base("two", "b"))
}

#[track_caller]
fn check_correlation(correlation: &str, fields: &[&str], verdict: Verdict, lacks: &[&str]) {
    let known = Known::default();
    let _ = ["a", "b", "c", "d", "e"].map(|name| known.key(name));
    let set = compiled(&correlated(correlation), &known, &Options::default());
    let covered = set.coverage(&[arriving(&known, fields)]).pop().unwrap();
    assert_eq!(covered.verdict, verdict, "{correlation} with {fields:?}");
    assert_eq!(named(&known, &covered.lacks), lacks, "{correlation} with {fields:?}");
}

#[test]
fn a_correlation_is_as_good_as_what_it_counts() {
    let count = "  type: event_count\n  condition: {gte: 3}\n";
    check_correlation(count, &["a", "b"], Verdict::Fires, &[]);
    check_correlation(count, &["a"], Verdict::Partly, &["b"]);
    check_correlation(count, &[], Verdict::Lacks, &["a", "b"]);
    let temporal = "  type: temporal\n";
    check_correlation(temporal, &["a", "b"], Verdict::Fires, &[]);
    check_correlation(temporal, &["a"], Verdict::Lacks, &["b"]);
    let values = "  type: value_count\n  condition: {field: c, gte: 3}\n";
    check_correlation(values, &["a", "b", "c"], Verdict::Fires, &[]);
    check_correlation(values, &["a", "b"], Verdict::Lacks, &["c"]);
    let seen = "  type: temporal\n  condition: one and not two\n";
    check_correlation(seen, &["a"], Verdict::Fires, &[]);
    check_correlation(seen, &["b"], Verdict::Lacks, &["a"]);
}

/// A generator of small numbers: the same tests each time.
struct Dice(u32);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// An expression in which each of some selections stands once.
fn expression(names: &[String], dice: &mut Dice) -> String {
    let text = match names {
        [one] => one.clone(),
        _ => {
            let cut = 1 + dice.below(u32::try_from(names.len()).unwrap() - 1) as usize;
            let word = ["and", "or"][dice.below(2) as usize];
            let (left, right) = (expression(&names[..cut], dice), expression(&names[cut..], dice));
            format!("({left} {word} {right})")
        }
    };
    if dice.below(4) == 0 { format!("not {text}") } else { text }
}

#[test]
fn it_says_what_trying_every_event_says() {
    let fields = ["a", "b", "c", "d"];
    let mut dice = Dice(2_463_534_242);
    let (mut able, mut unable) = (0, 0);
    for _ in 0..ROUNDS {
        let mut detection = String::new();
        for (place, field) in fields.iter().enumerate() {
            let asked = ["", "|contains", "|exists", "|neq"][dice.below(4) as usize];
            let value =
                if asked == "|exists" { ["true", "false"][dice.below(2) as usize] } else { "x" };
            let value = if asked.is_empty() && dice.below(3) == 0 { "null" } else { value };
            detection.push_str(&format!("  s{place}:\n    {field}{asked}: {value}\n"));
        }
        let names: Vec<String> = (0..fields.len()).map(|place| format!("s{place}")).collect();
        detection.push_str(&format!("  condition: {}", expression(&names, &mut dice)));
        let known = Known::default();
        let set = compiled(&rule(&detection), &known, &Options::default());
        let there: Vec<&str> = fields.into_iter().filter(|_| dice.below(2) == 0).collect();
        let verdict = set.coverage(&[arriving(&known, &there)])[0].verdict;

        // Each field that may be there: absent, met, not met.
        let mut fires = false;
        for number in 0..3u32.pow(u32::try_from(there.len()).unwrap()) {
            let mut fields = Vec::new();
            let mut rest = number;
            for name in &there {
                match rest % 3 {
                    0 => {}
                    1 => fields.push((*name, Value::Text("x"))),
                    _ => fields.push((*name, Value::Text("other"))),
                }
                rest /= 3;
            }
            let mut hits = Vec::new();
            set.evaluate_plainly(&Made { known: &known, fields, line: "" }, &mut hits);
            fires |= !hits.is_empty();
        }
        assert_eq!(verdict >= Verdict::Partly, fires, "{detection}\nwith {there:?}: {verdict:?}");
        *(if fires { &mut able } else { &mut unable }) += 1;
    }
    assert!(able > 50 && unable > 50, "{able} that can fire, {unable} that can't");
}

#[test]
fn every_field_that_is_asked_for_is_named() {
    let known = Known::default();
    let text = format!(
        "{}{}",
        rule("  s:\n    - a: x\n      b|fieldref: c\n  condition: s"),
        "---\ntitle: f\nlogsource: {product: test}\nfilter:\n  rules: any\n  n: {d: x}\n  condition: not n\n"
    );
    let set = compiled(&text, &known, &Options::default());
    let expected: BTreeSet<Key> = ["a", "b", "c", "d"].map(|name| known.key(name)).into();
    assert_eq!(set.keys(), expected);
}

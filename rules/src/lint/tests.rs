//! Every check by an example it finds something in, and one it does not.

use std::fmt::Write as _;

use super::*;
use crate::testing::{Known, compile};
use crate::{Document, Options};

fn rule(selections: &str, condition: &str) -> String {
    format!(
        "title: A rule of this test\nid: 5d9d5e0c-2d6b-4f43-9d0a-0c0f2b0f7a11\nstatus: test\nlogsource:\n  product: test\ndetection:\n{selections}  condition: {condition}\nlevel: low\n"
    )
}

/// The findings of a text as `line check`.
fn found(text: &str) -> String {
    let mut out = String::new();
    for finding in lint(text) {
        assert!(!finding.error, "{finding:?}");
        let line = finding.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
        writeln!(out, "{line} {}", finding.check).unwrap();
    }
    out
}

/// The checks that find something in the items of one selection, which begin in line 8.
#[track_caller]
fn item(key: &str, value: &str, expected: &[&str]) {
    let text = rule(&format!("  other: {{z: needle}}\n  s:\n    {key}: {value}\n"), "other and s");
    let expected: String = expected.iter().map(|check| format!("9 {check}\n")).collect();
    assert_eq!(found(&text), expected, "{key}: {value}");
}

#[test]
fn values_and_modifiers() {
    for (key, value, expected) in [
        ("a", "['*x*', '*y*']", &["wildcard_for_modifier"][..]),
        ("a", "'x*'", &["wildcard_for_modifier"]),
        ("a", "['*x*', 'y*']", &[]),
        ("a", "'*x*y'", &[]),
        ("a|contains", "'*x'", &["wildcard_beside_modifier"]),
        ("a|startswith", "'*x'", &["wildcard_beside_modifier"]),
        ("a|endswith", "'x*y'", &[]),
        ("a", "'x**y'", &["double_wildcard"]),
        ("a|re", "'x**y'", &[]),
        ("a", "'C:\\*\\x'", &["escaped_wildcard"]),
        ("a", "'C:\\\\*\\x'", &[]),
        ("a", "'\\*'", &[]),
        ("a", "['*', 'x']", &["any_among_values"]),
        ("a|contains", "['', 'x']", &["empty_value"]),
        ("a", "''", &[]),
        ("a", "[xY, Xy]", &["repeated_value"]),
        ("a|cased", "[xY, Xy]", &[]),
        ("a|contains", "[pass, password]", &["covered_value"]),
        ("a|startswith", "[pass, xpass]", &[]),
        ("a|endswith", "[pass, xpass]", &["covered_value"]),
        ("a|contains|all", "[pass, password]", &[]),
        ("a", "[4, '5']", &["quoted_number"]),
        ("a", "['4', '5']", &[]),
        ("a|re", "'/etc/passwd'", &["plain_expression"]),
        ("a|re", "'/etc/.asswd'", &[]),
        ("a|re", "'.*x+y'", &["idle_expression_end"]),
        ("a|re", "'x.*$'", &["idle_expression_end"]),
        ("a|re", "'x\\.*'", &[]),
        ("a|re", "'(?:[a-z]{1,200}x){200}'", &["large_expression"]),
        ("a|cased", "'123'", &["idle_modifier"]),
        ("a|contains|windash", "'x y'", &["idle_modifier"]),
        ("a|contains|windash", "'-x'", &[]),
        ("a|re|i", "'1+2'", &["idle_modifier"]),
        ("a|re|m", "'^x+'", &[]),
        ("a|re|s", "'x+'", &["idle_modifier"]),
        ("a|cidr", "'0.0.0.0/0'", &["whole_network"]),
        ("a|cidr", "'10.0.0.0/8'", &[]),
        ("a", "\"x\\x07\"", &["control_character"]),
        ("'a b'", "x", &["field_with_space"]),
    ] {
        item(key, value, expected);
    }
    item("a|exists", "true", &[]);
    item("a", "12", &[]);
}

#[test]
fn what_any_event_meets() {
    let text = rule("  s:\n    a: x\n  t:\n    b: [null, '*']\n", "s and t");
    assert!(found(&text).contains("10 always_met"), "{}", found(&text));
}

#[test]
fn conditions_and_selections() {
    for (selections, condition, expected) in [
        ("  s: {a: x}\n  t: {b: y}\n", "s", "8 unused_selection\n"),
        ("  s: {a: x}\n  t_1: {b: y}\n", "s or 1 of t_*", ""),
        ("  s: {a: x}\n", "all of them", "8 them_of_one\n"),
        ("  s: {a: x}\n  t: {b: y}\n", "all of them", ""),
        ("  s: {a: x}\n  t: {a: x}\n", "s or t", "8 repeated_selection\n"),
        ("  s: {a: x}\n", "not s", "8 matches_nothing_at_all\n"),
        ("  s: {a: x}\n  t: {b: null}\n", "s or t", "9 matches_nothing_at_all\n"),
        ("  s: {a|contains: xy}\n", "s", "8 unselective\n"),
        ("  s: {a|exists: true}\n  t: {b: x}\n", "s or t", "9 unselective\n"),
        ("  s: {a|exists: true}\n  t: {b: x}\n", "s and t", ""),
        ("  s: {a|gt: 5}\n", "s", "8 unselective\n"),
        ("  s: {a|re: '^.x'}\n", "s", "8 unselective\n"),
        ("  s: {a|re: 'abc.'}\n", "s", ""),
        ("  s: [abc, x]\n", "s", "8 unselective\n"),
        ("  s_1: {a: x}\n  s_2: {b|exists: true}\n  s_3: {c: z}\n", "2 of s_*", ""),
        ("  s_1: {a: x}\n  s_2: {b|exists: true}\n  s_3: {c: z}\n", "1 of s_*", "10 unselective\n"),
    ] {
        assert_eq!(found(&rule(selections, condition)), expected, "{selections}{condition}");
    }
}

#[test]
fn heads() {
    let clean = rule("  s: {a: x}\n", "s");
    for (what, with, expected) in [
        ("", "", ""),
        ("id: 5d9d5e0c-2d6b-4f43-9d0a-0c0f2b0f7a11\n", "", "1 missing_id\n"),
        ("status: test\n", "", "1 missing_status\n"),
        ("level: low\n", "level: low\nfalsepositive: [x]\n", "10 misspelt_key\n"),
        ("level: low\n", "level: low\nLevle: high\n", "10 non_lowercase_key\n10 misspelt_key\n"),
        ("level: low\n", "level: low\nours: 1\n", ""),
        ("level: low\n", "level: low\nhengwei.entity: a\n", ""),
        (
            "level: low\n",
            "level: low\ntags: [attack.t1059.001, attack.execution, mlps.8.1.4.1.a]\n",
            "",
        ),
        ("level: low\n", "level: low\ntags: [attack.t105]\n", "10 odd_tag\n"),
        ("level: low\n", "level: low\ntags: [attack.executing]\n", "10 odd_tag\n"),
        ("level: low\n", "level: low\ntags: [cve.2021-44228, cve.log4shell]\n", "10 odd_tag\n"),
        (
            "level: low\n",
            "level: low\ntags: [tlp.purple, detection.dfir, car.2016-04-005]\n",
            "10 odd_tag\n",
        ),
        ("level: low\n", "level: low\ntags: [nobody.knows]\n", "10 unknown_tag_namespace\n"),
    ] {
        assert!(clean.contains(what));
        assert_eq!(found(&clean.replace(what, with)), expected, "{with}");
    }
}

#[test]
fn fields_that_no_event_has_are_named_where_names_are_those_of_events() {
    let known = |name: &str| name == "user.name";
    for (taxonomy, field, expected) in [
        ("taxonomy: ecs\n", "user.name", 0),
        ("taxonomy: ecs\n", "user.nmae", 1),
        ("", "user.nmae", 0),
    ] {
        let text = format!("{}{taxonomy}", rule(&format!("  s: {{{field}: x}}\n"), "s"));
        let findings = lint_knowing(&text, &known);
        assert_eq!(findings.len(), expected, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.check == "unknown_field"));
    }
}

#[test]
fn a_finding_names_the_line_in_a_file_of_several() {
    let clean = rule("  s:\n    a: x\n", "s");
    let text = format!("{clean}---\n# a comment\n{}", clean.replace("a: x", "a|re: xyz"));
    assert_eq!(found(&text), "20 plain_expression\n");
}

#[test]
fn filters_and_correlations_are_looked_through_too() {
    let filter = "title: A filter of this test\nlogsource: {product: test}\nfilter:\n  rules: any\n  selection:\n    a: '*x*'\n  condition: not selection\n";
    assert_eq!(found(filter), "1 missing_id\n6 wildcard_for_modifier\n");
}

#[test]
fn what_is_refused_is_left_to_the_refusal() {
    let deep = rule("  s: {a: x}\n", &format!("{}s{}", "(".repeat(5000), ")".repeat(5000)));
    assert_eq!(lint(&deep), []);
    assert_eq!(lint("title: [\n"), []);
}

#[test]
fn names_that_several_rules_have() {
    let known = Known::default();
    let text = rule("  s: {a: x}\n", "s");
    let documents = ["a.yml", "b.yml"].map(|name| Document { name, text: &text });
    let (set, refused) = Set::compile(documents, &known, &Options::default());
    assert_eq!(refused, []);
    let found: Vec<String> = lint_set(&set)
        .into_iter()
        .map(|(document, finding)| format!("{document} {} {}", finding.check, finding.error))
        .collect();
    assert_eq!(found, ["a.yml id true", "a.yml duplicate_title false"]);
    let (set, _) = compile(&text, &known, &Options::default());
    assert_eq!(lint_set(&set), []);
}

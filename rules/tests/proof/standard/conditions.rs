//! Selections and the conditions over them.

use serde_json::json;

use super::*;

/// Four selections, each met by a field of its own name.
fn four(condition: &str) -> Case {
    detection(&format!(
        "sel_a: {{a: y}}\nsel_b: {{b: y}}\nfilter: {{c: y}}\n_hidden: {{d: y}}\ncondition: {condition}"
    ))
}

/// An event that meets the selections of these letters.
fn with(letters: &str) -> Json {
    letters.chars().map(|letter| (letter.to_string(), json!("y"))).collect()
}

/// A condition and the sets of letters that meet it, of all sixteen.
#[track_caller]
fn check(condition: &str, holds: impl Fn(bool, bool, bool, bool) -> bool) {
    let mut case = four(condition);
    for mask in 0..16u8 {
        let has = |bit: u8| mask & (1 << bit) != 0;
        let letters: String =
            "abcd".chars().zip(0..).filter(|(_, bit)| has(*bit)).map(|(l, _)| l).collect();
        case.check(&with(&letters), holds(has(0), has(1), has(2), has(3)));
    }
}

#[test]
fn every_combination() {
    check("sel_a", |a, _, _, _| a);
    check("not sel_a", |a, _, _, _| !a);
    check("not not sel_a", |a, _, _, _| a);
    check("sel_a and sel_b", |a, b, _, _| a && b);
    check("sel_a or sel_b", |a, b, _, _| a || b);
    check("sel_a and not filter", |a, _, c, _| a && !c);
    check("_hidden", |_, _, _, d| d);
    check("sel_a and sel_a or not sel_a", |_, _, _, _| true);
    check("sel_a and not sel_a", |_, _, _, _| false);
}

#[test]
fn or_binds_least_and_not_most() {
    check("sel_a or sel_b and filter", |a, b, c, _| a || (b && c));
    check("sel_b and filter or sel_a", |a, b, c, _| (b && c) || a);
    check("(sel_a or sel_b) and filter", |a, b, c, _| (a || b) && c);
    check("not sel_a or sel_b", |a, b, _, _| !a || b);
    check("not sel_a and sel_b", |a, b, _, _| !a && b);
    check("not (sel_a or sel_b)", |a, b, _, _| !(a || b));
    check("not (sel_a and not (sel_b or filter))", |a, b, c, _| !(a && !(b || c)));
    check("not 1 of sel_* and filter", |a, b, c, _| !(a || b) && c);
    check("sel_a and sel_b or filter and _hidden", |a, b, c, d| (a && b) || (c && d));
    check("((((sel_a))))", |a, _, _, _| a);
}

#[test]
fn so_many_of_them() {
    check("1 of them", |a, b, c, _| a || b || c);
    check("any of them", |a, b, c, _| a || b || c);
    check("all of them", |a, b, c, _| a && b && c);
    check("1 of sel_*", |a, b, _, _| a || b);
    check("all of sel_*", |a, b, _, _| a && b);
    check("1 of *", |a, b, c, _| a || b || c);
    check("all of *l*", |a, b, c, _| a && b && c);
    check("1 of *_b", |_, b, _, _| b);
    check("1 of s*_*", |a, b, _, _| a || b);
    check("1 of sel_a", |a, _, _, _| a);
    check("all of sel_a", |a, _, _, _| a);
    check("1 of _*", |_, _, _, d| d);
    check("2 of them", |a, b, c, _| u8::from(a) + u8::from(b) + u8::from(c) >= 2);
    check("2 of sel_*", |a, b, _, _| a && b);
    check("3 of sel_*", |_, _, _, _| false);
    check("1 of sel_* and not 1 of filter*", |a, b, c, _| (a || b) && !c);
    check("not all of sel_*", |a, b, _, _| !(a && b));
}

#[test]
fn a_list_of_conditions_asks_for_one() {
    check("[sel_a, filter]", |a, _, c, _| a || c);
    check("[sel_a and sel_b, not filter]", |a, b, c, _| (a && b) || !c);
    check("[sel_a]", |a, _, _, _| a);
}

#[test]
fn maps_ask_for_every_item_and_lists_for_one() {
    detection("s: {a: x, b: [y, z]}\ncondition: s")
        .met_by([json!({"a": "x", "b": "y"}), json!({"a": "X", "b": "Z"})])
        .not_met_by([json!({"a": "x"}), json!({"b": "y"}), json!({"a": "y", "b": "x"})]);
    detection("s: [{a: x, b: y}, {c: z}]\ncondition: s")
        .met_by([json!({"a": "x", "b": "y"}), json!({"c": "z"})])
        .not_met_by([json!({"a": "x"}), json!({"b": "y"}), json!({"c": "x"})]);
    detection("s: [{a: [x, z], b|contains|all: [y, w]}, {c: null, a: w}]\ncondition: s")
        .met_by([json!({"a": "z", "b": "wy"}), json!({"a": "w"})])
        .not_met_by([json!({"a": "z", "b": "w"}), json!({"a": "w", "c": "x"})]);
    // The same field twice, by different modifiers.
    detection("s: {f|startswith: a, f|endswith: z, f|contains: m}\ncondition: s")
        .met(["amz"])
        .not_met(["az", "mz", "am"]);
}

#[test]
fn negations_alone_match_what_lacks_everything() {
    detection("s: {f: x}\ncondition: not s").met_by([json!({}), json!({"f": "y"})]).not_met(["x"]);
    detection("s: {f: x}\nt: {g: y}\ncondition: not s and not t").met_by([json!({})]).not_met_by([
        json!({"f": "x"}),
        json!({"g": "y"}),
        json!({"f": "x", "g": "y"}),
    ]);
}

#[test]
fn a_rule_applies_where_all_its_log_source_is_the_events() {
    let text = |source: &str| {
        format!(
            "title: t\nid: rule\nlogsource: {source}\ndetection: {{s: {{f: x}}, condition: s}}\n"
        )
    };
    let event = |sources: &[(Option<&str>, Option<&str>, Option<&str>)]| Made {
        sources: sources
            .iter()
            .map(|(c, p, s)| hengwei_rules::LogSource::new(*c, *p, *s))
            .collect(),
        ..Made::of(&json!({"f": "x"}))
    };
    let process = (Some("process_creation"), Some("windows"), Some("sysmon"));
    let other = (None, Some("linux"), Some("auth"));
    for (source, first, both) in [
        ("{product: windows}", true, true),
        ("{category: process_creation}", true, true),
        ("{category: process_creation, product: windows}", true, true),
        ("{category: process_creation, product: windows, service: sysmon}", true, true),
        ("{service: sysmon}", true, true),
        ("{product: linux}", false, true),
        ("{product: linux, service: auth}", false, true),
        // Of one log source, not pieces of two.
        ("{category: process_creation, product: linux}", false, false),
        ("{product: windows, service: auth}", false, false),
        ("{product: window}", false, false),
        ("{product: windows, definition: 'for readers'}", true, true),
    ] {
        let rules = Rules::of([text(source).as_str()], &Options::default());
        assert_eq!(rules.refused, [], "{source}");
        assert_eq!(rules.names(&event(&[process])).len(), usize::from(first), "{source}");
        assert_eq!(rules.names(&event(&[process, other])).len(), usize::from(both), "{source}");
        assert_eq!(rules.names(&event(&[])).len(), 0, "{source}");
    }
}

#[test]
fn several_rules_are_found_each_once_and_in_order() {
    let rule = |id: &str, f: &str| {
        format!(
            "title: {id}\nid: {id}\nlogsource: {{product: test}}\ndetection: {{s: {{f: [{f}]}}, condition: [s, 1 of them]}}\n---\n"
        )
    };
    let text = rule("c", "x, y") + &rule("a", "y, z") + &rule("b", "'*'");
    let rules = Rules::of([text.as_str()], &Options::default());
    assert_eq!(rules.refused, []);
    assert_eq!(rules.names(&Made::of(&json!({"f": "x"}))), ["c", "b"]);
    assert_eq!(rules.names(&Made::of(&json!({"f": "Y"}))), ["c", "a", "b"]);
    assert_eq!(rules.names(&Made::of(&json!({"f": ["x", "z"]}))), ["c", "a", "b"]);
    assert_eq!(rules.names(&Made::of(&json!({}))), [""; 0]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let selection = "s: {f: x}\n";
    for (condition, reason) in [
        ("t", "\"t\""),
        ("s and t", "\"t\""),
        ("1 of t*", "t*"),
        ("0 of them", "0 selections"),
        ("s | count() > 5", "ondition"),
        ("s near t", "ondition"),
        ("s and", "ondition"),
        ("(s", "ondition"),
        ("''", "ondition"),
    ] {
        refused_detection(&format!("{selection}condition: {condition}"), reason);
    }
    refused_detection(selection, "condition");
    refused_detection(&format!("{selection}condition: s\ntimeframe: 5m"), "timeframe");
    refused_detection("s: {}\ncondition: s", "empty map");
    refused_detection("s: []\ncondition: s", "empty list");
    refused_detection("s: {f: {g: x}}\ncondition: s", "not plain");
    refused_detection("s: {f|nonsense: x}\ncondition: s", "nonsense");
    refused_detection("s: {f|contains|nonsense: x}\ncondition: s", "nonsense");
    // One bad selection takes the rule with it, used or not.
    refused_detection("s: {f: x}\nt: {f|cidr: x}\ncondition: s", "network");
    let rule = |head: &str| {
        format!("title: t\nid: rule\n{head}\ndetection: {{s: {{f: x}}, condition: s}}\n")
    };
    refused_text(&rule("logsource: {}"), "rule", "no log source");
    refused_text(&rule("logsource: {product: test, zone: z}"), "rule", "zone");
    refused_text(&rule("logsource: {product: test}\ntaxonomy: other"), "rule", "other");
    refused_text(&rule("logsource: {product: test}\nlevel: severe"), "rule", "severe");
}

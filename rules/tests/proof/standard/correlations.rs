//! Correlations: types, conditions, groups, names, and what becomes of the rules they refer to.

use hengwei_rules::{Correlator, Reference};
use serde_json::json;

use super::*;

fn base(name: &str) -> String {
    format!(
        "title: {name}\nid: id-{name}\nname: {name}\nlogsource: {{product: test}}\ndetection: {{s: {{kind: {name}}}, condition: s}}\n---\n"
    )
}

fn bases() -> String {
    base("a") + &base("b") + &base("c")
}

fn correlation(name: &str, kind: &str, rules: &str, rest: &str) -> String {
    format!(
        "title: {name}\nid: id-{name}\nname: {name}\ncorrelation:\n  type: {kind}\n  rules: [{rules}]\n  timespan: 10s\n{rest}---\n"
    )
}

/// Feeds events `(second, fields)` and gives, for each, the correlations it completes.
#[track_caller]
fn run(text: &str, events: &[(i64, Json)]) -> Vec<Vec<String>> {
    let rules = Rules::of([text], &options());
    assert_eq!(rules.refused, [], "{text}");
    let mut correlator = Correlator::new();
    let mut scratch = Scratch::new();
    let mut feed = |(second, fields): &(i64, Json)| {
        let event = Made::of(fields);
        let mut completed = Vec::new();
        for index in rules.hits(&event, &mut scratch) {
            let time_ns = second * 1_000_000_000;
            let seen = event.seen(&rules.known);
            let hit = rules.set.base_hit(index, &seen, time_ns, 1, Reference::default());
            for fired in hit.iter().flat_map(|hit| correlator.feed(&rules.set, hit)) {
                completed.push(rules.set.rules()[fired.rule].title.clone());
            }
        }
        completed
    };
    events.iter().map(&mut feed).collect()
}

/// Asserts which events complete the correlation `c`.
#[track_caller]
fn check(text: &str, events: &[(i64, Json)], expected: &[usize]) {
    let completed = run(text, events);
    let found: Vec<usize> = (0..events.len())
        .filter(|index| completed[*index].iter().any(|name| name == "c"))
        .collect();
    assert_eq!(found, expected, "{text}");
}

fn kind(kind: &str) -> Json {
    json!({ "kind": kind })
}

fn of(kind: &str, host: &str) -> Json {
    json!({"kind": kind, "host": host})
}

#[test]
fn event_count_by_each_condition() {
    let events: Vec<(i64, Json)> = (0..6).map(|second| (second, kind("a"))).collect();
    for (condition, expected) in [
        ("{gte: 3}", &[2, 3, 4, 5][..]),
        ("{gt: 3}", &[3, 4, 5]),
        ("{eq: 3}", &[2]),
        ("{lt: 3}", &[0, 1]),
        ("{lte: 3}", &[0, 1, 2]),
        ("{gt: 2, lte: 4}", &[2, 3]),
    ] {
        let text = base("a")
            + &correlation("c", "event_count", "a", &format!("  condition: {condition}\n"));
        check(&text, &events, expected);
    }
}

#[test]
fn events_of_several_rules_are_counted_together() {
    let text = bases() + &correlation("c", "event_count", "a, id-b", "  condition: {gte: 3}\n");
    check(&text, &[(0, kind("a")), (1, kind("c")), (2, kind("b")), (3, kind("a"))], &[3]);
}

#[test]
fn the_timespan_is_between_the_first_and_the_last() {
    let count = |span: &str| {
        base("a")
            + &correlation("c", "event_count", "a", "  condition: {gte: 2}\n").replace("10s", span)
    };
    for (span, seconds) in [("10s", 10), ("2m", 120), ("3h", 3 * 3_600), ("4d", 4 * 86_400)] {
        check(&count(span), &[(0, kind("a")), (seconds, kind("a"))], &[1]);
        check(&count(span), &[(0, kind("a")), (seconds + 1, kind("a"))], &[]);
    }
}

#[test]
fn groups_are_counted_apart() {
    let text = |group: &str| {
        base("a")
            + &correlation("c", "event_count", "a", &format!("{group}  condition: {{gte: 2}}\n"))
    };
    let events =
        [(0, of("a", "x")), (1, of("a", "y")), (2, of("a", "x")), (3, kind("a")), (4, kind("a"))];
    check(&text("  group-by: [host]\n"), &events, &[2, 4]);
    check(&text("  group-by: host\n"), &events, &[2, 4]);
    check(&text(""), &events, &[1, 2, 3, 4]);
    let pair = |host: &str, user: &str| json!({"kind": "a", "host": host, "user": user});
    let events =
        [(0, pair("x", "1")), (1, pair("x", "2")), (2, pair("y", "1")), (3, pair("x", "2"))];
    check(&text("  group-by: [host, user]\n"), &events, &[3]);
    // A number groups with its text.
    let port = |port: Json| json!({"kind": "a", "port": port});
    check(&text("  group-by: [port]\n"), &[(0, port(json!(80))), (1, port(json!("80")))], &[1]);
}

#[test]
fn value_count_counts_different_values() {
    let text =
        bases() + &correlation("c", "value_count", "a, b", "  condition: {field: user, gte: 3}\n");
    let user = |kind: &str, user: &str| json!({"kind": kind, "user": user});
    check(
        &text,
        &[
            (0, user("a", "1")),
            (1, user("a", "2")),
            (2, user("b", "2")),
            (3, kind("a")),
            (4, user("c", "3")),
            (5, user("b", "3")),
            (11, user("a", "2")),
            (12, user("a", "1")),
        ],
        // At 11 the first "1" is gone; at 12 there is another.
        &[5, 7],
    );
    let several = json!({"kind": "a", "user": ["1", "2", "3"]});
    check(&text, &[(0, several)], &[0]);
}

#[test]
fn temporal_asks_for_every_rule_in_any_order() {
    let text = bases() + &correlation("c", "temporal", "a, b, c", "");
    check(&text, &[(0, kind("b")), (1, kind("a")), (2, kind("a")), (3, kind("c"))], &[3]);
    check(&text, &[(0, kind("b")), (1, kind("a")), (11, kind("c"))], &[]);
    check(&text, &[(0, kind("c")), (0, kind("a")), (0, kind("b"))], &[2]);
    let grouped = bases() + &correlation("c", "temporal", "a, b", "  group-by: [host]\n");
    check(&grouped, &[(0, of("a", "x")), (1, of("b", "y")), (2, of("b", "x"))], &[2]);
    // The condition counts different rules.
    let two = bases() + &correlation("c", "temporal", "a, b, c", "  condition: {gte: 2}\n");
    check(&two, &[(0, kind("a")), (1, kind("a")), (2, kind("c")), (3, kind("b"))], &[2, 3]);
}

#[test]
fn temporal_ordered_asks_for_their_order() {
    let text = bases() + &correlation("c", "temporal_ordered", "a, b, c", "");
    check(&text, &[(0, kind("a")), (1, kind("b")), (2, kind("c"))], &[2]);
    check(&text, &[(0, kind("a")), (1, kind("c")), (2, kind("b")), (3, kind("c"))], &[3]);
    check(&text, &[(0, kind("c")), (1, kind("b")), (2, kind("a"))], &[]);
    check(&text, &[(0, kind("a")), (5, kind("b")), (11, kind("c"))], &[]);
    // The order of their own times, whenever they arrive; those of one instant in any.
    check(&text, &[(2, kind("c")), (1, kind("b")), (0, kind("a"))], &[2]);
    check(&text, &[(0, kind("c")), (0, kind("b")), (0, kind("a"))], &[2]);
}

#[test]
fn sums_averages_medians_and_percentiles() {
    let size = |second: i64, size: Json| (second, json!({"kind": "a", "size": size}));
    let events = [
        size(0, json!(10)),
        size(1, json!("20")),
        size(2, json!("much")),
        size(3, json!(90)),
        size(4, json!(20.5)),
    ];
    for (kind, condition, expected) in [
        ("value_sum", "{field: size, gte: 120}", &[3, 4][..]),
        ("value_sum", "{field: size, eq: 30}", &[1]),
        ("value_avg", "{field: size, eq: 40}", &[3]),
        ("value_avg", "{field: size, gt: 14, lt: 36}", &[1, 4]),
        ("value_median", "{field: size, eq: 20}", &[3]),
        ("value_median", "{field: size, eq: 15}", &[1]),
        ("value_percentile", "{field: size, percentile: 50, eq: 20}", &[3]),
        ("value_percentile", "{field: size, percentile: 0, eq: 10}", &[0, 1, 3, 4]),
        ("value_percentile", "{field: size, percentile: 100, gte: 90}", &[3, 4]),
        ("value_percentile", "{field: size, percentile: 75, eq: 55}", &[3]),
    ] {
        let rest = format!("  condition: {condition}\n");
        check(&(base("a") + &correlation("c", kind, "a", &rest)), &events, expected);
    }
}

#[test]
fn correlations_over_correlations() {
    let many =
        correlation("many", "event_count", "a", "  group-by: [host]\n  condition: {gte: 2}\n");
    let top = correlation("c", "temporal_ordered", "many, b", "  group-by: [host]\n");
    let events = [
        (0, of("a", "x")),
        (1, of("b", "x")),
        (2, of("a", "x")),
        (3, of("b", "y")),
        (4, of("b", "x")),
    ];
    for text in [bases() + &many + &top, top.clone() + &many + &bases()] {
        check(&text, &events, &[4]);
    }
    // The upper one groups by its own fields only: "even if the rule groups by another".
    let upper = correlation("c", "temporal_ordered", "many, b", "  group-by: [user]\n");
    let login =
        |kind: &str, host: &str, user: &str| json!({"kind": kind, "host": host, "user": user});
    check(
        &(bases() + &many + &upper),
        &[
            (0, login("a", "x", "u")),
            (1, login("a", "x", "u")),
            (2, login("b", "z", "v")),
            (3, login("b", "z", "u")),
        ],
        &[3],
    );
    // Three levels.
    let middle = correlation("middle", "temporal", "many, b", "");
    let over = correlation("c", "event_count", "middle", "  condition: {gte: 2}\n");
    let events = [(0, kind("b")), (1, kind("a")), (2, kind("a")), (3, kind("a"))];
    check(&(bases() + &many + &middle + &over), &events, &[3]);
}

#[test]
fn aliases_name_a_field_for_each_rule() {
    let text = bases()
        + &correlation(
            "c",
            "temporal",
            "a, b",
            "  group-by: [inside, outside]\n  aliases:\n    inside: {a: dst, b: src}\n    outside: {a: src, b: dst}\n",
        );
    let event = |kind: &str, src: &str, dst: &str| json!({"kind": kind, "src": src, "dst": dst});
    check(
        &text,
        &[
            (0, event("a", "9", "1")),
            (1, event("b", "9", "1")),
            (2, event("b", "1", "8")),
            (3, event("b", "1", "9")),
        ],
        &[3],
    );
    // A field a correlation looks at may be an alias too.
    let text = bases()
        + &correlation(
            "c",
            "value_count",
            "a, b",
            "  aliases:\n    who: {a: user, b: account}\n  condition: {field: who, gte: 2}\n",
        );
    let events = [
        (0, json!({"kind": "a", "user": "1", "account": "2"})),
        (1, json!({"kind": "b", "user": "3", "account": "1"})),
        (2, json!({"kind": "b", "account": "4"})),
    ];
    check(&text, &events, &[2]);
}

#[test]
fn rules_are_named_by_id_or_name() {
    for name in ["a", "id-a"] {
        let text = base("a") + &correlation("c", "event_count", name, "  condition: {gte: 2}\n");
        check(&text, &[(0, kind("a")), (1, kind("a"))], &[1]);
    }
}

#[test]
fn generate_keeps_the_rules_referred_to() {
    let standing = |text: &str, name: &str| {
        let rules = Rules::of([text], &Options::default());
        assert_eq!(rules.refused, [], "{text}");
        rules.set.rules().iter().find(|rule| rule.title == name).unwrap().standalone
    };
    let silent = bases() + &correlation("c", "event_count", "a", "  condition: {gte: 2}\n");
    let loud = silent.replace("correlation:\n", "generate: true\ncorrelation:\n");
    for (name, alone, generated) in [("a", false, true), ("b", true, true), ("c", true, true)] {
        assert_eq!(standing(&silent, name), alone, "{name}");
        assert_eq!(standing(&loud, name), generated, "{name}");
    }
    // One correlation that keeps it is enough.
    let both = loud + &correlation("d", "event_count", "a", "  condition: {gte: 3}\n");
    assert!(standing(&both, "a"));
}

#[test]
fn filters_of_the_rules_below_hold() {
    let filter = "title: f\nid: f\nlogsource: {product: test}\nfilter:\n  rules: [a]\n  own: {host: mine}\n  condition: not own\n---\n";
    let text = bases() + filter + &correlation("c", "event_count", "a", "  condition: {gte: 2}\n");
    check(&text, &[(0, of("a", "x")), (1, of("a", "mine")), (2, of("a", "y"))], &[2]);
}

#[test]
fn what_a_correlation_cannot_mean_is_refused() {
    for (kind, rules, rest, reason) in [
        ("nearness", "a", "  condition: {gte: 2}\n", "nearness"),
        ("event_count", "a", "", "condition"),
        ("event_count", "gone", "  condition: {gte: 2}\n", "gone"),
        ("event_count", "x", "  condition: {gte: 2}\n", "refers back"),
        ("event_count", "", "  condition: {gte: 2}\n", "without rules"),
        ("event_count", "a", "  condition: {gte: 2, field: f}\n", "no field"),
        ("event_count", "a", "  condition: {near: 2}\n", ""),
        ("value_count", "a", "  condition: {gte: 2}\n", "field"),
        ("value_sum", "a", "  condition: {gte: 2}\n", "field"),
        ("value_sum", "a", "  condition: {gte: 2, field: [f, g]}\n", "one field"),
        ("value_percentile", "a", "  condition: {gte: 2, field: f, percentile: 101}\n", "101"),
        ("temporal", "a, id-a", "", "same rule"),
    ] {
        let text = bases() + &correlation("x", kind, rules, rest);
        refused_text(&text, "id-x", reason);
    }
    for span in ["0s", "10", "10 s", "-5m", "10y", "ten"] {
        let text = bases()
            + &correlation("x", "event_count", "a", "  condition: {gte: 2}\n").replace("10s", span);
        refused_text(&text, "id-x", "");
    }
}

#[test]
fn a_file_may_hold_rules_filters_and_correlations_in_any_order() {
    let count = correlation("c", "event_count", "a", "  condition: {gte: 2}\n");
    let bad = "title: bad\nid: bad\nlogsource: {product: test}\ndetection: {s: {f|no: x}, condition: s}\n---\n";
    let text = count + bad + &bases();
    let rules = Rules::of([text.as_str()], &Options::default());
    assert_eq!(rules.refused.len(), 1);
    assert_eq!(rules.refused[0].rule.as_deref(), Some("bad"));
    let titles: Vec<&str> = rules.set.rules().iter().map(|rule| rule.title.as_str()).collect();
    assert_eq!(titles, ["a", "b", "c", "c"]);
}

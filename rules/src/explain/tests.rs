//! What is said of rules and events, as a person reads it.

use crate::testing::{Known, Made, compile, compiled, rule};
use crate::{Document, Mapping, Options, Value};

fn told(text: &str, known: &Known, options: &Options, event: &Made<'_>) -> String {
    let set = compiled(text, known, options);
    let last = set.rules().len() - 1;
    let document = Document { name: "test.yml", text };
    let explained = set.explainer(last, &[document], known).unwrap().explain(event);
    if !set.rules()[last].is_correlation() {
        let mut hits = Vec::new();
        set.evaluate_plainly(event, &mut hits);
        assert_eq!(explained.matched(), hits.contains(&last), "{explained}");
    }
    explained.to_string()
}

/// Of one rule around a detection: the explanation without its first line, which says whether it
/// matched.
#[track_caller]
fn check(detection: &str, fields: &[(&str, &str)], expected: &str) {
    let known = Known::default();
    let fields = fields.iter().map(|(name, text)| (*name, Value::Text(text))).collect();
    let event = Made { known: &known, fields, line: "the line" };
    let text = told(&rule(detection), &known, &Options::default(), &event);
    let (_, rest) = text.split_once('\n').unwrap();
    let expected: Vec<&str> =
        expected.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    assert_eq!(rest.lines().collect::<Vec<_>>(), expected, "\n{text}");
}

#[test]
fn a_match_shows_what_stands_where() {
    check(
        "  s:\n    a|endswith: ['x.exe', '\\who.exe']\n    b: Y\n  condition: s",
        &[("a", "C:\\Who.exe"), ("b", "y")],
        "  condition holds: s
    s holds
      a|endswith: '\\who.exe' at 2..10 of 'C:\\Who.exe'
      b: 'Y' is 'y'",
    );
    check(
        "  s:\n    - a: x\n    - a|re: 'b+c'\n      b|contains|all: [p, q]\n  condition: s",
        &[("a", "abbcd"), ("b", "qqp")],
        "  condition holds: s
    s [2 of 2] holds
      a|re: 'b+c' at 1..4 of 'abbcd'
      b|contains|all: 'p' at 2..3 of 'qqp'
      b|contains|all: 'q' at 0..1 of 'qqp'",
    );
    check(
        "  s: ['nowhere', 'LINE']\n  condition: s",
        &[("a", "x")],
        "  condition holds: s
    s holds
      any value: 'LINE' at 4..8 of 'the line'",
    );
}

#[test]
fn what_is_absent_or_nothing_is_said_to_be() {
    check(
        "  s:\n    a: null\n    b|exists: false\n    c|neq: x\n  condition: s",
        &[("c", "y")],
        "  condition holds: s
    s holds
      a: 'null', and there is none
      b|exists: 'false', and there is none
      c|neq: 'y', not 'x'",
    );
    check(
        "  s:\n    a|fieldref|endswith: b\n  condition: s",
        &[("a", "xbx"), ("b", "X")],
        "  condition holds: s
    s holds
      a|fieldref|endswith: 'b', which is 'X', at 2..3 of 'xbx'",
    );
}

#[test]
fn a_miss_shows_the_least_that_would_have_to_be_otherwise() {
    check(
        "  s:\n    a: x\n    b: y\n    c: z\n  condition: s",
        &[("a", "x"), ("b", "why")],
        "  condition does not hold: s
    s does not hold
      b: 'why', not 'y'
      c: absent; wanted 'z'",
    );
    check(
        "  s:\n    - {a: x, b: y, c: z}\n    - {a: x, b: w}\n  condition: s",
        &[("a", "x")],
        "  condition does not hold: s
    s [nearest: 2 of 2] does not hold
      b: absent; wanted 'w'",
    );
    check(
        "  s_1: {a: x, b: y}\n  s_2: {a: z}\n  s_3: {b: z, c: z}\n  condition: 1 of s_*",
        &[("a", "y")],
        "  condition does not hold: 1 of s_*
    s_2 does not hold; 2 others would do, and none holds
      a: 'y', not 'z'",
    );
    check(
        "  s: {a: x}\n  t: {b: y}\n  condition: all of them",
        &[("a", "x")],
        "  condition does not hold: all of them
    t does not hold
      b: absent; wanted 'y'",
    );
    check(
        "  s: [p, q]\n  condition: s",
        &[("a", "x")],
        "  condition does not hold: s
    s does not hold
      any value: nowhere 'p' or 'q'",
    );
}

#[test]
fn what_should_not_hold_shows_why_it_does() {
    let detection =
        "  s: {a: x}\n  f: {b|startswith: k}\n  g: {c: z}\n  condition: s and not (f or g)";
    check(
        detection,
        &[("a", "x"), ("b", "kk")],
        "  condition does not hold: s and not (f or g)
    f holds and must not
      b|startswith: 'k' at 0..1 of 'kk'",
    );
    check(
        detection,
        &[("a", "x"), ("b", "l")],
        "  condition holds: s and not (f or g)
    s holds
      a: 'x' is 'x'
    f does not hold, as it should
      b|startswith: 'l', not 'k'
    g does not hold, as it should
      c: absent; wanted 'z'",
    );
    check(
        "  s:\n    a|neq: x\n    b|neq: y\n  condition: s",
        &[("a", "x")],
        "  condition does not hold: s
    s does not hold
      a|neq: 'x' is 'x'",
    );
}

#[test]
fn of_several_conditions_the_one_that_holds_or_is_nearest_is_shown() {
    let detection = "  s: {a: x, b: y}\n  t: {c: z}\n  condition: [s, t]";
    check(
        detection,
        &[("c", "z")],
        "  condition holds: t
    t holds
      c: 'z' is 'z'",
    );
    check(
        detection,
        &[],
        "  condition does not hold: t
    t does not hold
      c: absent; wanted 'z'",
    );
}

#[test]
fn names_that_are_mapped_are_said_in_both_forms() {
    let known = Known::default();
    let text = "title: t\nlogsource: {category: webserver, product: test}\ndetection:\n  s: {sc-status: 404}\n  condition: s\n";
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let fields = vec![("http.response.status_code", Value::Integer(404))];
    let event = Made { known: &known, fields, line: "" };
    assert_eq!(
        told(text, &known, &options, &event),
        "no match
  log source: the rule is for category=webserver product=test, the event is product=test
    category: not given, not webserver
  condition holds: s
    s holds
      sc-status (http.response.status_code): '404' is '404'
"
    );
}

#[test]
fn a_filter_that_keeps_a_rule_quiet_is_named() {
    let known = Known::default();
    let filter = "title: Ours\nid: f1\nlogsource: {product: test}\nfilter:\n  rules: [rule]\n  ours: {b: y}\n  condition: not ours\n";
    let text = format!("{}---\n{filter}", rule("  s: {a: x}\n  condition: s"));
    let with = |b: &str| {
        let fields = vec![("a", Value::Text("x")), ("b", Value::Text(b))];
        told(&text, &known, &Options::default(), &Made { known: &known, fields, line: "" })
    };
    let loud = "  condition holds: s\n    s holds\n      a: 'x' is 'x'\n";
    assert_eq!(
        with("y"),
        format!(
            "no match
{loud}  filter 'Ours' (f1) keeps it quiet
    condition does not hold: not ours
      ours holds and must not
        b: 'y' is 'y'
"
        )
    );
    assert_eq!(
        with("z"),
        format!(
            "matched
{loud}  filter 'Ours' (f1) lets it pass
    condition holds: not ours
      ours does not hold, as it should
        b: 'z', not 'y'
"
        )
    );
}

#[test]
fn a_correlation_says_what_it_counts_and_which_of_its_rules_matched() {
    let known = Known::default();
    let correlation = "title: Many\nid: many\ncorrelation:\n  type: event_count\n  rules: [rule]\n  group-by: [user]\n  timespan: 5m\n  condition: {gte: 10}\n";
    let text = format!("{}---\n{correlation}", rule("  s: {a: x}\n  condition: s"));
    let fields = vec![("a", Value::Text("x")), ("user", Value::Text("root"))];
    let event = Made { known: &known, fields, line: "" };
    assert_eq!(
        told(&text, &known, &Options::default(), &event),
        "event_count by user: events >= 10 within 300 s
  of rule
    group user='root'
    matched
      condition holds: s
        s holds
          a: 'x' is 'x'
"
    );
}

#[test]
fn what_is_shown_of_an_event_is_bounded_and_steers_no_terminal() {
    let known = Known::default();
    let long = format!("{}\u{1b}[2Jneedle\n{}", "衡".repeat(1000), "y".repeat(5000));
    let fields = std::iter::repeat_n(("b", Value::Text(&long)), 100)
        .chain([("a", Value::Text(long.as_str()))])
        .collect();
    let event = Made { known: &known, fields, line: "" };
    let detection = "  s: {a|contains: needle}\n  t: {b: z}\n  condition: s and t";
    let text = told(&rule(detection), &known, &Options::default(), &event);
    assert!(text.contains("92 more"), "{text}");
    assert!(text.len() < 20 * 1024, "{}", text.len());
    let text = told(
        &rule("  s: {a|contains: needle}\n  condition: s"),
        &known,
        &Options::default(),
        &event,
    );
    assert!(text.contains("at 3004..3010 of '…") || text.contains("at 3004..3010 of …'"), "{text}");
    assert!(text.contains("\\u{1b}[2Jneedle\\nyyy"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
}

#[test]
fn a_text_that_is_missing_or_changed_is_said_to_be() {
    let known = Known::default();
    let text = rule("  s: {a: x}\n  condition: s");
    let (set, _) = compile(&text, &known, &Options::default());
    let explain = |name, text: &str| {
        set.explainer(0, &[Document { name, text }], &known).unwrap_err().to_string()
    };
    assert_eq!(explain("other.yml", &text), "the text of test.yml is not at hand");
    assert_eq!(
        explain("test.yml", ""),
        "test.yml is no longer what was compiled: rule: it is gone"
    );
    assert!(set.explainer(7, &[], &known).is_err());
}

#[test]
fn of_rules_of_one_name_each_is_explained_by_its_own_text() {
    let known = Known::default();
    let text = format!(
        "{}---\n{}",
        rule("  s: {a: x}\n  condition: s"),
        rule("  t: {b: y}\n  condition: t")
    );
    let set = compiled(&text, &known, &Options::default());
    let document = Document { name: "test.yml", text: &text };
    let event = Made { known: &known, fields: vec![("b", Value::Text("y"))], line: "" };
    let matched =
        |index| set.explainer(index, &[document], &known).unwrap().explain(&event).matched();
    assert_eq!([matched(0), matched(1)], [false, true]);
}

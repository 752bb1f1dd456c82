//! `rules eval` and `rules lint` as a user meets them.

use std::fs;

use super::*;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs `eval` over rules (file name, text) and lines of events.
fn run(rules: &[(&str, &str)], events: &str, strict: bool) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in rules {
        let path = folder.path().join("rules").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let path = folder.path().join("events.ndjson");
    fs::write(&path, events).unwrap();
    let args = EvalArgs { rules: vec![folder.path().join("rules")], events: path, strict };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = eval(&args, &mut out, &mut err).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code, out: text(out), err: text(err) }
}

fn rule(id: &str, source: &str, detection: &str) -> String {
    format!(
        "title: Title of {id}\nid: {id}\nname: {id}\nlogsource: {{{source}}}\ndetection:\n  s: {detection}\n  condition: s\n"
    )
}

/// A rule on `source` with `selection`: the lines of `events` it matches.
fn check(source: &str, selection: &str, events: &[&str], expected: &[usize]) {
    let ran = run(&[("a.yml", &rule("x", source, selection))], &events.join("\n"), false);
    let lines: String =
        expected.iter().map(|line| format!("{{\"line\":{line},\"rule\":\"x\"}}\n")).collect();
    assert_eq!((ran.out.as_str(), ran.code), (lines.as_str(), 0), "{selection} {}", ran.err);
}

#[test]
fn every_match_is_one_line_sorted() {
    let untitled = rule("gone", "product: p", "{f: y}").replace("id: gone\n", "");
    let ran = run(
        &[
            ("b/two.yaml", &rule("b", "product: p", "{f: y}")),
            ("a.yml", &rule("c", "product: p", "{f: [y, z]}")),
            ("twice.yml", &rule("b", "product: p", "{f: y}")),
            ("untitled.yml", &untitled),
            ("a.test.yml", "- not: a rule"),
            ("readme.md", "no rule"),
        ],
        "{\"f\":\"z\",\"product\":\"p\"}\n\n{\"f\":\"Y\",\"product\":\"p\"}\n",
        true,
    );
    assert_eq!(
        ran.out,
        "{\"line\":1,\"rule\":\"c\"}\n{\"line\":3,\"rule\":\"Title of gone\"}\n{\"line\":3,\"rule\":\"b\"}\n{\"line\":3,\"rule\":\"c\"}\n"
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn the_log_source_is_said_or_seen() {
    check("product: p", "{f: y}", &[r#"{"f":"y","_ls_product":"p"}"#, r#"{"f":"y"}"#], &[1]);
    let sysmon = r#""Channel":"Microsoft-Windows-Sysmon/Operational","EventID":"12""#;
    for (category, expected) in
        [("registry_event", &[1, 2][..]), ("registry_delete", &[1]), ("registry_set", &[])]
    {
        check(
            &format!("product: windows, category: {category}"),
            "{EventID: 12}",
            &[
                &format!("{{{sysmon},\"EventType\":\"DeleteKey\"}}"),
                &format!("{{{sysmon},\"EventType\":\"CreateKey\",\"_ls_product\":\"other\"}}"),
            ],
            expected,
        );
    }
    check("service: sshd", "{f: y}", &[r#"{"f":"y","event":{"dataset":"sshd"}}"#], &[1]);
}

#[test]
fn keys_of_the_log_source_are_no_fields_unless_others_say_it() {
    let plain = r#"{"product":"p","category":"needle","f":"y"}"#;
    let said = r#"{"_ls_product":"p","category":"needle","f":"y"}"#;
    check("product: p", "{category: needle}", &[plain, said], &[2]);
    check("product: p", "[needle]", &[plain, said], &[2]);
    check("product: p", "{category: null}", &[plain, said], &[1]);
    let hidden = r#"{"product":"p","__note":"needle","_x":"needle"}"#;
    check("product: p", "[needle]", &[hidden], &[]);
    check("product: p", "{_x: needle}", &[hidden], &[]);
    check("product: p", "{f: y}", &[r#"{"_ls_service":"s","product":"p","f":"y"}"#], &[]);
}

#[test]
fn names_reach_down_by_dots_the_literal_key_first() {
    let event = |json: &str| json.replacen('{', "{\"product\":\"p\",", 1);
    let nested = event(r#"{"a":{"b":{"c":"y"}}}"#);
    let literal = event(r#"{"a.b.c":"n","a":{"b":{"c":"y"}}}"#);
    let half = event(r#"{"a.b":{"c":"y"}}"#);
    let array = event(r#"{"a":[{"b":{"c":"n"}},{"b":{"c":["x","y"]}}]}"#);
    let case = event(r#"{"A":{"b":{"c":"y"}}}"#);
    check("product: p", "{a.b.c: y}", &[&nested, &literal, &half, &array, &case], &[1, 3, 4]);
    let spaced = event(r#"{"New Value":"y","x":{"Old Value":"y"}}"#);
    check("product: p", "{NewValue: y, x.OldValue: y}", &[&spaced], &[1]);
    let kinds = event(r#"{"i":5,"f":1.5,"t":true,"n":null,"e":[],"o":{"k":"deep"}}"#);
    check("product: p", "{i: '5', f: 1.5, t: true, n: null, e: null}", &[&kinds], &[1]);
    check("product: p", "{e|exists: true, n|exists: true, o|contains: deep}", &[&kinds], &[1]);
    check("product: p", "['DEE']", &[&kinds], &[1]);
    let big = event(r#"{"b":18446744073709551615}"#);
    check("product: p", "{b: '18446744073709551615'}", &[&big], &[1]);
}

fn with_correlation(generate: bool) -> String {
    let correlation = "title: many\nid: many\ncorrelation:\n  type: event_count\n  rules: [x]\n  group-by: [host]\n  timespan: 1m\n  condition: {gte: 2}\n";
    let generate = if generate { "generate: true\n" } else { "" };
    format!("{}---\n{correlation}{generate}", rule("x", "product: p", "{f: y}"))
}

#[test]
fn a_correlation_prints_at_the_line_that_completes_it() {
    let event = |time: &str| format!("{{\"product\":\"p\",\"f\":\"y\",\"host\":\"h\"{time}}}");
    let events = [
        event(",\"@timestamp\":\"2026-01-01T00:00:00Z\""),
        // Two hours on by its own zone, so not within the minute.
        event(",\"@timestamp\":\"2026-01-01T00:00:30-02:00\""),
        event(",\"_time\":1767225659,\"@timestamp\":\"1999-01-01T00:00:00Z\""),
        // That of the line before.
        event(""),
        event(",\"_time\":\"1767225900000\""),
    ]
    .join("\n");
    let ran = run(&[("a.yml", &with_correlation(false))], &events, false);
    assert_eq!(ran.out, "{\"line\":3,\"rule\":\"many\"}\n{\"line\":4,\"rule\":\"many\"}\n");
    let ran = run(&[("a.yml", &with_correlation(true))], &events, false);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 7, "{}", ran.out);
    assert_eq!(lines[2..4], ["{\"line\":3,\"rule\":\"many\"}", "{\"line\":3,\"rule\":\"x\"}"]);
}

#[test]
fn what_is_refused_is_said_and_the_rest_runs() {
    let rules = [
        ("bad.yml", &*rule("bad", "product: p", "{f|nonsense: y}")),
        ("good.yml", &rule("good", "product: p", "{f: y}")),
    ];
    let event = r#"{"product":"p","f":"y"}"#;
    let ran = run(&rules, event, false);
    assert_eq!((ran.out.as_str(), ran.code), ("{\"line\":1,\"rule\":\"good\"}\n", 0));
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains("bad.yml: bad: ") && ran.err.contains("nonsense"), "{}", ran.err);
    assert_eq!(run(&rules, event, true).code, 2);
    assert_eq!(run(&rules[1..], event, true).code, 0);
}

#[test]
fn lines_that_are_no_objects_are_said_and_passed_over() {
    let events = "nonsense\n[1]\n{\"product\":\"p\",\"f\":\"y\"}\n\u{feff}{}\n";
    let rules = [("good.yml", &*rule("good", "product: p", "{f: y}"))];
    let ran = run(&rules, events, false);
    assert_eq!((ran.out.as_str(), ran.code), ("{\"line\":3,\"rule\":\"good\"}\n", 0));
    assert_eq!(ran.err.lines().count(), 3, "{}", ran.err);
    assert!(ran.err.contains("events.ndjson:1: "), "{}", ran.err);
    assert_eq!(run(&rules, events, true).code, 2);
}

#[test]
fn what_is_not_there_is_for_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_path_buf();
    for (rules, events) in [(here.join("gone"), here.clone()), (here.clone(), here.join("gone"))] {
        let args = EvalArgs { rules: vec![rules], events, strict: false };
        let mut err = Vec::new();
        assert_eq!(eval(&args, &mut Vec::new(), &mut err).unwrap(), 2);
        let err = String::from_utf8(err).unwrap();
        assert!(err.lines().count() == 1 && err.contains("gone"), "{err}");
    }
}

/// Runs `bench`: exit code, figures in order, what was said on the error stream.
fn bench_of(
    rules: &[(&str, &str)],
    events: &str,
    strict: bool,
) -> (i32, Vec<(String, f64, String)>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in rules {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().join("events.ndjson");
    fs::write(&path, events).unwrap();
    let args = BenchArgs { rules: vec![folder.path().to_path_buf()], events: path, strict };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = bench(&args, &mut out, &mut err).unwrap();
    let figures = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| {
            let [name, value, unit] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("not a name, a value and a unit: {line}");
            };
            (name.to_owned(), value.parse().unwrap(), unit.to_owned())
        })
        .collect();
    (code, figures, String::from_utf8(err).unwrap())
}

#[test]
fn bench_says_what_it_measured() {
    let rules = [
        ("bad.yml", &*rule("bad", "product: p", "{f|nonsense: y}")),
        ("good.yml", &rule("good", "product: p", "{f: y}")),
        ("other.yml", &rule("other", "product: q", "{f: y}")),
    ];
    let line = r#"{"product":"p","f":"y"}"#;
    let events = format!("{line}\n\nnonsense\n{line}\n{{\"product\":\"p\",\"f\":\"n\"}}\n");
    let (code, figures, err) = bench_of(&rules, &events, false);
    assert_eq!(code, 0);
    let named: Vec<(&str, &str)> =
        figures.iter().map(|(name, _, unit)| (name.as_str(), unit.as_str())).collect();
    assert_eq!(
        named,
        [
            ("decoded", "events/s"),
            ("parsed", "events/s"),
            ("rules", "rules"),
            ("refused", "rules"),
            ("hits", "hits"),
            ("compile_ms", "ms"),
            ("rss_mib", "MiB"),
        ]
    );
    let values: Vec<f64> = figures.iter().map(|(_, value, _)| *value).collect();
    assert!(values[0] > 0.0 && values[1] > 0.0 && values[6] > 1.0, "{values:?}");
    assert_eq!(values[2..5], [2.0, 1.0, 2.0]);
    assert!(err.contains("bad.yml: bad: ") && err.contains("events.ndjson:3: "), "{err}");
    assert_eq!(bench_of(&rules, &events, true).0, 2);
    assert_eq!(bench_of(&rules[1..], line, true).0, 0);
    let (code, figures, err) = bench_of(&rules[1..], "\n", false);
    assert!(code == 2 && figures.is_empty() && err.contains("no events"), "{err}");
}

#[test]
fn lint_finds_what_is_wrong() {
    let lint = |rules: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in rules {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let args = LintArgs { rules: vec![folder.path().to_path_buf()] };
        let mut out = Vec::new();
        let code = lint_rules(&args, &mut out, &mut Vec::new()).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let good = "title: Something Happened\nid: 929a690e-bef0-4204-a928-ef5e620d6fcc\nstatus: test\ndescription: Detects that something happened that is worth looking at\nauthor: Hengwei\ndate: 2026-01-01\ntaxonomy: ecs\nlogsource:\n    product: linux\ndetection:\n    selection:\n        event.action: something\n    condition: selection\nfalsepositives:\n    - Unknown\nlevel: high\ntags:\n    - attack.execution\nhengwei:\n    entity: host.name\n";
    assert_eq!(lint(&[("good.yml", good)]), (0, String::new()));
    let (code, out) = lint(&[("a.yml", good), ("b.yml", good)]);
    assert!(code == 1 && out.contains("is also in"), "{out}");
    let (code, out) = lint(&[("a.yml", &good.replace("action:", "action|nonsense:"))]);
    assert!(code == 1 && out.contains("refused") && out.contains("nonsense"), "{out}");
    let (code, out) = lint(&[("a.yml", &good.replace("2026-01-01", "yesterday"))]);
    assert!(code == 1 && out.contains("a.yml:") && out.contains("date"), "{out}");
}

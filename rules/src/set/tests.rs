//! Conditions, heads, filters, log sources, and what is refused.

use crate::testing::{Known, Made, compile, compiled, rule};
use crate::{Document, Level, LogSource, Mapping, Options, Set, Value};

fn ids(set: &Set, known: &Known, fields: &[(&str, Value<'_>)]) -> Vec<String> {
    let event = Made { known, fields: fields.to_vec(), line: "" };
    let mut hits = Vec::new();
    set.evaluate(&event, &mut crate::Scratch::new(), &mut hits);
    hits.iter().map(|index| set.rules()[*index].key().to_owned()).collect()
}

fn condition(condition: &str, fields: &[&str], expected: bool) {
    let known = Known::default();
    let names = ["sel_a", "sel_b", "filter", "_hidden"];
    let selections: String =
        names.iter().map(|name| format!("  {name}: {{{name}: y}}\n")).collect();
    let set = compiled(
        &rule(&format!("{selections}  condition: {condition}")),
        &known,
        &Options::default(),
    );
    let fields: Vec<(&str, Value<'_>)> =
        fields.iter().map(|name| (*name, Value::Text("y"))).collect();
    assert_eq!(!ids(&set, &known, &fields).is_empty(), expected, "{condition} {fields:?}");
}

#[test]
fn conditions() {
    condition("sel_a and not filter", &["sel_a"], true);
    condition("sel_a and not filter", &["sel_a", "filter"], false);
    condition("sel_a or sel_b and filter", &["sel_a"], true);
    condition("(sel_a or sel_b) and filter", &["sel_a"], false);
    condition("1 of sel_*", &["sel_b"], true);
    condition("any of sel_*", &["sel_b"], true);
    condition("all of sel_*", &["sel_b"], false);
    condition("all of sel_*", &["sel_a", "sel_b"], true);
    condition("2 of them", &["sel_a", "filter"], true);
    condition("2 of them", &["sel_a", "_hidden"], false);
    condition("1 of them", &["_hidden"], false);
    condition("_hidden", &["_hidden"], true);
    condition("not 1 of them", &[], true);
    condition("[sel_a, filter]", &["filter"], true);
    condition("[sel_a, filter]", &["sel_b"], false);
}

#[test]
fn maps_lists_and_lists_of_maps() {
    let known = Known::default();
    let check = |selection: &str, fields: &[(&str, &str)], expected: bool| {
        let text = rule(&format!("  s: {selection}\n  condition: s"));
        let set = compiled(&text, &known, &Options::default());
        let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, Value::Text(text))).collect();
        assert_eq!(!ids(&set, &known, &fields).is_empty(), expected, "{selection} {fields:?}");
    };
    check("{a: x, b: y}", &[("a", "x"), ("b", "y")], true);
    check("{a: x, b: y}", &[("a", "x")], false);
    check("[{a: x}, {b: y, c: z}]", &[("a", "x")], true);
    check("[{a: x}, {b: y, c: z}]", &[("b", "y")], false);
    check("[{a: x}, {b: y, c: z}]", &[("b", "y"), ("c", "z")], true);
}

#[test]
fn a_rule_applies_by_log_source() {
    let known = Known::default();
    let check = |source: &str, expected: bool| {
        let text = format!(
            "title: t\nid: x\nlogsource: {source}\ndetection:\n  s: {{f: y}}\n  condition: s\n"
        );
        let set = compiled(&text, &known, &Options::default());
        let found = ids(&set, &known, &[("f", Value::Text("y"))]);
        assert_eq!(!found.is_empty(), expected, "{source}");
    };
    check("{product: test}", true);
    check("{product: test, service: x}", false);
    check("{product: tes}", false);
    check("{category: test}", false);
}

#[test]
fn sigma_names_become_ecs_names() {
    let known = Known::default();
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let check = |head: &str, options: &Options, field: &str, expected: bool| {
        let text = format!(
            "title: t\nid: x\n{head}logsource: {{category: webserver}}\ndetection:\n  s: {{sc-status: 404}}\n  condition: s\n"
        );
        let set = compiled(&text, &known, options);
        struct Web<'a>(Made<'a>);
        impl crate::Event for Web<'_> {
            fn any(&self, key: crate::Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
                self.0.any(key, see)
            }
            fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
                self.0.any_value(see)
            }
            fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
                see(&LogSource::new(Some("webserver"), Some("nginx"), None))
            }
        }
        let fields = vec![(field, Value::Integer(404))];
        let mut hits = Vec::new();
        set.evaluate(
            &Web(Made { known: &known, fields, line: "" }),
            &mut crate::Scratch::new(),
            &mut hits,
        );
        assert_eq!(!hits.is_empty(), expected, "{head:?} {field}");
    };
    check("", &options, "http.response.status_code", true);
    check("", &options, "sc-status", false);
    check("taxonomy: ecs\n", &options, "sc-status", true);
    check("", &Options::default(), "sc-status", true);
}

#[test]
fn a_filter_narrows_the_rules_it_names() {
    let known = Known::default();
    let rules = |filter: &str| {
        let one = |id: &str, name: &str| {
            format!(
                "title: {id}\nid: {id}\nname: {name}\nlogsource: {{product: test}}\ndetection:\n  selection: {{f: y}}\n  condition: selection\n---\n"
            )
        };
        format!("{}{}{filter}", one("first", "uno"), one("second", "due"))
    };
    let check = |source: &str, names: &str, condition: &str, admin: bool, expected: &[&str]| {
        let filter = format!(
            "title: filter\nid: f\nlogsource: {{{source}}}\nfilter:\n  rules: {names}\n  selection: {{user|startswith: adm_}}\n  condition: {condition}\n"
        );
        let set = compiled(&rules(&filter), &known, &Options::default());
        let user = if admin { "adm_x" } else { "bob" };
        let fields = [("f", Value::Text("y")), ("user", Value::Text(user))];
        assert_eq!(ids(&set, &known, &fields), expected, "{names} {condition} {user}");
    };
    check("product: test", "[first]", "not selection", true, &["second"]);
    check("product: test", "[first]", "not selection", false, &["first", "second"]);
    check("product: test", "[due]", "not selection", true, &["first"]);
    check("product: test", "any", "not selection", true, &[]);
    check("product: test", "[first]", "selection", true, &["first", "second"]);
    check("product: test", "[first]", "selection", false, &["second"]);
    check("product: other", "any", "not selection", true, &["first", "second"]);
    check("category: x, product: test", "any", "not selection", true, &["first", "second"]);
}

#[test]
fn heads_are_kept() {
    let known = Known::default();
    let text = "title: Title\nid: abc\nname: short\nstatus: test\ndescription: Text\nlevel: high\nauthor: me\ntags: [attack.t1110]\nfalsepositives: [none]\nreferences: [https://example.org]\nlogsource: {category: c, product: p, service: s}\nhengwei:\n  entity: [source.ip, user.name]\n  joins: other\n  title_zh: 标题\n  advice: {zh: 做, en: do}\nhengwei.description_zh: 说明\ndetection:\n  s: {f: y}\n  condition: s\n";
    let set = compiled(text, &known, &Options::default());
    let (index, rule) = set.by_id("abc").unwrap();
    assert_eq!((index, set.by_key("abc")), (0, Some(0)));
    assert_eq!((rule.title.as_str(), rule.name.as_deref()), ("Title", Some("short")));
    assert_eq!((rule.level, rule.status), (Level::High, "test"));
    assert_eq!(rule.log_source, LogSource::new(Some("c"), Some("p"), Some("s")));
    assert_eq!((rule.tags.len(), rule.falsepositives.len(), rule.references.len()), (1, 1, 1));
    assert_eq!((rule.author.as_str(), rule.document.as_str()), ("me", "test.yml"));
    assert_eq!(rule.attributes.entity, ["source.ip", "user.name"]);
    assert_eq!(rule.attributes.joins.as_deref(), Some("other"));
    assert_eq!(rule.attributes.title_zh.as_deref(), Some("标题"));
    assert_eq!(rule.attributes.description_zh.as_deref(), Some("说明"));
    assert_eq!(rule.attributes.advice["zh"], "做");
    assert!(rule.standalone && !rule.is_base() && !rule.is_correlation());
    assert!(Level::Critical > Level::High && Level::default() == Level::Informational);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let check = |text: &str, reason: &str| {
        let (set, refused) = compile(text, &Known::default(), &Options::default());
        assert!(set.rules().is_empty(), "{text}");
        assert_eq!(refused.len(), 1, "{text}: {refused:?}");
        assert_eq!(refused[0].rule.as_deref(), Some("x"), "{text}");
        assert!(refused[0].reason.contains(reason), "{:?} lacks {reason:?}", refused[0].reason);
        assert_eq!(refused[0].to_string(), format!("test.yml: x: {}", refused[0].reason));
    };
    let rule = |head: &str, selection: &str, condition: &str| {
        format!("title: t\nid: x\n{head}\ndetection:\n  s: {selection}\n  condition: {condition}\n")
    };
    let head = "logsource: {product: test}";
    check(&rule(head, "{f: y}", "t"), "no selection \"t\"");
    check(&rule(head, "{f: y}", "1 of t*"), "names no selection");
    check(&rule(head, "{f: y}", "0 of them"), "0 selections");
    check(&rule(head, "{}", "s"), "empty map");
    check(&rule(head, "[]", "s"), "empty list");
    check(&rule("logsource: {}", "{f: y}", "s"), "no log source");
    check(&rule("", "{f: y}", "s"), "no log source");
    check(&rule("logsource: {product: test, zone: x}", "{f: y}", "s"), "zone");
    check(&rule(&format!("{head}\ntaxonomy: ocsf"), "{f: y}", "s"), "ocsf");
    check(&rule(&format!("{head}\nsigma-version: 3"), "{f: y}", "s"), "sigma-version");
    check(&rule(&format!("{head}\nlevel: severe"), "{f: y}", "s"), "severe");
    check(&rule(&format!("{head}\nhengwei: {{entities: a}}"), "{f: y}", "s"), "hengwei.entities");
    check(
        "title: t\nid: x\nlogsource: {product: test}\ndetection:\n  s: {f: y}\n  condition: s\n  timeframe: 5m\n",
        "timeframe",
    );
    let correlation = |inner: &str| format!("title: t\nid: x\ncorrelation:\n{inner}");
    check(
        &correlation(
            "  type: event_count\n  rules: [gone]\n  group-by: [a]\n  timespan: 5m\n  condition: {gte: 5}\n",
        ),
        "gone",
    );
    check(
        &correlation(
            "  type: event_count\n  rules: [x]\n  group-by: [a]\n  timespan: 5m\n  condition: {gte: 5}\n",
        ),
        "refers back",
    );
    check(&correlation("  type: nearness\n  rules: [x]\n  timespan: 5m\n"), "nearness");
}

#[test]
fn the_rest_of_a_file_is_used() {
    let known = Known::default();
    let good = rule("  s: {f: y}\n  condition: s");
    let bad = "title: bad\nid: bad\nlogsource: {product: test}\ndetection:\n  s: {f|no: y}\n  condition: s\n";
    let documents = [
        Document { name: "one.yml", text: &format!("{bad}---\n{good}") },
        Document { name: "two.yml", text: "]" },
    ];
    let (set, refused) = Set::compile(documents, &known, &Options::default());
    assert_eq!(ids(&set, &known, &[("f", Value::Text("y"))]), ["rule"]);
    assert_eq!(refused.len(), 2);
    assert_eq!(
        (refused[0].document.as_str(), refused[0].rule.as_deref()),
        ("one.yml", Some("bad"))
    );
    assert_eq!((refused[1].document.as_str(), refused[1].rule.as_deref()), ("two.yml", None));
}

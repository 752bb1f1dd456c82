//! Events as rules see them, compared with the plain reading of the same lines.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hengwei_rules::Names;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::tree::Tree;
use super::*;

fn shown(value: Value<'_>) -> String {
    format!("{value:?}")
}

fn values(event: &JsonEvent<'_>, key: Key) -> Vec<String> {
    let mut found = Vec::new();
    event.any(key, &mut |value| {
        found.push(shown(value));
        false
    });
    found
}

fn read<'e>(line: &str, names: &Interned, events: &'e mut JsonEvents) -> JsonEvent<'e> {
    events.clear();
    events.push(line, names).unwrap();
    events.get(0).unwrap()
}

/// Every name that any way down an object has.
fn names_in(value: &Json, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Json::Object(inner) => {
            for (key, value) in inner {
                let key = key.replace(' ', "");
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                found.insert(path.clone());
                names_in(value, &path, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| names_in(item, path, found)),
        _ => {}
    }
}

/// An object's text where a key of it is said twice is as written, duplicates and all.
fn without_objects(values: Vec<String>) -> Vec<String> {
    let object = |value: String| match value.starts_with("Text(\"{") {
        true => "an object".to_owned(),
        false => value,
    };
    values.into_iter().map(object).collect()
}

/// That the event and the plain reading of it agree on everything one can ask.
fn compare(line: &str, objects: bool) {
    let interned = Interned::default();
    let mut events = JsonEvents::new();
    let event = read(line, &interned, &mut events);
    let Json::Object(object) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
    let mut asked = BTreeSet::from(["absent".to_owned(), "a.absent".to_owned()]);
    names_in(&Json::Object(object.clone()), "", &mut asked);
    let tree = Tree::new(object);
    let side = |values| if objects { values } else { without_objects(values) };
    let mut wanted = Vec::new();
    let mut expected = Vec::new();
    for name in &asked {
        let key = interned.key(name);
        let plain: Vec<String> =
            side(tree.values(name).iter().map(|found| format!("{found:?}")).collect());
        assert_eq!(side(values(&event, key)), plain, "{name} of {line}");
        wanted.push(key);
        expected.extend(plain.into_iter().map(|value| (key, value)));
    }
    wanted.sort_unstable();
    let wanted = Wanted::new(wanted);
    let mut visited = Vec::new();
    event.visit(&wanted, &mut |place, value| visited.push((wanted.keys()[place], shown(value))));
    let mut visited: Vec<(Key, String)> = visited
        .into_iter()
        .flat_map(|(key, value)| side(vec![value]).into_iter().map(move |value| (key, value)))
        .collect();
    visited.sort();
    expected.sort();
    assert_eq!(visited, expected, "{line}");
    let mut leaves = Vec::new();
    event.any_value(&mut |value| {
        leaves.push(shown(value));
        false
    });
    let mut plain: Vec<String> = tree.leaves().iter().map(|found| format!("{found:?}")).collect();
    leaves.sort();
    plain.sort();
    assert_eq!(leaves, plain, "{line}");
    tree.origin(|origin| assert_eq!(event.origin(), origin, "{line}"));
}

#[test]
fn events_read_as_the_plain_reading_of_them() {
    for line in [
        r#"{}"#,
        r#"{"a":1,"b":-1.5,"c":true,"d":null,"e":[],"f":"x","g":[1,["y",[]],null]}"#,
        r#"{"a":{"b":{"c":"y"}},"a.b.c":"n"}"#,
        r#"{"a.b":{"c":1},"a":{"b":{"c":2,"d":3}}}"#,
        r#"{"a":{"b.c":1,"b":{"c":2}},"a.b":{"c":3}}"#,
        r#"{"a.b":[],"a":{"b":{"c":2}}}"#,
        r#"{"a.b":[{}],"a":[{"b":{"c":2}},{"b.c":3,"b":[{"c":4}]},5]}"#,
        r#"{"New Value":"y","x":{"Old Value":"y","o":[{" p ":1}]}}"#,
        r#"{"a":18446744073709551615,"b":{"c":18446744073709551615,"d":1e3,"e":"\"\\\n衡"}}"#,
        r#"{"a":"C:\\x\ty","é":{"è\u0000":["ü"]}}"#,
        r#"{"_ls_product":{"a":1},"_time":[1],"_x":{"a":1},"product":{"name":"x"}}"#,
        r#"{"product":[18446744073709551615]}"#,
        r#"{"product":[["p"],"q"],"service":{"name":"x"},"category.x":"y"}"#,
        r#"{"Channel":["Security","x"],"EventID":[" 4688 "],"EventType":["a"],"event":[{"dataset":"sshd"}]}"#,
        r#"{"EventID":1,"EventType":"CreateKey"}"#,
        r#"{"":{"":1},".":2}"#,
    ] {
        compare(line, true);
    }
}

#[test]
fn a_key_said_twice_has_one_value() {
    for line in [
        r#"{"a":1,"a":2}"#,
        r#"{"a b":1,"ab":2}"#,
        r#"{"a b":1,"ab":2,"a b":3,"a  b":4}"#,
        r#"{"a":{"x":1},"a":{"y":2},"c":[{"a":1,"a":{"b":2}}]}"#,
        r#"{"a.b":1,"a":{"b":2},"a.b":{"c":3},"a":{"b":4,"d":5}}"#,
        r#"{"_ls_product":"a","_ls_product":"b","Channel":"x","Channel":"y"}"#,
    ] {
        compare(line, false);
    }
}

#[test]
fn a_dotted_name_below_a_key_of_the_log_source_is_a_field() {
    let interned = Interned::default();
    let mut events = JsonEvents::new();
    let event = read(r#"{"product":"p","service.name":"x"}"#, &interned, &mut events);
    assert_eq!(values(&event, interned.key("service.name")), [r#"Text("x")"#]);
    assert_eq!(values(&event, interned.key("product")), [""; 0]);
}

#[test]
fn events_of_different_origins_spell_them_differently() {
    let mut lines: Vec<String> = [
        r#"{"f":"x"}"#,
        r#"{"product":"ab","category":"c"}"#,
        r#"{"product":"a","category":"bc"}"#,
        r#"{"service":"ab"}"#,
        r#"{"_ls_service":"ab"}"#,
        r#"{"Channel":"ab"}"#,
        r#"{"Channel":"ab","EventID":1}"#,
        r#"{"Channel":"ab","EventID":"12345678"}"#,
        r#"{"Channel":"ab","EventType":"1"}"#,
        r#"{"event.dataset":"ab"}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    let number = i64::from_le_bytes(*b"12345678");
    lines.push(format!("{{\"Channel\":\"ab\",\"EventID\":{number}}}"));
    let interned = Interned::default();
    let mut events = JsonEvents::new();
    let mut spell = |line: &str| {
        let mut out = Vec::new();
        read(line, &interned, &mut events).spell_origin(&mut out);
        out
    };
    let spelt: BTreeSet<Vec<u8>> = lines.iter().map(|line| spell(line)).collect();
    assert_eq!(spelt.len(), lines.len());
    let same = r#"{"_ls_service":"ab","_time":1,"product":"x","@timestamp":2,"f":"x"}"#;
    assert_eq!(spell(same), spell(r#"{"_ls_service":"ab","product":"y","_time":3}"#));
}

#[test]
fn a_line_that_is_none_leaves_nothing() {
    let interned = Interned::default();
    let mut events = JsonEvents::new();
    events.push(r#"{"a":"first"}"#, &interned).unwrap();
    for (line, reason) in [
        ("[1]", "not a JSON object"),
        ("7", "not a JSON object"),
        (r#"{"a":"lost","b":{"c":1"#, "EOF"),
        (r#"{"a":"lost"} more"#, "trailing"),
        ("\u{feff}{}", "expected value"),
    ] {
        let error = events.push(line, &interned).unwrap_err().to_string();
        assert!(error.contains(reason), "{line}: {error}");
    }
    events.push(r#"{"b":{"c":["last"]}}"#, &interned).unwrap();
    assert_eq!(events.len(), 2);
    let all: Vec<_> = events.iter().collect();
    assert_eq!(values(&all[0], interned.key("a")), [r#"Text("first")"#]);
    assert_eq!(values(&all[1], interned.key("a")), [""; 0]);
    assert_eq!(values(&all[1], interned.key("b.c")), [r#"Text("last")"#]);
}

/// JSON as text can be, keys said twice included.
#[derive(Debug, Clone)]
enum Made {
    Scalar(&'static str),
    Array(Vec<Made>),
    Object(Vec<(&'static str, Made)>),
}

impl Made {
    fn write(&self, out: &mut String) {
        match self {
            Made::Scalar(text) => out.push_str(text),
            Made::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { " , " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Made::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { " " });
                    write!(out, "{}: ", Json::from(*key)).unwrap();
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "a.b",
    "b.c",
    "a.b.c",
    "a b",
    "ab",
    "c d",
    "",
    ".",
    "é",
    "_x",
    "x._y",
    "product",
    "service.a",
    "_ls_category",
    "_time",
    "Channel",
    "EventID",
    "EventType",
    "event",
    "dataset",
    "event.dataset",
    "@timestamp",
];
const SCALARS: &[&str] = &[
    "1",
    "-7",
    "2.5",
    "18446744073709551615",
    "true",
    "null",
    r#""x""#,
    r#""""#,
    r#""a\\b\"c""#,
    r#""\u00e9 衡""#,
    r#""Security""#,
    r#""12""#,
];

fn object() -> impl Strategy<Value = Made> {
    let leaf = prop::sample::select(SCALARS).prop_map(Made::Scalar);
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Made::Array),
            members(inner).prop_map(Made::Object),
        ]
    });
    members(value).prop_map(Made::Object)
}

fn members(value: impl Strategy<Value = Made>) -> impl Strategy<Value = Vec<(&'static str, Made)>> {
    prop::collection::vec((prop::sample::select(KEYS), value), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn any_event_reads_as_the_plain_reading_of_it(made in object()) {
        let mut line = String::new();
        made.write(&mut line);
        compare(&line, false);
    }
}

//! Text and events from outside: whatever they are, nothing panics.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::cell::RefCell;

use hengwei_rules::{
    BaseHit, Correlator, Document, Event, Key, LogSource, Mapping, Names, Options, Reference, Set,
    Value, lint,
};
use proptest::prelude::*;

#[derive(Default)]
struct Known(RefCell<Vec<String>>);

impl Names for Known {
    fn key(&self, name: &str) -> Key {
        let mut names = self.0.borrow_mut();
        let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        Key(u32::try_from(index).unwrap())
    }
}

#[derive(Debug, Clone)]
enum Owned {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    Address([u8; 16]),
}

struct Any<'a>(&'a [Owned]);

impl Any<'_> {
    fn each(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.0.iter().any(|value| {
            see(match value {
                Owned::Null => Value::Null,
                Owned::Text(text) => Value::Text(text),
                Owned::Integer(number) => Value::Integer(*number),
                Owned::Number(number) => Value::Number(*number),
                Owned::Flag(flag) => Value::Flag(*flag),
                Owned::Address(bytes) => Value::Address((*bytes).into()),
            })
        })
    }
}

impl Event for Any<'_> {
    fn any(&self, _: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.each(see)
    }

    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.each(see)
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        see(&LogSource::new(None, Some("p"), None))
    }
}

fn values() -> impl Strategy<Value = Vec<Owned>> {
    let one = prop_oneof![
        Just(Owned::Null),
        any::<String>().prop_map(Owned::Text),
        "[a-zA-Z0-9 /\\\\*?.:–—-]{0,40}".prop_map(Owned::Text),
        any::<i64>().prop_map(Owned::Integer),
        any::<f64>().prop_map(Owned::Number),
        any::<bool>().prop_map(Owned::Flag),
        any::<[u8; 16]>().prop_map(Owned::Address),
    ];
    prop::collection::vec(one, 0..4)
}

/// Compiles, evaluates, explains, feeds.
fn use_all(text: &str, values: &[Owned], times_ns: [i64; 3]) {
    let known = Known::default();
    for mapping in [Mapping::AsWritten, Mapping::Ecs] {
        let options = Options { mapping, ..Options::default() };
        let (set, refused) = Set::compile([Document { name: "d", text }], &known, &options);
        for refusal in refused {
            assert!(!refusal.to_string().contains('\n'), "{refusal}");
        }
        let event = Any(values);
        let mut hits = Vec::new();
        set.evaluate(&event, &mut hengwei_rules::Scratch::new(), &mut hits);
        for (index, rule) in set.rules().iter().enumerate() {
            let documents = [Document { name: "d", text }];
            let explained = set.explainer(index, &documents, &known).unwrap().explain(&event);
            let shown = explained.to_string();
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
            if !rule.is_correlation() {
                assert_eq!(explained.matched(), hits.contains(&index), "{shown}");
            }
        }
        let mut correlator = Correlator::new();
        for index in hits {
            for time_ns in times_ns {
                let reference = Reference::new("l", "t");
                if let Some(hit) = set.base_hit(index, &event, time_ns, 1, reference) {
                    let json = serde_json::to_vec(&hit).unwrap();
                    assert_eq!(serde_json::from_slice::<BaseHit>(&json).unwrap(), hit);
                    correlator.feed(&set, &hit);
                    set.groups(&hit);
                }
                correlator.prune(&set, time_ns);
            }
        }
        Correlator::restore(&correlator.snapshot()).unwrap();
    }
    lint(text);
}

const MODIFIERS: &[&str] = &[
    "contains",
    "startswith",
    "endswith",
    "all",
    "base64",
    "base64offset",
    "wide",
    "utf16",
    "utf16be",
    "windash",
    "re",
    "cidr",
    "cased",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "lte",
    "neq",
    "i",
    "m",
    "s",
    "minute",
    "week",
    "year",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>(), values in values()) {
        use_all(&text, &values, [0, i64::MIN, i64::MAX]);
    }

    #[test]
    fn any_detection(
        modifiers in prop::collection::vec(prop::sample::select(MODIFIERS), 0..4),
        written in prop_oneof![any::<String>(), "[a-z%*?\\\\/.(){}\\[\\]|^$+0-9–-]{0,20}"],
        condition in prop_oneof![
            3 => Just("s".to_owned()),
            1 => "[()s ]{0,20}|(not )*s|[0-9] of (them|s\\*)|s( (and|or|not) s){0,4}",
        ],
        values in values(),
        times_ns in any::<[i64; 3]>(),
        kind in prop::sample::select(&[
            "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg",
            "value_percentile", "value_median",
        ][..]),
    ) {
        let key = std::iter::once("f").chain(modifiers).collect::<Vec<_>>().join("|");
        let quoted = serde_json::Value::String(written).to_string();
        let condition = serde_json::Value::String(condition);
        let field = if kind.starts_with("value") { ", field: f" } else { "" };
        let text = format!(
            "title: t\nid: a\nlogsource: {{product: p}}\ndetection:\n  s:\n    '{key}': {quoted}\n  condition: {condition}\n---\ntitle: c\nid: c\ncorrelation:\n  type: {kind}\n  rules: [a]\n  group-by: [f, g]\n  timespan: 1h\n  condition: {{gte: 1{field}}}\n"
        );
        use_all(&text, &values, times_ns);
    }

    #[test]
    fn any_snapshot(bytes in any::<Vec<u8>>(), json in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        let _ = Correlator::restore(&bytes);
        let _ = Correlator::restore(format!("HWCS\u{1}{json}").as_bytes());
    }
}

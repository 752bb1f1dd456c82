//! Windows: in order, late, early, repeated, across restarts and reloads.

use proptest::prelude::*;

use super::*;
use crate::testing::{Known, Made, compile, compiled};
use crate::{Options, Value};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn base(name: &str) -> String {
    format!(
        "title: {name}\nid: id-{name}\nname: {name}\nlogsource: {{product: test}}\ndetection:\n  s: {{kind: {name}}}\n  condition: s\n---\n"
    )
}

fn correlation(name: &str, kind: &str, rules: &str, rest: &str) -> String {
    format!(
        "title: {name}\nid: id-{name}\nname: {name}\ncorrelation:\n  type: {kind}\n  rules: [{rules}]\n  group-by: [host]\n  timespan: 60s\n{rest}---\n"
    )
}

/// A set under test with its state.
struct Bench {
    known: Known,
    set: Set,
    correlator: Correlator,
}

/// One event: kind, host, seconds, further fields.
type Happened<'a> = (&'a str, &'a str, i64, &'a [(&'a str, Value<'a>)]);

impl Bench {
    fn new(text: &str) -> Bench {
        let known = Known::default();
        let set = compiled(text, &known, &Options::default());
        Bench { known, set, correlator: Correlator::new() }
    }

    fn hits(&self, (kind, host, seconds, more): Happened<'_>, weight: u64) -> Vec<BaseHit> {
        let mut fields = vec![("kind", Value::Text(kind))];
        if !host.is_empty() {
            fields.push(("host", Value::Text(host)));
        }
        fields.extend_from_slice(more);
        let event = Made { known: &self.known, fields, line: "" };
        let mut found = Vec::new();
        self.set.evaluate(&event, &mut crate::Scratch::new(), &mut found);
        let reference = Reference::new(&format!("{kind}@{seconds}"), "text");
        found
            .into_iter()
            .filter_map(|index| {
                let time_ns = START + seconds * SECOND;
                self.set.base_hit(index, &event, time_ns, weight, reference.clone())
            })
            .collect()
    }

    /// Names of the correlations an event completes, with their counts.
    fn weighted(&mut self, event: Happened<'_>, weight: u64) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for hit in self.hits(event, weight) {
            for fired in self.correlator.feed(&self.set, &hit) {
                out.push((self.set.rules()[fired.rule].title.clone(), fired.count));
            }
        }
        out
    }

    fn feed(&mut self, kind: &str, host: &str, seconds: i64) -> Vec<(String, u64)> {
        self.weighted((kind, host, seconds, &[]), 1)
    }

    /// Which of a run of events complete `name`.
    fn check(&mut self, name: &str, events: &[Happened<'_>], expected: &[usize]) {
        let found: Vec<usize> = events
            .iter()
            .enumerate()
            .filter(|(_, event)| self.weighted(**event, 1).iter().any(|(title, _)| title == name))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn three_in_a_minute() -> String {
    base("a") + &correlation("many", "event_count", "a", "  condition: {gte: 3}\n")
}

#[test]
fn events_are_counted_by_group_in_a_sliding_window() {
    let mut bench = Bench::new(&three_in_a_minute());
    assert_eq!(bench.feed("a", "x", 0), []);
    assert_eq!(bench.feed("a", "y", 1), []);
    assert_eq!(bench.feed("a", "x", 30), []);
    assert_eq!(bench.feed("b", "x", 31), []);
    // Both ends belong to the window.
    assert_eq!(bench.feed("a", "x", 60), [("many".to_owned(), 3)]);
    assert_eq!(bench.feed("a", "x", 61), [("many".to_owned(), 3)]);
    assert_eq!(bench.feed("a", "x", 62), [("many".to_owned(), 4)]);
    assert_eq!(bench.feed("a", "x", 200), []);
}

#[test]
fn a_repeated_message_weighs_what_it_says() {
    let mut bench = Bench::new(&three_in_a_minute());
    assert_eq!(bench.weighted(("a", "x", 0, &[]), 2), []);
    assert_eq!(bench.weighted(("a", "x", 1, &[]), 5), [("many".to_owned(), 7)]);
    let group = vec![("host".to_owned(), "x".to_owned())];
    let total = bench.correlator.total(&bench.set, 1, &group).unwrap();
    assert_eq!(total, Total { count: 7, first_ns: START, last_ns: START + SECOND });
    assert_eq!(bench.correlator.total(&bench.set, 1, &[("host".into(), "z".into())]), None);
}

#[test]
fn late_events_complete_the_window_they_belong_to() {
    let mut bench = Bench::new(&three_in_a_minute());
    bench.feed("a", "x", 0);
    bench.feed("a", "x", 50);
    bench.feed("a", "x", 86_400 * 3);
    // The third of the first window comes when the fourth is days ahead.
    assert_eq!(bench.feed("a", "x", 25), [("many".to_owned(), 3)]);
    // One before, that only with the two behind it makes three.
    let mut bench = Bench::new(&three_in_a_minute());
    bench.feed("a", "x", 30);
    bench.feed("a", "x", 61);
    assert_eq!(bench.feed("a", "x", 1), [("many".to_owned(), 3)]);
    let mut bench = Bench::new(&three_in_a_minute());
    bench.feed("a", "x", 30);
    bench.feed("a", "x", 61);
    assert_eq!(bench.feed("a", "x", 0), []);
}

#[test]
fn a_firing_says_what_it_saw() {
    let mut bench = Bench::new(&three_in_a_minute());
    let mut last = Vec::new();
    for seconds in 0..20 {
        for hit in bench.hits(("a", "x", seconds, &[]), 1) {
            last = bench.correlator.feed(&bench.set, &hit);
        }
    }
    let [fired] = last.as_slice() else { panic!("{last:?}") };
    assert_eq!(fired.rule, 1);
    assert_eq!(fired.group, [("host".to_owned(), "x".to_owned())]);
    assert_eq!((fired.count, fired.value), (20, 20.0));
    assert_eq!((fired.first_ns, fired.last_ns), (START, START + 19 * SECOND));
    let seen: Vec<&str> = fired.references.iter().map(|one| one.locator.as_str()).collect();
    assert_eq!(seen, ["a@0", "a@1", "a@2", "a@15", "a@16", "a@17", "a@18", "a@19"]);
}

#[test]
fn other_conditions() {
    for (condition, expected) in [
        ("{gt: 2}", &[2, 3, 4][..]),
        ("{eq: 2}", &[1]),
        ("{neq: 2}", &[0, 2, 3, 4]),
        ("{lt: 3}", &[0, 1]),
        ("{gte: 2, lt: 4}", &[1, 2]),
    ] {
        let rest = format!("  condition: {condition}\n");
        let mut bench = Bench::new(&(base("a") + &correlation("c", "event_count", "a", &rest)));
        let events: Vec<Happened<'_>> = (0..5).map(|second| ("a", "x", second, &[][..])).collect();
        bench.check("c", &events, expected);
    }
}

#[test]
fn distinct_values_are_counted() {
    let rest = "  condition: {field: user, gte: 3}\n";
    let mut bench = Bench::new(&(base("a") + &correlation("c", "value_count", "a", rest)));
    let user = |name: &'static str| [("user", Value::Text(name))];
    let (one, two, three) = (user("one"), user("two"), user("three"));
    bench.check(
        "c",
        &[
            ("a", "x", 0, &one),
            ("a", "x", 1, &two),
            ("a", "x", 2, &one),
            ("a", "x", 3, &two),
            ("a", "x", 4, &[]),
            ("a", "y", 5, &three),
            ("a", "x", 6, &three),
            ("a", "x", 63, &two),
            ("a", "x", 64, &one),
            ("a", "x", 65, &one),
            ("a", "x", 67, &three),
        ],
        // At 63 "three" and "two" are near and "one" is not; at 64 it is again.
        &[6, 8, 9, 10],
    );
    // Several fields count as one value.
    let rest = "  condition: {field: [user, port], gte: 2}\n";
    let mut bench = Bench::new(&(base("a") + &correlation("c", "value_count", "a", rest)));
    let pair = |port| [("user", Value::Text("one")), ("port", Value::Integer(port))];
    let (first, second) = (pair(1), pair(2));
    bench.check("c", &[("a", "x", 0, &first), ("a", "x", 1, &first), ("a", "x", 2, &second)], &[2]);
}

#[test]
fn a_burst_of_one_value_is_held_as_two() {
    let rest = "  condition: {field: user, gte: 2}\n";
    let mut bench = Bench::new(&(base("a") + &correlation("c", "value_count", "a", rest)));
    for second in 0..50 {
        assert_eq!(bench.weighted(("a", "x", second, &[("user", Value::Text("one"))]), 1), []);
    }
    assert_eq!(bench.correlator.held(), 2);
    let two = [("user", Value::Text("two"))];
    assert_eq!(bench.weighted(("a", "x", 50, &two), 1), [("c".to_owned(), 51)]);
}

#[test]
fn a_rule_that_is_waited_behind_is_held_as_two() {
    let rules = base("a") + &base("b") + &base("c");
    let ordered = |members| rules.clone() + &correlation("c", "temporal_ordered", members, "");
    let mut bench = Bench::new(&ordered("a, b"));
    for second in 0..50 {
        assert_eq!(bench.feed("b", "x", second), []);
    }
    assert_eq!(bench.correlator.held(), 2);
    // One behind all of them, then one that comes late and stood before the last.
    assert_eq!(bench.feed("a", "x", 50), []);
    assert_eq!(bench.feed("a", "x", 48), [("c".to_owned(), 52)]);
    // Of three, the one in the middle is needed: it is before b, and the first is too long ago for c.
    let mut bench = Bench::new(&ordered("a, b, c"));
    for (kind, second) in [("a", 0), ("a", 30), ("a", 60), ("c", 85)] {
        assert_eq!(bench.feed(kind, "x", second), []);
    }
    assert_eq!(bench.feed("b", "x", 45), [("c".to_owned(), 4)]);
}

#[test]
fn what_is_merged_still_weighs() {
    let rest = "  condition: {field: user, gte: 2}\n";
    let mut bench = Bench::new(&(base("a") + &correlation("c", "value_count", "a", rest)));
    bench.weighted(("a", "x", 0, &[("user", Value::Text("u0"))]), 1);
    for second in 1..50 {
        let user = format!("u{}", second * 7 % 3);
        let fields = [("user", Value::Text(&user))];
        let expected = u64::try_from(second).unwrap() + 1;
        assert_eq!(bench.weighted(("a", "x", second, &fields), 1), [("c".to_owned(), expected)]);
    }
    // A late one, in between its like.
    let fields = [("user", Value::Text("u1"))];
    assert_eq!(bench.weighted(("a", "x", 20, &fields), 1), [("c".to_owned(), 51)]);
    assert!(bench.correlator.held() <= 6);
    // A weight nobody can mean.
    assert_eq!(bench.weighted(("a", "x", 50, &fields), u64::MAX).len(), 1);
    assert_eq!(bench.weighted(("a", "x", 51, &fields), u64::MAX).len(), 1);
}

#[test]
fn different_rules_in_any_order_or_in_theirs() {
    let rules = base("a") + &base("b") + &base("c");
    let event = |kind: &'static str, seconds| -> Happened<'static> { (kind, "x", seconds, &[]) };
    let temporal = |kind, rest| rules.clone() + &correlation("t", kind, "a, b, c", rest);
    let mixed = [event("b", 0), event("b", 1), event("c", 2), event("a", 30), event("a", 70)];
    Bench::new(&temporal("temporal", "")).check("t", &mixed, &[3]);
    Bench::new(&temporal("temporal", "  condition: {gte: 2}\n")).check("t", &mixed, &[2, 3]);
    Bench::new(&temporal("temporal_ordered", "")).check("t", &mixed, &[]);
    let ordered = [event("a", 0), event("c", 1), event("b", 2), event("a", 3), event("c", 60)];
    Bench::new(&temporal("temporal_ordered", "")).check("t", &ordered, &[4]);
    // Late, but in order by their own time.
    let late = [event("c", 3), event("b", 2), event("a", 1)];
    Bench::new(&temporal("temporal_ordered", "")).check("t", &late, &[2]);
    let far = [event("a", 0), event("b", 2), event("c", 61)];
    Bench::new(&temporal("temporal_ordered", "")).check("t", &far, &[]);
    let hosts = [("a", "x", 0, &[][..]), ("b", "y", 1, &[]), ("c", "x", 2, &[])];
    Bench::new(&temporal("temporal", "")).check("t", &hosts, &[]);
    let expression = "  condition: \"a and (b or c)\"\n";
    Bench::new(&temporal("temporal", expression)).check("t", &mixed, &[3]);
}

#[test]
fn sums_averages_and_ranks() {
    let amount = |number: i64| [("size", Value::Integer(number))];
    let (ten, twenty, ninety) = (amount(10), amount(20), amount(90));
    let many = [("size", Value::Text("many"))];
    let events: [Happened<'_>; 5] = [
        ("a", "x", 0, &ten),
        ("a", "x", 1, &twenty),
        ("a", "x", 2, &many),
        ("a", "x", 3, &ninety),
        ("a", "x", 62, &ten),
    ];
    for (kind, condition, expected) in [
        ("value_sum", "{field: size, gt: 100}", &[3][..]),
        ("value_avg", "{field: size, gte: 40}", &[3, 4]),
        ("value_median", "{field: size, eq: 20}", &[3]),
        ("value_median", "{field: size, eq: 15}", &[1]),
        ("value_percentile", "{field: size, percentile: 75, eq: 55}", &[3]),
        ("value_percentile", "{field: size, percentile: 100, gte: 90}", &[3, 4]),
    ] {
        let rest = format!("  condition: {condition}\n");
        let mut bench = Bench::new(&(base("a") + &correlation("c", kind, "a", &rest)));
        bench.check("c", &events, expected);
    }
}

#[test]
fn correlations_over_correlations() {
    let text = base("a")
        + &base("b")
        + &correlation("top", "temporal_ordered", "many, b", "")
        + &correlation("many", "event_count", "a", "  condition: {gte: 3}\n");
    let mut bench = Bench::new(&text);
    let event = |kind: &'static str, seconds| -> Happened<'static> { (kind, "x", seconds, &[]) };
    let events = [event("a", 0), event("b", 1), event("a", 2), event("a", 3), event("b", 4)];
    bench.check("top", &events, &[4]);
    let standalone = |name: &str| {
        bench.set.rules().iter().find(|rule| rule.title == name).map(|rule| rule.standalone)
    };
    assert_eq!(standalone("top"), Some(true));
    assert_eq!(standalone("many"), Some(false));
    assert_eq!(standalone("a"), Some(false));
    let hit = bench.hits(event("a", 5), 1).remove(0);
    let reached: Vec<&str> = bench
        .set
        .groups(&hit)
        .iter()
        .map(|(index, _)| bench.set.rules()[*index].title.as_str())
        .collect();
    assert_eq!(reached, ["many", "top"]);
}

/// Events that a correlation looks at itself are not counted again for what was made of them; where it
/// looks at firings alone, these are what it counts.
#[test]
fn a_firing_is_no_event_beside_the_events() {
    let rest = "  condition: often and a\n";
    let both = correlation("both", "temporal", "a, often", rest);
    let often = correlation("often", "event_count", "a", "  condition: {gte: 3}\n");
    let above = correlation("above", "temporal", "often, b", "");
    let mut bench = Bench::new(&(base("a") + &base("b") + &often + &both + &above));
    assert_eq!(bench.feed("a", "x", 0), []);
    assert_eq!(bench.feed("a", "x", 1), []);
    let mut fired = bench.feed("a", "x", 2);
    fired.sort();
    assert_eq!(fired, [("both".to_owned(), 3), ("often".to_owned(), 3)]);
    assert_eq!(bench.feed("b", "x", 3), [("above".to_owned(), 2)]);
}

#[test]
fn generate_lets_base_rules_stand_alone() {
    let text = three_in_a_minute().replace("correlation:\n", "generate: true\ncorrelation:\n");
    let bench = Bench::new(&text);
    assert!(bench.set.rules().iter().all(|rule| rule.standalone));
}

#[test]
fn aliases_join_different_fields() {
    let text = base("a")
        + &base("b")
        + "title: t\nid: id-t\ncorrelation:\n  type: temporal\n  rules: [a, b]\n  group-by: [ip]\n  timespan: 10s\n  aliases:\n    ip:\n      a: source\n      b: target\n";
    let mut bench = Bench::new(&text);
    let source = |ip: &'static str| [("source", Value::Text(ip)), ("target", Value::Text("other"))];
    let target = |ip: &'static str| [("target", Value::Text(ip)), ("source", Value::Text("else"))];
    let (one, two, three) = (source("1"), target("2"), target("1"));
    bench.check("t", &[("a", "", 0, &one), ("b", "", 1, &two), ("b", "", 2, &three)], &[2]);
    let hit = bench.hits(("b", "", 3, &three), 1).remove(0);
    assert_eq!(bench.set.groups(&hit), [(2, vec![("ip".to_owned(), "1".to_owned())])]);
}

#[test]
fn an_absent_field_groups_with_the_absent() {
    let mut bench = Bench::new(&three_in_a_minute());
    bench.check(
        "many",
        &[("a", "", 0, &[]), ("a", "x", 1, &[]), ("a", "", 2, &[]), ("a", "", 3, &[])],
        &[3],
    );
}

#[test]
fn state_survives_a_restart() {
    let mut bench = Bench::new(&three_in_a_minute());
    bench.feed("a", "x", 0);
    bench.feed("a", "x", 1);
    let bytes = bench.correlator.snapshot();
    bench.correlator = Correlator::restore(&bytes).unwrap();
    assert_eq!(bench.correlator.held(), 2);
    assert_eq!(bench.correlator.snapshot(), bytes);
    assert_eq!(bench.feed("a", "x", 2), [("many".to_owned(), 3)]);
    for damaged in [&b""[..], b"HWCS", b"HWCS\x02{}", &bytes[..bytes.len() - 1], b"HWCS\x01[]"] {
        assert!(Correlator::restore(damaged).is_err(), "{damaged:?}");
    }
}

#[test]
fn state_survives_a_reload_unless_its_meaning_changes() {
    let mut bench = Bench::new(&three_in_a_minute());
    bench.feed("a", "x", 0);
    bench.feed("a", "x", 1);
    let reload = |bench: &mut Bench, text: &str| {
        bench.set = compiled(text, &bench.known, &Options::default());
    };
    // Another rule in front, and a higher threshold.
    let raised = base("z") + &three_in_a_minute().replace("gte: 3", "gte: 4");
    reload(&mut bench, &raised);
    assert_eq!(bench.feed("a", "x", 2), []);
    assert_eq!(bench.feed("a", "x", 3), [("many".to_owned(), 4)]);
    reload(&mut bench, &three_in_a_minute().replace("[host]", "[user]"));
    assert_eq!(bench.feed("a", "x", 4), []);
    assert_eq!((bench.correlator.held(), bench.correlator.evicted()), (1, 4));
    // A hit of a rule that is gone.
    let hit = bench.hits(("a", "x", 5, &[]), 1).remove(0);
    reload(&mut bench, &base("z"));
    assert_eq!(bench.correlator.feed(&bench.set, &hit), []);
}

#[test]
fn pruning_frees_what_is_old_and_has_been_here_long() {
    let mut bench = Bench::new(&three_in_a_minute());
    let day = 86_400;
    bench.correlator.prune(&bench.set, START + day * SECOND);
    // A drained spool: a day late, and still completed.
    bench.feed("a", "x", 0);
    bench.feed("a", "x", 1);
    bench.correlator.prune(&bench.set, START + (day + 300) * SECOND);
    assert_eq!(bench.correlator.held(), 2);
    assert_eq!(bench.feed("a", "x", 2), [("many".to_owned(), 3)]);
    bench.correlator.prune(&bench.set, START + (day + 1_000) * SECOND);
    assert_eq!((bench.correlator.held(), bench.correlator.evicted()), (0, 0));
    assert_eq!(bench.feed("a", "x", 3), []);
}

#[test]
fn memory_is_bounded_and_what_goes_is_counted() {
    let rest = "  condition: {field: size, gt: 99999999}\n";
    let mut bench = Bench::new(&(base("a") + &correlation("c", "value_median", "a", rest)));
    let size = [("size", Value::Integer(1))];
    let mut hit = bench.hits(("a", "x", 0, &size), 1).remove(0);
    for _ in 0..10_500 {
        hit.time_ns += 1;
        bench.correlator.feed(&bench.set, &hit);
    }
    assert!(bench.correlator.held() <= 10_000, "{}", bench.correlator.held());
    assert_eq!(bench.correlator.held() as u64 + bench.correlator.evicted(), 10_500);
}

#[test]
fn what_correlations_cannot_do_is_refused_by_name() {
    let check = |kind: &str, rules: &str, rest: &str, reason: &str| {
        let text = base("a") + &base("b") + &correlation("c", kind, rules, rest);
        let (set, refused) = compile(&text, &Known::default(), &Options::default());
        assert_eq!((set.rules().len(), refused.len()), (2, 1), "{refused:?}");
        assert!(refused[0].reason.contains(reason), "{:?} lacks {reason:?}", refused[0].reason);
    };
    check("event_count", "a", "  condition: {gte: 3}\n  window: tumbling\n", "tumbling");
    check("event_count", "a", "  condition: {gte: 1000000}\n", "1000000");
    check("event_count", "a", "  condition: {gte: -1}\n", "more than");
    check("event_count", "a", "  condition: {gte: 1, field: x}\n", "no field");
    check("event_count", "a", "", "condition");
    check("value_count", "a", "  condition: {gte: 1}\n", "a field");
    check("value_sum", "a", "  condition: {gte: 1, field: [x, y]}\n", "one field");
    check("value_percentile", "a", "  condition: {gte: 1, field: x, percentile: 101}\n", "101");
    check("temporal", "a, id-a", "", "the same rule");
    check("temporal", "a, b", "  condition: \"a and z\"\n", "names z");
    check("temporal", "a, b", "  condition: \"not a\"\n", "nothing happens");
    check("temporal_ordered", "a, b", "  condition: \"a and b\"\n", "expression");
    check("event_count", "", "  condition: {gte: 3}\n", "without rules");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever order hits come in, the same groups fire, and the widest window seen is as wide.
    #[test]
    fn any_order_of_arrival_fires_the_same_groups(
        hits in prop::collection::vec((0usize..3, 0usize..2, 0i64..300, 0usize..4), 1..40),
        order in any::<prop::sample::Index>(),
    ) {
        let text = base("a")
            + &base("b")
            + &correlation("count", "event_count", "a, b", "  condition: {gte: 3}\n")
            + &correlation("values", "value_count", "a, b", "  condition: {field: user, gte: 3}\n")
            + &correlation("both", "temporal", "a, b", "")
            + &correlation("ordered", "temporal_ordered", "a, b", "");
        let run = |hits: &[(usize, usize, i64, usize)], restart: usize| {
            let mut bench = Bench::new(&text);
            let mut best: BTreeMap<(usize, Group), u64> = BTreeMap::new();
            for (index, (host, kind, seconds, user)) in hits.iter().enumerate() {
                let user = format!("u{user}");
                let fields = [("user", Value::Text(&user))];
                let event = (["a", "b"][*kind], ["x", "y", "z"][*host], *seconds, &fields[..]);
                for hit in bench.hits(event, 1) {
                    for fired in bench.correlator.feed(&bench.set, &hit) {
                        let value = best.entry((fired.rule, fired.group)).or_default();
                        *value = (*value).max(fired.value as u64);
                    }
                }
                if index == restart {
                    let bytes = bench.correlator.snapshot();
                    bench.correlator = Correlator::restore(&bytes).unwrap();
                }
            }
            best
        };
        let mut sorted = hits.clone();
        sorted.sort_by_key(|hit| hit.2);
        let reversed: Vec<_> = sorted.iter().rev().copied().collect();
        let restart = order.index(hits.len());
        let expected = run(&sorted, usize::MAX);
        prop_assert_eq!(&run(&hits, restart), &expected);
        prop_assert_eq!(&run(&reversed, restart), &expected);
    }
}

#[test]
fn a_log_written_backwards_holds_nobody_up() {
    let text = base("a")
        + &correlation("many", "event_count", "a", "  condition: {gte: 3}\n")
        + &correlation("spread", "value_count", "a", "  condition: {gte: 3, field: user}\n");
    let mut bench = Bench::new(&text.replace("timespan: 60s", "timespan: 30d"));
    const EVENTS: i64 = 4_000;
    let mut fired = 0;
    for second in (0..EVENTS).rev() {
        let user = second.to_string();
        let event = ("a", "x", second, &[("user", Value::Text(&user))][..]);
        fired += bench.weighted(event, 1).len();
    }
    // As in order: all but the first two, twice. What a group holds decides what a hit may cost.
    assert!(fired as i64 >= EVENTS - 2, "{fired}");
    assert!(bench.correlator.held() <= 5_000, "{}", bench.correlator.held());
}

#[test]
fn a_large_threshold_holds_what_it_needs() {
    let text = base("a") + &correlation("many", "event_count", "a", "  condition: {gt: 10999}\n");
    let mut bench = Bench::new(&text);
    let fired = (0..11_000).filter(|_| !bench.feed("a", "x", 1).is_empty()).count();
    assert_eq!(fired, 1);
}

#[test]
fn what_strangers_write_is_bounded_in_bytes() {
    let mut bench = Bench::new(&three_in_a_minute());
    let host = "h".repeat(500);
    for n in 0..80_000 {
        let host = format!("{n:06}{host}");
        let mut hits = bench.hits(("a", &host, 0, &[]), 1);
        for hit in &mut hits {
            hit.reference = Reference::new(&"l".repeat(256), &"t".repeat(1024));
            bench.correlator.feed(&bench.set, hit);
        }
    }
    assert!(bench.correlator.evicted() > 0);
    let bytes = bench.correlator.snapshot().len();
    assert!(bytes < 160 << 20, "{bytes}");
}

use super::*;
use crate::Options;
use crate::testing::{Known, Made, compiled, rule};

/// Whether both evaluators find rule 0, as expected.
fn check(detection: &str, fields: &[(&str, Value<'_>)], line: &str, expected: bool) {
    let known = Known::default();
    let set = compiled(&rule(detection), &known, &Options::default());
    let event = Made { known: &known, fields: fields.to_vec(), line };
    let (mut plainly, mut found) = (Vec::new(), Vec::new());
    set.evaluate_plainly(&event, &mut plainly);
    let mut scratch = Scratch::new();
    for _ in 0..2 {
        found.clear();
        set.evaluate(&event, &mut scratch, &mut found);
        assert_eq!(found, plainly, "{detection}\n{fields:?} {line:?}");
    }
    assert_eq!(!found.is_empty(), expected, "{detection}\n{fields:?} {line:?}");
}

#[test]
fn numbers_equal_what_they_equal_plainly() {
    let text = Value::Text;
    let five = "  s:\n    f: 5\n  condition: s";
    check(five, &[("f", Value::Integer(5))], "", true);
    check(five, &[("f", Value::Number(5.0))], "", true);
    check(five, &[("f", text("5"))], "", true);
    check(five, &[("f", text("5.0"))], "", false);
    let zero = "  s:\n    f: 0\n  condition: s";
    check(zero, &[("f", Value::Number(-0.0))], "", true);
    let zero = "  s:\n    f: '0'\n  condition: s";
    check(zero, &[("f", Value::Number(-0.0))], "", false);
    let large = "  s:\n    f: 9007199254740993\n  condition: s";
    check(large, &[("f", Value::Number(9_007_199_254_740_992.0))], "", true);
    let start = "  s:\n    f|startswith: 46\n  condition: s";
    check(start, &[("f", Value::Integer(4624))], "", true);
}

#[test]
fn negation_finds_its_witness_behind_another() {
    let twice = "  a:\n    f: x\n  b:\n    g: y\n  condition: not (not a or b)";
    check(twice, &[("f", Value::Text("X"))], "", true);
    check(twice, &[("f", Value::Text("x")), ("g", Value::Text("y"))], "", false);
    check(twice, &[], "", false);
    check("  a:\n    f: x\n  condition: not a", &[], "", true);
}

/// A text that holds a needle many thousand times must not make the lists of what was met as long.
#[test]
fn what_stands_in_a_text_many_times_is_met_once() {
    let known = Known::default();
    let selections: String = (0..50)
        .map(|n| format!("  s{n}:\n    f|contains: ['x', 'abcdef', 'y{n}']\n    g|exists: true\n"))
        .collect();
    let text = rule(&format!("{selections}  condition: all of s*"));
    let set = compiled(&text, &known, &Options::default());
    let value = "xabcdefghij".repeat(20_000);
    let fields = vec![("f", Value::Text(&value)), ("g", Value::Flag(true))];
    let event = Made { known: &known, fields, line: "" };
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    set.evaluate(&event, &mut scratch, &mut hits);
    assert_eq!(hits, [0]);
    assert!(scratch.met.capacity() < 1_000, "{}", scratch.met.capacity());
}

//! Every modifier and kind of value, as the standard describes it.

use std::collections::BTreeMap;

use crate::testing::{Known, Made, compile, compiled, rule};
use crate::{Options, Set, Value};

fn lists() -> Options {
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    Options {
        placeholders: BTreeMap::from([
            ("Servers".to_owned(), list(&["srv*", "dc01"])),
            ("Admins".to_owned(), list(&["root", "a.b"])),
        ]),
        ..Options::default()
    }
}

fn matches(set: &Set, known: &Known, fields: &[(&str, Value<'_>)], line: &str) -> bool {
    let event = Made { known, fields: fields.to_vec(), line };
    let mut hits = Vec::new();
    set.evaluate(&event, &mut crate::Scratch::new(), &mut hits);
    hits == [0]
}

/// A selection of one item, against values of field `f`.
fn check(item: &str, matching: &[Value<'_>], others: &[Value<'_>]) {
    let known = Known::default();
    let text = rule(&format!("  s:\n    {item}\n  condition: s"));
    let set = compiled(&text, &known, &lists());
    for value in matching {
        assert!(matches(&set, &known, &[("f", *value)], ""), "{item} should match {value:?}");
    }
    for value in others {
        assert!(!matches(&set, &known, &[("f", *value)], ""), "{item} should not match {value:?}");
    }
}

fn texts(item: &str, matching: &[&str], others: &[&str]) {
    let values = |texts: &[&'static str]| texts.iter().map(|t| Value::Text(t)).collect::<Vec<_>>();
    let leak = |texts: &[&str]| -> Vec<&'static str> {
        texts.iter().map(|t| &*Box::leak(t.to_string().into_boxed_str())).collect()
    };
    check(item, &values(&leak(matching)), &values(&leak(others)));
}

fn refused(item: &str, reason: &str) {
    let text = rule(&format!("  s:\n    {item}\n  condition: s"));
    let (set, refused) = compile(&text, &Known::default(), &lists());
    assert!(set.rules().is_empty(), "{item}");
    assert_eq!(refused.len(), 1, "{item}");
    assert_eq!(refused[0].rule.as_deref(), Some("rule"));
    assert!(refused[0].reason.contains(reason), "{item}: {:?}", refused[0].reason);
}

#[test]
fn plain_values() {
    texts("f: WhoAmI", &["whoami", "WHOAMI"], &["whoami.exe", "", "x whoami"]);
    texts("f: 'a*c?'", &["abbbcd", "ACd"], &["ac", "xacd"]);
    texts("f: [one, two]", &["ONE", "two"], &["three"]);
    texts("f: Ä", &["ä"], &["a"]);
}

#[test]
fn escapes() {
    texts(r"f: 'C:\Windows\x'", &[r"c:\windows\X"], &["c:windowsx"]);
    texts(r"f: 'a\*b'", &["a*b"], &["axb", r"a\b"]);
    texts(r"f: 'a\?b'", &["a?b"], &["axb"]);
    texts(r"f: 'a\\b'", &[r"a\b"], &[r"a\\b"]);
    texts(r"f: 'a\\*'", &[r"a\", r"a\xyz"], &["a*", "axyz"]);
    texts(r"f: 'a\\\*'", &[r"a\*"], &[r"a\x"]);
    texts(r"f: 'a\\\\b'", &[r"a\\b"], &[r"a\b"]);
    // A backslash at the end does not escape the wildcard a modifier adds.
    texts(r"f|contains: 'temp\'", &[r"c:\temp\x", r"temp\"], &["c:temp", "temp*"]);
    texts(r"f|startswith: 'c:\'", &[r"C:\x"], &["c:", "c:*"]);
}

#[test]
fn nothing_and_the_empty_text() {
    let known = Known::default();
    let absent = |item: &str, expected: bool| {
        let text = rule(&format!("  s:\n    {item}\n  condition: s"));
        let set = compiled(&text, &known, &Options::default());
        assert_eq!(matches(&set, &known, &[("g", Value::Text("x"))], ""), expected, "{item}");
    };
    check("f: null", &[Value::Null], &[Value::Text(""), Value::Integer(0)]);
    check("f: ''", &[Value::Text("")], &[Value::Null, Value::Text(" ")]);
    check("f: '*'", &[Value::Text(""), Value::Text("x"), Value::Integer(1)], &[Value::Null]);
    check("f: [null, a]", &[Value::Null, Value::Text("A")], &[Value::Text("b")]);
    absent("f: null", true);
    absent("f: ''", false);
    absent("f: '*'", false);
    absent("f|exists: false", true);
    absent("f|exists: true", false);
    absent("f|neq: a", true);
    check("f|exists: true", &[Value::Null, Value::Text("")], &[]);
    check("f|exists: false", &[], &[Value::Null, Value::Text("")]);
    refused("f|exists: yes please", "true or false");
    refused("f: []", "empty list");
    refused("f|contains: null", "null");
}

#[test]
fn numbers_flags_and_addresses_are_also_text() {
    check(
        "f: 4688",
        &[Value::Integer(4688), Value::Text("4688"), Value::Number(4688.0)],
        &[Value::Integer(468), Value::Text("04688")],
    );
    check("f: '4688'", &[Value::Integer(4688), Value::Text("4688")], &[Value::Integer(46)]);
    check("f: '46*'", &[Value::Integer(4688)], &[Value::Integer(45)]);
    check("f: 1.5", &[Value::Number(1.5), Value::Text("1.50")], &[Value::Integer(1)]);
    check("f|contains: 68", &[Value::Integer(4688), Value::Text("x68")], &[Value::Integer(86)]);
    check("f: true", &[Value::Flag(true), Value::Text("True")], &[Value::Flag(false)]);
    check("f: 'true'", &[Value::Flag(true)], &[Value::Flag(false)]);
    let address = Value::Address("192.0.2.1".parse().unwrap());
    check("f|startswith: '192.0.'", &[address], &[Value::Text("10.192.0.1")]);
}

#[test]
fn placing() {
    texts("f|contains: mid", &["a MID b", "mid"], &["mi d"]);
    texts("f|startswith: mid", &["MIDst"], &["amid"]);
    texts("f|endswith: mid", &["aMid"], &["mids"]);
    texts("f|contains: 'a*b'", &["xaxxbx"], &["xbxax"]);
    texts("f|contains: ['x', 'y']", &["ax", "ay"], &["a"]);
    texts("f|contains|all: ['x', 'y']", &["yax"], &["ax", "ay"]);
}

#[test]
fn case_matters_when_it_is_told_to() {
    texts("f|cased: AbC", &["AbC"], &["abc"]);
    texts("f|contains|cased: AbC", &["xAbCx"], &["xabcx"]);
    texts("f|cased|endswith: AbC", &["xAbC"], &["xabc"]);
}

#[test]
fn not_equal_turns_the_whole_round() {
    texts("f|neq: a", &["b"], &["A"]);
    texts("f|neq: [a, b]", &["c"], &["a", "b"]);
    texts("f|contains|neq: a", &["b"], &["bab"]);
    check("f|neq: 5", &[Value::Integer(6), Value::Text("x")], &[Value::Integer(5)]);
    check("f|neq: null", &[Value::Text("")], &[Value::Null]);
}

#[test]
fn comparisons() {
    let all = [Value::Integer(4), Value::Text("5"), Value::Number(5.5), Value::Text("6")];
    check("f|lt: 5", &all[..1], &all[1..]);
    check("f|lte: 5", &all[..2], &all[2..]);
    check("f|gt: 5", &all[2..], &all[..2]);
    check("f|gte: '5'", &all[1..], &all[..1]);
    check("f|gt: -1.5", &all, &[Value::Text("many"), Value::Null, Value::Integer(-2)]);
    check("f|gt: 9007199254740992", &[Value::Integer(9007199254740993)], &[Value::Integer(1)]);
    refused("f|gt: many", "number");
    refused("f|gt|lt: 5", "two comparisons");
    refused("f|gt|contains: 5", "together");
}

#[test]
fn parts_of_dates() {
    texts("f|hour: 4", &["2026-02-03T04:05:06Z"], &["2026-02-03T05:05:06Z", "04"]);
    texts("f|hour|gte: 18", &["2026-02-03T18:00:00Z"], &["2026-02-03T17:59:59Z"]);
    texts("f|minute|lt: 6", &["2026-02-03T04:05:06Z"], &["2026-02-03T04:06:06Z"]);
    texts("f|day: 3", &["2026-02-03"], &["2026-03-02"]);
    texts("f|week: 6", &["2026-02-03"], &["2026-02-10"]);
    texts("f|month: [1, 2]", &["2026-02-03"], &["2026-03-02"]);
    texts("f|year|neq: 2025", &["2026-02-03"], &["2025-02-03"]);
    check("f|year: 1970", &[Value::Integer(0)], &[Value::Integer(1_709_210_096)]);
    refused("f|hour: noon", "whole number");
    refused("f|hour|day: 1", "two parts");
}

#[test]
fn expressions() {
    texts(r"f|re: 'b\d+'", &["ab12c"], &["aB12c", "ab"]);
    texts(r"f|re|i: 'b\d+'", &["aB12c"], &["ab"]);
    texts("f|re|m: '^b$'", &["a\nb\nc"], &["abc"]);
    texts("f|re|s: 'a.b'", &["a\nb"], &["ab"]);
    texts("f|re: 'a.b'", &["axb"], &["a\nb"]);
    texts(r"f|re: '\*\\'", &[r"*\"], &["*"]);
    texts("f|re|contains: 'x|y'", &["axb"], &["b"]);
    check("f|re: '^46..$'", &[Value::Integer(4688)], &[Value::Integer(468)]);
    refused("f|re: '(?=x)'", "regular expression");
    refused("f|re|base64: x", "together");
    refused("f|i: x", "belong to re");
}

#[test]
fn networks() {
    texts("f|cidr: 10.0.0.0/8", &["10.1.2.3"], &["11.0.0.1", "10", "::1"]);
    texts("f|cidr: ['fe80::/10', 192.0.2.0/24]", &["fe80::1", "192.0.2.9"], &["192.0.3.9"]);
    let inside = Value::Address("10.9.9.9".parse().unwrap());
    check("f|cidr: 10.0.0.0/8", &[inside], &[Value::Integer(10)]);
    refused("f|cidr: '10.*'", "network");
    refused("f|cidr: 10.0.0.0/40", "network");
}

#[test]
fn windash_takes_dashes_for_each_other() {
    texts(
        "f|contains|windash: ' -enc '",
        &["p -enc x", "p /enc x", "p –enc x", "p —enc x", "p ―ENC x"],
        &["p enc x", "p -en x"],
    );
    texts("f|windash|contains: ' /s '", &["x -s y", "x /s y"], &["x s y"]);
    texts("f|windash: '—a'", &["-a", "/a"], &["a"]);
    // Only where one begins a parameter: not inside a word, not before anything but a word.
    texts("f|windash: 'a-b'", &["a-b"], &["a/b"]);
    texts("f|windash: '--x'", &["--x", "-/x"], &["//x", "/-x"]);
    texts("f|windash: 'a -'", &["a -"], &["a /"]);
    texts("f|windash|contains|all: [' -a', ' -b']", &["x /a -b"], &["x /a"]);
    // Before an encoding, every way of writing it is encoded.
    texts("f|windash|base64: '-a'", &["LWE=", "L2E=", "4oCTYQ=="], &["K2E="]);
}

#[test]
fn encodings() {
    texts("f|base64: foobar", &["Zm9vYmFy"], &["foobar"]);
    texts("f|base64|contains: foo", &["xxZm9vxx"], &["foo"]);
    texts(
        "f|base64offset|contains: /bin/sh",
        &["L2Jpbi9zaA==", "eC9iaW4vc2g=", "eHkvYmluL3No"],
        &["/bin/sh"],
    );
    texts("f|wide|base64offset|contains: foo", &["ZgBvAG8A", "eABmAG8AbwA="], &["Zm9v"]);
    texts("f|utf16le|base64: a", &["YQA="], &["YQ=="]);
    texts("f|utf16be|base64: a", &["AGE="], &["YQA="]);
    texts("f|utf16|base64: a", &["//5hAA=="], &["YQA="]);
    texts("f|wide: ab", &["a\0b\0"], &["ab"]);
    texts("f|utf16: ab", &["\u{feff}a\0b\0"], &["ab", "a\0b\0"]);
    texts("f|wide|contains: ab", &["xa\0b\0x"], &["ab"]);
    texts("f|wide: 'a*'", &["a\0zz"], &["az"]);
    refused("f|base64: 'a*'", "wildcards");
    refused("f|wide: 'é'", "base64");
}

#[test]
fn other_fields() {
    let known = Known::default();
    let check = |item: &str, f: Value<'_>, g: Option<Value<'_>>, expected: bool| {
        let text = rule(&format!("  s:\n    {item}\n  condition: s"));
        let set = compiled(&text, &known, &Options::default());
        let mut fields = vec![("f", f)];
        fields.extend(g.map(|g| ("g", g)));
        assert_eq!(matches(&set, &known, &fields, ""), expected, "{item} {f:?} {g:?}");
    };
    let text = Value::Text;
    check("f|fieldref: g", text("Root"), Some(text("root")), true);
    check("f|fieldref: g", text("Root"), Some(text("toor")), false);
    check("f|fieldref: g", text("Root"), None, false);
    check("f|fieldref|cased: g", text("Root"), Some(text("root")), false);
    check("f|fieldref: g", Value::Integer(5), Some(text("5")), true);
    check("f|fieldref|startswith: g", text("root.x"), Some(text("ROOT")), true);
    check("f|fieldref|endswith: g", text("x.root"), Some(text("root")), true);
    check("f|fieldref|contains: g", text("x.root.x"), Some(text("root")), true);
    check("f|fieldref|startswith: g", text("x.root"), Some(text("root")), false);
    check("f|fieldref: g", text("*"), Some(text("root")), false);
    check("f|fieldref|neq: g", text("a"), Some(text("b")), true);
    check("f|fieldref|neq: g", text("a"), Some(text("a")), false);
    refused("f|fieldref: 'g*'", "name of a field");
    refused("f|fieldref|base64: g", "together");
}

#[test]
fn placeholders() {
    texts("f|expand: '%Servers%'", &["srv9", "DC01"], &["%Servers%", "web"]);
    texts("f|expand: 'x-%Admins%-%Servers%'", &["x-root-dc01", "x-a.b-srv1"], &["x-acb-srv1"]);
    texts("f|expand|contains: '%Admins%'", &["is root here"], &["is toor"]);
    texts(r"f|expand: '\%plain%Admins%'", &["%plainroot"], &["root"]);
    texts("f: '%Servers%'", &["%servers%"], &["srv9"]);
    texts("f|expand: '100%'", &["100%"], &["100"]);
    texts("f|re|expand: '^%Admins%$'", &["root", "a.b"], &["acb", "xroot"]);
    refused("f|expand: '%Nobody%'", "%Nobody%");
}

#[test]
fn keywords_are_anywhere() {
    let known = Known::default();
    let check = |detection: &str, fields: &[(&str, Value<'_>)], line: &str, expected: bool| {
        let text = rule(&format!("  k:\n{detection}\n  condition: k"));
        let set = compiled(&text, &known, &Options::default());
        assert_eq!(matches(&set, &known, fields, line), expected, "{detection}");
    };
    let fields = [("f", Value::Text("one TWO")), ("g", Value::Integer(4688))];
    check("    - two\n    - three", &fields, "", true);
    check("    - three", &fields, "", false);
    check("    - three", &fields, "in line Three", true);
    check("    - 468", &fields, "", true);
    check("    - 'o*w'", &fields, "", true);
    // Different values may meet what all of them are asked for.
    check("    '|all':\n      - one\n      - 46", &fields, "", true);
    check("    '|all':\n      - one\n      - three", &fields, "", false);
    check("    '|all':\n      - one\n      - three", &fields, "three", true);
    check("    '|re': '^o.e'", &fields, "", true);
    check("    '|re': '^T'", &fields, "", false);
    check("    - two\n    - f: three", &fields, "", true);
    check("    - three\n    - g: 4688", &fields, "", true);
    let (_, refused) = compile(&rule("  k: [null]\n  condition: k"), &known, &Options::default());
    assert!(refused[0].reason.contains("null as a keyword"), "{refused:?}");
}

#[test]
fn any_of_several_values() {
    let known = Known::default();
    let set = compiled(
        &rule("  s:\n    f|contains|all: [a, b]\n  condition: s"),
        &known,
        &Options::default(),
    );
    let one = [("f", Value::Text("a")), ("f", Value::Text("b"))];
    assert!(matches(&set, &known, &one, ""), "each part by another value of the field");
    assert!(!matches(&set, &known, &one[..1], ""));
}

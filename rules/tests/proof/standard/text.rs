//! Text: case, wildcards, escapes, places, lists of values.

use hengwei_rules::text::fold;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use serde_json::json;

use super::*;

#[test]
fn text_is_compared_whole_and_in_any_case() {
    item("f: 'Power Shell'").met(["power shell", "POWER SHELL"]).not_met([
        "powershell",
        " power shell",
        "power shell ",
        "power",
        "",
    ]);
    item("f: ' '").met([" "]).not_met(["", "  "]);
    // A value may be longer than any other and of any characters.
    let long = "Long ".repeat(3_000);
    item(&format!("f: '{long}'"))
        .met([long.to_uppercase()])
        .not_met([long[1..].to_owned(), format!("{long}x")]);
    item("f: \"a\\nb\\tc\\0d\"").met(["A\nB\tC\0D"]).not_met(["a\nb\tc", "anbtc"]);
}

#[test]
fn case_folds_beyond_ascii() {
    item("f: 'ÄÖÜ'").met(["äöü", "ÄÖÜ", "äÖü"]).not_met(["aou", "äö"]);
    item("f|contains: 'straße'").met(["Die Straße 1", "STRAßE"]).not_met(["strasse"]);
    item("f: ΣΊΣΥΦΟΣ").met(["σίσυφος", "ΣΊΣΥΦΟς"]).not_met(["σίσυφο"]);
    item("f|startswith: 'привет'").met(["ПРИВЕТ, мир"]).not_met(["приве"]);
    // The Kelvin sign folds to k and the long s to s: either side may hold them.
    item("f: mask").met(["ma\u{17f}\u{212a}", "MASK"]);
    item("f: \"ma\u{17f}\u{212a}\"").met(["mask", "MASK"]);
    item("f|endswith: 'ſ.exe'").met(["s.EXE", "xS.exe"]).not_met(["z.exe"]);
    // Characters whose other case is longer than one stay what they are, and dots are dots.
    item("f: 'İ'").met(["İ"]).not_met(["i", "I", "ı"]);
    item("f: i").met(["I"]).not_met(["ı", "İ"]);
    // What has no case is compared as it is.
    item("f|contains: 衡").met(["一衡一"]).not_met(["卫"]);
    // Composed and decomposed letters are different texts.
    item("f: 'é'").met(["É"]).not_met(["e\u{301}"]);
}

/// Letters whose other case takes more bytes, or fewer, are looked for like any.
#[test]
fn letters_of_uneven_length_are_found() {
    for (one, other) in [("Ⱥ", "ⱥ"), ("k", "\u{212a}"), ("ſ", "S"), ("Ω", "\u{2126}"), ("ẞ", "ß")]
    {
        for (written, held) in [(one, other), (other, one)] {
            item(&format!("f: {written}")).met([held]);
            item(&format!("f|contains: {written}")).met([held, &format!("x{held}x")]);
            item(&format!("f|startswith: {written}")).met([held]);
            item(&format!("f|endswith: {written}")).met([held]);
            item(&format!("f|re|i: {written}")).met([held]);
            detection(&format!("k: [{written}]\ncondition: k")).met([held]);
        }
    }
}

/// Whatever an expression takes for the same letter without regard to case, a value does too, so
/// that a text an expression can't do without is found in any case.
#[test]
fn values_fold_at_least_what_expressions_fold() {
    for letter in '\0'..=char::MAX {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(letter, letter)]);
        class.case_fold_simple();
        for other in class.ranges().iter().flat_map(|range| range.start()..=range.end()) {
            assert_eq!(fold(letter), fold(other), "{letter} {other}");
        }
    }
}

#[test]
fn cased_values_are_compared_as_written() {
    item("f|cased: AbC").met(["AbC"]).not_met(["abc", "ABC", "AbC "]);
    item("f|cased|contains: 'Ab'").met(["xAbx", "Ab"]).not_met(["xabx", "AB"]);
    item("f|contains|cased: 'Ab'").met(["xAbx"]).not_met(["xabx"]);
    item("f|startswith|cased: 'Ab'").met(["Abx"]).not_met(["abx", "xAb"]);
    item("f|endswith|cased: 'Ab'").met(["xAb"]).not_met(["xab", "Abx"]);
    item("f|cased: 'A*c'").met(["Ac", "Abc"]).not_met(["abc", "AbC"]);
    item("f|cased: 'A?c'").met(["Abc", "A\u{e9}c"]).not_met(["abc", "Ac"]);
    item("f|cased: 'Ä'").met(["Ä"]).not_met(["ä"]);
    item("f|cased: 'k'").met(["k"]).not_met(["\u{212a}", "K"]);
    item("f|cased|contains|all: [A, b]").met(["bA"]).not_met(["ba", "BA"]);
    item("f|cased|neq: A").met(["a", "b"]).not_met(["A"]);
    item("f|cased: [A, b]").met(["A", "b"]).not_met(["a", "B"]);
    item("f|windash|cased|contains: ' -E'").met(["x /E"]).not_met(["x /e"]);
    // A cased value beside one that is not: each for itself.
    detection("s:\n  f|cased|contains: Ab\n  f|contains: cD\ncondition: s")
        .met(["AbCD", "cdAb"])
        .not_met(["abcd", "ABcD"]);
}

#[test]
fn wildcards_take_any_run_and_any_one_character() {
    item("f: 'a*'").met(["a", "ab", "A衡\nb"]).not_met(["ba", ""]);
    item("f: '*a'").met(["a", "ba"]).not_met(["ab"]);
    item("f: '*a*'").met(["a", "bab"]).not_met(["b"]);
    item("f: 'a?'").met(["ab", "A衡", "a?"]).not_met(["a", "abc"]);
    item("f: '?'").met(["x", "é", "衡"]).not_met(["", "xx", "e\u{301}"]);
    item("f: '???'").met(["abc", "衡衡衡"]).not_met(["ab", "abcd"]);
    item("f: '?*'").met(["a", "ab"]).not_met([""]);
    item("f: '*?'").met(["a", "ab"]).not_met([""]);
    item("f: 'a?*?b'").met(["axyb", "axxxb"]).not_met(["axb", "ab"]);
    item("f: 'a**b'").met(["ab", "axb"]).not_met(["a", "b"]);
    item("f: '*ab*ab*'").met(["abab", "xabxabx"]).not_met(["aba", "ab"]);
    item("f: 'aa*aa'").met(["aaaa", "aaxaa", "aaaaa"]).not_met(["aa", "aaa"]);
    item("f: '*a?c*d'").met(["xabcd", "aacabcd"]).not_met(["abc", "xacd"]);
    // The leftmost place of a part must not be the only one tried where the end is bound.
    item("f: '*b?'").met(["bbx", "abb", "bb"]).not_met(["b", "bxx"]);
    item("f: '?b*b'").met(["abb", "bbb"]).not_met(["ab", "bb"]);
    item("f|contains: 'a?c'").met(["xabcx", "aacc"]).not_met(["ac"]);
    item("f|startswith: '?b'").met(["abc"]).not_met(["b", "xab"]);
    item("f|endswith: 'b?'").met(["abc"]).not_met(["ab"]);
}

#[test]
fn a_backslash_escapes_wildcards_and_itself() {
    // A plain backslash may be written once or twice when no wildcard follows.
    item(r"f: 'c:\dir\file'").met([r"C:\dir\file"]).not_met([r"c:\\dir\\file", "c:dirfile"]);
    item(r"f: 'c:\\dir\\file'").met([r"C:\dir\file"]).not_met([r"c:\\dir\\file"]);
    item(r"f: 'a\*b'").met(["a*b"]).not_met(["axb", "ab", r"a\*b", r"a\b"]);
    item(r"f: 'a\?b'").met(["a?b"]).not_met(["axb", r"a\?b"]);
    item(r"f: 'a\\*b'").met([r"a\b", r"a\xxb"]).not_met(["a*b", "axb", r"a\x"]);
    item(r"f: 'a\\?b'").met([r"a\xb"]).not_met([r"a\b", "a?b"]);
    item(r"f: 'a\\\*b'").met([r"a\*b"]).not_met([r"a\xb", "a*b"]);
    // Three or four make two.
    item(r"f: 'a\\\b'").met([r"a\\b"]).not_met([r"a\b", r"a\\\b"]);
    item(r"f: 'a\\\\b'").met([r"a\\b"]).not_met([r"a\b"]);
    item(r"f: '\\\\server\*'").met([r"\\server*"]).not_met([r"\\server\x", r"\server*"]);
    item(r"f: '\\\\server\\*'").met([r"\\SERVER\", r"\\server\x"]).not_met([r"\\server"]);
    // Only wildcards and the backslash can be escaped.
    item(r"f: '\a\-\%'").met([r"\a\-\%"]).not_met(["a-%", r"a\-\%"]);
    item(r"f: '\'").met([r"\"]).not_met(["", r"\\"]);
    item(r"f: '\\'").met([r"\"]).not_met([r"\\"]);
    item(r"f: '\*'").met(["*"]).not_met(["", "x", r"\"]);
    item(r"f: '\\*'").met([r"\", r"\x"]).not_met(["*", ""]);
}

#[test]
fn an_added_wildcard_is_never_escaped() {
    item(r"f|startswith: 'c:\'").met([r"c:\", r"C:\x"]).not_met(["c:", "c:*"]);
    item(r"f|startswith: 'c:\\'")
        .met([r"c:\", r"C:\x"])
        .not_met(["c:*", r"c:\\".trim_end_matches('\\')]);
    item(r"f|contains: '\tmp\'").met([r"x\TMP\y", r"\tmp\"]).not_met([r"\tmp", r"\tmp*"]);
    item(r"f|endswith: '\'").met([r"a\", r"\"]).not_met(["a", r"\a"]);
    item(r"f|contains: '\*'").met(["a*b", "*"]).not_met(["ab", r"a\b"]);
    item(r"f|endswith: '\\*'").met([r"a\b", r"\"]).not_met(["ab"]);
    item(r"f|contains|all: ['\a\', '\b\']").met([r"\a\x\b\", r"\a\b\"]).not_met([r"\a\b"]);
}

#[test]
fn places() {
    item("f|contains: mid").met(["MID", "amidb"]).not_met(["mi d", ""]);
    item("f|startswith: mid").met(["mid", "Midst"]).not_met(["amid"]);
    item("f|endswith: mid").met(["mid", "aMID"]).not_met(["midst"]);
    // In the order they are written both ends open.
    item("f|startswith|endswith: mid").met(["amidb", "mid"]).not_met(["mi"]);
    // A wildcard that is there already is not doubled into something else.
    item("f|contains: '*mid*'").met(["mid", "amidb"]).not_met(["md"]);
    item("f|startswith: '*mid'").met(["amidb"]).not_met(["md"]);
    item("f|endswith: 'mid*'").met(["amidb", "mid"]).not_met(["md"]);
    item("f|contains: '衡'").met(["前衡后"]).not_met(["前后"]);
}

#[test]
fn one_of_a_list_is_enough_and_all_asks_for_each() {
    item("f: [one, 'tw*', three]").met(["ONE", "twx", "three"]).not_met(["on", "four", ""]);
    item("f|contains|all: [ab, bc]").met(["abc", "bcab"]).not_met(["ab", "bc", "a b c"]);
    item("f|all|contains: [ab, bc]").met(["abc"]).not_met(["ab"]);
    item("f|all: ['a*', '*b']").met(["ab", "axb"]).not_met(["a", "b", "ba"]);
    item("f|all: [a, b]")
        .not_met(["a", "b"])
        // Each by another value of the field.
        .met([json!(["a", "b"]), json!(["x", "B", "A"])])
        .not_met([json!(["a", "a"])]);
    // Where the standard discourages `all` for a single value, it still means that value.
    item("f|contains|all: x").met(["axb"]).not_met(["ab"]);
}

#[test]
fn any_value_of_a_field_may_match() {
    item("f: b")
        .met([json!(["a", "b", "c"]), json!(["B"])])
        .not_met([json!(["a", "bb"]), json!([])]);
    item("f|neq: b").met([json!(["a", "c"])]).not_met([json!(["a", "b"])]);
    detection("s:\n  f|startswith: a\n  f|endswith: z\ncondition: s")
        .met([json!("az"), json!(["ax", "xz"])])
        .not_met([json!(["ax", "a"])]);
}

#[test]
fn neq_turns_the_whole_item_round() {
    item("f|neq: Abc").met(["abd", ""]).not_met(["abc", "ABC"]);
    item("f|neq: [a, b]").met(["c"]).not_met(["a", "B"]);
    item("f|neq|contains: [a, b]").met(["c"]).not_met(["xa", "b"]);
    item("f|contains|neq: a").met(["c"]).not_met(["xa"]);
    item("f|contains|all|neq: [a, b]").met(["a", "b", ""]).not_met(["ab"]);
    item("f|neq: 'a*'").met(["ba"]).not_met(["ab"]);
    item("f|neq: ''").met(["a"]).not_met([""]);
    item("f|neq: 5").met([json!(6), json!("x")]).not_met([json!(5), json!("5")]);
    item("f|re|neq: '^a'").met(["ba"]).not_met(["ab"]);
    item("f|cidr|neq: 10.0.0.0/8").met(["11.0.0.1"]).not_met(["10.0.0.1"]);
    item("f|gt|neq: 5").met([5, 4]).not_met([6]);
    // What is absent is different from everything but nothing.
    item("f|neq: a").met_by([json!({}), json!({"g": "a"}), json!({ "f": null })]);
    item("f|neq: null").not_met_by([json!({}), json!({ "f": null })]).met(["", "x"]);
    item("f|exists|neq: true").met_by([json!({})]).not_met(["x"]);
}

//! Regular expressions and their flags.

use serde_json::json;

use super::*;

#[test]
fn an_expression_is_found_anywhere_and_in_its_case() {
    item("f|re: 'b+c'").met(["abbcd", "bc"]).not_met(["ABBCD", "ac", ""]);
    item("f|re: '^ab'").met(["abc"]).not_met(["xab", "ABC"]);
    item("f|re: 'ab$'").met(["xab"]).not_met(["abx"]);
    // As in PCRE, the end is also before a line feed that ends the text.
    item("f|re: '^ab$'").met(["ab", "ab\n"]).not_met(["ab\n\n", "ab\nc", "ab\r\n"]);
    item("f|re: '^(ab|cd)$'").met(["ab", "cd"]).not_met(["abcd", "x"]);
    item("f|re: '[a-c]{2,3}x'").met(["abx", "abcx", "aabcx"]).not_met(["ax", "dx"]);
    item("f|re: 'a?b*c+'").met(["c", "abbc", "xc"]).not_met(["ab"]);
    item("f|re: '[^a]'").met(["ab", "b"]).not_met(["a", "aa", ""]);
    item("f|re: 'a.c'").met(["abc", "a衡c"]).not_met(["ac", "a\nc"]);
    item("f|re: 衡+").met(["x衡衡"]).not_met(["卫"]);
    item("f|re: ['^a', 'b$']").met(["ax", "xb"]).not_met(["xa", "bx"]);
    item("f|re|all: ['a', 'b']").met(["ba"]).not_met(["a"]);
    item("f|re: ''").met(["", "x"]).not_met_by([json!({})]);
    item(r"f|re: '^46\d\d$'").met([json!(4688), json!("4600")]).not_met([json!(468)]);
    item("f|re: '^tr'").met([json!(true)]).not_met([json!(false)]);
}

#[test]
fn wildcards_and_backslashes_of_values_mean_nothing_in_expressions() {
    item(r"f|re: 'a\*b'").met(["a*b"]).not_met(["aab", r"a\b"]);
    item(r"f|re: 'c:\\win'").met([r"c:\win"]).not_met(["c:win"]);
    item(r"f|re: '\\\\'").met([r"a\\b"]).not_met([r"a\b"]);
    item(r"f|re: 'a\?'").met(["a?"]).not_met(["a"]);
    item("f|re: '%Admins%'").met(["%Admins%"]).not_met(["root"]);
}

#[test]
fn flags() {
    item("f|re|i: 'b+C'").met(["aBBcd", "bc"]).not_met(["ac"]);
    item("f|re|i: 'ä'").met(["Ä"]);
    item("f|re|m: '^b$'").met(["b", "a\nb\nc"]).not_met(["abc", "B"]);
    item("f|re: '^b$'").met(["b"]).not_met(["a\nb\nc"]);
    item("f|re|s: 'a.b'").met(["a\nb", "axb"]).not_met(["A\nB"]);
    item("f|re: 'a.b'").not_met(["a\nb"]);
    item("f|re|i|m|s: '^b.c$'").met(["a\nB\nC\nd"]).not_met(["abxc"]);
    item("f|re|s|i: 'a.b'").met(["A\nB"]);
    refused("f|i: x", "belong to re");
    refused("f|contains|s: x", "belong to re");
}

#[test]
fn places_of_an_expression_are_those_it_says_itself() {
    // It is looked for anywhere; opening it further, as the place modifiers do, changes nothing.
    for place in ["contains", "startswith", "endswith"] {
        item(&format!("f|re|{place}: 'a|b'")).met(["xbx", "a"]).not_met(["c"]);
    }
    item("f|re|startswith: '^a'").met(["ab"]).not_met(["ba"]);
}

#[test]
fn what_cannot_be_an_expression_is_refused() {
    for (expression, reason) in [
        ("(", "regular expression"),
        ("[a", "regular expression"),
        ("*a", "regular expression"),
        ("(?=a)b", "regular expression"),
        ("(?<=a)b", "regular expression"),
        (r"(a)\1", "regular expression"),
        ("a++b", "possessive"),
    ] {
        refused(&format!("f|re: '{expression}'"), reason);
    }
    for modifier in ["base64", "wide", "windash", "cidr", "fieldref", "gt", "cased"] {
        let item = format!("f|re|{modifier}: a");
        // `cased` beside `re` says what is so already.
        if modifier == "cased" {
            super::item(&item).met(["a"]).not_met(["A"]);
        } else {
            refused(&item, "together");
        }
    }
}

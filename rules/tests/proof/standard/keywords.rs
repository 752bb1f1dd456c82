//! Values without a field.

use serde_json::json;

use super::*;

#[test]
fn a_keyword_is_looked_for_in_every_value_and_in_the_line() {
    detection("k: [evil, 'svchost.exe -n bad']\ncondition: k")
        .met_by([json!({"a": "so EVIL!"}), json!({"b": "x", "c": ["y", "devils"]})])
        .met_by([json!({"@line": "run svchost.exe -n badly"})])
        .met_by([json!({"a": "x", "@line": "Evil"})])
        .not_met_by([
            json!({"a": "ev", "b": "il"}),
            json!({"evil": "x"}),
            json!({}),
            json!({"@line": "good"}),
        ]);
    detection("k: evil\ncondition: k")
        .met_by([json!({"a": "devil"})])
        .not_met_by([json!({"a": "x"})]);
    detection("k: [4688]\ncondition: k")
        .met_by([json!({"a": 4688}), json!({"a": 146889}), json!({"@line": "id=4688;"})])
        .not_met_by([json!({"a": 468})]);
    detection("k: [true]\ncondition: k")
        .met_by([json!({"a": true}), json!({"a": "untrue"})])
        .not_met_by([json!({"a": false})]);
    detection("k: [1.5]\ncondition: k")
        .met_by([json!({"a": 1.5}), json!({"a": "v1.52"})])
        .not_met_by([json!({"a": 15})]);
    detection("k: ['']\ncondition: k").met_by([json!({"a": "x"})]).not_met_by([json!({})]);
    detection("k: [衡]\ncondition: k").met_by([json!({"a": "一衡"})]);
    detection("k: ['Ä']\ncondition: k").met_by([json!({"a": "xä"})]);
    detection("k: ['10.0.0.']\ncondition: k").met_by([json!({"a": {"address": "10.0.0.7"}})]);
}

#[test]
fn wildcards_and_escapes_in_keywords() {
    detection("k: ['a*z']\ncondition: k")
        .met_by([json!({"x": "--a.z--"})])
        .not_met_by([json!({"x": "z a"})]);
    detection("k: ['a?z']\ncondition: k")
        .met_by([json!({"x": "--abz--"})])
        .not_met_by([json!({"x": "az"})]);
    detection("k: ['a\\*z']\ncondition: k")
        .met_by([json!({"x": "-a*z-"})])
        .not_met_by([json!({"x": "abz"})]);
    detection("k: ['*']\ncondition: k")
        .met_by([json!({"x": ""}), json!({"@line": "l"})])
        .not_met_by([json!({})]);
}

#[test]
fn every_one_of_them_by_whatever_value() {
    detection("k:\n  '|all': [one, two]\ncondition: k")
        .met_by([
            json!({"a": "one two"}),
            json!({"a": "TWO", "b": "xonex"}),
            json!({"a": "one", "@line": "two"}),
        ])
        .met_by([json!({"a": ["one", "two"]})])
        .not_met_by([json!({"a": "one"}), json!({"a": "two"}), json!({"a": "o", "b": "ne two"})]);
    detection("k:\n  '|all': [46, true]\ncondition: k")
        .met_by([json!({"a": 4688, "b": true})])
        .not_met_by([json!({"a": 4688})]);
}

#[test]
fn modifiers_of_keywords() {
    detection("k:\n  '|cased': [Evil]\ncondition: k")
        .met_by([json!({"a": "xEvil"})])
        .not_met_by([json!({"a": "evil"})]);
    detection("k:\n  '|re': '^ev.l$'\ncondition: k")
        .met_by([json!({"a": "evil"}), json!({"@line": "evol"})])
        .not_met_by([json!({"a": "xevil"}), json!({"a": "x", "@line": "evil?"})]);
    detection("k:\n  '|windash': [' -enc ']\ncondition: k")
        .met_by([json!({"a": "x /enc y"})])
        .not_met_by([json!({"a": "x enc y"})]);
    detection("k:\n  '|base64offset': ['/bin/sh']\ncondition: k")
        .met_by([json!({"a": "L2Jpbi9zaA=="})]);
    detection("k:\n  '|contains|all': [a, b]\ncondition: k")
        .met_by([json!({"x": "b", "y": "a"})])
        .not_met_by([json!({"x": "b"})]);
    detection("k:\n  '|expand': ['%Admins%']\ncondition: k").met_by([json!({"x": "is root"})]);
    detection("k:\n  '|neq': [evil]\ncondition: k")
        .met_by([json!({"x": "good"})])
        .not_met_by([json!({"x": "evils"})]);
}

#[test]
fn keywords_beside_maps() {
    detection("k:\n  - evil\n  - f: x\n    g: y\ncondition: k")
        .met_by([json!({"a": "evil"}), json!({"f": "x", "g": "y"})])
        .not_met_by([json!({"f": "x"}), json!({"a": "x"})]);
    detection("k: [evil]\ns:\n  f: x\ncondition: k and s")
        .met_by([json!({"f": "x", "a": "evil"})])
        .not_met_by([json!({"f": "x"}), json!({"a": "evil"})]);
    detection("k: [evil]\ns:\n  f: x\ncondition: s and not k")
        .met_by([json!({"f": "x"})])
        .not_met_by([json!({"f": "x", "@line": "evil"})]);
}

#[test]
fn what_is_no_keyword_is_refused() {
    refused_detection("k: [null]\ncondition: k", "null");
    refused_detection("k: []\ncondition: k", "empty list");
    refused_detection("k: [[a]]\ncondition: k", "list in a list");
}

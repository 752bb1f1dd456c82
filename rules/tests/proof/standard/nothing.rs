//! Nothing in its forms: absent, null, empty; and what presence means.

use serde_json::json;

use super::*;

#[test]
fn null_is_met_by_an_absent_field_and_by_null() {
    item("f: null")
        .met_by([json!({}), json!({"g": "x"}), json!({ "f": null })])
        .met([json!(["a", null])])
        .not_met([json!(""), json!("null"), json!(0), json!(false), json!([""])]);
    item("f: ~").met_by([json!({})]);
    item("f:").met_by([json!({})]).not_met(["x"]);
    item("f: [null, '']").met_by([json!({}), json!({"f": ""})]).not_met(["x"]);
    item("f|all: [null, a]").met([json!([null, "a"])]).not_met([json!("a"), json!(null)]);
}

#[test]
fn not_null_is_another_selection_turned_round() {
    detection("s:\n  g: x\nno:\n  f: null\ncondition: s and not no")
        .met_by([json!({"g": "x", "f": ""}), json!({"g": "x", "f": 1})])
        .not_met_by([json!({"g": "x"}), json!({"g": "x", "f": null})]);
}

#[test]
fn the_empty_text_is_a_value_that_is_there() {
    item("f: ''").met([""]).not_met([" ", "x"]).not_met_by([json!({}), json!({ "f": null })]);
    item("f: \"\"").met([""]);
    item("f|re: '^$'").met([""]).not_met(["x"]).not_met_by([json!({})]);
    // Every text contains, begins and ends with the empty one; nothing does not.
    for place in ["contains", "startswith", "endswith"] {
        item(&format!("f|{place}: ''"))
            .met([json!(""), json!("x"), json!(5)])
            .not_met_by([json!({}), json!({ "f": null })]);
    }
    item("f|cased: ''").met([""]).not_met([" "]);
}

#[test]
fn a_lone_star_needs_presence() {
    for star in ["'*'", "'**'"] {
        item(&format!("f: {star}"))
            .met([json!(""), json!("x"), json!(0), json!(false), json!({"address": "::1"})])
            .not_met_by([json!({}), json!({ "f": null }), json!({"g": "x"})]);
    }
    item("f|re: '.*'").met(["", "x"]).not_met_by([json!({}), json!({ "f": null })]);
    item("f: '?*'").met(["x"]).not_met([""]);
    detection("s:\n  f: '*'\ncondition: not s").met_by([json!({})]).not_met([""]);
}

#[test]
fn exists_asks_for_the_field_and_not_for_its_value() {
    item("f|exists: true")
        .met([json!(""), json!(null), json!(0), json!("x"), json!(["a", "b"])])
        .not_met_by([json!({}), json!({"g": "x"}), json!({"F": "x"})]);
    item("f|exists: false")
        .met_by([json!({}), json!({"g": "x"})])
        .not_met([json!(""), json!(null)]);
    detection("s:\n  f|exists: true\n  g|exists: false\ncondition: s")
        .met_by([json!({"f": 1})])
        .not_met_by([json!({"f": 1, "g": null}), json!({"g": 1})]);
    // YAML 1.2, which the standard names, reads this as text.
    refused("f|exists: yes", "true or false");
    refused("f|exists: 1", "true or false");
    refused("f|exists: 'maybe'", "true or false");
    refused("f|exists: null", "true or false");
    refused("f|exists|contains: true", "together");
    refused("f|contains|exists: true", "together");
    refused("'|exists': true", "field");
}

#[test]
fn null_takes_no_modifier_that_needs_text() {
    for modifier in
        ["contains", "startswith", "endswith", "re", "base64", "windash", "wide", "fieldref"]
    {
        refused(&format!("f|{modifier}: null"), "null");
    }
    refused("f: []", "empty list");
}

#[test]
fn names_of_fields_are_cased() {
    item("f: x").met_by([json!({"f": "x"})]).not_met_by([json!({"F": "x"})]);
}

//! One field compared with another.

use serde_json::json;

use super::*;

fn pair(left: impl Into<Json>, right: impl Into<Json>) -> Json {
    json!({"f": left.into(), "g": right.into()})
}

#[test]
fn the_other_field_says_the_value() {
    item("f|fieldref: g")
        .met_by([
            pair("Root", "root"),
            pair(5, "5"),
            pair("5", 5),
            pair(true, "TRUE"),
            pair("", ""),
        ])
        .met_by([pair(json!(["x", "b"]), json!(["a", "B"])), pair("Ä", "ä")])
        .not_met_by([pair("root", "toor"), json!({"f": "a"}), json!({"g": "a"}), json!({})])
        .not_met_by([pair(json!(null), json!(null)), pair("a", json!(null)), pair("ab", "a")]);
    // What stands in the other field is text, wildcards and all.
    item("f|fieldref: g").met_by([pair("a*", "A*")]).not_met_by([pair("ab", "a*"), pair("a", "?")]);
    item("f|fieldref: [g, h]")
        .met_by([json!({"f": "a", "h": "a"}), pair("a", "a")])
        .not_met_by([pair("a", "b")]);
    item("f|fieldref|all: [g, h]")
        .met_by([json!({"f": "a", "g": "a", "h": "A"})])
        .not_met_by([pair("a", "a")]);
    item("f|fieldref: 'a.b'").met_by([json!({"f": "x", "a.b": "x"})]);
}

#[test]
fn the_other_fields_value_at_a_place() {
    item("f|fieldref|startswith: g")
        .met_by([pair("rootkit", "ROOT"), pair("a", "a"), pair("x", "")])
        .not_met_by([pair("xroot", "root"), pair("roo", "root")]);
    item("f|fieldref|endswith: g")
        .met_by([pair("xRoot", "root")])
        .not_met_by([pair("rootx", "root")]);
    item("f|fieldref|contains: g")
        .met_by([pair("xrootx", "root"), pair("123", 2)])
        .not_met_by([pair("ro ot", "root")]);
    item("f|startswith|fieldref: g")
        .met_by([pair("rootkit", "root")])
        .not_met_by([pair("xroot", "root")]);
    item("f|fieldref|contains: g").not_met_by([json!({"f": "x"})]);
    item(r"f|fieldref|contains: g").met_by([pair(r"a\*b", r"\*")]).not_met_by([pair("axb", "*")]);
}

#[test]
fn with_case_and_turned_round() {
    item("f|fieldref|cased: g").met_by([pair("Root", "Root")]).not_met_by([pair("Root", "root")]);
    item("f|cased|fieldref|contains: g").met_by([pair("xRx", "R")]).not_met_by([pair("xrx", "R")]);
    item("f|fieldref|neq: g")
        .met_by([pair("a", "b"), json!({"f": "a"}), json!({})])
        .not_met_by([pair("a", "A")]);
    item("f|neq|fieldref: g").met_by([pair("a", "b")]).not_met_by([pair("a", "a")]);
}

#[test]
fn what_is_no_field_is_refused() {
    refused("f|fieldref: 'g*'", "name of a field");
    refused("f|fieldref: ''", "name of a field");
    refused("f|fieldref|base64: g", "together");
    refused("f|fieldref|re: g", "together");
    refused("f|fieldref|windash: g", "together");
    refused("'|fieldref': g", "field");
}

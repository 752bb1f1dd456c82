//! Numbers, flags and addresses: as values, as text, compared.

use serde_json::json;

use super::*;

#[test]
fn whole_numbers_and_their_text_match_both_ways() {
    for written in ["f: 4688", "f: '4688'"] {
        item(written)
            .met([json!(4688), json!("4688"), json!(4688.0)])
            .not_met([json!(468), json!(46880), json!("04688"), json!("4688.0"), json!(-4688)])
            .not_met([json!(true), json!(null), json!("")]);
    }
    item("f: 0").met([json!(0), json!("0")]).not_met([json!(""), json!(false), json!(null)]);
    item("f: -1").met([json!(-1), json!("-1")]).not_met([json!(1)]);
    item("f: 9223372036854775807").met([json!(i64::MAX), json!("9223372036854775807")]);
    item("f: [1, 'two', 3]").met([json!(1), json!("1"), json!("Two"), json!(3)]);
    item("f: '46*'").met([json!(4688), json!(46)]).not_met([json!(146)]);
    item("f|endswith: '88'").met([json!(4688)]).not_met([json!(4680)]);
    item("f|contains: 68").met([json!(4688), json!("x68")]).not_met([json!(86)]);
    item("f|startswith: 46").met([json!(4688), json!("46x")]).not_met([json!(146)]);
}

#[test]
fn other_numbers() {
    item("f: 1.5").met([json!(1.5), json!("1.5")]).not_met([json!(1), json!(15), json!("1,5")]);
    item("f: '1.5'").met([json!(1.5), json!("1.5")]).not_met([json!(1.25)]);
    item("f: -0.25").met([json!(-0.25)]).not_met([json!(0.25)]);
    item("f: 2.0").met([json!(2), json!(2.0), json!("2.0")]).not_met([json!(2.5)]);
}

/// What would be taken for its neighbours too is refused by name; in quotes it is text.
#[test]
fn numbers_that_do_not_fit_are_refused() {
    for number in ["9223372036854775808", "18446744073709551615", "-1e30", "1e30"] {
        refused(&format!("f: {number}"), "64 bits");
        refused(&format!("f: [1, {number}]"), "64 bits");
        refused_detection(&format!("k: [{number}]\ncondition: k"), "64 bits");
        item(&format!("f: '{number}'")).met([number]).not_met(["9223372036854775809"]);
    }
    item("f: -9223372036854775808").met([i64::MIN]).not_met([i64::MIN + 1]);
}

#[test]
fn flags() {
    item("f: true").met([json!(true), json!("true"), json!("TRUE")]).not_met([
        json!(false),
        json!("yes"),
        json!(1),
    ]);
    item("f: false").met([json!(false), json!("False")]).not_met([
        json!(true),
        json!(0),
        json!(""),
    ]);
    item("f: 'true'").met([json!(true), json!("True")]).not_met([json!(false)]);
    item("f: 'tr*'").met([json!(true)]).not_met([json!(false)]);
    item("f|contains: true").met([json!(true), json!("untrue")]).not_met([json!(false)]);
}

#[test]
fn addresses_are_text_too() {
    let v4 = json!({"address": "192.0.2.10"});
    let v6 = json!({"address": "2001:db8::1"});
    item("f: 192.0.2.10").met([v4.clone(), json!("192.0.2.10")]).not_met([v6.clone()]);
    item("f|startswith: '192.0.2.'").met([v4.clone()]).not_met([v6.clone()]);
    item("f: '2001:DB8::1'").met([v6.clone()]).not_met([v4.clone()]);
    item(r"f|re: '^192\.'").met([v4]).not_met([v6]);
}

#[test]
fn comparisons_are_of_numbers() {
    let values = [json!(4), json!("4"), json!(4.5), json!(5), json!("5"), json!(5.5), json!("6")];
    item("f|lt: 5").met(values[..3].to_vec()).not_met(values[3..].to_vec());
    item("f|lte: 5").met(values[..5].to_vec()).not_met(values[5..].to_vec());
    item("f|gt: 5").met(values[5..].to_vec()).not_met(values[..5].to_vec());
    item("f|gte: 5").met(values[3..].to_vec()).not_met(values[..3].to_vec());
    item("f|gte: 4.5").met(values[2..].to_vec()).not_met(values[..2].to_vec());
    item("f|lt: -1").met([json!(-2), json!("-1.5")]).not_met([json!(-1), json!(0)]);
    let none =
        [json!("many"), json!(""), json!(null), json!(true), json!("5 apples"), json!("nan")];
    for operator in ["lt", "lte", "gt", "gte"] {
        item(&format!("f|{operator}: 5")).not_met(none.to_vec()).not_met_by([json!({})]);
    }
    // One of several is enough, of the field's values and of the rule's.
    item("f|gt: 5").met([json!([1, 9])]).not_met([json!([1, 2])]);
    item("f|gt: [50, 5]").met([6]).not_met([5]);
    item("f|gt|all: [50, 5]").met([51]).not_met([6]);
    // Whole numbers are compared whole, beyond what a float can tell apart.
    item("f|gt: 9007199254740992")
        .met([9_007_199_254_740_993_i64])
        .not_met([9_007_199_254_740_992_i64]);
    item("f|gte: '5'").met([5]).not_met([4]);
    detection("s:\n  f|gte: 10\n  f|lt: 20\ncondition: s").met([10, 19]).not_met([9, 20]);
    refused("f|gt: many", "number");
    refused("f|lt: null", "number");
    refused("f|lte: ''", "number");
    refused("f|gte: true", "number");
    refused("f|gt|lt: 5", "two comparisons");
    refused("f|gt|contains: 5", "together");
    refused("f|gt|re: 5", "together");
}

#[test]
fn networks_hold_addresses() {
    item("f|cidr: 10.0.0.0/8")
        .met([json!("10.0.0.0"), json!("10.255.255.255"), json!({"address": "10.1.2.3"})])
        .met([json!("::ffff:10.1.2.3")])
        .not_met([json!("9.255.255.255"), json!("11.0.0.0"), json!("10"), json!("10.0.0.1/32")])
        .not_met([json!(10), json!(null), json!("10.0.0.1:80"), json!("::1"), json!("")]);
    item("f|cidr: 192.0.2.128/25").met(["192.0.2.128", "192.0.2.255"]).not_met(["192.0.2.127"]);
    item("f|cidr: 192.0.2.7/32").met(["192.0.2.7"]).not_met(["192.0.2.6"]);
    item("f|cidr: 192.0.2.7").met(["192.0.2.7"]).not_met(["192.0.2.6"]);
    item("f|cidr: 0.0.0.0/0").met(["0.0.0.0", "255.255.255.255"]).not_met(["::", "x"]);
    item("f|cidr: 'fe80::/10'")
        .met([json!("fe80::1"), json!("FEBF::"), json!({"address": "fe80::ab"})])
        .not_met([json!("fec0::"), json!("10.0.0.1")]);
    item("f|cidr: '2001:db8::/33'").met(["2001:db8:7fff::1"]).not_met(["2001:db8:8000::"]);
    item("f|cidr: '::/0'").met(["::", "ffff::1"]).not_met(["x"]);
    item("f|cidr: ['::1/128', 127.0.0.0/8]")
        .met(["::1", "127.9.9.9", "0:0:0:0:0:0:0:1"])
        .not_met(["::2"]);
    item("f|cidr|all: [10.0.0.0/8, 10.1.0.0/16]").met(["10.1.0.1"]).not_met(["10.2.0.1"]);
    refused("f|cidr: 10.0.0.0/33", "network");
    refused("f|cidr: 10.0.0/8", "network");
    refused("f|cidr: 'fe80::/129'", "network");
    refused("f|cidr: '10.*'", "network");
    refused("f|cidr: 10", "network");
    refused("f|cidr: null", "null");
    refused("f|cidr|contains: 10.0.0.0/8", "together");
    refused("f|cidr|cased: 10.0.0.0/8", "together");
}

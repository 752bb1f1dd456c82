//! Filters: one condition added to many rules.
//!
//! As pySigma converts them, a filter's condition is joined to a rule's by "and": one that lets
//! something pass says `not selection`.

use serde_json::json;

use super::*;

fn rule_of(id: &str, name: &str, source: &str) -> String {
    format!(
        "title: {id}\nid: {id}\nname: {name}\nlogsource: {{{source}}}\ndetection:\n  selection: {{f: [{id}, both]}}\n  condition: selection\n---\n"
    )
}

fn filter(source: &str, rules: &str, rest: &str) -> String {
    format!("title: filter\nid: filter\nlogsource: {{{source}}}\nfilter:\n  rules: {rules}\n{rest}")
}

/// Which of two rules match, for a user.
#[track_caller]
fn check(filters: &str, user: &str, expected: &[&str]) {
    let text =
        rule_of("one", "uno", "product: test") + &rule_of("two", "due", "product: test") + filters;
    let rules = Rules::of([text.as_str()], &options());
    assert_eq!(rules.refused, [], "{filters}");
    let event = Made::of(&json!({"f": "both", "user": user}));
    assert_eq!(rules.names(&event), expected, "{filters} {user}");
}

const NOT_ADMIN: &str = "  selection: {user|startswith: adm_}\n  condition: not selection\n";

#[test]
fn a_filter_names_its_rules_by_id_or_name_or_means_any() {
    for (rules, expected) in [
        ("[one]", &["two"][..]),
        ("[uno]", &["two"]),
        ("[one, due]", &[]),
        ("any", &[]),
        ("[three]", &["one", "two"]),
    ] {
        let text = filter("product: test", rules, NOT_ADMIN);
        check(&text, "adm_x", expected);
        check(&text, "bob", &["one", "two"]);
    }
}

#[test]
fn its_log_source_must_cover_the_rules() {
    check(&filter("product: other", "any", NOT_ADMIN), "adm_x", &["one", "two"]);
    check(&filter("product: test, service: x", "[one]", NOT_ADMIN), "adm_x", &["one", "two"]);
    check(&filter("product: test", "any", NOT_ADMIN), "adm_x", &[]);
}

#[test]
fn its_condition_is_a_condition_like_any() {
    let of = |condition: &str| {
        filter(
            "product: test",
            "any",
            &format!(
                "  selection: {{user: [bob, eve]}}\n  other: {{user: eve}}\n  condition: {condition}\n"
            ),
        )
    };
    for (condition, bob, eve, ann) in [
        ("selection", true, true, false),
        ("not selection", false, false, true),
        ("selection and not other", true, false, false),
        ("not 1 of them", false, false, true),
        ("not all of them", true, false, true),
    ] {
        for (user, passes) in [("bob", bob), ("eve", eve), ("ann", ann)] {
            check(&of(condition), user, if passes { &["one", "two"] } else { &[] });
        }
    }
}

#[test]
fn several_filters_all_hold_and_names_do_not_clash() {
    // A selection of the filter's may be called as one of the rule's.
    let second = "---\n".to_owned()
        + &filter(
            "product: test",
            "[one]",
            "  selection: {user|endswith: _x}\n  condition: not selection\n",
        );
    let text = filter("product: test", "any", NOT_ADMIN) + &second;
    check(&text, "adm_y", &[]);
    check(&text, "bob_x", &["two"]);
    check(&text, "bob", &["one", "two"]);
}

#[test]
fn a_filter_applies_wherever_it_stands() {
    let rule = rule_of("one", "uno", "product: test");
    let filter = filter("product: test", "[one]", NOT_ADMIN);
    let event = Made::of(&json!({"f": "one", "user": "adm_x"}));
    for texts in [[filter.as_str(), rule.as_str()], [rule.as_str(), filter.as_str()]] {
        let rules = Rules::of(texts, &Options::default());
        assert_eq!((rules.refused.len(), rules.names(&event)), (0, vec![]));
    }
}

#[test]
fn what_a_filter_cannot_mean_is_refused() {
    for (text, reason) in [
        (
            filter("product: test", "any", "  selection: {user|gt: x}\n  condition: selection\n"),
            "number",
        ),
        (filter("product: test", "any", "  selection: {user: x}\n  condition: other\n"), "other"),
        (filter("product: test", "any", "  selection: {user: x}\n"), "condition"),
        (filter("product: test", "any", NOT_ADMIN).replace("  rules: any\n", ""), "rules"),
        (
            filter("product: test", "any", NOT_ADMIN).replace("logsource: {product: test}\n", ""),
            "log",
        ),
    ] {
        refused_text(&text, "filter", reason);
    }
}

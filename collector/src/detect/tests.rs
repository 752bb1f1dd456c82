//! What becomes of rules that meet the same event.

use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_rules::{Document, Mapping, Options};

use super::*;
use crate::alerts::{Alert, NoPast};
use crate::decode;
use crate::event::FieldNames;

fn rule(id: &str, level: &str, related: &[&str]) -> String {
    let related: String =
        related.iter().map(|id| format!("  - {{id: {id}, type: similar}}\n")).collect();
    let related = if related.is_empty() { related } else { format!("related:\n{related}") };
    format!(
        "title: {id}\nid: {id}\nlevel: {level}\n{related}taxonomy: ecs\nlogsource: {{product: hengwei}}\n\
         detection:\n  s: {{user.name|contains: {id}}}\n  condition: s\n"
    )
}

/// The alerts that lines raise under rules which look for their ids in the user's name.
fn alerts(rules: &[String], users: &[&str]) -> Vec<Alert> {
    let documents = rules.iter().map(|text| Document { name: "rule", text });
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let (set, refused) = Set::compile(documents, &FieldNames, &options);
    assert!(refused.is_empty(), "{refused:?}");
    let rules = Arc::new(Rules::new(set, Level::High));
    let sender = Sender {
        agent: "a".into(),
        host: "h".into(),
        site: "s".into(),
        system: "y".into(),
        zone: "".into(),
    };
    let records = (1..).zip(users).map(|(number, user)| Record {
        number,
        created: 1,
        body: Some(Body::Original(format!("{{\"user.name\":\"{user}\"}}").into())),
        ..Record::default()
    });
    let block = Block { origins: vec![Origin::default()], records: records.collect() };
    let context = decode::Context { sender: &sender, ingested: 1, kind: Kind::Log };
    let events = decode::block(&block, &context);
    let matches = rules.matches(&sender, &events);
    let mut detector = Detector::new(rules);
    let batch = Batch { sender: &sender, events: &events, kind: Kind::Log, epoch: &[0; 16] };
    detector.judge(&NoPast, &batch, &matches, 1);
    detector.book.all().cloned().collect()
}

/// Rule, related, count of each alert.
#[track_caller]
fn check(rules: &[String], users: &[&str], expected: &[(&str, &[&str], u64)]) {
    let alerts = alerts(rules, users);
    let found: Vec<(&str, Vec<&str>, u64)> = alerts
        .iter()
        .map(|alert| {
            let related = alert.related.iter().map(String::as_str).collect();
            (alert.rule.id.as_str(), related, alert.count)
        })
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(rule, related, count)| (*rule, related.to_vec(), *count)).collect();
    assert_eq!(found, expected);
}

#[test]
fn one_event_raises_one_alert_that_names_the_related_rules() {
    let (ours, public) = (rule("ours", "high", &["public"]), rule("public", "high", &[]));
    let both = [public.clone(), ours.clone()];
    check(&both, &["ours public"], &[("ours", &["public"], 1)]);
    check(&[ours, public], &["ours public", "ours public"], &[("ours", &["public"], 2)]);
}

#[test]
fn each_alone_is_an_alert_of_its_own() {
    let both = [rule("ours", "high", &["public"]), rule("public", "high", &[])];
    check(&both, &["public", "ours"], &[("public", &[], 1), ("ours", &[], 1)]);
    let strangers = [rule("one", "high", &[]), rule("other", "high", &[])];
    check(&strangers, &["one other"], &[("one", &[], 1), ("other", &[], 1)]);
}

#[test]
fn a_rule_that_tells_nothing_silences_nothing() {
    let both = [rule("ours", "medium", &["public"]), rule("public", "high", &[])];
    check(&both, &["ours public"], &[("public", &[], 1)]);
}

#[test]
fn the_higher_level_leads_whoever_names_whom() {
    let both = [rule("ours", "high", &["public"]), rule("public", "critical", &[])];
    check(&both, &["ours public"], &[("public", &["ours"], 1)]);

    let both = [rule("ours", "high", &["public"]), rule("public", "critical", &["ours"])];
    check(&both, &["ours public"], &[("public", &["ours"], 1)]);
    let equal = [rule("ours", "high", &["public"]), rule("public", "high", &["ours"])];
    check(&equal, &["ours public"], &[("ours", &["public"], 1)]);
}

#[test]
fn leaders_may_be_led() {
    let three = [rule("c", "high", &[]), rule("b", "high", &["c"]), rule("a", "high", &["b"])];
    check(&three, &["a b c"], &[("a", &["c", "b"], 1)]);
    let ring = [rule("c", "high", &["a"]), rule("b", "high", &["c"]), rule("a", "high", &["b"])];
    let found = alerts(&ring, &["a b c"]);
    let counts: Vec<u64> = found.iter().map(|alert| alert.count).collect();
    assert_eq!(counts, [1], "rules that lead in a circle tell once");
    let outside = [&ring[..], &[rule("d", "high", &[]), rule("e", "high", &["d"])]].concat();
    assert_eq!(alerts(&outside, &["a b c d e"]).len(), 2, "and leave others alone");
}

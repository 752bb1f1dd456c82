//! What is due, from a manifest alone.

use super::*;
use crate::history::stored::Checkpoint;

const NOW: i64 = 20_000 * DAY;

/// Segment `n` (from 1) of a class holds commits `10 n` to `10 n + 9`, 100 bytes and 5 records.
fn segment(class: Class, n: u64, days_old: i64) -> Segment {
    Segment {
        class: class.number(),
        first_commit: 10 * n,
        last_commit: 10 * n + 9,
        since: NOW - days_old * DAY - 1_000,
        until: NOW - days_old * DAY,
        link: vec![n as u8; 32].into(),
        entries: 5,
        bytes: 100,
        ..Segment::default()
    }
}

/// A class whose segments end so many days ago.
fn manifest(classes: &[(Class, &[i64])]) -> Manifest {
    let segments = classes.iter().flat_map(|(class, ages)| {
        (1..).zip(*ages).map(|(n, days_old)| segment(*class, n, *days_old))
    });
    let checkpoint = Checkpoint { commit: 999, correlations_commit: 990, ..Checkpoint::default() };
    Manifest {
        segments: segments.collect(),
        checkpoints: vec![checkpoint.clone(), checkpoint],
        ..Manifest::default()
    }
}

fn keeping(class: Class, keep: Keep) -> Policy {
    let mut policy = Policy { keep: [Keep::days(10_000); 5], ..Policy::default() };
    policy.keep[class.index()] = keep;
    policy
}

/// Class, rule, last commit and segments of what is due.
fn check(manifest: &Manifest, policy: &Policy, expected: &[(Class, Rule, u64, u64)]) {
    let found: Vec<_> = due(manifest, policy, NOW)
        .iter()
        .map(|due| (due.class, due.rule, due.through_commit, due.segments))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn whole_segments_go_by_age_from_the_oldest_on() {
    let logs = manifest(&[(Class::Log, &[9, 8, 7, 3]), (Class::Asset, &[9])]);
    check(&logs, &keeping(Class::Log, Keep::days(7)), &[(Class::Log, Rule::Age, 29, 2)]);
    check(&logs, &keeping(Class::Log, Keep::days(2)), &[(Class::Log, Rule::Age, 49, 4)]);
    check(&logs, &keeping(Class::Log, Keep::days(9)), &[]);
    // One that is younger keeps back what is behind it: a chain has one beginning.
    let mixed = manifest(&[(Class::Log, &[9, 3, 9])]);
    check(&mixed, &keeping(Class::Log, Keep::days(7)), &[(Class::Log, Rule::Age, 19, 1)]);
    let removal = &due(&logs, &keeping(Class::Log, Keep::days(7)), NOW)[0];
    assert_eq!((removal.records, removal.bytes, &removal.link), (10, 200, &hex(&[2; 32])));
    assert_eq!((removal.since, removal.until), (NOW - 9 * DAY - 1_000, NOW - 8 * DAY));
    let body = removal.body();
    assert_eq!(serde_json::from_str::<Removal>(&body).expect("a removal"), *removal);
    assert!(body.starts_with(r#"{"class":"log","rule":"age","through_commit":29,"link":"0202"#));
    assert!(!body.contains("begins"), "{body}");
}

#[test]
fn a_limit_of_size_removes_nothing_that_was_promised() {
    let logs = manifest(&[(Class::Log, &[9, 8, 7, 3])]);
    let keep = |days, at_least_days, max_bytes| {
        keeping(Class::Log, Keep { days, at_least_days, max_bytes })
    };
    check(&logs, &keep(10, 10, 150), &[]);
    check(&logs, &keep(8, 8, 150), &[(Class::Log, Rule::Age, 19, 1)]);
    check(&logs, &keep(10, 5, 0), &[]);
    check(&logs, &keep(10, 5, 400), &[]);
    check(&logs, &keep(10, 5, 399), &[(Class::Log, Rule::Size, 19, 1)]);
    check(&logs, &keep(10, 5, 1), &[(Class::Log, Rule::Size, 39, 3)]);
    // More than `days` is never kept for it.
    check(&logs, &keep(7, 100, 1), &[(Class::Log, Rule::Age, 29, 2)]);
}

#[test]
fn what_opening_needs_stays() {
    let mut history = manifest(&[(Class::Log, &[9, 8, 7]), (Class::Record, &[9, 8, 7])]);
    let policy = Policy { keep: [Keep::days(1); 5], ..Policy::default() };
    let (log, record) = (Class::Log, Class::Record);
    check(&history, &policy, &[(log, Rule::Age, 39, 3), (record, Rule::Age, 39, 3)]);
    history.checkpoints[0].correlations_commit = 29;
    check(&history, &policy, &[(log, Rule::Age, 39, 3), (record, Rule::Age, 29, 2)]);
    history.checkpoints[0].correlations_commit = 0;
    check(&history, &policy, &[(log, Rule::Age, 39, 3)]);
    history.checkpoints[0].commit = 38;
    check(&history, &policy, &[(log, Rule::Age, 29, 2)]);
    history.checkpoints.clear();
    check(&history, &policy, &[]);
}

#[test]
fn when_decisions_go_every_beginning_is_told_again() {
    let mut history = manifest(&[(Class::Log, &[9, 8]), (Class::Record, &[9])]);
    let asset = Removed {
        class: Class::Asset.number(),
        to_commit: 7,
        link: vec![9; 32].into(),
        entry_commit: 12,
        segments: 1,
        records: 2,
        bytes: 3,
        since: 4,
        until: 5,
    };
    let log = Removed { class: Class::Log.number(), ..asset.clone() };
    history.removed = vec![asset.clone(), log];
    let policy = keeping(Class::Record, Keep::days(1));
    check(
        &history,
        &policy,
        &[
            (Class::Asset, Rule::Restated, 7, 1),
            (Class::Log, Rule::Restated, 7, 1),
            (Class::Record, Rule::Age, 19, 1),
        ],
    );
    let policy = Policy { keep: [Keep::days(1); 5], ..Policy::default() };
    let told = due(&history, &policy, NOW);
    let [restated, log, record] = &told[..] else { panic!("{told:?}") };
    assert_eq!(restated.stored(12), Some(asset));
    assert_eq!((log.rule, log.through_commit), (Rule::Age, 29));
    let begins: Vec<_> = record.begins.iter().map(|it| (it.class, it.through_commit)).collect();
    assert_eq!(begins, [(Class::Asset, 7), (Class::Log, 29), (Class::Record, 19)]);
    assert!(restated.begins.is_empty() && log.begins.is_empty());
}

#[test]
fn hits_alone_do_not_move_the_link() {
    let mut history = manifest(&[(Class::Record, &[9, 8])]);
    let policy = keeping(Class::Record, Keep::days(1));
    let link = |history: &Manifest| due(history, &policy, NOW)[0].link.clone();
    history.segments[1].link.clear();
    assert_eq!(link(&history), hex(&[1; 32]));
    history.segments[0].link.clear();
    assert_eq!(link(&history), hex(&[0; 32]));
    history.removed = vec![Removed {
        class: Class::Record.number(),
        link: vec![8; 32].into(),
        ..Removed::default()
    }];
    assert_eq!(link(&history), hex(&[8; 32]));
}

#[test]
fn a_class_that_is_kept_for_less_is_named() {
    let short = |policy: Policy| policy.short().collect::<Vec<_>>();
    assert_eq!(short(Policy::default()), []);
    assert_eq!(short(keeping(Class::Log, Keep::days(1))), []);
    assert_eq!(short(keeping(Class::Security, Keep::days(179))), [(Class::Security, 179)]);
    let keep = Keep { days: 365, at_least_days: 90, max_bytes: 0 };
    assert_eq!(short(keeping(Class::Record, keep)), [(Class::Record, 90)]);
}

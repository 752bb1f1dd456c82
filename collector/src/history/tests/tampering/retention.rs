//! Beginnings that retention removed, and beginnings that only look so.

use super::super::stored::{Item, Removed};
use super::forgery::{Forger, sealed};
use super::*;

fn decision(class: Class, removed: &Removed) -> Entry {
    let body = serde_json::json!({
        "class": class.as_str(), "rule": "age", "through_commit": removed.to_commit,
        "link": ledger::hex(&removed.link), "segments": removed.segments,
        "records": removed.records, "bytes": removed.bytes,
    });
    Entry { body: body.to_string(), ..entry("retention.removed", 99) }
}

/// Removes the first segment of the class's chain as retention does: the decision is committed, then
/// the list changes, then the file goes.
fn retained(class: Class) -> (Place, Heads, Removed) {
    let (place, heads) = sealed();
    let forger = Forger::of(&place);
    let gone = forger.manifest.segments[forger.position(class, 1)].clone();
    let mut removed = Removed {
        class: class.number(),
        to_commit: gone.last_commit,
        link: gone.link.clone(),
        entry_commit: 10,
        segments: 1,
        records: gone.entries,
        bytes: gone.bytes,
        since: gone.since,
        until: gone.until,
    };
    let (mut writer, history) = place.open();
    let draft = Draft { entries: vec![decision(class, &removed)], ..Draft::default() };
    removed.entry_commit = writer.commit(draft).expect("commits").number;
    history.seal().expect("seals");
    writer.close().expect("closes");
    let mut forger = Forger::of(&place);
    forger.manifest.removed.push(removed.clone());
    forger.remove(class, 1);
    forger.save(&place.key);
    (place, heads, removed)
}

/// Fails unless the first finding is this.
fn check(place: &Place, problem: Problem, class: Class, commit: u64, file: &str) {
    let report = place.verify();
    let found = report.findings.first().expect("a finding");
    assert_eq!(
        (found.problem, found.class, found.commit),
        (problem, Some(class), Some(commit)),
        "{report:#?}"
    );
    assert!(found.file.starts_with(file) && found.time.is_some(), "{found:?}");
}

#[test]
fn a_class_may_begin_where_a_decision_says() {
    for class in [Class::Log, Class::Record] {
        let (place, heads, removed) = retained(class);
        let early = Heads {
            time: 5,
            heads: [1, removed.to_commit]
                .map(|commit| hengwei_protocol::wire::Head {
                    class: class.as_str().into(),
                    commit,
                    link: removed.link.clone(),
                })
                .into(),
            signature: Bytes::new(),
        };
        let report = place.verify_with(vec![early, heads]);
        assert!(report.is_clean(), "{class:?}: {report:#?}");
        assert_eq!((report.starts, report.heads.before_start), (1, 1), "{report:#?}");
        // Of the two kept checkpoints, the first is taken as it is where decisions are gone.
        let expected = if class == Class::Record { (1, 1) } else { (2, 0) };
        assert_eq!((report.checkpoints, report.checkpoints_taken), expected, "{class:?}");
        assert_eq!(report.index, IndexState::Compared);
        // The list is lost: the decision in the chain is enough.
        fs::remove_file(place.dir.join("manifest")).expect("removes");
        let report = place.verify();
        let [found] = &report.findings[..] else { panic!("{report:#?}") };
        assert_eq!((found.problem, found.file.as_str()), (Problem::Removed, "manifest"));
        assert_eq!(report.starts, 1);
    }
}

#[test]
fn more_is_gone_than_was_decided() {
    let (place, ..) = retained(Class::Log);
    let mut forger = Forger::of(&place);
    let gone = forger.remove(Class::Log, 4);
    forger.save(&place.key);
    check(&place, Problem::Retention, Class::Log, 7, "segments/log-00000000000000000007");
    // And the list says that it was decided.
    let mut forger = Forger::of(&place);
    let removed = &mut forger.manifest.removed[0];
    (removed.to_commit, removed.link) = (gone.last_commit, gone.link.clone());
    let at = removed.entry_commit;
    forger.save(&place.key);
    check(&place, Problem::Retention, Class::Log, at, "manifest");
}

#[test]
fn a_head_at_the_last_removed_commit_must_fit_too() {
    let (place, _, removed) = retained(Class::Log);
    let head = hengwei_protocol::wire::Head {
        class: "log".into(),
        commit: removed.to_commit,
        link: vec![9; 32].into(),
    };
    let heads = Heads { time: 5, heads: vec![head], signature: Bytes::new() };
    let report = place.verify_with(vec![heads]);
    let [found] = &report.findings[..] else { panic!("{report:#?}") };
    assert_eq!((found.problem, found.commit), (Problem::Head, Some(3)));
}

#[test]
fn a_record_of_retention_that_does_not_fit() {
    type Change<'a> = &'a dyn Fn(&mut Removed);
    let cases: [(Change<'_>, u64, &str); 5] = [
        (&|removed| removed.link = vec![1; 32].into(), 4, "segments/log-00000000000000000004"),
        (&|removed| removed.to_commit = 5, 4, "segments/log-00000000000000000004"),
        (&|removed| removed.to_commit = 2, 10, "manifest"),
        (&|removed| removed.entry_commit = 8, 8, "manifest"),
        (&|removed| removed.records += 1, 10, "manifest"),
    ];
    for (change, commit, file) in cases {
        let (place, ..) = retained(Class::Log);
        let mut forger = Forger::of(&place);
        change(&mut forger.manifest.removed[0]);
        forger.save(&place.key);
        check(&place, Problem::Retention, Class::Log, commit, file);
    }
}

#[test]
fn a_removal_without_a_decision_or_without_a_record_of_it() {
    let (place, ..) = retained(Class::Log);
    let mut forger = Forger::of(&place);
    forger.manifest.removed.clear();
    forger.save(&place.key);
    check(&place, Problem::Removed, Class::Log, 4, "segments/log-00000000000000000004");
    // Nobody ever decided it.
    let (place, _) = sealed();
    let mut forger = Forger::of(&place);
    let gone = forger.remove(Class::Log, 1);
    let (class, to_commit, link) = (gone.class, gone.last_commit, gone.link);
    let removed = Removed { class, to_commit, link, entry_commit: 9, ..Removed::default() };
    forger.manifest.removed.push(removed);
    forger.save(&place.key);
    check(&place, Problem::Retention, Class::Log, 9, "manifest");
    fs::remove_file(place.dir.join("manifest")).expect("removes");
    let report = place.verify();
    assert_eq!(report.findings.len(), 2, "{report:#?}");
    let found = &report.findings[1];
    assert_eq!((found.problem, found.commit), (Problem::Removed, Some(4)), "{found:?}");
}

#[test]
fn a_changed_decision() {
    let blame = |item: &mut Item| {
        for entry in &mut item.entries {
            entry.body = entry.body.replace("\"through_commit\":3", "\"through_commit\":6");
        }
    };
    let (place, ..) = retained(Class::Log);
    let mut forger = Forger::of(&place);
    forger.rewrite(Class::Record, 10, &blame);
    forger.end(&place.key);
    forger.save(&place.key);
    check(&place, Problem::Retention, Class::Log, 10, "manifest");
    // Without the links made to fit, the chain says so first.
    let (place, ..) = retained(Class::Log);
    flip(&place.file("segments", "record-00000000000000000010"), 60);
    let report = place.verify();
    let [found] = &report.findings[..] else { panic!("{report:#?}") };
    assert_eq!((found.problem, found.class), (Problem::Changed, Some(Class::Record)));
}

#[test]
fn what_is_left_of_the_decisions_says_all_beginnings_again() {
    let (place, _, removed) = retained(Class::Log);
    // The decisions up to the one about the log class are removed themselves; the new decision comes
    // with one that says the log's beginning again.
    let (mut writer, history) = place.open();
    let forger = Forger::of(&place);
    let last = forger.manifest.segments[forger.position(Class::Record, 10)].clone();
    let own = Removed {
        class: Class::Record.number(),
        to_commit: last.last_commit,
        link: last.link.clone(),
        entry_commit: 0,
        ..Removed::default()
    };
    let body = |removed: &Removed, class: Class| {
        serde_json::json!({
            "class": class.as_str(), "through_commit": removed.to_commit,
            "link": ledger::hex(&removed.link),
        })
    };
    let again = |removed: &Removed, class| Entry {
        body: body(removed, class).to_string(),
        ..entry("retention.removed", 100)
    };
    for restated in [false, true] {
        let mut entries = vec![again(&own, Class::Record)];
        entries.extend(restated.then(|| again(&removed, Class::Log)));
        writer.commit(Draft { entries, ..Draft::default() }).expect("commits");
        history.seal().expect("seals");
    }
    let number = history.status().commits;
    writer.close().expect("closes");
    let mut forger = Forger::of(&place);
    for commit in [1, 4, 7, 10] {
        forger.remove(Class::Record, commit);
    }
    let own = Removed { entry_commit: number - 1, ..own };
    forger.manifest.removed.push(own.clone());
    forger.save(&place.key);
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.starts, 2);
    // Without the second entry nobody bears the log's beginning out.
    let mut forger = Forger::of(&place);
    forger.remove(Class::Record, number);
    forger.end(&place.key);
    forger.save(&place.key);
    check(&place, Problem::Retention, Class::Log, removed.entry_commit, "manifest");
}

#[test]
fn a_decision_is_looked_at_even_when_its_time_is_passed_over() {
    let (place, heads, _) = retained(Class::Log);
    let options = VerifyOptions { since: Some(i64::MAX), ..place.trusting(vec![heads]) };
    let report = verify(&place.dir, options).expect("verifies");
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.segments, report.starts), (1, 1));
    assert_eq!(report.segments_passed_over, 5);
    assert_eq!(report.heads.matched_unsigned + report.heads.matched, 4, "ends of segments count");
}

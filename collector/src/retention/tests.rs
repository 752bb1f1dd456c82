//! What is decided is done, and what is shortened is written down: over a real history and judge.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::*;
use crate::detect::Rules;
use crate::history::{Class, Keep, Options, VerifyOptions, Writer, verify};
use crate::hosts::Fleet;
use crate::judge::{self, Bench};

/// A judge over a history of a temporary folder.
struct Court {
    dir: PathBuf,
    history: History,
    desk: Desk,
    judge: JoinHandle<()>,
}

impl Court {
    fn open(dir: &Path, policy: Policy) -> Court {
        let options = Options {
            retention: policy,
            checkpoint_age: Duration::ZERO,
            reserve_bytes: 0,
            ..Options::default()
        };
        let (writer, history) = Writer::open(dir, options).expect("opens");
        let (desk, judge) = judge::start(Bench {
            writer,
            history: history.clone(),
            rules: Arc::new(Rules::new(hengwei_rules::Set::default(), hengwei_rules::Level::High)),
            fleet: Fleet::new(),
            metrics: Arc::default(),
        });
        Court { dir: dir.to_owned(), history, desk, judge }
    }

    /// An operator's action, sealed for itself.
    async fn act(&self, time: i64) {
        let entry = Entry { time, ..acted() };
        let decision = Decision { entries: vec![entry], puts: Vec::new() };
        self.desk.transact(move |_, _| Ok((decision, ()))).await.expect("commits");
        let history = self.history.clone();
        tokio::task::spawn_blocking(move || history.seal()).await.expect("runs").expect("seals");
    }

    async fn round(&self, now: i64) -> Vec<Removal> {
        round(&self.history, &self.desk, now).await.expect("a round")
    }

    /// Actions and bodies, oldest first.
    fn entries(&self) -> Vec<(String, serde_json::Value)> {
        let mut entries = Vec::new();
        let read = self.history.entries(None, None, &mut |_, entry| {
            entries.push((entry.action, serde_json::from_str(&entry.body).expect("JSON")));
            true
        });
        read.expect("reads");
        entries.reverse();
        entries
    }

    fn actions(&self) -> Vec<String> {
        self.entries().into_iter().map(|(action, _)| action).collect()
    }

    fn is_clean(&self) -> bool {
        let report = verify(&self.dir, VerifyOptions::default()).expect("verifies");
        assert!(report.is_clean(), "{report:#?}");
        report.is_clean()
    }

    async fn close(self) {
        self.desk.stop().await;
        tokio::task::spawn_blocking(|| self.judge.join()).await.expect("runs").expect("ends well");
    }
}

fn acted() -> Entry {
    Entry { time: 0, actor: "local:root".into(), action: "acted".into(), body: "{}".into() }
}

fn keeping(record_days: u32) -> Policy {
    let mut policy = Policy::default();
    policy.keep[4] = Keep::days(record_days);
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_by_a_decision_and_only_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let court = Court::open(dir.path(), keeping(3));
    let now = time::now();
    // The last two seals' checkpoints need nothing of those before them.
    for days_old in [9, 8, 7, 2, 0] {
        court.act(now - days_old * time::DAY).await;
    }
    assert_eq!(court.round(now - 6 * time::DAY).await, []);
    let removed = court.round(now).await;
    let found: Vec<_> = removed.iter().map(|it| (it.class, it.segments)).collect();
    assert_eq!(found, [(Class::Record, 3)]);
    assert_eq!(court.round(now).await, [], "done");
    assert_eq!(court.actions(), ["acted", "acted", Removal::ENTRY]);
    let body = court.entries().pop().expect("a decision").1;
    assert_eq!(body["class"], "record");
    assert_eq!(body["rule"], "age");
    assert_eq!(body["begins"][0]["through_commit"], body["through_commit"]);
    assert!(court.is_clean());
    court.close().await;
    let court = Court::open(dir.path(), keeping(3));
    assert_eq!(court.round(now).await, []);
    assert_eq!(court.actions(), ["acted", "acted", Removal::ENTRY]);
    assert!(court.is_clean());
    court.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_a_crash_kept_from_being_done_is_done_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let court = Court::open(dir.path(), keeping(3));
    let now = time::now();
    for days_old in [9, 8, 2, 0] {
        court.act(now - days_old * time::DAY).await;
    }
    let due = court.history.retention_due(now);
    let entries =
        due.iter().map(|due| Entry { action: Removal::ENTRY.into(), body: due.body(), ..acted() });
    let decision = Decision { entries: entries.collect(), puts: Vec::new() };
    court.desk.transact(move |_, _| Ok((decision, ()))).await.expect("commits");
    court.close().await;
    let court = Court::open(dir.path(), keeping(3));
    assert!(court.is_clean());
    assert_eq!(court.round(now).await.len(), 1);
    assert_eq!(court.actions(), ["acted", "acted", Removal::ENTRY, Removal::ENTRY]);
    assert!(court.is_clean());
    court.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_for_less_is_written_down_once_and_when_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut told = Vec::new();
    for (days, expected) in [
        (180, None),
        (30, Some(("retention.shortened", 30))),
        (30, None),
        (20, Some(("retention.shortened", 20))),
        (365, Some(("retention.restored", 180))),
        (365, None),
    ] {
        let court = Court::open(dir.path(), keeping(days));
        for _ in 0..2 {
            record_policy(&court.history, &court.desk).await.expect("commits");
        }
        told.extend(expected);
        let found = court.entries();
        let found: Vec<_> =
            found.iter().map(|(action, body)| (&**action, body["days"].as_u64())).collect();
        let expected: Vec<_> = told.iter().map(|(action, days)| (*action, Some(*days))).collect();
        assert_eq!(found, expected);
        let shown = court.history.status().short_retention;
        assert_eq!(shown.len(), usize::from(days < MINIMUM_DAYS), "{shown:?}");
        court.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_decision_removes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let court = Court::open(dir.path(), keeping(3));
    let now = time::now();
    for days_old in [9, 8, 2, 0] {
        court.act(now - days_old * time::DAY).await;
    }
    court.desk.stop().await;
    court.desk.ended().await;
    assert!(round(&court.history, &court.desk, now).await.is_err());
    assert_eq!(court.actions(), ["acted"; 4]);
    court.close().await;
}

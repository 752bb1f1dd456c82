//! The judge over a real history whose disk fails when it is told to.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Origin, Record};
use hengwei_protocol::{block, record};
use hengwei_rules::Level;

use super::*;
use crate::history::{Disk, Options, Real, Space};

/// A disk with so much room, that breaks off the next writes when it is told to.
#[derive(Debug)]
struct Tight {
    free: AtomicU64,
    failing: AtomicU64,
}

impl Disk for Tight {
    fn write_at(&self, file: &std::fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let fails = |left: u64| left.checked_sub(1);
        match self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails) {
            Ok(_) => Err(std::io::ErrorKind::StorageFull.into()),
            Err(_) => Real.write_at(file, bytes, offset),
        }
    }

    fn space(&self, _: &Path) -> std::io::Result<Space> {
        Ok(Space { free_bytes: self.free.load(Ordering::Relaxed), total_bytes: 100 << 30 })
    }
}

struct Court {
    dir: tempfile::TempDir,
    disk: Arc<Tight>,
    history: History,
    desk: Desk,
    judge: thread::JoinHandle<()>,
}

fn open(dir: tempfile::TempDir) -> Court {
    let disk = Arc::new(Tight { free: AtomicU64::new(50 << 30), failing: AtomicU64::new(0) });
    let options = Options {
        disk: Arc::clone(&disk) as Arc<dyn Disk>,
        reserve_bytes: 0,
        ..Options::default()
    };
    let (writer, history) = Writer::open(&dir.path().join("history"), options).expect("opens");
    let (desk, judge) = start(Bench {
        writer,
        history: history.clone(),
        rules: library(),
        fleet: Fleet::new(),
        metrics: Arc::default(),
    });
    Court { dir, disk, history, desk, judge }
}

impl Court {
    fn new() -> Court {
        open(tempfile::tempdir().expect("a directory"))
    }

    async fn submit(&self, prepared: Prepared) -> Result<Stored, Error> {
        self.desk.submit(prepared).await.await.expect("the judge answers")
    }

    /// Every record of an agent that history has.
    fn stored(&self, agent: &str) -> Vec<u64> {
        let range = history::Range { agent: Some(agent.into()), ..Default::default() };
        let mut numbers = Vec::new();
        let read = self.history.read(&range, &mut |found| {
            numbers.push(found.record.number);
            true
        });
        read.expect("reads");
        numbers.sort_unstable();
        numbers
    }

    /// Entities and counts of all alerts.
    fn alerts(&self) -> Vec<(String, u64)> {
        let mut alerts = Vec::new();
        self.history.scan(tree::ALERTS, b"", &mut |_, value| {
            let alert: alerts::Alert = serde_json::from_slice(value).expect("an alert");
            alerts.push((alert.entity.value, alert.count));
            true
        });
        alerts
    }

    /// Stops in good order and opens the same folder again.
    async fn again(self) -> Court {
        self.desk.stop().await;
        self.judge.join().expect("the judge ends well");
        drop(self.history);
        open(self.dir)
    }
}

/// A batch as an input would hand it over: failed logins from an address.
pub(crate) fn failures(agent: &str, first: u64, count: u64, address: &str) -> Prepared {
    let text = |n: u64| {
        let second = n % 60;
        format!(
            "Nov 20 08:00:{second:02} his sshd[1]: Failed password for a from {address} port 1 ssh2"
        )
    };
    let created = time::parse("2026-11-20T08:00:00Z").expect("a time");
    lines(agent, first, created, (first..first + count).map(text))
}

pub(crate) fn lines(
    agent: &str,
    first: u64,
    created: i64,
    lines: impl IntoIterator<Item = String>,
) -> Prepared {
    let origin = Origin { source: "files".into(), dataset: "sshd".into(), ..Origin::default() };
    let records = (first..).zip(lines).map(|(number, text)| Record {
        number,
        created,
        body: Some(Body::Original(text.into())),
        ..Record::default()
    });
    let made = Block { origins: vec![origin], records: records.collect() };
    let kind = Kind::Security;
    let batch = block::pack(kind, Bytes::from_static(&[7; 16]), &made).expect("packs");
    let sender = Arc::new(Sender {
        agent: agent.into(),
        host: agent.into(),
        site: "site".into(),
        system: "his".into(),
        zone: "UTC".into(),
    });
    let context = decode::Context { sender: &sender, ingested: created, kind };
    let events = decode::block(&made, &context);
    let last = made.records.last().expect("a record");
    let received = Received {
        agent: Arc::clone(&sender.agent),
        host: Arc::clone(&sender.host),
        site: Arc::clone(&sender.site),
        system: Arc::clone(&sender.system),
        zone: Arc::clone(&sender.zone),
        kind,
        epoch: [7; 16],
        first: batch.first,
        span: batch.span,
        block: batch.block,
        raw_len: batch.raw_len,
        raised: Vec::new(),
        ingested: created,
        records: Arc::new(made.clone()),
    };
    Prepared { received, digest: record::digest(&made.origins[0], last), events, sender }
}

/// Several threads, as the daemon has: the judge blocks.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test);
}

fn busy(result: &Result<Stored, Error>) -> bool {
    matches!(result, Err(Error::Busy(_)))
}

#[test]
fn an_epoch_that_begins_at_0_is_stored_before_it_is_acknowledged() {
    run(async {
        let court = Court::new();
        for first in [0, 1] {
            let agent = format!("a{first}");
            let stored = court.submit(failures(&agent, first, 1, "203.0.113.9")).await;
            assert_eq!(stored.expect("stored").next, first + 1);
            assert_eq!(court.stored(&agent), [first]);
        }
        let hole = court.submit(failures("a2", 2, 1, "203.0.113.9")).await;
        assert!(matches!(hole, Err(Error::Hole { expected: 1, found: 2 })), "{hole:?}");
    });
}

#[test]
fn a_commit_that_finds_no_space_is_as_if_it_had_never_been() {
    run(async {
        let court = Court::new();
        court.submit(failures("a", 1, 3, "203.0.113.9")).await.expect("stored");
        court.disk.failing.store(1, Ordering::Relaxed);
        let full = court.submit(failures("a", 4, 1, "203.0.113.9")).await;
        assert!(busy(&full), "{full:?}");
        // The judge is free meanwhile, for operators above all.
        let put = Put { tree: tree::SETTINGS, key: b"k".to_vec(), value: Some(b"1".to_vec()) };
        let decided = court
            .desk
            .transact(|_, _| Ok((Decision { entries: Vec::new(), puts: vec![put] }, 7)))
            .await;
        assert_eq!(decided.expect("decided"), 7);
        loop {
            // Batches are taken again after a moment; what was refused is counted once.
            match court.submit(failures("a", 4, 1, "203.0.113.9")).await {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, Error::Busy(_)), "{error}"),
            }
        }
        assert!(court.alerts().is_empty(), "four failures are no attack: {:?}", court.alerts());
        court.submit(failures("a", 5, 1, "203.0.113.9")).await.expect("stored");
        assert_eq!(court.alerts(), [("203.0.113.9".to_owned(), 5)]);
    });
}

#[test]
fn a_decision_that_finds_no_space_is_refused_and_holds_nobody_up() {
    run(async {
        let court = Court::new();
        court.disk.failing.store(1, Ordering::Relaxed);
        let decide = || {
            court.desk.transact(|_, _| {
                let key = b"k".to_vec();
                let put = Put { tree: tree::SETTINGS, key, value: Some(b"1".to_vec()) };
                Ok((Decision { entries: Vec::new(), puts: vec![put] }, ()))
            })
        };
        assert!(matches!(decide().await, Err(Error::Busy(_))));
        assert_eq!(court.history.get(tree::SETTINGS, b"k"), None);
        decide().await.expect("decided");
    });
}

#[test]
fn what_history_refuses_ends_nothing_but_itself() {
    run(async {
        let court = Court::new();
        // History keeps the ledger itself.
        let put = Put { tree: tree::LEDGER, key: b"k".to_vec(), value: None };
        let decided = court
            .desk
            .transact(|_, _| Ok((Decision { entries: Vec::new(), puts: vec![put] }, ())))
            .await;
        assert!(matches!(decided, Err(Error::Busy(_))), "{decided:?}");
        let mut monster = failures("evil", 1, 4, "203.0.113.9");
        monster.received.raw_len = history::MAX_DRAFT_RAW + 1;
        let (evil, good) = tokio::join!(
            court.submit(monster),
            court.submit(failures("good", 1, 1, "198.51.100.1"))
        );
        assert!(busy(&evil), "{evil:?}");
        // In the same commit or the next: what matters is that it is taken when it comes again.
        assert!(good.is_ok() || busy(&good), "{good:?}");
        court.submit(failures("good", 1, 1, "198.51.100.1")).await.expect("stored");
        // What was refused counts for nothing.
        court.submit(failures("fine", 1, 1, "203.0.113.9")).await.expect("stored");
        assert!(court.alerts().is_empty(), "{:?}", court.alerts());
    });
}

#[test]
fn a_panic_in_a_transaction_is_its_own() {
    run(async {
        let court = Court::new();
        let panicked = court
            .desk
            .transact(|_, _| -> Result<(Decision, ()), Error> { panic!("a decision of a test") })
            .await;
        assert!(matches!(panicked, Err(Error::Busy(_))));
        court.submit(failures("a", 1, 1, "203.0.113.9")).await.expect("stored");
    });
}

#[test]
fn the_end_of_the_judge_is_heard() {
    run(async {
        let court = Court::new();
        let ended = court.desk.ended();
        tokio::pin!(ended);
        assert!(futures_util::poll!(&mut ended).is_pending());
        court.desk.stop().await;
        ended.await;
    });
}

#[test]
fn times_at_the_ends_of_time_are_only_wrong() {
    run(async {
        let court = Court::new();
        let line = || "Failed password for a from 203.0.113.9 port 1 ssh2".to_owned();
        for (agent, created) in [("past", i64::MIN), ("future", i64::MAX)] {
            let lines = lines(agent, 1, created, std::iter::repeat_with(line).take(6));
            court.submit(lines).await.expect("stored");
        }
        assert_eq!(court.stored("past").len() + court.stored("future").len(), 12);
    });
}

#[test]
fn a_restart_forgets_no_half_filled_window() {
    run(async {
        let court = Court::new();
        court.submit(failures("a", 1, 4, "203.0.113.9")).await.expect("stored");
        assert!(court.alerts().is_empty());
        let court = court.again().await;
        court.submit(failures("b", 1, 1, "203.0.113.9")).await.expect("stored");
        assert_eq!(court.alerts(), [("203.0.113.9".to_owned(), 5)]);
    });
}

fn library() -> Arc<Rules> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/library/authentication");
    let (set, refused) = crate::replay::load(&[rules]).expect("loads");
    assert_eq!(refused, 0);
    Arc::new(Rules::new(set, Level::Low))
}

fn nothing() -> Arc<Rules> {
    Arc::new(Rules::new(hengwei_rules::Set::default(), Level::Low))
}

impl Court {
    async fn switch(&self, rules: &Arc<Rules>) -> Result<(), Error> {
        let decide = |_: &History, now| {
            let entries = vec![store::entry(now, "test", "rules.reloaded", &serde_json::json!({}))];
            Ok((Decision { entries, puts: Vec::new() }, ()))
        };
        self.desk.replace_rules(Arc::clone(rules), decide).await
    }

    /// Has a batch judged that was matched by these rules, whichever are in force by then.
    async fn submit_matched(&self, prepared: Prepared, by: &Arc<Rules>) -> Result<Stored, Error> {
        let matches = by.matches(&prepared.sender, &prepared.events);
        let (answer, receiver) = oneshot::channel();
        let work = Work::Batch(Box::new(prepared), matches, answer);
        assert!(self.desk.work.send(work).await.is_ok(), "the judge is there");
        receiver.await.expect("the judge answers")
    }
}

#[test]
fn a_half_filled_window_outlives_new_rules_and_a_restart_after_them() {
    run(async {
        let court = Court::new();
        court.submit(failures("a", 1, 3, "203.0.113.9")).await.expect("stored");
        let new = library();
        court.switch(&new).await.expect("switched");
        assert!(Arc::ptr_eq(&court.desk.rules(), &new));
        court.submit(failures("a", 4, 1, "203.0.113.9")).await.expect("stored");
        assert!(court.alerts().is_empty());
        let court = court.again().await;
        court.submit(failures("b", 1, 1, "203.0.113.9")).await.expect("stored");
        assert_eq!(court.alerts(), [("203.0.113.9".to_owned(), 5)]);
    });
}

#[test]
fn a_batch_that_waited_is_judged_by_the_rules_in_force() {
    run(async {
        let court = Court::new();
        let (old, new) = (nothing(), court.desk.rules());
        // Matched when no rule was there.
        court.submit_matched(failures("a", 1, 5, "203.0.113.9"), &old).await.expect("stored");
        assert_eq!(court.alerts(), [("203.0.113.9".to_owned(), 5)]);
        // Matched by rules that are gone: their places mean nothing any more.
        court.switch(&old).await.expect("switched");
        court.submit_matched(failures("b", 1, 5, "203.0.113.7"), &new).await.expect("stored");
        assert_eq!(court.alerts().len(), 1);
    });
}

#[test]
fn rules_whose_order_is_not_written_are_not_in_force() {
    run(async {
        let court = Court::new();
        let before = court.desk.rules();
        court.disk.failing.store(1, Ordering::Relaxed);
        assert!(matches!(court.switch(&nothing()).await, Err(Error::Busy(_))));
        assert!(Arc::ptr_eq(&court.desk.rules(), &before));
        loop {
            match court.submit(failures("a", 1, 5, "203.0.113.9")).await {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, Error::Busy(_)), "{error}"),
            }
        }
        assert_eq!(court.alerts(), [("203.0.113.9".to_owned(), 5)]);
    });
}

#[test]
fn made_up_addresses_fill_no_disk_with_alerts() {
    run(async {
        let court = Court::new();
        let created = time::parse("2026-11-20T08:00:00Z").expect("a time");
        let text = |n: u32| {
            let address = std::net::Ipv4Addr::from(n);
            format!("Accepted password for root from {address} port 1 ssh2")
        };
        court.submit(lines("a", 1, created, (1..=3_000).map(text))).await.expect("stored");
        let alerts = court.alerts();
        assert!((1..2_500).contains(&alerts.len()), "{} alerts", alerts.len());
        assert!(alerts.iter().any(|(value, count)| value == alerts::MANY && *count > 1));
    });
}

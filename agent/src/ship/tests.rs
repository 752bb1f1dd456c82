//! The shipper against a collector in the same process, over plain duplex streams.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use hengwei_protocol::budget::Budget;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::frame::Body;
use hengwei_protocol::wire::{
    Ack, Heads, Policy, QueueAck, QueueState, Refusal, Renewed, Welcome, record,
};
use hengwei_protocol::{block, frame, limits};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::*;
use crate::sources::{Chunk, NewRecord};
use crate::spool::Options;

/// Hands each dialled stream's other end to the test.
struct Wire(mpsc::UnboundedSender<(String, DuplexStream)>);

impl Dial for Wire {
    type Stream = DuplexStream;

    async fn dial(&self, address: &str) -> anyhow::Result<DuplexStream> {
        anyhow::ensure!(!address.starts_with("dead"), "nobody there");
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        self.0.send((address.to_owned(), theirs))?;
        Ok(ours)
    }
}

/// A session that notes what it is told.
#[derive(Default)]
struct Notes {
    due: AtomicBool,
    told: Mutex<Vec<String>>,
}

impl Notes {
    fn note(&self, text: String) {
        self.told.lock().expect("locks").push(text);
    }
}

impl Session for Notes {
    fn connector(&self) -> (tokio_rustls::TlsConnector, String) {
        unreachable!("the tests dial without TLS")
    }

    fn renewal(&self, _now: i64) -> Option<Bytes> {
        self.due.swap(false, Ordering::SeqCst).then(|| "csr".into())
    }

    fn renewed(&self, chain: Vec<Bytes>) -> anyhow::Result<()> {
        self.note(format!("renewed {}", chain.len()));
        Ok(())
    }

    fn policy(&self, policy: &Policy) -> anyhow::Result<()> {
        self.note(format!("policy {}", policy.roots.len()));
        Ok(())
    }

    fn heads(&self, heads: &Heads) {
        self.note(format!("heads {}", heads.time));
    }
}

/// A collector that keeps everything it is sent, as the real one would.
#[derive(Default)]
struct Collector {
    queues: BTreeMap<(u32, Bytes), (u64, Bytes)>,
    lines: Vec<String>,
    kinds: Vec<Kind>,
    gaps: Vec<String>,
    hellos: usize,
}

impl Collector {
    fn welcome(&self, hello: &wire::Hello) -> Welcome {
        let state = |queue: &QueueState| {
            let key = (queue.kind, queue.epoch.clone());
            let (next, digest) = self.queues.get(&key).cloned().unwrap_or((1, Bytes::new()));
            QueueState { next, digest, ..queue.clone() }
        };
        let policy = Some(Policy { roots: vec!["root".into()], ..Policy::default() });
        Welcome {
            agent: "emr-1".into(),
            queues: hello.queues.iter().map(state).collect(),
            clock: 1,
            policy,
        }
    }

    fn take(&mut self, batch: &wire::Batch) -> QueueAck {
        let block = block::unpack(batch).expect("a batch a collector takes");
        let key = (batch.kind, batch.epoch.clone());
        let (next, digest) = self.queues.entry(key).or_insert((1, Bytes::new()));
        assert!(batch.first <= *next, "a hole: {} after {next}", batch.first);
        for record in &block.records {
            if record.number < *next {
                continue;
            }
            assert_eq!(record.number, *next);
            *next = hengwei_protocol::record::next(record).expect("checked");
            let origin = &block.origins[record.origin as usize];
            *digest = Bytes::copy_from_slice(&hengwei_protocol::record::digest(origin, record));
            match record.body.as_ref().expect("a body") {
                record::Body::Original(line) => {
                    self.lines.push(String::from_utf8_lossy(line).into_owned());
                }
                record::Body::Gap(gap) => self.gaps.push(gap.cause.clone()),
                record::Body::Fields(_) => {}
            }
        }
        self.kinds.push(Kind::try_from(batch.kind).expect("a kind"));
        QueueAck { kind: batch.kind, epoch: batch.epoch.clone(), next: *next }
    }
}

/// One end of a connection, as a collector holds it.
struct Line {
    stream: DuplexStream,
    budget: Budget,
}

impl Line {
    async fn read(&mut self) -> Option<Body> {
        let read = frame::read(&mut self.stream, &self.budget, limits::MAX_FRAME).await;
        read.ok().flatten().map(|(body, _)| body)
    }

    async fn write(&mut self, body: Body) {
        // The agent may have gone, which is what some tests want.
        drop(frame::write(&mut self.stream, body).await);
    }

    /// Takes Hello and answers it.
    async fn open(&mut self, collector: &mut Collector) -> wire::Hello {
        let Some(Body::Hello(hello)) = self.read().await else { panic!("no Hello") };
        collector.hellos += 1;
        self.write(Body::Welcome(collector.welcome(&hello))).await;
        hello
    }

    /// Takes and acknowledges batches until `enough`, or the agent goes.
    async fn serve(&mut self, collector: &mut Collector, enough: impl Fn(&Collector) -> bool) {
        while !enough(collector) {
            match self.read().await {
                Some(Body::Batch(batch)) => {
                    let queues = vec![collector.take(&batch)];
                    let heads = Some(Heads { time: 5, ..Heads::default() });
                    self.write(Body::Ack(Ack { queues, heads })).await;
                }
                Some(Body::Hello(_)) => collector.hellos += 1,
                Some(Body::Refusal(goodbye)) => {
                    assert_eq!(goodbye.reason, "stopping");
                    return;
                }
                Some(other) => panic!("{other:?}"),
                None => return,
            }
        }
    }
}

struct Bench {
    _dir: TempDir,
    spool: Spool,
    notes: Arc<Notes>,
    status: Arc<Mutex<Status>>,
    dialled: mpsc::UnboundedReceiver<(String, DuplexStream)>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    collector: Collector,
    sent: usize,
}

impl Bench {
    /// Retries fast and waits as long as a loaded machine may need.
    fn new() -> Bench {
        Bench::with(Pace { retry: Duration::from_millis(2), ..Pace::default() })
    }

    fn with(pace: Pace) -> Bench {
        let dir = TempDir::new().expect("a folder");
        let options = Options { max_bytes: Some(64 << 20) };
        let spool = Spool::open(dir.path(), &options).expect("opens");
        let (sender, dialled) = mpsc::unbounded_channel();
        let (notes, status) = (Arc::new(Notes::default()), Arc::default());
        let stop = CancellationToken::new();
        let ship = Ship {
            dial: Wire(sender),
            collectors: vec!["dead:1".into(), "alive:2".into()],
            spool: spool.clone(),
            session: Arc::clone(&notes) as Arc<dyn Session>,
            host: wire::HostInfo::default(),
            instance: instance(),
            status: Arc::clone(&status),
            pace,
        };
        let task = tokio::spawn(ship.run(stop.clone()));
        let collector = Collector::default();
        Bench { _dir: dir, spool, notes, status, dialled, stop, task, collector, sent: 0 }
    }

    async fn line(&mut self) -> Line {
        let (address, stream) = self.dialled.recv().await.expect("the agent dials");
        assert_eq!(address, "alive:2");
        Line { stream, budget: Budget::new(64 << 20) }
    }

    async fn put(&mut self, kind: Kind, count: usize) {
        let records =
            (self.sent..self.sent + count).map(|n| NewRecord::line(1, n.to_string().into()));
        let records = records.collect();
        self.sent += count;
        let chunk = Chunk { kind, origin: Arc::default(), records, position: None };
        self.spool.append(&"test".into(), chunk, true).await.expect("takes");
        self.spool.flush().await.expect("flushes");
    }

    /// Waits until the spool has heard of every acknowledgement.
    async fn drained(&self) {
        while !self.spool.is_drained() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn all_once(&self) {
        let mut numbers: Vec<usize> =
            self.collector.lines.iter().map(|line| line.parse().expect("a number")).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..self.sent).collect::<Vec<usize>>());
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("ends");
        assert_eq!(self.status.lock().expect("locks").state, "stopped");
    }
}

#[tokio::test]
async fn what_is_stored_is_sent_once_and_forgotten() {
    let mut bench = Bench::new();
    bench.put(Kind::Log, 100).await;
    bench.put(Kind::Security, 10).await;
    let mut line = bench.line().await;
    let hello = line.open(&mut bench.collector).await;
    assert_eq!(hello.queues.len(), 4);
    line.serve(&mut bench.collector, |c| c.lines.len() == 110).await;
    assert_eq!(bench.collector.kinds[0], Kind::Security, "security goes first");
    bench.drained().await;
    // What comes later is sent without being asked for.
    bench.put(Kind::Log, 5).await;
    line.serve(&mut bench.collector, |c| c.lines.len() == 115).await;
    bench.drained().await;
    bench.all_once();
    let told = bench.notes.told.lock().expect("locks").clone();
    assert_eq!((told[0].as_str(), told[1].as_str()), ("policy 1", "heads 5"));
    assert_eq!(bench.status.lock().expect("locks").state, "connected");
    bench.end().await;
}

#[tokio::test]
async fn a_broken_connection_loses_and_doubles_nothing() {
    let mut bench = Bench::new();
    for round in 0..6 {
        bench.put(Kind::Log, 50).await;
        bench.put(Kind::Asset, 20).await;
        let mut line = bench.line().await;
        line.open(&mut bench.collector).await;
        // The batch is stored and the connection breaks before the agent hears of it.
        if let Some(Body::Batch(batch)) = line.read().await {
            bench.collector.take(&batch);
        }
        if round % 2 == 0 {
            line.write(Body::Refusal(Refusal { reason: "busy".into(), text: "later".into() }))
                .await;
        }
    }
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    let sent = bench.sent;
    line.serve(&mut bench.collector, |c| c.lines.len() >= sent).await;
    bench.drained().await;
    bench.all_once();
    assert_eq!(bench.collector.gaps, Vec::<String>::new());
    bench.end().await;
}

#[tokio::test]
async fn a_restored_collector_and_a_restored_spool_begin_new_epochs() {
    for (cause, forget) in [(Cause::CollectorRolledBack, true), (Cause::RolledBack, false)] {
        let mut bench = Bench::new();
        bench.put(Kind::Log, 10).await;
        let mut line = bench.line().await;
        let before = line.open(&mut bench.collector).await;
        line.serve(&mut bench.collector, |c| c.lines.len() == 10).await;
        bench.drained().await;
        for (next, _) in bench.collector.queues.values_mut() {
            *next = if forget { 4 } else { 99 };
        }
        drop(line);
        bench.put(Kind::Log, 5).await;
        let mut line = bench.line().await;
        line.open(&mut bench.collector).await;
        let mut line = bench.line().await;
        let after = line.open(&mut bench.collector).await;
        assert_ne!(before.queues[1].epoch, after.queues[1].epoch);
        assert_eq!(before.queues[0].epoch, after.queues[0].epoch, "the other queues go on");
        line.serve(&mut bench.collector, |c| c.lines.len() == 15).await;
        bench.drained().await;
        bench.all_once();
        assert_eq!(bench.collector.gaps, [cause.as_str()]);
        bench.end().await;
    }
}

#[test]
fn after_an_outage_the_collector_that_answers_is_asked_again_at_once() {
    let mut pauses = Pauses::from(Duration::from_secs(1));
    let long = (0..8).map(|_| pauses.missed.next_pause()).last().expect("some");
    assert!(long >= Duration::from_secs(30), "{long:?}");
    assert_eq!(pauses.begin_again(Duration::from_millis(5)), Duration::ZERO);
    assert!(pauses.missed.next_pause() <= Duration::from_secs(1));
    // But not each time, whatever comes between.
    let later: Vec<Duration> = (0..8)
        .map(|_| {
            pauses.missed.next_pause();
            pauses.begin_again(Duration::from_millis(5))
        })
        .collect();
    assert!(later[0] >= Duration::from_secs(1), "{later:?}");
    assert!(later[7] >= Duration::from_secs(30), "{later:?}");
}

#[tokio::test]
async fn a_clones_records_are_never_taken_for_ours() {
    let mut bench = Bench::new();
    bench.put(Kind::Log, 10).await;
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    line.serve(&mut bench.collector, |c| c.lines.len() == 10).await;
    bench.drained().await;
    drop(line);
    bench.put(Kind::Log, 5).await;
    // The clone sent two others under the numbers that come next.
    for (next, digest) in bench.collector.queues.values_mut() {
        (*next, *digest) = (13, Bytes::from_static(&[7; 32]));
    }
    bench.line().await.open(&mut bench.collector).await;
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    line.serve(&mut bench.collector, |c| c.lines.len() == 15).await;
    assert_eq!(bench.collector.gaps, [Cause::RolledBack.as_str()]);
    bench.all_once();
    bench.end().await;
}

#[tokio::test]
async fn a_new_certificate_is_used_at_once_and_no_record_is_lost() {
    let mut bench = Bench::new();
    bench.notes.due.store(true, Ordering::SeqCst);
    bench.put(Kind::Log, 10).await;
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    let (mut renewed, mut batches) = (false, Vec::new());
    while !renewed || batches.is_empty() {
        match line.read().await.expect("the agent speaks") {
            Body::Renew(renew) => {
                assert_eq!(renew.csr, "csr");
                line.write(Body::Renewed(Renewed { chain: vec!["leaf".into()] })).await;
                renewed = true;
            }
            Body::Batch(batch) => batches.push(batch),
            other => panic!("{other:?}"),
        }
    }
    for batch in &batches {
        let queues = vec![bench.collector.take(batch)];
        line.write(Body::Ack(Ack { queues, heads: None })).await;
    }
    bench.put(Kind::Log, 10).await;
    let mut second = bench.line().await;
    second.open(&mut bench.collector).await;
    second.serve(&mut bench.collector, |c| c.lines.len() == 20).await;
    bench.drained().await;
    bench.all_once();
    assert!(bench.notes.told.lock().expect("locks").contains(&"renewed 1".to_owned()));
    bench.end().await;
}

#[tokio::test]
async fn an_idle_agent_says_hello_again_and_a_silent_collector_is_left() {
    let short = Duration::from_millis(200);
    let mut bench = Bench::with(Pace { retry: short, ack: 3 * short, keepalive: short });
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    line.serve(&mut bench.collector, |c| c.hellos == 4).await;
    // A batch that is never acknowledged: the agent comes again by itself.
    bench.put(Kind::Log, 1).await;
    let mut second = bench.line().await;
    second.open(&mut bench.collector).await;
    second.serve(&mut bench.collector, |c| c.lines.len() == 1).await;
    bench.drained().await;
    drop(line);
    bench.end().await;
}

#[tokio::test]
async fn refusals_and_broken_rules_are_named_and_end_only_the_connection() {
    let mut bench = Bench::new();
    bench.put(Kind::Log, 3).await;
    let refusal =
        |reason: &str| Body::Refusal(Refusal { reason: reason.into(), text: "no\nway".into() });
    let ack = |next| {
        let epoch = bench.spool.state(Kind::Log).epoch;
        Body::Ack(Ack { queues: vec![QueueAck { kind: 3, epoch, next }], heads: None })
    };
    let odd =
        Body::Ack(Ack { queues: vec![QueueAck { kind: 9, ..QueueAck::default() }], heads: None });
    for (first, second, expected) in [
        (Some(refusal("revoked")), None, "refused: revoked: noway"),
        (Some(refusal("unheard-of")), None, "refused: unheard-of: noway"),
        (Some(ack(1)), None, "no Welcome came first"),
        (None, Some(ack(99)), "acknowledged log 99, which was not sent"),
        (None, Some(odd), "is no kind"),
        (None, Some(Body::Renewed(Renewed::default())), "not a collector's"),
        (None, None, "the collector closed it"),
    ] {
        let mut line = bench.line().await;
        match first {
            Some(answer) => {
                line.read().await;
                line.write(answer).await;
            }
            None => drop(line.open(&mut bench.collector).await),
        }
        if let Some(answer) = second {
            line.write(answer).await;
        } else {
            drop(line);
        }
        let problem = async {
            loop {
                let status = bench.status.lock().expect("locks").clone();
                if status.problems.get("alive:2").is_some_and(|why| why.contains(expected)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(50), problem).await;
        assert!(seen.is_ok(), "{expected}: {:?}", bench.status.lock().expect("locks"));
    }
    assert!(!bench.spool.is_drained());
    bench.end().await;
}

#[tokio::test]
async fn stopping_drains_what_the_collector_still_takes() {
    let mut bench = Bench::new();
    let mut line = bench.line().await;
    line.open(&mut bench.collector).await;
    bench.put(Kind::Log, 1000).await;
    bench.stop.cancel();
    line.serve(&mut bench.collector, |_| false).await;
    bench.all_once();
    assert!(bench.spool.is_drained());
    bench.end().await;
}

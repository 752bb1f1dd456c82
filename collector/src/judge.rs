//! The judge: the one place where history is written. Batches and changes come in, from anybody;
//! commits go out, one after the other, and only then answers.
//!
//! It is a thread of its own, because a commit blocks. Whatever waits when it is free becomes one
//! commit: a lone batch is written at once, and under load the batches of all agents share a sync.
//! For each batch it checks the numbering against the ledger, lets detection decide, and adds what
//! the host's page needs; then history writes, and only when that is on disk do the agent's
//! acknowledgement, the feed and the metrics learn of it.
//!
//! A transaction (an operator's action, an enrolment) runs alone between commits and sees the state
//! as of the last one. So the rules are replaced: between two commits, by a transaction that says so.
//!
//! Detection's memory advances as a commit is made up. When that commit is not written after all (the
//! disk is full, history refuses the draft, judging panicked) its batches are refused and memory is taken up from history again, as at a start, so that the two never part;
//! agents keep what was refused. After a refusal batches are committed one by one for a while, so
//! that an agent whose batches can't be judged stands in nobody's way but its own. Only when nobody
//! knows what is on disk does the process end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Heads, record::Body};
use tokio::sync::{mpsc, oneshot, watch};

use crate::alerts;
use crate::decode;
use crate::detect::{Batch, Detector, Matches, Rules};
use crate::event::{Events, Sender, names};
use crate::history::{self, Committed, Draft, Entry, History, Put, Received, Writer, tree};
use crate::hosts::{Fleet, Observer};
use crate::metrics::Metrics;
use crate::store::{self, Decide, Decided, Decision, Error};
use crate::time;

/// Batches that wait for the judge, over all agents.
const QUEUE: usize = 256;
/// Bytes of one commit, unpacked batches and what was found in them, past which the rest waits for
/// the next.
const MAX_COMMIT: u64 = 64 << 20;
/// What an alert that changed adds to a commit: itself and its entry in the feed, at their usual size.
const ALERT_BYTES: u64 = 8 << 10;
/// How long no batches are taken after a commit found no space.
const RETRY: Duration = Duration::from_secs(1);
/// How long batches are committed one by one after one could not be.
const ALONE: Duration = Duration::from_secs(60);
/// Entries the feed keeps; a reader that was away longer begins with the list of alerts.
const FEED_KEPT: u64 = 100_000;
/// How often correlation memory is freed and the book of alerts forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// A batch that was decoded and waits to be matched and committed.
#[derive(Debug)]
pub struct Prepared {
    /// What will be kept.
    pub received: Received,
    /// Digest of its last record.
    pub digest: [u8; 32],
    /// What was understood of it.
    pub events: Events,
    /// Who sent it.
    pub sender: Arc<Sender>,
}

/// Everything below `next` of a queue is on disk.
#[derive(Debug, Clone)]
pub struct Stored {
    /// First number not committed.
    pub next: u64,
    /// Chain heads after that commit.
    pub heads: Heads,
}

/// What the judge needs.
#[derive(Debug)]
pub struct Bench {
    /// Where it writes.
    pub writer: Writer,
    /// What was written.
    pub history: History,
    /// Rules to begin with.
    pub rules: Arc<Rules>,
    /// What is known of hosts at this moment.
    pub fleet: Fleet,
    /// Counted after each commit.
    pub metrics: Arc<Metrics>,
}

/// The way to the judge; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    work: mpsc::Sender<Work>,
    /// Those that what comes now is matched by; the judge replaces them.
    rules: Current,
    newest: watch::Receiver<u64>,
}

type Current = Arc<RwLock<Arc<Rules>>>;
type Answer = oneshot::Sender<Result<Stored, Error>>;
type Transaction = Box<dyn FnOnce(&History, i64) -> Option<Open> + Send>;

/// A transaction that decided, and how to answer once that is on disk.
struct Open {
    decision: Decision,
    /// Takes the number of the commit, 0 when there was nothing to commit.
    answer: Box<dyn FnOnce(Result<u64, Error>) + Send>,
}

enum Work {
    Batch(Box<Prepared>, Matches, Answer),
    /// With rules that are in force from its commit on.
    Transaction(Transaction, Option<Arc<Rules>>),
    Stop,
}

/// Starts the judge. It ends, after what was queued, when [`Desk::stop`] is called; the handle then
/// returns. It ends the process when a sync failed, since nobody then knows what is on disk.
pub fn start(bench: Bench) -> (Desk, thread::JoinHandle<()>) {
    let (work, queue) = mpsc::channel(QUEUE);
    let (publish, newest) = watch::channel(0);
    let current: Current = Arc::new(RwLock::new(Arc::clone(&bench.rules)));
    let desk = Desk { work, rules: Arc::clone(&current), newest };
    let mut judge = Judge {
        writer: bench.writer,
        history: bench.history,
        detector: Detector::new(Arc::clone(&bench.rules)),
        rules: bench.rules,
        current,
        observer: Observer::new(),
        fleet: bench.fleet,
        metrics: bench.metrics,
        next_feed: 1,
        publish,
        tidied: Instant::now(),
        full: None,
        alone: None,
    };
    judge.recall();
    judge.publish.send_replace(judge.next_feed - 1);
    let handle = thread::Builder::new()
        .name("judge".into())
        .spawn(move || judge.run(queue))
        .expect("the system can start a thread at start-up");
    (desk, handle)
}

impl Desk {
    /// Matches a batch, queues it and returns where its answer will come, which is after it is on
    /// disk. Waits while the judge is behind.
    pub async fn submit(&self, prepared: Prepared) -> oneshot::Receiver<Result<Stored, Error>> {
        let (answer, receiver) = oneshot::channel();
        let rules = self.rules();
        let matched = tokio::task::spawn_blocking(move || {
            let matches = rules.matches(&prepared.sender, &prepared.events);
            (prepared, matches)
        });
        match matched.await {
            Ok((prepared, matches)) => {
                if let Err(mpsc::error::SendError(Work::Batch(_, _, answer))) =
                    self.work.send(Work::Batch(Box::new(prepared), matches, answer)).await
                {
                    // The receiver may have gone; then nobody waits for the answer.
                    let _ = answer.send(Err(stopping()));
                }
            }
            // Panics in matching are caught per event; this is the runtime going down.
            Err(_) => drop(answer.send(Err(stopping()))),
        }
        receiver
    }

    /// Runs `decide` alone over the state as of the last commit, and commits what it decides; only
    /// then answers. It is given the time, Unix nanoseconds.
    pub async fn transact<T, F>(&self, decide: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&History, i64) -> Result<(Decision, T), Error> + Send + 'static,
    {
        self.commit(decide).await.map(|(_, value)| value)
    }

    /// The same, with the number of the commit that holds the decision, 0 when it was empty.
    pub async fn commit<T, F>(&self, decide: F) -> Result<(u64, T), Error>
    where
        T: Send + 'static,
        F: FnOnce(&History, i64) -> Result<(Decision, T), Error> + Send + 'static,
    {
        self.decide(decide, None).await
    }

    /// The same, and from that commit on these rules are in force; when it is not written, the former
    /// ones stay. Batches that were matched by those and wait are matched again, so that none is
    /// judged by some of both.
    pub async fn replace_rules<T, F>(&self, rules: Arc<Rules>, decide: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&History, i64) -> Result<(Decision, T), Error> + Send + 'static,
    {
        self.decide(decide, Some(rules)).await.map(|(_, value)| value)
    }

    async fn decide<T, F>(&self, decide: F, rules: Option<Arc<Rules>>) -> Result<(u64, T), Error>
    where
        T: Send + 'static,
        F: FnOnce(&History, i64) -> Result<(Decision, T), Error> + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        let transaction: Transaction = Box::new(move |history, now| match decide(history, now) {
            Ok((decision, value)) => {
                let answer = Box::new(move |written: Result<u64, Error>| {
                    drop(answer.send(written.map(|number| (number, value))));
                });
                Some(Open { decision, answer })
            }
            Err(error) => {
                drop(answer.send(Err(error)));
                None
            }
        });
        self.work.send(Work::Transaction(transaction, rules)).await.map_err(|_| stopping())?;
        receiver.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Work that waits for the judge.
    pub fn waiting(&self) -> usize {
        self.work.max_capacity().saturating_sub(self.work.capacity())
    }

    /// The newest sequence of the feed, and how to wait for the next.
    pub fn feed(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// Returns when the judge has ended, whoever told it to: without it nothing is stored any more.
    pub async fn ended(&self) {
        self.work.closed().await;
    }

    /// Ends the judge once what is queued is committed.
    pub async fn stop(&self) {
        // It may have stopped already.
        let _ = self.work.send(Work::Stop).await;
    }
}

impl store::Judge for Desk {
    fn decide(&self, decide: Decide) -> Decided<'_> {
        Box::pin(self.transact(move |history, now| decide(history, now).map(|it| (it, ()))))
    }
}

fn stopping() -> Error {
    Error::Busy("the collector is stopping".into())
}

struct Judge {
    writer: Writer,
    history: History,
    detector: Detector,
    /// Those of the detector.
    rules: Arc<Rules>,
    /// The same, as the desk sees them.
    current: Current,
    observer: Observer,
    fleet: Fleet,
    metrics: Arc<Metrics>,
    next_feed: u64,
    publish: watch::Sender<u64>,
    tidied: Instant,
    /// When a commit last found no space, and what history said.
    full: Option<(Instant, String)>,
    /// When a batch was last refused because its commit could not be.
    alone: Option<Instant>,
}

/// A commit being made up.
#[derive(Default)]
struct Docket {
    draft: Draft,
    answers: Vec<(Answer, u64)>,
    /// Where queues will stand after it, where that differs from the ledger.
    next: HashMap<(Arc<str>, Kind, [u8; 16]), u64>,
    bytes: u64,
    tally: Tally,
}

/// What the metrics learn once the commit is on disk.
#[derive(Default)]
struct Tally {
    datasets: HashMap<&'static str, u64>,
    matched: HashMap<&'static str, u64>,
    /// Level of an alert, and when the event that raised it was read at its host.
    raised: Vec<(String, i64)>,
    lags: Vec<f64>,
    gaps: Vec<Cause>,
    problems: u64,
}

impl Judge {
    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut held = None;
        while let Some(work) = held.take().or_else(|| queue.blocking_recv()) {
            match work {
                Work::Stop => break,
                Work::Transaction(transaction, rules) => self.transact(transaction, rules),
                Work::Batch(prepared, matches, answer) => {
                    held = self.batches(*prepared, matches, answer, &mut queue);
                }
            }
            self.tidy();
        }
        queue.close();
        let puts = self.observer.flush(time::now());
        if !puts.is_empty()
            && let Err(error) = self.write(Draft { puts, ..Draft::default() })
        {
            tracing::warn!(%error, "the last lag of the hosts' sources was not kept");
        }
        if let Err(error) = self.writer.close() {
            tracing::error!(%error, "history was not closed in good order; the index is rebuilt at the next start");
        }
    }

    /// Commits a batch and those that wait behind it; returns the first other work it met.
    fn batches(
        &mut self,
        prepared: Prepared,
        matches: Matches,
        answer: Answer,
        queue: &mut mpsc::Receiver<Work>,
    ) -> Option<Work> {
        let now = time::now();
        if let Some(reason) = self.no_room() {
            drop(answer.send(Err(Error::Busy(reason))));
            return None;
        }
        let mut docket = Docket::default();
        let mut other = None;
        let judged = catch_unwind(AssertUnwindSafe(|| {
            self.take(&mut docket, prepared, matches, answer, now);
            while self.takes_more(&docket) {
                match queue.try_recv() {
                    Ok(Work::Batch(prepared, matches, answer)) => {
                        self.take(&mut docket, *prepared, matches, answer, now);
                    }
                    Ok(work) => {
                        other = Some(work);
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.file_alerts(&mut docket, now);
        }));
        match judged {
            Ok(()) if docket.answers.is_empty() => {}
            Ok(()) => self.close(docket),
            Err(panic) => {
                let text = decode::panic_text(panic.as_ref());
                self.refuse(docket.answers, format!("judging panicked: {text}"));
            }
        }
        other
    }

    /// Why no batch can be taken now.
    fn no_room(&mut self) -> Option<String> {
        self.full.take_if(|(since, _)| since.elapsed() >= RETRY);
        self.full
            .as_ref()
            .map(|(_, reason)| reason.clone())
            .or_else(|| self.writer.short_of_space())
    }

    /// Whether another batch may join the commit being made up.
    fn takes_more(&mut self, docket: &Docket) -> bool {
        self.alone.take_if(|since| since.elapsed() >= ALONE);
        let alerts = (self.detector.book.changed() as u64).saturating_mul(ALERT_BYTES);
        self.alone.is_none() && docket.bytes.saturating_add(alerts) < MAX_COMMIT
    }

    /// Refuses the batches of a commit that can't be, and undoes what they did to memory.
    fn refuse(&mut self, answers: Vec<(Answer, u64)>, reason: String) {
        tracing::error!(
            reason,
            batches = answers.len(),
            "batches were refused; their agents keep them"
        );
        self.alone = Some(Instant::now());
        self.recall();
        for (answer, _) in answers {
            // A connection that ended meanwhile asks again when it is back.
            let _ = answer.send(Err(Error::Busy(reason.clone())));
        }
    }

    /// Takes memory up from history, as at a start.
    fn recall(&mut self) {
        let mut detector = Detector::new(Arc::clone(&self.rules));
        detector.book.limit();
        let (checkpoint, hits) = self.history.hits_since_checkpoint();
        detector.restore(checkpoint.as_deref(), &hits);
        self.detector = detector;
        self.observer = Observer::new();
        self.next_feed = 1;
        self.history.scan_back(tree::FEED, &[], &mut |key, _| {
            self.next_feed = key.try_into().map_or(1, |key| u64::from_be_bytes(key) + 1);
            false
        });
    }

    /// Adds one batch to the commit being made up, if the ledger expects it.
    fn take(
        &mut self,
        docket: &mut Docket,
        prepared: Prepared,
        mut matches: Matches,
        answer: Answer,
        now: i64,
    ) {
        let Prepared { received, events, sender, .. } = prepared;
        let queue = (Arc::clone(&received.agent), received.kind, received.epoch);
        let known = docket.next.get(&queue).copied().or_else(|| {
            let ledger = self.history.queue(&received.agent, received.kind, &received.epoch);
            ledger.map(|ledger| ledger.next)
        });
        // Whether numbers begin at 0 or at 1 is the agent's affair.
        let expected = known.unwrap_or_else(|| received.first.min(1));
        let end = received.first.saturating_add(received.span);
        if end <= expected {
            // All of it was stored before: its acknowledgement was lost on the way.
            docket.answers.push((answer, expected));
            return;
        }
        if received.first != expected {
            drop(answer.send(Err(Error::Hole { expected, found: received.first })));
            return;
        }
        if !Arc::ptr_eq(&matches.rules, &self.rules) {
            // The rules were replaced while it waited.
            matches = self.rules.matches(&sender, &events);
        }
        if let Some(first) = matches.failed.first() {
            let (agent, kind) = (&received.agent, received.kind);
            let events = matches.failed.len();
            tracing::error!(%agent, %kind, first, events, "matching panicked: these events were kept and no rule has seen them");
        }
        docket.tally.count(&received, &events, now);
        let batch =
            Batch { sender: &sender, events: &events, kind: received.kind, epoch: &received.epoch };
        let outcome = self.detector.judge(&self.history, &batch, &matches, now);
        docket.bytes += outcome.hits.iter().map(|hit| hit.len() as u64).sum::<u64>();
        docket.draft.hits.extend(outcome.hits);
        for (level, count) in outcome.matched {
            *docket.tally.matched.entry(level).or_default() += count;
        }
        self.fleet.observe(&sender, &events, now);
        let puts = self.observer.observe(&self.history, &sender, &events, now);
        docket.bytes += puts.iter().map(put_bytes).sum::<u64>();
        docket.draft.puts.extend(puts);
        docket.bytes += received.raw_len;
        docket.next.insert(queue, end);
        docket.draft.received.push(received);
        docket.answers.push((answer, end));
    }

    /// Writes the alerts that changed into the draft: as they stand, and into the feed.
    fn file_alerts(&mut self, docket: &mut Docket, now: i64) {
        for (key, alert, raised) in self.detector.book.drain() {
            docket.draft.puts.push(alerts::put(&alert));
            if let Some(created) = raised {
                docket.draft.puts.push(Put {
                    tree: tree::ALERTS_OPEN,
                    key: key.bytes(),
                    value: Some(alert.id.clone().into_bytes()),
                });
                docket.draft.entries.push(Entry {
                    time: now,
                    actor: "collector".into(),
                    action: "alert.raised".into(),
                    body: serde_json::json!({
                        "alert": &alert.id, "rule": &alert.rule.id, "entity": &alert.entity,
                    })
                    .to_string(),
                });
                docket.tally.raised.push((alert.rule.level.clone(), created));
            }
            self.feed(&mut docket.draft, &alert);
        }
    }

    fn feed(&mut self, draft: &mut Draft, alert: &alerts::Alert) {
        let value = serde_json::to_vec(alert).expect("an alert is plain data");
        let key = self.next_feed.to_be_bytes().to_vec();
        draft.puts.push(Put { tree: tree::FEED, key, value: Some(value) });
        if let Some(old) = self.next_feed.checked_sub(FEED_KEPT).filter(|old| *old > 0) {
            draft.puts.push(Put { tree: tree::FEED, key: old.to_be_bytes().to_vec(), value: None });
        }
        self.next_feed += 1;
    }

    fn transact(&mut self, transaction: Transaction, rules: Option<Arc<Rules>>) {
        // It reads what strangers wrote; whoever asked hears that there is no answer.
        let decided = catch_unwind(AssertUnwindSafe(|| transaction(&self.history, time::now())));
        let decided = decided.unwrap_or_else(|panic| {
            let text = decode::panic_text(panic.as_ref());
            tracing::error!(text, "a transaction panicked and changed nothing");
            None
        });
        let Some(open) = decided else { return };
        let Open { decision, answer } = open;
        if rules.is_none() && decision.entries.is_empty() && decision.puts.is_empty() {
            answer(Ok(0));
            return;
        }
        let mut draft =
            Draft { entries: decision.entries, puts: decision.puts, ..Draft::default() };
        if rules.is_some() {
            // What was remembered under the former rules is not to be made up from hits again.
            draft.correlations = Some(self.detector.snapshot());
        }
        let next_feed = self.next_feed;
        for put in draft.puts.clone().iter().filter(|put| put.tree == tree::ALERTS) {
            if let Some(alert) =
                put.value.as_deref().and_then(|value| serde_json::from_slice(value).ok())
            {
                self.feed(&mut draft, &alert);
            }
        }
        let number = match self.write(draft) {
            Ok(committed) => committed.number,
            Err(error) => {
                tracing::error!(%error, "a decision was not written and changes nothing");
                self.next_feed = next_feed;
                answer(Err(Error::Busy(error.to_string())));
                return;
            }
        };
        // What officers changed is read anew by the next finding.
        self.detector.book.clear();
        if let Some(rules) = rules {
            self.switch(rules);
        }
        answer(Ok(number));
        self.publish.send_replace(self.next_feed - 1);
    }

    fn switch(&mut self, rules: Arc<Rules>) {
        self.detector.switch(Arc::clone(&rules));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        self.rules = rules;
    }

    fn close(&mut self, docket: Docket) {
        let Docket { draft, answers, tally, .. } = docket;
        let begun = Instant::now();
        let heads = if draft.received.is_empty() {
            self.history.heads()
        } else {
            match self.write(draft) {
                Ok(committed) => committed.heads,
                Err(error) => {
                    let reason = error.to_string();
                    if matches!(error, history::Error::Full(_)) {
                        self.full = Some((Instant::now(), reason.clone()));
                    }
                    return self.refuse(answers, reason);
                }
            }
        };
        self.publish.send_replace(self.next_feed - 1);
        for (answer, next) in answers {
            // A connection that ended meanwhile asks again when it is back.
            let _ = answer.send(Ok(Stored { next, heads: heads.clone() }));
        }
        self.metrics.committed(begun.elapsed().as_secs_f64());
        tally.report(&self.metrics);
    }

    /// Writes a commit. After an error nothing has happened.
    fn write(&mut self, mut draft: Draft) -> Result<Committed, history::Error> {
        if draft.correlations.is_none() && self.writer.wants_correlations() {
            draft.correlations = Some(self.detector.snapshot());
        }
        match self.writer.commit(draft) {
            Ok(committed) => Ok(committed),
            Err(error @ history::Error::Poisoned(_)) => {
                tracing::error!(%error, "history can't be written: the process ends, and opens it again at its next start");
                std::process::exit(crate::EXIT_BUG);
            }
            Err(error) => Err(error),
        }
    }

    fn tidy(&mut self) {
        if self.tidied.elapsed() >= TIDY {
            self.tidied = Instant::now();
            self.detector.prune(time::now());
            self.detector.book.clear();
        }
    }
}

impl Tally {
    fn count(&mut self, received: &Received, events: &Events, now: i64) {
        for run in events.events.chunk_by(|one, next| one.dataset == next.dataset) {
            *self.datasets.entry(run[0].dataset).or_default() += run.len() as u64;
        }
        if let Some(oldest) = events.events.iter().map(|event| event.created).min() {
            self.lags.push(seconds(now.saturating_sub(oldest)));
        }
        for record in &received.records.records {
            if let Some(Body::Gap(gap)) = &record.body {
                self.gaps.extend(Cause::parse(&gap.cause));
            }
        }
        let problem = events.fields.iter().filter(|(id, _)| *id == names::HENGWEI_PROBLEM);
        self.problems += problem.count() as u64;
    }

    fn report(self, metrics: &Metrics) {
        for (dataset, count) in self.datasets {
            metrics.decoded(dataset, count);
        }
        for (level, count) in self.matched {
            metrics.rule_matched(level, count);
        }
        for (level, created) in self.raised {
            metrics.alert_raised(&level, seconds(time::now().saturating_sub(created)));
        }
        for lag_seconds in self.lags {
            metrics.ingest_lag(lag_seconds);
        }
        for cause in self.gaps {
            metrics.gap(cause);
        }
        metrics.decode_problems(self.problems);
    }
}

fn put_bytes(put: &Put) -> u64 {
    put.key.len() as u64 + put.value.as_ref().map_or(0, Vec::len) as u64
}

fn seconds(nanos: i64) -> f64 {
    nanos.max(0) as f64 / 1e9
}

#[cfg(test)]
pub(crate) mod tests;

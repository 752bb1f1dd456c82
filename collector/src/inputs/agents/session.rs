//! One agent's connection, from its certificate to its end.
//!
//! ```text
//! reader ──▶ submitter ──▶ acker ──▶ writer
//!   frames    decoded,      answers,   acks, policy,
//!   checked   in order      in order   renewed certificates
//! ```
//! Four loops of one task with bounded queues between them: a judge that is behind is felt by the
//! agent as a full socket. The reader has batches decoded by other threads and goes on; the
//! submitter hands them to the judge in their order; the acker tells the agent once they are on
//! disk. When the reader ends (the agent hung up, the collector stops) the others finish what was
//! taken. On an error, or an order from [`super::live`], all end at once, and what the judge already
//! has is waited for before another connection of this agent begins: its Welcome must say where the
//! queues really stand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hengwei_protocol::budget::Share;
use hengwei_protocol::identity;
use hengwei_protocol::refusal::Reason;
use hengwei_protocol::wire::{
    Ack, Batch, Hello, Policy, QueueAck, QueueState, Renew, Renewed, Welcome, frame::Body,
};
use hengwei_protocol::{frame, limits};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::batch::{self, Queue, Queues};
use super::{DRAIN, End, Shared, Take, live, say_goodbye};
use crate::event::Sender;
use crate::inputs::ConnectionInfo;
use crate::judge::{Prepared, Stored};
use crate::pki::{Facts, IssueError};
use crate::registry::{self, Agent};
use crate::store::{self, Error};
use crate::time::now;

/// Batches of one connection that may be on their way between two loops.
const PIPELINE: usize = 4;
/// Messages to the agent that may wait.
const OUTBOX: usize = 16;
/// The first message, bytes.
const MAX_HELLO: usize = 64 << 10;
/// Renewals of one connection: an agent needs one in sixty days.
const MAX_RENEWALS: u32 = 16;

type Stream = TlsStream<TcpStream>;

/// Serves one agent.
pub(super) async fn run<T: Take>(
    shared: &Arc<Shared<T>>,
    mut stream: Stream,
    peer: SocketAddr,
    facts: Facts,
) {
    let name = facts.agent.clone();
    let ended = match registry::admit(&*shared.context.store, &facts) {
        Ok(agent) => match shared.live.enter(&agent.id) {
            Ok(place) => serve(shared, stream, peer, facts, agent, place).await,
            Err(end) => (Err(end), stream),
        },
        Err((reason, text)) => (Err(End::Refused { reason, text }), stream),
    };
    let outcome;
    (outcome, stream) = ended;
    match outcome {
        Ok(()) => {
            let _ = timeout(super::LINGER, stream.shutdown()).await;
        }
        Err(end) => {
            shared.refuse(peer, name.as_deref(), &end);
            say_goodbye(&mut stream, &end).await;
        }
    }
}

/// From Hello to the end; gives the stream back for the last word.
async fn serve<T: Take>(
    shared: &Arc<Shared<T>>,
    mut stream: Stream,
    peer: SocketAddr,
    facts: Facts,
    agent: Agent,
    mut place: live::Place<'_>,
) -> (Result<(), End>, Stream) {
    let hello = tokio::select! {
        () = shared.context.stop.cancelled() => return (Ok(()), stream),
        hello = read_hello(shared, &mut stream) => match hello {
            Ok(hello) => hello,
            Err(end) => return (Err(end), stream),
        },
    };
    let instance = match hello.instance.as_ref().try_into() {
        Ok(instance) => instance,
        Err(_) => {
            let end = End::refused(Reason::Malformed, "an instance is 16 bytes");
            return (Err(end), stream);
        }
    };
    let announced = place.announce(instance, &facts);
    let info = connection_info(&hello, instance, peer, &agent, &facts);
    let connection = Connection { shared, agent, facts, info, orderly: AtomicBool::new(false) };
    if announced.clone {
        tracing::warn!(%peer, agent = connection.agent.id, "this identity is in use twice");
        shared.context.observer.clone_seen(&connection.agent.id, &connection.info);
    }
    let mut order = announced.order;
    let turn = tokio::select! {
        end = ordered(&mut order) => return (Err(end), stream),
        turn = timeout(DRAIN, announced.turn.lock_owned()) => match turn {
            Ok(turn) => turn,
            Err(_) => {
                let end = End::refused(Reason::Busy, "the connection before still has batches to store");
                return (Err(end), stream);
            }
        },
    };
    let present = Present::new(&connection);
    let served = connection.serve(stream, &hello, &mut order).await;
    drop(present);
    drop(turn);
    served
}

async fn read_hello<T: Take>(shared: &Shared<T>, stream: &mut Stream) -> Result<Hello, End> {
    let read = frame::read(stream, &shared.context.budget, MAX_HELLO);
    let read = timeout(limits::HELLO_TIMEOUT, read)
        .await
        .map_err(|_| End::refused(Reason::Silent, "no Hello in time"))??;
    match read {
        Some((Body::Hello(hello), _)) if hello.queues.len() <= limits::MAX_QUEUES => Ok(hello),
        Some((Body::Hello(_), _)) => Err(End::refused(Reason::Malformed, "too many queues")),
        Some(_) => Err(End::refused(Reason::Unexpected, "the first message is not Hello")),
        None => Err(End::Gone(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Waits until the connection is told to end.
async fn ordered(order: &mut watch::Receiver<live::Order>) -> End {
    let told = order.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
    match told {
        Some((reason, text)) => End::Refused { reason, text },
        // The place that could tell us is gone only when we are.
        None => std::future::pending().await,
    }
}

/// Counts and reports a connection for as long as it lives, however it ends.
struct Present<'a, T: Take>(&'a Connection<'a, T>);

impl<'a, T: Take> Present<'a, T> {
    fn new(connection: &'a Connection<'a, T>) -> Present<'a, T> {
        let context = &connection.shared.context;
        context.metrics.connected(1);
        context.observer.connected(&connection.agent.id, &connection.info);
        Present(connection)
    }
}

impl<T: Take> Drop for Present<'_, T> {
    fn drop(&mut self) {
        let context = &self.0.shared.context;
        context.metrics.connected(-1);
        let orderly = self.0.orderly.load(Ordering::Relaxed);
        context.observer.disconnected(&self.0.agent.id, &self.0.info, orderly);
    }
}

struct Connection<'a, T> {
    shared: &'a Arc<Shared<T>>,
    agent: Agent,
    facts: Facts,
    info: ConnectionInfo,
    /// The agent said that it stops.
    orderly: AtomicBool,
}

/// A batch on its way to the judge.
struct Work {
    queue: Queue,
    rolled_from: Option<[u8; 16]>,
    step: Step,
}

enum Step {
    /// Everything below was taken before; it only wants its ack.
    Old(u64),
    /// Being decoded; the share is memory held until it is stored.
    New(JoinHandle<Result<Prepared, End>>, Share),
}

/// A batch the judge has.
struct Answer {
    queue: Queue,
    rolled_from: Option<[u8; 16]>,
    state: Waiting,
}

enum Waiting {
    Old(u64),
    New {
        coming: oneshot::Receiver<Result<Stored, Error>>,
        records: u64,
        bytes: u64,
        _share: Share,
    },
}

/// What the judge has and did not answer yet, in order. Outlives the loops.
struct Answers {
    queue: mpsc::Receiver<Answer>,
    /// Taken from the queue and not answered yet.
    current: Option<Answer>,
}

impl<T: Take> Connection<'_, T> {
    async fn serve(
        &self,
        stream: Stream,
        hello: &Hello,
        order: &mut watch::Receiver<live::Order>,
    ) -> (Result<(), End>, Stream) {
        let (mut input, mut output) = tokio::io::split(stream);
        let (work, works) = mpsc::channel(PIPELINE);
        let (answer, answers) = mpsc::channel(PIPELINE);
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let mut answers = Answers { queue: answers, current: None };
        let mut unsent = BytesMut::new();
        let mut policy = self.shared.context.pki.policy();
        let now_trusted = Arc::clone(&policy.borrow_and_update());
        let outcome = match self.welcome(hello, &now_trusted) {
            Err(end) => Err(end),
            Ok(welcome) => {
                unsent.extend_from_slice(&frame::encode(Body::Welcome(welcome)));
                let flow = async {
                    tokio::try_join!(
                        self.read(&mut input, work, outbox.clone()),
                        self.submit(works, answer),
                        self.acknowledge(&mut answers, outbox),
                        write(&mut output, &mut unsent, messages, policy),
                    )
                };
                tokio::select! {
                    end = ordered(order) => Err(end),
                    flowed = flow => flowed.map(drop),
                }
            }
        };
        if timeout(DRAIN, answers.settle()).await.is_err() {
            tracing::warn!(agent = self.agent.id, "the judge has not answered in time");
        }
        if outcome.is_err() {
            // A message cut in its middle would garble the last word.
            let _ = timeout(super::LINGER, output.write_all(&unsent)).await;
        }
        (outcome, input.unsplit(output))
    }

    /// The answer to Hello: where the queues stand.
    fn welcome(&self, hello: &Hello, policy: &Policy) -> Result<Welcome, End> {
        self.clock(hello);
        let mut queues = Vec::with_capacity(hello.queues.len());
        for state in &hello.queues {
            let (kind, epoch) = batch::queue(state.kind, &state.epoch)?;
            let known = self.shared.context.store.queue(&self.agent.id, kind, &epoch);
            let (next, digest) = match known {
                Some(ledger) => (ledger.next, identity::unhex(&ledger.digest).unwrap_or_default()),
                // Of an epoch that is new here nothing is missing yet: 0 and 1 are both a beginning.
                None => (state.next.min(1), Vec::new()),
            };
            let epoch = state.epoch.clone();
            queues.push(QueueState { kind: state.kind, epoch, next, digest: digest.into() });
        }
        let policy = Some(policy.clone());
        Ok(Welcome { agent: self.agent.id.clone(), queues, clock: now(), policy })
    }

    fn clock(&self, hello: &Hello) {
        let offset = hello.clock.saturating_sub(now());
        self.shared.context.observer.clock_offset(&self.agent.id, offset);
    }

    /// Reads until the agent hangs up or the collector stops.
    async fn read(
        &self,
        input: &mut ReadHalf<Stream>,
        work: mpsc::Sender<Work>,
        outbox: mpsc::Sender<Body>,
    ) -> Result<(), End> {
        let mut queues = Queues::default();
        let mut renewals = 0;
        let sender = self.sender();
        loop {
            let read = tokio::select! {
                biased;
                () = self.shared.context.stop.cancelled() => return Ok(()),
                read = self.next(input) => read?,
            };
            let Some((body, share)) = read else { return Ok(()) };
            match body {
                Body::Batch(batch) => {
                    let next = self.take(&mut queues, batch, share, &sender).await?;
                    if work.send(next).await.is_err() {
                        return Ok(());
                    }
                }
                Body::Hello(hello) => self.clock(&hello),
                Body::Renew(renew) => {
                    renewals += 1;
                    if renewals > MAX_RENEWALS {
                        return Err(End::refused(Reason::RateLimited, "too many renewals"));
                    }
                    if let Some(renewed) = self.renew(renew).await?
                        && outbox.send(Body::Renewed(renewed)).await.is_err()
                    {
                        return Ok(());
                    }
                }
                Body::Refusal(goodbye) if goodbye.reason == Reason::Stopping.as_str() => {
                    self.orderly.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                _ => return Err(End::refused(Reason::Unexpected, "not a message of an agent")),
            }
        }
    }

    /// The next message, in time.
    async fn next<S: AsyncRead + Unpin>(
        &self,
        input: &mut S,
    ) -> Result<Option<(Body, Share)>, End> {
        let budget = &self.shared.context.budget;
        match timeout(limits::IDLE_TIMEOUT, frame::read(input, budget, limits::MAX_FRAME)).await {
            Ok(read) => Ok(read?),
            // Whoever waited for memory was not silent.
            Err(_) if budget.free() < limits::MAX_FRAME => {
                Err(End::refused(Reason::Busy, "no memory for more batches"))
            }
            Err(_) => Err(End::refused(Reason::Silent, "nothing was said for too long")),
        }
    }

    /// Checks a batch and has it decoded.
    async fn take(
        &self,
        queues: &mut Queues,
        batch: Batch,
        share: Share,
        sender: &Arc<Sender>,
    ) -> Result<Work, End> {
        let taken = queues.take(&*self.shared.context.store, &self.agent, &batch)?;
        let (queue, rolled_from) = (taken.queue, taken.rolled_from);
        if !taken.new {
            return Ok(Work { queue, rolled_from: None, step: Step::Old(taken.expected) });
        }
        // The frame's own share is given back first: whoever held one while waiting for another
        // could wait for somebody who does the same.
        drop(share);
        let raw_len = usize::try_from(batch.raw_len).unwrap_or(limits::MAX_BLOCK);
        let held = batch.block.len() + raw_len.saturating_mul(limits::UNPACKED_FACTOR);
        let share = self.shared.context.budget.take(held).await;
        let slot = Arc::clone(&self.shared.decoders).acquire_owned().await;
        let sender = Arc::clone(sender);
        let decoding = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            batch::prepare(batch, &taken, sender, now())
        });
        Ok(Work { queue, rolled_from, step: Step::New(decoding, share) })
    }

    /// Hands decoded batches to the judge, in their order.
    async fn submit(
        &self,
        mut works: mpsc::Receiver<Work>,
        answers: mpsc::Sender<Answer>,
    ) -> Result<(), End> {
        while let Some(Work { queue, rolled_from, step }) = works.recv().await {
            // Room first: an answer that could not be put down would be forgotten.
            let Ok(room) = answers.reserve().await else { return Ok(()) };
            let state = match step {
                Step::Old(next) => Waiting::Old(next),
                Step::New(decoding, share) => {
                    let prepared = decoding.await.map_err(|error| {
                        tracing::error!(%error, agent = self.agent.id, "decoding failed");
                        End::refused(Reason::Busy, "decoding failed; the collector's log has more")
                    })??;
                    let records = prepared.received.records.records.len() as u64;
                    let bytes = prepared.received.raw_len;
                    let coming = self.shared.context.desk.submit(prepared).await;
                    Waiting::New { coming, records, bytes, _share: share }
                }
            };
            room.send(Answer { queue, rolled_from, state });
        }
        Ok(())
    }

    /// Tells the agent what is on disk.
    async fn acknowledge(
        &self,
        answers: &mut Answers,
        outbox: mpsc::Sender<Body>,
    ) -> Result<(), End> {
        while let Some((answer, stored)) = answers.next().await {
            let (next, heads) = match stored {
                Ok(Stored { next, heads }) => (next, Some(heads).filter(|h| !h.heads.is_empty())),
                Err(Error::Hole { expected, found }) => {
                    let text = format!("{found} where {expected} was expected");
                    return Err(End::refused(Reason::Hole, text));
                }
                Err(error) => return Err(End::refused(Reason::Busy, error.to_string())),
            };
            let (kind, epoch) = answer.queue;
            let context = &self.shared.context;
            if let Waiting::New { records, bytes, .. } = answer.state {
                context.metrics.received(kind, records, bytes);
            }
            if let Some(from) = answer.rolled_from {
                context.observer.rolled_back(&self.agent.id, kind, from, epoch);
            }
            let epoch = Bytes::copy_from_slice(&epoch);
            let ack = Ack { queues: vec![QueueAck { kind: kind.into(), epoch, next }], heads };
            if outbox.send(Body::Ack(ack)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Grants a certificate for a new key; None when it can't be done now and the agent may ask
    /// again.
    async fn renew(&self, renew: Renew) -> Result<Option<Renewed>, End> {
        let pki = Arc::clone(&self.shared.context.pki);
        let request = match pki.request(&renew.csr) {
            Ok(request) => request,
            Err(IssueError::Request(text)) => return Err(End::refused(Reason::Malformed, text)),
            Err(IssueError::Ours(_)) => return Ok(None),
        };
        let serial = self.facts.serial.clone();
        let begun = Instant::now();
        let granted = store::transact(&self.shared.context.desk, move |store, now| {
            registry::renew(store, now, &serial, &request.digest, |id| {
                pki.issue(&request, id, now).map_err(|error| error.to_string())
            })
        })
        .await;
        match granted {
            Ok(granted) => {
                let took = begun.elapsed();
                tracing::info!(agent = self.agent.id, ?took, "certificate renewed");
                let chain = granted.chain.into_iter().map(Into::into).collect();
                Ok(Some(Renewed { chain }))
            }
            Err(error @ Error::Refused(_)) => {
                Err(End::refused(Reason::Unexpected, error.to_string()))
            }
            Err(error) => {
                tracing::warn!(agent = self.agent.id, %error, "certificate not renewed");
                Ok(None)
            }
        }
    }

    fn sender(&self) -> Arc<Sender> {
        Arc::new(Sender {
            agent: self.agent.id.as_str().into(),
            host: self.info.host.as_str().into(),
            site: self.agent.site.as_str().into(),
            system: self.agent.system.as_str().into(),
            zone: self.info.zone.as_str().into(),
        })
    }
}

impl Answers {
    /// The next answer of the judge; None when there will be no more. What is waited for is not
    /// lost when the waiting is given up.
    async fn next(&mut self) -> Option<(Answer, Result<Stored, Error>)> {
        if self.current.is_none() {
            self.current = self.queue.recv().await;
        }
        let stored = match &mut self.current.as_mut()?.state {
            Waiting::Old(next) => Ok(Stored { next: *next, heads: Default::default() }),
            Waiting::New { coming, .. } => match coming.await {
                Ok(stored) => stored,
                Err(_) => Err(Error::Busy("the collector is stopping".to_owned())),
            },
        };
        self.current.take().map(|answer| (answer, stored))
    }

    /// Waits until the judge has answered everything it was given, whatever it says.
    async fn settle(&mut self) {
        self.queue.close();
        while self.next().await.is_some() {}
    }
}

/// Writes what is to be said, in few large writes.
async fn write<S: AsyncWrite + Unpin>(
    output: &mut WriteHalf<S>,
    unsent: &mut BytesMut,
    mut messages: mpsc::Receiver<Body>,
    mut policy: watch::Receiver<Arc<Policy>>,
) -> Result<(), End> {
    loop {
        let flushed = timeout(limits::IDLE_TIMEOUT, async {
            while !unsent.is_empty() {
                if output.write_buf(unsent).await? == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
            }
            output.flush().await
        });
        match flushed.await {
            Ok(flushed) => flushed.map_err(End::Gone)?,
            Err(_) => return Err(End::refused(Reason::Silent, "the agent reads no acks")),
        }
        let message = tokio::select! {
            message = messages.recv() => message,
            Ok(()) = policy.changed() => {
                Some(Body::Policy(policy.borrow_and_update().as_ref().clone()))
            }
        };
        let Some(message) = message else { return Ok(()) };
        unsent.extend_from_slice(&frame::encode(message));
        while let Ok(message) = messages.try_recv() {
            unsent.extend_from_slice(&frame::encode(message));
        }
    }
}

fn connection_info(
    hello: &Hello,
    instance: [u8; 16],
    peer: SocketAddr,
    agent: &Agent,
    facts: &Facts,
) -> ConnectionInfo {
    let host = hello.host.clone().unwrap_or_default();
    ConnectionInfo {
        peer,
        instance,
        version: registry::clean(&hello.version),
        host: registry::clean(&host.hostname),
        zone: registry::clean(&host.timezone),
        os: registry::clean(&host.os),
        kernel: registry::clean(&host.kernel),
        architecture: registry::clean(&host.architecture),
        site: agent.site.clone(),
        system: agent.system.clone(),
        serial: facts.serial.clone(),
        not_after: facts.not_after,
        since: now(),
    }
}

//! One connection from Hello to its end.
//!
//! Reading has a task of its own, because a read that is given up half-way loses its place in the
//! stream. The rest is one loop over what can happen: a message came, something became readable,
//! time passed, the agent stops.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use hengwei_protocol::budget::Budget;
use hengwei_protocol::wire::frame::Body;
use hengwei_protocol::wire::{Ack, Hello, QueueAck, QueueState, Refusal, Renew, Welcome};
use hengwei_protocol::{Kind, block, frame, limits, refusal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reconcile::{Verdict, reconcile};
use super::turns::Turns;
use super::{Dial, Ended, Ship};
use crate::spool::{Acked, Slice, Spool};
use crate::time::now;

/// Records of one batch, before compression: room for a whole round of the spool, so that no frame is
/// read twice.
const BATCH_BYTES: usize = 2 << 20;
/// Batches that may wait for their acknowledgement.
const WINDOW: usize = 8;
/// Memory for what the collector says: certificates, acknowledgements, chain heads.
const BUDGET: usize = 256 << 10;
/// The longest message of a collector.
const MAX_ANSWER: usize = 256 << 10;
/// How often the certificate's age is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);
/// How long a new certificate waits for what is in flight before it is put to use.
const SETTLE: Duration = Duration::from_secs(5);

/// A batch that was sent.
struct Sent {
    kind: Kind,
    epoch: Bytes,
    next: u64,
    digest: [u8; 32],
}

type Messages = mpsc::Receiver<Result<Body, Ended>>;

struct Connection<'a, D, S> {
    ship: &'a Ship<D>,
    out: WriteHalf<S>,
    messages: Messages,
    /// The next number to send of each queue, and the epoch it belongs to.
    cursors: BTreeMap<Kind, (Bytes, u64)>,
    window: VecDeque<Sent>,
    turns: Turns,
    /// When something was last written, and last heard.
    said: Instant,
    heard: Instant,
    /// A new certificate is under way, or here and waiting to be used since.
    asked: bool,
    renewed: Option<Instant>,
}

/// Speaks with a collector until one side ends it.
pub(super) async fn converse<D, S>(
    ship: &Ship<D>,
    stream: S,
    address: &str,
    stop: &CancellationToken,
) -> Ended
where
    D: Dial,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (read, out) = tokio::io::split(stream);
    let (sender, messages) = mpsc::channel(16);
    let reader = tokio::spawn(listen(read, sender));
    let now = Instant::now();
    let mut connection = Connection {
        ship,
        out,
        messages,
        cursors: BTreeMap::new(),
        window: VecDeque::new(),
        turns: Turns::default(),
        said: now,
        heard: now,
        asked: false,
        renewed: None,
    };
    let ended = match connection.serve(address, stop).await {
        Ok(()) => {
            // So that the silence from now on is no alarm. One that does not arrive raises one.
            let text = "the agent was stopped".to_owned();
            let goodbye = Refusal { reason: refusal::Reason::Stopping.as_str().to_owned(), text };
            let told = connection.write(Body::Refusal(goodbye));
            drop(tokio::time::timeout(Duration::from_secs(1), told).await);
            Ended::Stopped
        }
        Err(ended) => ended,
    };
    // Nothing more is sent; whether the farewell arrives makes no difference.
    drop(tokio::time::timeout(Duration::from_secs(1), connection.out.shutdown()).await);
    reader.abort();
    ended
}

/// Reads messages until the stream ends or nobody wants them.
async fn listen<S: AsyncRead>(mut read: ReadHalf<S>, sender: mpsc::Sender<Result<Body, Ended>>) {
    let budget = Budget::new(BUDGET);
    loop {
        let message = match frame::read(&mut read, &budget, MAX_ANSWER).await {
            Ok(Some((body, _share))) => Ok(body),
            Ok(None) => Err(Ended::Broke("the collector closed it".to_owned())),
            Err(frame::Error::Io(error)) => Err(Ended::Broke(error.to_string())),
            Err(error) => Err(Ended::Misbehaved(error.to_string())),
        };
        let last = message.is_err();
        if sender.send(message).await.is_err() || last {
            return;
        }
    }
}

impl<D: Dial, S: AsyncRead + AsyncWrite + Unpin> Connection<'_, D, S> {
    async fn serve(&mut self, address: &str, stop: &CancellationToken) -> Result<(), Ended> {
        let hello = self.ship.hello();
        self.write(Body::Hello(hello.clone())).await?;
        let welcome = self.welcome().await?;
        self.settle(&hello, &welcome).await?;
        tracing::info!(address, agent = welcome.agent, "shipping");
        self.ship.set("connected", Some(address));
        let mut changed = self.ship.spool.changed();
        // Often enough for the shortest of what is waited for.
        let often = (self.ship.pace.keepalive / 20).min(Duration::from_secs(1));
        let mut tick = tokio::time::interval(often);
        let mut renewal_due = Instant::now();
        loop {
            changed.mark_unchanged();
            let sent = self.send_batch().await?;
            if stop.is_cancelled() && self.window.is_empty() && self.ship.spool.is_drained() {
                return Ok(());
            }
            if self.renewed.is_some_and(|at| self.window.is_empty() || at.elapsed() >= SETTLE) {
                return Err(Ended::Again("a new certificate"));
            }
            tokio::select! {
                biased;
                message = self.messages.recv() => {
                    let message = message.unwrap_or(Err(Ended::Broke("it ended".to_owned())))?;
                    self.heard(message)?;
                }
                // There may be more to send at once; messages that came meanwhile went first.
                () = std::future::ready(()), if sent => {}
                Ok(()) = changed.changed() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                _ = tick.tick() => {
                    if Instant::now() >= renewal_due {
                        renewal_due = Instant::now() + RENEWAL_CHECK;
                        self.renew().await?;
                    }
                    self.keep_alive().await?;
                }
            }
        }
    }

    async fn welcome(&mut self) -> Result<Welcome, Ended> {
        let message = tokio::time::timeout(limits::HELLO_TIMEOUT, self.messages.recv()).await;
        match message {
            Ok(Some(Ok(Body::Welcome(welcome)))) => Ok(welcome),
            Ok(Some(Ok(Body::Refusal(refusal)))) => Err(refused(refusal)),
            Ok(Some(Ok(_))) => Err(Ended::Misbehaved("no Welcome came first".to_owned())),
            Ok(Some(Err(ended))) => Err(ended),
            Ok(None) => Err(Ended::Broke("it ended before a Welcome".to_owned())),
            Err(_) => Err(Ended::Broke("no Welcome in time".to_owned())),
        }
    }

    /// Compares the queues. A new epoch is said in a new Hello, so the connection begins again.
    async fn settle(&mut self, hello: &Hello, welcome: &Welcome) -> Result<(), Ended> {
        if let Some(policy) = &welcome.policy {
            self.policy(policy);
        }
        let mut again = false;
        for (kind, ours) in Kind::ALL.into_iter().zip(&hello.queues) {
            let same = |q: &&QueueState| q.kind == ours.kind && q.epoch == ours.epoch;
            let theirs = welcome.queues.iter().find(same).cloned().unwrap_or_default();
            let (spool, ours) = (self.ship.spool.clone(), ours.clone());
            let epoch = ours.epoch.clone();
            let compare = move || {
                let next = spool.next(kind);
                reconcile(&ours, &theirs, next, |number| spool.known(kind, number))
            };
            match blocking(compare).await?.map_err(|error| Ended::Spool(error.to_string()))? {
                Verdict::GoOn => {}
                Verdict::AckUpTo(next, digest) => {
                    self.ship.spool.ack(kind, &epoch, next, digest);
                }
                Verdict::NewEpoch(cause, why) => {
                    let begun = self.ship.spool.begin_epoch(kind, cause, why).await;
                    begun.map_err(|error| Ended::Spool(error.to_string()))?;
                    again = true;
                }
            }
            let state = self.ship.spool.state(kind);
            self.cursors.insert(kind, (state.epoch, state.next));
        }
        match again {
            true => Err(Ended::Again("a new epoch")),
            false => Ok(()),
        }
    }

    /// Sends one batch if there is something and room in the window; whether it did.
    async fn send_batch(&mut self) -> Result<bool, Ended> {
        if self.window.len() >= WINDOW || self.renewed.is_some() {
            return Ok(false);
        }
        let spool = &self.ship.spool;
        let cursors = &self.cursors;
        let ready = |kind| cursors.get(&kind).is_some_and(|(_, at)| *at < spool.next(kind));
        let Some(kind) = self.turns.next(ready) else { return Ok(false) };
        let Some((epoch, from)) = self.cursors.get(&kind).cloned() else { return Ok(false) };
        let (spool, of) = (spool.clone(), epoch.clone());
        let packed = blocking(move || pack(&spool, kind, of, from)).await??;
        let Some((batch, next, digest)) = packed else { return Ok(false) };
        self.window.push_back(Sent { kind, epoch: epoch.clone(), next, digest });
        self.cursors.insert(kind, (epoch, next));
        if self.window.len() == 1 {
            // The clock for an acknowledgement starts with the first batch that waits for one.
            self.heard = Instant::now();
        }
        self.write(Body::Batch(batch)).await?;
        Ok(true)
    }

    fn heard(&mut self, message: Body) -> Result<(), Ended> {
        self.heard = Instant::now();
        match message {
            Body::Ack(ack) => self.acknowledge(ack),
            Body::Policy(policy) => {
                self.policy(&policy);
                Ok(())
            }
            Body::Renewed(renewed) if self.asked && self.renewed.is_none() => {
                match self.ship.session.renewed(renewed.chain) {
                    Ok(()) => self.renewed = Some(Instant::now()),
                    // It is asked again at the next connection; this certificate still works.
                    Err(error) => tracing::error!("the new certificate was not taken: {error:#}"),
                }
                Ok(())
            }
            Body::Refusal(refusal) => Err(refused(refusal)),
            // A collector may answer a Hello that only keeps the connection alive.
            Body::Welcome(_) => Ok(()),
            _ => Err(Ended::Misbehaved("a message that is not a collector's".to_owned())),
        }
    }

    fn acknowledge(&mut self, ack: Ack) -> Result<(), Ended> {
        for QueueAck { kind, epoch, next } in ack.queues {
            let kind = Kind::try_from(kind).map_err(|e| Ended::Misbehaved(e.to_string()))?;
            let of = |sent: &Sent| sent.kind == kind && sent.epoch == epoch;
            let sent_up_to = self.cursors.get(&kind).filter(|(of, _)| *of == epoch);
            if sent_up_to.is_some_and(|(_, at)| next > *at) {
                let text = format!("it acknowledged {kind} {next}, which was not sent");
                return Err(Ended::Misbehaved(text));
            }
            let whole = self.window.iter().find(|sent| of(sent) && sent.next == next);
            // Inside a batch the digest is not at hand; Hello does without it.
            let digest = whole.map(|sent| sent.digest);
            self.window.retain(|sent| !(of(sent) && sent.next <= next));
            match self.ship.spool.ack(kind, &epoch, next, digest) {
                Acked::Advanced => self.ship.acknowledged(),
                Acked::Known | Acked::OtherEpoch => {}
                Acked::Ahead => {
                    let text = format!("it acknowledged {kind} {next}, which does not exist");
                    return Err(Ended::Misbehaved(text));
                }
            }
        }
        if let Some(heads) = &ack.heads {
            self.ship.session.heads(heads);
        }
        Ok(())
    }

    fn policy(&self, policy: &hengwei_protocol::wire::Policy) {
        if let Err(error) = self.ship.session.policy(policy) {
            tracing::error!("the collector's policy was not taken: {error:#}");
        }
    }

    async fn renew(&mut self) -> Result<(), Ended> {
        if self.asked {
            return Ok(());
        }
        let Some(csr) = self.ship.session.renewal(now()) else { return Ok(()) };
        self.asked = true;
        tracing::info!("asking for a new certificate");
        self.write(Body::Renew(Renew { csr })).await
    }

    /// Says Hello again when nothing was said for a while, and gives up a collector that does not
    /// acknowledge.
    async fn keep_alive(&mut self) -> Result<(), Ended> {
        if !self.window.is_empty() && self.heard.elapsed() >= self.ship.pace.ack {
            return Err(Ended::Broke("no acknowledgement came in time".to_owned()));
        }
        if self.said.elapsed() >= self.ship.pace.keepalive {
            let hello = self.ship.hello();
            self.write(Body::Hello(hello)).await?;
        }
        Ok(())
    }

    async fn write(&mut self, body: Body) -> Result<(), Ended> {
        self.said = Instant::now();
        match tokio::time::timeout(self.ship.pace.ack, frame::write(&mut self.out, body)).await {
            Ok(Ok(())) => Ok(()),
            // What the collector said before it hung up tells more than that it did.
            Ok(Err(error)) => {
                Err(self.last_words().await.unwrap_or(Ended::Broke(error.to_string())))
            }
            Err(_) => Err(Ended::Broke("the collector takes nothing".to_owned())),
        }
    }

    async fn last_words(&mut self) -> Option<Ended> {
        let wait = Duration::from_secs(1);
        while let Ok(Some(message)) = tokio::time::timeout(wait, self.messages.recv()).await {
            match message {
                Ok(Body::Refusal(refusal)) => return Some(refused(refusal)),
                Ok(Body::Ack(ack)) => drop(self.acknowledge(ack)),
                Ok(_) => {}
                Err(ended) => return Some(ended),
            }
        }
        None
    }
}

fn refused(refusal: hengwei_protocol::wire::Refusal) -> Ended {
    // A reason we do not know is shown as it came, cut to a sane length.
    let cut = |text: &str, len: usize| text.chars().filter(|c| !c.is_control()).take(len).collect();
    let reason = match refusal::Reason::parse(&refusal.reason) {
        Some(reason) => reason.as_str().to_owned(),
        None => cut(&refusal.reason, 32),
    };
    Ended::Refused { reason, text: cut(&refusal.text, 200) }
}

type Packed = Option<(hengwei_protocol::wire::Batch, u64, [u8; 32])>;

fn pack(spool: &Spool, kind: Kind, epoch: Bytes, from: u64) -> Result<Packed, Ended> {
    let slice = spool.read(kind, from, BATCH_BYTES).map_err(|e| Ended::Spool(e.to_string()))?;
    let Some(Slice { block, next, digest }) = slice else { return Ok(None) };
    let batch = block::pack(kind, epoch, &block).map_err(|e| Ended::Spool(e.to_string()))?;
    Ok(Some((batch, next, digest)))
}

/// Reads files on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Ended::Spool(error.to_string()))
}

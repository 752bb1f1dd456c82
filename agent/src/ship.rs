//! Ships what the spool holds to the collector and lets the spool forget what is stored there. In:
//! ranges of the spool. Out: batches on one connection, acknowledgements back into the spool. It does
//! not know how the agent got its certificate ([`Session`] does) nor what a record says.
//!
//! One connection at a time, to the first address that answers. It opens with Hello and Welcome, by
//! which both ends find out whether they still speak of the same numbers (`reconcile`); then
//! batches go out, several in flight, the queues taking turns by weight; acknowledgements come back
//! cumulatively. Nothing about a batch is kept but its end and the digest of its last record: what is
//! to be sent again is read again.
//!
//! When the connection ends, for whatever reason, the next one begins with Hello: no state is carried
//! over, so there is none that could be wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hengwei_protocol::{Kind, limits, wire};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::spool::Spool;
use crate::time::now;

mod dial;
mod host;
mod reconcile;
mod stream;
#[cfg(test)]
mod tests;
mod turns;

pub use dial::Tls;
pub use host::host_info;

/// How long an address may take to be reached and to finish TLS.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that lasted so long was a good one: the pause begins anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// How long shipping goes on after the sources have stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// Who the agent is to the collector, and what the collector asks of it.
pub trait Session: Send + Sync {
    /// How to make a TLS connection as this agent, and the agent's id.
    fn connector(&self) -> (tokio_rustls::TlsConnector, String);
    /// A certificate signing request, DER, when it is time for a new certificate.
    fn renewal(&self, now: i64) -> Option<Bytes>;
    /// Takes the certificate that came back, leaf first, DER.
    fn renewed(&self, chain: Vec<Bytes>) -> anyhow::Result<()>;
    /// Takes what the collector asks for.
    fn policy(&self, policy: &wire::Policy) -> anyhow::Result<()>;
    /// Keeps the chain heads of the collector's history.
    fn heads(&self, heads: &wire::Heads);
}

/// Reaches a collector.
pub trait Dial: Send + Sync {
    /// What comes of it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Connects to one address, `host:port`.
    fn dial(&self, address: &str) -> impl Future<Output = anyhow::Result<Self::Stream>> + Send;
}

/// The connection for an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `connecting`, `connected`, `waiting` (to try again), `stopped`.
    pub state: String,
    /// The collector's address, while there is a connection.
    pub address: Option<String>,
    /// Since when it is so, Unix nanoseconds.
    pub since: i64,
    /// When the collector last acknowledged something, Unix nanoseconds.
    pub last_ack: Option<i64>,
    /// Why there is none, by address; empty once there is one.
    pub problems: BTreeMap<String, String>,
}

/// How patient shipping is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first pause after a failure; it doubles.
    pub retry: Duration,
    /// How long the collector may take over an acknowledgement.
    pub ack: Duration,
    /// How long nothing may be said.
    pub keepalive: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            retry: Duration::from_secs(1),
            ack: Duration::from_secs(60),
            keepalive: limits::KEEPALIVE,
        }
    }
}

/// What shipping needs.
pub struct Ship<D> {
    /// How a collector is reached.
    pub dial: D,
    /// Addresses, tried in turn.
    pub collectors: Vec<String>,
    /// What to send.
    pub spool: Spool,
    /// Who sends.
    pub session: Arc<dyn Session>,
    /// What Hello says of the host.
    pub host: wire::HostInfo,
    /// 16 random bytes of this run.
    pub instance: Bytes,
    /// What an operator sees.
    pub status: Arc<Mutex<Status>>,
    /// How patient it is.
    pub pace: Pace,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The agent stops and everything that could be sent was.
    #[error("the agent is stopping")]
    Stopped,
    /// Begin again at once: a new epoch, a new certificate.
    #[error("beginning again: {0}")]
    Again(&'static str),
    /// The collector says why.
    #[error("the collector refused: {reason}: {text}")]
    Refused { reason: String, text: String },
    /// The collector said something it must not.
    #[error("the collector broke the protocol: {0}")]
    Misbehaved(String),
    /// It went away.
    #[error("the connection broke: {0}")]
    Broke(String),
    /// Our own disk.
    #[error("{0}")]
    Spool(String),
}

/// The pauses before the next connection.
struct Pauses {
    /// After a collector that was not there, or did not keep the connection.
    missed: Backoff,
    /// After one with which it has to begin again.
    again: Backoff,
}

impl From<Duration> for Pauses {
    fn from(first: Duration) -> Pauses {
        Pauses { missed: Backoff::from(first), again: Backoff::from(first) }
    }
}

impl Pauses {
    /// Before a connection that begins again after one that lasted so long. There is a collector: how
    /// often there was none before no longer matters. But one that asks for it each time is not asked
    /// back in a tight loop.
    fn begin_again(&mut self, lasted: Duration) -> Duration {
        self.missed.reset();
        let soon = self.again.is_fresh() && lasted < GOOD_AFTER;
        let pause = self.again.next_pause();
        if soon { Duration::ZERO } else { pause }
    }
}

impl<D: Dial> Ship<D> {
    /// Ships until `stop`, then for at most `DRAIN` what is left, and returns.
    pub async fn run(self, stop: CancellationToken) {
        let mut pauses = Pauses::from(self.pace.retry);
        let mut turn = 0;
        let drain = stop.clone();
        let limit = async move {
            drain.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let work = async {
            loop {
                let pause = self.attempt(&mut turn, &stop, &mut pauses).await;
                if stop.is_cancelled() {
                    break;
                }
                if let Some(pause) = pause {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = limit => tracing::warn!("stopping with records unsent: they stay in the spool"),
        }
        self.set("stopped", None);
    }

    /// One connection, from dialling to its end; how long to wait before the next.
    async fn attempt(
        &self,
        turn: &mut usize,
        stop: &CancellationToken,
        pauses: &mut Pauses,
    ) -> Option<Duration> {
        let address = self.collectors.get(*turn % self.collectors.len().max(1))?;
        self.set("connecting", None);
        let dialled = tokio::select! {
            () = stop.cancelled() => return None,
            dialled = tokio::time::timeout(DIAL_TIMEOUT, self.dial.dial(address)) => dialled,
        };
        let stream = match dialled {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Some(self.missed(turn, address, &format!("{error:#}"), pauses));
            }
            Err(_) => return Some(self.missed(turn, address, "no answer", pauses)),
        };
        let began = tokio::time::Instant::now();
        let ended = stream::converse(self, stream, address, stop).await;
        if began.elapsed() >= GOOD_AFTER {
            pauses.missed.reset();
            pauses.again.reset();
        }
        match ended {
            Ended::Stopped => None,
            Ended::Again(why) => {
                tracing::info!(address, "connecting again: {why}");
                Some(pauses.begin_again(began.elapsed()))
            }
            ended => Some(self.missed(turn, address, &ended.to_string(), pauses)),
        }
    }

    fn missed(&self, turn: &mut usize, address: &str, why: &str, pauses: &mut Pauses) -> Duration {
        *turn += 1;
        // The other addresses are tried before any pause grows.
        let pause = match *turn % self.collectors.len() {
            0 => pauses.missed.next_pause(),
            _ => Duration::from_millis(100),
        };
        tracing::warn!(
            address,
            "not shipping: {why}; trying again in {:.1} s",
            pause.as_secs_f64()
        );
        self.set("waiting", None);
        self.status().problems.insert(address.to_owned(), why.to_owned());
        pause
    }

    fn set(&self, state: &str, address: Option<&str>) {
        let mut status = self.status();
        status.state = state.to_owned();
        status.address = address.map(str::to_owned);
        status.since = now();
        if address.is_some() {
            status.problems.clear();
        }
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) {
        self.status().last_ack = Some(now());
    }

    fn hello(&self) -> wire::Hello {
        wire::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance.clone(),
            queues: Kind::ALL.map(|kind| self.spool.state(kind)).to_vec(),
            host: Some(self.host.clone()),
            clock: now(),
        }
    }
}

/// 16 random bytes that tell this run of the agent from any other.
pub fn instance() -> Bytes {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers never fail once booted");
    Bytes::copy_from_slice(&bytes)
}

//! Agents over mutual TLS.
//!
//! In: connections on one port. What a peer wants is its ALPN: `hengwei/1` is an agent, which must
//! show a certificate that leads to a trusted root and that the registry knows ([`session`]);
//! `hengwei-enroll/1` is a host that has only a token ([`enrol`]). Nothing else is spoken. Out:
//! prepared batches to the judge, acknowledgements back once they are on disk.
//!
//! Whatever a peer does wrong ends its own connection, under one name of [`Reason`] that is told to
//! the peer where that is possible, logged with its address and counted. Nothing a peer can do ends
//! the listener: connections are tasks of their own, what they may hold in memory and for how long
//! is bounded, and decoding runs on threads of its own.
//!
//! Every two seconds a sweep looks at the registry and the clock for each live connection, so that a
//! revocation or the end of a certificate ends the connection within five seconds, and lets the
//! PKI look at its files ([`Pki::maintain`]).

mod batch;
mod enrol;
mod live;
mod session;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hengwei_protocol::budget::Budget;
use hengwei_protocol::refusal::Reason;
use hengwei_protocol::wire::{Refusal, frame::Body};
use hengwei_protocol::{ALPN_AGENT, ALPN_ENROLL, frame, limits};
use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Context, Input, Take};
use crate::pki::{Facts, Pki};
use crate::time::{MINUTE, now};

/// Connections at once, of any kind.
const MAX_CONNECTIONS: usize = 8_192;
/// Connections at once from one network that have not shown who they are: a hospital's hosts behind
/// one gateway, all back at once. A stranger who opens connections and says nothing must not take
/// the places of agents.
const MAX_KNOCKING: usize = 512;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often live connections are looked at.
const SWEEP: Duration = Duration::from_secs(2);
/// How often the same trouble with the PKI is logged, nanoseconds.
const COMPLAIN_NANOS: i64 = MINUTE;
/// How long what was taken may still be answered when the collector stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a peer that was refused may take to hear it.
const LINGER: Duration = Duration::from_secs(2);
/// What is read and thrown away of a peer that was refused, bytes.
const LINGER_BYTES: usize = 16 << 20;
/// How long to wait after the system would not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// TLS alert `no_application_protocol`, fatal, before encryption began.
const ALERT_NO_PROTOCOL: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 120];

/// `[inputs.agents]` as written.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; `[::]:7443` takes IPv6 as well, on hosts that have it.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: SocketAddr::from(([0, 0, 0, 0], 7443)) }
    }
}

/// The input of agents.
#[derive(Debug)]
pub struct Agents {
    config: Config,
    listener: Option<std::net::TcpListener>,
}

impl Input for Agents {
    type Config = Config;

    fn configure(config: Config) -> anyhow::Result<Option<Agents>> {
        Ok(Some(Agents { config, listener: None }))
    }

    fn bind(&mut self) -> anyhow::Result<SocketAddr> {
        let listen = self.config.listen;
        let listener = std::net::TcpListener::bind(listen).with_context(|| {
            format!(
                "could not listen on {listen}: stop what uses it or change inputs.agents.listen"
            )
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.listener = Some(listener);
        Ok(address)
    }

    async fn run<T: Take>(mut self, context: Context<T>) -> anyhow::Result<()> {
        if self.listener.is_none() {
            self.bind()?;
        }
        let listener = self.listener.take().context("bound just above")?;
        serve(TcpListener::from_std(listener)?, context).await
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The peer did something it may not, or we can't have it now.
    #[error("{}: {text}", .reason.as_str())]
    Refused { reason: Reason, text: String },
    /// The peer hung up, or the network did.
    #[error("the peer hung up: {0}")]
    Gone(io::Error),
}

impl End {
    fn refused(reason: Reason, text: impl Into<String>) -> End {
        End::Refused { reason, text: text.into() }
    }
}

impl From<frame::Error> for End {
    fn from(error: frame::Error) -> End {
        match error {
            frame::Error::Io(error) => End::Gone(error),
            frame::Error::TooLong { .. } => End::refused(Reason::TooLong, error.to_string()),
            frame::Error::Malformed(text) => End::refused(Reason::Malformed, text),
        }
    }
}

/// What all connections share.
struct Shared<T> {
    context: Context<T>,
    live: live::Live,
    gate: enrol::Gate,
    /// Memory for those who have not shown who they are.
    strangers: Budget,
    /// Decoding at once.
    decoders: Arc<Semaphore>,
    /// When trouble with the PKI was logged last, Unix nanoseconds.
    complained: AtomicI64,
}

/// Serves until stopped.
async fn serve<T: Take>(listener: TcpListener, context: Context<T>) -> anyhow::Result<()> {
    let stop = context.stop.clone();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let shared = Arc::new(Shared {
        context,
        live: live::Live::default(),
        gate: enrol::Gate::default(),
        strangers: Budget::new(enrol::MAX_AT_ONCE * limits::MAX_ENROL_FRAME),
        decoders: Arc::new(Semaphore::new(threads)),
        complained: AtomicI64::new(0),
    });
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let doorstep = Arc::new(Doorstep::default());
    let mut connections = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => shared.sweep(),
            Some(ended) = connections.join_next() => report_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => match admit(&slots, &doorstep, peer) {
                    Ok(entry) => drop(connections.spawn(connection(Arc::clone(&shared), tcp, peer, entry))),
                    Err(end) => shared.refuse(peer, None, &end),
                },
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN, async {
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(left = connections.len(), "connections were cut at the stop");
    }
    Ok(())
}

/// What a connection holds: its place among all for as long as it lives, and its place on the
/// doorstep until the TLS handshake is over.
struct Admitted {
    _slot: OwnedSemaphorePermit,
    knock: Knock,
}

fn admit(
    slots: &Arc<Semaphore>,
    doorstep: &Arc<Doorstep>,
    peer: SocketAddr,
) -> Result<Admitted, End> {
    let knock = Doorstep::enter(doorstep, peer.ip()).ok_or_else(|| {
        End::refused(Reason::RateLimited, "too many handshakes from this network")
    })?;
    let slot = Arc::clone(slots)
        .try_acquire_owned()
        .map_err(|_| End::refused(Reason::Busy, "too many connections"))?;
    Ok(Admitted { _slot: slot, knock })
}

/// Handshakes that are going on, by network.
#[derive(Default)]
struct Doorstep(Mutex<HashMap<IpAddr, usize>>);

/// One handshake; dropping it makes room for another.
struct Knock {
    doorstep: Arc<Doorstep>,
    network: IpAddr,
}

impl Doorstep {
    fn enter(doorstep: &Arc<Doorstep>, address: IpAddr) -> Option<Knock> {
        let network = enrol::network(address);
        let mut counts = doorstep.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= MAX_KNOCKING {
            return None;
        }
        *count += 1;
        Some(Knock { doorstep: Arc::clone(doorstep), network })
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        let mut counts = self.doorstep.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A panic is our bug; it has ended its own connection and nothing else.
fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// One connection from its first byte to its last.
async fn connection<T: Take>(
    shared: Arc<Shared<T>>,
    tcp: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
) {
    let Admitted { _slot, knock } = admitted;
    // Acks are small and somebody waits for them.
    let _ = tcp.set_nodelay(true);
    let opened = tokio::select! {
        () = shared.context.stop.cancelled() => return,
        opened = timeout(HANDSHAKE_TIMEOUT, handshake(tcp, &shared.context.pki)) => opened,
    };
    drop(knock);
    match opened {
        Err(_) => {
            shared.refuse(peer, None, &End::refused(Reason::Silent, "no TLS handshake in time"));
        }
        Ok(Err(end)) => shared.refuse(peer, None, &end),
        Ok(Ok(Opened::Agent(stream, facts))) => session::run(&shared, *stream, peer, facts).await,
        Ok(Ok(Opened::Enrolment(stream))) => enrol::run(&shared, *stream, peer).await,
    }
}

impl<T: Take> Shared<T> {
    /// Logs and counts the end of a connection.
    fn refuse(&self, peer: SocketAddr, agent: Option<&str>, end: &End) {
        match end {
            End::Refused { reason, text } => {
                self.context.metrics.refused(*reason);
                tracing::warn!(%peer, agent, reason = reason.as_str(), "refused: {text}");
            }
            End::Gone(error) => tracing::debug!(%peer, agent, %error, "connection ended"),
        }
    }

    /// Ends the connections that may be no longer.
    fn sweep(&self) {
        let now = now();
        let kept = self.context.pki.maintain(now);
        if let Err(error) = kept
            && now.saturating_sub(self.complained.load(Relaxed)) >= COMPLAIN_NANOS
        {
            self.complained.store(now, Relaxed);
            tracing::error!("the PKI stays as it was: {error:#}");
        }
        self.live.sweep(|facts| {
            if now >= facts.not_after {
                return Some((Reason::Expired, "the certificate has come to its end".to_owned()));
            }
            crate::registry::admit(&*self.context.store, facts).err()
        });
        self.gate.forget(now);
    }
}

enum Opened {
    Agent(Box<TlsStream<TcpStream>>, Facts),
    Enrolment(Box<TlsStream<TcpStream>>),
}

async fn handshake(tcp: TcpStream, pki: &Pki) -> Result<Opened, End> {
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let mut start = acceptor.await.map_err(|error| tls_end(&error))?;
    let hello = start.client_hello();
    let wants =
        |wanted: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|name| name == wanted));
    let agent = wants(ALPN_AGENT);
    if !agent && !wants(ALPN_ENROLL) {
        let _ = start.io.write_all(&ALERT_NO_PROTOCOL).await;
        let _ = start.io.shutdown().await;
        linger(&mut start.io).await;
        return Err(End::refused(Reason::NoProtocol, "no ALPN of ours was offered"));
    }
    let config = if agent { pki.agents() } else { pki.enrolment() };
    match start.into_stream(config).into_fallible().await {
        Err((error, mut io)) => {
            // rustls has written its alert; it must arrive before the socket goes.
            let _ = io.shutdown().await;
            linger(&mut io).await;
            Err(tls_end(&error))
        }
        Ok(stream) if agent => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = certificate
                .ok_or_else(|| End::refused(Reason::NoCertificate, "no certificate was shown"))?;
            let facts = Facts::of(certificate)
                .map_err(|error| End::refused(Reason::Tls, error.to_string()))?;
            Ok(Opened::Agent(Box::new(stream), facts))
        }
        Ok(stream) => Ok(Opened::Enrolment(Box::new(stream))),
    }
}

/// Tells the ways apart in which TLS fails.
fn tls_end(error: &io::Error) -> End {
    use CertificateError as C;
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return End::refused(Reason::Tls, format!("the handshake broke off: {error}"));
    };
    let reason = match tls {
        rustls::Error::NoCertificatesPresented => Reason::NoCertificate,
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            Reason::UnknownRoot
        }
        rustls::Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => Reason::Expired,
        rustls::Error::NoApplicationProtocol => Reason::NoProtocol,
        _ => Reason::Tls,
    };
    End::refused(reason, tls.to_string())
}

/// Tells a peer why, and waits a moment for it to hear.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, end: &End) {
    if let End::Refused { reason, text } = end {
        let refusal = Refusal { reason: reason.as_str().to_owned(), text: text.clone() };
        let said = timeout(LINGER, frame::write(stream, Body::Refusal(refusal))).await;
        if !matches!(said, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(LINGER, stream.shutdown()).await;
    linger(stream).await;
}

/// Closing with unread bytes makes the system reset the connection, which would destroy what was
/// just said; so what still comes is read for a moment and thrown away.
async fn linger<S: AsyncRead + Unpin>(stream: &mut S) {
    let _ = timeout(LINGER, async {
        let mut waste = vec![0u8; 16 << 10];
        let mut left = LINGER_BYTES;
        while let Ok(n @ 1..) = stream.read(&mut waste).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests;

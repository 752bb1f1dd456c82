//! Serving a router over TCP, with TLS or without: accepting, and every limit of a connection.
//!
//! What a peer can hold on to is bounded: connections in all and per address, the time for a TLS
//! handshake and for a request's head (which also ends idle connections), the size of a head, and how
//! long a response may stand still because its reader does not read. Bodies are bounded in
//! [`crate::console`].

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// Gives the TLS configuration of the moment, so that a renewed certificate needs no restart.
pub type ServerConfigs = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Connections at once.
const MAX_CONNECTIONS: usize = 512;
/// Connections at once from one address.
const MAX_PER_ADDRESS: usize = 128;
/// For a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request, counted from the end of the response before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 << 10;
/// How long a response may wait for its reader.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may take once we stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Waits after an accept that failed for want of something (descriptors), which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who a request is from; in the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves `router` on `listener` until told to stop, then lets open requests end.
///
/// # Errors
/// Never at present: what fails is a connection, not the listener.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerConfigs>,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let tracker = TaskTracker::new();
    let counts = Counts::default();
    let abort = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("failed to accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = counts.enter(peer.ip()) else {
            tracing::debug!("too many connections: {peer} is turned away");
            continue;
        };
        let connection =
            Connection { peer, router: router.clone(), stop: stop.clone(), _place: place };
        let (tls, abort) = (tls.clone(), abort.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = connection.run(stream, tls) => {}
            }
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(STOP_GRACE, tracker.wait()).await.is_err() {
        abort.cancel();
        tracker.wait().await;
    }
    Ok(())
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
    _place: Place,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<ServerConfigs>) {
        // Small answers should not wait for company.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.http(stream).await };
        let accepting = TlsAcceptor::from(tls()).accept(stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => tracing::debug!("{} failed to agree on TLS: {error}", self.peer),
            Err(_) => tracing::debug!("{} took too long to agree on TLS", self.peer),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let (peer, router) = (self.peer, self.router);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            // A router is always ready.
            router.clone().call(request)
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
        let connection = http.serve_connection(TokioIo::new(Patient::new(stream)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("the connection of {peer} ended: {error}");
        }
    }
}

/// Who is connected, counted by address.
#[derive(Debug, Clone, Default)]
struct Counts {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's place among the counted; given back when dropped.
struct Place {
    counts: Counts,
    address: IpAddr,
}

impl Counts {
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<usize>() >= MAX_CONNECTIONS {
            return None;
        }
        let own = counts.entry(address).or_default();
        if *own >= MAX_PER_ADDRESS {
            return None;
        }
        *own += 1;
        Some(Place { counts: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = counts.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// A stream whose writes may wait for the reader at the other end, but not for ever.
struct Patient<S> {
    stream: S,
    /// Since a write stands still.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Patient<S> {
        Patient { stream, waiting: None }
    }

    fn patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let sleep = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patience(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.patience(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patience(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let counts = Counts::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let places: Vec<_> = (0..MAX_PER_ADDRESS).map(|_| counts.enter(one).unwrap()).collect();
        assert!(counts.enter(one).is_none());
        assert!(counts.enter("192.0.2.2".parse().unwrap()).is_some());
        drop(places);
        assert!(counts.enter(one).is_some());
        assert!(counts.by_address.lock().unwrap().is_empty());
        let many: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|n| counts.enter(IpAddr::V4(std::net::Ipv4Addr::from(n as u32))).unwrap())
            .collect();
        assert!(counts.enter(one).is_none());
        drop(many);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_given_up() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Patient::new(near);
        near.write_all(&[0; 64]).await.unwrap();
        let stuck = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        // One that reads late is waited for.
        far.read_exact(&mut [0; 64]).await.unwrap();
        near.write_all(&[1; 64]).await.unwrap();
    }
}

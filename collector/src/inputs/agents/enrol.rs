//! Enrolment: a host that has only a token becomes an agent.
//!
//! In: one `Enrol` on a connection without client certificate. Out: one `Enrolled`, or a refusal.
//! Strangers speak here, so everything is small: one message of bounded size, one time limit for
//! all of it, a limited number at once, per minute and per address, and memory of their own that
//! agents do not share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hengwei_protocol::frame;
use hengwei_protocol::identity::Token;
use hengwei_protocol::limits;
use hengwei_protocol::refusal::Reason;
use hengwei_protocol::wire::{Enrol, Enrolled, frame::Body};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::{End, Shared, Take, say_goodbye};
use crate::pki::IssueError;
use crate::registry;
use crate::store::{self, Error};
use crate::time::{MINUTE, now};

/// Enrolments at once.
pub(super) const MAX_AT_ONCE: usize = 32;
/// Enrolments a minute from one address: a hospital behind one gateway may roll out this fast.
const MAX_PER_ADDRESS: u32 = 30;
/// Enrolments a minute in all.
const MAX_OVERALL: u32 = 300;
/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 4_096;
/// What a minute is, nanoseconds.
const WINDOW_NANOS: i64 = MINUTE;
/// What a stranger hears, whatever is wrong with its token; the log has the rest.
const BAD_TOKEN: &str = "the token is unknown, used or past its time; ask for a new one";

/// Serves one enrolment.
pub(super) async fn run<T: Take>(
    shared: &Arc<Shared<T>>,
    mut stream: TlsStream<TcpStream>,
    peer: SocketAddr,
) {
    let outcome = tokio::select! {
        // Whoever is cut off here may run it again with the same token.
        () = shared.context.stop.cancelled() => return,
        outcome = timeout(limits::ENROL_TIMEOUT, converse(shared, &mut stream, peer)) => outcome,
    };
    let end = match outcome {
        Ok(Ok(agent)) => {
            tracing::info!(%peer, agent, "enrolled");
            super::linger(&mut stream).await;
            return;
        }
        Ok(Err(end)) => end,
        Err(_) => End::refused(Reason::Silent, "no enrolment in time"),
    };
    shared.refuse(peer, None, &end);
    let told = match end {
        End::Refused { reason: Reason::BadToken, .. } => End::refused(Reason::BadToken, BAD_TOKEN),
        end => end,
    };
    say_goodbye(&mut stream, &told).await;
}

async fn converse<T: Take>(
    shared: &Arc<Shared<T>>,
    stream: &mut TlsStream<TcpStream>,
    peer: SocketAddr,
) -> Result<String, End> {
    let _slot = shared.gate.enter(peer.ip(), now())?;
    let read = frame::read(stream, &shared.strangers, limits::MAX_ENROL_FRAME).await?;
    let Some((body, _share)) = read else {
        return Err(End::Gone(std::io::ErrorKind::UnexpectedEof.into()));
    };
    let Body::Enrol(enrol) = body else {
        return Err(End::refused(Reason::Unexpected, "this connection only enrols"));
    };
    let enrolled = enroll(shared, enrol).await?;
    let agent = enrolled.agent.clone();
    frame::write(stream, Body::Enrolled(enrolled)).await.map_err(End::Gone)?;
    // The answer is out; the rest is courtesy.
    let _ = tokio::io::AsyncWriteExt::shutdown(stream).await;
    Ok(agent)
}

async fn enroll<T: Take>(shared: &Arc<Shared<T>>, enrol: Enrol) -> Result<Enrolled, End> {
    let bad_token = |text: &str| End::refused(Reason::BadToken, text);
    let pki = Arc::clone(&shared.context.pki);
    let token = Token::parse(&enrol.token).ok_or_else(|| bad_token("not the form of a token"))?;
    if !pki.trusts(&token.root) {
        return Err(bad_token("the token is of another root"));
    }
    let request = pki.request(&enrol.csr).map_err(|error| match error {
        IssueError::Request(text) => End::refused(Reason::Malformed, text),
        IssueError::Ours(text) => End::refused(Reason::Busy, text),
    })?;
    let host = enrol.host.unwrap_or_default();
    let stored = token.stored();
    let policy = pki.policy().borrow().as_ref().clone();
    let granted = store::transact(&shared.context.desk, move |store, now| {
        registry::enroll(store, now, &stored, &request.digest, &host, |id| {
            pki.issue(&request, id, now).map_err(|error| error.to_string())
        })
    })
    .await
    .map_err(|error| match error {
        Error::Refused(text) => End::refused(Reason::BadToken, text),
        error => End::refused(Reason::Busy, error.to_string()),
    })?;
    Ok(Enrolled {
        agent: granted.agent,
        chain: granted.chain.into_iter().map(Into::into).collect(),
        policy: Some(policy),
    })
}

/// How many may try to enrol: at once, per address, overall.
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: i64,
    overall: u32,
    addresses: HashMap<IpAddr, u32>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { slots: Arc::new(Semaphore::new(MAX_AT_ONCE)), counts: Mutex::default() }
    }
}

impl Gate {
    /// Lets one in, for as long as what it returns is held.
    fn enter(&self, address: IpAddr, now: i64) -> Result<tokio::sync::OwnedSemaphorePermit, End> {
        let limited = |text: &str| End::refused(Reason::RateLimited, text);
        self.forget(now);
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.overall >= MAX_OVERALL || counts.addresses.len() >= MAX_ADDRESSES {
                return Err(limited("too many enrolments this minute"));
            }
            let count = counts.addresses.entry(network(address)).or_default();
            if *count >= MAX_PER_ADDRESS {
                return Err(limited("too many enrolments from this address this minute"));
            }
            *count += 1;
            counts.overall += 1;
        }
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| limited("too many enrolments at once"))
    }

    /// Begins a new minute when the old one is over, or when the clock went back.
    pub(super) fn forget(&self, now: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !(0..WINDOW_NANOS).contains(&(now.saturating_sub(counts.begun))) {
            *counts = Counts { begun: now, ..Counts::default() };
        }
    }
}

/// Whoever has one address of IPv6 has 2^64 of them.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_by_address_and_forgets_after_a_minute() {
        let gate = Gate::default();
        let (near, far) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..MAX_PER_ADDRESS {
            drop(gate.enter(near, 1).expect("within the limit"));
        }
        let refused = gate.enter(near, 2).expect_err("beyond the limit");
        assert!(matches!(refused, End::Refused { reason: Reason::RateLimited, .. }));
        drop(gate.enter(far, 2).expect("another address"));
        drop(gate.enter(near, 1 + WINDOW_NANOS).expect("another minute"));
    }

    #[test]
    fn the_gate_bounds_how_many_are_inside() {
        let gate = Gate::default();
        let address = |n: usize| IpAddr::from([198, 51, 100, u8::try_from(n).expect("small")]);
        let inside: Vec<_> =
            (0..MAX_AT_ONCE).map(|n| gate.enter(address(n), 1).expect("a slot")).collect();
        assert!(gate.enter(address(200), 1).is_err());
        drop(inside);
        assert!(gate.enter(address(201), 1).is_ok());
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let same = |a: &str, b: &str| {
            network(a.parse().expect("an address")) == network(b.parse().expect("an address"))
        };
        assert!(same("2001:db8::1", "2001:db8::2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}

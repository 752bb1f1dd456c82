//! Which connections are alive, by agent: so that they can be ended from outside, and so that an
//! identity in use by two machines is seen.
//!
//! A run of an agent names itself by 16 random bytes. When another run of the same agent comes, the
//! newer wins and the older connection ends, `replaced`. That alone is no clone: a host that lost
//! its power comes back while its old connection still looks alive. But a run that was followed by
//! another is over, so when it is heard of again there are two of them, with no doubt left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hengwei_protocol::refusal::Reason;
use tokio::sync::watch;

use super::End;
use crate::pki::Facts;

/// Connections of one agent at once, those included that are just ending or just beginning.
const MAX_PER_AGENT: usize = 8;
/// Runs of one agent that are remembered as over.
const MAX_OVER: usize = 16;

/// Why a connection is to end.
pub(super) type Order = Option<(Reason, String)>;

/// All live connections.
#[derive(Default)]
pub(super) struct Live {
    agents: Mutex<HashMap<String, Agent>>,
}

#[derive(Default)]
struct Agent {
    /// Connections past TLS.
    connections: usize,
    /// The last run heard of.
    last: Option<[u8; 16]>,
    /// Runs that another one followed, oldest first.
    over: VecDeque<[u8; 16]>,
    current: Option<Current>,
    /// Held by the connection that may submit batches, until the judge has answered them all.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Current {
    number: u64,
    facts: Facts,
    order: watch::Sender<Order>,
}

/// One connection's place among the live; leaving is dropping it.
pub(super) struct Place<'a> {
    live: &'a Live,
    agent: String,
    number: Option<u64>,
}

/// What [`Place::announce`] found.
pub(super) struct Announced {
    /// Becomes Some when the connection is to end.
    pub(super) order: watch::Receiver<Order>,
    /// Whether this run was over already: the identity is in use twice.
    pub(super) clone: bool,
    /// To be locked before the queues are looked at, and held until all answers are in.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Live {
    /// Takes a place for a connection of `agent` that has shown its certificate.
    pub(super) fn enter(&self, agent: &str) -> Result<Place<'_>, End> {
        let mut agents = self.lock();
        let entry = agents.entry(agent.to_owned()).or_default();
        if entry.connections >= MAX_PER_AGENT {
            return Err(End::refused(Reason::RateLimited, "too many connections of this agent"));
        }
        entry.connections += 1;
        Ok(Place { live: self, agent: agent.to_owned(), number: None })
    }

    /// Ends every connection for which `judge` has a reason.
    pub(super) fn sweep(&self, judge: impl Fn(&Facts) -> Order) {
        // What there is to judge is copied out: judging reads the registry.
        let current: Vec<_> = self
            .lock()
            .values()
            .filter_map(|agent| agent.current.as_ref())
            .map(|current| (current.facts.clone(), current.order.clone()))
            .collect();
        for (facts, order) in current {
            if let Some(reason) = judge(&facts) {
                order.send_replace(Some(reason));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Makes this the agent's connection, of that run; the one before is told to end.
    pub(super) fn announce(&mut self, instance: [u8; 16], facts: &Facts) -> Announced {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (sender, order) = watch::channel(None);
        let mut agents = self.live.lock();
        let agent = agents.entry(self.agent.clone()).or_default();
        let current = Current { number, facts: facts.clone(), order: sender };
        if let Some(older) = agent.current.replace(current) {
            let why = "the same identity connected again".to_owned();
            older.order.send_replace(Some((Reason::Replaced, why)));
        }
        let clone = agent.over.contains(&instance);
        agent.over.retain(|over| *over != instance);
        if let Some(before) = agent.last.replace(instance).filter(|before| *before != instance) {
            agent.over.push_back(before);
        }
        if agent.over.len() > MAX_OVER {
            agent.over.pop_front();
        }
        self.number = Some(number);
        Announced { order, clone, turn: Arc::clone(&agent.turn) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut agents = self.live.lock();
        let Some(agent) = agents.get_mut(&self.agent) else { return };
        agent.connections = agent.connections.saturating_sub(1);
        if agent.current.as_ref().map(|current| current.number) == self.number {
            agent.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            agent: Some("a".into()),
            serial: "01".into(),
            fingerprint: String::new(),
            key: [0; 32],
            not_before: 0,
            not_after: 1,
            subject: String::new(),
            authority: false,
        }
    }

    /// Which of the runs, connecting one after the other, show a clone.
    fn clones(runs: &[u8]) -> Vec<bool> {
        let live = Live::default();
        runs.iter()
            .map(|run| live.enter("a").expect("a place").announce([*run; 16], &facts()).clone)
            .collect()
    }

    #[test]
    fn only_a_run_that_was_over_is_a_clone() {
        assert_eq!(clones(&[1, 1, 1]), [false; 3]);
        assert_eq!(clones(&[1, 2, 3]), [false; 3]);
        assert_eq!(clones(&[1, 2, 1, 2]), [false, false, true, true]);
        assert_eq!(clones(&[1, 2, 2, 1, 1]), [false, false, false, true, false]);
    }

    #[test]
    fn the_newer_wins_and_leaving_late_does_not_matter() {
        let live = Live::default();
        let mut older = live.enter("a").expect("a place");
        let first = older.announce([1; 16], &facts());
        let mut newer = live.enter("a").expect("a place");
        let second = newer.announce([2; 16], &facts());
        assert_eq!(first.order.borrow().as_ref().map(|order| order.0), Some(Reason::Replaced));
        drop(older);
        assert!(second.order.borrow().is_none());
        live.sweep(|_| Some((Reason::Revoked, String::new())));
        assert_eq!(second.order.borrow().as_ref().map(|order| order.0), Some(Reason::Revoked));
    }

    #[test]
    fn an_agent_has_so_many_connections_and_no_more() {
        let live = Live::default();
        let places: Vec<_> =
            (0..MAX_PER_AGENT).map(|_| live.enter("a").expect("a place")).collect();
        assert!(live.enter("a").is_err());
        assert!(live.enter("b").is_ok());
        drop(places);
        assert!(live.enter("a").is_ok());
    }
}

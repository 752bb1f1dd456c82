//! From a batch on the wire to a batch the judge can commit.
//!
//! First, on the connection's task, what the envelope says is held against where the queue stands
//! ([`Queues::take`]): what is on disk is not looked at again, a hole is refused. Then, on a thread
//! for decoding, the block is unpacked, trimmed to what is new and decoded ([`prepare`]). Both trust
//! nothing: limits come before memory, and an error ends the connection under its name.

use std::collections::HashMap;
use std::sync::Arc;

use hengwei_protocol::refusal::Reason;
use hengwei_protocol::wire::{Batch, Block};
use hengwei_protocol::{Kind, block, limits, record};

use super::End;
use crate::decode;
use crate::event::{Events, Sender};
use crate::history::{QueueLedger, Received};
use crate::judge::Prepared;
use crate::registry::{self, Agent};
use crate::store::Store;

/// Epochs of one kind that an agent may have had: each is a loss of its spool, and a row of the
/// ledger for ever.
const MAX_EPOCHS: usize = 4_096;

/// A queue of an agent, in one epoch.
pub(super) type Queue = (Kind, [u8; 16]);

/// Where the queues of one connection stand, what was taken but is not on disk yet included.
#[derive(Debug, Default)]
pub(super) struct Queues(HashMap<Queue, u64>);

/// What became of a batch's envelope.
#[derive(Debug)]
pub(super) struct Taken {
    /// The queue it belongs to.
    pub(super) queue: Queue,
    /// The first number that is expected of the queue; a batch that ends below it was taken before.
    pub(super) expected: u64,
    /// Whether there is anything new in it.
    pub(super) new: bool,
    /// Set with the first batch of an epoch that took the place of another: the other.
    pub(super) rolled_from: Option<[u8; 16]>,
}

impl Queues {
    /// Holds a batch's envelope against its queue, and moves the queue on.
    pub(super) fn take(
        &mut self,
        store: &dyn Store,
        agent: &Agent,
        batch: &Batch,
    ) -> Result<Taken, End> {
        let queue = queue(batch.kind, &batch.epoch)?;
        let end = batch
            .first
            .checked_add(batch.span)
            .ok_or_else(|| End::refused(Reason::Malformed, "a batch beyond the last number"))?;
        if batch.raw_len > limits::MAX_BLOCK as u64
            || batch.block.len() > limits::MAX_BLOCK_COMPRESSED
        {
            let text = format!("block of {} bytes", batch.raw_len.max(batch.block.len() as u64));
            return Err(End::refused(Reason::Bomb, text));
        }
        let mut rolled_from = None;
        let known = match self.0.get(&queue) {
            Some(next) => Some(*next),
            None if self.0.len() >= limits::MAX_QUEUES => {
                return Err(End::refused(Reason::Unexpected, "too many queues"));
            }
            None => store.queue(&agent.id, queue.0, &queue.1).map(|ledger| ledger.next),
        };
        // Whether numbers begin at 0 or at 1 is the agent's affair.
        let expected = known.unwrap_or_else(|| batch.first.min(1));
        if batch.first > expected {
            let text = format!("{} queue: {} where {expected} was expected", queue.0, batch.first);
            return Err(End::refused(Reason::Hole, text));
        }
        if known.is_none() {
            let epochs = registry::epochs(store, &agent.id, queue.0);
            if epochs.len() >= MAX_EPOCHS {
                let text = format!("more than {MAX_EPOCHS} epochs of one queue");
                return Err(End::refused(Reason::RateLimited, text));
            }
            rolled_from = before(agent, epochs);
        }
        self.0.insert(queue, end.max(expected));
        Ok(Taken { queue, expected, new: end > expected, rolled_from })
    }
}

/// The queue a kind and an epoch name.
pub(super) fn queue(kind: u32, epoch: &[u8]) -> Result<Queue, End> {
    let malformed = |text: String| End::refused(Reason::Malformed, text);
    let kind = Kind::try_from(kind).map_err(|error| malformed(error.to_string()))?;
    let epoch = epoch.try_into().map_err(|_| malformed("an epoch is 16 bytes".to_owned()))?;
    Ok((kind, epoch))
}

/// The epoch that a new one takes the place of, unless the agent was enrolled again since.
fn before(agent: &Agent, epochs: Vec<([u8; 16], QueueLedger)>) -> Option<[u8; 16]> {
    epochs
        .into_iter()
        .max_by_key(|(_, ledger)| ledger.last)
        .filter(|(_, ledger)| ledger.last > agent.enrolled)
        .map(|(epoch, _)| epoch)
}

/// Unpacks, trims and decodes a batch. `now` is Unix nanoseconds. Takes long: not for a task.
pub(super) fn prepare(
    mut batch: Batch,
    taken: &Taken,
    sender: Arc<Sender>,
    now: i64,
) -> Result<Prepared, End> {
    let mut block = block::unpack(&batch).map_err(refused)?;
    if batch.first < taken.expected {
        (batch, block) = trim(&batch, block, taken)?;
    }
    let digest = match block.records.last() {
        Some(last) => record::digest(&block.origins[last.origin as usize], last),
        None => return Err(End::refused(Reason::Malformed, "a batch of no records")),
    };
    let records = Arc::new(block);
    let context = decode::Context { sender: &sender, ingested: now, kind: taken.queue.0 };
    let events = decode::block(&*records, &context);
    let received = Received {
        agent: Arc::clone(&sender.agent),
        host: Arc::clone(&sender.host),
        site: Arc::clone(&sender.site),
        system: Arc::clone(&sender.system),
        zone: Arc::clone(&sender.zone),
        kind: taken.queue.0,
        epoch: taken.queue.1,
        first: batch.first,
        span: batch.span,
        raised: raised(taken.queue.0, &events),
        block: batch.block,
        raw_len: batch.raw_len,
        records,
        ingested: now,
    };
    Ok(Prepared { received, digest, events, sender })
}

/// Drops the records that were taken before, which a batch that was cut anew may begin with.
fn trim(batch: &Batch, mut block: Block, taken: &Taken) -> Result<(Batch, Block), End> {
    let old = block.records.iter().take_while(|record| record.number < taken.expected).count();
    if block.records.get(old).is_none_or(|record| record.number != taken.expected) {
        return Err(End::refused(Reason::Malformed, "a record across one that was taken before"));
    }
    block.records.drain(..old);
    let packed = block::pack(taken.queue.0, batch.epoch.clone(), &block)
        .map_err(|error| End::refused(Reason::Busy, format!("could not pack a block: {error}")))?;
    Ok((packed, block))
}

/// Numbers of records that a decoder raised to security, ascending.
fn raised(kind: Kind, events: &Events) -> Vec<u64> {
    if kind == Kind::Security {
        return Vec::new();
    }
    let mut raised: Vec<u64> = events
        .events
        .iter()
        .filter(|event| event.kind == Kind::Security)
        .map(|event| event.number)
        .collect();
    raised.sort_unstable();
    raised.dedup();
    raised
}

fn refused(error: block::Error) -> End {
    let reason = match error {
        block::Error::Bomb(_) => Reason::Bomb,
        block::Error::Malformed(_) => Reason::Malformed,
        block::Error::Hole(_) => Reason::Hole,
    };
    End::refused(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use hengwei_protocol::identity::hex;
    use serde_json::json;

    use super::*;
    use crate::history::tree;
    use crate::store::fake::Fake;

    /// A store whose ledger has so many epochs of agent `a`.
    fn ledger(epochs: usize) -> Fake {
        let store = Fake::default();
        let queue = QueueLedger {
            next: 2,
            digest: String::new(),
            records: 1,
            missing: 0,
            last: 5,
            first_time: 5,
        };
        for n in 0..epochs {
            let key = format!("a\0{}\0{}", Kind::Log, hex(&(n as u128).to_be_bytes()));
            store.put(tree::LEDGER, key, json!(queue));
        }
        store
    }

    #[test]
    fn an_agent_has_so_many_epochs_and_no_more() {
        let agent = Agent { id: "a".into(), ..Agent::default() };
        let batch = Batch {
            kind: Kind::Log.into(),
            epoch: vec![7; 16].into(),
            first: 1,
            span: 1,
            ..Batch::default()
        };
        let take = |epochs: usize| Queues::default().take(&ledger(epochs), &agent, &batch);
        let taken = take(MAX_EPOCHS - 1).expect("taken");
        assert!(taken.new && taken.rolled_from.is_some());
        assert!(matches!(take(MAX_EPOCHS), Err(End::Refused { reason: Reason::RateLimited, .. })));
    }
}

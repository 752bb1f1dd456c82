//! The collector's own numbered source: what it sees itself (an agent silent, a disk low, coverage)
//! becomes records that go the way of all records: decoded, judged, kept, chained.
//!
//! Its queue is numbered like an agent's, under the agent id [`OWN_AGENT`], which no certificate is
//! issued for. What can't be stored just now is tried again by whoever observed it.

use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Field, Fields, Origin, Record, record::Body};
use hengwei_protocol::{Kind, block, identity, record};

use crate::decode;
use crate::event::{OWN_AGENT, Sender};
use crate::history::{Received, tree};
use crate::judge::{Desk, Prepared};
use crate::store::{self, Decision, Error};

/// The guarded system the collector is.
pub const SYSTEM: &str = "security-platform";
const EPOCH: &[u8] = b"own-epoch";

/// One record to write.
#[derive(Debug, Clone)]
pub struct Note {
    /// Such as `hengwei.agent`.
    pub dataset: &'static str,
    /// Queue.
    pub kind: Kind,
    /// What is said.
    pub fields: Vec<Field>,
}

/// Writes the collector's own records.
#[derive(Debug)]
pub struct Own {
    desk: Desk,
    sender: Arc<Sender>,
    epoch: [u8; 16],
}

impl Own {
    /// Takes up the numbering where it was left, or begins it.
    pub async fn open(desk: Desk, site: &str, host: &str) -> Result<Own, Error> {
        let epoch = desk
            .transact(|history, _| {
                let stored = store::get::<String>(history, tree::SETTINGS, EPOCH);
                let known = stored.and_then(|hex| identity::unhex(&hex)?.try_into().ok());
                if let Some(epoch) = known {
                    return Ok((Decision::default(), epoch));
                }
                let mut epoch = [0; 16];
                rand::fill(&mut epoch)
                    .map_err(|_| Error::Busy("no randomness to be had".into()))?;
                let put = store::put(tree::SETTINGS, EPOCH, &identity::hex(&epoch));
                Ok((Decision { entries: Vec::new(), puts: vec![put] }, epoch))
            })
            .await?;
        let sender = Sender {
            agent: OWN_AGENT.into(),
            host: host.into(),
            site: site.into(),
            system: SYSTEM.into(),
            zone: "UTC".into(),
        };
        Ok(Own { desk, sender: Arc::new(sender), epoch })
    }

    /// Writes notes of one kind; returns once they are on disk.
    pub async fn write(&self, notes: Vec<Note>, now: i64) -> Result<(), Error> {
        for kind in Kind::ALL {
            let of_kind: Vec<Note> =
                notes.iter().filter(|note| note.kind == kind).cloned().collect();
            if !of_kind.is_empty() {
                self.write_kind(kind, of_kind, now).await?;
            }
        }
        Ok(())
    }

    async fn write_kind(&self, kind: Kind, notes: Vec<Note>, now: i64) -> Result<(), Error> {
        let epoch = self.epoch;
        let first = self
            .desk
            .transact(move |history, _| {
                let next = history.queue(OWN_AGENT, kind, &epoch).map_or(1, |ledger| ledger.next);
                Ok((Decision::default(), next))
            })
            .await?;
        let prepared = self.prepare(kind, notes, first, now)?;
        let answer = self.desk.submit(prepared).await;
        answer.await.unwrap_or_else(|_| Err(Error::Busy("the collector is stopping".into())))?;
        Ok(())
    }

    fn prepare(
        &self,
        kind: Kind,
        notes: Vec<Note>,
        first: u64,
        now: i64,
    ) -> Result<Prepared, Error> {
        let mut made = Block::default();
        for (number, note) in (first..).zip(notes) {
            let origin = origin_of(&mut made, note.dataset);
            made.records.push(Record {
                number,
                origin,
                time: now,
                created: now,
                body: Some(Body::Fields(Fields { fields: note.fields })),
                ..Record::default()
            });
        }
        let batch =
            block::pack(kind, Bytes::copy_from_slice(&self.epoch), &made).map_err(|error| {
                Error::Busy(format!("a record of our own could not be packed: {error}"))
            })?;
        let context = decode::Context { sender: &self.sender, ingested: now, kind };
        let events = decode::block(&made, &context);
        let digest = made
            .records
            .last()
            .map_or([0; 32], |last| record::digest(&made.origins[last.origin as usize], last));
        let received = Received {
            agent: Arc::clone(&self.sender.agent),
            host: Arc::clone(&self.sender.host),
            site: Arc::clone(&self.sender.site),
            system: Arc::clone(&self.sender.system),
            zone: Arc::clone(&self.sender.zone),
            kind,
            epoch: self.epoch,
            first: batch.first,
            span: batch.span,
            raw_len: batch.raw_len,
            block: batch.block,
            records: Arc::new(made),
            raised: Vec::new(),
            ingested: now,
        };
        Ok(Prepared { received, digest, events, sender: Arc::clone(&self.sender) })
    }
}

fn origin_of(block: &mut Block, dataset: &str) -> u32 {
    let found = block.origins.iter().position(|origin| origin.dataset == dataset);
    let index = found.unwrap_or_else(|| {
        let source = "hengwei".to_owned();
        block.origins.push(Origin { source, dataset: dataset.to_owned(), ..Origin::default() });
        block.origins.len() - 1
    });
    u32::try_from(index).expect("a handful of datasets")
}

//! What the decoders tell history of records as it seals them, so that searches can pass over what
//! cannot fit: times, datasets, lines that are not the bytes as they came, and decoded values.

use hengwei_protocol::Kind;
use hengwei_protocol::wire::Block;

use super::seen::Seen;
use crate::decode;
use crate::event::Sender;
use crate::history::{Delivery, Meaning, Understand, holds_word};
use crate::logql::Event as _;

/// Which decoders these are. Raised whenever one of them finds something else in a record than
/// before: what older ones found then decides no longer what a search passes over.
pub(super) const VERSION: u64 = 1;

/// The decoders of [`crate::decode`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Decoders;

impl Understand for Decoders {
    fn version(&self) -> u64 {
        VERSION
    }

    fn understand(&self, delivery: &Delivery<'_>, block: &Block, see: &mut dyn FnMut(Meaning<'_>)) {
        let sender = Sender {
            agent: delivery.agent.into(),
            host: delivery.host.into(),
            site: delivery.site.into(),
            system: delivery.system.into(),
            zone: delivery.zone.into(),
        };
        let kind = if delivery.raised { Kind::Security } else { delivery.kind };
        let context = decode::Context { sender: &sender, ingested: delivery.ingested, kind };
        let events = decode::block(block, &context);
        for (event, record) in events.iter(&sender).zip(&block.records) {
            let seen = Seen::new(event, record, delivery.kind, [0; 16]);
            let line = seen.line();
            see(Meaning {
                time: seen.time(),
                dataset: seen.dataset(),
                line: (!seen.is_as_it_came()).then_some(line),
                values: &|see| {
                    seen.values().filter(|value| !is_word_of(line, value)).for_each(|it| see(&it));
                },
            });
        }
    }
}

/// Whether a value stands in a line so that its tokens are tokens of the line.
fn is_word_of(line: &str, value: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = value.as_bytes();
    bytes.first().is_some_and(|byte| word(*byte))
        && bytes.last().is_some_and(|byte| word(*byte))
        && bytes.iter().all(|byte| word(*byte) || *byte == b'.')
        && holds_word(line.as_bytes(), bytes)
}

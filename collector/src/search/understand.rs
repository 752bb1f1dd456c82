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
pub(super) const VERSION: u64 = 2;

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The sum over what the decoders' examples decode to, as of [`VERSION`].
    const EXAMPLES: u32 = 0x40dd_ebf2;

    fn files(folder: &Path, to: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the examples of the decoders") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, to);
            } else if path.extension().is_some_and(|it| it == "json") {
                to.push(path);
            }
        }
    }

    #[test]
    fn decoders_that_find_something_else_have_another_version() {
        let mut paths = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode"), &mut paths);
        paths.sort();
        let mut sum = crc32fast::Hasher::new();
        paths.iter().for_each(|path| sum.update(&fs::read(path).expect("an example")));
        let sum = sum.finalize();
        assert_eq!(sum, EXAMPLES, "raise VERSION (it is {VERSION}) and set EXAMPLES to {sum:#x}");
    }

    #[test]
    fn a_value_is_left_out_only_where_the_line_has_its_tokens() {
        let line = "from 10.1.2.3 port 22, file a.log-x";
        for (value, expected) in [
            ("10.1.2.3", true),
            ("22", true),
            ("10.1.2", false),
            ("a.log", true),
            (".1.2", false),
            ("log-x", false),
            ("failure", false),
            ("", false),
        ] {
            assert_eq!(is_word_of(line, value), expected, "{value}");
        }
    }
}

//! What history asks of whoever understands records, as it seals them: when each happened, of which
//! dataset it is, and which texts a search may ask for that are not in the bytes as they came.
//!
//! History itself knows no decoder. What it is told here is derived: it decides which blocks a search
//! may pass over and is never part of the chain.

use std::fmt;

use hengwei_protocol::Kind;
use hengwei_protocol::wire::Block;

/// Understands records. Without one history seals all the same, and searches pass fewer blocks over.
pub trait Understand: Send + Sync + fmt::Debug {
    /// Which decoders these are, not 0: what others found in a record says nothing of what these
    /// would find.
    fn version(&self) -> u64;

    /// Shows what each record of a block means, in their order.
    fn understand(&self, delivery: &Delivery<'_>, block: &Block, see: &mut dyn FnMut(Meaning<'_>));
}

/// How a block came.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Agent id.
    pub agent: &'a str,
    /// Host name.
    pub host: &'a str,
    /// Site.
    pub site: &'a str,
    /// System.
    pub system: &'a str,
    /// Zone of stamps that carry none.
    pub zone: &'a str,
    /// The queue it came in.
    pub kind: Kind,
    /// Whether a decoder raised these records to security.
    pub raised: bool,
    /// `event.ingested`, Unix nanoseconds.
    pub ingested: i64,
}

/// What one record means.
#[derive(Clone, Copy)]
pub struct Meaning<'a> {
    /// `@timestamp`, Unix nanoseconds.
    pub time: i64,
    /// `event.dataset`.
    pub dataset: &'static str,
    /// The event's line, when it is not the record's original as it stands.
    pub line: Option<&'a str>,
    /// Shows the values of decoded fields whose tokens may not be among those of the line.
    pub values: &'a Values<'a>,
}

/// Calls whoever asks with each value.
pub type Values<'a> = dyn Fn(&mut dyn FnMut(&str)) + 'a;

impl fmt::Debug for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meaning")
            .field("time", &self.time)
            .field("dataset", &self.dataset)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

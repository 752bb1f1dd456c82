//! History: the log of commits, the sealed segments, the chain over them, and the index of small
//! records beside them. The only module that knows files of the log or sled.
//!
//! In: [`Draft`]s, one after the other, from the one [`Writer`]. Out: what was committed, to every
//! [`History`]; chain heads; a [`Status`]; and for an auditor [`verify()`], which trusts none of it.
//! It does not know what an event, an alert or an account means.
//!
//! ```text
//! <dir>/lock            held by the writer: there is one
//! <dir>/log/            commits as frames, one fdatasync each            (log)
//! <dir>/segments/       sealed runs of commits, one file per class      (segment)
//! <dir>/checkpoints/    small records as of a commit, the newest two    (checkpoint)
//! <dir>/merging/        a merge under way, swept at open               (merge)
//! <dir>/manifest        which segments and checkpoints count            (manifest)
//! <dir>/index/          small records in sled, can be deleted           (index)
//! <dir>/damaged/        bytes that did not read, kept for whoever asks
//! <dir>/reserve         room that only decisions may use when the disk is full
//! ```
//!
//! **A commit** is encoded, appended, synced, and only then applied to the index and answered. When
//! the write fails the file is cut back and nothing has happened; when the sync fails nobody knows
//! what is on disk, so the writer refuses everything until it is opened again.
//!
//! **Sealing** (`seal`) turns a closed log file into segments in a thread of its own: segments,
//! checkpoint, manifest, unlink. The manifest alone decides: before it changes, the log file counts
//! and segments that it does not list are swept at open; after it, the segments count and the log
//! file is a left-over. So no record is ever missing or doubled, wherever a crash falls.
//!
//! **Opening** (`open`) takes the manifest, reads the log files after it, cuts a torn tail, and
//! trusts the index only when it was closed in order at exactly that commit; else it is built again.

use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Heads, Origin, Record};

mod chain;
mod checkpoint;
mod commit;
mod disk;
mod filter;
mod freeze;
mod growth;
mod index;
mod ledger;
mod log;
mod manifest;
mod merge;
mod onward;
mod open;
mod read;
mod replace;
mod retention;
mod seal;
mod segment;
mod status;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod understand;
mod units;
mod verify;

pub use chain::{Class, canonical_heads, verify_heads};
pub use commit::Writer;
pub use disk::{Disk, Real, Space};
pub use freeze::{Frozen, FrozenFile};
pub use growth::HORIZON_DAYS;
pub use onward::Stretch;
pub use open::{Options, rebuild};
pub use read::History;
pub use retention::{Begin, Keep, MINIMUM_DAYS, Policy, Removal, Rule};
pub use status::{ClassStatus, SiteStatus, Status, TreeStatus};
pub use understand::{Delivery, Meaning, Understand, Values};
pub use units::{Extent, Hunt, Labels, Need, Unit, Units};
pub use verify::{
    Finding, HeadCounts, IndexState, Kept, KeyFrom, Problem, Report, VerifyOptions, verify,
    verify_watched,
};

/// Whether a text holds a whole word, as searches mean it: ASCII case ignored, and where the word
/// begins or ends with a letter, a digit or `_` it does not go on there. A word with a dot in it does
/// not go on over another dot either, so `1.2` is not in `1.2.3`, while `2` is.
pub fn holds_word(text: &[u8], word: &[u8]) -> bool {
    tokens::holds_word(text, word)
}

/// What the blocks of one draft may unpack to together. Who gathers batches into a draft stops well
/// before; it bounds what one frame, and one chunk of a segment, can be.
pub const MAX_DRAFT_RAW: u64 = 512 << 20;

/// Small records a page or a command answers from, by name: `(tree, key) -> value`. History keeps
/// them without knowing what they mean; each tree's owner says what is in it.
pub mod tree {
    /// Agent id -> `registry::Agent`.
    pub const AGENTS: &str = "agents";
    /// Certificate serial (hex) -> `registry::Certificate`.
    pub const CERTIFICATES: &str = "certificates";
    /// Stored token -> `registry::Token`.
    pub const TOKENS: &str = "tokens";
    /// Account name -> `accounts::User`.
    pub const USERS: &str = "users";
    /// Hashed API token -> `accounts::ApiToken`.
    pub const API_TOKENS: &str = "api-tokens";
    /// Hashed session id -> `accounts::Session`.
    pub const SESSIONS: &str = "sessions";
    /// Agent id -> `hosts::Host`.
    pub const HOSTS: &str = "hosts";
    /// `agent \0 source \0 path` -> `hosts::Lag`.
    pub const SOURCES: &str = "sources";
    /// `agent \0 item type \0 item key` -> JSON fields.
    pub const INVENTORY: &str = "inventory";
    /// `agent \0 time (be) \0 n` -> `hosts::Change`.
    pub const INVENTORY_CHANGES: &str = "inventory-changes";
    /// Alert id -> `alerts::Alert`.
    pub const ALERTS: &str = "alerts";
    /// `rule \0 entity type \0 entity value` -> id of the alert that matches join.
    pub const ALERTS_OPEN: &str = "alerts-open";
    /// Sequence (be u64) -> `alerts::Alert` as it was after that change: the feed.
    pub const FEED: &str = "feed";
    /// `agent \0 kind \0 epoch (hex)` -> `history::QueueLedger`. Kept by history itself.
    pub const LEDGER: &str = "ledger";
    /// `agent \0 kind \0 epoch (hex) \0 number (be)` -> `history::GapRow`. Kept by history itself.
    pub const GAPS: &str = "gaps";
    /// Everything that is one of a kind, by name.
    pub const SETTINGS: &str = "settings";
    /// All of them.
    pub const ALL: &[&str] = &[
        AGENTS,
        CERTIFICATES,
        TOKENS,
        USERS,
        API_TOKENS,
        SESSIONS,
        HOSTS,
        SOURCES,
        INVENTORY,
        INVENTORY_CHANGES,
        ALERTS,
        ALERTS_OPEN,
        FEED,
        LEDGER,
        GAPS,
        SETTINGS,
    ];
}

/// A batch as it was received, to be kept.
#[derive(Debug, Clone)]
pub struct Received {
    /// Agent id, from the certificate.
    pub agent: Arc<str>,
    /// Host name, site, system, zone at that time.
    pub host: Arc<str>,
    /// Site.
    pub site: Arc<str>,
    /// System.
    pub system: Arc<str>,
    /// Zone of stamps that carry none.
    pub zone: Arc<str>,
    /// Queue.
    pub kind: Kind,
    /// Epoch of the queue.
    pub epoch: [u8; 16],
    /// First number.
    pub first: u64,
    /// Numbers it stands for.
    pub span: u64,
    /// The compressed block as it came.
    pub block: Bytes,
    /// Its length once unpacked.
    pub raw_len: u64,
    /// The same block unpacked: its records go into the chain.
    pub records: Arc<Block>,
    /// Numbers of records a decoder raised to security, ascending.
    pub raised: Vec<u64>,
    /// `event.ingested`, Unix nanoseconds.
    pub ingested: i64,
}

/// A decision, in the chain of class `record`: an alert's change, an operator's action, a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unix nanoseconds.
    pub time: i64,
    /// Account, `local:<user>`, `agent:<id>` or `collector`.
    pub actor: String,
    /// `alert.raised`, `alert.changed`, `agent.enrolled`, `agent.revoked`, `user.added` ...
    pub action: String,
    /// What was done, JSON.
    pub body: String,
}

/// A small record that changes, or goes when `value` is None.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// One of [`tree::ALL`].
    pub tree: &'static str,
    /// Key.
    pub key: Vec<u8>,
    /// JSON.
    pub value: Option<Vec<u8>>,
}

/// What one commit is to hold, all or nothing.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Batches.
    pub received: Vec<Received>,
    /// Decisions.
    pub entries: Vec<Entry>,
    /// Small records.
    pub puts: Vec<Put>,
    /// Base hits that feed correlations, encoded by the rules crate.
    pub hits: Vec<Bytes>,
    /// A snapshot of correlation state for the checkpoint, when [`Writer::wants_correlations`] asks
    /// for one: the state as it is once this draft is committed, its own `hits` included.
    pub correlations: Option<Bytes>,
}

/// Where a queue of an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueueLedger {
    /// First number not committed.
    pub next: u64,
    /// Digest (hex) of the record before it.
    pub digest: String,
    /// Records received.
    pub records: u64,
    /// Numbers that are known to be missing.
    pub missing: u64,
    /// Commit time of the last batch, Unix nanoseconds.
    pub last: i64,
    /// Commit time of the first batch, Unix nanoseconds.
    pub first_time: i64,
}

/// A gap in what an agent sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GapRow {
    /// Number of the record that says so.
    pub number: u64,
    /// Numbers it stands for.
    pub span: u64,
    /// Records lost, 0 when unknown.
    pub records: u64,
    /// Bytes lost, 0 when unknown.
    pub bytes: u64,
    /// `protocol::gap::Cause`.
    pub cause: String,
    /// In words.
    pub detail: String,
    /// Source and path.
    pub source: String,
    /// Path.
    pub path: String,
    /// When the agent said so, Unix nanoseconds.
    pub time: i64,
}

/// A stored record, found again.
#[derive(Debug, Clone)]
pub struct Found {
    /// Commit number.
    pub commit: u64,
    /// Agent id and what was known of it then.
    pub agent: Arc<str>,
    /// Host name.
    pub host: Arc<str>,
    /// Site.
    pub site: Arc<str>,
    /// System.
    pub system: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// The queue it came in.
    pub kind: Kind,
    /// Whether a decoder raised it to security.
    pub raised: bool,
    /// Epoch of the queue.
    pub epoch: [u8; 16],
    /// Origin.
    pub origin: Origin,
    /// Record.
    pub record: Record,
    /// `event.ingested`, Unix nanoseconds.
    pub ingested: i64,
}

/// Which records to look at.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Ingested at or after, Unix nanoseconds.
    pub since: Option<i64>,
    /// Ingested before.
    pub until: Option<i64>,
    /// Of these kinds only; empty is all. A record that was raised counts as security.
    pub kinds: Vec<Kind>,
    /// Of this agent only.
    pub agent: Option<String>,
}

/// What a commit came to.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Commit number, from 1.
    pub number: u64,
    /// Chain heads after it.
    pub heads: Heads,
}

/// Why history could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was written; the disk is full or nearly so. Try again later.
    #[error("history is short of space: {0}")]
    Full(String),
    /// The operator can mend it.
    #[error("{0}")]
    Unusable(String),
    /// A sync failed: what is on disk is not known; the process must exit and open again.
    #[error("history could not be made durable: {0}")]
    Poisoned(String),
}

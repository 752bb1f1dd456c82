//! What history's files hold, as prost messages with their tags: the payload of a log frame, the
//! items of a segment, the catalog at its end, the manifest, a checkpoint's rows.
//!
//! Every file carries its own magic and version around these; a tag is never given a new meaning.

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Heads};

use super::{Entry, Put, Received, tree};

/// Payload of a commit frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Commit {
    /// When it was committed, Unix nanoseconds.
    #[prost(int64, tag = "1")]
    pub time: i64,
    #[prost(message, repeated, tag = "2")]
    pub batches: Vec<Batch>,
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<StoredEntry>,
    #[prost(message, repeated, tag = "4")]
    pub puts: Vec<StoredPut>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub hits: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub correlations: Option<Bytes>,
    /// One per class that advanced.
    #[prost(message, repeated, tag = "7")]
    pub steps: Vec<Step>,
}

/// A batch as it was received, its block still compressed by the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Batch {
    #[prost(message, optional, tag = "1")]
    pub sender: Option<Sender>,
    #[prost(uint64, tag = "2")]
    pub first: u64,
    #[prost(uint64, tag = "3")]
    pub span: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub block: Bytes,
    #[prost(uint64, tag = "5")]
    pub raw_len: u64,
    #[prost(uint64, repeated, tag = "6")]
    pub raised: Vec<u64>,
    /// How many records the block has.
    #[prost(uint32, tag = "7")]
    pub records: u32,
}

/// Who sent records, and when they came.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sender {
    #[prost(string, tag = "1")]
    pub agent: String,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(string, tag = "3")]
    pub site: String,
    #[prost(string, tag = "4")]
    pub system: String,
    #[prost(string, tag = "5")]
    pub zone: String,
    /// `protocol::Kind` of the queue.
    #[prost(uint32, tag = "6")]
    pub kind: u32,
    #[prost(bytes = "bytes", tag = "7")]
    pub epoch: Bytes,
    /// Unix nanoseconds.
    #[prost(int64, tag = "8")]
    pub ingested: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredEntry {
    #[prost(int64, tag = "1")]
    pub time: i64,
    #[prost(string, tag = "2")]
    pub actor: String,
    #[prost(string, tag = "3")]
    pub action: String,
    #[prost(string, tag = "4")]
    pub body: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredPut {
    #[prost(string, tag = "1")]
    pub tree: String,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Absent when the key goes.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub value: Option<Vec<u8>>,
}

/// One class's chain moving on by one link.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Step {
    /// `chain::Class`.
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub previous: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub link: Bytes,
}

/// What one class has of one commit, in a segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Item {
    pub commit: u64,
    /// When it was committed, Unix nanoseconds.
    pub time: i64,
    /// The whole step, when the item comes from the log or was linked again (`segment::relink`).
    /// None when it was read from a segment, or when the class did not advance.
    pub step: Option<Step>,
    /// As read from a segment: the beginning of its link; None when the class did not advance.
    pub check: Option<[u8; 4]>,
    pub groups: Vec<Group>,
    pub entries: Vec<StoredEntry>,
    pub puts: Vec<StoredPut>,
    pub hits: Vec<Bytes>,
}

/// Records of one sender, in the order they were received.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Group {
    pub sender: Option<Sender>,
    pub block: Option<Block>,
}

/// The end of a segment: what is in it and where.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Catalog {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub first_commit: u64,
    #[prost(uint64, tag = "3")]
    pub last_commit: u64,
    /// Earliest and latest `ingested` (or time of commit or entry), Unix nanoseconds.
    #[prost(int64, tag = "4")]
    pub since: i64,
    #[prost(int64, tag = "5")]
    pub until: i64,
    #[prost(string, repeated, tag = "6")]
    pub agents: Vec<String>,
    /// The link before its first, and its last.
    #[prost(bytes = "bytes", tag = "7")]
    pub previous: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub link: Bytes,
    /// Records; in class `record`, entries and puts.
    #[prost(uint64, tag = "9")]
    pub entries: u64,
    #[prost(message, repeated, tag = "10")]
    pub chunks: Vec<Chunk>,
    /// SHA-256 of everything in the file before the catalog.
    #[prost(bytes = "bytes", tag = "11")]
    pub digest: Bytes,
    /// The commit of `link`.
    #[prost(uint64, tag = "12")]
    pub link_commit: u64,
    /// Whose decoders read the records as they were sealed (`Understand::version`).
    #[prost(uint64, tag = "13")]
    pub understood_by: u64,
    /// What blocks name by their places here.
    #[prost(message, repeated, tag = "14")]
    pub streams: Vec<Stream>,
    #[prost(string, repeated, tag = "15")]
    pub datasets: Vec<String>,
}

/// A stripe: whole commits of the class, and where their blocks lie in the segment.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Chunk {
    /// Where it begins in the file; all other places are counted from here.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    #[prost(uint64, tag = "2")]
    pub len: u64,
    #[prost(uint64, tag = "3")]
    pub first_commit: u64,
    #[prost(uint64, tag = "4")]
    pub last_commit: u64,
    /// Earliest and latest `ingested` (or time of commit or entry), Unix nanoseconds.
    #[prost(int64, tag = "5")]
    pub since: i64,
    #[prost(int64, tag = "6")]
    pub until: i64,
    /// The link before its first, and its last, with the commit of the last; empty when the class
    /// does not advance in it.
    #[prost(bytes = "bytes", tag = "7")]
    pub previous: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub link: Bytes,
    #[prost(uint64, tag = "9")]
    pub link_commit: u64,
    #[prost(message, repeated, tag = "10")]
    pub blocks: Vec<Rows>,
    /// Where its structure lies.
    #[prost(message, optional, tag = "11")]
    pub structure: Option<Part>,
}

/// A block of rows: what a search needs to know to pass it over, and where its parts lie.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rows {
    #[prost(uint32, tag = "1")]
    pub rows: u32,
    /// Earliest and latest `@timestamp`, Unix nanoseconds.
    #[prost(int64, tag = "2")]
    pub since: i64,
    #[prost(int64, tag = "3")]
    pub until: i64,
    /// Places in the catalog's lists; empty when the catalog was lost, and nobody knows.
    #[prost(uint32, repeated, tag = "4")]
    pub streams: Vec<u32>,
    #[prost(uint32, repeated, tag = "5")]
    pub datasets: Vec<u32>,
    #[prost(message, repeated, tag = "6")]
    pub parts: Vec<Part>,
    /// Bytes of its records before they were packed.
    #[prost(uint64, tag = "7")]
    pub raw: u64,
}

/// What a selector of a search can ask for, without the queue's epoch.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub(super) struct Stream {
    #[prost(string, tag = "1")]
    pub agent: String,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(string, tag = "3")]
    pub site: String,
    #[prost(string, tag = "4")]
    pub system: String,
    #[prost(uint32, tag = "5")]
    pub kind: u32,
    #[prost(string, tag = "6")]
    pub source: String,
    #[prost(string, tag = "7")]
    pub path: String,
}

/// Where a part lies in its stripe, its header included.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Part {
    /// `segment::part::Kind`.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    #[prost(uint64, tag = "3")]
    pub len: u64,
}

/// The one list of what history consists of, replaced as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Manifest {
    /// Goes up by one with every change.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Commits up to this one are in segments; log files that begin at or below it are left over.
    #[prost(uint64, tag = "2")]
    pub sealed_to: u64,
    #[prost(message, repeated, tag = "3")]
    pub segments: Vec<Segment>,
    /// Oldest first, at most two.
    #[prost(message, repeated, tag = "4")]
    pub checkpoints: Vec<Checkpoint>,
    /// Where each class stood after `sealed_to`.
    #[prost(message, repeated, tag = "5")]
    pub tips: Vec<Tip>,
    /// The newest signed heads, of synced commits; they may be ahead of `sealed_to`.
    #[prost(message, optional, tag = "6")]
    pub signed: Option<Heads>,
    /// Ed25519 public key of whoever signed this.
    #[prost(bytes = "bytes", tag = "7")]
    pub key: Bytes,
    /// Of the chain: 1 is SHA-256.
    #[prost(uint32, tag = "8")]
    pub algorithm: u32,
    /// When the last seal was, Unix nanoseconds.
    #[prost(int64, tag = "9")]
    pub sealed_at: i64,
    /// What retention removed: of each class the newest decision, which speaks for all before it.
    #[prost(message, repeated, tag = "10")]
    pub removed: Vec<Removed>,
}

/// The beginning of a class that is no longer there, by a decision.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Removed {
    /// `chain::Class`.
    #[prost(uint32, tag = "1")]
    pub class: u32,
    /// The last commit that is gone; what the class has left begins after it.
    #[prost(uint64, tag = "2")]
    pub to_commit: u64,
    /// The class's link at that commit: what is left goes on from it.
    #[prost(bytes = "bytes", tag = "3")]
    pub link: Bytes,
    /// The commit of class `record` that holds the decision, an entry `retention.removed`.
    #[prost(uint64, tag = "4")]
    pub entry_commit: u64,
    /// Segments this decision removed.
    #[prost(uint64, tag = "5")]
    pub segments: u64,
    /// Their records; in class `record`, entries and puts.
    #[prost(uint64, tag = "6")]
    pub records: u64,
    /// Bytes of their files.
    #[prost(uint64, tag = "7")]
    pub bytes: u64,
    /// Earliest and latest time in them, Unix nanoseconds.
    #[prost(int64, tag = "8")]
    pub since: i64,
    #[prost(int64, tag = "9")]
    pub until: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Segment {
    #[prost(string, tag = "1")]
    pub file: String,
    #[prost(uint32, tag = "2")]
    pub class: u32,
    #[prost(uint64, tag = "3")]
    pub first_commit: u64,
    #[prost(uint64, tag = "4")]
    pub last_commit: u64,
    #[prost(int64, tag = "5")]
    pub since: i64,
    #[prost(int64, tag = "6")]
    pub until: i64,
    #[prost(string, repeated, tag = "7")]
    pub agents: Vec<String>,
    #[prost(bytes = "bytes", tag = "8")]
    pub previous: Bytes,
    #[prost(bytes = "bytes", tag = "9")]
    pub link: Bytes,
    #[prost(uint64, tag = "10")]
    pub entries: u64,
    /// Length of the file.
    #[prost(uint64, tag = "11")]
    pub bytes: u64,
    /// SHA-256 of the file.
    #[prost(bytes = "bytes", tag = "12")]
    pub digest: Bytes,
    /// The commit of `link`.
    #[prost(uint64, tag = "13")]
    pub link_commit: u64,
    /// By name; in class `record` there are none.
    #[prost(message, repeated, tag = "20")]
    pub sites: Vec<Site>,
}

/// What a segment has of one site.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Site {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Earliest and latest `ingested`, Unix nanoseconds.
    #[prost(int64, tag = "2")]
    pub since: i64,
    #[prost(int64, tag = "3")]
    pub until: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Checkpoint {
    #[prost(string, tag = "1")]
    pub file: String,
    #[prost(uint64, tag = "2")]
    pub commit: u64,
    /// SHA-256 of the file.
    #[prost(bytes = "bytes", tag = "3")]
    pub digest: Bytes,
    /// The commit whose correlation state it has: hits after that are needed beside it. 0 when it
    /// has none, and all of them are.
    #[prost(uint64, tag = "4")]
    pub correlations_commit: u64,
    /// When it was written, Unix nanoseconds.
    #[prost(int64, tag = "5")]
    pub written: i64,
}

/// Where a class stands.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tip {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub commit: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub link: Bytes,
}

/// First message of a checkpoint.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckpointHead {
    #[prost(uint64, tag = "1")]
    pub commit: u64,
    /// The commit that carried `correlations`; 0 when none ever did.
    #[prost(uint64, tag = "2")]
    pub correlations_commit: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub correlations: Bytes,
}

/// One small record of a checkpoint. They come in the order of (tree, key).
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Row {
    #[prost(string, tag = "1")]
    pub tree: String,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub value: Vec<u8>,
}

impl From<&Received> for Batch {
    fn from(received: &Received) -> Batch {
        Batch {
            sender: Some(Sender {
                agent: received.agent.to_string(),
                host: received.host.to_string(),
                site: received.site.to_string(),
                system: received.system.to_string(),
                zone: received.zone.to_string(),
                kind: received.kind.into(),
                epoch: Bytes::copy_from_slice(&received.epoch),
                ingested: received.ingested,
            }),
            first: received.first,
            span: received.span,
            block: received.block.clone(),
            raw_len: received.raw_len,
            raised: received.raised.clone(),
            records: u32::try_from(received.records.records.len()).unwrap_or(u32::MAX),
        }
    }
}

impl From<Entry> for StoredEntry {
    fn from(entry: Entry) -> StoredEntry {
        let Entry { time, actor, action, body } = entry;
        StoredEntry { time, actor, action, body }
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Entry {
        let StoredEntry { time, actor, action, body } = stored;
        Entry { time, actor, action, body }
    }
}

impl From<Put> for StoredPut {
    fn from(put: Put) -> StoredPut {
        StoredPut { tree: put.tree.to_owned(), key: put.key, value: put.value }
    }
}

/// The name of a tree as the constant it is; None when this version knows no such tree.
pub(super) fn tree_named(name: &str) -> Option<&'static str> {
    tree::ALL.iter().copied().find(|tree| *tree == name)
}

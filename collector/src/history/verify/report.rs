//! What a verification is asked and what it answers.

use hengwei_protocol::wire::Heads;
use serde::{Serialize, Serializer};

use crate::history::chain::Class;
use crate::time;

/// What to verify against.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The history key's public half, 32 bytes, from somewhere else than this machine.
    pub key: Option<Vec<u8>>,
    /// The same from the data folder itself. It is used when there is no other, and proves much less:
    /// whoever can write history anew can replace it, too.
    pub local_key: Option<Vec<u8>>,
    /// What agents keep (`hengwei-agent heads`).
    pub heads: Vec<Kept>,
    /// Segments that end before are passed over, Unix nanoseconds.
    pub since: Option<i64>,
}

/// Heads one agent kept.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Which agent, or file: named in findings.
    pub from: String,
    /// The history key the agent was given when it was enrolled, where it says so.
    pub key: Option<Vec<u8>>,
    /// The heads.
    pub heads: Vec<Heads>,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// Bytes are not what they were.
    Changed,
    /// A file ends early.
    Cut,
    /// A file is not there, or commits are not.
    Removed,
    /// A file holds what belongs to another.
    Swapped,
    /// A file is whole in itself, but another than the one that was sealed.
    Recreated,
    /// A signature is missing or not by the history key.
    Signature,
    /// A head that was signed, or given to an agent, is not in the chain.
    Head,
    /// A class begins where no decision of retention says so, or one that says something else.
    Retention,
    /// What is derived from the commits (checkpoint, index, catalog) says something else than they.
    Contradicted,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub problem: Problem,
    /// In which chain; None where a file has all of them.
    pub class: Option<Class>,
    /// At which commit.
    pub commit: Option<u64>,
    /// In which file, below the history's folder; for heads from elsewhere, who kept them.
    pub file: String,
    /// Where in it: the beginning of the chunk or frame.
    pub offset: Option<u64>,
    /// When that commit was, as near as can be said; Unix nanoseconds, shown as RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub time: Option<i64>,
    /// Which small record, when it is about one: its tree ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// ... and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In words.
    pub detail: String,
}

/// Where the public key came from that signatures were checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFrom {
    /// From whoever asked.
    Given,
    /// From agents, which were given it when they were enrolled.
    Agents,
    /// From the disk that is verified.
    SameDisk,
    /// There was none: no signature was checked.
    #[default]
    Nowhere,
}

/// What came of comparing the index with history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum IndexState {
    /// Every row was compared.
    #[serde(rename = "compared")]
    Compared,
    /// A collector has it open; what is on disk is not all it has.
    #[serde(rename = "in use")]
    InUse,
    /// There is none; it is built from history at the next start.
    #[default]
    #[serde(rename = "absent")]
    Absent,
    /// It was not closed in order or does not read; nothing trusts it, and it is built from history at
    /// the next start.
    #[serde(rename = "to be rebuilt")]
    ToBeRebuilt,
    /// It could not be compared; the report's note says why.
    #[serde(rename = "not compared")]
    NotCompared,
}

/// What became of heads that were signed or kept by agents, each class of each counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HeadCounts {
    /// Signed, and in the chain.
    pub matched: u64,
    /// Not signed, and in the chain: as good as who keeps them.
    pub matched_unsigned: u64,
    /// Not in the chain, or not where findings let them be looked for.
    pub unmatched: u64,
    /// Of commits that retention removed.
    pub before_start: u64,
    /// Of commits that were passed over.
    pub passed_over: u64,
}

/// What a walk over history found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Nothing here: history is as it was written.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// Segments walked.
    pub segments: u64,
    /// Segments that end before the time asked for: only their presence, size and joints were checked.
    pub segments_passed_over: u64,
    /// Log files walked.
    pub log_files: u64,
    /// Links computed again.
    pub links: u64,
    /// Records hashed.
    pub records: u64,
    /// Decisions (entries and puts) hashed.
    pub decisions: u64,
    /// Signatures checked.
    pub signatures: u64,
    /// Heads met.
    pub heads: HeadCounts,
    /// Where the public key came from.
    pub key: KeyFrom,
    /// The last commit.
    pub commits: u64,
    /// Time of the first commit that was walked.
    #[serde(serialize_with = "rfc3339")]
    pub first_time: Option<i64>,
    /// Time of the last.
    #[serde(serialize_with = "rfc3339")]
    pub last_time: Option<i64>,
    /// Classes whose beginning retention removed, by a decision that is in the chain.
    pub starts: u64,
    /// Checkpoints that were compared with what the commits before them give.
    pub checkpoints: u64,
    /// Checkpoints whose digest is right and whose commits are not all there to compare with.
    pub checkpoints_taken: u64,
    /// Whether the index was compared.
    pub index: IndexState,
    /// Why not, when that needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_note: Option<String>,
    /// Rows of the index that are as history has them.
    pub index_rows: u64,
    /// Bytes of a frame that was being written when the collector stopped, or is being written now.
    pub torn_tail_bytes: u64,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(tree) = &self.tree {
            write!(f, ", {tree} `{}`", self.key.as_deref().unwrap_or_default())?;
        }
        if let Some(class) = self.class {
            write!(f, ", class {}", class.as_str())?;
        }
        if let Some(commit) = self.commit {
            write!(f, ", commit {commit}")?;
        }
        if let Some(time) = self.time {
            write!(f, ", {}", time::rfc3339(time))?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::fmt::Display for IndexState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IndexState::Compared => "compared",
            IndexState::InUse => "in use",
            IndexState::Absent => "absent",
            IndexState::ToBeRebuilt => "to be rebuilt",
            IndexState::NotCompared => "not compared",
        })
    }
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// A finding about a file, to be filled in.
pub(super) fn finding(problem: Problem, file: impl Into<String>) -> Finding {
    Finding {
        problem,
        class: None,
        commit: None,
        file: file.into(),
        offset: None,
        time: None,
        tree: None,
        key: None,
        detail: String::new(),
    }
}

fn rfc3339<S: Serializer>(nanos: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    nanos.map(time::rfc3339).serialize(serializer)
}

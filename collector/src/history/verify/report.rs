//! What a verification is asked and what it answers.

use hengwei_protocol::wire::Heads;
use serde::Serialize;

use crate::history::chain::Class;

/// What to verify against.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The history key's public half, 32 bytes, from somewhere else than this folder. Without it the
    /// key named in the manifest is taken, which proves much less.
    pub public_key: Option<Vec<u8>>,
    /// Heads that agents keep (`hengwei-agent heads`).
    pub heads: Vec<Heads>,
    /// Segments that end before are passed over, Unix nanoseconds.
    pub since: Option<i64>,
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
}

/// One difference, the first of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub problem: Problem,
    /// In which chain; None where a file has all of them.
    pub class: Option<Class>,
    /// At which commit.
    pub commit: Option<u64>,
    /// In which file, below the history's folder; `heads` for heads from elsewhere.
    pub file: String,
    /// Where in it: the beginning of the chunk or frame.
    pub offset: Option<u64>,
    /// When that commit was, as near as can be said; Unix nanoseconds.
    pub time: Option<i64>,
    /// In words.
    pub detail: String,
}

/// What a walk over history found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Nothing here: history is as it was written.
    pub findings: Vec<Finding>,
    /// Segments walked.
    pub segments: u64,
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
    /// Whether the public key came from outside.
    pub trusted_key: bool,
    /// The last commit.
    pub commits: u64,
    /// Bytes of a frame that was being written when the collector stopped, or is being written now.
    pub torn_tail_bytes: u64,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(class) = self.class {
            write!(f, ", class {}", class.as_str())?;
        }
        if let Some(commit) = self.commit {
            write!(f, ", commit {commit}")?;
        }
        if let Some(time) = self.time {
            write!(f, ", {}", crate::time::rfc3339(time))?;
        }
        write!(f, ": {}", self.detail)
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
        detail: String::new(),
    }
}

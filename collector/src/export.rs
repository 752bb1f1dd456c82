//! Exports for an assessor: the events that fit a query in one file, and beside it a signed manifest
//! that says what the file is, to be checked on another machine without any of our data.
//!
//! ```text
//! FILE                 zstd of NDJSON: the objects `search` prints, newest first: `zstdcat FILE | jq`
//! FILE.manifest.json   a signed statement ([`crate::statement`]) of who exported what, when: query and
//!                      range, rows, times, length and SHA-256 of FILE and of what is in it, chain heads
//! ```
//!
//! Two files, so that `sha256sum FILE` is what the manifest says and both can be read without us.
//!
//! **Who does what.** The daemon ([`stream`]) finds the rows, packs them, counts and hashes what it
//! packs, and signs; the command at the other end of the socket ([`Target`]) only writes what comes, so
//! that the file is the operator's, 0600, and the key stays where it is. Nothing is signed that the
//! daemon did not make itself. Over a stopped collector (`--data`) one process is both.
//!
//! **What history hears of it.** `export.begun` is committed before the first row leaves, so that who
//! breaks off before the end has left a trace all the same; then `export.made` with rows and digests,
//! or `export.broken`. The heads in the manifest are signed after `export.made`: they cover every
//! row, and the record of the export itself.
//!
//! **What a crash leaves.** The manifest comes last: a file without one is no export. Until both are
//! whole and synced they have temporary names; a full disk leaves neither. [`check()`] is the other end.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use hengwei_protocol::identity::hex;
use serde::{Deserialize, Serialize};

use crate::statement::StatedHeads;

mod check;
mod pack;
mod write;

pub use check::{Checked, check};
pub use pack::stream;
pub use write::Target;

/// The form of the manifest.
const FORMAT: u32 = 1;

/// What is to be exported, as asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, clap::Args)]
pub struct Asked {
    /// Only events that fit: the language of `search`
    #[arg(long)]
    pub query: Option<String>,
    /// Only of this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// Only of these kinds: asset, performance, log, security
    #[arg(long)]
    pub kind: Vec<String>,
    /// Taken in at or after: RFC 3339, a date, or an age such as 2h
    #[arg(long)]
    pub since: Option<String>,
    /// Taken in before
    #[arg(long)]
    pub until: Option<String>,
}

/// What the manifest states.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the manifest: 1.
    pub format: u32,
    /// `hengwei-collector`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The site the collector stands at.
    pub site: String,
    /// Who exported.
    pub by: String,
    /// When it was done, RFC 3339.
    pub at: String,
    /// What was asked for, times resolved.
    pub asked: Asked,
    /// `newest first`.
    pub order: String,
    /// Events in it.
    pub rows: u64,
    /// The earliest `@timestamp` in it.
    pub first: Option<String>,
    /// The latest.
    pub last: Option<String>,
    /// The compressed file.
    pub file: Sum,
    /// The NDJSON in it.
    pub content: Sum,
    /// The chain heads when the last row was packed; `verify --heads` takes them.
    pub heads: StatedHeads,
}

/// Length and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Where the manifest of an export is.
pub fn manifest_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".manifest.json");
    file.with_file_name(name)
}

/// Length and digest of what passes.
struct Sums {
    bytes: u64,
    digest: digest::Context,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums { bytes: 0, digest: digest::Context::new(&digest::SHA256) }
    }
}

impl Sums {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }

    fn finish(self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(self.digest.finish().as_ref()) }
    }
}

#[cfg(test)]
mod tests;

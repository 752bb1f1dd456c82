//! Backup and restore: everything a collector needs to stand up again somewhere else, in a folder.
//!
//! ```text
//! DIR/backup.json                    signed statement: who, when, which commit, every file with its SHA-256
//! DIR/history/segments/…             sealed segments, by the names they have in history
//! DIR/history/checkpoints/…          small records as of a commit
//! DIR/history/manifest-<commit>      history's list of them
//! DIR/history/manifest               the same, so that `verify --data DIR` walks the backup
//! DIR/history/log/                   empty: a backup is of what is sealed
//! DIR/collector-<digest>.toml        the configuration
//! DIR/keys.sealed                    keys, under a passphrase, when one was given     ([`keys`])
//! ```
//!
//! **Who does what.** The daemon seals what is committed, holds history still ([`History::freeze`]),
//! states what belongs to it and signs that ([`mod@give`]); it passes each file as an open descriptor
//! over its socket. The command copies what the folder lacks ([`take`]). So the daemon, which may
//! write nowhere but below its data folder, need not, and the folder is the operator's; a file that is
//! merged away or removed meanwhile stays readable. Over a stopped collector (`--data`) one process is
//! both.
//!
//! **Incremental.** Segments never change. One that the last backup in the same folder lists by the
//! same name, length and digest is not copied again, nor read: [`check`] reads everything.
//!
//! **What a crash leaves.** `backup.json` is replaced last, when all it lists is on disk: until then
//! the folder holds the last backup, whole, and some files more; after it, the new one. Only then
//! what the new one does not list is removed.
//!
//! **Keys** leave the collector only under a passphrase, and only for root or the collector's own
//! user, who could read them anyway. `backup.begun` is committed before anything leaves;
//! `backup.made`, which the command tells, when all of it has arrived.
//!
//! [`mod@restore`] brings a folder back to life.
//!
//! [`History::freeze`]: crate::history::History::freeze

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest;
use hengwei_protocol::identity::hex;
use serde::{Deserialize, Serialize};

use crate::statement::{self, Signed, StatedHeads};

pub mod give;
pub mod keys;
pub mod restore;
pub mod take;

pub use give::{Asked, Made, Piece, give};
pub use restore::{check, restore};
pub use take::{Taken, Taking};

/// The form of the statement.
const FORMAT: u32 = 1;
/// The statement's file.
const STATEMENT: &str = "backup.json";
/// The sealed keys.
const KEYS: &str = "keys.sealed";
/// History's own folder, as in a data folder.
const HISTORY: &str = crate::config::HISTORY;
/// The longest statement that is read: some hundred thousand files.
const MAX_STATEMENT: u64 = 256 << 20;
/// Bytes copied at once.
const BUFFER: usize = 1 << 20;

/// What a backup states of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Statement {
    /// Of the statement: 1.
    pub format: u32,
    /// `hengwei-collector`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The site the collector stands at.
    pub site: String,
    /// Who asked for it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// The last commit that is in it.
    pub commit: u64,
    /// The chain heads there.
    pub heads: StatedHeads,
    /// Everything in it but the keys, which vouch for themselves.
    pub files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its path below the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

impl Listed {
    fn of(name: String, bytes: &[u8]) -> Listed {
        let sha256 = hex(digest::digest(&digest::SHA256, bytes).as_ref());
        Listed { name, bytes: bytes.len() as u64, sha256 }
    }
}

impl Statement {
    fn manifest(&self) -> String {
        format!("{HISTORY}/manifest-{}", self.commit)
    }

    /// Whether every name stays below the folder, and the history's list is among them.
    fn is_sound(&self) -> bool {
        self.format == FORMAT
            && self.files.iter().all(|file| stays_below(&file.name))
            && self.files.iter().any(|file| file.name == self.manifest())
    }
}

/// Whether a name is a plain path below some folder, of names that are not hidden.
fn stays_below(name: &str) -> bool {
    let plain =
        |part| matches!(part, Component::Normal(part) if !part.to_string_lossy().starts_with('.'));
    !name.is_empty() && !name.contains('\\') && Path::new(name).components().all(plain)
}

/// The statement of a backup folder; None when there is none.
fn read_statement(dir: &Path) -> anyhow::Result<Option<Signed<Statement>>> {
    let path = dir.join(STATEMENT);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| path.display().to_string())?,
    };
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_STATEMENT), &mut text)
        .with_context(|| path.display().to_string())?;
    let signed = statement::read::<Statement>(&text)
        .map_err(|text| anyhow::anyhow!("{}: {text}", path.display()))?;
    ensure!(
        signed.statement.is_sound(),
        "{}: no list of a backup that this version knows",
        path.display()
    );
    Ok(Some(signed))
}

/// Copies a file from its beginning, wherever its cursor stands; what was copied.
fn copy(from: &File, name: &str, to: &mut dyn io::Write) -> io::Result<Listed> {
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut buffer, mut bytes) = (vec![0; BUFFER], 0);
    loop {
        let read = match from.read_at(&mut buffer, bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            let sha256 = hex(context.finish().as_ref());
            return Ok(Listed { name: name.to_owned(), bytes, sha256 });
        }
        context.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests;

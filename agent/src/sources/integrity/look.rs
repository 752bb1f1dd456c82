//! What is at a path: type, content, owner, mode.
//!
//! Links are not followed: the text of a link is its content. Folders have no content; what is neither
//! file, folder nor link is never opened. A file beyond the limit, or one that may not be read, is known
//! by its size and times only, and says so.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use hengwei_protocol::identity::{hex, sha256};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// What is hashed between two looks at the clock.
const SLICE: usize = 128 << 10;

/// What was at a path: the baseline's record, short because there are many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "t")]
    pub(super) type_: Type,
    /// SHA-256 in hex of a file's bytes or a link's text; empty when it was not hashed.
    #[serde(rename = "h", default, skip_serializing_if = "String::is_empty")]
    pub(super) sha256: String,
    /// What a link says.
    #[serde(rename = "l", default, skip_serializing_if = "String::is_empty")]
    pub(super) target: String,
    #[serde(rename = "s")]
    pub(super) size: u64,
    /// Permission bits.
    #[serde(rename = "m")]
    pub(super) mode: u32,
    #[serde(rename = "u")]
    pub(super) uid: u32,
    #[serde(rename = "g")]
    pub(super) gid: u32,
    /// Unix nanoseconds, as the file's owner may set it.
    #[serde(rename = "w")]
    pub(super) mtime: i64,
    /// Unix nanoseconds, as the kernel sets it.
    #[serde(rename = "c")]
    pub(super) ctime: i64,
    #[serde(rename = "i")]
    pub(super) inode: u64,
}

/// What kind of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Type {
    #[serde(rename = "f")]
    File,
    #[serde(rename = "d")]
    Folder,
    #[serde(rename = "l")]
    Link,
    #[serde(rename = "o")]
    Other,
}

impl Type {
    /// The name ECS gives it (`file.type`).
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Type::File => "file",
            Type::Folder => "dir",
            Type::Link => "symlink",
            Type::Other => "other",
        }
    }
}

impl Entry {
    /// What can be told without opening.
    pub(super) fn outside(path: &Path, metadata: &Metadata) -> Entry {
        let kind = metadata.file_type();
        let type_ = if kind.is_file() {
            Type::File
        } else if kind.is_dir() {
            Type::Folder
        } else if kind.is_symlink() {
            Type::Link
        } else {
            Type::Other
        };
        let mut entry = Entry {
            type_,
            sha256: String::new(),
            target: String::new(),
            // A folder's size says how its file system keeps it, not what is in it.
            size: if type_ == Type::Folder { 0 } else { metadata.len() },
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        };
        if type_ == Type::Link
            && let Ok(target) = std::fs::read_link(path)
        {
            entry.sha256 = hex(&sha256(target.as_os_str().as_bytes()));
            entry.target = target.to_string_lossy().into_owned();
        }
        entry
    }

    /// Whether nothing that the kernel tells without opening is different.
    pub(super) fn looks_like(&self, other: &Entry) -> bool {
        let Entry { type_, size, mode, uid, gid, mtime, ctime, inode, .. } = self;
        (*type_, *size, *mode, *uid, *gid, *mtime, *ctime, *inode)
            == (
                other.type_,
                other.size,
                other.mode,
                other.uid,
                other.gid,
                other.mtime,
                other.ctime,
                other.inode,
            )
    }

    /// Whether the content is the same, as far as it was looked at.
    pub(super) fn same_content(&self, other: &Entry) -> bool {
        if self.type_ != other.type_ {
            return false;
        }
        match self.type_ {
            Type::Folder | Type::Other => true,
            _ if !self.sha256.is_empty() && !other.sha256.is_empty() => self.sha256 == other.sha256,
            _ => (self.size, self.mtime) == (other.size, other.mtime),
        }
    }

    /// Whether owner, group and permission bits are the same. A link's bits mean nothing.
    pub(super) fn same_attributes(&self, other: &Entry) -> bool {
        let owner = |entry: &Entry| (entry.uid, entry.gid);
        owner(self) == owner(other) && (self.type_ == Type::Link || self.mode == other.mode)
    }
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A look at a path, in steps, so that a large file holds up nobody.
pub(super) struct Look {
    path: PathBuf,
    entry: Entry,
    hashing: Option<(File, digest::Context)>,
}

/// What a look came to.
pub(super) enum Seen {
    /// This is there.
    There(Entry),
    /// Nothing is there.
    Nothing,
    /// It changed while it was looked at.
    Changing(Entry),
}

impl Look {
    /// Begins a look; None when nothing is there.
    pub(super) fn begin(path: &Path, max_file_bytes: u64) -> io::Result<Option<Look>> {
        let metadata = match std::fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let entry = Entry::outside(path, &metadata);
        let mut hashing = None;
        if entry.type_ == Type::File && entry.size <= max_file_bytes {
            let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
            let flags = i32::try_from(flags.bits()).unwrap_or_default();
            // One that may not be read is known by its outside; `unreadable` names it.
            if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) {
                if !Entry::outside(path, &file.metadata()?).looks_like(&entry) {
                    return Ok(Some(Look { path: path.to_owned(), entry, hashing }));
                }
                hashing = Some((file, digest::Context::new(&digest::SHA256)));
            }
        }
        Ok(Some(Look { path: path.to_owned(), entry, hashing }))
    }

    /// Whether a folder is there.
    pub(super) fn is_folder(&self) -> bool {
        self.entry.type_ == Type::Folder
    }

    /// Whether it looks from outside as it did.
    pub(super) fn looks_like(&self, entry: &Entry) -> bool {
        self.entry.looks_like(entry)
    }

    /// Reads on; the number of bytes read, 0 at the end.
    pub(super) fn step(&mut self) -> io::Result<usize> {
        let Some((file, digest)) = &mut self.hashing else { return Ok(0) };
        let mut slice = vec![0; SLICE];
        let length = file.read(&mut slice)?;
        digest.update(&slice[..length]);
        Ok(length)
    }

    /// Ends the look.
    pub(super) fn finish(mut self) -> io::Result<Seen> {
        let now = match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) => Entry::outside(&self.path, &metadata),
            Err(error) if is_absence(&error) => return Ok(Seen::Nothing),
            Err(error) => return Err(error),
        };
        let stable = now.looks_like(&self.entry);
        if let Some((_, digest)) = self.hashing.take() {
            self.entry.sha256 = hex(digest.finish().as_ref());
        }
        Ok(if stable { Seen::There(self.entry) } else { Seen::Changing(self.entry) })
    }

    /// A whole look at once.
    pub(super) fn at(path: &Path, max_file_bytes: u64) -> io::Result<Seen> {
        let Some(mut look) = Look::begin(path, max_file_bytes)? else { return Ok(Seen::Nothing) };
        while look.step()? > 0 {}
        look.finish()
    }
}

/// Whether an error means that nothing is at the path; a file in place of a folder on the way counts.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

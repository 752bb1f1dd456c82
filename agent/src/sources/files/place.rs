//! Where the reading of one file stands, as it is stored, and how the file is known again.
//!
//! A place is stored under `file:<device>:<inode>`, so that a file keeps it through every rename.
//! What lies under it is one JSON object:
//!
//! ```text
//! path    the log's own name below the root, not the name it was rotated to
//! offset  the first byte not yet handed over: always the start of a line
//! digest  fingerprint of what was handed over, see below
//! size    the file's length when the place was written
//! since   when the agent took the file up, Unix nanoseconds
//! done    the file was rotated away and read to its end
//! ```
//!
//! The fingerprint is SHA-256 over the first min(offset, 1 KiB) and the last min(offset, 1 KiB) bytes
//! before `offset`. Its lengths follow from the offset, so that a file shorter than 1 KiB keeps its
//! identity while it grows: what is hashed was read, and what was read does not change in a log. A
//! reused inode and a truncated file both show as a fingerprint that differs or a file that is
//! shorter than the offset; a copy (logrotate's `copytruncate`) shows as the same fingerprint under
//! another inode.
//!
//! A line in progress has no state here: its start is the offset, and after a crash it is read again.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::identity::hex;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// How much of either end of what was read goes into a fingerprint.
const FINGERPRINT: usize = 1 << 10;
/// What keys of places begin with.
pub(super) const KEY: &str = "file:";
/// What keys of patterns already read begin with.
pub(super) const MARK: &str = "glob:";

/// What the kernel knows a file by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The key of the file's place.
    pub(super) fn key(self) -> String {
        format!("{KEY}{:x}:{:x}", self.device, self.inode)
    }

    /// The file a key is about; None for other keys.
    pub(super) fn parse(key: &str) -> Option<FileId> {
        let (device, inode) = key.strip_prefix(KEY)?.split_once(':')?;
        Some(FileId {
            device: u64::from_str_radix(device, 16).ok()?,
            inode: u64::from_str_radix(inode, 16).ok()?,
        })
    }
}

/// The key that says: what this pattern matched at first was taken up.
pub(super) fn mark(pattern: &str) -> String {
    format!("{MARK}{pattern}")
}

/// The pattern of such a key.
pub(super) fn marked(key: &str) -> Option<&str> {
    key.strip_prefix(MARK)
}

/// Where the reading of a file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) since: i64,
    #[serde(default)]
    pub(super) done: bool,
}

impl Place {
    pub(super) fn decode(bytes: &[u8]) -> Option<Place> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }

    /// Bytes that were seen in the file and not handed over.
    pub(super) fn unread(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }

    /// Whether `file` begins with what was read up to this place.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        Ok(fingerprint(file, self.offset)?.is_some_and(|digest| digest == self.digest))
    }
}

/// The fingerprint of what lies before `offset`; None when the file ends sooner.
pub(super) fn fingerprint(file: &File, offset: u64) -> io::Result<Option<String>> {
    let length = usize::try_from(offset).unwrap_or(FINGERPRINT).min(FINGERPRINT);
    let mut bytes = [0; FINGERPRINT];
    let mut hash = digest::Context::new(&digest::SHA256);
    for at in [0, offset - length as u64] {
        let bytes = &mut bytes[..length];
        match file.read_exact_at(bytes, at) {
            Ok(()) => hash.update(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(hex(hash.finish().as_ref())))
}

/// Why a path can't be read as a log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0} is not a regular file and is not opened: exclude it, or name the log itself")]
    NotRegular(&'static str),
    #[error("cannot be read: {0}; let the agent read it (CAP_DAC_READ_SEARCH, or group adm)")]
    Io(#[from] io::Error),
}

impl Unfit {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Unfit::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a log. A link to a log is a log; anything but a regular file is left unopened, because
/// opening a FIFO or a device does something to it. Should the path change between look and open,
/// O_NONBLOCK keeps a FIFO from hanging the agent and the second look refuses it.
pub(super) fn open(path: &Path) -> Result<(File, Metadata), Unfit> {
    regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata))
}

/// Whether it is a regular file, and what it is when it is not.
pub(super) fn regular(metadata: &Metadata) -> Result<(), Unfit> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(Unfit::NotRegular(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let id = FileId { device: 0xfe00, inode: 77 };
        assert_eq!(FileId::parse(&id.key()), Some(id));
        assert_eq!(FileId::parse("glob:/var/log/*"), None);
        assert_eq!(marked(&mark("/var/log/*")), Some("/var/log/*"));
    }

    #[test]
    fn a_file_is_known_while_it_grows_and_no_longer_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for offset in [0_usize, 1, 1000, 1024, 1500, 5000] {
            let text: Vec<u8> = (0..offset).map(|at| b'a' + (at / 7 % 23) as u8).collect();
            std::fs::write(&path, &text).unwrap();
            let (file, _) = open(&path).unwrap();
            let place = Place {
                path: "/log".into(),
                offset: offset as u64,
                digest: fingerprint(&file, offset as u64).unwrap().unwrap(),
                size: offset as u64,
                since: 0,
                done: false,
            };
            assert_eq!(Place::decode(&place.encode()), Some(place.clone()));
            let check = |bytes: &[u8], fits: bool| {
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(place.fits(&File::open(&path).unwrap()).unwrap(), fits, "{offset}");
            };
            check(&[&text[..], b"more"].concat(), true);
            if offset > 0 {
                check(&text[1..], false);
                let mut other = text.clone();
                other[0] = b'#';
                check(&other, false);
                let mut other = text.clone();
                other[offset - 1] = b'#';
                check(&other, false);
            }
        }
    }

    #[test]
    fn what_is_no_log_is_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let check = |path: &Path, what: &str| match open(path) {
            Err(Unfit::NotRegular(is)) => assert_eq!(is, what),
            other => panic!("{path:?}: {other:?}"),
        };
        check(&fifo, "a FIFO");
        check(dir.path(), "a directory");
        check(&dir.path().join("socket"), "a socket");
        check(Path::new("/dev/null"), "a device");
    }
}

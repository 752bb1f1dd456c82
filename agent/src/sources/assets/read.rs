//! Reading what a host says of itself, bounded: a file of any size, a pipe or a device where a file
//! should be costs no more than [`MAX_FILE`] and never waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What is read of a file that is taken whole. `/etc/group` of a big domain is far below.
pub(crate) const MAX_FILE: u64 = 8 << 20;
/// What is kept of one text: names and paths are shorter, and what is not is told apart by its head.
const MAX_TEXT: usize = 1024;

/// Opens a regular file; a pipe in its place is refused rather than waited for.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// The text of a file, at most [`MAX_FILE`] of it, what is no UTF-8 replaced.
pub(crate) fn file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The first line of a small file, trimmed; None when there is none or it is empty.
pub(crate) fn line(path: &Path) -> Option<String> {
    let text = file(path).ok()?;
    let line = text.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Bounds a text, and takes NUL out of it, which separates the parts of keys elsewhere.
pub(crate) fn clean(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}

/// Tells one state of a file from another without reading it; None when it is not there.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp { inode: data.ino(), size: data.size(), changed: (data.ctime(), data.ctime_nsec()) })
}

/// What [`stamp`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_file_is_read_no_further_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(file(&path).unwrap().len() as u64, MAX_FILE);
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(file(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert_eq!(clean(&"衡".repeat(1000)).len(), 1023);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gbk");
        std::fs::write(&path, b"ab\xba\xe2\ncd").unwrap();
        assert_eq!(line(&path).unwrap(), "ab\u{fffd}\u{fffd}");
    }
}

//! What a rotated log is called.
//!
//! In: the path of a log. Out: the files beside it that are its earlier generations, newest first.
//! Names only, and the numbers of the files that carry them; whether a file was read before is decided
//! by its content, elsewhere.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::place::{self, FileId};

/// Generations looked at, newest first. Three missed rotations are promised; the rest is reserve for
/// logs that rotate by the minute.
const MAX_GENERATIONS: usize = 16;
/// How often the folder is listed anew because a rotation was under way.
const ATTEMPTS: usize = 10;
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip"];

/// An earlier generation of a log.
pub(super) struct Generation {
    pub(super) id: FileId,
    pub(super) file: File,
    pub(super) size: u64,
    /// Last write, Unix nanoseconds.
    pub(super) modified: i64,
}

/// The earlier generations of a log.
#[derive(Default)]
pub(super) struct Generations {
    /// Readable ones, newest first.
    pub(super) files: Vec<Generation>,
    /// How many more there are that only a decompressor could read.
    pub(super) compressed: usize,
}

/// How old a generation is by its name: a lower one is newer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `log.1`, `log.2`.
    Number(u32),
    /// `log-20260131`, `log.2026-01-31-10`: the later, the newer.
    Date(std::cmp::Reverse<Vec<u8>>),
}

/// Whether a file name is that of a compressed file.
pub(super) fn is_compressed(name: &[u8]) -> bool {
    COMPRESSED.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// The name of the log that `name` would be a rotation of by its ending: `log` for `log.1` and
/// `log-20260131`, also compressed.
pub(super) fn base(name: &[u8]) -> Option<&[u8]> {
    let name = uncompressed(name);
    let end = name.iter().rposition(|byte| !is_stamp(*byte))? + 1;
    // A date may itself hold the separators: the base ends before the first part of the stamp.
    let stamp = &name[end..];
    let first = stamp.iter().position(u8::is_ascii_digit)?;
    let base = &name[..end + first.checked_sub(1)?];
    age(base, name).map(|_| base)
}

fn uncompressed(name: &[u8]) -> &[u8] {
    COMPRESSED.iter().find_map(|suffix| name.strip_suffix(suffix.as_bytes())).unwrap_or(name)
}

fn is_stamp(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T')
}

/// The age of `name` as a generation of the log `base`; None when it is none.
fn age(base: &[u8], name: &[u8]) -> Option<Age> {
    let name = uncompressed(name);
    name.strip_prefix(base).and_then(stamp).or_else(|| {
        // `app-2026-01-31.log` of `app.log`; a plain number there is as likely another instance.
        let dot = base.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
        let middle = name.strip_prefix(&base[..dot])?.strip_suffix(&base[dot..])?;
        stamp(middle).filter(|age| matches!(age, Age::Date(_)))
    })
}

fn stamp(text: &[u8]) -> Option<Age> {
    let (&separator, stamp) = text.split_first()?;
    if !matches!(separator, b'.' | b'-' | b'_') || !stamp.first()?.is_ascii_digit() {
        return None;
    }
    let digits = stamp.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == stamp.len() && digits <= 4 {
        let number = std::str::from_utf8(stamp).ok()?.parse().ok()?;
        return Some(Age::Number(number));
    }
    (digits >= 6 && stamp.iter().all(|&byte| is_stamp(byte)))
        .then(|| Age::Date(std::cmp::Reverse(stamp.to_vec())))
}

/// The earlier generations of `log`, whose name now belongs to `current` (None: to no file). Rotating
/// is several renames, and a listing in the midst of them can show a file twice or not at all; so the
/// folder is read until two readings agree and the log itself is still the same file. None when the
/// folder does not come to rest: try again later.
pub(super) fn generations(log: &Path, current: Option<FileId>) -> io::Result<Option<Generations>> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let found = list(log)?;
        let names: Vec<_> = found.files.iter().map(|generation| generation.id).collect();
        let now = match std::fs::metadata(log) {
            Ok(metadata) => Some(FileId::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if now != current {
            return Ok(None);
        }
        if last.as_ref() == Some(&names) {
            return Ok(Some(found));
        }
        last = Some(names);
    }
    Ok(None)
}

fn list(log: &Path) -> io::Result<Generations> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    let (Some(folder), Some(base)) = (log.parent(), log.file_name()) else {
        return Ok(Generations::default());
    };
    let mut names: Vec<(Age, PathBuf)> = Vec::new();
    let mut compressed = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(age) = age(base.as_bytes(), name.as_bytes()) else { continue };
        if is_compressed(name.as_bytes()) {
            compressed += 1;
        } else {
            names.push((age, folder.join(name)));
        }
    }
    names.sort();
    let mut files: Vec<Generation> = Vec::new();
    for (_, path) in names {
        // One that went away, or that is no file, is no generation.
        let Ok((file, metadata)) = place::open(&path) else { continue };
        let id = FileId::of(&metadata);
        if files.iter().any(|known| known.id == id) {
            continue;
        }
        let modified = metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec();
        files.push(Generation { id, file, size: metadata.len(), modified });
        if files.len() == MAX_GENERATIONS {
            break;
        }
    }
    Ok(Generations { files, compressed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_known() {
        let check = |base: &str, name: &str, expected: bool| {
            assert_eq!(age(base.as_bytes(), name.as_bytes()).is_some(), expected, "{base} {name}");
        };
        check("app.log", "app.log.1", true);
        check("app.log", "app.log.12.gz", true);
        check("app.log", "app.log-20260131", true);
        check("app.log", "app.log-2026013110.xz", true);
        check("app.log", "app.log.2026-01-31", true);
        check("app.log", "app-2026-01-31.log", true);
        check("app.log", "app.2026-01-31.log.gz", true);
        check("app.log", "app-1.log", false);
        check("app.log", "app.log", false);
        check("app.log", "app.log.old", false);
        check("app.log", "app.log.1a", false);
        check("app.log", "app.logs.1", false);
        check("app", "app.1.2", false);
        check("messages", "messages-20260131", true);
    }

    #[test]
    fn the_base_of_a_rotated_name() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(base(name.as_bytes()), expected.map(str::as_bytes), "{name}");
        };
        check("app.log.1", Some("app.log"));
        check("app.log.1.gz", Some("app.log"));
        check("app.log-20260131", Some("app.log"));
        check("app.log.2026-01-31", Some("app.log"));
        check("app.log", None);
        check("20260131", None);
        check("app-1.log", None);
    }

    #[test]
    fn newer_generations_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        for name in ["log", "log.2", "log.10", "log.1", "log.3.gz", "log-20260101", "log-20260201"]
        {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let current = FileId::of(&std::fs::metadata(&log).unwrap());
        let found = generations(&log, Some(current)).unwrap().unwrap();
        let texts: Vec<String> =
            found.files.iter().map(|g| std::io::read_to_string(&g.file).unwrap()).collect();
        assert_eq!(texts, ["log.1", "log.2", "log.10", "log-20260201", "log-20260101"]);
        assert_eq!(found.compressed, 1);
        assert!(generations(&log, None).unwrap().is_none(), "the log is there after all");
    }
}

//! The few things history asks of the file system, behind a trait so that tests can make them fail.
//!
//! In: files, bytes, directories. Out: durable files, or the error. It knows no format.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Error;

/// Room on the file system that holds history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes it has in all.
    pub total_bytes: u64,
}

/// What can fail under history's hands. The default bodies are the real thing.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Makes the content of a file durable.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Room below `dir`.
    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// Called between the steps of sealing, each of which a crash may be the last.
    fn step(&self, name: &'static str) {
        let _ = name;
    }
}

/// The file system as it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct Real;

impl Disk for Real {}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An error of a path as the operator reads it.
pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    let text = format!("{}: {error}", path.display());
    if is_full(error) { Error::Full(text) } else { Error::Unusable(text) }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    disk.sync_dir(dir).map_err(|error| failed(dir, &error))
}

/// Makes a directory exist, durably: its entry in the parent is synced too.
pub(super) fn create_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for parent in dir.ancestors().skip(1).take(2) {
        if !parent.as_os_str().is_empty() {
            sync_dir(&Real, parent)?;
        }
    }
    Ok(())
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error)),
        _ => Ok(()),
    }
}

/// Puts `bytes` at `path`, all or nothing: a temporary file, synced, renamed over it, and the
/// directory synced.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let file = File::create(&temporary).map_err(|error| failed(&temporary, &error))?;
    let written = disk.write_at(&file, bytes, 0).and_then(|()| disk.sync(&file));
    written.map_err(|error| failed(&temporary, &error))?;
    fs::rename(&temporary, path).map_err(|error| failed(path, &error))?;
    sync_dir(disk, path.parent().unwrap_or(Path::new(".")))
}

//! Everything the spool changes on disk goes through here, so that a test can fail any step of it
//! or look at what is on disk between two steps.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A step that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Create(&'a Path),
    Write(&'a Path, usize),
    Truncate(&'a Path),
    Sync(&'a Path),
    SyncDir(&'a Path),
    Rename(&'a Path),
    Remove(&'a Path),
}

/// Sees a step before it is taken and may fail it.
#[cfg(test)]
pub(super) type Hook = std::sync::Arc<dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync>;

/// Size of a file system and what is free of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) total: u64,
    pub(super) free: u64,
}

impl Space {
    /// What of it is the host's alone.
    pub(super) fn kept_free(self) -> u64 {
        self.total / 100 * super::FREE_PERCENT
    }
}

/// The file system the spool is on.
#[derive(Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) hook: Option<Hook>,
    #[cfg(test)]
    pub(super) space: Option<std::sync::Arc<std::sync::Mutex<Space>>>,
}

impl Disk {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        #[cfg(test)]
        if let Some(hook) = &self.hook {
            return hook(step);
        }
        let _ = step;
        Ok(())
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        self.before(Step::Create(path))?;
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    pub(super) fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.before(Step::Write(path, bytes.len()))?;
        file.write_all(bytes)
    }

    pub(super) fn truncate(&self, file: &File, path: &Path, len: u64) -> io::Result<()> {
        self.before(Step::Truncate(path))?;
        file.set_len(len)
    }

    pub(super) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.before(Step::Sync(path))?;
        file.sync_data()
    }

    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.before(Step::SyncDir(dir))?;
        File::open(dir)?.sync_all()
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(Step::Rename(from))?;
        std::fs::rename(from, to)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(Step::Remove(path))?;
        std::fs::remove_file(path)
    }

    pub(super) fn space(&self, dir: &Path) -> io::Result<Space> {
        #[cfg(test)]
        if let Some(space) = &self.space {
            return Ok(*space.lock().expect("no test panics while it holds this"));
        }
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Space { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
    }
}

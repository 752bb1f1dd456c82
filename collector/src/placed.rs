//! A file that appears whole or not at all: written beside its place under a temporary name, 0600,
//! synced, renamed. What is dropped unfinished is removed; what a crash leaves has a name that begins
//! with a dot and ends in `.part`.
//!
//! For files an operator asked for ([`crate::export`], [`crate::backup`]). The files of history and
//! PKI have writers of their own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use hengwei_protocol::identity::hex;

/// What the name of an unfinished file ends in.
const ENDING: &str = ".part";

/// A file being written.
#[derive(Debug)]
pub struct Placed {
    place: PathBuf,
    /// None once it is in its place.
    beside: Option<PathBuf>,
    file: File,
}

impl Placed {
    /// Begins a file that will stand at `place`.
    pub fn create(place: &Path) -> anyhow::Result<Placed> {
        let name =
            place.file_name().with_context(|| format!("{}: no file name", place.display()))?;
        let mut random = [0u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow!("no randomness"))?;
        let name = format!(".{}.{}{ENDING}", name.to_string_lossy(), hex(&random));
        let beside = parent(place).join(name);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .with_context(|| place.display().to_string())?;
        Ok(Placed { place: place.to_owned(), beside: Some(beside), file })
    }

    /// Makes its content durable, without putting it into its place yet.
    pub fn sync(&self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| self.place.display().to_string())
    }

    /// Puts it into its place, durably but for the folder's own entry: [`sync_dir`].
    pub fn place(mut self) -> anyhow::Result<()> {
        self.sync()?;
        if let Some(beside) = &self.beside {
            fs::rename(beside, &self.place).with_context(|| self.place.display().to_string())?;
        }
        self.beside = None;
        Ok(())
    }
}

impl Write for Placed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // What is left would only be litter; the error that matters was told already.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Writes a whole file, durably.
pub fn write(place: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = Placed::create(place)?;
    file.write_all(bytes).with_context(|| place.display().to_string())?;
    file.place()?;
    sync_dir(parent(place))
}

/// Makes the entries of a folder durable.
pub fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())
}

/// Makes a folder and those above it, 0700, where they are not there.
pub fn make_dir(dir: &Path) -> anyhow::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| dir.display().to_string())?;
    sync_dir(parent(dir))
}

/// Whether a name is that of a file a crash left unfinished.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(ENDING)
}

/// The folder of a path.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.expect("lists").file_name().to_string_lossy().into_owned()
        };
        fs::read_dir(dir).expect("lists").map(name).collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("a");
        let mut file = Placed::create(&place).expect("begins");
        file.write_all(b"half").expect("writes");
        assert!(names(dir.path()).iter().all(|name| is_unfinished(name)));
        drop(file);
        assert_eq!(names(dir.path()), Vec::<String>::new());
        write(&place, b"whole").expect("writes");
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(fs::read(&place).expect("reads"), b"whole");
        let mode = fs::metadata(&place).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

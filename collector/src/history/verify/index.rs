//! The index as a stopped collector left it, held against history.
//!
//! In: the folder, the last commit and the chain's tips. Out: its rows in the order of a checkpoint, or
//! why they can't be had. sled writes to whatever it opens, so a copy is opened, below the folder for
//! temporary files; while a collector has the index open, a copy would be of no one moment and none is
//! made. An index that was not closed in order at exactly the last commit is trusted by nobody: the
//! collector builds it again, and so there is nothing to compare.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::rand;

use super::report::IndexState;
use crate::history::chain::Tips;
use crate::history::disk::{Disk, Real};
use crate::history::index::Index;
use crate::history::ledger::hex;
use crate::history::open::{self, INDEX, LOCK};
use crate::history::stored::Row;
use crate::history::tree;

/// Rows that are asked for at a time.
const ROWS: usize = 512;
/// Room that is left when the index is copied.
const SPARE_BYTES: u64 = 64 << 20;

/// A copy of the index, open; it goes with this.
pub(super) struct Copy {
    index: Index,
    _folder: Folder,
}

/// Why there is none to compare.
pub(super) struct Without {
    pub(super) state: IndexState,
    pub(super) note: Option<String>,
}

impl From<IndexState> for Without {
    fn from(state: IndexState) -> Without {
        Without { state, note: None }
    }
}

impl Copy {
    /// Copies and opens the index of a history that ends at `commit` with these tips.
    pub(super) fn take(dir: &Path, commit: u64, tips: &Tips) -> Result<Copy, Without> {
        let path = dir.join(INDEX);
        let unable = |path: &Path, error: io::Error| Without {
            state: IndexState::NotCompared,
            note: Some(format!("{}: {error}", path.display())),
        };
        if in_use(dir).map_err(|error| unable(&dir.join(LOCK), error))? {
            return Err(IndexState::InUse.into());
        }
        let before = match listed(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IndexState::Absent.into());
            }
            listed => listed.map_err(|error| unable(&path, error))?,
        };
        let folder = Folder::new().map_err(|error| unable(&std::env::temp_dir(), error))?;
        let bytes: u64 = before.iter().map(|file| file.len).sum();
        let room = Real.space(&folder.0).map_err(|error| unable(&folder.0, error))?.free_bytes;
        if room < bytes.saturating_add(SPARE_BYTES) {
            let note = format!(
                "{}: no room for a copy of {bytes} bytes; name another folder in TMPDIR",
                std::env::temp_dir().display()
            );
            return Err(Without { state: IndexState::NotCompared, note: Some(note) });
        }
        let copied = copy(&path, &before, &folder.0);
        // A collector that came meanwhile has changed what was copied.
        let busy = in_use(dir).unwrap_or(true) || listed(&path).ok().as_ref() != Some(&before);
        if busy {
            return Err(IndexState::InUse.into());
        }
        copied.map_err(|error| unable(&path, error))?;
        let rebuilt = |note| Without { state: IndexState::ToBeRebuilt, note: Some(note) };
        let index = Index::open(&folder.0).map_err(rebuilt)?;
        index.take_mark(commit, &open::tips_text(tips)).map_err(rebuilt)?;
        Ok(Copy { index, _folder: folder })
    }

    /// Its rows, in the order of (tree, key).
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<Row, String>> + '_ {
        let mut trees = tree::ALL.to_vec();
        trees.sort_unstable();
        trees.into_iter().flat_map(|tree| Rows::of(&self.index, tree))
    }
}

/// The rows of one tree, some at a time.
struct Rows<'a> {
    index: &'a Index,
    tree: &'static str,
    /// Where to go on; None when there is nothing more.
    from: Option<Vec<u8>>,
    ready: VecDeque<Row>,
}

impl<'a> Rows<'a> {
    fn of(index: &'a Index, tree: &'static str) -> Rows<'a> {
        Rows { index, tree, from: Some(Vec::new()), ready: VecDeque::new() }
    }

    fn more(&mut self, from: &[u8]) {
        let (tree, ready) = (self.tree, &mut self.ready);
        self.index.walk(tree, from, true, false, &mut |key, value| {
            let (key, value) = (key.to_vec(), value.to_vec());
            ready.push_back(Row { tree: tree.to_owned(), key, value });
            ready.len() < ROWS
        });
        if ready.len() == ROWS
            && let Some(row) = ready.back()
        {
            // The next key there can be.
            self.from = Some([&row.key[..], &[0]].concat());
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Result<Row, String>> {
        if self.ready.is_empty()
            && let Some(from) = self.from.take()
        {
            self.more(&from);
            if self.index.failed() {
                self.ready.clear();
                self.from = None;
                return Some(Err("the copy of the index does not read".to_owned()));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Whether a collector has the history open.
fn in_use(dir: &Path) -> io::Result<bool> {
    match File::open(dir.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

/// A file of the index: when it changes, so does this.
#[derive(Debug, PartialEq)]
struct Listed {
    path: PathBuf,
    len: u64,
    modified: SystemTime,
}

/// The files below a folder, by their paths in it, in order.
fn listed(dir: &Path) -> io::Result<Vec<Listed>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let (path, metadata) = (folder.join(entry.file_name()), entry.metadata()?);
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.push(Listed { path, len: metadata.len(), modified: metadata.modified()? });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn copy(from: &Path, files: &[Listed], to: &Path) -> io::Result<()> {
    for Listed { path, .. } in files {
        let target = to.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut File::open(from.join(path))?, &mut File::create_new(target)?)?;
    }
    Ok(())
}

/// A folder of our own below that for temporary files: accounts and tokens are in the index.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        let mut name = [0u8; 8];
        rand::fill(&mut name).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let path = std::env::temp_dir().join(format!("hengwei-verify-{}", hex(&name)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("{}: not removed: {error}", self.0.display());
        }
    }
}

//! The taking end of a backup: pieces in, files in the operator's folder out.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hengwei_protocol::identity::unhex;
use serde_json::Value;

use super::{HISTORY, KEYS, Listed, Made, STATEMENT, Statement, copy, read_statement};
use crate::placed::{self, Placed};
use crate::statement;

/// Held by whoever writes into the folder.
const LOCK: &str = "lock";
/// What a backup's folder may hold at its top, besides configurations.
const TOP: [&str; 4] = [HISTORY, KEYS, STATEMENT, LOCK];
/// Folders of a backup, the outer ones first.
const DIRS: [&str; 4] = [HISTORY, "history/segments", "history/checkpoints", "history/log"];
/// History's list, where `verify --data` looks for it.
const MANIFEST: &str = "history/manifest";

/// A backup being taken.
#[derive(Debug)]
pub struct Taking {
    dir: PathBuf,
    /// Held for its drop.
    _lock: File,
    /// What the folder's last whole backup lists, by name.
    before: BTreeMap<String, Listed>,
    statement: Option<(Statement, String)>,
    /// What is to come still, by name.
    missing: BTreeMap<String, Listed>,
    copied_bytes: u64,
    copied: u64,
    damaged: Vec<String>,
    keys: bool,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    /// As history is told.
    pub made: Made,
    /// Files that were copied; the others were there.
    pub copied: u64,
    /// Whether the keys came along this time.
    pub keys: bool,
    /// Whether keys of an earlier time are there.
    pub earlier_keys: bool,
}

impl Taking {
    /// Begins in a folder that is new, empty, or holds a backup.
    pub fn begin(dir: &Path) -> anyhow::Result<Taking> {
        placed::make_dir(dir)?;
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(
                TOP.contains(&&*name) || is_config(&name) || placed::is_unfinished(&name),
                "{}: holds `{name}`, which is of no backup; name a folder of its own",
                dir.display()
            );
        }
        let lock = lock(dir)?;
        let before = match read_statement(dir)? {
            Some(signed) => by_name(&signed.statement),
            None => BTreeMap::new(),
        };
        DIRS.iter().try_for_each(|below| placed::make_dir(&dir.join(below)))?;
        Ok(Taking {
            dir: dir.to_owned(),
            _lock: lock,
            before,
            statement: None,
            missing: BTreeMap::new(),
            copied_bytes: 0,
            copied: 0,
            damaged: Vec::new(),
            keys: false,
        })
    }

    /// Takes one piece.
    pub fn take(&mut self, row: &Value, file: Option<File>) -> anyhow::Result<()> {
        if let Some(text) = row["statement"].as_str() {
            let signed = statement::read::<Statement>(text.as_bytes());
            let statement = signed.map_err(anyhow::Error::msg)?.statement;
            ensure!(statement.is_sound(), "the collector lists what is no backup");
            self.missing = by_name(&statement);
            self.statement = Some((statement, text.to_owned()));
            return Ok(());
        }
        let name = row["name"].as_str().context("an answer that is no backup")?;
        let content = row["content"].as_str();
        let content =
            content.map(|text| unhex(text).context("content that is no hex")).transpose()?;
        if name == KEYS {
            let content = content.context("keys without content")?;
            self.keys = true;
            return placed::write(&self.dir.join(KEYS), &content);
        }
        let listed =
            self.missing.remove(name).with_context(|| format!("`{name}` is not listed"))?;
        match (content, file) {
            (Some(content), _) => placed::write(&self.dir.join(name), &content),
            (None, Some(file)) => self.file(&listed, &file),
            (None, None) => bail!("`{name}` came without its content"),
        }
    }

    fn file(&mut self, listed: &Listed, file: &File) -> anyhow::Result<()> {
        let path = self.dir.join(&listed.name);
        if self.has(listed, &path)? {
            return Ok(());
        }
        let mut placed = Placed::create(&path)?;
        let copied =
            copy(file, &listed.name, &mut placed).with_context(|| path.display().to_string())?;
        placed.place()?;
        self.copied += 1;
        self.copied_bytes += copied.bytes;
        if copied != *listed {
            self.damaged.push(listed.name.clone());
        }
        Ok(())
    }

    /// Whether the folder has a file already: by the last backup's word, or, where that says nothing,
    /// by its content.
    fn has(&self, listed: &Listed, path: &Path) -> anyhow::Result<bool> {
        let Ok(file) = File::open(path) else { return Ok(false) };
        let len = file.metadata().with_context(|| path.display().to_string())?.len();
        if len != listed.bytes {
            return Ok(false);
        }
        if self.before.get(&listed.name) == Some(listed) {
            return Ok(true);
        }
        let found = copy(&file, &listed.name, &mut std::io::sink());
        Ok(found.with_context(|| path.display().to_string())? == *listed)
    }

    /// Makes it the folder's backup, and removes what it does not list.
    pub fn finish(self) -> anyhow::Result<Taken> {
        let Some((statement, text)) = &self.statement else {
            bail!("the collector broke off: the folder's last backup stays");
        };
        if let Some(name) = self.missing.keys().next() {
            bail!("`{name}` did not come: the folder's last backup stays");
        }
        DIRS.iter().try_for_each(|below| placed::sync_dir(&self.dir.join(below)))?;
        placed::sync_dir(&self.dir)?;
        placed::write(&self.dir.join(STATEMENT), text.as_bytes())?;
        // From here on it is the backup.
        let manifest = fs::read(self.dir.join(statement.manifest()))?;
        placed::write(&self.dir.join(MANIFEST), &manifest)?;
        self.sweep(statement)?;
        Ok(Taken {
            made: Made {
                commit: statement.commit,
                files: statement.files.len() as u64,
                bytes: statement.files.iter().map(|file| file.bytes).sum(),
                copied_bytes: self.copied_bytes,
                damaged: self.damaged,
            },
            copied: self.copied,
            keys: self.keys,
            earlier_keys: !self.keys && self.dir.join(KEYS).exists(),
        })
    }

    fn sweep(&self, statement: &Statement) -> anyhow::Result<()> {
        let listed = by_name(statement);
        for below in DIRS.iter().copied().chain([""]) {
            let dir = self.dir.join(below);
            for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
                let kept = listed.contains_key(&path)
                    || path == MANIFEST
                    || (below.is_empty() && TOP.contains(&&*name))
                    || entry.file_type()?.is_dir();
                if !kept {
                    fs::remove_file(entry.path()).with_context(|| path.clone())?;
                }
            }
            placed::sync_dir(&dir)?;
        }
        Ok(())
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(LOCK);
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let mut file = file.with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("{}: another backup is being made", dir.display()),
        Err(TryLockError::Error(error)) => return Err(error).context(path.display().to_string()),
    }
    file.flush()?;
    Ok(file)
}

fn by_name(statement: &Statement) -> BTreeMap<String, Listed> {
    statement.files.iter().map(|file| (file.name.clone(), file.clone())).collect()
}

fn is_config(name: &str) -> bool {
    name.starts_with("collector-") && name.ends_with(".toml")
}

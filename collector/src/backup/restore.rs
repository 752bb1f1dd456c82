//! Restoring: a backup's folder in, a data folder of a stopped collector out; and checking a folder
//! without restoring it.
//!
//! Everything is built below `<data>/.restoring` and renamed into place, history last: a collector
//! that is started on a restore that did not come to its end finds no history to go on with. Such a
//! restore is begun again from the start.
//!
//! With the keys the restored collector is the one that was: it signs on under the same key, and its
//! first commit is `history.restored`, from which an assessor knows that commits after the backup's
//! last were lost. Without them only history is restored, and it stays as the old key signed it until
//! keys are put beside it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hengwei_protocol::identity::hex;
use serde_json::json;

use super::keys::{Keys, Passphrase};
use super::{HISTORY, KEYS, Listed, STATEMENT, Statement, copy, read_statement};
use crate::history::{self, Draft, Writer};
use crate::placed::{self, Placed};
use crate::statement::{self, Signed};
use crate::{pki, store, time};

/// Where a restore is built, below the data folder.
const BUILDING: &str = ".restoring";
/// The restored configuration, for the operator to look at and put where it belongs.
const CONFIG: &str = "collector.toml";
/// The longest file of sealed keys that is read.
const MAX_KEYS: u64 = 64 << 20;

/// What a check of a folder found.
#[derive(Debug)]
pub struct Checked {
    /// What it states.
    pub statement: Statement,
    /// The key that signed it, hex.
    pub key: String,
    /// Whether that key was given, or is among the sealed keys that opened: not only the folder's word.
    pub trusted: bool,
    /// What does not fit; none when all is well.
    pub findings: Vec<String>,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// As the backup states it.
    pub statement: Statement,
    /// Whether the keys were.
    pub keys: bool,
    /// Whether it is known beyond the folder's own word who signed.
    pub trusted: bool,
    /// What is not as the backup lists it, and was taken over all the same.
    pub damaged: Vec<String>,
}

/// What restoring is told beside the two folders.
#[derive(Debug, Default)]
pub struct How<'a> {
    /// Opens the keys.
    pub passphrase: Option<&'a Passphrase>,
    /// The history key that must have signed.
    pub key: Option<&'a [u8]>,
    /// Takes over files that are not what the backup lists.
    pub accept_damage: bool,
    /// Who restores.
    pub who: &'a str,
}

/// Reads every file of a backup and compares; opens the keys when there is a passphrase.
///
/// # Errors
/// When the folder holds no backup, or the keys do not open.
pub fn check(
    dir: &Path,
    passphrase: Option<&Passphrase>,
    key: Option<&[u8]>,
) -> anyhow::Result<Checked> {
    let opened = Opened::open(dir, passphrase, key)?;
    let mut findings: Vec<String> = opened.wrong.into_iter().collect();
    for listed in &opened.signed.statement.files {
        let path = dir.join(&listed.name);
        let found =
            File::open(&path).and_then(|file| copy(&file, &listed.name, &mut std::io::sink()));
        match found {
            Ok(found) if found == *listed => {}
            Ok(_) => findings.push(damaged(listed)),
            Err(error) => findings.push(format!("{}: {error}", listed.name)),
        }
    }
    let key = hex(&opened.signed.key);
    Ok(Checked { statement: opened.signed.statement, key, trusted: opened.trusted, findings })
}

/// Restores the backup in `dir` to `data`, which must be empty or not there.
///
/// # Errors
/// When the target is not empty, the signature or a file does not fit, or the keys do not open; then
/// nothing is left in the target.
pub fn restore(dir: &Path, data: &Path, how: &How<'_>) -> anyhow::Result<Restored> {
    let opened = Opened::open(dir, how.passphrase, how.key)?;
    if let Some(wrong) = opened.wrong {
        bail!("{}: {wrong}", dir.join(STATEMENT).display());
    }
    let made = !data.exists();
    claim(data)?;
    let building = data.join(BUILDING);
    let statement = opened.signed.statement;
    let keys = opened.keys;
    let built = build(dir, &building, &statement, how.accept_damage).and_then(|damaged| {
        if let Some(keys) = &keys {
            keys.write(&building)?;
            awaken(&building, how.who, &statement)?;
        }
        install(&building, data)?;
        Ok(damaged)
    });
    match built {
        Ok(damaged) => {
            Ok(Restored { statement, keys: keys.is_some(), trusted: opened.trusted, damaged })
        }
        Err(error) => {
            // The error that matters is the first one.
            let _ = clear(data);
            if made {
                let _ = fs::remove_dir(data);
            }
            Err(error)
        }
    }
}

/// A backup whose statement was read.
struct Opened {
    signed: Signed<Statement>,
    /// What is wrong with the signature.
    wrong: Option<String>,
    trusted: bool,
    keys: Option<Keys>,
}

impl Opened {
    fn open(
        dir: &Path,
        passphrase: Option<&Passphrase>,
        key: Option<&[u8]>,
    ) -> anyhow::Result<Opened> {
        let signed = read_statement(dir)?;
        let signed = signed.with_context(|| format!("{}: no backup here", dir.display()))?;
        let keys = passphrase.map(|passphrase| open_keys(dir, passphrase)).transpose()?;
        // Who knows the passphrase vouches for the key that was sealed under it.
        let sealed = keys.as_ref().and_then(Keys::history_public_key);
        let trusted = key.map(<[u8]>::to_vec).or(sealed);
        let wrong = signed.check(statement::BACKUP, trusted.as_deref());
        Ok(Opened { wrong, trusted: trusted.is_some(), signed, keys })
    }
}

fn open_keys(dir: &Path, passphrase: &Passphrase) -> anyhow::Result<Keys> {
    let path = dir.join(KEYS);
    let file = File::open(&path)
        .with_context(|| format!("{}: the backup was made without keys", path.display()))?;
    let mut sealed = Vec::new();
    file.take(MAX_KEYS).read_to_end(&mut sealed).with_context(|| path.display().to_string())?;
    Keys::open(&sealed, passphrase).with_context(|| path.display().to_string())
}

/// Takes an empty folder, or what an unfinished restore left of one.
fn claim(data: &Path) -> anyhow::Result<()> {
    placed::make_dir(data)?;
    if data.join(BUILDING).exists() {
        clear(data)?;
    }
    let mut entries = fs::read_dir(data).with_context(|| data.display().to_string())?;
    ensure!(
        entries.next().is_none(),
        "{}: is not empty; name a new or empty folder with --data",
        data.display()
    );
    placed::make_dir(&data.join(BUILDING))
}

/// Removes what an unfinished restore left. The folder was empty when that began.
fn clear(data: &Path) -> anyhow::Result<()> {
    // It is put in place last: where it is, somebody may be at work already.
    ensure!(!data.join(HISTORY).exists(), "{}: is in use", data.display());
    for name in [CONFIG, super::keys::SECRETS, pki::DIR, BUILDING] {
        let path = data.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(path.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies what the statement lists; what of it is not as listed, when that is accepted.
fn build(
    dir: &Path,
    building: &Path,
    statement: &Statement,
    accept_damage: bool,
) -> anyhow::Result<Vec<String>> {
    for below in ["segments", "checkpoints", "log"] {
        placed::make_dir(&building.join(HISTORY).join(below))?;
    }
    let mut accepted = Vec::new();
    for listed in &statement.files {
        let from = dir.join(&listed.name);
        let to = building.join(target(statement, listed));
        let file = File::open(&from).with_context(|| from.display().to_string())?;
        let mut placed = Placed::create(&to)?;
        let copied = copy(&file, &listed.name, &mut placed)
            .with_context(|| format!("{} to {}", from.display(), to.display()))?;
        if copied != *listed {
            ensure!(accept_damage, "{}", damaged(listed));
            accepted.push(listed.name.clone());
        }
        placed.place()?;
    }
    for below in ["segments", "checkpoints", ""] {
        placed::sync_dir(&building.join(HISTORY).join(below))?;
    }
    placed::sync_dir(building)?;
    Ok(accepted)
}

fn damaged(listed: &Listed) -> String {
    format!("{}: is not what was backed up", listed.name)
}

/// Where a file of a backup stands in a data folder.
fn target(statement: &Statement, listed: &Listed) -> PathBuf {
    if listed.name == statement.manifest() {
        return Path::new(HISTORY).join("manifest");
    }
    if !listed.name.contains('/') {
        return CONFIG.into();
    }
    PathBuf::from(&listed.name)
}

/// Moves what was built into place, history last.
fn install(building: &Path, data: &Path) -> anyhow::Result<()> {
    for name in [CONFIG, super::keys::SECRETS, pki::DIR, HISTORY] {
        let from = building.join(name);
        if from.exists() {
            fs::rename(&from, data.join(name)).with_context(|| from.display().to_string())?;
        }
    }
    placed::sync_dir(data)?;
    fs::remove_dir_all(building).with_context(|| building.display().to_string())?;
    placed::sync_dir(data)
}

/// Builds the index, and commits that and by whom history was restored, before it is in its place.
fn awaken(data: &Path, who: &str, statement: &Statement) -> anyhow::Result<()> {
    let options =
        history::Options { key: Some(pki::history_key_file(data)), ..history::Options::default() };
    let (mut writer, history) = Writer::open(&data.join(HISTORY), options)?;
    let body = json!({
        "commit": statement.commit, "backup_at": &statement.at, "backup_by": &statement.by,
    });
    let entries = vec![store::entry(time::now(), who, "history.restored", &body)];
    writer.commit(Draft { entries, ..Draft::default() })?;
    drop(history);
    Ok(writer.close()?)
}

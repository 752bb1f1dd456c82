//! The giving end of a backup: what is to be in it, stated and signed, and every file of it open.

use std::fs::File;

use anyhow::{Context as _, ensure};
use hengwei_protocol::identity::hex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{Keys, Passphrase};
use super::{FORMAT, HISTORY, KEYS, Listed, Statement};
use crate::control;
use crate::history::Frozen;
use crate::services::Services;
use crate::statement::{self, StatedHeads};
use crate::time;

/// What a backup is asked to have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// With the keys, under this passphrase.
    pub passphrase: Option<Passphrase>,
}

/// What a backup came to, as the command tells history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    /// The last commit that is in it.
    pub commit: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes that were copied for it.
    pub copied_bytes: u64,
    /// Files whose content is not what history wrote.
    pub damaged: Vec<String>,
}

/// A piece of the answer: a row, with an open file where the row says `"file": true`.
pub type Piece = (Value, Option<File>);

/// Hands everything of a backup to `send`, until it returns false: the statement, what was made for
/// it, and each file of history, open.
pub async fn give(
    services: &Services,
    who: &str,
    asked: Asked,
    send: &mut (dyn FnMut(Piece) -> bool + Send),
) -> anyhow::Result<i32> {
    if asked.passphrase.is_some() {
        ensure!(
            may_have_keys(who),
            "keys are given to root and the collector's own user, and {who} is neither"
        );
    }
    // Sealed first: a passphrase that is too short must not leave half a backup behind.
    let sealed = tokio::task::block_in_place(|| {
        let passphrase = asked.passphrase.as_ref();
        passphrase.map(|passphrase| Keys::of(&services.config)?.seal(passphrase)).transpose()
    })?;
    services.note(who, "backup.begun", json!({ "keys": sealed.is_some() })).await?;
    let frozen = tokio::task::block_in_place(|| services.history.freeze())?;
    let config = match &services.config.path {
        Some(path) => Some(std::fs::read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let made = made_for_it(&frozen, config);
    let files =
        made.iter().map(|(listed, _)| listed.clone()).chain(frozen.files.iter().map(|file| {
            Listed {
                name: format!("{HISTORY}/{}", file.name),
                bytes: file.bytes,
                sha256: hex(&file.digest),
            }
        }));
    let statement = Statement {
        format: FORMAT,
        product: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: services.config.site.clone(),
        by: who.to_owned(),
        at: time::rfc3339(time::now()),
        commit: frozen.commit,
        heads: StatedHeads::from(&frozen.heads),
        files: files.collect(),
    };
    let text = statement::sign(statement::BACKUP, &statement, &*services.pki)?;
    let mut pieces = vec![json!({ "statement": text })];
    pieces.extend(
        made.into_iter()
            .map(|(listed, bytes)| json!({ "name": listed.name, "content": hex(&bytes) })),
    );
    pieces.extend(sealed.map(|bytes| json!({ "name": KEYS, "content": hex(&bytes) })));
    for piece in pieces {
        if !send((piece, None)) {
            return Ok(0);
        }
    }
    for file in &frozen.files {
        let name = format!("{HISTORY}/{}", file.name);
        let opened = file.open().with_context(|| name.clone())?;
        if !send((json!({ "name": name, "file": true }), Some(opened))) {
            return Ok(0);
        }
    }
    Ok(0)
}

/// Notes that a backup arrived whole.
pub async fn made(services: &Services, who: &str, made: &Made) -> anyhow::Result<()> {
    Ok(services.note(who, "backup.made", serde_json::to_value(made)?).await?)
}

/// Those who can read the keys anyway.
fn may_have_keys(who: &str) -> bool {
    let own = rustix::process::getuid().as_raw();
    [0, own].into_iter().any(|uid| who == format!("local:{}", control::user_name(uid)))
}

/// The files that are no file of history yet.
fn made_for_it(frozen: &Frozen, config: Option<Vec<u8>>) -> Vec<(Listed, Vec<u8>)> {
    let name = format!("{HISTORY}/manifest-{}", frozen.commit);
    let mut made = vec![(Listed::of(name, &frozen.manifest), frozen.manifest.clone())];
    if let Some(config) = config {
        let mut listed = Listed::of(String::new(), &config);
        listed.name = format!("collector-{}.toml", &listed.sha256[..16]);
        made.push((listed, config));
    }
    made
}

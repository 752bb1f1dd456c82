//! History held still for a backup: the names, digests and contents of everything that makes up
//! history as of one commit, readable for as long as the value is kept.
//!
//! What is committed is sealed first, so that no log file is part of it. The segments are those of
//! one view, whose readers keep them from being unlinked; the checkpoints are opened at once, since
//! the next seal removes the older one. The manifest is a copy of the one in force, with heads signed
//! at exactly its last sealed commit: those it has may speak of commits that are still in the log.
//! A list from which something was removed must not go without the decision that removed it, and that
//! may be in the log still: when segments went while the log was sealed, it is sealed again.
//!
//! Commits, seals, merges and retention go on meanwhile.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use hengwei_protocol::wire::Heads;

use super::chain::Tips;
use super::commit::{Inner, locked};
use super::open::{CHECKPOINTS, SEGMENTS};
use super::read::{History, Sealed, View};
use super::stored::Manifest;
use super::{Error, manifest, seal};
use crate::time;

/// How often the log is sealed again because segments went meanwhile.
const ATTEMPTS: usize = 20;

/// History as of one commit.
#[derive(Debug)]
pub struct Frozen {
    /// The last commit that is part of it.
    pub commit: u64,
    /// The chain heads there, signed when there is a key.
    pub heads: Heads,
    /// The manifest, as the file of that name is to be.
    pub manifest: Vec<u8>,
    /// Everything it lists.
    pub files: Vec<FrozenFile>,
    /// Kept so that no segment goes.
    _view: Arc<View>,
}

/// A file of history.
#[derive(Debug)]
pub struct FrozenFile {
    /// Its path below the history's folder.
    pub name: String,
    /// Its length when it was written.
    pub bytes: u64,
    /// Its SHA-256 when it was written.
    pub digest: Bytes,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Open(File),
    At(PathBuf),
}

impl FrozenFile {
    fn segment(sealed: &Sealed) -> FrozenFile {
        FrozenFile {
            name: format!("{SEGMENTS}/{}", sealed.stored.file),
            bytes: sealed.stored.bytes,
            digest: sealed.stored.digest.clone(),
            content: Content::At(sealed.path.clone()),
        }
    }

    /// The file, to be read from its beginning.
    pub fn open(&self) -> io::Result<File> {
        match &self.content {
            Content::Open(file) => file.try_clone(),
            Content::At(path) => File::open(path),
        }
    }
}

/// The list of what is sealed with the view of the same moment, for as long as the list is held: all
/// that was decided about what it lists is part of it.
fn settled(inner: &Inner) -> Result<(MutexGuard<'_, Manifest>, Arc<View>), Error> {
    for _ in 0..ATTEMPTS {
        let before: Vec<String> =
            locked(&inner.manifest).segments.iter().map(|segment| segment.file.clone()).collect();
        seal::all(inner)?;
        let listed = locked(&inner.manifest);
        let names: HashSet<&str> = listed.segments.iter().map(|it| it.file.as_str()).collect();
        if before.iter().all(|name| names.contains(name.as_str())) {
            return Ok((listed, inner.view()));
        }
    }
    let text = "history changes faster than it can be held still; try again";
    Err(Error::Unusable(text.to_owned()))
}

impl History {
    /// Seals what is committed and holds everything up to there still.
    pub fn freeze(&self) -> Result<Frozen, Error> {
        let inner = self.inner();
        let (listed, view) = settled(inner)?;
        let mut heads = Tips::from_stored(&listed.tips).heads(time::now());
        if let Some(key) = &inner.key {
            key.sign_heads(&mut heads);
        }
        let signed = inner.key.is_some().then(|| heads.clone());
        let mut copy = Manifest { signed, ..listed.clone() };
        let mut files: Vec<_> = view.segments.iter().map(|it| FrozenFile::segment(it)).collect();
        for checkpoint in &listed.checkpoints {
            let name = format!("{CHECKPOINTS}/{}", checkpoint.file);
            let path = inner.dir.join(&name);
            let failed = |error| super::disk::failed(&path, &error);
            let file = File::open(&path).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            let (digest, content) = (checkpoint.digest.clone(), Content::Open(file));
            files.push(FrozenFile { name, bytes, digest, content });
        }
        Ok(Frozen {
            commit: listed.sealed_to,
            heads,
            manifest: manifest::encode(&inner.dir, &mut copy, inner.key.as_ref())?,
            files,
            _view: view,
        })
    }

    /// Signs the heads as of the last commit, now, and returns them; unsigned where there is no key.
    pub fn sign_heads(&self) -> Heads {
        let inner = self.inner();
        let mut log = locked(&inner.log);
        if log.poisoned.is_none() {
            inner.sign(&mut log);
        }
        inner.publish_heads(&log, time::now())
    }
}

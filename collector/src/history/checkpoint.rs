//! Checkpoints: all small records as of one commit, so that the index can be built again without
//! reading all of history.
//!
//! ```text
//! "HENGWCKP" | version u32 | commit u64 | zstd of messages | CRC32 u32
//! ```
//!
//! Each message has its length (u32) in front: one `CheckpointHead` (with the correlation state last
//! handed in), then `Row`s in the order of (tree, key).
//!
//! The next checkpoint is made from files alone, the last one and the commits since: the index is
//! not asked, so commits go on meanwhile and the result stands at exactly the commit it names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::Message;

use super::disk::{self, Disk, failed};
use super::ledger::{self, Rows};
use super::stored::{self, CheckpointHead, Row, Sender, StoredPut};
use super::{Error, tree};
use crate::time;
use hengwei_protocol::wire::Block;

const MAGIC: &[u8; 8] = b"HENGWCKP";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// zstd level: written off the commit path, read once in a while.
const LEVEL: i32 = 3;
/// The longest message of a checkpoint.
const MAX_MESSAGE: usize = 1 << 30;

/// The name of the checkpoint at a commit.
pub(super) fn name(commit: u64) -> String {
    format!("{commit:020}.ckpt")
}

/// A checkpoint whose bytes were checked.
#[derive(Debug, Clone)]
pub(super) struct Loaded(Bytes);

/// Reads and checks a checkpoint.
pub(super) fn load(path: &Path, expected: &[u8]) -> Result<Loaded, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let damaged = || format!("{}: damaged", path.display());
    let end = bytes.len().checked_sub(4).filter(|end| *end >= HEADER).ok_or_else(damaged)?;
    let good = &bytes[..8] == MAGIC
        && bytes[8..12] == VERSION.to_le_bytes()
        && bytes[end..] == crc32fast::hash(&bytes[..end]).to_le_bytes()
        && digest::digest(&digest::SHA256, &bytes).as_ref() == expected;
    if good { Ok(Loaded(bytes.into())) } else { Err(damaged()) }
}

impl Loaded {
    /// Reads the head alone.
    pub(super) fn head(&self) -> io::Result<CheckpointHead> {
        let head = next(&mut self.messages()?)?;
        CheckpointHead::decode(head.unwrap_or_default()).map_err(io::Error::other)
    }

    fn messages(&self) -> io::Result<impl Read> {
        let compressed = &self.0[HEADER..self.0.len() - 4];
        Ok(BufReader::new(zstd::stream::read::Decoder::new(compressed)?))
    }

    /// Reads the head, then shows every row.
    pub(super) fn read(
        &self,
        see: &mut dyn FnMut(Row) -> io::Result<()>,
    ) -> io::Result<CheckpointHead> {
        let mut messages = self.messages()?;
        let head = next(&mut messages)?.ok_or_else(|| io::Error::other("an empty checkpoint"))?;
        while let Some(bytes) = next(&mut messages)? {
            see(Row::decode(bytes).map_err(io::Error::other)?)?;
        }
        CheckpointHead::decode(head).map_err(io::Error::other)
    }
}

fn next(messages: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut len = [0u8; 4];
    match messages.read(&mut len)? {
        0 => return Ok(None),
        n => messages.read_exact(&mut len[n..])?,
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_MESSAGE {
        return Err(io::Error::other("a message beyond its limit"));
    }
    let mut bytes = vec![0u8; len];
    messages.read_exact(&mut bytes)?;
    Ok(Some(bytes.into()))
}

type Changes = BTreeMap<(&'static str, Vec<u8>), Option<Vec<u8>>>;

/// A checkpoint in the making: the last one, and what commits changed since.
#[derive(Debug)]
pub(super) struct Next {
    old: Option<Loaded>,
    /// The ledger's rows of the old one: the only rows that are read to be changed.
    ledger: BTreeMap<Vec<u8>, Vec<u8>>,
    changes: Changes,
    head: CheckpointHead,
}

impl Next {
    pub(super) fn after(old: Option<Loaded>) -> io::Result<Next> {
        let mut ledger = BTreeMap::new();
        let mut head = CheckpointHead::default();
        if let Some(old) = &old {
            head = old.read(&mut |row| {
                if row.tree == tree::LEDGER {
                    ledger.insert(row.key, row.value);
                }
                Ok(())
            })?;
        }
        Ok(Next { old, ledger, changes: Changes::new(), head })
    }

    /// Takes the changes of one commit.
    pub(super) fn apply<'a>(
        &mut self,
        commit: u64,
        time: i64,
        parts: impl Iterator<Item = (&'a Sender, &'a Block)>,
        puts: &[StoredPut],
        correlations: Option<Bytes>,
    ) {
        apply(self, time, parts, puts);
        self.head.commit = commit;
        if let Some(correlations) = correlations {
            self.head.correlations_commit = commit;
            self.head.correlations = correlations;
        }
    }

    /// Writes it, durably, and says how the manifest will name it.
    pub(super) fn write(
        self,
        disk: &dyn Disk,
        dir: &Path,
        commit: u64,
    ) -> Result<stored::Checkpoint, Error> {
        let name = name(commit);
        let path = dir.join(&name);
        let correlations_commit = self.head.correlations_commit;
        let bytes = self.bytes(commit).map_err(|error| failed(&path, &error))?;
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        let written = disk.write_at(&file, &bytes, 0).and_then(|()| disk.sync(&file));
        if let Err(error) = written {
            disk::remove(&path)?;
            return Err(failed(&path, &error));
        }
        disk::sync_dir(disk, dir)?;
        let digest = digest::digest(&digest::SHA256, &bytes);
        Ok(stored::Checkpoint {
            file: name,
            commit,
            digest: Bytes::copy_from_slice(digest.as_ref()),
            correlations_commit,
            written: time::now(),
        })
    }

    fn bytes(mut self, commit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&commit.to_le_bytes());
        let mut encoder = zstd::stream::write::Encoder::new(bytes, LEVEL)?;
        self.head.commit = commit;
        put(&mut encoder, &self.head)?;
        let mut changes = std::mem::take(&mut self.changes).into_iter().peekable();
        if let Some(old) = &self.old {
            old.read(&mut |row| {
                let mut replaced = false;
                while let Some(((tree, key), value)) = changes
                    .next_if(|((tree, key), _)| (*tree, key) <= (row.tree.as_str(), &row.key))
                {
                    replaced |= tree == row.tree && key == row.key;
                    put_change(&mut encoder, tree, key, value)?;
                }
                if replaced { Ok(()) } else { put(&mut encoder, &row) }
            })?;
        }
        for ((tree, key), value) in changes {
            put_change(&mut encoder, tree, key, value)?;
        }
        let mut bytes = encoder.finish()?;
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }
}

fn put_change(
    to: &mut impl Write,
    tree: &str,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
) -> io::Result<()> {
    value.map_or(Ok(()), |value| put(to, &Row { tree: tree.to_owned(), key, value }))
}

fn put(to: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&bytes)
}

impl Rows for Next {
    fn row(&mut self, tree: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.get(&(tree, key.to_vec())) {
            Some(change) => change.clone(),
            None if tree == tree::LEDGER => self.ledger.get(key).cloned(),
            None => None,
        }
    }

    fn set(&mut self, tree: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.changes.insert((tree, key), value);
    }
}

/// Brings small records up to one commit: what it puts, and what follows from its records.
pub(super) fn apply<'a>(
    rows: &mut dyn Rows,
    time: i64,
    parts: impl Iterator<Item = (&'a Sender, &'a Block)>,
    puts: &[StoredPut],
) {
    for put in puts {
        // A tree this version does not know has no reader either; its changes stay in the log.
        if let Some(tree) = stored::tree_named(&put.tree) {
            rows.set(tree, put.key.clone(), put.value.clone());
        }
    }
    ledger::apply(rows, time, parts);
}

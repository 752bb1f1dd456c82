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
use super::ledger::{self, Advances, Rows};
use super::stored::{self, CheckpointHead, Row, Sender, StoredPut};
use super::{Error, tree};
use crate::time;
use hengwei_protocol::wire::Block;

const MAGIC: &[u8; 8] = b"HENGWCKP";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// zstd level: written off the commit path, read once in a while.
const LEVEL: i32 = 3;
/// What a change takes in memory beside its key and value, about.
const CHANGE_OVERHEAD: usize = 128;
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
    Loaded::checked(bytes, expected).ok_or_else(|| format!("{}: damaged", path.display()))
}

impl Loaded {
    /// Takes the bytes of a checkpoint with that digest; None when they are not.
    pub(super) fn checked(bytes: Vec<u8>, expected: &[u8]) -> Option<Loaded> {
        let end = bytes.len().checked_sub(4).filter(|end| *end >= HEADER)?;
        let good = &bytes[..8] == MAGIC
            && bytes[8..12] == VERSION.to_le_bytes()
            && bytes[end..] == crc32fast::hash(&bytes[..end]).to_le_bytes()
            && digest::digest(&digest::SHA256, &bytes).as_ref() == expected;
        good.then(|| Loaded(bytes.into()))
    }

    /// Its rows one after the other, until the first that does not read.
    pub(super) fn rows(&self) -> io::Result<impl Iterator<Item = io::Result<Row>>> {
        let mut messages = self.messages()?;
        next(&mut messages)?.ok_or_else(|| io::Error::other("an empty checkpoint"))?;
        Ok(std::iter::from_fn(move || {
            let bytes = next(&mut messages).transpose()?;
            Some(bytes.and_then(|bytes| Row::decode(bytes).map_err(io::Error::other)))
        }))
    }

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
    // The length is only believed as far as bytes follow it.
    let mut bytes = Vec::new();
    let read = messages.take(len as u64).read_to_end(&mut bytes)?;
    if read != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
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
    /// What the changes take in memory, about.
    changed_bytes: usize,
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
        Ok(Next { old, ledger, changes: Changes::new(), changed_bytes: 0, head })
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

    /// Takes what one commit puts and how far its queues came; [`Next::apply`] for whoever holds no
    /// records any more.
    pub(super) fn advance(&mut self, time: i64, advances: Advances, puts: &[StoredPut]) {
        apply_puts(self, puts);
        advances.apply(self, time);
    }

    /// What the changes since the old checkpoint take in memory, about.
    pub(super) fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// The same small records, with the changes packed away among the others.
    pub(super) fn packed(self, commit: u64) -> io::Result<Next> {
        Next::after(Some(Loaded(self.bytes(commit)?.into())))
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
        self.each(&mut |row| put(&mut encoder, &row))?;
        let mut bytes = encoder.finish()?;
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// Shows every row as it is now, in the order of (tree, key).
    pub(super) fn each(&self, see: &mut dyn FnMut(Row) -> io::Result<()>) -> io::Result<()> {
        let mut changes = self.changes.iter().peekable();
        if let Some(old) = &self.old {
            old.read(&mut |row| {
                let mut replaced = false;
                while let Some(((tree, key), value)) = changes
                    .next_if(|((tree, key), _)| (*tree, key) <= (row.tree.as_str(), &row.key))
                {
                    replaced |= *tree == row.tree && *key == row.key;
                    show_change(see, tree, key, value)?;
                }
                if replaced { Ok(()) } else { see(row) }
            })?;
        }
        changes.try_for_each(|((tree, key), value)| show_change(see, tree, key, value))
    }
}

fn show_change(
    see: &mut dyn FnMut(Row) -> io::Result<()>,
    tree: &str,
    key: &[u8],
    value: &Option<Vec<u8>>,
) -> io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    see(Row { tree: tree.to_owned(), key: key.to_vec(), value: value.clone() })
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
        let len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let (added, key_len) = (len(&value), key.len());
        match self.changes.insert((tree, key), value) {
            Some(old) => self.changed_bytes = (self.changed_bytes + added) - len(&old),
            None => self.changed_bytes += CHANGE_OVERHEAD + key_len + added,
        }
    }
}

/// Brings small records up to one commit: what it puts, and what follows from its records.
pub(super) fn apply<'a>(
    rows: &mut dyn Rows,
    time: i64,
    parts: impl Iterator<Item = (&'a Sender, &'a Block)>,
    puts: &[StoredPut],
) {
    apply_puts(rows, puts);
    ledger::apply(rows, time, parts);
}

fn apply_puts(rows: &mut dyn Rows, puts: &[StoredPut]) {
    for put in puts {
        // A tree this version does not know has no reader either; its changes stay in the log.
        if let Some(tree) = stored::tree_named(&put.tree) {
            rows.set(tree, put.key.clone(), put.value.clone());
        }
    }
}

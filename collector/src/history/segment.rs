//! Sealed segments: what one class has of a run of commits, in one file that never changes.
//!
//! ```text
//! file    "HENGWSEG" | version u32 | class u32 | stripes | catalog | its length u32 | its CRC32 u32 | "HENGWEND"
//! stripe  parts: those of its blocks, then its structure               (stripe, part)
//! block   heads, originals, typed fields, filter: a part each          (rows, fields)
//! catalog zstd of stored::Catalog
//! ```
//!
//! Little-endian. A stripe is a run of whole commits, about [`STRIPE_BYTES`] of records; within it
//! records lie by stream and column, which is what packs and searches well, and its structure says in
//! which order they came, so that the chain is computed again from a stripe alone. The catalog says
//! where every part lies and what can't be in it; when it is damaged, stripes are found by walking.
//!
//! Links are not kept, since they follow from the records: a stripe has the link before its first
//! commit and after its last, and of each commit's the first four bytes, to name the first that
//! differs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Record};
use prost::Message;

use super::Error;
use super::chain::{self, Class, Link, Linker};
use super::disk::{self, Disk, failed};
use super::stored::{Catalog, Chunk, Commit, Group, Item, Part, Segment, Step};
use super::text::Effort;
use super::understand::Understand;

mod fields;
pub(super) mod part;
pub(super) mod rows;
mod series;
mod stripe;

use rows::Names;

const FILE_MAGIC: &[u8; 8] = b"HENGWSEG";
const END_MAGIC: &[u8; 8] = b"HENGWEND";
const VERSION: u32 = 2;
const FILE_HEADER: usize = 16;
const TRAILER: usize = 16;
/// Items are gathered up to this many bytes of records before they become a stripe. Tests have
/// stripes enough to lose one.
const STRIPE_BYTES: usize = if cfg!(test) { 1 << 20 } else { 24 << 20 };
/// A stripe has no more items than this: commits of a single record each are small.
const STRIPE_ITEMS: usize = 262_144;
/// The longest catalog, packed or not.
const MAX_CATALOG: usize = 1 << 28;

/// How much work packing may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    zstd: i32,
    effort: Effort,
}

impl Level {
    /// While a log file is sealed.
    pub(super) const SEAL: Level = Level { zstd: 3, effort: Effort::Seal };
    /// When segments are merged.
    pub(super) const MERGE: Level = Level { zstd: 9, effort: Effort::Merge };
}

/// The name of the segment of a class from one commit to another.
pub(super) fn name(class: Class, first: u64, last: u64) -> String {
    format!("{}-{first:020}-{last:020}.seg", class.as_str())
}

/// Splits a commit into what each class has of it. `blocks` are its batches', unpacked, None where
/// one does not unpack.
pub(super) fn split(number: u64, commit: &Commit, blocks: Vec<Option<Block>>) -> [Option<Item>; 5] {
    let mut items: [Option<Item>; 5] = Default::default();
    for step in &commit.steps {
        if let Some(class) = Class::from_number(step.class) {
            item(&mut items, class, number, commit).step = Some(step.clone());
        }
    }
    for (batch, block) in commit.batches.iter().zip(blocks) {
        let (Some(sender), Some(block)) = (&batch.sender, block) else { continue };
        let kind = chain::kind_of(sender);
        let mut add = |class: Class, block: Block| {
            let group = Group { sender: Some(sender.clone()), block: Some(block) };
            item(&mut items, class, number, commit).groups.push(group);
        };
        let raised = |record: &Record| {
            chain::class_of(kind, record.number, &batch.raised) == Class::Security
        };
        if Class::from(kind) == Class::Security || !block.records.iter().any(raised) {
            if !block.records.is_empty() {
                add(kind.into(), block);
            }
            continue;
        }
        let Block { origins, records } = block;
        let (security, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(raised);
        add(Class::Security, Block { origins: origins.clone(), records: security });
        if !rest.is_empty() {
            add(kind.into(), Block { origins, records: rest });
        }
    }
    if !(commit.entries.is_empty() && commit.puts.is_empty() && commit.hits.is_empty()) {
        let item = item(&mut items, Class::Record, number, commit);
        item.entries = commit.entries.clone();
        item.puts = commit.puts.clone();
        item.hits = commit.hits.clone();
    }
    items
}

fn item<'a>(
    items: &'a mut [Option<Item>; 5],
    class: Class,
    number: u64,
    commit: &Commit,
) -> &'a mut Item {
    items[class.index()].get_or_insert_with(|| Item {
        commit: number,
        time: commit.time,
        ..Item::default()
    })
}

/// Unpacks a stored batch.
pub(super) fn unpack(batch: &super::stored::Batch) -> Result<Block, String> {
    let len = usize::try_from(batch.raw_len)
        .ok()
        .filter(|len| *len <= hengwei_protocol::limits::MAX_BLOCK)
        .ok_or_else(|| format!("a block of {} bytes", batch.raw_len))?;
    let raw = hengwei_protocol::block::decompress(&batch.block, len)
        .map_err(|error| error.to_string())?;
    Block::decode(raw).map_err(|error| error.to_string())
}

/// Earliest and latest time an item speaks of.
pub(super) fn span(item: &Item) -> (i64, i64) {
    let ingested = item.groups.iter().filter_map(|group| group.sender.as_ref()).map(|s| s.ingested);
    let decided = item.entries.iter().map(|entry| entry.time);
    let (mut since, mut until) = (i64::MAX, i64::MIN);
    for time in ingested.chain(decided) {
        (since, until) = (since.min(time), until.max(time));
    }
    if since > until { (item.time, item.time) } else { (since, until) }
}

/// How much of history an item is: its records, or its decisions.
pub(super) fn entries(item: &Item) -> u64 {
    let records: usize =
        item.groups.iter().filter_map(|group| group.block.as_ref()).map(|b| b.records.len()).sum();
    (records + item.entries.len() + item.puts.len()) as u64
}

/// A segment being written.
pub(super) struct Writer<'a> {
    disk: &'a dyn Disk,
    understand: Option<&'a dyn Understand>,
    level: Level,
    class: Class,
    path: PathBuf,
    file: File,
    offset: u64,
    digest: digest::Context,
    pending: Vec<Item>,
    pending_bytes: usize,
    names: Names,
    catalog: Catalog,
}

impl<'a> Writer<'a> {
    /// Begins a segment under a temporary name; what a crash leaves of it is swept at open.
    pub(super) fn create(
        disk: &'a dyn Disk,
        dir: &Path,
        class: Class,
        understand: Option<&'a dyn Understand>,
        level: Level,
    ) -> Result<Writer<'a>, Error> {
        let path = dir.join(format!("{}.tmp", class.as_str()));
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        let mut writer = Writer {
            disk,
            understand,
            level,
            class,
            path,
            file,
            offset: 0,
            digest: digest::Context::new(&digest::SHA256),
            pending: Vec::new(),
            pending_bytes: 0,
            names: Names::default(),
            catalog: Catalog {
                class: class.number(),
                since: i64::MAX,
                until: i64::MIN,
                understood_by: understand.map_or(0, Understand::version),
                ..Catalog::default()
            },
        };
        let mut header = FILE_MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&class.number().to_le_bytes());
        writer.append(&header)?;
        Ok(writer)
    }

    /// Adds the next commit's item. Where its class advanced its step must be whole: an item that was
    /// read from a segment goes through [`relink`] first.
    pub(super) fn push(&mut self, item: Item) -> Result<(), Error> {
        debug_assert!(item.step.is_some() || item.check.is_none(), "an item without its link");
        let catalog = &mut self.catalog;
        if catalog.first_commit == 0 {
            catalog.first_commit = item.commit;
        }
        catalog.last_commit = item.commit;
        catalog.entries += entries(&item);
        for agent in item.groups.iter().filter_map(|group| Some(&group.sender.as_ref()?.agent)) {
            if let Err(at) = catalog.agents.binary_search(agent) {
                catalog.agents.insert(at, agent.clone());
            }
        }
        self.pending_bytes += size(&item);
        self.pending.push(item);
        let full = self.pending_bytes >= STRIPE_BYTES || self.pending.len() >= STRIPE_ITEMS;
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let items = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if items.is_empty() {
            return Ok(());
        }
        let (class, names) = (self.class, &mut self.names);
        let packed = stripe::pack(&items, class, self.understand, self.level, names, self.offset);
        drop(items);
        let (bytes, chunk) = packed.map_err(|error| failed(&self.path, &error))?;
        let catalog = &mut self.catalog;
        catalog.since = catalog.since.min(chunk.since);
        catalog.until = catalog.until.max(chunk.until);
        if !chunk.link.is_empty() {
            if catalog.link.is_empty() {
                catalog.previous = chunk.previous.clone();
            }
            (catalog.link, catalog.link_commit) = (chunk.link.clone(), chunk.link_commit);
        }
        catalog.chunks.push(chunk);
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.disk
            .write_at(&self.file, bytes, self.offset)
            .map_err(|error| failed(&self.path, &error))?;
        self.digest.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Ends the segment, durably but for its directory, and says how the manifest will name it.
    pub(super) fn finish(mut self) -> Result<Segment, Error> {
        self.flush()?;
        let before = self.digest.clone().finish();
        self.catalog.digest = Bytes::copy_from_slice(before.as_ref());
        (self.catalog.streams, self.catalog.datasets) = std::mem::take(&mut self.names).lists();
        let catalog = std::mem::take(&mut self.catalog);
        let mut end = zstd::bulk::compress(&catalog.encode_to_vec(), self.level.zstd)
            .map_err(|error| failed(&self.path, &error))?;
        let len = u32::try_from(end.len())
            .map_err(|_| failed(&self.path, &io::Error::other("a catalog beyond 4 GiB")))?;
        let crc = crc32fast::hash(&end);
        end.extend_from_slice(&len.to_le_bytes());
        end.extend_from_slice(&crc.to_le_bytes());
        end.extend_from_slice(END_MAGIC);
        self.append(&end)?;
        self.disk.sync(&self.file).map_err(|error| failed(&self.path, &error))?;
        let file = name(self.class, catalog.first_commit, catalog.last_commit);
        let path = self.path.with_file_name(&file);
        fs::rename(&self.path, &path).map_err(|error| failed(&path, &error))?;
        Ok(Segment {
            bytes: self.offset,
            digest: Bytes::copy_from_slice(self.digest.finish().as_ref()),
            ..described(file, &catalog)
        })
    }
}

/// About how many bytes an item is in memory and on the wire.
fn size(item: &Item) -> usize {
    let blocks = item.groups.iter().filter_map(|group| group.block.as_ref());
    let entries = item.entries.iter().map(Message::encoded_len);
    let puts = item.puts.iter().map(Message::encoded_len);
    let hits = item.hits.iter().map(Bytes::len);
    blocks.map(Message::encoded_len).chain(entries).chain(puts).chain(hits).sum()
}

/// Computes the links of items that were read from a segment, from the one before the first on, and
/// gives each its step. An error names the first commit whose records do not give its link.
pub(super) fn relink(class: Class, previous: &mut Link, items: &mut [Item]) -> Result<(), u64> {
    for item in items {
        let link = link_of(class, previous, item);
        match (link, item.check) {
            (Some(link), Some(check)) if link[..4] == check => {
                item.step = Some(Step {
                    class: class.number(),
                    previous: Bytes::copy_from_slice(previous),
                    link: Bytes::copy_from_slice(&link),
                });
                *previous = link;
            }
            (None, None) => {}
            _ => return Err(item.commit),
        }
    }
    Ok(())
}

/// The link an item's records give; None when it has none that are chained.
pub(super) fn link_of(class: Class, previous: &Link, item: &Item) -> Option<Link> {
    if item.groups.is_empty() && item.entries.is_empty() && item.puts.is_empty() {
        return None;
    }
    let mut linker = Linker::new(class, previous, item.commit);
    for group in &item.groups {
        let (Some(sender), Some(block)) = (&group.sender, &group.block) else { continue };
        let prefix = chain::prefix(sender);
        for record in &block.records {
            linker.record(&prefix, chain::origin_of(block, record), record);
        }
    }
    item.entries.iter().for_each(|entry| linker.entry(entry));
    item.puts.iter().for_each(|put| linker.change(put));
    Some(linker.finish())
}

/// What the manifest says of a segment with this catalog, but its length and digest.
fn described(file: String, catalog: &Catalog) -> Segment {
    Segment {
        file,
        class: catalog.class,
        first_commit: catalog.first_commit,
        last_commit: catalog.last_commit,
        since: catalog.since,
        until: catalog.until,
        agents: catalog.agents.clone(),
        previous: catalog.previous.clone(),
        link: catalog.link.clone(),
        link_commit: catalog.link_commit,
        entries: catalog.entries,
        bytes: 0,
        digest: Bytes::new(),
        sites: Vec::new(),
    }
}

/// Describes a segment that is on disk, when all of it is well: for a manifest that was lost.
pub(super) fn describe(path: &Path) -> io::Result<Segment> {
    let reader = Reader::open(path)?;
    let catalog = reader.catalog.ok_or_else(|| io::Error::other("a damaged catalog"))?;
    let bytes = fs::read(path)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Segment {
        bytes: bytes.len() as u64,
        digest: Bytes::copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref()),
        ..described(file, &catalog)
    })
}

/// A segment open for reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) file: File,
    /// Number of the class in its header; None when the header does not read.
    pub(super) class: Option<u32>,
    /// None when it is damaged.
    pub(super) catalog: Option<Catalog>,
    /// Ascending. Without a catalog: found by walking.
    pub(super) chunks: Vec<Chunk>,
    /// Bytes that belong to no stripe, when there is no catalog.
    pub(super) stray: Vec<(u64, u64)>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> io::Result<Reader> {
        Reader::of(File::open(path)?)
    }

    /// Reads a file that is open already, which may have been unlinked since.
    pub(super) fn of(file: File) -> io::Result<Reader> {
        let mut header = [0u8; FILE_HEADER];
        let whole = file.read_exact_at(&mut header, 0).is_ok();
        let known = whole && &header[..8] == FILE_MAGIC && header[8..12] == VERSION.to_le_bytes();
        let class =
            known.then(|| u32::from_le_bytes([header[12], header[13], header[14], header[15]]));
        let catalog = catalog(&file);
        let mut reader = Reader { file, class, catalog, chunks: Vec::new(), stray: Vec::new() };
        match &mut reader.catalog {
            Some(catalog) => reader.chunks = std::mem::take(&mut catalog.chunks),
            None => reader.walk()?,
        }
        Ok(reader)
    }

    /// Reads the items of a stripe, all of them well or none.
    pub(super) fn read(&self, chunk: &Chunk) -> io::Result<Vec<Item>> {
        let (items, damage) = stripe::read(&self.file, chunk)?;
        match damage.into_iter().next() {
            Some(text) => Err(io::Error::other(text)),
            None => Ok(items),
        }
    }

    /// The items of a stripe as far as they read, and what is wrong with the rest.
    pub(super) fn read_damaged(&self, chunk: &Chunk) -> io::Result<(Vec<Item>, Vec<String>)> {
        stripe::read(&self.file, chunk)
    }

    /// Finds stripes without the catalog.
    fn walk(&mut self) -> io::Result<()> {
        let len = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0u8; len];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut at = FILE_HEADER.min(bytes.len());
        let mut stray = at;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((kind, len)) = part::check(rest) else {
                match rest.get(1..).and_then(part::find) {
                    Some(found) => at += 1 + found,
                    None => break,
                }
                continue;
            };
            let part = Part { kind: kind.number(), offset: at as u64, len: len as u64 };
            at += len;
            if kind != part::Kind::Structure {
                continue;
            }
            let structure = part::read(&self.file, part.offset, part.len, kind)?;
            if let Some(chunk) = stripe::chunk_of(&structure, part, at as u64) {
                if (stray as u64) < chunk.offset {
                    self.stray.push((stray as u64, chunk.offset));
                }
                self.chunks.push(chunk);
                stray = at;
            }
        }
        if stray < bytes.len() {
            self.stray.push((stray as u64, bytes.len() as u64));
        }
        Ok(())
    }
}

fn catalog(file: &File) -> Option<Catalog> {
    let len = file.metadata().ok()?.len();
    let at = len.checked_sub(TRAILER as u64)?;
    let mut trailer = [0u8; TRAILER];
    file.read_exact_at(&mut trailer, at).ok()?;
    if &trailer[8..] != END_MAGIC {
        return None;
    }
    let size = u64::from(u32::from_le_bytes(trailer[..4].try_into().ok()?));
    let begin = at.checked_sub(size)?;
    let mut bytes = vec![0u8; usize::try_from(size).ok().filter(|size| *size <= MAX_CATALOG)?];
    file.read_exact_at(&mut bytes, begin).ok()?;
    if crc32fast::hash(&bytes).to_le_bytes() != trailer[4..8] {
        return None;
    }
    let len = zstd::bulk::Decompressor::upper_bound(&bytes).filter(|len| *len <= MAX_CATALOG)?;
    Catalog::decode(&zstd::bulk::decompress(&bytes, len).ok()?[..]).ok()
}

/// Removes what an earlier seal left under a temporary name.
pub(super) fn sweep_temporary(dir: &Path) -> Result<(), Error> {
    Class::ALL
        .into_iter()
        .try_for_each(|class| disk::remove(&dir.join(format!("{}.tmp", class.as_str()))))
}

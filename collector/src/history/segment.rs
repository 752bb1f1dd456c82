//! Sealed segments: what one class has of a run of commits, in one file that never changes.
//!
//! ```text
//! file    "HENGWSEG" | version u32 | class u32 | chunks | catalog | its length u32 | its CRC32 u32 | "HENGWEND"
//! chunk   "HWCK" | compressed length u32 | length u32 | CRC32 u32 | zstd of stored::Items
//! ```
//!
//! Little-endian; a chunk's CRC is over both lengths and the compressed bytes. Items are whole
//! commits of the class in ascending order, with the chain's link before and after each, so that a
//! segment can be verified by itself. The catalog (`stored::Catalog`) says where each chunk is and
//! which commits and times it has; when it is damaged the chunks are found by walking them.
//!
//! Column layout is not done here: this is the plain form.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Record};
use prost::Message;

use super::chain::{self, Class};
use super::disk::{self, Disk, failed};
use super::stored::{Catalog, Chunk, Commit, Group, Item, Items, Segment, Step};
use super::{Error, MAX_DRAFT_RAW};

const FILE_MAGIC: &[u8; 8] = b"HENGWSEG";
const END_MAGIC: &[u8; 8] = b"HENGWEND";
const VERSION: u32 = 1;
const FILE_HEADER: usize = 16;
const TRAILER: usize = 16;
const CHUNK_MAGIC: &[u8; 4] = b"HWCK";
const CHUNK_HEADER: usize = 16;
/// Items are gathered up to this many bytes before they are compressed.
const CHUNK_BYTES: usize = 1 << 20;
/// What a chunk may claim to unpack to: one draft at most, and its envelope.
const MAX_CHUNK: usize = MAX_DRAFT_RAW as usize * 2 + CHUNK_BYTES;
/// zstd level for sealing.
const LEVEL: i32 = 3;

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
    path: PathBuf,
    file: File,
    offset: u64,
    digest: digest::Context,
    pending: Items,
    pending_bytes: usize,
    catalog: Catalog,
}

impl<'a> Writer<'a> {
    /// Begins a segment under a temporary name; what a crash leaves of it is swept at open.
    pub(super) fn create(
        disk: &'a dyn Disk,
        dir: &Path,
        class: Class,
    ) -> Result<Writer<'a>, Error> {
        let path = dir.join(format!("{}.tmp", class.as_str()));
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        let mut writer = Writer {
            disk,
            path,
            file,
            offset: 0,
            digest: digest::Context::new(&digest::SHA256),
            pending: Items::default(),
            pending_bytes: 0,
            catalog: Catalog {
                class: class.number(),
                since: i64::MAX,
                until: i64::MIN,
                ..Catalog::default()
            },
        };
        let mut header = FILE_MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&class.number().to_le_bytes());
        writer.append(&header)?;
        Ok(writer)
    }

    /// Adds the next commit's item.
    pub(super) fn push(&mut self, item: Item) -> Result<(), Error> {
        let catalog = &mut self.catalog;
        if catalog.first_commit == 0 {
            catalog.first_commit = item.commit;
        }
        catalog.last_commit = item.commit;
        catalog.entries += entries(&item);
        if let Some(Step { previous, link, .. }) = &item.step {
            if catalog.link.is_empty() {
                catalog.previous = previous.clone();
            }
            catalog.link = link.clone();
            catalog.link_commit = item.commit;
        }
        for agent in item.groups.iter().filter_map(|group| Some(&group.sender.as_ref()?.agent)) {
            if let Err(at) = catalog.agents.binary_search(agent) {
                catalog.agents.insert(at, agent.clone());
            }
        }
        self.pending_bytes += item.encoded_len();
        self.pending.items.push(item);
        if self.pending_bytes >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let items = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let (Some(first), Some(last)) = (items.items.first(), items.items.last()) else {
            return Ok(());
        };
        let mut chunk = Chunk {
            offset: self.offset,
            first_commit: first.commit,
            last_commit: last.commit,
            since: i64::MAX,
            until: i64::MIN,
            ..Chunk::default()
        };
        for (since, until) in items.items.iter().map(span) {
            chunk.since = chunk.since.min(since);
            chunk.until = chunk.until.max(until);
        }
        self.catalog.since = self.catalog.since.min(chunk.since);
        self.catalog.until = self.catalog.until.max(chunk.until);
        let raw = items.encode_to_vec();
        let packed =
            zstd::bulk::compress(&raw, LEVEL).map_err(|error| failed(&self.path, &error))?;
        let too_long = |_| failed(&self.path, &io::Error::other("a chunk beyond 4 GiB"));
        chunk.len = u32::try_from(packed.len()).map_err(too_long)?;
        let raw_len = u32::try_from(raw.len()).map_err(too_long)?;
        let mut header = CHUNK_MAGIC.to_vec();
        header.extend_from_slice(&chunk.len.to_le_bytes());
        header.extend_from_slice(&raw_len.to_le_bytes());
        header.extend_from_slice(&chunk_crc(&header[4..12], &packed).to_le_bytes());
        self.append(&header)?;
        self.append(&packed)?;
        self.catalog.chunks.push(chunk);
        Ok(())
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
        let catalog = std::mem::take(&mut self.catalog);
        let mut end = catalog.encode_to_vec();
        let len = u32::try_from(end.len())
            .map_err(|_| failed(&self.path, &io::Error::other("a catalog beyond 4 GiB")))?;
        let crc = crc32fast::hash(&end);
        end.extend_from_slice(&len.to_le_bytes());
        end.extend_from_slice(&crc.to_le_bytes());
        end.extend_from_slice(END_MAGIC);
        self.append(&end)?;
        self.disk.sync(&self.file).map_err(|error| failed(&self.path, &error))?;
        let class = Class::from_number(catalog.class).expect("set when the writer was made");
        let file = name(class, catalog.first_commit, catalog.last_commit);
        let path = self.path.with_file_name(&file);
        fs::rename(&self.path, &path).map_err(|error| failed(&path, &error))?;
        Ok(Segment {
            bytes: self.offset,
            digest: Bytes::copy_from_slice(self.digest.finish().as_ref()),
            ..described(file, &catalog)
        })
    }
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

fn chunk_crc(lengths: &[u8], packed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(lengths);
    hasher.update(packed);
    hasher.finalize()
}

/// A segment open for reading.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// Number of the class in its header; None when the header does not read.
    pub(super) class: Option<u32>,
    /// None when it is damaged.
    pub(super) catalog: Option<Catalog>,
    /// Ascending. Without a catalog: found by walking, with unknown times.
    pub(super) chunks: Vec<Chunk>,
    /// Bytes between chunks that are none.
    pub(super) stray: Vec<(u64, u64)>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> io::Result<Reader> {
        let file = File::open(path)?;
        let mut header = [0u8; FILE_HEADER];
        let whole = file.read_exact_at(&mut header, 0).is_ok();
        let known = whole && &header[..8] == FILE_MAGIC && header[8..12] == VERSION.to_le_bytes();
        let class =
            known.then(|| u32::from_le_bytes([header[12], header[13], header[14], header[15]]));
        let catalog = catalog(&file);
        let mut reader = Reader { file, class, catalog, chunks: Vec::new(), stray: Vec::new() };
        match &reader.catalog {
            Some(catalog) => reader.chunks = catalog.chunks.clone(),
            None => reader.walk(path)?,
        }
        Ok(reader)
    }

    /// Reads the items of a chunk.
    pub(super) fn read(&self, chunk: &Chunk) -> io::Result<Vec<Item>> {
        let mut bytes = vec![0u8; CHUNK_HEADER + chunk.len as usize];
        self.file.read_exact_at(&mut bytes, chunk.offset)?;
        let (_, raw_len) =
            chunk_at(&bytes, 0).ok_or_else(|| io::Error::other("a damaged chunk"))?;
        items(&bytes[CHUNK_HEADER..], raw_len)
    }

    /// The items of a chunk whose CRC is no good, as far as they still unpack: to name the first
    /// commit that differs.
    pub(super) fn read_damaged(&self, chunk: &Chunk) -> io::Result<Vec<Item>> {
        let mut bytes = vec![0u8; CHUNK_HEADER + chunk.len as usize];
        self.file.read_exact_at(&mut bytes, chunk.offset)?;
        let raw_len = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
        items(&bytes[CHUNK_HEADER..], raw_len)
    }

    /// Finds chunks without the catalog.
    fn walk(&mut self, path: &Path) -> io::Result<()> {
        let bytes = fs::read(path)?;
        let mut offset = FILE_HEADER;
        let mut stray = offset;
        while offset + CHUNK_HEADER <= bytes.len() {
            if let Some((len, _)) = chunk_at(&bytes, offset) {
                if stray < offset {
                    self.stray.push((stray as u64, offset as u64));
                }
                let mut chunk = Chunk {
                    offset: offset as u64,
                    len: u32::try_from(len).unwrap_or(u32::MAX),
                    since: i64::MIN,
                    until: i64::MAX,
                    ..Chunk::default()
                };
                if let Ok(items) = self.read(&chunk)
                    && let (Some(first), Some(last)) = (items.first(), items.last())
                {
                    (chunk.first_commit, chunk.last_commit) = (first.commit, last.commit);
                }
                self.chunks.push(chunk);
                offset += CHUNK_HEADER + len;
                stray = offset;
            } else {
                let rest = &bytes[offset + 1..];
                let Some(found) = rest.windows(4).position(|four| four == CHUNK_MAGIC) else {
                    break;
                };
                offset += 1 + found;
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
    let size = u32::from_le_bytes(trailer[..4].try_into().ok()?);
    let mut bytes = vec![0u8; usize::try_from(u64::from(size).min(at)).ok()?];
    file.read_exact_at(&mut bytes, at.checked_sub(u64::from(size))?).ok()?;
    if crc32fast::hash(&bytes).to_le_bytes() != trailer[4..8] {
        return None;
    }
    Catalog::decode(&bytes[..]).ok()
}

/// Compressed and unpacked length of the chunk at `offset`, when it is a whole and good one.
fn chunk_at(bytes: &[u8], offset: usize) -> Option<(usize, usize)> {
    let header = bytes.get(offset..offset + CHUNK_HEADER)?;
    let word = |at: usize| {
        u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes of a header")) as usize
    };
    let (len, raw_len) = (word(4), word(8));
    let start = offset + CHUNK_HEADER;
    let packed = bytes.get(start..start.checked_add(len)?)?;
    let good = &header[..4] == CHUNK_MAGIC
        && raw_len <= MAX_CHUNK
        && chunk_crc(&header[4..12], packed) as usize == word(12);
    good.then_some((len, raw_len))
}

fn items(packed: &[u8], raw_len: usize) -> io::Result<Vec<Item>> {
    if raw_len > MAX_CHUNK {
        return Err(io::Error::other("a chunk that claims too much"));
    }
    let raw = hengwei_protocol::block::decompress(packed, raw_len).map_err(io::Error::other)?;
    Ok(Items::decode(raw).map_err(io::Error::other)?.items)
}

/// Removes what an earlier seal left under a temporary name.
pub(super) fn sweep_temporary(dir: &Path) -> Result<(), Error> {
    Class::ALL
        .into_iter()
        .try_for_each(|class| disk::remove(&dir.join(format!("{}.tmp", class.as_str()))))
}

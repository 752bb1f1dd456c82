//! The log: files that commits are appended to, one frame each, before anybody is told.
//!
//! ```text
//! file   header, the same header again (one flipped bit must not cost the file), frames
//! header "HENGWLOG" | version u32 | first commit it may hold u64 | salt 16 bytes | CRC32 u32
//! frame  "HWFR" | kind u32 | payload length u32 | commit number u64 | CRC32 u32 | payload
//! ```
//!
//! Little-endian. Kind 1 is a commit (`stored::Commit`), kind 2 signed heads of commits up to its
//! number (`wire::Heads`). The CRC is over salt, kind, length, number and payload; with the salt,
//! which no agent knows, bytes that an agent put inside its block can never pass for a frame when
//! the reader looks for the next one behind damage.
//!
//! **What a crash leaves.** A frame that was being written: at open the file is cut there, but only
//! when nothing valid follows in it; that frame was never acknowledged. **What damage leaves.** A
//! frame that does not read while valid ones follow (or later files exist): it is skipped, its bytes
//! are kept in `damaged/`, and everything else is used. Nobody deletes a log file but the sealer,
//! after the manifest says that its commits are in segments.
//!
//! This file knows nothing of the chain, the index or segments.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use aws_lc_rs::rand;
use bytes::Bytes;
use prost::Message;

use super::chain::{self, Class};
use super::disk::{self, Disk};
use super::stored::Commit;
use super::{Error, disk::failed};

const FILE_MAGIC: &[u8; 8] = b"HENGWLOG";
const VERSION: u32 = 1;
const HEADER_COPY: usize = 40;
pub(super) const FILE_HEADER: usize = 2 * HEADER_COPY;
const FRAME_MAGIC: &[u8; 4] = b"HWFR";
const FRAME_HEADER: usize = 24;

/// The longest payload of a frame: far above any draft, far below what a length could claim.
pub(super) const MAX_PAYLOAD: usize = 1 << 30;
/// How often the same frame is tried again after an error that is not "full".
const WRITE_ATTEMPTS: usize = 3;

/// The last file while it is written anew.
const FRESH: &str = "fresh.tmp";
/// How much of a file is written over itself at a time.
const REWRITE_BYTES: usize = 4 << 20;

/// A frame that holds a commit.
pub(super) const COMMIT: u32 = 1;
/// A frame that holds signed heads.
pub(super) const HEADS: u32 = 2;

/// Where a commit lies, and enough about it to pass it over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Earliest and latest `ingested` of its records.
    pub(super) since: i64,
    pub(super) until: i64,
    /// One bit per class that may have something in it.
    classes: u8,
    /// Records, or decisions.
    pub(super) entries: [u32; 5],
}

impl Frame {
    pub(super) fn new(number: u64, offset: u64, len: u32, commit: &Commit) -> Frame {
        let mut frame = Frame {
            number,
            offset,
            len,
            since: i64::MAX,
            until: i64::MIN,
            classes: 0,
            entries: [0; 5],
        };
        for batch in &commit.batches {
            let Some(sender) = &batch.sender else { continue };
            let class = Class::from(chain::kind_of(sender));
            let raised = if class == Class::Security { 0 } else { count(batch.raised.len()) };
            frame.since = frame.since.min(sender.ingested);
            frame.until = frame.until.max(sender.ingested);
            frame.classes |= 1 << class.index();
            frame.entries[class.index()] += batch.records.saturating_sub(raised);
            if raised > 0 {
                frame.classes |= 1 << Class::Security.index();
                frame.entries[Class::Security.index()] += raised;
            }
        }
        if !(commit.entries.is_empty() && commit.puts.is_empty()) {
            frame.classes |= 1 << Class::Record.index();
            frame.entries[Class::Record.index()] += count(commit.entries.len() + commit.puts.len());
        }
        frame
    }

    pub(super) fn has(&self, class: Class) -> bool {
        self.classes & (1 << class.index()) != 0
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A frame as found in bytes.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) kind: u32,
    pub(super) number: u64,
    pub(super) offset: usize,
    pub(super) payload: Bytes,
}

/// Bytes that are no frame, while others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// What the bytes of a log file hold.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) base: u64,
    pub(super) salt: [u8; 16],
    pub(super) frames: Vec<Raw>,
    pub(super) damage: Vec<Damage>,
    /// Where the last valid frame ends; what is behind it is a torn tail.
    pub(super) end: usize,
}

/// Reads all frames. None when the file's own header is no good.
pub(super) fn scan(bytes: &Bytes) -> Option<Scan> {
    let (base, salt) = file_header(bytes)?;
    let mut scan = Scan { base, salt, end: FILE_HEADER, ..Scan::default() };
    let mut offset = FILE_HEADER;
    while offset < bytes.len() {
        match frame_at(bytes, offset, &salt).or_else(|| next_frame(bytes, offset + 1, &salt)) {
            None => break,
            Some(raw) => {
                if raw.offset > offset {
                    scan.damage.push(Damage { offset, len: raw.offset - offset });
                }
                offset = raw.offset + FRAME_HEADER + raw.payload.len();
                scan.frames.push(raw);
            }
        }
        scan.end = offset;
    }
    Some(scan)
}

/// Whether both copies of a file's header are as they were written.
pub(super) fn header_copies_agree(bytes: &[u8]) -> bool {
    bytes.get(..HEADER_COPY).is_some_and(|one| bytes.get(HEADER_COPY..FILE_HEADER) == Some(one))
}

fn file_header(bytes: &[u8]) -> Option<(u64, [u8; 16])> {
    let copies = bytes.get(..FILE_HEADER)?.chunks(HEADER_COPY);
    copies.into_iter().find_map(|header| {
        let crc = crc32fast::hash(&header[..HEADER_COPY - 4]);
        let good = &header[..8] == FILE_MAGIC
            && u32_at(header, 8) == VERSION
            && u32_at(header, HEADER_COPY - 4) == crc;
        good.then(|| (u64_at(header, 12), header[20..36].try_into().expect("16 bytes")))
    })
}

fn frame_at(bytes: &Bytes, offset: usize, salt: &[u8; 16]) -> Option<Raw> {
    let header = bytes.get(offset..offset.checked_add(FRAME_HEADER)?)?;
    let len = u32_at(header, 8) as usize;
    if &header[..4] != FRAME_MAGIC || len > MAX_PAYLOAD {
        return None;
    }
    let start = offset + FRAME_HEADER;
    let payload = bytes.get(start..start.checked_add(len)?)?;
    (u32_at(header, 20) == crc(salt, &header[4..20], payload)).then(|| Raw {
        kind: u32_at(header, 4),
        number: u64_at(header, 12),
        offset,
        payload: bytes.slice(start..start + len),
    })
}

fn next_frame(bytes: &Bytes, from: usize, salt: &[u8; 16]) -> Option<Raw> {
    let mut at = from;
    while let Some(found) = bytes.get(at..)?.windows(4).position(|four| four == FRAME_MAGIC) {
        if let Some(raw) = frame_at(bytes, at + found, salt) {
            return Some(raw);
        }
        at += found + 1;
    }
    None
}

/// The number a frame at `offset` claims, damaged or not: to name what is missing.
pub(super) fn claimed_number(bytes: &[u8], offset: usize) -> Option<u64> {
    let header = bytes.get(offset..offset + FRAME_HEADER)?;
    (&header[..4] == FRAME_MAGIC).then(|| u64_at(header, 12))
}

/// Whether bytes that are no valid frame begin like one and are as long as it says: what is wrong
/// with it is then not that it was cut short.
pub(super) fn claims_whole(bytes: &[u8]) -> bool {
    claimed_number(bytes, 0).is_some()
        && bytes.len() >= FRAME_HEADER.saturating_add(u32_at(bytes, 8) as usize)
}

fn crc(salt: &[u8; 16], head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// One file of the log. Its commits can be read while it grows, and after it was unlinked for as
/// long as somebody holds it.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) base: u64,
    file: File,
    salt: [u8; 16],
    frames: RwLock<Vec<Frame>>,
    /// By class: the earliest `ingested` of each site.
    sites: RwLock<BTreeMap<Class, BTreeMap<String, i64>>>,
}

impl LogFile {
    /// Begins a file whose first commit will be `base`. It is durable when this returns; after
    /// [`Error::Poisoned`] nobody knows.
    pub(super) fn create(dir: &Path, base: u64, disk: &dyn Disk) -> Result<LogFile, Error> {
        let path = dir.join(name(base));
        let mut salt = [0u8; 16];
        rand::fill(&mut salt)
            .map_err(|_| Error::Unusable("the system gives no random bytes".to_owned()))?;
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend_from_slice(FILE_MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&base.to_le_bytes());
        header.extend_from_slice(&salt);
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        header.extend_from_within(..);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| failed(&path, &error))?;
        if let Err(error) = disk.write_at(&file, &header, 0) {
            disk::remove(&path)?;
            return Err(failed(&path, &error));
        }
        // Whether the file is there after a power cut is not known when either sync fails. Commits in
        // the file before would then overlap with what this one's name says it holds.
        disk.sync(&file)
            .and_then(|()| disk.sync_dir(dir))
            .map_err(|error| Error::Poisoned(format!("{}: {error}", path.display())))?;
        Ok(LogFile { path, base, file, salt, frames: RwLock::default(), sites: RwLock::default() })
    }

    /// Opens a file and reads what it holds.
    pub(super) fn open(path: &Path) -> Result<Opened, Error> {
        let bytes: Bytes = fs::read(path).map_err(|error| failed(path, &error))?.into();
        let Some(scan) = scan(&bytes) else { return Ok(Opened::NoHeader(bytes)) };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| failed(path, &error))?;
        let file = LogFile {
            path: path.to_owned(),
            base: scan.base,
            file,
            salt: scan.salt,
            frames: RwLock::default(),
            sites: RwLock::default(),
        };
        Ok(Opened::File(Box::new(file), scan, bytes))
    }

    /// Takes note of a commit that is in the file.
    pub(super) fn note(&self, frame: Frame, commit: &Commit) {
        self.frames.write().unwrap_or_else(PoisonError::into_inner).push(frame);
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        for batch in &commit.batches {
            let Some(sender) = &batch.sender else { continue };
            let raised = (!batch.raised.is_empty()).then_some(Class::Security);
            for class in raised.into_iter().chain([Class::from(chain::kind_of(sender))]) {
                let sites = sites.entry(class).or_default();
                match sites.get_mut(&sender.site) {
                    Some(oldest) => *oldest = sender.ingested.min(*oldest),
                    None => drop(sites.insert(sender.site.clone(), sender.ingested)),
                }
            }
        }
    }

    /// Sites with records of a class in the file, and the earliest `ingested` of each.
    pub(super) fn sites(&self, class: Class) -> BTreeMap<String, i64> {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.get(&class).cloned().unwrap_or_default()
    }

    /// The commits in the file, oldest first.
    pub(super) fn frames(&self) -> Vec<Frame> {
        self.frames.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cuts the file.
    pub(super) fn cut(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|error| failed(&self.path, &error))
    }

    /// Writes what was read from the file anew, and makes it durable: see [`super::open`]. A file system
    /// that has no room for a second copy gets it over the first, and one that needs room even for that
    /// does not keep history from opening: all the same, a sync must succeed.
    pub(super) fn rewrite(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), Error> {
        let fresh = self.path.with_file_name(FRESH);
        match self.renew(disk, bytes, &fresh) {
            Err(error) if disk::is_full(&error) => {
                disk::remove(&fresh)?;
                self.overwrite(disk, bytes)
            }
            renewed => renewed.map_err(|error| failed(&self.path, &error)),
        }
    }

    /// Puts a new file with these bytes in the place of this one.
    fn renew(&mut self, disk: &dyn Disk, bytes: &[u8], fresh: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(fresh)?;
        disk.write_at(&file, bytes, 0)?;
        disk.sync(&file)?;
        fs::rename(fresh, &self.path)?;
        disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        self.file = file;
        Ok(())
    }

    fn overwrite(&self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), Error> {
        let mut offset = 0;
        for piece in bytes.chunks(REWRITE_BYTES) {
            match disk.write_at(&self.file, piece, offset) {
                Err(error) if disk::is_full(&error) => break,
                written => written.map_err(|error| failed(&self.path, &error))?,
            }
            offset += piece.len() as u64;
        }
        disk.sync(&self.file).map_err(|error| failed(&self.path, &error))
    }

    /// Makes the file as it is durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| failed(&self.path, &error))
    }

    /// The bytes of a frame as they are, as far as they read at all.
    pub(super) fn raw(&self, frame: &Frame) -> Vec<u8> {
        let mut bytes = vec![0u8; FRAME_HEADER + frame.len as usize];
        let read = self.file.read_exact_at(&mut bytes, frame.offset);
        if read.is_ok() { bytes } else { Vec::new() }
    }

    /// Reads a commit back, checking it again.
    pub(super) fn read(&self, frame: &Frame) -> io::Result<Commit> {
        let mut bytes = vec![0u8; FRAME_HEADER + frame.len as usize];
        self.file.read_exact_at(&mut bytes, frame.offset)?;
        let raw = frame_at(&bytes.into(), 0, &self.salt)
            .filter(|raw| raw.number == frame.number && raw.kind == COMMIT)
            .ok_or_else(|| io::Error::other("a damaged frame"))?;
        Commit::decode(raw.payload).map_err(io::Error::other)
    }
}

/// What opening a log file gave.
pub(super) enum Opened {
    /// A file, what is in it, and its bytes.
    File(Box<LogFile>, Scan, Bytes),
    /// The file's header does not read.
    NoHeader(Bytes),
}

/// The name of the file that begins at `base`.
pub(super) fn name(base: u64) -> String {
    format!("{base:020}.log")
}

/// Log files below `dir`, oldest first, with the commit each begins at.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "log")
            && let Some(base) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok())
        {
            files.push((base, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Why a frame is not in the file. In all cases but `Poisoned` the file is as it was before.
#[derive(Debug)]
pub(super) enum Refused {
    Full(io::Error),
    Failed(io::Error),
    Poisoned(io::Error),
}

/// The end of the log, where frames are appended.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<LogFile>,
    pub(super) len: u64,
    pub(super) begun: Instant,
    /// The frame being written; kept to spare its memory being taken anew for each.
    frame: Vec<u8>,
}

impl Tail {
    pub(super) fn new(file: Arc<LogFile>, len: u64) -> Tail {
        Tail { file, len, begun: Instant::now(), frame: Vec::new() }
    }

    pub(super) fn of_new(file: Arc<LogFile>) -> Tail {
        Tail::new(file, FILE_HEADER as u64)
    }

    /// Encodes the next frame. Says where it will lie and how long its payload is.
    pub(super) fn encode(
        &mut self,
        kind: u32,
        number: u64,
        message: &impl Message,
    ) -> Result<(u64, u32), Error> {
        let len = message.encoded_len();
        if len > MAX_PAYLOAD {
            return Err(Error::Unusable(format!(
                "a commit of {len} bytes, where {MAX_PAYLOAD} are the most"
            )));
        }
        let short = u32::try_from(len).expect("bounded just above");
        self.frame.clear();
        self.frame.reserve(FRAME_HEADER + len);
        self.frame.extend_from_slice(FRAME_MAGIC);
        self.frame.extend_from_slice(&kind.to_le_bytes());
        self.frame.extend_from_slice(&short.to_le_bytes());
        self.frame.extend_from_slice(&number.to_le_bytes());
        self.frame.extend_from_slice(&[0; 4]);
        message.encode(&mut self.frame).expect("a Vec takes what it is given");
        let (head, payload) = self.frame.split_at(FRAME_HEADER);
        let crc = crc(&self.file.salt, &head[4..20], payload);
        self.frame[20..FRAME_HEADER].copy_from_slice(&crc.to_le_bytes());
        Ok((self.len, short))
    }

    /// Bytes of the encoded frame.
    pub(super) fn frame_len(&self) -> u64 {
        self.frame.len() as u64
    }

    /// Appends the encoded frame, or leaves the file as it was.
    pub(super) fn append(&mut self, disk: &dyn Disk) -> Result<(), Refused> {
        let mut attempt = 1;
        loop {
            let Err(error) = disk.write_at(&self.file.file, &self.frame, self.len) else {
                self.len += self.frame.len() as u64;
                return Ok(());
            };
            if let Err(error) = self.file.file.set_len(self.len) {
                return Err(Refused::Poisoned(error));
            }
            if disk::is_full(&error) {
                return Err(Refused::Full(error));
            }
            if attempt == WRITE_ATTEMPTS {
                return Err(Refused::Failed(error));
            }
            attempt += 1;
        }
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.sync(&self.file.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of three commits, as bytes.
    fn three() -> (Vec<u8>, Vec<usize>) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = LogFile::create(dir.path(), 1, &disk::Real).expect("creates");
        let mut tail = Tail::of_new(Arc::new(file));
        let mut ends = Vec::new();
        for number in 1..=3 {
            let commit = Commit { time: number as i64, ..Commit::default() };
            tail.encode(COMMIT, number, &commit).expect("encodes");
            tail.append(&disk::Real).expect("appends");
            ends.push(tail.len as usize);
        }
        (fs::read(&tail.file.path).expect("reads"), ends)
    }

    fn numbers(bytes: &[u8]) -> (Vec<u64>, usize, usize) {
        let scan = scan(&Bytes::copy_from_slice(bytes)).expect("a header");
        (scan.frames.iter().map(|raw| raw.number).collect(), scan.damage.len(), scan.end)
    }

    #[test]
    fn a_torn_tail_is_told_from_damage_at_every_byte() {
        let (bytes, ends) = three();
        assert_eq!(numbers(&bytes), (vec![1, 2, 3], 0, bytes.len()));
        for cut in ends[1]..bytes.len() {
            assert_eq!(numbers(&bytes[..cut]), (vec![1, 2], 0, ends[1]), "cut at {cut}");
        }
        for at in ends[0]..ends[1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert_eq!(numbers(&flipped), (vec![1, 3], 1, bytes.len()), "flipped at {at}");
        }
    }

    #[test]
    fn a_frame_of_another_file_is_none() {
        let (bytes, ends) = three();
        let (other, other_ends) = three();
        let mixed = [&bytes[..ends[1]], &other[other_ends[1]..]].concat();
        assert_eq!(numbers(&mixed), (vec![1, 2], 0, ends[1]));
    }

    #[test]
    fn a_damaged_file_header_is_told() {
        let (mut bytes, _) = three();
        bytes[13] ^= 1;
        assert_eq!(numbers(&bytes).0, vec![1, 2, 3], "the second copy serves");
        bytes[HEADER_COPY + 13] ^= 1;
        assert!(scan(&bytes.into()).is_none());
        assert!(scan(&Bytes::from_static(b"HENG")).is_none());
    }
}

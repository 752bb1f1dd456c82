//! Opening: what the last run left on disk becomes the view, whatever happened to it.
//!
//! Every file is walked once. An intact frame is kept wherever it is. Numbers that no intact frame has
//! and that another one follows are a gap; what follows the last intact frame of the newest file is a
//! torn write and is cut. The state with the new gaps is saved before anything is cut or removed, so a
//! crash while opening finds the same again.
//!
//! What a killed agent wrote and did not sync reads well from memory, and so does what a failed sync
//! left there, which a second sync would not even try to write. Were such records shown to readers,
//! the collector could have numbers that a power cut takes from the spool. Therefore the newest file
//! of a queue is written to a new one, which takes its place, and synced before it is read; the others
//! were synced when the next one was begun. Writing it over itself does not do where there is room for
//! more: a block whose first write failed stays unwritten to ext4, whatever is written there before it
//! is mounted anew.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use prost::Message;

use super::disk::Disk;
use super::format::{self, BadHeader, HEADER, Header, Payload};
use super::read::{Found, Frames, damage};
use super::state::{self, State};
use super::view::{Positions, Queue, Segment};
use super::{Error, new_epoch};
use crate::time::now;

/// The newest file of a queue while it is written anew.
const FRESH: &str = "fresh.tmp";
/// How much of a file is written anew at a time.
const PIECE: usize = 256 << 10;

/// One file as it was found.
struct Scanned {
    segment: Segment,
    header: Option<Header>,
    /// Runs of numbers its intact frames have.
    runs: Vec<(u64, u64)>,
    frames: usize,
    /// Bytes on disk, with what is not a frame.
    on_disk: u64,
}

/// Opens one queue; the highest sequence number in it.
pub(super) fn queue(
    disk: &Disk,
    dir: &Path,
    kind: Kind,
    positions: &mut Positions,
) -> Result<(Queue, u64), Error> {
    fs::create_dir_all(dir).map_err(|error| Error::io(dir, error))?;
    let mut seq = 0;
    let mut files = Vec::new();
    let found = list(dir)?;
    if let Some((_, _, newest)) = found.last() {
        write_again(disk, newest).map_err(|error| Error::io(newest, error))?;
    }
    for (index, salt, path) in found {
        files.push(scan(index, salt, &path, kind, positions, &mut seq)?);
    }
    let (mut state, mut unsaved) = load(dir, kind, &files);
    let next = account(&mut state, &files, &mut unsaved);
    if unsaved {
        state.save(disk, dir).map_err(|error| Error::io(dir, error))?;
    }
    let segments = tidy(disk, files)?;
    let dir = dir.to_owned();
    Ok((Queue { dir, state, unsaved: false, next, segments, hint: None }, seq))
}

/// The files of a queue, oldest first.
fn list(dir: &Path) -> Result<Vec<(u64, u64, std::path::PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| Error::io(dir, error))? {
        let entry = entry.map_err(|error| Error::io(dir, error))?;
        if let Some((index, salt)) = entry.file_name().to_str().and_then(format::parse_name) {
            files.push((index, salt, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// Writes a file anew and makes it durable. A file system that has no room for a second copy gets it over
/// the first, and one that needs room even for that does not keep the spool from opening: all the same, a
/// sync must succeed.
fn write_again(disk: &Disk, path: &Path) -> std::io::Result<()> {
    let fresh = path.with_file_name(FRESH);
    match renew(disk, path, &fresh) {
        Err(error) if is_full(&error) => {
            match disk.remove(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            overwrite(disk, path)
        }
        renewed => renewed,
    }
}

/// Puts a new file with the same bytes in the place of one.
fn renew(disk: &Disk, path: &Path, fresh: &Path) -> std::io::Result<()> {
    let old = File::open(path)?;
    let mut new = disk.create(fresh)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let read = old.read_at(&mut piece, offset)?;
        if read == 0 {
            break;
        }
        disk.write(&mut new, fresh, &piece[..read])?;
        offset += read as u64;
    }
    disk.sync(&new, fresh)?;
    disk.rename(fresh, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn overwrite(disk: &Disk, path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut piece, offset)?;
        if read == 0 {
            break;
        }
        match disk.write(&mut file, path, &piece[..read]) {
            Err(error) if is_full(&error) => break,
            written => written?,
        }
        offset += read as u64;
    }
    disk.sync(&file, path)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Walks one file.
fn scan(
    index: u64,
    salt: u64,
    path: &Path,
    kind: Kind,
    positions: &mut Positions,
    seq: &mut u64,
) -> Result<Scanned, Error> {
    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let on_disk = file.metadata().map_err(io)?.len();
    let mut head = Vec::new();
    file.by_ref().take(HEADER as u64).read_to_end(&mut head).map_err(io)?;
    let header = match Header::parse(&head) {
        Ok(header) if header.kind == kind && header.index == index => Some(header),
        Err(BadHeader::Version(version)) => return Err(Error::Version(path.to_owned(), version)),
        Ok(_) | Err(BadHeader::Damaged) => None,
    };
    let first = header.as_ref().map_or(0, |header| header.first);
    let file_seq = header.as_ref().map_or(0, |header| header.seq);
    let segment = Segment::new(index, salt, path.to_owned(), first, file_seq);
    *seq = (*seq).max(file_seq);
    let mut scanned = Scanned { segment, header, runs: Vec::new(), frames: 0, on_disk };
    let mut frames = Frames::open(path, salt, HEADER as u64, on_disk).map_err(io)?;
    loop {
        match frames.next().map_err(io)? {
            Found::End => break,
            Found::Damage { offset } => {
                let least = scanned.segment.next;
                if !frames.skip_damage(file_seq, least).map_err(io)? {
                    break;
                }
                let skipped = frames.at - offset;
                tracing::error!(file = %path.display(), offset, bytes = skipped, "a damaged part of the spool is skipped");
            }
            Found::Frame { offset, frame, payload } => {
                scanned.saw(offset, &frame);
                *seq = (*seq).max(frame.seq);
                // The CRC held: what can't be decoded was written so, and holds no position.
                for position in Payload::decode(payload).unwrap_or_default().positions {
                    positions.apply(position);
                }
            }
        }
    }
    Ok(scanned)
}

impl Scanned {
    fn saw(&mut self, offset: u64, frame: &format::Frame) {
        if self.header.is_none() && self.frames == 0 {
            // Without a header the first frame says where the file begins.
            self.segment.first = frame.first;
            self.segment.next = frame.first;
        }
        self.frames += 1;
        self.segment.saw(offset, frame);
        if frame.count > 0 {
            match self.runs.last_mut() {
                Some((_, end)) if *end == frame.first => *end = frame.next(),
                _ => self.runs.push((frame.first, frame.next())),
            }
        }
    }
}

/// The state, from its file or from what the spool's files say; true when it must be saved.
fn load(dir: &Path, kind: Kind, files: &[Scanned]) -> (State, bool) {
    let path = dir.join(state::NAME);
    let bytes = fs::read(&path).ok();
    if let Some(state) = bytes.as_deref().and_then(State::from_file) {
        return (state, false);
    }
    if bytes.is_some() {
        tracing::error!(file = %path.display(), "the state of a queue is damaged; the files say it again");
    }
    let Some(oldest) = files.iter().find(|file| file.frames > 0 || file.header.is_some()) else {
        return (State::fresh(new_epoch()), true);
    };
    let mut state = State { acked: oldest.segment.first, ..State::fresh(new_epoch()) };
    match files.iter().rev().find_map(|file| file.header.as_ref()) {
        Some(header) => {
            state.epoch = bytes::Bytes::copy_from_slice(&header.epoch);
            state.start = header.start;
            state.acked = state.acked.max(header.start);
        }
        None => {
            let detail = format!("the {kind} queue lost its state and its headers");
            state.begin_epoch(new_epoch(), Cause::RolledBack, detail, now());
        }
    }
    (state, true)
}

/// Makes gaps of the numbers that are missing; the number the next record gets.
fn account(state: &mut State, files: &[Scanned], unsaved: &mut bool) -> u64 {
    let mut cursor = state.acked;
    let mut missing = Vec::new();
    for file in files {
        let begin = file.header.as_ref().map(|header| (header.first, header.first));
        for (first, next) in begin.into_iter().chain(file.runs.iter().copied()) {
            if first > cursor {
                missing.push((cursor, first, file.segment.path.display().to_string()));
            }
            cursor = cursor.max(next);
        }
    }
    for (from, until, path) in missing {
        let before = state.gaps.clone();
        fill(state, from, until, &format!("missing at {path}"));
        *unsaved |= state.gaps != before;
    }
    state.gaps.last().map_or(cursor, |gap| cursor.max(gap.next()))
}

/// Puts gaps where none is yet between `from` and `until`.
fn fill(state: &mut State, from: u64, until: u64, detail: &str) {
    let mut at = from;
    while at < until {
        if let Some(gap) = state.gap_at(at) {
            at = gap.next();
            continue;
        }
        let end = state.gap_after(at).map_or(until, |gap| gap.first.min(until));
        tracing::error!(numbers = end - at, detail, "records of the spool are lost");
        state.add_gap(damage(at, end, detail.to_owned()));
        at = end;
    }
}

/// Cuts the newest file's torn tail and removes files that hold nothing.
fn tidy(disk: &Disk, files: Vec<Scanned>) -> Result<VecDeque<Segment>, Error> {
    let newest = files.iter().rposition(|file| file.frames > 0);
    let mut segments = VecDeque::new();
    for (at, mut file) in files.into_iter().enumerate() {
        let path = file.segment.path.clone();
        let io = |error| Error::io(&path, error);
        if file.frames == 0 {
            // Not even its snapshot is intact: the crash came while it was begun, or it is lost.
            tracing::warn!(file = %path.display(), "a spool file without an intact frame is removed");
            disk.remove(&path).map_err(io)?;
            continue;
        }
        if Some(at) == newest && file.on_disk > file.segment.len {
            let torn = file.on_disk - file.segment.len;
            tracing::warn!(file = %path.display(), bytes = torn, "a torn tail is cut");
            let handle = OpenOptions::new().write(true).open(&path).map_err(io)?;
            disk.truncate(&handle, &path, file.segment.len).map_err(io)?;
            disk.sync(&handle, &path).map_err(io)?;
        } else {
            file.segment.len = file.on_disk;
        }
        segments.push_back(file.segment);
    }
    Ok(segments)
}

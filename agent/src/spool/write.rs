//! The one thread that writes: it takes what sources sent, makes frames of it, syncs, and only then
//! shows it to readers; it deletes what is acknowledged and makes room when there is none.
//!
//! A round is what waited while the last sync ran, up to [`ROUND_BYTES`]: at most one frame per queue,
//! each written behind a synced one. So a damaged frame with an intact one behind it was never a torn
//! write. A source whose chunks go to several queues has its round ended between them, as its place
//! must never be on disk before the records it has passed.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::{Origin, Record};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::disk::{Disk, Space};
use super::format::{self, Header, Payload, Position};
use super::state::Gap;
use super::view::{Health, Queue, Segment, Shared, slot};
use super::{Limits, random};
use crate::time::now;

/// What one round writes at most, a chunk that is larger by itself aside.
const ROUND_BYTES: usize = 1 << 20;
/// How often acknowledgements are saved when nothing else makes it save them.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How soon a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes written between two looks at the file system's free space.
const SPACE_STEP: u64 = 4 << 20;
/// A file that is still written to and smaller than this is dropped only when nothing else is left.
const WORTH_DROPPING: u64 = 1 << 20;

/// What the writer is asked.
pub(super) enum Message {
    Chunk(Box<Entry>),
    /// Answered once everything sent before is synced.
    Flush(oneshot::Sender<()>),
    /// Answered at once: the thread lives.
    Ping(oneshot::Sender<()>),
    /// Something was acknowledged that may free a file.
    Reap,
    BeginEpoch {
        kind: Kind,
        cause: Cause,
        detail: String,
        done: oneshot::Sender<()>,
    },
    /// Write what is there, sync, save, end.
    Close,
}

/// A chunk on its way to disk.
pub(super) struct Entry {
    pub(super) source: Arc<str>,
    pub(super) kind: Kind,
    pub(super) origin: Arc<Origin>,
    pub(super) records: Vec<Record>,
    pub(super) position: Option<(String, Bytes)>,
    /// Whether its source can wait for room.
    pub(super) waits: bool,
    pub(super) bytes: usize,
    /// Its share of what may be under way; given back when it is synced.
    pub(super) share: OwnedSemaphorePermit,
}

/// What one round puts into one queue.
struct Part {
    kind: Kind,
    payload: Payload,
    seq: u64,
    written: bool,
}

/// A round that is being written, kept until it is synced.
struct Round {
    parts: Vec<Part>,
    bytes: u64,
    shares: Vec<OwnedSemaphorePermit>,
}

/// The file of a queue that is written to.
#[derive(Default)]
struct Active {
    file: Option<File>,
    /// Whether the next write begins a new one.
    rotate: bool,
    /// Its length, with what is written and not synced.
    len: u64,
}

/// Why the writer ends.
struct Poison(String);

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Disk,
    limits: Limits,
    active: Vec<Active>,
    /// The last sequence number given out, and the last that is synced.
    seq: u64,
    synced_seq: u64,
    /// From sources that can't wait, and from those that can.
    urgent: VecDeque<Entry>,
    waiting: VecDeque<Entry>,
    stuck: Option<Round>,
    flushes: Vec<oneshot::Sender<()>>,
    used: u64,
    /// What the spool may use now.
    ceiling: u64,
    unmeasured: u64,
    measured: Option<Instant>,
    /// What the file system had then.
    space: Option<Space>,
    saved: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, disk: Disk, limits: Limits, seq: u64) -> Writer {
        let used = shared.view().queues.iter().map(Queue::bytes).sum();
        let mut active = Vec::new();
        for queue in &shared.view().queues {
            let len = queue.segments.back().map_or(0, |segment| segment.len);
            active.push(Active { len, ..Active::default() });
        }
        let ceiling = limits.max_bytes;
        Writer {
            shared,
            disk,
            limits,
            active,
            seq,
            synced_seq: seq,
            urgent: VecDeque::new(),
            waiting: VecDeque::new(),
            stuck: None,
            flushes: Vec::new(),
            used,
            ceiling,
            unmeasured: 0,
            measured: None,
            space: None,
            saved: Instant::now(),
        }
    }

    /// Runs until closed or poisoned, and says which.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let health = match self.serve(messages) {
            Ok(()) => Health::Closed,
            Err(Poison(text)) => {
                tracing::error!(error = %text, "the spool is unusable until it is opened again");
                Health::Poisoned(text)
            }
        };
        self.shared.health.send_replace(health);
    }

    fn serve(&mut self, messages: &Receiver<Message>) -> Result<(), Poison> {
        self.measure();
        self.show_full();
        loop {
            let idle = self.urgent.is_empty() && (self.waiting.is_empty() || self.is_full());
            let mut closing = false;
            if idle || self.stuck.is_some() {
                let held = self.stuck.is_some() || *self.shared.full.borrow();
                match messages.recv_timeout(if held { RETRY } else { SAVE_EVERY }) {
                    Ok(message) => closing |= self.take(message)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => closing = true,
                }
            }
            while let Ok(message) = messages.try_recv() {
                closing |= self.take(message)?;
            }
            self.write_what_waits(closing)?;
            self.reap()?;
            if closing || self.saved.elapsed() >= SAVE_EVERY {
                self.save_all()?;
            }
            self.show_full();
            if closing {
                return Ok(());
            }
        }
    }

    /// Takes a message; true when it is the last.
    fn take(&mut self, message: Message) -> Result<bool, Poison> {
        match message {
            Message::Chunk(entry) if entry.waits => self.waiting.push_back(*entry),
            Message::Chunk(entry) => self.urgent.push_back(*entry),
            Message::Flush(done) => self.flushes.push(done),
            // Nobody listens any more: nothing to tell.
            Message::Ping(done) => {
                let _ = done.send(());
            }
            Message::Reap => {}
            Message::BeginEpoch { kind, cause, detail, done } => {
                self.begin_epoch(kind, cause, detail)?;
                let _ = done.send(());
            }
            Message::Close => return Ok(true),
        }
        Ok(false)
    }

    /// One round, or when closing as many as it takes.
    fn write_what_waits(&mut self, closing: bool) -> Result<(), Poison> {
        loop {
            let Some(round) = self.stuck.take().or_else(|| self.gather()) else { break };
            if !self.write(round)? || !closing {
                break;
            }
        }
        if self.stuck.is_none() && self.urgent.is_empty() && self.waiting.is_empty() {
            for done in self.flushes.drain(..) {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
        Ok(())
    }

    /// The next round, of what may be written now.
    fn gather(&mut self) -> Option<Round> {
        let mut round = Round { parts: Vec::new(), bytes: 0, shares: Vec::new() };
        let mut kinds: HashMap<Arc<str>, Kind> = HashMap::new();
        let mut bytes = 0;
        for waits in [false, true] {
            loop {
                let queue = if waits { &self.waiting } else { &self.urgent };
                let Some(entry) = queue.front() else { break };
                let kind = *kinds.entry(Arc::clone(&entry.source)).or_insert(entry.kind);
                let full = bytes > 0 && bytes + entry.bytes > ROUND_BYTES;
                if full || kind != entry.kind || (waits && self.is_full()) {
                    break;
                }
                let queue = if waits { &mut self.waiting } else { &mut self.urgent };
                let Some(entry) = queue.pop_front() else { break };
                bytes += entry.bytes;
                self.seq += 1;
                round.add(entry, self.seq);
            }
        }
        round.bytes = bytes as u64;
        (!round.parts.is_empty()).then_some(round)
    }

    /// Writes and syncs a round and shows it to readers; false when the disk is full and the round
    /// is kept for later.
    fn write(&mut self, mut round: Round) -> Result<bool, Poison> {
        self.make_room(round.bytes)?;
        let mut frames = Vec::new();
        for part in round.parts.iter_mut() {
            loop {
                match self.append(part) {
                    Ok(frame) => {
                        frames.push(frame);
                        part.written = true;
                        break;
                    }
                    Err(Failed::Full) => {
                        // What others filled is not helped by small files of ours.
                        if !self.reap()? && !self.drop_oldest(&[self.worth_dropping()])? {
                            self.undo(&mut round)?;
                            self.stuck = Some(round);
                            return Ok(false);
                        }
                    }
                    Err(Failed::Poison(poison)) => return Err(poison),
                }
            }
        }
        for part in &round.parts {
            self.sync(part.kind)?;
        }
        self.publish(round, &frames);
        Ok(true)
    }

    /// Appends one frame to its queue; where it begins, and the frame.
    fn append(&mut self, part: &Part) -> Result<(u64, format::Frame), Failed> {
        let size = part.payload_len();
        self.ensure_active(part.kind, size)?;
        let (path, salt, first) = self.current(part.kind);
        let mut bytes = Vec::with_capacity(size);
        let Some(frame) = format::put_frame(&mut bytes, salt, part.seq, first, &part.payload)
        else {
            return Err(Failed::Poison(Poison("a chunk of more than 4 GiB".to_owned())));
        };
        let at = self.active[slot(part.kind)].len;
        self.put(part.kind, &path, &bytes)?;
        Ok((at, frame))
    }

    /// Writes bytes at the end of a queue's file, or leaves it as it was.
    fn put(&mut self, kind: Kind, path: &Path, bytes: &[u8]) -> Result<(), Failed> {
        let active = &mut self.active[slot(kind)];
        let Some(file) = active.file.as_mut() else {
            return Err(Failed::Poison(Poison("a queue without a file".to_owned())));
        };
        match self.disk.write(file, path, bytes) {
            Ok(()) => {
                active.len += bytes.len() as u64;
                self.used += bytes.len() as u64;
                self.unmeasured += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let cut = self.disk.truncate(file, path, active.len);
                cut.map_err(|error| Failed::Poison(failed("truncate", path, &error)))?;
                Err(Failed::of("write", path, &error))
            }
        }
    }

    /// Takes back the parts of a round that were written and not synced.
    fn undo(&mut self, round: &mut Round) -> Result<(), Poison> {
        for part in round.parts.iter_mut().filter(|part| part.written) {
            let (path, ..) = self.current(part.kind);
            let len = self.synced_len(part.kind);
            let active = &mut self.active[slot(part.kind)];
            if let Some(file) = &active.file {
                let cut = self.disk.truncate(file, &path, len);
                cut.map_err(|error| failed("truncate", &path, &error))?;
            }
            self.used = self.used.saturating_sub(active.len - len);
            active.len = len;
            part.written = false;
        }
        Ok(())
    }

    fn sync(&mut self, kind: Kind) -> Result<(), Poison> {
        let (path, ..) = self.current(kind);
        match &self.active[slot(kind)].file {
            Some(file) => {
                self.disk.sync(file, &path).map_err(|error| failed("sync", &path, &error))
            }
            None => Ok(()),
        }
    }

    /// Shows a synced round to readers.
    fn publish(&mut self, round: Round, frames: &[(u64, format::Frame)]) {
        let mut view = self.shared.view();
        for (part, (at, frame)) in round.parts.into_iter().zip(frames) {
            let queue = view.queue_mut(part.kind);
            queue.next = frame.next();
            if let Some(segment) = queue.segments.back_mut() {
                segment.saw(*at, frame);
            }
            for position in part.payload.positions {
                view.positions.apply(position);
            }
            self.synced_seq = self.synced_seq.max(part.seq);
        }
        drop(view);
        drop(round.shares);
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// Sees to it that a queue has a file open with room for `size` more bytes.
    fn ensure_active(&mut self, kind: Kind, size: usize) -> Result<(), Failed> {
        let last = self.shared.view().queue(kind).segments.back().cloned();
        let active = &mut self.active[slot(kind)];
        let begun = active.len > format::HEADER as u64;
        let over = begun && active.len + size as u64 > self.limits.file_bytes;
        if let (Some(segment), false) = (last, active.rotate || over) {
            if active.file.is_none() {
                let opened = OpenOptions::new().append(true).open(&segment.path);
                let file = opened.map_err(|error| Failed::of("open", &segment.path, &error))?;
                active.file = Some(file);
            }
            return Ok(());
        }
        self.rotate(kind)
    }

    /// Begins a new file: header and snapshot of all positions, synced with the directory before
    /// anything follows.
    fn rotate(&mut self, kind: Kind) -> Result<(), Failed> {
        let (header, dir, positions) = {
            let mut view = self.shared.view();
            let files = view.queues.iter().flat_map(|queue| &queue.segments);
            let oldest = files.map(|segment| segment.seq).min().unwrap_or(0);
            let positions = view.positions.snapshot(oldest);
            let queue = view.queue(kind);
            let header = Header {
                kind,
                index: queue.segments.back().map_or(1, |segment| segment.index + 1),
                first: queue.next,
                seq: self.synced_seq,
                start: queue.state.start,
                epoch: queue.state.epoch(),
            };
            (header, queue.dir.clone(), positions)
        };
        let salt = random();
        let path = dir.join(format::file_name(header.index, salt));
        let mut bytes = header.encode();
        let payload = Payload { positions, ..Payload::default() };
        let frame = format::put_frame(&mut bytes, salt, header.seq, header.first, &payload)
            .ok_or_else(|| Failed::Poison(Poison("positions of more than 4 GiB".to_owned())))?;
        let begun = self.begin_file(&path, &dir, &bytes);
        let file = match begun {
            Ok(file) => file,
            Err(failed) => {
                // Half a file without records: recovery would remove it too.
                drop(self.disk.remove(&path));
                return Err(failed);
            }
        };
        let mut segment = Segment::new(header.index, salt, path, header.first, header.seq);
        segment.saw(format::HEADER as u64, &frame);
        let len = segment.len;
        self.shared.view().queue_mut(kind).segments.push_back(segment);
        self.used += len;
        self.active[slot(kind)] = Active { file: Some(file), rotate: false, len };
        Ok(())
    }

    fn begin_file(&self, path: &Path, dir: &Path, bytes: &[u8]) -> Result<File, Failed> {
        let mut file =
            self.disk.create(path).map_err(|error| Failed::of("create", path, &error))?;
        self.disk
            .write(&mut file, path, bytes)
            .map_err(|error| Failed::of("write", path, &error))?;
        let synced = self.disk.sync(&file, path).and_then(|()| self.disk.sync_dir(dir));
        synced.map_err(|error| Failed::Poison(failed("sync", path, &error)))?;
        Ok(file)
    }

    /// Deletes files that are acknowledged to their end; true when there were some.
    fn reap(&mut self) -> Result<bool, Poison> {
        let mut reaped = false;
        for kind in Kind::ALL {
            let count = {
                let view = self.shared.view();
                let queue = view.queue(kind);
                let done = |s: &&Segment| s.next <= queue.state.acked;
                let older = queue.segments.len().saturating_sub(1);
                queue.segments.iter().take(older).take_while(done).count()
            };
            if count > 0 {
                // Before a file goes it must be on disk that its numbers are done with.
                self.save(kind)?;
                for _ in 0..count {
                    self.remove_oldest(kind)?;
                }
                reaped = true;
            }
        }
        Ok(reaped)
    }

    /// Makes room for `bytes` more: what is acknowledged goes first, then what can best be missed.
    fn make_room(&mut self, bytes: u64) -> Result<(), Poison> {
        let stale = self.measured.is_none_or(|at| at.elapsed() >= RETRY);
        if stale || self.unmeasured >= SPACE_STEP {
            self.measure();
        }
        while self.used + bytes > self.ceiling {
            if !self.reap()? && !self.drop_oldest(&[self.worth_dropping(), 0])? {
                break;
            }
        }
        Ok(())
    }

    /// Drops one whole file with records nobody has stored, by [`Kind::DROP_ORDER`], and leaves a gap
    /// in its place; false when there is none.
    fn drop_oldest(&mut self, least_bytes: &[u64]) -> Result<bool, Poison> {
        let Some((kind, is_active)) = self.droppable(least_bytes) else { return Ok(false) };
        if is_active {
            match self.rotate(kind) {
                Ok(()) => {}
                Err(Failed::Full) => return Ok(false),
                Err(Failed::Poison(poison)) => return Err(poison),
            }
        }
        {
            let mut view = self.shared.view();
            let queue = view.queue_mut(kind);
            let Some(segment) = queue.segments.front() else { return Ok(false) };
            let first = segment.first.max(queue.state.acked);
            let span = segment.next.saturating_sub(first);
            let detail = format!("the spool was full; {} went", segment.path.display());
            if span > 0 {
                tracing::warn!(%kind, records = span, bytes = segment.len, "the spool is full: a file went");
            }
            let cause = Cause::SpoolFull.as_str().to_owned();
            let (bytes, created) = (segment.len, now());
            queue.state.add_gap(Gap { first, span, records: span, bytes, cause, detail, created });
        }
        self.save(kind)?;
        self.remove_oldest(kind)?;
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(true)
    }

    fn worth_dropping(&self) -> u64 {
        WORTH_DROPPING.min(self.limits.file_bytes)
    }

    /// The queue whose oldest file goes next, and whether that is the one being written. A file that
    /// is still written to must have the first of `least_bytes`; when none has, the next of them.
    fn droppable(&self, least_bytes: &[u64]) -> Option<(Kind, bool)> {
        let view = self.shared.view();
        let worth = self.worth_dropping();
        let spent = |kind: &Kind| {
            let queue = view.queue(*kind);
            let settled = |s: &Segment| s.len >= worth && s.len == self.active[slot(*kind)].len;
            queue.depth() == 0 && queue.segments.front().is_some_and(settled)
        };
        // Nothing is lost with a file that is acknowledged and only waits to be full.
        if let Some(kind) = Kind::DROP_ORDER.into_iter().find(spent) {
            return Some((kind, true));
        }
        for &least in least_bytes {
            for kind in Kind::DROP_ORDER {
                let queue = view.queue(kind);
                let Some(oldest) = queue.segments.front() else { continue };
                let is_active = queue.segments.len() == 1;
                // A file under a round that is not synced yet stays.
                let settled = !is_active || self.active[slot(kind)].len == oldest.len;
                if oldest.next > oldest.first && settled && (!is_active || oldest.len >= least) {
                    return Some((kind, is_active));
                }
            }
        }
        None
    }

    fn remove_oldest(&mut self, kind: Kind) -> Result<(), Poison> {
        let Some(segment) = self.shared.view().queue_mut(kind).segments.pop_front() else {
            return Ok(());
        };
        self.used = self.used.saturating_sub(segment.len);
        match self.disk.remove(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &segment.path, &error))
            }
            _ => Ok(()),
        }
    }

    fn begin_epoch(&mut self, kind: Kind, cause: Cause, detail: String) -> Result<(), Poison> {
        let epoch = super::new_epoch();
        {
            let mut view = self.shared.view();
            let queue = view.queue_mut(kind);
            tracing::warn!(%kind, cause = cause.as_str(), %detail, "a new epoch begins");
            queue.state.begin_epoch(epoch, cause, detail, now());
            queue.hint = None;
        }
        self.save(kind)?;
        // So that the newest header has the epoch, should the state's file be lost.
        self.active[slot(kind)].rotate = true;
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    fn save(&self, kind: Kind) -> Result<(), Poison> {
        let (state, dir) = {
            let mut view = self.shared.view();
            let queue = view.queue_mut(kind);
            queue.unsaved = false;
            (queue.state.clone(), queue.dir.clone())
        };
        state.save(&self.disk, &dir).map_err(|error| failed("save the state in", &dir, &error))
    }

    fn save_all(&mut self) -> Result<(), Poison> {
        self.saved = Instant::now();
        for kind in Kind::ALL {
            let unsaved = self.shared.view().queue(kind).unsaved;
            if unsaved {
                self.save(kind)?;
            }
        }
        Ok(())
    }

    /// Sets what the spool may use from what the file system has free. Space that others take does
    /// not evict what is here: it only stops growing, above a floor without which nothing would flow
    /// at all on a host whose disk is always nearly full.
    fn measure(&mut self) {
        self.measured = Some(Instant::now());
        self.unmeasured = 0;
        let dir = self.limits.dir.clone();
        let Ok(space) = self.disk.space(&dir) else { return };
        let keep_free = space.kept_free();
        self.space = Some(space);
        let max = self.limits.max_bytes;
        self.ceiling = if space.free >= keep_free {
            max.min(self.used.saturating_add(space.free - keep_free))
        } else {
            self.ceiling.min(self.used)
        };
        self.ceiling = self.ceiling.max(self.limits.floor_bytes.min(max));
    }

    /// Whether sources that can wait must: what is left is for those that can't.
    fn is_full(&self) -> bool {
        let reserve = self.ceiling / super::RESERVE_SHARE;
        let full = self.used + ROUND_BYTES.min(self.limits.file_bytes as usize) as u64 + reserve
            > self.ceiling;
        full && self.shared.view().queues.iter().any(|queue| queue.depth() > 0)
    }

    fn show_full(&mut self) {
        if self.measured.is_none_or(|at| at.elapsed() >= RETRY) {
            self.measure();
        }
        let full = self.is_full() || self.stuck.is_some();
        let before = self.shared.full.send_replace(full);
        if full && !before {
            // Mostly it is the disk, not the spool.
            tracing::warn!(
                used = self.used,
                ceiling = self.ceiling,
                disk_free = self.space.map(|space| space.free),
                kept_free = self.space.map(|space| space.kept_free()),
                "the spool is full: sources wait"
            );
        } else if before && !full {
            tracing::info!(used = self.used, "the spool has room again");
        }
    }

    /// Path, salt and next number of the file being written.
    fn current(&self, kind: Kind) -> (std::path::PathBuf, u64, u64) {
        let view = self.shared.view();
        let queue = view.queue(kind);
        match queue.segments.back() {
            Some(segment) => (segment.path.clone(), segment.salt, queue.next),
            None => (queue.dir.clone(), 0, queue.next),
        }
    }

    fn synced_len(&self, kind: Kind) -> u64 {
        self.shared.view().queue(kind).segments.back().map_or(0, |segment| segment.len)
    }
}

impl Round {
    fn add(&mut self, entry: Entry, seq: u64) {
        let Entry { source, kind, origin, records, position, share, .. } = entry;
        let at = self.parts.iter().position(|part| part.kind == kind).unwrap_or_else(|| {
            let payload = Payload::default();
            self.parts.push(Part { kind, payload, seq, written: false });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        part.seq = seq;
        let payload = &mut part.payload;
        let origin = origin_index(&mut payload.origins, &origin);
        payload.records.extend(records.into_iter().map(|record| Record { origin, ..record }));
        if let Some((key, value)) = position {
            let same = |p: &&mut Position| p.key == key && *p.source == *source;
            match payload.positions.iter_mut().find(same) {
                Some(position) => (position.value, position.seq) = (value, seq),
                None => {
                    let source = source.to_string();
                    payload.positions.push(Position { source, key, value, seq });
                }
            }
        }
        self.shares.push(share);
    }
}

fn origin_index(origins: &mut Vec<Origin>, origin: &Origin) -> u32 {
    let at = origins.iter().position(|known| known == origin).unwrap_or_else(|| {
        origins.push(origin.clone());
        origins.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Part {
    fn payload_len(&self) -> usize {
        format::FRAME_HEADER + prost::Message::encoded_len(&self.payload)
    }
}

/// Why a write was not done.
enum Failed {
    /// The disk is full; the file is as it was.
    Full,
    Poison(Poison),
}

impl Failed {
    fn of(what: &str, path: &Path, error: &io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failed::Full,
            _ => Failed::Poison(failed(what, path, error)),
        }
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Poison {
    Poison(format!("failed to {what} {}: {error}", path.display()))
}

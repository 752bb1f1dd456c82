//! Which files are read, in which order, and what becomes of them when they are rotated.
//!
//! In: the configured patterns, the stored places, and the nudge that something changed. Out: chunks,
//! each with the place after it. It does I/O but neither waits nor knows the spool: a test drops it at
//! any point and makes a new one from the places of the chunks it kept.
//!
//! A log is a path; the files that had this name one after the other are its generations. `queue` holds
//! the generations not yet read to their end, oldest first, and only the first is read, so that lines
//! keep their order. A generation that lost the name and was read to its end lingers: its writer may
//! still hold it open. When nothing was written to it for a while, a last line without newline is
//! handed over and the place is marked done. It stays stored as long as the file exists, so that the
//! file is known under any later name and never read again.
//!
//! When the name belongs to another file, or the file was truncated, earlier generations are searched
//! for what was missed: from the newest to the first one known, whatever lies between was never seen
//! and is read from its start. When none is known, those written to since the log was last taken up
//! are; what was lost then is a gap. After truncation the generation to go on with is a copy, known by
//! its fingerprint, and there is always a gap, because nobody can say what was written between the
//! copy and the truncation.

mod catch_up;
mod log;
mod wait;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hengwei_protocol::wire::Origin;
use hengwei_protocol::wire::record::Body;
use hengwei_protocol::{Kind, limits};

use super::Plan;
use super::place::{self, FileId, Place, Unfit};
use super::rotation;
use super::tail::{Outcome, Tail, start_at_end};
use crate::sources::Chunk;
use crate::time::Now;
use catch_up::{Life, Search, truncation};
use log::Log;

/// Logs read at once; more are reported and left out.
const MAX_LOGS: usize = 16_384;
/// Files kept open; beyond it those without news are closed until they have some.
const MAX_OPEN: usize = 256;
/// Read generations of one log that may still be written to; beyond it the oldest is given up.
const MAX_LINGERING: usize = 8;
/// How often places of files that no longer exist are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Folders watched.
const MAX_FOLDERS: usize = 4_096;

/// The whole of the source but for waiting and sending.
pub(super) struct Engine {
    plan: Arc<Plan>,
    root: PathBuf,
    linger: Duration,
    places: HashMap<FileId, Place>,
    /// When each pattern was first read, Unix nanoseconds.
    marks: HashMap<String, i64>,
    logs: BTreeMap<PathBuf, Log>,
    ready: VecDeque<PathBuf>,
    /// Logs in which a record waits for another line, and until when.
    waiting: BTreeMap<PathBuf, Instant>,
    outbox: VecDeque<Chunk>,
    reports: Vec<(String, Option<String>)>,
    problems: HashSet<String>,
    /// The files that had a matching name in the last round.
    met: HashSet<FileId>,
    /// Files kept open, about.
    open: usize,
    started: bool,
    swept: Option<Instant>,
    /// Finished files that the last sweep did not meet.
    missing: HashSet<FileId>,
}

impl Engine {
    /// An engine that goes on from the stored positions. `linger` is how long a rotated file must
    /// have been quiet before it counts as finished.
    pub(super) fn new(
        plan: Arc<Plan>,
        root: &Path,
        linger: Duration,
        positions: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Engine {
        let mut engine = Engine {
            plan,
            root: root.to_owned(),
            linger,
            places: HashMap::new(),
            marks: HashMap::new(),
            logs: BTreeMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            outbox: VecDeque::new(),
            reports: Vec::new(),
            problems: HashSet::new(),
            met: HashSet::new(),
            open: 0,
            started: false,
            swept: None,
            missing: HashSet::new(),
        };
        for (key, value) in positions {
            if let Some(pattern) = place::marked(&key) {
                let since = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                engine.marks.insert(pattern.to_owned(), since.unwrap_or_default());
            } else if let (Some(id), Some(place)) = (FileId::parse(&key), Place::decode(&value)) {
                engine.places.insert(id, place);
            }
        }
        engine
    }

    /// Finds new, renamed and vanished logs. To be called at first, after changes in a watched
    /// folder, and now and then.
    pub(super) fn discover(&mut self, now: Now) {
        let found = self.expand();
        let looks: Vec<_> = found.iter().map(|(path, entry)| (path, *entry, look(path))).collect();
        self.met = looks.iter().filter_map(|(_, _, look)| look.as_ref().ok().copied()).collect();
        for (path, entry, look) in looks {
            self.visit(path, entry, look, now);
        }
        if !std::mem::replace(&mut self.started, true) {
            self.resume_vanished(&found, now);
        }
        for (path, log) in &mut self.logs {
            if log.attached && !found.contains_key(path) {
                log.attached = false;
            }
        }
        self.mark_patterns(now);
        let due = |swept: Instant| now.steady.saturating_duration_since(swept) >= SWEEP_INTERVAL;
        if self.swept.is_none_or(due) {
            self.swept = Some(now.steady);
            self.forget_vanished(&found);
        }
        self.open = self.logs.values().map(Log::open_files).sum();
        self.ready = self.logs.keys().cloned().collect();
    }

    /// Something was written to `path`.
    pub(super) fn touched(&mut self, path: &Path) {
        if let Some(log) = self.logs.get_mut(path) {
            log.queue.iter_mut().for_each(Tail::look_again);
            if !self.ready.iter().any(|ready| ready == path) {
                self.ready.push_back(path.to_owned());
            }
        }
    }

    /// The next chunk; None when there is nothing to do for now. Logs take turns.
    pub(super) fn step(&mut self, now: Now) -> Option<Chunk> {
        self.wake(now);
        loop {
            if let Some(chunk) = self.outbox.pop_front() {
                return Some(chunk);
            }
            let path = self.ready.pop_front()?;
            if self.read(&path, now) {
                self.ready.push_back(path);
            }
        }
    }

    /// What changed about which path, for an operator.
    pub(super) fn take_reports(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.reports)
    }

    /// Every folder in which a change may mean a new or renamed log.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for entry in &self.plan.entries {
            for pattern in &entry.patterns {
                folders.extend(pattern.folders(&self.root).into_iter().take(MAX_FOLDERS));
            }
        }
        folders.extend(self.logs.keys().filter_map(|path| path.parent()).map(Path::to_owned));
        while folders.len() > MAX_FOLDERS {
            folders.pop_last();
        }
        folders
    }

    fn expand(&mut self) -> BTreeMap<PathBuf, usize> {
        let mut found = BTreeMap::new();
        for (index, entry) in self.plan.entries.iter().enumerate() {
            for path in entry.expand(&self.root) {
                found.entry(path).or_insert(index);
            }
        }
        let rotated: Vec<PathBuf> = found
            .keys()
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().as_bytes();
                rotation::is_compressed(name)
                    || rotation::base(name).is_some_and(|base| {
                        let log = path.with_file_name(std::ffi::OsStr::from_bytes(base));
                        found.contains_key(&log) || self.logs.contains_key(&log)
                    })
            })
            .cloned()
            .collect();
        for path in rotated {
            found.remove(&path);
        }
        let over = found.len() > MAX_LOGS;
        while found.len() > MAX_LOGS {
            found.pop_last();
        }
        let problem = format!("more than {MAX_LOGS} logs match: narrow the patterns");
        self.report("patterns".to_owned(), over.then_some(problem));
        found
    }

    /// Looks at what a path is now.
    fn visit(&mut self, path: &Path, entry: usize, look: Result<FileId, Unfit>, now: Now) {
        let name = self.name(path);
        let id = match look {
            Ok(id) => id,
            Err(unfit) => return self.unfit(path, name, &unfit),
        };
        if let Some(log) = self.logs.get_mut(path)
            && log.resume(id)
        {
            return;
        }
        if self.owner(id).is_some_and(|owner| owner != path) {
            // Renamed into another log's pattern, or a second name: whoever reads it goes on.
            return;
        }
        match place::open(path) {
            Ok((file, metadata)) if FileId::of(&metadata) == id => {
                self.report(name, None);
                self.take_up(path, entry, id, file, now);
            }
            // It changed hands this very moment: the next round sees who has it.
            Ok(_) => {}
            Err(unfit) => self.unfit(path, name, &unfit),
        }
    }

    fn unfit(&mut self, path: &Path, name: String, unfit: &Unfit) {
        if let Some(log) = self.logs.get_mut(path) {
            log.attached = false;
        }
        let problem = (!unfit.is_missing()).then(|| unfit.to_string());
        self.report(name, problem);
    }

    fn owner(&self, id: FileId) -> Option<&Path> {
        let holds = |log: &Log| {
            log.queue.iter().any(|tail| tail.id == id)
                || log.lingering.iter().any(|(tail, _)| tail.id == id)
        };
        self.logs.iter().find(|(_, log)| holds(log)).map(|(path, _)| path.as_path())
    }

    /// A path that has a file it did not have when last looked at.
    fn take_up(&mut self, path: &Path, entry: usize, id: FileId, file: std::fs::File, now: Now) {
        let name = self.name(path);
        let known = self.places.get(&id).cloned();
        let fits = known.as_ref().is_some_and(|place| place.fits(&file).unwrap_or(false));
        let seen = self.logs.contains_key(path) || self.places.values().any(|p| p.path == name);
        if !seen && known.is_none() && self.first_read(&name) == i64::MAX {
            let from_end = self.plan.entries[entry].from_end;
            return self.begin(path, entry, id, file, from_end, now);
        }
        let Ok(Some(generations)) = rotation::generations(path, Some(id)) else {
            // A rotation is under way; the next round finds it finished.
            return;
        };
        let lost = known.clone().filter(|place| !fits && !place.done);
        let copy_of = lost.as_ref().filter(|place| place.path == name);
        let search = Search { path, name: &name, current: Some(id), copy_of, anchored: fits };
        let mut missed = self.missed(search, generations, now);
        self.log(path, entry);
        self.release_closed(path);
        let place = match known {
            Some(place) if fits => Place { path: name.clone(), done: false, ..place },
            _ => empty_place(name.clone(), now),
        };
        let mut tail = Tail::new(id, file, place);
        if let Some(lost) = lost {
            tail.opening = vec![truncation(&lost, missed.recovered, now)];
        }
        missed.tails.push_back(tail);
        if let Some(log) = self.logs.get_mut(path) {
            log.queue.append(&mut missed.tails);
            log.attached = true;
        }
    }

    /// A path present when its pattern is read for the first time.
    fn begin(
        &mut self,
        path: &Path,
        entry: usize,
        id: FileId,
        file: std::fs::File,
        from_end: bool,
        now: Now,
    ) {
        let mut place = empty_place(self.name(path), now);
        let form = self.plan.entries[entry].form;
        if from_end && let Some((offset, digest)) = start_at_end(&file, form) {
            place = Place { offset, digest, size: offset, ..place };
        }
        let log = self.log(path, entry);
        log.attached = true;
        let chunk = log.chunk(Vec::new(), id, &place);
        log.queue.push_back(Tail::new(id, file, place));
        self.emit(chunk, id);
    }

    fn entry_of(&self, path: &Path) -> Option<usize> {
        self.logs.get(path).map(|log| log.entry).or_else(|| {
            let name = self.name(path);
            self.plan.entries.iter().position(|entry| entry.matches(&name))
        })
    }

    /// Reads one slice of a log; whether it should have another turn.
    fn read(&mut self, path: &Path, now: Now) -> bool {
        self.read_lingering(path, now);
        if !self.reopen(path, now) {
            return false;
        }
        let Some(log) = self.logs.get_mut(path) else { return false };
        let Some(tail) = log.queue.front_mut() else {
            if !log.attached && log.lingering.is_empty() {
                self.logs.remove(path);
            }
            return false;
        };
        let id = tail.id;
        let before = tail.place.clone();
        let begins = before.offset == 0;
        if !tail.opening.is_empty() {
            let opening = std::mem::take(&mut tail.opening);
            let chunk = log.chunk(opening, id, &before);
            self.emit(chunk, id);
            return true;
        }
        match tail.read(now, log.form) {
            Ok(Outcome::Lines(records)) => {
                let place = tail.place.clone();
                let chunk = log.chunk(records, id, &place);
                let name = log.name.clone();
                if begins
                    && log.is_alone()
                    && let Some(turn) = self.second_life(path, &before, now)
                {
                    return turn;
                }
                if begins {
                    self.report(name, utf_16(&chunk).then(|| UTF_16.to_owned()));
                }
                self.emit(chunk, id);
                true
            }
            Ok(Outcome::More) => true,
            Ok(Outcome::End) => {
                if begins
                    && log.is_alone()
                    && log.queue[0].is_news()
                    && let Some(turn) = self.second_life(path, &before, now)
                {
                    return turn;
                }
                let Some(log) = self.logs.get_mut(path) else { return false };
                let more = log.queue.len() > 1 || !log.attached;
                if more && log.queue.front_mut().is_some_and(|tail| tail.let_go(now)) {
                    // What waits in a file that lost its name goes before the lines of the next.
                    return true;
                }
                if more && let Some(tail) = log.queue.pop_front() {
                    log.lingering.push_back((tail, now.steady));
                }
                self.wait(path, now);
                self.close_idle(path);
                more
            }
            Ok(Outcome::Truncated) => self.restart(path, now),
            Err(error) => {
                let name = log.name.clone();
                self.report(name, Some(format!("cannot be read: {error}")));
                false
            }
        }
    }

    /// Whether what was just read of a file nothing was read of before must wait: Some(whether the log
    /// should have another turn).
    fn second_life(&mut self, path: &Path, before: &Place, now: Now) -> Option<bool> {
        match self.life(path, before, now) {
            Life::First => None,
            Life::Second => Some(true),
            Life::Unclear => {
                self.put_back(path, before.clone());
                Some(false)
            }
        }
    }

    /// Undoes a read.
    fn put_back(&mut self, path: &Path, before: Place) {
        if let Some(tail) = self.logs.get_mut(path).and_then(|log| log.queue.front_mut())
            && let Some(file) = tail.file.take()
        {
            *tail = Tail::new(tail.id, file, before);
        }
    }

    /// Late writes to files that lost their name, and the end of those that have none.
    fn read_lingering(&mut self, path: &Path, now: Now) {
        let linger = self.linger;
        let Some(log) = self.logs.get_mut(path) else { return };
        let mut lingering = std::mem::take(&mut log.lingering);
        let mut finished = Vec::new();
        let mut overwritten = Vec::new();
        let mut chunks = Vec::new();
        let surplus = lingering.len().saturating_sub(MAX_LINGERING);
        for index in 0..lingering.len() {
            let Some((mut tail, mut quiet_since)) = lingering.pop_front() else { break };
            match tail.read(now, log.form) {
                Ok(Outcome::Lines(records)) => {
                    chunks.push((log.chunk(records, tail.id, &tail.place), tail.id));
                    quiet_since = now.steady;
                }
                Ok(Outcome::More) => quiet_since = now.steady,
                Ok(Outcome::Truncated) => {
                    overwritten.push(tail);
                    continue;
                }
                Ok(Outcome::End) | Err(_) => {
                    let quiet = now.steady.saturating_duration_since(quiet_since);
                    if index < surplus || quiet >= linger {
                        finished.push(tail);
                        continue;
                    }
                }
            }
            lingering.push_back((tail, quiet_since));
        }
        log.lingering = lingering;
        self.wait(path, now);
        for (chunk, id) in chunks {
            self.emit(chunk, id);
        }
        for tail in overwritten {
            self.give_up(path, &tail, now);
        }
        for tail in finished {
            self.finish(path, tail, now);
        }
    }

    /// A generation nobody writes to any more: its last words, and its place as done.
    fn finish(&mut self, path: &Path, mut tail: Tail, now: Now) {
        let Some(log) = self.logs.get_mut(path) else { return };
        let held_back = tail.place.unread() > 0;
        let records =
            if held_back { tail.flush(now.wall, log.form).unwrap_or_default() } else { vec![] };
        // A file without a name or without content has nothing by which it could come back.
        if tail.is_deleted() || tail.place.offset == 0 {
            let chunk = log.forget(records, tail.id);
            self.places.remove(&tail.id);
            self.outbox.push_back(chunk);
        } else {
            let place = Place { done: true, ..tail.place };
            let chunk = log.chunk(records, tail.id, &place);
            self.emit(chunk, tail.id);
        }
    }

    /// Opens the file to be read again when it had been closed. False when it can't be read now.
    fn reopen(&mut self, path: &Path, now: Now) -> bool {
        let Some(log) = self.logs.get_mut(path) else { return false };
        let Some(tail) = log.queue.front_mut().filter(|tail| tail.file.is_none()) else {
            return true;
        };
        if tail.is_unchanged(path) {
            return false;
        }
        match place::open(path) {
            Ok((file, metadata)) if FileId::of(&metadata) == tail.id => {
                tail.file = Some(file);
                self.open += 1;
                true
            }
            // Somebody else has the name: its place is found among the earlier generations.
            Ok(_) => {
                log.attached = false;
                false
            }
            Err(unfit) => {
                let name = log.name.clone();
                let missing = unfit.is_missing();
                self.report(name, (!missing).then(|| unfit.to_string()));
                if missing {
                    self.vanished(path, now);
                }
                false
            }
        }
    }

    /// Leaves closed files of a log to their stored places.
    fn release_closed(&mut self, path: &Path) {
        if let Some(log) = self.logs.get_mut(path) {
            log.queue.retain(|tail| tail.file.is_some());
        }
    }

    /// When a pattern that matches this log was first read; i64::MAX when none was.
    fn first_read(&self, name: &str) -> i64 {
        let patterns = self.plan.entries.iter().flat_map(|entry| &entry.patterns);
        let marks = patterns
            .filter(|pattern| pattern.matches(name))
            .filter_map(|pattern| self.marks.get(pattern.text()));
        marks.min().copied().unwrap_or(i64::MAX)
    }

    /// Notes patterns read for the first time, behind the places of all that matched: in the same
    /// queue, so that the one is never stored without the other.
    fn mark_patterns(&mut self, now: Now) {
        for entry in &self.plan.entries {
            for pattern in &entry.patterns {
                if self.marks.contains_key(pattern.text()) {
                    continue;
                }
                self.marks.insert(pattern.text().to_owned(), now.wall);
                let key = place::mark(pattern.text());
                self.outbox.push_back(only_position(
                    self.plan.source,
                    entry.kind,
                    key,
                    now.wall.to_string().into(),
                ));
            }
        }
    }

    /// Forgets finished files that no longer exist anywhere they could be met.
    fn forget_vanished(&mut self, found: &BTreeMap<PathBuf, usize>) {
        use std::os::unix::fs::DirEntryExt;

        let done = self.places.values().filter(|place| place.done);
        let mut folders: BTreeSet<PathBuf> =
            done.filter_map(|p| self.path(&p.path).parent().map(Path::to_owned)).collect();
        if folders.is_empty() {
            return;
        }
        folders.extend(found.keys().filter_map(|path| path.parent()).map(Path::to_owned));
        let mut present: HashSet<u64> = HashSet::new();
        for folder in folders {
            match std::fs::read_dir(&folder) {
                Ok(entries) => present.extend(entries.flatten().map(|entry| entry.ino())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // What can't be seen is not known to be gone.
                Err(_) => return,
            }
        }
        let held: HashSet<FileId> = self.logs.values().flat_map(Log::ids).collect();
        let gone = |id: &FileId, place: &Place| {
            place.done && !present.contains(&id.inode) && !held.contains(id)
        };
        let gone: Vec<(FileId, String)> = self
            .places
            .iter()
            .filter(|(id, place)| gone(id, place))
            .map(|(id, place)| (*id, place.path.clone()))
            .collect();
        // Listing a folder while a file in it is renamed can miss the file: gone is what is missed twice.
        let missed = gone.iter().map(|(id, _)| *id).collect();
        let missed_before = std::mem::replace(&mut self.missing, missed);
        for (id, name) in gone.into_iter().filter(|(id, _)| missed_before.contains(id)) {
            self.places.remove(&id);
            let entry = self.entry_of(&self.path(&name));
            let kind = entry.map_or(Kind::Log, |entry| self.plan.entries[entry].kind);
            self.outbox.push_back(only_position(self.plan.source, kind, id.key(), Bytes::new()));
        }
    }

    /// Closes the file of a log that has nothing new, when too many are open. What it goes on from is
    /// its stored place.
    fn close_idle(&mut self, path: &Path) {
        let Some(log) = self.logs.get_mut(path).filter(|log| log.attached) else { return };
        if self.open <= MAX_OPEN || log.queue.len() != 1 {
            return;
        }
        let tail = &mut log.queue[0];
        let stored =
            self.places.get(&tail.id).is_some_and(|place| place.offset == tail.place.offset);
        if stored && tail.due().is_none() {
            tail.file = None;
            self.open -= 1;
        }
    }

    fn log(&mut self, path: &Path, entry: usize) -> &mut Log {
        let name = self.name(path);
        let configured = &self.plan.entries[entry];
        self.logs.entry(path.to_owned()).or_insert_with(|| Log {
            entry,
            kind: configured.kind,
            origin: Arc::new(configured.origin(self.plan.source, &name)),
            form: configured.form,
            name,
            queue: VecDeque::new(),
            attached: false,
            lingering: VecDeque::new(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name.trim_start_matches('/'))
    }

    fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let mut name = format!("/{}", below.display());
        let mut end = name.len().min(limits::MAX_NAME);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name
    }

    fn emit(&mut self, chunk: Chunk, id: FileId) {
        if let Some(place) = chunk.position.as_ref().and_then(|(_, bytes)| Place::decode(bytes)) {
            self.places.insert(id, place);
        }
        self.outbox.push_back(chunk);
    }

    /// Tells of a change only: a problem that stays is said once.
    fn report(&mut self, name: String, problem: Option<String>) {
        let known = if problem.is_some() {
            !self.problems.insert(name.clone())
        } else {
            !self.problems.remove(&name)
        };
        if !known {
            self.reports.push((name, problem));
        }
    }
}

/// The regular file a path leads to.
fn look(path: &Path) -> Result<FileId, Unfit> {
    let metadata = std::fs::metadata(path)?;
    place::regular(&metadata)?;
    Ok(FileId::of(&metadata))
}

fn empty_place(path: String, now: Now) -> Place {
    let digest = hengwei_protocol::identity::hex(&hengwei_protocol::identity::sha256(b""));
    Place { path, offset: 0, digest, size: 0, since: now.wall, done: false }
}

fn only_position(source: &str, kind: Kind, key: String, value: Bytes) -> Chunk {
    let origin = Arc::new(Origin { source: source.into(), ..Origin::default() });
    Chunk { kind, origin, records: Vec::new(), position: Some((key, value)) }
}

const UTF_16: &str =
    "is UTF-16, whose lines can't be told apart: have it written as UTF-8 or GB18030";

/// Whether a file's first record begins with the byte order mark of UTF-16.
fn utf_16(chunk: &Chunk) -> bool {
    let first = chunk.records.first().and_then(|record| record.body.as_ref());
    matches!(first, Some(Body::Original(bytes)) if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff"))
}

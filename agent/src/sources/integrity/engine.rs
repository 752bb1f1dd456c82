//! The baseline, what is compared with it, and when.
//!
//! In: nudges that a path changed, steps of a scan, the time. Out: chunks: a difference with the new
//! baseline entry of its path as position, so that one is never stored without the other.
//!
//! A scan never tells of differences: it names suspects. A path that was nudged or suspected waits until
//! it was quiet for a moment, or for long enough, is looked at, and only then compared and told; so a
//! file written in pieces, or replaced by a rename, is one event. While a package manager is at work,
//! what does not equal a package's record waits until it is done, because dpkg writes its record after
//! the file. What a configured entry matched when it was first read is adopted without an event.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::record::{integer, text};
use hengwei_protocol::wire::Origin;
use serde::{Deserialize, Serialize};

use super::event::{self, Difference, Names};
use super::look::{Entry, Look, Seen, Type};
use super::packages::{self, Question};
use super::scope::{Resolved, Scope};
use crate::sources::{Chunk, NewRecord};
use crate::time::Now;

/// A path is looked at when nothing happened to it for so long …
const QUIET: Duration = Duration::from_millis(500);
/// … or so long after the first thing that happened.
const MAX_WAIT: Duration = Duration::from_millis(1_500);
/// How long a file may change under the look before it is told as it was caught.
const MAX_CHANGING: Duration = Duration::from_secs(3);
/// How often a file is looked at again while a package manager is at work.
const PACKAGE_RETRY: Duration = Duration::from_secs(2);
/// How long a package manager is waited for. Whoever holds its lock to hide a change is root, and
/// hides no longer than this.
const MAX_PACKAGE_WAIT: Duration = Duration::from_secs(300);
/// Paths looked at in one go.
const MAX_SETTLE: usize = 256;
/// Paths that a step of a scan looks at from outside.
const SCAN_PATHS: usize = 64;
/// Paths guarded; more are reported and left out.
const MAX_PATHS: usize = 200_000;
/// The key of what was adopted.
const ADOPTED: &str = "adopted";

/// Configured entries whose paths are in the baseline.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Adopted {
    entries: BTreeSet<String>,
}

struct Known {
    entry: Entry,
    /// The scan that met it last.
    round: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Instant,
    due: Instant,
}

struct Scan {
    full: bool,
    stack: Vec<PathBuf>,
    look: Option<(PathBuf, Look)>,
    adopted: usize,
}

/// The whole of the source but for waiting and sending.
pub(super) struct Engine {
    scope: Arc<Scope>,
    resolved: Resolved,
    root: PathBuf,
    max_file_bytes: u64,
    origin: Arc<Origin>,
    adopted: Adopted,
    baseline: BTreeMap<PathBuf, Known>,
    pending: BTreeMap<PathBuf, Pending>,
    scan: Option<Scan>,
    round: u32,
    outbox: VecDeque<Chunk>,
    reports: Vec<(String, Option<String>)>,
    problems: HashSet<String>,
}

impl Engine {
    /// An engine that goes on from the stored baseline.
    pub(super) fn new(
        scope: Arc<Scope>,
        root: &Path,
        max_file_bytes: u64,
        positions: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Engine {
        let mut adopted = Adopted::default();
        let mut baseline = BTreeMap::new();
        for (key, value) in positions {
            if key == ADOPTED {
                adopted = serde_json::from_slice(&value).unwrap_or_default();
            } else if let (Some(name), Some(entry)) = (event::path_of(&key), event::decode(&value))
                && let Ok(below) = name.strip_prefix("/")
            {
                baseline.insert(root.join(below), Known { entry, round: 0 });
            }
        }
        let origin = Origin {
            source: "integrity".to_owned(),
            dataset: "fim".to_owned(),
            ..Origin::default()
        };
        Engine {
            resolved: scope.resolve(root),
            scope,
            root: root.to_owned(),
            max_file_bytes,
            origin: Arc::new(origin),
            adopted,
            baseline,
            pending: BTreeMap::new(),
            scan: None,
            round: 0,
            outbox: VecDeque::new(),
            reports: Vec::new(),
            problems: HashSet::new(),
        }
    }

    /// Something happened at `path`. True when it may be a folder on the way to a guarded path.
    pub(super) fn touched(&mut self, path: &Path, now: Now) -> bool {
        if self.resolved.entry_of(path).is_none() {
            return path.is_dir();
        }
        self.nudge(path, now, QUIET);
        false
    }

    /// Begins a scan, unless one is under way. A full one reads every file again.
    pub(super) fn begin_scan(&mut self, full: bool) {
        if self.scan.is_some() {
            return;
        }
        self.resolved = self.scope.resolve(&self.root);
        self.round = self.round.wrapping_add(1);
        let stack = self.resolved.tops().into_iter().collect();
        self.scan = Some(Scan { full, stack, look: None, adopted: 0 });
    }

    /// Whether a scan is under way.
    pub(super) fn is_scanning(&self) -> bool {
        self.scan.is_some()
    }

    /// Scans on for a moment; the bytes read.
    pub(super) fn scan_step(&mut self, now: Now) -> usize {
        let Some(mut scan) = self.scan.take() else { return 0 };
        let mut read = 0;
        for _ in 0..SCAN_PATHS {
            if let Some((path, mut look)) = scan.look.take() {
                read = look.step().unwrap_or(0);
                if read > 0 {
                    scan.look = Some((path, look));
                    break;
                }
                self.scanned(&mut scan, &path, look, now);
            } else if let Some(path) = scan.stack.pop() {
                self.visit(&mut scan, path, now);
            } else {
                self.end_scan(&scan, now);
                return read;
            }
        }
        self.scan = Some(scan);
        read
    }

    /// When something should be looked at next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.due).min()
    }

    /// Looks at what is due and tells the differences.
    pub(super) fn settle(&mut self, now: Now) {
        let due: Vec<(PathBuf, Pending)> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.due <= now.steady)
            .take(MAX_SETTLE)
            .map(|(path, pending)| (path.clone(), *pending))
            .collect();
        let mut found = Vec::new();
        for (path, pending) in due {
            self.pending.remove(&path);
            if let Some(after) = self.look(&path, pending, now) {
                self.branch(&path, after.as_ref(), now);
                found.push((path, pending, after));
            }
        }
        let questions: Vec<Question> = found
            .iter()
            .filter_map(|(path, _, after)| self.question(path, after.as_ref()))
            .collect();
        let owners = packages::owners(&self.root, &questions);
        let at_work = !questions.is_empty() && packages::at_work(&self.root);
        let names = if found.is_empty() { Names::default() } else { Names::read(&self.root) };
        for (path, pending, after) in found {
            let asked = questions.iter().find(|question| question.path == path);
            let owner = asked.and_then(|question| owners.get(&question.name));
            let waited = now.steady.saturating_duration_since(pending.first);
            let unsettled = asked.is_some()
                && owner.is_none_or(|owner| !owner.matches)
                && (at_work || packages::being_replaced(&path))
                && waited < MAX_PACKAGE_WAIT;
            if unsettled {
                let due = now.steady + PACKAGE_RETRY;
                self.pending.insert(path, Pending { first: pending.first, due });
            } else {
                self.tell(&path, after, owner, &names, now);
            }
        }
    }

    /// The next chunk.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        self.outbox.pop_front()
    }

    /// What changed about which path, for an operator.
    pub(super) fn take_reports(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.reports)
    }

    /// What to watch: folders with all below them, and folders for themselves.
    pub(super) fn folders(&self) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
        let is_folder = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
        let deep: BTreeSet<PathBuf> =
            self.resolved.tops().into_iter().filter(|path| is_folder(path)).collect();
        let below_deep = |path: &Path| path.ancestors().any(|ancestor| deep.contains(ancestor));
        let flat = self.resolved.folders().into_iter().filter(|path| !below_deep(path)).collect();
        (deep, flat)
    }

    fn nudge(&mut self, path: &Path, now: Now, quiet: Duration) {
        let steady = now.steady;
        let pending = self
            .pending
            .entry(path.to_owned())
            .or_insert(Pending { first: steady, due: steady + quiet });
        pending.due = (steady + quiet).min(pending.first + MAX_WAIT).max(steady);
    }

    /// What is at a path now; None when it must be looked at again.
    fn look(&mut self, path: &Path, pending: Pending, now: Now) -> Option<Option<Entry>> {
        match Look::at(path, self.max_file_bytes) {
            Ok(Seen::There(entry)) => Some(Some(entry)),
            Ok(Seen::Nothing) => Some(None),
            Ok(Seen::Changing(entry)) => {
                let due = now.steady + QUIET;
                let waited = now.steady.saturating_duration_since(pending.first);
                let late = waited >= MAX_CHANGING;
                let first = if late { now.steady } else { pending.first };
                self.pending.insert(path.to_owned(), Pending { first, due });
                late.then_some(Some(entry))
            }
            Err(error) => {
                let problem = format!("cannot be looked at: {error}; give CAP_DAC_READ_SEARCH");
                self.report(path, Some(problem));
                None
            }
        }
    }

    /// What is below a folder that came or went has no event of its own.
    fn branch(&mut self, path: &Path, after: Option<&Entry>, now: Now) {
        let before = self.baseline.get(path).map(|known| known.entry.type_);
        let after = after.map(|entry| entry.type_);
        if before == after {
            return;
        }
        let mut below: Vec<PathBuf> = Vec::new();
        if before == Some(Type::Folder) {
            let known = self.baseline.range(path.to_owned()..).map(|(path, _)| path);
            below.extend(known.skip(1).take_while(|known| known.starts_with(path)).cloned());
        }
        if after == Some(Type::Folder) {
            below.extend(children(path));
        }
        for path in below {
            if self.resolved.entry_of(&path).is_some() && !self.pending.contains_key(&path) {
                self.nudge(&path, now, Duration::ZERO);
            }
        }
    }

    /// What to ask the package manager about: a file whose content is new.
    fn question(&self, path: &Path, after: Option<&Entry>) -> Option<Question> {
        let after = after.filter(|entry| entry.type_ == Type::File && !entry.sha256.is_empty())?;
        let before = self.baseline.get(path).map(|known| &known.entry);
        event::action(before, Some(after))?;
        Some(Question {
            name: path.strip_prefix(&self.root).ok()?.to_str()?.to_owned(),
            path: path.to_owned(),
            sha256: after.sha256.clone(),
        })
    }

    /// Compares with the baseline, and makes it the new one.
    fn tell(
        &mut self,
        path: &Path,
        after: Option<Entry>,
        owner: Option<&packages::Owner>,
        names: &Names,
        now: Now,
    ) {
        let before = self.baseline.get(path).map(|known| known.entry.clone());
        let adopted =
            self.resolved.entry_of(path).is_some_and(|entry| self.adopted.entries.contains(entry));
        if before.is_none() && !adopted {
            // The first scan of this entry is still on its way, and takes it as it finds it.
            return;
        }
        if before == after {
            return;
        }
        let name = self.name(path);
        let shown = name.to_string_lossy();
        let (before_ref, after_ref) = (before.as_ref(), after.as_ref());
        let records = match event::action(before_ref, after_ref) {
            None => Vec::new(),
            Some(action) => {
                let difference = Difference {
                    name: &shown,
                    action,
                    before: before_ref,
                    after: after_ref,
                    owner,
                };
                let mut record = NewRecord::fields(now.wall, difference.fields(names));
                // The kernel's stamp of the change, which its author cannot choose.
                record.time = after_ref.map_or(now.wall, |entry| entry.ctime.min(now.wall));
                vec![record]
            }
        };
        let position = match &after {
            Some(entry) => event::encode(entry),
            None => Bytes::new(),
        };
        self.emit(records, event::key(&name), position);
        self.report(path, None);
        match after {
            Some(entry) => {
                self.baseline.insert(path.to_owned(), Known { entry, round: self.round });
            }
            None => {
                self.baseline.remove(path);
            }
        }
    }

    /// A scan meets a path.
    fn visit(&mut self, scan: &mut Scan, path: PathBuf, now: Now) {
        let Some(entry) = self.resolved.entry_of(&path) else { return };
        let adopted = self.adopted.entries.contains(entry);
        let look =
            match Look::begin(&path, if scan.full || !adopted { self.max_file_bytes } else { 0 }) {
                Ok(Some(look)) => look,
                Ok(None) => return,
                Err(error) => {
                    return self.report(&path, Some(format!("cannot be looked at: {error}")));
                }
            };
        if look.is_folder() {
            match std::fs::read_dir(&path) {
                Ok(entries) => scan.stack.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) => {
                    let problem = format!("cannot be listed: {error}; give CAP_DAC_READ_SEARCH");
                    self.report(&path, Some(problem));
                }
            }
        }
        let suspect = match self.baseline.get_mut(&path) {
            Some(known) => {
                known.round = self.round;
                if scan.full {
                    scan.look = Some((path, look));
                    return;
                }
                !look.looks_like(&known.entry)
            }
            None if adopted => true,
            None => {
                scan.look = Some((path, look));
                return;
            }
        };
        if suspect && !self.pending.contains_key(&path) {
            self.nudge(&path, now, Duration::ZERO);
        }
    }

    /// A scan has read a file.
    fn scanned(&mut self, scan: &mut Scan, path: &Path, look: Look, now: Now) {
        let seen = look.finish();
        if let Some(known) = self.baseline.get(path) {
            let same = matches!(&seen, Ok(Seen::There(entry))
                if entry.same_content(&known.entry) && entry.same_attributes(&known.entry));
            if !same && !self.pending.contains_key(path) {
                self.nudge(path, now, Duration::ZERO);
            }
            return;
        }
        if self.baseline.len() >= MAX_PATHS {
            let problem = format!("more than {MAX_PATHS} paths: guard fewer");
            return self.report(&self.root.clone(), Some(problem));
        }
        let entry = match seen {
            Ok(Seen::There(entry)) => entry,
            // Adopted as it was caught; what is written now is seen as a change.
            Ok(Seen::Changing(entry)) => {
                self.nudge(path, now, QUIET);
                entry
            }
            Ok(Seen::Nothing) => return,
            Err(error) => return self.report(path, Some(format!("cannot be read: {error}"))),
        };
        scan.adopted += 1;
        self.emit(Vec::new(), event::key(&self.name(path)), event::encode(&entry));
        self.baseline.insert(path.to_owned(), Known { entry, round: self.round });
    }

    /// Suspects what the scan did not meet, and adopts what it met for the first time.
    fn end_scan(&mut self, scan: &Scan, now: Now) {
        let unmet = self.baseline.iter().filter(|(_, known)| known.round != self.round);
        let unmet: Vec<PathBuf> = unmet.map(|(path, _)| path.clone()).collect();
        for path in unmet {
            if self.resolved.entry_of(&path).is_none() {
                // No longer configured: nobody asked to be told of it.
                self.baseline.remove(&path);
                self.emit(Vec::new(), event::key(&self.name(&path)), Bytes::new());
            } else if !self.pending.contains_key(&path) {
                self.nudge(&path, now, Duration::ZERO);
            }
        }
        let entries: BTreeSet<String> = self.scope.entries().iter().cloned().collect();
        if entries == self.adopted.entries {
            return;
        }
        let grew = !entries.is_subset(&self.adopted.entries);
        self.adopted = Adopted { entries };
        let position = serde_json::to_vec(&self.adopted).map(Bytes::from).unwrap_or_default();
        let mut records = Vec::new();
        if grew {
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            let fields = vec![
                text("event.action", "baseline"),
                integer("hengwei.fim.paths", count(self.baseline.len())),
                integer("hengwei.fim.adopted", count(scan.adopted)),
            ];
            let mut record = NewRecord::fields(now.wall, fields);
            record.time = now.wall;
            records.push(record);
        }
        self.emit(records, ADOPTED.to_owned(), position);
    }

    fn name(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(path))
    }

    fn emit(&mut self, records: Vec<NewRecord>, key: String, position: Bytes) {
        let origin = Arc::clone(&self.origin);
        let position = Some((key, position));
        self.outbox.push_back(Chunk { kind: Kind::Security, origin, records, position });
    }

    /// Tells of a change only: a problem that stays is said once.
    fn report(&mut self, path: &Path, problem: Option<String>) {
        let name = self.name(path).to_string_lossy().into_owned();
        let changed = match problem {
            Some(_) => self.problems.insert(name.clone()),
            None => self.problems.remove(&name),
        };
        if changed {
            self.reports.push((name, problem));
        }
    }
}

fn children(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

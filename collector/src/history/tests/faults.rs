//! Power cuts and failing syncs at every single step: what was answered is held once, whatever the
//! disk had of it.
//!
//! [`Platter`] is a disk whose cache can be lost. It knows the bytes and names that are durable, and
//! behaves like Linux where a sync fails: what was not written is forgotten, still reads well from
//! memory, and the next sync succeeds without it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::history::open::LOG;

/// What the disk is to do when so many steps were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Writes nothing, or half, and says so.
    Write(io::ErrorKind, bool),
    /// Forgets what was to be made durable, and says so once.
    Sync,
    /// The same, at the next sync of this inode. Threads of history's own sync what they write
    /// whenever they like, so a test that means one file says which.
    SyncOf(u64),
}

/// A disk that knows what a power cut would leave of it.
#[derive(Debug, Default)]
struct Platter {
    state: Mutex<State>,
    /// Commits that were answered.
    answered: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Writes since the last sync, by inode.
    cached: HashMap<u64, Vec<(u64, Vec<u8>)>>,
    /// What is durable of each inode.
    bytes: HashMap<u64, Vec<u8>>,
    /// What is durable of each directory.
    names: HashMap<PathBuf, Vec<(OsString, u64)>>,
    /// Every file seen, so that no inode number is given to another.
    held: HashMap<u64, File>,
    writes: usize,
    syncs: usize,
    /// Counts from 0 among the steps it fails.
    fault: Option<(usize, Fault)>,
    /// Where to put what a power cut would leave after each sync, and what was answered by then.
    album: Option<(PathBuf, PathBuf)>,
    taken: Vec<(u64, PathBuf)>,
}

impl Platter {
    fn failing(at: usize, fault: Fault) -> Arc<Platter> {
        let platter = Platter::default();
        platter.state.lock().unwrap().fault = Some((at, fault));
        Arc::new(platter)
    }

    fn photographing(from: &Path, to: &Path) -> Arc<Platter> {
        let platter = Platter::default();
        platter.state.lock().unwrap().album = Some((from.to_owned(), to.to_owned()));
        Arc::new(platter)
    }

    /// Whether the fault came.
    fn failed(&self) -> bool {
        self.state.lock().unwrap().fault.is_none()
    }

    /// Writes down what a power cut would leave of `from` now.
    fn cut_power(&self, from: &Path, to: &Path) {
        self.state.lock().unwrap().leave(from, to);
    }
}

impl State {
    fn leave(&self, from: &Path, to: &Path) {
        for (dir, names) in &self.names {
            let target = to.join(dir.strip_prefix(from).expect("below the folder"));
            fs::create_dir_all(&target).expect("creates");
            for (name, inode) in names {
                let bytes = self.bytes.get(inode).map(Vec::as_slice).unwrap_or_default();
                fs::write(target.join(name), bytes).expect("writes");
            }
        }
    }

    fn photograph(&mut self, answered: u64) {
        let Some((from, album)) = &self.album else { return };
        let to = album.join(self.taken.len().to_string());
        self.leave(from, &to);
        self.taken.push((answered, to));
    }

    /// The fault, when it is this one's turn.
    fn due(&mut self, nth: usize, kind: fn(Fault) -> bool) -> Option<Fault> {
        let (at, fault) = self.fault?;
        let due = at == nth && kind(fault);
        due.then(|| self.fault = None).map(|()| fault)
    }

    /// `inode` is none for a directory.
    fn sync_due(&mut self, inode: Option<u64>) -> io::Result<()> {
        self.syncs += 1;
        let mut failed = self.due(self.syncs - 1, |fault| fault == Fault::Sync).is_some();
        if let (Some((_, Fault::SyncOf(meant))), Some(inode)) = (self.fault, inode)
            && meant == inode
        {
            self.fault = None;
            failed = true;
        }
        if failed { Err(io::Error::other("the disk did not take it")) } else { Ok(()) }
    }
}

impl Disk for Platter {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let inode = file.metadata()?.ino();
        let nth = state.writes;
        state.writes += 1;
        let fault = state.due(nth, |fault| matches!(fault, Fault::Write(..)));
        let (bytes, failed) = match fault {
            Some(Fault::Write(kind, half)) => {
                (&bytes[..if half { bytes.len() / 2 } else { 0 }], Some(kind))
            }
            _ => (bytes, None),
        };
        file.write_all_at(bytes, offset)?;
        state.held.entry(inode).or_insert(file.try_clone()?);
        state.cached.entry(inode).or_default().push((offset, bytes.to_vec()));
        failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let metadata = file.metadata()?;
        let cached = state.cached.remove(&metadata.ino()).unwrap_or_default();
        state.sync_due(Some(metadata.ino()))?;
        let durable = state.bytes.entry(metadata.ino()).or_default();
        for (offset, bytes) in cached {
            let offset = offset as usize;
            durable.resize(durable.len().max(offset + bytes.len()), 0);
            durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        durable.resize(metadata.len() as usize, 0);
        state.photograph(self.answered.load(Ordering::Relaxed));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.sync_due(None)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if state.held.contains_key(&entry.ino()) {
                names.push((entry.file_name(), entry.ino()));
            }
        }
        state.names.insert(dir.to_owned(), names);
        state.photograph(self.answered.load(Ordering::Relaxed));
        Ok(())
    }
}

/// History on such a disk, opened again whenever it may not go on.
struct Run {
    place: Place,
    disk: Arc<Platter>,
    open: Option<(Writer, History)>,
}

impl Run {
    fn new(place: Place, disk: Arc<Platter>) -> Run {
        let mut run = Run { place, disk, open: None };
        run.reopen();
        run
    }

    /// A process that can't open history is started again.
    fn reopen(&mut self) {
        self.open = None;
        for _ in 0..3 {
            let disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
            let sign_every = std::time::Duration::ZERO;
            let options = Options { disk, sign_every, ..self.place.options() };
            if let Ok(open) = Writer::open(&self.place.dir, options) {
                self.open = Some(open);
                return;
            }
        }
        panic!("history does not open any more");
    }

    fn parts(&mut self) -> (&mut Writer, &History) {
        let (writer, history) = self.open.as_mut().expect("it is open");
        (writer, history)
    }

    /// Commits the nth draft as its agent would: sent again until history has it, once.
    fn commit(&mut self, n: u64) {
        for _ in 0..4 {
            let (writer, history) = self.parts();
            let row = history.queue("a", Kind::Log, &[7; 16]);
            if row.is_some_and(|row| row.next > n) {
                break;
            }
            let entries = vec![entry("alert.raised", n as i64)];
            let draft = Draft { entries, ..batch(lines("a", Kind::Log, n, 1)) };
            if let Err(Error::Poisoned(_)) = writer.commit(draft) {
                self.reopen();
            }
        }
        self.disk.answered.store(n, Ordering::Relaxed);
    }

    /// Seals until it is done.
    fn seal(&mut self) {
        for _ in 0..4 {
            match self.parts().1.seal() {
                Ok(()) => return,
                Err(Error::Poisoned(_)) => self.reopen(),
                Err(_) => {}
            }
        }
        panic!("nothing is sealed any more");
    }

    /// Everything that changes files, more than once.
    fn live(&mut self) {
        for n in 1..=8 {
            self.commit(n);
            if n % 3 == 0 {
                self.seal();
            }
        }
    }
}

/// The numbers of all records held, ascending.
fn numbers(history: &History) -> Vec<u64> {
    let mut numbers: Vec<_> =
        all(history, &Range::default()).iter().map(|seen| seen.number).collect();
    numbers.sort_unstable();
    numbers
}

/// Opens what a power cut left. Every record up to `answered` is there, at most one more is, and it
/// goes on.
fn check_after_cut(place: &Place, dir: &Path, answered: u64, what: &str) {
    let options = Options { key: Some(place.key.clone()), ..Options::default() };
    let (mut writer, history) = Writer::open(dir, options).expect("opens");
    let held = numbers(&history);
    let expected: Vec<u64> = (1..=held.len() as u64).collect();
    assert_eq!(held, expected, "{what}: a record is missing or doubled");
    let count = held.len() as u64;
    assert!(
        (answered..=answered + 1).contains(&count),
        "{what}: {count} held, {answered} answered"
    );
    assert_eq!(history.status().damaged, 0, "{what}");
    let next =
        Draft { entries: vec![entry("on", 1)], ..batch(lines("a", Kind::Log, count + 1, 1)) };
    writer.commit(next).expect("commits");
    history.seal().expect("seals");
    assert_eq!(numbers(&history).len() as u64, count + 1, "{what}");
    let report = verify(dir, VerifyOptions::default()).expect("verifies");
    assert!(report.is_clean(), "{what}: {report:#?}");
}

#[test]
fn a_power_cut_after_any_sync_leaves_what_was_answered() {
    let place = Place::new();
    let album = tempfile::tempdir().expect("a directory");
    let disk = Platter::photographing(&place.dir, album.path());
    let mut run = Run::new(place, Arc::clone(&disk));
    run.live();
    drop(run.open.take());
    let taken = std::mem::take(&mut disk.state.lock().unwrap().taken);
    assert!(taken.len() > 40, "{}", taken.len());
    for (answered, dir) in taken {
        check_after_cut(&run.place, &dir, answered, &dir.display().to_string());
    }
}

#[test]
fn a_failed_sync_at_any_step_loses_and_doubles_nothing() {
    every_step(|at| Platter::failing(at, Fault::Sync), 30);
}

#[test]
fn a_failed_write_at_any_step_loses_and_doubles_nothing() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for half in [false, true] {
            every_step(|at| Platter::failing(at, Fault::Write(kind, half)), 30);
        }
    }
}

/// Lives with the fault at the first step, the second and so on, until there is no such step; then
/// the power is cut.
fn every_step(disk: impl Fn(usize) -> Arc<Platter>, least: usize) {
    for at in 0.. {
        let disk = disk(at);
        let mut run = Run::new(Place::new(), Arc::clone(&disk));
        run.live();
        let what = format!("fault at step {at}");
        assert_eq!(numbers(run.parts().1), (1..=8).collect::<Vec<_>>(), "{what}");
        let report = run.place.verify();
        assert!(report.is_clean(), "{what}: {report:#?}");
        drop(run.open.take());
        let left = tempfile::tempdir().expect("a directory");
        disk.cut_power(&run.place.dir, left.path());
        check_after_cut(&run.place, left.path(), 8, &what);
        if !disk.failed() {
            assert!(at >= least, "only {at} steps could fail");
            return;
        }
    }
}

#[test]
fn what_only_memory_had_after_a_failed_sync_is_written_again_at_open() {
    let disk = Arc::new(Platter::default());
    let mut run = Run::new(Place::new(), Arc::clone(&disk));
    run.commit(1);
    let log = fs::read_dir(run.place.dir.join(LOG)).expect("reads").next().expect("a log file");
    disk.state.lock().unwrap().fault = Some((0, Fault::SyncOf(log.expect("reads").ino())));
    let (writer, _) = run.parts();
    let refused = writer.commit(batch(lines("a", Kind::Log, 2, 1)));
    assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
    run.reopen();
    assert_eq!(numbers(run.parts().1), [1, 2], "memory still has it");
    let left = tempfile::tempdir().expect("a directory");
    disk.cut_power(&run.place.dir, left.path());
    check_after_cut(&run.place, left.path(), 2, "cut after it was opened again");
}

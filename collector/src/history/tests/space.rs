//! A disk that is full, or fails: nothing is half done, decisions go on, and it recovers by itself.

use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

/// A disk that fails when it is told to.
#[derive(Debug)]
struct Faulty {
    free: AtomicU64,
    /// What becomes of the next writes, the next one last; one that fails writes half first.
    writes: Mutex<Vec<Option<io::ErrorKind>>>,
    sync_fails: AtomicBool,
}

impl Faulty {
    fn new() -> Arc<Faulty> {
        Arc::new(Faulty {
            free: AtomicU64::new(50 << 30),
            writes: Mutex::default(),
            sync_fails: AtomicBool::new(false),
        })
    }

    fn fail_writes(&self, errors: &[io::ErrorKind]) {
        *self.writes.lock().unwrap() = errors.iter().copied().map(Some).collect();
    }
}

impl Disk for Faulty {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let error = self.writes.lock().unwrap().pop().flatten();
        let Some(error) = error else { return file.write_all_at(bytes, offset) };
        file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
        Err(error.into())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        file.sync_data()
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free_bytes: self.free.load(Ordering::Relaxed), total_bytes: 100 << 30 })
    }
}

fn open(place: &Place, disk: &Arc<Faulty>) -> (Writer, History) {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    Writer::open(&place.dir, Options { disk, ..place.options() }).expect("opens")
}

fn decision() -> Draft {
    Draft { entries: vec![entry("alert.changed", 1)], ..Draft::default() }
}

#[test]
fn below_low_water_decisions_go_on_and_batches_wait() {
    let (place, disk) = (Place::new(), Faulty::new());
    let (mut writer, history) = open(&place, &disk);
    let full = |result: Result<Committed, Error>| matches!(result, Err(Error::Full(_)));
    writer.commit(batch(lines("a", Kind::Log, 1, 1))).expect("commits");
    disk.free.store((1 << 30) - 1, Ordering::Relaxed);
    assert!(full(writer.commit(batch(lines("a", Kind::Log, 2, 1)))));
    assert_eq!(writer.commit(decision()).expect("commits").number, 2);
    let status = history.status();
    assert_eq!((status.low, status.commits, status.low_water_bytes), (true, 2, 1 << 30));
    // A little above the mark is not yet room enough.
    disk.free.store((1 << 30) + 1, Ordering::Relaxed);
    assert!(full(writer.commit(batch(lines("a", Kind::Log, 2, 1)))));
    disk.free.store(2 << 30, Ordering::Relaxed);
    assert_eq!(writer.commit(batch(lines("a", Kind::Log, 2, 1))).expect("commits").number, 3);
    assert!(!history.status().low);
    assert!(place.verify().is_clean());
}

#[test]
fn a_full_disk_leaves_nothing_half_done_and_the_reserve_takes_decisions() {
    use io::ErrorKind::StorageFull;
    let (place, disk) = (Place::new(), Faulty::new());
    let (mut writer, history) = open(&place, &disk);
    let reserve = history.status().reserve_bytes;
    assert!(reserve > 0);
    disk.fail_writes(&[StorageFull]);
    let refused = writer.commit(batch(lines("a", Kind::Log, 1, 1)));
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    assert_eq!(history.status().commits, 0);
    assert_eq!(history.queue("a", Kind::Log, &[7; 16]), None);
    disk.free.store(0, Ordering::Relaxed);
    disk.fail_writes(&[StorageFull]);
    assert_eq!(writer.commit(decision()).expect("the reserve").number, 1);
    assert!(history.status().reserve_bytes < reserve);
    disk.fail_writes(&[StorageFull, StorageFull]);
    assert!(matches!(writer.commit(decision()), Err(Error::Full(_))));
    disk.free.store(50 << 30, Ordering::Relaxed);
    assert_eq!(writer.commit(batch(lines("a", Kind::Log, 1, 1))).expect("commits").number, 2);
    let wait = std::time::Instant::now();
    while history.status().reserve_bytes < reserve {
        assert!(wait.elapsed().as_secs() < 20, "the reserve was not made whole");
        std::thread::yield_now();
    }
    drop((writer, history));
    let (_writer, history) = place.open();
    assert_eq!(history.status().commits, 2);
    assert!(place.verify().is_clean());
}

#[test]
fn a_failed_write_is_tried_again_as_the_same_frame() {
    use io::ErrorKind::Other;
    let (place, disk) = (Place::new(), Faulty::new());
    let (mut writer, history) = open(&place, &disk);
    disk.fail_writes(&[Other, Other]);
    writer.commit(batch(lines("a", Kind::Log, 1, 1))).expect("commits at the third try");
    disk.fail_writes(&[Other, Other, Other]);
    let refused = writer.commit(batch(lines("a", Kind::Log, 2, 1)));
    assert!(matches!(refused, Err(Error::Unusable(_))), "{refused:?}");
    writer.commit(batch(lines("a", Kind::Log, 2, 1))).expect("commits");
    assert_eq!(all(&history, &Range::default()).len(), 2);
    assert!(place.verify().is_clean());
}

#[test]
fn after_a_failed_sync_nothing_is_taken_until_it_is_opened_again() {
    let (place, disk) = (Place::new(), Faulty::new());
    let (mut writer, history) = open(&place, &disk);
    writer.commit(decision()).expect("commits");
    disk.sync_fails.store(true, Ordering::Relaxed);
    let poisoned = |result: Result<Committed, Error>| matches!(result, Err(Error::Poisoned(_)));
    assert!(poisoned(writer.commit(decision())));
    disk.sync_fails.store(false, Ordering::Relaxed);
    assert!(poisoned(writer.commit(decision())));
    assert!(history.status().poisoned);
    assert!(writer.close().is_err());
    drop(history);
    let (mut writer, history) = place.open();
    let commits = history.status().commits;
    assert!((1..=2).contains(&commits));
    assert_eq!(writer.commit(decision()).expect("commits").number, commits + 1);
}

#[test]
fn a_seal_without_room_leaves_the_log_and_comes_back_to_it() {
    let (place, disk) = (Place::new(), Faulty::new());
    let (mut writer, history) = open(&place, &disk);
    writer.commit(batch(lines("a", Kind::Log, 1, 5))).expect("commits");
    // Each round another write of the seal is the one that fails.
    let mut failed = 0;
    for round in 0..14 {
        let mut errors = vec![None; round + 1];
        errors[0] = Some(io::ErrorKind::StorageFull);
        *disk.writes.lock().unwrap() = errors;
        failed += u64::from(history.seal().is_err());
        disk.fail_writes(&[]);
        assert_eq!(all(&history, &Range::default()).len(), 5 + round, "round {round}");
        writer.commit(batch(lines("a", Kind::Log, 6 + round as u64, 1))).expect("commits");
    }
    assert!(failed >= 5, "{failed}");
    history.seal().expect("seals");
    assert_eq!(all(&history, &Range::default()).len(), 19);
    assert_eq!(history.status().log_files, 1);
    assert!(place.verify().is_clean());
}

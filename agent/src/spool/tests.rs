//! The spool against the rules its documentation states, and against a model that crashes, tears and
//! damages it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::disk::{Space, Step};
use super::*;

const HUGE: Space = Space { total: 1 << 40, free: 1 << 39 };

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn disk() -> Disk {
    Disk { hook: None, space: Some(Arc::new(Mutex::new(HUGE))) }
}

fn open(dir: &Path) -> Spool {
    Spool::open_on(disk(), dir, &Options::default()).expect("opens")
}

fn chunk(kind: Kind, lines: &[String], position: u64) -> Chunk {
    let line = |text: &String| NewRecord::line(7, text.clone().into());
    Chunk {
        kind,
        origin: Arc::new(Origin { source: "files".into(), ..Origin::default() }),
        records: lines.iter().map(line).collect(),
        position: Some(("at".to_owned(), position.to_string().into())),
    }
}

/// One source per kind, whose lines are numbers and whose position is how many it has sent.
struct Feeder {
    spool: Spool,
    sent: BTreeMap<Kind, u64>,
}

impl Feeder {
    fn new(spool: Spool) -> Feeder {
        let sent = Kind::ALL.map(|kind| (kind, place(&spool, kind))).into_iter().collect();
        Feeder { spool, sent }
    }

    async fn send(&mut self, kind: Kind, count: u64, pad: usize) {
        let sent = self.sent.entry(kind).or_default();
        let lines: Vec<String> =
            (*sent..*sent + count).map(|n| format!("{n} {}", "x".repeat(pad))).collect();
        *sent += count;
        let chunk = chunk(kind, &lines, *sent);
        let appended = self.spool.append(&kind.as_str().into(), chunk, false).await;
        assert_eq!(appended, Ok(Appended::Taken));
    }

    async fn stored(&mut self, kind: Kind, count: u64, pad: usize) {
        self.send(kind, count, pad).await;
        self.spool.flush().await.expect("flushes");
    }
}

fn place(spool: &Spool, kind: Kind) -> u64 {
    let place = spool.position(kind.as_str(), "at").unwrap_or_else(|| "0".into());
    std::str::from_utf8(&place).expect("text").parse().expect("a number")
}

/// What a queue would send: lines by their leading number, gaps as (cause, span).
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Line(u64),
    Gap(String, u64),
}

/// Reads all that is not acknowledged, checks that numbers have no hole, and returns it.
fn drain(spool: &Spool, kind: Kind) -> Vec<Item> {
    let (mut next, mut items) = (spool.state(kind).next, Vec::new());
    while let Some(slice) = spool.read(kind, next, 1000).expect("reads") {
        let batch = hengwei_protocol::block::pack(kind, Bytes::new(), &slice.block).expect("packs");
        hengwei_protocol::block::unpack(&batch).expect("the collector takes it");
        assert_eq!(batch.first, next);
        assert_eq!(batch.first + batch.span, slice.next);
        next = slice.next;
        items.extend(slice.block.records.iter().map(|record| match &record.body {
            Some(Body::Gap(gap)) => Item::Gap(gap.cause.clone(), gap.span),
            Some(Body::Original(line)) => {
                let text = std::str::from_utf8(line).expect("text");
                Item::Line(text.split(' ').next().expect("a word").parse().expect("a number"))
            }
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(next, spool.next(kind), "everything synced is readable");
    items
}

fn lines(range: std::ops::Range<u64>) -> Vec<Item> {
    range.map(Item::Line).collect()
}

fn gap(cause: Cause, span: u64) -> Item {
    Item::Gap(cause.as_str().to_owned(), span)
}

fn files(dir: &Path, kind: Kind) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join(kind.as_str())).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            // A file may go while the folder is read; a copy made by a crash has no better view.
            false => drop(fs::copy(&path, &target)),
        }
    }
}

fn ack_all(spool: &Spool, kind: Kind) {
    let epoch = spool.state(kind).epoch;
    let mut next = spool.state(kind).next;
    while let Some(slice) = spool.read(kind, next, 1 << 20).expect("reads") {
        next = slice.next;
        assert_eq!(spool.ack(kind, &epoch, next, Some(slice.digest)), Acked::Advanced);
    }
}

#[test]
fn what_is_stored_comes_back_with_its_position_after_a_restart() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let mut feeder = Feeder::new(open(dir.path()));
        feeder.stored(Kind::Log, 3, 10).await;
        feeder.stored(Kind::Security, 2, 10).await;
        let before = feeder.spool.state(Kind::Log);
        assert_eq!(feeder.spool.close().await, Health::Closed);
        let spool = open(dir.path());
        assert_eq!(spool.state(Kind::Log), before);
        assert_eq!(drain(&spool, Kind::Log), lines(0..3));
        assert_eq!((place(&spool, Kind::Log), place(&spool, Kind::Security)), (3, 2));
        let mut feeder = Feeder::new(spool);
        feeder.stored(Kind::Log, 2, 10).await;
        assert_eq!(drain(&feeder.spool, Kind::Log), lines(0..5));
        assert_eq!(files(dir.path(), Kind::Log).len(), 1, "a restart goes on in the same file");
    });
}

#[test]
fn only_one_agent_holds_a_spool() {
    let dir = TempDir::new().expect("a folder");
    let _spool = open(dir.path());
    let second = Spool::open_on(disk(), dir.path(), &Options::default());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
}

#[test]
fn an_ack_deletes_whole_files_and_never_a_position() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let options = Options { max_bytes: Some(4 << 20) };
        let mut feeder = Feeder::new(Spool::open_on(disk(), dir.path(), &options).expect("opens"));
        feeder.stored(Kind::Asset, 1, 10).await;
        for _ in 0..20 {
            feeder.stored(Kind::Log, 50, 1000).await;
        }
        assert!(files(dir.path(), Kind::Log).len() > 2);
        ack_all(&feeder.spool, Kind::Asset);
        ack_all(&feeder.spool, Kind::Log);
        let state = feeder.spool.state(Kind::Log);
        assert_eq!(state.next, 1001);
        let epoch = state.epoch.clone();
        let spool = &feeder.spool;
        assert_eq!(spool.ack(Kind::Log, &epoch, 1001, None), Acked::Known);
        assert_eq!(spool.ack(Kind::Log, &epoch, 1002, None), Acked::Ahead);
        assert_eq!(spool.ack(Kind::Log, b"another", 1001, None), Acked::OtherEpoch);
        feeder.spool.close().await;
        assert_eq!(files(dir.path(), Kind::Log).len(), 1);
        let spool = open(dir.path());
        assert_eq!(spool.state(Kind::Log), state);
        assert_eq!((place(&spool, Kind::Asset), place(&spool, Kind::Log)), (1, 1000));
    });
}

#[test]
fn the_newest_position_wins_over_all_queues_and_empty_bytes_forget() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let spool = open(dir.path());
        let source: Arc<str> = "journal".into();
        let mut put = Vec::new();
        for (kind, key, value) in [
            (Kind::Log, "a", "1"),
            (Kind::Security, "a", "2"),
            (Kind::Log, "a", "3"),
            (Kind::Security, "a/b", "4"),
            (Kind::Log, "gone", "5"),
            (Kind::Security, "gone", ""),
        ] {
            let position = Some((key.to_owned(), Bytes::from_static(value.as_bytes())));
            put.push(Chunk { position, ..chunk(kind, &["0".to_owned()], 0) });
        }
        for chunk in put {
            spool.append(&source, chunk, true).await.expect("takes");
        }
        spool.flush().await.expect("flushes");
        let check = |spool: &Spool| {
            assert_eq!(spool.position("journal", "a"), Some("3".into()));
            assert_eq!(spool.position("journal", "gone"), None);
            let all = [("a".to_owned(), "3".into()), ("a/b".to_owned(), "4".into())];
            assert_eq!(spool.positions("journal", ""), all);
            assert_eq!(spool.positions("journal", "a/"), all[1..]);
            assert_eq!(spool.positions("files", ""), []);
        };
        check(&spool);
        spool.close().await;
        check(&open(dir.path()));
    });
}

#[test]
fn a_torn_tail_is_cut_and_its_numbers_are_used_again() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let mut feeder = Feeder::new(open(dir.path()));
        feeder.stored(Kind::Log, 3, 10).await;
        let path = files(dir.path(), Kind::Log).remove(0);
        let whole = fs::metadata(&path).expect("a file").len();
        feeder.stored(Kind::Log, 3, 10).await;
        feeder.spool.close().await;
        let longer = fs::metadata(&path).expect("a file").len();
        for len in whole..longer {
            let copied = TempDir::new().expect("a folder");
            copy(dir.path(), copied.path());
            let path = files(copied.path(), Kind::Log).remove(0);
            File::options().write(true).open(path).expect("opens").set_len(len).expect("cuts");
            let spool = open(copied.path());
            assert_eq!(drain(&spool, Kind::Log), lines(0..3), "cut at {len}");
            assert_eq!(place(&spool, Kind::Log), 3);
            let mut feeder = Feeder::new(spool);
            feeder.stored(Kind::Log, 1, 10).await;
            assert_eq!(drain(&feeder.spool, Kind::Log), lines(0..4), "cut at {len}");
        }
    });
}

#[test]
fn a_damaged_frame_in_the_middle_becomes_a_gap_at_open_and_while_running() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let mut feeder = Feeder::new(open(dir.path()));
        feeder.stored(Kind::Log, 3, 10).await;
        let path = files(dir.path(), Kind::Log).remove(0);
        let begin = usize::try_from(fs::metadata(&path).expect("a file").len()).expect("fits");
        feeder.stored(Kind::Log, 4, 10).await;
        let end = usize::try_from(fs::metadata(&path).expect("a file").len()).expect("fits");
        feeder.stored(Kind::Log, 2, 10).await;
        let expected = [lines(0..3), vec![gap(Cause::SpoolDamaged, 4)], lines(7..9)].concat();
        let intact = fs::read(&path).expect("reads");
        for at in [begin, begin + 5, begin + 9, begin + 13, begin + 20, begin + 30, end - 1] {
            let mut bytes = intact.clone();
            bytes[at] ^= 0x10;
            let copied = TempDir::new().expect("a folder");
            copy(dir.path(), copied.path());
            fs::write(files(copied.path(), Kind::Log).remove(0), bytes).expect("writes");
            let spool = open(copied.path());
            assert_eq!(drain(&spool, Kind::Log), expected, "byte {at}");
            assert_eq!(place(&spool, Kind::Log), 9);
            spool.close().await;
            let again = open(copied.path());
            assert_eq!(drain(&again, Kind::Log), expected, "the same after another start");
            ack_all(&again, Kind::Log);
            assert_eq!(drain(&again, Kind::Log), []);
        }
        let mut bytes = intact.clone();
        bytes[end - 1] ^= 1;
        fs::write(&path, bytes).expect("writes");
        assert_eq!(drain(&feeder.spool, Kind::Log), expected, "under a running agent");
        assert_eq!(feeder.spool.known(Kind::Log, 4).expect("reads"), Known::Lost);
    });
}

#[test]
fn a_file_that_somebody_took_away_becomes_a_gap() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let options = Options { max_bytes: Some(4 << 20) };
        let mut feeder = Feeder::new(Spool::open_on(disk(), dir.path(), &options).expect("opens"));
        for _ in 0..15 {
            feeder.stored(Kind::Log, 50, 1000).await;
        }
        feeder.spool.close().await;
        let files = files(dir.path(), Kind::Log);
        assert!(files.len() > 2);
        fs::remove_file(&files[1]).expect("removes");
        let items = drain(&open(dir.path()), Kind::Log);
        let lost: u64 = items.iter().map(|i| if let Item::Gap(_, n) = i { *n } else { 0 }).sum();
        assert!(lost > 0 && items.iter().filter(|i| matches!(i, Item::Gap(..))).count() == 1);
        assert_eq!(items.len() as u64 - 1 + lost, 750);
    });
}

#[test]
fn a_new_epoch_renumbers_what_is_not_acknowledged_behind_a_gap() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let mut feeder = Feeder::new(open(dir.path()));
        feeder.stored(Kind::Log, 5, 10).await;
        let old = feeder.spool.state(Kind::Log);
        feeder.spool.ack(Kind::Log, &old.epoch, 3, Some([9; 32]));
        let begin = async |spool: &Spool| {
            spool.begin_epoch(Kind::Log, Cause::RolledBack, "why".into()).await.expect("begins");
        };
        begin(&feeder.spool).await;
        let new = feeder.spool.state(Kind::Log);
        assert_ne!(new.epoch, old.epoch);
        assert_eq!((new.next, new.digest.len()), (1, 0));
        let expected = [vec![gap(Cause::RolledBack, 1)], lines(2..5)].concat();
        assert_eq!(drain(&feeder.spool, Kind::Log), expected);
        assert_eq!(feeder.spool.ack(Kind::Log, &old.epoch, 4, None), Acked::OtherEpoch);
        begin(&feeder.spool).await;
        assert_eq!(drain(&feeder.spool, Kind::Log), expected, "gaps in front don't pile up");
        feeder.stored(Kind::Log, 1, 10).await;
        let state = feeder.spool.state(Kind::Log);
        feeder.spool.close().await;
        // Without the state's file the newest header says the same.
        fs::remove_file(dir.path().join("log/state")).expect("removes");
        let spool = open(dir.path());
        assert_eq!(spool.state(Kind::Log).epoch, state.epoch);
        assert_eq!(drain(&spool, Kind::Log).last(), Some(&Item::Line(5)));
        assert_eq!(spool.next(Kind::Log), 6);
    });
}

#[test]
fn digests_are_known_while_the_record_is_there() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let mut feeder = Feeder::new(open(dir.path()));
        feeder.stored(Kind::Log, 5, 10).await;
        let spool = &feeder.spool;
        let slice = spool.read(Kind::Log, 1, 1 << 20).expect("reads").expect("some");
        assert_eq!((slice.next, slice.block.records.len()), (6, 5));
        for record in &slice.block.records {
            let digest = record::digest(&slice.block.origins[0], record);
            assert_eq!(
                spool.known(Kind::Log, record.number).expect("reads"),
                Known::Digest(digest)
            );
        }
        for number in [0, 6, u64::MAX] {
            assert_eq!(spool.known(Kind::Log, number).expect("reads"), Known::Absent, "{number}");
        }
    });
}

#[test]
fn a_full_spool_holds_up_who_can_wait_and_drops_by_kind_with_gaps() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let options = Options { max_bytes: Some(4 << 20) };
        let spool = Spool::open_on(disk(), dir.path(), &options).expect("opens");
        let mut feeder = Feeder::new(spool.clone());
        for _ in 0..4 {
            feeder.stored(Kind::Performance, 100, 1000).await;
        }
        feeder.stored(Kind::Security, 10, 1000).await;
        for _ in 0..30 {
            feeder.stored(Kind::Log, 100, 1000).await;
        }
        spool.shared.full.subscribe().wait_for(|full| *full).await.expect("becomes full");
        let waits = chunk(Kind::Log, &["held".to_owned()], 1);
        let patient: Arc<str> = "patient".into();
        let held = spool.append(&patient, waits, true);
        tokio::pin!(held);
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(held.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "a source that can wait does");
        for _ in 0..25 {
            feeder.stored(Kind::Log, 100, 1000).await;
        }
        let performance = drain(&spool, Kind::Performance);
        // Whole files went; what is left is the one that was still written to.
        assert_eq!(performance[0], gap(Cause::SpoolFull, 200));
        assert_eq!(performance[1..], lines(200..400));
        let log = drain(&spool, Kind::Log);
        assert!(matches!(&log[0], Item::Gap(cause, _) if cause == "spool-full"), "{:?}", log[0]);
        assert_eq!(log.last(), Some(&Item::Line(5499)));
        assert_eq!(drain(&spool, Kind::Security), lines(0..10));
        let used: u64 = spool.status().iter().map(|queue| queue.bytes).sum();
        assert!(used <= 4 << 20, "{used}");
        ack_all(&spool, Kind::Log);
        assert_eq!(held.await, Ok(Appended::Taken));
        spool.flush().await.expect("flushes");
        assert_eq!(spool.position("patient", "at"), Some("1".into()));
    });
}

#[test]
fn what_was_dropped_stays_a_gap_after_a_restart_and_the_collector_may_have_part_of_it() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let options = Options { max_bytes: Some(1 << 20) };
        let spool = Spool::open_on(disk(), dir.path(), &options).expect("opens");
        let mut feeder = Feeder::new(spool.clone());
        for _ in 0..30 {
            feeder.stored(Kind::Log, 50, 1000).await;
        }
        let before = drain(&spool, Kind::Log);
        assert!(matches!(before[0], Item::Gap(..)));
        spool.close().await;
        let spool = Spool::open_on(disk(), dir.path(), &options).expect("opens");
        assert_eq!(drain(&spool, Kind::Log), before);
        // The collector had taken the first ten before they were dropped here.
        assert_eq!(spool.known(Kind::Log, 10).expect("reads"), Known::Lost);
        let epoch = spool.state(Kind::Log).epoch;
        assert_eq!(spool.ack(Kind::Log, &epoch, 11, Some([1; 32])), Acked::Advanced);
        let Item::Gap(cause, span) = before[0].clone() else { panic!("a gap") };
        assert_eq!(drain(&spool, Kind::Log)[0], Item::Gap(cause, span - 10));
    });
}

#[test]
fn little_free_space_stops_growth_without_evicting_and_passes() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let space = Arc::new(Mutex::new(HUGE));
        let disk = Disk { hook: None, space: Some(Arc::clone(&space)) };
        let options = Options { max_bytes: Some(64 << 20) };
        let spool = Spool::open_on(disk, dir.path(), &options).expect("opens");
        let mut feeder = Feeder::new(spool.clone());
        for _ in 0..200 {
            feeder.stored(Kind::Log, 100, 1000).await;
        }
        let before: u64 = spool.status().iter().map(|queue| queue.bytes).sum();
        *space.lock().expect("locks") = Space { free: 1, ..HUGE };
        while !spool.is_full() {
            // An idle spool does not look; one that is written to does each second.
            feeder.stored(Kind::Security, 1, 10).await;
        }
        for _ in 0..50 {
            feeder.stored(Kind::Log, 100, 1000).await;
        }
        let after: u64 = spool.status().iter().map(|queue| queue.bytes).sum();
        assert!(after <= before + (1 << 20), "{before} grew to {after}");
        assert!(after + (8 << 20) > before, "{before} shrank to {after}");
        *space.lock().expect("locks") = HUGE;
        spool.shared.full.subscribe().wait_for(|full| !*full).await.expect("has room again");
    });
}

#[test]
fn a_failed_sync_poisons_the_spool_for_good() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let fail = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&fail);
        let hook: disk::Hook = Arc::new(move |step| match step {
            Step::Sync(path)
                if path.extension().is_some_and(|e| e == "spool")
                    && seen.load(Ordering::SeqCst) > 0 =>
            {
                Err(io::Error::other("the disk is ill"))
            }
            _ => Ok(()),
        });
        let disk = Disk { hook: Some(hook), ..disk() };
        let spool = Spool::open_on(disk, dir.path(), &Options::default()).expect("opens");
        let mut feeder = Feeder::new(spool.clone());
        feeder.stored(Kind::Log, 3, 10).await;
        fail.store(1, Ordering::SeqCst);
        feeder.send(Kind::Log, 3, 10).await;
        assert_eq!(spool.flush().await, Err(Closed));
        let health = spool.health().borrow().clone();
        assert!(matches!(&health, Health::Poisoned(why) if why.contains("the disk is ill")));
        assert_eq!(drain(&spool, Kind::Log), lines(0..3), "what was not synced is not shown");
        let chunk = chunk(Kind::Log, &["no".to_owned()], 9);
        assert_eq!(spool.append(&"log".into(), chunk, true).await, Err(Closed));
    });
}

/// What a killed agent left in memory may not be on disk, and after a failed sync another sync alone
/// would not bring it there.
#[test]
fn the_newest_file_is_written_again_and_synced_before_it_is_read() {
    let dir = TempDir::new().expect("a folder");
    runtime().block_on(async {
        let spool = open(dir.path());
        Feeder::new(spool.clone()).stored(Kind::Log, 3, 10).await;
        spool.close().await;
    });
    let path = files(dir.path(), Kind::Log).pop().expect("a file");
    let bytes = fs::read(&path).expect("reads");
    let steps = Arc::new(std::sync::Mutex::new(Vec::new()));
    let name = |path: &std::path::Path| path.file_name().unwrap_or_default().to_owned();
    let (seen, newest, fresh) = (Arc::clone(&steps), name(&path), path.with_file_name("fresh.tmp"));
    const ILL: usize = 1;
    const FULL: usize = 2;
    let fail = Arc::new(AtomicUsize::new(0));
    let failing = Arc::clone(&fail);
    let hook: disk::Hook = Arc::new(move |step| {
        let failing = failing.load(Ordering::SeqCst);
        let saw = |what: &str, path: &std::path::Path| {
            let which = if path == fresh { "new" } else { "old" };
            seen.lock().expect("locks").push(format!("{what} {which}"));
        };
        match step {
            Step::Create(path) if path == fresh && failing == FULL => {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Step::Write(path, _) if path == fresh || name(path) == newest => saw("write", path),
            Step::Sync(path) if path == fresh || name(path) == newest => {
                saw("sync", path);
                if failing == ILL {
                    return Err(io::Error::other("the disk is ill"));
                }
            }
            Step::Rename(path) if path == fresh => saw("rename", path),
            _ => {}
        }
        Ok(())
    });
    let disk = Disk { hook: Some(hook), ..disk() };
    for (full, expected) in [
        (0, &["write new", "sync new", "rename new"][..]),
        // Where there is no room for a second file, over the first.
        (FULL, &["write old", "sync old"]),
    ] {
        fail.store(full, Ordering::SeqCst);
        let spool = Spool::open_on(disk.clone(), dir.path(), &Options::default()).expect("opens");
        assert_eq!(std::mem::take(&mut *steps.lock().expect("locks")), expected);
        assert_eq!(drain(&spool, Kind::Log), lines(0..3));
        assert_eq!(fs::read(&path).expect("reads"), bytes);
        runtime().block_on(spool.close());
        steps.lock().expect("locks").clear();
    }
    fail.store(ILL, Ordering::SeqCst);
    let refused = Spool::open_on(disk, dir.path(), &Options::default());
    assert!(matches!(refused, Err(Error::Io { .. })), "it opens only when the sync succeeds");
}

#[test]
fn a_disk_without_space_is_waited_for_and_loses_nothing() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let fail = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&fail);
        let hook: disk::Hook = Arc::new(move |step| match step {
            Step::Write(..) | Step::Create(_) if seen.load(Ordering::SeqCst) > 0 => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        });
        let disk = Disk { hook: Some(hook), ..disk() };
        let spool = Spool::open_on(disk, dir.path(), &Options::default()).expect("opens");
        let mut feeder = Feeder::new(spool.clone());
        feeder.stored(Kind::Security, 3, 10).await;
        fail.store(1, Ordering::SeqCst);
        feeder.send(Kind::Security, 3, 10).await;
        spool.shared.full.subscribe().wait_for(|full| *full).await.expect("becomes full");
        spool.ping().await.expect("the thread lives");
        fail.store(0, Ordering::SeqCst);
        spool.flush().await.expect("flushes");
        assert_eq!(drain(&spool, Kind::Security), lines(0..6));
    });
}

#[test]
fn what_a_slow_disk_could_not_take_from_who_cannot_wait_is_told_in_a_gap() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let slow = watch::Sender::new(false);
        let gate = slow.subscribe();
        let hook: disk::Hook = Arc::new(move |step| {
            if let Step::Sync(_) = step {
                while *gate.borrow() {
                    std::thread::yield_now();
                }
            }
            Ok(())
        });
        let disk = Disk { hook: Some(hook), ..disk() };
        let spool = Spool::open_on(disk, dir.path(), &Options::default()).expect("opens");
        let output = crate::sources::Output::new("test", false, spool.clone(), Arc::default());
        slow.send_replace(true);
        let line = "0 ".to_owned() + &"x".repeat(200_000);
        for _ in 0..100 {
            output
                .send(chunk(Kind::Performance, std::slice::from_ref(&line), 1))
                .await
                .expect("runs");
        }
        slow.send_replace(false);
        spool.flush().await.expect("flushes");
        output.send(chunk(Kind::Performance, &["1".to_owned()], 2)).await.expect("runs");
        spool.flush().await.expect("flushes");
        let (mut lines, mut lost, mut next) = (0, (0, 0), 1);
        while let Some(slice) = spool.read(Kind::Performance, next, 1 << 20).expect("reads") {
            next = slice.next;
            for record in slice.block.records {
                match record.body {
                    Some(Body::Gap(gap)) => {
                        assert_eq!(gap.cause, Cause::Overrun.as_str());
                        lost = (lost.0 + gap.records, lost.1 + gap.bytes);
                    }
                    _ => lines += 1,
                }
            }
        }
        assert!(lost.0 > 0 && lines > 1, "{lines} lines, {lost:?} lost");
        assert_eq!(lines + lost.0, 101);
        assert_eq!(lost.1, lost.0 * line.len() as u64);
    });
}

#[test]
fn a_record_the_wire_would_refuse_is_replaced_by_a_gap() {
    runtime().block_on(async {
        let dir = TempDir::new().expect("a folder");
        let spool = open(dir.path());
        let field = |name: &str, len: usize| record::text(name, "x".repeat(len));
        let records = vec![
            NewRecord::line(1, "0 fine".into()),
            NewRecord::fields(1, vec![field("", 1)]),
            NewRecord::fields(1, vec![field("big", MAX_RECORD)]),
            NewRecord { created: 1, ..NewRecord::default() },
            NewRecord::gap(1, Cause::LineCut, 1, 1, "é".repeat(limits::MAX_NAME)),
        ];
        let origin = Origin { path: "p".repeat(2 * limits::MAX_NAME), ..Origin::default() };
        let chunk = Chunk { kind: Kind::Log, origin: Arc::new(origin), records, position: None };
        spool.append(&"files".into(), chunk, true).await.expect("takes");
        spool.flush().await.expect("flushes");
        let unreadable = gap(Cause::Unreadable, 1);
        let expected = [
            lines(0..1),
            vec![unreadable.clone(), unreadable.clone(), unreadable, gap(Cause::LineCut, 1)],
        ];
        assert_eq!(drain(&spool, Kind::Log), expected.concat());
    });
}

#[derive(Debug, Clone)]
enum Op {
    Send(Kind, u64, usize),
    Flush,
    Ack(Kind, u64),
    Epoch(Kind),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = || prop::sample::select(Kind::ALL.to_vec());
    prop_oneof![
        6 => (kind(), 1u64..20, 0usize..2000).prop_map(|(kind, n, pad)| Op::Send(kind, n, pad)),
        3 => Just(Op::Flush),
        3 => (kind(), 1u64..60).prop_map(|(kind, n)| Op::Ack(kind, n)),
        1 => kind().prop_map(Op::Epoch),
        1 => Just(Op::Reopen),
    ]
}

/// The spool as a collector sees it through any number of crashes.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Lines of each kind that a flush had confirmed.
    stored: BTreeMap<Kind, u64>,
    /// Lines of each kind that the collector has acknowledged.
    acked: BTreeMap<Kind, u64>,
}

impl Model {
    /// What must hold of any image of the disk that had been through this history.
    fn check(&self, spool: &Spool, damaged: bool) {
        for kind in Kind::ALL {
            let items = drain(spool, kind);
            let place = place(spool, kind);
            let stored = self.stored.get(&kind).copied().unwrap_or(0);
            let acked = self.acked.get(&kind).copied().unwrap_or(0);
            let mut seen: Vec<u64> = items
                .iter()
                .filter_map(|item| if let Item::Line(n) = item { Some(*n) } else { None })
                .collect();
            let is_gap =
                |item: &Item| matches!(item, Item::Gap(cause, _) if cause == "spool-damaged");
            let gaps = items.iter().filter(|item| is_gap(item)).count();
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{kind}: doubled {seen:?}");
            if damaged {
                assert!(seen.last().is_none_or(|last| *last < place), "{kind}: beyond its place");
                continue;
            }
            assert_eq!(gaps, 0, "{kind}: a gap without damage");
            assert!(place >= stored, "{kind}: {place} of {stored} stored");
            // An acknowledgement the disk forgot may bring some back; none may be missing.
            let first = seen.first().copied().unwrap_or(place);
            assert!(first <= acked, "{kind}: {first} is first, {acked} were acknowledged");
            seen.retain(|n| *n >= acked);
            assert_eq!(seen, (acked..place).collect::<Vec<u64>>(), "{kind}");
        }
    }
}

/// Runs the operations, calling `crash` with an image of the disk at the `at`-th step.
async fn play(ops: &[Op], dir: &Path, at: usize) -> Option<(TempDir, Model)> {
    let model = Arc::new(Mutex::new(Model::default()));
    let image = Arc::new(Mutex::new(None));
    let count = Arc::new(AtomicUsize::new(0));
    let (root, seen, taken) = (dir.to_owned(), Arc::clone(&model), Arc::clone(&image));
    let hook: disk::Hook = Arc::new(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == at {
            let to = TempDir::new().expect("a folder");
            copy(&root, to.path());
            let model = seen.lock().expect("locks").clone();
            *taken.lock().expect("locks") = Some((to, model));
        }
        Ok(())
    });
    let disk = Disk { hook: Some(hook), ..disk() };
    let options = Options { max_bytes: Some(4 << 20) };
    let mut feeder = Feeder::new(Spool::open_on(disk.clone(), dir, &options).expect("opens"));
    for op in ops {
        match op {
            Op::Send(kind, count, pad) => feeder.send(*kind, *count, *pad).await,
            Op::Flush => {
                feeder.spool.flush().await.expect("flushes");
                model.lock().expect("locks").stored = feeder.sent.clone();
            }
            Op::Ack(kind, count) => {
                let state = feeder.spool.state(*kind);
                let slice = feeder.spool.read(*kind, state.next, 50_000).expect("reads");
                let Some(slice) = slice else { continue };
                let records =
                    slice.block.records.iter().take(usize::try_from(*count).expect("fits"));
                let taken: Vec<_> = records.cloned().collect();
                let lines =
                    taken.iter().filter(|r| matches!(r.body, Some(Body::Original(_)))).count();
                let last = taken.last().expect("at least one");
                let digest = record::digest(&slice.block.origins[last.origin as usize], last);
                let next = record::next(last).expect("small");
                // The model first: an image taken in between may not know it yet, which is allowed.
                *model.lock().expect("locks").acked.entry(*kind).or_default() += lines as u64;
                feeder.spool.ack(*kind, &state.epoch, next, Some(digest));
            }
            Op::Epoch(kind) => {
                let cause = Cause::RolledBack;
                feeder.spool.begin_epoch(*kind, cause, String::new()).await.expect("begins");
            }
            Op::Reopen => {
                feeder.spool.close().await;
                let spool = Spool::open_on(disk.clone(), dir, &options).expect("opens");
                feeder = Feeder::new(spool);
            }
        }
    }
    feeder.spool.flush().await.expect("flushes");
    let mut last = model.lock().expect("locks").clone();
    last.stored = feeder.sent.clone();
    last.check(&feeder.spool, false);
    feeder.spool.close().await;
    image.lock().expect("locks").take()
}

/// Opens an image, checks it, goes on with it, and checks again.
async fn resume(image: &Path, mut model: Model, damaged: bool) {
    let options = Options { max_bytes: Some(4 << 20) };
    let spool = Spool::open_on(disk(), image, &options).expect("opens");
    model.check(&spool, damaged);
    let mut feeder = Feeder::new(spool);
    for kind in Kind::ALL {
        feeder.stored(kind, 3, 10).await;
    }
    model.stored = feeder.sent.clone();
    model.check(&feeder.spool, damaged);
    feeder.spool.close().await;
    let spool = Spool::open_on(disk(), image, &options).expect("opens again");
    model.check(&spool, damaged);
}

/// Few cases in every test run; as many as `PROPTEST_CASES` says in a long one.
fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(48),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_crash_between_any_two_steps_loses_and_doubles_nothing(
        ops in prop::collection::vec(op(), 1..40),
        at in 0usize..200,
    ) {
        runtime().block_on(async {
            let dir = TempDir::new().expect("a folder");
            if let Some((image, model)) = play(&ops, dir.path(), at).await {
                resume(image.path(), model, false).await;
            }
        });
    }

    #[test]
    fn a_tail_torn_at_any_byte_loses_only_what_no_source_heard_of(
        counts in prop::collection::vec(1u64..30, 2..8),
        torn in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        runtime().block_on(async {
            let dir = TempDir::new().expect("a folder");
            let mut feeder = Feeder::new(open(dir.path()));
            let mut ends = vec![(0, 0)];
            for count in &counts {
                feeder.stored(Kind::Log, *count, 30).await;
                let path = files(dir.path(), Kind::Log).remove(0);
                ends.push((fs::metadata(path).expect("a file").len(), feeder.sent[&Kind::Log]));
            }
            feeder.spool.close().await;
            let path = files(dir.path(), Kind::Log).remove(0);
            let mut bytes = fs::read(&path).expect("reads");
            bytes.truncate(torn.index(bytes.len()));
            let whole = ends.iter().rev().find(|(end, _)| *end <= bytes.len() as u64);
            let stored = whole.map_or(0, |(_, sent)| *sent);
            bytes.extend(garbage);
            fs::write(&path, bytes).expect("writes");
            let model = Model { stored: [(Kind::Log, stored)].into(), ..Model::default() };
            resume(dir.path(), model, false).await;
        });
    }

    #[test]
    fn flipped_bits_never_stop_or_double_and_every_number_is_told(
        ops in prop::collection::vec(op(), 5..30),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8), 1..6),
    ) {
        runtime().block_on(async {
            let dir = TempDir::new().expect("a folder");
            play(&ops, dir.path(), usize::MAX).await;
            let mut all: Vec<PathBuf> = Kind::ALL.iter().flat_map(|k| files(dir.path(), *k)).collect();
            all.extend(Kind::ALL.map(|kind| dir.path().join(kind.as_str()).join("state")));
            for (file, byte, bit) in flips {
                let path = file.get(&all);
                let mut bytes = fs::read(path).expect("reads");
                let at = byte.index(bytes.len());
                bytes[at] ^= 1 << bit;
                fs::write(path, bytes).expect("writes");
            }
            resume(dir.path(), Model::default(), true).await;
        });
    }
}

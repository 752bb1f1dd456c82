//! Sealing: wherever a crash falls, and whoever reads meanwhile, every record is there once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;

pub(super) fn draft(n: u64) -> Draft {
    let raised = Received { raised: vec![n * 2], ..lines("a", Kind::Log, n * 2, 2) };
    Draft {
        received: vec![raised, lines("b", Kind::Performance, n * 3, 3)],
        entries: vec![entry("alert.raised", n as i64)],
        puts: vec![
            put(tree::ALERTS, &format!("{n}"), Some("{}")),
            put(tree::SETTINGS, "n", Some(&n.to_string())),
        ],
        hits: vec![Bytes::from(format!("hit {n}"))],
        correlations: (n == 3).then(|| Bytes::from_static(b"state at 3")),
    }
}

#[test]
fn a_crash_at_any_step_of_a_seal_leaves_everything_once() {
    let place = Place::new();
    let photographer = Photographer::of(&place);
    let disk: Arc<dyn Disk> = Arc::clone(&photographer) as Arc<dyn Disk>;
    // The third seal goes without a checkpoint.
    let checkpoint_age = std::time::Duration::from_secs(3600);
    let options = Options { disk, checkpoint_age, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    for round in 0..3u64 {
        for n in round * 2 + 1..=round * 2 + 2 {
            writer.commit(draft(n)).expect("commits");
        }
        let records = all(&history, &Range::default());
        let (rows, hits) = (dump(&history), history.hits_since_checkpoint());
        history.seal().expect("seals");
        assert_eq!(all(&history, &Range::default()), records);
        assert_eq!(history.hits_since_checkpoint(), hits);
        for (step, dir) in photographer.develop() {
            let options = Options { key: Some(place.key.clone()), ..Options::default() };
            let (mut writer, history) = Writer::open(&dir, options).expect("opens");
            assert_eq!(all(&history, &Range::default()), records, "{round} {step}");
            assert_eq!(dump(&history), rows, "{round} {step}");
            assert_eq!(history.hits_since_checkpoint(), hits, "{round} {step}");
            assert_eq!(history.status().damaged, 0, "{round} {step}");
            writer.commit(draft(round * 2 + 3)).expect("commits");
            let report = verify(&dir, VerifyOptions::default()).expect("verifies");
            assert!(report.is_clean(), "{round} {step}: {report:#?}");
        }
    }
    let status = history.status();
    assert_eq!((status.sealed_to, status.log_files), (6, 1));
    let checkpoints = fs::read_dir(place.dir.join("checkpoints")).expect("lists").count();
    assert_eq!(checkpoints, 2);
}

#[test]
fn readers_and_commits_go_on_while_sealing_runs() {
    const COMMITS: u64 = 400;
    let place = Place::new();
    let options = Options { seal_bytes: 4 << 10, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    let done = AtomicBool::new(false);
    let seen_least = AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let seen = all(&history, &Range { kinds: vec![Kind::Asset], ..Range::default() });
                let numbers: Vec<_> = seen.iter().map(|seen| seen.number).collect();
                let expected: Vec<_> = (1..=numbers.len() as u64).collect();
                assert_eq!(numbers, expected, "each once, none left out");
                seen_least.fetch_min(numbers.len(), Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let report = place.verify();
                assert!(report.is_clean(), "beside a running writer: {report:#?}");
            }
        });
        for n in 1..=COMMITS {
            writer.commit(batch(lines("a", Kind::Asset, n, 1))).expect("commits");
        }
        done.store(true, Ordering::Relaxed);
    });
    history.seal().expect("seals");
    let status = history.status();
    assert!(status.classes[0].segments > 3, "{status:?}");
    assert_eq!((status.classes[0].entries, status.classes[0].log_entries), (COMMITS, 0));
    assert!(place.verify().is_clean());
}

#[test]
fn damage_in_one_chunk_costs_that_chunk_alone() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for n in 0..3u64 {
        // Lines zstd can't make small, so that each commit fills a chunk.
        let noise = |n: u64| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_le_bytes());
            ledger::hex(digest.as_ref())
        };
        let records =
            (0..16_000).map(|i| line(n * 16_000 + i, 0, &noise(n * 16_000 + i))).collect();
        writer.commit(batch(received("a", Kind::Log, records, Vec::new()))).expect("commits");
    }
    history.seal().expect("seals");
    let path = place.file("segments", "log");
    let chunks = segment::Reader::open(&path).expect("opens").chunks;
    assert!(chunks.len() >= 3, "{}", chunks.len());
    flip(&path, chunks[1].offset + 500);
    let numbers: Vec<_> = all(&history, &Range::default()).iter().map(|seen| seen.number).collect();
    assert!(numbers.contains(&0) && numbers.contains(&47_999));
    assert_eq!(numbers.len(), 32_000);
    assert_eq!(history.status().damaged, 1);
    // Without its catalog a segment is walked.
    let len = fs::metadata(&path).expect("a file").len();
    flip(&path, len - 20);
    assert_eq!(all(&history, &Range::default()).len(), 32_000);
}

#[test]
fn the_index_is_built_again_from_any_good_start() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for n in 1..=3 {
        for m in 0..3 {
            writer.commit(draft(n * 3 + m)).expect("commits");
        }
        history.seal().expect("seals");
    }
    writer.commit(draft(12)).expect("commits");
    let (rows, hits) = (dump(&history), history.hits_since_checkpoint());
    writer.close().expect("closes");
    drop(history);
    let check = |place: &Place, damaged: bool| {
        fs::remove_dir_all(place.dir.join("index")).expect("removes");
        let status = rebuild(&place.dir, place.options()).expect("rebuilds");
        assert_eq!((status.rebuilds, status.damaged > 0), (1, damaged));
        let (writer, history) = place.open();
        assert_eq!(history.status().rebuilds, 0, "a rebuilt index was not trusted");
        assert_eq!(dump(&history), rows);
        let (snapshot, since) = history.hits_since_checkpoint();
        let all: Vec<Bytes> = (3..=12).map(|n| format!("hit {n}").into()).collect();
        // Without any checkpoint there is no snapshot, and every hit comes again.
        assert!((snapshot.clone(), since.clone()) == hits || (snapshot, since) == (None, all));
        writer.close().expect("closes");
    };
    check(&place, false);
    // The newest checkpoint gone, then all of them: older ones and segments give the same.
    let mut checkpoints: Vec<_> = fs::read_dir(place.dir.join("checkpoints"))
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .collect();
    checkpoints.sort();
    for path in checkpoints.iter().rev() {
        flip(path, 40);
        check(&place, true);
    }
    // The manifest gone: the segments name themselves.
    fs::write(place.dir.join("manifest"), "no manifest").expect("writes");
    let (writer, history) = place.open();
    assert_eq!(dump(&history), rows);
    assert_eq!(all(&history, &Range::default()).len(), 50);
    drop((writer, history));
}

#[test]
fn a_panic_or_garbage_in_sled_means_a_rebuild() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    writer.commit(draft(1)).expect("commits");
    let rows = dump(&history);
    writer.close().expect("closes");
    drop(history);
    for garbage in [&b""[..], b"garbage", &[0xff; 4096]] {
        for name in ["db", "conf"] {
            fs::write(place.dir.join("index").join(name), garbage).expect("writes");
            let (writer, history) = place.open();
            assert_eq!(dump(&history), rows);
            // Without its conf sled makes a new one; without its db it has nothing.
            assert!(history.status().rebuilds == 1 || name == "conf");
            writer.close().expect("closes");
        }
    }
}

#[test]
fn a_snapshot_is_wanted_once_for_each_log_file() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let snapshot =
        |text: &'static str| Draft { correlations: Some(text.into()), ..Draft::default() };
    assert!(writer.wants_correlations());
    writer.commit(snapshot("one")).expect("commits");
    assert!(!writer.wants_correlations());
    history.seal().expect("seals");
    assert!(writer.wants_correlations());
    writer.close().expect("closes");
    drop(history);
    let (mut writer, history) = place.open();
    assert_eq!(history.hits_since_checkpoint().0, Some("one".into()));
    writer.commit(snapshot("two")).expect("commits");
    assert_eq!(history.hits_since_checkpoint().0, Some("two".into()));
}

/// Waits until `done`, which something else brings about.
fn until(what: &str, done: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed().as_secs() < 20, "{what} did not come");
        thread::yield_now();
    }
}

#[test]
fn heads_are_signed_and_old_log_files_sealed_without_another_commit() {
    let place = Place::new();
    let soon = std::time::Duration::from_millis(20);
    let options = Options { sign_every: soon, seal_after: soon, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    let committed = writer.commit(draft(1)).expect("commits");
    until("the signature", || {
        history.signed_heads().is_some_and(|heads| heads.heads == committed.heads.heads)
    });
    assert!(verify_heads(&history.signed_heads().expect("signed"), &place.public));
    until("the seal", || history.status().sealed_to == 1);
    assert!(history.status().last_seal.is_some() && history.status().last_signed.is_some());
    // Nothing new: nothing is signed or sealed again.
    let before = (history.status().last_seal, history.signed_heads());
    history.seal().expect("seals");
    assert_eq!((history.status().last_seal, history.signed_heads()), before);
    assert!(place.verify().is_clean());
}

#[test]
fn heads_of_a_commit_are_signed_when_it_is_time() {
    let place = Place::new();
    let options = Options { sign_every: std::time::Duration::ZERO, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    let heads = writer.commit(draft(1)).expect("commits").heads;
    assert!(verify_heads(&heads, &place.public));
    assert_eq!(history.heads(), heads);
    drop((writer, history));
    let (mut writer, history) = place.open();
    assert_eq!(history.heads(), heads, "as signed before");
    let unsigned = writer.commit(draft(2)).expect("commits").heads;
    assert!(unsigned.signature.is_empty());
    assert_eq!(history.heads(), unsigned);
}

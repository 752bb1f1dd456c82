//! History against a model: whatever happens in between, it returns exactly what was committed, each
//! record once, and the same small records however they were arrived at.

use std::collections::HashMap;
use std::fs::OpenOptions;

use proptest::prelude::*;

use super::*;

/// What may happen to history.
#[derive(Debug, Clone)]
enum Happening {
    Commit(Vec<(u8, u8, u8, bool)>, u8, Vec<(u8, Option<u8>)>),
    Seal,
    /// Closed in order, opened again.
    Restart,
    /// Killed: what is on disk is all there is.
    Kill,
    /// Killed while a frame was written: so many bytes of it are there.
    Torn(u16),
    /// The index is deleted while history is closed.
    NoIndex,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let batches = prop::collection::vec((0..3u8, 0..4u8, 1..6u8, any::<bool>()), 0..4);
    let puts = prop::collection::vec((0..6u8, prop::option::of(any::<u8>())), 0..4);
    let commit = (batches, 0..3u8, puts).prop_map(|(b, e, p)| Happening::Commit(b, e, p));
    let happening = prop_oneof![
        8 => commit,
        2 => Just(Happening::Seal),
        1 => Just(Happening::Restart),
        1 => Just(Happening::Kill),
        1 => any::<u16>().prop_map(Happening::Torn),
        1 => Just(Happening::NoIndex),
    ];
    prop::collection::vec(happening, 1..14)
}

/// What history should hold.
#[derive(Default)]
struct Model {
    commits: u64,
    records: Vec<Seen>,
    entries: Vec<(u64, Entry)>,
    puts: Dump,
    nexts: HashMap<(u8, u8), u64>,
    hits: Vec<Bytes>,
}

impl Model {
    fn draft(
        &mut self,
        batches: &[(u8, u8, u8, bool)],
        entries: u8,
        puts: &[(u8, Option<u8>)],
    ) -> Draft {
        self.commits += 1;
        let mut draft = Draft::default();
        for (agent, kind, count, raise) in batches {
            let next = self.nexts.entry((*agent, *kind)).or_insert(1);
            let kind = Kind::ALL[*kind as usize];
            let mut received = lines(&format!("agent-{agent}"), kind, *next, u64::from(*count));
            if *raise {
                received.raised = (*next..*next + u64::from(*count)).step_by(2).collect();
            }
            *next += u64::from(*count);
            self.records.extend(expected(self.commits, &received));
            draft.received.push(received);
        }
        for n in 0..entries {
            let entry = entry(&format!("action-{n}"), self.commits as i64);
            self.entries.push((self.commits, entry.clone()));
            draft.entries.push(entry);
            draft.hits.push(format!("hit {} {n}", self.commits).into());
        }
        for (key, value) in puts {
            let (key, value) = (format!("key-{key}"), value.map(|value| value.to_string()));
            draft.puts.push(put(tree::ALERTS, &key, value.as_deref()));
            match value {
                Some(value) => self.puts.insert((tree::ALERTS, key.into_bytes()), value),
                None => self.puts.remove(&(tree::ALERTS, key.into_bytes())),
            };
        }
        self.hits.extend(draft.hits.iter().cloned());
        draft
    }

    fn check(&self, place: &Place, history: &History) {
        assert_eq!(sorted(all(history, &Range::default())), sorted(self.records.clone()));
        let mut entries = Vec::new();
        let mut see = |commit, entry| {
            entries.push((commit, entry));
            true
        };
        history.entries(None, None, &mut see).expect("reads");
        entries.reverse();
        assert_eq!(entries, self.entries);
        assert_eq!(history.hits_since_checkpoint().1, self.hits);
        let rows = dump(history);
        let alerts: Dump =
            rows.into_iter().filter(|((tree, _), _)| *tree == tree::ALERTS).collect();
        assert_eq!(alerts, self.puts);
        for ((agent, kind), next) in &self.nexts {
            let kind = Kind::ALL[*kind as usize];
            let row = history.queue(&format!("agent-{agent}"), kind, &[7; 16]).expect("a row");
            assert_eq!((row.next, row.records, row.missing), (*next, *next - 1, 0));
        }
        let status = history.status();
        assert_eq!((status.commits, status.damaged), (self.commits, 0));
        let counted: u64 = status.classes.iter().take(4).map(|c| c.entries + c.log_entries).sum();
        assert_eq!(counted, self.records.len() as u64);
        for tree in &status.trees {
            let mut entries = 0;
            history.scan(tree.name, &[], &mut |_, _| {
                entries += 1;
                true
            });
            assert_eq!(tree.entries, entries, "{}", tree.name);
        }
        let report = place.verify_with(vec![history.heads()]);
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!((report.commits, report.records), (self.commits, counted));
    }
}

fn live(happenings: &[Happening]) {
    let mut place = Place::new();
    let mut model = Model::default();
    let (mut writer, mut history) = place.open();
    for happening in happenings {
        match happening {
            Happening::Commit(batches, entries, puts) => {
                let draft = model.draft(batches, *entries, puts);
                let committed = writer.commit(draft).expect("commits");
                assert_eq!(committed.number, model.commits);
                continue;
            }
            Happening::Seal => {
                history.seal().expect("seals");
                model.check(&place, &history);
                continue;
            }
            Happening::Restart => writer.close().expect("closes"),
            Happening::NoIndex => {
                writer.close().expect("closes");
                std::fs::remove_dir_all(place.dir.join("index")).expect("removes");
            }
            Happening::Kill => place = place.copy(),
            Happening::Torn(bytes) => {
                place = place.copy();
                tear(&place, *bytes);
            }
        }
        let before = dump(&history);
        drop(history);
        let clean = matches!(happening, Happening::Restart);
        (writer, history) = place.open();
        assert_eq!(dump(&history), before, "after {happening:?}");
        if clean {
            assert_eq!(history.status().rebuilds, 0, "a clean index was not trusted");
        }
        model.check(&place, &history);
    }
    model.check(&place, &history);
}

/// Leaves a part of a frame behind the last one.
fn tear(place: &Place, bytes: u16) {
    let (_, path) = log::list(&place.dir.join("log")).expect("lists").pop().expect("a file");
    let frame =
        [&b"HWFR"[..], &1u32.to_le_bytes(), &70_000u32.to_le_bytes(), &[9; 70_000]].concat();
    let len = usize::from(bytes) % frame.len();
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    std::io::Write::write_all(&mut file, &frame[..len]).expect("writes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn history_returns_what_was_committed_each_once(happenings in happenings()) {
        live(&happenings);
    }
}

/// sled's own threads may keep its file for a moment after it was closed.
#[test]
fn an_index_whose_lock_is_let_go_late_is_trusted() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    writer.commit(batch(lines("a", Kind::Log, 1, 2))).expect("commits");
    writer.close().expect("closes");
    drop(history);
    let data = fs::File::open(place.dir.join("index").join("db")).expect("opens");
    data.lock().expect("locks");
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(data);
    });
    let (_writer, history) = place.open();
    assert_eq!(history.status().rebuilds, 0);
    late.join().expect("lets go");
}

#[test]
fn a_torn_tail_at_every_byte_loses_that_commit_alone() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    writer.commit(batch(lines("a", Kind::Log, 1, 2))).expect("commits");
    let log = place.file("log", "0");
    let before = fs::metadata(&log).expect("a file").len();
    writer.commit(Draft { entries: vec![entry("x", 1)], ..Draft::default() }).expect("commits");
    let after = fs::metadata(&log).expect("a file").len();
    drop((writer, history));
    fs::remove_dir_all(place.dir.join("index")).expect("removes");
    for cut in before..after {
        let torn = place.copy();
        let file = OpenOptions::new().write(true).open(torn.file("log", "0")).expect("opens");
        file.set_len(cut).expect("cuts");
        let (mut writer, history) = torn.open();
        let status = history.status();
        assert_eq!((status.commits, status.damaged), (1, 0), "cut at {cut}");
        assert_eq!(all(&history, &Range::default()).len(), 2);
        let again = Draft { entries: vec![entry("y", 1)], ..Draft::default() };
        assert_eq!(writer.commit(again).expect("commits").number, 2);
        assert!(torn.verify().is_clean(), "cut at {cut}");
    }
}

#[test]
fn a_damaged_frame_in_the_middle_is_kept_aside_and_the_rest_used() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let log = place.file("log", "0");
    let mut ends = Vec::new();
    for first in [1, 4, 7] {
        writer.commit(batch(lines("a", Kind::Log, first, 3))).expect("commits");
        ends.push(fs::metadata(&log).expect("a file").len());
    }
    writer.close().expect("closes");
    drop(history);
    flip(&log, ends[0] + 60);
    for round in 0..2 {
        let (mut writer, history) = place.open();
        let numbers: Vec<_> = all(&history, &Range::default()).iter().map(|s| s.number).collect();
        assert_eq!(numbers, [1, 2, 3, 7, 8, 9]);
        if round == 0 {
            // The index was closed in order before the damage and still knows what was there.
            let row = history.queue("a", Kind::Log, &[7; 16]).expect("a row");
            assert_eq!((row.next, row.records), (10, 9));
            assert_eq!(history.status().damaged, 1);
            place.file("damaged", "0");
            history.seal().expect("seals");
            fs::remove_dir_all(place.dir.join("index")).expect("removes");
        } else {
            // Built again it can only count what is left.
            let row = history.queue("a", Kind::Log, &[7; 16]).expect("a row");
            assert_eq!((row.next, row.records, row.missing), (10, 6, 3));
        }
        writer.commit(Draft { entries: vec![entry("x", 1)], ..Draft::default() }).expect("commits");
    }
    assert!(!place.verify().is_clean());
}

/// A history with all its kinds of files, closed.
fn with_everything() -> (Place, Vec<Seen>, Dump) {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for n in 0..4u64 {
        let received = lines("a", Kind::Log, n * 3, 3);
        let puts = vec![put(tree::ALERTS, &n.to_string(), Some("{}"))];
        let draft = Draft { received: vec![received], puts, ..Draft::default() };
        writer.commit(draft).expect("commits");
        if n < 2 {
            history.seal().expect("seals");
        }
    }
    let (records, rows) = (all(&history, &Range::default()), dump(&history));
    writer.close().expect("closes");
    (place, records, rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_to_a_file_the_rest_is_served(which: prop::sample::Index, at: prop::sample::Index, bit in 0..8u8, cut: bool) {
        let (place, records, _) = with_everything();
        let mut paths = Vec::new();
        for folder in ["log", "segments", "checkpoints", "."] {
            let files = fs::read_dir(place.dir.join(folder)).expect("lists");
            paths.extend(files.map(|entry| entry.expect("lists").path()).filter(|path| path.is_file()));
        }
        paths.retain(|path| !["lock", "reserve"].iter().any(|name| path.ends_with(name)));
        paths.sort();
        let path = which.get(&paths);
        let mut bytes = fs::read(path).expect("reads");
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        fs::write(path, bytes).expect("writes");
        let report = place.verify();
        prop_assert!(!report.is_clean() || report.torn_tail_bytes > 0, "{path:?} {at}");
        let (mut writer, history) = place.open();
        let seen = all(&history, &Range::default());
        prop_assert!(seen.iter().all(|seen| records.contains(seen)), "{path:?} {at}");
        // One commit in a frame or chunk of its own, or the one file with two.
        prop_assert!(seen.len() + 6 >= records.len(), "{path:?} {at}: {}", seen.len());
        writer.commit(Draft { entries: vec![entry("on", 1)], ..Draft::default() }).expect("commits");
    }
}

#[test]
fn a_frame_that_is_all_there_and_wrong_at_the_end_is_kept_aside() {
    let place = Place::new();
    let (mut writer, _history) = place.open();
    writer.commit(batch(lines("a", Kind::Log, 1, 1))).expect("commits");
    drop(writer);
    let log = place.file("log", "0");
    let len = fs::metadata(&log).expect("a file").len();
    flip(&log, len - 3);
    let report = place.verify();
    assert_eq!(
        report.findings.first().map(|f| (f.problem, f.commit)),
        Some((Problem::Changed, Some(1)))
    );
    let (_writer, history) = place.open();
    assert_eq!((history.status().commits, history.status().damaged), (0, 1));
    place.file("damaged", "0");
}

//! Merging and retention: wherever a crash falls, and whoever reads meanwhile, what is kept is there
//! once and what was removed is gone for good.

use std::time::Duration;

use super::sealing::draft;
use super::*;
use crate::time::DAY;

const MERGED: i64 = 10 * DAY;

/// A history of `seals` segments per class, two commits in each, day by day from 1.
fn sealed(place: &Place, options: Options, seals: u64) -> (Writer, History) {
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    for seal in 0..seals {
        commit_and_seal(&mut writer, &history, seal);
    }
    (writer, history)
}

fn commit_and_seal(writer: &mut Writer, history: &History, seal: u64) {
    for n in seal * 2 + 1..=seal * 2 + 2 {
        writer.commit(dated(n, seal as i64 * DAY + n as i64)).expect("commits");
    }
    history.seal().expect("seals");
}

/// A draft of every class, all of it of one time, its correlation state included.
fn dated(n: u64, time: i64) -> Draft {
    let mut draft = draft(n);
    draft.received.push(lines("c", Kind::Asset, n, 1));
    draft.received.iter_mut().for_each(|received| received.ingested = time);
    draft.entries.iter_mut().for_each(|entry| entry.time = time);
    draft.correlations = Some(Bytes::from(format!("state {n}")));
    draft
}

fn keep(days: u32, options: Options) -> Options {
    let retention = Policy { keep: [Keep::days(days); 5], ..Policy::default() };
    Options { retention, checkpoint_age: Duration::ZERO, ..options }
}

/// What the judge does: commits what is due, then has it removed.
fn decide(writer: &mut Writer, history: &History, now: i64) -> Vec<Removal> {
    let due = history.retention_due(now);
    if !due.is_empty() {
        let entries = due
            .iter()
            .map(|removal| Entry { body: removal.body(), ..super::entry(Removal::ENTRY, now) });
        let draft = Draft { entries: entries.collect(), ..Draft::default() };
        let decided = writer.commit(draft).expect("commits");
        history.remove(&due, decided.number).expect("removes");
    }
    due
}

fn segments(history: &History) -> Vec<(Class, u64)> {
    history.status().classes.iter().map(|class| (class.class, class.segments)).collect()
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir.join("segments")).expect("lists").count()
}

fn entries(history: &History) -> Vec<(u64, Entry)> {
    let mut entries = Vec::new();
    let mut see = |commit, entry| {
        entries.push((commit, entry));
        true
    };
    history.entries(None, None, &mut see).expect("reads");
    entries
}

#[test]
fn a_crash_at_any_step_of_a_merge_leaves_everything_once() {
    let place = Place::new();
    let photographer = Photographer::of(&place);
    let disk: Arc<dyn Disk> = Arc::clone(&photographer) as Arc<dyn Disk>;
    let options = Options { disk, ..place.options() };
    // All of one day, so that they merge.
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    for seal in 0..5 {
        for n in seal * 2 + 1..=seal * 2 + 2 {
            writer.commit(dated(n, n as i64)).expect("commits");
        }
        history.seal().expect("seals");
    }
    let model = (all(&history, &Range::default()), entries(&history), dump(&history));
    let hits = history.hits_since_checkpoint();
    photographer.develop();
    assert_eq!(history.merge(MERGED).expect("merges"), 5, "one for each class");
    assert!(segments(&history).iter().all(|(_, count)| *count == 1), "{:?}", segments(&history));
    assert_eq!(files(&place.dir), 5);
    let now =
        |history: &History| (all(history, &Range::default()), entries(history), dump(history));
    assert!(now(&history) == model);
    assert_eq!(history.hits_since_checkpoint(), hits);
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    let photographs = photographer.develop();
    assert_eq!(photographs.len(), 5 * 4, "merged, replaced, shown, unlinked");
    for (step, dir) in photographs {
        for lost in [false, true] {
            let copied = place.copy_of(&dir);
            if lost {
                fs::remove_file(copied.dir.join("manifest")).expect("removes");
            }
            let (mut writer, history) = copied.open();
            assert!(now(&history) == model, "{step} {lost}");
            assert_eq!(history.status().damaged, u64::from(lost), "{step} {lost}");
            let count: u64 = segments(&history).iter().map(|(_, count)| count).sum();
            assert_eq!(files(&copied.dir) as u64, count, "{step} {lost}: left-overs are swept");
            history.merge(MERGED).expect("merges");
            assert!(now(&history) == model, "{step} {lost}");
            writer.commit(dated(11, 11)).expect("commits");
            writer.close().expect("closes");
            let report = copied.verify();
            assert!(report.is_clean(), "{step} {lost}: {report:#?}");
        }
    }
}

#[test]
fn a_part_that_does_not_read_is_left_and_its_neighbours_merge() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for seal in 0..9 {
        for n in seal * 2 + 1..=seal * 2 + 2 {
            writer
                .commit(batch(Received { ingested: 1, ..lines("a", Kind::Log, n, 1) }))
                .expect("commits");
        }
        history.seal().expect("seals");
    }
    let parts: Vec<_> =
        (0..9).map(|seal| place.file("segments", &format!("log-{:020}", seal * 2 + 1))).collect();
    flip(&parts[4], 40);
    let before = fs::read(&parts[4]).expect("reads");
    assert_eq!(history.merge(MERGED).expect("merges"), 2);
    assert_eq!(segments(&history)[Class::Log.index()].1, 3);
    assert_eq!(fs::read(&parts[4]).expect("reads"), before);
    assert_eq!(history.status().damaged, 1);
    assert_eq!(history.merge(MERGED).expect("merges"), 0);
    assert_eq!(history.status().damaged, 1, "told once");
    let numbers: Vec<_> = all(&history, &Range::default()).iter().map(|seen| seen.number).collect();
    assert_eq!(numbers.len(), 16);
    let findings = place.verify().findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn a_reader_keeps_what_is_replaced_while_it_reads() {
    let place = Place::new();
    let (_writer, history) = sealed(&place, keep(3, place.options()), 9);
    let model = all(&history, &Range::default());
    let mut writer = _writer;
    let mut removed = false;
    let mut seen = 0;
    let mut see = |_| {
        if !removed {
            removed = true;
            assert!(!decide(&mut writer, &history, 8 * DAY).is_empty());
            assert!(all(&history, &Range::default()).len() < model.len());
        }
        seen += 1;
        true
    };
    history.read(&Range::default(), &mut see).expect("reads");
    assert_eq!(seen, model.len(), "as it was when the reading began");
    assert_eq!(history.status().damaged, 0);
    let count: u64 = segments(&history).iter().map(|(_, count)| count).sum();
    assert_eq!(files(&place.dir) as u64, count, "unlinked when the reader let go");
}

#[test]
fn a_crash_at_any_step_of_a_removal_leaves_what_is_kept() {
    let place = Place::new();
    let photographer = Photographer::of(&place);
    let disk: Arc<dyn Disk> = Arc::clone(&photographer) as Arc<dyn Disk>;
    let (mut writer, history) = sealed(&place, keep(3, Options { disk, ..place.options() }), 6);
    let rows = dump(&history);
    let hits = history.hits_since_checkpoint();
    photographer.develop();
    let due = history.retention_due(5 * DAY);
    assert_eq!(due.len(), 5, "every class: {due:?}");
    assert!(
        due.iter().all(|removal| (removal.segments, removal.through_commit) == (2, 4)),
        "{due:?}"
    );
    let decision: Vec<Entry> = due
        .iter()
        .map(|removal| Entry { body: removal.body(), ..super::entry(Removal::ENTRY, 5 * DAY) })
        .collect();
    let draft = Draft { entries: decision, ..Draft::default() };
    let decided = writer.commit(draft).expect("commits").number;
    photographer.step("decided");
    let before = all(&history, &Range::default());
    history.remove(&due, decided).expect("removes");
    let kept: Vec<_> = before.iter().filter(|seen| seen.commit > 4).cloned().collect();
    assert_eq!(all(&history, &Range::default()), kept);
    assert_eq!(files(&place.dir), 4 * 5);
    let status = history.status();
    assert!(status.classes.iter().all(|class| class.removed_until == Some(DAY + 4)), "{status:?}");
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    for (step, dir) in photographer.develop() {
        for lost in [false, true] {
            let copied = place.copy_of(&dir);
            if lost {
                fs::remove_file(copied.dir.join("manifest")).expect("removes");
            }
            let (mut writer, history) =
                Writer::open(&copied.dir, keep(3, copied.options())).expect("opens");
            // Without a manifest the decision alone says what is gone.
            let undone = step == "decided" && !lost;
            let expected = if undone { &before } else { &kept };
            assert!(&all(&history, &Range::default()) == expected, "{step} {lost}");
            assert!(dump(&history) == rows, "{step} {lost}");
            assert_eq!(history.hits_since_checkpoint(), hits, "{step} {lost}");
            // Whatever was left undone is decided again, and done.
            let again = decide(&mut writer, &history, 5 * DAY);
            assert_eq!(again.len(), if undone { 5 } else { 0 }, "{step} {lost}");
            assert!(all(&history, &Range::default()) == kept, "{step} {lost}");
            writer.close().expect("closes");
            drop(history);
            let report = copied.verify();
            assert!(report.is_clean(), "{step} {lost}: {report:#?}");
            rebuild(&copied.dir, copied.options()).expect("rebuilds");
            let (_writer, history) = copied.open();
            assert!(dump(&history) == rows, "{step} {lost}: a rebuild needs nothing of it");
        }
    }
}

#[test]
fn a_class_that_is_gone_altogether_goes_on_where_it_was() {
    let place = Place::new();
    let (mut writer, history) = sealed(&place, keep(1, place.options()), 3);
    // A commit of another class seals the rest, and its checkpoints let go of everything.
    for day in 20..23 {
        let draft = Draft {
            entries: vec![entry("x", day * DAY)],
            correlations: Some("later".into()),
            ..Draft::default()
        };
        writer.commit(draft).expect("commits");
        history.seal().expect("seals");
    }
    let link = |history: &History| {
        let heads = history.heads().heads;
        heads.into_iter().find(|head| head.class == "log").expect("a head").link
    };
    let last = link(&history);
    assert!(!decide(&mut writer, &history, 20 * DAY).is_empty());
    assert_eq!(segments(&history)[Class::Log.index()].1, 0);
    assert_eq!(all(&history, &Range::default()), []);
    history.seal().expect("seals");
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    for manifest in [true, false] {
        let copied = place.copy();
        if !manifest {
            fs::remove_file(copied.dir.join("manifest")).expect("removes");
        }
        let (mut writer, history) = copied.open();
        assert_eq!(link(&history), last);
        writer.commit(dated(7, 30 * DAY)).expect("commits");
        assert_ne!(link(&history), last);
        history.seal().expect("seals");
        let report = copied.verify();
        assert!(report.is_clean(), "{report:#?}");
    }
}

#[test]
fn a_class_may_begin_with_correlation_hits_alone() {
    let place = Place::new();
    let (mut writer, history) = Writer::open(&place.dir, keep(3, place.options())).expect("opens");
    for day in 0..6 {
        // On the third day there are hits and nothing that is chained.
        let entries = if day == 2 { Vec::new() } else { vec![entry("acted", day * DAY)] };
        let draft = Draft {
            entries,
            hits: vec![Bytes::from_static(b"hit")],
            correlations: Some(Bytes::from_static(b"state")),
            ..Draft::default()
        };
        writer.commit(draft).expect("commits");
        history.seal().expect("seals");
    }
    // The segment of hits alone has the time of its commit, which is now.
    let removed = decide(&mut writer, &history, 5 * DAY);
    let found: Vec<_> = removed.iter().map(|it| (it.class, it.segments)).collect();
    assert_eq!(found, [(Class::Record, 2)]);
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
}

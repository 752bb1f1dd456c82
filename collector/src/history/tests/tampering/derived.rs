//! What follows from the commits and was changed: checkpoints and the index, named by tree and key.

use super::super::index::Index;
use super::super::ledger::Rows;
use super::super::open::tips_text;
use super::forgery::{Forger, sealed};
use super::*;
use crate::history::chain::Tips;

/// Changes small records in the index as somebody would who knows how it is closed.
fn change_index(place: &Place, change: &dyn Fn(&Index)) {
    let path = place.dir.join("index");
    let signed = manifest::load(&place.dir).expect("loads").expect("a manifest");
    let tips = tips_text(&Tips::from_stored(&signed.manifest.tips));
    let index = Index::open(&path).expect("opens");
    change(&index);
    index.mark(&path, signed.manifest.sealed_to, &tips).expect("marks");
}

/// Fails unless this small record alone is told.
fn check(report: &Report, file: &str, tree: &str, key: &str, says: &str) {
    let [found] = &report.findings[..] else { panic!("{report:#?}") };
    assert_eq!(found.problem, Problem::Contradicted, "{found:?}");
    assert!(found.file.starts_with(file), "{found:?}");
    assert_eq!((found.tree.as_deref(), found.key.as_deref()), (Some(tree), Some(key)));
    assert!(found.detail.contains(says), "{found:?}");
    assert!(found.time.is_some(), "{found:?}");
}

#[test]
fn a_changed_answer_of_the_index() {
    let (place, _) = sealed();
    let clean = place.verify();
    assert_eq!((clean.index, clean.index_rows), (IndexState::Compared, 5), "{clean:#?}");
    let key = "a\\u{0}log\\u{0}07070707070707070707070707070707";
    let ledger = b"a\0log\x0007070707070707070707070707070707";
    let was = |tree, key: &[u8]| {
        let index = Index::open(&place.dir.join("index")).expect("opens");
        index.get(tree, key).expect("a row")
    };
    let (alert, row) = (was(tree::ALERTS, b"a1"), was(tree::LEDGER, ledger));
    change_index(&place, &|index| index.put(tree::ALERTS, b"a1", Some(b"closed")));
    check(&place.verify(), "index", tree::ALERTS, "a1", "history says 5, here is closed");
    change_index(&place, &|index| index.put(tree::ALERTS, b"a1", None));
    check(&place.verify(), "index", tree::ALERTS, "a1", "history says 5, here is nothing");
    change_index(&place, &|index| index.put(tree::ALERTS, b"a1", Some(&alert)));
    assert!(place.verify().is_clean());
    change_index(&place, &|index| index.put(tree::USERS, b"mallory", Some(b"{}")));
    check(&place.verify(), "index", tree::USERS, "mallory", "history has no such record");
    change_index(&place, &|index| index.put(tree::USERS, b"mallory", None));
    let fewer = String::from_utf8_lossy(&row).replace("\"records\":18", "\"records\":17");
    change_index(&place, &|index| index.put(tree::LEDGER, ledger, Some(fewer.as_bytes())));
    check(&place.verify(), "index", tree::LEDGER, key, "\"records\":18");
    // Once the collector has built it again, it says what history says.
    drop(rebuild(&place.dir, place.options()).expect("rebuilds"));
    assert!(place.verify().is_clean());
}

#[test]
fn many_changed_answers_are_counted() {
    let (place, _) = sealed();
    change_index(&place, &|index| {
        for n in 0..5_000u32 {
            index.put(tree::FEED, &n.to_be_bytes(), Some(b"{}"));
        }
    });
    let report = place.verify();
    assert_eq!(report.findings.len(), 21, "{report:#?}");
    assert!(report.findings[20].detail.starts_with("4980 more"), "{:?}", report.findings[20]);
    assert_eq!(report.index_rows, 5);
}

#[test]
fn values_of_accounts_are_not_shown() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let puts = vec![put(tree::USERS, "ada", Some("$argon2id$"))];
    writer.commit(Draft { puts, ..Draft::default() }).expect("commits");
    history.seal().expect("seals");
    drop(history);
    writer.close().expect("closes");
    change_index(&place, &|index| index.put(tree::USERS, b"ada", Some(b"$argon2id$other")));
    let report = place.verify();
    check(&report, "index", tree::USERS, "ada", "10 bytes that are not shown");
    assert!(!report.findings[0].detail.contains("argon"), "{report:#?}");
}

#[test]
fn an_index_that_nobody_trusts_is_not_compared() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    write(&mut writer, &history, "line");
    assert_eq!(place.verify().index, IndexState::InUse);
    drop((writer, history));
    let report = place.verify();
    assert_eq!(report.index, IndexState::ToBeRebuilt, "{report:#?}");
    assert!(report.index_note.is_some() && report.is_clean(), "{report:#?}");
    fs::remove_dir_all(place.dir.join("index")).expect("removes");
    assert_eq!(place.verify().index, IndexState::Absent);
    // A copy of the folder may have no lock.
    fs::remove_file(place.dir.join("lock")).expect("removes");
    assert_eq!(place.verify().index, IndexState::Absent);
}

#[test]
fn where_records_are_missing_the_index_is_not_blamed() {
    let (place, heads) = written();
    flip(&place.file("segments", "record-00000000000000000001"), 60);
    let report = place.verify_with(vec![heads.clone()]);
    assert_eq!((report.findings.len(), report.index), (1, IndexState::Compared), "{report:#?}");
    // The checkpoint behind the damage is taken as it is; from there on all is known again.
    assert_eq!((report.checkpoints, report.checkpoints_taken), (1, 1));
    flip(&place.file("segments", "record-00000000000000000001"), 60);
    flip(&place.file("log", "0"), 160);
    let report = place.verify();
    assert_eq!(report.index, IndexState::NotCompared, "{report:#?}");
    assert!(report.findings.iter().all(|found| found.problem != Problem::Contradicted));
}

#[test]
fn a_checkpoint_that_the_commits_contradict() {
    for (tree, key, value, says) in [
        (tree::ALERTS, "a0", Some("closed"), "history says 8, here is closed"),
        (tree::ALERTS, "a3", None, "history says 7, here is nothing"),
        (tree::TOKENS, "new", Some("{}"), "history has no such record"),
    ] {
        let (place, _) = sealed();
        let mut forger = Forger::of(&place);
        let bytes = value.map(|value: &str| value.as_bytes().to_vec());
        forger.checkpoint(&|next| next.set(tree, key.into(), bytes.clone()));
        forger.save(&place.key);
        let report = place.verify();
        check(&report, "checkpoints/", tree, key, says);
        assert_eq!(report.findings[0].commit, Some(9));
        assert_eq!((report.checkpoints, report.index), (2, IndexState::Compared), "{report:#?}");
    }
}

#[test]
fn changes_are_packed_away_and_nothing_is_lost() {
    let place = Place::new();
    let options = Options { seal_bytes: 1 << 30, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    let long = "x".repeat(3 << 20);
    for n in 0..24u64 {
        let value = format!("{n}{long}");
        let mut puts = vec![put(tree::HOSTS, &format!("h{}", n % 20), Some(&value))];
        puts.extend((n > 0).then(|| put(tree::HOSTS, &format!("h{}", n - 1), None)));
        let received = lines("a", Kind::Log, n * 3, 3);
        let draft = Draft { received: vec![received], puts, ..Draft::default() };
        writer.commit(draft).expect("commits");
        if n == 20 {
            history.seal().expect("seals");
        }
    }
    writer.close().expect("closes");
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.checkpoints, report.index), (1, IndexState::Compared));
}

#[test]
fn verifying_changes_nothing() {
    fn state(dir: &Path, into: &mut BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>) {
        for entry in fs::read_dir(dir).expect("lists") {
            let path = entry.expect("lists").path();
            let modified = fs::metadata(&path).expect("a file").modified().expect("a time");
            if path.is_dir() {
                state(&path, into);
                into.insert(path, (Vec::new(), modified));
            } else {
                into.insert(path.clone(), (fs::read(&path).expect("reads"), modified));
            }
        }
    }
    let (place, heads) = written();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    state(&place.dir, &mut before);
    assert_eq!(place.verify_with(vec![heads]).index, IndexState::Compared);
    state(&place.dir, &mut after);
    assert!(before == after);
}

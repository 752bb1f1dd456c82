//! Everything an administrator might do to history's files, and what `verify` says of it: bytes, files,
//! and what was written by somebody else. See `forgery` for who owns the machine and the tools, and
//! `derived` for what follows from the commits.

use super::*;

mod derived;
mod forgery;
mod retention;

/// A history of two sealed runs and a log, closed, with the heads an agent would hold.
fn written() -> (Place, Heads) {
    let place = Place::new();
    let (mut writer, history) = place.open();
    write(&mut writer, &history, "line");
    let heads = history.heads();
    writer.close().expect("closes");
    let report = place.verify_with(vec![heads.clone()]);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.commits, report.records, report.decisions), (9, 18, 9));
    assert!(report.signatures >= 3);
    (place, heads)
}

fn write(writer: &mut Writer, history: &History, word: &str) {
    for n in 0..9u64 {
        let records = (n * 2..n * 2 + 2).map(|i| line(i, 0, &format!("{word} {i}"))).collect();
        let received = Received { ingested: n as i64, ..received("a", Kind::Log, records, vec![]) };
        let draft = Draft {
            received: vec![received],
            entries: vec![entry("alert.raised", n as i64)],
            ..Draft::default()
        };
        writer.commit(draft).expect("commits");
        if n == 2 || n == 5 {
            history.seal().expect("seals");
        }
    }
}

/// Fails unless the first finding is this one.
fn check(
    place: &Place,
    heads: &Heads,
    problem: Problem,
    class: Option<Class>,
    commit: u64,
    file: &str,
) -> Finding {
    let report = place.verify_with(vec![heads.clone()]);
    let first = report.findings.first().expect("a finding").clone();
    assert_eq!(
        (first.problem, first.class, first.commit),
        (problem, class, Some(commit)),
        "{report:#?}"
    );
    assert!(first.file.contains(file), "{first:?}");
    assert!(first.time.is_some(), "{first:?}");
    first
}

#[test]
fn a_changed_byte_of_a_segment() {
    let (place, heads) = written();
    let path = place.file("segments", "log-00000000000000000004");
    let len = fs::metadata(&path).expect("a file").len();
    let original = fs::read(&path).expect("reads");
    // It is derived, and comparing it takes most of the time.
    fs::remove_dir_all(place.dir.join("index")).expect("removes");
    for at in 0..len {
        flip(&path, at);
        let report = place.verify_with(vec![heads.clone()]);
        let first = report.findings.first().unwrap_or_else(|| panic!("byte {at} was not seen"));
        assert_eq!(
            (report.findings.len(), first.class),
            (1, Some(Class::Log)),
            "{at}: {report:#?}"
        );
        assert!(first.commit.is_some_and(|commit| (4..=6).contains(&commit)), "{first:?}");
        assert!(first.offset.is_some(), "{first:?}");
        fs::write(&path, &original).expect("writes");
    }
    let chunk = segment::Reader::open(&path).expect("opens").chunks[0].clone();
    flip(&path, chunk.offset + 40);
    let found =
        check(&place, &heads, Problem::Changed, Some(Class::Log), 4, "log-00000000000000000004");
    assert_eq!(found.offset, Some(chunk.offset));
}

#[test]
fn a_changed_byte_of_the_log() {
    let (place, heads) = written();
    let path = place.file("log", "0");
    let scan = log::scan(&fs::read(&path).expect("reads").into()).expect("a log");
    let frames: Vec<_> = scan.frames.iter().filter(|raw| raw.kind == log::COMMIT).collect();
    let original = fs::read(&path).expect("reads");
    for (at, frame) in frames.iter().enumerate() {
        flip(&path, frame.offset as u64 + 70);
        let found = check(&place, &heads, Problem::Changed, None, 7 + at as u64, "log/");
        assert_eq!(found.offset, Some(frame.offset as u64));
        fs::write(&path, &original).expect("writes");
    }
}

#[test]
fn a_cut_segment() {
    let (place, heads) = written();
    let path = place.file("segments", "record-00000000000000000001");
    let bytes = fs::read(&path).expect("reads");
    for len in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).expect("writes");
        let report = place.verify_with(vec![heads.clone()]);
        let [found] = &report.findings[..] else { panic!("{report:#?}") };
        assert_eq!((found.problem, found.class), (Problem::Cut, Some(Class::Record)), "{len}");
        assert_eq!(found.offset, Some(len as u64));
    }
}

#[test]
fn a_removed_segment_and_a_removed_log_file() {
    let (place, heads) = written();
    let path = place.file("segments", "log-00000000000000000004");
    fs::rename(&path, place.dir.join("gone")).expect("renames");
    check(&place, &heads, Problem::Removed, Some(Class::Log), 4, "log-00000000000000000004");
    fs::rename(place.dir.join("gone"), &path).expect("renames");
    fs::remove_file(place.file("log", "0")).expect("removes");
    check(&place, &heads, Problem::Cut, Some(Class::Log), 9, "heads");
}

#[test]
fn swapped_segments() {
    let (place, heads) = written();
    let one = place.file("segments", "log-00000000000000000001");
    let two = place.file("segments", "log-00000000000000000004");
    let between = place.dir.join("between");
    for (from, to) in [(&one, &between), (&two, &one), (&between, &two)] {
        fs::rename(from, to).expect("renames");
    }
    check(&place, &heads, Problem::Swapped, Some(Class::Log), 1, "log-00000000000000000001");
    assert_eq!(place.verify().findings.len(), 2);
}

#[test]
fn a_segment_made_again_with_other_records() {
    let (place, heads) = written();
    let (other, _) = written_by(&place.key, "lies");
    let name = "log-00000000000000000001";
    fs::copy(other.file("segments", name), place.file("segments", name)).expect("copies");
    check(&place, &heads, Problem::Recreated, Some(Class::Log), 1, name);
}

fn written_by(key: &Path, word: &str) -> (Place, Heads) {
    let mut place = Place::new();
    place.key = key.to_owned();
    let (mut writer, history) = place.open();
    write(&mut writer, &history, word);
    let heads = history.heads();
    writer.close().expect("closes");
    (place, heads)
}

#[test]
fn a_chain_written_again_and_signed_with_another_key() {
    let (place, heads) = written();
    let other_key = Place::new();
    let (forged, _) = written_by(&other_key.key, "lies");
    let report = verify(&forged.dir, place.trusting(vec![])).expect("verifies");
    assert_eq!(report.findings[0].problem, Problem::Signature, "{report:#?}");
    assert_eq!(report.findings[0].file, "manifest");
    // Even for whoever has no key: what the agents hold is not in it.
    let options = VerifyOptions { key: None, ..place.trusting(vec![heads.clone()]) };
    let report = verify(&forged.dir, options).expect("verifies");
    let first = &report.findings[0];
    assert_eq!(
        (first.problem, first.class, first.commit, first.file.as_str()),
        (Problem::Head, Some(Class::Log), Some(9), "heads"),
        "{report:#?}"
    );
    assert_eq!(report.key, KeyFrom::SameDisk);
    // Or whoever takes the key from the agent.
    let mut options = VerifyOptions { key: None, ..place.trusting(vec![heads.clone()]) };
    options.heads[0].key = Some(place.public.clone());
    let report = verify(&forged.dir, options).expect("verifies");
    assert_eq!((report.key, report.findings[0].problem), (KeyFrom::Agents, Problem::Signature));
    assert_eq!(report.findings[0].file, "manifest");
    // And with the stolen key itself.
    let (stolen, _) = written_by(&place.key, "lies");
    let report = verify(&stolen.dir, place.trusting(vec![heads])).expect("verifies");
    assert_eq!(report.findings[0].problem, Problem::Head, "{report:#?}");
}

#[test]
fn a_log_cut_below_a_signed_head() {
    let (place, _) = written();
    let path = place.file("log", "0");
    let bytes = fs::read(&path).expect("reads");
    let scan = log::scan(&bytes.clone().into()).expect("a log");
    let eighth = scan.frames.iter().find(|raw| raw.number == 8).expect("a frame");
    fs::write(&path, &bytes[..eighth.offset]).expect("writes");
    // No agent is needed: the manifest has the heads that were signed at the end.
    let report = place.verify();
    let first = &report.findings[0];
    assert_eq!((first.problem, first.commit), (Problem::Cut, Some(9)), "{report:#?}");
    assert_eq!(first.file, "manifest");
    // Going on from there does not hide it.
    let (mut writer, history) = place.open();
    assert!(history.status().damaged > 0);
    for n in 7..10u64 {
        let records = vec![line(n * 2, 0, "other"), line(n * 2 + 1, 0, "other")];
        writer.commit(batch(received("a", Kind::Log, records, vec![]))).expect("commits");
    }
    drop(writer);
    assert!(!place.verify().is_clean());
}

#[test]
fn an_older_manifest_or_checkpoint() {
    let (place, heads) = written();
    let checkpoint = place.file("checkpoints", "00000000000000000006");
    flip(&checkpoint, 30);
    check_some(&place, Problem::Changed, "checkpoints/");
    flip(&checkpoint, 30);
    let manifest = fs::read(place.dir.join("manifest")).expect("reads");
    let unsigned = manifest::load(&place.dir).expect("loads").expect("a manifest");
    manifest::save(&Real, &place.dir, &mut unsigned.manifest.clone(), None).expect("saves");
    check_some(&place, Problem::Signature, "manifest");
    fs::write(place.dir.join("manifest"), manifest).expect("writes");
    assert!(place.verify_with(vec![heads]).is_clean());
}

#[test]
fn a_changed_byte_of_the_manifest_and_no_manifest() {
    let (place, heads) = written();
    let path = place.dir.join("manifest");
    let bytes = fs::read(&path).expect("reads");
    for at in (0..bytes.len()).step_by(7) {
        flip(&path, at as u64);
        let report = place.verify_with(vec![heads.clone()]);
        let first = report.findings.first().expect("a finding");
        assert_eq!((first.problem, first.file.as_str()), (Problem::Changed, "manifest"), "{at}");
        assert_eq!(report.records, 18, "the rest is walked all the same");
        fs::write(&path, &bytes).expect("writes");
    }
    fs::remove_file(&path).expect("removes");
    check_some(&place, Problem::Removed, "manifest");
}

fn check_some(place: &Place, problem: Problem, file: &str) {
    let report = place.verify();
    let found = report.findings.iter().any(|f| f.problem == problem && f.file.starts_with(file));
    assert!(found, "{report:#?}");
}

#[test]
fn what_is_before_since_is_passed_over() {
    let (place, heads) = written();
    let path = place.file("segments", "log-00000000000000000001");
    let bytes = fs::read(&path).expect("reads");
    let at = |since| {
        let early = Heads { heads: heads.heads.clone(), ..Heads::default() };
        let mut early = early;
        early.heads.iter_mut().for_each(|head| head.commit = 2);
        let options = VerifyOptions { since, ..place.trusting(vec![heads.clone(), early]) };
        verify(&place.dir, options).expect("verifies")
    };
    flip(&path, 40);
    assert_eq!(at(None).findings[0].problem, Problem::Changed);
    // What it holds is not looked at, but it must be there, and as long as it was.
    let report = at(Some(3));
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.segments, report.segments_passed_over), (2, 2), "{report:#?}");
    assert_eq!((report.heads.passed_over, report.heads.unmatched), (2, 0), "{report:#?}");
    assert_eq!((report.checkpoints_taken, report.checkpoints), (1, 1), "{report:#?}");
    assert_eq!(report.index, IndexState::Compared);
    assert!(report.first_time.is_some() && report.first_time <= report.last_time);
    fs::write(&path, &bytes[..50]).expect("writes");
    let cut = at(Some(3));
    let [found] = &cut.findings[..] else { panic!("{cut:#?}") };
    assert_eq!(
        (found.problem, found.class, found.offset),
        (Problem::Cut, Some(Class::Log), Some(50))
    );
    fs::remove_file(&path).expect("removes");
    let gone = at(Some(3));
    let [found] = &gone.findings[..] else { panic!("{gone:#?}") };
    assert_eq!(
        (found.problem, found.class, found.commit),
        (Problem::Removed, Some(Class::Log), Some(1))
    );
}

#[test]
fn progress_reaches_its_end() {
    let (place, _) = written();
    let mut seen = Vec::new();
    let options = place.trusting(vec![]);
    verify_watched(&place.dir, options, &mut |done, total| seen.push((done, total)))
        .expect("walks");
    assert!(seen.is_sorted() && seen.len() > 8, "{seen:?}");
    let (done, total) = *seen.last().expect("some");
    assert!(done <= total && done > total / 2, "{done} of {total}");
}

#[test]
fn a_folder_that_is_none_is_named() {
    let error =
        verify(Path::new("/nonexistent"), VerifyOptions::default()).expect_err("nothing there");
    assert!(matches!(error, Error::Unusable(_)));
}

//! What somebody does who owns the machine and knows the formats: every checksum, digest and link is
//! right, the manifest lists what is there and is signed again, by a key of his own or by the stolen
//! one. What gives him away is the key from elsewhere, or what agents keep.

use super::super::checkpoint;
use super::super::stored::{Item, Manifest};
use super::*;
use crate::history::chain::{Key, Tips};

/// Nine commits in three segments of each class, nothing in the log; closed, with the unsigned heads
/// that an agent got with its last acknowledgement.
pub(super) fn sealed() -> (Place, Heads) {
    let place = Place::new();
    // A checkpoint with every seal.
    let options = Options { checkpoint_age: std::time::Duration::ZERO, ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    for n in 0..9u64 {
        let records = (n * 2..n * 2 + 2).map(|i| line(i, 0, &format!("line {i}"))).collect();
        let received = Received { ingested: n as i64, ..received("a", Kind::Log, records, vec![]) };
        let draft = Draft {
            received: vec![received],
            entries: vec![entry("alert.raised", n as i64)],
            puts: vec![put(tree::ALERTS, &format!("a{}", n % 4), Some(&format!("{n}")))],
            ..Draft::default()
        };
        writer.commit(draft).expect("commits");
        if n % 3 == 2 {
            history.seal().expect("seals");
        }
    }
    let heads = history.heads();
    writer.close().expect("closes");
    let report = place.verify_with(vec![heads.clone()]);
    assert!(report.is_clean(), "{report:#?}");
    (place, heads)
}

/// The same history in other hands.
pub(super) struct Forger<'a> {
    place: &'a Place,
    pub(super) manifest: Manifest,
}

impl<'a> Forger<'a> {
    pub(super) fn of(place: &'a Place) -> Forger<'a> {
        let signed = manifest::load(&place.dir).expect("loads").expect("a manifest");
        Forger { place, manifest: signed.manifest }
    }

    /// Which of the manifest's segments has this commit of a class.
    pub(super) fn position(&self, class: Class, commit: u64) -> usize {
        let has = |segment: &stored::Segment| {
            segment.class == class.number()
                && (segment.first_commit..=segment.last_commit).contains(&commit)
        };
        self.manifest.segments.iter().position(has).expect("a segment")
    }

    /// Takes a segment away, and out of the list.
    pub(super) fn remove(&mut self, class: Class, commit: u64) -> stored::Segment {
        let gone = self.manifest.segments.remove(self.position(class, commit));
        fs::remove_file(self.place.dir.join("segments").join(&gone.file)).expect("removes");
        gone
    }

    /// Writes the segments of a class from a commit on again, each item as `change` wants it, linked
    /// from the first to the last.
    pub(super) fn rewrite(&mut self, class: Class, from: u64, change: &dyn Fn(&mut Item)) {
        let mut previous = None;
        let at = self.position(class, from);
        let number = class.number();
        let dir = self.place.dir.join("segments");
        for segment in &mut self.manifest.segments[at..] {
            if segment.class != number {
                continue;
            }
            let reader = segment::Reader::open(&dir.join(&segment.file)).expect("opens");
            let mut writer = writer(&dir, class);
            for chunk in &reader.chunks {
                for mut item in reader.read(chunk).expect("reads") {
                    change(&mut item);
                    let before = previous.unwrap_or(chunk.previous[..].try_into().unwrap());
                    let link = segment::link_of(class, &before, &item).expect("a link");
                    item.step = Some(step(class, &before, &link));
                    previous = Some(link);
                    writer.push(item).expect("pushes");
                }
            }
            *segment = writer.finish().expect("finishes");
        }
    }

    /// Makes the end of the chain what the segments give, and signs the heads of it.
    pub(super) fn end(&mut self, key: &Path) {
        let mut tips = Tips::default();
        for segment in &self.manifest.segments {
            let class = Class::from_number(segment.class).expect("a class");
            let link = segment.link[..].try_into().expect("a link");
            tips.set(class, segment.link_commit, link);
        }
        self.manifest.tips = tips.to_stored();
        let mut heads = tips.heads(99);
        Key::load(key).expect("loads").sign_heads(&mut heads);
        self.manifest.signed = Some(heads);
    }

    /// Replaces the newest checkpoint by one with other rows.
    pub(super) fn checkpoint(&mut self, change: &dyn Fn(&mut checkpoint::Next)) {
        let dir = self.place.dir.join("checkpoints");
        let stored = self.manifest.checkpoints.last_mut().expect("a checkpoint");
        let old = checkpoint::load(&dir.join(&stored.file), &stored.digest).expect("loads");
        let mut next = checkpoint::Next::after(Some(old)).expect("begins");
        change(&mut next);
        *stored = next.write(&Real, &dir, stored.commit).expect("writes");
    }

    /// Signs the manifest.
    pub(super) fn save(mut self, key: &Path) {
        let key = Key::load(key).expect("loads");
        manifest::save(&Real, &self.place.dir, &mut self.manifest, Some(&key)).expect("saves");
    }
}

/// Begins a segment as a forger would: in the plainest way.
fn writer(dir: &Path, class: Class) -> segment::Writer<'static> {
    segment::Writer::create(&Real, dir, class, None, segment::Level::SEAL).expect("creates")
}

fn step(class: Class, previous: &[u8], link: &[u8]) -> stored::Step {
    let [previous, link] = [previous, link].map(Bytes::copy_from_slice);
    stored::Step { class: class.number(), previous, link }
}

/// Makes the first record of commit 5 say something else. It is not the last of its queue, so that
/// nothing that is derived tells of it.
fn lie(item: &mut Item) {
    if item.commit == 5 {
        let block = item.groups[0].block.as_mut().expect("a block");
        block.records[0].body = Some(Body::Original(Bytes::from_static(b"nothing happened")));
    }
}

/// Problem, class, commit and file of each finding.
fn told(report: &Report) -> Vec<(Problem, Option<Class>, Option<u64>, &str)> {
    let tell = |found: &'_ Finding| (found.problem, found.class, found.commit);
    let tell = report.findings.iter().map(|found| (tell(found), found.file.as_str()));
    tell.map(|((problem, class, commit), file)| (problem, class, commit, file)).collect()
}

fn without_key(place: &Place, heads: Vec<Heads>) -> Report {
    let options = VerifyOptions { key: None, ..place.trusting(heads) };
    verify(&place.dir, options).expect("verifies")
}

#[test]
fn a_removed_segment_that_the_list_no_longer_has() {
    let key = Place::new().key;
    let other = Place::new();
    assert!(!key.exists());
    for (commit, problem, at, file) in [
        (1, Problem::Removed, 4, "segments/log-00000000000000000004"),
        (4, Problem::Removed, 4, "segments/log-00000000000000000007"),
        (7, Problem::Changed, 9, "manifest"),
    ] {
        for stolen in [false, true] {
            let (place, heads) = sealed();
            let mut forger = Forger::of(&place);
            forger.remove(Class::Log, commit);
            forger.save(if stolen { &place.key } else { &other.key });
            let report = place.verify();
            let found = told(&report);
            if !stolen {
                let manifest = (Problem::Signature, None, Some(9), "manifest");
                assert_eq!(found[0], manifest, "{commit}: {report:#?}");
            }
            let found = if stolen { found } else { told(&report).split_off(1) };
            assert!(
                found.iter().any(|found| (found.0, found.1, found.2)
                    == (problem, Some(Class::Log), Some(at))
                    && found.3.starts_with(file)),
                "{commit}: {report:#?}"
            );
            assert!(report.findings.iter().all(|found| found.time.is_some()), "{report:#?}");
            // Whoever has no key but what is on the disk sees the hole all the same.
            assert!(!without_key(&place, vec![]).is_clean());
            assert!(!without_key(&place, vec![heads]).is_clean());
        }
    }
}

#[test]
fn a_removed_end_of_a_chain_is_seen_by_who_keeps_heads_and_by_what_is_derived() {
    let (place, heads) = sealed();
    let mut forger = Forger::of(&place);
    forger.remove(Class::Log, 7);
    forger.end(&place.key);
    forger.save(&place.key);
    // The checkpoint knows of records that no commit has.
    let report = place.verify();
    assert_eq!(report.findings[0].problem, Problem::Contradicted, "{report:#?}");
    assert_eq!(report.findings[0].tree.as_deref(), Some(tree::LEDGER));
    let mut forger = Forger::of(&place);
    forger.manifest.checkpoints.pop();
    forger.save(&place.key);
    assert!(place.verify().is_clean(), "the stolen key leaves nothing else to see");
    let report = place.verify_with(vec![heads]);
    assert_eq!(told(&report), [(Problem::Head, Some(Class::Log), Some(9), "heads")]);
}

#[test]
fn everything_from_a_commit_on_written_again() {
    let other = Place::new();
    for stolen in [false, true] {
        let (place, heads) = sealed();
        let key = if stolen { &place.key } else { &other.key };
        let mut forger = Forger::of(&place);
        forger.rewrite(Class::Log, 4, &lie);
        forger.end(key);
        forger.save(key);
        let kept = (Problem::Head, Some(Class::Log), Some(9), "heads");
        if stolen {
            // Nothing here knows better, only who is elsewhere.
            assert!(place.verify().is_clean(), "{:#?}", place.verify());
            assert_eq!(told(&place.verify_with(vec![heads])), [kept]);
        } else {
            let signature = (Problem::Signature, None, Some(9), "manifest");
            let report = place.verify();
            assert_eq!(told(&report), [signature, signature], "{report:#?}");
            assert!(without_key(&place, vec![]).is_clean(), "the key on the disk proves little");
            let report = without_key(&place, vec![heads]);
            assert_eq!(told(&report), [kept]);
            assert_eq!(report.key, KeyFrom::SameDisk);
        }
    }
}

#[test]
fn one_segment_written_again_breaks_the_chain_behind_it() {
    let (place, _) = sealed();
    let mut forger = Forger::of(&place);
    let last = forger.position(Class::Log, 7);
    let (after, tail) = (forger.manifest.segments[last].clone(), last);
    let bytes = fs::read(place.dir.join("segments").join(&after.file)).expect("reads");
    forger.rewrite(Class::Log, 4, &lie);
    fs::write(place.dir.join("segments").join(&after.file), bytes).expect("writes");
    forger.manifest.segments[tail] = after;
    forger.save(&place.key);
    let report = place.verify();
    let found = &report.findings[0];
    assert_eq!(
        (found.problem, found.class, found.commit),
        (Problem::Removed, Some(Class::Log), Some(7)),
        "{report:#?}"
    );
    assert!(found.file.contains("log-00000000000000000007"), "{found:?}");
}

#[test]
fn records_changed_under_links_that_were_left_alone() {
    let (place, _) = sealed();
    let dir = place.dir.join("segments");
    let mut forger = Forger::of(&place);
    let at = forger.position(Class::Log, 4);
    let segment = &mut forger.manifest.segments[at];
    let reader = segment::Reader::open(&dir.join(&segment.file)).expect("opens");
    let mut writer = writer(&dir, Class::Log);
    let mut previous = reader.chunks[0].previous[..].try_into().expect("a link");
    let mut items = reader.read(&reader.chunks[0]).expect("reads");
    segment::relink(Class::Log, &mut previous, &mut items).expect("links");
    for mut item in items {
        lie(&mut item);
        writer.push(item).expect("pushes");
    }
    *segment = writer.finish().expect("finishes");
    forger.save(&place.key);
    let report = place.verify();
    let found = &report.findings[0];
    assert_eq!(
        (found.problem, found.class, found.commit),
        (Problem::Changed, Some(Class::Log), Some(5)),
        "{report:#?}"
    );
    assert!(found.time.is_some() && found.file.contains("log-00000000000000000004"), "{found:?}");
}

#[test]
fn a_list_that_hides_records_from_readers() {
    let (place, _) = sealed();
    let cases: [&dyn Fn(&mut stored::Segment); 2] =
        [&|segment| segment.agents = vec!["b".into()], &|segment| segment.entries -= 1];
    for change in cases {
        let mut forger = Forger::of(&place);
        let at = forger.position(Class::Log, 4);
        let before = forger.manifest.segments[at].clone();
        change(&mut forger.manifest.segments[at]);
        forger.save(&place.key);
        let report = place.verify();
        let [found] = &report.findings[..] else { panic!("{report:#?}") };
        assert_eq!((found.problem, found.class), (Problem::Contradicted, Some(Class::Log)));
        let mut forger = Forger::of(&place);
        forger.manifest.segments[at] = before;
        forger.save(&place.key);
        assert!(place.verify().is_clean());
    }
}

#[test]
fn a_manifest_rolled_back_to_an_older_one() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    write(&mut writer, &history, "line");
    let older = fs::read(place.dir.join("manifest")).expect("reads");
    for n in 9..12u64 {
        writer.commit(batch(lines("a", Kind::Log, n * 2, 2))).expect("commits");
    }
    history.seal().expect("seals");
    let heads = history.heads();
    writer.close().expect("closes");
    assert!(place.verify().is_clean());
    fs::write(place.dir.join("manifest"), older).expect("writes");
    let report = place.verify();
    let unlisted = (Problem::Removed, Some(Class::Log), Some(7));
    let found = report.findings.iter().any(|found| {
        (found.problem, found.class, found.commit) == unlisted
            && found.file.starts_with("segments/log-00000000000000000007")
    });
    assert!(found, "{report:#?}");
    // With everything that is younger taken away as well, only agents know.
    for folder in ["segments", "log", "checkpoints"] {
        for entry in fs::read_dir(place.dir.join(folder)).expect("lists") {
            let path = entry.expect("lists").path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let first = name.split(['-', '.']).find_map(|part| part.parse::<u64>().ok());
            if first.is_some_and(|first| first > 6) {
                fs::remove_file(path).expect("removes");
            }
        }
    }
    let report = place.verify_with(vec![heads]);
    let cut = report.findings.iter().find(|found| found.file == "heads").expect("a finding");
    assert_eq!((cut.problem, cut.class, cut.commit), (Problem::Cut, Some(Class::Log), Some(12)));
}

#[test]
fn commits_cut_off_the_log_that_nobody_signed() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    write(&mut writer, &history, "line");
    let heads = history.heads();
    assert!(heads.signature.is_empty(), "the last acknowledgement came before the next signature");
    drop(writer);
    let path = place.file("log", "0");
    let bytes = fs::read(&path).expect("reads");
    let scan = log::scan(&bytes.clone().into()).expect("a log");
    let last = scan.frames.iter().rfind(|raw| raw.kind == log::COMMIT).expect("a frame");
    fs::write(&path, &bytes[..last.offset]).expect("writes");
    assert!(place.verify().is_clean(), "at a frame's end nothing is left to see");
    let report = place.verify_with(vec![heads]);
    let first = &report.findings[0];
    assert_eq!(
        (first.problem, first.class, first.commit, first.file.as_str()),
        (Problem::Cut, Some(Class::Log), Some(9), "heads"),
        "{report:#?}"
    );
    assert_eq!(report.heads.matched_unsigned, 0);
    assert_eq!(report.heads.unmatched, 2);
}

#[test]
fn agents_that_were_given_different_keys() {
    let (place, heads) = sealed();
    let mut options = VerifyOptions { key: None, ..place.trusting(vec![heads.clone()]) };
    options.heads[0].key = Some(place.public.clone());
    let other = Kept { from: "other".to_owned(), key: Some(vec![3; 32]), heads: vec![heads] };
    options.heads.push(other);
    let report = verify(&place.dir, options).expect("verifies");
    assert_eq!(told(&report), [(Problem::Signature, None, None, "other")]);
    assert_eq!(report.key, KeyFrom::Agents);
}

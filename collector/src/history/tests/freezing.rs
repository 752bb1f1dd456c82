//! History held still while it goes on.

use std::io::{Read, Write};

use super::*;

/// Writes what is held still to a folder, as a restore would.
fn write_out(frozen: &Frozen, dir: &Path) {
    for folder in ["segments", "checkpoints", "log"] {
        fs::create_dir_all(dir.join(folder)).expect("makes");
    }
    fs::write(dir.join("manifest"), &frozen.manifest).expect("writes");
    for file in &frozen.files {
        let mut bytes = Vec::new();
        file.open().expect("opens").read_to_end(&mut bytes).expect("reads");
        assert_eq!(bytes.len() as u64, file.bytes, "{}", file.name);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        assert_eq!(digest.as_ref(), &file.digest[..], "{}", file.name);
        let mut to = fs::File::create(dir.join(&file.name)).expect("makes");
        to.write_all(&bytes).expect("writes");
    }
}

#[test]
fn what_is_held_still_is_a_history_of_its_own() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for number in 1..=5 {
        writer.commit(batch(lines("a", Kind::Log, number, 1))).expect("commits");
        writer.commit(Draft { entries: vec![entry("x", 7)], ..Draft::default() }).expect("commits");
        history.seal().expect("seals");
    }
    let (seen, rows) = (all(&history, &Range::default()), dump(&history));
    let frozen = history.freeze().expect("freezes");
    assert_eq!(frozen.commit, 10);
    assert!(verify_heads(&frozen.heads, &place.public));
    // It goes on: heads are signed beyond, checkpoints that were listed go, segments are merged.
    for number in 6..=9 {
        writer.commit(batch(lines("a", Kind::Log, number, 1))).expect("commits");
        history.seal().expect("seals");
    }
    assert!(history.merge(2 * crate::time::DAY).expect("merges") > 0);
    let copy = Place::new();
    write_out(&frozen, &copy.dir);
    fs::copy(&place.key, &copy.key).expect("copies");
    let copy = Place { public: place.public.clone(), ..copy };
    let report = copy.verify();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.commits, 10);
    let (_writer, restored) = copy.open();
    assert_eq!(all(&restored, &Range::default()), seen);
    assert_eq!(dump(&restored), rows);
    let files = || fs::read_dir(place.dir.join("segments")).expect("lists").count() as u64;
    let counted = || history.status().classes.iter().map(|class| class.segments).sum::<u64>();
    assert!(files() > counted(), "what was merged is held");
    drop(frozen);
    assert_eq!(files(), counted(), "and goes when nobody holds it any more");
    drop((writer, history));
    let report = place.verify();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn heads_are_signed_as_of_now() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let committed = writer.commit(batch(lines("a", Kind::Log, 1, 3))).expect("commits");
    assert!(committed.heads.signature.is_empty(), "a minute has not passed");
    let heads = history.sign_heads();
    assert!(verify_heads(&heads, &place.public));
    assert_eq!(heads.heads, committed.heads.heads);
    assert_eq!(history.sign_heads(), heads, "nothing new is not signed again");
    writer.close().expect("closes");
    assert!(place.verify().is_clean());
}

//! Small inputs for what the fuzz targets run, so that the targets cannot rot: those in
//! `fuzz/seeds/`, among them whatever a fuzzer once found, and some made here.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::entries;

/// A target.
type Entry = fn(&[u8]);

const ENTRIES: [(&str, Entry); 3] = [
    ("rule_text", entries::rule_text),
    ("events", entries::events),
    ("patterns", entries::patterns),
];

#[test]
fn every_seed_passes() {
    for (name, entry) in ENTRIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
        let mut seeds = 0;
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            entry(&fs::read(&path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "no seeds in {}", folder.display());
        entry(&[]);
    }
}

#[test]
fn every_target_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut listed = ENTRIES.map(|(name, _)| name);
    listed.sort_unstable();
    assert_eq!(found, listed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, entry) in ENTRIES {
            entry(&bytes);
        }
    }

    #[test]
    fn any_pattern_passes(pattern in r"[ab*?\\.+(\[\])|^$-]{0,8}", text in r"[aAbB*?\\.\n-]{0,12}") {
        entries::patterns(format!("{pattern}\n{text}").as_bytes());
    }
}

//! What `rules coverage --known` takes for known is what the examples of the decoders hold: the
//! events of `tests/decode/*/*.json`, and the typed events in the tests beside the rules of the
//! library. `WRITE_GOLDEN=1` writes the list anew; the examples must have been written before.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A dataset and a field of its events.
type Pair = (String, String);

fn files(folder: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, out);
        } else if path.to_string_lossy().ends_with(ending) {
            out.push(path);
        }
    }
    out.sort();
}

fn of_decoders(root: &Path, pairs: &mut BTreeSet<Pair>) {
    let mut examples = Vec::new();
    files(&root.join("tests/decode"), ".json", &mut examples);
    // Those are full of names that nobody but an attacker gives.
    examples.retain(|path| !path.ends_with("hostile.json"));
    assert!(examples.len() >= 10, "{} examples", examples.len());
    for path in examples {
        let events: Vec<Map<String, Value>> =
            serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for event in events {
            let dataset = event["event.dataset"].as_str().unwrap();
            pairs.extend(event.keys().map(|field| (dataset.to_owned(), field.clone())));
        }
    }
}

/// A case of a rule's tests, as far as it matters here.
#[derive(serde::Deserialize)]
struct Case {
    #[serde(default)]
    dataset: String,
    #[serde(default)]
    events: Vec<Map<String, Value>>,
}

fn of_library(root: &Path, pairs: &mut BTreeSet<Pair>) {
    let mut cases = Vec::new();
    files(&root.join("../rules/library"), ".test.yml", &mut cases);
    for path in cases {
        let cases: Vec<Case> = yaml_serde::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for Case { dataset, events } in cases {
            let fields = events.iter().flat_map(Map::keys);
            pairs.extend(fields.map(|field| (dataset.clone(), field.clone())));
        }
    }
}

#[test]
fn what_is_known_is_what_the_examples_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pairs = BTreeSet::new();
    of_decoders(root, &mut pairs);
    of_library(root, &mut pairs);
    let expected: String =
        pairs.iter().map(|(dataset, field)| format!("{dataset}\t{field}\n")).collect();
    let list = root.join("src/decode/known.tsv");
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&list, &expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&list).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (found, expected) = (lines(&found), lines(&expected));
    let missing: Vec<_> = expected.difference(&found).take(20).collect();
    let stale: Vec<_> = found.difference(&expected).take(20).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "WRITE_GOLDEN=1 writes it anew; missing {missing:#?}, no longer there {stale:#?}"
    );
}

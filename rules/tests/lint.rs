//! The linter over our own rules, which it must find nothing in, and over the public ones, where it
//! says how often each check found something.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hengwei_rules::lint;

fn rules(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rules(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yml")
            && !path.to_string_lossy().ends_with(".test.yml")
        {
            found.push(path);
        }
    }
}

#[test]
fn our_own_rules_are_clean() {
    let mut paths = Vec::new();
    rules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("library"), &mut paths);
    assert!(paths.len() > 20);
    for path in paths {
        let findings = lint(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(findings, [], "{}", path.display());
    }
}

#[test]
fn public_rules_are_looked_through() {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    let folder = root.join("sigma/rules");
    if !folder.is_dir() {
        println!("skipped: no Sigma corpora at {}", root.display());
        return;
    }
    let mut paths = Vec::new();
    rules(&folder, &mut paths);
    let mut counts: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for path in paths {
        for finding in lint(&std::fs::read_to_string(&path).unwrap()) {
            assert!(!finding.message.contains('\n') && finding.message.len() < 1000, "{finding:?}");
            let count = counts.entry(finding.check.clone()).or_default();
            count.0 += 1;
            count.1 =
                format!("{}:{}: {}", path.display(), finding.line.unwrap_or(0), finding.message);
        }
    }
    for (check, (count, example)) in &counts {
        println!("{check} {count}, such as {example}");
    }
    // What the public set is known for.
    assert!(counts.keys().all(|check| check != "invalid_level"), "{counts:?}");
}

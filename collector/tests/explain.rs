//! What is explained is what happens: over the public rules and the events that come with them, an
//! explanation says a rule matched exactly when the evaluator says so, and shows why.
//!
//! Needs the corpora (`CORPORA`, else `../shared/corpora` beside the workspace) and says so when
//! they are absent.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::fs;
use std::path::{Path, PathBuf};

use hengwei_collector::eval::{Interned, JsonEvent, JsonEvents, LintArgs, lint_rules, read_rules};
use hengwei_rules::explain::{Counted, Explained};
use hengwei_rules::{Document, Options, Scratch, Set};

/// Every so many-th event of a file is looked at.
const STEP: usize = 17;

/// Beside the rules it matches, every so many-th of all.
const STRIDE: usize = 97;

fn corpora() -> Option<PathBuf> {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    let sigma = root.join("sigma");
    if sigma.join("rules").is_dir() {
        return Some(sigma);
    }
    println!("skipped: no Sigma corpora at {}", root.display());
    None
}

/// Whether every item that is said to hold shows by what, and every other one what it lacks.
fn shows_why(counted: &Counted) -> bool {
    counted.asked.iter().all(|asked| !asked.found.is_empty() || asked.lacking.is_some())
        && !counted.asked.is_empty()
}

#[test]
fn explanations_agree_with_the_evaluator() {
    let Some(sigma) = corpora() else { return };
    let sources = read_rules(&[sigma.join("rules")]).unwrap();
    let names = Interned::default();
    let (set, _) = sources.compile(&names, &Options::default());
    let documents: Vec<Document<'_>> =
        sources.texts.iter().map(|(name, text)| Document { name, text }).collect();
    let (mut matched, mut missed) = (0, 0);
    for file in ["regression_flat.ndjson", "synth_positive_seed1.ndjson"] {
        let text = fs::read_to_string(sigma.join("events").join(file)).unwrap();
        let (mut scratch, mut events) = (Scratch::new(), JsonEvents::new());
        for (number, line) in text.lines().enumerate().step_by(STEP) {
            events.clear();
            events.push(line, &names).unwrap();
            let event = events.get(0).unwrap();
            let mut hits = Vec::new();
            set.evaluate(&event, &mut scratch, &mut hits);
            let others = (number % STRIDE..set.rules().len()).step_by(STRIDE);
            for index in hits.iter().copied().chain(others) {
                let explained = explain(&set, index, &documents, &names, &event);
                let expected = hits.contains(&index);
                let rule = set.rules()[index].key();
                assert_eq!(explained.matched(), expected, "{file}:{number} {rule}\n{explained}");
                let Explained::Event(explanation) = &explained else { panic!("{explained}") };
                assert!(explanation.log_source.covered || !expected);
                let selections = &explanation.detection.selections;
                assert!(!selections.is_empty(), "{explained}");
                assert!(selections.iter().all(shows_why), "{file}:{number} {rule}\n{explained}");
                *(if expected { &mut matched } else { &mut missed }) += 1;
            }
        }
    }
    println!("{matched} matches and {missed} others explained");
    assert!(matched > 100 && missed > 100);
}

fn explain(
    set: &Set,
    index: usize,
    documents: &[Document<'_>],
    names: &Interned,
    event: &JsonEvent<'_>,
) -> Explained {
    set.explainer(index, documents, names).unwrap().explain(event)
}

#[test]
fn our_own_rules_ask_for_fields_that_events_have() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/library");
    let mut out = Vec::new();
    let code = lint_rules(&LintArgs { rules: vec![library] }, &mut out, &mut Vec::new()).unwrap();
    assert_eq!((String::from_utf8(out).unwrap().as_str(), code), ("", 0));
}

//! `hengwei-noise [--lines N] [--seed S] [FILE…]`: what the rules raise over lines that are everyday
//! life, so that nobody is woken for nothing.
//!
//! In: the library and the public rules of level high and above; benign material (real logs below
//! CORPORA, a made-up hospital's day, the decoders' golden examples, files named). Out: each alert with
//! its line, why it is right where `docs/noise.md` says so, and how many remain in 10,000 lines. Ends
//! with 1 when an alert has no reason in the table or the goal is missed.
//!
//! A stretch of material is judged as one site from its first line to its last, by the same code that
//! judges live. It knows no rule by name: what is to be said of one stands in the table.

mod material;
mod reasons;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use hengwei_collector::alerts::{Alert, NoPast};
use hengwei_collector::detect::{About, Batch, Detector, Rules};
use hengwei_collector::event::FieldNames;
use hengwei_collector::{decode, eval};
use hengwei_rules::{Document, Level, Mapping, Options, Set};

use material::Stretch;
use reasons::{Reasons, Sort};

const USAGE: &str = "usage: hengwei-noise [--lines N] [--seed S] [FILE...]";
/// False alerts in 10,000 benign lines that nobody should exceed.
const GOAL_PER_10K: f64 = 1.0;
/// Lines of the made-up day.
const MADE_UP: u64 = 300_000;
/// The public rules, below CORPORA.
const PUBLIC: &str = "sigma/rules";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let arguments = arguments()?;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpora =
        std::env::var_os("CORPORA").map_or_else(|| root.join("../shared/corpora"), PathBuf::from);
    let mut folders = vec![root.join("rules/library")];
    if corpora.join(PUBLIC).is_dir() {
        folders.push(corpora.join(PUBLIC));
    } else {
        println!("skipped: no public rules and no real logs at {}; set CORPORA", corpora.display());
    }
    let rules = Arc::new(rules(&folders)?);
    println!("rules {}", rules.set().rules().len());
    let mut reasons = Reasons::read(&root.join("docs/noise.md"))?;
    let mut fine = true;
    println!("stretch | lines | alerts | attacks and incidents | false | false in 10,000");
    let mut told = Vec::new();
    let (mut lines, mut wrong) = (0, 0);
    for stretch in material::all(&root, &corpora, &arguments) {
        let stretch = stretch?;
        let alerts = judge(&rules, &stretch);
        reasons.went_through(&stretch.name);
        let mut false_alerts = 0;
        for alert in &alerts {
            let reason = reasons.of_alert(&stretch.name, &alert.rule.title);
            match reason {
                Some((Sort::True, _)) => {}
                Some((Sort::False, _)) => false_alerts += 1,
                None => {
                    false_alerts += 1;
                    fine = false;
                }
            }
            told.push(told_of(&stretch.name, alert, reason.map(|(_, why)| why)));
        }
        let count = stretch.lines();
        println!(
            "{} | {count} | {} | {} | {false_alerts} | {:.2}",
            stretch.name,
            alerts.len(),
            alerts.len() - false_alerts,
            per_10k(false_alerts, count),
        );
        if stretch.benign {
            lines += count;
            wrong += false_alerts;
        }
    }
    println!();
    told.iter().for_each(|text| println!("{text}"));
    for (stretch, rule) in reasons.unused() {
        println!("docs/noise.md: `{rule}` over `{stretch}` did not come up");
    }
    let rate = per_10k(wrong, lines);
    println!("false_alerts {rate:.3} in 10,000 benign lines (goal below {GOAL_PER_10K})");
    Ok(fine && rate < GOAL_PER_10K)
}

struct Arguments {
    lines: u64,
    seed: u64,
    files: Vec<PathBuf>,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut found = Arguments { lines: MADE_UP, seed: 1, files: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().context(USAGE)?.parse().context(USAGE);
        match argument.as_str() {
            "--lines" => found.lines = number()?,
            "--seed" => found.seed = number()?,
            other if other.starts_with("--") => anyhow::bail!(USAGE),
            file => found.files.push(file.into()),
        }
    }
    Ok(found)
}

/// All of the first folder (ours) and what is high or critical of the others.
fn rules(folders: &[PathBuf]) -> anyhow::Result<Rules> {
    let mut texts = Vec::new();
    for (place, folder) in folders.iter().enumerate() {
        for path in eval::rule_files(std::slice::from_ref(folder))? {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let high = text.lines().any(|line| matches!(line, "level: high" | "level: critical"));
            if place == 0 || high {
                texts.push((path.display().to_string(), text));
            }
        }
    }
    let documents = texts.iter().map(|(name, text)| Document { name, text });
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let (set, refused) = Set::compile(documents, &FieldNames, &options);
    anyhow::ensure!(refused.is_empty(), "refused: {refused:?}");
    Ok(Rules::of(set, About::default(), &|_| Level::High))
}

/// The alerts of a stretch, in the order they were raised.
fn judge(rules: &Arc<Rules>, stretch: &Stretch) -> Vec<Alert> {
    let mut detector = Detector::new(Arc::clone(rules));
    for (sender, ingested, kind, block) in &stretch.blocks {
        let context = decode::Context { sender, ingested: *ingested, kind: *kind };
        let events = decode::block(block, &context);
        let matches = rules.matches(sender, &events);
        let batch = Batch { sender, events: &events, kind: *kind, epoch: &[0; 16] };
        detector.judge(&NoPast, &batch, &matches, *ingested);
    }
    detector.book.all().cloned().collect()
}

fn told_of(stretch: &str, alert: &Alert, why: Option<&str>) -> String {
    let line = alert.evidence.last().map_or("", |evidence| evidence.text.as_str());
    let line: String = line.chars().take(300).collect();
    format!(
        "{stretch}: [{}] {} ({} = {}, {} events)\n    {}\n    {}",
        alert.rule.level,
        alert.rule.title,
        alert.entity.kind,
        alert.entity.value,
        alert.count,
        line.replace('\n', "\n    "),
        why.unwrap_or("NOT IN THE TABLE of docs/noise.md"),
    )
}

fn per_10k(alerts: usize, lines: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let (alerts, lines) = (alerts as f64, lines.max(1) as f64);
    alerts * 10_000.0 / lines
}

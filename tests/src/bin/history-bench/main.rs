//! `make bench-history`: what history costs and how fast it answers, beside the tools one would use
//! without it. A figure a line: `name value unit`, and where a peer did the same in the same run
//! `name value unit | peer value | ratio`, and behind it the goal where there is one.
//!
//! ```text
//! hengwei-history-bench [--quick] [--lines N] [--days N] [--scales 1,4,16] [--runs N]
//!                       [--only size,real,crash,search] [--dir DIR]
//! ```
//!
//! In: made-up logs (`hengwei_tests::generate`), and real ones below `CORPORA` where there are any.
//! They go through history's own writer in batches as agents send them; nothing is decoded that a
//! collector would not decode. Parts: `size`, what a stream of a few hours comes to, and how fast;
//! `real`, the same for real logs, apart; `crash`, opening again after a kill; `search`, questions to
//! half a year of it, at several sizes. Figures are medians. Each measurement runs in a process of
//! its own, so its memory is its own and nothing is left open from the one before.
//!
//! What it does not do: judge. A missed goal is printed, not an error; an error is when something was
//! lost, or a peer found something else than we did.

mod child;
mod corpus;
mod find;
mod parts;
mod peers;
mod store;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

/// Lines of the generated corpus, and of a quick run.
const LINES: u64 = 2_000_000;
const QUICK_LINES: u64 = 200_000;
const RUNS: usize = 5;
const QUICK_RUNS: usize = 3;
const PARTS: [&str; 4] = ["size", "real", "crash", "search"];

/// What is measured, and how much of it.
#[derive(Debug)]
struct Arguments {
    lines: u64,
    /// What the searched corpus is spread over.
    days: u64,
    /// How many times the lines are searched.
    scales: Vec<u64>,
    runs: usize,
    parts: Vec<String>,
    dir: PathBuf,
}

fn main() -> ExitCode {
    let result = match child::task() {
        Some(task) => task.and_then(store::run),
        None => arguments().and_then(|arguments| measure(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("hengwei-bench-").tempdir_in(&arguments.dir)?;
    for part in &arguments.parts {
        match part.as_str() {
            "size" => parts::size(arguments, folder.path())?,
            "real" => parts::real(folder.path())?,
            "crash" => parts::crash(arguments, folder.path())?,
            _ => parts::search(arguments, folder.path())?,
        }
    }
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut read = Arguments {
        lines: LINES,
        days: 180,
        scales: vec![1, 4, 16],
        runs: RUNS,
        parts: PARTS.map(str::to_owned).to_vec(),
        dir: std::env::temp_dir(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        if name == "--quick" {
            (read.lines, read.runs, read.scales) = (QUICK_LINES, QUICK_RUNS, vec![1, 4]);
            continue;
        }
        let value = words.next().with_context(|| format!("{name}: no value"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{name}: not a number"));
        match name.as_str() {
            "--lines" => read.lines = number()?.max(1_000),
            "--days" => read.days = number()?.clamp(1, 700),
            "--runs" => read.runs = usize::try_from(number()?)?.max(1),
            "--scales" => {
                let scales = value.split(',').map(|scale| scale.trim().parse::<u64>());
                read.scales = scales.collect::<Result<_, _>>().context("--scales: not numbers")?;
            }
            "--only" => read.parts = value.split(',').map(str::to_owned).collect(),
            "--dir" => read.dir = PathBuf::from(value),
            _ => bail!("{name}: there is --quick --lines --days --scales --runs --only --dir"),
        }
    }
    if let Some(other) = read.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("--only {other}: there is {}", PARTS.join(", "));
    }
    Ok(read)
}

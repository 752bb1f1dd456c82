//! `make bench-rules`: how many events a second the rules take, beside rsigma-eval in the same run. A
//! figure a line: `name value unit`, and where the peer did the same `name value unit | peer value |
//! ratio`, and behind it the goal where there is one.
//!
//! ```text
//! hengwei-rules-bench [--quick] [--sizes 140,473,all,3780,30000] [--seed N] [--runs N]
//!                     [--only lanes,compile,raw] [--lanes sysmon,web,...]
//! ```
//!
//! In: the rules and events below `CORPORA` (else `../shared/corpora` beside the workspace); without
//! them, the rules that are shipped over made-up logs. Sizes below that of the set are random subsets
//! of it; above it, copies of its rules are added with every literal altered, so that their tests are
//! others. Parts: `lanes`, events a second over what is decoded and with parsing, hits beside; `compile`,
//! time and memory of a set, each in a process of its own; `raw`, lines a second from the bytes of a log
//! through decoders and ECS names to matches.
//!
//! One thread, timed by what it had of a processor. Ours and the peer's turn about in short slices, and
//! a figure is the median of several.
//! Ours forgets before each pass what it learnt from events; the peer learns nothing from them. The peer
//! is measured in each way it has of leaving out the rules of other log sources, and the fastest counts:
//! its log source is handed to it, ours is found out within the clock.
//!
//! What it does not do: judge. A missed goal is printed; an error is when ours finds other rules in a
//! sample of events than the plain evaluator does, or not the same in every pass.

mod alter;
mod child;
mod lanes;
mod ours;
mod parts;
mod peer;
mod raw;
mod sets;
mod web;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

const PARTS: [&str; 3] = ["lanes", "compile", "raw"];
const RUNS: usize = 7;
const QUICK_RUNS: usize = 3;

/// What is measured, and how much of it.
#[derive(Debug)]
struct Arguments {
    sizes: Vec<Size>,
    seed: u64,
    runs: usize,
    parts: Vec<String>,
    /// All when empty.
    lanes: Vec<String>,
    corpora: Option<PathBuf>,
}

/// How many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    All,
    Of(usize),
}

fn main() -> ExitCode {
    let result = match child::task() {
        Some(task) => task.and_then(|task| child::run(&task)),
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
    match &arguments.corpora {
        Some(corpora) => eprintln!("rules and events of {}", corpora.display()),
        None => eprintln!("no corpora: the rules that are shipped, over made-up logs"),
    }
    for part in &arguments.parts {
        match part.as_str() {
            "lanes" => parts::lanes(arguments)?,
            "compile" => parts::compile(arguments)?,
            _ => raw::measure(arguments)?,
        }
    }
    Ok(())
}

/// `CORPORA`, else where it usually is; None when it holds no rules.
fn corpora() -> Option<PathBuf> {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    root.join("sigma/rules").is_dir().then_some(root)
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut read = Arguments {
        sizes: vec![Size::Of(140), Size::Of(473), Size::All, Size::Of(3_780), Size::Of(30_000)],
        seed: 1,
        runs: RUNS,
        parts: PARTS.map(str::to_owned).to_vec(),
        lanes: Vec::new(),
        corpora: corpora(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        if name == "--quick" {
            (read.runs, read.sizes) = (QUICK_RUNS, vec![Size::Of(140), Size::All]);
            continue;
        }
        let value = words.next().with_context(|| format!("{name}: no value"))?;
        match name.as_str() {
            "--seed" => read.seed = value.parse().context("--seed: not a number")?,
            "--runs" => read.runs = value.parse::<usize>().context("--runs: not a number")?.max(1),
            "--sizes" => {
                let size = |size: &str| match size.trim() {
                    "all" => Ok(Size::All),
                    number => number.parse().map(Size::Of),
                };
                read.sizes =
                    value.split(',').map(size).collect::<Result<_, _>>().context("--sizes")?;
            }
            "--only" => read.parts = value.split(',').map(str::to_owned).collect(),
            "--lanes" => read.lanes = value.split(',').map(str::to_owned).collect(),
            _ => bail!("{name}: there is --quick --sizes --seed --runs --only --lanes"),
        }
    }
    if let Some(other) = read.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        bail!("--only {other}: there is {}", PARTS.join(", "));
    }
    Ok(read)
}

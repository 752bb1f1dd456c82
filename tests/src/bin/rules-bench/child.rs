//! What compiling takes, in a process of its own, so that its memory is its own: this program again,
//! told what to do in its first argument, answering with JSON.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::ours::Ours;
use super::peer::Peer;
use super::{Arguments, Size, lanes, sets};
use hengwei_tests::race::thread_time;

const MARK: &str = "--task";

/// Compiles a set, and shows it every lane once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Compile {
    /// All when None.
    size: Option<usize>,
    seed: u64,
    corpora: Option<PathBuf>,
    peer: bool,
}

/// What that took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Compiled {
    /// Rules, as files.
    pub(super) texts: usize,
    pub(super) refused: usize,
    /// Texts to a set that is ready for the events of every lane.
    pub(super) milliseconds: f64,
    /// The most memory it ever held, texts included.
    pub(super) peak_mib: f64,
}

impl Compile {
    pub(super) fn new(arguments: &Arguments, size: Size, peer: bool) -> Compile {
        let size = match size {
            Size::All => None,
            Size::Of(size) => Some(size),
        };
        Compile { size, seed: arguments.seed, corpora: arguments.corpora.clone(), peer }
    }
}

/// What this process was started to do, when it is a child.
pub(super) fn task() -> Option<anyhow::Result<Compile>> {
    let mut words = std::env::args().skip(1);
    if words.next()? != MARK {
        return None;
    }
    let read = |text: String| serde_json::from_str(&text).context("no task");
    Some(words.next().context("no task").and_then(read))
}

/// Does it in a process of its own.
pub(super) fn start(task: &Compile) -> anyhow::Result<Compiled> {
    let output = Command::new(std::env::current_exe()?)
        .arg(MARK)
        .arg(serde_json::to_string(task)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{task:?} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{task:?}: no answer"))
}

/// Does it here and prints the answer.
pub(super) fn run(task: &Compile) -> anyhow::Result<()> {
    let corpora = task.corpora.as_deref();
    let size = task.size.map_or(Size::All, Size::Of);
    let texts = sets::of_size(&sets::load(corpora)?, size, task.seed)?;
    let lanes = lanes::all(corpora, &[])?;
    let started = thread_time();
    let (refused, milliseconds) = if task.peer {
        let peer = Peer::compile(&texts);
        let took = thread_time().saturating_sub(started);
        for lane in &lanes {
            peer.warm(&lane.lines)?;
        }
        (peer.refused, took)
    } else {
        let ours = Ours::compile(&texts);
        let mut took = thread_time().saturating_sub(started);
        for lane in &lanes {
            let events = ours.events(&lane.lines)?;
            // What rules become for events of a kind is made when one comes; it is part of it.
            let started = thread_time();
            ours.prepare(&events);
            took += thread_time().saturating_sub(started);
            ours.warm(&events);
        }
        (ours.refused, took)
    };
    let compiled = Compiled {
        texts: texts.len(),
        refused,
        milliseconds: milliseconds.as_secs_f64() * 1_000.0,
        peak_mib: peak_rss_mib()?,
    };
    println!("{}", serde_json::to_string(&compiled)?);
    Ok(())
}

fn peak_rss_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1_024.0)
}

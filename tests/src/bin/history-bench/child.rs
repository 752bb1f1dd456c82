//! Each measurement in a process of its own: this program again, told what to do in its first
//! argument, answering with JSON in its last line.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::corpus::{Source, Span};

const MARK: &str = "--task";

/// What a child does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    /// Commits a source to a new history: [`Ingested`].
    Ingest(Ingest),
    /// Opens a history: [`Opened`].
    Open(PathBuf),
    /// Builds its index again: [`Opened`].
    Rebuild(PathBuf),
    /// Reads everything: [`Scanned`].
    Scan(PathBuf),
    /// Asks every question so many times: [`super::find::Answer`]s.
    Search {
        /// The history.
        dir: PathBuf,
        /// How often each question is asked.
        runs: usize,
        /// What it is spread over.
        span: Span,
    },
}

/// What to commit, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ingest {
    /// The new history.
    pub(super) dir: PathBuf,
    /// What is committed.
    pub(super) source: Source,
    /// Whether needles are hidden in it.
    pub(super) needles: bool,
    /// The raw lines go here besides.
    pub(super) raw: Option<PathBuf>,
    /// Says how many records are committed, a line after each commit.
    pub(super) announce: bool,
}

/// What committing took and what it came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ingested {
    pub(super) records: u64,
    pub(super) commits: u64,
    pub(super) raw_bytes: u64,
    /// Seconds inside `commit`, by the clock and of a processor.
    pub(super) commit_seconds: f64,
    pub(super) commit_cpu: f64,
    /// Seconds of a processor for sealing and merging.
    pub(super) seal_cpu: f64,
    /// Bytes towards the disk, raw lines not counted.
    pub(super) written: u64,
    pub(super) stored: Stored,
    pub(super) peak_rss: u64,
}

/// Bytes on disk once everything is sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) segments: u64,
    pub(super) segment_files: u64,
    pub(super) index: u64,
    pub(super) rest: u64,
}

/// A history was opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) peak_rss: u64,
}

/// A history was read from end to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scanned {
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) peak_rss: u64,
}

impl Stored {
    /// All of it.
    pub(super) fn total(&self) -> u64 {
        self.segments + self.index + self.rest
    }
}

/// What this process was started to do, when it is a child.
pub(super) fn task() -> Option<anyhow::Result<Task>> {
    let mut words = std::env::args().skip(1);
    if words.next()? != MARK {
        return None;
    }
    let read = |text: String| serde_json::from_str(&text).context("no task");
    Some(words.next().context("no task").and_then(read))
}

/// Does a task in a process of its own and returns its answer.
pub(super) fn run<T: DeserializeOwned>(task: &Task) -> anyhow::Result<T> {
    let mut child = start(task)?;
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        last = line?;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{task:?} ended with {status}");
    serde_json::from_str(&last).with_context(|| format!("{task:?} answered {last:?}"))
}

/// Starts a task.
pub(super) fn start(task: &Task) -> anyhow::Result<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .arg(MARK)
        .arg(serde_json::to_string(task)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?)
}

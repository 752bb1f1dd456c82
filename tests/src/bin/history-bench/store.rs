//! The children's side: history is written, opened, read.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hengwei_collector::history::{self, History, Options, Range, Writer};
use hengwei_collector::search::Decoders;
use serde::Serialize;

use super::child::{Ingest, Ingested, Opened, Scanned, Stored, Task};
use super::corpus::Drafts;
use super::{find, usage};

/// Threads of history that work behind the writer's back.
const WORKERS: [&str; 2] = ["history-seal", "history-merge"];

/// Does a task and prints its answer.
pub(super) fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Ingest(ingest) => answer(&ingested(&ingest)?),
        Task::Open(dir) => answer(&opened(&dir)?),
        Task::Rebuild(dir) => answer(&rebuilt(&dir)?),
        Task::Scan(dir) => answer(&scanned(&dir)?),
        Task::Search { dir, runs, span } => answer(&find::all(&dir, runs, span)?),
    }
}

fn answer(answer: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}

/// History as a collector keeps it.
pub(super) fn options() -> Options {
    Options { understand: Some(Arc::new(Decoders)), ..Options::default() }
}

fn ingested(task: &Ingest) -> anyhow::Result<Ingested> {
    let mut drafts = Drafts::of(&task.source, task.needles, task.raw.as_deref())?;
    let (mut writer, history) = Writer::open(&task.dir, options())?;
    let before = usage::written()?;
    let (mut records, mut commits) = (0, 0);
    let (mut commit_seconds, mut commit_cpu) = (0.0, 0.0);
    while let Some((draft, held)) = drafts.next()? {
        let (began, cpu) = (Instant::now(), usage::thread_cpu()?);
        writer.commit(draft)?;
        commit_seconds += began.elapsed().as_secs_f64();
        commit_cpu += usage::thread_cpu()? - cpu;
        records += held;
        commits += 1;
        if task.announce {
            println!("{records}");
            std::io::stdout().flush()?;
        }
    }
    let cpu = usage::thread_cpu()?;
    history.seal()?;
    let mut seal_cpu = usage::thread_cpu()? - cpu;
    for name in WORKERS {
        seal_cpu += usage::cpu_of_threads(name)?;
    }
    drop(history);
    writer.close()?;
    let raw = if task.raw.is_some() { drafts.raw_bytes } else { 0 };
    Ok(Ingested {
        records,
        commits,
        raw_bytes: drafts.raw_bytes,
        commit_seconds,
        commit_cpu,
        seal_cpu,
        written: (usage::written()? - before).saturating_sub(raw),
        stored: stored(&task.dir),
        peak_rss: usage::peak_rss()?,
    })
}

/// What lies on disk. The reserve is room, not data: it is there on an empty history, too.
fn stored(dir: &Path) -> Stored {
    let segments = usage::bytes_below(&dir.join("segments"));
    let index = usage::bytes_below(&dir.join("index"));
    let reserve = usage::bytes_below(&dir.join("reserve"));
    let files = std::fs::read_dir(dir.join("segments")).into_iter().flatten().count();
    Stored {
        segments,
        segment_files: files as u64,
        index,
        rest: usage::bytes_below(dir) - segments - index - reserve,
    }
}

fn opened(dir: &Path) -> anyhow::Result<Opened> {
    let began = Instant::now();
    let (writer, history) = Writer::open(dir, options())?;
    let seconds = began.elapsed().as_secs_f64();
    let records = records(&history);
    drop(history);
    writer.close()?;
    Ok(Opened { seconds, records, peak_rss: usage::peak_rss()? })
}

fn rebuilt(dir: &Path) -> anyhow::Result<Opened> {
    let began = Instant::now();
    let status = history::rebuild(dir, options())?;
    let seconds = began.elapsed().as_secs_f64();
    let records = status.classes.iter().map(|class| class.entries + class.log_entries).sum();
    Ok(Opened { seconds, records, peak_rss: usage::peak_rss()? })
}

fn scanned(dir: &Path) -> anyhow::Result<Scanned> {
    let (writer, history) = Writer::open(dir, options())?;
    let (began, mut records) = (Instant::now(), 0);
    let host: Arc<str> = "".into();
    let mut last = host;
    history.read(&Range::default(), &mut |found| {
        records += 1;
        last = found.host;
        true
    })?;
    let seconds = began.elapsed().as_secs_f64();
    drop(history);
    writer.close()?;
    Ok(Scanned { seconds, records, peak_rss: usage::peak_rss()? })
}

/// Records of all classes, sealed or not. Decisions are none of the bench's.
fn records(history: &History) -> u64 {
    history.status().classes.iter().map(|class| class.entries + class.log_entries).sum()
}

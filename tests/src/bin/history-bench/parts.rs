//! The parts of the bench: what is run, in which order, and which rows come of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use hengwei_tests::figures::{Goal, median, row, row_beside, row_for};
use rustix::fs::statvfs;

use super::Arguments;
use super::child::{self, Ingest, Ingested, Opened, Scanned, Task};
use super::corpus::{Source, Span};
use super::find::{self, Answer};
use super::peers;

const MB: f64 = 1e6;
const GB: f64 = 1e9;
const MIB: f64 = (1 << 20) as f64;
const SEED: u64 = 20_261_102;
/// Bytes of disk a line may need while it is searched: raw, compressed, in history.
const DISK_PER_LINE: u64 = 420;
/// Times a history is opened after a kill.
const OPENINGS: usize = 3;
/// Ours over `zstd -19` of the same text.
const SIZE_GENERATED: Goal = Goal::RatioAtMost(0.60);
const SIZE_REAL: Goal = Goal::RatioAtMost(0.80);
/// A token fifty times as fast as zstdgrep.
const TOKEN: Goal = Goal::RatioAtMost(0.02);
const RSS: Goal = Goal::AtMost(200.0);

/// What some hours of a hospital's logs come to, and how fast.
pub(super) fn size(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let (dir, raw) = (folder.join("size"), folder.join("size.raw"));
    let source = Source::Generated { seed: SEED, lines: arguments.lines, days: None };
    let ingest = |dir: &Path, raw: Option<PathBuf>| {
        Task::Ingest(Ingest {
            dir: dir.to_owned(),
            source: source.clone(),
            needles: false,
            raw,
            announce: false,
        })
    };
    let mut runs: Vec<Ingested> = Vec::new();
    for _ in 0..arguments.runs.min(OPENINGS) {
        remove(&dir)?;
        runs.push(child::run(&ingest(&dir, None))?);
    }
    let one = runs.last().context("a run")?.clone();
    let of = |figure: &dyn Fn(&Ingested) -> f64| median(runs.iter().map(figure).collect());
    let (events, bytes) = (one.records as f64, one.raw_bytes as f64);
    ensure!(one.records == arguments.lines, "{} records of {}", one.records, arguments.lines);
    row("history_raw", bytes / events, "bytes/event");
    row("history_commit", of(&|run| events / run.commit_seconds), "events/s");
    row("history_commit_per_core", of(&|run| bytes / run.commit_cpu / MB), "raw_MB/s");
    row("history_seal_per_core", of(&|run| events / run.seal_cpu), "events/s");
    row("history_seal_bytes_per_core", of(&|run| bytes / run.seal_cpu / MB), "raw_MB/s");
    row(
        "history_both_per_core",
        of(&|run| bytes / (run.commit_cpu + run.seal_cpu) / MB),
        "raw_MB/s",
    );
    row("history_written_to_raw", of(&|run| run.written as f64 / bytes), "times");
    row(
        "history_written_to_stored",
        of(&|run| run.written as f64 / run.stored.total() as f64),
        "times",
    );
    row_for("history_ingest_peak_rss", of(&|run| run.peak_rss as f64 / MIB), "MiB", RSS);
    let scans: Vec<Scanned> =
        times(arguments.runs.min(OPENINGS), || child::run(&Task::Scan(dir.clone())))?;
    ensure!(scans.iter().all(|scan| scan.records == one.records), "a scan missed records");
    row(
        "history_scan",
        median(scans.iter().map(|scan| events / scan.seconds).collect()),
        "events/s",
    );
    row_for(
        "history_scan_peak_rss",
        median(scans.iter().map(|scan| scan.peak_rss as f64 / MIB).collect()),
        "MiB",
        RSS,
    );
    let rebuilds: Vec<Opened> = times(OPENINGS, || child::run(&Task::Rebuild(dir.clone())))?;
    row(
        "history_rebuild",
        median(rebuilds.iter().map(|r| r.seconds / bytes * GB).collect()),
        "s/raw_GB",
    );
    remove(&dir)?;
    // The peers' input is written by a run that is not timed.
    let again: Ingested = child::run(&ingest(&dir, Some(raw.clone())))?;
    remove(&dir)?;
    sizes("history", &again, &raw, SIZE_GENERATED)?;
    fs::remove_file(raw)?;
    Ok(())
}

/// Bytes per event, ours and zstd's.
fn sizes(name: &str, run: &Ingested, raw: &Path, goal: Goal) -> anyhow::Result<()> {
    let each = |bytes: u64| bytes as f64 / run.records as f64;
    let (quick, slow) =
        (peers::zstd_size(raw, &["-3"])?, peers::zstd_size(raw, &["-19", "--long=27"])?);
    let (unit, ours) = ("bytes/event", each(run.stored.total()));
    row_beside(&format!("{name}_stored"), ours, unit, ("zstd-19", each(slow)), Some(goal));
    row_beside(&format!("{name}_stored"), ours, unit, ("zstd-3", each(quick)), None);
    let segments = each(run.stored.segments);
    row_beside(&format!("{name}_segments"), segments, unit, ("zstd-19", each(slow)), None);
    row(&format!("{name}_index"), each(run.stored.index), unit);
    row(&format!("{name}_checkpoints_and_rest"), each(run.stored.rest), unit);
    row(&format!("{name}_segment_files"), run.stored.segment_files as f64, "files");
    Ok(())
}

/// Real logs, folder by folder and all together: small, so what history has beside its segments
/// (an index, checkpoints, a manifest) is told apart, and the goal is for the segments.
pub(super) fn real(folder: &Path) -> anyhow::Result<()> {
    const FOLDERS: [(&str, &[&str]); 4] =
        [("logs", &["log"]), ("auditd", &["log"]), ("audit", &["xml", "json"]), ("web", &["yaml"])];
    let corpora = std::env::var_os("CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    let mut all = Vec::new();
    for (name, extensions) in FOLDERS {
        let mut files = Vec::new();
        below(&corpora.join(name), extensions, &mut files);
        files.sort_unstable();
        if files.is_empty() {
            println!("history_real_{name} skipped: no files in {}", corpora.join(name).display());
            continue;
        }
        real_files(&format!("history_real_{name}"), &files, folder)?;
        all.extend(files);
    }
    if !all.is_empty() {
        real_files("history_real_all", &all, folder)?;
    }
    Ok(())
}

fn real_files(name: &str, files: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    let (dir, raw) = (folder.join("real"), folder.join("real.raw"));
    let run: Ingested = child::run(&Task::Ingest(Ingest {
        dir: dir.clone(),
        source: Source::Files(files.to_vec()),
        needles: false,
        raw: Some(raw.clone()),
        announce: false,
    }))?;
    row(&format!("{name}_events"), run.records as f64, "events");
    let each = |bytes: u64| bytes as f64 / run.records as f64;
    let (quick, slow) =
        (peers::zstd_size(&raw, &["-3"])?, peers::zstd_size(&raw, &["-19", "--long=27"])?);
    let (segments, unit) = (each(run.stored.segments), "bytes/event");
    row_beside(
        &format!("{name}_segments"),
        segments,
        unit,
        ("zstd-19", each(slow)),
        Some(SIZE_REAL),
    );
    row_beside(&format!("{name}_segments"), segments, unit, ("zstd-3", each(quick)), None);
    row(
        &format!("{name}_beside_segments"),
        (run.stored.index + run.stored.rest) as f64 / 1e3,
        "kB",
    );
    remove(&dir)?;
    fs::remove_file(raw)?;
    Ok(())
}

fn below(folder: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            below(&path, extensions, files);
        } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
            files.push(path);
        }
    }
}

/// A writer is killed in the middle; how long until history is open again, and is all of it there.
pub(super) fn crash(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let dir = folder.join("crash");
    let mut child = child::start(&Task::Ingest(Ingest {
        dir: dir.clone(),
        source: Source::Generated { seed: SEED, lines: arguments.lines, days: None },
        needles: false,
        raw: None,
        announce: true,
    }))?;
    let mut committed = 0;
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        committed = line?.parse().context("no number of records")?;
        if committed >= arguments.lines / 10 * 9 {
            child.kill()?;
            break;
        }
    }
    child.wait()?;
    let mut openings: Vec<Opened> = Vec::new();
    for _ in 0..OPENINGS {
        let copy = folder.join("crash-copy");
        remove(&copy)?;
        let status = Command::new("cp").arg("-a").arg(&dir).arg(&copy).status()?;
        ensure!(status.success(), "cp ended with {status}");
        openings.push(child::run(&Task::Open(copy.clone()))?);
        remove(&copy)?;
    }
    let held = openings.iter().map(|opened| opened.records).min().unwrap_or(0);
    ensure!(held >= committed, "{held} records of {committed} that were committed");
    row(
        "history_reopen_after_kill",
        median(openings.iter().map(|o| o.seconds * 1e3).collect()),
        "ms",
    );
    row("history_reopen_after_kill_lost", committed.saturating_sub(held) as f64, "events");
    row_for(
        "history_reopen_peak_rss",
        median(openings.iter().map(|o| o.peak_rss as f64 / MIB).collect()),
        "MiB",
        RSS,
    );
    remove(&dir)
}

/// Questions to half a year, at several sizes.
pub(super) fn search(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let mut grown: Vec<(u64, Vec<Answer>)> = Vec::new();
    for scale in &arguments.scales {
        let lines = arguments.lines * scale;
        let stat = statvfs(folder)?;
        let free = stat.f_bavail * stat.f_frsize;
        if free < lines * DISK_PER_LINE {
            println!("search_{scale}x skipped: {} GB free are too few", free / 1_000_000_000);
            continue;
        }
        grown.push((*scale, search_at(arguments, folder, *scale, lines)?));
    }
    let (Some((small, first)), Some((large, last))) = (grown.first(), grown.last()) else {
        return Ok(());
    };
    for (answer, before) in last.iter().zip(first).filter(|_| large > small) {
        let name = format!("search_{}_{large}x_to_{small}x", answer.name);
        row(&name, answer.seconds / before.seconds, "times");
    }
    Ok(())
}

fn search_at(
    arguments: &Arguments,
    folder: &Path,
    scale: u64,
    lines: u64,
) -> anyhow::Result<Vec<Answer>> {
    let (dir, raw) = (folder.join("search"), folder.join("search.raw"));
    let run: Ingested = child::run(&Task::Ingest(Ingest {
        dir: dir.clone(),
        source: Source::Generated { seed: SEED, lines, days: Some(arguments.days) },
        needles: true,
        raw: Some(raw.clone()),
        announce: false,
    }))?;
    ensure!(run.records == lines, "{} records of {lines}", run.records);
    row(&format!("search_{scale}x_raw"), run.raw_bytes as f64 / GB, "GB");
    row(&format!("search_{scale}x_stored"), run.stored.total() as f64 / GB, "GB");
    row_for(&format!("search_{scale}x_ingest_peak_rss"), run.peak_rss as f64 / MIB, "MiB", RSS);
    let span = Span::of(arguments.days);
    let search = Task::Search { dir: dir.clone(), runs: arguments.runs, span };
    let answers: Vec<Answer> = child::run(&search)?;
    let packed = peers::zstd(&raw, &["-3"])?;
    for question in find::questions(&span.day_stamp()) {
        let name = format!("search_{}_{scale}x", question.name);
        let answer = answers.iter().find(|answer| answer.name == question.name);
        let answer = answer.with_context(|| format!("{name}: no answer"))?;
        peers::warm(&packed)?;
        let squeezed = peers::grep("zstdgrep", &question.grep, &packed, arguments.runs)?;
        peers::warm(&raw)?;
        let plain = peers::grep("grep", &question.grep, &raw, arguments.runs)?;
        let is_token = question.name.starts_with("token_");
        let goal = is_token.then_some(TOKEN);
        let ms = answer.seconds * 1e3;
        row_beside(&name, ms, "ms", ("zstdgrep", squeezed.seconds * 1e3), goal);
        row_beside(&name, ms, "ms", ("grep", plain.seconds * 1e3), None);
        row(&format!("{name}_until_first"), answer.first * 1e3, "ms");
        row_beside(
            &format!("{name}_hits"),
            answer.hits as f64,
            "events",
            ("grep", plain.lines as f64),
            None,
        );
        let progress = &answer.progress;
        println!(
            "{name}_blocks {} read | {} skipped | {} left | {} MB read",
            progress.read_blocks,
            progress.skipped_blocks,
            progress.left_blocks,
            progress.read_bytes / 1_000_000
        );
        let exact = question.exact && answer.hits != plain.lines;
        ensure!(!exact, "{name}: {} hits, and {} by grep", answer.hits, plain.lines);
    }
    remove(&dir)?;
    fs::remove_file(raw)?;
    fs::remove_file(packed)?;
    Ok(answers)
}

fn times<T>(runs: usize, mut run: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    (0..runs).map(|_| run()).collect()
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}

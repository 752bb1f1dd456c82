//! Bits flip in the files of a stopped collector, one at a time: it is told, the block that is hit is
//! passed over, and everything else is served as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, ensure};
use hengwei_tests::faults::{Dice, Lines, NUMBERED, must_verify, seed, torture};
use hengwei_tests::{Collector, PATIENCE, Site, wait};
use serde_json::Value;

use super::{SEAL_ALL_THE_TIME, logs, sources};

/// Of so many flips one is looked at by a collector that runs; the others by commands.
const DAEMON_EVERY: u64 = 10;
/// Lines of each log, and how many are written at a time.
const LINES: u64 = 1_200;
const PORTION: u64 = 150;
/// All lines of both logs.
const SEARCH: &[&str] = &["search", NUMBERED, "--limit", "100000000"];

/// What became of the flips in files of one folder.
#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    /// How many `verify` found.
    found: u64,
    /// How many cost lines, and how many lines.
    costly: u64,
    lines: u64,
}

#[test]
fn a_flipped_bit_is_told_and_costs_its_block_alone() -> anyhow::Result<()> {
    let seed = seed("flipped bits");
    let flips = if torture() { 500 } else { 30 };
    let site = Site::new()?;
    let logs = logs(&site)?;
    let mut collector = written(&site, &logs)?;
    let whole = Whole::of(&collector, &logs)?;
    let pristine = site.path().join("pristine");
    fs::rename(collector.data(), &pristine)?;

    let mut dice = Dice::new(seed);
    let mut tallies: BTreeMap<PathBuf, Tally> = BTreeMap::new();
    for nth in 0..flips {
        let data = collector.data();
        copy(&pristine, &data)?;
        let (folder, file, at) = flip(&data.join("history"), &mut dice)?;
        let what = format!("flip {nth} at byte {at} of {}", file.display());
        let tally = tallies.entry(folder.clone()).or_default();
        tally.flips += 1;
        let found = verified(&collector, &data, &file).with_context(|| what.clone())?;
        tally.found += u64::from(found);
        let missing = if nth % DAEMON_EVERY == 0 {
            whole.served_by_daemon(&mut collector, &logs)
        } else {
            whole.served_by_commands(&collector, &data, &logs)
        };
        let missing = missing.with_context(|| what.clone())?;
        // The index is no part of what is proven: it is built again from what is. And a frame at the
        // end of the log whose own length is hit is told from one that was cut short by nothing; it
        // may be passed over in silence only when it held no line.
        let silent = folder.starts_with("index") || (folder.starts_with("log") && missing == 0);
        ensure!(found || silent, "{what}: verify found nothing, and {missing} lines are missing");
        let holds_lines = folder.starts_with("log") || folder.starts_with("segments");
        ensure!(missing == 0 || holds_lines, "{what}: cost {missing} lines");
        tally.costly += u64::from(missing > 0);
        tally.lines += missing;
        fs::remove_dir_all(&data)?;
    }
    for (folder, tally) in &tallies {
        println!(
            "{flips} flips of {} lines, below history/{}: {tally:?}",
            LINES * 2,
            folder.display()
        );
    }
    Ok(())
}

/// A collector that has all kinds of files, stopped in order.
fn written(site: &Site, logs: &[Lines; 2]) -> anyhow::Result<Collector> {
    let mut collector = site.collector(SEAL_ALL_THE_TIME)?;
    let mut agent = collector.agent("agent", "his", &sources(logs))?;
    while logs[0].written() < LINES {
        for log in logs {
            log.write(7, PORTION)?;
        }
        let written = logs[1].written();
        wait("a portion to be held", PATIENCE, || {
            let held = logs[1].held(&collector)?.len() as u64;
            Ok((held == written).then_some(()))
        })?;
    }
    collector.must(&["user", "add", "somebody", "--role", "viewer"])?;
    for log in logs {
        log.must_be_held_once(&collector, &agent)?;
    }
    must_verify(&collector)?;
    agent.stop()?;
    collector.stop()?;
    Ok(collector)
}

/// What was there before anything flipped.
struct Whole {
    text: [BTreeMap<u64, String>; 2],
    ledger: BTreeSet<String>,
}

impl Whole {
    fn of(collector: &Collector, logs: &[Lines; 2]) -> anyhow::Result<Whole> {
        let data = collector.data();
        let ledger = offline(collector, &data, &["ledger"])?;
        Ok(Whole { text: [logs[0].text()?, logs[1].text()?], ledger: queues(&ledger.0) })
    }

    /// Asks a stopped collector for everything; how many lines are missing.
    fn served_by_commands(
        &self,
        collector: &Collector,
        data: &Path,
        logs: &[Lines; 2],
    ) -> anyhow::Result<u64> {
        let (rows, said) = offline(collector, data, SEARCH)?;
        let missing = self.missing(logs, &rows)?;
        ensure!(
            missing == 0 || !said.is_empty(),
            "{missing} lines are missing, and nothing was said"
        );
        Ok(missing)
    }

    /// The same of one that runs, which then goes on.
    fn served_by_daemon(
        &self,
        collector: &mut Collector,
        logs: &[Lines; 2],
    ) -> anyhow::Result<u64> {
        let before = collector.log().len();
        collector.start()?;
        let missing = self.missing(logs, &collector.rows(SEARCH)?)?;
        let status = collector.rows(&["status"])?;
        let damaged = status[0]["history"]["damaged"].as_u64().unwrap_or_default();
        let said = collector.log()[before..].contains("ERROR");
        ensure!(
            missing == 0 || (damaged > 0 && said),
            "{missing} lines are missing, {damaged} blocks are counted, told in the log: {said}"
        );
        // What is derived from records that no longer read may say less, never something else.
        let ledger = queues(&collector.rows(&["ledger"])?);
        ensure!(missing > 0 || ledger == self.ledger, "the ledger changed: {ledger:?}");
        collector.must(&["user", "add", "afterwards", "--role", "viewer"])?;
        collector.stop()?;
        Ok(missing)
    }

    /// How many lines of both logs a search did not bring.
    fn missing(&self, logs: &[Lines; 2], rows: &[Value]) -> anyhow::Result<u64> {
        let written: BTreeSet<&str> =
            self.text.iter().flat_map(BTreeMap::values).map(String::as_str).collect();
        let mut brought = rows.iter().filter_map(|row| row["event.original"].as_str());
        if let Some(other) = brought.find(|line| !written.contains(line)) {
            anyhow::bail!("a line that nobody wrote: {other}");
        }
        let [one, other] = [0, 1].map(|at| lacking(&logs[at], &self.text[at], rows));
        Ok(one? + other?)
    }
}

/// How many lines of a log a search did not bring. Each must have come once, and what is missing must
/// be one run: one block.
fn lacking(log: &Lines, text: &BTreeMap<u64, String>, rows: &[Value]) -> anyhow::Result<u64> {
    let held = log.count(rows);
    if let Some((number, times)) = held.iter().find(|(_, times)| **times != 1) {
        anyhow::bail!("line {number} came {times} times");
    }
    let missing: Vec<u64> = text.keys().filter(|n| !held.contains_key(n)).copied().collect();
    let runs = missing.iter().filter(|n| **n == 0 || held.contains_key(&(**n - 1))).count();
    ensure!(runs <= 1, "one bit cost {runs} runs of lines: {missing:?}");
    Ok(missing.len() as u64)
}

/// Where each queue of an agent stands, without the times. A collector that runs has something to say
/// of itself now and then.
fn queues(rows: &[Value]) -> BTreeSet<String> {
    let agents = rows.iter().filter(|row| row["agent"] != "collector");
    let queue =
        |row: &Value| ["agent", "kind", "epoch", "next"].map(|key| row[key].to_string()).join(" ");
    agents.map(queue).collect()
}

/// Runs a command on a stopped collector, which must succeed: its rows, and what it said.
fn offline(
    collector: &Collector,
    data: &Path,
    args: &[&str],
) -> anyhow::Result<(Vec<Value>, String)> {
    let output = command(collector, data, args)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{args:?} ended with {}: {said}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((rows, said))
}

fn command(collector: &Collector, data: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let data = data.display().to_string();
    let mut args = args.to_vec();
    args.extend(["--json", "--data", &data]);
    collector.command(&args)
}

/// Whether `verify` finds something; then it must name the file that was changed, or a class.
fn verified(collector: &Collector, data: &Path, file: &Path) -> anyhow::Result<bool> {
    let output = command(collector, data, &["verify"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(false),
        Some(1) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            ensure!(text.contains(&*name), "verify does not name the file: {text}");
            Ok(true)
        }
        _ => anyhow::bail!(
            "verify ended with {}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Flips a bit of any file but those that hold nothing. Says in which folder below history, in which
/// file and where.
fn flip(history: &Path, dice: &mut Dice) -> anyhow::Result<(PathBuf, PathBuf, u64)> {
    let mut files: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    list(history, &mut |path| {
        let relative = path.strip_prefix(history).unwrap_or(&path).to_owned();
        let idle = ["lock", "reserve"].iter().any(|name| relative == Path::new(name));
        let empty = fs::metadata(&path).map_or(0, |metadata| metadata.len()) == 0;
        if !(idle || empty) {
            let folder = relative.parent().unwrap_or(Path::new("")).to_owned();
            files.entry(folder).or_default().push(relative);
        }
    })?;
    let folders: Vec<_> = files.into_iter().collect();
    // A folder first, so that few small files are hit as often as many large ones.
    let (folder, mut files) = folders[usize::try_from(dice.roll(folders.len() as u64))?].clone();
    files.sort();
    let file = files[usize::try_from(dice.roll(files.len() as u64))?].clone();
    let path = history.join(&file);
    let mut bytes = fs::read(&path)?;
    let at = dice.roll(bytes.len() as u64);
    bytes[usize::try_from(at)?] ^= 1 << dice.roll(8);
    fs::write(&path, bytes)?;
    Ok((folder, file, at))
}

fn list(folder: &Path, see: &mut dyn FnMut(PathBuf)) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), see)?;
        } else {
            see(entry.path());
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

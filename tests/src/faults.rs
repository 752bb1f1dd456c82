//! What the fault tests share: seeded disorder, numbered lines and the books kept of them.
//!
//! Every random decision comes from a [`Dice`] whose seed is printed; `HENGWEI_SEED=n` repeats a run's
//! decisions. What the machine does meanwhile is not repeated, so a failure may need some runs of its
//! seed.

pub mod platter;
pub mod volume;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{Agent, Collector, PATIENCE, wait};

/// Lines are written in bursts of so many.
const BURST: u64 = 50;
/// Lines of a log that are enough for the short run.
const PLENTY: u64 = 20_000;
/// Random letters in a line: what does not compress fills log files quickly, so that there is always
/// something to seal.
const PAYLOAD: usize = 160;

/// In every line of every log.
pub const NUMBERED: &str = "numbered";

/// Whether the long run was asked for.
pub fn torture() -> bool {
    std::env::var_os("HENGWEI_TORTURE").is_some()
}

/// The seed of this run, said once on standard error.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("HENGWEI_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32)
    });
    println!("{test}: HENGWEI_SEED={seed}");
    seed
}

/// A cheap random number: faults need disorder, not secrecy.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way.
    pub fn new(seed: u64) -> Dice {
        // Seeds that are next to each other must not begin alike, and none may be 0.
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides.max(1)
    }

    /// A time from `least` to below `most`, in milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.roll(most - least))
    }
}

/// Numbered lines that a log gets, and where they stand.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    word: &'static str,
    written: AtomicU64,
    stop: AtomicBool,
}

impl Lines {
    /// A log that has nothing yet. `word` is in every line of it and of no other.
    pub fn new(path: &Path, word: &'static str) -> anyhow::Result<Lines> {
        append(path)?;
        Ok(Lines {
            path: path.to_owned(),
            word,
            written: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        })
    }

    /// The part of an agent's configuration that reads this log, of one of the kinds.
    pub fn source(&self, kind: &str) -> String {
        format!(
            "[[sources.files.path]]\nglob = [{:?}]\nkind = {kind:?}\nfrom = \"start\"\n",
            self.path.display().to_string()
        )
    }

    /// Writes until told to stop, a burst every `pause`, and a burst a second once there is plenty: where
    /// everything takes long, more would be written meanwhile than is ever read.
    pub fn keep_writing(&self, seed: u64, pause: Duration) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            self.write(seed, BURST)?;
            let plenty = self.written() >= PLENTY && !torture();
            std::thread::sleep(if plenty { pause.max(Duration::from_secs(1)) } else { pause });
        }
        Ok(())
    }

    /// Writes so many more lines.
    pub fn write(&self, seed: u64, count: u64) -> anyhow::Result<()> {
        let mut file = append(&self.path)?;
        let first = self.written();
        let mut dice = Dice::new(seed ^ first);
        let mut text = String::new();
        for number in first..first + count {
            text.push_str(&format!("{} {NUMBERED} n={number} ", self.word));
            for _ in 0..PAYLOAD {
                text.push(char::from(b'a' + u8::try_from(dice.roll(26))?));
            }
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        self.written.store(first + count, Ordering::Relaxed);
        Ok(())
    }

    /// Ends [`Lines::keep_writing`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Lines written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Every line as it was written, by number.
    pub fn text(&self) -> anyhow::Result<BTreeMap<u64, String>> {
        let text = fs::read_to_string(&self.path)?;
        Ok((0..).zip(text.lines().map(str::to_owned)).collect())
    }

    /// Numbers the collector holds, each with how often.
    pub fn held(&self, collector: &Collector) -> anyhow::Result<BTreeMap<u64, u32>> {
        Ok(self.count(&collector.rows(&["search", self.word, "--limit", "100000000"])?))
    }

    /// Numbers of this log among rows of a search, each with how often.
    pub fn count(&self, rows: &[Value]) -> BTreeMap<u64, u32> {
        let mut seen = BTreeMap::new();
        for row in rows {
            let line = row["event.original"].as_str().unwrap_or_default();
            let mut words = line.split(' ');
            if words.next() == Some(self.word)
                && words.next() == Some(NUMBERED)
                && let Some(number) = words.next().and_then(|n| n.strip_prefix("n=")?.parse().ok())
            {
                *seen.entry(number).or_default() += 1;
            }
        }
        seen
    }

    /// Waits until every line is held; then each must be held once.
    pub fn must_be_held_once(&self, collector: &Collector, agent: &Agent) -> anyhow::Result<()> {
        let wanted = self.written();
        // A search of everything is dear: the ledger says when it is worth while.
        wait("every line to be acknowledged", PATIENCE * 2, || {
            let status = agent.command(&["status", "--json"])?;
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            let drained = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| line["is"] == "queue")
                .all(|queue| queue["waiting"] == 0);
            Ok((status.status.success() && drained).then_some(()))
        })
        .ok();
        let mut last = BTreeMap::new();
        let complete = wait("every line to be held", PATIENCE, || {
            last = self.held(collector)?;
            Ok((last.len() as u64 >= wanted).then_some(()))
        });
        let missing: Vec<u64> = (0..wanted).filter(|n| !last.contains_key(n)).take(20).collect();
        let doubled: Vec<_> = last.iter().filter(|(_, times)| **times != 1).take(20).collect();
        ensure!(
            complete.is_ok() && missing.is_empty(),
            "{} of {wanted} `{}` lines held, missing {missing:?} ...",
            last.len(),
            self.word
        );
        ensure!(doubled.is_empty(), "doubled: {doubled:?}");
        Ok(())
    }
}

/// What an agent knows to be acknowledged of one queue: its epoch and the first number that is not.
/// None when the agent does not answer.
pub fn acked(agent: &Agent, kind: &str) -> Option<(String, u64)> {
    let output = agent.command(&["status", "--json"]).ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
        let own = line["is"] == "queue" && line["kind"] == kind;
        own.then(|| Some((line["epoch"].as_str()?.to_owned(), line["acked"].as_u64()?))).flatten()
    })
}

/// The collector must hold everything its agent was told to be stored.
pub fn must_hold(
    collector: &Collector,
    agent: &Agent,
    kind: &str,
    acked: &(String, u64),
) -> anyhow::Result<()> {
    let (epoch, acked) = acked;
    let rows = collector.rows(&["ledger"])?;
    let row = rows.iter().find(|row| {
        row["agent"] == agent.id.as_str() && row["kind"] == kind && row["epoch"] == epoch.as_str()
    });
    // Nothing acknowledged, nothing in the ledger: numbers begin at 1.
    let next =
        row.map_or(Some(1), |row| row["next"].as_u64()).context("a ledger without `next`")?;
    ensure!(
        next >= *acked,
        "the agent was told that everything below {acked} is stored, and the ledger goes to {next}"
    );
    Ok(())
}

/// `verify` of a running collector must find nothing.
pub fn must_verify(collector: &Collector) -> anyhow::Result<()> {
    collector.must(&["verify"]).context("verify")?;
    Ok(())
}

fn append(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).open(path)
}

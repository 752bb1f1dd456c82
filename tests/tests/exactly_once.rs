//! Numbered lines under rotation, both ends killed at random: history holds every number once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hengwei_tests::faults::{Dice, seed, torture};
use hengwei_tests::{Collector, PATIENCE, Site, wait};

/// Lines and kills of each end: what `make test` has time for, and what torture asks.
struct Size {
    lines: u64,
    kills: u32,
}

fn size() -> Size {
    if torture() { Size { lines: 200_000, kills: 30 } } else { Size { lines: 20_000, kills: 5 } }
}

fn sources(log: &Path) -> String {
    format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{:?}]\nfrom = \"start\"\n",
        format!("{}", log.display())
    )
}

/// Every `n=` number history holds, with how often; and the gaps' lost records.
fn numbers(collector: &Collector) -> anyhow::Result<(BTreeMap<u64, u32>, u64)> {
    let mut seen = BTreeMap::new();
    for row in collector.rows(&["search", "numbered", "--limit", "100000000"])? {
        let line = row["event.original"].as_str().unwrap_or_default();
        if let Some(number) =
            line.split("n=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok())
        {
            *seen.entry(number).or_default() += 1;
        }
    }
    let mut lost = 0;
    for row in collector.rows(&["ledger", "--gaps"])? {
        lost += row["bytes"].as_u64().unwrap_or_default();
    }
    Ok((seen, lost))
}

fn line(number: u64) -> String {
    format!("numbered n={number} of a line that has something to say, as lines have\n")
}

fn rename_rotate(log: &Path) -> std::io::Result<()> {
    let old = |n: u32| PathBuf::from(format!("{}.{n}", log.display()));
    for n in (1..3).rev() {
        if old(n).exists() {
            fs::rename(old(n), old(n + 1))?;
        }
    }
    fs::rename(log, old(1))
}

fn append(log: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).open(log)
}

#[test]
fn every_line_is_held_once_under_rotation_and_kills() -> anyhow::Result<()> {
    let Size { lines, kills } = size();
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    append(&log)?;
    // Small log files, so that every kill may fall into a seal.
    let mut collector = site.collector("\n[history]\nseal_bytes = 65536\n")?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;
    let seed = seed("kills of both ends");

    let written = AtomicU64::new(0);
    let killing = AtomicBool::new(true);
    let rotations = AtomicU64::new(0);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let writer = scope.spawn(|| -> anyhow::Result<()> {
            let mut file = append(&log)?;
            let mut dice = Dice::new(seed);
            let mut since_rotation = Instant::now();
            for number in 0..lines {
                // Now and then a line comes in two halves.
                let text = line(number);
                let cut = usize::try_from(dice.roll(text.len() as u64 * 4))
                    .expect("small")
                    .min(text.len());
                file.write_all(&text.as_bytes()[..cut])?;
                file.write_all(&text.as_bytes()[cut..])?;
                written.store(number + 1, Ordering::Relaxed);
                // At most three rotations may pass while the agent is down, which is at most a second.
                if dice.roll(2_000) == 0 && since_rotation.elapsed() > Duration::from_millis(1_500)
                {
                    rename_rotate(&log)?;
                    file = append(&log)?;
                    rotations.fetch_add(1, Ordering::Relaxed);
                    since_rotation = Instant::now();
                }
                // The writer goes on for as long as there are kills to come.
                if number % 50 == 0 && killing.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(if lines > 100_000 {
                        12
                    } else {
                        30
                    }));
                }
            }
            Ok(())
        });
        let mut dice = Dice::new(seed + 1);
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(100 + dice.roll(900)));
            agent.kill();
            std::thread::sleep(Duration::from_millis(dice.roll(300)));
            agent.start()?;
            std::thread::sleep(Duration::from_millis(100 + dice.roll(900)));
            collector.kill();
            std::thread::sleep(Duration::from_millis(dice.roll(300)));
            collector.start()?;
        }
        killing.store(false, Ordering::Relaxed);
        writer.join().expect("the writer does not panic")
    })?;

    let seen = wait("every line to be held", PATIENCE * 2, || {
        let (seen, _) = numbers(&collector)?;
        Ok((seen.len() as u64 == lines).then_some(seen))
    });
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let (seen, _) = numbers(&collector)?;
            let missing: Vec<u64> = (0..lines).filter(|n| !seen.contains_key(n)).take(20).collect();
            panic!(
                "{error}: {} of {lines} held, missing {missing:?} ...\nagent: {}",
                seen.len(),
                agent.log()
            );
        }
    };
    let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).take(20).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let verify = collector.must(&["verify"])?;
    println!(
        "{lines} lines, {kills} kills of each end, {} rotations: every number held once\n{verify}",
        rotations.load(Ordering::Relaxed)
    );
    Ok(())
}

#[test]
fn copytruncate_doubles_nothing_and_records_what_it_lost() -> anyhow::Result<()> {
    let lines = size().lines / 4;
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    append(&log)?;
    let collector = site.collector("")?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;

    let mut dice = Dice::new(seed("copytruncate"));
    let mut file = append(&log)?;
    file.write_all(line(0).as_bytes())?;
    // What is truncated before the agent first looked, nobody can know.
    wait("the first line", PATIENCE, || Ok((numbers(&collector)?.0.len() == 1).then_some(())))?;
    for number in 1..lines {
        file.write_all(line(number).as_bytes())?;
        if dice.roll(lines / 8) == 0 {
            fs::copy(&log, site.path().join("logs/app.log.copy"))?;
            file.set_len(0)?;
        }
        if dice.roll(lines / 4) == 0 {
            agent.kill();
            agent.start()?;
        }
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let last = lines - 1;
    wait("the last line", PATIENCE, || {
        Ok(numbers(&collector)?.0.contains_key(&last).then_some(()))
    })?;
    let (seen, lost_bytes) = numbers(&collector)?;
    let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).take(20).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let missing: Vec<u64> = (0..lines).filter(|n| !seen.contains_key(n)).collect();
    let missing_bytes: u64 = missing.iter().map(|n| line(*n).len() as u64).sum();
    let gaps = collector.rows(&["ledger", "--gaps"])?;
    // Each run of missing lines was truncated away at once, and is one gap.
    let runs: Vec<u64> =
        missing.iter().copied().filter(|n| *n == 0 || seen.contains_key(&(n - 1))).collect();
    let told: Vec<_> = gaps.iter().filter(|gap| gap["cause"] == "rotated-away").collect();
    assert!(
        runs.len() <= told.len(),
        "runs of lines are missing from {runs:?} on, and {} gaps say so: {told:?}",
        told.len()
    );
    assert!(lines > missing.len() as u64 + 100, "nearly everything is missing");
    println!(
        "{lines} lines under copytruncate: {} missing ({missing_bytes} bytes), {} gaps of {lost_bytes} known bytes",
        missing.len(),
        gaps.len()
    );
    Ok(())
}

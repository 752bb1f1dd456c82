//! The power fails under either end, or both, while lines are shipped, committed and sealed.
//!
//! A process without power does nothing, so it is stopped right before its disk: what it is in the
//! middle of stays half done. That matters beyond looks. While ext4 is shut down, an fdatasync under
//! way may return success for data that is not on disk; a machine without power tells nobody.

use std::time::{Duration, Instant};

use hengwei_tests::faults::volume::{Cut, Medium, Volume};
use hengwei_tests::faults::{Dice, acked, must_hold, seed, torture};
use hengwei_tests::{Agent, Collector};

use super::{Parts, Ward};

/// Lines come every so many milliseconds.
const PAUSE: Duration = Duration::from_millis(60);

/// What happened in one run.
#[derive(Debug, Default)]
struct Tally {
    collector: u64,
    agent: u64,
    ways: [u64; 3],
    /// How far the agent was told that records are stored, at the last cut.
    acked: u64,
}

#[test]
fn a_power_cut_loses_and_doubles_nothing_that_was_acknowledged() -> anyhow::Result<()> {
    rounds("power cuts of a file system", Medium::File, if torture() { (5, 10) } else { (1, 3) })
}

#[test]
fn a_power_cut_that_loses_the_disk_cache_loses_nothing_that_was_acknowledged() -> anyhow::Result<()>
{
    rounds(
        "power cuts of a disk with a cache",
        Medium::Platter,
        if torture() { (5, 10) } else { (1, 3) },
    )
}

/// So many rounds of so many cuts, each round with a site of its own.
fn rounds(what: &str, medium: Medium, (rounds, cuts): (u64, u64)) -> anyhow::Result<()> {
    let seed = seed(what);
    for round in 0..rounds {
        let begun = Instant::now();
        let Some(mut ward) = Ward::new(1024, Some(512), medium)? else { return Ok(()) };
        let mut dice = Dice::new(seed + round);
        let mut tally = Tally::default();
        ward.live(seed + round, PAUSE, |parts| {
            let Parts { agent, collector, store, mut spool } = parts;
            for _ in 0..cuts {
                std::thread::sleep(dice.millis(100, 1_500));
                // Both ends fail together now and then; the collector has more to lose.
                let (hits_store, hits_spool) = match dice.roll(5) {
                    0..3 => (true, false),
                    3 => (false, true),
                    _ => (true, true),
                };
                if let Some(spool) = spool.as_deref_mut().filter(|_| hits_spool) {
                    fail_agent(agent, spool, &mut dice, &mut tally)?;
                }
                if hits_store {
                    fail_collector(agent, collector, store, &mut dice, &mut tally)?;
                }
                if agent.pid().is_none() {
                    agent.start()?;
                }
            }
            Ok(())
        })?;
        println!(
            "{what}, round {round}: {} of the collector, {} of the agent ({} after the journal, {} at once, {} with the cache lost); {} lines, each held once; the last acknowledged number before a cut was {}; {:.1} s",
            tally.collector,
            tally.agent,
            tally.ways[0],
            tally.ways[1],
            tally.ways[2],
            ward.lines(),
            tally.acked,
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn way(volume: &Volume, dice: &mut Dice, tally: &mut Tally) -> Cut {
    let ways = [Cut::AfterJournal, Cut::AtOnce, Cut::CacheLost];
    let at = if volume.platter().is_some() { 2 } else { usize::from(dice.roll(3) > 0) };
    tally.ways[at] += 1;
    ways[at]
}

/// The collector's disk goes; its agent, if it runs, remembers what it was told.
fn fail_collector(
    agent: &Agent,
    collector: &mut Collector,
    store: &mut Volume,
    dice: &mut Dice,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    collector.freeze()?;
    store.cut(way(store, dice, tally))?;
    // Whatever it had answered is on its way.
    std::thread::sleep(dice.millis(20, 200));
    collector.kill();
    let told: Vec<_> = ["log", "security"]
        .into_iter()
        .filter_map(|kind| Some((kind, acked(agent, kind)?)))
        .collect();
    store.restart(dice)?;
    collector.start()?;
    for (kind, told) in &told {
        must_hold(collector, agent, kind, told)?;
        tally.acked = tally.acked.max(told.1);
    }
    tally.collector += 1;
    Ok(())
}

/// The agent's disk goes: it reads again what it had not stored.
fn fail_agent(
    agent: &mut Agent,
    spool: &mut Volume,
    dice: &mut Dice,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    agent.freeze()?;
    spool.cut(way(spool, dice, tally))?;
    agent.kill();
    spool.restart(dice)?;
    tally.agent += 1;
    Ok(())
}

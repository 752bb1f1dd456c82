//! The collector's disk fails to write or to flush. After a failed sync it ends by itself, since
//! nobody knows what is on disk; started again it holds what it acknowledged, also when the power
//! fails right then and takes what only memory had.

use std::time::Duration;

use anyhow::ensure;
use hengwei_tests::faults::platter::{Fault, Platter};
use hengwei_tests::faults::volume::{Cut, Medium};
use hengwei_tests::faults::{Dice, acked, must_hold, seed, torture};
use hengwei_tests::wait;

use super::{Parts, Ward};

const PAUSE: Duration = Duration::from_millis(40);
/// Until a disk in use was asked for something it fails.
const SOON: Duration = Duration::from_secs(20);
/// Exit code of a process that can't go on.
const EXIT_BUG: i32 = 3;

#[derive(Debug, Default)]
struct Tally {
    writes: u64,
    flushes: u64,
    ended: u64,
    started_at_once: u64,
    cuts: u64,
}

#[test]
fn a_disk_that_fails_for_a_moment_loses_nothing_that_was_acknowledged() -> anyhow::Result<()> {
    let seed = seed("disk errors");
    let times = if torture() { 30 } else { 2 };
    let Some(mut ward) = Ward::new(1024, None, Medium::Platter)? else { return Ok(()) };
    let mut tally = Tally::default();
    ward.live(seed, PAUSE, |parts| {
        let Parts { agent, collector, store, .. } = parts;
        let mut dice = Dice::new(seed);
        for _ in 0..times {
            std::thread::sleep(dice.millis(100, 900));
            fail(store.platter().expect("it is on one"), &mut dice, &mut tally)?;
            std::thread::sleep(dice.millis(0, 400));
            if let Some(status) = collector.ended()? {
                ensure!(status.code() == Some(EXIT_BUG), "the collector ended with {status}");
                tally.ended += 1;
            }
            collector.kill();
            let told: Vec<_> = ["log", "security"]
                .into_iter()
                .filter_map(|kind| Some((kind, acked(agent, kind)?)))
                .collect();
            store.platter().expect("it is on one").heal();
            // Where the error hit the file system itself, it takes nothing more until it is mounted
            // anew; else the memory that the disk never got is still there to be read.
            if collector.start().is_ok() {
                tally.started_at_once += 1;
            } else {
                collector.kill();
                store.restart(&mut dice)?;
                collector.start()?;
            }
            if dice.roll(2) == 0 {
                std::thread::sleep(dice.millis(0, 50));
                // ext4 may call a sync done while it is shut down; without power nothing asks for one.
                collector.freeze()?;
                store.cut(Cut::CacheLost)?;
                collector.kill();
                store.restart(&mut dice)?;
                collector.start()?;
                tally.cuts += 1;
            }
            for (kind, told) in &told {
                must_hold(collector, agent, kind, told)?;
            }
        }
        Ok(())
    })?;
    println!("{tally:?}: {} lines, each held once", ward.lines());
    Ok(())
}

/// Makes a few requests fail, and waits until the first of them did.
fn fail(platter: &Platter, dice: &mut Dice, tally: &mut Tally) -> anyhow::Result<()> {
    let before = platter.failed();
    let count = u32::try_from(1 + dice.roll(3))?;
    if dice.roll(2) == 0 {
        tally.writes += 1;
        platter.fail(Fault::Writes(count));
    } else {
        tally.flushes += 1;
        platter.fail(Fault::Flushes(count));
    }
    wait("the disk to fail", SOON, || Ok((platter.failed() > before).then_some(())))
}

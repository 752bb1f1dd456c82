//! Somebody else fills the collector's disk: batches wait with their agents, decisions are taken from
//! the reserve, and when there is room again everything goes on without anybody's help.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use hengwei_tests::faults::volume::{Medium, Volume};
use hengwei_tests::faults::{Dice, acked, seed, torture};
use hengwei_tests::{Agent, Collector, PATIENCE, wait};
use rustix::fs::{FallocateFlags, fallocate};
use serde_json::Value;

use super::{Parts, Ward};

const PAUSE: Duration = Duration::from_millis(60);
/// Small enough to fill at once, large enough for the reserve and some history.
const STORE_MIB: u64 = 192;
/// What a disk that is nearly full has left: less than 2 % of it.
const NEARLY_BYTES: u64 = 2 << 20;

/// A file of somebody else, on the collector's disk.
struct Foreign(PathBuf);

impl Foreign {
    fn on(volume: &Volume) -> Foreign {
        Foreign(volume.path().join("somebody-elses"))
    }

    /// Takes all room but `rest` bytes, in one system call where that is possible.
    fn take_all_but(&self, volume: &Volume, rest: u64) -> anyhow::Result<()> {
        let file = File::options().create(true).append(true).open(&self.0)?;
        let mut piece = volume.free_bytes()?.saturating_sub(rest);
        // What is free shrinks meanwhile, and the file system needs a little for itself.
        while piece >= 4096 {
            let len = file.metadata()?.len();
            if fallocate(&file, FallocateFlags::empty(), len, piece).is_err() {
                piece /= 2;
            } else {
                piece = volume.free_bytes()?.saturating_sub(rest);
            }
        }
        Ok(())
    }

    fn give_back(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(&self.0)?)
    }
}

fn history(collector: &Collector) -> anyhow::Result<Value> {
    let mut rows = collector.rows(&["status"])?;
    Ok(rows.pop().context("no status")?["history"].take())
}

/// Adds an account, which is a decision, and looks whether it is there.
fn decide(collector: &Collector, name: &str) -> anyhow::Result<()> {
    collector.must(&["user", "add", name, "--role", "viewer"])?;
    let users = collector.must(&["user", "list"])?;
    ensure!(users.contains(name), "the account that was added is not there: {users}");
    Ok(())
}

fn waiting(agent: &Agent) -> anyhow::Result<u64> {
    let output = agent.command(&["status", "--json"])?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter_map(|line| line["waiting"].as_u64()).sum())
}

fn log_acked(agent: &Agent) -> u64 {
    acked(agent, "log").map_or(0, |(_, acked)| acked)
}

#[test]
fn ingestion_pauses_before_the_disk_is_full_and_resumes_by_itself() -> anyhow::Result<()> {
    let seed = seed("disk nearly full");
    let Some(mut ward) = Ward::new(STORE_MIB, None, Medium::File)? else { return Ok(()) };
    ward.live(seed, PAUSE, |parts| {
        let Parts { agent, collector, store, .. } = parts;
        let agent = &*agent;
        wait(
            "the first acknowledgements",
            PATIENCE,
            || Ok((log_acked(agent) > 500).then_some(())),
        )?;
        let foreign = Foreign::on(store);
        foreign.take_all_but(store, NEARLY_BYTES)?;
        wait("the collector to say that its disk is low", PATIENCE, || {
            Ok((history(collector)?["low"] == true).then_some(()))
        })?;
        wait("the metric to say so", PATIENCE, || {
            let free = metric(collector, "hengwei_history_free_bytes")?;
            Ok((free < 4.0 * NEARLY_BYTES as f64).then_some(()))
        })?;
        // What was on its way when room ran out has been answered by now.
        wait("lines to wait with the agent", PATIENCE, || {
            let before = log_acked(agent);
            let waits = waiting(agent)? > 200;
            Ok((waits && log_acked(agent) == before).then_some(()))
        })?;
        let (acked, commits) = (log_acked(agent), history(collector)?["commits"].clone());
        decide(collector, "nearly-full")?;
        ensure!(log_acked(agent) == acked, "a batch was acknowledged below low water");
        ensure!(history(collector)?["commits"] != commits, "the decision was not committed");
        foreign.give_back()?;
        wait("batches to be taken again", PATIENCE, || {
            Ok((log_acked(agent) > acked && history(collector)?["low"] == false).then_some(()))
        })
    })?;
    println!("nearly full: {} lines, each held once", ward.lines());
    Ok(())
}

#[test]
fn on_a_disk_without_any_room_decisions_use_the_reserve() -> anyhow::Result<()> {
    let seed = seed("disk full to the last byte");
    let Some(mut ward) = Ward::new(STORE_MIB, None, Medium::File)? else { return Ok(()) };
    ward.live(seed, PAUSE, |parts| {
        let Parts { agent, collector, store, .. } = parts;
        wait(
            "the first acknowledgements",
            PATIENCE,
            || Ok((log_acked(agent) > 500).then_some(())),
        )?;
        let reserve = history(collector)?["reserve_bytes"].as_u64().unwrap_or_default();
        ensure!(reserve > 0, "there is no reserve");
        let foreign = Foreign::on(store);
        for n in 0..5 {
            foreign.take_all_but(store, 0)?;
            decide(collector, &format!("full-{n}"))?;
            // Long enough for the index to write by itself what it was told.
            std::thread::sleep(Duration::from_millis(700));
        }
        ensure!(collector.ended()?.is_none(), "the collector ended for want of room");
        let left = history(collector)?["reserve_bytes"].as_u64().unwrap_or_default();
        ensure!(left < reserve, "five decisions on a full disk, and the reserve is whole");
        // A start on a full disk builds the index again, and takes decisions, too.
        collector.kill();
        foreign.take_all_but(store, 0)?;
        collector.start()?;
        decide(collector, "full-and-started")?;
        foreign.give_back()?;
        wait("the reserve to be made whole", PATIENCE, || {
            Ok((history(collector)?["reserve_bytes"] == reserve).then_some(()))
        })?;
        for n in 0..5 {
            let users = collector.must(&["user", "list"])?;
            ensure!(users.contains(&format!("full-{n}")), "a decision was lost: {users}");
        }
        Ok(())
    })?;
    println!("full: {} lines, each held once", ward.lines());
    Ok(())
}

#[test]
fn room_that_goes_and_comes_at_any_moment_loses_nothing() -> anyhow::Result<()> {
    let seed = seed("disk that fills and empties");
    let times = if torture() { 40 } else { 4 };
    let Some(mut ward) = Ward::new(STORE_MIB, None, Medium::File)? else { return Ok(()) };
    ward.live(seed, Duration::from_millis(30), |parts| {
        let Parts { collector, store, .. } = parts;
        let mut dice = Dice::new(seed);
        let foreign = Foreign::on(store);
        for _ in 0..times {
            std::thread::sleep(dice.millis(50, 700));
            foreign.take_all_but(store, 0)?;
            std::thread::sleep(dice.millis(10, 1_000));
            foreign.give_back()?;
        }
        ensure!(collector.ended()?.is_none(), "the collector ended for want of room");
        Ok(())
    })?;
    println!("{times} times without room: {} lines, each held once", ward.lines());
    Ok(())
}

/// A metric without labels.
fn metric(collector: &Collector, name: &str) -> anyhow::Result<f64> {
    let text = collector.metrics_text()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name}"))?.trim().parse()?)
}

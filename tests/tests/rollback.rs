//! A spool that is older than what was acknowledged, and one that lives twice: both ends notice, an
//! officer hears of it, and no line is taken for a repeat of another.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use hengwei_tests::{Agent, Collector, PATIENCE, Site, wait};
use serde_json::Value;

fn sources(log: &Path) -> String {
    format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n")
}

fn say(log: &Path, numbers: Range<u64>) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for number in numbers {
        writeln!(file, "numbered n={number} of a line")?;
    }
    Ok(())
}

/// How often history holds each number.
fn held(collector: &Collector) -> anyhow::Result<BTreeMap<u64, u32>> {
    let mut held = BTreeMap::new();
    for row in collector.rows(&["search", "numbered", "--limit", "100000"])? {
        let line = row["event.original"].as_str().unwrap_or_default();
        let number = line.split("n=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        *held.entry(number.expect("a numbered line")).or_default() += 1;
    }
    Ok(held)
}

fn wait_for(collector: &Collector, number: u64) -> anyhow::Result<()> {
    wait(&format!("line {number}"), PATIENCE, || {
        Ok(held(collector)?.contains_key(&number).then_some(()))
    })
}

fn times(times: u32, numbers: Range<u64>) -> impl Iterator<Item = (u64, u32)> {
    numbers.map(move |number| (number, times))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(status.success(), "cp {} {}", from.display(), to.display());
    Ok(())
}

/// The epochs of the queue of logs.
fn epochs(collector: &Collector, agent: &Agent) -> anyhow::Result<Vec<Value>> {
    let rows = collector.rows(&["ledger"])?;
    Ok(rows.into_iter().filter(|row| row["agent"] == *agent.id && row["kind"] == "log").collect())
}

fn rolled_back_gaps(collector: &Collector, agent: &Agent) -> anyhow::Result<Vec<Value>> {
    let rows = collector.rows(&["ledger", "--gaps"])?;
    Ok(rows
        .into_iter()
        .filter(|row| row["agent"] == *agent.id && row["cause"] == "rolled-back")
        .collect())
}

/// Waits for a finding of that rule about the agent.
fn finding(
    collector: &Collector,
    review: bool,
    rule: &str,
    agent: &Agent,
) -> anyhow::Result<Value> {
    let mut list = vec!["alerts", "list", "--all"];
    list.extend(review.then_some("--review"));
    wait(&format!("{rule:?}"), PATIENCE, || {
        Ok(collector
            .rows(&list)?
            .into_iter()
            .find(|alert| alert["rule"]["title"] == rule && alert["entity"]["value"] == *agent.id))
    })
}

#[test]
fn a_restored_older_spool_begins_a_new_epoch_and_says_so() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let collector = site.collector("")?;
    say(&log, 0..40)?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;
    wait_for(&collector, 39)?;
    agent.stop()?;
    let snapshot = site.path().join("snapshot");
    copy(&agent.data(), &snapshot)?;

    say(&log, 40..100)?;
    agent.start()?;
    wait_for(&collector, 99)?;
    agent.kill();
    assert_eq!(epochs(&collector, &agent)?.len(), 1, "one epoch so far");
    assert!(rolled_back_gaps(&collector, &agent)?.is_empty());

    fs::remove_dir_all(agent.data())?;
    fs::rename(&snapshot, agent.data())?;
    say(&log, 100..130)?;
    agent.start()?;
    wait_for(&collector, 129)?;
    say(&log, 130..140)?;
    wait_for(&collector, 139)?;

    // The old spool brought its old position along, so what was read after the snapshot is read
    // again and comes under the new epoch, in addition to what the old epoch holds: a snapshot may
    // have set the log back as well, and then these would be other lines. Nothing else is doubled
    // and nothing is missing.
    let expected: BTreeMap<u64, u32> =
        times(1, 0..40).chain(times(2, 40..100)).chain(times(1, 100..140)).collect();
    assert_eq!(held(&collector)?, expected);

    let queues = epochs(&collector, &agent)?;
    let mut records: Vec<_> = queues.iter().map(|queue| queue["records"].as_u64()).collect();
    records.sort_unstable();
    // The new epoch has the gap as its first record, and the lines from the old position on.
    assert_eq!(records, [Some(100), Some(101)], "{queues:?}");
    let gaps = rolled_back_gaps(&collector, &agent)?;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let new = queues.iter().find(|queue| queue["records"] == 101).map(|queue| &queue["epoch"]);
    assert_eq!(Some(&gaps[0]["epoch"]), new, "the gap is of the new epoch");
    assert_eq!((&gaps[0]["number"], &gaps[0]["span"]), (&1.into(), &1.into()), "{gaps:?}");
    finding(&collector, true, "An agent was set back", &agent)?;
    let alerts = collector.rows(&["alerts", "list", "--all"])?;
    assert!(alerts.is_empty(), "a restored snapshot is no clone: {alerts:?}");
    assert!(collector.command(&["verify"])?.status.success());

    // From here on it is an agent like any other.
    agent.stop()?;
    say(&log, 140..150)?;
    agent.start()?;
    wait_for(&collector, 149)?;
    assert_eq!(epochs(&collector, &agent)?.len(), 2, "no further epoch");
    assert_eq!(held(&collector)?[&139], 1);
    Ok(())
}

#[test]
fn a_host_set_back_as_a_whole_loses_none_of_what_it_says_then() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let mut collector = site.collector("")?;
    say(&log, 0..40)?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;
    wait_for(&collector, 39)?;
    agent.stop()?;
    let (snapshot, log_then) = (site.path().join("snapshot"), fs::read(&log)?);
    copy(&agent.data(), &snapshot)?;
    agent.start()?;
    say(&log, 40..100)?;
    wait_for(&collector, 99)?;
    agent.kill();

    // Log and spool are what they were, and other lines follow: as many, under the same numbers.
    fs::remove_dir_all(agent.data())?;
    fs::rename(&snapshot, agent.data())?;
    fs::write(&log, log_then)?;
    collector.stop()?;
    agent.start()?;
    say(&log, 1040..1100)?;
    wait("the other lines in the spool", PATIENCE, || {
        let output = agent.command(&["status", "--json"])?;
        let lines = String::from_utf8(output.stdout)?;
        let waiting = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(waiting
            .into_iter()
            .any(|row| row["is"] == "queue" && row["kind"] == "log" && row["waiting"] == 60)
            .then_some(()))
    })?;
    collector.start()?;
    wait_for(&collector, 1099)?;

    let expected: BTreeMap<u64, u32> = times(1, 0..100).chain(times(1, 1040..1100)).collect();
    assert_eq!(held(&collector)?, expected, "what was and what is, each once");
    assert_eq!(rolled_back_gaps(&collector, &agent)?.len(), 1);
    finding(&collector, true, "An agent was set back", &agent)?;
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

#[test]
fn a_cloned_agent_is_told_of_and_both_machines_lines_are_held_once() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let other_log = site.path().join("logs/other.log");
    let collector = site.collector("")?;
    say(&log, 0..20)?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;
    wait_for(&collector, 19)?;
    agent.stop()?;

    // The clone goes its own way with the same identity, the same numbers and a log of its own.
    let mut clone = agent.twin(&site.path().join("clone"))?;
    copy(&agent.data(), &clone.data())?;
    clone.configure(&[collector.agents], &sources(&other_log))?;

    agent.start()?;
    say(&log, 20..30)?;
    wait_for(&collector, 29)?;
    say(&other_log, 1000..1010)?;
    clone.start()?;
    wait_for(&collector, 1009)?;
    // By now the one that was there first has been sent away; what it has waits in its spool.
    say(&log, 30..40)?;
    wait_for(&collector, 39)?;
    say(&other_log, 1010..1020)?;
    wait_for(&collector, 1019)?;

    let expected: BTreeMap<u64, u32> = times(1, 0..40).chain(times(1, 1000..1020)).collect();
    assert_eq!(held(&collector)?, expected, "both machines' lines, each once");
    let alert = finding(&collector, false, "One identity on two machines", &agent)?;
    assert_eq!(alert["rule"]["level"], "critical", "{alert}");
    assert!(!rolled_back_gaps(&collector, &agent)?.is_empty(), "one of the two was set back");
    let events = collector.rows(&["search", "event.dataset=hengwei.agent event.action=clone"])?;
    let clones: Vec<_> = events.iter().map(|event| &event["hengwei.subject.agent"]).collect();
    assert!(!clones.is_empty() && clones.iter().all(|id| **id == *agent.id), "{clones:?}");
    assert!(collector.log().contains("reason=\"replaced\""), "the older one is told why");
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

//! `replay` over a real sshd log: which sources it must find, counted independently here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use hengwei_tests::{Site, corpora, repository};
use serde_json::Value;

/// Seconds since midnight of `Dec 10 06:55:46 …`: the log is of one day.
fn seconds(line: &str) -> Option<i64> {
    let mut parts = line.split_whitespace().nth(2)?.split(':').map(|part| part.parse::<i64>().ok());
    Some(parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??)
}

/// Source and weight of a refused authentication.
fn failure(line: &str) -> Option<(String, u64)> {
    let message = line.split_once("]: ")?.1;
    let (weight, message) = match message.strip_prefix("message repeated ") {
        Some(rest) => {
            let (times, rest) = rest.split_once(" times: [ ")?;
            (times.parse().ok()?, rest)
        }
        None => (1, message),
    };
    let words: Vec<&str> = message.strip_prefix("Failed ")?.split_whitespace().collect();
    let from = words.iter().rposition(|word| *word == "from")?;
    Some((words.get(from + 1)?.to_string(), weight))
}

#[test]
fn every_guessing_source_of_a_real_log_is_one_alert() -> anyhow::Result<()> {
    let Some(corpora) = corpora() else { return Ok(()) };
    let log = corpora.join("logs/OpenSSH/OpenSSH_2k.log");
    let text = fs::read_to_string(&log)?;
    let mut sources: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for line in text.lines() {
        if let (Some(at), Some((source, weight))) = (seconds(line), failure(line)) {
            sources.entry(source).or_default().push((at, weight));
        }
    }
    let guesses = |events: &[(i64, u64)]| {
        let total: u64 = events.iter().map(|(_, weight)| weight).sum();
        let burst = events.iter().enumerate().any(|(index, (at, _))| {
            events[..=index]
                .iter()
                .filter(|(before, _)| at - before <= 300)
                .map(|(_, weight)| weight)
                .sum::<u64>()
                >= 5
        });
        (burst || total >= 20).then_some(total)
    };
    let expected: BTreeMap<String, u64> = sources
        .iter()
        .filter_map(|(source, events)| Some((source.clone(), guesses(events)?)))
        .collect();

    let _site = Site::new()?;
    let output = Command::new(binary()?)
        .args(["replay", "--tz", "Asia/Shanghai", "--year", "2025", "--rules"])
        .arg(repository().join("rules/library"))
        .arg(&log)
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let alert: Value = serde_json::from_str(line)?;
        let source = alert["entity"]["value"].as_str().unwrap_or_default().to_owned();
        let count = alert["count"].as_u64().unwrap_or_default();
        assert!(found.insert(source.clone(), count).is_none(), "two alerts about {source}");
    }
    assert_eq!(found, expected);
    println!("{} guessing sources, {} failures", expected.len(), expected.values().sum::<u64>());
    Ok(())
}

fn binary() -> anyhow::Result<std::path::PathBuf> {
    Ok(hengwei_tests::binaries()?.join("hengwei-collector"))
}

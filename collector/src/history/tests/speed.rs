//! How fast commits are, for whoever asks: `cargo nextest run -p hengwei-collector
//! --run-ignored only commit_speed --no-capture`. Not a test: it asserts nothing about time.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "a measurement"]
fn commit_speed() {
    const BLOCKS: u64 = 8;
    const PER_BLOCK: u64 = 2_000;
    const COMMITS: u64 = 40;
    let place = Place::new();
    let (mut writer, history) = place.open();
    let text = |n: u64| {
        format!(
            "<38>Nov 21 22:58:{:02} his-app-1 sshd[{n}]: Failed password for invalid user admin from 203.0.113.{} port {} ssh2 {}",
            n % 60,
            n % 250,
            n % 60_000,
            "x".repeat(60)
        )
    };
    let drafts: Vec<Draft> = (0..COMMITS)
        .map(|commit| {
            let block = |agent: u64| {
                let first = commit * PER_BLOCK + 1;
                let records = (first..first + PER_BLOCK).map(|n| line(n, 0, &text(n))).collect();
                received(&format!("agent-{agent}"), Kind::Log, records, Vec::new())
            };
            Draft { received: (0..BLOCKS).map(block).collect(), ..Draft::default() }
        })
        .collect();
    let bytes: u64 = drafts.iter().flat_map(|draft| &draft.received).map(|r| r.raw_len).sum();
    let started = Instant::now();
    for draft in drafts {
        writer.commit(draft).expect("commits");
    }
    let seconds = started.elapsed().as_secs_f64();
    let events = (BLOCKS * PER_BLOCK * COMMITS) as f64;
    println!("commit {:.0} events/s", events / seconds);
    println!("commit {:.1} MB/s", bytes as f64 / seconds / 1e6);
    let started = Instant::now();
    for n in 0..200 {
        writer.commit(batch(lines("small", Kind::Log, n + 1, 1))).expect("commits");
    }
    println!("commit_small {:.2} ms", started.elapsed().as_secs_f64() * 1e3 / 200.0);
    let started = Instant::now();
    history.seal().expect("seals");
    println!("seal {:.1} MB/s", bytes as f64 / started.elapsed().as_secs_f64() / 1e6);
    let status = history.status();
    println!("segment {:.1} bytes/event", status.classes[2].bytes as f64 / events);
    let started = Instant::now();
    let count = all(&history, &Range::default()).len();
    println!("read {:.0} events/s", count as f64 / started.elapsed().as_secs_f64());
    let started = Instant::now();
    assert!(place.verify().is_clean());
    println!("verify {:.0} events/s", events / started.elapsed().as_secs_f64());
}

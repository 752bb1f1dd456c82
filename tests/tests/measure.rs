//! Measurements, printed one per line: `name value unit`, and where a peer was measured in the same
//! run `name value unit | peer value | ratio`, the ratio being our value over the peer's.
//!
//! `make bench` runs them on release binaries, one after the other. They say what this machine does
//! at this moment and assert only that nothing was lost on the way: a slow machine fails no test.

#[path = "measure/rsyslog.rs"]
mod rsyslog;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use hengwei_tests::{Agent, Collector, Site, resident, wait};
use serde_json::{Value, json};

/// Lines of the throughput run, here and at the peer.
const LINES: u64 = 1_000_000;
/// How long a line of the throughput run is on average, with its newline.
const LINE_BYTES: usize = 190;
/// Lines whose cost at the agent is measured, and how long each is with its newline.
const COST_LINES: u64 = 500_000;
const COST_LINE_BYTES: usize = 256;
/// A host that says a lot.
const RATE_LINES_PER_SECOND: u64 = 5_000;
const RATE_SECONDS: u64 = 20;
/// Until a process that has nothing to do has taken its first snapshots.
const SETTLED: Duration = Duration::from_secs(20);
/// Alerts whose delay is measured.
const ALERTS: u64 = 250;
const PATIENCE: Duration = Duration::from_secs(300);
/// A tick of `/proc/PID/stat`: USER_HZ is 100 on every Linux we build for.
const TICKS_PER_SECOND: f64 = 100.0;
const MIB: f64 = (1 << 20) as f64;

fn row(name: &str, value: f64, unit: &str) {
    println!("{name} {} {unit}", figure(value));
}

/// The test harness leaves its own line open; rows begin on one of theirs.
fn begin() -> anyhow::Result<Site> {
    println!();
    Site::new()
}

fn row_beside(name: &str, value: f64, unit: &str, peer: f64) {
    println!("{name} {} {unit} | {} | {:.2}", figure(value), figure(peer), value / peer);
}

fn figure(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A cheap random number: a measurement needs disorder, not secrecy.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Processor seconds a process has used, user and system, its ended threads included.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; figures begin behind it.
    let figures = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks = |field: usize| -> anyhow::Result<f64> {
        Ok(figures.split_whitespace().nth(field).context("a short stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn agent_pid(agent: &Agent) -> anyhow::Result<u32> {
    agent.pid().context("the agent runs")
}

fn collector_pid(collector: &Collector) -> anyhow::Result<u32> {
    collector.pid().context("the collector runs")
}

/// Records the ledger has of an agent, over its queues.
fn held(collector: &Collector) -> anyhow::Result<u64> {
    let rows = collector.ask(&json!({"Ledger": {"gaps": false}}))?;
    Ok(rows.iter().filter_map(|row| row["records"].as_u64()).sum())
}

/// A log of a host of everyday use: an application's own lines, and what the system says between.
/// Nothing in it raises an alert.
fn everyday(path: &Path, lines: u64, bytes: usize) -> anyhow::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    let mut line = String::new();
    for number in 0..lines {
        use std::fmt::Write as _;
        line.clear();
        let (minute, second) = (number / 6_000 % 60, number / 100 % 60);
        let pid = 1_000 + dice.roll(30_000);
        write!(line, "Nov 20 08:{minute:02}:{second:02} his-app-01 ")?;
        // The last line is the application's: its number is what is waited for.
        let kind = if number + 1 == lines { 19 } else { dice.roll(20) };
        match kind {
            0 => write!(
                line,
                "sshd[{pid}]: Accepted publickey for ops from 192.0.2.{} port {} ssh2: ED25519 SHA256:n={number}",
                dice.roll(250),
                1_024 + dice.roll(60_000)
            )?,
            1 => write!(line, "CRON[{pid}]: (backup) CMD (/usr/local/bin/backup --n={number})")?,
            2 => write!(line, "systemd[1]: Started session-{number}.scope - Session n={number}.")?,
            _ => write!(
                line,
                "hisd[{pid}]: n={number} level=info request=/api/visit/{} user=u{} ward={} took_ms={}",
                dice.roll(1_000_000),
                dice.roll(5_000),
                dice.roll(40),
                dice.roll(3_000)
            )?,
        }
        let fill = bytes - 20 + usize::try_from(dice.roll(40))? - 1;
        write!(line, " trace={:016x}", dice.roll(u64::MAX))?;
        while line.len() < fill {
            line.push_str(" module=visit.registry.session status=200 cache=warm");
        }
        line.truncate(fill);
        line.push('\n');
        file.write_all(line.as_bytes())?;
    }
    Ok(file.flush()?)
}

fn followed(log: &Path) -> String {
    format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n")
}

/// Everything an agent can watch, as on a host where all of it is on.
fn everything() -> String {
    "\n[sources.assets]\n[sources.integrity]\n[sources.journal]\n[sources.performance]\n\
     [sources.files]\n[[sources.files.path]]\nglob = [\"/var/log/*.log\", \"/var/log/syslog\"]\n"
        .to_owned()
}

#[test]
#[ignore = "measurement: make bench"]
fn memory_at_rest() -> anyhow::Result<()> {
    let site = begin()?;
    let collector = site.collector("")?;
    let agent = collector.agent("agent", "his", &everything())?;
    wait("the first records", PATIENCE, || Ok((held(&collector)? > 0).then_some(())))?;
    thread::sleep(SETTLED);
    row("agent_rss_idle", resident(agent_pid(&agent)?)? as f64 / MIB, "MiB");
    row("collector_rss_idle", resident(collector_pid(&collector)?)? as f64 / MIB, "MiB");
    Ok(())
}

#[test]
#[ignore = "measurement: make bench"]
fn an_agent_at_a_steady_rate() -> anyhow::Result<()> {
    let site = begin()?;
    let prepared = site.path().join("prepared");
    let lines = RATE_LINES_PER_SECOND * RATE_SECONDS;
    everyday(&prepared, lines, COST_LINE_BYTES)?;
    let text = fs::read(&prepared)?;
    let log = site.path().join("logs/app.log");
    let mut file = fs::File::create(&log)?;
    let collector = site.collector("")?;
    let agent = collector.agent("agent", "his", &format!("{}{}", followed(&log), others()))?;
    wait("the first records", PATIENCE, || Ok((held(&collector)? > 0).then_some(())))?;
    let pid = agent_pid(&agent)?;

    let (begun, cpu) = (Instant::now(), cpu_seconds(pid)?);
    let mut most = 0;
    // A hundred lines at a time, as a busy service writes them.
    let hundreds: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for (turn, hundred) in hundreds.chunks(100).enumerate() {
        file.write_all(&hundred.concat())?;
        let due = Duration::from_secs(1) * 100 * u32::try_from(turn + 1)?
            / u32::try_from(RATE_LINES_PER_SECOND)?;
        thread::sleep(due.saturating_sub(begun.elapsed()));
        if turn % 10 == 0 {
            most = most.max(resident(pid)?);
        }
    }
    let used = cpu_seconds(pid)? - cpu;
    row("agent_rss_at_5000_lines_per_s", most as f64 / MIB, "MiB");
    row("agent_cpu_per_line_at_5000_lines_per_s", used * 1e6 / lines as f64, "us");
    Ok(())
}

/// The sources of [`everything`] that run beside a followed log.
fn others() -> &'static str {
    "[sources.assets]\n[sources.integrity]\n[sources.journal]\n[sources.performance]\n"
}

#[test]
#[ignore = "measurement: make bench"]
fn what_a_line_costs_the_agent() -> anyhow::Result<()> {
    let site = begin()?;
    let log = site.path().join("logs/app.log");
    everyday(&log, COST_LINES, COST_LINE_BYTES)?;
    let collector = site.collector("")?;
    let mut agent = collector.agent_stopped("agent", "his", &followed(&log))?;
    agent.start()?;
    wait(
        "every line to be held",
        PATIENCE,
        || Ok((held(&collector)? >= COST_LINES).then_some(())),
    )?;
    let used = cpu_seconds(agent_pid(&agent)?)?;
    row("agent_cpu_per_256_byte_line", used * 1e6 / COST_LINES as f64, "us");
    Ok(())
}

/// What carrying a file from one end to the other took.
struct Carried {
    lines_per_second: f64,
    /// Processor seconds per million lines.
    sender: f64,
    receiver: f64,
}

impl Carried {
    fn of(took: Duration, sender_seconds: f64, receiver_seconds: f64) -> Carried {
        let millions = LINES as f64 / 1e6;
        Carried {
            lines_per_second: LINES as f64 / took.as_secs_f64(),
            sender: sender_seconds / millions,
            receiver: receiver_seconds / millions,
        }
    }
}

#[test]
#[ignore = "measurement: make bench"]
fn from_a_file_to_stored() -> anyhow::Result<()> {
    let site = begin()?;
    let log = site.path().join("logs/app.log");
    everyday(&log, LINES, LINE_BYTES)?;
    let collector = site.collector("")?;
    let mut agent = collector.agent_stopped("agent", "his", &followed(&log))?;
    let receiver = collector_pid(&collector)?;

    let (begun, before) = (Instant::now(), cpu_seconds(receiver)?);
    agent.start()?;
    wait("every line to be held", PATIENCE, || Ok((held(&collector)? >= LINES).then_some(())))?;
    let took = begun.elapsed();
    let ours = Carried::of(took, cpu_seconds(agent_pid(&agent)?)?, cpu_seconds(receiver)? - before);
    let (agent_rss, collector_rss) = (resident(agent_pid(&agent)?)?, resident(receiver)?);
    assert_eq!(held(&collector)?, LINES, "each line is held once");
    // What either end still does in the background is not to be the peer's burden.
    agent.stop()?;
    drop(collector);

    match rsyslog::carry(site.path(), &log)? {
        Some(peer) => {
            row_beside("file_to_stored", ours.lines_per_second, "lines/s", peer.lines_per_second);
            row_beside("collector_cpu_per_million_lines", ours.receiver, "s", peer.receiver);
            row_beside("agent_cpu_per_million_lines", ours.sender, "s", peer.sender);
        }
        None => {
            println!("no peer: apt-get install rsyslog rsyslog-gnutls");
            row("file_to_stored", ours.lines_per_second, "lines/s");
            row("collector_cpu_per_million_lines", ours.receiver, "s");
            row("agent_cpu_per_million_lines", ours.sender, "s");
        }
    }
    row("agent_rss_under_load", agent_rss as f64 / MIB, "MiB");
    row("collector_rss_under_load", collector_rss as f64 / MIB, "MiB");
    Ok(())
}

#[test]
#[ignore = "measurement: make bench"]
fn from_a_write_to_its_alert() -> anyhow::Result<()> {
    let site = begin()?;
    let log: PathBuf = site.path().join("logs/auth.log");
    let mut file = fs::File::create(&log)?;
    let collector = site.collector("")?;
    let _agent = collector.agent("agent", "his", &followed(&log))?;
    let mut dice = Dice(0xfeed_5eed);
    let mut delays = Vec::new();
    for number in 0..=ALERTS {
        let source = format!("198.51.{}.{}", number / 250, number % 250 + 1);
        thread::sleep(Duration::from_millis(5 + dice.roll(150)));
        let begun = Instant::now();
        writeln!(
            file,
            "Nov 20 08:00:00 his-db sshd[77]: Accepted password for root from {source} port 40022 ssh2"
        )?;
        // It ends the entity, so that no source is found in one that begins like it.
        let entity = format!("+{source}");
        wait("an alert", PATIENCE, || {
            let newest = collector
                .ask(&json!({"Alerts": {"List": {"all": false, "review": false, "limit": 2}}}))?;
            let about = |alert: &Value| {
                alert["entity"]["value"].as_str().is_some_and(|value| value.ends_with(&entity))
            };
            Ok(newest.iter().any(about).then_some(()))
        })?;
        delays.push(begun.elapsed());
    }
    // The first waited for the agent to connect.
    delays.remove(0);
    delays.sort_unstable();
    let at = |share: f64| {
        let place = (delays.len() as f64 * share).ceil() as usize;
        delays[place.clamp(1, delays.len()) - 1].as_secs_f64() * 1e3
    };
    row("write_to_alert_p50", at(0.5), "ms");
    row("write_to_alert_p99", at(0.99), "ms");
    Ok(())
}

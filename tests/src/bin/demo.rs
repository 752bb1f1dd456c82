//! `make demo`: the product at work on this host, as a story in the terminal.
//!
//! Everything lives in one temporary folder that goes at the end: keys, certificates, configuration,
//! spool, history. What is real is this host: its inventory, its performance, its logs as far as this
//! user may read them. What is simulated is the attack: lines from documentation addresses, written
//! to a demo log that the agent follows like any other. Each step checks what it tells; the exit code
//! is 0 only if all of it happened. DEMO_SECONDS=n ends it n seconds after it is ready.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hengwei_tests::{Agent, Collector, PATIENCE, Site, wait};
use serde_json::{Value, json};

/// The guarded system this host plays a member of.
const SYSTEM: &str = "health-card";
/// From TEST-NET-3 (RFC 5737): nobody's address.
const ATTACKER: &str = "203.0.113.66";
const NUMBERED: u64 = 5_000;

fn main() -> ExitCode {
    let seconds = match std::env::var("DEMO_SECONDS").map(|text| text.parse::<u64>()) {
        Ok(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Ok(Err(_)) => {
            eprintln!("DEMO_SECONDS: not a number of seconds");
            return ExitCode::from(2);
        }
        Err(_) => None,
    };
    match demo(seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(seconds: Option<Duration>) -> anyhow::Result<()> {
    title("Hengwei 衡卫: security control for a regional health network");
    let begun = Instant::now();
    let site = Site::new()?;
    clean_up_when_interrupted(site.path().to_owned())?;
    let auth = site.path().join("logs/auth.log");
    let app = site.path().join("logs/app.log");
    for log in [&auth, &app] {
        fs::write(log, "")?;
    }
    step("a throwaway root, issuing CA, history key; a collector on free ports");
    let mut collector = site.collector("")?;
    say(&format!(
        "agents :{}  console :{}  metrics :{}",
        collector.agents, collector.console, collector.metrics
    ));

    step("an agent on this host, enrolled with a one-time token over mutual TLS");
    let agent = collector.agent("agent", SYSTEM, &sources(&auth, &app))?;
    say(&format!("enrolled as {}", agent.id));
    inventory(&collector, &agent)?;

    let ready = Instant::now();
    let delay = attack(&collector, &auth)?;
    let kill = killed(&mut collector, &app)?;
    tampered(&collector, site.path())?;
    summary(&collector, delay, &kill)?;
    say(&format!("everything above took {:.1} s", begun.elapsed().as_secs_f64()));

    let link = collector.must(&["user", "add", "officer", "--role", "secadmin"])?;
    step("the console");
    say(&format!("sign in with this one-time link: {}", link.trim()));
    say("(its certificate is from the throwaway CA: the browser will say so)");
    feed(&collector, seconds.map(|seconds| ready + seconds))
}

/// Ctrl-C ends the demo wherever it is: its processes end, its folder goes.
fn clean_up_when_interrupted(folder: PathBuf) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        println!("\nthe demo ends here");
        hengwei_tests::end_processes_below(&folder);
        // It may be gone already, when the demo came to its end at this moment.
        drop(fs::remove_dir_all(&folder));
        std::process::exit(130);
    });
    Ok(())
}

/// This host's own sources, and the two demo logs.
fn sources(auth: &Path, app: &Path) -> String {
    let mut text = format!(
        "\n[sources.performance]\ninterval_secs = 2\n[sources.assets]\n\
         [sources.files]\n\
         [[sources.files.path]]\nglob = [{auth:?}]\nkind = \"security\"\nfrom = \"start\"\n\
         [[sources.files.path]]\nglob = [{app:?}]\nfrom = \"start\"\n",
    );
    let real: Vec<&str> =
        ["/var/log/syslog", "/var/log/messages", "/var/log/dpkg.log", "/var/log/auth.log"]
            .into_iter()
            .filter(|path| fs::File::open(path).is_ok())
            .collect();
    for path in &real {
        let kind = if path.ends_with("auth.log") { "security" } else { "log" };
        text.push_str(&format!("[[sources.files.path]]\nglob = [{path:?}]\nkind = {kind:?}\n"));
    }
    if fs::metadata("/run/log/journal").is_ok() || fs::metadata("/var/log/journal").is_ok() {
        text.push_str("[sources.journal]\n");
    }
    text.push_str("[sources.integrity]\n");
    text
}

fn inventory(collector: &Collector, agent: &Agent) -> anyhow::Result<()> {
    step("REAL: this host found, with what it has");
    let detail = wait("this host's inventory", PATIENCE, || {
        let rows = collector.rows(&["hosts", &agent.id]).unwrap_or_default();
        let found = rows.into_iter().next().filter(|row| count(row, "asset.host").is_some());
        Ok(found)
    })?;
    let row = &detail["row"];
    say(&format!(
        "{} at {} for {}: {}",
        text(&row["host"]),
        text(&row["site"]),
        text(&row["system"]),
        text(&row["os"])
    ));
    let shelves: Vec<String> = detail["inventory"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|shelf| {
            let items = shelf["items"].as_array().map_or(0, Vec::len);
            format!("{} {}", items, text(&shelf["dataset"]).trim_start_matches("asset."))
        })
        .collect();
    say(&shelves.join(", "));
    Ok(())
}

fn count(detail: &Value, dataset: &str) -> Option<usize> {
    let shelves = detail["inventory"].as_array()?;
    shelves.iter().find(|shelf| shelf["dataset"] == dataset)?["items"].as_array().map(Vec::len)
}

/// Writes a brute force that succeeds; the milliseconds until its alert was on the feed.
fn attack(collector: &Collector, auth: &Path) -> anyhow::Result<u128> {
    step(&format!("SIMULATED: {ATTACKER} guesses passwords, and finds one"));
    let mut log = fs::OpenOptions::new().append(true).open(auth)?;
    // The fifth is the one that fires.
    for attempt in 0..5 {
        let line = line(&format!(
            "Failed password for root from {ATTACKER} port {} ssh2",
            40_000 + attempt
        ));
        print!("    {line}");
        log.write_all(line.as_bytes())?;
    }
    let written = Instant::now();
    let alert = wait("the alert", PATIENCE, || alert(collector, "SSH brute force"))?;
    let delay = written.elapsed().as_millis();
    say(&format!(
        "ALERT {delay} ms after the write: {} / {}",
        text(&alert["rule"]["title"]),
        text(&alert["rule"]["title_zh"])
    ));
    say(&format!(
        "about {} = {}, {} events",
        text(&alert["entity"]["type"]),
        text(&alert["entity"]["value"]),
        alert["count"]
    ));
    say(&format!("advice: {}", text(&alert["advice"]["en"])));
    say(&format!("建议：{}", text(&alert["advice"]["zh"])));
    log.write_all(
        line(&format!("Accepted password for root from {ATTACKER} port 40100 ssh2")).as_bytes(),
    )?;
    let alert = wait("the alert of the login", PATIENCE, || {
        crate::alert(collector, "SSH login after brute force")
    })?;
    say(&format!(
        "ALERT [{}] {} / {}",
        text(&alert["rule"]["level"]),
        text(&alert["rule"]["title"]),
        text(&alert["rule"]["title_zh"])
    ));
    Ok(delay)
}

fn alert(collector: &Collector, title: &str) -> anyhow::Result<Option<Value>> {
    let alerts = collector
        .ask(&json!({"Alerts": {"List": {"all": false, "review": false, "limit": 50}}}))?;
    Ok(alerts.into_iter().find(|alert| alert["rule"]["title"] == title))
}

fn line(message: &str) -> String {
    format!("{} demo-host sshd[4242]: {message}\n", stamp())
}

/// RFC 3339 in UTC, by the clock of this host, as rsyslog of Debian 12 writes.
fn stamp() -> String {
    let output =
        std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%6N+00:00"]).output();
    output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Kills the collector while lines are written, starts it again, and counts.
fn killed(collector: &mut Collector, app: &Path) -> anyhow::Result<String> {
    step(&format!(
        "the collector is killed (kill -9) twice while {NUMBERED} numbered lines are written"
    ));
    let path = app.to_owned();
    let writer = thread::spawn(move || -> anyhow::Result<()> {
        let mut log = fs::OpenOptions::new().append(true).open(path)?;
        for number in 0..NUMBERED {
            log.write_all(format!("numbered n={number} of the demo\n").as_bytes())?;
            if number % 250 == 0 {
                thread::sleep(Duration::from_millis(60));
            }
        }
        Ok(())
    });
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(350));
        collector.kill();
        collector.start()?;
    }
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let mut doubled = 0;
    let seen = wait("every numbered line", PATIENCE, || {
        let rows = collector.rows(&["search", "numbered", "--limit", "1000000"])?;
        let numbers: Vec<u64> = rows
            .iter()
            .filter_map(|row| {
                row["event.original"].as_str()?.split("n=").nth(1)?.split(' ').next()?.parse().ok()
            })
            .collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        doubled = numbers.len() - distinct.len();
        Ok((distinct.len() as u64 == NUMBERED).then_some(distinct.len()))
    })?;
    ensure!(doubled == 0, "{doubled} lines are in history twice");
    let told = format!("{seen} written, {seen} in history, 0 lost, 0 doubled");
    say(&told);
    Ok(told)
}

/// Flips one byte in a copy of history; `verify` must name it, and must find nothing in the original.
fn tampered(collector: &Collector, folder: &Path) -> anyhow::Result<()> {
    step("one byte of history is flipped (in a copy), and verify asked");
    let copy = folder.join("tampered");
    copy_folder(&collector.data(), &copy)?;
    let config = format!("{}", copy.display());
    let clean = collector.command(&["verify", "--data", &config])?;
    ensure!(
        clean.status.success(),
        "the untouched copy does not verify: {}",
        String::from_utf8_lossy(&clean.stdout)
    );
    let victim = largest(&copy.join("history"))?.context("history holds no file")?;
    let mut bytes = fs::read(&victim)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&victim, bytes)?;
    let output = collector.command(&["verify", "--data", &config])?;
    ensure!(output.status.code() == Some(1), "verify did not notice: {}", output.status);
    let found = String::from_utf8_lossy(&output.stdout);
    let name = victim.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ensure!(found.contains(name), "verify does not name {name}: {found}");
    for line in found.lines().take(2) {
        say(line);
    }
    fs::remove_dir_all(&copy)?;
    Ok(())
}

fn summary(collector: &Collector, delay: u128, kill: &str) -> anyhow::Result<()> {
    step("what there is now");
    let metrics = collector.metrics_text()?;
    let value = |name: &str| -> f64 {
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    for kind in ["asset", "performance", "log", "security"] {
        // The counters began anew with the restarted collector; the ledger did not.
        let records: u64 = collector
            .rows(&["ledger"])?
            .iter()
            .filter(|row| row["kind"] == kind)
            .filter_map(|row| row["records"].as_u64())
            .sum();
        row(&format!("{kind} records"), &records.to_string());
        ensure!(records > 0 || kind == "asset", "no {kind} record arrived");
    }
    let alerts = collector.rows(&["alerts", "list"])?;
    ensure!(alerts.len() >= 2, "{} alerts", alerts.len());
    row("open alerts", &alerts.len().to_string());
    row("write to alert", &format!("{delay} ms"));
    row("kill -9", kill);
    row("hosts up", &value("hengwei_host_up{").to_string());
    let coverage = collector.rows(&["coverage"])?;
    let system = coverage
        .iter()
        .find(|row| row["id"] == SYSTEM)
        .context("the guarded system is not known")?;
    row(
        "coverage",
        &format!(
            "{} of {} reporting: {} / {}",
            system["reporting"],
            system["expected"],
            text(&system["name_en"]),
            text(&system["name_zh"])
        ),
    );
    ensure!(system["reporting"] == 1, "coverage: {system}");
    Ok(())
}

/// Prints alerts as they come, until the end or for ever.
fn feed(collector: &Collector, end: Option<Instant>) -> anyhow::Result<()> {
    step(if end.is_some() { "the live feed" } else { "the live feed (Ctrl-C ends the demo)" });
    let mut known = BTreeSet::new();
    loop {
        for alert in collector.rows(&["alerts", "list"])?.iter().rev() {
            let line = format!(
                "{} [{}] {} {} × {}",
                text(&alert["last_seen"]),
                text(&alert["rule"]["level"]),
                text(&alert["rule"]["title"]),
                text(&alert["entity"]["value"]),
                alert["count"]
            );
            if known.insert(line.clone()) {
                say(&line);
            }
        }
        // What there is is shown however late it is by now.
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            // A file that was sealed away between the listing and the copy is in its segment.
            match fs::copy(entry.path(), &target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => drop(other?),
            }
        }
    }
    Ok(())
}

/// The largest file of the log or of a segment.
fn largest(folder: &Path) -> anyhow::Result<Option<std::path::PathBuf>> {
    let mut best = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if name != "index" && name != "sled" {
                    folders.push(path);
                }
            } else if name.ends_with(".log") || name.ends_with(".seg") {
                let len = entry.metadata()?.len();
                if best.as_ref().is_none_or(|(most, _)| len > *most) {
                    best = Some((len, path));
                }
            }
        }
    }
    Ok(best.map(|(_, path)| path))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn title(text: &str) {
    println!("\n{text}\n{}", "=".repeat(60));
}

fn step(text: &str) {
    println!("\n▸ {text}");
}

fn say(text: &str) {
    println!("    {text}");
}

fn row(name: &str, value: &str) {
    println!("    {name:<22}{value}");
}

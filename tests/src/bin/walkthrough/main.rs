//! `make walkthrough`: a real attack on real servers of this host, and what the officers see of it.
//!
//! An SSH server, nginx behind ModSecurity with PHP, and PostgreSQL with pgaudit run on loopback, below
//! one temporary folder; an agent reads their logs and watches their files as it would on any host. Then:
//! passwords are guessed with hydra until one fits, the portal is tried with sqlmap, a web shell is left
//! and called, a job and a key are left behind, and the database is dumped. What is told is the order of
//! alerts with their evidence; the exit code is 0 only when every step was noticed.
//!
//! It needs root: it makes an account and a file in `/etc/cron.d` and takes both away again, whatever
//! happens. Nothing leaves loopback; attempts and times are bounded. `WALKTHROUGH_KEEP=1` keeps the folder.

mod attack;
mod host;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use hengwei_tests::{Collector, Site, end_processes_below};
use serde_json::{Value, json};

use host::Host;

/// How long alerts of a step may take.
const PATIENCE: Duration = Duration::from_secs(45);
/// The guarded system this host plays a member of.
const SYSTEM: &str = "regional-emr";

fn main() -> ExitCode {
    match walk() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe walk-through failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn walk() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "it makes an account and servers: run it as root"
    );
    let site = Site::new()?;
    let folder = site.path().to_owned();
    take_away_when_interrupted(folder.clone())?;
    let outcome = story(&site);
    host::take_away();
    host::stop(&folder);
    end_processes_below(&folder);
    host::take_away_log_socket();
    if std::env::var_os("WALKTHROUGH_KEEP").is_some() {
        println!("kept: {}", site.keep().display());
    }
    outcome
}

/// Ctrl-C ends it wherever it is: the account goes, and its processes.
fn take_away_when_interrupted(folder: PathBuf) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        host::take_away();
        host::stop(&folder);
        end_processes_below(&folder);
        host::take_away_log_socket();
        std::process::exit(130);
    });
    Ok(())
}

fn story(site: &Site) -> anyhow::Result<()> {
    let begun = Instant::now();
    println!(
        "\n▸ servers of this host: sshd, nginx with ModSecurity and PHP, PostgreSQL with pgaudit"
    );
    let host = Host::start(site.path())?;
    println!("\n▸ a collector, and an agent that reads their logs and watches their files");
    let collector = site.collector("")?;
    let _agent = collector.agent("agent", SYSTEM, &host.sources())?;
    // The first look at all watched files is what later changes are measured by.
    std::thread::sleep(Duration::from_secs(5));

    let mut told = Told::default();
    for step in attack::STEPS {
        println!("\n▸ {}", step.what);
        let started = Instant::now();
        (step.run)(&host)?;
        println!("    ({:.1} s)", started.elapsed().as_secs_f64());
        told.until(&collector, step.expected)?;
    }
    println!("\n▸ all of it, as the officers have it");
    told.rest(&collector)?;
    collector.must(&["verify", "--data", &collector.data().display().to_string()])?;
    println!("    history verifies");
    println!("    {} alerts in {:.0} s", told.seen.len(), begun.elapsed().as_secs_f64());
    Ok(())
}

/// Alerts that were shown.
#[derive(Default)]
struct Told {
    seen: BTreeSet<String>,
    titles: BTreeSet<String>,
}

impl Told {
    /// Shows alerts as they come until each of the expected rules has told.
    fn until(&mut self, collector: &Collector, expected: &[&str]) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            self.show(collector)?;
            let missing: Vec<&&str> =
                expected.iter().filter(|title| !self.titles.contains(**title)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("nothing told of: {missing:?}; the collector says:\n{}", collector.log());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Shows what still comes.
    fn rest(&mut self, collector: &Collector) -> anyhow::Result<()> {
        std::thread::sleep(Duration::from_secs(2));
        self.show(collector)?;
        for alert in alerts(collector)? {
            println!(
                "    {} [{}] {} ({}): {} events{}",
                text(&alert["first_seen"]),
                text(&alert["rule"]["level"]),
                text(&alert["rule"]["title"]),
                text(&alert["entity"]["value"]),
                alert["count"],
                related(&alert),
            );
        }
        Ok(())
    }

    fn show(&mut self, collector: &Collector) -> anyhow::Result<()> {
        for alert in alerts(collector)? {
            self.titles.insert(text(&alert["rule"]["title"]).to_owned());
            if !self.seen.insert(text(&alert["id"]).to_owned()) {
                continue;
            }
            println!(
                "    ALERT [{}] {} / {} ({} = {}){}",
                text(&alert["rule"]["level"]),
                text(&alert["rule"]["title"]),
                text(&alert["rule"]["title_zh"]),
                text(&alert["entity"]["type"]),
                text(&alert["entity"]["value"]),
                related(&alert),
            );
            let evidence = alert["evidence"].as_array().and_then(|all| all.last());
            let line = evidence.map_or("", |evidence| text(&evidence["text"]));
            let line: String = line.chars().take(220).collect();
            println!("          {}", line.replace('\n', "\n          "));
        }
        Ok(())
    }
}

fn related(alert: &Value) -> String {
    match alert["related"].as_array().map_or(0, Vec::len) {
        0 => String::new(),
        more => format!(" and {more} related rules"),
    }
}

/// Every alert, oldest first.
fn alerts(collector: &Collector) -> anyhow::Result<Vec<Value>> {
    let list = json!({"Alerts": {"List": {"all": false, "review": false, "limit": 1000}}});
    let mut alerts = collector.ask(&list)?;
    alerts.sort_by_key(|alert| text(&alert["id"]).to_owned());
    Ok(alerts)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A program that must be there.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/postgresql/15/bin"];
    let found = folders.iter().map(|folder| PathBuf::from(folder).join(name));
    match found.clone().find(|path| path.exists()) {
        Some(path) => Ok(path),
        None => bail!("`{name}` is missing: ./packaging/install-deps.sh walkthrough"),
    }
}

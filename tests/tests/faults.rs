//! Faults of the machine below: power cuts, full disks, disks that fail, flipped bits. Both daemons
//! are real; what they stand on is not. Whatever happens, what an agent was told to be stored is held
//! once, `verify` finds nothing, and it goes on by itself.
//!
//! `make test` runs a short form of each and says why where it can't (file systems are mounted on loop
//! devices: that takes root); `make torture` the long one. See `faults.rs` of the harness for seeds.

#[path = "faults/errors.rs"]
mod errors;
#[path = "faults/flips.rs"]
mod flips;
#[path = "faults/full.rs"]
mod full;
#[path = "faults/power.rs"]
mod power;

use std::time::Duration;

use hengwei_tests::faults::Lines;
use hengwei_tests::faults::volume::{Medium, Volume};
use hengwei_tests::{Agent, Collector, Site};

/// Small log files, so that something is sealed all the time.
const SEAL_ALL_THE_TIME: &str = "\n[history]\nseal_bytes = 131072\n";

/// A collector and an agent, with data on file systems of their own, and two logs of different kinds.
struct Ward {
    // Daemons go before what they stand on, and both before the folder.
    agent: Agent,
    collector: Collector,
    spool: Option<Volume>,
    store: Volume,
    logs: [Lines; 2],
    _site: Site,
}

/// What a test does its worst to.
struct Parts<'a> {
    agent: &'a mut Agent,
    collector: &'a mut Collector,
    store: &'a mut Volume,
    spool: Option<&'a mut Volume>,
}

impl Ward {
    /// Both running. None where no file system can be mounted. Without `spool_mib` the spool lies with
    /// the logs.
    fn new(store_mib: u64, spool_mib: Option<u64>, medium: Medium) -> anyhow::Result<Option<Ward>> {
        let site = Site::new()?;
        let volume = |name: &str, mib| {
            Volume::new(site.path(), &site.path().join(name).join("data"), mib, medium)
        };
        let Some(store) = volume("collector", store_mib)? else { return Ok(None) };
        let spool = match spool_mib {
            Some(mib) => volume("agent", mib)?,
            None => None,
        };
        let logs = logs(&site)?;
        let collector = site.collector(SEAL_ALL_THE_TIME)?;
        let agent = collector.agent("agent", "his", &sources(&logs))?;
        // What was made to set them up is no part of the test.
        store.sync()?;
        spool.as_ref().map_or(Ok(()), Volume::sync)?;
        Ok(Some(Ward { agent, collector, spool, store, logs, _site: site }))
    }

    /// Runs `act` while both logs are written to; then every line must be held once, and verified.
    fn live(
        &mut self,
        seed: u64,
        pause: Duration,
        act: impl FnOnce(Parts<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let lived = self.live_and_check(seed, pause, act);
        if lived.is_err() {
            eprintln!("--- collector log\n{}", last_lines(&self.collector.log()));
            eprintln!("--- agent log\n{}", last_lines(&self.agent.log()));
        }
        lived
    }

    fn live_and_check(
        &mut self,
        seed: u64,
        pause: Duration,
        act: impl FnOnce(Parts<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let [one, other] = &self.logs;
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let writers =
                [one, other].map(|log| scope.spawn(move || log.keep_writing(seed, pause)));
            let acted = act(Parts {
                agent: &mut self.agent,
                collector: &mut self.collector,
                store: &mut self.store,
                spool: self.spool.as_mut(),
            });
            one.stop();
            other.stop();
            for writer in writers {
                writer.join().expect("the writer does not panic")?;
            }
            acted
        })?;
        for log in &self.logs {
            log.must_be_held_once(&self.collector, &self.agent)?;
        }
        hengwei_tests::faults::must_verify(&self.collector)
    }

    /// Lines written to both logs.
    fn lines(&self) -> u64 {
        self.logs.iter().map(Lines::written).sum()
    }
}

/// Two logs of a site, one of each kind that lines can have.
fn logs(site: &Site) -> anyhow::Result<[Lines; 2]> {
    let at = |name: &str| site.path().join("logs").join(name);
    Ok([Lines::new(&at("app.log"), "ordinary")?, Lines::new(&at("auth.log"), "guarded")?])
}

fn sources([log, security]: &[Lines; 2]) -> String {
    format!("\n[sources.files]\n{}{}", log.source("log"), security.source("security"))
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

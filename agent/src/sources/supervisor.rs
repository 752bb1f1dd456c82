//! Runs the sources: one task each, started again with a growing pause when it fails, its failures in
//! the log and in `hengwei-agent status`. It knows of a source only what the table says.
//!
//! A source that failed is configured anew, so nothing of a broken state survives; before that the
//! supervisor waits until all it sent is on disk, so it goes on behind its last record and not before.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Context, Output, Reports, Source};
use crate::backoff::Backoff;
use crate::spool::Spool;

/// How long a source may take over its last chunk.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// A source that ran so long is well again: the pause begins anew.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// The report under which the supervisor shows a failure.
const REPORT: &str = "source";

/// A source's line in the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name: in the configuration, in records, in `status`.
    pub name: &'static str,
    /// Whether what it reads stays where it is while the spool is full.
    pub can_wait: bool,
    configure: Configure,
}

type Configure = fn(Option<toml::Value>) -> anyhow::Result<Option<Box<dyn Observer>>>;
type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A source whose type is forgotten.
pub trait Observer: Send {
    /// See [`Source::unreadable`].
    fn unreadable(&self, root: &Path) -> Vec<String>;
    /// See [`Source::run`].
    fn observe(self: Box<Self>, context: Context) -> Running;
}

impl<S: Source> Observer for S {
    fn unreadable(&self, root: &Path) -> Vec<String> {
        Source::unreadable(self, root)
    }

    fn observe(mut self: Box<Self>, context: Context) -> Running {
        Box::pin(async move { self.run(context).await })
    }
}

impl Entry {
    /// The line of source `S`.
    pub const fn of<S: Source>(name: &'static str) -> Entry {
        Entry { name, can_wait: S::CAN_WAIT, configure: configure::<S> }
    }

    /// The source as its section says, or by default; None when there is nothing to do. Reads
    /// nothing of the host.
    pub fn configure(
        &self,
        section: Option<toml::Value>,
    ) -> anyhow::Result<Option<Box<dyn Observer>>> {
        (self.configure)(section)
    }
}

fn configure<S: Source>(section: Option<toml::Value>) -> anyhow::Result<Option<Box<dyn Observer>>> {
    let config = match section {
        Some(section) => section.try_into().map_err(one_line)?,
        None => S::Config::default(),
    };
    Ok(S::configure(config)?.map(|source| -> Box<dyn Observer> { Box::new(source) }))
}

/// TOML's errors quote the text on lines of their own; of a section only the message is of use.
fn one_line(error: toml::de::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message().trim().replace('\n', " "))
}

/// A source for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// `running`, `waiting` (to be started again), `off` or `stopped`.
    pub state: String,
    /// How often it was started again.
    pub restarts: u64,
    /// What it reports, and its last failure.
    pub reports: std::collections::BTreeMap<String, String>,
}

/// Watches one source.
#[derive(Debug)]
struct Supervised {
    name: &'static str,
    reports: Reports,
    life: Arc<Mutex<(&'static str, u64)>>,
    task: Option<JoinHandle<()>>,
}

/// All sources that run.
#[derive(Debug)]
pub struct Supervisor {
    sources: Vec<Supervised>,
}

/// Starts every source of `table` that `section` gives something to do. Each stops with `stop`.
pub fn supervise(
    table: &[Entry],
    section: impl Fn(&str) -> Section,
    root: &Path,
    spool: &Spool,
    stop: &CancellationToken,
) -> Supervisor {
    let sources = table.iter().map(|entry| {
        let section = section(entry.name);
        let reports = Reports::default();
        let life = Arc::new(Mutex::new(("off", 0)));
        let output = Output::new(entry.name, entry.can_wait, spool.clone(), Arc::clone(&reports));
        let keeper = Keeper {
            entry: *entry,
            section: section.config,
            root: root.to_owned(),
            spool: spool.clone(),
            output,
            stop: stop.clone(),
            life: Arc::clone(&life),
        };
        let task = section.enabled.then(|| tokio::spawn(keeper.keep()));
        Supervised { name: entry.name, reports, life, task }
    });
    Supervisor { sources: sources.collect() }
}

/// What the configuration has to say of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Whether it runs.
    pub enabled: bool,
    /// Its own keys; None when it has no section.
    pub config: Option<toml::Value>,
}

impl Supervisor {
    /// Every source for an operator.
    pub fn status(&self) -> Vec<Status> {
        self.sources.iter().map(Supervised::status).collect()
    }

    /// Takes the tasks, to wait for them while the status can still be asked.
    pub fn take_tasks(&mut self) -> Vec<JoinHandle<()>> {
        self.sources.iter_mut().filter_map(|source| source.task.take()).collect()
    }
}

impl Supervised {
    fn status(&self) -> Status {
        let (state, restarts) = *self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { name: self.name.to_owned(), state: state.to_owned(), restarts, reports }
    }
}

/// Keeps one source running.
struct Keeper {
    entry: Entry,
    section: Option<toml::Value>,
    root: PathBuf,
    spool: Spool,
    output: Output,
    stop: CancellationToken,
    life: Arc<Mutex<(&'static str, u64)>>,
}

impl Keeper {
    async fn keep(self) {
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            let source = match self.entry.configure(self.section.clone()) {
                Ok(Some(source)) => source,
                Ok(None) => return self.set("off"),
                // The configuration was checked before anything started.
                Err(error) => return self.fail(&format!("{error:#}"), None),
            };
            self.set("running");
            let began = Instant::now();
            let ended = self.run(source, began).await;
            if self.stop.is_cancelled() {
                break;
            }
            if began.elapsed() >= WELL_AFTER {
                backoff.reset();
            }
            let why = match ended {
                Ok(()) => "ended without being asked".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            let pause = backoff.next_pause();
            self.fail(&why, Some(pause));
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            // What it sent must be on disk before it asks where to go on.
            tokio::select! {
                () = self.stop.cancelled() => break,
                flushed = self.spool.flush() => if flushed.is_err() { break },
            }
            self.restarted();
        }
        self.set("stopped");
    }

    /// Runs a source to its end, however it comes.
    async fn run(&self, source: Box<dyn Observer>, began: Instant) -> anyhow::Result<()> {
        let context = Context {
            root: self.root.clone(),
            output: self.output.clone(),
            stop: self.stop.clone(),
        };
        let mut task = tokio::spawn(source.observe(context));
        let well = tokio::time::sleep_until(began + WELL_AFTER);
        tokio::pin!(well);
        let mut ended = None;
        while ended.is_none() {
            tokio::select! {
                joined = &mut task => ended = Some(joined),
                () = self.stop.cancelled() => ended = Some(self.stopped(&mut task).await),
                () = &mut well, if !well.is_elapsed() => self.output.report(REPORT, None),
            }
        }
        match ended {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(panicked(error)),
            None => Ok(()),
        }
    }

    /// Waits for a source that was asked to stop.
    async fn stopped(
        &self,
        task: &mut JoinHandle<anyhow::Result<()>>,
    ) -> Result<anyhow::Result<()>, JoinError> {
        match tokio::time::timeout(STOP_PATIENCE, &mut *task).await {
            Ok(joined) => joined,
            Err(_) => {
                // All or nothing of each chunk is kept, so it can be ended anywhere.
                tracing::warn!(source = self.entry.name, "the source did not stop and is ended");
                task.abort();
                Ok(Ok(()))
            }
        }
    }

    fn set(&self, state: &'static str) {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).0 = state;
    }

    fn restarted(&self) {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
    }

    fn fail(&self, why: &str, pause: Option<Duration>) {
        let source = self.entry.name;
        self.set(if pause.is_some() { "waiting" } else { "stopped" });
        let again = pause.map_or(String::new(), |pause| {
            format!("; starts again in {:.1} s", pause.as_secs_f64())
        });
        tracing::error!(source, "the source failed: {why}{again}");
        self.output.report(REPORT, Some(format!("failed: {why}{again}")));
    }
}

fn panicked(error: JoinError) -> anyhow::Error {
    let Ok(panic) = error.try_into_panic() else { return anyhow::anyhow!("was cancelled") };
    let text = text_of(panic.as_ref());
    anyhow::anyhow!("panicked: {text}")
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hengwei_protocol::Kind;
    use tempfile::TempDir;

    use super::super::{Chunk, NewRecord};
    use super::*;
    use crate::spool::Options;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        lines: u64,
        idle: bool,
    }

    /// Sends lines one by one and fails in a different way after each third one.
    struct Flaky {
        lines: u64,
    }

    static STARTS: AtomicUsize = AtomicUsize::new(0);

    impl Source for Flaky {
        type Config = Settings;
        const CAN_WAIT: bool = true;

        fn configure(config: Settings) -> anyhow::Result<Option<Flaky>> {
            anyhow::ensure!(config.lines < 1000, "lines: {} are too many: give less", config.lines);
            Ok((!config.idle).then_some(Flaky { lines: config.lines }))
        }

        fn unreadable(&self, root: &Path) -> Vec<String> {
            vec![format!("{}: no", root.display())]
        }

        async fn run(&mut self, context: Context) -> anyhow::Result<()> {
            let start = STARTS.fetch_add(1, Ordering::SeqCst);
            let from = context.output.position("at").map_or(0, |at| u64::from(at[0]));
            for n in from..self.lines {
                let record = NewRecord::line(1, n.to_string().into());
                let at = u8::try_from(n + 1)?;
                let chunk = Chunk {
                    kind: Kind::Log,
                    origin: Arc::default(),
                    records: vec![record],
                    position: Some(("at".to_owned(), vec![at].into())),
                };
                context.output.send(chunk).await?;
                if n % 3 == 2 {
                    match start % 3 {
                        0 => anyhow::bail!("could not go on"),
                        1 => panic!("a bug at {n}"),
                        _ => return Ok(()),
                    }
                }
            }
            context.output.report("done", Some("all sent".to_owned()));
            context.stop.cancelled().await;
            Ok(())
        }
    }

    const TABLE: &[Entry] = &[Entry::of::<Flaky>("flaky"), Entry::of::<Flaky>("other")];

    fn section(text: &str) -> Section {
        let table: toml::Table = text.parse().expect("TOML");
        Section { enabled: true, config: Some(table.into()) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_every_way_goes_on_behind_its_last_record() {
        let dir = TempDir::new().expect("a folder");
        let spool = Spool::open(dir.path(), &Options::default()).expect("opens");
        let stop = CancellationToken::new();
        let sections = |name: &str| match name {
            "flaky" => section("lines = 20"),
            _ => section("idle = true"),
        };
        let mut supervisor = supervise(TABLE, sections, Path::new("/"), &spool, &stop);
        let mut failures = Vec::new();
        loop {
            let status = &supervisor.status()[0];
            if let Some(failure) = status.reports.get(REPORT)
                && failures.last() != Some(failure)
            {
                failures.push(failure.clone());
            }
            if status.reports.contains_key("done") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let status = supervisor.status();
        assert_eq!((status[0].state.as_str(), status[0].restarts), ("running", 6));
        assert_eq!(status[1].state, "off");
        for part in [
            "failed: could not go on; starts again in",
            "panicked: a bug at 5",
            "ended without being asked",
        ] {
            assert!(failures.iter().any(|failure| failure.contains(part)), "{part}: {failures:?}");
        }
        spool.flush().await.expect("flushes");
        let slice = spool.read(Kind::Log, 1, 1 << 20).expect("reads").expect("some");
        assert_eq!(slice.next, 21, "every line once");
        tokio::time::sleep(WELL_AFTER).await;
        assert!(!supervisor.status()[0].reports.contains_key(REPORT), "it is well again");
        stop.cancel();
        for task in supervisor.take_tasks() {
            task.await.expect("ends");
        }
        assert_eq!(supervisor.status()[0].state, "stopped");
    }

    #[test]
    fn a_section_is_checked_by_its_source() {
        let check = |text: &str, expected: &str| {
            let error = TABLE[0].configure(section(text).config).err().map(|e| e.to_string());
            assert!(error.as_ref().is_some_and(|e| e.starts_with(expected)), "{text}: {error:?}");
        };
        check("lines = 5000", "lines: 5000 are too many");
        check("linez = 5", "unknown field `linez`");
        check("lines = 'x'", "invalid type");
        let source = TABLE[0].configure(None).expect("the default works").expect("runs");
        assert_eq!(source.unreadable(Path::new("/r")), ["/r: no"]);
        assert!(TABLE[0].can_wait);
    }
}

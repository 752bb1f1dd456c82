//! Changes of files that decide who may do what on a host.
//!
//! In: the configured paths. Out: one record per file created, changed, deleted or given other
//! attributes, with its SHA-256, owner and mode before and after, and whether the content is what the
//! owning package brought. The baseline is kept in this source's positions, one per path, so that a
//! difference and the new baseline are stored together or not at all; what changed while the agent was
//! stopped is found when it starts. It never sends content, and does not judge: an upgrade is told like an
//! intrusion, only with `hengwei.fim.package_match`.
//!
//! `scope` says which paths, `look` what is at one, `packages` whose it is, `event` what is told, and
//! `engine` keeps the baseline. This file waits: for the kernel's word, and without it by scans. Every
//! half minute everything is looked at from outside (an overflowing event queue, a folder that could not
//! be watched); now and then every file is read again, slowly, because times can be forged.

mod engine;
mod event;
mod look;
mod packages;
mod scope;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Context, Source};
use crate::time::Now;
use engine::Engine;
use scope::Scope;

/// How often everything is looked at from outside.
const QUICK_SCAN_INTERVAL: Duration = Duration::from_secs(30);
/// At most so often after a folder on the way to a guarded path came or went.
const REWATCH_INTERVAL: Duration = Duration::from_secs(1);
/// What a scan reads per second.
const SCAN_BYTES_PER_SEC: u64 = 5 << 20;
/// The pause between steps of a scan that read nothing.
const SCAN_PAUSE: Duration = Duration::from_millis(5);
/// Notices of change kept for looking at; beyond it everything is looked at.
const NOTICES: usize = 4_096;

/// `[sources.integrity]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Files and folders (with all below them), absolute, with `*`, `?`, `[…]` and `**`; `~/` is the
    /// home of every account.
    pub paths: Vec<String>,
    /// What is left out: absolute patterns, or bare names that are left out wherever they are.
    pub exclude: Vec<String>,
    /// Files beyond it are known by size and times only.
    pub max_file_bytes: u64,
    /// How often every file is read again.
    pub full_scan_secs: u64,
}

impl Default for Config {
    fn default() -> Config {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Config {
            paths: texts(&[
                "/etc/ssh",
                "/etc/pam.d",
                "/etc/security",
                "/etc/sudoers",
                "/etc/sudoers.d",
                "/etc/passwd",
                "/etc/group",
                "/etc/shadow",
                "/etc/gshadow",
                "/etc/crontab",
                "/etc/cron.*",
                "/var/spool/cron",
                "/etc/systemd/system",
                "/usr/lib/systemd/system",
                "/etc/ld.so.preload",
                "/etc/profile",
                "/etc/profile.d",
                "/etc/bash.bashrc",
                "/etc/bashrc",
                "/root/.bashrc",
                "/root/.bash_profile",
                "/root/.profile",
                "/etc/rc.local",
                "/etc/rc.d/rc.local",
                "/etc/init.d",
                "/etc/udev/rules.d",
                "/etc/update-motd.d",
                "/etc/NetworkManager/dispatcher.d",
                "/etc/apt/apt.conf.d",
                "/etc/modules-load.d",
                "/etc/modprobe.d",
                "/etc/audit",
                "/etc/rsyslog.conf",
                "/etc/rsyslog.d",
                "/etc/systemd/journald.conf",
                "/usr/lib/*/security",
                "/usr/lib64/security",
                "/var/spool/at",
                "/root/.ssh",
                "~/.ssh/authorized_keys",
                "~/.ssh/authorized_keys2",
            ]),
            exclude: texts(&["*.swp", "*.swx", "*~", ".#*", "*.dpkg-new", "*.dpkg-tmp", "*.lock"]),
            max_file_bytes: 64 << 20,
            full_scan_secs: 12 * 3_600,
        }
    }
}

/// The source.
#[derive(Debug)]
pub struct Integrity {
    scope: Arc<Scope>,
    max_file_bytes: u64,
    full_scan: Duration,
}

impl Source for Integrity {
    type Config = Config;
    const CAN_WAIT: bool = true;

    fn configure(config: Config) -> anyhow::Result<Option<Integrity>> {
        anyhow::ensure!(
            config.full_scan_secs >= 60,
            "sources.integrity.full_scan_secs is below 60: every file is read each time"
        );
        let scope = Scope::parse(&config.paths, &config.exclude)?;
        Ok((!config.paths.is_empty()).then(|| Integrity {
            scope: Arc::new(scope),
            max_file_bytes: config.max_file_bytes,
            full_scan: Duration::from_secs(config.full_scan_secs),
        }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        let remedy = "let the agent read it (CAP_DAC_READ_SEARCH)";
        let problem = |path: PathBuf| {
            let metadata = std::fs::symlink_metadata(&path).ok()?;
            let error = if metadata.is_dir() {
                std::fs::read_dir(&path).err()?
            } else if metadata.is_file() {
                std::fs::File::open(&path).err()?
            } else {
                return None;
            };
            Some(format!("{}: cannot be read: {error}; {remedy}", path.display()))
        };
        self.scope.resolve(root).tops().into_iter().filter_map(problem).collect()
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        let positions = context.output.positions("");
        let scope = Arc::clone(&self.scope);
        let mut engine = Engine::new(scope, &context.root, self.max_file_bytes, positions);
        let mut watch = Watch::new();
        let mut quick = Instant::now();
        let mut full = Instant::now() + self.full_scan;
        let mut rewatch = Some(Instant::now());
        loop {
            let now = Instant::now();
            if rewatch.is_some_and(|due| due <= now) {
                rewatch = None;
                // Watched first, scanned then: what happens in between is heard.
                watch.follow(&engine);
                quick = now;
            }
            if !engine.is_scanning() && quick <= now {
                let is_full = full <= now;
                engine.begin_scan(is_full);
                quick = now + QUICK_SCAN_INTERVAL;
                full = if is_full { now + self.full_scan } else { full };
            }
            let (back, read) = blocking(engine, work).await?;
            engine = back;
            for (what, problem) in engine.take_reports() {
                context.output.report(&what, problem);
            }
            while let Some(chunk) = engine.pop() {
                let sent = tokio::select! {
                    biased;
                    sent = context.output.send(chunk) => sent,
                    () = context.stop.cancelled() => return Ok(()),
                };
                if sent.is_err() {
                    return Ok(());
                }
            }
            let wake = wake(&engine, read, quick, rewatch);
            tokio::select! {
                () = context.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(wake.into()) => {}
                Some(event) = watch.notices.recv() => {
                    let mut folder_changed = watch.notice(&mut engine, &event);
                    while let Ok(event) = watch.notices.try_recv() {
                        folder_changed |= watch.notice(&mut engine, &event);
                    }
                    if folder_changed && rewatch.is_none() {
                        rewatch = Some(Instant::now() + REWATCH_INTERVAL);
                    }
                }
            }
            if watch.overflow.swap(false, Ordering::Relaxed) {
                rewatch = Some(Instant::now());
            }
        }
    }
}

/// What is due, and a step of the scan; the bytes it read.
fn work(engine: &mut Engine) -> usize {
    let now = Now::read();
    if engine.next_due().is_some_and(|due| due <= now.steady) {
        engine.settle(now);
    }
    if engine.is_scanning() { engine.scan_step(now) } else { 0 }
}

/// When to go on without being woken.
fn wake(engine: &Engine, read: usize, quick: Instant, rewatch: Option<Instant>) -> Instant {
    let pause = if engine.is_scanning() {
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        let owed = Duration::from_micros(read.saturating_mul(1_000_000) / SCAN_BYTES_PER_SEC);
        Instant::now() + SCAN_PAUSE.max(owed)
    } else {
        quick
    };
    [engine.next_due(), rewatch].into_iter().flatten().fold(pause, Instant::min)
}

/// Runs a step where a slow disk holds up nobody else.
async fn blocking<T: Send + 'static>(
    mut engine: Engine,
    step: impl FnOnce(&mut Engine) -> T + Send + 'static,
) -> anyhow::Result<(Engine, T)> {
    let stepped = tokio::task::spawn_blocking(move || {
        let result = step(&mut engine);
        (engine, result)
    });
    stepped.await.context("looking at guarded files panicked")
}

/// The kernel's word of changes.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    deep: BTreeSet<PathBuf>,
    flat: BTreeSet<PathBuf>,
    notices: mpsc::Receiver<notify::Event>,
    overflow: Arc<AtomicBool>,
}

impl Watch {
    fn new() -> Watch {
        let (sender, notices) = mpsc::channel(NOTICES);
        let overflow = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&overflow);
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) if !event.need_rescan() => {
                    if sender.try_send(event).is_err() {
                        flag.store(true, Ordering::Relaxed);
                    }
                }
                _ => flag.store(true, Ordering::Relaxed),
            });
        // Without inotify (no instances left) the scans still find everything, only later.
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "guarded paths are scanned, not watched"))
            .ok();
        Watch { watcher, deep: BTreeSet::new(), flat: BTreeSet::new(), notices, overflow }
    }

    /// Watches what the engine wants watched, and sets anew what was lost with its folder.
    fn follow(&mut self, engine: &Engine) {
        let Some(watcher) = &mut self.watcher else { return };
        let (deep, flat) = engine.folders();
        for gone in self.deep.difference(&deep).chain(self.flat.difference(&flat)) {
            // One that was deleted is no longer watched anyway.
            let _ = watcher.unwatch(gone);
        }
        for (folders, known, mode) in [
            (deep, &mut self.deep, RecursiveMode::Recursive),
            (flat, &mut self.flat, RecursiveMode::NonRecursive),
        ] {
            let mut watched = BTreeSet::new();
            for folder in folders {
                // Watching again is cheap, and reaches a folder that was replaced by another.
                if watcher.watch(&folder, mode).is_ok() {
                    watched.insert(folder);
                }
            }
            *known = watched;
        }
    }

    /// Passes an event on; true when a folder on the way to a guarded path may have come or gone.
    fn notice(&mut self, engine: &mut Engine, event: &notify::Event) -> bool {
        let now = Now::read();
        let mut folder = false;
        for path in &event.paths {
            folder |= engine.touched(path, now);
        }
        let comes_or_goes = matches!(
            event.kind,
            EventKind::Create(_)
                | EventKind::Remove(_)
                | EventKind::Modify(notify::event::ModifyKind::Name(_))
        );
        comes_or_goes && (folder || matches!(event.kind, EventKind::Remove(_)))
    }
}

#[cfg(test)]
mod tests;

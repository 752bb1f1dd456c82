//! Waiting for logs to change.
//!
//! In: the kernel's word that something changed in a folder, the time, and when the engine has a record
//! that waited long enough. Out: which logs to look at. It comes back every few seconds without a word
//! from the kernel, because network file systems, links to other folders and an overflowing event queue
//! say nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::engine::Engine;

/// How often every log is looked at although nothing was heard of it.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Writes that follow each other closer than this are read together.
const GATHER: Duration = Duration::from_millis(5);
/// How often folders are listed anew while they keep changing.
const DISCOVER_INTERVAL: Duration = Duration::from_millis(50);
/// Notices of change kept for reading; beyond it everything is looked at.
const NOTICES: usize = 4_096;

/// What to look at after a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Only at what was named as touched.
    Touched,
    /// At every folder and log.
    Everywhere,
}

/// The kernel's word of changes.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    notices: mpsc::Receiver<notify::Event>,
    overflow: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn new() -> anyhow::Result<Watch> {
        let (sender, notices) = mpsc::channel(NOTICES);
        let overflow = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&overflow);
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) => {
                    if sender.try_send(event).is_err() {
                        flag.store(true, Ordering::Relaxed);
                    }
                }
                Err(_) => flag.store(true, Ordering::Relaxed),
            });
        // Without inotify (no instances left) the poll still finds everything, only later.
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "log folders are polled, not watched"))
            .ok();
        Ok(Watch { watcher, folders: BTreeSet::new(), notices, overflow })
    }

    pub(super) fn follow(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // One that was deleted is no longer watched anyway.
            let _ = watcher.unwatch(gone);
        }
        let mut followed: BTreeSet<PathBuf> = BTreeSet::new();
        for folder in folders {
            let known = self.folders.contains(&folder);
            if known || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                followed.insert(folder);
            }
        }
        self.folders = followed;
    }

    /// Waits for a change, gathers those that come with it, and tells the engine.
    pub(super) async fn changed(&mut self, engine: &mut Engine, discovered: Instant) -> Look {
        let tick = discovered + POLL_INTERVAL;
        let due = engine.next_due().filter(|due| *due < tick);
        let first = tokio::select! {
            () = tokio::time::sleep_until(due.unwrap_or(tick).into()) => {
                return if due.is_some() { Look::Touched } else { Look::Everywhere };
            }
            Some(first) = self.notices.recv() => first,
        };
        tokio::time::sleep(GATHER).await;
        let mut look = self.notice(engine, &first);
        while let Ok(event) = self.notices.try_recv() {
            if self.notice(engine, &event) == Look::Everywhere {
                look = Look::Everywhere;
            }
        }
        if self.overflow.swap(false, Ordering::Relaxed) {
            look = Look::Everywhere;
        }
        if look == Look::Everywhere {
            let rest = DISCOVER_INTERVAL.saturating_sub(discovered.elapsed());
            tokio::time::sleep(rest).await;
        }
        look
    }

    fn notice(&mut self, engine: &mut Engine, event: &notify::Event) -> Look {
        if event.need_rescan() {
            return Look::Everywhere;
        }
        for path in &event.paths {
            engine.touched(path);
            // A folder that is deleted or moved takes its watch with it: it must be set anew.
            if matches!(event.kind, EventKind::Remove(_)) {
                self.folders.remove(path);
            }
        }
        match event.kind {
            EventKind::Modify(
                notify::event::ModifyKind::Data(_) | notify::event::ModifyKind::Metadata(_),
            ) => Look::Touched,
            _ => Look::Everywhere,
        }
    }
}

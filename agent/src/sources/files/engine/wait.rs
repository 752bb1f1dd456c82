//! Records that wait for a line that goes on with them.
//!
//! In: what is due in which log. Out: the logs that are to be read again although nothing was heard of
//! them. How long a record waits, its file says.

use std::path::Path;
use std::time::Instant;

use super::{Engine, Log, Now};
use crate::sources::files::tail::HOLD;

impl Engine {
    /// When the first record that waits is due.
    pub(in crate::sources::files) fn next_due(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    /// Has every record that waits go now: the agent stops.
    pub(in crate::sources::files) fn let_go(&mut self, now: Now) {
        self.ready.clear();
        for (path, log) in &mut self.logs {
            let lingering = log.lingering.iter_mut().map(|(tail, _)| tail);
            let tails = log.queue.front_mut().into_iter().chain(lingering);
            if tails.map(|tail| tail.let_go(now)).filter(|waits| *waits).count() > 0 {
                self.ready.push_back(path.clone());
            }
        }
    }

    /// Notes until when a log's record waits. One that could not be read when it was due waits anew.
    pub(super) fn wait(&mut self, path: &Path, now: Now) {
        match self.logs.get(path).and_then(Log::due) {
            Some(due) if due > now.steady => self.waiting.insert(path.to_owned(), due),
            Some(_) => self.waiting.insert(path.to_owned(), now.steady + HOLD),
            None => self.waiting.remove(path),
        };
    }

    /// Has the logs read whose records have waited long enough.
    pub(super) fn wake(&mut self, now: Now) {
        let due = self.waiting.iter().filter(|(_, due)| **due <= now.steady);
        let due: Vec<_> = due.map(|(path, _)| path.clone()).collect();
        for path in due {
            self.waiting.remove(&path);
            if !self.ready.contains(&path) {
                self.ready.push_back(path);
            }
        }
    }
}

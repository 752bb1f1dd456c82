//! Telling others of alerts: the table of channels, and the one frame that runs them all.
//!
//! In: the feed (tree `feed`, one row per change of an alert). Out: messages through [`Channel`]s, in
//! the order of the feed for each channel, at least once.
//!
//! The feed on disk is the queue, so it is bounded by nothing in memory and survives everything: a
//! channel has only a cursor (tree `settings`, key `notify.<channel>`), the sequence up to which all
//! was delivered. It is moved by a commit after a batch of [`BATCH`], so a crash repeats at most the
//! batch it was in, and never leaves one out. A channel that is configured for the first time begins
//! with the next change, not with years of history.
//!
//! An alert that changed several times within a batch is told once, as it is at the end of it: an
//! alert carries all its changes, so nothing is lost, and a channel that was down for a night is not
//! flooded in the morning.
//!
//! A channel only sends. Time-outs, back-off, counting and giving up on what a receiver will never
//! take are here, the same for all.

pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::accounts;
use crate::alerts::Alert;
use crate::console::Feed;
use crate::history::tree;
use crate::metrics::{LEVELS, Metrics};
use crate::store::{self, Decision, Judge, Store};

/// Every channel. To add one, write its file and name it here.
pub const CHANNELS: &[Entry] = &[Entry { name: "webhook", build: webhook::build }];

/// Changes read from the feed at once.
pub const BATCH: usize = 256;
/// Longest that one message may take, connecting included.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// First wait after a failure; doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
pub const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// Attempts at a message the receiver says it will never take.
pub const MAX_REJECTIONS: u32 = 5;

/// A channel of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its section of the configuration, its label in metrics.
    pub name: &'static str,
    /// Makes it from its section. Reads files, opens no connection.
    pub build: fn(toml::Table) -> anyhow::Result<Box<dyn Channel>>,
}

/// A way to tell somebody. It sends and reports; the frame does the rest.
pub trait Channel: Send + Sync {
    /// Delivers one message, or says why not.
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;
    /// The mildest level it is told of.
    fn min_level(&self) -> &str;
}

/// What becomes of sending.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// An alert as it was after a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// The change's place in the feed: the same message sent twice has the same.
    pub seq: u64,
    /// The alert.
    pub alert: Alert,
}

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Later it may: nobody there, too slow, a fault at the other end, wrong credentials.
    #[error("{0}")]
    Later(String),
    /// The receiver won't take this message, whenever it comes.
    #[error("{0}")]
    Rejected(String),
}

/// What came of an attempt, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It will be tried again.
    Failed,
    /// It never will be.
    GivenUp,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 3] = [Outcome::Delivered, Outcome::Failed, Outcome::GivenUp];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Failed => "failed",
            Outcome::GivenUp => "given-up",
        }
    }
}

/// A channel that is in the configuration.
pub struct Configured {
    name: &'static str,
    channel: Box<dyn Channel>,
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Configured({})", self.name)
    }
}

/// Makes the channels of section `[notify]`: a sub-table for each, under its name.
///
/// # Errors
/// No such channel, or its section is wrong; the message names it and the remedy.
pub fn configure(sections: toml::Table) -> anyhow::Result<Vec<Configured>> {
    sections.into_iter().map(|(name, section)| one(&name, section)).collect()
}

fn one(name: &str, section: toml::Value) -> anyhow::Result<Configured> {
    let known = CHANNELS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = CHANNELS.iter().map(|entry| entry.name).collect();
        anyhow::anyhow!("`[notify.{name}]`: no such channel; there are: {}", names.join(", "))
    })?;
    let toml::Value::Table(section) = section else {
        anyhow::bail!("`notify.{name}` must be a table: write `[notify.{name}]`");
    };
    let channel = (known.build)(section).with_context(|| format!("`[notify.{name}]`"))?;
    Ok(Configured { name: known.name, channel })
}

/// Reads a channel's section into its own type.
pub(crate) fn section<T: serde::de::DeserializeOwned>(section: toml::Table) -> anyhow::Result<T> {
    T::deserialize(toml::Value::Table(section))
        .map_err(|error| anyhow::anyhow!("{}", error.message()))
}

/// What channels need of the rest.
#[derive(Clone)]
pub struct Tools {
    /// Reads the feed and the cursors.
    pub store: Arc<dyn Store>,
    /// Moves the cursors.
    pub judge: Arc<dyn Judge>,
    /// Says that the feed has more.
    pub feed: Feed,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tools")
    }
}

/// Runs all channels, each at its own pace, until told to stop.
pub async fn run(channels: Vec<Configured>, tools: Tools, stop: CancellationToken) {
    let mut tasks = tokio::task::JoinSet::new();
    for configured in channels {
        let runner = Runner { configured, tools: tools.clone(), stop: stop.clone() };
        tasks.spawn(runner.run());
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!("a channel ended: {error}");
        }
    }
}

/// How far a channel is, as stored.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    delivered: u64,
}

/// One channel at work.
struct Runner {
    configured: Configured,
    tools: Tools,
    stop: CancellationToken,
}

impl Runner {
    async fn run(mut self) {
        let Some(mut delivered) = self.begin().await else { return };
        loop {
            // Seen before reading, so that a change after the read wakes us again.
            let newest = *self.tools.feed.borrow_and_update();
            self.waiting(newest.saturating_sub(delivered));
            let (messages, last) = self.read(delivered);
            if last > delivered {
                let reached = self.deliver(messages, last).await;
                if reached > delivered {
                    delivered = reached;
                    self.remember(delivered).await;
                }
                if self.stop.is_cancelled() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = self.tools.feed.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Where to begin; None when told to stop before that is known.
    async fn begin(&mut self) -> Option<u64> {
        let key = self.key();
        if let Some(cursor) =
            store::get::<Cursor>(&*self.tools.store, tree::SETTINGS, key.as_bytes())
        {
            return Some(cursor.delivered);
        }
        let newest = *self.tools.feed.borrow();
        self.remember(newest).await.then_some(newest)
    }

    fn key(&self) -> String {
        format!("notify.{}", self.configured.name)
    }

    fn waiting(&self, changes: u64) {
        self.tools.metrics.notify_queue(self.configured.name, changes);
    }

    /// The messages after `delivered`, and up to which sequence they reach.
    fn read(&self, delivered: u64) -> (Vec<Message>, u64) {
        let worst = |level: &str| LEVELS.iter().position(|known| *known == level);
        let limit = worst(self.configured.channel.min_level());
        let (mut messages, mut last, mut seen) = (Vec::<Message>::new(), delivered, 0);
        let from = (delivered + 1).to_be_bytes();
        self.tools.store.scan_from(tree::FEED, &from, &mut |key, value| {
            let Ok(seq) = key.try_into().map(u64::from_be_bytes) else { return true };
            last = seq;
            seen += 1;
            if let Some(alert) = store::parse::<Alert>(tree::FEED, value)
                && worst(&alert.rule.level) <= limit
            {
                messages.retain(|earlier| earlier.alert.id != alert.id);
                messages.push(Message { seq, alert });
            }
            seen < BATCH
        });
        (messages, last)
    }

    /// Sends in order and returns up to which sequence all is done: `last`, unless told to stop.
    async fn deliver(&self, messages: Vec<Message>, last: u64) -> u64 {
        for message in &messages {
            if !self.send(message).await {
                return message.seq - 1;
            }
        }
        last
    }

    /// Sends one message as often as it takes; false when told to stop before it arrived.
    async fn send(&self, message: &Message) -> bool {
        let name = self.configured.name;
        let (mut backoff, mut rejections) = (FIRST_BACKOFF, 0);
        loop {
            let sending = tokio::time::timeout(SEND_TIMEOUT, self.configured.channel.send(message));
            let sent = tokio::select! {
                () = self.stop.cancelled() => return false,
                sent = sending => sent.unwrap_or_else(|_| {
                    Err(Failure::Later(format!("no answer within {} s", SEND_TIMEOUT.as_secs())))
                }),
            };
            let Err(failure) = sent else {
                self.tools.metrics.notify_sent(name, Outcome::Delivered);
                return true;
            };
            rejections += u32::from(matches!(failure, Failure::Rejected(_)));
            if rejections >= MAX_REJECTIONS {
                self.give_up(message, &failure).await;
                return true;
            }
            self.tools.metrics.notify_sent(name, Outcome::Failed);
            tracing::warn!(
                "failed to tell {name} of alert {}: {failure}; trying again in {} s",
                message.alert.id,
                backoff.as_secs(),
            );
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(jittered(backoff)) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Notes in history that somebody was not told.
    async fn give_up(&self, message: &Message, failure: &Failure) {
        let name = self.configured.name;
        self.tools.metrics.notify_sent(name, Outcome::GivenUp);
        tracing::error!("gave up telling {name} of alert {}: {failure}", message.alert.id);
        let body = json!({
            "channel": name, "alert": message.alert.id, "seq": message.seq,
            "why": failure.to_string(),
        });
        let noted = store::transact(&*self.tools.judge, move |_, now| {
            Ok((accounts::decide(now, "collector", "notify.given-up", body, vec![]), ()))
        });
        if let Err(error) = noted.await {
            tracing::error!("failed to record that: {error}");
        }
    }

    /// Commits the cursor, as often as it takes; false when told to stop before.
    async fn remember(&self, delivered: u64) -> bool {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let key = self.key();
            let moved = store::transact(&*self.tools.judge, move |_, _| {
                let puts = vec![store::put(tree::SETTINGS, key, &Cursor { delivered })];
                Ok((Decision { entries: vec![], puts }, ()))
            });
            let Err(error) = moved.await else { return true };
            tracing::warn!("failed to keep the cursor of {}: {error}", self.configured.name);
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(jittered(backoff)) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

/// Half to all of it, so that collectors that failed together do not return together.
fn jittered(backoff: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole of it is as good.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    backoff - backoff.mul_f64(f64::from(byte[0]) / 512.0)
}

#[cfg(test)]
mod tests;

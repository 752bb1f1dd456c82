//! The rules in force, and how operators change them while the collector runs.
//!
//! What is in force is made of the site's own folders, the packs that are live, and the site's tuning
//! and lists ([`mod@load`]). Every change is an order ([`Order`]) that is carried out one after the
//! other: everything is read and compiled anew beside what runs; when that fails, what is in force
//! stays and the error says why. Else the judge records the order in history and goes on with the new
//! rules from that commit on ([`crate::judge::Desk::replace_rules`]): no event is missed, none is
//! judged twice, and half-filled windows of correlations stay.
//!
//! Which set is in force is in history at any time: each reload, and a start with other rules than the
//! collector ended with, is an entry with the set's digest.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::detect::Rules;
use crate::history::tree;
use crate::services::Services;
use crate::store::{self, Decision};
use crate::time;

mod files;
pub mod lists;
pub mod load;
pub mod tuning;

pub use load::Loaded;

/// The longest name of a pack or a version.
const MAX_NAME: usize = 64;
/// How often it is looked whether an override has ended.
const ROUND: Duration = Duration::from_secs(20);
/// Where the digest of the rules in force is, in tree `settings`.
const IN_FORCE: &[u8] = b"rules";
/// Who acts when nobody does.
const COLLECTOR: &str = "collector";

/// What is done with the rules in force.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum Order {
    /// Reads the rules anew, with the `[rules]` section of the configuration, tuning and lists
    ///
    /// When nothing of it compiles or a folder is missing, the rules in force stay.
    Reload,
}

/// What keeps orders in order.
#[derive(Debug)]
pub struct Office {
    turn: tokio::sync::Mutex<()>,
    /// When an override ends, Unix nanoseconds.
    until: AtomicI64,
}

impl Default for Office {
    fn default() -> Office {
        Office { turn: tokio::sync::Mutex::default(), until: AtomicI64::new(i64::MAX) }
    }
}

impl Office {
    fn note(&self, loaded: &Loaded) {
        self.until.store(loaded.until.unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

/// Carries an order out.
pub async fn execute(
    services: &Services,
    who: &str,
    order: Order,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    match order {
        Order::Reload => {
            anyhow::ensure!(
                services.runs,
                "a stopped collector has no rules in force: it reads them when it starts"
            );
            reload(services, who, "rules.reloaded", see).await
        }
    }
}

/// Puts what is on disk in force. `action` is what history calls it.
async fn reload(
    services: &Services,
    who: &str,
    action: &'static str,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let _turn = services.packs.turn.lock().await;
    let loaded = load_all(services).await?;
    let row = replace(services, who, action, &loaded, json!({})).await?;
    if see(row) {
        amiss(&loaded, see);
    }
    Ok(0)
}

/// The section of the configuration file as it is now.
fn settings(config: &Config) -> anyhow::Result<config::Rules> {
    match &config.path {
        Some(path) => Ok(Config::load(path)?.rules),
        None => Ok(config.rules.clone()),
    }
}

/// Reads and compiles what shall be in force.
async fn load_all(services: &Services) -> anyhow::Result<Loaded> {
    let config = std::sync::Arc::clone(&services.config);
    tokio::task::spawn_blocking(move || load_now(&settings(&config)?, time::now())).await?
}

/// The same, at a start or a check. Blocking.
pub fn load_now(settings: &config::Rules, now: i64) -> anyhow::Result<Loaded> {
    let (texts, unread) = load::site(settings)?;
    load::compile(settings, &texts, unread, now)
}

/// Has the judge go on with other rules, and records it; `more` is added to the entry. Returns what
/// changed.
async fn replace(
    services: &Services,
    who: &str,
    action: &'static str,
    loaded: &Loaded,
    more: Value,
) -> anyhow::Result<Value> {
    let mut row = difference(&services.desk.rules(), loaded);
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    let (actor, body) = (who.to_owned(), row.clone());
    let digest = loaded.rules.about().digest.clone();
    let decide = move |_: &crate::history::History, now| {
        let entries = vec![store::entry(now, &actor, action, &body)];
        let puts = vec![store::put(tree::SETTINGS, IN_FORCE, &digest)];
        Ok((Decision { entries, puts }, ()))
    };
    services.desk.replace_rules(std::sync::Arc::clone(&loaded.rules), decide).await?;
    services.packs.note(loaded);
    tell(services, loaded);
    let count = |name: &str| row[name].as_u64().unwrap_or_default();
    tracing::info!(
        who,
        rules = count("rules"),
        refused = count("refused"),
        new = count("new"),
        changed = count("changed"),
        gone = count("gone"),
        "other rules are in force"
    );
    Ok(row)
}

/// What two sets differ in, as it is shown and recorded.
fn difference(before: &Rules, loaded: &Loaded) -> Value {
    let (old, new) = (before.marks(), loaded.rules.marks());
    let added = new.keys().filter(|key| !old.contains_key(*key)).count();
    let changed = new.iter().filter(|(key, mark)| old.get(*key).is_some_and(|old| old != *mark));
    let gone = old.keys().filter(|key| !new.contains_key(*key)).count();
    json!({
        "rules": loaded.rules.set().rules().len(), "refused": loaded.refused.len(),
        "left_out": loaded.left_out.len(), "new": added, "changed": changed.count(), "gone": gone,
        "complaints": loaded.complaints.len(), "digest": loaded.rules.about().digest,
    })
}

/// Tells log and metrics what is in force, and what is amiss with it.
fn tell(services: &Services, loaded: &Loaded) {
    services.metrics.rules(loaded.rules.set().rules().len(), loaded.refused.len());
    for refused in &loaded.refused {
        tracing::warn!("rule refused: {refused}");
    }
    for complaint in &loaded.complaints {
        tracing::warn!("{complaint}");
    }
}

/// Shows what is amiss, one row each.
fn amiss(loaded: &Loaded, see: &mut (dyn FnMut(Value) -> bool + Send)) -> bool {
    loaded.complaints.iter().all(|text| see(json!({ "wrong": text })))
        && loaded.refused.iter().all(|text| see(json!({ "refused": text.to_string() })))
}

/// Records that a start put other rules in force than the collector ended with, and tells log and
/// metrics of them.
pub async fn started(services: &Services, loaded: &Loaded) {
    services.packs.note(loaded);
    tell(services, loaded);
    let digest = loaded.rules.about().digest.clone();
    let rules = json!({
        "rules": loaded.rules.set().rules().len(), "refused": loaded.refused.len(),
        "left_out": loaded.left_out.len(), "digest": digest,
    });
    let decide = move |history: &crate::history::History, now| {
        let known = store::get::<String>(history, tree::SETTINGS, IN_FORCE);
        if known.as_ref() == Some(&digest) {
            return Ok((Decision::default(), ()));
        }
        let entries = vec![store::entry(now, COLLECTOR, "rules.loaded", &rules)];
        let puts = vec![store::put(tree::SETTINGS, IN_FORCE, &digest)];
        Ok((Decision { entries, puts }, ()))
    };
    if let Err(error) = services.desk.transact(decide).await {
        tracing::warn!(%error, "history was not told which rules are in force");
    }
}

/// Reloads when an override ends, and at each SIGHUP, until stopped.
pub async fn keep(services: &Services, stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        let who = tokio::select! {
            _ = hangup.recv() => "signal:SIGHUP",
            stopped = time::stopped(&stop, ROUND) => {
                if stopped {
                    return Ok(());
                }
                if services.packs.until.load(Ordering::Relaxed) > time::now() {
                    continue;
                }
                COLLECTOR
            }
        };
        if let Err(error) = reload(services, who, "rules.reloaded", &mut |_| true).await {
            tracing::error!(who, "the rules in force stay as they are: {error:#}");
        }
    }
}

/// Whether a pack, or a version of one, may be called so: its name is a folder's.
pub fn check_name(what: &str, name: &str) -> anyhow::Result<()> {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    anyhow::ensure!(
        !name.is_empty()
            && name.len() <= MAX_NAME
            && name.chars().all(plain)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "{what}: `{name}` is no name: lower-case letters, digits, `-`, `_`, `.`, at most {MAX_NAME}"
    );
    Ok(())
}

//! Putting other rules in force: reload, start, and what every order ends with.
//!
//! In: what is on disk, and which packs shall be live. Out: the judge goes on with it, history has an
//! entry, log and metrics tell. When anything of it fails, all stays as it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::load::{self, Loaded, Text};
use super::store::{Live, Store};
use crate::config::{self, Config};
use crate::detect::Rules;
use crate::history::{History, tree};
use crate::services::Services;
use crate::store::{self as records, Decision};
use crate::time;

/// How often it is looked whether an override has ended.
const ROUND: Duration = Duration::from_secs(20);
/// Where the digest of the rules in force is, in tree `settings`.
const IN_FORCE: &[u8] = b"rules";
/// Where the packs in force are: a restored collector has this, and not the packs.
const PACKS: &[u8] = b"rules-packs";
/// Who acts when nobody does.
const COLLECTOR: &str = "collector";

/// Puts what is on disk in force.
pub(super) async fn reload(
    services: &Services,
    who: &str,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<()> {
    let live = Store::of(&services.config.data).live()?;
    let loaded = load_live(services, live).await?;
    let before = services.desk.rules();
    let row = replace(services, who, "rules.reloaded", &before, &loaded, json!({})).await?;
    if see(row) {
        amiss(&loaded, see);
    }
    Ok(())
}

/// The section of the configuration file as it is now.
pub(crate) fn settings(config: &Config) -> anyhow::Result<config::Rules> {
    match &config.path {
        Some(path) => Ok(Config::load(path)?.rules),
        None => Ok(config.rules.clone()),
    }
}

/// Reads and compiles what is in force when these packs are live. What can't be read is an error.
pub(super) async fn load_live(services: &Services, live: Live) -> anyhow::Result<Loaded> {
    let config = Arc::clone(&services.config);
    let load = move || load_packs(&config, &settings(&config)?, &live, time::now());
    tokio::task::spawn_blocking(load).await?
}

/// The same. Blocking.
pub(crate) fn load_packs(
    config: &Config,
    settings: &config::Rules,
    live: &Live,
    now: i64,
) -> anyhow::Result<Loaded> {
    let (mut texts, unread) = load::site(settings)?;
    let store = Store::of(&config.data);
    for (name, version) in live.versions() {
        texts.extend(pack(settings, &store, name, version)?);
    }
    let mut loaded = load::compile(settings, &texts, unread, now)?.some()?;
    loaded.packs = named(live);
    Ok(loaded)
}

/// The live versions by name.
fn named(live: &Live) -> BTreeMap<String, String> {
    live.versions().map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// The rules of a pack's version, as texts of a set.
pub(crate) fn pack(
    settings: &config::Rules,
    store: &Store,
    name: &str,
    version: &str,
) -> anyhow::Result<Vec<Text>> {
    let own = settings.packs.get(name).and_then(|pack| pack.threshold);
    let threshold = own.unwrap_or(settings.threshold);
    let rules = store.rules(name, version)?;
    let texts = rules.into_iter().map(|(path, text)| {
        let name = format!("{name}@{version}:{path}");
        Text { name, text, threshold }
    });
    Ok(texts.collect())
}

/// What is in force after a start. A pack that can't be read is a complaint: a collector that does not
/// start sees nothing at all. Blocking.
pub fn load_at_start(config: &Config, now: i64) -> anyhow::Result<Loaded> {
    let settings = &config.rules;
    let (mut texts, unread) = load::site(settings)?;
    let store = Store::of(&config.data);
    let mut complaints = Vec::new();
    let live = store.live().unwrap_or_else(|error| {
        complaints.push(format!("no pack is live: {error:#}"));
        Live::default()
    });
    for (name, version) in live.versions() {
        match pack(settings, &store, name, version) {
            Ok(pack) => texts.extend(pack),
            Err(error) => complaints.push(format!("pack {name} is not live: {error:#}")),
        }
    }
    let mut loaded = load::compile(settings, &texts, unread, now)?;
    loaded.complaints.splice(0..0, complaints);
    loaded.packs = named(&live);
    Ok(loaded)
}

/// Has the judge go on with other rules, and records it; `more` is added to the entry. Returns what
/// changed.
pub(super) async fn replace(
    services: &Services,
    who: &str,
    action: &'static str,
    before: &Rules,
    loaded: &Loaded,
    more: Value,
) -> anyhow::Result<Value> {
    let mut row = difference(before, loaded);
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    let (actor, body) = (who.to_owned(), row.clone());
    let (digest, packs) = (loaded.rules.about().digest.clone(), loaded.packs.clone());
    let decide = move |_: &History, now| {
        let entries = vec![records::entry(now, &actor, action, &body)];
        let puts = vec![
            records::put(tree::SETTINGS, IN_FORCE, &digest),
            records::put(tree::SETTINGS, PACKS, &packs),
        ];
        Ok((Decision { entries, puts }, ()))
    };
    services.desk.replace_rules(Arc::clone(&loaded.rules), decide).await?;
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
pub(super) fn difference(before: &Rules, loaded: &Loaded) -> Value {
    let (old, new) = (before.marks(), loaded.rules.marks());
    let added = new.keys().filter(|key| !old.contains_key(*key)).count();
    let changed = new.iter().filter(|(key, mark)| old.get(*key).is_some_and(|old| old != *mark));
    let gone = old.keys().filter(|key| !new.contains_key(*key)).count();
    json!({
        "rules": loaded.rules.set().rules().len(), "refused": loaded.refused.len(),
        "left_out": loaded.left_out.len(), "new": added, "changed": changed.count(), "gone": gone,
        "complaints": loaded.complaints.len(), "packs": loaded.packs,
        "digest": loaded.rules.about().digest,
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
pub(crate) fn amiss(loaded: &Loaded, see: &mut (dyn FnMut(Value) -> bool + Send)) -> bool {
    loaded.complaints.iter().all(|text| see(json!({ "wrong": text })))
        && loaded.refused.iter().all(|text| see(json!({ "refused": text.to_string() })))
}

/// Records that a start put other rules in force than the collector ended with, and tells log and
/// metrics of them.
pub async fn started(services: &Services, loaded: &Loaded) {
    services.packs.note(loaded);
    tell(services, loaded);
    let known: Option<BTreeMap<String, String>> =
        records::get(&services.history, tree::SETTINGS, PACKS);
    for (name, version) in known.into_iter().flatten() {
        if !loaded.packs.contains_key(&name) {
            tracing::error!(
                "pack {name}@{version} was live and is not there: import and activate it again"
            );
        }
    }
    let digest = loaded.rules.about().digest.clone();
    let rules = json!({
        "rules": loaded.rules.set().rules().len(), "refused": loaded.refused.len(),
        "left_out": loaded.left_out.len(), "digest": digest,
    });
    let decide = move |history: &History, now| {
        let known = records::get::<String>(history, tree::SETTINGS, IN_FORCE);
        if known.as_ref() == Some(&digest) {
            return Ok((Decision::default(), ()));
        }
        let entries = vec![records::entry(now, COLLECTOR, "rules.loaded", &rules)];
        let puts = vec![records::put(tree::SETTINGS, IN_FORCE, &digest)];
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
        let _turn = services.packs.turn.lock().await;
        if let Err(error) = reload(services, who, &mut |_| true).await {
            tracing::error!(who, "the rules in force stay as they are: {error:#}");
        }
    }
}

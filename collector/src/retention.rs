//! Keeping and removing: what retention makes due is decided like anything else, then done.
//!
//! In: history's own word on what is due, once an hour. Out: a commit that says what goes, by which
//! rule, and how the chain goes on; and only then the removal. Classes with a minimum that the
//! configuration keeps for less are written down, too, when that begins and when it ends, so that an
//! assessor finds who was told what, and when.
//!
//! It deletes nothing itself and knows no file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::history::{Entry, History, MINIMUM_DAYS, Policy, Removal, tree};
use crate::judge::Desk;
use crate::services::Services;
use crate::store::{self, Decision, Error, Store};
use crate::time;

/// How often it is looked whether anything is due.
const ROUND: Duration = Duration::from_secs(3600);
/// After the start others come first.
const SETTLE: Duration = Duration::from_secs(60);
/// Where the classes that are kept for less than their minimum are, in tree `settings`.
const SHORTENED: &[u8] = b"retention-shortened";
const ACTOR: &str = "collector";

/// Looks until stopped.
pub async fn run(services: Arc<Services>, stop: CancellationToken) {
    let (history, desk) = (&services.history, &services.desk);
    if let Err(error) = record_policy(history, desk).await {
        tracing::warn!(%error, "that records are kept for less than their minimum was not written down");
    }
    let mut wait = SETTLE;
    while !time::stopped(&stop, wait).await {
        wait = ROUND;
        match round(history, desk, time::now()).await {
            Ok(removals) => removals.iter().for_each(|removal| tell(&services, removal)),
            Err(error) => tracing::warn!(%error, "what is due stays until the next round"),
        }
    }
}

fn tell(services: &Services, removal: &Removal) {
    let class = removal.class.as_str();
    services.metrics.history_removed(class, removal.bytes);
    let Removal { segments, records, bytes, .. } = removal;
    let until = time::rfc3339(removal.until);
    tracing::info!(class, segments, records, bytes, until, "removed by retention");
}

/// Decides and removes what is due at `now`, Unix nanoseconds; returns what was removed.
///
/// # Errors
/// The decision was not committed, and nothing went; or it was and what it names is still there: then
/// the next round decides it again.
pub async fn round(history: &History, desk: &Desk, now: i64) -> Result<Vec<Removal>, Error> {
    let asked = history.clone();
    let asked = tokio::task::spawn_blocking(move || asked.retention_due(now));
    let due = asked.await.map_err(|_| Error::Busy("retention panicked".into()))?;
    if due.is_empty() {
        return Ok(due);
    }
    let bodies: Vec<String> = due.iter().map(Removal::body).collect();
    let decide = move |_: &_, now: i64| {
        let entries = bodies.into_iter().map(|body| Entry {
            time: now,
            actor: ACTOR.to_owned(),
            action: Removal::ENTRY.to_owned(),
            body,
        });
        Ok((Decision { entries: entries.collect(), puts: Vec::new() }, ()))
    };
    let (decided, ()) = desk.commit(decide).await?;
    let history = history.clone();
    let done = tokio::task::spawn_blocking(move || {
        history.remove(&due, decided).map(|()| due).map_err(|error| Error::Busy(error.to_string()))
    });
    done.await.map_err(|_| Error::Busy("removing panicked".into()))?
}

/// Writes down which classes are kept for less than their minimum, when that has changed.
///
/// # Errors
/// It was not committed.
pub async fn record_policy(history: &History, desk: &Desk) -> Result<(), Error> {
    let policy = history.policy().clone();
    desk.transact(move |history, now| Ok((shortened(history, &policy, now), ()))).await
}

fn shortened(store: &dyn Store, policy: &Policy, now: i64) -> Decision {
    let short: BTreeMap<String, u32> =
        policy.short().map(|(class, days)| (class.as_str().to_owned(), days)).collect();
    let known: BTreeMap<String, u32> =
        store::get(store, tree::SETTINGS, SHORTENED).unwrap_or_default();
    let mut decision = Decision::default();
    if short == known {
        return decision;
    }
    let entry = |action: &str, class: &str, days: u32| {
        let body = json!({"class": class, "days": days, "minimum_days": MINIMUM_DAYS});
        store::entry(now, ACTOR, action, &body)
    };
    for (class, days) in short.iter().filter(|(class, days)| known.get(*class) != Some(days)) {
        decision.entries.push(entry("retention.shortened", class, *days));
    }
    for class in known.keys().filter(|class| !short.contains_key(*class)) {
        decision.entries.push(entry("retention.restored", class, MINIMUM_DAYS));
    }
    decision.puts.push(store::put(tree::SETTINGS, SHORTENED, &short));
    decision
}

#[cfg(test)]
#[path = "retention/tests.rs"]
mod tests;

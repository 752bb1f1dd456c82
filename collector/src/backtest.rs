//! `rules backtest`: what a set of rules would have alerted on, had it been in force.
//!
//! In: a set and a time. Out: for each rule that matched what it matched, the alerts it would have
//! raised, about what, with examples; and the same of the rules in force, walked beside it, so that
//! what is new or noisier shows. Stored records are taken in the order of their commits, decoded as
//! today's decoders decode, and judged by a detector of its own that lives in memory: nothing is
//! written but that a backtest was made ([`crate::packs::store::Tested`], an entry in history).
//!
//! It differs from what would have been in two ways. It begins with empty windows, so that what began
//! before the time asked for is counted from there on; and no officer closes its alerts, so that one
//! alert an entity is the most a rule raises.
//!
//! On a running collector it is last in line: one at a time, on a thread of its own with the lowest
//! priority, which waits while the judge has work (a moment at most each time, so that it ends all
//! the same), and ends when whoever asked is gone. Memory is bounded by what [`tally`] keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::decode;
use crate::detect::{Batch, Rules};
use crate::event::Sender;
use crate::history::{History, Range, Stretch};
use crate::packs::store::{Pack, Store, Tested};
use crate::packs::{self, Loaded, load};
use crate::services::Services;
use crate::time;
use hengwei_protocol::Kind;

pub mod tally;

use tally::Lane;

/// How far back unless said otherwise.
const SINCE: &str = "7d";
/// How long it waits for the judge before it takes the next records all the same.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it waits before it looks whether the judge has work still.
const PAUSE: Duration = Duration::from_millis(2);
/// Time between two reports of progress.
const REPORT: Duration = Duration::from_secs(1);
/// Records that are decoded together.
const AT_ONCE: usize = 4096;
/// The lowest priority there is.
const NICE: i32 = 19;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Args)]
pub struct Asked {
    /// Records taken in at or after: RFC 3339, a date, or an age such as 2h
    #[arg(long, default_value = SINCE)]
    pub since: String,
    /// Records taken in before
    #[arg(long)]
    pub until: Option<String>,
    /// What would be in force with this pack: NAME, or NAME@VERSION
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub pack: Option<String>,
    /// Whether progress is shown.
    #[arg(skip)]
    #[serde(default)]
    pub progress: bool,
}

/// Carries the order out. `archive` has the rules of folders that take the place of all that is in
/// force; none when it is empty.
pub async fn order(
    services: &Services,
    who: &str,
    asked: Asked,
    archive: Vec<u8>,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let Ok(_one) = services.packs.backtest.try_lock() else {
        anyhow::bail!("a backtest runs already: one at a time, since it takes from what judges");
    };
    let now = time::now();
    let at = |text: &str| {
        time::parse_operator(text, now)
            .with_context(|| format!("`{text}` is no time: RFC 3339, a date, or an age such as 2h"))
    };
    let since = at(&asked.since)?;
    let until = asked.until.as_deref().map(at).transpose()?.unwrap_or(now);
    ensure!(
        since < until,
        "nothing is between {} and {}",
        time::rfc3339(since),
        time::rfc3339(until)
    );
    let progress = asked.progress;
    let Sets { candidate, in_force, pack } = sets(services, asked, archive).await?;
    if !packs::amiss(&candidate, see) {
        return Ok(0);
    }
    let history = services.history.clone();
    let desk = services.desk.clone();
    let walk =
        Walk { history: &history, since, until, progress, busy: &|| desk.waiting() > 0, wanted };
    let mut lanes = vec![Lane::new(Arc::clone(&candidate.rules))];
    lanes.extend(in_force.as_ref().map(|rules| Lane::new(Arc::clone(rules))));
    let outcome = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| scope.spawn(|| walk.run(&mut lanes, see)).join())
    });
    let walked = outcome.map_err(|_| anyhow::anyhow!("the backtest panicked: this is our bug"))?;
    if !walked.whole {
        return Ok(0);
    }
    let before = lanes.get(1);
    let found = summary(&walk, &walked, &lanes[0], before, &candidate, pack.as_ref());
    services.note(who, "rules.backtested", found.clone()).await?;
    if let Some(pack) = &pack {
        let number = |name: &str| found[name].as_u64().unwrap_or_default();
        let tested = Tested {
            at: time::rfc3339(time::now()),
            by: who.to_owned(),
            since: time::rfc3339(since),
            until: time::rfc3339(until),
            digest: pack.digest.clone(),
            events: walked.events,
            alerts: number("alerts"),
            alerts_before: number("alerts_before"),
        };
        Store::of(&services.config.data).set_tested(pack, &tested)?;
    }
    if tally::rows(&lanes[0], before).into_iter().all(&mut *see) {
        see(found);
    }
    Ok(0)
}

struct Sets {
    candidate: Loaded,
    /// None when that is what is tried.
    in_force: Option<Arc<Rules>>,
    pack: Option<Pack>,
}

/// The set to try, and what to compare it with.
async fn sets(services: &Services, asked: Asked, archive: Vec<u8>) -> anyhow::Result<Sets> {
    let config = Arc::clone(&services.config);
    let running = services.runs.then(|| services.desk.rules());
    let make = move || {
        let settings = packs::settings(&config)?;
        let store = Store::of(&config.data);
        let mut live = store.live()?;
        let pack = asked.pack.as_deref().map(|spec| pack_of(&store, spec)).transpose()?;
        let now = time::now();
        let in_force = match running {
            Some(rules) => rules,
            None => packs::load_packs(&config, &settings, &live, now)?.rules,
        };
        let candidate = if archive.is_empty() {
            if let Some(pack) = &pack
                && live.of(&pack.name) != Some(&pack.version)
            {
                live.turn(&pack.name, Some(&pack.version));
            }
            packs::load_packs(&config, &settings, &live, now)?
        } else {
            let content = packs::archive::read(&archive)?;
            let threshold = settings.threshold;
            let given = content.rules.into_iter();
            let mut texts: Vec<load::Text> = given
                .map(|(path, text)| load::Text { name: format!("given:{path}"), text, threshold })
                .collect();
            if let Some(Pack { name, version, .. }) = &pack {
                texts.extend(packs::pack(&settings, &store, name, version)?);
            }
            load::compile(&settings, &texts, Vec::new(), now)?.some()?
        };
        let same = in_force.about().digest == candidate.rules.about().digest;
        Ok(Sets { candidate, in_force: (!same).then_some(in_force), pack })
    };
    tokio::task::spawn_blocking(make).await?
}

/// The version of a pack that `NAME` or `NAME@VERSION` means: without one, the newest.
fn pack_of(store: &Store, spec: &str) -> anyhow::Result<Pack> {
    let (name, version) = match spec.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (spec, None),
    };
    let mut versions = store.versions(name)?;
    let found = match version {
        Some(version) => versions.into_iter().find(|pack| pack.version == version),
        None => versions.pop(),
    };
    found.with_context(|| format!("there is no pack `{spec}`: `rules packs` lists those there are"))
}

/// A walk over history.
struct Walk<'a> {
    history: &'a History,
    since: i64,
    until: i64,
    progress: bool,
    /// Whether the judge has work.
    busy: &'a (dyn Fn() -> bool + Sync),
    wanted: &'a (dyn Fn() -> bool + Sync),
}

/// How it went.
struct Walked {
    events: u64,
    took: Duration,
    /// Whether it came to its end.
    whole: bool,
}

impl Walk<'_> {
    /// Shows every record of the time to every lane.
    fn run(&self, lanes: &mut [Lane], see: &mut (dyn FnMut(Value) -> bool + Send)) -> Walked {
        // Where it is not allowed the judge is waited for all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        let begun = Instant::now();
        let (mut events, mut whole, mut reported) = (0, true, begun);
        let range = Range { since: Some(self.since), until: Some(self.until), ..Range::default() };
        self.history.onward(&range, &mut |stretch| {
            let ingested = stretch.ingested;
            whole = pieces(stretch).all(|piece| {
                self.give_way();
                events += piece.block.records.len() as u64;
                take(lanes, piece);
                (self.wanted)()
            });
            if whole && self.progress && reported.elapsed() >= REPORT {
                reported = Instant::now();
                let at = time::rfc3339(ingested);
                whole = see(json!({ "progress": { "events": events, "at": at } }));
            }
            whole
        });
        Walked { events, took: begun.elapsed(), whole: whole && (self.wanted)() }
    }

    /// Waits while the judge has work.
    fn give_way(&self) {
        let begun = Instant::now();
        while (self.busy)() && begun.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A stretch in pieces that are soon done.
fn pieces(mut stretch: Stretch) -> impl Iterator<Item = Stretch> {
    let mut left = std::mem::take(&mut stretch.block.records).into_iter();
    std::iter::from_fn(move || {
        let records: Vec<_> = left.by_ref().take(AT_ONCE).collect();
        let mut piece = stretch.clone();
        piece.block.records = records;
        (!piece.block.records.is_empty()).then_some(piece)
    })
}

/// Decodes records and has every lane judge them.
fn take(lanes: &mut [Lane], stretch: Stretch) {
    let Stretch { agent, host, site, system, zone, kind, raised, epoch, ingested, block, .. } =
        stretch;
    let sender = Sender { agent, host, site, system, zone };
    let context = decode::Context { sender: &sender, ingested, kind };
    let mut events = decode::block(block, &context);
    for event in &mut events.events {
        // As it stood at commit.
        event.kind = if raised { Kind::Security } else { kind };
    }
    let batch = Batch { sender: &sender, events: &events, kind, epoch: &epoch };
    lanes.iter_mut().for_each(|lane| lane.take(&batch, ingested));
}

fn summary(
    walk: &Walk<'_>,
    walked: &Walked,
    lane: &Lane,
    before: Option<&Lane>,
    candidate: &Loaded,
    pack: Option<&Pack>,
) -> Value {
    let days = (walk.until - walk.since) as f64 / time::DAY as f64;
    let a_day = |alerts: u64| (alerts as f64 / days.max(f64::MIN_POSITIVE) * 100.0).round() / 100.0;
    let seconds = walked.took.as_secs_f64();
    // What is tried is in force already when there is nothing to compare it with.
    let compared = before.unwrap_or(lane);
    json!({
        "since": time::rfc3339(walk.since), "until": time::rfc3339(walk.until),
        "pack": pack.map(|pack| format!("{}@{}", pack.name, pack.version)),
        "rules": candidate.rules.set().rules().len(), "refused": candidate.refused.len(),
        "left_out": candidate.left_out.len(), "digest": candidate.rules.about().digest,
        "events": walked.events, "matches": lane.matches(),
        "alerts": lane.alerts(), "at_least": lane.is_cut(), "alerts_by_level": lane.levels(),
        "alerts_a_day": a_day(lane.alerts()), "days": lane.days(),
        "in_force": before.is_none(), "alerts_before": compared.alerts(),
        "alerts_a_day_before": a_day(compared.alerts()),
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "events_per_second": (walked.events as f64 / seconds.max(1e-9)).round(),
    })
}

#[cfg(test)]
mod tests;

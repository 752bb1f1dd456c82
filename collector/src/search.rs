//! Finding events again: a query in, the events that fit out, newest first; or counts of them.
//!
//! In: [`Asked`], with a query in the language of [`crate::logql`]. Out: rows of JSON, each as soon
//! as nothing newer can come, or the series of a count, and [`Progress`]. Records are decoded anew,
//! so a better decoder finds more in old history. History says which blocks and frames can hold what
//! is looked for ([`crate::history::Units`]); here every record they hand out is decoded and decided
//! (`search/seen.rs`). [`Decoders`] tells history, as it seals, what a search may ask for.
//!
//! **Order.** By `@timestamp`, then by record (agent, queue, epoch, number), the last one first. It
//! is an order of all events there are, so the [`Place`] of a row is a cursor: what comes after it
//! does not depend on what arrived meanwhile, and no row is given twice or left out. Units are read
//! by their latest event; what was found waits until every unit left is older (`search/rows.rs`).
//!
//! **Counts** need no order: every unit of their time is read once and counted.

mod place;
mod rows;
mod sample;
mod seen;
#[cfg(test)]
mod tests;
mod understand;

use std::time::{Duration, Instant};

use hengwei_protocol::Kind;
use serde_json::{Map, Value, json};

use crate::history::{Extent, Found, History, Hunt, Labels, Need, Unit, Units};
use crate::logql::{Label, LabelMatcher, Metric, Query, Series, Steps, TooMuch};
use crate::time::{DAY, SECOND};

pub use place::Place;
pub use sample::{Sample, Sampled, sample};
pub use understand::Decoders;

use seen::{Decoded, Seen};

/// Time between two reports of progress.
const REPORT: Duration = Duration::from_millis(250);
/// Records that are decoded together.
const AT_ONCE: usize = 256;
/// The member of a row that is its place, to go on after it.
pub const CURSOR: &str = "hengwei.cursor";

/// What is asked of history.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Which events, or what is counted of them.
    pub query: Query,
    /// `@timestamp` at or after, Unix nanoseconds. Of counts: the first point; None is a day before
    /// the last.
    pub since: Option<i64>,
    /// `@timestamp` before. Of counts: no point stands after it; None is now.
    pub until: Option<i64>,
    /// Of these kinds only; empty is all.
    pub kinds: Vec<Kind>,
    /// Of this agent only.
    pub agent: Option<String>,
    /// Events at most; None is all.
    pub limit: Option<usize>,
    /// Only what comes after this place.
    pub after: Option<Place>,
    /// Of counts: nanoseconds between two points; None is the range that each of them counts.
    pub step: Option<i64>,
    /// Whether progress is shown while the search runs, and not only at its end.
    pub progress: bool,
}

/// How far a search has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Blocks and frames that were read.
    pub read: Extent,
    /// Those that cannot hold what is looked for.
    pub skipped: Extent,
    /// Those not looked at yet.
    pub left: Extent,
    /// Events that were decided.
    pub looked_at: u64,
    /// Rows that were shown.
    pub rows: u64,
    /// Whether the search has ended.
    pub done: bool,
    /// Whether the limit ended it: there may be more after the last row.
    pub more: bool,
    /// The place of the last row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a search says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// An event with its place under [`CURSOR`], or a series.
    Row(Value),
    /// How far it has come; the last thing a search says.
    Progress(Progress),
}

impl Said {
    /// As one line of an answer.
    pub fn into_json(self) -> Value {
        match self {
            Said::Row(row) => row,
            Said::Progress(progress) => json!({ "progress": progress }),
        }
    }

    /// The progress that a line of an answer is, if it is one.
    pub fn progress_of(line: &Value) -> Option<&Value> {
        // A row has its place, too, whatever its event says.
        line.as_object().filter(|members| members.len() == 1)?.get("progress")
    }
}

/// Searches history: says rows, progress from time to time if that is asked for, and progress once
/// more at the end, until `see` returns false, or `wanted`, which is asked for every record: a word
/// that nothing holds is looked for in all of history, and whoever asked may have gone long before.
/// Blocking.
pub fn run(
    history: &History,
    asked: &Asked,
    now: i64,
    wanted: &dyn Fn() -> bool,
    see: &mut dyn FnMut(Said) -> bool,
) -> Result<(), TooMuch> {
    let (reported, progress) = (Instant::now(), Progress::default());
    let mut search = Search { history, asked, wanted, see, progress, reported };
    let whole = match &asked.query.metric {
        Some(metric) => search.count(metric, now)?,
        None => search.rows(),
    };
    if whole {
        search.progress.done = true;
        search.tell();
    }
    Ok(())
}

struct Search<'a> {
    history: &'a History,
    asked: &'a Asked,
    wanted: &'a dyn Fn() -> bool,
    see: &'a mut dyn FnMut(Said) -> bool,
    progress: Progress,
    reported: Instant,
}

/// What history may pass over.
struct Skip {
    labels: Vec<LabelMatcher>,
    need: Need,
}

impl Skip {
    fn of(asked: &Asked) -> Skip {
        let plan = asked.query.plan();
        let agent = asked.agent.as_deref().map(|agent| LabelMatcher::is(Label::Agent, agent));
        Skip { labels: plan.labels.into_iter().chain(agent).collect(), need: plan.need }
    }

    fn wants_dataset(&self, dataset: &str) -> bool {
        self.labels.iter().all(|it| it.label != Label::Dataset || it.fits(dataset))
    }

    fn wants_stream(&self, labels: &Labels<'_>) -> bool {
        self.labels.iter().all(|matcher| {
            matcher.fits(match matcher.label {
                Label::Agent => labels.agent,
                // Then it is what a line says of itself.
                Label::Host if labels.host.is_empty() => return true,
                Label::Host => labels.host,
                Label::Site => labels.site,
                Label::System => labels.system,
                Label::Kind => labels.kind.as_str(),
                Label::Source => labels.source,
                Label::Path => labels.path,
                Label::Zone | Label::Dataset | Label::Level => return true,
            })
        })
    }
}

impl Search<'_> {
    /// Shows the series of a count; whether anybody wanted them.
    fn count(&mut self, metric: &Metric, now: i64) -> Result<bool, TooMuch> {
        let end = self.asked.until.unwrap_or(now);
        let start = self.asked.since.unwrap_or(end.saturating_sub(DAY));
        let step = self.asked.step.unwrap_or(metric.range());
        let mut tally = metric.tally(Steps { start, end, step })?;
        let skip = Skip::of(self.asked);
        let first = start.saturating_sub(metric.range()).saturating_add(1);
        let (stream, dataset) = (
            |labels: &Labels<'_>| skip.wants_stream(labels),
            |name: &str| skip.wants_dataset(name),
        );
        let hunt = Hunt {
            since: Some(first),
            until: Some(end.saturating_add(1)),
            kinds: &self.asked.kinds,
            stream: &stream,
            dataset: &dataset,
            need: &skip.need,
            version: understand::VERSION,
        };
        let mut units = self.history.units(&hunt);
        let mut failed = None;
        while let Some(unit) = units.next(&hunt) {
            let whole = self.load(&unit, &hunt, &mut |seen| {
                failed = tally.add(seen.time(), seen).err();
                failed.is_none()
            });
            if let Some(failed) = failed {
                return Err(failed);
            }
            if !whole || !self.report(&units, Extent::default()) {
                return Ok(false);
            }
        }
        self.note(&units, Extent::default());
        for series in tally.finish() {
            self.progress.rows += 1;
            if !(self.see)(Said::Row(matrix(series))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows the events of a unit that fit, in no order; whether all of them were wanted.
    fn load(
        &mut self,
        unit: &Unit<'_>,
        hunt: &Hunt<'_>,
        see: &mut dyn FnMut(&Seen<'_>) -> bool,
    ) -> bool {
        let wanted = self.wanted;
        let (mut whole, mut alike) = (true, Vec::new());
        unit.load(hunt, &mut |found| {
            if !wanted() {
                whole = false;
                return false;
            }
            let other = alike.first().is_some_and(|first| !seen::are_alike(first, &found));
            if other || alike.len() == AT_ONCE {
                whole = self.decide(std::mem::take(&mut alike), hunt, see);
            }
            alike.push(found);
            whole
        });
        whole && self.decide(alike, hunt, see)
    }

    /// Decodes records that are alike and shows those that fit; whether all of them were wanted.
    fn decide(
        &mut self,
        alike: Vec<Found>,
        hunt: &Hunt<'_>,
        see: &mut dyn FnMut(&Seen<'_>) -> bool,
    ) -> bool {
        let asked = self.asked;
        self.progress.looked_at += alike.len() as u64;
        let Some(decoded) = Decoded::of(alike) else { return true };
        let fits = |seen: &Seen<'_>| {
            let time = seen.time();
            hunt.since.is_none_or(|since| time >= since)
                && hunt.until.is_none_or(|until| time < until)
                && asked.agent.as_deref().is_none_or(|agent| seen.agent() == agent)
                && asked.query.fits(seen)
        };
        decoded.iter().filter(fits).all(|seen| see(&seen))
    }

    /// Takes over how far the units have been read.
    fn note(&mut self, units: &Units, before: Extent) {
        let read = units.read();
        self.progress.read =
            Extent { blocks: before.blocks + read.blocks, bytes: before.bytes + read.bytes };
        self.progress.skipped = units.skipped();
        self.progress.left = units.left();
    }

    /// Reports progress when it is time to; whether anybody listens.
    fn report(&mut self, units: &Units, before: Extent) -> bool {
        if !self.asked.progress || self.reported.elapsed() < REPORT {
            return (self.wanted)();
        }
        self.note(units, before);
        self.reported = Instant::now();
        self.tell()
    }

    fn tell(&mut self) -> bool {
        (self.see)(Said::Progress(self.progress.clone()))
    }
}

/// A series as Prometheus writes one of a matrix: seconds, and values as text.
fn matrix(series: Series) -> Value {
    let labels = series.labels.into_iter().map(|(name, value)| (name, Value::String(value)));
    let point = |(time, value): (i64, f64)| {
        let seconds = match time % SECOND {
            0 => json!(time / SECOND),
            _ => json!(time as f64 / SECOND as f64),
        };
        json!([seconds, value.to_string()])
    };
    let values: Vec<Value> = series.points.into_iter().map(point).collect();
    json!({ "metric": Map::from_iter(labels), "values": values })
}

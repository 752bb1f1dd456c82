//! Counts over time: `count_over_time`, `rate`, their bytes, and what is aggregated of them.
//!
//! A [`Tally`] is fed with the events that fit, in any order, and gives series. Points stand at
//! `start`, `start + step` … `end`; each counts the events of the range before it, `(t - range, t]`,
//! as LogQL does. An event costs two additions however many points it counts for. Where nothing was,
//! a series has no point.
//!
//! Series are kept apart by the ten labels and the fields that a `by (…)` names; directly below a
//! `sum` only by what that sum keeps apart. How many series and points there may be is bounded.

use std::collections::{BTreeMap, HashMap};

use super::Event;
use super::aggregate::{Count, Expression, Labels};
use super::filter::Name;

/// Series that are counted at most.
pub const MAX_SERIES: usize = 2000;
/// Points of a series at most.
pub const MAX_POINTS: i64 = 11_000;
/// Points of all series at most: 32 MiB.
const MAX_CELLS: usize = 4 << 20;
/// Bytes of one label's value that are kept.
const MAX_VALUE: usize = 1024;

/// What is counted of the events that fit, and what is made of the counts.
#[derive(Debug, Clone)]
pub struct Metric {
    expression: Expression,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels by name; one whose value is empty is left out.
    pub labels: BTreeMap<String, String>,
    /// Time in Unix nanoseconds, and value; ascending.
    pub points: Vec<(i64, f64)>,
}

/// Why series are not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// The times do not make points.
    #[error("the points end before they start, or lie no time apart")]
    Times,
    /// Too many points.
    #[error("{0} points: at most {MAX_POINTS}, so make the step longer or the time shorter")]
    Points(i64),
    /// Too many series.
    #[error("more than {0} series: group them, as in sum by (host) (...), or ask for less")]
    Series(usize),
}

/// When points stand: Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first.
    pub start: i64,
    /// None stands after this.
    pub end: i64,
    /// Time between two.
    pub step: i64,
}

/// Counts events.
#[derive(Debug)]
pub struct Tally {
    expression: Expression,
    count: Count,
    range: i64,
    steps: Steps,
    points: usize,
    /// What keeps series apart.
    names: Vec<Name>,
    series: HashMap<Vec<u8>, Vec<i64>>,
    /// The key of the event at hand.
    key: Vec<u8>,
}

impl Metric {
    pub(super) fn new(expression: Expression) -> Metric {
        Metric { expression }
    }

    /// Nanoseconds before a point that it counts.
    pub fn range(&self) -> i64 {
        self.expression.count().1
    }

    /// Begins to count.
    pub fn tally(&self, steps: Steps) -> Result<Tally, TooMuch> {
        if steps.end < steps.start || steps.step <= 0 {
            return Err(TooMuch::Times);
        }
        let points = (i128::from(steps.end) - i128::from(steps.start)) / i128::from(steps.step) + 1;
        let points = i64::try_from(points).unwrap_or(i64::MAX);
        if points > MAX_POINTS {
            return Err(TooMuch::Points(points));
        }
        let (count, range) = self.expression.count();
        Ok(Tally {
            expression: self.expression.clone(),
            count,
            range,
            steps,
            points: usize::try_from(points).unwrap_or_default(),
            names: self.expression.names(),
            series: HashMap::new(),
            key: Vec::new(),
        })
    }
}

impl Tally {
    /// Counts an event of a time, when a point's range has it.
    pub fn add(&mut self, time: i64, event: &dyn Event) -> Result<(), TooMuch> {
        let Some((first, after)) = self.points_of(time) else { return Ok(()) };
        self.key.clear();
        for name in &self.names {
            let key = &mut self.key;
            name.any(event, &mut |value| {
                let text = value.text();
                let end =
                    (0..=text.len().min(MAX_VALUE)).rev().find(|at| text.is_char_boundary(*at));
                key.extend_from_slice(&text.as_bytes()[..end.unwrap_or(0)]);
                true
            });
            key.push(END);
        }
        let amount = match self.count {
            Count::Events | Count::EventRate => 1,
            Count::Bytes | Count::ByteRate => i64::try_from(event.line().len()).unwrap_or(i64::MAX),
        };
        let changes = match self.series.get_mut(&self.key) {
            Some(changes) => changes,
            None => {
                let most = MAX_SERIES.min(MAX_CELLS / (self.points + 1));
                if self.series.len() >= most {
                    return Err(TooMuch::Series(most));
                }
                let changes = vec![0; self.points + 1];
                self.series.entry(self.key.clone()).or_insert(changes)
            }
        };
        changes[first] = changes[first].saturating_add(amount);
        changes[after] = changes[after].saturating_sub(amount);
        Ok(())
    }

    /// The first point whose range has a time, and the one after the last.
    fn points_of(&self, time: i64) -> Option<(usize, usize)> {
        let Steps { start, step, .. } = self.steps;
        let since = i128::from(time) - i128::from(start);
        let step = i128::from(step);
        let first = if since <= 0 { 0 } else { (since + step - 1) / step };
        let until = since + i128::from(self.range) - 1;
        let after = if until < 0 { 0 } else { until / step + 1 };
        let first = usize::try_from(first).ok()?;
        let after = usize::try_from(after).ok()?.min(self.points);
        (first < after).then_some((first, after))
    }

    /// The series, by their labels.
    pub fn finish(self) -> Vec<Series> {
        let Tally { expression, count, range, steps, names, series, .. } = self;
        let seconds = range as f64 / 1e9;
        let rows = series.into_iter().map(|(key, mut changes)| {
            changes.pop();
            let mut total: i64 = 0;
            let points = changes.into_iter().map(|change| {
                total = total.saturating_add(change);
                let rate = matches!(count, Count::EventRate | Count::ByteRate);
                let value = if rate { total as f64 / seconds } else { total as f64 };
                (total != 0).then_some(value)
            });
            (labels(&names, &key), points.collect())
        });
        let rows = expression.aggregate(rows.collect());
        let shown = rows.into_iter().map(|(labels, points)| {
            let times =
                (0..).map(|n: i64| steps.start.saturating_add(n.saturating_mul(steps.step)));
            let points = times.zip(points).filter_map(|(time, value)| Some((time, value?)));
            Series { labels, points: points.collect() }
        });
        shown.filter(|series: &Series| !series.points.is_empty()).collect()
    }
}

/// Ends a value within a key; no UTF-8 has it.
const END: u8 = 0xff;

fn labels(names: &[Name], key: &[u8]) -> Labels {
    let values = key.split(|byte| *byte == END).map(String::from_utf8_lossy);
    let named = names.iter().map(Name::shown).zip(values);
    named.filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n, v.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::tests::{Fake, Plain};
    use crate::logql::{Label, Query};

    const SECOND: i64 = 1_000_000_000;

    fn event(host: &str, user: &str) -> Fake {
        Fake {
            line: "12345".to_owned(),
            labels: vec![(Label::Host, host.to_owned()), (Label::Path, format!("/{user}"))],
            fields: vec![("user.name".to_owned(), Plain::Text(user.to_owned()))],
            ..Fake::default()
        }
    }

    fn metric(query: &str) -> Metric {
        Query::parse(query).expect(query).metric.expect("counts")
    }

    /// Events as (second, host, user), points from 0 to 40 every 10 s; series as
    /// `label=value…: second=value …`.
    fn check(query: &str, events: &[(i64, &str, &str)], expected: &[&str]) {
        let steps = Steps { start: 0, end: 40 * SECOND, step: 10 * SECOND };
        let mut tally = metric(query).tally(steps).expect("few points");
        for (time, host, user) in events {
            tally.add(time * SECOND, &event(host, user)).expect("few series");
        }
        let shown: Vec<String> = tally
            .finish()
            .into_iter()
            .map(|series| {
                let labels: Vec<_> =
                    series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                let point = |(time, value): &(i64, f64)| format!("{}={value}", time / SECOND);
                let points: Vec<_> = series.points.iter().map(point).collect();
                format!("{}: {}", labels.join(","), points.join(" "))
            })
            .collect();
        assert_eq!(shown, expected, "{query}");
    }

    const EVENTS: &[(i64, &str, &str)] = &[
        (1, "a", "x"),
        (10, "a", "x"),
        (11, "a", "y"),
        (12, "b", "x"),
        (40, "b", "z"),
        (41, "b", "x"),
    ];

    #[test]
    fn events_count_for_the_points_after_them() {
        check("sum(count_over_time({}[10s]))", EVENTS, &[": 10=2 20=2 40=1"]);
        check("sum(count_over_time({}[20s]))", EVENTS, &[": 10=2 20=4 30=2 40=1"]);
        check("sum(count_over_time({}[5s]))", EVENTS, &[": 10=1 40=1"]);
        check("sum(rate({}[10s]))", EVENTS, &[": 10=0.2 20=0.2 40=0.1"]);
        check("sum(bytes_over_time({}[10s]))", EVENTS, &[": 10=10 20=10 40=5"]);
        check("sum(bytes_rate({}[10s]))", EVENTS, &[": 10=1 20=1 40=0.5"]);
        check(
            "sum(count_over_time({}[10s]))",
            &[(-10, "a", "x"), (-9, "a", "x"), (0, "a", "x")],
            &[": 0=2"],
        );
        check("rate({}[10s])", &[], &[]);
    }

    #[test]
    fn series_are_kept_apart_and_put_together() {
        check(
            "count_over_time({}[10s])",
            EVENTS,
            &[
                "host=a,path=/x: 10=2",
                "host=a,path=/y: 20=1",
                "host=b,path=/x: 20=1",
                "host=b,path=/z: 40=1",
            ],
        );
        let by_host = &["host=a: 10=2 20=1", "host=b: 20=1 40=1"];
        check("sum by (host) (count_over_time({}[10s]))", EVENTS, by_host);
        check("sum(count_over_time({}[10s])) by (host.name)", EVENTS, by_host);
        check("sum without (path) (count_over_time({}[10s]))", EVENTS, by_host);
        check(
            "sum by (user_name) (count_over_time({}[10s]))",
            EVENTS,
            &["user_name=x: 10=2 20=1", "user_name=y: 20=1", "user_name=z: 40=1"],
        );
        check("max(sum by (host) (count_over_time({}[10s])))", EVENTS, &[": 10=2 20=1 40=1"]);
        check(
            "avg by (host) (count_over_time({}[30s]))",
            EVENTS,
            &["host=a: 10=2 20=1.5 30=1.5 40=1", "host=b: 20=1 30=1 40=1"],
        );
        check("min(sum by (host) (count_over_time({}[30s])))", EVENTS, &[": 10=2 20=1 30=1 40=1"]);
        check("count(sum by (host) (count_over_time({}[10s])))", EVENTS, &[": 10=1 20=2 40=1"]);
        check(
            "count by (user.name) (rate({}[10s]))",
            EVENTS,
            &["user.name=x: 10=1 20=1", "user.name=y: 20=1", "user.name=z: 40=1"],
        );
        check(
            "topk(1, sum by (host) (count_over_time({}[30s])))",
            EVENTS,
            &["host=a: 10=2 20=3 30=3", "host=b: 40=2"],
        );
        check(
            "bottomk(1, sum by (host) (count_over_time({}[30s])))",
            EVENTS,
            &["host=a: 10=2 40=1", "host=b: 20=1 30=1"],
        );
    }

    #[test]
    fn points_and_series_are_bounded() {
        let metric = metric("count_over_time({}[1s])");
        let steps = |start, end, step| Steps { start, end, step };
        let refused = |asked: Steps| metric.tally(asked).map(|_| ()).expect_err("refused");
        assert_eq!(refused(steps(1, 0, 1)), TooMuch::Times);
        assert_eq!(refused(steps(0, 1, 0)), TooMuch::Times);
        assert_eq!(refused(steps(i64::MIN, i64::MAX, 1)), TooMuch::Points(i64::MAX));
        assert_eq!(refused(steps(0, MAX_POINTS, 1)), TooMuch::Points(MAX_POINTS + 1));
        let mut tally = metric.tally(steps(0, MAX_POINTS - 1, 1)).expect("just enough");
        let most = MAX_CELLS / 11_001;
        for n in 0..most {
            tally.add(0, &event(&format!("h{n}"), "x")).expect("room");
        }
        assert_eq!(tally.add(0, &event("one more", "x")), Err(TooMuch::Series(most)));
        tally.add(0, &event("h0", "x")).expect("a series that is there");
        for time in [i64::MIN, i64::MAX] {
            tally.add(time, &event("nowhere", "x")).expect("counts for no point");
        }
        assert_eq!(tally.finish().len(), most);
    }
}

//! Every metric of the collector: name, help, labels, in one list.
//!
//! In: one call per thing that happened, from every stage. Out: the text Prometheus scrapes, at
//! `/metrics` of a plain HTTP listener that is on loopback unless configured otherwise. What others
//! compute at the moment of a scrape (one gauge per host, per guarded system) they bring as a
//! [`Collector`] through [`Metrics::register`]; this file knows neither hosts nor history.
//!
//! A label whose values are a closed set has them all from the start, at zero: a rate over a counter
//! that only appears with its first increment misses that increment.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::refusal::Reason;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::history::HORIZON_DAYS;
use crate::notify::{CHANNELS, Outcome};
use crate::serve;
use crate::time::{DAY, SECOND};

/// Where metrics are served unless configured otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9600";

/// Levels of rules and alerts, the worst first.
pub const LEVELS: &[&str] = &["critical", "high", "medium", "low", "informational"];

/// Classes history keeps: the four kinds, and decisions.
pub const CLASSES: &[&str] = &["security", "log", "asset", "performance", "record"];

/// Bounds of every histogram of seconds: from a commit (milliseconds) to a spool that drains after
/// a day offline.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
    3600.0, 86400.0,
];

/// One metric of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// As scraped.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($field:ident: $shape:ty = $name:literal $help:literal [$($label:literal),*];)*) => {
        /// The collector's own metrics. One per process, handed to every stage.
        #[derive(Debug)]
        pub struct Metrics { registry: Registry, $($field: $shape,)* }

        /// Every metric this file keeps.
        pub const METRICS: &[Described] =
            &[$(Described { name: $name, help: $help, labels: &[$($label),*] },)*];

        impl Metrics {
            fn build() -> prometheus::Result<Metrics> {
                let registry = Registry::new();
                $(let $field = <$shape>::make($name, $help, &[$($label),*])?;
                registry.register(Box::new($field.clone()))?;)*
                Ok(Metrics { registry, $($field,)* })
            }
        }
    };
}

metrics! {
    connections: IntGauge = "hengwei_connections" "Agents connected now." [];
    records_received: IntCounterVec = "hengwei_records_received_total"
        "Records taken from agents, repeats not counted." ["kind"];
    bytes_received: IntCounterVec = "hengwei_bytes_received_total"
        "Compressed bytes of the batches taken from agents." ["kind"];
    refused: IntCounterVec = "hengwei_refused_total"
        "Connections refused or ended by the collector." ["reason"];
    events_decoded: IntCounterVec = "hengwei_events_decoded_total"
        "Events decoded." ["dataset"];
    decode_problems: IntCounter = "hengwei_decode_problems_total"
        "Records kept raw because nothing understood them or a decoder failed." [];
    rules_loaded: IntGauge = "hengwei_rules_loaded" "Rules in force." [];
    rules_refused: IntGauge = "hengwei_rules_refused"
        "Rules that could not be used when rules were last loaded." [];
    rule_matches: IntCounterVec = "hengwei_rule_matches_total"
        "Matches of rules, whether or not an alert came of them." ["level"];
    commits: IntCounter = "hengwei_commits_total" "Commits synced to disk." [];
    commit_seconds: Histogram = "hengwei_commit_seconds"
        "Time a commit took, its sync included." [];
    history_bytes: IntGaugeVec = "hengwei_history_bytes" "Bytes history takes on disk." ["class"];
    history_bytes_per_day: IntGaugeVec = "hengwei_history_bytes_per_day"
        "Bytes of segments that came on each of the last days; 0 before a day was measured." ["class"];
    history_oldest: IntGaugeVec = "hengwei_history_oldest_timestamp_seconds"
        "When the oldest record that is kept was ingested, Unix seconds; 0 when there is none."
        ["class"];
    history_removed_bytes: IntCounterVec = "hengwei_history_removed_bytes_total"
        "Bytes of segments that retention removed." ["class"];
    history_left: IntGaugeVec = "hengwei_history_left_seconds"
        "Seconds until the disk, or the limit of a class, is full at the growth of the last days; ten years when that is not in sight."
        ["limit"];
    history_free_bytes: IntGauge = "hengwei_history_free_bytes"
        "Bytes free on the file system history is on." [];
    history_rebuilds: IntCounter = "hengwei_history_rebuilds_total"
        "Times the index was rebuilt from the log." [];
    history_damaged: IntCounter = "hengwei_history_damaged_blocks_total"
        "Stored blocks that could not be read back." [];
    alerts_raised: IntCounterVec = "hengwei_alerts_raised_total" "Alerts raised." ["level"];
    alerts_open: IntGaugeVec = "hengwei_alerts_open"
        "Alerts that are new or acknowledged." ["level"];
    alert_delay_seconds: Histogram = "hengwei_alert_delay_seconds"
        "From the agent reading the event that raised an alert to the commit that holds it." [];
    ingest_lag_seconds: Histogram = "hengwei_ingest_lag_seconds"
        "From the agent reading the newest event of a batch to its commit." [];
    gaps: IntCounterVec = "hengwei_gaps_total" "Gaps recorded in what agents sent." ["cause"];
    notify_sent: IntCounterVec = "hengwei_notify_sent_total"
        "Attempts to tell a channel of an alert." ["channel", "outcome"];
    notify_queue: IntGaugeVec = "hengwei_notify_queue"
        "Changes of alerts a channel has yet to be told." ["channel"];
    feed_readers: IntGauge = "hengwei_feed_readers" "Readers of the live alert feed." [];
    build_info: IntGaugeVec = "hengwei_build_info" "Always 1; the label says what runs." ["version"];
}

/// How a shape of metric is made from its line of the list.
trait Shape: Sized {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Shape for IntGauge {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        IntGauge::new(name, help)
    }
}

impl Shape for IntCounter {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        IntCounter::new(name, help)
    }
}

impl Shape for IntGaugeVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        IntGaugeVec::new(Opts::new(name, help), labels)
    }
}

impl Shape for IntCounterVec {
    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        IntCounterVec::new(Opts::new(name, help), labels)
    }
}

impl Shape for Histogram {
    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let metrics = Metrics::build()
            .expect("the names of the list are valid and distinct: a test builds it");
        metrics.zero();
        metrics
    }
}

impl Metrics {
    /// A connection was refused or ended for this reason.
    pub fn refused(&self, reason: Reason) {
        self.refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// Agents connected now, by how many more or fewer.
    pub fn connected(&self, change: i64) {
        self.connections.add(change);
    }

    /// A batch was taken from an agent.
    pub fn received(&self, kind: Kind, records: u64, bytes: u64) {
        self.records_received.with_label_values(&[kind.as_str()]).inc_by(records);
        self.bytes_received.with_label_values(&[kind.as_str()]).inc_by(bytes);
    }

    /// Events of a dataset were decoded. `dataset` must be a name of the decoders' own, never text
    /// from an event: each value is a time series for ever.
    pub fn decoded(&self, dataset: &'static str, events: u64) {
        self.events_decoded.with_label_values(&[dataset]).inc_by(events);
    }

    /// Records were kept raw because nothing understood them.
    pub fn decode_problems(&self, records: u64) {
        self.decode_problems.inc_by(records);
    }

    /// Rules were loaded, and some refused.
    pub fn rules(&self, loaded: usize, refused: usize) {
        self.rules_loaded.set(whole(loaded as u64));
        self.rules_refused.set(whole(refused as u64));
    }

    /// Rules of this level matched.
    pub fn rule_matched(&self, level: &str, matches: u64) {
        self.rule_matches.with_label_values(&[known_level(level)]).inc_by(matches);
    }

    /// A commit was synced after so many seconds.
    pub fn committed(&self, seconds: f64) {
        self.commits.inc();
        self.commit_seconds.observe(seconds);
    }

    /// Bytes a class of [`CLASSES`] takes on disk.
    pub fn history_bytes(&self, class: &'static str, bytes: u64) {
        self.history_bytes.with_label_values(&[class]).set(whole(bytes));
    }

    /// How a class of [`CLASSES`] grows, and when its oldest record came (Unix nanoseconds).
    pub fn history_class(&self, class: &'static str, per_day: Option<u64>, oldest: Option<i64>) {
        self.history_bytes_per_day.with_label_values(&[class]).set(whole(per_day.unwrap_or(0)));
        let seconds = oldest.map_or(0, |nanos| nanos / crate::time::SECOND);
        self.history_oldest.with_label_values(&[class]).set(seconds);
    }

    /// Retention removed bytes of a class.
    pub fn history_removed(&self, class: &'static str, bytes: u64) {
        self.history_removed_bytes.with_label_values(&[class]).inc_by(bytes);
    }

    /// Days until a limit is full: `disk`, or a class of [`CLASSES`].
    pub fn history_days_left(&self, limit: &'static str, days: Option<u32>) {
        let days = days.unwrap_or(HORIZON_DAYS);
        self.history_left.with_label_values(&[limit]).set(i64::from(days) * (DAY / SECOND));
    }

    /// Bytes free where history is.
    pub fn history_free(&self, bytes: u64) {
        self.history_free_bytes.set(whole(bytes));
    }

    /// The index was rebuilt.
    pub fn history_rebuilt(&self) {
        self.history_rebuilds.inc();
    }

    /// Stored blocks could not be read back.
    pub fn history_damaged(&self, blocks: u64) {
        self.history_damaged.inc_by(blocks);
    }

    /// An alert was raised and committed, so long after the agent read its event.
    pub fn alert_raised(&self, level: &str, delay_seconds: f64) {
        self.alerts_raised.with_label_values(&[known_level(level)]).inc();
        self.alert_delay_seconds.observe(delay_seconds.max(0.0));
    }

    /// So many alerts of this level are new or acknowledged.
    pub fn alerts_open(&self, level: &str, alerts: u64) {
        self.alerts_open.with_label_values(&[known_level(level)]).set(whole(alerts));
    }

    /// A batch was committed so long after the agent read its newest event.
    pub fn ingest_lag(&self, seconds: f64) {
        self.ingest_lag_seconds.observe(seconds.max(0.0));
    }

    /// A gap was recorded.
    pub fn gap(&self, cause: Cause) {
        self.gaps.with_label_values(&[cause.as_str()]).inc();
    }

    /// A channel was told, or could not be.
    pub fn notify_sent(&self, channel: &'static str, outcome: Outcome) {
        self.notify_sent.with_label_values(&[channel, outcome.as_str()]).inc();
    }

    /// Changes of alerts a channel has yet to be told.
    pub fn notify_queue(&self, channel: &'static str, changes: u64) {
        self.notify_queue.with_label_values(&[channel]).set(whole(changes));
    }

    /// Readers of the live feed now, by how many more or fewer.
    pub fn feed_readers(&self, change: i64) {
        self.feed_readers.add(change);
    }

    /// Adds metrics that somebody else computes when they are scraped.
    ///
    /// # Errors
    /// A name that is taken already, or is none.
    pub fn register(&self, collector: Box<dyn Collector>) -> anyhow::Result<()> {
        self.registry.register(collector).context("metrics could not be registered")
    }

    /// What Prometheus reads. Blocking: registered collectors may read history.
    ///
    /// # Errors
    /// A registered collector that gives a family without samples or names.
    pub fn text(&self) -> anyhow::Result<String> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .context("metrics could not be written")
    }

    fn zero(&self) {
        for kind in Kind::ALL {
            self.received(kind, 0, 0);
        }
        for reason in Reason::ALL {
            self.refused.with_label_values(&[reason.as_str()]);
        }
        for level in LEVELS {
            self.rule_matches.with_label_values(&[*level]);
            self.alerts_raised.with_label_values(&[*level]);
            self.alerts_open.with_label_values(&[*level]);
        }
        for class in CLASSES {
            self.history_bytes.with_label_values(&[*class]);
            self.history_removed(class, 0);
            self.history_class(class, None, None);
            self.history_days_left(class, None);
        }
        self.history_days_left("disk", None);
        for cause in Cause::ALL {
            self.gaps.with_label_values(&[cause.as_str()]);
        }
        for channel in CHANNELS {
            self.notify_queue.with_label_values(&[channel.name]);
            for outcome in Outcome::ALL {
                self.notify_sent.with_label_values(&[channel.name, outcome.as_str()]);
            }
        }
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }
}

/// Serves `/metrics` until told to stop.
///
/// # Errors
/// The listener failed for good.
pub async fn serve_metrics(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new().route("/metrics", get(scrape)).with_state(metrics);
    serve::serve(listener, None, router, stop).await
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!("failed to write metrics: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n").into_response()
        }
        Err(error) => {
            tracing::error!("failed to gather metrics: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be gathered\n").into_response()
        }
    }
}

/// The level, or `informational` for text that is none, so that a rule cannot add label values.
fn known_level(level: &str) -> &'static str {
    LEVELS.iter().copied().find(|known| *known == level).unwrap_or("informational")
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden beside the crate's tests; WRITE_GOLDEN=1 writes it anew.
    #[test]
    fn an_idle_collector_scrapes_as_promised() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics.txt");
        let text = Metrics::default().text().unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(path).unwrap(), "{path}");
    }

    #[test]
    fn every_metric_of_the_list_but_open_sets_is_there_from_the_start() {
        let text = Metrics::default().text().unwrap();
        for metric in METRICS.iter().filter(|metric| metric.labels != ["dataset"]) {
            assert!(
                text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)),
                "{metric:?}"
            );
        }
    }

    #[test]
    fn calls_move_their_metric_and_no_other_level_appears() {
        let metrics = Metrics::default();
        metrics.received(Kind::Log, 5, 700);
        metrics.refused(Reason::Revoked);
        metrics.decoded("sshd", 4);
        metrics.rule_matched("nonsense", 2);
        metrics.alert_raised("high", 0.15);
        metrics.gap(Cause::LineCut);
        metrics.connected(2);
        metrics.connected(-1);
        let text = metrics.text().unwrap();
        for line in [
            "hengwei_records_received_total{kind=\"log\"} 5",
            "hengwei_bytes_received_total{kind=\"log\"} 700",
            "hengwei_refused_total{reason=\"revoked\"} 1",
            "hengwei_events_decoded_total{dataset=\"sshd\"} 4",
            "hengwei_rule_matches_total{level=\"informational\"} 2",
            "hengwei_alerts_raised_total{level=\"high\"} 1",
            "hengwei_alert_delay_seconds_bucket{le=\"0.2\"} 1",
            "hengwei_alert_delay_seconds_bucket{le=\"0.1\"} 0",
            "hengwei_gaps_total{cause=\"line-cut\"} 1",
            "hengwei_connections 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("nonsense"));
    }

    #[test]
    fn a_name_that_is_taken_is_an_error() {
        let metrics = Metrics::default();
        let twin = || Box::new(IntGauge::new("hengwei_host_up", "Up.").unwrap());
        metrics.register(twin()).unwrap();
        assert!(metrics.register(twin()).is_err());
        assert!(metrics.text().unwrap().contains("hengwei_host_up 0"));
    }
}

//! What a collector can do for whoever asks: one value that commands, console and API share, over a
//! running daemon or a stopped one. Here the parts' own answers are put into the words of pages.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hengwei_rules::Set;
use serde_json::{Value, json};

use crate::alerts::{self, Alert};
use crate::config::Config;
use crate::console::{
    Certificate, Change, Gap, HostDetail, HostRow, InventoryChange, Item, Ledger, Member, Presence,
    Queue, Search, Shelf, Source, System, Views,
};
use crate::detect::Rules;
use crate::history::{self, ClassStatus, GapRow, History, QueueLedger, Writer, tree};
use crate::hosts::{self, Fleet, HostView};
use crate::judge::{self, Bench, Desk};
use crate::metrics::Metrics;
use crate::packs::{self, Loaded};
use crate::pki::Pki;
use crate::search::{self, Decoders, Said};
use crate::store::{self, Decision, Error};
use crate::systems::{self, Coverage, Systems};
use crate::{registry, time};

/// Items of one dataset that a host's page shows.
const MAX_ITEMS: usize = 20_000;
/// Gaps a ledger shows, newest first.
const MAX_GAPS: usize = 10_000;

/// Everything a question or an order needs.
#[derive(Debug, Clone)]
pub struct Services {
    /// As used.
    pub config: Arc<Config>,
    /// What was committed.
    pub history: History,
    /// The way to have something committed.
    pub desk: Desk,
    /// Keys and certificates.
    pub pki: Arc<Pki>,
    /// Hosts at this moment.
    pub fleet: Fleet,
    /// Guarded systems.
    pub systems: Arc<Systems>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where each port listens, by name.
    pub listening: Arc<Mutex<BTreeMap<&'static str, SocketAddr>>>,
    /// What changes the rules in force.
    pub packs: Arc<packs::Office>,
    /// Whether it is a running collector's: a stopped one has no rules in force.
    pub runs: bool,
    /// Open alerts as of some place in the feed.
    open: Arc<Mutex<OpenAlerts>>,
}

/// The alerts that are open: every change of an alert is in the feed, so that they are read once and
/// followed from there. What was closed in years past is not read again for every look around.
#[derive(Debug, Default)]
struct OpenAlerts {
    /// The last sequence of the feed that is counted in; None before all were read.
    through: Option<u64>,
    /// Level, and the agent when it is no review, by alert.
    alerts: HashMap<String, (String, Option<String>)>,
}

impl OpenAlerts {
    fn follow(&mut self, history: &History, newest: u64) {
        let from = match self.through {
            // The feed forgets; whoever is behind its beginning begins anew.
            Some(through)
                if first_of_feed(history)
                    .map_or(newest <= through, |first| first <= through + 1) =>
            {
                through + 1
            }
            _ => {
                self.alerts.clear();
                history.scan(tree::ALERTS, b"", &mut |_, value| {
                    self.take(value);
                    true
                });
                newest + 1
            }
        };
        self.through = Some(newest.max(from.saturating_sub(1)));
        history.scan_from(tree::FEED, &from.to_be_bytes(), &mut |key, value| {
            self.take(value);
            if let Ok(key) = key.try_into() {
                self.through = Some(u64::from_be_bytes(key));
            }
            true
        });
    }

    fn take(&mut self, value: &[u8]) {
        let Ok(alert) = serde_json::from_slice::<Alert>(value) else { return };
        if alert.state.is_open() {
            let agent = (!alert.is_review()).then_some(alert.agent);
            self.alerts.insert(alert.id, (alert.rule.level, agent));
        } else {
            self.alerts.remove(&alert.id);
        }
    }
}

fn first_of_feed(history: &History) -> Option<u64> {
    let mut first = None;
    history.scan(tree::FEED, b"", &mut |key, _| {
        first = key.try_into().ok().map(u64::from_be_bytes);
        false
    });
    first
}

impl Services {
    /// Opens keys and history, loads the rules and starts the judge.
    pub fn open(config: Config) -> anyhow::Result<(Services, JoinHandle<()>, Loaded)> {
        let loaded = packs::load_at_start(&config, time::now())?;
        let (services, judge) = Services::with_rules(config, Arc::clone(&loaded.rules), true)?;
        Ok((services, judge, loaded))
    }

    /// The same on a stopped collector, for one command: no rules are needed.
    pub fn offline(config: Config) -> anyhow::Result<(Services, JoinHandle<()>)> {
        let rules = Arc::new(Rules::new(Set::default(), config.rules.threshold));
        Services::with_rules(config, rules, false)
    }

    fn with_rules(
        config: Config,
        rules: Arc<Rules>,
        runs: bool,
    ) -> anyhow::Result<(Services, JoinHandle<()>)> {
        let pki = Arc::new(Pki::open(&config.data, config.pki_settings())?);
        let systems = Arc::new(Systems::load(config.systems.dir.as_deref())?);
        let options = history::Options {
            key: Some(crate::pki::history_key_file(&config.data)),
            seal_bytes: config.history.seal_bytes,
            retention: config.history.policy(),
            understand: Some(Arc::new(Decoders)),
            ..history::Options::default()
        };
        let (writer, history) = Writer::open(&config.history(), options)?;
        let metrics = Arc::new(Metrics::default());
        let fleet = Fleet::new();
        fleet.recall(&history);
        let bench = Bench {
            writer,
            history: history.clone(),
            rules,
            fleet: fleet.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (desk, judge) = judge::start(bench);
        let services = Services {
            config: Arc::new(config),
            history,
            desk,
            pki,
            fleet,
            systems,
            metrics,
            listening: Arc::default(),
            packs: Arc::default(),
            runs,
            open: Arc::default(),
        };
        Ok((services, judge))
    }

    /// Notes where a port listens.
    pub fn listens(&self, name: &'static str, address: SocketAddr) {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).insert(name, address);
    }

    /// Commits that somebody did something, and only then returns.
    pub async fn note(&self, who: &str, action: &str, body: Value) -> Result<(), Error> {
        let (who, action) = (who.to_owned(), action.to_owned());
        let decide = move |_: &History, now| {
            let entries = vec![store::entry(now, &who, &action, &body)];
            Ok((Decision { entries, puts: Vec::new() }, ()))
        };
        self.desk.transact(decide).await
    }

    /// Where a browser on this machine finds the console.
    pub fn console_url(&self) -> String {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let address = listening.get("console").copied().unwrap_or(self.config.console.listen);
        format!("https://localhost:{}", address.port())
    }

    /// Open alerts, by level and by agent.
    pub fn open_alerts(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let newest = *self.desk.feed().borrow();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.follow(&self.history, newest);
        let (mut levels, mut agents) = (BTreeMap::new(), BTreeMap::new());
        for (level, agent) in open.alerts.values() {
            *levels.entry(level.clone()).or_default() += 1;
            if let Some(agent) = agent {
                *agents.entry(agent.clone()).or_default() += 1;
            }
        }
        (levels, agents)
    }

    fn row(view: &HostView, open_alerts: u64) -> HostRow {
        let presence = match view.state {
            "connected" => Presence::Reporting,
            "never" => Presence::NeverSeen,
            "stopped" => Presence::Stopped,
            "revoked" => Presence::Revoked,
            _ => Presence::Silent,
        };
        let lag = view.sources.iter().map(|source| source.lag_seconds).reduce(f64::max);
        HostRow {
            agent: view.agent.clone(),
            host: view.host.clone(),
            site: view.site.clone(),
            system: view.system.clone(),
            os: view.os.clone(),
            presence,
            last_seen: view.last_seen.clone(),
            lag_seconds: lag,
            certificate_until: view.certificate_expires.clone(),
            open_alerts,
        }
    }

    fn certificates(&self, agent: &str) -> Vec<Certificate> {
        let listed =
            registry::list(&self.history).into_iter().find(|listed| listed.agent.id == agent);
        let certificates = listed.map(|listed| listed.certificates).unwrap_or_default();
        certificates
            .into_iter()
            .rev()
            .map(|certificate| Certificate {
                serial: certificate.serial,
                not_before: time::rfc3339(certificate.not_before),
                not_after: time::rfc3339(certificate.not_after),
                revoked: certificate.revoked.is_some(),
            })
            .collect()
    }

    fn shelf(&self, agent: &str, class: &str) -> Shelf {
        let items = hosts::items(&self.history, agent, class, MAX_ITEMS).into_iter().map(|row| {
            let fields: BTreeMap<String, String> = row
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| *name != "hengwei.asset.key")
                .map(|(name, value)| (name.clone(), text(value)))
                .collect();
            Item { key: row.get("hengwei.asset.key").map(text).unwrap_or_default(), fields }
        });
        Shelf { dataset: format!("asset.{class}"), items: items.collect() }
    }
}

impl Views for Services {
    fn hosts(&self) -> Vec<HostRow> {
        let (_, alerts) = self.open_alerts();
        let open = |agent: &str| alerts.get(agent).copied().unwrap_or_default();
        hosts::list(&self.history, &self.fleet, time::now())
            .iter()
            .map(|view| Services::row(view, open(&view.agent)))
            .collect()
    }

    fn host(&self, agent: &str) -> Option<HostDetail> {
        let view = hosts::view(&self.history, &self.fleet, agent, time::now())?;
        let (_, alerts) = self.open_alerts();
        let fact = |name: &str, value: &str| {
            (!value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        let facts = [
            fact("host.os.kernel", &view.kernel),
            fact("host.architecture", &view.architecture),
            fact("hengwei.state", view.state),
            fact("hengwei.first_seen", view.first_seen.as_deref().unwrap_or_default()),
            fact(
                "hengwei.clock_offset_seconds",
                &view
                    .clock_offset_seconds
                    .map(|seconds| format!("{seconds:.3}"))
                    .unwrap_or_default(),
            ),
        ];
        let sources = view.sources.iter().map(|source| Source {
            source: source.source.clone(),
            path: source.path.clone(),
            records: source.records,
            last_seen: Some(source.last_received.clone()),
            lag_seconds: Some(source.lag_seconds),
        });
        let changes = view.changes.iter().flatten().map(|change| InventoryChange {
            time: change.time.clone(),
            dataset: format!("asset.{}", change.item),
            key: change.key.clone(),
            action: change.action.clone(),
            detail: if change.previous.is_empty() {
                change.changed.join(", ")
            } else {
                change.previous.join(", ")
            },
        });
        let classes = view.inventory.iter().flatten().map(|(class, _)| class);
        Some(HostDetail {
            facts: facts.into_iter().flatten().collect(),
            certificates: self.certificates(&view.agent),
            sources: sources.collect(),
            inventory: classes.map(|class| self.shelf(&view.agent, class)).collect(),
            changes: changes.collect(),
            row: Services::row(&view, alerts.get(&view.agent).copied().unwrap_or_default()),
        })
    }

    fn coverage(&self) -> Vec<System> {
        let now = time::now();
        systems::coverage(&self.systems, &self.history, &self.fleet, now)
            .into_iter()
            .map(system)
            .collect()
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        let hosts: BTreeMap<String, HostRow> =
            self.hosts().into_iter().map(|row| (row.agent.clone(), row)).collect();
        self.history.scan(tree::LEDGER, b"", &mut |key, value| {
            let (Some([agent, kind, epoch]), Ok(queue)) =
                (parts(key), serde_json::from_slice::<QueueLedger>(value))
            else {
                return true;
            };
            let host = hosts.get(&agent).cloned().unwrap_or_default();
            ledger.queues.push(Queue {
                agent,
                host: host.host,
                site: host.site,
                kind,
                epoch,
                next: queue.next,
                records: queue.records,
                missing: queue.missing,
                first_time: time::rfc3339(queue.first_time),
                last: time::rfc3339(queue.last),
            });
            true
        });
        self.history.scan(tree::GAPS, b"", &mut |key, value| {
            if let (Some([agent, kind, epoch]), Ok(gap)) =
                (parts(key), serde_json::from_slice::<GapRow>(value))
            {
                ledger.gaps.push(Gap {
                    agent,
                    kind,
                    epoch,
                    number: gap.number,
                    span: gap.span,
                    records: gap.records,
                    bytes: gap.bytes,
                    cause: gap.cause,
                    detail: gap.detail,
                    source: gap.source,
                    path: gap.path,
                    time: time::rfc3339(gap.time),
                });
            }
            // An agent says how many there are: they are never all held.
            if ledger.gaps.len() >= 2 * MAX_GAPS {
                newest(&mut ledger.gaps);
            }
            true
        });
        newest(&mut ledger.gaps);
        ledger
    }

    fn status(&self) -> Value {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let listening: BTreeMap<&str, String> =
            listening.into_iter().map(|(name, address)| (name, address.to_string())).collect();
        let rules = self.desk.rules();
        let history = self.history.status();
        let mut whole = serde_json::to_value(&history).unwrap_or_default();
        let shelves = whole.as_object_mut().map(|whole| {
            for time in ["last_seal", "last_signed"] {
                let at = whole.get(time).and_then(Value::as_i64).map(time::rfc3339);
                whole.insert(time.to_owned(), at.into());
            }
            whole.remove("classes");
            whole.remove("trees").unwrap_or_default()
        });
        json!({
            "collector": { "version": env!("CARGO_PKG_VERSION"), "site": &self.config.site, "data": self.config.data.display().to_string() },
            "listening": listening,
            "rules": { "loaded": rules.set().rules().len(), "refused": rules.about().refused, "digest": rules.about().digest },
            "history": whole,
            "classes": history.classes.iter().map(class).collect::<Vec<_>>(),
            "oldest": history.classes.iter().flat_map(oldest).collect::<Vec<_>>(),
            "trees": shelves,
        })
    }

    fn search(
        &self,
        search: &Search,
        wanted: &dyn Fn() -> bool,
        see: &mut dyn FnMut(Said) -> bool,
    ) -> Result<(), String> {
        search::run(&self.history, &search.asked, time::now(), wanted, see)
            .map_err(|error| error.to_string())
    }

    fn change(&self, now: i64, change: &Change) -> Result<(Decision, Alert), Error> {
        let expires = change.expires.as_deref();
        alerts::change(
            &self.history,
            now,
            &change.who,
            &change.id,
            change.state,
            &change.reason,
            expires,
        )
    }
}

/// A class of history in the words of pages.
fn class(status: &ClassStatus) -> Value {
    json!({
        "class": status.class,
        "oldest": status.oldest.map(time::rfc3339),
        "days": status.days,
        "entries": status.entries + status.log_entries,
        "segments": status.segments,
        "bytes": status.bytes,
        "bytes_per_day": status.bytes_per_day,
        "max_bytes": status.max_bytes,
        "days_left": status.days_left,
        "removed_until": status.removed_until.map(time::rfc3339),
    })
}

/// The oldest record of each site.
fn oldest(status: &ClassStatus) -> impl Iterator<Item = Value> {
    status.sites.iter().map(|site| {
        json!({
            "site": site.site, "class": status.class, "oldest": time::rfc3339(site.oldest),
        })
    })
}

/// The coverage of a system in the words of pages: the missing members first.
fn system(covered: Coverage) -> System {
    let mut members: Vec<Member> = covered
        .never_named
        .iter()
        .map(|site| Member { site: site.clone(), ..Member::default() })
        .collect();
    members.extend(covered.silent.iter().map(|silent| Member {
        site: silent.site.clone(),
        agent: Some(silent.agent.clone()),
        presence: if silent.orderly { Presence::Stopped } else { Presence::Silent },
        last_seen: Some(silent.since.clone()),
        missing: Vec::new(),
    }));
    members.extend(covered.missing.iter().map(|missing| Member {
        site: missing.member.clone(),
        presence: Presence::Reporting,
        missing: missing.datasets.clone(),
        ..Member::default()
    }));
    System {
        id: covered.system,
        name_zh: covered.name_zh,
        name_en: covered.name_en,
        level: covered.mlps_level,
        expected: covered.expected.map_or(0, u64::from),
        reporting: u64::from(covered.reporting),
        members,
    }
}

/// Sorts gaps, newest first, and keeps as many as are shown.
fn newest(gaps: &mut Vec<Gap>) {
    gaps.sort_by(|one, other| other.time.cmp(&one.time));
    gaps.truncate(MAX_GAPS);
}

/// The first three parts of a key, which zeros part.
fn parts(key: &[u8]) -> Option<[String; 3]> {
    let mut parts =
        key.splitn(4, |byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    Some([parts.next()?, parts.next()?, parts.next()?])
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::alerts::State;
    use crate::history::{Draft, Options, Put};

    /// A data folder with keys, for tests of what needs a whole collector.
    pub(crate) struct Scene(tempfile::TempDir);

    impl Scene {
        pub(crate) fn new() -> Scene {
            let scene = Scene(tempfile::tempdir().expect("a directory"));
            let (names, root) = (["localhost".to_owned()], scene.path("root"));
            let passphrase = b"a passphrase of the root";
            crate::pki::setup::init(&scene.path("data"), &names, &root, passphrase, time::now())
                .expect("makes keys");
            scene
        }

        pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        pub(crate) fn open(&self) -> (Services, JoinHandle<()>) {
            let config = Config { data: self.path("data"), ..Config::default() };
            Services::offline(config).expect("opens")
        }
    }

    fn alert(n: u32, level: &str, state: State) -> Alert {
        let mut alert: Alert = serde_json::from_value(json!({
            "id": format!("{n:04}"), "entity": {"type": "host.name", "value": "a"},
            "rule": {"id": "r", "title": "r", "title_zh": "", "level": level},
            "count": 1, "first_seen": "", "last_seen": "", "host": "a", "agent": "a", "site": "s",
            "system": "his", "tags": [], "evidence": [], "state": "new", "raised": "",
            "advice": {}, "related": [], "changes": [],
        }))
        .expect("an alert");
        alert.state = state;
        alert
    }

    struct Bench {
        _dir: tempfile::TempDir,
        writer: Writer,
        history: History,
        open: OpenAlerts,
        next: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().expect("a directory");
            let options = Options { reserve_bytes: 0, ..Options::default() };
            let (writer, history) = Writer::open(dir.path(), options).expect("opens");
            Bench { _dir: dir, writer, history, open: OpenAlerts::default(), next: 1 }
        }

        /// As the judge writes a change: the alert, and its place in the feed.
        fn change(&mut self, alert: &Alert) {
            let value = serde_json::to_vec(alert).expect("plain data");
            let key = self.next.to_be_bytes().to_vec();
            let feed = Put { tree: tree::FEED, key, value: Some(value) };
            self.next += 1;
            let puts = vec![alerts::put(alert), feed];
            self.writer.commit(Draft { puts, ..Draft::default() }).expect("commits");
        }

        fn forget(&mut self, sequence: u64) {
            let key = sequence.to_be_bytes().to_vec();
            let puts = vec![Put { tree: tree::FEED, key, value: None }];
            self.writer.commit(Draft { puts, ..Draft::default() }).expect("commits");
        }

        fn open(&mut self) -> usize {
            self.open.follow(&self.history, self.next - 1);
            self.open.alerts.len()
        }
    }

    #[test]
    fn open_alerts_are_followed_and_not_counted_anew() {
        let mut bench = Bench::new();
        assert_eq!(bench.open(), 0);
        bench.change(&alert(1, "high", State::New));
        bench.change(&alert(2, "low", State::New));
        assert_eq!(bench.open(), 2);
        assert_eq!(bench.open.alerts["0001"], ("high".to_owned(), Some("a".to_owned())));
        assert_eq!(bench.open.alerts["0002"], ("low".to_owned(), None));
        bench.change(&alert(1, "high", State::Acknowledged));
        bench.change(&alert(2, "low", State::FalsePositive));
        assert_eq!(bench.open(), 1);
        // An alert of the past that the feed does not tell of again is not looked at again.
        let past = alerts::put(&alert(3, "high", State::New));
        bench.writer.commit(Draft { puts: vec![past], ..Draft::default() }).expect("commits");
        assert_eq!(bench.open(), 1);
        // The feed forgot what was not followed: everything is read anew.
        bench.change(&alert(4, "high", State::New));
        bench.change(&alert(5, "high", State::New));
        (1..=5).for_each(|sequence| bench.forget(sequence));
        assert_eq!(bench.open(), 4);
    }
}

//! The fleet as it is now: who is connected, whose clock is off, and the newest measurements. In
//! memory only: after a restart the agents connect again and tell.
//!
//! [`Fleet`] is fed by the input of agents (connections, signs of life, clocks) and by batches
//! (measurements), and read by pages, by the watch and, as a collector of gauges, by Prometheus. What
//! one host can add to it, and so to the number of time series, is bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts};
use serde::Serialize;

use super::read;
use super::rows::known;
use crate::event::{EventRef, Events, Sender};
use crate::store::Store;
use crate::time::{self, SECOND};

/// File systems, and networks, kept of one host.
const MAX_PARTS: usize = 48;
/// The longest name of one.
const MAX_NAME: usize = 128;
/// A file system or network that was not measured for so long beside the others is gone.
const PART_AGE: i64 = 120 * SECOND;
/// Measurements older than this say nothing about now.
const FRESH: i64 = 300 * SECOND;

/// What is known of one host now. Times are Unix nanoseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// Host name.
    pub host: String,
    /// Site.
    pub site: String,
    /// System.
    pub system: String,
    /// A connection is open.
    pub connected: bool,
    /// How many are: while an agent connects anew, the old connection ends after the new one began.
    pub connections: u32,
    /// The agent said that it stops; until it comes back nobody waits for it.
    pub orderly: bool,
    /// The last sign of life; 0 when there was none.
    pub last_seen: i64,
    /// Its clock minus ours, in nanoseconds, as of its last hello.
    pub clock_offset: Option<i64>,
    /// The newest measurements.
    pub performance: Performance,
}

/// The newest measurements of a host. Sizes in bytes, ratios 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Performance {
    /// When, Unix nanoseconds; 0 when never.
    pub time: i64,
    /// Share of all processors in use.
    pub cpu_ratio: Option<f64>,
    /// Load over one minute.
    pub load1: Option<f64>,
    /// Memory.
    pub memory_total_bytes: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<f64>,
    /// Room by mount point.
    pub filesystems: BTreeMap<String, Filesystem>,
    /// Counters by interface.
    pub networks: BTreeMap<String, Network>,
}

/// Room on a file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filesystem {
    /// When measured, Unix nanoseconds.
    pub time: i64,
    /// All of it.
    pub size_bytes: f64,
    /// What can still be written.
    pub avail_bytes: f64,
}

/// Counters of an interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Network {
    /// When measured, Unix nanoseconds.
    pub time: i64,
    /// Received since it was brought up.
    pub receive_bytes: f64,
    /// Sent since.
    pub transmit_bytes: f64,
}

impl Performance {
    /// Whether it says something about `now`.
    pub fn is_fresh(&self, now: i64) -> bool {
        self.time != 0 && now.saturating_sub(self.time) < FRESH
    }

    fn take(&mut self, event: &EventRef<'_>) {
        let time = event.event.time;
        // A spool that drains after days tells old news: what is newer stays.
        if time < self.time {
            return;
        }
        self.time = time;
        let number = |name| read::number(event, name);
        match event.event.dataset {
            "perf.cpu" => self.cpu_ratio = number("system.cpu.total.norm.pct"),
            "perf.load" => self.load1 = number("system.load.1"),
            "perf.memory" => {
                self.memory_total_bytes = number("system.memory.total");
                self.memory_used_bytes = number("system.memory.used.bytes");
            }
            "perf.filesystem" => {
                if let Some(entry) =
                    part(&mut self.filesystems, event, "system.filesystem.mount_point")
                {
                    *entry = Filesystem {
                        time,
                        size_bytes: number("system.filesystem.total").unwrap_or_default(),
                        avail_bytes: number("system.filesystem.available").unwrap_or_default(),
                    };
                }
            }
            "perf.network" => {
                if let Some(entry) = part(&mut self.networks, event, "system.network.name") {
                    *entry = Network {
                        time,
                        receive_bytes: number("system.network.in.bytes").unwrap_or_default(),
                        transmit_bytes: number("system.network.out.bytes").unwrap_or_default(),
                    };
                }
            }
            _ => {}
        }
    }

    fn drop_gone(&mut self) {
        let oldest = self.time.saturating_sub(PART_AGE);
        self.filesystems.retain(|_, part| part.time >= oldest);
        self.networks.retain(|_, part| part.time >= oldest);
    }
}

/// The entry of what an event measures; None when there is no room for another.
fn part<'a, T: Default>(
    parts: &'a mut BTreeMap<String, T>,
    event: &EventRef<'_>,
    name: &str,
) -> Option<&'a mut T> {
    let mut name = read::text(event, name);
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    if name.is_empty() || parts.len() >= MAX_PARTS && !parts.contains_key(&name) {
        return None;
    }
    Some(parts.entry(name).or_default())
}

/// Every host as it is now; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hosts: Mutex<BTreeMap<String, Live>>,
    descs: Vec<Desc>,
    clock: fn() -> i64,
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet::new()
    }
}

impl Fleet {
    /// Nobody yet.
    pub fn new() -> Fleet {
        Fleet::with_clock(time::now)
    }

    fn with_clock(clock: fn() -> i64) -> Fleet {
        let descs = METRICS.iter().map(Metric::desc).collect();
        Fleet(Arc::new(Inner { hosts: Mutex::default(), descs, clock }))
    }

    /// Takes in the hosts that rows know, as not connected, and lets go of those that were revoked. At
    /// start, and before each look of the watch.
    pub fn recall(&self, store: &dyn Store) {
        let known = known(store);
        let mut hosts = self.lock();
        for (agent, one) in known {
            if one.revoked {
                hosts.remove(&agent);
                continue;
            }
            let live = hosts.entry(agent).or_default();
            live.host = one.host.host;
            live.site = one.host.site;
            live.system = one.host.system;
            live.last_seen = live.last_seen.max(one.host.last_seen);
        }
    }

    /// An agent is connected; `offset` is its clock minus ours in nanoseconds.
    pub fn connected(&self, sender: &Sender, offset: Option<i64>, now: i64) {
        self.with(sender, |live| {
            live.connections = live.connections.saturating_add(1);
            live.connected = true;
            live.orderly = false;
            live.last_seen = live.last_seen.max(now);
            live.clock_offset = offset.or(live.clock_offset);
        });
    }

    /// A connection ended; `orderly` when the agent said that it stops.
    pub fn disconnected(&self, agent: &str, orderly: bool, now: i64) {
        if let Some(live) = self.lock().get_mut(agent) {
            live.connections = live.connections.saturating_sub(1);
            live.connected = live.connections > 0;
            live.orderly = orderly && !live.connected;
            live.last_seen = live.last_seen.max(now);
        }
    }

    /// An agent said that it stops, before this collector was started.
    pub fn stopped(&self, agent: &str) {
        if let Some(live) = self.lock().get_mut(agent).filter(|live| !live.connected) {
            live.orderly = true;
        }
    }

    /// An agent said something, be it nothing; `offset` as in [`Fleet::connected`].
    pub fn sign(&self, agent: &str, offset: Option<i64>, now: i64) {
        if let Some(live) = self.lock().get_mut(agent) {
            live.last_seen = live.last_seen.max(now);
            live.clock_offset = offset.or(live.clock_offset);
        }
    }

    /// Takes the measurements out of a batch received at `now`.
    pub fn observe(&self, sender: &Sender, events: &Events, now: i64) {
        self.with(sender, |live| {
            live.last_seen = live.last_seen.max(now);
            let mut any = false;
            for (index, event) in events.events.iter().enumerate() {
                if event.dataset.starts_with("perf.")
                    && let Some(event) = events.get(index, sender)
                {
                    live.performance.take(&event);
                    any = true;
                }
            }
            if any {
                live.performance.drop_gone();
            }
        });
    }

    /// Forgets an agent: it was revoked or removed.
    pub fn forget(&self, agent: &str) {
        self.lock().remove(agent);
    }

    /// What is known of one agent.
    pub fn get(&self, agent: &str) -> Option<Live> {
        self.lock().get(agent).cloned()
    }

    /// Everything, by agent id.
    pub fn all(&self) -> BTreeMap<String, Live> {
        self.lock().clone()
    }

    fn with(&self, sender: &Sender, change: impl FnOnce(&mut Live)) {
        let mut hosts = self.lock();
        let live = hosts.entry(sender.agent.to_string()).or_default();
        live.host = sender.host.to_string();
        live.site = sender.site.to_string();
        live.system = sender.system.to_string();
        change(live);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Live>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Labels of every metric of a host.
const LABELS: [&str; 4] = ["agent", "host", "site", "system"];

/// A gauge or a counter of hosts.
struct Metric {
    name: &'static str,
    help: &'static str,
    shape: Shape,
}

/// Where a metric's samples come from.
enum Shape {
    /// One gauge of a host.
    One(fn(&Live, i64) -> Option<f64>),
    /// A gauge by mount point.
    ByMount(fn(&Filesystem) -> f64),
    /// A counter by device.
    ByDevice(fn(&Network) -> f64),
}

/// A measurement, as long as it says something about now.
fn fresh(live: &Live, now: i64, value: Option<f64>) -> Option<f64> {
    value.filter(|_| live.performance.is_fresh(now))
}

const METRICS: &[Metric] = &[
    Metric {
        name: "hengwei_host_up",
        help: "Whether the agent of a host is connected.",
        shape: Shape::One(|live, _| Some(f64::from(u8::from(live.connected)))),
    },
    Metric {
        name: "hengwei_host_last_seen_seconds",
        help: "Unix time of the last sign of life of a host.",
        shape: Shape::One(|live, _| (live.last_seen != 0).then_some(live.last_seen as f64 / 1e9)),
    },
    Metric {
        name: "hengwei_host_clock_offset_seconds",
        help: "Clock of a host minus clock of the collector.",
        shape: Shape::One(|live, _| live.clock_offset.map(|offset| offset as f64 / 1e9)),
    },
    Metric {
        name: "hengwei_host_cpu_ratio",
        help: "Share of all processors of a host in use.",
        shape: Shape::One(|live, now| fresh(live, now, live.performance.cpu_ratio)),
    },
    Metric {
        name: "hengwei_host_memory_used_bytes",
        help: "Memory of a host in use.",
        shape: Shape::One(|live, now| fresh(live, now, live.performance.memory_used_bytes)),
    },
    Metric {
        name: "hengwei_host_memory_total_bytes",
        help: "Memory of a host.",
        shape: Shape::One(|live, now| fresh(live, now, live.performance.memory_total_bytes)),
    },
    Metric {
        name: "hengwei_host_load1",
        help: "Load average of a host over one minute.",
        shape: Shape::One(|live, now| fresh(live, now, live.performance.load1)),
    },
    Metric {
        name: "hengwei_host_filesystem_avail_bytes",
        help: "Room left on a file system of a host.",
        shape: Shape::ByMount(|filesystem| filesystem.avail_bytes),
    },
    Metric {
        name: "hengwei_host_filesystem_size_bytes",
        help: "Size of a file system of a host.",
        shape: Shape::ByMount(|filesystem| filesystem.size_bytes),
    },
    Metric {
        name: "hengwei_host_network_receive_bytes_total",
        help: "Bytes a network device of a host received.",
        shape: Shape::ByDevice(|network| network.receive_bytes),
    },
    Metric {
        name: "hengwei_host_network_transmit_bytes_total",
        help: "Bytes a network device of a host sent.",
        shape: Shape::ByDevice(|network| network.transmit_bytes),
    },
];

impl Metric {
    fn labels(&self) -> Vec<&'static str> {
        let own = match self.shape {
            Shape::One(_) => None,
            Shape::ByMount(_) => Some("mountpoint"),
            Shape::ByDevice(_) => Some("device"),
        };
        LABELS.into_iter().chain(own).collect()
    }

    fn desc(&self) -> Desc {
        let labels = self.labels().into_iter().map(str::to_owned).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, Default::default())
            .expect("names and labels above are well-formed")
    }

    fn family(&self, hosts: &BTreeMap<String, Live>, now: i64) -> Vec<MetricFamily> {
        let opts = Opts::new(self.name, self.help);
        let labels = self.labels();
        let formed = "names and labels above are well-formed";
        let of = |agent: &str, live: &Live| {
            [agent.to_owned(), live.host.clone(), live.site.clone(), live.system.clone()]
        };
        match self.shape {
            Shape::One(value) => {
                let gauges = GaugeVec::new(opts, &labels).expect(formed);
                for (agent, live) in hosts {
                    if let Some(value) = value(live, now) {
                        gauges.with_label_values(&of(agent, live)).set(value);
                    }
                }
                gauges.collect()
            }
            Shape::ByMount(value) => {
                let gauges = GaugeVec::new(opts, &labels).expect(formed);
                for (agent, live) in hosts.iter().filter(|(_, live)| live.performance.is_fresh(now))
                {
                    for (mount, filesystem) in &live.performance.filesystems {
                        let [agent, host, site, system] = of(agent, live);
                        let labels = [agent, host, site, system, mount.clone()];
                        gauges.with_label_values(&labels).set(value(filesystem));
                    }
                }
                gauges.collect()
            }
            Shape::ByDevice(value) => {
                let counters = CounterVec::new(opts, &labels).expect(formed);
                for (agent, live) in hosts.iter().filter(|(_, live)| live.performance.is_fresh(now))
                {
                    for (device, network) in &live.performance.networks {
                        let [agent, host, site, system] = of(agent, live);
                        let labels = [agent, host, site, system, device.clone()];
                        // A counter made just now takes its whole value in one step.
                        counters.with_label_values(&labels).inc_by(value(network).max(0.0));
                    }
                }
                counters.collect()
            }
        }
    }
}

impl Collector for Fleet {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let hosts = self.all();
        let now = (self.0.clock)();
        METRICS
            .iter()
            .flat_map(|metric| metric.family(&hosts, now))
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::fake::{add, sender};
    use super::*;
    use crate::history::tree;
    use crate::registry::{Agent, Revocation};
    use crate::store::fake::Fake;
    use prometheus::{Encoder, Registry, TextEncoder};
    use serde_json::json;
    use std::io::Write;
    use std::process::{Command, Stdio};

    const START: i64 = 1_800_000_000 * SECOND;

    fn measured(fleet: &Fleet, agent: &str, time: i64) {
        let mut events = Events::default();
        add(&mut events, "perf.cpu", time, json!({"system.cpu.total.norm.pct": 0.25}));
        add(&mut events, "perf.load", time, json!({"system.load.1": 1.5}));
        add(
            &mut events,
            "perf.memory",
            time,
            json!({"system.memory.total": 100, "system.memory.used.bytes": 40}),
        );
        add(
            &mut events,
            "perf.filesystem",
            time,
            json!({"system.filesystem.mount_point": "/da\"ta\n", "system.filesystem.total": 10,
                "system.filesystem.available": 5}),
        );
        add(
            &mut events,
            "perf.network",
            time,
            json!({"system.network.name": "eth0", "system.network.in.bytes": 7,
                "system.network.out.bytes": 9}),
        );
        fleet.observe(&sender(agent), &events, time);
    }

    fn text(fleet: &Fleet) -> String {
        let registry = Registry::new();
        registry.register(Box::new(fleet.clone())).unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn gauges_show_what_was_measured_last() {
        let fleet = Fleet::with_clock(|| START + SECOND);
        fleet.connected(&sender("his-01"), Some(-2 * SECOND), START);
        measured(&fleet, "his-01", START);
        let text = text(&fleet);
        let labels = r#"agent="his-01",host="his-01.lan",site="hospital-1",system="health-card""#;
        for expected in [
            format!("hengwei_host_up{{{labels}}} 1"),
            format!("hengwei_host_last_seen_seconds{{{labels}}} 1800000000"),
            format!("hengwei_host_clock_offset_seconds{{{labels}}} -2"),
            format!("hengwei_host_cpu_ratio{{{labels}}} 0.25"),
            format!("hengwei_host_memory_used_bytes{{{labels}}} 40"),
            format!("hengwei_host_memory_total_bytes{{{labels}}} 100"),
            format!("hengwei_host_load1{{{labels}}} 1.5"),
            "# TYPE hengwei_host_network_receive_bytes_total counter".to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected}\n{text}");
        }
        assert!(text.contains(r#"mountpoint="/da\"ta\n""#), "{text}");
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        let fleet = Fleet::with_clock(|| START);
        fleet.connected(&sender("his-01"), Some(0), START);
        measured(&fleet, "his-01", START);
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else {
            println!("skipped: promtool is not installed");
            return;
        };
        promtool.stdin.take().unwrap().write_all(text(&fleet).as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        assert_eq!(String::from_utf8_lossy(&said), "");
    }

    #[test]
    fn old_measurements_are_not_shown_and_do_not_replace_new_ones() {
        let fleet = Fleet::with_clock(|| START + 600 * SECOND);
        measured(&fleet, "his-01", START + 500 * SECOND);
        let new = fleet.get("his-01").unwrap().performance;
        measured(&fleet, "his-01", START);
        assert_eq!(fleet.get("his-01").unwrap().performance, new);
        assert!(text(&fleet).contains("hengwei_host_cpu_ratio{"));
        let late = Fleet::with_clock(|| START + 900 * SECOND);
        measured(&late, "his-01", START);
        assert!(!text(&late).contains("hengwei_host_cpu_ratio{"));
        assert!(text(&late).contains("hengwei_host_up{"));
    }

    #[test]
    fn one_host_can_not_flood_the_gauges() {
        let fleet = Fleet::with_clock(|| START);
        let mut events = Events::default();
        for n in 0..10_000 {
            let name = format!("{n:05}{}", "x".repeat(1000));
            add(&mut events, "perf.network", START, json!({"system.network.name": name}));
        }
        fleet.observe(&sender("his-01"), &events, START);
        let networks = fleet.get("his-01").unwrap().performance.networks;
        assert_eq!(networks.len(), MAX_PARTS);
        assert!(networks.keys().all(|name| name.len() <= MAX_NAME));
    }

    #[test]
    fn a_device_that_went_is_forgotten() {
        let fleet = Fleet::with_clock(|| START);
        measured(&fleet, "his-01", START);
        let mut events = Events::default();
        let later = START + PART_AGE + SECOND;
        add(&mut events, "perf.network", later, json!({"system.network.name": "eth1"}));
        fleet.observe(&sender("his-01"), &events, later);
        let performance = fleet.get("his-01").unwrap().performance;
        assert_eq!(performance.networks.keys().collect::<Vec<_>>(), ["eth1"]);
        assert!(performance.filesystems.is_empty());
    }

    #[test]
    fn connections_come_and_go() {
        let fleet = Fleet::with_clock(|| START);
        let store = Fake::default();
        for (id, revoked) in [("his-01", None), ("his-02", Some(Revocation::default()))] {
            let agent = Agent { id: id.into(), revoked, ..Agent::default() };
            store.put(tree::AGENTS, id, json!(agent));
        }
        store.put(tree::HOSTS, "his-01", json!({"last_seen": START}));
        fleet.recall(&store);
        assert_eq!(fleet.all().keys().collect::<Vec<_>>(), ["his-01"]);
        assert_eq!(fleet.get("his-01").unwrap().last_seen, START);
        fleet.connected(&sender("his-01"), None, START + 1);
        fleet.disconnected("his-01", true, START + 2);
        let live = fleet.get("his-01").unwrap();
        assert_eq!((live.connected, live.orderly, live.last_seen), (false, true, START + 2));
        fleet.connected(&sender("his-01"), None, START + 3);
        assert!(!fleet.get("his-01").unwrap().orderly);
        fleet.connected(&sender("his-01"), None, START + 4);
        fleet.disconnected("his-01", true, START + 5);
        let live = fleet.get("his-01").unwrap();
        assert!(
            live.connected && !live.orderly,
            "the old connection ended after the new one began"
        );
        fleet.stopped("his-01");
        assert!(!fleet.get("his-01").unwrap().orderly, "what was said before it came is over");
        fleet.disconnected("his-01", false, START + 6);
        fleet.stopped("his-01");
        assert!(fleet.get("his-01").unwrap().orderly);
        fleet.sign("nobody", None, START);
        assert_eq!(fleet.get("nobody"), None);
        fleet.forget("his-01");
        assert!(fleet.all().is_empty());
    }
}

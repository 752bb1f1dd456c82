//! How much of a system reports: plain counting over what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use serde::Serialize;

use super::{System, Systems};
use crate::hosts::{Fleet, Host, known};
use crate::store::Store;
use crate::time::{HOUR, SECOND, rfc3339};

/// An agent that gave no sign of life for so long does not report, in nanoseconds.
pub const REPORTS_WITHIN: i64 = 300 * SECOND;
/// Names spelled out in a sentence; the rest are counted.
const MAX_NAMED: usize = 5;

/// How much of a system reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// The system's id.
    pub system: String,
    /// Its Chinese name.
    pub name_zh: String,
    /// Its English name.
    pub name_en: String,
    /// Level of its protection (等保).
    pub mlps_level: u8,
    /// Members it should have; None when nobody said.
    pub expected: Option<u32>,
    /// Members of which something came, ever.
    pub seen: u32,
    /// Members that report now.
    pub reporting: u32,
    /// Agents that did report and don't.
    pub silent: Vec<Silent>,
    /// Members of which nothing ever came.
    pub never: u32,
    /// Those of them that are known by name: sites, and agents that enrolled and sent nothing.
    pub never_named: Vec<String>,
    /// Members that report, but not everything.
    pub missing: Vec<Missing>,
}

/// An agent that did report and doesn't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Its id.
    pub agent: String,
    /// Its site.
    pub site: String,
    /// Its last sign of life, RFC 3339.
    pub since: String,
    /// It said that it stops.
    pub orderly: bool,
}

/// What a member does not deliver, though its agents report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its site, or the id of an agent that has none.
    pub member: String,
    /// `sshd or sudo`, as the system's file asks for it.
    pub datasets: Vec<String>,
}

/// The coverage of every system at `now`, Unix nanoseconds.
pub fn coverage(systems: &Systems, store: &dyn Store, fleet: &Fleet, now: i64) -> Vec<Coverage> {
    let live = fleet.all();
    let mut agents: BTreeMap<String, Vec<Agent>> = BTreeMap::new();
    for (id, one) in known(store) {
        if one.revoked {
            continue;
        }
        let live = live.get(&id);
        let agent = Agent {
            connected: live.is_some_and(|live| live.connected),
            orderly: live.is_some_and(|live| live.orderly),
            last_seen: one.host.last_seen.max(live.map_or(0, |live| live.last_seen)),
            host: one.host,
        };
        agents.entry(agent.host.system.clone()).or_default().push(agent);
    }
    let none = Vec::new();
    systems.iter().map(|system| of(system, agents.get(&system.id).unwrap_or(&none), now)).collect()
}

struct Agent {
    host: Host,
    connected: bool,
    orderly: bool,
    last_seen: i64,
}

impl Agent {
    /// The member it stands for; an agent without a site stands for itself.
    fn member(&self) -> &str {
        if self.host.site.is_empty() { &self.host.agent } else { &self.host.site }
    }

    fn reports(&self, now: i64) -> bool {
        self.connected || now.saturating_sub(self.last_seen) < REPORTS_WITHIN
    }
}

/// What of a system's requirements no agent of a member delivered in time.
fn missing(system: &System, agents: &[&Agent], now: i64) -> Vec<String> {
    let lacks = system.datasets.iter().filter(|requirement| {
        let within = i64::from(requirement.within_hours) * HOUR;
        let last = agents.iter().map(|agent| {
            let of = &agent.host.datasets;
            let last = requirement.any_of.iter().filter_map(|name| of.get(name)).max();
            // A new agent has as long to begin as an old one may pause.
            last.copied().unwrap_or(agent.host.first_seen)
        });
        last.max().is_none_or(|last| now.saturating_sub(last) > within)
    });
    lacks.map(|requirement| requirement.any_of.join(" or ")).collect()
}

fn of(system: &System, agents: &[Agent], now: i64) -> Coverage {
    let mut coverage = Coverage {
        system: system.id.clone(),
        name_zh: system.name_zh.clone(),
        name_en: system.name_en.clone(),
        mlps_level: system.mlps_level,
        expected: system.expected.or(u32::try_from(system.members.len()).ok().filter(|n| *n > 0)),
        ..Coverage::default()
    };
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut failing: BTreeSet<&str> = BTreeSet::new();
    for agent in agents {
        if agent.last_seen == 0 {
            coverage.never_named.push(agent.host.agent.clone());
            failing.insert(agent.member());
            continue;
        }
        seen.insert(agent.member());
        if !agent.reports(now) {
            failing.insert(agent.member());
            coverage.silent.push(Silent {
                agent: agent.host.agent.clone(),
                site: agent.host.site.clone(),
                since: rfc3339(agent.last_seen),
                orderly: agent.orderly,
            });
        }
    }
    for member in seen.difference(&failing) {
        let of_member: Vec<&Agent> =
            agents.iter().filter(|agent| agent.member() == *member).collect();
        let datasets = missing(system, &of_member, now);
        if !datasets.is_empty() {
            coverage.missing.push(Missing { member: (*member).to_owned(), datasets });
        }
    }
    let unseen = system.members.iter().filter(|member| !seen.contains(member.site.as_str()));
    let unseen = unseen.filter(|member| !failing.contains(member.site.as_str()));
    coverage.never_named.extend(unseen.map(|member| member.site.clone()));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    coverage.seen = count(seen.len());
    coverage.reporting = count(seen.difference(&failing).count());
    coverage.never = coverage.expected.map_or(0, |expected| expected.saturating_sub(coverage.seen));
    coverage.never = coverage.never.max(count(coverage.never_named.len()));
    coverage
}

impl Coverage {
    /// In a sentence: "24 of 26 reporting: silent since … his-03; never seen: 1".
    pub fn text_en(&self) -> String {
        let head = match self.expected {
            Some(expected) => format!("{} of {expected} reporting", self.reporting),
            None => format!("{} reporting", self.reporting),
        };
        let silent =
            self.silent.iter().map(|silent| format!("since {} {}", silent.since, silent.agent));
        let missing = self
            .missing
            .iter()
            .map(|missing| format!("{} lacks {}", missing.member, missing.datasets.join(", ")));
        let parts = [
            named("silent ", silent, ", ", |more| format!("and {more} more")),
            self.never_text("never seen: ", ", ", " (", ")"),
            named("", missing, ", ", |more| format!("and {more} more lack datasets")),
        ];
        sentence(head, ": ", parts, "; ")
    }

    /// The same in Chinese.
    pub fn text_zh(&self) -> String {
        let head = match self.expected {
            Some(expected) => format!("应报 {expected} 家，在报 {} 家", self.reporting),
            None => format!("在报 {} 家", self.reporting),
        };
        let silent =
            self.silent.iter().map(|silent| format!("{} 自 {}", silent.agent, silent.since));
        let missing = self
            .missing
            .iter()
            .map(|missing| format!("{} 缺 {}", missing.member, missing.datasets.join("、")));
        let parts = [
            named("静默 ", silent, "、", |more| format!("另有 {more} 个")),
            self.never_text("从未上报 ", "、", "（", "）"),
            named("", missing, "、", |more| format!("另有 {more} 个缺数据")),
        ];
        sentence(head, "：", parts, "；")
    }

    fn never_text(&self, head: &str, comma: &str, open: &str, close: &str) -> Option<String> {
        let names =
            self.never_named.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(comma);
        let names = if names.is_empty() { names } else { format!("{open}{names}{close}") };
        (self.never > 0).then(|| format!("{head}{}{names}", self.never))
    }
}

fn named(
    head: &str,
    names: impl ExactSizeIterator<Item = String>,
    comma: &str,
    more: impl Fn(usize) -> String,
) -> Option<String> {
    let rest = names.len().saturating_sub(MAX_NAMED);
    let mut names: Vec<String> = names.take(MAX_NAMED).collect();
    if rest > 0 {
        names.push(more(rest));
    }
    (!names.is_empty()).then(|| format!("{head}{}", names.join(comma)))
}

fn sentence(head: String, colon: &str, parts: [Option<String>; 3], between: &str) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { head } else { format!("{head}{colon}{}", parts.join(between)) }
}

/// The two gauges of coverage, as of the last time it was counted; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gauges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    latest: Mutex<Vec<Coverage>>,
    descs: Vec<Desc>,
}

const EXPECTED: (&str, &str) =
    ("hengwei_system_members_expected", "Members a guarded system should have.");
const REPORTING: (&str, &str) =
    ("hengwei_system_members_reporting", "Members of a guarded system that report now.");

impl Default for Gauges {
    fn default() -> Gauges {
        Gauges::new()
    }
}

impl Gauges {
    /// Nothing counted yet.
    pub fn new() -> Gauges {
        let desc = |(name, help): (&str, &str)| {
            Desc::new(
                name.to_owned(),
                help.to_owned(),
                vec!["system".to_owned()],
                Default::default(),
            )
            .expect("names and labels above are well-formed")
        };
        let descs = vec![desc(EXPECTED), desc(REPORTING)];
        Gauges(Arc::new(Inner { latest: Mutex::default(), descs }))
    }

    /// Shows this from now on.
    pub fn set(&self, coverage: Vec<Coverage>) {
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = coverage;
    }

    /// What was counted last.
    pub fn latest(&self) -> Vec<Coverage> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = self.latest();
        let family = |(name, help): (&str, &str), value: fn(&Coverage) -> Option<u32>| {
            let gauges = GaugeVec::new(Opts::new(name, help), &["system"])
                .expect("names and labels above are well-formed");
            for coverage in &latest {
                if let Some(value) = value(coverage) {
                    gauges.with_label_values(&[&coverage.system]).set(f64::from(value));
                }
            }
            gauges.collect()
        };
        let mut families = family(EXPECTED, |coverage| coverage.expected);
        families.extend(family(REPORTING, |coverage| Some(coverage.reporting)));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Sender;
    use crate::history::tree;
    use crate::registry::{Agent, Revocation};
    use crate::store::fake::Fake;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000 * SECOND;

    fn systems(text: &str) -> Systems {
        let head = "id = \"card\"\nname_zh = \"卡\"\nname_en = \"Card\"\nmlps_level = 3\n";
        let foot = "[[datasets]]\nany_of = [\"sshd\", \"sudo\"]\nwithin_hours = 24\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("card.toml"), format!("{head}{text}{foot}")).unwrap();
        Systems::load(Some(dir.path())).unwrap()
    }

    /// An agent of site `site` as the registry has it.
    fn enrolled(store: &Fake, id: &str, site: &str, revoked: Option<Revocation>) {
        let agent = Agent {
            id: id.into(),
            site: site.into(),
            system: "card".into(),
            host: id.into(),
            revoked,
            ..Agent::default()
        };
        store.put(tree::AGENTS, id, json!(agent));
    }

    /// An agent of site `site` whose last sign is `ago` seconds old.
    fn agent(store: &Fake, id: &str, site: &str, ago: i64) {
        let datasets = json!({"sudo": NOW - HOUR});
        enrolled(store, id, site, None);
        store.put(
            tree::HOSTS,
            id,
            json!({"agent": id, "first_seen": NOW - 100 * HOUR, "last_seen": NOW - ago * SECOND, "datasets": datasets}),
        );
    }

    fn counted(systems: &Systems, store: &Fake, fleet: &Fleet) -> Coverage {
        coverage(systems, store, fleet, NOW).into_iter().find(|one| one.system == "card").unwrap()
    }

    #[test]
    fn members_report_are_silent_or_were_never_seen() {
        let store = Fake::default();
        for n in 1..=23 {
            agent(&store, &format!("his-{n:02}"), &format!("hospital-{n}"), 10);
        }
        agent(&store, "his-24", "hospital-24", 3600);
        agent(&store, "his-23b", "hospital-23", 7200);
        enrolled(&store, "his-25", "hospital-25", None);
        enrolled(&store, "gone", "x", Some(Revocation::default()));
        let one = counted(&systems("expected = 26\n"), &store, &Fleet::new());
        assert_eq!((one.expected, one.seen, one.reporting, one.never), (Some(26), 24, 22, 2));
        assert_eq!(
            one.text_en(),
            "22 of 26 reporting: silent since 2027-01-15T06:00:00Z his-23b, since \
             2027-01-15T07:00:00Z his-24; never seen: 2 (his-25)"
        );
        assert_eq!(
            one.text_zh(),
            "应报 26 家，在报 22 家：静默 his-23b 自 2027-01-15T06:00:00Z、his-24 自 2027-01-15T07:00:00Z；从未上报 2（his-25）"
        );
    }

    #[test]
    fn complete_is_said_shortly() {
        let store = Fake::default();
        agent(&store, "a", "one", 10);
        agent(&store, "b", "", 10);
        let one = counted(&systems("expected = 2\n"), &store, &Fleet::new());
        assert_eq!((one.silent.len(), one.never, one.missing.len()), (0, 0, 0));
        assert_eq!(one.text_en(), "2 of 2 reporting");
        let one = counted(&systems(""), &store, &Fleet::new());
        assert_eq!((one.expected, one.text_en().as_str()), (None, "2 reporting"));
    }

    #[test]
    fn a_connection_counts_even_when_nothing_was_written_yet() {
        let store = Fake::default();
        agent(&store, "a", "one", 3600);
        let fleet = Fleet::new();
        let sender = Sender {
            agent: "a".into(),
            host: "a".into(),
            site: "one".into(),
            system: "card".into(),
            zone: "UTC".into(),
        };
        fleet.connected(&sender, None, NOW - HOUR);
        assert_eq!(counted(&systems("expected = 1\n"), &store, &fleet).reporting, 1);
        fleet.disconnected("a", true, NOW - HOUR);
        let one = counted(&systems("expected = 1\n"), &store, &fleet);
        assert_eq!((one.reporting, one.silent[0].orderly), (0, true));
    }

    #[test]
    fn named_members_are_missed_by_name() {
        let store = Fake::default();
        agent(&store, "a", "centre", 10);
        let members = "[[members]]\nsite = \"centre\"\nname_zh = \"中心\"\n\
            [[members]]\nsite = \"station-1\"\nname_zh = \"一分站\"\n";
        let one = counted(&systems(members), &store, &Fleet::new());
        assert_eq!(one.text_en(), "1 of 2 reporting: never seen: 1 (station-1)");
    }

    #[test]
    fn a_dataset_that_stopped_or_never_came_is_missing() {
        let store = Fake::default();
        let host = |first: i64, last: i64| json!({"agent": "a", "first_seen": NOW - first * HOUR, "last_seen": NOW, "datasets": {"sshd": NOW - last * HOUR}});
        enrolled(&store, "a", "one", None);
        let check = |host: serde_json::Value, missing: &[&str]| {
            store.put(tree::HOSTS, "a", host);
            let one = counted(&systems("expected = 1\n"), &store, &Fleet::new());
            let found: Vec<_> = one.missing.iter().flat_map(|missing| &missing.datasets).collect();
            assert_eq!(found, missing);
        };
        check(host(100, 1), &[]);
        check(host(100, 25), &["sshd or sudo"]);
        check(json!({"agent": "a", "first_seen": NOW - HOUR, "last_seen": NOW}), &[]);
        check(
            json!({"agent": "a", "first_seen": NOW - 25 * HOUR, "last_seen": NOW}),
            &["sshd or sudo"],
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let store = Fake::default();
        for n in 1..=9 {
            agent(&store, &format!("a{n}"), &format!("s{n}"), 3600);
        }
        let text = counted(&systems("expected = 9\n"), &store, &Fleet::new()).text_en();
        assert!(text.contains("a5, and 4 more") && !text.contains("a6"), "{text}");
    }

    #[test]
    fn gauges_show_what_was_counted() {
        let gauges = Gauges::new();
        assert!(gauges.collect().is_empty());
        let one = Coverage {
            system: "card".into(),
            expected: Some(26),
            reporting: 24,
            ..Coverage::default()
        };
        let unknown =
            Coverage { system: "his".into(), expected: None, reporting: 1, ..Coverage::default() };
        gauges.set(vec![one, unknown]);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(gauges)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("hengwei_system_members_expected{system=\"card\"} 26\n"), "{text}");
        assert!(text.contains("hengwei_system_members_reporting{system=\"card\"} 24\n"), "{text}");
        assert!(!text.contains("expected{system=\"his\"}"), "{text}");
    }
}

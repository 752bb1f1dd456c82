//! What pages show, in the words of pages. The parts that know (hosts, systems, ledger, search,
//! alerts) are behind [`Views`]; the API gives the same objects as JSON. All methods may block.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alerts::{Alert, State};
use crate::search::{Asked, Said};
use crate::store::{Decision, Error};

/// Answers for pages and API.
pub trait Views: Send + Sync {
    /// Every host, by name.
    fn hosts(&self) -> Vec<HostRow>;
    /// All about one host, by agent id.
    fn host(&self, agent: &str) -> Option<HostDetail>;
    /// Every guarded system and who of it reports.
    fn coverage(&self) -> Vec<System>;
    /// What arrived and what did not.
    fn ledger(&self) -> Ledger;
    /// How the collector is: an object whose members are sections, each an object or a list of
    /// objects. Shown as it is.
    fn status(&self) -> serde_json::Value;
    /// Rows that fit, newest first, until `see` or `wanted` returns false; an error says why it does
    /// not go on. Runs long, so `wanted` is asked whether there are rows or not.
    fn search(
        &self,
        search: &Search,
        wanted: &dyn Fn() -> bool,
        see: &mut dyn FnMut(Said) -> bool,
    ) -> Result<(), String>;
    /// Decides a change of an alert; runs inside the judge.
    fn change(&self, now: i64, change: &Change) -> Result<(Decision, Alert), Error>;
}

/// What an officer wants of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Account, or `account/token`.
    pub who: String,
    /// Alert.
    pub id: String,
    /// The new state.
    pub state: State,
    /// Why; never empty.
    pub reason: String,
    /// When an accepted risk ends, RFC 3339.
    pub expires: Option<String>,
}

/// What to look for.
#[derive(Debug, Clone)]
pub struct Search {
    /// The query as typed.
    pub q: String,
    /// What it means.
    pub asked: Asked,
}

/// Whether a host reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Heard of within its time.
    Reporting,
    /// Not any more.
    Silent,
    /// Not any more, and it said so: it was stopped in good order.
    Stopped,
    /// Not any more, because it may not.
    Revoked,
    /// Never.
    #[default]
    NeverSeen,
}

/// A line of the list of hosts.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct HostRow {
    /// Agent id.
    pub agent: String,
    /// Host name.
    pub host: String,
    /// Site.
    pub site: String,
    /// Guarded system.
    pub system: String,
    /// Operating system and version.
    pub os: String,
    /// Whether it reports.
    pub presence: Presence,
    /// RFC 3339.
    pub last_seen: Option<String>,
    /// The source that is furthest behind.
    pub lag_seconds: Option<f64>,
    /// RFC 3339.
    pub certificate_until: Option<String>,
    /// Alerts of it that are new or acknowledged.
    pub open_alerts: u64,
}

/// All about one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct HostDetail {
    /// Its line.
    pub row: HostRow,
    /// Kernel, architecture, model ... as name and value, in the order to show.
    pub facts: Vec<(String, String)>,
    /// Its certificates, newest first.
    pub certificates: Vec<Certificate>,
    /// What its agent reads.
    pub sources: Vec<Source>,
    /// What it has, by dataset.
    pub inventory: Vec<Shelf>,
    /// What changed, newest first.
    pub changes: Vec<InventoryChange>,
}

/// A certificate of an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Certificate {
    /// Hex.
    pub serial: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Something an agent reads.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Source {
    /// `files`, `journal`, `performance` ...
    pub source: String,
    /// Of a file.
    pub path: String,
    /// Records so far.
    pub records: u64,
    /// RFC 3339.
    pub last_seen: Option<String>,
    /// From event to commit, of the last batch.
    pub lag_seconds: Option<f64>,
}

/// Items of one dataset.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Shelf {
    /// `asset.package` ...
    pub dataset: String,
    /// By key.
    pub items: Vec<Item>,
}

/// One thing a host has.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Item {
    /// Unique within the dataset on that host.
    pub key: String,
    /// Field to text.
    pub fields: BTreeMap<String, String>,
}

/// Something that changed on a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct InventoryChange {
    /// RFC 3339.
    pub time: String,
    /// `asset.package` ...
    pub dataset: String,
    /// Of the item.
    pub key: String,
    /// `added`, `changed`, `removed`.
    pub action: String,
    /// From what to what.
    pub detail: String,
}

/// A guarded system.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct System {
    /// Its id.
    pub id: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// MLPS level, 0 when not graded.
    pub level: u8,
    /// Members that should report.
    pub expected: u64,
    /// Members that do.
    pub reporting: u64,
    /// Who, the missing ones first.
    pub members: Vec<Member>,
}

/// A member of a guarded system.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Member {
    /// Site.
    pub site: String,
    /// Agent id; None when it never enrolled.
    pub agent: Option<String>,
    /// Whether it reports.
    pub presence: Presence,
    /// RFC 3339; None when never seen.
    pub last_seen: Option<String>,
    /// Datasets it must deliver and does not.
    pub missing: Vec<String>,
}

/// What arrived and what did not.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Ledger {
    /// Every queue of every agent.
    pub queues: Vec<Queue>,
    /// Newest first.
    pub gaps: Vec<Gap>,
}

/// A queue of an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Queue {
    /// Agent id.
    pub agent: String,
    /// Host name.
    pub host: String,
    /// Site.
    pub site: String,
    /// Kind.
    pub kind: String,
    /// Hex.
    pub epoch: String,
    /// First number not committed.
    pub next: u64,
    /// Records received.
    pub records: u64,
    /// Numbers known to be missing.
    pub missing: u64,
    /// RFC 3339.
    pub first_time: String,
    /// RFC 3339.
    pub last: String,
}

/// A recorded gap.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Gap {
    /// Agent id.
    pub agent: String,
    /// Kind.
    pub kind: String,
    /// Epoch, hexadecimal: numbers are of it.
    pub epoch: String,
    /// Number of the record that says so.
    pub number: u64,
    /// Numbers it stands for, from that one on.
    pub span: u64,
    /// Records lost, 0 when unknown.
    pub records: u64,
    /// Bytes lost, 0 when unknown.
    pub bytes: u64,
    /// `protocol::gap::Cause`.
    pub cause: String,
    /// In words.
    pub detail: String,
    /// Source and path.
    pub source: String,
    /// Path.
    pub path: String,
    /// RFC 3339.
    pub time: String,
}

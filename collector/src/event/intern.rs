//! The process-wide table of field names.
//!
//! Known names have the ids of [`names`]. Others get the next id when they are first seen and keep
//! it until the process ends; their text is leaked, which is what makes a name `'static`. What
//! strangers can add (keys of JSON lines, names in typed records, datasets) is capped, so no input
//! can grow the table without end: beyond the cap a field is left out and its event says so.
//! Names that rules use are the operator's and are always taken; those that our own agents write, and
//! the datasets our decoders know, have their place from the beginning, so that one host that makes
//! up names does not blind the collector to the others.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use super::{FieldId, names};

/// Names that strangers may add.
pub const MAX_OUTSIDE: usize = 16_384;
/// The longest name a stranger may add, in bytes.
pub const MAX_OUTSIDE_LEN: usize = hengwei_protocol::limits::MAX_FIELD_NAME;

/// What our own ends write beyond [`names::KNOWN`], and every dataset that detection depends on beside
/// those of the decoders.
const OURS: &[&str] = &[
    "hengwei.agent.last_seen",
    "hengwei.asset.complete",
    "hengwei.clock.offset_seconds",
    "hengwei.condition.since",
    "hengwei.coverage.expected",
    "hengwei.coverage.reporting",
    "hengwei.coverage.text",
    "hengwei.coverage.text_zh",
    "hengwei.epoch.from",
    "hengwei.epoch.to",
    "hengwei.fim.adopted",
    "hengwei.fim.hashed",
    "hengwei.fim.paths",
    "hengwei.history.bytes",
    "hengwei.history.bytes_per_day",
    "hengwei.history.days_left",
    "hengwei.history.limit",
    "hengwei.history.max_bytes",
    "hengwei.journal.escaped",
    "hengwei.journal.length",
    "hengwei.journal.sha256",
    "hengwei.queue",
    "hengwei.subject.host",
    "apache.access",
    "apache.error",
    "asset.filesystem",
    "asset.group",
    "asset.hardware",
    "asset.host",
    "asset.interface",
    "asset.os",
    "asset.package",
    "asset.service",
    "asset.socket",
    "asset.user",
    "audit",
    "auditd",
    "auth",
    "cron",
    "fim",
    "groupadd",
    "groupdel",
    "hengwei.agent",
    "hengwei.coverage",
    "hengwei.disk",
    "hengwei.gap",
    "hengwei.history",
    "json",
    "login",
    "nginx.access",
    "nginx.error",
    "pam",
    "passwd",
    "perf.cpu",
    "perf.disk",
    "perf.filesystem",
    "perf.load",
    "perf.memory",
    "perf.network",
    "perf.process",
    "secure",
    "sshd",
    "su",
    "sudo",
    "syslog",
    "systemd",
    "systemd-logind",
    "useradd",
    "userdel",
    "usermod",
];

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(|| RwLock::new(Table::new(MAX_OUTSIDE)));

struct Table {
    ids: HashMap<&'static str, FieldId>,
    /// Names beyond the known ones, by id.
    learnt: Vec<&'static str>,
    /// How many more strangers may add.
    room: usize,
}

impl Table {
    fn new(room: usize) -> Table {
        let ids = (0u32..).zip(names::KNOWN).map(|(id, name)| (*name, FieldId(id))).collect();
        let mut table = Table { ids, learnt: Vec::new(), room };
        let decoders = crate::decode::DECODERS.iter().flat_map(|decoder| decoder.datasets);
        for name in OURS.iter().chain(decoders) {
            table.add(name, false);
        }
        table
    }

    fn add(&mut self, name: &str, outside: bool) -> Option<FieldId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if outside {
            self.room = self.room.checked_sub(1)?;
        }
        let id = FieldId(u32::try_from(names::KNOWN.len() + self.learnt.len()).ok()?);
        let name: &'static str = Box::leak(Box::from(name));
        self.learnt.push(name);
        self.ids.insert(name, id);
        Some(id)
    }
}

impl FieldId {
    /// The id of a name that the operator or our own code gives; the same for the same name.
    pub fn of(name: &str) -> FieldId {
        FieldId::find(name).unwrap_or_else(|| {
            let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
            table.add(name, false).expect("memory ends before 2^32 names of rules do")
        })
    }

    /// The id of a name that a stranger gives; None when there is no more room for such names.
    pub fn outside(name: &str) -> Option<FieldId> {
        // Before it is looked up: hashing a name of 200 KiB for each of a thousand values is work
        // that a stranger must not be able to ask for.
        if name.len() > MAX_OUTSIDE_LEN {
            return None;
        }
        if let Some(id) = FieldId::find(name) {
            return Some(id);
        }
        TABLE.write().unwrap_or_else(PoisonError::into_inner).add(name, true)
    }

    /// The id of a name, when it has one.
    pub fn find(name: &str) -> Option<FieldId> {
        TABLE.read().unwrap_or_else(PoisonError::into_inner).ids.get(name).copied()
    }

    /// The name.
    pub fn name(self) -> &'static str {
        let id = self.0 as usize;
        match names::KNOWN.get(id) {
            Some(name) => name,
            None => TABLE
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .learnt
                .get(id - names::KNOWN.len())
                .copied()
                .unwrap_or_default(),
        }
    }
}

/// A dataset's name for as long as the process lives; None when there is no more room.
pub fn dataset(name: &str) -> Option<&'static str> {
    FieldId::outside(name).map(FieldId::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id() {
        assert_eq!(FieldId::of("source.ip"), names::SOURCE_IP);
        let id = FieldId::of("test.intern.mine");
        assert_eq!(
            (FieldId::outside("test.intern.mine"), id.name()),
            (Some(id), "test.intern.mine")
        );
        assert_eq!(FieldId::find("test.intern.never"), None);
        assert_eq!(FieldId(u32::MAX).name(), "");
    }

    #[test]
    fn strangers_fill_their_room_and_no_more() {
        let mut table = Table::new(2);
        assert!(table.add("a", true).is_some() && table.add("b", true).is_some());
        assert_eq!(table.add("c", true), None);
        assert!(table.add("a", true).is_some(), "what is known stays known");
        assert!(table.add("source.ip", true).is_some());
        let mine = table.add("c", false);
        assert!(mine.is_some(), "the operator's rules always find room");
        assert_eq!(table.add("c", true), mine);
    }

    #[test]
    fn what_detection_depends_on_has_its_place_before_any_stranger_comes() {
        let mut full = Table::new(0);
        assert_eq!(full.add("made.up", true), None);
        for dataset in ["sshd", "perf.cpu", "asset.socket", "fim", "hengwei.agent"] {
            assert!(full.add(dataset, true).is_some(), "{dataset}");
        }
    }

    #[test]
    fn a_name_too_long_is_left_out() {
        assert_eq!(FieldId::outside(&"x".repeat(MAX_OUTSIDE_LEN + 1)), None);
    }
}

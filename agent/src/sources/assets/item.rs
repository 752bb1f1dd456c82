//! One item of the inventory, what is remembered of a class of items, and what differs between two
//! looks at it.
//!
//! What is remembered lies in the spool beside the records it belongs to (the position of the
//! source), so it is kept small: the names of fields once, then one JSON array per item. A line
//! break inside a name is escaped by JSON, so a hostile mount point or package stays one item.
//! What can't be read back, a damaged or newer form, is as good as nothing: a new snapshot follows.

use std::collections::BTreeMap;

use hengwei_protocol::record::{flag, integer, text};
use hengwei_protocol::wire::Field;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value as Json;

/// First line of what is remembered: changes with its form.
const FORM: &str = "hengwei-assets 1";
/// Name of the field that tells items of one class on one host apart.
pub(crate) const KEY: &str = "hengwei.asset.key";

/// What kind of thing an item is; one dataset each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The operating system and its kernel.
    Os,
    /// Processor, memory, maker.
    Hardware,
    /// Network interfaces and their addresses.
    Interface,
    /// Mounted file systems that hold data.
    Filesystem,
    /// Installed packages.
    Package,
    /// Accounts.
    User,
    /// Groups of accounts.
    Group,
    /// Listening sockets.
    Socket,
    /// Services of systemd.
    Service,
    /// The host itself. The last of [`Class::ALL`]: its record closes a snapshot.
    Host,
}

impl Class {
    /// All classes, in the order of a snapshot.
    pub const ALL: [Class; 10] = [
        Class::Os,
        Class::Hardware,
        Class::Interface,
        Class::Filesystem,
        Class::Package,
        Class::User,
        Class::Group,
        Class::Socket,
        Class::Service,
        Class::Host,
    ];

    /// `event.dataset` of its items; also the key of what is remembered of it.
    pub const fn dataset(self) -> &'static str {
        match self {
            Class::Os => "asset.os",
            Class::Hardware => "asset.hardware",
            Class::Interface => "asset.interface",
            Class::Filesystem => "asset.filesystem",
            Class::Package => "asset.package",
            Class::User => "asset.user",
            Class::Group => "asset.group",
            Class::Socket => "asset.socket",
            Class::Service => "asset.service",
            Class::Host => "asset.host",
        }
    }
}

/// Every field an item can have. The second says whether its change is a change of the item: how
/// long a host is up and the number of a process come and go with nothing being different.
const NAMES: &[(&str, bool)] = &[
    ("group.id", true),
    ("group.name", true),
    ("hengwei.group.members", true),
    ("hengwei.interface.name", true),
    ("hengwei.service.enabled", true),
    ("hengwei.service.unit_file", true),
    ("hengwei.socket.ephemeral", true),
    ("hengwei.socket.scope", true),
    ("hengwei.user.shell", true),
    ("host.architecture", true),
    ("host.cpu.cores", true),
    ("host.cpu.model", true),
    ("host.ip", true),
    ("host.mac", true),
    ("host.memory.total", true),
    ("host.model", true),
    ("host.name", true),
    ("host.os.family", true),
    ("host.os.kernel", true),
    ("host.os.name", true),
    ("host.os.version", true),
    ("host.serial_number", true),
    ("host.uptime", false),
    ("host.vendor", true),
    ("network.transport", true),
    ("package.architecture", true),
    ("package.name", true),
    ("package.type", true),
    ("package.version", true),
    ("process.executable", true),
    ("process.name", true),
    ("process.pid", false),
    ("server.ip", true),
    ("server.port", true),
    ("service.name", true),
    ("service.state", true),
    ("system.filesystem.device_name", true),
    ("system.filesystem.mount_point", true),
    ("system.filesystem.total", true),
    ("system.filesystem.type", true),
    ("user.group", true),
    ("user.home", true),
    ("user.id", true),
    ("user.name", true),
];

fn known(name: &str) -> Option<(&'static str, bool)> {
    NAMES.binary_search_by_key(&name, |(known, _)| known).ok().map(|at| NAMES[at])
}

fn lasting(name: &str) -> bool {
    known(name).is_some_and(|(_, lasting)| lasting)
}

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
}

impl Value {
    fn json(&self) -> Json {
        match self {
            Value::Text(text) => Json::String(text.clone()),
            Value::Integer(integer) => Json::from(*integer),
            Value::Flag(flag) => Json::Bool(*flag),
        }
    }

    fn from_json(json: Json) -> Option<Value> {
        match json {
            Json::String(text) => Some(Value::Text(text)),
            Json::Number(number) => number.as_i64().map(Value::Integer),
            Json::Bool(flag) => Some(Value::Flag(flag)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Integer(integer) => write!(f, "{integer}"),
            Value::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// Something a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What kind of thing.
    pub class: Class,
    /// Tells it from the others of its class on the host.
    pub key: String,
    /// What is known of it; a name with several values is repeated.
    pub fields: Vec<(&'static str, Value)>,
}

impl Item {
    /// An item nothing is known of yet.
    pub(crate) fn new(class: Class, key: &str) -> Item {
        Item { class, key: super::read::clean(key), fields: Vec::new() }
    }

    /// Adds a text, unless it is empty.
    pub(crate) fn text(mut self, name: &'static str, value: &str) -> Item {
        if !value.is_empty() {
            self.fields.push((name, Value::Text(super::read::clean(value))));
        }
        self
    }

    /// Adds a text that may be unknown.
    pub(crate) fn maybe(self, name: &'static str, value: Option<&str>) -> Item {
        self.text(name, value.unwrap_or_default())
    }

    /// Adds a number; what does not fit is its largest.
    pub(crate) fn number(mut self, name: &'static str, value: u64) -> Item {
        self.fields.push((name, Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))));
        self
    }

    /// Adds a yes or no.
    pub(crate) fn flag(mut self, name: &'static str, value: bool) -> Item {
        self.fields.push((name, Value::Flag(value)));
        self
    }

    /// The first value of a field.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    }

    /// The fields of its record, `event.action` first.
    pub(crate) fn record(&self, action: &str) -> Vec<Field> {
        let mut fields = vec![text("event.action", action), text(KEY, self.key.as_str())];
        fields.extend(self.fields.iter().map(|(name, value)| match value {
            Value::Text(value) => text(name, value.as_str()),
            Value::Integer(value) => integer(name, *value),
            Value::Flag(value) => flag(name, *value),
        }));
        fields
    }

    /// Values by name, of the fields whose change counts.
    fn lasting(&self) -> BTreeMap<&'static str, Vec<&Value>> {
        let mut values: BTreeMap<&'static str, Vec<&Value>> = BTreeMap::new();
        for (name, value) in self.fields.iter().filter(|(name, _)| lasting(name)) {
            values.entry(name).or_default().push(value);
        }
        for several in values.values_mut() {
            several.sort();
        }
        values
    }
}

/// One line of `hengwei-agent inventory --json`: dotted names, arrays where a name has several
/// values.
impl Serialize for Item {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.fields {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let mut map = serializer.serialize_map(Some(names.len() + 2))?;
        map.serialize_entry("event.dataset", self.class.dataset())?;
        map.serialize_entry(KEY, &self.key)?;
        for name in names {
            let mut values: Vec<Json> = self
                .fields
                .iter()
                .filter(|(known, _)| *known == name)
                .map(|(_, v)| v.json())
                .collect();
            let value = if values.len() == 1 { values.remove(0) } else { Json::Array(values) };
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// Items of one class, by key.
pub(crate) type Known = BTreeMap<String, Item>;

/// Orders items by key. The second of two with one key (two lines for `root` in passwd) is kept
/// under a key of its own: it is the one worth seeing.
pub(crate) fn by_key(items: Vec<Item>) -> Known {
    let mut known = Known::new();
    for mut item in items {
        let mut copy = 2;
        let plain = item.key.clone();
        while known.contains_key(&item.key) {
            item.key = format!("{plain}#{copy}");
            copy += 1;
        }
        known.insert(item.key.clone(), item);
    }
    known
}

/// What is kept of a class between two looks.
pub(crate) fn remember(known: &Known) -> Vec<u8> {
    let mut bytes = FORM.as_bytes().to_vec();
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in known.values().flat_map(|item| &item.fields) {
        if lasting(name) && !names.contains(name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    bytes.push(b'\n');
    bytes.extend_from_slice(Json::from(names.clone()).to_string().as_bytes());
    for item in known.values() {
        let mut row = vec![Json::String(item.key.clone())];
        for (name, values) in item.lasting() {
            let index = names.binary_search(&name).expect("every lasting name was listed above");
            for value in values {
                row.push(Json::from(index));
                row.push(value.json());
            }
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(Json::Array(row).to_string().as_bytes());
    }
    bytes
}

/// What was remembered; None when it is not of this form.
pub(crate) fn recall(class: Class, bytes: &[u8]) -> Option<Known> {
    let mut lines = std::str::from_utf8(bytes).ok()?.split('\n');
    if lines.next()? != FORM {
        return None;
    }
    let names: Vec<String> = serde_json::from_str(lines.next()?).ok()?;
    let names: Vec<&'static str> =
        names.iter().map(|name| known(name).map(|(name, _)| name)).collect::<Option<_>>()?;
    let mut items = Known::new();
    for line in lines {
        let mut row = serde_json::from_str::<Vec<Json>>(line).ok()?.into_iter();
        let Json::String(key) = row.next()? else { return None };
        let mut fields = Vec::new();
        while let Some(index) = row.next() {
            let name = names.get(usize::try_from(index.as_u64()?).ok()?)?;
            fields.push((*name, Value::from_json(row.next()?)?));
        }
        items.insert(key.clone(), Item { class, key, fields });
    }
    Some(items)
}

/// One difference between two looks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Difference {
    /// It was not there.
    Added(Item),
    /// Something of it is different.
    Changed {
        /// As it is now.
        now: Item,
        /// Names whose values differ.
        changed: Vec<&'static str>,
        /// `name=value`, as it was.
        previous: Vec<String>,
    },
    /// It is gone; as it was.
    Removed(Item),
}

impl Difference {
    /// The fields of its record.
    pub(crate) fn record(&self) -> Vec<Field> {
        match self {
            Difference::Added(item) => item.record("added"),
            Difference::Removed(item) => item.record("removed"),
            Difference::Changed { now, changed, previous } => {
                let mut fields = now.record("changed");
                fields.extend(changed.iter().map(|name| text("hengwei.asset.changed", *name)));
                fields.extend(
                    previous.iter().map(|was| text("hengwei.asset.previous", was.as_str())),
                );
                fields
            }
        }
    }

    /// Brings what was known up to this difference.
    pub(crate) fn apply(&self, known: &mut Known) {
        match self {
            Difference::Added(item) | Difference::Changed { now: item, .. } => {
                known.insert(item.key.clone(), item.clone());
            }
            Difference::Removed(item) => {
                known.remove(&item.key);
            }
        }
    }
}

/// What differs between two looks: what went first, so that a thing replaced is free before it is
/// taken again.
pub(crate) fn differences(before: &Known, after: &Known) -> Vec<Difference> {
    let gone = before.values().filter(|item| !after.contains_key(&item.key));
    let mut found: Vec<Difference> = gone.cloned().map(Difference::Removed).collect();
    for item in after.values() {
        let Some(was) = before.get(&item.key) else {
            found.push(Difference::Added(item.clone()));
            continue;
        };
        let (old, new) = (was.lasting(), item.lasting());
        let mut changed: Vec<&'static str> = old
            .keys()
            .chain(new.keys())
            .filter(|name| old.get(**name) != new.get(**name))
            .copied()
            .collect();
        changed.sort_unstable();
        changed.dedup();
        if changed.is_empty() {
            continue;
        }
        let previous = changed
            .iter()
            .flat_map(|name| old.get(name).into_iter().flatten().map(move |v| (name, v)))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        found.push(Difference::Changed { now: item.clone(), changed, previous });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Item {
        Item::new(Class::Package, name).text("package.name", name).text("package.version", version)
    }

    fn host(uptime: u64) -> Item {
        Item::new(Class::Host, "host").text("host.name", "his-01").number("host.uptime", uptime)
    }

    #[test]
    fn the_table_of_names_is_sorted() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0), "it is searched by halves");
    }

    #[test]
    fn what_is_remembered_reads_back() {
        let socket = Item::new(Class::Socket, "tcp\n:22")
            .text("process.name", "ss\nhd")
            .number("server.port", 22)
            .flag("hengwei.socket.ephemeral", false)
            .number("process.pid", 7);
        let known = by_key(vec![socket.clone(), Item::new(Class::Socket, "bare")]);
        let again = recall(Class::Socket, &remember(&known)).unwrap();
        assert_eq!(again["tcp\n:22"].get("process.name").as_deref(), Some("ss\nhd"));
        assert_eq!(again["tcp\n:22"].get("process.pid"), None, "a pid is not remembered");
        assert!(differences(&known, &again).is_empty());
        assert_eq!(remember(&known), remember(&again));
    }

    #[test]
    fn what_is_no_memory_is_refused() {
        let good = remember(&by_key(vec![package("bash", "1")]));
        assert!(recall(Class::Package, &good).is_some());
        for bad in [&b""[..], b"hengwei-assets 2\n[]", &good[..good.len() - 1], b"\xff"] {
            assert_eq!(recall(Class::Package, bad), None, "{bad:?}");
        }
        let unknown = b"hengwei-assets 1\n[\"no.such.field\"]\n[\"a\",0,\"b\"]";
        assert_eq!(recall(Class::Package, unknown), None);
    }

    #[test]
    fn differences_name_what_changed_and_what_was() {
        let before = by_key(vec![package("bash", "1"), package("cron", "3"), package("vim", "9")]);
        let after = by_key(vec![package("bash", "2"), package("cron", "3"), package("zsh", "5")]);
        let found = differences(&before, &after);
        assert_eq!(
            found,
            [
                Difference::Removed(package("vim", "9")),
                Difference::Changed {
                    now: package("bash", "2"),
                    changed: vec!["package.version"],
                    previous: vec!["package.version=1".into()],
                },
                Difference::Added(package("zsh", "5")),
            ]
        );
        let mut known = before;
        found.iter().for_each(|difference| difference.apply(&mut known));
        assert_eq!(known, after);
    }

    #[test]
    fn a_running_clock_is_no_change() {
        assert!(differences(&by_key(vec![host(1)]), &by_key(vec![host(2)])).is_empty());
    }

    #[test]
    fn order_of_several_values_is_no_change() {
        let group = |a: &str, b: &str| {
            by_key(vec![
                Item::new(Class::Group, "sudo")
                    .text("hengwei.group.members", a)
                    .text("hengwei.group.members", b),
            ])
        };
        assert!(differences(&group("wang", "li"), &group("li", "wang")).is_empty());
        assert_eq!(differences(&group("wang", "li"), &group("li", "zhao")).len(), 1);
    }

    #[test]
    fn a_second_root_is_not_hidden_by_the_first() {
        let user = |id: &str| Item::new(Class::User, "root").text("user.id", id);
        let known = by_key(vec![user("0"), user("0")]);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["root", "root#2"]);
    }

    #[test]
    fn an_item_prints_as_one_json_line() {
        let item = package("a\nb", "1").text("host.ip", "::1").text("host.ip", "10.0.0.1");
        let line = serde_json::to_string(&item).unwrap();
        assert_eq!(
            line,
            r#"{"event.dataset":"asset.package","hengwei.asset.key":"a\nb","package.name":"a\nb","package.version":"1","host.ip":["::1","10.0.0.1"]}"#
        );
    }
}

//! A difference as a record, and a baseline entry as a position.

use std::collections::HashMap;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hengwei_protocol::identity::{hex, unhex};
use hengwei_protocol::record::{flag, integer, text};
use hengwei_protocol::wire::Field;
use jiff::Timestamp;

use super::look::{Entry, Type};
use super::packages::Owner;
use super::scope::area;

const PATH_KEY: &str = "path:";
const BYTES_KEY: &str = "bytes:";

/// The key under which a path's baseline entry is stored. A name that is not UTF-8 is written in hex.
pub(super) fn key(name: &Path) -> String {
    match name.to_str() {
        Some(name) => format!("{PATH_KEY}{name}"),
        None => format!("{BYTES_KEY}{}", hex(name.as_os_str().as_bytes())),
    }
}

/// The path of such a key.
pub(super) fn path_of(key: &str) -> Option<PathBuf> {
    if let Some(name) = key.strip_prefix(PATH_KEY) {
        return Some(PathBuf::from(name));
    }
    let bytes = unhex(key.strip_prefix(BYTES_KEY)?)?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// A baseline entry as it is stored.
pub(super) fn encode(entry: &Entry) -> Bytes {
    serde_json::to_vec(entry).map(Bytes::from).unwrap_or_default()
}

/// A stored baseline entry.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
    serde_json::from_slice(bytes).ok()
}

/// What happened to a path; None when nothing that anybody should know.
pub(super) fn action(before: Option<&Entry>, after: Option<&Entry>) -> Option<&'static str> {
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => Some("created"),
        (Some(_), None) => Some("deleted"),
        (Some(before), Some(after)) if !before.same_content(after) => Some("changed"),
        (Some(before), Some(after)) if !before.same_attributes(after) => Some("attributes"),
        _ => None,
    }
}

/// Names of users and groups by their numbers.
#[derive(Default)]
pub(super) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// The host's accounts as of now.
    pub(super) fn read(root: &Path) -> Names {
        Names { users: numbers(&root.join("etc/passwd")), groups: numbers(&root.join("etc/group")) }
    }
}

fn numbers(path: &Path) -> HashMap<u32, String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let pair = |line: &str| {
        let mut parts = line.split(':');
        let name = parts.next()?.to_owned();
        Some((parts.nth(1)?.parse().ok()?, name))
    };
    // The first name of a number is the one that programs show.
    text.lines().rev().filter_map(pair).collect()
}

/// One difference, told.
pub(super) struct Difference<'a> {
    /// The path below the root, as it is shown.
    pub(super) name: &'a str,
    pub(super) action: &'static str,
    pub(super) before: Option<&'a Entry>,
    pub(super) after: Option<&'a Entry>,
    pub(super) owner: Option<&'a Owner>,
}

impl Difference<'_> {
    /// The fields of its record.
    pub(super) fn fields(&self, names: &Names) -> Vec<Field> {
        let mut fields = vec![
            text("event.action", self.action),
            text("file.path", self.name),
            text("hengwei.fim.area", area(self.name)),
        ];
        if let Some(entry) = self.after.or(self.before) {
            fields.push(text("file.type", entry.type_.as_str()));
        }
        if let Some(after) = self.after {
            now(&mut fields, after, names);
        }
        if let Some(before) = self.before {
            previous(&mut fields, before, names);
        }
        if let Some(owner) = self.owner {
            fields.push(text("hengwei.fim.package", owner.package.as_str()));
            fields.push(flag("hengwei.fim.package_match", owner.matches));
        }
        fields
    }
}

fn now(fields: &mut Vec<Field>, entry: &Entry, names: &Names) {
    if !entry.sha256.is_empty() {
        fields.push(text("file.hash.sha256", entry.sha256.as_str()));
    } else if entry.type_ == Type::File {
        // Too large, or not readable: what follows is known by size and times only.
        fields.push(flag("hengwei.fim.hashed", false));
    }
    if entry.type_ == Type::Link {
        fields.push(text("file.target_path", entry.target.as_str()));
    }
    fields.push(integer("file.size", i64::try_from(entry.size).unwrap_or(i64::MAX)));
    fields.push(text("file.mode", format!("{:04o}", entry.mode)));
    fields.push(text("file.uid", entry.uid.to_string()));
    fields.push(text("file.gid", entry.gid.to_string()));
    if let Some(owner) = names.users.get(&entry.uid) {
        fields.push(text("file.owner", owner.as_str()));
    }
    if let Some(group) = names.groups.get(&entry.gid) {
        fields.push(text("file.group", group.as_str()));
    }
    if let Ok(time) = Timestamp::from_nanosecond(i128::from(entry.mtime)) {
        fields.push(text("file.mtime", time.to_string()));
    }
}

fn previous(fields: &mut Vec<Field>, entry: &Entry, names: &Names) {
    let name = |names: &HashMap<u32, String>, number: u32| {
        names.get(&number).cloned().unwrap_or_else(|| number.to_string())
    };
    if !entry.sha256.is_empty() {
        fields.push(text("hengwei.fim.previous.sha256", entry.sha256.as_str()));
    }
    fields.push(text("hengwei.fim.previous.mode", format!("{:04o}", entry.mode)));
    fields.push(text("hengwei.fim.previous.owner", name(&names.users, entry.uid)));
    fields.push(text("hengwei.fim.previous.group", name(&names.groups, entry.gid)));
    let size = i64::try_from(entry.size).unwrap_or(i64::MAX);
    fields.push(integer("hengwei.fim.previous.size", size));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        for bytes in [&b"/etc/passwd"[..], "/etc/卫".as_bytes(), b"/etc/\xb5\xc7"] {
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
            assert_eq!(path_of(&key(&path)), Some(path));
        }
        assert_eq!(path_of("baseline"), None);
    }
}

//! The keys of audit records that are kept, each under `auditd.` as the kernel wrote it.
//!
//! The list is closed: user space may write any key into its messages, and none of them makes a field
//! that was not meant. What it leaves out stays in the original.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::event::FieldId;

/// A key's place in [`KEYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(usize);

impl Key {
    pub(super) fn at(self) -> usize {
        self.0
    }

    /// Whether its bare values may be hexadecimal for a text.
    pub(super) fn coded(self) -> bool {
        self.0 < PLAIN
    }

    /// `auditd.<key>`.
    pub(super) fn field(self) -> Option<FieldId> {
        FIELDS.get(self.0).copied()
    }
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<Key> {
    BY_NAME.get(name).copied()
}

/// `auditd.aN`, as far as there is one.
pub(super) fn argument(index: usize) -> Option<FieldId> {
    ARGUMENTS.get(index).copied()
}

/// `auditd.type`.
pub(super) fn record_type() -> FieldId {
    *TYPE
}

/// Arguments that have a field of their own; `process.args` has more.
const MAX_ARGUMENT_FIELDS: usize = 64;

static BY_NAME: LazyLock<HashMap<&'static str, Key, foldhash::fast::FixedState>> =
    LazyLock::new(|| KEYS.iter().enumerate().map(|(at, name)| (*name, Key(at))).collect());
static FIELDS: LazyLock<Vec<FieldId>> =
    LazyLock::new(|| KEYS.iter().map(|name| FieldId::of(&format!("auditd.{name}"))).collect());
static ARGUMENTS: LazyLock<Vec<FieldId>> = LazyLock::new(|| {
    (0..MAX_ARGUMENT_FIELDS).map(|index| FieldId::of(&format!("auditd.a{index}"))).collect()
});
static TYPE: LazyLock<FieldId> = LazyLock::new(|| FieldId::of("auditd.type"));

macro_rules! keys {
    (coded { $($coded:ident = $coded_name:literal,)* $(_ = $coded_other:literal,)* }
     plain { $($plain:ident = $plain_name:literal,)* $(_ = $plain_other:literal,)* }) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants below")]
        enum Position { $($coded,)* PLAIN, $($plain,)* }

        const NAMED: usize = Position::PLAIN as usize;
        /// Where those begin that are never hexadecimal.
        const PLAIN: usize = NAMED + [$($coded_other,)*].len();
        $(pub(super) const $coded: Key = Key(Position::$coded as usize);)*
        // One place of the list of positions is the border between the two kinds.
        $(pub(super) const $plain: Key = Key(Position::$plain as usize - 1 - NAMED + PLAIN);)*

        /// The names, by place.
        const KEYS: &[&str] =
            &[$($coded_name,)* $($coded_other,)* $($plain_name,)* $($plain_other,)*];
        /// How many there are.
        pub(super) const COUNT: usize = KEYS.len();
    };
}

keys! {
    coded {
        ACCT = "acct",
        CMD = "cmd",
        COMM = "comm",
        CWD = "cwd",
        EXE = "exe",
        FILE = "file",
        GRP = "grp",
        KEY = "key",
        NAME = "name",
        PATH = "path",
        PROCTITLE = "proctitle",
        PROFILE = "profile",
        SW = "sw",
        _ = "data",
        _ = "dir",
        _ = "info",
        _ = "ocomm",
        _ = "vm",
    }
    plain {
        ADDR = "addr",
        APPARMOR = "apparmor",
        ARCH = "arch",
        ARGC = "argc",
        AUDIT_ENABLED = "audit_enabled",
        AUID = "auid",
        AUID_NAME = "AUID",
        DEV = "dev",
        EUID = "euid",
        EUID_NAME = "EUID",
        EXIT = "exit",
        GID = "gid",
        HOSTNAME = "hostname",
        ID = "id",
        ID_NAME = "ID",
        LADDR = "laddr",
        LPORT = "lport",
        OFLAG = "oflag",
        OP = "op",
        OPERATION = "operation",
        PID = "pid",
        PPID = "ppid",
        PROM = "prom",
        REASON = "reason",
        RES = "res",
        RESULT = "result",
        RPORT = "rport",
        SADDR = "saddr",
        SES = "ses",
        SUCCESS = "success",
        SW_TYPE = "sw_type",
        SYSCALL = "syscall",
        SYSCALL_NAME = "SYSCALL",
        TERMINAL = "terminal",
        TTY = "tty",
        UID = "uid",
        UID_NAME = "UID",
        UNIT = "unit",
        _ = "ARCH",
        _ = "audit_backlog_limit",
        _ = "audit_backlog_wait_time",
        _ = "audit_failure",
        _ = "audit_pid",
        _ = "cap_fe",
        _ = "cap_fi",
        _ = "cap_fp",
        _ = "cap_frootid",
        _ = "cap_fver",
        _ = "capability",
        _ = "capname",
        _ = "cause",
        _ = "cipher",
        _ = "class",
        _ = "code",
        _ = "compat",
        _ = "data_pages",
        _ = "default-context",
        _ = "denied_mask",
        _ = "direction",
        _ = "EGID",
        _ = "egid",
        _ = "enforcing",
        _ = "entries",
        _ = "error",
        _ = "family",
        _ = "feature",
        _ = "flags",
        _ = "format",
        _ = "fp",
        _ = "FSGID",
        _ = "fsgid",
        _ = "FSUID",
        _ = "fsuid",
        _ = "GID",
        _ = "grantors",
        _ = "hash",
        _ = "ino",
        _ = "inode",
        _ = "ip",
        _ = "item",
        _ = "items",
        _ = "kind",
        _ = "ksize",
        _ = "list",
        _ = "mac",
        _ = "major",
        _ = "minor",
        _ = "mode",
        _ = "nametype",
        _ = "new-level",
        _ = "new_lock",
        _ = "oauid",
        _ = "obj",
        _ = "objtype",
        _ = "OGID",
        _ = "ogid",
        _ = "old",
        _ = "old-auid",
        _ = "old-level",
        _ = "old-ses",
        _ = "old_enforcing",
        _ = "old_lock",
        _ = "old_prom",
        _ = "opid",
        _ = "oses",
        _ = "OUID",
        _ = "ouid",
        _ = "peer",
        _ = "per",
        _ = "permissive",
        _ = "pfs",
        _ = "prog-id",
        _ = "rdev",
        _ = "requested_mask",
        _ = "root_dir",
        _ = "scontext",
        _ = "selected-context",
        _ = "SGID",
        _ = "sgid",
        _ = "sig",
        _ = "signal",
        _ = "spid",
        _ = "state",
        _ = "subj",
        _ = "SUID",
        _ = "suid",
        _ = "syscall_nr",
        _ = "table",
        _ = "tclass",
        _ = "tcontext",
        _ = "uuid",
        _ = "ver",
        _ = "vm-ctx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_at_their_place() {
        for (key, name) in [(ACCT, "acct"), (SW, "sw"), (ADDR, "addr"), (UNIT, "unit")] {
            assert_eq!(find(name), Some(key));
        }
        assert!(SW.coded() && !ADDR.coded());
        assert!(find("vm").is_some_and(Key::coded) && find("data").is_some_and(Key::coded));
        assert_eq!(BY_NAME.len(), COUNT, "a key is named twice");
    }
}

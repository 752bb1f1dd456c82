//! An entry of the journal as a record.
//!
//! In: an entry's fields. Out: typed fields under their common names, and the queue they belong to.
//! A value that is not UTF-8 (a daemon that logs in GBK) is kept without loss: each byte that belongs
//! to no character is written `\xHH` and each backslash doubled, and `hengwei.journal.escaped` says so.

use hengwei_protocol::Kind;
use hengwei_protocol::gap::Cause;
use hengwei_protocol::identity::hex;
use hengwei_protocol::record::{flag, integer, text};
use hengwei_protocol::wire::Field;

use super::export::{Entry, Value};
use crate::sources::NewRecord;

/// The journal's fields that are read.
pub(super) const WANTED: &[&str] = &[
    "__CURSOR",
    "__REALTIME_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "_COMM",
    "_PID",
    "_EXE",
    "_CMDLINE",
    "_UID",
    "_HOSTNAME",
    "_SYSTEMD_UNIT",
    "_TRANSPORT",
];

/// Fields that are text as they stand.
const TEXTS: &[(&str, &str)] = &[
    ("_EXE", "process.executable"),
    ("_CMDLINE", "process.command_line"),
    ("_UID", "user.id"),
    ("_HOSTNAME", "host.name"),
    ("_SYSTEMD_UNIT", "hengwei.journal.unit"),
    ("_TRANSPORT", "hengwei.journal.transport"),
];

/// syslog's facilities auth and authpriv.
const SECURITY_FACILITIES: [&str; 2] = ["4", "10"];
/// Programs that log in, raise rights or change accounts, whatever facility they log to.
const SECURITY_PROGRAMS: &[&str] = &[
    "audit",
    "auditd",
    "chage",
    "chfn",
    "chpasswd",
    "chsh",
    "doas",
    "gpasswd",
    "groupadd",
    "groupdel",
    "groupmod",
    "login",
    "newgrp",
    "newusers",
    "passwd",
    "pkexec",
    "polkitd",
    "runuser",
    "sshd",
    "sshd-auth",
    "sshd-session",
    "su",
    "sudo",
    "systemd-logind",
    "useradd",
    "userdel",
    "usermod",
    "vipw",
];

/// The queue an entry belongs to.
pub(super) fn kind(entry: &Entry) -> Kind {
    let security = entry.text("_TRANSPORT") == Some("audit")
        || entry.text("SYSLOG_FACILITY").is_some_and(|f| SECURITY_FACILITIES.contains(&f))
        || program(entry)
            .and_then(Value::text)
            .is_some_and(|program| SECURITY_PROGRAMS.binary_search(&program).is_ok());
    if security { Kind::Security } else { Kind::Log }
}

/// The record of an entry, and a gap behind it when its message was cut.
pub(super) fn records(entry: &Entry, created: i64) -> Vec<NewRecord> {
    let mut fields = Fields::default();
    if let Some(message) = entry.value("MESSAGE") {
        fields.text("message", message);
    }
    if let Some(program) = program(entry) {
        fields.text("process.name", program);
    }
    fields.integer("process.pid", entry.text("_PID").or_else(|| entry.text("SYSLOG_PID")));
    fields.integer("log.syslog.priority", entry.text("PRIORITY"));
    fields.integer("log.syslog.facility.code", entry.text("SYSLOG_FACILITY"));
    for (journal, name) in TEXTS {
        if let Some(value) = entry.value(journal) {
            fields.text(name, value);
        }
    }
    let mut gap = None;
    if let Some((message, sha256)) = entry.value("MESSAGE").and_then(|m| Some((m, m.cut()?))) {
        let kept = message.bytes.len();
        fields.list.push(integer("hengwei.journal.length", whole(message.length)));
        fields.list.push(text("hengwei.journal.sha256", hex(&sha256)));
        let detail = format!("a message of {} bytes was cut after {kept}", message.length);
        let lost = message.length - kept as u64;
        gap = Some(NewRecord::gap(created, Cause::LineCut, 0, lost, detail));
    }
    if fields.escaped {
        fields.list.push(flag("hengwei.journal.escaped", true));
    }
    let mut record = NewRecord::fields(created, fields.list);
    record.time = time(entry);
    [record].into_iter().chain(gap).collect()
}

/// When journald received the entry, Unix nanoseconds; 0 when it does not say.
fn time(entry: &Entry) -> i64 {
    let micros = entry.text("__REALTIME_TIMESTAMP").and_then(|text| text.parse::<i64>().ok());
    micros.and_then(|micros| micros.checked_mul(1_000)).unwrap_or(0)
}

fn program(entry: &Entry) -> Option<&Value> {
    entry.value("SYSLOG_IDENTIFIER").or_else(|| entry.value("_COMM"))
}

fn whole(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct Fields {
    list: Vec<Field>,
    escaped: bool,
}

impl Fields {
    fn text(&mut self, name: &str, value: &Value) {
        let mut bytes = &value.bytes[..];
        if value.cut().is_some() {
            bytes = whole_characters(bytes);
        }
        let value = match std::str::from_utf8(bytes) {
            Ok(value) => value.to_owned(),
            Err(_) => {
                self.escaped = true;
                escape(bytes)
            }
        };
        self.list.push(text(name, value));
    }

    fn integer(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.and_then(|value| value.trim().parse().ok()) {
            self.list.push(integer(name, value));
        }
    }
}

/// Without a character that the cut went through.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Bytes that are not UTF-8, without loss.
fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use hengwei_protocol::wire::field;
    use hengwei_protocol::wire::record::Body;

    use super::super::export::Parser;
    use super::*;

    fn entry(text: &[u8]) -> Entry {
        let mut parser = Parser::new(WANTED);
        let mut entries = Vec::new();
        parser.feed(&[text, b"\n"].concat(), |entry| entries.push(entry)).unwrap();
        entries.pop().unwrap()
    }

    fn shown(record: &NewRecord) -> Vec<String> {
        let Some(Body::Fields(fields)) = &record.body else { panic!("{record:?}") };
        let value = |value: &field::Value| match value {
            field::Value::Text(text) => text.clone(),
            field::Value::Integer(integer) => integer.to_string(),
            other => format!("{other:?}"),
        };
        fields
            .fields
            .iter()
            .map(|field| format!("{}={}", field.name, value(field.value.as_ref().unwrap())))
            .collect()
    }

    #[test]
    fn an_entry_becomes_fields() {
        let records = records(
            &entry(
                b"__REALTIME_TIMESTAMP=1700000000000001\nMESSAGE=Failed password\nPRIORITY=6\n\
                  SYSLOG_FACILITY=4\nSYSLOG_IDENTIFIER=sshd\n_COMM=sshd-session\n_PID=42\n\
                  _EXE=/usr/sbin/sshd\n_CMDLINE=sshd: root\n_UID=0\n_HOSTNAME=his-01\n\
                  _SYSTEMD_UNIT=ssh.service\n_TRANSPORT=syslog\n",
            ),
            5,
        );
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].time, records[0].created), (1_700_000_000_000_001_000, 5));
        assert_eq!(
            shown(&records[0]),
            [
                "message=Failed password",
                "process.name=sshd",
                "process.pid=42",
                "log.syslog.priority=6",
                "log.syslog.facility.code=4",
                "process.executable=/usr/sbin/sshd",
                "process.command_line=sshd: root",
                "user.id=0",
                "host.name=his-01",
                "hengwei.journal.unit=ssh.service",
                "hengwei.journal.transport=syslog",
            ]
        );
    }

    #[test]
    fn kinds() {
        let check = |text: &str, expected: Kind| {
            assert_eq!(kind(&entry(text.as_bytes())), expected, "{text}");
        };
        assert!(SECURITY_PROGRAMS.is_sorted(), "it is searched by halves");
        check("SYSLOG_IDENTIFIER=nginx\n", Kind::Log);
        check("SYSLOG_IDENTIFIER=anything\nSYSLOG_FACILITY=10\n", Kind::Security);
        check("SYSLOG_IDENTIFIER=anything\nSYSLOG_FACILITY=4\n", Kind::Security);
        check("SYSLOG_IDENTIFIER=anything\nSYSLOG_FACILITY=3\n", Kind::Log);
        check("_TRANSPORT=audit\n", Kind::Security);
        check("SYSLOG_IDENTIFIER=sshd-session\n", Kind::Security);
        check("_COMM=sudo\n", Kind::Security);
        check("SYSLOG_IDENTIFIER=sudoku\n_COMM=sudo\n", Kind::Log);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let check = |message: &[u8], expected: &[&str]| {
            let length = (message.len() as u64).to_le_bytes();
            let entry = entry(&[b"MESSAGE\n", &length[..], message, b"\n"].concat());
            assert_eq!(shown(&records(&entry, 1)[0]), expected);
        };
        check("卫\\x".as_bytes(), &["message=卫\\x"]);
        check(
            b"\xb5\xc7\\ \xe5\x8d",
            &["message=\\xb5\\xc7\\\\ \\xe5\\x8d", "hengwei.journal.escaped=Flag(true)"],
        );
    }

    #[test]
    fn a_cut_message_is_cut_between_characters_and_told() {
        let message = "卫".repeat(200_000);
        let records = records(&entry(format!("MESSAGE={message}\n").as_bytes()), 1);
        let shown = shown(&records[0]);
        let kept = hengwei_protocol::limits::MAX_ORIGINAL / 3 * 3;
        assert_eq!(shown[0], format!("message={}", &message[..kept]));
        assert_eq!(shown[1], "hengwei.journal.length=600000");
        assert!(matches!(&records[1].body, Some(Body::Gap(gap)) if gap.cause == "line-cut"));
    }
}

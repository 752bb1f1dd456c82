//! Events of several records, as the joiner hands them over.

use super::*;
use crate::event::{FieldId, Value};

fn read(records: &[String]) -> Vec<(&'static str, String)> {
    let text = records.join("\n");
    let mut out = Out::new("");
    out.begin(&text, 0);
    let line = Line { message: &text, program: None, path: "", configured: "" };
    assert!(decode(&line, &mut out), "{text}");
    let mut all = vec![("event.dataset", out.dataset.unwrap_or("auditd").to_owned())];
    for (id, value) in &out.fields {
        let slice = |from: &str, start: u32, len: u32| {
            from[start as usize..start as usize + len as usize].to_owned()
        };
        let value = match value {
            Value::Text { start, len } => slice(&text, *start, *len),
            Value::Arena { start, len } => slice(&out.arena, *start, *len),
            Value::Integer(number) => number.to_string(),
            Value::Address(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        all.push((id.name(), value));
    }
    all
}

fn all<'a>(found: &'a [(&'static str, String)], name: &str) -> Vec<&'a str> {
    assert!(FieldId::find(name).is_some() || name == "event.dataset", "no field {name}");
    found.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect()
}

#[track_caller]
fn check(records: &[String], expected: &[(&str, &[&str])]) {
    let found = read(records);
    for (name, values) in expected {
        assert_eq!(all(&found, name), *values, "{name}");
    }
}

fn record(kind: &str, body: &str) -> String {
    format!("type={kind} msg=audit(1772323200.120:901): {body}")
}

fn syscall(number: u16, registers: &str) -> String {
    record(
        "SYSCALL",
        &format!(
            "arch=c000003e syscall={number} success=yes exit=0 {registers} items=2 ppid=10 pid=11 \
             auid=1001 uid=0 gid=0 euid=0 tty=pts0 ses=7 comm=\"x\" exe=\"/usr/bin/x\" key=\"watch\""
        ),
    )
}

fn path(item: u8, name: &str, kind: &str) -> String {
    record(
        "PATH",
        &format!("item={item} name={name} inode=1 mode=0100644 ouid=0 ogid=0 nametype={kind}"),
    )
}

#[test]
fn a_started_program_is_one_event() {
    check(
        &[
            syscall(59, "a0=55d0c8 a1=55d0e0 a2=55d100 a3=8"),
            record("EXECVE", "argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F2068690A7077640A"),
            record("CWD", "cwd=\"/root\""),
            path(0, "\"/bin/sh\"", "NORMAL"),
            path(1, "\"/lib64/ld-linux-x86-64.so.2\"", "NORMAL"),
            record("PROCTITLE", "proctitle=7368002D63006563686F"),
            record("EOE", ""),
        ],
        &[
            ("event.dataset", &["auditd.execve"]),
            ("event.action", &["executed"]),
            ("event.outcome", &["success"]),
            ("event.id", &["1772323200.120:901"]),
            ("process.args", &["sh", "-c", "echo hi\npwd\n"]),
            ("process.command_line", &["sh -c echo hi\npwd\n"]),
            ("process.title", &["sh -c echo"]),
            ("process.working_directory", &["/root"]),
            ("file.path", &["/bin/sh"]),
            ("hengwei.audit.key", &["watch"]),
            ("auditd.a0", &["55d0c8", "sh"]),
            ("auditd.name", &["/bin/sh", "/lib64/ld-linux-x86-64.so.2"]),
            ("auditd.type", &["SYSCALL", "EXECVE", "CWD", "PATH", "PATH", "PROCTITLE", "EOE"]),
            ("hengwei.problem", &[]),
        ],
    );
}

#[test]
fn long_arguments_come_in_chunks_over_records() {
    // A character of two bytes is cut between the chunks.
    check(
        &[
            syscall(59, "a0=1 a1=2 a2=3 a3=4"),
            record("EXECVE", "argc=3 a0=\"sh\" a1_len=8 a1[0]=C3"),
            record("EXECVE", "a1[1]=A9616263 a2=\"end\""),
        ],
        &[("process.args", &["sh", "éabc", "end"]), ("hengwei.problem", &[])],
    );
}

#[test]
fn files_are_found_where_they_lie() {
    let cwd = record("CWD", "cwd=2F7372762F66696C6573");
    let check = |records: &[String], path: &str, target: &[&str], action: &str, kind: &str| {
        check(
            records,
            &[
                ("file.path", &[path]),
                ("file.target_path", target),
                ("event.action", &[action]),
                ("event.type", &[kind]),
                ("event.dataset", &["auditd.file"]),
            ],
        );
    };
    let parent = path(0, "\"/etc/\"", "PARENT");
    check(
        &[
            syscall(82, "a0=1 a1=2 a2=3 a3=4"),
            cwd.clone(),
            parent.clone(),
            path(1, "\"/etc/\"", "PARENT"),
            path(2, "\"a\"", "DELETE"),
            path(3, "\"b\"", "DELETE"),
            path(4, "\"../b\"", "CREATE"),
        ],
        "/srv/files/a",
        &["/srv/b"],
        "renamed",
        "change",
    );
    check(
        &[syscall(257, "a0=ffffff9c a1=2 a2=241 a3=1b6"), cwd.clone(), path(0, "\"x\"", "CREATE")],
        "/srv/files/x",
        &[],
        "opened_file",
        "creation",
    );
    // Relative to a directory the records do not name.
    check(
        &[syscall(257, "a0=5 a1=2 a2=1 a3=0"), cwd, path(0, "\"x\"", "NORMAL")],
        "x",
        &[],
        "opened_file",
        "change",
    );
    check(
        &[syscall(87, "a0=1 a1=1 a2=1 a3=7"), parent, path(1, "\"/etc/cron.d/job\"", "DELETE")],
        "/etc/cron.d/job",
        &[],
        "deleted",
        "deletion",
    );
}

#[test]
fn peers_are_on_the_side_of_the_call() {
    let saddr = record("SOCKADDR", "saddr=0200115CCB0071090000000000000000");
    for (number, side) in [(42, "destination"), (43, "source"), (49, "server")] {
        let (ip, port) = (format!("{side}.ip"), format!("{side}.port"));
        check(
            &[syscall(number, "a0=3 a1=7ffe a2=10 a3=0"), saddr.clone()],
            &[("event.dataset", &["auditd.network"]), (&ip, &["203.0.113.9"]), (&port, &["4444"])],
        );
    }
}

#[test]
fn a_record_of_its_own_kind_leads() {
    check(
        &[
            record("CONFIG_CHANGE", "auid=1001 ses=7 op=remove_rule key=\"exec\" list=4 res=1"),
            syscall(44, "a0=4 a1=7ffe a2=3c a3=0"),
            record("PROCTITLE", "proctitle=617564697463746C002D44"),
        ],
        &[
            ("event.dataset", &["auditd"]),
            ("event.action", &["removed_audit_rule"]),
            ("process.executable", &["/usr/bin/x"]),
            ("process.title", &["auditctl -D"]),
        ],
    );
}

#[test]
fn a_record_of_another_event_is_left_out() {
    let other = "type=EXECVE msg=audit(1772323200.120:902): argc=1 a0=\"other\"".to_owned();
    check(
        &[syscall(59, "a0=1 a1=2 a2=3 a3=4"), other, "no record".to_owned()],
        &[
            ("process.args", &[]),
            ("hengwei.problem", &["a record of another event stands among these: it is left out"]),
        ],
    );
}

#[test]
fn fields_are_bounded() {
    let arguments: String = (0..20_000).map(|index| format!(" a{index}=\"{index}\"")).collect();
    let found = read(&[record("EXECVE", &format!("argc=20000{arguments}"))]);
    assert_eq!(all(&found, "process.args").len(), 1_024);
    assert!(found.len() < 4_000, "{}", found.len());
    let keys: String = "key=\"x\" ".repeat(20_000);
    let found = read(&[record("SYSCALL", &keys)]);
    assert_eq!(all(&found, "hengwei.audit.key").len(), 64);
}

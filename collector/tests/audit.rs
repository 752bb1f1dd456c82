//! Our reading of Linux audit beside that of go-libaudit, whose test data lie in the corpora: records of
//! real hosts and what it makes of them. Every field both have is compared and the agreement counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hengwei_collector::decode::{self, Context};
use hengwei_collector::event::Sender;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use serde_json::Value as Json;

/// Where the two differ on purpose: our word, theirs, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("removed_audit_rule", "changed_audit_configuration", "ours says what the change was"),
    ("promiscuous_mode_entered", "changed_promiscuous_mode_on_device", "ours says which way"),
    ("loaded_firewall_rule", "loaded_firewall_rule_to", "ours ends where the object begins"),
    ("accepted_connection", "accepted_connection_from", "the same"),
    ("listened_for_connections", "listen_for_connections", "ours is in the past, as all are"),
    ("promiscuous_mode_left", "changed_promiscuous_mode_on_device", "ours says which way"),
    ("allowed_by_apparmor_policy", "violated_apparmor_policy", "a profile that only complains"),
    ("failure", "success", "ours is what the policy decided, theirs what the call returned"),
    ("nothing", "failure", "a connection in progress has not failed"),
];

fn corpora() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let root = std::env::var_os("CORPORA").map_or(default, PathBuf::from).join("auditd");
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("skipped: no corpora at {}; set CORPORA", root.display());
    None
}

/// The cases of a file: `  NAME: |` and indented lines below it.
fn cases(text: &str) -> BTreeMap<String, String> {
    let mut cases: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(record) = line.strip_prefix("    ") {
            let case = cases.entry(name.clone()).or_default();
            if !case.is_empty() {
                case.push('\n');
            }
            case.push_str(record.trim());
        } else if let Some(title) =
            line.strip_prefix("  ").and_then(|line| line.strip_suffix(": |"))
        {
            title.trim_matches(['"', '\'']).clone_into(&mut name);
        }
    }
    cases
}

fn decoded(text: &str) -> Json {
    let sender = Sender {
        agent: "agent-1".into(),
        host: "his-db01".into(),
        site: "county".into(),
        system: "his".into(),
        zone: "".into(),
    };
    let record = Record {
        number: 1,
        created: 1_772_323_200_000_000_000,
        body: Some(Body::Original(Bytes::copy_from_slice(text.as_bytes()))),
        ..Record::default()
    };
    let block = Block { origins: vec![Origin::default()], records: vec![record] };
    let context = Context { sender: &sender, ingested: 1_772_323_200_000_000_000, kind: Kind::Log };
    let events = decode::block(&block, &context);
    events.get(0, &sender).expect("a record is an event").to_json()
}

/// Ours and theirs of one event, field by field, where both have one.
fn compare(ours: &Json, theirs: &Json) -> Vec<(&'static str, String, String)> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields: &[(&str, &str)] = &[
        ("@timestamp", "/@timestamp"),
        ("event.outcome", "/result"),
        ("event.action", "/summary/action"),
        ("process.pid", "/process/pid"),
        ("process.parent.pid", "/process/ppid"),
        ("process.name", "/process/name"),
        ("process.executable", "/process/exe"),
        ("process.working_directory", "/process/cwd"),
        ("process.title", "/process/title"),
        ("process.args", "/process/args"),
        ("user.audit.id", "/user/ids/auid"),
        ("auditd.uid", "/user/ids/uid"),
        ("user.effective.id", "/user/ids/euid"),
        ("hengwei.audit.session", "/session"),
        ("hengwei.audit.syscall", "/data/syscall"),
        ("auditd.acct", "/data/acct"),
        ("auditd.op", "/data/op"),
        ("file.path", "/file/path"),
        ("source.ip", "/source/ip"),
        ("source.port", "/source/port"),
        ("destination.ip", "/destination/ip"),
        ("destination.port", "/destination/port"),
        ("hengwei.audit.key", "/tags"),
    ];
    let mut compared = Vec::new();
    for (name, pointer) in fields {
        let Some(theirs) = theirs.pointer(pointer) else { continue };
        let theirs = match text(theirs) {
            word if *name == "event.action" => word.replace('-', "_"),
            word if *name == "event.outcome" => word.replace("fail", "failure"),
            tags if *name == "hengwei.audit.key" => {
                tags.split('"').nth(1).unwrap_or_default().to_owned()
            }
            other => other,
        };
        // A key may be named `key=net`: they take the first word for their own.
        let ours = ours.get(*name).map(|value| match value {
            Json::Array(values) if *name != "process.args" => {
                values.first().map_or_else(String::new, text)
            }
            value => text(value).trim_start_matches("key=").to_owned(),
        });
        // They write the unset id as a word, we leave it out.
        let Some(ours) = ours else {
            if theirs != "unset" {
                compared.push((*name, "nothing".to_owned(), theirs));
            }
            continue;
        };
        compared.push((*name, ours, theirs));
    }
    compared
}

#[test]
fn reads_what_go_libaudit_reads() {
    let Some(root) = corpora() else { return };
    let (mut agree, mut explained, mut wrong) = (0, 0, Vec::new());
    let mut events = 0;
    for file in fs::read_dir(&root).expect("readable") {
        let path = file.expect("readable").path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let cases = cases(&fs::read_to_string(&path).expect("readable"));
        let golden = path.with_extension("json.golden");
        let golden = fs::read_to_string(golden).expect("beside it");
        let golden: Vec<Json> = serde_json::from_str(&golden).expect("JSON");
        for expected in golden {
            let name = expected["test_name"].as_str().expect("a name");
            let ours = decoded(cases.get(name).expect("a case of that name"));
            assert_eq!(ours["hengwei.decoder"], "audit", "{name}");
            events += 1;
            for (field, ours, theirs) in compare(&ours, &expected["event"]) {
                if ours == theirs {
                    agree += 1;
                } else if DIFFERENT.iter().any(|(a, b, _)| *a == ours && *b == theirs) {
                    explained += 1;
                } else {
                    wrong.push(format!("{name}: {field} is {ours}, theirs {theirs}"));
                }
            }
        }
    }
    println!("{events} events: {agree} fields agree, {explained} differ on purpose");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(events >= 30 && agree >= 200, "{events} events, {agree} fields");
}

#[test]
fn every_record_of_real_hosts_is_read() {
    let Some(root) = corpora() else { return };
    let mut read = 0;
    for name in ["audit-rhel7.log", "audit-ubuntu16.log", "test2.log"] {
        let text = fs::read_to_string(root.join(name)).expect("readable");
        for line in text.lines().filter(|line| line.contains("msg=audit(")) {
            assert_eq!(decoded(line)["hengwei.decoder"], "audit", "{line}");
            read += 1;
        }
    }
    assert!(read >= 60, "{read}");
}

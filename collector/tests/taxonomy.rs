//! The events of the public Sigma set as shippers send them: decoded, they meet the rules that they
//! meet under Sigma's own names.
//!
//! Needs the corpora (`CORPORA`, else `../shared/corpora` beside the workspace) and says so when they
//! are absent. Each Windows event of a regression case is written as Winlogbeat and as NXLog write it,
//! read by the decoders, and must meet the same rules by the tables of names. What differs is listed
//! below with the reason, and a line that no longer applies fails the test as well.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hengwei_collector::decode::{self, Context};
use hengwei_collector::eval::{Interned, JsonEvents, read_rules};
use hengwei_collector::event::Sender;
use hengwei_collector::replay;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_rules::{Options, Scratch, Set};
use serde_json::{Map, Value, json};

/// Rules that a decoded event meets and the same under Sigma's names does not, or the other way round:
/// rule, why.
const DIFFERENT: &[(&str, &str)] = &[];

/// What every event says of itself beside its data.
const HEADER: &[&str] = &[
    "Provider_Name",
    "Provider_Guid",
    "EventID",
    "Version",
    "Level",
    "Task",
    "Opcode",
    "Keywords",
    "TimeCreated_SystemTime",
    "EventRecordID",
    "Execution_ProcessID",
    "Execution_ThreadID",
    "Channel",
    "Computer",
    "Security_UserID",
    "product",
    "service",
    "category",
];

fn corpora() -> Option<PathBuf> {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    let sigma = root.join("sigma");
    if sigma.join("rules").is_dir() {
        return Some(sigma);
    }
    println!("skipped: no Sigma corpora at {}", root.display());
    None
}

/// The data of an event, which come by their own names.
fn data(event: &Map<String, Value>) -> Map<String, Value> {
    let own = |name: &str| !name.starts_with('_') && !HEADER.contains(&name);
    event
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As Winlogbeat writes it: data are text.
fn winlogbeat(event: &Map<String, Value>) -> Value {
    let data: Map<String, Value> =
        data(event).into_iter().map(|(name, it)| (name, text(&it).into())).collect();
    json!({
        "@timestamp": event["TimeCreated_SystemTime"],
        "agent": { "type": "winlogbeat" },
        "event": { "code": text(&event["EventID"]), "provider": event["Provider_Name"] },
        "host": { "name": event["Computer"] },
        "winlog": {
            "channel": event["Channel"], "computer_name": event["Computer"], "event_data": data,
            "event_id": text(&event["EventID"]), "provider_name": event["Provider_Name"],
            "record_id": event["EventRecordID"],
        },
    })
}

/// As NXLog writes it: all on one level.
fn nxlog(event: &Map<String, Value>) -> Value {
    let mut line = json!({
        "EventTime": event["TimeCreated_SystemTime"], "Hostname": event["Computer"],
        "EventID": event["EventID"], "SourceName": event["Provider_Name"],
        "Channel": event["Channel"], "RecordNumber": event["EventRecordID"],
    });
    line.as_object_mut().unwrap().extend(data(event));
    line
}

/// The rules that a line fires once it is decoded, and its dataset.
fn hits(set: &Set, line: &str, scratch: &mut Scratch) -> (&'static str, BTreeSet<String>) {
    let sender = Sender {
        agent: "agent".into(),
        host: "shipper".into(),
        site: "".into(),
        system: "".into(),
        zone: "UTC".into(),
    };
    let record = Record {
        number: 1,
        body: Some(Body::Original(Bytes::copy_from_slice(line.as_bytes()))),
        ..Record::default()
    };
    let origin = Origin { source: "files".into(), ..Origin::default() };
    let block = Block { origins: vec![origin], records: vec![record] };
    let context = Context { sender: &sender, ingested: i64::MAX, kind: Kind::Log };
    let events = decode::block(&block, &context);
    let event = events.get(0, &sender).unwrap();
    let mut found = Vec::new();
    set.evaluate(&event, scratch, &mut found);
    let mut plainly = Vec::new();
    set.evaluate_plainly(&event, &mut plainly);
    assert_eq!(found, plainly, "{line}");
    (event.event.dataset, found.iter().map(|index| set.rules()[*index].key().to_owned()).collect())
}

/// The public rules over Sigma's own names.
struct Plain {
    names: Interned,
    set: Set,
}

impl Plain {
    fn new(rules: PathBuf) -> Plain {
        let names = Interned::default();
        let (set, refused) = read_rules(&[rules]).unwrap().compile(&names, &Options::default());
        assert_eq!(refused, []);
        Plain { names, set }
    }

    fn hits(&self, event: &Map<String, Value>, scratch: &mut Scratch) -> BTreeSet<String> {
        let (mut events, mut found) = (JsonEvents::new(), Vec::new());
        events.push(&Value::Object(event.clone()).to_string(), &self.names).unwrap();
        self.set.evaluate(&events.get(0).unwrap(), scratch, &mut found);
        found.iter().map(|index| self.set.rules()[*index].key().to_owned()).collect()
    }
}

#[test]
fn decoded_windows_events_meet_the_rules_that_sigmas_own_meet() {
    let Some(sigma) = corpora() else { return };
    let (set, refused) = replay::load(&[sigma.join("rules")]).unwrap();
    assert_eq!(refused, 0);
    let plain = Plain::new(sigma.join("rules"));
    let events = fs::read_to_string(sigma.join("events/regression_flat.ndjson")).unwrap();
    let events: Vec<Map<String, Value>> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut own, mut decoded) = (Scratch::new(), Scratch::new());
    let mut different: BTreeMap<String, String> = BTreeMap::new();
    let mut met = 0;
    for event in &events {
        let expected = plain.hits(event, &mut own);
        for (shipper, line) in [("Winlogbeat", winlogbeat(event)), ("NXLog", nxlog(event))] {
            let (dataset, found) = hits(&set, &line.to_string(), &mut decoded);
            met += found.len();
            for (rule, what) in expected
                .difference(&found)
                .map(|rule| (rule, "lost"))
                .chain(found.difference(&expected).map(|rule| (rule, "new")))
            {
                different.insert(rule.clone(), format!("{what}: {shipper}, {dataset}: {line}"));
            }
        }
    }
    println!("{} events of two shippers, {met} rules met", events.len());
    assert!(met > 200);
    let listed: BTreeSet<&str> = DIFFERENT.iter().map(|(rule, _)| *rule).collect();
    let unlisted: Vec<_> =
        different.iter().filter(|(rule, _)| !listed.contains(rule.as_str())).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let stale: Vec<_> = listed.iter().filter(|rule| !different.contains_key(**rule)).collect();
    assert!(stale.is_empty(), "no longer so: {stale:?}");
}

/// Lines, and the public rule each must meet.
const LINES: &[(&str, &str)] = &[
    (
        "date=2026-02-28 time=08:20:07 devname=\"fw01\" devid=\"FGT0000000000001\" logid=\"0100044547\" type=\"event\" subtype=\"system\" level=\"information\" user=\"zhangsan\" ui=\"ssh(192.0.2.1)\" action=\"Add\" cfgtid=1 cfgpath=\"system.admin\" cfgobj=\"night\" msg=\"Add system.admin night\"",
        "cd0a4943-0edd-42cf-b50c-06f77a10d4c1",
    ),
    (
        "192.0.2.9 - - [28/Feb/2026:08:20:07 +0800] \"GET /report/../../../etc/shadow HTTP/1.1\" 404 12 \"-\" \"made-up/1.0\"",
        "7745c2ea-24a5-4290-b680-04359cb84b35",
    ),
    (
        "type=EXECVE msg=audit(1772238007.125:77): argc=2 a0=\"touch\" a1=\"/var/tmp/.cache-of-nobody\"",
        "d08722cd-3d09-449a-80b4-83ea2d9d4616",
    ),
];

#[test]
fn lines_of_other_products_meet_the_public_rules_about_them() {
    let Some(sigma) = corpora() else { return };
    let (set, _) = replay::load(&[sigma.join("rules")]).unwrap();
    let mut scratch = Scratch::new();
    for (line, rule) in LINES {
        let (dataset, found) = hits(&set, line, &mut scratch);
        assert!(found.contains(*rule), "{dataset}: {found:?} of {line}");
    }
}

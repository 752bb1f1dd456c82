//! Real events of Windows, from the regression data of the public rules, as the lines that winlogbeat,
//! NXLog and a dump make of them: whoever ships an event, rules find the same under the same names.
//! Skipped when CORPORA is not there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hengwei_collector::decode::{self, Context};
use hengwei_collector::event::Sender;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use serde_json::{Map, Value as Json, json};

/// One event of the corpus, taken apart.
struct Real {
    channel: String,
    id: i64,
    provider: String,
    computer: String,
    time: String,
    data: Map<String, Json>,
    whole: Json,
}

#[test]
fn shippers_give_the_same_fields() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let root = std::env::var_os("CORPORA").map_or(default, PathBuf::from);
    let root = root.join("sigma/regression_data");
    if !root.is_dir() {
        return eprintln!("skipped: no regression data at {}; set CORPORA", root.display());
    }
    let mut events = Vec::new();
    read_below(&root, &mut events);
    assert!(events.len() >= 111, "{} events", events.len());
    for event in &events {
        let beat = fields(&event.by_winlogbeat());
        let nxlog = fields(&event.by_nxlog());
        let dump = fields(&event.whole);
        let xml = fields_of(event.as_xml());
        for (name, value) in &event.data {
            let name = format!("winlog.event_data.{name}");
            let expected = text(value);
            for (who, found) in
                [("winlogbeat", &beat), ("nxlog", &nxlog), ("dump", &dump), ("xml", &xml)]
            {
                let found = found.get(&name).map(text);
                assert_eq!(found, Some(expected.clone()), "{who}: {name} of {}", event.id);
            }
        }
        // What rules and people read beside the data is the same, too.
        let common = |fields: &BTreeMap<String, Json>| -> Vec<String> {
            let mine = |name: &str| {
                let starts = ["process.", "user.", "registry.", "file.", "dll.", "source.", "dns."];
                starts.iter().any(|start| name.starts_with(start))
                    || matches!(
                        name,
                        "@timestamp"
                            | "event.dataset"
                            | "event.code"
                            | "event.provider"
                            | "event.action"
                            | "winlog.channel"
                            | "winlog.computer_name"
                    )
            };
            let shown = fields.iter().filter(|(name, _)| mine(name));
            shown.map(|(name, value)| format!("{name}={}", text(value))).collect()
        };
        assert_eq!(common(&beat), common(&nxlog));
        assert_eq!(common(&beat), common(&dump));
        assert_eq!(common(&beat), common(&xml));
        assert!(beat["event.dataset"] != "windows", "{} {}", event.channel, event.id);
        assert!(beat["event.dataset"].as_str().is_some_and(|name| name.starts_with("windows.")));
    }
}

fn read_below(folder: &Path, events: &mut Vec<Real>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            read_below(&path, events);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(&path).expect("readable");
            let values = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
            events.extend(values.map(|event| Real::new(event.expect("JSON"))));
        }
    }
}

impl Real {
    fn new(whole: Json) -> Real {
        let event = &whole["Event"];
        let system = &event["System"];
        let name = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let user_data =
            event["UserData"].as_object().and_then(|data| data.values().find_map(Json::as_object));
        let data = event["EventData"].as_object().or(user_data).cloned().unwrap_or_default();
        let data =
            data.into_iter().filter(|(name, value)| name != "#attributes" && !value.is_null());
        Real {
            channel: name(&system["Channel"]),
            id: system["EventID"].as_i64().expect("an id"),
            provider: name(&system["Provider"]["#attributes"]["Name"]),
            computer: name(&system["Computer"]),
            time: name(&system["TimeCreated"]["#attributes"]["SystemTime"]),
            data: data.collect(),
            whole: whole.clone(),
        }
    }

    fn by_winlogbeat(&self) -> Json {
        let data: Map<_, _> =
            self.data.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
        json!({
            "@timestamp": self.time,
            "agent": {"type": "winlogbeat"},
            "event": {"code": self.id.to_string(), "kind": "event", "provider": self.provider},
            "winlog": {
                "channel": self.channel,
                "computer_name": self.computer,
                "event_data": data,
                "event_id": self.id.to_string(),
                "provider_name": self.provider,
            },
        })
    }

    fn as_xml(&self) -> String {
        let escaped = |text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('\'', "&apos;").replace('"', "&quot;")
        };
        let mut xml = format!(
            "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>\
             <Provider Name='{}'/><EventID>{}</EventID><TimeCreated SystemTime='{}'/>\
             <Channel>{}</Channel><Computer>{}</Computer></System><EventData>",
            self.provider, self.id, self.time, self.channel, self.computer,
        );
        for (name, value) in &self.data {
            let value = escaped(&text(value));
            xml += &format!("<Data Name='{}'>{value}</Data>", escaped(name));
        }
        xml + "</EventData></Event>"
    }

    fn by_nxlog(&self) -> Json {
        let mut line = json!({
            "EventTime": self.time,
            "Hostname": self.computer,
            "EventID": self.id,
            "SourceName": self.provider,
            "Channel": self.channel,
            "SeverityValue": 2,
        });
        let object = line.as_object_mut().expect("an object");
        object.extend(self.data.clone());
        line
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn fields(line: &Json) -> BTreeMap<String, Json> {
    fields_of(line.to_string())
}

fn fields_of(line: String) -> BTreeMap<String, Json> {
    let sender = Sender {
        agent: "agent-1".into(),
        host: "collector".into(),
        site: "county".into(),
        system: "emr".into(),
        zone: "+00:00".into(),
    };
    let ingested = 4_000_000_000_000_000_000;
    let body = Some(Body::Original(Bytes::from(line)));
    let record = Record { number: 1, created: ingested, body, ..Record::default() };
    let block = Block { origins: vec![Origin::default()], records: vec![record] };
    let context = Context { sender: &sender, ingested, kind: Kind::Log };
    let events = decode::block(&block, &context);
    let event = events.iter(&sender).next().expect("one event").to_json();
    serde_json::from_value(event).expect("an object")
}

//! The events: one lane for each kind of source, each event a line of JSON with Sigma's names.

use std::fs;
use std::path::Path;

use anyhow::Context;
use hengwei_collector::event::{EventRef, Events, FieldId, logsource, names};
use hengwei_rules::Value as Seen;
use serde_json::{Map, Value, json};

use super::raw::{self, Log};
use super::web;

/// Events of one kind.
pub(super) struct Lane {
    pub(super) name: &'static str,
    pub(super) lines: Vec<String>,
}

impl Lane {
    /// Of the average event.
    pub(super) fn bytes(&self) -> f64 {
        let bytes: usize = self.lines.iter().map(String::len).sum();
        bytes as f64 / self.lines.len().max(1) as f64
    }
}

/// Every lane, or those named.
pub(super) fn all(corpora: Option<&Path>, named: &[String]) -> anyhow::Result<Vec<Lane>> {
    let mut lanes = match corpora {
        Some(corpora) => real(corpora)?,
        None => vec![Lane { name: "made_up", lines: made_up() }],
    };
    lanes.retain(|lane| named.is_empty() || named.iter().any(|name| name == lane.name));
    Ok(lanes)
}

fn real(corpora: &Path) -> anyhow::Result<Vec<Lane>> {
    let read = |name: &str| {
        let path = corpora.join("sigma/events").join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        anyhow::Ok(text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let mut windows = read("evtx_attack_flat.ndjson")?;
    windows.extend(read("regression_flat.ndjson")?);
    let sysmon =
        windows.iter().filter(|line| line.contains(r#""service": "sysmon""#)).cloned().collect();
    Ok(vec![
        Lane { name: "sysmon", lines: sysmon },
        Lane { name: "windows", lines: windows },
        Lane { name: "linux", lines: read("art_linux_cmd.ndjson")? },
        Lane { name: "synthetic", lines: read("synth_positive_seed1.ndjson")? },
        Lane { name: "web", lines: decoded(&web::log(corpora)?, web_event) },
        Lane { name: "syslog", lines: decoded(&raw::ssh(corpora)?, sshd_event) },
    ])
}

/// Lines of a made-up site as the decoders read them, under ECS names.
fn made_up() -> Vec<String> {
    decoded(&raw::made_up(20_000), |event| {
        let Value::Object(mut object) = event.to_json() else { return None };
        object.retain(|key, _| key == "event.dataset" || !key.starts_with("event."));
        let source = logsource::of_dataset(event.event.dataset).first()?;
        for (key, said) in [
            ("_ls_category", &source.category),
            ("_ls_product", &source.product),
            ("_ls_service", &source.service),
        ] {
            if let Some(said) = said {
                object.insert(key.to_owned(), json!(said));
            }
        }
        Some(object)
    })
}

fn decoded(log: &Log, event: fn(EventRef<'_>) -> Option<Map<String, Value>>) -> Vec<String> {
    let mut lines = Vec::new();
    for events in log.decode() {
        let events: &Events = &events;
        let objects = events.iter(&log.sender).filter_map(event);
        lines.extend(objects.map(|object| Value::Object(object).to_string()));
    }
    lines
}

/// A request in the words of the W3C's log format, which Sigma uses.
fn web_event(event: EventRef<'_>) -> Option<Map<String, Value>> {
    const FIELDS: &[(&str, FieldId)] = &[
        ("c-ip", names::SOURCE_IP),
        ("cs-username", names::USER_NAME),
        ("cs-method", names::HTTP_REQUEST_METHOD),
        ("cs-uri", names::URL_ORIGINAL),
        ("cs-uri-stem", names::URL_PATH),
        ("cs-uri-query", names::URL_QUERY),
        ("cs-version", names::HTTP_VERSION),
        ("sc-status", names::HTTP_RESPONSE_STATUS_CODE),
        ("sc-bytes", names::HTTP_RESPONSE_BODY_BYTES),
        ("cs-user-agent", names::USER_AGENT_ORIGINAL),
        ("cs-referer", names::HTTP_REQUEST_REFERRER),
    ];
    if !event.event.dataset.ends_with(".access") {
        return None;
    }
    Some(object(&[("category", "webserver"), ("product", "apache")], FIELDS, event))
}

fn sshd_event(event: EventRef<'_>) -> Option<Map<String, Value>> {
    const FIELDS: &[(&str, FieldId)] = &[
        ("hostname", names::LOG_SYSLOG_HOSTNAME),
        ("pid", names::PROCESS_PID),
        ("message", names::MESSAGE),
    ];
    Some(object(&[("product", "linux"), ("service", "sshd")], FIELDS, event))
}

fn object(
    source: &[(&str, &str)],
    fields: &[(&str, FieldId)],
    event: EventRef<'_>,
) -> Map<String, Value> {
    let mut object = Map::new();
    for (key, value) in source {
        object.insert((*key).to_owned(), json!(value));
    }
    for (name, id) in fields {
        let value = match event.get(*id) {
            None | Some(Seen::Null) => continue,
            Some(Seen::Text(text)) => json!(text),
            Some(Seen::Integer(number)) => json!(number),
            Some(Seen::Number(number)) => json!(number),
            Some(Seen::Flag(flag)) => json!(flag),
            Some(Seen::Address(address)) => json!(address.to_string()),
        };
        object.insert((*name).to_owned(), value);
    }
    object
}

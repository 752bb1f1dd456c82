use hengwei_rules::{Document, Mapping, Options};

use super::*;
use crate::event::FieldNames;

const RULES: &str = "\
title: Login
id: login
level: high
logsource: {product: linux, service: sshd}
detection:
  s: {src_ip: 192.0.2.1, User: root}
  f: {hostname: bastion, ProcessGuid: x}
  condition: s and not f
---
title: Parents
id: parents
logsource: {product: linux, service: sshd}
detection:
  s:
    - src_ip: 192.0.2.1
    - ParentImage: /usr/bin/x
  condition: s
---
title: Request
id: request
logsource: {category: webserver}
detection:
  s: {cs-uri-query|contains: passwd, cs-cookie: x}
  condition: s
---
title: Key
id: key
logsource: {category: registry_set, product: windows}
detection:
  s: {TargetObject: x}
  condition: s
---
title: Many
id: many
correlation:
  type: event_count
  rules: [login]
  group-by: [user.name]
  timespan: 5m
  condition: {gte: 5}
";

fn set() -> Set {
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let documents = [Document { name: "rules.yml", text: RULES }];
    let (set, refused) = Set::compile(documents, &FieldNames, &options);
    assert_eq!(refused, []);
    set
}

fn arrival(dataset: &str, fields: &[&str]) -> Arrival {
    Arrival {
        dataset: dataset.to_owned(),
        events: 1,
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        ..Arrival::default()
    }
}

#[test]
fn every_rule_gets_a_verdict_and_what_it_lacks() {
    let arrivals = [
        arrival("sshd", &["source.ip", "user.name"]),
        arrival("nginx.access", &["url.original", "url.path"]),
    ];
    let report = report(&set(), 2, &arrivals);
    let short: Vec<Value> = report
        .rules
        .iter()
        .map(|row| {
            json!([
                row["rule"],
                row["verdict"],
                row["datasets"],
                row["lacks"],
                row["exceptions_lack"]
            ])
        })
        .collect();
    assert_eq!(
        short,
        [
            json!(["login", "fires", ["sshd"], [], ["ProcessGuid"]]),
            json!(["parents", "partly", ["sshd"], ["ParentImage"], []]),
            json!(["request", "lacks", ["nginx.access"], ["http.request.cookie"], []]),
            json!(["key", "no source", [], [], []]),
            json!(["many", "fires", ["sshd"], [], ["ProcessGuid"]]),
        ]
    );
    let sources: Vec<String> = report.sources.iter().map(Value::to_string).collect();
    assert_eq!(
        sources,
        [
            json!({"log_source": "-/linux/sshd", "rules": 2, "fires": 1, "partly": 1, "lacks": 0, "no_source": 0}),
            json!({"log_source": "correlation", "rules": 1, "fires": 1, "partly": 0, "lacks": 0, "no_source": 0}),
            json!({"log_source": "registry_set/windows/-", "rules": 1, "fires": 0, "partly": 0, "lacks": 0, "no_source": 1}),
            json!({"log_source": "webserver/-/-", "rules": 1, "fires": 0, "partly": 0, "lacks": 1, "no_source": 0}),
        ]
        .map(|row| row.to_string())
    );
    assert_eq!(
        report.fields,
        [
            json!({"field": "ParentImage", "rules": 1}),
            json!({"field": "http.request.cookie", "rules": 1}),
        ]
    );
    assert_eq!(
        report.total,
        json!({"total": "rules", "rules": 5, "fires": 2, "partly": 1, "lacks": 1, "no_source": 1, "refused": 2, "datasets": 2})
    );
    assert_eq!(report.datasets[0]["rules"], 3);
}

#[test]
fn where_events_name_their_fields_any_may_come() {
    let arrival = Arrival {
        open: Some(Open::Below("registry.")),
        ..arrival("windows.sysmon.registry_set", &["process.pid"])
    };
    assert_eq!(report(&set(), 0, &[arrival]).rules[3]["verdict"], "fires");
    for (name, expected) in [("a0", true), ("a12", true), ("arch", false), ("a", false)] {
        assert_eq!(Open::Numbered("a").has(name), expected, "{name}");
    }
    for (dataset, family, expected) in [
        ("windows", "windows", true),
        ("windows.security", "windows", true),
        ("windowsill", "windows", false),
        ("auditd.execve", "auditd", true),
    ] {
        assert_eq!(is_below(dataset, family), expected, "{dataset}");
    }
}

#[test]
fn nothing_arrives_and_nothing_can_fire() {
    let report = report(&set(), 0, &[]);
    assert_eq!(report.total["no_source"], 5);
    assert_eq!((report.fields.len(), report.datasets.len()), (0, 0));
}

#[test]
fn what_is_known_are_fields_by_dataset() {
    let known = known();
    assert!(known.iter().all(|arrival| !arrival.dataset.is_empty() && !arrival.fields.is_empty()));
    let of = |name: &str| known.iter().find(|arrival| arrival.dataset == name);
    assert!(of("sshd").is_some_and(|arrival| arrival.fields.contains("source.ip")));
    assert!(of("fim").is_some_and(|arrival| arrival.fields.contains("file.path")));
}

#[test]
fn raw_logs_tell_what_they_hold() {
    let log = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/decode/sshd/accepted-and-failed.log");
    let reading = Reading { year: Some(2026), ..Reading::default() };
    let arrivals = of_logs(&[log], &reading).unwrap();
    let sshd = arrivals.iter().find(|arrival| arrival.dataset == "sshd").unwrap();
    assert!(sshd.events > 3 && sshd.fields.contains("source.ip"), "{sshd:?}");
    assert!(of_logs(&["/nonexistent".into()], &reading).is_err());
}

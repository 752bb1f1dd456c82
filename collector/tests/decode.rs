//! Goldens of the decoders: every `tests/decode/<decoder>/*.log` is decoded and compared with the
//! `.json` beside it, one flat object per record of the log: a line, or lines that the agent joins.
//! `WRITE_GOLDEN=1` writes them anew.
//!
//! What a file is read as stands beside it in a `.toml`, where it differs from the defaults: `dataset`,
//! `path`, `charset`, `zone`, `kind`, `source` and `created` (RFC 3339). The same events are replayed
//! against real logs when CORPORA is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hengwei_collector::decode::{self, Context, DECODERS};
use hengwei_collector::event::{Events, Sender, names};
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_protocol::{Kind, lines};
use serde_json::Value as Json;

const CREATED: &str = "2026-03-01T00:00:00Z";
/// The reader of lines that no decoder read, which is in no table.
const SIGN_INS: &str = "signin";

/// How a file of examples is read.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Setting {
    dataset: String,
    path: String,
    charset: String,
    source: String,
    zone: String,
    kind: String,
    created: String,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            dataset: String::new(),
            path: String::new(),
            charset: String::new(),
            source: "files".to_owned(),
            zone: "+08:00".to_owned(),
            kind: "log".to_owned(),
            created: CREATED.to_owned(),
        }
    }
}

impl Setting {
    /// That of a file of examples.
    fn beside(log: &Path) -> Setting {
        match fs::read_to_string(log.with_extension("toml")) {
            Ok(text) => toml::from_str(&text).expect("a setting is TOML"),
            Err(_) => Setting::default(),
        }
    }
}

#[test]
fn goldens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    let write = std::env::var_os("WRITE_GOLDEN").is_some();
    let logs = logs_below(&root);
    assert!(logs.len() >= 10, "the walker finds too little below {}", root.display());
    let mut wrong = Vec::new();
    for log in logs {
        let actual = render(&log);
        let golden = log.with_extension("json");
        if write {
            fs::write(&golden, &actual).expect("the folder is writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != actual {
            wrong.push(format!("{}\n{}", log.display(), first_difference(&golden, &actual)));
        }
    }
    assert!(wrong.is_empty(), "WRITE_GOLDEN=1 accepts these:\n{}", wrong.join("\n"));
}

#[test]
fn the_lines_of_one_record_are_one_event() {
    let text = b"2026-11-22 08:00:00 failed\n\tat a.B.c(B.java:1)\nwords\n";
    let sender = sender("");
    let events = decode(text, &Setting::default(), &sender);
    let texts: Vec<_> = events.iter(&sender).map(|event| event.text().to_owned()).collect();
    assert_eq!(texts, ["2026-11-22 08:00:00 failed\n\tat a.B.c(B.java:1)", "words"]);
}

/// What a decoder must show: lines of everyday life, lines that are not its own, and what a hostile
/// writer would try.
#[test]
fn every_decoder_shows_enough() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    let sender = sender("+08:00");
    let mut lacking = Vec::new();
    for decoder in DECODERS.iter().map(|decoder| decoder.name).chain([SIGN_INS]) {
        let (mut read, mut refused) = (0, 0);
        for log in logs_below(&root).iter().filter(|log| log.starts_with(root.join(decoder))) {
            let lines = fs::read(log).expect("readable");
            for event in decode(&lines, &Setting::beside(log), &sender).iter(&sender) {
                let own = event.get_text(names::HENGWEI_DECODER) == Some(decoder);
                *(if own { &mut read } else { &mut refused }) += 1;
            }
        }
        let hostile = root.join(decoder).join("hostile.log").is_file();
        if read < 5 || refused < 1 || !hostile {
            lacking.push(format!("{decoder}: {read} read, {refused} refused, hostile {hostile}"));
        }
    }
    assert!(
        lacking.is_empty(),
        "at least 5 read, 1 refused, and a hostile.log:\n{}",
        lacking.join("\n")
    );
}

/// Who may take a line of a decoder's when its program is not known: PAM's messages are PAM's whoever logs
/// them, a sign-in is one, and what is general enough to read pairs and objects reads these as such.
const TAKEN: &[(&str, &[&str])] = &[
    ("application", &["firewall"]),
    ("json", &["firewall"]),
    ("freeswitch", &["application"]),
    ("python", &["application"]),
    ("dameng", &["json"]),
    ("kingbase", &["postgresql", "json", "firewall"]),
    ("gap_gateway", &["firewall"]),
    ("juniper", &["firewall"]),
    ("kamailio", &["firewall"]),
    ("kernel", &["firewall"]),
    ("sangfor", &["firewall"]),
];

/// The examples of all decoders from a program that nobody knows: each is its own decoder's, or nobody's.
#[test]
fn lines_of_a_stranger_are_not_mistaken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    let sender = sender("+08:00");
    let plain = Setting::default();
    let mut wrong = Vec::new();
    for log in logs_below(&root) {
        let text = fs::read(&log).expect("readable");
        for event in decode(&text, &Setting::beside(&log), &sender).iter(&sender) {
            let Some(home) = event.get_text(names::HENGWEI_DECODER) else { continue };
            let said = event.get_text(names::MESSAGE).unwrap_or(event.text());
            let line = format!("Feb 28 08:00:00 host stranger[1]: {said}");
            let alone = decode(line.as_bytes(), &plain, &sender);
            let Some(alone) = alone.get(0, &sender) else { continue };
            let Some(taker) = alone.get_text(names::HENGWEI_DECODER) else { continue };
            let allowed = TAKEN.iter().find(|(of, _)| *of == home).map_or(&[][..], |(_, by)| by);
            if ![home, "pam", SIGN_INS].contains(&taker) && !allowed.contains(&taker) {
                wrong.push(format!("{home} -> {taker}: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "taken for another program's:\n{}", wrong.join("\n"));
}

fn first_difference(golden: &Path, actual: &str) -> String {
    let expected = fs::read_to_string(golden).unwrap_or_default();
    let mut lines = expected.lines().zip(actual.lines());
    match lines.find(|(expected, actual)| expected != actual) {
        Some((expected, actual)) => format!("  expected {expected}\n  is       {actual}"),
        None => {
            format!("  {} lines where {} are", expected.lines().count(), actual.lines().count())
        }
    }
}

fn logs_below(root: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(root).expect("there is a folder per decoder");
    let mut logs: Vec<_> = folders
        .flat_map(|folder| fs::read_dir(folder.expect("readable").path()).into_iter().flatten())
        .map(|file| file.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .collect();
    logs.sort();
    logs
}

/// The events, one field per line of text and sorted by name, so that a diff reads well and a new name
/// moves none of the others.
fn render(log: &Path) -> String {
    let setting = Setting::beside(log);
    let sender = sender(&setting.zone);
    let lines = fs::read(log).expect("readable");
    let events = decode(&lines, &setting, &sender);
    let objects: Vec<_> = events.iter(&sender).map(|event| sorted(event.to_json())).collect();
    let mut text = serde_json::to_string_pretty(&objects).expect("JSON is text");
    text.push('\n');
    text
}

fn sorted(event: Json) -> BTreeMap<String, Json> {
    serde_json::from_value(event).expect("an event is an object")
}

fn sender(zone: &str) -> Sender {
    Sender {
        agent: "agent-1".into(),
        host: "web01".into(),
        site: "county".into(),
        system: "emr".into(),
        zone: zone.into(),
    }
}

fn nanos(time: &str) -> i64 {
    let time: jiff::Timestamp = time.parse().expect("RFC 3339");
    i64::try_from(time.as_nanosecond()).expect("in this era")
}

fn decode(lines: &[u8], setting: &Setting, sender: &Sender) -> Events {
    let created = nanos(&setting.created);
    let records = (1..).zip(lines::records(lines)).map(|(number, record)| Record {
        number,
        created,
        body: Some(Body::Original(record.text.into())),
        ..Record::default()
    });
    let origin = Origin {
        source: setting.source.clone(),
        path: setting.path.clone(),
        dataset: setting.dataset.clone(),
        charset: setting.charset.clone(),
    };
    let block = Block { origins: vec![origin], records: records.collect() };
    let kind: Kind = setting.kind.parse().expect("a kind");
    decode::block(&block, &Context { sender, ingested: created, kind })
}

/// The folder of real logs, or None with a line that says so.
fn corpora() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let root = std::env::var_os("CORPORA").map_or(default, PathBuf::from);
    if root.join("logs").is_dir() {
        return Some(root.join("logs"));
    }
    eprintln!("skipped: no corpora at {}; set CORPORA", root.display());
    None
}

fn real(file: &Path, dataset: &str, sender: &Sender) -> (String, Events) {
    let bytes = fs::read(file).expect("readable");
    let setting = Setting { dataset: dataset.to_owned(), ..Setting::default() };
    let events = decode(&bytes, &setting, sender);
    (String::from_utf8_lossy(&bytes).into_owned(), events)
}

#[test]
fn real_sshd_failures_are_counted_once_each() {
    let Some(root) = corpora() else { return };
    let sender = sender("");
    let (text, events) = real(&root.join("OpenSSH/OpenSSH_2k.log"), "", &sender);

    // What a person would count, by other means than the decoder's.
    let line = regex::Regex::new(
        r"sshd\[\d+\]: (?:message repeated (\d+) times: \[ )?Failed \S+ for .* from (\S+) port \d+ ssh2",
    )
    .expect("a pattern");
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for found in line.captures_iter(&text) {
        let times = found.get(1).map_or(1, |times| times.as_str().parse().expect("digits"));
        *expected.entry(found[2].to_owned()).or_default() += times;
    }

    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    let mut unread = Vec::new();
    for event in events.iter(&sender) {
        assert_eq!(event.event.dataset, "sshd", "{}", event.text());
        if event.get(names::HENGWEI_DECODER).is_none() {
            unread.push(event.text());
        }
        let failed = event.get_text(names::EVENT_ACTION) == Some("ssh_login")
            && event.get_text(names::EVENT_OUTCOME) == Some("failure");
        if failed {
            let source = event.display(names::SOURCE_IP).expect("a failure has a source");
            *counted.entry(source.into_owned()).or_default() += event.event.weight;
        }
    }
    assert_eq!(counted, expected);
    assert!(expected.values().sum::<u64>() > 519);
    assert!(unread.is_empty(), "{unread:#?}");
}

#[test]
fn real_apache_logs_are_read() {
    let Some(root) = corpora() else { return };
    let sender = sender("");
    for (file, dataset, whole) in [
        ("Apache/Apache_2k.log", "apache.error", 2_000),
        ("apache_access_10k.log", "apache.access", 10_000),
    ] {
        let (_, events) = real(&root.join(file), "", &sender);
        let read = events
            .iter(&sender)
            .filter(|event| {
                event.event.dataset == dataset && event.get(names::HENGWEI_DECODER).is_some()
            })
            .count();
        let strange: Vec<_> = events
            .iter(&sender)
            .filter(|event| event.event.dataset != dataset)
            .map(|event| event.text())
            .take(3)
            .collect();
        assert_eq!(read, whole, "{strange:#?}");
    }
}

/// Real logs, and the examples of all decoders, hold no sign-in that nobody meant; those of character sets
/// hold one that is.
#[test]
fn sign_ins_are_found_only_where_they_are() {
    let sender = sender("");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    let meant = [SIGN_INS, "charset"].map(|folder| root.join(folder));
    let mut logs = logs_below(&root);
    logs.retain(|log| !meant.iter().any(|folder| log.starts_with(folder)));
    logs.extend(corpora().map(|logs| logs_below(&logs)).unwrap_or_default());
    let mut found = Vec::new();
    for log in logs {
        let bytes = fs::read(&log).expect("readable");
        for event in decode(&bytes, &Setting::beside(&log), &sender).iter(&sender) {
            let mut readers = event.values(names::HENGWEI_DECODER);
            if readers.any(|reader| reader == hengwei_rules::Value::Text(SIGN_INS)) {
                found.push(event.text().to_owned());
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_readme_lists_the_decoders() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(readme).expect("reads");
    let rows = text.lines().skip_while(|line| !line.starts_with("| decoder |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = DECODERS
        .iter()
        .map(|decoder| {
            let (first, more) = decoder.datasets.split_first().expect("a decoder has a dataset");
            let family = more.len() > 16
                && more.iter().all(|dataset| dataset.starts_with(&format!("{first}.")));
            let datasets = match family {
                true => vec![format!("`{first}`"), format!("`{first}.*`")],
                false => decoder.datasets.iter().map(|dataset| format!("`{dataset}`")).collect(),
            };
            let datasets = datasets.join(", ");
            format!("| `{}` | {datasets} |", decoder.name)
        })
        .collect();
    assert!(rows == expected, "the table should be\n{}", expected.join("\n"));
}

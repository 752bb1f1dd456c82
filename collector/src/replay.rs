//! `replay`: raw logs through decoders and rules, without a daemon; and `rules test`, which is the
//! same over the examples beside each rule. Lines that belong together are joined as the agent does.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use hengwei_protocol::lines::{self, Gather};
use hengwei_protocol::wire::{Block, Field, Fields, Origin, Record, field, record::Body};
use hengwei_protocol::{Kind, limits};
use hengwei_rules::{Document, Level, Mapping, Options, Set};
use serde::Deserialize;

use crate::alerts::{Alert, NoPast};
use crate::decode;
use crate::detect::{Batch, Detector, Rules};
use crate::event::{EventRef, Events, FieldNames, OWN_AGENT, Sender};
use crate::time;

/// Records of one block.
const BLOCK: usize = 4096;

/// `replay` arguments.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// Folder of Sigma rules; repeats.
    #[arg(long = "rules", required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// What raw lines do not say of themselves.
    #[command(flatten)]
    pub reading: Reading,
    /// Raw logs.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What raw lines do not say of themselves.
#[derive(Debug, Clone, clap::Args)]
pub struct Reading {
    /// Zone of stamps that carry none: an IANA name or an offset.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub tz: String,
    /// Year of stamps that carry none; without it, counted back from the file's last change.
    #[arg(long, value_name = "YEAR")]
    pub year: Option<i16>,
    /// Dataset of every line, when it is not to be found out.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub dataset: String,
    /// Charset of every line (`gb18030`, `utf-8` ...), when it is not to be found out.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub charset: String,
    /// Where the lines are said to be read from, in place of the file's own path.
    #[arg(long = "as-path", value_name = "PATH")]
    pub as_path: Option<String>,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            tz: "UTC".to_owned(),
            year: None,
            dataset: String::new(),
            charset: String::new(),
            as_path: None,
        }
    }
}

/// `decode` arguments.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// What raw lines do not say of themselves.
    #[command(flatten)]
    pub reading: Reading,
    /// Raw logs; `/dev/stdin` reads what is piped in.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Runs `decode`: one line per event, `{"line":n,"event":{..}}`, with the number of its first line.
pub fn decode(args: &DecodeArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    for file in &args.files {
        each_event(file, &args.reading, &mut |number, event| {
            let line = serde_json::json!({"line": number, "event": event.to_json()});
            Ok(writeln!(out, "{line}")?)
        })?;
    }
    Ok(())
}

/// Runs `replay`: one alert per line, in its final state, in the order they were raised.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let rules = Arc::new(Rules::new(load(&args.rules)?.0, Level::High));
    let mut bench = Bench::new(rules, &args.reading.tz);
    for file in &args.files {
        raw_records(file, &args.reading, &mut |origin, created, bodies| {
            let bodies = bodies.into_iter().map(|(_, body)| body).collect();
            bench.records(origin, Kind::Log, created, bodies);
            Ok(())
        })?;
    }
    for alert in bench.detector.book.all() {
        writeln!(out, "{}", serde_json::to_string(alert)?)?;
    }
    Ok(())
}

/// Compiles every rule below the folders; says on standard error what was refused.
pub fn load(dirs: &[PathBuf]) -> anyhow::Result<(Set, usize)> {
    let mut texts = Vec::new();
    for path in crate::eval::rule_files(dirs)? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        texts.push((path.display().to_string(), text));
    }
    let documents = texts.iter().map(|(name, text)| Document { name, text });
    let options = Options { mapping: Mapping::Ecs, ..Options::default() };
    let (set, refused) = Set::compile(documents, &FieldNames, &options);
    for rule in &refused {
        tracing::warn!("rule refused: {rule}");
    }
    Ok((set, refused.len()))
}

/// A detector and the numbering its records need.
struct Bench {
    rules: Arc<Rules>,
    detector: Detector,
    sender: Sender,
    number: u64,
}

impl Bench {
    fn new(rules: Arc<Rules>, zone: &str) -> Bench {
        let (detector, sender) = (Detector::new(Arc::clone(&rules)), sender(zone));
        Bench { detector, rules, sender, number: 1 }
    }

    fn records(&mut self, origin: &Origin, kind: Kind, created: i64, bodies: Vec<Body>) {
        let first = self.number;
        self.number += bodies.len() as u64;
        let numbered = (first..).zip(bodies).collect();
        let events = decoded(&self.sender, origin, kind, created, numbered);
        let matches = self.rules.matches(&self.sender, &events);
        let batch = Batch { sender: &self.sender, events: &events, kind, epoch: &[0; 16] };
        self.detector.judge(&NoPast, &batch, &matches, created);
    }
}

/// Shows the event of each record of a raw log, with the number of its first line.
pub(crate) fn each_event(
    path: &Path,
    reading: &Reading,
    see: &mut dyn FnMut(u64, EventRef<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let sender = sender(&reading.tz);
    raw_records(path, reading, &mut |origin, created, bodies| {
        let events = decoded(&sender, origin, Kind::Log, created, bodies);
        events.iter(&sender).try_for_each(|event| see(event.event.number, event))
    })
}

fn sender(zone: &str) -> Sender {
    Sender {
        agent: "replay".into(),
        host: "replay".into(),
        site: "".into(),
        system: "".into(),
        zone: zone.into(),
    }
}

/// What is understood of numbered records.
fn decoded(
    sender: &Sender,
    origin: &Origin,
    kind: Kind,
    created: i64,
    bodies: Vec<(u64, Body)>,
) -> Events {
    let records = bodies
        .into_iter()
        .map(|(number, body)| {
            let time = if matches!(body, Body::Fields(_)) { created } else { 0 };
            Record { number, time, created, body: Some(body), ..Record::default() }
        })
        .collect();
    let block = Block { origins: vec![origin.clone()], records };
    // Nothing is ahead of the time it was taken in: an old log is not suspect for being replayed.
    decode::file(&block, &decode::Context { sender, ingested: time::now(), kind })
}

/// Takes where records come from, when they were read, and the records, each with the number of its
/// first line.
type SeeRecords<'a> = &'a mut dyn FnMut(&Origin, i64, Vec<(u64, Body)>) -> anyhow::Result<()>;

/// Shows the records of a raw log in blocks. Empty lines are none, as for the agent.
fn raw_records(path: &Path, reading: &Reading, see: SeeRecords<'_>) -> anyhow::Result<()> {
    let context = || format!("{}: can't be read", path.display());
    let file = std::fs::File::open(path).with_context(context)?;
    let created = match reading.year {
        Some(year) => decode::read_in(year),
        None => file.metadata()?.modified().ok().and_then(unix_nanos).unwrap_or_else(time::now),
    };
    let origin = Origin {
        source: "files".into(),
        path: reading.as_path.clone().unwrap_or_else(|| path.display().to_string()),
        dataset: reading.dataset.clone(),
        charset: reading.charset.clone(),
    };
    let mut reader = std::io::BufReader::new(file);
    let (mut bodies, mut gather) = (Vec::new(), Gather::new());
    let (mut line, mut first) = (Vec::new(), 1);
    loop {
        line.clear();
        let ended = reader.read_until(b'\n', &mut line).with_context(context)? == 0;
        let record = if ended {
            std::mem::take(&mut gather).finish()
        } else {
            let whole = line.strip_suffix(b"\n").unwrap_or(&line);
            gather.push(whole.get(..limits::MAX_ORIGINAL).unwrap_or(whole))
        };
        if let Some(record) = record {
            if !record.text.is_empty() {
                bodies.push((first, Body::Original(record.text.into())));
            }
            first += record.lines;
        }
        if bodies.len() == BLOCK || ended {
            see(&origin, created, std::mem::take(&mut bodies))?;
        }
        if ended {
            return Ok(());
        }
    }
}

fn unix_nanos(time: std::time::SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// One case of a `.test.yml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    dataset: String,
    #[serde(default = "default_path")]
    path: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    lines: Option<String>,
    #[serde(default)]
    events: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    alerts: usize,
    #[serde(default)]
    entity: Option<String>,
    #[serde(default)]
    count: Option<u64>,
}

fn default_path() -> String {
    "/var/log/test.log".to_owned()
}

/// `rules test` arguments.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Folder of rules with their `.test.yml`; repeats.
    #[arg(long = "rules", required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
}

/// Runs the cases beside every rule: each `<name>.test.yml` against `<name>.yml`, with the whole
/// library compiled, since a rule may join another's alert. Returns the number that failed.
pub fn test(args: &TestArgs, out: &mut dyn Write) -> anyhow::Result<usize> {
    let (set, refused) = load(&args.rules)?;
    let rules = Arc::new(Rules::new(set, Level::Informational));
    let (mut passed, mut failed) = (0, refused);
    for path in crate::eval::rule_files(&args.rules)? {
        let cases_path = path.with_extension("test.yml");
        let id = id_of(&rules, &path)?;
        let Ok(text) = std::fs::read_to_string(&cases_path) else {
            writeln!(out, "{}: no {} beside it", path.display(), cases_path.display())?;
            failed += 1;
            continue;
        };
        let cases: Vec<Case> =
            yaml(&text).with_context(|| format!("{}: not understood", cases_path.display()))?;
        let quiet = cases.iter().any(|case| case.alerts == 0);
        let loud = cases.iter().any(|case| case.alerts > 0);
        if !(quiet && loud) {
            writeln!(
                out,
                "{}: needs a case that fires and one that stays quiet",
                cases_path.display()
            )?;
            failed += 1;
        }
        for case in &cases {
            match run(&rules, &id, case) {
                Ok(()) => passed += 1,
                Err(problem) => {
                    failed += 1;
                    writeln!(out, "{}: {}: {problem}", cases_path.display(), case.name)?;
                }
            }
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(failed)
}

/// Id of the rule a file is about: its last. Those in front are what it correlates.
fn id_of(rules: &Rules, path: &Path) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let last = rules.set().rules().iter().rfind(|rule| rule.document == name);
    let last = last.with_context(|| format!("{name}: no rule of it was compiled"))?;
    anyhow::ensure!(last.standalone, "{name}: its last rule tells nothing of itself");
    Ok(last.key().to_owned())
}

fn run(rules: &Arc<Rules>, id: &str, case: &Case) -> Result<(), String> {
    let kind =
        case.kind.as_deref().unwrap_or("log").parse::<Kind>().map_err(|error| error.to_string())?;
    let mut bench = Bench::new(Arc::clone(rules), "Asia/Shanghai");
    if case.source.as_deref() == Some("hengwei") {
        // Only the collector itself is believed in what it says of itself.
        bench.sender.agent = OWN_AGENT.into();
    }
    let source = case.source.clone().unwrap_or_else(|| "files".to_owned());
    let origin = Origin {
        source,
        path: case.path.clone(),
        dataset: case.dataset.clone(),
        charset: String::new(),
    };
    let created = time::now();
    let mut bodies = Vec::new();
    for record in case.lines.iter().flat_map(|lines| lines::records(lines.as_bytes())) {
        bodies.push(Body::Original(record.text.into()));
    }
    for event in case.events.iter().flatten() {
        bodies.push(Body::Fields(Fields { fields: typed(event)? }));
    }
    bench.records(&origin, kind, created, bodies);
    let found: Vec<&Alert> = bench
        .detector
        .book
        .all()
        .filter(|alert| alert.rule.id == id || alert.related.iter().any(|related| related == id))
        .collect();
    if found.len() != case.alerts {
        return Err(format!("{} alerts where {} were expected", found.len(), case.alerts));
    }
    let Some(first) = found.first() else { return Ok(()) };
    if case.entity.as_ref().is_some_and(|entity| *entity != first.entity.value) {
        return Err(format!("the alert is about `{}`", first.entity.value));
    }
    if case.count.is_some_and(|count| count != first.count) {
        return Err(format!("the alert counts {}", first.count));
    }
    Ok(())
}

fn typed(event: &serde_json::Map<String, serde_json::Value>) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for (name, value) in event {
        let values = match value {
            serde_json::Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let value = match value {
                serde_json::Value::String(text) => field::Value::Text(text.clone()),
                serde_json::Value::Bool(flag) => field::Value::Flag(*flag),
                serde_json::Value::Number(number) => number.as_i64().map_or_else(
                    || field::Value::Number(number.as_f64().unwrap_or_default()),
                    field::Value::Integer,
                ),
                other => return Err(format!("{name}: `{other}` is no value of a field")),
            };
            fields.push(Field { name: name.clone(), value: Some(value) });
        }
    }
    Ok(fields)
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    Ok(yaml_serde::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_tells_what_is_understood_of_each_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("some.log");
        // The second record has two lines; the third is in GB18030.
        let lines = b"Nov 20 08:00:00 db su: (to root) a on pts/0\n\
            2026-11-20 08:00:01 ERROR his.Pay - failed\n\tat his.Pay.run(Pay.java:7)\n\xb5\xc7\xc2\xbc\n";
        std::fs::write(&file, lines).expect("room");
        let reading = Reading {
            tz: "Asia/Shanghai".into(),
            year: Some(2026),
            charset: "gb18030".into(),
            as_path: Some("/var/log/x.log".into()),
            ..Reading::default()
        };
        let mut out = Vec::new();
        decode(&DecodeArgs { reading, files: vec![file] }, &mut out).expect("it reads");
        let events: Vec<serde_json::Value> = out
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("NDJSON"))
            .collect();
        let field = |at: usize, name: &str| events[at]["event"][name].clone();
        assert_eq!(events.iter().map(|event| &event["line"]).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(field(0, "user.effective.name"), "root");
        assert_eq!(field(0, "@timestamp"), "2026-11-20T00:00:00Z");
        assert_eq!(field(0, "log.file.path"), "/var/log/x.log");
        assert!(field(1, "event.original").as_str().expect("text").contains("\n\tat his.Pay"));
        assert_eq!(field(2, "event.original"), "登录");
    }
}

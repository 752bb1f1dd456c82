//! Lines become drafts, as they would between an agent and a collector: each host numbers what it
//! reads in two queues, cuts it into batches, and several batches make a commit.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use hengwei_collector::decode;
use hengwei_collector::event::Sender;
use hengwei_collector::history::{Draft, Received};
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_protocol::{Kind, block};
use hengwei_tests::generate::{Generator, HOSTS, Line, Plan, syslog_stamp};
use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;
/// 2026-05-04 00:00 in China: half a year later all of it is still in the past.
const HALF_A_YEAR_AGO: i64 = 1_777_824_000 * SECOND;
/// An agent sends no more records, and no more bytes, in one batch.
const BATCH_RECORDS: usize = 5_000;
const BATCH_BYTES: usize = 2 << 20;
/// What the collector commits together when much is waiting ...
const COMMIT_RECORDS: usize = 20_000;
/// ... and how long a line waits when little is.
const COMMIT_NANOS: i64 = 3_600 * SECOND;
/// How often a needle is hidden.
pub(super) const NEEDLES: u64 = 10;
/// A word no line has, but the ones it was added to.
pub(super) const NEEDLE: &str = "hw7f3a9c51be";
const EPOCH: [u8; 16] = [7; 16];

/// The time that searched lines are spread over.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Span {
    /// When it begins, Unix nanoseconds; a day of the hospital's zone does.
    pub(super) start: i64,
    /// How many days it is long.
    pub(super) days: u64,
    /// When a day in its middle begins.
    pub(super) day: i64,
}

impl Span {
    /// Of so many days.
    pub(super) fn of(days: u64) -> Span {
        let half = i64::try_from(days / 2).unwrap_or(0);
        Span { start: HALF_A_YEAR_AGO, days, day: HALF_A_YEAR_AGO + half * DAY }
    }

    /// Two days after the last line at the latest: the first day and the last are whole days.
    pub(super) fn end(self) -> i64 {
        self.start + i64::try_from(self.days).unwrap_or(0).saturating_add(2).saturating_mul(DAY)
    }

    /// The day in its middle as syslog writes it: `Nov  2`.
    pub(super) fn day_stamp(self) -> String {
        let mut stamp = syslog_stamp(self.day);
        stamp.truncate("Nov  2".len());
        stamp
    }
}

/// Where lines come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Source {
    /// Made up; spread over so many days, or at their own pace when None.
    Generated {
        /// Another seed, other lines.
        seed: u64,
        /// How many.
        lines: u64,
        /// What they are spread over.
        days: Option<u64>,
    },
    /// The lines of files, each below the folder of its host.
    Files(Vec<PathBuf>),
}

/// Lines on their way into drafts.
pub(super) struct Drafts {
    lines: Box<dyn Iterator<Item = Said>>,
    queues: Vec<Queue>,
    by_name: HashMap<(String, Kind), usize>,
    waiting: usize,
    since: Option<i64>,
    raw: Option<BufWriter<File>>,
    /// Bytes of the lines so far, newlines included.
    pub(super) raw_bytes: u64,
}

/// A line of any source.
struct Said {
    host: String,
    path: String,
    time: i64,
    bytes: Vec<u8>,
}

/// One queue of one agent.
struct Queue {
    sender: Sender,
    kind: Kind,
    next: u64,
    origins: Vec<Origin>,
    records: Vec<Record>,
}

impl Drafts {
    /// Of a source; the lines are written to `raw` besides.
    pub(super) fn of(source: &Source, needles: bool, raw: Option<&Path>) -> anyhow::Result<Drafts> {
        let lines: Box<dyn Iterator<Item = Said>> = match source {
            Source::Generated { seed, lines, days } => {
                let mut plan = Plan::new(*seed, *lines);
                if let Some(days) = days {
                    plan.start = HALF_A_YEAR_AGO;
                    plan.lasts = i64::try_from(*days)? * DAY;
                }
                let every = if needles { lines / NEEDLES } else { u64::MAX };
                Box::new(Generator::new(plan).zip(1..).map(move |(line, n)| said(line, n, every)))
            }
            Source::Files(files) => Box::new(read(files)?.into_iter()),
        };
        let raw = raw.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Drafts {
            lines,
            queues: Vec::new(),
            by_name: HashMap::new(),
            waiting: 0,
            since: None,
            raw,
            raw_bytes: 0,
        })
    }

    /// The next draft, and its records; None after the last.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(Draft, u64)>> {
        while let Some(said) = self.lines.next() {
            self.raw_bytes += said.bytes.len() as u64 + 1;
            if let Some(raw) = &mut self.raw {
                raw.write_all(&said.bytes)?;
                raw.write_all(b"\n")?;
            }
            let (now, since) = (said.time, *self.since.get_or_insert(said.time));
            self.take(said);
            if self.waiting >= COMMIT_RECORDS || now - since >= COMMIT_NANOS {
                return self.draft(now).map(Some);
            }
        }
        if let Some(raw) = &mut self.raw {
            raw.flush()?;
        }
        let last = self.queues.iter().filter_map(|q| q.records.last()).map(|r| r.created).max();
        last.map(|now| self.draft(now)).transpose()
    }

    fn take(&mut self, said: Said) {
        let kind = kind_of(&said.path);
        let queues = &mut self.queues;
        let at = *self.by_name.entry((said.host, kind)).or_insert_with_key(|(host, kind)| {
            queues.push(Queue::new(host, *kind));
            queues.len() - 1
        });
        let Some(queue) = self.queues.get_mut(at) else { return };
        let origin = queue.origins.iter().position(|origin| origin.path == said.path);
        let origin = origin.unwrap_or_else(|| {
            queue.origins.push(origin_of(&said.path));
            queue.origins.len() - 1
        });
        queue.records.push(Record {
            number: queue.next,
            origin: u32::try_from(origin).unwrap_or(0),
            created: said.time,
            body: Some(Body::Original(Bytes::from(said.bytes))),
            ..Record::default()
        });
        queue.next += 1;
        self.waiting += 1;
    }

    /// Everything that waits, in batches.
    fn draft(&mut self, now: i64) -> anyhow::Result<(Draft, u64)> {
        let records = std::mem::take(&mut self.waiting) as u64;
        self.since = None;
        let mut draft = Draft::default();
        for queue in &mut self.queues {
            let mut rest = std::mem::take(&mut queue.records).into_iter().peekable();
            while rest.peek().is_some() {
                let (mut batch, mut bytes) = (Vec::new(), 0);
                while batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
                    let Some(record) = rest.next() else { break };
                    bytes += original(&record).len();
                    batch.push(record);
                }
                draft.received.push(queue.received(batch, now)?);
            }
        }
        Ok((draft, records))
    }
}

impl Queue {
    fn new(host: &str, kind: Kind) -> Queue {
        let sender = Sender {
            agent: format!("{host}-agent").into(),
            host: host.into(),
            site: "hospital".into(),
            system: host.split('-').next().unwrap_or(host).into(),
            zone: "Asia/Shanghai".into(),
        };
        Queue { sender, kind, next: 1, origins: Vec::new(), records: Vec::new() }
    }

    /// A batch as the input of agents hands it on: unpacked, decoded, with what the decoders raised.
    fn received(&self, records: Vec<Record>, now: i64) -> anyhow::Result<Received> {
        // A batch names only the origins it has records of.
        let mut used: Vec<u32> = records.iter().map(|record| record.origin).collect();
        used.sort_unstable();
        used.dedup();
        let place = |origin: u32| used.iter().position(|used| *used == origin).unwrap_or(0);
        let moved = |mut record: Record| {
            record.origin = u32::try_from(place(record.origin)).unwrap_or(0);
            record
        };
        let records: Vec<Record> = records.into_iter().map(moved).collect();
        let origins = self.origins.iter().zip(0..).filter(|(_, at)| used.contains(at));
        let block = Block { origins: origins.map(|(origin, _)| origin.clone()).collect(), records };
        let batch = block::pack(self.kind, Bytes::copy_from_slice(&EPOCH), &block)?;
        let context = decode::Context { sender: &self.sender, ingested: now, kind: self.kind };
        let mut raised = Vec::new();
        if self.kind != Kind::Security {
            let events = decode::block(&block, &context);
            let security = events.events.iter().filter(|event| event.kind == Kind::Security);
            raised.extend(security.map(|event| event.number));
            raised.sort_unstable();
            raised.dedup();
        }
        let Sender { agent, host, site, system, zone } = self.sender.clone();
        Ok(Received {
            agent,
            host,
            site,
            system,
            zone,
            kind: self.kind,
            epoch: EPOCH,
            first: batch.first,
            span: batch.span,
            block: batch.block,
            raw_len: batch.raw_len,
            records: Arc::new(block),
            raised,
            ingested: now,
        })
    }
}

/// Authentication and audit are security events wherever they are read, as a site configures it.
fn kind_of(path: &str) -> Kind {
    match path {
        _ if path.ends_with("/auth.log") || path.contains("atna") || path.contains("audit") => {
            Kind::Security
        }
        _ => Kind::Log,
    }
}

fn origin_of(path: &str) -> Origin {
    let charset = if path.ends_with("analyser.log") { "gb18030" } else { "" };
    Origin {
        source: "files".to_owned(),
        path: path.to_owned(),
        charset: charset.to_owned(),
        ..Origin::default()
    }
}

fn original(record: &Record) -> &[u8] {
    match &record.body {
        Some(Body::Original(bytes)) => bytes,
        _ => &[],
    }
}

/// A made-up line; a needle goes into the middle one of each tenth.
fn said(line: Line, number: u64, every: u64) -> Said {
    let mut bytes = line.bytes;
    if number % every == every / 2 {
        bytes.extend_from_slice(b" ref=");
        bytes.extend_from_slice(NEEDLE.as_bytes());
    }
    let host = HOSTS.get(line.host).map_or("nobody", |host| host.0).to_owned();
    Said { host, path: line.path.to_owned(), time: line.time, bytes }
}

/// All lines of files: they are small. The folder a file is in is its host.
fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Said>> {
    let mut all = Vec::new();
    for file in files {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let host = folder.to_string_lossy().into_owned();
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        all.extend(lines.filter(|line| !line.is_empty()).map(|line| Said {
            path: format!("/var/log/{host}/{name}"),
            host: host.clone(),
            time: HALF_A_YEAR_AGO,
            bytes: line.to_vec(),
        }));
    }
    Ok(all)
}

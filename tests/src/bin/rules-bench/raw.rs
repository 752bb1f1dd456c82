//! From the bytes of a log to matches: decoders, ECS names, all rules, on one thread.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use hengwei_collector::decode;
use hengwei_collector::event::{Events, FieldNames, Sender};
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_rules::{Document, Mapping, Options, Program, Scratch, Set};
use hengwei_tests::figures::{Goal, row, row_for};
use hengwei_tests::generate::{Generator, Plan};

use super::{Arguments, sets, web};
use hengwei_tests::race::{Contestant, Pass, race};

/// Records of one block, as an agent cuts them.
const BLOCK: usize = 1_000;
/// Lines a second that all of it should take.
const GOAL: f64 = 700_000.0;
const MADE_UP: u64 = 20_000;
/// What a stamp without a year is dated by: 2026-05-04.
const CREATED: i64 = 1_777_852_800_000_000_000;

/// Lines of one log, as an agent sends them.
pub(super) struct Log {
    pub(super) sender: Sender,
    blocks: Vec<Block>,
    lines: usize,
    bytes: usize,
}

impl Log {
    /// Of the lines of a file.
    pub(super) fn of(path: &str, lines: Vec<Vec<u8>>) -> Log {
        let path = path.to_owned();
        Log::new(lines.into_iter().map(|line| (path.clone(), line)).collect())
    }

    fn new(lines: Vec<(String, Vec<u8>)>) -> Log {
        let sender = Sender {
            agent: "bench".into(),
            host: "bench".into(),
            site: "".into(),
            system: "".into(),
            zone: "UTC".into(),
        };
        let bytes = lines.iter().map(|(_, line)| line.len()).sum();
        let mut log = Log { sender, blocks: Vec::new(), lines: lines.len(), bytes };
        let mut number = 0;
        for chunk in lines.chunks(BLOCK) {
            let mut block = Block::default();
            for (path, line) in chunk {
                let known = block.origins.iter().position(|origin| origin.path == *path);
                let origin = known.unwrap_or_else(|| {
                    let source = "files".to_owned();
                    block.origins.push(Origin { source, path: path.clone(), ..Origin::default() });
                    block.origins.len() - 1
                });
                number += 1;
                block.records.push(Record {
                    number,
                    origin: u32::try_from(origin).unwrap_or(0),
                    created: CREATED,
                    body: Some(Body::Original(Bytes::copy_from_slice(line))),
                    ..Record::default()
                });
            }
            log.blocks.push(block);
        }
        log
    }

    /// Block by block.
    pub(super) fn decode(&self) -> impl Iterator<Item = Events> {
        let context = decode::Context { sender: &self.sender, ingested: CREATED, kind: Kind::Log };
        self.blocks.iter().map(move |block| decode::block(block, &context))
    }
}

/// What an SSH server said.
pub(super) fn ssh(corpora: &Path) -> anyhow::Result<Log> {
    let path = corpora.join("logs/OpenSSH/OpenSSH_2k.log");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    let lines = text.split(|byte| *byte == b'\n' || *byte == b'\r').filter(|line| !line.is_empty());
    Ok(Log::of("/var/log/auth.log", lines.map(<[u8]>::to_vec).collect()))
}

/// What a made-up site said, in the order it was said.
pub(super) fn made_up(lines: u64) -> Log {
    let made = Generator::new(Plan::new(1, lines));
    Log::new(made.map(|line| (line.path.to_owned(), line.bytes)).collect())
}

/// The rules under ECS names.
struct Ecs {
    set: Set,
}

impl Ecs {
    fn compile(corpora: Option<&Path>) -> anyhow::Result<Ecs> {
        let mut texts = sets::load(corpora)?;
        if corpora.is_some() {
            texts.extend(sets::load(None)?);
        }
        let documents = texts.iter().map(|(name, text)| Document { name, text });
        let options = Options { mapping: Mapping::Ecs, ..Options::default() };
        Ok(Ecs { set: Set::compile(documents, &FieldNames, &options).0 })
    }

    /// The rules that a block's events match, all that was learnt from others being in `learnt`.
    fn hits(&self, sender: &Sender, events: &Events, learnt: &mut Learnt) -> usize {
        let mut found = 0;
        for event in events.iter(sender) {
            let program = learnt
                .programs
                .entry(event.event.dataset)
                .or_insert_with(|| self.set.program(&event));
            learnt.hits.clear();
            program.run(&event, &mut learnt.scratch, &mut learnt.hits);
            found += learnt.hits.len();
        }
        found
    }
}

/// What running the rules learns from events.
#[derive(Default)]
struct Learnt {
    programs: HashMap<&'static str, Arc<Program>>,
    scratch: Scratch,
    hits: Vec<usize>,
}

/// Measures each log: from its lines, and the two halves of that.
pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let corpora: Option<PathBuf> = arguments.corpora.clone();
    let ecs = Ecs::compile(corpora.as_deref())?;
    row("rules_raw_set", ecs.set.rules().len() as f64, "rules");
    let mut logs = vec![("made_up", made_up(MADE_UP))];
    if let Some(corpora) = &corpora {
        logs.push(("syslog", ssh(corpora)?));
        logs.push(("web", web::log(corpora)?));
    }
    for (name, log) in &logs {
        let decoded: Vec<Events> = log.decode().collect();
        let mut learnt = Learnt::default();
        let mut all = Learnt::default();
        let mut contestants = [
            Contestant::new("all", || {
                all = Learnt::default();
                Pass::of(|| {
                    log.decode().map(|events| ecs.hits(&log.sender, &events, &mut all)).sum()
                })
            }),
            Contestant::new("decode", || {
                Pass::of(|| log.decode().map(|events| events.events.len()).sum())
            }),
            Contestant::new("match", || {
                learnt = Learnt::default();
                Pass::of(|| {
                    decoded.iter().map(|events| ecs.hits(&log.sender, events, &mut learnt)).sum()
                })
            }),
        ];
        race(&mut contestants, log.lines, arguments.runs)?;
        let [whole, decoding, matching] = &contestants;
        row(&format!("rules_raw_{name}_line"), log.bytes as f64 / log.lines as f64, "bytes/line");
        row_for(&format!("rules_raw_{name}"), whole.rate(), "lines/s", Goal::AtLeast(GOAL));
        row(&format!("rules_raw_{name}_decode_alone"), decoding.rate(), "lines/s");
        row(&format!("rules_raw_{name}_match_alone"), matching.rate(), "events/s");
        row(&format!("rules_raw_{name}_hits"), whole.hits as f64 / log.lines as f64, "hits/line");
    }
    Ok(())
}

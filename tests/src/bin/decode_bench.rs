//! `hengwei-decode-bench [DECODER…]`: how many lines a second one core decodes.
//!
//! In: the decoders' golden examples, repeated, and a made-up hospital's day. Out, a row for each
//! decoder: lines a second with every decoder in the table, with this one alone, and the ratio, which is
//! what the others cost it; then the same lines mixed, line by line, and the made-up day. The clock is
//! that of the thread.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use bytes::Bytes;
use hengwei_collector::decode::{Context, DECODERS, Decoder, Router, decode_with};
use hengwei_collector::event::Sender;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_tests::examples::{self, Example};
use hengwei_tests::figures::{row, row_beside};
use hengwei_tests::generate::{Generator, Plan};
use hengwei_tests::race::{Contestant, Pass, race};

/// Lines of one pass, at least; as many as an agent sends at once.
const LINES: usize = 2_000;
/// Turns of each contestant.
const RUNS: usize = 7;
/// Lines of the made-up day.
const MADE_UP: u64 = 20_000;
/// What a stamp without a year is dated by: 2026-05-04.
const CREATED: i64 = 1_777_852_800_000_000_000;

fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut by_decoder: BTreeMap<String, Vec<Example>> = BTreeMap::new();
    for example in examples::all(&root)? {
        by_decoder.entry(example.decoder.clone()).or_default().push(example);
    }
    for (name, found) in &by_decoder {
        let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
        let Some(decoder) = decoder.filter(|_| wanted.is_empty() || wanted.contains(name)) else {
            continue;
        };
        let alone: &'static [Decoder] = Vec::leak(vec![*decoder]);
        let rates = rates(&block(found.iter(), LINES), &[DECODERS, alone])?;
        row_beside(&format!("decode_{name}"), rates[0], "lines/s", ("alone", rates[1]), None);
    }
    if wanted.is_empty() {
        let all = by_decoder.values().flatten();
        let mixed = block(all, LINES);
        row("decode_mixed", rates(&mixed, &[DECODERS])?[0], "lines/s");
        row("decode_made_up_day", rates(&made_up(), &[DECODERS])?[0], "lines/s");
        row("decoders", DECODERS.len() as f64, "decoders");
    }
    Ok(())
}

/// Lines a second of the same lines under each table.
fn rates(block: &Block, tables: &[&'static [Decoder]]) -> anyhow::Result<Vec<f64>> {
    let sender = Sender {
        agent: "bench".into(),
        host: "bench".into(),
        site: "".into(),
        system: "".into(),
        zone: "Asia/Shanghai".into(),
    };
    let context = Context { sender: &sender, ingested: CREATED, kind: Kind::Log };
    let context = &context;
    let mut contestants: Vec<Contestant<'_>> = tables
        .iter()
        .map(|table| {
            let router = Router::new(table);
            Contestant::new("table", move || {
                Pass::of(|| decode_with(block, context, &router).fields.len())
            })
        })
        .collect();
    ensure!(!block.records.is_empty(), "no examples");
    race(&mut contestants, block.records.len(), RUNS)?;
    Ok(contestants.iter().map(Contestant::rate).collect())
}

/// The lines of some examples in turn, again and again until there are as many as asked.
fn block<'a>(found: impl Iterator<Item = &'a Example>, lines: usize) -> Block {
    let mut block = Block::default();
    let mut sources = Vec::new();
    for example in found {
        let origin = u32::try_from(block.origins.len()).unwrap_or(0);
        block.origins.push(example.origin.clone());
        let records = examples::records(&example.text, CREATED);
        sources.push((origin, records));
    }
    let longest = sources.iter().map(|(_, records)| records.len()).max().unwrap_or(0);
    while longest > 0 && block.records.len() < lines {
        for place in 0..longest {
            for (origin, records) in &sources {
                let Some(record) = records.get(place) else { continue };
                let number = block.records.len() as u64 + 1;
                block.records.push(Record { number, origin: *origin, ..record.clone() });
            }
        }
    }
    block
}

fn made_up() -> Block {
    let mut block = Block::default();
    let mut origins: Vec<&'static str> = Vec::new();
    for (number, line) in (1..).zip(Generator::new(Plan::new(1, MADE_UP))) {
        let place = origins.iter().position(|path| *path == line.path).unwrap_or_else(|| {
            origins.push(line.path);
            let source = "files".to_owned();
            block.origins.push(Origin { source, path: line.path.into(), ..Origin::default() });
            origins.len() - 1
        });
        block.records.push(Record {
            number,
            origin: u32::try_from(place).unwrap_or(0),
            created: CREATED,
            body: Some(Body::Original(Bytes::from(line.bytes))),
            ..Record::default()
        });
    }
    block
}

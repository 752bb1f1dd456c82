//! Decodes a log file over and over and says how fast: `decode_bench FILE [SECONDS]`.
//!
//! Build it with `--release`. One thread; every pass decodes blocks of 1,000 lines, as an agent
//! sends them, and drops the events. Out: lines, lines per second, megabytes per second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hengwei_collector::decode::{self, Context};
use hengwei_collector::event::Sender;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};

const LINES_PER_BLOCK: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("decode_bench FILE [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse()).context("SECONDS")?;
    let bytes = Bytes::from(std::fs::read(&path).with_context(|| path.clone())?);
    let blocks = blocks(&bytes, &path);
    let lines: usize = blocks.iter().map(|block| block.records.len()).sum();
    ensure!(lines > 0, "{path} has no lines");

    let sender = Sender {
        agent: "bench".into(),
        host: "bench".into(),
        site: "".into(),
        system: "".into(),
        zone: "Asia/Shanghai".into(),
    };
    let ingested = i64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    let context = Context { sender: &sender, ingested, kind: Kind::Log };
    let (begun, limit) = (Instant::now(), Duration::from_secs(seconds));
    let (mut passes, mut fields) = (0u32, 0usize);
    while begun.elapsed() < limit {
        for block in &blocks {
            fields += decode::block(block, &context).fields.len();
        }
        passes += 1;
    }
    let took = begun.elapsed().as_secs_f64();
    let passes = f64::from(passes);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let (lines, megabytes, fields) = (lines as f64, bytes.len() as f64 / 1e6, fields as f64);
    println!("lines {lines} line");
    println!("fields {:.1} field/line", fields / passes / lines);
    println!("decoded {:.0} line/s", lines * passes / took);
    println!("read {:.1} MB/s", megabytes * passes / took);
    Ok(())
}

fn blocks(bytes: &Bytes, path: &str) -> Vec<Block> {
    let created = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
    let records: Vec<Record> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .zip(1..)
        .map(|(line, number)| Record {
            number,
            created,
            body: Some(Body::Original(bytes.slice_ref(line))),
            ..Record::default()
        })
        .collect();
    let origin = Origin { source: "files".into(), path: path.to_owned(), ..Origin::default() };
    records
        .chunks(LINES_PER_BLOCK)
        .map(|records| Block { origins: vec![origin.clone()], records: records.to_vec() })
        .collect()
}

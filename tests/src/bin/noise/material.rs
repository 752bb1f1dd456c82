//! Benign material: real logs, a made-up day, golden examples, files somebody names.
//!
//! Each stretch is blocks of records as agents would send them, from hosts of its own. A folder that is
//! not there gives no stretch.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use hengwei_collector::event::Sender;
use hengwei_collector::time;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record};
use hengwei_tests::examples::{self, Example, files_below, records};
use hengwei_tests::generate::{Generator, HOSTS, Plan};

use super::Arguments;

/// Records of one block.
const BLOCK: usize = 2_000;
/// Lines of the made-up day that are held before they are cut into blocks.
const GATHERED: usize = 20_000;

/// A sender's block, when it arrived, and the kind of its queue.
type Arrived = (Sender, i64, Kind, Block);

/// Some material.
pub(super) struct Stretch {
    pub(super) name: String,
    /// Whether it counts as everyday life; examples of decoders are made to show the worst.
    pub(super) benign: bool,
    pub(super) blocks: Vec<Arrived>,
}

impl Stretch {
    pub(super) fn lines(&self) -> usize {
        self.blocks.iter().map(|(_, _, _, block)| block.records.len()).sum()
    }
}

/// Every stretch, one after the other: each is made when it is asked for.
pub(super) fn all<'a>(
    root: &'a Path,
    corpora: &'a Path,
    arguments: &'a Arguments,
) -> impl Iterator<Item = anyhow::Result<Stretch>> + 'a {
    let real = ["logs", "auditd"].into_iter().flat_map(move |folder| {
        let files = files_below(&corpora.join(folder));
        files.into_iter().filter(|file| has_ending(file, "log"))
    });
    let real = real.map(move |file| {
        let name = file.strip_prefix(corpora).unwrap_or(&file).display().to_string();
        of_file(&file, format!("corpora/{name}"))
    });
    let day = std::iter::once_with(move || Ok(day(arguments)));
    let goldens = std::iter::once_with(move || examples::all(root)).flat_map(|found| match found {
        Ok(found) => found.iter().map(|example| Ok(golden(example))).collect(),
        Err(error) => vec![Err(error)],
    });
    let named = arguments.files.iter().map(|file| of_file(file, file.display().to_string()));
    real.chain(day).chain(goldens).chain(named)
}

fn of_file(file: &Path, name: String) -> anyhow::Result<Stretch> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let origin = Origin { source: "files".into(), path: format!("/{name}"), ..Origin::default() };
    let blocks = blocks(&sender("host", "+08:00"), &origin, Kind::Log, time::now(), &bytes);
    Ok(Stretch { name, benign: true, blocks })
}

/// The made-up day of a whole site.
fn day(arguments: &Arguments) -> Stretch {
    let plan = Plan::new(arguments.seed, arguments.lines);
    let mut blocks = Vec::new();
    let mut lines = Generator::new(plan).peekable();
    while lines.peek().is_some() {
        let mut by_place: HashMap<(usize, &'static str), Vec<u8>> = HashMap::new();
        let mut latest = 0;
        for line in lines.by_ref().take(GATHERED) {
            let text = by_place.entry((line.host, line.path)).or_default();
            text.extend_from_slice(&line.bytes);
            text.push(b'\n');
            latest = latest.max(line.time);
        }
        let mut places: Vec<_> = by_place.into_iter().collect();
        places.sort();
        for ((host, path), text) in places {
            let origin = Origin { source: "files".into(), path: path.into(), ..Origin::default() };
            let sender = sender(HOSTS[host].0, "Asia/Shanghai");
            blocks.extend(self::blocks(&sender, &origin, Kind::Log, latest, &text));
        }
    }
    Stretch { name: "a made-up day".to_owned(), benign: true, blocks }
}

fn golden(example: &Example) -> Stretch {
    let sender = sender("host", &example.zone);
    Stretch {
        name: format!("examples/{}/{}", example.decoder, example.name),
        benign: false,
        blocks: blocks(&sender, &example.origin, example.kind, time::now(), &example.text),
    }
}

/// The lines of a text as an agent would send them.
fn blocks(
    sender: &Sender,
    origin: &Origin,
    kind: Kind,
    created: i64,
    bytes: &[u8],
) -> Vec<Arrived> {
    let records = records(bytes, created);
    let block =
        |records: &[Record]| Block { origins: vec![origin.clone()], records: records.to_vec() };
    records.chunks(BLOCK).map(|chunk| (sender.clone(), created, kind, block(chunk))).collect()
}

fn sender(host: &str, zone: &str) -> Sender {
    Sender {
        agent: host.into(),
        host: host.into(),
        site: "site".into(),
        system: "system".into(),
        zone: zone.into(),
    }
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|found| found == ending)
}

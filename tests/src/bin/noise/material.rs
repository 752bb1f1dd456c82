//! Benign material: real logs, a made-up day, golden examples, files somebody names.
//!
//! Each stretch is blocks of records as agents would send them, from hosts of its own. A folder that is
//! not there gives no stretch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use hengwei_collector::event::Sender;
use hengwei_collector::time;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use hengwei_tests::generate::{Generator, HOSTS, Plan};
use serde::Deserialize;

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
    let goldens = files_below(&root.join("collector/tests/decode"));
    let goldens = goldens.into_iter().filter(|file| has_ending(file, "log"));
    let goldens = goldens.map(move |file| golden(root, &file));
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

/// How an example of a decoder is read, as `collector/tests/decode.rs` has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Setting {
    dataset: String,
    path: String,
    charset: String,
    source: String,
    zone: String,
    kind: String,
}

fn golden(root: &Path, file: &Path) -> anyhow::Result<Stretch> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let setting: Setting = match std::fs::read_to_string(file.with_extension("toml")) {
        Ok(text) => toml::from_str(&text).with_context(|| file.display().to_string())?,
        Err(_) => Setting::default(),
    };
    let or = |given: &str, usual: &str| {
        if given.is_empty() { usual.to_owned() } else { given.to_owned() }
    };
    let origin = Origin {
        source: or(&setting.source, "files"),
        path: setting.path,
        dataset: setting.dataset,
        charset: setting.charset,
    };
    let kind: Kind = or(&setting.kind, "log").parse().context("kind")?;
    let sender = sender("host", &or(&setting.zone, "+08:00"));
    let folder = root.join("collector/tests/decode");
    let name = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    Ok(Stretch {
        name: format!("examples/{}", name.display()),
        benign: false,
        blocks: blocks(&sender, &origin, kind, time::now(), &bytes),
    })
}

/// The lines of a text as an agent would send them.
fn blocks(
    sender: &Sender,
    origin: &Origin,
    kind: Kind,
    created: i64,
    bytes: &[u8],
) -> Vec<Arrived> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let records: Vec<Record> = (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .map(|(number, line)| Record {
            number,
            created,
            body: Some(Body::Original(Bytes::copy_from_slice(line))),
            ..Record::default()
        })
        .collect();
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

/// Every file below a folder, sorted; none when there is no such folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

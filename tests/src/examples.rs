//! The decoders' golden examples as material for measurements: `collector/tests/decode/<decoder>/*.log`,
//! each with how it is read.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use hengwei_protocol::wire::{Origin, Record, record::Body};
use hengwei_protocol::{Kind, lines};
use serde::Deserialize;

/// One file of examples.
#[derive(Debug)]
pub struct Example {
    /// The decoder's.
    pub decoder: String,
    /// The file's, without folder and ending.
    pub name: String,
    /// What the lines are read from.
    pub origin: Origin,
    /// Their queue.
    pub kind: Kind,
    /// Of stamps that carry none.
    pub zone: String,
    /// What it holds.
    pub text: Vec<u8>,
}

/// How a file is read, as it stands beside it where it differs from the usual.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Setting {
    dataset: String,
    path: String,
    charset: String,
    source: String,
    zone: String,
    kind: String,
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
        }
    }
}

/// Every example below the root of the sources, by decoder and name.
pub fn all(root: &Path) -> anyhow::Result<Vec<Example>> {
    let folder = root.join("collector/tests/decode");
    let files = files_below(&folder);
    let logs = files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "log"));
    logs.map(|file| read(&folder, file).with_context(|| file.display().to_string())).collect()
}

fn read(folder: &Path, file: &Path) -> anyhow::Result<Example> {
    let setting: Setting = match std::fs::read_to_string(file.with_extension("toml")) {
        Ok(text) => toml::from_str(&text)?,
        Err(_) => Setting::default(),
    };
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let within = file.strip_prefix(folder)?.components().next().context("no folder")?;
    Ok(Example {
        decoder: within.as_os_str().to_string_lossy().into_owned(),
        name,
        origin: Origin {
            source: setting.source,
            path: setting.path,
            dataset: setting.dataset,
            charset: setting.charset,
        },
        kind: setting.kind.parse().context("kind")?,
        zone: setting.zone,
        text: std::fs::read(file)?,
    })
}

/// What a text holds as records of an agent, numbered from 1, of the first origin.
pub fn records(text: &[u8], created: i64) -> Vec<Record> {
    let gathered = lines::records(text).into_iter();
    let record = |(number, gathered): (u64, lines::Record)| Record {
        number,
        created,
        body: Some(Body::Original(Bytes::from(gathered.text))),
        ..Record::default()
    };
    (1..).zip(gathered).map(record).collect()
}

/// Every file below a folder, sorted; none when there is no such folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
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

//! `agent.toml`: the file as written (`File`) becomes the configuration as used ([`Config`]). All
//! defaults are here. Nothing of the host is read but the file itself; each source checks its own
//! section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::sources::{Entry, Section};
use crate::spool;

/// Where the configuration is.
pub const PATH: &str = "/etc/hengwei/agent.toml";
/// The port of a collector whose address names none.
pub const PORT: u16 = 7443;

/// The file as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: PathBuf,
    socket: PathBuf,
    root: PathBuf,
    collectors: Vec<String>,
    spool: SpoolFile,
    sources: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SpoolFile {
    max_bytes: Option<u64>,
}

impl Default for File {
    fn default() -> File {
        File {
            data: "/var/lib/hengwei/agent".into(),
            socket: "/run/hengwei/agent.sock".into(),
            root: "/".into(),
            collectors: Vec::new(),
            spool: SpoolFile::default(),
            sources: BTreeMap::new(),
        }
    }
}

/// The configuration as used.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the agent keeps its identity and its spool.
    pub data: PathBuf,
    /// Where the running agent answers `hengwei-agent status`.
    pub socket: PathBuf,
    /// Where the host's file system begins.
    pub root: PathBuf,
    /// Collectors, `host:port`, tried in turn.
    pub collectors: Vec<String>,
    /// How large the spool may be.
    pub spool: spool::Options,
    /// The sections of the sources, by name.
    sources: BTreeMap<String, Section>,
}

/// One line that names file, key and remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Config {
    /// Reads and checks a file, with the sources of `table`.
    pub fn load(path: &Path, table: &[Entry]) -> Result<Config, Error> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error(format!("{name}: {error}: create it (see packaging/agent.toml) or name another with --config"))
        })?;
        Config::parse(&text, &name.to_string(), table)
    }

    /// Checks the text of the file called `name`.
    pub fn parse(text: &str, name: &str, table: &[Entry]) -> Result<Config, Error> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count()) + 1;
            let message = error.message().trim().replace('\n', " ");
            Error(format!("{name}:{line}: {message}: correct this line or remove it"))
        })?;
        let wrong = |text: String| Error(format!("{name}: {text}"));
        for (key, path) in [("data", &file.data), ("socket", &file.socket), ("root", &file.root)] {
            if !path.is_absolute() {
                let path = path.display();
                return Err(wrong(format!(
                    "{key}: `{path}` is relative: write the path from / on"
                )));
            }
        }
        let collectors = file.collectors.iter().map(|text| address(text));
        let collectors = collectors.collect::<Result<Vec<String>, String>>().map_err(wrong)?;
        if let Some(bytes) = file.spool.max_bytes.filter(|bytes| *bytes < spool::MIN_BYTES) {
            let least = spool::MIN_BYTES;
            return Err(wrong(format!(
                "spool.max_bytes: {bytes} is too little: give at least {least}"
            )));
        }
        Ok(Config {
            data: file.data,
            socket: file.socket,
            root: file.root,
            collectors,
            spool: spool::Options { max_bytes: file.spool.max_bytes },
            sources: sections(file.sources, table).map_err(wrong)?,
        })
    }

    /// What the file says of a source.
    pub fn section(&self, name: &str) -> Section {
        let default = Section { enabled: true, config: None };
        self.sources.get(name).cloned().unwrap_or(default)
    }

    /// The spool's folder.
    pub fn spool_dir(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// Checks what only running needs.
    pub fn check_run(&self, name: &str) -> Result<(), Error> {
        match self.collectors.is_empty() {
            true => Err(Error(format!(
                "{name}: collectors: none is named: add `collectors = [\"HOST:{PORT}\"]`"
            ))),
            false => Ok(()),
        }
    }
}

/// An address with its port.
fn address(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        Err(format!("collectors: `{text}` {why}: write \"HOST:{PORT}\" or \"[IPv6]:{PORT}\""))
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            match port.parse::<u16>() {
                Ok(port) if port > 0 => (host, port),
                _ => return wrong("has no usable port"),
            }
        }
        Some(_) if !text.ends_with(']') => return wrong("is an IPv6 address without brackets"),
        _ => (text, PORT),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match rustls_pki_types::ServerName::try_from(bare) {
        Ok(_) => Ok(format!("{host}:{port}")),
        Err(_) => wrong("is no host name"),
    }
}

/// The sources' sections: known names, `enabled` taken out, the rest checked by the source.
fn sections(
    written: BTreeMap<String, toml::Value>,
    table: &[Entry],
) -> Result<BTreeMap<String, Section>, String> {
    let mut sections = BTreeMap::new();
    for (name, value) in written {
        if !table.iter().any(|entry| entry.name == name) {
            let names: Vec<&str> = table.iter().map(|entry| entry.name).collect();
            let names = names.join(", ");
            return Err(format!("sources.{name}: there is no such source: use one of {names}"));
        }
        let toml::Value::Table(mut keys) = value else {
            return Err(format!("sources.{name}: is no section: write [sources.{name}]"));
        };
        let enabled = match keys.remove("enabled") {
            None => true,
            Some(toml::Value::Boolean(enabled)) => enabled,
            Some(_) => return Err(format!("sources.{name}.enabled: write true or false")),
        };
        sections.insert(name, Section { enabled, config: Some(toml::Value::Table(keys)) });
    }
    // Those without a section too: a default that can't work is our bug and should not wait for run.
    for entry in table {
        let section = sections.get(entry.name).and_then(|section| section.config.clone());
        let configured = entry.configure(section);
        configured.map_err(|error| {
            format!("sources.{}: {error:#}: correct or remove this key", entry.name)
        })?;
    }
    Ok(sections)
}

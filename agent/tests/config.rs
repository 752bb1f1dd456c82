//! Every sample in `config/valid` loads; every one in `config/invalid` gives exactly the line in the
//! `.txt` beside it. `WRITE_GOLDEN=1` writes those lines anew.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use hengwei_agent::config::Config;
use hengwei_agent::sources::{
    Context, Entry, SOURCES, Source, assets, files, integrity, journal, logins, performance,
};
use hengwei_agent::spool;
use serde::de::DeserializeOwned;

/// A source with one key, so that the samples don't depend on the real ones.
struct Sample;

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SampleConfig {
    interval_secs: Option<u64>,
}

impl Source for Sample {
    type Config = SampleConfig;
    const CAN_WAIT: bool = false;

    fn configure(config: SampleConfig) -> anyhow::Result<Option<Sample>> {
        anyhow::ensure!(
            config.interval_secs != Some(0),
            "interval_secs: 0 is no interval: give at least 1"
        );
        Ok(Some(Sample))
    }

    fn unreadable(&self, _root: &Path) -> Vec<String> {
        Vec::new()
    }

    async fn run(&mut self, _context: Context) -> anyhow::Result<()> {
        Ok(())
    }
}

const TABLE: &[Entry] = &[Entry::of::<Sample>("sample")];

fn samples(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let entries = std::fs::read_dir(dir).expect("a folder of samples");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn parse(path: &Path) -> Result<Config, String> {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
    let text = std::fs::read_to_string(path).expect("reads");
    Config::parse(&text, name, TABLE).map_err(|error| error.to_string())
}

#[test]
fn valid_samples_load() {
    for path in samples("valid") {
        let config = parse(&path).unwrap_or_else(|error| panic!("{error}"));
        if path.ends_with("all.toml") {
            let expected = [
                "collector.example:7443",
                "10.0.0.1:7443",
                "[2001:db8::1]:9443",
                "[2001:db8::2]:7443",
            ];
            assert_eq!(config.collectors, expected);
            assert_eq!(config.spool.max_bytes, Some(1 << 20));
            assert_eq!(config.spool_dir(), Path::new("/srv/hengwei/spool"));
        }
        if path.ends_with("empty.toml") {
            assert_eq!(config.socket, Path::new("/run/hengwei/agent.sock"));
            let error = config.check_run("empty.toml").expect_err("nowhere to ship to").to_string();
            assert!(error.starts_with("empty.toml: collectors: none is named"), "{error}");
        }
    }
}

#[test]
fn invalid_samples_give_one_line_with_file_key_and_remedy() {
    for path in samples("invalid") {
        let error = parse(&path).expect_err("is invalid");
        assert!(!error.contains('\n'), "{error}");
        let golden = path.with_extension("txt");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, format!("{error}\n")).expect("writes");
        }
        let expected = std::fs::read_to_string(&golden).expect("a message beside each sample");
        assert_eq!(error, expected.trim_end(), "{}", path.display());
    }
}

#[test]
fn a_missing_file_is_named_with_the_remedy() {
    let error = Config::load(Path::new("/nonexistent/agent.toml"), TABLE).expect_err("is missing");
    assert!(error.to_string().starts_with("/nonexistent/agent.toml: "), "{error}");
}

/// The packaged file with its settings put into force: every comment that is no prose, which begins
/// behind one space.
fn packaged() -> (String, toml::Table) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml");
    Config::load(&path, SOURCES).unwrap_or_else(|error| panic!("as it is packaged: {error}"));
    let text = std::fs::read_to_string(&path).expect("reads");
    let is_prose = |line: &str| line.starts_with("# ") && !line.starts_with("#  ");
    let lines = text.lines().filter(|line| !is_prose(line));
    let settings: String =
        lines.flat_map(|line| [line.strip_prefix('#').unwrap_or(line), "\n"]).collect();
    let table = settings.parse().unwrap_or_else(|error| panic!("{error}\n{settings}"));
    (settings, table)
}

/// The keys a section may have, as the error for one that it may not have lists them.
fn keys(entry: &Entry) -> BTreeSet<String> {
    let wrong: toml::Table = "no_such_key = 1".parse().expect("TOML");
    let error = entry.configure(Some(wrong.into())).err().expect("no such key").to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_packaged_file_names_every_key_of_every_source() {
    let (_, table) = packaged();
    let sections = table["sources"].as_table().expect("a table");
    for entry in SOURCES {
        let section = sections.get(entry.name).and_then(toml::Value::as_table);
        let section = section.unwrap_or_else(|| panic!("[sources.{}] is missing", entry.name));
        let stated: BTreeSet<String> =
            section.keys().filter(|key| *key != "enabled").cloned().collect();
        assert_eq!(stated, keys(entry), "[sources.{}]", entry.name);
        assert_eq!(section["enabled"].as_bool(), Some(true), "[sources.{}]", entry.name);
    }
    assert_eq!(sections.len(), SOURCES.len());
}

#[test]
fn the_packaged_file_states_the_defaults() {
    fn same<C: Default + Debug + DeserializeOwned>(name: &str, stated: toml::Value) {
        let stated: C = stated.try_into().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{stated:?}"), format!("{:?}", C::default()), "{name}");
    }
    let (settings, mut table) = packaged();
    let mut stated = Config::parse(&settings, "packaged", SOURCES).expect("parses");
    let default = Config::parse("", "empty", SOURCES).expect("parses");
    let whole = |config: &Config| (config.data.clone(), config.socket.clone(), config.root.clone());
    assert_eq!(whole(&stated), whole(&default));
    assert_eq!(stated.spool.max_bytes.take(), Some(spool::MAX_BYTES));

    let sources = table.remove("sources").and_then(|sources| sources.try_into().ok());
    let sources: toml::Table = sources.expect("a table");
    for (name, mut section) in sources {
        let keys = section.as_table_mut().expect("a table");
        keys.remove("enabled");
        match name.as_str() {
            "assets" => same::<assets::Config>(&name, section),
            "integrity" => same::<integrity::Config>(&name, section),
            "journal" => same::<journal::Config>(&name, section),
            "logins" => same::<logins::Config>(&name, section),
            "performance" => same::<performance::Config>(&name, section),
            "files" => {
                let mut paths = keys.remove("path").expect("an example");
                same::<files::Config>(&name, section);
                let mut example = paths.as_array_mut().and_then(Vec::pop).expect("one path");
                let all = example.as_table_mut().expect("a table");
                assert!(all.remove("glob").is_some(), "the one key without a default");
                assert_eq!(all.len(), 6, "every other key of a path");
                same::<files::PathConfig>(&name, example);
            }
            other => panic!("say here what the defaults of `{other}` are"),
        }
    }
}

/// The first column of the table of README.md whose head begins with `head`.
fn listed(head: &str) -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("reads");
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect()
}

#[test]
fn the_readme_lists_the_sources() {
    let names: Vec<&str> = SOURCES.iter().map(|entry| entry.name).collect();
    assert_eq!(listed("| source |"), names);
}

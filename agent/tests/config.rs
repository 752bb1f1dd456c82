//! Every sample in `config/valid` loads; every one in `config/invalid` gives exactly the line in the
//! `.txt` beside it. `WRITE_GOLDEN=1` writes those lines anew.

use std::path::{Path, PathBuf};

use hengwei_agent::config::Config;
use hengwei_agent::sources::{Context, Entry, SOURCES, Source};

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

#[test]
fn the_packaged_file_loads_and_names_every_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml");
    Config::load(&path, SOURCES).unwrap_or_else(|error| panic!("{error}"));
    let text = std::fs::read_to_string(&path).expect("reads");
    for entry in SOURCES {
        let section = format!("[sources.{}]", entry.name);
        assert!(text.contains(&section), "{section} is missing in {}", path.display());
    }
}

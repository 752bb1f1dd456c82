//! The collector's configuration: the file as written, checked, as used.
//!
//! Every default is visible here and nowhere else. Checks that need no I/O come first; `check` stops
//! there and the unit runs it before it starts the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hengwei_rules::Level;
use serde::Deserialize;

/// Where the configuration is, unless said otherwise.
pub const PATH: &str = "/etc/hengwei/collector.toml";

/// Where history is, below the data folder.
pub const HISTORY: &str = "history";

/// The file, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file it was read from, if any.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where `hengwei-collector` subcommands reach the daemon.
    pub socket: PathBuf,
    /// The site this collector itself stands at, for the records it writes.
    pub site: String,
    /// Inputs, by name: each reads its own section.
    pub inputs: toml::Table,
    /// How history is kept.
    pub history: History,
    /// Certificates that are issued.
    pub pki: Pki,
    /// Console and API.
    pub console: Console,
    /// Prometheus.
    pub metrics: Metrics,
    /// Rules.
    pub rules: Rules,
    /// Guarded systems.
    pub systems: Systems,
    /// Channels that alerts are told to, by name.
    pub notify: toml::Table,
}

/// How history is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// A file of the log is closed and rewritten into segments when it is so long.
    pub seal_bytes: u64,
}

/// Certificates that are issued.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pki {
    /// Days an agent's certificate is good for; agents renew at two thirds of it.
    pub agent_days: u32,
    /// Days the server's own certificate is good for; it is renewed at two thirds of it.
    pub server_days: u32,
}

/// Console and API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// Where it listens; its loopback address until an account exists.
    pub listen: SocketAddr,
    /// Minutes without a click after which a session ends.
    pub idle_minutes: u32,
}

/// Prometheus.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where `/metrics` listens, in plain HTTP: loopback only.
    pub listen: SocketAddr,
}

/// Rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Folders of Sigma rules, read recursively.
    pub dirs: Vec<PathBuf>,
    /// Level from which a match is kept: `medium` fills the review list, `high` alone leaves it empty.
    pub threshold: Level,
}

/// Guarded systems.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Systems {
    /// A folder of data files that replace those built in, by name.
    pub dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            path: None,
            data: "/var/lib/hengwei/collector".into(),
            socket: "/run/hengwei/collector.sock".into(),
            site: "platform".into(),
            inputs: toml::Table::new(),
            history: History::default(),
            pki: Pki::default(),
            console: Console::default(),
            metrics: Metrics::default(),
            rules: Rules::default(),
            systems: Systems::default(),
            notify: toml::Table::new(),
        }
    }
}

impl Default for History {
    fn default() -> History {
        History { seal_bytes: 64 << 20 }
    }
}

impl Default for Pki {
    fn default() -> Pki {
        Pki { agent_days: 90, server_days: 90 }
    }
}

impl Default for Console {
    fn default() -> Console {
        Console { listen: SocketAddr::from(([0, 0, 0, 0], 8443)), idle_minutes: 30 }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { listen: SocketAddr::from(([127, 0, 0, 1], 9600)) }
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { dirs: vec!["/usr/share/hengwei/rules".into()], threshold: Level::Medium }
    }
}

impl Config {
    /// Reads and checks a file. The error is one line that names file, key and remedy.
    pub fn load(path: &Path) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            anyhow::anyhow!("{}: {error}: name the file with --config", path.display())
        })?;
        let config =
            Config::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        Ok(Config { path: Some(path.to_owned()), ..config })
    }

    /// Reads and checks the text of a file.
    pub fn parse(text: &str) -> anyhow::Result<Config> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            anyhow::anyhow!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        config.check()?;
        Ok(config)
    }

    /// Where history is.
    pub fn history(&self) -> PathBuf {
        self.data.join(HISTORY)
    }

    /// The settings of [`crate::pki`].
    pub fn pki_settings(&self) -> crate::pki::Settings {
        crate::pki::Settings { agent_days: self.pki.agent_days, server_days: self.pki.server_days }
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.metrics.listen.ip().is_loopback(),
            "metrics.listen: {} is not a loopback address, and metrics are plain HTTP: use 127.0.0.1 or [::1]",
            self.metrics.listen
        );
        anyhow::ensure!(
            (64 << 10..=1 << 30).contains(&self.history.seal_bytes),
            "history.seal_bytes: {} is not from 65536 to 1073741824",
            self.history.seal_bytes
        );
        for (key, days) in
            [("agent_days", self.pki.agent_days), ("server_days", self.pki.server_days)]
        {
            anyhow::ensure!((1..=825).contains(&days), "pki.{key}: {days} is not from 1 to 825");
        }
        for (name, section) in &self.inputs {
            let known = crate::inputs::INPUTS.iter().find(|input| input.name == name);
            let names = || {
                crate::inputs::INPUTS.iter().map(|input| input.name).collect::<Vec<_>>().join(", ")
            };
            let known = known.ok_or_else(|| {
                anyhow::anyhow!("inputs.{name}: no such input; there are: {}", names())
            })?;
            known.configure(Some(section.clone())).map_err(one_line)?;
        }
        crate::notify::configure(self.notify.clone()).map_err(one_line)?;
        anyhow::ensure!(
            (1..=480).contains(&self.console.idle_minutes),
            "console.idle_minutes: {} is not from 1 to 480",
            self.console.idle_minutes
        );
        anyhow::ensure!(
            self.site.is_empty() || hengwei_protocol::identity::is_id(&self.site),
            "site: `{}` is no name: lower-case letters, digits, `-`, `_`, `.`, at most 64",
            self.site
        );
        Ok(())
    }
}

/// The whole chain of an error on one line.
fn one_line(error: anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", format!("{error:#}").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Config::parse(text).map_or_else(|error| error.to_string(), |_| "fine".to_owned())
    }

    /// Every line of the packaged file that is a setting, uncommented, is the default.
    #[test]
    fn the_packaged_file_states_the_defaults() {
        let text = include_str!("../../packaging/collector.toml");
        let settings: String = text
            .lines()
            .take_while(|line| !line.starts_with("#[notify"))
            .filter(|line| !line.starts_with("#dir "))
            .map(|line| {
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let stated = Config::parse(&settings).expect("it parses");
        let default = Config { inputs: stated.inputs.clone(), ..Config::default() };
        assert_eq!(format!("{stated:?}"), format!("{default:?}"));
        assert!(Config::parse(text).is_ok());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("", "fine"),
            ("data = \"/srv/hengwei\"\n[inputs.agents]\nlisten = \"[::]:7443\"\n", "fine"),
            ("data = 1", "line 1: invalid type: integer `1`, expected path string"),
            ("\ndate = \"/srv\"", "line 2: unknown field `date`, expected one of"),
            ("[rules]\nthreshold = \"hihg\"", "line 2: unknown variant `hihg`, expected one of"),
            (
                "[metrics]\nlisten = \"0.0.0.0:9600\"",
                "metrics.listen: 0.0.0.0:9600 is not a loopback address",
            ),
            ("[history]\nseal_bytes = 1", "history.seal_bytes: 1 is not from 65536"),
            ("[pki]\nagent_days = 0", "pki.agent_days: 0 is not from 1 to 825"),
            ("[inputs.agent]", "inputs.agent: no such input; there are: agents"),
            ("[notify.pigeon]", "`[notify.pigeon]`: no such channel"),
            ("site = \"Rén\"", "site: `Rén` is no name"),
        ] {
            assert!(message(text).starts_with(expected), "{text}: {}", message(text));
        }
    }
}

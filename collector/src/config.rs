//! The collector's configuration: the file as written, checked, as used.
//!
//! Every default is visible here and nowhere else. Checks that need no I/O come first; `check` stops
//! there and the unit runs it before it starts the daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hengwei_rules::Level;
use serde::Deserialize;

use crate::history::{Class, Keep, MINIMUM_DAYS, Options, Policy};

/// Where the configuration is, unless said otherwise.
pub const PATH: &str = "/etc/hengwei/collector.toml";

/// Where a site's filters and overrides are, unless said otherwise; it need not be there.
pub const TUNING: &str = "/etc/hengwei/tuning";
/// Where a site's lists are, unless said otherwise; it need not be there.
pub const LISTS: &str = "/etc/hengwei/lists";

/// What `seal_bytes` may be set to.
const SEAL_BYTES_RANGE: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

/// Where history is, below the data folder.
pub const HISTORY: &str = "history";

/// The longest anything can be kept: a century.
const MOST_DAYS: u32 = 36_500;
/// Further ahead nobody can tell.
const MOST_WARN_DAYS: u32 = 365;

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
    /// Certificates that are issued.
    pub pki: Pki,
    /// Console and API.
    pub console: Console,
    /// Prometheus.
    pub metrics: Metrics,
    /// How history is kept, and how long.
    pub history: History,
    /// Rules.
    pub rules: Rules,
    /// Guarded systems.
    pub systems: Systems,
    /// Channels that alerts are told to, by name.
    pub notify: toml::Table,
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
    /// The folder of the site's own filters and overrides.
    pub tuning: PathBuf,
    /// The folder of the site's lists for `expand`.
    pub lists: PathBuf,
    /// What differs for the rules of a pack, by its name.
    pub packs: BTreeMap<String, PackSettings>,
}

/// What differs for the rules of a pack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackSettings {
    /// In place of that of all rules.
    pub threshold: Option<Level>,
}

/// How history is kept, and how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// A file of the log is closed and rewritten into segments when it is so long.
    pub seal_bytes: u64,
    /// Whether security records and decisions may be kept for less than [`MINIMUM_DAYS`].
    pub allow_short_retention: bool,
    /// So many days before a disk or a limit is full it is told.
    pub warn_days: u32,
    /// Inventory.
    pub asset: Kept,
    /// Measurements.
    pub performance: Kept,
    /// Logs that no decoder raised to security.
    pub log: Kept,
    /// Security records.
    pub security: Kept,
    /// Decisions: alerts and their changes, what operators did.
    pub record: Kept,
}

/// How long one class is kept. What is absent is as the class's default.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// What is older goes.
    pub days: Option<u32>,
    /// What is younger never goes, whatever `max_bytes` says; as `days` unless said.
    pub at_least_days: Option<u32>,
    /// What the class may take on disk; 0 is as much as there is.
    pub max_bytes: Option<u64>,
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
            pki: Pki::default(),
            console: Console::default(),
            metrics: Metrics::default(),
            history: History::default(),
            rules: Rules::default(),
            systems: Systems::default(),
            notify: toml::Table::new(),
        }
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

impl Default for History {
    fn default() -> History {
        let policy = Policy::default();
        let kept = |class| {
            let Keep { days, max_bytes, .. } = *policy.of(class);
            Kept { days: Some(days), at_least_days: None, max_bytes: Some(max_bytes) }
        };
        History {
            seal_bytes: Options::default().seal_bytes,
            allow_short_retention: false,
            warn_days: policy.warn_days,
            asset: kept(Class::Asset),
            performance: kept(Class::Performance),
            log: kept(Class::Log),
            security: kept(Class::Security),
            record: kept(Class::Record),
        }
    }
}

impl History {
    fn kept(&self, class: Class) -> &Kept {
        match class {
            Class::Asset => &self.asset,
            Class::Performance => &self.performance,
            Class::Log => &self.log,
            Class::Security => &self.security,
            Class::Record => &self.record,
        }
    }

    /// As used.
    pub fn policy(&self) -> Policy {
        let default = Policy::default();
        let keep = Class::ALL.map(|class| {
            let Kept { days, at_least_days, max_bytes } = *self.kept(class);
            let days = days.unwrap_or(default.of(class).days);
            Keep {
                days,
                at_least_days: at_least_days.unwrap_or(days),
                max_bytes: max_bytes.unwrap_or(default.of(class).max_bytes),
            }
        });
        Policy { keep, warn_days: self.warn_days }
    }

    fn check(&self) -> anyhow::Result<()> {
        let policy = self.policy();
        for class in Class::ALL {
            let Keep { days, at_least_days, .. } = *policy.of(class);
            let name = class.as_str();
            anyhow::ensure!(
                (1..=MOST_DAYS).contains(&days),
                "history.{name}.days: {days} is not from 1 to {MOST_DAYS}"
            );
            anyhow::ensure!(
                (1..=days).contains(&at_least_days),
                "history.{name}.at_least_days: {at_least_days} is not from 1 to its days, {days}"
            );
        }
        if let Some((class, days)) = policy.short().next().filter(|_| !self.allow_short_retention) {
            anyhow::bail!(
                "history.{}: kept for {days} days, where {MINIMUM_DAYS} are the least: keep it longer, or set history.allow_short_retention = true, which is recorded",
                class.as_str()
            );
        }
        anyhow::ensure!(
            (1..=MOST_WARN_DAYS).contains(&self.warn_days),
            "history.warn_days: {} is not from 1 to {MOST_WARN_DAYS}",
            self.warn_days
        );
        Ok(())
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            dirs: vec!["/usr/share/hengwei/rules".into()],
            threshold: Level::Medium,
            tuning: TUNING.into(),
            lists: LISTS.into(),
            packs: BTreeMap::new(),
        }
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
            SEAL_BYTES_RANGE.contains(&self.history.seal_bytes),
            "history.seal_bytes: {} is not from 65536 to 1073741824",
            self.history.seal_bytes
        );
        for (key, days) in
            [("agent_days", self.pki.agent_days), ("server_days", self.pki.server_days)]
        {
            anyhow::ensure!((1..=825).contains(&days), "pki.{key}: {days} is not from 1 to 825");
        }
        self.history.check()?;
        for name in self.rules.packs.keys() {
            crate::packs::check_name("rules.packs", name)?;
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
    fn what_is_not_said_of_a_class_is_as_by_default() {
        let text = "[history.performance]\nmax_bytes = 5\n[history.log]\ndays = 400";
        let policy = Config::parse(text).expect("it parses").history.policy();
        let mut expected = Policy::default();
        expected.keep[1].max_bytes = 5;
        expected.keep[2] = Keep::days(400);
        assert_eq!(policy, expected);
        assert_eq!(Config::default().history.policy(), Policy::default());
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
            ("[rules.packs.sigmahq]\nthreshold = \"high\"", "fine"),
            ("[rules.packs.Sigma]", "rules.packs: `Sigma` is no name"),
            ("[rules.packs.sigmahq]\nlevel = \"high\"", "line 2: unknown field `level`"),
            ("[pki]\nagent_days = 0", "pki.agent_days: 0 is not from 1 to 825"),
            ("[inputs.agent]", "inputs.agent: no such input; there are: agents"),
            ("[notify.pigeon]", "`[notify.pigeon]`: no such channel"),
            ("site = \"Rén\"", "site: `Rén` is no name"),
            ("[history.log]\ndays = 0", "history.log.days: 0 is not from 1 to 36500"),
            (
                "[history.log]\ndays = 90\nat_least_days = 91",
                "history.log.at_least_days: 91 is not from 1 to its days, 90",
            ),
            ("[history.log]\ndays = 1\nmax_bytes = 1_000_000", "fine"),
            ("[history.logs]\ndays = 1", "line 1: unknown field `logs`, expected one of"),
            ("[history]\nwarn_days = 0", "history.warn_days: 0 is not from 1 to 365"),
            (
                "[history.security]\ndays = 179",
                "history.security: kept for 179 days, where 180 are the least: keep it longer, or",
            ),
            (
                "[history.record]\ndays = 365\nat_least_days = 30",
                "history.record: kept for 30 days, where 180 are the least",
            ),
            ("[history]\nallow_short_retention = true\n[history.security]\ndays = 7", "fine"),
        ] {
            assert!(message(text).starts_with(expected), "{text}: {}", message(text));
        }
    }
}

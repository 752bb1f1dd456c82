//! The inventory: what this host is and has. Host, operating system, hardware, interfaces, file
//! systems, packages, accounts, groups, listening sockets with their process, services.
//!
//! In: files below a root, and the tools `systemctl` and `rpm` where a host has them. Out: records
//! of queue `asset`, one per item, `event.action` = `snapshot`, `added`, `changed` or `removed`. A
//! snapshot is sent at the first start and weekly, differences in between; `assets/engine.rs` tells
//! how what is known survives a restart. It judges nothing (whether a new port is an attack is a
//! rule's matter) and measures nothing (`performance` does).
//!
//! The inventory stays where it is while the spool is full, so this source waits for room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use self::engine::{Cadence, Engine, Look};
use self::read::Stamp;
use super::{Context, Source};
use crate::time;

pub(crate) mod accounts;
mod command;
mod engine;
mod item;
pub(crate) mod mounts;
mod packages;
mod read;
mod services;
mod sockets;
pub(crate) mod system;

pub use self::item::{Class, Item, Value};
pub(crate) use self::read::{
    Stamp as FileStamp, file as read_file, line as read_line, stamp as file_stamp,
};

/// How often files are asked whether they changed; asking is a `stat` each.
const GLANCE: Duration = Duration::from_secs(10);
/// How long a run of dpkg may put off looking at packages.
const DPKG_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// `[sources.assets]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Hours between full snapshots.
    pub snapshot_hours: u64,
    /// Seconds between looks at sockets, interfaces and file systems.
    pub sockets_secs: u64,
    /// Seconds between looks at everything else; a changed file is looked at within seconds.
    pub others_secs: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { snapshot_hours: 7 * 24, sockets_secs: 60, others_secs: 300 }
    }
}

/// The source.
#[derive(Debug)]
pub struct Assets {
    cadence: Cadence,
}

impl Source for Assets {
    type Config = Config;
    const CAN_WAIT: bool = true;

    fn configure(config: Config) -> anyhow::Result<Option<Assets>> {
        ensure!(
            (1..=24 * 366).contains(&config.snapshot_hours),
            "snapshot_hours = {}: give 1 to 8784",
            config.snapshot_hours
        );
        for (key, value) in
            [("sockets_secs", config.sockets_secs), ("others_secs", config.others_secs)]
        {
            ensure!((10..=86_400).contains(&value), "{key} = {value}: give 10 to 86400");
        }
        let cadence = Cadence {
            snapshot_secs: config.snapshot_hours * 3600,
            sockets_secs: config.sockets_secs,
            others_secs: config.others_secs,
        };
        Ok(Some(Assets { cadence }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        let mut needed = vec![root.join("etc/passwd"), root.join("etc/group")];
        needed.extend(packages::databases(root));
        for path in needed {
            if let Err(error) = read::open(&path) {
                problems.push(format!("{}: {error}; make it readable", path.display()));
            }
        }
        if let Err(error) = std::fs::read_dir(root.join("proc/1/fd")) {
            problems.push(format!(
                "open files of other users' processes: {error}; grant CAP_SYS_PTRACE and \
                 CAP_DAC_READ_SEARCH to learn which process listens on a port"
            ));
        }
        problems
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        let Context { root, output, stop } = context;
        let engine = Engine::restore(self.cadence, |key| output.position(key));
        let mut state = Some((engine, Host::new(&root)));
        let mut glances = tokio::time::interval(GLANCE);
        glances.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = glances.tick() => {}
            }
            let (mut engine, mut host) = state.take().context("the last look did not return")?;
            // Looking reads hundreds of files and may ask rpm: not on a thread others share.
            let look = tokio::task::spawn_blocking(move || {
                let changed = host.changed();
                let step = engine.step(time::now(), &changed, &mut |class| host.look(class));
                (engine, host, step)
            });
            let (engine, host, step) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                done = look => done.context("looking at the host panicked")?,
            };
            state = Some((engine, host));
            for (what, problem) in step.reports {
                output.report(what, problem);
            }
            for chunk in step.chunks {
                if output.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Everything below `root`, for `hengwei-agent inventory --json`. What can't be read is left out and
/// named in the second part.
pub fn snapshot(root: &Path) -> (Vec<Item>, Vec<String>) {
    let mut host = Host::new(root);
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for class in Class::ALL {
        match host.look(class) {
            Look::Items(found) => items.extend(item::by_key(found).into_values()),
            Look::Absent(why) => problems.push(format!("{}: {why}", class.dataset())),
            Look::Failed(why) => problems.push(format!("{}: {why}", class.dataset())),
            Look::Passing => {
                problems.push(format!("{}: dpkg is at work, ask again", class.dataset()));
            }
        }
    }
    (items, problems)
}

/// The host below a root, and what of it was seen before.
#[derive(Debug)]
struct Host {
    root: PathBuf,
    holders: sockets::Holders,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    dpkg_since: Option<Instant>,
    /// A look at packages that had to wait.
    packages_wait: bool,
}

impl Host {
    fn new(root: &Path) -> Host {
        Host {
            root: root.to_owned(),
            holders: sockets::Holders::default(),
            stamps: BTreeMap::new(),
            dpkg_since: None,
            packages_wait: false,
        }
    }

    /// Classes whose files are not what they were.
    fn changed(&mut self) -> BTreeSet<Class> {
        let watched: [(&str, &[Class]); 3] = [
            ("etc/passwd", &[Class::User]),
            ("etc/group", &[Class::User, Class::Group]),
            ("etc/os-release", &[Class::Os]),
        ];
        let mut changed = BTreeSet::new();
        for (path, classes) in watched {
            if self.is_new(self.root.join(path)) {
                changed.extend(classes);
            }
        }
        for path in packages::databases(&self.root) {
            if self.is_new(path) {
                changed.insert(Class::Package);
            }
        }
        if std::mem::take(&mut self.packages_wait) {
            changed.insert(Class::Package);
        }
        changed
    }

    fn is_new(&mut self, path: PathBuf) -> bool {
        let now = read::stamp(&path);
        self.stamps.insert(path, now) != Some(now)
    }

    fn look(&mut self, class: Class) -> Look {
        let root = &self.root;
        let found = match class {
            Class::Host => Ok(system::host(root)),
            Class::Os => Ok(system::os(root)),
            Class::Hardware => Ok(system::hardware(root)),
            Class::Interface => system::interfaces(root),
            Class::Filesystem => system::filesystems(root),
            Class::User => accounts::users(root).context("/etc/passwd"),
            Class::Group => accounts::groups(root).context("/etc/group"),
            Class::Socket => sockets::list(root, &mut self.holders),
            Class::Package => return self.packages(),
            Class::Service => {
                return optional(services::list(root), "systemd does not run here");
            }
        };
        optional(found.map(Some), "")
    }

    fn packages(&mut self) -> Look {
        if packages::dpkg_at_work(&self.root) {
            let since = *self.dpkg_since.get_or_insert_with(Instant::now);
            if since.elapsed() < DPKG_PATIENCE {
                self.packages_wait = true;
                return Look::Passing;
            }
        } else {
            self.dpkg_since = None;
        }
        optional(packages::list(&self.root), "no dpkg or rpm database here")
    }
}

fn optional(found: anyhow::Result<Option<Vec<Item>>>, absent: &'static str) -> Look {
    match found {
        Ok(Some(items)) => Look::Items(items),
        Ok(None) => Look::Absent(absent),
        Err(error) => Look::Failed(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            ("etc/group", "root:x:0:\n"),
            ("etc/hostname", "his-01\n"),
            ("proc/net/tcp", "head\n"),
            ("proc/self/mounts", "/dev/vda / ext4 rw 0 0\n/dev/vdb /mnt/a\\012b ext4 rw 0 0\n"),
            (
                "var/lib/dpkg/status",
                "Package: bash\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n",
            ),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("sys/class/net/eth0")).unwrap();
        dir
    }

    #[test]
    fn a_snapshot_of_a_fake_host_has_every_class_and_one_line_per_item() {
        let dir = fake();
        let (items, problems) = snapshot(dir.path());
        let lines: Vec<String> =
            items.iter().map(|item| serde_json::to_string(item).unwrap()).collect();
        assert!(lines.iter().all(|line| !line.contains('\n')), "NDJSON");
        for class in Class::ALL {
            let any = items.iter().any(|item| item.class == class);
            let empty = matches!(class, Class::Socket | Class::Service);
            assert_eq!(any, !empty, "{class:?}");
        }
        assert!(items.iter().any(|item| item.key == "/mnt/a\nb"));
        assert_eq!(problems, ["asset.service: systemd does not run here"]);
    }

    /// Prints what looking at this host costs: `cargo nextest run -p hengwei-agent cost --run-ignored
    /// all --no-capture`.
    #[test]
    #[ignore = "a measurement for people, not a check"]
    fn cost_of_a_look_at_this_host() {
        let mut host = Host::new(Path::new("/"));
        for round in ["first", "second"] {
            for class in Class::ALL {
                let begin = Instant::now();
                let look = host.look(class);
                let took = begin.elapsed();
                let count = match look {
                    Look::Items(items) => {
                        let known = item::by_key(items);
                        format!(
                            "{} items, {} bytes remembered",
                            known.len(),
                            item::remember(&known).len()
                        )
                    }
                    other => format!("{other:?}"),
                };
                println!("{round} {}: {} µs, {count}", class.dataset(), took.as_micros());
            }
        }
        let status = read::file(Path::new("/proc/self/status")).unwrap();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
    }

    #[test]
    fn only_files_that_changed_are_looked_at_again() {
        let dir = fake();
        let mut host = Host::new(dir.path());
        assert!(host.changed().contains(&Class::User), "nothing was seen yet");
        assert!(host.changed().is_empty());
        std::fs::write(dir.path().join("etc/group"), "root:x:0:\nsudo:x:27:\n").unwrap();
        assert_eq!(host.changed(), BTreeSet::from([Class::User, Class::Group]));
    }

    #[test]
    fn packages_wait_for_dpkg_and_are_then_looked_at() {
        let dir = fake();
        let mut host = Host::new(dir.path());
        host.changed();
        let journal = dir.path().join("var/lib/dpkg/updates/0001");
        std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
        std::fs::write(&journal, "").unwrap();
        assert!(matches!(host.look(Class::Package), Look::Passing));
        assert!(host.changed().contains(&Class::Package), "it is asked again");
        std::fs::remove_file(&journal).unwrap();
        assert!(matches!(host.look(Class::Package), Look::Items(_)));
        assert!(host.changed().is_empty());
    }

    #[test]
    fn bad_settings_name_key_and_remedy() {
        let check = |text: &str, expected: &str| {
            let config = toml::from_str::<Config>(text).map_err(anyhow::Error::from);
            let error = config.and_then(Assets::configure).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("snapshot_hours = 0", "snapshot_hours = 0: give 1 to 8784");
        check("sockets_secs = 1", "sockets_secs = 1: give 10 to 86400");
        check("socket_secs = 60", "unknown field `socket_secs`");
        assert!(Assets::configure(Config::default()).unwrap().is_some());
    }

    #[test]
    fn what_can_not_be_read_comes_with_a_remedy() {
        let dir = fake();
        std::fs::create_dir_all(dir.path().join("proc/1/fd")).unwrap();
        let assets = Assets::configure(Config::default()).unwrap().unwrap();
        assert_eq!(assets.unreadable(dir.path()), Vec::<String>::new());
        std::fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        std::fs::remove_dir(dir.path().join("proc/1/fd")).unwrap();
        let problems = assets.unreadable(dir.path());
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("etc/passwd") && problems[1].contains("CAP_SYS_PTRACE"));
    }
}

//! How busy this host is: processor, load, memory, file systems, disks, networks, the busiest
//! processes.
//!
//! In: sysinfo for processor, memory, load, networks and processes; the tables of mounts and of disk
//! counters below a root, because sysinfo asks every mount how full it is, and one dead network file
//! system would stop the agent's measuring for good. Out: every 10 s one small chunk of queue
//! `performance`; each record names its dataset in `event.dataset`. Counters are as the kernel gives
//! them, cumulative. It can't wait: a measurement not taken now is never taken. It judges nothing.
//!
//! Cheap on purpose: of every process only its counters are read; path and user only of those named.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hengwei_protocol::Kind;
use hengwei_protocol::wire::Origin;
use serde::Deserialize;
use sysinfo::{
    MemoryRefreshKind, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind,
};

use self::sample::{Disk, Filesystem, Memory, Network, Process, Processor, Sample};
use super::assets::{accounts, file_stamp, mounts, read_file, read_line, system};
use super::{Chunk, Context, Source};
use crate::time;

mod sample;

/// The most processes that can be asked for.
const MAX_PROCESSES: usize = 100;
/// Networks and disks measured on one host.
const MAX_DEVICES: usize = 128;
/// The first measurement comes early: usage is a difference, and needs a moment between two looks.
const FIRST: Duration = Duration::from_secs(1);
/// A measurement that takes longer is told to the operator: something it reads hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// A sector of `/proc/diskstats`, whatever the device says of itself.
const SECTOR_BYTES: u64 = 512;

/// `[sources.performance]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds between two measurements.
    pub interval_secs: u64,
    /// How many of the busiest processes are named; 0 for none.
    pub top_processes: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { interval_secs: 10, top_processes: 5 }
    }
}

/// The source.
#[derive(Debug)]
pub struct Performance {
    interval: Duration,
    top_processes: usize,
}

impl Source for Performance {
    type Config = Config;
    const CAN_WAIT: bool = false;

    fn configure(config: Config) -> anyhow::Result<Option<Performance>> {
        ensure!(
            (1..=3600).contains(&config.interval_secs),
            "interval_secs = {}: give 1 to 3600",
            config.interval_secs
        );
        ensure!(
            config.top_processes <= MAX_PROCESSES,
            "top_processes = {}: give at most {MAX_PROCESSES}",
            config.top_processes
        );
        Ok(Some(Performance {
            interval: Duration::from_secs(config.interval_secs),
            top_processes: config.top_processes,
        }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        let needed = ["proc/stat", "proc/meminfo", "proc/self/mounts"];
        let failed = needed.into_iter().filter_map(|path| {
            let path = root.join(path);
            let error = read_file(&path).err()?;
            Some(format!("{}: {error}; mount proc where the agent can see it", path.display()))
        });
        failed.collect()
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        let Context { root, output, stop } = context;
        let mut meter = Some(Meter::new(&root, self.top_processes)?);
        let origin = Arc::new(Origin { source: "performance".into(), ..Origin::default() });
        let first = tokio::time::Instant::now() + FIRST.min(self.interval);
        let mut ticks = tokio::time::interval_at(first, self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let mut used = meter.take().context("the last measurement did not return")?;
            let mut measuring = tokio::task::spawn_blocking(move || {
                let sample = used.measure();
                (used, sample)
            });
            let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
            let mut told = false;
            let (used, sample) = loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = &mut patience, if !told => {
                        told = true;
                        output.report("measuring", Some("a file system or device does not answer".into()));
                    }
                    done = &mut measuring => break done.context("measuring panicked")?,
                }
            };
            if told {
                output.report("measuring", None);
            }
            meter = Some(used);
            let chunk = Chunk {
                kind: Kind::Performance,
                origin: Arc::clone(&origin),
                records: sample.records(time::now()),
                position: None,
            };
            if output.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What is kept between measurements, for what is a difference of two.
struct Meter {
    root: PathBuf,
    top_processes: usize,
    system: System,
    networks: Networks,
    users: HashMap<u32, String>,
    users_stamp: Option<super::assets::FileStamp>,
}

impl Meter {
    fn new(root: &Path, top_processes: usize) -> anyhow::Result<Meter> {
        let mut meter = Meter {
            root: root.to_owned(),
            top_processes,
            system: System::new().context("this system can't be measured")?,
            networks: Networks::new().context("networks can't be measured")?,
            users: HashMap::new(),
            users_stamp: None,
        };
        meter.system.refresh_cpu_usage();
        meter.refresh_processes();
        Ok(meter)
    }

    fn measure(&mut self) -> Sample {
        self.system.refresh_cpu_usage();
        let memory = MemoryRefreshKind::nothing().with_ram().with_swap();
        self.system.refresh_memory_specifics(memory);
        let load = System::load_average().ok();
        Sample {
            processor: Processor {
                ratio: f64::from(self.system.global_cpu_usage()) / 100.0,
                cores: self.system.cpus().len() as u64,
            },
            load: load.map(|load| [load.one, load.five, load.fifteen]),
            memory: Memory {
                total: self.system.total_memory(),
                used: self.system.used_memory(),
                swap_total: self.system.total_swap(),
                swap_used: self.system.used_swap(),
            },
            filesystems: filesystems(&self.root),
            disks: disks(&read_file(&self.root.join("proc/diskstats")).unwrap_or_default()),
            networks: self.networks(),
            processes: self.processes(),
        }
    }

    fn networks(&mut self) -> Vec<Network> {
        self.networks.refresh(true);
        let mut found: Vec<Network> = self
            .networks
            .iter()
            .map(|(name, data)| (name.to_string_lossy().into_owned(), data))
            .filter(|(name, _)| !system::is_passing(name))
            .map(|(name, data)| Network {
                in_bytes: data.total_received(),
                out_bytes: data.total_transmitted(),
                in_errors: data.total_errors_on_received(),
                out_errors: data.total_errors_on_transmitted(),
                in_dropped: dropped(&self.root, &name),
                name,
            })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(MAX_DEVICES);
        found
    }

    fn refresh_processes(&mut self) {
        if self.top_processes > 0 {
            let counters = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
            self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, counters);
        }
    }

    fn processes(&mut self) -> Vec<Process> {
        self.refresh_processes();
        let busy = |process: &sysinfo::Process| (process.cpu_usage(), process.memory());
        let mut all: Vec<(f32, u64, Pid)> = self
            .system
            .processes()
            .iter()
            .map(|(pid, process)| (busy(process).0, busy(process).1, *pid))
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        all.truncate(self.top_processes);
        let pids: Vec<Pid> = all.into_iter().map(|(_, _, pid)| pid).collect();
        if pids.is_empty() {
            return Vec::new();
        }
        let details = ProcessRefreshKind::nothing()
            .with_exe(UpdateKind::OnlyIfNotSet)
            .with_user(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, details);
        self.refresh_users();
        let cores = self.system.cpus().len().max(1) as f64;
        let named =
            pids.iter().filter_map(|pid| self.system.process(*pid)).map(|process| Process {
                name: process.name().to_string_lossy().into_owned(),
                pid: process.pid().as_u32(),
                executable: process.exe().map(|path| path.to_string_lossy().into_owned()),
                user: process.user_id().and_then(|id| self.users.get(id).cloned()),
                ratio: f64::from(process.cpu_usage()) / 100.0 / cores,
                resident: process.memory(),
            });
        named.collect()
    }

    fn refresh_users(&mut self) {
        let stamp = file_stamp(&self.root.join("etc/passwd"));
        if stamp != self.users_stamp {
            self.users = accounts::names(&self.root);
            self.users_stamp = stamp;
        }
    }
}

fn filesystems(root: &Path) -> Vec<Filesystem> {
    let mounts = mounts::list(root).unwrap_or_default();
    let found = mounts.into_iter().filter_map(|mount| {
        let room = mounts::room(root, &mount)?;
        Some(Filesystem {
            mount_point: mount.point,
            device: mount.device,
            kind: mount.kind,
            total: room.total,
            available: room.available,
            used_ratio: room.used_ratio(),
        })
    });
    found.collect()
}

/// Packets an interface had no room for; sysinfo does not read it.
fn dropped(root: &Path, name: &str) -> Option<u64> {
    let path = root.join("sys/class/net").join(name).join("statistics/rx_dropped");
    read_line(&path)?.parse().ok()
}

/// Whole disks of `/proc/diskstats`: neither partitions, which are counted with their disk, nor what
/// lies in memory or on other disks.
fn disks(text: &str) -> Vec<Disk> {
    let mut found: Vec<Disk> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let (Some(name), Some(read), Some(written)) = (words.get(2), words.get(5), words.get(9))
        else {
            continue;
        };
        let bytes = |sectors: &str| Some(sectors.parse::<u64>().ok()?.saturating_mul(SECTOR_BYTES));
        let (Some(read_bytes), Some(write_bytes)) = (bytes(read), bytes(written)) else { continue };
        let virtual_disk = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd"];
        let made_up = virtual_disk.iter().any(|prefix| name.starts_with(prefix));
        // The kernel lists a disk right before its partitions.
        let part = found.iter().any(|disk: &Disk| is_partition(name, &disk.name));
        if !made_up && !part && found.len() < MAX_DEVICES {
            found.push(Disk { name: (*name).to_owned(), read_bytes, write_bytes });
        }
    }
    found
}

/// `sda1` of `sda`, `nvme0n1p2` of `nvme0n1`; `sdaa` is no part of `sda`.
fn is_partition(name: &str, disk: &str) -> bool {
    let Some(rest) = name.strip_prefix(disk) else { return false };
    let digits = if disk.ends_with(|last: char| last.is_ascii_digit()) {
        rest.strip_prefix('p')
    } else {
        Some(rest)
    };
    digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_disks_are_counted_once() {
        let text = "   8 0 sda 10 0 100 5 20 0 200 5 0 0 0 0 0\n\
             8 1 sda1 10 0 90 5 20 0 190 5 0 0 0\n\
             65 0 sdaa 1 0 2 0 1 0 4 0 0 0 0\n\
             259 0 nvme0n1 1 0 8 0 1 0 16 0 0 0 0\n\
             259 1 nvme0n1p1 1 0 8 0 1 0 16 0 0 0 0\n\
             7 0 loop0 1 0 8 0 1 0 16 0 0 0 0\n\
             253 0 dm-0 1 0 8 0 1 0 16 0 0 0 0\n\
             8 2 sdb x 0 y 0 1 0 z 0\nshort\n";
        let found: Vec<_> = disks(text)
            .into_iter()
            .map(|disk| (disk.name, disk.read_bytes, disk.write_bytes))
            .collect();
        let expected = [("sda", 51200, 102_400), ("sdaa", 1024, 2048), ("nvme0n1", 4096, 8192)];
        let expected: Vec<_> =
            expected.into_iter().map(|(name, r, w)| (name.to_owned(), r, w)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn file_systems_of_a_fake_root_are_measured() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        std::fs::write(
            dir.path().join("proc/self/mounts"),
            "/dev/vda / ext4 rw 0 0\n/dev/vdb /not/there xfs rw 0 0\n",
        )
        .unwrap();
        let found = filesystems(dir.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].total > 0 && (0.0..=1.0).contains(&found[0].used_ratio));
    }

    #[test]
    fn this_host_is_measured() {
        let mut meter = Meter::new(Path::new("/"), 3).unwrap();
        let sample = meter.measure();
        assert!(sample.memory.total > sample.memory.used && sample.memory.used > 0);
        assert!(sample.processor.cores > 0 && (0.0..=1.0).contains(&sample.processor.ratio));
        assert_eq!(sample.processes.len(), 3);
        let again = meter.measure();
        for process in &again.processes {
            assert!((0.0..=1.0).contains(&process.ratio), "{process:?}");
        }
    }

    /// Prints what one measurement costs: `cargo nextest run -p hengwei-agent cost --run-ignored all --no-capture`.
    #[test]
    #[ignore = "a measurement for people, not a check"]
    fn cost_of_a_measurement() {
        let mut meter = Meter::new(Path::new("/"), 5).unwrap();
        // Fields 14 and 15, in hundredths of a second; of a test process that does nothing else.
        let cpu = || {
            let stat = read_line(Path::new("/proc/self/stat")).unwrap();
            let words: Vec<&str> =
                stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
            words[11..13].iter().map(|word| word.parse::<f64>().unwrap()).sum::<f64>() * 1e4
        };
        meter.measure();
        let begin = cpu();
        const TIMES: u32 = 200;
        for _ in 0..TIMES {
            meter.measure();
        }
        let processes = meter.system.processes().len();
        println!("{:.0} µs of CPU, {processes} processes", (cpu() - begin) / f64::from(TIMES));
    }

    #[test]
    fn bad_settings_name_key_and_remedy() {
        let check = |text: &str, expected: &str| {
            let config = toml::from_str::<Config>(text).map_err(anyhow::Error::from);
            let error = config.and_then(Performance::configure).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("interval_secs = 0", "interval_secs = 0: give 1 to 3600");
        check("top_processes = 1000", "top_processes = 1000: give at most 100");
        check("interval = 1", "unknown field `interval`");
        assert!(Performance::configure(Config::default()).unwrap().is_some());
    }
}

//! What the kernel says this process used.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// The most memory it ever held, bytes.
pub(super) fn peak_rss() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

/// Bytes it had written towards a disk.
pub(super) fn written() -> anyhow::Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    Ok(line.context("no write_bytes")?.trim().parse()?)
}

/// Seconds of a processor this thread has had.
pub(super) fn thread_cpu() -> anyhow::Result<f64> {
    of_schedstat(Path::new("/proc/thread-self/schedstat"))
}

/// The same for every thread of this process by that name.
pub(super) fn cpu_of_threads(name: &str) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread may end while it is looked at.
        let Ok(comm) = fs::read_to_string(task.join("comm")) else { continue };
        if comm.trim_end() == name {
            seconds += of_schedstat(&task.join("schedstat")).unwrap_or(0.0);
        }
    }
    Ok(seconds)
}

fn of_schedstat(path: &Path) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(path)?;
    let nanos: u64 = stat.split_whitespace().next().context("an empty schedstat")?.parse()?;
    Ok(nanos as f64 / 1e9)
}

/// Bytes of all files below a path, itself included; 0 when it is not there.
pub(super) fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_below(&entry.path())).sum()
}

//! A file system of one's own, whose power can be cut: ext4 on a loop device.
//!
//! Two ways to cut it. `EXT4_IOC_SHUTDOWN` stops the file system at once: what it had not handed to
//! the device is lost, with or without the journal being written out first. That device forgets
//! nothing, though. A volume on a [`Platter`] has one that does: of what was written since the last
//! flush any part may be gone, in any order, as in a disk with a write cache.
//!
//! The ioctl is called by perl, which every Debian has (`perl-base` is essential); python3 and
//! xfsprogs would have to be installed. Loop devices are detached with their mount, which is undone
//! when the volume is dropped, also by a panic; what a killed test left is swept by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::Dice;
use super::platter::Platter;
use crate::{end_processes_below, wait};

/// Names of images and of platters' mounts begin so, then comes the process they belong to.
pub(super) const NAME: &str = "hengwei-volume-";
/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
const SHUTDOWN: u32 = 0x8004_587d;
/// From this exit code on, errors are left that fsck did not mend.
const FSCK_FAILED: i32 = 4;
/// How long a file system may take to let go.
const RELEASE: Duration = Duration::from_secs(20);

/// What is below a volume's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A file: what is written to it stays.
    File,
    /// A disk with a write cache.
    Platter,
}

/// How the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The file system stops; its journal is written first.
    AfterJournal,
    /// The file system stops as it is.
    AtOnce,
    /// The disk stops and forgets what it had not flushed, or any part of that. For platters.
    CacheLost,
}

/// A mounted file system.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    at: PathBuf,
    platter: Option<Platter>,
    mounted: bool,
}

impl Volume {
    /// An empty file system of `mib` at `at`, a folder that is made; its image lies in `folder`. None,
    /// with the reason printed, where there is no such thing to be had.
    pub fn new(
        folder: &Path,
        at: &Path,
        mib: u64,
        medium: Medium,
    ) -> anyhow::Result<Option<Volume>> {
        if let Err(reason) = possible(medium) {
            println!("skipped: {reason}");
            return Ok(None);
        }
        sweep();
        fs::create_dir_all(at)?;
        let name = at.strip_prefix(folder).unwrap_or(at).display().to_string().replace('/', "-");
        let image = folder.join(format!("{NAME}{}-{name}", std::process::id()));
        fs::File::create(&image)?.set_len(mib << 20)?;
        must("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)?])?;
        let platter = match medium {
            Medium::File => None,
            Medium::Platter => Some(Platter::new(&image)?),
        };
        let mut volume = Volume { image, at: at.to_owned(), platter, mounted: false };
        if let Err(error) = volume.mount() {
            println!("skipped: no file system can be mounted on a loop device: {error:#}");
            return Ok(None);
        }
        Ok(Some(volume))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// The disk below, when it is a platter.
    pub fn platter(&self) -> Option<&Platter> {
        self.platter.as_ref()
    }

    /// Makes everything on it durable.
    pub fn sync(&self) -> anyhow::Result<()> {
        must("sync", &["-f", text(&self.at)?])
    }

    /// Cuts the power. Whoever uses the file system gets errors from now on.
    pub fn cut(&self, cut: Cut) -> anyhow::Result<()> {
        let flags = match (cut, &self.platter) {
            (Cut::AfterJournal, _) => 1,
            (Cut::AtOnce, _) => 2,
            (Cut::CacheLost, Some(platter)) => {
                platter.stop();
                return Ok(());
            }
            (Cut::CacheLost, None) => bail!("a file forgets nothing"),
        };
        let script = "open(my $dir, '<', $ARGV[0]) or die \"$!\"; my $flags = pack('L', $ARGV[2]); \
                      ioctl($dir, $ARGV[1], $flags) or die \"$!\";";
        must("perl", &["-e", script, text(&self.at)?, &SHUTDOWN.to_string(), &flags.to_string()])
    }

    /// Turns the power on again: unmounted, the cache of a platter lost, mounted. Nobody may use it.
    pub fn restart(&mut self, dice: &mut Dice) -> anyhow::Result<()> {
        self.unmount()?;
        if let Some(platter) = &self.platter {
            platter.start(dice)?;
        }
        // A disk that failed may leave a file system that says so; what can be mended is, as at boot.
        let file = text(self.device_file())?;
        let checked = Command::new("fsck.ext4").args(["-p", file]).stdin(Stdio::null()).output()?;
        let code = checked.status.code().unwrap_or(FSCK_FAILED);
        ensure!(
            code < FSCK_FAILED,
            "the file system can't be mended: {}",
            String::from_utf8_lossy(&checked.stdout)
        );
        self.mount()
    }

    /// Bytes that can be written.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let stat = rustix::fs::statvfs(&self.at)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn device_file(&self) -> &Path {
        self.platter.as_ref().map_or(&self.image, Platter::path)
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        // The kernel detaches the loop device of such a mount together with it.
        must("mount", &["-t", "ext4", "-o", "loop", text(self.device_file())?, text(&self.at)?])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        if self.mounted {
            let at = text(&self.at)?.to_owned();
            wait("the file system to be let go", RELEASE, || Ok(must("umount", &[&at]).ok()))?;
            self.mounted = false;
            // The loop device goes a moment after its mount; until then the image is in use.
            let file = self.device_file().to_owned();
            wait("the loop device to be let go", RELEASE, || Ok((!attached(&file)).then_some(())))?;
        }
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            // Processes of a test that failed may still run; a lazy unmount lets go when they end.
            end_processes_below(self.image.parent().unwrap_or(&self.image));
            if self.unmount().is_err() {
                drop(must("umount", &["-l", &self.at.display().to_string()]));
            }
        }
    }
}

/// Whether this machine lets a test mount a file system.
fn possible(medium: Medium) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can mount a file system".to_owned());
    }
    for tool in ["mkfs.ext4", "fsck.ext4", "losetup", "mount", "umount", "perl"] {
        if !on_path(tool) {
            return Err(format!("there is no {tool}"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there is no /dev/loop-control".to_owned());
    }
    if medium == Medium::Platter && !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse".to_owned());
    }
    Ok(())
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Undoes what tests left that were killed: their mounts, loop devices and images.
fn sweep() {
    for (device, file) in loop_devices() {
        if left_behind(&file) {
            if let Some(folder) = file.parent() {
                end_processes_below(folder);
            }
            for mount in mounts().into_iter().filter(|mount| mount.source == device) {
                drop(must("umount", &["-l", &mount.at]));
            }
            drop(must("losetup", &["-d", &device]));
            drop(fs::remove_file(&file));
        }
    }
    for mount in mounts().iter().filter(|mount| left_behind(Path::new(&mount.source))) {
        drop(must("umount", &["-l", &mount.at]));
    }
}

/// Whether a name is one of ours, of a process that is no more.
fn left_behind(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

fn attached(file: &Path) -> bool {
    loop_devices().iter().any(|(_, backing)| backing == file)
}

/// Loop devices in use, each with the file below it.
fn loop_devices() -> Vec<(String, PathBuf)> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).ok()?;
            let name = device.file_name().to_string_lossy().into_owned();
            Some((format!("/dev/{name}"), PathBuf::from(file.trim_end())))
        })
        .collect()
}

struct Mount {
    source: String,
    at: String,
}

fn mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some(Mount { source: words.next()?.to_owned(), at: words.next()?.to_owned() })
        })
        .collect()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Runs a tool that must succeed.
fn must(tool: &str, args: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new(tool).args(args).stdin(Stdio::null()).output().context(tool.to_owned())?;
    ensure!(
        output.status.success(),
        "{tool} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

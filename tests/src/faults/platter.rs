//! A disk with a write cache that can be lost, and that fails when told to.
//!
//! It stands in for device-mapper's `log-writes`, `flakey` and `error`, which many kernels lack: one
//! file, served over FUSE by a thread of the test itself, for a loop device to be put on. In: what the
//! loop device reads, writes and flushes. Out: the image, and when the power is cut any part of what
//! was written since the last flush taken back, sector by sector. FUSE is spoken here by hand, as far
//! as one file needs it (`include/uapi/linux/fuse.h`).

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::Dice;
use super::volume::NAME;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
/// What one request may carry; the kernel splits what is longer.
const MAX_WRITE: u32 = 1 << 20;
const IN_HEADER: usize = 40;
const OUT_HEADER: usize = 16;

/// Requests of FUSE that one file gets.
mod op {
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// So many writes fail, then none.
    Writes(u32),
    /// So many flushes fail, then none; what they were to make durable stays in the cache.
    Flushes(u32),
}

/// The disk.
#[derive(Debug)]
pub struct Platter {
    path: PathBuf,
    disk: Arc<Mutex<Disk>>,
    server: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Disk {
    /// As a reader sees it.
    image: File,
    bytes: u64,
    /// What was durable of each block that was written since the last flush.
    cached: HashMap<u64, Vec<u8>>,
    stopped: bool,
    failing_writes: u32,
    failing_flushes: u32,
    failed: u64,
}

impl Platter {
    /// A disk that has what `image` has, which it uses from now on.
    pub fn new(image: &Path) -> anyhow::Result<Platter> {
        let file = OpenOptions::new().read(true).write(true).open(image)?;
        let bytes = file.metadata()?.len();
        let disk = Disk {
            image: file,
            bytes,
            cached: HashMap::new(),
            stopped: false,
            failing_writes: 0,
            failing_flushes: 0,
            failed: 0,
        };
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = image.with_file_name(format!("{name}-platter"));
        File::create(&path)?;
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        // The file system's root is the one file it has.
        let options = format!("fd={},rootmode=100600,user_id=0,group_id=0", fuse.as_raw_fd());
        let source = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        debug_assert!(source.starts_with(NAME), "a killed test's mount is known by its name");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let options = CString::new(options)?;
        mount(&source, &path, "fuse", flags, Some(options.as_c_str())).context("mount of FUSE")?;
        let disk = Arc::new(Mutex::new(disk));
        let shared = Arc::clone(&disk);
        let server = std::thread::Builder::new()
            .name("platter".to_owned())
            .spawn(move || serve(fuse, &shared))?;
        Ok(Platter { path, disk, server: Some(server) })
    }

    /// The file that is the disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts the power: nothing is read or written any more.
    pub fn stop(&self) {
        self.disk().stopped = true;
    }

    /// Turns the power on: of what was not flushed, some is there and some is not. Nothing fails.
    pub fn start(&self, dice: &mut Dice) -> anyhow::Result<()> {
        self.heal();
        let mut disk = self.disk();
        if disk.stopped {
            disk.lose(dice)?;
        }
        disk.stopped = false;
        Ok(())
    }

    /// Makes it fail.
    pub fn fail(&self, fault: Fault) {
        let mut disk = self.disk();
        match fault {
            Fault::Writes(count) => disk.failing_writes = count,
            Fault::Flushes(count) => disk.failing_flushes = count,
        }
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut disk = self.disk();
        (disk.failing_writes, disk.failing_flushes) = (0, 0);
    }

    /// Requests that failed since it was made, those after the power was cut aside.
    pub fn failed(&self) -> u64 {
        self.disk().failed
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Platter {
    fn drop(&mut self) {
        // The kernel ends the thread's reading when the last user lets go.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        drop(fs::remove_file(&self.path));
        // Not joined: a mount that hangs must not hang the test.
        drop(self.server.take());
    }
}

impl Disk {
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        if self.stopped {
            return Err(Errno::IO);
        }
        let len = len.min(usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(0));
        let mut bytes = vec![0; len];
        self.image.read_exact_at(&mut bytes, offset).map_err(|_| Errno::IO)?;
        Ok(bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.stopped || self.take_failure(|disk| &mut disk.failing_writes) {
            return Err(Errno::IO);
        }
        let end = offset + bytes.len() as u64;
        if end > self.bytes {
            return Err(Errno::NOSPC);
        }
        for block in offset / BLOCK as u64..end.div_ceil(BLOCK as u64) {
            if !self.cached.contains_key(&block) {
                let durable = self.read(block * BLOCK as u64, BLOCK)?;
                self.cached.insert(block, durable);
            }
        }
        self.image.write_all_at(bytes, offset).map_err(|_| Errno::IO)
    }

    fn flush(&mut self) -> Result<(), Errno> {
        if self.stopped || self.take_failure(|disk| &mut disk.failing_flushes) {
            return Err(Errno::IO);
        }
        self.cached.clear();
        Ok(())
    }

    fn take_failure(&mut self, of: fn(&mut Disk) -> &mut u32) -> bool {
        let left = of(self);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        self.failed += u64::from(fails);
        fails
    }

    /// Takes back what the cache had: all of it, or any blocks, or any sectors.
    fn lose(&mut self, dice: &mut Dice) -> anyhow::Result<()> {
        let manner = dice.roll(3);
        let mut cached: Vec<_> = self.cached.drain().collect();
        cached.sort_unstable();
        for (block, durable) in cached {
            let whole = manner == 0 || (manner == 1 && dice.roll(2) == 0);
            for (at, sector) in durable.chunks(SECTOR).enumerate() {
                if whole || (manner == 2 && dice.roll(2) == 0) {
                    let offset = block * BLOCK as u64 + (at * SECTOR) as u64;
                    self.image.write_all_at(sector, offset)?;
                }
            }
        }
        Ok(())
    }
}

/// Answers the kernel until the disk is unmounted.
fn serve(mut fuse: File, disk: &Mutex<Disk>) {
    let mut request = vec![0; MAX_WRITE as usize + (64 << 10)];
    loop {
        let len = match fuse.read(&mut request) {
            Ok(len) => len,
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => return,
            // A request that was taken back before it was read.
            Err(_) => continue,
        };
        let Some(answer) = request.get(..len).and_then(|request| answer(request, disk)) else {
            continue;
        };
        // The kernel refuses answers to what was interrupted.
        drop(fuse.write(&answer));
    }
}

/// The answer to one request; None where none is wanted.
fn answer(request: &[u8], disk: &Mutex<Disk>) -> Option<Vec<u8>> {
    let opcode = u32_at(request, 4)?;
    let unique = request.get(8..16)?;
    let body = request.get(IN_HEADER..)?;
    let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    let result = match opcode {
        op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return None,
        op::INIT => Ok(init(body)?),
        op::GETATTR | op::SETATTR => Ok(attributes(disk.bytes)),
        // No page cache between the loop device and the disk: open flag 1 is FOPEN_DIRECT_IO.
        op::OPEN => Ok(words(&[0, 0, 1, 0])),
        op::READ => disk.read(u64_at(body, 8)?, u32_at(body, 16)? as usize),
        op::WRITE => {
            let len = u32_at(body, 16)?;
            let bytes = body.get(40..40 + len as usize)?;
            disk.write(u64_at(body, 8)?, bytes).map(|()| words(&[len, 0]))
        }
        op::FSYNC => disk.flush().map(|()| Vec::new()),
        op::STATFS => Ok(vec![0; 80]),
        op::FLUSH | op::RELEASE | op::DESTROY => Ok(Vec::new()),
        _ => Err(Errno::NOSYS),
    };
    let (error, body) = match result {
        Ok(body) => (0, body),
        Err(errno) => (-errno.raw_os_error(), Vec::new()),
    };
    let mut answer = u32::try_from(OUT_HEADER + body.len()).ok()?.to_le_bytes().to_vec();
    answer.extend_from_slice(&error.to_le_bytes());
    answer.extend_from_slice(unique);
    answer.extend_from_slice(&body);
    Some(answer)
}

/// `fuse_init_out`: version 7.31, requests of up to [`MAX_WRITE`].
fn init(body: &[u8]) -> Option<Vec<u8>> {
    const BIG_WRITES: u32 = 1 << 5;
    const MAX_PAGES: u32 = 1 << 22;
    let readahead = u32_at(body, 8)?;
    let background = 16 | 12 << 16;
    let pages = MAX_WRITE / BLOCK as u32;
    let mut out =
        words(&[7, 31, readahead, BIG_WRITES | MAX_PAGES, background, MAX_WRITE, 1, pages]);
    out.resize(64, 0);
    Some(out)
}

/// `fuse_attr_out` of a file that is owned by root and never older than now.
fn attributes(bytes: u64) -> Vec<u8> {
    let mut out = vec![0; 16];
    for word in [1, bytes, bytes.div_ceil(SECTOR as u64), 0, 0, 0] {
        out.extend_from_slice(&u64::to_le_bytes(word));
    }
    let mode = 0o100_600;
    out.extend(words(&[0, 0, 0, mode, 1, 0, 0, 0, BLOCK as u32, 0]));
    out
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_stays_and_what_was_not_may_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        fs::write(&path, vec![1; 64 * BLOCK]).expect("writes");
        let image = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
        let mut disk = Disk {
            image,
            bytes: 64 * BLOCK as u64,
            cached: HashMap::new(),
            stopped: false,
            failing_writes: 0,
            failing_flushes: 0,
            failed: 0,
        };
        disk.write(BLOCK as u64, &[2; BLOCK]).expect("writes");
        disk.flush().expect("flushes");
        disk.write(0, &vec![3; 64 * BLOCK]).expect("writes");
        assert_eq!(disk.read(0, 4), Ok(vec![3; 4]));
        let mut kinds = Vec::new();
        for seed in 0..12 {
            let mut lost = Disk {
                image: disk.image.try_clone().expect("clones"),
                cached: disk.cached.clone(),
                ..disk
            };
            lost.lose(&mut Dice::new(seed)).expect("loses");
            let bytes = fs::read(&path).expect("reads");
            let durable = |at: usize| if at / BLOCK == 1 { 2 } else { 1 };
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == 3 || *byte == durable(at)));
            kinds.push(bytes.contains(&3));
            fs::write(&path, vec![3; 64 * BLOCK]).expect("writes");
        }
        assert!(kinds.contains(&true) && kinds.contains(&false), "all or some of it: {kinds:?}");
        disk.failing_flushes = 1;
        assert_eq!(disk.flush(), Err(Errno::IO));
        assert_eq!((disk.flush(), disk.failed), (Ok(()), 1));
    }
}

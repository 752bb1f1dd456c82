//! File systems that hold data: `/proc/self/mounts` without what the kernel makes up, what containers
//! stack, what hangs when a server is gone, and the same device seen twice.

use std::path::{Path, PathBuf};

use super::read;

/// Types whose space is a disk's. Everything else (proc, tmpfs, overlay, squashfs, nfs, fuse …) is
/// made up, a layer of one of these, read-only by nature, or able to hang `statvfs` for ever.
const ON_DISK: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "zfs", "bcachefs", "vfat",
    "exfat", "ntfs3", "ubifs", "nilfs2", "ocfs2", "gfs2",
];
/// File systems looked at on one host.
const MAX_MOUNTS: usize = 256;

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device, as it was mounted.
    pub(crate) device: String,
    /// Where, seen from the root.
    pub(crate) point: String,
    /// `ext4`, `xfs` …
    pub(crate) kind: String,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// All of it.
    pub(crate) total: u64,
    /// What an ordinary user can still write.
    pub(crate) available: u64,
    /// What is written, as `df` counts it.
    pub(crate) used: u64,
}

impl Room {
    /// Used share of what users can use, 0 to 1, as `df` counts it.
    pub(crate) fn used_ratio(self) -> f64 {
        let usable = self.used.saturating_add(self.available);
        if usable == 0 { 0.0 } else { self.used as f64 / usable as f64 }
    }
}

/// The file systems below `root`.
pub(crate) fn list(root: &Path) -> std::io::Result<Vec<Mount>> {
    Ok(parse(&read::file(&root.join("proc/self/mounts"))?))
}

/// How full a file system is; None when it can't be asked.
pub(crate) fn room(root: &Path, mount: &Mount) -> Option<Room> {
    let at = below(root, &mount.point);
    let stat = rustix::fs::statvfs(&at).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    (stat.f_blocks > 0).then(|| Room {
        total: bytes(stat.f_blocks),
        available: bytes(stat.f_bavail),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
    })
}

/// A path of the host below the root it is looked at from.
pub(crate) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn parse(text: &str) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let mount = Mount { device: unescape(device), point: unescape(point), kind: kind.into() };
        // In a container the root is a layer of somebody else's disk, and all there is.
        if !(ON_DISK.contains(&kind) || mount.point == "/" && kind == "overlay") {
            continue;
        }
        // A bind mount (of a container, of a hardened unit) shows the same space again: the
        // shortest path is the one people know.
        match found.iter().position(|seen| seen.device == mount.device) {
            Some(at) if mount.point.len() < found[at].point.len() => found[at] = mount,
            Some(_) => {}
            None if found.len() < MAX_MOUNTS => found.push(mount),
            None => break,
        }
    }
    found
}

/// Undoes the octal escapes of blank, tab, line break and backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let octal = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match octal {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            _ => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = parse(text);
        let found: Vec<_> =
            found.iter().map(|mount| (mount.device.as_str(), mount.point.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_disks_are_listed_and_each_once() {
        check(
            "proc /proc proc rw 0 0\n\
             /dev/sda1 /var/lib/docker/bind ext4 rw 0 0\n\
             /dev/sda1 / ext4 rw 0 0\n\
             overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n\
             tmpfs /run tmpfs rw 0 0\n\
             his:/export /mnt/his nfs4 rw,hard 0 0\n\
             /dev/loop0 /snap/core squashfs ro 0 0\n\
             /dev/sdb1 /data xfs rw 0 0\n\
             short line\n\n",
            &[("/dev/sda1", "/"), ("/dev/sdb1", "/data")],
        );
    }

    #[test]
    fn the_root_of_a_container_counts() {
        check("overlay / overlay rw 0 0\n", &[("overlay", "/")]);
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        check("/dev/sdc1 /mnt/a\\040b\\012c xfs rw 0 0\n", &[("/dev/sdc1", "/mnt/a b\nc")]);
        check("/dev/sdc1 /mnt/\\9\\ xfs rw 0 0\n", &[("/dev/sdc1", "/mnt/\\9\\")]);
        check("/dev/sdc1 /mnt/衡\\衡衡 xfs rw 0 0\n", &[("/dev/sdc1", "/mnt/衡\\衡衡")]);
    }

    #[test]
    fn a_host_of_many_mounts_is_bounded() {
        let text: String = (0..10_000).map(|n| format!("/dev/d{n} /m{n} ext4 rw 0 0\n")).collect();
        assert_eq!(parse(&text).len(), MAX_MOUNTS);
    }

    #[test]
    fn used_is_a_share_of_what_users_can_use() {
        let room = Room { total: 100, available: 45, used: 45 };
        assert!((room.used_ratio() - 0.5).abs() < 1e-9);
        assert_eq!(Room { total: 0, available: 0, used: 0 }.used_ratio(), 0.0);
    }
}

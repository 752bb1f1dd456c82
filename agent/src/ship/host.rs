//! What Hello says of the host, read below a root so that tests bring their own.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use hengwei_protocol::{identity, wire};

/// Names, zone and kernel of the host below `root`. What can't be read stays empty: Hello goes out
/// all the same.
pub fn host_info(root: &Path) -> wire::HostInfo {
    let line = |path: &str| {
        let text = fs::read_to_string(root.join(path)).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let boot_id = line("proc/sys/kernel/random/boot_id").replace('-', "");
    wire::HostInfo {
        hostname: line("proc/sys/kernel/hostname"),
        timezone: timezone(root),
        os: os(root),
        kernel: line("proc/sys/kernel/osrelease"),
        architecture: std::env::consts::ARCH.to_owned(),
        boot_id: identity::unhex(&boot_id).map_or_else(Bytes::new, Bytes::from),
    }
}

/// The zone's IANA name: what `/etc/localtime` points to, else `/etc/timezone`, else the offset.
fn timezone(root: &Path) -> String {
    let link = fs::read_link(root.join("etc/localtime")).unwrap_or_default();
    if let Some((_, name)) = link.to_string_lossy().split_once("zoneinfo/") {
        return name.trim_start_matches("posix/").to_owned();
    }
    let text = fs::read_to_string(root.join("etc/timezone")).unwrap_or_default();
    match text.trim() {
        "" => {
            let now = jiff::Zoned::now();
            let minutes = now.offset().seconds() / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
        name => name.to_owned(),
    }
}

fn os(root: &Path) -> String {
    let paths = ["etc/os-release", "usr/lib/os-release"];
    let text = paths.iter().find_map(|path| fs::read_to_string(root.join(path)).ok());
    let text = text.unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_described_from_its_files_and_a_bare_one_not_at_all() {
        let root = tempfile::TempDir::new().expect("a folder");
        let bare = host_info(root.path());
        assert_eq!((bare.hostname.as_str(), bare.os.as_str()), ("", ""));
        assert_eq!(bare.timezone.len(), 6, "an offset: {}", bare.timezone);
        for (path, text) in [
            ("proc/sys/kernel/hostname", "emr-1\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("proc/sys/kernel/random/boot_id", "00112233-4455-6677-8899-aabbccddeeff\n"),
            ("etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
            ("etc/timezone", "Asia/Shanghai\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            fs::write(path, text).expect("writes");
        }
        let host = host_info(root.path());
        assert_eq!((host.hostname.as_str(), host.kernel.as_str()), ("emr-1", "6.1.0"));
        assert_eq!(
            (host.os.as_str(), host.timezone.as_str()),
            ("Debian GNU/Linux 12", "Asia/Shanghai")
        );
        assert_eq!(host.boot_id.len(), 16);
        std::os::unix::fs::symlink(
            "/usr/share/zoneinfo/Asia/Urumqi",
            root.path().join("etc/localtime"),
        )
        .expect("links");
        assert_eq!(host_info(root.path()).timezone, "Asia/Urumqi");
    }
}

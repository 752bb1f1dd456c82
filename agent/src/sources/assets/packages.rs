//! Installed packages: the dpkg database with a parser of our own, line by line; rpm by asking rpm,
//! whose database has had three forms.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Flock, FlockType};

use super::command;
use super::item::{Class, Item};
use super::read;

/// Packages looked at on one host.
const MAX_PACKAGES: usize = 50_000;
/// What is read of the dpkg database: a full Debian archive's is a fifth of it.
const MAX_STATUS: u64 = 256 << 20;
/// What is kept of one of its lines; the fields we want are short.
const MAX_LINE: usize = 4096;
/// Where an rpm database lies, by age.
const RPM_DATABASES: &[&str] = &[
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "usr/lib/sysimage/rpm/Packages.db",
    "var/lib/rpm/Packages",
];
/// Packages of which several versions are installed beside each other.
const SIDE_BY_SIDE: &[&str] = &["kernel", "gpg-pubkey"];
/// The dpkg database.
pub(crate) const DPKG_STATUS: &str = "var/lib/dpkg/status";

/// The databases a host has, in the order they are read.
pub(crate) fn databases(root: &Path) -> Vec<PathBuf> {
    let rpm = RPM_DATABASES.iter().find(|path| root.join(path).exists());
    std::iter::once(&DPKG_STATUS)
        .chain(rpm)
        .map(|path| root.join(path))
        .filter(|path| path.exists())
        .collect()
}

/// Everything installed; None on a host with no database we know.
pub(crate) fn list(root: &Path) -> anyhow::Result<Option<Vec<Item>>> {
    let databases = databases(root);
    let mut items = Vec::new();
    for path in &databases {
        if path.ends_with(DPKG_STATUS) {
            items.extend(parse_status(BufReader::new(read::open(path)?.take(MAX_STATUS)))?);
        } else {
            items.extend(parse_rpm(&command::output(
                Command::new("rpm").arg("--root").arg(root).args([
                    "-qa",
                    "--queryformat",
                    "%{NAME}\\t%{EPOCH}:%{VERSION}-%{RELEASE}\\t%{ARCH}\\n",
                ]),
            )?));
        }
    }
    Ok((!databases.is_empty()).then_some(items))
}

/// Whether dpkg is at work: what its database says now is a passing state. Its journal folder is in
/// use, or it holds its lock.
pub(crate) fn dpkg_at_work(root: &Path) -> bool {
    let journal = std::fs::read_dir(root.join("var/lib/dpkg/updates"));
    let journal = journal
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    journal || locked(&root.join("var/lib/dpkg/lock"))
}

fn locked(path: &Path) -> bool {
    let Ok(file) = read::open(path) else { return false };
    let wish = Flock::from(FlockType::WriteLock);
    matches!(rustix::process::fcntl_getlk(&file, &wish), Ok(Some(_)))
}

/// One paragraph of the dpkg database as far as we want it.
#[derive(Debug, Default)]
struct Paragraph {
    name: String,
    version: String,
    architecture: String,
    status: String,
}

impl Paragraph {
    fn item(&self) -> Option<Item> {
        let state = self.status.split_whitespace().nth(2)?;
        if self.name.is_empty() || matches!(state, "not-installed" | "config-files") {
            return None;
        }
        let key = format!("{}:{}", self.name, self.architecture);
        Some(
            Item::new(Class::Package, &key)
                .text("package.name", &self.name)
                .text("package.version", &self.version)
                .text("package.architecture", &self.architecture)
                .text("package.type", "dpkg"),
        )
    }
}

fn parse_status(mut reader: impl BufRead) -> std::io::Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut paragraph = Paragraph::default();
    let mut line = Vec::new();
    loop {
        let more = bounded_line(&mut reader, &mut line)?;
        if line.is_empty() || !more {
            items.extend(std::mem::take(&mut paragraph).item());
            if !more || items.len() >= MAX_PACKAGES {
                return Ok(items);
            }
            continue;
        }
        let line = String::from_utf8_lossy(&line);
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name {
            "Package" => value.clone_into(&mut paragraph.name),
            "Version" => value.clone_into(&mut paragraph.version),
            "Architecture" => value.clone_into(&mut paragraph.architecture),
            "Status" => value.clone_into(&mut paragraph.status),
            _ => {}
        }
    }
}

/// Reads the next line, without its end, at most [`MAX_LINE`] of it; false at the end of the file.
fn bounded_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        let room = MAX_LINE - line.len();
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = piece.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

fn parse_rpm(text: &str) -> Vec<Item> {
    let packages = text.lines().take(MAX_PACKAGES).filter_map(|line| {
        let mut words = line.split('\t');
        let (name, version, architecture) = (words.next()?, words.next()?, words.next()?);
        let version = version.strip_prefix("(none):").unwrap_or(version);
        let architecture = architecture.strip_prefix("(none)").unwrap_or(architecture);
        let mut key = format!("{name}:{architecture}");
        if SIDE_BY_SIDE.iter().any(|prefix| name.starts_with(prefix)) {
            key = format!("{key}:{version}");
        }
        Some(
            Item::new(Class::Package, &key)
                .text("package.name", name)
                .text("package.version", version)
                .text("package.architecture", architecture)
                .text("package.type", "rpm"),
        )
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, expected: &[(&str, &str)]) {
        let items = parse_status(status.as_bytes()).unwrap();
        let found: Vec<_> = items
            .iter()
            .map(|item| (item.key.clone(), item.get("package.version").unwrap_or_default()))
            .collect();
        let found: Vec<_> = found.iter().map(|(key, v)| (key.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_dpkg_database_lists_what_is_installed() {
        check(
            "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\n\
             Description: shell\n Package: not me\n\n\
             Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
             Package: libc6\nStatus: install ok unpacked\nArchitecture: i386\nVersion: 2",
            &[("bash:amd64", "5.2-1"), ("libc6:i386", "2")],
        );
    }

    #[test]
    fn a_broken_database_yields_what_can_be_read() {
        let long = "x".repeat(1 << 20);
        check(
            &format!(
                "\n\n\nno colon\n{long}\nStatus: install ok installed\n\n\
                 Package: a\nStatus: install ok installed\nVersion: {long}\n"
            ),
            &[("a:", &"x".repeat(1024))],
        );
        assert_eq!(parse_status(&b"\xff\xfe\0\n\n\xff"[..]).unwrap(), []);
    }

    #[test]
    fn kernels_of_rpm_stand_side_by_side() {
        let items = parse_rpm(
            "bash\t(none):5.1-6.el9\tx86_64\nkernel-core\t(none):5.14-1\tx86_64\n\
             kernel-core\t(none):5.14-2\tx86_64\ngpg-pubkey\t(none):fd4-5e\t(none)\nbad line\n",
        );
        let keys: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "bash:x86_64",
                "kernel-core:x86_64:5.14-1",
                "kernel-core:x86_64:5.14-2",
                "gpg-pubkey::fd4-5e"
            ]
        );
        assert_eq!(items[0].get("package.version").as_deref(), Some("5.1-6.el9"));
    }

    #[test]
    fn dpkg_at_work_is_seen_by_its_journal() {
        let dir = tempfile::tempdir().unwrap();
        let updates = dir.path().join("var/lib/dpkg/updates");
        std::fs::create_dir_all(&updates).unwrap();
        std::fs::write(dir.path().join("var/lib/dpkg/lock"), "").unwrap();
        assert!(!dpkg_at_work(dir.path()));
        std::fs::write(updates.join("0001"), "").unwrap();
        assert!(dpkg_at_work(dir.path()));
    }

    #[test]
    fn a_host_without_packages_is_told_from_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(dir.path()).unwrap().is_none());
        std::fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        std::fs::write(dir.path().join(DPKG_STATUS), "").unwrap();
        assert_eq!(list(dir.path()).unwrap(), Some(vec![]));
    }
}

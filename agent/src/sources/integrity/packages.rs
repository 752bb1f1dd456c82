//! Whether a file is as its package brought it.
//!
//! In: paths with their digests. Out: the package that owns each, and whether the content equals the
//! package's own record: dpkg's `info/*.md5sums` and the conffiles in `status`, or rpm's database through
//! `rpm`. Files are read once for all paths of a burst, and nothing is kept: an upgrade touches hundreds
//! of files in a minute a month. MD5 is what dpkg records; a file made to collide with it would already
//! have needed the package's own content to be made for that.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hengwei_protocol::identity::hex;
use md5::{Digest, Md5};
use rustix::process::{Flock, FlockType, fcntl_getlk};

const DPKG: &str = "var/lib/dpkg";
const RPM: [&str; 2] = ["var/lib/rpm", "usr/lib/sysimage/rpm"];
/// Locks that a package manager holds while it works.
const LOCKS: [&str; 4] = [
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/rpm/.rpm.lock",
    "usr/lib/sysimage/rpm/.rpm.lock",
];
const RPM_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RPM_OUTPUT: u64 = 32 << 20;
/// Paths under which dpkg may know a file of a host whose `/bin` is `/usr/bin`.
const MERGED: [&str; 4] = ["bin/", "sbin/", "lib/", "lib64/"];

/// A file to be looked up.
pub(super) struct Question {
    /// The path below the root, without its leading slash.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// SHA-256 in hex.
    pub(super) sha256: String,
}

/// The package a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) package: String,
    /// Whether the content is the package's.
    pub(super) matches: bool,
}

/// Whether a package manager is at work on the host.
pub(super) fn at_work(root: &Path) -> bool {
    LOCKS.iter().any(|lock| is_locked(&root.join(lock)))
}

/// Whether dpkg is about to replace this very file.
pub(super) fn being_replaced(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".dpkg-new");
    std::fs::symlink_metadata(Path::new(&name)).is_ok()
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let asked = Flock::from(FlockType::WriteLock);
    matches!(fcntl_getlk(&file, &asked), Ok(Some(held)) if held.typ != FlockType::Unlocked)
}

/// The owners of files, by their names; those of no package are absent.
pub(super) fn owners(root: &Path, questions: &[Question]) -> HashMap<String, Owner> {
    if questions.is_empty() {
        return HashMap::new();
    }
    if root.join(DPKG).join("info").is_dir() {
        return dpkg(&root.join(DPKG), questions);
    }
    if RPM.iter().any(|folder| root.join(folder).is_dir()) {
        let rpm = |question: &Question| Some((question.name.clone(), rpm(root, question)?));
        return questions.iter().filter_map(rpm).collect();
    }
    HashMap::new()
}

/// Who has a file, by the names dpkg may know it under.
struct Wanted<'a> {
    names: HashMap<String, &'a Question>,
    md5: HashMap<&'a str, String>,
    found: HashMap<String, Owner>,
}

impl Wanted<'_> {
    /// Takes a line of a package's record. A path may be recorded by several packages (diversions,
    /// leftovers); one that matches settles it.
    fn take(&mut self, package: &str, name: &str, md5: &str) {
        let Some(question) = self.names.get(name) else { return };
        let key = question.name.as_str();
        let known = self.md5.entry(key).or_insert_with(|| md5_of(&question.path));
        let matches = known.eq_ignore_ascii_case(md5);
        let owner = self
            .found
            .entry(key.to_owned())
            .or_insert_with(|| Owner { package: package.to_owned(), matches: false });
        if matches && !owner.matches {
            *owner = Owner { package: package.to_owned(), matches };
        }
    }
}

fn dpkg(folder: &Path, questions: &[Question]) -> HashMap<String, Owner> {
    let mut names = HashMap::new();
    for question in questions {
        names.insert(question.name.clone(), question);
        let short = question.name.strip_prefix("usr/");
        if let Some(short) = short.filter(|short| MERGED.iter().any(|m| short.starts_with(m))) {
            names.insert(short.to_owned(), question);
        }
    }
    let mut wanted = Wanted { names, md5: HashMap::new(), found: HashMap::new() };
    let infos = std::fs::read_dir(folder.join("info")).into_iter().flatten().flatten();
    for info in infos {
        let file_name = info.file_name();
        let Some(package) = file_name.to_str().and_then(|n| n.strip_suffix(".md5sums")) else {
            continue;
        };
        let package = package.split(':').next().unwrap_or(package);
        let Ok(text) = std::fs::read(info.path()) else { continue };
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some((md5, name)) = line.split_once("  ") {
                wanted.take(package, name.trim_start_matches("./"), md5);
            }
        }
    }
    conffiles(&std::fs::read(folder.join("status")).unwrap_or_default(), &mut wanted);
    wanted.found
}

/// Configuration files as their packages shipped them, from dpkg's `status`.
fn conffiles(status: &[u8], wanted: &mut Wanted<'_>) {
    let mut package = String::new();
    let mut inside = false;
    for line in String::from_utf8_lossy(status).lines() {
        if let Some(name) = line.strip_prefix("Package: ") {
            name.clone_into(&mut package);
        }
        if !line.starts_with(' ') {
            inside = line.trim_end() == "Conffiles:";
            continue;
        }
        // ` /etc/ssh/moduli d41d8cd9…`, with `obsolete` or `remove-on-upgrade` behind it at times.
        if inside
            && let mut words = line.split_whitespace()
            && let (Some(name), Some(md5)) = (words.next(), words.next())
        {
            wanted.take(&package, name.trim_start_matches('/'), md5);
        }
    }
}

fn md5_of(path: &Path) -> String {
    let mut hash = Md5::new();
    let Ok(mut file) = File::open(path) else { return String::new() };
    let mut slice = vec![0; 64 << 10];
    loop {
        match file.read(&mut slice) {
            Ok(0) => return hex(&hash.finalize()),
            Ok(length) => hash.update(&slice[..length]),
            Err(_) => return String::new(),
        }
    }
}

/// Asks rpm. Its database can be locked for long; then the file counts as of no package.
fn rpm(root: &Path, question: &Question) -> Option<Owner> {
    let mut command = Command::new("rpm");
    if root != Path::new("/") {
        command.arg(format!("--root={}", root.display()));
    }
    command
        .args(["-qf", "--qf", "[%{=NAME}\t%{FILENAMES}\t%{FILEDIGESTS}\n]"])
        .arg(format!("/{}", question.name));
    rpm_owner(&bounded_output(command)?, question)
}

/// The owner in rpm's answer: lines of package, path and digest.
fn rpm_owner(answer: &str, question: &Question) -> Option<Owner> {
    let mut owner = None;
    for line in answer.lines() {
        let mut parts = line.split('\t');
        let (Some(package), Some(path), Some(digest)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if path.trim_start_matches('/') != question.name {
            continue;
        }
        let matches = match digest.len() {
            64 => digest.eq_ignore_ascii_case(&question.sha256),
            32 => digest.eq_ignore_ascii_case(&md5_of(&question.path)),
            _ => false,
        };
        owner = Some(Owner { package: package.to_owned(), matches });
        if matches {
            break;
        }
    }
    owner
}

/// What a command prints, if it ends in time.
fn bounded_output(mut command: Command) -> Option<String> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let stdout = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.take(MAX_RPM_OUTPUT).read_to_end(&mut text).map(|_| text)
    });
    let started = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_)) => break true,
            Ok(None) if started.elapsed() < RPM_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => break false,
        }
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let text = reader.join().ok()?.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use hengwei_protocol::identity::sha256;

    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn question(root: &Path, name: &str) -> Question {
        let path = root.join(name);
        let sha256 = hex(&sha256(&std::fs::read(&path).unwrap()));
        Question { name: name.to_owned(), path, sha256 }
    }

    fn md5(text: &str) -> String {
        hex(&Md5::digest(text.as_bytes()))
    }

    #[test]
    fn dpkg_knows_its_files_and_conffiles() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "usr/bin/good", "as shipped");
        write(root, "usr/bin/bad", "patched");
        write(root, "usr/bin/own", "nobody's");
        write(root, "usr/sbin/merged", "old path");
        write(root, "etc/ssh/moduli", "default");
        write(root, "etc/ssh/sshd_config", "edited");
        let sums = format!(
            "{}  usr/bin/good\n{}  usr/bin/bad\n{}  sbin/merged\n",
            md5("as shipped"),
            md5("original"),
            md5("old path")
        );
        write(root, "var/lib/dpkg/info/tools:amd64.md5sums", &sums);
        let status = format!(
            "Package: openssh-server\nStatus: install ok installed\nConffiles:\n /etc/ssh/moduli {}\n \
             /etc/ssh/sshd_config {} obsolete\nDescription: x\n /etc/ssh/sshd_config {}\n",
            md5("default"),
            md5("shipped"),
            md5("edited")
        );
        write(root, "var/lib/dpkg/status", &status);
        let names = [
            "usr/bin/good",
            "usr/bin/bad",
            "usr/bin/own",
            "usr/sbin/merged",
            "etc/ssh/moduli",
            "etc/ssh/sshd_config",
        ];
        let questions: Vec<Question> = names.iter().map(|name| question(root, name)).collect();
        let owners = owners(root, &questions);
        let check = |name: &str, expected: Option<(&str, bool)>| {
            let got = owners.get(name).map(|owner| (owner.package.as_str(), owner.matches));
            assert_eq!(got, expected, "{name}");
        };
        check("usr/bin/good", Some(("tools", true)));
        check("usr/bin/bad", Some(("tools", false)));
        check("usr/bin/own", None);
        check("usr/sbin/merged", Some(("tools", true)));
        check("etc/ssh/moduli", Some(("openssh-server", true)));
        check("etc/ssh/sshd_config", Some(("openssh-server", false)));
    }

    #[test]
    fn rpm_answers_with_package_path_and_digest() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "usr/bin/a", "a");
        let question = question(dir.path(), "usr/bin/a");
        let check = |digest: &str, expected: Option<bool>| {
            let answer = format!("x\t/usr/bin/b\t{digest}\ncoreutils\t/usr/bin/a\t{digest}\n");
            assert_eq!(rpm_owner(&answer, &question).map(|owner| owner.matches), expected);
        };
        check(&question.sha256, Some(true));
        check(&md5("a"), Some(true));
        check("", Some(false));
        assert_eq!(rpm_owner("file /usr/bin/a is not owned by any package\n", &question), None);
    }

    #[test]
    fn a_file_about_to_be_replaced_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usr/bin/x");
        assert!(!being_replaced(&path));
        write(dir.path(), "usr/bin/x.dpkg-new", "");
        assert!(being_replaced(&path));
    }
}

//! What package managers log: dpkg and apt of Debian and Ubuntu, yum and dnf of RHEL, openEuler, Kylin.
//!
//! dpkg writes a line per step; an entry of apt's history is several lines, joined, and says who asked
//! for it and by which command; its terminal log repeats what dpkg said. The command line of apt is the
//! caller's own words, one line of them, and stands behind its key, so it cannot imitate another key.

use std::borrow::Cow;

use super::out::Out;
use super::{Decoder, ISO, Line, Looks, time};
use crate::event::names;

pub(crate) const DPKG: Decoder = Decoder {
    name: "dpkg",
    datasets: &["dpkg"],
    programs: &["dpkg"],
    paths: &["/dpkg.log", "/alternatives.log"],
    looks: Looks { first: &[ISO], test: looks_like_dpkg },
    security: false,
    decode: dpkg,
};

pub(crate) const APT: Decoder = Decoder {
    name: "apt",
    datasets: &["apt"],
    programs: &["apt", "apt-get", "unattended-upgrade"],
    paths: &["apt/history.log", "apt/term.log"],
    looks: Looks { first: b"S", test: |line| line.starts_with("Start-Date: ") },
    security: false,
    decode: apt,
};

pub(crate) const YUM: Decoder = Decoder {
    name: "yum",
    datasets: &["yum"],
    // yum's own log has the step where syslog has the program.
    programs: &["yum", "dnf", "dnf-automatic", "Installed", "Updated", "Erased", "Upgraded"],
    paths: &["/yum.log", "/dnf.rpm.log", "/dnf.log"],
    looks: Looks { first: &[ISO], test: looks_like_dnf },
    security: false,
    decode: yum,
};

/// Packages of one entry that are kept.
const MAX_PACKAGES: usize = 512;

/// What dpkg does with a package.
const STEPS: &[(&str, &str, &str)] = &[
    ("install", "package_installed", "installation"),
    ("upgrade", "package_upgraded", "change"),
    ("remove", "package_removed", "deletion"),
    ("purge", "package_purged", "deletion"),
    ("disappear", "package_removed", "deletion"),
    ("configure", "package_configured", "change"),
    ("trigproc", "package_triggered", "change"),
];

/// `2026-03-01 10:00:00 WORD `, the words those of dpkg.
fn looks_like_dpkg(line: &str) -> bool {
    const STAMP: usize = 20;
    let Some(rest) = line.get(STAMP..) else { return false };
    let word = rest.split(' ').next().unwrap_or(rest);
    let known =
        STEPS.iter().any(|(name, ..)| *name == word) || matches!(word, "status" | "startup");
    known && time::iso(line.as_bytes()).is_some()
}

/// Reads one line of dpkg.
fn dpkg(line: &Line<'_>, out: &mut Out) -> bool {
    let read = match line.message.strip_prefix("update-alternatives ") {
        Some(rest) => alternative(rest, out),
        None => dpkg_step(line.message, out),
    };
    read.is_some()
}

/// `STAMP: run with ARGUMENTS`, `STAMP: link group NAME updated to point to PATH`: which program stands
/// behind a common name.
fn alternative(rest: &str, out: &mut Out) -> Option<()> {
    let (stamp, len) = time::iso(rest.as_bytes())?;
    let what = rest.get(len..)?.strip_prefix(": ")?;
    if let Some(arguments) = what.strip_prefix("run with ") {
        out.event("package", "alternatives_command");
        out.text(names::PROCESS_COMMAND_LINE, arguments);
    } else {
        let (name, path) = what.strip_prefix("link group ")?.split_once(" updated to point to ")?;
        out.event("package", "alternative_changed");
        out.word(names::EVENT_TYPE, "change");
        out.text(names::FILE_NAME, name);
        out.text(names::FILE_TARGET_PATH, path);
    }
    out.stamp(&stamp);
    Some(())
}

/// `STAMP STEP PACKAGE:ARCH OLD NEW`, `STAMP status STATE PACKAGE:ARCH VERSION`, `STAMP startup …`.
fn dpkg_step(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let rest = line.get(len..)?.strip_prefix(' ')?;
    let (word, rest) = rest.split_once(' ')?;
    out.word(names::EVENT_CATEGORY, "package");
    match word {
        "startup" => {
            out.word(names::EVENT_ACTION, "dpkg_started");
            out.some(names::EVENT_REASON, rest);
        }
        "conffile" => {
            let (path, decision) = rest.rsplit_once(' ')?;
            out.word(names::EVENT_ACTION, "package_configuration_file");
            out.text(names::FILE_PATH, path);
            out.text(names::EVENT_REASON, decision);
        }
        "status" => {
            let (state, rest) = rest.split_once(' ')?;
            let (package, version) = rest.split_once(' ')?;
            out.word(names::EVENT_ACTION, "package_status");
            out.text(names::EVENT_REASON, state);
            named(package, version, out);
        }
        word => {
            let (_, action, kind) = STEPS.iter().find(|(name, ..)| *name == word)?;
            let mut parts = rest.split(' ');
            let (package, old, new) = (parts.next()?, parts.next()?, parts.next()?);
            out.word(names::EVENT_ACTION, action);
            out.word(names::EVENT_TYPE, kind);
            named(package, if new == "<none>" { old } else { new }, out);
        }
    }
    out.word(names::PACKAGE_TYPE, "deb");
    out.stamp(&stamp);
    Some(())
}

/// `NAME:ARCHITECTURE` and a version.
fn named(package: &str, version: &str, out: &mut Out) {
    let (name, architecture) = package.split_once(':').unwrap_or((package, ""));
    out.some(names::PACKAGE_NAME, name);
    out.some(names::PACKAGE_ARCHITECTURE, architecture);
    if version != "<none>" {
        out.some(names::PACKAGE_VERSION, version);
    }
}

/// What apt did: the key of its history, the action, its type.
const HISTORY: &[(&str, &str, &str)] = &[
    ("Install", "package_installed", "installation"),
    ("Reinstall", "package_reinstalled", "change"),
    ("Upgrade", "package_upgraded", "change"),
    ("Downgrade", "package_downgraded", "change"),
    ("Remove", "package_removed", "deletion"),
    ("Purge", "package_purged", "deletion"),
];

/// Reads one entry of apt's history, or one line of its logs.
fn apt(line: &Line<'_>, out: &mut Out) -> bool {
    let mut known = false;
    for part in line.message.split('\n') {
        let Some((key, value)) = part.split_once(": ") else {
            known |= terminal(part, out);
            continue;
        };
        if let Some((_, action, kind)) = HISTORY.iter().find(|(name, ..)| *name == key) {
            out.word(names::EVENT_ACTION, action);
            out.word(names::EVENT_TYPE, kind);
            history(value, out);
        } else {
            match key {
                "Start-Date" => dated(value, out),
                "End-Date" => {}
                "Log started" => {
                    dated(value, out);
                    out.word(names::EVENT_ACTION, "apt_started");
                }
                "Log ended" => {
                    dated(value, out);
                    out.word(names::EVENT_ACTION, "apt_ended");
                }
                "Commandline" => out.some(names::PROCESS_COMMAND_LINE, value),
                "Requested-By" => requester(value, out),
                "Error" => {
                    out.outcome(false);
                    out.some(names::ERROR_MESSAGE, value);
                }
                "Comment" => out.some(names::EVENT_REASON, value),
                _ => continue,
            }
        }
        known = true;
    }
    if known {
        out.word(names::EVENT_CATEGORY, "package");
        out.word(names::PACKAGE_TYPE, "deb");
    }
    known
}

/// `2026-03-01  10:00:00`, with two blanks.
fn dated(value: &str, out: &mut Out) {
    if let Some((date, clock)) = value.split_once("  ")
        && let Some((stamp, _)) = time::iso(format!("{date} {clock}").as_bytes())
    {
        out.stamp(&stamp);
    }
}

/// `liwei (1001)`.
fn requester(value: &str, out: &mut Out) {
    let (name, id) = value.rsplit_once(" (").unwrap_or((value, ""));
    out.some(names::USER_NAME, name);
    if let Some(id) = id.strip_suffix(')') {
        out.digits(names::USER_ID, id);
    }
}

/// `nmap:amd64 (7.93), libx:amd64 (5.3, automatic), y:amd64 (1, 2)`.
fn history(value: &str, out: &mut Out) {
    let packages = value.split("), ").take(MAX_PACKAGES);
    for package in packages {
        let (name, _) = package.split_once(" (").unwrap_or((package, ""));
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        out.some(names::PACKAGE_NAME, name);
    }
}

/// A line of the terminal log, which repeats what dpkg says.
fn terminal(line: &str, out: &mut Out) -> bool {
    const LINES: &[(&str, &str, &str)] = &[
        ("Unpacking ", "package_unpacked", "installation"),
        ("Setting up ", "package_configured", "change"),
        ("Removing ", "package_removed", "deletion"),
        ("Purging configuration files for ", "package_purged", "deletion"),
        ("Processing triggers for ", "package_triggered", "change"),
    ];
    let Some((rest, action, kind)) = LINES
        .iter()
        .find_map(|(start, action, kind)| Some((line.strip_prefix(start)?, action, kind)))
    else {
        return false;
    };
    let Some((package, version)) = rest.split_once(" (") else { return false };
    let Some((version, _)) = version.split_once(')') else { return false };
    out.word(names::EVENT_ACTION, action);
    out.word(names::EVENT_TYPE, kind);
    named(package, version, out);
    true
}

/// What yum and dnf did.
const RPM: &[(&str, &str, &str)] = &[
    ("Installed", "package_installed", "installation"),
    ("Dep-Installed", "package_installed", "installation"),
    ("Updated", "package_upgraded", "change"),
    ("Dep-Updated", "package_upgraded", "change"),
    ("Upgraded", "package_upgraded", "change"),
    ("Upgrade", "package_upgraded", "change"),
    ("Reinstalled", "package_reinstalled", "change"),
    ("Reinstall", "package_reinstalled", "change"),
    ("Downgrade", "package_downgraded", "change"),
    ("Downgraded", "package_downgraded", "change"),
    ("Erased", "package_removed", "deletion"),
    ("Erase", "package_removed", "deletion"),
    ("Removed", "package_removed", "deletion"),
    ("Obsoleted", "package_removed", "deletion"),
];

/// `2026-03-01T10:00:00+0800 SUBDEBUG `.
fn looks_like_dnf(line: &str) -> bool {
    const STAMP: usize = 20;
    let Some(rest) = line.get(STAMP..) else { return false };
    let level = rest.split(' ').nth(1).unwrap_or("");
    let known = matches!(level, "SUBDEBUG" | "DDEBUG");
    known && line.as_bytes().get(10) == Some(&b'T') && time::iso(line.as_bytes()).is_some()
}

/// Reads one line of yum or dnf.
fn yum(line: &Line<'_>, out: &mut Out) -> bool {
    let step = line.program.filter(|program| RPM.iter().any(|(name, ..)| name == program));
    let read = match step {
        Some(step) => rpm(step, line.message, out)
            .map(|()| out.rename(names::PROCESS_NAME, names::LOG_SYSLOG_APPNAME)),
        None => yum_line(line.message, out),
    };
    read.is_some()
}

/// `[STAMP LEVEL ]Installed: NAME-VERSION-RELEASE.ARCH`, `STAMP DDEBUG Command: dnf install x`.
fn yum_line(line: &str, out: &mut Out) -> Option<()> {
    let text = match time::iso(line.as_bytes()) {
        Some((stamp, len)) => {
            let (level, text) = line.get(len..)?.strip_prefix(' ')?.split_once(' ')?;
            out.stamp(&stamp);
            out.some(names::LOG_LEVEL, level);
            text
        }
        None => line,
    };
    let (key, value) = text.split_once(": ")?;
    if key == "Command" {
        out.event("package", "package_command");
        out.text(names::PROCESS_COMMAND_LINE, value);
        return Some(());
    }
    rpm(key, value, out)
}

fn rpm(step: &str, package: &str, out: &mut Out) -> Option<()> {
    let (_, action, kind) = RPM.iter().find(|(name, ..)| *name == step)?;
    let package = package.trim();
    if package.is_empty() || package.contains(' ') {
        return None;
    }
    out.event("package", action);
    out.word(names::EVENT_TYPE, kind);
    out.word(names::PACKAGE_TYPE, "rpm");
    let (name, version, architecture) = nevra(package);
    out.text(names::PACKAGE_NAME, name);
    if !version.is_empty() {
        match version {
            Cow::Borrowed(version) => out.text(names::PACKAGE_VERSION, version),
            Cow::Owned(version) => out.owned(names::PACKAGE_VERSION, &version),
        }
    }
    out.some(names::PACKAGE_ARCHITECTURE, architecture);
    Some(())
}

/// `[EPOCH:]NAME-[EPOCH:]VERSION-RELEASE.ARCH`, or a name alone.
fn nevra(package: &str) -> (&str, Cow<'_, str>, &str) {
    let (epoch, package) = match package.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
        _ => ("", package),
    };
    let split = || {
        let (rest, architecture) = package.rsplit_once('.')?;
        let (head, _) = rest.rsplit_once('-')?;
        let (name, _) = head.rsplit_once('-')?;
        Some((name, &rest[name.len() + 1..], architecture))
    };
    let Some((name, version, architecture)) = split() else { return (package, "".into(), "") };
    let version = if epoch.is_empty() {
        Cow::Borrowed(version)
    } else {
        Cow::Owned(format!("{epoch}:{version}"))
    };
    (name, version, architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_rpm() {
        for (text, name, version, architecture) in [
            ("nmap-3:7.92-1.el9.x86_64", "nmap", "3:7.92-1.el9", "x86_64"),
            ("2:nmap-5.51-6.el6.x86_64", "nmap", "2:5.51-6.el6", "x86_64"),
            ("python3-dnf-4.14.0-8.oe2403.noarch", "python3-dnf", "4.14.0-8.oe2403", "noarch"),
            ("nmap", "nmap", "", ""),
            ("-", "-", "", ""),
            (".-.", ".-.", "", ""),
        ] {
            let (found, its, arch) = nevra(text);
            assert_eq!((found, &*its, arch), (name, version, architecture), "{text}");
        }
    }
}

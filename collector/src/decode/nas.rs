//! Network storage: Synology's DSM and QNAP's QuLog.
//!
//! In: `User [admin] from [203.0.113.9] failed to log in via [DSM] due to authorization failure.` of `Connection`,
//! `Event: delete, Path: /emr/a.docx, File/Folder: File, Size: 1 KB, User: lina, IP: 192.0.2.7` of `WinFileService`; and
//! `conn log: Users: admin, Source IP: 203.0.113.9, Computer name: ---, Connection type: HTTPS, Accessed resources: …, Action: Login
//! Fail`. Out: logins, and what was done with files, named as Samba's own log names it.
//!
//! A file's name is its writer's and may hold commas and labels: user and address are read from the end of
//! the line, the path is what is between.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks, network, scan};
use crate::event::names;

pub(crate) const SYNOLOGY: Decoder = Decoder {
    name: "synology",
    datasets: &["synology"],
    programs: &["Connection", "WinFileService"],
    paths: &["synology"],
    looks: Looks { first: b"CWUE", test: is_synology },
    security: false,
    decode: synology,
};

pub(crate) const QNAP: Decoder = Decoder {
    name: "qnap",
    datasets: &["qnap"],
    programs: &["qulogd", "qlogd"],
    paths: &["qnap"],
    looks: Looks { first: b"ce", test: is_qnap },
    security: false,
    decode: qnap,
};

const ROWS: &[Row] = &[
    row("User [{user}] from [{ip}] failed to log in via [{method}] due to {reason}", "authentication", "login").failed(),
    row("User [{user}] from [{ip}] failed to sign in to [{*}] via [{method}] due to {reason}", "authentication", "login").failed(),
    row("User [{user}] from [{ip}({*})] failed to log in via [{method}] due to {reason}", "authentication", "login").failed(),
    row("User [{user}] from [{ip}] logged in successfully via [{method}].", "authentication", "login").ok(),
    row("User [{user}] from [{ip}({*})] logged in successfully via [{method}].", "authentication", "login").ok(),
    row("User [{user}] from [{ip}] signed in to [{*}] successfully via [{method}].", "authentication", "login").ok(),
    row("User [{user}] from [{ip}] logged out the server via [{method}]{*}", "authentication", "logout").ok(),
    row("User [{user}] from [{ip}({*})] via [{method}] accessed shared folder [{hengwei.share.name*}].", "file", "connect").ok(),
    row("User [{user}] from [{ip}] via [{method}] accessed shared folder [{hengwei.share.name*}].", "file", "connect").ok(),
    row("Host [{ip}] has been blocked via [{method}].", "intrusion_detection", "address_blocked").kind("denied"),
    row("Host [{ip}] was blocked via [{method}].", "intrusion_detection", "address_blocked").kind("denied"),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));

/// What was done with a file: as it is written, as Samba names it, its type.
const DONE: &[(&str, &str, &str)] = &[
    ("delete", "unlink", "deletion"),
    ("rename", "rename", "change"),
    ("move", "rename", "change"),
    ("read", "open", "access"),
    ("write", "open", "change"),
    ("create", "open", "creation"),
    ("mkdir", "mkdirat", "creation"),
    ("upload", "open", "creation"),
    ("add", "open", "creation"),
    ("download", "open", "access"),
    ("copy", "open", "access"),
    ("permission change", "chmod", "change"),
];

fn is_synology(line: &str) -> bool {
    line.starts_with("WinFileService Event: ")
        || line.starts_with("Connection: User [")
        || line.starts_with("Connection: Host [")
        || line.starts_with("Event: ") && line.contains(", Path: ") && line.contains(", IP: ")
        || line.starts_with("User [") && line.contains("] from [") && line.contains(" via [")
}

fn is_qnap(line: &str) -> bool {
    line.starts_with("conn log: Users: ") || line.starts_with("event log: Users: ")
}

fn synology(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    let message = message.strip_prefix("Connection: ").unwrap_or(message);
    let message = message.strip_prefix("WinFileService ").unwrap_or(message);
    let read = match message.strip_prefix("Event: ") {
        Some(event) => file_event(event, out),
        None => SAID.read(message.trim(), out).map(|_| ()),
    };
    if read.is_some() {
        out.word(names::OBSERVER_VENDOR, "Synology");
    }
    read.is_some()
}

/// `delete, Path: PATH, File/Folder: File, Size: 1 KB, User: lina, IP: 192.0.2.7`.
fn file_event(event: &str, out: &mut Out) -> Option<()> {
    let (what, rest) = event.split_once(", Path: ")?;
    let (rest, address) = rest.rsplit_once(", IP: ")?;
    let (rest, user) = rest.rsplit_once(", User: ")?;
    let (path, _) = rest.rsplit_once(", File/Folder: ")?;
    out.address(names::SOURCE_IP, scan::address(address.trim())?);
    out.some(names::USER_NAME, user);
    done(what, path, out);
    Some(())
}

fn done(what: &str, path: &str, out: &mut Out) {
    out.word(names::EVENT_CATEGORY, "file");
    match DONE.iter().find(|(word, ..)| what.eq_ignore_ascii_case(word)) {
        Some((_, action, kind)) => {
            out.word(names::EVENT_ACTION, action);
            out.word(names::EVENT_TYPE, kind);
        }
        None => network::lower(names::EVENT_ACTION, what, out),
    }
    out.outcome(true);
    match path.split_once(" -> ") {
        Some((from, to)) if !to.contains(" -> ") => {
            out.some(names::FILE_PATH, from);
            out.some(names::FILE_TARGET_PATH, to);
        }
        _ => out.some(names::FILE_PATH, path),
    }
}

fn qnap(line: &Line<'_>, out: &mut Out) -> bool {
    let read = match line.message.strip_prefix("conn log: Users: ") {
        Some(rest) => connection(rest, out),
        None => line.message.strip_prefix("event log: Users: ").and_then(|rest| event(rest, out)),
    };
    if read.is_some() {
        out.word(names::OBSERVER_VENDOR, "QNAP");
    }
    read.is_some()
}

/// `USER, Source IP: A, Computer name: N, Connection type: T, Accessed resources: R, Action: X`.
fn connection(rest: &str, out: &mut Out) -> Option<()> {
    let (rest, what) = rest.rsplit_once(", Action: ")?;
    // Both the user and the path are the peer's: where a label stands twice nobody can say whose it is.
    if rest.matches(", Source IP: ").nth(1).is_some() {
        out.event("authentication", "unclear");
        out.problem("the line may be read in two ways: whose it is is not said");
        return Some(());
    }
    let (head, path) = rest.split_once(", Accessed resources: ")?;
    let (head, method) = head.rsplit_once(", Connection type: ")?;
    let (head, computer) = head.rsplit_once(", Computer name: ")?;
    let (user, address) = head.rsplit_once(", Source IP: ")?;
    out.address(names::SOURCE_IP, scan::address(address)?);
    out.some(names::USER_NAME, user);
    if computer != "---" {
        out.some(names::SOURCE_DOMAIN, computer);
    }
    network::lower(names::HENGWEI_AUTH_METHOD, method, out);
    let what = what.trim_end_matches('.');
    let (action, success) = match what {
        "Login Fail" => ("login", false),
        "Login Success" | "Login OK" => ("login", true),
        "Logout" => ("logout", true),
        _ => {
            done(what, path, out);
            return Some(());
        }
    };
    out.event("authentication", action);
    out.outcome(success);
    out.security = true;
    Some(())
}

/// `USER, Source IP: A, …, Category: C, Content: TEXT`.
fn event(rest: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = rest.split_once(", Source IP: ")?;
    let (address, rest) = rest.split_once(',')?;
    out.some(names::USER_NAME, user);
    out.address(names::SOURCE_IP, scan::address(address)?);
    let (_, text) = rest.split_once("Content: ")?;
    out.some(names::EVENT_REASON, text);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(ROWS);
    }
}

//! The logs of vsftpd: its own format, in a file or by syslog, and the older xferlog.
//!
//! User names and the names of files are what the client sent. A login's address is written behind the
//! name and a transfer's path behind the address, so the one is read from the end and the other from the
//! beginning; a line in which the client stands more than once names neither user nor address.

use super::out::Out;
use super::{Decoder, Line, Looks, pam, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "vsftpd",
    datasets: &["vsftpd"],
    programs: &["vsftpd"],
    paths: &["vsftpd", "xferlog"],
    looks: Looks {
        first: b"SMTWF",
        test: |line| stamped(line).is_some_and(|(_, rest)| rest.starts_with("[pid ")),
    },
    security: true,
    decode,
};

/// What stands between what was done and whose client did it.
const CLIENT: &str = ": Client \"";

/// What was tried: the words of the log, the category, the action.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("CONNECT", "network", "ftp_connect"),
    ("FTP command", "network", "ftp_command"),
    ("FTP response", "network", "ftp_response"),
    ("DEBUG", "network", "ftp_message"),
    ("LOGIN", "authentication", "ftp_login"),
    ("UPLOAD", "file", "file_uploaded"),
    ("DOWNLOAD", "file", "file_downloaded"),
    ("DELETE", "file", "file_deleted"),
    ("RENAME", "file", "file_renamed"),
    ("MKDIR", "file", "directory_created"),
    ("RMDIR", "file", "directory_deleted"),
    ("CHMOD", "file", "file_mode_changed"),
    ("APPEND", "file", "file_uploaded"),
];

/// `Sun Mar  1 10:00:00 2026 TEXT`.
fn stamped(line: &str) -> Option<(time::Stamp, &str)> {
    const STAMP: usize = 24;
    let rest = line.get(STAMP..)?.strip_prefix(' ')?;
    Some((time::asctime(line.get(..STAMP)?.as_bytes())?, rest))
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let read = match stamped(line.message) {
        Some((stamp, rest)) => {
            out.stamp(&stamp);
            if rest.starts_with('[') { own(rest, out) } else { transfer(rest, out) }
        }
        None => own(line.message, out),
    };
    read.is_some()
}

/// `[pid N] [USER] OK LOGIN: Client "ADDRESS", "PATH", N bytes, …`, `[pid N] CONNECT: Client "ADDRESS"`.
fn own(text: &str, out: &mut Out) -> Option<()> {
    let (pid, text) = match text.strip_prefix("[pid ") {
        Some(rest) => rest.split_once("] ")?,
        None => ("", text),
    };
    if !pid.is_empty() {
        out.digits(names::PROCESS_PID, pid);
    }
    if text.matches(CLIENT).nth(1).is_some() {
        return imitated(text, out);
    }
    let (head, rest) = text.split_once(CLIENT)?;
    let Tried { user, success, category, action } = tried(head)?;
    let (address, rest) = rest.split_once('"')?;
    out.event(category, action);
    if let Some(success) = success {
        out.outcome(success);
    }
    out.some(names::USER_NAME, user);
    match scan::address(address) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_DOMAIN, address),
    }
    let Some(rest) = rest.strip_prefix(", ") else { return Some(()) };
    let (said, rest) =
        rest.strip_prefix('"').and_then(|rest| rest.rsplit_once('"')).unwrap_or((rest, ""));
    match (category, action) {
        ("file", "file_renamed") => {
            // Both names, with a blank between them that may be part of either.
            out.text(names::EVENT_REASON, said);
            if said.matches(' ').count() == 1
                && let Some((from, to)) = said.split_once(' ')
            {
                out.text(names::FILE_PATH, from);
                out.text(names::FILE_TARGET_PATH, to);
            }
        }
        ("file", _) => out.some(names::FILE_PATH, said),
        (_, "ftp_command" | "ftp_response") => out.some(names::EVENT_REASON, said),
        _ => {}
    }
    if let Some(size) = rest.strip_prefix(", ").and_then(|rest| rest.split_once(" bytes")) {
        out.digits(names::FILE_SIZE, size.0);
    }
    Some(())
}

/// A line in which the client stands more than once: a name or a path imitates the log. What was tried is
/// said only where it is the same from both ends, or a login that failed.
fn imitated(text: &str, out: &mut Out) -> Option<()> {
    let ends = [text.split_once(CLIENT)?.0, text.rsplit_once(CLIENT)?.0].map(tried);
    let mut found = ends.iter().flatten();
    let (first, last) = (found.next()?, found.next());
    let refused = |tried: &&Tried<'_>| tried.action == "ftp_login" && tried.success == Some(false);
    let certain = match last {
        None => Some(first),
        Some(last) if last.action == first.action && last.success == first.success => Some(first),
        Some(last) => [first, last].into_iter().find(refused),
    };
    match certain {
        Some(tried) => {
            out.event(tried.category, tried.action);
            if let Some(success) = tried.success {
                out.outcome(success);
            }
        }
        None => out.event("network", "ftp_message"),
    }
    out.problem("the client stands in the line more than once: no user or address is taken");
    Some(())
}

/// What stands in front of the client.
struct Tried<'a> {
    user: &'a str,
    success: Option<bool>,
    category: &'static str,
    action: &'static str,
}

/// `[USER] OK WHAT`, without the user where nobody is logged in yet.
fn tried(head: &str) -> Option<Tried<'_>> {
    let (user, what) = match head.strip_prefix('[') {
        Some(rest) => rest.rsplit_once("] ")?,
        None => ("", head),
    };
    let (success, word) = match what.split_once(' ') {
        Some(("OK", word)) => (Some(true), word),
        Some(("FAIL", word)) => (Some(false), word),
        _ => (None, what),
    };
    let (_, category, action) = OPERATIONS.iter().find(|(name, ..)| *name == word)?;
    Some(Tried { user, success, category, action })
}

/// `SECONDS HOST SIZE FILE TYPE FLAG DIRECTION ACCESS USER SERVICE METHOD ID STATUS`: the file may hold
/// blanks, so what follows it is read from the end.
fn transfer(text: &str, out: &mut Out) -> Option<()> {
    let mut head = text.trim_start().splitn(4, ' ');
    let (seconds, host, size, rest) = (head.next()?, head.next()?, head.next()?, head.next()?);
    seconds.parse::<u64>().ok()?;
    let size: i64 = size.parse().ok()?;
    let mut tail = rest.rsplitn(10, ' ');
    let status = tail.next()?;
    let user = tail.nth(3)?;
    let direction = tail.nth(1)?;
    let file = tail.nth(2)?;
    let action = match direction {
        "i" => "file_uploaded",
        "o" => "file_downloaded",
        "d" => "file_deleted",
        _ => return None,
    };
    out.event("file", action);
    out.outcome(status == "c");
    out.some(names::USER_NAME, user);
    out.text(names::FILE_PATH, file);
    out.integer(names::FILE_SIZE, size);
    match scan::address(host) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_DOMAIN, host),
    }
    Some(())
}

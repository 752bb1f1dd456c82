//! What OpenSSH's SFTP server logs of files that are read, written, moved and removed over it.
//!
//! Paths are the client's own words, in double quotes that nobody escapes; what the server adds stands
//! behind the last quote. Where two paths stand in a line and one of them imitates what is between the two,
//! they are kept as one.

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "sftp",
    datasets: &["sftp"],
    programs: &["sftp-server", "internal-sftp"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode: |line: &Line<'_>, out: &mut Out| read(line.message, out).is_some(),
};

/// What stands between the two paths of a rename.
const BETWEEN: &str = "\" new \"";
/// What is done to a path: the word, the action, its type.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("opendir ", "directory_listed", "access"),
    ("remove name ", "file_deleted", "deletion"),
    ("mkdir name ", "directory_created", "creation"),
    ("rmdir name ", "directory_deleted", "deletion"),
    ("set \"", "file_attributes_changed", "change"),
];

fn read(message: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = message.strip_prefix("session opened for local user ") {
        return session(rest, "sftp_session_opened", "start", out);
    }
    if let Some(rest) = message.strip_prefix("session closed for local user ") {
        return session(rest, "sftp_session_closed", "end", out);
    }
    if let Some(rest) = message.strip_prefix("open \"") {
        let (path, flags) = rest.rsplit_once("\" flags ")?;
        let writes = flags.contains("WRITE") || flags.contains("APPEND");
        told(if writes { "file_opened_for_writing" } else { "file_opened" }, out);
        out.word(names::EVENT_TYPE, if writes { "change" } else { "access" });
        out.text(names::FILE_PATH, path);
        out.text(names::EVENT_REASON, flags);
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("close \"") {
        let (path, bytes) = rest.rsplit_once("\" bytes read ")?;
        let (read, written) = bytes.split_once(" written ")?;
        let (read, written): (i64, i64) = (read.parse().ok()?, written.parse().ok()?);
        let (action, kind) = match (read, written) {
            (0, 0) => ("file_closed", "info"),
            (_, 0) => ("file_downloaded", "access"),
            _ => ("file_uploaded", "change"),
        };
        told(action, out);
        out.word(names::EVENT_TYPE, kind);
        out.text(names::FILE_PATH, path);
        out.integer(names::SOURCE_BYTES, written);
        out.integer(names::DESTINATION_BYTES, read);
        return Some(());
    }
    for (start, action) in [("rename old \"", "file_renamed"), ("symlink old \"", "file_linked")] {
        if let Some(rest) = message.strip_prefix(start) {
            let (old, new) = rest.split_once(BETWEEN)?;
            told(action, out);
            out.word(names::EVENT_TYPE, "change");
            if new.contains(BETWEEN) {
                out.problem("names that hold quotes cannot be told apart");
                out.text(names::FILE_PATH, rest.strip_suffix('"').unwrap_or(rest));
                return Some(());
            }
            out.text(names::FILE_PATH, old);
            out.text(names::FILE_TARGET_PATH, new.strip_suffix('"').unwrap_or(new));
            return Some(());
        }
    }
    let (start, action, kind) = OPERATIONS.iter().find(|(start, ..)| message.starts_with(start))?;
    let rest = message.strip_prefix(start)?.trim_start_matches('"');
    let (path, what) = rest.rsplit_once('"')?;
    told(action, out);
    out.word(names::EVENT_TYPE, kind);
    out.text(names::FILE_PATH, path);
    out.some(names::EVENT_REASON, what.trim());
    Some(())
}

fn told(action: &'static str, out: &mut Out) {
    out.event("file", action);
}

/// `USER from [ADDRESS]`.
fn session(rest: &str, action: &'static str, kind: &'static str, out: &mut Out) -> Option<()> {
    let (user, from) = rest.rsplit_once(" from ")?;
    let address = scan::address(from)?;
    out.event("session", action);
    out.word(names::EVENT_TYPE, kind);
    out.text(names::USER_NAME, user);
    out.address(names::SOURCE_IP, address);
    Some(())
}

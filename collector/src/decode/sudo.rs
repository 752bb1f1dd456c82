//! Messages of sudo.
//!
//! `alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`, with a reason in front
//! of TTY when it was refused. Directory and command are the caller's own words and nothing in
//! them is escaped: a directory named `x ; USER=nobody ; COMMAND=/bin/true` cannot be told from the
//! fields it imitates. Such a line says so, and every user it may mean is kept, so that a rule
//! about root still sees root.

use super::out::Out;
use super::{Decoder, Line, Looks, pam};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "sudo",
    datasets: &["sudo"],
    programs: &["sudo"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

const IMITATED: &str =
    "the line may mean several commands: a directory or an argument imitates sudo's own fields";
/// How many users an ambiguous line may mean.
const MAX_USERS: usize = 8;

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = message.trim_start().split_once(" : ")?;
    let user = user.trim_end();
    if let Some(rest) = rest.strip_prefix("(command continued) ") {
        out.event("process", "sudo_continued");
        out.some(names::USER_NAME, user);
        out.some(names::PROCESS_COMMAND_LINE, rest);
        return Some(());
    }
    let (reason, keys) = match rest.strip_prefix("TTY=") {
        Some(_) => ("", rest),
        None => match rest.split_once(" ; TTY=") {
            Some((reason, _)) => (reason, &rest[reason.len() + " ; ".len()..]),
            // Without a terminal sudo leaves TTY out.
            None if rest.starts_with("PWD=") || rest.starts_with("USER=") => ("", rest),
            None => match rest.split_once(" ; ") {
                Some((reason, keys)) => (reason, keys),
                None => (rest, ""),
            },
        },
    };
    let known = keys_of(keys, out);
    if reason.is_empty() && !known {
        return None;
    }
    if !reason.is_empty() && !known && !is_incident(reason) {
        return None;
    }
    let allowed = reason.is_empty();
    out.word(names::EVENT_CATEGORY, "authentication");
    out.word(names::EVENT_ACTION, "sudo");
    out.outcome(allowed);
    out.some(names::USER_NAME, user);
    out.some(names::EVENT_REASON, reason);
    Some(())
}

fn is_incident(reason: &str) -> bool {
    ["NOT in sudoers", "NOT authorized", "incorrect password", "not allowed", "is required"]
        .iter()
        .any(|words| reason.contains(words))
}

/// The keys up to the command, which is the rest of the line; whether there was one.
fn keys_of(keys: &str, out: &mut Out) -> bool {
    let mut rest = keys;
    loop {
        if let Some(command) = rest.strip_prefix("COMMAND=") {
            out.text(names::PROCESS_COMMAND_LINE, command);
            let executable = command.split_once(' ').map_or(command, |(first, _)| first);
            out.some(names::PROCESS_EXECUTABLE, executable);
            if command.contains(" ; COMMAND=") {
                ambiguous(command, out);
            }
            return true;
        }
        let (pair, behind) = rest.split_once(" ; ").unwrap_or((rest, ""));
        let (key, value) = pair.split_once('=').unwrap_or_default();
        match key {
            "TTY" => out.some(names::HENGWEI_AUTH_TTY, value),
            "PWD" => out.some(names::PROCESS_WORKING_DIRECTORY, value),
            "USER" => out.some(names::USER_EFFECTIVE_NAME, value),
            "GROUP" => out.some(names::GROUP_NAME, value),
            "HOST" | "CWD" | "CHROOT" | "TSID" | "ENV" => {}
            _ => out.problem(IMITATED),
        }
        if behind.is_empty() {
            return false;
        }
        rest = behind;
    }
}

fn ambiguous(command: &str, out: &mut Out) {
    out.problem(IMITATED);
    for (at, key) in command.match_indices(" ; USER=").take(MAX_USERS) {
        let user = &command[at + key.len()..];
        let user = user.split_once(" ; ").map_or(user, |(user, _)| user);
        out.some(names::USER_EFFECTIVE_NAME, user);
    }
}

//! Two programs that watch what people do on a host: fail2ban, which bans addresses, and snoopy, which logs
//! each command.
//!
//! fail2ban writes the same lines to its own file and to syslog. The address it bans is the one thing that
//! matters there; the jail stands in brackets before it. snoopy writes each command with who ran it in
//! brackets before it. The folder in those brackets may be called anything: a head in which a key stands
//! twice is believed about nobody. The command is what somebody typed and stands last, so nothing in it
//! reaches the head.

use super::out::Out;
use super::{Decoder, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const FAIL2BAN: Decoder = Decoder {
    name: "fail2ban",
    datasets: &["fail2ban"],
    programs: &[
        "fail2ban",
        "fail2ban.actions",
        "fail2ban.filter",
        "fail2ban.server",
        "fail2ban.jail",
        "fail2ban-server",
        "fail2ban.observer",
        "fail2ban.database",
        "fail2ban.utils",
    ],
    paths: &["fail2ban"],
    looks: Looks { first: super::DIGITS, test: |line| own_head(line).is_some() },
    security: true,
    decode: |line, out| fail2ban(line, out).is_some(),
};

pub(crate) const SNOOPY: Decoder = Decoder {
    name: "snoopy",
    datasets: &["snoopy"],
    programs: &["snoopy"],
    paths: &["snoopy"],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| snoopy(line.message, out).is_some(),
};

/// Names of fail2ban's levels.
const LEVELS: &[(&str, &str)] = &[
    ("DEBUG", "debug"),
    ("INFO", "info"),
    ("NOTICE", "notice"),
    ("WARNING", "warning"),
    ("ERROR", "error"),
    ("CRITICAL", "critical"),
];

/// `2026-11-22 08:00:00,123 fail2ban.actions        [811]: NOTICE  TEXT`: stamp, part, pid, the rest.
fn own_head(line: &str) -> Option<(time::Stamp, &str, &str, &str)> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let rest = line.get(len..)?.strip_prefix(" fail2ban.")?;
    let (part, rest) = rest.split_once('[')?;
    let (pid, rest) = rest.split_once("]: ")?;
    Some((stamp, part.trim_end(), pid, rest))
}

fn fail2ban(line: &Line<'_>, out: &mut Out) -> Option<()> {
    let mut text = line.message;
    if let Some((stamp, part, pid, rest)) = own_head(text) {
        out.stamp(&stamp);
        out.text(names::LOG_LOGGER, part);
        out.digits(names::PROCESS_PID, pid);
        text = rest;
    } else if let Some((part, rest)) =
        text.strip_prefix("fail2ban.").and_then(|rest| rest.split_once(": "))
        && part.len() < 32
    {
        text = rest;
    }
    let (word, rest) = text.split_once(' ')?;
    let level = LEVELS.iter().find(|(known, _)| *known == word);
    let said = match level {
        Some((_, level)) => {
            out.word(names::LOG_LEVEL, level);
            rest.trim_start()
        }
        None => text,
    };
    let (jail, what) = match said.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((jail, what)) => (jail, what),
        None => ("", said),
    };
    out.some(names::RULE_NAME, jail);
    let actions = [
        ("Restore Ban ", "ban", "denied"),
        ("Reban ", "ban", "denied"),
        ("Ban ", "ban", "denied"),
        ("Unban ", "unban", "allowed"),
        ("Found ", "attempt_found", "info"),
        ("Ignore ", "attempt_ignored", "info"),
    ];
    let found = actions
        .iter()
        .find_map(|(word, action, kind)| Some((what.strip_prefix(word)?, *action, *kind)));
    if let Some((rest, action, kind)) = found {
        out.event("intrusion_detection", action);
        out.word(names::EVENT_TYPE, kind);
        if let Some(address) = rest.split(' ').next().and_then(scan::address) {
            out.address(names::SOURCE_IP, address);
        }
        return Some(());
    }
    let jailed = said.strip_prefix("Jail '").and_then(|rest| rest.split_once('\''));
    let action = match () {
        () if what.ends_with(" already banned") => "already_banned",
        () if jailed.is_some_and(|(_, rest)| rest.trim() == "started") => "jail_started",
        () if jailed.is_some_and(|(_, rest)| rest.trim() == "stopped") => "jail_stopped",
        () if said.starts_with("Starting Fail2ban") => "started",
        () if said.starts_with("Shutdown in progress") || said.starts_with("Exiting Fail2ban") => {
            "stopped"
        }
        () if level.is_some() => "message",
        () => return None,
    };
    out.event("intrusion_detection", action);
    if let Some((jail, _)) = jailed {
        out.some(names::RULE_NAME, jail);
    }
    out.text(names::EVENT_REASON, said);
    Some(())
}

/// `[login:li ssh:(203.0.113.7 50000 192.0.2.9 22) username:root uid:0 tty:/dev/pts/0 cwd:/root
/// filename:/usr/bin/ls]: ls -l`.
fn snoopy(text: &str, out: &mut Out) -> Option<()> {
    // The folder may hold any character, the file as well: the command is behind the last `]: ` whose
    // brackets end in a file, and a head in which a key stands twice is believed about nobody.
    let inner = text.strip_prefix('[')?;
    let (head, command) = inner.split_once("]: ")?;
    if !head.contains("uid:") && !head.contains("filename:") {
        return None;
    }
    out.event("process", "executed");
    out.some(names::PROCESS_COMMAND_LINE, command);
    let twice = ["uid:", " filename:", " cwd:", "login:"]
        .iter()
        .any(|key| head.matches(key).count() > 1 && !(*key == "uid:" && head.contains("euid:")));
    if twice || command.contains("]: ") && command.contains(" filename:") {
        out.problem("the head holds a key more than once: nobody is named");
        return Some(());
    }
    let value = |key: &str| scan::value(head, key).filter(|value| *value != "(undefined)");
    let number = |id: &&str| id.parse::<u32>().is_ok();
    if let Some(uid) = value("uid:") {
        // Debian's pattern: `uid:li(1000)/root(0)`, the user and the one he acts as.
        let (real, effective) = uid.split_once('/').unwrap_or((uid, ""));
        match named(real) {
            Some((name, id)) => {
                out.some(names::USER_NAME, name);
                out.digits(names::USER_ID, id);
                if let Some((name, id)) = named(effective) {
                    out.some(names::USER_EFFECTIVE_NAME, name);
                    out.digits(names::USER_EFFECTIVE_ID, id);
                }
            }
            None if number(&uid) => out.digits(names::USER_ID, uid),
            None => {}
        }
    }
    if let Some(euid) = value("euid:").filter(number) {
        out.digits(names::USER_EFFECTIVE_ID, euid);
    }
    if let Some(name) = value("username:") {
        out.text(names::USER_NAME, name);
    }
    if let Some(login) = value("login:").filter(|name| !name.starts_with('(')) {
        out.text(names::USER_AUDIT_NAME, login);
    }
    if let Some(tty) = value("tty:").filter(|tty| tty.starts_with('/')) {
        out.text(names::HENGWEI_AUTH_TTY, tty);
    }
    if let Some(address) = value("ssh:(").or_else(|| value("ssh:((")).and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
    // Both may hold blanks; what follows the folder is the file, and the file is last.
    if let Some((before, file)) = head
        .split_once(" filename:")
        .or_else(|| head.strip_prefix("filename:").map(|file| ("", file)))
    {
        out.some(names::PROCESS_EXECUTABLE, file);
        if let Some((_, folder)) = before.split_once(" cwd:") {
            out.some(names::PROCESS_WORKING_DIRECTORY, folder);
        }
    } else if let Some((_, folder)) = head.split_once(" cwd:") {
        out.some(names::PROCESS_WORKING_DIRECTORY, folder);
    }
    Some(())
}

/// `li(1000)`: the name and the number.
fn named(text: &str) -> Option<(&str, &str)> {
    let (name, id) = text.strip_suffix(')')?.rsplit_once('(')?;
    id.parse::<u32>().is_ok().then_some((name, id))
}

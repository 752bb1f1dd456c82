//! Where administrators sign in: Zabbix, xrdp, Webmin, and the bastion host JumpServer.
//!
//! ```text
//!   811:20260211:080000.123 TEXT
//! [20260211-08:00:00] [INFO ] AUTHFAIL: user=li ip=203.0.113.7 time=1770768000
//! webmin[811]: Invalid login as root from 203.0.113.7
//! jumpserver: login_log - {"username": "li", "ip": "203.0.113.7", "status": {"value": false}, …}
//! ```
//!
//! xrdp and Webmin put the address behind the name somebody typed, so a line is read from its end.
//! JumpServer sends what it audits as JSON behind the name of the log, which escapes what is in it.

use serde_json::Value;

use super::out::Out;
use super::time::Stamp;
use super::{Decoder, Line, Looks, moment, pam, scan, time};
use crate::event::names;
use crate::time::SECOND;

pub(crate) const ZABBIX: Decoder = Decoder {
    name: "zabbix",
    datasets: &["zabbix"],
    programs: &["zabbix_server", "zabbix_agentd", "zabbix_proxy", "zabbix_agent2"],
    paths: &["zabbix"],
    looks: Looks { first: b" 0123456789", test: |line| zabbix_head(line).is_some() },
    security: false,
    decode: |line, out| zabbix(line.message, out).is_some(),
};

pub(crate) const XRDP: Decoder = Decoder {
    name: "xrdp",
    datasets: &["xrdp"],
    programs: &["xrdp", "xrdp-sesman", "xrdp-sesexec"],
    paths: &["xrdp"],
    looks: Looks { first: b"[", test: |line| xrdp_head(line).is_some() },
    security: true,
    decode: |line, out| xrdp(line, out).is_some(),
};

pub(crate) const WEBMIN: Decoder = Decoder {
    name: "webmin",
    datasets: &["webmin"],
    programs: &["webmin", "usermin", "miniserv.pl"],
    paths: &["webmin"],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| webmin(line, out).is_some(),
};

pub(crate) const JUMPSERVER: Decoder = Decoder {
    name: "jumpserver",
    datasets: &["jumpserver"],
    programs: &["jumpserver"],
    paths: &["jumpserver"],
    looks: Looks { first: b"fhlops", test: |line| jump_head(line).is_some() },
    security: true,
    decode: |line, out| jumpserver(line.message, out).is_some(),
};

/// The longest JSON of a bastion host's line that is read.
const MAX_JSON: usize = 64 * 1024;

/// `  811:20260211:080000.123 TEXT`: process, stamp, the rest.
fn zabbix_head(line: &str) -> Option<(&str, time::Stamp, &str)> {
    let (pid, rest) = line.trim_start_matches(' ').split_once(':')?;
    let bytes = rest.as_bytes();
    let shaped = bytes.get(8) == Some(&b':')
        && bytes.get(15) == Some(&b'.')
        && bytes.get(19) == Some(&b' ')
        && bytes.iter().take(8).all(u8::is_ascii_digit)
        && bytes.iter().skip(9).take(6).all(u8::is_ascii_digit)
        && bytes.iter().skip(16).take(3).all(u8::is_ascii_digit);
    let number = (1..=10).contains(&pid.len()) && pid.bytes().all(|byte| byte.is_ascii_digit());
    if !shaped || !number {
        return None;
    }
    let part = |from: usize, to: usize| rest.get(from..to)?.parse::<u8>().ok();
    let stamp = time::Stamp {
        year: Some(rest.get(..4)?.parse().ok()?),
        month: part(4, 6)?,
        day: part(6, 8)?,
        hour: part(9, 11)?,
        minute: part(11, 13)?,
        second: part(13, 15)?,
        nanos: rest.get(16..19)?.parse::<u32>().ok()? * 1_000_000,
        offset_secs: None,
    };
    Some((pid, stamp, rest.get(20..)?))
}

fn zabbix(text: &str, out: &mut Out) -> Option<()> {
    let (pid, stamp, said) = zabbix_head(text)?;
    out.stamp(&stamp);
    out.digits(names::PROCESS_PID, pid);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, said);
    }
    // `failed login attempt for user "NAME" from ADDRESS` is not in this log: the pages keep their own.
    let action = match () {
        () if said.starts_with("Starting Zabbix ") => "started",
        () if said.contains(" stopped. Zabbix ") => "stopped",
        () if said.contains("became not supported") => "item_not_supported",
        () if said.starts_with("failed to accept an incoming connection") => "connection_refused",
        () => return Some(()),
    };
    out.event("host", action);
    if action == "connection_refused" {
        out.outcome(false);
        if let Some((_, rest)) = said.split_once("connection from \"")
            && let Some(address) = rest.split('"').next().and_then(scan::address)
        {
            out.address(names::SOURCE_IP, address);
        }
    }
    Some(())
}

/// `[20260211-08:00:00] [INFO ] TEXT`: the stamp, the level, the text.
fn xrdp_head(line: &str) -> Option<(time::Stamp, &'static str, &str)> {
    let inner = line.strip_prefix('[')?;
    if inner.as_bytes().get(8) != Some(&b'-') {
        return None;
    }
    let (stamp, rest) = moment::read(inner)?;
    // Newer versions have milliseconds and the zone.
    let rest = rest.strip_prefix("] ")?;
    let (level, said) = xrdp_level(rest)?;
    Some((stamp?, level, said))
}

/// `[INFO ] TEXT`.
fn xrdp_level(text: &str) -> Option<(&'static str, &str)> {
    let levels = [
        ("[INFO ] ", "info"),
        ("[ERROR] ", "error"),
        ("[WARN ] ", "warn"),
        ("[DEBUG] ", "debug"),
        ("[CORE ] ", "info"),
    ];
    levels.iter().find_map(|(mark, level)| Some((*level, text.strip_prefix(mark)?)))
}

fn xrdp(line: &Line<'_>, out: &mut Out) -> Option<()> {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out).then_some(());
    }
    let (level, said) = match xrdp_head(line.message) {
        Some((stamp, level, said)) => {
            out.stamp(&stamp);
            (level, said)
        }
        None => xrdp_level(line.message)?,
    };
    out.word(names::LOG_LEVEL, level);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, said);
    }
    if let Some(rest) = said.strip_prefix("AUTHFAIL: user=") {
        let (rest, _) = rest.rsplit_once(" time=")?;
        let (user, address) = rest.rsplit_once(" ip=")?;
        login(false, user, address, out);
    } else if let Some(rest) = said.strip_prefix("++ ") {
        // `created session (access granted): username NAME, ip ADDRESS:PORT - socket: 12`, and
        // `reconnected session: username NAME, display :10.0, session_pid 811, ip ADDRESS`.
        let (what, rest) = rest.split_once(": ")?;
        let rest = rest.trim_start().strip_prefix("username ")?;
        let (user, address) = rest.rsplit_once(", ip ").unwrap_or((rest, ""));
        let user = user.rsplit_once(", display :").map_or(user, |(user, _)| user);
        let address = address.split(" - ").next().unwrap_or(address);
        match what.split(' ').next()? {
            "created" | "reconnected" => login(true, user, address, out),
            "terminated" => {
                out.event("session", "session_ended");
                out.some(names::USER_NAME, user);
            }
            _ => {}
        }
    } else if let Some(user) = said.strip_prefix("Username or password error for user: ") {
        login(false, user, "", out);
    } else if let Some((_, rest)) = said.split_once("connection received from ") {
        out.event("network", "connection_accepted");
        if let Some((Some(address), port)) = scan::peer(rest) {
            out.address(names::SOURCE_IP, address);
            if let Some(port) = port {
                out.integer(names::SOURCE_PORT, port.into());
            }
        }
    }
    Some(())
}

/// A login; the address may have a port behind it.
fn login(success: bool, user: &str, address: &str, out: &mut Out) {
    out.event("authentication", "login");
    out.outcome(success);
    out.some(names::USER_NAME, user);
    let whole = scan::address(address);
    let found = whole.or_else(|| scan::endpoint(address).map(|(address, _)| address));
    let found = found.or_else(|| scan::address(address.rsplit_once(':')?.0));
    if let Some(address) = found {
        out.address(names::SOURCE_IP, address);
    }
}

/// Sentences of Webmin: how they begin, whether the login worked.
const WEBMIN_SAYS: &[(&str, bool)] = &[
    ("Successful login as ", true),
    ("Invalid login as ", false),
    ("Non-existent login as ", false),
    ("Login attempt as ", false),
    ("Expired login as ", false),
];

fn webmin(line: &Line<'_>, out: &mut Out) -> Option<()> {
    let said = line.message;
    if said.starts_with("pam_") {
        return pam::decode(line, out).then_some(());
    }
    for (start, success) in WEBMIN_SAYS {
        if let Some(rest) = said.strip_prefix(start) {
            let (user, address) = rest.rsplit_once(" from ")?;
            login(*success, user, address.trim_end_matches('.'), out);
            if start.starts_with("Non-existent") {
                out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
            }
            return Some(());
        }
    }
    if let Some(rest) = said.strip_prefix("Logout by ") {
        let (user, address) = rest.rsplit_once(" from ")?;
        out.event("authentication", "logout");
        out.some(names::USER_NAME, user);
        if let Some(address) = scan::address(address) {
            out.address(names::SOURCE_IP, address);
        }
        return Some(());
    }
    let rest = said.strip_prefix("Security alert: Host ")?;
    let (address, rest) = rest.split_once(" blocked after ")?;
    out.event("intrusion_detection", "ban");
    out.text(names::EVENT_REASON, rest);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

/// The logs of JumpServer: their names, the category and the action.
const JUMP_LOGS: &[(&str, &str, &str)] = &[
    ("login_log", "authentication", "login"),
    ("operation_log", "configuration", "operation"),
    ("ftp_log", "file", "file_transferred"),
    ("password_change_log", "iam", "password_changed"),
    ("host_session_log", "session", "session"),
    ("session_command_log", "process", "executed"),
];

/// `login_log - {…}`, with or without the program before it.
fn jump_head(line: &str) -> Option<(&'static (&'static str, &'static str, &'static str), &str)> {
    let line = line.strip_prefix("jumpserver: ").unwrap_or(line);
    JUMP_LOGS.iter().find_map(|log| {
        let json = line.strip_prefix(log.0)?.strip_prefix(" - ")?;
        json.starts_with('{').then_some((log, json))
    })
}

/// `2026/02/28 08:01:00 +0800`.
fn jump_stamp(text: &str) -> Option<Stamp> {
    let (stamp, len) = time::slashes(text.as_bytes())?;
    let offset_secs = text.get(len..)?.strip_prefix(' ').and_then(time::zone);
    Some(Stamp { offset_secs, ..stamp })
}

fn jumpserver(text: &str, out: &mut Out) -> Option<()> {
    let ((_, category, action), json) = jump_head(text)?;
    if json.len() > MAX_JSON {
        return None;
    }
    let said: Value = serde_json::from_str(json).ok()?;
    // A choice is `{"value": …, "label": …}` in newer versions and the value alone in older ones.
    let field = |name: &str| {
        let value = said.get(name)?;
        let value = value.get("value").or_else(|| value.get("name")).unwrap_or(value);
        (!value.is_null()).then_some(value)
    };
    let text = |names: &[&str]| {
        names.iter().find_map(|name| field(name)?.as_str().filter(|text| !text.is_empty()))
    };
    out.word(names::EVENT_CATEGORY, category);
    // What was done, where the log is one of all kinds of things.
    match text(&["action", "operate"]) {
        Some(word) => out.owned(names::EVENT_ACTION, &word.to_lowercase()),
        None => out.word(names::EVENT_ACTION, action),
    }
    if let Some(stamp) = text(&["datetime", "date_start"]).and_then(jump_stamp) {
        out.stamp(&stamp);
    } else if let Some(seconds) = field("timestamp").and_then(Value::as_i64) {
        out.time = seconds.checked_mul(SECOND);
    }
    let success = ["status", "is_success"].iter().find_map(|name| field(name)?.as_bool());
    if let Some(success) = success {
        out.outcome(success);
    }
    // `Li Wei(li)`: the name in words, and the one that signs in.
    let account = |user: &str| {
        let name = user.strip_suffix(')').and_then(|user| user.rsplit_once('('));
        name.map_or(user, |(_, name)| name).to_owned()
    };
    // A password may be changed by another than its owner.
    let (who, whose) = match text(&["change_by"]) {
        Some(by) => (Some(by), text(&["user"])),
        None => (text(&["username", "user"]), None),
    };
    for (id, user) in [(names::USER_NAME, who), (names::USER_TARGET_NAME, whose)] {
        if let Some(user) = user {
            out.owned(id, &account(user));
        }
    }
    if let Some(address) = text(&["ip", "remote_addr"]).and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
    let fields = [
        (names::EVENT_REASON, &["reason", "reason_display"][..]),
        (names::USER_AGENT_ORIGINAL, &["user_agent"][..]),
        (names::DESTINATION_DOMAIN, &["asset"][..]),
        (names::DESTINATION_USER_NAME, &["account", "system_user"][..]),
        (names::FILE_PATH, &["filename"][..]),
    ];
    for (id, keys) in fields {
        if let Some(value) = text(keys) {
            out.owned(id, value);
        }
    }
    if let Some(command) = text(&["input"]) {
        out.owned(names::PROCESS_COMMAND_LINE, command);
    }
    Some(())
}

//! The error log of SQL Server.
//!
//! ```text
//! 2026-11-22 08:00:00.12 Logon       Error: 18456, Severity: 14, State: 8.
//! 2026-11-22 08:00:00.12 Logon       Login failed for user 'sa'. Reason: Password did not match … [CLIENT: 203.0.113.9]
//! 2026-11-22 08:00:01.12 spid51      Configuration option 'xp_cmdshell' changed from 0 to 1. …
//! ```
//!
//! The name of the user stands between quotes that are not doubled, and it is the client's choice. The
//! address stands at the very end, which the client does not write; where the name has no certain end it
//! is left out. The server writes these files in UTF-16; they are text by the time they come here.

use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, ISO, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "sqlserver",
    datasets: &["sqlserver"],
    programs: &["sqlservr", "MSSQLSERVER"],
    paths: &["ERRORLOG", "mssql"],
    looks: Looks { first: &[ISO], test: |line| head(line).is_some() },
    security: false,
    decode,
};

/// Messages worth an action, by words in them.
const SAID: &[(&str, &str, &str)] = &[
    ("Configuration option ", "configuration", "configuration_changed"),
    ("配置选项 ", "configuration", "configuration_changed"),
    ("Server is listening on", "database", "server_listening"),
    ("SQL Server is now ready for client connections", "database", "server_started"),
    ("SQL Server is terminating", "database", "server_stopping"),
    ("Database backed up", "database", "backup"),
    ("BACKUP DATABASE successfully", "database", "backup"),
    ("Log was backed up", "database", "backup"),
    ("Database was restored", "database", "restore"),
    ("RESTORE DATABASE successfully", "database", "restore"),
    ("Setting database option ", "configuration", "database_option_changed"),
    ("SQL Trace was stopped", "configuration", "audit_stopped"),
    ("SQL Trace ", "configuration", "trace"),
    ("SQL Server Audit", "configuration", "audit"),
    ("Starting up database ", "database", "database_started"),
    ("Using 'xpstar", "process", "extended_procedure_loaded"),
    ("Using 'xplog70.dll'", "process", "extended_procedure_loaded"),
    ("Attempting to load library ", "process", "extended_procedure_loaded"),
    ("Common language runtime (CLR) functionality initialized", "configuration", "clr_enabled"),
    ("ERRORLOG", "configuration", "log_cycled"),
];

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let Some((stamp, source, said)) = head(line.message) else { return false };
    out.stamp(&stamp);
    out.text(names::LOG_LOGGER, source);
    if let Some(number) = source.strip_prefix("spid") {
        out.digits(names::DB_SESSION_ID, number.trim_end_matches('s'));
    }
    if login(said, out).is_some() {
        return true;
    }
    let numbered = said.strip_prefix("Error: ").or_else(|| said.strip_prefix("错误: "));
    if let Some((code, _)) = numbered.and_then(|rest| rest.split_once([',', '，'])) {
        out.word(names::EVENT_CATEGORY, "database");
        out.word(names::EVENT_ACTION, "error");
        out.digits(names::ERROR_CODE, code.trim());
        out.some(names::ERROR_MESSAGE, said);
        return true;
    }
    match SAID.iter().find(|(words, ..)| said.contains(words)) {
        Some((_, category, action)) => {
            out.event(category, action);
            if *action == "configuration_changed" {
                changed(said, out);
            }
        }
        None => out.word(names::EVENT_CATEGORY, "database"),
    }
    true
}

/// `2026-11-22 08:00:00.12 Logon       `: the stamp, who speaks, and what is said.
fn head(line: &str) -> Option<(Stamp, &str, &str)> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    // Hundredths of a second, and a source padded to twelve columns.
    if len != 22 || line.as_bytes().get(10) != Some(&b' ') {
        return None;
    }
    let rest = line.get(len..)?.strip_prefix(' ')?;
    let (source, said) = rest.split_once(' ')?;
    let session = source.strip_prefix("spid").is_some_and(|rest| {
        let digits = rest.trim_end_matches('s');
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let known =
        session || matches!(source, "Logon" | "Server" | "Backup" | "登录" | "服务器" | "备份");
    known.then(|| (stamp, source, said.trim_start()))
}

/// `Login failed for user 'sa'. Reason: … [CLIENT: 203.0.113.9]`, and the same in Chinese.
fn login(said: &str, out: &mut Out) -> Option<()> {
    let forms = [
        ("Login failed for user '", "'.", " Reason: ", false),
        ("Login succeeded for user '", "'.", " Connection made using ", true),
        ("用户 '", "' 登录失败。", "原因: ", false),
        ("用户 '", "' 登录成功。", "", true),
    ];
    let (rest, close, reason, success) =
        forms.iter().find_map(|(open, close, reason, success)| {
            let rest = said.strip_prefix(open)?;
            rest.contains(close).then_some((rest, *close, *reason, *success))
        })?;
    out.event("authentication", "login");
    out.outcome(success);
    let mut ends = rest.match_indices(close).map(|(at, _)| at);
    let first = ends.next()?;
    if ends.next().is_some() {
        out.problem("the name of the user has no certain end: it is not taken");
    } else {
        out.some(names::USER_NAME, &rest[..first]);
    }
    if !success {
        out.word(names::EVENT_TYPE, "denied");
        out.word(names::ERROR_CODE, "18456");
    }
    let tail = rest.rsplit_once(close).map_or("", |(_, tail)| tail);
    let (said, client) = tail
        .rsplit_once("[CLIENT: ")
        .or_else(|| tail.rsplit_once("[客户端: "))
        .unwrap_or((tail, ""));
    let said = said.trim().strip_prefix(reason.trim()).unwrap_or(said).trim();
    out.some(if success { names::HENGWEI_AUTH_METHOD } else { names::EVENT_REASON }, said);
    let client = client.trim_end().strip_suffix(']').unwrap_or_default();
    if let Some(address) = scan::address(client) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

/// `Configuration option 'xp_cmdshell' changed from 0 to 1.`
fn changed(said: &str, out: &mut Out) {
    let Some((_, rest)) = said.split_once('\'') else { return };
    let Some((option, _)) = rest.split_once('\'') else { return };
    out.some(names::HENGWEI_DB_OBJECT, option);
    out.some(names::EVENT_REASON, said);
}

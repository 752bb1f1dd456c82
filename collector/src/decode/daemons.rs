//! Daemons of which few messages matter: those that keep the time, those that write the logs, firewalld.
//!
//! A clock that jumps makes the order of events a matter of belief; a logger that stops, loses messages or
//! is told to throw its journal away leaves a gap. Each message is told by how it begins, and its words
//! stay in `event.reason`.

use super::out::Out;
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const CLOCK: Decoder = Decoder {
    name: "clock",
    datasets: &["clock"],
    programs: &["chronyd", "ntpd", "ntpdate", "systemd-timesyncd", "ntpdig"],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| clock(line.message, out),
};

pub(crate) const LOGGING: Decoder = Decoder {
    name: "logging",
    datasets: &["logging"],
    programs: &[
        "rsyslogd",
        "syslog-ng",
        "systemd-journald",
        "syslogd",
        "logrotate",
        "liblogging-stdlog",
    ],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| logging(line.message, out),
};

pub(crate) const FIREWALLD: Decoder = Decoder {
    name: "firewalld",
    datasets: &["firewalld"],
    programs: &["firewalld"],
    paths: &["log/firewalld"],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| firewalld(line, out),
};

/// How a message begins, what it tells, whether that is a failure.
type Told = (&'static str, &'static str, Option<bool>);

fn told(message: &str, category: &'static str, table: &[Told], out: &mut Out) -> bool {
    let Some((_, action, success)) = table.iter().find(|(start, ..)| message.starts_with(start))
    else {
        return false;
    };
    out.event(category, action);
    if let Some(success) = success {
        out.outcome(*success);
    }
    out.text(names::EVENT_REASON, message);
    true
}

/// A clock that was set, or cannot be.
fn clock(message: &str, out: &mut Out) -> bool {
    const TABLE: &[Told] = &[
        ("System clock was stepped by ", "clock_stepped", Some(true)),
        ("System clock wrong by ", "clock_wrong", None),
        ("Forward time jump detected", "clock_jumped", None),
        ("Backward time jump detected", "clock_jumped", None),
        ("System clock time unset or jumped backwards", "clock_jumped", None),
        ("time reset ", "clock_stepped", Some(true)),
        ("step time server ", "clock_stepped", Some(true)),
        ("time stepped by ", "clock_stepped", Some(true)),
        ("adjust time server ", "clock_adjusted", Some(true)),
        ("time correction of ", "clock_wrong", Some(false)),
        ("Selected source ", "clock_source_selected", Some(true)),
        ("Synchronized to time server ", "clock_source_selected", Some(true)),
        ("Contacted time server ", "clock_source_selected", Some(true)),
        ("Initial synchronization to time server ", "clock_source_selected", Some(true)),
        ("Initial clock synchronization to ", "clock_stepped", Some(true)),
        ("synchronized to ", "clock_source_selected", Some(true)),
        ("Can't synchronise: ", "clock_unsynchronized", Some(false)),
        ("no servers can be used", "clock_unsynchronized", Some(false)),
        ("no server suitable for synchronization found", "clock_unsynchronized", Some(false)),
        ("no servers reachable", "clock_unsynchronized", Some(false)),
        ("Timed out waiting for reply from ", "clock_unsynchronized", Some(false)),
        ("Could not resolve ", "clock_unsynchronized", Some(false)),
        ("chronyd version ", "clock_daemon_started", None),
        ("chronyd exiting", "clock_daemon_stopped", None),
        ("ntpd exiting on signal ", "clock_daemon_stopped", None),
        ("ntpd ", "clock_daemon_started", None),
    ];
    told(message, "host", TABLE, out)
}

/// A logger that starts, stops, or loses what it should have written.
fn logging(message: &str, out: &mut Out) -> bool {
    const TABLE: &[Told] = &[
        ("Journal started", "log_daemon_started", None),
        ("Journal stopped", "log_daemon_stopped", None),
        ("syslog-ng starting up", "log_daemon_started", None),
        ("syslog-ng shutting down", "log_daemon_stopped", None),
        ("exiting on signal ", "log_daemon_stopped", None),
        ("Suppressed ", "logs_lost", Some(false)),
        ("Missed ", "logs_lost", Some(false)),
        ("Vacuuming done, freed ", "journal_vacuumed", None),
        ("Deleted archived journal ", "journal_deleted", None),
        ("Deleted empty archived journal ", "journal_deleted", None),
        ("Received client request to rotate journal", "journal_rotated", None),
        ("Received client request to sync journal", "journal_synced", None),
        ("Received client request to flush runtime journal", "journal_flushed", None),
        ("Time spent on flushing to ", "journal_flushed", None),
        ("Time jumped backwards, rotating", "clock_jumped", None),
        ("Failed to write entry ", "logs_lost", Some(false)),
        ("Forwarding to syslog missed ", "logs_lost", Some(false)),
        ("Runtime Journal ", "journal_sized", None),
        ("System Journal ", "journal_sized", None),
        ("error: ", "log_rotation_failed", Some(false)),
        ("ALERT exited abnormally", "log_rotation_failed", Some(false)),
    ];
    if let Some((_, what)) =
        message.strip_prefix("[origin software=\"rsyslogd\"").and_then(|rest| rest.split_once("] "))
    {
        return rsyslog(what, message, out);
    }
    if told(message, "configuration", TABLE, out) {
        return true;
    }
    let lost =
        message.contains("lost due to rate-limiting") || message.contains("begin to drop messages");
    let broken =
        message.starts_with("File ") && message.contains(" corrupted or uncleanly shut down");
    let held = message.starts_with("action '") && message.contains(" suspended");
    let action = match () {
        () if lost => "logs_lost",
        () if broken => "journal_corrupted",
        () if held => "log_forwarding_suspended",
        () if message.starts_with("imuxsock lost ") => "logs_lost",
        () if message.starts_with("action '") && message.contains(" resumed") => {
            "log_forwarding_resumed"
        }
        () => return false,
    };
    out.event("configuration", action);
    if action != "log_forwarding_resumed" {
        out.outcome(false);
    }
    out.text(names::EVENT_REASON, message);
    true
}

/// What stands behind the origin that rsyslogd puts into its messages about itself.
fn rsyslog(what: &str, message: &str, out: &mut Out) -> bool {
    let action = match what.trim_end_matches('.') {
        "start" | "(re)start" | "restart" => "log_daemon_started",
        "rsyslogd was HUPed" => "log_daemon_reloaded",
        what if what.starts_with("exiting on signal ") => "log_daemon_stopped",
        _ => return false,
    };
    out.event("configuration", action);
    out.text(names::EVENT_REASON, message);
    true
}

/// `[STAMP ]ERROR: WHAT`, `WARNING: WHAT`.
fn firewalld(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match super::time::iso(line.message.as_bytes()) {
        Some((stamp, len)) => {
            out.stamp(&stamp);
            line.message[len..].trim_start()
        }
        None => line.message,
    };
    let Some((level, what)) = message.split_once(": ") else { return false };
    let level = match level {
        "ERROR" => "error",
        "WARNING" => "warning",
        "INFO" | "INFO1" => "info",
        _ => return false,
    };
    out.event("configuration", "firewalld_message");
    out.word(names::LOG_LEVEL, level);
    if level == "error" {
        out.outcome(false);
    }
    out.text(names::EVENT_REASON, what);
    true
}

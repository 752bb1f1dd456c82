//! Messages of systemd about units, and of systemd-logind about sessions.

use super::out::Out;
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const LOGIND: Decoder = Decoder {
    name: "logind",
    datasets: &["systemd-logind"],
    programs: &["systemd-logind"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode: logind,
};

pub(crate) const DECODER: Decoder = Decoder {
    name: "systemd",
    datasets: &["systemd"],
    programs: &["systemd"],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode,
};

/// What a message about a unit begins with, and the action it tells.
const STARTS: &[(&str, &str, Option<bool>)] = &[
    ("Started ", "service_started", Some(true)),
    ("Starting ", "service_starting", None),
    ("Stopped ", "service_stopped", Some(true)),
    ("Stopping ", "service_stopping", None),
    ("Failed to start ", "service_failed", Some(false)),
    ("Finished ", "service_finished", Some(true)),
    ("Reloaded ", "service_reloaded", Some(true)),
    ("Reloading ", "service_reloading", None),
    ("Reached target ", "target_reached", Some(true)),
    ("Mounted ", "mounted", Some(true)),
    ("Unmounted ", "unmounted", Some(true)),
];

const UNITS: &[&str] = &[
    ".service",
    ".socket",
    ".timer",
    ".mount",
    ".target",
    ".slice",
    ".scope",
    ".path",
    ".swap",
    ".automount",
    ".device",
];

/// Reads one message of systemd.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    for (start, action, success) in STARTS {
        if let Some(rest) = message.strip_prefix(start) {
            return unit_action(rest, action, *success, out);
        }
    }
    about_unit(message, out).is_some()
}

/// `[UNIT - ]DESCRIPTION.`
fn unit_action(rest: &str, action: &'static str, success: Option<bool>, out: &mut Out) -> bool {
    out.event("process", action);
    if let Some(success) = success {
        out.outcome(success);
    }
    let rest = rest.trim_end_matches("...").trim_end_matches(['.', '…']);
    match rest.split_once(" - ") {
        Some((unit, text)) if is_unit(unit) => {
            out.text(names::SERVICE_NAME, service(unit));
            out.some(names::EVENT_REASON, text);
        }
        _ if is_unit(rest) => out.text(names::SERVICE_NAME, service(rest)),
        _ => out.some(names::EVENT_REASON, rest),
    }
    true
}

/// `UNIT: WHAT HAPPENED`.
fn about_unit(message: &str, out: &mut Out) -> Option<()> {
    let (unit, text) = message.split_once(": ")?;
    if !is_unit(unit) {
        return None;
    }
    let (action, success) = if text.starts_with("Failed with result") {
        ("service_failed", Some(false))
    } else if text.starts_with("Main process exited") {
        ("service_exited", None)
    } else if text.starts_with("Deactivated successfully") || text == "Succeeded." {
        ("service_deactivated", Some(true))
    } else if text.starts_with("Scheduled restart job") {
        ("service_restarting", None)
    } else {
        ("service_message", None)
    };
    out.event("process", action);
    if let Some(success) = success {
        out.outcome(success);
    }
    out.text(names::SERVICE_NAME, service(unit));
    out.text(names::EVENT_REASON, text);
    Some(())
}

fn is_unit(text: &str) -> bool {
    !text.contains(' ') && UNITS.iter().any(|ending| text.ends_with(ending))
}

/// Services are known by their names, other units by their whole ones.
fn service(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// Reads one message of systemd-logind.
pub(crate) fn logind(line: &Line<'_>, out: &mut Out) -> bool {
    session(line.message, out).is_some()
}

fn session(message: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = message.strip_prefix("New session ") {
        // Newer versions go on: ` with class 'user' and type 'tty'.`
        let rest = rest.split_once(" with class ").map_or(rest, |(rest, _)| rest);
        let (id, user) = rest.trim_end_matches('.').split_once(" of user ")?;
        out.event("session", "session_opened");
        out.text(names::HENGWEI_SESSION_ID, id.trim_matches('\''));
        out.text(names::USER_NAME, user.trim_matches('\''));
        return Some(());
    }
    let id =
        message.strip_prefix("Removed session ").map(|rest| rest.trim_end_matches('.')).or_else(
            || message.strip_prefix("Session ")?.split_once(" logged out").map(|(id, _)| id),
        )?;
    out.event("session", "session_closed");
    out.text(names::HENGWEI_SESSION_ID, id);
    Some(())
}

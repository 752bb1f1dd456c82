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
    ("Mounting ", "mounting", None),
    ("Unmounting ", "unmounting", None),
    ("Failed to mount ", "mount_failed", Some(false)),
    ("Dependency failed for ", "service_failed", Some(false)),
    ("Stopped target ", "target_stopped", Some(true)),
    ("Created slice ", "slice_created", Some(true)),
    ("Removed slice ", "slice_removed", Some(true)),
    ("Listening on ", "socket_listening", Some(true)),
    ("Closed ", "socket_closed", Some(true)),
    ("Activated swap ", "swap_activated", Some(true)),
    ("Deactivated swap ", "swap_deactivated", Some(true)),
    ("Set up automount ", "automount_set_up", Some(true)),
    ("Condition check resulted in ", "service_skipped", None),
    ("Timed out waiting for device ", "device_missing", Some(false)),
];

/// What a message about the manager itself begins with.
const MANAGER: &[(&str, &str)] = &[
    ("Startup finished in ", "startup_finished"),
    ("Reloading requested from client ", "manager_reloaded"),
    ("Reexecuting", "manager_reexecuted"),
    ("Time has been changed", "clock_changed"),
    ("Shutting down.", "system_stopping"),
    ("Detected virtualization ", "manager_started"),
    ("Queued start job for default target", "manager_started"),
    ("Received SIG", "manager_signalled"),
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
    if manager(message, out) {
        return true;
    }
    for (start, action, success) in STARTS {
        if let Some(rest) = message.strip_prefix(start) {
            return unit_action(rest, action, *success, out);
        }
    }
    about_unit(message, out).is_some()
}

fn manager(message: &str, out: &mut Out) -> bool {
    // `Reloading.` alone is the manager, with a name behind it a unit.
    let action = match message {
        "Reloading." | "Reloading..." => Some("manager_reloaded"),
        _ => {
            MANAGER.iter().find(|(start, _)| message.starts_with(start)).map(|(_, action)| *action)
        }
    };
    let running = || message.starts_with("systemd ") && message.contains(" running in ");
    let Some(action) = action.or_else(|| running().then_some("manager_started")) else {
        return false;
    };
    out.event("process", action);
    out.text(names::EVENT_REASON, message);
    true
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
    if let Some(found) = without_colon(message, out) {
        return Some(found);
    }
    let (unit, text) = message.split_once(": ")?;
    if !is_unit(unit) {
        return None;
    }
    let (action, success) = if text.starts_with("Failed with result") {
        ("service_failed", Some(false))
    } else if text.starts_with("A process of this unit has been killed by the OOM killer") {
        ("service_oom_killed", Some(false))
    } else if text.starts_with("Start request repeated too quickly") {
        ("service_restart_limit", Some(false))
    } else if text.starts_with("Main process exited") || text.starts_with("main process exited") {
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

/// `Unit UNIT entered failed state.`, `UNIT failed.`, `UNIT - TEXT was skipped because of …`.
fn without_colon(message: &str, out: &mut Out) -> Option<()> {
    let (unit, action, success) = if let Some(rest) = message.strip_prefix("Unit ") {
        (rest.strip_suffix(" entered failed state.")?, "service_failed", Some(false))
    } else if let Some((unit, rest)) = message.split_once(" - ") {
        rest.contains(" was skipped because ").then_some((unit, "service_skipped", None))?
    } else {
        (message.strip_suffix(" failed.")?, "service_failed", Some(false))
    };
    if !is_unit(unit) {
        return None;
    }
    out.event("process", action);
    if let Some(success) = success {
        out.outcome(success);
    }
    out.text(names::SERVICE_NAME, service(unit));
    out.text(names::EVENT_REASON, message);
    Some(())
}

fn is_unit(text: &str) -> bool {
    let named = |ending: &str| text.strip_suffix(ending).is_some_and(|name| !name.is_empty());
    !text.contains(' ') && UNITS.iter().any(|ending| named(ending))
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
    const SYSTEM: &[(&str, &str)] = &[
        ("System is rebooting", "system_restarting"),
        ("System is powering ", "system_stopping"),
        ("System is halting", "system_stopping"),
        ("The system will reboot now", "system_restarting"),
        ("The system will power off now", "system_stopping"),
        ("The system will halt now", "system_stopping"),
        ("Power key pressed", "power_key_pressed"),
        ("Suspending", "system_suspending"),
    ];
    if let Some((_, action)) = SYSTEM.iter().find(|(start, _)| message.starts_with(start)) {
        out.event("host", action);
        out.text(names::EVENT_REASON, message);
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("New session ") {
        // Newer versions go on: ` with class 'user' and type 'tty'.`
        let rest = rest.split_once(" with class ").map_or(rest, |(rest, _)| rest);
        let (id, user) = rest.trim_end_matches('.').split_once(" of user ")?;
        if id.is_empty() || user.is_empty() {
            return None;
        }
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

//! Proxmox VE: who signs in (`pvedaemon`, `pveproxy`), and the tasks that are started.
//!
//! In: `authentication failure; rhost=::ffff:203.0.113.9 user=root@pam msg=Authentication failure`,
//! `<root@pam> successful auth for user 'root@pam'`, `<root@pam> end task UPID:pve01:…:qmstop:101:root@pam: OK`. Out: the login;
//! the task with its kind, its machine and how it ended.
//!
//! The name in a refused login is the visitor's; his address stands before it and is written first.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "proxmox",
    datasets: &["proxmox"],
    programs: &[
        "pvedaemon",
        "pveproxy",
        "pvestatd",
        "pve-firewall",
        "pvescheduler",
        "pmxcfs",
        "qm",
        "pct",
        "vzdump",
        "pve-ha-lrm",
        "pve-ha-crm",
    ],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode,
};

const ROWS: &[Row] = &[
    row("authentication failure; rhost={ip} user={user} msg={reason}", "authentication", "login")
        .failed(),
    row("<{_}> successful auth for user '{user}'", "authentication", "login").ok(),
    row("starting server", "process", "service_started"),
    row("server stopped", "process", "service_stopped"),
    row("INFO: Backup job finished successfully", "process", "backup_finished").ok(),
    row("INFO: Backup job finished with errors", "process", "backup_finished").failed(),
    row(
        "ERROR: Backup of VM {orchestrator.resource.name} failed - {reason}",
        "process",
        "backup_failed",
    )
    .failed(),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let read = task(line.message, out).or_else(|| SAID.read(line.message, out).map(|_| ()));
    read.is_some()
}

/// `<USER> starting task UPID:NODE:PID:PSTART:START:KIND:ID:USER:`, `<USER> end task UPID:…: OK`.
fn task(message: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = message.strip_prefix('<')?.split_once("> ")?;
    let (ends, id) = match rest.strip_prefix("starting task UPID:") {
        Some(id) => (false, id),
        None => (true, rest.strip_prefix("end task UPID:")?),
    };
    let mut parts = id.splitn(8, ':');
    let kind = parts.nth(4)?;
    let machine = parts.next()?;
    let _user = parts.next()?;
    let result = parts.next()?.trim();
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    out.word(names::EVENT_CATEGORY, "configuration");
    out.text(names::EVENT_ACTION, kind);
    out.word(names::EVENT_TYPE, if ends { "end" } else { "start" });
    out.text(names::USER_NAME, user);
    out.some(names::ORCHESTRATOR_RESOURCE_NAME, machine);
    if ends && !result.is_empty() {
        out.outcome(result == "OK");
        if result != "OK" {
            out.text(names::EVENT_REASON, result);
        }
    }
    out.security = true;
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

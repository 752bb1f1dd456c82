//! VMware: ESXi hosts (`Hostd`, `vobd`, `shell`) and vCenter (`vpxd`).
//!
//! In: `info hostd[2100123] [Originator@6876 sub=Vimsvc.ha-eventmgr opID=…] Event 812 : User root@192.0.2.9 logged in as …`,
//! `Rejected password for user root from 203.0.113.9`, `[esx.audit.ssh.enabled] SSH access has been enabled.`, and
//! vCenter's `Event [12] [1-1] [2026-11-22T…] [vim.event.UserLoginSessionEvent] [info] [] [] [12] [User … logged in …]`. Out:
//! logins, shells that are opened, commands typed there, machines that are powered off or removed.
//!
//! A name that somebody tries to log in with is his own text: the address is what stands behind the last `@`
//! or ` from `. Names of machines are given by whoever may create one and end where the form says.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const ESXI: Decoder = Decoder {
    name: "esxi",
    datasets: &["vmware.esxi"],
    programs: &[
        "Hostd",
        "hostd",
        "Vpxa",
        "vpxa",
        "vobd",
        "vmkernel",
        "vmkwarning",
        "Rhttpproxy",
        "rhttpproxy",
        "ESXShell",
        "shell",
        "DCUI",
        "hostd-probe",
        "Fdm",
        "VSANMGMTSVC",
        "esxupdate",
        "esxtokend",
    ],
    paths: &["hostd.log", "vobd.log", "vmkernel.log"],
    looks: Looks { first: b"[", test: |line| line.starts_with("[esx.") },
    security: false,
    decode,
};

pub(crate) const VCENTER: Decoder = Decoder {
    name: "vcenter",
    datasets: &["vmware.vcenter"],
    programs: &["vpxd", "vpxd-main", "vpxd-svcs", "vmware-vpxd", "vpxd-profiler"],
    paths: &["vpxd.log"],
    looks: Looks {
        first: b"E",
        test: |line| line.starts_with("Event [") && line.contains("[vim.event."),
    },
    security: false,
    decode,
};

const VM: &str = "session";
const ROWS: &[Row] = &[
    // What the client calls itself stands last, and may look like another address.
    row("User {user.name}@{ip} logged in as {user_agent.original*}", "authentication", "login")
        .ok(),
    row("User {user}@{ip} logged in as {user_agent.original*}", "authentication", "login").ok(),
    row("User {user}@{ip} logged in", "authentication", "login").ok(),
    row("User {user}@{ip} logged out (login time: {*}", "authentication", "logout").ok(),
    row("User {user} logged out (login time: {*}", "authentication", "logout").ok(),
    row("User {user} logged out", "authentication", "logout").ok(),
    row("Cannot login {user}@{ip}", "authentication", "login").failed(),
    row("Cannot login {user}@{ip}: {reason}", "authentication", "login").failed(),
    row("Cannot login user {user}@{ip}: {reason}", "authentication", "login").failed(),
    row("Failed to login user {user}: {reason}", "authentication", "login").failed(),
    row("Accepted password for user {user} from {ip}", "authentication", "login")
        .ok()
        .by("password"),
    row("Rejected password for user {user} from {ip}", "authentication", "login")
        .failed()
        .by("password"),
    row("Authentication of user {user} has failed from {ip}", "authentication", "login").failed(),
    row(
        "Remote access for ESXi local user account '{user}' has been locked for {_} seconds after {_} failed login attempts.",
        "iam",
        "account_locked",
    ),
    row("SSH access has been enabled.", "configuration", "ssh_enabled"),
    row("SSH access has been disabled.", "configuration", "ssh_disabled"),
    row("SSH access for the host {_} has been enabled.", "configuration", "ssh_enabled"),
    row("SSH session was opened for '{user}@{ip}'.", "session", "ssh_session").kind("start"),
    row("SSH session was closed for '{user}@{ip}'.", "session", "ssh_session").kind("end"),
    row("The ESXi command line shell has been enabled.", "configuration", "shell_enabled"),
    row("The ESXi command line shell has been disabled.", "configuration", "shell_disabled"),
    row("The ESX command line shell has been enabled.", "configuration", "shell_enabled"),
    row("ESXi Shell for the host {_} has been enabled.", "configuration", "shell_enabled"),
    row("The DCUI has been enabled.", "configuration", "dcui_enabled"),
    row("The host has exited lockdown mode.", "configuration", "lockdown_off"),
    row("Host has exited lockdown mode{reason}", "configuration", "lockdown_off"),
    row("Administrator access to the host {_} is enabled", "configuration", "lockdown_off"),
    row("Firewall configuration has changed. {reason}", "configuration", "firewall_changed"),
    row("The firewall has been disabled.", "configuration", "firewall_disabled"),
    row("Host has booted.", "host", "restarted"),
    row("Host is rebooting.", "host", "stopped"),
    row("{orchestrator.resource.name*} on {_} in {_} is powered off", VM, "vm_powered_off"),
    row("{orchestrator.resource.name*} on  {_} in {_} is powered off", VM, "vm_powered_off"),
    row("{orchestrator.resource.name*} on {_} in {_} is powered on", VM, "vm_powered_on"),
    row("{orchestrator.resource.name*} on  {_} in {_} is powered on", VM, "vm_powered_on"),
    row("{orchestrator.resource.name*} on {_} in {_} is suspended", VM, "vm_suspended"),
    row("Removed {orchestrator.resource.name*} on {_} from {_}", VM, "vm_removed"),
    row("Created virtual machine {orchestrator.resource.name*} on {_} in {_}", VM, "vm_created"),
    row("Reconfigured {orchestrator.resource.name*} on {_} in {_}", VM, "vm_reconfigured"),
    row("Account {user.target.name} was created on host {_}", "iam", "account_created"),
    row("Account {user.target.name} was updated on host {_}", "iam", "account_changed"),
    row("Account {user.target.name} was removed on host {_}", "iam", "account_deleted"),
    row(
        "Permission created for {user.target.name*} on {_} role is {_} propagation is {_}",
        "iam",
        "permission_given",
    ),
    row("Permission rule removed for {user.target.name*} on {_}", "iam", "permission_taken"),
    row("Lost network connectivity on {reason}", "network", "link_down").failed(),
    row("Lost connectivity to storage device {reason}", "host", "storage_lost").failed(),
    row("Lost access to volume {reason}", "host", "storage_lost").failed(),
    row("Lost connection to server {reason}", "host", "storage_lost").failed(),
    row("SSH login enabled", "configuration", "ssh_enabled"),
    row("SSH login disabled", "configuration", "ssh_disabled"),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));
/// Parts of a vCenter event in brackets.
const MAX_PARTS: usize = 10;

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    let read = vcenter(message, out)
        .or_else(|| typed(message, out))
        .or_else(|| observed(message, out))
        .or_else(|| said(message, out));
    if read.is_some() {
        out.word(names::OBSERVER_VENDOR, "VMware");
    }
    read.is_some()
}

/// `… Event 812 : message` behind what tells who writes, or the message alone.
fn said(message: &str, out: &mut Out) -> Option<()> {
    let behind = match message.split_once("[Originator@") {
        Some((_, rest)) => rest.split_once("] ")?.1,
        // `[2100123 info 'Vimsvc.ha-eventmgr'] Event 812 : …`.
        None => match message.strip_prefix('[').and_then(|rest| rest.split_once("'] ")) {
            Some((_, rest)) => rest,
            None => message,
        },
    };
    let text = match behind.strip_prefix("Event ").and_then(|rest| rest.split_once(" : ")) {
        Some((number, text)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            out.digits(names::EVENT_CODE, number);
            text
        }
        _ => behind,
    };
    SAID.read(text.trim(), out).map(|_| ())
}

/// `[USER]: COMMAND`, what somebody typed into a shell.
fn typed(message: &str, out: &mut Out) -> Option<()> {
    let (user, command) = message.strip_prefix('[')?.split_once("]: ")?;
    if user.is_empty() || user.contains([' ', '.', '[']) {
        return None;
    }
    out.event("process", "executed");
    out.text(names::USER_NAME, user);
    out.some(names::PROCESS_COMMAND_LINE, command);
    out.security = true;
    Some(())
}

/// `[UserLevelCorrelator] 81us: [esx.audit.ssh.enabled] message`.
fn observed(message: &str, out: &mut Out) -> Option<()> {
    let at = memchr::memmem::find(message.as_bytes(), b"[esx.")
        .or_else(|| memchr::memmem::find(message.as_bytes(), b"[vob."))?;
    let (code, text) = message.get(at + 1..)?.split_once(']')?;
    if code.contains(' ') {
        return None;
    }
    out.text(names::EVENT_CODE, code);
    let text = text.trim();
    if SAID.read(text, out).is_none() {
        out.some(names::EVENT_REASON, text);
    }
    Some(())
}

/// `Event [N] [N-N] [TIME] [vim.event.NAME] [LEVEL] [USER] [DATACENTER] [N] [message]`.
fn vcenter(message: &str, out: &mut Out) -> Option<()> {
    let at = memchr::memmem::find(message.as_bytes(), b"Event [")?;
    let mut rest = message.get(at + "Event ".len()..)?;
    let mut parts = [""; MAX_PARTS];
    let mut count = 0;
    // The last part is the message, which may hold brackets of its own.
    while count < 8 {
        let (part, behind) = rest.strip_prefix('[')?.split_once("] ")?;
        *parts.get_mut(count)? = part;
        count += 1;
        rest = behind;
    }
    let [number, _, _, name, level, user, ..] = parts;
    let name = name.strip_prefix("vim.event.")?;
    let text = rest.strip_prefix('[')?;
    let text = text.strip_suffix(']').unwrap_or(text);
    out.digits(names::EVENT_ID, number);
    out.text(names::EVENT_CODE, name);
    out.some(names::LOG_LEVEL, level);
    let first = out.fields.len();
    let read = SAID.read(text.trim(), out).is_some();
    let told = out.fields.get(first..).unwrap_or_default();
    if !told.iter().any(|(id, _)| *id == names::USER_NAME) {
        out.some(names::USER_NAME, user);
    }
    if !read {
        out.some(names::EVENT_REASON, text);
    }
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

//! From the pairs of one event's records to what happened, in ECS.

use std::borrow::Cow;

use super::gather::{Gathered, title};
use super::keys::{self, Key};
use super::types::Type;
use super::value::Value;
use super::{EXECVE, FILE, NETWORK, calls, places, syscalls};
use crate::decode::out::Out;
use crate::decode::scan;
use crate::event::{FieldId, names};

/// The longest command line, in bytes.
const MAX_COMMAND_LINE: usize = 32 * 1024;
/// The session and account of a process nobody logged in for.
const UNSET: &[&str] = &["4294967295", "-1", "unset"];

/// Writes what the event was.
pub(super) fn event(event: &Gathered<'_>, kind: &str, out: &mut Out) {
    let call = SystemCall::of(event);
    match event.leading {
        Some(leading) => said(leading, event, &call, out),
        None => {
            out.word(names::EVENT_ACTION, "audit_record");
            out.text(names::HENGWEI_AUDIT_RECORD, kind);
        }
    }
    for key in &event.keys {
        out.text(names::HENGWEI_AUDIT_KEY, key);
    }
    process(event, out);
    command(event, out);
    let leading = event.leading.map_or("", |leading| leading.name);
    places::files(event, &call, leading, out);
    places::peer(event, &call, out);
}

/// The system call of the event, if it has one.
pub(super) struct SystemCall<'a> {
    /// Empty where nothing names it.
    pub(super) name: &'a str,
    known: Option<&'static calls::Call>,
}

impl<'a> SystemCall<'a> {
    fn of(event: &Gathered<'a>) -> SystemCall<'a> {
        let number = event.plain(keys::SYSCALL);
        let architecture = event.plain(keys::ARCH).and_then(syscalls::architecture);
        let counted = number.zip(architecture).and_then(|(number, arch)| arch.syscall(number));
        // An interpreted log has the name where the kernel has the number.
        let name = counted
            .or_else(|| event.plain(keys::SYSCALL_NAME))
            .or_else(|| number.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())))
            .unwrap_or("");
        SystemCall { name, known: calls::of(name) }
    }
}

/// Category, action, type, outcome and dataset, and who it was about.
fn said(leading: &'static Type, event: &Gathered<'_>, call: &SystemCall<'_>, out: &mut Out) {
    out.word(names::HENGWEI_AUDIT_RECORD, leading.name);
    if !call.name.is_empty() {
        out.text(names::HENGWEI_AUDIT_SYSCALL, call.name);
        if event.get(keys::SYSCALL_NAME).is_none()
            && let Some(field) = keys::SYSCALL_NAME.field()
        {
            out.text(field, call.name);
        }
    }
    out.dataset = match leading.name {
        "EXECVE" => Some(EXECVE),
        "PATH" => Some(FILE),
        "SOCKADDR" => Some(NETWORK),
        "SYSCALL" => call.known.and_then(|known| known.dataset),
        _ => None,
    };
    let success = outcome(event, leading);
    if let Some(success) = success {
        out.outcome(success);
    }
    if let Some(error) = event.plain(keys::EXIT).and_then(error_name) {
        out.text(names::ERROR_CODE, error);
    }
    match leading.name {
        "SYSCALL" => {
            let (category, action, kind) = match call.known {
                Some(known) => (known.category, known.action, access(event, call, known.kind)),
                None => (leading.category, "", ""),
            };
            out.word(names::EVENT_CATEGORY, category);
            if action.is_empty() {
                out.text(
                    names::EVENT_ACTION,
                    if call.name.is_empty() { leading.action } else { call.name },
                );
            } else {
                out.word(names::EVENT_ACTION, action);
            }
            word(names::EVENT_TYPE, kind, out);
        }
        "AVC" | "USER_AVC" => decided(event, out),
        _ => {
            word(names::EVENT_CATEGORY, leading.category, out);
            word(names::EVENT_ACTION, refined(leading, event), out);
            let kind = match event.paths.first().map(|item| item.nametype) {
                Some("CREATE") if leading.name == "PATH" => "creation",
                Some("DELETE") if leading.name == "PATH" => "deletion",
                _ => leading.kind,
            };
            word(names::EVENT_TYPE, kind, out);
            if !leading.auxiliary {
                subject(leading, event, out);
            }
        }
    }
}

fn word(id: FieldId, word: &'static str, out: &mut Out) {
    if !word.is_empty() {
        out.word(id, word);
    }
}

fn outcome(event: &Gathered<'_>, leading: &Type) -> Option<bool> {
    let own = || event.plain(keys::RES).or_else(|| event.plain(keys::RESULT));
    let word = match leading.name {
        // A connection that is being made has not failed.
        "SYSCALL" if event.plain(keys::EXIT) == Some("-115") => return None,
        "SYSCALL" => event.plain(keys::SUCCESS),
        // What stands there says that the record was written, not that something worked.
        "AVC" | "USER_AVC" | "ANOM_ABEND" => return None,
        _ => own().or_else(|| event.plain(keys::SUCCESS)),
    };
    match word? {
        "success" | "yes" | "1" | "Success" => Some(true),
        "failed" | "failure" | "no" | "0" | "Failed" => Some(false),
        _ => None,
    }
}

/// The name of what a system call ended with.
fn error_name(exit: &str) -> Option<&'static str> {
    Some(match exit {
        "-1" => "EPERM",
        "-2" => "ENOENT",
        "-13" => "EACCES",
        "-17" => "EEXIST",
        "-22" => "EINVAL",
        "-30" => "EROFS",
        "-98" => "EADDRINUSE",
        "-110" => "ETIMEDOUT",
        "-111" => "ECONNREFUSED",
        "-113" => "EHOSTUNREACH",
        "-115" => "EINPROGRESS",
        _ => return None,
    })
}

/// An opened file is read, written or made: its flags say which.
fn access(event: &Gathered<'_>, call: &SystemCall<'_>, kind: &'static str) -> &'static str {
    const WRITES: u64 = 0o3;
    let made = || event.paths.iter().any(|item| item.nametype == "CREATE");
    let register = match call.name {
        "open" => 1,
        "openat" => 2,
        "openat2" => {
            let flags =
                event.plain(keys::OFLAG).and_then(|flags| u64::from_str_radix(flags, 8).ok());
            return flags.map_or(kind, |flags| if flags & WRITES != 0 { "change" } else { kind });
        }
        _ => return kind,
    };
    if made() {
        return "creation";
    }
    let flags = event.registers.get(register).and_then(|flags| u64::from_str_radix(flags, 16).ok());
    flags.map_or(kind, |flags| if flags & WRITES != 0 { "change" } else { kind })
}

/// What SELinux or AppArmor decided.
fn decided(event: &Gathered<'_>, out: &mut Out) {
    let (action, denied) = match (event.plain(keys::APPARMOR), event.decision) {
        (Some("DENIED"), _) => ("violated_apparmor_policy", Some(true)),
        (Some("ALLOWED" | "AUDIT"), _) => ("allowed_by_apparmor_policy", Some(false)),
        (Some("STATUS"), _) => ("changed_apparmor_profile", None),
        (Some(_), _) => ("apparmor_message", None),
        (None, Some(("denied", _))) => ("violated_selinux_policy", Some(true)),
        (None, Some(_)) => ("allowed_by_selinux_policy", Some(false)),
        (None, None) => ("access_vector_decision", None),
    };
    let about_file = event.get(keys::NAME).is_some() || event.get(keys::PATH).is_some();
    let category = match denied {
        None => "configuration",
        Some(_) if about_file => "file",
        Some(_) => "process",
    };
    out.event(category, action);
    if let Some(denied) = denied {
        out.outcome(!denied);
        out.word(names::EVENT_TYPE, if denied { "denied" } else { "allowed" });
    }
    if let Some((_, permissions)) = event.decision {
        out.some(names::EVENT_REASON, permissions);
    } else if let Some(operation) = event.plain(keys::OPERATION) {
        out.text(names::EVENT_REASON, operation);
    }
    if let Some(profile) = event.get(keys::PROFILE) {
        out.text(names::RULE_NAME, &profile.decoded());
    }
}

/// Actions that a value of the record makes more particular.
fn refined(leading: &'static Type, event: &Gathered<'_>) -> &'static str {
    let op = event.plain(keys::OP).unwrap_or("");
    match leading.name {
        "CONFIG_CHANGE" => match (op, event.plain(keys::AUDIT_ENABLED)) {
            ("add_rule" | "add rule", _) => "added_audit_rule",
            ("remove_rule" | "remove rule", _) => "removed_audit_rule",
            (_, Some("0")) => "disabled_audit",
            _ => leading.action,
        },
        "ANOM_PROMISCUOUS" => match event.plain(keys::PROM) {
            Some("0") => "promiscuous_mode_left",
            Some(_) => "promiscuous_mode_entered",
            None => leading.action,
        },
        "SOFTWARE_UPDATE" => match op {
            "install" => "package_installed",
            "update" => "package_updated",
            "remove" => "package_removed",
            _ => leading.action,
        },
        _ => leading.action,
    }
}

fn is_login(leading: &Type) -> bool {
    matches!(leading.category, "authentication" | "session")
}

/// Whom or what a message of its own kind is about.
fn subject(leading: &Type, event: &Gathered<'_>, out: &mut Out) {
    let account = event.get(keys::ACCT).filter(|_| !event.ambiguous);
    // Behind an id its name, where auditd knew it.
    let known = event.get(keys::ID_NAME);
    let of_group = leading.name.contains("GROUP") || leading.name.starts_with("GRP");
    let (name, id) = match leading.category {
        "iam" if of_group => (names::GROUP_NAME, names::GROUP_ID),
        "iam" => (names::USER_TARGET_NAME, names::USER_TARGET_ID),
        _ => (names::USER_NAME, names::USER_ID),
    };
    let group = event.get(keys::GRP);
    let called = if of_group { group.or(account).or(known) } else { account.or(known) };
    text(name, called, out);
    if let Some(number) = event.plain(keys::ID).filter(|id| !UNSET.contains(id)) {
        out.digits(id, number);
    }
    if !of_group {
        text(names::GROUP_NAME, group, out);
    }
    text(names::SERVICE_NAME, event.get(keys::UNIT), out);
    text(names::HENGWEI_INTERFACE_NAME, event.get(keys::DEV), out);
    let op = event.get(keys::OP).filter(|_| !is_login(leading));
    text(names::EVENT_REASON, op.or(event.get(keys::REASON)), out);
    if leading.name == "SOFTWARE_UPDATE" {
        text(names::PACKAGE_NAME, event.get(keys::SW), out);
        text(names::PACKAGE_TYPE, event.get(keys::SW_TYPE), out);
    }
    if leading.name.starts_with("CRYPTO") {
        for (key, id) in [(keys::RPORT, names::SOURCE_PORT), (keys::LPORT, names::DESTINATION_PORT)]
        {
            if let Some(port) = event.plain(key) {
                out.digits(id, port);
            }
        }
        if let Some(address) = event.plain(keys::LADDR).and_then(scan::address) {
            out.address(names::DESTINATION_IP, address);
        }
    }
    if event.ambiguous {
        return;
    }
    let address = event.plain(keys::ADDR);
    let host = event.plain(keys::HOSTNAME);
    match address.and_then(scan::address).or_else(|| host.and_then(scan::address)) {
        Some(found) => out.address(names::SOURCE_IP, found),
        None => text(names::SOURCE_ADDRESS, event.get(keys::ADDR), out),
    }
    // A local message names the host it is from itself.
    if let Some(host) = host.filter(|host| address.is_some() && scan::address(host).is_none()) {
        out.text(names::SOURCE_DOMAIN, host);
    }
}

fn text(id: FieldId, value: Option<Value<'_>>, out: &mut Out) {
    if let Some(value) = value {
        out.some(id, &value.decoded());
    }
}

/// Who did it, and in which process.
fn process(event: &Gathered<'_>, out: &mut Out) {
    // The header of syslog names the daemon that passed the record on: the record knows better.
    if event.get(keys::PID).is_some() {
        out.rename(names::PROCESS_PID, names::LOG_SYSLOG_PROCID);
    }
    if event.get(keys::COMM).or(event.get(keys::EXE)).is_some() {
        out.rename(names::PROCESS_NAME, names::LOG_SYSLOG_APPNAME);
    }
    text(names::PROCESS_NAME, event.get(keys::COMM), out);
    text(names::PROCESS_EXECUTABLE, event.get(keys::EXE), out);
    let tty = event.get(keys::TTY).or(event.get(keys::TERMINAL));
    text(names::HENGWEI_AUTH_TTY, tty, out);
    // The process that checks a login is the daemon's: its user is not the one who logs in.
    let login = event.leading.is_some_and(is_login);
    let ids: &[(Key, FieldId)] = &[
        (keys::PID, names::PROCESS_PID),
        (keys::PPID, names::PROCESS_PARENT_PID),
        (keys::AUID, names::USER_AUDIT_ID),
        (keys::SES, names::HENGWEI_AUDIT_SESSION),
        (keys::UID, names::USER_ID),
        (keys::EUID, names::USER_EFFECTIVE_ID),
    ];
    for (key, id) in ids {
        let left_out = login && *key == keys::UID;
        if let Some(number) = event.plain(*key).filter(|id| !left_out && !UNSET.contains(id)) {
            out.digits(*id, number);
        }
    }
    let of_group = event.leading.is_some_and(|leading| leading.name.contains("GROUP"));
    if let Some(number) = event.plain(keys::GID).filter(|_| !of_group) {
        out.digits(names::GROUP_ID, number);
    }
    let called: &[(Key, FieldId)] = &[
        (keys::AUID_NAME, names::USER_AUDIT_NAME),
        (keys::UID_NAME, names::USER_NAME),
        (keys::EUID_NAME, names::USER_EFFECTIVE_NAME),
    ];
    for (key, id) in called {
        let left_out = *key == keys::UID_NAME && (login || event.get(keys::ACCT).is_some());
        if let Some(name) = event.plain(*key).filter(|name| !left_out && !UNSET.contains(name)) {
            out.text(*id, name);
        }
    }
    text(names::PROCESS_WORKING_DIRECTORY, event.get(keys::CWD), out);
}

/// What was run, with which arguments.
fn command(event: &Gathered<'_>, out: &mut Out) {
    let shown = event.get(keys::PROCTITLE);
    if let Some(shown) = shown {
        out.some(names::PROCESS_TITLE, &title(shown));
    }
    if event.arguments.is_empty() {
        if let Some(typed) = event.get(keys::CMD) {
            out.some(names::PROCESS_COMMAND_LINE, &typed.decoded());
        } else if let Some(shown) = shown.filter(|_| out.dataset == Some(EXECVE)) {
            out.some(names::PROCESS_COMMAND_LINE, &title(shown));
        }
        return;
    }
    let mut line = String::new();
    for (index, argument) in event.arguments.iter().enumerate() {
        let argument = match argument {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map_or_else(
                |_| Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
                Cow::Borrowed,
            ),
            Cow::Owned(bytes) => String::from_utf8_lossy(bytes),
        };
        out.text(names::PROCESS_ARGS, &argument);
        if line.len() < MAX_COMMAND_LINE {
            if index > 0 {
                line.push(' ');
            }
            line.push_str(&argument);
        }
    }
    line.truncate(line.floor_char_boundary(MAX_COMMAND_LINE));
    out.owned(names::PROCESS_COMMAND_LINE, &line);
}

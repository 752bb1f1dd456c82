//! Messages of Samba: the two lines of an entry in `log.smbd`, their message alone, and what the VFS
//! module `full_audit` reports of every operation on a share.
//!
//! `full_audit` writes `PREFIX|OPERATION|ok|ARGUMENTS`, and the prefix is configured: user, address,
//! machine and share in any order, or only some. The operation is the first known one that `ok` or
//! `fail (…)` follows. Names of files may hold the bar, and the name a client gives itself may imitate
//! an operation; where a second such pair stands in the line it is said, and a rename whose two names
//! can't be told apart is kept as one.

use super::out::Out;
use super::time::slashes;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "samba",
    datasets: &["samba", AUDIT],
    programs: &["smbd", "smbd_audit", "nmbd", "winbindd", "samba"],
    paths: &["/samba/", "log.smbd"],
    looks: Looks { first: b"[", test: |line| entry(line).is_some() },
    security: true,
    decode,
};

const AUDIT: &str = "samba.audit";
/// Parts of a prefix that are looked at.
const MAX_PREFIX: usize = 8;

/// Operations of the VFS, the action each is, and the type of event.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("open", "open", "access"),
    ("openat", "open", "access"),
    ("create_file", "create_file", "access"),
    ("close", "close", "access"),
    ("read", "read", "access"),
    ("pread", "read", "access"),
    ("pread_send", "read", "access"),
    ("pread_recv", "read", "access"),
    ("sendfile", "read", "access"),
    ("write", "write", "change"),
    ("pwrite", "write", "change"),
    ("pwrite_send", "write", "change"),
    ("pwrite_recv", "write", "change"),
    ("ftruncate", "truncate", "change"),
    ("fallocate", "truncate", "change"),
    ("rename", "rename", "change"),
    ("renameat", "rename", "change"),
    ("unlink", "unlink", "deletion"),
    ("unlinkat", "unlink", "deletion"),
    ("rmdir", "rmdir", "deletion"),
    ("mkdir", "mkdir", "creation"),
    ("mkdirat", "mkdir", "creation"),
    ("opendir", "opendir", "access"),
    ("fdopendir", "opendir", "access"),
    ("readdir", "readdir", "access"),
    ("link", "link", "creation"),
    ("linkat", "link", "creation"),
    ("symlink", "symlink", "creation"),
    ("symlinkat", "symlink", "creation"),
    ("mknod", "mknod", "creation"),
    ("mknodat", "mknod", "creation"),
    ("chmod", "chmod", "change"),
    ("fchmod", "chmod", "change"),
    ("chown", "chown", "change"),
    ("fchown", "chown", "change"),
    ("lchown", "chown", "change"),
    ("ntimes", "utime", "change"),
    ("fntimes", "utime", "change"),
    ("closedir", "closedir", "access"),
    ("realpath", "realpath", "access"),
    ("connectpath", "connectpath", "access"),
    ("file_id_create", "file_id_create", "access"),
    ("getwd", "getwd", "access"),
    ("statvfs", "statvfs", "access"),
    ("fs_capabilities", "fs_capabilities", "access"),
    ("get_real_filename", "get_real_filename", "access"),
    ("get_real_filename_at", "get_real_filename", "access"),
    ("translate_name", "translate_name", "access"),
    ("fget_dos_attributes", "get_dos_attributes", "access"),
    ("fset_dos_attributes", "set_dos_attributes", "change"),
    ("get_dos_attributes", "get_dos_attributes", "access"),
    ("set_dos_attributes", "set_dos_attributes", "change"),
    ("fgetxattr", "getxattr", "access"),
    ("getxattr", "getxattr", "access"),
    ("flistxattr", "listxattr", "access"),
    ("listxattr", "listxattr", "access"),
    ("sys_acl_get_fd", "get_acl", "access"),
    ("sys_acl_get_file", "get_acl", "access"),
    ("sys_acl_set_fd", "set_acl", "change"),
    ("fcntl", "fcntl", "access"),
    ("lock", "lock", "access"),
    ("getlock", "getlock", "access"),
    ("strict_lock_check", "lock_check", "access"),
    ("kernel_flock", "flock", "access"),
    ("linux_setlease", "setlease", "access"),
    ("lseek", "lseek", "access"),
    ("get_alloc_size", "get_alloc_size", "access"),
    ("readlinkat", "readlink", "access"),
    ("fsync", "fsync", "change"),
    ("fsync_send", "fsync", "change"),
    ("fsync_recv", "fsync", "change"),
    ("fchflags", "chflags", "change"),
    ("chdir", "chdir", "access"),
    ("stat", "stat", "access"),
    ("fstat", "stat", "access"),
    ("lstat", "stat", "access"),
    ("get_nt_acl", "get_acl", "access"),
    ("get_nt_acl_at", "get_acl", "access"),
    ("fget_nt_acl", "get_acl", "access"),
    ("fset_nt_acl", "set_acl", "change"),
    ("setxattr", "setxattr", "change"),
    ("fsetxattr", "setxattr", "change"),
    ("removexattr", "removexattr", "change"),
    ("fremovexattr", "removexattr", "change"),
    ("streaminfo", "streaminfo", "access"),
    ("connect", "connect", "start"),
    ("disconnect", "disconnect", "end"),
];

/// Reads one message or entry.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if let Some((head, message)) = entry(line.message) {
        if let Some((stamp, _)) = slashes(head.as_bytes()) {
            out.stamp(&stamp);
        }
        let logger = head.rsplit_once('(').and_then(|(_, name)| name.strip_suffix(')'));
        out.some(names::LOG_LOGGER, logger.unwrap_or_default());
        if head.contains("/vfs_full_audit.c:") {
            return audited(message, out);
        }
        if said(message, out).is_none() {
            out.event("process", "smb_message");
            out.some(names::EVENT_REASON, message);
        }
        return true;
    }
    if line.program == Some("smbd_audit") || line.configured == AUDIT || line.program.is_none() {
        let message = line.message.strip_prefix("smbd_audit: ").unwrap_or(line.message);
        let mark = out.mark();
        if audited(message, out) {
            return true;
        }
        out.reset(mark);
    }
    said(line.message, out).is_some()
}

/// Reads what `full_audit` says.
fn audited(message: &str, out: &mut Out) -> bool {
    let read = operation(message, out).is_some();
    if read {
        out.dataset = Some(AUDIT);
    }
    read
}

/// `[2026/02/28 08:10:01.123456,  3] FILE:LINE(FUNCTION)` and what stands on the line below: the head
/// without its bracket, and the message.
fn entry(line: &str) -> Option<(&str, &str)> {
    let head = line.strip_prefix('[')?;
    let (_, len) = slashes(head.as_bytes())?;
    head.get(len..)?.strip_prefix(", ")?;
    let (head, message) = head.split_once('\n').unwrap_or((head, ""));
    head.contains("] ").then_some((head, message.trim()))
}

/// `PREFIX|OPERATION|ok|ARGUMENTS`.
fn operation(message: &str, out: &mut Out) -> Option<()> {
    let Found { at, action, event_type, reason, succeeded, arguments: rest } = find(message)?;
    let prefix = message.get(..at)?;
    out.event("file", action);
    out.word(names::EVENT_TYPE, event_type);
    out.outcome(succeeded);
    out.some(names::EVENT_REASON, reason);
    if find(rest).is_some() {
        out.problem("another operation stands behind the first: a name imitates the log");
    }
    let shared = who(prefix, out);
    match action {
        "connect" | "disconnect" if shared => {}
        "connect" | "disconnect" => out.some(names::HENGWEI_SHARE_NAME, rest),
        "open" => {
            let path = rest.strip_prefix("r|").or_else(|| rest.strip_prefix("w|"));
            out.some(names::FILE_PATH, path.unwrap_or(rest));
            if rest.starts_with("w|") {
                out.word(names::FILE_MODE, "w");
            }
        }
        // `0x100081|file|open|PATH`
        "create_file" => out.some(names::FILE_PATH, rest.splitn(4, '|').nth(3).unwrap_or(rest)),
        "rename" | "link" | "symlink" => two_names(rest, out),
        // `PATH|MODE`
        "chmod" | "mknod" | "setxattr" | "getxattr" | "removexattr" => {
            let (path, detail) = rest.rsplit_once('|').unwrap_or((rest, ""));
            out.some(names::FILE_PATH, path);
            if action == "chmod" {
                out.some(names::FILE_MODE, detail);
            }
        }
        "chdir" => out.some(names::FILE_PATH, rest.strip_prefix("chdir|").unwrap_or(rest)),
        // `PATH|TIME|TIME|TIME|TIME`
        "utime" => out.some(names::FILE_PATH, rest.rsplitn(5, '|').nth(4).unwrap_or(rest)),
        "file_id_create" | "get_alloc_size" => {}
        _ => out.some(names::FILE_PATH, rest),
    }
    Some(())
}

/// An operation of the log.
struct Found<'a> {
    /// Where it stands.
    at: usize,
    action: &'static str,
    event_type: &'static str,
    /// Why it failed; empty when it did not.
    reason: &'a str,
    succeeded: bool,
    arguments: &'a str,
}

/// The first operation that a result follows.
fn find(message: &str) -> Option<Found<'_>> {
    let mut at = 0;
    loop {
        let rest = message.get(at..)?;
        let (word, rest) = rest.split_once('|')?;
        let known = OPERATIONS.iter().find(|(name, _, _)| *name == word);
        if let Some((_, action, event_type)) = known {
            let (result, arguments) = rest.split_once('|').unwrap_or((rest, ""));
            let reason = result.strip_prefix("fail (").and_then(|why| why.strip_suffix(')'));
            if result == "ok" || reason.is_some() {
                let succeeded = reason.is_none();
                let reason = reason.unwrap_or_default();
                return Some(Found { at, action, event_type, reason, succeeded, arguments });
            }
        }
        at += word.len() + 1;
    }
}

/// The parts of a prefix: the address is told by its form; of the others the first is the user, the
/// last the share, and one between them the machine. True when the share is among them.
fn who(prefix: &str, out: &mut Out) -> bool {
    let mut others = Vec::new();
    for part in prefix.trim_end_matches('|').split('|').take(MAX_PREFIX) {
        match scan::address(part) {
            Some(address) => out.address(names::SOURCE_IP, address),
            None => others.push(part),
        }
    }
    match others.as_slice() {
        [] => {}
        [user] => out.some(names::USER_NAME, user),
        [user, share] => {
            out.some(names::USER_NAME, user);
            out.some(names::HENGWEI_SHARE_NAME, share);
        }
        [user, machine, .., share] => {
            out.some(names::USER_NAME, user);
            out.some(names::SOURCE_DOMAIN, machine);
            out.some(names::HENGWEI_SHARE_NAME, share);
        }
    }
    others.len() > 1
}

fn two_names(rest: &str, out: &mut Out) {
    match rest.split_once('|') {
        Some((old, new)) if !new.contains('|') => {
            out.some(names::FILE_PATH, old);
            out.some(names::FILE_TARGET_PATH, new);
        }
        _ => {
            out.problem("names that hold bars cannot be told apart");
            out.some(names::FILE_PATH, rest);
        }
    }
}

/// What smbd says of logins and connections.
fn said(message: &str, out: &mut Out) -> Option<()> {
    let message = message.trim_start();
    if let Some(rest) = message.strip_prefix("Auth: [") {
        return authentication(rest, out);
    }
    if let Some(rest) = message.strip_prefix("check_ntlm_password:") {
        return checked(rest.trim_start(), out);
    }
    connection(message, out)
}

/// `SMB2,(null)] user [DOMAIN]\[USER] at [WHEN] with [METHOD] status [STATUS] workstation [NAME] remote
/// host [ipv4:ADDRESS:PORT] …`: domain, user and workstation are the client's words, so what stands
/// around them is read only where it stands once.
fn authentication(rest: &str, out: &mut Out) -> Option<()> {
    let (_, rest) = rest.split_once("] user [")?;
    out.event("authentication", "smb_login");
    let marks = ["] at [", "] with [", "] status [", "] workstation [", "] remote host ["];
    if marks.iter().any(|mark| rest.matches(mark).nth(1).is_some()) {
        out.problem("a name imitates the log; it is not read");
        if !rest.contains("status [NT_STATUS_OK]") {
            out.outcome(false);
        }
        return Some(());
    }
    let (account, rest) = rest.split_once("] at [")?;
    let (domain, user) = account.split_once("]\\[")?;
    let (method, rest) = rest.split_once("] with [")?.1.split_once("] status [")?;
    let (status, rest) = rest.split_once("] workstation [")?;
    let (workstation, rest) = rest.split_once("] remote host [")?;
    out.outcome(status == "NT_STATUS_OK");
    if status != "NT_STATUS_OK" {
        out.text(names::EVENT_REASON, status);
    }
    if status == "NT_STATUS_NO_SUCH_USER" {
        out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
    }
    out.some(names::USER_NAME, user);
    out.some(names::USER_DOMAIN, domain);
    out.some(names::HENGWEI_AUTH_METHOD, method);
    out.some(names::SOURCE_DOMAIN, workstation);
    let (remote, _) = rest.split_once(']')?;
    peer(remote, out);
    Some(())
}

/// The check of a password, which a login is said of beside: it has no address.
/// `Authentication for user [ASKED] -> [MAPPED] FAILED with error STATUS, …`, `authentication for user
/// [ASKED] -> [MAPPED] -> [UNIX] succeeded`.
fn checked(rest: &str, out: &mut Out) -> Option<()> {
    let rest =
        rest.strip_prefix("Authentication").or_else(|| rest.strip_prefix("authentication"))?;
    let rest = rest.strip_prefix(" for user [")?;
    out.event("authentication", "smb_password_check");
    let user = match rest.rsplit_once("] FAILED with error ") {
        Some((names, status)) => {
            out.outcome(false);
            let status = status.split_once(',').map_or(status, |(status, _)| status);
            out.text(names::EVENT_REASON, status);
            names
        }
        None => {
            let names = rest.strip_suffix("] succeeded")?;
            out.outcome(true);
            names
        }
    };
    let (user, _) = user.split_once("] -> [")?;
    out.some(names::USER_NAME, user);
    Some(())
}

/// `MACHINE (ipv4:ADDRESS:PORT) connect to service SHARE initially as user USER (uid=N, gid=N) (pid N)`,
/// `MACHINE (ipv4:ADDRESS:PORT) closed connection to service SHARE`.
fn connection(message: &str, out: &mut Out) -> Option<()> {
    let (machine, rest) = message.split_once(" (ipv")?;
    let (remote, rest) = rest.split_once(") ")?;
    let remote = remote.strip_prefix("4:").or_else(|| remote.strip_prefix("6:"))?;
    let (address, port) = scan::endpoint(remote)?;
    let rest = rest.strip_prefix("signed ").unwrap_or(rest);
    if let Some(rest) = rest.strip_prefix("connect to service ") {
        let (share, user) = rest.rsplit_once(" initially as user ")?;
        let (user, _) = user.rsplit_once(" (uid=")?;
        out.event("session", "smb_connect");
        out.word(names::EVENT_TYPE, "start");
        out.some(names::HENGWEI_SHARE_NAME, share);
        out.some(names::USER_NAME, user);
    } else {
        let share = rest.strip_prefix("closed connection to service ")?;
        out.event("session", "smb_disconnect");
        out.word(names::EVENT_TYPE, "end");
        out.some(names::HENGWEI_SHARE_NAME, share);
    }
    out.some(names::SOURCE_DOMAIN, machine);
    out.address(names::SOURCE_IP, address);
    out.integer(names::SOURCE_PORT, port.into());
    Some(())
}

/// `ipv4:ADDRESS:PORT`.
fn peer(text: &str, out: &mut Out) {
    let text = text.strip_prefix("ipv4:").or_else(|| text.strip_prefix("ipv6:"));
    if let Some((address, port)) = text.and_then(scan::endpoint) {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    }
}

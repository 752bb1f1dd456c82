//! What a system call does, in the words of an event.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a system call means.
#[derive(Debug)]
pub(super) struct Call {
    /// `event.category`.
    pub(super) category: &'static str,
    /// `event.action`.
    pub(super) action: &'static str,
    /// `event.type`.
    pub(super) kind: &'static str,
    /// The dataset of its events, where it is not the general one.
    pub(super) dataset: Option<&'static str>,
}

/// What the system call of this name means.
pub(super) fn of(name: &str) -> Option<&'static Call> {
    BY_NAME.get(name).copied()
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Call, foldhash::fast::FixedState>> =
    LazyLock::new(|| {
        let names = |(names, call): &'static (&'static str, Call)| {
            names.split_ascii_whitespace().map(move |name| (name, call))
        };
        CALLS.iter().flat_map(names).collect()
    });

const CALLS: &[(&str, Call)] = &[
    (
        "execve execveat",
        Call {
            category: "process",
            action: "executed",
            kind: "start",
            dataset: Some("auditd.execve"),
        },
    ),
    (
        "fork vfork clone clone3",
        Call { category: "process", action: "forked", kind: "start", dataset: None },
    ),
    ("exit exit_group", Call { category: "process", action: "exited", kind: "end", dataset: None }),
    (
        "kill tkill tgkill pidfd_send_signal",
        Call { category: "process", action: "killed_process", kind: "change", dataset: None },
    ),
    (
        "ptrace process_vm_readv process_vm_writev",
        Call { category: "process", action: "traced_process", kind: "access", dataset: None },
    ),
    (
        "memfd_create memfd_secret",
        Call {
            category: "process",
            action: "created_memory_file",
            kind: "creation",
            dataset: None,
        },
    ),
    (
        "personality",
        Call { category: "process", action: "changed_personality", kind: "change", dataset: None },
    ),
    (
        "prctl",
        Call {
            category: "process",
            action: "changed_process_attribute",
            kind: "change",
            dataset: None,
        },
    ),
    (
        "setuid setuid32 setreuid setreuid32 setresuid setresuid32 setfsuid \
     setfsuid32 setgid setgid32 setregid setregid32 setresgid setresgid32 \
     setfsgid setfsgid32 setgroups setgroups32 capset",
        Call { category: "process", action: "changed_identity", kind: "change", dataset: None },
    ),
    (
        "unshare setns",
        Call { category: "process", action: "changed_namespace", kind: "change", dataset: None },
    ),
    (
        "chroot pivot_root",
        Call { category: "process", action: "changed_root", kind: "change", dataset: None },
    ),
    ("bpf", Call { category: "process", action: "used_bpf", kind: "change", dataset: None }),
    (
        "perf_event_open",
        Call { category: "process", action: "traced_process", kind: "access", dataset: None },
    ),
    (
        "init_module finit_module",
        Call { category: "host", action: "loaded_kernel_module", kind: "change", dataset: None },
    ),
    (
        "delete_module",
        Call { category: "host", action: "unloaded_kernel_module", kind: "change", dataset: None },
    ),
    (
        "kexec_load kexec_file_load",
        Call { category: "host", action: "loaded_kernel", kind: "change", dataset: None },
    ),
    (
        "settimeofday clock_settime clock_settime64 stime adjtimex \
     clock_adjtime clock_adjtime64",
        Call { category: "host", action: "changed_system_time", kind: "change", dataset: None },
    ),
    (
        "sethostname setdomainname",
        Call { category: "host", action: "changed_system_name", kind: "change", dataset: None },
    ),
    ("reboot", Call { category: "host", action: "rebooted", kind: "end", dataset: None }),
    (
        "swapon swapoff",
        Call { category: "host", action: "changed_swap", kind: "change", dataset: None },
    ),
    (
        "syslog",
        Call { category: "host", action: "accessed_kernel_log", kind: "access", dataset: None },
    ),
    (
        "sysinfo uname",
        Call { category: "host", action: "read_system_information", kind: "access", dataset: None },
    ),
    (
        "mount move_mount fsmount",
        Call { category: "file", action: "mounted", kind: "change", dataset: None },
    ),
    (
        "umount umount2",
        Call { category: "file", action: "unmounted", kind: "change", dataset: None },
    ),
    (
        "open openat openat2 open_by_handle_at",
        Call {
            category: "file",
            action: "opened_file",
            kind: "access",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "creat",
        Call {
            category: "file",
            action: "opened_file",
            kind: "creation",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "mkdir mkdirat",
        Call {
            category: "file",
            action: "created_directory",
            kind: "creation",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "mknod mknodat",
        Call {
            category: "file",
            action: "made_device",
            kind: "creation",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "unlink unlinkat rmdir",
        Call {
            category: "file",
            action: "deleted",
            kind: "deletion",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "rename renameat renameat2",
        Call { category: "file", action: "renamed", kind: "change", dataset: Some("auditd.file") },
    ),
    (
        "link linkat",
        Call { category: "file", action: "linked", kind: "creation", dataset: Some("auditd.file") },
    ),
    (
        "symlink symlinkat",
        Call {
            category: "file",
            action: "symlinked",
            kind: "creation",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "truncate ftruncate truncate64 ftruncate64 fallocate",
        Call {
            category: "file",
            action: "truncated",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "chmod fchmod fchmodat fchmodat2",
        Call {
            category: "file",
            action: "changed_file_permissions",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "chown fchown lchown fchownat chown32 fchown32 lchown32",
        Call {
            category: "file",
            action: "changed_file_ownership",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr \
     fremovexattr removexattrat",
        Call {
            category: "file",
            action: "changed_file_attributes",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "utime utimes utimensat utimensat_time64 futimesat",
        Call {
            category: "file",
            action: "changed_timestamp",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "read readv pread64 preadv",
        Call {
            category: "file",
            action: "read_file",
            kind: "access",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "write writev pwrite64 pwritev",
        Call {
            category: "file",
            action: "wrote_file",
            kind: "change",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "stat stat64 lstat lstat64 newfstatat fstatat64 statx access faccessat \
     faccessat2 readlink readlinkat",
        Call {
            category: "file",
            action: "checked_metadata",
            kind: "access",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr",
        Call {
            category: "file",
            action: "checked_metadata",
            kind: "access",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "chdir fchdir",
        Call {
            category: "file",
            action: "changed_directory",
            kind: "access",
            dataset: Some("auditd.file"),
        },
    ),
    (
        "connect",
        Call {
            category: "network",
            action: "connected_to",
            kind: "start",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "accept accept4",
        Call {
            category: "network",
            action: "accepted_connection",
            kind: "start",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "bind",
        Call {
            category: "network",
            action: "bound_socket",
            kind: "start",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "listen",
        Call {
            category: "network",
            action: "listened_for_connections",
            kind: "start",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "sendto sendmsg sendmmsg",
        Call {
            category: "network",
            action: "sent_to",
            kind: "info",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "recvfrom recvmsg recvmmsg",
        Call {
            category: "network",
            action: "received_from",
            kind: "info",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "socket",
        Call {
            category: "network",
            action: "created_socket",
            kind: "start",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "setsockopt",
        Call {
            category: "network",
            action: "changed_socket",
            kind: "change",
            dataset: Some("auditd.network"),
        },
    ),
    (
        "shutdown",
        Call {
            category: "network",
            action: "closed_socket",
            kind: "end",
            dataset: Some("auditd.network"),
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_one_meaning() {
        let names = CALLS.iter().map(|(names, _)| names.split_ascii_whitespace().count());
        assert_eq!(names.sum::<usize>(), BY_NAME.len());
        assert_eq!(of("execveat").unwrap().action, "executed");
        assert_eq!(of("connect").unwrap().dataset, Some("auditd.network"));
        assert!(of("getpid").is_none());
    }
}

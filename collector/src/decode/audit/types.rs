//! The types of audit records: their numbers, and what an event led by one is.
//!
//! Several records tell of one event. A record of its own kind (a login, a changed rule, a crash) says
//! what the event is even where a SYSCALL record stands beside it; the others only add to a system call
//! and say something themselves only when they arrive alone.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One type of record.
#[derive(Debug)]
pub(super) struct Type {
    number: u16,
    /// As the audit tools write it.
    pub(super) name: &'static str,
    /// `event.category`, empty for none.
    pub(super) category: &'static str,
    /// `event.action`.
    pub(super) action: &'static str,
    /// `event.type`, empty for none.
    pub(super) kind: &'static str,
    /// Whether it only adds to a system call.
    pub(super) auxiliary: bool,
}

/// A type by its name, its number (as the kernel's own log has it) or `UNKNOWN[number]`, which is how
/// a tool older than the kernel writes it.
pub(super) fn of(text: &str) -> Option<&'static Type> {
    let number = match text.strip_prefix("UNKNOWN[") {
        Some(rest) => rest.strip_suffix(']')?,
        None => text,
    };
    match number.parse::<u16>() {
        Ok(number) => BY_NUMBER.get(&number).copied(),
        Err(_) => BY_NAME.get(text).copied(),
    }
}

type Table<K> = HashMap<K, &'static Type, foldhash::fast::FixedState>;

static BY_NAME: LazyLock<Table<&'static str>> =
    LazyLock::new(|| TYPES.iter().map(|known| (known.name, known)).collect());
static BY_NUMBER: LazyLock<Table<u16>> =
    LazyLock::new(|| TYPES.iter().map(|known| (known.number, known)).collect());

const fn own(
    number: u16,
    name: &'static str,
    category: &'static str,
    action: &'static str,
    kind: &'static str,
) -> Type {
    Type { number, name, category, action, kind, auxiliary: false }
}

const fn aux(
    number: u16,
    name: &'static str,
    category: &'static str,
    action: &'static str,
) -> Type {
    Type { number, name, category, action, kind: "", auxiliary: true }
}

const TYPES: &[Type] = &[
    aux(1300, "SYSCALL", "process", "called"),
    aux(1302, "PATH", "file", "named_path"),
    aux(1303, "IPC", "process", "ipc_object"),
    aux(1304, "SOCKETCALL", "network", "socket_call"),
    aux(1306, "SOCKADDR", "network", "socket_address"),
    aux(1307, "CWD", "process", "working_directory"),
    aux(1309, "EXECVE", "process", "executed"),
    aux(1311, "IPC_SET_PERM", "process", "ipc_permissions"),
    aux(1312, "MQ_OPEN", "process", "message_queue"),
    aux(1313, "MQ_SENDRECV", "process", "message_queue"),
    aux(1314, "MQ_NOTIFY", "process", "message_queue"),
    aux(1315, "MQ_GETSETATTR", "process", "message_queue"),
    aux(1317, "FD_PAIR", "process", "descriptor_pair"),
    aux(1318, "OBJ_PID", "process", "signalled_process"),
    aux(1320, "EOE", "", "end_of_event"),
    aux(1321, "BPRM_FCAPS", "process", "capabilities_of_program"),
    aux(1322, "CAPSET", "process", "changed_capabilities"),
    aux(1323, "MMAP", "process", "mapped_memory"),
    aux(1327, "PROCTITLE", "process", "process_title"),
    aux(1330, "KERN_MODULE", "host", "kernel_module"),
    aux(1331, "FANOTIFY", "file", "fanotify_decision"),
    aux(1335, "EVENT_LISTENER", "configuration", "audit_listener"),
    aux(1336, "URINGOP", "process", "io_uring_operation"),
    aux(1337, "OPENAT2", "file", "open_how"),
    own(1005, "USER", "", "user_message", "info"),
    own(1006, "LOGIN", "authentication", "changed_login_id", "info"),
    own(1100, "USER_AUTH", "authentication", "authenticated", "info"),
    own(1101, "USER_ACCT", "authentication", "was_authorized", "info"),
    own(1102, "USER_MGMT", "iam", "changed_user", "change"),
    own(1103, "CRED_ACQ", "authentication", "acquired_credentials", "info"),
    own(1104, "CRED_DISP", "authentication", "disposed_credentials", "info"),
    own(1105, "USER_START", "session", "started_session", "start"),
    own(1106, "USER_END", "session", "ended_session", "end"),
    own(1107, "USER_AVC", "", "access_vector_decision", "info"),
    own(1108, "USER_CHAUTHTOK", "iam", "changed_password", "change"),
    own(1109, "USER_ERR", "authentication", "error", "info"),
    own(1110, "CRED_REFR", "authentication", "refreshed_credentials", "info"),
    own(1111, "USYS_CONFIG", "configuration", "changed_configuration", "change"),
    own(1112, "USER_LOGIN", "authentication", "logged_in", "start"),
    own(1113, "USER_LOGOUT", "authentication", "logged_out", "end"),
    own(1114, "ADD_USER", "iam", "added_user", "creation"),
    own(1115, "DEL_USER", "iam", "deleted_user", "deletion"),
    own(1116, "ADD_GROUP", "iam", "added_group", "creation"),
    own(1117, "DEL_GROUP", "iam", "deleted_group", "deletion"),
    own(1118, "DAC_CHECK", "", "checked_access", "info"),
    own(1119, "CHGRP_ID", "process", "changed_group_id", "change"),
    own(1120, "TEST", "", "sent_test_message", "info"),
    own(1121, "TRUSTED_APP", "", "trusted_application_message", "info"),
    own(1122, "USER_SELINUX_ERR", "", "selinux_error", "error"),
    own(1123, "USER_CMD", "process", "ran_command", "start"),
    own(1124, "USER_TTY", "process", "typed", "info"),
    own(1125, "CHUSER_ID", "process", "changed_user_id", "change"),
    own(1126, "GRP_AUTH", "authentication", "authenticated_to_group", "info"),
    own(1127, "SYSTEM_BOOT", "host", "booted_system", "start"),
    own(1128, "SYSTEM_SHUTDOWN", "host", "shut_down_system", "end"),
    own(1129, "SYSTEM_RUNLEVEL", "host", "changed_runlevel", "change"),
    own(1130, "SERVICE_START", "process", "started_service", "start"),
    own(1131, "SERVICE_STOP", "process", "stopped_service", "end"),
    own(1132, "GRP_MGMT", "iam", "changed_group", "change"),
    own(1133, "GRP_CHAUTHTOK", "iam", "changed_group_password", "change"),
    own(1134, "MAC_CHECK", "", "checked_mac_policy", "info"),
    own(1135, "ACCT_LOCK", "iam", "locked_account", "change"),
    own(1136, "ACCT_UNLOCK", "iam", "unlocked_account", "change"),
    own(1137, "USER_DEVICE", "host", "changed_device", "change"),
    own(1138, "SOFTWARE_UPDATE", "package", "updated_software", "change"),
    own(1200, "DAEMON_START", "configuration", "started_audit", "start"),
    own(1201, "DAEMON_END", "configuration", "stopped_audit", "end"),
    own(1202, "DAEMON_ABORT", "configuration", "aborted_audit", "end"),
    own(1203, "DAEMON_CONFIG", "configuration", "changed_audit_configuration", "change"),
    own(1204, "DAEMON_RECONFIG", "configuration", "changed_audit_configuration", "change"),
    own(1205, "DAEMON_ROTATE", "configuration", "rotated_audit_log", "change"),
    own(1206, "DAEMON_RESUME", "configuration", "resumed_audit", "start"),
    own(1207, "DAEMON_ACCEPT", "network", "accepted_remote_audit", "connection"),
    own(1208, "DAEMON_CLOSE", "network", "closed_remote_audit", "end"),
    own(1209, "DAEMON_ERR", "configuration", "audit_error", "error"),
    own(1305, "CONFIG_CHANGE", "configuration", "changed_audit_configuration", "change"),
    own(1319, "TTY", "process", "typed", "info"),
    own(1324, "NETFILTER_PKT", "network", "netfilter_packet", "info"),
    own(1325, "NETFILTER_CFG", "configuration", "loaded_firewall_rule", "change"),
    own(1326, "SECCOMP", "process", "violated_seccomp_policy", "denied"),
    own(1328, "FEATURE_CHANGE", "configuration", "changed_audit_feature", "change"),
    own(1329, "REPLACE", "configuration", "replaced_audit_daemon", "change"),
    own(1332, "TIME_INJOFFSET", "host", "changed_system_time", "change"),
    own(1333, "TIME_ADJNTPVAL", "host", "adjusted_system_clock", "change"),
    own(1334, "BPF", "process", "changed_bpf_program", "change"),
    own(1338, "DM_CTRL", "host", "changed_device_mapper", "change"),
    own(1339, "DM_EVENT", "host", "device_mapper_event", "info"),
    own(1400, "AVC", "", "access_vector_decision", "info"),
    own(1401, "SELINUX_ERR", "", "selinux_error", "error"),
    own(1403, "MAC_POLICY_LOAD", "configuration", "loaded_mac_policy", "change"),
    own(1404, "MAC_STATUS", "configuration", "changed_mac_enforcement", "change"),
    own(1405, "MAC_CONFIG_CHANGE", "configuration", "changed_mac_configuration", "change"),
    own(1423, "LANDLOCK_ACCESS", "process", "violated_landlock_policy", "denied"),
    own(1424, "LANDLOCK_DOMAIN", "process", "changed_landlock_domain", "info"),
    own(1700, "ANOM_PROMISCUOUS", "network", "changed_promiscuous_mode", "change"),
    own(1701, "ANOM_ABEND", "process", "crashed_program", "end"),
    own(1702, "ANOM_LINK", "file", "followed_suspicious_link", "denied"),
    own(1703, "ANOM_CREAT", "file", "created_suspicious_file", "denied"),
    own(1800, "INTEGRITY_DATA", "file", "verified_integrity", "info"),
    own(1801, "INTEGRITY_METADATA", "file", "verified_integrity", "info"),
    own(1802, "INTEGRITY_STATUS", "configuration", "changed_integrity_status", "change"),
    own(1803, "INTEGRITY_HASH", "file", "verified_integrity", "info"),
    own(1804, "INTEGRITY_PCR", "file", "verified_integrity", "info"),
    own(1805, "INTEGRITY_RULE", "file", "verified_integrity", "info"),
    own(1806, "INTEGRITY_EVM_XATTR", "configuration", "changed_integrity_status", "change"),
    own(1807, "INTEGRITY_POLICY_RULE", "configuration", "changed_integrity_policy", "change"),
    own(2000, "KERNEL", "configuration", "initialized_audit", "start"),
    own(2100, "ANOM_LOGIN_FAILURES", "authentication", "failed_log_in_too_many_times", "info"),
    own(2101, "ANOM_LOGIN_TIME", "authentication", "attempted_log_in_at_unusual_time", "info"),
    own(
        2102,
        "ANOM_LOGIN_SESSIONS",
        "authentication",
        "attempted_log_in_too_many_sessions",
        "info",
    ),
    own(2103, "ANOM_LOGIN_ACCT", "authentication", "attempted_log_in_with_unusual_account", "info"),
    own(
        2104,
        "ANOM_LOGIN_LOCATION",
        "authentication",
        "attempted_log_in_from_unusual_place",
        "info",
    ),
    own(2111, "ANOM_ACCESS_FS", "file", "accessed_unusual_file", "access"),
    own(2112, "ANOM_EXEC", "process", "executed_unusual_program", "start"),
    own(2113, "ANOM_MK_EXEC", "file", "made_executable", "change"),
    own(2114, "ANOM_ADD_ACCT", "iam", "added_user", "creation"),
    own(2115, "ANOM_DEL_ACCT", "iam", "deleted_user", "deletion"),
    own(2116, "ANOM_MOD_ACCT", "iam", "changed_user", "change"),
    own(2117, "ANOM_ROOT_TRANS", "process", "became_root", "info"),
    own(2118, "ANOM_LOGIN_SERVICE", "authentication", "service_logged_in", "info"),
    own(2119, "ANOM_LOGIN_ROOT", "authentication", "root_logged_in", "info"),
    own(
        2120,
        "ANOM_ORIGIN_FAILURES",
        "authentication",
        "origin_failed_log_in_too_many_times",
        "info",
    ),
    own(2121, "ANOM_SESSION", "process", "anomalous_session", "info"),
    own(2202, "RESP_KILL_PROC", "process", "response_killed_process", "info"),
    own(2207, "RESP_ACCT_LOCK", "iam", "response_locked_account", "change"),
    own(2300, "USER_ROLE_CHANGE", "iam", "changed_role", "change"),
    own(2301, "ROLE_ASSIGN", "iam", "assigned_role", "change"),
    own(2302, "ROLE_REMOVE", "iam", "removed_role", "change"),
    own(2309, "FS_RELABEL", "configuration", "relabeled_filesystem", "change"),
    own(2310, "USER_MAC_POLICY_LOAD", "configuration", "loaded_mac_policy", "change"),
    own(2311, "ROLE_MODIFY", "iam", "changed_role", "change"),
    own(2312, "USER_MAC_CONFIG_CHANGE", "configuration", "changed_mac_configuration", "change"),
    own(2313, "USER_MAC_STATUS", "configuration", "changed_mac_enforcement", "change"),
    own(2402, "CRYPTO_LOGIN", "authentication", "crypto_officer_logged_in", "start"),
    own(2403, "CRYPTO_LOGOUT", "authentication", "crypto_officer_logged_out", "end"),
    own(2404, "CRYPTO_KEY_USER", "process", "negotiated_crypto_key", "info"),
    own(2405, "CRYPTO_FAILURE_USER", "process", "crypto_failed", "error"),
    own(2406, "CRYPTO_REPLAY_USER", "network", "detected_replay", "info"),
    own(2407, "CRYPTO_SESSION", "process", "started_crypto_session", "info"),
    own(2408, "CRYPTO_IKE_SA", "network", "changed_ike_association", "info"),
    own(2409, "CRYPTO_IPSEC_SA", "network", "changed_ipsec_association", "info"),
    own(2500, "VIRT_CONTROL", "host", "controlled_virtual_machine", "change"),
    own(2501, "VIRT_RESOURCE", "host", "assigned_virtual_machine_resource", "change"),
    own(2502, "VIRT_MACHINE_ID", "host", "initialized_virtual_machine", "start"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name_and_number() {
        assert_eq!(of("SYSCALL").unwrap().number, 1300);
        assert_eq!(of("1400").unwrap().name, "AVC");
        assert_eq!(of("UNKNOWN[1334]").unwrap().name, "BPF");
        assert!(of("UNKNOWN[9999]").is_none() && of("UNKNOWN[").is_none() && of("").is_none());
        assert_eq!(BY_NAME.len(), TYPES.len(), "two types share a name");
        assert_eq!(BY_NUMBER.len(), TYPES.len(), "two types share a number");
    }
}

//! What the well-known events of Windows mean: category, action and outcome, and which data are
//! exactly a field of ECS. An event that is not listed keeps its data, and who caused it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::event::{FieldId, names};

/// What one kind of event means.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) category: &'static str,
    pub(crate) action: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) verdict: Verdict,
    /// Datum, field of ECS, and how the one becomes the other.
    pub(crate) rows: Vec<(FieldId, FieldId, How)>,
}

/// How a datum becomes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As it is.
    As,
    /// A whole number, decimal or hexadecimal.
    Number,
    /// An address.
    Address,
    /// `DOMAIN\name` in two.
    Account,
    /// `MD5=…,SHA256=…` one by one.
    Hashes,
}

/// What says how the event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It happened, or there would be no event.
    Success,
    /// It did not.
    Failure,
    /// The datum `Status`, 0 for success.
    Status,
    /// The keywords, where they say it.
    Audited,
}

/// The data that decide something.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) event_type: FieldId,
    pub(crate) logon_type: FieldId,
    pub(crate) status: FieldId,
    pub(crate) sub_status: FieldId,
}

pub(crate) static DATA: LazyLock<Data> = LazyLock::new(|| Data {
    event_type: datum("EventType"),
    logon_type: datum("LogonType"),
    status: datum("Status"),
    sub_status: datum("SubStatus"),
});

/// The field of a datum.
pub(crate) fn datum(name: &str) -> FieldId {
    FieldId::of(&format!("{}{name}", super::DATA))
}

impl Kind {
    /// What an event of a service (`security`, `sysmon`) and id means.
    pub(crate) fn of(service: &str, id: i64) -> &'static Kind {
        static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::new);
        let kinds = &*KINDS;
        let listed = kinds.listed.get(service).and_then(|ids| ids.get(&id));
        listed.unwrap_or(&kinds.other)
    }
}

struct Kinds {
    listed: HashMap<&'static str, HashMap<i64, Kind>>,
    other: Kind,
}

impl Kinds {
    fn new() -> Kinds {
        let mut listed: HashMap<_, HashMap<_, _>> = HashMap::new();
        for (service, ids, [category, action, event_type], verdict, rows) in LISTED {
            for id in *ids {
                let kind =
                    Kind { category, action, event_type, verdict: *verdict, rows: rows_of(rows) };
                listed.entry(*service).or_default().insert(*id, kind);
            }
        }
        let rows = rows_of(&[SUBJECT, CALLER]);
        let verdict = Verdict::Audited;
        Kinds { listed, other: Kind { category: "", action: "", event_type: "", verdict, rows } }
    }
}

fn rows_of(rows: &[&[Row]]) -> Vec<(FieldId, FieldId, How)> {
    rows.iter().copied().flatten().map(|(name, id, how)| (datum(name), *id, *how)).collect()
}

type Row = (&'static str, FieldId, How);
/// Service, ids, category with action and type, verdict, rows.
type Listed = (&'static str, &'static [i64], [&'static str; 3], Verdict, &'static [&'static [Row]]);

/// Who did it.
const SUBJECT: &[Row] = &[
    ("SubjectUserName", names::USER_NAME, How::As),
    ("SubjectDomainName", names::USER_DOMAIN, How::As),
];
/// Who logged in, or tried to.
const TARGET: &[Row] = &[
    ("TargetUserName", names::USER_NAME, How::As),
    ("TargetDomainName", names::USER_DOMAIN, How::As),
];
/// Whose account it was done to.
const DONE_TO: &[Row] = &[
    ("TargetUserName", names::USER_TARGET_NAME, How::As),
    ("TargetSid", names::USER_TARGET_ID, How::As),
];
const RENAMED: &[Row] = &[
    ("OldTargetUserName", names::USER_TARGET_NAME, How::As),
    ("NewTargetUserName", names::USER_CHANGES_NAME, How::As),
];
/// The group, and who came or went.
const MEMBER: &[Row] = &[
    ("TargetUserName", names::GROUP_NAME, How::As),
    ("MemberName", names::USER_TARGET_NAME, How::As),
    ("MemberSid", names::USER_TARGET_ID, How::As),
];
const FROM: &[Row] = &[
    ("IpAddress", names::SOURCE_IP, How::Address),
    ("IpPort", names::SOURCE_PORT, How::Number),
    ("WorkstationName", names::SOURCE_DOMAIN, How::As),
    ("Workstation", names::SOURCE_DOMAIN, How::As),
];
/// With whose credentials, and where to.
const OTHER_CREDENTIALS: &[Row] = &[
    ("TargetUserName", names::USER_TARGET_NAME, How::As),
    ("TargetServerName", names::DESTINATION_DOMAIN, How::As),
];
const CALLER: &[Row] = &[("ProcessName", names::PROCESS_EXECUTABLE, How::As)];
const SERVICE: &[Row] = &[("ServiceName", names::SERVICE_NAME, How::As)];
const REGISTRY: &[Row] = &[
    ("ObjectName", names::REGISTRY_PATH, How::As),
    ("ObjectValueName", names::REGISTRY_VALUE, How::As),
    ("NewValue", names::REGISTRY_DATA_STRINGS, How::As),
];
const STARTED: &[Row] = &[
    ("NewProcessName", names::PROCESS_EXECUTABLE, How::As),
    ("NewProcessId", names::PROCESS_PID, How::Number),
    ("CommandLine", names::PROCESS_COMMAND_LINE, How::As),
    ("ParentProcessName", names::PROCESS_PARENT_EXECUTABLE, How::As),
    ("ProcessId", names::PROCESS_PARENT_PID, How::Number),
];
const ENDED: &[Row] = &[("ProcessId", names::PROCESS_PID, How::Number)];
const FILTERED: &[Row] = &[
    ("Application", names::PROCESS_EXECUTABLE, How::As),
    ("SourceAddress", names::SOURCE_IP, How::Address),
    ("SourcePort", names::SOURCE_PORT, How::Number),
    ("DestAddress", names::DESTINATION_IP, How::Address),
    ("DestPort", names::DESTINATION_PORT, How::Number),
];
/// The process of most of Sysmon's events.
const IMAGE: &[Row] = &[
    ("Image", names::PROCESS_EXECUTABLE, How::As),
    ("ProcessId", names::PROCESS_PID, How::Number),
    ("ProcessGuid", names::PROCESS_ENTITY_ID, How::As),
    ("User", names::USER_NAME, How::Account),
];
const CREATED: &[Row] = &[
    ("CommandLine", names::PROCESS_COMMAND_LINE, How::As),
    ("CurrentDirectory", names::PROCESS_WORKING_DIRECTORY, How::As),
    ("ParentImage", names::PROCESS_PARENT_EXECUTABLE, How::As),
    ("ParentCommandLine", names::PROCESS_PARENT_COMMAND_LINE, How::As),
    ("ParentProcessId", names::PROCESS_PARENT_PID, How::Number),
    ("OriginalFileName", names::PROCESS_PE_ORIGINAL_FILE_NAME, How::As),
    ("Description", names::PROCESS_PE_DESCRIPTION, How::As),
    ("Company", names::PROCESS_PE_COMPANY, How::As),
    ("Product", names::PROCESS_PE_PRODUCT, How::As),
    ("Hashes", names::PROCESS_HASH_SHA256, How::Hashes),
];
const CONNECTED: &[Row] = &[
    ("Protocol", names::NETWORK_TRANSPORT, How::As),
    ("SourceIp", names::SOURCE_IP, How::Address),
    ("SourcePort", names::SOURCE_PORT, How::Number),
    ("SourceHostname", names::SOURCE_DOMAIN, How::As),
    ("DestinationIp", names::DESTINATION_IP, How::Address),
    ("DestinationPort", names::DESTINATION_PORT, How::Number),
    ("DestinationHostname", names::DESTINATION_DOMAIN, How::As),
];
const TARGET_FILE: &[Row] = &[("TargetFilename", names::FILE_PATH, How::As)];
const LOADED: &[Row] = &[("ImageLoaded", names::DLL_PATH, How::As)];
const DRIVER: &[Row] = &[("ImageLoaded", names::FILE_PATH, How::As)];
const KEY: &[Row] = &[
    ("TargetObject", names::REGISTRY_PATH, How::As),
    ("Details", names::REGISTRY_DATA_STRINGS, How::As),
];
const SOURCE_IMAGE: &[Row] = &[
    ("SourceImage", names::PROCESS_EXECUTABLE, How::As),
    ("SourceProcessId", names::PROCESS_PID, How::Number),
    ("SourceUser", names::USER_NAME, How::Account),
];
const PIPE: &[Row] = &[("PipeName", names::FILE_NAME, How::As)];
const QUERY: &[Row] = &[("QueryName", names::DNS_QUESTION_NAME, How::As)];
const THREAT: &[Row] = &[
    ("Threat Name", names::RULE_NAME, How::As),
    ("Category Name", names::RULE_CATEGORY, How::As),
    ("Path", names::FILE_PATH, How::As),
    ("Process Name", names::PROCESS_EXECUTABLE, How::As),
    ("Detection User", names::USER_NAME, How::Account),
];
const SESSION: &[Row] =
    &[("User", names::USER_NAME, How::Account), ("Address", names::SOURCE_IP, How::Address)];
const RECONNECTED: &[Row] = &[
    ("AccountName", names::USER_NAME, How::As),
    ("AccountDomain", names::USER_DOMAIN, How::As),
    ("ClientName", names::SOURCE_DOMAIN, How::As),
    ("ClientAddress", names::SOURCE_IP, How::Address),
];
const FIRST: &[Row] = &[("param1", names::SERVICE_NAME, How::As)];
const TASK: &[Row] = &[("UserContext", names::USER_NAME, How::Account)];
const USER: &[Row] = &[("User", names::USER_NAME, How::Account)];

const SEC: &str = "security";
const SYS: &str = "system";
const SYSMON: &str = "sysmon";
const DEFENDER: &str = "windefend";
const TASKS: &str = "taskscheduler";
const REMOTE: &str = "terminalservices-localsessionmanager";
const AUTH: &str = "authentication";
const CONF: &str = "configuration";

use Verdict::{Audited, Failure, Status, Success};

const LISTED: &[Listed] = &[
    (SEC, &[4624], [AUTH, "login", "start"], Success, &[TARGET, FROM, CALLER]),
    (SEC, &[4625], [AUTH, "login", "start"], Failure, &[TARGET, FROM, CALLER]),
    (SEC, &[4634, 4647], [AUTH, "logoff", "end"], Success, &[TARGET]),
    (
        SEC,
        &[4648],
        [AUTH, "explicit_credentials_login", "start"],
        Success,
        &[SUBJECT, FROM, CALLER, OTHER_CREDENTIALS],
    ),
    (SEC, &[4672], [AUTH, "special_privileges_assigned", "info"], Success, &[SUBJECT]),
    (SEC, &[4768], [AUTH, "kerberos_ticket_requested", "start"], Status, &[TARGET, FROM]),
    (
        SEC,
        &[4769],
        [AUTH, "kerberos_service_ticket_requested", "start"],
        Status,
        &[TARGET, FROM, SERVICE],
    ),
    (SEC, &[4771], [AUTH, "kerberos_preauthentication_failed", "start"], Failure, &[TARGET, FROM]),
    (SEC, &[4776], [AUTH, "credentials_validated", "start"], Status, &[TARGET, FROM]),
    (SEC, &[4740], ["iam", "user_locked_out", "user"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4778], ["session", "session_reconnected", "start"], Success, &[RECONNECTED]),
    (SEC, &[4779], ["session", "session_disconnected", "end"], Success, &[RECONNECTED]),
    (SEC, &[4800], ["session", "workstation_locked", "info"], Success, &[TARGET]),
    (SEC, &[4801], ["session", "workstation_unlocked", "info"], Success, &[TARGET]),
    (SEC, &[4688], ["process", "process_started", "start"], Success, &[STARTED, SUBJECT]),
    (SEC, &[4689], ["process", "process_ended", "end"], Success, &[SUBJECT, CALLER, ENDED]),
    (SEC, &[4720], ["iam", "user_created", "creation"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4722], ["iam", "user_enabled", "change"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4723], ["iam", "password_changed", "change"], Audited, &[SUBJECT, DONE_TO]),
    (SEC, &[4724], ["iam", "password_reset", "change"], Audited, &[SUBJECT, DONE_TO]),
    (SEC, &[4725], ["iam", "user_disabled", "change"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4726], ["iam", "user_deleted", "deletion"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4738], ["iam", "user_changed", "change"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4767], ["iam", "user_unlocked", "change"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4781], ["iam", "user_renamed", "change"], Success, &[SUBJECT, RENAMED]),
    (SEC, &[4741], ["iam", "computer_created", "creation"], Success, &[SUBJECT, DONE_TO]),
    (SEC, &[4727, 4731, 4754], ["iam", "group_created", "creation"], Success, &[SUBJECT, MEMBER]),
    (SEC, &[4730, 4734, 4758], ["iam", "group_deleted", "deletion"], Success, &[SUBJECT, MEMBER]),
    (
        SEC,
        &[4728, 4732, 4756],
        ["iam", "group_member_added", "change"],
        Success,
        &[SUBJECT, MEMBER],
    ),
    (
        SEC,
        &[4729, 4733, 4757],
        ["iam", "group_member_removed", "change"],
        Success,
        &[SUBJECT, MEMBER],
    ),
    (SEC, &[4697], [CONF, "service_installed", "creation"], Success, &[SUBJECT, SERVICE]),
    (SEC, &[4698], [CONF, "scheduled_task_created", "creation"], Success, &[SUBJECT]),
    (SEC, &[4699], [CONF, "scheduled_task_deleted", "deletion"], Success, &[SUBJECT]),
    (SEC, &[4700], [CONF, "scheduled_task_enabled", "change"], Success, &[SUBJECT]),
    (SEC, &[4701], [CONF, "scheduled_task_disabled", "change"], Success, &[SUBJECT]),
    (SEC, &[4702], [CONF, "scheduled_task_changed", "change"], Success, &[SUBJECT]),
    (SEC, &[4719], [CONF, "audit_policy_changed", "change"], Success, &[SUBJECT]),
    (SEC, &[4616], [CONF, "time_changed", "change"], Success, &[SUBJECT, CALLER]),
    (SEC, &[4946], [CONF, "firewall_rule_added", "creation"], Success, &[]),
    (SEC, &[4947], [CONF, "firewall_rule_changed", "change"], Success, &[]),
    (SEC, &[4948], [CONF, "firewall_rule_deleted", "deletion"], Success, &[]),
    (SEC, &[1102], [CONF, "audit_log_cleared", "deletion"], Success, &[SUBJECT]),
    (SEC, &[1100], ["process", "event_log_stopped", "end"], Success, &[]),
    (
        SEC,
        &[4657],
        ["registry", "registry_value_set", "change"],
        Audited,
        &[SUBJECT, CALLER, REGISTRY],
    ),
    (SEC, &[4656], ["file", "handle_requested", "access"], Audited, &[SUBJECT, CALLER]),
    (SEC, &[4663], ["file", "object_accessed", "access"], Audited, &[SUBJECT, CALLER]),
    (SEC, &[4660], ["file", "object_deleted", "deletion"], Audited, &[SUBJECT, CALLER]),
    (SEC, &[5140], ["file", "share_accessed", "access"], Audited, &[SUBJECT, FROM]),
    (SEC, &[5145], ["file", "share_file_accessed", "access"], Audited, &[SUBJECT, FROM]),
    (SEC, &[5136], ["iam", "directory_object_changed", "change"], Success, &[SUBJECT]),
    (SEC, &[5156], ["network", "connection_allowed", "allowed"], Success, &[FILTERED]),
    (SEC, &[5157], ["network", "connection_blocked", "denied"], Failure, &[FILTERED]),
    (SYSMON, &[1], ["process", "process_started", "start"], Audited, &[IMAGE, CREATED]),
    (SYSMON, &[2], ["file", "file_time_changed", "change"], Audited, &[IMAGE, TARGET_FILE]),
    (SYSMON, &[3], ["network", "connection", "connection"], Audited, &[IMAGE, CONNECTED]),
    (SYSMON, &[4, 16], [CONF, "sysmon_changed", "change"], Audited, &[]),
    (SYSMON, &[5], ["process", "process_ended", "end"], Audited, &[IMAGE]),
    (SYSMON, &[6], ["driver", "driver_loaded", "start"], Audited, &[DRIVER]),
    (SYSMON, &[7], ["library", "image_loaded", "start"], Audited, &[IMAGE, LOADED]),
    (SYSMON, &[8], ["process", "remote_thread_created", "change"], Audited, &[SOURCE_IMAGE]),
    (SYSMON, &[9], ["process", "raw_disk_read", "access"], Audited, &[IMAGE]),
    (SYSMON, &[10], ["process", "process_accessed", "access"], Audited, &[SOURCE_IMAGE]),
    (SYSMON, &[11], ["file", "file_created", "creation"], Audited, &[IMAGE, TARGET_FILE]),
    (SYSMON, &[12], ["registry", "registry_key_changed", "change"], Audited, &[IMAGE, KEY]),
    (SYSMON, &[13], ["registry", "registry_value_set", "change"], Audited, &[IMAGE, KEY]),
    (SYSMON, &[14], ["registry", "registry_renamed", "change"], Audited, &[IMAGE, KEY]),
    (SYSMON, &[15], ["file", "stream_created", "creation"], Audited, &[IMAGE, TARGET_FILE]),
    (SYSMON, &[17], ["file", "pipe_created", "creation"], Audited, &[IMAGE, PIPE]),
    (SYSMON, &[18], ["file", "pipe_connected", "access"], Audited, &[IMAGE, PIPE]),
    (SYSMON, &[19, 20, 21], [CONF, "wmi_subscription_changed", "change"], Audited, &[USER]),
    (SYSMON, &[22], ["network", "dns_query", "protocol"], Audited, &[IMAGE, QUERY]),
    (SYSMON, &[23, 26], ["file", "file_deleted", "deletion"], Audited, &[IMAGE, TARGET_FILE]),
    (SYSMON, &[25], ["process", "process_tampered", "change"], Audited, &[IMAGE]),
    (SYSMON, &[27, 28], ["file", "file_blocked", "denied"], Audited, &[IMAGE, TARGET_FILE]),
    (SYSMON, &[29], ["file", "executable_created", "creation"], Audited, &[IMAGE, TARGET_FILE]),
    ("powershell", &[4103], ["process", "powershell_command", "info"], Audited, &[]),
    ("powershell", &[4104], ["process", "powershell_script_block", "info"], Audited, &[]),
    ("powershell-classic", &[400], ["process", "powershell_started", "start"], Audited, &[]),
    (DEFENDER, &[1006, 1015, 1116], ["malware", "malware_detected", "info"], Audited, &[THREAT]),
    (DEFENDER, &[1007, 1117], ["malware", "malware_handled", "info"], Success, &[THREAT]),
    (DEFENDER, &[1008, 1118, 1119], ["malware", "malware_handled", "info"], Failure, &[THREAT]),
    (DEFENDER, &[5001, 5010, 5012], [CONF, "protection_disabled", "change"], Success, &[]),
    (DEFENDER, &[5007], [CONF, "protection_changed", "change"], Success, &[]),
    (SYS, &[104], [CONF, "log_cleared", "deletion"], Success, &[SUBJECT]),
    (SYS, &[7045], [CONF, "service_installed", "creation"], Success, &[SERVICE]),
    (SYS, &[7036], ["process", "service_state_changed", "change"], Audited, &[FIRST]),
    (SYS, &[7040], [CONF, "service_start_changed", "change"], Audited, &[FIRST]),
    (SYS, &[7031, 7034], ["process", "service_crashed", "error"], Failure, &[FIRST]),
    (SYS, &[1074], ["host", "shutdown_requested", "end"], Audited, &[]),
    (SYS, &[6008], ["host", "unexpected_shutdown", "error"], Audited, &[]),
    (TASKS, &[106], [CONF, "scheduled_task_created", "creation"], Success, &[TASK]),
    (TASKS, &[140], [CONF, "scheduled_task_changed", "change"], Success, &[]),
    (TASKS, &[141], [CONF, "scheduled_task_deleted", "deletion"], Success, &[]),
    (REMOTE, &[21, 25], ["session", "session_started", "start"], Success, &[SESSION]),
    (REMOTE, &[23, 24], ["session", "session_ended", "end"], Success, &[SESSION]),
];

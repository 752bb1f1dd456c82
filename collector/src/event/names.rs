//! Field names known at compile time: one list makes the constants, their ids and their texts.
//!
//! The first ones, up to [`HEADER_END`], are answered from an event's header and are never stored
//! as fields, so nothing a line or an agent says can stand in for them. Ids are the position in
//! the list and live no longer than the process: nothing on disk holds one.

use super::FieldId;

macro_rules! known {
    ($($id:ident = $name:literal,)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants below")]
        enum Position { $($id,)* }

        $(
            #[doc = concat!("`", $name, "`")]
            pub const $id: FieldId = FieldId(Position::$id as u32);
        )*

        /// The names, by id.
        pub const KNOWN: &[&str] = &[$($name,)*];
    };
}

/// Ids below this one are answered from the header ([`super::view`]).
pub const HEADER_END: FieldId = MESSAGE;

known! {
    TIMESTAMP = "@timestamp",
    EVENT_CREATED = "event.created",
    EVENT_INGESTED = "event.ingested",
    EVENT_KIND = "event.kind",
    EVENT_DATASET = "event.dataset",
    EVENT_ORIGINAL = "event.original",
    HENGWEI_KIND = "hengwei.kind",
    HENGWEI_SITE = "hengwei.site",
    HENGWEI_SYSTEM = "hengwei.system",
    HENGWEI_TIME_SUSPECT = "hengwei.time.suspect",
    HENGWEI_WEIGHT = "hengwei.weight",
    HENGWEI_SOURCE = "hengwei.source",
    AGENT_ID = "agent.id",
    HOST_NAME = "host.name",
    LOG_FILE_PATH = "log.file.path",

    MESSAGE = "message",
    EVENT_ACTION = "event.action",
    EVENT_CATEGORY = "event.category",
    EVENT_OUTCOME = "event.outcome",
    EVENT_REASON = "event.reason",
    EVENT_CODE = "event.code",
    EVENT_DURATION = "event.duration",
    EVENT_PROVIDER = "event.provider",
    EVENT_MODULE = "event.module",
    EVENT_TYPE = "event.type",
    ERROR_MESSAGE = "error.message",
    ERROR_CODE = "error.code",
    LOG_LEVEL = "log.level",
    LOG_LOGGER = "log.logger",
    LOG_SYSLOG_PRIORITY = "log.syslog.priority",
    LOG_SYSLOG_FACILITY_CODE = "log.syslog.facility.code",
    LOG_SYSLOG_SEVERITY_CODE = "log.syslog.severity.code",
    LOG_SYSLOG_HOSTNAME = "log.syslog.hostname",
    LOG_SYSLOG_MSGID = "log.syslog.msgid",

    SOURCE_IP = "source.ip",
    SOURCE_PORT = "source.port",
    SOURCE_ADDRESS = "source.address",
    SOURCE_DOMAIN = "source.domain",
    SOURCE_USER_ID = "source.user.id",
    SOURCE_USER_NAME = "source.user.name",
    DESTINATION_IP = "destination.ip",
    DESTINATION_PORT = "destination.port",
    DESTINATION_DOMAIN = "destination.domain",
    CLIENT_IP = "client.ip",
    SERVER_IP = "server.ip",
    SERVER_PORT = "server.port",
    NETWORK_TRANSPORT = "network.transport",
    NETWORK_FORWARDED_IP = "network.forwarded_ip",

    USER_NAME = "user.name",
    USER_ID = "user.id",
    USER_HOME = "user.home",
    USER_GROUP = "user.group",
    USER_EFFECTIVE_NAME = "user.effective.name",
    USER_EFFECTIVE_ID = "user.effective.id",
    USER_TARGET_NAME = "user.target.name",
    USER_TARGET_ID = "user.target.id",
    USER_CHANGES_NAME = "user.changes.name",
    GROUP_NAME = "group.name",
    GROUP_ID = "group.id",

    PROCESS_NAME = "process.name",
    PROCESS_PID = "process.pid",
    PROCESS_EXECUTABLE = "process.executable",
    PROCESS_COMMAND_LINE = "process.command_line",
    PROCESS_WORKING_DIRECTORY = "process.working_directory",
    PROCESS_THREAD_ID = "process.thread.id",
    PROCESS_CPU_PCT = "process.cpu.pct",
    PROCESS_MEMORY_RSS_BYTES = "process.memory.rss.bytes",
    PROCESS_PARENT_NAME = "process.parent.name",
    PROCESS_PARENT_EXECUTABLE = "process.parent.executable",
    PROCESS_PARENT_COMMAND_LINE = "process.parent.command_line",

    HTTP_REQUEST_METHOD = "http.request.method",
    HTTP_REQUEST_REFERRER = "http.request.referrer",
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code",
    HTTP_RESPONSE_BODY_BYTES = "http.response.body.bytes",
    HTTP_VERSION = "http.version",
    URL_ORIGINAL = "url.original",
    URL_PATH = "url.path",
    URL_QUERY = "url.query",
    URL_DOMAIN = "url.domain",
    URL_PORT = "url.port",
    USER_AGENT_ORIGINAL = "user_agent.original",

    SERVICE_NAME = "service.name",
    SERVICE_STATE = "service.state",

    FILE_PATH = "file.path",
    FILE_HASH_SHA256 = "file.hash.sha256",
    FILE_SIZE = "file.size",
    FILE_MODE = "file.mode",
    FILE_UID = "file.uid",
    FILE_GID = "file.gid",
    FILE_OWNER = "file.owner",
    FILE_GROUP = "file.group",
    FILE_MTIME = "file.mtime",

    HOST_OS_NAME = "host.os.name",
    HOST_OS_VERSION = "host.os.version",
    HOST_OS_KERNEL = "host.os.kernel",
    HOST_OS_FAMILY = "host.os.family",
    HOST_ARCHITECTURE = "host.architecture",
    HOST_UPTIME = "host.uptime",
    HOST_CPU_MODEL = "host.cpu.model",
    HOST_CPU_CORES = "host.cpu.cores",
    HOST_MEMORY_TOTAL = "host.memory.total",
    HOST_VENDOR = "host.vendor",
    HOST_MODEL = "host.model",
    HOST_SERIAL_NUMBER = "host.serial_number",
    HOST_IP = "host.ip",
    HOST_MAC = "host.mac",
    PACKAGE_NAME = "package.name",
    PACKAGE_VERSION = "package.version",
    PACKAGE_ARCHITECTURE = "package.architecture",
    PACKAGE_TYPE = "package.type",

    SYSTEM_CPU_TOTAL_NORM_PCT = "system.cpu.total.norm.pct",
    SYSTEM_CPU_CORES = "system.cpu.cores",
    SYSTEM_LOAD_1 = "system.load.1",
    SYSTEM_LOAD_5 = "system.load.5",
    SYSTEM_LOAD_15 = "system.load.15",
    SYSTEM_MEMORY_TOTAL = "system.memory.total",
    SYSTEM_MEMORY_USED_BYTES = "system.memory.used.bytes",
    SYSTEM_MEMORY_USED_PCT = "system.memory.used.pct",
    SYSTEM_MEMORY_SWAP_TOTAL = "system.memory.swap.total",
    SYSTEM_MEMORY_SWAP_USED_BYTES = "system.memory.swap.used.bytes",
    SYSTEM_MEMORY_SWAP_USED_PCT = "system.memory.swap.used.pct",
    SYSTEM_FILESYSTEM_MOUNT_POINT = "system.filesystem.mount_point",
    SYSTEM_FILESYSTEM_DEVICE_NAME = "system.filesystem.device_name",
    SYSTEM_FILESYSTEM_TYPE = "system.filesystem.type",
    SYSTEM_FILESYSTEM_TOTAL = "system.filesystem.total",
    SYSTEM_FILESYSTEM_AVAILABLE = "system.filesystem.available",
    SYSTEM_FILESYSTEM_USED_PCT = "system.filesystem.used.pct",
    SYSTEM_DISKIO_NAME = "system.diskio.name",
    SYSTEM_DISKIO_READ_BYTES = "system.diskio.read.bytes",
    SYSTEM_DISKIO_WRITE_BYTES = "system.diskio.write.bytes",
    SYSTEM_NETWORK_NAME = "system.network.name",
    SYSTEM_NETWORK_IN_BYTES = "system.network.in.bytes",
    SYSTEM_NETWORK_OUT_BYTES = "system.network.out.bytes",
    SYSTEM_NETWORK_IN_ERRORS = "system.network.in.errors",
    SYSTEM_NETWORK_OUT_ERRORS = "system.network.out.errors",
    SYSTEM_NETWORK_IN_DROPPED = "system.network.in.dropped",

    HENGWEI_PROBLEM = "hengwei.problem",
    HENGWEI_DECODER = "hengwei.decoder",
    HENGWEI_CHARSET = "hengwei.charset",
    HENGWEI_ORIGINAL_LENGTH = "hengwei.original.length",
    HENGWEI_ORIGINAL_SHA256 = "hengwei.original.sha256",
    HENGWEI_TIER = "hengwei.tier",
    HENGWEI_ZONE = "hengwei.zone",
    HENGWEI_AUTH_METHOD = "hengwei.auth.method",
    HENGWEI_AUTH_INVALID_USER = "hengwei.auth.invalid_user",
    HENGWEI_AUTH_TTY = "hengwei.auth.tty",
    HENGWEI_SSH_KEY_TYPE = "hengwei.ssh.key.type",
    HENGWEI_SSH_KEY_FINGERPRINT = "hengwei.ssh.key.fingerprint",
    HENGWEI_PAM_MODULE = "hengwei.pam.module",
    HENGWEI_PAM_SERVICE = "hengwei.pam.service",
    HENGWEI_PAM_TYPE = "hengwei.pam.type",
    HENGWEI_SESSION_ID = "hengwei.session.id",
    HENGWEI_JOURNAL_UNIT = "hengwei.journal.unit",
    HENGWEI_JOURNAL_TRANSPORT = "hengwei.journal.transport",
    HENGWEI_JOURNAL_USER_ID = "hengwei.journal.user.id",
    HENGWEI_USER_SHELL = "hengwei.user.shell",
    HENGWEI_GROUP_MEMBERS = "hengwei.group.members",
    HENGWEI_INTERFACE_NAME = "hengwei.interface.name",
    HENGWEI_SOCKET_SCOPE = "hengwei.socket.scope",
    HENGWEI_SOCKET_EPHEMERAL = "hengwei.socket.ephemeral",
    HENGWEI_SERVICE_ENABLED = "hengwei.service.enabled",
    HENGWEI_SERVICE_UNIT_FILE = "hengwei.service.unit_file",
    HENGWEI_ASSET_KEY = "hengwei.asset.key",
    HENGWEI_ASSET_SNAPSHOT = "hengwei.asset.snapshot",
    HENGWEI_ASSET_CHANGED = "hengwei.asset.changed",
    HENGWEI_ASSET_PREVIOUS = "hengwei.asset.previous",
    HENGWEI_FIM_PREVIOUS_SHA256 = "hengwei.fim.previous.sha256",
    HENGWEI_FIM_PREVIOUS_MODE = "hengwei.fim.previous.mode",
    HENGWEI_FIM_PREVIOUS_OWNER = "hengwei.fim.previous.owner",
    HENGWEI_FIM_PREVIOUS_GROUP = "hengwei.fim.previous.group",
    HENGWEI_FIM_PREVIOUS_SIZE = "hengwei.fim.previous.size",
    HENGWEI_FIM_PACKAGE = "hengwei.fim.package",
    HENGWEI_FIM_PACKAGE_MATCH = "hengwei.fim.package_match",
    HENGWEI_FIM_AREA = "hengwei.fim.area",
    HENGWEI_GAP_CAUSE = "hengwei.gap.cause",
    HENGWEI_GAP_DETAIL = "hengwei.gap.detail",
    HENGWEI_GAP_SPAN = "hengwei.gap.span",
    HENGWEI_GAP_RECORDS = "hengwei.gap.records",
    HENGWEI_GAP_BYTES = "hengwei.gap.bytes",
    HENGWEI_SUBJECT_AGENT = "hengwei.subject.agent",
    HENGWEI_SUBJECT_SITE = "hengwei.subject.site",
    HENGWEI_SUBJECT_SYSTEM = "hengwei.subject.system",
    HENGWEI_WEB_FORWARDED_FOR = "hengwei.web.forwarded_for",
    HENGWEI_WEB_REQUEST_SECONDS = "hengwei.web.request_seconds",
}

/// Fields that hold addresses: text that is one is kept as an address, so that `cidr` works.
pub const ADDRESSES: &[FieldId] =
    &[SOURCE_IP, DESTINATION_IP, CLIENT_IP, SERVER_IP, NETWORK_FORWARDED_IP, HOST_IP];

/// Under which name a header field that a line or a typed record names itself is kept: what it
/// claims is evidence, but it is not what the header says.
pub const CLAIMED_PREFIX: &str = "hengwei.claimed.";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_at_their_id() {
        assert_eq!(KNOWN.iter().collect::<HashSet<_>>().len(), KNOWN.len());
        for (id, name) in [(TIMESTAMP, "@timestamp"), (SOURCE_IP, "source.ip")] {
            assert_eq!(KNOWN[id.0 as usize], name);
        }
        assert_eq!(
            KNOWN[HENGWEI_WEB_REQUEST_SECONDS.0 as usize],
            *KNOWN.last().expect("not empty")
        );
    }
}

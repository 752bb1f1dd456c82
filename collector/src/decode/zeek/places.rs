//! What the keys of Zeek's logs mean: one table per log, beside those that all have.

use std::sync::LazyLock;

use crate::decode::json::places::Place::{self, Both, Lower, Nothing, Protocol, Special, To};
use crate::decode::json::places::Places;
use crate::event::names;

/// One of Zeek's logs.
#[derive(Debug)]
pub(super) struct Log {
    /// Its name, that of its file.
    pub(super) name: &'static str,
    pub(super) dataset: &'static str,
    /// What its own names are kept below.
    vendor: &'static str,
    pub(super) category: &'static str,
    pub(super) action: &'static str,
    pub(super) protocol: &'static str,
    pub(super) security: bool,
    /// Keys that only its lines have.
    pub(super) marks: &'static [&'static str],
    rows: &'static [(&'static str, Place)],
}

impl Log {
    /// Where its values belong.
    pub(super) fn places(&self) -> &'static Places {
        let at = LOGS.iter().position(|log| log.name == self.name).unwrap_or_default();
        TABLES.get(at).unwrap_or(&TABLES[0])
    }
}

static TABLES: LazyLock<Vec<Places>> = LazyLock::new(|| {
    let rows = |log: &Log| COMMON.iter().chain(log.rows).copied().collect::<Vec<_>>();
    LOGS.iter().map(|log| Places::new(log.vendor, &rows(log))).collect()
});

/// What means the same in every log.
const COMMON: &[(&str, Place)] = &[
    ("id.orig_p", To(names::SOURCE_PORT)),
    ("id.resp_p", To(names::DESTINATION_PORT)),
    ("proto", Protocol),
    ("community_id", To(names::NETWORK_COMMUNITY_ID)),
    ("vlan", To(names::NETWORK_VLAN_ID)),
    ("password", Nothing),
];

const fn log(
    [name, dataset, vendor]: [&'static str; 3],
    [category, action, protocol]: [&'static str; 3],
    marks: &'static [&'static str],
    rows: &'static [(&'static str, Place)],
) -> Log {
    Log { name, dataset, vendor, category, action, protocol, security: false, marks, rows }
}

/// Every log with a table of its own; the last is any other. Of two whose marks a line has the first
/// decides.
pub(super) const LOGS: &[Log] = &[
    log(
        ["conn", "zeek.conn", "zeek.conn"],
        ["network", "network_flow", ""],
        &["\"conn_state\":"],
        &[
            ("service", Lower(names::NETWORK_PROTOCOL)),
            ("duration", Special),
            ("orig_ip_bytes", To(names::SOURCE_BYTES)),
            ("resp_ip_bytes", To(names::DESTINATION_BYTES)),
            ("orig_pkts", To(names::SOURCE_PACKETS)),
            ("resp_pkts", To(names::DESTINATION_PACKETS)),
            ("orig_l2_addr", Lower(names::SOURCE_MAC)),
            ("resp_l2_addr", Lower(names::DESTINATION_MAC)),
        ],
    ),
    log(
        ["dns", "zeek.dns", "zeek.dns"],
        ["network", "dns_query", "dns"],
        &["\"qtype_name\":", "\"rcode_name\":", "\"RA\":"],
        &[
            ("query", To(names::DNS_QUESTION_NAME)),
            ("qtype_name", To(names::DNS_QUESTION_TYPE)),
            ("qclass_name", To(names::DNS_QUESTION_CLASS)),
            ("rcode_name", To(names::DNS_RESPONSE_CODE)),
            ("answers", To(names::DNS_ANSWERS_DATA)),
            ("trans_id", To(names::DNS_ID)),
        ],
    ),
    log(
        ["http", "zeek.http", "zeek.http"],
        ["web", "http_request", "http"],
        &["\"trans_depth\":"],
        &[
            ("method", To(names::HTTP_REQUEST_METHOD)),
            ("host", To(names::URL_DOMAIN)),
            ("uri", Special),
            ("referrer", To(names::HTTP_REQUEST_REFERRER)),
            ("version", To(names::HTTP_VERSION)),
            ("user_agent", To(names::USER_AGENT_ORIGINAL)),
            ("request_body_len", To(names::HTTP_REQUEST_BODY_BYTES)),
            ("response_body_len", To(names::HTTP_RESPONSE_BODY_BYTES)),
            ("status_code", Special),
            ("username", To(names::USER_NAME)),
            ("orig_mime_types", To(names::HTTP_REQUEST_MIME_TYPE)),
            ("resp_mime_types", To(names::HTTP_RESPONSE_MIME_TYPE)),
        ],
    ),
    log(
        ["ssl", "zeek.ssl", "zeek.ssl"],
        ["network", "tls_handshake", "tls"],
        &["\"resumed\":", "\"ja3\":"],
        &[
            ("version", To(names::TLS_VERSION)),
            ("cipher", To(names::TLS_CIPHER)),
            ("server_name", To(names::TLS_CLIENT_SERVER_NAME)),
            ("subject", To(names::TLS_SERVER_SUBJECT)),
            ("issuer", To(names::TLS_SERVER_ISSUER)),
            ("established", To(names::TLS_ESTABLISHED)),
            ("ja3", To(names::TLS_CLIENT_JA3)),
            ("ja3s", To(names::TLS_SERVER_JA3S)),
        ],
    ),
    log(
        ["ssh", "zeek.ssh", "zeek.ssh"],
        ["network", "ssh_connection", "ssh"],
        &["\"auth_attempts\":", "\"kex_alg\":"],
        &[("auth_success", Special), ("direction", Lower(names::NETWORK_DIRECTION))],
    ),
    log(
        ["smb_files", "zeek.smb_files", "zeek.smb_files"],
        ["file", "", "smb"],
        &["\"SMB::"],
        &[
            ("action", Special),
            ("name", Both(names::FILE_NAME)),
            ("path", Both(names::HENGWEI_SHARE_NAME)),
            ("size", To(names::FILE_SIZE)),
        ],
    ),
    log(
        ["smb_mapping", "zeek.smb_mapping", "zeek.smb_mapping"],
        ["network", "share_mapped", "smb"],
        &["\"share_type\":"],
        &[("path", Both(names::HENGWEI_SHARE_NAME))],
    ),
    log(
        ["dce_rpc", "zeek.dce_rpc", "zeek.dce_rpc"],
        ["network", "rpc_call", "dce_rpc"],
        &["\"named_pipe\":", "\"operation\":"],
        &[],
    ),
    log(
        ["kerberos", "zeek.kerberos", "zeek.kerberos"],
        ["authentication", "kerberos_ticket", "kerberos"],
        &["\"request_type\":"],
        &[("client", Special), ("success", Special), ("error_msg", To(names::EVENT_REASON))],
    ),
    log(
        ["ntlm", "zeek.ntlm", "zeek.ntlm"],
        ["authentication", "ntlm_login", "ntlm"],
        &["\"server_nb_computer_name\":", "\"domainname\":"],
        &[
            ("username", To(names::USER_NAME)),
            ("domainname", To(names::USER_DOMAIN)),
            ("hostname", To(names::SOURCE_DOMAIN)),
            ("success", Special),
        ],
    ),
    log(
        ["rdp", "zeek.rdp", "zeek.rdp"],
        ["network", "rdp_connection", "rdp"],
        &["\"security_protocol\":", "\"keyboard_layout\":"],
        &[],
    ),
    log(
        ["radius", "zeek.radius", "zeek.radius"],
        ["authentication", "radius_login", "radius"],
        &["\"framed_addr\":", "\"connect_info\":"],
        &[
            ("username", To(names::USER_NAME)),
            ("result", Special),
            ("mac", Lower(names::SOURCE_MAC)),
        ],
    ),
    log(
        ["x509", "zeek.x509", "zeek.x509"],
        ["network", "certificate_seen", "tls"],
        &["\"certificate.serial\":"],
        &[
            ("certificate.subject", Both(names::TLS_SERVER_SUBJECT)),
            ("certificate.issuer", Both(names::TLS_SERVER_ISSUER)),
        ],
    ),
    Log {
        security: true,
        ..log(
            ["notice", "zeek.notice", "zeek.notice"],
            ["intrusion_detection", "notice", ""],
            &["\"note\":", "\"suppress_for\":"],
            &[
                ("note", To(names::RULE_NAME)),
                ("msg", To(names::MESSAGE)),
                ("src", Special),
                ("dst", Special),
                ("p", To(names::DESTINATION_PORT)),
            ],
        )
    },
    log(
        ["weird", "zeek.weird", "zeek.weird"],
        ["network", "weird", ""],
        &["\"notice\":"],
        &[("name", Both(names::EVENT_REASON))],
    ),
    log(
        ["files", "zeek.files", "zeek.files"],
        ["file", "file_transferred", ""],
        &["\"tx_hosts\":", "\"seen_bytes\":"],
        &[
            ("source", Lower(names::NETWORK_PROTOCOL)),
            ("filename", To(names::FILE_NAME)),
            ("total_bytes", To(names::FILE_SIZE)),
            ("md5", Lower(names::FILE_HASH_MD5)),
            ("sha1", Lower(names::FILE_HASH_SHA1)),
            ("sha256", Lower(names::FILE_HASH_SHA256)),
        ],
    ),
    log(
        ["ftp", "zeek.ftp", "zeek.ftp"],
        ["network", "ftp_command", "ftp"],
        &["\"reply_msg\":", "\"data_channel."],
        &[("user", To(names::USER_NAME)), ("file_size", To(names::FILE_SIZE))],
    ),
    log(
        ["smtp", "zeek.smtp", "zeek.smtp"],
        ["email", "smtp", "smtp"],
        &["\"helo\":", "\"mailfrom\":"],
        &[
            ("helo", To(names::HENGWEI_MAIL_HELO)),
            ("mailfrom", To(names::EMAIL_FROM_ADDRESS)),
            ("rcptto", To(names::EMAIL_TO_ADDRESS)),
            ("subject", To(names::EMAIL_SUBJECT)),
            ("msg_id", To(names::EMAIL_MESSAGE_ID)),
            ("user_agent", To(names::USER_AGENT_ORIGINAL)),
        ],
    ),
    log(
        ["dhcp", "zeek.dhcp", "zeek.dhcp"],
        ["network", "dhcp_lease", "dhcp"],
        &["\"msg_types\":"],
        &[("mac", Lower(names::SOURCE_MAC)), ("host_name", To(names::SOURCE_DOMAIN))],
    ),
    log(
        ["sip", "zeek.sip", "zeek.sip"],
        ["network", "sip_request", "sip"],
        &["\"call_id\":"],
        &[
            ("method", To(names::SIP_METHOD)),
            ("status_code", To(names::SIP_STATUS_CODE)),
            ("call_id", To(names::SIP_CALL_ID)),
            ("request_from", To(names::SIP_FROM_URI)),
            ("request_to", To(names::SIP_TO_URI)),
            ("user_agent", To(names::USER_AGENT_ORIGINAL)),
        ],
    ),
    log(
        ["snmp", "zeek.snmp", "zeek.snmp"],
        ["network", "snmp", "snmp"],
        &[],
        &[("community", Nothing)],
    ),
    log(
        ["tunnel", "zeek.tunnel", "zeek.tunnel"],
        ["network", "tunnel", ""],
        &["\"tunnel_type\":"],
        &[],
    ),
    log(["software", "zeek.software", "zeek.software"], ["network", "software_seen", ""], &[], &[]),
    log(["", "zeek", "zeek.other"], ["network", "", ""], &[], &[]),
];

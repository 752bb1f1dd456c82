//! `eve.json` of Suricata: alerts, and what it saw of names, web requests, certificates, files and flows.
//!
//! ```text
//! {"timestamp":"2026-11-22T08:00:00.123456+0800","flow_id":1,"event_type":"alert","src_ip":"203.0.113.9",…,"alert":{"action":"allowed","signature_id":9000001,…}}
//! ```
//!
//! Each kind of event has a dataset of its own, `suricata.alert`, `suricata.dns` and so on. What has an ECS
//! name gets it, as Filebeat's module does; the rest stays under `suricata.eve.`. `event.severity` is
//! Suricata's own number, of which 1 is the gravest.
//!
//! Host names, URLs, user agents and names of files are what the peers sent. JSON quotes them, and what a
//! value means is told by where it stands, so they cannot pose as anything else. A key that stands twice
//! could only be written by who may write the file: two different values for an end of a connection are
//! said, and neither is taken. Packets and payloads stay in the original only.

use std::sync::LazyLock;

use super::json::places::Place::{self, Both, Lower, Nothing, Protocol, Special, To};
use super::json::places::Places;
use super::json::{self, Scalar};
use super::out::Out;
use super::{Decoder, Line, Looks, access, time};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "suricata",
    datasets: &[
        "suricata",
        "suricata.alert",
        "suricata.anomaly",
        "suricata.dcerpc",
        "suricata.dhcp",
        "suricata.dns",
        "suricata.drop",
        "suricata.fileinfo",
        "suricata.flow",
        "suricata.ftp",
        "suricata.http",
        "suricata.krb5",
        "suricata.mqtt",
        "suricata.netflow",
        "suricata.nfs",
        "suricata.quic",
        "suricata.rdp",
        "suricata.sip",
        "suricata.smb",
        "suricata.smtp",
        "suricata.snmp",
        "suricata.ssh",
        "suricata.stats",
        "suricata.tls",
    ],
    programs: &["suricata"],
    paths: &["suricata", "eve.json"],
    looks: Looks { first: b"{", test: looks_like },
    security: false,
    decode,
};

/// Nanoseconds of a second.
const SECOND_NANOS: i64 = 1_000_000_000;
/// Of its own counters only these: there are hundreds, every eight seconds.
const COUNTERS: &[&str] = &[
    "stats.uptime",
    "stats.capture.kernel_packets",
    "stats.capture.kernel_drops",
    "stats.decoder.pkts",
    "stats.decoder.bytes",
    "stats.detect.alert",
];

/// Where values belong.
const PLACES: &[(&str, Place)] = &[
    ("timestamp", Special),
    ("event_type", Special),
    ("src_ip", Special),
    ("dest_ip", Special),
    ("src_port", To(names::SOURCE_PORT)),
    ("dest_port", To(names::DESTINATION_PORT)),
    ("proto", Protocol),
    ("app_proto", Special),
    ("community_id", To(names::NETWORK_COMMUNITY_ID)),
    ("vlan", To(names::NETWORK_VLAN_ID)),
    ("in_iface", To(names::OBSERVER_INGRESS_INTERFACE_NAME)),
    ("host", To(names::OBSERVER_NAME)),
    ("ether.src_mac", Lower(names::SOURCE_MAC)),
    ("ether.dest_mac", Lower(names::DESTINATION_MAC)),
    ("packet", Nothing),
    ("payload", Nothing),
    ("payload_printable", Nothing),
    ("stream", Nothing),
    ("alert.action", Special),
    ("alert.signature", To(names::RULE_NAME)),
    ("alert.signature_id", To(names::RULE_ID)),
    ("alert.rev", To(names::RULE_VERSION)),
    ("alert.category", To(names::RULE_CATEGORY)),
    ("alert.severity", To(names::EVENT_SEVERITY)),
    ("alert.metadata.cve", To(names::VULNERABILITY_ID)),
    ("alert.metadata.mitre_technique_id", To(names::THREAT_TECHNIQUE_ID)),
    ("dns.rrname", To(names::DNS_QUESTION_NAME)),
    ("dns.rrtype", To(names::DNS_QUESTION_TYPE)),
    ("dns.queries.rrname", To(names::DNS_QUESTION_NAME)),
    ("dns.queries.rrtype", To(names::DNS_QUESTION_TYPE)),
    ("dns.query.rrname", To(names::DNS_QUESTION_NAME)),
    ("dns.query.rrtype", To(names::DNS_QUESTION_TYPE)),
    ("dns.answer.rrname", To(names::DNS_QUESTION_NAME)),
    ("dns.answer.rrtype", To(names::DNS_QUESTION_TYPE)),
    ("dns.type", Special),
    ("dns.id", To(names::DNS_ID)),
    ("dns.rcode", To(names::DNS_RESPONSE_CODE)),
    ("dns.rdata", To(names::DNS_ANSWERS_DATA)),
    ("dns.answers.rdata", To(names::DNS_ANSWERS_DATA)),
    ("dns.answers.rrname", To(names::DNS_ANSWERS_NAME)),
    ("dns.answers.rrtype", To(names::DNS_ANSWERS_TYPE)),
    ("http.hostname", To(names::URL_DOMAIN)),
    ("http.url", Special),
    ("http.http_method", To(names::HTTP_REQUEST_METHOD)),
    ("http.http_user_agent", To(names::USER_AGENT_ORIGINAL)),
    ("http.http_refer", To(names::HTTP_REQUEST_REFERRER)),
    ("http.http_content_type", To(names::HTTP_RESPONSE_MIME_TYPE)),
    ("http.status", Special),
    ("http.length", To(names::HTTP_RESPONSE_BODY_BYTES)),
    ("http.http_port", To(names::URL_PORT)),
    ("http.protocol", Special),
    ("http.xff", Special),
    ("http.http_request_body", Nothing),
    ("http.http_response_body", Nothing),
    ("tls.sni", To(names::TLS_CLIENT_SERVER_NAME)),
    ("tls.version", To(names::TLS_VERSION)),
    ("tls.subject", To(names::TLS_SERVER_SUBJECT)),
    ("tls.issuerdn", To(names::TLS_SERVER_ISSUER)),
    ("tls.fingerprint", To(names::TLS_SERVER_HASH_SHA1)),
    ("tls.ja3.hash", To(names::TLS_CLIENT_JA3)),
    ("tls.ja3s.hash", To(names::TLS_SERVER_JA3S)),
    ("tls.certificate", Nothing),
    ("tls.chain", Nothing),
    ("quic.sni", To(names::TLS_CLIENT_SERVER_NAME)),
    ("fileinfo.filename", Special),
    ("fileinfo.size", To(names::FILE_SIZE)),
    ("fileinfo.md5", Lower(names::FILE_HASH_MD5)),
    ("fileinfo.sha1", Lower(names::FILE_HASH_SHA1)),
    ("fileinfo.sha256", Lower(names::FILE_HASH_SHA256)),
    ("smb.filename", To(names::FILE_PATH)),
    ("smb.share", To(names::HENGWEI_SHARE_NAME)),
    ("smb.ntlmssp.user", To(names::USER_NAME)),
    ("smb.ntlmssp.domain", To(names::USER_DOMAIN)),
    ("krb5.cname", To(names::USER_NAME)),
    ("krb5.realm", To(names::USER_DOMAIN)),
    ("smtp.mail_from", To(names::EMAIL_FROM_ADDRESS)),
    ("smtp.rcpt_to", To(names::EMAIL_TO_ADDRESS)),
    ("smtp.helo", To(names::HENGWEI_MAIL_HELO)),
    ("email.subject", To(names::EMAIL_SUBJECT)),
    ("email.message_id", To(names::EMAIL_MESSAGE_ID)),
    // A password would stand there.
    ("ftp.command_data", Nothing),
    ("snmp.community", Nothing),
    ("mqtt.connect.password", Nothing),
    ("pgsql.request.password", Nothing),
    ("flow.bytes_toserver", To(names::SOURCE_BYTES)),
    ("flow.bytes_toclient", To(names::DESTINATION_BYTES)),
    ("flow.pkts_toserver", To(names::SOURCE_PACKETS)),
    ("flow.pkts_toclient", To(names::DESTINATION_PACKETS)),
    ("flow.start", To(names::EVENT_START)),
    ("flow.end", To(names::EVENT_END)),
    ("flow.age", Special),
    ("netflow.bytes", To(names::NETWORK_BYTES)),
    ("netflow.pkts", To(names::NETWORK_PACKETS)),
    ("netflow.start", To(names::EVENT_START)),
    ("netflow.end", To(names::EVENT_END)),
    ("anomaly.event", Both(names::EVENT_REASON)),
];

static TABLE: LazyLock<Places> = LazyLock::new(|| Places::new("suricata.eve", PLACES));

/// How far into a line its kind stands.
const HEAD: usize = 192;

/// Lines as Suricata writes them; those in another order `json` knows by their names.
fn looks_like(line: &str) -> bool {
    let head = || line.get(..line.floor_char_boundary(HEAD)).unwrap_or_default();
    line.starts_with("{\"timestamp\":\"") && {
        let head = head();
        head.contains("\"event_type\":")
            && (head.contains("\"flow_id\":") || head.contains("\"stats\":{"))
    }
}

/// What of a line was seen.
#[derive(Default)]
struct Seen {
    /// Its dataset, and the kind it names.
    dataset: Option<&'static str>,
    dated: bool,
    ends: [json::Once; 2],
    blocked: Option<bool>,
    answer: bool,
    served: Option<bool>,
    located: bool,
    left_out: bool,
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !json::looks_like(line.message) {
        return false;
    }
    let mut seen = Seen::default();
    let whole =
        json::each(line.message, out, &mut |path, value, out| part(path, value, &mut seen, out));
    let Some(dataset) = seen.dataset.filter(|_| whole && seen.dated) else { return false };
    out.dataset = Some(dataset);
    if seen.left_out {
        out.problem("a field is left out: no room for its name");
    }
    for (end, id) in seen.ends.iter().zip([names::SOURCE_IP, names::DESTINATION_IP]) {
        end.conclude(id, out);
    }
    conclude(&seen, dataset, out);
    true
}

fn part(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    if path.starts_with("stats.") {
        if COUNTERS.contains(&path) {
            seen.left_out |= !TABLE.keep(path, value, out);
        }
        return;
    }
    if TABLE.of(path) != Special {
        seen.left_out |= !TABLE.put(path, value, out);
        return;
    }
    let text = value.text().unwrap_or_default();
    match path {
        "timestamp" => {
            if let Some((stamp, _)) = time::iso(text.as_bytes()) {
                seen.dated = true;
                out.stamp(&stamp);
            }
        }
        "event_type" => {
            let own = |name: &&&str| name.strip_prefix("suricata.") == Some(text);
            seen.dataset = DECODER.datasets.iter().find(own).or(DECODER.datasets.first()).copied();
            TABLE.keep(path, value, out);
        }
        "src_ip" => seen.ends[0].tell(text),
        "dest_ip" => seen.ends[1].tell(text),
        "app_proto" if !matches!(text, "failed" | "unknown") => {
            out.some(names::NETWORK_PROTOCOL, text);
        }
        "alert.action" => seen.blocked = Some(text == "blocked"),
        "dns.type" => seen.answer = matches!(text, "answer" | "response"),
        "http.url" if !seen.located => {
            seen.located = true;
            access::located(text, out);
        }
        "http.status" => {
            if let Some(status) = value.integer().filter(|status| (100..1_000).contains(status)) {
                out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
                seen.served = Some(status < 400);
            }
        }
        "http.protocol" => {
            out.some(names::HTTP_VERSION, text.strip_prefix("HTTP/").unwrap_or(text));
        }
        "http.xff" => {
            out.some(names::HENGWEI_WEB_FORWARDED_FOR, text);
            access::forwarded(text, out);
        }
        "fileinfo.filename" => {
            out.some(names::FILE_PATH, text);
            out.some(names::FILE_NAME, text.rsplit(['/', '\\']).next().unwrap_or_default());
        }
        "flow.age" => {
            let nanos = value.integer().and_then(|seconds| seconds.checked_mul(SECOND_NANOS));
            if let Some(nanos) = nanos.filter(|nanos| *nanos >= 0) {
                out.integer(names::EVENT_DURATION, nanos);
            }
        }
        _ => {}
    }
}

/// Says what the event is as a whole.
fn conclude(seen: &Seen, dataset: &'static str, out: &mut Out) {
    out.word(names::OBSERVER_PRODUCT, "Suricata");
    out.word(names::OBSERVER_TYPE, "ids");
    match dataset {
        "suricata.alert" => {
            out.security = true;
            let blocked = seen.blocked == Some(true);
            out.event("intrusion_detection", if blocked { "deny" } else { "alert" });
            if let Some(blocked) = seen.blocked {
                out.word(names::EVENT_TYPE, if blocked { "denied" } else { "allowed" });
            }
        }
        "suricata.drop" => {
            out.event("network", "drop");
            out.word(names::EVENT_TYPE, "denied");
        }
        "suricata.dns" => {
            out.event("network", if seen.answer { "dns_answer" } else { "dns_query" })
        }
        "suricata.http" => {
            out.event("web", "http_request");
            // How a request went says nothing of how an attack did.
            if let Some(served) = seen.served {
                out.outcome(served);
            }
        }
        "suricata.fileinfo" => out.event("file", "file_transferred"),
        "suricata.flow" | "suricata.netflow" => out.event("network", "network_flow"),
        "suricata.anomaly" => out.event("network", "anomaly"),
        "suricata.stats" => out.event("host", "stats"),
        "suricata.smtp" => out.event("email", "smtp"),
        _ => out.word(names::EVENT_CATEGORY, "network"),
    }
    protocol(dataset, out);
}

/// The protocol that a kind of event is about, where nothing names it.
fn protocol(dataset: &'static str, out: &mut Out) {
    const PROTOCOLS: &[&str] = &[
        "dcerpc", "dhcp", "dns", "ftp", "http", "krb5", "mqtt", "nfs", "quic", "rdp", "sip", "smb",
        "smtp", "snmp", "ssh", "tls",
    ];
    let id: FieldId = names::NETWORK_PROTOCOL;
    if let Some(kind) = dataset.strip_prefix("suricata.")
        && PROTOCOLS.contains(&kind)
        && !out.has(id)
    {
        out.word(id, kind);
    }
}

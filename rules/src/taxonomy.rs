//! Sigma's own field names in ECS terms, by log source.
//!
//! A rule that names no taxonomy uses Sigma's names; decoded events carry ECS names. The first
//! table whose log source a rule's keys include decides; a name that is in no table is looked up as
//! it is written.

use crate::LogSource;

struct Table {
    /// The keys a rule's log source must have: category, product, service.
    source: [Option<&'static str>; 3],
    /// Sigma's name, ECS name.
    fields: &'static [(&'static str, &'static str)],
}

/// The ECS name of a field of a rule for `source`.
pub fn ecs<'a>(source: &LogSource, field: &'a str) -> &'a str {
    let keys = [&source.category, &source.product, &source.service];
    TABLES
        .iter()
        .filter(|table| {
            table
                .source
                .iter()
                .zip(keys)
                .all(|(wanted, found)| wanted.is_none_or(|wanted| found.as_deref() == Some(wanted)))
        })
        .find_map(|table| table.fields.iter().find(|(sigma, _)| *sigma == field))
        .map_or(field, |(_, ecs)| *ecs)
}

const TABLES: &[Table] = &[
    Table { source: [Some("webserver"), None, None], fields: WEB },
    Table { source: [Some("proxy"), None, None], fields: WEB },
    Table { source: [Some("process_creation"), None, None], fields: PROCESS },
    Table { source: [Some("file_event"), None, None], fields: FILE },
    Table { source: [Some("file_change"), None, None], fields: FILE },
    Table { source: [Some("file_delete"), None, None], fields: FILE },
    Table { source: [Some("network_connection"), None, None], fields: NETWORK },
    Table { source: [Some("firewall"), None, None], fields: FIREWALL },
    Table { source: [Some("dns"), None, None], fields: DNS },
    Table { source: [Some("dns_query"), None, None], fields: DNS },
    Table { source: [None, Some("linux"), Some("sshd")], fields: AUTH },
    Table { source: [None, Some("linux"), Some("sudo")], fields: AUTH },
    Table { source: [None, Some("linux"), Some("su")], fields: AUTH },
    Table { source: [None, Some("linux"), Some("auth")], fields: AUTH },
    Table { source: [None, Some("linux"), None], fields: LINUX },
];

const WEB: &[(&str, &str)] = &[
    ("c-ip", "source.ip"),
    ("src_ip", "source.ip"),
    ("s-ip", "destination.ip"),
    ("dst_ip", "destination.ip"),
    ("s-port", "destination.port"),
    ("cs-method", "http.request.method"),
    ("cs-uri", "url.original"),
    ("c-uri", "url.original"),
    ("cs-uri-stem", "url.path"),
    ("c-uri-stem", "url.path"),
    ("cs-uri-query", "url.query"),
    ("c-uri-query", "url.query"),
    ("c-uri-extension", "url.extension"),
    ("cs-host", "url.domain"),
    ("r-dns", "url.domain"),
    ("cs-version", "http.version"),
    ("sc-status", "http.response.status_code"),
    ("sc-bytes", "http.response.body.bytes"),
    ("cs-bytes", "http.request.body.bytes"),
    ("cs-user-agent", "user_agent.original"),
    ("c-useragent", "user_agent.original"),
    ("cs-referer", "http.request.referrer"),
    ("cs-referrer", "http.request.referrer"),
    ("cs-username", "user.name"),
    ("cs-cookie", "http.request.cookie"),
    ("cs-content-type", "http.request.mime_type"),
];

const PROCESS: &[(&str, &str)] = &[
    ("Image", "process.executable"),
    ("CommandLine", "process.command_line"),
    ("CurrentDirectory", "process.working_directory"),
    ("ProcessId", "process.pid"),
    ("ProcessGuid", "process.entity_id"),
    ("ParentImage", "process.parent.executable"),
    ("ParentCommandLine", "process.parent.command_line"),
    ("ParentProcessId", "process.parent.pid"),
    ("User", "user.name"),
    ("LogonId", "user.id"),
    ("Computer", "host.name"),
    ("ComputerName", "host.name"),
    ("md5", "process.hash.md5"),
    ("sha1", "process.hash.sha1"),
    ("sha256", "process.hash.sha256"),
];

const FILE: &[(&str, &str)] = &[
    ("TargetFilename", "file.path"),
    ("Image", "process.executable"),
    ("ProcessId", "process.pid"),
    ("User", "user.name"),
    ("Computer", "host.name"),
];

const NETWORK: &[(&str, &str)] = &[
    ("Image", "process.executable"),
    ("ProcessId", "process.pid"),
    ("User", "user.name"),
    ("Protocol", "network.transport"),
    ("SourceIp", "source.ip"),
    ("SourcePort", "source.port"),
    ("SourceHostname", "source.domain"),
    ("DestinationIp", "destination.ip"),
    ("DestinationPort", "destination.port"),
    ("DestinationHostname", "destination.domain"),
    ("Computer", "host.name"),
];

const FIREWALL: &[(&str, &str)] = &[
    ("src_ip", "source.ip"),
    ("src_port", "source.port"),
    ("dst_ip", "destination.ip"),
    ("dst_port", "destination.port"),
    ("username", "user.name"),
    ("action", "event.action"),
    ("protocol", "network.transport"),
];

const DNS: &[(&str, &str)] = &[
    ("query", "dns.question.name"),
    ("QueryName", "dns.question.name"),
    ("record_type", "dns.question.type"),
    ("answer", "dns.answers.data"),
    ("Image", "process.executable"),
    ("src_ip", "source.ip"),
];

const AUTH: &[(&str, &str)] = &[
    ("User", "user.name"),
    ("user", "user.name"),
    ("username", "user.name"),
    ("USER", "user.effective.name"),
    ("SourceIp", "source.ip"),
    ("src_ip", "source.ip"),
    ("src", "source.ip"),
    ("src_port", "source.port"),
    ("CommandLine", "process.command_line"),
    ("COMMAND", "process.command_line"),
    ("Image", "process.executable"),
    ("pid", "process.pid"),
    ("host", "host.name"),
    ("hostname", "host.name"),
];

const LINUX: &[(&str, &str)] = &[
    ("Computer", "host.name"),
    ("hostname", "host.name"),
    ("User", "user.name"),
    ("Image", "process.executable"),
    ("CommandLine", "process.command_line"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn source(category: &str, product: &str, service: &str) -> LogSource {
        let key = |text: &str| (!text.is_empty()).then(|| text.into());
        LogSource { category: key(category), product: key(product), service: key(service) }
    }

    #[test]
    fn names_map_by_log_source() {
        for (source, field, expected) in [
            (source("webserver", "", ""), "cs-uri-query", "url.query"),
            (source("webserver", "nginx", ""), "sc-status", "http.response.status_code"),
            (source("process_creation", "linux", ""), "Image", "process.executable"),
            (source("file_event", "linux", ""), "TargetFilename", "file.path"),
            (source("", "linux", "sshd"), "src_ip", "source.ip"),
            (source("", "linux", "cron"), "hostname", "host.name"),
            (source("", "linux", "auditd"), "a0", "a0"),
            (source("antivirus", "", ""), "Image", "Image"),
            (source("webserver", "", ""), "url.path", "url.path"),
        ] {
            assert_eq!(ecs(&source, field), expected, "{source:?} {field}");
        }
    }
}

//! Which log sources an event belongs to.
//!
//! In: the dataset a decoder named, or what a Windows event says of itself (channel, event id,
//! event type). Out: a set of log sources, the more than one because generic categories overlap: a
//! deleted registry key is a `registry_event`, a `registry_delete` and part of service `sysmon`.

use std::sync::LazyLock;

use crate::LogSource;

impl LogSource {
    /// From keys that are given or not: category, product, service.
    pub fn new(category: Option<&str>, product: Option<&str>, service: Option<&str>) -> LogSource {
        LogSource {
            category: category.map(Into::into),
            product: product.map(Into::into),
            service: service.map(Into::into),
        }
    }

    /// Whether a rule that asks for `self` applies to an event of `event`: every key the rule has
    /// is the event's too.
    pub fn covers(&self, event: &LogSource) -> bool {
        let same = |wanted: &Option<Box<str>>, found: &Option<Box<str>>| {
            wanted.is_none() || wanted == found
        };
        same(&self.category, &event.category)
            && same(&self.product, &event.product)
            && same(&self.service, &event.service)
    }

    /// Whether it has no key at all.
    pub fn is_empty(&self) -> bool {
        self.category.is_none() && self.product.is_none() && self.service.is_none()
    }
}

/// The log sources of a decoded event, by its dataset. Every dataset is also a service of product
/// `hengwei`, so that rules can address any.
pub fn of_dataset(dataset: &str) -> Vec<LogSource> {
    let linux = |service: &str| LogSource::new(None, Some("linux"), Some(service));
    let category =
        |category: &str, product: &str| LogSource::new(Some(category), Some(product), None);
    let mut sources = match dataset {
        "sshd" | "sudo" | "su" => vec![linux(dataset), linux("auth")],
        "auth" | "login" | "pam" | "passwd" | "useradd" | "userdel" | "usermod" | "groupadd"
        | "groupdel" | "systemd-logind" => vec![linux("auth")],
        "cron" | "auditd" | "syslog" | "clamav" | "vsftpd" | "guacamole" => vec![linux(dataset)],
        "auditd.execve" | "process" => vec![category("process_creation", "linux"), linux("auditd")],
        "fim" => vec![category("file_event", "linux")],
        _ => web(dataset),
    };
    sources.push(LogSource::new(None, Some("hengwei"), Some(dataset)));
    sources
}

fn web(dataset: &str) -> Vec<LogSource> {
    match dataset.split_once('.') {
        Some((product @ ("nginx" | "apache" | "iis" | "tomcat"), "access")) => {
            vec![LogSource::new(Some("webserver"), Some(product), None)]
        }
        Some((product @ ("nginx" | "apache"), "error")) => {
            vec![LogSource::new(None, Some(product), Some(product))]
        }
        Some((product, "proxy")) => vec![LogSource::new(Some("proxy"), Some(product), None)],
        _ => Vec::new(),
    }
}

/// The log sources of a Windows event, by its channel, id and `EventType`. None when the channel is
/// not known.
pub fn of_windows(channel: &str, id: Option<i64>, event_type: Option<&str>) -> Vec<LogSource> {
    let Some((_, service)) = CHANNELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(channel))
    else {
        return Vec::new();
    };
    let windows = Some("windows");
    let mut sources: Vec<LogSource> = categories(service, id, event_type)
        .iter()
        .map(|category| LogSource::new(Some(category), windows, Some(service)))
        .collect();
    if sources.is_empty() {
        sources.push(LogSource::new(None, windows, Some(service)));
    }
    sources
}

/// The log sources of Windows events, each kind of event once.
pub(crate) fn usual() -> &'static [Vec<LogSource>] {
    static USUAL: LazyLock<Vec<Vec<LogSource>>> = LazyLock::new(|| {
        let ids = (0..=29).chain([255, 400, 600, 800, 4103, 4104, 4657, 4688]);
        let mut kinds = Vec::new();
        for (channel, _) in CHANNELS {
            for id in ids.clone() {
                for event_type in [None, Some("CreateKey"), Some("DeleteKey")] {
                    kinds.push(of_windows(channel, Some(id), event_type));
                }
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    });
    &USUAL
}

fn categories(service: &str, id: Option<i64>, event_type: Option<&str>) -> &'static [&'static str] {
    let Some(id) = id else { return &[] };
    match (service, id) {
        ("sysmon", 12) => match event_type {
            Some("DeleteKey" | "DeleteValue") => &["registry_event", "registry_delete"],
            Some("CreateKey") => &["registry_event", "registry_add"],
            _ => &["registry_event", "registry_add", "registry_delete"],
        },
        ("sysmon", id) => sysmon(id),
        ("security", 4688) => &["process_creation"],
        ("security", 4657) => &["registry_event", "registry_set"],
        ("powershell-classic", 400) => &["ps_classic_start"],
        ("powershell-classic", 600) => &["ps_classic_provider_start"],
        ("powershell-classic", 800) => &["ps_classic_script"],
        ("powershell", 4103) => &["ps_module"],
        ("powershell", 4104) => &["ps_script"],
        _ => &[],
    }
}

fn sysmon(id: i64) -> &'static [&'static str] {
    match id {
        1 => &["process_creation"],
        2 => &["file_change"],
        3 => &["network_connection"],
        4 | 16 => &["sysmon_status"],
        5 => &["process_termination"],
        6 => &["driver_load"],
        7 => &["image_load"],
        8 => &["create_remote_thread"],
        9 => &["raw_access_thread"],
        10 => &["process_access"],
        11 => &["file_event"],
        13 => &["registry_event", "registry_set"],
        14 => &["registry_event", "registry_rename"],
        15 => &["create_stream_hash"],
        17 | 18 => &["pipe_created"],
        19..=21 => &["wmi_event"],
        22 => &["dns_query"],
        23 => &["file_delete"],
        24 => &["clipboard_capture"],
        25 => &["process_tampering"],
        26 => &["file_delete_detected"],
        27 => &["file_block_executable"],
        28 => &["file_block_shredding"],
        29 => &["file_executable_detected"],
        255 => &["sysmon_error"],
        _ => &[],
    }
}

/// Channel, service: as the standard's appendix on taxonomy lists them.
const CHANNELS: &[(&str, &str)] = &[
    ("Application", "application"),
    ("Security", "security"),
    ("System", "system"),
    ("DNS Server", "dns-server"),
    ("MSExchange Management", "msexchange-management"),
    ("Microsoft-IIS-Configuration/Operational", "iis-configuration"),
    ("Microsoft-ServiceBus-Client/Admin", "servicebus-client"),
    ("Microsoft-ServiceBus-Client/Operational", "servicebus-client"),
    ("Microsoft-Windows-AppLocker/EXE and DLL", "applocker"),
    ("Microsoft-Windows-AppLocker/MSI and Script", "applocker"),
    ("Microsoft-Windows-AppLocker/Packaged app-Deployment", "applocker"),
    ("Microsoft-Windows-AppLocker/Packaged app-Execution", "applocker"),
    ("Microsoft-Windows-AppModel-Runtime/Admin", "appmodel-runtime"),
    ("Microsoft-Windows-AppXDeploymentServer/Operational", "appxdeployment-server"),
    (
        "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        "application-experience",
    ),
    ("Microsoft-Windows-Application-Experience/Program-Telemetry", "application-experience"),
    ("Microsoft-Windows-AppxPackaging/Operational", "appxpackaging-om"),
    ("Microsoft-Windows-BitLocker/BitLocker Management", "bitlocker"),
    ("Microsoft-Windows-Bits-Client/Operational", "bits-client"),
    ("Microsoft-Windows-CAPI2/Operational", "capi2"),
    (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
        "certificateservicesclient-lifecycle-system",
    ),
    ("Microsoft-Windows-CodeIntegrity/Operational", "codeintegrity-operational"),
    ("Microsoft-Windows-DHCP-Server/Operational", "dhcp"),
    ("Microsoft-Windows-DNS Client Events/Operational", "dns-client"),
    ("Microsoft-Windows-DNS-Client/Operational", "dns-client"),
    ("Microsoft-Windows-DNS-Server/Analytical", "dns-server-analytic"),
    ("Microsoft-Windows-DNS-Server/Audit", "dns-server-audit"),
    ("Microsoft-Windows-Diagnosis-Scripted/Operational", "diagnosis-scripted"),
    ("Microsoft-Windows-DriverFrameworks-UserMode/Operational", "driver-framework"),
    ("Microsoft-Windows-Hyper-V-Worker", "hyper-v-worker"),
    ("Microsoft-Windows-Kernel-EventTracing", "kernel-event-tracing"),
    ("Microsoft-Windows-Kernel-ShimEngine/Diagnostic", "kernel-shimengine"),
    ("Microsoft-Windows-Kernel-ShimEngine/Operational", "kernel-shimengine"),
    ("Microsoft-Windows-LDAP-Client/Debug", "ldap"),
    ("Microsoft-Windows-LSA/Operational", "lsa-server"),
    ("Microsoft-Windows-NTLM/Operational", "ntlm"),
    ("Microsoft-Windows-Ntfs/Operational", "ntfs"),
    ("Microsoft-Windows-PowerShell/Operational", "powershell"),
    ("Microsoft-Windows-PrintService/Admin", "printservice-admin"),
    ("Microsoft-Windows-PrintService/Operational", "printservice-operational"),
    ("Microsoft-Windows-SENSE/Operational", "sense"),
    ("Microsoft-Windows-Security-Mitigations/Kernel Mode", "security-mitigations"),
    ("Microsoft-Windows-Security-Mitigations/User Mode", "security-mitigations"),
    ("Microsoft-Windows-Shell-Core/Operational", "shell-core"),
    ("Microsoft-Windows-SmbClient/Connectivity", "smbclient-connectivity"),
    ("Microsoft-Windows-SmbClient/Security", "smbclient-security"),
    ("Microsoft-Windows-SMBServer/Connectivity", "smbserver-connectivity"),
    ("Microsoft-Windows-Sysmon/Operational", "sysmon"),
    ("Microsoft-Windows-TaskScheduler/Operational", "taskscheduler"),
    (
        "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
        "terminalservices-localsessionmanager",
    ),
    ("Microsoft-Windows-VHDMP/Operational", "vhdmp"),
    ("Microsoft-Windows-WMI-Activity/Operational", "wmi"),
    ("Microsoft-Windows-Windows Defender/Operational", "windefend"),
    ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall", "firewall-as"),
    ("OpenSSH/Operational", "openssh"),
    ("PowerShellCore/Operational", "powershell"),
    ("Windows PowerShell", "powershell-classic"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn short(sources: &[LogSource]) -> Vec<String> {
        sources
            .iter()
            .map(|source| {
                [&source.category, &source.product, &source.service]
                    .map(|key| key.as_deref().unwrap_or("-").to_owned())
                    .join("/")
            })
            .collect()
    }

    #[test]
    fn datasets_have_sigma_log_sources() {
        for (dataset, expected) in [
            ("sshd", &["-/linux/sshd", "-/linux/auth", "-/hengwei/sshd"][..]),
            ("nginx.access", &["webserver/nginx/-", "-/hengwei/nginx.access"]),
            ("apache.error", &["-/apache/apache", "-/hengwei/apache.error"]),
            ("fim", &["file_event/linux/-", "-/hengwei/fim"]),
            ("asset.socket", &["-/hengwei/asset.socket"]),
            ("hengwei.agent", &["-/hengwei/hengwei.agent"]),
        ] {
            assert_eq!(short(&of_dataset(dataset)), expected, "{dataset}");
        }
    }

    #[test]
    fn windows_events_say_what_they_are() {
        let sysmon = "Microsoft-Windows-Sysmon/Operational";
        let check = |channel, id, event_type, expected: &[&str]| {
            assert_eq!(short(&of_windows(channel, id, event_type)), expected, "{channel} {id:?}");
        };
        check(sysmon, Some(1), None, &["process_creation/windows/sysmon"]);
        check(
            sysmon,
            Some(12),
            Some("DeleteKey"),
            &["registry_event/windows/sysmon", "registry_delete/windows/sysmon"],
        );
        check(
            sysmon,
            Some(12),
            None,
            &[
                "registry_event/windows/sysmon",
                "registry_add/windows/sysmon",
                "registry_delete/windows/sysmon",
            ],
        );
        check("Security", Some(4688), None, &["process_creation/windows/security"]);
        check("Security", Some(4624), None, &["-/windows/security"]);
        check(
            "Windows PowerShell",
            Some(400),
            None,
            &["ps_classic_start/windows/powershell-classic"],
        );
        check("Nobody/Knows", Some(1), None, &[]);
    }

    #[test]
    fn a_rule_applies_when_its_keys_are_the_events() {
        let rule = LogSource::new(None, Some("linux"), None);
        assert!(rule.covers(&LogSource::new(Some("x"), Some("linux"), Some("sshd"))));
        assert!(!rule.covers(&LogSource::new(Some("x"), None, Some("sshd"))));
        assert!(!LogSource::new(Some("x"), None, None).covers(&rule));
    }
}

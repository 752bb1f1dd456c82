//! Windows event logs: which log sources a channel and an event id mean, and the datasets named
//! after them.
//!
//! A dataset is `windows.<service>`, or `windows.<service>.<category>` where the event is of a
//! category of Sigma: `windows.security`, `windows.sysmon.registry_delete`. There are only those of
//! [`DATASETS`], whatever an event claims; one of a channel nobody lists is plain [`WINDOWS`].

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::LogSource;

/// The dataset of events of channels that are not listed.
pub const WINDOWS: &str = "windows";

/// The dataset of a Windows event, by its channel, id and `EventType`. None when the channel is not
/// known: [`WINDOWS`] is what such an event is.
pub fn windows_dataset(
    channel: &str,
    id: Option<i64>,
    event_type: Option<&str>,
) -> Option<&'static str> {
    static NAMES: LazyLock<HashMap<[&str; 2], &'static str>> = LazyLock::new(|| {
        DATASETS.iter().filter_map(|name| parts(name).map(|parts| (parts, *name))).collect()
    });
    let service = service_of(channel)?;
    let category = match categories(service, id, event_type) {
        // All of these are registry events.
        ["registry_event", narrow] => *narrow,
        [first, ..] => *first,
        [] => "",
    };
    NAMES.get(&[service, category]).copied()
}

/// The service and category of a dataset's name; the category is empty where there is none.
fn parts(dataset: &str) -> Option<[&str; 2]> {
    let rest = dataset.strip_prefix("windows.")?;
    Some(rest.split_once('.').map_or([rest, ""], |(service, category)| [service, category]))
}

/// The log sources of a dataset of Windows events; none for one that is not of [`DATASETS`].
pub(super) fn of_dataset(dataset: &str) -> Vec<LogSource> {
    let windows = Some("windows");
    if dataset == WINDOWS {
        return vec![LogSource::new(None, windows, None)];
    }
    let Some([service, category]) = parts(dataset).filter(|_| DATASETS.contains(&dataset)) else {
        return Vec::new();
    };
    let of_category = |category| LogSource::new(Some(category), windows, Some(service));
    let mut sources: Vec<LogSource> = match category {
        "" => vec![LogSource::new(None, windows, Some(service))],
        "registry_event" => CREATED_OR_DELETED.iter().copied().map(of_category).collect(),
        narrow if narrow.starts_with("registry_") => {
            ["registry_event", narrow].map(of_category).into()
        }
        category => vec![of_category(category)],
    };
    match service {
        "windefend" => sources.push(LogSource::new(Some("antivirus"), windows, Some(service))),
        // Rules write it both ways.
        "servicebus-client" => {
            sources.push(LogSource::new(None, windows, Some("microsoft-servicebus-client")));
        }
        _ => {}
    }
    sources
}

/// The log sources of a Windows event, by its channel, id and `EventType`. None when the channel is
/// not known.
pub fn of_windows(channel: &str, id: Option<i64>, event_type: Option<&str>) -> Vec<LogSource> {
    let Some(service) = service_of(channel) else { return Vec::new() };
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

fn service_of(channel: &str) -> Option<&'static str> {
    let listed = CHANNELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(channel));
    listed.map(|(_, service)| *service)
}

/// What Sysmon's event 12 is when it doesn't say which of the two.
const CREATED_OR_DELETED: &[&str] = &["registry_event", "registry_add", "registry_delete"];

fn categories(service: &str, id: Option<i64>, event_type: Option<&str>) -> &'static [&'static str] {
    let Some(id) = id else { return &[] };
    match (service, id) {
        ("sysmon", 12) => match event_type {
            Some("DeleteKey" | "DeleteValue") => &["registry_event", "registry_delete"],
            Some("CreateKey") => &["registry_event", "registry_add"],
            _ => CREATED_OR_DELETED,
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

/// Every dataset of Windows events, sorted.
pub const DATASETS: &[&str] = &[
    "windows",
    "windows.application",
    "windows.application-experience",
    "windows.applocker",
    "windows.appmodel-runtime",
    "windows.appxdeployment-server",
    "windows.appxpackaging-om",
    "windows.bitlocker",
    "windows.bits-client",
    "windows.capi2",
    "windows.certificateservicesclient-lifecycle-system",
    "windows.codeintegrity-operational",
    "windows.dhcp",
    "windows.diagnosis-scripted",
    "windows.dns-client",
    "windows.dns-server",
    "windows.dns-server-analytic",
    "windows.dns-server-audit",
    "windows.driver-framework",
    "windows.firewall-as",
    "windows.hyper-v-worker",
    "windows.iis-configuration",
    "windows.kernel-event-tracing",
    "windows.kernel-shimengine",
    "windows.ldap",
    "windows.lsa-server",
    "windows.msexchange-management",
    "windows.ntfs",
    "windows.ntlm",
    "windows.openssh",
    "windows.powershell",
    "windows.powershell-classic",
    "windows.powershell-classic.ps_classic_provider_start",
    "windows.powershell-classic.ps_classic_script",
    "windows.powershell-classic.ps_classic_start",
    "windows.powershell.ps_module",
    "windows.powershell.ps_script",
    "windows.printservice-admin",
    "windows.printservice-operational",
    "windows.security",
    "windows.security-mitigations",
    "windows.security.process_creation",
    "windows.security.registry_set",
    "windows.sense",
    "windows.servicebus-client",
    "windows.shell-core",
    "windows.smbclient-connectivity",
    "windows.smbclient-security",
    "windows.smbserver-connectivity",
    "windows.sysmon",
    "windows.sysmon.clipboard_capture",
    "windows.sysmon.create_remote_thread",
    "windows.sysmon.create_stream_hash",
    "windows.sysmon.dns_query",
    "windows.sysmon.driver_load",
    "windows.sysmon.file_block_executable",
    "windows.sysmon.file_block_shredding",
    "windows.sysmon.file_change",
    "windows.sysmon.file_delete",
    "windows.sysmon.file_delete_detected",
    "windows.sysmon.file_event",
    "windows.sysmon.file_executable_detected",
    "windows.sysmon.image_load",
    "windows.sysmon.network_connection",
    "windows.sysmon.pipe_created",
    "windows.sysmon.process_access",
    "windows.sysmon.process_creation",
    "windows.sysmon.process_tampering",
    "windows.sysmon.process_termination",
    "windows.sysmon.raw_access_thread",
    "windows.sysmon.registry_add",
    "windows.sysmon.registry_delete",
    "windows.sysmon.registry_event",
    "windows.sysmon.registry_rename",
    "windows.sysmon.registry_set",
    "windows.sysmon.sysmon_error",
    "windows.sysmon.sysmon_status",
    "windows.sysmon.wmi_event",
    "windows.system",
    "windows.taskscheduler",
    "windows.terminalservices-localsessionmanager",
    "windows.vhdmp",
    "windows.windefend",
    "windows.wmi",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::logsource::tests::short;

    const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";

    #[test]
    fn windows_events_say_what_they_are() {
        let check = |channel, id, event_type, expected: &[&str]| {
            assert_eq!(short(&of_windows(channel, id, event_type)), expected, "{channel} {id:?}");
        };
        check(SYSMON, Some(1), None, &["process_creation/windows/sysmon"]);
        check(
            SYSMON,
            Some(12),
            Some("DeleteKey"),
            &["registry_event/windows/sysmon", "registry_delete/windows/sysmon"],
        );
        check(
            SYSMON,
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
    fn a_windows_event_has_a_dataset() {
        for (channel, id, event_type, expected) in [
            ("Security", Some(4624), None, Some("windows.security")),
            ("security", Some(4688), None, Some("windows.security.process_creation")),
            ("Security", Some(4657), None, Some("windows.security.registry_set")),
            ("System", None, None, Some("windows.system")),
            (SYSMON, Some(12), Some("DeleteValue"), Some("windows.sysmon.registry_delete")),
            (SYSMON, Some(12), Some("CreateKey"), Some("windows.sysmon.registry_add")),
            (SYSMON, Some(12), Some("?"), Some("windows.sysmon.registry_event")),
            (SYSMON, Some(14), None, Some("windows.sysmon.registry_rename")),
            (SYSMON, Some(9_999), None, Some("windows.sysmon")),
            ("PowerShellCore/Operational", Some(4104), None, Some("windows.powershell.ps_script")),
            ("Nobody/Knows", Some(1), None, None),
            ("windows.sysmon", Some(1), None, None),
        ] {
            assert_eq!(windows_dataset(channel, id, event_type), expected, "{channel} {id:?}");
        }
    }

    #[test]
    fn the_datasets_are_those_that_events_have_and_mean_the_same() {
        let mut made = BTreeSet::from([WINDOWS]);
        let ids = (0..=300).chain([400, 600, 800]).chain(4_000..5_000).map(Some).chain([None]);
        let ids: Vec<Option<i64>> = ids.collect();
        for (channel, service) in CHANNELS {
            for id in &ids {
                for event_type in [None, Some("CreateKey"), Some("DeleteKey"), Some("DeleteValue")]
                {
                    let dataset = windows_dataset(channel, *id, event_type).unwrap();
                    let sources = of_dataset(dataset);
                    for source in of_windows(channel, *id, event_type) {
                        assert!(sources.contains(&source), "{dataset} {source:?}");
                    }
                    made.insert(dataset);
                }
            }
            // An event that says neither is of the whole service.
            made.extend(DATASETS.iter().find(|name| **name == format!("windows.{service}")));
        }
        assert_eq!(made.into_iter().collect::<Vec<_>>(), DATASETS);
    }

    #[test]
    fn other_names_mean_nothing() {
        for dataset in ["windows.", "windows.x", "windows.sysmon.x", "windows.security.dns_query"] {
            assert_eq!(of_dataset(dataset), [], "{dataset}");
        }
    }
}

//! Words for the numbers in the data of an event, and names for data that come by position only.

use std::sync::LazyLock;

use super::kinds::datum;
use crate::event::{FieldId, Value, names};

/// Parts of Sysmon's `Hashes`.
pub(crate) const HASHES: &[(&str, FieldId)] = &[
    ("MD5=", names::PROCESS_HASH_MD5),
    ("SHA1=", names::PROCESS_HASH_SHA1),
    ("SHA256=", names::PROCESS_HASH_SHA256),
    ("IMPHASH=", names::PROCESS_PE_IMPHASH),
];

/// The reason that means the account does not exist.
pub(crate) const NO_SUCH_USER: &str = "no such user";

/// The word for a kind of login.
pub(crate) fn logon_type(number: i64) -> Option<&'static str> {
    Some(match number {
        2 => "interactive",
        3 => "network",
        4 => "batch",
        5 => "service",
        7 => "unlock",
        8 => "network_cleartext",
        9 => "new_credentials",
        10 => "remote_interactive",
        11 => "cached_interactive",
        _ => return None,
    })
}

/// A level in the words of the others.
pub(crate) fn level(level: &str) -> Option<&'static str> {
    const LEVELS: &[(&str, &str)] = &[
        ("information", "information"),
        ("info", "information"),
        ("warning", "warning"),
        ("error", "error"),
        ("critical", "critical"),
        ("verbose", "verbose"),
        ("debug", "debug"),
    ];
    let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level));
    known.map(|(_, word)| *word)
}

/// Why a login failed, by a status of NT or of Kerberos.
pub(crate) fn reason(code: i64) -> Option<&'static str> {
    Some(match code {
        0xc000_0064 | 0x6 => NO_SUCH_USER,
        0xc000_006a | 0x18 => "wrong password",
        0xc000_006d => "wrong user or password",
        0xc000_006e => "account restriction",
        0xc000_006f => "outside the permitted hours",
        0xc000_0070 => "from a workstation that is not permitted",
        0xc000_0071 | 0x17 => "password expired",
        0xc000_0072 => "account disabled",
        0x12 => "account disabled, expired or locked",
        0xc000_0133 | 0x25 => "clock skew",
        0xc000_015b => "logon type not granted",
        0xc000_0193 => "account expired",
        0xc000_0224 => "password must be changed",
        0xc000_0234 => "account locked",
        _ => return None,
    })
}

const LOGGED_IN: &[&str] = &[
    "SubjectUserSid",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectLogonId",
    "TargetUserSid",
    "TargetUserName",
    "TargetDomainName",
    "TargetLogonId",
    "LogonType",
    "LogonProcessName",
    "AuthenticationPackageName",
    "WorkstationName",
    "LogonGuid",
    "TransmittedServices",
    "LmPackageName",
    "KeyLength",
    "ProcessId",
    "ProcessName",
    "IpAddress",
    "IpPort",
];
const NOT_LOGGED_IN: &[&str] = &[
    "SubjectUserSid",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectLogonId",
    "TargetUserSid",
    "TargetUserName",
    "TargetDomainName",
    "Status",
    "FailureReason",
    "SubStatus",
    "LogonType",
    "LogonProcessName",
    "AuthenticationPackageName",
    "WorkstationName",
    "TransmittedServices",
    "LmPackageName",
    "KeyLength",
    "ProcessId",
    "ProcessName",
    "IpAddress",
    "IpPort",
];
const PROCESS: &[&str] = &[
    "SubjectUserSid",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectLogonId",
    "NewProcessId",
    "NewProcessName",
    "TokenElevationType",
    "ProcessId",
    "CommandLine",
    "TargetUserSid",
    "TargetUserName",
    "TargetDomainName",
    "TargetLogonId",
    "ParentProcessName",
    "MandatoryLabel",
];
const ACCOUNT: &[&str] = &[
    "TargetUserName",
    "TargetDomainName",
    "TargetSid",
    "SubjectUserSid",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectLogonId",
];
const MEMBERS: &[&str] = &[
    "MemberName",
    "MemberSid",
    "TargetUserName",
    "TargetDomainName",
    "TargetSid",
    "SubjectUserSid",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectLogonId",
];
const CHECKED: &[&str] = &["PackageName", "TargetUserName", "Workstation", "Status"];
const INSTALLED: &[&str] = &["ServiceName", "ImagePath", "ServiceType", "StartType", "AccountName"];

/// The names of data, in their order.
const ORDERS: &[(&str, &[i64], &[&str])] = &[
    ("security", &[4624], LOGGED_IN),
    ("security", &[4625], NOT_LOGGED_IN),
    ("security", &[4688], PROCESS),
    ("security", &[4720, 4722, 4723, 4724, 4725, 4726, 4767], ACCOUNT),
    ("security", &[4728, 4729, 4732, 4733, 4756, 4757], MEMBERS),
    ("security", &[4776], CHECKED),
    ("system", &[7045], INSTALLED),
];

/// Gives data that came by position (`param1` …) the names they have in the event.
pub(crate) fn name_inserts(service: &str, id: i64, fields: &mut [(FieldId, Value)]) {
    static NAMED: LazyLock<Vec<Vec<(FieldId, FieldId)>>> = LazyLock::new(|| {
        let named = |names: &[&str]| {
            let numbered = (1..).zip(names);
            numbered.map(|(at, name)| (datum(&format!("param{at}")), datum(name))).collect()
        };
        ORDERS.iter().map(|(_, _, names)| named(names)).collect()
    });
    let order = ORDERS.iter().position(|(of, ids, _)| *of == service && ids.contains(&id));
    let Some(named) = order.and_then(|order| NAMED.get(order)) else { return };
    for (field, _) in fields {
        if let Some((_, name)) = named.iter().find(|(param, _)| param == field) {
            *field = *name;
        }
    }
}

//! Events of Windows sent over syslog as the message that people read, in English or Chinese: in the
//! form of Snare (`MSWinEventLog`, parts between tabs), which NXLog writes too, and of evtsys
//! (`Security-Auditing: 4625: AUDIT_FAILURE …`).
//!
//! Only data that have a label of their own are read, each from its label to the next. A name that
//! holds a label makes it stand once too often: it is left out with all that a peer chooses, and the
//! event says so.

use std::sync::LazyLock;

use super::audited;
use crate::decode::Line;
use crate::decode::json::Scalar;
use crate::decode::out::Out;
use crate::event::{FieldId, names};

/// Names under which evtsys sends the channel `Security`.
pub(crate) const PROGRAMS: &[&str] =
    &["Security-Auditing", "Microsoft-Windows-Security-Auditing", "MSWinEventLog"];

const SNARE: &str = "MSWinEventLog\t";
const AUDITING: &str = "Microsoft-Windows-Security-Auditing";
/// How much of a message is looked at; the labels stand in its first lines.
const MAX_TEXT: usize = 8_192;
/// The longest label, in bytes.
const MAX_LABEL: usize = 48;

/// Events that name one account, the one that acts: their data call it the target.
const OF_ITSELF: &[i64] = &[4634, 4647, 4768, 4769, 4771];
/// Events of a group: the second account is the member that comes or goes.
const OF_GROUPS: &[i64] = &[4728, 4729, 4732, 4733, 4756, 4757];
/// What peers choose, and what is left out when one of them imitates a label.
const CHOSEN: &[&str] =
    &["UserName", "DomainName", "WorkstationName", "TargetUserName", "CommandLine"];

/// Labels, the datum each begins, and how often it stands in a message. Those without a name only
/// end the one before them. The account that is acted on comes second, behind the one that acts.
const LABELS: &[(&[&str], &str, usize)] = &[
    (&["Account Name", "帐户名称", "帐户名", "账户名称", "账户名"], "UserName", 2),
    (&["Account Domain", "帐户域", "账户域"], "DomainName", 2),
    (&["Security ID", "安全 ID"], "UserSid", 3),
    (&["Logon ID", "登录 ID"], "LogonId", 2),
    (&["Logon Type", "登录类型"], "LogonType", 1),
    (&["Source Network Address", "Client Address", "源网络地址", "客户端地址"], "IpAddress", 1),
    (&["Source Port", "Client Port", "源端口", "客户端端口"], "IpPort", 1),
    (
        &["Workstation Name", "Source Workstation", "工作站名称", "工作站名", "源工作站"],
        "WorkstationName",
        1,
    ),
    (&["Sub Status", "子状态"], "SubStatus", 1),
    (
        &[
            "Status",
            "Error Code",
            "Result Code",
            "Failure Code",
            "状态",
            "错误代码",
            "结果代码",
            "失败代码",
        ],
        "Status",
        1,
    ),
    (&["Logon Account", "Group Name", "登录帐户", "组名", "组名称"], "TargetUserName", 1),
    (&["New Process Name", "新进程名称", "新进程名"], "NewProcessName", 1),
    (&["New Process ID", "新进程 ID"], "NewProcessId", 1),
    (&["Creator Process Name", "创建者进程名称", "创建者进程名"], "ParentProcessName", 1),
    (&["Process Command Line", "进程命令行"], "CommandLine", 1),
    (&["Service Name", "服务名称", "服务名"], "ServiceName", 1),
    (&["Logon Process", "登录进程"], "LogonProcessName", 1),
    (&["Authentication Package", "身份验证数据包"], "AuthenticationPackageName", 1),
    (&["Failure Reason", "失败原因"], "FailureReason", 1),
    (
        &[
            "Subject",
            "Process Information",
            "Network Information",
            "Detailed Authentication Information",
            "Account For Which Logon Failed",
            "Failure Information",
            "New Logon",
            "Logon GUID",
            "Process ID",
            "Process Name",
            "Caller Process ID",
            "Caller Process Name",
            "Creator Process ID",
            "Token Elevation Type",
            "Mandatory Label",
            "Target Account",
            "New Account",
            "Account That Was Locked Out",
            "Account Information",
            "Service Information",
            "Attributes",
            "Member",
            "Group",
            "Group Domain",
            "Linked Logon ID",
            "Network Account Name",
            "Network Account Domain",
            "Additional Information",
            "Privileges",
            "Transited Services",
            "Impersonation Level",
            "使用者",
            "主题",
            "进程信息",
            "网络信息",
            "详细身份验证信息",
            "登录失败的帐户",
            "失败信息",
            "新登录",
            "登录 GUID",
            "进程 ID",
            "进程名称",
            "进程名",
            "调用方进程 ID",
            "调用方进程名",
            "目标帐户",
            "新帐户",
            "被锁定的帐户",
            "帐户信息",
            "服务信息",
            "属性",
            "成员",
            "组",
            "组域",
            "链接的登录 ID",
            "网络帐户名称",
            "网络帐户域",
            "附加信息",
            "特权",
            "传递的服务",
        ],
        "",
        usize::MAX,
    ),
];

/// Whether a line begins like one of Snare.
pub(crate) fn looks_like(line: &str) -> bool {
    line.starts_with(SNARE)
}

/// Reads one message: the event's id, and how the act ended where the event says so.
pub(crate) fn read(line: &Line<'_>, out: &mut Out) -> Option<(i64, Option<bool>)> {
    if let Some(parts) = line.message.strip_prefix(SNARE) {
        return snare(parts, out);
    }
    let program = line.program.filter(|program| PROGRAMS.contains(program))?;
    let (id, rest) = line.message.split_once(": ")?;
    let id = id.parse().ok()?;
    let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let ended = audited(Scalar::Text(word));
    out.integer(names::EVENT_CODE, id);
    out.word(names::WINLOG_CHANNEL, "Security");
    match program {
        "Security-Auditing" => out.word(names::EVENT_PROVIDER, AUDITING),
        program => out.text(names::EVENT_PROVIDER, program),
    }
    data(id, if ended.is_some() { text } else { rest }, out);
    Some((id, ended))
}

/// `1⇥CHANNEL⇥NUMBER⇥TIME⇥ID⇥PROVIDER⇥USER⇥SID TYPE⇥TYPE⇥COMPUTER⇥CATEGORY⇥DATA⇥TEXT[⇥NUMBER]`.
fn snare(parts: &str, out: &mut Out) -> Option<(i64, Option<bool>)> {
    let mut parts = parts.splitn(13, '\t').skip(1);
    let mut next = || parts.next();
    let (channel, _, _, id, provider) = (next()?, next()?, next()?, next()?, next()?);
    let (_, _, kind, computer, category) = (next()?, next()?, next()?, next()?, next()?);
    let (_, text) = (next()?, next()?);
    let id = id.parse().ok()?;
    out.integer(names::EVENT_CODE, id);
    out.some(names::WINLOG_CHANNEL, channel);
    out.some(names::EVENT_PROVIDER, provider);
    out.some(names::WINLOG_COMPUTER_NAME, computer);
    out.some(names::WINLOG_TASK, category);
    data(id, text, out);
    Some((id, audited(Scalar::Text(kind))))
}

/// The labels by their last byte, each with its place in [`LABELS`]: what stands before a colon is compared
/// with few of them.
static BY_LAST: LazyLock<Vec<Vec<(usize, &'static str)>>> = LazyLock::new(|| {
    let mut by_last = vec![Vec::new(); 256];
    for (index, (labels, ..)) in LABELS.iter().enumerate() {
        for label in *labels {
            if let Some(last) = label.as_bytes().last() {
                by_last[usize::from(*last)].push((index, *label));
            }
        }
    }
    by_last
});

/// Finds the labels of a message and stores what stands behind each.
fn data(event: i64, text: &str, out: &mut Out) {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    let mut found = [0_usize; LABELS.len()];
    let mut values: Vec<(usize, usize, &str)> = Vec::with_capacity(LABELS.len());
    let mut open: Option<(usize, usize)> = None;
    for (at, colon) in text.match_indices([':', '：']) {
        let Some((label, start)) = label_before(text, at) else { continue };
        if let Some((before, from)) = open.take() {
            values.push((before, found[before], text.get(from..start).unwrap_or_default().trim()));
        }
        found[label] += 1;
        open = Some((label, at + colon.len()));
    }
    if let Some((last, from)) = open {
        // The last value ends where its line or its column does.
        let rest = text.get(from..).unwrap_or_default().trim_start();
        let end = rest.find(['\t', '\r', '\n']).or_else(|| rest.find("  ")).unwrap_or(rest.len());
        values.push((last, found[last], rest.get(..end).unwrap_or_default()));
    }
    let imitated = values.iter().any(|(label, ..)| found[*label] > LABELS[*label].2);
    for (label, nth, value) in values {
        let (_, name, times) = LABELS[label];
        if name.is_empty() || (imitated && (found[label] > times || CHOSEN.contains(&name))) {
            continue;
        }
        // A datum that may stand twice is first of who acts, then of whom it is done to.
        let whose = match (times.min(2), nth) {
            _ if nth > 2 => continue,
            (2, 1) if found[label] == 1 && OF_ITSELF.contains(&event) => "Target",
            (2, 1) => "Subject",
            (2, _) if OF_GROUPS.contains(&event) => "Member",
            (2, _) => "Target",
            _ => "",
        };
        let name = match (whose, name) {
            ("Member", "UserName") => "Name",
            ("Member", "UserSid") => "Sid",
            _ => name,
        };
        if let Some(id) = FieldId::outside(&format!("{}{whose}{name}", super::DATA)) {
            out.text(id, value);
        }
    }
    if imitated {
        out.problem("a name imitates a label of the message; what it labels is left out");
    }
}

/// The label that ends at a colon, and where it begins: at the beginning of the text or behind a blank.
fn label_before(text: &str, colon: usize) -> Option<(usize, usize)> {
    let from = text.floor_char_boundary(colon.saturating_sub(MAX_LABEL));
    let before = text.get(from..colon)?;
    let mut best: Option<(usize, usize)> = None;
    for (index, label) in &BY_LAST[usize::from(*before.as_bytes().last()?)] {
        let Some(rest) = before.strip_suffix(label) else { continue };
        let apart = rest.is_empty() || rest.ends_with([' ', '\t', '\r', '\n', '\u{3000}', '。']);
        let start = colon - label.len();
        // The longest label wins: `Sub Status` is not `Status`.
        if apart && best.is_none_or(|(_, other)| start < other) {
            best = Some((*index, start));
        }
    }
    best
}

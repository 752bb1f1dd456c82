//! The words by which appliances say what they did and what happened, in English and Chinese.
//!
//! Only short values are read: those of an action, a kind, a result. What is longer is prose.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The longest value that is looked at, in bytes; of longer ones the beginning is.
const MAX_WORDS: usize = 96;

/// What was done with traffic: `event.action`, and whether that let it through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) action: &'static str,
    /// `event.type`, where the word says it.
    pub(crate) kind: Option<&'static str>,
}

const ALLOWED: Option<&str> = Some("allowed");
const DENIED: Option<&str> = Some("denied");

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    Login,
    Logout,
    Configuration,
    Attack,
    Virus,
    File,
    Database,
    Web,
    Session,
}

/// Words of actions; those of a row before those of a later one, as `未拦截` holds `拦截`.
const VERDICTS: &[(&str, Option<&str>, &[&str])] = &[
    ("allow", ALLOWED, &["未拦截", "未阻断", "不拦截", "不阻断", "不处理"]),
    ("deny", DENIED, &["不允许", "不通过", "未通过", "disallow", "not allow"]),
    ("drop", DENIED, &["drop", "discard", "丢弃", "丢包"]),
    ("reset", DENIED, &["reset", "rst", "重置", "断开"]),
    ("quarantine", DENIED, &["quarantine", "隔离", "封禁", "封锁"]),
    (
        "deny",
        DENIED,
        &[
            "deny", "denied", "block", "reject", "forbid", "prohibit", "refuse", "prevent", "拒绝",
            "阻断", "阻塞", "禁止", "拦截", "阻止", "封堵",
        ],
    ),
    (
        "allow",
        ALLOWED,
        &["allow", "permit", "accept", "pass", "forward", "允许", "放行", "通过", "放通", "转发"],
    ),
    (
        "alert",
        None,
        &[
            "alert", "alarm", "detect", "monitor", "log", "告警", "报警", "记录", "检测", "监控",
            "审计",
        ],
    ),
];

const HAPPENINGS: &[(Happening, &[&str])] = &[
    (
        Happening::Logout,
        &[
            "logout",
            "logoff",
            "log out",
            "logged out",
            "log off",
            "signout",
            "注销",
            "退出",
            "登出",
            "下线",
        ],
    ),
    (
        Happening::Login,
        &[
            "login",
            "logon",
            "log in",
            "logged in",
            "signin",
            "auth",
            "登录",
            "登陆",
            "认证",
            "上线",
            "鉴别",
        ],
    ),
    (Happening::Virus, &["virus", "malware", "avse", "av", "病毒", "木马", "恶意文件", "恶意代码"]),
    (
        Happening::Attack,
        &[
            "attack",
            "intrusion",
            "threat",
            "exploit",
            "botnet",
            "anomaly",
            "ips",
            "ids",
            "waf",
            "dos",
            "ddos",
            "dpi",
            "攻击",
            "入侵",
            "威胁",
            "漏洞",
            "注入",
            "跨站",
            "injection",
            "僵尸",
            "应用防护",
            "扫描",
            "恶意",
            "webshell",
            "异常行为",
        ],
    ),
    (Happening::Database, &["database", "dbsync", "db_sync", "数据库", "db"]),
    (
        Happening::File,
        &[
            "file exchange",
            "file_exchange",
            "filesync",
            "file_sync",
            "filetransfer",
            "file transfer",
            "ftp",
            "文件交换",
            "文件同步",
            "文件传输",
            "文件摆渡",
            "摆渡",
            "文件",
        ],
    ),
    (
        Happening::Configuration,
        &[
            "config",
            "cfg",
            "mgmt",
            "management",
            "operation log",
            "modify",
            "配置",
            "系统操作",
            "管理",
            "修改",
            "新增",
            "添加",
            "删除",
            "变更",
            "启用",
            "禁用",
            "操作日志",
            "重启",
            "升级",
        ],
    ),
    (Happening::Web, &["http", "url", "web", "网站", "网页", "上网"]),
    (
        Happening::Session,
        &[
            "session",
            "traffic",
            "flow",
            "conn",
            "nat",
            "会话",
            "流量",
            "连接",
            "包过滤",
            "访问控制",
            "应用控制",
        ],
    ),
];

/// Failure first: a line that says both tells of something that failed.
const FAILURES: &[&str] = &[
    "fail",
    "error",
    "invalid",
    "incorrect",
    "wrong",
    "denied",
    "rejected",
    "refused",
    "block",
    "失败",
    "错误",
    "不正确",
    "不合格",
    "未通过",
    "不通过",
    "异常",
    "拒绝",
    "阻断",
    "锁定",
    "不存在",
    "禁止",
    "拦截",
    "无效",
];
const SUCCESSES: &[&str] = &[
    "success", "succeed", "succes", "ok", "成功", "通过", "正常", "合格", "完成", "pass",
    "complete",
];

/// What an action says.
pub(crate) fn verdict(text: &str) -> Option<Verdict> {
    let mut buffer = [0; MAX_WORDS];
    let text = lower(text, &mut buffer);
    EXACT
        .get(text)
        .copied()
        .or_else(|| VERDICTS_SEEN.with_borrow_mut(|seen| seen.of(text, find_verdict)))
}

fn find_verdict(text: &[u8]) -> Option<Verdict> {
    let row = VERDICTS.iter().find(|(_, _, words)| any(text, words))?;
    Some(Verdict { action: row.0, kind: row.1 })
}

thread_local! {
    static VERDICTS_SEEN: RefCell<Seen<Verdict>> = RefCell::default();
    static HAPPENINGS_SEEN: RefCell<Seen<Happening>> = RefCell::default();
    static RESULTS_SEEN: RefCell<Seen<bool>> = RefCell::default();
}

/// Values that were looked at before: an appliance says the same few over and over, and each costs a
/// look for a hundred words. Bounded, and forgotten when full, so that made-up values cost no memory.
#[derive(Debug)]
pub(crate) struct Seen<T>(HashMap<Box<[u8]>, Option<T>, foldhash::fast::FixedState>);

impl<T> Default for Seen<T> {
    fn default() -> Seen<T> {
        Seen(HashMap::default())
    }
}

impl<T: Copy> Seen<T> {
    const MAX: usize = 512;

    /// What `find` says of a text, from memory where it was asked before.
    pub(crate) fn of(&mut self, text: &[u8], find: fn(&[u8]) -> Option<T>) -> Option<T> {
        if let Some(known) = self.0.get(text) {
            return *known;
        }
        let found = find(text);
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(text.into(), found);
        found
    }
}

/// Single words, found at once.
static EXACT: LazyLock<HashMap<&'static [u8], Verdict, foldhash::fast::FixedState>> =
    LazyLock::new(|| {
        let mut exact = HashMap::default();
        for (action, kind, words) in VERDICTS {
            for word in *words {
                let verdict = Verdict { action, kind: *kind };
                exact.entry(word.as_bytes()).or_insert(verdict);
            }
        }
        exact
    });

/// What a kind of line or an operation says.
pub(crate) fn happening(text: &str) -> Option<Happening> {
    let mut buffer = [0; MAX_WORDS];
    let text = lower(text, &mut buffer);
    HAPPENINGS_SEEN.with_borrow_mut(|seen| seen.of(text, find_happening))
}

fn find_happening(text: &[u8]) -> Option<Happening> {
    HAPPENINGS.iter().find(|(_, words)| any(text, words)).map(|(happening, _)| *happening)
}

/// Whether a result says success; None when it says nothing of it.
pub(crate) fn success(text: &str) -> Option<bool> {
    let mut buffer = [0; MAX_WORDS];
    let text = lower(text, &mut buffer);
    RESULTS_SEEN.with_borrow_mut(|seen| seen.of(text, find_success))
}

fn find_success(text: &[u8]) -> Option<bool> {
    match text {
        b"0" | b"true" | b"yes" => return Some(true),
        b"-1" | b"false" | b"no" => return Some(false),
        b"1" => return None,
        _ => {}
    }
    if any(text, FAILURES) {
        return Some(false);
    }
    any(text, SUCCESSES).then_some(true)
}

/// Severity of a word as a number of CEF's scale.
pub(crate) fn severity(text: &str) -> Option<i64> {
    let mut buffer = [0; MAX_WORDS];
    let text = lower(text, &mut buffer);
    let text = std::str::from_utf8(text).ok()?;
    Some(match text {
        "critical" | "very-high" | "very high" | "fatal" | "emergency" | "紧急" | "严重"
        | "致命" | "超危" | "危急" => 10,
        "high" | "alert" | "major" | "高" | "高危" | "高级" | "重要" => 8,
        "medium" | "middle" | "warning" | "moderate" | "中" | "中危" | "中级" | "一般" | "警告" => {
            5
        }
        "low" | "minor" | "notice" | "低" | "低危" | "低级" | "次要" | "提示" => 3,
        "info" | "information" | "informational" | "信息" | "通知" => 1,
        _ => return None,
    })
}

/// Whether a level is one that programs log at and appliances do not.
pub(crate) fn program_level(text: &str) -> bool {
    let levels = ["info", "warn", "error", "debug", "trace", "fatal", "panic"];
    levels.iter().any(|level| level.eq_ignore_ascii_case(text))
}

/// Whether an empty value, or a word that stands for one.
pub(crate) fn nothing(value: &str) -> bool {
    matches!(
        value,
        "" | "-"
            | "--"
            | "N/A"
            | "NA"
            | "n/a"
            | "null"
            | "NULL"
            | "(null)"
            | "None"
            | "none"
            | "unknown"
            | "Unknown"
            | "undefined"
            | "无"
            | "\"\""
            | "**"
    )
}

fn lower<'b>(text: &str, buffer: &'b mut [u8; MAX_WORDS]) -> &'b [u8] {
    let text = text.get(..text.floor_char_boundary(MAX_WORDS)).unwrap_or_default().trim();
    let mut length = 0;
    for (place, byte) in buffer.iter_mut().zip(text.bytes()) {
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length).unwrap_or_default()
}

/// Whether a text holds one of the words; a short Latin one must stand alone.
fn any(text: &[u8], words: &[&str]) -> bool {
    const STANDS_ALONE: usize = 3;
    words.iter().any(|word| {
        let word = word.as_bytes();
        if word.len() > STANDS_ALONE || !word.is_ascii() {
            return memchr::memmem::find(text, word).is_some();
        }
        text.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| part == word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        for (text, action, kind) in [
            ("accept", "allow", Some("allowed")),
            ("Permit & Logging", "allow", Some("allowed")),
            ("Block-Source & Logging", "deny", Some("denied")),
            ("未拦截", "allow", Some("allowed")),
            ("不允许访问", "deny", Some("denied")),
            ("拒绝", "deny", Some("denied")),
            ("TCP Reset", "reset", Some("denied")),
            ("被记录", "alert", None),
        ] {
            assert_eq!(verdict(text), Some(Verdict { action, kind }), "{text}");
        }
        assert_eq!(verdict("connect"), None);
        assert_eq!(verdict(""), None);
    }

    #[test]
    fn happenings_and_results() {
        assert_eq!(happening("WAF应用防护日志"), Some(Happening::Attack));
        assert_eq!(happening("ips"), Some(Happening::Attack));
        assert_eq!(happening("tips"), None);
        assert_eq!(happening("用户登录"), Some(Happening::Login));
        assert_eq!(happening("用户注销登录"), Some(Happening::Logout));
        assert_eq!(happening("文件交换"), Some(Happening::File));
        assert_eq!(success("登录成功"), Some(true));
        assert_eq!(success("登录失败，未成功"), Some(false));
        assert_eq!((success("0"), success("-1"), success("7")), (Some(true), Some(false), None));
        assert_eq!((severity("高"), severity("LOW"), severity("x")), (Some(8), Some(3), None));
        assert!(nothing("(null)") && !nothing("root"));
    }
}

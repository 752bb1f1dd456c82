//! Sign-ins told in Chinese, which puts who and whence before the words of signing in, and has no blanks.
//!
//! What stands before those words, from the beginning of the clause on, must be nothing but a user, an address,
//! a means and the like; one piece that is none of these makes it another sentence
//! (`登录失败次数`, `上次登录成功`). What follows are pairs, an address and a reason.

use super::words::{self, Key, Place, Token, Tokens, Words, is_name, is_stamp};
use super::{Action, One, SignIn, Told};

const LOGIN: &[&str] =
    &["登录", "登陆", "登入", "身份验证", "身份认证", "身份鉴别", "用户认证", "认证", "鉴权"];
const LOGOUT: &[&str] = &["登出", "注销登录", "注销", "退出登录", "退出系统", "退出"];
/// Between the two.
static OBJECTS: Words = Words::new(
    "了 系统 管理平台 管理系统 管理界面 管理后台 后台 平台 设备 服务器 控制台 网站 主机 本系统 \
     请求 操作 尝试 验证 校验 认证 已 被 界面 客户端 堡垒机 VPN vpn Web WEB",
);
const FAILED: &[&str] = &["失败", "未成功", "不成功", "错误", "未通过", "不通过", "拒绝", "被拒"];
const WORKED: &[&str] = &["成功", "通过"];
/// Wrong ones, by themselves or as the reason.
static SECRETS: Words = Words::new(
    "用户名或密码错误 用户名或密码不正确 用户名密码错误 账号或密码错误 账号密码错误 \
     帐号或密码错误 密码错误 密码不正确 密码输入错误 口令错误 口令不正确 密码验证失败 \
     密码校验失败",
);
/// Before a name; the longer ones first.
static USERS: Words = Words::new(
    "用户名称 用户名 用户账号 用户帐号 登录用户 登录账号 登录名 普通用户 系统管理员 安全管理员 \
     审计管理员 管理员账号 管理员 审计员 操作员 用户 账号 帐号 账户 帐户 工号 员工 职工 医生 护士",
);
const FROM: &[&str] = &["来自", "从", "自", "由"];
static ADDRESSES: Words = Words::new(
    "登录IP 源IP地址 来源IP地址 源IP 来源IP 客户端IP IP地址 IP ip地址 ip 源地址 来源地址 地址 \
     来源 客户端 终端 主机",
);
const MEANS: &[&str] = &["通过", "使用", "采用", "经由", "以", "用", "在"];
/// What else may stand there and says nothing.
static FILLERS: Words = Words::new(
    "尝试 试图 已经 已 的 远程 本地 再次 系统 后台 平台 客户端 终端 地址 方式 协议 WebUI Web WEB \
     web SSH ssh Telnet telnet HTTPS HTTP VPN FTP 控制台 密码 口令 浏览器 界面",
);
/// What may follow at once.
static FOLLOWERS: Words =
    Words::new("来源 来自 从 源 用户 账号 帐号 IP ip 原因 密码 口令 客户端 登录IP");
/// The longest name in Chinese, in characters.
const MAX_NAME: usize = 5;
/// Pieces of one clause.
const MAX_PIECES: usize = 12;
/// Places where a clause may begin.
const MAX_BEGINNINGS: usize = 24;

/// Words of signing in.
#[derive(Debug, Clone, Copy)]
struct Phrase {
    from: usize,
    to: usize,
    action: Action,
    success: bool,
}

/// Reads a text.
pub(super) fn read<'a>(text: &'a str, tokens: &[Token<'a>]) -> Option<SignIn<'a>> {
    if text.is_ascii() {
        return None;
    }
    let main = only_phrase(text)?;
    let Phrase { from, to, action, success } = main;
    let mut told = Told::default();
    let head = clause(text.get(..from)?);
    let begins = before(head, text.get(..from)?, &mut told)?;
    pairs(text, tokens, from..to, &mut told);
    // What stands before the clause may hold another user, or be the first half of a name.
    let earlier = text.get(..begins)?;
    let named = |marker: &str| {
        earlier.match_indices(marker).any(|(at, marker)| {
            let behind = earlier.get(at + marker.len()..).unwrap_or_default();
            behind.chars().next().is_some_and(|next| next.is_alphanumeric() || next == ' ')
        })
    };
    if USERS.iter().any(|marker| named(marker)) {
        return None;
    }
    behind(text.get(to..)?, success, &mut told);
    Some(SignIn { action, success, told })
}

/// The words of signing in of a text that has them once.
fn only_phrase(text: &str) -> Option<Phrase> {
    let mut found: Option<Phrase> = None;
    let mut at = 0;
    while let Some(offset) =
        text.get(at..).and_then(|rest| rest.find(|char: char| !char.is_ascii()))
    {
        at += offset;
        let rest = text.get(at..)?;
        match phrase(rest) {
            Some((width, action, success)) => {
                if found.is_some() {
                    return None;
                }
                found = Some(Phrase { from: at, to: at + width, action, success });
                at += width;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    let found = found.or_else(|| {
        let (from, word) = SECRETS.iter().find_map(|word| Some((text.find(word)?, word)))?;
        Some(Phrase { from, to: from + word.len(), action: Action::Login, success: false })
    })?;
    let behind = text.get(found.to..)?;
    let goes_on = behind.chars().next().is_some_and(char::is_alphanumeric);
    // `登录失败 3 次`.
    let counted = behind.trim_start().trim_start_matches(|char: char| char.is_ascii_digit());
    if counted.trim_start().starts_with('次') {
        return None;
    }
    let allowed = !goes_on || starts(behind, &FOLLOWERS).is_some();
    allowed.then_some(found)
}

/// `登录系统失败`, `成功登录`, `退出登录`.
fn phrase(text: &str) -> Option<(usize, Action, bool)> {
    let verb = |text: &str| {
        let login = starts(text, LOGIN).map(|word| (word.len(), Action::Login));
        login.or_else(|| Some((starts(text, LOGOUT)?.len(), Action::Logout)))
    };
    if let Some(word) = starts(text, &["成功"]) {
        let (width, action) = verb(text.get(word.len()..)?)?;
        let mut end = word.len() + width;
        while let Some(word) = starts(text.get(end..)?, &OBJECTS) {
            end += word.len();
        }
        return Some((end, action, true));
    }
    let (width, action) = verb(text)?;
    let mut end = width;
    for _ in 0..4 {
        let rest = text.get(end..)?;
        if let Some(word) = starts(rest, FAILED) {
            return Some((end + word.len(), action, false));
        }
        if let Some(word) = starts(rest, WORKED) {
            return Some((end + word.len(), action, true));
        }
        let object = starts(rest, &OBJECTS).map(str::len);
        let Some(width) = object.or(rest.starts_with(' ').then_some(1)) else { break };
        end += width;
    }
    let ends = text.get(width..)?.chars().next().is_none_or(|next| !next.is_alphanumeric());
    let left = matches!(text.get(..width)?, "退出登录" | "退出系统" | "注销登录");
    (ends && left).then_some((width, action, true))
}

fn starts<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    words.iter().copied().find(|word| text.starts_with(word))
}

/// The last clause of a text.
fn clause(text: &str) -> &str {
    text.rsplit(['，', ',', '；', ';', '。', '|', '！']).next().unwrap_or(text)
}

/// Reads the clause before the words of signing in; where it begins comes back. A prefix of the line's own
/// (a stamp, a level, a logger) is walked over.
fn before<'a>(head: &'a str, text: &'a str, told: &mut Told<'a>) -> Option<usize> {
    let offset = text.len() - head.len();
    // `[admin] 登录成功`, at the very beginning.
    if offset == 0
        && let Some((inside, rest)) = bracketed(head.trim_end())
        && rest.is_empty()
        && is_name(inside)
        && inside
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@'))
        && !words::any(
            inside,
            &["info", "warn", "error", "debug", "main", "notice", "warning", "trace", "fatal"],
        )
    {
        told.user(inside);
        return Some(0);
    }
    let mut beginnings = vec![0];
    for (at, char) in head.char_indices() {
        let next = at + char.len_utf8();
        let blank = head.get(next..).is_some_and(|rest| rest.starts_with(' '));
        let ends =
            matches!(char, '】' | '：' | '>') || blank && matches!(char, ':' | ']' | '-' | '.');
        if ends && beginnings.len() < MAX_BEGINNINGS {
            beginnings.push(next);
        }
    }
    for begin in beginnings {
        let mut own = *told;
        if pieces(head.get(begin..)?, &mut own).is_some() {
            *told = own;
            return Some(offset + begin);
        }
    }
    None
}

/// Reads all of a clause.
fn pieces<'a>(head: &'a str, told: &mut Told<'a>) -> Option<()> {
    let mut rest = head.trim_start_matches([' ', '\u{3000}']);
    for at in 0..MAX_PIECES {
        if rest.is_empty() {
            return Some(());
        }
        rest = piece(rest, at == 0, told)?.trim_start_matches([' ', '\u{3000}']);
    }
    None
}

/// Reads one piece of a clause; what follows it.
fn piece<'a>(text: &'a str, first: bool, told: &mut Told<'a>) -> Option<&'a str> {
    if let Some(marker) = starts(text, &USERS) {
        let rest = text.get(marker.len()..)?.trim_start_matches([' ', ':', '：', '=']);
        let led = starts(rest, FROM).or(starts(rest, MEANS)).or(starts(rest, &FILLERS));
        if rest.is_empty() || led.is_some() {
            return Some(rest);
        }
        let (name, rest) = name(rest)?;
        told.user(name);
        return Some(rest);
    }
    if let Some(from) = starts(text, FROM) {
        let rest = text.get(from.len()..)?.trim_start();
        let rest = match starts(rest, &ADDRESSES) {
            Some(word) => rest.get(word.len()..)?,
            None => rest,
        };
        if let Some((place, rest)) = place(rest) {
            told.source(place);
            return Some(rest);
        }
        return starts(rest, &["控制台", "本地", "外网", "内网", "后台"])
            .and_then(|word| rest.get(word.len()..));
    }
    if let Some(word) = starts(text, &ADDRESSES)
        && let Some((place, rest)) = place(text.get(word.len()..)?)
    {
        told.source(place);
        return Some(rest);
    }
    if let Some((inside, rest)) = bracketed(text) {
        if let Some(place) = words::place(inside) {
            told.source(place);
        } else if inside.len() > 32 || starts(inside, &USERS).is_some() {
            return None;
        }
        return (!first).then_some(rest);
    }
    if let Some(word) = starts(text, &["于"]) {
        return stamp(text.get(word.len()..)?);
    }
    if let Some(rest) = stamp(text) {
        return Some(rest);
    }
    if let Some(word) = starts(text, MEANS) {
        let rest = text.get(word.len()..)?.trim_start();
        if let Some((_, rest)) = place(rest).filter(|_| word == "在") {
            return Some(rest.strip_prefix('上').unwrap_or(rest));
        }
        let rest = ascii(rest).1;
        return Some(
            starts(rest, &FILLERS).and_then(|word| rest.get(word.len()..)).unwrap_or(rest),
        );
    }
    if first {
        let (name, rest) = ascii(text);
        let ends = rest.is_empty()
            || rest.starts_with(' ')
            || starts(rest, FROM).is_some()
            || starts(rest, MEANS).is_some();
        if is_name(name) && ends && starts(name, &FILLERS) != Some(name) {
            told.user(name);
            return Some(rest);
        }
    }
    starts(text, &FILLERS).and_then(|word| text.get(word.len()..))
}

/// A name in brackets, quotes or bare, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    if let Some((inside, rest)) = bracketed(text) {
        return is_name(inside.trim()).then_some((inside.trim(), rest));
    }
    let (plain, rest) = ascii(text);
    if !plain.is_empty() {
        return is_name(plain).then_some((plain, rest));
    }
    let ends = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        starts(rest, &["来自", "从", "在", "通过", "使用", "尝试", "已"]).is_some()
            || rest
                .strip_prefix('于')
                .is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
            || rest.chars().next().is_none_or(|char| !char.is_alphanumeric())
    };
    let end = text.char_indices().map(|(at, _)| at).find(|at| ends(*at)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (name.chars().count() <= MAX_NAME && is_name(name)).then_some((name, rest))
}

/// What stands in brackets or quotes that begin here, and what follows.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let close = match text.chars().next()? {
        '[' => ']',
        '【' => '】',
        '(' => ')',
        '（' => '）',
        '<' => '>',
        '「' => '」',
        '“' => '”',
        quote @ ('"' | '\'') => quote,
        _ => return None,
    };
    let mut chars = text.chars();
    chars.next();
    chars.as_str().split_once(close)
}

/// The word in ASCII that begins here, and what follows.
fn ascii(text: &str) -> (&str, &str) {
    let plain = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '.' | '_' | '-' | '@' | '\\' | '/' | '+' | '$')
    };
    text.split_at_checked(text.find(|char| !plain(char)).unwrap_or(text.len()))
        .unwrap_or(("", text))
}

/// An address, in brackets or not, and what follows.
fn place(text: &str) -> Option<(Place, &str)> {
    let text = text.trim_start_matches([' ', ':', '：', '=', '为', '是']);
    if let Some((inside, rest)) = bracketed(text) {
        return Some((words::place(inside)?, rest));
    }
    let plain = |char: char| char.is_ascii_hexdigit() || matches!(char, '.' | ':' | '%');
    let (word, rest) =
        text.split_at_checked(text.find(|char| !plain(char)).unwrap_or(text.len()))?;
    let bare = word.trim_end_matches([':', '.']);
    Some((words::place(bare)?, rest))
}

/// What follows a date or a time, `年` and the like included.
fn stamp(text: &str) -> Option<&str> {
    let plain = |char: char| {
        char.is_ascii_digit()
            || matches!(
                char,
                '-' | ':' | '/' | '.' | ' ' | 'T' | '年' | '月' | '日' | '时' | '分' | '秒'
            )
    };
    let text = text.trim_start();
    let (stamp, rest) =
        text.split_at_checked(text.find(|char| !plain(char)).unwrap_or(text.len()))?;
    let date = stamp.split(' ').find(|part| !part.is_empty())?;
    (is_stamp(date) && words::place(date).is_none() || stamp.contains('月')).then_some(rest)
}

/// Pairs of the whole text, but those that hold the words of signing in.
fn pairs<'a>(
    text: &'a str,
    all: &[Token<'a>],
    phrase: std::ops::Range<usize>,
    told: &mut Told<'a>,
) {
    let tokens = Tokens(all);
    let (user, account) = (told.user, told.account);
    let mut own = Told { user: One::Nothing, account: One::Nothing, ..*told };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let holds = |token: &Token<'_>| token.start < phrase.end && token.end > phrase.start;
        if let Some(next) = tokens.pair(text, at, &mut own) {
            let value = next.checked_sub(1).and_then(|last| tokens.get(last));
            at = next;
            if value.is_some_and(holds) && own.user != user {
                // `用户：admin登录成功` was read with the clause.
                own.user = One::Nothing;
            }
            continue;
        }
        if words::key(token.text) == Some(Key::Source)
            && let Some((place, next)) = tokens.place(at + 1)
        {
            own.source(place);
            at = next;
            continue;
        }
        at += 1;
    }
    *told = own;
    for (one, before) in [(&mut told.user, user), (&mut told.account, account)] {
        match before {
            One::Nothing => {}
            One::Said(name) => one.tell(name),
            One::Unclear => *one = One::Unclear,
        }
    }
}

/// Reads on from the words of signing in: from where, and why.
fn behind<'a>(text: &'a str, success: bool, told: &mut Told<'a>) {
    for (at, part) in text.split(['，', ',', '；', ';', '。', '|']).enumerate() {
        let part = part.trim();
        if let Some(word) = starts(part, &["来自", "从", "来源"])
            && let Some((place, _)) = part.get(word.len()..).and_then(|rest| {
                let rest = rest.trim_start();
                let lead = starts(rest, &ADDRESSES).map_or(0, str::len);
                place(rest.get(lead..)?)
            })
        {
            told.source(place);
        } else if success {
            continue;
        } else if let Some(word) = starts(part, &SECRETS) {
            told.reason(part.get(..word.len()).unwrap_or_default());
        } else if at == 0 {
            let why = part.trim_start_matches([' ', ':', '：', '(', '（', '-']);
            let why = why.strip_suffix([')', '）']).unwrap_or(why);
            let keyed = why.find([':', '：', '=']).is_some();
            if why.len() < part.len()
                && !keyed
                && !why.contains(['[', '(', '（'])
                && words::place(why).is_none()
            {
                told.reason(why);
            }
        }
    }
}

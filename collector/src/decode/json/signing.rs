//! Somebody signing in or out, as portals and identity servers write it in JSON: Keycloak, Elasticsearch's audit
//! log, and any application that says who, from where, and a word.
//!
//! The word must say nothing else: every part of `LOGIN_ERROR`, `user.login.failed`, `UserLoginSuccess` or `用户登录失败`
//! is one of a login, of how it went, or a filler. `login_page_viewed` is no login. The user and the address must be
//! named once; a name that somebody typed can be anything, which JSON keeps a value.

use super::roles::Key;
use super::shapes::Picture;
use crate::decode::network;
use crate::decode::out::Out;
use crate::event::{Value, names};

/// The longest text that is taken for such a word.
const MAX_WORD: usize = 64;
/// Where Keycloak writes its events, as one text of pairs.
const KEYCLOAK: &str = "org.keycloak.events";

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    out: bool,
    success: Option<bool>,
}

/// Says that somebody signed in or out; true when the line tells of that.
pub(super) fn conclude(picture: &Picture<'_>, out: &mut Out) -> bool {
    if picture.has(Key::Logger) && picture.said(Key::Logger, out).as_deref() == Some(KEYCLOAK) {
        return keycloak(picture, out);
    }
    let asked = [Key::Operation, Key::Message];
    if !asked.iter().any(|key| picture.has(*key)) {
        return false;
    }
    if ![Key::User, Key::Client, Key::Peer].iter().any(|key| picture.has(*key)) {
        return false;
    }
    let Some(sign) = sign_of(picture, out) else { return false };
    if picture.uses(names::EVENT_CATEGORY, out) {
        return false;
    }
    out.security = true;
    out.word(names::EVENT_CATEGORY, "authentication");
    if !picture.uses(names::EVENT_ACTION, out) {
        out.word(names::EVENT_ACTION, if sign.out { "logout" } else { "login" });
    }
    user(picture, out);
    client(picture, out);
    outcome(picture, sign, out);
    if picture.said(Key::Reason, out).is_some() {
        picture.copy(Key::Reason, names::EVENT_REASON, out);
    }
    if picture.said(Key::Agent, out).is_some() {
        picture.copy(Key::Agent, names::USER_AGENT_ORIGINAL, out);
    }
    true
}

/// What the line's words say together: they must not contradict one another.
fn sign_of(picture: &Picture<'_>, out: &Out) -> Option<Sign> {
    let mut sign: Option<Sign> = None;
    let [first, last] = picture.values(Key::Operation, out);
    for value in [first, last, picture.value(Key::Message, out)].into_iter().flatten() {
        if !matches!(value, Value::Text { .. } | Value::Arena { .. }) {
            continue;
        }
        let Some(read) = read(&picture.text(value, out)) else { continue };
        sign = match sign {
            None => Some(read),
            Some(before) if before.out == read.out => {
                Some(Sign { success: before.success.or(read.success), ..before })
            }
            Some(_) => return None,
        };
    }
    sign
}

fn user(picture: &Picture<'_>, out: &mut Out) {
    if picture.uses(names::USER_NAME, out) {
        return;
    }
    let told = picture.values(Key::User, out).map(|value| Some(picture.text(value?, out)));
    match told {
        [Some(first), Some(second)] if first != second => out.problem("the line names two users"),
        [Some(_), _] => picture.copy(Key::User, names::USER_NAME, out),
        _ => {}
    }
}

fn client(picture: &Picture<'_>, out: &mut Out) {
    if picture.uses(names::SOURCE_IP, out) {
        return;
    }
    let [one, two] = [Key::Peer, Key::Client].map(|key| picture.values(key, out));
    let mut found = None;
    for value in one.into_iter().chain(two).flatten() {
        let Some((address, port)) = network::endpoint(&picture.text(value, out)) else { continue };
        match found {
            None => found = Some((address, port)),
            Some((before, _)) if before == address => {}
            Some(_) => return out.problem("the line names two clients"),
        }
    }
    if let Some((address, port)) = found {
        out.address(names::SOURCE_IP, address);
        if let Some(port) = port {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
}

/// How it went, by the word, the result, or an error.
fn outcome(picture: &Picture<'_>, sign: Sign, out: &mut Out) {
    if picture.uses(names::EVENT_OUTCOME, out) {
        return;
    }
    let mut told = [None; 5];
    told[0] = sign.success;
    let [first, last] = picture.values(Key::Result, out);
    for (place, value) in told[1..3].iter_mut().zip([first, last]) {
        *place = value.and_then(|value| went(picture, value, out));
    }
    told[3] = match picture.value(Key::Success, out) {
        Some(Value::Integer(1)) => Some(true),
        Some(Value::Integer(0)) => Some(false),
        Some(value) => went(picture, value, out),
        None => None,
    };
    // An error that is named is one; Keycloak leaves it out or null otherwise.
    told[4] = picture.said(Key::Error, out).filter(|error| *error != "0").map(|_| false);
    let says = |success| told.contains(&Some(success));
    match (says(true), says(false)) {
        (true, true) => out.problem("the line says two things of how it went"),
        (false, false)
            if picture.name(Key::Operation, out) == "type" && keycloak_type(picture, out) =>
        {
            out.outcome(true);
        }
        (false, false) => {}
        (success, _) => out.outcome(success),
    }
}

/// Keycloak's plain `LOGIN` is one that worked.
fn keycloak_type(picture: &Picture<'_>, out: &Out) -> bool {
    picture.said(Key::Operation, out).is_some_and(|word| matches!(&*word, "LOGIN" | "LOGOUT"))
        && out.has_named("realmId")
}

fn went(picture: &Picture<'_>, value: Value, out: &Out) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(flag),
        Value::Integer(200..300) => Some(true),
        Value::Integer(400..500) => Some(false),
        Value::Text { .. } | Value::Arena { .. } => {
            let text = picture.text(value, out);
            // A digit may count from either end.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { None } else { network::words::success(&text) }
        }
        _ => None,
    }
}

/// `type="LOGIN_ERROR", realmId="…", clientId="…", userId="null", ipAddress="192.0.2.1", error="…", username="…"`.
fn keycloak(picture: &Picture<'_>, out: &mut Out) -> bool {
    let Some(text) = picture.said(Key::Message, out) else { return false };
    let Some(kind) = text.strip_prefix("type=").and_then(|rest| rest.split(',').next()) else {
        return false;
    };
    let Some(sign) = read(kind.trim_matches('"')) else { return false };
    // Whoever chooses a name could write more pairs behind it: what stands twice is not taken.
    let once = |key: &str| {
        let mut parts = text.split(key);
        let (_, value, None) = (parts.next()?, parts.next()?, parts.next()) else { return None };
        let value = value.strip_prefix('"').map_or_else(
            || value.split(", ").next().unwrap_or(value),
            |quoted| quoted.split('"').next().unwrap_or(quoted),
        );
        Some(value.to_owned()).filter(|value| !network::words::nothing(value))
    };
    let (user, address, error) = (once(", username="), once(", ipAddress="), once(", error="));
    if text.matches(", username=").count() > 1 || text.matches(", ipAddress=").count() > 1 {
        out.problem("a value of the message stands in it twice, as the peer may have written it");
    }
    out.security = true;
    out.event("authentication", if sign.out { "logout" } else { "login" });
    out.outcome(sign.success.unwrap_or(error.is_none()));
    if let Some(user) = user {
        out.owned(names::USER_NAME, &user);
    }
    if let Some((address, _)) = address.as_deref().and_then(network::endpoint) {
        out.address(names::SOURCE_IP, address);
    }
    if let Some(error) = error {
        out.owned(names::EVENT_REASON, &error);
    }
    true
}

/// Reads a word that says nothing but that somebody signed in or out, and perhaps how it went.
fn read(text: &str) -> Option<Sign> {
    if text.len() > MAX_WORD || text.len() < 4 {
        return None;
    }
    let mut saying = Saying::default();
    let mut word = [0_u8; MAX_WORD];
    let mut length = 0;
    let mut rest = text;
    let mut lower_before = false;
    while let Some(char) = rest.chars().next() {
        let upper = char.is_ascii_uppercase();
        // `UserLogin` is two words, `LOGIN` is one.
        if length > 0 && (!char.is_ascii_alphanumeric() || upper && lower_before) {
            saying.latin(word.get(..length)?)?;
            length = 0;
        }
        lower_before = char.is_ascii_lowercase();
        if char.is_ascii_alphanumeric() {
            *word.get_mut(length)? = u8::try_from(char).ok()?.to_ascii_lowercase();
            length += 1;
        } else if !char.is_ascii() {
            rest = saying.chinese(rest)?;
            continue;
        }
        rest = rest.get(char.len_utf8()..)?;
    }
    if length > 0 {
        saying.latin(word.get(..length)?)?;
    }
    saying.sign()
}

/// What the parts of a word said so far.
#[derive(Default)]
struct Saying {
    /// `sign` or `log`, which wait for `in` or `out`.
    half: bool,
    into: bool,
    out: bool,
    success: bool,
    failure: bool,
}

/// What a part of a word says.
type Say = fn(&mut Saying);

const CHINESE: &[(&str, Say)] = &[
    ("登录", |saying| saying.into = true),
    ("登陆", |saying| saying.into = true),
    ("登入", |saying| saying.into = true),
    ("认证", |saying| saying.into = true),
    ("登出", |saying| saying.out = true),
    ("注销", |saying| saying.out = true),
    ("退出", |saying| saying.out = true),
    ("成功", |saying| saying.success = true),
    ("失败", |saying| saying.failure = true),
    ("错误", |saying| saying.failure = true),
    ("拒绝", |saying| saying.failure = true),
    ("用户名", |_| {}),
    ("用户", |_| {}),
    ("账号", |_| {}),
    ("账户", |_| {}),
    ("管理员", |_| {}),
    ("系统", |_| {}),
    ("后台", |_| {}),
    ("平台", |_| {}),
    ("密码", |_| {}),
    ("身份", |_| {}),
    ("尝试", |_| {}),
    ("或", |_| {}),
    ("：", |_| {}),
    ("，", |_| {}),
    ("。", |_| {}),
    ("！", |_| {}),
];

impl Saying {
    fn latin(&mut self, word: &[u8]) -> Option<()> {
        match word {
            b"login" | b"logon" | b"signin" | b"authentication" | b"authenticate" | b"authn" => {
                self.into = true;
            }
            b"authenticated" => {
                self.into = true;
                self.success = true;
            }
            b"logout" | b"logoff" | b"signout" => self.out = true,
            b"log" | b"logged" | b"sign" | b"signed" => self.half = true,
            b"in" | b"on" if self.half => self.into = true,
            b"out" | b"off" if self.half => self.out = true,
            b"success" | b"successful" | b"successfully" | b"succeeded" | b"ok" | b"passed" => {
                self.success = true;
            }
            b"fail" | b"failed" | b"failure" | b"error" | b"denied" | b"rejected" | b"invalid"
            | b"incorrect" | b"wrong" | b"bad" | b"refused" | b"unsuccessful" => {
                self.failure = true;
            }
            b"user" | b"account" | b"event" | b"attempt" | b"via" | b"by" | b"with" | b"web"
            | b"ui" | b"sso" | b"oauth" | b"oauth2" | b"oidc" | b"saml" | b"ldap" | b"local"
            | b"password" | b"credentials" | b"username" | b"or" | b"admin" | b"api"
            | b"portal" | b"from" | b"for" | b"the" | b"to" | b"is" | b"has" | b"been" | b"was"
            | b"in" | b"on" | b"remote" | b"interactive" | b"security" | b"auth" => {}
            _ => return None,
        }
        Some(())
    }

    fn chinese<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        CHINESE.iter().find_map(|(word, say)| {
            let rest = text.strip_prefix(word)?;
            say(self);
            Some(rest)
        })
    }

    fn sign(&self) -> Option<Sign> {
        let success = match (self.success, self.failure) {
            (true, true) => return None,
            (false, false) => None,
            (success, _) => Some(success),
        };
        // 注销登录 is a logout.
        (self.into || self.out).then_some(Sign { out: self.out, success })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, expected: Option<(bool, Option<bool>)>| {
            let read = read(text).map(|sign| (sign.out, sign.success));
            assert_eq!(read, expected, "{text}");
        };
        for text in
            ["login", "LOGIN", "user.login", "UserLogin", "sign-in", "User logged in", "用户登录"]
        {
            check(text, Some((false, None)));
        }
        for text in
            ["LOGIN_ERROR", "loginFailed", "authentication_failed", "用户登录失败", "Invalid login"]
        {
            check(text, Some((false, Some(false))));
        }
        for text in
            ["login success", "authentication_success", "User signed in successfully", "登录成功"]
        {
            check(text, Some((false, Some(true))));
        }
        for text in ["logout", "signed out", "注销登录", "UserLogout"] {
            check(text, Some((true, None)));
        }
        for text in [
            "",
            "in",
            "login page viewed",
            "author",
            "password",
            "log",
            "catalog",
            "log rotated",
            "LOGIN_TOKEN_REFRESH",
            "login failed, success",
            "登录页面",
            "audit",
            "user created",
        ] {
            check(text, None);
        }
        check(&"login ".repeat(40), None);
    }
}

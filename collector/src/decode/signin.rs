//! Sign-ins in lines of products that nobody here knows: an appliance, the front end of a hospital's
//! system, a daemon of its own make. Guessing passwords is seen there too.
//!
//! In: a line that no decoder has read, or the prose of one whose form alone was read (a Java application's,
//! a logfmt line's). Out: an authentication event with the outcome, the user and the address, or nothing.
//! The dataset stays what it was.
//!
//! ```text
//! Rejected password for user root from 203.0.113.9
//! authentication failure; rhost=203.0.113.9 user=root@pam msg=no such user
//! User admin logged in from 192.0.2.7
//! 用户 zhangsan 从 192.0.2.7 登录失败：密码错误
//! ```
//!
//! A line is read only where it can hardly mean anything else: the words of signing in, how it went, and a
//! user or an address, in the order in which people write them (`english.rs`, `chinese.rs`). A sentence about
//! sign-ins, a counter of them, a request for a page of that name is none. Nearly all lines are told by one
//! look ([`worth`]) for a few letters; only the others are taken apart.
//!
//! Whoever signs in writes the user name, and perhaps more. He gets:
//! - nothing by a name with the words of a sign-in in it, which make the line ambiguous: nothing is taken
//!   from it;
//! - nothing by a name with an address in it: two addresses of different value are no address, but where
//!   one ends the line behind the name, as the product wrote it, that one counts and the name is left
//!   out. The same holds for `ip=203.0.113.9` within a name;
//! - nothing by quoting: what stands in quotes is a value and never read as words.
//!
//! Of a product that says no address at all a name with ` from 203.0.113.9` behind it is believed. Nothing
//! in the line tells the two apart, and such a name is no account's: it costs whoever owns that address an
//! alert, and hides no guess at an account that exists. Work is linear in the line, which is bounded.

mod chinese;
mod english;
mod look;
mod words;

use std::net::IpAddr;

use super::out::Out;
use super::{Decoder, Line};
use crate::event::names;
use look::worth;
use words::{Key, tokens};

/// What the events name as their decoder.
const NAME: &str = "signin";
/// Decoders that read the form of a line and leave its words to whoever knows them.
const GENERAL: &[&str] = &["application", "java", "python", "json", "logfmt"];
/// The longest text that is taken apart.
const MAX_TEXT: usize = 2_048;
/// The longest reason that is kept.
const MAX_REASON: usize = 200;
/// Names of prose among the values of a line.
const PROSE: &[&str] =
    &["message", "msg", "event", "log", "text", "content", "description", "desc", "body"];
/// Objects whose values tell of who signs in.
const OBJECTS: &[&str] =
    &["user", "source", "client", "remote", "request", "data", "fields", "context", "extra"];
/// 登, as JSON may escape it.
const ESCAPED: &[u8] = b"\\u767b";
/// Values of a line that say who it was.
const MAX_FACTS: usize = 8;
const TWO_ADDRESSES: &str = "the name of the user holds an address and is left out";

/// Reads the words of a line that no decoder read.
pub(super) fn read(line: &Line<'_>, out: &mut Out) {
    if worth(line.message) {
        sign_in(line.message, &[], out);
    }
}

/// Whether a decoder reads the form of lines and knows no product's words.
pub(super) fn is_general(decoder: &Decoder) -> bool {
    GENERAL.contains(&decoder.name)
}

/// Reads the words of a line whose form a decoder read, unless that told what happened.
pub(super) fn read_prose(decoder: &Decoder, line: &Line<'_>, out: &mut Out) {
    if !is_general(decoder) {
        return;
    }
    let escaped = || memchr::memmem::find(line.message.as_bytes(), ESCAPED).is_some();
    let worth_it = worth(line.message) || decoder.name == "json" && escaped();
    if !worth_it || out.has(names::EVENT_CATEGORY) {
        return;
    }
    if !matches!(decoder.name, "json" | "logfmt") {
        sign_in(line.message, &[], out);
        return;
    }
    // Values behind their names: one of them is the prose, others may say who it was.
    let (mut prose, mut facts) = (None, Vec::new());
    for (id, value) in out.record() {
        let Some(name) = own_name(id.name()) else { continue };
        let text = out.shown(line.message, *value);
        match words::key(name) {
            _ if text.is_empty() || facts.len() >= MAX_FACTS => {}
            Some(Key::Reason) | None if prose.is_none() && PROSE.contains(&name) && worth(text) => {
                prose = Some(text.to_owned());
            }
            Some(key @ (Key::User | Key::Account | Key::Source)) => {
                facts.push((key, text.to_owned()))
            }
            _ => {}
        }
    }
    if let Some(prose) = prose {
        sign_in(&prose, &facts, out);
    }
}

/// The name of a value without the object that it is in; None where that tells of somebody else than who
/// signs in, as `host.ip` does.
fn own_name(name: &str) -> Option<&str> {
    match name.rsplit_once('.') {
        Some((object, last)) => words::any(object, OBJECTS).then_some(last),
        None => Some(name),
    }
}

/// What people do at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Login,
    Logout,
}

/// A value that is said once, or in different ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum One<T> {
    #[default]
    Nothing,
    Said(T),
    Unclear,
}

impl<T: Copy + PartialEq> One<T> {
    fn tell(&mut self, value: T) {
        *self = match *self {
            One::Nothing => One::Said(value),
            One::Said(said) if said == value => One::Said(value),
            _ => One::Unclear,
        };
    }

    fn said(self) -> Option<T> {
        match self {
            One::Said(value) => Some(value),
            _ => None,
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, One::Nothing)
    }
}

/// What a text says of who signed in from where.
#[derive(Debug, Clone, Copy, Default)]
struct Told<'a> {
    user: One<&'a str>,
    /// An account, the user where none is named.
    account: One<&'a str>,
    source: One<IpAddr>,
    port: Option<u16>,
    reason: Option<&'a str>,
    /// The address was told from one in the user's name.
    forged: bool,
    /// A user is named by several words, of which none is a name for certain.
    many_words: bool,
}

impl<'a> Told<'a> {
    fn user(&mut self, name: &'a str) {
        // `root@203.0.113.9` names both.
        match name.rsplit_once('@').map(|(name, host)| (name, words::place(host))) {
            Some((name, Some(place))) if !name.is_empty() => {
                self.user.tell(name);
                self.source(place);
            }
            _ => self.user.tell(name),
        }
    }

    fn source(&mut self, (address, port): words::Place) {
        self.source.tell(address);
        self.port = self.port.or(port);
    }

    fn reason(&mut self, reason: &'a str) {
        let end = reason.floor_char_boundary(MAX_REASON);
        let reason = reason.get(..end).unwrap_or_default();
        let reason =
            reason.trim_matches([' ', ':', '"', '\'', '.', '(', ')', '：', '。', '（', '）']);
        if !reason.is_empty() {
            self.reason.get_or_insert(reason);
        }
    }
}

/// A sign-in and who it was.
#[derive(Debug, Clone, Copy)]
struct SignIn<'a> {
    action: Action,
    success: bool,
    told: Told<'a>,
}

/// Writes the event of a text, where it tells of a sign-in; the facts stand beside it.
fn sign_in(text: &str, facts: &[(Key, String)], out: &mut Out) {
    let text = text.split('\n').next().unwrap_or_default().trim();
    if text.len() > MAX_TEXT {
        return;
    }
    let Some(tokens) = tokens(text) else { return };
    let read = match english::read(text, &tokens) {
        english::Read::None => chinese::read(text, &tokens),
        english::Read::Ambiguous => None,
        english::Read::SignIn(sign_in) => Some(sign_in),
    };
    let Some(SignIn { action, success, mut told }) = read else { return };
    for (key, value) in facts {
        match key {
            Key::User if words::is_name(value) => told.user(value),
            Key::Account if words::is_name(value) => told.account.tell(value),
            Key::Source => {
                if let Some(place) = words::place(value) {
                    told.source(place);
                }
            }
            _ => {}
        }
    }
    if told.user == One::Unclear || told.source == One::Unclear {
        return;
    }
    let user = told.user.said().or(told.account.said()).filter(|_| !told.many_words);
    let known = out.has(names::USER_NAME) || out.has(names::SOURCE_IP);
    if user.is_none() && told.source.is_nothing() && !known {
        return;
    }
    let action = if action == Action::Login { "login" } else { "logout" };
    out.event("authentication", action);
    out.outcome(success);
    if let Some(user) = user.filter(|_| !out.has(names::USER_NAME)) {
        out.text(names::USER_NAME, user);
    }
    if let Some(address) = told.source.said().filter(|_| !out.has(names::SOURCE_IP)) {
        out.address(names::SOURCE_IP, address);
        if let Some(port) = told.port {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
    if let Some(reason) = told.reason {
        out.text(names::EVENT_REASON, reason);
    }
    if told.forged {
        out.problem(TWO_ADDRESSES);
    }
    out.security = true;
    out.word(names::HENGWEI_DECODER, NAME);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a text: how it went, the user, the address.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Out::new("");
        out.begin(text, 0);
        let line = Line { message: text, program: None, path: "", configured: "" };
        read(&line, &mut out);
        let shown = |id| {
            let value =
                out.record().iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
            value.map_or_else(String::new, |value| match value {
                crate::event::Value::Address(address) => address.to_string(),
                value => out.shown(text, value).to_owned(),
            })
        };
        let ids = [names::EVENT_ACTION, names::EVENT_OUTCOME, names::USER_NAME, names::SOURCE_IP];
        assert_eq!(ids.map(shown).join(" ").trim(), expected, "{text}");
    }

    #[test]
    fn one_sentence_in_many_words() {
        for text in [
            "login failed for root from 203.0.113.9",
            "Login failure for user root from 203.0.113.9.",
            "LOGIN FAILED: user root from 203.0.113.9",
            "logon failed for user 'root' from host 203.0.113.9",
            "Failed login from 203.0.113.9 for user root",
            "Failed login (user: root, ip: 203.0.113.9)",
            "Failed to log in as root from 203.0.113.9",
            "root failed to sign in from 203.0.113.9",
            "User root could not log in from 203.0.113.9",
            "User root (203.0.113.9) failed to log in",
            "User root from 203.0.113.9 failed to authenticate",
            "user root authentication failed from 203.0.113.9",
            "Authentication of user root from 203.0.113.9 was rejected",
            "Web authentication failure for account root from client 203.0.113.9",
            "auth failed: user=root src=203.0.113.9",
            "type=login_failed username=root ip=203.0.113.9",
            "Incorrect password for root from 203.0.113.9",
            "password rejected for user root (203.0.113.9)",
            "Login attempt by user root from 203.0.113.9 via web denied",
            "login failed, user \"root\", address 203.0.113.9",
            "root@203.0.113.9: login failed",
            "用户root从203.0.113.9登录系统失败",
            "用户 root 登录失败，IP：203.0.113.9",
            "用户“root”登录失败，来源 IP 203.0.113.9",
            "管理员root通过Web登录失败，来自203.0.113.9",
            "登录失败，账号：root，源IP：203.0.113.9",
        ] {
            check(text, "login failure root 203.0.113.9");
        }
    }

    #[test]
    fn others() {
        check(
            "User root has successfully logged in from 192.0.2.7",
            "login success root 192.0.2.7",
        );
        check("Successful login for root from 192.0.2.7", "login success root 192.0.2.7");
        check("root authenticated successfully from 192.0.2.7", "login success root 192.0.2.7");
        check("User root logged out", "logout success root");
        check("用户 root 已登出", "");
        check("用户 root 注销成功", "logout success root");
        check("后台登录失败，IP 203.0.113.9", "login failure  203.0.113.9");
    }

    #[test]
    fn sentences_about_something_else() {
        for text in [
            "",
            "login failed",
            "no user logged in from 192.0.2.7",
            "users logged in: 3",
            "user root is already logged in from 192.0.2.7",
            "login failed 3 times for user root from 192.0.2.7",
            "login failure threshold of user root is 5",
            "show login failures from 192.0.2.7",
            "last login failed for user root",
            "the login failed page of 192.0.2.7 was shown",
            "Resetting failed login count for user root",
            "max failed login attempts for root is 5",
            "login success rate 99 % user=root",
            "do not log in as root from 192.0.2.7",
            "title: Gitea User Login Failure Via SSH",
            "Indicates sign-in from an address based on high failure rates of root",
            "用户 root 登录失败 3 次",
            "最近一次登录成功，IP：192.0.2.7",
            "登录失败后锁定账号：root",
            "允许用户 root 登录成功后访问 192.0.2.7",
        ] {
            check(text, "");
        }
    }

    #[test]
    fn long_lines_cost_little() {
        let many = "login failed for user ".repeat(90);
        check(&many, "");
        check(&"'".repeat(MAX_TEXT), "");
        check(&format!("登录{}", "[用户 ".repeat(300)), "");
        check(&format!("login failed for user root from 203.0.113.9{}", " x".repeat(MAX_TEXT)), "");
    }
}

//! Messages of PAM modules, whoever the program: `pam_unix(sshd:auth): authentication failure; …`.
//!
//! The keys of a failure come in one fixed order with the user last, so they are read in that
//! order: a user named `x rhost=203.0.113.9` is a user of that name.

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "pam",
    datasets: &["pam"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"p", test: |line| line.starts_with("pam_") },
    security: true,
    decode,
};

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    let read = match message.strip_prefix("PAM ") {
        Some(rest) => library(rest, out),
        None => module(message, out),
    };
    read.is_some()
}

/// `pam_unix(SERVICE:TYPE): TEXT`; old versions have no type.
fn module(message: &str, out: &mut Out) -> Option<()> {
    let (module, rest) = message.split_once('(')?;
    let known = module.starts_with("pam_")
        && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !known {
        return None;
    }
    let (service, text) = rest.split_once("): ")?;
    let (service, kind) = service.split_once(':').unwrap_or((service, ""));
    out.text(names::HENGWEI_PAM_MODULE, module);
    out.text(names::HENGWEI_PAM_SERVICE, service);
    out.some(names::HENGWEI_PAM_TYPE, kind);
    told(text, out);
    Some(())
}

/// What libpam says itself: `PAM 2 more authentication failures; …`, `PAM service(sshd) ignoring …`.
fn library(rest: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = rest.strip_prefix("service(") {
        let (service, text) = rest.split_once(") ")?;
        out.event("authentication", "pam_max_retries");
        out.text(names::HENGWEI_PAM_SERVICE, service);
        out.text(names::EVENT_REASON, text);
        return Some(());
    }
    let (count, rest) = rest.split_once(" more authentication failure")?;
    count.parse::<u32>().ok()?;
    out.event("authentication", "pam_more_failures");
    out.outcome(false);
    keys(rest.strip_prefix('s').unwrap_or(rest), out);
    Some(())
}

fn told(text: &str, out: &mut Out) {
    if let Some(keys_text) = text.strip_prefix("authentication failure;") {
        out.event("authentication", "pam_failure");
        out.outcome(false);
        keys(keys_text, out);
    } else if let Some(rest) = text.strip_prefix("session opened for user ") {
        session(rest, "pam_session_opened", out);
    } else if let Some(rest) = text.strip_prefix("session closed for user ") {
        session(rest, "pam_session_closed", out);
    } else if let Some(user) = text.strip_prefix("password changed for ") {
        out.event("iam", "password_changed");
        out.outcome(true);
        out.text(names::USER_TARGET_NAME, user);
    } else if let Some(rest) = text.strip_prefix("check pass; user ") {
        out.event("authentication", "pam_check_pass");
        out.flag(names::HENGWEI_AUTH_INVALID_USER, rest == "unknown");
    } else if let Some(user) = bracketed(text, "could not identify user ") {
        failed(user, text, out);
    } else if let Some(user) = bracketed(text, "auth could not identify password for ") {
        failed(user, text, out);
    } else if let Some(user) = bracketed(text, "bad username ") {
        failed(user, text, out);
    } else if let Some(user) =
        text.strip_prefix("account ").and_then(|rest| rest.split_once(" has expired"))
    {
        failed(user.0, text, out);
    } else if let Some(keys_text) = text.strip_prefix("authentication success;") {
        out.event("authentication", "pam_success");
        out.outcome(true);
        keys(keys_text, out);
    } else if refused(text, out).is_none() {
        out.event("authentication", "pam_message");
        out.some(names::EVENT_REASON, text);
    }
}

/// What modules beside pam_unix say when they refuse somebody. Each writes its own words behind the name,
/// so the name ends where they begin, seen from the end.
fn refused(text: &str, out: &mut Out) -> Option<()> {
    let between = |start: &str, end: &str| text.strip_prefix(start)?.rsplit_once(end);
    let (action, user) = if let Some((user, _)) =
        between("Consecutive login failures for user ", " account temporarily locked")
    {
        ("account_locked", user)
    } else if let Some((user, rest)) = between("user ", " tally ") {
        // `user lisi (1001) tally 6, deny 5`
        rest.contains(", deny ").then_some(())?;
        ("account_locked", user.rsplit_once(" (").map_or(user, |(user, _)| user))
    } else if let Some((_, user)) = between("requirement ", " not met by user \"") {
        ("pam_denied", user.strip_suffix('"')?)
    } else if let Some((user, _)) = between("Refused user ", " for service ") {
        ("pam_denied", user)
    } else if let Some((user, from)) = between("access denied for user `", "' from `") {
        host(from.strip_suffix('\'')?, out);
        ("pam_denied", user)
    } else if let Some((user, target)) = between("Access denied to '", "' for '") {
        out.some(names::USER_EFFECTIVE_NAME, target.trim_end_matches('\''));
        ("pam_denied", user)
    } else if let Some((user, _)) = between("expired password for user ", " (") {
        ("pam_denied", user)
    } else if let Some((user, result)) = between("received for user ", ": ") {
        // `received for user lisi: 7 (Authentication failure)`; 0 is success.
        if result.starts_with("0 ") {
            return None;
        }
        ("pam_failure", user)
    } else if let Some(user) = text.strip_prefix("Invalid verification code for ") {
        ("pam_failure", user)
    } else {
        return None;
    };
    out.event("authentication", action);
    out.outcome(false);
    out.some(names::USER_NAME, user);
    out.text(names::EVENT_REASON, text);
    Some(())
}

fn bracketed<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.strip_prefix(words)?.strip_prefix('[')?.strip_suffix(']')
}

fn failed(user: &str, reason: &str, out: &mut Out) {
    out.event("authentication", "pam_failure");
    out.outcome(false);
    out.some(names::USER_NAME, user);
    out.text(names::EVENT_REASON, reason);
}

/// `USER[(uid=N)][ by [USER](uid=N)]`: the session is the first one's, the second asked for it.
fn session(rest: &str, action: &'static str, out: &mut Out) {
    out.event("authentication", action);
    out.outcome(true);
    let (target, by) = rest.rsplit_once(" by ").unwrap_or((rest, ""));
    let (target, uid) = with_uid(target);
    let (by, by_uid) = with_uid(by);
    out.some(names::USER_NAME, target);
    if let Some(uid) = uid {
        out.digits(names::USER_ID, uid);
    }
    out.some(names::SOURCE_USER_NAME, by);
    if let Some(uid) = by_uid {
        out.digits(names::SOURCE_USER_ID, uid);
    }
}

fn with_uid(text: &str) -> (&str, Option<&str>) {
    let read = || {
        let (name, uid) = text.strip_suffix(')')?.rsplit_once("(uid=")?;
        Some((name, Some(uid)))
    };
    read().unwrap_or((text, None))
}

/// `logname=… uid=… euid=… tty=… ruser=… rhost=…  user=…`, in that order. sshd never sets `ruser`; other
/// services put the peer's word there, in front of the address.
fn keys(text: &str, out: &mut Out) {
    let of_sshd = text
        .split_once(" ruser=")
        .is_some_and(|(head, tail)| head.ends_with("ssh") && tail.starts_with(" rhost="));
    if !of_sshd && text.matches(" rhost=").nth(1).is_some() {
        out.problem("a name imitates the log: neither user nor address is taken");
        return;
    }
    let (text, user) = match text.split_once(" rhost=") {
        Some((head, tail)) => {
            let (rhost, user) = tail.split_once(' ').unwrap_or((tail, ""));
            host(rhost, out);
            (head, user.trim_start().strip_prefix("user="))
        }
        None => (text, None),
    };
    if let Some((head, ruser)) = text.split_once(" ruser=") {
        out.some(names::SOURCE_USER_NAME, ruser);
        if let Some((head, tty)) = head.split_once(" tty=") {
            out.some(names::HENGWEI_AUTH_TTY, tty);
            if let Some((_, uid)) = head.split_once(" uid=") {
                let uid = uid.split_once(' ').map_or(uid, |(uid, _)| uid);
                out.digits(names::USER_ID, uid);
            }
        }
    }
    if let Some(user) = user {
        out.some(names::USER_NAME, user);
    }
}

fn host(rhost: &str, out: &mut Out) {
    match scan::address(rhost) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_DOMAIN, rhost),
    }
}

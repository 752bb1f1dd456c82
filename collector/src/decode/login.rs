//! Messages of login, at a console or behind telnet, in the forms of util-linux and shadow, and of
//! unix_chkpwd, which checks a password for a program that may not read the shadow file.
//!
//! Names are what was typed at the prompt. They stand between words of the program, the last of which
//! counts; what it says about the failure follows the name and holds no name itself.

use super::out::Out;
use super::{Decoder, Line, Looks, pam, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "login",
    datasets: &["login"],
    programs: &["login", "unix_chkpwd"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

/// Reads one message.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let mark = out.mark();
    let read = match line.program {
        Some("unix_chkpwd") => checked(message, out),
        _ => session(message, out).or_else(|| {
            out.reset(mark);
            failed(message, out)
        }),
    };
    read.is_some()
}

/// `[ROOT ]LOGIN ON TTY[ BY USER][ FROM HOST]`, `ROOT LOGIN on 'TTY'[ from 'HOST']`.
fn session(message: &str, out: &mut Out) -> Option<()> {
    let (root, rest) = match message.strip_prefix("ROOT LOGIN") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, message.strip_prefix("LOGIN ")?),
    };
    let rest = rest.strip_prefix("ON ").or_else(|| rest.strip_prefix("on "))?;
    let (rest, host) = rest
        .rsplit_once(" FROM ")
        .or_else(|| rest.rsplit_once(" from "))
        .map_or((rest, None), |(rest, host)| (rest, Some(host)));
    let (tty, user) = rest.split_once(" BY ").unwrap_or((rest, ""));
    if user.is_empty() != root {
        return None;
    }
    out.event("authentication", "login");
    out.outcome(true);
    if root {
        out.word(names::USER_NAME, "root");
    } else {
        out.text(names::USER_NAME, user);
    }
    out.some(names::HENGWEI_AUTH_TTY, tty.trim_matches('\''));
    if let Some(host) = host {
        from(host, out);
    }
    Some(())
}

/// `FAILED LOGIN (1) on 'TTY'[ from 'HOST'] FOR 'USER', REASON`, `FAILED LOGIN 1 FROM HOST FOR USER, REASON`,
/// `TOO MANY LOGIN TRIES (3) on …`.
fn failed(message: &str, out: &mut Out) -> Option<()> {
    let (action, rest) = match message.strip_prefix("FAILED LOGIN ") {
        Some(rest) => ("login", rest),
        None => ("login_max_attempts", message.strip_prefix("TOO MANY LOGIN TRIES ")?),
    };
    let (place, who) = rest.split_once(" FOR ")?;
    let (user, reason) = who.rsplit_once(", ")?;
    out.event("authentication", action);
    out.outcome(false);
    // Older versions open with a grave accent.
    let user =
        user.strip_prefix(['\'', '`']).and_then(|user| user.strip_suffix('\'')).unwrap_or(user);
    if user != "UNKNOWN" && user != "(unknown)" {
        out.some(names::USER_NAME, user);
    }
    out.text(names::EVENT_REASON, reason);
    let (place, host) = place
        .split_once(" FROM ")
        .or_else(|| place.split_once(" from "))
        .map_or((place, None), |(place, host)| (place, Some(host)));
    if let Some((_, tty)) = place.split_once(" on ") {
        out.some(names::HENGWEI_AUTH_TTY, tty.trim_matches(['\'', '`']));
    }
    if let Some(host) = host {
        from(host, out);
    }
    Some(())
}

fn from(host: &str, out: &mut Out) {
    let host = host.trim_matches('\'');
    match scan::address(host) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None if matches!(host, "" | "(null)" | "localhost") => {}
        None => out.text(names::SOURCE_DOMAIN, host),
    }
}

/// `password check failed for user (USER)`, `check pass; user unknown`.
fn checked(message: &str, out: &mut Out) -> Option<()> {
    if message == "check pass; user unknown" {
        out.event("authentication", "password_check");
        out.outcome(false);
        out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
        return Some(());
    }
    let user = message.strip_prefix("password check failed for user (")?.strip_suffix(')')?;
    out.event("authentication", "password_check");
    out.outcome(false);
    out.some(names::USER_NAME, user);
    Some(())
}

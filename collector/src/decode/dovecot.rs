//! Messages of Dovecot 2.2 to 2.4: logins to IMAP, POP3, submission and sieve, and why they fail.
//!
//! `user=<…>` holds what the client sent. Dovecot writes method, addresses and session behind it, so
//! the last ` rip=` counts, and the name ends at the last `>, ` before that. A failed login is counted
//! by the login process, which has the address (`mail_login`); what `auth` says of the same login is
//! `mail_auth_failure` and has the reason.

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "dovecot",
    datasets: &["dovecot"],
    programs: &["dovecot", "imap-login", "pop3-login", "submission-login", "managesieve-login"],
    paths: &["dovecot"],
    looks: Looks::NEVER,
    // What journald knows of the sender is a program called `log`, which proves nothing.
    security: false,
    decode,
};

const LEVELS: &[&str] = &["Info", "Warning", "Error", "Fatal", "Panic", "Debug"];
/// The most attempts that one line is believed to stand for.
const MAX_ATTEMPTS: u64 = 1_000;
/// How a login process says that nobody logged in.
const ENDED: &[&str] = &["Disconnected", "Aborted login", "Login aborted", "Maximum number of"];

/// Reads one message. In Dovecot's own file the process stands where syslog has the program.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let read = match line.program {
        Some(process) if process != "dovecot" => read(process, line.message, out),
        _ => line.message.split_once(": ").and_then(|(process, rest)| read(process, rest, out)),
    };
    out.security = true;
    read.is_some()
}

fn read(process: &str, rest: &str, out: &mut Out) -> Option<()> {
    let name = process.split(['(', '<', '[']).next().unwrap_or(process);
    let rest = match rest.split_once(": ") {
        Some((level, rest)) if LEVELS.contains(&level) => {
            if level != "Info" {
                out.owned(names::LOG_LEVEL, &level.to_ascii_lowercase());
            }
            rest
        }
        _ => rest,
    };
    if let Some(protocol) = name.strip_suffix("-login") {
        out.some(names::NETWORK_PROTOCOL, protocol);
        return login(rest, out);
    }
    match name {
        "auth" | "auth-worker" => authentication(rest, out),
        "imap" | "pop3" | "lmtp" | "lda" | "submission" | "managesieve" => {
            session(name, process, rest, out)
        }
        "master" => {
            out.event("process", "mail_server");
            out.some(names::EVENT_REASON, rest);
            Some(())
        }
        _ => None,
    }
}

fn login(rest: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = rest.strip_prefix("Login: ") {
        out.event("authentication", "mail_login");
        out.outcome(true);
        out.word(names::EVENT_TYPE, "start");
        return parameters(rest, out);
    }
    ENDED.iter().any(|start| rest.starts_with(start)).then_some(())?;
    let at = rest.find("user=<").or_else(|| rest.find("rip="))?;
    let (said, parameters_at) = rest.split_at_checked(at)?;
    let said = said.trim_end_matches([':', ' ']);
    let attempts = said.split_once("auth failed, ").map(|(_, rest)| rest);
    match attempts {
        Some(attempts) => {
            out.event("authentication", "mail_login");
            out.outcome(false);
            // The attempts of one connection are told in one line.
            let number = attempts.split_once(' ').and_then(|(number, _)| number.parse().ok());
            out.weight = number.unwrap_or(1).clamp(1, MAX_ATTEMPTS);
        }
        None => out.event("network", "mail_disconnect"),
    }
    out.some(names::EVENT_REASON, said);
    parameters(parameters_at, out)
}

/// `user=<NAME>, method=PLAIN, rip=ADDRESS, lip=ADDRESS, mpid=N, TLS, session=<ID>`.
fn parameters(text: &str, out: &mut Out) -> Option<()> {
    let at = text.rfind("rip=")?;
    let (head, tail) = text.split_at_checked(at)?;
    if let Some((name, rest)) = head.strip_prefix("user=<").and_then(|head| head.rsplit_once('>')) {
        out.some(names::USER_NAME, name);
        if let Some(method) = rest.strip_prefix(", method=") {
            out.some(names::HENGWEI_AUTH_METHOD, method.trim_end_matches([',', ' ']));
        }
    }
    for part in tail.split(", ") {
        if let Some(address) = part.strip_prefix("rip=").and_then(scan::address) {
            out.address(names::SOURCE_IP, address);
        } else if let Some(address) = part.strip_prefix("lip=").and_then(scan::address) {
            out.address(names::DESTINATION_IP, address);
        } else if let Some(id) = part.strip_prefix("session=") {
            out.some(names::HENGWEI_SESSION_ID, scan::unangled(id));
        }
    }
    Some(())
}

/// `DRIVER(NAME,ADDRESS[,<SESSION>]): REASON`, a worker's words before it or not.
fn authentication(rest: &str, out: &mut Out) -> Option<()> {
    let rest = match rest.strip_prefix("conn ") {
        Some(rest) => rest.split_once(">: ")?.1,
        None => rest,
    };
    let (driver, rest) = rest.split_once('(')?;
    let (who, reason) = rest.split_once("): ")?;
    if driver.contains(' ') {
        return None;
    }
    out.event("authentication", "mail_auth_failure");
    out.outcome(false);
    out.some(names::HENGWEI_AUTH_METHOD, driver);
    if reason.contains("): ") {
        out.problem("a name imitates the log; it is not read");
        return Some(());
    }
    let who =
        who.strip_suffix('>').and_then(|who| who.rsplit_once(",<")).map_or(who, |(who, _)| who);
    match who.rsplit_once(',').map(|(name, address)| (name, scan::address(address))) {
        Some((name, Some(address))) => {
            out.some(names::USER_NAME, name);
            out.address(names::SOURCE_IP, address);
        }
        _ => out.some(names::USER_NAME, who),
    }
    // A server that is set up to look into failures logs what was given as a password.
    let reason = reason.split_once(" (given password").map_or(reason, |(reason, _)| reason);
    out.some(names::EVENT_REASON, reason);
    if reason.starts_with("unknown user") {
        out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
    }
    Some(())
}

/// `imap(NAME)<PID><SESSION>: WHAT`.
fn session(protocol: &str, process: &str, rest: &str, out: &mut Out) -> Option<()> {
    let (name, ids) = process.split_once('(')?.1.rsplit_once(')')?;
    out.some(names::NETWORK_PROTOCOL, protocol);
    out.some(names::USER_NAME, name);
    if let Some((_, id)) = ids.rsplit_once('<') {
        out.some(names::HENGWEI_SESSION_ID, id.trim_end_matches('>'));
    }
    let action = if rest.starts_with("Disconnected") || rest.starts_with("Logged out") {
        "mail_logout"
    } else if rest.contains(": saved mail to ") || rest.contains(": stored mail into ") {
        "mail_delivered"
    } else if rest.starts_with("delete: ") {
        "mail_deleted"
    } else if rest.starts_with("expunge: ") {
        "mail_expunged"
    } else {
        "mail_message"
    };
    out.event(if action == "mail_logout" { "session" } else { "email" }, action);
    out.some(names::EVENT_REASON, rest);
    Some(())
}

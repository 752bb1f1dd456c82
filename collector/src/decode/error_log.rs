//! Error logs of Apache and nginx. What ModSecurity writes into them is an event of its own dataset
//! (`modsecurity.rs`), and a password that was wrong is a login that failed.
//!
//! nginx escapes nothing: the name of a file and the request may both hold `, client: 203.0.113.9`.
//! A line in which the client stands more than once names no address and says so, and of the request only
//! what stands before its first quote is taken. It also cuts its lines, so that a long enough path leaves
//! no room for the client: of a line of that length no address is taken either. Apache escapes quotes and control bytes; the name of a user
//! in its messages is bare, so it is taken up to the last place where it can end.

use super::out::Out;
use super::{Decoder, Line, Looks, SLASHED, access, modsecurity, scan, time};
use crate::event::names;

pub(crate) const NGINX: Decoder = Decoder {
    name: "nginx-error",
    datasets: &["nginx.error"],
    programs: &[],
    paths: &["nginx/error"],
    looks: Looks { first: &[SLASHED], test: looks_like_nginx },
    security: false,
    decode: nginx,
};

pub(crate) const APACHE: Decoder = Decoder {
    name: "apache-error",
    datasets: &["apache.error"],
    programs: &[],
    paths: &["apache2/error", "httpd/error"],
    looks: Looks { first: b"[", test: looks_like_apache },
    security: false,
    decode: apache,
};

/// Whether a line may be nginx's: `2023/10/09 09:05:01 [`.
pub(crate) fn looks_like_nginx(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.get(4) == Some(&b'/') && bytes.get(20) == Some(&b'[')
}

/// Whether a line may be Apache's: `[Wed Oct 11 14:`.
pub(crate) fn looks_like_apache(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.first() == Some(&b'[') && bytes.get(4) == Some(&b' ') && bytes.get(8) == Some(&b' ')
}

/// Reads one line of nginx.
pub(crate) fn nginx(line: &Line<'_>, out: &mut Out) -> bool {
    read_nginx(line.message, out).is_some()
}

/// Reads one line of Apache.
pub(crate) fn apache(line: &Line<'_>, out: &mut Out) -> bool {
    read_apache(line.message, out).is_some()
}

const NAME_WITHOUT_END: &str = "the name of the user has no certain end: it is not taken";
/// Where nginx cuts a line, all but some bytes for the last character.
const CUT: usize = 2_040;

/// `2023/10/09 09:05:01 [error] PID#TID: *N TEXT, client: ADDRESS, server: NAME, request: "…"`.
fn read_nginx(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, len) = time::slashes(line.as_bytes())?;
    let (level, rest) = line.get(len..)?.strip_prefix(" [")?.split_once("] ")?;
    let (ids, text) = rest.split_once(": ")?;
    let (pid, thread) = ids.split_once('#')?;
    out.stamp(&stamp);
    out.text(names::LOG_LEVEL, level);
    out.digits(names::PROCESS_PID, pid);
    out.digits(names::PROCESS_THREAD_ID, thread);
    out.text(names::ERROR_MESSAGE, text);
    let mut clients = text.split(", client: ").skip(1);
    if let Some(client) = clients.next() {
        let (address, behind) = client.split_once(',').unwrap_or((client, ""));
        if clients.next().is_some() {
            out.problem("the client stands in the line more than once: no address is taken");
        } else if line.len() >= CUT {
            out.problem("the line is as long as nginx lets it be: no address is taken");
        } else if let Some(address) = scan::address(address) {
            out.address(names::SOURCE_IP, address);
            request(behind, out);
        }
    }
    // `*3 `, the connection.
    let said =
        text.strip_prefix('*').and_then(|text| text.split_once(' ')).map_or(text, |(_, said)| said);
    let waf = said.find(modsecurity::MARK).filter(|at| *at == 0 || said.starts_with("[client "));
    if let Some(at) = waf {
        if !text.contains(", client: ")
            && let Some((address, _)) =
                said.strip_prefix("[client ").and_then(|rest| rest.split_once(']'))
            && let Some(address) = scan::address(address)
        {
            out.address(names::SOURCE_IP, address);
        }
        let _ = modsecurity::message(&said[at + modsecurity::MARK.len()..], out);
        return Some(());
    }
    if !nginx_said(said, out) {
        out.word(names::EVENT_CATEGORY, "web");
    }
    Some(())
}

/// ` server: NAME, request: "GET /x HTTP/1.1", …`: the request up to its first quote.
fn request(behind: &str, out: &mut Out) {
    let Some(rest) = behind.strip_prefix(" server: ") else { return };
    let Some((_, rest)) = rest.split_once(", request: \"") else { return };
    if let Some((request, _)) = rest.split_once('"') {
        access::requested(request, out);
    }
}

/// Messages of nginx that tell of a refusal; true when it is a login.
fn nginx_said(said: &str, out: &mut Out) -> bool {
    if let Some(rest) = said.strip_prefix("user \"") {
        // `user "NAME": password mismatch, client: …` and `user "NAME" was not found in "FILE"`.
        let marks = ["\": password mismatch", "\" was not found in \""];
        let ends: Vec<usize> =
            marks.iter().flat_map(|mark| rest.match_indices(mark)).map(|(at, _)| at).collect();
        match ends.as_slice() {
            [] => return false,
            [end] => login_failed(&rest[..*end], out),
            _ => {
                login_failed("", out);
                out.problem(NAME_WITHOUT_END);
            }
        }
        return true;
    }
    let action = if said.starts_with("access forbidden by rule") {
        "deny"
    } else if said.starts_with("limiting requests") || said.starts_with("limiting connections") {
        "limit"
    } else {
        return false;
    };
    out.word(names::EVENT_ACTION, action);
    out.word(names::EVENT_TYPE, "denied");
    false
}

fn login_failed(user: &str, out: &mut Out) {
    out.event("authentication", "login");
    out.word(names::HENGWEI_AUTH_METHOD, "basic");
    out.outcome(false);
    out.some(names::USER_NAME, user);
}

/// `[STAMP] [MODULE:LEVEL] [pid N[:tid N]] [client ADDRESS[:PORT]] TEXT`, the brackets after the
/// level as the version has them.
fn read_apache(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let stamp = time::asctime(stamp.as_bytes())?;
    let (level, mut rest) = rest.split_once("] ")?;
    out.stamp(&stamp);
    let (module, level) = level.split_once(':').unwrap_or(("", level));
    out.some(names::LOG_LOGGER, module);
    out.text(names::LOG_LEVEL, level);
    if let Some((pid, behind)) = rest.strip_prefix("[pid ").and_then(|rest| rest.split_once("] ")) {
        let (pid, thread) = pid.split_once(":tid ").unwrap_or((pid, ""));
        out.digits(names::PROCESS_PID, pid);
        if !thread.is_empty() {
            out.digits(names::PROCESS_THREAD_ID, thread);
        }
        rest = behind;
    }
    if let Some((client, behind)) =
        rest.strip_prefix("[client ").and_then(|rest| rest.split_once("] "))
    {
        if let Some(address) = scan::address(client) {
            out.address(names::SOURCE_IP, address);
        } else if let Some((address, port)) = scan::endpoint(client) {
            out.address(names::SOURCE_IP, address);
            out.integer(names::SOURCE_PORT, port.into());
        }
        rest = behind;
    }
    out.some(names::ERROR_MESSAGE, rest);
    // ModSecurity puts the client before its name once more.
    let said = rest
        .strip_prefix("[client ")
        .and_then(|rest| rest.split_once("] "))
        .map_or(rest, |(_, said)| said);
    // A program behind Apache may write what a client sent.
    let waf = said.strip_prefix(modsecurity::MARK).filter(|_| matches!(module, "" | "security2"));
    if waf.is_none_or(|text| modsecurity::message(text, out).is_none()) && !apache_said(rest, out) {
        out.word(names::EVENT_CATEGORY, "web");
    }
    Some(())
}

/// `AH01617: user u: authentication failure for "/auth": Password Mismatch` and its kin; true when it is a
/// login.
fn apache_said(rest: &str, out: &mut Out) -> bool {
    let Some((code, said)) = rest.split_once(": ") else { return false };
    let number = code.strip_prefix("AH").filter(|number| number.len() == 5);
    if !number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return false;
    }
    out.text(names::EVENT_CODE, code);
    match (code, said.strip_prefix("user ")) {
        ("AH01617" | "AH01618", Some(user)) => {
            // The first has a quote in it, which Apache escapes in a name; the second may be in name and path.
            let marks = [": authentication failure for \"", " not found: "];
            let mark = marks.iter().find(|mark| user.contains(**mark));
            let ends = mark.map(|mark| user.match_indices(mark)).into_iter().flatten();
            match ends.map(|(at, _)| at).collect::<Vec<_>>().as_slice() {
                [end] => login_failed(&user[..*end], out),
                _ => {
                    login_failed("", out);
                    out.problem(NAME_WITHOUT_END);
                }
            }
            true
        }
        ("AH01630" | "AH01797", _) => {
            out.word(names::EVENT_ACTION, "deny");
            out.word(names::EVENT_TYPE, "denied");
            false
        }
        _ => false,
    }
}

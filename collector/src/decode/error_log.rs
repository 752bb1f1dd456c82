//! Error logs of Apache and nginx.
//!
//! nginx escapes nothing: the name of a file and the request may both hold `, client: 203.0.113.9`.
//! A line in which the client stands more than once names no address and says so.

use super::out::Out;
use super::{DIGITS, Decoder, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const NGINX: Decoder = Decoder {
    name: "nginx-error",
    datasets: &["nginx.error"],
    programs: &[],
    paths: &["nginx/error"],
    looks: Looks { first: DIGITS, test: looks_like_nginx },
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

/// `2023/10/09 09:05:01 [error] PID#TID: *N TEXT, client: ADDRESS, server: NAME, request: "…"`.
fn read_nginx(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, len) = time::slashes(line.as_bytes())?;
    let (level, rest) = line.get(len..)?.strip_prefix(" [")?.split_once("] ")?;
    let (ids, text) = rest.split_once(": ")?;
    let (pid, thread) = ids.split_once('#')?;
    out.stamp(&stamp);
    out.word(names::EVENT_CATEGORY, "web");
    out.text(names::LOG_LEVEL, level);
    out.digits(names::PROCESS_PID, pid);
    out.digits(names::PROCESS_THREAD_ID, thread);
    out.text(names::ERROR_MESSAGE, text);
    let mut clients = text.split(", client: ").skip(1);
    if let Some(client) = clients.next() {
        let address = client.split_once(',').map_or(client, |(address, _)| address);
        if clients.next().is_some() {
            out.problem("the client stands in the line more than once: no address is taken");
        } else if let Some(address) = scan::address(address) {
            out.address(names::SOURCE_IP, address);
        }
    }
    Some(())
}

/// `[STAMP] [MODULE:LEVEL] [pid N[:tid N]] [client ADDRESS[:PORT]] TEXT`, the brackets after the
/// level as the version has them.
fn read_apache(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let stamp = time::asctime(stamp.as_bytes())?;
    let (level, mut rest) = rest.split_once("] ")?;
    out.stamp(&stamp);
    out.word(names::EVENT_CATEGORY, "web");
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
    Some(())
}

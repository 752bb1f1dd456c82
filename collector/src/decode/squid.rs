//! The access log of Squid: its own format, and `combined` and `common` with Squid's result behind.
//!
//! ```text
//! 1795337962.523      1 192.0.2.9 TCP_MISS/200 392 GET http://www.example.org/ zhang HIER_DIRECT/203.0.113.8 text/html
//! 192.0.2.9 - zhang [22/Nov/2026:08:59:22 +0000] "GET http://www.example.org/ HTTP/1.1" 200 392 "-" "agent" TCP_MISS:HIER_DIRECT
//! ```
//!
//! Squid encodes blanks in what the peer sends, so the native format has ten columns whatever is asked
//! for; a line with any other number is refused.

use super::out::Out;
use super::{Decoder, Line, Looks, UNDATED, access, json, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "squid",
    datasets: &["squid.proxy"],
    programs: &["squid", "(squid-1)"],
    paths: &["squid/access"],
    looks: Looks { first: UNDATED, test: looks_like },
    security: false,
    decode,
};

/// Results of Squid begin with one of these.
const RESULTS: &[&str] = &["TCP_", "UDP_", "NONE", "TAG_"];

/// Whether a line may be one.
fn looks_like(line: &str) -> bool {
    native_time(line).is_some() || combined(line).is_some()
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if let Some((before, result)) = combined(line.message) {
        return access::read(before, out).is_some_and(|()| {
            cached(result, out);
            true
        });
    }
    native(line.message, out).is_some()
}

/// `1795337962.523`, and what follows.
fn native_time(line: &str) -> Option<(f64, &str)> {
    let (stamp, rest) = line.split_once(' ')?;
    let (seconds, millis) = stamp.split_once('.')?;
    (seconds.len() == 10
        && millis.len() == 3
        && scan::is_digits(seconds)
        && scan::is_digits(millis))
    .then_some(())?;
    Some((stamp.parse().ok()?, rest))
}

/// A line of the combined or common format, and the result behind it.
fn combined(line: &str) -> Option<(&str, &str)> {
    let (before, result) = line.trim_end().rsplit_once(' ')?;
    let (status, hierarchy) = result.split_once(':')?;
    // A word in quotes is the peer's: the result stands bare behind a closing quote or a number.
    let bare = before.ends_with(|c: char| c == '"' || c.is_ascii_digit())
        && hierarchy
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'));
    let ours = RESULTS.iter().any(|start| status.starts_with(start)) && !hierarchy.is_empty();
    (bare && ours).then_some((before, result))
}

/// `ELAPSED CLIENT RESULT/STATUS BYTES METHOD URL USER HIERARCHY/PEER TYPE`.
fn native(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, rest) = native_time(line)?;
    let mut parts = rest.split_ascii_whitespace();
    let elapsed: u32 = parts.next()?.trim_start_matches('-').parse().ok()?;
    let client = parts.next()?;
    let (result, status) = parts.next()?.split_once('/')?;
    let bytes: i64 = parts.next()?.parse().ok()?;
    let (method, url, user) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, peer) = parts.next()?.split_once('/')?;
    let mime = parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let status: u16 = status.parse().ok()?;
    out.time = json::epoch(stamp);
    out.word(names::EVENT_CATEGORY, "web");
    match scan::address(client) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_DOMAIN, client),
    }
    out.number(names::HENGWEI_WEB_REQUEST_SECONDS, f64::from(elapsed) / 1_000.0);
    out.integer(names::HTTP_RESPONSE_BODY_BYTES, bytes);
    // 000 where the client went before there was an answer.
    if status > 0 {
        out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
        out.outcome(status < 400);
    }
    out.text(names::HTTP_REQUEST_METHOD, method);
    target(method, url, out);
    if user != "-" {
        out.text(names::USER_NAME, user);
    }
    if let Some(address) = scan::address(peer) {
        out.address(names::DESTINATION_IP, address);
    }
    if mime != "-" {
        out.text(names::HTTP_RESPONSE_MIME_TYPE, mime);
    }
    cached(result, out);
    Some(())
}

/// `http://host[:port]/path`, or `host:port` of a tunnel.
fn target(method: &str, url: &str, out: &mut Out) {
    let host = match url.split_once("://") {
        Some((_, behind)) => {
            access::located(url, out);
            behind.split(['/', '?']).next().unwrap_or_default()
        }
        None => {
            out.text(names::URL_ORIGINAL, url);
            if method == "CONNECT" { url } else { "" }
        }
    };
    let (domain, port) = match host.rsplit_once(':') {
        Some((domain, port)) if scan::is_digits(port) => (domain, port),
        _ => (host, ""),
    };
    out.some(names::URL_DOMAIN, domain);
    if !port.is_empty() {
        out.digits(names::URL_PORT, port);
    }
}

/// What Squid made of the request: `TCP_DENIED` is its rules' no.
fn cached(result: &str, out: &mut Out) {
    let result = result.split_once(':').map_or(result, |(result, _)| result);
    out.some(names::EVENT_REASON, result);
    if result.contains("DENIED") {
        out.word(names::EVENT_ACTION, "deny");
        out.word(names::EVENT_TYPE, "denied");
    }
}

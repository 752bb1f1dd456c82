//! The log of HAProxy: its HTTP and TCP formats, the line of a connection that failed before it was a
//! request, and what it says of its servers.
//!
//! ```text
//! 192.0.2.9:51000 [22/Nov/2026:08:00:00.476] web his/s1 0/0/1/9/10 200 283 - - ---- 1/1/0/0/0 0/0 {host|agent} "GET /a HTTP/1.1"
//! 192.0.2.9:51000 [22/Nov/2026:08:00:00.498] ldap dir/t1 1/0/40 237 -- 1/1/0/0/0 0/0
//! 192.0.2.9:51000 [22/Nov/2026:08:00:00.500] web/1: SSL handshake failure
//! ```
//!
//! What the peer writes (captured headers, the request) stands behind all that HAProxy writes, with quotes
//! and braces encoded, so nothing in it can be taken for a status or an address.

use std::net::IpAddr;

use super::access::requested;
use super::out::Out;
use super::time::Stamp;
use super::{Decoder, Line, Looks, UNDATED, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "haproxy",
    datasets: &["haproxy"],
    programs: &["haproxy"],
    paths: &["haproxy"],
    looks: Looks { first: UNDATED, test: looks_like },
    security: false,
    decode,
};

/// An address, its port, and the beginning of the date.
const MAX_PEER: usize = 64;

/// How lines begin that HAProxy writes about itself; a format of the administrator's own may hold any word.
const BEGINNINGS: &[&str] = &[
    "Server ",
    "Backup Server ",
    "Backend ",
    "backend ",
    "Proxy ",
    "Health check for ",
    "Stopping ",
    "Pausing ",
    "Connect from ",
];
/// What it says of itself, by words in it.
const SAID: &[(&str, &str)] = &[
    (" is DOWN", "server_down"),
    (" is UP", "server_up"),
    (" has no server available", "backend_down"),
    (" is going DOWN for maintenance", "server_maintenance"),
    ("Proxy ", "proxy"),
    ("Connect from ", "connection"),
    ("Stopping ", "stopping"),
    ("Health check for ", "health_check"),
    ("Server ", "server"),
    ("Backend ", "backend"),
    ("backend ", "backend"),
];

/// Whether a line may be one: an address with a port, a bracket and a date with a fraction, early on.
fn looks_like(line: &str) -> bool {
    head(line).is_some()
}

/// Reads one message.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if let Some(head) = head(line.message) {
        return session(head, out).is_some();
    }
    // `[WARNING]  (1234) : Server his/s1 is DOWN`.
    let said = line.message.strip_prefix('[').and_then(|rest| rest.split_once(" : "));
    let said = said.map_or(line.message, |(_, said)| said);
    if !BEGINNINGS.iter().any(|start| said.starts_with(start)) {
        return false;
    }
    let Some((_, action)) = SAID.iter().find(|(words, _)| said.contains(words)) else {
        return false;
    };
    if line.program.is_none() && line.configured.is_empty() {
        return false;
    }
    out.event("web", action);
    if let Some(rest) = line.message.strip_prefix("Connect from ")
        && let Some((peer, _)) = rest.split_once(" to ")
        && let Some((address, port)) = scan::endpoint(peer)
    {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    }
    if matches!(*action, "server_down" | "backend_down") {
        out.outcome(false);
        out.text(names::ERROR_MESSAGE, line.message);
    }
    true
}

struct Head<'a> {
    client: Option<(IpAddr, u16)>,
    stamp: Stamp,
    rest: &'a str,
}

/// `192.0.2.9:51000 [22/Nov/2026:08:00:00.476] `; clients on a socket have no address.
fn head(line: &str) -> Option<Head<'_>> {
    let at = line[..line.floor_char_boundary(MAX_PEER)].find(" [")?;
    let (peer, rest) = (&line[..at], &line[at + 2..]);
    let client = match peer {
        "unix:1" => None,
        _ => Some(scan::endpoint(peer)?),
    };
    let (stamp, len) = time::day_first(rest.as_bytes(), b'/', b':')?;
    let rest = rest.get(len..)?.strip_prefix("] ")?;
    Some(Head { client, stamp, rest })
}

fn session(head: Head<'_>, out: &mut Out) -> Option<()> {
    let Head { client, stamp, rest } = head;
    let mut parts = rest.splitn(4, ' ');
    let frontend = parts.next()?;
    out.stamp(&stamp);
    if let Some((address, port)) = client {
        out.address(names::SOURCE_IP, address);
        out.integer(names::SOURCE_PORT, port.into());
    }
    // `web/1: SSL handshake failure`
    if let Some(place) = frontend.strip_suffix(':') {
        let what = rest.get(frontend.len()..)?.trim_start();
        let (frontend, _) = place.split_once('/')?;
        out.event("web", "connection_failed");
        out.outcome(false);
        out.text(names::HENGWEI_WEB_FRONTEND, frontend);
        out.some(names::ERROR_MESSAGE, what);
        return Some(());
    }
    let (backend, server) = parts.next()?.split_once('/')?;
    let timers = parts.next()?;
    let rest = parts.next()?;
    let http = timers.bytes().filter(|byte| *byte == b'/').count();
    if !matches!(http, 2 | 4)
        || !timers.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'/' | b'-' | b'+'))
    {
        return None;
    }
    out.text(names::HENGWEI_WEB_FRONTEND, frontend.trim_end_matches('~'));
    out.text(names::HENGWEI_WEB_BACKEND, backend);
    if server != "<NOSRV>" {
        out.some(names::HENGWEI_WEB_SERVER, server);
    }
    if let Some((_, total)) = timers.rsplit_once('/')
        && let Ok(millis) = total.trim_start_matches('+').parse::<u32>()
    {
        out.number(names::HENGWEI_WEB_REQUEST_SECONDS, f64::from(millis) / 1_000.0);
    }
    if http == 4 { request(rest, out) } else { stream(rest, out) }
}

/// `STATUS BYTES COOKIE COOKIE TERMINATION COUNTERS QUEUES [{HEADERS}] "REQUEST"`.
fn request(rest: &str, out: &mut Out) -> Option<()> {
    let mut parts = rest.splitn(8, ' ');
    let (status, bytes) = (parts.next()?, parts.next()?);
    let (_, _) = (parts.next()?, parts.next()?);
    let state = parts.next()?;
    let (_, _) = (parts.next()?, parts.next()?);
    let behind = parts.next().unwrap_or_default();
    out.word(names::EVENT_CATEGORY, "web");
    let status: i32 = status.parse().ok()?;
    // -1 where the session ended before there was an answer.
    if status >= 100 {
        out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
    }
    out.outcome((100..400).contains(&status));
    out.digits(names::HTTP_RESPONSE_BODY_BYTES, bytes.trim_start_matches('+'));
    out.some(names::EVENT_REASON, state);
    let (headers, request) = behind.split_once('"').unwrap_or((behind, ""));
    let request = request.strip_suffix('"').unwrap_or(request);
    match request {
        "" => {}
        "<BADREQ>" => out.word(names::EVENT_ACTION, "bad_request"),
        _ => {
            requested(request, out);
            if state.starts_with('P') {
                out.word(names::EVENT_ACTION, "deny");
                out.word(names::EVENT_TYPE, "denied");
            }
        }
    }
    for captured in headers.split(['{', '}', '|']).map(str::trim).filter(|value| !value.is_empty())
    {
        out.text(names::HENGWEI_WEB_CAPTURED, captured);
    }
    Some(())
}

/// `BYTES TERMINATION COUNTERS QUEUES`.
fn stream(rest: &str, out: &mut Out) -> Option<()> {
    let mut parts = rest.split(' ');
    let (bytes, state) = (parts.next()?, parts.next()?);
    bytes.trim_start_matches('+').parse::<u64>().ok()?;
    out.event("network", "connection");
    out.word(names::NETWORK_TRANSPORT, "tcp");
    out.digits(names::NETWORK_BYTES, bytes.trim_start_matches('+'));
    out.outcome(state == "--" || state == "CD");
    out.some(names::EVENT_REASON, state);
    Some(())
}

//! Requests to a web server or gateway, as one object each: Envoy, Kong, APISIX, Rails, Node, Apache with a JSON
//! format, and whatever else says method, target and status. nginx, Caddy and Traefik are `access/json.rs`'s.
//!
//! The client is who the server saw; what a header says of him is only `network.forwarded_ip`.

use super::roles::Key;
use super::shapes::Picture;
use crate::decode::access;
use crate::decode::network;
use crate::decode::out::Out;
use crate::event::{Value, names};

/// The dataset of requests that no server's own decoder reads.
const DATASET: &str = "web.access";
/// Methods, so that a function's name under `method` is none.
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
];

/// Says what a line tells of a request; its dataset when it tells of one.
pub(super) fn conclude(picture: &Picture<'_>, out: &mut Out) -> Option<&'static str> {
    let named = picture.has(Key::Method) && picture.has(Key::Target);
    if !named && !picture.has(Key::Request) {
        return None;
    }
    let status = picture.integer(Key::Status, out).or_else(|| picture.integer(Key::Result, out));
    let status = status.filter(|status| (100..600).contains(status))?;
    let line = picture.said(Key::Request, out).filter(|line| is_request(line));
    let method = picture.said(Key::Method, out);
    let method =
        method.filter(|method| METHODS.iter().any(|known| method.eq_ignore_ascii_case(known)));
    let target = picture.said(Key::Target, out).filter(|target| is_target(target));
    match (&line, &method, &target) {
        (Some(line), ..) => access::requested(line, out),
        (None, Some(method), Some(target)) => {
            if method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                out.text(names::HTTP_REQUEST_METHOD, method);
            } else {
                out.owned(names::HTTP_REQUEST_METHOD, &method.to_ascii_uppercase());
            }
            access::located(target, out);
        }
        _ => return None,
    }
    if let Some(query) = picture.said(Key::Query, out)
        && !picture.uses(names::URL_QUERY, out)
    {
        out.some(names::URL_QUERY, query.strip_prefix('?').unwrap_or(&query));
    }
    out.word(names::EVENT_CATEGORY, "web");
    out.outcome(status < 400);
    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
    client(picture, out);
    for (key, id) in [
        (Key::Agent, names::USER_AGENT_ORIGINAL),
        (Key::Referrer, names::HTTP_REQUEST_REFERRER),
        (Key::Host, names::URL_DOMAIN),
        (Key::User, names::USER_NAME),
    ] {
        if picture.said(key, out).is_some() {
            picture.copy(key, id, out);
        }
    }
    if let Some(bytes) = picture.integer(Key::Bytes, out).filter(|bytes| *bytes >= 0) {
        out.integer(names::HTTP_RESPONSE_BODY_BYTES, bytes);
    }
    if let Some(forwarded) = picture.said(Key::Forwarded, out) {
        out.text(names::HENGWEI_WEB_FORWARDED_FOR, &forwarded);
        access::forwarded(&forwarded, out);
    }
    if let Some(seconds) = seconds(picture, out) {
        out.number(names::HENGWEI_WEB_REQUEST_SECONDS, seconds);
    }
    Some(DATASET)
}

/// nginx and those that follow it give seconds; other names leave the unit open.
fn seconds(picture: &Picture<'_>, out: &Out) -> Option<f64> {
    let value = picture.value(Key::Seconds, out)?;
    match value {
        Value::Number(seconds) => Some(seconds),
        Value::Text { .. } | Value::Arena { .. } => {
            picture.text(value, out).parse().ok().filter(|seconds: &f64| seconds.is_finite())
        }
        _ => None,
    }
}

/// Who the server saw; else who somebody says it was. Two of a kind that differ are nobody.
fn client(picture: &Picture<'_>, out: &mut Out) {
    for key in [Key::Peer, Key::Client] {
        let ends =
            picture.values(key, out).map(|value| network::endpoint(&picture.text(value?, out)));
        let (address, port) = match ends {
            [None, None] => continue,
            [Some(first), None] | [None, Some(first)] => first,
            [Some(first), Some(second)] if first.0 == second.0 => first,
            _ => return out.problem("the line names two clients"),
        };
        out.address(names::SOURCE_IP, address);
        if let Some(port) = port {
            out.integer(names::SOURCE_PORT, port.into());
        }
        return;
    }
}

/// `GET /path HTTP/1.1`.
fn is_request(line: &str) -> bool {
    let Some((method, rest)) = line.split_once(' ') else { return false };
    METHODS.contains(&method) && is_target(rest)
}

fn is_target(target: &str) -> bool {
    target.starts_with('/') || target.starts_with("http://") || target.starts_with("https://")
}

//! Access logs written as one JSON object per request: nginx with a `log_format` that looks like JSON,
//! Caddy, Traefik.
//!
//! Which keys nginx writes is the administrator's choice; the names of its variables are what most use.
//! Without `escape=json` nginx writes a quote of the peer as `\x22`, which is no JSON: anybody could make
//! his requests unreadable with a quote in his user agent. Such a line is read again with these escapes
//! put right. A line is claimed only when it has a status, a request and a client.

use super::super::json::{self, Scalar};
use super::super::out::Out;
use super::super::{Line, scan, time};
use super::{NGINX, forwarded, located, requested};
use crate::event::names;

pub(super) const CADDY: &str = "caddy.access";
pub(super) const TRAEFIK: &str = "traefik.access";

/// Nanoseconds of a second, in which Traefik says how long a request took.
const SECOND_NANOS: f64 = 1e9;

/// Whether an object may be of a web server nobody configured: by names no other program uses.
pub(super) fn looks_like(line: &str) -> bool {
    line.contains("\"http_user_agent\"")
        || line.contains("\"remote_addr\"")
        || line.contains("\"http.log.access")
        || line.contains("\"DownstreamStatus\"")
}

/// Reads one line.
pub(super) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let mark = out.mark();
    if read(line, line.message, out) {
        return true;
    }
    let Some(repaired) = repaired(line.message) else { return false };
    out.reset(mark);
    read(line, &repaired, out)
}

/// What of a request was seen.
#[derive(Default)]
struct Seen {
    client: bool,
    status: bool,
    request: bool,
    method: bool,
    target: bool,
    dataset: Option<&'static str>,
}

fn read(line: &Line<'_>, text: &str, out: &mut Out) -> bool {
    let mut seen = Seen::default();
    let whole =
        json::each(text, out, &mut |path, value, out| value_of(path, value, &mut seen, out));
    let request = seen.request || seen.method && seen.target;
    if !whole || !seen.client || !seen.status || !request {
        return false;
    }
    out.word(names::EVENT_CATEGORY, "web");
    if !super::DECODER.datasets.contains(&line.configured) {
        out.dataset = Some(seen.dataset.unwrap_or(NGINX));
    }
    true
}

fn value_of(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    let number = match value {
        Scalar::Number(number) => Some(number),
        #[expect(
            clippy::cast_precision_loss,
            reason = "as exact as a duration or an epoch need be"
        )]
        Scalar::Integer(integer) => Some(integer as f64),
        _ => value.text().and_then(|text| text.parse().ok()),
    };
    let text = value.text().filter(|text| !matches!(*text, "" | "-"));
    match path {
        "remote_addr" | "remote_ip" | "clientip" | "client_ip" | "client" | "request.remote_ip"
        | "ClientHost" => {
            if let Some(address) = text.and_then(scan::address)
                && !seen.client
            {
                seen.client = true;
                out.address(names::SOURCE_IP, address);
            }
        }
        "remote_port" | "request.remote_port" | "ClientPort" => {
            if let Some(port) = value.integer() {
                out.integer(names::SOURCE_PORT, port);
            }
        }
        "status" | "http_status" | "status_code" | "DownstreamStatus" => {
            if let Some(status) = value.integer().filter(|status| (100..1_000).contains(status))
                && !seen.status
            {
                seen.status = true;
                out.outcome(status < 400);
                out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
            }
        }
        "body_bytes_sent" | "bytes_sent" | "bytes" | "size" | "DownstreamContentSize" => {
            if let Some(bytes) = value.integer() {
                out.integer(names::HTTP_RESPONSE_BODY_BYTES, bytes);
            }
        }
        "request_time" | "responsetime" | "response_time" | "duration" | "Duration" => {
            if let Some(seconds) = number {
                let seconds = if path == "Duration" { seconds / SECOND_NANOS } else { seconds };
                out.number(names::HENGWEI_WEB_REQUEST_SECONDS, seconds);
            }
        }
        "logger" if text.is_some_and(|text| text.starts_with("http.log.access")) => {
            seen.dataset = Some(CADDY);
        }
        "RouterName" | "entryPointName" | "DownstreamContentLength" => seen.dataset = Some(TRAEFIK),
        _ => {
            if let Some(text) = text {
                text_of(path, text, seen, out);
            } else if let ("ts" | "msec" | "time" | "timestamp", Some(epoch)) = (path, number) {
                out.time = json::epoch(epoch).or(out.time);
            }
        }
    }
}

fn text_of(path: &str, text: &str, seen: &mut Seen, out: &mut Out) {
    let id = match path {
        "time" | "timestamp" | "@timestamp" | "time_iso8601" | "StartUTC" | "time_local"
        | "msec" => {
            return dated(text, out);
        }
        "request" | "request_line" => {
            seen.request = true;
            return requested(text, out);
        }
        "request_uri" | "uri" | "url" | "request.uri" | "RequestPath" if !seen.target => {
            seen.target = true;
            // Beside the whole request it says nothing new.
            if !seen.request {
                located(text, out);
            }
            return;
        }
        "request_method" | "method" | "request.method" | "RequestMethod" if !seen.method => {
            seen.method = true;
            if seen.request {
                return;
            }
            names::HTTP_REQUEST_METHOD
        }
        "http_x_forwarded_for"
        | "x_forwarded_for"
        | "xff"
        | "request.headers.X-Forwarded-For"
        | "request_X-Forwarded-For" => {
            forwarded(text, out);
            names::HENGWEI_WEB_FORWARDED_FOR
        }
        "remote_user" | "user_id" | "ClientUsername" => names::USER_NAME,
        "host" | "http_host" | "domain" | "server_name" | "request.host" | "RequestHost" => {
            names::URL_DOMAIN
        }
        "http_referer" | "referer" | "referrer" | "request.headers.Referer" | "request_Referer" => {
            names::HTTP_REQUEST_REFERRER
        }
        "http_user_agent"
        | "user_agent"
        | "agent"
        | "request.headers.User-Agent"
        | "request_User-Agent" => names::USER_AGENT_ORIGINAL,
        "request_body" => names::HTTP_REQUEST_BODY_CONTENT,
        "scheme" | "RequestScheme" => names::URL_SCHEME,
        _ => return,
    };
    out.text(id, text);
}

fn dated(text: &str, out: &mut Out) {
    let stamp =
        time::iso(text.as_bytes()).map(|(stamp, _)| stamp).or_else(|| time::clf(text.as_bytes()));
    match stamp {
        Some(stamp) => out.stamp(&stamp),
        None => out.time = text.parse().ok().and_then(json::epoch).or(out.time),
    }
}

/// The line with `\x22` as `\u0022`; None when it has no such escape.
fn repaired(text: &str) -> Option<String> {
    text.contains("\\x").then(|| text.replace("\\x", "\\u00"))
}

//! Access logs of Apache, nginx and Tomcat: common, combined, with the virtual host in front, nginx's
//! usual extensions behind, and the JSON that nginx, Caddy and Traefik write (`access/json.rs`).
//!
//! The name of the user and everything in quotes come from the peer. Both servers escape quotes in
//! them, so the first bare quote begins the request, and the stamp is the last bracket before it,
//! whatever a user calls himself. Escapes are kept as the server wrote them.

mod json;

use super::out::Out;
use super::{Decoder, Line, Looks, UNDATED, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "access",
    datasets: &[APACHE, NGINX, TOMCAT, json::CADDY, json::TRAEFIK],
    programs: &["nginx", "httpd", "apache2", "apache", "caddy", "traefik"],
    paths: &["access"],
    looks: Looks { first: UNDATED, test: looks_like },
    security: false,
    decode,
};

const APACHE: &str = "apache.access";
const NGINX: &str = "nginx.access";
const TOMCAT: &str = "tomcat.access";
/// Ends of brackets that may be the stamp's.
const MAX_STAMPS: usize = 64;

/// Whether a line may be one: a bracket and a quote behind a blank, before much else.
pub(crate) fn looks_like(line: &str) -> bool {
    if line.starts_with('{') { json::looks_like(line) } else { line.contains("] \"") }
}

/// Whether a web server wrote the line about a request: it has the server's stamp in front of the quote.
pub(super) fn is_served(line: &str) -> bool {
    const STAMP: usize = "22/Nov/2026:08:00:00 +0800".len();
    let ends = memchr::memmem::find_iter(line.as_bytes(), b"] \"").take(MAX_STAMPS);
    let stamped = |end: usize| {
        let stamp = line.as_bytes().get(end.checked_sub(STAMP)?..end)?;
        time::clf(stamp)
    };
    !line.starts_with('{') && ends.into_iter().any(|end| stamped(end).is_some())
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with('{') {
        return json::decode(line, out);
    }
    let Some(()) = read(line.message, out) else { return false };
    if !DECODER.datasets.contains(&line.configured) {
        let tomcat = ["tomcat", "catalina", "localhost_access_log"];
        if line.path.contains("nginx") || line.program == Some("nginx") {
            out.dataset = Some(NGINX);
        } else if tomcat.iter().any(|part| line.path.contains(part)) {
            out.dataset = Some(TOMCAT);
        }
    }
    true
}

/// Reads one line of the common format or one that begins with it.
pub(super) fn read(line: &str, out: &mut Out) -> Option<()> {
    let (head, rest) = line.split_once("] \"")?;
    let (who, stamp) = head.rsplit_once(" [")?;
    let stamp = time::clf(stamp.as_bytes())?;
    let (request, rest) = unquote(rest)?;
    let mut numbers = rest.strip_prefix(' ')?.splitn(3, ' ');
    let status: u16 = numbers.next()?.parse().ok()?;
    let bytes = numbers.next()?;
    let tail = numbers.next().unwrap_or_default();
    let bytes = match bytes {
        "-" => None,
        digits => Some(digits.parse::<i64>().ok()?),
    };
    client(who, out)?;
    out.stamp(&stamp);
    out.word(names::EVENT_CATEGORY, "web");
    out.outcome(status < 400);
    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
    if let Some(bytes) = bytes {
        out.integer(names::HTTP_RESPONSE_BODY_BYTES, bytes);
    }
    requested(request, out);
    extras(tail, out);
    Some(())
}

/// `[HOST[:PORT] ]ADDRESS IDENT USER`. Where `X-Forwarded-For` is logged in place of the address it may be a
/// list, whose last is what the nearest proxy saw; the others anybody may have sent.
fn client(who: &str, out: &mut Out) -> Option<()> {
    let mut last = who;
    while let Some((address, behind)) = last.split_once(", ")
        && scan::address(address).is_some()
    {
        last = behind;
    }
    if last.len() < who.len() {
        let list = who[..who.len() - last.len()].trim_end_matches(", ");
        out.text(names::HENGWEI_WEB_FORWARDED_FOR, list);
        forwarded(list, out);
    }
    let who = last;
    let (first, rest) = who.split_once(' ')?;
    let (second, third) = rest.split_once(' ')?;
    // With the virtual host in front the address is second.
    let (virtual_host, address, user) = match (scan::address(first), scan::address(second)) {
        (Some(address), _) => (None, Ok(address), third),
        (None, Some(address)) => (Some(first), Ok(address), third.split_once(' ')?.1),
        (None, None) => (None, Err(first), third),
    };
    match address {
        Ok(address) => out.address(names::SOURCE_IP, address),
        // HostnameLookups puts a name where the address is.
        Err(name) => out.text(names::SOURCE_DOMAIN, name),
    }
    if let Some(virtual_host) = virtual_host {
        let (domain, port) = virtual_host.rsplit_once(':').unwrap_or((virtual_host, ""));
        out.some(names::URL_DOMAIN, domain);
        if !port.is_empty() {
            out.digits(names::URL_PORT, port);
        }
    }
    if user != "-" {
        out.some(names::USER_NAME, user);
    }
    Some(())
}

/// `METHOD TARGET HTTP/1.1`; what is no request at all is kept as the target.
pub(super) fn requested(request: &str, out: &mut Out) {
    let parts = || {
        let (method, rest) = request.split_once(' ')?;
        let known = !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
        known.then_some((method, rest))
    };
    let Some((method, rest)) = parts() else {
        if request != "-" {
            out.some(names::URL_ORIGINAL, request);
        }
        return;
    };
    let (target, version) = match rest.rsplit_once(" HTTP/") {
        Some((target, version)) => (target, version),
        None => (rest, ""),
    };
    out.text(names::HTTP_REQUEST_METHOD, method);
    out.some(names::HTTP_VERSION, version);
    located(target, out);
}

/// The target of a request: `url.original`, its path and its query.
pub(super) fn located(target: &str, out: &mut Out) {
    out.some(names::URL_ORIGINAL, target);
    let path = absolute(target).unwrap_or(target);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    out.some(names::URL_PATH, path);
    out.some(names::URL_EXTENSION, extension(path));
    out.some(names::URL_QUERY, query);
}

/// What stands behind the last dot of a path's last part, without the dot; nothing when it is longer
/// than endings are.
fn extension(path: &str) -> &str {
    const LONGEST: usize = 8;
    let from = path.floor_char_boundary(path.len().saturating_sub(LONGEST + 1));
    let (name, ending) = path[from..].rsplit_once('.').unwrap_or_default();
    let known = ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if known && !name.ends_with('/') { ending } else { "" }
}

/// The path of a target that names its host, as a client says to a proxy.
fn absolute(target: &str) -> Option<&str> {
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    let slash = rest.find('/')?;
    Some(&rest[slash..])
}

/// `"REFERRER" "AGENT"[ "FORWARDED FOR"][ SECONDS …]`, each optional.
fn extras(tail: &str, out: &mut Out) {
    let quoted = |text: &'_ str| text.starts_with('"');
    let mut rest = tail;
    let mut fields = [
        names::HTTP_REQUEST_REFERRER,
        names::USER_AGENT_ORIGINAL,
        names::HENGWEI_WEB_FORWARDED_FOR,
    ]
    .into_iter();
    while quoted(rest)
        && let Some((value, behind)) = unquote(&rest[1..])
        && let Some(id) = fields.next()
    {
        if value != "-" {
            out.some(id, value);
            if id == names::HENGWEI_WEB_FORWARDED_FOR {
                forwarded(value, out);
            }
        }
        rest = behind.trim_start();
    }
    let first = rest.split_once(' ').map_or(rest, |(first, _)| first);
    let seconds = first.strip_prefix("rt=").unwrap_or(first);
    if seconds.contains('.')
        && let Ok(seconds) = seconds.parse::<f64>()
    {
        out.number(names::HENGWEI_WEB_REQUEST_SECONDS, seconds);
    }
}

/// The first address of `X-Forwarded-For`. Anybody may send that header: it is not `source.ip`.
pub(super) fn forwarded(value: &str, out: &mut Out) {
    let first = value.split_once(',').map_or(value, |(first, _)| first).trim();
    if let Some(address) = scan::address(first) {
        out.address(names::NETWORK_FORWARDED_IP, address);
    }
}

/// The text up to the next bare quote, and what follows the quote.
fn unquote(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

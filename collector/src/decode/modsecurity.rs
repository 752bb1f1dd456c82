//! What ModSecurity finds: its messages within the error logs of Apache and nginx, and its audit log,
//! in JSON as versions 2 and 3 write it and in sections (`modsecurity/sections.rs`). Each becomes one
//! event of the dataset `modsecurity`, with every rule that matched in `rule.id`, `rule.name` and
//! `rule.category`.
//!
//! ```text
//! ModSecurity: Warning. detected SQLi … [file "…"] [line "66"] [id "942100"] [msg "SQL Injection"] [tag "attack-sqli"] … [uri "/x"] [unique_id "…"]
//! ```
//!
//! The matched value stands in these messages, and version 3 does not escape its quotes: a request with
//! `"] [id "1"]` in it writes brackets of its own. Where `id`, `msg` or `uri` stands more than once the rule
//! is not taken from the message, and the event says why. The audit log has no such doubt. It also holds
//! the headers and the body of requests: only those that say who asked for what become fields, never
//! cookies or credentials.

mod sections;

use super::json::{self, Scalar};
use super::out::Out;
use super::{Decoder, Line, Looks, access, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "modsecurity",
    datasets: &[DATASET],
    programs: &["modsecurity", "mod_security"],
    paths: &["modsec"],
    looks: Looks { first: b"{-", test: looks_like },
    security: true,
    decode,
};

/// The dataset of all that ModSecurity says.
pub(super) const DATASET: &str = "modsecurity";
/// What a message in an error log begins with.
pub(super) const MARK: &str = "ModSecurity: ";
/// Rules of one transaction that are kept.
const MAX_RULES: usize = 64;
/// Bracketed values of one message that are read.
const MAX_VALUES: usize = 64;
const AMBIGUOUS: &str = "a value of the message stands in it twice, as the peer may have written it: no rule is taken from it";

/// The severities of rules, by their number.
const SEVERITIES: &[&str] =
    &["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// Whether a line may be a transaction.
fn looks_like(line: &str) -> bool {
    line.starts_with("{\"transaction\":{")
        || line.starts_with("--")
            && line.split('\n').next().is_some_and(|first| first.ends_with("-A--"))
}

/// Reads one record: a transaction in JSON or in sections, or a message without what an error log puts before it.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with('{') {
        return transaction(line.message, out);
    }
    if line.message.starts_with("--") {
        return sections::read(line.message, out).is_some();
    }
    line.message.strip_prefix(MARK).is_some_and(|text| message(text, out).is_some())
}

/// Reads what follows `ModSecurity: ` in an error log. None for what it says of itself at start.
pub(super) fn message(text: &str, out: &mut Out) -> Option<()> {
    let blocked = text.starts_with("Access denied");
    if !blocked && !text.starts_with("Warning.") && !text.starts_with("Warning:") {
        return None;
    }
    out.dataset = Some(DATASET);
    out.security = true;
    verdict(blocked, out);
    if let Some(code) = text.strip_prefix("Access denied with code ").and_then(|rest| rest.get(..3))
    {
        out.digits(names::HTTP_RESPONSE_STATUS_CODE, code);
    }
    let values = values(text);
    let count = |name: &str| values.iter().filter(|(key, _)| *key == name).count();
    let ambiguous = ["id", "msg", "uri", "severity", "hostname"].iter().any(|name| count(name) > 1);
    if ambiguous {
        out.problem(AMBIGUOUS);
        return Some(());
    }
    rule(&values, out);
    for (name, value) in &values {
        match *name {
            "data" => out.some(names::EVENT_REASON, value),
            "hostname" => out.some(names::URL_DOMAIN, value),
            "uri" => out.some(names::URL_PATH, value),
            "unique_id" => out.some(names::EVENT_ID, value),
            _ => {}
        }
    }
    Some(())
}

fn verdict(blocked: bool, out: &mut Out) {
    out.word(names::EVENT_CATEGORY, "intrusion_detection");
    out.word(names::EVENT_CATEGORY, "web");
    out.word(names::EVENT_ACTION, if blocked { "deny" } else { "detected" });
    out.word(names::EVENT_TYPE, if blocked { "denied" } else { "allowed" });
}

/// What a message says of its rule.
fn rule(values: &[(&str, &str)], out: &mut Out) {
    for (name, value) in values {
        match *name {
            "id" => out.some(names::RULE_ID, value),
            "msg" => out.some(names::RULE_NAME, value),
            "ver" => out.some(names::RULE_RULESET, value),
            "severity" => {
                if let Some(at) = severity(value) {
                    out.integer(names::EVENT_SEVERITY, i64::try_from(at).unwrap_or_default());
                }
            }
            "tag" => tag(value, out),
            _ => {}
        }
    }
}

/// Of the tags only those that name an attack say what it is.
fn tag(value: &str, out: &mut Out) {
    if value.starts_with("attack-") {
        out.text(names::RULE_CATEGORY, value);
    }
}

/// A severity as a word (version 2) or a number (version 3).
fn severity(value: &str) -> Option<usize> {
    let named = || SEVERITIES.iter().position(|name| name.eq_ignore_ascii_case(value));
    value.parse().ok().or_else(named).filter(|at| *at < SEVERITIES.len())
}

/// `[name "value"]`, wherever they stand; an escaped quote does not end a value.
fn values(text: &str) -> Vec<(&str, &str)> {
    let mut values = Vec::new();
    let mut rest = text;
    while values.len() < MAX_VALUES
        && let Some((_, behind)) = rest.split_once('[')
    {
        rest = behind;
        let end = rest.bytes().take_while(|b| b.is_ascii_lowercase() || *b == b'_').count();
        let (name, value) = rest.split_at(end);
        let Some(value) = value.strip_prefix(" \"").filter(|_| end > 0) else { continue };
        let Some(end) = closing(value) else { break };
        values.push((name, &value[..end]));
        rest = &value[end..];
    }
    values
}

/// Where `"]` closes a value. A quote of the peer has a backslash before it, two where Apache escaped the
/// message once more.
fn closing(value: &str) -> Option<usize> {
    let ends = value.match_indices("\"]").map(|(at, _)| at);
    ends.into_iter().find(|at| !value[..*at].ends_with('\\'))
}

/// What was seen of a transaction.
#[derive(Default)]
struct Seen {
    client: bool,
    id: bool,
    rules: usize,
    blocked: bool,
    severest: Option<usize>,
}

/// One transaction of the audit log.
fn transaction(text: &str, out: &mut Out) -> bool {
    let mut seen = Seen::default();
    let whole = json::each(text, out, &mut |path, value, out| part(path, value, &mut seen, out));
    if !whole || !seen.client || !seen.id {
        return false;
    }
    conclude(&seen, out);
    true
}

/// What is known when all of a transaction was read.
fn conclude(seen: &Seen, out: &mut Out) {
    if let Some(at) = seen.severest
        && let Some(name) = SEVERITIES.get(at)
    {
        out.word(names::LOG_LEVEL, name);
        out.integer(names::EVENT_SEVERITY, i64::try_from(at).unwrap_or_default());
    }
    if seen.rules == 0 {
        out.word(names::EVENT_CATEGORY, "web");
        out.word(names::EVENT_ACTION, "audited");
    } else {
        verdict(seen.blocked, out);
    }
}

fn part(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    // Version 3 has request, response and messages within the transaction, version 2 beside it.
    let name = path.strip_prefix("transaction.").unwrap_or(path);
    if let Some(header) = name.strip_prefix("request.headers.") {
        return value.text().map_or((), |text| request_header(header, text, out));
    }
    let port = |id, out: &mut Out| value.integer().map_or((), |port| out.integer(id, port));
    match name {
        "client_port" | "remote_port" => return port(names::SOURCE_PORT, out),
        "host_port" | "local_port" => return port(names::SERVER_PORT, out),
        "response.http_code" | "response.status" => {
            return port(names::HTTP_RESPONSE_STATUS_CODE, out);
        }
        "is_interrupted" | "audit_data.action.intercepted" => {
            seen.blocked |= value == Scalar::Flag(true);
            return;
        }
        "messages.details.severity" => {
            let at = value.integer().and_then(|at| usize::try_from(at).ok());
            let at = at.filter(|at| *at < SEVERITIES.len());
            seen.severest = [seen.severest, at].into_iter().flatten().min();
            return;
        }
        _ => {}
    }
    let Some(text) = value.text().filter(|text| !text.is_empty()) else { return };
    match name {
        "client_ip" | "remote_address" => {
            seen.client |= scan::address(text).is_some();
            address(names::SOURCE_IP, text, out);
        }
        "host_ip" | "local_address" => address(names::SERVER_IP, text, out),
        "unique_id" | "transaction_id" => {
            seen.id = true;
            out.text(names::EVENT_ID, text);
        }
        "time" | "time_stamp" => dated(text, out),
        "request.method" => out.text(names::HTTP_REQUEST_METHOD, text),
        "request.uri" => access::located(text, out),
        "request.request_line" => access::requested(text, out),
        "messages.message" if seen.rules < MAX_RULES => {
            seen.rules += 1;
            out.text(names::RULE_NAME, text);
        }
        "messages.details.ruleId" if seen.rules <= MAX_RULES => out.text(names::RULE_ID, text),
        "messages.details.tags" if seen.rules <= MAX_RULES => tag(text, out),
        "messages.details.data" if seen.rules <= MAX_RULES => out.text(names::EVENT_REASON, text),
        "audit_data.messages" => audited(text, seen, out),
        _ => {}
    }
}

/// A message of version 2 within the audit log.
fn audited(text: &str, seen: &mut Seen, out: &mut Out) {
    if seen.rules >= MAX_RULES {
        return;
    }
    seen.rules += 1;
    seen.blocked |= text.starts_with("Access denied");
    let values = values(text);
    for (name, value) in &values {
        match *name {
            "id" => out.some(names::RULE_ID, value),
            "msg" => out.some(names::RULE_NAME, value),
            "tag" => tag(value, out),
            "data" => out.some(names::EVENT_REASON, value),
            "severity" => {
                seen.severest = [seen.severest, severity(value)].into_iter().flatten().min();
            }
            _ => {}
        }
    }
}

fn request_header(name: &str, text: &str, out: &mut Out) {
    for (known, id) in [
        ("host", names::URL_DOMAIN),
        ("user-agent", names::USER_AGENT_ORIGINAL),
        ("referer", names::HTTP_REQUEST_REFERRER),
        ("x-forwarded-for", names::HENGWEI_WEB_FORWARDED_FOR),
        ("content-type", names::HTTP_REQUEST_MIME_TYPE),
    ] {
        if known.eq_ignore_ascii_case(name) {
            out.some(id, text);
        }
    }
}

fn address(id: crate::event::FieldId, text: &str, out: &mut Out) {
    if let Some(address) = scan::address(text) {
        out.address(id, address);
    }
}

/// `22/Nov/2026:08:59:22.376201 +0000` of version 2, `Sun Nov 22 08:59:22 2026` of version 3.
fn dated(text: &str, out: &mut Out) {
    if let Some(stamp) = time::clf(text.as_bytes()).or_else(|| time::asctime(text.as_bytes())) {
        out.stamp(&stamp);
    }
}

//! The logs of BIND's named: queries, what it refused, zone transfers, and its life.
//!
//! Names in queries are the client's, but named writes blanks, quotes and brackets in them with a
//! backslash, so none of them can look like a word of the log.

use std::net::IpAddr;

use super::out::Out;
use super::{DAY_FIRST, Decoder, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "bind",
    datasets: &[GENERAL, QUERY],
    programs: &["named"],
    paths: &["named/", "bind/", "named.log", "query.log"],
    looks: Looks { first: &[b'c', DAY_FIRST], test: looks },
    security: false,
    decode,
};

/// The dataset of what named says of itself, its zones, and whom it refused.
const GENERAL: &str = "bind";
/// The dataset of queries.
const QUERY: &str = "bind.query";

/// Category and level.
const PRINTED: usize = 2;

const LEVELS: &[&str] = &["debug", "info", "notice", "warning", "error", "critical", "dynamic"];

fn looks(line: &str) -> bool {
    let text = time::dashed(line.as_bytes()).and_then(|(_, len)| line.get(len..));
    text.is_some_and(|text| text.starts_with(' '))
        || (line.starts_with("client ") && line.contains(": query: "))
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let mut text = message;
    if let Some((stamp, len)) = time::dashed(text.as_bytes()) {
        out.stamp(&stamp);
        text = text.get(len..)?.strip_prefix(' ')?;
    }
    // The category and the level stand in front as far as the channel is told to print them.
    for _ in 0..PRINTED {
        let Some((word, rest)) = text.split_once(": ") else { break };
        let category = || {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            !word.is_empty() && word.bytes().all(plain) && word != "received"
        };
        if LEVELS.contains(&word) {
            out.text(names::LOG_LEVEL, word);
        } else if category() {
            out.text(names::LOG_LOGGER, word);
        } else {
            break;
        }
        text = rest;
    }
    match text.strip_prefix("client ") {
        Some(rest) => client(rest, out),
        None => general(text, out),
    }
}

/// `[@0xADDRESS ]ADDRESS#PORT[ (NAME)]: [view NAME: ]WHAT`.
fn client(rest: &str, out: &mut Out) -> Option<()> {
    let rest = match rest.strip_prefix("@0x") {
        Some(rest) => rest.split_once(' ')?.1,
        None => rest,
    };
    let (who, what) = rest.split_once(": ")?;
    let who = who.split_once(" (").map_or(who, |(who, _)| who);
    let who = who.split_once('/').map_or(who, |(who, _)| who);
    let (address, port) = who.split_once('#')?;
    let address = scan::address(address)?;
    let what = match what.strip_prefix("view ") {
        Some(rest) => rest.split_once(": ")?.1,
        None => what,
    };
    if let Some(rest) = what.strip_prefix("query: ") {
        return query(rest, address, port, out);
    }
    if let Some(rest) = what.strip_prefix("query ") {
        refused(rest, out)?;
    } else if let Some(rest) = what.strip_prefix("transfer of ") {
        transfer(rest, out)?;
    } else if let Some(rest) = what.strip_prefix("zone transfer ") {
        let (zone, _) = quoted(rest)?;
        out.event("network", "dns_zone_transfer");
        out.outcome(!rest.ends_with("denied"));
        out.text(names::DNS_QUESTION_NAME, first(zone));
    } else if let Some(rest) = what.strip_prefix("updating zone ") {
        let (zone, what) = quoted(rest)?;
        out.event("network", "dns_zone_updated");
        out.text(names::DNS_QUESTION_NAME, first(zone));
        out.some(names::EVENT_REASON, what.trim_start_matches([':', ' ']));
    } else if let Some(rest) = what.strip_prefix("update ") {
        let (zone, what) = quoted(rest)?;
        out.event("network", "dns_zone_updated");
        out.outcome(false);
        out.text(names::DNS_QUESTION_NAME, first(zone));
        out.some(names::EVENT_REASON, what.trim());
    } else if what.starts_with("rate limit ") || what.contains("rate limit ") {
        out.event("network", "dns_rate_limited");
        out.text(names::EVENT_REASON, what);
    } else {
        out.event("network", "dns_message");
        out.text(names::EVENT_REASON, what);
    }
    peer(address, port, out);
    Some(())
}

fn peer(address: IpAddr, port: &str, out: &mut Out) {
    out.address(names::SOURCE_IP, address);
    out.digits(names::SOURCE_PORT, port);
}

/// `NAME CLASS TYPE FLAGS (ADDRESS OF THE SERVER)`.
fn query(rest: &str, address: IpAddr, port: &str, out: &mut Out) -> Option<()> {
    let mut words = rest.split(' ');
    let (name, class, kind, flags) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !flags.starts_with(['+', '-']) {
        return None;
    }
    out.dataset = Some(QUERY);
    out.event("network", "dns_query");
    out.word(names::NETWORK_PROTOCOL, "dns");
    out.word(names::NETWORK_TRANSPORT, if flags.contains('T') { "tcp" } else { "udp" });
    out.some(names::DNS_QUESTION_NAME, name);
    out.some(names::DNS_QUESTION_CLASS, class);
    out.some(names::DNS_QUESTION_TYPE, kind);
    if let Some(server) = words.next().and_then(|text| text.strip_prefix('(')?.strip_suffix(')'))
        && let Some(server) = scan::address(server)
    {
        out.address(names::DESTINATION_IP, server);
    }
    peer(address, port, out);
    Some(())
}

/// `(cache) 'NAME/TYPE/CLASS' denied`, `'NAME/TYPE/CLASS' denied`, `failed (SERVFAIL) for NAME/…`.
fn refused(rest: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = rest.strip_prefix("failed (") {
        let (code, rest) = rest.split_once(") for ")?;
        let (question, _) = rest.split_once(' ').unwrap_or((rest, ""));
        out.event("network", "dns_query_failed");
        out.outcome(false);
        out.text(names::DNS_RESPONSE_CODE, code);
        return asked(question, out);
    }
    let rest = rest.strip_prefix("(cache) ").unwrap_or(rest);
    let (question, what) = quoted(rest)?;
    if !what.trim_start().starts_with("denied") {
        return None;
    }
    out.event("network", "dns_query_denied");
    out.outcome(false);
    asked(question, out)
}

/// `NAME/TYPE/CLASS` or `NAME/CLASS/TYPE`, as versions differ; the class is one of few.
fn asked(question: &str, out: &mut Out) -> Option<()> {
    let (rest, last) = question.rsplit_once('/')?;
    let (name, middle) = rest.rsplit_once('/')?;
    let class = |text: &str| matches!(text, "IN" | "CH" | "HS" | "CLASS0" | "ANY");
    let kind = if class(last) { middle } else { last };
    out.some(names::DNS_QUESTION_NAME, name);
    out.some(names::DNS_QUESTION_TYPE, kind);
    Some(())
}

/// `'ZONE/CLASS': AXFR started (serial N)`.
fn transfer(rest: &str, out: &mut Out) -> Option<()> {
    let (zone, what) = quoted(rest)?;
    let what = what.trim_start_matches([':', ' ']);
    out.event("network", "dns_zone_transfer");
    if what.contains(" started") || what.contains(" ended") {
        out.outcome(true);
    }
    out.text(names::DNS_QUESTION_NAME, first(zone));
    out.some(names::DNS_QUESTION_TYPE, what.split(' ').next().unwrap_or(""));
    out.some(names::EVENT_REASON, what);
    Some(())
}

/// A text in single quotes, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    scan::quoted(text)
}

/// The name in `NAME/CLASS`.
fn first(zone: &str) -> &str {
    zone.split_once('/').map_or(zone, |(name, _)| name)
}

/// What named says of itself and its zones.
fn general(text: &str, out: &mut Out) -> Option<()> {
    const STARTS: &[(&str, &str, &str, Option<bool>)] = &[
        ("starting BIND ", "process", "dns_server_started", None),
        ("running", "process", "dns_server_started", Some(true)),
        ("shutting down", "process", "dns_server_stopped", None),
        ("stopping command channel", "process", "dns_server_stopped", None),
        ("exiting (due to ", "process", "dns_server_stopped", Some(false)),
        ("exiting", "process", "dns_server_stopped", None),
        ("received control channel command ", "configuration", "dns_server_commanded", None),
        ("loading configuration: ", "configuration", "dns_configuration_failed", Some(false)),
        ("loading configuration from ", "configuration", "dns_configuration_loaded", None),
        (
            "reloading configuration failed",
            "configuration",
            "dns_configuration_failed",
            Some(false),
        ),
        ("network unreachable resolving ", "network", "dns_unreachable", Some(false)),
        ("connection refused resolving ", "network", "dns_unreachable", Some(false)),
        ("host unreachable resolving ", "network", "dns_unreachable", Some(false)),
        ("timed out resolving ", "network", "dns_unreachable", Some(false)),
        ("lame server resolving ", "network", "dns_lame_server", Some(false)),
        ("REFUSED unexpected RCODE resolving ", "network", "dns_lame_server", Some(false)),
        ("limit ", "network", "dns_rate_limited", None),
        ("validating ", "network", "dns_validation", None),
        ("resolver priming query complete", "network", "dns_message", None),
    ];
    if let Some(rest) = text.strip_prefix("zone ") {
        let (zone, what) = rest.split_once(": ")?;
        out.event("configuration", "dns_zone");
        if what.contains("failed") || what.starts_with("not loaded") {
            out.outcome(false);
        }
        out.text(names::DNS_QUESTION_NAME, first(zone));
        out.text(names::EVENT_REASON, what);
        return Some(());
    }
    let (_, category, action, success) =
        STARTS.iter().find(|(start, ..)| text.starts_with(start))?;
    out.event(category, action);
    if let Some(success) = success {
        out.outcome(*success);
    }
    out.text(names::EVENT_REASON, text);
    Some(())
}

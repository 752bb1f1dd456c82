//! Messages of Postfix's servers: who connects and fails to log in, what is refused, and what becomes
//! of a message, whose lines share the queue's id (`hengwei.mail.queue_id`).
//!
//! Sender, recipient, greeting and SASL name are the client's words. Postfix replaces control bytes
//! and writes host and address itself, `NAME[ADDRESS]`, before any of them, so the address is always
//! read at its own place at the beginning; a name of a host that holds a bracket is refused.

use super::out::Out;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "postfix",
    datasets: &["postfix"],
    programs: &["postfix"],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode,
};

/// The longest queue id, a long one with its inode.
const MAX_QUEUE_ID: usize = 24;

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let component = line.program.and_then(|program| program.rsplit_once('/'));
    if let Some((_, component)) = component {
        out.text(names::EVENT_PROVIDER, component);
    }
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    if let Some((level, rest)) = message.split_once(": ")
        && matches!(level, "warning" | "error" | "fatal" | "panic")
    {
        return warning(level, rest, out);
    }
    if let Some(from) = message.strip_prefix("connect from ") {
        out.event("network", "smtp_connect");
        out.word(names::EVENT_TYPE, "start");
        return client(from, out).map(|_| ());
    }
    if let Some(from) = message.strip_prefix("disconnect from ") {
        out.event("network", "smtp_disconnect");
        out.word(names::EVENT_TYPE, "end");
        let counts = client(from, out)?.trim_start();
        out.some(names::EVENT_REASON, counts);
        return Some(());
    }
    for (start, action) in [
        ("lost connection after ", "smtp_lost"),
        ("timeout after ", "smtp_timeout"),
        ("too many errors after ", "smtp_too_many_errors"),
        ("improper command pipelining after ", "smtp_pipelining"),
        ("SSL_accept error ", "smtp_tls_error"),
    ] {
        if let Some(rest) = message.strip_prefix(start) {
            let (command, from) = rest.split_once("from ")?;
            out.event("network", action);
            client(from, out)?;
            out.some(names::EVENT_REASON, command.trim_end());
            return Some(());
        }
    }
    if let Some(found) = screen(message, out) {
        return Some(found);
    }
    if let Some(rest) = message.strip_prefix("statistics: max connection ") {
        out.event("network", "smtp_statistics");
        out.text(names::EVENT_REASON, rest);
        return Some(());
    }
    let (id, rest) = message.split_once(": ")?;
    queued(id, rest, out)
}

/// `HOST[ADDRESS]`, `HOST[ADDRESS]:PORT`: stores both and gives what follows.
fn client<'a>(text: &'a str, out: &mut Out) -> Option<&'a str> {
    let (host, rest) = text.split_once('[')?;
    let (address, rest) = rest.split_once(']')?;
    if host.contains(' ') {
        return None;
    }
    match scan::address(address) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None if address == "unknown" => {}
        None => return None,
    }
    if !matches!(host, "" | "unknown") {
        out.text(names::SOURCE_DOMAIN, host);
    }
    let Some(port) = rest.strip_prefix(':') else { return Some(rest) };
    let end = port.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(port.len());
    let (port, after) = port.split_at(end);
    if port.is_empty() {
        return Some(rest);
    }
    out.digits(names::SOURCE_PORT, port);
    Some(after)
}

/// `HOST[ADDRESS]: SASL METHOD authentication failed: REASON[, sasl_username=NAME]`, `hostname …`.
fn warning(level: &str, rest: &str, out: &mut Out) -> Option<()> {
    let mark = out.mark();
    if let Some(said) = client(rest, out).and_then(|rest| rest.strip_prefix(": SASL ")) {
        let (method, said) = said.split_once(" authentication failed")?;
        out.security = true;
        out.event("authentication", "smtp_login");
        out.outcome(false);
        out.some(names::HENGWEI_AUTH_METHOD, method);
        let said = said.trim_start_matches([':', ' ']);
        // The name is the client's and the last thing in the line; what stands before it may be the
        // client's too, in Base64.
        let (reason, name) = said.split_once(", sasl_username=").unwrap_or((said, ""));
        out.some(names::EVENT_REASON, reason);
        out.some(names::USER_NAME, name);
        return Some(());
    }
    out.reset(mark);
    if let Some(rest) = rest.strip_prefix("hostname ") {
        let (host, address) = rest.split_once(" does not resolve to address ")?;
        let address = address.split_once(": ").map_or(address, |(address, _)| address);
        out.event("network", "smtp_reverse_mapping");
        out.address(names::SOURCE_IP, scan::address(address)?);
        out.some(names::SOURCE_DOMAIN, host);
        return Some(());
    }
    out.event("process", "mail_warning");
    out.text(names::LOG_LEVEL, level);
    out.some(names::ERROR_MESSAGE, rest);
    Some(())
}

/// postscreen: `CONNECT from [ADDRESS]:PORT to …`, `PREGREET N after S from …`, `DNSBL rank N for …`.
fn screen(message: &str, out: &mut Out) -> Option<()> {
    const SHAPES: &[(&str, &str, &str)] = &[
        ("CONNECT from ", "smtp_connect", ""),
        ("DISCONNECT ", "smtp_disconnect", ""),
        ("PASS NEW ", "smtp_screened", "allowed"),
        ("PASS OLD ", "smtp_screened", "allowed"),
        ("PREGREET ", "smtp_pregreet", "denied"),
        ("DNSBL rank ", "smtp_blocklisted", "denied"),
        ("BARE NEWLINE ", "smtp_bare_newline", "denied"),
        ("COMMAND ", "smtp_bad_command", "denied"),
        ("HANGUP ", "smtp_lost", ""),
    ];
    let (start, action, event_type) =
        SHAPES.iter().find(|(start, _, _)| message.starts_with(start))?;
    let rest = message.strip_prefix(start)?;
    let at = rest.find('[')?;
    client(rest.get(at..)?, out)?;
    out.event("network", action);
    if !event_type.is_empty() {
        out.word(names::EVENT_TYPE, event_type);
    }
    Some(())
}

/// `ID: …`: a message in the queue, or `NOQUEUE: …` before there is one.
fn queued(id: &str, rest: &str, out: &mut Out) -> Option<()> {
    let is_id =
        id.len() <= MAX_QUEUE_ID && id.len() >= 5 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_id {
        return None;
    }
    if id != "NOQUEUE" {
        out.text(names::HENGWEI_MAIL_QUEUE_ID, id);
    }
    if let Some(rest) = rest.strip_prefix("reject: ") {
        return refused(rest, "smtp_rejected", out);
    }
    if let Some(rest) = rest.strip_prefix("milter-reject: ") {
        return refused(rest, "smtp_rejected", out);
    }
    if let Some(rest) = rest.strip_prefix("client=") {
        return accepted(rest, out);
    }
    if let Some(id) = rest.strip_prefix("message-id=") {
        out.event("email", "mail_identified");
        out.some(names::EMAIL_MESSAGE_ID, scan::unangled(id));
        return Some(());
    }
    if let Some(rest) = rest.strip_prefix("from=") {
        let (from, rest) = envelope(rest)?;
        out.event("email", "mail_queued");
        out.some(names::EMAIL_FROM_ADDRESS, from);
        if let Some(bytes) = scan::value(rest, "size=") {
            out.digits(names::HENGWEI_MAIL_BYTES, bytes.trim_end_matches(','));
        }
        if let Some(count) = scan::value(rest, "nrcpt=") {
            out.digits(names::HENGWEI_MAIL_RECIPIENTS, count);
        }
        return Some(());
    }
    if let Some(rest) = rest.strip_prefix("to=") {
        return delivered(rest, out);
    }
    if let Some(rest) = rest.strip_prefix("uid=") {
        let (uid, from) = rest.split_once(" from=")?;
        out.event("email", "mail_submitted");
        out.digits(names::USER_ID, uid);
        out.some(names::EMAIL_FROM_ADDRESS, scan::unangled(from));
        return Some(());
    }
    if rest == "removed" {
        out.event("email", "mail_removed");
        return Some(());
    }
    if rest.starts_with("sender non-delivery notification") {
        out.event("email", "mail_bounced");
        return Some(());
    }
    None
}

/// `RCPT from HOST[ADDRESS]: CODE REASON; from=<…> to=<…> proto=… helo=<…>`: the reason quotes the
/// recipient, so an envelope that stands there twice is not read.
fn refused(rest: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (_, from) = rest.split_once(" from ")?;
    out.event("email", action);
    out.word(names::EVENT_TYPE, "denied");
    out.outcome(false);
    let said = client(from, out)?.strip_prefix(": ")?;
    let (reason, envelope) = said.split_once("; from=").unwrap_or((said, ""));
    if envelope.contains("; from=") {
        out.problem("the envelope imitates the log; it is not read");
        return Some(());
    }
    let code = reason.split_once(' ').map_or(reason, |(code, _)| code);
    out.digits(names::EVENT_CODE, code);
    out.some(names::EVENT_REASON, reason);
    let (from, rest) = envelope.split_once(" to=").unwrap_or((envelope, ""));
    out.some(names::EMAIL_FROM_ADDRESS, scan::unangled(from));
    let (to, rest) = rest.split_once(" proto=").unwrap_or((rest, ""));
    out.some(names::EMAIL_TO_ADDRESS, scan::unangled(to));
    if let Some((_, greeting)) = rest.split_once(" helo=") {
        out.some(names::HENGWEI_MAIL_HELO, scan::unangled(greeting));
    }
    Some(())
}

/// `HOST[ADDRESS][, sasl_method=METHOD, sasl_username=NAME]`.
fn accepted(rest: &str, out: &mut Out) -> Option<()> {
    let rest = client(rest, out)?;
    let Some(rest) = rest.strip_prefix(", sasl_method=") else {
        out.event("email", "mail_received");
        return Some(());
    };
    let (method, name) = rest.split_once(", sasl_username=")?;
    out.security = true;
    out.event("authentication", "smtp_login");
    out.outcome(true);
    out.some(names::HENGWEI_AUTH_METHOD, method);
    let name = name.rsplit_once(", sasl_sender=").map_or(name, |(name, _)| name);
    out.some(names::USER_NAME, name);
    Some(())
}

/// `<TO>, [orig_to=<…>, ]relay=HOST[ADDRESS]:PORT, delay=…, dsn=…, status=WORD (TEXT)`: the text is the
/// other server's, and the first of its kind ends what this one writes.
fn delivered(rest: &str, out: &mut Out) -> Option<()> {
    let (to, rest) = envelope(rest)?;
    let (head, status) = rest.split_once(" status=")?;
    let (status, said) = status.split_once(' ').unwrap_or((status, ""));
    let action = match status {
        "sent" => "mail_sent",
        "deferred" => "mail_deferred",
        "bounced" => "mail_bounced",
        "expired" => "mail_expired",
        "deliverable" | "undeliverable" => "mail_probed",
        _ => return None,
    };
    out.event("email", action);
    match status {
        "sent" => out.outcome(true),
        "bounced" | "expired" => out.outcome(false),
        _ => {}
    }
    out.some(names::EMAIL_TO_ADDRESS, to);
    if let Some(relay) = scan::value(head, "relay=") {
        out.some(names::HENGWEI_MAIL_RELAY, relay.trim_end_matches(','));
        let address = relay.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        if let Some(address) = address.and_then(|(address, _)| scan::address(address)) {
            out.address(names::DESTINATION_IP, address);
        }
    }
    if let Some(code) = scan::value(head, "dsn=") {
        out.some(names::EVENT_CODE, code.trim_end_matches(','));
    }
    out.some(names::EVENT_REASON, said.trim_matches(['(', ')']));
    Some(())
}

/// `<ADDRESS>, …`: the address, which may itself hold angles, up to the first `>, `.
fn envelope(text: &str) -> Option<(&str, &str)> {
    let (address, rest) = text.strip_prefix('<')?.split_once(">,")?;
    Some((address, rest))
}

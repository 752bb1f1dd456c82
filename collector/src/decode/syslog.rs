//! The header syslog puts before a program's message.
//!
//! Files have it without a priority: `Dec 10 06:55:46 host sshd[1]: message` (RFC 3164) or, since
//! Debian 12, with an ISO stamp. Those two are read here by hand, every line passes through them.
//! RFC 5424 is read by syslog_loose. Its reading of RFC 3164 is not used: where host or tag are
//! missing it takes the first words of the message for them. A line that only begins like a header
//! is left whole. What network gear writes in place of all this is read by `decode/gear.rs`, at no cost
//! for the lines of others.

use syslog_loose::{Message, ProcId, StructuredElement, Variant, parse_message_with_year_exact};

use super::out::Out;
use super::time::{Stamp, bsd, iso, offset, year_after};
use super::{gear, network, scan};
use crate::event::{FieldId, names};

/// The longest name a program or host is believed to have.
const MAX_NAME: usize = 255;
/// Parameters of one structured data element that become fields.
const MAX_PARAMETERS: usize = 64;
/// Facilities whose messages are security events: auth, authpriv, audit.
const SECURITY_FACILITIES: [u8; 3] = [4, 10, 13];
/// What stands behind the stamp in the logs of applications, where syslog has the host.
const LEVELS: &[&str] = &[
    "TRACE", "DEBUG", "SUBDEBUG", "DDEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR",
    "CRITICAL", "FATAL", "PANIC",
];

/// Whether a word is a level, bare or in brackets.
fn is_level(word: &str) -> bool {
    LEVELS.contains(&word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word))
}

/// What is left of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) program: Option<&'a str>,
    pub(crate) message: &'a str,
}

/// Reads the header of a line and writes its fields; None when it has none.
pub(crate) fn header<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let line = counted(line.strip_prefix('\u{feff}').unwrap_or(line));
    let (priority, rest) = priority(line);
    let sure = priority.is_some();
    let found = match rest.as_bytes().first()? {
        b'0'..=b'9' if sure && rest.as_bytes().get(1) == Some(&b' ') => rfc5424(line, out)?,
        _ => match stamped(rest, sure) {
            Some((stamp, behind)) => {
                // Applications begin their lines with an ISO stamp, too.
                let syslog = sure || !rest.starts_with(|first: char| first.is_ascii_digit());
                let header = host_and_tag(behind, syslog, out)?;
                out.stamp(&stamp);
                header
            }
            None => gear::unstamped(rest, sure, out)?,
        },
    };
    if let Some(priority) = priority {
        out.integer(names::LOG_SYSLOG_PRIORITY, priority.into());
        out.integer(names::LOG_SYSLOG_FACILITY_CODE, (priority >> 3).into());
        out.integer(names::LOG_SYSLOG_SEVERITY_CODE, (priority & 7).into());
        out.security |= SECURITY_FACILITIES.contains(&(priority >> 3));
    }
    Some(found)
}

/// The line without the count of its octets, which TCP senders write and collectors of files keep.
fn counted(line: &str) -> &str {
    const MAX_DIGITS: usize = 6;
    let digits = line.bytes().take(MAX_DIGITS + 1).take_while(u8::is_ascii_digit).count();
    match line.get(digits..digits + 2) {
        Some(" <") if (1..=MAX_DIGITS).contains(&digits) => &line[digits + 1..],
        _ => line,
    }
}

fn priority(line: &str) -> (Option<u8>, &str) {
    let read = || {
        let (digits, rest) = line.strip_prefix('<')?.split_once('>')?;
        let priority: u8 = digits.parse().ok()?;
        (priority <= 191 && digits.len() <= 3)
            .then_some((Some(priority), rest.trim_start_matches(' ')))
    };
    read().unwrap_or((None, line))
}

/// A stamp, a blank, and what follows. An ISO stamp must say its zone, unless a priority says that the
/// line is syslog: one without is how applications begin their lines.
fn stamped(line: &str, sure: bool) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    let (stamp, rest) = if bytes.first()?.is_ascii_digit() {
        let (stamp, len) = iso(bytes)?;
        if !sure && (stamp.offset_secs.is_none() || bytes.get(10) != Some(&b'T')) {
            return None;
        }
        (stamp, line.get(len..)?)
    } else {
        let (stamp, len) = bsd(bytes)?;
        extended(stamp, line.get(len..)?, sure)
    };
    // Network gear ends its stamp with a colon and leaves the host out.
    Some((stamp, rest.strip_prefix(' ').or_else(|| rest.strip_prefix(':'))?))
}

/// What network gear adds to a stamp: `+08:00`, ` DST`, and the year behind it.
fn extended(mut stamp: Stamp, rest: &str, sure: bool) -> (Stamp, &str) {
    match rest.as_bytes() {
        [b'+' | b'-', ..] => {
            let Some((secs, len)) = offset(rest.as_bytes()) else { return (stamp, rest) };
            stamp.offset_secs = Some(secs);
            let rest = rest.get(len..).unwrap_or_default();
            let zoned = rest.strip_prefix(" DST").filter(|rest| rest.starts_with(' '));
            (stamp, zoned.unwrap_or(rest))
        }
        [b' ', b'1' | b'2', ..] if stamp.year.is_none() => match year_after(rest) {
            Some((year, rest)) if sure || gear::device(rest).is_some() => {
                stamp.year = Some(year);
                (stamp, rest)
            }
            _ => (stamp, rest),
        },
        _ => (stamp, rest),
    }
}

/// `host program[pid]: message`. Without a tag the host alone goes; without a host the tag is first.
fn host_and_tag<'a>(rest: &'a str, syslog: bool, out: &mut Out) -> Option<Header<'a>> {
    let bare = |message| Some(Header { program: None, message });
    if let Some(message) = rest.strip_prefix(' ') {
        let message = message.trim_start();
        // Ruijie puts its name behind the colon: `Nov 22 08:00:00: sw01 %LOGIN-5-…`.
        if let Some((name, behind)) =
            message.split_once(' ').filter(|(_, rest)| gear::mnemonic(rest))
        {
            if name != ":" && name.len() <= MAX_NAME {
                out.text(names::LOG_SYSLOG_HOSTNAME, name);
            }
            return bare(behind);
        }
        return bare(message);
    }
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    if first.is_empty() || first.len() > MAX_NAME || is_level(first) {
        return None;
    }
    // `[error] <0.1.0> text`, `16[IKE] text`, `system,info text`: no host is called so.
    if unlike_host(first) {
        return if syslog { bare(rest) } else { None };
    }
    // `stdout F message`: what a container wrote.
    if matches!(first, "stdout" | "stderr")
        && (matches!(behind, "F" | "P") || behind.starts_with("F ") || behind.starts_with("P "))
    {
        return None;
    }
    // `8 [Note] [MY-010926]`: MySQL puts the number of a thread behind its stamp.
    if behind.starts_with('[') && first.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if gear::marked(rest)
        || !first.is_ascii()
        || gear::begins_pair(first)
        || gear::is_envelope(first)
    {
        return bare(rest);
    }
    if let Some(name) = first.strip_suffix(':') {
        if gear::mnemonic(behind) {
            // `CST: %SYS-5-…` names a zone, `sw01: %SYS-5-…` a host.
            if !(2..=5).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_uppercase())
            {
                out.text(names::LOG_SYSLOG_HOSTNAME, name);
            }
            return bare(behind);
        }
        if let Some(header) = tag(rest, out) {
            return Some(header);
        }
    }
    if let Some((name, message)) = gear_behind(behind, out) {
        out.text(names::LOG_SYSLOG_HOSTNAME, name.unwrap_or(first));
        return bare(message);
    }
    out.text(names::LOG_SYSLOG_HOSTNAME, first);
    if let Some(header) = tag(behind, out).or_else(|| levelled(behind, out)) {
        return Some(header);
    }
    Some(Header { program: None, message: behind })
}

/// `notice mcpd[6901]: message`, with syslog's own word for the severity before the tag, as BIG-IP writes.
fn levelled<'a>(text: &'a str, out: &mut Out) -> Option<Header<'a>> {
    const WORDS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let (word, rest) = text.split_once(' ')?;
    let level = WORDS.iter().find(|known| **known == word)?;
    let written = out.fields.len();
    let header = tag(rest, out);
    match header {
        Some(_) if out.fields.len() > written + 1 => out.word(names::LOG_LEVEL, level),
        _ => {
            // Without a pid it may be prose: `info about: this`.
            out.fields.truncate(written);
            return None;
        }
    }
    header
}

/// Whether a word has signs that no name of a host has. An address may stand in brackets.
fn unlike_host(word: &str) -> bool {
    let strange =
        |byte: u8| matches!(byte, b'[' | b']' | b',' | b'<' | b'>' | b'{' | b'}' | b'"' | b'|');
    word.bytes().any(strange) && !word.ends_with(':') && scan::address(word).is_none()
}

/// What network gear writes behind the host: its mark, its own header behind a relay's, or pairs.
fn gear_behind<'a>(behind: &'a str, out: &mut Out) -> Option<(Option<&'a str>, &'a str)> {
    match *behind.as_bytes().first()? {
        b'%' => gear::marked(behind).then_some((None, behind)),
        b'*' | b':' | b'.' | b'0'..=b'9' => {
            let (hosts, time) = (out.fields.len(), out.time.replace(0));
            let found = gear::numbered(behind, out);
            out.fields.truncate(hosts);
            out.time = time;
            let device = || gear::device(behind).map(|(name, message)| (Some(name), message));
            found.map(|header| (None, header.message)).or_else(device)
        }
        byte if byte.is_ascii_alphanumeric() => {
            let end = behind.bytes().position(|byte| matches!(byte, b':' | b'[' | b' '))?;
            let relayed = behind.get(end..end + 3) == Some(" %%");
            let (name, message) = relayed.then(|| gear::device(behind)).flatten()?;
            Some((Some(name), message))
        }
        _ => None,
    }
}

/// `program[pid]: message`, `program: message`.
pub(super) fn tag<'a>(text: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let end = text.bytes().position(|byte| matches!(byte, b':' | b'[' | b' '))?;
    let (program, rest) = text.split_at(end);
    if program.is_empty() || program.len() > MAX_NAME {
        return None;
    }
    // The keys of an appliance's pairs are no programs; `polkitd(authority=local)` is one.
    let name = match program.split_once('(') {
        Some((name, _)) if program.ends_with(')') => name,
        _ => program,
    };
    if !program.is_ascii()
        || name.contains(['=', '|', '"'])
        || gear::is_code(program)
        || gear::is_envelope(text)
    {
        return None;
    }
    let (pid, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (pid, rest) = rest.split_once(']')?;
            (Some(pid), rest)
        }
        None => (None, rest),
    };
    let message = rest.strip_prefix(':')?;
    if pid.is_none() && is_key(program, message) {
        return None;
    }
    let program = base_name(program);
    out.text(names::PROCESS_NAME, program);
    if let Some(pid) = pid {
        out.digits(names::PROCESS_PID, pid);
    }
    Some(Header { program: Some(program), message: message.strip_prefix(' ').unwrap_or(message) })
}

/// Whether a tag is the key of an appliance's first pair: `srcip:192.0.2.1`, `SrcIP: 192.0.2.1`.
fn is_key(tag: &str, message: &str) -> bool {
    let Some(meaning) = network::meaning(tag) else { return false };
    match message.strip_prefix(' ') {
        None => !message.is_empty(),
        Some(value) => {
            // `Severity: Warning, Category: Audit, …` says itself that it is pairs.
            let next = value.split_once(", ").and_then(|(_, next)| next.split_once(": "));
            meaning.weight() > 1 && value.starts_with(|char: char| char.is_ascii_digit())
                || next.is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_alphabetic()))
        }
    }
}

/// Some programs give their whole path as their name.
fn base_name(program: &str) -> &str {
    match program.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() && program.starts_with('/') => name,
        _ => program,
    }
}

fn rfc5424<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let Ok(message) = parse_message_with_year_exact(line, |_| 0, Variant::RFC5424) else {
        return blank_date(line, out);
    };
    out.time = message.timestamp.and_then(|time| time.timestamp_nanos_opt());
    let whole = junos(line).or_else(|| bracketed(line, message.msg));
    Some(loose(message, whole, out))
}

/// Check Point's header where it is not RFC 5424's: a blank within the date, or a field too few before the
/// brackets.
fn blank_date<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let rest = priority(line).1.strip_prefix("1 ")?;
    let (stamp, length) = iso(rest.as_bytes())?;
    let message = bracketed(line, "")?;
    let mut words = rest.get(length..)?.split_ascii_whitespace();
    let (host, program) = (words.next()?, words.next()?);
    if unlike_host(host) {
        return None;
    }
    out.stamp(&stamp);
    out.text(names::LOG_SYSLOG_HOSTNAME, host);
    let program = Some(program).filter(|program| *program != "-" && !program.starts_with('['));
    if let Some(program) = program {
        out.text(names::PROCESS_NAME, program);
    }
    Some(Header { program, message })
}

/// What stands in the brackets where Check Point writes all of it there: `[action:"Drop"; src:"192.0.2.1"]`,
/// which is no structured data, or below its own number.
fn bracketed<'a>(line: &'a str, message: &str) -> Option<&'a str> {
    const NUMBER: &[u8] = b"@1.3.6.1.4.1.2620 ";
    let inside = message.trim().is_empty().then_some(line)?.strip_suffix(']')?;
    if let Some(at) = memchr::memmem::find(inside.as_bytes(), NUMBER) {
        return inside.get(at + NUMBER.len()..);
    }
    let at = memchr::memmem::find(inside.as_bytes(), b" [")?;
    let inside = inside.get(at + 2..)?;
    inside.split_once(":\"").is_some_and(|(key, _)| !key.contains([' ', '='])).then_some(inside)
}

/// The name of an event and what follows it, where Junos says all of it as structured data.
fn junos(line: &str) -> Option<&str> {
    let at = memchr::memmem::find(line.as_bytes(), b" [junos@")?;
    let start = line.get(..at)?.rfind(' ')? + 1;
    line.get(start..)
}

fn loose<'a>(message: Message<&'a str>, whole: Option<&'a str>, out: &mut Out) -> Header<'a> {
    let mut some = |id: FieldId, text: Option<&str>| {
        if let Some(text) = text {
            out.text(id, text);
        }
    };
    let program = message.appname.map(base_name);
    some(names::LOG_SYSLOG_HOSTNAME, message.hostname);
    some(names::PROCESS_NAME, program);
    some(names::LOG_SYSLOG_MSGID, message.msgid);
    match message.procid {
        Some(ProcId::PID(pid)) => out.integer(names::PROCESS_PID, pid.into()),
        Some(ProcId::Name(name)) => out.text(names::PROCESS_PID, name),
        None => {}
    }
    if let Some(message) = whole {
        return Header { program, message };
    }
    for element in &message.structured_data {
        structured(element, out);
    }
    Header { program, message: message.msg.trim_start_matches('\u{feff}') }
}

/// `[origin@32473 zone="dmz"]` as `log.syslog.structured_data.origin@32473.zone`.
fn structured(element: &StructuredElement<&str>, out: &mut Out) {
    if element.id.len() > MAX_NAME {
        return out.problem("a structured data element is left out: its name is too long");
    }
    for (name, value) in element.params().take(MAX_PARAMETERS) {
        let name = format!("log.syslog.structured_data.{}.{name}", element.id);
        match FieldId::outside(&name) {
            Some(id) => out.owned(id, &value),
            None => out.problem("a structured data parameter is left out: no room for its name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(Option<&str>, &str)>) {
        let mut out = Out::new("");
        out.begin(line, 1_700_000_000_000_000_000);
        let found = header(line, &mut out).map(|header| (header.program, header.message));
        assert_eq!(found, expected);
        assert_eq!(out.time.is_some(), expected.is_some(), "a header dates its line");
    }

    #[test]
    fn headers() {
        check("Dec 10 06:55:46 LabSZ sshd[24200]: hello", Some((Some("sshd"), "hello")));
        check("Dec  1 06:55:46 web01 su: hello", Some((Some("su"), "hello")));
        check("<38>Dec  1 06:55:46 web01 su: hello", Some((Some("su"), "hello")));
        check(
            "2024-05-03T12:34:56.123456+08:00 web01 CRON[7]: (root) CMD (x)",
            Some((Some("CRON"), "(root) CMD (x)")),
        );
        check("Dec 10 06:55:46 sshd[1]: no host", Some((Some("sshd"), "no host")));
        check("Dec 10 06:55:46 web01 -- MARK --", Some((None, "-- MARK --")));
        check("Dec 10 06:55:46 web01 last message: x", Some((None, "last message: x")));
        check("Dec 10 06:55:46 web01 /usr/sbin/cron[1]: x", Some((Some("cron"), "x")));
        check(
            "Dec 10 06:55:46 web01 kernel: [ 1.0] usb 1-1: x",
            Some((Some("kernel"), "[ 1.0] usb 1-1: x")),
        );
        check("<189>Dec 10 06:55:46: %LINK-3-UPDOWN: down", Some((None, "%LINK-3-UPDOWN: down")));
        check("Dec 10 06:55:46 h p[1]:", Some((Some("p"), "")));
        check("Dec 10 06:55:46 [error] no host", Some((None, "[error] no host")));
        check("Dec 10 06:55:46 16[IKE] no host", Some((None, "16[IKE] no host")));
        check("Dec 10 06:55:46 system,info router", Some((None, "system,info router")));
        check("Dec 10 06:55:46 [2001:db8::1] su: a host", Some((Some("su"), "a host")));
    }

    #[test]
    fn rfc5424_with_data() {
        check(
            "<34>1 2003-10-11T22:14:15.003Z host su - ID47 - \u{feff}'su root' failed",
            Some((Some("su"), "'su root' failed")),
        );
        check(
            "<165>1 2003-10-11T22:14:15.003Z host app 99 - [x@1 a=\"b\"] hi",
            Some((Some("app"), "hi")),
        );
    }

    #[test]
    fn lines_of_others_stay_whole() {
        for line in [
            "",
            "hello",
            "203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 1",
            "2024-05-03 12:34:56,123 INFO started",
            "2024-05-03T12:34:56Z INFO foo: started",
            "2026-11-22T09:14:23.123Z [error] <0.1.0> supervisor gave up",
            "2026-11-22T09:14:23.123Z <info> started",
            "<999>Dec 10 06:55:46 host su: x",
            "<12>anything at all",
            "Dec 32 06:5",
        ] {
            check(line, None);
        }
    }
}

//! The header syslog puts before a program's message.
//!
//! Files have it without a priority: `Dec 10 06:55:46 host sshd[1]: message` (RFC 3164) or, since
//! Debian 12, with an ISO stamp. Those two are read here by hand, every line passes through them.
//! RFC 5424 is read by syslog_loose. Its reading of RFC 3164 is not used: where host or tag are
//! missing it takes the first words of the message for them. A line that only begins like a header
//! is left whole.

use syslog_loose::{Message, ProcId, StructuredElement, Variant, parse_message_with_year_exact};

use super::out::Out;
use super::time::{Stamp, bsd, iso};
use crate::event::{FieldId, names};

/// The longest name a program or host is believed to have.
const MAX_NAME: usize = 255;
/// Parameters of one structured data element that become fields.
const MAX_PARAMETERS: usize = 64;
/// Facilities whose messages are security events: auth, authpriv, audit.
const SECURITY_FACILITIES: [u8; 3] = [4, 10, 13];
/// What stands behind the stamp in the logs of applications, where syslog has the host.
const LEVELS: &[&str] =
    &["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "PANIC"];

/// What is left of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) program: Option<&'a str>,
    pub(crate) message: &'a str,
}

/// Reads the header of a line and writes its fields; None when it has none.
pub(crate) fn header<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let (priority, rest) = priority(line);
    let found = match rest.as_bytes().first()? {
        b'0'..=b'9' if priority.is_some() && rest.as_bytes().get(1) == Some(&b' ') => {
            rfc5424(line, out)?
        }
        _ => match stamped(rest) {
            Some((stamp, rest)) => {
                let header = host_and_tag(rest, out)?;
                out.stamp(&stamp);
                header
            }
            None => return None,
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

fn priority(line: &str) -> (Option<u8>, &str) {
    let read = || {
        let (digits, rest) = line.strip_prefix('<')?.split_once('>')?;
        let priority: u8 = digits.parse().ok()?;
        (priority <= 191 && digits.len() <= 3)
            .then_some((Some(priority), rest.strip_prefix(' ').unwrap_or(rest)))
    };
    read().unwrap_or((None, line))
}

/// A stamp, a blank, and what follows. An ISO stamp must say its zone: one without is how
/// applications begin their lines, not syslog.
fn stamped(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    let (stamp, len) = if bytes.first()?.is_ascii_digit() {
        iso(bytes)
            .filter(|(stamp, _)| stamp.offset_secs.is_some() && bytes.get(10) == Some(&b'T'))?
    } else {
        bsd(bytes)?
    };
    // Network gear ends its stamp with a colon and leaves the host out.
    let rest = line.get(len..)?;
    Some((stamp, rest.strip_prefix(' ').or_else(|| rest.strip_prefix(':'))?))
}

/// `host program[pid]: message`. Without a tag the host alone goes; without a host the tag is first.
fn host_and_tag<'a>(rest: &'a str, out: &mut Out) -> Option<Header<'a>> {
    if let Some(message) = rest.strip_prefix(' ') {
        return Some(Header { program: None, message: message.trim_start() });
    }
    let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    if first.is_empty() || first.len() > MAX_NAME || LEVELS.contains(&first) {
        return None;
    }
    // `8 [Note] [MY-010926]`: MySQL puts the number of a thread behind its stamp.
    if behind.starts_with('[') && first.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if first.ends_with(':')
        && let Some(header) = tag(rest, out)
    {
        return Some(header);
    }
    out.text(names::LOG_SYSLOG_HOSTNAME, first);
    Some(tag(behind, out).unwrap_or(Header { program: None, message: behind }))
}

/// `program[pid]: message`, `program: message`.
fn tag<'a>(text: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let end = text.bytes().position(|byte| matches!(byte, b':' | b'[' | b' '))?;
    let (program, rest) = text.split_at(end);
    if program.is_empty() || program.len() > MAX_NAME {
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
    let program = base_name(program);
    out.text(names::PROCESS_NAME, program);
    if let Some(pid) = pid {
        out.digits(names::PROCESS_PID, pid);
    }
    Some(Header { program: Some(program), message: message.strip_prefix(' ').unwrap_or(message) })
}

/// Some programs give their whole path as their name.
fn base_name(program: &str) -> &str {
    match program.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() && program.starts_with('/') => name,
        _ => program,
    }
}

fn rfc5424<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let message = parse_message_with_year_exact(line, |_| 0, Variant::RFC5424).ok()?;
    out.time = message.timestamp.and_then(|time| time.timestamp_nanos_opt());
    Some(loose(message, out))
}

fn loose<'a>(message: Message<&'a str>, out: &mut Out) -> Header<'a> {
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
            "<999>Dec 10 06:55:46 host su: x",
            "<12>anything at all",
            "Dec 32 06:5",
        ] {
            check(line, None);
        }
    }
}

//! Headers that only network gear writes, where syslog's own are not found.
//!
//! Cisco numbers its lines and marks its clock (`1234: sw01: *Nov 22 08:00:00.123 CST: %SYS-5-…`), Comware
//! puts the year behind the time and the milliseconds behind a colon (`%Nov 22 08:00:00:123 2026 H3C
//! SHELL/6/…`), VRP writes a zone (`Nov 22 2026 08:00:00+08:00 DST FW01 %%01SSH/4/…`), and a relay puts its
//! own stamp and host in front. Security appliances send a priority and then their pairs at once.
//!
//! All of this may be written by anybody who reaches the port. Nothing here is believed but the order
//! of things: a stamp, a name without blanks, a mark of the vendor's. Looking for the mark ends after
//! [`MAX_HEADER`] bytes.

use super::out::Out;
use super::syslog::{Header, tag};
use super::time::{Stamp, bsd, iso, year_after};
use crate::event::names;

/// How far into a line a vendor's mark is looked for.
const MAX_HEADER: usize = 128;
/// Parts of a Cisco header, each with a colon behind it.
const MAX_PARTS: usize = 5;
/// The longest name of a host or a zone.
const MAX_NAME: usize = 64;

/// The header of a line that no stamp begins. `sure` says that a priority did, so that it is syslog.
pub(super) fn unstamped<'a>(line: &'a str, sure: bool, out: &mut Out) -> Option<Header<'a>> {
    match *line.as_bytes().first()? {
        b'%' => comware(line, out).or_else(|| (sure && marked(line)).then(|| bare(line))),
        b'0'..=b'9' => vrp(line, out)
            .or_else(|| numbered(line, out))
            .or_else(|| sure.then(|| dated(line, out)).flatten()),
        b'*' | b'.' | b':' => numbered(line, out),
        first if sure => {
            let behind = line.split_once(' ').map_or("", |(_, behind)| behind);
            let pairs = first >= 0x80 || matches!(first, b'{' | b'"');
            let pairs = pairs || begins_pair(line) || begins_pair(behind);
            if pairs || is_envelope(line) {
                return Some(bare(line));
            }
            let colon = line.bytes().position(|byte| byte == b':' || byte == b' ')?;
            let followed = line.get(colon..colon + 2) == Some(": ");
            followed.then(|| numbered(line, out).or_else(|| tag(line, out))).flatten()
        }
        _ => None,
    }
}

fn bare(message: &str) -> Header<'_> {
    Header { program: None, message }
}

/// Whether a line begins with a Cisco, Comware or VRP mark: `%SYS-5-CONFIG_I`, `%%10SHELL/5/…`.
pub(super) fn marked(text: &str) -> bool {
    mnemonic(text) || huawei(text)
}

/// `%FACILITY-SEVERITY-NAME`.
pub(super) fn mnemonic(text: &str) -> bool {
    let Some(text) = text.strip_prefix('%') else { return false };
    let mut parts = text
        .as_bytes()
        .get(..text.len().min(MAX_NAME))
        .unwrap_or_default()
        .split(|byte| *byte == b'-');
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let facility = parts.next().is_some_and(|part| {
        part.first().is_some_and(u8::is_ascii_uppercase) && part.iter().all(name)
    });
    facility && parts.any(|part| part.len() == 1 && part.iter().all(u8::is_ascii_digit))
}

fn huawei(text: &str) -> bool {
    matches!(text.as_bytes(), [b'%', b'%', a, b, ..] if a.is_ascii_digit() && b.is_ascii_digit())
}

/// Writes the severity that a mark says, on syslog's scale, unless a priority said it.
pub(super) fn severity(severity: u8, out: &mut Out) {
    if !out.has(names::LOG_SYSLOG_SEVERITY_CODE) {
        out.integer(names::LOG_SYSLOG_SEVERITY_CODE, severity.into());
    }
}

/// Whether a tag is the code of a Comware or VRP line: `IPSTRAP/4/THREATTRAP`.
pub(super) fn is_code(tag: &str) -> bool {
    let mut parts = tag.split('/').skip(1);
    parts
        .next()
        .is_some_and(|part| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit()))
        && parts.next().is_some()
}

/// Whether a line begins with `key=`.
pub(super) fn begins_pair(line: &str) -> bool {
    let end = line
        .bytes()
        .take(MAX_NAME)
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')));
    end.is_some_and(|end| end > 0 && line.as_bytes().get(end) == Some(&b'='))
}

/// Whether a line begins with CEF's or LEEF's own header.
pub(super) fn is_envelope(line: &str) -> bool {
    let version = line.strip_prefix("CEF:").or_else(|| line.strip_prefix("LEEF:"));
    version.is_some_and(|rest| rest.as_bytes().first().is_some_and(u8::is_ascii_digit))
}

/// `HOST %%01…`, maybe behind a relay's words: the device's own name, and the line from its mark on.
pub(super) fn device(rest: &str) -> Option<(&str, &str)> {
    let head = rest.get(..rest.floor_char_boundary(MAX_HEADER))?;
    let at = memchr::memmem::find(head.as_bytes(), b" %%")?;
    let message = rest.get(at + 1..)?;
    let name = rest.get(..at)?.rsplit(' ').next()?;
    (huawei(message) && !name.is_empty() && name.len() <= MAX_NAME).then_some((name, message))
}

/// `2026-11-22 08:00:00 FW01 %%01SECLOG/6/…`.
fn vrp<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let (stamp, length) = iso(line.as_bytes())?;
    let (name, message) = device(line.get(length..)?)?;
    out.stamp(&stamp);
    out.text(names::LOG_SYSLOG_HOSTNAME, name);
    Some(bare(message))
}

/// A date, and the vendor's own signs at once behind it, which stay.
fn dated<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let (stamp, length) = iso(line.as_bytes())?;
    let behind = line.as_bytes().get(length)?;
    if !matches!(behind, b'|' | b',' | b';' | b'\t') {
        return None;
    }
    out.stamp(&stamp);
    Some(bare(line))
}

/// `%Nov 22 08:00:00:123 2026 H3C SHELL/6/SHELL_CMD: …`.
fn comware<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let rest = line.strip_prefix('%')?;
    let (mut stamp, length) = bsd(rest.as_bytes())?;
    let mut rest = rest.get(length..)?;
    if let Some((millis, behind)) = rest.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
        let millis: u16 = millis.parse().ok().filter(|millis| *millis < 1_000)?;
        stamp.nanos = u32::from(millis) * 1_000_000;
        rest = rest.get(rest.len() - behind.len() - 1..)?;
    }
    if let Some((year, behind)) = year_after(rest) {
        stamp.year = Some(year);
        rest = behind;
    }
    let (name, message) = rest.strip_prefix(' ')?.split_once(' ')?;
    let module = message.split_once('/')?.0;
    let known = huawei(message)
        || !module.is_empty()
            && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !known || name.len() > MAX_NAME {
        return None;
    }
    out.stamp(&stamp);
    out.text(names::LOG_SYSLOG_HOSTNAME, name);
    Some(bare(message))
}

/// What Cisco writes before its mark: numbers, its name, a stamp or the time since it started.
pub(super) fn numbered<'a>(line: &'a str, out: &mut Out) -> Option<Header<'a>> {
    let mut rest = line;
    let (mut host, mut when): (Option<&str>, Option<Stamp>) = (None, None);
    for _ in 0..MAX_PARTS {
        rest = rest.trim_start_matches([' ', ':', '*', '.']);
        if mnemonic(rest) {
            if out.time.is_none()
                && let Some(when) = when
            {
                out.stamp(&when);
            }
            if let Some(host) = host {
                out.text(names::LOG_SYSLOG_HOSTNAME, host);
            }
            return Some(bare(rest));
        }
        // NX-OS puts the year first: `2026 Nov 22 08:00:00 CST: `.
        let year = rest.get(..4).filter(|_| rest.as_bytes().get(4) == Some(&b' '));
        let year = year
            .and_then(|year| year.parse::<i16>().ok())
            .filter(|year| (1970..2200).contains(year));
        let dated = if year.is_some() { rest.get(5..)? } else { rest };
        if let Some((stamp, length)) = bsd(dated.as_bytes()).or_else(|| iso(dated.as_bytes())) {
            let stamp = Stamp { year: year.or(stamp.year), ..stamp };
            let behind = dated.get(length..)?;
            // A zone may be named before the colon; a name says too little to reckon with.
            let (zone, behind) = behind.split_once(':')?;
            if zone.len() > MAX_NAME {
                return None;
            }
            when = Some(stamp);
            rest = behind;
            continue;
        }
        // Ruijie ends its name with a blank: `*Nov 22 08:00:00: sw01 %LOGIN-5-…`.
        if let Some((name, behind)) = rest.split_once(' ')
            && mnemonic(behind)
            && when.is_some()
            && !name.contains(':')
            && name.len() <= MAX_NAME
        {
            host = Some(name);
            rest = behind;
            continue;
        }
        let (word, behind) = rest.split_once(": ")?;
        if word.is_empty() || word.len() > MAX_NAME || word.contains(' ') {
            return None;
        }
        let number = word.as_bytes().first().is_some_and(u8::is_ascii_digit);
        if !number || super::scan::address(word).is_some() {
            host = Some(word);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::decode::out::Out;
    use crate::decode::syslog::header;
    use crate::event::names;

    /// The time, the host and the message of a line.
    #[track_caller]
    fn check(line: &str, time: &str, host: &str, message: &str) {
        let mut out = Out::new("");
        out.begin(line, 1_795_305_600_000_000_000);
        let found = header(line, &mut out).expect("a header");
        assert_eq!((found.program, found.message), (None, message), "{line}");
        let expected: Option<jiff::Timestamp> =
            (!time.is_empty()).then(|| format!("2026-11-22T{time}Z").parse().expect("a time"));
        let expected = expected.map(|time| i64::try_from(time.as_nanosecond()).expect("fits"));
        assert_eq!(out.time, expected, "{line}");
        let named = out.fields.iter().find(|(id, _)| *id == names::LOG_SYSLOG_HOSTNAME);
        let named = named.map(|(_, value)| match value {
            crate::event::Value::Text { start, len } => &line[*start as usize..][..*len as usize],
            _ => "?",
        });
        assert_eq!(named.unwrap_or_default(), host, "{line}");
    }

    #[test]
    fn cisco() {
        let message = "%SYS-5-CONFIG_I: Configured";
        for (header, time, host) in [
            ("<190>1234: *Nov 22 08:00:00.123: ", "08:00:00.123", ""),
            ("<190>1234: sw01: 001: .Nov 22 08:00:00.123 CST: ", "08:00:00.123", "sw01"),
            ("<190>Nov 22 08:00:00.123: ", "08:00:00.123", ""),
            ("<190>Nov 22 08:00:00 CST: ", "08:00:00", ""),
            ("<190>Nov 22 2026 08:00:00: ", "08:00:00", ""),
            ("<190>: 2026 Nov 22 08:00:00 CST: ", "08:00:00", ""),
            ("<190>31: 1w2d: ", "", ""),
            ("<190>31: 00:00:46: ", "", ""),
            ("<190>Nov 22 08:00:00 sw01 : ", "08:00:00", "sw01"),
            ("<166>:Nov 22 08:00:00 CST: ", "08:00:00", ""),
            ("Nov 22 08:00:00 192.0.2.1 77: *Nov 22 00:00:00.123: ", "08:00:00", "192.0.2.1"),
            ("Nov 22 08:00:00 sw01 ", "08:00:00", "sw01"),
            ("<190>Nov 22 08:00:00 sw01: ", "08:00:00", "sw01"),
            ("<190>*Nov 22 08:00:00: sw01 ", "08:00:00", "sw01"),
            ("*Nov 22 08:00:00: sw01 ", "08:00:00", "sw01"),
            ("<190>Nov 22 2026 08:00:00: sw01 ", "08:00:00", "sw01"),
            ("<190>", "", ""),
        ] {
            check(&format!("{header}{message}"), time, host, message);
        }
        check(
            "<166>Nov 22 2026 08:00:00 fw01 : %ASA-6-302013: Built",
            "08:00:00",
            "fw01",
            "%ASA-6-302013: Built",
        );
        check(
            "Nov 22 08:00:00 fw01 %ASA-6-302013: Built",
            "08:00:00",
            "fw01",
            "%ASA-6-302013: Built",
        );
    }

    #[test]
    fn vrp_and_comware() {
        let vrp = "%%01SHELL/5/CMD(l)[12]:x";
        for (header, time) in [
            ("<189>Nov 22 2026 08:00:00 FW01 ", "08:00:00"),
            ("Nov 22 2026 08:00:00 FW01 ", "08:00:00"),
            ("<189>Nov 22 2026 08:00:00+08:00 FW01 ", "00:00:00"),
            ("Nov 22 2026 08:00:00+08:00 DST FW01 ", "00:00:00"),
            ("<190>2026-11-22 08:00:00 FW01 ", "08:00:00"),
            ("2026-11-22 08:00:00 FW01 ", "08:00:00"),
            ("Nov 22 08:00:00 192.0.2.1 2026-11-22 07:00:00 FW01 ", "08:00:00"),
            ("2026-11-22T08:00:00Z 192.0.2.1 FW01 ", "08:00:00"),
            ("\u{feff}<189>Nov 22 2026 08:00:00 FW01 ", "08:00:00"),
            ("64 <189>Nov 22 2026 08:00:00 FW01 ", "08:00:00"),
            ("<189>Nov 22 08:00:00 2026 FW01 ", "08:00:00"),
            ("Nov 22 08:00:00 2026 FW01 ", "08:00:00"),
            ("<189> Nov 22 08:00:00 2026 FW01 ", "08:00:00"),
        ] {
            check(&format!("{header}{vrp}"), time, "FW01", vrp);
        }
        let shell = "SHELL/6/SHELL_CMD: -Line=vty0";
        check(&format!("%Nov 22 08:00:00:123 2026 H3C {shell}"), "08:00:00.123", "H3C", shell);
        check(&format!("<189>%Nov 22 08:00:00:123 2026 H3C {shell}"), "08:00:00.123", "H3C", shell);
        check(&format!("<189>Nov 22 08:00:00 2026 H3C {vrp}"), "08:00:00", "H3C", vrp);
    }

    #[test]
    fn pairs_at_once() {
        for (line, time, host, message) in [
            ("<189>date=2026-11-22 time=08:00:00 a=b", "", "", "date=2026-11-22 time=08:00:00 a=b"),
            ("<14>CEF:0|a|b|", "", "", "CEF:0|a|b|"),
            ("<14>attack serial=\"1\" sip=\"2\"", "", "", "attack serial=\"1\" sip=\"2\""),
            ("Nov 22 08:00:00 fw01 CEF:0|a|b|", "08:00:00", "fw01", "CEF:0|a|b|"),
            ("Nov 22 08:00:00 CEF:0|a|b|", "08:00:00", "", "CEF:0|a|b|"),
            ("<14>日志类型:登录, 源IP:192.0.2.1", "", "", "日志类型:登录, 源IP:192.0.2.1"),
            ("Nov 22 08:00:00 fw01 源IP:192.0.2.1", "08:00:00", "fw01", "源IP:192.0.2.1"),
            ("Nov 22 08:00:00 源IP:192.0.2.1 a", "08:00:00", "", "源IP:192.0.2.1 a"),
            ("Nov 22 08:00:00 fw01 src=2001:db8::1 a", "08:00:00", "fw01", "src=2001:db8::1 a"),
            ("<14>2026-11-22 08:00:00|!log|!a", "08:00:00", "", "2026-11-22 08:00:00|!log|!a"),
            ("<14>2026-11-22 08:00:00 fw01 src=1 a", "08:00:00", "fw01", "src=1 a"),
        ] {
            check(line, time, host, message);
        }
    }

    #[test]
    fn what_only_looks_like_gear() {
        for line in [
            "%Nov",
            "%Nov 22 08:00:00:9999 2026 H3C SHELL/6/X: y",
            "100% of it",
            "1234: *Nov 22 08:00:00: no mark",
            "12 monkeys <3",
            "2026-11-22 08:00:00 plain text",
            "*: %",
            "<190>%s",
        ] {
            let mut out = Out::new("");
            out.begin(line, 0);
            assert_eq!(header(line, &mut out), None, "{line}");
        }
    }
}

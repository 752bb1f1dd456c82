//! Python applications: tracebacks, joined to their line or alone, and the lines of the servers they run
//! in, uWSGI, Gunicorn and Django's own.
//!
//! ```text
//! [pid: 811|app: 0|req: 7/7] 192.0.2.7 () {40 vars in 600 bytes} [Sun Nov 22 08:00:00 2026] GET /a?b=c => generated 12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 71 bytes (1 switches on core 0)
//! [2026-11-22 08:00:00 +0800] [811] [INFO] Booting worker with pid: 812
//! [22/Nov/2026 08:00:00] "GET /a HTTP/1.1" 404 2000
//! ```
//!
//! In uWSGI's line the request stands bare between a date and words of the server: it is read from the
//! first date to the last of those words. Gunicorn's access log is the combined format (`access.rs`).

use super::access::requested;
use super::out::Out;
use super::{Decoder, ISO, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "python",
    datasets: &["python"],
    programs: &["gunicorn", "uwsgi", "python", "python3", "celery"],
    paths: &["uwsgi", "gunicorn", "django"],
    looks: Looks { first: &[b'[', b'T', ISO], test: looks_like },
    security: false,
    decode,
};

const TRACEBACK: &str = "Traceback (most recent call last):";
/// How much of a traceback is kept as a field; all of it is in the original.
const MAX_TRACE: usize = 8 * 1024;
/// Levels of Gunicorn.
const LEVELS: &[(&str, &str)] = &[
    ("DEBUG", "debug"),
    ("INFO", "info"),
    ("WARNING", "warning"),
    ("ERROR", "error"),
    ("CRITICAL", "critical"),
];

/// Whether a line may be one.
fn looks_like(line: &str) -> bool {
    match line.as_bytes().first() {
        Some(b'T') => line.starts_with(TRACEBACK),
        Some(b'[') => {
            line.starts_with("[pid: ") || gunicorn(line).is_some() || django(line).is_some()
        }
        // A stamped line with a traceback below it.
        _ if line.as_bytes().get(4) != Some(&b'-') => false,
        _ => line.split_once('\n').is_some_and(|(_, below)| below.starts_with(TRACEBACK)),
    }
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if text.starts_with("[pid: ") {
        return uwsgi(text, out).is_some();
    }
    let (first, below) = match text.split_once('\n') {
        Some((first, below)) if !text.starts_with(TRACEBACK) => (first, below),
        _ => (text, text),
    };
    if let Some((stamp, request, status, bytes)) = django(first) {
        out.stamp(&stamp);
        out.word(names::EVENT_CATEGORY, "web");
        out.outcome(status < 400);
        out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
        out.digits(names::HTTP_RESPONSE_BODY_BYTES, bytes);
        requested(request, out);
        return true;
    }
    let headed = gunicorn(first);
    if let Some((stamp, pid, level, said)) = &headed {
        out.stamp(stamp);
        if line.program.is_none() {
            out.digits(names::PROCESS_PID, pid);
        }
        out.word(names::LOG_LEVEL, level);
        if matches!(*level, "error" | "critical") && !below.starts_with(TRACEBACK) {
            out.some(names::ERROR_MESSAGE, said);
        }
    }
    if below.starts_with(TRACEBACK) {
        traceback(below, out);
        return true;
    }
    headed.is_some()
}

/// The exception of a traceback: that of the last one where several follow one another.
fn traceback(text: &str, out: &mut Out) {
    let end = text.floor_char_boundary(MAX_TRACE);
    out.text(names::ERROR_STACK_TRACE, &text[..end]);
    // The line behind the frames, which are indented.
    let last = text.rsplit(TRACEBACK).next().unwrap_or(text);
    let raised =
        last.split('\n').skip(1).find(|line| !line.is_empty() && !line.starts_with([' ', '\t']));
    let Some(raised) = raised else { return };
    let (class, said) = raised.split_once(": ").unwrap_or((raised, ""));
    let plain =
        class.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    if plain && class.len() <= 256 {
        out.text(names::ERROR_TYPE, class);
        out.some(names::ERROR_MESSAGE, said);
    }
}

/// `[2026-11-22 08:00:00 +0800] [811] [INFO] Booting worker`.
fn gunicorn(line: &str) -> Option<(time::Stamp, &str, &'static str, &str)> {
    let (head, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let (stamp, len) = time::iso(head.as_bytes())?;
    let zone = head.get(len..)?.strip_prefix(' ')?;
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours: i32 = zone.get(1..3)?.parse().ok()?;
    let minutes: i32 = zone.get(3..5)?.parse().ok()?;
    (hours < 24 && minutes < 60).then_some(())?;
    let (pid, rest) = rest.split_once("] [")?;
    let (level, said) = rest.split_once("] ")?;
    let (_, level) = LEVELS.iter().find(|(known, _)| *known == level)?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    let offset_secs = Some(sign * (hours * 3_600 + minutes * 60));
    Some((time::Stamp { offset_secs, ..stamp }, pid, level, said))
}

/// `[22/Nov/2026 08:00:00] "GET /a HTTP/1.1" 404 2000` of Django's own server: the request, the status and
/// the bytes.
fn django(line: &str) -> Option<(time::Stamp, &str, u16, &str)> {
    let (date, rest) = line.strip_prefix('[')?.split_once("] \"")?;
    let (stamp, len) = time::day_first(date.as_bytes(), b'/', b' ')?;
    if len != date.len() {
        return None;
    }
    let (request, rest) = rest.rsplit_once("\" ")?;
    let (status, bytes) = rest.trim_end().split_once(' ')?;
    bytes.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    Some((stamp, request, status.parse().ok()?, bytes))
}

/// A request as uWSGI logs it.
fn uwsgi(text: &str, out: &mut Out) -> Option<()> {
    let (head, rest) = text.strip_prefix("[pid: ")?.split_once("] ")?;
    let (pid, _) = head.split_once('|')?;
    let (client, rest) = rest.split_once(" (")?;
    let (user, rest) = rest.split_once(") {")?;
    let (_, rest) = rest.split_once("} [")?;
    let (date, rest) = rest.split_once("] ")?;
    let (request, rest) = rest.rsplit_once(" => generated ")?;
    let (bytes, rest) = rest.split_once(" bytes in ")?;
    let (millis, rest) = rest.split_once(" msecs")?;
    let (_, rest) = rest.split_once("(HTTP/")?;
    let (version, rest) = rest.split_once(' ')?;
    let (status, _) = rest.split_once(')')?;
    let status: u16 = status.parse().ok()?;
    if let Some(stamp) = time::asctime(date.as_bytes()) {
        out.stamp(&stamp);
    }
    out.word(names::EVENT_CATEGORY, "web");
    out.digits(names::PROCESS_PID, pid);
    if let Some(address) = scan::address(client) {
        out.address(names::SOURCE_IP, address);
    }
    out.some(names::USER_NAME, user);
    out.outcome(status < 400);
    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
    out.digits(names::HTTP_RESPONSE_BODY_BYTES, bytes);
    out.text(names::HTTP_VERSION, version);
    if let Ok(millis) = millis.parse::<u32>() {
        out.number(names::HENGWEI_WEB_REQUEST_SECONDS, f64::from(millis) / 1_000.0);
    }
    requested(request, out);
    Some(())
}

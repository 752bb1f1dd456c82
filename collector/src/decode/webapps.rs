//! PHP and its process manager, and the requests that Gin prints.
//!
//! ```text
//! [11-Feb-2026 08:00:00 Asia/Shanghai] PHP Fatal error:  Uncaught Error: x in /srv/his/ward.php:12
//! [11-Feb-2026 08:00:00] WARNING: [pool www] child 811 said into stderr: "…"
//! [GIN] 2026/02/11 - 08:00:00 | 200 |     1.234ms |     203.0.113.7 | GET      "/ward?id=7"
//! ```
//!
//! What a script prints stands behind the head and ends the line: it can claim nothing about the head. In
//! Gin's line everything but the path is the server's, and the path is last and quoted.

use super::access::located;
use super::out::Out;
use super::{Decoder, Looks, moment, scan, time};
use crate::event::names;

pub(crate) const PHP: Decoder = Decoder {
    name: "php",
    datasets: &["php"],
    programs: &["php-fpm", "php", "php-cgi"],
    paths: &["php"],
    looks: Looks { first: b"[P", test: |line| php_head(line).is_some() },
    security: false,
    decode: |line, out| php(line.message, out).is_some(),
};

pub(crate) const GIN: Decoder = Decoder {
    name: "gin",
    datasets: &["gin.access"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"[", test: |line| line.starts_with(MARK) },
    security: false,
    decode: |line, out| gin(line.message, out).is_some(),
};

const MARK: &str = "[GIN] ";

/// What PHP calls a message, and its level.
const ERRORS: &[(&str, &str)] = &[
    ("PHP Fatal error:  ", "fatal"),
    ("PHP Parse error:  ", "fatal"),
    ("PHP Recoverable fatal error:  ", "fatal"),
    ("PHP Warning:  ", "warning"),
    ("PHP Notice:  ", "notice"),
    ("PHP Deprecated:  ", "notice"),
    ("PHP Strict Standards:  ", "notice"),
    ("PHP Stack trace:", "info"),
];
/// Levels of the process manager.
const LEVELS: &[(&str, &str)] = &[
    ("NOTICE: ", "notice"),
    ("WARNING: ", "warning"),
    ("ERROR: ", "error"),
    ("ALERT: ", "alert"),
    ("DEBUG: ", "debug"),
];

struct Head<'a> {
    stamp: Option<time::Stamp>,
    level: &'static str,
    /// PHP's own rather than its process manager's.
    script: bool,
    said: &'a str,
}

fn php_head(line: &str) -> Option<Head<'_>> {
    let (stamp, text) = match line.strip_prefix('[') {
        Some(inner) => {
            // `11-Feb-2026`; Tomcat's lines have no bracket.
            if inner.as_bytes().get(2) != Some(&b'-') {
                return None;
            }
            let (stamp, rest) = moment::read(inner)?;
            let (zone, text) = rest.split_once("] ")?;
            let zoned = zone.trim_start().bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-' | b':')
            });
            if !zoned {
                return None;
            }
            (stamp, text)
        }
        None => (None, line),
    };
    let found = |table: &'static [(&'static str, &'static str)]| {
        table.iter().find_map(|(mark, level)| Some((*level, text.strip_prefix(mark)?)))
    };
    if let Some((level, said)) = found(ERRORS) {
        return Some(Head { stamp, level, script: true, said });
    }
    stamp?;
    let text = text.trim_start();
    if text.starts_with("[pool ") && text.contains("] pid ") {
        // A slow request; the frames follow.
        return Some(Head { stamp, level: "warning", script: false, said: text });
    }
    let (level, said) = found(LEVELS)?;
    Some(Head { stamp, level, script: false, said })
}

fn php(text: &str, out: &mut Out) -> Option<()> {
    let head = php_head(text)?;
    if let Some(stamp) = &head.stamp {
        out.stamp(stamp);
    }
    out.word(names::LOG_LEVEL, head.level);
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, head.said);
    }
    let pool = head.said.strip_prefix("[pool ").and_then(|rest| rest.split_once("] "));
    if let Some((pool, rest)) = pool {
        out.text(names::SERVICE_NAME, pool);
        // `child 811`, and `pid 811` of a slow request.
        let pid = rest.strip_prefix("child ").or_else(|| rest.strip_prefix("pid "));
        if let Some(pid) = pid.and_then(|pid| pid.split([' ', ',']).next())
            && !out.has(names::PROCESS_PID)
        {
            out.digits(names::PROCESS_PID, pid);
        }
    }
    let first = head.said.split('\n').next().unwrap_or(head.said);
    if head.script && head.level != "info" {
        out.some(names::ERROR_MESSAGE, first);
        if let Some((class, _)) =
            first.strip_prefix("Uncaught ").and_then(|rest| rest.split_once(':'))
            && class.len() <= 256
            && !class.contains(' ')
        {
            out.text(names::ERROR_TYPE, class);
        }
        // ` in FILE on line 12`, ` in FILE:12`; the message before it may hold the same words.
        if let Some((_, place)) = first.rsplit_once(" in /") {
            let end = place.find(" on line ").or_else(|| place.rfind(':')).unwrap_or(place.len());
            let at = first.len() - place.len() - 1;
            if let Some(path) = first.get(at..at + 1 + end) {
                out.text(names::FILE_PATH, path);
            }
        }
    } else if matches!(head.level, "error" | "alert") {
        out.some(names::ERROR_MESSAGE, first);
    }
    Some(())
}

/// `[GIN] STAMP | STATUS | DURATION | ADDRESS | METHOD "PATH"`.
fn gin(text: &str, out: &mut Out) -> Option<()> {
    let (stamp, rest) = moment::read(text.strip_prefix(MARK)?)?;
    let mut columns = rest.strip_prefix(" |")?.splitn(4, '|').map(str::trim);
    let status: i64 = columns.next()?.parse().ok()?;
    let _duration = columns.next()?;
    let address = columns.next()?;
    let (method, path) = columns.next()?.split_once(' ')?;
    let path = path.trim_start().strip_prefix('"')?;
    let path = path.split('\n').next().unwrap_or(path);
    let path = path.strip_suffix('"').unwrap_or(path);
    if !(100..600).contains(&status) || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    if let Some(stamp) = &stamp {
        out.stamp(stamp);
    }
    out.word(names::EVENT_CATEGORY, "web");
    out.outcome(status < 400);
    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
    out.text(names::HTTP_REQUEST_METHOD, method);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    located(path, out);
    Some(())
}

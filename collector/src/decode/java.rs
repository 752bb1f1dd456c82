//! Lines of Java applications: what Logback, Log4j and Spring Boot write by default, Tomcat's
//! `catalina.out` in one line or two, and stack traces, joined to their line or alone.
//!
//! ```text
//! 2026-11-22 08:00:00.123  INFO 4711 --- [nio-8080-exec-1] c.e.his.Ward : admitted
//! 2026-11-22 08:00:00,123 ERROR [main] com.example.his.Ward - failed
//! 22-Nov-2026 08:00:00.123 SEVERE [main] org.apache.catalina.startup.HostConfig.deployWAR failed
//! Nov 22, 2026 8:00:00 AM org.apache.catalina.startup.HostConfig deployWAR\nSEVERE: failed
//! ```
//!
//! The pattern is the application's choice, so a head is read piece by piece: a stamp, a level, a thread
//! in brackets, a logger before ` - ` or ` : `, in whatever order. A line nobody configured is only
//! claimed with a level and the dotted name of a class, or with the frames of a trace. Java logs escape
//! nothing: a value with a line feed can add lines that look like others. What is taken from a message is
//! therefore only what Tomcat itself says of deployments and lock-outs, from its own classes, and the few sentences of
//! `application/said.rs`.

mod trace;

use super::application::said;
use super::moment::CHINESE_MONTHS;
use super::out::Out;
use super::time::{self, Stamp};
use super::{ANY, Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "java",
    datasets: &["java"],
    programs: &["java", "tomcat", "tomcat9", "tomcat10", "catalina", "jsvc"],
    paths: &["catalina", "tomcat", "localhost.20", "spring", "java"],
    looks: Looks { first: ANY, test: looks_like },
    security: false,
    decode,
};

/// Levels as written, and as we say them.
const LEVELS: &[(&str, &str)] = &[
    ("INFO", "info"),
    ("ERROR", "error"),
    ("WARN", "warn"),
    ("DEBUG", "debug"),
    ("TRACE", "trace"),
    ("FATAL", "fatal"),
    ("WARNING", "warning"),
    ("SEVERE", "severe"),
    ("CONFIG", "config"),
    ("FINE", "fine"),
    ("FINER", "finer"),
    ("FINEST", "finest"),
    ("严重", "severe"),
    ("警告", "warning"),
    ("信息", "info"),
    ("配置", "config"),
    ("详细", "fine"),
];
/// Pieces of a head.
const MAX_PIECES: usize = 10;
/// What the words of the two-line form of `java.util.logging` end the stamp with.
const HALVES: &[&str] = &[" AM ", " PM ", " 上午 ", " 下午 "];

/// Whether a line may be one: a level and a class behind a stamp, or a trace.
fn looks_like(line: &str) -> bool {
    let bytes = line.as_bytes();
    // Where the first mark of a date or a time is, an address has a dot.
    let dated =
        |at: usize| bytes.get(at).is_some_and(|byte| matches!(byte, b'-' | b':' | b'/' | 0xe4..));
    if bytes.first().is_some_and(u8::is_ascii_digit) && !dated(2) && !dated(4) && !dated(1) {
        return false;
    }
    let first = line.split('\n').next().unwrap_or(line);
    match bytes.first() {
        Some(b'\t' | b' ') => trace::is_frame(first),
        Some(b'E' | b'C') if trace::begins(first) => true,
        Some(b'0'..=b'9' | b'[' | b'A'..=b'Z' | 0xe0..) => {
            two_lines(line).is_some() || head(first).is_some_and(|head| head.is_certain())
        }
        Some(b'a'..=b'z') => trace::begins(first) && trace::has_frames(line),
        _ => false,
    }
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if trace::begins(text) || trace::is_frame(text) {
        trace::read(text, out);
        return true;
    }
    if let Some(head) = two_lines(text) {
        return entry(&head, out);
    }
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    let Some(head) = head(first) else { return false };
    let known = !line.configured.is_empty() || line.program.is_some();
    let enough = head.is_certain() || known && head.level.is_some() || trace::has_frames(below);
    enough && entry(&Head { below, ..head }, out)
}

/// What a head says.
#[derive(Debug, Default, Clone)]
struct Head<'a> {
    stamp: Option<Stamp>,
    level: Option<&'static str>,
    thread: &'a str,
    pid: &'a str,
    logger: &'a str,
    said: &'a str,
    /// The lines below the first.
    below: &'a str,
}

impl Head<'_> {
    /// Whether it can hardly be another program's: a level, and a class or a Spring Boot head.
    fn is_certain(&self) -> bool {
        self.level.is_some()
            && self.logger.contains('.')
            && (self.stamp.is_some() || !self.thread.is_empty())
    }
}

fn entry(head: &Head<'_>, out: &mut Out) -> bool {
    if let Some(stamp) = &head.stamp {
        out.stamp(stamp);
    }
    if let Some(level) = head.level {
        out.word(names::LOG_LEVEL, level);
    }
    out.some(names::LOG_LOGGER, head.logger);
    out.some(names::PROCESS_THREAD_NAME, head.thread);
    if !head.pid.is_empty() {
        out.digits(names::PROCESS_PID, head.pid);
    }
    tomcat(head, out);
    said::read(head.logger, head.said, out);
    if trace::find(head.below, out) {
        return true;
    }
    if matches!(head.level, Some("error" | "severe" | "fatal")) {
        out.some(names::ERROR_MESSAGE, head.said);
    }
    true
}

/// Reads a trace in the lines below another decoder's line; false when there is none.
pub(super) fn trace_below(below: &str, out: &mut Out) -> bool {
    trace::find(below, out)
}

/// What Tomcat's own classes say of deployments and of users that are locked out.
fn tomcat(head: &Head<'_>, out: &mut Out) {
    let Some(class) = head.logger.strip_prefix("org.apache.catalina.") else { return };
    let inside = |text: &'_ str| {
        let (_, rest) = text.split_once('[')?;
        Some(rest.rsplit_once(']')?.0.to_owned())
    };
    if class.starts_with("startup.HostConfig") {
        let action = if head.said.starts_with("Deploying ") {
            "deploy"
        } else if head.said.starts_with("Undeploying ") {
            "undeploy"
        } else {
            return;
        };
        out.event("configuration", action);
        if let Some(path) = inside(head.said) {
            out.owned(names::FILE_PATH, &path);
        }
    } else if class.starts_with("realm.LockOutRealm") && head.said.contains("locked user") {
        out.event("authentication", "login");
        out.word(names::EVENT_REASON, "the user is locked out");
        out.outcome(false);
        if let Some(user) = inside(head.said) {
            out.owned(names::USER_NAME, &user);
        }
    }
}

/// A level, in brackets or not, with a colon or not.
fn level(word: &str) -> Option<&'static str> {
    let word = word.trim_matches(['[', ']', ':', '|']);
    LEVELS.iter().find(|(known, _)| *known == word).map(|(_, level)| *level)
}

/// A stamp in one of the forms of these logs, in brackets or not, and what follows.
fn stamp(text: &str) -> Option<(Stamp, &str)> {
    let inner = text.strip_prefix('[').unwrap_or(text);
    let bytes = inner.as_bytes();
    let (stamp, len) = time::iso(bytes)
        .or_else(|| time::day_first(bytes, b'-', b' '))
        .or_else(|| time::slashes(bytes))?;
    let rest = inner.get(len..)?;
    let rest = if inner.len() < text.len() { rest.strip_prefix(']')? } else { rest };
    Some((stamp, rest))
}

/// The pieces of a head of one line.
fn head(line: &str) -> Option<Head<'_>> {
    let mut head = Head::default();
    let mut rest = match stamp(line) {
        Some((stamp, rest)) => {
            head.stamp = Some(stamp);
            rest
        }
        // `08:00:00.123 [main] INFO …`: a time without a date, Logback's default.
        None if line.as_bytes().get(2) == Some(&b':') && line.as_bytes().get(5) == Some(&b':') => {
            line.split_once(' ')?.1
        }
        None => line,
    };
    // Tomcat puts nothing between the class and what it says.
    let bare = line.as_bytes().get(2) == Some(&b'-');
    let mut spring = false;
    for _ in 0..MAX_PIECES {
        rest = rest.trim_start_matches([' ', '|']);
        if head.stamp.is_none()
            && let Some((stamp, behind)) = stamp(rest)
        {
            head.stamp = Some(stamp);
            rest = behind;
            continue;
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (inner, behind) = bracket(inner)?;
            match level(inner) {
                Some(level) if head.level.is_none() => head.level = Some(level),
                // Spring Boot 3 puts the application's name before the thread.
                _ if head.thread.is_empty() || spring => head.thread = inner.trim(),
                _ => {}
            }
            rest = behind;
            continue;
        }
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        if head.level.is_none()
            && let Some(level) = level(word)
        {
            head.level = Some(level);
            rest = behind;
            continue;
        }
        if matches!(word, "---" | "-") && head.logger.is_empty() {
            spring |= word == "---";
            rest = behind;
            continue;
        }
        if head.pid.is_empty() && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
        {
            head.pid = word;
            rest = behind;
            continue;
        }
        head.level?;
        // The logger: before ` - ` or ` : `, with a colon of its own, or as Tomcat has it, bare.
        let name = word.strip_suffix(':').unwrap_or(word);
        let behind_name = behind.trim_start();
        let marked = ["- ", ": ", "-- "].iter().find_map(|mark| behind_name.strip_prefix(mark));
        let class = is_class(name);
        if class && let Some(said) = marked {
            head.logger = name;
            head.said = said;
        } else if class && (name.len() < word.len() || bare) {
            head.logger = name;
            head.said = behind;
        } else {
            head.said = rest;
        }
        return Some(head);
    }
    head.level.is_some().then_some(head)
}

/// The text up to the bracket that closes, with brackets of its own within.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

/// Whether a word may be the name of a class or of a logger.
fn is_class(word: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'$' | b'-' | b'/' | b'[' | b']')
    };
    !word.is_empty()
        && word.len() <= 256
        && word.bytes().all(plain)
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `Nov 22, 2026 8:00:00 AM com.example.Ward admit\nSEVERE: failed`, its month and half of the day also
/// in Chinese.
fn two_lines(text: &str) -> Option<Head<'_>> {
    let (first, second) = text.split_once('\n')?;
    let (at, half) = HALVES.iter().find_map(|half| Some((first.find(half)?, *half)))?;
    let (date, source) = (first.get(..at)?, first.get(at + half.len()..)?);
    let (word, said) = second.split_once(": ")?;
    let level = level(word)?;
    let (said, below) = said.split_once('\n').unwrap_or((said, ""));
    let afternoon = matches!(half, " PM " | " 下午 ");
    Some(Head {
        stamp: half_day(date, afternoon),
        level: Some(level),
        logger: source.split(' ').next().unwrap_or(source),
        said,
        below,
        ..Head::default()
    })
}

/// `Nov 22, 2026 8:00:00` or `十一月 22, 2026 8:00:00`, before noon or after.
fn half_day(date: &str, afternoon: bool) -> Option<Stamp> {
    let mut words = date.split(' ');
    let month = words.next()?;
    let month = match CHINESE_MONTHS.iter().position(|name| *name == month) {
        Some(at) => u8::try_from(at + 1).ok()?,
        None => match month.strip_suffix('月') {
            Some(digits) => digits.parse().ok()?,
            None => time::month(month.as_bytes())?,
        },
    };
    let day = words.next()?.strip_suffix(',')?.parse().ok()?;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':');
    let hour: u8 = clock.next()?.parse().ok()?;
    let hour = match (hour, afternoon) {
        (12, false) => 0,
        (1..=11, true) => hour + 12,
        _ => hour,
    };
    let (minute, second) = (clock.next()?.parse().ok()?, clock.next()?.parse().ok()?);
    Some(Stamp { year: Some(year), month, day, hour, minute, second, ..Stamp::default() })
}

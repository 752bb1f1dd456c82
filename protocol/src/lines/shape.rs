//! What the beginning of a line looks like: stamps, headers, the first words of traces.
//!
//! Every function looks at a bounded beginning of the line, but [`access`], and allocates nothing.

/// Months as logs write them.
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// Days as `ctime` writes them.
const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
/// Levels that stand before or behind a stamp.
const LEVELS: [&[u8]; 13] = [
    b"TRACE",
    b"DEBUG",
    b"INFO",
    b"NOTICE",
    b"WARN",
    b"WARNING",
    b"ERROR",
    b"SEVERE",
    b"FATAL",
    b"CRITICAL",
    b"FINE",
    b"CONFIG",
    b"ERR",
];
/// How the level of the second line of `java.util.logging` is written in English.
const JUL_LEVELS: [&[u8]; 7] =
    [b"SEVERE", b"WARNING", b"INFO", b"CONFIG", b"FINE", b"FINER", b"FINEST"];
/// Where the first segment of an HL7 message may begin in a line that a program put words before.
const PREFIX: usize = 256;
/// Longest class name of an exception.
const MAX_CLASS: usize = 256;
/// Longest month or level that is not ASCII.
const MAX_FOREIGN: usize = 16;
/// Most words before a stamp: a level, two numbers of process and thread.
const MAX_WORDS: usize = 2;

/// A cursor over the beginning of a line. Each step answers whether it was there and goes behind it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl<'a> Text<'a> {
    pub(super) fn skip(&mut self, prefix: &[u8]) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Takes the bytes for which `is` holds.
    pub(super) fn run(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is(*byte)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn digits(&mut self, count: usize) -> bool {
        match self.0.split_at_checked(count) {
            Some((digits, rest)) if digits.iter().all(u8::is_ascii_digit) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn one_of(&mut self, words: &[&[u8; 3]]) -> bool {
        words.iter().any(|word| self.skip(*word))
    }

    /// `08:00`, ` 8:00`, `8:00`, with seconds and a fraction when they follow.
    fn clock(&mut self) -> bool {
        let mut at = *self;
        at.skip(b" ");
        let hours = at.run(|byte| byte.is_ascii_digit()).len();
        if !(1..=2).contains(&hours) || !at.skip(b":") || !at.digits(2) {
            return false;
        }
        let mut seconds = at;
        if seconds.skip(b":") && seconds.digits(2) {
            at = seconds;
            if at.skip(b".") || at.skip(b",") || at.skip(b":") {
                at.run(|byte| byte.is_ascii_digit());
            }
        }
        *self = at;
        true
    }

    /// `2026-11-22` or `2026/11/22`.
    fn date(&mut self) -> bool {
        let mut at = *self;
        let century = at.0.starts_with(b"20") || at.0.starts_with(b"19");
        let there = century
            && at.digits(4)
            && (at.skip(b"-") || at.skip(b"/"))
            && at.digits(2)
            && (at.skip(b"-") || at.skip(b"/"))
            && at.digits(2);
        if there {
            *self = at;
        }
        there
    }

    /// `Z` or an offset of hours.
    fn zone(&mut self) -> bool {
        if self.skip(b"Z") {
            return true;
        }
        let mut at = *self;
        if !(at.skip(b"+") || at.skip(b"-")) || !at.digits(2) {
            return false;
        }
        at.skip(b":");
        at.digits(2);
        *self = at;
        true
    }
}

/// A syslog header: `<13>`, `Nov 22 08:00:00 `, or an ISO stamp with T and zone before host and tag.
pub(super) fn syslog_header(line: &[u8]) -> bool {
    match line.first() {
        Some(b'<') => {
            let mut at = Text(line);
            at.skip(b"<");
            (1..=3).contains(&at.run(|byte| byte.is_ascii_digit()).len()) && at.skip(b">")
        }
        Some(b'A'..=b'S') => {
            let mut at = Text(line);
            let day = |at: &mut Text<'_>| at.digits(2) || (at.skip(b" ") && at.digits(1));
            at.one_of(&MONTHS) && at.skip(b" ") && day(&mut at) && at.skip(b" ") && at.clock()
        }
        Some(b'1'..=b'2') => iso_syslog(line),
        _ => false,
    }
}

fn iso_syslog(line: &[u8]) -> bool {
    let mut at = Text(line);
    if !(at.date() && at.skip(b"T") && at.clock() && at.zone() && at.skip(b" ")) {
        return false;
    }
    let host = at.run(|byte| byte.is_ascii_graphic() && !matches!(byte, b'[' | b']'));
    let host_like = !host.is_empty() && !LEVELS.contains(&host);
    host_like && at.skip(b" ") && tag(&mut at)
}

/// `sshd[123]:`, `kernel:`.
fn tag(at: &mut Text<'_>) -> bool {
    let name = at.run(|byte| byte.is_ascii_alphanumeric() || b"-_./()@+".contains(&byte));
    if name.is_empty() {
        return false;
    }
    if at.skip(b"[") {
        at.run(|byte| byte.is_ascii_digit());
        at.skip(b"]");
    }
    at.skip(b":")
}

/// `… [22/Nov/2026:08:00:00 +0800] "GET …`, wherever in the line: what a web server writes.
pub(super) fn access(line: &[u8]) -> bool {
    memchr::memchr_iter(b'[', line).any(|bracket| {
        let mut at = Text(line.get(bracket + 1..).unwrap_or_default());
        at.digits(2)
            && at.skip(b"/")
            && at.one_of(&MONTHS)
            && at.skip(b"/")
            && at.digits(4)
            && at.skip(b":")
            && at.clock()
            && at.skip(b" ")
            && at.zone()
            && at.skip(b"] \"")
    })
}

/// What stamp a line of an application begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes of the line up to behind the time of day.
    pub(super) end: usize,
    /// Something stands before the date.
    pub(super) prefixed: bool,
    /// A T stands between date and time.
    pub(super) iso: bool,
}

/// The stamp at a line's beginning: a date with a time of day behind it, perhaps in brackets or
/// behind a level or two numbers; or a time of day with a fraction alone.
pub(super) fn stamp(line: &[u8]) -> Option<Stamp> {
    let mut at = Text(line);
    for _ in 0..=MAX_WORDS {
        let mut date = at;
        let bracket = date.skip(b"[");
        if let Some(iso) = dated(&mut date) {
            let prefixed = bracket || at.0.len() < line.len();
            return Some(Stamp { end: line.len() - date.0.len(), prefixed, iso });
        }
        if !word_before(&mut at) {
            break;
        }
    }
    let mut at = Text(line);
    let fraction = |at: &Text<'_>| {
        let read = line.get(..line.len() - at.0.len()).unwrap_or_default();
        read.len() >= b"08:00:00.123".len() && at.0.starts_with(b" ")
    };
    let timed = at.0.first().is_some_and(u8::is_ascii_digit) && at.clock() && fraction(&at);
    timed.then(|| Stamp { end: line.len() - at.0.len(), prefixed: false, iso: false })
}

/// A date and a time of day; whether a T is between them.
fn dated(at: &mut Text<'_>) -> Option<bool> {
    if at.date() {
        let iso = at.skip(b"T");
        return ((iso || at.skip(b" ")) && at.clock()).then_some(iso);
    }
    let written =
        at.digits(2) && at.skip(b"-") && at.one_of(&MONTHS) && at.skip(b"-") && at.digits(4);
    (written && at.skip(b" ") && at.clock()).then_some(false)
}

/// `INFO `, `[ERROR] `, `4711 `: what may stand before a stamp.
fn word_before(at: &mut Text<'_>) -> bool {
    let mut word = *at;
    let bracket = word.skip(b"[");
    let text = word.run(|byte| byte.is_ascii_alphanumeric());
    let known = LEVELS.contains(&text)
        || (!text.is_empty() && text.len() <= 20 && text.iter().all(u8::is_ascii_digit));
    if !known || (bracket && !word.skip(b"]")) {
        return false;
    }
    word.skip(b":");
    if word.run(|byte| matches!(byte, b' ' | b'\t' | b'|')).is_empty() {
        return false;
    }
    *at = word;
    true
}

/// `Nov 22, 2026 8:00:00 AM class method`, in whatever language the month is.
pub(super) fn jul_header(line: &[u8]) -> bool {
    let mut at = Text(line);
    let month = at.run(|byte| byte != b' ').len();
    let ascii = MONTHS.iter().any(|month| line.starts_with(*month)) && month == 3;
    let foreign = month <= MAX_FOREIGN
        && line.iter().take(month).any(|byte| !byte.is_ascii())
        && line.iter().take(month).all(|byte| !byte.is_ascii() || byte.is_ascii_digit());
    if !(ascii || foreign) || !at.skip(b" ") {
        return false;
    }
    let day = at.run(|byte| byte.is_ascii_digit()).len();
    (1..=2).contains(&day) && at.skip(b", ") && at.digits(4) && at.skip(b" ") && at.clock()
}

/// `SEVERE: `, in whatever language.
pub(super) fn jul_level(line: &[u8]) -> bool {
    let mut at = Text(line);
    let level = at.run(|byte| byte != b':' && byte != b' ');
    let foreign = !level.is_empty()
        && level.len() <= MAX_FOREIGN
        && level.first().is_some_and(|byte| !byte.is_ascii());
    (JUL_LEVELS.contains(&level) || foreign) && at.skip(b":")
}

/// `Sun Nov 22 08:00:00 2026` and nothing more but a zone.
pub(super) fn ctime_alone(line: &[u8]) -> bool {
    let mut at = Text(line);
    let day = |at: &mut Text<'_>| at.digits(2) || (at.skip(b" ") && at.digits(1));
    let read = at.one_of(&DAYS)
        && at.skip(b" ")
        && at.one_of(&MONTHS)
        && at.skip(b" ")
        && day(&mut at)
        && at.skip(b" ")
        && at.clock()
        && at.skip(b" ")
        && at.digits(4);
    if !read {
        return false;
    }
    if at.skip(b" ") {
        at.zone();
    }
    at.0.is_empty()
}

/// `STATUS:[1] '0'`: a field of Oracle's audit files.
pub(super) fn oracle_field(line: &[u8]) -> bool {
    let mut at = Text(line);
    let name = at.run(|byte| byte.is_ascii_uppercase() || matches!(byte, b' ' | b'$' | b'_'));
    if !name.first().is_some_and(u8::is_ascii_uppercase) || !at.skip(b":") {
        return false;
    }
    if at.skip(b"[") {
        at.run(|byte| byte.is_ascii_digit());
        at.skip(b"]");
    }
    at.skip(b" '") || at.skip(b" \"")
}

/// Begins with a blank or a tab.
pub(super) fn indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// `Caused by: `, `Suppressed: `, `... 12 more`: what a Java trace goes on with unindented.
pub(super) fn cause(line: &[u8]) -> bool {
    if line.starts_with(b"Caused by: ") || line.starts_with(b"Suppressed: ") {
        return true;
    }
    let mut at = Text(line);
    at.skip(b"... ") && !at.run(|byte| byte.is_ascii_digit()).is_empty() && at.skip(b" ")
}

/// `\tat com.example.Desk.open(Desk.java:12)`.
pub(super) fn frame(line: &[u8]) -> bool {
    let mut at = Text(line);
    !at.run(|byte| matches!(byte, b' ' | b'\t')).is_empty() && (at.skip(b"at ") || at.skip(b"... "))
}

/// The name of an exception class, alone or with its message: `java.io.IOException: no such file`.
pub(super) fn exception(line: &[u8]) -> bool {
    let mut at = Text(line);
    let name = at.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$'));
    if name.len() > MAX_CLASS || !matches!(at.0.first(), None | Some(b':')) {
        return false;
    }
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    let (package, class) = name.split_at(dot);
    let class = class.get(1..).unwrap_or_default();
    let parts = package.split(|byte| *byte == b'.');
    let named = |part: &[u8]| part.first().is_some_and(|first| !first.is_ascii_digit());
    let kinds: [&[u8]; 4] = [b"Exception", b"Error", b"Throwable", b"Failure"];
    class.first().is_some_and(u8::is_ascii_uppercase)
        && kinds.iter().any(|kind| class.ends_with(kind))
        && parts.into_iter().all(named)
}

/// The last line of a Python trace: `ValueError: no such ward`, `KeyboardInterrupt`.
pub(super) fn raised(line: &[u8]) -> bool {
    let mut at = Text(line);
    let name = at.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.len() <= MAX_CLASS
        && matches!(at.0.first(), None | Some(b':'))
}

/// Whether the first segment of an HL7 message begins in a line.
pub(super) fn hl7_header(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\x0b").unwrap_or(line);
    if line.starts_with(b"MSH|") {
        return true;
    }
    let head = line.get(..line.len().min(PREFIX)).unwrap_or_default();
    memchr::memchr_iter(b'|', head).any(|at| {
        line.get(..at).is_some_and(|before| before.ends_with(b"MSH"))
            && line.get(at..).is_some_and(|rest| rest.starts_with(b"|^~\\&"))
    })
}

/// A segment that goes on with an HL7 message: three letters and a bar, but not the head of another
/// message or batch.
pub(super) fn hl7_segment(line: &[u8]) -> bool {
    let mut at = Text(line);
    at.run(|byte| matches!(byte, b' ' | b'\t'));
    let [first, second, third, b'|', ..] = at.0 else { return false };
    let name = [*first, *second, *third];
    let digit = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    first.is_ascii_uppercase()
        && digit(second)
        && digit(third)
        && !matches!(&name, b"MSH" | b"FHS" | b"BHS" | b"FTS" | b"BTS")
}

/// One line of the kernel's audit: its type, and the node with the number of its event.
pub(super) struct Audit<'a> {
    pub(super) kind: &'a [u8],
    pub(super) node: &'a [u8],
    pub(super) event: &'a [u8],
}

/// `[node=x ]type=T msg=audit(S:N):`.
pub(super) fn audit(line: &[u8]) -> Option<Audit<'_>> {
    let mut at = Text(line);
    let mut node: &[u8] = b"";
    if at.skip(b"node=") {
        node = at.run(|byte| byte.is_ascii_graphic());
        at.skip(b" ").then_some(())?;
    }
    at.skip(b"type=").then_some(())?;
    let kind =
        at.run(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_[]".contains(&byte));
    at.skip(b" msg=audit(").then_some(())?;
    let event = at.run(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':'));
    let whole = !kind.is_empty() && event.contains(&b':') && at.skip(b"):");
    (whole && node.len() <= MAX_CLASS && event.len() <= 64).then_some(Audit { kind, node, event })
}

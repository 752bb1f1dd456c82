//! What a record may go on with, by what its first line is.

use super::shape::{self, Text};

/// What makes a Java and a Python trace begin.
const TRACEBACK: &[u8] = b"Traceback (most recent call last):";
const IN_THREAD: &[u8] = b"Exception in thread ";
/// What stands between the traces of two Python exceptions.
const DURING: &[u8] = b"During handling of the above exception";
const DIRECT: &[u8] = b"The above exception was the direct cause";
/// What Python database drivers say behind the line of the exception.
const HINTS: [&[u8]; 4] = [b"LINE ", b"DETAIL:", b"HINT:", b"CONTEXT:"];
/// Fields of an entry in apt's history.
const APT: [&[u8]; 10] = [
    b"Commandline: ",
    b"Requested-By: ",
    b"Comment: ",
    b"Install: ",
    b"Reinstall: ",
    b"Upgrade: ",
    b"Downgrade: ",
    b"Remove: ",
    b"Purge: ",
    b"Error: ",
];
/// Beginnings of audit types that user space reports: events of one line.
const LONE_AUDIT: [&[u8]; 8] =
    [b"USER", b"CRED_", b"SERVICE_", b"SYSTEM_", b"DAEMON_", b"CRYPTO_", b"PROCTITLE", b"EOE"];
/// Bytes of the random boundary of a ModSecurity audit section, at most.
const MAX_BOUNDARY: usize = 64;
/// Zone behind the stamp of a PostgreSQL CSV log, at most.
const MAX_ZONE: usize = 8;

/// What a record is, as far as its next line is concerned.
#[derive(Debug, Default)]
pub(super) enum Block {
    /// Complete: nothing belongs to it.
    #[default]
    Closed,
    /// Lines of one audit event.
    Audit { node: Vec<u8>, event: Vec<u8> },
    /// An application's line or a trace.
    Entry { classed: bool, numbered: bool },
    /// The first of the two lines of `java.util.logging`.
    Jul,
    /// A Python trace.
    Python(Python),
    /// An entry of MySQL's slow log.
    Slow { user: bool, body: bool },
    /// An entry of apt's history.
    Apt,
    /// Segments of one HL7 message.
    Hl7,
    /// A `ctime` alone, and the attributes below it.
    Detail,
    /// A CSV entry inside a quoted field.
    Quoted,
    /// A logged statement: all until the next stamp.
    Statement,
    /// The sections of one transaction in ModSecurity's own format.
    Sections { id: Vec<u8>, body: bool },
}

/// How far a Python trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Python {
    /// Among the frames.
    Frames,
    /// Behind the line of the exception.
    Raised,
    /// Behind an empty line after it.
    Apart,
    /// Behind the words that announce another trace.
    Announced,
}

/// What a line is to an open block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Not part of it.
    Ends,
    /// Part of it.
    Continues,
    /// Its last part.
    Completes,
}

impl Step {
    fn when(part: bool) -> Step {
        if part { Step::Continues } else { Step::Ends }
    }
}

impl Block {
    /// What a record is that begins with this line.
    pub(super) fn begin(line: &[u8]) -> Block {
        match Block::of(line) {
            Block::Closed => Block::Closed,
            _ if shape::access(line) => Block::Closed,
            block => block,
        }
    }

    fn of(line: &[u8]) -> Block {
        let Some(first) = line.first() else { return Block::Closed };
        // JSON documents and lines that came by syslog: most of what is read.
        if *first == b'{' || shape::syslog_header(line) {
            return Block::Closed;
        }
        if let Some(audit) = shape::audit(line) {
            if LONE_AUDIT.iter().any(|kind| audit.kind.starts_with(kind)) {
                return Block::Closed;
            }
            return Block::Audit { node: audit.node.to_vec(), event: audit.event.to_vec() };
        }
        if shape::hl7_header(line) {
            return Block::Hl7;
        }
        if let Some(stamp) = shape::stamp(line) {
            return stamped(line, stamp);
        }
        match first {
            b'#' if line.starts_with(b"# Time: ") => Block::Slow { user: false, body: false },
            b'#' if line.starts_with(b"# User@Host: ") => Block::Slow { user: true, body: false },
            b'S' if line.starts_with(b"Start-Date: ") => Block::Apt,
            b'T' if line.starts_with(TRACEBACK) => Block::Python(Python::Frames),
            b'-' => match boundary(line) {
                Some((id, b'A')) => Block::Sections { id: id.to_vec(), body: false },
                _ => Block::Closed,
            },
            _ if line.starts_with(IN_THREAD) || shape::cause(line) || shape::frame(line) => {
                Block::Entry { classed: true, numbered: false }
            }
            _ if shape::ctime_alone(line) => Block::Detail,
            _ if shape::jul_header(line) => Block::Jul,
            _ if shape::exception(line) => Block::Entry { classed: true, numbered: false },
            _ => Block::Closed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Block::Closed)
    }

    /// Takes the next line.
    pub(super) fn step(&mut self, line: &[u8]) -> Step {
        match self {
            Block::Closed => Step::Ends,
            Block::Audit { node, event } => match shape::audit(line) {
                Some(next) if next.event == event.as_slice() && next.node == node.as_slice() => {
                    let last = matches!(next.kind, b"EOE" | b"PROCTITLE");
                    if last { Step::Completes } else { Step::Continues }
                }
                _ => Step::Ends,
            },
            Block::Entry { .. } => self.entry(line),
            Block::Jul => {
                let part = shape::jul_level(line);
                *self = Block::Entry { classed: false, numbered: false };
                Step::when(part)
            }
            Block::Python(python) => python.step(line),
            Block::Slow { user, body } => slow(user, body, line),
            Block::Apt if line.starts_with(b"End-Date: ") => Step::Completes,
            Block::Apt => Step::when(APT.iter().any(|field| line.starts_with(field))),
            Block::Hl7 if line.first() == Some(&b'\x1c') => Step::Completes,
            Block::Hl7 => Step::when(shape::hl7_segment(line)),
            Block::Detail => Step::when(shape::indented(line) || shape::oracle_field(line)),
            Block::Quoted => {
                if balanced(line) {
                    Step::Continues
                } else {
                    Step::Completes
                }
            }
            Block::Statement => Step::when(!begins_statement(line)),
            Block::Sections { id, body } => sections(id, body, line),
        }
    }

    /// A line behind that of an application: a trace below it, or what it said on more lines.
    fn entry(&mut self, line: &[u8]) -> Step {
        let Block::Entry { classed, numbered } = self else { return Step::Ends };
        if shape::indented(line) {
            *classed |= shape::frame(line);
            return Step::Continues;
        }
        match line.first() {
            Some(b'C' | b'S' | b'.') if shape::cause(line) => {
                *classed = true;
                Step::Continues
            }
            // PHP: `Stack trace:` and `#0 /srv/www/login.php(12): check()`.
            Some(b'S') if line.starts_with(b"Stack trace:") => {
                *numbered = true;
                Step::Continues
            }
            // MyBatis and Spring tell of a statement below the exception.
            Some(b'#') if line.starts_with(b"### ") => Step::when(*classed),
            Some(b'#') => {
                let mut at = Text(line);
                let number = at.skip(b"#") && !at.run(|byte| byte.is_ascii_digit()).is_empty();
                Step::when(*numbered && number && at.skip(b" "))
            }
            Some(b';') => Step::when(*classed && line.starts_with(b"; ")),
            Some(b'T') if line.starts_with(TRACEBACK) => {
                *self = Block::Python(Python::Frames);
                Step::Continues
            }
            _ if !*classed && shape::exception(line) => {
                *classed = true;
                Step::Continues
            }
            _ => Step::Ends,
        }
    }
}

impl Python {
    fn step(&mut self, line: &[u8]) -> Step {
        let announced = line.starts_with(DURING) || line.starts_with(DIRECT);
        let next = match self {
            Python::Frames if shape::indented(line) => Python::Frames,
            Python::Frames if shape::raised(line) => Python::Raised,
            Python::Raised if shape::indented(line) => Python::Raised,
            Python::Raised if HINTS.iter().any(|hint| line.starts_with(hint)) => Python::Raised,
            Python::Raised if line.is_empty() => Python::Apart,
            Python::Raised | Python::Apart if announced => Python::Announced,
            Python::Announced if line.is_empty() => Python::Announced,
            Python::Announced if line.starts_with(TRACEBACK) => Python::Frames,
            _ => return Step::Ends,
        };
        *self = next;
        Step::Continues
    }
}

/// What a stamped line of an application begins.
fn stamped(line: &[u8], stamp: shape::Stamp) -> Block {
    let mut rest = Text(line.get(stamp.end..).unwrap_or_default());
    if is_statement(stamp, rest) {
        return Block::Statement;
    }
    // PostgreSQL's CSV is the one log with a comma right behind the zone.
    if !stamp.prefixed && !stamp.iso && rest.skip(b" ") {
        let zone =
            rest.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b':'));
        if (1..=MAX_ZONE).contains(&zone.len()) && rest.skip(b",") {
            return if balanced(line) { Block::Closed } else { Block::Quoted };
        }
    }
    Block::Entry { classed: false, numbered: false }
}

/// Whether a stamp is followed by what begins a logged statement: `(EP[0] ` of Dameng, or a tab, the
/// connection's number and a command of MySQL's general log. Or by nothing but its zone, as in the alert
/// log of Oracle, where the text of an entry stands below.
fn is_statement(stamp: shape::Stamp, mut rest: Text<'_>) -> bool {
    if !stamp.iso {
        return rest.skip(b" (EP[");
    }
    let zone = rest.run(|byte| matches!(byte, b'Z' | b'+' | b'-' | b':') || byte.is_ascii_digit());
    let alone = !zone.is_empty() && rest.0.is_empty();
    alone || (rest.skip(b"\t") && connection(&mut rest))
}

/// `   12 Query\t`.
fn connection(at: &mut Text<'_>) -> bool {
    at.run(|byte| byte == b' ');
    let number = !at.run(|byte| byte.is_ascii_digit()).is_empty() && at.skip(b" ");
    number && at.0.first().is_some_and(u8::is_ascii_uppercase)
}

/// Whether a line is the next entry behind a logged statement.
fn begins_statement(line: &[u8]) -> bool {
    shape::stamp(line).is_some() || shape::syslog_header(line)
}

/// An entry of MySQL's slow log: comments with its figures, then the statement up to a semicolon.
fn slow(user: &mut bool, body: &mut bool, line: &[u8]) -> Step {
    if line.starts_with(b"# Time: ") {
        return Step::Ends;
    }
    if line.starts_with(b"# User@Host: ") {
        let first = !*user && !*body;
        *user = true;
        return Step::when(first);
    }
    if !*user {
        return Step::Ends;
    }
    if !*body && line.starts_with(b"# ") {
        let lone = line.starts_with(b"# administrator command: ");
        return if lone { Step::Completes } else { Step::Continues };
    }
    let opening = line.starts_with(b"SET timestamp=") || line.starts_with(b"use ");
    if !*body && opening {
        return Step::Continues;
    }
    *body = true;
    if line.ends_with(b";") { Step::Completes } else { Step::Continues }
}

/// A transaction ends with its own last section, or where another begins. A request or an answer may hold a
/// line that looks like another's beginning, so in their sections it is none.
fn sections(id: &[u8], body: &mut bool, line: &[u8]) -> Step {
    match boundary(line) {
        Some((own, part)) if own == id => {
            *body = matches!(part, b'C' | b'E' | b'I' | b'J');
            if part == b'Z' { Step::Completes } else { Step::Continues }
        }
        Some((_, b'A')) => Step::when(*body),
        _ => Step::Continues,
    }
}

/// The boundary of a section of ModSecurity's audit log and the section's letter: `--a1b2c3d4-A--`.
fn boundary(line: &[u8]) -> Option<(&[u8], u8)> {
    let [id @ .., b'-', part, b'-', b'-'] = line.strip_prefix(b"--")? else { return None };
    let whole = (8..=MAX_BOUNDARY).contains(&id.len()) && id.iter().all(u8::is_ascii_alphanumeric);
    whole.then_some((id, *part))
}

/// Whether every quote of a line is closed in it.
fn balanced(line: &[u8]) -> bool {
    line.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2)
}

//! The head of an application's line: its pieces from the left, until one that is none.
//!
//! A piece is a stamp, a level, something in brackets, or a word that cannot be anything but a number, a
//! thread or a logger. Before the stamp and the level were met, a word that is none of these ends the
//! reading and the line is not ours; after both, it is the first of the message. The number of pieces and
//! the length of each are bounded, so a line costs what its head costs.

use super::super::moment;
use super::super::time::{self, Stamp};
use super::level::{LETTERS, level};

/// Pieces of a head.
const MAX_PIECES: usize = 9;
/// The longest text in brackets, and the longest word, that is a piece.
const MAX_PIECE: usize = 160;
/// Loggers of Django stand before the message with nothing between.
const DJANGO: &str = "django.";
/// Names in a row before a level.
const MAX_NAMES: usize = 3;

/// What a head says.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Head<'a> {
    /// None where the date may be read in two ways.
    pub(super) stamp: Option<Stamp>,
    pub(super) level: &'static str,
    pub(super) thread: &'a str,
    pub(super) logger: &'a str,
    pub(super) pid: &'a str,
    pub(super) said: &'a str,
    /// Written by Ruby's logger.
    pub(super) ruby: bool,
}

/// Reads the head of a line; None when it has no stamp or no level.
pub(super) fn read(line: &str) -> Option<Head<'_>> {
    if let Some(head) = klog(line) {
        return Some(head);
    }
    if let Some(rest) = line.strip_prefix("[#|") {
        return uniform(rest);
    }
    let mut reader = Reader { rest: line, ..Reader::default() };
    // Ruby's logger has the letter of the level first: `I, [STAMP #PID]  INFO -- : `.
    if let Some((letter, rest)) = line.split_at_checked(3)
        && letter.ends_with(", ")
        && rest.starts_with('[')
    {
        reader.head.ruby = true;
        reader.rest = rest;
    }
    for _ in 0..MAX_PIECES {
        match reader.piece() {
            Step::Goes => {}
            Step::Ends => break,
            Step::Refused => return None,
        }
    }
    reader.finish()
}

enum Step {
    Goes,
    /// The rest is the message.
    Ends,
    Refused,
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a str,
    head: Head<'a>,
    dated: bool,
    names: usize,
}

impl<'a> Reader<'a> {
    fn complete(&self) -> bool {
        self.dated && !self.head.level.is_empty()
    }

    fn finish(mut self) -> Option<Head<'a>> {
        if !self.complete() {
            return None;
        }
        self.head.said = self.rest.trim_start_matches([' ', '\t', '|', ':', ',', ';']);
        // Kafka's pattern ends in the logger: `started (kafka.server.KafkaServer)`.
        if self.head.logger.is_empty()
            && let Some((said, logger)) =
                self.head.said.strip_suffix(')').and_then(|said| said.rsplit_once(" ("))
            && logger.contains('.')
            && is_name(logger)
        {
            self.head.logger = logger;
            self.head.said = said;
        }
        // ActiveMQ's in logger and thread: `| started | org.apache.activemq.broker.BrokerService | main`.
        let mut columns = self.head.said.rsplitn(3, " | ");
        if self.head.logger.is_empty()
            && let (Some(thread), Some(logger), Some(said)) =
                (columns.next(), columns.next(), columns.next())
            && logger.contains('.')
            && is_name(logger)
        {
            self.head.thread = thread;
            self.head.logger = logger;
            self.head.said = said;
        }
        Some(self.head)
    }

    /// Takes one piece off the rest.
    fn piece(&mut self) -> Step {
        let blank = self.rest.trim_start_matches([' ', '\t', '|', ',', ';']);
        // A pattern with pipes or tabs ends every piece with one.
        let columns = self.rest.get(..self.rest.len() - blank.len()).unwrap_or_default();
        let columns = columns.contains(['|', '\t']);
        self.rest = blank;
        for mark in ["---- ", "--- ", "-- ", "- ", ": ", "~ ", ":"] {
            if let Some(behind) = self.rest.strip_prefix(mark) {
                self.rest = behind;
                return if self.complete() && !self.name_follows(columns) {
                    Step::Ends
                } else {
                    Step::Goes
                };
            }
        }
        if !self.dated
            && let Some((stamp, behind)) = moment::read(self.rest)
        {
            self.head.stamp = stamp;
            self.dated = true;
            self.rest = behind;
            return Step::Goes;
        }
        match bracket(self.rest) {
            Some((inner, behind)) => self.bracketed(inner, behind),
            None => self.word(columns),
        }
    }

    /// Text in brackets: a stamp, a level, numbers, a thread, a logger, or the message itself.
    fn bracketed(&mut self, inner: &'a str, behind: &'a str) -> Step {
        let text = inner.trim();
        if !self.dated
            && let Some((stamp, more)) = moment::read(text)
        {
            self.head.stamp = stamp;
            self.dated = true;
            self.rest = behind;
            return self.beside_stamp(more);
        }
        if self.complete() && text.starts_with('"') {
            return Step::Ends;
        }
        if self.complete() && behind.is_empty() {
            // `[started]` at the end of a pattern that has all in brackets.
            self.rest = inner;
            return Step::Ends;
        }
        self.rest = behind;
        if self.head.level.is_empty() {
            if let Some(level) = level(text, true) {
                self.head.level = level;
                return Step::Goes;
            }
            // `[signals INFO]`, `[INFO main]`.
            if let Some((left, right)) = text.split_once(' ')
                && let Some(level) = level(left, false).or_else(|| level(right, false))
            {
                self.head.level = level;
                return Step::Goes;
            }
        }
        self.named(text);
        Step::Goes
    }

    /// What stands behind a stamp within its brackets: ` INFO  his::ward`, ` #811`, `,123 main`.
    fn beside_stamp(&mut self, more: &'a str) -> Step {
        for word in more.split([' ', ',']).filter(|word| !word.is_empty()).take(4) {
            if let Some(pid) = word.strip_prefix('#') {
                self.head.pid = digits(pid);
            } else if self.head.level.is_empty()
                && let Some(level) = level(word, false)
            {
                self.head.level = level;
            } else if is_name(word) {
                self.named(word);
            }
        }
        Step::Goes
    }

    /// A thread or a logger, whichever it looks like.
    fn named(&mut self, text: &'a str) {
        let class = (text.contains('.') || text.contains("::"))
            && is_name(text)
            && !text.starts_with(|char: char| char.is_ascii_digit());
        if class && self.head.logger.is_empty() {
            self.head.logger = text;
        } else if self.head.thread.is_empty() && !text.is_empty() && text.len() <= MAX_PIECE {
            self.head.thread = text;
        }
    }

    /// A word without brackets.
    fn word(&mut self, columns: bool) -> Step {
        let levelled = !self.head.level.is_empty();
        let ends =
            |char| matches!(char, ' ' | '\t' | '|') || !levelled && matches!(char, ',' | ';');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let Some((word, behind)) = self.rest.split_at_checked(end) else { return Step::Refused };
        if word.is_empty() || word.len() > MAX_PIECE {
            return self.stop();
        }
        if self.head.level.is_empty() {
            return self.before_level(word, behind, columns);
        }
        if !self.dated {
            // Cassandra has the thread in brackets; here is a word where only a stamp may be.
            return Step::Refused;
        }
        let name = word.strip_suffix(':').unwrap_or(word);
        let next = behind.trim_start_matches(' ');
        if self.head.pid.is_empty() && !digits(word).is_empty() && next.starts_with(['-', '[']) {
            self.head.pid = word;
            self.rest = next;
            return Step::Goes;
        }
        if self.head.logger.is_empty() && name.contains('.') && next.starts_with('[') {
            self.named(name);
            self.rest = next;
            return Step::Goes;
        }
        let marked = ["- ", "-- ", ": ", "~ ", "|", "\t"].iter().any(|mark| next.starts_with(mark))
            || name.len() < word.len() && name.contains(['.', ':', '/']);
        let marked = marked || name.starts_with(DJANGO);
        let fits = is_name(name)
            && name.starts_with(|char: char| char.is_ascii_alphabetic())
            && (marked || columns && name.contains(['.', ':', '/']));
        if fits && self.head.logger.is_empty() {
            self.head.logger = name;
            self.rest = if name.len() < word.len() { behind } else { next };
            let said = self.rest.trim_start_matches(' ');
            for mark in ["- ", "-- ", ": ", "~ "] {
                if let Some(behind) = said.strip_prefix(mark) {
                    self.rest = behind;
                    break;
                }
            }
            return Step::Ends;
        }
        Step::Ends
    }

    /// A word while no level was met: a level, a number, or a name that a separator ends.
    fn before_level(&mut self, word: &'a str, behind: &'a str, columns: bool) -> Step {
        let ended = columns || behind.starts_with(['|', '\t', ',', ';']) || word.ends_with(':');
        if let Some(level) = word.strip_prefix("level=").and_then(|word| level(word, true)) {
            self.head.level = level;
            self.rest = behind;
            return Step::Goes;
        }
        // Jetty: `:INFO:oejs.Server:main: started`.
        if let Some((first, _)) = word.split_once(':').filter(|(_, more)| !more.is_empty())
            && let Some(level) = level(first, true)
        {
            self.head.level = level;
            self.rest = self.rest.get(first.len() + 1..).unwrap_or_default();
            return Step::Goes;
        }
        if let Some(level) = level(word, ended) {
            self.head.level = level;
            self.rest = behind;
            return Step::Goes;
        }
        // Monolog: `production.ERROR: `; Serilog and others: `level=`.
        if let Some((channel, last)) = word.strip_suffix(':').and_then(|word| word.rsplit_once('.'))
            && let Some(level) = level(last, false)
        {
            self.head.level = level;
            self.head.logger = channel;
            self.rest = behind;
            return Step::Ends;
        }
        if self.names >= MAX_NAMES || !self.dated && self.names > 0 {
            return Step::Refused;
        }
        self.names += 1;
        let number = word.trim_end_matches(':');
        if !digits(number).is_empty() {
            self.head.pid = if self.head.pid.is_empty() { number } else { self.head.pid };
            self.rest = behind;
            return Step::Goes;
        }
        if !self.dated {
            return Step::Refused;
        }
        let dashed = behind.starts_with(" - ") || behind.starts_with(" [");
        // `app INFO`: one word in small letters between a stamp and a level in capitals.
        let next = behind.trim_start_matches(' ').split(' ').next().unwrap_or_default();
        let small = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let thread = word.contains(['-', '.', '_', '#', '/'])
            || small
                && self.names == 1
                && self.head.thread.is_empty()
                && level(next, false).is_some();
        if is_name(word.trim_end_matches(':')) && (ended || dashed || thread) {
            self.named(word.trim_end_matches(':'));
            self.rest = behind;
            return Step::Goes;
        }
        Step::Refused
    }

    /// Ends where there is no further piece.
    fn stop(&self) -> Step {
        if self.complete() { Step::Ends } else { Step::Refused }
    }

    /// Whether what follows a mark is one more bracket or a logger rather than the message.
    fn name_follows(&self, columns: bool) -> bool {
        if self.rest.starts_with(['[', '【']) && self.head.thread.is_empty() {
            return true;
        }
        let end = self.rest.find([' ', '|']).unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default();
        let behind = self.rest.get(end..).unwrap_or_default();
        let marked = [" - ", " : ", " -- "].iter().any(|mark| behind.starts_with(mark));
        self.head.logger.is_empty()
            && word.contains(['.', ':', '_'])
            && is_name(word)
            && (marked || columns)
    }
}

/// `I1122 08:00:00.123456     811 server.go:12] started`, as Kubernetes and other Go programs write it.
fn klog(line: &str) -> Option<Head<'_>> {
    let letter = line.bytes().next()?;
    let (_, level) = LETTERS.iter().find(|(known, _)| *known == letter)?;
    let (stamp, len) = time::glog(line.as_bytes().get(1..)?)?;
    let rest = line.get(len + 1..)?.trim_start_matches(' ');
    let (thread, rest) = rest.split_once(' ')?;
    let (logger, said) = rest.split_once("] ")?;
    let ours = !digits(thread).is_empty() && logger.contains(':') && is_name(logger);
    let (pid, logger) = (thread, logger);
    ours.then(|| Head { stamp: Some(stamp), level, pid, logger, said, ..Head::default() })
}

/// `STAMP|LEVEL|PRODUCT|LOGGER|KEYS|TEXT|#]` behind `[#|`, as GlassFish and what was made of it write.
fn uniform(text: &str) -> Option<Head<'_>> {
    let mut fields = text.splitn(6, '|');
    let (stamp, rest) = moment::read(fields.next()?)?;
    let level = level(fields.next()?, true)?;
    let (_product, logger, _keys) = (fields.next()?, fields.next()?, fields.next()?);
    let said = fields.next()?;
    let said = said.strip_suffix("|#]").unwrap_or(said);
    let logger = if is_name(logger) { logger } else { "" };
    rest.is_empty().then(|| Head { stamp, level, logger, said, ..Head::default() })
}

/// Text in brackets at the beginning, and what follows them.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let close = match open {
        '[' => ']',
        '(' => ')',
        '<' => '>',
        '{' => '}',
        '【' => '】',
        _ => return None,
    };
    let mut depth = 0usize;
    for (at, char) in text.char_indices().take(MAX_PIECE) {
        if char == open {
            depth += 1;
        } else if char == close {
            depth -= 1;
        }
        if depth == 0 {
            let inner = text.get(open.len_utf8()..at)?;
            return Some((inner, text.get(at + close.len_utf8()..)?));
        }
    }
    None
}

/// The word when it is all digits, else nothing.
fn digits(word: &str) -> &str {
    let number = !word.is_empty() && word.len() <= 20 && word.bytes().all(|b| b.is_ascii_digit());
    if number { word } else { "" }
}

/// Whether a word may be the name of a thread, a logger, or a place in a file.
fn is_name(word: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'$' | b'-' | b'/' | b':' | b'#' | b'@' | b'\\')
    };
    !word.is_empty() && word.len() <= MAX_PIECE && word.bytes().all(plain)
}

#[cfg(test)]
mod tests;

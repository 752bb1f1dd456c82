//! A line of an application's log: its level, logger, thread, message, exception and trace.
//!
//! The names are those of the usual libraries: Logback, Log4j, JBoss, Serilog, NLog, pino, bunyan, winston, zap,
//! zerolog, logrus, slog, Python's JSON formatters, GELF. A level is a word, or one of the numbers that pino
//! and bunyan write; without one a `name` or a `file` is just anything and stays what it is.

use super::roles::Key;
use super::shapes::Picture;
use crate::decode::out::Out;
use crate::event::{Value, names};

/// Levels as written, without case, and as we say them.
const LEVELS: &[(&str, &str)] = &[
    ("info", "info"),
    ("information", "info"),
    ("informational", "info"),
    ("inf", "info"),
    ("i", "info"),
    ("notice", "notice"),
    ("debug", "debug"),
    ("dbg", "debug"),
    ("d", "debug"),
    ("warn", "warn"),
    ("warning", "warn"),
    ("wrn", "warn"),
    ("w", "warn"),
    ("error", "error"),
    ("err", "error"),
    ("e", "error"),
    ("severe", "error"),
    ("critical", "critical"),
    ("crit", "critical"),
    ("fatal", "fatal"),
    ("ftl", "fatal"),
    ("panic", "fatal"),
    ("dpanic", "fatal"),
    ("emergency", "emergency"),
    ("alert", "alert"),
    ("trace", "trace"),
    ("verbose", "trace"),
    ("silly", "trace"),
    ("fine", "debug"),
    ("finer", "debug"),
    ("finest", "trace"),
    ("config", "config"),
    ("信息", "info"),
    ("警告", "warn"),
    ("错误", "error"),
    ("严重", "critical"),
    ("调试", "debug"),
];
/// What pino and bunyan count.
const NUMBERS: &[(i64, &str)] =
    &[(10, "trace"), (20, "debug"), (30, "info"), (40, "warn"), (50, "error"), (60, "fatal")];
const SYSLOG: &[&str] =
    &["emergency", "alert", "critical", "error", "warn", "notice", "info", "debug"];
/// The longest first line of an exception that is taken apart.
const MAX_FIRST_LINE: usize = 1_024;

/// Says what the line's log says of itself.
pub(super) fn conclude(picture: &Picture<'_>, out: &mut Out) {
    for (key, id) in [(Key::Trace, names::TRACE_ID), (Key::Span, names::SPAN_ID)] {
        if picture.has(key) && picture.said(key, out).is_some() {
            picture.copy(key, id, out);
        }
    }
    let worded = picture.has(Key::Message) || picture.has(Key::Template);
    if !picture.has(Key::Level) || !worded {
        return;
    }
    let Some(level) = level(picture, out) else { return };
    if !picture.uses(names::LOG_LEVEL, out) {
        out.word(names::LOG_LEVEL, level);
    }
    for (key, id) in [
        (Key::Message, names::MESSAGE),
        (Key::Template, names::MESSAGE),
        (Key::Logger, names::LOG_LOGGER),
        (Key::Thread, names::PROCESS_THREAD_NAME),
        (Key::Service, names::SERVICE_NAME),
        (Key::Transaction, names::TRANSACTION_ID),
        (Key::Function, names::LOG_ORIGIN_FUNCTION),
        (Key::ErrorType, names::ERROR_TYPE),
        (Key::ErrorMessage, names::ERROR_MESSAGE),
    ] {
        if picture.said(key, out).is_some() {
            picture.copy(key, id, out);
        }
    }
    for (key, id) in
        [(Key::Pid, names::PROCESS_PID), (Key::LineNumber, names::LOG_ORIGIN_FILE_LINE)]
    {
        if let Some(number) = picture.integer(key, out) {
            out.integer(id, number);
        }
    }
    for key in [Key::Caller, Key::File] {
        place(picture, key, out);
    }
    exception(picture, out);
    if picture.said(Key::Error, out).is_some() {
        picture.copy(Key::Error, names::ERROR_MESSAGE, out);
    }
}

fn level(picture: &Picture<'_>, out: &Out) -> Option<&'static str> {
    match picture.value(Key::Level, out)? {
        // GELF has the numbers of syslog.
        Value::Integer(number) if picture.name(Key::Message, out) == "short_message" => {
            SYSLOG.get(usize::try_from(number).ok()?).copied()
        }
        Value::Integer(number) => {
            NUMBERS.iter().find(|(known, _)| *known == number).map(|(_, word)| *word)
        }
        value => {
            let text = picture.text(value, out);
            LEVELS.iter().find(|(known, _)| text.eq_ignore_ascii_case(known)).map(|(_, word)| *word)
        }
    }
}

/// `ward/admit.go:42`, or a file alone.
fn place(picture: &Picture<'_>, key: Key, out: &mut Out) {
    let Some(said) = picture.said(key, out) else { return };
    let split =
        said.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<i64>().ok()?)));
    match split {
        Some((file, line)) => {
            out.text(names::LOG_ORIGIN_FILE_NAME, file);
            out.integer(names::LOG_ORIGIN_FILE_LINE, line);
        }
        None if key == Key::File => out.text(names::LOG_ORIGIN_FILE_NAME, &said),
        None => {}
    }
}

/// The trace of an exception, and what its first line, or Python's last, says.
fn exception(picture: &Picture<'_>, out: &mut Out) {
    let Some(stack) = picture.said(Key::Stack, out) else { return };
    picture.copy(Key::Stack, names::ERROR_STACK_TRACE, out);
    let line = match stack.starts_with("Traceback (") {
        true => stack.trim_end().rsplit('\n').next(),
        false => stack.split('\n').next(),
    };
    let line = line.filter(|line| line.len() <= MAX_FIRST_LINE).unwrap_or_default().trim_end();
    let (class, said) = line.split_once(": ").unwrap_or((line, ""));
    let word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '$' | ':');
    let named = class.len() > 2 && class.chars().all(word) && class.contains(char::is_alphabetic);
    // Go begins with the name of a function.
    let alone = ["Exception", "Error", "Throwable"].iter().any(|end| class.ends_with(end));
    if !named || said.is_empty() && !alone {
        return;
    }
    if !picture.uses(names::ERROR_TYPE, out) {
        out.text(names::ERROR_TYPE, class);
    }
    if !said.is_empty() && !picture.uses(names::ERROR_MESSAGE, out) {
        out.text(names::ERROR_MESSAGE, said);
    }
}

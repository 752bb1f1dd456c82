//! Stack traces: the exception, what it says, the first cause of all, and the trace itself, bounded.

use super::super::out::Out;
use crate::event::names;

/// How much of a trace is kept as a field; all of it is in the original.
const MAX_TRACE: usize = 8 * 1024;
const CAUSED: &str = "Caused by: ";
const IN_THREAD: &str = "Exception in thread \"";

/// Whether a text begins with an exception or a cause.
pub(super) fn begins(text: &str) -> bool {
    let first = text.split('\n').next().unwrap_or(text);
    if first.starts_with(IN_THREAD) {
        return true;
    }
    let line = first.strip_prefix(CAUSED).unwrap_or(first);
    exception(line).is_some()
}

/// Whether a line is a frame, `\tat com.example.Ward.admit(Ward.java:7)`, or `\t... 12 more`.
pub(super) fn is_frame(line: &str) -> bool {
    let line = line.split('\n').next().unwrap_or(line);
    let Some(bare) = line.strip_prefix(['\t', ' ']) else { return false };
    let bare = bare.trim_start();
    bare.strip_prefix("at ")
        .is_some_and(|rest| rest.contains('(') && rest.contains('.') && rest.ends_with([')', ']']))
        || bare.starts_with("... ") && bare.ends_with(" more")
}

/// Whether frames stand in a text.
pub(super) fn has_frames(text: &str) -> bool {
    text.split('\n').take(8).any(is_frame)
}

/// `com.example.his.NoBedException: none left`: the class, and what it says.
fn exception(line: &str) -> Option<(&str, &str)> {
    let (class, said) = match line.split_once(": ") {
        Some((class, said)) => (class, said),
        None => (line.trim_end().strip_suffix(':').unwrap_or(line.trim_end()), ""),
    };
    let last = class.rsplit_once(['.', '$'])?.1;
    let known = ["Exception", "Error", "Throwable", "Failure", "Fault"]
        .iter()
        .any(|end| last.ends_with(end));
    let plain = class.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$'));
    (known && plain && class.len() <= 256).then_some((class, said))
}

/// Reads a text that is a trace from its first line on.
pub(super) fn read(text: &str, out: &mut Out) {
    let line = match text.strip_prefix(IN_THREAD).and_then(|rest| rest.split_once("\" ")) {
        Some((thread, rest)) => {
            out.some(names::PROCESS_THREAD_NAME, thread);
            rest
        }
        None => text.strip_prefix(CAUSED).unwrap_or(text),
    };
    if let Some((class, said)) = exception(line.split('\n').next().unwrap_or(line)) {
        out.text(names::ERROR_TYPE, class);
        out.some(names::ERROR_MESSAGE, said);
        out.word(names::LOG_LEVEL, "error");
    }
    keep(text, out);
}

/// Reads the trace in the lines below a head; false when there is none.
pub(super) fn find(below: &str, out: &mut Out) -> bool {
    if below.is_empty() {
        return false;
    }
    let mut at = 0;
    for line in below.split('\n') {
        if let Some((class, said)) = exception(line.strip_prefix(CAUSED).unwrap_or(line)) {
            out.text(names::ERROR_TYPE, class);
            out.some(names::ERROR_MESSAGE, said);
            keep(&below[at..], out);
            return true;
        }
        at += line.len() + 1;
    }
    if has_frames(below) {
        keep(below, out);
        return true;
    }
    false
}

/// The trace, and the cause that has no cause.
fn keep(trace: &str, out: &mut Out) {
    if !has_frames(trace) && !trace.contains(CAUSED) {
        return;
    }
    let end = trace.floor_char_boundary(MAX_TRACE);
    out.text(names::ERROR_STACK_TRACE, &trace[..end]);
    let cause = trace.rsplit("\nCaused by: ").next().filter(|rest| rest.len() < trace.len());
    if let Some((class, said)) = cause.and_then(|rest| exception(rest.split('\n').next()?)) {
        out.text(names::HENGWEI_ERROR_CAUSE_TYPE, class);
        out.some(names::HENGWEI_ERROR_CAUSE_MESSAGE, said);
    }
}

//! What programs of Node.js print when something is thrown, and the lines of their keeper, pm2.
//!
//! ```text
//! 2026-02-11T08:00:00: Error: spawn /bin/sh ENOENT
//!     at ChildProcess._handle.onexit (node:internal/child_process:286:19)
//! ```
//!
//! A trace is told from Java's by its frames, which end in a line and a column. What was thrown names
//! itself before the colon; its message is whatever the program was given, and is kept as text only. Lines
//! with a level of the program's own are read by `application.rs`.

use super::out::Out;
use super::{Decoder, Line, Looks, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "nodejs",
    datasets: &["nodejs"],
    programs: &["node", "nodejs", "pm2"],
    paths: &["/.pm2/"],
    looks: Looks { first: b" ACDEFINPRSTUV", test: looks_like },
    security: false,
    decode,
};

/// How much of a trace is kept as a field; all of it is in the original.
const MAX_TRACE: usize = 8 * 1024;
/// The longest name of what is thrown.
const MAX_NAME: usize = 128;

/// Whether a line is a frame, or names an error and has a frame below it.
fn looks_like(line: &str) -> bool {
    match line.split_once('\n') {
        Some((first, below)) => is_frame(first) || thrown(first).is_some() && has_frame(below),
        None => is_frame(line),
    }
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let mut text = line.message;
    if let Some((stamp, len)) = time::iso(text.as_bytes())
        && let Some(rest) = text.get(len..).and_then(|rest| rest.strip_prefix(": "))
    {
        out.stamp(&stamp);
        text = rest;
    }
    let dated = text.len() < line.message.len();
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    let traced = is_frame(first) || has_frame(below);
    if !traced && !dated {
        return false;
    }
    if !out.has(names::MESSAGE) && dated {
        out.some(names::MESSAGE, text);
    }
    if traced {
        out.word(names::LOG_LEVEL, "error");
        let end = text.floor_char_boundary(MAX_TRACE);
        out.some(names::ERROR_STACK_TRACE, text.get(..end).unwrap_or_default());
        if let Some((name, said)) = thrown(first) {
            out.text(names::ERROR_TYPE, name);
            out.some(names::ERROR_MESSAGE, said);
        }
    }
    true
}

/// `TypeError: x is undefined`, `Error [ERR_HTTP]: x`, `Uncaught Error: x`: what it is and what it says.
fn thrown(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    let (name, said) = line.split_once(": ")?;
    let bare = name.split_once(" [").map_or(name, |(name, _)| name);
    let plain = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (bare.ends_with("Error") && plain && name.len() <= MAX_NAME).then_some((bare, said))
}

/// Whether one of the first lines below is a frame.
fn has_frame(below: &str) -> bool {
    below.split('\n').take(8).any(is_frame)
}

/// `    at f (node:child_process:413:11)`, `    at /srv/his/ward.js:12:3`.
fn is_frame(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("    at ") else { return false };
    let place = rest.strip_suffix(')').unwrap_or(rest);
    let mut parts = place.rsplitn(3, ':');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| {
            (1..=7).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    number(parts.next())
        && number(parts.next())
        && parts.next().is_some_and(|file| {
            file.contains("node:")
                || [".js", ".mjs", ".cjs", ".ts"].iter().any(|e| file.ends_with(e))
        })
}

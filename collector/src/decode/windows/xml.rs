//! The XML of an event, as Windows renders it: `<Event xmlns="…"><System>…</System><EventData>…`.
//!
//! Only what Windows writes is understood: elements, attributes, text and the five named entities with
//! the numbered ones. A document type, comments, sections of character data or elements that close in
//! another order make the line none of ours. Depth is bounded; nothing outside the line is ever read.

use crate::decode::json::Scalar;
use crate::decode::out::Out;

/// Elements within one another.
const MAX_DEPTH: usize = 16;
/// Values of one event.
const MAX_VALUES: usize = 1_024;
/// The longest entity, as in `&#1114111;`.
const MAX_ENTITY: usize = 10;

/// What is shown each value: its path as in a dump, and where to write.
type See<'s> = &'s mut dyn FnMut(&str, Scalar<'_>, &mut Out);

/// Whether a line begins like an event.
pub(crate) fn looks_like(line: &str) -> bool {
    line.strip_prefix("<Event").is_some_and(|rest| rest.starts_with([' ', '>']))
}

/// Shows each value of an event. False when the line is anything else.
pub(crate) fn each(text: &str, out: &mut Out, see: See<'_>) -> bool {
    let mut walk = Walk {
        rest: text.trim(),
        path: String::new(),
        open: Vec::new(),
        text: String::new(),
        values: 0,
    };
    looks_like(walk.rest) && walk.read(out, see).is_some()
}

/// An element that is open.
struct Open<'t> {
    name: &'t str,
    /// The path's length before it.
    path: usize,
    /// Whether elements stood in it.
    parent: bool,
}

struct Walk<'t> {
    rest: &'t str,
    path: String,
    open: Vec<Open<'t>>,
    /// Text without entities.
    text: String,
    values: usize,
}

impl<'t> Walk<'t> {
    fn read(&mut self, out: &mut Out, see: See<'_>) -> Option<()> {
        loop {
            let (text, rest) = self.rest.split_once('<')?;
            self.rest = rest;
            if let Some(rest) = rest.strip_prefix('/') {
                let (name, rest) = rest.split_once('>')?;
                self.rest = rest;
                let open = self.open.pop()?;
                if name.trim_end() != open.name {
                    return None;
                }
                if !open.parent && !text.is_empty() {
                    self.show(text, out, see)?;
                }
                self.path.truncate(open.path);
                if self.open.is_empty() {
                    return self.rest.trim().is_empty().then_some(());
                }
                continue;
            }
            // Between elements there are only blanks.
            if !text.trim().is_empty() {
                return None;
            }
            self.element(out, see)?;
        }
    }

    /// `NAME ATTRIBUTE="VALUE" …>`, or `/>` at its end.
    fn element(&mut self, out: &mut Out, see: See<'_>) -> Option<()> {
        let end = self.rest.find([' ', '\t', '\r', '\n', '>', '/'])?;
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        let named = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':'));
        if name.is_empty() || !named || self.open.len() >= MAX_DEPTH {
            return None;
        }
        if let Some(parent) = self.open.last_mut() {
            parent.parent = true;
        }
        let path = self.path.len();
        self.push(name);
        self.open.push(Open { name, path, parent: false });
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                return Some(());
            }
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                self.open.pop();
                self.path.truncate(path);
                // An event without anything in it is none.
                return (!self.open.is_empty()).then_some(());
            }
            let (key, rest) = self.rest.split_once('=')?;
            let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, rest) = rest.get(1..)?.split_once(quote)?;
            self.rest = rest;
            if name == "Data" && key == "Name" {
                // `<Data Name="X">` is what a dump calls `EventData.X`.
                self.path.truncate(path);
                self.push(value);
            } else {
                let length = self.path.len();
                self.path.push_str(".#attributes");
                self.push(key);
                self.show(value, out, see)?;
                self.path.truncate(length);
            }
        }
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn show(&mut self, text: &str, out: &mut Out, see: See<'_>) -> Option<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return None;
        }
        let shown = if text.contains('&') {
            self.text.clear();
            unescape(text, &mut self.text)?;
            self.text.as_str()
        } else {
            text
        };
        see(&self.path, Scalar::Text(shown), out);
        Some(())
    }
}

fn unescape(mut text: &str, into: &mut String) -> Option<()> {
    while let Some((before, rest)) = text.split_once('&') {
        into.push_str(before);
        let end = rest.bytes().take(MAX_ENTITY).position(|byte| byte == b';')?;
        let entity = rest.get(..end)?;
        into.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let digits = entity.strip_prefix('#')?;
                let code = match digits.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        text = rest.get(end + 1..)?;
    }
    into.push_str(text);
    Some(())
}

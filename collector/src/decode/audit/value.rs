//! The values of an audit record, and how the kernel writes them.
//!
//! A text that strangers choose (a command's name, a path, an argument) stands in double quotes when it
//! holds no blank, quote or control character, and otherwise as upper-case hexadecimal without quotes.
//! That is what makes these records hard to forge: the quotes cannot be closed from inside. Values that
//! user space writes into `msg='...'` have no such promise, unless they came through libaudit.

use std::borrow::Cow;

/// A value as it stands in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Value<'a> {
    /// Without its quotes.
    pub(super) text: &'a str,
    /// Whether it had them.
    pub(super) quoted: bool,
}

impl<'a> Value<'a> {
    /// Whether there is something to say: not empty, and none of the words for nothing.
    pub(super) fn given(self) -> bool {
        !matches!(self.text, "" | "?" | "(null)" | "(none)" | "(unknown)")
    }

    /// The bytes of a value that may be written as hexadecimal.
    pub(super) fn bytes(self) -> Cow<'a, [u8]> {
        let decoded = if self.quoted { None } else { upper(self.text) };
        decoded.map_or(Cow::Borrowed(self.text.as_bytes()), Cow::Owned)
    }

    /// The text of a value that may be written as hexadecimal.
    pub(super) fn decoded(self) -> Cow<'a, str> {
        let decoded = if self.quoted { None } else { upper(self.text) };
        match decoded {
            Some(bytes) => Cow::Owned(lossy(bytes)),
            None => Cow::Borrowed(self.text),
        }
    }
}

/// Bytes as text.
pub(super) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Hexadecimal as the kernel writes it, in capitals: a word in small letters is a word.
fn upper(text: &str) -> Option<Vec<u8>> {
    let capital = text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
    if capital && !text.is_empty() { bytes(text) } else { None }
}

/// Hexadecimal in either case.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What the kernel writes for a text that is not there.
const NOTHING: &str = "(null)";

/// One `key=value` of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    /// Whether user space wrote it, within `msg='...'`.
    pub(super) inner: bool,
    /// Whether its quotes are never closed.
    pub(super) open: bool,
}

/// The pairs of a record's body, in order; words between them are passed over. Each byte is looked at
/// a fixed number of times, whatever the body holds.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'a> {
    rest: &'a str,
    /// What stands behind the message of user space that is being read.
    behind: &'a str,
    inner: bool,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(body: &'a str) -> Pairs<'a> {
        Pairs { rest: body, behind: "", inner: false }
    }

    /// Up to the next sign of equality, in the message of user space and then behind it.
    fn split(&mut self) -> Option<(&'a str, &'a str)> {
        self.rest.split_once('=').or_else(|| {
            self.inner = false;
            std::mem::take(&mut self.behind).split_once('=')
        })
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        loop {
            let (words, rest) = self.split()?;
            let (before, key) = words.rsplit_once(' ').unwrap_or(("", words));
            // Old user messages put a part of theirs in round brackets.
            let key = key.strip_prefix('(').unwrap_or(key);
            let mut open = false;
            let (text, quoted) = match rest.as_bytes().first() {
                Some(b'\'') if key == "msg" => {
                    // The last quote closes the message: what stands in it may hold others.
                    let message = &rest[1..];
                    (self.rest, self.behind) = message.rsplit_once('\'').unwrap_or((message, ""));
                    self.inner = true;
                    continue;
                }
                Some(b'"') => match rest[1..].split_once('"') {
                    Some((text, behind)) => {
                        self.rest = behind;
                        (text, true)
                    }
                    None => {
                        self.rest = "";
                        open = true;
                        (&rest[1..], true)
                    }
                },
                // What took control characters out joined the names auditd adds to the last value.
                _ if rest.starts_with(NOTHING) => {
                    let (text, behind) = rest.split_at(NOTHING.len());
                    self.rest = behind;
                    (text, false)
                }
                _ => {
                    let (text, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                    self.rest = behind;
                    (trimmed(text), false)
                }
            };
            // `old auid=4294967295 new auid=0`, as LOGIN was once written: what is new counts.
            if key.is_empty() || before.ends_with("old") {
                continue;
            }
            return Some(Pair { key, value: Value { text, quoted }, inner: self.inner, open });
        }
    }
}

/// A bare value without the punctuation of old user messages: `addr=203.0.113.7,`, `res=success)`.
fn trimmed(text: &str) -> &str {
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.starts_with('(') { text } else { text.strip_suffix(')').unwrap_or(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[(&str, &str)]) {
        let found: Vec<_> = Pairs::new(body).map(|pair| (pair.key, pair.value.text)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn pairs() {
        check("", &[]);
        check("no pair here", &[]);
        check(
            "pid=1 comm=\"a=b c\" key=(null)",
            &[("pid", "1"), ("comm", "a=b c"), ("key", "(null)")],
        );
        check("avc:  denied  { read } for  pid=7 name=\"x\"", &[("pid", "7"), ("name", "x")]);
        check(
            "user pid=7 msg='op=login acct=\"bob\" res=success'",
            &[("pid", "7"), ("op", "login"), ("acct", "bob"), ("res", "success")],
        );
        check(
            "msg='PAM: setcred acct=bob : exe=\"/bin/x\" (hostname=?, addr=?, res=success)'",
            &[
                ("acct", "bob"),
                ("exe", "/bin/x"),
                ("hostname", "?"),
                ("addr", "?"),
                ("res", "success"),
            ],
        );
        check(
            "key=(null)ARCH=x86_64 UID=\"root\"",
            &[("key", "(null)"), ("ARCH", "x86_64"), ("UID", "root")],
        );
        check(
            "msg='op=x res=failed'UID=\"root\"",
            &[("op", "x"), ("res", "failed"), ("UID", "root")],
        );
        check("a0=\"cut", &[("a0", "cut")]);
        check("msg='never closed op=x", &[("op", "x")]);
        check("= = a==", &[("a", "=")]);
        check("old=1 =x y=2", &[("old", "1"), ("y", "2")]);
        check("login pid=1 old auid=7 new auid=0", &[("pid", "1"), ("auid", "0")]);
    }

    #[test]
    fn values() {
        let bare = |text| Value { text, quoted: false };
        assert_eq!(bare("2F746D70").decoded(), "/tmp");
        assert_eq!(bare("cafe").decoded(), "cafe");
        assert_eq!(bare("2F7").decoded(), "2F7");
        assert_eq!(Value { text: "2F", quoted: true }.decoded(), "2F");
        assert_eq!(bare("FFFE41").decoded(), "\u{fffd}\u{fffd}A");
        assert_eq!(&*bare("610062").bytes(), b"a\0b");
        assert!(!bare("(null)").given() && !bare("?").given() && bare("0").given());
    }
}

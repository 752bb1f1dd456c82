//! Puts right what careless programs write into JSON.
//!
//! Half of a surrogate pair (`\ud800`), an escape JSON does not have (nginx writes a quote as `\x22`), a bare
//! control character, and a number beyond any (`1e400`) each make a whole line unreadable, and whoever can get
//! one into a value could hide his lines that way. The half becomes U+FFFD, `\x22` becomes `\u0022`, a control
//! character its escape, and the number a text. None of it moves a quote, so no value can become two.

/// What the event says of it.
pub(super) const PROBLEM: &str =
    "the line is no proper JSON, and was read with its escapes and numbers put right";

/// Longest number; what is longer stays as it is.
const MAX_NUMBER: usize = 64;

/// The line put right; None when there is nothing of the kind in it.
pub(super) fn repaired(text: &str) -> Option<String> {
    let mut fixed = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut changed = false;
    let mut quoted = false;
    while let Some(at) = rest.find(|char: char| special(char, quoted)) {
        let (before, from) = rest.split_at(at);
        fixed.push_str(before);
        let first = from.chars().next()?;
        let taken = match first {
            '"' => {
                quoted = !quoted;
                fixed.push('"');
                1
            }
            '\\' => escape(from, &mut fixed, &mut changed),
            _ if quoted => {
                changed = true;
                push_code(u32::from(first), &mut fixed);
                first.len_utf8()
            }
            _ => number(from, &mut fixed, &mut changed),
        };
        rest = from.get(taken..)?;
    }
    fixed.push_str(rest);
    changed.then_some(fixed)
}

/// Whether a character needs a look, within quotes or outside.
fn special(char: char, quoted: bool) -> bool {
    match char {
        '"' => true,
        '\\' => quoted,
        '\0'..='\u{1f}' => quoted,
        '0'..='9' | '-' => !quoted,
        _ => false,
    }
}

/// Writes the escape that `from` begins with; how much of `from` it was.
fn escape(from: &str, fixed: &mut String, changed: &mut bool) -> usize {
    let hex = |at: usize, digits: usize| {
        let digits = from.get(at..at + digits)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| plain)
    };
    match from.as_bytes().get(1) {
        Some(b'u') => match hex(2, 4) {
            Some(0xd800..0xdc00) => {
                let low = from.get(6..8) == Some("\\u")
                    && hex(8, 4).is_some_and(|code| (0xdc00..0xe000).contains(&code));
                if low {
                    fixed.push_str(from.get(..12).unwrap_or_default());
                    return 12;
                }
                *changed = true;
                fixed.push(char::REPLACEMENT_CHARACTER);
                6
            }
            Some(0xdc00..0xe000) => {
                *changed = true;
                fixed.push(char::REPLACEMENT_CHARACTER);
                6
            }
            Some(_) => {
                fixed.push_str(from.get(..6).unwrap_or_default());
                6
            }
            None => stray(fixed, changed),
        },
        Some(b'x') => match hex(2, 2) {
            Some(code) => {
                *changed = true;
                push_code(code, fixed);
                4
            }
            None => stray(fixed, changed),
        },
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            fixed.push_str(from.get(..2).unwrap_or_default());
            2
        }
        _ => stray(fixed, changed),
    }
}

/// A backslash that escapes nothing stands for itself.
fn stray(fixed: &mut String, changed: &mut bool) -> usize {
    *changed = true;
    fixed.push_str("\\\\");
    1
}

/// Writes the number that `from` begins with, as text when no `f64` holds it.
fn number(from: &str, fixed: &mut String, changed: &mut bool) -> usize {
    let part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let length = from.bytes().position(|byte| !part(byte)).unwrap_or(from.len());
    let digits = from.get(..length).unwrap_or_default();
    let beyond = digits.parse::<f64>().is_ok_and(f64::is_infinite);
    if beyond && length <= MAX_NUMBER {
        *changed = true;
        fixed.push('"');
        fixed.push_str(digits);
        fixed.push('"');
    } else {
        fixed.push_str(digits);
    }
    length
}

fn push_code(code: u32, fixed: &mut String) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(fixed, "\\u{code:04x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs() {
        for (text, expected) in [
            (r#"{"a":"\ud800 b"}"#, "{\"a\":\"\u{fffd} b\"}"),
            (r#"{"a":"\udc00\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\\ud83d\\ude00\"}"),
            (r#"{"a":"\ud800\u0041"}"#, "{\"a\":\"\u{fffd}\\u0041\"}"),
            (r#"{"a":1e400,"b":-1e999}"#, r#"{"a":"1e400","b":"-1e999"}"#),
            (r#"{"a":"say \x22no\x22"}"#, r#"{"a":"say \u0022no\u0022"}"#),
            (r#"{"a":"C:\Windows"}"#, r#"{"a":"C:\\Windows"}"#),
            ("{\"a\":\"b\tc\"}", r#"{"a":"b\u0009c"}"#),
            (r#"{"a":"1e400 \\ud800","b":1e400}"#, r#"{"a":"1e400 \\ud800","b":"1e400"}"#),
        ] {
            let fixed = repaired(text).expect(text);
            assert_eq!(fixed, expected, "{text}");
            let value: serde_json::Value = serde_json::from_str(&fixed).expect(&fixed);
            assert!(value.is_object());
        }
    }

    #[test]
    fn what_is_right_or_hopeless_is_left() {
        for text in
            [r#"{"a":1.5e3,"b":"\u0041\ud83d\ude00"}"#, "{", "", "{\"a\":", "{\"a\":\"\\\\\"}"]
        {
            assert_eq!(repaired(text), None, "{text}");
        }
        // A quote of the peer's stays within its value.
        assert_eq!(repaired(r#"{"a":"\ud800\"}"#).as_deref(), Some("{\"a\":\"\u{fffd}\\\"}"));
        assert!(repaired("{\"a\":\"\\").is_some());
    }
}

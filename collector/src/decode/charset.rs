//! A record's bytes as text, before anything splits on ASCII.
//!
//! A declared charset wins. Undeclared bytes are UTF-8 when they are valid UTF-8, else GB18030 when
//! they are valid and plausible GB18030, else text in which every byte that is no UTF-8 stands as
//! its Latin-1 character. GB18030's second bytes run from 0x30 to 0xFE, so `|`, `\` and digits of
//! a line may be halves of characters: nothing may look for ASCII in it first. The original bytes
//! are kept whatever comes out here.

use encoding_rs::GB18030;

/// What an origin declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Find out.
    Undeclared,
    /// Take it as UTF-8.
    Utf8,
    /// Take it as GB18030 (and so GBK and GB 2312).
    Gb18030,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read<'a> {
    /// The text, when the bytes are it; else it is in the scratch buffer.
    pub(crate) text: Option<&'a str>,
    /// Whether the scratch buffer holds the text.
    pub(crate) converted: bool,
    /// The charset, where it is not UTF-8.
    pub(crate) name: Option<&'static str>,
    /// What was wrong.
    pub(crate) problem: Option<&'static str>,
}

/// The longest part of a character that a cut can leave behind.
const MAX_TORN: usize = 3;

impl Charset {
    /// The charset an origin names; an unknown name is as good as none.
    pub(crate) fn declared(name: &str) -> Charset {
        if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8") {
            Charset::Utf8
        } else if ["gb18030", "gbk", "gb2312"].iter().any(|gb| name.eq_ignore_ascii_case(gb)) {
            Charset::Gb18030
        } else {
            Charset::Undeclared
        }
    }
}

/// Reads bytes as text. `cut` says that the line goes on beyond them, so that half a character at
/// the end proves nothing.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    charset: Charset,
    cut: bool,
    scratch: &mut String,
) -> Read<'a> {
    scratch.clear();
    match charset {
        Charset::Gb18030 => {
            if bytes.is_ascii()
                && let Ok(text) = std::str::from_utf8(bytes)
            {
                return plain(text);
            }
            let valid = gb18030(bytes, cut, scratch);
            let problem = (!valid).then_some("bytes that are not GB18030, as declared");
            converted(Some("gb18030"), problem)
        }
        Charset::Utf8 | Charset::Undeclared => match std::str::from_utf8(bytes) {
            Ok(text) => plain(text),
            Err(error) if cut && error.error_len().is_none() => {
                mixed(bytes, scratch);
                converted(None, None)
            }
            Err(_) if charset == Charset::Utf8 => {
                mixed(bytes, scratch);
                converted(None, Some("bytes that are not UTF-8, as declared"))
            }
            Err(_) => undeclared(bytes, cut, scratch),
        },
    }
}

fn undeclared<'a>(bytes: &'a [u8], cut: bool, scratch: &mut String) -> Read<'a> {
    if plausible(bytes) && gb18030(bytes, cut, scratch) {
        return converted(Some("gb18030"), None);
    }
    scratch.clear();
    mixed(bytes, scratch);
    converted(Some("latin-1"), Some("bytes that are neither UTF-8 nor GB18030"))
}

fn plain(text: &str) -> Read<'_> {
    Read { text: Some(text), converted: false, name: None, problem: None }
}

fn converted<'a>(name: Option<&'static str>, problem: Option<&'static str>) -> Read<'a> {
    Read { text: None, converted: true, name, problem }
}

/// Decodes GB18030; whether it was valid but for a character torn by the cut.
fn gb18030(bytes: &[u8], cut: bool, scratch: &mut String) -> bool {
    let torn = if cut { MAX_TORN.min(bytes.len()) } else { 0 };
    for end in (bytes.len() - torn..=bytes.len()).rev() {
        let (text, wrong) = GB18030.decode_without_bom_handling(&bytes[..end]);
        if !wrong || end == bytes.len() {
            scratch.clear();
            scratch.push_str(&text);
        }
        if !wrong {
            return true;
        }
    }
    false
}

/// Whether bytes that would decode as GB18030 look like it: most of their characters lie where
/// GB 2312 has its Han and punctuation. Western letters with accents make other pairs.
fn plausible(bytes: &[u8]) -> bool {
    let (mut common, mut all) = (0usize, 0usize);
    let mut at = 0;
    while at < bytes.len() {
        let lead = bytes[at];
        if lead < 0x80 {
            at += 1;
            continue;
        }
        let second = bytes.get(at + 1).copied().unwrap_or_default();
        all += 1;
        let punctuation = (0xA1..=0xA3).contains(&lead);
        let han = (0xB0..=0xF7).contains(&lead);
        common += usize::from((punctuation || han) && (0xA1..=0xFE).contains(&second));
        at += if second.is_ascii_digit() { 4 } else { 2 };
    }
    all > 0 && common * 2 >= all
}

/// UTF-8 where it is UTF-8, Latin-1 elsewhere.
fn mixed(bytes: &[u8], scratch: &mut String) {
    for chunk in bytes.utf8_chunks() {
        scratch.push_str(chunk.valid());
        scratch.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], charset: Charset, text: &str, name: Option<&str>, problem: bool) {
        let mut scratch = String::from("left over");
        let read = read(bytes, charset, false, &mut scratch);
        assert_eq!(read.text.unwrap_or(&scratch), text);
        assert_eq!((read.name, read.problem.is_some()), (name, problem));
    }

    #[test]
    fn undeclared_bytes() {
        use Charset::Undeclared;
        check(b"Failed", Undeclared, "Failed", None, false);
        check("登录失败".as_bytes(), Undeclared, "登录失败", None, false);
        check(b"\xB5\xC7\xC2\xBC\xCA\xA7\xB0\xDC", Undeclared, "登录失败", Some("gb18030"), false);
        check(b"user \xD5\xC5\xC8\xFD|x", Undeclared, "user 张三|x", Some("gb18030"), false);
        // A rare surname beside a common name.
        check(b"\x95\x34\xB2\x35\xD5\xC5\xC8\xFD", Undeclared, "𠮷张三", Some("gb18030"), false);
        check(b"M\xFCller", Undeclared, "Müller", Some("latin-1"), true);
        check(b"caf\xE9 ok", Undeclared, "café ok", Some("latin-1"), true);
        check(b"\xFF\xFEa\0", Undeclared, "ÿþa\0", Some("latin-1"), true);
        check("登录\u{7f}".as_bytes(), Undeclared, "登录\u{7f}", None, false);
        check(b"\xE7\x99\xBB\xFF", Undeclared, "登ÿ", Some("latin-1"), true);
    }

    #[test]
    fn declared_bytes() {
        use Charset::{Gb18030, Utf8};
        check(b"plain", Gb18030, "plain", None, false);
        check(b"\x81\x39\xEE\x39", Gb18030, "㐀", Some("gb18030"), false);
        check(b"\xD5\xC5\xC8\xFD\x81\x30", Gb18030, "张三\u{fffd}", Some("gb18030"), true);
        check(b"\xD5\xC5", Utf8, "ÕÅ", None, true);
        // The second byte of 乗 is a backslash, that of 亅 a bar: they are no delimiters.
        check(b"\x81\x5C|\x81\x7C", Gb18030, "乗|亅", Some("gb18030"), false);
        assert_eq!(Charset::declared("GBK"), Gb18030);
        assert_eq!(Charset::declared("koi8-r"), Charset::Undeclared);
    }

    #[test]
    fn a_cut_tears_no_verdict() {
        let mut scratch = String::new();
        let utf8 = &"登录失败".as_bytes()[..11];
        let read_utf8 = read(utf8, Charset::Undeclared, true, &mut scratch);
        assert_eq!((read_utf8.name, read_utf8.problem), (None, None));
        assert!(scratch.starts_with("登录失"));
        let read_gb = read(b"\xD5\xC5\xC8\xFD\xD5", Charset::Undeclared, true, &mut scratch);
        assert_eq!((read_gb.name, scratch.as_str()), (Some("gb18030"), "张三"));
    }
}

//! One look at a line that tells whether it is worth reading: whether it holds any of the words without which
//! nobody tells of a sign-in, whatever their case.
//!
//! Every line that no decoder read is looked at, and nearly none has them. So a line is compared chunk by
//! chunk with a few pairs of letters, in loops that become vector instructions; only a chunk that has
//! such a pair is looked at letter by letter.

/// Bytes that are compared at once.
const CHUNK: usize = 32;
/// Bytes beyond a chunk that its last places look at.
const BEYOND: usize = 2;

/// Parts of the English words, each of which begins with a pair that [`maybe_english`] finds or ends with it.
const PARTS: &[&[u8]] = &[
    b"ogin",
    b"ogon",
    b"ogged",
    b"og in",
    b"og on",
    b"og-in",
    b"og-on",
    b"ogout",
    b"ogoff",
    b"gn in",
    b"gned in",
    b"gnin",
    b"gn-in",
    b"gn on",
    b"gn-on",
    b"gned out",
    b"uthent",
    b"uth f",
    b"uth_",
    b"uth-",
    b"uth s",
    b"uth r",
    b"swor",
];

/// Whether a text may tell of a sign-in.
pub(super) fn worth(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ascii = bytes.is_ascii();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = match rest.first_chunk::<{ CHUNK + BEYOND }>() {
            Some(chunk) => look(chunk, ascii),
            None => {
                let mut last = [0; CHUNK + BEYOND];
                for (place, byte) in last.iter_mut().zip(rest) {
                    *place = *byte;
                }
                look(&last, ascii)
            }
        };
        if found.chinese || found.english && has_part(rest) {
            return true;
        }
        at += CHUNK;
    }
    false
}

#[derive(Debug, Clone, Copy)]
struct Found {
    english: bool,
    chinese: bool,
}

fn look(chunk: &[u8; CHUNK + BEYOND], ascii: bool) -> Found {
    Found { english: maybe_english(chunk), chinese: !ascii && has_chinese(chunk) }
}

/// Whether `og`, `gn`, `uth` or `sw` begins in the chunk.
fn maybe_english(chunk: &[u8; CHUNK + BEYOND]) -> bool {
    let mut hit = false;
    for at in 0..CHUNK {
        let [a, b, c] = [chunk[at] | 0x20, chunk[at + 1] | 0x20, chunk[at + 2] | 0x20];
        let log = (a == b'o') & (b == b'g');
        let sign = (a == b'g') & (b == b'n');
        let auth = (a == b'u') & (b == b't') & (c == b'h');
        let password = (a == b's') & (b == b'w');
        hit |= log | sign | auth | password;
    }
    hit
}

/// Whether 登, 密, 令 (of 口令), 认, 验 or 注 begins in the chunk.
fn has_chinese(chunk: &[u8; CHUNK + BEYOND]) -> bool {
    let mut hit = false;
    for at in 0..CHUNK {
        let [a, b, c] = [chunk[at], chunk[at + 1], chunk[at + 2]];
        hit |= (a == 0xe7) & (b == 0x99) & (c == 0xbb);
        hit |= (a == 0xe5) & (b == 0xaf) & (c == 0x86);
        hit |= (a == 0xe4) & (b == 0xbb) & (c == 0xa4);
        hit |= (a == 0xe8) & (b == 0xae) & (c == 0xa4);
        hit |= (a == 0xe9) & (b == 0xaa) & (c == 0x8c);
        hit |= (a == 0xe6) & (b == 0xb3) & (c == 0xa8);
    }
    hit
}

/// Whether one of [`PARTS`] begins within the first chunk of a text.
fn has_part(rest: &[u8]) -> bool {
    (0..rest.len().min(CHUNK)).any(|at| {
        let here = rest.get(at..).unwrap_or_default();
        matches!(here.first(), Some(b'o' | b'O' | b'g' | b'G' | b'u' | b'U' | b's' | b'S'))
            && PARTS.iter().any(|part| {
                here.get(..part.len()).is_some_and(|here| here.eq_ignore_ascii_case(part))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_it_stands() {
        for word in [
            "login",
            "LOGON",
            "Logged in",
            "log in",
            "log-in",
            "logout",
            "sign in",
            "Signed in",
            "signin",
            "SIGN-IN",
            "authentication",
            "AUTHENTICATED",
            "auth failed",
            "auth_failure",
            "password",
            "登录",
            "登陆",
            "密码",
            "口令",
            "认证",
            "验证",
            "注销",
        ] {
            for before in 0..80 {
                let text = format!("{}{word}", ".".repeat(before));
                assert!(worth(&text), "{text}");
                assert!(worth(&format!("{text}{}", "x".repeat(70))), "{text}");
            }
        }
    }

    #[test]
    fn what_is_passed_over() {
        for text in [
            "",
            "log",
            "a catalog of programs, og",
            "designed author, assigned answers sw",
            "患者入院登",
            "挂号窗口打印完成",
            "Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors",
        ] {
            assert_eq!(worth(text), text.contains('登'), "{text}");
        }
    }
}

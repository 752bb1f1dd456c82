//! One look at a line that tells whether it is worth reading: whether it holds any of the words without which
//! nobody tells of a sign-in, whatever their case.
//!
//! Every line that no decoder read is looked at, and nearly none has them. So a line is compared chunk by
//! chunk with a few pairs of letters, in loops that become vector instructions; only a chunk that has
//! such a pair is looked at letter by letter.

/// Bytes that are compared at once.
const CHUNK: usize = 32;
/// A chunk, and what its last places look at beyond it.
const WIDTH: usize = CHUNK + 2;

/// Whether a text may tell of a sign-in.
pub(super) fn worth(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
        if look(chunk, bytes, at) {
            return true;
        }
        at += CHUNK;
    }
    // What is left is looked at together with what stands before it.
    if let Some(last) = bytes.last_chunk::<WIDTH>() {
        return look(last, bytes, bytes.len() - WIDTH);
    }
    let mut short = [0; WIDTH];
    for (place, byte) in short.iter_mut().zip(bytes) {
        *place = *byte;
    }
    look(&short, bytes, 0)
}

#[inline]
fn look(chunk: &[u8; WIDTH], bytes: &[u8], at: usize) -> bool {
    let (english, wide) = maybe_english(chunk);
    wide && has_chinese(chunk) || english && has_part(bytes, at)
}

/// Whether `og`, `gn`, `uth` or `sw` begins in the chunk, and whether anything in it is not ASCII.
#[inline]
fn maybe_english(chunk: &[u8; WIDTH]) -> (bool, bool) {
    let (mut hit, mut all) = (false, 0);
    for at in 0..CHUNK {
        let [a, b, c] = [chunk[at] | 0x20, chunk[at + 1] | 0x20, chunk[at + 2] | 0x20];
        let log = (a == b'o') & (b == b'g');
        let sign = (a == b'g') & (b == b'n');
        let auth = (a == b'u') & (b == b't') & (c == b'h');
        let password = (a == b's') & (b == b'w');
        hit |= log | sign | auth | password;
        all |= a;
    }
    (hit, all >= 0x80)
}

/// Whether 登, 密, 令 (of 口令), 认, 验 or 注 begins in the chunk.
fn has_chinese(chunk: &[u8; WIDTH]) -> bool {
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

/// Whether what these pairs of letters begin in a chunk may be a word of signing in.
fn has_part(bytes: &[u8], from: usize) -> bool {
    let letter = |at: usize| bytes.get(at).map_or(0, |byte| byte | 0x20);
    (from..from + CHUNK).any(|at| {
        let (first, second) = (letter(at), letter(at + 1));
        if !matches!((first, second), (b'o', b'g') | (b'g', b'n') | (b'u', b't') | (b's', b'w')) {
            return false;
        }
        // An underscore, as it is here.
        const LINE: u8 = b'_' | 0x20;
        let rest = [letter(at + 2), letter(at + 3), letter(at + 4)];
        match (first, rest) {
            // `login`, `logon`, `logout`, `logged`, `log in`.
            (b'o', [b'i', b'n', _] | [b'o', b'n' | b'u' | b'f', _] | [b'g', b'e', b'd']) => true,
            (b'o', [b' ' | b'-', b'i', b'n'] | [b' ' | b'-', b'o', b'n' | b'u']) => true,
            (b'o', [b' ' | b'-', b'o', b'f']) => letter(at + 5) == b'f',
            // `signin`, `sign in`, `signed in`.
            (b'g', [b'i', b'n', _] | [b' ' | b'-', b'i' | b'o', _]) => true,
            (b'g', [b'e', b'd', b' ']) => {
                matches!((letter(at + 5), letter(at + 6)), (b'i' | b'o', b'n' | b'u' | b'f'))
            }
            // `authentication`, `auth failed`, `auth_failure`, `password`.
            (b'u', [b'h', b'e', b'n'] | [b'h', b' ' | b'-' | LINE, b'f' | b's' | b'r']) => true,
            (b's', [b'o', b'r', _]) => true,
            _ => false,
        }
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

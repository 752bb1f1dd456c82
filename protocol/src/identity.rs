//! Names and secrets of identity: what an agent id may look like, the enrolment token, how keys and
//! certificates are written.

use std::fmt;

use aws_lc_rs::digest;

/// The longest agent id, site or system name.
pub const MAX_ID: usize = 64;
/// Random bytes in a token.
pub const TOKEN_SECRET: usize = 32;

const TOKEN_PREFIX: &str = "hw1";

/// Whether `id` can name an agent, a site or a system: lower-case letters, digits, `-`, `_`, `.`,
/// beginning with a letter or digit, at most [`MAX_ID`] bytes. Such a name is safe in a file name,
/// a URL and a metric label.
pub fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !id.is_empty()
        && id.len() <= MAX_ID
        && plain(id.as_bytes()[0])
        && id.bytes().all(|b| plain(b) || matches!(b, b'-' | b'_' | b'.'))
}

/// What an operator hands to a new agent: a secret, and the digest of the root it may then trust.
/// Written `hw1.<hex secret>.<hex SHA-256 of the root>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Proof that the operator allowed this enrolment.
    pub secret: [u8; TOKEN_SECRET],
    /// SHA-256 of the root certificate's DER.
    pub root: [u8; 32],
}

impl Token {
    /// Reads a token as it was printed.
    pub fn parse(text: &str) -> Option<Token> {
        let mut parts = text.trim().split('.');
        let (prefix, secret, root) = (parts.next()?, parts.next()?, parts.next()?);
        if prefix != TOKEN_PREFIX || parts.next().is_some() {
            return None;
        }
        Some(Token { secret: unhex(secret)?.try_into().ok()?, root: unhex(root)?.try_into().ok()? })
    }

    /// The text an operator copies.
    pub fn reveal(&self) -> String {
        format!("{TOKEN_PREFIX}.{}.{}", hex(&self.secret), hex(&self.root))
    }

    /// What is stored in its place: SHA-256 of the secret, in hex. The secret is 256 random bits,
    /// so a slow hash would add nothing.
    pub fn stored(&self) -> String {
        hex(&sha256(&self.secret))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal `text`, either case; None when it is not.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| {
            u8::from_str_radix(&text[at..at + 2], 16).ok().filter(|_| !text[at..].starts_with('+'))
        })
        .collect()
}

/// One section of a PEM file: `label` is `CERTIFICATE`, `PRIVATE KEY` and the like.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut body = String::with_capacity(der.len() * 4 / 3 + 4);
    for chunk in der.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            body.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_base64_in_lines_of_64() {
        let check = |der: &[u8], body: &str| {
            assert_eq!(pem("X", der), format!("-----BEGIN X-----\n{body}-----END X-----\n"));
        };
        check(b"", "");
        check(b"f", "Zg==\n");
        check(b"fo", "Zm8=\n");
        check(b"foobar", "Zm9vYmFy\n");
        check(&[0xff; 49], &format!("{}\n/w==\n", "/".repeat(64)));
    }

    #[test]
    fn a_token_reads_back_and_hides_itself() {
        let token = Token { secret: [7; 32], root: [9; 32] };
        assert_eq!(Token::parse(&token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(secret)");
        assert_ne!(token.stored(), hex(&token.secret));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "hw1", "hw1..", "hw2.00.00", "hw1.zz.zz", "hw1.é.é", "hw1.+1.+1"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_are_safe_names() {
        for (id, good) in [
            ("his-01", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("..", false),
            ("A", false),
            ("a/b", false),
            ("衡水", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(is_id(id), good, "{id}");
        }
    }
}

//! Which decoders a line is offered, and in which order, at a cost that does not grow with their number.
//!
//! A decoder says in its [`Decoder`] what speaks for it: configured datasets and parts of paths, looked
//! up once per origin of a block; programs, looked up in one table per line; and, for lines about which
//! nothing else is known, what they begin with (a byte, or a date of some form) and a cheap test. Only the
//! decoders of that beginning are asked, in the order of the table. What a decoder makes of a line is not known here.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::out::Out;
use super::{DECODERS, Line};

/// One decoder: what it claims, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Also the name of its folder of examples.
    pub name: &'static str,
    /// Configured datasets that are its own; the first is what its events get otherwise.
    pub datasets: &'static [&'static str],
    /// Programs whose messages are its own; `postfix` also stands for `postfix/smtpd`.
    pub programs: &'static [&'static str],
    /// Parts of paths that hint at it, for lines without a program or with one that is nobody's.
    pub paths: &'static [&'static str],
    /// Which lines are worth trying without any of the above.
    pub(crate) looks: Looks,
    /// Whether its events are security events.
    pub security: bool,
    pub(crate) decode: fn(&Line<'_>, &mut Out) -> bool,
}

/// What a line that may be a decoder's looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    /// What it may begin with: bytes, and marks such as [`ISO`]. A digit stands for every number that is
    /// no address.
    pub(crate) first: &'static [u8],
    /// A cheap test of the rest.
    pub(crate) test: fn(&str) -> bool,
}

impl Looks {
    /// No line: the decoder needs a dataset, a program or a path.
    pub(crate) const NEVER: Looks = Looks { first: b"", test: |_| false };
}

// What a line begins with is a byte, or one of these marks, which are bytes that no text begins with: a
// digit is what most dates begin with, and dates are what most logs begin with, so that a digit alone
// would have every reader of dates asked.

/// `2026-11-22T08:00:00`, a blank in place of the T too.
pub(crate) const ISO: u8 = 0xF8;
/// `2026/11/22 08:00:00`.
pub(crate) const SLASHED: u8 = 0xF9;
/// `22-Nov-2026 08:00:00`.
pub(crate) const DAY_FIRST: u8 = 0xFA;
/// A digit that begins none of these, and no address.
pub(crate) const NUMBER: u8 = 0xFB;
/// An IPv4 address.
const ADDRESS: u8 = 0xFC;

/// Any beginning.
pub(crate) const ANY: &[u8] = &{
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};
/// Any beginning but a date.
pub(crate) const UNDATED: &[u8] = &{
    let mut bytes = [NUMBER; 256];
    let mut byte = 0;
    while byte < 256 {
        let one = byte as u8;
        if !matches!(one, ISO | SLASHED | DAY_FIRST | b'0'..=b'9') {
            bytes[byte] = one;
        }
        byte += 1;
    }
    bytes
};
/// Any number but an address, dates with it.
pub(crate) const DIGITS: &[u8] = b"0123456789";

/// What a line begins with: a byte, or a mark. Only where the signs of a date stand is looked at; whether
/// it is one is for those to find out who read it.
fn beginning(line: &[u8]) -> Option<u8> {
    let first = *line.first()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let sign = |at: usize| line.get(at).copied().unwrap_or_default();
    Some(match [sign(2), sign(4), sign(10)] {
        [_, b'-', b'T' | b' '] if sign(7) == b'-' && sign(13) == b':' => ISO,
        [_, b'/', b' '] if sign(7) == b'/' && sign(13) == b':' => SLASHED,
        [b'-', ..] if sign(6) == b'-' && sign(11) == b' ' && sign(14) == b':' => DAY_FIRST,
        _ if begins_with_address(line) => ADDRESS,
        _ => NUMBER,
    })
}

/// Whether a line begins as an IPv4 address does.
fn begins_with_address(line: &[u8]) -> bool {
    let mut rest = line;
    for part in 0..4 {
        let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let dotted = part == 3 || rest.get(digits) == Some(&b'.');
        if !(1..=3).contains(&digits) || !dotted {
            return false;
        }
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    true
}

/// Whether lines that begin so are a decoder's.
fn begins(decoder: &Decoder, beginning: u8) -> bool {
    let first = decoder.looks.first;
    let digit = || first.iter().any(u8::is_ascii_digit);
    first.contains(&beginning) || matches!(beginning, ISO | SLASHED | DAY_FIRST | NUMBER) && digit()
}

/// The tables by which decoders are found.
#[derive(Debug)]
pub struct Router {
    decoders: &'static [Decoder],
    by_program: HashMap<&'static str, &'static Decoder, foldhash::fast::FixedState>,
    by_first: Vec<Vec<&'static Decoder>>,
}

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new(DECODERS));

impl Router {
    /// That of [`DECODERS`].
    pub(crate) fn usual() -> &'static Router {
        &ROUTER
    }

    /// That of some decoders; measurements and tests ask what the others cost.
    pub fn new(decoders: &'static [Decoder]) -> Router {
        let mut by_program = HashMap::default();
        for decoder in decoders {
            for program in decoder.programs {
                by_program.entry(*program).or_insert(decoder);
            }
        }
        let of_beginning =
            |byte: u8| decoders.iter().filter(|decoder| begins(decoder, byte)).collect();
        let by_first = (0..=u8::MAX).map(of_beginning).collect();
        Router { decoders, by_program, by_first }
    }

    /// The decoder of a configured dataset.
    pub(crate) fn of_dataset(&self, dataset: &str) -> Option<&'static Decoder> {
        self.decoders.iter().find(|decoder| decoder.datasets.contains(&dataset))
    }

    /// The decoders that a path hints at.
    pub(crate) fn of_path(&self, path: &str) -> Vec<&'static Decoder> {
        let hinted = |decoder: &&Decoder| decoder.paths.iter().any(|part| path.contains(part));
        self.decoders.iter().filter(hinted).collect()
    }

    /// The decoder of a program, by its name or by what stands before a `/` in it.
    pub(crate) fn of_program(&self, program: &str) -> Option<&'static Decoder> {
        let whole = self.by_program.get(program);
        let family = || self.by_program.get(program.split_once('/')?.0);
        whole.or_else(family).copied()
    }

    /// The decoders that a line itself speaks for.
    pub(crate) fn of_line(&self, line: &str) -> impl Iterator<Item = &'static Decoder> {
        let first = beginning(line.as_bytes());
        let first = first.and_then(|beginning| self.by_first.get(usize::from(beginning)));
        first.into_iter().flatten().copied().filter(|decoder| (decoder.looks.test)(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_told_apart() {
        for (line, expected) in [
            ("2026-11-22T08:00:00Z x", ISO),
            ("2026-11-22 08:00:00,123 x", ISO),
            ("2026-11-22  8:00:00 x", ISO),
            ("2026/11/22 08:00:00 [error] x", SLASHED),
            ("22-Nov-2026 08:00:00.123 x", DAY_FIRST),
            ("192.0.2.7 - - [22/Nov/2026:08:00:00 +0800]", ADDRESS),
            ("261122  8:00:00 8 [Note] x", NUMBER),
            ("881:M 22 Nov 2026 08:00:00.123 # x", NUMBER),
            ("2026-11-22", NUMBER),
            ("1.2.3", NUMBER),
            ("conn=1", b'c'),
            ("日志", "日".as_bytes()[0]),
        ] {
            assert_eq!(beginning(line.as_bytes()), Some(expected), "{line}");
        }
        assert_eq!(beginning(b""), None);
    }

    /// Who begins with digits is asked about dates too, who begins with a date about no other.
    #[test]
    fn a_mark_is_narrower_than_a_digit() {
        let decoder = |first| Decoder { looks: Looks { first, test: |_| true }, ..DECODERS[0] };
        let asked = |first| {
            let decoder = decoder(first);
            [ISO, SLASHED, NUMBER, ADDRESS, b'['].map(|byte| begins(&decoder, byte))
        };
        assert_eq!(asked(ANY), [true; 5]);
        assert_eq!(asked(DIGITS), [true, true, true, false, false]);
        assert_eq!(asked(UNDATED), [false, false, true, true, true]);
        assert_eq!(asked(&[ISO]), [true, false, false, false, false]);
    }

    #[test]
    fn no_two_decoders_own_the_same() {
        for (at, decoder) in DECODERS.iter().enumerate() {
            for other in &DECODERS[at + 1..] {
                let both = |mine: &[&str], theirs: &[&str]| {
                    mine.iter().find(|name| theirs.contains(name)).map(|name| (*name).to_owned())
                };
                assert_eq!(both(decoder.datasets, other.datasets), None, "{}", decoder.name);
                assert_eq!(both(decoder.programs, other.programs), None, "{}", decoder.name);
                assert_ne!(decoder.name, other.name);
            }
        }
    }

    #[test]
    fn addresses_are_no_dates() {
        for (line, expected) in [
            ("203.0.113.7 - - [", true),
            ("203.0.113.7", true),
            ("203.0.113.7:80 ", true),
            ("203.0.113", false),
            ("203.0.113.", false),
            ("1795337962.523 5 203.0.113.7", false),
            ("2026-11-22 08:00:00", false),
            ("1.2.3.4444", false),
            ("", false),
        ] {
            assert_eq!(begins_with_address(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn programs_have_families() {
        static MAIL: &[Decoder] = &[Decoder {
            name: "mail",
            datasets: &["mail"],
            programs: &["postfix"],
            paths: &["mail/log"],
            looks: Looks { first: b"m", test: |line| line.ends_with('!') },
            security: false,
            decode: |_, _| true,
        }];
        let router = Router::new(MAIL);
        assert!(router.of_program("postfix").is_some());
        assert!(router.of_program("postfix/smtpd").is_some());
        assert!(router.of_program("postfixer").is_none());
        assert!(router.of_dataset("mail").is_some());
        assert_eq!(router.of_path("/var/mail/log.1").len(), 1);
        assert_eq!(router.of_line("mail!").count(), 1);
        assert_eq!(router.of_line("mail?").count() + router.of_line("!").count(), 0);
        assert_eq!(router.of_line("").count(), 0);
    }
}

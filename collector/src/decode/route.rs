//! Which decoders a line is offered, and in which order, at a cost that does not grow with their number.
//!
//! A decoder says in its [`Decoder`] what speaks for it: configured datasets and parts of paths, looked
//! up once per origin of a block; programs, looked up in one table per line; and, for lines about which
//! nothing else is known, the byte they begin with and a cheap test. Only the decoders of that byte are
//! asked, in the order of the table. What a decoder makes of a line is not known here.

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
    /// The bytes it may begin with.
    pub(crate) first: &'static [u8],
    /// A cheap test of the rest.
    pub(crate) test: fn(&str) -> bool,
}

impl Looks {
    /// No line: the decoder needs a dataset, a program or a path.
    pub(crate) const NEVER: Looks = Looks { first: b"", test: |_| false };
}

/// Any first byte.
pub(crate) const ANY: &[u8] = &{
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};
/// Lines that begin with a number, as most dates do.
pub(crate) const DIGITS: &[u8] = b"0123456789";

/// Whether a line begins as an IPv4 address does. Access logs are the most frequent of those, and a digit
/// is what most dates begin with: who reads dates ([`DIGITS`]) is not asked about addresses, only those who
/// may begin with [`ANY`] byte are.
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
        let of_byte = |byte: u8| {
            decoders.iter().filter(|decoder| decoder.looks.first.contains(&byte)).collect()
        };
        let by_first = (0..=u8::MAX).map(of_byte).collect();
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
        let first = match begins_with_address(line.as_bytes()) {
            true => Some(&ANY[0]),
            false => line.as_bytes().first(),
        };
        let first = first.map(|byte| &self.by_first[usize::from(*byte)]);
        first.into_iter().flatten().copied().filter(|decoder| (decoder.looks.test)(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

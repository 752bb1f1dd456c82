//! What varies in a value: numbers, addresses, times, identifiers, paths.
//!
//! In: the bytes of a value. Out: its slots in order; everything between them is fixed text. A slot never
//! begins or ends inside a word, so that a word is in one slot or in one piece of fixed text, and
//! searches can look at each by itself. Words without a digit remain fixed text here; whether they
//! vary shows only over many values (`merge`).
//!
//! A slot's kind says how it is written again from a number or a string. A number that could not be
//! written again exactly is of a kind that can: `007` is a number with a width, `01.2.3.4` a string.

/// What a slot holds, and how that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Any bytes.
    Text,
    /// The rest of a value whatever is in it.
    Rest,
    /// Decimal digits, up to [`MAX_DIGITS`], zeros in front included.
    Integer,
    /// More decimal digits, without a zero in front, that fit 64 bits.
    Long,
    /// Four numbers up to 255 with dots between.
    Address,
    /// `hh:mm:ss` and so many digits of a second after a dot, if any.
    Clock(u8),
    /// The same after a comma.
    CommaClock(u8),
    /// `yyyy-mm-ddThh:mm:ss` and so many digits of a second after a dot, if any.
    Moment(u8),
    /// The same with a `Z` behind it.
    ZuluMoment(u8),
    /// So many hexadecimal digits in lower case.
    Hex(u8),
    /// 32 hexadecimal digits in lower case in five groups.
    Uuid,
}

/// Digits of an [`Integer`](Kind::Integer).
pub(super) const MAX_DIGITS: usize = 17;
/// Digits of a second.
pub(super) const MAX_FRACTION: usize = 9;
/// Where the digits of an integer stand in its number; the value is below.
const WIDTH_SHIFT: u32 = 59;
const HEX_DIGITS: std::ops::RangeInclusive<usize> = 8..=128;
const UUID_LEN: usize = 36;

/// One slot of a value.
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// What it holds, if the kind is a number's.
    pub(super) number: u64,
}

impl Kind {
    /// Whether a slot of this kind holds a number.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Kind::Text | Kind::Rest | Kind::Hex(_) | Kind::Uuid)
    }

    /// The kind as two bytes.
    pub(super) fn code(self) -> [u8; 2] {
        match self {
            Kind::Text => [0, 0],
            Kind::Rest => [1, 0],
            Kind::Integer => [2, 0],
            Kind::Long => [3, 0],
            Kind::Address => [4, 0],
            Kind::Clock(fraction) => [5, fraction],
            Kind::CommaClock(fraction) => [6, fraction],
            Kind::Hex(digits) => [7, digits],
            Kind::Uuid => [8, 0],
            Kind::Moment(fraction) => [9, fraction],
            Kind::ZuluMoment(fraction) => [10, fraction],
        }
    }

    /// The kind of a code, if it is one.
    pub(super) fn of(code: [u8; 2]) -> Option<Kind> {
        Some(match code {
            [0, 0] => Kind::Text,
            [1, 0] => Kind::Rest,
            [2, 0] => Kind::Integer,
            [3, 0] => Kind::Long,
            [4, 0] => Kind::Address,
            [5, fraction] if usize::from(fraction) <= MAX_FRACTION => Kind::Clock(fraction),
            [6, fraction] if usize::from(fraction) <= MAX_FRACTION => Kind::CommaClock(fraction),
            [7, digits] if HEX_DIGITS.contains(&usize::from(digits)) => Kind::Hex(digits),
            [8, 0] => Kind::Uuid,
            [9, fraction] if usize::from(fraction) <= MAX_FRACTION => Kind::Moment(fraction),
            [10, fraction] if usize::from(fraction) <= MAX_FRACTION => Kind::ZuluMoment(fraction),
            _ => return None,
        })
    }
}

/// Splits what stands in an integer's slot into the number and how many digits it is written with.
pub(super) fn value_and_width(number: u64) -> (u64, usize) {
    (number & ((1 << WIDTH_SHIFT) - 1), (number >> WIDTH_SHIFT) as usize)
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const LETTER: u8 = 4;
const HIGH: u8 = 8;

/// What each byte is; zero is a separator.
static CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => HEX,
            b'g'..=b'z' | b'A'..=b'Z' | b'_' => LETTER,
            0x80.. => HIGH,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn class(value: &[u8], at: usize) -> u8 {
    value.get(at).map_or(0, |byte| CLASS[usize::from(*byte)])
}

/// A longest run of words with single dots between: where it ends, what its bytes are, its dots.
pub(super) fn unit(value: &[u8], start: usize) -> (usize, u8, usize) {
    let (mut at, mut classes, mut dots) = (start, 0, 0);
    while let Some(byte) = value.get(at) {
        match CLASS[usize::from(*byte)] {
            0 if *byte == b'.' && class(value, at + 1) != 0 => dots += 1,
            0 => break,
            class => classes |= class,
        }
        at += 1;
    }
    (at, classes, dots)
}

/// Whether a byte belongs to units.
pub(super) fn in_unit(byte: u8) -> bool {
    CLASS[usize::from(byte)] != 0
}

/// Shows the slots of a value.
pub(super) fn slots(value: &[u8], see: &mut impl FnMut(Slot)) {
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        if CLASS[usize::from(*byte)] == 0 {
            at = match byte {
                b'/' => path(value, at, see),
                b'"' => agent(value, at, see),
                _ => at + 1,
            };
            continue;
        }
        let (end, classes, dots) = unit(value, at);
        let dashed = end - at == 8 && value.get(end) == Some(&b'-');
        if let Some(end) = dashed.then(|| uuid(value, at)).flatten() {
            see(Slot { kind: Kind::Uuid, start: at, end, number: 0 });
            at = end;
            continue;
        }
        at = match (classes, dots) {
            (classes, _) if classes & DIGIT == 0 => end,
            (DIGIT, 0) => digits(value, at, end, see),
            (DIGIT, 1..=3) => dotted(value, at, end, dots, see),
            (classes, 0) if classes == DIGIT | HEX && HEX_DIGITS.contains(&(end - at)) => {
                see(Slot { kind: Kind::Hex((end - at) as u8), start: at, end, number: 0 });
                end
            }
            _ => text(at, end, see),
        };
    }
}

fn text(start: usize, end: usize, see: &mut impl FnMut(Slot)) -> usize {
    see(Slot { kind: Kind::Text, start, end, number: 0 });
    end
}

/// A path or the part of an address after its scheme, up to what ends one in a line.
fn path(value: &[u8], start: usize, see: &mut impl FnMut(Slot)) -> usize {
    // `HTTP/1.1` and `10/Oct/2000` are none.
    if start > 0 && in_unit(value[start - 1]) {
        return start + 1;
    }
    let ends = |byte: &u8| {
        matches!(
            byte,
            0..=b' ' | b'"' | b'\'' | b'<' | b'>' | b'|' | b'(' | b')' | b'[' | b']' | b',' | b';'
        )
    };
    let end = value[start..].iter().position(ends).map_or(value.len(), |len| start + len);
    if end - start < 2 { end } else { text(start, end, see) }
}

/// The name of a program and its version in quotes, with all that browsers add to it.
fn agent(value: &[u8], quote: usize, see: &mut impl FnMut(Slot)) -> usize {
    let start = quote + 1;
    if class(value, start) & (LETTER | HEX) == 0 {
        return start;
    }
    let (end, _, _) = unit(value, start);
    if value.get(end) != Some(&b'/') {
        return start;
    }
    match memchr::memchr(b'"', &value[end..]) {
        Some(len) => text(start, end + len, see),
        None => start,
    }
}

/// Digits alone.
fn digits(value: &[u8], start: usize, end: usize, see: &mut impl FnMut(Slot)) -> usize {
    let hours = end - start == 2 && value.get(end) == Some(&b':');
    if let Some(slot) = hours.then(|| clock(value, start)).flatten() {
        let end = slot.end;
        see(slot);
        return end;
    }
    let year = end - start == 4 && value.get(end) == Some(&b'-');
    if let Some(slot) = year.then(|| moment(value, start)).flatten() {
        let end = slot.end;
        see(slot);
        return end;
    }
    let digits = &value[start..end];
    if digits.len() <= MAX_DIGITS {
        see(integer(value, start, end));
        return end;
    }
    let long = digits.iter().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    match long {
        Some(number) if digits[0] != b'0' => see(Slot { kind: Kind::Long, start, end, number }),
        _ => see(Slot { kind: Kind::Text, start, end, number: 0 }),
    }
    end
}

/// At most [`MAX_DIGITS`] digits.
fn integer(value: &[u8], start: usize, end: usize) -> Slot {
    let number = decimal(&value[start..end]) | ((end - start) as u64) << WIDTH_SHIFT;
    Slot { kind: Kind::Integer, start, end, number }
}

fn decimal(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// Digits with dots: an address, a number with a fraction, or something else.
fn dotted(
    value: &[u8],
    start: usize,
    end: usize,
    dots: usize,
    see: &mut impl FnMut(Slot),
) -> usize {
    let mut numbers = 0u64;
    let (mut canonical, mut part, mut longest) = (true, start, 0);
    for at in start..=end {
        if at < end && value[at] != b'.' {
            continue;
        }
        longest = longest.max(at - part);
        if at - part > 3 || (at - part > 1 && value[part] == b'0') {
            canonical = false;
        } else {
            let number = decimal(&value[part..at]);
            canonical &= number <= 255;
            numbers = numbers << 8 | number & 255;
        }
        part = at + 1;
    }
    match dots {
        3 if canonical => see(Slot { kind: Kind::Address, start, end, number: numbers }),
        1 if longest <= MAX_DIGITS => {
            let dot = memchr::memchr(b'.', &value[start..end]).map_or(end, |len| start + len);
            see(integer(value, start, dot));
            see(integer(value, dot + 1, end));
        }
        _ => see(Slot { kind: Kind::Text, start, end, number: 0 }),
    }
    end
}

/// A time of day, which begins at `start` with two digits and a colon.
fn clock(value: &[u8], start: usize) -> Option<Slot> {
    let bytes: &[u8; 8] = value.get(start..)?.first_chunk()?;
    let seconds = seconds(bytes)?;
    let (number, mut end, digits) = fraction(value, start + 8, seconds, b'.');
    let mut slot = Slot { kind: Kind::Clock(digits), start, end, number };
    if digits == 0 {
        (slot.number, end, slot.kind) = match fraction(value, start + 8, seconds, b',') {
            (_, _, 0) => (seconds, end, slot.kind),
            (number, end, digits) => (number, end, Kind::CommaClock(digits)),
        };
        slot.end = end;
    }
    (!goes_on(value, end)).then_some(slot)
}

/// A date and a time of day, which begin at `start` with four digits and a hyphen.
fn moment(value: &[u8], start: usize) -> Option<Slot> {
    let bytes: &[u8; 19] = value.get(start..)?.first_chunk()?;
    if bytes[7] != b'-' || bytes[10] != b'T' {
        return None;
    }
    let digits = |at: usize, len: usize| {
        let digits = &bytes[at..at + len];
        digits.iter().all(u8::is_ascii_digit).then(|| decimal(digits))
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    // So that nanoseconds fit 64 bits.
    if !(1970..2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Each month has 31 days here: nobody reads this as time, and every day has a number.
    let days = ((year - 1970) * 12 + month - 1) * 31 + day - 1;
    let seconds = days * 86_400 + seconds(bytes.last_chunk()?)?;
    let (number, end, digits) = fraction(value, start + 19, seconds, b'.');
    if !goes_on(value, end) {
        return Some(Slot { kind: Kind::Moment(digits), start, end, number });
    }
    let zulu = value.get(end) == Some(&b'Z') && !goes_on(value, end + 1);
    zulu.then_some(Slot { kind: Kind::ZuluMoment(digits), start, end: end + 1, number })
}

/// The year, month, day and second of the day of a moment's second.
pub(super) fn calendar(seconds: u64) -> [u64; 4] {
    let days = seconds / 86_400;
    [1970 + days / 31 / 12, days / 31 % 12 + 1, days % 31 + 1, seconds % 86_400]
}

/// The second of the day that `hh:mm:ss` is.
fn seconds(bytes: &[u8; 8]) -> Option<u64> {
    let pair = |at: usize, below: u64| {
        let digits = &bytes[at..at + 2];
        let number = digits.iter().all(u8::is_ascii_digit).then(|| decimal(digits))?;
        (number < below).then_some(number)
    };
    let colons = bytes[2] == b':' && bytes[5] == b':';
    colons.then_some((pair(0, 24)? * 60 + pair(3, 60)?) * 60 + pair(6, 60)?)
}

/// Seconds with the fraction that may follow at `at` after a mark, where that ends, and its digits.
fn fraction(value: &[u8], at: usize, seconds: u64, mark: u8) -> (u64, usize, u8) {
    let digits = value.get(at + 1..).unwrap_or_default();
    let digits = &digits[..digits.len().min(MAX_FRACTION + 1)];
    let len = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    if value.get(at) != Some(&mark) || len == 0 || len > MAX_FRACTION {
        return (seconds, at, 0);
    }
    (seconds * 10u64.pow(len as u32) + decimal(&digits[..len]), at + 1 + len, len as u8)
}

/// Whether a word that ends at `end` goes on there after all.
fn goes_on(value: &[u8], end: usize) -> bool {
    class(value, end) != 0 || value.get(end) == Some(&b'.') && class(value, end + 1) != 0
}

/// Where the identifier ends that begins at `start`, if it is one.
fn uuid(value: &[u8], start: usize) -> Option<usize> {
    let end = start + UUID_LEN;
    let bytes = value.get(start..end)?;
    let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => CLASS[usize::from(*byte)] & (DIGIT | HEX) != 0,
    });
    (fits && !goes_on(value, end)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[(Kind, &str)]) {
        let mut slots = Vec::new();
        super::slots(value.as_bytes(), &mut |slot| {
            slots.push((slot.kind, value[slot.start..slot.end].to_owned()));
        });
        let slots: Vec<_> = slots.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        assert_eq!(slots, expected, "{value}");
    }

    #[test]
    fn the_slots_of_lines() {
        use Kind::*;
        check(
            "Dec 10 06:55:46 LabSZ sshd[24200]: Failed password for root from 173.234.31.186 port 38926 ssh2",
            &[
                (Integer, "10"),
                (Clock(0), "06:55:46"),
                (Integer, "24200"),
                (Address, "173.234.31.186"),
                (Integer, "38926"),
                (Text, "ssh2"),
            ],
        );
        check(
            "[17/May/2015:10:05:03 +0000] \"GET /a/b.png?x=1 HTTP/1.1\" 200 \"http://x.y/z\" \"Mozilla/5.0 (X11)\"",
            &[
                (Integer, "17"),
                (Integer, "2015"),
                (Clock(0), "10:05:03"),
                (Integer, "0000"),
                (Text, "/a/b.png?x=1"),
                (Integer, "1"),
                (Integer, "1"),
                (Integer, "200"),
                (Text, "//x.y/z"),
                (Text, "Mozilla/5.0 (X11)"),
            ],
        );
        check(
            "nova-api.log.1.2017 00:00:04.500 req-38101a0b-2026-4b5a-8f0b-0123456789ab 0.2477829 sha=00ff00ff00",
            &[
                (Text, "api.log.1.2017"),
                (Clock(3), "00:00:04.500"),
                (Uuid, "38101a0b-2026-4b5a-8f0b-0123456789ab"),
                (Integer, "0"),
                (Integer, "2477829"),
                (Hex(10), "00ff00ff00"),
            ],
        );
        check(
            "2026-11-02T07:36:11.990379+08:00 2026-02-31T00:00:00Z 2026-11-02T07:36:11.5ZZ",
            &[
                (Moment(6), "2026-11-02T07:36:11.990379"),
                (Integer, "08"),
                (Integer, "00"),
                (ZuluMoment(0), "2026-02-31T00:00:00Z"),
                (Integer, "2026"),
                (Integer, "11"),
                (Text, "02T07"),
                (Integer, "36"),
                (Text, "11.5ZZ"),
            ],
        );
    }
}

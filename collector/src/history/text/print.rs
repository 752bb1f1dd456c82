//! Writes numbers of slots as they stood in the value, the other way round from `lex`.

use super::lex::{self, Kind};

/// Appends a number of a kind other than integer.
pub(super) fn number(kind: Kind, number: u64, text: &mut Vec<u8>) {
    match kind {
        Kind::Address => {
            let [a, b, c, d] = (number as u32).to_be_bytes();
            digits(a.into(), 0, text);
            for part in [b, c, d] {
                text.push(b'.');
                digits(part.into(), 0, text);
            }
        }
        Kind::Clock(fraction) => clock(number, b'.', fraction.into(), text),
        Kind::CommaClock(fraction) => clock(number, b',', fraction.into(), text),
        Kind::Moment(fraction) => moment(number, fraction.into(), text),
        Kind::ZuluMoment(fraction) => {
            moment(number, fraction.into(), text);
            text.push(b'Z');
        }
        _ => digits(number, 0, text),
    }
}

fn moment(number: u64, fraction: usize, text: &mut Vec<u8>) {
    let unit = 10u64.pow(fraction as u32);
    let [year, month, day, second] = lex::calendar(number / unit);
    digits(year, 4, text);
    text.push(b'-');
    digits(month, 2, text);
    text.push(b'-');
    digits(day, 2, text);
    text.push(b'T');
    clock(second * unit + number % unit, b'.', fraction, text);
}

fn clock(number: u64, mark: u8, fraction: usize, text: &mut Vec<u8>) {
    let unit = 10u64.pow(fraction as u32);
    let seconds = number / unit;
    digits(seconds / 3600, 2, text);
    text.push(b':');
    digits(seconds / 60 % 60, 2, text);
    text.push(b':');
    digits(seconds % 60, 2, text);
    if fraction > 0 {
        text.push(mark);
        digits(number % unit, fraction, text);
    }
}

/// Appends a number with at least `width` digits.
pub(super) fn digits(mut number: u64, width: usize, text: &mut Vec<u8>) {
    const ROOM: usize = 32;
    let mut digits = [b'0'; ROOM];
    let mut at = ROOM;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at.min(ROOM - width.min(ROOM))..]);
}

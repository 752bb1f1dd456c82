//! HL7 v2 messages in logs: those that interface engines and devices log whole, behind words of their
//! own or not. Segments stand on lines of one record, or are parted by CR, by `\r`, `\x0d` or `<CR>` in
//! letters.
//!
//! The delimiters are those that the header names, as the standard wants. Who sent what to whom, the
//! answer (`MSA`) and whose record it is (`PID`) become fields; the rest stays in the original. Every
//! value is the sender's word. A text in a message that looks like a segment is one: the first `PID`,
//! the first `MSA` counts, and only where a segment may begin.

use memchr::memmem;

use super::out::Out;
use super::time::Stamp;
use super::{ANY, Decoder, Line, Looks};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "hl7",
    datasets: &["hl7"],
    programs: &[],
    paths: &[".hl7"],
    looks: Looks { first: ANY, test: |line| header(line).is_some() },
    security: false,
    decode,
};

/// How far from the beginning of a line a message may begin.
const MAX_PREFIX: usize = 256;
/// Segments that are looked at.
const MAX_SEGMENTS: usize = 512;
/// What parts segments, the longest first where one begins another.
const SEPARATORS: &[&str] =
    &["\r\n", "\n", "\r", "\\r\\n", "\\r", "\\x0d", "\\x0D", "<CR>", "<cr>"];

/// The header's place in a line: where it begins and its delimiters.
struct Header {
    at: usize,
    field: char,
    component: char,
    repetition: char,
}

/// Reads one record.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let Some(header) = header(line.message) else { return false };
    let Some(message) = line.message.get(header.at..) else { return false };
    let separator = separator(message);
    let mut segments = message.split(separator).take(MAX_SEGMENTS);
    let Some(first) = segments.next() else { return false };
    if head(first, &header, header.at == 0, out).is_none() {
        return false;
    }
    let (mut answered, mut known) = (false, false);
    for segment in segments {
        let segment = segment.trim_matches(['\r', '\n', '\u{b}', '\u{1c}', ' ']);
        let Some((name, fields)) = segment.split_once(header.field) else { continue };
        match name {
            "MSA" if !answered => {
                answered = true;
                answer(fields, &header, out);
            }
            "PID" if !known => {
                known = true;
                patient(fields, &header, out);
            }
            _ => {}
        }
    }
    if !answered {
        out.event("network", "hl7_message");
    }
    true
}

/// `MSH|^~\&|` near the beginning, any delimiters where it is the beginning.
fn header(line: &str) -> Option<Header> {
    let start = line.get(..line.floor_char_boundary(MAX_PREFIX))?;
    let bare = start.trim_start_matches('\u{b}');
    let at = match bare.starts_with("MSH") {
        true => start.len() - bare.len(),
        false => memmem::find(start.as_bytes(), b"MSH|^~\\&|")?,
    };
    let mut letters = line.get(at + 3..)?.chars();
    let (field, component, repetition) = (letters.next()?, letters.next()?, letters.next()?);
    let (escape, part) = (letters.next()?, letters.next()?);
    let all = [field, component, repetition, escape, part];
    // Versions from 2.7 on may name a fifth delimiter.
    let ends = match letters.next()? {
        '#' => letters.next()? == field,
        letter => letter == field,
    };
    let distinct = (1..all.len()).all(|at| !all[..at].contains(&all[at]));
    let marks = all.iter().all(char::is_ascii_punctuation);
    (ends && distinct && marks).then_some(Header { at, field, component, repetition })
}

/// What parts the segments of a message: the first of the known ones that stands before a segment.
fn separator(message: &str) -> &'static str {
    let before_segment = |separator: &&&str| {
        memmem::find_iter(message.as_bytes(), separator.as_bytes()).any(|at| {
            let name = message.as_bytes().get(at + separator.len()..at + separator.len() + 3);
            name.is_some_and(|name| {
                name[0].is_ascii_uppercase()
                    && name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            })
        })
    };
    SEPARATORS.iter().find(before_segment).copied().unwrap_or("\r")
}

/// Sender, receiver, time, type and number of the message.
fn head(segment: &str, header: &Header, alone: bool, out: &mut Out) -> Option<()> {
    // The delimiter itself is the header's first field.
    let mut fields = segment.split(header.field).skip(2);
    let mut next = || fields.next().unwrap_or_default();
    let (application, facility) = (next(), next());
    let (to_application, to_facility) = (next(), next());
    let (time, _) = (next(), next());
    let (kind, control) = (next(), next());
    if kind.is_empty() || kind.len() > 32 {
        return None;
    }
    joined(names::HENGWEI_HL7_SENDER, application, facility, out);
    joined(names::HENGWEI_HL7_RECEIVER, to_application, to_facility, out);
    out.text(names::HENGWEI_HL7_TYPE, kind);
    out.some(names::HENGWEI_HL7_CONTROL_ID, control.trim_end_matches(['\u{1c}', '\r', '\n']));
    if alone && let Some(stamp) = stamp(time) {
        out.stamp(&stamp);
    }
    Some(())
}

/// `APPLICATION^FACILITY`: two fields beside each other, of which the second may be missing.
fn joined(id: FieldId, first: &str, second: &str, out: &mut Out) {
    match (first.is_empty(), second.is_empty()) {
        (true, true) => {}
        (false, true) => out.text(id, first),
        _ => out.owned(id, &format!("{first}^{second}")),
    }
}

/// `AA|CONTROL|TEXT`.
fn answer(fields: &str, header: &Header, out: &mut Out) {
    let mut fields = fields.split(header.field);
    let code = fields.next().unwrap_or_default();
    let _control = fields.next();
    let text = fields.next().unwrap_or_default();
    out.event("network", "hl7_acknowledgement");
    match code {
        "AA" | "CA" => out.outcome(true),
        "AE" | "AR" | "CE" | "CR" => out.outcome(false),
        _ => {}
    }
    out.some(names::HENGWEI_HL7_ACKNOWLEDGEMENT, code);
    out.some(names::EVENT_REASON, text);
}

/// The third field is the list of identifiers, the fifth the name: family, then given.
fn patient(fields: &str, header: &Header, out: &mut Out) {
    let mut fields = fields.split(header.field).skip(1);
    let mut next = || fields.next().unwrap_or_default();
    let (old, list, _, name) = (next(), next(), next(), next());
    let first = |field: &str| -> usize {
        field.find([header.repetition, header.component]).unwrap_or(field.len())
    };
    let id = list.get(..first(list)).unwrap_or_default();
    let id = if id.is_empty() { old.get(..first(old)).unwrap_or_default() } else { id };
    out.some(names::PATIENT_ID, id);
    let name = name.split(header.repetition).next().unwrap_or_default();
    let mut parts = name.split(header.component);
    let (family, given) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (family, given) {
        ("", "") => {}
        (family, "") => out.text(names::PATIENT_NAME, family),
        (family, given) => out.owned(names::PATIENT_NAME, &format!("{family} {given}")),
    }
}

/// `20260228081001[.5][+0800]`, from the year to the second or the minute.
fn stamp(text: &str) -> Option<Stamp> {
    let (digits, rest) =
        text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()));
    let number = |range: std::ops::Range<usize>| -> Option<u8> {
        if range.start >= digits.len() { Some(0) } else { digits.get(range)?.parse().ok() }
    };
    if digits.len() < 12 || digits.len() > 14 {
        return None;
    }
    let zone = rest.find(['+', '-']).and_then(|at| super::time::zone(rest.get(at..)?));
    Some(Stamp {
        year: Some(digits.get(..4)?.parse().ok()?),
        month: number(4..6)?,
        day: number(6..8)?,
        hour: number(8..10)?,
        minute: number(10..12)?,
        second: number(12..14)?,
        offset_secs: zone,
        ..Stamp::default()
    })
}

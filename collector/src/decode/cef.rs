//! CEF, the form in which many security products tell a SIEM what they saw.
//!
//! In: `CEF:0|Vendor|Product|Version|Id|Name|Severity|key=value key=value`. A bar in the header and a `=` in a
//! value have a backslash before them; a value ends where the next key begins. Custom values (`cs1`, `cn1`
//! …) take the name that their label gives them. Out: see [`super::network`]; the name of an attack or a
//! virus is `rule.name`.
//!
//! A product that forgets the backslashes lets a peer write keys. What that can reach is in the story of
//! [`super::network`]: an address or user said twice is not believed.

use std::borrow::Cow;

use super::network::{Dialect, Facts, Meaning, Side, words};
use super::out::Out;
use super::pairs::{MAX_KEY, MAX_PAIRS, Pair};
use super::time::{bsd, iso};
use super::{Decoder, Line, Looks, json};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "cef",
    datasets: &["cef"],
    programs: &["CEF"],
    paths: &[],
    looks: Looks { first: b"C", test: |line| line.starts_with("CEF:") },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "cef", own };
/// The first second that is taken for a time.
const FIRST_EPOCH: u64 = 1_000_000_000;
/// Fields of the header.
const HEADER: [FieldId; 4] =
    [names::OBSERVER_VENDOR, names::OBSERVER_PRODUCT, names::OBSERVER_VERSION, names::EVENT_CODE];

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "in" => Meaning::Count(names::SOURCE_BYTES),
        "out" => Meaning::Count(names::DESTINATION_BYTES),
        "shost" => Meaning::Field(names::SOURCE_DOMAIN),
        "dhost" => Meaning::Field(names::DESTINATION_DOMAIN),
        "duser" => Meaning::Field(names::DESTINATION_USER_NAME),
        "request" => Meaning::Field(names::URL_ORIGINAL),
        "app" => Meaning::Lower(names::NETWORK_PROTOCOL),
        "cat" => Meaning::Kind,
        "c6a2" => Meaning::Address(Side::Source),
        "c6a3" => Meaning::Address(Side::Destination),
        _ => return None,
    })
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let rest = message.strip_prefix("CEF:")?.trim_start();
    let (version, mut rest) = rest.split_once('|')?;
    if version.is_empty()
        || version.len() > 4
        || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    for id in HEADER {
        let (part, behind) = header_part(rest)?;
        if !part.is_empty() {
            put(id, part, out);
        }
        rest = behind;
    }
    let (name, behind) = header_part(rest)?;
    let (severity, extension) = header_part(behind).unwrap_or((behind, ""));
    if let Some(severity) = severity.trim().parse().ok().or_else(|| words::severity(severity)) {
        out.integer(names::EVENT_SEVERITY, severity);
    }
    let pairs = extension_pairs(extension);
    let mut facts = Facts::new(DIALECT);
    facts.set_severity();
    let mut target = None;
    for pair in &pairs {
        match pair.key {
            "rt" | "end" | "start" if out.time.is_none() && stamp(pair.value, out) => continue,
            "duser" if !words::nothing(pair.value) => target = Some(pair.value),
            "duser" => continue,
            key if key.ends_with("Label") => continue,
            _ => {}
        }
        facts.take(Pair { key: label(pair.key, &pairs), ..*pair }, out);
    }
    if pairs.len() >= MAX_PAIRS {
        out.problem("pairs are left out: there are too many");
    }
    name_it(&mut facts, name, true, out);
    if let Some(target) = target.filter(|_| !facts.has_user()) {
        facts.set_user(target);
    }
    facts.conclude(out);
    Some(())
}

/// The name says what kind of line it is, and which attack; `described` says that it is more than an id.
pub(super) fn name_it<'a>(facts: &mut Facts<'a>, name: &'a str, described: bool, out: &mut Out) {
    let told = words::happening(name);
    let attack = |told| matches!(told, Some(words::Happening::Attack | words::Happening::Virus));
    if !name.is_empty()
        && !facts.has_attack()
        && (attack(told) || attack(facts.kind().and_then(words::happening)))
    {
        facts.set_attack(name);
    } else if !name.is_empty() && described {
        put(names::EVENT_REASON, name, out);
    }
    if told.is_some() || facts.kind().is_none() {
        facts.set_kind(name);
    }
}

fn put(id: FieldId, part: &str, out: &mut Out) {
    let pair = Pair { key: "", value: part, escaped: part.contains('\\') };
    match pair.text() {
        Cow::Borrowed(text) => json::put(id, text, out),
        Cow::Owned(text) => out.owned(id, &text),
    }
}

/// A part of the header, up to a bar without a backslash before it, and what follows the bar.
fn header_part(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'|', b'\\', bytes.get(at..)?)?;
        if bytes.get(found) == Some(&b'|') {
            return Some((text.get(..found)?.trim(), text.get(found + 1..)?));
        }
        at = found + 2;
    }
}

/// The pairs of an extension: a key stands behind a blank, and before a `=` without a backslash.
pub(super) fn extension_pairs(text: &str) -> Vec<Pair<'_>> {
    let bytes = text.as_bytes();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for equals in memchr::memchr_iter(b'=', bytes) {
        let Some(start) = key_start(bytes, equals) else { continue };
        if let Some((key, value_at)) = open {
            pairs.push(pair(text, key, value_at, start));
        }
        if pairs.len() >= MAX_PAIRS {
            return pairs;
        }
        open = text.get(start..equals).map(|key| (key, equals + 1));
    }
    if let Some((key, value_at)) = open {
        pairs.push(pair(text, key, value_at, text.len()));
    }
    pairs
}

fn pair<'a>(text: &'a str, key: &'a str, start: usize, end: usize) -> Pair<'a> {
    let value = text.get(start..end).unwrap_or_default().trim();
    Pair { key, value, escaped: memchr::memchr(b'\\', value.as_bytes()).is_some() }
}

/// Where the key before this sign begins, when there is one.
fn key_start(bytes: &[u8], equals: usize) -> Option<usize> {
    let mut at = equals;
    while at > 0 && equals - at <= MAX_KEY {
        match bytes.get(at - 1) {
            Some(byte)
                if byte.is_ascii_alphanumeric()
                    || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']')
                    || *byte >= 0x80 =>
            {
                at -= 1
            }
            Some(b' ' | b'\t' | b'\n' | b'\r') => break,
            _ => return None,
        }
    }
    (at < equals && equals - at <= MAX_KEY).then_some(at)
}

/// The name that a custom value's label gives it.
fn label<'a>(key: &'a str, pairs: &[Pair<'a>]) -> &'a str {
    let custom = [
        "cs",
        "cn",
        "cfp",
        "c6a",
        "flexString",
        "flexNumber",
        "deviceCustomDate",
        "deviceCustomString",
        "deviceCustomNumber",
        "deviceCustomIPv6Address",
        "flexDate",
    ];
    let number = key.trim_end_matches(|char: char| char.is_ascii_digit());
    if number.len() == key.len() || !custom.contains(&number) {
        return key;
    }
    let named = pairs.iter().find(|pair| {
        pair.key.len() == key.len() + 5 && pair.key.starts_with(key) && pair.key.ends_with("Label")
    });
    named.map_or(key, |pair| pair.value)
}

/// Dates the line: milliseconds, `Nov 22 2026 08:00:00`, or ISO.
pub(super) fn stamp(value: &str, out: &mut Out) -> bool {
    if let Ok(number) = value.parse::<u64>() {
        // A small number is no time of this century.
        if number < FIRST_EPOCH {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "an epoch has far fewer digits")]
        let time = json::epoch(number as f64);
        out.time = time;
        return time.is_some();
    }
    let Some((stamp, _)) = bsd(value.as_bytes()).or_else(|| iso(value.as_bytes())) else {
        return false;
    };
    out.stamp(&stamp);
    out.time.is_some()
}

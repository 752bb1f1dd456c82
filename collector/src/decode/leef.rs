//! LEEF, the form in which security products tell QRadar what they saw, versions 1.0 and 2.0.
//!
//! In: `LEEF:1.0|Vendor|Product|Version|EventID|` and attributes between tabs; version 2.0 names its
//! separator in one more part (`^`, `0x09`, `x5E`). A relay that wrote tabs as `#011` or as blanks is
//! understood. Out: see [`super::network`].
//!
//! Attributes are not quoted; a value holds no separator, or says more attributes than there were.

use super::cef::{extension_pairs, name_it, stamp};
use super::network::{Dialect, Facts, Meaning, Side};
use super::out::Out;
use super::pairs::{MAX_PAIRS, Pair};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "leef",
    datasets: &["leef"],
    programs: &["LEEF"],
    paths: &[],
    looks: Looks { first: b"L", test: |line| line.starts_with("LEEF:") },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "leef", own };
/// A tab, as rsyslog escapes it.
const ESCAPED_TAB: &str = "#011";

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "sev" => Meaning::Severity,
        "cat" => Meaning::Kind,
        "identSrc" => Meaning::Address(Side::Peer),
        "srcPostNAT" => Meaning::Address(Side::SourceNat),
        "dstPostNAT" => Meaning::Address(Side::DestinationNat),
        "srcPostNATPort" => Meaning::Port(Side::SourceNat),
        "dstPostNATPort" => Meaning::Port(Side::DestinationNat),
        "srcBytes" => Meaning::Count(names::SOURCE_BYTES),
        "dstBytes" => Meaning::Count(names::DESTINATION_BYTES),
        "srcPackets" => Meaning::Count(names::SOURCE_PACKETS),
        "dstPackets" => Meaning::Count(names::DESTINATION_PACKETS),
        "domain" => Meaning::Field(names::USER_DOMAIN),
        "groupID" => Meaning::Field(names::GROUP_ID),
        "role" => Meaning::Field(names::USER_ROLES),
        _ => return None,
    })
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let rest = message.strip_prefix("LEEF:")?.trim_start();
    let (version, rest) = rest.split_once('|')?;
    let second = match version {
        "1.0" | "1" => false,
        "2.0" | "2" => true,
        _ => return None,
    };
    let mut parts = rest.splitn(5, '|');
    let (vendor, product, device) = (parts.next()?, parts.next()?, parts.next()?);
    let (event, rest) = (parts.next()?, parts.next().unwrap_or_default());
    for (id, part) in [
        (names::OBSERVER_VENDOR, vendor),
        (names::OBSERVER_PRODUCT, product),
        (names::OBSERVER_VERSION, device),
        (names::EVENT_CODE, event),
    ] {
        out.some(id, part.trim());
    }
    let (separator, attributes) = if second { separator(rest) } else { (None, rest) };
    let mut facts = Facts::new(DIALECT);
    let pairs = attributes_of(attributes, separator.unwrap_or('\t'));
    if pairs.is_empty() {
        return None;
    }
    if pairs.len() >= MAX_PAIRS {
        out.problem("pairs are left out: there are too many");
    }
    let mut login = None;
    for pair in pairs {
        match pair.key {
            "devTime" if out.time.is_none() && stamp(pair.value, out) => continue,
            "devTimeFormat" => continue,
            "isLoginEvent" if pair.value == "true" => login = Some("login"),
            "isLogoutEvent" if pair.value == "true" => login = Some("logout"),
            _ => {}
        }
        facts.take(pair, out);
    }
    name_it(&mut facts, event.trim(), false, out);
    if let Some(login) = login {
        facts.set_kind(login);
    }
    facts.conclude(out);
    Some(())
}

/// The separator that the sixth part names, and the attributes.
fn separator(rest: &str) -> (Option<char>, &str) {
    let Some((part, attributes)) = rest.split_once('|').filter(|(part, _)| !part.contains('='))
    else {
        return (None, rest);
    };
    let hex = part.strip_prefix("0x").or_else(|| part.strip_prefix('x'));
    let named = match hex.filter(|hex| !hex.is_empty()) {
        Some(hex) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
        None if part == "\\t" => Some('\t'),
        None => part.chars().next(),
    };
    (named, attributes)
}

fn attributes_of(attributes: &str, separator: char) -> Vec<Pair<'_>> {
    let split = |by: &str| -> Vec<Pair<'_>> {
        attributes
            .split(by)
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| Pair { key: key.trim(), value: value.trim(), escaped: false })
            .filter(|pair| !pair.key.is_empty())
            .take(MAX_PAIRS)
            .collect()
    };
    let mut buffer = [0; 4];
    if attributes.contains(separator) {
        split(separator.encode_utf8(&mut buffer))
    } else if attributes.contains(ESCAPED_TAB) {
        split(ESCAPED_TAB)
    } else {
        extension_pairs(attributes)
    }
}

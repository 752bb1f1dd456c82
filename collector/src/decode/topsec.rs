//! Topsec (天融信): firewalls, gateways and their kin on TopsecOS and NGTOS.
//!
//! In: `id=tos time="2026-11-22 08:00:00" fw=TopsecOS pri=6 type=ac recorder=FW-NAT src=… rule=accept …`, values in
//! quotes or not. Out: see [`super::network`]; what an administrator typed is the message of a `mgmt` line.
//! `pri` is syslog's severity and not an attack's.

use super::network::words::{self, Happening};
use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::Style;
use super::{Decoder, Line, Looks, pairs};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "topsec",
    datasets: &["topsec"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"iv", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "topsec", own };

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "pri" | "id" | "recorder" => Meaning::Keep,
        "vip" => Meaning::Keep,
        "bad_domain" => Meaning::Field(names::URL_DOMAIN),
        _ => return None,
    })
}

fn looks_like(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("id=") else {
        return line.starts_with("vendor=\"Topsec\"") || line.starts_with("vendor=Topsec ");
    };
    let name = rest.trim_start_matches('"');
    let named =
        |sign: &str| name.get(..sign.len()).is_some_and(|head| head.eq_ignore_ascii_case(sign));
    ["tos", "ngtos", "topsec"].iter().any(|sign| {
        named(sign)
            && name.as_bytes().get(sign.len()).is_some_and(|byte| matches!(byte, b' ' | b'"'))
    })
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !looks_like(line.message) {
        return false;
    }
    let style = pairs::sniff(line.message, network::known).unwrap_or(Style::PLAIN);
    let mut facts = network::read(line.message, style, DIALECT, out);
    if !facts.speaks() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Topsec");
    let kind = facts.kind().unwrap_or_default();
    let managed = matches!(kind, "mgmt" | "config")
        || words::happening(kind) == Some(Happening::Configuration);
    if managed && facts.operation().and_then(words::happening).is_none() {
        facts.set_happening(Happening::Configuration);
        if let Some(command) = facts.prose().filter(|command| *command != "null") {
            out.text(names::PROCESS_COMMAND_LINE, command);
        }
    }
    facts.conclude(out);
    true
}

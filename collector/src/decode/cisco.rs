//! Cisco: switches and routers (IOS, IOS XE, NX-OS), and firewalls (ASA, FTD).
//!
//! In: `%FACILITY-SEVERITY-NAME: text`, its headers taken off by [`super::gear`]. Every such line gives its code
//! and severity; those that tell of logins, commands, links, access lists, connections, AAA, VPN, port
//! security and snooping are read further, by name in `cisco/ios.rs`, by number in `cisco/asa.rs`.
//!
//! Names of users come from the peer and may hold the text around them. An address is taken only where
//! the sign before it is there once; else the event says why there is none.

mod asa;
mod ios;

use std::net::IpAddr;

use super::network::endpoint;
use super::out::Out;
use super::{Decoder, Line, Looks, gear};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "cisco",
    datasets: &["cisco.ios", "cisco.asa", "cisco.command"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"%", test: gear::mnemonic },
    security: false,
    decode,
};

/// The longest code.
const MAX_CODE: usize = 64;

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    if !gear::mnemonic(message) {
        return None;
    }
    let (code, text) = message.strip_prefix('%')?.split_once(':')?;
    if code.len() > MAX_CODE || code.contains(' ') {
        return None;
    }
    let text = text.trim_start();
    let (facility, severity, name) = parts(code)?;
    gear::severity(severity, out);
    out.word(names::OBSERVER_VENDOR, "Cisco");
    if matches!(facility.split('-').next(), Some("ASA" | "FTD" | "PIX" | "FWSM")) {
        out.dataset = Some("cisco.asa");
        out.word(names::OBSERVER_TYPE, "firewall");
        out.text(names::EVENT_CODE, name);
        asa::read(name, text, out);
    } else {
        out.dataset = Some("cisco.ios");
        out.text(names::EVENT_CODE, code);
        ios::read(facility, name, text, out);
    }
    Some(())
}

/// `FACILITY-SUB-5-NAME`: what stands before the severity, the severity, and the name.
fn parts(code: &str) -> Option<(&str, u8, &str)> {
    let mut at = 0;
    for part in code.split('-') {
        if part.len() == 1
            && at > 1
            && let Some(digit) = part.parse::<u8>().ok().filter(|digit| *digit < 8)
        {
            let name = code.get(at + 2..)?;
            return (!name.is_empty()).then_some((code.get(..at - 1)?, digit, name));
        }
        at += part.len() + 1;
    }
    None
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End<'a> {
    interface: &'a str,
    address: IpAddr,
    port: Option<u16>,
}

/// `outside:192.0.2.1/443`, `inside/192.0.2.1(443)`, `192.0.2.1/443`, `192.0.2.1(443)`, `192.0.2.1`.
fn end(token: &str) -> Option<End<'_>> {
    let token = token.trim_end_matches([',', '.']);
    let bare = |interface, text: &str| {
        let (address, port) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((address, port)) => (address, port.parse().ok()),
            None => match text.rsplit_once('/') {
                Some((address, port)) => (address, port.parse().ok()),
                None => (text, None),
            },
        };
        let address = super::scan::address(address)?;
        Some(End { interface, address, port })
    };
    bare("", token).or_else(|| {
        let at = token.find([':', '/'])?;
        bare(token.get(..at)?, token.get(at + 1..)?)
    })
}

/// Writes both ends.
fn ends(source: Option<End<'_>>, destination: Option<End<'_>>, out: &mut Out) {
    for (end, address, port, interface) in [
        (source, names::SOURCE_IP, names::SOURCE_PORT, names::OBSERVER_INGRESS_INTERFACE_NAME),
        (
            destination,
            names::DESTINATION_IP,
            names::DESTINATION_PORT,
            names::OBSERVER_EGRESS_INTERFACE_NAME,
        ),
    ] {
        let Some(end) = end else { continue };
        out.address(address, end.address);
        if let Some(number) = end.port {
            out.integer(port, number.into());
        }
        out.some(interface, end.interface);
    }
}

/// What stands between two signs, the first of which is there only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between<'a> {
    Nothing,
    Once(&'a str),
    /// The first sign is there again: somebody may have written it.
    Again,
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Between<'a> {
    let Some((_, rest)) = text.split_once(before) else { return Between::Nothing };
    if rest.contains(before) {
        return Between::Again;
    }
    match rest.split_once(behind) {
        Some((value, _)) if !behind.is_empty() => Between::Once(value),
        _ => Between::Once(rest),
    }
}

/// Writes the text between two signs.
fn text_between(id: FieldId, text: &str, before: &str, behind: &str, out: &mut Out) {
    match between(text, before, behind) {
        Between::Once(value) => out.some(id, value.trim()),
        Between::Again => doubt(id, out),
        Between::Nothing => {}
    }
}

/// Writes the address between two signs.
fn address_between(text: &str, before: &str, behind: &str, out: &mut Out) {
    match between(text, before, behind) {
        Between::Once(value) => {
            if let Some((address, port)) = endpoint(value.trim()) {
                out.address(names::SOURCE_IP, address);
                if let Some(port) = port {
                    out.integer(names::SOURCE_PORT, port.into());
                }
            }
        }
        Between::Again => doubt(names::SOURCE_IP, out),
        Between::Nothing => {}
    }
}

fn doubt(id: FieldId, out: &mut Out) {
    out.problem(&format!("the line gives two values for {}", id.name()));
}

/// The word behind a sign.
fn word<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.trim_start().split([' ', ',']).next().filter(|word| !word.is_empty())
}

/// Says what happened. What is more than traffic is a security event.
fn told(category: &'static str, action: &'static str, out: &mut Out) {
    out.event(category, action);
    out.security |= category != "network";
}

/// Says that something came in or was kept out.
fn verdict(allowed: bool, out: &mut Out) {
    told("network", if allowed { "allow" } else { "deny" }, out);
    out.word(names::EVENT_TYPE, if allowed { "allowed" } else { "denied" });
}

/// Says that somebody came, or tried to.
fn login(success: bool, out: &mut Out) {
    told("authentication", "login", out);
    out.outcome(success);
}

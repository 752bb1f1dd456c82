//! What watches servers from below and powers them: iDRAC, iLO, UPS (apcupsd, NUT, APC's cards).
//!
//! In: Dell's `Severity: Warning, Category: Audit, MessageID: USR0031, Message: Unable to log in for root from 203.0.113.9 using
//! GUI.`, HPE's `Browser login failure from: 203.0.113.9(DNS name not found).`, `Running on UPS batteries.` Out: logins at
//! the management card, power that fails and comes back, hardware that does.
//!
//! A management card is a way into a server past its operating system: its logins count like those of
//! network devices. Names are read from the end where the form has an address behind them.

use std::sync::LazyLock;

use super::network;
use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const IDRAC: Decoder = Decoder {
    name: "idrac",
    datasets: &["idrac"],
    programs: &["idrac", "iDRAC"],
    paths: &["idrac"],
    looks: Looks {
        first: b"S",
        test: |line| line.starts_with("Severity: ") && line.contains(", MessageID: "),
    },
    security: false,
    decode: idrac,
};

pub(crate) const ILO: Decoder = Decoder {
    name: "ilo",
    datasets: &["ilo"],
    programs: &["iLO", "#ILO", "ilo", "iLO4", "iLO5", "iLO6"],
    paths: &[],
    looks: Looks { first: b"BSXi", test: is_ilo },
    security: false,
    decode: |line, out| ILO_SAID.read(line.message.trim_end(), out).is_some(),
};

pub(crate) const UPS: Decoder = Decoder {
    name: "ups",
    datasets: &["ups"],
    programs: &["apcupsd", "upsmon", "upsd", "usbhid-ups", "UPS", "snmp-ups"],
    paths: &["apcupsd.events"],
    looks: Looks {
        first: b"U",
        test: |line| line.starts_with("UPS: ") || line.starts_with("UPS ") && line.contains("@"),
    },
    security: false,
    decode: ups,
};

const DELL: &[Row] = &[
    row("Successfully logged in using {user}, from {ip} and {method}.", "authentication", "login").ok(),
    row("Successfully logged in using {user}, from {ip} and {*}.", "authentication", "login").ok(),
    row("Unable to log in for {user} from {ip} using {method}.", "authentication", "login").failed(),
    row("Unable to log in for {user} from {ip} using {*}.", "authentication", "login").failed(),
    row("Login attempt alert for {user} from {ip} using {method}, IP will be blocked for {_} seconds.", "intrusion_detection", "address_blocked").kind("denied"),
    row("The session for {user} from {ip} using {method} is logged off.", "authentication", "logout").ok(),
    row("Session for {user} from {ip} using {method} timed out.", "authentication", "logout").ok(),
    row("The power input for power supply {_} is lost.", "host", "power_lost").failed(),
    row("Power supply redundancy is lost.", "host", "power_redundancy_lost").failed(),
    row("Fault detected on drive {reason}", "host", "disk_failed").failed(),
    row("The chassis is open {reason}", "host", "chassis_opened"),
    row("The chassis is opened {reason}", "host", "chassis_opened"),
];

const HPE: &[Row] = &[
    row("Browser login: {user} - {ip}(DNS name not found).", "authentication", "login")
        .ok()
        .by("web"),
    row("Browser login: {user} - {ip}({*}).", "authentication", "login").ok().by("web"),
    row("Browser login failure from: {ip}(DNS name not found).", "authentication", "login")
        .failed()
        .by("web"),
    row("Browser login failure from: {ip}({*}).", "authentication", "login").failed().by("web"),
    row("Browser logout: {user} - {ip}({*}).", "authentication", "logout").ok().by("web"),
    row("SSH login: {user} - {ip}({*}).", "authentication", "login").ok().by("ssh"),
    row("SSH login failure from: {ip}({*}).", "authentication", "login").failed().by("ssh"),
    row("SSH logout: {user} - {ip}({*}).", "authentication", "logout").ok().by("ssh"),
    row("XML login: {user} - {ip}({*}).", "authentication", "login").ok().by("xml"),
    row("XML login failure from: {ip}({*}).", "authentication", "login").failed().by("xml"),
    row("IPMI/RMCP login by {user} - {ip}({*}).", "authentication", "login").ok().by("ipmi"),
    row("Server power removed.", "host", "power_off"),
    row("Server reset.", "host", "restarted"),
    row("Server power restored.", "host", "power_on"),
];

const POWER: &[Row] = &[
    row("Power failure.", "host", "power_lost").failed(),
    row("Running on UPS batteries.", "host", "on_battery"),
    row("Battery power exhausted.", "host", "battery_low").failed(),
    row("Reached remaining time percentage limit on batteries.", "host", "battery_low").failed(),
    row("Reached run time limit on batteries.", "host", "battery_low").failed(),
    row("Initiating system shutdown!", "host", "shutdown"),
    row("Mains returned. No longer on UPS batteries.", "host", "on_mains"),
    row("Power is back. UPS running on mains.", "host", "on_mains"),
    row("UPS battery must be replaced.", "host", "battery_bad").failed(),
    row("Communications with UPS lost.", "host", "ups_lost").failed(),
    row("Communications with UPS restored.", "host", "ups_back").ok(),
    row("UPS {service.name} on battery", "host", "on_battery"),
    row("UPS {service.name} on line power", "host", "on_mains"),
    row("UPS {service.name} battery is low", "host", "battery_low").failed(),
    row("UPS {service.name} battery needs to be replaced", "host", "battery_bad").failed(),
    row("Communications with UPS {service.name} lost", "host", "ups_lost").failed(),
    row("Communications with UPS {service.name} established", "host", "ups_back").ok(),
    row("Executing automatic power-fail shutdown", "host", "shutdown"),
    row("UPS: On battery power in response to {reason}", "host", "on_battery"),
    row("UPS: No longer on battery power.{reason}", "host", "on_mains"),
    row("UPS: The battery power is too low to {reason}", "host", "battery_low").failed(),
];

static DELL_SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(DELL));
static ILO_SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(HPE));
static POWER_SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(POWER));

fn is_ilo(line: &str) -> bool {
    ["Browser log", "SSH log", "XML log"].iter().any(|sign| line.starts_with(sign))
        && line.ends_with(").")
}

/// `Severity: S, Category: C, MessageID: ID, Message: TEXT`, or the text alone.
fn idrac(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message.trim_end();
    let Some((head, text)) = message.split_once(", Message: ") else {
        return DELL_SAID.read(message, out).is_some();
    };
    for part in head.split(", ") {
        match part.split_once(": ") {
            Some(("Severity", level)) => network::lower(names::LOG_LEVEL, level, out),
            Some(("Category", category)) => network::lower(names::LOG_LOGGER, category, out),
            Some(("MessageID", code)) => out.some(names::EVENT_CODE, code),
            _ => {}
        }
    }
    if DELL_SAID.read(text, out).is_none() {
        out.some(names::EVENT_REASON, text);
    }
    out.word(names::OBSERVER_VENDOR, "Dell");
    true
}

fn ups(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message.trim_end();
    // apcupsd's own file begins with `2026-11-22 08:00:00 +0800  `.
    let own = super::time::iso(message.as_bytes()).and_then(|(stamp, length)| {
        let behind = message.get(length..)?.split_once("  ")?.1;
        Some((stamp, behind))
    });
    let message = match own {
        Some((stamp, message)) => {
            out.stamp(&stamp);
            message
        }
        None => message,
    };
    POWER_SAID.read(message.trim(), out).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(DELL);
        super::super::phrase::check(HPE);
        super::super::phrase::check(POWER);
    }
}

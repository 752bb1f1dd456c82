//! Firewalls that write WELF, the pairs of WebTrends: SonicWall, Stormshield.
//!
//! In: `id=firewall sn=… time="2026-11-22 08:00:00" fw=192.0.2.1 pri=6 … src=10.0.0.5:63045:X16 dst=…`, from SonicWall
//! with the interface behind the port, from Stormshield with `srcport` and `logtype`. Out: see
//! [`super::network`]; `pri` is syslog's severity. What happened is prose (`msg`), of which logins are told.

use super::network::words::{self, Happening};
use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::Style;
use super::{Decoder, Line, Looks, gear};
use crate::event::names;

pub(crate) const SONICWALL: Decoder = Decoder {
    name: "sonicwall",
    datasets: &["sonicwall"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"is", test: is_sonicwall },
    security: false,
    decode: |line, out| decode(line, SONIC, "SonicWall", out),
};

pub(crate) const STORMSHIELD: Decoder = Decoder {
    name: "stormshield",
    datasets: &["stormshield"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"i", test: is_stormshield },
    security: false,
    decode: |line, out| decode(line, STORM, "Stormshield", out),
};

const SONIC: Dialect = Dialect { vendor: "sonicwall", own: of_sonicwall };
const STORM: Dialect = Dialect { vendor: "stormshield", own: of_stormshield };
/// The severity of what is only possible.
const UNSURE: i64 = 3;
/// How far into a line its own signs are.
const HEAD: usize = 192;

fn of_sonicwall(key: &str) -> Option<Meaning> {
    Some(match key {
        "id" | "pri" | "c" | "n" | "sess" | "vp_time" | "app" | "gcat" => Meaning::Keep,
        "m" => Meaning::Field(names::EVENT_CODE),
        "fw_action" => Meaning::Action,
        "dstname" => Meaning::Field(names::DESTINATION_DOMAIN),
        "arg" => Meaning::Field(names::URL_PATH),
        "rpkt" => Meaning::Count(names::DESTINATION_PACKETS),
        "spkt" => Meaning::Count(names::SOURCE_PACKETS),
        "natSrc" => Meaning::Address(network::Side::SourceNat),
        "natDst" => Meaning::Address(network::Side::DestinationNat),
        _ => return None,
    })
}

fn of_stormshield(key: &str) -> Option<Meaning> {
    Some(match key {
        "id" | "pri" | "tz" | "confid" | "slotlevel" | "startime" | "error" | "sessionid" => {
            Meaning::Keep
        }
        "method" => Meaning::Field(names::HENGWEI_AUTH_METHOD),
        "proto" => Meaning::Lower(names::NETWORK_PROTOCOL),
        "modsrc" => Meaning::Address(network::Side::SourceNat),
        "modsrcport" => Meaning::Port(network::Side::SourceNat),
        "origdst" => Meaning::Keep,
        "srcname" => Meaning::Field(names::SOURCE_DOMAIN),
        "dstname" => Meaning::Field(names::DESTINATION_DOMAIN),
        "alarmid" => Meaning::Field(names::EVENT_CODE),
        _ => return None,
    })
}

fn head(line: &str) -> &str {
    line.get(..line.floor_char_boundary(HEAD)).unwrap_or_default()
}

fn is_sonicwall(line: &str) -> bool {
    let head = head(line);
    (head.starts_with("id=") && head.contains(" sn=") || head.starts_with("sn="))
        && head.contains(" fw=")
        && head.contains(" pri=")
}

fn is_stormshield(line: &str) -> bool {
    let head = head(line);
    head.starts_with("id=firewall ") && head.contains(" fw=\"") && head.contains(" startime=\"")
}

fn decode(line: &Line<'_>, dialect: Dialect, vendor: &'static str, out: &mut Out) -> bool {
    if !gear::begins_pair(line.message) {
        return false;
    }
    let mut facts = network::read(line.message, Style::PLAIN, dialect, out);
    if !facts.speaks() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, vendor);
    out.word(names::OBSERVER_TYPE, "firewall");
    if let Some(text) = facts.prose() {
        out.some(names::EVENT_REASON, text);
        match words::happening(text) {
            Some(happening @ (Happening::Login | Happening::Logout)) if facts.has_user() => {
                facts.set_happening(happening);
                let ok = ["allowed", "authenticated"].iter().any(|word| text.contains(word));
                facts.set_result(if ok { "success" } else { text });
            }
            Some(Happening::Attack) => facts.set_attack(text),
            _ if facts.kind() == Some("alarm") => {
                facts.set_attack(text);
                facts.set_happening(Happening::Attack);
            }
            _ if text.contains("scan detected") => {
                facts.set_attack(text);
                // It says itself that it is not sure.
                if text.starts_with("Possible") {
                    out.integer(names::EVENT_SEVERITY, UNSURE);
                }
            }
            _ => {
                // `Connection Opened`, `TCP connection dropped`.
                if words::verdict(text).is_some_and(|verdict| verdict.kind.is_some()) {
                    facts.suppose_action(text);
                }
            }
        }
    }
    facts.conclude(out);
    true
}

//! Fortinet's FortiGate: traffic, security profiles, events.
//!
//! In: `date=2026-11-22 time=08:00:00 devname="fw01" … type="traffic" subtype="forward" srcip=…`. Values that hold
//! anything are quoted and escaped. Out: see [`super::network`]. A session that was let through is `allow`,
//! however it ended; how stays in `fortinet.action`.

use super::network::words::Happening;
use super::network::{Dialect, Facts, Meaning, Side, endpoint};
use super::out::Out;
use super::pairs::{Pair, Style};
use super::time::{Stamp, iso, offset};
use super::{Decoder, Line, Looks, pairs};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "fortinet",
    datasets: &["fortinet.fortigate"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"d", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "fortinet", own };
/// How far into a line its own signs are.
const HEAD: usize = 256;

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(HEAD)).unwrap_or_default();
    line.starts_with("date=")
        && ["devname=", "devid=", "logid="].iter().any(|sign| head.contains(sign))
}

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "type" | "vd" | "date" | "time" | "tz" | "eventtime" | "ui" | "unauthuser" | "crlevel"
        | "policytype" | "method" | "sn" => Meaning::Keep,
        "subtype" => Meaning::Kind,
        "level" => Meaning::Lower(names::LOG_LEVEL),
        "hostname" => Meaning::Field(names::URL_DOMAIN),
        "catdesc" => Meaning::Field(names::RULE_CATEGORY),
        "group" => Meaning::Field(names::GROUP_NAME),
        "transip" => Meaning::Address(Side::SourceNat),
        "tranip" => Meaning::Address(Side::DestinationNat),
        "transport" => Meaning::Port(Side::SourceNat),
        "tranport" => Meaning::Port(Side::DestinationNat),
        "remip" => Meaning::Address(Side::Source),
        "locip" => Meaning::Address(Side::Destination),
        "remport" => Meaning::Port(Side::Source),
        "locport" => Meaning::Port(Side::Destination),
        "attackid" | "virusid" => Meaning::PolicyId,
        _ => return None,
    })
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !looks_like(line.message) {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Fortinet");
    out.word(names::OBSERVER_TYPE, "firewall");
    let mut facts = Facts::new(DIALECT);
    let mut said = Said::default();
    let mut all = pairs::pairs(line.message, Style::PLAIN);
    for pair in all.by_ref() {
        said.see(&pair);
        // Whom an administrator's interface names: `https(192.0.2.1)`.
        if pair.key == "ui"
            && let Some((_, place)) = pair.value.split_once('(')
            && endpoint(place.trim_end_matches(')')).is_some()
        {
            let value = place.trim_end_matches(')');
            facts.take(Pair { key: "ip", value, escaped: false }, out);
        }
        if pair.key == "action" && said.kind == "traffic" && !said.denied() {
            facts.take(Pair { key: "action", value: "accept", escaped: false }, out);
            facts.take(Pair { key: "session_end", ..pair }, out);
            continue;
        }
        if pair.key == "action" && said.kind == "event" {
            // What an administrator did to an object, `Add` or `Edit`, is all the same to the rest.
            facts.take(Pair { key: "event_action", ..pair }, out);
        }
        facts.take(pair, out);
    }
    if all.cut() {
        out.problem("pairs are left out: there are too many");
    }
    if said.kind.is_empty() {
        return false;
    }
    said.date(out);
    facts.set_happening(said.happening());
    facts.conclude(out);
    true
}

/// What decides how a line is read.
#[derive(Debug, Default)]
struct Said<'a> {
    date: &'a str,
    time: &'a str,
    zone: &'a str,
    kind: &'a str,
    sub: &'a str,
    action: &'a str,
    configured: bool,
}

impl<'a> Said<'a> {
    fn see(&mut self, pair: &Pair<'a>) {
        let place = match pair.key {
            "date" => &mut self.date,
            "time" => &mut self.time,
            "tz" => &mut self.zone,
            "type" => &mut self.kind,
            "subtype" => &mut self.sub,
            "action" => &mut self.action,
            "cfgpath" | "cfgattr" => {
                self.configured = true;
                return;
            }
            _ => return,
        };
        if place.is_empty() {
            *place = pair.value;
        }
    }

    fn denied(&self) -> bool {
        ["deny", "block", "drop"].iter().any(|word| self.action.contains(word))
    }

    /// Dates the line by its own date and time, when no header did.
    fn date(&self, out: &mut Out) {
        if out.time.is_some() {
            return;
        }
        let text = format!("{} {}", self.date, self.time);
        if let Some((stamp, _)) = iso(text.as_bytes()) {
            let offset_secs = offset(self.zone.as_bytes()).map(|(secs, _)| secs);
            out.stamp(&Stamp { offset_secs: offset_secs.or(stamp.offset_secs), ..stamp });
        }
    }

    fn happening(&self) -> Happening {
        match (self.kind, self.sub) {
            ("traffic", _) => Happening::Session,
            (_, "virus" | "antivirus") => Happening::Virus,
            (_, "ips" | "anomaly" | "waf" | "botnet") | ("anomaly", _) => Happening::Attack,
            (_, "webfilter") => Happening::Web,
            _ if self.configured => Happening::Configuration,
            _ if self.action.contains("logout") => Happening::Logout,
            (_, "user") => Happening::Login,
            _ if self.action.contains("login") || self.action.contains("auth") => Happening::Login,
            _ => Happening::Session,
        }
    }
}

//! Check Point, as its log exporter writes syslog.
//!
//! In: `action:"Drop"; ifdir:"inbound"; src:"203.0.113.7"; s_port:"51876"; service:"22"; …` or `Action="Drop" src="…" …`, which
//! stand where RFC 5424 has structured data (`decode/syslog.rs` takes the brackets off). Out: see
//! [`super::network`]; what an administrator did is a change or a login, with `audit_status` for its outcome.
//!
//! Values are quoted and the names of users, rules and resources in them are others' text: where an
//! address is named twice, none is taken.

use super::network::words::{self, Happening};
use super::network::{self, Dialect, Meaning, Side};
use super::out::Out;
use super::pairs::{Assign, Between, Style};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "checkpoint",
    datasets: &["checkpoint"],
    programs: &["CheckPoint"],
    paths: &["checkpoint"],
    looks: Looks { first: b"aAf", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "checkpoint", own };
const COLONS: Style = Style { assign: Assign::Colon, between: Between::Semicolon };

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "Action" | "action" | "rule_action" => Meaning::Action,
        "s_port" => Meaning::Port(Side::Source),
        "service" => Meaning::Port(Side::Destination),
        "xlatesrc" => Meaning::Address(Side::SourceNat),
        "xlatedst" => Meaning::Address(Side::DestinationNat),
        "xlatesport" => Meaning::Port(Side::SourceNat),
        "xlatedport" => Meaning::Port(Side::DestinationNat),
        "protection_name" | "malware_rule_name" => Meaning::Attack,
        "attack" | "protection_type" => Meaning::AttackCategory,
        "audit_status" | "auth_status" => Meaning::Result,
        "rule_name" => Meaning::Policy,
        "layer_name" => Meaning::Field(names::RULE_RULESET),
        "rule" | "rule_uid" | "match_id" | "flags" | "loguid" | "UUid" | "origin" => Meaning::Keep,
        "operation" | "subject" => Meaning::Operation,
        // Its own scale ends at four.
        "severity" | "confidence_level" => Meaning::Keep,
        "time" | "product" | "ProductName" | "version" => Meaning::Keep,
        _ => return None,
    })
}

/// Only what no other writes at once: an action in quotes, and a product of the maker.
fn looks_like(line: &str) -> bool {
    let begins = ["action:\"", "Action=\"", "flags:\""].iter().any(|sign| line.starts_with(sign));
    begins && (line.contains("; product:\"") || line.contains(" product=\""))
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    let style = match message.split_once('"').map(|(key, _)| key) {
        Some(key) if key.ends_with(':') => COLONS,
        Some(key) if key.ends_with('=') => Style::PLAIN,
        _ => return false,
    };
    let mut facts = network::read(message, style, DIALECT, out);
    if !facts.speaks() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Check Point");
    out.word(names::OBSERVER_TYPE, "firewall");
    // The change of a rule names the rule's addresses: what was done says more than they do.
    if let Some(done) = facts.operation().filter(|_| facts.has_user()) {
        facts.set_happening(match words::happening(done) {
            Some(happening @ (Happening::Login | Happening::Logout)) => happening,
            _ => Happening::Configuration,
        });
    }
    facts.conclude(out);
    true
}

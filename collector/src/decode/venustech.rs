//! Venustech (启明星辰) and its Leadsec line (网御): firewalls and unified gateways.
//!
//! Two forms: `devid=0 date="2026/11/22 08:00:00" dname=themis logtype=9 pri=6 … sa=192.0.2.1 sport=… da=… policy=允许`,
//! and `SerialNum=… GenTime="2026-11-22 08:00:00" SrcIP=… DstIP=… Content="…"` behind a tag such as `LOGIN_INFO:`.
//! Out: see [`super::network`].

use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::Style;
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "venustech",
    datasets: &["venustech"],
    programs: &[],
    paths: &[],
    looks: Looks { first: b"dS", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "venustech", own };

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "pri" | "ver" | "fwlog" | "type" | "devid" => Meaning::Keep,
        "logtype" | "mod" => Meaning::Kind,
        "event_type" => Meaning::Attack,
        "date" | "GenTime" => Meaning::Time,
        "policy" => Meaning::Action,
        "rule_name" => Meaning::Policy,
        "dsp_msg" | "Content" => Meaning::Text,
        "SerialNum" => Meaning::Field(names::OBSERVER_SERIAL_NUMBER),
        "from" | "ManageIP" | "LoginIP" => Meaning::Address(network::Side::Source),
        "Operate" => Meaning::Operation,
        _ => return None,
    })
}

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(192)).unwrap_or_default();
    line.starts_with("devid=") && head.contains(" dname=") && head.contains(" logtype=")
        || line.starts_with("SerialNum=") && head.contains("GenTime=")
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !looks_like(line.message) {
        return false;
    }
    let mut facts = network::read(line.message, Style::PLAIN, DIALECT, out);
    if !facts.speaks() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Venustech");
    if let Some(kind) = line.program.filter(|program| program.contains('_')) {
        facts.set_kind(kind);
    }
    facts.conclude(out);
    true
}

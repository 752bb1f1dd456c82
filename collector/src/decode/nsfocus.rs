//! NSFOCUS (绿盟): web application firewalls and intrusion prevention.
//!
//! Two forms: `tag:waf_log_websec  site_id:1  dst_ip:192.0.2.1  …  action:Block  http:GET / HTTP/1.1…` of the program
//! `waf`, and `time:…;danger_degree:2;…;event:[1]name;src_addr:…;src_port:…`. The request at the end of the first
//! is the peer's own text: it is kept whole and never read for pairs.

use super::network::words::Happening;
use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::{Assign, Between, Style};
use super::{Decoder, Line, Looks};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "nsfocus",
    datasets: &["nsfocus"],
    programs: &["waf"],
    paths: &[],
    looks: Looks { first: b"t", test: looks_like },
    security: false,
    decode,
};

const WAF: Dialect = Dialect { vendor: "nsfocus", own: of_waf };
const IPS: Dialect = Dialect { vendor: "nsfocus", own: of_ips };
/// Before the request as it came.
const REQUEST: &str = " http:";
const REQUEST_NAME: &str = "nsfocus.http";
/// How far into a line its own signs are.
const HEAD: usize = 192;

fn of_waf(key: &str) -> Option<Meaning> {
    Some(match key {
        "event_type" => Meaning::Attack,
        "stat_time" => Meaning::Time,
        "uri" => Meaning::Field(names::URL_ORIGINAL),
        "rule_id" => Meaning::PolicyId,
        "policy_id" | "block" | "block_info" | "site_id" | "protect_id" | "wci" | "wsi"
        | "count_num" => Meaning::Keep,
        _ => return None,
    })
}

fn of_ips(key: &str) -> Option<Meaning> {
    Some(match key {
        "event" => Meaning::Attack,
        "danger_degree" | "smt_user" => Meaning::Keep,
        _ => return None,
    })
}

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(HEAD)).unwrap_or_default();
    line.starts_with("tag:waf_") || line.starts_with("time:") && head.contains("danger_degree:")
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if message.starts_with("time:") && looks_like(message) {
        let style = Style { assign: Assign::Colon, between: Between::Semicolon };
        let mut facts = network::read(message, style, IPS, out);
        facts.set_happening(Happening::Attack);
        facts.conclude(out);
    } else if message.starts_with("tag:") {
        let (pairs, request) = match message.split_once(REQUEST) {
            Some((pairs, request)) => (pairs, request),
            None => (message, ""),
        };
        let style = Style { assign: Assign::Colon, between: Between::Blank };
        let mut facts = network::read(pairs, style, WAF, out);
        // The tag's `waf` says who writes, not that there was an attack.
        if facts.has_attack() {
            facts.set_happening(Happening::Attack);
        } else if facts.kind().is_some_and(|tag| tag.contains("access")) {
            facts.set_happening(Happening::Web);
        }
        out.some(FieldId::of(REQUEST_NAME), request);
        facts.conclude(out);
    } else {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "NSFOCUS");
    true
}

//! Qianxin (奇安信, once 360): firewalls (NSG) and the traffic sensors of SkyEye (天眼).
//!
//! Three forms: `devid="3" dname="NSG" … module="flow" … addr_src="192.0.2.1" …`, `skyeye_webattack serial_num="…" …`,
//! and `2026-11-22 08:00:00|!192.0.2.9|!webids-ids_dolog|!{JSON}`. Out: see [`super::network`].

use super::network::words::Happening;
use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::Style;
use super::{Decoder, ISO, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "qianxin",
    datasets: &["qianxin"],
    programs: &[],
    paths: &[],
    looks: Looks { first: &[b'd', b's', ISO], test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "qianxin", own };
/// What is between the parts of a sensor's line.
const BAR: &str = "|!";

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "devid" | "session_time" | "attack_desc" | "detail_info" | "time" | "attack_flag"
        | "attack_result" => Meaning::Keep,
        "host" => Meaning::Field(names::URL_DOMAIN),
        "rule_name" | "vuln_name" | "malicious_family" => Meaning::Attack,
        "module" => Meaning::Kind,
        "type" => Meaning::Keep,
        "rule" => Meaning::Policy,
        "req_body" | "rsp_body" | "packet_data" | "req_header" | "rsp_header" => Meaning::Keep,
        "locale_src" | "locale_dst" => Meaning::Keep,
        _ => return None,
    })
}

/// SkyEye's own rules are signatures; NSG's `rule` is a policy.
fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(96)).unwrap_or_default();
    line.starts_with("devid=\"") && head.contains(" dname=\"")
        || line.starts_with("skyeye_")
        || head.contains(BAR)
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if let Some((kind, rest)) =
        message.split_once(' ').filter(|(kind, _)| kind.starts_with("skyeye_"))
    {
        let mut facts = network::read(rest, Style::PLAIN, DIALECT, out);
        facts.set_kind(kind);
        if facts.has_attack() {
            facts.set_happening(Happening::Attack);
        }
        facts.conclude(out);
    } else if message.starts_with("devid=\"") {
        let facts = network::read(message, Style::PLAIN, DIALECT, out);
        if !facts.speaks() {
            return false;
        }
        facts.conclude(out);
    } else if decode_sensor(message, out).is_none() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Qianxin");
    true
}

/// `TIME|!SENSOR|!KIND|!{JSON}`.
fn decode_sensor(message: &str, out: &mut Out) -> Option<()> {
    let mut parts = message.splitn(4, BAR);
    let (_, sensor, kind, body) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    scan::address(sensor)?;
    network::read_object(body, kind, DIALECT, out).then_some(())
}

//! Sangfor: firewalls (AF), internet access management (AC), SSL VPN, and the SIP platform.
//!
//! Two forms: `日志类型:服务控制或应用控制, 用户:(null), 源IP:192.0.2.1, 目的IP:…` from the program `fwlog` or `nat` (also in
//! English), and `2026-11-22 08:00:00|!secevent|!192.0.2.1|!{JSON}`. Values are not quoted in the first, so
//! that a URL may hold keys; see [`super::network`] for what that can do.

use super::network::{self, Dialect, Meaning};
use super::out::Out;
use super::pairs::{Assign, Between, Style};
use super::{Decoder, Line, Looks, pairs, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "sangfor",
    datasets: &["sangfor"],
    programs: &["fwlog"],
    paths: &[],
    looks: Looks { first: b"\xE6LS2\xE7f", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect {
    vendor: "sangfor",
    // What was done may stand here: `操作对象:注销`.
    own: |key| (key == "操作对象").then_some(Meaning::Operation),
};
const STYLE: Style = Style { assign: Assign::Colon, between: Between::Comma };
/// What is between the parts of a line of the platforms.
const BAR: &str = "|!";

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(48)).unwrap_or_default();
    let own =
        || ["系统动作:", "(null)", "NAT类型:", "操作对象:"].iter().any(|word| line.contains(word));
    head.starts_with("日志类型:") && own()
        || head.starts_with("所属系统:")
        || head.get(..9).is_some_and(|head| head.eq_ignore_ascii_case("log type:"))
        || head.starts_with("fwlog: ")
        || head.starts_with("SourceSystem:")
        || head.contains(BAR)
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message.strip_prefix("fwlog: ").unwrap_or(line.message);
    if message.contains(BAR) && decode_platform(message, out) {
        return true;
    }
    let style = pairs::sniff(message, network::known).unwrap_or(STYLE);
    let facts = network::read(message, style, DIALECT, out);
    if facts.kind().is_none() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Sangfor");
    facts.conclude(out);
    true
}

/// `TIME|!KIND|!DEVICE|!{JSON}`.
fn decode_platform(message: &str, out: &mut Out) -> bool {
    let mut parts = message.splitn(4, BAR);
    let (Some(_), Some(kind), Some(device), Some(body)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if scan::address(device.trim_start_matches('!')).is_none() {
        return false;
    }
    if !network::read_object(body, kind, DIALECT, out) {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Sangfor");
    true
}

//! Programs that watch others and write pairs: Grafana and CrowdSec.
//!
//! ```text
//! logger=context userId=0 uname= t=… level=info msg="Request Completed" method=POST path=/login status=401 remote_addr=203.0.113.7
//! time="…" level=info msg="(his1/crowdsec) crowdsecurity/ssh-bf by ip 203.0.113.7 (CN/4134) : 4h ban on Ip 203.0.113.7"
//! ```
//!
//! Their lines are logfmt and read as such (`logfmt.rs`); on top of that a login to Grafana and what
//! CrowdSec found and banned are told for what they are. Pairs are taken apart with their quotes, so a name
//! that holds ` path=/login` stays a name. A key that matters and comes twice is believed about nothing.

use super::out::Out;
use super::pairs::{self, Style};
use super::{Decoder, Line, Looks, logfmt, scan};
use crate::event::names;

pub(crate) const GRAFANA: Decoder = Decoder {
    name: "grafana",
    datasets: &["grafana"],
    programs: &["grafana", "grafana-server"],
    paths: &["grafana"],
    looks: Looks { first: b"l", test: |line| line.starts_with(LOGGER) && grafana_like(line) },
    security: false,
    decode: |line, out| logfmt::decode(line, out) && grafana(line, out),
};

pub(crate) const CROWDSEC: Decoder = Decoder {
    name: "crowdsec",
    datasets: &["crowdsec"],
    programs: &["crowdsec", "cscli", "crowdsec-firewall-bouncer"],
    paths: &["crowdsec"],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| logfmt::decode(line, out) && crowdsec(line, out),
};

const LOGGER: &str = "logger=";
/// Where Grafana's stamp is at the latest; the id and the name of the user stand before it.
const MAX_BEFORE: usize = 256;

fn grafana_like(line: &str) -> bool {
    let near = line.get(..line.floor_char_boundary(MAX_BEFORE)).unwrap_or_default();
    near.contains(" t=") && near.contains(" level=")
}

fn grafana(line: &Line<'_>, out: &mut Out) -> bool {
    out.dataset = None;
    let (mut path, mut method, mut status, mut seen) = ("", "", "", 0);
    for pair in pairs::pairs(line.message, Style::PLAIN) {
        let place = match pair.key {
            "path" => &mut path,
            "method" => &mut method,
            "status" => &mut status,
            _ => continue,
        };
        *place = pair.value;
        seen += 1;
    }
    if method != "POST" || path != "/login" || seen != 3 {
        return true;
    }
    out.security = true;
    out.event("authentication", "login");
    match status {
        "200" => out.outcome(true),
        "400" | "401" | "403" => out.outcome(false),
        _ => {}
    }
    true
}

fn crowdsec(line: &Line<'_>, out: &mut Out) -> bool {
    out.dataset = None;
    let mut said = None;
    for pair in pairs::pairs(line.message, Style::PLAIN).filter(|pair| pair.key == "msg") {
        if said.replace(pair.value).is_some() {
            out.problem("the message stands in the line more than once: nothing is taken of it");
            return true;
        }
    }
    let _ = decision(said.unwrap_or_default(), out);
    true
}

/// `Ip ADDRESS performed 'SCENARIO' (…)`, `(…) SCENARIO by ip ADDRESS (…) : 4h ban on Ip ADDRESS`.
fn decision(said: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = said.strip_prefix("Ip ") {
        let (address, rest) = rest.split_once(" performed '")?;
        let (scenario, _) = rest.split_once('\'')?;
        out.event("intrusion_detection", "attempt_found");
        out.text(names::RULE_NAME, scenario);
        if let Some(address) = scan::address(address) {
            out.address(names::SOURCE_IP, address);
        }
        return Some(());
    }
    let (_, rest) = said.strip_prefix('(')?.split_once(") ")?;
    let (scenario, rest) = rest.split_once(" by ip ")?;
    let (_, decided) = rest.rsplit_once(" : ")?;
    let (what, address) = decided.rsplit_once(" on Ip ")?;
    out.event("intrusion_detection", if what.ends_with("ban") { "ban" } else { "decision" });
    out.word(names::EVENT_TYPE, "denied");
    out.text(names::RULE_NAME, scenario);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

//! Hillstone (山石网科): firewalls on StoneOS.
//!
//! In: `44243624 Traffic@FLOW: SESSION: 192.0.2.1:6312->198.51.100.2:53(UDP), application DNS, policy 1, …, session
//! start` and `Threat@…: From 203.0.113.1:1024(…) to 192.0.2.1:80(…), threat name: …, action: …`. The kind before the
//! `@` and what follows decide what is read; every line with them has its code. Out: see [`super::network`].

use super::network::words::Happening;
use super::network::{Dialect, Facts, endpoint, protocol};
use super::out::Out;
use super::pairs::Pair;
use super::{Decoder, Line, Looks, NUMBER};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "hillstone",
    datasets: &["hillstone"],
    programs: &[],
    paths: &[],
    looks: Looks {
        first: &[b'A', b'C', b'E', b'N', b'S', b'T', NUMBER],
        test: |line| Head::read(line).is_some(),
    },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect::plain("hillstone");
const KINDS: &[&str] = &[
    "Traffic",
    "Threat",
    "Event",
    "Alarm",
    "Security",
    "Config",
    "Configure",
    "Configuration",
    "Network",
    "NBC",
    "CloudSandBox",
    "EPP",
];
/// Parts of a line.
const MAX_PARTS: usize = 64;

/// `ID KIND@MODULE: text`.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    kind: &'a str,
    code: &'a str,
    text: &'a str,
}

impl<'a> Head<'a> {
    fn read(message: &'a str) -> Option<Head<'a>> {
        let rest = match message.split_once(' ') {
            Some((id, rest))
                if id.len() >= 4
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && !rest.is_empty() =>
            {
                rest
            }
            _ => message,
        };
        let (code, text) = rest.split_once(": ")?;
        let (kind, module) = code.split_once('@')?;
        let plain = !module.is_empty()
            && module.len() <= 32
            && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (plain && KINDS.contains(&kind)).then_some(Head { kind, code, text })
    }
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let Some(head) = Head::read(line.message) else { return false };
    out.word(names::OBSERVER_VENDOR, "Hillstone");
    out.text(names::EVENT_CODE, head.code);
    let mut facts = Facts::new(DIALECT);
    let text = head.text;
    let text = ["SESSION: ", "NAT: ", "POLICY: ", "NBC: "]
        .iter()
        .find_map(|sign| text.strip_prefix(sign))
        .unwrap_or(text);
    for (number, part) in text.split(", ").take(MAX_PARTS).enumerate() {
        if number == 0 && ends(part, &mut facts, out) {
            continue;
        }
        said(part, &mut facts, out);
    }
    let happening = happening(&head);
    if happening == Happening::Login {
        facts.set_result(head.text.split(',').next().unwrap_or_default());
    }
    facts.set_happening(happening);
    facts.conclude(out);
    true
}

/// `192.0.2.1:6312->198.51.100.2:53(UDP)`, `From 203.0.113.1:1024(eth0/1) to 192.0.2.1:80(-)`.
fn ends<'a>(part: &'a str, facts: &mut Facts<'a>, out: &mut Out) -> bool {
    let pair = part.split_once("->").or_else(|| part.strip_prefix("From ")?.split_once(" to "));
    let Some((source, destination)) = pair else { return false };
    let bare = |end: &'a str| end.split_once('(').map_or(end, |(end, _)| end).trim();
    let (first, second) = (bare(source), bare(destination));
    if endpoint(first).is_none() || endpoint(second).is_none() {
        return false;
    }
    facts.take(Pair { key: "src", value: first, escaped: false }, out);
    facts.take(Pair { key: "dst", value: second, escaped: false }, out);
    if part.contains("->")
        && let Some((_, name)) = destination.split_once('(')
    {
        protocol(name.trim_end_matches(')'), out);
    }
    true
}

/// `policy 1`, `user zhangsan@local`, `threat name: x`, `snat to 203.0.113.1:6000`, `session start`.
fn said<'a>(part: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    let part = part.trim().trim_end_matches('.');
    let mut take = |key: &'a str, value: &'a str| {
        facts.take(Pair { key, value: value.trim(), escaped: false }, out)
    };
    if let Some((key, value)) = part.split_once(": ") {
        take(key, value);
    } else if let Some(nat) = part.strip_prefix("snat to ") {
        take("snatip", nat);
    } else if let Some(nat) = part.strip_prefix("dnat to ") {
        take("dnatip", nat);
    } else if let Some(user) = part.strip_prefix("user ") {
        let name = user.split_once('@').map_or(user, |(name, _)| name);
        take("user", name);
    } else if let Some(what) =
        part.strip_prefix("session ").or_else(|| part.strip_prefix("policy action "))
    {
        facts.set_action(match what {
            "start" => "permit",
            "end" => "close",
            other => other,
        });
    } else if part == "policy deny" || part == "policy permit" {
        facts.set_action(part.trim_start_matches("policy "));
    } else if let Some((head, address)) = part.rsplit_once(" from ") {
        // `SSLVPN user lina login failed from 203.0.113.9`.
        take("from", address);
        if let Some((_, who)) = head.split_once("user ")
            && let Some((name, _)) = who.split_once(' ')
        {
            take("user", name.trim_matches(['"', '\'']));
        }
    } else if let Some((key, value)) = part.rsplit_once(' ') {
        take(key, value);
    }
}

fn happening(head: &Head<'_>) -> Happening {
    let text = head.text.to_ascii_lowercase();
    let text = text.get(..text.floor_char_boundary(96)).unwrap_or_default();
    match head.kind {
        "Traffic" | "NBC" | "Network" => Happening::Session,
        "Threat" | "Security" => Happening::Attack,
        _ if text.contains("logout") || text.contains("logged out") => Happening::Logout,
        _ if text.contains("login") || text.contains("logged in") || text.contains("log in") => {
            Happening::Login
        }
        "Config" | "Configure" | "Configuration" => Happening::Configuration,
        _ => Happening::Session,
    }
}

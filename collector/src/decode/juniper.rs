//! Juniper: SRX firewalls and what else runs Junos.
//!
//! In: structured lines, of which the header reader leaves `RT_FLOW_SESSION_CREATE [junos@2636.1.1.1.2.129
//! source-address="192.0.2.1" …]`, and plain ones, `RT_FLOW_SESSION_DENY: session denied 192.0.2.1/1024->198.51.100.1/23 …`,
//! from the programs RT_FLOW, RT_IDS, RT_IDP, RT_UTM and mgd. Out: see [`super::network`]; a command typed
//! is `process.command_line`.

use super::network::words::Happening;
use super::network::{self, Dialect, Facts, Meaning, endpoint};
use super::out::Out;
use super::pairs::{Pair, Style};
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "juniper",
    datasets: &["juniper"],
    programs: &["RT_FLOW", "RT_IDS", "RT_IDP", "RT_UTM", "RT_AAMW", "mgd"],
    paths: &[],
    looks: Looks {
        first: b"RUA",
        test: |line| {
            line.starts_with("RT_") || line.contains(" [junos@") || line.starts_with("UI_")
        },
    },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "juniper", own };
/// The longest name of an event.
const MAX_TAG: usize = 64;
/// Parts of a screen's line.
const MAX_PARTS: usize = 32;

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "service-name" | "session-id-32" | "session-id" | "src-nat-rule-name"
        | "dst-nat-rule-name" => Meaning::Keep,
        "nested-application" | "encrypted" => Meaning::Keep,
        "connection-tag" | "roles" => Meaning::Keep,
        "zone name" => Meaning::Field(names::OBSERVER_INGRESS_ZONE),
        "interface name" | "interface-name" => {
            Meaning::Field(names::OBSERVER_INGRESS_INTERFACE_NAME)
        }
        "threat-severity" => Meaning::Severity,
        "command" => Meaning::Field(names::PROCESS_COMMAND_LINE),
        _ => return None,
    })
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    read(line.message, out).is_some()
}

fn read(message: &str, out: &mut Out) -> Option<()> {
    let end = message.bytes().take(MAX_TAG).position(|byte| matches!(byte, b':' | b' '))?;
    let (tag, rest) = message.split_at(end);
    if tag.is_empty()
        || !tag
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        || !tag.contains('_')
    {
        return None;
    }
    out.word(names::OBSERVER_VENDOR, "Juniper");
    out.text(names::EVENT_CODE, tag);
    let mut facts = if let Some(data) = rest.strip_prefix(" [junos@") {
        let (_, pairs) = data.split_once(' ')?;
        network::read(pairs, Style::PLAIN, DIALECT, out)
    } else {
        let text = rest.strip_prefix(':')?.trim_start();
        let mut facts = Facts::new(DIALECT);
        plain(tag, text, &mut facts, out);
        facts
    };
    if tag.ends_with("DENY") || tag.ends_with("BLOCKED") {
        facts.set_action("deny");
    } else if tag.ends_with("SESSION_CREATE") || tag.ends_with("PERMITTED") {
        facts.set_action("permit");
    } else if tag.ends_with("SESSION_CLOSE") {
        facts.set_action("close");
    }
    facts.set_happening(happening(tag));
    facts.conclude(out);
    Some(())
}

fn happening(tag: &str) -> Happening {
    if tag.starts_with("RT_SCREEN") || tag.starts_with("IDP_") {
        Happening::Attack
    } else if tag.starts_with("AV_") || tag.starts_with("AAMW_") {
        Happening::Virus
    } else if tag.starts_with("WEBFILTER") {
        Happening::Web
    } else if tag.contains("LOGOUT") {
        Happening::Logout
    } else if tag.contains("LOGIN") || tag.contains("AUTH") {
        Happening::Login
    } else if tag.starts_with("UI_") {
        Happening::Configuration
    } else {
        Happening::Session
    }
}

/// Lines without structured data.
fn plain<'a>(tag: &str, text: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    if tag.starts_with("UI_") {
        return managed(text, facts, out);
    }
    if tag.starts_with("RT_SCREEN") {
        let (name, rest) = text.split_once(" source: ").unwrap_or((text, ""));
        facts.set_attack(name);
        let mut parts = rest.split(", ");
        if let Some(source) = parts.next() {
            take("src", source, facts, out);
        }
        for (key, value) in parts.take(MAX_PARTS).filter_map(|part| part.split_once(": ")) {
            take(key, value, facts, out);
        }
        return;
    }
    let mut words = text.split(' ').skip_while(|word| !word.contains("->"));
    if let Some((source, destination)) = words.next().and_then(|word| word.split_once("->")) {
        take("src", source, facts, out);
        take("dst", destination, facts, out);
    }
    let mut first = true;
    while let Some(word) = words.next() {
        if let Some((source, destination)) = word.split_once("->").filter(|_| first) {
            first = false;
            take("natsrcip", source, facts, out);
            take("natdstip", destination, facts, out);
        } else if let Some(number) = number(word) {
            take("proto", number, facts, out);
            for key in ["policy", "srczone", "dstzone"] {
                if let Some(value) = words.next() {
                    take(key, value, facts, out);
                }
            }
            return;
        }
    }
}

/// A protocol, `6` or `6(0)`.
fn number(word: &str) -> Option<&str> {
    let number = word.split('(').next()?;
    (number.len() <= 3 && number.parse::<u8>().is_ok()).then_some(number)
}

/// `User 'a', command 'show version '`, `User 'a' login, class 'x' [1], ssh-connection '192.0.2.1 5000 …'`.
fn managed<'a>(text: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    let Some((user, rest)) = text.strip_prefix("User '").and_then(|rest| rest.split_once('\''))
    else {
        return;
    };
    facts.set_user(user);
    if let Some((_, command)) = rest.split_once("command '") {
        out.some(names::PROCESS_COMMAND_LINE, command.trim_end_matches([' ', '\'']));
    } else if let Some((_, operation)) = rest.split_once("requested '") {
        out.some(names::PROCESS_COMMAND_LINE, operation.split('\'').next().unwrap_or_default());
    }
    if let Some((_, connection)) = rest.split_once("ssh-connection '") {
        take("ip", connection.split([' ', '\'']).next().unwrap_or_default(), facts, out);
        facts.set_result("success");
    }
}

/// Takes a value; `192.0.2.1/80` is an address and a port, whatever the port.
fn take<'a>(key: &'a str, value: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    let value = value.trim_end_matches(',');
    if let Some((address, port)) =
        value.split_once('/').filter(|(address, _)| endpoint(address).is_some())
    {
        facts.take(Pair { key, value: address, escaped: false }, out);
        let port_key = match key {
            "src" => "sport",
            "dst" => "dport",
            "natsrcip" => "natsrcport",
            _ => "natdstport",
        };
        facts.take(Pair { key: port_key, value: port, escaped: false }, out);
    } else {
        facts.take(Pair { key, value, escaped: false }, out);
    }
}

//! The information centre of H3C's Comware and Huawei's VRP, which write alike.
//!
//! In: `%%10SHELL/5/SHELL_LOGIN: zhangsan logged in from 192.0.2.1.` and `%%01SHELL/5/CMDRECORD(s)[7]:Recorded
//! command information. (Task=VTY0, Ip=192.0.2.1, User=zhangsan, Command="reboot")`. Out: module, severity
//! and name of every line (`event.code`), and what the lines about logins, commands, policies, sessions,
//! attacks, links and configuration say. Their pairs mean what those of other appliances do, see
//! [`super::network`], which also tells what a user's name that holds pairs can reach.

use std::cell::RefCell;

use super::network::words::{Happening, Seen};
use super::network::{self, Dialect, Facts, Meaning};
use super::out::Out;
use super::pairs::{Assign, Between, MAX_PAIRS, Pair, Style};
use super::{Decoder, Line, Looks, gear, pairs};
use crate::event::names;

pub(crate) const H3C: Decoder = Decoder {
    name: "h3c",
    datasets: &["h3c"],
    programs: &[],
    paths: &[],
    looks: Looks {
        first: b"%ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        test: |line| Head::read(line).is_some_and(|head| !head.huawei()),
    },
    security: false,
    decode: |line, out| decode(line, false, out),
};

pub(crate) const HUAWEI: Decoder = Decoder {
    name: "huawei",
    datasets: &["huawei"],
    programs: &[],
    paths: &[],
    looks: Looks {
        first: b"%ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        test: |line| Head::read(line).is_some_and(|head| head.huawei()),
    },
    security: false,
    decode: |line, out| decode(line, true, out),
};

/// The longest module or name.
const MAX_NAME: usize = 64;

fn decode(line: &Line<'_>, huawei: bool, out: &mut Out) -> bool {
    let Some(head) = Head::read(line.message) else { return false };
    let told = !line.configured.is_empty();
    if head.huawei() != huawei && !told {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, if huawei { "Huawei" } else { "H3C" });
    gear::severity(head.severity, out);
    out.text(names::EVENT_CODE, head.code);
    let dialect = Dialect { vendor: if huawei { "huawei" } else { "h3c" }, own };
    let mut facts = Facts::new(dialect);
    let text = dashed(head.text, &mut facts, out);
    if !said(&head, text, &mut facts, out) {
        listed(text, &mut facts, out);
    }
    happened(&head, text, &mut facts);
    facts.conclude(out);
    true
}

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "Event(1048)" | "Action(1053)" => Meaning::Action,
        "SignName" | "AttackName(1088)" => Meaning::Attack,
        "SignId" | "AttackID(1089)" => Meaning::PolicyId,
        "Category" | "Category(1090)" => Meaning::AttackCategory,
        "CloseReason" => Meaning::Field(names::EVENT_REASON),
        "Service" | "Task" | "task" | "VSys" => Meaning::Keep,
        "IfName" => Meaning::Field(names::OBSERVER_INGRESS_INTERFACE_NAME),
        "MACAddr" => Meaning::Lower(names::SOURCE_MAC),
        _ => return None,
    })
}

/// The head of a line.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    /// The format's number, which tells the maker.
    version: Option<u8>,
    flagged: bool,
    module: &'a str,
    severity: u8,
    name: &'a str,
    /// `MODULE/5/NAME`.
    code: &'a str,
    text: &'a str,
}

impl<'a> Head<'a> {
    /// `%%01MODULE/5/NAME(l)[7]:text`, and without `%%01` too.
    fn read(message: &'a str) -> Option<Head<'a>> {
        let (version, rest) = match message.strip_prefix("%%") {
            Some(rest) => (Some(rest.get(..2)?.parse().ok()?), rest.get(2..)?),
            None => (None, message),
        };
        // Some name their serial number first.
        let rest = match rest.trim_start().strip_prefix("SN:") {
            Some(rest) => rest.split_once(' ')?.1,
            None => rest,
        };
        let code_end = rest
            .as_bytes()
            .iter()
            .take(2 * MAX_NAME)
            .position(|byte| matches!(byte, b':' | b'(' | b' '))?;
        let code = rest.get(..code_end)?;
        let mut parts = code.splitn(3, '/');
        let (module, severity, name) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= MAX_NAME
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let known = matches!(version, None | Some(1 | 10));
        if !known || !module.starts_with(|char: char| char.is_ascii_alphabetic()) {
            return None;
        }
        if !plain(module) || !plain(name) || severity.len() != 1 {
            return None;
        }
        let severity: u8 = severity.parse().ok().filter(|severity| *severity < 8)?;
        let (mut behind, mut flagged) = (rest.get(code_end..)?, false);
        if let Some((_, rest)) = behind.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            flagged = true;
            behind = rest;
        }
        if let Some((_, rest)) = behind.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            behind = rest;
        }
        let text = behind.strip_prefix(':')?.trim_start();
        Some(Head { version, flagged, module, severity, name, code, text })
    }

    /// Whether Huawei wrote it: by number, else by the flag that only VRP writes.
    fn huawei(&self) -> bool {
        match self.version {
            Some(1) => true,
            Some(10) => false,
            _ => {
                self.flagged
                    || self.name == "THREATTRAP"
                    || self.module == "SECLOG"
                    || self.module == "POLICY"
            }
        }
    }
}

/// Comware's pairs before the sentence: `-Line=vty0-IPAddr=192.0.2.1-User=zhangsan; Command is reboot`.
fn dashed<'a>(text: &'a str, facts: &mut Facts<'a>, out: &mut Out) -> &'a str {
    let Some(rest) = text
        .strip_prefix('-')
        .filter(|rest| rest.as_bytes().first().is_some_and(u8::is_ascii_uppercase))
    else {
        return text;
    };
    let (head, behind) = rest.split_once(';').unwrap_or((rest, ""));
    let mut rest = head;
    for _ in 0..MAX_PAIRS {
        let Some((key, value)) = rest.split_once('=') else { break };
        // A value may hold dashes, as those of MAC addresses do: the next key is one with a `=`.
        let mut end = value.len();
        let mut next = "";
        for (at, _) in value.match_indices('-') {
            let after = value.get(at + 1..).unwrap_or_default();
            let key = after.bytes().take(MAX_NAME).take_while(u8::is_ascii_alphanumeric).count();
            if key > 0
                && after.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
                && after.as_bytes().get(key) == Some(&b'=')
            {
                (end, next) = (at, after);
                break;
            }
        }
        let value = value.get(..end).unwrap_or_default();
        facts.take(Pair { key, value, escaped: false }, out);
        rest = next;
    }
    behind.trim_start()
}

/// Sentences. Whether the text was one.
fn said<'a>(head: &Head<'_>, text: &'a str, facts: &mut Facts<'a>, out: &mut Out) -> bool {
    if let Some(command) = text.strip_prefix("Command is ") {
        out.some(names::PROCESS_COMMAND_LINE, command);
        return true;
    }
    if head.name == "SHELL_CMD_MATCHFAIL"
        && let Some((command, _)) =
            text.strip_prefix("Command ").and_then(|rest| rest.rsplit_once(" in view "))
    {
        out.some(names::PROCESS_COMMAND_LINE, command);
        facts.set_result("failed");
        return true;
    }
    // The name in front may hold such a sentence: the last one is the system's.
    let signs = [" logged in from ", " logged out from ", " failed to log in from "];
    let last = signs.iter().filter_map(|sign| Some((text.rfind(sign)?, sign))).max();
    if let Some((at, sign)) = last {
        if let Some(user) = signed_in(text.get(..at).unwrap_or_default()) {
            facts.set_user(user);
        }
        let place = text.get(at + sign.len()..).unwrap_or_default().trim_end_matches('.');
        facts.take(Pair { key: "ip", value: place, escaped: false }, out);
        facts.set_result(if sign.contains("failed") { "failed" } else { "success" });
        return true;
    }
    if let Some((who, place)) = text.rsplit_once(" from ").filter(|(who, _)| who.contains(" for "))
    {
        let failed = who.contains("ailed");
        if let Some((_, user)) = who.split_once(" for ") {
            facts.set_user(user.strip_prefix("user ").unwrap_or(user));
        }
        let address = place.split(' ').next().unwrap_or_default();
        facts.take(Pair { key: "ip", value: address, escaped: false }, out);
        if let Some((_, reason)) =
            place.split_once(" because of ").or_else(|| place.split_once(" because "))
        {
            out.some(names::EVENT_REASON, reason.trim_end_matches('.'));
        }
        facts.set_result(if failed { "failed" } else { "success" });
        return true;
    }
    if let Some((user, place)) =
        text.strip_prefix("SSH user ").and_then(|rest| rest.rsplit_once(" (IP: "))
    {
        facts.set_user(user);
        let (address, rest) = place.split_once(')').unwrap_or((place, ""));
        facts.take(Pair { key: "ip", value: address, escaped: false }, out);
        facts.set_result(if rest.contains("fail") { "failed" } else { "success" });
        return true;
    }
    link(text, out)
}

/// The name in `TELNET user admin` and `admin`; a line may leave it out.
fn signed_in(who: &str) -> Option<&str> {
    let line = ["TELNET", "SSH", "WEB", "FTP", "Console", "AUX"].into_iter();
    let mut behind = line.filter_map(|way| who.strip_prefix(way)?.strip_prefix(" user"));
    let user = behind.next().unwrap_or(who).trim();
    (!user.is_empty()).then_some(user)
}

/// `Physical state on the interface GE1/0/1 changed to down.`, `Interface X has turned into DOWN state.`
fn link(text: &str, out: &mut Out) -> bool {
    let state = [" changed to ", " has turned into ", " link status is "]
        .iter()
        .find_map(|sign| text.split_once(sign));
    let Some((head, state)) = state else { return false };
    let state = state.to_ascii_lowercase();
    if !state.starts_with("up") && !state.starts_with("down") {
        return false;
    }
    let interface = head.rsplit(' ').next().unwrap_or_default();
    out.some(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
    out.event("network", if state.starts_with("up") { "link_up" } else { "link_down" });
    true
}

/// Pairs, in brackets behind a sentence or alone.
fn listed<'a>(text: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    let text = text
        .strip_prefix("CID=")
        .and_then(|rest| rest.split_once(';'))
        .map_or(text, |(_, rest)| rest);
    let body = text.trim_end().trim_end_matches('.');
    let inside = body
        .strip_suffix(')')
        .and_then(|body| body.split_once('('))
        .filter(|(_, inside)| inside.contains('='));
    let (sentence, list) = match inside {
        Some((sentence, inside)) => (sentence, inside),
        None => ("", body),
    };
    let style = match pairs::sniff(list, network::known) {
        Some(style) => style,
        None if inside.is_some() => Style { assign: Assign::Equals, between: Between::Comma },
        None => return,
    };
    let mut all = pairs::pairs(list, style);
    for pair in all.by_ref() {
        facts.take(pair, out);
    }
    if all.cut() {
        out.problem("pairs are left out: there are too many");
    }
    out.some(names::EVENT_REASON, sentence.trim().trim_end_matches('.'));
}

/// What happened, by module and name.
fn happened<'a>(head: &Head<'a>, text: &str, facts: &mut Facts<'a>) {
    let Some(nature) = NATURES.with_borrow_mut(|seen| seen.of(head.code.as_bytes(), Nature::of))
    else {
        return;
    };
    if let Some(action) = nature.action {
        facts.set_action(action);
    }
    if nature.happening == Happening::Login {
        if nature.failed || text.contains("ailed") {
            facts.set_result("failed");
        } else if nature.succeeded {
            facts.set_result("success");
        }
    }
    facts.set_happening(nature.happening);
    if nature.happening == Happening::Attack && !facts.has_attack() {
        facts.set_attack(head.name);
    }
}

thread_local! {
    static NATURES: RefCell<Seen<Nature>> = RefCell::default();
}

/// What a line's code says of it.
#[derive(Debug, Clone, Copy)]
struct Nature {
    happening: Happening,
    action: Option<&'static str>,
    failed: bool,
    succeeded: bool,
}

impl Nature {
    /// Of `MODULE/5/NAME`.
    fn of(code: &[u8]) -> Option<Nature> {
        let code = std::str::from_utf8(code).ok()?;
        let (module, rest) = code.split_once('/')?;
        let (_, name) = rest.split_once('/')?;
        let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let action = if holds(&["TEARDOWN"]) {
            Some("close")
        } else if holds(&["POLICYPERMIT", "SESSION_SETUP", "SESSION_CREATE"]) {
            Some("permit")
        } else if holds(&["POLICYDENY"]) {
            Some("deny")
        } else if module == "PORTSEC" {
            Some("port_security_violation")
        } else {
            None
        };
        let configures = holds(&["CMD", "CFG", "CONFIG", "SAVE", "WEBOPT"])
            || matches!(module, "CFGMAN" | "CFM" | "HWCM" | "CONFIGURATION");
        let signs_in =
            holds(&[
                "LOGIN",
                "AUTH",
                "SSH_FAIL",
                "SSHS",
                "AAA",
                "ONLINE",
                "LOGON",
                "BLOCK_CLIENT",
                "LOCK",
            ]) || matches!(module, "LOGIN" | "SSH" | "SSHS" | "AAA" | "DOT1X" | "MACA" | "PORTAL");
        let happening = if holds(&["LOGOUT", "EXIT", "DISCONNECT", "OFFLINE"]) {
            Happening::Logout
        } else if configures {
            Happening::Configuration
        } else if signs_in {
            Happening::Login
        } else {
            match module {
                "IPS" | "ATK" | "ATTACK" | "ATCKDF" | "WAF" | "PORTSEC" | "SECE" | "ARP"
                | "IPSTRAP" | "APT" | "DDOS" => Happening::Attack,
                "AV" | "ANTIVIRUS" | "ANTI-VIR" => Happening::Virus,
                "URL" | "UFLT" => Happening::Web,
                _ => Happening::Session,
            }
        };
        Some(Nature {
            happening,
            action,
            failed: holds(&["FAIL", "INVALID", "BLOCK", "LOCK"]),
            succeeded: holds(&["SUCCESS", "LOGIN", "CONNECT"]),
        })
    }
}

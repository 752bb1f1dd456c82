//! What the pairs of a security appliance mean, in the names of the Elastic Common Schema.
//!
//! In: pairs, from whatever form they had ([`super::pairs`], CEF, LEEF, JSON). Out: source and destination,
//! ports, protocol, action, user, policy, and the rest of what is known; what nobody knows goes to
//! `<vendor>.<key>`, so that nothing is lost. Names of strangers are bounded as those of JSON lines are.
//!
//! A user name, a URL or a mail's subject is the peer's own text, and a careless appliance lets him write
//! pairs into it. Who a line is about is therefore not guessed: where two values claim to be the source,
//! the destination or the user, none is, and the event says so.

mod aliases;
mod conclude;
mod object;
mod tuple;
mod values;
pub(crate) mod words;

use std::net::IpAddr;

pub(crate) use aliases::{Meaning, Side, meaning};
pub(crate) use object::read_object;
pub(crate) use tuple::tuple;
use values::direction;
pub(crate) use values::{endpoint, lower, protocol, text};
use words::Happening;

use super::out::Out;
use super::pairs::{self, MAX_KEY, Pair, Style};
use super::time::{iso, slashes};
use crate::event::{FieldId, names};

/// What a line must say of a connection to be taken for an appliance's: two ends, or one and what
/// else only such lines say.
pub(crate) const ENOUGH: u32 = 4;
const SIDES: usize = 5;
const SECOND_NANOS: i64 = 1_000_000_000;
/// The longest user name.
const MAX_USER: usize = 256;

/// How a vendor writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// Keys without a meaning go below this name; nowhere, when it is empty.
    pub(crate) vendor: &'static str,
    /// What its keys mean where that is not what they usually do.
    pub(crate) own: fn(&str) -> Option<Meaning>,
}

impl Dialect {
    /// A vendor whose keys mean what they usually do.
    pub(crate) const fn plain(vendor: &'static str) -> Dialect {
        Dialect { vendor, own: |_| None }
    }
}

/// Whether a key is one that an appliance would write; for [`pairs::sniff`].
pub(crate) fn known(key: &str) -> bool {
    meaning(key).is_some_and(|meaning| meaning.weight() > 0)
}

/// Reads all pairs of a text.
pub(crate) fn read<'a>(text: &'a str, style: Style, dialect: Dialect, out: &mut Out) -> Facts<'a> {
    let mut facts = Facts::new(dialect);
    let mut all = pairs::pairs(text, style);
    for pair in all.by_ref() {
        facts.take(pair, out);
    }
    if all.cut() {
        out.problem("pairs are left out: there are too many");
    }
    facts
}

/// What is said once, or in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Told<T> {
    #[default]
    Nothing,
    Once(T),
    Differently,
}

impl<T: PartialEq> Told<T> {
    fn tell(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Told::Nothing => Told::Once(value),
            Told::Once(before) if before == value => Told::Once(before),
            _ => Told::Differently,
        };
    }
}

/// What a line says.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    dialect: Dialect,
    addresses: [Told<IpAddr>; SIDES],
    ports: [Option<u16>; SIDES],
    user: Told<&'a str>,
    policy: Option<Pair<'a>>,
    policy_id: Option<Pair<'a>>,
    attack: Option<Pair<'a>>,
    attack_category: Option<Pair<'a>>,
    account: Option<&'a str>,
    action: Option<&'a str>,
    /// Whether two actions, or two results, say the contrary.
    unclear: [bool; 2],
    kind: Option<&'a str>,
    operation: Option<&'a str>,
    result: Option<&'a str>,
    happened: Option<Happening>,
    text: Option<&'a str>,
    has_severity: bool,
    has_url: bool,
    has_command: bool,
    has_file: bool,
    has_database: bool,
    has_statement: bool,
    has_task: bool,
    exchange: bool,
    /// Whether a level is one that programs log at.
    program_level: bool,
    weight: u32,
    left_out: bool,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(dialect: Dialect) -> Facts<'a> {
        Facts {
            dialect,
            addresses: [Told::Nothing; SIDES],
            ports: [None; SIDES],
            user: Told::Nothing,
            policy: None,
            policy_id: None,
            attack: None,
            attack_category: None,
            account: None,
            action: None,
            unclear: [false; 2],
            kind: None,
            operation: None,
            result: None,
            happened: None,
            text: None,
            has_severity: false,
            has_url: false,
            has_command: false,
            has_file: false,
            has_database: false,
            has_statement: false,
            has_task: false,
            exchange: false,
            program_level: false,
            weight: 0,
            left_out: false,
        }
    }

    /// Whether the line says enough to be an appliance's. A program that logs who did what from where has
    /// as many words for it, but a level of programs, and no end of a connection.
    pub(crate) fn enough(&self) -> bool {
        let told = |side: Side| self.addresses[side as usize] != Told::Nothing;
        let ends = [Side::Source, Side::Destination, Side::SourceNat, Side::DestinationNat];
        let ends = ends.into_iter().any(told);
        (ends || told(Side::Peer) && !self.program_level) && self.weight >= ENOUGH
    }

    /// Whether the line tells of somebody's login, from where and how it went: little, and all there is.
    pub(crate) fn tells_of_login(&self) -> bool {
        let said = [self.kind, self.operation, self.result, self.text];
        let mut said = said.iter().flatten();
        let login = said.clone().any(|text| {
            matches!(words::happening(text), Some(Happening::Login | Happening::Logout))
        });
        let any = self.addresses.iter().any(|told| *told != Told::Nothing);
        any && login
            && self.user != Told::Nothing
            && said.any(|text| words::success(text).is_some())
    }

    /// Whether the line tells of something that a gap gateway carries across, which are then named.
    pub(crate) fn exchanges(&mut self, told: bool) -> bool {
        let kind = self.kind.or(self.operation).and_then(words::happening);
        let carried = self.has_file || self.has_database;
        let said = matches!(kind, Some(Happening::File | Happening::Database));
        self.exchange = self.has_task || said || told && carried;
        let ends = self.addresses.iter().any(|told| *told != Told::Nothing);
        let parts =
            [self.has_task, said, told, carried, self.result.or(self.action).is_some(), ends];
        self.exchange && parts.iter().filter(|part| **part).count() >= 3
    }

    /// Prose of the line, as written.
    pub(crate) fn prose(&self) -> Option<&'a str> {
        self.text
    }

    /// What somebody did, as written.
    pub(crate) fn operation(&self) -> Option<&'a str> {
        self.operation
    }

    /// Whether any key was one that appliances write.
    pub(crate) fn speaks(&self) -> bool {
        self.weight > 0
    }

    /// Which kind of line it says it is.
    pub(crate) fn kind(&self) -> Option<&'a str> {
        self.kind
    }

    /// Says what happened, where a header does.
    pub(crate) fn set_happening(&mut self, happening: Happening) {
        self.happened = Some(happening);
    }

    /// Sets how it went, where a header says it.
    pub(crate) fn set_result(&mut self, result: &'a str) {
        self.result = Some(result);
    }

    /// Sets the kind of a line whose header says it.
    pub(crate) fn set_kind(&mut self, kind: &'a str) {
        self.kind = Some(kind);
    }

    /// Says that the severity is known from a header.
    pub(crate) fn set_severity(&mut self) {
        self.has_severity = true;
    }

    pub(crate) fn has_user(&self) -> bool {
        self.user != Told::Nothing
    }

    pub(crate) fn has_attack(&self) -> bool {
        self.attack.is_some()
    }

    /// Whether a line that names an attack, or its kind, also says who or whom it concerns.
    pub(crate) fn concerns(&self) -> bool {
        let any = self.addresses.iter().any(|told| *told != Told::Nothing);
        any && (self.attack.is_some() || self.attack_category.is_some())
    }

    /// Whether a line names two ends of a connection.
    pub(crate) fn has_ends(&self) -> bool {
        let [source, destination, ..] = self.addresses;
        source != Told::Nothing && destination != Told::Nothing
    }

    /// Whether a line says what is said of connections only: ports, a policy, a decision.
    pub(crate) fn decides(&self) -> bool {
        let verdict = self.action.and_then(words::verdict).and_then(|verdict| verdict.kind);
        self.ports.iter().any(Option::is_some)
            || self.policy.is_some()
            || self.policy_id.is_some()
            || verdict.is_some()
    }

    /// Sets the user of a line that names him otherwise.
    pub(crate) fn set_user(&mut self, user: &'a str) {
        self.user.tell(user);
    }

    /// Sets the action, unless a pair says it.
    pub(crate) fn suppose_action(&mut self, action: &'a str) {
        self.action.get_or_insert(action);
    }

    /// Sets the action of a line whose header says it.
    pub(crate) fn set_action(&mut self, action: &'a str) {
        self.action = Some(action);
    }

    /// Sets the name of an attack, where a header says it.
    pub(crate) fn set_attack(&mut self, name: &'a str) {
        self.attack = Some(Pair { key: "", value: name, escaped: false });
    }

    /// Takes one pair in.
    pub(crate) fn take(&mut self, pair: Pair<'a>, out: &mut Out) {
        if words::nothing(pair.value) {
            return;
        }
        // Prose may stand before the first key: `Session ended. SrcIp=192.0.2.1`.
        let last = || meaning(pair.key.rsplit_once(' ')?.1).filter(|meaning| meaning.weight() > 1);
        match (self.dialect.own)(pair.key).or_else(|| meaning(pair.key)).or_else(last) {
            Some(meaning) => self.place(meaning, pair, out),
            None => self.keep(pair, out),
        }
    }

    fn place(&mut self, meaning: Meaning, pair: Pair<'a>, out: &mut Out) {
        let value = pair.value;
        // Some say the decision where others name what decided.
        let meaning = match meaning {
            Meaning::Policy if is_verdict(value) => Meaning::Action,
            // Check Point gives the port as a service.
            Meaning::Lower(names::NETWORK_PROTOCOL)
                if value.bytes().all(|byte| byte.is_ascii_digit())
                    && self.ports[Side::Destination as usize].is_none() =>
            {
                Meaning::Port(Side::Destination)
            }
            other => other,
        };
        match meaning {
            Meaning::Address(side) => {
                // Words may follow an address: `dst=192.0.2.1 denied by policy`.
                let first = || endpoint(value.split_once(' ')?.0);
                let Some((address, port)) = endpoint(value).or_else(first) else {
                    return self.keep(pair, out);
                };
                let nat = matches!(side, Side::SourceNat | Side::DestinationNat);
                if nat && address.is_unspecified() {
                    return;
                }
                let at = side as usize;
                self.addresses[at].tell(address);
                if self.ports[at].is_none() {
                    self.ports[at] = port;
                }
                if side == Side::Peer && self.addresses[at] == Told::Differently {
                    self.keep(pair, out);
                }
            }
            Meaning::Port(side) => match value.parse::<u16>() {
                Ok(0) if matches!(side, Side::SourceNat | Side::DestinationNat) => return,
                Ok(port) if self.ports[side as usize].is_none() => {
                    self.ports[side as usize] = Some(port)
                }
                _ => return self.keep(pair, out),
            },
            Meaning::User => match endpoint(value) {
                // Where nobody signed in, appliances give the address for the name.
                Some((address, _)) => self.addresses[Side::Peer as usize].tell(address),
                None if value.len() <= MAX_USER => self.user.tell(value),
                None => return self.keep(pair, out),
            },
            Meaning::Protocol => protocol(value, out),
            Meaning::Account => {
                if self.account.replace(value).is_some_and(|before| before != value) {
                    self.keep(pair, out);
                }
            }
            Meaning::Action => match self.action {
                None => {
                    self.action = Some(unnumbered(value));
                    // That something was let through or kept out says more than some action.
                    let decided =
                        words::verdict(value).is_some_and(|verdict| verdict.kind.is_some());
                    self.weight += u32::from(decided);
                }
                Some(before) => {
                    let kind = |text| words::verdict(text).and_then(|verdict| verdict.kind);
                    let (first, second) = (kind(before), kind(value));
                    self.unclear[0] |= first.is_some() && second.is_some() && first != second;
                    if first.is_none() && second.is_some() {
                        self.action = Some(value);
                    }
                    self.keep(pair, out);
                }
            },
            Meaning::Policy => self.first(|facts| &mut facts.policy, pair, out),
            Meaning::PolicyId => self.first(|facts| &mut facts.policy_id, pair, out),
            Meaning::Attack => self.first(|facts| &mut facts.attack, pair, out),
            Meaning::AttackCategory => self.first(|facts| &mut facts.attack_category, pair, out),
            Meaning::Severity => {
                self.program_level |= words::program_level(value);
                if !self.has_severity
                    && let Some(severity) = value.parse().ok().or_else(|| words::severity(value))
                {
                    out.integer(names::EVENT_SEVERITY, severity);
                    self.has_severity = true;
                }
                self.keep(pair, out);
            }
            Meaning::Kind => {
                // Of several the first counts that says what happened.
                if self.kind.and_then(words::happening).is_none()
                    && (self.kind.is_none() || words::happening(value).is_some())
                {
                    self.kind = Some(value);
                }
                self.keep(pair, out);
            }
            Meaning::Operation => {
                if self.operation.and_then(words::happening).is_none() {
                    self.operation = Some(value);
                }
                self.keep(pair, out);
            }
            Meaning::Result => {
                let (before, now) = (self.result.and_then(words::success), words::success(value));
                self.unclear[1] |= before.is_some() && now.is_some() && before != now;
                if before.is_none() {
                    self.result = Some(value);
                }
                // Sophos gives the decision as a status.
                if self.action.is_none() && is_verdict(value) {
                    self.action = Some(value);
                }
                self.keep(pair, out);
            }
            Meaning::Text => {
                self.text.get_or_insert(value);
                self.keep(pair, out);
            }
            Meaning::Time => {
                if out.time.is_none()
                    && let Some((mut stamp, length)) =
                        iso(value.as_bytes()).or_else(|| slashes(value.as_bytes()))
                {
                    if matches!(value.get(length..), Some(" UTC" | " GMT")) {
                        stamp.offset_secs = Some(0);
                    }
                    out.stamp(&stamp);
                } else {
                    self.keep(pair, out);
                }
            }
            Meaning::Seconds => {
                match value.parse::<i64>().ok().and_then(|n| n.checked_mul(SECOND_NANOS)) {
                    Some(nanos) => out.integer(names::EVENT_DURATION, nanos),
                    None => self.keep(pair, out),
                }
            }
            Meaning::Direction => match direction(value) {
                Some(direction) => out.word(names::NETWORK_DIRECTION, direction),
                None => self.keep(pair, out),
            },
            Meaning::Field(id) => {
                self.has_url |= id == names::URL_ORIGINAL;
                self.has_command |= id == names::PROCESS_COMMAND_LINE;
                self.has_file |=
                    [names::FILE_NAME, names::FILE_PATH, names::FILE_TARGET_PATH].contains(&id);
                self.has_database |=
                    [names::DB_TABLE, names::DB_NAME, names::DB_STATEMENT].contains(&id);
                self.has_statement |= id == names::DB_STATEMENT;
                self.has_task |= id == names::GAP_GATEWAY_TASK;
                text(id, &pair, out);
            }
            Meaning::Keep => self.keep(pair, out),
            Meaning::Lower(id) => lower(id, value, out),
            Meaning::Count(id) => match value.parse() {
                Ok(count) => out.integer(id, count),
                Err(_) => self.keep(pair, out),
            },
        }
        self.weight += meaning.weight();
    }

    /// Sets what is not set yet; what comes later is kept under its own name.
    fn first(
        &mut self,
        place: for<'f> fn(&'f mut Facts<'a>) -> &'f mut Option<Pair<'a>>,
        pair: Pair<'a>,
        out: &mut Out,
    ) {
        let place = place(self);
        if place.is_none() {
            *place = Some(pair);
        } else {
            self.keep(pair, out);
        }
    }

    /// Keeps a value under the vendor's name of it, unless the line's own names stay anyway.
    fn keep(&mut self, pair: Pair<'a>, out: &mut Out) {
        if self.dialect.vendor.is_empty() {
            return;
        }
        let Some(id) = self.name_of(pair.key, out) else {
            self.left_out = true;
            return;
        };
        let plain =
            pair.value.len() < 18 && !pair.value.starts_with('0') && !pair.value.starts_with('+');
        match pair.value.parse::<i64>() {
            Ok(integer) if plain || pair.value == "0" => out.integer(id, integer),
            _ => text(id, &pair, out),
        }
    }

    fn name_of(&self, key: &str, out: &mut Out) -> Option<FieldId> {
        let key = key.trim_start_matches(['(', '[', '{']);
        let strange =
            |char: char| char.is_control() || matches!(char, '"' | '\'' | '=' | '<' | '>' | '\\');
        if key.is_empty() || key.len() > MAX_KEY || key.contains(strange) {
            return None;
        }
        // The number that Comware puts behind a key says nothing that the key does not.
        let key = match key.strip_suffix(')').and_then(|key| key.rsplit_once('(')) {
            Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => key,
        };
        out.vendor_name(self.dialect.vendor, key)
    }
}

/// A word without the number that some put before it: `(8)Session created`.
fn unnumbered(value: &str) -> &str {
    match value.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((number, word)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            word.trim_start()
        }
        _ => value,
    }
}

fn is_verdict(value: &str) -> bool {
    const WORDS: &[&str] =
        &["accept", "deny", "permit", "drop", "reject", "allow", "pass", "block", "denied"];
    const CHINESE: &[&str] =
        &["拦截", "已拦截", "阻断", "已阻断", "放行", "已放行", "丢弃", "已丢弃"];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word)) || CHINESE.contains(&value)
}

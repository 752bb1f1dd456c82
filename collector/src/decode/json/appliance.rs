//! Findings and decisions of security appliances whose JSON nobody described: firewalls, web application
//! firewalls, intrusion detection.
//!
//! Keys are those of `network/aliases.rs`. Lines of business software also have an `ip`, a `user` and an
//! `action`, so it takes more than for pairs in syslog: two ends of a connection and a port, a protocol, a
//! policy or a decision; or one end and the name or kind of an attack. A word for "no attack" is none.

use super::roles::{self, Key};
use super::shapes::Picture;
use crate::decode::network::{self, Dialect, Facts, Meaning};
use crate::decode::out::Out;
use crate::decode::pairs::Pair;
use crate::event::names;

/// The dataset of firewalls nobody knows.
const DATASET: &str = "firewall";
/// What the line's own names are kept under: they are there already.
const DIALECT: Dialect = Dialect::plain("");
/// What stands for an attack where there is none.
const NO_ATTACK: &[&str] =
    &["0", "-1", "false", "normal", "Normal", "benign", "no", "正常", "无攻击"];
/// Values of one object that are read.
const MAX_VALUES: usize = 256;

/// Says what a line tells of a connection or an attack; its dataset when it does.
pub(super) fn conclude(picture: &Picture<'_>, out: &mut Out) -> Option<&'static str> {
    let told = |what: u8| picture.traits & what != 0;
    let (source, destination) = (told(roles::SOURCE), told(roles::DESTINATION));
    let between = source && destination && picture.meanings > network::ENOUGH;
    let attacked = told(roles::ATTACK)
        && (source || destination || picture.has(Key::Client) || picture.has(Key::Peer));
    if !between && !attacked {
        return None;
    }
    let mark = out.mark();
    let pairs = picture.pairs(out);
    let mut facts = Facts::new(DIALECT);
    for (key, value) in pairs.iter().take(MAX_VALUES) {
        if !(NO_ATTACK.contains(&&**value) && is_attack(key)) {
            facts.take(Pair { key, value, escaped: false }, out);
        }
    }
    let connected = facts.has_ends() && (facts.decides() || out.has(names::NETWORK_TRANSPORT));
    if !connected && !facts.concerns() {
        out.reset(mark);
        return None;
    }
    facts.conclude(out);
    web(picture, out);
    Some(DATASET)
}

/// What a finding of a web application firewall says of the request.
fn web(picture: &Picture<'_>, out: &mut Out) {
    if !picture.has(Key::Method) && !picture.has(Key::Target) {
        return;
    }
    let target = picture.said(Key::Target, out).filter(|target| target.starts_with('/'));
    if let Some(target) = target
        && !picture.uses(names::URL_PATH, out)
    {
        let (path, query) = target.split_once('?').unwrap_or((&*target, ""));
        out.some(names::URL_PATH, path);
        out.some(names::URL_QUERY, query);
    }
    if let Some(query) = picture.said(Key::Query, out)
        && !picture.uses(names::URL_QUERY, out)
    {
        out.some(names::URL_QUERY, query.strip_prefix('?').unwrap_or(&query));
    }
    if picture.said(Key::Host, out).is_some() {
        picture.copy(Key::Host, names::URL_DOMAIN, out);
    }
}

fn is_attack(key: &str) -> bool {
    matches!(network::meaning(key), Some(Meaning::Attack | Meaning::AttackCategory))
}

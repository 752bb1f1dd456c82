//! A decision in prose: `deny tcp 203.0.113.7:44321 -> 192.0.2.5:22 …`.
//!
//! Some routers and small firewalls write no keys at all. Taken is only what leaves no doubt: the line
//! begins with the decision, maybe a protocol follows, then both ends with an arrow between them.

use super::{Facts, endpoint, protocol, words};
use crate::decode::out::Out;
use crate::decode::pairs::Pair;

/// Words between the decision and the arrow.
const MAX_WORDS: usize = 4;

/// Reads the decision and the ends of a line that begins with them.
pub(crate) fn tuple<'a>(message: &'a str, facts: &mut Facts<'a>, out: &mut Out) -> Option<()> {
    let at = memchr::memmem::find(message.as_bytes(), b"->")?;
    let (head, tail) = (message.get(..at)?.trim_end(), message.get(at + 2..)?.trim_start());
    let mut before = head.split_ascii_whitespace();
    let decision = before.next()?.trim_end_matches([':', ',']);
    words::verdict(decision).filter(|verdict| verdict.kind.is_some())?;
    let mut last = None;
    let mut transport = None;
    for word in before.by_ref().take(MAX_WORDS) {
        transport = last.or(transport);
        last = Some(word);
    }
    if before.next().is_some() {
        return None;
    }
    let (source, destination) = (last?, tail.split_ascii_whitespace().next()?);
    let destination = destination.trim_end_matches([',', ';', '.']);
    endpoint(source)?;
    endpoint(destination)?;
    for (key, value) in [("src", source), ("dst", destination)] {
        facts.take(Pair { key, value, escaped: false }, out);
    }
    if let Some(name) = transport {
        protocol(name.trim_matches(['(', ')', ',', ':']), out);
    }
    facts.set_action(decision);
    Some(())
}

//! logfmt: `level=info msg="listening" addr=:3000`, as Grafana, Prometheus, Loki and many Go programs write.
//!
//! A line is one when it is nothing but pairs and one of them is a level, a message or a caller. Level,
//! message, logger, error and time get their ECS names, an address or a user that is plainly one too;
//! other keys keep their own names, which are bounded as those of JSON lines are. Names that belong to an
//! event's header, or to the platform, are only claimed.

use super::network::{self, Meaning, Side};
use super::out::Out;
use super::pairs::{self, Pair, Style};
use super::{Decoder, Line, Looks, cef, gear, json};
use crate::event::{FieldId, intern, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "logfmt",
    datasets: &["logfmt"],
    programs: &[],
    paths: &["logfmt"],
    looks: Looks {
        first: b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_@",
        test: looks_like,
    },
    security: false,
    decode,
};

/// Fewer pairs are a sentence with a `=` in it.
const FEWEST: usize = 2;

fn looks_like(line: &str) -> bool {
    gear::begins_pair(line)
}

pub(super) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    // Linux audit writes pairs too, and means something else by them.
    if !gear::begins_pair(line.message) || line.message.contains("msg=audit(") {
        return false;
    }
    let mut all = pairs::pairs(line.message, Style::PLAIN);
    let (mut count, mut marks) = (0, 0);
    for pair in all.by_ref() {
        // A bare value has no blanks: a line that has is prose with pairs in it.
        let quoted = line.message.as_bytes().get(offset(line.message, pair.value).wrapping_sub(1));
        if pair.value.contains(' ') && !matches!(quoted, Some(b'"' | b'\'')) {
            return false;
        }
        count += 1;
        marks += usize::from(take(&pair, out));
    }
    if all.cut() {
        out.problem("pairs are left out: there are too many");
    }
    if count < FEWEST || marks == 0 {
        return false;
    }
    if !line.configured.is_empty() {
        out.dataset = intern::dataset(line.configured);
    }
    true
}

fn offset(text: &str, slice: &str) -> usize {
    slice.as_ptr().addr().wrapping_sub(text.as_ptr().addr())
}

/// Writes a pair; whether it is one that speaks for logfmt.
fn take(pair: &Pair<'_>, out: &mut Out) -> bool {
    let id = match pair.key {
        "level" | "lvl" | "severity" => {
            network::lower(names::LOG_LEVEL, pair.value, out);
            return true;
        }
        "msg" | "message" => {
            network::text(names::MESSAGE, pair, out);
            return true;
        }
        "caller" | "logger" | "component" => {
            network::text(names::LOG_LOGGER, pair, out);
            return true;
        }
        "ts" | "time" | "t" | "timestamp" if cef::stamp(pair.value, out) => return true,
        "err" | "error" => Some(names::ERROR_MESSAGE),
        key => match network::meaning(key) {
            Some(Meaning::Address(Side::Source | Side::Peer)) => {
                address(names::SOURCE_IP, key, pair.value)
            }
            Some(Meaning::Address(Side::Destination)) => {
                address(names::DESTINATION_IP, key, pair.value)
            }
            Some(Meaning::User) => Some(names::USER_NAME),
            _ => named(key),
        },
    };
    match id {
        Some(id) => network::text(id, pair, out),
        None => out.problem("a field is left out: no room for its name"),
    }
    false
}

/// The field of an address, where the value is one and nothing but one.
fn address(id: FieldId, key: &str, value: &str) -> Option<FieldId> {
    if super::scan::address(value).is_some() { Some(id) } else { named(key) }
}

/// The field of a stranger's key.
fn named(key: &str) -> Option<FieldId> {
    if key.starts_with("hengwei.") {
        return FieldId::outside(&format!("{}{key}", names::CLAIMED_PREFIX));
    }
    json::outside(key)
}

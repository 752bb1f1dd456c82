//! Palo Alto Networks: the comma-separated lines of PAN-OS.
//!
//! In: `1,2026/11/22 08:00:00,001801000000,TRAFFIC,end,…`: what a column means depends on the fourth. Values with
//! commas are quoted, quotes in them doubled. Out: see [`super::network`]. A line of another kind, or one with
//! too few columns for what its kind needs, is left alone.

use std::borrow::Cow;

use super::network::words::Happening;
use super::network::{Dialect, Facts, Meaning, Side};
use super::out::Out;
use super::pairs::Pair;
use super::time::slashes;
use super::{Decoder, Line, Looks, NUMBER};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "paloalto",
    datasets: &["paloalto.panos"],
    programs: &[],
    paths: &[],
    looks: Looks { first: &[NUMBER], test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "paloalto", own };
/// Columns of one line.
const MAX_COLUMNS: usize = 128;

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "natsrc" => Meaning::Address(Side::SourceNat),
        "natdst" => Meaning::Address(Side::DestinationNat),
        "subtype" | "vsys" | "sessionid" => Meaning::Keep,
        "threat" => Meaning::Attack,
        "urlcategory" | "threatcategory" => Meaning::Field(names::RULE_CATEGORY),
        "endreason" => Meaning::Field(names::EVENT_REASON),
        "dstuser" => Meaning::Field(names::DESTINATION_USER_NAME),
        _ => return None,
    })
}

/// Columns of connections, by position.
const CONNECTION: &[(usize, &str)] = &[
    (2, "serial"),
    (4, "subtype"),
    (7, "src"),
    (8, "dst"),
    (9, "natsrc"),
    (10, "natdst"),
    (11, "policy"),
    (12, "srcuser"),
    (13, "dstuser"),
    (14, "app"),
    (15, "vsys"),
    (16, "srczone"),
    (17, "dstzone"),
    (18, "srcintf"),
    (19, "dstintf"),
    (22, "sessionid"),
    (24, "sport"),
    (25, "dport"),
    (26, "natsrcport"),
    (27, "natdstport"),
    (29, "proto"),
    (30, "action"),
];
const TRAFFIC: &[(usize, &str)] = &[
    (31, "bytes"),
    (32, "bytessent"),
    (33, "bytesreceived"),
    (34, "packets"),
    (36, "duration"),
    (37, "urlcategory"),
    (46, "endreason"),
];
const THREAT: &[(usize, &str)] =
    &[(31, "url"), (32, "threat"), (33, "threatcategory"), (34, "severity"), (35, "direction")];
const CONFIG: &[(usize, &str)] = &[
    (2, "serial"),
    (4, "subtype"),
    (7, "ip"),
    (8, "vsys"),
    (9, "operation"),
    (10, "admin"),
    (11, "client"),
    (12, "result"),
    (13, "path"),
];
const SYSTEM: &[(usize, &str)] = &[
    (2, "serial"),
    (4, "subtype"),
    (7, "vsys"),
    (8, "eventid"),
    (13, "severity"),
    (14, "description"),
];

fn looks_like(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(80)).unwrap_or_default();
    [",TRAFFIC,", ",THREAT,", ",CONFIG,", ",SYSTEM,"].iter().any(|kind| head.contains(kind))
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let columns = columns(line.message);
    let column = |at: usize| columns.get(at).map(|value| &**value).unwrap_or_default();
    let traffic = CONNECTION.iter().chain(TRAFFIC);
    let (keys, fewest): (Vec<&(usize, &str)>, usize) = match column(3) {
        "TRAFFIC" => (traffic.collect(), 31),
        "THREAT" => (CONNECTION.iter().chain(THREAT).collect(), 33),
        "CONFIG" => (CONFIG.iter().collect(), 12),
        "SYSTEM" => (SYSTEM.iter().collect(), 14),
        _ => return false,
    };
    if columns.len() < fewest {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "Palo Alto Networks");
    let stamp = slashes(column(6).as_bytes()).or_else(|| slashes(column(1).as_bytes()));
    if out.time.is_none()
        && let Some((stamp, _)) = stamp
    {
        out.stamp(&stamp);
    }
    let mut facts = Facts::new(DIALECT);
    let happening = happening(column(3), column(4), column(14));
    for (at, key) in keys {
        // A URL is one of a URL log; elsewhere the column is a file's name.
        let key = if *at == 31 && column(3) == "THREAT" && column(4) != "url" {
            "filename"
        } else {
            *key
        };
        facts.take(Pair { key, value: column(*at), escaped: false }, out);
    }
    if column(3) == "SYSTEM" {
        login(column(14), &mut facts, out);
    }
    facts.set_happening(happening);
    facts.conclude(out);
    true
}

fn happening(kind: &str, sub: &str, description: &str) -> Happening {
    match (kind, sub) {
        ("TRAFFIC", _) => Happening::Session,
        ("CONFIG", _) => Happening::Configuration,
        ("THREAT", "url") => Happening::Web,
        ("THREAT", "virus" | "wildfire" | "wildfire-virus" | "spyware") => Happening::Virus,
        ("THREAT", _) => Happening::Attack,
        (_, "auth") => Happening::Login,
        _ if description.contains("logged out") => Happening::Logout,
        _ if description.contains("logged in") || description.contains("authentication") => {
            Happening::Login
        }
        _ => Happening::Session,
    }
}

/// `User a logged in via Web from 192.0.2.1 using https`, `failed authentication for user 'a'. … From: 192.0.2.1.`
fn login<'a>(text: &'a str, facts: &mut Facts<'a>, out: &mut Out) {
    let quoted = || text.split_once("user '")?.1.split('\'').next();
    let plain = || text.strip_prefix("User ")?.split(' ').next();
    if let Some(user) = quoted().or_else(plain) {
        facts.set_user(user);
    }
    let place = text.rsplit_once("From: ").or_else(|| text.rsplit_once(" from "));
    if let Some(address) = place.and_then(|(_, place)| place.split(' ').next()) {
        facts.take(
            Pair { key: "ip", value: address.trim_end_matches(['.', ',']), escaped: false },
            out,
        );
    }
}

/// The columns of a line.
fn columns(line: &str) -> Vec<Cow<'_, str>> {
    let mut columns = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest
        && columns.len() < MAX_COLUMNS
    {
        let (value, behind) = match text.strip_prefix('"') {
            Some(inner) => quoted(inner),
            None => match text.split_once(',') {
                Some((value, behind)) => (Cow::Borrowed(value), Some(behind)),
                None => (Cow::Borrowed(text), None),
            },
        };
        columns.push(value);
        rest = behind;
    }
    columns
}

/// A quoted value, its doubled quotes made one, and what follows the comma behind it.
fn quoted(inner: &str) -> (Cow<'_, str>, Option<&str>) {
    let bytes = inner.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
        let quote = at + found;
        if bytes.get(quote + 1) == Some(&b'"') {
            at = quote + 2;
            continue;
        }
        let value = inner.get(..quote).unwrap_or_default();
        let value = if value.contains("\"\"") {
            Cow::Owned(value.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(value)
        };
        let behind =
            inner.get(quote + 1..).and_then(|rest| rest.split_once(',')).map(|(_, rest)| rest);
        return (value, behind);
    }
    (Cow::Borrowed(inner), None)
}

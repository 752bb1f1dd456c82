//! The log of MongoDB, which is JSON since version 4.4.
//!
//! ```text
//! {"t":{"$date":"2026-11-22T08:00:00.123+08:00"},"s":"I","c":"ACCESS","id":20249,"ctx":"conn12","msg":"Authentication failed","attr":{…}}
//! ```
//!
//! JSON quotes what clients send, so every value is what it says it is. The number of a message (`id`)
//! and its words tell what it is; both are the server's.

use super::json::{self, Scalar};
use super::out::Out;
use super::{Decoder, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "mongodb",
    datasets: &["mongodb"],
    programs: &["mongod", "mongos", "mongodb"],
    paths: &["mongo"],
    looks: Looks { first: b"{", test: |line| line.starts_with("{\"t\":{\"$date\":\"") },
    security: false,
    decode,
};

/// Messages worth an action: their words, the category and the action, and whether it worked.
const SAID: &[(&str, &str, &str, Option<bool>)] = &[
    ("Authentication failed", "authentication", "login", Some(false)),
    ("Authentication succeeded", "authentication", "login", Some(true)),
    ("Successfully authenticated", "authentication", "login", Some(true)),
    ("Connection accepted", "database", "connection_received", None),
    ("Connection ended", "database", "disconnected", None),
    ("Waiting for connections", "database", "server_started", None),
    (
        "Access control is not enabled for the database",
        "configuration",
        "authentication_disabled",
        None,
    ),
    ("Checking authorization failed", "database", "permission_denied", Some(false)),
    ("Slow query", "database", "slow_query", Some(true)),
    ("dropDatabase", "database", "drop", None),
    ("CMD: drop", "database", "drop", None),
    ("createCollection", "database", "create", None),
    ("client metadata", "database", "client_metadata", None),
];

/// Commands that a slow query may be, as they stand in `attr.command`.
const COMMANDS: &[&str] = &[
    "find",
    "aggregate",
    "insert",
    "update",
    "delete",
    "count",
    "distinct",
    "drop",
    "dropDatabase",
    "findAndModify",
    "getMore",
    "createIndexes",
    "mapReduce",
    "listCollections",
    "listDatabases",
];

/// What was seen of a line.
#[derive(Default)]
struct Seen {
    dated: bool,
    message: bool,
    command: bool,
    /// A slow query names what it is; other messages name what they tell of.
    slow: bool,
    user: bool,
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !line.message.starts_with('{') {
        return false;
    }
    let mut seen = Seen::default();
    let whole =
        json::each(line.message, out, &mut |path, value, out| part(path, value, &mut seen, out));
    whole && seen.dated && seen.message
}

fn part(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    if seen.slow
        && !seen.command
        && let Some(name) = path.strip_prefix("attr.command.")
        && let Some(command) = COMMANDS.iter().find(|command| **command == name)
    {
        seen.command = true;
        out.word(names::DB_OPERATION, command);
        if let Some(collection) = value.text() {
            out.text(names::DB_TABLE, collection);
        }
        return;
    }
    match path {
        "id" => {
            if let Some(id) = value.integer() {
                out.integer(names::EVENT_CODE, id);
            }
        }
        "attr.durationMillis" => {
            if let Some(millis) = value.integer() {
                out.integer(names::EVENT_DURATION, millis.saturating_mul(1_000_000));
            }
        }
        "attr.nreturned" | "attr.nMatched" | "attr.ndeleted" | "attr.ninserted" => {
            if let Some(rows) = value.integer() {
                out.integer(names::DB_ROWS, rows);
            }
        }
        _ => {
            if let Some(text) = value.text().filter(|text| !text.is_empty()) {
                text_of(path, text, seen, out);
            }
        }
    }
}

fn text_of(path: &str, text: &str, seen: &mut Seen, out: &mut Out) {
    match path {
        "t.$date" => {
            if let Some((stamp, _)) = time::iso(text.as_bytes()) {
                seen.dated = true;
                out.stamp(&stamp);
            }
        }
        "s" => {
            let level = match text {
                "F" => "fatal",
                "E" => "error",
                "W" => "warning",
                "I" => "info",
                _ => "debug",
            };
            out.word(names::LOG_LEVEL, level);
        }
        "c" => out.text(names::LOG_LOGGER, text),
        "ctx" => out.text(names::DB_SESSION_ID, text),
        "msg" => message(text, seen, out),
        "attr.remote" | "attr.client" => {
            if let Some((address, port)) = scan::endpoint(text) {
                out.address(names::SOURCE_IP, address);
                out.integer(names::SOURCE_PORT, port.into());
            }
        }
        "attr.principalName" | "attr.user" if !seen.user => {
            seen.user = true;
            // `his@emr` in newer versions.
            out.text(names::USER_NAME, text.split_once('@').map_or(text, |(user, _)| user));
        }
        "attr.authenticationDatabase" | "attr.db" | "attr.command.$db" => {
            out.text(names::DB_NAME, text)
        }
        "attr.mechanism" => out.text(names::HENGWEI_AUTH_METHOD, text),
        "attr.appName" => out.text(names::HENGWEI_DB_APPLICATION, text),
        "attr.error" | "attr.error.errmsg" | "attr.result" => out.text(names::ERROR_MESSAGE, text),
        "attr.error.codeName" => out.text(names::ERROR_CODE, text),
        "attr.ns" => out.text(names::HENGWEI_DB_OBJECT, text),
        _ => {}
    }
}

fn message(text: &str, seen: &mut Seen, out: &mut Out) {
    if std::mem::replace(&mut seen.message, true) {
        return;
    }
    let known = SAID.iter().find(|(words, ..)| text.starts_with(words));
    let Some((_, category, action, worked)) = known else {
        out.word(names::EVENT_CATEGORY, "database");
        return;
    };
    out.event(category, action);
    seen.slow = *action == "slow_query";
    if *category == "authentication" {
        out.word(names::DB_OPERATION, "login");
    }
    if let Some(worked) = worked {
        out.outcome(*worked);
    }
}

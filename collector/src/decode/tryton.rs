//! The log of Tryton's server, on which GNU Health runs: logins, sessions, calls of methods, and the
//! requests that werkzeug tells of.
//!
//! Names and databases are the client's words, between single quotes that are not escaped. The server
//! writes the address between the two, so a line that has the words around it twice is not read
//! further. Other Python programs log alike; only lines of this server's own layout are claimed.

use super::out::Out;
use super::time::{asctime, iso};
use super::{Decoder, Line, Looks, NUMBER, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "tryton",
    datasets: &["tryton"],
    programs: &["trytond"],
    paths: &["trytond", "/tryton/"],
    looks: Looks { first: &[b'[', NUMBER], test: |line| entry(line).is_some() },
    security: false,
    decode,
};

const LEVELS: &[(&str, &str)] = &[
    ("DEBUG", "debug"),
    ("INFO", "info"),
    ("WARNING", "warning"),
    ("ERROR", "error"),
    ("CRITICAL", "critical"),
];
/// The length of `Sat Feb 28 08:10:01 2026`.
const ASCTIME: usize = 24;

/// How messages about sessions begin, the action, and whether it worked.
const SESSIONS: &[(&str, &str, &str, Option<bool>)] = &[
    ("login succeeded for '", "authentication", "login", Some(true)),
    ("login failed for '", "authentication", "login", Some(false)),
    ("logout for '", "session", "logout", None),
    ("logout failed for '", "session", "logout", Some(false)),
    ("session failed for '", "session", "session_failed", Some(false)),
    ("session expired for '", "session", "session_expired", None),
    ("session timeout for '", "session", "session_expired", None),
    ("session valid for '", "session", "session_valid", None),
];

/// A line of the server.
struct Entry<'a> {
    stamp: Option<super::time::Stamp>,
    level: &'static str,
    logger: &'a str,
    message: &'a str,
}

/// `PROCESS THREAD [STAMP] LEVEL LOGGER MESSAGE`, before version 5 `[STAMP] LEVEL:LOGGER:MESSAGE`.
fn entry(line: &str) -> Option<Entry<'_>> {
    let known = |word: &str| LEVELS.iter().find(|(name, _)| *name == word).map(|(_, word)| *word);
    if let Some(rest) = line.strip_prefix('[') {
        let (stamp, rest) = rest.split_at_checked(ASCTIME)?;
        let (level, rest) = rest.strip_prefix("] ")?.split_once(':')?;
        let level = known(level)?;
        let (logger, message) = rest.split_once(':')?;
        return is_logger(logger).then_some(Entry {
            stamp: Some(asctime(stamp.as_bytes())?),
            level,
            logger,
            message,
        });
    }
    let (numbers, rest) = line.split_once(" [")?;
    let (process, thread) = numbers.split_once(' ')?;
    if !(scan::is_digits(process) && scan::is_digits(thread)) {
        return None;
    }
    let (stamp, len) = iso(rest.as_bytes())?;
    let (level, rest) = rest.get(len..)?.strip_prefix("] ")?.split_once(' ')?;
    let level = known(level)?;
    let (logger, message) = rest.split_once(' ')?;
    is_logger(logger).then_some(Entry { stamp: Some(stamp), level, logger, message })
}

fn is_logger(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

/// Reads one line or message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match entry(line.message) {
        Some(entry) => {
            if let Some(stamp) = &entry.stamp {
                out.stamp(stamp);
            }
            out.word(names::LOG_LEVEL, entry.level);
            out.text(names::LOG_LOGGER, entry.logger);
            out.some(names::MESSAGE, entry.message);
            entry.message
        }
        None if line.program == Some("trytond") || line.configured == "tryton" => line.message,
        None => return false,
    };
    let claimed = message.len() != line.message.len();
    // What follows in other lines is the trace of an error.
    let (said, trace) = message.split_once('\n').unwrap_or((message, ""));
    let mark = out.mark();
    let read = session(said, out).or_else(|| call(said, out)).or_else(|| web(said, out));
    if read.is_none() {
        out.reset(mark);
    }
    if claimed && !trace.is_empty() {
        out.outcome(false);
        out.text(names::ERROR_MESSAGE, said);
        out.text(names::ERROR_STACK_TRACE, trace);
    }
    claimed || read.is_some()
}

/// `login failed for 'NAME' from 'ADDRESS' on database 'NAME'`.
fn session(message: &str, out: &mut Out) -> Option<()> {
    let (start, category, action, success) =
        SESSIONS.iter().find(|(start, ..)| message.starts_with(start))?;
    let rest = message.strip_prefix(start)?;
    out.event(category, action);
    out.security |= *category == "authentication";
    if let Some(success) = success {
        out.outcome(*success);
    }
    let (name, rest) = rest.split_once("' from '")?;
    if rest.contains("' from '") {
        out.problem("a name imitates the log; neither name nor address are read");
        return Some(());
    }
    let (address, database) = rest.split_once("' on database '")?;
    out.some(names::USER_NAME, name);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    out.some(names::DB_NAME, database.trim_end().strip_suffix('\'')?);
    Some(())
}

/// `model.party.party.read(…) from NAME@ADDRESS/DATABASE/ in 12 ms`: what was called may hold any text,
/// so the line is read from its end.
fn call(message: &str, out: &mut Out) -> Option<()> {
    let (what, time) = message.rsplit_once(" in ")?;
    let millis: i64 = time.trim_end().strip_suffix(" ms")?.parse().ok()?;
    let (what, who) = what.rsplit_once(" from ")?;
    let (name, place) = who.rsplit_once('@')?;
    let (address, path) = place.split_once('/')?;
    let method = what.split('(').next().unwrap_or(what);
    let (object, method) = method.rsplit_once('.')?;
    out.event("database", "rpc_call");
    out.some(names::DB_OPERATION, method);
    out.some(names::DB_TABLE, object.strip_prefix("model.").unwrap_or(object));
    out.some(names::USER_NAME, name);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    out.some(names::DB_NAME, path.split('/').next().unwrap_or_default());
    out.integer(names::EVENT_DURATION, millis.saturating_mul(1_000_000));
    Some(())
}

/// `ADDRESS - - [28/Feb/2026 08:10:01] "POST /db/ HTTP/1.1" 401 -`.
fn web(message: &str, out: &mut Out) -> Option<()> {
    let (address, rest) = message.split_once(" - - [")?;
    let address = scan::address(address)?;
    let (_, rest) = rest.split_once("] \"")?;
    let (request, status) = rest.rsplit_once("\" ")?;
    let status = status.split_once(' ').map_or(status, |(status, _)| status);
    let (method, rest) = request.split_once(' ')?;
    let (url, version) = rest.rsplit_once(" HTTP/").unwrap_or((rest, ""));
    out.event("web", "rest_request");
    out.address(names::SOURCE_IP, address);
    out.text(names::HTTP_REQUEST_METHOD, method);
    out.text(names::URL_ORIGINAL, url);
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    out.text(names::URL_PATH, path);
    out.some(names::URL_QUERY, query);
    out.some(names::HTTP_VERSION, version);
    let status: i64 = status.parse().ok()?;
    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
    out.outcome(status < 400);
    Some(())
}

//! 达梦 (DM 7 and 8): the server's log, the SQL log, and audit records.
//!
//! ```text
//! 2026-11-22 08:00:00.123 [INFO] database P0000012345 T0000000000000012346  checkpoint requested
//! 2026-11-22 08:00:00.123 (EP[0] sess:0x7f3c thrd:12 user:SYSDBA trxid:7 stmt:0x7f appname:disql ip:::ffff:192.0.2.7) [SEL] select * from patient
//! USERNAME=HIS, IP=::ffff:192.0.2.7, SCHNAME=EMR, OBJNAME=PATIENT, OPERATION=SELECT, SUCC_FLAG=Y, SQL_TEXT="…", OPTIME=…
//! ```
//!
//! Known from what is public: the two logs as above (`dm_<instance>_<month>.log` and
//! `dmsql_<instance>_<time>.log`), and what an audit record holds, because the view `V$AUDITRECORDS` names
//! it. The audit file itself is binary; how a site turns it into text is the site's choice. Assumed
//! therefore, and read: the columns of the view in its order as CSV, and each value behind its name, as
//! pairs or as JSON. A record that names fewer than three of the columns is refused.
//!
//! In the SQL log the head is the server's but for `appname`, which the client chooses: what stands behind
//! it is only believed when every name stands once. The statement follows the head and is the last part.

use super::csv::Cells;
use super::out::Out;
use super::time::{self, Stamp};
use super::trail::{self, Names, Part};
use super::{Decoder, ISO, Line, Looks, scan, sql};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "dameng",
    datasets: &[LOG, AUDIT],
    programs: &["dmserver", "dm"],
    paths: &["dmdba", "dmdbms", "dameng", "/dm_", "dmsql_"],
    looks: Looks { first: &[ISO], test: looks_like },
    security: false,
    decode,
};

const LOG: &str = "dameng.log";
const AUDIT: &str = "dameng.audit";

/// The columns of `V$AUDITRECORDS`.
const COLUMNS: Names = &[
    ("userid", Part::Ignored),
    ("username", Part::User),
    ("roleid", Part::Ignored),
    ("rolename", Part::Class),
    ("ip", Part::Client),
    ("schid", Part::Ignored),
    ("schname", Part::Schema),
    ("objid", Part::Ignored),
    ("objname", Part::Object),
    ("operation", Part::Action),
    ("succ_flag", Part::Result),
    ("sql_text", Part::Statement),
    ("describtion", Part::Message),
    ("description", Part::Message),
    ("optime", Part::Time),
    ("mac", Part::Ignored),
    ("appname", Part::Application),
    ("hostname", Part::Host),
    ("sessid", Part::Session),
];
/// The first of them, which all versions have, in the view's order.
const ORDER: &[Part] = &[
    Part::Ignored,
    Part::User,
    Part::Ignored,
    Part::Class,
    Part::Client,
    Part::Ignored,
    Part::Schema,
    Part::Ignored,
    Part::Object,
    Part::Action,
    Part::Result,
    Part::Statement,
    Part::Message,
    Part::Time,
];
const TWICE: &str = "a name stands in the head twice: user and address are not taken";

/// Levels of the server's log.
const LEVELS: &[(&str, &str)] = &[
    ("INFO", "info"),
    ("WARNING", "warning"),
    ("WARN", "warning"),
    ("ERROR", "error"),
    ("FATAL", "fatal"),
];
/// Kinds of statements in the SQL log.
const KINDS: &[&str] =
    &["SEL", "INS", "UPD", "DEL", "DDL", "CAL", "ORA", "PLS", "MER", "OTH", "LOGIN", "LOGOUT"];

/// Messages of the server worth an action, by words in them.
const SAID: &[(&str, &str, &str)] = &[
    ("SYSTEM IS READY", "database", "server_started"),
    ("SYSTEM SHUTDOWN", "database", "server_stopped"),
    ("shutdown", "database", "server_stopping"),
    ("login fail", "authentication", "login"),
    ("Login failed", "authentication", "login"),
    ("Invalid username or password", "authentication", "login"),
    ("用户名或密码错误", "authentication", "login"),
    ("license", "database", "license"),
    ("backup", "database", "backup"),
    ("restore", "database", "restore"),
];

/// Whether a line may be of one of the two logs.
fn looks_like(line: &str) -> bool {
    stamp(line).is_some_and(|(_, rest)| rest.starts_with(" (EP[") || server(rest).is_some())
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if let Some((stamp, rest)) = stamp(text) {
        if let Some(head) = rest.strip_prefix(" (") {
            out.stamp(&stamp);
            out.dataset = Some(LOG);
            return statement(head, out).is_some();
        }
        if let Some((level, rest)) = server(rest) {
            out.stamp(&stamp);
            out.dataset = Some(LOG);
            said(level, rest, line.program.is_some(), out);
            return true;
        }
    }
    let record = columns(text, out).is_some() || trail::read(text, COLUMNS, out).is_some();
    if record {
        out.dataset = Some(AUDIT);
    }
    record
}

/// `2026-11-22 08:00:00.123`; older servers leave the fraction out.
fn stamp(text: &str) -> Option<(Stamp, &str)> {
    let (stamp, len) = time::iso(text.as_bytes())?;
    Some((stamp, text.get(len..)?))
}

/// ` [INFO] database P0000012345 T0000000000000012346  `: the level and what follows.
fn server(rest: &str) -> Option<(&'static str, &str)> {
    let (level, rest) = rest.strip_prefix(" [")?.split_once("] ")?;
    let (_, level) = LEVELS.iter().find(|(known, _)| *known == level)?;
    // The process behind the name of the program tells it from other logs with a level in brackets.
    let mut words = rest.split(' ');
    let (_, pid) = (words.next()?, words.find(|word| !word.is_empty())?);
    let digits = pid.strip_prefix('P')?;
    scan::is_digits(digits).then_some((*level, rest))
}

fn said(level: &'static str, rest: &str, carried: bool, out: &mut Out) {
    out.word(names::LOG_LEVEL, level);
    let mut rest = rest;
    for at in 0..3 {
        let (word, behind) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        let number = word.get(1..).map(|digits| digits.trim_start_matches('0')).unwrap_or_default();
        match (at, word.as_bytes().first()) {
            (0, _) => out.some(names::LOG_LOGGER, word),
            (1, Some(b'P')) if !carried => out.digits(names::PROCESS_PID, number),
            (2, Some(b'T')) => out.digits(names::PROCESS_THREAD_ID, number),
            _ => {}
        }
        rest = behind;
    }
    let text = rest.trim_start();
    match SAID.iter().find(|(words, ..)| text.contains(words)) {
        Some((_, category, action)) => {
            out.event(category, action);
            if *category == "authentication" {
                out.outcome(false);
                who(text, out);
            }
        }
        None => out.word(names::EVENT_CATEGORY, "database"),
    }
    if matches!(level, "error" | "fatal" | "warning") {
        out.some(names::ERROR_MESSAGE, text);
    }
}

/// `… user:HIS … ip:::ffff:192.0.2.7`, where a message about a login names them once each.
fn who(text: &str, out: &mut Out) {
    let once = |names: &[&str]| {
        let found: Vec<&str> = names
            .iter()
            .flat_map(|name| text.match_indices(name).map(|(at, found)| (at + found.len(), found)))
            .filter_map(|(at, _)| text.get(at..))
            .collect();
        match found.as_slice() {
            [value] => {
                Some(value.trim_start().split([' ', ',', ']', ')']).next().unwrap_or_default())
            }
            _ => None,
        }
    };
    if let Some(user) = once(&["user:", "user[", "username:"]) {
        out.some(names::USER_NAME, user);
    }
    if let Some(address) = once(&["ip:", "from ip", "ip["]).and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
}

/// `EP[0] sess:0x7f thrd:1 user:SYSDBA trxid:7 stmt:0x7f appname:disql ip:::ffff:192.0.2.7) [SEL] select …`
fn statement(head: &str, out: &mut Out) -> Option<()> {
    let rest = head.strip_prefix("EP[")?;
    let (head, body) = rest.split_once(") ").or_else(|| Some((rest.strip_suffix(')')?, "")))?;
    out.word(names::EVENT_CATEGORY, "database");
    let keys = ["sess:", "user:", "ip:", "appname:"];
    // The first blank-separated word that begins with it; a second one is somebody's invention.
    let words =
        |key: &str| head.split(' ').filter_map(|word| word.strip_prefix(key)).collect::<Vec<_>>();
    let found: Vec<Vec<&str>> = keys.iter().map(|key| words(key)).collect();
    // A name of a program with the bracket in it ends the head early, and the address stands behind.
    let ended = head.contains(" appname:")
        && body.split_once(" ip:").is_some_and(|(_, rest)| rest.contains(") "));
    if ended || found.iter().any(|values| values.len() > 1) {
        out.problem(TWICE);
    } else {
        let ids = [
            names::DB_SESSION_ID,
            names::USER_NAME,
            names::SOURCE_IP,
            names::HENGWEI_DB_APPLICATION,
        ];
        for (values, id) in found.iter().zip(ids) {
            let Some(value) = values.first() else { continue };
            if id != names::SOURCE_IP {
                out.some(id, value);
            } else if let Some(address) = scan::address(value) {
                out.address(id, address);
            }
        }
    }
    body_of(body, out);
    Some(())
}

/// `[SEL] select …`, `[ORA]: … EXECTIME: 12(ms) ROWCOUNT: 3(rows) EXEC_ID: 9.`, `PARAMS(…)={…}`.
fn body_of(body: &str, out: &mut Out) {
    let kind = body.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let text = match kind.filter(|(kind, _)| KINDS.contains(kind)) {
        Some((kind, rest)) => {
            out.text(names::HENGWEI_DB_CLASS, kind);
            rest.trim_start_matches([':', ' '])
        }
        None => body,
    };
    if let Some(rest) = text.strip_prefix("EXECTIME: ") {
        // The line behind a statement, with what it took.
        out.word(names::EVENT_ACTION, "statement_ended");
        out.outcome(true);
        if let Some((millis, rest)) = rest.split_once("(ms)") {
            if let Ok(millis) = millis.trim().parse::<u32>() {
                out.integer(names::EVENT_DURATION, i64::from(millis) * 1_000_000);
            }
            let rows = rest.split_once("ROWCOUNT: ").and_then(|(_, rest)| rest.split_once('('));
            if let Some((rows, _)) = rows {
                out.digits(names::DB_ROWS, rows);
            }
        }
    } else if let Some(rest) = text.strip_prefix("PARAMS(") {
        out.word(names::EVENT_ACTION, "parameters");
        out.some(
            names::HENGWEI_DB_PARAMETERS,
            rest.split_once("=").map_or("", |(_, values)| values),
        );
    } else {
        sql::statement(text, out);
    }
}

/// The columns of the view as CSV: told from other CSV by the flag and the time where they must be.
fn columns(text: &str, out: &mut Out) -> Option<()> {
    let mut cells = Cells::new(text);
    let mut values = Vec::with_capacity(ORDER.len());
    for _ in ORDER {
        values.push(cells.cell()?.text());
    }
    let at =
        |wanted: Part| ORDER.iter().position(|part| *part == wanted).and_then(|at| values.get(at));
    let flag = at(Part::Result)?;
    stamp(at(Part::Time)?)?;
    if !matches!(&**flag, "Y" | "N") {
        return None;
    }
    let parts: Vec<(Part, &str)> =
        ORDER.iter().zip(&values).map(|(part, value)| (*part, &**value)).collect();
    trail::write(&parts, false, out);
    Some(())
}

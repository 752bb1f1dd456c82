//! What PostgreSQL's messages say: who came and was let in or not, which statement ran, what failed.
//!
//! A login is one event, `login`: with `connection authorized` it succeeded, with the refusal it
//! failed. The lines around it (`connection received`, `connection authenticated`, the disconnection)
//! have actions of their own. Names in a message stand between quotes that the server does not double,
//! so a name is only taken where its end is certain.

use super::super::out::Out;
use super::super::{scan, sql};
use super::{FATAL, STATEMENT};
use crate::event::names;

/// What the message named, and the prefix need not.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Told {
    pub(super) user: bool,
    pub(super) database: bool,
    /// Whether it said what was done, so that a statement beside it is only evidence.
    acted: bool,
}

/// Reasons for which a session is refused that have no other shape.
const REFUSALS: &[&str] = &[
    "sorry, too many clients already",
    "remaining connection slots are reserved",
    "too many connections for ",
    "the database system is ",
    "permission denied for database ",
    "unsupported frontend protocol",
    "no PostgreSQL user name specified",
    "connection requires a valid client certificate",
];

/// A century, beyond which a duration is not believed.
const MAX_MILLIS: f64 = 3.2e12;

/// Messages that tell of the server, by how they begin.
const SERVER: &[(&str, &str)] = &[
    ("starting PostgreSQL", "server_starting"),
    ("database system is ready to accept", "server_started"),
    ("received fast shutdown request", "server_stopping"),
    ("received smart shutdown request", "server_stopping"),
    ("received immediate shutdown request", "server_stopping"),
    ("database system is shut down", "server_stopped"),
    ("database system was interrupted", "server_interrupted"),
    ("database system was not properly shut down", "server_interrupted"),
    ("server process (PID", "server_process_ended"),
    ("received SIGHUP, reloading", "configuration_reloaded"),
    ("parameter \"", "parameter_changed"),
    ("checkpoint ", "checkpoint"),
    ("automatic vacuum", "automatic_maintenance"),
    ("automatic analyze", "automatic_maintenance"),
    ("archive command failed", "archive_failed"),
];

/// Reads a message of that severity; `known` says that the prefix named the client already.
pub(super) fn read(level: &'static str, said: &str, known: bool, out: &mut Out) -> Told {
    if level == STATEMENT {
        out.word(names::EVENT_CATEGORY, "database");
        out.outcome(false);
        sql::statement(said, out);
        return Told::default();
    }
    if matches!(level, "detail" | "hint" | "context" | "query" | "location") {
        out.event("database", level);
        out.some(names::EVENT_REASON, said);
        return Told::default();
    }
    let bad = matches!(level, "error" | FATAL | "panic");
    if bad {
        out.text(names::ERROR_MESSAGE, said);
        out.outcome(false);
        if let Some(told) = refusal(level == FATAL, said, known, out) {
            return Told { acted: true, ..told };
        }
        out.word(names::EVENT_CATEGORY, "database");
        let acted = ["permission denied", "must be ", "权限不够"]
            .iter()
            .any(|start| said.starts_with(start));
        if acted {
            out.word(names::EVENT_ACTION, "permission_denied");
            out.word(names::EVENT_TYPE, "denied");
        }
        return Told { acted, ..Told::default() };
    }
    connection(said, known, out).unwrap_or_else(|| {
        out.word(names::EVENT_CATEGORY, "database");
        if ran(said, out).is_none()
            && let Some((_, action)) = SERVER.iter().find(|(start, _)| said.starts_with(start))
        {
            out.word(names::EVENT_ACTION, action);
        }
        Told::default()
    })
}

/// The statement that an error of CSV or JSON names beside its message.
pub(super) fn failed_statement(text: &str, told: Told, out: &mut Out) {
    match text {
        "" => {}
        _ if told.acted => {
            sql::evidence(text, out);
        }
        _ => sql::statement(text, out),
    }
}

/// `connection received: …` and what follows in the life of a session.
fn connection(said: &str, known: bool, out: &mut Out) -> Option<Told> {
    if let Some(rest) = said.strip_prefix("connection received: ") {
        out.event("database", "connection_received");
        host_and_port(rest, known, out);
        return Some(Told::default());
    }
    if let Some(rest) = said.strip_prefix("connection authenticated: ") {
        let (identity, rest) = rest.strip_prefix("identity=\"")?.rsplit_once("\" method=")?;
        out.event("authentication", "authenticated");
        out.outcome(true);
        out.some(names::HENGWEI_DB_IDENTITY, identity);
        out.some(
            names::HENGWEI_AUTH_METHOD,
            rest.split_once(' ').map_or(rest, |(method, _)| method),
        );
        return Some(Told::default());
    }
    if let Some(rest) = said.strip_prefix("disconnection: session time: ") {
        let (time, who) = rest.split_once(" user=")?;
        out.event("database", "disconnected");
        out.word(names::EVENT_TYPE, "end");
        if let Some(nanos) = session_nanos(time) {
            out.integer(names::EVENT_DURATION, nanos);
        }
        let (user, who) = who.split_once(" database=")?;
        let (database, host) = who.rsplit_once(" host=")?;
        out.some(names::USER_NAME, user);
        out.some(names::DB_NAME, database);
        host_and_port(host, known, out);
        return Some(Told { user: true, database: true, acted: true });
    }
    let rest = said.strip_prefix("replication ").unwrap_or(said);
    let rest = rest.strip_prefix("connection authorized: user=")?;
    out.event("authentication", "login");
    out.word(names::EVENT_TYPE, "start");
    out.outcome(true);
    let end = [" application_name=", " SSL enabled", " GSS "]
        .iter()
        .filter_map(|mark| rest.find(mark))
        .min();
    let who = &rest[..end.unwrap_or(rest.len())];
    let (user, database) = who.split_once(" database=").unwrap_or((who, ""));
    out.some(names::USER_NAME, user);
    out.some(names::DB_NAME, database);
    if let Some((_, rest)) = rest.split_once(" application_name=") {
        let application = rest.split_once(" SSL enabled").map_or(rest, |(name, _)| name);
        out.some(names::HENGWEI_DB_APPLICATION, application);
    }
    Some(Told { user: true, database: !database.is_empty(), acted: true })
}

/// `host=192.0.2.4 port=51234`, or `host=[local]`; the prefix may have said it already.
fn host_and_port(text: &str, known: bool, out: &mut Out) {
    let text = text.strip_prefix("host=").unwrap_or(text);
    let (host, port) = text.split_once(" port=").unwrap_or((text, ""));
    if !known && let Some(address) = scan::address(host) {
        out.address(names::SOURCE_IP, address);
        if let Ok(port) = port.parse::<u16>() {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
}

/// `0:00:05.123`.
fn session_nanos(time: &str) -> Option<i64> {
    let mut parts = time.splitn(3, ':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let (secs, millis) = parts.next()?.split_once('.')?;
    let secs: i64 = secs.parse().ok()?;
    let millis: i64 = millis.parse().ok()?;
    let total =
        hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(secs)?;
    total.checked_mul(1_000)?.checked_add(millis)?.checked_mul(1_000_000)
}

/// A session that was not let in.
fn refusal(fatal: bool, said: &str, known: bool, out: &mut Out) -> Option<Told> {
    let login = |out: &mut Out| {
        out.event("authentication", "login");
        out.word(names::EVENT_TYPE, "denied");
    };
    // `… authentication failed for user "NAME"`, the name being the rest.
    if let Some((method, user)) = said.split_once(" authentication failed for user \"") {
        login(out);
        out.word(names::EVENT_REASON, "authentication failed");
        if method.len() <= 12 && method.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            out.owned(names::HENGWEI_AUTH_METHOD, &method.to_ascii_lowercase());
        }
        return Some(Told { user: quoted_rest(user, out), ..Told::default() });
    }
    if let Some(user) = said.strip_prefix("用户 \"").and_then(|rest| rest.split_once("认证失败"))
        && let Some((user, _)) = user.0.rsplit_once('"')
    {
        login(out);
        out.word(names::EVENT_REASON, "authentication failed");
        out.some(names::USER_NAME, user);
        return Some(Told { user: true, ..Told::default() });
    }
    if let Some(rest) = said
        .strip_prefix("no pg_hba.conf entry for ")
        .or_else(|| said.strip_prefix("pg_hba.conf rejects "))
        .or_else(|| said.strip_prefix("no sys_hba.conf entry for "))
    {
        login(out);
        out.word(names::EVENT_REASON, "not allowed from there");
        let (_, rest) = rest.split_once("host \"")?;
        let (host, rest) = rest.split_once('"')?;
        if let Some(address) = scan::address(host)
            && !known
        {
            out.address(names::SOURCE_IP, address);
        }
        let rest = rest.strip_prefix(", user \"")?;
        let mut parts = rest.split("\", database \"");
        let (user, database, more) = (parts.next()?, parts.next(), parts.next());
        if more.is_some() {
            out.problem("the user and the database cannot be told apart");
            return Some(Told { user: true, database: true, acted: true });
        }
        let Some(database) = database else { return Some(Told::default()) };
        let (database, _) = database.rsplit_once('"')?;
        out.some(names::USER_NAME, user);
        out.some(names::DB_NAME, database);
        return Some(Told { user: true, database: true, acted: true });
    }
    if let Some(user) = said.strip_prefix("role \"")
        && let Some(user) = user
            .strip_suffix("\" does not exist")
            .or_else(|| user.strip_suffix("\" is not permitted to log in"))
        && fatal
    {
        login(out);
        out.word(names::EVENT_REASON, "no such role, or one that may not log in");
        out.some(names::USER_NAME, user);
        return Some(Told { user: true, ..Told::default() });
    }
    let database =
        said.strip_prefix("database \"").and_then(|rest| rest.strip_suffix("\" does not exist"));
    if let Some(database) = database.filter(|_| fatal) {
        login(out);
        out.word(names::EVENT_REASON, "no such database");
        out.some(names::DB_NAME, database);
        return Some(Told { database: true, ..Told::default() });
    }
    let full = REFUSALS.iter().any(|start| said.starts_with(start)) && fatal;
    full.then(|| {
        login(out);
        Told::default()
    })
}

/// `NAME"`, all of it.
fn quoted_rest(text: &str, out: &mut Out) -> bool {
    let Some(user) = text.strip_suffix('"') else { return false };
    out.some(names::USER_NAME, user);
    true
}

/// `statement: …`, `execute NAME: …`, `duration: 1.5 ms[  statement: …]`.
pub(super) fn ran(said: &str, out: &mut Out) -> Option<()> {
    let mut rest = said;
    if let Some(behind) = said.strip_prefix("duration: ") {
        let (millis, behind) = behind.split_once(" ms")?;
        let millis: f64 = millis.parse().ok()?;
        if (0.0..MAX_MILLIS).contains(&millis) {
            #[expect(clippy::cast_possible_truncation, reason = "it is below the bound")]
            out.integer(names::EVENT_DURATION, (millis * 1e6).round() as i64);
        }
        out.outcome(true);
        rest = behind.trim_start();
        if rest.is_empty() {
            out.word(names::EVENT_ACTION, "statement_ended");
            return Some(());
        }
    }
    let statement = rest.strip_prefix("statement: ").or_else(|| {
        let rest =
            ["execute ", "parse ", "bind "].iter().find_map(|start| rest.strip_prefix(start))?;
        Some(rest.split_once(": ")?.1)
    })?;
    sql::statement(statement, out);
    Some(())
}

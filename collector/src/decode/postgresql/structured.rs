//! The forms that quote what the peer writes: CSV, with the columns of versions 9 to 17, and JSON.
//!
//! Versions only ever added columns at the end, so those of the oldest are read by their place and the
//! later ones where they are. Lines of JSON with a value of the wrong kind, or with a key twice, are
//! refused.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::csv::Cells;
use super::super::out::Out;
use super::super::time::Stamp;
use super::{Datasets, LEVELS, Session, message, stamp, tell};
use crate::event::names;

/// Reads a CSV line behind its stamp.
pub(super) fn csv(stamp: &Stamp, rest: &str, datasets: Datasets, out: &mut Out) -> Option<()> {
    let mut cells = Cells::new(rest.strip_prefix(',')?);
    let user = cells.cell()?.text();
    let database = cells.cell()?.text();
    let pid = cells.raw()?;
    let client = cells.cell()?.text();
    let session_id = cells.raw()?;
    let _line = cells.raw()?;
    let _tag = cells.raw()?;
    let _session_start = cells.raw()?;
    let _virtual_transaction = cells.raw()?;
    let _transaction = cells.raw()?;
    let severity = cells.raw()?;
    let state = cells.raw()?;
    let said = cells.cell()?.text();
    let level = LEVELS.iter().find(|(word, _)| *word == severity)?.1;
    pid.parse::<u32>().ok()?;
    out.stamp(stamp);
    out.dataset = Some(datasets.log);
    out.digits(names::PROCESS_PID, pid);
    out.some(names::DB_SESSION_ID, session_id);
    let detail = cells.cell();
    let _hint = cells.cell();
    let _internal_query = cells.cell();
    let _internal_position = cells.cell();
    let _context = cells.cell();
    let query = cells.cell();
    if let Some(detail) = detail {
        out.some(names::EVENT_REASON, &detail.text());
    }
    code(state, out);
    let told = tell(level, &said, &Session { user, database, client }, datasets, out);
    if let Some(query) = query {
        message::failed_statement(&query.text(), told, out);
    }
    let _position = cells.cell();
    let _location = cells.cell();
    if let Some(application) = cells.cell() {
        out.some(names::HENGWEI_DB_APPLICATION, &application.text());
    }
    if cells.broken {
        out.problem("the line ends within a value");
    }
    Some(())
}

/// SQLSTATE, where it says more than that nothing went wrong.
fn code(state: &str, out: &mut Out) {
    if state != "00000" {
        out.some(names::ERROR_CODE, state);
    }
}

/// A line of jsonlog.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    dbname: Cow<'a, str>,
    pid: i64,
    #[serde(borrow, default)]
    remote_host: Cow<'a, str>,
    #[serde(default)]
    remote_port: Option<u16>,
    #[serde(borrow, default)]
    session_id: Cow<'a, str>,
    #[serde(borrow)]
    error_severity: Cow<'a, str>,
    #[serde(borrow, default)]
    state_code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    detail: Cow<'a, str>,
    #[serde(borrow, default)]
    statement: Cow<'a, str>,
    #[serde(borrow, default)]
    application_name: Cow<'a, str>,
}

/// Reads a line of jsonlog.
pub(super) fn json(text: &str, datasets: Datasets, out: &mut Out) -> Option<()> {
    let entry: Entry<'_> = serde_json::from_str(text).ok()?;
    let (stamp, _) = stamp(&entry.timestamp)?;
    let level = LEVELS.iter().find(|(word, _)| *word == entry.error_severity)?.1;
    out.stamp(&stamp);
    out.dataset = Some(datasets.log);
    out.integer(names::PROCESS_PID, entry.pid);
    out.some(names::DB_SESSION_ID, &entry.session_id);
    out.some(names::EVENT_REASON, &entry.detail);
    out.some(names::HENGWEI_DB_APPLICATION, &entry.application_name);
    code(&entry.state_code, out);
    if let Some(port) = entry.remote_port {
        out.integer(names::SOURCE_PORT, port.into());
    }
    let session = Session { user: entry.user, database: entry.dbname, client: entry.remote_host };
    let told = tell(level, &entry.message, &session, datasets, out);
    message::failed_statement(&entry.statement, told, out);
    Some(())
}

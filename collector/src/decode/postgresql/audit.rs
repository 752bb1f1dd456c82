//! What pgaudit writes: `SESSION,1,1,READ,SELECT,TABLE,public.patient,"select …",<none>`, and the audit
//! trail of KingbaseES as exported to CSV.
//!
//! pgaudit quotes as CSV does, so a statement cannot pretend to be further values. It writes a record
//! when a statement begins: whether it succeeded is not known, and the event does not say so.
//!
//! KingbaseES keeps its trail (`sysaudit`) in files of its own and shows it as a view. Public manuals name
//! what a record holds (time, user, address, object, action, statement, result) but no text form, so
//! nothing is assumed about the order of columns: lines are read where each value stands behind its name,
//! `session_id=…`, or where the trail goes through pgaudit's form.

use super::super::csv::Cells;
use super::super::out::Out;
use super::super::sql;
use super::super::trail::{self, Names, Part};
use crate::event::names;

/// The classes of pgaudit.
const CLASSES: &[&str] = &["READ", "WRITE", "FUNCTION", "ROLE", "DDL", "MISC", "MISC_SET"];
/// What stands where there is nothing, or where it is left out.
const ABSENT: &[&str] = &["<none>", "<not logged>", "<previously logged>", "none"];

/// Reads what follows `AUDIT: `.
pub(super) fn pgaudit(text: &str, out: &mut Out) -> Option<()> {
    let mut cells = Cells::new(text);
    let kind = cells.raw()?;
    if !matches!(kind, "SESSION" | "OBJECT") {
        return None;
    }
    let statement_id = cells.raw()?;
    statement_id.parse::<u64>().ok()?;
    cells.raw()?.parse::<u64>().ok()?;
    let class = cells.raw()?;
    let class = CLASSES.iter().find(|known| **known == class)?;
    let command = cells.raw()?;
    let object_type = cells.raw()?;
    let object = cells.cell()?.text();
    let statement = cells.cell()?.text();
    let parameters = cells.cell();
    out.word(names::EVENT_CATEGORY, "database");
    out.word(names::HENGWEI_DB_CLASS, class);
    if absent(&statement) {
        match sql::operation(command) {
            Some(operation) => {
                out.word(names::DB_OPERATION, operation);
                out.word(names::EVENT_ACTION, operation);
            }
            None => out.owned(names::DB_OPERATION, &command.to_ascii_lowercase()),
        }
        if object_type == "TABLE" {
            out.some(names::DB_TABLE, &object);
        }
    } else {
        audited(command, &statement, out);
        if matches!(object_type, "TABLE" | "FOREIGN TABLE" | "VIEW") {
            out.some(names::DB_TABLE, &object);
        } else if let Some(table) = sql::table(&statement) {
            out.some(names::DB_TABLE, table);
        }
    }
    out.some(names::HENGWEI_DB_COMMAND, command);
    out.some(names::HENGWEI_DB_OBJECT_TYPE, object_type);
    out.some(names::HENGWEI_DB_OBJECT, &object);
    if let Some(parameters) = parameters.map(|cell| cell.text()).filter(|text| !absent(text)) {
        out.some(names::HENGWEI_DB_PARAMETERS, &parameters);
    }
    if cells.broken {
        out.problem("the record ends within a value");
    }
    Some(())
}

/// The command is the server's word; the statement's text may hold others beside it.
fn audited(command: &str, statement: &str, out: &mut Out) {
    out.some(names::DB_STATEMENT, statement);
    if let Some(operation) = sql::operation(command) {
        out.word(names::DB_OPERATION, operation);
        out.word(names::EVENT_ACTION, operation);
    } else if !command.is_empty() {
        let lower = command.to_ascii_lowercase();
        out.owned(names::DB_OPERATION, &lower);
        out.owned(names::EVENT_ACTION, &lower);
    }
}

fn absent(text: &str) -> bool {
    text.is_empty() || ABSENT.contains(&text)
}

/// What KingbaseES calls the parts of a record, and what they are.
const KINGBASE: Names = &[
    ("audit_ts", Part::Time),
    ("username", Part::User),
    ("user_name", Part::User),
    ("remote_addr", Part::Client),
    ("db_name", Part::Database),
    ("opr_type", Part::Action),
    ("rule_type", Part::Class),
    ("obj_type", Part::ObjectType),
    ("obj_name", Part::Object),
    ("schm_name", Part::Schema),
    ("sqltext", Part::Statement),
    ("sql_text", Part::Statement),
    ("params", Part::Parameters),
    ("errcode", Part::Code),
    ("errmsg", Part::Message),
    ("result", Part::Result),
    ("session_id", Part::Session),
    ("proc_id", Part::Process),
    ("aud_client", Part::Application),
];

/// Reads one record of KingbaseES's own trail.
pub(super) fn kingbase(text: &str, out: &mut Out) -> Option<()> {
    trail::read(text, KINGBASE, out)?;
    out.dataset = Some("kingbase.audit");
    Some(())
}

//! Records whose source already knew their fields: assets, performance, integrity, the journal and
//! the collector's own. Fields are taken as they are; only who the host is comes from elsewhere.

use hengwei_protocol::wire::{Field, Fields, field::Value};

use super::json::{outside, put};
use super::out::Out;
use super::pass::RAW;
use crate::event::{self, FieldId, intern, names};

/// The source whose records carry a program's message, which is then decoded.
pub(crate) const JOURNAL: &str = "journal";

/// What an event says whose dataset was not [`allowed`].
pub(crate) const DATASET_LEFT_OUT: &str =
    "the dataset's name is left out: it is the collector's own, or too long, or there are too many";
/// Datasets of the collector's own records begin with this.
const OWN_DATASETS: &str = "hengwei.";

const DATASET: &str = "event.dataset";
const MESSAGE: &str = "message";
const PROGRAM: &str = "process.name";
const EXECUTABLE: &str = "process.executable";
const TRANSPORT: &str = "hengwei.journal.transport";
const HOST: &str = "host.name";

/// What a journal record says that decoding needs.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) message: &'a str,
    pub(crate) program: Option<&'a str>,
    /// What journald saw the sender run, which the sender cannot choose.
    pub(crate) executable: Option<&'a str>,
    /// Whether journald had it from the kernel's audit, which no sender can claim.
    pub(crate) audited: bool,
}

/// Writes the fields of a record and returns its dataset: the configured one, else the one it names.
pub(crate) fn fields(
    fields: &Fields,
    configured: &'static str,
    own: bool,
    out: &mut Out,
) -> &'static str {
    let mut dataset = configured;
    for field in &fields.fields {
        if field.name == DATASET {
            if dataset.is_empty() {
                match text_of(field).and_then(|name| allowed(name, own)) {
                    Some(name) => dataset = name,
                    None => out.problem(DATASET_LEFT_OUT),
                }
            }
        } else if field.name != HOST {
            store(field, out);
        }
    }
    if dataset.is_empty() { RAW } else { dataset }
}

/// A dataset a sender may use: those of the collector's own records are the collector's. None when
/// it may not, or when there is no room for the name.
pub(crate) fn allowed(name: &str, own: bool) -> Option<&'static str> {
    if name.starts_with(OWN_DATASETS) && !own {
        return None;
    }
    intern::dataset(name)
}

/// Finds message and program of a journal record.
pub(crate) fn journal(fields: &Fields) -> Said<'_> {
    let find = |name: &str| fields.fields.iter().find(|field| field.name == name).and_then(text_of);
    Said {
        message: find(MESSAGE).unwrap_or_default(),
        program: find(PROGRAM),
        executable: find(EXECUTABLE),
        audited: find(TRANSPORT) == Some("audit"),
    }
}

/// Writes the fields of a journal record but its message, which is the event's text. The host it
/// names is what journald thought, like a syslog header's.
pub(crate) fn journal_fields(fields: &Fields, out: &mut Out) {
    for field in &fields.fields {
        match field.name.as_str() {
            MESSAGE | DATASET => {}
            HOST => {
                if let Some(host) = text_of(field) {
                    out.text(names::LOG_SYSLOG_HOSTNAME, host);
                }
            }
            _ => store(field, out),
        }
    }
}

/// What journald knows of the process that wrote, and where it goes when the message itself names
/// a process: sudo and cron write about the command they start.
const YIELDING: &[(FieldId, FieldId)] = &[
    (names::PROCESS_EXECUTABLE, names::PROCESS_PARENT_EXECUTABLE),
    (names::PROCESS_COMMAND_LINE, names::PROCESS_PARENT_COMMAND_LINE),
    (names::USER_ID, names::HENGWEI_JOURNAL_USER_ID),
];

/// Renames journald's own fields, the first `journal` ones, where decoding wrote the same field, so
/// that a field means the same whether the line came by a file or by the journal.
pub(crate) fn yield_to_decoded(fields: &mut [(FieldId, event::Value)], journal: usize) {
    let (journal, decoded) = fields.split_at_mut(journal);
    for (id, _) in journal {
        let Some((_, other)) = YIELDING.iter().find(|(yielding, _)| yielding == id) else {
            continue;
        };
        if decoded.iter().any(|(written, _)| written == id) {
            *id = *other;
        }
    }
}

fn store(field: &Field, out: &mut Out) {
    let Some(value) = &field.value else { return };
    let Some(id) = outside(&field.name) else {
        return out.problem("a field is left out: no room for its name");
    };
    match value {
        Value::Text(text) => put(id, text, out),
        Value::Integer(integer) => out.integer(id, *integer),
        Value::Number(number) => out.number(id, *number),
        Value::Flag(flag) => out.flag(id, *flag),
    }
}

fn text_of(field: &Field) -> Option<&str> {
    match &field.value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

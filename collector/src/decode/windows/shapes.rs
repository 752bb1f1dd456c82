//! Where shippers put the parts of an event.
//!
//! A shape is told by names that only it has, quotation marks and colon included: a value that
//! quotes such a name has its quotation marks escaped, so no value makes a line look like another.

use memchr::memmem;

use crate::decode::json::Scalar;
use crate::event::{FieldId, names};

/// Who wrote the line, by where the parts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// winlogbeat 7 and 8, Elastic Agent: `winlog.*` beside ECS.
    Beat,
    /// winlogbeat before 7: `log_name`, `event_id`, `event_data.*`.
    OldBeat,
    /// NXLog: header and data side by side at the top.
    Nxlog,
    /// Fluent Bit's `winevtlog` and `winlog`: the data by position.
    FluentBit,
    /// The OpenTelemetry collector's receiver, its body at the top or under `body`.
    Telemetry,
    /// `evtx_dump` and others: the XML of the event as it is, in JSON.
    Dump,
    /// The XML itself.
    Xml,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place<'p> {
    /// The event's id.
    Id,
    /// When it happened.
    Time,
    /// Keywords, of which two say how an audited act ended.
    Keywords,
    /// Another word on how it ended.
    Audited,
    /// A field of the header.
    Header(FieldId),
    /// A datum of the event, by name.
    Data(&'p str),
    /// A datum by position.
    Insert,
    /// A field of its own name.
    Other,
    /// Of no use.
    Nothing,
}

impl Place<'_> {
    /// A bit for what an event has once, 0 for anything else.
    pub(crate) fn bit(self) -> u32 {
        match self {
            Place::Id => 1,
            Place::Time => 2,
            Place::Header(names::WINLOG_CHANNEL) => 4,
            Place::Header(names::WINLOG_COMPUTER_NAME) => 8,
            Place::Header(names::EVENT_PROVIDER) => 16,
            Place::Header(names::WINLOG_RECORD_ID) => 32,
            Place::Header(names::MESSAGE) => 64,
            Place::Header(names::LOG_LEVEL) => 128,
            Place::Header(names::WINLOG_TASK) => 256,
            _ => 0,
        }
    }
}

const CHANNEL: Place<'_> = Place::Header(names::WINLOG_CHANNEL);
const COMPUTER: Place<'_> = Place::Header(names::WINLOG_COMPUTER_NAME);
const PROVIDER: Place<'_> = Place::Header(names::EVENT_PROVIDER);
const RECORD: Place<'_> = Place::Header(names::WINLOG_RECORD_ID);
const MESSAGE: Place<'_> = Place::Header(names::MESSAGE);
const LEVEL: Place<'_> = Place::Header(names::LOG_LEVEL);
const TASK: Place<'_> = Place::Header(names::WINLOG_TASK);

impl Shape {
    /// The shape of a line, if it is one of these.
    pub(crate) fn of(line: &str) -> Option<Shape> {
        if super::xml::looks_like(line) {
            return Some(Shape::Xml);
        }
        if !line.starts_with('{') {
            return None;
        }
        let has = |name: &str| memmem::find(line.as_bytes(), name.as_bytes()).is_some();
        if has("\"winlog\":") {
            return Some(Shape::Beat);
        }
        if has("\"EventID\":") {
            if has("\"System\":") && has("\"Event\":") {
                return Some(Shape::Dump);
            }
            if has("\"StringInserts\":") || has("\"TimeCreated\":") {
                return Some(Shape::FluentBit);
            }
            return (has("\"Channel\":") || has("\"SourceName\":")).then_some(Shape::Nxlog);
        }
        if has("\"event_id\":") {
            if has("\"log_name\":") {
                return Some(Shape::OldBeat);
            }
            return (has("\"channel\":") && has("\"provider\":")).then_some(Shape::Telemetry);
        }
        None
    }

    /// Whether header and data share one level.
    pub(crate) fn is_flat(self) -> bool {
        self == Shape::Nxlog
    }

    /// What the value at a path is.
    pub(crate) fn place<'p>(self, path: &'p str, scalar: Scalar<'_>) -> Place<'p> {
        match self {
            Shape::Beat => beat(path),
            Shape::OldBeat => old_beat(path),
            Shape::Nxlog => nxlog(path, scalar),
            Shape::FluentBit => fluent_bit(path),
            Shape::Telemetry => telemetry(path),
            Shape::Dump | Shape::Xml => dump(path),
        }
    }
}

/// What starts the names by which a beat speaks of itself.
const OF_THE_BEAT: &[&str] =
    &["agent.", "ecs.", "@metadata.", "input.", "elastic_agent.", "data_stream."];

fn beat(path: &str) -> Place<'_> {
    if let Some(name) = path.strip_prefix("winlog.event_data.") {
        return Place::Data(name);
    }
    if let Some(name) = path.strip_prefix("winlog.user_data.") {
        return if name == "xml_name" { Place::Nothing } else { Place::Data(name) };
    }
    match path {
        "winlog.event_id" | "event.code" => Place::Id,
        "winlog.channel" => CHANNEL,
        "winlog.computer_name" => COMPUTER,
        "winlog.provider_name" | "event.provider" => PROVIDER,
        "winlog.record_id" => RECORD,
        "winlog.task" => TASK,
        "winlog.keywords" => Place::Keywords,
        "event.outcome" => Place::Audited,
        "@timestamp" => Place::Time,
        "message" => MESSAGE,
        "log.level" => LEVEL,
        "winlog.api"
        | "winlog.opcode"
        | "winlog.version"
        | "winlog.provider_guid"
        | "winlog.process.pid"
        | "winlog.process.thread.id"
        | "event.created"
        | "event.ingested"
        | "event.kind"
        | "event.original"
        | "@version" => Place::Nothing,
        _ if OF_THE_BEAT.iter().any(|start| path.starts_with(start)) => Place::Nothing,
        _ => Place::Other,
    }
}

fn old_beat(path: &str) -> Place<'_> {
    if let Some(name) = path.strip_prefix("event_data.") {
        return Place::Data(name);
    }
    if let Some(name) = path.strip_prefix("user_data.") {
        return if name == "xml_name" { Place::Nothing } else { Place::Data(name) };
    }
    match path {
        "event_id" => Place::Id,
        "log_name" => CHANNEL,
        "computer_name" => COMPUTER,
        "source_name" => PROVIDER,
        "record_number" => RECORD,
        "task" => TASK,
        "keywords" => Place::Keywords,
        "@timestamp" => Place::Time,
        "message" => MESSAGE,
        "level" => LEVEL,
        _ => Place::Nothing,
    }
}

/// The header's own names; any other name is a datum of the event.
fn nxlog<'p>(path: &'p str, scalar: Scalar<'_>) -> Place<'p> {
    match path {
        "EventID" => Place::Id,
        "Channel" => CHANNEL,
        "Hostname" => COMPUTER,
        "SourceName" => PROVIDER,
        "RecordNumber" => RECORD,
        "Category" => TASK,
        "Keywords" => Place::Keywords,
        // Sysmon has a datum of this name, too.
        "EventType" => match scalar {
            Scalar::Text("AUDIT_SUCCESS" | "AUDIT_FAILURE") => Place::Audited,
            Scalar::Text("INFO" | "WARNING" | "ERROR" | "VERBOSE" | "CRITICAL" | "DEBUG") => {
                Place::Nothing
            }
            _ => Place::Data(path),
        },
        "EventTime" => Place::Time,
        "Message" => MESSAGE,
        "Severity" => LEVEL,
        "SeverityValue" | "ProviderGuid" | "Version" | "TaskValue" | "Task" | "Opcode"
        | "OpcodeValue" | "ActivityID" | "RelatedActivityID" | "ProcessID" | "ThreadID"
        | "ExecutionProcessID" | "ExecutionThreadID" | "EventReceivedTime" | "SourceModuleName"
        | "SourceModuleType" | "Domain" | "UserID" | "AccountType" | "@timestamp" | "@version"
        | "host" | "port" | "type" | "tags" => Place::Nothing,
        _ => Place::Data(path.strip_prefix("EventData.").unwrap_or(path)),
    }
}

fn fluent_bit(path: &str) -> Place<'_> {
    match path {
        "EventID" => Place::Id,
        "Channel" => CHANNEL,
        "Computer" | "ComputerName" => COMPUTER,
        "ProviderName" | "SourceName" => PROVIDER,
        "EventRecordID" | "RecordNumber" => RECORD,
        "TimeCreated" | "TimeGenerated" => Place::Time,
        "Keywords" => Place::Keywords,
        "EventType" => Place::Audited,
        "Message" => MESSAGE,
        "StringInserts" => Place::Insert,
        _ => Place::Nothing,
    }
}

fn telemetry(path: &str) -> Place<'_> {
    let path = path.strip_prefix("body.").unwrap_or(path);
    let data = path.strip_prefix("event_data.").or_else(|| path.strip_prefix("user_data."));
    if let Some(name) = data {
        // Older versions list the data, newer ones name them.
        return Place::Data(name.strip_prefix("data.").unwrap_or(name));
    }
    match path {
        "event_id.id" | "event_id" => Place::Id,
        "channel" => CHANNEL,
        "computer" => COMPUTER,
        "provider.name" => PROVIDER,
        "record_id" => RECORD,
        "system_time" => Place::Time,
        "keywords" => Place::Keywords,
        "message" | "message.message" => MESSAGE,
        "level" => LEVEL,
        "task" => TASK,
        _ => Place::Nothing,
    }
}

fn dump(path: &str) -> Place<'_> {
    let Some(path) = path.strip_prefix("Event.") else { return Place::Nothing };
    if path.contains("Data.") {
        let Some((of, name)) = path.split_once('.') else { return Place::Nothing };
        let name = match of {
            "UserData" => name.split_once('.').map_or(name, |(_, name)| name),
            _ => name.strip_suffix(".#text").unwrap_or(name),
        };
        return if name.contains("#attributes") { Place::Nothing } else { Place::Data(name) };
    }
    match path {
        "RenderingInfo.Message" => return MESSAGE,
        "RenderingInfo.Level" => return LEVEL,
        "RenderingInfo.Task" => return TASK,
        "RenderingInfo.Keywords.Keyword" => return Place::Keywords,
        _ => {}
    }
    match path.strip_prefix("System.") {
        Some("EventID" | "EventID.#text") => Place::Id,
        Some("Channel") => CHANNEL,
        Some("Computer") => COMPUTER,
        Some("Provider.#attributes.Name") => PROVIDER,
        Some("EventRecordID") => RECORD,
        Some("TimeCreated.#attributes.SystemTime") => Place::Time,
        Some("Keywords") => Place::Keywords,
        _ => Place::Nothing,
    }
}

//! The W3C log of IIS.
//!
//! A file says its columns in a `#Fields:` line, which the lines that follow it do not repeat: a line is
//! read by itself here, so its columns are told from their number and from what must be an address, a
//! port and a status in them. That works for what IIS writes unless somebody changed the selection: the
//! defaults of versions 6 to 10, with `X-Forwarded-For` behind or without, and all columns. IIS writes a
//! blank of a value as `+`, so no request can add a column. Times are UTC, as the format demands.

use super::access::{forwarded, located};
use super::out::Out;
use super::time::{self, Stamp};
use super::{Decoder, ISO, Line, Looks, scan};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "iis",
    datasets: &["iis.access"],
    programs: &["iis"],
    paths: &["W3SVC", "inetpub"],
    looks: Looks { first: &[b'#', ISO], test: looks_like },
    security: false,
    decode,
};

/// One column.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Method,
    Stem,
    Query,
    ServerPort,
    User,
    Client,
    Status,
    Forwarded,
    Millis,
    Server,
    /// Kept as it is.
    Kept(FieldId),
    Number(FieldId),
    Ignored,
}

use Column::{
    Client, Forwarded, Ignored, Kept, Method, Millis, Number, Query, Server, ServerPort, Status,
    Stem, User,
};

const AGENT: Column = Kept(names::USER_AGENT_ORIGINAL);
const REFERRER: Column = Kept(names::HTTP_REQUEST_REFERRER);
const HOST: Column = Kept(names::URL_DOMAIN);
const SUBSTATUS: Column = Number(names::HENGWEI_WEB_SUBSTATUS);

/// The columns behind date and time, by version. The first whose number fits and whose values do.
const LAYOUTS: &[&[Column]] = &[
    // 7.5 to 10.
    &[
        Server, Method, Stem, Query, ServerPort, User, Client, AGENT, REFERRER, Status, SUBSTATUS,
        Ignored, Millis,
    ],
    // The same with X-Forwarded-For.
    &[
        Server, Method, Stem, Query, ServerPort, User, Client, AGENT, REFERRER, Status, SUBSTATUS,
        Ignored, Millis, Forwarded,
    ],
    // 7.0, without the referrer.
    &[
        Server, Method, Stem, Query, ServerPort, User, Client, AGENT, Status, SUBSTATUS, Ignored,
        Millis,
    ],
    // 6, with the name of the site.
    &[
        Ignored, Server, Method, Stem, Query, ServerPort, User, Client, AGENT, Status, SUBSTATUS,
        Ignored,
    ],
    // All columns.
    &[
        Ignored,
        Ignored,
        Server,
        Method,
        Stem,
        Query,
        ServerPort,
        User,
        Client,
        Kept(names::HTTP_VERSION),
        AGENT,
        Ignored,
        REFERRER,
        HOST,
        Status,
        SUBSTATUS,
        Ignored,
        Number(names::HTTP_RESPONSE_BODY_BYTES),
        Number(names::HTTP_REQUEST_BODY_BYTES),
        Millis,
    ],
];
/// The most columns of a layout, date and time left out.
const MAX_COLUMNS: usize = 24;

/// Whether a line may be one: a date, a time to the second and a column behind a blank each.
fn looks_like(line: &str) -> bool {
    if line.starts_with('#') {
        return line.starts_with("#Software: Microsoft Internet")
            || line.starts_with("#Fields: date time ");
    }
    let bytes = line.as_bytes();
    let at = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    at(4, b'-')
        && at(10, b' ')
        && at(13, b':')
        && at(19, b' ')
        && columns(line).is_some_and(|(_, columns)| layout(&columns).is_some())
}

/// Reads one line.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with('#') {
        let head = ["#Software:", "#Version:", "#Date:", "#Fields:", "#Remark:"];
        let known = head.iter().any(|start| line.message.starts_with(start));
        if known {
            out.event("web", "log_head");
        }
        return known;
    }
    read(line.message, out).is_some()
}

/// The stamp and the columns behind it.
fn columns(line: &str) -> Option<(Stamp, Vec<&str>)> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let columns: Vec<&str> =
        line.get(len..)?.strip_prefix(' ')?.split(' ').take(MAX_COLUMNS).collect();
    Some((Stamp { offset_secs: Some(0), ..stamp }, columns))
}

/// The layout that the values allow.
fn layout(values: &[&str]) -> Option<&'static [Column]> {
    LAYOUTS.iter().copied().find(|layout| {
        layout.len() == values.len()
            && layout.iter().zip(values).all(|(column, value)| match column {
                Server | Client => scan::address(value).is_some(),
                Method => {
                    !value.is_empty()
                        && value.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'))
                }
                Stem => value.starts_with(['/', '*']),
                ServerPort => value.parse::<u16>().is_ok(),
                Status => value.len() == 3 && value.parse::<u16>().is_ok(),
                Millis => value.parse::<u64>().is_ok(),
                _ => !value.is_empty(),
            })
    })
}

fn read(line: &str, out: &mut Out) -> Option<()> {
    let (stamp, values) = columns(line)?;
    let layout = layout(&values)?;
    out.stamp(&stamp);
    out.word(names::EVENT_CATEGORY, "web");
    let mut path = "";
    for (column, value) in layout.iter().zip(values) {
        if value == "-" {
            continue;
        }
        match *column {
            Method => out.text(names::HTTP_REQUEST_METHOD, value),
            Stem => path = value,
            Query => {
                out.owned(names::URL_ORIGINAL, &format!("{path}?{value}"));
                out.text(names::URL_PATH, path);
                out.text(names::URL_QUERY, value);
                path = "";
            }
            ServerPort => out.digits(names::URL_PORT, value),
            User => match value.split_once('\\') {
                Some((domain, user)) => {
                    out.some(names::USER_DOMAIN, domain);
                    out.some(names::USER_NAME, user);
                }
                None => out.text(names::USER_NAME, value),
            },
            Client => {
                if let Some(address) = scan::address(value) {
                    out.address(names::SOURCE_IP, address);
                }
            }
            Server => {
                if let Some(address) = scan::address(value) {
                    out.address(names::SERVER_IP, address);
                }
            }
            Status => {
                let status: u16 = value.parse().ok()?;
                out.outcome(status < 400);
                out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
            }
            Forwarded => {
                out.text(names::HENGWEI_WEB_FORWARDED_FOR, value);
                forwarded(value, out);
            }
            Millis => {
                let millis: u32 = value.parse().unwrap_or(u32::MAX);
                out.number(names::HENGWEI_WEB_REQUEST_SECONDS, f64::from(millis) / 1_000.0);
            }
            Kept(names::HTTP_VERSION) => {
                out.text(names::HTTP_VERSION, value.strip_prefix("HTTP/").unwrap_or(value));
            }
            Kept(id) => out.text(id, value),
            Number(id) => out.digits(id, value),
            Ignored => {}
        }
    }
    if !path.is_empty() {
        located(path, out);
    }
    Some(())
}

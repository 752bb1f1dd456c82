//! Events of Windows, as shippers write them: one JSON object a line, the XML of the event, or syslog
//! with the message that people read (`windows/text.rs`).
//!
//! `windows/shapes.rs` knows where winlogbeat, NXLog, Fluent Bit, the OpenTelemetry collector and
//! `evtx` dumps put the same things, `windows/xml.rs` reads the XML, `windows/kinds.rs` what the well-known events mean. Every named
//! datum of an event is kept as `winlog.event_data.<Name>`, verbatim, which is what Sigma's rules ask
//! for; ECS fields stand beside it where the meaning is exact. Dataset and log sources follow from
//! channel and id (`hengwei_rules::logsource::windows`).
//!
//! Names and programs in the data are chosen by whoever logs in or runs something; JSON keeps them
//! apart from the rest. In the flat shape of NXLog a datum may bear the name of a header field: the
//! first value of a name is the header's, a later one is kept as data and does not change what the
//! event is. What a shipper's line says about hosts and agents is only claimed, as in any JSON line.

mod kinds;
mod shapes;
mod text;
mod words;
mod xml;

use hengwei_rules::logsource::windows::{DATASETS, WINDOWS, windows_dataset};

use super::json::{self, Scalar};
use super::out::Out;
use super::time::iso;
use super::{Decoder, Line, Looks, scan};
use crate::event::{FieldId, Value, names};
use kinds::{How, Kind, Verdict};
use shapes::{Place, Shape};

pub(crate) const DECODER: Decoder = Decoder {
    name: "windows",
    datasets: DATASETS,
    programs: text::PROGRAMS,
    paths: &[],
    looks: Looks { first: b"{<M", test: looks_like },
    security: false,
    decode,
};

fn looks_like(line: &str) -> bool {
    Shape::of(line).is_some() || text::looks_like(line)
}

/// What the name of every datum begins with.
const DATA: &str = "winlog.event_data.";
/// Channels whose events are security events.
const SECURITY_SERVICES: &[&str] = &["security", "sysmon", "windefend"];
/// Bits of `Keywords` that say how an audited act ended.
const AUDIT_FAILURE: u64 = 0x0010_0000_0000_0000;
const AUDIT_SUCCESS: u64 = 0x0020_0000_0000_0000;

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let from = out.fields.len();
    let Some(shape) = Shape::of(line.message) else {
        let read = text::read(line, out);
        return read.is_some_and(|(id, audited)| conclude(line.message, from, id, audited, out));
    };
    let mut reading = Reading::new(shape);
    let mut see = |path: &str, scalar: Scalar<'_>, out: &mut Out| reading.value(path, scalar, out);
    let read = match shape {
        Shape::Xml => xml::each(line.message, out, &mut see),
        _ => json::each(line.message, out, &mut see),
    };
    let Some(id) = reading.id.filter(|_| read) else { return false };
    if let Some(why) = reading.left_out {
        out.problem(why);
    }
    if reading.inserts > 0 {
        let service = dataset(line.message, from, id, out).and_then(service);
        words::name_inserts(service.unwrap_or_default(), id, &mut out.fields[from..]);
    }
    conclude(line.message, from, id, reading.audited, out)
}

/// Adds to the data of an event what they mean. False when nothing says where the event comes from.
fn conclude(line: &str, from: usize, id: i64, audited: Option<bool>, out: &mut Out) -> bool {
    let told = [names::WINLOG_CHANNEL, names::EVENT_PROVIDER];
    if told.iter().all(|id| find(out, from, *id).is_none()) {
        return false;
    }
    let dataset = dataset(line, from, id, out);
    out.dataset = Some(dataset.unwrap_or(WINDOWS));
    let service = dataset.and_then(service).unwrap_or_default();
    out.security |= SECURITY_SERVICES.contains(&service);
    let kind = Kind::of(service, id);
    Meaning { line, from, out }.add(kind, audited);
    true
}

/// The dataset that channel, id and type of an event mean.
fn dataset(line: &str, from: usize, id: i64, out: &Out) -> Option<&'static str> {
    let shown = |name: FieldId| find(out, from, name).map(|value| out.shown(line, value));
    windows_dataset(shown(names::WINLOG_CHANNEL)?, Some(id), shown(kinds::DATA.event_type))
}

fn service(dataset: &'static str) -> Option<&'static str> {
    dataset.split('.').nth(1)
}

/// What is gathered while the values of a line are shown.
struct Reading {
    shape: Shape,
    /// [`DATA`] and behind it the name at hand.
    name: String,
    id: Option<i64>,
    /// Positional data seen so far.
    inserts: usize,
    /// Whether the audited act succeeded, where the event says so.
    audited: Option<bool>,
    /// Header fields that have their value, by [`Place::bit`].
    seen: u32,
    left_out: Option<&'static str>,
}

impl Reading {
    fn new(shape: Shape) -> Reading {
        let name = DATA.to_owned();
        Reading { shape, name, id: None, inserts: 0, audited: None, seen: 0, left_out: None }
    }

    fn value(&mut self, path: &str, scalar: Scalar<'_>, out: &mut Out) {
        let mut place = self.shape.place(path, scalar);
        let bit = place.bit();
        if bit != 0 && self.seen & bit != 0 {
            // Keywords are several; of anything else the first is the header's.
            match place {
                Place::Keywords => {}
                _ if self.shape.is_flat() => place = Place::Data(path),
                _ => return,
            }
        }
        self.seen |= bit;
        match place {
            Place::Data(name) => self.datum(name, scalar, out),
            Place::Insert => {
                self.inserts += 1;
                let name = format!("param{}", self.inserts);
                self.datum(&name, scalar, out);
            }
            Place::Id => self.identify(scalar, out),
            Place::Time => {
                if let Some(time) = scalar.text().and_then(|text| moment(text, out)) {
                    out.time = Some(time);
                }
            }
            Place::Keywords => {
                self.audited = self.audited.or_else(|| audited(scalar));
                scalar.put(names::WINLOG_KEYWORDS, out);
            }
            Place::Audited => self.audited = self.audited.or_else(|| audited(scalar)),
            Place::Header(id) => match scalar {
                Scalar::Text("") => {}
                Scalar::Text(level) if id == names::LOG_LEVEL => match words::level(level) {
                    Some(word) => out.word(id, word),
                    None => out.text(id, level),
                },
                _ => scalar.put(id, out),
            },
            Place::Other => match json::outside(path) {
                Some(id) => scalar.put(id, out),
                None => self.left_out = Some("a field is left out: no room for its name"),
            },
            Place::Nothing => {}
        }
    }

    fn identify(&mut self, scalar: Scalar<'_>, out: &mut Out) {
        if self.id.is_none()
            && let Some(id) = scalar.integer()
        {
            self.id = Some(id);
            out.integer(names::EVENT_CODE, id);
        }
    }

    fn datum(&mut self, name: &str, scalar: Scalar<'_>, out: &mut Out) {
        self.name.truncate(DATA.len());
        self.name.push_str(name);
        match FieldId::outside(&self.name) {
            Some(id) => scalar.put(id, out),
            None => self.left_out = Some("a field is left out: no room for its name"),
        }
    }
}

/// `2026-02-28T08:10:01.25Z`; Fluent Bit puts a blank before the zone.
fn moment(text: &str, out: &mut Out) -> Option<i64> {
    let (mut stamp, len) = iso(text.as_bytes())?;
    match text.get(len..)? {
        "" => {}
        zone => stamp.offset_secs = Some(super::time::zone(zone.strip_prefix(' ')?)?),
    }
    out.resolve(&stamp)
}

/// How an audited act ended, by a keyword in words, as a number, or by the type of the event.
pub(crate) fn audited(scalar: Scalar<'_>) -> Option<bool> {
    let bits = match scalar {
        Scalar::Text(
            "Audit Success" | "AUDIT_SUCCESS" | "Success Audit" | "success" | "审核成功",
        ) => {
            return Some(true);
        }
        Scalar::Text(
            "Audit Failure" | "AUDIT_FAILURE" | "Failure Audit" | "failure" | "审核失败",
        ) => {
            return Some(false);
        }
        Scalar::Text(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => text.parse::<i64>().ok()?.cast_unsigned(),
        },
        Scalar::Integer(bits) => bits.cast_unsigned(),
        Scalar::Large(bits) => bits,
        Scalar::Number(_) | Scalar::Flag(_) => return None,
    };
    match (bits & AUDIT_SUCCESS != 0, bits & AUDIT_FAILURE != 0) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// The first value of a field of the record at hand.
fn find(out: &Out, from: usize, id: FieldId) -> Option<Value> {
    let fields = out.fields.get(from..)?;
    fields.iter().find(|(found, _)| *found == id).map(|(_, value)| *value)
}

/// Adds to the fields of an event what they mean.
struct Meaning<'m> {
    line: &'m str,
    from: usize,
    out: &'m mut Out,
}

impl Meaning<'_> {
    fn add(&mut self, kind: &Kind, audited: Option<bool>) {
        for (name, id, how) in &kind.rows {
            if self.find(*id).is_none()
                && let Some(value) = self.find(*name)
            {
                self.copy(value, *id, *how);
            }
        }
        let outcome = match kind.verdict {
            Verdict::Success => Some(true),
            Verdict::Failure => Some(false),
            Verdict::Status => self.status().map(|status| status == 0).or(audited),
            Verdict::Audited => audited,
        };
        if !kind.action.is_empty() {
            self.replace(names::EVENT_CATEGORY, kind.category);
            self.replace(names::EVENT_ACTION, kind.action);
            if !kind.event_type.is_empty() {
                self.replace(names::EVENT_TYPE, kind.event_type);
            }
        }
        if let Some(success) = outcome {
            self.replace(names::EVENT_OUTCOME, if success { "success" } else { "failure" });
        }
        if kind.category == "authentication" {
            self.login(outcome);
        }
    }

    /// What is particular to logins: how, and why not.
    fn login(&mut self, outcome: Option<bool>) {
        let method = self.number(kinds::DATA.logon_type);
        if let Some(word) = method.and_then(words::logon_type) {
            self.out.word(names::HENGWEI_AUTH_METHOD, word);
        }
        if outcome != Some(false) {
            return;
        }
        let code = self.number(kinds::DATA.sub_status);
        let code = code.filter(|code| *code != 0).or_else(|| self.status());
        if let Some(reason) = code.and_then(words::reason) {
            self.replace(names::EVENT_REASON, reason);
            if reason == words::NO_SUCH_USER {
                self.out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
            }
        }
    }

    fn status(&self) -> Option<i64> {
        self.number(kinds::DATA.status)
    }

    fn find(&self, id: FieldId) -> Option<Value> {
        find(self.out, self.from, id)
    }

    fn number(&self, id: FieldId) -> Option<i64> {
        match self.find(id)? {
            Value::Integer(integer) => Some(integer),
            value => number(self.out.shown(self.line, value)),
        }
    }

    /// Copies a datum to a field of ECS; `-` is how Windows writes nothing.
    fn copy(&mut self, value: Value, id: FieldId, how: How) {
        let text = self.out.shown(self.line, value);
        let is_text = matches!(value, Value::Text { .. } | Value::Arena { .. });
        if is_text && matches!(text, "" | "-") {
            return;
        }
        match how {
            How::As => self.out.fields.push((id, value)),
            How::Number if !is_text => self.out.fields.push((id, value)),
            How::Number => {
                if let Some(number) = number(text) {
                    self.out.integer(id, number);
                }
            }
            How::Address => {
                if let Some(address) = scan::address(text) {
                    self.out.address(id, address);
                }
            }
            How::Account => {
                let (domain, end) = (text.find('\\').unwrap_or(0), text.len());
                if domain > 0 {
                    self.part(value, 0, domain, names::USER_DOMAIN);
                }
                let name = if domain > 0 { domain + 1 } else { 0 };
                self.part(value, name, end, id);
            }
            How::Hashes => self.hashes(value),
        }
    }

    /// `MD5=…,SHA256=…,IMPHASH=…`.
    fn hashes(&mut self, value: Value) {
        let text = self.out.shown(self.line, value);
        let mut parts = [(0, 0, names::PROCESS_HASH_MD5); words::HASHES.len()];
        let mut at = 0;
        for part in text.split(',') {
            for (slot, (name, id)) in parts.iter_mut().zip(words::HASHES) {
                if let Some(hash) = part.strip_prefix(name) {
                    *slot = (at + part.len() - hash.len(), at + part.len(), *id);
                }
            }
            at += part.len() + 1;
        }
        for (start, end, id) in parts {
            if start < end {
                self.part(value, start, end, id);
            }
        }
    }

    /// A part of a text as a field of its own.
    fn part(&mut self, value: Value, from: usize, to: usize, id: FieldId) {
        let span = |start: u32| Some((start.checked_add(u32::try_from(from).ok()?)?, to - from));
        let found = match value {
            Value::Text { start, .. } => span(start).and_then(|(start, len)| {
                Some(Value::Text { start, len: u32::try_from(len).ok()? })
            }),
            Value::Arena { start, .. } => span(start).and_then(|(start, len)| {
                Some(Value::Arena { start, len: u32::try_from(len).ok()? })
            }),
            _ => None,
        };
        if let Some(found) = found {
            self.out.fields.push((id, found));
        }
    }

    /// Sets one of our own words in place of what the line says.
    fn replace(&mut self, id: FieldId, word: &'static str) {
        let mut at = self.from;
        while let Some((found, _)) = self.out.fields.get(at) {
            if *found == id {
                self.out.fields.remove(at);
            } else {
                at += 1;
            }
        }
        self.out.word(id, word);
    }
}

/// A whole number, decimal or as `0x1f4`.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

//! A block's way through the decoders: record by record, what carried a line is taken off, a decoder is
//! found that claims it, and what it said becomes an event.
//!
//! What any of them makes of a line is not known here; they come from a [`Router`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Gap, Origin, Record, record::Body};
use hengwei_protocol::{Kind, record};

use super::charset::{self, Charset};
use super::out::{Handed, Out};
use super::time::Years;
use super::{
    Context, Decoder, Line, Router, access, audit, panic_text, scan, signin, syslog, typed,
};
use crate::event::{Event, Events, OWN_AGENT, Sender, names};
use crate::time::MINUTE;

/// Datasets that are security events whoever wrote them.
const SECURITY_DATASETS: &[&str] = &["auth", "audit", "auditd", "secure"];
/// The dataset of lines with a program that no decoder knows.
const SYSLOG: &str = "syslog";
/// The dataset of lines about which nothing is known.
pub(super) const RAW: &str = "raw";
/// The dataset of gaps.
pub(super) const GAP: &str = "hengwei.gap";
/// Names that another decoder's program logs under: sshd serves SFTP itself.
const STAND_INS: &[(&str, &str)] = &[("internal-sftp", "sshd"), ("internal-sftp", "sshd-session")];
/// Who may read a line that a web server wrote about a request, and what carries such lines. Many servers
/// begin it with a header of the client's, who could make it look like the line of any product.
const SERVED: &[&str] = &["squid", "access", "docker", "java", "python", "tryton", "application"];
/// The most that "message repeated N times" is believed.
pub(super) const MAX_REPEAT: u64 = 1_000_000;
/// Wrappers within one another that are taken off a line.
const MAX_WRAPPERS: usize = 2;
/// A stamp further ahead of ingestion than this is not believed.
const MAX_AHEAD_NANOS: i64 = 5 * MINUTE;

/// What is the same for all records of one origin.
struct Route<'a> {
    origin: &'a Origin,
    configured: &'static str,
    refused: bool,
    charset: Charset,
    /// The decoder that the configured dataset belongs to.
    owner: Option<&'static Decoder>,
    /// Those that the path hints at.
    hinted: Vec<&'static Decoder>,
}

struct Pass<'a> {
    context: &'a Context<'a>,
    router: &'a Router,
    routes: &'a [Route<'a>],
    out: Out,
    events: Vec<Event>,
    scratch: String,
    /// Wrappers around the line at hand.
    depth: usize,
    /// Whether the line at hand stands under a name that is not its writer's.
    disbelieved: bool,
}

/// Whether the sender is the collector, whose own records come the same way.
fn is_own(sender: &Sender) -> bool {
    &*sender.agent == OWN_AGENT
}

/// Decodes a block with the decoders of a table.
pub(super) fn decode(
    block: &Block,
    context: &Context<'_>,
    router: &Router,
    years: Years,
) -> Events {
    let nowhere = Origin::default();
    let routes: Vec<Route<'_>> = block
        .origins
        .iter()
        .chain([&nowhere])
        .map(|origin| route(origin, context.sender, router))
        .collect();
    let mut pass = Pass {
        context,
        router,
        routes: &routes,
        out: Out::new(&context.sender.zone),
        events: Vec::with_capacity(block.records.len()),
        scratch: String::new(),
        depth: 0,
        disbelieved: false,
    };
    pass.out.count_years(years);
    for record in &block.records {
        pass.record(record);
    }
    Events {
        arena: pass.out.arena,
        fields: pass.out.fields,
        events: pass.events,
        origins: block.origins.clone(),
        ingested: context.ingested,
    }
}

fn route<'a>(origin: &'a Origin, sender: &Sender, router: &Router) -> Route<'a> {
    let allowed = typed::allowed(&origin.dataset, is_own(sender));
    let configured = allowed.unwrap_or(RAW);
    Route {
        origin,
        configured,
        refused: allowed.is_none(),
        charset: Charset::declared(&origin.charset),
        owner: router.of_dataset(configured),
        hinted: router.of_path(&origin.path),
    }
}

impl Pass<'_> {
    fn record(&mut self, record: &Record) {
        let mark = self.out.mark();
        self.depth = 0;
        self.disbelieved = false;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(record)));
        if let Err(panic) = outcome {
            self.out.reset(mark);
            self.out.begin("", record.created);
            self.out.problem(&format!("decoding panicked: {}", panic_text(panic.as_ref())));
            let mut event = self.header(record, RAW);
            self.keep_as_text(record, &mut event);
            self.finish(event, mark.fields);
        }
    }

    /// The raw bytes of a record whose decoding panicked, without any code that may have done it.
    fn keep_as_text(&mut self, record: &Record, event: &mut Event) {
        if let Some(Body::Original(bytes)) = &record.body {
            event.original = bytes.clone();
            if std::str::from_utf8(bytes).is_err() {
                let text = String::from_utf8_lossy(bytes);
                event.converted = self.out.keep(&text);
            }
        }
    }

    fn decode(&mut self, record: &Record) {
        let fields = self.out.fields.len();
        // The last route is that of a record whose origin the block does not have.
        let routes = self.routes;
        let [known @ .., nowhere] = routes else { return };
        let route = known.get(record.origin as usize).unwrap_or(nowhere);
        self.out.begin("", record.created);
        let event = match &record.body {
            Some(Body::Original(bytes)) => self.original(record, bytes, route),
            Some(Body::Fields(body)) if route.origin.source == typed::JOURNAL => {
                self.journal(record, body, route)
            }
            Some(Body::Fields(body)) => {
                let dataset = typed::fields(
                    body,
                    route.configured,
                    is_own(self.context.sender),
                    &mut self.out,
                );
                let mut event = self.header(record, dataset);
                self.date(&mut event, (record.time != 0).then_some(record.time));
                event
            }
            Some(Body::Gap(gap)) => self.gap(record, gap),
            None => {
                self.out.problem("a record without a body");
                self.header(record, RAW)
            }
        };
        if route.refused {
            self.out.problem(typed::DATASET_LEFT_OUT);
        }
        self.finish(event, fields);
    }

    fn header(&self, record: &Record, dataset: &'static str) -> Event {
        Event {
            number: record.number,
            span: record::span(record),
            kind: self.context.kind,
            dataset,
            time: record.created,
            created: record.created,
            suspect: false,
            origin: record.origin,
            original: Bytes::new(),
            converted: None,
            fields: 0..0,
            weight: 1,
        }
    }

    /// Sets the event's own time, unless it is further ahead than a clock may be.
    fn date(&self, event: &mut Event, time: Option<i64>) {
        if let Some(time) = time {
            event.suspect = time > self.context.ingested.saturating_add(MAX_AHEAD_NANOS);
            event.time = if event.suspect { event.created } else { time };
        }
    }

    fn finish(&mut self, mut event: Event, first_field: usize) {
        let fields = &mut self.out.fields[first_field..];
        fields.sort_by_key(|(id, _)| *id);
        let bound = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        event.fields = bound(first_field)..bound(self.out.fields.len());
        if self.out.security && event.kind == Kind::Log {
            event.kind = Kind::Security;
        }
        event.weight = self.out.weight;
        self.events.push(event);
    }

    fn original(&mut self, record: &Record, bytes: &Bytes, route: &Route<'_>) -> Event {
        let mut scratch = std::mem::take(&mut self.scratch);
        let cut = record.length != 0;
        let read = charset::read(bytes, route.charset, cut, &mut scratch);
        let converted = read.converted.then(|| self.out.keep(&scratch)).flatten();
        let text = match read.text {
            Some(text) => text,
            None => scratch.as_str(),
        };
        self.out.begin(text, record.created);
        if let Some(name) = read.name {
            self.out.word(names::HENGWEI_CHARSET, name);
        }
        if let Some(problem) = read.problem {
            self.out.problem(problem);
        }
        if cut {
            self.out.integer(
                names::HENGWEI_ORIGINAL_LENGTH,
                i64::try_from(record.length).unwrap_or(i64::MAX),
            );
            self.out.owned(names::HENGWEI_ORIGINAL_SHA256, &scan::hex(&record.sha256));
        }
        let dataset = self.line(text, route);
        let mut event = self.header(record, dataset);
        event.original = bytes.clone();
        event.converted = converted;
        let own = (record.time != 0).then_some(record.time);
        self.date(&mut event, self.out.time.or(own));
        self.scratch = scratch;
        event
    }

    /// Takes off what carried the line, and decodes the rest; the event's dataset comes back.
    fn line(&mut self, text: &str, route: &Route<'_>) -> &'static str {
        let bare = text.trim_end_matches(['\r', '\n']);
        let program;
        let message;
        match syslog::header(bare, &mut self.out) {
            Some(header) => {
                self.out.text(names::MESSAGE, header.message);
                program = header.program;
                message = header.message;
            }
            None => {
                program = None;
                message = bare;
            }
        }
        let headed = message.len() != bare.len();
        let dataset = self.message(message, program, headed, route);
        if self.out.time.is_none() && !headed {
            self.out.time = self.out.leading_stamp(bare);
        }
        dataset
    }

    fn journal(
        &mut self,
        record: &Record,
        body: &hengwei_protocol::wire::Fields,
        route: &Route<'_>,
    ) -> Event {
        let said = typed::journal(body);
        let converted = self.out.keep(said.message);
        self.out.begin(said.message, record.created);
        let first = self.out.fields.len();
        typed::journal_fields(body, &mut self.out);
        let decoded = self.out.fields.len();
        let program = if said.audited {
            Some(audit::JOURNALD)
        } else {
            said.program.filter(|program| self.believable(program, said.executable))
        };
        let dataset = self.message(said.message, program, true, route);
        // Of an audit record journald read the same fields out of the same text.
        if !said.audited {
            typed::yield_to_decoded(&mut self.out.fields[first..], decoded - first);
        }
        let mut event = self.header(record, dataset);
        event.converted = converted;
        let own = (record.time != 0).then_some(record.time);
        self.date(&mut event, own.or(self.out.time));
        event
    }

    /// Any user may log under any name. What journald saw the sender run cannot be chosen: a name
    /// that a security decoder owns needs one of that decoder's programs behind it.
    fn believable(&mut self, program: &str, executable: Option<&str>) -> bool {
        let Some(executable) = executable.filter(|path| !path.is_empty()) else { return true };
        let owner = self.router.of_program(program).filter(|owner| owner.security);
        let Some(owner) = owner else { return true };
        let path = executable.strip_suffix(" (deleted)").unwrap_or(executable);
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let believable = owner.programs.contains(&name) || STAND_INS.contains(&(program, name));
        if !believable {
            self.disbelieved = true;
            let problem = format!("`{executable}` wrote this under the name `{program}`");
            self.out.problem(&problem);
        }
        believable
    }

    fn message(
        &mut self,
        message: &str,
        program: Option<&str>,
        headed: bool,
        route: &Route<'_>,
    ) -> &'static str {
        let (message, weight) = repeated(message);
        self.out.weight = weight;
        let line =
            Line { message, program, path: &route.origin.path, configured: route.configured };
        let dataset = match self.claim(&line, route) {
            Some(dataset) => dataset,
            None if !route.configured.is_empty() => route.configured,
            None if headed => SYSLOG,
            None => RAW,
        };
        self.out.security |= SECURITY_DATASETS.contains(&dataset);
        dataset
    }

    /// Finds the decoder that parses a line. A line of a program that a decoder owns has that
    /// decoder's dataset even where its message is one nobody has seen yet.
    fn claim(&mut self, line: &Line<'_>, route: &Route<'_>) -> Option<&'static str> {
        let router = self.router;
        let of_program = line.program.and_then(|program| router.of_program(program));
        let owner = route.owner.or(of_program);
        let known = route.owner.into_iter().chain(of_program);
        // A file of one product may have its parts where syslog has programs.
        let hinted = route.hinted.iter().copied().filter(|_| of_program.is_none());
        for decoder in known.chain(hinted) {
            if let Some(dataset) = self.attempt(decoder, line, route) {
                return Some(dataset);
            }
        }
        let served = access::is_served(line.message);
        for decoder in router.of_line(line.message) {
            if served && !SERVED.contains(&decoder.name) {
                continue;
            }
            if let Some(dataset) = self.attempt(decoder, line, route) {
                return Some(dataset);
            }
        }
        // A program's own decoder knows its sign-ins; a false name says nothing, and a request what it likes.
        if !self.disbelieved && !served && owner.is_none_or(signin::is_general) {
            signin::read(line, &mut self.out);
        }
        let owner = owner?;
        self.out.security |= owner.security;
        Some(dataset_of(owner, line))
    }

    fn attempt(
        &mut self,
        decoder: &Decoder,
        line: &Line<'_>,
        route: &Route<'_>,
    ) -> Option<&'static str> {
        let mark = self.out.mark();
        if !(decoder.decode)(line, &mut self.out) {
            self.out.reset(mark);
            return None;
        }
        self.out.security |= decoder.security;
        let dataset = self.out.dataset.unwrap_or_else(|| dataset_of(decoder, line));
        let inner = match self.out.handed.take() {
            Some(handed) => self.inner(&handed, line, route),
            None => None,
        };
        if inner.is_none() {
            self.out.word(names::HENGWEI_DECODER, decoder.name);
            signin::read_prose(decoder, line, &mut self.out);
        }
        Some(inner.unwrap_or(dataset))
    }

    /// Decodes the line inside a wrapper, which nothing but its own words speaks for: what a container
    /// writes is of no program of the host. The wrapper's time stays, its clock is the host's.
    fn inner(
        &mut self,
        handed: &Handed,
        line: &Line<'_>,
        route: &Route<'_>,
    ) -> Option<&'static str> {
        let spare = std::mem::take(&mut self.out.spare);
        let message = match handed {
            Handed::Part(range) => line.message.get(range.clone()).unwrap_or_default(),
            Handed::Spare => spare.as_str(),
        };
        let message = message.trim_end_matches(['\r', '\n']);
        let from = self.out.fields.len();
        let time = self.out.time;
        self.depth += 1;
        let dataset = match self.depth {
            ..=MAX_WRAPPERS => self.claim(&Line { message, program: None, ..*line }, route),
            _ => None,
        };
        self.depth -= 1;
        self.out.time = time.or(self.out.time);
        let decoded = self.out.fields.get(from..).unwrap_or_default();
        if !decoded.iter().any(|(id, _)| *id == names::MESSAGE) {
            self.out.some(names::MESSAGE, message);
        }
        let claimed = self.out.fields.get(from..).unwrap_or_default();
        let claimed = claimed.iter().any(|(id, _)| *id == names::HENGWEI_DECODER);
        self.out.spare = spare;
        dataset.filter(|_| claimed)
    }

    fn gap(&mut self, record: &Record, gap: &Gap) -> Event {
        let out = &mut self.out;
        out.word(names::EVENT_ACTION, "gap");
        out.owned(names::HENGWEI_GAP_CAUSE, &gap.cause);
        if !gap.detail.is_empty() {
            out.owned(names::HENGWEI_GAP_DETAIL, &gap.detail);
        }
        for (id, number) in [
            (names::HENGWEI_GAP_SPAN, gap.span),
            (names::HENGWEI_GAP_RECORDS, gap.records),
            (names::HENGWEI_GAP_BYTES, gap.bytes),
        ] {
            out.integer(id, i64::try_from(number).unwrap_or(i64::MAX));
        }
        let mut event = self.header(record, GAP);
        self.date(&mut event, (record.time != 0).then_some(record.time));
        event
    }
}

/// The configured dataset where it is one of the decoder's own, else the program's of that name,
/// else the decoder's first.
fn dataset_of(decoder: &Decoder, line: &Line<'_>) -> &'static str {
    let own = |name: &str| decoder.datasets.iter().find(|dataset| **dataset == name);
    own(line.configured)
        .or_else(|| own(line.program?))
        .or(decoder.datasets.first())
        .copied()
        .unwrap_or(SYSLOG)
}

/// Takes rsyslog's "message repeated N times: [ … ]" off a message.
pub(super) fn repeated(message: &str) -> (&str, u64) {
    let inner = || {
        let rest = message.strip_prefix("message repeated ")?;
        let (times, rest) = rest.split_once(" times: [")?;
        let times: u64 = times.parse().ok()?;
        let inner = rest.strip_suffix(']')?;
        Some((inner.strip_prefix(' ').unwrap_or(inner), times.clamp(1, MAX_REPEAT)))
    };
    inner().unwrap_or((message, 1))
}

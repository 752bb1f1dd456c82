//! The log of Orthanc, a DICOM server: who associates, asks, stores and moves, who is turned away, and
//! which resources are fetched over REST. Old form `I0228 08:10:01.123456 FILE.cpp:1] (dicom) …` and the
//! newer one with the thread before the file.
//!
//! The name of an application (AET) is the peer's choice, up to sixteen bytes, enough for
//! `X on IP 10.0.0.1`. The server writes the address behind it, so the last ` on IP ` counts. The lines
//! of one association share no number; what one without an AET belongs to is not guessed.

use super::out::Out;
use super::time::glog;
use super::{Decoder, Line, Looks, scan};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "orthanc",
    datasets: &["orthanc"],
    programs: &["Orthanc", "orthanc"],
    paths: &["orthanc", "Orthanc"],
    looks: Looks { first: b"IWEFDT", test: |line| head(line).is_some() },
    security: false,
    decode,
};

/// How far from the beginning the bracket behind the file may be.
const MAX_HEAD: usize = 128;

const LEVELS: &[(u8, &str)] = &[
    (b'I', "info"),
    (b'W', "warning"),
    (b'E', "error"),
    (b'F', "fatal"),
    (b'D', "debug"),
    (b'T', "trace"),
];

/// `Rejected WHAT request` and `Received WHAT Request`, and the operation each is.
const OPERATIONS: &[(&str, &str)] = &[
    ("Echo", "c-echo"),
    ("Find", "c-find"),
    ("FindWorklist", "c-find"),
    ("Worklist", "c-find"),
    ("Get", "c-get"),
    ("Move", "c-move"),
    ("Store", "c-store"),
    ("NAction", "n-action"),
    ("NEventReport", "n-event-report"),
];

/// The parts of a line's beginning, and its message.
struct Head<'a> {
    level: u8,
    stamp: super::time::Stamp,
    thread: &'a str,
    file: &'a str,
    message: &'a str,
}

fn head(line: &str) -> Option<Head<'_>> {
    let (level, rest) = line.as_bytes().split_first()?;
    let (stamp, len) = glog(rest)?;
    let rest = line.get(1 + len..)?.strip_prefix(' ')?;
    let bound = rest.floor_char_boundary(MAX_HEAD);
    let end = rest.get(..bound)?.find("] ")?;
    let (before, message) = rest.split_at_checked(end)?;
    let (thread, place) = before.trim_start().rsplit_once(' ').unwrap_or(("", before.trim_start()));
    let (file, number) = place.rsplit_once(':')?;
    // glog of other programs names `.cc` or `.go`.
    let is_place = (file.ends_with(".cpp") || file.ends_with(".h"))
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let message = message.strip_prefix("] ")?;
    is_place.then(|| Head { level: *level, stamp, thread: thread.trim(), file: place, message })
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let Some(head) = head(line.message) else { return false };
    out.stamp(&head.stamp);
    if let Some((_, level)) = LEVELS.iter().find(|(letter, _)| *letter == head.level) {
        out.word(names::LOG_LEVEL, level);
    }
    out.some(names::PROCESS_THREAD_NAME, head.thread);
    out.text(names::LOG_LOGGER, head.file);
    out.some(names::MESSAGE, head.message);
    let message = match head.message.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((category, rest)) if category.len() < 16 && !category.contains(' ') => {
            out.text(names::EVENT_PROVIDER, category);
            rest
        }
        _ => head.message,
    };
    let mark = out.mark();
    if dicom(message, out).or_else(|| rest(message, out)).is_none() {
        out.reset(mark);
        if matches!(head.level, b'E' | b'F') {
            out.some(names::ERROR_MESSAGE, message);
        }
    }
    true
}

fn dicom(message: &str, out: &mut Out) -> Option<()> {
    for (start, action) in [
        ("Association Received from AET ", "dicom_association"),
        ("Association Acknowledged ", "dicom_association_accepted"),
        ("Association Release with AET ", "dicom_association_released"),
        ("Finishing association with AET ", "dicom_association_finished"),
    ] {
        if let Some(rest) = message.strip_prefix(start) {
            let who = match rest.strip_prefix('(') {
                Some(rest) => rest.split_once(") to AET ")?.1,
                None => rest,
            };
            operation("association", action, out);
            return peer(who, out);
        }
    }
    if let Some(rest) = message.strip_prefix("DICOM authorization rejected") {
        let who = rest.trim_start().strip_prefix("for AET ")?;
        operation("association", "dicom_rejected", out);
        rejected(out);
        return peer(who, out);
    }
    if let Some(rest) = message.strip_prefix("DIMSE failure (aborting association with AET ") {
        let (who, reason) = rest.rsplit_once("): ")?;
        operation("association", "dicom_aborted", out);
        out.outcome(false);
        out.text(names::EVENT_REASON, reason);
        return peer(who, out);
    }
    if let Some(rest) = message.strip_prefix("Rejected association, ") {
        operation("association", "dicom_rejected", out);
        rejected(out);
        let (reason, called) = rest.split_once(" (").unwrap_or((rest, ""));
        out.text(names::EVENT_REASON, reason);
        if reason.contains("called AET") {
            out.some(names::HENGWEI_DICOM_CALLED_AE, called.strip_suffix(')').unwrap_or(called));
        }
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("Rejected ") {
        let (what, rest) = rest.split_once(" request from remote DICOM modality with AET \"")?;
        let (aet, host) = rest.rsplit_once("\" and hostname \"")?;
        operation(known(what)?, "dicom_rejected", out);
        rejected(out);
        out.some(names::HENGWEI_DICOM_CALLING_AE, aet);
        let host = host.strip_suffix('"')?;
        match scan::address(host) {
            Some(address) => out.address(names::SOURCE_IP, address),
            None => out.some(names::SOURCE_DOMAIN, host),
        }
        return Some(());
    }
    if let Some(what) =
        message.strip_prefix("Received ").and_then(|rest| rest.strip_suffix(" Request"))
    {
        operation(known(what)?, "dicom_request", out);
        return Some(());
    }
    moved(message, out)
}

/// Queries, transfers and what is stored.
fn moved(message: &str, out: &mut Out) -> Option<()> {
    if let Some(level) = message.strip_prefix("DICOM C-Find request at level: ") {
        operation("c-find", "dicom_query", out);
        out.some(names::HENGWEI_DICOM_RESOURCE, level);
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("Move-SCU request received for AET \"") {
        operation("c-move", "dicom_move", out);
        out.some(names::HENGWEI_DICOM_CALLED_AE, rest.strip_suffix('"')?);
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("Sending resource ") {
        let (resource, rest) = rest.split_once(" to modality \"")?;
        let (aet, _) = rest.rsplit_once('"')?;
        operation("c-store", "dicom_send", out);
        out.some(names::HENGWEI_DICOM_RESOURCE, resource);
        out.some(names::HENGWEI_DICOM_CALLED_AE, aet);
        return Some(());
    }
    if message.starts_with("Opening a DICOM SCU connection ") {
        let (_, rest) = message.split_once(" from AET \"")?;
        let (calling, rest) = rest.split_once("\" to AET \"")?;
        let (called, rest) = rest.split_once("\" on host ")?;
        operation("association", "dicom_connect", out);
        out.some(names::HENGWEI_DICOM_CALLING_AE, calling);
        out.some(names::HENGWEI_DICOM_CALLED_AE, called);
        let host = rest.split_once(' ').map_or(rest, |(host, _)| host);
        match scan::endpoint(host) {
            Some((address, port)) => {
                out.address(names::DESTINATION_IP, address);
                out.integer(names::DESTINATION_PORT, port.into());
            }
            None => out.some(names::DESTINATION_DOMAIN, host),
        }
        return Some(());
    }
    if let Some(rest) = message.strip_prefix("New instance stored") {
        operation("c-store", "dicom_stored", out);
        out.outcome(true);
        let id = rest.trim_start().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        out.some(names::HENGWEI_DICOM_RESOURCE, id.unwrap_or_default());
        return Some(());
    }
    tag(message, out)
}

/// `  (0010,0020)  PatientID = …`: what a query asks for. Orthanc hides it unless told otherwise.
fn tag(message: &str, out: &mut Out) -> Option<()> {
    let (_, rest) = message.strip_prefix("  (")?.split_once(")  ")?;
    let (name, value) = rest.split_once(" = ")?;
    operation("c-find", "dicom_query_key", out);
    if value.starts_with("*** ") {
        return Some(());
    }
    match name {
        "PatientID" => out.some(names::PATIENT_ID, value),
        "PatientName" => out.some(names::PATIENT_NAME, value),
        _ => {}
    }
    Some(())
}

/// `GET /studies`.
fn rest(message: &str, out: &mut Out) -> Option<()> {
    let (method, uri) = message.split_once(' ')?;
    if !matches!(method, "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "PATCH" | "OPTIONS") {
        return None;
    }
    if !uri.starts_with('/') {
        return None;
    }
    out.event("web", "rest_request");
    out.text(names::HTTP_REQUEST_METHOD, method);
    out.text(names::URL_ORIGINAL, uri);
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    out.text(names::URL_PATH, path);
    out.some(names::URL_QUERY, query);
    Some(())
}

fn operation(operation: &'static str, action: &'static str, out: &mut Out) {
    out.event("network", action);
    out.word(names::HENGWEI_DICOM_OPERATION, operation);
}

fn rejected(out: &mut Out) {
    out.word(names::EVENT_TYPE, "denied");
    out.outcome(false);
    out.security = true;
}

fn known(what: &str) -> Option<&'static str> {
    OPERATIONS.iter().find(|(name, _)| *name == what).map(|(_, operation)| *operation)
}

/// `AET on IP ADDRESS[: REASON]`.
fn peer(who: &str, out: &mut Out) -> Option<()> {
    let (aet, rest) = who.rsplit_once(" on IP ")?;
    let (address, reason) = match rest.split_once(": ") {
        Some((address, reason)) => (address, reason),
        None => (rest, ""),
    };
    out.some(names::HENGWEI_DICOM_CALLING_AE, aet);
    out.address(names::SOURCE_IP, scan::address(address)?);
    out.some(names::EVENT_REASON, reason);
    Some(())
}

//! What containers write, as Docker and containerd keep it: `{"log":"…\n","stream":"stdout","time":"…"}`
//! and `2026-02-28T08:10:01.5+08:00 stdout F …`. The line inside is handed on to whichever decoder
//! claims it; the wrapper dates it and says which stream and, by the path, which container it was.
//!
//! A container writes what it likes. Nothing it writes is taken for a line of a program of the host: the
//! line inside has no program, and only decoders that its own words speak for, or that the
//! configuration names, are asked.

use memchr::memchr2;

use super::json::{self, Scalar};
use super::out::{Handed, Out};
use super::time::iso;
use super::{Decoder, ISO, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "docker",
    datasets: &["docker"],
    programs: &[],
    paths: &["/docker/containers/", "/var/log/containers/", "/var/log/pods/"],
    looks: Looks { first: &[b'{', ISO], test: looks_like },
    security: false,
    decode,
};

const LOG: &str = "{\"log\":\"";
/// The letters of a container's id.
const ID: usize = 64;

fn looks_like(line: &str) -> bool {
    line.starts_with(LOG) || cri(line).is_some()
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let read = match cri(line.message) {
        Some(entry) => {
            let handed = line.message.len() - entry.text.len()..line.message.len();
            wrapped(entry.stream, entry.time, out);
            out.handed = Some(Handed::Part(handed));
            true
        }
        None => plain(line.message, out).is_some() || escaped(line.message, out),
    };
    if read {
        container(line.path, out);
    }
    read
}

struct Entry<'a> {
    time: &'a str,
    stream: &'a str,
    text: &'a str,
}

/// `TIME stdout F TEXT`; `P` marks a part of a line too long for one entry.
fn cri(line: &str) -> Option<Entry<'_>> {
    let (_, len) = iso(line.as_bytes())?;
    let (time, rest) = line.split_at_checked(len)?;
    let (stream, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    let text = rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P "));
    let text = text.or_else(|| matches!(rest, "F" | "P").then_some(""))?;
    Some(Entry { time, stream, text })
}

/// A line as Docker writes nearly all: nothing escaped but the line feed at its end, and the three names
/// in their order.
fn plain(line: &str, out: &mut Out) -> Option<()> {
    let text = line.strip_prefix(LOG)?;
    let end = memchr2(b'"', b'\\', text.as_bytes())?;
    let (inner, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix("\\n").unwrap_or(rest);
    let rest = rest.strip_prefix("\",\"stream\":\"")?;
    let (stream, rest) = rest.split_once('"')?;
    let (time, rest) = rest.strip_prefix(",\"time\":\"")?.split_once('"')?;
    (rest == "}").then_some(())?;
    wrapped(stream, time, out);
    out.handed = Some(Handed::Part(LOG.len()..LOG.len() + inner.len()));
    Some(())
}

/// Any other line: escapes, labels (`attrs`), what forwarders add. It needs a text, and a stream or a
/// time.
fn escaped(line: &str, out: &mut Out) -> bool {
    if !line.starts_with('{') {
        return false;
    }
    let (mut log, mut told) = (false, false);
    let read = json::each(line, out, &mut |path, scalar, out| match (path, scalar) {
        ("log", Scalar::Text(text)) if !log => {
            log = true;
            out.spare.clear();
            out.spare.push_str(text);
        }
        ("stream", Scalar::Text(stream)) => {
            told = true;
            out.some(names::HENGWEI_CONTAINER_STREAM, stream);
        }
        ("time", Scalar::Text(time)) => {
            told = true;
            date(time, out);
        }
        ("kubernetes.container_name" | "container_name", Scalar::Text(name)) => {
            out.some(names::CONTAINER_NAME, name.trim_start_matches('/'));
        }
        ("docker.container_id" | "kubernetes.docker_id" | "container_id", Scalar::Text(id)) => {
            out.some(names::CONTAINER_ID, id);
        }
        ("kubernetes.container_image" | "attrs.image", Scalar::Text(image)) => {
            out.some(names::CONTAINER_IMAGE_NAME, image);
        }
        ("kubernetes.namespace_name", Scalar::Text(name)) => {
            out.some(names::ORCHESTRATOR_NAMESPACE, name);
        }
        ("kubernetes.pod_name", Scalar::Text(name)) => {
            out.some(names::ORCHESTRATOR_RESOURCE_NAME, name);
        }
        _ => {}
    });
    out.handed = Some(Handed::Spare);
    read && log && told
}

fn wrapped(stream: &str, time: &str, out: &mut Out) {
    out.some(names::HENGWEI_CONTAINER_STREAM, stream);
    date(time, out);
}

fn date(time: &str, out: &mut Out) {
    if let Some((stamp, len)) = iso(time.as_bytes())
        && len == time.len()
    {
        out.stamp(&stamp);
    }
}

/// Which container a file belongs to: `…/containers/ID/ID-json.log`,
/// `…/containers/POD_NAMESPACE_NAME-ID.log`, `…/pods/NAMESPACE_POD_UID/NAME/0.log`.
fn container(path: &str, out: &mut Out) {
    let Some((folder, file)) = path.rsplit_once('/') else { return };
    let named = |id: &str| id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(id) = file.split_once("-json.log").map(|(id, _)| id).filter(|id| named(id)) {
        return out.owned(names::CONTAINER_ID, id);
    }
    if let Some((_, of)) = folder.split_once("/pods/") {
        let (pod, name) = of.split_once('/').unwrap_or((of, ""));
        let mut parts = pod.splitn(3, '_');
        if let (Some(namespace), Some(pod)) = (parts.next(), parts.next()) {
            out.owned(names::ORCHESTRATOR_NAMESPACE, namespace);
            out.owned(names::ORCHESTRATOR_RESOURCE_NAME, pod);
        }
        if !name.is_empty() {
            out.owned(names::CONTAINER_NAME, name);
        }
        return;
    }
    let whole = file.strip_suffix(".log").and_then(|file| file.rsplit_once('-'));
    if let Some((whole, id)) = whole.filter(|(_, id)| named(id)) {
        out.owned(names::CONTAINER_ID, id);
        let mut parts = whole.splitn(3, '_');
        if let (Some(pod), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next())
        {
            out.owned(names::ORCHESTRATOR_RESOURCE_NAME, pod);
            out.owned(names::ORCHESTRATOR_NAMESPACE, namespace);
            out.owned(names::CONTAINER_NAME, name);
        }
    }
}

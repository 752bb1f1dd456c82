//! The audit log of the Kubernetes API server: who did what to which object of a cluster.
//!
//! ```text
//! {"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"…","stage":"ResponseComplete","verb":"list",…}
//! ```
//!
//! The verb is the action, the object it was done to is under `orchestrator.`, and what public rules ask for
//! stays under `kubernetes.audit.` by the API's own names. Of the objects themselves (`requestObject`), which
//! hold secrets, and names anybody with a cluster may invent, only what decides about a pod's rights and
//! who is given which role becomes a field. Nobody gets `user.name` but who signed in: whom he acts for stands in
//! `user.effective.name`. The user agent is what the client says of itself.

use std::sync::LazyLock;

use super::json::places::Place::{self, Both, Nothing, Own, Special, To};
use super::json::places::Places;
use super::json::{self, Scalar};
use super::out::Out;
use super::{Decoder, Line, Looks, access, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "kubernetes",
    datasets: &[DATASET],
    programs: &["kube-apiserver"],
    paths: &["kube-apiserver", "kubernetes/audit"],
    looks: Looks { first: b"{", test: looks_like },
    security: true,
    decode,
};

const DATASET: &str = "kubernetes.audit";
/// Parts of objects that become fields; of each, whatever list it stands in.
const OF_OBJECTS: &[&str] = &[
    "capabilities.add",
    "hostPath.path",
    "image",
    "privileged",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "roleRef.kind",
    "roleRef.name",
    "serviceAccountName",
    "subjects.kind",
    "subjects.name",
];

const PLACES: &[(&str, Place)] = &[
    ("kind", Nothing),
    ("apiVersion", Special),
    ("stageTimestamp", Special),
    ("requestReceivedTimestamp", Special),
    ("auditID", To(names::EVENT_ID)),
    ("verb", Both(names::EVENT_ACTION)),
    ("requestURI", Special),
    ("userAgent", To(names::USER_AGENT_ORIGINAL)),
    ("user.username", To(names::USER_NAME)),
    ("user.uid", To(names::USER_ID)),
    ("user.groups", To(names::USER_ROLES)),
    ("impersonatedUser.username", To(names::USER_EFFECTIVE_NAME)),
    ("impersonatedUser.uid", To(names::USER_EFFECTIVE_ID)),
    ("sourceIPs", Special),
    ("objectRef.namespace", Both(names::ORCHESTRATOR_NAMESPACE)),
    ("objectRef.resource", Both(names::ORCHESTRATOR_RESOURCE_TYPE)),
    ("objectRef.name", To(names::ORCHESTRATOR_RESOURCE_NAME)),
    ("responseStatus.code", Special),
    ("responseStatus.reason", To(names::EVENT_REASON)),
    ("responseStatus.message", To(names::ERROR_MESSAGE)),
    ("annotations.authorization.k8s.io/decision", Special),
];

static TABLE: LazyLock<Places> = LazyLock::new(|| Places::new("kubernetes.audit", PLACES));

/// Lines as the server writes them; those in another order `json` knows by their names.
fn looks_like(line: &str) -> bool {
    line.starts_with("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/")
}

#[derive(Default)]
struct Seen {
    audit: bool,
    /// Whether it changes anything.
    changes: Option<bool>,
    stamp: Option<time::Stamp>,
    from: bool,
    code: Option<i64>,
    allowed: Option<bool>,
    left_out: bool,
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !json::looks_like(line.message) {
        return false;
    }
    let mut seen = Seen::default();
    let whole =
        json::each(line.message, out, &mut |path, value, out| part(path, value, &mut seen, out));
    if !whole || !seen.audit || seen.changes.is_none() {
        return false;
    }
    if let Some(stamp) = &seen.stamp {
        out.stamp(stamp);
    }
    if seen.left_out {
        out.problem("a field is left out: no room for its name");
    }
    out.dataset = Some(DATASET);
    conclude(&seen, out);
    true
}

fn part(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    if path == "verb" {
        let reads = ["get", "list", "watch"];
        seen.changes = Some(value.text().is_none_or(|verb| !reads.contains(&verb)));
    }
    if let Some(inside) = of_object(path) {
        seen.left_out |= inside && !TABLE.keep(path, value, out);
        return;
    }
    if path.starts_with("annotations.") && TABLE.of(path) == Own {
        return annotation(path, value, seen, out);
    }
    if TABLE.of(path) != Special {
        seen.left_out |= !TABLE.put(path, value, out);
        return;
    }
    let text = value.text().unwrap_or_default();
    match path {
        "apiVersion" => seen.audit = text.starts_with("audit.k8s.io/"),
        "stageTimestamp" | "requestReceivedTimestamp" => {
            // When it was asked dates the event, where that is said.
            if let Some((stamp, _)) = time::iso(text.as_bytes())
                && (seen.stamp.is_none() || path == "requestReceivedTimestamp")
            {
                seen.stamp = Some(stamp);
            }
        }
        "requestURI" => {
            access::located(text, out);
            seen.left_out |= !TABLE.keep(path, value, out);
        }
        "sourceIPs" => match scan::address(text) {
            // The first is who asked; behind it stand proxies.
            Some(address) if !seen.from => {
                seen.from = true;
                out.address(names::SOURCE_IP, address);
            }
            _ => seen.left_out |= !TABLE.keep(path, value, out),
        },
        "responseStatus.code" => {
            seen.code = value.integer();
            seen.left_out |= !TABLE.keep(path, value, out);
        }
        "annotations.authorization.k8s.io/decision" => {
            seen.allowed = Some(text == "allow");
            annotation(path, value, seen, out);
        }
        _ => {}
    }
}

/// Whether a path is part of an object, and if so, whether of a part that becomes a field.
fn of_object(path: &str) -> Option<bool> {
    let object = path.strip_prefix("requestObject.");
    if let Some(inside) = object {
        let ends = |part: &str| {
            inside.strip_suffix(part).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        return Some(!inside.starts_with("metadata.") && OF_OBJECTS.iter().any(|part| ends(part)));
    }
    path.starts_with("responseObject.").then_some(false)
}

/// Dots in the names of annotations are no levels.
fn annotation(path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    if value.text() == Some("") {
        return;
    }
    let name = path.strip_prefix("annotations.").unwrap_or(path).replace('.', "_");
    seen.left_out |= !TABLE.keep(&format!("annotations.{name}"), value, out);
}

/// Says what the event is as a whole.
fn conclude(seen: &Seen, out: &mut Out) {
    out.security = true;
    out.word(names::ORCHESTRATOR_TYPE, "kubernetes");
    let changes = seen.changes == Some(true);
    out.word(names::EVENT_CATEGORY, if changes { "configuration" } else { "api" });
    if let Some(code) = seen.code {
        out.integer(names::HTTP_RESPONSE_STATUS_CODE, code);
        out.outcome(code < 400);
    }
    if let Some(allowed) = seen.allowed {
        out.word(names::EVENT_TYPE, if allowed { "allowed" } else { "denied" });
    }
}

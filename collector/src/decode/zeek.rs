//! Logs of Zeek as JSON: connections, names, web requests, certificates, Windows shares and calls, logins,
//! notices.
//!
//! ```text
//! {"ts":1795334400.12,"uid":"C1…","id.orig_h":"10.1.2.3","id.orig_p":50412,"id.resp_h":"203.0.113.9","id.resp_p":53,"proto":"udp","query":"…"}
//! ```
//!
//! Zeek says in the name of the file which log it is, `dns.log`; a shipper may add `_path`. Where neither does,
//! keys that only one log has do. Each log has a dataset of its own, `zeek.dns`. What has an ECS name gets it;
//! everything else stays under `zeek.<log>.`, where the taxonomy finds what public rules ask for
//! (`zeek/places.rs`).
//!
//! What the peers sent is quoted by JSON and its meaning told by its key, so it can pose as nothing else. An
//! end of a connection that is given twice, differently, is not taken. Passwords are not kept in fields.

mod places;

use super::json::places::Place;
use super::json::{self, Once, Scalar};
use super::out::Out;
use super::{Decoder, Line, Looks, access};
use crate::event::names;
use places::{LOGS, Log};

pub(crate) const DECODER: Decoder = Decoder {
    name: "zeek",
    datasets: &[
        "zeek",
        "zeek.conn",
        "zeek.dce_rpc",
        "zeek.dhcp",
        "zeek.dns",
        "zeek.files",
        "zeek.ftp",
        "zeek.http",
        "zeek.kerberos",
        "zeek.notice",
        "zeek.ntlm",
        "zeek.radius",
        "zeek.rdp",
        "zeek.sip",
        "zeek.smb_files",
        "zeek.smb_mapping",
        "zeek.smtp",
        "zeek.snmp",
        "zeek.software",
        "zeek.ssh",
        "zeek.ssl",
        "zeek.tunnel",
        "zeek.weird",
        "zeek.x509",
    ],
    programs: &["zeek", "bro"],
    paths: &["/zeek/", "/bro/"],
    looks: Looks { first: b"{", test: looks_like },
    security: false,
    decode,
};

/// A week: what lasts longer is no duration.
const MAX_SECONDS: f64 = 604_800.0;

/// Lines as Zeek writes them; those in another order `json` knows by their names.
fn looks_like(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("{\"ts\":") else {
        return line.starts_with("{\"_path\":");
    };
    // The next key; of a certificate, a file and a scan no connection is named.
    let next = rest.split_once(',').map_or("", |(_, next)| next);
    let keys = ["\"uid\":", "\"fuid\":", "\"fingerprint\":", "\"certificate.", "\"note\":", "\"id"];
    keys.iter().any(|key| next.starts_with(key))
}

/// What of a line was seen.
#[derive(Default)]
struct Seen {
    dated: bool,
    /// A connection, a file or a certificate that it tells of.
    named: bool,
    ends: [Once; 2],
    local: [Option<bool>; 2],
    success: Option<bool>,
    target: bool,
    left_out: bool,
}

/// Reads one line.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if !json::looks_like(line.message) {
        return false;
    }
    let Some(log) = log_of(line) else { return false };
    // A notice need not be about a connection.
    let mut seen = Seen { named: log.security, ..Seen::default() };
    let whole = json::each(line.message, out, &mut |path, value, out| {
        part(log, path, value, &mut seen, out);
    });
    if !whole || !seen.dated || !seen.named {
        return false;
    }
    if line.configured != log.dataset {
        out.dataset = Some(log.dataset);
    }
    if seen.left_out {
        out.problem("a field is left out: no room for its name");
    }
    for (end, id) in seen.ends.iter().zip([names::SOURCE_IP, names::DESTINATION_IP]) {
        end.conclude(id, out);
    }
    conclude(log, &seen, out);
    true
}

/// Which log a line is of: by what the line says, the configuration, the file's name, or its keys.
fn log_of(line: &Line<'_>) -> Option<&'static Log> {
    const PATH: &str = "\"_path\":\"";
    let named = |name: &str| LOGS.iter().find(|log| log.name == name);
    if let Some(at) = memchr::memmem::find(line.message.as_bytes(), PATH.as_bytes()) {
        let name = line.message.get(at + PATH.len()..)?.split('"').next()?;
        return named(name).or_else(|| named(""));
    }
    let file = line.path.rsplit('/').next().unwrap_or_default();
    // `dns.log`, and `dns.08:00:00-09:00:00.log` of the hours before.
    let stem = file.split('.').next().unwrap_or_default();
    line.configured
        .strip_prefix("zeek.")
        .and_then(named)
        .or_else(|| named(stem).filter(|log| !log.name.is_empty()))
        .or_else(|| {
            let held = |log: &&Log| log.marks.iter().any(|mark| line.message.contains(mark));
            LOGS.iter().find(held)
        })
        .or_else(|| named(""))
}

fn part(log: &Log, path: &str, value: Scalar<'_>, seen: &mut Seen, out: &mut Out) {
    let text = value.text().unwrap_or_default();
    match path {
        "ts" => {
            seen.dated = json::date(value, out);
            return;
        }
        // Others have names like these too.
        "uid" | "fuid" | "certificate.serial" => seen.named |= !log.name.is_empty(),
        "id.orig_h" => {
            seen.named = true;
            return seen.ends[0].tell(text);
        }
        "id.resp_h" => return seen.ends[1].tell(text),
        "local_orig" | "local_resp" => {
            if let Scalar::Flag(local) = value {
                seen.local[usize::from(path == "local_resp")] = Some(local);
            }
        }
        "_path" | "_write_ts" => return,
        _ => {}
    }
    let table = log.places();
    if table.of(path) != Place::Special {
        seen.left_out |= !table.put(path, value, out);
        return;
    }
    match path {
        "duration" => {
            let seconds = match value {
                Scalar::Number(seconds) => seconds,
                #[expect(clippy::cast_precision_loss, reason = "a duration has few digits")]
                Scalar::Integer(seconds) => seconds as f64,
                _ => return,
            };
            if (0.0..MAX_SECONDS).contains(&seconds) {
                #[expect(clippy::cast_possible_truncation, reason = "a week fits")]
                let nanos = (seconds * 1e9).round() as i64;
                out.integer(names::EVENT_DURATION, nanos);
            }
        }
        "uri" if !seen.target => {
            seen.target = true;
            access::located(text, out);
        }
        "status_code" => {
            if let Some(status) = value.integer().filter(|status| (100..1_000).contains(status)) {
                out.integer(names::HTTP_RESPONSE_STATUS_CODE, status);
                seen.success = Some(status < 400);
            }
        }
        "success" | "auth_success" => {
            if let Scalar::Flag(success) = value {
                seen.success = Some(success);
            }
        }
        "result" => seen.success = Some(text == "success"),
        "client" => {
            // `NAME/REALM`; a host's name ends in `$`.
            let (name, realm) = text.split_once('/').unwrap_or((text, ""));
            out.some(names::USER_NAME, name);
            out.some(names::USER_DOMAIN, realm);
        }
        "src" | "dst" => {
            // A notice may be about no connection at all.
            seen.ends[usize::from(path == "dst")].tell(text);
        }
        "action" => {
            let word = text.strip_prefix("SMB::").unwrap_or(text);
            super::network::lower(names::EVENT_ACTION, word, out);
            seen.left_out |= !table.keep(path, value, out);
        }
        _ => {}
    }
}

/// Says what the event is as a whole.
fn conclude(log: &Log, seen: &Seen, out: &mut Out) {
    out.word(names::OBSERVER_PRODUCT, "Zeek");
    out.word(names::OBSERVER_TYPE, "ids");
    out.security |= log.security;
    out.word(names::EVENT_CATEGORY, log.category);
    if !log.action.is_empty() && !out.has(names::EVENT_ACTION) {
        out.word(names::EVENT_ACTION, log.action);
    }
    if !log.protocol.is_empty() && !out.has(names::NETWORK_PROTOCOL) {
        out.word(names::NETWORK_PROTOCOL, log.protocol);
    }
    if let Some(success) = seen.success {
        out.outcome(success);
    }
    let direction = match seen.local {
        [Some(true), Some(true)] => "internal",
        [Some(true), Some(false)] => "outbound",
        [Some(false), Some(true)] => "inbound",
        [Some(false), Some(false)] => "external",
        _ => return,
    };
    if !out.has(names::NETWORK_DIRECTION) {
        out.word(names::NETWORK_DIRECTION, direction);
    }
}

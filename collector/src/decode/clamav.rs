//! Messages of ClamAV: clamd, clamscan, clamonacc, freshclam.
//!
//! A finding is `PATH: SIGNATURE FOUND`. The path is whatever the file's maker called it, the signature is
//! one word, so the line is read from its end.

use super::out::Out;
use super::{Decoder, Line, Looks, scan, time};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "clamav",
    datasets: &["clamav"],
    programs: &[
        "clamd",
        "clamscan",
        "clamdscan",
        "clamonacc",
        "freshclam",
        "clamav-milter",
        "clamav-daemon",
        "clamav-freshclam",
    ],
    paths: &["clamav/", "clamd.", "freshclam.log", "clamav.log"],
    looks: Looks { first: b"SMTWF/", test: looks },
    security: true,
    decode,
};

/// A finding with a path, alone or behind ClamAV's own stamp and arrow.
fn looks(line: &str) -> bool {
    stamped(line).is_some() || (line.starts_with('/') && line.ends_with(" FOUND"))
}

/// `Sun Mar  1 10:00:00 2026 -> TEXT`.
fn stamped(line: &str) -> Option<(time::Stamp, &str)> {
    const STAMP: usize = 24;
    let text = line.get(STAMP..)?.strip_prefix(" -> ")?;
    Some((time::asctime(line.get(..STAMP)?.as_bytes())?, text))
}

/// Reads one message.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = match stamped(line.message) {
        Some((stamp, text)) => {
            out.stamp(&stamp);
            text
        }
        None => line.message,
    };
    found(text, out).or_else(|| about_file(text, out)).or_else(|| told(text, out)).is_some()
}

/// `PATH: SIGNATURE[(hash:size)] FOUND`; a stream has `instream(ADDRESS@PORT)` for its path.
fn found(text: &str, out: &mut Out) -> Option<()> {
    let text = text.strip_suffix(" FOUND")?;
    let (path, signature) = text.rsplit_once(": ")?;
    if signature.is_empty() || signature.contains(' ') {
        return None;
    }
    let path = path.strip_prefix("ScanOnAccess: ").unwrap_or(path);
    let (signature, hash) = signature
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once('('))
        .unwrap_or((signature, ""));
    out.event("malware", "malware_found");
    out.word(names::EVENT_TYPE, "info");
    out.text(names::RULE_NAME, signature);
    if let Some((md5, size)) = hash.split_once(':') {
        out.some(names::FILE_HASH_MD5, md5);
        out.digits(names::FILE_SIZE, size);
    }
    match path.strip_prefix("instream(").and_then(|peer| peer.strip_suffix(')')) {
        Some(peer) => {
            let (address, port) = peer.rsplit_once('@').unwrap_or((peer, ""));
            if let Some(address) = scan::address(address) {
                out.address(names::SOURCE_IP, address);
            }
            if !port.is_empty() {
                out.digits(names::SOURCE_PORT, port);
            }
        }
        None => out.some(names::FILE_PATH, path),
    }
    Some(())
}

/// `PATH: removed.`, `PATH: moved to 'QUARANTINE'`, `PATH: Access denied. ERROR`.
fn about_file(text: &str, out: &mut Out) -> Option<()> {
    if !text.starts_with('/') {
        return None;
    }
    let (path, what) = text.rsplit_once(": ")?;
    let (category, action) = match what {
        "Removed." | "removed." => ("malware", "malware_removed"),
        "OK" => ("malware", "file_clean"),
        _ if what.starts_with("moved to '") || what.starts_with("copied to '") => {
            ("malware", "malware_quarantined")
        }
        _ if what.ends_with(" ERROR") => ("malware", "scan_failed"),
        _ => return None,
    };
    out.event(category, action);
    out.text(names::FILE_PATH, path);
    out.text(names::EVENT_REASON, what);
    if action == "scan_failed" {
        out.outcome(false);
    }
    Some(())
}

/// What the programs say of themselves and their signatures.
fn told(text: &str, out: &mut Out) -> Option<()> {
    const STARTS: &[(&str, &str, Option<bool>)] = &[
        ("Database updated", "signatures_updated", Some(true)),
        ("Database correctly reloaded", "signatures_loaded", Some(true)),
        ("SelfCheck: Database status OK", "self_check", Some(true)),
        ("SelfCheck: Database modification detected", "signatures_changed", None),
        ("ClamAV update process started", "update_started", None),
        ("ERROR: Can't download ", "update_failed", Some(false)),
        ("ERROR: Update failed", "update_failed", Some(false)),
        ("ERROR: ", "clamav_error", Some(false)),
        ("WARNING: ", "clamav_warning", None),
        ("Limits: ", "clamav_limits", None),
        ("Loaded ", "signatures_loaded", Some(true)),
        ("Infected files: ", "scan_summary", None),
        ("Scanned files: ", "scan_summary", None),
        ("Known viruses: ", "scan_summary", None),
        ("+++ Started at ", "clamd_started", None),
        ("--- Stopped at ", "clamd_stopped", None),
        ("clamd daemon ", "clamd_started", None),
        ("Exiting (clean)", "clamd_stopped", None),
        ("Pid file removed", "clamd_stopped", None),
        ("Reading databases from ", "signatures_loading", None),
    ];
    let (action, success) = STARTS
        .iter()
        .find(|(start, ..)| text.starts_with(start))
        .map(|(_, action, success)| (*action, *success))
        .or_else(|| about_signatures(text))?;
    out.event("malware", action);
    if let Some(success) = success {
        out.outcome(success);
    }
    out.text(names::EVENT_REASON, text);
    Some(())
}

/// `daily.cld database is up-to-date (version: …)`, `daily.cvd updated (version: …)`.
fn about_signatures(text: &str) -> Option<(&'static str, Option<bool>)> {
    let (name, what) = text.split_once(' ')?;
    let file = [".cvd", ".cld", ".cud"].iter().any(|ending| name.ends_with(ending));
    if !file {
        return None;
    }
    if what.starts_with("updated (") {
        Some(("signatures_updated", Some(true)))
    } else if what.contains("up-to-date") || what.starts_with("database is up to date") {
        Some(("signatures_current", Some(true)))
    } else {
        None
    }
}

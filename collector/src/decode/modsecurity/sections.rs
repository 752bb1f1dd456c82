//! The audit log in ModSecurity's own format: one transaction between two boundaries, in sections.
//!
//! ```text
//! --a1b2c3d4-A--
//! [22/Nov/2026:08:59:22 +0800] UNIQUE 203.0.113.9 54536 192.0.2.10 80
//! --a1b2c3d4-B--
//! GET /x?id=1 HTTP/1.1
//! Host: his.example
//! --a1b2c3d4-H--
//! Message: Warning. … [id "942100"] …
//! --a1b2c3d4-Z--
//! ```
//!
//! The boundary is random for each transaction, so a request cannot begin a section: lines with another
//! boundary are part of the section they stand in.

use super::super::out::Out;
use super::super::{access, scan, time};
use super::{Seen, audited, conclude, request_header};
use crate::event::names;

/// Reads one transaction. None when it is none, or lacks the first section.
pub(super) fn read(text: &str, out: &mut Out) -> Option<()> {
    let (first, rest) = text.split_once('\n')?;
    let boundary =
        first.strip_suffix("A--").filter(|start| start.len() > 4 && start.ends_with('-'))?;
    let mut seen = Seen::default();
    let mut section = b'A';
    // The first line of a section says what the headers below it belong to.
    let mut begun = false;
    for line in rest.split('\n') {
        let mark = line.strip_prefix(boundary).and_then(|rest| rest.strip_suffix("--"));
        if let Some([letter]) = mark.map(str::as_bytes) {
            section = *letter;
            begun = false;
            continue;
        }
        match section {
            b'A' if !begun => head(line, &mut seen, out)?,
            b'B' if !begun => access::requested(line, out),
            b'B' => {
                if let Some((name, value)) = line.split_once(": ") {
                    request_header(name, value, out);
                }
            }
            b'F' if !begun => {
                let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
                if let Some(status) = status {
                    out.integer(names::HTTP_RESPONSE_STATUS_CODE, status.into());
                }
            }
            b'H' => {
                if let Some(message) = line.strip_prefix("Message: ") {
                    audited(message, &mut seen, out);
                } else if line.starts_with("Action: Intercepted") {
                    seen.blocked = true;
                }
            }
            _ => {}
        }
        begun = true;
    }
    seen.client.then(|| conclude(&seen, out))
}

/// `[22/Nov/2026:08:59:22 +0800] UNIQUE 203.0.113.9 54536 192.0.2.10 80`.
fn head(line: &str, seen: &mut Seen, out: &mut Out) -> Option<()> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let mut words = rest.split(' ');
    let (id, client, port) = (words.next()?, words.next()?, words.next()?);
    let (server, server_port) = (words.next()?, words.next()?);
    let client = scan::address(client)?;
    seen.client = true;
    out.stamp(&time::clf(stamp.as_bytes())?);
    out.text(names::EVENT_ID, id);
    out.address(names::SOURCE_IP, client);
    out.digits(names::SOURCE_PORT, port);
    if let Some(server) = scan::address(server) {
        out.address(names::SERVER_IP, server);
    }
    out.digits(names::SERVER_PORT, server_port);
    Some(())
}

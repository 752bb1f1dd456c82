//! Messages of the Linux kernel, from its log in syslog or as dmesg prints it: what the out-of-memory
//! killer took, crashes, disks and file systems that fail, devices that come and go, modules, links,
//! packets that netfilter logs (`netfilter.rs`).
//!
//! The kernel has many thousand messages; those are claimed that a rule or a person asks for. The name
//! of a process in a message is whatever the process calls itself, 15 bytes that may look like part of
//! the message, so a name is read from the end that the kernel writes. What a USB device says of itself
//! is the device's word. Records of audit in this log are `audit.rs`'s.

mod shapes;

use super::out::Out;
use super::{Decoder, Line, Looks, netfilter, scan, time};

pub(crate) const DECODER: Decoder = Decoder {
    name: "kernel",
    datasets: &["kernel", NETFILTER],
    programs: &["kernel", "ulogd"],
    paths: &["log/dmesg", "ulogd"],
    looks: Looks { first: b"[I", test: looks },
    security: false,
    decode,
};

/// The dataset of logged packets.
const NETFILTER: &str = "iptables";

/// A lone line is the kernel's by its clock in brackets; `] [` is how Apache goes on.
fn looks(line: &str) -> bool {
    netfilter::looks(line) || scan::uptime(line).0.is_some() || dated(line).is_some()
}

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = match dated(line.message) {
        Some((stamp, rest)) => {
            out.stamp(&stamp);
            rest
        }
        None => scan::uptime(line.message).1,
    };
    let mark = out.mark();
    // A USB device may call itself a logged packet.
    if !message.starts_with("usb ") && netfilter::read(message, out).is_some() {
        out.dataset = Some(NETFILTER);
        return true;
    }
    out.reset(mark);
    shapes::read(message, out).is_some()
}

/// `[Sun Mar  1 00:00:15 2026] MESSAGE`, as `dmesg -T` prints it.
fn dated(line: &str) -> Option<(time::Stamp, &str)> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let stamp = time::asctime(stamp.as_bytes())?;
    (!rest.starts_with('[')).then_some((stamp, rest))
}

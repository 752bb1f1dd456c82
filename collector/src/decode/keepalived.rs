//! keepalived: which of several hosts has the address, and which servers LVS sends to.
//!
//! In: `Keepalived_vrrp`'s `(VI_1) Entering MASTER STATE` and `VRRP_Instance(VI_1) Entering BACKUP STATE`,
//! `Keepalived_healthcheckers`'s `TCP connection to [192.0.2.80]:tcp:80 failed.` Out: changes of state, checks that
//! fail, servers that are taken out and put back.
//!
//! Who may send VRRP packets may make a host change its state: the line says what keepalived believes.

use std::sync::LazyLock;

use super::out::Out;
use super::phrase::{Phrases, Row, row};
use super::time::asctime;
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "keepalived",
    datasets: &["keepalived"],
    programs: &["Keepalived", "keepalived", "Keepalived_vrrp", "Keepalived_healthcheckers"],
    paths: &["keepalived"],
    looks: Looks::NEVER,
    security: false,
    decode,
};

const NAME: &str = "vrrp_state";
const ROWS: &[Row] = &[
    row("({service.name}) Entering {service.state} STATE", "network", NAME).kind("change"),
    row("({service.name}) Entering {service.state} STATE ({reason})", "network", NAME)
        .kind("change"),
    row("VRRP_Instance({service.name}) Entering {service.state} STATE", "network", NAME)
        .kind("change"),
    row(
        "VRRP_Instance({service.name}) Transition to {service.state} STATE",
        "network",
        "vrrp_transition",
    ),
    row("VRRP_Group({service.name}) Syncing instances to {service.state} state", "network", NAME)
        .kind("change"),
    row("({service.name}) Backup received priority 0 advertisement", "network", "vrrp_master_left"),
    row(
        "({service.name}) Received advert from {ip} with lower priority {_} ours {_} forcing new election",
        "network",
        "vrrp_election",
    ),
    row(
        "VRRP_Instance({service.name}) Received lower prio advert, forcing new election",
        "network",
        "vrrp_election",
    ),
    row(
        "({service.name}) Master received advert from {ip} with higher priority {_} ours {_}",
        "network",
        "vrrp_higher_priority",
    ),
    row(
        "VRRP_Instance({service.name}) Received higher prio advert{reason}",
        "network",
        "vrrp_higher_priority",
    ),
    row(
        "({service.name}) received an invalid passwd!",
        "intrusion_detection",
        "vrrp_wrong_password",
    )
    .failed(),
    row(
        "({service.name}) {*} authentication {reason}",
        "intrusion_detection",
        "vrrp_wrong_password",
    )
    .failed(),
    row("VRRP_Script({service.name}) failed{reason}", "network", "check_failed").failed(),
    row("VRRP_Script({service.name}) succeeded", "network", "check_succeeded").ok(),
    row("Script `{service.name}` now returning {_}", "network", "check_changed"),
    row("Netlink reports {hengwei.interface.name} down", "network", "link_down"),
    row("Netlink reports {hengwei.interface.name} up", "network", "link_up"),
    row("TCP connection to {service.name} failed.", "network", "check_failed").failed(),
    row("TCP connection to {service.name} failed", "network", "check_failed").failed(),
    row("TCP connection to {service.name} success.", "network", "check_succeeded").ok(),
    row("TCP_CHECK on service {service.name} failed{reason}", "network", "check_failed").failed(),
    row("Error connecting server {service.name}.", "network", "check_failed").failed(),
    row("Removing service {service.name} {reason} from VS {_}", "network", "backend_down").failed(),
    row("Removing service {service.name} from VS {_}", "network", "backend_down").failed(),
    row("Removing service {service.name} of VS {_}", "network", "backend_down").failed(),
    row("Adding service {service.name} {reason} to VS {_}", "network", "backend_up").ok(),
    row("Adding service {service.name} to VS {_}", "network", "backend_up").ok(),
    row("Lost quorum {reason}", "network", "service_down").failed(),
    row("Gained quorum {reason}", "network", "service_up").ok(),
    row("Starting Keepalived {reason}", "process", "keepalived_started"),
    row("Stopping", "process", "keepalived_stopped"),
    row("Stopped Keepalived {reason}", "process", "keepalived_stopped"),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));
/// `Sun Nov 22 08:00:00 2026`.
const STAMP: usize = 24;

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    // What it writes to a terminal, and a container with it, has its own stamp.
    let own = line
        .message
        .split_at_checked(STAMP)
        .and_then(|(stamp, rest)| Some((asctime(stamp.as_bytes())?, rest.strip_prefix(": ")?)));
    let message = match own {
        Some((stamp, message)) => {
            out.stamp(&stamp);
            message
        }
        None => line.message,
    };
    let read = SAID.read(message.trim_end(), out).is_some();
    if read && !line.message.is_empty() {
        out.word(names::OBSERVER_PRODUCT, "keepalived");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(ROWS);
    }
}

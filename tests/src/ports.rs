//! Ports for the servers that a test starts, stops and starts again.
//!
//! A port that the kernel hands out is free at that moment only: while nobody listens there, another
//! test may get it, or a connection as its own end, and the server does not come back. So ports are
//! taken from below those that the kernel hands out, and each is claimed for as long as this process
//! lives: by a UDP socket of the same number, which only one process can have and a kill gives back.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

/// What the kernel hands out by itself begins, and ends, here.
const HANDED_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Below are ports of services.
const FIRST: u16 = 15_000;
/// As many as tests at the same time may want; where fewer are left below what the kernel hands out,
/// those above are taken as well.
const ENOUGH: u16 = 2_000;
/// Processes begin to look as far apart as this, so that they seldom meet.
const APART: u32 = 17;

static CLAIMED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// Ports nobody listens on, which no other test takes before this process ends.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut candidates = candidates();
    let mut ports = [0; N];
    for port in &mut ports {
        let (free, claim) = candidates.find_map(claim).context("no port is free")?;
        *port = free;
        claimed.push(claim);
    }
    Ok(ports)
}

/// All that may be taken, each process from another place on.
fn candidates() -> impl Iterator<Item = u16> {
    let end = std::fs::read_to_string(HANDED_OUT)
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok())
        .filter(|end| *end >= FIRST + ENOUGH)
        .unwrap_or(u16::MAX);
    let count = u32::from(end - FIRST);
    let begin = std::process::id().wrapping_mul(APART) % count;
    (begin..count).chain(0..begin).filter_map(|at| u16::try_from(u32::from(FIRST) + at).ok())
}

fn claim(port: u16) -> Option<(u16, UdpSocket)> {
    let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some((port, claim))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_each_can_be_listened_on() {
        let given: Vec<[u16; 3]> = (0..20).map(|_| free_ports().expect("ports")).collect();
        let ports: BTreeSet<u16> = given.iter().flatten().copied().collect();
        assert_eq!(ports.len(), 60, "{given:?}");
        for port in ports {
            assert!(claim(port).is_none(), "{port} is claimed");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody listens");
        }
    }
}

//! Daemons whose messages tell of the health of a host: disks, arrays, paths to storage, leases of addresses,
//! interfaces, and the scanners for rootkits and changed files.
//!
//! Each message is told by how it begins, or by words that only the daemon writes; its words stay in
//! `event.reason`. Names of devices and volumes are an administrator's. What a DHCP client calls itself is
//! the client's choice and stands behind its hardware address: nothing behind that is read. The name of a
//! connection stands before what NetworkManager says of it, which is read from the end.

use super::out::Out;
use super::{Decoder, Looks, scan};
use crate::event::names;

pub(crate) const STORAGE: Decoder = Decoder {
    name: "storage",
    datasets: &["storage"],
    programs: &["smartd", "mdadm", "mdmonitor", "multipathd", "multipath", "lvm", "dmeventd"],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| storage(line.message, out).is_some(),
};

pub(crate) const DHCP: Decoder = Decoder {
    name: "dhcp",
    datasets: &["dhcp"],
    programs: &["dhcpd", "dhclient", "dhcrelay"],
    paths: &["dhcpd"],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| dhcp(line.message, out).is_some(),
};

pub(crate) const NETWORK_MANAGER: Decoder = Decoder {
    name: "networkmanager",
    datasets: &["networkmanager"],
    programs: &["NetworkManager"],
    paths: &["NetworkManager"],
    looks: Looks::NEVER,
    security: false,
    decode: |line, out| network_manager(line.message, out).is_some(),
};

pub(crate) const ROOTKITS: Decoder = Decoder {
    name: "rootkits",
    datasets: &["rootkits"],
    programs: &["rkhunter", "chkrootkit", "aide", "tripwire"],
    paths: &["rkhunter", "chkrootkit"],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| rootkits(line.message, out).is_some(),
};

/// What scanners for rootkits and changed files found.
fn rootkits(text: &str, out: &mut Out) -> Option<()> {
    // rkhunter's own file has the time of day before each line.
    let (said, timed) = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((clock, rest)) if clock.len() == 8 => (rest.trim_start(), true),
        _ => (text, false),
    };
    let action = match () {
        () if said.starts_with("Warning: ") => "scan_warning",
        () if said.starts_with("Please inspect this machine") => "rootkit_suspected",
        () if said.ends_with(" INFECTED") || said.starts_with("INFECTED") => "rootkit_suspected",
        () if said.contains("found differences between database and filesystem") => {
            "integrity_difference"
        }
        () if said.starts_with("Rootkit hunter check started") => "scan_started",
        () if said.starts_with("Scanning took ") => "scan_finished",
        () if timed => "scan_message",
        () => return None,
    };
    let category = if action == "rootkit_suspected" { "malware" } else { "host" };
    out.event(category, action);
    out.text(names::EVENT_REASON, said);
    Some(())
}

/// Disks that wear out, arrays that lose a disk, paths that are lost.
fn storage(text: &str, out: &mut Out) -> Option<()> {
    /// Words of a message, the action, and whether it tells of a fault.
    const TOLD: &[(&str, &str, Option<bool>)] = &[
        ("FAILED SMART self-check", "disk_failing", Some(false)),
        ("Currently unreadable (pending) sectors", "disk_sectors_unreadable", Some(false)),
        ("Offline uncorrectable sectors", "disk_sectors_unreadable", Some(false)),
        ("Self-Test Log error count increased", "disk_failing", Some(false)),
        ("ATA error count increased", "disk_errors", Some(false)),
        ("Failed SMART usage Attribute", "disk_failing", Some(false)),
        ("SMART Failure", "disk_failing", Some(false)),
        ("unable to open", "disk_lost", Some(false)),
        ("FailSpare event detected", "array_disk_failed", Some(false)),
        ("Fail event detected", "array_disk_failed", Some(false)),
        ("DegradedArray event detected", "array_degraded", Some(false)),
        ("DeviceDisappeared event detected", "array_lost", Some(false)),
        ("RebuildStarted event detected", "array_rebuild_started", None),
        ("RebuildFinished event detected", "array_rebuild_finished", Some(true)),
        ("SpareActive event detected", "array_spare_active", Some(true)),
        ("NewArray event detected", "array_found", None),
        ("mark as failed", "path_lost", Some(false)),
        ("checker failed path", "path_lost", Some(false)),
        ("remaining active paths: 0", "paths_lost", Some(false)),
        ("remaining active paths", "path_changed", None),
        ("reinstated", "path_restored", Some(true)),
        ("reached critical limit", "disk_too_hot", Some(false)),
        ("Temperature", "disk_temperature", None),
        ("SMART Prefailure Attribute", "disk_attribute_changed", None),
        ("SMART Usage Attribute", "disk_attribute_changed", None),
        ("is now ", "volume_filling", None),
    ];
    let (_, action, success) = TOLD.iter().find(|(words, ..)| text.contains(words))?;
    out.event("host", action);
    if let Some(success) = success {
        out.outcome(*success);
    }
    out.text(names::EVENT_REASON, text);
    let device = text
        .strip_prefix("Device: ")
        .and_then(|rest| rest.split([' ', ',']).next())
        .or_else(|| text.split("md device ").nth(1)?.split([' ', ',']).next());
    if let Some(device) = device.filter(|device| device.starts_with("/dev/")) {
        out.text(names::FILE_PATH, device);
    }
    Some(())
}

/// `DHCPACK on ADDRESS to MAC (NAME) via INTERFACE` and its relatives.
fn dhcp(text: &str, out: &mut Out) -> Option<()> {
    let (word, rest) = text.split_once(' ')?;
    let action = match word {
        "DHCPDISCOVER" => "dhcp_discover",
        "DHCPOFFER" => "dhcp_offer",
        "DHCPREQUEST" => "dhcp_request",
        "DHCPACK" => "dhcp_ack",
        "DHCPNAK" => "dhcp_nak",
        "DHCPRELEASE" => "dhcp_release",
        "DHCPDECLINE" => "dhcp_decline",
        "DHCPINFORM" => "dhcp_inform",
        _ if text.contains("no free leases") => "dhcp_no_free_leases",
        _ if text.starts_with("Abandoning IP address ") => "dhcp_address_abandoned",
        _ => return None,
    };
    out.event("network", action);
    out.word(names::NETWORK_PROTOCOL, "dhcp");
    if matches!(action, "dhcp_nak" | "dhcp_no_free_leases" | "dhcp_decline") {
        out.outcome(false);
    }
    out.text(names::EVENT_REASON, text);
    // The name of a client, in parentheses, follows its hardware address: nothing behind that is read.
    let mut words = rest.split(' ');
    while let Some(key) = words.next() {
        if !matches!(key, "on" | "for" | "from" | "to") {
            continue;
        }
        let value = words.next().unwrap_or_default().trim_end_matches(':');
        if scan_mac(value) {
            out.text(names::SOURCE_MAC, value);
            break;
        }
        if let Some(address) = scan::address(value).filter(|_| !out.has(names::SOURCE_IP)) {
            out.address(names::SOURCE_IP, address);
        }
    }
    Some(())
}

fn scan_mac(text: &str) -> bool {
    text.len() == 17
        && text.bytes().enumerate().all(|(at, byte)| match at % 3 {
            2 => byte == b':',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `<info>  [1795305600.1234] device (eth0): state change: activated -> failed (…)`.
fn network_manager(text: &str, out: &mut Out) -> Option<()> {
    let (level, rest) = text.strip_prefix('<')?.split_once('>')?;
    let level = match level {
        "info" => "info",
        "warn" => "warn",
        "error" => "error",
        "debug" => "debug",
        "trace" => "trace",
        _ => return None,
    };
    let rest = rest.trim_start();
    let (_, said) = rest.strip_prefix('[')?.split_once("] ")?;
    out.word(names::LOG_LEVEL, level);
    out.text(names::EVENT_REASON, said);
    let device = said.strip_prefix("device (").and_then(|rest| rest.split_once("): "));
    if let Some((device, _)) = device {
        out.text(names::HENGWEI_INTERFACE_NAME, device);
    }
    let what = device.map_or(said, |(_, what)| what);
    let action = match () {
        () if what.starts_with("state change: ") => "interface_state_changed",
        () if what.starts_with("link connected") => "interface_up",
        () if what.starts_with("link disconnected") => "interface_down",
        () if said.starts_with("audit: op=\"connection-") => "connection_changed",
        () => "message",
    };
    let category = if action == "connection_changed" { "configuration" } else { "network" };
    out.event(category, action);
    if action == "connection_changed" {
        // The name of a connection may hold anything; what follows it is read from the end.
        let tail = said.rsplit_once(" pid=").map_or("", |(_, tail)| tail);
        if let Some(uid) = scan::value(tail, "uid=") {
            out.digits(names::USER_ID, uid);
        }
        if let Some(result) = scan::value(tail, "result=") {
            out.outcome(result == "\"success\"");
        }
    }
    Some(())
}

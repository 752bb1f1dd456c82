//! The kernel's messages that are read, by how they begin or by words within them.

use super::super::out::Out;
use super::super::scan;
use crate::event::names;

type Shape = fn(&str, &mut Out) -> Option<()>;

/// Reads a message without its clock.
pub(super) fn read(message: &str, out: &mut Out) -> Option<()> {
    let mark = out.mark();
    for (start, shape) in STARTS {
        if let Some(rest) = message.strip_prefix(start) {
            if shape(rest, out).is_some() {
                return Some(());
            }
            out.reset(mark);
        }
    }
    for (start, category, action, success) in PLAIN {
        if message.starts_with(start) {
            out.event(category, action);
            if *success {
                out.outcome(false);
            }
            out.text(names::EVENT_REASON, message);
            return Some(());
        }
    }
    for (words, shape) in WITHIN {
        if let Some((before, after)) = message.rsplit_once(words) {
            if shape(message, before, after, out).is_some() {
                return Some(());
            }
            out.reset(mark);
        }
    }
    None
}

/// By their beginning, with something to take out of them.
const STARTS: &[(&str, Shape)] = &[
    ("Out of memory: Killed process ", killed),
    ("Memory cgroup out of memory: Killed process ", killed),
    ("Out of memory: Kill process ", killed),
    ("Memory cgroup out of memory: Kill process ", killed),
    ("Killed process ", killed),
    ("traps: ", trap),
    ("device ", promiscuous_device),
    ("usb ", usb),
    ("usb-storage ", usb_storage),
    ("EXT4-fs error (device ", filesystem_error),
    ("EXT4-fs (", filesystem),
    ("EXT3-fs error (device ", filesystem_error),
    ("XFS (", filesystem),
    ("BTRFS error (device ", filesystem_error),
    ("BTRFS critical (device ", filesystem_error),
    ("BTRFS: error (device ", filesystem_error),
    ("INFO: task ", hung),
    ("IPv4: martian source ", martian),
    ("martian source ", martian),
    ("TCP: request_sock_TCP: ", syn_flood),
    ("TCP: request_sock_TCPv6: ", syn_flood),
    ("TCP: ", syn_flood),
    ("Linux version ", booted),
    ("Lockdown: ", lockdown),
    ("ptrace attach of ", ptrace),
    ("IPv6: ADDRCONF(NETDEV_CHANGE): ", ready),
];

/// By their beginning alone: category, action, and whether something failed.
const PLAIN: &[(&str, &str, &str, bool)] = &[
    ("Kernel panic - not syncing", "host", "kernel_panic", true),
    ("BUG: ", "host", "kernel_bug", true),
    ("Oops: ", "host", "kernel_bug", true),
    ("general protection fault", "host", "kernel_bug", true),
    ("kernel BUG at ", "host", "kernel_bug", true),
    ("watchdog: BUG: soft lockup", "host", "soft_lockup", true),
    ("NMI watchdog: BUG: soft lockup", "host", "soft_lockup", true),
    ("NMI watchdog: Watchdog detected hard LOCKUP", "host", "hard_lockup", true),
    ("rcu: INFO: ", "host", "cpu_stall", true),
    ("INFO: rcu_", "host", "cpu_stall", true),
    ("mce: [Hardware Error]", "host", "hardware_error", true),
    ("[Hardware Error]", "host", "hardware_error", true),
    ("{1}[Hardware Error]", "host", "hardware_error", true),
    ("EDAC ", "host", "memory_error", true),
    ("reboot: Restarting system", "host", "kernel_restarted", false),
    ("reboot: Power down", "host", "kernel_powered_down", false),
    ("Disabling lock debugging due to kernel taint", "host", "kernel_tainted", false),
    ("nf_conntrack: nf_conntrack: table full", "network", "connection_table_full", true),
    ("nf_conntrack: table full", "network", "connection_table_full", true),
    ("neighbour: ", "network", "neighbour_table_full", true),
    ("audit: backlog limit exceeded", "configuration", "audit_lost", true),
    ("audit: rate limit exceeded", "configuration", "audit_lost", true),
    ("audit: kauditd hold queue overflow", "configuration", "audit_lost", true),
    ("audit: audit_lost=", "configuration", "audit_lost", true),
    ("audit: audit_backlog=", "configuration", "audit_lost", true),
    ("audit: error in audit", "configuration", "audit_lost", true),
    ("Clocksource ", "host", "clock_unstable", false),
    ("clocksource: timekeeping watchdog", "host", "clock_unstable", false),
    ("Aborting journal on device ", "host", "filesystem_error", true),
    ("sysrq: ", "host", "sysrq", false),
];

/// By words within, the last of their kind: the message, what stands before them and behind.
type Within = fn(&str, &str, &str, &mut Out) -> Option<()>;

const WITHIN: &[(&str, Within)] = &[
    ("]: segfault at ", |message, before, _, out| {
        let (name, pid) = before.rsplit_once('[')?;
        crashed(message, name, pid, "segfault", out)
    }),
    (" invoked oom-killer: ", |message, before, _, out| {
        out.event("process", "oom_killer_invoked");
        process(before, "", out);
        out.text(names::EVENT_REASON, message);
        Some(())
    }),
    ("I/O error, dev ", |message, _, after, out| disk(message, after, out)),
    (" medium error, dev ", |message, _, after, out| disk(message, after, out)),
    (" target error, dev ", |message, _, after, out| disk(message, after, out)),
    ("Buffer I/O error on dev ", |message, _, after, out| disk(message, after, out)),
    ("Buffer I/O error on device ", |message, _, after, out| disk(message, after, out)),
    (": failed command: ", |message, before, _, out| disk(message, before, out)),
    (": entered promiscuous mode", |_, before, _, out| promiscuous(before, true, out)),
    (": left promiscuous mode", |_, before, _, out| promiscuous(before, false, out)),
    (" Link is Up", |message, before, _, out| link(message, before, true, out)),
    (" Link is Down", |message, before, _, out| link(message, before, false, out)),
    (": Link is up at ", |message, before, _, out| link(message, before, true, out)),
    (": Link is down", |message, before, _, out| link(message, before, false, out)),
    (": link status definitely down", |message, before, _, out| bonded(message, before, out)),
    (": loading out-of-tree module taints kernel", |message, before, _, out| {
        module(message, before, "module_out_of_tree", out)
    }),
    (": module verification failed: ", |message, before, _, out| {
        module(message, before, "module_unsigned", out)
    }),
    (": module license '", |message, before, _, out| {
        module(message, before, "module_proprietary", out)
    }),
    (": Disk failure on ", |message, _, after, out| {
        out.event("host", "raid_disk_failed");
        out.outcome(false);
        out.some(names::SYSTEM_DISKIO_NAME, word(after));
        out.text(names::EVENT_REASON, message);
        Some(())
    }),
    (" is installing a program with bpf_probe_write_user helper", |message, before, _, out| {
        let (name, pid) = before.strip_suffix(']')?.rsplit_once('[')?;
        out.event("process", "bpf_write_user");
        process(name, pid, out);
        out.text(names::EVENT_REASON, message);
        Some(())
    }),
    (" is using my IP address ", |message, before, after, out| {
        let (address, rest) = after.split_once(" on ")?;
        out.event("network", "address_conflict");
        out.address(names::SOURCE_IP, scan::address(address)?);
        out.some(names::SOURCE_MAC, before.rsplit_once(' ').map_or(before, |(_, mac)| mac));
        out.some(names::HENGWEI_INTERFACE_NAME, rest.trim_end_matches('!'));
        out.text(names::EVENT_REASON, message);
        Some(())
    }),
];

/// The process a message is about; the header names the kernel in its place.
fn process(name: &str, pid: &str, out: &mut Out) {
    if !name.is_empty() {
        out.rename(names::PROCESS_NAME, names::LOG_SYSLOG_APPNAME);
        out.text(names::PROCESS_NAME, name);
    }
    if !pid.is_empty() {
        out.digits(names::PROCESS_PID, pid);
    }
}

fn word(text: &str) -> &str {
    text.split([' ', ',', '.', ':']).next().unwrap_or(text)
}

/// `PID (NAME) total-vm:…kB, anon-rss:…kB, … UID:N …`; a name may hold brackets of its own.
fn killed(rest: &str, out: &mut Out) -> Option<()> {
    let (pid, rest) = rest.split_once([' ', ','])?;
    pid.parse::<u32>().ok()?;
    let (name, rest) = match rest.trim_start().strip_prefix('(') {
        Some(rest) => rest
            .split_once(") total-vm:")
            .or_else(|| rest.split_once(") score "))
            .or_else(|| rest.rsplit_once(')'))?,
        None => ("", rest),
    };
    out.event("process", "oom_killed");
    out.outcome(false);
    process(name, pid, out);
    if let Some((_, uid)) = rest.rsplit_once(" UID:").or_else(|| rest.split_once(" UID ")) {
        out.digits(names::USER_ID, word(uid));
    }
    if let Some((_, size)) = rest.split_once("anon-rss:")
        && let Some((kilobytes, _)) = size.split_once("kB")
        && let Some(bytes) = kilobytes.parse::<i64>().ok().and_then(|size| size.checked_mul(1024))
    {
        out.integer(names::PROCESS_MEMORY_RSS_BYTES, bytes);
    }
    Some(())
}

/// `NAME[PID] general protection fault ip:… in FILE[…]`, `NAME[PID] trap invalid opcode ip:…`.
fn trap(rest: &str, out: &mut Out) -> Option<()> {
    let (head, _) = rest.rsplit_once(" ip:")?;
    let (who, what) = head.rsplit_once("] ")?;
    let (name, pid) = who.rsplit_once('[')?;
    crashed(rest, name, pid, what, out)
}

fn crashed(message: &str, name: &str, pid: &str, what: &str, out: &mut Out) -> Option<()> {
    pid.parse::<u32>().ok()?;
    out.event("process", "crashed_program");
    out.outcome(false);
    process(name, pid, out);
    out.owned(names::ERROR_TYPE, what);
    // The file whose code it was stands last, with its address in brackets.
    if let Some((_, file)) = message.rsplit_once(" in ")
        && let Some((file, _)) = file.split_once('[')
    {
        out.some(names::FILE_NAME, file);
    }
    out.text(names::EVENT_REASON, message);
    Some(())
}

/// Older kernels: `eth0 entered promiscuous mode`, behind `device `.
fn promiscuous_device(rest: &str, out: &mut Out) -> Option<()> {
    let (name, what) = rest.split_once(' ')?;
    match what {
        "entered promiscuous mode" => promiscuous(name, true, out),
        "left promiscuous mode" => promiscuous(name, false, out),
        _ => None,
    }
}

/// Newer ones have driver and address in front of the name.
fn promiscuous(name: &str, entered: bool, out: &mut Out) -> Option<()> {
    let action = if entered { "promiscuous_mode_entered" } else { "promiscuous_mode_left" };
    out.event("network", action);
    out.some(names::HENGWEI_INTERFACE_NAME, name.rsplit_once(' ').map_or(name, |(_, name)| name));
    Some(())
}

/// `1-1.2: WHAT`. What a device calls itself is its own word.
fn usb(rest: &str, out: &mut Out) -> Option<()> {
    let (port, what) = rest.split_once(": ")?;
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if port.is_empty() || !port.bytes().all(plain) {
        return None;
    }
    let told: &[(&str, crate::event::FieldId)] = &[
        ("Product: ", names::DEVICE_MODEL_NAME),
        ("Manufacturer: ", names::DEVICE_MANUFACTURER),
        ("SerialNumber: ", names::DEVICE_SERIAL_NUMBER),
    ];
    if let Some((value, id)) =
        told.iter().find_map(|(start, id)| Some((what.strip_prefix(start)?, *id)))
    {
        out.event("host", "usb_device_described");
        out.some(id, value.trim());
    } else if let Some(ids) = what.strip_prefix("New USB device found, idVendor=") {
        let (vendor, product) = ids.split_once(", idProduct=")?;
        out.event("host", "usb_device_found");
        out.owned(names::DEVICE_MODEL_IDENTIFIER, &format!("{}:{}", word(vendor), word(product)));
    } else if what.starts_with("new ") && what.contains(" USB device number ") {
        out.event("host", "usb_device_connected");
        out.text(names::EVENT_REASON, what);
    } else if what.starts_with("USB disconnect") {
        out.event("host", "usb_device_disconnected");
    } else {
        return None;
    }
    out.text(names::HENGWEI_USB_PORT, port);
    Some(())
}

fn usb_storage(rest: &str, out: &mut Out) -> Option<()> {
    let (port, what) = rest.split_once(": ")?;
    if !what.starts_with("USB Mass Storage device detected") {
        return None;
    }
    out.event("host", "usb_storage_connected");
    out.text(names::HENGWEI_USB_PORT, port);
    Some(())
}

/// `DEVICE): WHAT`, an error whatever it says.
fn filesystem_error(rest: &str, out: &mut Out) -> Option<()> {
    let (device, what) = rest.split_once("): ").or_else(|| rest.split_once(") "))?;
    out.event("host", "filesystem_error");
    out.outcome(false);
    out.text(names::SYSTEM_FILESYSTEM_DEVICE_NAME, device);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// `DEVICE): WHAT`.
fn filesystem(rest: &str, out: &mut Out) -> Option<()> {
    const WRONG: &[&str] =
        &["error", "Error", "orruption", "orrupt", "shutting down", "Shutting down", "failed"];
    let (device, what) = rest.split_once("): ")?;
    if WRONG.iter().any(|word| what.contains(word)) {
        return filesystem_error(rest, out);
    }
    let what_bytes = what.as_bytes();
    let begins = |word: &str| {
        what_bytes
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let action = match () {
        () if begins("remounting filesystem read-only") => "filesystem_read_only",
        () if begins("mounted") || begins("mounting") || begins("re-mounted") => {
            "filesystem_mounted"
        }
        () if begins("unmounting") => "filesystem_unmounted",
        () => "filesystem_message",
    };
    out.event("host", action);
    if action == "filesystem_read_only" {
        out.outcome(false);
    }
    out.text(names::SYSTEM_FILESYSTEM_DEVICE_NAME, device);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// `NAME:PID blocked for more than N seconds.`; a name may hold colons.
fn hung(rest: &str, out: &mut Out) -> Option<()> {
    let (who, what) = rest.rsplit_once(" blocked for more than ")?;
    let (name, pid) = who.rsplit_once(':')?;
    pid.parse::<u32>().ok()?;
    out.event("process", "hung_task");
    out.outcome(false);
    process(name, pid, out);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// `TO from FROM, on dev NAME`.
fn martian(rest: &str, out: &mut Out) -> Option<()> {
    let (to, rest) = rest.split_once(" from ")?;
    let (from, device) = rest.split_once(", on dev ")?;
    out.event("network", "martian_source");
    out.address(names::SOURCE_IP, scan::address(from)?);
    out.address(names::DESTINATION_IP, scan::address(to)?);
    out.some(names::HENGWEI_INTERFACE_NAME, device);
    Some(())
}

/// `Possible SYN flooding on port N. …`, since 6.6 with the address.
fn syn_flood(rest: &str, out: &mut Out) -> Option<()> {
    let rest = rest.strip_prefix("Possible SYN").or_else(|| rest.strip_prefix("possible SYN"))?;
    let (port, what) = rest.strip_prefix(" flooding on port ")?.split_once(". ")?;
    out.event("network", "syn_flood");
    let port = match scan::endpoint(port) {
        Some((address, port)) => {
            out.address(names::DESTINATION_IP, address);
            port
        }
        None => port.parse().ok()?,
    };
    out.integer(names::DESTINATION_PORT, port.into());
    out.text(names::EVENT_REASON, what);
    Some(())
}

fn booted(rest: &str, out: &mut Out) -> Option<()> {
    let (version, _) = rest.split_once(' ')?;
    out.event("host", "kernel_started");
    out.text(names::HOST_OS_KERNEL, version);
    Some(())
}

/// `NAME: WHAT is restricted; …`.
fn lockdown(rest: &str, out: &mut Out) -> Option<()> {
    let (name, what) = rest.split_once(": ")?;
    out.event("host", "lockdown_refused");
    out.outcome(false);
    process(name, "", out);
    out.text(names::EVENT_REASON, what);
    Some(())
}

/// `"TARGET"[PID] was attempted by "WHO"[PID]`.
fn ptrace(rest: &str, out: &mut Out) -> Option<()> {
    let (_, who) = rest.rsplit_once(" was attempted by \"")?;
    let (name, pid) = who.strip_suffix(']')?.rsplit_once("\"[")?;
    out.event("process", "ptrace_refused");
    out.outcome(false);
    out.some(names::PROCESS_COMMAND_LINE, name);
    out.digits(names::PROCESS_PID, pid);
    out.text(names::EVENT_REASON, rest);
    Some(())
}

fn ready(rest: &str, out: &mut Out) -> Option<()> {
    let (name, _) = rest.split_once(": link becomes ready")?;
    link(rest, name, true, out)
}

/// The interface's name is the last word, but for what kind of link it is.
fn link(message: &str, before: &str, up: bool, out: &mut Out) -> Option<()> {
    let before = before.strip_suffix(" NIC").or_else(|| before.strip_suffix(" NIC Copper"));
    let before = before.unwrap_or(message.split(": ").next().unwrap_or(message));
    let name = before.trim_end_matches(':').rsplit(' ').next()?;
    out.event("network", if up { "link_up" } else { "link_down" });
    out.some(names::HENGWEI_INTERFACE_NAME, name);
    out.text(names::EVENT_REASON, message);
    Some(())
}

/// `bond0: (slave eth1)`, before that `bond0`.
fn bonded(message: &str, before: &str, out: &mut Out) -> Option<()> {
    let (_, slave) = before.rsplit_once("(slave ").unwrap_or(("", before));
    out.event("network", "link_down");
    out.some(names::HENGWEI_INTERFACE_NAME, slave.trim_end_matches(')'));
    out.text(names::EVENT_REASON, message);
    Some(())
}

fn disk(message: &str, device: &str, out: &mut Out) -> Option<()> {
    out.event("host", "disk_error");
    out.outcome(false);
    out.some(names::SYSTEM_DISKIO_NAME, word(device));
    out.text(names::EVENT_REASON, message);
    Some(())
}

fn module(message: &str, name: &str, action: &'static str, out: &mut Out) -> Option<()> {
    // A name has no blank: what says this with one is another message.
    if name.is_empty() || name.contains(' ') {
        return None;
    }
    out.event("host", action);
    out.text(names::FILE_NAME, name);
    out.text(names::EVENT_REASON, message);
    Some(())
}

//! What passes by: packets the kernel dropped and other troubles of its own, sessions the core
//! firewall let through or did not.

use super::Stage;
use super::stamp::Stamp;
use super::world::{FIREWALL, HOSTS};

pub(super) const KERNEL: &str = "/var/log/kern.log";
pub(super) const TRAFFIC: &str = "/var/log/firewall/traffic.log";

impl Stage {
    /// The kernel speaks seldom, and rarely twice alike.
    pub(super) fn kernel(&mut self) {
        let host = self.any_host();
        let uptime =
            format!("{}.{:06}", self.now / 1_000_000_000 % 9_000_000, self.dice.roll(1_000_000));
        let number = self.dice.roll(1 << 24);
        let said = match self.dice.zipf(14) {
            0 => format!(
                "[UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:{:02x}:1f:aa:00:1e:{:02x}:{:02x}:07:3c:08:00 SRC={} DST={} LEN={} TOS=0x00 PREC=0x00 TTL={} ID={} PROTO=TCP SPT={} DPT={} WINDOW={} RES=0x00 SYN URGP=0",
                host,
                number & 0xff,
                number >> 8 & 0xff,
                self.dice.stranger(),
                HOSTS[host].1,
                40 + number % 20,
                30 + number % 90,
                number % 65_536,
                self.dice.port(),
                self.dice.usual(&[22, 3389, 445, 23, 8080, 1433, 6379, 5432, 104, 2575]),
                1024 << (number % 6)
            ),
            1 => format!(
                "audit: type=1400 audit({}.{:03}:{}): apparmor=\"DENIED\" operation=\"open\" class=\"file\" profile=\"/usr/sbin/{}\" name=\"/proc/{}/status\" pid={} comm=\"{}\" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0",
                self.now / 1_000_000_000,
                number % 1000,
                number % 90_000,
                self.dice.pick(&["named", "ntpd", "mysqld"]),
                number % 30_000,
                number % 29_000,
                self.dice.pick(&["isc-worker", "ntpd", "connection"])
            ),
            2 => format!(
                "TCP: request_sock_TCP: Possible SYN flooding on port {}. Sending cookies.  Check SNMP counters.",
                self.dice.usual(&[443, 80, 8080, 5432])
            ),
            3 => format!(
                "eth{}: Link is {} - {}Gbps/Full - flow control {}",
                number % 3,
                self.dice.pick(&["Up", "Down"]),
                1 + number % 2 * 9,
                self.dice.pick(&["off", "rx/tx"])
            ),
            4 => format!("nfs: server 10.20.6.{} not responding, still trying", number % 9),
            5 => format!("nfs: server 10.20.6.{} OK", number % 9),
            6 => format!(
                "EXT4-fs (dm-{}): mounted filesystem {} r/w with ordered data mode. Quota mode: none.",
                number % 12,
                self.dice.uuid()
            ),
            7 => format!(
                "java[{}]: segfault at {:x} ip 00007f{:010x} sp 00007f{:010x} error 4 in libjvm.so[7f{:08x}000+d4f000] likely on CPU {} (core {}, socket 0)",
                number % 60_000,
                number * 8,
                number * 977,
                number * 3331,
                number & 0xffff_ffff,
                number % 32,
                number % 16
            ),
            8 => format!(
                "Out of memory: Killed process {} (java) total-vm:{}kB, anon-rss:{}kB, file-rss:0kB, shmem-rss:0kB, UID:998 pgtables:{}kB oom_score_adj:0",
                number % 60_000,
                number * 3,
                number,
                number % 40_000
            ),
            9 => format!(
                "perf: interrupt took too long ({} > {}), lowering kernel.perf_event_max_sample_rate to {}",
                2_500 + number % 900,
                2_490 + number % 800,
                250 * (number % 300)
            ),
            10 => format!(
                "sd {}:0:{}:0: [sd{}] tag#{} FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK cmd_age={}s",
                number % 8,
                number % 4,
                (b'a' + (number % 12) as u8) as char,
                number % 64,
                number % 31
            ),
            11 => format!(
                "mce: [Hardware Error]: Machine check events logged, bank {} status {:#018x} addr {:#x}",
                number % 20,
                self.dice.bits(),
                number << 12
            ),
            12 => format!(
                "usb {}-{}: new high-speed USB device number {} using xhci_hcd",
                number % 4,
                number % 9,
                number % 120
            ),
            _ => format!(
                "INFO: task {}:{} blocked for more than {} seconds.",
                self.dice.word(),
                number % 40_000,
                120 + number % 5 * 120
            ),
        };
        self.program(0, host, KERNEL, &format!("kernel: [{uptime}] {said}"));
    }

    /// Sessions through the core firewall.
    pub(super) fn firewall(&mut self) {
        for step in 0..=self.dice.zipf(6) {
            let time = self.at(i64::try_from(step * 3).unwrap_or(0));
            let stamp = Stamp::of(time);
            let outward = self.dice.chance(1, 3);
            let source = if outward { self.dice.station() } else { self.dice.stranger() };
            let (to, zones) = if outward {
                (self.dice.stranger(), "trust untrust")
            } else {
                (HOSTS[self.dice.index(HOSTS.len())].1.to_owned(), "untrust dmz")
            };
            let (from_zone, to_zone) = zones.split_once(' ').unwrap_or_default();
            let port = self.dice.usual(&[
                443, 53, 80, 22, 3389, 445, 123, 8443, 2575, 104, 11112, 6379, 5060, 23, 1433, 161,
                25, 5432,
            ]);
            let (sent, got, took) =
                (self.dice.tailed(700), self.dice.tailed(2_000), self.dice.zipf(4_000));
            let session = self.count(FIREWALL) * 16 + self.dice.roll(16);
            let from_port = self.dice.port();
            let said = match self.dice.zipf(7) {
                0 | 1 => format!(
                    "%%01SESSION/6/TEARDOWN(l): vsys=public, proto={}, src={source}:{from_port}, dst={to}:{port}, szone={from_zone}, dzone={to_zone}, policy=p{}, sid={session}, sbytes={sent}, rbytes={got}, spkt={}, rpkt={}, secs={took}, reason={}",
                    self.dice.usual(&[6, 17]),
                    self.dice.zipf(60),
                    1 + sent / 300,
                    1 + got / 900,
                    self.dice.usual(&["fin", "aged-out", "rst", "policy"])
                ),
                2 | 3 => format!(
                    "%%01SESSION/6/CREATED(l): vsys=public, proto=6, src={source}:{from_port}, dst={to}:{port}, nat={}:{}, szone={from_zone}, dzone={to_zone}, policy=p{}, sid={session}",
                    HOSTS[FIREWALL].1,
                    self.dice.port(),
                    self.dice.zipf(60)
                ),
                4 | 5 => format!(
                    "%%01POLICY/5/DENIED(l): vsys=public, proto=6, src={source}:{from_port}, dst={to}:{port}, szone={from_zone}, dzone={to_zone}, policy=default, flags=S, ttl={}",
                    30 + took % 90
                ),
                _ => format!(
                    "%%01IPS/4/DETECT(l): sig={}, name=\"{}\", severity={}, src={source}:{from_port}, dst={to}:{port}, action={}, count={}",
                    20_000 + self.dice.zipf(4_000),
                    self.dice.pick(&[
                        "HTTP Directory Traversal",
                        "SSH Brute Force Login",
                        "Log4j Remote Code Execution Attempt",
                        "SMB Scan",
                        "DNS Tunnel Suspected",
                        "ThinkPHP Remote Code Execution",
                        "Struts2 OGNL Expression"
                    ]),
                    self.dice.pick(&["low", "medium", "high"]),
                    self.dice.pick(&["alert", "block"]),
                    1 + self.dice.zipf(40)
                ),
            };
            let priority = self.dice.pick(&[134, 134, 134, 132, 133]);
            self.line(
                time,
                FIREWALL,
                TRAFFIC,
                format!("<{priority}>{} {} {said}", stamp.syslog(), HOSTS[FIREWALL].0),
            );
        }
    }
}

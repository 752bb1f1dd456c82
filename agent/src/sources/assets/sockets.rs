//! Listening sockets with the process that holds them, from `/proc/net` and `/proc/*/fd`.
//!
//! Finding the process means reading the open files of every process, so it is done only when a
//! socket appears that was not seen before: [`Holders`] remembers the rest by inode, which the
//! kernel does not give again while the socket lives.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;

use super::item::{Class, Item};
use super::read;

/// Listening sockets looked at on one host.
const MAX_SOCKETS: usize = 4096;
/// What is read of one table: 400,000 connections.
const MAX_TABLE: u64 = 64 << 20;
/// Open files looked at in one walk over all processes.
const MAX_LINKS: usize = 200_000;
/// Looks after which a socket without a process is searched again.
const RETRY_LOOKS: u32 = 10;
/// The range the kernel takes ports from when it does not say (`Documentation/networking/ip-sysctl`).
const DEFAULT_RANGE: (u16, u16) = (32768, 60999);

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
    executable: String,
}

/// Who holds which socket, as of the last look.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    by_inode: HashMap<u64, Option<Holder>>,
    looks: u32,
}

/// One line of `/proc/net/*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listening {
    transport: &'static str,
    address: SocketAddr,
    inode: u64,
}

/// Every listening socket.
pub(crate) fn list(root: &Path, holders: &mut Holders) -> anyhow::Result<Vec<Item>> {
    let mut sockets = Vec::new();
    let mut read_any = false;
    for (name, transport) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        // A kernel without IPv6 has no files for it.
        match read::open(&root.join("proc/net").join(name)) {
            Ok(file) => {
                read_any = true;
                // A busy server has a hundred thousand connections here: line by line.
                let table = BufReader::new(file.take(MAX_TABLE));
                sockets
                    .extend(parse(table, transport).with_context(|| format!("/proc/net/{name}"))?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("/proc/net/{name}")));
            }
        }
    }
    anyhow::ensure!(read_any, "/proc/net has no table of sockets");
    // Sockets that share a port (SO_REUSEPORT) are one item.
    sockets.sort_by_key(|socket| (socket.transport, socket.address, socket.inode));
    sockets.dedup_by_key(|socket| (socket.transport, socket.address));
    sockets.truncate(MAX_SOCKETS);
    holders.look(root, &sockets);
    let range = ephemeral_range(root);
    let fixed = fixed_services(root);
    Ok(sockets.iter().map(|socket| holders.item(socket, range, &fixed)).collect())
}

impl Holders {
    fn look(&mut self, root: &Path, sockets: &[Listening]) {
        self.looks = self.looks.wrapping_add(1);
        let retry = self.looks.is_multiple_of(RETRY_LOOKS);
        let now: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
        self.by_inode.retain(|inode, holder| now.contains(inode) && !(retry && holder.is_none()));
        let mut wanted: HashSet<u64> =
            now.into_iter().filter(|inode| !self.by_inode.contains_key(inode)).collect();
        if wanted.is_empty() {
            return;
        }
        for (inode, holder) in walk(root, &mut wanted) {
            self.by_inode.insert(inode, Some(holder));
        }
        self.by_inode.extend(wanted.into_iter().map(|inode| (inode, None)));
    }

    fn item(&self, socket: &Listening, range: (u16, u16), fixed: &HashSet<(u16, String)>) -> Item {
        let (ip, port) = (socket.address.ip(), socket.address.port());
        let ephemeral = (range.0..=range.1).contains(&port)
            && !fixed.contains(&(port, socket.transport.to_owned()));
        let item = Item::new(Class::Socket, &format!("{}:{}", socket.transport, socket.address))
            .text("network.transport", socket.transport)
            .text("server.ip", &ip.to_string())
            .number("server.port", u64::from(port))
            .text("hengwei.socket.scope", scope(ip))
            .flag("hengwei.socket.ephemeral", ephemeral);
        match self.by_inode.get(&socket.inode).and_then(Option::as_ref) {
            None => item,
            Some(holder) => item
                .text("process.name", &holder.name)
                .text("process.executable", &holder.executable)
                .number("process.pid", u64::from(holder.pid)),
        }
    }
}

fn scope(ip: IpAddr) -> &'static str {
    match ip.to_canonical() {
        ip if ip.is_loopback() => "loopback",
        ip if ip.is_unspecified() => "any",
        _ => "address",
    }
}

/// Listening TCP (state 0A) and unconnected UDP (07) sockets of one table.
fn parse(table: impl BufRead, transport: &'static str) -> std::io::Result<Vec<Listening>> {
    let wanted = if transport == "tcp" { "0A" } else { "07" };
    let mut sockets = Vec::new();
    for line in table.split(b'\n').skip(1) {
        let line = line?;
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(state)) = (words.nth(1), words.nth(1)) else { continue };
        if state != wanted || sockets.len() >= MAX_SOCKETS {
            continue;
        }
        let inode = words.nth(5).and_then(|inode| inode.parse().ok());
        if let (Some(address), Some(inode)) = (parse_address(address), inode) {
            sockets.push(Listening { transport, address, inode });
        }
    }
    Ok(sockets)
}

/// `0100007F:0016`: the address as the words of memory it is to the kernel, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let hex = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(hex, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Finds the processes of `wanted` sockets, and takes those found out of it.
fn walk(root: &Path, wanted: &mut HashSet<u64>) -> Vec<(u64, Holder)> {
    let mut found = Vec::new();
    let mut links = 0;
    let processes = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let at = process.path();
        // A process that ended meanwhile, or that we may not look into, has nothing to say.
        for link in std::fs::read_dir(at.join("fd")).into_iter().flatten().flatten() {
            links += 1;
            if links > MAX_LINKS {
                return found;
            }
            let Some(inode) = std::fs::read_link(link.path())
                .ok()
                .and_then(|target| target.to_str().and_then(socket_inode))
            else {
                continue;
            };
            if wanted.remove(&inode) {
                found.push((inode, holder(&at, pid)));
            }
        }
        if wanted.is_empty() {
            break;
        }
    }
    found
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder(at: &Path, pid: u32) -> Holder {
    let executable = std::fs::read_link(at.join("exe")).unwrap_or_default();
    let executable = executable.to_string_lossy();
    Holder {
        pid,
        name: read::line(&at.join("comm")).unwrap_or_default(),
        // An upgraded package leaves the running program without a name on disk: still the same.
        executable: executable.strip_suffix(" (deleted)").unwrap_or(&executable).to_owned(),
    }
}

fn ephemeral_range(root: &Path) -> (u16, u16) {
    let range = read::line(&root.join("proc/sys/net/ipv4/ip_local_port_range")).and_then(|line| {
        let mut words = line.split_ascii_whitespace().map(str::parse);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    });
    range.unwrap_or(DEFAULT_RANGE)
}

/// Ports with a name in `/etc/services`: a service that listens there was meant to.
fn fixed_services(root: &Path) -> HashSet<(u16, String)> {
    let text = read::file(&root.join("etc/services")).unwrap_or_default();
    let services = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let (port, transport) = line.split_ascii_whitespace().nth(1)?.split_once('/')?;
        Some((port.parse().ok()?, transport.to_owned()))
    });
    services.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(address: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100\n"
        )
    }

    fn host() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("proc/net")).unwrap();
        std::fs::create_dir_all(root.join("proc/sys/net/ipv4")).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("proc/sys/net/ipv4/ip_local_port_range"), "32768\t60999\n")
            .unwrap();
        std::fs::write(root.join("etc/services"), "ssh 22/tcp # shell\ndist 40000/tcp\n\n")
            .unwrap();
        dir
    }

    fn process(root: &Path, pid: u32, name: &str, inode: u64) {
        let at = root.join(format!("proc/{pid}"));
        std::fs::create_dir_all(at.join("fd")).unwrap();
        std::fs::write(at.join("comm"), format!("{name}\n")).unwrap();
        let _ = symlink(format!("/usr/sbin/{name} (deleted)"), at.join("exe"));
        let _ = symlink(format!("socket:[{inode}]"), at.join("fd/3"));
        let _ = symlink("/dev/null", at.join("fd/0"));
    }

    fn check(items: &[Item], expected: &[(&str, &str, &str, &str)]) {
        let get = |item: &Item, name: &str| item.get(name).unwrap_or_default();
        let found: Vec<_> = items
            .iter()
            .map(|item| {
                (
                    item.key.clone(),
                    get(item, "hengwei.socket.scope"),
                    get(item, "hengwei.socket.ephemeral"),
                    get(item, "process.name"),
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(a, b, c, d)| (a.to_string(), b.to_string(), c.to_string(), d.to_string()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn listening_sockets_know_scope_and_process() {
        let dir = host();
        let root = dir.path();
        let tcp = [
            line("00000000:0016", "0A", 100),
            line("00000000:0016", "0A", 101),
            line("0100007F:1538", "0A", 102),
            line("0A00000A:C000", "0A", 103),
            line("0A00000A:9C40", "0A", 104),
            line("0A00000A:0016", "01", 105),
        ];
        std::fs::write(root.join("proc/net/tcp"), format!("{HEAD}{}", tcp.concat())).unwrap();
        let tcp6 = line("00000000000000000000000001000000:0050", "0A", 106);
        std::fs::write(root.join("proc/net/tcp6"), format!("{HEAD}{tcp6}")).unwrap();
        std::fs::write(
            root.join("proc/net/udp"),
            format!("{HEAD}{}{}", line("00000000:0035", "07", 107), line("00000000:0036", "01", 1)),
        )
        .unwrap();
        process(root, 7, "sshd", 100);
        process(root, 8, "na\u{fffd}me", 107);
        let mut holders = Holders::default();
        let items = list(root, &mut holders).unwrap();
        check(
            &items,
            &[
                ("tcp:0.0.0.0:22", "any", "false", "sshd"),
                ("tcp:10.0.0.10:40000", "address", "false", ""),
                ("tcp:10.0.0.10:49152", "address", "true", ""),
                ("tcp:127.0.0.1:5432", "loopback", "false", ""),
                ("tcp:[::1]:80", "loopback", "false", ""),
                ("udp:0.0.0.0:53", "any", "false", "na\u{fffd}me"),
            ],
        );
        assert_eq!(items[0].get("process.executable").as_deref(), Some("/usr/sbin/sshd"));
        assert_eq!(items[0].get("process.pid").as_deref(), Some("7"));
    }

    #[test]
    fn processes_are_walked_only_for_new_sockets() {
        let dir = host();
        let root = dir.path();
        std::fs::write(
            root.join("proc/net/tcp"),
            format!("{HEAD}{}", line("00000000:0016", "0A", 100)),
        )
        .unwrap();
        process(root, 7, "sshd", 100);
        let mut holders = Holders::default();
        list(root, &mut holders).unwrap();
        std::fs::remove_dir_all(root.join("proc/7")).unwrap();
        let items = list(root, &mut holders).unwrap();
        assert_eq!(items[0].get("process.name").as_deref(), Some("sshd"), "remembered");
        std::fs::write(root.join("proc/net/tcp"), HEAD).unwrap();
        assert_eq!(list(root, &mut holders).unwrap(), []);
        assert!(holders.by_inode.is_empty(), "what closed is forgotten");
    }

    #[test]
    fn hostile_tables_are_bounded_and_skipped() {
        let dir = host();
        let root = dir.path();
        let many: String =
            (0..20_000u64).map(|n| line(&format!("00000000:{:04X}", n), "0A", n)).collect();
        std::fs::write(root.join("proc/net/tcp"), format!("{HEAD}{many}")).unwrap();
        assert_eq!(list(root, &mut Holders::default()).unwrap().len(), MAX_SOCKETS);
        for bad in ["", "x", "00:1", "0000000é:0016", "00000000:zz", "0000000000000000:1"] {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
        std::fs::write(root.join("proc/net/tcp"), b"\xff\xff\n\xff 0 0A\n").unwrap();
        assert_eq!(list(root, &mut Holders::default()).unwrap(), []);
    }

    #[test]
    fn no_table_at_all_is_an_error_and_not_an_empty_host() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(dir.path(), &mut Holders::default()).is_err());
    }
}

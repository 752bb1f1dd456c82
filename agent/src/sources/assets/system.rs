//! The host itself: name, operating system, hardware, interfaces, file systems.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::item::{Class, Item};
use super::{mounts, read};

/// Interfaces looked at on one host, and addresses of one.
const MAX_INTERFACES: usize = 256;
const MAX_ADDRESSES: usize = 64;

/// The host.
pub(crate) fn host(root: &Path) -> Vec<Item> {
    let uptime = read::line(&root.join("proc/uptime"))
        .and_then(|line| line.split('.').next().and_then(|seconds| seconds.parse().ok()));
    let mut item = Item::new(Class::Host, "host")
        .maybe("host.name", name(root).as_deref())
        .text("host.architecture", std::env::consts::ARCH);
    if let Some(uptime) = uptime {
        item = item.number("host.uptime", uptime);
    }
    vec![item]
}

fn name(root: &Path) -> Option<String> {
    read::line(&root.join("proc/sys/kernel/hostname"))
        .or_else(|| read::line(&root.join("etc/hostname")))
}

/// The operating system, from `os-release` and the kernel.
pub(crate) fn os(root: &Path) -> Vec<Item> {
    let text = read::file(&root.join("etc/os-release"))
        .or_else(|_| read::file(&root.join("usr/lib/os-release")))
        .unwrap_or_default();
    let values = os_release(&text);
    let get = |name: &str| values.get(name).map(String::as_str);
    let family = family(get("ID").unwrap_or_default(), get("ID_LIKE").unwrap_or_default());
    let kernel = read::line(&root.join("proc/sys/kernel/osrelease"));
    vec![
        Item::new(Class::Os, "os")
            .maybe("host.os.name", get("PRETTY_NAME").or_else(|| get("NAME")))
            .maybe("host.os.version", get("VERSION_ID"))
            .text("host.os.family", family)
            .maybe("host.os.kernel", kernel.as_deref())
            .text("host.architecture", std::env::consts::ARCH),
    ]
}

fn os_release(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, value)| (name.to_owned(), unquote(value)))
        .collect()
}

/// Takes shell quotes and their backslashes off.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text);
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        plain.push(if next == '\\' { chars.next().unwrap_or('\\') } else { next });
    }
    plain
}

/// The family by which rules tell apart what paths and tools a host has.
fn family<'a>(id: &'a str, like: &str) -> &'a str {
    const FAMILIES: &[(&str, &[&str])] = &[
        ("debian", &["debian", "ubuntu", "deepin", "uos", "kylin"]),
        ("redhat", &["rhel", "fedora", "centos", "openeuler", "anolis", "openanolis", "tencentos"]),
        ("suse", &["suse", "sles", "opensuse"]),
        ("alpine", &["alpine"]),
        ("arch", &["arch"]),
    ];
    // The likeness says more than the name: Kylin comes in both families.
    for word in like.split_ascii_whitespace().chain([id]) {
        if let Some((family, _)) = FAMILIES.iter().find(|(_, ids)| ids.contains(&word)) {
            return family;
        }
    }
    id
}

/// Processor, memory, maker.
pub(crate) fn hardware(root: &Path) -> Vec<Item> {
    let cpuinfo = read::file(&root.join("proc/cpuinfo")).unwrap_or_default();
    let memory = read::file(&root.join("proc/meminfo")).unwrap_or_default();
    let dmi = |name: &str| read::line(&root.join("sys/class/dmi/id").join(name));
    let (model, cores) = processor(&cpuinfo);
    let mut item = Item::new(Class::Hardware, "hardware").maybe("host.cpu.model", model);
    if cores > 0 {
        item = item.number("host.cpu.cores", cores);
    }
    if let Some(total) = memory_total(&memory) {
        item = item.number("host.memory.total", total);
    }
    vec![
        item.maybe("host.vendor", dmi("sys_vendor").as_deref())
            .maybe("host.model", dmi("product_name").as_deref())
            .maybe("host.serial_number", dmi("product_serial").as_deref()),
    ]
}

/// The processor's name and how many there are. Architectures name it differently, some not at all.
fn processor(cpuinfo: &str) -> (Option<&str>, u64) {
    let mut model = None;
    let mut cores = 0;
    for (name, value) in cpuinfo.lines().filter_map(|line| line.split_once(':')) {
        let name = name.trim();
        if name == "processor" {
            cores += 1;
        }
        let names = ["model name", "cpu model", "hardware"];
        if model.is_none() && names.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            model = Some(value.trim());
        }
    }
    (model, cores)
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Interfaces with their addresses. The near ends of containers' networks, which come and go with
/// them, are left out.
pub(crate) fn interfaces(root: &Path) -> anyhow::Result<Vec<Item>> {
    let mut addresses = addresses(root);
    let mut items = Vec::new();
    for entry in std::fs::read_dir(root.join("sys/class/net"))?.flatten().take(MAX_INTERFACES) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // `bonding_masters` is a file in this folder.
        if is_passing(&name) || !entry.path().is_dir() {
            continue;
        }
        let mac = read::line(&entry.path().join("address"));
        let mut item = Item::new(Class::Interface, &name)
            .text("hengwei.interface.name", &name)
            .maybe("host.mac", mac.as_deref().filter(|mac| *mac != "00:00:00:00:00:00"));
        for address in addresses.remove(&name).unwrap_or_default() {
            item = item.text("host.ip", &address.to_string());
        }
        items.push(item);
    }
    Ok(items)
}

/// Whether an interface belongs to a container and goes with it.
pub(crate) fn is_passing(name: &str) -> bool {
    ["veth", "cali", "cni", "lxc", "tunl"].iter().any(|prefix| name.starts_with(prefix))
}

/// Addresses by interface. The kernel shows IPv4 addresses in no file, so the real host is asked by
/// sysinfo; a test's folder has what is in its `if_inet6`.
fn addresses(root: &Path) -> BTreeMap<String, Vec<IpAddr>> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    if root == Path::new("/") {
        if let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() {
            for (name, data) in &networks {
                let ips = data.ip_networks().iter().map(|network| network.addr);
                found.entry(name.to_string_lossy().into_owned()).or_default().extend(ips);
            }
        }
    } else if let Ok(text) = read::file(&root.join("proc/net/if_inet6")) {
        for (name, ip) in text.lines().filter_map(inet6) {
            found.entry(name.to_owned()).or_default().push(ip);
        }
    }
    for ips in found.values_mut() {
        ips.sort_unstable();
        ips.dedup();
        ips.truncate(MAX_ADDRESSES);
    }
    found
}

fn inet6(line: &str) -> Option<(&str, IpAddr)> {
    let mut words = line.split_ascii_whitespace();
    let ip = u128::from_str_radix(words.next()?, 16).ok()?;
    Some((words.nth(4)?, IpAddr::V6(Ipv6Addr::from(ip))))
}

/// File systems that hold data. How full they are is performance.
pub(crate) fn filesystems(root: &Path) -> anyhow::Result<Vec<Item>> {
    let items = mounts::list(root)?.into_iter().map(|mount| {
        let mut item = Item::new(Class::Filesystem, &mount.point)
            .text("system.filesystem.mount_point", &mount.point)
            .text("system.filesystem.device_name", &mount.device)
            .text("system.filesystem.type", &mount.kind);
        if let Some(room) = mounts::room(root, &mount) {
            item = item.number("system.filesystem.total", room.total);
        }
        item
    });
    Ok(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_operating_system_is_named_with_its_family() {
        let check = |text: &str, expected: (&str, &str, &str)| {
            let dir = host_with(&[("etc/os-release", text)]);
            let item = os(dir.path()).remove(0);
            let get = |name| item.get(name).unwrap_or_default();
            let found = (get("host.os.name"), get("host.os.version"), get("host.os.family"));
            assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), expected);
        };
        check(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n",
            ("Debian GNU/Linux 12", "12", "debian"),
        );
        check(
            "NAME='Kylin Linux \"A\" \\$'\nID=kylin\nID_LIKE=\"rhel fedora\"\nVERSION_ID=V10\n",
            ("Kylin Linux \"A\" $", "V10", "redhat"),
        );
        check("ID=plan9\n", ("", "", "plan9"));
        check("\0=\n=\n\"\n", ("", "", ""));
    }

    #[test]
    fn hardware_is_read_where_it_is_told() {
        let dir = host_with(&[
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Kunpeng-920\n\nprocessor\t: 1\n"),
            ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            ("sys/class/dmi/id/sys_vendor", "Inspur\n"),
        ]);
        let item = hardware(dir.path()).remove(0);
        for (name, expected) in [
            ("host.cpu.model", Some("Kunpeng-920")),
            ("host.cpu.cores", Some("2")),
            ("host.memory.total", Some("16777216")),
            ("host.vendor", Some("Inspur")),
            ("host.serial_number", None),
        ] {
            assert_eq!(item.get(name).as_deref(), expected, "{name}");
        }
        assert_eq!(memory_total("MemTotal: 99999999999999999999 kB"), None);
    }

    #[test]
    fn interfaces_have_addresses_and_containers_have_none() {
        let dir = host_with(&[
            ("sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
            ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
            ("sys/class/net/veth12/address", "1:2\n"),
            ("sys/class/net/bonding_masters", ""),
            ("proc/net/if_inet6", "fe80000000000000505400fffe123456 02 40 20 80 eth0\nbad\n"),
        ]);
        let mut items = interfaces(dir.path()).unwrap();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        let keys: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(keys, ["eth0", "lo"]);
        assert_eq!(items[0].get("host.ip").as_deref(), Some("fe80::5054:ff:fe12:3456"));
        assert_eq!(items[1].get("host.mac"), None);
    }

    #[test]
    fn file_systems_have_a_size() {
        let dir = host_with(&[
            ("proc/self/mounts", "/dev/vda / ext4 rw 0 0\n"),
            ("etc/hostname", "his-01\n"),
        ]);
        let item = filesystems(dir.path()).unwrap().remove(0);
        assert_eq!(item.key, "/");
        assert!(item.get("system.filesystem.total").is_some());
        assert_eq!(host(dir.path())[0].get("host.name").as_deref(), Some("his-01"));
    }
}

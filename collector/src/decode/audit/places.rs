//! Where a system call reached: the file among its paths, the peer of its socket.

use std::borrow::Cow;

use super::conclude::SystemCall;
use super::gather::{Gathered, Item};
use super::keys;
use super::sockaddr::{self, Peer};
use crate::decode::out::Out;
use crate::event::names;

/// `AT_FDCWD`: a path is relative to the working directory, as the registers show it.
const HERE: &[&str] = &["ffffff9c", "ffffffffffffff9c"];
/// Components of a path that are put together.
const MAX_COMPONENTS: usize = 512;

/// `file.path`, and for two files where the first went.
pub(super) fn files(event: &Gathered<'_>, call: &SystemCall<'_>, leading: &str, out: &mut Out) {
    let based = based(event, call);
    let mut path = |id, item: &Item<'_>| out.some(id, &place(item, event, based));
    let of = |kind: &str| event.paths.iter().find(|item| item.is(kind) && item.name.given());
    let plain = || event.paths.iter().find(|item| !item.is("PARENT") && item.name.given());
    let main = match call.name {
        // Old name, the file that made room when there was one, new name.
        "rename" | "renameat" | "renameat2" => {
            if let Some(new) = of("CREATE") {
                path(names::FILE_TARGET_PATH, new);
            }
            of("DELETE")
        }
        // The new name is the file of the event; what it leads to was there before.
        "link" | "linkat" => {
            if let Some(old) = of("NORMAL") {
                path(names::FILE_TARGET_PATH, old);
            }
            of("CREATE")
        }
        "symlink" | "symlinkat" => of("CREATE"),
        _ => of("CREATE").or_else(|| of("DELETE")),
    };
    let Some(item) = main.or_else(plain).or(event.paths.first()) else {
        return named(event, leading, out);
    };
    path(names::FILE_PATH, item);
    out.some(names::FILE_MODE, item.mode);
    for (id, number) in [(names::FILE_UID, item.uid), (names::FILE_GID, item.gid)] {
        if !number.is_empty() {
            out.digits(id, number);
        }
    }
}

/// The file that a record without PATH beside it names.
fn named(event: &Gathered<'_>, leading: &str, out: &mut Out) {
    let name = match leading {
        "AVC" => event.get(keys::PATH).or(event.get(keys::NAME)),
        "ANOM_ABEND" | "SECCOMP" => None,
        _ if leading.starts_with("INTEGRITY") => event.get(keys::NAME).or(event.get(keys::FILE)),
        _ => event.get(keys::PATH),
    };
    if let Some(name) = name.map(|name| name.decoded()).filter(|name| name.starts_with('/')) {
        out.text(names::FILE_PATH, &name);
    }
}

/// Whether relative paths of a call begin at the working directory: those of `…at` calls begin at the
/// directory their first register says.
fn based(event: &Gathered<'_>, call: &SystemCall<'_>) -> bool {
    let register = match call.name {
        "symlinkat" => 1,
        "openat2" | "execveat" | "statx" | "faccessat2" => 0,
        "renameat2" | "fchmodat2" | "newfstatat" | "utimensat" => 0,
        name if name.ends_with("at") && !name.ends_with("stat") => 0,
        _ => return true,
    };
    event.registers.get(register).is_none_or(|at| at.is_empty() || HERE.contains(at))
}

/// A path as a whole one where it is known what it is relative to.
fn place<'a>(item: &'a Item<'_>, event: &Gathered<'_>, based: bool) -> Cow<'a, str> {
    let name = item.name.decoded();
    if name.starts_with('/') {
        let clean = !name.contains("/.") && !name.contains("//");
        return if clean { name } else { Cow::Owned(joined("", &name)) };
    }
    match event.get(keys::CWD).filter(|_| based) {
        Some(directory) => Cow::Owned(joined(&directory.decoded(), &name)),
        None => name,
    }
}

/// `/a/b` and `../c` as `/a/c`, by the letters alone: links are not known here.
fn joined(directory: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part if parts.len() < MAX_COMPONENTS => parts.push(part),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// The peer of a socket call, on the side where it is. A SOCKADDR without its call does not say which
/// side that is: its address stays among the raw fields.
pub(super) fn peer(event: &Gathered<'_>, call: &SystemCall<'_>, out: &mut Out) {
    let Some(peer) = event.plain(keys::SADDR).and_then(sockaddr::peer) else { return };
    match peer {
        Peer::Internet(address, port) => {
            out.word(names::NETWORK_TYPE, if address.is_ipv4() { "ipv4" } else { "ipv6" });
            let sides = match call.name {
                "connect" | "sendto" | "sendmsg" | "sendmmsg" => {
                    (names::DESTINATION_IP, names::DESTINATION_PORT)
                }
                "accept" | "accept4" | "recvfrom" | "recvmsg" | "recvmmsg" => {
                    (names::SOURCE_IP, names::SOURCE_PORT)
                }
                "bind" => (names::SERVER_IP, names::SERVER_PORT),
                // auditd may have added them itself.
                _ if event.get(keys::LADDR).is_some() => return,
                _ => return raw(&address.to_string(), port, out),
            };
            out.address(sides.0, address);
            out.integer(sides.1, port.into());
            if sides.0 != names::SERVER_IP {
                out.flag(names::HENGWEI_NETWORK_INITIATED, sides.0 == names::DESTINATION_IP);
            }
        }
        Peer::Local(path) => {
            out.word(names::NETWORK_TYPE, "unix");
            out.some(names::DESTINATION_ADDRESS, &path);
        }
        Peer::Other(family) => out.word(names::NETWORK_TYPE, family),
    }
}

fn raw(address: &str, port: u16, out: &mut Out) {
    for (key, text) in [(keys::LADDR, address), (keys::LPORT, &*port.to_string())] {
        if let Some(field) = key.field() {
            out.owned(field, text);
        }
    }
}

impl Item<'_> {
    fn is(&self, kind: &str) -> bool {
        self.nametype == kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_together() {
        assert_eq!(joined("/home/alice", "notes"), "/home/alice/notes");
        assert_eq!(joined("/home/alice", "../bob/./x"), "/home/bob/x");
        assert_eq!(joined("/", "../../etc/passwd"), "/etc/passwd");
        assert_eq!(joined("", "/tmp//a/../b"), "/tmp/b");
        assert_eq!(joined("/srv", ""), "/srv");
    }
}

//! FTP servers beside vsftpd: ProFTPD, Pure-FTPd and FileZilla Server.
//!
//! ```text
//! 2026-11-22 08:00:00,123 ftp1 proftpd[811] 192.0.2.9 (client[203.0.113.7]): USER li (Login failed): Incorrect password
//! pure-ftpd: (?@203.0.113.7) [WARNING] Authentication failed for user [li]
//! (000004) 2026-11-22 8:00:00 - (not logged in) (203.0.113.7)> 530 Login or password incorrect!
//! ```
//!
//! The client's address stands before everything the client may choose, in brackets of the server's own:
//! it is read from the left. A user's name is read up to the last place where the server's words can
//! follow it. The name a client's address resolves to is the client's to choose and is no address.

use super::out::Out;
use super::{Decoder, Line, Looks, moment, pam, scan, time};
use crate::event::names;

pub(crate) const PROFTPD: Decoder = Decoder {
    name: "proftpd",
    datasets: &["proftpd"],
    programs: &["proftpd"],
    paths: &["proftpd"],
    looks: Looks { first: super::DIGITS, test: |line| proftpd_head(line).is_some() },
    security: true,
    decode: |line, out| proftpd(line, out).is_some(),
};

pub(crate) const PURE_FTPD: Decoder = Decoder {
    name: "pure-ftpd",
    datasets: &["pure-ftpd"],
    programs: &["pure-ftpd", "pure-ftpd-mysql", "pure-ftpd-postgresql", "pure-ftpd-ldap"],
    paths: &["pure-ftpd", "pureftpd"],
    looks: Looks::NEVER,
    security: true,
    decode: |line, out| pure_ftpd(line, out).is_some(),
};

pub(crate) const FILEZILLA: Decoder = Decoder {
    name: "filezilla",
    datasets: &["filezilla"],
    programs: &[],
    paths: &["FileZilla", "filezilla"],
    looks: Looks { first: b"(", test: |line| filezilla_head(line).is_some() },
    security: true,
    decode: |line, out| filezilla(line.message, out).is_some(),
};

fn login(success: bool, user: &str, out: &mut Out) {
    out.event("authentication", "ftp_login");
    out.outcome(success);
    out.some(names::USER_NAME, user);
}

/// `STAMP HOST proftpd[PID] SERVER (NAME[ADDRESS]): TEXT`: its own file; what stands behind the pid.
fn proftpd_head(line: &str) -> Option<(time::Stamp, &str, &str)> {
    let (stamp, len) = time::iso(line.as_bytes())?;
    let rest = line.get(len..)?.strip_prefix(' ')?;
    let (_host, rest) = rest.split_once(' ')?;
    let (pid, rest) = rest.strip_prefix("proftpd[")?.split_once(']')?;
    Some((stamp, pid, rest.trim_start_matches([':', ' '])))
}

fn proftpd(line: &Line<'_>, out: &mut Out) -> Option<()> {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out).then_some(());
    }
    let mut text = line.message;
    if let Some((stamp, pid, rest)) = proftpd_head(text) {
        out.stamp(&stamp);
        out.digits(names::PROCESS_PID, pid);
        text = rest;
    }
    // `SERVER (NAME[ADDRESS]): ` or ` - ` in syslog; without a client it is the server's own.
    let (server, rest) = text.split_once(' ')?;
    let client = rest.strip_prefix('(').and_then(|rest| {
        let (client, rest) = rest.split_once(')')?;
        let (_, address) = client.strip_suffix(']')?.rsplit_once('[')?;
        Some((scan::address(address)?, rest))
    });
    let Some((address, said)) = client else {
        let said = rest.strip_prefix("- ").or_else(|| rest.strip_prefix(": "))?;
        let plain = !server.contains(['[', '"', '=']);
        out.event("network", "ftp_message");
        out.text(names::EVENT_REASON, said);
        return plain.then_some(());
    };
    let said = said.strip_prefix(':').unwrap_or(said).trim_start();
    let said = said.strip_prefix("- ").unwrap_or(said);
    out.address(names::SOURCE_IP, address);
    proftpd_said(said, out);
    Some(())
}

fn proftpd_said(said: &str, out: &mut Out) {
    if let Some(rest) = said.strip_prefix("USER ") {
        // The words of the server that may follow a name, the certain before the short.
        let ends = [
            (" (Login failed): ", Some(false)),
            (": Login successful.", Some(true)),
            (": no such user found from ", Some(false)),
            (" (Login failed)", Some(false)),
            (": Limit access denies login", Some(false)),
        ];
        for (end, success) in ends {
            let Some((user, reason)) = rest.rsplit_once(end) else { continue };
            login(success == Some(true), user.strip_suffix(':').unwrap_or(user), out);
            if end.starts_with(": no such") {
                // Behind it stand the ends of the connection.
                out.word(names::EVENT_REASON, "no such user");
                out.flag(names::HENGWEI_AUTH_INVALID_USER, true);
            } else if success != Some(true) {
                out.some(names::EVENT_REASON, reason.trim_end_matches('.'));
            }
            return;
        }
    }
    if let Some(rest) = said.strip_prefix("ANONYMOUS ") {
        login(rest.contains("Login successful"), "anonymous", out);
        return;
    }
    let action = match () {
        () if said.starts_with("SECURITY VIOLATION") => {
            out.event("authentication", "ftp_login");
            out.outcome(false);
            if said.contains(": Root login attempted") {
                out.word(names::USER_NAME, "root");
            }
            return;
        }
        () if said.starts_with("Maximum login attempts") => "ftp_attempts_exceeded",
        () if said.ends_with(" session opened.") => "ftp_connect",
        () if said.ends_with(" session closed.") => "ftp_disconnect",
        () => "ftp_message",
    };
    out.event("network", action);
    if action == "ftp_attempts_exceeded" {
        out.outcome(false);
    }
    out.some(names::EVENT_REASON, said);
}

/// `(USER@HOST) [LEVEL] TEXT`; the user is `?` before a login.
fn pure_ftpd(line: &Line<'_>, out: &mut Out) -> Option<()> {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out).then_some(());
    }
    let rest = line.message.strip_prefix('(')?;
    let (peer, rest) = rest.split_once(") [")?;
    let (level, said) = rest.split_once("] ")?;
    let level = match level {
        "INFO" => "info",
        "NOTICE" => "notice",
        "WARNING" => "warning",
        "ERROR" => "error",
        "DEBUG" => "debug",
        _ => return None,
    };
    let (user, host) = peer.rsplit_once('@')?;
    out.word(names::LOG_LEVEL, level);
    match scan::address(host) {
        Some(address) => out.address(names::SOURCE_IP, address),
        None => out.some(names::SOURCE_DOMAIN, host),
    }
    let user = if user == "?" { "" } else { user };
    if let Some(rest) = said.strip_prefix("Authentication failed for user [") {
        login(false, rest.strip_suffix(']').unwrap_or(rest), out);
        return Some(());
    }
    if let Some(name) = said.strip_suffix(" is now logged in") {
        login(true, name, out);
        return Some(());
    }
    // `/home/li//a.txt uploaded  (12 bytes, 1.00KB/sec)`.
    let done = [(" uploaded ", "file_uploaded"), (" downloaded ", "file_downloaded")];
    for (word, action) in done {
        if let Some((path, _)) = said.rsplit_once(word) {
            out.event("file", action);
            out.outcome(true);
            out.some(names::USER_NAME, user);
            out.text(names::FILE_PATH, path);
            return Some(());
        }
    }
    if let Some(path) = said.strip_prefix("Deleted ") {
        out.event("file", "file_deleted");
        out.outcome(true);
        out.some(names::USER_NAME, user);
        out.text(names::FILE_PATH, path);
        return Some(());
    }
    let action = match () {
        () if said.starts_with("New connection from ") => "ftp_connect",
        () if said.starts_with("Logout") || said.starts_with("Timeout") => "ftp_disconnect",
        () if said.starts_with("Too many authentication failures") => "ftp_attempts_exceeded",
        () => "ftp_message",
    };
    out.event("network", action);
    out.some(names::USER_NAME, user);
    out.text(names::EVENT_REASON, said);
    Some(())
}

struct Session<'a> {
    stamp: Option<time::Stamp>,
    user: &'a str,
    address: &'a str,
    said: &'a str,
}

/// `(000004) 2026-11-22 8:00:00 - USER (ADDRESS)> TEXT`.
fn filezilla_head(line: &str) -> Option<Session<'_>> {
    let (number, rest) = line.strip_prefix('(')?.split_once(')')?;
    if number.len() != 6 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (stamp, rest) = moment::read(rest.trim_start())?;
    let rest = rest.strip_prefix(" - ")?;
    let (peer, said) = rest.split_once(")> ")?;
    let (user, address) = peer.rsplit_once(" (")?;
    Some(Session { stamp, user, address, said })
}

fn filezilla(line: &str, out: &mut Out) -> Option<()> {
    let session = filezilla_head(line)?;
    if let Some(stamp) = &session.stamp {
        out.stamp(stamp);
    }
    if let Some(address) = scan::address(session.address) {
        out.address(names::SOURCE_IP, address);
    }
    let user = if session.user == "(not logged in)" { "" } else { session.user };
    let said = session.said;
    match said.split(' ').next()? {
        "230" => login(true, user, out),
        "530" => login(false, user, out),
        word @ ("USER" | "PASS" | "RETR" | "STOR" | "DELE" | "RNFR" | "RNTO" | "MKD" | "RMD"
        | "APPE") => {
            let target = said.get(word.len()..).unwrap_or_default().trim_start();
            out.some(names::USER_NAME, user);
            match word {
                "USER" => {
                    out.event("network", "ftp_command");
                    out.some(names::USER_TARGET_NAME, target);
                }
                "PASS" => out.event("network", "ftp_command"),
                "RETR" => file("file_downloaded", target, out),
                "STOR" | "APPE" => file("file_uploaded", target, out),
                "DELE" => file("file_deleted", target, out),
                "RNFR" | "RNTO" => file("file_renamed", target, out),
                "MKD" => file("directory_created", target, out),
                _ => file("directory_deleted", target, out),
            }
        }
        _ => {
            out.event("network", "ftp_message");
            out.some(names::USER_NAME, user);
            out.text(names::EVENT_REASON, said);
        }
    }
    Some(())
}

fn file(action: &'static str, path: &str, out: &mut Out) {
    out.event("file", action);
    out.some(names::FILE_PATH, path);
}

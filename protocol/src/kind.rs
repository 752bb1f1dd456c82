//! The four kinds of data, which are also the four queues of an agent's spool.

use std::fmt;
use std::str::FromStr;

/// What a record is about; also the queue it travels in and the class it is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// What a host is and has: hardware, packages, accounts, sockets, services.
    Asset = 1,
    /// What a host measures of itself: processor, memory, disks, network.
    Performance = 2,
    /// Lines that programs wrote.
    Log = 3,
    /// Authentication, audit, integrity: what a security officer must not miss.
    Security = 4,
}

impl Kind {
    /// All kinds, the one that is sent first first.
    pub const ALL: [Kind; 4] = [Kind::Security, Kind::Log, Kind::Asset, Kind::Performance];
    /// All kinds, the one that is dropped first first.
    pub const DROP_ORDER: [Kind; 4] = [Kind::Performance, Kind::Log, Kind::Asset, Kind::Security];

    /// The kind's name in configuration, metrics and events (`hengwei.kind`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Asset => "asset",
            Kind::Performance => "performance",
            Kind::Log => "log",
            Kind::Security => "security",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Kind> for u32 {
    fn from(kind: Kind) -> u32 {
        kind as u32
    }
}

impl TryFrom<u32> for Kind {
    type Error = UnknownKind;

    fn try_from(number: u32) -> Result<Kind, UnknownKind> {
        match number {
            1 => Ok(Kind::Asset),
            2 => Ok(Kind::Performance),
            3 => Ok(Kind::Log),
            4 => Ok(Kind::Security),
            _ => Err(UnknownKind(number.to_string())),
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// A number or name that is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of record (asset, performance, log, security)")]
pub struct UnknownKind(String);

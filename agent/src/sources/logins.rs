//! Who logged in, who tried to and failed, and when the host started and stopped.
//!
//! In: `/var/log/wtmp` and `/var/log/btmp`, whose records login, sshd, the display manager and init
//! write as one C struct each. Out: one typed record of kind `security` and dataset `login` for each,
//! dated by the record itself. The files are read by the machinery of log files: it follows rotation
//! and truncation, remembers its place, and a kill neither loses nor doubles a record. A host that keeps
//! neither file (Debian 13 has no wtmp) simply says nothing.
//!
//! The user name of a failed login is whatever somebody typed or sent, and a host name is what the
//! other side's DNS says: both are text of bounded length, control characters in them are replaced, and
//! an address is taken from the binary address field first. Bytes that are no record, such as one that
//! was overwritten with zeros to hide a login, become one record that names the problem; where that
//! happens behind the place, while the agent looks, a gap record tells that the file was changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use hengwei_protocol::Kind;
use hengwei_protocol::record::{integer, text};
use hengwei_protocol::wire::Field;
use serde::Deserialize;

use super::files::pattern::Pattern;
use super::files::{self, Form, Plan};
use super::{Context, From, NewRecord, Source};

const WTMP: &str = "/var/log/wtmp";
const BTMP: &str = "/var/log/btmp";
const DATASET: &str = "login";
/// Where the fields lie in the struct, on every architecture.
const PID: usize = 4;
const LINE: Bytes = Bytes { at: 8, length: 32 };
const USER: Bytes = Bytes { at: 44, length: 32 };
const HOST: Bytes = Bytes { at: 76, length: 256 };
const MICROS: i64 = 1_000_000;

/// `[sources.logins]`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the files are begun that are there at the very first start.
    pub from: From,
}

/// The source.
#[derive(Debug)]
pub struct Logins {
    plan: Arc<Plan>,
}

impl Source for Logins {
    type Config = Config;
    const CAN_WAIT: bool = true;

    fn configure(config: Config) -> anyhow::Result<Option<Logins>> {
        let size = Layout::HERE.size;
        let entry = |path: &str, read| -> anyhow::Result<files::Entry> {
            Ok(files::Entry {
                patterns: vec![Pattern::parse(path)?],
                exclude: Vec::new(),
                kind: Kind::Security,
                dataset: DATASET.to_owned(),
                charset: "utf-8",
                form: Form::Fixed { size, read },
                from_end: config.from == From::End,
            })
        };
        let entries = vec![entry(WTMP, sessions)?, entry(BTMP, failures)?];
        Ok(Some(Logins { plan: Arc::new(Plan { source: "logins", entries }) }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        self.plan.unreadable(root)
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        files::follow(Arc::clone(&self.plan), context).await
    }
}

/// Which of the two files a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    /// Logins, logouts and what the host did: wtmp.
    Sessions,
    /// Logins that failed: btmp.
    Failures,
}

fn sessions(bytes: &[u8], at: u64, created: i64) -> Vec<NewRecord> {
    records(Log::Sessions, &Layout::HERE, bytes, at, created)
}

fn failures(bytes: &[u8], at: u64, created: i64) -> Vec<NewRecord> {
    records(Log::Failures, &Layout::HERE, bytes, at, created)
}

/// What some bytes of a file say; what is no record is told once for all that lies together.
fn records(log: Log, layout: &Layout, bytes: &[u8], at: u64, created: i64) -> Vec<NewRecord> {
    let mut records = Vec::new();
    let mut broken: Option<Broken> = None;
    for (bytes, at) in bytes.chunks(layout.size).zip((at..).step_by(layout.size)) {
        let problem = match Login::read(layout, bytes) {
            Ok(login) => {
                records.extend(broken.take().map(|broken| broken.record(created)));
                records.extend(login.record(log, created));
                continue;
            }
            Err(problem) => problem,
        };
        match &mut broken {
            Some(broken) if broken.problem == problem => broken.count += 1,
            _ => {
                let next = Broken { problem, at, count: 1 };
                records.extend(broken.replace(next).map(|broken| broken.record(created)));
            }
        }
    }
    records.extend(broken.map(|broken| broken.record(created)));
    records
}

/// Records that can't be understood, one behind the other.
struct Broken {
    problem: &'static str,
    at: u64,
    count: usize,
}

impl Broken {
    fn record(self, created: i64) -> NewRecord {
        let Broken { problem, at, count } = self;
        let fields = vec![
            text("event.dataset", DATASET),
            text("event.action", "unreadable"),
            text("hengwei.problem", format!("{problem}: {count} from byte {at} on")),
        ];
        NewRecord::fields(created, fields)
    }
}

/// How the struct is laid out: `ut_session` and `ut_tv` have 32 bits where programs of 32 bits had to
/// read the file too, and 64 elsewhere.
#[derive(Debug)]
struct Layout {
    size: usize,
    seconds: usize,
    address: usize,
    wide: bool,
}

impl Layout {
    const NARROW: Layout = Layout { size: 384, seconds: 340, address: 348, wide: false };
    const WIDE: Layout = Layout { size: 400, seconds: 344, address: 360, wide: true };
    /// That of this architecture's glibc.
    const HERE: Layout = if cfg!(any(target_arch = "aarch64", target_arch = "loongarch64")) {
        Layout::WIDE
    } else {
        Layout::NARROW
    };
}

/// A text field of the struct, ended by NUL unless it is full.
struct Bytes {
    at: usize,
    length: usize,
}

impl Bytes {
    fn read(&self, bytes: &[u8]) -> String {
        let field = bytes.get(self.at..self.at + self.length).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let text = String::from_utf8_lossy(field.get(..end).unwrap_or_default());
        text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// One record of either file.
#[derive(Debug, PartialEq, Eq)]
struct Login {
    kind: i16,
    pid: i32,
    line: String,
    user: String,
    host: String,
    address: Option<IpAddr>,
    /// Unix nanoseconds.
    time: i64,
}

impl Login {
    fn read(layout: &Layout, bytes: &[u8]) -> Result<Login, &'static str> {
        if bytes.len() != layout.size {
            return Err("a torn record");
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Err("a record of zeros, as erasing one leaves it");
        }
        let login = Login::fields(layout, bytes).ok_or("not a login record")?;
        Some(login).filter(|login| (1..=9).contains(&login.kind)).ok_or("not a login record")
    }

    fn fields(layout: &Layout, bytes: &[u8]) -> Option<Login> {
        let (seconds, micros) = if layout.wide {
            let seconds = i64::from_le_bytes(array(bytes, layout.seconds)?);
            (seconds, i64::from_le_bytes(array(bytes, layout.seconds + 8)?))
        } else {
            // Unsigned: the files outlive the year 2038 that way, and none is from before 1970.
            let seconds = u32::from_le_bytes(array(bytes, layout.seconds)?);
            (i64::from(seconds), i64::from(i32::from_le_bytes(array(bytes, layout.seconds + 4)?)))
        };
        let stamp = (0..MICROS).contains(&micros).then(|| seconds.checked_mul(MICROS))??;
        Some(Login {
            kind: i16::from_le_bytes(array(bytes, 0)?),
            pid: i32::from_le_bytes(array(bytes, PID)?),
            line: LINE.read(bytes),
            user: USER.read(bytes),
            host: HOST.read(bytes),
            address: address(array(bytes, layout.address)?),
            time: stamp.checked_add(micros)?.checked_mul(1_000)?,
        })
    }

    /// What happened; None when nothing did, such as a terminal that waits for somebody.
    fn what(&self, log: Log) -> Option<What> {
        let what = |action, category, kind, outcome| Some(What { action, category, kind, outcome });
        if log == Log::Failures {
            return what("failed_login", "authentication", Some("start"), Some("failure"));
        }
        match self.kind {
            1 if self.user == "shutdown" => what("shutdown", "host", Some("end"), None),
            1 => what("runlevel", "host", Some("change"), None),
            2 => what("boot", "host", Some("start"), None),
            3 | 4 => what("clock_changed", "host", Some("change"), None),
            7 => what("login", "authentication", Some("start"), Some("success")),
            8 => what("logout", "authentication", Some("end"), Some("success")),
            _ => None,
        }
    }

    fn record(self, log: Log, created: i64) -> Option<NewRecord> {
        let what = self.what(log)?;
        let mut fields = vec![
            text("event.dataset", DATASET),
            text("event.action", what.action),
            text("event.category", what.category),
        ];
        let mut put = |name: &str, value: Option<&str>| {
            fields.extend(value.filter(|value| !value.is_empty()).map(|value| text(name, value)));
        };
        put("event.type", what.kind);
        put("event.outcome", what.outcome);
        if what.category == "authentication" {
            put("user.name", Some(&self.user));
            put("hengwei.auth.tty", Some(&self.line));
            fields.extend(self.source());
            if self.pid > 0 {
                fields.push(integer("process.pid", i64::from(self.pid)));
            }
        }
        Some(NewRecord { time: self.time, ..NewRecord::fields(created, fields) })
    }

    /// Where somebody came from: the address, and the host when it is a name and no second address.
    fn source(&self) -> Vec<Field> {
        let told: Option<IpAddr> = self.host.parse().ok().map(|told: IpAddr| told.to_canonical());
        let address = self.address.or(told).map(|address| text("source.ip", address.to_string()));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = told.is_none()
            && self.host.chars().all(named)
            && self.host.contains(|c: char| c.is_ascii_alphabetic());
        let host = match (self.host.as_str(), name) {
            ("", _) => None,
            (host, true) => Some(text("source.domain", host)),
            // `:0` of a display, `tmux(4711).%0`: no address, but worth keeping.
            (host, false) => told.is_none().then(|| text("source.address", host)),
        };
        address.into_iter().chain(host).collect()
    }
}

struct What {
    action: &'static str,
    category: &'static str,
    kind: Option<&'static str>,
    outcome: Option<&'static str>,
}

/// The address field: four bytes and zeros are IPv4.
fn address(bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, rest @ ..] = bytes;
    if rest == [0; 12] {
        let address = Ipv4Addr::new(a, b, c, d);
        return (!address.is_unspecified()).then_some(IpAddr::V4(address));
    }
    Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
}

#[cfg(test)]
mod tests;

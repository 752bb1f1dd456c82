//! Firewalls, gateways and gap gateways nobody wrote a decoder for: lines of keys and values.
//!
//! In: any line that gives an address, and enough of what only such appliances give (ports, a protocol,
//! an action, a policy, a user), under any of the spellings of `network/aliases.rs` and in any way to write
//! pairs. Out: see [`super::network`]. A gap gateway's line (网闸) tells of a task that carried a file or rows
//! of a database across; it needs no address.
//!
//! Prose and other programs' lines are left alone: an address must really be one, and words that others use
//! too, such as `user` or `status`, count little.

use super::network::words::{self, Happening};
use super::network::{self, Dialect, Facts, Meaning};
use super::out::Out;
use super::pairs::{Assign, Between, Style};
use super::{ANY, Decoder, Line, Looks, pairs};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "firewall",
    datasets: &["firewall"],
    programs: &[],
    paths: &[],
    looks: Looks { first: ANY, test: looks_like },
    security: false,
    decode,
};

pub(crate) const GAP: Decoder = Decoder {
    name: "gap_gateway",
    datasets: &["gap_gateway"],
    programs: &["gap", "gapd", "netgap", "gap_gateway"],
    paths: &[],
    looks: Looks { first: ANY, test: looks_like_gap },
    security: false,
    decode: decode_gap,
};

/// The shortest line with an address and more.
const SHORTEST: usize = 16;
/// What Chinese gap gateways write somewhere in a line.
const GAP_WORDS: &[&str] = &["任务", "网闸", "摆渡", "交换", "隔离", "同步"];

/// A gap gateway's own keys.
const GAPS: Dialect = Dialect { vendor: "gap_gateway", own: |key| is_task(key).then_some(TASK) };
const TASK: Meaning = Meaning::Field(names::GAP_GATEWAY_TASK);
/// What a task is called.
const TASKS: &[&str] = &[
    "任务",
    "任务名",
    "任务名称",
    "任务号",
    "任务ID",
    "任务id",
    "交换任务",
    "同步任务",
    "通道",
    "通道名称",
    "task",
    "taskname",
    "task_name",
    "taskid",
    "task_id",
    "jobname",
    "job_name",
];

fn is_task(key: &str) -> bool {
    TASKS.contains(&key)
}

fn looks_like(line: &str) -> bool {
    // The attributes of XML are no pairs of a connection.
    line.len() >= SHORTEST
        && !line.starts_with('<')
        && memchr::memchr3(b'=', b':', 0xEF, line.as_bytes()).is_some()
}

fn looks_like_gap(line: &str) -> bool {
    !line.is_ascii() && GAP_WORDS.iter().any(|word| line.contains(word))
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let dialect = Dialect::plain("firewall");
    let Some(style) = pairs::sniff(line.message, network::known) else {
        let mut facts = Facts::new(dialect);
        let told = network::tuple(line.message, &mut facts, out).is_some();
        if told {
            facts.conclude(out);
        }
        return told;
    };
    if is_prose(line.message, style) {
        return false;
    }
    let mut facts = network::read(line.message, style, dialect, out);
    // Applications tell of logins, too; what has Chinese keys or a VPN in it is an appliance's.
    let remote = || !line.message.is_ascii() || line.message.contains("vpn");
    if !(facts.enough() || remote() && facts.tells_of_login()) {
        return false;
    }
    if let Some(word) = verdict_before(line.message) {
        facts.suppose_action(word);
    }
    facts.conclude(out);
    true
}

/// Whether most of what looks like pairs are words with colons behind them, as in `Account Name: a Source
/// Network Address: 192.0.2.1`: the values of an appliance are words, those of prose go on.
fn is_prose(message: &str, style: Style) -> bool {
    if style != (Style { assign: Assign::Colon, between: Between::Blank }) {
        return false;
    }
    let (mut all, mut going_on) = (0_usize, 0_usize);
    for pair in pairs::pairs(message, style) {
        all += 1;
        going_on += usize::from(pair.value.contains(' '));
    }
    going_on * 2 > all
}

/// What a line says before its pairs: `Deny TCP src=192.0.2.1 …`.
fn verdict_before(message: &str) -> Option<&str> {
    const MAX_HEAD: usize = 64;
    let start = message.get(..message.floor_char_boundary(MAX_HEAD))?;
    let head = start.split(['=', ':', '：']).next()?;
    // `Block: type=FWD|…` says it before a colon of its own; else the last word is the first key.
    let head = match start.get(head.len()..)?.starts_with(": ") {
        true => head,
        false => head.rsplit_once(' ')?.0,
    };
    head.split(' ').find(|word| words::verdict(word).is_some_and(|verdict| verdict.kind.is_some()))
}

fn decode_gap(line: &Line<'_>, out: &mut Out) -> bool {
    let told = line.configured == "gap_gateway"
        || line.program.is_some_and(|program| GAP.programs.contains(&program))
        || ["网闸", "摆渡", "单向导入"].iter().any(|word| line.message.contains(word));
    let Some(style) = pairs::sniff(line.message, known_to_gap) else { return false };
    let mut facts = network::read(line.message, style, GAPS, out);
    if facts.kind().is_none()
        && let Some(happening) = carries(line.message)
    {
        facts.set_happening(happening);
    }
    let exchanges = facts.exchanges(told);
    if !(exchanges || told && facts.enough()) {
        return false;
    }
    out.word(names::OBSERVER_TYPE, "gap_gateway");
    facts.conclude(out);
    true
}

/// What the beginning of a line says of what is carried: `数据库同步：任务=…`.
fn carries(message: &str) -> Option<Happening> {
    let head = message.get(..message.floor_char_boundary(64))?;
    let head = head.split([' ', '：', ':', '=']).next()?;
    words::happening(head)
        .filter(|happening| matches!(happening, Happening::File | Happening::Database))
}

fn known_to_gap(key: &str) -> bool {
    const CARRIED: &[crate::event::FieldId] =
        &[names::FILE_NAME, names::FILE_PATH, names::DB_NAME, names::DB_TABLE];
    is_task(key)
        || network::meaning(key).is_some_and(|meaning| {
            meaning.weight() > 0
                || meaning == Meaning::Direction
                || matches!(meaning, Meaning::Field(id) if CARRIED.contains(&id))
        })
}

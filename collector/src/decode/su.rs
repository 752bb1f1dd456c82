//! Messages of su, in the forms of util-linux, shadow and BSD, and its PAM lines.
//!
//! Only the line su writes itself is the event `su`; PAM's lines about the same switch have actions
//! of their own.

use super::out::Out;
use super::{Decoder, Line, Looks, pam};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "su",
    datasets: &["su"],
    programs: &["su", "su-l", "runuser", "runuser-l"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let Some(switch) = read(line.message) else { return false };
    out.event("authentication", "su");
    out.outcome(switch.success);
    out.some(names::USER_NAME, switch.user);
    out.some(names::USER_EFFECTIVE_NAME, switch.target);
    out.some(names::HENGWEI_AUTH_TTY, switch.tty);
    true
}

struct Switch<'a> {
    user: &'a str,
    target: &'a str,
    tty: &'a str,
    success: bool,
}

fn read(message: &str) -> Option<Switch<'_>> {
    if let Some(rest) = message.strip_prefix("FAILED SU ") {
        return util_linux(rest, false);
    }
    if message.starts_with("(to ") {
        return util_linux(message, true);
    }
    for (start, success) in [("Successful su for ", true), ("FAILED su for ", false)] {
        if let Some(rest) = message.strip_prefix(start) {
            let (target, user) = rest.rsplit_once(" by ")?;
            return Some(Switch { user, target, tty: "", success });
        }
    }
    for (start, success) in [("+ ", true), ("- ", false)] {
        if let Some(rest) = message.strip_prefix(start) {
            let (tty, who) = rest.split_once(' ')?;
            let (user, target) = who.split_once(':')?;
            return Some(Switch { user, target, tty, success });
        }
    }
    let (rest, success) = match message.strip_prefix("BAD SU ") {
        Some(rest) => (rest, false),
        None => (message, true),
    };
    let (who, tty) = rest.rsplit_once(" on ")?;
    let (user, target) = who.split_once(" to ")?;
    let plain = |text: &str| !text.is_empty() && !text.contains(' ');
    (plain(user) && plain(target) && plain(tty)).then_some(Switch { user, target, tty, success })
}

/// `(to TARGET) USER on TTY`: the target is what was typed.
fn util_linux(text: &str, success: bool) -> Option<Switch<'_>> {
    let (rest, tty) = text.strip_prefix("(to ")?.rsplit_once(" on ")?;
    let (target, user) = rest.rsplit_once(") ")?;
    Some(Switch { user, target, tty, success })
}

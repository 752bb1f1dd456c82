//! Messages of cron and crontab: `(root) CMD (test -x /usr/sbin/anacron)`.

use super::out::Out;
use super::{Decoder, Line, Looks, pam};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "cron",
    datasets: &["cron"],
    programs: &["cron", "CRON", "crond", "CROND", "crontab"],
    paths: &[],
    looks: Looks::NEVER,
    security: false,
    decode,
};

/// What cron says it does, and the action that is. `LIST` reads; the edits change what will run.
const ACTIONS: &[(&str, &str, &str)] = &[
    ("CMD", "process", "cron_command"),
    ("CMDEND", "process", "cron_command_ended"),
    ("CMDOUT", "process", "cron_output"),
    ("REPLACE", "configuration", "crontab_replaced"),
    ("DELETE", "configuration", "crontab_deleted"),
    ("BEGIN EDIT", "configuration", "crontab_edit_begun"),
    ("END EDIT", "configuration", "crontab_edit_ended"),
    ("LIST", "configuration", "crontab_listed"),
    ("RELOAD", "configuration", "crontab_reloaded"),
    ("INFO", "process", "cron_info"),
    ("STARTUP", "process", "cron_started"),
    ("DEATH", "process", "cron_died"),
    ("MAIL", "process", "cron_mail"),
    ("AUTH", "authentication", "cron_denied"),
    ("WRONG FILE OWNER", "configuration", "cron_refused_file"),
    ("WRONG INODE INFO", "configuration", "cron_refused_file"),
    ("INSECURE MODE (group/other writable)", "configuration", "cron_refused_file"),
    ("BAD FILE MODE", "configuration", "cron_refused_file"),
    ("ORPHAN", "configuration", "cron_orphan"),
    ("CRON", "process", "cron_message"),
    ("error", "process", "cron_error"),
    ("ERROR", "process", "cron_error"),
];

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    read(line.message, out).is_some()
}

/// `(USER) WHAT (DETAIL)`: the detail is the rest, brackets of its own included.
fn read(message: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = message.strip_prefix('(')?.split_once(") ")?;
    let (what, detail) = match rest.strip_suffix(')')?.split_once(" (") {
        Some((what, detail)) => (what, detail),
        None => (rest, ""),
    };
    let (_, category, action) = ACTIONS.iter().find(|(name, _, _)| *name == what)?;
    out.event(category, action);
    if !matches!(user, "CRON" | "*system*") {
        out.some(names::USER_NAME, user);
    }
    match *action {
        "cron_command" => out.some(names::PROCESS_COMMAND_LINE, detail),
        "crontab_replaced" | "crontab_deleted" | "crontab_edit_begun" | "crontab_edit_ended"
        | "crontab_listed" => out.some(names::USER_TARGET_NAME, detail),
        "crontab_reloaded" | "cron_refused_file" => out.some(names::FILE_PATH, detail),
        _ => out.some(names::EVENT_REASON, detail),
    }
    Some(())
}

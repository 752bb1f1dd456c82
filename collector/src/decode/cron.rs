//! Messages of cron and crontab, `(root) CMD (test -x /usr/sbin/anacron)`, and of what runs jobs beside
//! them: anacron, run-parts, atd.
//!
//! A command is whatever the user wrote into his table, brackets and all: it is the rest of its line.

use super::out::Out;
use super::{Decoder, Line, Looks, pam};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "cron",
    datasets: &["cron"],
    // cronie calls itself `run-parts(/etc/cron.daily)` there.
    programs: &[
        "cron",
        "CRON",
        "crond",
        "CROND",
        "crontab",
        "anacron",
        "run-parts",
        "run-parts(",
        "atd",
    ],
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
    ("FAILED", "process", "cron_error"),
    ("PAM ERROR", "authentication", "cron_denied"),
    ("UNAUTHORIZED", "authentication", "cron_denied"),
    ("CAN'T OPEN", "configuration", "cron_refused_file"),
    ("NOT A REGULAR FILE", "configuration", "cron_refused_file"),
    ("SYMLINK WITH DIFFERENT OWNER", "configuration", "cron_refused_file"),
    ("getpwnam() failed", "process", "cron_error"),
    ("error", "process", "cron_error"),
    ("ERROR", "process", "cron_error"),
];

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    if line.message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let read = match line.program {
        Some("anacron") => anacron(line.message, out),
        Some("atd") => at(line.message, out),
        Some(program) if program.starts_with("run-parts") => parts(program, line.message, out),
        _ => read(line.message, out),
    };
    read.is_some()
}

/// `Job \`cron.daily' started`, and how it comes and goes itself.
fn anacron(message: &str, out: &mut Out) -> Option<()> {
    if let Some(rest) = message.strip_prefix("Job `") {
        let (job, what) = rest.rsplit_once("' ")?;
        let action = if what.starts_with("started") {
            "cron_job_started"
        } else if what.starts_with("terminated") || what.starts_with("exited") {
            "cron_job_ended"
        } else {
            return None;
        };
        out.event("process", action);
        out.text(names::SERVICE_NAME, job);
        return Some(());
    }
    const STARTS: &[&str] = &[
        "Anacron ",
        "Will run job `",
        "Normal exit",
        "Jobs will be executed",
        "Updated timestamp",
    ];
    STARTS.iter().any(|start| message.starts_with(start)).then(|| {
        out.event("process", "cron_info");
        out.text(names::EVENT_REASON, message);
    })
}

/// `Starting job 5 (a00005019c1f2a) for user 'root' (0)`.
fn at(message: &str, out: &mut Out) -> Option<()> {
    let (job, rest) = message.strip_prefix("Starting job ")?.split_once(" for user ")?;
    let (user, id) = rest.rsplit_once(" (")?;
    out.event("process", "at_job_started");
    out.some(names::USER_NAME, user.trim_matches('\''));
    out.digits(names::USER_ID, id.trim_end_matches(')'));
    out.text(names::EVENT_REASON, job);
    Some(())
}

/// `(/etc/cron.daily) starting logrotate`, the folder in the program's name where it is old.
fn parts(program: &str, message: &str, out: &mut Out) -> Option<()> {
    let (folder, rest) = match message.strip_prefix('(') {
        Some(rest) => rest.split_once(") ")?,
        None => (program.strip_prefix("run-parts(")?.trim_end_matches(')'), message),
    };
    let (action, job) = match rest.split_once(' ')? {
        ("starting", job) => ("cron_job_started", job),
        ("finished", job) => ("cron_job_ended", job),
        _ => return None,
    };
    out.event("process", action);
    out.text(names::SERVICE_NAME, job);
    out.some(names::PROCESS_WORKING_DIRECTORY, folder);
    Some(())
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

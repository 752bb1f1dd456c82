//! Messages of polkitd, and of pkexec, which runs a command as another user by its leave.
//!
//! The directory and the command of pkexec's line are the caller's own words and nothing in them is
//! escaped. They stand behind the user and the terminal, so those are read first; a line in which the
//! last keys stand more than once says so and keeps the command from the first on, to the end.

use super::out::Out;
use super::{Decoder, Line, Looks, pam};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "polkit",
    datasets: &["polkit"],
    programs: &["polkitd", "polkitd(authority=local)", "pkexec", "polkit-agent-helper-1"],
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

/// Reads one message.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let read = match message.strip_prefix("Operator of ") {
        Some(rest) => operator(rest, out),
        None if line.program == Some("pkexec") => pkexec(message, out),
        None => daemon(message, out),
    };
    read.is_some()
}

/// `SUBJECT successfully authenticated as unix-user:ROOT to gain KIND authorization for action ACTION for
/// CALLER [COMMAND] (owned by unix-user:NAME)`, `SUBJECT FAILED to authenticate …`.
fn operator(rest: &str, out: &mut Out) -> Option<()> {
    // The subject holds no blanks; the caller's command may hold any of these words.
    let (_, told) = rest.split_once(' ')?;
    let (success, rest) = match told.strip_prefix("successfully authenticated as ") {
        Some(rest) => (true, rest),
        None => (false, told.strip_prefix("FAILED to authenticate to gain ")?),
    };
    let (head, rest) = rest.split_once(" for action ")?;
    // The caller's command stands between what the daemon writes.
    let (rest, owner) = rest.rsplit_once(" (owned by unix-user:")?;
    let owner = owner.strip_suffix(')')?;
    let (action, caller) = rest.split_once(" for ")?;
    out.event("authentication", "polkit_authentication");
    out.outcome(success);
    out.text(names::USER_NAME, owner);
    if let Some((target, _)) = head.strip_prefix("unix-user:").and_then(|head| head.split_once(' '))
    {
        out.text(names::USER_EFFECTIVE_NAME, target);
    }
    out.text(names::RULE_NAME, action);
    if let Some((_, command)) = caller.split_once(" [") {
        out.some(names::PROCESS_COMMAND_LINE, command.strip_suffix(']').unwrap_or(command));
    }
    Some(())
}

/// `USER: WHAT [USER=root] [TTY=/dev/pts/0] [CWD=/] [COMMAND=/usr/bin/id]`.
fn pkexec(message: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = message.split_once(": ")?;
    let (what, keys) = rest.split_once(" [USER=")?;
    let (target, keys) = keys.split_once("] [TTY=")?;
    let (tty, keys) = keys.split_once("] [CWD=")?;
    let (directory, command) = keys.split_once("] [COMMAND=")?;
    let command = command.strip_suffix(']').unwrap_or(command);
    let allowed = what == "Executing command";
    out.event("authentication", "pkexec");
    out.outcome(allowed);
    out.some(names::USER_NAME, user);
    out.some(names::USER_EFFECTIVE_NAME, target);
    out.some(names::HENGWEI_AUTH_TTY, tty);
    if !allowed {
        out.text(names::EVENT_REASON, what);
    }
    if command.contains("] [COMMAND=") {
        out.problem(
            "the line may mean several commands: a directory or an argument imitates its keys",
        );
    } else {
        out.some(names::PROCESS_WORKING_DIRECTORY, directory);
        let executable = command.split_once(' ').map_or(command, |(first, _)| first);
        out.some(names::PROCESS_EXECUTABLE, executable);
    }
    out.some(names::PROCESS_COMMAND_LINE, command);
    Some(())
}

/// What polkitd says of itself and of who asks on behalf of sessions.
fn daemon(message: &str, out: &mut Out) -> Option<()> {
    const STARTS: &[(&str, &str, &str)] = &[
        ("Registered Authentication Agent for ", "session", "polkit_agent_registered"),
        ("Unregistered Authentication Agent for ", "session", "polkit_agent_unregistered"),
        ("Acquired the name org.freedesktop.PolicyKit1", "process", "polkit_started"),
        ("Started polkitd version ", "process", "polkit_started"),
        ("Loading rules from directory ", "configuration", "polkit_rules_loaded"),
        ("Finished loading, compiling and executing ", "configuration", "polkit_rules_loaded"),
        ("Reloading rules", "configuration", "polkit_rules_loaded"),
        ("Error compiling script ", "configuration", "polkit_rules_failed"),
        ("Error evaluating authorization rules", "configuration", "polkit_rules_failed"),
    ];
    let (_, category, action) = STARTS.iter().find(|(start, ..)| message.starts_with(start))?;
    out.event(category, action);
    out.text(names::EVENT_REASON, message);
    Some(())
}

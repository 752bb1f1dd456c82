//! Messages about accounts: useradd, usermod, groupadd, gpasswd, passwd and their kin.
//!
//! The account that changes is `user.target.name` or `group.name`; `user.name` is who did it, where
//! the message says so.

use super::out::Out;
use super::{Decoder, Line, Looks, pam, scan};
use crate::event::{FieldId, names};

pub(crate) const DECODER: Decoder = Decoder {
    name: "accounts",
    datasets: &["passwd", "useradd", "userdel", "usermod", "groupadd", "groupdel"],
    programs: PROGRAMS,
    paths: &[],
    looks: Looks::NEVER,
    security: true,
    decode,
};

/// Programs of the shadow suite.
pub(crate) const PROGRAMS: &[&str] = &[
    "useradd",
    "usermod",
    "userdel",
    "groupadd",
    "groupmod",
    "groupdel",
    "gpasswd",
    "passwd",
    "chpasswd",
    "chage",
    "chsh",
    "chfn",
    "newusers",
    "groupmems",
    "vipw",
    "vigr",
];

type Shape = fn(&str, &mut Out) -> Option<()>;

const SHAPES: &[(&str, Shape)] = &[
    ("new user: ", new_user),
    ("new group: ", new_group),
    ("group added to /etc/gshadow: ", |rest, out| {
        iam("shadow_group_changed", names::GROUP_NAME, pair(rest, "name")?, out)
    }),
    ("group added to ", |rest, out| new_group(rest.split_once(": ")?.1, out)),
    ("add '", |rest, out| member(rest, "to", "user_added_to_group", out)),
    ("delete '", |rest, out| member(rest, "from", "user_removed_from_group", out)),
    ("delete user '", |rest, out| account(rest, "user_deleted", out)),
    ("removed group '", |rest, out| group(rest, "group_deleted", out)),
    ("removed shadow group '", |rest, out| group(rest, "group_deleted", out)),
    ("group '", |rest, out| {
        rest.contains("' removed").then(|| group(rest, "group_deleted", out))?
    }),
    ("change user '", |rest, out| account(rest, change_of(rest), out)),
    ("changed user '", |rest, out| account(rest, change_of(rest), out)),
    ("lock user '", |rest, out| account(rest, "user_locked", out)),
    ("unlock user '", |rest, out| account(rest, "user_unlocked", out)),
    ("change user name '", renamed),
    ("password for '", password_by),
    ("changed password expiry for ", |user, out| {
        iam("password_expiry_changed", names::USER_TARGET_NAME, user, out)
    }),
    ("user ", gpasswd),
    ("members of group ", |rest, out| of_group(rest, "group_members_changed", out)),
    ("administrators of group ", |rest, out| of_group(rest, "group_administrators_changed", out)),
    ("password of group ", |rest, out| of_group(rest, "group_password_changed", out)),
    ("file ", |rest, out| {
        let path = rest.strip_suffix(" edited")?;
        iam("account_file_edited", names::FILE_PATH, path, out)
    }),
    ("failed deleting user '", |rest, out| {
        account(rest, "user_deleted", out)?;
        out.outcome(false);
        Some(())
    }),
    ("failed adding user '", |rest, out| {
        account(rest, "user_added", out)?;
        out.outcome(false);
        Some(())
    }),
    ("group changed in ", |rest, out| {
        let (_, rest) = rest.split_once("(group ")?;
        let name = rest.split_once(['/', ',', ')'])?.0;
        iam("group_changed", names::GROUP_NAME, name, out)
    }),
];

/// Reads one message.
pub(crate) fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message;
    if message.starts_with("pam_") {
        return pam::decode(line, out);
    }
    let mark = out.mark();
    for (start, shape) in SHAPES {
        if let Some(rest) = message.strip_prefix(start) {
            if shape(rest, out).is_some() {
                return true;
            }
            out.reset(mark);
        }
    }
    false
}

fn iam(action: &'static str, id: FieldId, name: &str, out: &mut Out) -> Option<()> {
    out.event("iam", action);
    out.some(id, name);
    Some(())
}

/// `name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/bash, from=/dev/pts/0`.
fn new_user(rest: &str, out: &mut Out) -> Option<()> {
    let name = pair(rest, "name")?;
    iam("user_added", names::USER_TARGET_NAME, name, out)?;
    for (key, id) in [("UID", names::USER_TARGET_ID), ("GID", names::GROUP_ID)] {
        if let Some(value) = pair(rest, key) {
            out.digits(id, value);
        }
    }
    for (key, id) in [
        ("home", names::USER_HOME),
        ("shell", names::HENGWEI_USER_SHELL),
        ("from", names::HENGWEI_AUTH_TTY),
    ] {
        if let Some(value) = pair(rest, key) {
            out.some(id, value);
        }
    }
    Some(())
}

fn new_group(rest: &str, out: &mut Out) -> Option<()> {
    iam("group_added", names::GROUP_NAME, pair(rest, "name")?, out)?;
    if let Some(gid) = pair(rest, "GID") {
        out.digits(names::GROUP_ID, gid);
    }
    Some(())
}

fn pair<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(", ").find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// `bob' to [shadow ]group 'sudo'`.
fn member(rest: &str, word: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (user, rest) = rest.split_once('\'')?;
    let rest = rest.strip_prefix(' ')?.strip_prefix(word)?.strip_prefix(' ')?;
    let (shadow, rest) = match rest.strip_prefix("shadow group ") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("group ")?),
    };
    let (group, _) = scan::quoted(rest)?;
    // Each change is told twice, for the group and for its shadow: one of them counts.
    iam(if shadow { "shadow_group_changed" } else { action }, names::GROUP_NAME, group, out)?;
    out.some(names::USER_TARGET_NAME, user);
    Some(())
}

fn account(rest: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (user, rest) = rest.split_once('\'')?;
    iam(action, names::USER_TARGET_NAME, user, out)?;
    out.some(names::EVENT_REASON, rest.trim_start_matches([',', ' ']));
    Some(())
}

fn group(rest: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (group, _) = rest.split_once('\'')?;
    iam(action, names::GROUP_NAME, group, out)
}

fn change_of(rest: &str) -> &'static str {
    match rest.split_once("' ") {
        Some((_, what)) if what.starts_with("password") => "password_changed",
        Some((_, what)) if what.starts_with("shell") => "shell_changed",
        Some((_, what)) if what.starts_with("UID") => "user_id_changed",
        Some((_, what)) if what.starts_with("expiration") => "user_expiry_changed",
        _ => "user_changed",
    }
}

/// `a' to 'b'`.
fn renamed(rest: &str, out: &mut Out) -> Option<()> {
    let (old, rest) = rest.split_once("' to '")?;
    iam("user_renamed", names::USER_TARGET_NAME, old, out)?;
    out.some(names::USER_CHANGES_NAME, rest.trim_end_matches('\''));
    Some(())
}

/// `bob' changed by 'root'`.
fn password_by(rest: &str, out: &mut Out) -> Option<()> {
    let (user, rest) = rest.split_once("' changed by '")?;
    iam("password_changed", names::USER_TARGET_NAME, user, out)?;
    out.some(names::USER_NAME, rest.trim_end_matches('\''));
    Some(())
}

/// gpasswd: `bob added by root to group sudo`, `bob removed by root from group sudo`.
fn gpasswd(rest: &str, out: &mut Out) -> Option<()> {
    let (action, user, rest) = match rest.split_once(" added by ") {
        Some((user, rest)) => ("user_added_to_group", user, rest.split_once(" to group ")?),
        None => {
            let (user, rest) = rest.split_once(" removed by ")?;
            ("user_removed_from_group", user, rest.split_once(" from group ")?)
        }
    };
    let (by, group) = rest;
    iam(action, names::GROUP_NAME, group, out)?;
    out.some(names::USER_TARGET_NAME, user);
    out.some(names::USER_NAME, by);
    Some(())
}

/// `dba set by root to lisi,wangwu`, `dba changed by root`, `dba removed by root`.
fn of_group(rest: &str, action: &'static str, out: &mut Out) -> Option<()> {
    let (group, what) = rest.split_once(' ')?;
    iam(action, names::GROUP_NAME, group, out)?;
    if let Some((_, who)) = what.split_once(" by ") {
        let (by, members) = who.split_once(" to ").unwrap_or((who, ""));
        out.some(names::USER_NAME, by);
        out.some(names::HENGWEI_GROUP_MEMBERS, members);
    }
    Some(())
}

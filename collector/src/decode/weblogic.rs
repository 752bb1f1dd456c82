//! The logs of two Java application servers whose form is their own: WebLogic and WebSphere.
//!
//! ```text
//! ####<Nov 22, 2026 8:00:00,123 AM CST> <Notice> <Security> <host> <server> <thread> <<user>> <> <> <1795305600123> <BEA-090078> <TEXT>
//! ####<2026-11-22 上午08时00分00秒 CST> <Notice> <Security> <BEA-090078> <TEXT>
//! [11/22/26 8:00:00:123 CST] 0000004c SystemOut     O TEXT
//! [26-11-22 8:00:00:123 CST] 0000004c LTPAServerObj E   SECJ0369E: TEXT
//! ```
//!
//! In: a line of a server's log. Out: time, level, subsystem as the logger, message id as `event.code`, and
//! of the messages about logins the user. WebLogic escapes nothing between its angle brackets: fields are
//! read from the left up to the id, and a line whose id is not where it must be names neither user nor id.
//! What a name within a message holds cannot end it earlier than the words of the message do.

use super::out::Out;
use super::{Decoder, Looks, java, moment, scan};
use crate::event::names;

pub(crate) const WEBLOGIC: Decoder = Decoder {
    name: "weblogic",
    datasets: &["weblogic"],
    programs: &["weblogic"],
    paths: &["weblogic", "AdminServer"],
    looks: Looks { first: b"#<", test: looks_like_weblogic },
    security: false,
    decode: |line, out| weblogic(line.message, out).is_some(),
};

pub(crate) const WEBSPHERE: Decoder = Decoder {
    name: "websphere",
    datasets: &["websphere"],
    programs: &["websphere"],
    paths: &["SystemOut", "SystemErr", "WebSphere", "wlp/usr/servers"],
    looks: Looks { first: b"[", test: |line| sphere_head(line).is_some() },
    security: false,
    decode: |line, out| websphere(line.message, out).is_some(),
};

/// What a WebLogic line begins with in a file.
const MARK: &str = "####<";
/// Fields before the id at most: stamp, level, subsystem, host, server, thread, user, transaction,
/// context, milliseconds, bag of keys.
const MAX_FIELDS: usize = 12;

/// Severities of WebLogic as written, in English and in Chinese, and as we say them.
const SEVERITIES: &[(&str, &str)] = &[
    ("Info", "info"),
    ("Notice", "notice"),
    ("Warning", "warning"),
    ("Error", "error"),
    ("Critical", "critical"),
    ("Alert", "alert"),
    ("Emergency", "emergency"),
    ("Debug", "debug"),
    ("Trace", "trace"),
    ("信息", "info"),
    ("通知", "notice"),
    ("警告", "warning"),
    ("错误", "error"),
    ("严重", "critical"),
    ("警报", "alert"),
    ("紧急", "emergency"),
];

fn looks_like_weblogic(line: &str) -> bool {
    let Some(head) = line.strip_prefix(MARK).or_else(|| line.strip_prefix('<')) else {
        return false;
    };
    // On a console the stamp has to be one; `<` begins many things.
    line.starts_with('#') || moment::read(head).is_some_and(|(_, rest)| rest.starts_with("> <"))
}

fn weblogic(text: &str, out: &mut Out) -> Option<()> {
    let rest = text.strip_prefix(MARK).or_else(|| text.strip_prefix('<'))?;
    let (stamp, rest) = moment::read(rest)?;
    let rest = rest.strip_prefix("> <")?;
    let (severity, rest) = rest.split_once("> <")?;
    let (_, level) = SEVERITIES.iter().find(|(known, _)| *known == severity)?;
    let (subsystem, mut rest) = rest.split_once("> <")?;
    let (mut millis, mut code, mut server) = ("", "", "");
    for at in 0..MAX_FIELDS {
        let (field, behind) = rest.split_once("> <")?;
        if field.starts_with("BEA-") && digits(field.get(4..)?) {
            code = field;
            rest = behind;
            break;
        }
        match at {
            1 => server = field,
            _ if field.len() == 13 && digits(field) => millis = field,
            _ => {}
        }
        rest = behind;
    }
    if code.is_empty() {
        return None;
    }
    // The milliseconds need no zone and no language.
    match millis.parse::<i64>() {
        Ok(millis) => out.time = millis.checked_mul(1_000_000),
        Err(_) => {
            if let Some(stamp) = stamp {
                out.stamp(&stamp);
            }
        }
    }
    let (said, below) = rest.split_once('\n').unwrap_or((rest, ""));
    let said = said.strip_suffix("> ").or_else(|| said.strip_suffix('>')).unwrap_or(said);
    out.word(names::LOG_LEVEL, level);
    out.some(names::LOG_LOGGER, subsystem);
    out.some(names::SERVICE_NAME, server);
    out.text(names::EVENT_CODE, code);
    said_by(said, level, out);
    weblogic_login(code, said, out);
    java::trace_below(below, out);
    Some(())
}

/// The message, and again as the error it is.
fn said_by(said: &str, level: &str, out: &mut Out) {
    if !out.has(names::MESSAGE) {
        out.some(names::MESSAGE, said);
    }
    if matches!(level, "error" | "critical" | "alert" | "emergency" | "fatal") {
        out.some(names::ERROR_MESSAGE, said);
    }
}

/// Messages of WebLogic about logins and deployments.
fn weblogic_login(code: &str, said: &str, out: &mut Out) -> Option<()> {
    match code {
        // `User NAME in security realm REALM has had 5 invalid login attempts, locking account …`
        "BEA-090078" => {
            refused(out);
            out.word(names::EVENT_REASON, "the user is locked out");
            let (user, _) = said.strip_prefix("User ")?.rsplit_once(" in security realm ")?;
            out.some(names::USER_NAME, user);
        }
        // `User NAME in security realm REALM unlocked …` after the time has passed or by hand.
        "BEA-090079" => {
            out.event("iam", "user_unlocked");
            let (user, _) = said.strip_prefix("User ")?.rsplit_once(" in security realm ")?;
            out.some(names::USER_NAME, user);
        }
        // `Authentication for user NAME denied`, `Authentication denied: …`
        "BEA-090403" | "BEA-090402" => {
            refused(out);
            let (_, rest) = said.split_once("Authentication for user ")?;
            let (user, _) = rest.rsplit_once(" denied")?;
            out.some(names::USER_NAME, user);
        }
        "BEA-149400" | "BEA-149074" => out.event("configuration", "deploy"),
        _ => {
            let (_, rest) = said.split_once("[Security:090304]Authentication Failed: User ")?;
            refused(out);
            let (user, _) = rest.split_once(" javax.security.auth.login.")?;
            out.some(names::USER_NAME, user);
        }
    }
    Some(())
}

fn refused(out: &mut Out) {
    out.security = true;
    out.event("authentication", "login");
    out.outcome(false);
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Levels of WebSphere, a letter each.
const LETTERS: &[(&str, &str)] = &[
    ("F", "fatal"),
    ("E", "error"),
    ("W", "warning"),
    ("A", "notice"),
    ("I", "info"),
    ("C", "config"),
    ("D", "debug"),
    ("O", "info"),
    ("R", "error"),
    ("Z", "info"),
    ("1", "fine"),
    ("2", "finer"),
    ("3", "finest"),
];

struct SphereHead<'a> {
    stamp: super::time::Stamp,
    thread: &'a str,
    component: &'a str,
    level: &'static str,
    said: &'a str,
}

/// `[11/22/26 8:00:00:123 CST] 0000004c Component     E   TEXT`.
fn sphere_head(line: &str) -> Option<SphereHead<'_>> {
    let inner = line.strip_prefix('[')?;
    let (stamp, rest) = match moment::month_first(inner).or_else(|| moment::year_first(inner)) {
        Some((date, rest)) => moment::clock(date, rest)?,
        None => {
            let (stamp, rest) = moment::read(inner)?;
            (stamp?, rest)
        }
    };
    let rest = rest.strip_prefix("] ")?;
    let (thread, rest) = rest.split_once(' ')?;
    let hexadecimal = thread.len() == 8 && thread.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (component, rest) = rest.split_once(' ')?;
    let (letter, said) = rest.trim_start_matches(' ').split_once(' ')?;
    let (_, level) = LETTERS.iter().find(|(known, _)| *known == letter)?;
    let said = said.trim_start_matches(' ');
    let whole = hexadecimal && !component.is_empty();
    whole.then_some(SphereHead { stamp, thread, component, level, said })
}

fn websphere(text: &str, out: &mut Out) -> Option<()> {
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    let head = sphere_head(first)?;
    out.stamp(&head.stamp);
    out.word(names::LOG_LEVEL, head.level);
    out.text(names::LOG_LOGGER, head.component);
    out.text(names::PROCESS_THREAD_NAME, head.thread);
    let code = head.said.split_once(": ").map(|(code, _)| code).filter(|code| is_code(code));
    if let Some(code) = code {
        out.text(names::EVENT_CODE, code);
        sphere_login(code, head.said, out);
    }
    said_by(head.said, head.level, out);
    java::trace_below(below, out);
    Some(())
}

/// `SECJ0369E`, `CWWKS1100A`: letters, four digits, the letter of the level.
fn is_code(text: &str) -> bool {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = text.as_bytes().get(letters..).unwrap_or_default();
    (4..=5).contains(&letters)
        && rest.len() == 5
        && rest.iter().take(4).all(u8::is_ascii_digit)
        && rest.last().is_some_and(u8::is_ascii_uppercase)
}

/// Messages of WebSphere about logins and applications.
fn sphere_login(code: &str, said: &str, out: &mut Out) -> Option<()> {
    let (user, end) = match code {
        "SECJ0369E" | "SECJ0056E" | "SECJ0118E" => ("for user ", ""),
        "CWWKS1100A" => ("for user ID ", ". An invalid"),
        "WSVR0221I" | "WSVR0200I" | "CWWKZ0001I" => {
            out.event("configuration", "application_started");
            return Some(());
        }
        "WSVR0217I" | "WSVR0220I" | "CWWKZ0009I" => {
            out.event("configuration", "application_stopped");
            return Some(());
        }
        _ => return None,
    };
    refused(out);
    let (_, rest) = said.split_once(user)?;
    let name =
        if end.is_empty() { rest.split([' ', ',', '.']).next()? } else { rest.rsplit_once(end)?.0 };
    out.some(names::USER_NAME, name);
    if let Some(address) = scan::value(said, "from ").and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

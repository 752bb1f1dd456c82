//! Oracle: audit records through syslog and from `.aud` files, the errors of the alert log, and the
//! listener.
//!
//! ```text
//! Oracle Audit[811]: LENGTH: "357" SESSIONID:[8] "20924831" USERID:[3] "HIS" ACTION:[3] "100" RETURNCODE:[4] "1017" …
//! LENGTH : '160' ACTION :[7] 'CONNECT' DATABASE USER:[3] 'sys' PRIVILEGE :[6] 'SYSDBA' STATUS:[1] '0'
//! Oracle Unified Audit[811]: LENGTH: '209' TYPE:"4" DBUSER:"HIS" ACTION:"12" RETCODE:"0" SCHEMA:"HIS" OBJNAME:"WARD"
//! 22-NOV-2026 08:00:00 * (CONNECT_DATA=(SID=emr)…) * (ADDRESS=(PROTOCOL=tcp)(HOST=192.0.2.7)(PORT=51234)) * establish * emr * 12514
//! ```
//!
//! A value of the standard trail says its length in bytes before it begins, so a statement that holds
//! `" RETURNCODE:[1] "0` is one value and nothing else. A length that does not fit (the text was
//! converted from another charset, or cut) is said, and the value then ends at its quote before the next
//! name. The unified trail says no lengths: there a name that stands twice is not believed.

use super::out::Out;
use super::time::{self, Stamp};
use super::{DAY_FIRST, Decoder, Line, Looks, scan, sql};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "oracle",
    datasets: &[AUDIT, ALERT, LISTENER],
    programs: &["oracle", "Oracle"],
    paths: &["/oracle/", "oradata", "adump", "diag/rdbms", "tnslsnr"],
    looks: Looks {
        first: &[b'O', b'L', b'S', b'M', b'T', b'W', b'F', DAY_FIRST],
        test: looks_like,
    },
    security: false,
    decode,
};

const AUDIT: &str = "oracle.audit";
const ALERT: &str = "oracle.alert";
const LISTENER: &str = "oracle.listener";

/// The longest name of a value.
const MAX_NAME: usize = 40;
/// Values of one record.
const MAX_VALUES: usize = 64;

/// What the numbers of actions mean.
const ACTIONS: &[(u16, &str, &str)] = &[
    (1, "create", "CREATE TABLE"),
    (2, "insert", "INSERT"),
    (3, "select", "SELECT"),
    (6, "update", "UPDATE"),
    (7, "delete", "DELETE"),
    (9, "create", "CREATE INDEX"),
    (10, "drop", "DROP INDEX"),
    (12, "drop", "DROP TABLE"),
    (15, "alter", "ALTER TABLE"),
    (17, "grant", "GRANT OBJECT"),
    (18, "revoke", "REVOKE OBJECT"),
    (21, "create", "CREATE VIEW"),
    (24, "create", "CREATE PROCEDURE"),
    (25, "alter", "ALTER PROCEDURE"),
    (30, "audit", "AUDIT OBJECT"),
    (31, "noaudit", "NOAUDIT OBJECT"),
    (35, "alter", "ALTER DATABASE"),
    (42, "alter", "ALTER SESSION"),
    (43, "alter", "ALTER USER"),
    (47, "execute", "PL/SQL EXECUTE"),
    (49, "alter", "ALTER SYSTEM"),
    (51, "create", "CREATE USER"),
    (52, "create", "CREATE ROLE"),
    (53, "drop", "DROP USER"),
    (54, "drop", "DROP ROLE"),
    (59, "create", "CREATE TRIGGER"),
    (68, "drop", "DROP PROCEDURE"),
    (85, "truncate", "TRUNCATE TABLE"),
    (100, "login", "LOGON"),
    (101, "logout", "LOGOFF"),
    (102, "logout", "LOGOFF BY CLEANUP"),
    (103, "session", "SESSION REC"),
    (104, "audit", "SYSTEM AUDIT"),
    (105, "noaudit", "SYSTEM NOAUDIT"),
    (108, "grant", "SYSTEM GRANT"),
    (109, "revoke", "SYSTEM REVOKE"),
    (114, "grant", "GRANT ROLE"),
    (115, "revoke", "REVOKE ROLE"),
    (116, "execute", "EXECUTE PROCEDURE"),
];

/// Whether a line may be one.
fn looks_like(line: &str) -> bool {
    line.starts_with("Oracle Audit[")
        || line.starts_with("Oracle Unified Audit[")
        || line.starts_with("ORA-")
        || (line.starts_with("LENGTH : '") || line.starts_with("LENGTH: '"))
            && line.contains("ACTION")
        || line.get(3..4) == Some(" ") && line.contains("\nACTION :[")
        || listened(line).is_some()
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if let Some(listened) = listened(text) {
        listener(&listened, out);
        return true;
    }
    if let Some(error) = alert(text) {
        out.dataset = Some(ALERT);
        out.word(names::EVENT_CATEGORY, "database");
        out.word(names::LOG_LEVEL, "error");
        out.text(names::ERROR_CODE, error.0);
        out.some(names::ERROR_MESSAGE, error.1);
        return true;
    }
    let (pid, body) = match text.strip_prefix("Oracle ").and_then(|rest| rest.split_once("]: ")) {
        Some((head, body)) => (head.rsplit_once('[').map(|(_, pid)| pid), body),
        None => (None, text),
    };
    // `Sun Nov 22 08:00:00 2026 +08:00` stands above a record in a file.
    let body = match body.split_once('\n') {
        Some((first, rest))
            if !first.contains(':')
                || time::asctime(first.get(..24).unwrap_or_default().as_bytes()).is_some() =>
        {
            dated(first, out);
            rest
        }
        _ => body,
    };
    if audit(body, out).is_none() {
        return false;
    }
    if let Some(pid) = pid {
        out.digits(names::PROCESS_PID, pid);
    }
    true
}

/// `Sun Nov 22 08:00:00 2026 +08:00`.
fn dated(line: &str, out: &mut Out) {
    let Some(stamp) = line.get(..24).and_then(|text| time::asctime(text.as_bytes())) else {
        return;
    };
    let zone = line.get(25..).and_then(|zone| zone.get(..6));
    let offset_secs = zone.and_then(|zone| {
        let hours: i32 = zone.get(..3)?.parse().ok()?;
        let minutes: i32 = zone.get(4..6)?.parse().ok()?;
        let known = hours.abs() < 24 && (0..60).contains(&minutes);
        known.then_some(hours * 3_600 + hours.signum() * minutes * 60)
    });
    out.stamp(&Stamp { offset_secs, ..stamp });
}

/// `ORA-00600: internal error code`.
fn alert(text: &str) -> Option<(&str, &str)> {
    let (code, said) = text.split_once(": ")?;
    let number = code.strip_prefix("ORA-")?;
    let known = number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit());
    known.then_some((code, said))
}

/// One value of a record.
struct Value<'a> {
    name: &'a str,
    text: &'a str,
}

/// The values of a record, and whether all had the length they said.
fn values(text: &str) -> Option<(Vec<Value<'_>>, bool)> {
    let mut values = Vec::new();
    let mut fit = true;
    let mut rest = text.trim_start();
    // Solaris puts `[ID 748625 local7.warning] ` in front.
    if rest.starts_with("[ID ") {
        rest = rest.split_once("] ")?.1;
    }
    while values.len() < MAX_VALUES && !rest.is_empty() {
        let (name, behind) = rest.split_once(':')?;
        let name = name.trim();
        let plain = |byte: u8| {
            byte.is_ascii_uppercase()
                || byte.is_ascii_digit()
                || matches!(byte, b' ' | b'$' | b'_' | b'/')
        };
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return None;
        }
        let (length, behind) = match behind.strip_prefix('[') {
            Some(sized) => {
                let (length, behind) = sized.split_once(']')?;
                (Some(length.trim().parse::<usize>().ok()?), behind)
            }
            None => (None, behind),
        };
        let behind = behind.trim_start();
        let quote = behind.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let inner = &behind[1..];
        let end = match length.filter(|length| closes(inner, *length, quote)) {
            Some(length) => length,
            None => {
                fit &= length.is_none();
                closing(inner, quote)
            }
        };
        values.push(Value { name, text: &inner[..end] });
        rest = inner.get(end + 1..).unwrap_or_default().trim_start();
    }
    (!values.is_empty()).then_some((values, fit))
}

/// Whether the quote that closes a value stands where its length says.
fn closes(inner: &str, length: usize, quote: char) -> bool {
    inner.get(length..).is_some_and(|rest| {
        rest.strip_prefix(quote)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n']))
    })
}

/// The first quote behind which the record ends or a name follows; the end of a record that was cut.
fn closing(inner: &str, quote: char) -> usize {
    let ends = inner.match_indices(quote).map(|(at, _)| at);
    let named = |rest: &str| {
        let name = rest.trim_start();
        let head = &name[..name.floor_char_boundary(MAX_NAME + 1)];
        name.is_empty() || name.starts_with(|c: char| c.is_ascii_uppercase()) && head.contains(':')
    };
    ends.into_iter().find(|at| named(&inner[at + 1..])).unwrap_or(inner.len())
}

fn audit(body: &str, out: &mut Out) -> Option<()> {
    if !body.trim_start().starts_with(['L', '[', 'A', 'S']) {
        return None;
    }
    let (values, fit) = values(body)?;
    let said = |name: &str| {
        let mut found = values.iter().filter(|value| value.name == name && !value.text.is_empty());
        found.next().map(|value| value.text)
    };
    let any = |names: &[&str]| names.iter().find_map(|name| said(name));
    let action = said("ACTION")?;
    let code = any(&["RETURNCODE", "RETCODE", "STATUS"]);
    let twice = ["ACTION", "RETCODE", "DBUSER", "USERID", "RETURNCODE", "STATUS", "DATABASE USER"]
        .iter()
        .any(|name| values.iter().filter(|value| value.name == *name).count() > 1);
    out.dataset = Some(AUDIT);
    if !fit {
        out.problem("a value is not as long as it says");
    }
    if twice {
        out.word(names::EVENT_CATEGORY, "database");
        out.problem("a name stands in the record twice: who and what it was is not taken from it");
        return Some(());
    }
    out.some(
        names::USER_NAME,
        any(&["USERID", "DATABASE USER", "DBUSER", "CURRENT_USER"]).unwrap_or_default(),
    );
    for (known, id) in [
        (["OS$USERID", "CLIENT USER"], names::SOURCE_USER_NAME),
        (["USERHOST", "CLIENT TERMINAL"], names::HENGWEI_DB_CLIENT_HOST),
        (["SESSIONID", "SESID"], names::DB_SESSION_ID),
        (["OBJ$NAME", "OBJNAME"], names::HENGWEI_DB_OBJECT),
        (["OBJ$CREATOR", "SCHEMA"], names::HENGWEI_DB_SCHEMA),
        (["PRIVILEGE", "PRIV$USED"], names::HENGWEI_DB_CLASS),
        (["DBID", "PDB_GUID"], names::HENGWEI_DB_ID),
    ] {
        if let Some(value) = any(&known) {
            out.text(id, value);
        }
    }
    client(&values, out);
    if let Some(code) = code {
        let number: Option<u32> = code.parse().ok();
        out.outcome(number == Some(0));
        if let Some(number) = number.filter(|number| *number > 0) {
            out.owned(names::ERROR_CODE, &format!("ORA-{number:05}"));
        }
    }
    let statement = any(&["SQL$TEXT", "SQLTEXT", "SQL_TEXT"]);
    acted(action, statement, any(&["OBJ$NAME", "OBJNAME"]), out);
    Some(())
}

/// What was done: a number, a word of the server, or with SYS's own trail the statement itself.
fn acted(action: &str, statement: Option<&str>, object: Option<&str>, out: &mut Out) {
    let known = action
        .parse::<u16>()
        .ok()
        .and_then(|number| ACTIONS.iter().find(|(known, ..)| *known == number));
    if let Some((_, operation, tag)) = known {
        let category = if *operation == "login" { "authentication" } else { "database" };
        out.event(category, operation);
        out.word(names::DB_OPERATION, operation);
        out.word(names::HENGWEI_DB_COMMAND, tag);
        if let Some(statement) = statement {
            out.text(names::DB_STATEMENT, statement);
        }
        if let Some(object) = object {
            out.text(names::DB_TABLE, object);
        }
        return;
    }
    if action.parse::<u64>().is_ok() {
        out.word(names::EVENT_CATEGORY, "database");
        out.text(names::HENGWEI_DB_COMMAND, action);
    } else if matches!(action, "CONNECT" | "LOGON") {
        out.event("authentication", "login");
        out.word(names::DB_OPERATION, "login");
    } else if matches!(action, "DISCONNECT" | "LOGOFF") {
        out.event("database", "logout");
        out.word(names::DB_OPERATION, "logout");
    } else {
        out.word(names::EVENT_CATEGORY, "database");
        sql::statement(action, out);
    }
}

/// `… (ADDRESS=(PROTOCOL=tcp)(HOST=192.0.2.7)(PORT=43679))`, which the server adds to its comment.
fn client(values: &[Value<'_>], out: &mut Out) {
    let texts = values
        .iter()
        .filter(|value| matches!(value.name, "COMMENT$TEXT" | "CLIENT ADDRESS" | "AUTHENTICATION"))
        .map(|value| value.text);
    for text in texts {
        if text.matches("(HOST=").count() > 1 {
            out.problem("the client stands in the record more than once: no address is taken");
            return;
        }
        address(text, out);
    }
}

fn address(text: &str, out: &mut Out) {
    let inside = |name: &str| text.split_once(name)?.1.split_once(')').map(|(value, _)| value);
    if let Some(address) = inside("(HOST=").and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
        if let Some(port) = inside("(PORT=").and_then(|port| port.parse::<u16>().ok()) {
            out.integer(names::SOURCE_PORT, port.into());
        }
    }
}

/// A line of the listener's log.
#[derive(Default)]
struct Listened<'a> {
    stamp: Stamp,
    /// What the client asked for.
    asked: &'a str,
    /// Where it came from, empty for commands.
    from: &'a str,
    what: &'a str,
    service: &'a str,
    code: u32,
    /// The client's words hold the stars that stand between the parts.
    imitated: bool,
}

/// `22-NOV-2026 08:00:00 * ASKED * (ADDRESS=…) * establish * emr * 0`, `… * service_update * emr * 0`, and
/// `… * ASKED * status * 0` of what an administrator told the listener. What was asked and the service are
/// the client's words; where they make more parts than there can be, only the code is taken.
fn listened(line: &str) -> Option<Listened<'_>> {
    let bytes = line.as_bytes();
    if bytes.get(2) != Some(&b'-') || line.get(20..23) != Some(" * ") {
        return None;
    }
    // The month is in capitals.
    let mut head: [u8; 20] = bytes.get(..20)?.try_into().ok()?;
    head.get_mut(4..6)?.make_ascii_lowercase();
    let (stamp, _) = time::day_first(&head, b'-', b' ')?;
    let rest = line.get(23..)?;
    let (rest, code) = rest.rsplit_once(" * ")?;
    let code = code.trim().parse().ok()?;
    let mut parts = rest.splitn(5, " * ");
    let parts = [(); 5].map(|()| parts.next().unwrap_or_default());
    let line = Listened { stamp, code, ..Listened::default() };
    Some(match parts {
        [asked, what, "", ..] if asked.starts_with('(') => Listened { asked, what, ..line },
        [what, service, "", ..] => Listened { what, service, ..line },
        [asked, from, what, "", _] => Listened { asked, from, what, ..line },
        [asked, from, what, service, ""] => Listened { asked, from, what, service, ..line },
        _ => Listened { imitated: true, ..line },
    })
}

fn listener(line: &Listened<'_>, out: &mut Out) {
    out.dataset = Some(LISTENER);
    out.stamp(&line.stamp);
    out.word(names::EVENT_CATEGORY, "database");
    if line.imitated {
        out.problem("the words of the client imitate the log: nothing is taken from it");
    }
    match line.what {
        "" | "establish" => out.word(names::EVENT_ACTION, "connection_received"),
        what => out.owned(names::EVENT_ACTION, &what.to_ascii_lowercase()),
    }
    out.outcome(line.code == 0);
    if line.code != 0 {
        out.owned(names::ERROR_CODE, &format!("TNS-{:05}", line.code));
    }
    out.some(names::DB_NAME, line.service);
    address(line.from, out);
    // What the client says of itself, which is not where it is.
    let inside =
        |name: &str| line.asked.split_once(name)?.1.split_once(')').map(|(value, _)| value);
    out.some(names::HENGWEI_DB_APPLICATION, inside("(PROGRAM=").unwrap_or_default());
    out.some(names::HENGWEI_DB_CLIENT_HOST, inside("(HOST=").unwrap_or_default());
    out.some(names::SOURCE_USER_NAME, inside("(USER=").unwrap_or_default());
}

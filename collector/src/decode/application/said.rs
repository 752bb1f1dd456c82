//! What known loggers say of logins.
//!
//! A sentence is read only when the class that writes it wrote it. The name of a user in it is what
//! somebody typed: where such a name could hold the words that follow it, the sentence is read from its end,
//! and where a key that matters stands in it twice, neither user nor address is taken.

use super::super::access::located;
use super::super::out::Out;
use super::super::{moment, scan};
use crate::event::names;

/// Reads what a logger said.
pub(in super::super) fn read(logger: &str, said: &str, out: &mut Out) {
    let class = logger.rsplit('.').next().unwrap_or(logger);
    match class {
        "events" if logger.starts_with("org.keycloak") => {
            keycloak(said, out);
        }
        "AuthenticationService"
            if logger.starts_with("o.e.") || logger.starts_with("org.elast") =>
        {
            elasticsearch(said, out);
        }
        "Selector" if logger.contains("kafka") => {
            kafka(said, out);
        }
        "AbstractAuthenticator" if logger.contains("shiro") => {
            shiro(said, out);
        }
        "LoggerListener" if logger.starts_with("o.s.s.") || logger.contains("security") => {
            spring(said, out);
        }
        _ => {}
    }
}

fn login(success: bool, user: &str, address: Option<std::net::IpAddr>, out: &mut Out) {
    out.security = true;
    out.event("authentication", "login");
    out.outcome(success);
    out.some(names::USER_NAME, user);
    if let Some(address) = address {
        out.address(names::SOURCE_IP, address);
    }
}

/// `type="LOGIN_ERROR", realmId="…", ipAddress="…", error="…", username="…"`, older ones without quotes.
fn keycloak(said: &str, out: &mut Out) -> Option<()> {
    let kind = key(said, "type")?.0;
    let bare = kind.strip_suffix("_ERROR").unwrap_or(kind);
    let failed = bare.len() < kind.len();
    let (category, action) = match bare {
        "LOGIN" | "CLIENT_LOGIN" | "IDENTITY_PROVIDER_LOGIN" => ("authentication", "login"),
        "LOGOUT" => ("authentication", "logout"),
        "REGISTER" => ("iam", "user_created"),
        "UPDATE_PASSWORD" | "RESET_PASSWORD" | "UPDATE_CREDENTIAL" => ("iam", "password_changed"),
        _ => return None,
    };
    out.security = true;
    out.event(category, action);
    out.outcome(!failed);
    if let Some((reason, _)) = key(said, "error").filter(|_| failed) {
        out.some(names::EVENT_REASON, reason);
    }
    let (address, user) = (key(said, "ipAddress"), key(said, "username"));
    if [address, user].iter().flatten().any(|(_, several)| *several) {
        out.problem("user or address stands in the line more than once: neither is taken");
        return Some(());
    }
    if let Some((user, _)) = user {
        out.some(names::USER_NAME, user);
    }
    if let Some(address) = address.and_then(|(address, _)| scan::address(address)) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

/// The value of a key of `a="1", b=2`, and whether the key stands there more than once.
fn key<'a>(text: &'a str, name: &str) -> Option<(&'a str, bool)> {
    let mut found = text.match_indices(name).filter(|(at, _)| {
        let behind = text.get(at + name.len()..).unwrap_or_default();
        let begins = *at == 0 || text.get(..*at).is_some_and(|before| before.ends_with([' ', ',']));
        begins && behind.starts_with('=')
    });
    let (at, _) = found.next()?;
    let several = found.next().is_some();
    let value = text.get(at + name.len() + 1..)?;
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?.0,
        None => value.split_once(", ").map_or(value, |(value, _)| value),
    };
    (value != "null").then_some((value, several))
}

/// `Authentication of [NAME] was terminated by realm [REALM] - failed to authenticate user [NAME]`.
fn elasticsearch(said: &str, out: &mut Out) -> Option<()> {
    let rest = said.strip_prefix("Authentication of [")?;
    let (user, rest) = rest.rsplit_once("] was terminated by realm [")?;
    let (_, reason) = rest.split_once("] - ")?;
    // A name with brackets could hold the sentence itself.
    let user = if user.contains([']', '[']) { "" } else { user };
    login(false, user, None, out);
    out.some(names::EVENT_REASON, reason.split(" [").next().unwrap_or(reason));
    Some(())
}

/// `[SocketServer …] Failed authentication with /ADDRESS (channelId=…) (REASON)`.
fn kafka(said: &str, out: &mut Out) -> Option<()> {
    let (_, rest) = said.split_once("Failed authentication with ")?;
    let (host, rest) = rest.split_once(' ')?;
    // `name/ADDRESS`, or `/ADDRESS` where nobody knows the name.
    let (_, address) = host.split_once('/')?;
    login(false, "", scan::address(address), out);
    let reason = rest.rsplit_once('(').map_or(rest, |(_, reason)| reason);
    out.some(names::EVENT_REASON, reason.trim_end_matches(')'));
    Some(())
}

/// `Authentication failed for token submission [CLASS - NAME, rememberMe=false (ADDRESS)].`
fn shiro(said: &str, out: &mut Out) -> Option<()> {
    let rest = said.strip_prefix("Authentication failed for token submission [")?;
    let (_, rest) = rest.split_once(" - ")?;
    let (user, rest) = rest.rsplit_once(", rememberMe=")?;
    let rest = rest.split("].").next().unwrap_or(rest);
    let address = rest.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    login(false, user, address.and_then(|(address, _)| scan::address(address)), out);
    Some(())
}

/// `Authentication event AuthenticationFailureBadCredentialsEvent: NAME; details: … [RemoteIpAddress=…,`.
fn spring(said: &str, out: &mut Out) -> Option<()> {
    let rest = said.strip_prefix("Authentication event ")?;
    let (event, rest) = rest.split_once(": ")?;
    let success = match event {
        "AuthenticationSuccessEvent" | "InteractiveAuthenticationSuccessEvent" => true,
        event if event.starts_with("AuthenticationFailure") => false,
        _ => return None,
    };
    let (user, details) = rest.rsplit_once("; details: ")?;
    let address = ["RemoteIpAddress=", "RemoteIpAddress: "].iter().find_map(|mark| {
        let (_, rest) = details.split_once(mark)?;
        scan::address(rest.split([',', ';', ']']).next()?)
    });
    login(success, user, address, out);
    if let Some((_, reason)) = details.rsplit_once("; exception: ") {
        out.some(names::EVENT_REASON, reason);
    }
    Some(())
}

/// Whether a line is a request as Rails begins it, without a head: `Started GET "/`.
pub(super) fn is_request(line: &str) -> bool {
    let method = line.strip_prefix("Started ").and_then(|rest| rest.split_once(" \"/"));
    method.is_some_and(|(method, _)| {
        (3..=7).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase())
    })
}

/// `[UUID] Started GET "/path?query" for ADDRESS at STAMP`, as Rails begins each request.
pub(super) fn rails(said: &str, out: &mut Out) -> Option<()> {
    let text = match said.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => said,
    };
    let (method, rest) = text.strip_prefix("Started ")?.split_once(" \"")?;
    let (target, rest) = rest.rsplit_once("\" for ")?;
    let (address, stamp) = rest.split_once(" at ")?;
    if let Some((stamp, _)) = moment::read(stamp).filter(|_| out.time.is_none()) {
        out.time = stamp.and_then(|stamp| out.resolve(&stamp));
    }
    out.word(names::EVENT_CATEGORY, "web");
    out.text(names::HTTP_REQUEST_METHOD, method);
    located(target, out);
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let text = r#"type="LOGIN_ERROR", userId=null, ipAddress=192.0.2.7, username="a, ipAddress=192.0.2.9""#;
        assert_eq!(key(text, "type"), Some(("LOGIN_ERROR", false)));
        assert_eq!(key(text, "userId"), None);
        assert_eq!(key(text, "ipAddress"), Some(("192.0.2.7", true)));
        assert_eq!(key(text, "Address"), None);
    }
}

//! The English words of signing in, and how it went: `login failed`, `failed to log in`, `logged out`.

use super::super::Action;
use super::super::words::{self, Tokens, Words};

pub(super) static FAILED: Words = Words::new(
    "failed failure failures fail fails unsuccessful denied rejected refused incorrect invalid \
     error disallowed forbidden mismatch wrong unauthorized",
);
pub(super) static WORKED: Words =
    Words::new("succeeded succeeds successful success successfully ok accepted granted passed");
/// Before `login` or `password`.
pub(super) static BAD: Words =
    Words::new("failed unsuccessful invalid incorrect wrong bad rejected denied refused illegal");
pub(super) const GOOD: &[&str] = &["successful", "accepted"];
pub(super) const CANNOT: &[&str] =
    &["failed", "unable", "cannot", "can't", "couldn't", "could", "can", "fails"];
pub(super) const SIGNING: &[&str] =
    &["login", "logon", "signin", "sign-in", "log-in", "log-on", "sign-on"];
pub(super) const LEAVING: &[&str] =
    &["logout", "logoff", "signout", "sign-out", "log-out", "log-off"];
pub(super) const PROVING: &[&str] = &["authentication", "auth"];
pub(super) const SECRETS: &[&str] =
    &["password", "passwords", "credentials", "credential", "passphrase", "passwd"];
/// Between `login` and how it went.
pub(super) static BETWEEN: Words =
    Words::new("attempt request try has have was is been access did verification check");
/// What says of the door which it is, and what else may stand before the words of signing in.
pub(super) static DOORS: Words = Words::new(
    "user account ssh telnet web webui gui http https console ftp sftp vpn ssl sslvpn ipsec l2tp \
     pptp radius tacacs ldap ad pam kerberos local remote cli api rest snmp smtp imap pop3 rdp \
     vnc database db portal system client password public-key publickey keyboard-interactive \
     token certificate the a an ui admin-ui serial winbox root-shell interactive network wifi \
     wireless service server domain windows linux his pacs lis emr ris oa sso cas oauth otp mfa \
     2fa two-factor basic digest ntlm xauth eap 802.1x dot1x account:",
);

/// What kind of words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `login failed`, `logged in`: who it was may stand before.
    Person,
    /// `failed login`, `authentication failure`.
    Thing,
    /// `wrong password`: also the reason of another.
    Secret,
}

/// Words of signing in, from a token to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phrase {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) form: Form,
    pub(super) action: Action,
    /// None while how it went is still to come.
    pub(super) success: Option<bool>,
}

/// The words of signing in that begin here.
pub(super) fn phrase(tokens: &Tokens<'_, '_>, from: usize) -> Option<Phrase> {
    let found = |to, form, action, success| Some(Phrase { from, to, form, action, success });
    let first = tokens.word(from);
    if first.is_empty() {
        return None;
    }
    // `failed to log in`.
    if tokens.is(from, CANNOT) {
        let mut at = from + 1;
        at += usize::from(tokens.is(at, &["not"]));
        at += usize::from(tokens.is(at, &["to"]));
        if let Some((width, Action::Login)) = verb(tokens, at).filter(|_| at > from + 1) {
            return found(at + width, Form::Person, Action::Login, Some(false));
        }
    }
    // `failed login`, `wrong password`.
    let (bad, good) = (tokens.is(from, &BAD), tokens.is(from, GOOD));
    if bad || good {
        let mut at = from + 1;
        while at < from + 3
            && tokens.is(at, &DOORS)
            && noun(tokens, at).is_none()
            && secret(tokens, at).is_none()
        {
            at += 1;
        }
        let skip = |at: usize| at + usize::from(tokens.is(at, &["attempt", "request", "try"]));
        if let Some((width, action)) = noun(tokens, at) {
            return found(skip(at + width), Form::Thing, action, Some(good));
        }
        if let Some(width) = secret(tokens, at) {
            return found(skip(at + width), Form::Secret, Action::Login, Some(good));
        }
    }
    if first.eq_ignore_ascii_case("successfully")
        && let Some((width, action)) = past(tokens, from + 1)
    {
        return found(from + 1 + width, Form::Person, action, Some(true));
    }
    if let Some((width, action)) =
        past(tokens, from).filter(|_| !tokens.is(from, &["authenticated"]))
    {
        let to = from + width;
        let to = to + usize::from(tokens.is(to, &["successfully"]));
        return found(to, Form::Person, action, Some(true));
    }
    if tokens.is(from, &["authenticated"]) && tokens.is(from + 1, &["successfully"]) {
        return found(from + 2, Form::Person, Action::Login, Some(true));
    }
    if let Some((action, success)) = joined(first) {
        return found(from + 1, Form::Thing, action, Some(success));
    }
    if let Some((width, action)) = noun(tokens, from) {
        let form = if tokens.is(from, PROVING) { Form::Thing } else { Form::Person };
        let (to, success) = went(tokens, from + width);
        return found(to, form, action, success);
    }
    if let Some(width) = secret(tokens, from) {
        let (to, success) = went(tokens, from + width);
        success?;
        return found(to, Form::Secret, Action::Login, success);
    }
    None
}

/// How it went, behind `login` or `password`.
fn went(tokens: &Tokens<'_, '_>, from: usize) -> (usize, Option<bool>) {
    let mut at = from;
    while at < from + 3 && tokens.is(at, &BETWEEN) {
        at += 1;
    }
    let not = tokens.is(at, &["not"]);
    at += usize::from(not);
    if tokens.is(at, &FAILED) && !not {
        (at + 1, Some(false))
    } else if tokens.is(at, &WORKED) {
        (at + 1, Some(!not))
    } else if not && tokens.is(at, &["match", "allowed", "valid", "correct"]) {
        (at + 1, Some(false))
    } else {
        (from + usize::from(tokens.is(from, &["attempt", "request"])), None)
    }
}

/// `login`, `log in`, `authentication`.
fn noun(tokens: &Tokens<'_, '_>, at: usize) -> Option<(usize, Action)> {
    if tokens.is(at, SIGNING) || tokens.is(at, PROVING) {
        return Some((1, Action::Login));
    }
    if tokens.is(at, LEAVING) {
        return Some((1, Action::Logout));
    }
    let two = tokens.is(at, &["log", "sign"]) && tokens.is(at + 1, &["in", "on"]);
    two.then_some((2, Action::Login))
}

/// `log in`, `login`, `authenticate`.
fn verb(tokens: &Tokens<'_, '_>, at: usize) -> Option<(usize, Action)> {
    if tokens.is(at, &["authenticate"]) { Some((1, Action::Login)) } else { noun(tokens, at) }
}

/// `logged in`, `signed out`, `authenticated`.
fn past(tokens: &Tokens<'_, '_>, at: usize) -> Option<(usize, Action)> {
    if tokens.is(at, &["authenticated", "logged-in"]) {
        return Some((1, Action::Login));
    }
    if !tokens.is(at, &["logged", "signed", "loged"]) {
        return None;
    }
    if tokens.is(at + 1, &["in", "on", "into"]) {
        // `into` leads on to where.
        return Some((1 + usize::from(!tokens.is(at + 1, &["into"])), Action::Login));
    }
    tokens.is(at + 1, &["out", "off"]).then_some((2, Action::Logout))
}

/// `password`, `username or password`.
fn secret(tokens: &Tokens<'_, '_>, at: usize) -> Option<usize> {
    if tokens.is(at, SECRETS)
        || tokens.is(at, &["username/password", "user/password", "login/password"])
    {
        return Some(1);
    }
    let name = match () {
        () if tokens.is(at, &["user"]) && tokens.is(at + 1, &["name", "id"]) => 2,
        () if tokens.is(at, &["username", "login", "user", "account", "name"]) => 1,
        () => return None,
    };
    let both =
        tokens.is(at + name, &["or", "and", "/", "and/or"]) && tokens.is(at + name + 1, SECRETS);
    both.then_some(name + 2)
}

/// `login_failed`, `auth-success`.
fn joined(word: &str) -> Option<(Action, bool)> {
    let (what, went) = word.rsplit_once(['_', '-'])?;
    let any = words::any;
    let what = what.rsplit_once(['_', '-']).map_or(what, |(_, last)| last);
    let action = if any(what, SIGNING) || any(what, PROVING) {
        Action::Login
    } else if any(what, LEAVING) {
        Action::Logout
    } else {
        return None;
    };
    let failed = any(went, &FAILED);
    (failed || any(went, &WORKED)).then_some((action, !failed))
}

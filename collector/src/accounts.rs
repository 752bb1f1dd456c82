//! Accounts: who may sign in, as what, and with which secrets.
//!
//! In: names, secrets, the state as of the last commit, the time. Out: decisions for the judge, each
//! with a chained entry that says who did what to which account. Nothing here does I/O, and nothing
//! slow runs inside a decision: a password is hashed or verified (about 20 ms of argon2id) before,
//! see [`password`], and the decision checks that what was verified is still what is stored.
//!
//! Three separated administrators (三权分立): `sysadmin` keeps accounts and the machine, `secadmin`
//! handles alerts and reads events, `auditadmin` reads what everybody did; an account has one role and
//! keeps it. [`Role::rights`] is the whole matrix.
//!
//! Secrets are 256 random bits shown once and stored as SHA-256: one-time links (24 h), sessions
//! (cookie; idle and absolute time-outs), API tokens. Passwords are stored as argon2id PHC strings.
//! A second factor will be one more step between the password and the session; it is not here yet.

pub mod password;
mod token;

pub use token::{ApiToken, Scope, api_token, token_create, token_revoke, tokens};

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use hengwei_protocol::identity;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::history::tree;
use crate::store::{self, Decision, Error, Store};

/// How long a one-time link can be used.
pub const INVITE_SECS: i64 = 24 * 3600;
/// Wrong passwords in a row that lock an account.
pub const MAX_FAILURES: u32 = 5;
/// How long an account stays locked.
pub const LOCK_SECS: i64 = 30 * 60;
/// Sessions one account can have; the oldest goes.
pub const MAX_SESSIONS: usize = 10;
/// Accounts there can be: a list of all is read to sign one in by link.
pub const MAX_USERS: usize = 1000;
/// `seen` of a session is written again when it is older than this, so that a request does not cost
/// a commit. A session therefore ends up to this much before its idle time-out.
pub const TOUCH_SECS: i64 = 60;

const NANOS: i64 = 1_000_000_000;
const PREFIX_TOKEN: &str = "hwt_";

/// What an account is for. One account, one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// System administrator: accounts, the machine.
    Sysadmin,
    /// Security administrator: alerts, events.
    Secadmin,
    /// Audit administrator: what everybody did.
    Auditadmin,
    /// Looks only.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Sysadmin, Role::Secadmin, Role::Auditadmin, Role::Viewer];

    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Sysadmin => "sysadmin",
            Role::Secadmin => "secadmin",
            Role::Auditadmin => "auditadmin",
            Role::Viewer => "viewer",
        }
    }

    /// What the role may do.
    pub const fn rights(self) -> &'static [Right] {
        match self {
            Role::Sysadmin => &[Right::Alerts, Right::Inventory, Right::Accounts],
            Role::Secadmin => &[Right::Alerts, Right::Handle, Right::Inventory, Right::Search],
            Role::Auditadmin => &[Right::Alerts, Right::Inventory, Right::Search],
            Role::Viewer => &[Right::Alerts, Right::Inventory],
        }
    }

    /// Whether the role may do it.
    pub fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Role, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| format!("`{name}` is no role (sysadmin, secadmin, auditadmin, viewer)"))
    }
}

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read alerts.
    Alerts,
    /// Acknowledge and close alerts.
    Handle,
    /// Read hosts, coverage, ledger, status.
    Inventory,
    /// Read events themselves, which may hold personal data.
    Search,
    /// Add and disable accounts.
    Accounts,
}

impl Right {
    /// For messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Right::Alerts => "read alerts",
            Right::Handle => "handle alerts",
            Right::Inventory => "read the inventory",
            Right::Search => "search events",
            Right::Accounts => "keep accounts",
        }
    }
}

/// An account, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// As signed in with.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// argon2id PHC string; None until the one-time link was used.
    pub password: Option<String>,
    /// Unix nanoseconds.
    pub created: i64,
    /// Wrong passwords since the last right one.
    pub failures: u32,
    /// Locked before this time, Unix nanoseconds; 0 when never.
    pub locked_until: i64,
    /// Unix nanoseconds.
    pub last_login: Option<i64>,
    /// The one-time link that was not used yet.
    pub invite: Option<Invite>,
    /// Whether it may no longer sign in.
    pub disabled: bool,
}

/// A one-time link, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// Unix nanoseconds.
    pub expires: i64,
}

/// A session, stored under the SHA-256 (hex) of its cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Account.
    pub user: String,
    /// Unix nanoseconds.
    pub created: i64,
    /// The last request, to [`TOUCH_SECS`], Unix nanoseconds.
    pub seen: i64,
}

/// When sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// After so long without a request.
    pub idle_secs: i64,
    /// In any case.
    pub absolute_secs: i64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { idle_secs: 30 * 60, absolute_secs: 12 * 3600 }
    }
}

/// 256 random bits, shown to their owner once. Its Debug shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn random() -> Result<Secret, Error> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Error::Busy("no randomness to be had".to_owned()))?;
        Ok(Secret(identity::hex(&bytes)))
    }

    /// The text its owner keeps.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored in its place. With 256 random bits a slow hash would add nothing.
    pub fn stored(&self) -> String {
        stored(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How a secret that somebody presents is looked up.
pub fn stored(secret: &str) -> String {
    identity::hex(&identity::sha256(secret.as_bytes()))
}

/// Adds an account and returns the secret of its one-time link, good for [`INVITE_SECS`].
///
/// # Errors
/// The name is taken or can't be one, or there are too many accounts.
pub fn user_add(
    store: &dyn Store,
    now: i64,
    actor: &str,
    name: &str,
    role: Role,
) -> Result<(Decision, Secret), Error> {
    if !identity::is_id(name) {
        return Err(refused(format!(
            "`{}` can't name an account: use lower-case letters, digits, `-`, `_`, `.`",
            name.chars().take(identity::MAX_ID).collect::<String>().escape_debug()
        )));
    }
    if user(store, name).is_some() {
        return Err(refused(format!("account `{name}` exists already")));
    }
    if users(store).len() >= MAX_USERS {
        return Err(refused(format!("there are {MAX_USERS} accounts, and can't be more")));
    }
    let (secret, invite) = invite(now)?;
    let user = User {
        name: name.to_owned(),
        role,
        password: None,
        created: now,
        failures: 0,
        locked_until: 0,
        last_login: None,
        invite: Some(invite),
        disabled: false,
    };
    let body = json!({"user": name, "role": role});
    Ok((decide(now, actor, "user.added", body, vec![put_user(&user)]), secret))
}

/// A new one-time link for an account whose owner lost the password. The old password works until
/// the link is used.
///
/// # Errors
/// There is no such account, or it is disabled.
pub fn user_invite(
    store: &dyn Store,
    now: i64,
    actor: &str,
    name: &str,
) -> Result<(Decision, Secret), Error> {
    let mut user = known(store, name)?;
    if user.disabled {
        return Err(refused(format!("account `{name}` is disabled: add another")));
    }
    let (secret, invite) = invite(now)?;
    user.invite = Some(invite);
    let body = json!({"user": name});
    Ok((decide(now, actor, "user.invited", body, vec![put_user(&user)]), secret))
}

/// Disables an account: its sessions and tokens end with it. Its name stays taken, so that the name
/// in history always means the same person.
///
/// # Errors
/// There is no such account.
pub fn user_disable(
    store: &dyn Store,
    now: i64,
    actor: &str,
    name: &str,
) -> Result<(Decision, ()), Error> {
    let mut user = known(store, name)?;
    user.disabled = true;
    user.invite = None;
    let mut puts = vec![put_user(&user)];
    puts.extend(sessions_of(store, name).map(|(key, _)| store::remove(tree::SESSIONS, key)));
    puts.extend(token::all_of(store, name).map(|key| store::remove(tree::API_TOKENS, key)));
    Ok((decide(now, actor, "user.disabled", json!({"user": name}), puts), ()))
}

/// All accounts, by name.
pub fn users(store: &dyn Store) -> Vec<User> {
    let mut users = Vec::new();
    store.scan(tree::USERS, b"", &mut |_, value| {
        users.extend(store::parse::<User>(tree::USERS, value));
        true
    });
    users
}

/// One account.
pub fn user(store: &dyn Store, name: &str) -> Option<User> {
    store::get(store, tree::USERS, name.as_bytes())
}

/// Whether anybody could sign in: until then the console listens on loopback only.
pub fn anybody(store: &dyn Store) -> bool {
    users(store).iter().any(|user| !user.disabled && user.password.is_some())
}

/// The account a one-time link is for, while it can be used.
pub fn invited(store: &dyn Store, now: i64, secret: &str) -> Option<User> {
    let hash = stored(secret);
    users(store).into_iter().find(|user| {
        !user.disabled && user.invite.as_ref().is_some_and(|it| it.hash == hash && now < it.expires)
    })
}

/// Uses a one-time link: the password becomes the one hashed in `phc`, open sessions end.
///
/// # Errors
/// The link was used, is past its time, or never was.
pub fn accept_invite(
    store: &dyn Store,
    now: i64,
    secret: &str,
    phc: String,
) -> Result<(Decision, String), Error> {
    let mut user = invited(store, now, secret)
        .ok_or_else(|| refused("the link was used or is past its time: ask for a new one"))?;
    user.invite = None;
    user.password = Some(phc);
    user.failures = 0;
    user.locked_until = 0;
    let mut puts = vec![put_user(&user)];
    puts.extend(sessions_of(store, &user.name).map(|(key, _)| store::remove(tree::SESSIONS, key)));
    let body = json!({"user": user.name});
    let decision = decide(now, &user.name, "user.password-set", body, puts);
    Ok((decision, user.name))
}

/// What came of signing in. The other end learns only whether it was [`SignedIn::Yes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// Here is the session's secret.
    Yes(Secret),
    /// Wrong password.
    Wrong,
    /// Wrong password, for the last time in a while: the account is locked now.
    Locks,
    /// Locked: the password was not looked at.
    Locked,
    /// No such account, no password yet, or disabled.
    Unknown,
}

/// Decides over a password that was verified before: `verified` is the PHC string it was verified
/// against, and whether it fits. `peer` goes into the entry.
///
/// # Errors
/// No randomness for a session.
pub fn sign_in(
    store: &dyn Store,
    now: i64,
    policy: Policy,
    name: &str,
    peer: &str,
    verified: (Option<&str>, bool),
) -> Result<(Decision, SignedIn), Error> {
    let (against, fits) = verified;
    let usable = |user: &User| !user.disabled && user.password.is_some();
    let Some(mut user) = user(store, name).filter(usable) else {
        // The name itself is not written down: people type passwords into the wrong field.
        let body = json!({"from": peer, "why": "unknown account"});
        return Ok((
            decide(now, "anybody", "user.sign-in-refused", body, vec![]),
            SignedIn::Unknown,
        ));
    };
    if now < user.locked_until {
        let body = json!({"user": name, "from": peer, "why": "locked"});
        return Ok((
            decide(now, "anybody", "user.sign-in-refused", body, vec![]),
            SignedIn::Locked,
        ));
    }
    if !fits || against != user.password.as_deref() {
        user.failures += 1;
        let locks = user.failures >= MAX_FAILURES;
        if locks {
            user.failures = 0;
            user.locked_until = after(now, LOCK_SECS);
        }
        let why = if locks { "wrong password, locked now" } else { "wrong password" };
        let body = json!({"user": name, "from": peer, "why": why});
        let decision = decide(now, "anybody", "user.sign-in-refused", body, vec![put_user(&user)]);
        return Ok((decision, if locks { SignedIn::Locks } else { SignedIn::Wrong }));
    }
    user.failures = 0;
    user.locked_until = 0;
    user.last_login = Some(now);
    let secret = Secret::random()?;
    let session = Session { user: name.to_owned(), created: now, seen: now };
    let mut puts = vec![put_user(&user)];
    puts.extend(outdated(store, now, policy, name).map(|key| store::remove(tree::SESSIONS, key)));
    puts.push(store::put(tree::SESSIONS, secret.stored(), &session));
    let decision = decide(now, name, "user.signed-in", json!({"from": peer}), puts);
    Ok((decision, SignedIn::Yes(secret)))
}

/// Ends a session, by its stored key.
///
/// # Errors
/// Never; the shape is the judge's.
pub fn sign_out(store: &dyn Store, now: i64, key: &str) -> Result<(Decision, ()), Error> {
    let Some(session) = store::get::<Session>(store, tree::SESSIONS, key.as_bytes()) else {
        return Ok((Decision::default(), ()));
    };
    let puts = vec![store::remove(tree::SESSIONS, key)];
    Ok((decide(now, &session.user, "user.signed-out", json!({}), puts), ()))
}

/// The session of a stored key and its account, while both are good.
pub fn session(store: &dyn Store, now: i64, policy: Policy, key: &str) -> Option<(User, Session)> {
    let session: Session = store::get(store, tree::SESSIONS, key.as_bytes())?;
    if ended(&session, now, policy) {
        return None;
    }
    let user = user(store, &session.user).filter(|user| !user.disabled)?;
    Some((user, session))
}

/// Whether [`touch`] is due.
pub fn is_stale(session: &Session, now: i64) -> bool {
    now - session.seen >= TOUCH_SECS * NANOS
}

/// Notes that a session is in use. Not chained: nobody did anything.
///
/// # Errors
/// Never; the shape is the judge's.
pub fn touch(
    store: &dyn Store,
    now: i64,
    policy: Policy,
    key: &str,
) -> Result<(Decision, ()), Error> {
    let mut decision = Decision::default();
    if let Some((_, mut session)) = self::session(store, now, policy, key) {
        session.seen = session.seen.max(now);
        decision.puts.push(store::put(tree::SESSIONS, key, &session));
    }
    Ok((decision, ()))
}

/// The time so many seconds after `now`.
pub(crate) fn after(now: i64, seconds: i64) -> i64 {
    now.saturating_add(seconds.saturating_mul(NANOS))
}

/// One chained entry and what changes with it.
pub(crate) fn decide(
    now: i64,
    actor: &str,
    action: &str,
    body: serde_json::Value,
    puts: Vec<crate::history::Put>,
) -> Decision {
    Decision { entries: vec![store::entry(now, actor, action, &body)], puts }
}

fn refused(why: impl Into<String>) -> Error {
    Error::Refused(why.into())
}

fn known(store: &dyn Store, name: &str) -> Result<User, Error> {
    user(store, name).ok_or_else(|| refused("there is no such account"))
}

fn put_user(user: &User) -> crate::history::Put {
    store::put(tree::USERS, user.name.as_bytes(), user)
}

fn invite(now: i64) -> Result<(Secret, Invite), Error> {
    let secret = Secret::random()?;
    let invite = Invite { hash: secret.stored(), expires: after(now, INVITE_SECS) };
    Ok((secret, invite))
}

fn ended(session: &Session, now: i64, policy: Policy) -> bool {
    now >= after(session.seen, policy.idle_secs)
        || now >= after(session.created, policy.absolute_secs)
}

fn sessions(store: &dyn Store) -> Vec<(Vec<u8>, Session)> {
    let mut sessions = Vec::new();
    store.scan(tree::SESSIONS, b"", &mut |key, value| {
        let session = store::parse::<Session>(tree::SESSIONS, value);
        sessions.extend(session.map(|session| (key.to_vec(), session)));
        true
    });
    sessions
}

fn sessions_of(store: &dyn Store, name: &str) -> impl Iterator<Item = (Vec<u8>, Session)> {
    sessions(store).into_iter().filter(move |(_, session)| session.user == name)
}

/// Sessions to remove when `name` signs in: everybody's that have ended, and the oldest of `name`'s
/// beyond [`MAX_SESSIONS`] with the one to come.
fn outdated(
    store: &dyn Store,
    now: i64,
    policy: Policy,
    name: &str,
) -> impl Iterator<Item = Vec<u8>> {
    let (mut gone, live): (Vec<_>, Vec<_>) =
        sessions(store).into_iter().partition(|(_, session)| ended(session, now, policy));
    let mut own: Vec<_> = live.into_iter().filter(|(_, session)| session.user == name).collect();
    own.sort_by_key(|(_, session)| session.created);
    let surplus = (own.len() + 1).saturating_sub(MAX_SESSIONS);
    gone.extend(own.into_iter().take(surplus));
    gone.into_iter().map(|(key, _)| key)
}

#[cfg(test)]
mod tests;

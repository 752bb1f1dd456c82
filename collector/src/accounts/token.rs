//! API tokens: what a program signs in with. A token has its owner's rights cut to its scope, ends on
//! a day fixed when it was made, and is shown once.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{PREFIX_TOKEN, Right, Secret, User, after, decide, known, refused, stored, user};
use crate::history::tree;
use crate::store::{self, Decision, Error, Store};

/// Longest life of a token.
pub(super) const MAX_DAYS: i64 = 365;
/// Tokens one account can have.
pub(super) const MAX_TOKENS: usize = 20;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reads alerts, and nothing else.
    Alerts,
    /// Reads whatever its owner may read.
    Read,
    /// All its owner may do, but keeping accounts.
    Full,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 3] = [Scope::Alerts, Scope::Read, Scope::Full];

    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Alerts => "alerts",
            Scope::Read => "read",
            Scope::Full => "full",
        }
    }

    /// Whether a token of this scope can use the right, when its owner has it.
    pub fn covers(self, right: Right) -> bool {
        match (self, right) {
            (_, Right::Accounts) => false,
            (Scope::Full, _) | (_, Right::Alerts) => true,
            (Scope::Read, right) => right != Right::Handle,
            (Scope::Alerts, _) => false,
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Scope, String> {
        let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
        found.ok_or_else(|| format!("`{name}` is no scope (alerts, read, full)"))
    }
}

/// A token, stored under the SHA-256 (hex) of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// How its owner calls it; unique among the owner's.
    pub name: String,
    /// Account.
    pub user: String,
    /// What it is for.
    pub scope: Scope,
    /// Unix nanoseconds.
    pub created: i64,
    /// Unix nanoseconds.
    pub expires: i64,
}

/// Makes a token and returns its text, which nobody can be shown again.
///
/// # Errors
/// The account can't have it, or the name or number of days can't be.
pub fn token_create(
    store: &dyn Store,
    now: i64,
    actor: &str,
    owner: &str,
    name: &str,
    scope: Scope,
    days: i64,
) -> Result<(Decision, String), Error> {
    if known(store, owner)?.disabled {
        return Err(refused(format!("account `{owner}` is disabled")));
    }
    if !hengwei_protocol::identity::is_id(name) {
        return Err(refused("a token's name is lower-case letters, digits, `-`, `_`, `.`"));
    }
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(refused(format!("a token lives 1 to {MAX_DAYS} days, not {days}")));
    }
    let (dead, own): (Vec<_>, Vec<_>) = rows(store)
        .into_iter()
        .filter(|(_, token)| token.user == owner)
        .partition(|(_, token)| now >= token.expires);
    if own.iter().any(|(_, token)| token.name == name) {
        return Err(refused(format!("account `{owner}` has a token `{name}` already")));
    }
    if own.len() >= MAX_TOKENS {
        return Err(refused(format!("account `{owner}` has {MAX_TOKENS} tokens: revoke one")));
    }
    let text = format!("{PREFIX_TOKEN}{}", Secret::random()?.reveal());
    let expires = after(now, days * 24 * 3600);
    let token =
        ApiToken { name: name.to_owned(), user: owner.to_owned(), scope, created: now, expires };
    let mut puts: Vec<_> =
        dead.into_iter().map(|(key, _)| store::remove(tree::API_TOKENS, key)).collect();
    puts.push(store::put(tree::API_TOKENS, stored(&text), &token));
    let body = json!({"user": owner, "token": name, "scope": scope, "days": days});
    Ok((decide(now, actor, "token.created", body, puts), text))
}

/// Ends a token of an account, by its name.
///
/// # Errors
/// There is none of that name.
pub fn token_revoke(
    store: &dyn Store,
    now: i64,
    actor: &str,
    owner: &str,
    name: &str,
) -> Result<(Decision, ()), Error> {
    let found =
        rows(store).into_iter().find(|(_, token)| token.user == owner && token.name == name);
    let (key, _) = found.ok_or_else(|| refused("there is no such token"))?;
    let body = json!({"user": owner, "token": name});
    let puts = vec![store::remove(tree::API_TOKENS, key)];
    Ok((decide(now, actor, "token.revoked", body, puts), ()))
}

/// All tokens, past ones included until their owner makes another; never their text.
pub fn tokens(store: &dyn Store) -> Vec<ApiToken> {
    rows(store).into_iter().map(|(_, token)| token).collect()
}

/// The token of this text and its owner, while both are good.
pub fn api_token(store: &dyn Store, now: i64, text: &str) -> Option<(User, ApiToken)> {
    if !text.starts_with(PREFIX_TOKEN) {
        return None;
    }
    let token: ApiToken = store::get(store, tree::API_TOKENS, stored(text).as_bytes())?;
    if now >= token.expires {
        return None;
    }
    let owner = user(store, &token.user).filter(|user| !user.disabled)?;
    Some((owner, token))
}

/// Keys of an account's tokens.
pub(super) fn all_of(store: &dyn Store, owner: &str) -> impl Iterator<Item = Vec<u8>> {
    rows(store).into_iter().filter(move |(_, token)| token.user == owner).map(|(key, _)| key)
}

fn rows(store: &dyn Store) -> Vec<(Vec<u8>, ApiToken)> {
    let mut rows = Vec::new();
    store.scan(tree::API_TOKENS, b"", &mut |key, value| {
        let token = store::parse::<ApiToken>(tree::API_TOKENS, value);
        rows.extend(token.map(|token| (key.to_vec(), token)));
        true
    });
    rows
}

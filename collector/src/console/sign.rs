//! Signing in and out, using a one-time link, choosing a language: what is open to anybody.
//!
//! A password is verified before the judge is asked, a few at once and off the threads that serve;
//! an unknown name costs as much as a known one and gets the same answer.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::guard::{self, Caller, Failed};
use super::lang::{self, Lang, Page};
use super::pages::{self, InvitePage, SignInPage};
use super::{App, guard::COOKIE};
use crate::accounts::{self, SignedIn, User, password};
use crate::serve::Peer;
use crate::store;

const SIGN_IN: (&str, &str) = ("登录", "Sign in");
const INVITE: (&str, &str) = ("设置口令", "Set your password");

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    password: String,
    again: String,
}

/// The sign-in page.
pub(super) async fn form(headers: HeaderMap, Query(query): Query<Next>) -> Response {
    let page = Page::bare(&headers, SIGN_IN, "/sign-in");
    pages::show(StatusCode::OK, &SignInPage { page, next: local(&query.next), wrong: false })
}

/// Name and password in, a session out.
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    Form(given): Form<Credentials>,
) -> Result<Response, Response> {
    let failed = |failed: Failed| guard::refusal("/sign-in", &headers, failed);
    let from = address(peer);
    if !app.attempts.allow(from, app.now()) {
        return Err(failed(too_many()));
    }
    let signed = verified(&app, from, &given).await.map_err(failed)?;
    let SignedIn::Yes(secret) = signed else {
        let page = Page::bare(&headers, SIGN_IN, "/sign-in");
        let sheet = SignInPage { page, next: local(&given.next), wrong: true };
        return Ok(pages::show(StatusCode::UNAUTHORIZED, &sheet));
    };
    let set = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", secret.reveal());
    Ok(([(header::SET_COOKIE, set)], Redirect::to(&local(&given.next))).into_response())
}

async fn verified(app: &App, from: IpAddr, given: &Credentials) -> Result<SignedIn, Failed> {
    let name = given.name.trim().to_owned();
    let asked = name.clone();
    let user = app.read(move |store, _| accounts::user(store, &asked)).await?;
    let against = user.and_then(|user| user.password);
    let (phc, word) = (against.clone(), given.password.clone());
    let fits = slow(app, move || password::verify(phc.as_deref(), &word)).await?;
    let policy = app.services.policy;
    let signed = store::transact(&*app.services.judge, move |store, now| {
        let from = from.to_string();
        accounts::sign_in(store, now, policy, &name, &from, (against.as_deref(), fits))
    });
    Ok(signed.await?)
}

/// Ends the session.
pub(super) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Response> {
    if let Some(key) = caller.session().map(str::to_owned) {
        let out = store::transact(&*app.services.judge, move |store, now| {
            accounts::sign_out(store, now, &key)
        });
        out.await.map_err(|error| guard::refusal("/sign-out", &headers, error.into()))?;
    }
    let unset = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(([(header::SET_COOKIE, unset)], Redirect::to("/sign-in")).into_response())
}

/// The page of a one-time link.
pub(super) async fn invited(
    State(app): State<App>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    Path(secret): Path<String>,
) -> Result<Response, Response> {
    let user = linked(&app, &headers, address(peer), &secret).await?;
    Ok(invitation(&headers, StatusCode::OK, &user, None))
}

/// The password in; the link is used up.
pub(super) async fn accept(
    State(app): State<App>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    Path(secret): Path<String>,
    Form(given): Form<NewPassword>,
) -> Result<Response, Response> {
    let user = linked(&app, &headers, address(peer), &secret).await?;
    let again = |why| invitation(&headers, StatusCode::UNPROCESSABLE_ENTITY, &user, Some(why));
    if given.password != given.again {
        return Ok(again(("两次输入的口令不一致", "the two passwords differ".to_owned())));
    }
    if let Err(weak) = password::check(&user.name, &given.password) {
        return Ok(again((weak_zh(weak), weak.to_string())));
    }
    let failed = |failed: Failed| guard::refusal("/invite", &headers, failed);
    let hashed = slow(&app, move || password::hash(&given.password)).await.map_err(failed)?;
    let phc = hashed.map_err(|error| {
        tracing::error!("{error:#}");
        failed(Failed::ours())
    })?;
    let accepted = store::transact(&*app.services.judge, move |store, now| {
        accounts::accept_invite(store, now, &secret, phc)
    });
    accepted.await.map_err(|error| failed(error.into()))?;
    Ok(Redirect::to("/sign-in").into_response())
}

/// Keeps the language and goes back.
pub(super) async fn language(Path(to): Path<String>, Query(query): Query<Next>) -> Response {
    let to = if to == "en" { "en" } else { "zh" };
    let name = lang::COOKIE;
    let set = format!("{name}={to}; Path=/; Secure; SameSite=Lax; Max-Age=31536000");
    ([(header::SET_COOKIE, set)], Redirect::to(&local(&query.next))).into_response()
}

async fn linked(
    app: &App,
    headers: &HeaderMap,
    from: IpAddr,
    secret: &str,
) -> Result<User, Response> {
    let failed = |failed: Failed| guard::refusal("/invite", headers, failed);
    let now = app.now();
    if !app.attempts.allow(from, now) {
        return Err(failed(too_many()));
    }
    let secret = secret.to_owned();
    let user =
        app.read(move |store, _| accounts::invited(store, now, &secret)).await.map_err(failed)?;
    user.ok_or_else(|| {
        let said = match Lang::of(headers) {
            Lang::Zh => "该链接已使用或已过期",
            Lang::En => "the link was used or is past its time",
        };
        failed(Failed::new(StatusCode::GONE, said, "ask the system administrator for a new link"))
    })
}

fn invitation(
    headers: &HeaderMap,
    status: StatusCode,
    user: &User,
    wrong: Option<(&'static str, String)>,
) -> Response {
    let page = Page::bare(headers, INVITE, "/invite").at("");
    let wrong = wrong.map(|(zh, en)| page.say(zh, &en).to_owned());
    pages::show(status, &InvitePage { page, name: user.name.clone(), wrong })
}

/// Runs argon2id, a few at once.
async fn slow<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let _permit = app.verifying.acquire().await.map_err(|_| Failed::ours())?;
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!("a password could not be worked on: {error}");
        Failed::ours()
    })
}

fn too_many() -> Failed {
    let said = "too many attempts from this address";
    Failed::new(StatusCode::TOO_MANY_REQUESTS, said, "wait a minute")
}

/// Without an address (no listener of ours did this) all share one.
fn address(peer: Option<Extension<Peer>>) -> IpAddr {
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.0.ip())
}

/// A path of ours to go to, whatever was asked for: never another host.
fn local(next: &str) -> String {
    let plain = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain { next.to_owned() } else { "/".to_owned() }
}

fn weak_zh(weak: password::Weak) -> &'static str {
    match weak {
        password::Weak::Short => "口令至少需要 10 个字符",
        password::Weak::Long => "口令过长",
        password::Weak::Name => "口令不能与账号名相同或相近",
        password::Weak::Monotonous => "口令中不同的字符太少",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        let check = |next: &str, expected: &str| assert_eq!(local(next), expected, "{next}");
        check("/alerts?level=high", "/alerts?level=high");
        for next in ["", "alerts", "//evil.example", "/\\evil", "https://evil.example", "/a\r\nb"] {
            check(next, "/");
        }
    }
}

//! Who is asking, and may they: the checks every request passes before a handler sees it.
//!
//! [`front`] stands before everything: it bounds and reads the body, refuses a change that another
//! site's page sent, and puts the security headers on every answer. [`gate`] stands before every
//! route that is not open: it finds the caller by cookie or bearer token, wants the route's right,
//! checks the anti-forgery token of a change that came by cookie, and records a refusal for want of a
//! right in history, because an administrator who tries another's door is something the auditor
//! should see.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{App, pages};
use crate::accounts::{self, Right, Scope, User};
use crate::logql;
use crate::serve::Peer;
use crate::store;

/// The session's cookie. `__Host-` has the browser insist on Secure, path `/` and no domain.
pub(super) const COOKIE: &str = "__Host-hengwei";
/// Carries the anti-forgery token of a change that is not a form.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";
/// Bytes of a request's body.
pub(super) const MAX_BODY: usize = 64 << 10;
/// For the whole of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Sign-ins and links tried by one address within [`WINDOW_SECS`].
const MAX_ATTEMPTS: u32 = 20;
const WINDOW_SECS: i64 = 60;
/// Addresses that are counted at once.
const MAX_ADDRESSES: usize = 4096;

const SECURITY_HEADERS: &[(header::HeaderName, &str)] = &[
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with that, browsers send `Origin: null` with our own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
];

/// Who is asking.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The account.
    pub(super) user: User,
    /// How they came in.
    via: Via,
}

#[derive(Debug, Clone)]
enum Via {
    Session { key: String, csrf: String },
    Token { name: String, scope: Scope, text: String },
}

impl Caller {
    /// As written in history.
    pub(super) fn who(&self) -> String {
        match &self.via {
            Via::Session { .. } => self.user.name.clone(),
            Via::Token { name, .. } => format!("{}/{name}", self.user.name),
        }
    }

    /// Whether role and scope allow it.
    pub(super) fn may(&self, right: Right) -> bool {
        let scoped = match &self.via {
            Via::Session { .. } => true,
            Via::Token { scope, .. } => scope.covers(right),
        };
        scoped && self.user.role.may(right)
    }

    /// The anti-forgery token of the session; empty for a token, which no browser sends by itself.
    pub(super) fn csrf(&self) -> &str {
        match &self.via {
            Via::Session { csrf, .. } => csrf,
            Via::Token { .. } => "",
        }
    }

    /// The stored key of the session.
    pub(super) fn session(&self) -> Option<&str> {
        match &self.via {
            Via::Session { key, .. } => Some(key),
            Via::Token { .. } => None,
        }
    }

    /// Whether what the caller came in with is still good.
    pub(super) fn still_good(&self, store: &dyn store::Store, now: i64, app: &App) -> bool {
        match &self.via {
            Via::Session { key, .. } => {
                accounts::session(store, now, app.services.policy, key).is_some()
            }
            Via::Token { text, .. } => accounts::api_token(store, now, text).is_some(),
        }
    }
}

/// An answer that is no success, for programs: `{error, remedy}`; of a query also where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) remedy: &'static str,
    /// What is wrong with a query.
    pub(super) query: Option<Box<logql::Error>>,
}

impl Failed {
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        remedy: &'static str,
    ) -> Failed {
        Failed { status, error: error.into(), remedy, query: None }
    }

    /// Our bug or our disk; the log has it.
    pub(super) fn ours() -> Failed {
        let (status, said) = (StatusCode::INTERNAL_SERVER_ERROR, "the collector failed");
        Failed::new(status, said, "look into the collector's log")
    }

    pub(super) fn missing(what: &str) -> Failed {
        Failed::new(StatusCode::NOT_FOUND, format!("there is no such {what}"), "list them")
    }

    pub(super) fn bad(error: impl Into<String>) -> Failed {
        Failed::new(StatusCode::BAD_REQUEST, error, "correct the request")
    }
}

impl From<logql::Error> for Failed {
    fn from(error: logql::Error) -> Failed {
        Failed { query: Some(Box::new(error.clone())), ..Failed::bad(error.message()) }
    }
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Failed {
        match error {
            store::Error::Refused(why) => {
                Failed::new(StatusCode::CONFLICT, why, "correct the request")
            }
            store::Error::Busy(_) | store::Error::Hole { .. } => {
                tracing::warn!("a change was not taken: {error}");
                let said = "the change was not taken";
                Failed::new(StatusCode::SERVICE_UNAVAILABLE, said, "try again in a minute")
            }
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.error, "remedy": self.remedy});
        if let Some(error) = self.query {
            body["column"] = error.column.into();
            body["found"] = error.found.into();
            body["expected"] = error.expected.into();
        }
        (self.status, axum::Json(body)).into_response()
    }
}

/// The query of a request to the API; what is wrong with it is told as the API tells everything.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Failed> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => Err(Failed::bad(rejection.body_text())),
        }
    }
}

/// Before everything: body, origin, headers.
pub(super) async fn front(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match taken(request).await {
        Ok(request) => next.run(request).await,
        Err(failed) => refusal(&path, &HeaderMap::new(), failed),
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The request with its body read, unless it must be refused.
async fn taken(request: Request) -> Result<Request, Failed> {
    let (parts, body) = request.into_parts();
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    if !same_origin(&parts.headers) {
        let said = "the request comes from another site's page";
        return Err(Failed::new(StatusCode::FORBIDDEN, said, "use the console's own pages"));
    }
    let reading = axum::body::to_bytes(body, MAX_BODY);
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => {
            let said = format!("the body is longer than {MAX_BODY} bytes, or broken off");
            Err(Failed::new(StatusCode::PAYLOAD_TOO_LARGE, said, "send less"))
        }
        Err(_) => {
            let said = "the body took too long";
            Err(Failed::new(StatusCode::REQUEST_TIMEOUT, said, "send it faster"))
        }
    }
}

/// Whether a change can come from a page of ours, or from no browser at all. Browsers send `Origin`
/// with every POST; what sends neither header is a program, which has no cookies it does not mean.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site"))
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

/// Before every route that is not open.
pub(super) async fn gate(
    State((app, right)): State<(App, Right)>,
    mut request: Request,
    next: Next,
) -> Response {
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let caller = match caller(&app, request.uri(), &headers).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return refusal(&path, &headers, unknown()),
        Err(failed) => return refusal(&path, &headers, failed),
    };
    if !caller.may(right) {
        let peer = request.extensions().get::<Peer>().copied();
        note_refusal(&app, &caller, right, request.method(), &path, peer).await;
        let said = format!("{} can't {}", caller.who(), right.as_str());
        let remedy = "sign in with an account, or use a token, that has this right";
        return refusal(&path, &headers, Failed::new(StatusCode::FORBIDDEN, said, remedy));
    }
    if request.method() == Method::POST && caller.session().is_some() {
        request = match unforged(request, caller.csrf()).await {
            Ok(request) => request,
            Err(failed) => return refusal(&path, &headers, failed),
        };
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The session cookie or bearer token, looked up. A token is good for the API only.
async fn caller(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Option<Caller>, Failed> {
    let now = app.now();
    if let Some(bearer) = headers.get(header::AUTHORIZATION) {
        let text =
            bearer.to_str().ok().and_then(|it| it.strip_prefix("Bearer ")).map(str::to_owned);
        let Some(text) = text.filter(|_| uri.path().starts_with("/api/")) else { return Ok(None) };
        return app
            .read(move |store, _| {
                let (user, token) = accounts::api_token(store, now, &text)?;
                Some(Caller {
                    user,
                    via: Via::Token { name: token.name, scope: token.scope, text },
                })
            })
            .await;
    }
    let Some(secret) = cookie(headers, COOKIE) else { return Ok(None) };
    let (key, csrf) = (accounts::stored(&secret), accounts::stored(&format!("csrf {secret}")));
    let (policy, asked) = (app.services.policy, key.clone());
    let found = app.read(move |store, _| accounts::session(store, now, policy, &asked)).await?;
    let Some((user, session)) = found else { return Ok(None) };
    // The live feed keeps itself open: it must not keep a forgotten session alive.
    if accounts::is_stale(&session, now) && uri.path() != "/api/v1/alerts/stream" {
        let touched = key.clone();
        let touch = store::transact(&*app.services.judge, move |store, _| {
            accounts::touch(store, now, policy, &touched)
        });
        if let Err(error) = touch.await {
            tracing::warn!("failed to note that a session is in use: {error}");
        }
    }
    Ok(Some(Caller { user, via: Via::Session { key, csrf } }))
}

#[derive(Deserialize)]
struct Forgery {
    #[serde(default)]
    csrf: String,
}

/// The request again, when its anti-forgery token is the session's.
async fn unforged(request: Request, expected: &str) -> Result<Request, Failed> {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = axum::body::to_bytes(body, MAX_BODY)
        .await
        .map_err(|_| Failed::bad("the body broke off"))?;
    let given = match parts.headers.get(CSRF_HEADER) {
        Some(value) => value.to_str().unwrap_or_default().to_owned(),
        None => {
            let copy = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
            Form::<Forgery>::from_request(copy, &())
                .await
                .map(|form| form.0.csrf)
                .unwrap_or_default()
        }
    };
    let same =
        aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), expected.as_bytes());
    if same.is_err() {
        let said = "the anti-forgery token is missing or another session's";
        return Err(Failed::new(StatusCode::FORBIDDEN, said, "load the page again and repeat"));
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

async fn note_refusal(
    app: &App,
    caller: &Caller,
    right: Right,
    method: &Method,
    path: &str,
    peer: Option<Peer>,
) {
    let (who, from) = (caller.who(), peer.map(|peer| peer.0.ip().to_string()));
    let body = json!({
        "role": caller.user.role, "right": right.as_str(), "method": method.as_str(),
        "path": path, "from": from,
    });
    let noted = store::transact(&*app.services.judge, move |_, now| {
        Ok((accounts::decide(now, &who, "access.refused", body, vec![]), ()))
    });
    if let Err(error) = noted.await {
        tracing::warn!("failed to record a refused access: {error}");
    }
}

fn unknown() -> Failed {
    let remedy = "sign in, or send `Authorization: Bearer <API token>`";
    Failed::new(StatusCode::UNAUTHORIZED, "nobody is signed in", remedy)
}

/// JSON for the API; for people the sign-in page, or a page that says what is wrong.
pub(super) fn refusal(path: &str, headers: &HeaderMap, failed: Failed) -> Response {
    if path.starts_with("/api/") {
        return failed.into_response();
    }
    if failed.status == StatusCode::UNAUTHORIZED {
        let next = if path == "/" { String::new() } else { format!("?next={}", encode(path)) };
        return Redirect::to(&format!("/sign-in{next}")).into_response();
    }
    pages::trouble(headers, &failed)
}

/// For a path that is none.
pub(super) async fn nowhere(request: Request) -> Response {
    refusal(request.uri().path(), request.headers(), Failed::missing("page"))
}

/// For a method that a path does not know.
pub(super) async fn wrong_method(request: Request) -> Response {
    let said = format!("{} is not for this path", request.method());
    let failed = Failed::new(StatusCode::METHOD_NOT_ALLOWED, said, "use another method");
    refusal(request.uri().path(), request.headers(), failed)
}

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
}

/// A text as part of a query or path.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Attempts at secrets, counted by address within a minute.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_address: Mutex<HashMap<IpAddr, (i64, u32)>>,
}

impl Attempts {
    /// Counts one; false when there were too many.
    pub(super) fn allow(&self, address: IpAddr, now: i64) -> bool {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |begin: i64| now >= accounts::after(begin, WINDOW_SECS) || now < begin;
        if counts.len() >= MAX_ADDRESSES && !counts.contains_key(&address) {
            counts.retain(|_, (begin, _)| !over(*begin));
            if counts.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let (begin, tries) = counts.entry(address).or_insert((now, 0));
        if over(*begin) {
            (*begin, *tries) = (now, 0);
        }
        *tries += 1;
        *tries <= MAX_ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_must_come_from_our_pages() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let pairs = pairs.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            assert_eq!(same_origin(&pairs.clone().collect()), expected, "{pairs:?}");
        };
        let host = ("host", "hw.example:8443");
        check(&[host], true);
        check(&[host, ("origin", "https://hw.example:8443")], true);
        check(&[host, ("origin", "https://HW.example:8443")], true);
        check(&[host, ("origin", "https://hw.example")], false);
        check(&[host, ("origin", "https://evil.example")], false);
        check(&[host, ("origin", "null")], false);
        check(&[("origin", "https://hw.example:8443")], false);
        check(&[host, ("sec-fetch-site", "same-origin")], true);
        check(&[host, ("sec-fetch-site", "cross-site")], false);
        check(&[host, ("sec-fetch-site", "same-site")], false);
    }

    #[test]
    fn attempts_are_bounded_by_the_minute() {
        let attempts = Attempts::default();
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().unwrap());
        for _ in 0..MAX_ATTEMPTS {
            assert!(attempts.allow(one, 0));
        }
        assert!(!attempts.allow(one, 0));
        assert!(attempts.allow(two, 0));
        assert!(attempts.allow(one, accounts::after(0, WINDOW_SECS)));
    }

    #[test]
    fn cookies_are_found_whole() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __Host-hengwei=x=y"));
        assert_eq!(cookie(&headers, COOKIE), Some("x=y".to_owned()));
        assert_eq!(cookie(&headers, "b"), None);
        assert_eq!(encode("/a b?ü"), "/a%20b%3F%C3%BC");
    }
}

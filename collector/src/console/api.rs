//! The API: the same objects as the pages, as JSON. Errors are `{error, remedy}`.
//!
//! `GET /api/v1/alerts?after=<seq>` walks the feed: it answers the alerts that changed after that
//! sequence, each once and as it is now, and `next` to ask with again. Filters look at the alert as it
//! is now, so nothing is answered that has been closed meanwhile. An alert that changes again comes
//! again behind a later `next`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::guard::{Asked as Asking, Caller, Failed};
use super::{App, Change, Search, Views, formats};
use crate::accounts;
use crate::alerts::{Alert, State as AlertState};
use crate::history::tree;
use crate::logql::Query;
use crate::search::{Asked, Place, Said};
use crate::store::{self, Store};
use crate::time;

/// Alerts in one answer, when not asked for another number, and at most.
const DEFAULT_ALERTS: usize = 100;
const MAX_ALERTS: usize = 1000;
/// Rows of the feed looked at for one answer, when filters leave out most.
const MAX_LOOKED_AT: usize = 20_000;
/// Alerts in the Atom feed.
const ATOM_ALERTS: usize = 50;
/// Rows of a search, when not asked for another number, and at most.
const DEFAULT_ROWS: usize = 100;
const MAX_ROWS: usize = 10_000;
/// Rows that wait for a reader of a search.
const ROWS_AHEAD: usize = 64;
/// Longest reason, in characters.
const MAX_REASON: usize = 1000;
/// Longest query, in bytes.
const MAX_QUERY: usize = 4096;

type Answer<T> = Result<T, Failed>;

/// What is asked of the list of alerts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    state: Option<String>,
    level: Option<String>,
    format: Option<String>,
}

/// Which alerts: `state` a state, `open` or `closed`; `level` a level.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) state: Option<String>,
    pub(super) level: Option<String>,
}

impl Filter {
    /// Empty texts are no filters: forms send them.
    pub(super) fn new(state: Option<String>, level: Option<String>) -> Filter {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Filter { state: some(state), level: some(level) }
    }

    pub(super) fn fits(&self, alert: &Alert) -> bool {
        let state = match self.state.as_deref() {
            None => true,
            Some("open") => is_open(alert.state),
            Some("closed") => !is_open(alert.state),
            Some(name) => state_name(alert.state) == name,
        };
        state && self.level.as_ref().is_none_or(|level| alert.rule.level == *level)
    }

    fn check(&self) -> Answer<()> {
        const STATES: &[&str] = &[
            "open",
            "closed",
            "new",
            "acknowledged",
            "true-positive",
            "false-positive",
            "accepted-risk",
        ];
        let known = |value: &Option<String>, names: &[&str], what: &str| match value {
            Some(value) if !names.contains(&value.as_str()) => {
                Err(Failed::bad(format!("`{what}` is one of {}", names.join(", "))))
            }
            _ => Ok(()),
        };
        known(&self.state, STATES, "state")?;
        known(&self.level, crate::metrics::LEVELS, "level")
    }
}

/// Whether somebody still has to do something.
pub(super) fn is_open(state: AlertState) -> bool {
    matches!(state, AlertState::New | AlertState::Acknowledged)
}

fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::New => "new",
        AlertState::Acknowledged => "acknowledged",
        AlertState::TruePositive => "true-positive",
        AlertState::FalsePositive => "false-positive",
        AlertState::AcceptedRisk => "accepted-risk",
    }
}

/// `GET /api/v1/alerts`
pub(super) async fn alerts(
    State(app): State<App>,
    Asking(listing): Asking<Listing>,
) -> Answer<Json<Value>> {
    let ocsf = wants_ocsf(listing.format.as_deref())?;
    let filter = Filter::new(listing.state, listing.level);
    filter.check()?;
    let limit = listing.limit.unwrap_or(DEFAULT_ALERTS).clamp(1, MAX_ALERTS);
    let after = listing.after;
    let (found, next) = app.read(move |store, _| walk(store, after, limit, &filter)).await?;
    let alerts: Vec<Value> = found.iter().map(|alert| shown(alert, ocsf)).collect();
    Ok(Json(json!({"alerts": alerts, "next": next})))
}

/// Alerts changed after `after`, as they are now, and the sequence that was reached.
fn walk(store: &dyn Store, after: u64, limit: usize, filter: &Filter) -> (Vec<Alert>, u64) {
    let (mut ids, mut next, mut looked_at) = (Vec::new(), after, 0);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let from = after.saturating_add(1).to_be_bytes();
    store.scan_from(tree::FEED, &from, &mut |key, value| {
        let Ok(seq) = key.try_into().map(u64::from_be_bytes) else { return true };
        next = seq;
        looked_at += 1;
        if let Some(alert) = store::parse::<Alert>(tree::FEED, value)
            && seen.insert(alert.id.clone())
        {
            ids.push(alert.id.clone());
            let now =
                store::get::<Alert>(store, tree::ALERTS, alert.id.as_bytes()).unwrap_or(alert);
            if filter.fits(&now) {
                found.push(now);
            }
        }
        found.len() < limit && looked_at < MAX_LOOKED_AT
    });
    (found, next)
}

/// `GET /api/v1/alerts/{id}`
pub(super) async fn alert(
    State(app): State<App>,
    Path(id): Path<String>,
    Asking(listing): Asking<Listing>,
) -> Answer<Json<Value>> {
    let ocsf = wants_ocsf(listing.format.as_deref())?;
    let found = find(&app, &id).await?.ok_or_else(|| Failed::missing("alert"))?;
    Ok(Json(shown(&found, ocsf)))
}

/// One alert by id.
pub(super) async fn find(app: &App, id: &str) -> Answer<Option<Alert>> {
    let id = id.to_owned();
    app.read(move |store, _| store::get::<Alert>(store, tree::ALERTS, id.as_bytes())).await
}

/// The newest alerts that fit, at most `limit`, of which `skip` are left out.
pub(super) fn newest(store: &dyn Store, filter: &Filter, skip: usize, limit: usize) -> Vec<Alert> {
    let (mut found, mut fitting, mut looked_at) = (Vec::new(), 0, 0);
    store.scan_back(tree::ALERTS, b"", &mut |_, value| {
        looked_at += 1;
        if let Some(alert) = store::parse::<Alert>(tree::ALERTS, value)
            && filter.fits(&alert)
        {
            fitting += 1;
            if fitting > skip {
                found.push(alert);
            }
        }
        found.len() < limit && looked_at < MAX_LOOKED_AT
    });
    found
}

/// `GET /api/v1/alerts.atom`
pub(super) async fn atom(
    State(app): State<App>,
    headers: HeaderMap,
    Asking(listing): Asking<Listing>,
) -> Answer<Response> {
    let filter = Filter::new(listing.state, listing.level);
    filter.check()?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let found = app.read(move |store, _| newest(store, &filter, 0, ATOM_ALERTS)).await?;
    let text = formats::atom(&found, host, app.now());
    Ok(([(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")], text).into_response())
}

/// Body of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Why.
    #[serde(default)]
    pub(super) reason: String,
    /// Of closing: `tp`, `fp`, `accepted-risk`.
    #[serde(default)]
    pub(super) kind: Option<String>,
    /// Of an accepted risk: RFC 3339 or a date.
    #[serde(default)]
    pub(super) expires: Option<String>,
    /// Of a form; checked before this is read.
    #[serde(default, rename = "csrf")]
    _csrf: Option<String>,
}

/// `POST /api/v1/alerts/{id}/ack`
pub(super) async fn acknowledge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Json<Alert>> {
    let wanted = read_json(&body)?;
    change(&app, &caller, &id, AlertState::Acknowledged, wanted).await.map(Json)
}

/// `POST /api/v1/alerts/{id}/close`
pub(super) async fn close(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Json<Alert>> {
    let wanted = read_json(&body)?;
    let state = closing(wanted.kind.as_deref())?;
    change(&app, &caller, &id, state, wanted).await.map(Json)
}

fn read_json(body: &[u8]) -> Answer<Wanted> {
    serde_json::from_slice(body).map_err(|error| {
        Failed::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not what is wanted: {error}"),
            "send {\"reason\":…}, to close also \"kind\", for accepted-risk also \"expires\"",
        )
    })
}

/// The state a way of closing leads to.
pub(super) fn closing(kind: Option<&str>) -> Answer<AlertState> {
    match kind {
        Some("tp" | "true-positive") => Ok(AlertState::TruePositive),
        Some("fp" | "false-positive") => Ok(AlertState::FalsePositive),
        Some("accepted-risk") => Ok(AlertState::AcceptedRisk),
        _ => Err(Failed::bad("`kind` is one of tp, fp, accepted-risk")),
    }
}

/// Checks a wish and has it decided.
pub(super) async fn change(
    app: &App,
    caller: &Caller,
    id: &str,
    state: AlertState,
    wanted: Wanted,
) -> Answer<Alert> {
    let reason = wanted.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        return Err(Failed::bad(format!("`reason` says why, in 1 to {MAX_REASON} characters")));
    }
    let expires = wanted.expires.filter(|text| !text.is_empty());
    let expires = match (state, expires) {
        (AlertState::AcceptedRisk, Some(text)) => Some(expiry(&text, app.now())?),
        (AlertState::AcceptedRisk, None) => {
            return Err(Failed::bad("an accepted risk ends: give `expires`, a date"));
        }
        (_, Some(_)) => return Err(Failed::bad("`expires` belongs to accepted-risk only")),
        (_, None) => None,
    };
    if find(app, id).await?.is_none() {
        return Err(Failed::missing("alert"));
    }
    let change = Change { who: caller.who(), id: id.to_owned(), state, reason, expires };
    let views = Arc::clone(&app.services.views);
    let changed = store::transact(&*app.services.judge, move |_, now| views.change(now, &change));
    Ok(changed.await?)
}

/// A time to come, from RFC 3339 or a date, as RFC 3339.
fn expiry(text: &str, now: i64) -> Answer<String> {
    match time::parse_date(text) {
        Some(time) if time > now => Ok(time::rfc3339(time)),
        Some(_) => Err(Failed::bad("`expires` is past")),
        None => Err(Failed::bad("`expires` is a date (2027-01-31) or a time (RFC 3339)")),
    }
}

/// `GET /api/v1/hosts`
pub(super) async fn hosts(State(app): State<App>) -> Answer<Json<Value>> {
    Ok(Json(json!({"hosts": app.read(|_, views| views.hosts()).await?})))
}

/// `GET /api/v1/hosts/{id}`
pub(super) async fn host(State(app): State<App>, Path(id): Path<String>) -> Answer<Response> {
    let found = app.read(move |_, views| views.host(&id)).await?;
    Ok(Json(found.ok_or_else(|| Failed::missing("host"))?).into_response())
}

/// `GET /api/v1/coverage`
pub(super) async fn coverage(State(app): State<App>) -> Answer<Json<Value>> {
    Ok(Json(json!({"systems": app.read(|_, views| views.coverage()).await?})))
}

/// `GET /api/v1/ledger`
pub(super) async fn ledger(State(app): State<App>) -> Answer<Response> {
    Ok(Json(app.read(|_, views| views.ledger()).await?).into_response())
}

/// `GET /api/v1/status`
pub(super) async fn status(State(app): State<App>) -> Answer<Json<Value>> {
    Ok(Json(app.read(|_, views| views.status()).await?))
}

/// What is asked of search.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// In the language of [`crate::logql`].
    #[serde(default, alias = "query")]
    pub(super) q: String,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    limit: Option<usize>,
    /// The place of the last row of an answer: what comes after it.
    after: Option<String>,
    /// Of counts: time between two points.
    step: Option<String>,
    #[serde(default)]
    progress: bool,
}

impl Question {
    /// The search it means.
    pub(super) fn search(&self, now: i64) -> Answer<Search> {
        if self.q.len() > MAX_QUERY {
            return Err(Failed::bad(format!("`q` is longer than {MAX_QUERY} bytes")));
        }
        let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let after = given(&self.after).map(|text| text.parse::<Place>());
        let step = given(&self.step).map(|text| {
            let step = time::duration(&text).filter(|step| *step > 0);
            step.ok_or_else(|| Failed::bad("`step` is a length of time: 30s, 5m, 2h, 1d"))
        });
        let asked = Asked {
            query: Query::parse(&self.q)?,
            since: time_of(self.since.as_deref(), now)?,
            until: time_of(self.until.as_deref(), now)?,
            limit: Some(self.limit.unwrap_or(DEFAULT_ROWS).clamp(1, MAX_ROWS)),
            after: after.transpose().map_err(Failed::bad)?,
            step: step.transpose()?,
            progress: self.progress,
            ..Asked::default()
        };
        Ok(Search { q: self.q.clone(), asked })
    }
}

/// A time as asked for: RFC 3339, a date, or how long ago (`15m`, `24h`, `7d`).
fn time_of(text: Option<&str>, now: i64) -> Answer<Option<i64>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let bad = || Failed::bad("times are RFC 3339, a date, or how long ago: 15m, 24h, 7d");
    time::parse_operator(text, now).map(Some).ok_or_else(bad)
}

/// What a running search says.
pub(super) enum Row {
    Said(Said),
    Wrong(String),
}

/// `GET /api/v1/search`: NDJSON, one row a line; with `progress=true` also `{"progress": …}`.
pub(super) async fn search(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Asking(question): Asking<Question>,
) -> Answer<Response> {
    let search = question.search(app.now())?;
    let mut rows = begin(&app, &caller, search).await?;
    // A search that cannot be done says so before its first row, and is an answer of its own.
    let first = match next(&mut rows, question.progress).await {
        Some(Row::Wrong(why)) => return Err(Failed::bad(why)),
        first => first,
    };
    let state = (first, rows, question.progress);
    let lines = futures_util::stream::unfold(state, |(first, mut rows, progress)| async move {
        let row = match first {
            Some(row) => row,
            None => next(&mut rows, progress).await?,
        };
        let line = match row {
            Row::Said(said) => said.into_json(),
            Row::Wrong(why) => json!({ "error": why }),
        };
        Some((Ok::<_, std::convert::Infallible>(format!("{line}\n")), (None, rows, progress)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// The next thing a search says that was asked for.
async fn next(rows: &mut mpsc::Receiver<Row>, progress: bool) -> Option<Row> {
    loop {
        match rows.recv().await? {
            Row::Said(Said::Progress(_)) if !progress => {}
            row => return Some(row),
        }
    }
}

/// Records that somebody searches (rows may hold personal data), then starts it. The search ends when
/// the receiver is dropped, and waits when rows are not taken.
pub(super) async fn begin(
    app: &App,
    caller: &Caller,
    search: Search,
) -> Answer<mpsc::Receiver<Row>> {
    let permit = Arc::clone(&app.searches).try_acquire_owned().map_err(|_| {
        let said = "too many searches are running";
        Failed::new(StatusCode::TOO_MANY_REQUESTS, said, "try again in a minute")
    })?;
    let (who, body) = (
        caller.who(),
        json!({
            "q": search.q, "since": search.asked.since, "until": search.asked.until,
            "limit": search.asked.limit,
        }),
    );
    let noted = store::transact(&*app.services.judge, move |_, now| {
        Ok((accounts::decide(now, &who, "events.searched", body, vec![]), ()))
    });
    noted.await?;
    let (sender, receiver) = mpsc::channel(ROWS_AHEAD);
    let views = Arc::clone(&app.services.views);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        run(&*views, &search, &sender);
    });
    Ok(receiver)
}

fn run(views: &dyn Views, search: &Search, sender: &mpsc::Sender<Row>) {
    let mut see = |said| sender.blocking_send(Row::Said(said)).is_ok();
    if let Err(why) = views.search(search, &|| !sender.is_closed(), &mut see) {
        // Nobody may be there any more to hear it.
        let _ = sender.blocking_send(Row::Wrong(why));
    }
}

/// Whether OCSF is asked for.
pub(super) fn wants_ocsf(format: Option<&str>) -> Answer<bool> {
    match format {
        None | Some("hengwei") => Ok(false),
        Some("ocsf") => Ok(true),
        Some(_) => Err(Failed::bad("`format` is hengwei or ocsf")),
    }
}

/// An alert in the format asked for.
pub(super) fn shown(alert: &Alert, ocsf: bool) -> Value {
    if ocsf { formats::ocsf(alert) } else { json!(alert) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_three_ways() {
        let now = 1_700_000_000_000_000_000;
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(time_of(Some(text), now).unwrap(), expected, "{text}");
        };
        check("", None);
        check("2023-11-14T22:13:20Z", Some(now));
        check("2023-11-14T22:13:20+08:00", Some(now - 8 * 3_600_000_000_000));
        check("2023-11-14", Some(1_699_920_000_000_000_000));
        check("15m", Some(now - 900_000_000_000));
        check("7d", Some(now - 7 * 86_400_000_000_000));
        for text in ["yesterday", "15", "-", "9999999999999d"] {
            assert!(time_of(Some(text), now).is_err(), "{text}");
        }
        assert!(expiry("2023-11-14", now).is_err());
        assert_eq!(expiry("2023-11-15", now).unwrap(), "2023-11-15T00:00:00Z");
    }
}

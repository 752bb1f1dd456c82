//! The pages: each reads what it shows, fills its template, and works without script. Text from
//! outside (log lines, host names, search results) reaches a page only through the templates, which
//! escape it; the single thing written as HTML is the page's own bilingual words ([`Page::both`]).

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;

use super::api::{self, Filter, Row, Wanted};
use super::guard::{self, Caller, Failed, encode};
use super::lang::Page;
use super::{App, HostDetail, HostRow, Ledger, Presence, System};
use crate::alerts::{Alert, State as AlertState};
use crate::metrics::LEVELS;
use crate::search::{CURSOR, Said};
use crate::store::Store;
use crate::time;

/// Alerts on one page of the list.
const PAGE: usize = 50;
/// Alerts the overview shows.
const LATEST: usize = 8;
/// Alerts that are counted for the overview.
const COUNTED: usize = 10_000;
/// Furthest that the list can be paged.
const MAX_SKIP: usize = 10_000;
/// Rows of a search on its page.
const SEARCH_ROWS: usize = 200;

/// A page, or what stands in its way.
type Shown = Result<Response, Response>;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) page: Page,
    pub(super) next: String,
    pub(super) wrong: bool,
}

#[derive(Template)]
#[template(path = "invite.html")]
pub(super) struct InvitePage {
    pub(super) page: Page,
    pub(super) name: String,
    pub(super) wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    page: Page,
    error: String,
    remedy: &'static str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    counts: Vec<Count>,
    latest: Vec<Alert>,
    systems: Vec<System>,
    hosts: Tally,
    sections: Vec<Section>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    page: Page,
    alerts: Vec<Alert>,
    filter: Filter,
    at: u64,
    first: bool,
    skip: usize,
    more: Option<usize>,
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    page: Page,
    alert: Alert,
    open: bool,
}

#[derive(Template)]
#[template(path = "hosts.html")]
struct HostsPage {
    page: Page,
    hosts: Vec<HostRow>,
    tally: Tally,
}

#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    page: Page,
    host: HostDetail,
}

#[derive(Template)]
#[template(path = "systems.html")]
struct SystemsPage {
    page: Page,
    systems: Vec<System>,
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerPage {
    page: Page,
    ledger: Ledger,
    records: u64,
    missing: u64,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    page: Page,
    sections: Vec<Section>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    page: Page,
    question: api::Question,
    /// As asked; a day is suggested before anything was.
    since: String,
    asked: bool,
    rows: Vec<Hit>,
    /// The page after this one, when there may be one.
    older: Option<String>,
    wrong: Option<String>,
}

/// Open alerts of a level.
struct Count {
    level: &'static str,
    new: u64,
    acknowledged: u64,
}

/// Hosts by whether they report.
#[derive(Default)]
struct Tally {
    reporting: usize,
    silent: usize,
    stopped: usize,
    never: usize,
}

/// A section of the status, as a table.
#[derive(Debug, PartialEq)]
struct Section {
    name: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A row of a search.
struct Hit {
    time: String,
    host: String,
    dataset: String,
    text: String,
    fields: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Listing {
    level: Option<String>,
    state: Option<String>,
    #[serde(default)]
    skip: usize,
}

/// A filled template as an answer.
pub(super) fn show(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
        }
        Err(error) => {
            tracing::error!("a page could not be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that says what is wrong.
pub(super) fn trouble(headers: &HeaderMap, failed: &Failed) -> Response {
    let page = Page::bare(headers, ("未能完成", "That did not work"), "");
    let page = page.at("/");
    show(failed.status, &TroublePage { page, error: failed.error.clone(), remedy: failed.remedy })
}

pub(super) async fn overview(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("总览", "Overview"), "/");
    let read = app.read(|store, views| {
        let latest = api::newest(store, &Filter::default(), 0, LATEST);
        let hosts = tally(&views.hosts());
        // How it goes, in short: the lists are on the page of their own.
        let mut sections = sections(&views.status());
        sections.retain(|section| section.head.is_empty());
        (counts(store), latest, views.coverage(), hosts, sections)
    });
    let (counts, latest, systems, hosts, sections) = read.await.map_err(failed(&headers))?;
    let sheet = OverviewPage { page, counts, latest, systems, hosts, sections };
    Ok(show(StatusCode::OK, &sheet))
}

pub(super) async fn alerts(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Query(listing): Query<Listing>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("告警", "Alerts"), "/alerts");
    let filter = Filter::new(listing.state, listing.level);
    let skip = listing.skip.min(MAX_SKIP);
    // The place in the feed is taken before the list is read: a change in between comes twice, and
    // the second replaces the first.
    let at = *app.services.feed.borrow();
    let wanted = filter.clone();
    let read = app.read(move |store, _| api::newest(store, &wanted, skip, PAGE + 1));
    let mut alerts = read.await.map_err(failed(&headers))?;
    let more = (alerts.len() > PAGE).then_some(skip + PAGE);
    alerts.truncate(PAGE);
    let sheet = AlertsPage { page, alerts, filter, at, first: skip == 0, skip, more };
    Ok(show(StatusCode::OK, &sheet))
}

pub(super) async fn alert(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Shown {
    let found = api::find(&app, &id).await.map_err(failed(&headers))?;
    let alert = found.ok_or_else(|| failed(&headers)(Failed::missing("alert")))?;
    let page = Page::new(&headers, &caller, ("告警", "Alert"), "/alerts");
    let page = page.at(format!("/alerts/{}", encode(&alert.id)));
    let open = api::is_open(alert.state);
    Ok(show(StatusCode::OK, &AlertPage { page, alert, open }))
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Form(wanted): Form<Wanted>,
) -> Shown {
    changed(&app, &headers, &caller, &id, AlertState::Acknowledged, wanted).await
}

pub(super) async fn close(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Form(mut wanted): Form<Wanted>,
) -> Shown {
    let state = api::closing(wanted.kind.as_deref()).map_err(failed(&headers))?;
    // The field is always in the form, for pages without script.
    if state != AlertState::AcceptedRisk {
        wanted.expires = None;
    }
    changed(&app, &headers, &caller, &id, state, wanted).await
}

async fn changed(
    app: &App,
    headers: &HeaderMap,
    caller: &Caller,
    id: &str,
    state: AlertState,
    wanted: Wanted,
) -> Shown {
    api::change(app, caller, id, state, wanted).await.map_err(failed(headers))?;
    Ok(Redirect::to(&format!("/alerts/{}", encode(id))).into_response())
}

pub(super) async fn hosts(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("主机", "Hosts"), "/hosts");
    let hosts = app.read(|_, views| views.hosts()).await.map_err(failed(&headers))?;
    let tally = tally(&hosts);
    Ok(show(StatusCode::OK, &HostsPage { page, hosts, tally }))
}

pub(super) async fn host(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Shown {
    let asked = id.clone();
    let found = app.read(move |_, views| views.host(&asked)).await.map_err(failed(&headers))?;
    let host = found.ok_or_else(|| failed(&headers)(Failed::missing("host")))?;
    let page = Page::new(&headers, &caller, ("主机", "Host"), "/hosts");
    let page = page.at(format!("/hosts/{}", encode(&id)));
    Ok(show(StatusCode::OK, &HostPage { page, host }))
}

pub(super) async fn systems(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("防护系统", "Guarded systems"), "/systems");
    let systems = app.read(|_, views| views.coverage()).await.map_err(failed(&headers))?;
    Ok(show(StatusCode::OK, &SystemsPage { page, systems }))
}

pub(super) async fn ledger(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("完整性台账", "Ledger"), "/ledger");
    let ledger = app.read(|_, views| views.ledger()).await.map_err(failed(&headers))?;
    let records = ledger.queues.iter().map(|queue| queue.records).sum();
    let missing = ledger.queues.iter().map(|queue| queue.missing).sum();
    Ok(show(StatusCode::OK, &LedgerPage { page, ledger, records, missing }))
}

pub(super) async fn status(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("运行状态", "Status"), "/status");
    let status = app.read(|_, views| views.status()).await.map_err(failed(&headers))?;
    Ok(show(StatusCode::OK, &StatusPage { page, sections: sections(&status) }))
}

pub(super) async fn search(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Query(question): Query<api::Question>,
) -> Shown {
    let page = Page::new(&headers, &caller, ("检索", "Search"), "/search");
    let asked = !question.q.trim().is_empty();
    let suggested = if asked { "" } else { "24h" };
    let since = question.since.clone().unwrap_or_else(|| suggested.to_owned());
    let (mut rows, mut older, mut wrong) = (Vec::new(), None, None);
    if asked {
        match question.search(app.now()) {
            Ok(mut search) => {
                search.asked.limit = Some(SEARCH_ROWS);
                let (since, until) = (search.asked.since, search.asked.until);
                let begun = api::begin(&app, &caller, search).await;
                let mut found = begun.map_err(failed(&headers))?;
                while let Some(row) = found.recv().await {
                    match row {
                        Row::Said(Said::Row(row)) => rows.push(hit(row)),
                        Row::Said(Said::Progress(progress)) if progress.more => {
                            older =
                                progress.after.map(|it| page_after(&question.q, since, until, &it));
                        }
                        Row::Said(Said::Progress(_)) => {}
                        Row::Wrong(why) => wrong = Some(why),
                    }
                }
            }
            Err(Failed { query: Some(error), .. }) => wrong = Some(error.to_string()),
            Err(failed) => wrong = Some(failed.error),
        }
    }
    Ok(show(StatusCode::OK, &SearchPage { page, question, since, asked, rows, older, wrong }))
}

/// The same search after a row. Its times are what an age meant when it was asked.
fn page_after(q: &str, since: Option<i64>, until: Option<i64>, after: &str) -> String {
    let time = |time: Option<i64>| encode(&time.map(time::rfc3339).unwrap_or_default());
    let (q, since, until) = (encode(q), time(since), time(until));
    format!("/search?q={q}&since={since}&until={until}&after={}", encode(after))
}

fn failed(headers: &HeaderMap) -> impl Fn(Failed) -> Response + '_ {
    move |failed| guard::refusal("/", headers, failed)
}

fn counts(store: &dyn Store) -> Vec<Count> {
    let open = Filter { state: Some("open".to_owned()), level: None };
    let alerts = api::newest(store, &open, 0, COUNTED);
    let of = |level: &str, state| {
        alerts.iter().filter(|it| it.rule.level == level && it.state == state).count() as u64
    };
    let count = |level: &&'static str| Count {
        level,
        new: of(level, AlertState::New),
        acknowledged: of(level, AlertState::Acknowledged),
    };
    LEVELS.iter().map(count).filter(|it| it.level != "informational").collect()
}

fn tally(hosts: &[HostRow]) -> Tally {
    let mut tally = Tally::default();
    for host in hosts {
        match host.presence {
            Presence::Reporting => tally.reporting += 1,
            Presence::Silent => tally.silent += 1,
            Presence::Stopped => tally.stopped += 1,
            // It is history: nobody waits for it.
            Presence::Revoked => {}
            Presence::NeverSeen => tally.never += 1,
        }
    }
    tally
}

/// Any status as tables: an object is name and value, a list of objects has a column per member.
fn sections(status: &Value) -> Vec<Section> {
    let Value::Object(members) = status else { return Vec::new() };
    let mut sections = Vec::new();
    let mut single = Section { name: String::new(), head: Vec::new(), rows: Vec::new() };
    for (name, value) in members {
        match value {
            Value::Object(inner) => sections.push(Section {
                name: name.clone(),
                head: Vec::new(),
                rows: inner.iter().map(|(name, value)| vec![name.clone(), text(value)]).collect(),
            }),
            Value::Array(rows) => sections.push(table(name, rows)),
            other => single.rows.push(vec![name.clone(), text(other)]),
        }
    }
    if !single.rows.is_empty() {
        sections.insert(0, single);
    }
    sections
}

fn table(name: &str, rows: &[Value]) -> Section {
    let mut head: Vec<String> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for member in row.keys() {
            if !head.contains(member) {
                head.push(member.clone());
            }
        }
    }
    let cells = |row: &Value| match row {
        Value::Object(members) => {
            head.iter().map(|name| members.get(name).map_or(String::new(), text)).collect()
        }
        other => vec![text(other)],
    };
    let rows = rows.iter().map(cells).collect();
    Section { name: name.to_owned(), head, rows }
}

/// A value as a reader wants it: text without quotes, whole numbers in groups of three.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "—".to_owned(),
        Value::Number(number) => number.as_u64().map_or(number.to_string(), grouped),
        other => other.to_string(),
    }
}

/// 1234567 as 1 234 567, with thin spaces.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Picks out of a row, flat or nested, what has a column of its own.
fn hit(row: Value) -> Hit {
    if let (Some(Value::Object(labels)), Some(Value::Array(points))) =
        (row.get("metric"), row.get("values"))
    {
        return series(labels, points);
    }
    let mut fields = Vec::new();
    flatten("", &row, &mut fields);
    fields.retain(|(name, _)| name != CURSOR);
    let mut take = |names: &[&str]| {
        let at = names.iter().find_map(|name| fields.iter().position(|(it, _)| it == name));
        at.map_or(String::new(), |at| fields.remove(at).1)
    };
    Hit {
        time: take(&["@timestamp", "time"]),
        host: take(&["host.name", "host", "agent.id", "agent"]),
        dataset: take(&["event.dataset", "dataset"]),
        text: take(&["event.original", "message", "original", "text"]),
        fields,
    }
}

/// A series of a count: its labels, and its points by time.
fn series(labels: &serde_json::Map<String, Value>, points: &[Value]) -> Hit {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let nanos = |seconds: &Value| (seconds.as_f64().unwrap_or_default() * 1e9) as i64;
    let fields = points
        .iter()
        .filter_map(|point| Some((time::rfc3339(nanos(point.get(0)?)), plain(point.get(1)?))));
    let fields: Vec<(String, String)> = fields.collect();
    let text: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    Hit {
        time: fields.last().map(|(time, _)| time.clone()).unwrap_or_default(),
        host: labels.get("host").map(plain).unwrap_or_default(),
        dataset: labels.get("dataset").map(plain).unwrap_or_default(),
        text: if text.is_empty() { "Σ".to_owned() } else { text.join(" ") },
        fields,
    }
}

fn flatten(prefix: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), value, fields);
            }
        }
        Value::String(text) => fields.push((prefix.to_owned(), text.clone())),
        Value::Null => {}
        other => fields.push((prefix.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_status_becomes_tables() {
        let found = sections(&json!({
            "version": "0.1.0",
            "history": {"commits": 1_234_567, "sealed": null},
            "trees": [{"name": "alerts", "entries": 3}, {"name": "feed", "bytes": 9}],
        }));
        let strings = |rows: &[&[&str]]| -> Vec<Vec<String>> {
            rows.iter().map(|row| row.iter().map(|it| (*it).to_owned()).collect()).collect()
        };
        assert_eq!(found[0].rows, strings(&[&["version", "0.1.0"]]));
        let expected = strings(&[&["commits", "1\u{2009}234\u{2009}567"], &["sealed", "—"]]);
        assert_eq!(found[1].rows, expected);
        assert_eq!(found[2].head, ["name", "entries", "bytes"]);
        assert_eq!(found[2].rows, strings(&[&["alerts", "3", ""], &["feed", "", "9"]]));
        assert!(sections(&json!("fine")).is_empty());
    }

    #[test]
    fn a_row_shows_its_line_and_keeps_the_rest() {
        let row = hit(json!({
            "@timestamp": "2023-11-14T22:13:20Z", "host": {"name": "his-01"},
            "event": {"dataset": "sshd", "original": "Failed password"}, "source.ip": "192.0.2.9",
        }));
        let found = (row.time, row.host, row.dataset, row.text);
        let expected = ("2023-11-14T22:13:20Z", "his-01", "sshd", "Failed password");
        assert_eq!((&*found.0, &*found.1, &*found.2, &*found.3), expected);
        assert_eq!(row.fields, [("source.ip".to_owned(), "192.0.2.9".to_owned())]);
    }
}

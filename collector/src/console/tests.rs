use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tower_service::Service;

use super::*;
use crate::accounts::{Role, Scope, password};
use crate::alerts::{Alert, Entity, Evidence, RuleRef, State};
use crate::history::tree;
use crate::search::{Progress, Said};
use crate::store::{self, Decision, Error, fake::Fake};

const PASSWORD: &str = "correct horse battery";
const T0: i64 = 1_700_000_000_000_000_000;

/// The clock of handlers: a function, so that it fits the field. Each test thread has its own.
fn clock() -> i64 {
    NOW.with(|now| now.load(Ordering::Relaxed))
}

thread_local! {
    static NOW: AtomicI64 = const { AtomicI64::new(T0) };
}

pub(super) fn alert(id: &str, level: &str) -> Alert {
    Alert {
        id: id.to_owned(),
        rule: RuleRef {
            id: "5f7c1e0a".to_owned(),
            title: "SSH brute force".to_owned(),
            title_zh: "SSH 暴力破解".to_owned(),
            level: level.to_owned(),
        },
        entity: Entity { kind: "source.ip".to_owned(), value: "192.0.2.9".to_owned() },
        count: 7,
        first_seen: "2023-11-14T22:13:20Z".to_owned(),
        last_seen: "2023-11-14T22:14:20Z".to_owned(),
        host: "his-01".to_owned(),
        agent: "his-01".to_owned(),
        site: "county-hospital".to_owned(),
        system: "regional-emr".to_owned(),
        tags: vec!["attack.t1110.001".to_owned(), "mlps.8.1.3.3".to_owned()],
        evidence: vec![Evidence {
            time: "2023-11-14T22:13:20Z".to_owned(),
            agent: "his-01".to_owned(),
            record: "his-01/security/00/1".to_owned(),
            text: "Failed password for root from 192.0.2.9 <b>".to_owned(),
        }],
        state: State::New,
        raised: "2023-11-14T22:14:21Z".to_owned(),
        advice: [
            ("zh".to_owned(), "封禁来源地址".to_owned()),
            ("en".to_owned(), "Block it".to_owned()),
        ]
        .into(),
        related: vec![],
        changes: vec![],
    }
}

/// Views over the fake; a search gives as many rows as are asked for.
struct FakeViews {
    fake: Fake,
}

impl Views for FakeViews {
    fn hosts(&self) -> Vec<HostRow> {
        let row =
            HostRow { agent: "his-01".to_owned(), host: "his-01".to_owned(), ..HostRow::default() };
        vec![row]
    }

    fn host(&self, agent: &str) -> Option<HostDetail> {
        (agent == "his-01").then(HostDetail::default)
    }

    fn coverage(&self) -> Vec<System> {
        vec![System { id: "emr".to_owned(), expected: 26, reporting: 24, ..System::default() }]
    }

    fn ledger(&self) -> Ledger {
        Ledger::default()
    }

    fn status(&self) -> Value {
        json!({"history": {"commits": 7}})
    }

    fn search(
        &self,
        search: &Search,
        _: &dyn Fn() -> bool,
        see: &mut dyn FnMut(Said) -> bool,
    ) -> Result<(), String> {
        if search.q == "series" {
            return Err("more than 2000 series".to_owned());
        }
        for n in 0..search.asked.limit.unwrap() as u64 {
            see(Said::Row(json!({"n": n, "progress": 1})));
        }
        let after = Some("5/a/log/00000000000000000000000000000000/1".to_owned());
        see(Said::Progress(Progress { done: true, more: true, after, ..Progress::default() }));
        Ok(())
    }

    fn change(&self, now: i64, change: &Change) -> Result<(Decision, Alert), Error> {
        let found = store::get::<Alert>(&self.fake, tree::ALERTS, change.id.as_bytes());
        let mut alert = found.ok_or_else(|| Error::Refused("no such alert".to_owned()))?;
        alert.state = change.state;
        let body = json!({"id": change.id, "reason": change.reason, "expires": change.expires});
        let puts = vec![store::put(tree::ALERTS, change.id.as_bytes(), &alert)];
        Ok((accounts::decide(now, &change.who, "alert.changed", body, puts), alert))
    }
}

/// A console over a map.
struct Bench {
    fake: Fake,
    router: Router,
    feed: watch::Sender<u64>,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Bench {
    fn new() -> Bench {
        NOW.with(|now| now.store(T0, Ordering::Relaxed));
        let fake = Fake::default();
        fake.set_now(T0);
        let (sender, feed) = watch::channel(0);
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let router = router(Services {
            store: Arc::new(fake.clone()),
            judge: Arc::new(fake.clone()),
            metrics: Arc::clone(&metrics),
            feed,
            views: Arc::new(FakeViews { fake: fake.clone() }),
            policy: Policy::default(),
            clock,
            stop: stop.clone(),
        });
        Bench { fake, router, feed: sender, stop, metrics }
    }

    fn at(&self, now: i64) {
        NOW.with(|it| it.store(now, Ordering::Relaxed));
        self.fake.set_now(now);
    }

    /// An account with [`PASSWORD`].
    fn account(&self, name: &str, role: Role) {
        let (decision, secret) =
            accounts::user_add(&self.fake, T0, "local:root", name, role).unwrap();
        self.fake.commit(decision);
        let phc = password::hash(PASSWORD).unwrap();
        let (decision, _) = accounts::accept_invite(&self.fake, T0, secret.reveal(), phc).unwrap();
        self.fake.commit(decision);
    }

    /// A token of an account of that role, made without a password.
    fn token(&self, role: Role, scope: Scope) -> String {
        let name = format!("{role}-{}", scope.as_str());
        let (decision, _) = accounts::user_add(&self.fake, T0, "local:root", &name, role).unwrap();
        self.fake.commit(decision);
        let made = accounts::token_create(&self.fake, T0, &name, &name, "t", scope, 1).unwrap();
        self.fake.commit(made.0);
        format!("Bearer {}", made.1)
    }

    /// Commits a change of an alert and wakes the feed.
    fn raise(&self, seq: u64, alert: &Alert) {
        let puts = vec![
            store::put(tree::ALERTS, alert.id.as_bytes(), alert),
            store::put(tree::FEED, seq.to_be_bytes(), alert),
        ];
        self.fake.commit(Decision { entries: vec![], puts });
        self.feed.send_replace(seq);
    }

    async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().call(request).await.unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let answer = self.open(request).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(request(Method::GET, path, headers, "")).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let form = if body.starts_with('{') { "application/json" } else { FORM };
        let mut headers = headers.to_vec();
        headers.push(("content-type", form));
        self.ask(request(Method::POST, path, &headers, body)).await
    }

    async fn sign_in(&self, name: &str) -> String {
        let body = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.post("/sign-in", &[], &body).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "hw.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form of the page");
    rest.split('"').next().unwrap().to_owned()
}

const GATED: &[&str] = &[
    "/",
    "/alerts",
    "/alerts/a1",
    "/hosts",
    "/hosts/his-01",
    "/systems",
    "/ledger",
    "/status",
    "/search",
    "/api/v1/alerts",
    "/api/v1/alerts.atom",
    "/api/v1/alerts/stream",
    "/api/v1/alerts/a1",
    "/api/v1/hosts",
    "/api/v1/hosts/his-01",
    "/api/v1/coverage",
    "/api/v1/ledger",
    "/api/v1/status",
    "/api/v1/search?q=x",
];

#[tokio::test]
async fn nothing_but_the_door_is_open() {
    let bench = Bench::new();
    for path in ["/healthz", "/sign-in", "/assets/console.css", "/assets/live.js"] {
        assert_eq!(bench.get(path, &[]).await.status, 200, "{path}");
    }
    for path in GATED {
        for headers in [
            &[][..],
            &[("cookie", "__Host-hengwei=00")],
            &[("authorization", "Bearer hwt_00")],
            &[("authorization", "Basic YTpi")],
        ] {
            let answer = bench.get(path, headers).await;
            let expected = if path.starts_with("/api/") { 401 } else { 303 };
            assert_eq!(answer.status, expected, "{path} {headers:?}");
        }
    }
    for path in ["/sign-out", "/alerts/a1/ack", "/api/v1/alerts/a1/close"] {
        let answer = bench.post(path, &[], "{}").await;
        assert!(matches!(answer.status, 303 | 401), "{path} {}", answer.status);
    }
    let answer = bench.get("/api/v1/alerts", &[]).await;
    assert_eq!(answer.json()["error"], "nobody is signed in");
    assert_eq!(bench.get("/hosts", &[]).await.header("location"), "/sign-in?next=/hosts");
    assert_eq!(bench.get("/api/nothing", &[]).await.status, 404);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let bench = Bench::new();
    for path in ["/sign-in", "/api/v1/alerts", "/nothing", "/healthz"] {
        let answer = bench.get(path, &[]).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn pages_show_and_escape_what_is_there() {
    let bench = Bench::new();
    bench.account("wanglei", Role::Secadmin);
    bench.raise(1, &alert("a1", "high"));
    let cookie = bench.sign_in("wanglei").await;
    let headers = [("cookie", cookie.as_str())];
    for path in GATED.iter().filter(|path| !path.starts_with("/api/")) {
        let answer = bench.get(path, &headers).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(!answer.text.contains("<script>") && !answer.text.contains("style="), "{path}");
    }
    let page = bench.get("/alerts/a1", &headers).await.text;
    for text in ["SSH 暴力破解", "SSH brute force", "封禁来源地址", "192.0.2.9 &#60;b&#62;", "受理"]
    {
        assert!(page.contains(text), "{text} in {page}");
    }
    let english = bench.get("/alerts/a1", &[headers[0], ("accept-language", "en")]).await.text;
    assert!(english.contains("<h1>SSH brute force</h1>") && !english.contains("受理"), "{english}");
    assert_eq!(bench.get("/alerts/none", &headers).await.status, 404);
    assert_eq!(bench.get("/hosts/none", &headers).await.status, 404);
}

#[tokio::test]
async fn a_session_is_a_host_cookie_that_idles_out_and_signs_out() {
    let bench = Bench::new();
    bench.account("wanglei", Role::Secadmin);
    let body = format!("name=wanglei&password={}&next=//evil", PASSWORD.replace(' ', "+"));
    let answer = bench.post("/sign-in", &[], &body).await;
    assert_eq!(answer.header("location"), "/");
    let set = answer.header("set-cookie").to_owned();
    for part in ["__Host-hengwei=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    let status = async |at: i64| {
        bench.at(T0 + at * 1_000_000_000);
        bench.get("/alerts", &[("cookie", &cookie)]).await.status
    };
    assert_eq!(status(1700).await, 200);
    assert_eq!(status(3400).await, 200, "the request before kept it alive");
    let page = bench.get("/alerts", &[("cookie", &cookie)]).await.text;
    assert_eq!(status(3400 + 1800).await, 303);
    bench.at(T0 + 3400 * 1_000_000_000);
    let form = format!("csrf={}", csrf(&page));
    assert_eq!(bench.post("/sign-out", &[("cookie", &cookie)], &form).await.status, 303);
    assert_eq!(status(3400).await, 303);
}

#[tokio::test]
async fn wrong_and_unknown_look_the_same_and_lock() {
    let bench = Bench::new();
    bench.account("wanglei", Role::Secadmin);
    let wrong = bench.post("/sign-in", &[], "name=wanglei&password=wrong").await;
    let unknown = bench.post("/sign-in", &[], "name=nobody&password=wrong").await;
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(wrong.text, unknown.text);
    for _ in 0..4 {
        bench.post("/sign-in", &[], "name=wanglei&password=wrong").await;
    }
    let right = format!("name=wanglei&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(bench.post("/sign-in", &[], &right).await.status, 401, "locked");
    bench.at(T0 + 1801 * 1_000_000_000);
    assert_eq!(bench.post("/sign-in", &[], &right).await.status, 303);
    let mut last = 0;
    for _ in 0..21 {
        last = bench.post("/sign-in", &[], "name=nobody&password=x").await.status;
    }
    assert_eq!(last, 429, "one address can't try for ever");
}

#[tokio::test]
async fn an_invitation_sets_the_password_once() {
    let bench = Bench::new();
    let added = accounts::user_add(&bench.fake, T0, "local:root", "lihua", Role::Viewer).unwrap();
    bench.fake.commit(added.0);
    let path = format!("/invite/{}", added.1.reveal());
    assert!(bench.get(&path, &[]).await.text.contains("lihua"));
    let check = async |body: &str, expected: u16| {
        let answer = bench.post(&path, &[], body).await;
        assert_eq!(answer.status, expected, "{body}: {}", answer.text);
    };
    check("password=short&again=short", 422).await;
    check("password=correct+horse+battery&again=else", 422).await;
    check("password=correct+horse+battery&again=correct+horse+battery", 303).await;
    check("password=correct+horse+battery&again=correct+horse+battery", 410).await;
    bench.sign_in("lihua").await;
}

#[tokio::test]
async fn changes_by_cookie_need_our_page() {
    let bench = Bench::new();
    bench.account("wanglei", Role::Secadmin);
    bench.raise(1, &alert("a1", "high"));
    let cookie = bench.sign_in("wanglei").await;
    let page = bench.get("/alerts/a1", &[("cookie", &cookie)]).await.text;
    let good = format!("csrf={}&reason=looking", csrf(&page));
    let check = async |headers: &[(&str, &str)], body: &str, expected: u16| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend_from_slice(headers);
        let answer = bench.post("/alerts/a1/ack", &all, body).await;
        assert_eq!(answer.status, expected, "{headers:?} {body}");
    };
    check(&[], "reason=looking", 403).await;
    check(&[], "csrf=00&reason=looking", 403).await;
    check(&[("origin", "https://evil.example")], &good, 403).await;
    check(&[("origin", "null")], &good, 403).await;
    check(&[("origin", "https://hw.example")], &good.replace("looking", ""), 400).await;
    assert_eq!(bench.get("/api/v1/alerts/a1", &[("cookie", &cookie)]).await.json()["state"], "new");
    check(&[("origin", "https://hw.example")], &good, 303).await;
    let json = bench.get("/api/v1/alerts/a1", &[("cookie", &cookie)]).await.json();
    assert_eq!(json["state"], "acknowledged");
    let entry = bench.fake.entries().pop().unwrap();
    assert_eq!((&*entry.actor, &*entry.action), ("wanglei", "alert.changed"));
}

#[tokio::test]
async fn roles_and_scopes_are_kept_apart_and_refusals_recorded() {
    let bench = Bench::new();
    bench.raise(1, &alert("a1", "high"));
    let body = r#"{"reason":"blocked","kind":"tp"}"#;
    for (role, scope, close, search) in [
        (Role::Secadmin, Scope::Full, 200, 200),
        (Role::Secadmin, Scope::Read, 403, 200),
        (Role::Secadmin, Scope::Alerts, 403, 403),
        (Role::Sysadmin, Scope::Full, 403, 403),
        (Role::Auditadmin, Scope::Full, 403, 200),
        (Role::Viewer, Scope::Full, 403, 403),
    ] {
        let token = bench.token(role, scope);
        let headers = [("authorization", token.as_str())];
        assert_eq!(bench.get("/api/v1/alerts", &headers).await.status, 200, "{role}");
        let answer = bench.post("/api/v1/alerts/a1/close", &headers, body).await;
        assert_eq!(answer.status, close, "{role} {scope:?}: {}", answer.text);
        if close == 403 {
            let entry = bench.fake.entries().pop().unwrap();
            assert_eq!(entry.action, "access.refused");
            assert!(entry.body.contains("handle alerts"), "{}", entry.body);
        }
        let answer = bench.get("/api/v1/search?q=x&limit=3", &headers).await;
        assert_eq!(answer.status, search, "{role} {scope:?}");
        assert_eq!(bench.get("/alerts", &headers).await.status, 303, "tokens are for the API");
    }
}

#[tokio::test]
async fn alerts_are_walked_by_cursor_as_they_are_now() {
    let bench = Bench::new();
    let token = bench.token(Role::Viewer, Scope::Alerts);
    let headers = [("authorization", token.as_str())];
    for n in 1..=4 {
        bench.raise(n, &alert(&format!("a{n}"), if n == 2 { "critical" } else { "high" }));
    }
    let mut closed = alert("a1", "high");
    closed.state = State::FalsePositive;
    bench.raise(5, &closed);
    let check = async |query: &str, expected: &[&str], next: u64| {
        let answer = bench.get(&format!("/api/v1/alerts{query}"), &headers).await.json();
        let alerts = answer["alerts"].as_array().unwrap();
        let ids: Vec<_> = alerts.iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!((&*ids, answer["next"].as_u64()), (expected, Some(next)), "{query}");
    };
    check("", &["a1", "a2", "a3", "a4"], 5).await;
    check("?limit=2", &["a1", "a2"], 2).await;
    check("?limit=2&after=2", &["a3", "a4"], 4).await;
    check("?after=4", &["a1"], 5).await;
    check("?after=5", &[], 5).await;
    check("?state=open", &["a2", "a3", "a4"], 5).await;
    check("?state=false-positive", &["a1"], 5).await;
    check("?level=critical", &["a2"], 5).await;
    for query in ["?state=bad", "?level=bad", "?after=x", "?limt=1", "?format=xml"] {
        let answer = bench.get(&format!("/api/v1/alerts{query}"), &headers).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["remedy"].is_string());
    }
    for path in ["/alerts/a1?format=x", "/alerts.atom?level=x", "/alerts/stream?after=x"] {
        let answer = bench.get(&format!("/api/v1{path}"), &headers).await;
        assert_eq!((answer.status, answer.json()["remedy"].is_string()), (400, true), "{path}");
    }
    let ocsf = bench.get("/api/v1/alerts?format=ocsf", &headers).await.json();
    assert_eq!(ocsf["alerts"][1]["class_uid"], 2004);
    let atom = bench.get("/api/v1/alerts.atom?state=open", &headers).await;
    assert_eq!(atom.text.matches("<entry>").count(), 3);
}

#[tokio::test]
async fn a_change_says_why_and_how_long() {
    let bench = Bench::new();
    bench.raise(1, &alert("a1", "high"));
    let token = bench.token(Role::Secadmin, Scope::Full);
    let headers = [("authorization", token.as_str())];
    let check = async |path: &str, body: &str, expected: u16| {
        let answer = bench.post(&format!("/api/v1/alerts/{path}"), &headers, body).await;
        assert_eq!(answer.status, expected, "{path} {body}: {}", answer.text);
    };
    check("a1/ack", "{}", 400).await;
    check("a1/ack", r#"{"reason":" "}"#, 400).await;
    check("a1/ack", r#"{"reason":"x","reasn":"y"}"#, 400).await;
    check("a9/ack", r#"{"reason":"x"}"#, 404).await;
    check("a1/close", r#"{"reason":"x"}"#, 400).await;
    check("a1/close", r#"{"reason":"x","kind":"fp","expires":"2099-01-01"}"#, 400).await;
    check("a1/close", r#"{"reason":"x","kind":"accepted-risk"}"#, 400).await;
    check("a1/close", r#"{"reason":"x","kind":"accepted-risk","expires":"2001-01-01"}"#, 400).await;
    let body = format!(r#"{{"reason":"{}"}}"#, "x".repeat(70_000));
    check("a1/ack", &body, 413).await;
    check("a1/close", r#"{"reason":"x","kind":"accepted-risk","expires":"2099-01-01"}"#, 200).await;
    let entry = bench.fake.entries().pop().unwrap();
    assert_eq!(entry.actor, "secadmin-full/t");
    assert!(entry.body.contains("2099-01-01T00:00:00Z"), "{}", entry.body);
}

#[tokio::test]
async fn a_search_streams_lines_is_recorded_and_says_what_is_wrong() {
    let bench = Bench::new();
    let token = bench.token(Role::Auditadmin, Scope::Read);
    let headers = [("authorization", token.as_str())];
    let answer = bench.get("/api/v1/search?q=root&limit=1000", &headers).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[999]["n"]), (1000, &json!(999)));
    let entry = bench.fake.entries().pop().unwrap();
    assert_eq!((&*entry.actor, &*entry.action), ("auditadmin-read/t", "events.searched"));
    assert!(entry.body.contains("root"));
    let answer = bench.get("/api/v1/search?query=x&limit=2&progress=true", &headers).await;
    let last: Value = serde_json::from_str(answer.text.lines().nth(2).unwrap()).unwrap();
    assert_eq!((answer.text.lines().count(), &last["progress"]["done"]), (3, &json!(true)));
    let answer = bench.get("/api/v1/search?q=series", &headers).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("more than 2000 series")));
    let answer = bench.get("/api/v1/search?q=a%20%7C%20b%20~%20c", &headers).await;
    let (said, status) = (answer.json(), answer.status);
    assert_eq!((status, &said["column"], &said["found"]), (400, &json!(7), &json!("`~`")));
    assert!(said["expected"].as_str().unwrap().contains("`=~`"), "{said}");
    for wrong in ["after=x", "step=x", "step=0s", "limit=x", "progress=x"] {
        let answer = bench.get(&format!("/api/v1/search?q=x&{wrong}"), &headers).await;
        assert_eq!((answer.status, answer.json()["remedy"].is_string()), (400, true), "{wrong}");
    }
    assert_eq!(bench.get("/api/v1/search?q=x&since=never", &headers).await.status, 400);
}

/// The events of a stream, one by one.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> Events {
        let answer = bench.open(request(Method::GET, path, headers, "")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; None when the stream has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn id(&mut self) -> u64 {
        let event = self.next().await.unwrap();
        let line = event.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
        line.parse().unwrap()
    }
}

#[tokio::test]
async fn the_stream_resumes_without_a_gap() {
    let bench = Bench::new();
    let token = bench.token(Role::Viewer, Scope::Alerts);
    let auth = ("authorization", token.as_str());
    for n in 1..=100 {
        bench.raise(n, &alert(&format!("a{n:03}"), "high"));
    }
    let stream = "/api/v1/alerts/stream";
    let mut events = Events::open(&bench, stream, &[auth]).await;
    assert_eq!(events.id().await, 100, "one that comes without a place begins now, and is told");
    bench.raise(101, &alert("a101", "high"));
    let event = events.next().await.unwrap();
    assert!(event.starts_with("id: 101\nevent: alert\ndata: {\"id\":\"a101\""), "{event}");
    assert!(bench.metrics.text().unwrap().contains("hengwei_feed_readers 1"));
    drop(events);
    assert!(bench.metrics.text().unwrap().contains("hengwei_feed_readers 0"));

    let mut events = Events::open(&bench, stream, &[auth, ("last-event-id", "3")]).await;
    assert_eq!(events.id().await, 3);
    for expected in 4..=101 {
        assert_eq!(events.id().await, expected);
    }
    bench.raise(102, &alert("a102", "high"));
    assert_eq!(events.id().await, 102);

    let bad = bench.get(stream, &[auth, ("last-event-id", "x")]).await;
    assert_eq!(bad.status, 400);
    bench.stop.cancel();
    assert_eq!(events.next().await, None, "stopping ends it");
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_session() {
    let bench = Bench::new();
    let token = bench.token(Role::Viewer, Scope::Alerts);
    let headers = [("authorization", token.as_str())];
    let mut events = Events::open(&bench, "/api/v1/alerts/stream", &headers).await;
    assert_eq!(events.id().await, 0);
    assert_eq!(events.next().await.unwrap(), ": still here", "a heartbeat");
    let disabled = accounts::user_disable(&bench.fake, T0, "local:root", "viewer-alerts").unwrap();
    bench.fake.commit(disabled.0);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn it_listens_on_loopback_until_somebody_can_sign_in() {
    let fake = Fake::default();
    let everywhere: SocketAddr = "0.0.0.0:8443".parse().unwrap();
    let check = |configured: &str, expected: &str| {
        let found = bind_address(&fake, configured.parse().unwrap());
        assert_eq!(found, expected.parse().unwrap(), "{configured}");
    };
    check("0.0.0.0:8443", "127.0.0.1:8443");
    check("[::]:8443", "[::1]:8443");
    check("192.0.2.1:1", "127.0.0.1:1");
    check("127.0.0.2:1", "127.0.0.2:1");
    let added = accounts::user_add(&fake, T0, "local:root", "wanglei", Role::Sysadmin).unwrap();
    fake.commit(added.0);
    check("0.0.0.0:8443", "127.0.0.1:8443");
    let used = accounts::accept_invite(&fake, T0, added.1.reveal(), "phc".to_owned()).unwrap();
    fake.commit(used.0);
    assert_eq!(bind_address(&fake, everywhere), everywhere);
}

/// One request over a connection of its own.
async fn over_tcp(address: SocketAddr, path: &str) -> hyper::Response<Incoming> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri(path).header("host", "a").body(Body::empty()).unwrap();
    sender.send_request(request).await.unwrap()
}

#[tokio::test]
async fn it_moves_when_the_first_account_comes_and_stops_in_order() {
    let bench = Bench::new();
    let stop = CancellationToken::new();
    let (addresses, mut bound) = tokio::sync::mpsc::unbounded_channel();
    let services = Services {
        store: Arc::new(bench.fake.clone()),
        judge: Arc::new(bench.fake.clone()),
        metrics: Arc::clone(&bench.metrics),
        feed: bench.feed.subscribe(),
        views: Arc::new(FakeViews { fake: bench.fake.clone() }),
        policy: Policy::default(),
        clock,
        stop: stop.clone(),
    };
    let running = tokio::spawn(run("0.0.0.0:0".parse().unwrap(), None, services, move |address| {
        addresses.send(address).unwrap();
    }));
    let first = bound.recv().await.unwrap();
    assert!(first.ip().is_loopback());
    assert_eq!(over_tcp(first, "/healthz").await.status(), 200);
    bench.account("wanglei", Role::Sysadmin);
    let second = bound.recv().await.unwrap();
    assert_eq!((second.ip().is_unspecified(), second.port()), (true, first.port()));
    assert_eq!(over_tcp(first, "/healthz").await.status(), 200);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_are_served_plainly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(crate::metrics::serve_metrics(listener, Arc::default(), stop.clone()));
    let answer = over_tcp(address, "/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"# HELP hengwei_"));
    assert_eq!(over_tcp(address, "/").await.status(), 404);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::alerts::{Alert, Entity, RuleRef};
use crate::serve;
use crate::store::{Decision, fake::Fake};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn alert(id: &str, level: &str) -> Alert {
    Alert {
        id: id.to_owned(),
        rule: RuleRef {
            id: "r1".to_owned(),
            title: "Brute force".to_owned(),
            title_zh: String::new(),
            level: level.to_owned(),
        },
        entity: Entity { kind: "source.ip".to_owned(), value: "192.0.2.9".to_owned() },
        count: 1,
        first_seen: String::new(),
        last_seen: String::new(),
        host: String::new(),
        agent: String::new(),
        site: String::new(),
        system: String::new(),
        tags: vec![],
        evidence: vec![],
        state: crate::alerts::State::New,
        raised: String::new(),
        advice: Default::default(),
        related: vec![],
        changes: vec![],
    }
}

/// A receiver on loopback: answers as told, then 204, and keeps what came with a right signature.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(u64, String)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    arrived: Arc<tokio::sync::Notify>,
}

impl Receiver {
    async fn start(&self, stop: CancellationToken, tls: Option<serve::ServerConfigs>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/hook", post(receive)).with_state(self.clone());
        tokio::spawn(serve::serve(listener, tls, router, stop));
        port
    }

    fn got(&self) -> Vec<(u64, String)> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many have arrived.
    async fn until(&self, count: usize) -> Vec<(u64, String)> {
        loop {
            let arrived = self.arrived.notified();
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            arrived.await;
        }
    }
}

async fn receive(State(it): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    use aws_lc_rs::hmac;
    let header = headers[webhook::SIGNATURE].to_str().unwrap();
    let (time, signature) = header.split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = [time.strip_prefix("t=").unwrap().as_bytes(), b".", &body].concat();
    let tag = hengwei_protocol::identity::unhex(signature).unwrap();
    if hmac::verify(&key, &signed, &tag).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let answer = it.answers.lock().unwrap().pop().unwrap_or(204);
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
    if answer == 204 {
        let id = message["alert"]["id"].as_str().unwrap().to_owned();
        it.got.lock().unwrap().push((message["seq"].as_u64().unwrap(), id));
    }
    it.arrived.notify_waiters();
    StatusCode::from_u16(answer).unwrap()
}

/// The feed over a map, and the channel on it.
struct Bench {
    fake: Fake,
    feed: watch::Sender<u64>,
    metrics: Arc<Metrics>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let (feed, _) = watch::channel(0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Bench { fake: Fake::default(), feed, metrics: Arc::default(), dir }
    }

    fn raise(&self, seq: u64, alert: &Alert) {
        let puts = vec![store::put(tree::FEED, seq.to_be_bytes(), alert)];
        self.fake.commit(Decision { entries: vec![], puts });
        self.feed.send_replace(seq);
    }

    /// Runs the channel until the token is cancelled and all has ended.
    fn run(&self, url: &str, more: &str) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let secret = self.dir.path().join("secret");
        let section =
            format!("[webhook]\nurl = '{url}'\nsecret_file = '{}'\n{more}", secret.display());
        let channels = configure(toml::from_str(&section).unwrap()).unwrap();
        let tools = Tools {
            store: Arc::new(self.fake.clone()),
            judge: Arc::new(self.fake.clone()),
            feed: self.feed.subscribe(),
            metrics: Arc::clone(&self.metrics),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(channels, tools, stop.clone()));
        (stop, running)
    }

    fn cursor(&self) -> Option<u64> {
        let cursor = store::get::<Cursor>(&self.fake, tree::SETTINGS, b"notify.webhook");
        cursor.map(|it| it.delivered)
    }

    async fn until_cursor(&self, expected: u64) {
        while self.cursor() != Some(expected) {
            tokio::task::yield_now().await;
        }
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.text().unwrap().lines().any(|found| found == line)
    }
}

fn ids(got: &[(u64, String)]) -> Vec<(u64, &str)> {
    got.iter().map(|(seq, id)| (*seq, id.as_str())).collect()
}

#[tokio::test]
async fn a_webhook_is_signed_in_order_and_goes_on_after_a_restart() {
    let bench = Bench::new();
    let receiver = Receiver::default();
    let everything = CancellationToken::new();
    let port = receiver.start(everything.clone(), None).await;
    let url = format!("http://127.0.0.1:{port}/hook");
    bench.raise(1, &alert("old", "high"));
    let (stop, running) = bench.run(&url, "");
    bench.until_cursor(1).await;
    bench.raise(2, &alert("a", "high"));
    receiver.until(1).await;
    bench.raise(3, &alert("mild", "medium"));
    bench.raise(4, &alert("b", "critical"));
    let got = receiver.until(2).await;
    assert_eq!(ids(&got), [(2, "a"), (4, "b")], "history is not sent, nor what is too mild");
    bench.until_cursor(4).await;
    stop.cancel();
    running.await.unwrap();

    for seq in 5..=7 {
        bench.raise(seq, &alert(&format!("c{seq}"), "high"));
    }
    bench.raise(8, &alert("c5", "high"));
    let (stop, running) = bench.run(&url, "");
    let got = receiver.until(5).await;
    let expected = [(6, "c6"), (7, "c7"), (8, "c5")];
    assert_eq!(ids(&got[2..]), expected, "what changed twice meanwhile is told once");
    bench.until_cursor(8).await;
    assert!(bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"delivered\"} 5"));
    stop.cancel();
    running.await.unwrap();
    everything.cancel();
}

#[tokio::test]
async fn it_waits_for_a_receiver_that_fails_and_gives_up_what_is_refused() {
    let bench = Bench::new();
    let receiver = Receiver::default();
    let everything = CancellationToken::new();
    let port = receiver.start(everything.clone(), None).await;
    let (stop, running) = bench.run(&format!("http://127.0.0.1:{port}/hook"), "");
    bench.until_cursor(0).await;
    // Answered from the end: a fault, then taken.
    *receiver.answers.lock().unwrap() = vec![204, 503];
    bench.raise(1, &alert("a", "high"));
    bench.raise(2, &alert("b", "high"));
    assert_eq!(ids(&receiver.until(2).await), [(1, "a"), (2, "b")], "in order, none left out");
    assert!(bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"failed\"} 1"));
    stop.cancel();
    running.await.unwrap();
    everything.cancel();
}

#[tokio::test]
async fn what_was_not_delivered_before_a_stop_is_delivered_after() {
    let bench = Bench::new();
    let receiver = Receiver::default();
    let everything = CancellationToken::new();
    let port = receiver.start(everything.clone(), None).await;
    let url = format!("http://127.0.0.1:{port}/hook");
    let (stop, running) = bench.run(&url, "");
    bench.until_cursor(0).await;
    // Answered from the end: the first is taken, the second is not.
    *receiver.answers.lock().unwrap() = vec![503, 204];
    let puts = (1..=3_u64)
        .map(|seq| store::put(tree::FEED, seq.to_be_bytes(), &alert(&format!("a{seq}"), "high")));
    bench.fake.commit(Decision { entries: vec![], puts: puts.collect() });
    bench.feed.send_replace(3);
    while !bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"failed\"} 1") {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bench.cursor(), Some(1));
    let (stop, running) = bench.run(&url, "");
    assert_eq!(ids(&receiver.until(3).await), [(1, "a1"), (2, "a2"), (3, "a3")]);
    stop.cancel();
    running.await.unwrap();
    everything.cancel();
}

/// A channel that never takes what it is told.
struct Refusing;

impl Channel for Refusing {
    fn send<'a>(&'a self, _: &'a Message) -> Sending<'a> {
        Box::pin(async { Err(Failure::Rejected("answered 422".to_owned())) })
    }

    fn min_level(&self) -> &str {
        "low"
    }
}

/// A channel that never answers.
struct Hanging;

impl Channel for Hanging {
    fn send<'a>(&'a self, _: &'a Message) -> Sending<'a> {
        Box::pin(std::future::pending())
    }

    fn min_level(&self) -> &str {
        "low"
    }
}

fn runner(bench: &Bench, channel: Box<dyn Channel>) -> Runner {
    Runner {
        configured: Configured { name: "webhook", channel },
        tools: Tools {
            store: Arc::new(bench.fake.clone()),
            judge: Arc::new(bench.fake.clone()),
            feed: bench.feed.subscribe(),
            metrics: Arc::clone(&bench.metrics),
        },
        stop: CancellationToken::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_given_up_and_recorded() {
    let bench = Bench::new();
    let runner = runner(&bench, Box::new(Refusing));
    let message = Message { seq: 1, alert: alert("a", "high") };
    assert!(runner.send(&message).await);
    assert!(bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"failed\"} 4"));
    assert!(bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"given-up\"} 1"));
    let entry = bench.fake.entries().pop().unwrap();
    assert_eq!(entry.action, "notify.given-up");
    assert!(entry.body.contains("422"));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_is_timed_and_can_be_stopped() {
    let bench = Bench::new();
    let runner = runner(&bench, Box::new(Hanging));
    let (stop, failed) = (runner.stop.clone(), Arc::clone(&bench.metrics));
    let line = "hengwei_notify_sent_total{channel=\"webhook\",outcome=\"failed\"} 2";
    tokio::spawn(async move {
        while !failed.text().unwrap().contains(line) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stop.cancel();
    });
    let message = Message { seq: 1, alert: alert("a", "high") };
    assert!(!runner.send(&message).await, "not delivered, so the cursor must not move");
}

#[tokio::test]
async fn https_trusts_the_given_roots_only() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key =
        rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let receiver = Receiver::default();
    let everything = CancellationToken::new();
    let tls: serve::ServerConfigs = Arc::new(move || Arc::clone(&config));
    let port = receiver.start(everything.clone(), Some(tls)).await;
    let url = format!("https://127.0.0.1:{port}/hook");

    let bench = Bench::new();
    let ca = bench.dir.path().join("ca.pem");
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    let (stop, running) = bench.run(&url, &format!("ca_file = '{}'", ca.display()));
    bench.until_cursor(0).await;
    bench.raise(1, &alert("a", "high"));
    assert_eq!(ids(&receiver.until(1).await), [(1, "a")]);
    stop.cancel();
    running.await.unwrap();

    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&ca, other.cert.pem()).unwrap();
    let (stop, running) = bench.run(&url, &format!("ca_file = '{}'", ca.display()));
    bench.raise(2, &alert("b", "high"));
    while !bench.metric("hengwei_notify_sent_total{channel=\"webhook\",outcome=\"failed\"} 1") {
        tokio::task::yield_now().await;
    }
    assert_eq!(receiver.got().len(), 1, "a stranger is told nothing");
    stop.cancel();
    running.await.unwrap();
    everything.cancel();
}

#[test]
fn sections_are_checked_against_the_table() {
    let check = |text: &str, expected: &str| {
        let error = configure(toml::from_str(text).unwrap()).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains(expected), "{said}");
    };
    check("[webhok]", "`[notify.webhok]`: no such channel; there are: webhook");
    check("webhook = 1", "write `[notify.webhook]`");
    check("[webhook]\nurl = 'http://a/'", "`[notify.webhook]`: missing field `secret_file`");
    assert!(configure(toml::Table::new()).unwrap().is_empty());
}

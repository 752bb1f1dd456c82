//! Real TLS over loopback against a judge's double, with the identity that agents really use. One
//! test per row of the refusals; in each of them another agent goes on undisturbed.

mod delivery;
mod refusals;
mod trust;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hengwei_agent::enroll;
use hengwei_agent::identity::Identity;
use hengwei_agent::ship::Session as _;
use hengwei_protocol::identity::Token;
use hengwei_protocol::wire::{self, Block, Hello, HostInfo, Origin, QueueState, Record};
use hengwei_protocol::{block, record};
use rustls_pki_types::ServerName;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::history::{QueueLedger, Received, tree};
use crate::inputs::{ConnectionInfo, Observer};
use crate::judge::{Prepared, Stored};
use crate::pki::{Settings, setup};
use crate::registry::{self, NewToken};
use crate::store::{self, Decide, Decided, Error, Judge, Store, fake::Fake};
use crate::time::{DAY, HOUR};
use hengwei_protocol::{Kind, identity};

const PASSPHRASE: &[u8] = b"a passphrase for tests";
/// How long anything may take before a test calls it failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// History and judge in memory.
#[derive(Clone, Default)]
struct Double {
    fake: Fake,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    received: Vec<Received>,
    /// While set, batches wait here instead of being stored.
    held: Option<Vec<Held>>,
}

type Held = (Prepared, oneshot::Sender<Result<Stored, Error>>);

impl Double {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("no test panics with the lock")
    }

    /// Every number stored of a queue, in the order of storing.
    fn numbers(&self, agent: &str) -> Vec<u64> {
        let taken = self.lock();
        let of_agent = taken.received.iter().filter(|received| *received.agent == *agent);
        of_agent.flat_map(|batch| batch.records.records.iter().map(|r| r.number)).collect()
    }

    fn hold(&self) {
        self.lock().held = Some(Vec::new());
    }

    fn release(&self) {
        let held = self.lock().held.take();
        for (prepared, answer) in held.into_iter().flatten() {
            let _ = answer.send(self.store(prepared));
        }
    }

    fn store(&self, prepared: Prepared) -> Result<Stored, Error> {
        let Prepared { received, digest, .. } = prepared;
        let ledger = self.fake.queue(&received.agent, received.kind, &received.epoch);
        let expected = ledger.map_or(received.first.min(1), |ledger| ledger.next);
        if received.first != expected {
            return Err(Error::Hole { expected, found: received.first });
        }
        let next = received.first + received.span;
        let ledger = QueueLedger {
            next,
            digest: identity::hex(&digest),
            records: 0,
            missing: 0,
            last: now(),
            first_time: 0,
        };
        let key =
            format!("{}\0{}\0{}", received.agent, received.kind, identity::hex(&received.epoch));
        self.fake.apply(vec![store::put(tree::LEDGER, key, &ledger)]);
        let mut taken = self.lock();
        taken.received.push(received);
        let commit = taken.received.len() as u64;
        let head = wire::Head { class: "log".into(), commit, link: vec![1; 32].into() };
        Ok(Stored {
            next,
            heads: wire::Heads { time: now(), heads: vec![head], ..Default::default() },
        })
    }
}

impl Judge for Double {
    fn decide(&self, decide: Decide) -> Decided<'_> {
        self.fake.set_now(now());
        self.fake.decide(decide)
    }
}

impl Take for Double {
    async fn submit(&self, prepared: Prepared) -> oneshot::Receiver<Result<Stored, Error>> {
        let (answer, coming) = oneshot::channel();
        let mut taken = self.lock();
        if let Some(held) = &mut taken.held {
            held.push((prepared, answer));
        } else {
            drop(taken);
            let _ = answer.send(self.store(prepared));
        }
        coming
    }
}

/// Writes down what it hears.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn push(&self, text: String) {
        self.0.lock().expect("no panic with the lock").push(text);
    }

    fn has(&self, text: &str) -> bool {
        self.0.lock().expect("no panic with the lock").iter().any(|heard| heard == text)
    }
}

impl Observer for Heard {
    fn connected(&self, agent: &str, info: &ConnectionInfo) {
        self.push(format!("connected {agent} {} {} {}", info.host, info.site, info.system));
    }
    fn disconnected(&self, agent: &str, _: &ConnectionInfo, _: bool) {
        self.push(format!("disconnected {agent}"));
    }
    fn clock_offset(&self, agent: &str, nanos: i64) {
        assert!(nanos != i64::MIN, "a clock that makes this double panic");
        self.push(format!("clock {agent} {}", nanos / HOUR));
    }
    fn clone_seen(&self, agent: &str, here: &ConnectionInfo) {
        self.push(format!("clone {agent} {}", here.instance[0]));
    }
    fn rolled_back(&self, agent: &str, kind: Kind, from: [u8; 16], to: [u8; 16]) {
        self.push(format!("rolled back {agent} {kind} {} {}", from[0], to[0]));
    }
}

/// Everything that was logged, by all tests of the process.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOG.get_or_init(|| {
        struct Sink;
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                log().lock().expect("no panic with the lock").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let _ = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Sink).try_init();
        Mutex::default()
    })
}

/// Waits until `done`, and fails when that takes too long.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A collector that listens, its PKI in a folder of its own.
struct Server {
    dir: tempfile::TempDir,
    address: SocketAddr,
    double: Double,
    heard: Arc<Heard>,
    pki: Arc<Pki>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn make_pki(dir: &Path) -> Arc<Pki> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    setup::init(dir, &names, &dir.join("root.sealed"), PASSPHRASE, now()).expect("makes a PKI");
    Arc::new(Pki::open(dir, Settings::default()).expect("opens the PKI"))
}

async fn server() -> Server {
    log();
    let dir = tempfile::tempdir().expect("a folder");
    let pki = make_pki(dir.path());
    let (double, heard, stop) =
        (Double::default(), Arc::new(Heard::default()), CancellationToken::new());
    let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let mut input = Agents::configure(config).expect("a good configuration").expect("is on");
    let address = input.bind().expect("a port");
    let context = Context {
        desk: double.clone(),
        store: Arc::new(double.fake.clone()),
        pki: Arc::clone(&pki),
        metrics: Arc::default(),
        observer: Arc::clone(&heard) as Arc<dyn Observer>,
        budget: Budget::new(limits::BUDGET),
        stop: stop.clone(),
    };
    let task = tokio::spawn(Input::run(input, context));
    Server { dir, address, double, heard, pki, stop, task }
}

/// An agent's folder and identity.
struct Host {
    _dir: Option<tempfile::TempDir>,
    identity: Identity,
}

impl Server {
    async fn token(&self, agent: Option<&str>) -> String {
        let mut secret = [0u8; 32];
        aws_lc_rs::rand::fill(&mut secret).expect("randomness");
        let token = Token { secret, root: self.pki.root_digest() };
        let new = NewToken {
            site: agent.is_none().then(|| "county".to_owned()),
            system: agent.is_none().then(|| "his".to_owned()),
            agent: agent.map(str::to_owned),
            ttl_nanos: HOUR,
            actor: "local:test".into(),
        };
        let made = store::transact(&self.double, move |store, now| {
            registry::create_token(store, now, &token, new)
        });
        made.await.expect("a token")
    }

    async fn enroll(&self, token: &str, dir: &Path) -> anyhow::Result<enroll::Outcome> {
        let args = enroll::Args {
            collector: format!("127.0.0.1:{}", self.address.port()),
            token: Some(token.to_owned()),
            token_file: None,
        };
        enroll::run(args, dir).await
    }

    async fn host(&self) -> Host {
        let dir = tempfile::tempdir().expect("a folder");
        let token = self.token(None).await;
        self.enroll(&token, dir.path()).await.expect("enrols");
        let identity = Identity::open(dir.path()).expect("an identity");
        Host { _dir: Some(dir), identity }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// Connects with TLS and nothing said yet.
    async fn open(&self, connector: &tokio_rustls::TlsConnector) -> io::Result<Client> {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, self.tcp().await).await?;
        Ok(Client { stream, budget: Budget::new(64 << 20) })
    }

    /// Connects and says Hello; the Welcome must come.
    async fn join(&self, host: &Host, instance: u8, epoch: u8) -> (Client, wire::Welcome) {
        let (connector, _) = host.identity.connector();
        let mut client = self.open(&connector).await.expect("TLS");
        client.send(hello(instance, &[(Kind::Log, epoch)])).await;
        match client.receive().await {
            Some(Body::Welcome(welcome)) => (client, welcome),
            other => panic!("no Welcome but {other:?}"),
        }
    }

    /// Waits for the log line of a refusal.
    async fn logged(&self, peer: SocketAddr, reason: Reason) {
        let (peer, reason) = (format!("peer={peer} "), format!("reason={:?}", reason.as_str()));
        until(&format!("{peer}{reason}"), || {
            let log = log().lock().expect("no panic with the lock");
            let text = String::from_utf8_lossy(&log);
            text.lines().any(|line| line.contains(&peer) && line.contains(&reason))
        })
        .await;
    }
}

struct Client {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    budget: Budget,
}

impl Client {
    fn address(&self) -> SocketAddr {
        self.stream.get_ref().0.local_addr().expect("an address")
    }

    async fn send(&mut self, body: Body) {
        frame::write(&mut self.stream, body).await.expect("sends");
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sends");
        self.stream.flush().await.expect("sends");
    }

    /// The next message but policies; None at the end.
    async fn receive(&mut self) -> Option<Body> {
        loop {
            let read = frame::read(&mut self.stream, &self.budget, limits::MAX_FRAME);
            match timeout(PATIENCE, read).await.expect("an answer in time") {
                Ok(Some((Body::Policy(_), _))) => {}
                Ok(read) => return read.map(|(body, _)| body),
                Err(_) => return None,
            }
        }
    }

    async fn acked(&mut self) -> u64 {
        match self.receive().await {
            Some(Body::Ack(ack)) => ack.queues[0].next,
            other => panic!("no Ack but {other:?}"),
        }
    }

    async fn refused(&mut self) -> Option<Reason> {
        loop {
            match self.receive().await {
                Some(Body::Refusal(refusal)) => return Reason::parse(&refusal.reason),
                Some(_) => {}
                None => return None,
            }
        }
    }
}

fn hello(instance: u8, queues: &[(Kind, u8)]) -> Body {
    let state = |(kind, epoch): &(Kind, u8)| QueueState {
        kind: (*kind).into(),
        epoch: vec![*epoch; 16].into(),
        ..Default::default()
    };
    Body::Hello(Hello {
        version: "test".into(),
        instance: vec![instance; 16].into(),
        queues: queues.iter().map(state).collect(),
        host: Some(HostInfo { hostname: "his-01\n".into(), ..Default::default() }),
        clock: now(),
    })
}

fn records(numbers: std::ops::Range<u64>) -> Block {
    let record = |number| Record {
        number,
        body: Some(wire::record::Body::Original(format!("line {number}").into())),
        ..Default::default()
    };
    Block {
        origins: vec![Origin { source: "files".into(), ..Default::default() }],
        records: numbers.map(record).collect(),
    }
}

fn batch(epoch: u8, numbers: std::ops::Range<u64>) -> wire::Batch {
    let epoch = Bytes::from(vec![epoch; 16]);
    block::pack(Kind::Log, epoch, &records(numbers)).expect("packs")
}

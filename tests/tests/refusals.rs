//! Who and what a running collector refuses: each peer hears why, the log names the reason with the
//! peer's address, `hengwei_refused_total` counts it by that name, nothing of it is stored, and
//! another agent goes on over the connection it had.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hengwei_protocol::wire::{Batch, Block, Hello, HostInfo, Origin, QueueState, Record};
use hengwei_protocol::wire::{frame::Body, record};
use hengwei_protocol::{ALPN_AGENT, ALPN_ENROLL, Kind, block, frame, limits};
use hengwei_tests::tls::{Authority, Client, Credential};
use hengwei_tests::{Agent, Collector, PATIENCE, Site, wait};

const DAY: Duration = Duration::from_secs(86_400);
const EPOCH: [u8; 16] = [7; 16];

/// A collector, and an agent that must not notice anything.
struct Scene {
    collector: Collector,
    bystander: Agent,
    log: PathBuf,
    lines: u32,
    site: Site,
}

impl Scene {
    fn new() -> anyhow::Result<Scene> {
        let site = Site::new()?;
        let log = site.path().join("logs/app.log");
        let collector = site.collector("")?;
        let bystander = collector.agent("bystander", "his", &sources(&log))?;
        let mut scene = Scene { collector, bystander, log, lines: 0, site };
        scene.goes_on()?;
        Ok(scene)
    }

    /// The bystander delivers another line, on the connection it began with.
    fn goes_on(&mut self) -> anyhow::Result<()> {
        self.lines += 1;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        writeln!(file, "undisturbed line {}", self.lines)?;
        wait("the bystander's line", PATIENCE, || {
            let held = self.collector.rows(&["search", "undisturbed"])?.len();
            Ok((held >= self.lines as usize).then_some(()))
        })?;
        assert_eq!(self.collector.rows(&["search", "undisturbed"])?.len(), self.lines as usize);
        let connections = self.bystander.log().matches("shipping address").count();
        assert_eq!(connections, 1, "{}", self.bystander.log());
        Ok(())
    }

    /// Another enrolled agent, whose certificate the test speaks with itself.
    fn somebody(&self) -> anyhow::Result<(Agent, Credential)> {
        let agent = self.collector.agent_stopped("somebody", "his", "")?;
        let credential = Credential::read(&agent.data().join("identity.pem"))?;
        Ok((agent, credential))
    }

    fn connect(&self, alpn: &[&[u8]], credential: Option<&Credential>) -> anyhow::Result<Client> {
        Client::connect(&self.collector, self.collector.agents, alpn, credential)
    }

    /// Knocks with that certificate; what is said back.
    fn knock(&self, credential: Option<&Credential>) -> anyhow::Result<(SocketAddr, String)> {
        let mut client = self.connect(&[ALPN_AGENT], credential)?;
        let address = client.address()?;
        // It may be refused before it has said everything.
        let said = client.say(hello());
        Ok((address, told(client.hear().and_then(|heard| said.map(|()| heard)))))
    }

    /// That peer was refused for that reason once, by name, and the bystander did not notice.
    fn refused(&mut self, peer: SocketAddr, reason: &str) -> anyhow::Result<()> {
        let (peer, named) = (format!("peer={peer}"), format!("reason=\"{reason}\""));
        wait(&format!("{peer} {named} in the log"), PATIENCE, || {
            let log = self.collector.log();
            let found = log
                .lines()
                .any(|line| line.split(' ').any(|word| word == peer) && line.contains(&named));
            Ok(found.then_some(()))
        })?;
        self.counted(reason, 1)?;
        self.goes_on()
    }

    fn counted(&self, reason: &str, times: u32) -> anyhow::Result<()> {
        let metrics = self.collector.metrics_text()?;
        for line in metrics.lines().filter(|line| line.starts_with("hengwei_refused_total{")) {
            let expected = if line.contains(&format!("\"{reason}\"")) { times } else { 0 };
            assert!(line.ends_with(&format!("}} {expected}")), "{reason} {times}: {line}");
        }
        assert!(
            metrics.contains(&format!("hengwei_refused_total{{reason=\"{reason}\"}} {times}\n"))
        );
        Ok(())
    }

    /// After Hello and Welcome an agent says `bytes`: its connection ends for that reason, and
    /// nothing it said is stored.
    fn says(&mut self, bytes: &[u8], reason: &str) -> anyhow::Result<()> {
        let (agent, credential) = self.somebody()?;
        let mut client = self.connect(&[ALPN_AGENT], Some(&credential))?;
        let address = client.address()?;
        client.say(hello())?;
        let heard = client.hear()?;
        assert!(matches!(heard, Some(Body::Welcome(_))), "{heard:?}");
        client.write_all(bytes)?;
        client.flush()?;
        assert_eq!(told(client.hear()), reason);
        self.refused(address, reason)?;
        let ledger = self.collector.rows(&["ledger"])?;
        assert!(ledger.iter().all(|queue| queue["agent"] != *agent.id), "{ledger:?}");
        Ok(())
    }
}

fn sources(log: &Path) -> String {
    format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n")
}

/// A refusal's reason, or what TLS said.
fn told(heard: io::Result<Option<Body>>) -> String {
    match heard {
        Ok(Some(Body::Refusal(refusal))) => refusal.reason,
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

fn hello() -> Body {
    let queue = QueueState {
        kind: Kind::Log.into(),
        epoch: Bytes::copy_from_slice(&EPOCH),
        ..QueueState::default()
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Body::Hello(Hello {
        version: "0".to_owned(),
        instance: Bytes::from_static(&[1; 16]),
        queues: vec![queue],
        host: Some(HostInfo { hostname: "his-02".to_owned(), ..HostInfo::default() }),
        clock: i64::try_from(since.as_nanos()).unwrap_or_default(),
    })
}

/// A batch of so many lines from `first` on.
fn batch(first: u64, lines: u64) -> anyhow::Result<Batch> {
    let record = |number| Record {
        number,
        body: Some(record::Body::Original(format!("intruding line {number}").into())),
        ..Record::default()
    };
    let block = Block {
        origins: vec![Origin { source: "files".to_owned(), ..Origin::default() }],
        records: (first..first + lines).map(record).collect(),
    };
    Ok(block::pack(Kind::Log, Bytes::copy_from_slice(&EPOCH), &block)?)
}

#[test]
fn no_client_certificate() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let (peer, told) = scene.knock(None)?;
    assert!(told.contains("CertificateRequired"), "{told}");
    scene.refused(peer, "no-certificate")
}

#[test]
fn a_certificate_of_another_root() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let now = SystemTime::now();
    let foreign =
        Authority::root("another root")?.agent(&scene.bystander.id, now - DAY, now + DAY)?;
    let (peer, told) = scene.knock(Some(&foreign))?;
    assert!(told.contains("UnknownCA"), "{told}");
    scene.refused(peer, "unknown-root")
}

#[test]
fn an_expired_certificate() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let now = SystemTime::now();
    let (from, until) = (now - DAY / 2, now - Duration::from_secs(60));
    let old = Authority::stolen(&scene.collector)?.agent(&scene.bystander.id, from, until)?;
    let (peer, told) = scene.knock(Some(&old))?;
    assert!(told.contains("CertificateExpired"), "{told}");
    scene.refused(peer, "expired")
}

#[test]
fn a_revoked_certificate() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let (agent, credential) = scene.somebody()?;
    scene.collector.must(&["pki", "revoke", &agent.id, "--reason", "stolen"])?;
    let (peer, told) = scene.knock(Some(&credential))?;
    assert_eq!(told, "revoked");
    scene.refused(peer, "revoked")
}

#[test]
fn another_agents_name() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    // Even the CA's own signature does not make somebody the bystander: the registry must know
    // that very certificate. The bystander is not sent away for it either.
    let now = SystemTime::now();
    let forged = Authority::stolen(&scene.collector)?.agent(&scene.bystander.id, now, now + DAY)?;
    let (peer, told) = scene.knock(Some(&forged))?;
    assert_eq!(told, "unknown-agent");
    scene.refused(peer, "unknown-agent")
}

#[test]
fn an_enrolment_token_used_twice() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let (agent, _) = scene.somebody()?;
    let thief = agent.twin(&scene.site.path().join("thief"))?;
    thief.configure(&[scene.collector.agents], "")?;
    let token = agent.folder.join("token");
    let output = thief.command(&[
        "enroll",
        "--collector",
        &format!("127.0.0.1:{}", scene.collector.agents),
        "--token-file",
        token.to_str().expect("UTF-8"),
    ])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("bad-token"), "{said}");
    assert!(!thief.data().join("identity.pem").exists());
    wait("the refusal in the log", PATIENCE, || {
        Ok(scene.collector.log().contains("reason=\"bad-token\"").then_some(()))
    })?;
    scene.counted("bad-token", 1)?;
    assert_eq!(scene.collector.rows(&["pki", "list"])?.len(), 2, "no third agent");
    scene.goes_on()
}

#[test]
fn no_protocol_of_ours() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let told = scene.connect(&[], None).map(drop).expect_err("no TLS").to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
    let told = scene.connect(&[b"h2"], None).map(drop).expect_err("no TLS").to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
    wait("both in the log", PATIENCE, || {
        let log = scene.collector.log();
        Ok((log.matches("reason=\"no-protocol\"").count() == 2).then_some(()))
    })?;
    scene.counted("no-protocol", 2)?;
    scene.goes_on()
}

#[test]
fn garbage_instead_of_tls() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, scene.collector.agents))?;
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    scene.refused(tcp.local_addr()?, "tls")
}

#[test]
fn garbage_bytes_of_an_agent() -> anyhow::Result<()> {
    Scene::new()?.says(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], "malformed")
}

#[test]
fn a_length_beyond_the_limit() -> anyhow::Result<()> {
    let beyond = u32::try_from(limits::MAX_FRAME + 1)?;
    Scene::new()?.says(&beyond.to_be_bytes(), "too-long")
}

#[test]
fn a_length_beyond_the_limit_of_a_stranger() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let mut client = scene.connect(&[ALPN_ENROLL], None)?;
    client.write_all(&u32::try_from(limits::MAX_ENROL_FRAME + 1)?.to_be_bytes())?;
    client.flush()?;
    let peer = client.address()?;
    assert_eq!(told(client.hear()), "too-long");
    scene.refused(peer, "too-long")
}

/// A block that unpacks to more than is allowed, in an envelope that says `raw_len`.
fn bomb(raw_len: u64) -> anyhow::Result<Bytes> {
    let zeros = vec![0; limits::MAX_BLOCK + 1];
    let block = Bytes::from(zstd::bulk::compress(&zeros, 3)?);
    assert!(block.len() < 64 << 10, "a bomb is small before it goes off");
    Ok(frame::encode(Body::Batch(Batch { block, raw_len, ..batch(1, 2)? })))
}

#[test]
fn a_decompression_bomb_that_admits_it() -> anyhow::Result<()> {
    Scene::new()?.says(&bomb(limits::MAX_BLOCK as u64 + 1)?, "bomb")
}

#[test]
fn a_decompression_bomb_that_lies() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let before = hengwei_tests::resident(scene.collector.pid().expect("it runs"))?;
    scene.says(&bomb(100)?, "bomb")?;
    let after = hengwei_tests::resident(scene.collector.pid().expect("it runs"))?;
    assert!(after < before + (limits::MAX_BLOCK as u64), "{before} bytes became {after}");
    Ok(())
}

#[test]
fn a_hole_in_the_numbers() -> anyhow::Result<()> {
    Scene::new()?.says(&frame::encode(Body::Batch(batch(5, 2)?)), "hole")
}

#[test]
fn a_hole_inside_a_batch() -> anyhow::Result<()> {
    let holed = Batch { span: 3, ..batch(1, 2)? };
    Scene::new()?.says(&frame::encode(Body::Batch(holed)), "hole")
}

//! Who and what is refused, under which name.

use super::*;
use hengwei_protocol::{ALPN_AGENT, ALPN_ENROLL};
use rustls::client::Resumption;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// TLS as a client that trusts this server, with any ALPN and certificate.
fn connector(
    server: &Server,
    alpn: &[&[u8]],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> tokio_rustls::TlsConnector {
    let mut roots = RootCertStore::empty();
    for root in &server.pki.policy().borrow().roots {
        roots.add(CertificateDer::from(root.to_vec())).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("a certificate"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

/// A certificate of `pki` for `agent` that no registry knows.
fn issue(
    pki: &Pki,
    agent: &str,
    now: i64,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a request");
    let request = pki.request(csr.der()).expect("a good request");
    let issued = pki.issue(&request, agent, now).expect("issues");
    let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
    (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

/// Connects as an agent; the alert or the refusal that comes back.
async fn knock(
    server: &Server,
    connector: &tokio_rustls::TlsConnector,
    expected: Reason,
) -> String {
    // TLS 1.3 is over for a client before the server has looked at its certificate.
    let mut client = server.open(connector).await.expect("TLS");
    let sent = frame::write(&mut client.stream, hello(1, &[])).await;
    let read = frame::read(&mut client.stream, &client.budget, limits::MAX_FRAME).await;
    server.logged(client.address(), expected).await;
    match (sent, read) {
        (_, Ok(Some((Body::Refusal(refusal), _)))) => refusal.reason,
        (_, Err(error)) => error.to_string(),
        (sent, read) => format!("{sent:?} {read:?}"),
    }
}

/// Another agent, connected all the time, must not notice.
struct Bystander(Client);

impl Bystander {
    async fn new(server: &Server) -> Bystander {
        let host = server.host().await;
        let (mut client, _) = server.join(&host, 9, 9).await;
        client.send(Body::Batch(batch(9, 0..2))).await;
        assert_eq!(client.acked().await, 2);
        Bystander(client)
    }

    async fn goes_on(mut self) {
        self.0.send(Body::Batch(batch(9, 2..4))).await;
        assert_eq!(self.0.acked().await, 4);
    }
}

fn alert(description: AlertDescription) -> String {
    rustls::Error::AlertReceived(description).to_string()
}

#[tokio::test]
async fn without_a_certificate() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let told =
        knock(&server, &connector(&server, &[ALPN_AGENT], None), Reason::NoCertificate).await;
    assert_eq!(told, alert(AlertDescription::CertificateRequired));
    bystander.goes_on().await;
}

#[tokio::test]
async fn with_a_certificate_of_another_root() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let other = tempfile::tempdir().expect("a folder");
    let foreign = issue(&make_pki(other.path()), "his-01", now());
    let told =
        knock(&server, &connector(&server, &[ALPN_AGENT], Some(foreign)), Reason::UnknownRoot)
            .await;
    assert_eq!(told, alert(AlertDescription::UnknownCA));
    bystander.goes_on().await;
}

#[tokio::test]
async fn with_an_expired_certificate() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let old = issue(&server.pki, "his-01", now() - 100 * DAY);
    let told = knock(&server, &connector(&server, &[ALPN_AGENT], Some(old)), Reason::Expired).await;
    assert_eq!(told, alert(AlertDescription::CertificateExpired));
    bystander.goes_on().await;
}

#[tokio::test]
async fn with_a_revoked_certificate() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let host = server.host().await;
    revoke(&server, &host.identity.agent()).await;
    let (connector, _) = host.identity.connector();
    assert_eq!(knock(&server, &connector, Reason::Revoked).await, "revoked");
    bystander.goes_on().await;
}

#[tokio::test]
async fn under_another_agents_name() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let host = server.host().await;
    // Even our own CA's word is not enough: the registry must know this very certificate.
    for name in [host.identity.agent().as_str(), "nobody"] {
        let forged = connector(&server, &[ALPN_AGENT], Some(issue(&server.pki, name, now())));
        assert_eq!(knock(&server, &forged, Reason::UnknownAgent).await, "unknown-agent");
    }
    bystander.goes_on().await;
}

#[test]
fn a_request_that_names_another_agent_gets_its_own_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = make_pki(dir.path());
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("params");
    let uri = "hengwei:agent:other".try_into().expect("ASCII");
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    params.distinguished_name.push(rcgen::DnType::CommonName, "other");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).expect("a request");
    let request = pki.request(csr.der()).expect("a good request");
    let issued = pki.issue(&request, "mine", now()).expect("issues");
    assert_eq!(issued.facts.agent.as_deref(), Some("mine"));
    assert_eq!(issued.facts.subject, "mine");
    assert!(!issued.facts.authority);
}

#[tokio::test]
async fn a_token_used_twice() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let (first, second) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let token = server.token(None).await;
    server.enroll(&token, first.path()).await.expect("enrols");
    let error = server.enroll(&token, second.path()).await.expect_err("is refused").to_string();
    assert!(error.contains("bad-token"), "{error}");
    assert!(!second.path().join("identity.pem").exists());
    bystander.goes_on().await;
}

#[tokio::test]
async fn an_enrolment_that_was_cut_off_gets_the_same_certificate() {
    let server = server().await;
    let dir = tempfile::tempdir().expect("a folder");
    let token = server.token(None).await;
    server.enroll(&token, dir.path()).await.expect("enrols");
    // As if it had been cut off before the answer: the key is there, the identity is not.
    let identity = std::fs::read_to_string(dir.path().join("identity.pem")).expect("an identity");
    let key = &identity[..identity.find("-----BEGIN CERT").expect("a certificate")];
    std::fs::write(dir.path().join("enrol.key"), key).expect("writes");
    std::fs::remove_file(dir.path().join("identity.pem")).expect("removes");
    server.enroll(&token, dir.path()).await.expect("enrols again");
    let again = std::fs::read_to_string(dir.path().join("identity.pem")).expect("an identity");
    assert_eq!(again, identity);
    assert_eq!(server.double.fake.actions(), ["token.created", "agent.enrolled"]);
}

#[tokio::test]
async fn a_token_of_another_root_is_not_even_sent() {
    let server = server().await;
    let token = Token::parse(&server.token(None).await).expect("a token");
    let other = Token { root: [7; 32], ..token };
    let dir = tempfile::tempdir().expect("a folder");
    let error = server.enroll(&other.reveal(), dir.path()).await.expect_err("is refused");
    assert!(error.to_string().contains("did not prove"), "{error}");
}

#[tokio::test]
async fn no_protocol_of_ours() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    for alpn in [&[][..], &[&b"h2"[..]]] {
        let error = server.open(&connector(&server, alpn, None)).await.err().expect("no TLS");
        assert_eq!(error.to_string(), alert(AlertDescription::NoApplicationProtocol));
    }
    bystander.goes_on().await;
}

#[tokio::test]
async fn an_agents_message_where_only_enrolment_is_spoken() {
    let server = server().await;
    let stranger = connector(&server, &[ALPN_ENROLL], None);
    let mut client = server.open(&stranger).await.expect("TLS");
    client.send(hello(1, &[])).await;
    assert_eq!(client.refused().await, Some(Reason::Unexpected));
    let mut client = server.open(&stranger).await.expect("TLS");
    client.send_raw(&(limits::MAX_ENROL_FRAME as u32 + 1).to_be_bytes()).await;
    assert_eq!(client.refused().await, Some(Reason::TooLong));
}

#[tokio::test]
async fn garbage_instead_of_tls() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let mut tcp = server.tcp().await;
    let peer = tcp.local_addr().expect("an address");
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    server.logged(peer, Reason::Tls).await;
    bystander.goes_on().await;
}

/// After Hello and Welcome an agent says `bytes`: its connection ends under that name.
async fn check(bytes: &[u8], expected: Reason) {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let host = server.host().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    client.send_raw(bytes).await;
    assert_eq!(client.refused().await, Some(expected));
    server.logged(client.address(), expected).await;
    let agent = host.identity.agent();
    assert_eq!(server.double.numbers(&agent), [0u64; 0]);
    bystander.goes_on().await;
}

fn bytes(batch: wire::Batch) -> Bytes {
    frame::encode(Body::Batch(batch))
}

#[tokio::test]
async fn garbage_bytes() {
    check(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], Reason::Malformed).await;
}

#[tokio::test]
async fn a_length_beyond_the_limit() {
    check(&[0xff; 16], Reason::TooLong).await;
}

#[tokio::test]
async fn a_decompression_bomb() {
    let zeros = vec![0u8; limits::MAX_BLOCK + 1];
    let block: Bytes = zstd::bulk::compress(&zeros, 1).expect("compresses").into();
    let bomb = |raw_len| wire::Batch { block: block.clone(), raw_len, ..batch(1, 0..1) };
    // One that admits it and one that does not.
    check(&bytes(bomb(limits::MAX_BLOCK as u64 + 1)), Reason::Bomb).await;
    check(&bytes(bomb(100)), Reason::Bomb).await;
}

#[tokio::test]
async fn a_hole_in_the_numbers() {
    check(&bytes(batch(1, 5..7)), Reason::Hole).await;
    let mut inner = records(0..3);
    inner.records.remove(1);
    let mut holed = block::pack(Kind::Log, vec![1; 16].into(), &inner).expect("packs");
    holed.span = 3;
    check(&bytes(holed), Reason::Hole).await;
}

#[tokio::test]
async fn a_queue_that_is_none() {
    check(&bytes(wire::Batch { kind: 9, ..batch(1, 0..1) }), Reason::Malformed).await;
    check(&bytes(wire::Batch { epoch: Bytes::new(), ..batch(1, 0..1) }), Reason::Malformed).await;
    check(&bytes(wire::Batch { first: u64::MAX, span: 2, ..batch(1, 0..1) }), Reason::Malformed)
        .await;
}

#[tokio::test]
async fn revoking_drops_a_live_connection_within_five_seconds() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let host = server.host().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    let begun = Instant::now();
    revoke(&server, &host.identity.agent()).await;
    assert_eq!(client.refused().await, Some(Reason::Revoked));
    // Five seconds are what the sweep needs at most; a busy machine adds its own. Nothing but the sweep
    // would end the connection at all.
    assert!(SWEEP + LINGER < Duration::from_secs(5));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    bystander.goes_on().await;
}

async fn revoke(server: &Server, agent: &str) {
    let agent = agent.to_owned();
    let revoked = store::transact(&server.double, move |store, now| {
        registry::revoke(store, now, &agent, "local:test", "stolen")
    });
    revoked.await.expect("revokes");
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_connection() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a request");
    let request = server.pki.request(csr.der()).expect("a good request");
    let stored = Token::parse(&server.token(None).await).expect("a token").stored();
    let pki = Arc::clone(&server.pki);
    let enrolling = move |store: &dyn Store, now: i64| {
        // Issued so long ago that it ends in two seconds or three.
        let then = now - 90 * DAY + 3_000_000_000;
        registry::enroll(store, now, &stored, &request.digest, &HostInfo::default(), |id| {
            pki.issue(&request, id, then).map_err(|error| error.to_string())
        })
    };
    let granted = store::transact(&server.double, enrolling).await.expect("enrols");
    let chain = granted.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let connector = connector(&server, &[ALPN_AGENT], Some((chain, key)));
    let mut client = server.open(&connector).await.expect("TLS");
    client.send(hello(1, &[])).await;
    assert!(matches!(client.receive().await, Some(Body::Welcome(_))));
    assert_eq!(client.refused().await, Some(Reason::Expired));
    bystander.goes_on().await;
}

#[tokio::test]
async fn a_panic_in_one_connection_stays_there() {
    let server = server().await;
    let bystander = Bystander::new(&server).await;
    let host = server.host().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    client.send(Body::Hello(Hello { clock: i64::MIN, ..Default::default() })).await;
    assert!(client.receive().await.is_none());
    bystander.goes_on().await;
    let (mut client, _) = server.join(&host, 1, 1).await;
    client.send(Body::Batch(batch(1, 0..1))).await;
    assert_eq!(client.acked().await, 1);
}

#[tokio::test]
async fn nothing_is_resumed() {
    let server = server().await;
    let host = server.host().await;
    // A client that would like to: its second handshake must be a whole one.
    let identity = host._dir.as_ref().expect("a folder").path().join("identity.pem");
    let pem = std::fs::read(identity).expect("an identity");
    let chain = rustls_pki_types::pem::PemObject::pem_slice_iter(&pem);
    let chain = chain.collect::<Result<Vec<CertificateDer<'static>>, _>>().expect("certificates");
    let key = rustls_pki_types::pem::PemObject::from_pem_slice(&pem).expect("a key");
    let connector = connector(&server, &[ALPN_AGENT], Some((chain, key)));
    let mut config = ClientConfig::clone(connector.config());
    config.resumption = Resumption::in_memory_sessions(8);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..2 {
        let mut client = server.open(&connector).await.expect("TLS");
        client.send(hello(1, &[])).await;
        assert!(matches!(client.receive().await, Some(Body::Welcome(_))));
        let kind = client.stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn handshakes_are_bounded_by_network() {
    let doorstep = Arc::new(Doorstep::default());
    let enter = |address: &str| Doorstep::enter(&doorstep, address.parse().expect("an address"));
    let stranger: Vec<Knock> = std::iter::from_fn(|| enter("2001:db8::1")).collect();
    assert_eq!(stranger.len(), MAX_KNOCKING);
    assert!(enter("2001:db8::2").is_none(), "another address of the same network");
    assert!(enter("192.0.2.1").is_some());
    drop(stranger);
    assert!(enter("2001:db8::2").is_some());
    assert!(doorstep.0.lock().expect("not poisoned").is_empty(), "nothing is left behind");
}

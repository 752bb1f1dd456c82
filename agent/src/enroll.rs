//! Enrolment: with a token from an operator, this host becomes an agent.
//!
//! In: the collector's address and a token, which carries the SHA-256 of the root. Out: the files of
//! [`crate::identity`]. Nothing is trusted on the way but that digest: the server's chain must lead
//! to the root that has it, for the name that was dialled and for serving. The key is on disk before
//! the token is sent, so that an enrolment cut off at any moment can be run again with the same
//! token and gets the same certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use hengwei_protocol::budget::Budget;
use hengwei_protocol::identity::{Token, sha256};
use hengwei_protocol::wire::{Enrol, Enrolled, frame::Body};
use hengwei_protocol::{ALPN_ENROLL, frame, limits};
use rcgen::KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::identity::{self, Pair, provider, store};

/// The key of an enrolment that was begun, below the data folder.
const KEY: &str = "enrol.key";
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `hengwei-agent enroll`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The collector, as its certificate names it.
    #[arg(long, value_name = "HOST:7443")]
    pub collector: String,
    /// The token `hengwei-collector pki token` printed; others on this host can see it.
    #[arg(long, conflicts_with = "token_file", required_unless_present = "token_file")]
    pub token: Option<String>,
    /// A file that holds the token; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The agent's id.
    pub agent: String,
    /// Where its identity is.
    pub data: PathBuf,
    /// When its certificate ends, Unix nanoseconds.
    pub not_after: i64,
}

/// Enrols this host; its identity goes to the data folder.
pub async fn run(args: Args, data: &Path) -> anyhow::Result<Outcome> {
    let text = match (&args.token, &args.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read_token(file)?,
        (None, None) => bail!("give the token: --token or --token-file"),
    };
    let token = Token::parse(&text)
        .context("that is no token; it looks like hw1.….… and is copied as a whole")?;
    std::fs::create_dir_all(data).with_context(|| format!("could not make {}", data.display()))?;
    enroll(&args.collector, &token, data).await
}

async fn enroll(collector: &str, token: &Token, data: &Path) -> anyhow::Result<Outcome> {
    let key = pending_key(data)?;
    let (host, _) = split_address(collector)?;
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("`{host}` is neither a host name nor an address"))?;
    let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(collector))
        .await
        .map_err(|_| anyhow!("no answer in time"))
        .and_then(|connected| connected.map_err(Into::into))
        .with_context(|| format!("could not reach {collector}"))?;
    let verifier = Arc::new(Pinned::new(token.root));
    let mut stream = timeout(CONNECT_TIMEOUT, connector(Arc::clone(&verifier))?.connect(name, tcp))
        .await
        .map_err(|_| anyhow!("no TLS in time"))
        .and_then(|connected| connected.map_err(Into::into))
        .with_context(|| {
            format!("{collector} did not prove to be the collector this token is for")
        })?;
    let request = Enrol {
        token: token.reveal(),
        csr: identity::request_for(&key)?,
        host: Some(crate::ship::host_info(Path::new("/"))),
    };
    let enrolled = timeout(limits::ENROL_TIMEOUT, ask(&mut stream, request))
        .await
        .map_err(|_| anyhow!("{collector} did not answer in time; run this again"))??;
    store_identity(data, &key, token, &enrolled)
}

async fn ask<S>(stream: &mut S, request: Enrol) -> anyhow::Result<Enrolled>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let budget = Budget::new(limits::MAX_FRAME);
    frame::write(stream, Body::Enrol(request)).await?;
    match frame::read(stream, &budget, limits::MAX_ENROL_FRAME * 2).await? {
        Some((Body::Enrolled(enrolled), _)) => Ok(enrolled),
        Some((Body::Refusal(refusal), _)) => {
            bail!("the collector refused: {} ({})", refusal.text, refusal.reason)
        }
        Some(_) => bail!("the collector answered something else"),
        None => bail!("the collector hung up; run this again"),
    }
}

/// Checks what came and puts it into place, the identity last: with it the host is enrolled.
fn store_identity(
    data: &Path,
    key: &KeyPair,
    token: &Token,
    enrolled: &Enrolled,
) -> anyhow::Result<Outcome> {
    let policy = enrolled.policy.as_ref().context("the collector sent no policy")?;
    let roots = identity::checked_roots(&policy.roots)?;
    ensure!(
        roots.iter().any(|root| sha256(root) == token.root),
        "the collector's roots lack the one this token is for"
    );
    let pair = Pair::checked(key, &enrolled.chain, &roots)?;
    identity::check_agent(&enrolled.agent, &pair.facts)?;
    identity::write_trust(data, &roots, &policy.history_key)?;
    pair.write(data)?;
    // The key lives in the identity now; one that stays behind would be used again.
    std::fs::remove_file(data.join(KEY)).context("could not remove the enrolment's key")?;
    Ok(Outcome {
        agent: enrolled.agent.clone(),
        data: data.to_owned(),
        not_after: pair.facts.not_after,
    })
}

/// The key of an enrolment that was cut off, or a new one that is on disk before it is used.
fn pending_key(data: &Path) -> anyhow::Result<KeyPair> {
    let path = data.join(KEY);
    if path.exists() {
        let text = identity::read_text(&path)?;
        return KeyPair::from_pem(&text).with_context(|| {
            format!("{} is damaged; remove it and enrol with a new token", path.display())
        });
    }
    let (key, _) = identity::request()?;
    identity::write(&path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin().lock())
            .context("could not read the token from standard input");
    }
    std::fs::read_to_string(file)
        .with_context(|| format!("could not read the token from {}", file.display()))
}

fn split_address(address: &str) -> anyhow::Result<(&str, u16)> {
    let (host, port) = address
        .rsplit_once(':')
        .with_context(|| format!("`{address}` has no port; write HOST:7443"))?;
    let port = port.parse().with_context(|| format!("`{port}` is no port; write HOST:7443"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, port))
}

fn connector(verifier: Arc<Pinned>) -> anyhow::Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROLL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Trusts one root, known by its digest only: it must be among the certificates the server sends,
/// and everything else is verified from there as usual.
#[derive(Debug)]
struct Pinned {
    root: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(root: [u8; 32]) -> Pinned {
        Pinned { root, algorithms: provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = intermediates
            .iter()
            .find(|der| sha256(der) == self.root)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let roots = store(&[root.clone().into_owned()])
            .map_err(|error| Error::General(format!("{error:#}")))?;
        WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_port() {
        let check = |address: &str, expected: Option<(&str, u16)>| {
            assert_eq!(split_address(address).ok(), expected, "{address}");
        };
        check("collector.example:7443", Some(("collector.example", 7443)));
        check("[2001:db8::1]:7443", Some(("2001:db8::1", 7443)));
        check("collector.example", None);
        check("collector.example:seven", None);
    }

    #[test]
    fn the_key_of_an_enrolment_that_was_cut_off_is_used_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = pending_key(dir.path()).expect("a key").serialize_der();
        assert_eq!(pending_key(dir.path()).expect("the key").serialize_der(), first);
        std::fs::write(dir.path().join(KEY), "damaged").expect("writes");
        let error = pending_key(dir.path()).expect_err("no key").to_string();
        assert!(error.contains("enrol.key is damaged; remove it"), "{error}");
    }
}

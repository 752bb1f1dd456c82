//! The collector's keys and certificates: who may speak as the collector, and who signs for agents.
//!
//! In: the files below `<data>/pki/`, certificate signing requests. Out: certificates for agents, the
//! TLS configurations of the listeners, the [`Policy`] that tells agents which roots to trust. It
//! does not know which agents there are (`registry` does) and opens no socket.
//!
//! ```text
//! <data>/pki/roots.pem     every root that is trusted now; two of them during a change
//! <data>/pki/issuing.pem   key and chain of the CA that signs agents and this server
//! <data>/pki/server.pem    key and chain of this server; renewed here at two thirds of its life
//! <data>/pki/history.pem   Ed25519 key that signs history
//! ```
//!
//! The key of the root is in none of them: [`setup`] writes it once, sealed under a passphrase
//! ([`seal`]), to be carried away. Every file is 0600 and is written beside its place, synced and
//! renamed, so that a crash leaves the old file or the new one. A key and its chain share one file
//! for the same reason. Whoever changes a file changes the running collector: [`Pki::maintain`]
//! looks at them every few seconds and takes over what loads and verifies, else keeps what it has.

mod facts;
mod files;
pub mod seal;
pub mod setup;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::time::{DAY, HOUR};
use anyhow::{Context as _, anyhow, bail, ensure};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hengwei_protocol::wire::Policy;
use hengwei_protocol::{ALPN_AGENT, ALPN_ENROLL, identity};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::sync::watch;

pub use facts::{Facts, Request};

/// The folder of keys and certificates, below a data folder.
pub const DIR: &str = files::DIR;
/// The file of the key that signs history, in that folder.
pub const HISTORY_KEY: &str = files::HISTORY;

/// Every file of a data folder's PKI, by name.
pub fn key_files(data: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let dir = files::dir(data);
    let read = |name: &str| Ok((name.to_owned(), files::read(&dir.join(name))?));
    files::ALL.into_iter().map(read).collect()
}

/// The public half of a history key's file.
pub fn public_key_of(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(files::history_of(file)?.public_key().as_ref().to_vec())
}

/// Where the key that signs history is, below a data folder.
pub fn history_key_file(data: &Path) -> PathBuf {
    files::dir(data).join(files::HISTORY)
}

/// The public half of the history key of a data folder, 32 bytes; None when there is no key.
pub fn history_public_key(data: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let path = history_key_file(data);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(files::history(&path)?.public_key().as_ref().to_vec()))
}

/// Certificates begin this long ago, for peers whose clock is behind.
const BACKDATE_NANOS: i64 = HOUR;
/// What an agent's name looks like in a certificate.
const AGENT_URI: &str = "hengwei:agent:";

/// How long what is issued is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Agents' certificates, days.
    pub agent_days: u32,
    /// The server's own certificate, days.
    pub server_days: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { agent_days: 90, server_days: 90 }
    }
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is malformed, wrongly signed or for a kind of key we do not sign.
    #[error("certificate request: {0}")]
    Request(String),
    /// Our own fault or that of the files.
    #[error("could not issue: {0}")]
    Ours(String),
}

/// A certificate just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// What is in it.
    pub facts: Facts,
    /// Leaf first, DER, without the root.
    pub chain: Vec<Vec<u8>>,
}

/// The keys and certificates in use; shared by everything that needs one.
pub struct Pki {
    dir: PathBuf,
    settings: Settings,
    current: RwLock<Arc<Current>>,
    policy: watch::Sender<Arc<Policy>>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// One consistent reading of the files.
struct Current {
    stamp: files::Stamp,
    issuing: Issuing,
    roots: Vec<CertificateDer<'static>>,
    anchor: CertificateDer<'static>,
    server: files::Credential,
    history: Ed25519KeyPair,
    agents: Arc<ServerConfig>,
    enrolment: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
}

struct Issuing {
    issuer: Issuer<'static, KeyPair>,
    chain: Vec<CertificateDer<'static>>,
    not_after: i64,
}

impl Pki {
    /// Opens `<data>/pki`. The error names the file and the remedy.
    pub fn open(data: &Path, settings: Settings) -> anyhow::Result<Pki> {
        ensure!(
            settings.agent_days > 0 && settings.server_days > 0,
            "certificates must be good for at least one day"
        );
        let dir = files::dir(data);
        let current = Current::load(&dir)?;
        let (policy, _) = watch::channel(Arc::new(current.policy()));
        Ok(Pki { dir, settings, current: RwLock::new(Arc::new(current)), policy })
    }

    /// Takes over changed files and renews the server's certificate when two thirds of its life
    /// are over. `now` is Unix nanoseconds. On an error everything stays as it was.
    pub fn maintain(&self, now: i64) -> anyhow::Result<bool> {
        let mut changed = self.reload()?;
        let current = self.current();
        let facts = Facts::of(&current.server.chain[0])?;
        if now >= renewal_due(facts.not_before, facts.not_after)
            && facts.not_after < current.issuing.not_after
        {
            let names = facts::names(&current.server.chain[0])?;
            let server = current.issuing.server(&names, self.settings.server_days, now)?;
            files::write(&self.dir.join(files::SERVER), server.pem().as_bytes())?;
            changed |= self.reload()?;
            tracing::info!("the server's certificate was renewed");
        }
        Ok(changed)
    }

    /// Reads the files again if they changed; whether they had.
    pub fn reload(&self) -> anyhow::Result<bool> {
        if files::Stamp::of(&self.dir) == self.current().stamp {
            return Ok(false);
        }
        let next = Current::load(&self.dir)?;
        let policy = Arc::new(next.policy());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.policy.send_if_modified(|held| {
            let differs = **held != *policy;
            *held = policy;
            differs
        });
        Ok(true)
    }

    /// Checks a signing request and takes its public key, and nothing else, from it.
    pub fn request(&self, csr_der: &[u8]) -> Result<Request, IssueError> {
        Request::read(csr_der).map_err(IssueError::Request)
    }

    /// Issues a certificate to `agent` for the public key of `request`, from `now` on.
    pub fn issue(&self, request: &Request, agent: &str, now: i64) -> Result<Issued, IssueError> {
        let current = self.current();
        let ours = |error: anyhow::Error| IssueError::Ours(format!("{error:#}"));
        let mut params =
            leaf(agent, now, i64::from(self.settings.agent_days) * DAY).map_err(ours)?;
        let uri = format!("{AGENT_URI}{agent}")
            .try_into()
            .map_err(|_| IssueError::Ours("an agent's name must be plain ASCII".to_owned()))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (chain, facts) = current.issuing.sign(params, now, &request.key).map_err(ours)?;
        Ok(Issued { facts, chain: chain.iter().map(|der| der.to_vec()).collect() })
    }

    /// What agents are told to trust; changes when the files do.
    pub fn policy(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// SHA-256 of the root this server's chain leads to: what a token carries.
    pub fn root_digest(&self) -> [u8; 32] {
        identity::sha256(&self.current().anchor)
    }

    /// Whether a root of that SHA-256 is trusted now.
    pub fn trusts(&self, digest: &[u8; 32]) -> bool {
        self.current().roots.iter().any(|root| identity::sha256(root) == *digest)
    }

    /// TLS for agents: 1.3, a client certificate that leads to a trusted root, no resumption.
    pub fn agents(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().agents)
    }

    /// TLS for enrolment: 1.3, no client certificate; the root travels in the chain.
    pub fn enrolment(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().enrolment)
    }

    /// TLS for browsers: 1.2 and 1.3, HTTP/1.1.
    pub fn web(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().web)
    }

    /// Ed25519 signature of `message` by the history key, 64 bytes.
    pub fn sign_history(&self, message: &[u8]) -> Vec<u8> {
        self.current().history.sign(message).as_ref().to_vec()
    }

    /// The public half of the history key, 32 bytes.
    pub fn history_key(&self) -> Vec<u8> {
        self.current().history.public_key().as_ref().to_vec()
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Current {
    fn load(dir: &Path) -> anyhow::Result<Current> {
        // Taken first: a file that changes while it is read looks changed again next time.
        let stamp = files::Stamp::of(dir);
        let roots = files::certificates(&dir.join(files::ROOTS))?;
        let issuing = files::credential(&dir.join(files::ISSUING))?;
        let server = files::credential(&dir.join(files::SERVER))?;
        let history = files::history(&dir.join(files::HISTORY))?;
        let anchor = anchor(&server.chain, &roots)
            .with_context(|| format!("the certificate in {}", dir.join(files::SERVER).display()))?;
        let issuing = Issuing::new(issuing)
            .with_context(|| format!("the CA in {}", dir.join(files::ISSUING).display()))?;
        Ok(Current {
            stamp,
            agents: agents_config(&server, &roots)?,
            enrolment: enrolment_config(&server, &anchor)?,
            web: web_config(&server)?,
            issuing,
            roots,
            anchor,
            server,
            history,
        })
    }

    fn policy(&self) -> Policy {
        Policy {
            roots: self.roots.iter().map(|root| root.to_vec().into()).collect(),
            history_key: self.history.public_key().as_ref().to_vec().into(),
        }
    }
}

impl Issuing {
    fn new(credential: files::Credential) -> anyhow::Result<Issuing> {
        let facts = Facts::of(&credential.chain[0])?;
        ensure!(facts.authority, "is no CA: its certificate lacks the CA flag or keyCertSign");
        let key = KeyPair::try_from(&credential.key).context("its key")?;
        ensure!(
            facts.key == identity::sha256(&rcgen::PublicKeyData::subject_public_key_info(&key)),
            "its key is not the one in its certificate"
        );
        let issuer = Issuer::from_ca_cert_der(&credential.chain[0], key)?;
        Ok(Issuing { issuer, chain: credential.chain, not_after: facts.not_after })
    }

    /// A new key and certificate for a server of these names.
    fn server(&self, names: &[String], days: u32, now: i64) -> anyhow::Result<files::Credential> {
        let first = names.first().context("a server needs a name")?;
        let mut params = leaf(first, now, i64::from(days) * DAY)?;
        params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let (chain, _) = self.sign(params, now, &key)?;
        Ok(files::Credential { key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(), chain })
    }

    /// Signs, never for longer than the CA itself is good for, and puts the CA's chain behind.
    fn sign(
        &self,
        mut params: CertificateParams,
        now: i64,
        key: &impl rcgen::PublicKeyData,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, Facts)> {
        ensure!(now < self.not_after, "the issuing CA has expired: issue or import a new one");
        params.not_after =
            params.not_after.min(rcgen::date_time_ymd(1970, 1, 1) + since_epoch(self.not_after)?);
        let leaf = params.signed_by(key, &self.issuer)?.der().clone();
        let facts = Facts::of(&leaf)?;
        let mut chain = vec![leaf];
        chain.extend(self.chain.iter().filter(|der| !facts::self_issued(der)).cloned());
        Ok((chain, facts))
    }
}

/// When a certificate is to be renewed: at two thirds of its life. Unix nanoseconds.
pub fn renewal_due(not_before: i64, not_after: i64) -> i64 {
    not_before.saturating_add(not_after.saturating_sub(not_before) / 3 * 2)
}

/// A certificate that is no CA, under a name, for so long.
fn leaf(name: &str, now: i64, life_nanos: i64) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    params.not_before =
        rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now.saturating_sub(BACKDATE_NANOS))?;
    params.not_after =
        rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now.saturating_add(life_nanos))?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 127 random bits whose first byte is never zero, so that its hexadecimal has one form.
fn serial() -> anyhow::Result<SerialNumber> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("no randomness"))?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn san(name: &str) -> anyhow::Result<SanType> {
    match ServerName::try_from(name.to_owned()) {
        Ok(ServerName::DnsName(_)) => Ok(SanType::DnsName(name.try_into()?)),
        Ok(ServerName::IpAddress(ip)) => Ok(SanType::IpAddress(ip.into())),
        _ => bail!("`{name}` is neither a host name nor an address"),
    }
}

/// Unix nanoseconds as time since 1970, to the second, as certificates write it.
fn since_epoch(nanos: i64) -> anyhow::Result<Duration> {
    let secs = u64::try_from(nanos.div_euclid(1_000_000_000)).context("a time before 1970")?;
    Ok(Duration::from_secs(secs))
}

/// The root of `roots` that a server's chain leads to, with every check a client would make.
fn anchor(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
) -> anyhow::Result<CertificateDer<'static>> {
    let names = facts::names(&chain[0])?;
    let name = names.first().context("names no host: issue it again with --name")?;
    let name = ServerName::try_from(name.clone()).context("names no host")?;
    // Expiry is not asked here: an expired certificate must load, to be renewed.
    let during = facts::middle_of_life(&chain[0])?;
    let mut problem = anyhow!("no root is trusted");
    for root in roots {
        let checked = store([root]).and_then(|store| {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(store, provider()).build()?;
            Ok(verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], during)?)
        });
        match checked {
            Ok(_) => return Ok(root.clone()),
            Err(error) => problem = error,
        }
    }
    Err(problem.context("does not lead to a root of roots.pem"))
}

fn agents_config(
    server: &files::Credential,
    roots: &[CertificateDer<'static>],
) -> anyhow::Result<Arc<ServerConfig>> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(store(roots)?, provider()).build()?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(server.chain.clone(), server.key.clone_key())?;
    Ok(Arc::new(without_resumption(config, ALPN_AGENT)))
}

fn enrolment_config(
    server: &files::Credential,
    anchor: &CertificateDer<'static>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let mut chain = server.chain.clone();
    // A new agent knows the root only by its digest, so here it travels too.
    chain.push(anchor.clone());
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, server.key.clone_key())?;
    Ok(Arc::new(without_resumption(config, ALPN_ENROLL)))
}

fn web_config(server: &files::Credential) -> anyhow::Result<Arc<ServerConfig>> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(server.chain.clone(), server.key.clone_key())?;
    Ok(Arc::new(without_resumption(config, b"http/1.1")))
}

/// A resumed session would skip the client verifier, so there are neither tickets nor sessions.
fn without_resumption(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

fn store<'a>(
    roots: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).context("a trusted root")?;
    }
    Ok(Arc::new(store))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;

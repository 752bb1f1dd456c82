//! Who this agent is and whom it trusts.
//!
//! In: the files below the data folder, certificates and policy from the collector. Out: the TLS
//! connector of the shipper, signing requests when it is time to renew, the kept chain heads. It
//! opens no socket and knows nothing of records.
//!
//! ```text
//! <data>/identity.pem   key and chain in one file, so that they always belong together
//! <data>/roots.pem      the roots a collector may lead to
//! <data>/history.key    the key that signs the collector's history, hexadecimal; pinned at enrolment
//! <data>/heads          chain heads the collector has shown us ([`heads`])
//! ```
//! Every file is 0600 and renamed into place after a sync: a crash leaves the old or the new one. A
//! file that somebody else replaces (`enroll` run again) is noticed at the next connection.
//!
//! Renewal makes a new key, which stays in memory until its certificate has come: until then the
//! old pair is on disk and good, and a crash costs one more request.

mod files;
pub mod heads;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use hengwei_protocol::identity::{hex, is_id, pem, sha256, unhex};
use hengwei_protocol::{ALPN_AGENT, wire};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsConnector;

use crate::ship::Session;

pub(crate) use files::{read_text, write};
pub(crate) use verify::{provider, store};

/// Key and chain.
pub(crate) const IDENTITY: &str = "identity.pem";
/// Trusted roots.
const ROOTS: &str = "roots.pem";
/// The collector's history key.
const HISTORY_KEY: &str = "history.key";
/// How long a new certificate is used before another is asked for, nanoseconds. A CA that is near
/// its own end grants nothing that lasts: without a pause each connection would end with another
/// renewal.
const RENEWAL_PAUSE_NANOS: i64 = 3_600 * 1_000_000_000;
/// Roots that may be trusted at once.
const MAX_ROOTS: usize = 8;
/// One certificate, bytes.
const MAX_CERTIFICATE: usize = 16 << 10;
/// Certificates in a chain.
const MAX_CHAIN: usize = 6;

/// This agent's identity, as it is on disk.
pub struct Identity {
    dir: PathBuf,
    state: RwLock<Arc<State>>,
    renewal: Mutex<Renewal>,
    heads: Mutex<heads::Keeper>,
    /// The chain of the collector that was last verified, for judging a change of roots.
    seen: verify::Seen,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("dir", &self.dir).finish_non_exhaustive()
    }
}

struct State {
    stamp: files::Stamp,
    facts: verify::Facts,
    roots: Vec<CertificateDer<'static>>,
    history_key: Vec<u8>,
    connector: TlsConnector,
}

/// How far renewing has come.
#[derive(Default)]
struct Renewal {
    pending: Option<Pending>,
    /// When the request for the certificate in use was made, Unix nanoseconds.
    last: Option<i64>,
}

/// A request that was not answered yet.
struct Pending {
    key: KeyPair,
    csr: Bytes,
    /// When it was made, Unix nanoseconds.
    asked: i64,
}

impl Identity {
    /// Loads the identity below `data`. The error names the file and the remedy.
    pub fn open(data: &Path) -> anyhow::Result<Identity> {
        let seen = verify::Seen::default();
        let state = State::load(data, &seen)?;
        Ok(Identity {
            dir: data.to_owned(),
            state: RwLock::new(Arc::new(state)),
            renewal: Mutex::default(),
            heads: Mutex::new(heads::Keeper::open(data)),
            seen,
        })
    }

    /// The agent's id.
    pub fn agent(&self) -> String {
        self.state().facts.agent.clone()
    }

    /// When the certificate ends, Unix nanoseconds.
    pub fn not_after(&self) -> i64 {
        self.state().facts.not_after
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self) -> anyhow::Result<()> {
        let state = State::load(&self.dir, &self.seen)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(())
    }

    fn apply_roots(&self, wanted: &[Bytes]) -> anyhow::Result<()> {
        let roots = checked_roots(wanted)?;
        if roots == self.state().roots {
            return Ok(());
        }
        self.seen.verify(&roots).context(
            "the roots of the policy were not taken: this collector leads to none of them",
        )?;
        write(&self.dir.join(ROOTS), files::pem_of(&roots).as_bytes())?;
        self.reload()?;
        tracing::info!(roots = roots.len(), "the trusted roots have changed");
        Ok(())
    }
}

impl Session for Identity {
    fn connector(&self) -> (TlsConnector, String) {
        if files::Stamp::of(&self.dir) != self.state().stamp {
            match self.reload() {
                Ok(()) => tracing::info!("the identity was changed on disk and taken over"),
                Err(error) => tracing::warn!("the identity on disk is not usable: {error:#}"),
            }
        }
        let state = self.state();
        (state.connector.clone(), state.facts.agent.clone())
    }

    fn renewal(&self, now: i64) -> Option<Bytes> {
        let facts = self.state().facts.clone();
        let due = facts.not_before.saturating_add((facts.not_after - facts.not_before) / 3 * 2);
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back ends the pause too.
        let paused = |last| (0..RENEWAL_PAUSE_NANOS).contains(&now.saturating_sub(last));
        if now < due || renewal.last.is_some_and(paused) {
            return None;
        }
        if renewal.pending.is_none() {
            match request() {
                Ok((key, csr)) => renewal.pending = Some(Pending { key, csr, asked: now }),
                Err(error) => tracing::error!("could not make a new key: {error:#}"),
            }
        }
        renewal.pending.as_ref().map(|pending| pending.csr.clone())
    }

    fn renewed(&self, chain: Vec<Bytes>) -> anyhow::Result<()> {
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        let asked =
            renewal.pending.as_ref().context("a certificate came that was not asked for")?;
        let state = self.state();
        let pair = Pair::checked(&asked.key, &chain, &state.roots)?;
        ensure!(
            pair.facts.agent == state.facts.agent,
            "the new certificate is for `{}`, not for us",
            pair.facts.agent
        );
        pair.write(&self.dir)?;
        self.reload()?;
        *renewal = Renewal { pending: None, last: Some(asked.asked) };
        tracing::info!(agent = state.facts.agent, "the certificate was renewed");
        Ok(())
    }

    fn policy(&self, policy: &wire::Policy) -> anyhow::Result<()> {
        self.apply_roots(&policy.roots)?;
        let state = self.state();
        if state.history_key[..] != policy.history_key[..] {
            bail!(
                "the collector signs history with another key ({}) than the one pinned at enrolment \
                 ({}); if that is meant, enrol again",
                hex(&policy.history_key),
                hex(&state.history_key)
            );
        }
        Ok(())
    }

    fn heads(&self, heads: &wire::Heads) {
        let mut keeper = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = keeper.keep(heads) {
            tracing::warn!("could not keep the collector's chain heads: {error:#}");
        }
    }
}

impl State {
    fn load(dir: &Path, seen: &verify::Seen) -> anyhow::Result<State> {
        let stamp = files::Stamp::of(dir);
        let path = dir.join(IDENTITY);
        let (key, chain) = files::credential(&path)?;
        let named = || format!("{} is not usable; enrol again", path.display());
        let facts = verify::Facts::of(&chain[0]).with_context(named)?;
        let roots = files::certificates(&dir.join(ROOTS))?;
        let history_key = history_key(&dir.join(HISTORY_KEY))?;
        let connector = connector(&roots, chain, key, seen).with_context(named)?;
        Ok(State { stamp, facts, roots, history_key, connector })
    }
}

/// A key and a chain that belong together and lead to a root we trust.
pub(crate) struct Pair {
    pub(crate) facts: verify::Facts,
    pem: String,
}

impl Pair {
    /// Checks what a collector issued for `key`.
    pub(crate) fn checked(
        key: &KeyPair,
        chain: &[Bytes],
        roots: &[CertificateDer<'static>],
    ) -> anyhow::Result<Pair> {
        ensure!(
            (1..=MAX_CHAIN).contains(&chain.len())
                && chain.iter().all(|der| der.len() <= MAX_CERTIFICATE),
            "a chain of unreasonable size"
        );
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let facts = verify::Facts::of(&chain[0])?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(key);
        ensure!(facts.key == sha256(&spki), "the certificate is not for the key that was made");
        verify::as_client(&chain, roots).context("the certificate leads to no root we trust")?;
        let mut pem = pem("PRIVATE KEY", key.serialized_der());
        pem += &files::pem_of(&chain);
        Ok(Pair { facts, pem })
    }

    /// Puts it into place.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        write(&dir.join(IDENTITY), self.pem.as_bytes())
    }
}

/// Puts what is trusted into place: at enrolment, before the identity itself.
pub(crate) fn write_trust(
    dir: &Path,
    roots: &[CertificateDer<'static>],
    history_key: &[u8],
) -> anyhow::Result<()> {
    ensure!(history_key.len() == 32, "the collector's history key is not 32 bytes");
    write(&dir.join(ROOTS), files::pem_of(roots).as_bytes())?;
    write(&dir.join(HISTORY_KEY), format!("{}\n", hex(history_key)).as_bytes())
}

/// The roots a policy names, if they can be trusted at all.
pub(crate) fn checked_roots(wanted: &[Bytes]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    ensure!(!wanted.is_empty(), "a policy without roots was not taken");
    ensure!(
        wanted.len() <= MAX_ROOTS && wanted.iter().all(|der| der.len() <= MAX_CERTIFICATE),
        "a policy with too many or too large roots was not taken"
    );
    let roots: Vec<_> = wanted.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    for root in &roots {
        ensure!(verify::is_authority(root), "a root of the policy is no CA; it was not taken");
    }
    store(&roots)?;
    Ok(roots)
}

/// What an assessor takes from a host: who the agent is, and the history key that it was given when it
/// was enrolled. Neither needs the agent to run; what does not read is left out.
pub fn pinned(data: &Path) -> (Option<String>, Option<Vec<u8>>) {
    let chain = files::credential(&data.join(IDENTITY)).ok().map(|(_, chain)| chain);
    let facts = chain.and_then(|chain| verify::Facts::of(chain.first()?).ok());
    (facts.map(|facts| facts.agent), history_key(&data.join(HISTORY_KEY)).ok())
}

/// A new key and a request signed by it.
pub(crate) fn request() -> anyhow::Result<(KeyPair, Bytes)> {
    let key = KeyPair::generate()?;
    let csr = request_for(&key)?;
    Ok((key, csr))
}

/// A request for that key. It carries no name: names are the CA's affair.
pub(crate) fn request_for(key: &KeyPair) -> anyhow::Result<Bytes> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec().into())
}

fn history_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    unhex(read_text(path)?.trim()).filter(|key| key.len() == 32).ok_or_else(|| {
        anyhow!("{} holds no Ed25519 key in hexadecimal; enrol again", path.display())
    })
}

/// TLS 1.3 with our certificate to a collector that leads to `roots`, serves the name that is
/// dialled and may be a server. Nothing is resumed.
fn connector(
    roots: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    seen: &verify::Seen,
) -> anyhow::Result<TlsConnector> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(store(roots)?, provider()).build()?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(seen.watching(verifier))
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_AGENT.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether a name can be an agent's.
pub(crate) fn check_agent(agent: &str, facts: &verify::Facts) -> anyhow::Result<()> {
    ensure!(is_id(agent) && agent == facts.agent, "the certificate is not for `{agent}`");
    Ok(())
}

#[cfg(test)]
mod tests;

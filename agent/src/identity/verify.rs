//! Judging certificates: our own as the collector will, the collector's as we did.
//!
//! The collector's chain is remembered when TLS has verified it ([`Seen`]): a change of roots is
//! taken only if that same chain, under that same name, would still verify.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use hengwei_protocol::identity::{is_id, sha256};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What an agent's name looks like in a certificate.
const AGENT_URI: &str = "hengwei:agent:";

/// What matters of our certificate. Times are Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) agent: String,
    /// SHA-256 of the public key.
    pub(crate) key: [u8; 32],
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Facts {
    pub(crate) fn of(der: &[u8]) -> anyhow::Result<Facts> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| anyhow!("not a certificate: {error}"))?;
        let names = certificate.subject_alternative_name()?.context("it names no agent")?;
        let agent = names
            .value
            .general_names
            .iter()
            .find_map(|name| match name {
                GeneralName::URI(uri) => uri.strip_prefix(AGENT_URI),
                _ => None,
            })
            .filter(|agent| is_id(agent))
            .context("it names no agent")?;
        let validity = certificate.validity();
        Ok(Facts {
            agent: agent.to_owned(),
            key: sha256(certificate.public_key().raw),
            not_before: validity.not_before.timestamp().saturating_mul(1_000_000_000),
            not_after: validity.not_after.timestamp().saturating_mul(1_000_000_000),
        })
    }
}

/// Whether a certificate is a CA's.
pub(super) fn is_authority(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca())
}

/// Verifies a chain as a collector that trusts `roots` would.
pub(super) fn as_client(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
) -> anyhow::Result<()> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(store(roots)?, provider()).build()?;
    let (leaf, rest) = chain.split_first().context("an empty chain")?;
    verifier.verify_client_cert(leaf, rest, UnixTime::now())?;
    Ok(())
}

/// The roots, as rustls takes them.
pub(crate) fn store(roots: &[CertificateDer<'static>]) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).context("a root that cannot be trusted")?;
    }
    Ok(Arc::new(store))
}

/// The only cryptography there is.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The chain of the collector that was verified last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Collector>>>);

#[derive(Debug, Clone)]
struct Collector {
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Seen {
    /// A verifier that does what `inner` does and remembers what it let pass.
    pub(super) fn watching(&self, inner: Arc<WebPkiServerVerifier>) -> Arc<Watching> {
        Arc::new(Watching { inner, seen: self.clone() })
    }

    /// Whether the collector would be let pass under other roots.
    pub(super) fn verify(&self, roots: &[CertificateDer<'static>]) -> anyhow::Result<()> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Collector { chain, name } = seen.context("no collector was verified yet")?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(store(roots)?, provider()).build()?;
        let (leaf, rest) = chain.split_first().context("an empty chain")?;
        verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::now())?;
        Ok(())
    }
}

/// See [`Seen::watching`].
#[derive(Debug)]
pub(super) struct Watching {
    inner: Arc<WebPkiServerVerifier>,
    seen: Seen,
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let chain = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|der| der.clone().into_owned())
            .collect();
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Collector { chain, name: server_name.to_owned() });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

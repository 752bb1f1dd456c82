//! What a certificate or a signing request says. In: DER, of a certificate that TLS verified or that
//! is ours, or of a request that a stranger sent. Out: plain values. It verifies nothing but a
//! request's signature by its own key.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hengwei_protocol::identity;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SubjectPublicKeyInfo};
use rustls_pki_types::UnixTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What matters of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The agent it names, if it names exactly one.
    pub agent: Option<String>,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the whole, hexadecimal.
    pub fingerprint: String,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
    /// Unix nanoseconds.
    pub not_before: i64,
    /// Unix nanoseconds.
    pub not_after: i64,
    /// Common name of its subject, empty when it has none.
    pub subject: String,
    /// Whether it may sign certificates.
    pub authority: bool,
}

impl Facts {
    /// Reads a certificate.
    pub fn of(der: &[u8]) -> anyhow::Result<Facts> {
        let certificate = parse(der)?;
        let validity = certificate.validity();
        let authority = certificate.is_ca()
            && certificate
                .key_usage()
                .ok()
                .flatten()
                .is_none_or(|usage| usage.value.key_cert_sign());
        Ok(Facts {
            agent: agent(&certificate),
            serial: identity::hex(certificate.raw_serial()),
            fingerprint: identity::hex(&identity::sha256(der)),
            key: identity::sha256(certificate.public_key().raw),
            not_before: validity.not_before.timestamp().saturating_mul(1_000_000_000),
            not_after: validity.not_after.timestamp().saturating_mul(1_000_000_000),
            subject: common_name(&certificate),
            authority,
        })
    }
}

/// A checked signing request: a public key whose owner asked for a certificate.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) key: SubjectPublicKeyInfo,
    /// SHA-256 of the public key: the same key again is the same request again.
    pub digest: [u8; 32],
}

impl Request {
    pub(super) fn read(der: &[u8]) -> Result<Request, String> {
        let (rest, csr) = X509CertificationRequest::from_der(der)
            .map_err(|error| format!("malformed: {error}"))?;
        if !rest.is_empty() {
            return Err("malformed: bytes after its end".to_owned());
        }
        csr.verify_signature().map_err(|_| "not signed by its own key".to_owned())?;
        let raw = csr.certification_request_info.subject_pki.raw;
        let key = SubjectPublicKeyInfo::from_der(raw).map_err(|error| error.to_string())?;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err("its key is not EC P-256".to_owned());
        }
        Ok(Request { digest: identity::sha256(raw), key })
    }
}

/// The host names and addresses a certificate is for.
pub(super) fn names(der: &[u8]) -> anyhow::Result<Vec<String>> {
    let certificate = parse(der)?;
    let Some(names) = certificate.subject_alternative_name()? else { return Ok(Vec::new()) };
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    Ok(names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .collect())
}

/// Whether a certificate is a root: its own issuer by name.
pub(super) fn self_issued(der: &[u8]) -> bool {
    parse(der).is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

/// A moment at which the certificate was certainly valid.
pub(super) fn middle_of_life(der: &[u8]) -> anyhow::Result<UnixTime> {
    let facts = Facts::of(der)?;
    let middle = facts.not_before + (facts.not_after - facts.not_before) / 2;
    let secs = u64::try_from(middle / 1_000_000_000).context("a time before 1970")?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
}

fn parse(der: &[u8]) -> anyhow::Result<X509Certificate<'_>> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| anyhow!("not a certificate: {error}"))?;
    Ok(certificate)
}

fn agent(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut agents = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(super::AGENT_URI),
        _ => None,
    });
    let agent = agents.next().filter(|agent| identity::is_id(agent))?;
    agents.next().is_none().then(|| agent.to_owned())
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned()
}

//! Making and changing the PKI of a data folder: what `pki init`, `import`, `reissue`, `trust` and
//! `distrust` do. In: names, files, a passphrase. Out: the files of [`super`]. A running collector
//! takes them over by itself. Nothing here is reachable from the network.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use hengwei_protocol::identity::{self, pem};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Facts, Issuing, Settings, anchor, facts, files, leaf, seal};
use crate::time::DAY;

/// A root is good for so long.
const ROOT_DAYS: i64 = 20 * 365;
/// An issuing CA is good for so long.
const ISSUING_DAYS: i64 = 5 * 365;
/// The shortest passphrase that is taken.
pub const MIN_PASSPHRASE: usize = 12;

/// What a certificate of the PKI is, for `pki list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `root`, `issuing` or `server`.
    pub role: &'static str,
    /// What is in it.
    pub facts: Facts,
    /// Host names, for the server.
    pub names: Vec<String>,
}

/// Makes a root, an issuing CA, a server certificate for `names` and a history key below `data`.
/// The root's key is written to `root_out` only, sealed under `passphrase`. `now` is Unix
/// nanoseconds.
pub fn init(
    data: &Path,
    names: &[String],
    root_out: &Path,
    passphrase: &[u8],
    now: i64,
) -> anyhow::Result<()> {
    let dir = files::dir(data);
    ensure!(
        !dir.join(files::ISSUING).exists(),
        "{} exists already; `pki import` replaces the CA of a collector in use",
        dir.join(files::ISSUING).display()
    );
    ensure!(!root_out.exists(), "{} exists already; name another file", root_out.display());
    check_passphrase(passphrase)?;
    let key = KeyPair::generate()?;
    let params = authority("Root", &key, 1, ROOT_DAYS, now)?;
    let certificate = params.self_signed(&key)?.der().clone();
    let root = files::Credential {
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        chain: vec![certificate],
    };
    let issuing = issuing(&root, now)?;
    let server = server(&issuing, names, now)?;
    files::make_dir(&dir)?;
    files::write(root_out, &seal::seal(root.pem().as_bytes(), passphrase)?)?;
    files::write(&dir.join(files::ROOTS), pem_of(&root.chain).as_bytes())?;
    ensure_history(&dir)?;
    files::write(&dir.join(files::SERVER), server.pem().as_bytes())?;
    // Last: with this file the PKI counts as made.
    files::write(&dir.join(files::ISSUING), issuing.pem().as_bytes())
}

/// Makes a new issuing CA and server certificate from a sealed root: after a collector was lost, or
/// when the issuing CA ends. Agents that pin this root notice nothing.
pub fn reissue(
    data: &Path,
    names: &[String],
    root: &Path,
    passphrase: &[u8],
    now: i64,
) -> anyhow::Result<()> {
    let opened = seal::open(&files::read(root)?, passphrase)
        .with_context(|| format!("could not open {}", root.display()))?;
    let root = files::Credential {
        key: PrivateKeyDer::from_pem_slice(&opened)?,
        chain: files::parse_certificates(&opened)?,
    };
    ensure!(!root.chain.is_empty(), "the sealed file holds no certificate");
    let issuing = issuing(&root, now)?;
    install(data, &root.chain, issuing, names, now)
}

/// Takes over an existing issuing CA: `chain` (PEM, the CA first), `key` (PEM) and its `root` (PEM).
/// A collector in use must trust that root already (`pki trust`), and its agents must have heard.
pub fn import(
    data: &Path,
    names: &[String],
    chain: &Path,
    key: &Path,
    root: &Path,
    now: i64,
) -> anyhow::Result<()> {
    let roots = files::certificates(root)?;
    let issuing = files::Credential { key: files::key(key)?, chain: files::certificates(chain)? };
    install(data, &roots, issuing, names, now)
}

/// Trusts the roots in a PEM file too, from now on.
pub fn trust(data: &Path, root: &Path) -> anyhow::Result<()> {
    let path = files::dir(data).join(files::ROOTS);
    let mut roots = files::certificates(&path)?;
    for root in files::certificates(root)? {
        check_authority(&root)?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    files::write(&path, pem_of(&roots).as_bytes())
}

/// Trusts a root no longer, named by the beginning of its SHA-256 in hexadecimal. The root this
/// server's own certificate leads to stays.
pub fn distrust(data: &Path, digest: &str) -> anyhow::Result<()> {
    let dir = files::dir(data);
    let roots = files::certificates(&dir.join(files::ROOTS))?;
    let digest = digest.to_ascii_lowercase();
    let (gone, kept): (Vec<_>, Vec<_>) = roots
        .into_iter()
        .partition(|root| identity::hex(&identity::sha256(root)).starts_with(&digest));
    ensure!(
        !digest.is_empty() && gone.len() == 1,
        "`{digest}` names {} roots; `pki list` shows them",
        gone.len()
    );
    let server = files::credential(&dir.join(files::SERVER))?;
    anchor(&server.chain, &kept)
        .context("this server's own certificate leads to that root; import another CA first")?;
    files::write(&dir.join(files::ROOTS), pem_of(&kept).as_bytes())
}

/// The certificates of the PKI.
pub fn list(data: &Path) -> anyhow::Result<Vec<Listed>> {
    let dir = files::dir(data);
    let mut listed = Vec::new();
    for (role, file) in
        [("root", files::ROOTS), ("issuing", files::ISSUING), ("server", files::SERVER)]
    {
        let found = files::certificates(&dir.join(file))?;
        let own = if role == "root" { found.len() } else { 1 };
        for der in &found[..own] {
            listed.push(Listed { role, facts: Facts::of(der)?, names: facts::names(der)? });
        }
    }
    Ok(listed)
}

/// Puts an issuing CA into place, with a new server certificate, after checking that the whole
/// verifies as a client would.
fn install(
    data: &Path,
    roots: &[CertificateDer<'static>],
    issuing: files::Credential,
    names: &[String],
    now: i64,
) -> anyhow::Result<()> {
    let dir = files::dir(data);
    roots.iter().try_for_each(check_authority)?;
    let in_use = dir.join(files::ISSUING).exists();
    let trusted =
        if in_use { files::certificates(&dir.join(files::ROOTS))? } else { roots.to_vec() };
    let server = server(&issuing, names, now)?;
    let root = anchor(&server.chain, roots).context("the chain of that CA")?;
    if !trusted.contains(&root) {
        bail!(
            "this collector's agents do not trust that root yet: run `pki trust` with it, wait \
             until they have reconnected, then do this again"
        );
    }
    files::make_dir(&dir)?;
    if !in_use {
        files::write(&dir.join(files::ROOTS), pem_of(&trusted).as_bytes())?;
    }
    ensure_history(&dir)?;
    // Either file alone leaves a PKI that works: both lead to a root that is trusted.
    files::write(&dir.join(files::SERVER), server.pem().as_bytes())?;
    files::write(&dir.join(files::ISSUING), issuing.pem().as_bytes())
}

fn issuing(root: &files::Credential, now: i64) -> anyhow::Result<files::Credential> {
    let signer =
        Issuing::new(files::Credential { key: root.key.clone_key(), chain: root.chain.clone() })
            .context("the root")?;
    let key = KeyPair::generate()?;
    let params = authority("Issuing CA", &key, 0, ISSUING_DAYS, now)?;
    let (mut chain, _) = signer.sign(params, now, &key)?;
    chain.truncate(1);
    Ok(files::Credential { key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(), chain })
}

fn server(
    issuing: &files::Credential,
    names: &[String],
    now: i64,
) -> anyhow::Result<files::Credential> {
    ensure!(!names.is_empty(), "name the host agents will dial: --name HOST");
    let copy = files::Credential { key: issuing.key.clone_key(), chain: issuing.chain.clone() };
    Issuing::new(copy).context("the issuing CA")?.server(
        names,
        Settings::default().server_days,
        now,
    )
}

/// A CA below which `depth` more CAs may stand. Its key's digest is part of its name: two roots
/// that are trusted at once must not be mistaken for each other.
fn authority(
    role: &str,
    key: &KeyPair,
    depth: u8,
    days: i64,
    now: i64,
) -> anyhow::Result<CertificateParams> {
    let digest = identity::sha256(&rcgen::PublicKeyData::subject_public_key_info(key));
    let name = format!("Hengwei {role} {}", identity::hex(&digest[..4]));
    let mut params = leaf(&name, now, days * DAY)?;
    params.distinguished_name.push(DnType::OrganizationName, "Hengwei");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn check_authority(der: &CertificateDer<'static>) -> anyhow::Result<()> {
    let facts = Facts::of(der)?;
    ensure!(facts.authority, "`{}` is no CA and cannot be trusted as a root", facts.subject);
    super::store([der]).map(drop)
}

/// Refuses a passphrase that is too short to seal under.
pub fn check_passphrase(passphrase: &[u8]) -> anyhow::Result<()> {
    ensure!(
        passphrase.len() >= MIN_PASSPHRASE,
        "the passphrase is shorter than {MIN_PASSPHRASE} bytes; choose a longer one"
    );
    Ok(())
}

/// The history key outlives every change of certificates: agents pin it.
fn ensure_history(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(files::HISTORY);
    if path.exists() {
        return files::history(&path).map(drop);
    }
    let key = Ed25519KeyPair::generate().context("could not make the history key")?;
    let pkcs8 = key.to_pkcs8().context("could not write the history key")?;
    files::write(&path, pem("PRIVATE KEY", pkcs8.as_ref()).as_bytes())
}

fn pem_of(chain: &[CertificateDer<'static>]) -> String {
    chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

/// Reads a passphrase from a file, or from standard input for `-`: its first line.
pub fn passphrase(source: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    if source == Path::new("-") {
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut text)
            .context("could not read the passphrase from standard input")?;
    } else {
        text = std::fs::read(source)
            .with_context(|| format!("could not read the passphrase from {}", source.display()))?;
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    ensure!(!line.is_empty(), "the passphrase in {} is empty", source.display());
    Ok(line)
}

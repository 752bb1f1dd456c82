//! The files of the PKI: reading them with errors that name file and remedy, writing them so that
//! a crash leaves the old one or the new one.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use hengwei_protocol::identity::{hex, pem};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The trusted roots.
pub(super) const ROOTS: &str = "roots.pem";
/// Key and chain of the issuing CA.
pub(super) const ISSUING: &str = "issuing.pem";
/// Key and chain of the server.
pub(super) const SERVER: &str = "server.pem";
/// The key that signs history.
pub(super) const HISTORY: &str = "history.pem";

/// All of them.
pub(super) const ALL: [&str; 4] = [ROOTS, ISSUING, SERVER, HISTORY];
/// The folder they are in, below a data folder.
pub(super) const DIR: &str = "pki";

/// Where the PKI of a data folder is.
pub(super) fn dir(data: &Path) -> PathBuf {
    data.join(DIR)
}

/// A key and the certificates that speak for it, leaf first.
pub(super) struct Credential {
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl Credential {
    /// The file it is kept in.
    pub(super) fn pem(&self) -> String {
        let mut text = pem("PRIVATE KEY", self.key.secret_der());
        for certificate in &self.chain {
            text += &pem("CERTIFICATE", certificate);
        }
        text
    }
}

/// What tells that a file changed: inode, size and time of change of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, u64, i64, i64)>; 4]);

impl Stamp {
    pub(super) fn of(dir: &Path) -> Stamp {
        Stamp(ALL.map(|name| {
            let meta = std::fs::metadata(dir.join(name)).ok()?;
            Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        }))
    }
}

/// Reads the certificates of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = parse_certificates(&read(path)?)
        .with_context(|| format!("{} is not PEM", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

/// Reads a key and its chain from one PEM file.
pub(super) fn credential(path: &Path) -> anyhow::Result<Credential> {
    let chain = certificates(path)?;
    let key = key(path)?;
    Ok(Credential { key, chain })
}

/// Reads the first private key of a PEM file.
pub(super) fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| anyhow!("{} holds no usable private key: {error}", path.display()))
}

/// Reads the key that signs history.
pub(super) fn history(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    history_of(&read(path)?).with_context(|| path.display().to_string())
}

/// Takes the key that signs history from the bytes of its file.
pub(super) fn history_of(file: &[u8]) -> anyhow::Result<Ed25519KeyPair> {
    let key = PrivateKeyDer::from_pem_slice(file)
        .map_err(|error| anyhow!("no usable private key: {error}"))?;
    Ed25519KeyPair::from_pkcs8(key.secret_der()).map_err(|error| anyhow!("no Ed25519 key: {error}"))
}

/// The certificates in PEM text.
pub(super) fn parse_certificates(
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

/// Reads a file, with an error that says what to do.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!(
            "could not read {}; run `hengwei-collector pki init` first, or give this user access",
            path.display()
        )
    })
}

/// Makes the folder, 0700.
pub(super) fn make_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("could not make {}", dir.display()))
}

/// Writes a file, 0600, whole or not at all, and durably.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    place(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

fn place(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().context("no file name")?.to_string_lossy();
    let mut random = [0u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow!("no randomness"))?;
    let beside = dir.join(format!(".{name}.{}", hex(&random)));
    let written = write_new(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is left would only be litter; the error that matters is the first one.
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

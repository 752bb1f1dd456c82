//! The identity's files: PEM in, PEM out, written whole or not at all.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use hengwei_protocol::identity::{hex, pem};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{HISTORY_KEY, IDENTITY, ROOTS};

/// What tells that a file changed: inode, size and time of change of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, u64, i64, i64)>; 3]);

impl Stamp {
    pub(super) fn of(dir: &Path) -> Stamp {
        Stamp([IDENTITY, ROOTS, HISTORY_KEY].map(|name| {
            let meta = std::fs::metadata(dir.join(name)).ok()?;
            Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        }))
    }
}

/// Key and chain of one file.
pub(super) fn credential(
    path: &Path,
) -> anyhow::Result<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)> {
    let chain = certificates(path)?;
    let key = PrivateKeyDer::from_pem_slice(read_text(path)?.as_bytes())
        .map_err(|error| anyhow!("{} holds no usable key: {error}; enrol again", path.display()))?;
    Ok((key, chain))
}

/// The certificates of a file; at least one.
pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = read_text(path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| anyhow!("{} is not PEM: {error}; enrol again", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate; enrol again", path.display());
    Ok(found)
}

/// Reads a file, with an error that says what to do.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!(
            "could not read {}; run `hengwei-agent enroll`, or give this user access",
            path.display()
        )
    })
}

/// Writes a file, 0600, whole or not at all, and durably.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    place(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

fn place(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().context("no folder")?;
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

/// Certificates, one after the other.
pub(super) fn pem_of(chain: &[CertificateDer<'static>]) -> String {
    chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

//! The manifest: the one list of what history consists of.
//!
//! ```text
//! "HENGWMAN" | version u32 | body length u32 | signature length u32 | body | signature | CRC32 u32
//! ```
//!
//! The body is `stored::Manifest`. It is replaced as a whole (temporary file, sync, rename, sync of
//! the directory), so a crash leaves the old list or the new one. The signature is Ed25519 by the
//! history key and so covers the digest of every segment and checkpoint; it is absent where no key
//! was given.

use std::fs;
use std::io;
use std::path::Path;

use prost::Message;

use super::chain::Key;
use super::disk::{self, Disk};
use super::stored::Manifest;
use super::{Error, disk::failed};

const MAGIC: &[u8; 8] = b"HENGWMAN";
const VERSION: u32 = 1;
const HEADER: usize = 20;

/// Its file's name below the history's folder.
pub(super) const NAME: &str = "manifest";

/// A manifest with the bytes its signature is over.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Signed {
    pub(super) manifest: Manifest,
    pub(super) body: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// Reads the manifest. None where there is none; a text when it does not read.
pub(super) fn load(dir: &Path) -> Result<Option<Signed>, String> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    parse(&bytes).map(Some).ok_or_else(|| format!("{}: damaged", path.display()))
}

fn parse(bytes: &[u8]) -> Option<Signed> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let end = bytes.len().checked_sub(4)?;
    if bytes.get(..8)? != MAGIC
        || word(8)? != VERSION
        || word(end)? != crc32fast::hash(&bytes[..end])
    {
        return None;
    }
    let body_end = HEADER.checked_add(word(12)? as usize)?;
    let body = bytes.get(HEADER..body_end)?.to_vec();
    let signature = bytes.get(body_end..body_end.checked_add(word(16)? as usize)?)?.to_vec();
    Some(Signed { manifest: Manifest::decode(&body[..]).ok()?, body, signature })
}

/// Writes the manifest, signed where there is a key, and counts its sequence up.
pub(super) fn save(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &mut Manifest,
    key: Option<&Key>,
) -> Result<(), Error> {
    manifest.sequence += 1;
    let bytes = encode(dir, manifest, key)?;
    disk::replace(disk, &dir.join(NAME), &bytes)
}

/// The file of a manifest, signed where there is a key.
pub(super) fn encode(
    dir: &Path,
    manifest: &mut Manifest,
    key: Option<&Key>,
) -> Result<Vec<u8>, Error> {
    manifest.key = key.map(Key::public).unwrap_or_default();
    let body = manifest.encode_to_vec();
    let signature = key.map(|key| key.sign_manifest(&body)).unwrap_or_default();
    let path = dir.join(NAME);
    let len = |bytes: &[u8]| {
        u32::try_from(bytes.len())
            .map_err(|_| failed(&path, &io::Error::other("a manifest beyond 4 GiB")))
    };
    let mut bytes = Vec::with_capacity(HEADER + body.len() + signature.len() + 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&len(&body)?.to_le_bytes());
    bytes.extend_from_slice(&len(&signature)?.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&signature);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

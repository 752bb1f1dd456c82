//! A secret sealed under a passphrase, to be carried away: how the key of the root leaves.
//!
//! ```text
//! magic "HWSEAL" · version 0 1 · argon2id: KiB u32, passes u32, lanes u32 · salt 16 · nonce 12
//! · AES-256-GCM of the secret, its tag behind; everything before is authenticated too
//! ```
//! Numbers are big-endian. It holds no secret longer than a call takes.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;

const MAGIC: &[u8; 8] = b"HWSEAL\x00\x01";
const SALT: usize = 16;
const NONCE: usize = 12;
const HEAD: usize = MAGIC.len() + 12 + SALT + NONCE;
/// What sealing costs whoever guesses: 64 MiB, three passes.
const COST: Cost = Cost { kib: 64 << 10, passes: 3, lanes: 1 };
/// What opening a stranger's file may cost us at most.
const MAX_COST: Cost = Cost { kib: 1 << 20, passes: 16, lanes: 16 };

/// Why a sealed file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not our container, or of a version we do not know.
    #[error("not a sealed key of Hengwei, or damaged")]
    Malformed,
    /// Wrong passphrase, or the bytes were changed.
    #[error("wrong passphrase, or the file was changed")]
    Passphrase,
    /// Our side failed.
    #[error("could not derive a key: {0}")]
    Ours(String),
}

#[derive(Clone, Copy)]
struct Cost {
    kib: u32,
    passes: u32,
    lanes: u32,
}

/// Seals `secret` under `passphrase`.
pub fn seal(secret: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, Error> {
    let mut sealed = MAGIC.to_vec();
    for number in [COST.kib, COST.passes, COST.lanes] {
        sealed.extend_from_slice(&number.to_be_bytes());
    }
    let mut random = [0u8; SALT + NONCE];
    fill(&mut random).map_err(|_| Error::Ours("no randomness".to_owned()))?;
    sealed.extend_from_slice(&random);
    let key = derive(COST, &random[..SALT], passphrase)?;
    let mut body = secret.to_vec();
    key.seal_in_place_append_tag(nonce(&random[SALT..])?, Aad::from(&sealed), &mut body)
        .map_err(|_| Error::Ours("encryption failed".to_owned()))?;
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what [`seal`] made.
pub fn open(sealed: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, Error> {
    let (head, body) = sealed.split_at_checked(HEAD).ok_or(Error::Malformed)?;
    let costs = head.strip_prefix(MAGIC).ok_or(Error::Malformed)?;
    let number = |at: usize| {
        costs[at * 4..at * 4 + 4].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
    };
    let cost = Cost { kib: number(0), passes: number(1), lanes: number(2) };
    if cost.kib > MAX_COST.kib || cost.passes > MAX_COST.passes || cost.lanes > MAX_COST.lanes {
        return Err(Error::Malformed);
    }
    let random = &costs[12..];
    let key = derive(cost, &random[..SALT], passphrase)?;
    let mut body = body.to_vec();
    let secret = key
        .open_in_place(nonce(&random[SALT..])?, Aad::from(head), &mut body)
        .map_err(|_| Error::Passphrase)?;
    Ok(secret.to_vec())
}

fn derive(cost: Cost, salt: &[u8], passphrase: &[u8]) -> Result<LessSafeKey, Error> {
    let params = argon2::Params::new(cost.kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| Error::Malformed)?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0u8; 32];
    argon
        .hash_password_into(passphrase, salt, &mut key)
        .map_err(|error| Error::Ours(error.to_string()))?;
    let key = UnboundKey::new(&AES_256_GCM, &key)
        .map_err(|_| Error::Ours("the cipher refused its key".to_owned()))?;
    Ok(LessSafeKey::new(key))
}

fn nonce(bytes: &[u8]) -> Result<Nonce, Error> {
    Nonce::try_assume_unique_for_key(bytes).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_whole_and_with_its_passphrase() {
        let sealed = seal(b"a root key", b"correct horse").expect("seals");
        assert_eq!(open(&sealed, b"correct horse").expect("opens"), b"a root key");
        assert!(matches!(open(&sealed, b"wrong"), Err(Error::Passphrase)));
        assert!(!sealed.windows(10).any(|bytes| bytes == b"a root key"));
        // The salt, the nonce and the body are all authenticated.
        for at in [20, 36, HEAD, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(matches!(open(&changed, b"correct horse"), Err(Error::Passphrase)), "{at}");
        }
    }

    #[test]
    fn what_is_no_container_is_refused_cheaply() {
        let mut costly = seal(b"x", b"y").expect("seals");
        costly[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        for bytes in [&b""[..], b"HWSEAL", &[0; 100], &costly] {
            assert!(matches!(open(bytes, b"y"), Err(Error::Malformed)));
        }
    }
}

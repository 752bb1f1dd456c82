//! Signed statements: what leaves the collector with its word on it, an export's manifest or a
//! backup's, to be checked where there is no collector.
//!
//! ```text
//! line 1   the statement, one JSON object
//! line 2   {"key": Ed25519 public key, hex, "signature": 64 bytes, hex}
//! ```
//!
//! The signature is by the history key over a context string, which differs by purpose so that none
//! can pass for another (those of heads and manifest are in `history`), and then the bytes of line 1
//! as they stand, without its line feed. Nothing needs to be written anew to be checked.
//!
//! In: something serde can write, and who signs. Out: the text; and from a text the statement, with
//! whether the signature holds. What a statement means is its owner's affair.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use hengwei_protocol::identity::{hex, unhex};
use hengwei_protocol::wire::{Head, Heads};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::history;

/// What a statement is for: its bytes begin what is signed.
#[derive(Debug, Clone, Copy)]
pub struct Context(&'static [u8]);

/// The manifest beside an export.
pub const EXPORT: Context = Context(b"hengwei export v1\0");
/// The list of a backup's files.
pub const BACKUP: Context = Context(b"hengwei backup v1\0");

/// Who signs: the public key and its signing.
pub trait Signer {
    /// The public half, 32 bytes.
    fn public(&self) -> Vec<u8>;
    /// An Ed25519 signature of `message`.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

impl Signer for crate::pki::Pki {
    fn public(&self) -> Vec<u8> {
        self.history_key()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_history(message)
    }
}

/// A statement that was read; nothing is known of its truth until [`Signed::check`].
#[derive(Debug, Clone)]
pub struct Signed<T> {
    /// What is stated.
    pub statement: T,
    /// The key it says it is signed by.
    pub key: Vec<u8>,
    line: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    key: String,
    signature: String,
}

/// Writes and signs a statement.
///
/// # Errors
/// When serde can't write it.
pub fn sign<T: Serialize>(
    context: Context,
    statement: &T,
    signer: &dyn Signer,
) -> serde_json::Result<String> {
    let line = serde_json::to_string(statement)?;
    let signature = signer.sign(&[context.0, line.as_bytes()].concat());
    let seal = Seal { key: hex(&signer.public()), signature: hex(&signature) };
    Ok(format!("{line}\n{}\n", serde_json::to_string(&seal)?))
}

/// Reads a statement and its signature; the text says what is wrong with it.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<Signed<T>, String> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let (Some(line), Some(seal), Some(b""), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err("not a statement and its signature, one line each".to_owned());
    };
    let seal: Seal = serde_json::from_slice(seal).map_err(|error| format!("line 2: {error}"))?;
    let bytes = |name: &str, text: &str| unhex(text).ok_or(format!("line 2: {name}: no hex"));
    Ok(Signed {
        statement: serde_json::from_slice(line).map_err(|error| format!("line 1: {error}"))?,
        key: bytes("key", &seal.key)?,
        signature: bytes("signature", &seal.signature)?,
        line: line.to_vec(),
    })
}

impl<T> Signed<T> {
    /// What is wrong with the signature, if anything. `trusted` is the key it must be by; without
    /// one it is only known that whoever has [`Signed::key`] signed exactly this.
    pub fn check(&self, context: Context, trusted: Option<&[u8]>) -> Option<String> {
        if trusted.is_some_and(|trusted| trusted != self.key) {
            return Some(format!("signed by another key than the one given: {}", hex(&self.key)));
        }
        let message = [context.0, &self.line].concat();
        let good =
            UnparsedPublicKey::new(&ED25519, &self.key).verify(&message, &self.signature).is_ok();
        (!good).then(|| "the statement is not what was signed".to_owned())
    }
}

/// Chain heads as a statement has them: the form `hengwei-agent heads` prints and `verify --heads`
/// reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatedHeads {
    time: i64,
    heads: Vec<StatedHead>,
    signature: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StatedHead {
    class: String,
    commit: u64,
    link: String,
}

impl From<&Heads> for StatedHeads {
    fn from(heads: &Heads) -> StatedHeads {
        let stated = heads.heads.iter().map(|head| StatedHead {
            class: head.class.clone(),
            commit: head.commit,
            link: hex(&head.link),
        });
        StatedHeads { time: heads.time, heads: stated.collect(), signature: hex(&heads.signature) }
    }
}

impl StatedHeads {
    /// Whether they carry a good signature of that key.
    pub fn are_signed_by(&self, key: &[u8]) -> bool {
        let head = |head: &StatedHead| {
            let link = unhex(&head.link)?.into();
            Some(Head { class: head.class.clone(), commit: head.commit, link })
        };
        let heads: Option<Vec<Head>> = self.heads.iter().map(head).collect();
        let (Some(heads), Some(signature)) = (heads, unhex(&self.signature)) else { return false };
        let heads = Heads { time: self.time, heads, signature: signature.into() };
        history::verify_heads(&heads, key)
    }

    /// The newest commit among them.
    pub fn newest(&self) -> u64 {
        self.heads.iter().map(|head| head.commit).max().unwrap_or(0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value, json};

    /// A key of its own.
    pub(crate) struct Own(Ed25519KeyPair);

    impl Own {
        pub(crate) fn new() -> Own {
            Own(Ed25519KeyPair::generate().expect("generates"))
        }
    }

    impl Signer for Own {
        fn public(&self) -> Vec<u8> {
            self.0.public_key().as_ref().to_vec()
        }

        fn sign(&self, message: &[u8]) -> Vec<u8> {
            self.0.sign(message).as_ref().to_vec()
        }
    }

    fn wrong(text: &str, context: Context, trusted: Option<&[u8]>) -> String {
        match read::<Value>(text.as_bytes()) {
            Ok(signed) => signed.check(context, trusted).unwrap_or_else(|| "fine".to_owned()),
            Err(text) => text,
        }
    }

    #[test]
    fn a_statement_holds_for_its_purpose_its_key_and_every_byte() {
        let (own, other) = (Own::new(), Own::new());
        let text = sign(EXPORT, &json!({"rows": 7, "of": "a host"}), &own).expect("writes");
        assert_eq!(wrong(&text, EXPORT, Some(&own.public())), "fine");
        assert_eq!(wrong(&text, EXPORT, None), "fine");
        assert_eq!(wrong(&text, BACKUP, None), "the statement is not what was signed");
        assert!(wrong(&text, EXPORT, Some(&other.public())).starts_with("signed by another key"));
        let changed = text.replace("\"rows\":7", "\"rows\":8");
        assert_eq!(wrong(&changed, EXPORT, None), "the statement is not what was signed");
        // Signed anew by somebody else, it is a good statement of somebody else.
        let anew = sign(EXPORT, &json!({"rows": 8}), &other).expect("writes");
        assert_eq!(wrong(&anew, EXPORT, None), "fine");
        assert!(wrong(&anew, EXPORT, Some(&own.public())).starts_with("signed by another key"));
    }

    #[test]
    fn what_is_no_statement_says_what_is_wrong() {
        for (text, expected) in [
            ("", "not a statement"),
            ("{}\n{}", "not a statement"),
            ("{}\n{}\nmore\n", "not a statement"),
            ("{}\n{}\n", "line 2: missing field"),
            ("{\n{\"key\":\"\",\"signature\":\"\"}\n", "line 1: EOF"),
            ("{}\n{\"key\":\"x\",\"signature\":\"\"}\n", "line 2: key: no hex"),
            ("{}\n{\"key\":\"\",\"signature\":\"\"}\n", "the statement is not what was signed"),
        ] {
            assert!(wrong(text, EXPORT, None).starts_with(expected), "{text}");
        }
    }
}

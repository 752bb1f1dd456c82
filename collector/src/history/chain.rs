//! The chain: what makes a changed, removed or reordered commit visible.
//!
//! Five classes, each with a chain of its own: the four kinds, and `record` for what was decided.
//! A class's link is
//!
//! ```text
//! SHA-256( previous link (32 bytes, zeros before the first)
//!        | length of the class's name (u64) | its name
//!        | commit number (u64)
//!        | canonical records of that class in that commit )
//! ```
//!
//! with every number little-endian. A received record's canonical bytes are its sender (length and
//! bytes of the agent id, kind of the queue as u32, 16 bytes of epoch, `ingested` as i64) and then
//! `protocol::record::canonical`. An entry's begin with the byte 1, a put's with the byte 2; every
//! text has its length in front. The class of a record is its queue's kind, or `security` when a
//! decoder raised it. A class that has nothing in a commit does not move.
//!
//! The chain runs over meaning: it comes out the same from the log's compressed blocks and from a
//! sealed segment. What is derived (decoded fields, ledger and gap rows, correlation hits) is not
//! chained; the digests in the signed manifest cover the bytes of everything sealed all the same.
//!
//! Heads of all classes are signed together with Ed25519 over [`canonical_heads`].

use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::record::{self, Sink};
use hengwei_protocol::wire::{Block, Head, Heads, Origin, Record};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::stored::{Sender, Step, StoredEntry, StoredPut, Tip};
use super::{Error, disk};

/// The chain's hash, as stored: SHA-256. SM3 will be 2.
pub(super) const ALGORITHM: u32 = 1;

/// Canonical bytes gathered before the hash takes them: calling it for every field costs more than
/// hashing.
const BUFFER: usize = 32 << 10;

/// What the bytes under a signature begin with, so that no other signature can pass for one.
const HEADS_CONTEXT: &[u8] = b"hengwei heads v1\0";
/// The same for the manifest.
const MANIFEST_CONTEXT: &[u8] = b"hengwei manifest v1\0";

/// A link of a chain. Before the first there are 32 zeros.
pub(super) type Link = [u8; 32];

static NO_ORIGIN: Origin = Origin {
    source: String::new(),
    path: String::new(),
    dataset: String::new(),
    charset: String::new(),
};

/// A chain, and a family of segments.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Records of kind asset.
    Asset,
    /// Records of kind performance.
    Performance,
    /// Records of kind log that no decoder raised.
    Log,
    /// Records of kind security, raised ones included.
    Security,
    /// Decisions: entries and puts.
    Record,
}

impl Class {
    /// All, in the order of their numbers.
    pub const ALL: [Class; 5] =
        [Class::Asset, Class::Performance, Class::Log, Class::Security, Class::Record];

    /// Its name in file names, heads and the chain.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Asset => "asset",
            Class::Performance => "performance",
            Class::Log => "log",
            Class::Security => "security",
            Class::Record => "record",
        }
    }

    /// Its number in files, from 1.
    pub(super) const fn number(self) -> u32 {
        self as u32 + 1
    }

    pub(super) fn from_number(number: u32) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.number() == number)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl From<Kind> for Class {
    fn from(kind: Kind) -> Class {
        match kind {
            Kind::Asset => Class::Asset,
            Kind::Performance => Class::Performance,
            Kind::Log => Class::Log,
            Kind::Security => Class::Security,
        }
    }
}

/// The class a record is kept in.
pub(super) fn class_of(kind: Kind, number: u64, raised: &[u64]) -> Class {
    if !raised.is_empty() && raised.binary_search(&number).is_ok() {
        Class::Security
    } else {
        kind.into()
    }
}

/// What stands in for an origin that is not there.
pub(super) fn no_origin() -> &'static Origin {
    &NO_ORIGIN
}

/// The origin of a record; an empty one when its index leads nowhere.
pub(super) fn origin_of<'a>(block: &'a Block, record: &Record) -> &'a Origin {
    block.origins.get(record.origin as usize).unwrap_or(&NO_ORIGIN)
}

/// Where all classes stand: the commit of each one's last link, and the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tips([(u64, Link); 5]);

impl Tips {
    pub(super) fn link(&self, class: Class) -> &Link {
        &self.0[class.index()].1
    }

    pub(super) fn commit(&self, class: Class) -> u64 {
        self.0[class.index()].0
    }

    pub(super) fn set(&mut self, class: Class, commit: u64, link: Link) {
        self.0[class.index()] = (commit, link);
    }

    /// Moves on by the steps of a commit; ones that are not of ours are left out.
    pub(super) fn advance(&mut self, commit: u64, steps: &[Step]) {
        for step in steps {
            if let (Some(class), Ok(link)) =
                (Class::from_number(step.class), Link::try_from(&step.link[..]))
            {
                self.set(class, commit, link);
            }
        }
    }

    pub(super) fn to_stored(self) -> Vec<Tip> {
        Class::ALL
            .into_iter()
            .filter(|class| self.commit(*class) != 0)
            .map(|class| Tip {
                class: class.number(),
                commit: self.commit(class),
                link: Bytes::copy_from_slice(self.link(class)),
            })
            .collect()
    }

    pub(super) fn from_stored(stored: &[Tip]) -> Tips {
        let mut tips = Tips::default();
        for tip in stored {
            if let (Some(class), Ok(link)) =
                (Class::from_number(tip.class), Link::try_from(&tip.link[..]))
            {
                tips.set(class, tip.commit, link);
            }
        }
        tips
    }

    /// As the wire has them, unsigned; classes without a link are left out.
    pub(super) fn heads(&self, time: i64) -> Heads {
        let heads = Class::ALL
            .into_iter()
            .filter(|class| self.commit(*class) != 0)
            .map(|class| Head {
                class: class.as_str().to_owned(),
                commit: self.commit(class),
                link: Bytes::copy_from_slice(self.link(class)),
            })
            .collect();
        Heads { time, heads, signature: Bytes::new() }
    }
}

/// Hashes what one class has in one commit.
pub(super) struct Linker {
    context: digest::Context,
    buffer: Vec<u8>,
}

impl Linker {
    pub(super) fn new(class: Class, previous: &[u8], commit: u64) -> Linker {
        let mut linker = Linker {
            context: digest::Context::new(&digest::SHA256),
            buffer: Vec::with_capacity(BUFFER),
        };
        linker.put(previous);
        linker.text(class.as_str().as_bytes());
        linker.put(&commit.to_le_bytes());
        linker
    }

    pub(super) fn record(&mut self, prefix: &[u8], origin: &Origin, record: &Record) {
        self.put(prefix);
        record::canonical(self, origin, record);
    }

    pub(super) fn entry(&mut self, entry: &StoredEntry) {
        self.put(&[1]);
        self.put(&entry.time.to_le_bytes());
        for text in [&entry.actor, &entry.action, &entry.body] {
            self.text(text.as_bytes());
        }
    }

    pub(super) fn change(&mut self, put: &StoredPut) {
        self.put(&[2]);
        self.text(put.tree.as_bytes());
        self.text(&put.key);
        match &put.value {
            None => self.put(&[0]),
            Some(value) => {
                self.put(&[1]);
                self.text(value);
            }
        }
    }

    pub(super) fn finish(mut self) -> Link {
        self.context.update(&self.buffer);
        self.context.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
    }

    fn text(&mut self, bytes: &[u8]) {
        self.put(&(bytes.len() as u64).to_le_bytes());
        self.put(bytes);
    }
}

impl Sink for Linker {
    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.context.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() >= BUFFER {
            self.context.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }
}

/// The canonical bytes of a sender, which stand before each of its records.
pub(super) fn prefix(sender: &Sender) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(sender.agent.len() + 36);
    bytes.extend_from_slice(&(sender.agent.len() as u64).to_le_bytes());
    bytes.extend_from_slice(sender.agent.as_bytes());
    bytes.extend_from_slice(&sender.kind.to_le_bytes());
    bytes.extend_from_slice(&sender.epoch);
    bytes.extend_from_slice(&sender.ingested.to_le_bytes());
    bytes
}

/// The kind of a sender's queue; `log` when the number is none of ours, which only damage can do.
pub(super) fn kind_of(sender: &Sender) -> Kind {
    Kind::try_from(sender.kind).unwrap_or(Kind::Log)
}

/// One batch of a commit, unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unpacked<'a> {
    pub(super) sender: &'a Sender,
    pub(super) block: &'a Block,
    pub(super) raised: &'a [u64],
}

/// The steps a commit makes from `tips` on.
pub(super) fn steps<'a>(
    tips: &Tips,
    commit: u64,
    batches: impl Iterator<Item = Unpacked<'a>>,
    entries: &[StoredEntry],
    puts: &[StoredPut],
) -> Vec<Step> {
    let mut linkers: [Option<Linker>; 5] = Default::default();
    for Unpacked { sender, block, raised } in batches {
        let (prefix, kind) = (prefix(sender), kind_of(sender));
        for record in &block.records {
            let class = class_of(kind, record.number, raised);
            linkers[class.index()]
                .get_or_insert_with(|| Linker::new(class, tips.link(class), commit))
                .record(&prefix, origin_of(block, record), record);
        }
    }
    if !(entries.is_empty() && puts.is_empty()) {
        let mut linker = Linker::new(Class::Record, tips.link(Class::Record), commit);
        entries.iter().for_each(|entry| linker.entry(entry));
        puts.iter().for_each(|put| linker.change(put));
        linkers[Class::Record.index()] = Some(linker);
    }
    Class::ALL
        .into_iter()
        .zip(linkers)
        .filter_map(|(class, linker)| {
            Some(Step {
                class: class.number(),
                previous: Bytes::copy_from_slice(tips.link(class)),
                link: Bytes::copy_from_slice(&linker?.finish()),
            })
        })
        .collect()
}

/// The bytes a signature of heads is over: a fixed context, the hash's id (u32), the time (i64), the
/// number of heads (u64), and of each its class (length, bytes), commit (u64) and link (length,
/// bytes). The signature itself is not part of it.
pub fn canonical_heads(heads: &Heads) -> Vec<u8> {
    let mut bytes = HEADS_CONTEXT.to_vec();
    bytes.extend_from_slice(&ALGORITHM.to_le_bytes());
    bytes.extend_from_slice(&heads.time.to_le_bytes());
    bytes.extend_from_slice(&(heads.heads.len() as u64).to_le_bytes());
    for head in &heads.heads {
        bytes.extend_from_slice(&(head.class.len() as u64).to_le_bytes());
        bytes.extend_from_slice(head.class.as_bytes());
        bytes.extend_from_slice(&head.commit.to_le_bytes());
        bytes.extend_from_slice(&(head.link.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&head.link);
    }
    bytes
}

/// Whether heads carry a good signature of this Ed25519 public key (32 bytes).
pub fn verify_heads(heads: &Heads, public_key: &[u8]) -> bool {
    verified(public_key, &canonical_heads(heads), &heads.signature)
}

/// Whether the bytes of a manifest carry a good signature.
pub(super) fn verify_manifest(bytes: &[u8], signature: &[u8], public_key: &[u8]) -> bool {
    verified(public_key, &[MANIFEST_CONTEXT, bytes].concat(), signature)
}

fn verified(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&signature::ED25519, public_key).verify(message, signature).is_ok()
}

/// The history key.
pub(super) struct Key(Ed25519KeyPair);

impl Key {
    /// Reads PKCS#8, DER or PEM.
    pub(super) fn load(path: &Path) -> Result<Key, Error> {
        let bytes = std::fs::read(path).map_err(|error| disk::failed(path, &error))?;
        let unreadable = || {
            Error::Unusable(format!(
                "{}: no Ed25519 key in PKCS#8; make one with `pki init`",
                path.display()
            ))
        };
        let der = if bytes.starts_with(b"-----BEGIN") {
            PrivatePkcs8KeyDer::from_pem_slice(&bytes)
                .map_err(|_| unreadable())?
                .secret_pkcs8_der()
                .to_vec()
        } else {
            bytes
        };
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Key).map_err(|_| unreadable())
    }

    pub(super) fn public(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.public_key().as_ref())
    }

    pub(super) fn sign_heads(&self, heads: &mut Heads) {
        heads.signature = Bytes::copy_from_slice(self.0.sign(&canonical_heads(heads)).as_ref());
    }

    pub(super) fn sign_manifest(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(&[MANIFEST_CONTEXT, bytes].concat()).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(entries: &[StoredEntry], puts: &[StoredPut], commit: u64) -> Vec<Step> {
        steps(&Tips::default(), commit, std::iter::empty(), entries, puts)
    }

    fn entry(actor: &str, action: &str) -> StoredEntry {
        StoredEntry { actor: actor.into(), action: action.into(), ..StoredEntry::default() }
    }

    #[test]
    fn every_part_of_a_decision_tells_in_its_link() {
        let put = StoredPut { tree: "a".into(), key: vec![1], value: Some(vec![]) };
        let mut seen = Vec::new();
        let mut check = |steps: Vec<Step>| {
            assert_eq!(steps.len(), 1);
            assert!(!seen.contains(&steps[0].link), "{steps:?}");
            seen.push(steps[0].link.clone());
        };
        check(step(&[entry("a", "b")], &[], 1));
        check(step(&[entry("a", "b")], &[], 2));
        check(step(&[entry("ab", "")], &[], 1));
        check(step(&[entry("a", "b"), entry("a", "b")], &[], 1));
        check(step(&[], std::slice::from_ref(&put), 1));
        check(step(&[], &[StoredPut { value: None, ..put.clone() }], 1));
        check(step(&[], &[StoredPut { tree: "b".into(), ..put }], 1));
        assert!(step(&[], &[], 1).is_empty());
    }

    #[test]
    fn a_signature_covers_every_head() {
        let key = Key(Ed25519KeyPair::generate().expect("generates"));
        let mut tips = Tips::default();
        tips.set(Class::Log, 7, [3; 32]);
        let mut heads = tips.heads(5);
        key.sign_heads(&mut heads);
        assert!(verify_heads(&heads, &key.public()));
        let other = Key(Ed25519KeyPair::generate().expect("generates"));
        assert!(!verify_heads(&heads, &other.public()));
        let mut changed = heads.clone();
        changed.heads[0].commit = 8;
        assert!(!verify_heads(&changed, &key.public()));
        changed = heads.clone();
        changed.time = 6;
        assert!(!verify_heads(&changed, &key.public()));
        heads.heads.clear();
        assert!(!verify_heads(&heads, &key.public()));
    }

    #[test]
    fn long_and_short_pieces_hash_alike() {
        let long = vec![7u8; BUFFER + 5];
        let mut whole = Linker::new(Class::Log, &[0; 32], 1);
        whole.put(&long);
        let mut pieces = Linker::new(Class::Log, &[0; 32], 1);
        long.chunks(1000).for_each(|piece| pieces.put(piece));
        assert_eq!(whole.finish(), pieces.finish());
    }
}

//! The keys of a collector in one sealed file: what `<data>/pki` holds, and the secrets of channels.
//!
//! In: a data folder and a passphrase. Out: the container of [`crate::pki::seal`] (argon2id,
//! AES-256-GCM) around one JSON object, `{"pki/issuing.pem": hex, …, "secrets/webhook": hex}`; and
//! back. Nothing of it is written anywhere unsealed but into the data folder that is restored.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use hengwei_protocol::identity::{hex, unhex};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::pki::{self, seal, setup};
use crate::placed;

/// Where secrets of channels are restored to, below the data folder.
pub const SECRETS: &str = "secrets";

/// A passphrase, which no log is to show.
#[derive(Clone, Serialize, Deserialize)]
pub struct Passphrase(Vec<u8>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(secret)")
    }
}

impl Passphrase {
    /// Reads the first line of a file, or of standard input for `-`.
    pub fn read(source: &Path) -> anyhow::Result<Passphrase> {
        setup::passphrase(source).map(Passphrase)
    }
}

/// The files that were sealed together, by name.
pub struct Keys(BTreeMap<String, Vec<u8>>);

impl Keys {
    /// Those of a collector: its PKI, and the file each channel names as `secret_file`.
    pub fn of(config: &Config) -> anyhow::Result<Keys> {
        let mut keys = BTreeMap::new();
        for (name, bytes) in pki::key_files(&config.data)? {
            keys.insert(format!("{}/{name}", pki::DIR), bytes);
        }
        for (channel, section) in &config.notify {
            if let Some(path) = section.get("secret_file").and_then(toml::Value::as_str) {
                let bytes = std::fs::read(path).with_context(|| path.to_owned())?;
                keys.insert(format!("{SECRETS}/{channel}"), bytes);
            }
        }
        Ok(Keys(keys))
    }

    /// Seals them.
    pub fn seal(&self, passphrase: &Passphrase) -> anyhow::Result<Vec<u8>> {
        setup::check_passphrase(&passphrase.0)?;
        let texts: BTreeMap<&str, String> =
            self.0.iter().map(|(name, bytes)| (name.as_str(), hex(bytes))).collect();
        Ok(seal::seal(&serde_json::to_vec(&texts)?, &passphrase.0)?)
    }

    /// Opens what [`Keys::seal`] made.
    pub fn open(sealed: &[u8], passphrase: &Passphrase) -> anyhow::Result<Keys> {
        let opened = seal::open(sealed, &passphrase.0)?;
        let texts: BTreeMap<String, String> = serde_json::from_slice(&opened)?;
        let bytes = |(name, text): (String, String)| Some((name, unhex(&text)?));
        let keys: Option<_> = texts.into_iter().map(bytes).collect();
        let keys: BTreeMap<String, Vec<u8>> = keys.context("keys that are no hex")?;
        anyhow::ensure!(
            keys.keys().all(|name| super::stays_below(name)),
            "a key whose name leads elsewhere"
        );
        Ok(Keys(keys))
    }

    /// Writes them below a data folder, 0600.
    pub fn write(&self, data: &Path) -> anyhow::Result<()> {
        for (name, bytes) in &self.0 {
            let path = data.join(name);
            placed::make_dir(placed::parent(&path))?;
            placed::write(&path, bytes)?;
        }
        Ok(())
    }

    /// The public half of the history key among them.
    pub fn history_public_key(&self) -> Option<Vec<u8>> {
        let file = self.0.get(&format!("{}/{}", pki::DIR, pki::HISTORY_KEY))?;
        pki::public_key_of(file).ok()
    }
}

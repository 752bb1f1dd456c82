//! The taking end of an export: rows in, the operator's file and its manifest out.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hengwei_protocol::identity::unhex;
use serde_json::Value;

use super::{Manifest, manifest_of};
use crate::placed::{self, Placed};
use crate::statement;

/// Writes what [`super::stream`] sends.
#[derive(Debug)]
pub struct Target {
    place: PathBuf,
    file: Placed,
    manifest: Option<String>,
}

impl Target {
    /// Begins at `place`, where nothing may be yet: an export is evidence, and not written over.
    pub fn create(place: &Path) -> anyhow::Result<Target> {
        for path in [place, &manifest_of(place)] {
            ensure!(!path.exists(), "{} exists already; name another file", path.display());
        }
        Ok(Target { place: place.to_owned(), file: Placed::create(place)?, manifest: None })
    }

    /// Takes one row.
    pub fn take(&mut self, row: &Value) -> anyhow::Result<()> {
        if let Some(text) = row["manifest"].as_str() {
            self.manifest = Some(text.to_owned());
            return Ok(());
        }
        let chunk = row["chunk"].as_str().and_then(unhex).context("an answer that is no export")?;
        self.file.write_all(&chunk).with_context(|| self.place.display().to_string())
    }

    /// Puts file and manifest into their places; what the manifest says.
    pub fn finish(self) -> anyhow::Result<Manifest> {
        let Some(text) = self.manifest else {
            bail!("the collector broke off: nothing was written")
        };
        let signed = statement::read::<Manifest>(text.as_bytes()).map_err(anyhow::Error::msg)?;
        let place = manifest_of(&self.place);
        let mut manifest = Placed::create(&place)?;
        manifest.write_all(text.as_bytes()).with_context(|| place.display().to_string())?;
        manifest.sync()?;
        self.file.place()?;
        manifest.place()?;
        placed::sync_dir(placed::parent(&self.place))?;
        Ok(signed.statement)
    }
}

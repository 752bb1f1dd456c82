//! Packs as they are kept, below the collector's data folder:
//!
//! ```text
//! rules/live.json                             which version of which pack is live, and what was before
//! rules/packs/NAME/VERSION/rules.zip          its rules, as [`super::archive`] packs them
//! rules/packs/NAME/VERSION/pack.json          what it is: digest, counts, each rule's digest
//! rules/packs/NAME/VERSION/backtest.json      what a backtest of it found
//! ```
//!
//! A version appears whole or not at all: written in a folder whose name begins with a dot, synced,
//! renamed. It never changes but for its backtest. What a crash leaves is removed by the next import.
//! Everything read back is checked against the digest. This knows neither history nor what is in force.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::{digest, rand};
use hengwei_protocol::identity::hex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{archive, check_name};
use crate::placed;

/// Versions that are kept of one pack.
const MAX_VERSIONS: usize = 20;
/// Packs that are kept.
const MAX_PACKS: usize = 50;
/// How often a pack can be rolled back.
const MAX_BEFORE: usize = 20;
/// Bytes of a record beside an archive.
const MAX_RECORD: u64 = 64 << 20;
/// What the folder of an unfinished version ends in.
const UNFINISHED: &str = ".part";

/// A version of a pack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pack {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was imported, RFC 3339.
    pub imported: String,
    /// Who imported it.
    pub by: String,
    /// The file or folder it came as.
    pub source: String,
    /// SHA-256 over its rules and their paths, hex.
    pub digest: String,
    /// Rules that could not be used when it was imported.
    pub refused: usize,
    /// Rules that stay off.
    pub left_out: usize,
    /// The others, by id, else by title: what they were made of.
    pub rules: BTreeMap<String, Mark>,
}

/// A rule of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// English title.
    pub title: String,
    /// SHA-256 of the file it is in, hex.
    pub digest: String,
}

/// What a backtest of a version found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tested {
    /// When, RFC 3339.
    pub at: String,
    /// By whom.
    pub by: String,
    /// From when on records were looked at, RFC 3339.
    pub since: String,
    /// Until when.
    pub until: String,
    /// The pack's digest then.
    pub digest: String,
    /// Events looked at.
    pub events: u64,
    /// Alerts the whole set would have raised.
    pub alerts: u64,
    /// The same under the rules that were in force.
    pub alerts_before: u64,
}

/// Which version of which pack is live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// By name.
    pub packs: BTreeMap<String, Standing>,
}

/// Where a pack stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The live version, if any.
    pub version: Option<String>,
    /// What was live before, the latest last.
    pub before: Vec<Option<String>>,
}

impl Live {
    /// The live versions.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        let live = self.packs.iter();
        live.filter_map(|(name, standing)| Some((name.as_str(), standing.version.as_deref()?)))
    }

    /// The live version of a pack.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.packs.get(name)?.version.as_deref()
    }

    /// Another version of a pack, or none, is live from now on.
    pub fn turn(&mut self, name: &str, version: Option<&str>) {
        let standing = self.packs.entry(name.to_owned()).or_default();
        let before = std::mem::replace(&mut standing.version, version.map(str::to_owned));
        standing.before.push(before);
        let over = standing.before.len().saturating_sub(MAX_BEFORE);
        standing.before.drain(..over);
    }

    /// What was live before a pack's version is live again; it, or why there is nothing to go back to.
    pub fn back(&mut self, name: &str) -> anyhow::Result<Option<String>> {
        let standing = self.packs.get_mut(name);
        let standing = standing.with_context(|| format!("no version of `{name}` was ever live"))?;
        let before = standing.before.pop();
        standing.version = before.with_context(|| format!("nothing was live before `{name}`"))?;
        Ok(standing.version.clone())
    }
}

/// Where packs are kept.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Below a collector's data folder.
    pub fn of(data: &Path) -> Store {
        Store { dir: data.join("rules") }
    }

    /// Which version of which pack is live.
    pub fn live(&self) -> anyhow::Result<Live> {
        Ok(record(&self.dir.join("live.json"))?.unwrap_or_default())
    }

    /// Says so from now on, durably.
    pub fn set_live(&self, live: &Live) -> anyhow::Result<()> {
        placed::make_dir(&self.dir)?;
        placed::write(&self.dir.join("live.json"), &json(live)?)
    }

    /// Every version of every pack, the newest of each last.
    pub fn packs(&self) -> anyhow::Result<Vec<Pack>> {
        let mut packs = Vec::new();
        for name in names(&self.dir.join("packs"))? {
            packs.extend(self.versions(&name)?);
        }
        Ok(packs)
    }

    /// The versions of a pack, the newest last.
    pub fn versions(&self, name: &str) -> anyhow::Result<Vec<Pack>> {
        check_name("name", name)?;
        let mut packs = Vec::new();
        for version in names(&self.dir.join("packs").join(name))? {
            packs.extend(self.pack(name, &version)?);
        }
        packs.sort_by(|one, other| one.imported.cmp(&other.imported));
        Ok(packs)
    }

    /// A version, if it is there.
    pub fn pack(&self, name: &str, version: &str) -> anyhow::Result<Option<Pack>> {
        record(&self.version(name, version)?.join("pack.json"))
    }

    /// The rules of a version, by path.
    pub fn rules(&self, name: &str, version: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let pack = self.pack(name, version)?.with_context(|| {
            format!(
                "there is no version `{version}` of `{name}`: `rules packs` lists those there are"
            )
        })?;
        let path = self.version(name, version)?.join("rules.zip");
        let bytes = bounded(&path, archive::MAX_ARCHIVE)?
            .with_context(|| format!("{}: is not there", path.display()))?;
        let content = archive::read(&bytes).with_context(|| path.display().to_string())?;
        let found = digest_of(&content.rules);
        ensure!(found == pack.digest, "{}: is not what was imported", path.display());
        Ok(content.rules)
    }

    /// Keeps a version, durably.
    pub fn add(&self, pack: &Pack, rules: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let place = self.version(&pack.name, &pack.version)?;
        let above = placed::parent(&place).to_owned();
        let packs = placed::parent(&above).to_owned();
        placed::make_dir(&self.dir)?;
        placed::make_dir(&packs)?;
        let known = names(&packs)?;
        ensure!(
            known.contains(&pack.name) || known.len() < MAX_PACKS,
            "{MAX_PACKS} packs are kept already: `rules remove` one"
        );
        placed::make_dir(&above)?;
        self.sweep(&above);
        ensure!(
            names(&above)?.len() < MAX_VERSIONS,
            "{MAX_VERSIONS} versions of `{}` are kept already: `rules remove` one",
            pack.name
        );
        let mut random = [0u8; 8];
        rand::fill(&mut random).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let beside = above.join(format!(".{}.{}{UNFINISHED}", pack.version, hex(&random)));
        let written = (|| {
            placed::make_dir(&beside)?;
            let texts = rules.iter().map(|(path, text)| (path.as_str(), text.as_bytes()));
            placed::write(&beside.join("rules.zip"), &archive::write(texts)?)?;
            placed::write(&beside.join("pack.json"), &json(pack)?)?;
            fs::rename(&beside, &place).with_context(|| place.display().to_string())?;
            placed::sync_dir(&above)
        })();
        if written.is_err() {
            // What is left would only be litter; the error that matters is told.
            let _ = fs::remove_dir_all(&beside);
        }
        written
    }

    /// Removes a version.
    pub fn remove(&self, name: &str, version: &str) -> anyhow::Result<()> {
        let place = self.version(name, version)?;
        let above = placed::parent(&place);
        let aside = above.join(format!(".{version}{UNFINISHED}"));
        self.sweep(above);
        fs::rename(&place, &aside).with_context(|| {
            format!(
                "there is no version `{version}` of `{name}`: `rules packs` lists those there are"
            )
        })?;
        placed::sync_dir(above)?;
        fs::remove_dir_all(&aside).with_context(|| aside.display().to_string())
    }

    /// What a backtest of a version found, if one ran to its end over exactly these rules.
    pub fn tested(&self, pack: &Pack) -> anyhow::Result<Option<Tested>> {
        let path = self.version(&pack.name, &pack.version)?.join("backtest.json");
        let tested: Option<Tested> = record(&path)?;
        Ok(tested.filter(|tested| tested.digest == pack.digest))
    }

    /// Keeps it.
    pub fn set_tested(&self, pack: &Pack, tested: &Tested) -> anyhow::Result<()> {
        let place = self.version(&pack.name, &pack.version)?;
        placed::write(&place.join("backtest.json"), &json(tested)?)
    }

    fn version(&self, name: &str, version: &str) -> anyhow::Result<PathBuf> {
        check_name("name", name)?;
        check_name("version", version)?;
        Ok(self.dir.join("packs").join(name).join(version))
    }

    /// Removes what a crash left.
    fn sweep(&self, above: &Path) {
        for entry in fs::read_dir(above).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && name.ends_with(UNFINISHED) {
                // The next import tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// SHA-256 over rules and their paths, hex.
pub fn digest_of(rules: &BTreeMap<String, String>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in rules.iter().flat_map(|(path, text)| [path, text]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref())
}

fn json(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

/// The names of folders in a folder that may be packs or versions; none when it is not there.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| dir.display().to_string())?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| dir.display().to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if check_name("name", &name).is_ok() && entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn record<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let Some(bytes) = bounded(path, MAX_RECORD)? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).with_context(|| format!("{}: not understood", path.display()))
}

fn bounded(path: &Path, most: u64) -> anyhow::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| path.display().to_string())?,
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    if bytes.len() as u64 > most {
        bail!("{}: longer than {most} bytes", path.display());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> BTreeMap<String, String> {
        [("rules/a.yml".to_owned(), text.to_owned())].into()
    }

    fn pack(version: &str, rules: &BTreeMap<String, String>) -> Pack {
        Pack {
            name: "sigmahq".to_owned(),
            version: version.to_owned(),
            imported: format!("2026-11-22T00:00:00Z {version}"),
            by: "test".to_owned(),
            source: "test".to_owned(),
            digest: digest_of(rules),
            refused: 0,
            left_out: 0,
            rules: BTreeMap::new(),
        }
    }

    #[test]
    fn a_version_is_kept_whole_and_read_back_only_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::of(dir.path());
        assert!(store.packs().expect("lists").is_empty());
        let (one, two) = (rules("1"), rules("2"));
        store.add(&pack("1", &one), &one).expect("adds");
        store.add(&pack("2", &two), &two).expect("adds");
        assert!(store.add(&pack("2", &two), &two).is_err(), "it is there");
        // What a crash left is no version, and goes.
        let left = dir.path().join("rules/packs/sigmahq/.3.0011.part");
        fs::create_dir(&left).expect("a directory");
        let versions = |store: &Store| -> Vec<String> {
            store.packs().expect("lists").into_iter().map(|pack| pack.version).collect()
        };
        assert_eq!(versions(&store), ["1", "2"]);
        assert_eq!(store.rules("sigmahq", "1").expect("reads"), one);
        store.remove("sigmahq", "1").expect("removes");
        assert!(!left.exists());
        assert_eq!(versions(&store), ["2"]);
        assert!(store.rules("sigmahq", "1").is_err());
        assert!(store.remove("sigmahq", "../..").is_err());
        // Other rules under its name are not it.
        let place = dir.path().join("rules/packs/sigmahq/2/rules.zip");
        let other = archive::write([("rules/a.yml", b"3".as_slice())].into_iter()).expect("packs");
        fs::write(&place, other).expect("writes");
        let error = store.rules("sigmahq", "2").expect_err("refused").to_string();
        assert!(error.contains("not what was imported"), "{error}");
    }

    #[test]
    fn a_backtest_counts_for_the_rules_it_ran_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::of(dir.path());
        let rules = rules("1");
        let mut pack = pack("1", &rules);
        store.add(&pack, &rules).expect("adds");
        assert!(store.tested(&pack).expect("reads").is_none());
        let tested = Tested {
            at: String::new(),
            by: String::new(),
            since: String::new(),
            until: String::new(),
            digest: pack.digest.clone(),
            events: 1,
            alerts: 0,
            alerts_before: 0,
        };
        store.set_tested(&pack, &tested).expect("writes");
        assert!(store.tested(&pack).expect("reads").is_some());
        pack.digest = "other".to_owned();
        assert!(store.tested(&pack).expect("reads").is_none());
    }

    #[test]
    fn what_was_live_before_comes_back_step_by_step() {
        let mut live = Live::default();
        assert!(live.back("p").is_err());
        live.turn("p", Some("1"));
        live.turn("p", Some("2"));
        live.turn("q", Some("7"));
        assert_eq!(live.versions().collect::<Vec<_>>(), [("p", "2"), ("q", "7")]);
        assert_eq!(live.back("p").expect("goes back"), Some("1".to_owned()));
        assert_eq!(live.back("p").expect("goes back"), None);
        assert!(live.back("p").is_err());
        assert_eq!(live.versions().collect::<Vec<_>>(), [("q", "7")]);
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::of(dir.path());
        assert_eq!(store.live().expect("reads"), Live::default());
        store.set_live(&live).expect("writes");
        assert_eq!(store.live().expect("reads"), live);
    }
}

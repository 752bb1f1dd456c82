//! History's files as they were at one moment, each open: a collector may seal, merge and remove
//! meanwhile, and what is open stays readable when it is unlinked.
//!
//! In: the folder. Out: the manifest and everything it lists, the log files after it, and segments it
//! does not list without there being a reason. Nothing is written, and no lock is taken.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::history::chain::Class;
use crate::history::disk::failed;
use crate::history::manifest::{self, Signed};
use crate::history::open::{self, CHECKPOINTS, LOG, SEGMENTS};
use crate::history::stored::{Checkpoint, Manifest, Segment};
use crate::history::{Error, log};

/// How often it starts over because a seal, a merge or a removal came between.
const ATTEMPTS: usize = 50;
/// Files a process needs beside those of history.
const OTHER_FILES: u64 = 64;

/// All files of one moment. A file is None when it is not there.
pub(super) struct Snapshot {
    /// The manifest, or what is wrong with it.
    pub(super) signed: Result<Option<Signed>, String>,
    /// The manifest's list; where there is none, what the segments say of themselves.
    pub(super) manifest: Manifest,
    pub(super) segments: Vec<(Segment, Option<File>)>,
    pub(super) checkpoints: Vec<(Checkpoint, Option<File>)>,
    /// After the manifest, oldest first.
    pub(super) logs: Vec<(PathBuf, File)>,
    /// Segments that should be listed.
    pub(super) unlisted: Vec<Named>,
}

/// What the name of a segment says.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    pub(super) file: String,
    pub(super) class: Class,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Snapshot {
    pub(super) fn take(dir: &Path) -> Result<Snapshot, Error> {
        match fs::metadata(dir.join(LOG)) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&dir.join(LOG), &error));
            }
            _ => {
                return Err(Error::Unusable(format!(
                    "{}: no history here; name the folder that holds `log` and `segments`",
                    dir.display()
                )));
            }
        }
        // That it may not be read is no damage.
        opened(&dir.join(manifest::NAME))?;
        for _ in 0..ATTEMPTS {
            let signed = manifest::load(dir);
            let snapshot = Snapshot::of(dir, signed)?;
            // The manifest is replaced before anything that it no longer needs is unlinked.
            if let Some(snapshot) = snapshot
                && manifest::load(dir) == snapshot.signed
            {
                return Ok(snapshot);
            }
        }
        Err(Error::Unusable("history changes faster than it can be looked at; try again".into()))
    }

    /// None when a log file went meanwhile.
    fn of(dir: &Path, signed: Result<Option<Signed>, String>) -> Result<Option<Snapshot>, Error> {
        let manifest = match &signed {
            Ok(Some(signed)) => signed.manifest.clone(),
            _ => open::recover(dir)?,
        };
        room_for(manifest.segments.len() as u64)?;
        let (segments_dir, checkpoints_dir) = (dir.join(SEGMENTS), dir.join(CHECKPOINTS));
        let names = names(&segments_dir)?;
        let mut logs = Vec::new();
        let mut first_log = u64::MAX;
        for (base, path) in log::list(&dir.join(LOG))? {
            if base <= manifest.sealed_to {
                continue;
            }
            first_log = first_log.min(base);
            let Some(file) = opened(&path)? else { return Ok(None) };
            logs.push((path, file));
        }
        let with = |dir: &Path, name: &str| opened(&dir.join(plain(name)));
        let segments = manifest.segments.iter();
        let segments = segments.map(|s| Ok((s.clone(), with(&segments_dir, &s.file)?)));
        let segments = segments.collect::<Result<Vec<_>, Error>>()?;
        let checkpoints = manifest.checkpoints.iter();
        let checkpoints = checkpoints.map(|c| Ok((c.clone(), with(&checkpoints_dir, &c.file)?)));
        let checkpoints = checkpoints.collect::<Result<Vec<_>, Error>>()?;
        let unlisted = if matches!(signed, Ok(Some(_))) {
            names.into_iter().filter(|named| !explained(named, &manifest, first_log)).collect()
        } else {
            Vec::new()
        };
        Ok(Some(Snapshot { signed, manifest, segments, checkpoints, logs, unlisted }))
    }
}

/// Opens a file that may not be there. That it may not be read is the operator's to mend.
fn opened(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// A name from the manifest leads to a file of the folder it belongs in, and nowhere else.
fn plain(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or("no-name")
}

fn names(dir: &Path) -> Result<Vec<Named>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let name = entry.map_err(|error| failed(dir, &error))?.file_name();
        names.extend(name.to_str().and_then(Named::read));
    }
    names.sort_by_key(|named| (named.first, named.class));
    Ok(names)
}

impl Named {
    fn read(file: &str) -> Option<Named> {
        let mut parts = file.strip_suffix(".seg")?.split('-');
        let class = parts.next()?;
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class)?;
        let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Named { file: file.to_owned(), class, first, last })
    }
}

/// Whether a segment is listed, or there is a reason that it is not: a seal or a merge that is not at
/// its end, or one after which it was not unlinked yet.
fn explained(named: &Named, manifest: &Manifest, first_log: u64) -> bool {
    let removed = manifest.removed.iter();
    let mut removed = removed.filter(|removed| removed.class == named.class.number());
    let overlapping: Vec<_> = manifest
        .segments
        .iter()
        .filter(|segment| segment.class == named.class.number())
        .filter(|segment| segment.first_commit <= named.last && named.first <= segment.last_commit)
        .collect();
    let covered = overlapping.iter().any(|segment| segment.first_commit <= named.first)
        && overlapping.iter().any(|segment| named.last <= segment.last_commit);
    named.first >= first_log || covered || removed.any(|removed| named.last <= removed.to_commit)
}

/// All segments are open at once: asks for as many files as the system lets us have.
fn room_for(files: u64) -> Result<(), Error> {
    let wanted = files.saturating_add(OTHER_FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < wanted) {
        return Err(Error::Unusable(format!(
            "history has {files} segments, more than files may be open: raise it with `ulimit -Hn`"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|error| Error::Unusable(format!("the limit of open files: {error}")))
}

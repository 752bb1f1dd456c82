//! Verifying: an auditor's walk over history's files that trusts nothing but a public key and what
//! agents kept.
//!
//! In: the folder, the history key's public half, heads that agents hold. Out: a [`Report`]. It only
//! reads files, so it works beside a running collector: it takes the manifest and opens the log
//! files, and starts over when a seal came between.
//!
//! Every link is computed again from the records themselves, in segments and in the log, and must
//! follow from the one before; every digest, CRC and signature is checked; every head that was ever
//! signed, or handed to an agent, must be found in the chain. Of each file the first difference is
//! told: what comes after it in that file proves nothing more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Heads};
use prost::Message;

use super::Error;
use super::chain::{self, Class, Link, Tips, Unpacked};
use super::disk::failed;
use super::log::{self, Raw};
use super::manifest::{self, Signed};
use super::open::{self, CHECKPOINTS, LOG, SEGMENTS};
use super::segment::{self, Reader};
use super::stored::{Chunk, Commit, Item, Manifest, Segment};

mod report;

use report::finding;
pub use report::{Finding, Problem, Report, VerifyOptions};

/// How often the walk starts over because a seal came between.
const ATTEMPTS: usize = 20;

/// Walks the history below `dir`.
pub fn verify(dir: &Path, options: VerifyOptions) -> Result<Report, Error> {
    let Snapshot { signed, logs, checkpoints } = consistent(dir)?;
    let mut walk = Walk::new(dir, options);
    let manifest = match signed {
        Ok(Some(signed)) => {
            walk.manifest(&signed, checkpoints);
            signed.manifest
        }
        missing => walk.no_manifest(missing.err())?,
    };
    walk.report.commits = manifest.sealed_to;
    walk.begin(&manifest);
    for class in Class::ALL {
        let own = manifest.segments.iter().filter(|segment| segment.class == class.number());
        own.for_each(|segment| walk.segment(class, segment));
    }
    if Tips::from_stored(&manifest.tips) != walk.tips {
        walk.find(Finding {
            commit: Some(manifest.sealed_to),
            detail: "the chain does not end where the manifest says".to_owned(),
            ..finding(Problem::Changed, manifest::NAME)
        });
    }
    let count = logs.len();
    for (at, (path, file)) in logs.into_iter().enumerate() {
        walk.log(&path, file, at + 1 == count)?;
    }
    walk.end();
    Ok(walk.report)
}

/// History's files that may be gone in a moment, open, as they were at one moment.
struct Snapshot {
    /// Or what is wrong with it.
    signed: Result<Option<Signed>, String>,
    /// After the manifest, oldest first.
    logs: Vec<(PathBuf, File)>,
    /// As the manifest lists them.
    checkpoints: Vec<Option<File>>,
}

fn consistent(dir: &Path) -> Result<Snapshot, Error> {
    if !dir.join(LOG).is_dir() {
        return Err(Error::Unusable(format!(
            "{}: no history here; name the folder that holds `log` and `segments`",
            dir.display()
        )));
    }
    for _ in 0..ATTEMPTS {
        let sealed_to = |signed: &Result<Option<Signed>, String>| {
            signed.as_ref().ok().and_then(Option::as_ref).map_or(0, |s| s.manifest.sealed_to)
        };
        let signed = manifest::load(dir);
        let after = sealed_to(&signed);
        let files = log::list(&dir.join(LOG))?.into_iter().filter(|(base, _)| *base > after);
        let opened: Option<Vec<_>> =
            files.map(|(_, path)| File::open(&path).ok().map(|file| (path, file))).collect();
        let listed = signed.as_ref().ok().and_then(Option::as_ref);
        let listed = listed.map(|signed| &signed.manifest.checkpoints[..]).unwrap_or_default();
        let checkpoints = listed
            .iter()
            .map(|checkpoint| File::open(dir.join(CHECKPOINTS).join(&checkpoint.file)).ok())
            .collect();
        let still = sealed_to(&manifest::load(dir)) == after;
        if let (true, Some(logs)) = (still, opened) {
            return Ok(Snapshot { signed, logs, checkpoints });
        }
    }
    Err(Error::Unusable("history is sealed faster than it can be looked at; try again".to_owned()))
}

/// A head that must be met: its link, and who says so.
struct Witness {
    link: Bytes,
    from: String,
    time: i64,
}

struct Walk<'a> {
    dir: &'a Path,
    options: VerifyOptions,
    report: Report,
    /// Where the chain stands by our own reckoning.
    tips: Tips,
    /// Heads not met yet.
    witnesses: BTreeMap<(Class, u64), Vec<Witness>>,
    key: Vec<u8>,
    /// Commits below were passed over.
    skipped: [u64; 5],
    /// Of the last commit that was walked.
    time: Option<i64>,
    /// A log file ended in damage, which explains commits missing at the start of the next.
    hole: bool,
}

impl<'a> Walk<'a> {
    fn new(dir: &'a Path, options: VerifyOptions) -> Walk<'a> {
        let key = options.public_key.clone().unwrap_or_default();
        let report = Report { trusted_key: options.public_key.is_some(), ..Report::default() };
        let mut walk = Walk {
            dir,
            options,
            report,
            tips: Tips::default(),
            witnesses: BTreeMap::new(),
            key,
            skipped: [0; 5],
            time: None,
            hole: false,
        };
        for heads in std::mem::take(&mut walk.options.heads) {
            walk.witness(&heads, "heads", false);
        }
        walk
    }

    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Takes heads as witnesses. Unsigned ones are as good as who keeps them.
    fn witness(&mut self, heads: &Heads, from: &str, must_be_signed: bool) {
        if (must_be_signed || !heads.signature.is_empty()) && !self.key.is_empty() {
            self.report.signatures += 1;
            if !chain::verify_heads(heads, &self.key) {
                self.find(Finding {
                    time: Some(heads.time),
                    commit: heads.heads.iter().map(|head| head.commit).max(),
                    detail: "heads are not signed by the history key".to_owned(),
                    ..finding(Problem::Signature, from)
                });
                if must_be_signed {
                    return;
                }
            }
        }
        for head in &heads.heads {
            if let Some(class) = Class::ALL.into_iter().find(|c| c.as_str() == head.class) {
                let witness =
                    Witness { link: head.link.clone(), from: from.to_owned(), time: heads.time };
                self.witnesses.entry((class, head.commit)).or_default().push(witness);
            }
        }
    }

    fn manifest(&mut self, signed: &Signed, checkpoints: Vec<Option<File>>) {
        let manifest = &signed.manifest;
        if self.key.is_empty() {
            self.key = manifest.key.to_vec();
        }
        if !self.key.is_empty() {
            self.report.signatures += 1;
            if !chain::verify_manifest(&signed.body, &signed.signature, &self.key) {
                self.find(Finding {
                    commit: Some(manifest.sealed_to),
                    time: Some(manifest.sealed_at),
                    detail: "the manifest is not signed by the history key".to_owned(),
                    ..finding(Problem::Signature, manifest::NAME)
                });
            }
        }
        if let Some(heads) = &manifest.signed {
            self.witness(heads, manifest::NAME, true);
        }
        for (checkpoint, file) in manifest.checkpoints.iter().zip(checkpoints) {
            let mut bytes = Vec::new();
            let problem = match file.map(|mut file| file.read_to_end(&mut bytes)) {
                Some(Ok(_)) if digest_of(&bytes) == checkpoint.digest => continue,
                Some(_) => Problem::Changed,
                None => Problem::Removed,
            };
            let file = format!("{CHECKPOINTS}/{}", checkpoint.file);
            self.find(Finding {
                commit: Some(checkpoint.commit),
                detail: "a checkpoint is not the one that was written".to_owned(),
                ..finding(problem, file)
            });
        }
    }

    /// Without a manifest the segments are walked as they name themselves.
    fn no_manifest(&mut self, text: Option<String>) -> Result<Manifest, Error> {
        let manifest = open::recover(self.dir)?;
        let problem = if text.is_some() { Problem::Changed } else { Problem::Removed };
        if text.is_some() || !manifest.segments.is_empty() {
            self.find(Finding {
                commit: Some(manifest.sealed_to),
                offset: Some(0),
                detail: text.unwrap_or("the manifest is not there".to_owned()),
                ..finding(problem, manifest::NAME)
            });
        }
        Ok(manifest)
    }

    /// Begins each class behind what retention removed of it.
    fn begin(&mut self, manifest: &Manifest) {
        let tips = Tips::from_stored(&manifest.tips);
        for removed in &manifest.removed {
            if let (Some(class), Ok(link)) =
                (Class::from_number(removed.class), Link::try_from(&removed.link[..]))
            {
                // Where nothing is left, the last link may be of a commit before the last one.
                let at =
                    if *tips.link(class) == link { tips.commit(class) } else { removed.to_commit };
                self.tips.set(class, at, link);
                self.skipped[class.index()] = removed.to_commit;
            }
        }
    }

    fn segment(&mut self, class: Class, stored: &Segment) {
        if self.options.since.is_some_and(|since| stored.until < since) {
            self.skipped[class.index()] = stored.last_commit;
            if let Ok(link) = Link::try_from(&stored.link[..]) {
                self.tips.set(class, stored.link_commit, link);
            }
            return;
        }
        self.report.segments += 1;
        let file = format!("{SEGMENTS}/{}", stored.file);
        let place = Finding {
            class: Some(class),
            commit: Some(stored.first_commit),
            time: Some(stored.since),
            ..finding(Problem::Removed, &file)
        };
        let path = self.dir.join(&file);
        let (Ok(bytes), Ok(reader)) = (fs::read(&path), Reader::open(&path)) else {
            self.find(Finding { detail: "the segment is not there".to_owned(), ..place });
            self.resume(class, stored);
            return;
        };
        let whole = digest_of(&bytes) == stored.digest;
        let found = if whole {
            self.items(class, &reader, &place)
        } else {
            Some(self.different(class, stored, &reader, bytes.len() as u64, &place))
        };
        let found = found.or_else(|| {
            (self.tips.link(class) != &stored.link[..] && !stored.link.is_empty()).then(|| {
                Finding {
                    problem: Problem::Changed,
                    commit: Some(stored.link_commit),
                    detail: "the segment does not end in the link the manifest has".to_owned(),
                    ..place
                }
            })
        });
        if let Some(found) = found {
            self.find(found);
            self.resume(class, stored);
        }
    }

    /// Goes on behind a segment as the manifest says it ends, so that one difference is told once.
    fn resume(&mut self, class: Class, stored: &Segment) {
        if let Ok(link) = Link::try_from(&stored.link[..]) {
            self.tips.set(class, stored.link_commit, link);
        }
        // Witnesses within it that were not met are told by the finding already.
        let range = (class, stored.first_commit)..=(class, stored.last_commit);
        let told: Vec<_> = self.witnesses.range(range).map(|(key, _)| *key).collect();
        told.iter().for_each(|key| drop(self.witnesses.remove(key)));
    }

    /// Names what is different about a segment whose digest is not the manifest's.
    fn different(
        &mut self,
        class: Class,
        stored: &Segment,
        reader: &Reader,
        len: u64,
        place: &Finding,
    ) -> Finding {
        if let Some(catalog) = &reader.catalog
            && (catalog.class, catalog.first_commit, catalog.last_commit)
                != (stored.class, stored.first_commit, stored.last_commit)
        {
            return Finding {
                problem: Problem::Swapped,
                offset: Some(0),
                detail: format!(
                    "the file holds commits {} to {} of class {}",
                    catalog.first_commit,
                    catalog.last_commit,
                    Class::from_number(catalog.class).map_or("unknown", Class::as_str),
                ),
                ..place.clone()
            };
        }
        if let Some(found) = self.items(class, reader, place) {
            return found;
        }
        let last = reader.chunks.last();
        if reader.catalog.is_none() && len < stored.bytes {
            return Finding {
                problem: Problem::Cut,
                commit: Some(last.map_or(stored.first_commit, |chunk| chunk.last_commit + 1)),
                offset: Some(len),
                time: self.time.or(Some(stored.since)),
                detail: format!("the file has {len} bytes of {}", stored.bytes),
                ..place.clone()
            };
        }
        if reader.catalog.is_some() && reader.class == Some(stored.class) {
            return Finding {
                problem: Problem::Recreated,
                offset: Some(0),
                detail: "the file is whole, but not the one that was sealed".to_owned(),
                ..place.clone()
            };
        }
        let offset = if reader.class == Some(stored.class) {
            reader.stray.first().map_or(len, |(from, _)| *from)
        } else {
            0
        };
        Finding {
            problem: Problem::Changed,
            offset: Some(offset),
            detail: "the segment's header or catalog was changed".to_owned(),
            ..place.clone()
        }
    }

    /// Walks the items of a segment and returns the first difference.
    fn items(&mut self, class: Class, reader: &Reader, place: &Finding) -> Option<Finding> {
        for chunk in &reader.chunks {
            let (items, damage) = reader
                .read_damaged(chunk)
                .unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
            for item in items {
                if let Some(detail) = self.item(class, &item) {
                    // What changed may be the number itself: it is one of this chunk all the same.
                    let (one, other) = (chunk.first_commit, chunk.last_commit);
                    let commit = item.commit.clamp(one.min(other), one.max(other));
                    return Some(changed(place, chunk, commit, Some(item.time), detail));
                }
            }
            if let Some(detail) = damage.into_iter().next() {
                return Some(changed(place, chunk, chunk.first_commit, Some(chunk.since), detail));
            }
            let tip = self.tips.link(class);
            if !chunk.link.is_empty() && tip != &chunk.link[..] {
                let detail = "its records do not give its link".to_owned();
                return Some(changed(place, chunk, chunk.link_commit, self.time, detail));
            }
        }
        let (from, _) = reader.stray.first().filter(|_| reader.catalog.is_none())?;
        let before = |chunk: &&Chunk| chunk.offset < *from;
        let last = reader.chunks.iter().rev().find(before);
        let behind = reader.chunks.iter().any(|chunk| chunk.offset > *from);
        behind.then(|| Finding {
            problem: Problem::Changed,
            commit: last.map(|chunk| chunk.last_commit + 1).or(place.commit),
            offset: Some(*from),
            detail: "bytes that are no chunk".to_owned(),
            ..place.clone()
        })
    }

    /// Computes the link of one item again; says what does not fit.
    fn item(&mut self, class: Class, item: &Item) -> Option<String> {
        let decisions = (item.entries.len() + item.puts.len()) as u64;
        self.report.decisions += decisions;
        self.report.records += segment::entries(item) - decisions;
        self.time = Some(item.time);
        let link = segment::link_of(class, self.tips.link(class), item);
        match (link, item.check) {
            (None, None) => None,
            (Some(link), Some(check)) if link[..4] == check => {
                self.report.links += 1;
                self.advance(class, item.commit, link);
                None
            }
            (Some(_), Some(_)) => Some("its records do not give its link".to_owned()),
            (Some(_), None) => Some("records without a link".to_owned()),
            (None, Some(_)) => Some("a link without records".to_owned()),
        }
    }

    /// Moves a tip on, past whoever has seen it there.
    fn advance(&mut self, class: Class, commit: u64, link: Link) {
        self.tips.set(class, commit, link);
        let witnesses = self.witnesses.remove(&(class, commit)).unwrap_or_default();
        let against = witnesses.into_iter().find(|witness| witness.link != link[..]);
        if let Some(against) = against {
            self.find(Finding {
                class: Some(class),
                commit: Some(commit),
                time: Some(against.time),
                detail: "the link here is not the one that was signed or handed out".to_owned(),
                ..finding(Problem::Head, against.from)
            });
        }
    }

    fn log(&mut self, path: &Path, mut file: File, last: bool) -> Result<(), Error> {
        self.report.log_files += 1;
        let name = format!("{LOG}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| failed(path, &error))?;
        let bytes = Bytes::from(bytes);
        let Some(scan) = log::scan(&bytes) else {
            if !(last && bytes.len() < log::FILE_HEADER) {
                self.find(Finding {
                    offset: Some(0),
                    commit: Some(self.report.commits + 1),
                    detail: "the log file's header does not read".to_owned(),
                    ..finding(Problem::Changed, name)
                });
            }
            return Ok(());
        };
        if !log::header_copies_agree(&bytes) {
            self.find(Finding {
                offset: Some(0),
                commit: Some(scan.base),
                time: self.time,
                detail: "one copy of the log file's header was changed".to_owned(),
                ..finding(Problem::Changed, &name)
            });
        }
        let before = self.report.findings.len();
        for damage in &scan.damage {
            let commit = log::claimed_number(&bytes, damage.offset);
            self.damaged(&name, &scan.frames, damage.offset, commit);
        }
        let mut quiet = self.report.findings.len() > before || std::mem::take(&mut self.hole);
        for raw in &scan.frames {
            quiet |= self.frame(&name, raw, quiet);
        }
        let tail = &bytes[scan.end..];
        if !tail.is_empty() {
            self.tail(&name, &scan.frames, scan.end, tail, last);
        }
        Ok(())
    }

    fn damaged(&mut self, name: &str, frames: &[Raw], offset: usize, commit: Option<u64>) {
        let before = frames.iter().rev().find(|raw| raw.offset < offset);
        let time = before.and_then(|raw| Some(Commit::decode(raw.payload.clone()).ok()?.time));
        self.find(Finding {
            commit: commit.or(before.map(|raw| raw.number + 1)),
            offset: Some(offset as u64),
            time: time.filter(|time| *time != 0).or(self.time),
            detail: "a frame's checksum does not fit".to_owned(),
            ..finding(Problem::Changed, name)
        });
    }

    /// What is behind the last valid frame: a write that was cut short, unless the frame is all
    /// there and wrong, or later files exist.
    fn tail(&mut self, name: &str, frames: &[Raw], offset: usize, tail: &[u8], last: bool) {
        if !last || log::claims_whole(tail) {
            self.damaged(name, frames, offset, log::claimed_number(tail, 0));
            self.hole = true;
        } else {
            self.report.torn_tail_bytes = tail.len() as u64;
        }
    }

    /// Checks one frame; true when a difference was told, after which its file only moves the tips.
    fn frame(&mut self, name: &str, raw: &Raw, quiet: bool) -> bool {
        if raw.kind == log::HEADS {
            if let Ok(heads) = Heads::decode(raw.payload.clone()) {
                self.signed_frame(name, raw, &heads);
            }
            return false;
        }
        let place = Finding {
            commit: Some(raw.number),
            offset: Some(raw.offset as u64),
            ..finding(Problem::Changed, name)
        };
        let Ok(commit) = Commit::decode(raw.payload.clone()) else {
            self.find(Finding { detail: "a commit that does not read".to_owned(), ..place });
            return true;
        };
        let place = Finding { time: Some(commit.time), ..place };
        let expected = self.report.commits + 1;
        self.report.commits = raw.number;
        self.time = Some(commit.time);
        let missing = raw.number != expected;
        if missing && !quiet {
            let detail = format!(
                "commits {expected} to {} are missing before it",
                raw.number.saturating_sub(1)
            );
            self.find(Finding {
                problem: Problem::Removed,
                commit: Some(expected),
                detail,
                ..place.clone()
            });
        }
        let wrong = self.commit(raw.number, &commit);
        let told = wrong.is_some();
        if let Some((class, detail)) = wrong
            && !(quiet || missing)
        {
            self.find(Finding { class, detail, ..place });
        }
        told || missing
    }

    fn signed_frame(&mut self, name: &str, raw: &Raw, heads: &Heads) {
        if self.key.is_empty() {
            return;
        }
        self.report.signatures += 1;
        let good = chain::verify_heads(heads, &self.key);
        let fits = heads.heads == self.tips.heads(0).heads;
        if !good || (!fits && self.report.findings.is_empty()) {
            let problem = if good { Problem::Head } else { Problem::Signature };
            self.find(Finding {
                commit: Some(raw.number),
                offset: Some(raw.offset as u64),
                time: Some(heads.time),
                detail: "signed heads in the log do not fit the key or the chain".to_owned(),
                ..finding(problem, name)
            });
        }
    }

    /// Computes the links of a commit of the log again; says which class does not fit, and how.
    fn commit(&mut self, number: u64, commit: &Commit) -> Option<(Option<Class>, String)> {
        let blocks: Result<Vec<Block>, String> =
            commit.batches.iter().map(segment::unpack).collect();
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(text) => {
                self.tips.advance(number, &commit.steps);
                return Some((None, format!("a batch does not unpack: {text}")));
            }
        };
        self.report.records += blocks.iter().map(|block| block.records.len() as u64).sum::<u64>();
        self.report.decisions += (commit.entries.len() + commit.puts.len()) as u64;
        let batches = commit.batches.iter().zip(&blocks).filter_map(|(batch, block)| {
            Some(Unpacked { sender: batch.sender.as_ref()?, block, raised: &batch.raised })
        });
        let steps = chain::steps(&self.tips, number, batches, &commit.entries, &commit.puts);
        self.report.links += steps.len() as u64;
        if steps == commit.steps {
            for step in &steps {
                if let (Some(class), Ok(link)) =
                    (Class::from_number(step.class), Link::try_from(&step.link[..]))
                {
                    self.advance(class, number, link);
                }
            }
            return None;
        }
        let differs = steps.iter().find(|step| !commit.steps.contains(step));
        let class = differs.or(commit.steps.first()).and_then(|s| Class::from_number(s.class));
        self.tips.advance(number, &commit.steps);
        Some((class, "its records do not give its links, or these do not follow".to_owned()))
    }

    /// Heads that were not met: commits that were there once.
    fn end(&mut self) {
        for ((class, commit), witnesses) in std::mem::take(&mut self.witnesses) {
            if commit <= self.skipped[class.index()] {
                continue;
            }
            let Some(witness) = witnesses.into_iter().next() else { continue };
            let problem = if commit > self.report.commits { Problem::Cut } else { Problem::Head };
            let detail = if problem == Problem::Cut {
                format!(
                    "history ends at commit {}, before one that was signed or handed out",
                    self.report.commits
                )
            } else {
                "a commit that was signed or handed out is not in the chain".to_owned()
            };
            self.find(Finding {
                class: Some(class),
                commit: Some(commit),
                time: Some(witness.time),
                detail,
                ..finding(problem, witness.from)
            });
        }
    }
}

fn changed(
    place: &Finding,
    chunk: &Chunk,
    commit: u64,
    time: Option<i64>,
    detail: String,
) -> Finding {
    Finding {
        problem: Problem::Changed,
        commit: Some(commit),
        offset: Some(chunk.offset),
        time,
        detail,
        ..place.clone()
    }
}

fn digest_of(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref())
}

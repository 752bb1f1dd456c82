//! Verifying: an auditor's walk over history's files that trusts nothing but a public key and what
//! agents kept.
//!
//! In: the folder, the history key's public half, heads that agents hold. Out: a [`Report`]. It only
//! reads, and only files; it works beside a running collector, and as another user than the
//! collector's, given that it may read. What it needs to have open it opens at one moment (`snapshot`).
//!
//! Every link is computed again from the records themselves, in segments (`segments`) and in the log
//! (`logs`), and must follow from the one before; every digest, CRC and signature is checked; every
//! head that was ever signed, or handed to an agent, must be found in the chain (`witness`). A class
//! may begin late only where a decision of retention says so (`starts`). What is derived from the
//! commits, the checkpoints (`replay`) and the index (`index`), must be what they give. Of each file
//! the first difference is told: what comes after it in that file proves nothing more.
//!
//! What it can't see: commits at the end that were cut off together with every head that was signed
//! after them, when no agent kept one either; and correlation state.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hengwei_protocol::wire::Heads;

use super::Error;
use super::chain::{self, Class, Link, Tips};
use super::checkpoint::Loaded;
use super::manifest::{self, Signed};
use super::open::{CHECKPOINTS, LOG, SEGMENTS};
use super::stored::{self, Manifest, Segment};

mod index;
mod logs;
mod replay;
mod report;
mod segments;
mod snapshot;
mod starts;
mod witness;

use replay::{Compared, Replay};
use report::finding;
pub use report::{Finding, HeadCounts, IndexState, Kept, KeyFrom, Problem, Report, VerifyOptions};
use segments::{Lane, Part};
use snapshot::{Named, Snapshot};
use starts::Starts;
use witness::Witnesses;

/// Where findings of the index are.
const INDEX: &str = "index";

/// Walks the history below `dir`.
pub fn verify(dir: &Path, options: VerifyOptions) -> Result<Report, Error> {
    verify_watched(dir, options, &mut |_, _| {})
}

/// The same, telling now and then how many bytes of how many it has been through.
pub fn verify_watched(
    dir: &Path,
    options: VerifyOptions,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Report, Error> {
    let snapshot = Snapshot::take(dir)?;
    let mut walk = Walk::new(&options, &snapshot, watch)?;
    walk.manifest(&snapshot);
    let Snapshot { manifest, segments, checkpoints, logs, unlisted, .. } = snapshot;
    walk.unlisted(&manifest, unlisted);
    walk.checkpoints(checkpoints);
    walk.segments(segments);
    walk.tips(&manifest);
    let count = logs.len();
    for (at, (path, file)) in logs.into_iter().enumerate() {
        walk.log(&path, file, at + 1 == count)?;
    }
    walk.reach(u64::MAX);
    walk.index(dir);
    Ok(walk.end())
}

struct Walk<'a> {
    report: Report,
    since: Option<i64>,
    /// Where the chain stands by our own reckoning.
    tips: Tips,
    witnesses: Witnesses,
    starts: Starts,
    replay: Replay,
    key: Vec<u8>,
    /// A log file ended in damage, which explains commits missing at the start of the next.
    hole: bool,
    watch: &'a mut dyn FnMut(u64, u64),
    done_bytes: u64,
    total_bytes: u64,
}

impl<'a> Walk<'a> {
    fn new(
        options: &VerifyOptions,
        snapshot: &Snapshot,
        watch: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Walk<'a>, Error> {
        let Snapshot { signed, manifest, segments, logs, .. } = snapshot;
        let starts = Starts::new(&manifest.removed, matches!(signed, Ok(Some(_))));
        let gone = |class: Class| gone_to(class, manifest);
        let records = Class::ALL.into_iter().map(gone).max().unwrap_or_default();
        let replay = Replay::new(gone(Class::Record), records);
        let replay = replay.map_err(|error| Error::Unusable(error.to_string()))?;
        let len = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        // A segment is gone through twice: for its digest, and for what is in it.
        let walked = segments.iter().filter(|(s, _)| options.since.is_none_or(|t| s.until >= t));
        let segment_bytes: u64 = walked.filter_map(|(_, file)| file.as_ref()).map(len).sum();
        let log_bytes: u64 = logs.iter().map(|(_, file)| len(file)).sum();
        let mut walk = Walk {
            report: Report { commits: manifest.sealed_to, ..Report::default() },
            since: options.since,
            tips: Tips::default(),
            witnesses: Witnesses::default(),
            starts,
            replay,
            key: Vec::new(),
            hole: false,
            watch,
            done_bytes: 0,
            total_bytes: 2 * segment_bytes + log_bytes,
        };
        walk.choose_key(options, manifest);
        for kept in &options.heads {
            let from: Arc<str> = kept.from.as_str().into();
            walk.kept(kept, &from);
        }
        Ok(walk)
    }

    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Takes note of the time of a commit.
    fn at(&mut self, time: i64) {
        let first = self.report.first_time.get_or_insert(time);
        *first = time.min(*first);
        self.report.last_time = Some(self.report.last_time.map_or(time, |last| last.max(time)));
    }

    fn went(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        (self.watch)(self.done_bytes.min(self.total_bytes), self.total_bytes);
    }

    /// The key from as far away as there is one.
    fn choose_key(&mut self, options: &VerifyOptions, manifest: &Manifest) {
        let agents = options.heads.iter().find_map(|kept| kept.key.clone());
        let listed = Some(manifest.key.to_vec()).filter(|key| !key.is_empty());
        let local = options.local_key.clone().or(listed);
        let (key, from) = match (options.key.clone(), agents, local) {
            (Some(key), _, _) => (key, KeyFrom::Given),
            (None, Some(key), _) => (key, KeyFrom::Agents),
            (None, None, Some(key)) => (key, KeyFrom::SameDisk),
            (None, None, None) => (Vec::new(), KeyFrom::Nowhere),
        };
        (self.key, self.report.key) = (key, from);
    }

    /// Takes what an agent kept.
    fn kept(&mut self, kept: &Kept, from: &Arc<str>) {
        if kept.key.as_ref().is_some_and(|key| *key != self.key) {
            self.find(Finding {
                detail: "this agent was given another history key when it was enrolled".to_owned(),
                ..finding(Problem::Signature, &*kept.from)
            });
        }
        let mut told = false;
        for heads in &kept.heads {
            let good = self.signature(heads, !heads.signature.is_empty());
            if !good && !std::mem::replace(&mut told, true) {
                self.find(not_signed(heads, from));
            }
            self.witnesses.add(heads, from);
        }
    }

    /// Whether heads are signed by the key, as far as that can be asked.
    fn signature(&mut self, heads: &Heads, must: bool) -> bool {
        if self.key.is_empty() || !must {
            return true;
        }
        self.report.signatures += 1;
        chain::verify_heads(heads, &self.key)
    }

    fn manifest(&mut self, snapshot: &Snapshot) {
        match &snapshot.signed {
            Ok(Some(signed)) => self.signed_manifest(signed),
            missing => self.no_manifest(missing.as_ref().err(), &snapshot.manifest),
        }
        for class in Class::ALL {
            if let Some((commit, link)) = self.starts.of(class) {
                self.tips.set(class, commit, link);
                let found = self.witnesses.removed(class, commit, &link);
                self.report.findings.extend(found);
            }
        }
    }

    fn signed_manifest(&mut self, signed: &Signed) {
        let manifest = &signed.manifest;
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
            let from: Arc<str> = manifest::NAME.into();
            if self.signature(heads, true) {
                self.witnesses.add(heads, &from);
            } else {
                self.find(not_signed(heads, &from));
            }
        }
    }

    /// Without a manifest the segments are walked as they name themselves.
    fn no_manifest(&mut self, text: Option<&String>, recovered: &Manifest) {
        let problem = if text.is_some() { Problem::Changed } else { Problem::Removed };
        if text.is_some() || !recovered.segments.is_empty() {
            self.find(Finding {
                commit: Some(recovered.sealed_to),
                offset: Some(0),
                detail: text.cloned().unwrap_or("the manifest is not there".to_owned()),
                ..finding(problem, manifest::NAME)
            });
        }
    }

    fn unlisted(&mut self, manifest: &Manifest, unlisted: Vec<Named>) {
        for Named { file, class, first, .. } in unlisted {
            self.find(Finding {
                class: Some(class),
                commit: Some(first),
                time: Some(manifest.sealed_at),
                detail: "the manifest does not list this segment: it is older than it, or changed"
                    .to_owned(),
                ..finding(Problem::Removed, format!("{SEGMENTS}/{file}"))
            });
        }
    }

    fn checkpoints(&mut self, checkpoints: Vec<(stored::Checkpoint, Option<File>)>) {
        for (stored, file) in checkpoints {
            let mut bytes = Vec::new();
            let problem = match file.map(|mut file| file.read_to_end(&mut bytes)) {
                None => Problem::Removed,
                Some(_) => Problem::Changed,
            };
            if let Some(loaded) = Loaded::checked(bytes, &stored.digest) {
                self.replay.checkpoint(stored, loaded);
                continue;
            }
            self.find(Finding {
                commit: Some(stored.commit),
                detail: "a checkpoint is not the one that was written".to_owned(),
                ..finding(problem, format!("{CHECKPOINTS}/{}", stored.file))
            });
        }
    }

    /// Walks all classes side by side, in the order of their commits.
    fn segments(&mut self, segments: Vec<(Segment, Option<File>)>) {
        let mut own: [Vec<_>; 5] = Default::default();
        for (segment, file) in segments {
            if let Some(class) = Class::from_number(segment.class) {
                own[class.index()].push((segment, file));
            }
        }
        let mut lanes: Vec<_> =
            Class::ALL.into_iter().zip(own).map(|(class, own)| Lane::new(class, own)).collect();
        loop {
            let next = lanes.iter_mut().filter_map(|lane| lane.peek(self)).min();
            let Some(commit) = next else { return };
            let mut whole = Part { commit, ..Part::default() };
            for part in lanes.iter_mut().filter_map(|lane| lane.take(commit)) {
                whole.time = part.time;
                whole.advances.join(part.advances);
                whole.puts.extend(part.puts);
            }
            self.replay(whole);
        }
    }

    /// Holds the end of the segments against the manifest, and goes on from what it says.
    fn tips(&mut self, manifest: &Manifest) {
        let said = Tips::from_stored(&manifest.tips);
        for class in Class::ALL {
            if said.link(class) != self.tips.link(class) {
                self.replay.lost(manifest.sealed_to);
                self.find(Finding {
                    class: Some(class),
                    commit: Some(said.commit(class)),
                    time: Some(manifest.sealed_at),
                    detail: format!(
                        "the chain ends at commit {}, not where the manifest says",
                        self.tips.commit(class)
                    ),
                    ..finding(Problem::Changed, manifest::NAME)
                });
            }
        }
        self.tips = said;
    }

    /// The chain is at this link.
    fn meet(&mut self, class: Class, commit: u64, link: &Link) {
        let found = self.witnesses.meet(class, commit, link);
        self.report.findings.extend(found);
    }

    fn replay(&mut self, part: Part) {
        self.reach(part.commit);
        if let Err(error) = self.replay.take(part) {
            self.unable(&error);
        }
    }

    /// Compares the checkpoints before a commit.
    fn reach(&mut self, commit: u64) {
        let reached = match self.replay.reach(commit) {
            Ok(reached) => reached,
            Err(error) => return self.unable(&error),
        };
        for replay::Reached { stored, compared } in reached {
            let file = format!("{CHECKPOINTS}/{}", stored.file);
            match compared {
                None => self.report.checkpoints_taken += 1,
                Some(compared) => {
                    self.report.checkpoints += 1;
                    self.contradicted(compared, &file, stored.commit);
                }
            }
        }
    }

    /// Small records can't be followed any further.
    fn unable(&mut self, error: &std::io::Error) {
        self.replay.lost(u64::MAX);
        self.report.index_note = Some(format!("small records do not read: {error}"));
    }

    fn contradicted(&mut self, compared: Compared, file: &str, commit: u64) {
        let place = Finding {
            commit: Some(commit),
            time: self.report.last_time,
            ..finding(Problem::Contradicted, file)
        };
        for replay::Difference { tree, key, detail } in compared.told {
            let (tree, key) = (Some(tree), Some(key));
            self.find(Finding { tree, key, detail, ..place.clone() });
        }
        if compared.more > 0 {
            let detail = format!("{} more records are not as history has them", compared.more);
            self.find(Finding { detail, ..place });
        }
    }

    fn index(&mut self, dir: &Path) {
        let commits = self.report.commits;
        let copy = match index::Copy::take(dir, commits, &self.tips) {
            Ok(copy) => copy,
            Err(without) => {
                self.report.index = without.state;
                self.report.index_note = without.note.or(self.report.index_note.take());
                return;
            }
        };
        let without = |note: String| (IndexState::NotCompared, Some(note));
        let (state, note) = match self.replay.index(copy.rows()) {
            Ok(Some(compared)) => {
                self.report.index_rows = compared.same;
                self.contradicted(compared, INDEX, commits);
                (IndexState::Compared, None)
            }
            Ok(None) => without("the commits it follows from are not all there".to_owned()),
            Err(error) => without(error.to_string()),
        };
        (self.report.index, self.report.index_note) =
            (state, note.or(self.report.index_note.take()));
    }

    fn end(mut self) -> Report {
        // Damage to the chain of decisions explains one that is missing.
        let told = self.report.findings.iter().any(|finding| {
            finding.class == Some(Class::Record)
                || finding.class.is_none() && finding.file.starts_with(LOG)
        });
        let (starts, found) = self.starts.end(told);
        self.report.starts = starts;
        self.report.findings.extend(found);
        let (heads, found) = self.witnesses.end(self.report.commits);
        self.report.heads = heads;
        self.report.findings.extend(found);
        self.report
    }
}

/// The commit up to which a class is gone, as far as the list says; 0 when it begins at the first.
fn gone_to(class: Class, manifest: &Manifest) -> u64 {
    let number = class.number();
    let own = manifest.segments.iter().filter(|segment| segment.class == number);
    let first = own.min_by_key(|segment| segment.first_commit);
    let late = first.filter(|first| first.previous.iter().any(|byte| *byte != 0));
    let removed = manifest.removed.iter().filter(|removed| removed.class == number);
    let removed = removed.map(|removed| removed.to_commit);
    removed.chain(late.map(|late| late.first_commit.saturating_sub(1))).max().unwrap_or_default()
}

fn not_signed(heads: &Heads, from: &str) -> Finding {
    Finding {
        time: Some(heads.time),
        commit: heads.heads.iter().map(|head| head.commit).max(),
        detail: "heads are not signed by the history key".to_owned(),
        ..finding(Problem::Signature, from)
    }
}

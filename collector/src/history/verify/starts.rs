//! Where each class begins: at its first commit, or where a decision of retention says.
//!
//! In: what the manifest says was removed, the first segment of each class, every decision of class
//! `record` as it is walked. Out: the link a class goes on from, and findings. A class whose beginning
//! is gone may begin later only when three things agree: the link its first segment goes on from, the
//! manifest's `removed`, and an entry `retention.removed` in the chain of decisions.
//!
//! The decision about an old removal may itself be gone, when class `record` was removed that far; what
//! is left of it then begins with entries that say all beginnings again, and one of these must agree.

use serde_json::Value;

use super::report::{Finding, Problem, finding};
use crate::history::chain::{Class, Link};
use crate::history::manifest;
use crate::history::open::SEGMENTS;
use crate::history::stored::{Removed, Segment, StoredEntry};

/// The action of a decision to remove.
const ACTION: &str = "retention.removed";

/// Beginnings of classes, to be borne out by decisions.
#[derive(Debug, Default)]
pub(super) struct Starts {
    removed: Vec<(Class, Removed)>,
    /// Without a manifest: classes that begin late, as their first segments say.
    unlisted: Vec<(Class, Segment)>,
    has_manifest: bool,
    decisions: Vec<Decision>,
}

/// An entry that says so.
#[derive(Debug)]
struct Decision {
    commit: u64,
    class: Class,
    through: u64,
    link: String,
    /// Segments, records, bytes, where they are said.
    counts: [Option<u64>; 3],
}

impl Starts {
    pub(super) fn new(removed: &[Removed], has_manifest: bool) -> Starts {
        let known = |removed: &Removed| Some((Class::from_number(removed.class)?, removed.clone()));
        let removed = removed.iter().filter_map(known).collect();
        Starts { removed, has_manifest, ..Starts::default() }
    }

    /// The last removed commit of a class and the link there.
    pub(super) fn of(&self, class: Class) -> Option<(u64, Link)> {
        let (_, removed) = self.removed.iter().find(|(known, _)| *known == class)?;
        Some((removed.to_commit, Link::try_from(&removed.link[..]).ok()?))
    }

    /// Commits of class `record` that must be looked at even when they are passed over otherwise.
    pub(super) fn needs(&self, segment: &Segment) -> bool {
        let within = |commit| (segment.first_commit..=segment.last_commit).contains(&commit);
        segment.class == Class::Record.number()
            && self.removed.iter().any(|(_, removed)| within(removed.entry_commit))
    }

    /// The first segment of a class goes on from a link; what is wrong with that?
    pub(super) fn first(&mut self, class: Class, segment: &Segment) -> Option<Finding> {
        let zeros = segment.previous.iter().all(|byte| *byte == 0);
        let place = Finding {
            class: Some(class),
            commit: Some(segment.first_commit),
            time: Some(segment.since),
            ..finding(Problem::Retention, format!("{SEGMENTS}/{}", segment.file))
        };
        match self.of(class) {
            Some((through, _)) if segment.first_commit <= through => Some(Finding {
                detail: format!(
                    "it is still there, while the manifest says that retention removed everything \
                     up to commit {through}"
                ),
                ..place
            }),
            Some((through, link)) if segment.previous != link[..] => Some(Finding {
                detail: format!(
                    "it does not go on where retention stopped removing, at commit {through}: more \
                     is gone than was decided"
                ),
                ..place
            }),
            None if !zeros && self.has_manifest => Some(Finding {
                problem: Problem::Removed,
                detail: "what was before it is gone, and not by retention".to_owned(),
                ..place
            }),
            None if !zeros => {
                self.unlisted.push((class, segment.clone()));
                None
            }
            _ => None,
        }
    }

    /// Takes note of decisions of a commit.
    pub(super) fn entries(&mut self, commit: u64, entries: &[StoredEntry]) {
        let removals = entries.iter().filter(|entry| entry.action == ACTION);
        self.decisions.extend(removals.filter_map(|entry| Decision::read(commit, &entry.body)));
    }

    /// Beginnings that no decision bears out, and how many one does. `record_start` is the last commit
    /// of class `record` that is gone; `told` says that a finding explains why a decision is missing.
    pub(super) fn end(self, told: bool) -> (u64, Vec<Finding>) {
        let record_start = self.of(Class::Record).map_or(0, |(through, _)| through);
        let (mut good, mut found) = (0, Vec::new());
        for (class, removed) in &self.removed {
            let link = hex(&removed.link);
            let counts = [removed.segments, removed.records, removed.bytes].map(Some);
            let of_class = || self.decisions.iter().filter(|decision| decision.class == *class);
            let fits = |decision: &Decision| {
                let mut pairs = decision.counts.iter().zip(counts);
                decision.through == removed.to_commit
                    && decision.link == link
                    && pairs.all(|(said, is)| said.is_none() || *said == is)
            };
            let at_entry = |decision: &&Decision| decision.commit == removed.entry_commit;
            let again = || removed.entry_commit <= record_start && of_class().any(fits);
            if of_class().filter(at_entry).any(fits) || again() {
                good += 1;
                continue;
            }
            let detail = match of_class().find(at_entry) {
                Some(decision) => format!(
                    "the decision says through commit {}, the manifest through commit {}, or their \
                     links or counts differ",
                    decision.through, removed.to_commit
                ),
                None if told => continue,
                None => format!(
                    "the manifest says that retention removed everything up to commit {}, and no \
                     decision in the chain does",
                    removed.to_commit
                ),
            };
            found.push(Finding {
                class: Some(*class),
                commit: Some(removed.entry_commit),
                time: Some(removed.until),
                detail,
                ..finding(Problem::Retention, manifest::NAME)
            });
        }
        for (class, segment) in &self.unlisted {
            let link = hex(&segment.previous);
            let decided = |decision: &Decision| decision.class == *class && decision.link == link;
            if self.decisions.iter().any(decided) {
                good += 1;
            } else {
                found.push(Finding {
                    class: Some(*class),
                    commit: Some(segment.first_commit),
                    time: Some(segment.since),
                    detail: "what was before it is gone, and no decision of retention says so"
                        .to_owned(),
                    ..finding(Problem::Removed, format!("{SEGMENTS}/{}", segment.file))
                });
            }
        }
        (good, found)
    }
}

impl Decision {
    fn read(commit: u64, body: &str) -> Option<Decision> {
        let body: Value = serde_json::from_str(body).ok()?;
        let name = body.get("class")?.as_str()?;
        let number = |name: &str| body.get(name).and_then(Value::as_u64);
        Some(Decision {
            commit,
            class: Class::ALL.into_iter().find(|class| class.as_str() == name)?,
            through: number("through_commit")?,
            link: body.get("link")?.as_str()?.to_ascii_lowercase(),
            counts: ["segments", "records", "bytes"].map(number),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    crate::history::ledger::hex(bytes)
}

//! Witnesses: heads that somebody signed or kept, each of which must be met in the chain.
//!
//! In: sets of heads and who has them; then, as the walk goes, every link. Out: findings where a link
//! is another than a witness saw, and where a witness saw a commit that is not there. Of each witness
//! only the first difference in each class is told: what follows it can't fit either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::wire::Heads;

use super::report::{Finding, HeadCounts, Problem, finding};
use crate::history::chain::{Class, Link};

/// A head that must be met: its link, and who says so.
#[derive(Debug)]
struct Witness {
    link: Bytes,
    from: Arc<str>,
    time: i64,
    signed: bool,
}

/// Heads not met yet.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    waiting: BTreeMap<(Class, u64), Vec<Witness>>,
    told: BTreeSet<(Class, Arc<str>)>,
    counts: HeadCounts,
}

impl Witnesses {
    /// Takes heads of somebody.
    pub(super) fn add(&mut self, heads: &Heads, from: &Arc<str>) {
        let signed = !heads.signature.is_empty();
        for head in &heads.heads {
            // A class this version does not know has no chain here either.
            let class = Class::ALL.into_iter().find(|class| class.as_str() == head.class);
            if let Some(class) = class {
                let (link, from) = (head.link.clone(), Arc::clone(from));
                let witness = Witness { link, from, time: heads.time, signed };
                self.waiting.entry((class, head.commit)).or_default().push(witness);
            }
        }
    }

    /// The chain is at this link: whoever saw another one there is a finding.
    pub(super) fn meet(&mut self, class: Class, commit: u64, link: &[u8]) -> Vec<Finding> {
        let mut found = Vec::new();
        for witness in self.waiting.remove(&(class, commit)).unwrap_or_default() {
            if witness.link == link {
                match witness.signed {
                    true => self.counts.matched += 1,
                    false => self.counts.matched_unsigned += 1,
                }
                continue;
            }
            self.counts.unmatched += 1;
            if self.told.insert((class, Arc::clone(&witness.from))) {
                found.push(Finding {
                    class: Some(class),
                    commit: Some(commit),
                    time: Some(witness.time),
                    detail: "the link here is not the one that was signed or handed out".to_owned(),
                    ..finding(Problem::Head, &*witness.from)
                });
            }
        }
        found
    }

    /// These commits are not looked at because a finding tells of them already.
    pub(super) fn told(&mut self, class: Class, first: u64, last: u64) {
        self.counts.unmatched += self.take(class, first, last);
    }

    /// These commits were removed by retention, the last with this link.
    pub(super) fn removed(&mut self, class: Class, last: u64, link: &Link) -> Vec<Finding> {
        let found = self.meet(class, last, link);
        self.counts.before_start += self.take(class, 0, last);
        found
    }

    /// These commits are passed over, of which the link at `link_commit` is known.
    pub(super) fn passed_over(
        &mut self,
        class: Class,
        last: u64,
        (link_commit, link): (u64, &[u8]),
    ) -> Vec<Finding> {
        let found = self.meet(class, link_commit, link);
        self.counts.passed_over += self.take(class, 0, last);
        found
    }

    fn take(&mut self, class: Class, first: u64, last: u64) -> u64 {
        let range = (class, first)..=(class, last.max(first));
        let taken: Vec<_> = self.waiting.range(range).map(|(key, _)| *key).collect();
        taken.iter().filter_map(|key| self.waiting.remove(key)).map(|all| all.len() as u64).sum()
    }

    /// What was not met when history ends at `commits`.
    pub(super) fn end(mut self, commits: u64) -> (HeadCounts, Vec<Finding>) {
        let mut found = Vec::new();
        for ((class, commit), witnesses) in std::mem::take(&mut self.waiting) {
            let (problem, detail) = if commit > commits {
                let text = format!(
                    "history ends at commit {commits}, before one that was signed or handed out"
                );
                (Problem::Cut, text)
            } else {
                let text = "a commit that was signed or handed out is not in the chain";
                (Problem::Head, text.to_owned())
            };
            for witness in witnesses {
                self.counts.unmatched += 1;
                if self.told.insert((class, Arc::clone(&witness.from))) {
                    found.push(Finding {
                        class: Some(class),
                        commit: Some(commit),
                        time: Some(witness.time),
                        detail: detail.clone(),
                        ..finding(problem, &*witness.from)
                    });
                }
            }
        }
        (self.counts, found)
    }
}

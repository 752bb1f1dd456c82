//! Replay: the small records as the commits give them, to hold against what was kept of them.
//!
//! In: of every commit, in order, what it puts and how far its queues came. Out: differences to the
//! checkpoints on the way, and to the index at the end. Where history begins at its first commit,
//! nothing is taken for granted; else the first checkpoint after the gap is taken as it is (its digest
//! is signed), and everything after it is compared.
//!
//! What is known lies packed as in a checkpoint, with the changes since in front: memory is bounded by
//! how well small records compress, as it is in the collector when it seals. Correlation state is not
//! compared: it is derived from hits, and segments have nothing else to compare it with.

use std::collections::VecDeque;
use std::io;

use super::segments::Part;
use crate::history::checkpoint::{Loaded, Next};
use crate::history::stored::{self, Row};
use crate::history::tree;

/// Changes are packed away when they take this much memory.
const PACK_BYTES: usize = 32 << 20;
/// Differences that are told one by one; the rest are counted.
const MAX_TOLD: usize = 20;
/// How much of a value is shown.
const SHOWN: usize = 120;
/// Trees whose values nobody is to read in a report.
const SECRET: [&str; 4] = [tree::USERS, tree::API_TOKENS, tree::TOKENS, tree::SESSIONS];

/// A small record that is not as the commits have it.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) tree: String,
    pub(super) key: String,
    pub(super) detail: String,
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Rows that are the same.
    pub(super) same: u64,
    /// The first ones.
    pub(super) told: Vec<Difference>,
    /// How many there are beyond these.
    pub(super) more: u64,
}

/// A checkpoint that was reached.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) stored: stored::Checkpoint,
    /// None when the commits before it are not all there.
    pub(super) compared: Option<Compared>,
}

/// Small records on the way through the commits.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// None where commits are missing, until the next checkpoint.
    next: Option<Next>,
    /// Whether the ledger is known, too: it needs every class, not decisions alone.
    ledger: bool,
    /// Commits up to this one are not all there.
    lost_to: u64,
    /// Of commits up to this one, some classes are not there.
    records_lost_to: u64,
    checkpoints: VecDeque<(stored::Checkpoint, Loaded)>,
    commit: u64,
}

impl Replay {
    /// Begins before the first commit, where decisions and records up to these commits are gone.
    pub(super) fn new(decisions: u64, records: u64) -> io::Result<Replay> {
        let next = if decisions == 0 { Some(Next::after(None)?) } else { None };
        let ledger = records == 0;
        let (lost_to, records_lost_to) = (decisions, records);
        Ok(Replay { next, ledger, lost_to, records_lost_to, ..Replay::default() })
    }

    /// Takes a checkpoint whose bytes are right; oldest first.
    pub(super) fn checkpoint(&mut self, stored: stored::Checkpoint, loaded: Loaded) {
        self.checkpoints.push_back((stored, loaded));
    }

    /// Commits up to this one are not all there, or not as they were.
    pub(super) fn lost(&mut self, commit: u64) {
        if commit > 0 {
            self.next = None;
            self.ledger = false;
            self.lost_to = self.lost_to.max(commit);
            self.records_lost_to = self.records_lost_to.max(commit);
        }
    }

    /// Compares the checkpoints before a commit.
    pub(super) fn reach(&mut self, commit: u64) -> io::Result<Vec<Reached>> {
        let mut reached = Vec::new();
        while let Some((stored, loaded)) =
            self.checkpoints.pop_front_if(|(stored, _)| stored.commit < commit)
        {
            let compared = match &self.next {
                Some(next) => {
                    let skip = |tree: &str| !self.ledger && is_ledger(tree);
                    let rows = loaded.rows()?.map(|row| row.map_err(|error| error.to_string()));
                    Some(compare(next, rows, &skip)?)
                }
                None => None,
            };
            let good = compared.as_ref().is_none_or(|compared| compared.told.is_empty());
            if good && stored.commit >= self.lost_to {
                self.next = Some(Next::after(Some(loaded))?);
                self.ledger |= stored.commit >= self.records_lost_to;
            }
            reached.push(Reached { stored, compared });
        }
        Ok(reached)
    }

    /// Takes the changes of the next commit.
    pub(super) fn take(&mut self, part: Part) -> io::Result<()> {
        let Part { commit, time, advances, puts } = part;
        self.commit = commit;
        let Some(next) = &mut self.next else { return Ok(()) };
        next.advance(time, advances, &puts);
        if next.changed_bytes() >= PACK_BYTES
            && let Some(next) = self.next.take()
        {
            self.next = Some(next.packed(commit)?);
        }
        Ok(())
    }

    /// Compares rows of an index that stands at the last commit. None when that is not known.
    pub(super) fn index(
        &self,
        rows: impl Iterator<Item = Result<Row, String>>,
    ) -> io::Result<Option<Compared>> {
        let skip = |tree: &str| !self.ledger && is_ledger(tree);
        self.next.as_ref().map(|next| compare(next, rows, &skip)).transpose()
    }
}

fn is_ledger(tree: &str) -> bool {
    [tree::LEDGER, tree::GAPS].contains(&tree)
}

/// Holds rows, in the order of (tree, key), against what the commits give.
fn compare(
    next: &Next,
    rows: impl Iterator<Item = Result<Row, String>>,
    skip: &dyn Fn(&str) -> bool,
) -> io::Result<Compared> {
    let mut compared = Compared::default();
    let mut unreadable = None;
    let rows = rows.map_while(|row| row.map_err(|error| unreadable = Some(error)).ok());
    let mut rows = rows.filter(|row| !skip(&row.tree)).peekable();
    next.each(&mut |history| {
        if skip(&history.tree) {
            return Ok(());
        }
        let place = |row: &Row| (row.tree.clone(), row.key.clone());
        while let Some(row) = rows.next_if(|row| place(row) < place(&history)) {
            compared.differs(&row, "history has no such record");
        }
        match rows.next_if(|row| place(row) == place(&history)) {
            Some(row) if row.value == history.value => compared.same += 1,
            Some(row) => {
                let (says, is) = (shown(&history), shown(&row));
                compared.differs(&row, &format!("history says {says}, here is {is}"));
            }
            None => {
                let says = shown(&history);
                compared.differs(&history, &format!("history says {says}, here is nothing"));
            }
        }
        Ok(())
    })?;
    rows.for_each(|row| compared.differs(&row, "history has no such record"));
    match unreadable {
        Some(error) => Err(io::Error::other(error)),
        None => Ok(compared),
    }
}

impl Compared {
    fn differs(&mut self, row: &Row, detail: &str) {
        if self.told.len() < MAX_TOLD {
            let (tree, key) = (row.tree.clone(), key_text(&row.key));
            self.told.push(Difference { tree, key, detail: detail.to_owned() });
        } else {
            self.more += 1;
        }
    }
}

/// A key as people can read it.
fn key_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => text.chars().flat_map(readable).collect(),
        Err(_) => key.escape_ascii().to_string(),
    }
}

fn readable(character: char) -> Box<dyn Iterator<Item = char>> {
    if character.is_control() {
        Box::new(character.escape_default())
    } else {
        Box::new(std::iter::once(character))
    }
}

fn shown(row: &Row) -> String {
    if SECRET.contains(&row.tree.as_str()) {
        return format!("{} bytes that are not shown", row.value.len());
    }
    let text = String::from_utf8_lossy(&row.value);
    let mut shown: String = text.chars().take(SHOWN).flat_map(readable).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

//! Walking log files: the commits that are not sealed yet, frame by frame.
//!
//! In: the files as they were opened, one after the other. Out: findings, decisions and changes of
//! small records. A log file is read as a whole: the writer closes it at a length that is small. After
//! the first difference of a file the rest of it only moves the chain on.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Heads};
use prost::Message;

use super::Walk;
use super::report::{Finding, Problem, finding};
use super::segments::Part;
use crate::history::Error;
use crate::history::chain::{self, Class, Link, Unpacked};
use crate::history::disk::failed;
use crate::history::ledger::Advances;
use crate::history::log::{self, Raw};
use crate::history::open::LOG;
use crate::history::segment;
use crate::history::stored::Commit;

/// What does not fit in a commit: in which class, and how.
type Wrong = (Option<Class>, String);

impl Walk<'_> {
    pub(super) fn log(&mut self, path: &Path, mut file: File, last: bool) -> Result<(), Error> {
        self.report.log_files += 1;
        let name = format!("{LOG}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| failed(path, &error))?;
        self.went(bytes.len() as u64);
        let bytes = Bytes::from(bytes);
        let Some(scan) = log::scan(&bytes) else {
            if !(last && bytes.len() < log::FILE_HEADER) {
                self.replay.lost(u64::MAX);
                self.find(Finding {
                    offset: Some(0),
                    commit: Some(self.report.commits + 1),
                    time: self.report.last_time,
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
                time: self.report.last_time,
                detail: "one copy of the log file's header was changed".to_owned(),
                ..finding(Problem::Changed, &name)
            });
        }
        for damage in &scan.damage {
            let commit = log::claimed_number(&bytes, damage.offset);
            self.damaged(&name, &scan.frames, damage.offset, commit);
        }
        let mut quiet = !scan.damage.is_empty() || std::mem::take(&mut self.hole);
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
        self.replay.lost(u64::MAX);
        let before = frames.iter().rev().find(|raw| raw.offset < offset);
        let time = before.and_then(|raw| Some(Commit::decode(raw.payload.clone()).ok()?.time));
        self.find(Finding {
            commit: commit.or(before.map(|raw| raw.number + 1)).or(Some(self.report.commits + 1)),
            offset: Some(offset as u64),
            time: time.filter(|time| *time != 0).or(self.report.last_time),
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
            time: self.report.last_time,
            ..finding(Problem::Changed, name)
        };
        let Ok(commit) = Commit::decode(raw.payload.clone()) else {
            self.replay.lost(u64::MAX);
            self.find(Finding { detail: "a commit that does not read".to_owned(), ..place });
            return true;
        };
        let place = Finding { time: Some(commit.time), ..place };
        let expected = self.report.commits + 1;
        self.report.commits = raw.number;
        self.at(commit.time);
        let missing = raw.number != expected;
        if missing {
            self.replay.lost(u64::MAX);
        }
        if missing && !quiet {
            let detail = if raw.number < expected {
                format!("commit {} stands behind commit {}", raw.number, expected - 1)
            } else {
                format!("commits {expected} to {} are missing before it", raw.number - 1)
            };
            self.find(Finding {
                problem: Problem::Removed,
                commit: Some(expected),
                detail,
                ..place.clone()
            });
        }
        let wrong = self.commit(raw.number, commit);
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

    /// Computes the links of a commit of the log again; says what does not fit.
    fn commit(&mut self, number: u64, commit: Commit) -> Option<Wrong> {
        let blocks: Result<Vec<Block>, String> =
            commit.batches.iter().map(segment::unpack).collect();
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(text) => {
                self.tips.advance(number, &commit.steps);
                self.replay.lost(u64::MAX);
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
        if steps != commit.steps {
            let differs = steps.iter().find(|step| !commit.steps.contains(step));
            let class = differs.or(commit.steps.first()).and_then(|s| Class::from_number(s.class));
            self.tips.advance(number, &commit.steps);
            self.replay.lost(u64::MAX);
            let text = "its records do not give its links, or these do not follow";
            return Some((class, text.to_owned()));
        }
        for step in &steps {
            if let (Some(class), Ok(link)) =
                (Class::from_number(step.class), Link::try_from(&step.link[..]))
            {
                self.tips.set(class, number, link);
                self.meet(class, number, &link);
            }
        }
        self.starts.entries(number, &commit.entries);
        let mut advances = Advances::default();
        for (batch, block) in commit.batches.iter().zip(&blocks) {
            if let Some(sender) = &batch.sender {
                advances.take(sender, block);
            }
        }
        self.replay(Part { commit: number, time: commit.time, advances, puts: commit.puts });
        None
    }
}

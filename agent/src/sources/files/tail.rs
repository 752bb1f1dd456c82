//! One open file that is read to its end, again and again.
//!
//! In: an open file and the place to go on from. Out: lines with the place after them, or the news
//! that the file is no longer the one that was read. It neither looks for rotated files nor decides
//! what follows; the engine does.
//!
//! What is read is believed only afterwards: the bytes, then the fingerprint of what lies before the
//! new place, then once more what had been known before. A file that is truncated or rewritten between
//! any two of these steps shows, and nothing of the slice is used.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bytes::Bytes;

use super::lines::{self, Long, SLICE};
use super::place::{FileId, Place, fingerprint};
use crate::sources::NewRecord;

/// How much of a slice is compared once more after it was read.
const RECHECK: usize = 1 << 10;

/// A file being read.
pub(super) struct Tail {
    pub(super) id: FileId,
    /// None while too many files are open; opened again when it is to be read.
    pub(super) file: Option<File>,
    pub(super) place: Place,
    /// A gap that stands before the first line.
    pub(super) opening: Option<NewRecord>,
    /// The line in progress when it is longer than a slice.
    long: Option<Long>,
    /// Length and time of change when the end was last reached: nothing new while both stand.
    seen: Option<(u64, i64, i64)>,
    /// The same when it was last asked whether there is news.
    told: Option<(u64, i64, i64)>,
}

/// What reading came to.
pub(super) enum Outcome {
    /// Lines and the place after them, already taken over by the tail.
    Lines(Vec<NewRecord>),
    /// Inside a long line: read on.
    More,
    /// Nothing that is not yet handed over, but perhaps the beginning of a line.
    End,
    /// The file no longer begins with what was read.
    Truncated,
}

impl Tail {
    pub(super) fn new(id: FileId, file: File, place: Place) -> Tail {
        Tail { id, file: Some(file), place, opening: None, long: None, seen: None, told: None }
    }

    /// Reads the next slice. An error leaves everything as it was.
    pub(super) fn read(&mut self, created: i64) -> io::Result<Outcome> {
        let Some(file) = &self.file else { return Ok(Outcome::End) };
        let metadata = file.metadata()?;
        if self.seen == Some(state(&metadata)) {
            return Ok(Outcome::End);
        }
        // A file of which nothing was taken shows only by its length that it began anew.
        let shrank = self.place.offset == 0 && metadata.len() < self.place.size;
        if shrank || metadata.len() < self.reached() {
            return Ok(Outcome::Truncated);
        }
        let mut slice = vec![0; slice_length(metadata.len() - self.reached())];
        let length = read_full(file, &mut slice, self.reached())?;
        slice.truncate(length);
        let slice = Bytes::from(slice);
        let full = slice.len() == SLICE;
        match self.take(&slice, full, created)? {
            None => Ok(Outcome::Truncated),
            Some(Outcome::End) => {
                self.seen = Some(state(&metadata));
                self.place.size = metadata.len();
                Ok(Outcome::End)
            }
            Some(outcome) => {
                self.place.size = self.place.size.max(metadata.len());
                Ok(outcome)
            }
        }
    }

    /// What follows the last newline, as a line: only for a file nobody writes to any more.
    pub(super) fn flush(&mut self, created: i64) -> io::Result<Vec<NewRecord>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let offset;
        let records = match self.long.take() {
            Some(long) => {
                offset = self.place.offset + long.taken();
                long.finish(created)
            }
            None => {
                let mut rest = vec![0; SLICE];
                let length = read_full(file, &mut rest, self.place.offset)?;
                rest.truncate(length);
                offset = self.place.offset + length as u64;
                lines::line(Bytes::from(rest), created)
            }
        };
        if let Some(digest) = fingerprint(file, offset)? {
            self.place.offset = offset;
            self.place.digest = digest;
        }
        Ok(records)
    }

    /// Whether the file has no name left.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|m| m.nlink() == 0))
    }

    /// Whether a file that was closed still looks as it did at its end.
    pub(super) fn is_unchanged(&self, path: &Path) -> bool {
        let unchanged = |metadata: Metadata| {
            FileId::of(&metadata) == self.id && self.seen == Some(state(&metadata))
        };
        self.file.is_none() && std::fs::metadata(path).is_ok_and(unchanged)
    }

    /// Whether the file changed in any way since this was last asked.
    pub(super) fn is_news(&mut self) -> bool {
        std::mem::replace(&mut self.told, self.seen) != self.seen
    }

    /// Looks at the file anew although it seems unchanged.
    pub(super) fn look_again(&mut self) {
        self.seen = None;
    }

    fn reached(&self) -> u64 {
        self.place.offset + self.long.as_ref().map_or(0, Long::taken)
    }

    /// Takes what of a slice is finished; None when the file changed beneath the read.
    fn take(&mut self, slice: &Bytes, full: bool, created: i64) -> io::Result<Option<Outcome>> {
        let Some(file) = &self.file else { return Ok(None) };
        let from = self.reached();
        if self.long.is_none() && full && !slice.contains(&b'\n') {
            self.long = Some(Long::new());
        }
        let (records, taken) = match &mut self.long {
            None => lines::split(slice, created),
            Some(long) => {
                // The long line keeps what it was fed, so the slice is checked before.
                if !unchanged(file, slice, from, &self.place)? {
                    self.long = None;
                    return Ok(None);
                }
                match long.feed(slice) {
                    None if slice.is_empty() => return Ok(Some(Outcome::End)),
                    None => return Ok(Some(Outcome::More)),
                    Some(taken) => match self.long.take() {
                        Some(long) => (long.finish(created), taken),
                        None => return Ok(Some(Outcome::End)),
                    },
                }
            }
        };
        let offset = from + taken as u64;
        let digest = if taken == 0 { None } else { fingerprint(file, offset)? };
        if !unchanged(file, slice, from, &self.place)? || (taken > 0 && digest.is_none()) {
            return Ok(None);
        }
        let Some(digest) = digest else { return Ok(Some(Outcome::End)) };
        self.place.offset = offset;
        self.place.digest = digest;
        Ok(Some(Outcome::Lines(records)))
    }
}

/// Whether the file still begins with what the place knows, and still has the slice at `from`.
fn unchanged(file: &File, slice: &[u8], from: u64, place: &Place) -> io::Result<bool> {
    let mut again = [0; RECHECK];
    let length = slice.len().min(RECHECK);
    let read = read_full(file, &mut again[..length], from)?;
    Ok(read == length && again[..length] == slice[..length] && place.fits(file)?)
}

/// Length and times of last change, which together show any write that the clock could tell apart.
fn state(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn slice_length(ahead: u64) -> usize {
    // One more than is there: a file that grows meanwhile shows as more than was expected.
    usize::try_from(ahead).map_or(SLICE, |ahead| ahead.saturating_add(1).min(SLICE))
}

fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

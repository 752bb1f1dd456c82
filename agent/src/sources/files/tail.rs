//! One open file that is read to its end, again and again.
//!
//! In: an open file and the place to go on from. Out: records with the place after them, or the news
//! that the file is no longer the one that was read. It neither looks for rotated files nor decides
//! what follows; the engine does.
//!
//! Lines that the next may go on with stay before the place, as a line in progress does, and are read
//! again with what comes. When nothing came for [`HOLD`] they go as they are. Their text is kept beside
//! for the one case in which the file can't give it again: it was truncated meanwhile.
//!
//! What is read is believed only afterwards: the bytes, then the fingerprint of what lies before the
//! new place, then once more what had been known before. A file that is truncated or rewritten between
//! any two of these steps shows, and nothing of the slice is used.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hengwei_protocol::limits::MAX_ORIGINAL;

use super::lines::{self, Form, Long, SLICE, Way};
use super::place::{FileId, Place, fingerprint};
use crate::sources::NewRecord;
use crate::time::Now;

/// How long a record waits for a line that goes on with it.
pub(super) const HOLD: Duration = Duration::from_millis(100);
/// How much of a slice is compared once more after it was read.
const RECHECK: usize = 1 << 10;
/// Longest text of a waiting record that is kept beside the file.
const MAX_HELD: usize = 64 << 10;

/// A file being read.
pub(super) struct Tail {
    pub(super) id: FileId,
    /// None while too many files are open; opened again when it is to be read.
    pub(super) file: Option<File>,
    pub(super) place: Place,
    /// What stands before the first line: a gap, perhaps behind the last words of an earlier life.
    pub(super) opening: Vec<NewRecord>,
    /// The line in progress when it is longer than a slice.
    long: Option<Long>,
    /// The record behind the place that waits for another line.
    held: Option<Held>,
    /// Length and time of change when the end was last reached: nothing new while both stand.
    seen: Option<(u64, i64, i64)>,
    /// The same when it was last asked whether there is news.
    told: Option<(u64, i64, i64)>,
}

/// A record that waits.
struct Held {
    /// When it is delivered although no other line came.
    due: Instant,
    /// Where in the file it begins, and how far the file was seen when it began to wait.
    span: (u64, u64),
    /// Its lines; empty when they are too long to be kept.
    text: Bytes,
}

impl Held {
    /// Whether it goes: it waited long enough and nothing was added to the file.
    fn is_due(&self, now: Now, length: u64) -> bool {
        self.due <= now.steady && self.span.1 == length
    }
}

/// What reading came to.
pub(super) enum Outcome {
    /// Lines and the place after them, already taken over by the tail.
    Lines(Vec<NewRecord>),
    /// Inside a long line: read on.
    More,
    /// Nothing that is not yet handed over, but perhaps a record that waits or the beginning of a line.
    End,
    /// The file no longer begins with what was read.
    Truncated,
}

impl Tail {
    pub(super) fn new(id: FileId, file: File, place: Place) -> Tail {
        Tail {
            id,
            file: Some(file),
            place,
            opening: Vec::new(),
            long: None,
            held: None,
            seen: None,
            told: None,
        }
    }

    /// Reads the next slice. An error leaves everything as it was.
    pub(super) fn read(&mut self, now: Now, form: Form) -> io::Result<Outcome> {
        let Some(file) = &self.file else { return Ok(Outcome::End) };
        let metadata = file.metadata()?;
        let all = self.held.as_ref().is_some_and(|held| held.is_due(now, metadata.len()));
        if self.seen == Some(state(&metadata)) && !all {
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
        let way = Way { form, all, at: self.reached() };
        match self.take(&slice, now, way)? {
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

    /// All that was not handed over, what follows the last newline too: only for a file nobody writes
    /// to any more.
    pub(super) fn flush(&mut self, created: i64, form: Form) -> io::Result<Vec<NewRecord>> {
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
                lines::rest(rest, created, Way { form, all: true, at: self.place.offset })
            }
        };
        self.held = None;
        if let Some(digest) = fingerprint(file, offset)? {
            self.place.offset = offset;
            self.place.digest = digest;
        }
        Ok(records)
    }

    /// When the record that waits goes although no line went on with it; None when none waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.due)
    }

    /// Has the record that waits go with the next read; whether there is one.
    pub(super) fn let_go(&mut self, now: Now) -> bool {
        if let Some(held) = &mut self.held {
            held.due = now.steady;
        }
        self.held.is_some()
    }

    /// The record that waited in a file that was truncated, with the place behind it.
    pub(super) fn last_words(&self, created: i64) -> (Vec<NewRecord>, Place) {
        let text = self.held.as_ref().map(|held| held.text.clone()).unwrap_or_default();
        let place = Place { offset: self.place.offset + text.len() as u64, ..self.place.clone() };
        let way = Way { form: Form::Joined, all: true, at: self.place.offset };
        (lines::rest(text.to_vec(), created, way), place)
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
    fn take(&mut self, slice: &Bytes, now: Now, way: Way) -> io::Result<Option<Outcome>> {
        let Some(file) = &self.file else { return Ok(None) };
        let from = self.reached();
        let lines = !matches!(way.form, Form::Fixed { .. });
        if lines && self.long.is_none() && slice.len() == SLICE && !slice.contains(&b'\n') {
            self.long = Some(Long::new());
        }
        let (records, taken, held) = match &mut self.long {
            None => {
                let cut = lines::split(slice, now.wall, way);
                (cut.records, cut.taken, cut.held)
            }
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
                        Some(long) => (long.finish(now.wall), taken, 0),
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
        self.hold(slice.get(taken..taken + held), (offset, from + slice.len() as u64), now);
        let Some(digest) = digest else { return Ok(Some(Outcome::End)) };
        self.place.offset = offset;
        self.place.digest = digest;
        Ok(Some(Outcome::Lines(records)))
    }

    /// Notes which lines wait, and since when nothing was added to the file.
    fn hold(&mut self, lines: Option<&[u8]>, span: (u64, u64), now: Now) {
        let waiting = self.held.take();
        let Some(lines) = lines.filter(|lines| !lines.is_empty()) else { return };
        self.held = match waiting {
            Some(held) if held.span == span => Some(held),
            _ => {
                let kept = if lines.len() <= MAX_HELD { lines } else { &[] };
                let text = Bytes::copy_from_slice(kept);
                Some(Held { due: now.steady + HOLD, span, text })
            }
        };
    }
}

/// The start of the line or record in progress at a file's end, with its fingerprint: one half written
/// when the agent first looks is read whole.
pub(super) fn start_at_end(file: &File, form: Form) -> Option<(u64, String)> {
    let size = file.metadata().ok()?.len();
    let offset = match form {
        Form::Fixed { size: one, .. } => size - size % (one as u64),
        Form::Lines | Form::Joined => line_start_at_end(file, size)?,
    };
    Some((offset, fingerprint(file, offset).ok()??))
}

fn line_start_at_end(file: &File, size: u64) -> Option<u64> {
    let mut window = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(MAX_ORIGINAL)];
    let from = size - window.len() as u64;
    file.read_exact_at(&mut window, from).ok()?;
    Some(match window.iter().rposition(|&byte| byte == b'\n') {
        Some(at) => from + at as u64 + 1,
        // No newline in the window: a small file is one line in progress, a large one is not text.
        None if from == 0 => 0,
        None => size,
    })
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

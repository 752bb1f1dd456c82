//! A log: a path, and the files that had its name one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hengwei_protocol::Kind;
use hengwei_protocol::wire::Origin;

use crate::sources::files::lines::Form;
use crate::sources::files::place::{FileId, Place};
use crate::sources::files::tail::Tail;
use crate::sources::{Chunk, NewRecord};

/// A path and the files that have or had its name.
pub(super) struct Log {
    pub(super) entry: usize,
    pub(super) kind: Kind,
    pub(super) origin: Arc<Origin>,
    pub(super) form: Form,
    /// The path as text below the root, as it stands in places.
    pub(super) name: String,
    /// Oldest first; the last has the name when `attached`.
    pub(super) queue: VecDeque<Tail>,
    pub(super) attached: bool,
    pub(super) lingering: VecDeque<(Tail, Instant)>,
}

impl Log {
    pub(super) fn chunk(&self, records: Vec<NewRecord>, id: FileId, place: &Place) -> Chunk {
        let position = Some((id.key(), place.encode()));
        Chunk { kind: self.kind, origin: Arc::clone(&self.origin), records, position }
    }

    pub(super) fn forget(&self, records: Vec<NewRecord>, id: FileId) -> Chunk {
        let position = Some((id.key(), Bytes::new()));
        Chunk { kind: self.kind, origin: Arc::clone(&self.origin), records, position }
    }

    /// Goes on with a file that already belongs to the log and has its name, perhaps again.
    pub(super) fn resume(&mut self, id: FileId) -> bool {
        if let Some(at) = self.lingering.iter().position(|(tail, _)| tail.id == id)
            && let Some((tail, _)) = self.lingering.remove(at)
        {
            self.queue.push_back(tail);
        }
        let last = self.queue.back().is_some_and(|tail| tail.id == id);
        if last {
            self.attached = true;
            let open = self.queue.iter_mut().filter(|tail| tail.file.is_some());
            open.for_each(Tail::look_again);
        }
        last || self.queue.iter().any(|tail| tail.id == id)
    }

    /// Whether the file that has the name is the only one to be read.
    pub(super) fn is_alone(&self) -> bool {
        self.attached && self.queue.len() == 1
    }

    pub(super) fn open_files(&self) -> usize {
        self.queue.iter().filter(|tail| tail.file.is_some()).count() + self.lingering.len()
    }

    /// When the first of its records that wait is due; the file at the front and those that linger are
    /// read, the others have not been.
    pub(super) fn due(&self) -> Option<Instant> {
        let lingering = self.lingering.iter().map(|(tail, _)| tail);
        self.queue.front().into_iter().chain(lingering).filter_map(Tail::due).min()
    }

    pub(super) fn ids(&self) -> Vec<FileId> {
        let lingering = self.lingering.iter().map(|(tail, _)| tail.id);
        self.queue.iter().map(|tail| tail.id).chain(lingering).collect()
    }
}

//! What evaluating remembers: marks of one event, and what recent values met.
//!
//! Marks carry the number of the event they were made for, so nothing is wiped between events. What
//! a value met is remembered under the whole value, not under its hash alone, so a stranger who makes
//! hashes collide makes evaluating slower and never wrong.

use super::matcher::Desk;
use super::{Span, place};

/// Values remembered, a power of two.
const SLOTS: usize = 1 << 13;
/// Bytes of values, and lists, after which everything is forgotten.
const MAX_BYTES: usize = 2 << 20;
const MAX_LISTS: usize = 1 << 18;
/// The longest value worth remembering; longer ones seldom come again.
const MAX_VALUE: usize = 1 << 10;

/// The memory that evaluating takes, of one thread at a time. What it remembers makes evaluating
/// faster and never changes what is found.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) marks: Marks,
    pub(super) memo: Memo,
    pub(super) desk: Desk,
    /// The text of a value that is none by itself.
    pub(super) written: String,
    /// Values that are looked at together.
    pub(super) joined: String,
    /// Lists that a value met.
    pub(super) met: Vec<u32>,
    /// Rules of the program that may hold, and those that do.
    pub(super) woken: Vec<u32>,
    pub(super) held: Vec<u32>,
}

/// What is known of the event at hand.
#[derive(Debug, Default)]
pub(super) struct Marks {
    event: u32,
    /// By list: the event that met it last.
    lists: Vec<u32>,
    /// By rule of the program: the event that woke it last.
    rules: Vec<u32>,
    /// By node: twice the event for which it was worked out last, and one more when it held.
    nodes: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Memo {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    lists: Vec<u32>,
    /// Slots of another generation are free.
    generation: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Program and field.
    tag: u64,
    generation: u32,
    text: Span,
    lists: Span,
}

impl Scratch {
    /// With nothing in it.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Forgets what was learnt from events.
    pub fn clear(&mut self) {
        self.memo.clear();
    }
}

impl Marks {
    /// Begins an event of a program of this size.
    pub(super) fn begin(&mut self, lists: usize, rules: usize, nodes: usize) {
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.lists.clear();
            self.rules.clear();
            self.nodes.clear();
            self.event = 1;
        }
        self.lists.resize(lists.max(self.lists.len()), 0);
        self.rules.resize(rules.max(self.rules.len()), 0);
        self.nodes.resize(nodes.max(self.nodes.len()), 0);
    }

    /// Marks a list as met; whether it was not yet.
    pub(super) fn meet(&mut self, list: u32) -> bool {
        std::mem::replace(&mut self.lists[list as usize], self.event) != self.event
    }

    pub(super) fn is_met(&self, list: u32) -> bool {
        self.lists[list as usize] == self.event
    }

    /// Marks a rule as woken; whether it was not yet.
    pub(super) fn wake(&mut self, rule: u32) -> bool {
        std::mem::replace(&mut self.rules[rule as usize], self.event) != self.event
    }

    /// Whether a node holds, if that was worked out for this event.
    pub(super) fn known(&self, node: u32) -> Option<bool> {
        let mark = self.nodes[node as usize];
        (mark >> 1 == u64::from(self.event)).then_some(mark & 1 == 1)
    }

    pub(super) fn learn(&mut self, node: u32, holds: bool) {
        self.nodes[node as usize] = u64::from(self.event) << 1 | u64::from(holds);
    }
}

impl Memo {
    fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.slots.clear();
            self.generation = 1;
        }
        self.slots.resize(SLOTS, Slot::default());
        self.bytes.clear();
        self.lists.clear();
    }

    /// Where a value is, or would be.
    pub(super) fn slot(tag: u64, text: &[u8]) -> usize {
        hash(tag, text) as usize & (SLOTS - 1)
    }

    /// What was found for a value.
    pub(super) fn get(&self, slot: usize, tag: u64, text: &[u8]) -> Option<&[u32]> {
        let slot = self.slots.get(slot)?;
        let same = slot.tag == tag
            && slot.generation == self.generation
            && self.bytes[range(slot.text)] == *text;
        same.then(|| &self.lists[range(slot.lists)])
    }

    /// Remembers what was found for a value.
    pub(super) fn put(&mut self, slot: usize, tag: u64, text: &[u8], lists: &[u32]) {
        if text.len() > MAX_VALUE {
            return;
        }
        if self.slots.is_empty()
            || self.bytes.len() + text.len() > MAX_BYTES
            || self.lists.len() + lists.len() > MAX_LISTS
        {
            self.clear();
        }
        let (bytes, met) = (self.bytes.len(), self.lists.len());
        self.bytes.extend_from_slice(text);
        self.lists.extend_from_slice(lists);
        self.slots[slot] = Slot {
            tag,
            generation: self.generation,
            text: (place(bytes), place(self.bytes.len())),
            lists: (place(met), place(self.lists.len())),
        };
    }
}

fn range(span: Span) -> std::ops::Range<usize> {
    span.0 as usize..span.1 as usize
}

fn hash(tag: u64, text: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::with_seed(tag).build_hasher();
    hasher.write(text);
    hasher.finish()
}

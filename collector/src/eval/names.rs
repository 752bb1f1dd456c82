//! Names of fields, numbered: those that rules ask for, and those that JSON events bring.
//!
//! The numbers below [`OPEN`] belong to the keys that say where an event comes from and when, so
//! that these come first in an event's fields. Names of rules are always taken; names that only
//! events use are capped, and a value under a name beyond the cap is still found by keywords.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;

use foldhash::fast::RandomState;
use hengwei_rules::{Key, Names};

/// Names that events may add to those of rules.
const MAX_STRANGERS: usize = 65_536;

/// `_ls_category`
pub(super) const SAID_CATEGORY: Key = Key(0);
/// `_ls_product`
pub(super) const SAID_PRODUCT: Key = Key(1);
/// `_ls_service`
pub(super) const SAID_SERVICE: Key = Key(2);
/// `_time`
pub(super) const TIME: Key = Key(3);
/// Names below are never matched.
pub(super) const HIDDEN: Key = Key(4);
/// `category`
pub(super) const CATEGORY: Key = Key(4);
/// `product`
pub(super) const PRODUCT: Key = Key(5);
/// `service`
pub(super) const SERVICE: Key = Key(6);
/// Names below are not matched when they say the log source.
pub(super) const OPEN: Key = Key(7);
/// `Channel`
pub(super) const CHANNEL: Key = Key(7);
/// `EventID`
pub(super) const EVENT_ID: Key = Key(8);
/// `EventType`
pub(super) const EVENT_TYPE: Key = Key(9);
/// `event.dataset`
pub(super) const DATASET: Key = Key(10);
/// `@timestamp`
pub(super) const TIMESTAMP: Key = Key(11);
/// Names below are those above.
pub(super) const FIRST_FREE: Key = Key(12);
/// What no name has: the key of a value that is found by keywords alone.
pub(super) const NONE: Key = Key(u32::MAX);

const FIXED: [&str; FIRST_FREE.0 as usize] = [
    "_ls_category",
    "_ls_product",
    "_ls_service",
    "_time",
    "category",
    "product",
    "service",
    "Channel",
    "EventID",
    "EventType",
    "event.dataset",
    "@timestamp",
];

/// Names of fields, numbered as they are met.
#[derive(Debug, Default)]
pub struct Interned {
    table: RefCell<Table>,
}

/// What [`Interned`] holds.
#[derive(Debug)]
pub(super) struct Table {
    keys: HashMap<Box<str>, Key, RandomState>,
    names: Vec<Box<str>>,
    /// Which name came after a name when last met, and at 0 which came first: events of one kind
    /// name their fields in one order, and comparing is cheaper than hashing.
    following: Vec<Key>,
    /// How many more names events may add.
    room: usize,
}

impl Interned {
    /// The table itself, for reading an event.
    pub(super) fn table(&self) -> RefMut<'_, Table> {
        self.table.borrow_mut()
    }
}

impl Names for Interned {
    fn key(&self, name: &str) -> Key {
        let mut table = self.table.borrow_mut();
        match table.keys.get(name) {
            Some(key) => *key,
            None => table.add(name),
        }
    }
}

impl Default for Table {
    fn default() -> Table {
        let mut table = Table {
            keys: HashMap::default(),
            names: Vec::new(),
            following: vec![NONE],
            room: MAX_STRANGERS,
        };
        for name in FIXED {
            table.add(name);
        }
        table
    }
}

impl Table {
    /// The key of a name in an event, `before` being that of the name before it there; [`NONE`]
    /// when there is no room for another.
    pub(super) fn meet(&mut self, name: &str, before: Key) -> Key {
        let place = if before == NONE { 0 } else { before.0 as usize + 1 };
        let guess = self.following.get(place).copied().unwrap_or(NONE);
        if self.names.get(guess.0 as usize).is_some_and(|known| **known == *name) {
            return guess;
        }
        let key = match self.keys.get(name) {
            Some(key) => *key,
            None if self.room == 0 => return NONE,
            None => {
                self.room -= 1;
                self.add(name)
            }
        };
        if let Some(following) = self.following.get_mut(place) {
            *following = key;
        }
        key
    }

    /// The key of a name that is there.
    pub(super) fn find(&self, name: &str) -> Option<Key> {
        self.keys.get(name).copied()
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    fn add(&mut self, name: &str) -> Key {
        let key = Key(u32::try_from(self.names.len()).unwrap_or(NONE.0));
        self.names.push(name.into());
        self.following.push(NONE);
        self.keys.insert(name.into(), key);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_key_whoever_brings_it() {
        let names = Interned::default();
        let asked = names.key("CommandLine");
        assert_eq!(names.key("event.dataset"), DATASET);
        assert_eq!(names.key("@timestamp"), TIMESTAMP);
        let mut table = names.table();
        for _ in 0..2 {
            assert_eq!(table.meet("CommandLine", NONE), asked);
            assert_eq!(table.meet("Channel", asked), CHANNEL);
            assert_eq!(table.meet("Image", NONE), Key(asked.0 + 1));
        }
    }

    #[test]
    fn events_cannot_add_names_without_end() {
        let names = Interned::default();
        let before = names.table().len();
        for number in 0..MAX_STRANGERS + 10 {
            names.table().meet(&format!("name{number}"), NONE);
        }
        assert_eq!(names.table().len(), before + MAX_STRANGERS);
        assert_eq!(names.table().meet("another", NONE), NONE);
        assert_eq!(names.table().meet("name0", NONE), Key(FIRST_FREE.0));
        assert_ne!(names.key("another"), NONE);
    }
}

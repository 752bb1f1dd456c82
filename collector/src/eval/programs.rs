//! Runs a set over events: the program of each kind of origin is looked up once, when such an origin
//! is first met, and the memory of evaluating is kept from one event to the next.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hengwei_rules::{Program, Scratch, Set};

use super::json::JsonEvent;

/// Kinds of origin that are remembered; events that make up more begin anew.
const MAX_KINDS: usize = 16_384;

/// A set, and what it learnt from the events it was run over.
#[derive(Debug)]
pub struct Matcher<'s> {
    set: &'s Set,
    programs: Programs,
    scratch: Scratch,
    hits: Vec<usize>,
}

impl<'s> Matcher<'s> {
    /// Over nothing yet.
    pub fn new(set: &'s Set) -> Matcher<'s> {
        Matcher { set, programs: Programs::default(), scratch: Scratch::new(), hits: Vec::new() }
    }

    /// Forgets what was learnt from events.
    pub fn forget(&mut self) {
        self.programs.clear();
        self.scratch.clear();
    }

    /// The detection rules an event matches, ascending.
    pub fn hits(&mut self, event: &JsonEvent<'_>) -> &[usize] {
        self.hits.clear();
        let program = self.programs.of(self.set, event);
        program.run(event, &mut self.scratch, &mut self.hits);
        &self.hits
    }

    /// Has the set make the program of an event, if it has not yet.
    pub fn prepare(&mut self, event: &JsonEvent<'_>) {
        self.programs.of(self.set, event);
    }
}

/// The programs of the origins met so far.
#[derive(Debug, Default)]
struct Programs {
    known: HashMap<Box<[u8]>, Arc<Program>, RandomState>,
    /// The origin of the event before, as it spells it, and its program.
    last: Option<(Vec<u8>, Arc<Program>)>,
    spelt: Vec<u8>,
}

impl Programs {
    fn clear(&mut self) {
        self.known.clear();
        self.last = None;
    }

    /// The program of `set`, always the same one, for an event.
    fn of(&mut self, set: &Set, event: &JsonEvent<'_>) -> &Program {
        self.spelt.clear();
        event.spell_origin(&mut self.spelt);
        let same = self.last.as_ref().is_some_and(|(spelt, _)| *spelt == self.spelt);
        if !same {
            let program = match self.known.get(self.spelt.as_slice()) {
                Some(program) => Arc::clone(program),
                None => {
                    if self.known.len() == MAX_KINDS {
                        self.known.clear();
                    }
                    let program = set.program(event);
                    self.known.insert(self.spelt.as_slice().into(), Arc::clone(&program));
                    program
                }
            };
            match &mut self.last {
                Some((spelt, last)) => {
                    std::mem::swap(spelt, &mut self.spelt);
                    *last = program;
                }
                None => self.last = Some((self.spelt.clone(), program)),
            }
        }
        &self.last.as_ref().expect("it was just filled").1
    }
}

//! All rules that concern an event, run at once.

use std::sync::Arc;

use crate::Event;
use crate::set::Set;

/// What a set has for events of certain log sources.
#[derive(Debug)]
pub struct Program {
    /// Indices of the rules, ascending.
    rules: Vec<usize>,
}

/// The memory that evaluating takes, of one thread at a time. What it remembers makes evaluating
/// faster and never changes what is found; it belongs to the set it was last used with.
#[derive(Debug, Default)]
pub struct Scratch {}

impl Scratch {
    /// With nothing in it.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Forgets what was learnt from events.
    pub fn clear(&mut self) {}
}

impl Set {
    /// The program for an event. It is the same for every event of the same log sources, so whoever
    /// has many of one kind asks once.
    pub fn program<E: Event>(&self, event: &E) -> Arc<Program> {
        Arc::new(Program { rules: self.candidates(event) })
    }

    /// Appends the indices of the detection rules that `event` matches, ascending, each once.
    pub fn evaluate<E: Event>(&self, event: &E, scratch: &mut Scratch, hits: &mut Vec<usize>) {
        self.run(&self.program(event), event, scratch, hits);
    }

    /// The same with a program of this set at hand.
    pub fn run<E: Event>(
        &self,
        program: &Program,
        event: &E,
        _scratch: &mut Scratch,
        hits: &mut Vec<usize>,
    ) {
        self.evaluate_among(&program.rules, event, hits);
    }
}

impl Program {
    /// Whether no rule concerns such events.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

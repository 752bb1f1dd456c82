//! All rules that concern an event, run at once.
//!
//! A [`Program`] is made for the rules of a set that concern events of certain log sources. In it
//! every distinct test stands once, and every distinct list of tests of which one is enough (those
//! of an item of a rule: of one field, or of the few that the rule calls by one name). Running it takes three steps:
//!
//! 1. Each value of each field that some rule asks for goes through the field's [`matcher`], which
//!    gives the lists it meets. What recent values met is remembered ([`Scratch`]).
//! 2. A rule has a *witness*: lists of which one must be met, or it can't hold. A list that is met
//!    wakes the rules it is a witness of. The few rules without one are always awake.
//! 3. The condition of each rule awake is worked out over the lists that were met. Conditions are
//!    nodes, shared between rules that say the same, each worked out at most once for an event. What
//!    can't be looked for in advance (an absent field, another field's value, a network, a time) is a
//!    node that asks the event, when a condition comes to it.
//!
//! So an event costs what its values cost to look through, plus what the rules cost that come close
//! to it, whatever the number of the others. The oracle of all this is
//! [`Set::evaluate_plainly`](crate::Set::evaluate_plainly); what can't be looked for, and what has to
//! be looked at again, is asked with the tests of that evaluator.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::item::Test;
use crate::set::Set;
use crate::{Event, Key, Value};

mod atom;
mod build;
mod grams;
mod literal;
mod matcher;
mod scratch;
mod trie;

use matcher::Matcher;
use scratch::Memo;

pub use scratch::Scratch;

/// A range of places in some array.
type Span = (u32, u32);

/// Places are kept in 32 bits.
fn place(index: usize) -> u32 {
    u32::try_from(index).expect("the text of a set of rules is far below 4 GiB")
}

/// So many lists of one value are sorted out before they are remembered.
const MANY: usize = 8;

/// What a set has for events of certain log sources.
#[derive(Debug)]
pub struct Program {
    /// Tells programs apart in what is remembered of values.
    id: u64,
    wanted: Wanted,
    /// By the places of `wanted`.
    fields: Vec<Matcher>,
    keywords: Option<Keywords>,
    /// By list: the rules it wakes, in `woken`.
    wakes: Vec<Span>,
    woken: Vec<u32>,
    /// Rules without a witness.
    always: Vec<u32>,
    rules: Vec<Judged>,
    nodes: Vec<Node>,
    /// What nodes refer to.
    children: Vec<u32>,
    asked: Vec<Asked>,
}

/// The fields that some rule of a program asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    keys: Vec<Key>,
    /// By key: its place in `keys` and one more, or 0.
    places: Vec<u32>,
}

#[derive(Debug)]
struct Keywords {
    matcher: Matcher,
    /// Whether what they find in a piece of the line they also find in the line.
    whole: bool,
}

/// A rule in a program.
#[derive(Debug, Clone, Copy)]
struct Judged {
    /// In the set.
    index: usize,
    node: u32,
}

/// Part of a condition. Spans are ranges of [`Program::children`].
#[derive(Debug, Clone, Copy)]
enum Node {
    All(Span),
    Any(Span),
    Not(u32),
    /// At least so many.
    Of(u32, Span),
    Met(u32),
    Ask(u32),
}

/// Tests that are asked of the event itself; one is enough.
#[derive(Debug)]
struct Asked {
    /// None for keywords.
    keys: Vec<Key>,
    tests: Vec<Test>,
}

/// Learns what evaluating does, rule by rule.
pub trait Observer {
    /// A rule's condition is about to be worked out.
    fn tried(&mut self, rule: usize);
    /// It was, and whether it holds.
    fn judged(&mut self, rule: usize, holds: bool);
}

/// Learns nothing.
struct Nobody;

impl Observer for Nobody {
    fn tried(&mut self, _: usize) {}
    fn judged(&mut self, _: usize, _: bool) {}
}

impl Set {
    /// Appends the indices of the detection rules that `event` matches, ascending, each once.
    pub fn evaluate<E: Event>(&self, event: &E, scratch: &mut Scratch, hits: &mut Vec<usize>) {
        self.program(event).run(event, scratch, hits);
    }
}

impl Program {
    /// Whether no rule concerns such events.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules concern such events.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Appends the indices (in the set it is of) of the rules that `event` matches, ascending, each
    /// once.
    pub fn run<E: Event>(&self, event: &E, scratch: &mut Scratch, hits: &mut Vec<usize>) {
        self.run_observed(event, scratch, hits, &mut Nobody);
    }

    /// The same, under somebody's eyes.
    pub fn run_observed<E: Event, O: Observer>(
        &self,
        event: &E,
        scratch: &mut Scratch,
        hits: &mut Vec<usize>,
        observer: &mut O,
    ) {
        scratch.marks.begin(self.wakes.len(), self.rules.len(), self.nodes.len());
        scratch.woken.clear();
        scratch.woken.extend_from_slice(&self.always);
        event.visit(&self.wanted, &mut |place, value| {
            self.look(&self.fields[place], place, value, scratch);
        });
        if let Some(keywords) = &self.keywords {
            self.look_for_keywords(keywords, event, scratch);
        }
        scratch.held.clear();
        for place in 0..scratch.woken.len() {
            let rule = scratch.woken[place];
            let judged = self.rules[rule as usize];
            observer.tried(judged.index);
            let holds = self.holds(judged.node, event, scratch);
            observer.judged(judged.index, holds);
            if holds {
                scratch.held.push(rule);
            }
        }
        // Rules of a program are in the order of the set.
        scratch.held.sort_unstable();
        hits.extend(scratch.held.iter().map(|rule| self.rules[*rule as usize].index));
    }

    /// Marks the lists that all values together meet: keywords may stand anywhere in any.
    fn look_for_keywords<E: Event>(&self, keywords: &Keywords, event: &E, scratch: &mut Scratch) {
        scratch.joined.clear();
        let (joined, written) = (&mut scratch.joined, &mut scratch.written);
        let mut see = |value: Value<'_>| {
            match value {
                Value::Text(text) => keywords.matcher.join(text, joined),
                Value::Integer(_) if !keywords.matcher.looks_for_digits() => {}
                _ => {
                    written.clear();
                    if crate::text::write(value, written) {
                        keywords.matcher.join(written, joined);
                    }
                }
            }
            false
        };
        if keywords.whole {
            event.any_whole_value(&mut see);
        } else {
            event.any_value(&mut see);
        }
        let mut met = std::mem::take(&mut scratch.met);
        met.clear();
        keywords.matcher.joined(&scratch.joined, &mut scratch.desk, &mut met, |test| {
            event.any_value(&mut |value| test.accepts(value))
        });
        self.mark(&met, scratch);
        scratch.met = met;
    }

    /// Marks the lists a value meets.
    fn look(&self, matcher: &Matcher, place: usize, value: Value<'_>, scratch: &mut Scratch) {
        match value {
            Value::Null => return,
            Value::Text(text) => return self.look_at_text(matcher, place, text, scratch),
            Value::Integer(number) => {
                if let Some(met) = matcher.integer(number) {
                    met.iter().for_each(|lists| self.mark(lists, scratch));
                    return;
                }
            }
            Value::Number(number) => {
                let mut met = std::mem::take(&mut scratch.met);
                met.clear();
                matcher.number(number, &mut met);
                self.mark(&met, scratch);
                scratch.met = met;
            }
            Value::Flag(_) | Value::Address(_) => {}
        }
        let mut written = std::mem::take(&mut scratch.written);
        written.clear();
        if crate::text::write(value, &mut written) {
            self.look_at_text(matcher, place, &written, scratch);
        }
        scratch.written = written;
    }

    fn look_at_text(&self, matcher: &Matcher, place: usize, text: &str, scratch: &mut Scratch) {
        if !matcher.looks_inside() {
            let mut met = std::mem::take(&mut scratch.met);
            met.clear();
            matcher.text(text, &mut scratch.desk, &mut met);
            self.mark(&met, scratch);
            scratch.met = met;
            return;
        }
        let tag = self.id << 32 | place as u64;
        let slot = Memo::slot(tag, text.as_bytes());
        if let Some(met) = scratch.memo.get(slot, tag, text.as_bytes()) {
            for list in met {
                if scratch.marks.meet(*list) {
                    self.wake(*list, &mut scratch.marks, &mut scratch.woken);
                }
            }
            return;
        }
        let mut met = std::mem::take(&mut scratch.met);
        met.clear();
        matcher.text(text, &mut scratch.desk, &mut met);
        if met.len() > MANY {
            met.sort_unstable();
            met.dedup();
        }
        self.mark(&met, scratch);
        scratch.memo.put(slot, tag, text.as_bytes(), &met);
        scratch.met = met;
    }

    fn mark(&self, met: &[u32], scratch: &mut Scratch) {
        for list in met {
            if scratch.marks.meet(*list) {
                self.wake(*list, &mut scratch.marks, &mut scratch.woken);
            }
        }
    }

    fn wake(&self, list: u32, marks: &mut scratch::Marks, woken: &mut Vec<u32>) {
        let (first, last) = self.wakes[list as usize];
        for rule in &self.woken[first as usize..last as usize] {
            if marks.wake(*rule) {
                woken.push(*rule);
            }
        }
    }

    /// Whether a node holds.
    fn holds<E: Event>(&self, node: u32, event: &E, scratch: &mut Scratch) -> bool {
        let kind = self.nodes[node as usize];
        if let Node::Met(list) = kind {
            return scratch.marks.is_met(list);
        }
        if let Some(known) = scratch.marks.known(node) {
            return known;
        }
        let mut child = |node: &u32| self.holds(*node, event, scratch);
        let holds = match kind {
            Node::All(span) => self.children_of(span).iter().all(child),
            Node::Any(span) => self.children_of(span).iter().any(child),
            Node::Not(node) => !child(&node),
            Node::Of(least, span) => {
                let children = self.children_of(span).iter();
                children.filter(|node| child(node)).take(least as usize).count() == least as usize
            }
            Node::Ask(asked) => self.asked[asked as usize].holds(event),
            Node::Met(_) => false,
        };
        scratch.marks.learn(node, holds);
        holds
    }

    fn children_of(&self, span: Span) -> &[u32] {
        &self.children[span.0 as usize..span.1 as usize]
    }
}

impl Asked {
    fn holds(&self, event: &dyn Event) -> bool {
        self.tests.iter().any(|test| match self.keys.as_slice() {
            [] => event.any_value(&mut |value| test.accepts(value)),
            keys => test.holds(event, keys),
        })
    }
}

impl Wanted {
    /// Of keys, ascending, each once.
    pub fn new(keys: Vec<Key>) -> Wanted {
        let size = keys.last().map_or(0, |key| key.0 as usize + 1);
        let mut places = vec![0; size];
        for (place, key) in (1u32..).zip(&keys) {
            places[key.0 as usize] = place;
        }
        Wanted { keys, places }
    }

    /// The keys, ascending, each once; their places here are what a value is shown with.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The place of a key, if it is wanted.
    #[inline]
    pub fn place(&self, key: Key) -> Option<usize> {
        let place = self.places.get(key.0 as usize).copied().unwrap_or(0);
        (place as usize).checked_sub(1)
    }
}

/// The next program's number.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;

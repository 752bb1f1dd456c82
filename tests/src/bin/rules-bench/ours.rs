//! Our side: a compiled set, and passes over events.

use anyhow::ensure;
use hengwei_collector::eval::{Interned, JsonEvents, Matcher};
use hengwei_rules::{Document, Options, Set};

use super::sets::Text;
use hengwei_tests::race::{Contestant, Pass};

/// A compiled set with the names it was compiled with.
pub(super) struct Ours {
    pub(super) set: Set,
    names: Interned,
    pub(super) refused: usize,
}

impl Ours {
    pub(super) fn compile(texts: &[Text]) -> Ours {
        let names = Interned::default();
        let documents = texts.iter().map(|(name, text)| Document { name, text });
        let (set, refused) = Set::compile(documents, &names, &Options::default());
        Ours { set, names, refused: refused.len() }
    }

    pub(super) fn events(&self, lines: &[String]) -> anyhow::Result<JsonEvents> {
        let mut events = JsonEvents::new();
        for line in lines {
            events.push(line, &self.names)?;
        }
        Ok(events)
    }

    /// Has the set make what it needs for events.
    pub(super) fn prepare(&self, events: &JsonEvents) {
        let mut matcher = Matcher::new(&self.set);
        events.iter().for_each(|event| matcher.prepare(&event));
    }

    /// Shows it all of them once; how many rules they match.
    pub(super) fn warm(&self, events: &JsonEvents) -> usize {
        let mut matcher = Matcher::new(&self.set);
        events.iter().map(|event| matcher.hits(&event).len()).sum()
    }

    /// Passes over events that are decoded.
    pub(super) fn decoded<'a>(&'a self, events: &'a JsonEvents) -> Contestant<'a> {
        let mut matcher = Matcher::new(&self.set);
        Contestant::new("hengwei", move || {
            matcher.forget();
            Pass::of(|| events.iter().map(|event| matcher.hits(&event).len()).sum())
        })
    }

    /// Passes that begin with the lines.
    pub(super) fn parsed<'a>(&'a self, lines: &'a [String]) -> Contestant<'a> {
        let mut matcher = Matcher::new(&self.set);
        let mut one = JsonEvents::new();
        Contestant::new("hengwei", move || {
            matcher.forget();
            Pass::of(|| {
                let mut hits = 0;
                for line in lines {
                    one.clear();
                    if one.push(line, &self.names).is_ok() {
                        hits += one.iter().map(|event| matcher.hits(&event).len()).sum::<usize>();
                    }
                }
                hits
            })
        })
    }

    /// That about `sample` of the events match what the plain evaluator says they do.
    pub(super) fn check(&self, events: &JsonEvents, sample: usize) -> anyhow::Result<()> {
        let mut matcher = Matcher::new(&self.set);
        let step = events.len().div_ceil(sample.max(1)).max(1);
        let mut plain = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let hits = matcher.hits(&event);
            if index % step != 0 {
                continue;
            }
            plain.clear();
            self.set.evaluate_plainly(&event, &mut plain);
            ensure!(hits == plain, "event {index}: {hits:?}, and plainly {plain:?}");
        }
        Ok(())
    }
}

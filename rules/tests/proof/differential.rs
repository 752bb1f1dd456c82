//! The compiled evaluator against the plain one, over generated sets and events.
//!
//! A set has 1 to 40 rules, sometimes filters; its events are aimed at one rule each, so that
//! conditions are decided by values that match or nearly do. What differs is made small before it
//! is shown. `PROPTEST_CASES` says how many sets.

use std::cell::RefCell;

use hengwei_rules::{LogSource, Options, Scratch};
use proptest::prelude::*;

use crate::corpora;
use crate::grammar::{self, Filter, Rule, Scope};
use crate::made::{Made, Rules};
use crate::values::Choices;

/// Sets where nothing is said.
const CASES: u32 = 48;

/// Events for each set.
const EVENTS: usize = 16;

/// Events of one lane of the corpora, and lines; `HENGWEI_ALL=1` takes all.
const EVENTS_OF_A_LANE: usize = 40;
const LINES_OF_A_LANE: usize = 20;

/// How often a set's rules were asked and what they said.
#[derive(Default)]
struct Count {
    rules: usize,
    refused: usize,
    aimed: usize,
    met: usize,
    pairs: usize,
    hits: usize,
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES),
        // What fails is made small here, and the seed says how to make it again.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A set from a seed.
fn made(seed: u64) -> (Vec<Rule>, Vec<Filter>, Choices<'static>) {
    let mut choices = Choices::of_seed(seed);
    let count = match choices.below(4) {
        0 => 1,
        1 => 1 + choices.below(5),
        _ => 1 + choices.below(40),
    };
    let rules: Vec<Rule> = (0..count)
        .map(|number| Rule::new(format!("rule-{number}"), &mut choices, Scope::Whole))
        .collect();
    let mut filters = Vec::new();
    while choices.one_in(5) {
        filters.push(Filter::new(&rules, &mut choices));
    }
    (rules, filters, choices)
}

fn compiled(rules: &[Rule], filters: &[Filter]) -> Rules {
    let texts: Vec<String> =
        rules.iter().map(Rule::text).chain(filters.iter().map(Filter::text)).collect();
    Rules::of(texts.iter().map(String::as_str), &grammar::options())
}

thread_local! {
    /// A scratch that has seen the sets before.
    static SEASONED: RefCell<Scratch> = RefCell::default();
}

/// Compares over all events, with a scratch that is kept, one that is cleared and one that has been
/// used with other sets.
fn compare(seed: u64, count: &mut Count) -> Result<(), String> {
    let (rules, filters, mut choices) = made(seed);
    let compiled = compiled(&rules, &filters);
    count.rules += rules.len();
    count.refused += compiled.refused.len();
    let mut kept = Scratch::new();
    let mut cleared = Scratch::new();
    let mut events: Vec<Made> = Vec::with_capacity(EVENTS);
    for _ in 0..EVENTS {
        let aimed = choices.below(rules.len());
        events.push(grammar::event(&rules, aimed, &mut choices));
        let event = events.last().unwrap();
        let plainly = plainly(&compiled, event);
        let seasoned = SEASONED.with_borrow_mut(|scratch| found(&compiled, event, scratch));
        if seasoned != plainly {
            return Err(format!("after other sets: {}", smallest(&rules, &filters, &events)));
        }
        for scratch in [&mut kept, &mut cleared] {
            if found(&compiled, event, scratch) != plainly {
                return Err(smallest(&rules, &filters, &events));
            }
        }
        cleared.clear();
        count.pairs += compiled.set.rules().len();
        count.hits += plainly.len();
        if let Some((index, _)) = compiled.set.by_id(&rules[aimed].id) {
            count.aimed += 1;
            count.met += usize::from(plainly.contains(&index));
        }
    }
    // Once more, now that everything was seen before.
    for event in &events {
        if found(&compiled, event, &mut kept) != plainly(&compiled, event) {
            return Err(smallest(&rules, &filters, &events));
        }
    }
    Ok(())
}

fn plainly(rules: &Rules, event: &Made) -> Vec<usize> {
    let mut hits = Vec::new();
    rules.set.evaluate_plainly(&event.seen(&rules.known), &mut hits);
    hits
}

fn found(rules: &Rules, event: &Made, scratch: &mut Scratch) -> Vec<usize> {
    let mut hits = Vec::new();
    rules.set.evaluate(&event.seen(&rules.known), scratch, &mut hits);
    hits
}

/// Whether the evaluators still differ over these events, in this order, twice.
fn differs(rules: &[Rule], filters: &[Filter], events: &[Made]) -> bool {
    let compiled = compiled(rules, filters);
    let mut kept = Scratch::new();
    events.iter().chain(events).any(|event| {
        found(&compiled, event, &mut kept) != plainly(&compiled, event)
            || found(&compiled, event, &mut Scratch::new()) != plainly(&compiled, event)
    })
}

/// The fewest rules, events and fields that still differ, as text.
fn smallest(rules: &[Rule], filters: &[Filter], events: &[Made]) -> String {
    let (mut rules, mut filters, mut events) = (rules.to_vec(), filters.to_vec(), events.to_vec());
    loop {
        let before = (rules.len(), filters.len(), events.len());
        fewer(&mut events, &|events| differs(&rules, &filters, events));
        fewer(&mut rules, &|rules| !rules.is_empty() && differs(rules, &filters, &events));
        fewer(&mut filters, &|filters| differs(&rules, filters, &events));
        if before == (rules.len(), filters.len(), events.len()) {
            break;
        }
    }
    for index in 0..events.len() {
        let mut fields = events[index].fields.clone();
        fewer(&mut fields, &|fields| {
            let mut tried = events.clone();
            tried[index].fields = fields.to_vec();
            differs(&rules, &filters, &tried)
        });
        events[index].fields = fields;
    }
    let compiled = compiled(&rules, &filters);
    let mut out = String::new();
    for text in rules.iter().map(Rule::text).chain(filters.iter().map(Filter::text)) {
        out += &format!("{text}\n");
    }
    let mut kept = Scratch::new();
    for event in &events {
        let hits = found(&compiled, event, &mut kept);
        out += &format!("{event:?}: found {hits:?}, plainly {:?}\n", plainly(&compiled, event));
    }
    out
}

/// Takes out of a list whatever is not needed for something to hold.
fn fewer<T: Clone>(all: &mut Vec<T>, holds: &dyn Fn(&[T]) -> bool) {
    let mut index = all.len();
    while index > 0 {
        index -= 1;
        let mut tried = all.clone();
        tried.remove(index);
        if holds(&tried) {
            *all = tried;
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn both_evaluators_find_the_same(seed in any::<u64>()) {
        if let Err(difference) = compare(seed, &mut Count::default()) {
            prop_assert!(false, "seed {}:\n{}", seed, difference);
        }
    }
}

/// A comparison proves little when nothing matches, or everything.
#[test]
fn the_generated_events_hit_and_miss() {
    let mut count = Count::default();
    for seed in 0..40 {
        compare(seed, &mut count).unwrap_or_else(|difference| panic!("seed {seed}:\n{difference}"));
    }
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    let (met, hit) = (share(count.met, count.aimed), share(count.hits, count.pairs));
    let refused = share(count.refused, count.rules);
    println!(
        "{} rules, {:.1} % refused; {} events aimed, {:.0} % met; of {} pairs {:.1} % hit",
        count.rules,
        refused * 100.0,
        count.aimed,
        met * 100.0,
        count.pairs,
        hit * 100.0
    );
    assert!((0.3..0.8).contains(&met), "{met}");
    assert!((0.02..0.5).contains(&hit), "{hit}");
    assert!(refused < 0.1, "{refused}");
}

/// All public rules over events of every lane, and over lines where every rule is asked.
#[test]
fn both_evaluators_find_the_same_in_the_corpora() {
    let Some(root) = corpora::root() else { return };
    let texts = corpora::rules(&root);
    let rules = Rules::of(texts.iter().map(String::as_str), &Options::default());
    println!("{} rules, {} refused", rules.set.rules().len(), rules.refused.len());
    let mut scratch = Scratch::new();
    for (lane, events) in corpora::events(&root) {
        let events = events.iter().step_by(corpora::stride(events.len(), EVENTS_OF_A_LANE));
        let hits = events
            .clone()
            .map(|event| hits(&rules, &corpora::event(event), &mut scratch))
            .sum::<usize>();
        println!("{lane}: {} events, {hits} hits", events.len());
        assert!(hits > 0, "{lane}");
    }
    let mut sources: Vec<LogSource> =
        rules.set.rules().iter().map(|rule| rule.log_source.clone()).collect();
    sources.sort_by_key(|source| format!("{source:?}"));
    sources.dedup();
    for (lane, lines) in corpora::lines(&root) {
        let lines = lines.iter().step_by(corpora::stride(lines.len(), LINES_OF_A_LANE));
        let mut count = 0;
        for line in lines.clone() {
            let event =
                Made { sources: sources.clone(), line: Some(line.clone()), ..Made::default() };
            count += hits(&rules, &event, &mut scratch);
        }
        println!("{lane}: {} lines, {count} hits", lines.len());
    }
}

/// How many rules an event matches, by both evaluators.
fn hits(rules: &Rules, event: &Made, scratch: &mut Scratch) -> usize {
    let plainly = plainly(rules, event);
    let found = found(rules, event, scratch);
    let key = |index: &usize| rules.set.rules()[*index].key();
    let lacking: Vec<&str> = plainly.iter().filter(|i| !found.contains(i)).map(key).collect();
    let added: Vec<&str> = found.iter().filter(|i| !plainly.contains(i)).map(key).collect();
    assert_eq!(found, plainly, "lacking {lacking:?}, added {added:?} of {event:?}");
    plainly.len()
}

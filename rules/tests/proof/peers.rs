//! Two other engines over the same rules and events, and why they differ where they do.
//!
//! A rule that an engine finds otherwise than ours is taken apart: each value of each item becomes a
//! rule of its own, so that what differs is one value of one item and one event. Every such
//! difference must be of a class in `REASONS`, which says by which sentence of the standard ours is
//! right or, where the standard leaves a choice, which choice ours is. One that is of no class fails
//! the test. What an engine does not read is counted, not compared.

use std::collections::{BTreeMap, HashMap};

use hengwei_rules::Scratch;
use rsigma_eval::event::JsonEvent;
use serde_json::{Value as Json, json};

use crate::corpora;
use crate::grammar::{self, Rule, Scope};
use crate::made::{Made, Owned, Rules};
use crate::values::Choices;

mod reasons;

use reasons::{Difference, REASONS, Reason};

/// Generated rules where `PROPTEST_CASES` says nothing, and events for each.
const RULES: u64 = 100;
const EVENTS: usize = 6;

/// So many generated rules meet every reason that is listed.
const ENOUGH_RULES: u64 = 4_000;

/// Rules of the corpora, and events of one lane; `HENGWEI_ALL=1` takes all.
const PUBLIC_RULES: usize = 200;
const EVENTS_OF_A_LANE: usize = 40;

/// Another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Rsigma,
    SigmaRust,
}

/// A rule in each engine; none where it is not read.
struct Engines {
    ours: Rules,
    rsigma: Option<rsigma_eval::CompiledRule>,
    sigma_rust: Option<sigma_rust::Rule>,
}

impl Engines {
    fn new(text: &str) -> Engines {
        let rsigma = rsigma_parser::parse_sigma_yaml(text).ok().and_then(|collection| {
            let rule = collection.rules.first()?;
            rsigma_eval::compile_rule(rule).ok()
        });
        Engines {
            ours: Rules::of([text], &grammar::options()),
            rsigma,
            sigma_rust: match text.contains("windash") && text.contains(['–', '—', '―']) {
                // It panics over these dashes where one begins a word.
                true => None,
                false => sigma_rust::rule_from_yaml(text).ok(),
            },
        }
    }

    fn ours(&self, event: &Made) -> Option<bool> {
        let rule = self.ours.set.rules().first()?;
        let event = Made { sources: vec![rule.log_source.clone()], ..event.clone() };
        Some(!self.ours.hits(&event, &mut Scratch::new()).is_empty())
    }

    fn theirs(&self, peer: Peer, event: &Json) -> Option<bool> {
        match peer {
            Peer::Rsigma => {
                let event = JsonEvent::borrow(event);
                Some(rsigma_eval::evaluate_rule(self.rsigma.as_ref()?, &event).is_some())
            }
            Peer::SigmaRust => {
                let event = sigma_rust::event_from_json(&event.to_string()).ok()?;
                Some(sigma_rust::check_rule(self.sigma_rust.as_ref()?, &event))
            }
        }
    }
}

/// A piece of a rule: an item with its values, or the keywords of a list.
#[derive(Debug, Clone)]
struct Piece {
    key: String,
    value: Json,
}

impl Piece {
    fn text(&self) -> String {
        let selection = match self.key.as_str() {
            "" => json!([self.value]),
            key => json!({ key: self.value }),
        };
        let detection = json!({"s": selection, "condition": "s"});
        json!({"title": "t", "id": "t", "logsource": {"product": "x"}, "detection": detection})
            .to_string()
    }

    /// Each of several values on its own.
    fn singly(&self) -> Vec<Piece> {
        let Json::Array(values) = &self.value else { return Vec::new() };
        let key: Vec<&str> = self.key.split('|').filter(|part| *part != "all").collect();
        let key = key.join("|");
        values.iter().map(|value| Piece { key: key.clone(), value: value.clone() }).collect()
    }
}

/// The pieces of a rule's selections.
fn pieces(text: &str) -> Vec<Piece> {
    let rule: Json = yaml_serde::from_str(text).unwrap();
    let mut out = Vec::new();
    let detection = rule["detection"].as_object().unwrap();
    for (_, selection) in detection.iter().filter(|(name, _)| *name != "condition") {
        collect(selection, &mut out);
    }
    out
}

fn collect(selection: &Json, out: &mut Vec<Piece>) {
    match selection {
        Json::Object(map) => {
            let piece =
                |(key, value): (&String, &Json)| Piece { key: key.clone(), value: value.clone() };
            out.extend(map.iter().map(piece));
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, out)),
        keyword => out.push(Piece { key: String::new(), value: keyword.clone() }),
    }
}

/// What was compared and what came of it.
#[derive(Default)]
struct Tally {
    engines: HashMap<String, Engines>,
    /// Pairs of rule and event, by engine: compared, unread, different.
    counts: BTreeMap<Peer, [usize; 3]>,
    /// How often each reason explained something.
    reasons: BTreeMap<(Peer, &'static str), usize>,
    unexplained: Vec<String>,
}

impl Tally {
    /// Compares one rule over one event.
    fn compare(&mut self, text: &str, engines: &Engines, event: &Made) {
        let Some(ours) = engines.ours(event) else { return };
        let json = event.json();
        for peer in [Peer::Rsigma, Peer::SigmaRust] {
            let theirs = engines.theirs(peer, &json);
            let count = self.counts.entry(peer).or_default();
            count[0] += 1;
            count[1] += usize::from(theirs.is_none());
            if theirs.is_some_and(|theirs| theirs != ours) {
                count[2] += 1;
                self.explain(peer, text, event, &json);
            }
        }
    }

    /// Finds the pieces that make the difference and the reason for each.
    fn explain(&mut self, peer: Peer, text: &str, event: &Made, json: &Json) {
        let mut explained = false;
        for piece in pieces(text) {
            let single: Vec<Piece> = piece
                .singly()
                .into_iter()
                .filter(|one| self.differs(peer, one, event, json).is_some())
                .collect();
            let differing = match single.is_empty() {
                false => single,
                true if self.differs(peer, &piece, event, json).is_some() => vec![piece],
                true => continue,
            };
            for piece in differing {
                explained = true;
                self.name(peer, &piece, event, json);
            }
        }
        if !explained {
            let whole = Piece { key: "condition".to_owned(), value: json!(text) };
            self.name(peer, &whole, event, json);
        }
    }

    /// What ours says of a piece, if the other says otherwise.
    fn differs(&mut self, peer: Peer, piece: &Piece, event: &Made, json: &Json) -> Option<bool> {
        let text = piece.text();
        let engines = self.engines.entry(text.clone()).or_insert_with(|| Engines::new(&text));
        let (ours, theirs) = (engines.ours(event)?, engines.theirs(peer, json)?);
        (ours != theirs).then_some(ours)
    }

    fn name(&mut self, peer: Peer, piece: &Piece, event: &Made, json: &Json) {
        let ours = self.differs(peer, piece, event, json);
        let mut parts = piece.key.split('|');
        let field = parts.next().unwrap_or_default();
        let difference = Difference {
            field,
            modifiers: parts.collect(),
            value: &piece.value,
            found: found(event, field),
            event,
            ours: ours.unwrap_or_default(),
        };
        let reason = REASONS
            .iter()
            .find(|reason| reason.peers.contains(&peer) && (reason.applies)(&difference));
        match reason {
            Some(reason) => *self.reasons.entry((peer, reason.because)).or_default() += 1,
            None => self.unexplained.push(format!(
                "{peer:?}: {}: {}: ours {ours:?}, of {json}",
                piece.key, piece.value
            )),
        }
    }

    fn report(&self) {
        for (peer, [pairs, unread, different]) in &self.counts {
            println!("{peer:?}: {pairs} pairs, {unread} unread, {different} different");
        }
        for ((peer, because), count) in &self.reasons {
            println!("{count:6} {peer:?}: {because}");
        }
        let shown: Vec<&String> = self.unexplained.iter().take(20).collect();
        assert!(shown.is_empty(), "{} unexplained: {shown:#?}", self.unexplained.len());
    }
}

/// The values of a field; of keywords, all.
fn found<'a>(event: &'a Made, field: &str) -> Vec<&'a Owned> {
    let fields = event.fields.iter();
    fields.filter(|(name, _)| field.is_empty() || name == field).map(|(_, value)| value).collect()
}

#[test]
fn generated_rules_differ_for_a_reason_or_not() {
    let mut tally = Tally::default();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rules = cases.unwrap_or(RULES);
    for seed in 0..rules {
        let mut choices = Choices::of_seed(seed);
        let rules = [Rule::new("t".to_owned(), &mut choices, Scope::Common)];
        let text = rules[0].text();
        let engines = Engines::new(&text);
        for _ in 0..EVENTS {
            let event = grammar::event(&rules, 0, &mut choices);
            tally.compare(&text, &engines, &event);
        }
    }
    tally.report();
    if rules >= ENOUGH_RULES {
        let used = |reason: &&Reason| tally.reasons.keys().any(|(_, used)| *used == reason.because);
        let stale: Vec<&str> =
            REASONS.iter().filter(|reason| !used(reason)).map(|reason| reason.because).collect();
        assert!(stale.is_empty(), "no longer so: {stale:#?}");
    }
}

#[test]
fn public_rules_differ_for_a_reason_or_not() {
    let Some(root) = corpora::root() else { return };
    let mut tally = Tally::default();
    let all = corpora::rules(&root);
    let stride = corpora::stride(all.len(), PUBLIC_RULES);
    let texts: Vec<&String> = all.iter().step_by(stride).collect();
    let rules: Vec<Engines> = texts.iter().map(|text| Engines::new(text)).collect();
    for (lane, events) in corpora::events(&root) {
        let stride = corpora::stride(events.len(), EVENTS_OF_A_LANE);
        for object in events.iter().step_by(stride) {
            let event = corpora::event(object);
            for (text, engines) in texts.iter().zip(&rules) {
                let source = engines.ours.set.rules().first().map(|rule| &rule.log_source);
                if source.is_some_and(|wanted| event.sources.iter().any(|own| wanted.covers(own))) {
                    tally.compare(text, engines, &event);
                }
            }
        }
        println!("{lane}: {} events", events.len().div_ceil(stride));
    }
    tally.report();
}

//! The peer's side: rsigma-eval, in each way it has of leaving out the rules of other log sources.
//!
//! `extract` is its own: the engine reads the log source from fields of the event. `subset` is handed
//! the log source with each event. `split` is what its user could build: an engine for each log source,
//! with the rules that apply to it.

use std::collections::HashMap;

use anyhow::Context;
use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor};
use rsigma_parser::{LogSource, SigmaRule};
use serde_json::Value;

use super::sets::Text;
use hengwei_tests::race::{Contestant, Pass};

/// Above so many rules an engine for each log source takes minutes to build.
const MOST_SPLIT: usize = 5_000;

/// Rules, compiled.
pub(super) struct Peer {
    rules: Vec<SigmaRule>,
    engine: Engine,
    pub(super) refused: usize,
}

/// Events as the peer takes them.
pub(super) struct Events {
    values: Vec<Value>,
    sources: Vec<LogSource>,
    /// By event, an index into `engines`.
    places: Vec<usize>,
    /// One for each log source; none when that would take too long.
    engines: Vec<Engine>,
}

impl Peer {
    pub(super) fn compile(texts: &[Text]) -> Peer {
        let (mut rules, mut refused) = (Vec::new(), 0);
        for (_, text) in texts {
            match rsigma_parser::parse_sigma_yaml(text) {
                Ok(parsed) => {
                    refused += parsed.errors.len();
                    rules.extend(parsed.rules);
                }
                Err(_) => refused += 1,
            }
        }
        let (engine, failed) = engine(&rules);
        Peer { rules, engine, refused: refused + failed }
    }

    /// Parses events, and splits the rules by their log sources.
    pub(super) fn events(&mut self, lines: &[String]) -> anyhow::Result<Events> {
        let values = lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line))
            .collect::<Result<Vec<_>, _>>()
            .context("an event")?;
        let sources: Vec<LogSource> = values.iter().map(source).collect();
        let (mut places, mut engines) = (Vec::new(), Vec::new());
        if self.rules.len() <= MOST_SPLIT {
            let mut known = HashMap::new();
            for source in &sources {
                let key = [&source.category, &source.product, &source.service].map(Clone::clone);
                places.push(*known.entry(key).or_insert_with(|| {
                    let of_source =
                        self.rules.iter().filter(|rule| applies(&rule.logsource, source));
                    engines.push(engine(of_source.cloned().collect::<Vec<_>>().as_slice()).0);
                    engines.len() - 1
                }));
            }
        }
        let fields = match values.first().is_some_and(|value| value.get("_ls_product").is_some()) {
            true => LogSourceExtractor::new().with_field_names(
                "_ls_product",
                "_ls_service",
                "_ls_category",
            ),
            false => LogSourceExtractor::new(),
        };
        self.engine.set_logsource_extractor(Some(fields));
        Ok(Events { values, sources, places, engines })
    }

    /// Shows it every event once; how many rules they match.
    pub(super) fn warm(&self, lines: &[String]) -> anyhow::Result<usize> {
        let mut hits = 0;
        for line in lines {
            let value: Value = serde_json::from_str(line)?;
            hits += self.subset(&value, &source(&value));
        }
        Ok(hits)
    }

    /// One contestant for each way, over events that are parsed.
    pub(super) fn decoded<'a>(&'a self, events: &'a Events) -> Vec<Contestant<'a>> {
        let mut ways = vec![
            Contestant::new("rsigma-eval(extract)", move || {
                let found = |value| self.engine.evaluate(&JsonEvent::borrow(value)).len();
                Pass::of(|| events.values.iter().map(found).sum())
            }),
            Contestant::new("rsigma-eval(subset)", move || {
                Pass::of(|| {
                    let pairs = events.values.iter().zip(&events.sources);
                    pairs.map(|(value, source)| self.subset(value, source)).sum()
                })
            }),
        ];
        if !events.engines.is_empty() {
            ways.push(Contestant::new("rsigma-eval(split)", move || {
                Pass::of(|| {
                    let pairs = events.values.iter().zip(&events.places);
                    let found = |(value, place): (&Value, &usize)| {
                        events.engines[*place].evaluate(&JsonEvent::borrow(value)).len()
                    };
                    pairs.map(found).sum()
                })
            }));
        }
        ways
    }

    /// The way that was fastest, beginning with the lines.
    pub(super) fn parsed<'a>(
        &'a self,
        way: &'static str,
        lines: &'a [String],
        events: &'a Events,
    ) -> Contestant<'a> {
        Contestant::new(way, move || {
            Pass::of(|| {
                let mut hits = 0;
                for (index, line) in lines.iter().enumerate() {
                    let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
                    hits += match way {
                        "rsigma-eval(split)" => {
                            let engine = &events.engines[events.places[index]];
                            engine.evaluate(&JsonEvent::borrow(&value)).len()
                        }
                        "rsigma-eval(subset)" => self.subset(&value, &events.sources[index]),
                        _ => self.engine.evaluate(&JsonEvent::borrow(&value)).len(),
                    };
                }
                hits
            })
        })
    }

    fn subset(&self, value: &Value, source: &LogSource) -> usize {
        self.engine.evaluate_with_logsource(&JsonEvent::borrow(value), source).len()
    }
}

fn engine(rules: &[SigmaRule]) -> (Engine, usize) {
    let mut engine = Engine::new();
    let failed = engine.add_rules(rules).len();
    (engine, failed)
}

/// What an event says of its log source.
fn source(value: &Value) -> LogSource {
    let text = |key: &str| {
        let said = value.get(format!("_ls_{key}")).or_else(|| value.get(key));
        said.and_then(Value::as_str).map(str::to_owned)
    };
    LogSource {
        category: text("category"),
        product: text("product"),
        service: text("service"),
        ..LogSource::default()
    }
}

fn applies(rule: &LogSource, event: &LogSource) -> bool {
    let same =
        |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
    same(&rule.category, &event.category)
        && same(&rule.product, &event.product)
        && same(&rule.service, &event.service)
}

//! A set of rules, compiled: documents in, rules that can be evaluated out.
//!
//! What cannot be honoured whole is refused by name and the rest is used. Rules are found by log
//! source, so that an event meets only those that ask for one of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use rsigma_parser::{
    CorrelationRule, FilterRule, FilterRuleTarget, SigmaDocument, SigmaRule, is_unsupported,
    resolve_major,
};

use crate::correlation::{self, Correlation};
use crate::detection::Detection;
use crate::document::{self, Parsed};
use crate::program::Program;
use crate::rule::{Body, Rule, attributes, status};
use crate::tuning::{Head, LeftOut, Override, Tuning};
use crate::{Event, Key, Level, LogSource, Names, Value, logsource, narrow, taxonomy};

/// Programs kept; log sources beyond what rules ask for make no new ones, so this is seldom met.
const MAX_PROGRAMS: usize = 4_096;

/// A text of rules and what to call it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its file name, usually.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// Whether the names of rules without a taxonomy are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mapping {
    /// Names are looked up as they are written.
    #[default]
    AsWritten,
    /// Sigma's names become ECS names by log source; for decoded events.
    Ecs,
}

/// How to compile.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether names are mapped.
    pub mapping: Mapping,
    /// Lists for `expand`, by the name between the percent signs.
    pub placeholders: BTreeMap<String, Vec<String>>,
    /// What is changed about rules, by [`Rule::key`].
    pub overrides: BTreeMap<String, Override>,
    /// Whether rules of status `deprecated` and `unsupported` stay off.
    pub without_retired: bool,
    /// Whether of several documents that use one id only the first keeps it.
    pub unique_ids: bool,
}

/// A document, or a rule of it, that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document}: {}: {reason}", rule.as_deref().unwrap_or("-"))]
pub struct Refused {
    /// The document's name.
    pub document: String,
    /// The rule's id, else its title; none when it has neither.
    pub rule: Option<String>,
    /// Why, in one line.
    pub reason: String,
}

/// Compiled rules.
#[derive(Debug, Default)]
pub struct Set {
    rules: Vec<Rule>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<String, usize>,
    /// Detection rules by exactly the log source they ask for: its number.
    sources: HashMap<LogSource, u32>,
    /// By that number, ascending.
    by_source: Vec<Vec<usize>>,
    /// Numbers of the datasets that rules for any event of ours are narrowed to.
    by_dataset: HashMap<String, u32>,
    /// By the numbers of the log sources it is for, ascending.
    programs: RwLock<HashMap<Box<[u32]>, Arc<Program>>>,
    /// Names of the documents that hold filters, for explanations.
    filter_documents: BTreeSet<String>,
    options: Options,
    left_out: Vec<LeftOut>,
}

impl Set {
    /// Compiles documents. The rules come out in the order of the documents, correlations behind
    /// those they refer to.
    pub fn compile<'a>(
        documents: impl IntoIterator<Item = Document<'a>>,
        names: &dyn Names,
        options: &Options,
    ) -> (Set, Vec<Refused>) {
        let mut compiler = Compiler::new(names, options);
        for document in documents {
            compiler.document(document);
        }
        compiler.finish()
    }

    /// Every rule; their places are what the other functions call an index.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A rule by its index.
    pub fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The first rule with an id.
    pub fn by_id(&self, id: &str) -> Option<(usize, &Rule)> {
        let index = *self.by_id.get(id)?;
        Some((index, self.rules.get(index)?))
    }

    /// The index of the first rule that goes by a [`Rule::key`].
    pub fn by_key(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Sound rules that [`Options`] left out.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a document holds filters.
    pub(crate) fn has_filters(&self, document: &str) -> bool {
        self.filter_documents.contains(document)
    }

    /// Appends the indices of the detection rules that `event` matches, ascending, each once: rule by
    /// rule, as the standard reads. For tests and explanations; [`Set::evaluate`] is the fast one.
    pub fn evaluate_plainly<E: Event>(&self, event: &E, hits: &mut Vec<usize>) {
        self.evaluate_among(&self.candidates(event), event, hits);
    }

    /// The detection rules that ask for a log source of `event`, ascending, each once.
    fn candidates(&self, event: &dyn Event) -> Vec<usize> {
        self.rules_for(&self.numbers(event))
    }

    /// The program for an event. It is the same for every event of the same log sources, so whoever
    /// has many of one kind asks once.
    pub fn program<E: Event>(&self, event: &E) -> Arc<Program> {
        self.program_for(self.numbers(event))
    }

    fn program_for(&self, numbers: Vec<u32>) -> Arc<Program> {
        let known = self.programs.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known.get(numbers.as_slice()) {
            return Arc::clone(program);
        }
        drop(known);
        let rules: Vec<(usize, &Detection)> = self
            .rules_for(&numbers)
            .into_iter()
            .filter_map(|index| match &self.rules.get(index)?.body {
                Body::Detection(detection) => Some((index, detection)),
                Body::Correlation(_) => None,
            })
            .collect();
        let program = Arc::new(Program::new(&rules));
        let mut known = self.programs.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_PROGRAMS {
            known.clear();
        }
        Arc::clone(known.entry(numbers.into()).or_insert(program))
    }

    /// The numbers of the log sources that rules ask for and that cover one of `event`, ascending,
    /// each once.
    fn numbers(&self, event: &dyn Event) -> Vec<u32> {
        let mut numbers = Vec::new();
        event.any_log_source(&mut |source| {
            numbers.extend(wider(source).filter_map(|wanted| self.sources.get(&wanted)));
            if !self.by_dataset.is_empty() {
                numbers.extend(narrow::told(source).and_then(|one| self.by_dataset.get(&one)));
            }
            false
        });
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn rules_for(&self, numbers: &[u32]) -> Vec<usize> {
        let mut rules: Vec<usize> =
            numbers.iter().flat_map(|number| &self.by_source[*number as usize]).copied().collect();
        rules.sort_unstable();
        // One that is filed under two datasets, of an event that says it has both.
        rules.dedup();
        rules
    }

    /// Makes the programs for the log sources that events usually have, so that the first event of a
    /// kind does not wait for its own.
    fn prepare(&self) {
        for source in self.sources.keys() {
            self.program(&Anything(std::slice::from_ref(source)));
        }
        for sources in logsource::usual() {
            self.program(&Anything(sources));
        }
    }

    /// Appends those of `candidates` that `event` matches, in their order.
    pub(crate) fn evaluate_among<E: Event>(
        &self,
        candidates: &[usize],
        event: &E,
        hits: &mut Vec<usize>,
    ) {
        let matches = |index: &usize| match self.rules.get(*index).map(|rule| &rule.body) {
            Some(Body::Detection(detection)) => detection.holds(event),
            Some(Body::Correlation(_)) | None => false,
        };
        hits.extend(candidates.iter().copied().filter(matches));
    }
}

/// An event of which nothing but its log sources is known.
struct Anything<'a>(&'a [LogSource]);

impl Event for Anything<'_> {
    fn any(&self, _: Key, _: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        false
    }

    fn any_value(&self, _: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        false
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        self.0.iter().any(see)
    }
}

/// Every log source a rule may ask for that covers `source`.
fn wider(source: &LogSource) -> impl Iterator<Item = LogSource> + '_ {
    (0..8u8).filter_map(|mask| {
        let keep = |bit: u8, key: &Option<Box<str>>| match (mask & bit != 0, key) {
            (false, _) => Some(None),
            (true, Some(key)) => Some(Some(key.clone())),
            // The same as without this key, which another mask gives.
            (true, None) => None,
        };
        Some(LogSource {
            category: keep(1, &source.category)?,
            product: keep(2, &source.product)?,
            service: keep(4, &source.service)?,
        })
    })
}

struct Compiler<'a> {
    names: &'a dyn Names,
    options: &'a Options,
    rules: Vec<Rule>,
    correlations: Vec<(String, CorrelationRule, bool)>,
    filters: Vec<(String, FilterRule)>,
    filter_documents: BTreeSet<String>,
    refused: Vec<Refused>,
    tuning: Tuning,
}

impl<'a> Compiler<'a> {
    fn new(names: &'a dyn Names, options: &'a Options) -> Compiler<'a> {
        Compiler {
            names,
            options,
            rules: Vec::new(),
            correlations: Vec::new(),
            filters: Vec::new(),
            filter_documents: BTreeSet::new(),
            refused: Vec::new(),
            tuning: Tuning::default(),
        }
    }

    fn refuse(&mut self, document: &str, rule: Option<String>, reason: String) {
        self.refused.push(Refused { document: document.to_owned(), rule, reason });
    }

    fn document(&mut self, document: Document<'_>) {
        for parsed in document::parse(document.text) {
            match parsed {
                Ok(parsed) => self.parsed(document.name, parsed),
                Err(failed) => self.refuse(document.name, failed.rule, failed.reason),
            }
        }
    }

    fn parsed(&mut self, document: &str, parsed: Parsed) {
        let name = document.to_owned();
        match parsed.document {
            SigmaDocument::Rule(rule) => match self.detection(document, &rule) {
                _ if self.tuning.leaves_out(self.options, &head(document, &rule)) => {}
                Ok(mut rule) => {
                    self.tuning.tune(self.options, &mut rule);
                    self.rules.push(rule);
                }
                Err(reason) => {
                    let key = rule.id.clone().unwrap_or_else(|| rule.title.clone());
                    self.refuse(document, Some(key), reason);
                }
            },
            SigmaDocument::Correlation(rule) => {
                let head = Head {
                    document,
                    id: rule.id.as_deref(),
                    name: rule.name.as_deref(),
                    title: &rule.title,
                    status: status(rule.status),
                };
                if !self.tuning.leaves_out(self.options, &head) {
                    self.tuning.claim(self.options, rule.id.as_deref(), document);
                    self.correlations.push((name, rule, parsed.states_condition));
                }
            }
            SigmaDocument::Filter(rule) => {
                self.filter_documents.insert(name.clone());
                self.filters.push((name, rule));
            }
        }
    }

    fn detection(&self, document: &str, rule: &SigmaRule) -> Result<Rule, String> {
        check_version(rule.sigma_version)?;
        let log_source = log_source(&rule.logsource)?;
        if log_source.is_empty() {
            return Err("no log source".to_owned());
        }
        let sigma_names = sigma_names(rule.taxonomy.as_deref())?;
        let detection = Detection::new(
            &rule.detection,
            &|field| self.keys(&log_source, sigma_names, field),
            self.options,
        )?;
        Ok(Rule {
            id: rule.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            description: rule.description.clone().unwrap_or_default(),
            level: rule.level.map(Level::from).unwrap_or_default(),
            status: status(rule.status),
            tags: rule.tags.clone(),
            falsepositives: rule.falsepositives.clone(),
            related: rule.related.iter().map(|related| related.id.clone()).collect(),
            references: rule.references.clone(),
            author: rule.author.clone().unwrap_or_default(),
            log_source,
            attributes: attributes(&rule.custom_attributes)?,
            generate: false,
            standalone: true,
            document: document.to_owned(),
            body: Body::Detection(detection),
            feeds: Vec::new(),
            carries: Vec::new(),
            sigma_names,
        })
    }

    fn keys(&self, source: &LogSource, sigma_names: bool, field: &str) -> Vec<Key> {
        let names = mapped(self.options, source, sigma_names, field);
        names.iter().map(|name| self.names.key(name)).collect()
    }

    fn finish(mut self) -> (Set, Vec<Refused>) {
        self.apply_filters();
        self.resolve_correlations();
        self.link();
        let dataset = self.names.key(narrow::FIELD);
        let mut set = Set {
            rules: self.rules,
            filter_documents: self.filter_documents,
            options: self.options.clone(),
            left_out: self.tuning.left_out,
            ..Set::default()
        };
        for (index, rule) in set.rules.iter().enumerate() {
            if let Some(id) = &rule.id {
                set.by_id.entry(id.clone()).or_insert(index);
            }
            set.by_key.entry(rule.key().to_owned()).or_insert(index);
            let Body::Detection(detection) = &rule.body else { continue };
            let mut file = |number: &mut dyn FnMut(u32) -> u32| {
                let next = u32::try_from(set.by_source.len()).unwrap_or(u32::MAX);
                let number = number(next);
                if number == next {
                    set.by_source.push(Vec::new());
                }
                set.by_source[number as usize].push(index);
            };
            match narrow::datasets(&rule.log_source, detection, dataset) {
                Some(datasets) => datasets.into_iter().for_each(|one| {
                    file(&mut |next| *set.by_dataset.entry(one.clone()).or_insert(next));
                }),
                None => {
                    file(&mut |next| *set.sources.entry(rule.log_source.clone()).or_insert(next))
                }
            }
        }
        set.prepare();
        (set, self.refused)
    }

    /// A filter's condition is joined by "and" to those of the rules it names, as pySigma converts
    /// it: a filter that lets something pass says `not selection`.
    fn apply_filters(&mut self) {
        for (document, filter) in std::mem::take(&mut self.filters) {
            if let Err(reason) = self.apply_filter(&filter) {
                let key = filter.id.clone().unwrap_or_else(|| filter.title.clone());
                self.refuse(&document, Some(key), reason);
            }
        }
    }

    fn apply_filter(&mut self, filter: &FilterRule) -> Result<(), String> {
        check_version(filter.sigma_version)?;
        let source = filter.logsource.as_ref().ok_or("a filter without a log source")?;
        let source = log_source(source)?;
        let sigma_names = sigma_names(filter.taxonomy.as_deref())?;
        // Compiled even when no rule is meant, so that what is wrong with it is said.
        let compile = |target: &LogSource| {
            Detection::new(
                &filter.detection,
                &|field| self.keys(target, sigma_names, field),
                self.options,
            )
        };
        compile(&source)?;
        let mut narrowed = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if concerns(filter, &source, rule) {
                narrowed.push((index, compile(&rule.log_source)?));
            }
        }
        for (index, detection) in narrowed {
            if let Body::Detection(body) = &mut self.rules[index].body {
                body.narrow(detection);
            }
        }
        Ok(())
    }

    /// Compiles correlations in the order they build on each other; what is left in the end refers
    /// to something that is not there, or to itself.
    fn resolve_correlations(&mut self) {
        let mut waiting = std::mem::take(&mut self.correlations);
        loop {
            let before = waiting.len();
            let mut still = Vec::new();
            for (document, rule, stated) in waiting {
                if rule.rules.iter().all(|name| !self.referred(name).is_empty()) {
                    self.add_correlation(&document, &rule, stated);
                } else {
                    still.push((document, rule, stated));
                }
            }
            waiting = still;
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        for (document, rule, _) in waiting {
            let missing: Vec<String> = rule
                .rules
                .iter()
                .filter(|name| self.referred(name).is_empty())
                .map(|name| match self.tuning.why(name) {
                    Some(reason) => format!("{name} ({reason})"),
                    None => name.clone(),
                })
                .collect();
            let reason =
                format!("refers to what is not loaded or refers back: {}", missing.join(", "));
            let key = rule.id.clone().unwrap_or_else(|| rule.title.clone());
            self.refuse(&document, Some(key), reason);
        }
    }

    fn referred(&self, name: &str) -> Vec<usize> {
        let named =
            |rule: &Rule| rule.id.as_deref() == Some(name) || rule.name.as_deref() == Some(name);
        self.rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| named(rule))
            .map(|(index, _)| index)
            .collect()
    }

    fn add_correlation(&mut self, document: &str, rule: &CorrelationRule, stated: bool) {
        let members: Vec<(String, Vec<usize>)> =
            rule.rules.iter().map(|name| (name.clone(), self.referred(name))).collect();
        match correlation_rule(document, rule, stated, members) {
            Ok(mut rule) => {
                self.tuning.tune(self.options, &mut rule);
                self.rules.push(rule);
            }
            Err(reason) => {
                let key = rule.id.clone().unwrap_or_else(|| rule.title.clone());
                self.refuse(document, Some(key), reason);
            }
        }
    }

    /// Tells rules what they feed and what their base hits carry.
    fn link(&mut self) {
        let feeds = correlation::feeds(&self.rules);
        for (rule, feeds) in self.rules.iter_mut().zip(feeds) {
            rule.feeds = feeds;
        }
        let standalone: Vec<bool> = self
            .rules
            .iter()
            .map(|rule| {
                rule.feeds.is_empty()
                    || rule.feeds.iter().any(|feed| self.rules[feed.correlation].generate)
            })
            .collect();
        let carries: Vec<Vec<(String, Key)>> = (0..self.rules.len())
            .map(|index| {
                correlation::carried(&self.rules, index, self.options)
                    .into_iter()
                    .map(|name| {
                        let key = self.names.key(&name);
                        (name, key)
                    })
                    .collect()
            })
            .collect();
        for ((rule, standalone), carries) in self.rules.iter_mut().zip(standalone).zip(carries) {
            rule.standalone = standalone;
            rule.carries = carries;
        }
    }
}

fn head<'a>(document: &'a str, rule: &'a SigmaRule) -> Head<'a> {
    Head {
        document,
        id: rule.id.as_deref(),
        name: rule.name.as_deref(),
        title: &rule.title,
        status: status(rule.status),
    }
}

fn correlation_rule(
    document: &str,
    rule: &CorrelationRule,
    stated: bool,
    members: Vec<(String, Vec<usize>)>,
) -> Result<Rule, String> {
    check_version(rule.sigma_version)?;
    let sigma_names = sigma_names(rule.taxonomy.as_deref())?;
    let correlation = Correlation::new(rule, stated, members)?;
    Ok(Rule {
        id: rule.id.clone(),
        name: rule.name.clone(),
        title: rule.title.clone(),
        description: rule.description.clone().unwrap_or_default(),
        level: rule.level.map(Level::from).unwrap_or_default(),
        status: status(rule.status),
        tags: rule.tags.clone(),
        falsepositives: rule.falsepositives.clone(),
        related: rule.related.iter().map(|related| related.id.clone()).collect(),
        references: rule.references.clone(),
        author: rule.author.clone().unwrap_or_default(),
        log_source: LogSource::default(),
        attributes: attributes(&rule.custom_attributes)?,
        generate: rule.generate,
        standalone: true,
        document: document.to_owned(),
        body: Body::Correlation(correlation),
        feeds: Vec::new(),
        carries: Vec::new(),
        sigma_names,
    })
}

/// The names a field of a rule has in events, at least one.
pub(crate) fn mapped<'a>(
    options: &Options,
    source: &LogSource,
    sigma_names: bool,
    field: &'a str,
) -> Vec<Cow<'a, str>> {
    match options.mapping {
        Mapping::Ecs if sigma_names => taxonomy::ecs(source, field),
        _ => vec![Cow::Borrowed(field)],
    }
}

/// Whether a filter for `source` narrows a rule.
pub(crate) fn concerns(filter: &FilterRule, source: &LogSource, rule: &Rule) -> bool {
    let meant = match &filter.rules {
        FilterRuleTarget::Any => true,
        FilterRuleTarget::Specific(names) => names.iter().any(|name| {
            name.eq_ignore_ascii_case("all")
                || rule.id.as_deref() == Some(name)
                || rule.name.as_deref() == Some(name)
        }),
    };
    meant && source.covers(&rule.log_source)
}

fn check_version(declared: Option<u32>) -> Result<(), String> {
    if is_unsupported(declared) || resolve_major(declared) > 2 {
        return Err(format!("sigma-version {} is not supported", resolve_major(declared)));
    }
    Ok(())
}

pub(crate) fn sigma_names(taxonomy: Option<&str>) -> Result<bool, String> {
    match taxonomy {
        None | Some("sigma") => Ok(true),
        Some("ecs") => Ok(false),
        Some(other) => Err(format!("taxonomy {other:?} is not supported")),
    }
}

pub(crate) fn log_source(source: &rsigma_parser::LogSource) -> Result<LogSource, String> {
    if let Some(name) = source.custom.keys().min() {
        return Err(format!("log source key {name:?} is not supported"));
    }
    Ok(LogSource::new(
        source.category.as_deref(),
        source.product.as_deref(),
        source.service.as_deref(),
    ))
}

#[cfg(test)]
mod tests;

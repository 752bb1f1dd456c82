//! One rule read again from its text, and what it says of events.
//!
//! In: a compiled set, the documents it was compiled from, the index of a rule. Out: an
//! [`Explainer`]. The rule's own document is parsed a second time, and those with filters; a
//! correlation brings the rules it counts.

use rsigma_parser::{ConditionOperator, CorrelationType, Detections, SigmaDocument, SigmaRule};

use super::told::Told;
use super::{Correlated, Coverage, Difference, Explained, Explanation, Filtered, Member};
use crate::correlation::{Condition, Correlation, Seen};
use crate::rule::{Body, Rule};
use crate::set::{concerns, log_source, mapped, sigma_names};
use crate::{Document, Event, Group, Key, LogSource, Names, Reference, Set, document, text};

/// Rules a correlation's explanation goes into, with those of correlations below it.
const MAX_MEMBERS: usize = 256;

/// Log sources of an event that are shown, and the bytes of one.
const MAX_SOURCES: usize = 8;
const MAX_SOURCE_BYTES: usize = 256;

/// Why a rule cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// No rule has this index.
    #[error("no such rule")]
    Unknown,
    /// The text of its document was not given.
    #[error("the text of {0} is not at hand")]
    NoText(String),
    /// The document does not say what was compiled.
    #[error("{0} is no longer what was compiled: {1}")]
    Changed(String, String),
    /// A correlation over too many.
    #[error("a correlation over more than {MAX_MEMBERS} rules")]
    TooMany,
}

/// One rule with its source, ready to say what it makes of events.
#[derive(Debug)]
pub struct Explainer<'a> {
    set: &'a Set,
    index: usize,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Event {
        source: LogSource,
        detection: Told,
        filters: Vec<Filter>,
    },
    /// Name of a member, what explains one of its rules.
    Correlation(Vec<(String, Explainer<'a>)>),
}

#[derive(Debug)]
struct Filter {
    id: Option<String>,
    title: String,
    detection: Told,
}

impl Set {
    /// Reads a rule again, to explain it. `documents` and `names` are those of [`Set::compile`].
    ///
    /// # Errors
    /// The rule's own text, or that of a filter over it, is missing or is not what was compiled.
    pub fn explainer<'a>(
        &'a self,
        index: usize,
        documents: &[Document<'_>],
        names: &dyn Names,
    ) -> Result<Explainer<'a>, Unexplained> {
        let mut left = MAX_MEMBERS;
        Reader { set: self, documents, names }.explainer(index, &mut left)
    }
}

impl Explainer<'_> {
    /// What the rule makes of an event.
    pub fn explain<E: Event>(&self, event: &E) -> Explained {
        match &self.kind {
            Kind::Event { source, detection, filters } => {
                let log_source = coverage(source, event);
                let detection = detection.judge(event);
                let filters: Vec<Filtered> = filters
                    .iter()
                    .map(|filter| Filtered {
                        id: filter.id.clone(),
                        title: filter.title.clone(),
                        verdict: filter.detection.judge(event),
                    })
                    .collect();
                let held = detection.held && filters.iter().all(|filter| filter.verdict.held);
                Explained::Event(Explanation {
                    matched: log_source.covered && held,
                    log_source,
                    detection,
                    filters,
                })
            }
            Kind::Correlation(members) => Explained::Correlation(self.correlated(members, event)),
        }
    }

    fn correlated<E: Event>(&self, members: &[(String, Explainer<'_>)], event: &E) -> Correlated {
        let member = |(name, explainer): &(String, Explainer<'_>)| {
            let explained = explainer.explain(event);
            let rule = self.set.rule(explainer.index).map_or("", Rule::key).to_owned();
            let group = if explained.matched() { self.group(explainer.index, event) } else { None };
            Member { name: name.clone(), rule, group: group.unwrap_or_default(), explained }
        };
        let correlation = self.set.rule(self.index).and_then(Rule::correlation);
        Correlated {
            correlation: correlation.map_or("", |correlation| correlation.kind.as_str()),
            group_by: correlation.map_or_else(Vec::new, |correlation| correlation.group_by.clone()),
            timespan_secs: correlation
                .map_or(0, |correlation| correlation.timespan_ns / 1_000_000_000),
            condition: correlation.map(condition).unwrap_or_default(),
            members: members.iter().map(member).collect(),
        }
    }

    /// The group of this correlation that a match of a rule counts for.
    fn group<E: Event>(&self, base: usize, event: &E) -> Option<Group> {
        let hit = self.set.base_hit(base, event, 0, 1, Reference::default())?;
        let mut groups = self.set.groups(&hit).into_iter();
        groups.find(|(correlation, _)| *correlation == self.index).map(|(_, group)| group)
    }
}

/// Reads texts of rules a second time.
struct Reader<'a, 'b> {
    set: &'a Set,
    documents: &'b [Document<'b>],
    names: &'b dyn Names,
}

impl<'a> Reader<'a, '_> {
    fn explainer(&self, index: usize, left: &mut usize) -> Result<Explainer<'a>, Unexplained> {
        let rule = self.set.rule(index).ok_or(Unexplained::Unknown)?;
        let kind = match &rule.body {
            Body::Detection(_) => Kind::Event {
                source: rule.log_source.clone(),
                detection: self.detection(rule)?,
                filters: self.filters(rule)?,
            },
            Body::Correlation(correlation) => {
                let mut members = Vec::new();
                for member in &correlation.members {
                    for base in &member.rules {
                        *left = left.checked_sub(1).ok_or(Unexplained::TooMany)?;
                        members.push((member.name.clone(), self.explainer(*base, left)?));
                    }
                }
                Kind::Correlation(members)
            }
        };
        Ok(Explainer { set: self.set, index, kind })
    }

    fn detection(&self, rule: &Rule) -> Result<Told, Unexplained> {
        let changed = |reason: &str| {
            Unexplained::Changed(rule.document.clone(), format!("{}: {reason}", rule.key()))
        };
        let text = self.text(&rule.document)?;
        let twin = self.twin(rule);
        let mut parsed =
            document::parse(text).into_iter().filter_map(|parsed| match parsed.ok()?.document {
                SigmaDocument::Rule(tree) if is_head_of(&tree, rule) => Some(tree),
                _ => None,
            });
        let tree = parsed.nth(twin).ok_or_else(|| changed("it is gone"))?;
        self.told(&tree.detection, rule, rule.sigma_names).map_err(|reason| changed(&reason))
    }

    /// How many rules of the same document that go by the same name stand before it.
    fn twin(&self, rule: &Rule) -> usize {
        let same = |other: &&Rule| {
            other.document == rule.document
                && other.id == rule.id
                && other.title == rule.title
                && !other.is_correlation()
        };
        let twins = self.set.rules().iter().filter(same);
        twins.take_while(|other| !std::ptr::eq(*other, rule)).count()
    }

    fn filters(&self, rule: &Rule) -> Result<Vec<Filter>, Unexplained> {
        let mut filters = Vec::new();
        for document in self.documents.iter().filter(|one| self.set.has_filters(one.name)) {
            for parsed in document::parse(document.text).into_iter().flatten() {
                let SigmaDocument::Filter(filter) = parsed.document else { continue };
                let source = filter.logsource.as_ref().and_then(|source| log_source(source).ok());
                let names = sigma_names(filter.taxonomy.as_deref());
                // What was refused narrows nothing.
                let (Some(source), Ok(sigma_names)) = (source, names) else { continue };
                if !concerns(&filter, &source, rule) {
                    continue;
                }
                if let Ok(detection) = self.told(&filter.detection, rule, sigma_names) {
                    filters.push(Filter { id: filter.id, title: filter.title, detection });
                }
            }
        }
        let narrowed = match &rule.body {
            Body::Detection(detection) => detection.filters.len(),
            Body::Correlation(_) => 0,
        };
        if filters.len() != narrowed {
            let reason = format!("{narrowed} filters were compiled over {}", rule.key());
            return Err(Unexplained::Changed("a document of filters".to_owned(), reason));
        }
        Ok(filters)
    }

    fn told(
        &self,
        detections: &Detections,
        rule: &Rule,
        sigma_names: bool,
    ) -> Result<Told, String> {
        let options = self.set.options();
        let source = &rule.log_source;
        let keys = |field: &str| -> Vec<Key> {
            let names = mapped(options, source, sigma_names, field);
            names.iter().map(|name| self.names.key(name)).collect()
        };
        let shown = |field: &str| mapped(options, source, sigma_names, field).join(" | ");
        Told::new(detections, &shown, &keys, options)
    }

    fn text(&self, document: &str) -> Result<&str, Unexplained> {
        self.documents
            .iter()
            .find(|found| found.name == document)
            .map(|found| found.text)
            .ok_or_else(|| Unexplained::NoText(document.to_owned()))
    }
}

fn is_head_of(tree: &SigmaRule, rule: &Rule) -> bool {
    tree.id == rule.id && tree.title == rule.title
}

fn coverage<E: Event>(wanted: &LogSource, event: &E) -> Coverage {
    let mut coverage =
        Coverage { covered: false, wanted: shown(wanted), found: Vec::new(), differs: Vec::new() };
    let mut nearest: Option<Vec<Difference>> = None;
    event.any_log_source(&mut |found| {
        let differs = differences(wanted, found);
        coverage.covered |= differs.is_empty();
        if coverage.found.len() < MAX_SOURCES {
            coverage.found.push(shown(found));
        }
        if nearest.as_ref().is_none_or(|nearest| differs.len() < nearest.len()) {
            nearest = Some(differs);
        }
        false
    });
    coverage.differs = nearest.unwrap_or_else(|| differences(wanted, &LogSource::default()));
    coverage
}

fn keys(source: &LogSource) -> [(&'static str, Option<&str>); 3] {
    [
        ("category", source.category.as_deref()),
        ("product", source.product.as_deref()),
        ("service", source.service.as_deref()),
    ]
}

fn shown(source: &LogSource) -> String {
    let keys = keys(source).into_iter().filter_map(|(key, value)| Some((key, value?)));
    let keys = keys.map(|(key, value)| format!("{key}={}", text::cut(value, MAX_SOURCE_BYTES)));
    keys.collect::<Vec<_>>().join(" ")
}

fn differences(wanted: &LogSource, found: &LogSource) -> Vec<Difference> {
    keys(wanted)
        .into_iter()
        .zip(keys(found))
        .filter(|((_, wanted), (_, found))| wanted.is_some() && wanted != found)
        .map(|((key, wanted), (_, found))| Difference {
            key,
            wanted: wanted.unwrap_or_default().to_owned(),
            found: found.map(|found| text::cut(found, MAX_SOURCE_BYTES).to_owned()),
        })
        .collect()
}

/// What a correlation's window needs, in words.
fn condition(correlation: &Correlation) -> String {
    let what = match correlation.kind {
        CorrelationType::EventCount => "events".to_owned(),
        CorrelationType::ValueCount => {
            format!("different values of {}", correlation.fields.join(" and "))
        }
        CorrelationType::Temporal => "of its rules seen".to_owned(),
        CorrelationType::TemporalOrdered => "of its rules seen in their order".to_owned(),
        CorrelationType::ValueSum => format!("sum of {}", correlation.fields.join(", ")),
        CorrelationType::ValueAvg => format!("average of {}", correlation.fields.join(", ")),
        CorrelationType::ValueMedian => format!("median of {}", correlation.fields.join(", ")),
        CorrelationType::ValuePercentile => {
            format!("percentile {} of {}", correlation.percentile, correlation.fields.join(", "))
        }
    };
    match &correlation.condition {
        Condition::Compare(all) => {
            let compared: Vec<String> = all
                .iter()
                .map(|(operator, wanted)| format!("{} {wanted}", sign(*operator)))
                .collect();
            format!("{what} {}", compared.join(" and "))
        }
        Condition::Seen(expression) => seen(expression, correlation),
    }
}

fn sign(operator: ConditionOperator) -> &'static str {
    match operator {
        ConditionOperator::Lt => "<",
        ConditionOperator::Lte => "<=",
        ConditionOperator::Gt => ">",
        ConditionOperator::Gte => ">=",
        ConditionOperator::Eq => "=",
        ConditionOperator::Neq => "!=",
    }
}

fn seen(expression: &Seen, correlation: &Correlation) -> String {
    let join = |all: &[Seen], word: &str| {
        let all: Vec<String> = all.iter().map(|one| seen(one, correlation)).collect();
        format!("({})", all.join(word))
    };
    match expression {
        Seen::And(all) => join(all, " and "),
        Seen::Or(all) => join(all, " or "),
        Seen::Not(one) => format!("not {}", seen(one, correlation)),
        Seen::Member(index) => {
            correlation.members.get(*index).map_or_else(String::new, |member| member.name.clone())
        }
    }
}

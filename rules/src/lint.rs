//! What is worth mending in a rule, beside what is refused.
//!
//! In: the text of a document. Out: findings, each with the line it is about. Metadata is checked
//! against the standard by the parser's linter; what it does not look at is checked here, by the
//! lists [`CHECKS`] (a document as a whole) and [`values::CHECKS`] (one item of a selection): to add
//! a check, write its function and name it there. An error is what the standard forbids; everything
//! of ours is advice, a warning. Nothing here changes what a rule matches.

use rsigma_parser::{Detections, LintRule, LintWarning, Severity, SigmaDocument, lint_yaml_value};
use yaml_serde::Value;

use crate::document;
use crate::set::Set;

mod condition;
mod head;
mod values;

/// Findings of one text; whoever has more mends these first.
const MAX_FINDINGS: usize = 200;

/// Expressions of one document whose size is measured, which is to compile them.
const MAX_MEASURED: usize = 200;

/// Namespaces of tags beside those of the standard: clauses of the Chinese classified protection.
const TAG_NAMESPACES: &[&str] = &["mlps"];

/// Something worth mending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub check: String,
    /// Whether the standard forbids it; otherwise it is advice.
    pub error: bool,
    /// In one line.
    pub message: String,
    /// Line of the text, from 1, where known.
    pub line: Option<u64>,
}

/// What is checked of a document beside what the parser's linter checks.
const CHECKS: &[fn(&Subject<'_>, &mut Report<'_>)] = &[
    head::missing,
    head::misspelt,
    head::tags,
    condition::unused,
    condition::alone,
    condition::repeated,
    condition::unselective,
    values::check,
];

/// Looks through the documents of a text. Advice on style is left out.
pub fn lint(text: &str) -> Vec<Finding> {
    lint_knowing(text, &|_| true)
}

/// The same, with the fields that events are known to have: a rule with `taxonomy: ecs` that asks for
/// another is told so.
pub fn lint_knowing(text: &str, known_field: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let parsed = document::parse(text);
    let mut findings = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for parsed in parsed.into_iter().flatten() {
        let lines = lines.get(parsed.line..).unwrap_or_default();
        let mut report = Report { findings, lines, first: parsed.line, measured: 0 };
        let subject = Subject::new(&parsed.document, &parsed.source, known_field);
        of_parser(&subject, &mut report);
        CHECKS.iter().for_each(|check| check(&subject, &mut report));
        findings = report.findings;
    }
    findings
}

/// What the parser's linter finds. It is given the values and not the text, in which it would look
/// for the line of each finding from the beginning.
fn of_parser(subject: &Subject<'_>, report: &mut Report<'_>) {
    let of_ours = |warning: &LintWarning| {
        warning.rule == LintRule::UnknownTagNamespace
            && TAG_NAMESPACES.iter().any(|name| warning.message.contains(&format!("{name:?}")))
    };
    if subject.source.is_null() {
        return;
    }
    let warnings = lint_yaml_value(subject.source).into_iter();
    for warning in warnings.filter(|warning| !of_ours(warning)) {
        let error = match warning.severity {
            Severity::Error => true,
            Severity::Warning => false,
            Severity::Info | Severity::Hint => continue,
        };
        let mut path = warning.path.trim_start_matches('/').splitn(3, '/');
        let place = match (path.next().unwrap_or_default(), path.next(), path.next()) {
            ("", _, _) => Place::Top,
            ("detection" | "filter", Some("condition"), _) => Place::Condition,
            ("detection" | "filter", Some(name), Some(key)) => Place::Item(name, key),
            ("detection" | "filter", Some(name), None) => Place::Selection(name),
            (key, _, _) => Place::Key(key),
        };
        report.add(&warning.rule.to_string(), error, place, &warning.message);
    }
}

/// What a set as a whole shows: ids, titles and names that more than one rule has. Each finding comes
/// with the document of the first of them.
pub fn lint_set(set: &Set) -> Vec<(String, Finding)> {
    let mut findings = Vec::new();
    type Of = for<'a> fn(&'a crate::Rule) -> Option<&'a str>;
    let checks: [(&str, bool, Of); 3] = [
        ("id", true, |rule| rule.id.as_deref()),
        ("duplicate_name", false, |rule| rule.name.as_deref()),
        ("duplicate_title", false, |rule| Some(&rule.title)),
    ];
    for (check, error, of) in checks {
        let mut documents: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
        for rule in set.rules() {
            if let Some(name) = of(rule) {
                documents.entry(name).or_default().push(&rule.document);
            }
        }
        for (name, documents) in documents {
            if let [first, others @ ..] = documents.as_slice()
                && !others.is_empty()
            {
                let message = format!("{name} is also in {}", others.join(", "));
                let finding = Finding { check: check.to_owned(), error, message, line: None };
                findings.push(((*first).to_owned(), finding));
            }
        }
    }
    findings
}

/// A document under inspection.
struct Subject<'a> {
    /// As it is written; nothing where documents build on each other.
    source: &'a Value,
    kind: Kind,
    has_id: bool,
    has_status: bool,
    tags: &'a [String],
    detections: Option<&'a Detections>,
    /// Whether its field names are those of events.
    names_of_events: bool,
    known_field: &'a dyn Fn(&str) -> bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rule,
    Correlation,
    Filter,
}

impl<'a> Subject<'a> {
    fn new(
        document: &'a SigmaDocument,
        source: &'a Value,
        known_field: &'a dyn Fn(&str) -> bool,
    ) -> Subject<'a> {
        let ecs = |taxonomy: &Option<String>| taxonomy.as_deref() == Some("ecs");
        match document {
            SigmaDocument::Rule(rule) => Subject {
                source,
                kind: Kind::Rule,
                has_id: rule.id.is_some(),
                has_status: rule.status.is_some(),
                tags: &rule.tags,
                detections: Some(&rule.detection),
                names_of_events: ecs(&rule.taxonomy),
                known_field,
            },
            SigmaDocument::Correlation(rule) => Subject {
                source,
                kind: Kind::Correlation,
                has_id: rule.id.is_some(),
                has_status: rule.status.is_some(),
                tags: &rule.tags,
                detections: None,
                names_of_events: ecs(&rule.taxonomy),
                known_field,
            },
            SigmaDocument::Filter(filter) => Subject {
                source,
                kind: Kind::Filter,
                has_id: filter.id.is_some(),
                // A filter has none.
                has_status: true,
                tags: &filter.tags,
                detections: Some(&filter.detection),
                names_of_events: ecs(&filter.taxonomy),
                known_field,
            },
        }
    }

    /// Selections by name, in its order.
    fn selections(&self) -> Vec<(&'a str, &'a rsigma_parser::Detection)> {
        let mut named: Vec<_> = self
            .detections
            .into_iter()
            .flat_map(|detections| &detections.named)
            .map(|(name, tree)| (name.as_str(), tree))
            .collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        named
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// The document.
    Top,
    /// A key of it.
    Key(&'a str),
    Condition,
    Selection(&'a str),
    /// A selection, and the key of an item in it as the rule writes it.
    Item(&'a str, &'a str),
}

/// Findings, and the lines of the document they are about.
struct Report<'a> {
    findings: Vec<Finding>,
    lines: &'a [&'a str],
    /// Lines of the text in front of those.
    first: usize,
    measured: usize,
}

impl Report<'_> {
    fn warn(&mut self, check: &str, place: Place<'_>, message: String) {
        self.add(check, false, place, &message);
    }

    fn add(&mut self, check: &str, error: bool, place: Place<'_>, message: &str) {
        // Errors decide how a run of the linter ends: advice does not crowd them out.
        if self.findings.len() >= if error { 2 * MAX_FINDINGS } else { MAX_FINDINGS } {
            return;
        }
        let line = self.line(place).map(|line| (self.first + line + 1) as u64);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.findings.push(Finding { check: check.to_owned(), error, message, line });
    }

    /// Whether one more expression is measured.
    fn measures(&mut self) -> bool {
        self.measured += 1;
        self.measured <= MAX_MEASURED
    }

    /// Where a place is written, as far as one can tell from how lines begin.
    fn line(&self, place: Place<'_>) -> Option<usize> {
        let from = |start: usize, key: &str| {
            let found = self.lines.iter().skip(start).position(|line| begins(line, key));
            found.map(|found| start + found)
        };
        let top = |key: &str| {
            self.lines
                .iter()
                .position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
        };
        let detection = || top("detection").or_else(|| top("filter")).map_or(0, |line| line + 1);
        match place {
            Place::Top => self.lines.iter().position(|line| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with('#') && line != "---"
            }),
            Place::Key(key) => top(key),
            Place::Condition => from(detection(), "condition"),
            Place::Selection(name) => from(detection(), name),
            Place::Item(name, key) => {
                let selection = from(detection(), name)?;
                from(selection, key).or(Some(selection))
            }
        }
    }
}

/// Whether a line begins with a key: quoted or not, of a map or of a list of maps.
fn begins(line: &str, key: &str) -> bool {
    let line = line.trim_start().trim_start_matches("- ").trim_start();
    let line = line.strip_prefix(['"', '\'']).unwrap_or(line);
    let Some(rest) = line.strip_prefix(key) else { return false };
    rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':')
}

#[cfg(test)]
mod tests;

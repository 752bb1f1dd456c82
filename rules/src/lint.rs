//! What is worth mending in a rule, beside what is refused.
//!
//! In: the text of a document. Out: findings of the parser's linter, which checks metadata against
//! the standard. Keys of ours (`hengwei`, `hengwei.*`) are not findings.

use rsigma_parser::{Severity, lint_yaml_str};

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

/// Looks through the documents of a text. Advice on style is left out.
pub fn lint(text: &str) -> Vec<Finding> {
    lint_yaml_str(text)
        .into_iter()
        .filter(|warning| matches!(warning.severity, Severity::Error | Severity::Warning))
        .filter(|warning| !warning.message.contains("hengwei"))
        .map(|warning| Finding {
            check: warning.rule.to_string(),
            error: warning.severity == Severity::Error,
            message: warning.message.split_whitespace().collect::<Vec<_>>().join(" "),
            line: warning.span.map(|span| u64::from(span.start_line) + 1),
        })
        .collect()
}

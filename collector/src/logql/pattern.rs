//! Regular expressions of a query: compiled within bounds, with the texts they cannot do without.

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::history::Need;

/// What a compiled pattern may take, in bytes; the same again while it runs.
const MAX_SIZE: usize = 1 << 20;
/// How deep groups may be nested.
const MAX_NESTING: u32 = 50;
/// Texts a pattern may stand for before it counts as a pattern.
const MAX_TEXTS: usize = 64;

/// A pattern and what it asks of a text.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    need: Need,
    texts: Option<Vec<String>>,
}

/// Why a text is no pattern, and at which byte of it.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) why: String,
}

impl Pattern {
    /// A pattern that may match anywhere in a text, or the whole of it.
    pub(super) fn compile(text: &str, whole: bool) -> Result<Pattern, Wrong> {
        let hir = ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(text);
        let hir = hir.map_err(|error| match error {
            regex_syntax::Error::Parse(error) => {
                Wrong { at: error.span().start.offset, why: error.kind().to_string() }
            }
            regex_syntax::Error::Translate(error) => {
                Wrong { at: error.span().start.offset, why: error.kind().to_string() }
            }
            _ => Wrong { at: 0, why: "not understood".to_owned() },
        })?;
        let anchored = if whole { format!("^(?s:{text})$") } else { text.to_owned() };
        let regex = RegexBuilder::new(&anchored)
            .size_limit(MAX_SIZE)
            .dfa_size_limit(MAX_SIZE)
            .nest_limit(MAX_NESTING + 2)
            .build();
        let regex = regex.map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => "it is too large once compiled",
                _ => "not understood",
            };
            Wrong { at: 0, why: why.to_owned() }
        })?;
        Ok(Pattern { regex, need: needed(&hir), texts: exact(&hir) })
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What every text must have that it matches.
    pub(super) fn need(&self) -> &Need {
        &self.need
    }

    /// The texts it matches, when it stands for a few and nothing else.
    pub(super) fn texts(&self) -> Option<&[String]> {
        self.texts.as_deref()
    }
}

/// Texts that everything matched contains. The pattern's nesting bounds the depth.
fn needed(hir: &Hir) -> Need {
    match hir.kind() {
        HirKind::Literal(literal) => Need::text(&literal.0),
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Concat(parts) => Need::all(parts.iter().map(needed)),
        HirKind::Alternation(parts) => Need::any(parts.iter().map(needed)),
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => {
            Need::Anything
        }
    }
}

/// All texts that are matched, when they are few.
fn exact(hir: &Hir) -> Option<Vec<String>> {
    let one = |text: &str| Some(vec![text.to_owned()]);
    match hir.kind() {
        HirKind::Empty => one(""),
        HirKind::Literal(literal) => one(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Class(Class::Unicode(class)) => {
            let mut texts = Vec::new();
            for c in class.iter().flat_map(|range| range.start()..=range.end()) {
                if texts.len() == MAX_TEXTS {
                    return None;
                }
                texts.push(c.to_string());
            }
            Some(texts)
        }
        HirKind::Alternation(parts) => {
            let mut texts = Vec::new();
            for part in parts {
                texts.extend(exact(part)?);
                if texts.len() > MAX_TEXTS {
                    return None;
                }
            }
            Some(texts)
        }
        HirKind::Concat(parts) => {
            let mut texts = vec![String::new()];
            for part in parts {
                let ends = exact(part)?;
                if texts.len() * ends.len() > MAX_TEXTS {
                    return None;
                }
                texts = texts
                    .iter()
                    .flat_map(|begin| ends.iter().map(move |end| format!("{begin}{end}")))
                    .collect();
            }
            Some(texts)
        }
        HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Need {
        Need::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn what_a_pattern_cannot_do_without() {
        let check = |pattern: &str, expected: Need| {
            let compiled = Pattern::compile(pattern, false).expect(pattern);
            assert_eq!(*compiled.need(), expected, "{pattern}");
        };
        check("Failed", text("Failed"));
        check(
            "^Failed .*from [0-9.]+ port$",
            Need::All(vec![text("Failed "), text("from "), text(" port")]),
        );
        check(
            "(sshd|sudo)!",
            Need::All(vec![Need::Any(vec![text("sshd"), text("sudo")]), text("!")]),
        );
        check("(abc)+", text("abc"));
        check("(abc)*", Need::Anything);
        check("abc|.*", Need::Anything);
        check("(?i)abc", Need::Anything);
        check("", Need::Anything);
    }

    #[test]
    fn a_pattern_that_is_a_few_texts_says_so() {
        let check = |pattern: &str, expected: Option<&[&str]>| {
            let compiled = Pattern::compile(pattern, true).expect(pattern);
            let texts = compiled.texts().map(|texts| texts.iter().map(String::as_str).collect());
            assert_eq!(texts, expected.map(<[&str]>::to_vec), "{pattern}");
        };
        check("root", Some(&["root"]));
        check("root|admin", Some(&["root", "admin"]));
        check("emr-0[12]", Some(&["emr-01", "emr-02"]));
        check("(a|b)(c|d)", Some(&["ac", "ad", "bc", "bd"]));
        check("a.*", None);
        check("[a-z][a-z]", None);
        check("^a$", None);
    }

    #[test]
    fn patterns_are_bounded() {
        for (pattern, why) in [
            ("(", "unclosed group"),
            (r"\w{1000}{1000}", "too large"),
            (&format!("{}a{}", "(".repeat(100), ")".repeat(100)), "nest"),
            ("a{2,1}", "repetition"),
        ] {
            let wrong = Pattern::compile(pattern, false).expect_err(pattern);
            assert!(wrong.why.contains(why), "{pattern}: {}", wrong.why);
        }
    }

    #[test]
    fn a_whole_match_is_of_everything() {
        let fits =
            |pattern: &str, text: &str| Pattern::compile(pattern, true).expect(pattern).fits(text);
        assert!(fits("a|b", "b") && !fits("a|b", "ab") && fits("a.b", "a\nb"));
    }
}

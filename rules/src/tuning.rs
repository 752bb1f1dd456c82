//! What a site changes about rules it did not write: switched off, another level, another entity.
//!
//! In: [`Options::overrides`](crate::Options) by the rule's key, and which rules stay off unless an
//! override says otherwise. Out: the rule as it shall be, or [`LeftOut`] with the reason. Who may
//! override, why and until when is the caller's affair.

use std::collections::HashMap;

use crate::Level;
use crate::rule::Rule;
use crate::set::Options;

/// A change to one rule. What is absent stays as the rule says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// False switches the rule off; true keeps one on whose status would leave it off.
    pub enabled: Option<bool>,
    /// How serious a match is.
    pub level: Option<Level>,
    /// Fields that name what an alert is about.
    pub entity: Option<Vec<String>>,
}

/// A sound rule that is not used, and is not meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document}: {rule}: {reason}")]
pub struct LeftOut {
    /// The document's name.
    pub document: String,
    /// The rule's id, else its name, else its title.
    pub rule: String,
    /// Its short name, which correlations may use.
    pub name: Option<String>,
    /// Why, in one line.
    pub reason: String,
}

/// The head of a rule that may be left out.
pub(crate) struct Head<'a> {
    pub(crate) document: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) title: &'a str,
    pub(crate) status: &'static str,
}

impl Head<'_> {
    fn key(&self) -> &str {
        self.id.or(self.name).unwrap_or(self.title)
    }

    fn left_out(&self, reason: String) -> LeftOut {
        LeftOut {
            document: self.document.to_owned(),
            rule: self.key().to_owned(),
            name: self.name.map(str::to_owned),
            reason,
        }
    }
}

/// Decides which rules are used, and changes those that are.
#[derive(Debug, Default)]
pub(crate) struct Tuning {
    /// The document that an id was first used in.
    first: HashMap<String, String>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Tuning {
    /// Whether a rule is left out, and notes it when it is.
    pub(crate) fn leaves_out(&mut self, options: &Options, head: &Head<'_>) -> bool {
        let enabled = options.overrides.get(head.key()).and_then(|change| change.enabled);
        let retired =
            options.without_retired && matches!(head.status, "deprecated" | "unsupported");
        let reason = match (enabled, self.shadow(options, head)) {
            (Some(false), _) => "switched off by an override".to_owned(),
            (_, Some(document)) => format!("its id is in use already, by {document}"),
            (None, None) if retired => format!("status {}", head.status),
            (_, None) => return false,
        };
        self.left_out.push(head.left_out(reason));
        true
    }

    /// The other document that has this id already.
    fn shadow(&self, options: &Options, head: &Head<'_>) -> Option<&str> {
        let first = self.first.get(head.id.filter(|_| options.unique_ids)?)?;
        (first != head.document).then_some(first)
    }

    /// Notes that a document uses an id.
    pub(crate) fn claim(&mut self, options: &Options, id: Option<&str>, document: &str) {
        if let Some(id) = id.filter(|_| options.unique_ids) {
            self.first.entry(id.to_owned()).or_insert_with(|| document.to_owned());
        }
    }

    /// Changes a rule that is used.
    pub(crate) fn tune(&mut self, options: &Options, rule: &mut Rule) {
        self.claim(options, rule.id.as_deref(), &rule.document);
        let Some(change) = options.overrides.get(rule.key()) else { return };
        if let Some(level) = change.level {
            rule.level = level;
        }
        if let Some(entity) = &change.entity {
            rule.attributes.entity.clone_from(entity);
        }
    }

    /// Why a rule that a correlation refers to is not there, as far as it was left out.
    pub(crate) fn why(&self, name: &str) -> Option<&str> {
        let named = |left: &&LeftOut| {
            left.rule == name || left.name.as_deref().is_some_and(|it| it == name)
        };
        self.left_out.iter().find(named).map(|left| left.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Known;
    use crate::{Document, Set};

    fn rule(id: &str, more: &str) -> String {
        format!(
            "title: t {id}\nid: {id}\nname: name_{id}\nlevel: high\n{more}logsource: {{product: test}}\ndetection:\n  s: {{a: b}}\n  condition: s\n"
        )
    }

    fn compile(texts: &[(&str, String)], options: &Options) -> (Set, Vec<String>, Vec<String>) {
        let documents = texts.iter().map(|(name, text)| Document { name, text });
        let (set, refused) = Set::compile(documents, &Known::default(), options);
        let left_out = set.left_out().iter().map(ToString::to_string).collect();
        (set, refused.iter().map(ToString::to_string).collect(), left_out)
    }

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let mut options = Options::default();
        let change = Override {
            level: Some(Level::Low),
            entity: Some(vec!["source.ip".to_owned()]),
            ..Override::default()
        };
        options.overrides.insert("b".to_owned(), change);
        let texts = [("1", rule("a", "")), ("2", rule("b", ""))];
        let (set, refused, left_out) = compile(&texts, &options);
        assert!(refused.is_empty() && left_out.is_empty(), "{refused:?} {left_out:?}");
        let heads: Vec<_> =
            set.rules().iter().map(|it| (it.level, &it.attributes.entity)).collect();
        let entity = vec!["source.ip".to_owned()];
        assert_eq!(heads, [(Level::High, &Vec::new()), (Level::Low, &entity)]);
    }

    #[test]
    fn retired_rules_stay_off_unless_an_override_wants_them() {
        let texts = [
            ("1", rule("a", "status: deprecated\n")),
            ("2", rule("b", "status: unsupported\n")),
            ("3", rule("c", "status: test\n")),
        ];
        assert_eq!(compile(&texts, &Options::default()).0.rules().len(), 3);
        let mut options = Options { without_retired: true, ..Options::default() };
        let on = Override { enabled: Some(true), ..Override::default() };
        options.overrides.insert("b".to_owned(), on);
        let (set, _, left_out) = compile(&texts, &options);
        assert_eq!(set.rules().iter().map(Rule::key).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(left_out, ["1: a: status deprecated"]);
    }

    #[test]
    fn a_rule_that_is_switched_off_takes_its_correlations_with_it_by_name() {
        let correlation = "title: c\nid: c\ncorrelation:\n  type: event_count\n  rules: [name_a]\n  timespan: 1m\n  condition: {gte: 2}\n";
        let texts = [("1", rule("a", "")), ("2", correlation.to_owned())];
        let mut options = Options::default();
        let off = Override { enabled: Some(false), ..Override::default() };
        options.overrides.insert("a".to_owned(), off.clone());
        let (set, refused, left_out) = compile(&texts, &options);
        assert_eq!(set.rules().len(), 0);
        assert_eq!(left_out, ["1: a: switched off by an override"]);
        assert!(refused[0].contains("name_a (switched off by an override)"), "{refused:?}");
        options.overrides = [("c".to_owned(), off)].into();
        let (set, refused, _) = compile(&texts, &options);
        assert!(refused.is_empty(), "{refused:?}");
        assert!(set.rules()[0].standalone, "nothing counts it any more");
    }

    #[test]
    fn the_first_document_with_an_id_has_it() {
        let twice = format!("{}---\n{}", rule("a", ""), rule("a", ""));
        let texts = [("1", twice), ("2", rule("a", ""))];
        assert_eq!(compile(&texts, &Options::default()).0.rules().len(), 3);
        let options = Options { unique_ids: true, ..Options::default() };
        let (set, _, left_out) = compile(&texts, &options);
        assert_eq!(set.rules().len(), 2);
        assert_eq!(left_out, ["2: a: its id is in use already, by 1"]);
    }
}

//! A rule's head: everything about it but what it matches.

use std::collections::{BTreeMap, HashMap};

use rsigma_parser::CorrelationType;
use serde::{Deserialize, Serialize};
use yaml_serde::Value;

use crate::Key;
use crate::LogSource;
use crate::correlation::{Correlation, Feed};
use crate::detection::Detection;

/// How serious a match is. Later is worse.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A mark on the event, and what a rule without a level is.
    #[default]
    Informational,
    /// A mark on the event.
    Low,
    /// For the review list.
    Medium,
    /// An alert.
    High,
    /// An alert that is nearly certain.
    Critical,
}

impl Level {
    /// As rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

impl From<rsigma_parser::Level> for Level {
    fn from(level: rsigma_parser::Level) -> Level {
        match level {
            rsigma_parser::Level::Informational => Level::Informational,
            rsigma_parser::Level::Low => Level::Low,
            rsigma_parser::Level::Medium => Level::Medium,
            rsigma_parser::Level::High => Level::High,
            rsigma_parser::Level::Critical => Level::Critical,
        }
    }
}

/// What our own rules say beside the standard, under `hengwei:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Fields that name what an alert is about.
    pub entity: Vec<String>,
    /// Id of the rule whose alert this rule's matches join.
    pub joins: Option<String>,
    /// Title in Chinese.
    pub title_zh: Option<String>,
    /// Description in Chinese.
    pub description_zh: Option<String>,
    /// What to do, by language tag (`zh`, `en`).
    pub advice: BTreeMap<String, String>,
}

/// A rule of a set: its head, and whether it stands alone.
#[derive(Debug)]
pub struct Rule {
    /// Unique identifier, usually a UUID.
    pub id: Option<String>,
    /// Short name that correlations may use.
    pub name: Option<String>,
    /// English title.
    pub title: String,
    /// English description.
    pub description: String,
    /// How serious a match is.
    pub level: Level,
    /// `stable`, `test`, `experimental`, `deprecated`, `unsupported`; empty when not given.
    pub status: &'static str,
    /// ATT&CK and others, as written: `attack.t1110.001`.
    pub tags: Vec<String>,
    /// Harmless causes of a match.
    pub falsepositives: Vec<String>,
    /// Ids of rules it names as related: similar, derived, merged, renamed, obsoleted.
    pub related: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    /// Whom to ask.
    pub author: String,
    /// What it applies to; empty for correlations.
    pub log_source: LogSource,
    /// What our own rules say beside the standard.
    pub attributes: Attributes,
    /// `generate` of a correlation: its base rules stand alone as well.
    pub generate: bool,
    /// Whether its own matches count: no correlation refers to it, or one that does has `generate`.
    pub standalone: bool,
    /// The document it came from.
    pub document: String,
    pub(crate) body: Body,
    /// The correlations it feeds.
    pub(crate) feeds: Vec<Feed>,
    /// Fields a base hit of it carries: name in the event, key.
    pub(crate) carries: Vec<(String, Key)>,
    /// Whether field names are Sigma's own.
    pub(crate) sigma_names: bool,
}

/// What a rule matches.
#[derive(Debug)]
pub(crate) enum Body {
    /// Single events.
    Detection(Detection),
    /// Matches of other rules.
    Correlation(Correlation),
}

impl Rule {
    /// What it goes by: its id, else its name, else its title.
    pub fn key(&self) -> &str {
        self.id.as_deref().or(self.name.as_deref()).unwrap_or(&self.title)
    }

    /// Whether it is a correlation.
    pub fn is_correlation(&self) -> bool {
        matches!(self.body, Body::Correlation(_))
    }

    /// Whether a correlation refers to it.
    pub fn is_base(&self) -> bool {
        !self.feeds.is_empty()
    }

    /// The fields a correlation groups by, as it writes them; empty for other rules.
    pub fn group_by(&self) -> &[String] {
        self.correlation().map_or(&[], |correlation| &correlation.group_by)
    }

    /// How far back a correlation looks, in nanoseconds; 0 for other rules.
    pub fn timespan_ns(&self) -> i64 {
        self.correlation().map_or(0, |correlation| correlation.timespan_ns)
    }

    /// Whether it is a correlation that counts events or their values: every hit of its group is one
    /// more of the same thing. What a temporal correlation sees are different things.
    pub fn counts(&self) -> bool {
        self.correlation().is_some_and(|correlation| {
            !matches!(
                correlation.kind,
                CorrelationType::Temporal | CorrelationType::TemporalOrdered
            )
        })
    }

    pub(crate) fn correlation(&self) -> Option<&Correlation> {
        match &self.body {
            Body::Correlation(correlation) => Some(correlation),
            Body::Detection(_) => None,
        }
    }
}

/// As rules write a status.
pub(crate) fn status(status: Option<rsigma_parser::Status>) -> &'static str {
    match status {
        None => "",
        Some(rsigma_parser::Status::Stable) => "stable",
        Some(rsigma_parser::Status::Test) => "test",
        Some(rsigma_parser::Status::Experimental) => "experimental",
        Some(rsigma_parser::Status::Deprecated) => "deprecated",
        Some(rsigma_parser::Status::Unsupported) => "unsupported",
    }
}

/// Reads our attributes: a map `hengwei`, or keys `hengwei.entity` and so on.
pub(crate) fn attributes(custom: &HashMap<String, Value>) -> Result<Attributes, String> {
    let mut attributes = Attributes::default();
    // Sorted, so that the same text gives the same complaint.
    let custom: BTreeMap<&String, &Value> = custom.iter().collect();
    for (name, value) in custom {
        if name == "hengwei" {
            let map = value.as_mapping().ok_or("hengwei is not a map")?;
            for (key, value) in map {
                let key = key.as_str().ok_or("a key of hengwei is not text")?;
                attributes.set(key, value)?;
            }
        } else if let Some(key) = name.strip_prefix("hengwei.") {
            attributes.set(key, value)?;
        }
    }
    Ok(attributes)
}

impl Attributes {
    fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let wrong = |kind: &str| format!("hengwei.{key} is not {kind}");
        let one = || value.as_str().map(str::to_owned).ok_or_else(|| wrong("text"));
        match key {
            "entity" => {
                self.entity = match value {
                    Value::Sequence(fields) => fields
                        .iter()
                        .map(|field| field.as_str().map(str::to_owned))
                        .collect::<Option<_>>()
                        .ok_or_else(|| wrong("a field or a list of fields"))?,
                    _ => vec![one()?],
                }
            }
            "joins" => self.joins = Some(one()?),
            "title_zh" => self.title_zh = Some(one()?),
            "description_zh" => self.description_zh = Some(one()?),
            "advice" => {
                let map = value.as_mapping().ok_or_else(|| wrong("a map of languages"))?;
                for (language, text) in map {
                    let (Some(language), Some(text)) = (language.as_str(), text.as_str()) else {
                        return Err(wrong("a map of languages"));
                    };
                    self.advice.insert(language.to_owned(), text.to_owned());
                }
            }
            _ => match key.strip_prefix("advice.") {
                Some(language) => {
                    self.advice.insert(language.to_owned(), one()?);
                }
                None => {
                    return Err(format!(
                        "hengwei.{key} is unknown; known are entity, joins, title_zh, \
                         description_zh, advice"
                    ));
                }
            },
        }
        Ok(())
    }
}

//! Everything that rules are made of, read and compiled: the site's folders, the packs that are live,
//! its tuning and its lists.
//!
//! In: the `[rules]` section and which packs count. Out: [`Loaded`]: rules ready to be put in force,
//! and all that is amiss, by name. A folder that is missing is an error, and so is a set without any
//! rule where it is to replace another ([`Loaded::some`]): what is in force stays. It writes nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use aws_lc_rs::digest;
use hengwei_protocol::identity::{hex, sha256};
use hengwei_rules::{Document, LeftOut, Level, Mapping, Options, Refused, Set};

use super::{lists, tuning};
use crate::config::{self, Rules as Settings};
use crate::detect::{About, Rules};
use crate::event::FieldNames;

/// A text of rules and where it is from.
#[derive(Debug, Clone)]
pub struct Text {
    /// What it is called in messages.
    pub name: String,
    /// Its content.
    pub text: String,
    /// The level from which its matches are kept.
    pub threshold: Level,
}

/// A compiled set, and what was amiss.
#[derive(Debug)]
pub struct Loaded {
    /// Ready to be put in force.
    pub rules: Arc<Rules>,
    /// What could not be used.
    pub refused: Vec<Refused>,
    /// What is not meant to be used.
    pub left_out: Vec<LeftOut>,
    /// What is wrong with tuning and lists, one line each.
    pub complaints: Vec<String>,
    /// The packs in it: version by name.
    pub packs: BTreeMap<String, String>,
    /// When it is to be loaded again, because an override ends; Unix nanoseconds.
    pub until: Option<i64>,
}

/// Reads the folders of rules. A folder that is not there is an error.
pub fn site(settings: &Settings) -> anyhow::Result<(Vec<Text>, Vec<Refused>)> {
    let sources = crate::eval::read_rules(&settings.dirs)?;
    let threshold = settings.threshold;
    let texts = sources.texts.into_iter().map(|(name, text)| Text { name, text, threshold });
    Ok((texts.collect(), sources.refused))
}

/// Compiles texts with the site's tuning and lists. Of documents that use one id the first counts.
pub fn compile(
    settings: &Settings,
    texts: &[Text],
    unread: Vec<Refused>,
    now: i64,
) -> anyhow::Result<Loaded> {
    let is_default = |path: &Path, default: &str| path == Path::new(default);
    let lists = lists::read(&settings.lists, is_default(&settings.lists, config::LISTS))?;
    let tuning = tuning::read(&settings.tuning, is_default(&settings.tuning, config::TUNING), now)?;
    let digest = digest_of(texts, &tuning, &lists.values);
    let options = Options {
        mapping: Mapping::Ecs,
        placeholders: lists.values,
        overrides: tuning.overrides.clone(),
        without_retired: true,
        unique_ids: true,
    };
    let documents = texts.iter().map(|it| Document { name: &it.name, text: &it.text });
    let filters = tuning.filters.iter().map(|(name, text)| Document { name, text });
    let (set, refused) = Set::compile(documents.chain(filters), &FieldNames, &options);
    let refused: Vec<Refused> = unread.into_iter().chain(refused).collect();
    let mut complaints = lists.complaints;
    complaints.extend(tuning.complaints.iter().cloned());
    complaints.extend(tuning.unmet(&set));
    let thresholds: HashMap<&str, Level> =
        texts.iter().map(|it| (it.name.as_str(), it.threshold)).collect();
    let threshold = |rule: &hengwei_rules::Rule| {
        thresholds.get(rule.document.as_str()).copied().unwrap_or(settings.threshold)
    };
    let documents = texts.iter().map(|it| (it.name.clone(), sha256(it.text.as_bytes())));
    let about = About { digest, refused: refused.len(), documents: documents.collect() };
    let left_out = set.left_out().to_vec();
    let rules = Arc::new(Rules::of(set, about, &threshold));
    let (packs, until) = (BTreeMap::new(), tuning.until);
    Ok(Loaded { rules, refused, left_out, complaints, packs, until })
}

impl Loaded {
    /// An error when there is no rule in it: nobody means that.
    pub fn some(self) -> anyhow::Result<Loaded> {
        let reason = || match self.refused.first() {
            Some(refused) => format!("none of the rules can be used: {refused}"),
            None => "there are no rules".to_owned(),
        };
        ensure!(!self.rules.set().rules().is_empty(), reason());
        Ok(self)
    }
}

/// What two sets that do the same have in common.
fn digest_of(
    texts: &[Text],
    tuning: &tuning::Tuning,
    lists: &BTreeMap<String, Vec<String>>,
) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut take = |part: &str| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    };
    for text in texts {
        [text.name.as_str(), text.threshold.as_str(), &text.text].into_iter().for_each(&mut take);
    }
    for (name, text) in &tuning.filters {
        [name.as_str(), text].into_iter().for_each(&mut take);
    }
    take(&format!("{:?}", tuning.overrides));
    take(&format!("{lists:?}"));
    hex(context.finish().as_ref())
}

//! Sets of rules of any size, made from one: random parts of it, or all of it and altered copies.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hengwei_collector::eval::rule_files;
use hengwei_tests::generate::Dice;

use super::Size;
use super::alter::altered;

/// A rule file's name and text.
pub(super) type Text = (String, String);

/// Every rule there is, file by file.
pub(super) fn load(corpora: Option<&Path>) -> anyhow::Result<Vec<Text>> {
    let folder = match corpora {
        Some(corpora) => corpora.join("sigma/rules"),
        None => shipped(),
    };
    rule_files(&[folder])?
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok((path.display().to_string(), text))
        })
        .collect()
}

/// The rules that are shipped.
pub(super) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/library")
}

/// So many of them: in their order, those that `seed` picks; or all of them and altered copies.
pub(super) fn of_size(all: &[Text], size: Size, seed: u64) -> anyhow::Result<Vec<Text>> {
    let Size::Of(size) = size else { return Ok(all.to_vec()) };
    if size > all.len() {
        let mut texts = all.to_vec();
        // Correlations and filters name rules, which a copy would confuse.
        let rules: Vec<&Text> =
            all.iter().filter(|(_, text)| text.lines().any(|line| line == "detection:")).collect();
        anyhow::ensure!(!rules.is_empty(), "no rule to copy");
        let mut copy = 1;
        while texts.len() < size {
            for (name, text) in rules.iter().take(size - texts.len()) {
                let text = altered(text, copy).with_context(|| name.clone())?;
                texts.push((format!("{name}.{copy}"), text));
            }
            copy += 1;
        }
        return Ok(texts);
    }
    let mut dice = Dice::new(seed);
    let mut places: Vec<usize> = (0..all.len()).collect();
    for place in 0..size {
        let other = dice.between(place as u64, all.len() as u64 - 1);
        places.swap(place, usize::try_from(other)?);
    }
    places.truncate(size);
    places.sort_unstable();
    Ok(places.into_iter().map(|place| all[place].clone()).collect())
}

//! Which Sigma log sources a dataset belongs to. A rule applies when all its keys equal those of
//! one of them.
//!
//! The sets are worked out once per dataset and live as long as the process; datasets are interned
//! and capped, so there is no end of memory in that.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use hengwei_rules::{LogSource, logsource};

type Sets = HashMap<&'static str, &'static [LogSource]>;

static SETS: LazyLock<RwLock<Sets>> = LazyLock::new(RwLock::default);

/// The log sources of an event's dataset.
pub fn of_dataset(dataset: &'static str) -> &'static [LogSource] {
    if let Some(set) = SETS.read().unwrap_or_else(PoisonError::into_inner).get(dataset) {
        return set;
    }
    let mut sets = SETS.write().unwrap_or_else(PoisonError::into_inner);
    sets.entry(dataset).or_insert_with(|| Vec::leak(logsource::of_dataset(dataset)))
}

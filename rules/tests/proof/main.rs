//! That rules mean what the standard says, and that every way to evaluate them says the same.
//!
//! `standard` states the standard in tables. `differential` compares the compiled evaluator with the
//! plain one over rules and events that `grammar` generates and over the public corpora; `peers`
//! compares with other engines and explains each difference; `windows` compares correlations with
//! windows counted by brute force; `taxonomy` compares events under their decoded names with the same
//! under Sigma's. `entries` is what the fuzz targets run, and `seeds` replays small
//! inputs through it.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by failing")]

mod corpora;
mod differential;
mod entries;
mod grammar;
mod items;
mod made;
mod peers;
mod seeds;
mod standard;
mod taxonomy;
mod values;
mod windows;

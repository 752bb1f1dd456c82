//! Text of rules: whatever it is, it compiles or is refused, and both evaluators agree.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a target states what it expects by failing")]
#![expect(dead_code, reason = "shared with the tests, which use more of it")]

#[path = "../../rules/tests/proof/entries.rs"]
mod entries;
#[path = "../../rules/tests/proof/grammar.rs"]
mod grammar;
#[path = "../../rules/tests/proof/items.rs"]
mod items;
#[path = "../../rules/tests/proof/made.rs"]
mod made;
#[path = "../../rules/tests/proof/values.rs"]
mod values;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::rule_text(bytes));

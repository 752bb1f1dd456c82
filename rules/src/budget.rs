//! How much memory one rule may become.
//!
//! A short text can ask for much: every way to write a few dashes, every value of a placeholder's
//! list, an expression that counts to a thousand. What compiling a detection makes of its text is
//! charged here before it is made, and a rule that asks for more than its share is refused.

use std::cell::Cell;

/// Memory the tests of one detection may take, roughly.
const MAX_BYTES: usize = 64 << 20;

/// What is left of a detection's share.
#[derive(Debug)]
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    /// All of it.
    pub(crate) fn new() -> Budget {
        Budget(Cell::new(MAX_BYTES))
    }

    /// Takes a part.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), String> {
        match self.0.get().checked_sub(bytes) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(format!("it becomes more than {} MiB", MAX_BYTES >> 20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Options;
    use crate::testing::{Known, compile, rule};

    #[test]
    fn little_text_that_becomes_much_is_refused() {
        let known = Known::default();
        let list = |value: &str, count: usize| vec![format!("'{value}'"); count].join(", ");
        let names = (0..200).map(|n| format!("server-{n}.example.org")).collect();
        let options = Options {
            placeholders: BTreeMap::from([("Servers".to_owned(), names)]),
            ..Options::default()
        };
        for (key, values, much) in [
            ("a|windash|base64offset|contains", list("-a -b -c -d", 10), false),
            ("a|windash|base64offset|contains", list("-a -b -c -d", 300), true),
            ("a|re", list("(?:[a-z]{1,200}x){200}", 1), false),
            ("a|re", list("(?:[a-z]{1,200}x){200}", 9), true),
            ("a|expand|contains", list("%Servers% %Servers%", 1), false),
            ("a|expand|contains", list("%Servers% %Servers%", 20), true),
        ] {
            let text = rule(&format!("  s:\n    {key}: [{values}]\n  condition: s"));
            let (set, refused) = compile(&text, &known, &options);
            let reasons: Vec<&str> = refused.iter().map(|one| one.reason.as_str()).collect();
            assert_eq!(set.rules().is_empty(), much, "{key} {reasons:?}");
            assert!(
                reasons.iter().all(|reason| reason.ends_with("more than 64 MiB")),
                "{reasons:?}"
            );
        }
    }
}

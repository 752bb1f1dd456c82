//! Why other engines find something else.
//!
//! The predicates are as narrow as the reason is: they look at the rule's value, at the values in the
//! event and at who says yes.

use serde_json::Value as Json;

use super::Peer;
use crate::made::{Made, Owned};

/// One value of one item, or a whole rule's condition, that an engine finds otherwise.
pub(super) struct Difference<'a> {
    /// The field; empty for keywords, `condition` for a whole rule.
    pub(super) field: &'a str,
    /// Its modifiers.
    pub(super) modifiers: Vec<&'a str>,
    /// The rule's value.
    pub(super) value: &'a Json,
    /// The field's values in the event.
    pub(super) found: Vec<&'a Owned>,
    /// The event.
    pub(super) event: &'a Made,
    /// What ours says.
    pub(super) ours: bool,
}

/// A class of differences.
pub(super) struct Reason {
    /// Whose.
    pub(super) peers: &'static [Peer],
    /// Whether a difference is of it.
    pub(super) applies: fn(&Difference<'_>) -> bool,
    /// What the standard says, and what the engine does.
    pub(super) because: &'static str,
}

impl Difference<'_> {
    fn has(&self, modifier: &str) -> bool {
        self.modifiers.contains(&modifier)
    }

    /// Whether a text in the rule or in the event is of such characters.
    fn any_text(&self, is: fn(char) -> bool) -> bool {
        let holds = |value: &Owned| matches!(value, Owned::Text(text) if text.contains(is));
        let referred =
            self.has("fieldref") && self.event.fields.iter().any(|(_, value)| holds(value));
        referred
            || self.found.iter().any(|value| holds(value))
            || self.value.to_string().contains(is)
    }

    fn written(&self) -> &str {
        self.value.as_str().unwrap_or_default()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(|value| match value {
            Owned::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether the values that the rule and the event hold are of different types.
    fn mixed(&self) -> bool {
        self.found.iter().any(|found| match found {
            Owned::Text(_) | Owned::Address(_) => !self.value.is_string(),
            Owned::Integer(_) => !self.value.is_i64(),
            Owned::Number(_) => !self.value.is_f64(),
            Owned::Flag(_) => !self.value.is_boolean(),
            Owned::Null => !self.value.is_null(),
        })
    }
}

impl<'a> Difference<'a> {
    fn has_several(&self, field: &str) -> bool {
        self.event.fields.iter().filter(|(name, _)| name == field).count() > 1
    }

    /// The rule's values that are text.
    fn strings(&self) -> impl Iterator<Item = &'a str> {
        let list = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        self.value.as_str().into_iter().chain(list.iter().filter_map(Json::as_str))
    }

    fn names_null(&self) -> bool {
        self.value.is_null() || self.value.as_array().is_some_and(|list| list.contains(&Json::Null))
    }

    fn addresses(&self) -> impl Iterator<Item = String> {
        self.found.iter().filter_map(|value| match value {
            Owned::Text(text) => Some(text.clone()),
            Owned::Address(address) => Some(address.to_string()),
            _ => None,
        })
    }
}

const BOTH: &[Peer] = &[Peer::Rsigma, Peer::SigmaRust];
const RSIGMA: &[Peer] = &[Peer::Rsigma];
const SIGMA_RUST: &[Peer] = &[Peer::SigmaRust];

/// Letters whose other case is not their lower case, or is longer than one character.
fn is_uneven(character: char) -> bool {
    ['ſ', 'Σ', 'σ', 'ς', 'İ'].contains(&character)
}

/// Every class that is known.
pub(super) const REASONS: &[Reason] = &[
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.field == "condition" && d.written().contains("_hidden"),
        because: "search identifiers that begin with an underscore are not among them; there, they are",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| {
            !d.ours
                && d.found == [&Owned::Null]
                && d.strings().any(|text| ["*", ""].contains(&text))
        },
        because: "* replaces text, and null is none; there, null is an empty text",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.found.len() > 1 && !d.field.is_empty(),
        because: "a field of several values has each of them; there, a list matches nothing",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.has("fieldref") && d.has_several(d.written()),
        because: "a field of several values has each of them; there, a list is compared with nothing",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| {
            d.has("fieldref") && (d.found.len() > 1 || d.strings().any(|name| d.has_several(name)))
        },
        because: "a field of several values has each of them; there, a list equals only the same list",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.names_null() && d.found.is_empty() && d.ours,
        because: "null is met by an absent field; there, an absent field meets only exists: false",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| {
            d.names_null() && (d.found.is_empty() || d.found.contains(&&Owned::Null)) && d.ours
        },
        because: "null is met by an absent field, in a list of values and of several too; there, only alone",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| {
            d.mixed()
                && !d.value.is_string()
                && d.modifiers.iter().all(|name| ["all", "cased"].contains(name))
        },
        because: "all values are treated as strings, so a number meets its text; there, types must be the same",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.mixed() && ["gt", "gte", "lt", "lte"].iter().any(|name| d.has(name)),
        because: "numbers are compared as numbers; there, only those of one type",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.has("fieldref"),
        because: "all values are treated as case-insensitive strings; there, fieldref compares types and case",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.field.is_empty() && d.ours,
        because: "keywords are applied to the full log message, so anywhere in it; there, to a whole value",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| {
            let texts = d.texts().count();
            d.field.is_empty() && d.ours && (!d.value.is_string() || texts < d.found.len())
        },
        because: "all values are treated as strings, so keywords and what they are looked for in may be numbers; there, neither",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.has("base64offset") && d.ours,
        because: "except the first and last byte the encoded values have a static part; there, the last character is not static",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.has("windash"),
        because: "windash permutes five characters where they begin a parameter (so pySigma); there, every hyphen and no other is replaced",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.has("windash"),
        because: "windash permutes five characters where they begin a parameter (so pySigma); there, only behind a blank",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| {
            (d.has("startswith") || d.has("endswith"))
                && d.strings().any(|text| text.contains(['*', '?']))
        },
        because: "startswith puts * behind the value and endswith before it; there, a value with wildcards of its own is put anywhere",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.ours && d.strings().any(|text| text.contains(['*', '?'])),
        because: "* replaces text of any length; there, the shortest, so that what follows may miss",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.value.is_boolean() && d.mixed(),
        because: "all values are treated as strings; there, true and false are met by yes, no, 1 and 0 too",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.value.is_number() && d.ours && d.texts().any(|text| text.trim() != text),
        because: "the standard does not say how a number is written in a text; ours may have blanks around it",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| {
            d.value.is_number() && !d.ours && d.texts().any(|text| text.parse::<f64>().is_ok())
        },
        because: "all values are treated as strings, so 5 is not 05; there, a text that reads as the number is",
    },
    Reason {
        peers: SIGMA_RUST,
        applies: |d| d.has("base64") && !d.ours,
        because: "base64 encodes the value, whose padding is part of that; there, the end is left off",
    },
    Reason {
        peers: BOTH,
        applies: |d| d.has("cidr") && d.ours && d.texts().any(|text| text.trim() != text),
        because: "the standard does not say how an address is written; ours may have blanks around it",
    },
    Reason {
        peers: BOTH,
        applies: |d| {
            d.has("cidr") && d.ours && d.addresses().any(|text| text.starts_with("::ffff:"))
        },
        because: "an IPv4 address mapped into IPv6 is that address, which the standard leaves open",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.any_text(|c| c == '\n') && d.strings().any(|text| text.contains(['*', '?'])),
        because: "* replaces text of any length and ? any character; there, not a line feed",
    },
    Reason {
        peers: RSIGMA,
        applies: |d| d.value.is_i64() && d.value.as_f64().is_some_and(|number| number.abs() > 9e15),
        because: "a number is compared as it is; there, as the nearest float",
    },
    Reason {
        peers: BOTH,
        applies: |d| d.any_text(is_uneven) && d.strings().next().is_some(),
        because: "values are case-insensitive, and case folds one character to one; there, text is lowered, which leaves ſ and ς apart from s and σ and makes two characters of İ",
    },
];

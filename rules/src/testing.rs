//! Events and sets for this crate's tests.

use std::cell::RefCell;

use crate::{Document, Event, Key, LogSource, Names, Options, Refused, Set, Value};

/// Names, numbered as they are met.
#[derive(Debug, Default)]
pub(crate) struct Known(RefCell<Vec<String>>);

impl Names for Known {
    fn key(&self, name: &str) -> Key {
        let mut names = self.0.borrow_mut();
        let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        Key(u32::try_from(index).unwrap())
    }
}

/// An event made by hand.
pub(crate) struct Made<'a> {
    pub(crate) known: &'a Known,
    pub(crate) fields: Vec<(&'a str, Value<'a>)>,
    pub(crate) line: &'a str,
}

impl Event for Made<'_> {
    fn any(&self, key: Key, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.fields.iter().any(|(name, value)| self.known.key(name) == key && see(*value))
    }

    fn any_value(&self, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.fields.iter().any(|(_, value)| see(*value))
            || (!self.line.is_empty() && see(Value::Text(self.line)))
    }

    fn any_log_source(&self, see: &mut dyn FnMut(&LogSource) -> bool) -> bool {
        see(&LogSource::new(None, Some("test"), None))
    }
}

/// A set of one text, which must compile whole.
pub(crate) fn compiled(text: &str, known: &Known, options: &Options) -> Set {
    let (set, refused) = compile(text, known, options);
    assert_eq!(refused, [], "{text}");
    set
}

/// A set of one text.
pub(crate) fn compile(text: &str, known: &Known, options: &Options) -> (Set, Vec<Refused>) {
    Set::compile([Document { name: "test.yml", text }], known, options)
}

/// A rule around a detection, indented by two.
pub(crate) fn rule(detection: &str) -> String {
    format!("title: t\nid: rule\nlogsource:\n  product: test\ndetection:\n{detection}\n")
}

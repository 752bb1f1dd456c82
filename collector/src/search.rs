//! Finding events again: stored records in, events that fit the query out, newest first.
//!
//! Records are decoded anew, so a better decoder finds more in old history. It is a scan: what it may
//! skip, history skips by time, kind and agent.

use std::sync::Arc;

use hengwei_protocol::Kind;
use hengwei_protocol::wire::Block;
use hengwei_rules::{Event as _, Key, Value};

use crate::decode;
use crate::event::{EventRef, FieldId, Sender};
use crate::history::{self, Found, History, Range};

/// What is looked for: every term must fit.
#[derive(Debug, Clone, Default)]
pub struct Query {
    terms: Vec<Term>,
    /// Which records to look at.
    pub range: Range,
    /// Events at most; None is all.
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// A word somewhere in the original line or in a value, without regard to case.
    Word(String),
    /// A field has this value, as text.
    Field { id: FieldId, value: String },
}

impl Query {
    /// Reads words and `field=value` terms, parted by blanks; `"…"` keeps blanks together.
    pub fn parse(text: &str) -> Result<Query, String> {
        let mut terms = Vec::new();
        for word in words(text)? {
            terms.push(match word.split_once('=') {
                Some((name, value)) if is_field(name) => {
                    Term::Field { id: FieldId::of(name), value: value.to_owned() }
                }
                _ => Term::Word(word.to_lowercase()),
            });
        }
        Ok(Query { terms, ..Query::default() })
    }

    fn fits(&self, event: EventRef<'_>) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Word(word) => holds(event, word),
            Term::Field { id, value } => has(event, *id, value),
        })
    }
}

/// Looks through history, newest first, and shows each event that fits as JSON, until `see` returns
/// false, or `wanted`, which is asked for every record: a word that nothing holds is looked for in
/// all of history, and whoever asked may have gone long before. Blocking.
pub fn run(
    history: &History,
    query: &Query,
    wanted: &dyn Fn() -> bool,
    see: &mut dyn FnMut(serde_json::Value) -> bool,
) -> Result<(), history::Error> {
    let mut left = query.limit.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(());
    }
    history.read(&query.range, &mut |found| {
        if !wanted() {
            return false;
        }
        let (events, sender) = decoded(found);
        for event in events.iter(&sender) {
            if query.fits(event) {
                left -= 1;
                if !see(event.to_json()) || left == 0 {
                    return false;
                }
            }
        }
        true
    })
}

/// Decodes a record that was found.
pub fn decoded(found: Found) -> (crate::event::Events, Sender) {
    let Found {
        agent, host, site, system, zone, kind, raised, origin, mut record, ingested, ..
    } = found;
    let sender = Sender { agent, host, site, system, zone: Arc::clone(&zone) };
    record.origin = 0;
    let block = Block { origins: vec![origin], records: vec![record] };
    let mut events = decode::block(block, &decode::Context { sender: &sender, ingested, kind });
    if raised {
        for event in &mut events.events {
            event.kind = Kind::Security;
        }
    }
    (events, sender)
}

fn holds(event: EventRef<'_>, word: &str) -> bool {
    event.any_value(&mut |value| match value {
        Value::Text(text) => contains(text, word),
        Value::Integer(integer) => integer.to_string().contains(word),
        Value::Number(number) => number.to_string().contains(word),
        Value::Address(address) => address.to_string().contains(word),
        Value::Null | Value::Flag(_) => false,
    })
}

/// Whether `text` holds `word`, which is in lower case already.
fn contains(text: &str, word: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(word);
    }
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.len() >= word.len()
        && text.windows(word.len().max(1)).any(|window| window.eq_ignore_ascii_case(word))
}

fn has(event: EventRef<'_>, id: FieldId, wanted: &str) -> bool {
    event.any(Key(id.0), &mut |value| match value {
        Value::Text(text) => text == wanted,
        Value::Integer(integer) => integer.to_string() == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Flag(flag) => flag.to_string() == wanted,
        Value::Address(address) => address.to_string() == wanted,
        Value::Null => wanted.is_empty(),
    })
}

fn is_field(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'))
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted_at = None;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted_at = if quoted_at.is_some() { None } else { Some(at) },
            c if c.is_whitespace() && quoted_at.is_none() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if let Some(at) = quoted_at {
        return Err(format!("the quote at {} is never closed", at + 1));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_words_and_fields() {
        let query = Query::parse(r#"Failed user.name=root url.path="/a b" "two words" a=="#)
            .expect("parses");
        let field =
            |name: &str, value: &str| Term::Field { id: FieldId::of(name), value: value.into() };
        let word = |text: &str| Term::Word(text.into());
        let expected = [
            word("failed"),
            field("user.name", "root"),
            field("url.path", "/a b"),
            word("two words"),
            field("a", "="),
        ];
        assert_eq!(query.terms, expected);
        assert_eq!(
            Query::parse("a \"b").map(|_| ()),
            Err("the quote at 3 is never closed".to_owned())
        );
    }

    #[test]
    fn a_search_ends_when_nobody_wants_it_any_more() {
        use bytes::Bytes;
        use hengwei_protocol::wire::{Origin, Record, record::Body};
        use std::cell::Cell;

        const RECORDS: u64 = 50;
        let line = |number| Record {
            number,
            body: Some(Body::Original(Bytes::from_static(b"nothing of interest"))),
            ..Record::default()
        };
        let origins = vec![Origin { source: "files".into(), ..Origin::default() }];
        let block = Block { origins, records: (1..=RECORDS).map(line).collect() };
        let batch = hengwei_protocol::block::pack(Kind::Log, Bytes::from_static(&[7; 16]), &block)
            .expect("packs");
        let received = history::Received {
            agent: "a".into(),
            host: "a".into(),
            site: "site".into(),
            system: "his".into(),
            zone: "UTC".into(),
            kind: Kind::Log,
            epoch: [7; 16],
            first: batch.first,
            span: batch.span,
            block: batch.block,
            raw_len: batch.raw_len,
            records: Arc::new(block),
            raised: Vec::new(),
            ingested: 0,
        };
        let dir = tempfile::tempdir().expect("a directory");
        let options = history::Options { reserve_bytes: 0, ..history::Options::default() };
        let (mut writer, history) = history::Writer::open(dir.path(), options).expect("opens");
        let draft = history::Draft { received: vec![received], ..history::Draft::default() };
        writer.commit(draft).expect("commits");
        let looked_at = |most: u64| {
            let asked = Cell::new(0);
            let wanted = || {
                asked.set(asked.get() + 1);
                asked.get() <= most
            };
            let query = Query::parse("absent").expect("parses");
            run(&history, &query, &wanted, &mut |row| panic!("{row}")).expect("reads");
            asked.get()
        };
        assert_eq!(looked_at(u64::MAX), RECORDS);
        assert_eq!(looked_at(3), 4);
    }
}

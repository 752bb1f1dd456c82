//! What a search is handed against a look at every record: it may be too much, never too little.

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;

use super::*;
use crate::history::understand::{Delivery, Meaning, Understand};
use crate::history::units::{Hunt, Labels, Need};
use crate::time::HOUR;

/// Understands a line by its first word alone: `@17` says that it happened in the hour 17.
#[derive(Debug)]
struct ByFirstWord;

const VERSION: u64 = 5;

fn time_of(record: &Record) -> i64 {
    let text = text(record);
    let hour = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.strip_prefix('@')?.split(' ').next()?.parse::<i64>().ok());
    hour.map_or(record.created, |hour| hour * HOUR)
}

impl Understand for ByFirstWord {
    fn version(&self) -> u64 {
        VERSION
    }

    fn understand(&self, _: &Delivery<'_>, block: &Block, see: &mut dyn FnMut(Meaning<'_>)) {
        for record in &block.records {
            let value = format!("hour_{}", time_of(record) / HOUR);
            see(Meaning {
                time: time_of(record),
                dataset: if record.number.is_multiple_of(3) { "third" } else { "other" },
                line: None,
                values: &|see| see(&value),
            });
        }
    }
}

const WORDS: [&str; 8] =
    ["sshd", "10.1.2.3", "10.1.2", "患者张三", "Failed", "user=root", "a1b2c3d4", "x"];

fn lines() -> impl Strategy<Value = Vec<String>> {
    let words = prop::collection::vec(prop::sample::select(&WORDS[..]), 1..5);
    let line = (0i64..200, words).prop_map(|(hour, words)| format!("@{hour} {}", words.join(" ")));
    prop::collection::vec(line, 1..40)
}

#[derive(Clone)]
struct Looked {
    need: Need,
    since: Option<i64>,
    until: Option<i64>,
    agent: Option<&'static str>,
    third: bool,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Looked { need, since, until, agent, third } = self;
        write!(f, "{need:?} {since:?}..{until:?} {agent:?} {third}")
    }
}

fn need() -> impl Strategy<Value = Need> {
    let word = || prop::sample::select(&WORDS[..]);
    let leaf = prop_oneof![
        word().prop_map(|word| Need::Word(word.to_lowercase().into())),
        (word(), 0usize..3).prop_map(|(word, cut)| {
            let cut = word.char_indices().nth(cut).map_or(0, |(at, _)| at);
            Need::Text(word[cut..].into())
        }),
        (0i64..200).prop_map(|hour| Need::Value(format!("hour_{hour}").into())),
        Just(Need::Anything),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let needs = prop::collection::vec(inner, 1..3);
        prop_oneof![needs.clone().prop_map(Need::All), needs.prop_map(Need::Any)]
    })
}

fn looked() -> impl Strategy<Value = Looked> {
    let time = || prop::option::of((0i64..200).prop_map(|hour| hour * HOUR));
    let agent = prop::option::of(prop::sample::select(&["a", "b"][..]));
    (need(), time(), time(), agent, any::<bool>())
        .prop_map(|(need, since, until, agent, third)| Looked { need, since, until, agent, third })
}

fn holds(need: &Need, record: &Record) -> bool {
    let text = text(record);
    match need {
        Need::All(all) => all.iter().all(|need| holds(need, record)),
        Need::Any(any) => any.iter().any(|need| holds(need, record)),
        Need::Word(word) => holds_word(&text, word),
        Need::Text(needle) => memchr::memmem::find(&text, needle).is_some(),
        Need::Value(value) => format!("hour_{}", time_of(record) / HOUR).as_bytes() == value,
        Need::Anything => true,
    }
}

impl Looked {
    fn fits(&self, found: &Found) -> bool {
        let time = time_of(&found.record);
        holds(&self.need, &found.record)
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && self.agent.is_none_or(|agent| *found.agent == *agent)
            && (!self.third || found.record.number.is_multiple_of(3))
    }

    /// What fits of what history hands out, and whether it came in the order it promised.
    fn run(&self, history: &History, version: u64) -> BTreeSet<(String, u64)> {
        let stream = |labels: &Labels<'_>| self.agent.is_none_or(|agent| labels.agent == agent);
        let dataset = |name: &str| !self.third || name == "third";
        let hunt = Hunt {
            since: self.since,
            until: self.until,
            kinds: &[],
            stream: &stream,
            dataset: &dataset,
            need: &self.need,
            version,
        };
        let mut units = history.units(&hunt);
        let whole = units.left();
        let mut found = BTreeSet::new();
        let mut last = i64::MAX;
        while let Some(unit) = units.next(&hunt) {
            assert!(unit.until <= last, "the newest first");
            last = unit.until;
            let (since, until) = (unit.since, unit.until);
            unit.load(&hunt, &mut |one| {
                assert!((since..=until).contains(&time_of(&one.record)));
                if self.fits(&one) {
                    let new = found.insert((one.agent.to_string(), one.record.number));
                    assert!(new, "a record came twice");
                }
                true
            });
        }
        assert_eq!(units.left().blocks, 0);
        assert!(units.read().blocks <= whole.blocks);
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_search_misses_nothing(
        batches in prop::collection::vec((any::<bool>(), lines(), 0i64..200), 1..8),
        looked in prop::collection::vec(looked(), 1..8),
        sealed in 0usize..9,
    ) {
        let place = Place::new();
        let options = Options { understand: Some(Arc::new(ByFirstWord)), ..place.options() };
        let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
        let mut next = [1u64; 2];
        for (at, (which, lines, hour)) in batches.into_iter().enumerate() {
            let (agent, next) = if which { ("a", &mut next[0]) } else { ("b", &mut next[1]) };
            let records: Vec<Record> = lines
                .iter()
                .zip(*next..)
                .map(|(text, number)| line(number, (number % 2) as u32, text))
                .collect();
            let raised = records.iter().map(|r| r.number).filter(|n| n.is_multiple_of(5)).collect();
            *next += records.len() as u64;
            let ingested = hour * HOUR;
            let received = Received { ingested, ..received(agent, Kind::Log, records, raised) };
            // What is ahead of its ingestion was given another time by decoding: leave such out.
            let records = &received.records.records;
            let late = records.iter().map(time_of).max().unwrap_or(0);
            let received = Received { ingested: ingested.max(late), ..received };
            writer.commit(batch(received)).expect("commits");
            if at + 1 == sealed {
                history.seal().expect("seals");
            }
        }
        let mut all = Vec::new();
        history.read(&Range::default(), &mut |found| { all.push(found); true }).expect("reads");
        for looked in looked {
            let expected: BTreeSet<_> = all
                .iter()
                .filter(|found| looked.fits(found))
                .map(|found| (found.agent.to_string(), found.record.number))
                .collect();
            for version in [VERSION, VERSION + 1] {
                prop_assert_eq!(&looked.run(&history, version), &expected, "{:?}", looked);
            }
        }
        prop_assert!(place.verify().is_clean());
    }
}

#[test]
fn what_nothing_holds_is_passed_over_unread() {
    let place = Place::new();
    let options = Options { understand: Some(Arc::new(ByFirstWord)), ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    for n in 0..4u64 {
        let records: Vec<Record> =
            (0..100).map(|i| line(n * 100 + i, 0, &format!("@{n} line {n}-{i}"))).collect();
        let ingested = n as i64 * HOUR;
        let received = received("a", Kind::Log, records, Vec::new());
        writer.commit(batch(Received { ingested, ..received })).expect("commits");
        history.seal().expect("seals");
    }
    let looked = |need| Looked { need, since: None, until: None, agent: None, third: false };
    let read = |looked: &Looked, version| {
        let hunt = Hunt {
            since: looked.since,
            until: None,
            kinds: &[],
            stream: &|_| true,
            dataset: &|_| true,
            need: &looked.need,
            version,
        };
        let mut units = history.units(&hunt);
        while units.next(&hunt).is_some() {}
        (units.read().blocks, units.skipped().blocks)
    };
    assert_eq!(read(&looked(Need::Word(b"absent".to_vec())), VERSION), (0, 4));
    assert_eq!(read(&looked(Need::Text(b"in a-word in".to_vec())), VERSION), (0, 4));
    assert_eq!(read(&looked(Need::Anything), VERSION), (4, 0));
    let value = looked(Need::Value(b"hour_2".to_vec()));
    assert_eq!(read(&value, VERSION), (1, 3));
    assert_eq!(read(&value, VERSION + 1), (4, 0), "other decoders might find it anywhere");
    let late = Looked { since: Some(3 * HOUR), ..looked(Need::Anything) };
    assert_eq!(read(&late, VERSION), (1, 3));
    // A flipped bit in a filter hides nothing: the block is read.
    let path = place.file("segments", "log");
    let reader = segment::Reader::open(&path).expect("opens");
    let chunk = &reader.chunks[0];
    let filter = chunk.blocks[0].parts.last().expect("a filter");
    flip(&path, chunk.offset + filter.offset + 25);
    drop(writer);
    drop(history);
    let (_writer, history) = place.open();
    let everything = looked(Need::Word(b"line".to_vec())).run(&history, VERSION);
    assert_eq!(everything.len(), 400);
    assert!(history.status().damaged > 0);
}

#[test]
fn what_fits_in_no_column_is_found_all_the_same() {
    use hengwei_protocol::wire::{Field, Fields, field::Value};

    const FIELDS: u64 = 900;
    let place = Place::new();
    let options = Options { understand: Some(Arc::new(ByFirstWord)), ..place.options() };
    let (mut writer, history) = Writer::open(&place.dir, options).expect("opens");
    let cut = Record {
        length: 1 << 20,
        sha256: Bytes::from_static(&[7; 32]),
        ..line(1, 0, "a line that was severed")
    };
    // More names than one block has columns for.
    let made_up = |number: u64| {
        let field = |n: u64| Field {
            name: format!("name-{number}-{n}"),
            value: Some(Value::Text(format!("value_{number}_{n}"))),
        };
        let fields = (0..FIELDS).map(field).collect();
        Record { number, body: Some(Body::Fields(Fields { fields })), ..Record::default() }
    };
    let records: Vec<Record> = std::iter::once(cut).chain((2..12).map(made_up)).collect();
    let received = received("a", Kind::Log, records.clone(), Vec::new());
    writer.commit(batch(received)).expect("commits");
    history.seal().expect("seals");
    let mut back = Vec::new();
    history
        .read(&Range::default(), &mut |found| {
            back.push(found.record);
            true
        })
        .expect("reads");
    back.reverse();
    assert_eq!(back, records);
    assert!(place.verify().is_clean());
    let found = |word: &str| {
        let hunt = Hunt {
            since: None,
            until: None,
            kinds: &[],
            stream: &|_| true,
            dataset: &|_| true,
            need: &Need::Word(word.into()),
            version: VERSION,
        };
        let mut units = history.units(&hunt);
        let mut numbers = BTreeSet::new();
        while let Some(unit) = units.next(&hunt) {
            unit.load(&hunt, &mut |found| numbers.insert(found.record.number));
        }
        numbers
    };
    assert!(found("severed").contains(&1));
    assert!(found("value_2_0").contains(&2));
    assert!(found("value_11_899").contains(&11));
    assert!(found("absent").is_empty());
}

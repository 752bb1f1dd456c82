//! What the tests of history share: drafts, a key, copies of a folder, and what history returns.

mod faults;
mod freezing;
mod keeping;
mod model;
mod sealing;
mod space;
mod speed;
mod tampering;
mod units;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use hengwei_protocol::wire::{Block, Gap, Origin, Record, record::Body};
use hengwei_protocol::{Kind, block, record};

use super::*;

/// One record as it went in, or came out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    commit: u64,
    agent: String,
    kind: Kind,
    number: u64,
    path: String,
    text: Vec<u8>,
    raised: bool,
}

/// A record of one line.
fn line(number: u64, origin: u32, text: &str) -> Record {
    Record {
        number,
        origin,
        created: 1_000 + number as i64,
        body: Some(Body::Original(Bytes::copy_from_slice(text.as_bytes()))),
        ..Record::default()
    }
}

fn gap(number: u64, span: u64) -> Record {
    let gap = Gap { span, records: span, cause: "spool-full".into(), ..Gap::default() };
    Record { number, body: Some(Body::Gap(gap)), ..Record::default() }
}

/// A batch as the agent input would hand it over.
fn received(agent: &str, kind: Kind, records: Vec<Record>, raised: Vec<u64>) -> Received {
    let origin =
        |path: &str| Origin { source: "files".into(), path: path.into(), ..Origin::default() };
    let block = Block { origins: vec![origin("/a"), origin("/b")], records };
    let batch = block::pack(kind, Bytes::from_static(&[7; 16]), &block).expect("packs");
    Received {
        agent: agent.into(),
        host: format!("{agent}.local").into(),
        site: "site".into(),
        system: "his".into(),
        zone: "Asia/Shanghai".into(),
        kind,
        epoch: [7; 16],
        first: batch.first,
        span: batch.span,
        block: batch.block,
        raw_len: batch.raw_len,
        records: Arc::new(block),
        raised,
        ingested: 0,
    }
}

fn lines(agent: &str, kind: Kind, first: u64, count: u64) -> Received {
    let records = (first..first + count)
        .map(|number| line(number, (number % 2) as u32, &format!("{agent} {kind} line {number}")))
        .collect();
    Received { ingested: first as i64 * 1_000, ..received(agent, kind, records, Vec::new()) }
}

fn entry(action: &str, time: i64) -> Entry {
    Entry { time, actor: "local:root".into(), action: action.into(), body: "{}".into() }
}

fn put(tree: &'static str, key: &str, value: Option<&str>) -> Put {
    Put { tree, key: key.into(), value: value.map(|value| value.as_bytes().to_vec()) }
}

fn batch(received: Received) -> Draft {
    Draft { received: vec![received], ..Draft::default() }
}

/// What a batch will come out as.
fn expected(commit: u64, received: &Received) -> Vec<Seen> {
    let seen = |record: &Record| Seen {
        commit,
        agent: received.agent.to_string(),
        kind: received.kind,
        number: record.number,
        path: received.records.origins[record.origin as usize].path.clone(),
        text: text(record),
        raised: received.kind != Kind::Security && received.raised.contains(&record.number),
    };
    received.records.records.iter().map(seen).collect()
}

fn text(record: &Record) -> Vec<u8> {
    match &record.body {
        Some(Body::Original(bytes)) => bytes.to_vec(),
        _ => format!("span {}", record::span(record)).into_bytes(),
    }
}

/// Everything history returns, oldest first; fails when it is not in order.
fn all(history: &History, range: &Range) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut last = u64::MAX;
    history
        .read(range, &mut |found| {
            assert!(found.commit <= last, "newest commit first");
            last = found.commit;
            assert_eq!(&*found.host, format!("{}.local", found.agent));
            seen.push(Seen {
                commit: found.commit,
                agent: found.agent.to_string(),
                kind: found.kind,
                number: found.record.number,
                path: found.origin.path.clone(),
                text: text(&found.record),
                raised: found.raised,
            });
            true
        })
        .expect("reads");
    seen.reverse();
    seen
}

/// The same, whatever the order within a commit.
fn sorted(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort();
    seen
}

type Dump = BTreeMap<(&'static str, Vec<u8>), String>;

/// Every small record.
fn dump(history: &History) -> Dump {
    let mut rows = Dump::new();
    for tree in tree::ALL {
        history.scan(tree, &[], &mut |key, value| {
            rows.insert((*tree, key.to_vec()), String::from_utf8_lossy(value).into_owned());
            true
        });
    }
    rows
}

/// A folder with a key beside it.
struct Place {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
    key: PathBuf,
    public: Vec<u8>,
}

impl Place {
    fn new() -> Place {
        let temporary = tempfile::tempdir().expect("a directory");
        let (key, public) = new_key(temporary.path(), "history.key");
        Place { dir: temporary.path().join("history"), key, public, _temporary: temporary }
    }

    /// Every seal writes a checkpoint, unless a test says otherwise.
    fn options(&self) -> Options {
        let checkpoint_age = std::time::Duration::ZERO;
        let key = Some(self.key.clone());
        Options { key, checkpoint_age, reserve_bytes: 1 << 20, ..Options::default() }
    }

    fn open(&self) -> (Writer, History) {
        Writer::open(&self.dir, self.options()).expect("opens")
    }

    fn verify(&self) -> Report {
        self.verify_with(Vec::new())
    }

    fn verify_with(&self, heads: Vec<Heads>) -> Report {
        verify(&self.dir, self.trusting(heads)).expect("verifies")
    }

    /// With the key from elsewhere, and heads as one agent keeps them.
    fn trusting(&self, heads: Vec<Heads>) -> VerifyOptions {
        let kept = Kept { from: "heads".to_owned(), key: None, heads };
        VerifyOptions { key: Some(self.public.clone()), heads: vec![kept], ..Default::default() }
    }

    /// What a power cut would leave: a copy of the folder as it is now, under the same key.
    fn copy(&self) -> Place {
        self.copy_of(&self.dir)
    }

    /// The same of a photograph of it.
    fn copy_of(&self, dir: &Path) -> Place {
        let from = dir;
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().join("history");
        copy(from, &dir);
        let key = temporary.path().join("history.key");
        fs::copy(&self.key, &key).expect("copies");
        Place { dir, key, public: self.public.clone(), _temporary: temporary }
    }

    /// The only file below `folder` whose name begins so.
    fn file(&self, folder: &str, begin: &str) -> PathBuf {
        let mut found: Vec<_> = fs::read_dir(self.dir.join(folder))
            .expect("lists")
            .map(|entry| entry.expect("lists").path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(begin))
            .collect();
        found.sort();
        found.into_iter().next().expect("a file")
    }
}

fn new_key(dir: &Path, name: &str) -> (PathBuf, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().expect("generates");
    let path = dir.join(name);
    fs::write(&path, pair.to_pkcs8().expect("encodes").as_ref()).expect("writes");
    (path, pair.public_key().as_ref().to_vec())
}

/// Copies a folder that somebody may be writing to.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if let Err(error) = fs::copy(&path, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// Copies the folder at every step of whatever changes files.
#[derive(Debug)]
struct Photographer {
    dir: PathBuf,
    album: tempfile::TempDir,
    taken: Mutex<Vec<(&'static str, PathBuf)>>,
    count: AtomicUsize,
}

impl Photographer {
    fn of(place: &Place) -> Arc<Photographer> {
        let album = tempfile::tempdir().expect("a directory");
        Arc::new(Photographer {
            dir: place.dir.clone(),
            album,
            taken: Mutex::default(),
            count: AtomicUsize::new(0),
        })
    }

    /// What was taken since the last time.
    fn develop(&self) -> Vec<(&'static str, PathBuf)> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

impl Disk for Photographer {
    fn step(&self, name: &'static str) {
        let mut taken = self.taken.lock().unwrap();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let to = self.album.path().join(format!("{count}-{name}"));
        copy(&self.dir, &to);
        taken.push((name, to));
    }
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at as usize] ^= 0x20;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_commit_is_there_for_every_reader() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let first = lines("web-1", Kind::Log, 1, 3);
    let draft = Draft {
        received: vec![first.clone(), lines("web-1", Kind::Security, 1, 1)],
        entries: vec![entry("alert.raised", 5)],
        puts: vec![put(tree::ALERTS, "a1", Some("{}")), put(tree::ALERTS, "b1", Some("1"))],
        hits: vec![Bytes::from_static(b"hit")],
        correlations: Some(Bytes::from_static(b"state")),
    };
    let committed = writer.commit(draft).expect("commits");
    assert_eq!(committed.number, 1);
    assert_eq!(history.heads(), committed.heads);
    let classes: Vec<_> = committed.heads.heads.iter().map(|head| head.class.as_str()).collect();
    assert_eq!(classes, ["log", "security", "record"]);
    assert_eq!(history.get(tree::ALERTS, b"a1").as_deref(), Some(&b"{}"[..]));
    assert_eq!(history.get(tree::ALERTS, b"a2"), None);
    let mut keys = Vec::new();
    history.scan_from(tree::ALERTS, b"a2", &mut |key, _| {
        keys.push(key.to_vec());
        true
    });
    history.scan_back(tree::ALERTS, b"", &mut |key, _| {
        keys.push(key.to_vec());
        false
    });
    assert_eq!(keys, [b"b1", b"b1"]);
    let row = history.queue("web-1", Kind::Log, &[7; 16]).expect("a ledger row");
    let digest = record::digest(&first.records.origins[1], &first.records.records[2]);
    assert_eq!((row.next, row.records, row.missing), (4, 3, 0));
    assert_eq!(row.digest, ledger::hex(&digest));
    assert_eq!(history.queue("web-1", Kind::Asset, &[7; 16]), None);
    let mut entries = Vec::new();
    let mut see = |commit, entry| {
        entries.push((commit, entry));
        true
    };
    history.entries(Some(5), Some(6), &mut see).expect("reads");
    history.entries(Some(6), None, &mut see).expect("reads");
    assert_eq!(entries, [(1, entry("alert.raised", 5))]);
    assert_eq!(history.hits_since_checkpoint(), (Some(Bytes::from_static(b"state")), Vec::new()));
    writer.commit(Draft { hits: vec!["h2".into()], ..Draft::default() }).expect("commits");
    assert_eq!(history.hits_since_checkpoint().1, [Bytes::from_static(b"h2")]);
    let report = place.verify();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.commits, report.records, report.links), (2, 4, 3));
}

#[test]
fn a_range_chooses_by_time_kind_and_agent() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    for first in 1..=4 {
        writer.commit(batch(lines("a", Kind::Log, first, 1))).expect("commits");
    }
    let raised = Received { raised: vec![5], ..lines("a", Kind::Log, 5, 2) };
    let other = lines("b", Kind::Asset, 1, 1);
    writer.commit(Draft { received: vec![raised, other], ..Draft::default() }).expect("commits");
    let check = |range: Range, numbers: &[u64]| {
        let seen: Vec<_> = all(&history, &range).iter().map(|seen| seen.number).collect();
        assert_eq!(seen, numbers, "{range:?}");
    };
    for _ in 0..2 {
        check(Range { since: Some(2_000), until: Some(4_000), ..Range::default() }, &[2, 3]);
        check(Range { kinds: vec![Kind::Security], ..Range::default() }, &[5]);
        check(Range { kinds: vec![Kind::Log], ..Range::default() }, &[1, 2, 3, 4, 6]);
        check(Range { agent: Some("b".into()), ..Range::default() }, &[1]);
        check(Range { agent: Some("c".into()), ..Range::default() }, &[]);
        history.seal().expect("seals");
    }
    let mut first = None;
    let once = |found: Found| {
        first = Some(found.record.number);
        false
    };
    let mut once = once;
    history.read(&Range { kinds: vec![Kind::Log], ..Range::default() }, &mut once).expect("reads");
    assert_eq!(first, Some(6));
}

#[test]
fn gaps_and_holes_are_in_the_ledger() {
    let place = Place::new();
    let (mut writer, history) = place.open();
    let records = vec![line(10, 0, "a"), gap(11, 5), line(16, 1, "b")];
    writer.commit(batch(received("a", Kind::Log, records, Vec::new()))).expect("commits");
    let row = history.queue("a", Kind::Log, &[7; 16]).expect("a row");
    assert_eq!((row.next, row.records, row.missing), (17, 3, 4));
    let mut gaps = Vec::new();
    history.scan(tree::GAPS, b"a\0log\0", &mut |_, value| {
        gaps.push(serde_json::from_slice::<GapRow>(value).expect("a gap"));
        true
    });
    assert_eq!(
        (gaps.len(), gaps[0].number, gaps[0].span, gaps[0].cause.as_str()),
        (1, 11, 5, "spool-full")
    );
    for first in [16, 18] {
        let refused = writer.commit(batch(lines("a", Kind::Log, first, 1)));
        assert!(matches!(refused, Err(Error::Unusable(_))), "{first}: {refused:?}");
    }
    let twice = vec![lines("a", Kind::Log, 17, 2), lines("a", Kind::Log, 19, 2)];
    writer.commit(Draft { received: twice, ..Draft::default() }).expect("commits");
    assert_eq!(history.queue("a", Kind::Log, &[7; 16]).expect("a row").next, 21);
}

#[test]
fn there_is_one_writer() {
    let place = Place::new();
    let (writer, _history) = place.open();
    let second = Writer::open(&place.dir, place.options());
    assert!(matches!(second, Err(Error::Unusable(_))));
    drop(writer);
    place.open();
}

#[test]
fn a_key_that_is_none_is_named() {
    let place = Place::new();
    fs::write(&place.key, "no key").expect("writes");
    let error = Writer::open(&place.dir, place.options()).map(|_| ()).expect_err("no key");
    assert!(error.to_string().contains("pki init"), "{error}");
}

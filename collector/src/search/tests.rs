//! Searches of a small history against a look at everything in it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::wire::Block;
use hengwei_protocol::wire::{Field, Fields, Gap, Origin, Record, field, record::Body};

use super::*;
use crate::event::names;
use crate::history::{Draft, Options, Range, Received, Writer};
use crate::logql::Event as _;
use crate::time::MINUTE;

const T0: i64 = 1_700_000_000 * SECOND;

struct Bench {
    _dir: tempfile::TempDir,
    writer: Writer,
    history: History,
    next: u64,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options {
            reserve_bytes: 0,
            understand: Some(Arc::new(Decoders)),
            ..Options::default()
        };
        let (writer, history) = Writer::open(dir.path(), options).expect("opens");
        Bench { _dir: dir, writer, history, next: 1 }
    }

    /// Commits records of one source, each with its time.
    fn commit(&mut self, host: &str, source: &str, records: Vec<(i64, Body)>) {
        let origin =
            Origin { source: source.into(), path: "/var/log/x".into(), ..Origin::default() };
        let mut number = self.next - 1;
        let records: Vec<Record> = records
            .into_iter()
            .map(|(time, body)| {
                number += 1;
                Record { number, time, created: time, body: Some(body), ..Record::default() }
            })
            .collect();
        let block = Block { origins: vec![origin], records };
        let epoch = Bytes::from_static(&[7; 16]);
        let batch = hengwei_protocol::block::pack(Kind::Log, epoch, &block).expect("packs");
        self.next = number + 1;
        let received = Received {
            agent: "a".into(),
            host: host.into(),
            site: "site".into(),
            system: "emr".into(),
            zone: "UTC".into(),
            kind: Kind::Log,
            epoch: [7; 16],
            first: batch.first,
            span: batch.span,
            block: batch.block,
            raw_len: batch.raw_len,
            records: Arc::new(block),
            raised: Vec::new(),
            ingested: T0,
        };
        let draft = Draft { received: vec![received], ..Draft::default() };
        self.writer.commit(draft).expect("commits");
    }

    /// Lines, `(seconds, text)`.
    fn lines(&mut self, host: &str, lines: &[(i64, &str)]) {
        let lines = lines.iter().map(|(seconds, text)| (T0 + seconds * SECOND, original(text)));
        self.commit(host, "files", lines.collect());
    }

    fn ask(&self, asked: &Asked) -> (Vec<Value>, Progress) {
        let (mut rows, mut last) = (Vec::new(), Progress::default());
        let ended = run(&self.history, asked, T0, &|| true, &mut |said| {
            match said {
                Said::Row(row) => rows.push(row),
                Said::Progress(progress) => last = progress,
            }
            true
        });
        ended.expect("few series");
        (rows, last)
    }

    /// Lines that fit a query, in the order they are shown.
    fn found(&self, query: &str) -> Vec<String> {
        self.ask(&asked(query)).0.iter().map(text).collect()
    }
}

fn original(text: &str) -> Body {
    Body::Original(Bytes::copy_from_slice(text.as_bytes()))
}

fn typed(fields: &[(&str, &str)]) -> Body {
    let field = |(name, text): &(&str, &str)| Field {
        name: (*name).to_owned(),
        value: Some(field::Value::Text((*text).to_owned())),
    };
    Body::Fields(Fields { fields: fields.iter().map(field).collect() })
}

fn asked(query: &str) -> Asked {
    Asked { query: Query::parse(query).expect(query), ..Asked::default() }
}

fn text(row: &Value) -> String {
    row["event.original"].as_str().unwrap_or_default().to_owned()
}

/// 300 lines in six commits whose times overlap, some of the same time, some sealed.
fn spread() -> (Bench, Vec<String>) {
    let mut bench = Bench::new();
    let mut all = Vec::new();
    for commit in 0..6i64 {
        let lines: Vec<(i64, String)> = (0..50)
            .map(|n| ((commit * 30 + n * 7 % 90) / 2, format!("line {commit}/{n} of many words")))
            .collect();
        let number = bench.next;
        all.extend(lines.iter().zip(number..).map(|((at, text), n)| (*at, n, text.clone())));
        let lines: Vec<(i64, &str)> = lines.iter().map(|(at, text)| (*at, text.as_str())).collect();
        bench.lines("h", &lines);
        if commit == 1 || commit == 3 {
            bench.history.seal().expect("seals");
        }
    }
    all.sort();
    let texts = all.into_iter().rev().map(|(_, _, text)| text).collect();
    (bench, texts)
}

#[test]
fn rows_are_in_order_however_they_are_asked_for() {
    let (bench, expected) = spread();
    assert_eq!(bench.found("line"), expected, "in several passes");
    for limit in [13, 75, 299, 300, 1000] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let wanted = Asked { limit: Some(limit), after: after.clone(), ..asked("many") };
            let (rows, progress) = bench.ask(&wanted);
            assert!(progress.done && progress.rows == rows.len() as u64);
            found.extend(rows.iter().map(text));
            if !progress.more {
                break;
            }
            let place = rows.last().expect("a row")[CURSOR].as_str().expect("a place");
            assert_eq!(progress.after.as_deref(), Some(place));
            after = Some(place.parse().expect("a place"));
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
}

#[test]
fn what_arrives_meanwhile_moves_no_row() {
    let (mut bench, expected) = spread();
    let (mut found, mut after) = (Vec::new(), None);
    for round in 0..4 {
        let (rows, _) = bench.ask(&Asked { limit: Some(75), after, ..asked("line") });
        found.extend(rows.iter().map(text));
        let place: Place = rows[74][CURSOR].as_str().expect("a place").parse().expect("a place");
        // Newer than anything shown, and of the same time as the last row but later.
        let same = (place.time - T0) / SECOND;
        bench.lines("h", &[(1000 + round, "line too late"), (same, "line too late")]);
        if round == 1 {
            bench.history.seal().expect("seals");
        }
        after = Some(place);
    }
    assert_eq!(found, expected);
}

#[test]
fn times_kinds_and_agents_narrow_a_search() {
    let (bench, expected) = spread();
    let at = |seconds: i64| Some(T0 + seconds * SECOND);
    let count = |asked: Asked| bench.ask(&asked).0.len();
    let inside = count(Asked { since: at(20), until: at(40), ..asked("line") });
    let below = count(Asked { until: at(20), ..asked("line") });
    let above = count(Asked { since: at(40), ..asked("line") });
    assert!(inside > 0 && below > 0 && above > 0);
    assert_eq!(inside + below + above, expected.len());
    assert_eq!(count(Asked { kinds: vec![Kind::Security], ..asked("line") }), 0);
    assert_eq!(count(Asked { kinds: vec![Kind::Log], ..asked("line") }), expected.len());
    assert_eq!(count(Asked { agent: Some("b".into()), ..asked("line") }), 0);
    assert_eq!(count(Asked { agent: Some("a".into()), ..asked("line") }), expected.len());
    assert_eq!(count(Asked { limit: Some(0), ..asked("line") }), 0);
    assert_eq!(count(asked(r#"{host="other"} line"#)), 0);
}

const RECORDS: &[&str] = &[
    "Nov 14 22:13:20 emr sshd[811]: Failed password for root from 10.1.2.3 port 22 ssh2",
    "Nov 14 22:13:21 emr sshd[812]: Accepted password for alice from 10.1.2.4 port 2222 ssh2",
    "Nov 14 22:13:22 emr sudo:   bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls",
    r#"{"level":"error","message":"错误码 E17","user":{"name":"root"},"took":"30ms","n":5}"#,
    "plain text, user=root, a=b.c.d",
    "",
];

/// Every query over sealed and unsealed records finds what a look at each record does.
#[test]
fn nothing_that_fits_is_passed_over() {
    let mut bench = Bench::new();
    let lines: Vec<(i64, &str)> = (0i64..).zip(RECORDS.iter().copied()).collect();
    for sealed in [true, false] {
        bench.lines("emr-01", &lines);
        let gb18030 = [0xc8, 0xcb, 0xc3, 0xf1, b' ', b'r', b'o', b'o', b't'];
        bench.commit(
            "emr-01",
            "files",
            vec![(T0, Body::Original(Bytes::copy_from_slice(&gb18030)))],
        );
        let journal = [("message", "Failed password for root"), ("process.name", "sshd")];
        bench.commit("emr-02", "journal", vec![(T0 + SECOND, typed(&journal))]);
        let asset =
            [("event.dataset", "asset.package"), ("package.name", "open ssl"), ("empty", "")];
        let gap = Gap { span: 1, records: 3, cause: "rotated".into(), ..Gap::default() };
        bench.commit("emr-02", "assets", vec![(T0, typed(&asset)), (T0, Body::Gap(gap))]);
        if sealed {
            bench.history.seal().expect("seals");
        }
    }
    let mut most = 0;
    for query in [
        "root",
        "sshd failed",
        "10.1.2.3",
        "10.1",
        "E17",
        "错误",
        "人民",
        "\"open ssl\"",
        "ssl",
        "user.name=root",
        "user.name=alice",
        "event.outcome=failure",
        "package.name=\"open ssl\"",
        "rotated",
        "hengwei.gap.cause=rotated",
        "n=5",
        "absent",
        "empty=\"\"",
        r#"|= "word for root""#,
        r#"|= "package.name=""#,
        r#"|= "open ssl""#,
        r#"|= "\"open""#,
        r#"|~ "Failed .* root""#,
        r#"|~ "(?i)FAILED""#,
        r#"!= "root""#,
        "|= `\"name\":\"root\"`",
        r#"{host="emr-02"}"#,
        r#"{host!~"emr-01"} root"#,
        r#"{dataset="sshd"}"#,
        r#"{source="journal"}"#,
        r#"{dataset="asset.package", system="emr"}"#,
        r#"{level="error"}"#,
        r#"{level=~"e.*"}"#,
        r#"| level = "error""#,
        r#"{kind="log"}"#,
        r#"{kind="security"}"#,
        r#"{path="/var/log/x"} sudo"#,
        r#"| user_name = "root""#,
        r#"| user.name =~ "root|bob""#,
        r#"| source_ip = ip("10.0.0.0/8")"#,
        r#"| source.port > 100"#,
        r#"| n >= 5 and took < 1s"#,
        r#"| user.name != "root""#,
        r#"| event_original = """#,
        r#"| message = "Failed password for root""#,
        r#"| log.level = "error" or process.name = "sshd""#,
        r#"| event.outcome = "failure" | user.name = "root""#,
    ] {
        let asked = asked(query);
        let mut naive = Vec::new();
        let read = bench.history.read(&Range::default(), &mut |found| {
            let decoded = Decoded::of(vec![found]).expect("one");
            naive.extend(decoded.iter().filter(|it| asked.query.fits(it)).map(|it| it.place()));
            true
        });
        read.expect("reads");
        naive.sort();
        naive.reverse();
        let (rows, progress) = bench.ask(&asked);
        let found: Vec<Place> =
            rows.iter().map(|row| row[CURSOR].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(found, naive, "{query}");
        assert_eq!(found.len() % 2, 0, "{query}: sealed and not sealed are the same");
        assert!(
            query == "absent" || query == "10.1" || query.contains("security") || !found.is_empty(),
            "{query}"
        );
        most = most.max(progress.skipped.blocks);
    }
    assert!(most > 0, "blocks were passed over");
}

#[test]
fn counts_are_of_their_ranges() {
    let (bench, expected) = spread();
    let wanted = |query: &str| Asked {
        since: Some(T0),
        until: Some(T0 + 2 * MINUTE),
        step: Some(MINUTE),
        ..asked(query)
    };
    let (rows, progress) = bench.ask(&wanted("sum by (host) (count_over_time(line [1m]))"));
    let points = rows[0]["values"].as_array().expect("points");
    let total: usize =
        points.iter().map(|it| it[1].as_str().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!((rows.len(), total, progress.rows), (1, expected.len(), 1));
    assert_eq!(rows[0]["metric"], json!({"host": "h"}));
    assert_eq!(points[1][0], json!(1_700_000_060));
    assert_eq!(bench.ask(&wanted("rate(absent [1m])")).0, Vec::<Value>::new());
    let too_many = Asked { step: Some(1), ..wanted("rate(line [1m])") };
    let refused = run(&bench.history, &too_many, T0, &|| true, &mut |_| true);
    assert_eq!(refused, Err(TooMuch::Points(120_000_000_001)));
}

#[test]
fn a_search_ends_when_nobody_wants_it_any_more() {
    let mut bench = Bench::new();
    bench.lines("h", &[(0, "nothing of interest"); 50]);
    let looked_at = |most: u64| {
        let told = Cell::new(0);
        let asks = Cell::new(0);
        let wanted = || {
            asks.set(asks.get() + 1);
            asks.get() <= most
        };
        // The store cannot know that no line has it.
        let asked = asked("| absent > 5");
        let see = &mut |_| {
            told.set(told.get() + 1);
            true
        };
        run(&bench.history, &asked, T0, &wanted, see).expect("runs");
        (asks.get(), told.get())
    };
    assert_eq!(looked_at(3), (4, 0));
    let (asks, told) = looked_at(u64::MAX);
    assert!(asks >= 50 && told == 1, "{asks} {told}");
    let mut rows = 0;
    let see = &mut |_| {
        rows += 1;
        rows < 3
    };
    run(&bench.history, &asked("nothing"), T0, &|| true, see).expect("runs");
    assert_eq!(rows, 3);
}

#[test]
fn a_name_of_the_header_promises_no_value() {
    for name in &names::KNOWN[..=names::MESSAGE.0 as usize] {
        for name in [(*name).to_owned(), name.replace('.', "_")] {
            let query = asked(&format!("| {name} = \"x\"")).query;
            assert_eq!(query.plan().need, Need::Anything, "{name}");
        }
    }
}

#[test]
fn a_label_is_the_field_of_its_name() {
    let mut bench = Bench::new();
    bench.lines("emr-01", &[(0, RECORDS[0]), (1, RECORDS[4])]);
    let check = |found: crate::history::Found| {
        let decoded = Decoded::of(vec![found]).expect("one");
        for seen in decoded.iter() {
            for label in Label::ALL {
                let mut field = None;
                seen.any(label.ecs(), &mut |value| {
                    field = Some(value.text().into_owned());
                    true
                });
                assert_eq!(seen.label(label), field.unwrap_or_default(), "{label:?}");
            }
        }
        true
    };
    bench.history.read(&Range::default(), &mut { check }).expect("reads");
}

/// A line of a program, as its host writes it at a time `seconds` after [`T0`].
fn said(seconds: i64, program: &str, message: &str) -> (i64, Body) {
    let at = T0 + seconds * SECOND;
    let stamp = crate::time::rfc3339(at);
    (at, original(&format!("{stamp} h {program}[1]: {message}")))
}

const ACCEPTED: &str = "Accepted password for root from 192.0.2.1 port 2222 ssh2";

#[test]
fn a_sample_finds_what_is_rare_and_reads_little_of_what_is_not() {
    let mut bench = Bench::new();
    let su = "(to root) alice on pts/0";
    bench.commit("h", "files", vec![said(-90 * DAY / SECOND, "su", su)]);
    bench.history.seal().expect("seals");
    let rare = "    bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls";
    bench.commit("h", "files", vec![said(0, "sudo", rare)]);
    bench.history.seal().expect("seals");
    for n in 1..=8 {
        bench.commit("h", "files", (0..15).map(|m| said(n * 60 + m, "sshd", ACCEPTED)).collect());
        bench.history.seal().expect("seals");
    }
    let expected: BTreeSet<String> = ["sshd", "sudo", "su", "fim"].map(str::to_owned).into();
    let found = sample(&bench.history, &expected, T0 - DAY, &|| true);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["sshd", "su", "sudo"]);
    // Enough is enough: two blocks, and none of it again where only the others are looked for.
    assert_eq!((found["sshd"].events, found["sudo"].events, found["su"].events), (30, 1, 1));
    assert!(found["sshd"].fields.contains(&names::SOURCE_IP), "{:?}", found["sshd"]);
    assert!(found["sudo"].fields.contains(&names::PROCESS_COMMAND_LINE), "{:?}", found["sudo"]);

    assert_eq!(sample(&bench.history, &expected, T0 - DAY, &|| false), Sample::new());
    assert_eq!(sample(&bench.history, &BTreeSet::new(), T0 - DAY, &|| true), Sample::new());
}

#[test]
fn a_sample_reads_what_is_not_sealed_yet() {
    let mut bench = Bench::new();
    bench.commit("h", "files", vec![said(0, "sshd", ACCEPTED), said(1, "cron", "x")]);
    let expected = BTreeSet::from(["sshd".to_owned()]);
    let found = sample(&bench.history, &expected, T0 - DAY, &|| true);
    // Others are taken where they are met.
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["cron", "sshd"]);
}

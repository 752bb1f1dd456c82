//! Queries as text against what they mean.

use proptest::prelude::*;

use super::*;
use crate::history::{Need, holds_word};

/// An event of plain parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Fake {
    pub(super) line: String,
    /// Values of fields it was received with; when it has none its line is what was received.
    pub(super) received: Vec<String>,
    pub(super) labels: Vec<(Label, String)>,
    pub(super) fields: Vec<(String, Plain)>,
}

#[derive(Debug, Clone)]
pub(super) enum Plain {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    Address(IpAddr),
}

impl Plain {
    fn value(&self) -> Value<'_> {
        match self {
            Plain::Text(text) => Value::Text(text),
            Plain::Integer(integer) => Value::Integer(*integer),
            Plain::Number(number) => Value::Number(*number),
            Plain::Flag(flag) => Value::Flag(*flag),
            Plain::Address(ip) => Value::Address(*ip),
        }
    }
}

impl Event for Fake {
    fn line(&self) -> &str {
        &self.line
    }

    fn label(&self, label: Label) -> Cow<'_, str> {
        let found = self.labels.iter().find(|(other, _)| *other == label);
        Cow::Borrowed(found.map_or("", |(_, value)| value))
    }

    fn any_received(&self, see: &mut dyn FnMut(&str) -> bool) -> bool {
        self.received.is_empty() && see(&self.line) || self.received.iter().any(|text| see(text))
    }

    fn any(&self, field: &str, see: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let exact = self.fields.iter().any(|(name, _)| name == field);
        let called = |name: &str| if exact { name == field } else { is_underscored(field, name) };
        self.fields.iter().filter(|(name, _)| called(name)).any(|(_, value)| see(value.value()))
    }
}

fn sshd() -> Fake {
    let text = |text: &str| Plain::Text(text.to_owned());
    let field = |name: &str, value: Plain| (name.to_owned(), value);
    Fake {
        line: "sshd[811]: Failed password for root from 10.1.2.3 port 22 中文错误".to_owned(),
        received: vec![],
        labels: vec![
            (Label::Host, "emr-01".to_owned()),
            (Label::System, "emr".to_owned()),
            (Label::Kind, "security".to_owned()),
        ],
        fields: vec![
            field("user.name", text("root")),
            field("source.ip", Plain::Address([10, 1, 2, 3].into())),
            field("source.port", Plain::Integer(22)),
            field("event.duration", Plain::Integer(20_000_000)),
            field("took", text("30ms")),
            field("size", text("7KB")),
            field("ratio", Plain::Number(0.5)),
            field("known", Plain::Flag(false)),
            field("tag", text("a")),
            field("tag", text("b")),
            field("empty", text("")),
        ],
    }
}

#[test]
fn what_fits_and_what_does_not() {
    let event = sshd();
    let fits = |query: &str| Query::parse(query).expect(query).fits(&event);
    for query in [
        "",
        "{}",
        "sshd 10.1.2.3",
        "FAILED root",
        r#""password for root""#,
        "`failed password`",
        "错误",
        "user.name=root source.port=22",
        r#"user.name="root" failed {host="emr-01"} root |= "from""#,
        "known=false ratio=0.5 source.ip=10.1.2.3",
        r#"{host="emr-01", system=~"em.*", kind!="log"}"#,
        r#"{host_name="emr-01", hengwei.system="emr", site=""}"#,
        r#"{site!="x", level!~"err.*"}"#,
        r#"|= "sswor" != "ssWor""#,
        r#"|= "nothing" or "from 10""#,
        r#"|~ "root from [0-9.]+ port" !~ `^\d+`"#,
        r#"|= ip("10.0.0.0/8") != ip("192.168.0.0/16")"#,
        r#"| user.name = "root""#,
        r#"| user_name = "root" | json | source_ip = "10.1.2.3""#,
        r#"|user.name=="root"|source.port==22"#,
        r#"| source.port = "22" and source.port = 22"#,
        r#"| user.name =~ "ro+t" user.name !~ "ro""#,
        r#"| source.port > 21, source.port <= 22 and ratio < 1e0"#,
        r#"| event.duration > 10ms and took < 1m and took == 30ms"#,
        r#"| size > 5KB and size < 1MiB and size == 7kb"#,
        r#"| source.ip = ip("10.0.0.0/8") and source.ip != ip("10.9.0.0/16")"#,
        r#"| (user.name = "x" or source.port = 22) and (tag = "a")"#,
        r#"| user.name = "x" or tag = "b" and tag = "a""#,
        r#"| tag = "b""#,
        r#"| host = "emr-01" and host.name =~ "emr-.*""#,
        r#"| empty = "" and absent = "" and absent != "x" and absent !~ "x.*""#,
        r#"| absent =~ ".*""#,
        "| json | logfmt | unpack",
        "| json = \"\"",
    ] {
        assert!(fits(query), "{query}");
    }
    for query in [
        "ssh",
        "10.1.2",
        "rooted",
        r#""root password""#,
        "user.name=Root",
        "absent=x",
        r#"{host="emr"}"#,
        r#"{host=~"emr"}"#,
        r#"{site=~".+"}"#,
        r#"|= "failed""#,
        r#"!= "nothing" or "from""#,
        r#"|~ "^Failed""#,
        r#"|= ip("192.168.0.0/16")"#,
        r#"| user.name = "root" | source.port > 22"#,
        r#"| absent != 5"#,
        r#"| absent > 5 or absent <= 5"#,
        r#"| absent != ip("10.0.0.0/8")"#,
        r#"| user.name != 5"#,
        r#"| user.name > 5"#,
        r#"| tag != "a""#,
        r#"| tag !~ "a|x""#,
        r#"| known = "true""#,
        r#"| empty != """#,
    ] {
        assert!(!fits(query), "{query}");
    }
}

#[test]
fn words_are_looked_for_in_what_was_received() {
    let event = Fake {
        line: "package.name=openssl note=\"two words\"".to_owned(),
        received: vec!["openssl".to_owned(), "two words".to_owned()],
        ..Fake::default()
    };
    let fits = |query: &str| Query::parse(query).expect(query).fits(&event);
    assert!(fits("OpenSSL") && fits(r#""two words""#) && fits(r#"|= "package.name=openssl""#));
    assert!(!fits("package") && !fits(r#""openssl two""#), "names are no words");
}

#[test]
fn a_wrong_query_says_where_and_what_was_expected() {
    let check = |query: &str, column: usize, found: &str, expected: &str| {
        let error = Query::parse(query).expect_err(query);
        let message = error.message();
        assert_eq!((error.column, error.found.as_str()), (column, found), "{query}: {message}");
        assert!(error.expected.contains(expected), "{query}: {message}");
    };
    check("a \"b", 3, "`\"` that is never closed", "a closing quote");
    check("中 `b", 3, "``` that is never closed", "a closing backtick");
    check(r#"|= "\d+""#, 5, r"`\d`", "doubled");
    check(r#"|= "\u12""#, 5, r"`\u`", r"`\u`");
    check("|= foo", 4, "`foo`", "a text in quotes");
    check("|=", 3, "the end of the query", "a text in quotes");
    check(r#"|= "a" or b"#, 11, "`b`", "a text in quotes");
    check(r#"|> "a""#, 1, "`|>`", "not supported");
    check(r#"{hst="x"}"#, 2, "`hst`", "agent, host, site");
    check(r#"{source.ip="x"}"#, 2, "`source.ip`", "compared after `|`");
    check(r#"{host>"x"}"#, 6, "`>`", "`=~`");
    check(r#"{host=x}"#, 7, "`x`", "quotes");
    check(r#"{host="x""#, 10, "the end of the query", "`}`");
    check(r#"{host="x" kind="y"}"#, 11, "`kind`", "`,`");
    check(r#"{host="x",}"#, 11, "`}`", "a label");
    check(r#"{} {}"#, 4, "`{`", "no second");
    check("a } b", 3, "`}`", "a word");
    check(r#"{host=~"a(b"}"#, 10, "a pattern that is none (unclosed group)", "regular");
    check(
        r#"|~ "a{2,1}""#,
        6,
        "a pattern that is none (invalid repetition count range, the start must be <= the end)",
        "regular",
    );
    check("| ", 3, "the end of the query", "the name of a field");
    check("| user.name", 12, "the end of the query", "`=~`");
    check("| user.name root", 13, "`root`", "`=~`");
    check("| user.name = root", 15, "`root`", "quotes");
    check("| user.name =~ 5", 16, "`5`", "quotes");
    check(r#"| user.name > "5""#, 15, "`\"`", "a number");
    check("| a > 5x", 7, "`5x`", "a duration");
    check("| a = 5 b", 9, "`b`", "stand before");
    check("| a = 5 and", 12, "the end of the query", "a field");
    check("| (a = 5", 9, "the end of the query", "`)`");
    check("| a = 5)", 8, "`)`", "`and`");
    check(r#"| a > ip("10.0.0.0/8")"#, 5, "`>`", "before ip");
    check(r#"| a = ip("10.0.0.0/99")"#, 10, "\"10.0.0.0/99\"", "a network");
    check("| json a=\"b\"", 8, "`a`", "decoded already");
    check(
        "| line_format `{{.x}}`",
        3,
        "the stage `line_format`, which is not supported",
        "as they are",
    );
    check("a | unwrap x", 5, "the stage `unwrap`, which is not supported", "decoded");
    check("sshd or sudo", 6, "`or` between words", "quotes around it");
    check("status>499", 7, "`>`", "| status = ");
    check("user.name!=root", 10, "`!=`", "| user.name = ");
    check("a==b", 2, "`==`", "after `|`");
    check("\"\"", 1, "`\"`", "a word");
    check("rate({})", 8, "`)`", "[5m]");
    check("rate({}[5])", 9, "`5`", "a duration such as 5m");
    check("rate({}[5m)", 11, "`)`", "`]`");
    check("rate({}[5m] x)", 13, "`x`", "`|` or `)`");
    check("rate({}[5m] offset 1h)", 13, "`offset`", "not supported");
    check("rate({}[5m]", 12, "the end of the query", "`)`");
    check("rate({}[5m]) > 5", 14, "`>`", "not calculated with");
    check("sum by host (rate({}[5m]))", 1 + 7, "`host`", "`(`");
    check("sum(foo)", 5, "`foo`", "count_over_time");
    check("avg_over_time({}[5m])", 1, "`avg_over_time`", "count_over_time");
    check("topk(rate({}[5m]))", 6, "`rate`", "a number");
    check("topk(0, rate({}[5m]))", 6, "`0`", "at least 1");
}

#[test]
fn the_caret_stands_below_the_place() {
    let error = Query::parse("中文 | a = b\tc").expect_err("no query");
    let shown = "column 10: found `b`, expected a text in quotes, a number, a duration (10ms), \
                 a size (5KB) or ip(\"10.0.0.0/8\")\n  中文 | a = b c\n             ^";
    assert_eq!(error.to_string(), shown);
    let long = format!("{} | a = b {}", "x".repeat(500), "y".repeat(500));
    let shown = Query::parse(&long).expect_err("no query").to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!((lines[1].len(), lines[1].as_bytes()[lines[2].len() - 1]), (122, b'b'), "{shown}");
}

#[test]
fn queries_are_bounded() {
    let refused = |query: &str, expected: &str| {
        let error = Query::parse(query).expect_err(expected);
        assert!(error.message().contains(expected), "{}", error.message());
    };
    refused(&"x".repeat(MAX_QUERY + 1), "at most 8192 bytes");
    refused(&"中".repeat(MAX_QUERY), "at most 8192 bytes");
    refused(&format!("| {}", "(".repeat(8000)), "nested too deep");
    refused(&"sum(".repeat(2000), "nested too deep");
    refused(&"|~ `a` ".repeat(33), "at most 32 patterns");
    refused(r"|~ `(\w{500}){500}`", "too large");
    Query::parse(&"a ".repeat(MAX_QUERY / 2)).expect("many words");
    Query::parse(&format!("| a = 1 {}", "or a = 1 ".repeat(500))).expect("many comparisons");
}

#[test]
fn counts_are_read_in_every_form() {
    for query in [
        r#"count_over_time({host="x"} |= "a" [5m])"#,
        r#"count_over_time({host="x"}[5m] |= "a" | json)"#,
        "rate(sshd root [1m])",
        "sum by (host, source.ip) (rate({}[90s]))",
        "sum (rate({}[90s])) by (host)",
        "sum without(path) (bytes_over_time({}[1d]))",
        "topk(5, sum by (user_name) (count_over_time({} | user.name != \"\" [1h30m])))",
        "max(avg by () (bytes_rate({}[1w])))",
    ] {
        let query = Query::parse(query).expect(query);
        assert!(query.metric.is_some_and(|metric| metric.range() > 0));
    }
    for query in ["rate", "count of", "sum 5", "rate limit (5)", "count by hand"] {
        let query = Query::parse(query).expect(query);
        assert!(query.metric.is_none());
    }
}

#[test]
fn plans_hold_what_is_needed() {
    let check = |query: &str, expected: Need| {
        assert_eq!(Query::parse(query).expect(query).plan().need, expected, "{query}");
    };
    let word = |text: &str| Need::Word(text.as_bytes().to_vec());
    let text = |text: &str| Need::Text(text.as_bytes().to_vec());
    let value = |text: &str| Need::Value(text.as_bytes().to_vec());
    check("", Need::Anything);
    check("sshd", word("sshd"));
    check(r#"sshd "a b" |= "c""#, Need::All(vec![word("sshd"), word("a b"), text("c")]));
    check(r#"|= "a" or "b" != "c""#, Need::Any(vec![text("a"), text("b")]));
    check(r#"|~ "Failed .* from" !~ "x""#, Need::All(vec![text("Failed "), text(" from")]));
    check("user.name=root", value("root"));
    check(r#"| user_name =~ "root|admin""#, Need::Any(vec![value("root"), value("admin")]));
    check(
        r#"| a = "b" and (c = "d" or e = "f")"#,
        Need::All(vec![value("b"), Need::Any(vec![value("d"), value("f")])]),
    );
    check(r#"| a = "b" or c > 5"#, Need::Anything);
    check(r#"{level="error", host="x"}"#, value("error"));
    check(r#"{level!="error", zone=""}"#, Need::Anything);
    check(r#"| a = "" or b != "c""#, Need::Anything);
    check(r#"| host.name = "x" | message = "y" | event_original = "z""#, Need::Anything);
    let plan =
        Query::parse(r#"{host="a"} | event.dataset = "sshd" and (path = "x" or path = "y")"#);
    let labels = plan.expect("parses").plan().labels;
    let labels: Vec<_> = labels.iter().map(|it| (it.label, it.only())).collect();
    assert_eq!(labels, [(Label::Host, Some("a")), (Label::Dataset, Some("sshd"))]);
}

/// What a store that knows everything says of a need.
fn meets(need: &Need, event: &Fake) -> bool {
    match need {
        Need::All(needs) => needs.iter().all(|need| meets(need, event)),
        Need::Any(needs) => needs.iter().any(|need| meets(need, event)),
        Need::Word(word) => event.any_received(&mut |text| holds_word(text.as_bytes(), word)),
        Need::Text(text) => memchr::memmem::find(event.line.as_bytes(), text).is_some(),
        Need::Value(value) => {
            event.fields.iter().any(|(_, field)| field.value().text().as_bytes() == value)
        }
        Need::Anything => true,
    }
}

/// Pieces of queries, most of which say something of [`an_event`]s.
fn a_query() -> impl Strategy<Value = String> {
    let text = || prop_oneof!["[a-c.]{1,3}", "[a-c] [a-c]", Just("a b".to_owned())];
    let pattern = || {
        prop_oneof![
            "[a-c]{1,3}",
            "[a-c]\\.\\*[a-c]",
            "\\([a-c]\\|[a-c]{2}\\)[a-c]\\?",
            "\\(a\\|\\)b\\+",
            "\\[ab\\]c",
            "\\(\\?i\\)a",
        ]
        .prop_map(|text| text.replace('\\', ""))
    };
    let name = || prop::sample::select(vec!["a", "b.c", "b_c", "host", "message"]);
    let compare = move || {
        prop_oneof![
            (name(), prop::sample::select(vec!["=", "!="]), text())
                .prop_map(|(n, o, t)| format!("{n} {o} `{t}`")),
            (name(), prop::sample::select(vec!["=~", "!~"]), pattern())
                .prop_map(|(n, o, t)| format!("{n} {o} `{t}`")),
            (name(), prop::sample::select(vec!["==", "!=", ">", "<="]), 0..3)
                .prop_map(|(n, o, v)| format!("{n} {o} {v}")),
        ]
    };
    let part = prop_oneof![
        text().prop_map(|text| format!("`{text}` ")),
        (name(), text()).prop_map(|(name, text)| format!("{name}=`{text}` ")),
        (prop::sample::select(vec!["|=", "!="]), text(), text())
            .prop_map(|(op, one, other)| format!("{op} `{one}` or `{other}` ")),
        (prop::sample::select(vec!["|~", "!~"]), pattern())
            .prop_map(|(op, text)| format!("{op} `{text}` ")),
    ];
    let stage = (compare(), prop::sample::select(vec!["and", "or", ","]), compare(), compare())
        .prop_map(|(a, op, b, c)| format!("| {a} {op} ({b} or {c}) "));
    let parts = (prop::collection::vec(part, 0..3), prop::collection::vec(stage, 0..2));
    parts.prop_map(|(parts, stages)| format!("{}{}", parts.concat(), stages.concat()))
}

fn an_event() -> impl Strategy<Value = Fake> {
    let value = || {
        prop_oneof![
            "[abc. ]{0,4}".prop_map(Plain::Text),
            (0..3i64).prop_map(Plain::Integer),
            any::<bool>().prop_map(Plain::Flag),
        ]
    };
    let name = prop::sample::select(vec!["a", "b.c", "b_c", "message"]).prop_map(str::to_owned);
    let fields = prop::collection::vec((name, value()), 0..4);
    ("[abcAB. ]{0,12}", prop::collection::vec("[abc. ]{0,4}", 0..2), "[abc]{0,2}", fields).prop_map(
        |(line, received, host, fields)| Fake {
            line,
            received,
            labels: vec![(Label::Host, host)],
            fields,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_fits_meets_the_plan(query in a_query(), event in an_event()) {
        let query = Query::parse(&query).expect("a query");
        let plan = query.plan();
        if query.fits(&event) {
            prop_assert!(meets(&plan.need, &event), "{:?}", plan.need);
            prop_assert!(plan.labels.iter().all(|it| it.fits(&event.label(it.label))));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        if let Err(error) = Query::parse(&text) {
            prop_assert!(error.column <= text.chars().count() + 1 && !error.to_string().is_empty());
        }
    }

    #[test]
    fn nor_does_any_order_of_what_it_knows(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "{", "}", "(", ")", "[", "]", "|", "=", "~", "!", "<", ">", ",", "\"", "`", "\\", " ",
            "host", "or", "and", "json", "ip", "rate", "sum", "by", "topk", "5m", "1", "中", "\n",
        ]), 0..24))
    {
        let text = pieces.concat();
        if let Ok(query) = Query::parse(&text) {
            query.fits(&sshd());
            query.plan();
        } else if let Err(error) = Query::parse(&text) {
            prop_assert!(error.column <= text.chars().count() + 1 && !error.to_string().is_empty());
        }
    }

    #[test]
    fn logfmt_keeps_every_word(value in "[a b\"\\\\=.中\n]{0,10}", word in "[ab中]{1,3}") {
        let mut line = String::new();
        logfmt(&mut line, "first", "1");
        logfmt(&mut line, "x", &value);
        if holds_word(value.as_bytes(), word.as_bytes()) {
            prop_assert!(holds_word(line.as_bytes(), word.as_bytes()), "{word} in {line}");
        }
    }
}

//! Tests of the frame around the decoders. What each decoder reads is in `tests/decode/`.

use std::sync::Arc;

use bytes::Bytes;
use hengwei_protocol::wire::{Fields, Gap, Origin, Record, record::Body};
use hengwei_rules::{Event as _, Names as _, Value as Seen, Wanted};
use proptest::prelude::*;

use super::out::Out;
use super::pass::{GAP, MAX_REPEAT, RAW, repeated};
use super::*;
use crate::event::{EventRef, FieldId, FieldNames, names};

const CREATED: i64 = 1_765_400_000_000_000_000;

fn sender(zone: &str) -> Sender {
    Sender {
        agent: "a1".into(),
        host: "web01".into(),
        site: "site".into(),
        system: "system".into(),
        zone: Arc::from(zone),
    }
}

fn record(number: u64, body: Body) -> Record {
    Record { number, created: CREATED, body: Some(body), ..Record::default() }
}

fn line(bytes: &[u8]) -> Record {
    record(1, Body::Original(Bytes::copy_from_slice(bytes)))
}

fn files() -> Origin {
    Origin { source: "files".into(), path: "/var/log/auth.log".into(), ..Origin::default() }
}

fn decode_all(
    origin: Origin,
    records: Vec<Record>,
    kind: Kind,
    decoders: &'static [Decoder],
) -> Events {
    let sender = sender("");
    let context = Context { sender: &sender, ingested: CREATED, kind };
    let router = Router::new(decoders);
    decode_with(&Block { origins: vec![origin], records }, &context, &router)
}

#[track_caller]
fn check(origin: Origin, record: Record, see: impl FnOnce(EventRef<'_>)) {
    let events = decode_all(origin, vec![record], Kind::Log, DECODERS);
    let sender = sender("");
    see(events.get(0, &sender).expect("one record, one event"));
}

fn panics(line: &Line<'_>, out: &mut Out) -> bool {
    out.word(names::EVENT_ACTION, "half");
    out.weight = 7;
    assert!(!line.message.contains("boom"), "went off");
    false
}

const PANICKING: &[Decoder] = &[Decoder {
    name: "panicking",
    datasets: &["panicking"],
    programs: &[],
    paths: &[],
    looks: Looks { first: ANY, test: |_| true },
    security: true,
    decode: panics,
}];

#[test]
fn a_panic_keeps_its_record_raw_and_spares_the_others() {
    let lines = vec![line(b"before"), line(b"boom \xff"), line(b"after")];
    let events = decode_all(files(), lines, Kind::Log, PANICKING);
    let sender = sender("");
    let seen: Vec<_> = events.iter(&sender).collect();
    assert_eq!(seen.len(), 3);
    assert_eq!((seen[1].event.dataset, seen[1].event.weight), (RAW, 1));
    assert_eq!(&seen[1].event.original[..], b"boom \xff");
    assert!(seen[1].get_text(names::HENGWEI_PROBLEM).expect("named").contains("went off"));
    for event in &seen {
        assert_eq!(event.get(names::EVENT_ACTION), None, "what a refusal wrote is taken back");
    }
    assert_eq!((seen[2].text(), seen[2].event.dataset), ("after", RAW));
}

#[test]
fn repeats_weigh() {
    check(files(), line(b"Dec 10 07:13:56 h sshd[2]: message repeated 5 times: [ Failed password for root from 203.0.113.9 port 42393 ssh2]"), |event| {
        assert_eq!((event.event.weight, event.event.dataset), (5, "sshd"));
        assert_eq!(event.get_text(names::USER_NAME), Some("root"));
        assert_eq!(event.event.kind, Kind::Security);
    });
    assert_eq!(repeated("message repeated 99999999999 times: [ x]"), ("x", MAX_REPEAT));
    for other in ["message repeated 5 times: [ x", "message repeated x times: [ y]", "hello"] {
        assert_eq!(repeated(other), (other, 1));
    }
}

#[test]
fn a_stamp_too_far_ahead_is_not_believed() {
    let at = |secs: i64| {
        let time = jiff::Timestamp::from_nanosecond(
            i128::from(CREATED) + i128::from(secs) * 1_000_000_000,
        );
        line(format!("{} h su: x", time.expect("in range")).as_bytes())
    };
    let check_ahead = |secs: i64, suspect: bool| {
        check(files(), at(secs), |event| {
            assert_eq!(event.event.suspect, suspect);
            let time = if suspect { CREATED } else { CREATED + secs * 1_000_000_000 };
            assert_eq!(event.event.time, time);
            assert_eq!(event.get(names::HENGWEI_TIME_SUSPECT).is_some(), suspect);
        });
    };
    check_ahead(-100_000, false);
    check_ahead(300, false);
    check_ahead(301, true);
}

#[test]
fn kinds_are_raised_and_never_lowered() {
    let kind = |kind: Kind, text: &str| {
        decode_all(files(), vec![line(text.as_bytes())], kind, DECODERS).events[0].kind
    };
    let auth = "Dec 10 07:13:56 h sshd[2]: Server listening on :: port 22.";
    assert_eq!(kind(Kind::Log, auth), Kind::Security);
    assert_eq!(kind(Kind::Log, "Dec 10 07:13:56 h sshd[2]: something new"), Kind::Security);
    assert_eq!(kind(Kind::Log, "<86>Dec 10 07:13:56 h other[2]: authpriv"), Kind::Security);
    assert_eq!(kind(Kind::Log, "hello"), Kind::Log);
    assert_eq!(kind(Kind::Security, "hello"), Kind::Security);
    assert_eq!(kind(Kind::Asset, auth), Kind::Asset);
}

#[test]
fn typed_records_keep_their_fields_and_not_their_host() {
    use hengwei_protocol::record::{flag, integer, number, text};
    let fields = vec![
        text("event.dataset", "asset.socket"),
        text("host.name", "liar"),
        text("agent.id", "liar"),
        text("server.ip", "::"),
        integer("server.port", 22),
        number("system.load.1", 0.5),
        flag("hengwei.socket.ephemeral", false),
    ];
    let origin = Origin { source: "assets".into(), ..Origin::default() };
    check(origin, record(1, Body::Fields(Fields { fields })), |event| {
        assert_eq!(event.event.dataset, "asset.socket");
        assert_eq!(event.get_text(names::HOST_NAME), Some("web01"));
        assert_eq!(event.get_text(names::AGENT_ID), Some("a1"));
        assert_eq!(event.get_text(FieldId::of("hengwei.claimed.agent.id")), Some("liar"));
        assert_eq!(event.get(names::SERVER_IP), Some(Seen::Address("::".parse().unwrap())));
        assert_eq!(event.get_integer(names::SERVER_PORT), Some(22));
        assert_eq!(event.get(names::SYSTEM_LOAD_1), Some(Seen::Number(0.5)));
        assert_eq!(event.get(names::HENGWEI_SOCKET_EPHEMERAL), Some(Seen::Flag(false)));
        assert_eq!(event.text(), "");
        assert_eq!(event.get(names::EVENT_ORIGINAL), None);
    });
}

#[test]
fn a_journal_record_is_decoded_like_a_line() {
    use hengwei_protocol::record::{integer, text};
    let fields = vec![
        text(
            "message",
            "Accepted publickey for bob from 198.51.100.4 port 50514 ssh2: ED25519 SHA256:abc",
        ),
        text("process.name", "sshd-session"),
        integer("process.pid", 77),
        text("host.name", "bookworm"),
        text("hengwei.journal.unit", "ssh.service"),
    ];
    let origin = Origin { source: "journal".into(), ..Origin::default() };
    let record = Record { time: CREATED - 5, ..record(1, Body::Fields(Fields { fields })) };
    check(origin, record, |event| {
        assert_eq!((event.event.dataset, event.event.kind), ("sshd", Kind::Security));
        assert_eq!(event.event.time, CREATED - 5);
        assert_eq!(event.get_text(names::USER_NAME), Some("bob"));
        assert_eq!(event.get_integer(names::PROCESS_PID), Some(77));
        assert_eq!(event.get_text(names::LOG_SYSLOG_HOSTNAME), Some("bookworm"));
        assert!(event.text().starts_with("Accepted"));
        assert_eq!(event.get_text(names::MESSAGE), Some(event.text()));
    });
}

#[test]
fn the_command_of_a_message_comes_before_the_one_that_wrote_it() {
    use hengwei_protocol::record::text;
    let fields = vec![
        text("message", "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id"),
        text("process.name", "sudo"),
        text("process.executable", "/usr/bin/sudo"),
        text("process.command_line", "sudo id"),
    ];
    let origin = Origin { source: "journal".into(), ..Origin::default() };
    check(origin, record(1, Body::Fields(Fields { fields })), |event| {
        let all = |id: FieldId| event.values(id).collect::<Vec<_>>();
        assert_eq!(all(names::PROCESS_COMMAND_LINE), [Seen::Text("/usr/bin/id")]);
        assert_eq!(all(names::PROCESS_PARENT_COMMAND_LINE), [Seen::Text("sudo id")]);
        assert_eq!(all(names::PROCESS_PARENT_EXECUTABLE), [Seen::Text("/usr/bin/sudo")]);
    });
}

#[test]
fn a_name_that_another_program_uses_is_not_believed() {
    use hengwei_protocol::record::text;
    let dataset = |executable: &str| {
        let fields = vec![
            text("message", "Failed password for root from 203.0.113.9 port 22 ssh2"),
            text("process.name", "sshd"),
            text("process.executable", executable),
        ];
        let origin = Origin { source: "journal".into(), ..Origin::default() };
        let body = Body::Fields(Fields { fields });
        let events = decode_all(origin, vec![record(1, body)], Kind::Log, DECODERS);
        let sender = sender("");
        let event = events.get(0, &sender).expect("one");
        assert_eq!(
            event.get(names::HENGWEI_PROBLEM).is_some(),
            event.get(names::EVENT_ACTION).is_none(),
            "either it is decoded or it is said why not"
        );
        event.event.dataset
    };
    assert_eq!(dataset("/usr/bin/logger"), "syslog");
    assert_eq!(dataset("/usr/sbin/sshd"), "sshd");
    assert_eq!(dataset("/usr/lib/openssh/sshd-session (deleted)"), "sshd");
    assert_eq!(dataset(""), "sshd");
}

#[test]
fn a_server_may_log_for_what_it_serves_itself() {
    use hengwei_protocol::record::text;
    let fields = vec![
        text("message", "session opened for local user lis from [192.0.2.31]"),
        text("process.name", "internal-sftp"),
        text("process.executable", "/usr/lib/openssh/sshd-session"),
    ];
    let origin = Origin { source: "journal".into(), ..Origin::default() };
    check(origin, record(1, Body::Fields(Fields { fields })), |event| {
        assert_eq!(event.event.dataset, "sftp");
        assert_eq!(event.get_text(names::USER_NAME), Some("lis"));
    });
}

#[test]
fn the_journal_says_what_came_from_audit() {
    use hengwei_protocol::record::text;
    let event = |transport: &str, check: fn(crate::event::EventRef<'_>)| {
        let fields = vec![
            text(
                "message",
                "USER_AUTH pid=7 uid=1001 msg='op=x acct=\"root\" exe=\"/usr/bin/su\" res=failed'",
            ),
            text("process.name", "audit"),
            text("process.executable", "/usr/bin/su"),
            text("hengwei.journal.transport", transport),
        ];
        let origin = Origin { source: "journal".into(), ..Origin::default() };
        let body = Body::Fields(Fields { fields });
        let events = decode_all(origin, vec![record(1, body)], Kind::Log, DECODERS);
        check(events.get(0, &sender("")).expect("one"));
    };
    event("audit", |event| {
        assert_eq!(event.event.dataset, "auditd");
        assert_eq!(event.get_text(names::USER_NAME), Some("root"));
        assert_eq!(event.get(names::PROCESS_PARENT_EXECUTABLE), None);
        assert_eq!(event.get(names::HENGWEI_PROBLEM), None);
    });
    event("syslog", |event| {
        assert_eq!(event.event.dataset, "syslog");
        assert_eq!(event.get(names::USER_NAME), None);
        assert!(event.get(names::HENGWEI_PROBLEM).is_some());
    });
}

#[test]
fn datasets_of_the_collector_are_the_collectors() {
    use hengwei_protocol::record::text;
    let dataset = |agent: &str, configured: &str, named: &str| {
        let sender = Sender { agent: agent.into(), ..sender("") };
        let context = Context { sender: &sender, ingested: CREATED, kind: Kind::Security };
        let body = Body::Fields(Fields { fields: vec![text("event.dataset", named)] });
        let origin = Origin { dataset: configured.into(), ..Origin::default() };
        let block = Block { origins: vec![origin], records: vec![record(1, body)] };
        let events = super::block(&block, &context);
        let event = events.get(0, &sender).expect("one");
        (event.event.dataset, event.get(names::HENGWEI_PROBLEM).is_some())
    };
    assert_eq!(dataset("collector", "", "hengwei.agent"), ("hengwei.agent", false));
    assert_eq!(dataset("collector", "hengwei.disk", ""), ("hengwei.disk", false));
    assert_eq!(dataset("a1", "", "hengwei.agent"), (RAW, true));
    assert_eq!(dataset("a1", "hengwei.agent", ""), (RAW, true));
    assert_eq!(dataset("a1", "", "fim"), ("fim", false));
}

#[test]
fn a_name_too_long_leaves_its_field_out() {
    let json = format!("{{\"{}\":1,\"b\":2}}", "k".repeat(100_000));
    check(files(), line(json.as_bytes()), |event| {
        assert_eq!(event.get_integer(FieldId::of("b")), Some(2));
        assert!(event.get_text(names::HENGWEI_PROBLEM).expect("said").contains("too long"));
    });
}

#[test]
fn a_line_without_an_agent_has_the_host_it_names() {
    let events =
        decode_all(files(), vec![line(b"Dec 10 07:13:56 db02 su: x")], Kind::Log, DECODERS);
    let nobody = Sender { host: "".into(), ..sender("") };
    let event = events.get(0, &nobody).expect("one");
    assert_eq!(event.get_text(names::HOST_NAME), Some("db02"));
    assert_eq!(event.to_json()["host.name"], "db02");
}

#[test]
fn a_gap_is_an_event() {
    let gap = Gap { span: 4, records: 9, cause: "spool-full".into(), ..Gap::default() };
    check(files(), record(5, Body::Gap(gap)), |event| {
        assert_eq!((event.event.dataset, event.event.span), (GAP, 4));
        assert_eq!(event.get_text(names::HENGWEI_GAP_CAUSE), Some("spool-full"));
        assert_eq!(event.get_integer(names::HENGWEI_GAP_RECORDS), Some(9));
    });
}

#[test]
fn a_cut_line_says_so() {
    let cut = Record {
        length: 999_999,
        sha256: Bytes::from_static(&[0xab; 32]),
        ..line(b"head \xe7\x99")
    };
    check(files(), cut, |event| {
        assert_eq!(event.get_integer(names::HENGWEI_ORIGINAL_LENGTH), Some(999_999));
        let digest = event.get_text(names::HENGWEI_ORIGINAL_SHA256).expect("there");
        assert_eq!(digest, "ab".repeat(32));
        assert_eq!(event.get(names::HENGWEI_PROBLEM), None, "half a character is the cut's doing");
    });
}

#[test]
fn control_bytes_survive() {
    check(files(), line(b"a\0b\x1b[31m\x07"), |event| {
        assert_eq!(event.text().as_bytes(), b"a\0b\x1b[31m\x07");
        assert_eq!(&event.event.original[..], b"a\0b\x1b[31m\x07");
        assert_eq!(event.to_json()["event.original"], "a\0b\u{1b}[31m\u{7}");
    });
}

#[test]
fn a_configured_dataset_stays_where_nothing_knows_better() {
    let dataset = |configured: &str, text: &str| {
        let origin = Origin { dataset: configured.into(), path: "/x".into(), ..Origin::default() };
        decode_all(origin, vec![line(text.as_bytes())], Kind::Log, DECODERS).events[0].dataset
    };
    let access = "203.0.113.7 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 1";
    assert_eq!(dataset("portal", "hello"), "portal");
    assert_eq!(dataset("portal", "{\"a\":1}"), "portal");
    assert_eq!(dataset("", "{\"a\":1}"), "json");
    assert_eq!(dataset("nginx.access", access), "nginx.access");
    assert_eq!(dataset("", access), "apache.access");
    assert_eq!(dataset("auth", "Dec 10 07:13:56 h su: (to root) a on pts/0"), "su");
    assert_eq!(dataset("auth", "Dec 10 07:13:56 h screenlocker: hello"), "auth");
    assert_eq!(dataset("", "Dec 10 07:13:56 h useradd[1]: nobody knows this"), "useradd");
    assert_eq!(dataset("", "Dec 10 07:13:56 h other: hello"), "syslog");
    assert_eq!(dataset("", "hello"), "raw");
}

#[test]
fn rules_see_header_and_fields() {
    check(files(), line(b"Dec 10 07:13:56 h su: (to root) a on pts/0"), |event| {
        let check = |name: &str, expected: &str| {
            let seen = event.any(FieldNames.key(name), &mut |value| match value {
                Seen::Text(text) => text == expected,
                _ => false,
            });
            assert!(seen, "{name} should be {expected}");
        };
        check("@timestamp", "2025-12-10T07:13:56Z");
        check("event.dataset", "su");
        check("hengwei.kind", "security");
        check("agent.id", "a1");
        check("host.name", "web01");
        check("hengwei.site", "site");
        check("hengwei.system", "system");
        check("message", "(to root) a on pts/0");
        check("event.original", "Dec 10 07:13:56 h su: (to root) a on pts/0");
        check("log.file.path", "/var/log/auth.log");
        check("user.effective.name", "root");
        assert!(!event.any(FieldNames.key("no.such.field"), &mut |_| true));
        assert!(
            event.any_value(&mut |value| value == Seen::Text("failure"))
                || event.any_value(&mut |value| value == Seen::Text("success"))
        );
        assert!(event.any_log_source(&mut |source| source.service.as_deref() == Some("auth")));
    });
}

#[test]
fn rules_see_all_wanted_fields_at_once_as_one_by_one() {
    let lines: [&[u8]; 3] = [
        b"Dec 10 07:13:56 h su: (to root) a on pts/0",
        b"203.0.113.7 - bob [10/Oct/2000:13:55:36 -0700] \"GET /a?b=c HTTP/1.0\" 200 17 \"-\" \"curl/8\"",
        b"{\"user.name\":[\"a\",\"b\"],\"n\":7,\"message\":\"said \\\"so\\\"\"}",
    ];
    for text in lines {
        check(files(), line(text), |event| {
            let mut names: Vec<&str> = names::KNOWN.to_vec();
            names.extend(["n", "no.such.field"]);
            let mut keys: Vec<_> = names.iter().map(|name| FieldNames.key(name)).collect();
            keys.sort_unstable();
            let mut expected = Vec::new();
            for (place, key) in keys.iter().enumerate() {
                event.any(*key, &mut |value| {
                    expected.push((place, format!("{value:?}")));
                    false
                });
            }
            assert!(expected.len() > 10, "{expected:?}");
            let mut seen = Vec::new();
            event.visit(&Wanted::new(keys), &mut |place, value| {
                seen.push((place, format!("{value:?}")));
            });
            assert_eq!(seen, expected);
            // What a keyword finds in a value it finds in what is shown for all of them.
            event.any_value(&mut |value| {
                let text = hengwei_rules::text::of(value).unwrap_or_default().into_owned();
                let shown = event.any_whole_value(&mut |whole| {
                    hengwei_rules::text::of(whole).is_some_and(|whole| whole.contains(&text))
                });
                assert!(shown, "{text}");
                false
            });
        });
    }
}

#[test]
fn a_zone_nobody_knows_is_said() {
    let sender = sender("Nowhere/At_all");
    let context = Context { sender: &sender, ingested: CREATED, kind: Kind::Log };
    let block = Block { origins: vec![files()], records: vec![line(b"Dec 10 07:13:56 h su: x")] };
    let events = super::block(&block, &context);
    let event = events.get(0, &sender).expect("one");
    assert!(event.get_text(names::HENGWEI_PROBLEM).expect("said").contains("Nowhere/At_all"));
}

#[test]
fn every_decoder_has_a_folder_of_examples() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    for decoder in DECODERS {
        assert!(root.join(decoder.name).is_dir(), "{} has none", decoder.name);
    }
}

proptest! {
    /// Arbitrary bytes, and bytes behind the beginnings decoders look for, through every decoder:
    /// never a panic, and the original is what came.
    #[test]
    fn bytes_of_a_stranger(
        start in prop::sample::select(STARTS),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        charset in prop::sample::select(&["", "utf-8", "gb18030"][..]),
        pick in 0..DECODERS.len(),
        length in 0u64..2,
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        let origin = Origin {
            dataset: DECODERS[pick].datasets[0].into(),
            charset: charset.into(),
            ..Origin::default()
        };
        let record = Record { length, ..line(&bytes) };
        let events = decode_all(origin, vec![record], Kind::Log, DECODERS);
        let sender = sender("Asia/Shanghai");
        let event = events.get(0, &sender).expect("one record, one event");
        prop_assert_eq!(&event.event.original[..], &bytes[..]);
        for (_, value) in event.iter() {
            if let Seen::Text(text) = value {
                prop_assert!(!text.starts_with("decoding panicked"), "{}", text);
            }
        }
        prop_assert!(event.to_json().is_object());
    }
}

proptest! {
    /// Words that decoders look for, in any order.
    #[test]
    fn words_in_any_order(
        start in prop::sample::select(STARTS),
        words in prop::collection::vec(prop::sample::select(WORDS), 0..24),
    ) {
        let text = [start, &words.concat()].concat();
        let events = decode_all(files(), vec![line(text.as_bytes())], Kind::Log, DECODERS);
        let sender = sender("");
        let event = events.get(0, &sender).expect("one record, one event");
        prop_assert_eq!(event.text(), &text);
        let problem = event.get_text(names::HENGWEI_PROBLEM).unwrap_or_default();
        prop_assert!(!problem.starts_with("decoding panicked"), "{}", problem);
    }
}

const WORDS: &[&str] = &[
    " from ",
    " for ",
    " port ",
    "203.0.113.7",
    "::1",
    "22",
    " ssh2",
    ": ",
    "invalid user ",
    "root",
    " [preauth]",
    " not allowed because ",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "\\",
    "'",
    " ; ",
    "COMMAND=",
    "USER=",
    "TTY=",
    "=",
    ",",
    " by ",
    " to ",
    " on ",
    " user=",
    " rhost=",
    "(uid=0)",
    " HTTP/1.1",
    "] \"",
    "\" 200 5",
    " - ",
    ".service",
    "张",
    "\u{feff}",
    "<",
    ">",
    "{",
    "}",
    "\r",
    "\0",
    " ",
    "client: ",
    "[client ",
    "[pid ",
    ":tid ",
    " CMD (",
    "name=",
    " group '",
    "' ",
    "@cee:",
    " src=",
    " dst=192.0.2.1",
    "源IP:",
    "，",
    "；",
    "：",
    "|",
    "(Ip=",
    "-User=",
    "%%01",
    "/5/",
    " -> ",
    " user = ",
    "login failed",
    "logged in",
    "wrong password",
    "登录失败",
    "登录成功",
    "用户",
    "从",
];

const STARTS: &[&str] = &[
    "",
    "Dec 10 06:55:46 h sshd[1]: ",
    "Dec 10 06:55:46 h sshd[1]: Failed password for ",
    "Dec 10 06:55:46 h sshd[1]: Connection closed by ",
    "Dec 10 06:55:46 h sshd[1]: message repeated 3 times: [ ",
    "Dec 10 06:55:46 h sudo: a : TTY=x ; ",
    "Dec 10 06:55:46 h su: (to ",
    "Dec 10 06:55:46 h useradd[1]: new user: ",
    "Dec 10 06:55:46 h CRON[1]: (",
    "Dec 10 06:55:46 h systemd[1]: ",
    "Dec 10 06:55:46 h x: pam_unix(a:b): authentication failure;",
    "<34>1 2003-10-11T22:14:15.003Z h a - - [",
    "<34>",
    "2024-05-03T12:34:56",
    "1.2.3.4 - ",
    "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"",
    "{\"a\":",
    "[Wed Oct 11 14:32:52 2023] [",
    "2023/10/09 09:05:01 [error] ",
    "CEF:0|a|b|c|d|e|5|",
    "LEEF:2.0|a|b|c|d|^|",
    "<189>Nov 22 2026 08:00:00 FW01 %%01SHELL/5/CMD(l)[12]:",
    "<190>1234: *Nov 22 08:00:00.123: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: ",
    "<166>%ASA-6-302013: Built outbound TCP connection 1 for ",
    "%Nov 22 08:00:00:123 2026 H3C SHELL/6/SHELL_CMD: -Line=vty0",
    "<189>date=2026-11-22 time=08:00:00 devid=\"a\" type=\"traffic\" ",
    "id=tos time=\"2026-11-22 08:00:00\" ",
    "1,2026/11/22 08:00:00,1,THREAT,url,",
    "1 Traffic@FLOW: SESSION: ",
    "2026-11-22 08:00:00|!192.0.2.9|!a|!{",
    "Nov 22 08:00:00 h fwlog: 日志类型:",
    "level=info msg=",
    "源IP：192.0.2.1，",
    "login failed for user ",
    "用户",
];

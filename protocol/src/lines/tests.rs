//! Examples of every kind of record, what is close to one and is none, and what holds for any bytes.

use proptest::prelude::*;

use super::*;

/// Compares the cuts of a text with those of `expected`, where each string is a record.
#[track_caller]
fn check(expected: &[&str]) {
    let text = expected.join("\n");
    let found = records(text.as_bytes());
    let found: Vec<_> =
        found.iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect();
    assert_eq!(found, expected);
}

/// Whether the last line of a text leaves its record open.
#[track_caller]
fn open(text: &str, expected: bool) {
    let mut joiner = Joiner::new();
    for line in text.split('\n') {
        joiner.take(line.as_bytes());
    }
    assert_eq!(joiner.is_open(), expected, "{text}");
}

#[test]
fn lines_with_a_syslog_header_stay_alone() {
    for header in [
        "Nov 22 08:00:00 web01 app[12]:",
        "Nov  2 08:00:00 web01 app:",
        "<134>Nov 22 08:00:00 web01 app:",
        "<134>1 2026-11-22T08:00:00Z web01 app 12 - -",
        "2026-11-22T08:00:00.123456+08:00 web01 app[12]:",
        "2026-11-22T08:00:00Z 192.0.2.7 kernel:",
    ] {
        let line = format!("{header} failed");
        check(&[&line, "\tat com.example.Desk.open(Desk.java:12)"]);
        check(&[&line, "  indented"]);
        check(&[&line, "java.io.IOException: gone"]);
        open(&line, false);
    }
}

#[test]
fn lines_that_say_nothing_of_others_go_at_once() {
    for line in [
        "",
        "plain words",
        "{\"time\":\"2026-11-22T08:00:00Z\",\"msg\":\"x\"}",
        "192.0.2.7 - - [22/Nov/2026:08:00:00 +0800] \"GET / HTTP/1.1\" 200 12",
        "type=USER_LOGIN msg=audit(1790000000.123:7): pid=1",
        "[Sun Nov 22 08:00:00.123456 2026] [core:error] [pid 12] words",
        "Sun Nov 22 08:00:00 2026 : Auth: (7) Login OK",
        " indented",
        "Nov 22 2026 08:00:00: %ASA-6-302013: Built",
        "2026-11-22 08:00:00.123 CST,\"desk\",\"his\",12,,LOG",
    ] {
        open(line, false);
        check(&[line, "  indented"]);
    }
}

/// Servers behind a proxy begin their lines with what the client says he is.
#[test]
fn a_client_of_a_web_server_begins_no_record() {
    let request = "- - [22/Nov/2026:08:00:00 +0800] \"GET / HTTP/1.1\" 200 12 \"-\" \"-\"";
    let other = format!("203.0.113.7 {request}");
    for header in [
        "2026-11-22 08:00:00 (EP[0] sess:1)",
        "2026-11-22 08:00:00 UTC,\\\"",
        "2026-11-22T08:00:00Z\t   12 Query\t",
        "2026-11-22 08:00:00",
        "java.io.IOException:",
        "MSH|^~\\&|",
    ] {
        let line = format!("{header} {request}");
        check(&[&line, &other, "\tat a.B.c(B.java:1)", &other]);
        open(&line, false);
    }
}

#[test]
fn audit_lines_of_one_event() {
    check(&[
        "type=SYSCALL msg=audit(1790000000.123:7): arch=c000003e\n\
         type=EXECVE msg=audit(1790000000.123:7): argc=1 a0=\"id\"\n\
         type=PROCTITLE msg=audit(1790000000.123:7): proctitle=\"id\"",
        "type=EOE msg=audit(1790000000.123:7): ",
        "type=SYSCALL msg=audit(1790000000.123:8): a",
        "type=SYSCALL msg=audit(1790000000.124:8): another second",
        "node=a type=SYSCALL msg=audit(1790000000.124:8): another node\n\
         node=a type=EOE msg=audit(1790000000.124:8): ",
        "node=b type=PATH msg=audit(1790000000.124:8): x",
        "type=PATH msg=audit(1790000000.124:9): interleaved",
        "node=b type=PATH msg=audit(1790000000.124:8): x",
        "type=PATH msg=audit(no number): x",
        "type=PATH msg=audit(no number): x",
    ]);
    open("type=SYSCALL msg=audit(1790000000.123:7): arch=c000003e", true);
    open(
        "type=SYSCALL msg=audit(1790000000.123:7): a\n\
         type=PROCTITLE msg=audit(1790000000.123:7): b",
        false,
    );
}

#[test]
fn traces_of_java() {
    let trace = "java.lang.IllegalStateException: no bed\n\
                 \tat com.example.Ward.admit(Ward.java:7)\n\
                 Caused by: com.example.Full: all taken\n\
                 \t... 12 more\n\
                 \tSuppressed: java.io.IOException\n\
                 Suppressed: java.io.IOException: x\n\
                 ... 3 more";
    for head in [
        "2026-11-22 08:00:00,123 ERROR [main] c.e.Ward - failed",
        "2026-11-22T08:00:00.123+08:00 ERROR 4711 --- [main] c.e.Ward : failed",
        "22-Nov-2026 08:00:00.123 SEVERE [main] com.example.Ward.admit failed",
        "2026/11/22 08:00:00 failed",
        "[2026-11-22 08:00:00,123] ERROR failed",
        "ERROR 2026-11-22 08:00:00 failed",
        "[ERROR] 2026-11-22 08:00:00.123 failed",
        "08:00:00.123 [main] ERROR com.example.Ward - failed",
        "4711 140123456789 [2026-11-22 08:00:00,123] ERROR trytond failed",
        "Nov 22, 2026 8:00:00 AM com.example.Ward admit\nSEVERE: failed",
        "十一月 22, 2026 8:00:00 上午 com.example.Ward admit\n严重: failed",
        "11月 22, 2026 8:00:00 上午 com.example.Ward admit\n严重: failed",
    ] {
        check(&[&format!("{head}\n{trace}"), head]);
    }
    check(&[trace, &format!("Exception in thread \"main\" {trace}"), "words", trace]);
    // One after the other, without a stamp between them.
    check(&[
        "2026-11-22 08:00:00 failed\njava.io.IOException: a",
        "java.io.IOException: b",
        "java.io.IOException",
    ]);
    // The end of a trace whose beginning was delivered before.
    check(&["\tat com.example.Ward.admit(Ward.java:7)\n\t... 12 more", "words"]);
}

#[test]
fn what_stands_below_a_stamped_line() {
    check(&[
        "2026-11-22 08:00:00.123 CST [4711] desk@his LOG:  statement: SELECT\n\t1\n\t",
        "2026-11-22 08:00:01.123 CST [4711] desk@his LOG:  next",
        "[2026/11/22 08:00:00.123456,  0] ../../source3/smbd/server.c:1234(main)\n  smbd started",
        "[2026/11/22 08:00:00,  1, pid=12] ../source3/auth/auth.c:7(check)\n  no\n  one",
        "[22-Nov-2026 08:00:00 UTC] PHP Fatal error:  Uncaught Exception: x in /srv/a.php:3\n\
         Stack trace:\n#0 /srv/a.php(7): open()\n#1 {main}\n  thrown in /srv/a.php on line 3",
        "2026-11-22 08:00:00 failed\n\
         org.example.PersistenceException: \n### Error querying database.\n; bad SQL grammar []",
        "words",
        "### a heading",
        "2026-11-22 08:00:00 failed",
        "java.lang.Thing: no class of an exception",
        "2026-11-22 08:00:00 failed",
        "#0 not PHP's",
        "2026-11-22 08:00:00 failed",
        "",
        "  below an empty line",
    ]);
}

#[test]
fn traces_of_python() {
    let trace = "Traceback (most recent call last):\n  File \"/srv/a.py\", line 1, in <module>\n\
                 \x20   open()\nValueError: no such ward";
    check(&[
        trace,
        "words",
        &format!("2026-11-22 08:00:00,123 ERROR failed\n{trace}"),
        "2026-11-22 08:00:00,124 INFO well",
        "words",
        &format!(
            "{trace}\n\nDuring handling of the above exception, another exception occurred:\n\n\
             {trace}\nLINE 1: SELECT x\n               ^"
        ),
        "words",
        "Traceback (most recent call last):",
        "no exception: because of the blanks in front of the colon",
    ]);
    // Empty lines after a trace are no part of what is handed over.
    let found = records(format!("{trace}\n\nwords").as_bytes());
    assert_eq!((found[0].text.as_slice(), found[0].lines), (trace.as_bytes(), 5));
}

#[test]
fn entries_of_databases() {
    check(&[
        "# Time: 2026-11-22T08:00:00.123456Z\n# User@Host: desk[desk] @ [192.0.2.7]  Id: 8\n\
         # Query_time: 2.0  Lock_time: 0.0\nuse his;\nSET timestamp=1790000000;\n\
         select *\nfrom patient;",
        "# User@Host: desk[desk] @ [192.0.2.7]  Id: 8\n# administrator command: Quit;",
        "# User@Host: desk[desk] @ [192.0.2.7]  Id: 8",
        "# User@Host: desk[desk] @ [192.0.2.7]  Id: 8",
        "# Time: 2026-11-22T08:00:00.123456Z",
        "Tcp port: 3306",
        "2026-11-22T08:00:00.123456Z\t   12 Query\tSELECT *\nFROM patient\n\nWHERE 1",
        "2026-11-22T08:00:00.123456Z\t   12 Quit\t",
        "2026-11-22 08:00:00.123 (EP[0] sess:0x7f user:SYSDBA) [SEL] SELECT *\nFROM PATIENT",
        "2026-11-22 08:00:00.124 (EP[0] sess:0x7f user:SYSDBA) [SEL] SELECT 1",
        "2026-11-22 08:00:00.123 CST,\"desk\",\"his\",\"SELECT\nNov 22 08:00:00 a sshd[1]: forged\n\
         2026-11-22 08:00:00 CST,\"\"x\"\"\n\",,",
        "2026-11-22 08:00:00.123 CST,\"desk\",\"his\",\"SELECT 1\"",
        "2026-11-22T08:00:00.123456+08:00\nThread 1 advanced to log sequence 7\n  Current log# 3",
        "2026-11-22T08:00:01.123456+08:00\nORA-00060: deadlock",
        "2026-11-22T08:00:01.123456 without a zone",
        "words",
        "Sun Nov 22 08:00:00 2026 +08:00\nLENGTH : '160'\nACTION :[7] 'CONNECT'\n\
         DATABASE USER:[6] 'SYSTEM'\nSTATUS:[1] '0'",
        "",
        "STATUS:[1] '0'",
    ]);
}

#[test]
fn blocks_of_other_programs() {
    check(&[
        "Start-Date: 2026-11-22  08:00:00\nCommandline: apt-get install nmap\n\
         Requested-By: desk (1000)\nInstall: nmap:amd64 (7.95)\nEnd-Date: 2026-11-22  08:00:09",
        "Start-Date: 2026-11-22  08:00:00",
        "words",
        "Sun Nov 22 08:00:00 2026\n\tUser-Name = \"desk\"\n\tNAS-IP-Address = 192.0.2.7",
        "",
        "Sun Nov 22 08:00:00 2026\n\tUser-Name = \"desk\"",
        "--a1b2c3d4-A--\n[22/Nov/2026:08:00:00 +0800] x\n--a1b2c3d4-B--\nGET / HTTP/1.1\n\
         --ffffffff-Z--\n\n--a1b2c3d4-Z--",
        "--a1b2c3d4-A--\nx",
        "--b1b2c3d4-A--\nx\n--b1b2c3d4-Z--",
        "--c1b2c3d4-A--\nx\n--c1b2c3d4-C--\n--d1b2c3d4-A--\nin a body\n--d1b2c3d4-Z--\n\
         --c1b2c3d4-F--\nx",
        "--d1b2c3d4-A--\nbehind headers\n--d1b2c3d4-Z--",
        "words",
    ]);
}

#[test]
fn segments_of_hl7() {
    let message = "MSH|^~\\&|HIS|WARD|LIS|LAB|20261122080000||ADT^A01|7|P|2.4\n\
                   EVN|A01|20261122080000\nPID|1||12345||WANG^WU\nZ01|x";
    check(&[
        message,
        message,
        &format!("2026-11-22 08:00:00 received {message}"),
        "words",
        &format!("2026-11-22 08:00:00|INFO|{message}"),
        "BHS|^~\\&|",
        "PID|1||alone",
        &format!("\x0b{message}\n\x1c"),
        "PID|1||alone",
        "Nov 22 08:00:00 his01 gate: MSH|^~\\&|HIS",
        "PID|1||a line of its own",
    ]);
}

#[test]
fn carriage_returns_are_part_of_endings() {
    let found = records(b"2026-11-22 08:00:00 a\r\n\tb\r\nwords\r\n");
    let found: Vec<_> = found.iter().map(|record| record.text.as_slice()).collect();
    assert_eq!(found, [&b"2026-11-22 08:00:00 a\n\tb"[..], b"words"]);
}

#[test]
fn a_record_has_an_end() {
    let head = "2026-11-22 08:00:00 failed\n";
    let found = records(format!("{head}{}", "\tat a.B.c(B.java:1)\n".repeat(2_500)).as_bytes());
    let lines: Vec<u64> = found.iter().map(|record| record.lines).collect();
    assert_eq!(lines, [1_000, 1_000, 501]);
    let wide = format!("\t{}\n", "x".repeat(100_000));
    let found = records(format!("{head}{}", wide.repeat(4)).as_bytes());
    let lines: Vec<u64> = found.iter().map(|record| record.lines).collect();
    // What is beyond begins anew, and blanks alone begin nothing that is gone on with.
    assert_eq!(lines, [3, 1, 1]);
    assert!(found.iter().all(|record| record.text.len() <= MAX_ORIGINAL));
    let long = "2026-11-22 08:00:00 ".to_owned() + &"x".repeat(MAX_ORIGINAL);
    check(&[&long, "\tat a.B.c(B.java:1)"]);
}

#[test]
fn gb18030_is_not_mistaken() {
    // Trail bytes may be digits and letters, but no line begins with a trail byte.
    let message = b"2026-11-22 08:00:00 \xb5\xc7\xc2\xbc\xca\xa7\xb0\xdc\x81\x30\x81\x30";
    let text = [&message[..], b"\n\tat a.B.c(B.java:1)\n\xb5\xc7\xc2\xbc\n", message].concat();
    assert_eq!(records(&text).len(), 3);
    // The month and the level of `java.util.logging` in Chinese.
    let jul =
        b"\xca\xae\xd2\xbb\xd4\xc2 22, 2026 8:00:00 \xc9\xcf\xce\xe7 a.B c\n\xd1\xcf\xd6\xd8: x";
    assert_eq!(records(jul).len(), 1);
}

/// Lines of every kind, so that random texts hold blocks.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "2026-11-22 08:00:00 failed",
        "Nov 22 08:00:00 web01 app: x",
        "\tat a.B.c(B.java:1)",
        "Caused by: a.BException: x",
        "a.BException: x",
        "... 3 more",
        "Traceback (most recent call last):",
        "ValueError: x",
        "During handling of the above exception, another exception occurred:",
        "",
        "type=SYSCALL msg=audit(1790000000.1:7): a",
        "type=PATH msg=audit(1790000000.1:7): a",
        "type=PROCTITLE msg=audit(1790000000.1:7): a",
        "# Time: 2026-11-22T08:00:00Z",
        "# User@Host: a[a] @ localhost []",
        "select 1;",
        "Start-Date: 2026-11-22  08:00:00",
        "Install: a",
        "End-Date: 2026-11-22  08:00:00",
        "MSH|^~\\&|HIS",
        "PID|1",
        "Sun Nov 22 08:00:00 2026",
        "2026-11-22 08:00:00 CST,\"a",
        "2026-11-22 08:00:00.1 (EP[0] s) [SEL] x",
        "--a1b2c3d4-A--",
        "--a1b2c3d4-Z--",
        "Nov 22, 2026 8:00:00 AM a.B c",
        "SEVERE: x",
        "Stack trace:",
        "#0 x",
    ]);
    prop_oneof![
        6 => known.prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..40),
        1 => "[ \t]?[-#\\[<A-Z0-9a-z:|=\", ]{0,60}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn records_hold_every_line_once_and_in_order(lines in prop::collection::vec(any_line(), 1..60)) {
        let mut joiner = Joiner::new();
        let mut records: Vec<Vec<&[u8]>> = Vec::new();
        for line in &lines {
            match (joiner.take(line), records.last_mut()) {
                (Line::Continues, Some(record)) => record.push(line),
                (Line::Continues, None) => prop_assert!(false, "the first line continues nothing"),
                (Line::Begins, _) => records.push(vec![line]),
            }
        }
        let texts: Vec<Vec<u8>> = records.iter().map(|lines| lines.join(&b'\n')).collect();
        prop_assert_eq!(texts.join(&b'\n'), lines.join(&b'\n'));
    }

    #[test]
    fn a_reader_that_begins_at_any_record_cuts_the_rest_alike(
        lines in prop::collection::vec(any_line(), 1..60),
    ) {
        let cuts = |from: usize| -> Vec<usize> {
            let mut joiner = Joiner::new();
            let mut cuts = Vec::new();
            for (at, line) in lines.iter().enumerate().skip(from) {
                let open = joiner.is_open();
                let begins = joiner.take(line) == Line::Begins;
                assert!(open || begins, "a complete record goes on");
                if begins {
                    cuts.push(at);
                }
            }
            cuts
        };
        let whole = cuts(0);
        for (index, from) in whole.iter().enumerate() {
            prop_assert_eq!(&cuts(*from), &whole[index..]);
        }
    }

    #[test]
    fn gathering_loses_nothing(lines in prop::collection::vec(any_line(), 1..60)) {
        let text = lines.join(&b'\n');
        let found = records(&text);
        let count: u64 = found.iter().map(|record| record.lines).sum();
        let ended = text.strip_suffix(b"\n").unwrap_or(&text);
        let expected = ended.split(|byte| *byte == b'\n').count();
        prop_assert_eq!(count, expected as u64);
        let letters = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect()
        };
        let joined: Vec<u8> = found.iter().flat_map(|record| letters(&record.text)).collect();
        prop_assert_eq!(joined, letters(&text));
    }
}

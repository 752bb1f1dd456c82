//! The same for records of several lines: each once and whole, wherever the file is cut, the log rotated
//! and the engine killed.

use hengwei_protocol::lines;
use proptest::prelude::*;

use super::*;

const HEAD: &str = "2026-11-22 08:00:00 failed";
const FRAME: &str = "\tat com.example.Ward.admit(Ward.java:7)";

impl Rig {
    /// Lets the time pass that a record waits.
    fn wait(&mut self) {
        let now = self.frozen.unwrap_or_else(Instant::now);
        self.frozen = Some(now + tail::HOLD);
    }
}

fn frozen() -> Rig {
    let mut rig = rig();
    rig.frozen = Some(Instant::now());
    rig
}

fn check(scenario: impl Fn(&mut Rig, &dyn Fn(&mut Rig))) {
    scenario(&mut frozen(), &|_| {});
    scenario(&mut frozen(), &Rig::kill);
}

#[test]
fn a_record_waits_for_what_goes_on_with_it() {
    check(|rig, between| {
        rig.write("app.log", &format!("words\n{HEAD}\n"));
        rig.expect(&["words"]);
        between(rig);
        rig.write("app.log", &format!("{FRAME}\nCaused"));
        rig.expect(&[]);
        between(rig);
        rig.write("app.log", " by: a.BException\nNov 22 08:00:00 a b: c\n");
        rig.expect(&[
            &format!("{HEAD}\n{FRAME}\nCaused by: a.BException"),
            "Nov 22 08:00:00 a b: c",
        ]);
        between(rig);
        // What nothing goes on with goes when its time is over, and what comes later is another.
        rig.write("app.log", &format!("{HEAD}\n"));
        rig.expect(&[]);
        rig.wait();
        rig.expect(&[HEAD]);
        between(rig);
        rig.write("app.log", &format!("{FRAME}\n"));
        rig.expect(&[]);
        rig.wait();
        rig.expect(&[FRAME]);
        rig.expect(&[]);
    });
}

#[test]
fn new_lines_make_a_record_wait_anew() {
    let mut rig = frozen();
    rig.write("app.log", &format!("{HEAD}\n"));
    rig.expect(&[]);
    rig.wait();
    rig.write("app.log", &format!("{FRAME}\n"));
    rig.expect(&[]);
    rig.wait();
    rig.expect(&[&format!("{HEAD}\n{FRAME}")]);
    // Half a line is news too.
    rig.write("app.log", &format!("{HEAD}\n"));
    rig.expect(&[]);
    rig.wait();
    rig.write("app.log", "half");
    rig.expect(&[]);
    rig.wait();
    rig.expect(&[HEAD]);
    rig.write("app.log", " a line\n");
    rig.expect(&["half a line"]);
}

#[test]
fn rotation_ends_a_record() {
    check(|rig, between| {
        rig.write("app.log", &format!("{HEAD}\n{FRAME}\n"));
        rig.expect(&[]);
        between(rig);
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", &format!("{FRAME}\nwords\n"));
        rig.expect(&[&format!("{HEAD}\n{FRAME}"), FRAME, "words"]);
        between(rig);
        rig.write("app.log", &format!("{HEAD}\n"));
        rig.expect(&[]);
        std::fs::remove_file(rig.path("app.log")).unwrap();
        if rig.engine.is_some() {
            rig.expect(&[HEAD]);
        }
    });
}

#[test]
fn a_copy_holds_the_record_that_waited() {
    check(|rig, between| {
        rig.write("app.log", &format!("words\n{HEAD}\n{FRAME}\n"));
        rig.expect(&["words"]);
        between(rig);
        rig.copy_truncate("app.log", "app.log.1");
        rig.write("app.log", "more\n");
        rig.expect(&[&format!("{HEAD}\n{FRAME}"), "gap rotated-away 0", "more"]);
    });
}

#[test]
fn truncation_takes_nothing_that_was_seen() {
    let mut rig = frozen();
    rig.write("app.log", &format!("words\n{HEAD}\n{FRAME}\nhal"));
    rig.expect(&["words"]);
    std::fs::write(rig.path("app.log"), "2\n").unwrap();
    rig.expect(&[&format!("{HEAD}\n{FRAME}"), "gap rotated-away 3", "2"]);
    // One that was killed before knows only how much it has lost.
    rig.write("app.log", &format!("{HEAD}\n"));
    rig.expect(&[]);
    rig.kill();
    std::fs::write(rig.path("app.log"), "3\n").unwrap();
    rig.expect(&["gap rotated-away 0", "3"]);
}

#[test]
fn stopping_hands_over_what_waits() {
    let mut rig = frozen();
    rig.write("app.log", &format!("{HEAD}\n{FRAME}\n"));
    rig.write("logs/a.log", &format!("{HEAD}\nhalf"));
    rig.expect(&[]);
    let now = rig.now();
    assert!(rig.engine.as_ref().unwrap().next_due().is_some());
    rig.engine.as_mut().unwrap().let_go(now);
    let mut engine = rig.engine.take().unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = engine.step(now) {
        let (key, value) = chunk.position.unwrap();
        rig.positions.insert(key, value);
        found.extend(chunk.records.into_iter().map(|record| record.body));
    }
    let text = |text: String| Some(Body::Original(text.into()));
    assert_eq!(found, [text(format!("{HEAD}\n{FRAME}")), text(HEAD.to_owned())]);
    rig.wait();
    rig.expect(&[]);
}

#[test]
fn without_joining_each_line_is_a_record() {
    let mut rig = Rig::new("[[path]]\nglob = ['/app.log']\nfrom = 'start'\njoin = 'none'");
    rig.write("app.log", &format!("{HEAD}\n{FRAME}\n"));
    rig.expect(&[HEAD, FRAME]);
}

#[test]
fn lines_of_any_length_end_a_record() {
    let mut rig = frozen();
    let kept = limits::MAX_ORIGINAL;
    let long = format!("\t{}", "x".repeat(kept + 9));
    rig.write("app.log", &format!("{HEAD}\n{long}\n{HEAD}\n{FRAME}\nwords\n"));
    rig.expect(&[HEAD, &long[..kept], "gap line-cut 10", &format!("{HEAD}\n{FRAME}"), "words"]);
    // A record as large as one may be, and more than a chunk of lines.
    let frames = format!("{FRAME}\n").repeat(9_000);
    rig.write("app.log", &format!("{HEAD}\n{frames}words\n"));
    for _ in 0..4 {
        rig.round(usize::MAX);
    }
    let lengths: Vec<usize> = rig.lines.iter().map(|line| line.split('\n').count()).collect();
    assert_eq!(lengths, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1, 1]);
}

/// A record of up to four lines.
fn record(n: u64) -> String {
    let frames = format!("{FRAME}\n").repeat((n % 4) as usize);
    format!("2026-11-22 08:00:00 line {n}\n{frames}")
}

#[track_caller]
fn whole(lines: &[String]) {
    for line in lines.iter().filter(|line| !line.starts_with("gap ")) {
        let expected = record(number(line).unwrap_or_default());
        assert_eq!(format!("{line}\n"), expected);
    }
}

#[test]
fn under_rename_rotation_each_record_comes_once_and_whole() {
    let total = 10_000;
    let lines = torture(total, 250, record, |path| {
        shift(path, 5);
        std::fs::rename(path, format!("{}.1", path.display())).unwrap();
        append(path, b"");
    });
    whole(&lines);
    let mut numbers: Vec<u64> = lines.iter().filter_map(|line| number(line)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
}

#[test]
fn under_copytruncate_no_record_comes_twice_or_torn() {
    let total = 10_000;
    let lines = torture(total, 250, record, |path| {
        shift(path, 5);
        std::fs::copy(path, format!("{}.1", path.display())).unwrap();
        std::fs::File::options().write(true).truncate(true).open(path).unwrap();
    });
    whole(&lines);
    in_order_or_in_a_gap(&lines, total);
}

fn any_text() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        HEAD,
        FRAME,
        "Caused by: a.BException: x",
        "a.BException: x\r",
        "Nov 22 08:00:00 web01 app: x",
        "",
        "Traceback (most recent call last):",
        "  File \"a.py\"",
        "ValueError: x",
        "type=SYSCALL msg=audit(1790000000.1:7): a",
        "type=PROCTITLE msg=audit(1790000000.1:7): a",
        "2026-11-22 08:00:00 CST,\"a",
        "# User@Host: a[a] @ localhost []",
        "select 1;",
        "MSH|^~\\&|HIS",
        "PID|1",
        "\u{75c5}\u{533a}",
    ]);
    prop::collection::vec(line, 1..40).prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_do_not_depend_on_when_the_file_grew(
        text in any_text(),
        cuts in prop::collection::vec((0.0f64..1.0, any::<bool>()), 0..8),
    ) {
        let expected: Vec<String> = lines::records(text.as_bytes())
            .into_iter()
            .map(|record| String::from_utf8_lossy(&record.text).into_owned())
            .filter(|record| !record.is_empty())
            .collect();
        let mut rig = frozen();
        let mut at: Vec<_> = cuts
            .into_iter()
            .map(|(part, kill)| ((part * text.len() as f64) as usize, kill))
            .collect();
        at.sort_unstable();
        let mut written = 0;
        for (end, kill) in at.into_iter().chain([(text.len(), false)]) {
            append(&rig.path("app.log"), &text.as_bytes()[written..end]);
            written = end;
            rig.round(usize::MAX);
            if kill {
                rig.kill();
            }
        }
        rig.round(usize::MAX);
        rig.wait();
        rig.round(usize::MAX);
        prop_assert_eq!(&rig.lines, &expected);
    }
}

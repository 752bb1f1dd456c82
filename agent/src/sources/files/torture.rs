//! Rotation in every form, and an engine that is killed at random: each line once, or inside a gap.
//!
//! A [`Rig`] plays the spool: what a chunk brings is kept with its position or, when the kill comes
//! first, lost with it.

mod joined;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use hengwei_protocol::wire::record::Body;

use super::*;

struct Rig {
    dir: tempfile::TempDir,
    plan: Arc<Plan>,
    engine: Option<Engine>,
    positions: BTreeMap<String, Bytes>,
    lines: Vec<String>,
    reports: Vec<(String, Option<String>)>,
    linger: Duration,
    /// A clock that stands still: nothing is due until a test says so.
    frozen: Option<Instant>,
}

impl Rig {
    fn new(config: &str) -> Rig {
        Rig {
            dir: tempfile::tempdir().unwrap(),
            plan: Arc::new(Plan::new(toml::from_str(config).unwrap()).unwrap()),
            engine: None,
            positions: BTreeMap::new(),
            lines: Vec::new(),
            reports: Vec::new(),
            linger: Duration::ZERO,
            frozen: None,
        }
    }

    fn now(&self) -> Now {
        let now = Now::read();
        Now { steady: self.frozen.unwrap_or(now.steady), ..now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        append(&self.path(name), text.as_bytes());
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// What logrotate does with `copytruncate`.
    fn copy_truncate(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).unwrap();
        std::fs::File::options().write(true).truncate(true).open(self.path(from)).unwrap();
    }

    fn kill(&mut self) {
        self.engine = None;
    }

    /// One round of the engine; at most `limit` of its chunks are kept before it is killed.
    fn round(&mut self, limit: usize) {
        let now = self.now();
        let engine = self.engine.get_or_insert_with(|| {
            let positions = self.positions.clone();
            Engine::new(Arc::clone(&self.plan), self.dir.path(), self.linger, positions)
        });
        engine.discover(now);
        for _ in 0..limit {
            let Some(chunk) = engine.step(now) else {
                self.reports.extend(engine.take_reports());
                return;
            };
            let (key, value) = chunk.position.unwrap();
            if value.is_empty() {
                self.positions.remove(&key);
            } else {
                self.positions.insert(key, value);
            }
            for record in chunk.records {
                self.lines.push(match record.body.unwrap() {
                    Body::Original(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Body::Gap(gap) => format!("gap {} {}", gap.cause, gap.bytes),
                    Body::Fields(_) => panic!("a line has no fields"),
                });
            }
        }
        self.engine = None;
    }

    /// Rounds until everything is read, then compares what came since the last time.
    #[track_caller]
    fn expect(&mut self, lines: &[&str]) {
        for _ in 0..4 {
            self.round(usize::MAX);
        }
        assert_eq!(std::mem::take(&mut self.lines), lines);
    }
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn rig() -> Rig {
    Rig::new("[[path]]\nglob = ['/app.log', '/logs/*.log*']\nfrom = 'start'")
}

/// Runs a scenario with an engine that lives through it and with one that is killed in between.
fn check(scenario: impl Fn(&mut Rig, &dyn Fn(&mut Rig))) {
    scenario(&mut rig(), &|_| {});
    scenario(&mut rig(), &Rig::kill);
}

#[test]
fn lines_come_once_and_half_lines_wait() {
    check(|rig, between| {
        rig.write("app.log", "one\ntw");
        rig.expect(&["one"]);
        between(rig);
        rig.write("app.log", "o\nthree\n");
        rig.expect(&["two", "three"]);
        between(rig);
        rig.expect(&[]);
    });
}

#[test]
fn what_is_there_at_first_is_read_from_the_end_and_what_comes_later_from_the_start() {
    let mut rig = Rig::new("[[path]]\nglob = ['/logs/*.log']");
    rig.write("logs/old.log", "old\nhalf");
    rig.write("logs/old.log.1", "older\n");
    rig.expect(&[]);
    rig.kill();
    rig.write("logs/new.log", "new\n");
    rig.write("logs/old.log", " line\nadded\n");
    rig.expect(&["new", "half line", "added"]);
}

#[test]
fn a_renamed_log_is_read_to_its_end() {
    check(|rig, between| {
        rig.write("app.log", "1\n2\n");
        rig.expect(&["1", "2"]);
        rig.write("app.log", "3\n");
        between(rig);
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", "4\n");
        rig.expect(&["3", "4"]);
        between(rig);
        rig.expect(&[]);
    });
}

#[test]
fn a_writer_that_keeps_the_old_file_is_heard() {
    let mut rig = rig();
    rig.linger = Duration::from_secs(3600);
    rig.write("app.log", "1\n");
    rig.expect(&["1"]);
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "3\n");
    rig.expect(&["3"]);
    rig.write("app.log.1", "2 late\n");
    rig.expect(&["2 late"]);
    rig.kill();
    rig.write("app.log.1", "2 later\n");
    rig.expect(&["2 later"]);
}

#[test]
fn three_missed_rotations_are_caught_up_in_order() {
    for (one, two, three) in [
        ("app.log.1", "app.log.2", "app.log.3"),
        ("app.log-20260103", "app.log-20260102", "app.log-20260101"),
        ("app-2026-01-03.log", "app-2026-01-02.log", "app-2026-01-01.log"),
    ] {
        check(|rig, between| {
            rig.write("app.log", "1\n");
            rig.expect(&["1"]);
            between(rig);
            rig.write("app.log", "2\n");
            rig.rename("app.log", three);
            rig.write(two, "3\n");
            rig.write(one, "4\n");
            rig.write("app.log", "5\n");
            rig.expect(&["2", "3", "4", "5"]);
            between(rig);
            rig.expect(&[]);
        });
    }
}

#[test]
fn a_generation_that_is_gone_is_a_gap() {
    let mut rig = rig();
    rig.write("app.log", "1\nhalf");
    rig.expect(&["1"]);
    rig.kill();
    rig.rename("app.log", "app.log.1.gz");
    rig.write("app.log", "2\n");
    std::fs::remove_file(rig.path("app.log.1.gz")).unwrap();
    rig.write("app.log.1.gz", "not readable");
    rig.expect(&["gap rotated-away 4", "2"]);
    rig.kill();
    rig.expect(&[]);
}

#[test]
fn a_log_deleted_with_its_folder_is_read_to_its_end() {
    let mut rig = rig();
    rig.write("logs/a.log", "1\nlast words");
    rig.expect(&["1"]);
    std::fs::remove_dir_all(rig.path("logs")).unwrap();
    rig.expect(&["last words"]);
    assert_eq!(rig.positions.keys().filter(|key| key.starts_with("file:")).count(), 0);
    rig.write("logs/a.log", "2\n");
    rig.expect(&["2"]);
}

#[test]
fn the_last_line_of_a_rotated_file_needs_no_newline() {
    check(|rig, between| {
        rig.write("app.log", "1\nno newline");
        rig.expect(&["1"]);
        between(rig);
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", "2\n");
        for _ in 0..4 {
            rig.round(usize::MAX);
        }
        let got: BTreeSet<String> = rig.lines.drain(..).collect();
        assert_eq!(got, BTreeSet::from(["no newline".to_owned(), "2".to_owned()]));
    });
}

#[test]
fn a_truncated_log_begins_anew_behind_a_gap() {
    check(|rig, between| {
        rig.write("app.log", "1 long enough\nhal");
        rig.expect(&["1 long enough"]);
        between(rig);
        std::fs::write(rig.path("app.log"), "2\n").unwrap();
        rig.expect(&["gap rotated-away 3", "2"]);
        between(rig);
        // Longer than what was read before: only the content tells.
        std::fs::write(rig.path("app.log"), "three\nfour\n").unwrap();
        rig.expect(&["gap rotated-away 0", "three", "four"]);
        between(rig);
        rig.expect(&[]);
    });
}

#[test]
fn a_copy_holds_what_truncation_took() {
    for name in ["app.log", "logs/x.log"] {
        check(|rig, between| {
            let copy = |n: u32| format!("{name}.{n}");
            rig.write(name, "1\n");
            rig.expect(&["1"]);
            between(rig);
            rig.write(name, "2\n");
            rig.copy_truncate(name, &copy(1));
            rig.write(name, "3\n");
            rig.expect(&["2", "gap rotated-away 0", "3"]);
            between(rig);
            // Two more while nobody looks: the older copy is the one to go on with.
            rig.write(name, "4\n");
            rig.rename(&copy(1), &copy(2));
            rig.copy_truncate(name, &copy(1));
            rig.write(name, "5\n");
            rig.rename(&copy(2), &copy(3));
            rig.rename(&copy(1), &copy(2));
            rig.copy_truncate(name, &copy(1));
            rig.write(name, "6\n");
            rig.expect(&["4", "5", "gap rotated-away 0", "6"]);
            between(rig);
            rig.expect(&[]);
        });
    }
}

#[test]
fn a_copy_of_a_file_never_read_is_found() {
    check(|rig, between| {
        rig.write("app.log", "");
        rig.expect(&[]);
        between(rig);
        rig.write("app.log", "1\n");
        rig.copy_truncate("app.log", "app.log.1");
        rig.write("app.log", "2\n");
        rig.expect(&["1", "gap rotated-away 0", "2"]);
        between(rig);
        rig.expect(&[]);
    });
    // While the file stays empty, too.
    let mut empty = rig();
    empty.write("app.log", "");
    empty.expect(&[]);
    empty.write("app.log", "1\n");
    empty.copy_truncate("app.log", "app.log.1");
    empty.expect(&["1", "gap rotated-away 0"]);
    // A copy in the making, of what is just being read, is none.
    let mut rig = rig();
    rig.write("app.log", "");
    rig.expect(&[]);
    rig.write("app.log", "1\n2\n");
    rig.write("app.log.1", "1\n");
    rig.expect(&["1", "2"]);
}

#[test]
fn a_file_renamed_into_another_pattern_is_not_read_again() {
    check(|rig, between| {
        rig.write("logs/a.log", "1\n");
        rig.expect(&["1"]);
        rig.rename("logs/a.log", "logs/a-old.log");
        between(rig);
        rig.write("logs/a.log", "2\n");
        rig.expect(&["2"]);
        between(rig);
        rig.expect(&[]);
        rig.write("logs/a-old.log", "3\n");
        rig.expect(&["3"]);
    });
}

#[test]
fn a_renamed_file_that_comes_back_goes_on() {
    check(|rig, between| {
        rig.linger = Duration::from_secs(3600);
        rig.write("app.log", "1\n");
        rig.expect(&["1"]);
        rig.rename("app.log", "elsewhere");
        rig.expect(&[]);
        between(rig);
        rig.rename("elsewhere", "app.log");
        rig.write("app.log", "2\n");
        rig.expect(&["2"]);
    });
}

#[test]
fn links_to_one_file_are_one_log() {
    let mut rig = rig();
    rig.write("logs/a.log", "1\n");
    std::os::unix::fs::symlink("a.log", rig.path("logs/current.log")).unwrap();
    rig.expect(&["1"]);
    rig.write("logs/a.log", "2\n");
    rig.expect(&["2"]);
}

#[test]
fn what_is_no_log_is_reported_once() {
    let mut rig = rig();
    std::fs::create_dir_all(rig.path("logs/folder.log")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, rig.path("logs/fifo.log"), fifo, mode, 0).unwrap();
    rig.write("logs/wide.log", "\u{feff}utf-8 is fine\n");
    append(&rig.path("logs/wide16.log"), b"\xff\xfea\0\n\0");
    rig.write("logs/packed.log.1.gz", "never read\n");
    rig.expect(&["\u{feff}utf-8 is fine", "\u{fffd}\u{fffd}a\0"]);
    let problems: Vec<&str> = rig.reports.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(problems, ["/logs/fifo.log", "/logs/folder.log", "/logs/wide16.log"]);
    // A file in its place is a log at last.
    std::fs::remove_file(rig.path("logs/fifo.log")).unwrap();
    rig.write("logs/fifo.log", "a file now\n");
    rig.expect(&["a file now"]);
    assert_eq!(rig.reports.last().unwrap(), &("/logs/fifo.log".to_owned(), None));
}

#[test]
fn bytes_of_any_kind_do_not_stop_it() {
    let mut rig = rig();
    let long = "x".repeat(10 << 20);
    append(&rig.path("app.log"), b"nul\0\n\xb5\xc7\xff\n");
    rig.write("app.log", &long);
    rig.round(usize::MAX);
    rig.kill();
    rig.write("app.log", "\nafter\n");
    rig.round(usize::MAX);
    let kept = limits::MAX_ORIGINAL;
    assert_eq!(rig.lines[0], "nul\0");
    assert_eq!(rig.lines[2], long[..kept]);
    assert_eq!(rig.lines[3], format!("gap line-cut {}", long.len() - kept));
    assert_eq!(rig.lines[4..], ["after"]);
}

#[test]
fn many_logs_take_turns_and_need_few_open_files() {
    let mut rig = rig();
    let names: Vec<String> = (0..400).map(|n| format!("logs/{n:03}.log")).collect();
    for text in ["1\n", "2\n"] {
        for name in &names {
            rig.write(name, text);
        }
        rig.expect(&vec![text.trim_end(); names.len()]);
    }
    let logs = rig.path("logs");
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&logs)))
        .count();
    assert!(open <= 256, "{open} files open");
    // A closed one is rotated.
    rig.write("logs/000.log", "3\n");
    rig.rename("logs/000.log", "logs/000.log.1");
    rig.write("logs/000.log", "4\n");
    rig.expect(&["3", "4"]);
}

/// A writer of numbered lines that rotates now and then and is never more than `ahead` lines before
/// what was stored.
fn writer(
    path: PathBuf,
    total: u64,
    ahead: u64,
    text: fn(u64) -> String,
    (stored, done): (Arc<AtomicU64>, Arc<AtomicBool>),
    rotate: impl Fn(&Path) + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut dice = Dice(7);
        let mut next = 1;
        let mut until_rotation = 100;
        append(&path, b"");
        while next <= total {
            let patience = Instant::now();
            while next > stored.load(Ordering::Relaxed) + ahead {
                assert!(patience.elapsed() < Duration::from_secs(20), "nothing is read any more");
                std::thread::yield_now();
            }
            let count = (1 + dice.below(20)).min(total + 1 - next);
            let text: String = (next..next + count).map(text).collect();
            // Half lines are part of life.
            let cut = dice.below(text.len() as u64) as usize;
            append(&path, &text.as_bytes()[..cut]);
            append(&path, &text.as_bytes()[cut..]);
            next += count;
            until_rotation -= count as i64;
            if until_rotation <= 0 {
                rotate(&path);
                until_rotation = 100 + dice.below(300) as i64;
            }
        }
        done.store(true, Ordering::Relaxed);
    })
}

fn line(n: u64) -> String {
    format!("line {n}\n")
}

/// The number of a line that a writer wrote.
fn number(line: &str) -> Option<u64> {
    line.split_once("line ")?.1.split('\n').next()?.parse().ok()
}

/// Small numbers that look random and come the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn shift(path: &Path, generations: u32) {
    let name = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    for n in (1..generations).rev() {
        let _ = std::fs::rename(name(n), name(n + 1));
    }
}

fn torture(
    total: u64,
    ahead: u64,
    text: fn(u64) -> String,
    rotate: impl Fn(&Path) + Send + 'static,
) -> Vec<String> {
    let mut rig = rig();
    let mut clock = Instant::now();
    rig.frozen = Some(clock);
    let stored = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let path = rig.path("app.log");
    // What was rotated away before the very first start is not asked for.
    rig.write("app.log", "");
    rig.expect(&[]);
    let pace = (Arc::clone(&stored), Arc::clone(&done));
    let thread = writer(path, total, ahead, text, pace, rotate);
    let mut dice = Dice(99);
    let mut quiet = 0;
    // Quiet for a while after the writer has ended: rotated files have to linger out.
    while quiet < 20 {
        let before = rig.lines.len();
        let ended = done.load(Ordering::Relaxed) || thread.is_finished();
        if ended {
            clock += tail::HOLD;
            rig.frozen = Some(clock);
        }
        if dice.below(4) == 0 {
            rig.round(1 + dice.below(6) as usize);
        } else {
            rig.round(usize::MAX);
        }
        if dice.below(8) == 0 {
            rig.kill();
        }
        let last = rig.lines.iter().rev().find_map(|line| number(line));
        stored.store(last.unwrap_or(0), Ordering::Relaxed);
        quiet = if ended && rig.lines.len() == before { quiet + 1 } else { 0 };
    }
    thread.join().unwrap();
    rig.lines
}

#[test]
fn under_rename_rotation_each_line_comes_once() {
    let total = 30_000;
    let lines = torture(total, 250, line, |path| {
        shift(path, 5);
        std::fs::rename(path, format!("{}.1", path.display())).unwrap();
        append(path, b"");
    });
    let mut seen = BTreeMap::new();
    for line in &lines {
        *seen.entry(line.as_str()).or_insert(0) += 1;
    }
    let odd: Vec<_> = seen.iter().filter(|(_, count)| **count != 1).collect();
    assert!(odd.is_empty(), "{odd:?}");
    let missing: Vec<_> =
        (1..=total).filter(|n| !seen.contains_key(format!("line {n}").as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let others: Vec<_> = seen.keys().filter(|line| !line.starts_with("line ")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(seen.len() as u64, total);
}

#[test]
fn under_copytruncate_no_line_comes_twice_and_each_missing_one_lies_in_a_gap() {
    let total = 30_000;
    let lines = torture(total, 250, line, |path| {
        shift(path, 5);
        std::fs::copy(path, format!("{}.1", path.display())).unwrap();
        std::fs::File::options().write(true).truncate(true).open(path).unwrap();
    });
    in_order_or_in_a_gap(&lines, total);
}

#[track_caller]
fn in_order_or_in_a_gap(lines: &[String], total: u64) {
    let mut last = 0;
    let mut gap = false;
    for line in lines {
        if line.starts_with("gap rotated-away") {
            gap = true;
        } else if let Some(number) = number(line) {
            assert!(number > last, "{line} after {last}");
            assert!(number == last + 1 || gap, "{last} to {number} without a gap");
            last = number;
            gap = false;
        } else {
            panic!("{line:?} was never written");
        }
    }
    assert_eq!(last, total);
}

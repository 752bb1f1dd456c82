//! Records made byte by byte, as each architecture lays them out, and files that grow, rotate and break.

use std::io::Write;
use std::time::{Duration, Instant};

use hengwei_protocol::wire::field::Value;
use hengwei_protocol::wire::record::Body;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::sources::Output;
use crate::spool::{Options, Spool};

/// 2026-11-22 08:00:00.5 UTC.
const SECONDS: u32 = 1_795_334_400;
const MICROSECONDS: u32 = 500_000;

struct Made {
    kind: i16,
    pid: i32,
    line: &'static str,
    user: &'static str,
    host: &'static str,
    address: Vec<u8>,
}

const fn made(kind: i16, line: &'static str, user: &'static str, host: &'static str) -> Made {
    Made { kind, pid: 4711, line, user, host, address: Vec::new() }
}

impl Made {
    fn from(self, address: &str) -> Made {
        let address = match address.parse().unwrap() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        Made { address, ..self }
    }

    /// The struct as C writes it, one member behind the other.
    fn bytes(&self, layout: &Layout) -> Vec<u8> {
        let text = |text: &str, length: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(length, 0);
            bytes
        };
        let number = |value: u32| match layout.wide {
            true => u64::from(value).to_le_bytes().to_vec(),
            false => value.to_le_bytes().to_vec(),
        };
        let mut address = self.address.clone();
        address.resize(16, 0);
        let bytes = [
            // ut_type and the padding behind it, ut_pid.
            self.kind.to_le_bytes().to_vec(),
            vec![0; 2],
            self.pid.to_le_bytes().to_vec(),
            // ut_line, ut_id, ut_user, ut_host, ut_exit.
            text(self.line, 32),
            text("ts/0", 4),
            text(self.user, 32),
            text(self.host, 256),
            vec![0; 4],
            // ut_session, ut_tv, ut_addr_v6, what is reserved and, where it is wide, padding.
            if layout.wide { vec![0; 8] } else { vec![0; 4] },
            number(SECONDS),
            number(MICROSECONDS),
            address,
            vec![0; if layout.wide { 24 } else { 20 }],
        ]
        .concat();
        assert_eq!(bytes.len(), layout.size);
        bytes
    }
}

/// A record in one line: its fields but the dataset, by name.
fn line(record: &NewRecord) -> String {
    let Some(Body::Fields(fields)) = &record.body else { panic!("{record:?}") };
    let mut parts: Vec<String> = fields
        .fields
        .iter()
        .map(|field| match &field.value {
            Some(Value::Text(text)) => format!("{}={text}", field.name),
            Some(Value::Integer(number)) => format!("{}={number}", field.name),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts.remove(0), "event.dataset=login");
    parts.join(" ")
}

#[track_caller]
fn check(log: Log, made: Made, expected: &str) {
    for layout in [Layout::NARROW, Layout::WIDE] {
        let found = records(log, &layout, &made.bytes(&layout), 0, 7);
        let lines: Vec<String> = found.iter().map(line).collect();
        assert_eq!(lines.join("\n"), expected, "{layout:?}");
        for record in found {
            let time = i64::from(SECONDS) * 1_000_000_000 + i64::from(MICROSECONDS) * 1_000;
            assert_eq!((record.created, record.time), (7, time));
        }
    }
}

#[test]
fn what_the_records_say() {
    let login = "event.action=login event.category=authentication event.type=start \
                 event.outcome=success user.name=wang hengwei.auth.tty=pts/0";
    check(
        Log::Sessions,
        made(7, "pts/0", "wang", "203.0.113.9").from("203.0.113.9"),
        &format!("{login} source.ip=203.0.113.9 process.pid=4711"),
    );
    check(
        Log::Sessions,
        made(7, "pts/0", "wang", "ward3.example").from("2001:db8::7"),
        &format!("{login} source.ip=2001:db8::7 source.domain=ward3.example process.pid=4711"),
    );
    check(
        Log::Sessions,
        made(7, "pts/0", "wang", "::ffff:192.0.2.7"),
        &format!("{login} source.ip=192.0.2.7 process.pid=4711"),
    );
    check(
        Log::Sessions,
        made(7, "pts/0", "wang", ":0"),
        &format!("{login} source.address=:0 process.pid=4711"),
    );
    check(
        Log::Sessions,
        made(8, "pts/0", "", ""),
        "event.action=logout event.category=authentication event.type=end event.outcome=success \
         hengwei.auth.tty=pts/0 process.pid=4711",
    );
    check(
        Log::Sessions,
        made(2, "~", "reboot", "6.12.0"),
        "event.action=boot event.category=host event.type=start",
    );
    check(
        Log::Sessions,
        made(1, "~", "shutdown", "6.12.0"),
        "event.action=shutdown event.category=host event.type=end",
    );
    check(
        Log::Sessions,
        made(1, "~", "runlevel", "6.12.0"),
        "event.action=runlevel event.category=host event.type=change",
    );
    check(
        Log::Sessions,
        made(3, "}", "date", ""),
        "event.action=clock_changed event.category=host event.type=change",
    );
    // Nobody is there yet.
    check(Log::Sessions, made(6, "tty1", "LOGIN", ""), "");
    check(Log::Sessions, made(5, "tty1", "", ""), "");
    check(
        Log::Failures,
        made(6, "ssh:notty", "root", "198.51.100.7").from("198.51.100.7"),
        "event.action=failed_login event.category=authentication event.type=start \
         event.outcome=failure user.name=root hengwei.auth.tty=ssh:notty source.ip=198.51.100.7 \
         process.pid=4711",
    );
}

#[test]
fn what_a_stranger_typed_stays_text() {
    check(
        Log::Failures,
        made(6, "ssh:notty", "a\nNov 22 root=\u{1b}[2J", "evil host; \"x\""),
        "event.action=failed_login event.category=authentication event.type=start \
         event.outcome=failure user.name=a\u{fffd}Nov 22 root=\u{fffd}[2J \
         hengwei.auth.tty=ssh:notty source.address=evil host; \"x\" process.pid=4711",
    );
    // A field that is full has no NUL.
    let full = "abcdefghijklmnopqrstuvwxyz012345";
    let found = records(
        Log::Failures,
        &Layout::NARROW,
        &made(6, full, full, "").bytes(&Layout::NARROW),
        0,
        7,
    );
    assert!(line(&found[0]).contains(&format!("user.name={full} hengwei.auth.tty={full} ")));
}

#[test]
fn what_is_no_record_is_a_problem() {
    let layout = Layout::NARROW;
    let good = made(7, "pts/0", "wang", "").bytes(&layout);
    let mut strange = good.clone();
    strange[0] = 77;
    let mut late = good.clone();
    late[layout.seconds + 4..layout.seconds + 8].fill(0xff);
    let zeros = vec![0; layout.size];
    let bytes = [&good[..], &zeros, &zeros, &strange, &late, &good, &good[..100]].concat();
    let lines: Vec<String> =
        records(Log::Sessions, &layout, &bytes, 768, 7).iter().map(line).collect();
    let problem = |text: &str| format!("event.action=unreadable hengwei.problem={text}");
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("event.action=login"));
    let erased = "a record of zeros, as erasing one leaves it: 2 from byte 1152 on";
    assert_eq!(lines[1], problem(erased));
    assert_eq!(lines[2], problem("not a login record: 2 from byte 1920 on"));
    assert!(lines[3].starts_with("event.action=login"));
    assert_eq!(lines[4], problem("a torn record: 1 from byte 3072 on"));
}

proptest! {
    #[test]
    fn any_bytes_are_understood_or_named(bytes in prop::collection::vec(any::<u8>(), 0..1_200)) {
        for log in [Log::Sessions, Log::Failures] {
            for layout in [Layout::NARROW, Layout::WIDE] {
                let found = records(log, &layout, &bytes, 0, 7);
                prop_assert!(found.len() <= bytes.len().div_ceil(layout.size));
                // Random bytes are next to never a record, and something must have been said of them.
                let torn = bytes.len() % layout.size != 0;
                prop_assert!(!torn || !found.is_empty());
            }
        }
    }
}

/// A host's `/var/log`, and a source that is started and stopped over one spool.
struct Host {
    dir: tempfile::TempDir,
    spool: Spool,
    next: u64,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/log")).unwrap();
        let spool = Spool::open(&dir.path().join("spool"), &Options::default()).unwrap();
        Host { dir, spool, next: 1 }
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join("var/log").join(name);
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn login(&self, name: &str, user: &'static str) {
        self.append(name, &made(7, "pts/0", user, "").bytes(&Layout::HERE));
    }

    /// Runs the source until the users of `expected` came, and nobody else.
    async fn run(&mut self, config: Config, expected: &[&str]) {
        self.run_while(config, &[], || {}, expected).await;
    }

    /// The same, and does `then` once the users of `before` came.
    async fn run_while(
        &mut self,
        config: Config,
        before: &[&str],
        then: impl FnOnce(),
        expected: &[&str],
    ) {
        let output = Output::new("logins", true, self.spool.clone(), Default::default());
        let stop = CancellationToken::new();
        let root = self.dir.path().to_owned();
        let context = Context { root, output, stop: stop.clone() };
        let mut source = Logins::configure(config).unwrap().unwrap();
        let running = tokio::spawn(async move { source.run(context).await });
        let mut users = Vec::new();
        self.wait(&mut users, before.len()).await;
        then();
        self.wait(&mut users, expected.len()).await;
        // What should not come would come by now.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        self.spool.flush().await.unwrap();
        self.take(&mut users);
        assert_eq!(users, expected);
    }

    /// Waits until the source keeps a place in its files, which a restart goes on from, and until so
    /// many users came.
    async fn wait(&mut self, users: &mut Vec<String>, count: usize) {
        let begun = Instant::now();
        while users.len() < count || !self.has_places() {
            assert!(begun.elapsed() < Duration::from_secs(60), "only {users:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.take(users);
        }
    }

    /// Whether both patterns were read once, and a file has its place.
    fn has_places(&self) -> bool {
        let kept = |prefix| self.spool.positions("logins", prefix).len();
        kept("glob:") == 2 && kept("file:") > 0
    }

    fn take(&mut self, users: &mut Vec<String>) {
        while let Ok(Some(slice)) = self.spool.read(Kind::Security, self.next, 1 << 20) {
            self.next = slice.next;
            for record in slice.block.records {
                match record.body {
                    Some(Body::Fields(fields)) => users.push(
                        fields
                            .fields
                            .iter()
                            .find(|field| field.name == "user.name")
                            .and_then(|field| match &field.value {
                                Some(Value::Text(text)) => Some(text.clone()),
                                _ => None,
                            })
                            .unwrap_or_else(|| "problem".to_owned()),
                    ),
                    Some(Body::Gap(gap)) => users.push(format!("gap {}", gap.cause)),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn files_are_followed_through_rotation_and_restarts() {
    let mut host = Host::new();
    let default = Config::default();
    host.login("wtmp", "before");
    host.run(default, &[]).await;
    host.login("wtmp", "wang");
    // Half a record waits for the rest.
    let half = made(7, "pts/1", "li", "").bytes(&Layout::HERE);
    host.append("wtmp", &half[..100]);
    host.run(default, &["wang"]).await;
    host.append("wtmp", &half[100..]);
    let log = host.dir.path().join("var/log");
    std::fs::rename(log.join("wtmp"), log.join("wtmp.1")).unwrap();
    host.login("wtmp", "zhao");
    host.run(default, &["li", "zhao"]).await;
    host.run(default, &[]).await;
    // A btmp that comes later is read from its start, and a truncated file too.
    host.login("btmp", "guess");
    host.run(default, &["guess"]).await;
    std::fs::write(log.join("wtmp"), b"").unwrap();
    host.login("wtmp", "sun");
    host.run(default, &["gap rotated-away", "sun"]).await;
}

#[tokio::test]
async fn a_login_that_is_erased_behind_the_place_is_told() {
    use std::os::unix::fs::FileExt;

    let mut host = Host::new();
    for user in ["wang", "li", "zhao"] {
        host.login("wtmp", user);
    }
    let path = host.dir.path().join("var/log/wtmp");
    let erase = || {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.write_all_at(&vec![0; Layout::HERE.size], Layout::HERE.size as u64).unwrap();
    };
    let came = ["wang", "li", "zhao"];
    let expected = ["wang", "li", "zhao", "gap rotated-away"];
    host.run_while(Config { from: From::Start }, &came, erase, &expected).await;
    host.login("wtmp", "sun");
    host.run(Config::default(), &["sun"]).await;
}

#[tokio::test]
async fn everything_is_read_when_that_is_asked_for() {
    let mut host = Host::new();
    host.login("wtmp", "before");
    host.run(Config { from: From::Start }, &["before"]).await;
}

//! The engine on folders of the test's own, with a clock of the test's own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use hengwei_protocol::wire::field::Value;
use hengwei_protocol::wire::record::Body;
use md5::{Digest, Md5};

use super::*;

struct Rig {
    dir: tempfile::TempDir,
    config: fn() -> Config,
    engine: Option<Engine>,
    positions: BTreeMap<String, Bytes>,
    events: Vec<BTreeMap<String, String>>,
    clock: Duration,
    begun: Instant,
}

fn config() -> Config {
    let paths =
        ["/etc/ssh", "/etc/passwd", "/etc/cron.*", "/usr/bin", "/root/.ssh/authorized_keys"];
    Config { paths: paths.map(str::to_owned).to_vec(), max_file_bytes: 1_000, ..Config::default() }
}

impl Rig {
    /// A host whose baseline is taken.
    fn new() -> Rig {
        let mut rig = Rig {
            dir: tempfile::tempdir().unwrap(),
            config,
            engine: None,
            positions: BTreeMap::new(),
            events: Vec::new(),
            clock: Duration::ZERO,
            begun: Instant::now(),
        };
        rig.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        rig.write("etc/group", "wheel:x:0:\n");
        rig.write("etc/ssh/sshd_config", "PermitRootLogin no\n");
        rig.write("etc/ssh/keys/a", "a");
        rig.write("etc/cron.d/job", "* * * * *");
        rig.write("usr/bin/tool", "tool");
        rig.scan(false);
        assert_eq!(rig.told(), ["baseline -"]);
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn now(&self) -> Now {
        Now { wall: i64::MAX, steady: self.begun + self.clock }
    }

    fn engine(&mut self) -> &mut Engine {
        let scope = Integrity::configure((self.config)()).unwrap().unwrap().scope;
        self.engine.get_or_insert_with(|| {
            Engine::new(scope, self.dir.path(), 1_000, self.positions.clone())
        })
    }

    fn wait(&mut self, millis: u64) {
        self.clock += Duration::from_millis(millis);
        let now = self.now();
        self.engine().settle(now);
        self.keep();
    }

    fn scan(&mut self, full: bool) {
        let now = self.now();
        self.engine().begin_scan(full);
        while self.engine().is_scanning() {
            self.engine().scan_step(now);
        }
        // A folder's children are due after the folder.
        (0..4).for_each(|_| self.wait(0));
    }

    fn touch(&mut self, name: &str) {
        let (path, now) = (self.path(name), self.now());
        self.engine().touched(&path, now);
    }

    fn keep(&mut self) {
        while let Some(chunk) = self.engine().pop() {
            let (key, value) = chunk.position.unwrap();
            if value.is_empty() {
                self.positions.remove(&key);
            } else {
                self.positions.insert(key, value);
            }
            for record in chunk.records {
                let Some(Body::Fields(fields)) = record.body else { panic!("fields") };
                let text = |value: Value| match value {
                    Value::Text(text) => text,
                    Value::Integer(integer) => integer.to_string(),
                    Value::Flag(flag) => flag.to_string(),
                    Value::Number(number) => number.to_string(),
                };
                let fields = fields.fields.into_iter();
                self.events.push(fields.map(|f| (f.name, text(f.value.unwrap()))).collect());
            }
        }
    }

    /// Actions and paths of what came since the last time.
    fn told(&mut self) -> Vec<String> {
        let mut told: Vec<String> = self
            .events
            .drain(..)
            .map(|event| {
                let path = event.get("file.path").map_or("-", String::as_str);
                format!("{} {path}", event["event.action"])
            })
            .collect();
        told.sort();
        told
    }

    fn restart(&mut self) {
        self.engine = None;
        self.scan(false);
    }
}

#[test]
fn a_change_is_told_with_what_was_before() {
    let mut rig = Rig::new();
    rig.write("etc/ssh/sshd_config", "PermitRootLogin yes\n");
    rig.touch("etc/ssh/sshd_config");
    rig.wait(600);
    let event = rig.events.pop().unwrap();
    let sha256 = |text: &str| {
        hengwei_protocol::identity::hex(&hengwei_protocol::identity::sha256(text.as_bytes()))
    };
    for (name, value) in [
        ("event.action", "changed"),
        ("file.path", "/etc/ssh/sshd_config"),
        ("file.hash.sha256", &sha256("PermitRootLogin yes\n")),
        ("hengwei.fim.previous.sha256", &sha256("PermitRootLogin no\n")),
        ("file.size", "20"),
        ("hengwei.fim.previous.size", "19"),
        ("hengwei.fim.area", "sshd"),
        ("file.type", "file"),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert!(event["file.mtime"].starts_with("20"));
    assert!(!event.contains_key("hengwei.fim.package"));
    rig.restart();
    assert!(rig.told().is_empty());
}

#[test]
fn pieces_are_one_event_and_a_slow_writer_is_not_waited_for() {
    let mut rig = Rig::new();
    for piece in 0..3 {
        rig.write("etc/ssh/sshd_config", &"x".repeat(piece));
        rig.touch("etc/ssh/sshd_config");
        rig.wait(300);
    }
    assert!(rig.told().is_empty());
    rig.wait(300);
    assert_eq!(rig.told(), ["changed /etc/ssh/sshd_config"]);
    for piece in 10..16 {
        rig.write("etc/ssh/sshd_config", &"x".repeat(piece));
        rig.touch("etc/ssh/sshd_config");
        rig.wait(300);
    }
    assert_eq!(rig.told(), ["changed /etc/ssh/sshd_config"]);
}

#[test]
fn an_editor_that_renames_makes_one_event() {
    let mut rig = Rig::new();
    rig.write("etc/ssh/sshd_config.new", "edited");
    rig.touch("etc/ssh/sshd_config.new");
    rig.wait(100);
    std::fs::rename(rig.path("etc/ssh/sshd_config.new"), rig.path("etc/ssh/sshd_config")).unwrap();
    rig.touch("etc/ssh/sshd_config.new");
    rig.touch("etc/ssh/sshd_config");
    rig.wait(600);
    assert_eq!(rig.told(), ["changed /etc/ssh/sshd_config"]);
    // Saved without a change.
    rig.write("etc/ssh/sshd_config", "edited");
    rig.touch("etc/ssh/sshd_config");
    rig.wait(600);
    assert!(rig.told().is_empty());
}

#[test]
fn what_happened_while_stopped_is_found() {
    let mut rig = Rig::new();
    rig.engine = None;
    std::fs::remove_file(rig.path("etc/cron.d/job")).unwrap();
    std::fs::remove_dir_all(rig.path("etc/ssh/keys")).unwrap();
    rig.write("etc/cron.daily/new", "new");
    rig.write("root/.ssh/authorized_keys", "key");
    let mode = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(rig.path("usr/bin/tool"), mode).unwrap();
    std::os::unix::fs::symlink("../tool", rig.path("usr/bin/link")).unwrap();
    rig.write("etc/unguarded", "x");
    rig.scan(false);
    let attributes = rig.events.iter().find(|event| event["event.action"] == "attributes").unwrap();
    assert_eq!(attributes["file.mode"], "4755");
    assert_eq!(attributes["hengwei.fim.previous.mode"], "0644");
    let link = rig.events.iter().find(|event| event["file.path"] == "/usr/bin/link").unwrap();
    assert_eq!(
        (link["file.type"].as_str(), link["file.target_path"].as_str()),
        ("symlink", "../tool")
    );
    assert_eq!(
        rig.told(),
        [
            "attributes /usr/bin/tool",
            "created /etc/cron.daily",
            "created /etc/cron.daily/new",
            "created /root/.ssh/authorized_keys",
            "created /usr/bin/link",
            "deleted /etc/cron.d/job",
            "deleted /etc/ssh/keys",
            "deleted /etc/ssh/keys/a",
        ]
    );
    rig.restart();
    assert!(rig.told().is_empty());
}

#[test]
fn a_folder_moved_in_or_out_brings_its_files() {
    let mut rig = Rig::new();
    rig.write("elsewhere/b/c", "c");
    std::fs::rename(rig.path("elsewhere"), rig.path("etc/ssh/in")).unwrap();
    std::fs::rename(rig.path("etc/ssh/keys"), rig.path("out")).unwrap();
    rig.touch("etc/ssh/in");
    rig.touch("etc/ssh/keys");
    rig.wait(600);
    (0..4).for_each(|_| rig.wait(10));
    assert_eq!(
        rig.told(),
        [
            "created /etc/ssh/in",
            "created /etc/ssh/in/b",
            "created /etc/ssh/in/b/c",
            "deleted /etc/ssh/keys",
            "deleted /etc/ssh/keys/a",
        ]
    );
}

#[test]
fn a_full_scan_sees_through_a_quick_one() {
    let mut rig = Rig::new();
    // A baseline that has the file's times but not its content is what a forged time leaves.
    let (key, entry) = rig.positions.iter().find(|(key, _)| key.ends_with("/tool")).unwrap();
    let mut entry = event::decode(entry).unwrap();
    entry.sha256 = "00".repeat(32);
    rig.positions.insert(key.clone(), event::encode(&entry));
    rig.restart();
    assert!(rig.told().is_empty());
    rig.scan(true);
    assert_eq!(rig.told(), ["changed /usr/bin/tool"]);
}

#[test]
fn a_large_file_is_known_by_size_and_says_so() {
    let mut rig = Rig::new();
    rig.write("usr/bin/large", &"x".repeat(2_000));
    rig.scan(false);
    assert_eq!(rig.events[0]["hengwei.fim.hashed"], "false");
    assert!(!rig.events[0].contains_key("file.hash.sha256"));
    assert_eq!(rig.told(), ["created /usr/bin/large"]);
    rig.write("usr/bin/large", &"y".repeat(2_001));
    rig.scan(false);
    assert_eq!(rig.told(), ["changed /usr/bin/large"]);
}

#[test]
fn a_newly_configured_path_is_adopted_and_one_no_longer_configured_forgotten() {
    let mut rig = Rig::new();
    rig.write("etc/pam.d/sshd", "auth");
    rig.config = || Config {
        paths: vec!["/etc/pam.d".to_owned(), "/etc/ssh".to_owned()],
        max_file_bytes: 1_000,
        ..Config::default()
    };
    rig.restart();
    assert_eq!(rig.told(), ["baseline -"]);
    assert!(!rig.positions.keys().any(|key| key.contains("usr/bin")));
    rig.write("etc/pam.d/sshd", "auth sufficient pam_permit.so");
    rig.restart();
    assert_eq!(rig.told(), ["changed /etc/pam.d/sshd"]);
}

fn package(rig: &Rig, name: &str, text: &str) {
    let sum = hengwei_protocol::identity::hex(&Md5::digest(text.as_bytes()));
    rig.write("var/lib/dpkg/info/tools.md5sums", &format!("{sum}  {name}\n"));
}

#[test]
fn an_upgrade_is_told_as_its_packages() {
    let mut rig = Rig::new();
    rig.write("usr/bin/tool", "version 2");
    package(&rig, "usr/bin/tool", "version 2");
    rig.touch("usr/bin/tool");
    rig.wait(600);
    assert_eq!(rig.events[0]["hengwei.fim.package"], "tools");
    assert_eq!(rig.events[0]["hengwei.fim.package_match"], "true");
    assert_eq!(rig.told(), ["changed /usr/bin/tool"]);
    rig.write("usr/bin/tool", "backdoor");
    rig.touch("usr/bin/tool");
    rig.wait(600);
    assert_eq!(rig.events[0]["hengwei.fim.package_match"], "false");
}

#[test]
fn dpkg_at_work_is_waited_for_but_not_for_ever() {
    let mut rig = Rig::new();
    rig.write("usr/bin/tool", "version 2");
    rig.write("usr/bin/tool.dpkg-new", "version 3");
    rig.touch("usr/bin/tool");
    rig.wait(600);
    assert!(rig.told().is_empty(), "its record is not yet written");
    package(&rig, "usr/bin/tool", "version 2");
    rig.wait(2_000);
    assert_eq!(rig.events[0]["hengwei.fim.package_match"], "true");
    rig.events.clear();
    rig.write("usr/bin/tool", "backdoor");
    rig.touch("usr/bin/tool");
    for _ in 0..100 {
        rig.wait(2_000);
    }
    assert!(rig.told().is_empty());
    for _ in 0..60 {
        rig.wait(2_000);
    }
    assert_eq!(rig.told(), ["changed /usr/bin/tool"]);
}

#[test]
fn a_lock_of_dpkg_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("var/lib/dpkg/lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    std::fs::write(&lock, "").unwrap();
    assert!(!packages::at_work(dir.path()));
    let script = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f,fcntl.LOCK_EX); \
                  print('held',flush=True); sys.stdin.read()";
    let holder = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&lock)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut holder) = holder else {
        eprintln!("skipped: no python3 to hold a lock with");
        return;
    };
    let mut held = [0; 4];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    let at_work = packages::at_work(dir.path());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(at_work);
    assert!(!packages::at_work(dir.path()));
}

#[test]
fn watched_are_the_guarded_folders_and_the_way_to_them() {
    let mut rig = Rig::new();
    let root = rig.dir.path().to_owned();
    std::fs::create_dir_all(root.join("root")).unwrap();
    let (deep, flat) = rig.engine().folders();
    let at = |names: &[&str]| names.iter().map(|name| root.join(name)).collect::<BTreeSet<_>>();
    assert_eq!(deep, at(&["etc/cron.d", "etc/ssh", "usr/bin"]));
    assert_eq!(flat, at(&["etc", "usr", "root"]));
}

#[test]
fn a_configuration_is_checked() {
    assert!(Integrity::configure(Config::default()).unwrap().is_some());
    assert!(toml::from_str::<Config>("path = []").unwrap_err().to_string().contains("`path`"));
    let none: Config = toml::from_str("paths = []").unwrap();
    assert!(Integrity::configure(none).unwrap().is_none());
    let check = |text: &str, error: &str| {
        let got = Integrity::configure(toml::from_str(text).unwrap()).unwrap_err();
        assert!(format!("{got:#}").contains(error), "{got:#}");
    };
    check("paths = ['etc']", "sources.integrity.paths: `etc` is not absolute");
    check("full_scan_secs = 1", "full_scan_secs is below 60");
}

//! What is carried out of a collector and back: a backup that is added to and restored elsewhere
//! answers as the original did; an export is proof on a machine that knows nothing else; whatever was
//! changed on the way is named and refused; an agent that was ahead of a restored collector says so.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hengwei_tests::{Agent, Collector, PATIENCE, Site, binaries, wait, write_secret};
use serde_json::Value;

/// Every line has the name with a number behind it.
const MALLORY: &str = r#"|= "mallory""#;
const PASSPHRASE: &str = "a passphrase for a throwaway backup\n";

struct Scene {
    collector: Collector,
    agent: Agent,
    log: PathBuf,
    lines: usize,
    site: Site,
}

impl Scene {
    fn new() -> anyhow::Result<Scene> {
        let site = Site::new()?;
        let log = site.path().join("logs/app.log");
        let collector = site.collector("")?;
        let sources = format!(
            "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n"
        );
        let agent = collector.agent("agent", "his", &sources)?;
        write_secret(&site.path().join("passphrase"), PASSPHRASE)?;
        Ok(Scene { collector, agent, log, lines: 0, site })
    }

    /// So many more lines, one of which raises an alert, in history.
    fn say(&mut self, lines: usize) -> anyhow::Result<()> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        for n in self.lines..self.lines + lines {
            writeln!(
                file,
                "Nov 20 10:00:00 web sudo: mallory{n} : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; \
                 USER=root ; COMMAND=/bin/sh"
            )?;
        }
        self.lines += lines;
        let want = self.lines;
        wait("the lines in history", PATIENCE, || {
            Ok((found(&self.collector)?.len() >= want).then_some(()))
        })
    }

    fn path(&self, name: &str) -> String {
        self.site.path().join(name).display().to_string()
    }

    fn backup(&self, more: &[&str]) -> anyhow::Result<Value> {
        let mut rows = self.collector.rows(&[&["backup", &self.path("backup")], more].concat())?;
        Ok(rows.remove(0))
    }

    /// Runs a subcommand with a configuration of nobody's: as on another machine.
    fn elsewhere(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binaries()?.join("hengwei-collector"));
        command.args(args).args(["--config", &self.path("none.toml")]);
        Ok(command.stdin(Stdio::null()).output()?)
    }

    fn must(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.elsewhere(args)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn restored(&self, to: &str) -> anyhow::Result<String> {
        let data = self.path(to);
        self.must(&[
            "restore",
            &self.path("backup"),
            "--data",
            &data,
            "--passphrase-file",
            &self.path("passphrase"),
        ])?;
        Ok(data)
    }
}

fn found(collector: &Collector) -> anyhow::Result<Vec<Value>> {
    collector.rows(&["search", MALLORY, "--limit", "100000"])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn files(dir: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.insert(path);
        }
    }
    Ok(files)
}

fn flip(path: &Path) -> anyhow::Result<Vec<u8>> {
    let good = fs::read(path)?;
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(path, bad)?;
    Ok(good)
}

#[test]
fn a_backup_is_added_to_and_restored_elsewhere_answers_as_the_original() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.say(200)?;
    let first = scene.backup(&[])?;
    assert_eq!(first["keys"], false);
    let backup = scene.site.path().join("backup");
    let before = files(&backup)?;
    assert!(!before.contains(&backup.join("keys.sealed")));

    scene.say(100)?;
    let passphrase = scene.path("passphrase");
    let second = scene.backup(&["--passphrase-file", &passphrase])?;
    assert_eq!(second["keys"], true);
    let after = files(&backup)?;
    let segments = |files: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
        files
            .iter()
            .filter(|path| path.extension().is_some_and(|it| it == "seg"))
            .cloned()
            .collect()
    };
    assert!(segments(&before).is_subset(&segments(&after)));
    let new = after.difference(&before).filter(|path| path.starts_with(backup.join("history")));
    let new: Vec<_> = new.filter(|path| !path.ends_with(manifest(&second))).collect();
    assert!(!new.is_empty());
    assert_eq!(second["copied"], new.len(), "only what was not there is copied: {new:?}");
    assert!(second["copied_bytes"].as_u64() < second["bytes"].as_u64());

    // The agents' part of what history holds at that commit: nothing came after it.
    let (mut ledger, hosts) =
        (scene.collector.rows(&["ledger"])?, scene.collector.rows(&["hosts"])?);
    let alerts = scene.collector.rows(&["alerts", "list", "--all", "--limit", "1000"])?;
    let events = found(&scene.collector)?;
    assert!(!alerts.is_empty() && events.len() == 300);
    scene.agent.stop()?;
    scene.collector.stop()?;

    assert_eq!(code(&scene.elsewhere(&["backup", &scene.path("backup"), "--check"])?), 0);
    let checked = scene.elsewhere(&["verify", "--data", &scene.path("backup")])?;
    assert_eq!(code(&checked), 0, "{}", said(&checked));
    let data = scene.restored("restored")?;
    let verified = scene.elsewhere(&["verify", "--data", &data])?;
    assert_eq!(code(&verified), 0, "{}", said(&verified));
    let rows = |args: &[&str]| -> anyhow::Result<Vec<Value>> {
        let text = scene.must(&[args, &["--data", &data, "--json"]].concat())?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let mut restored = rows(&["ledger"])?;
    // The collector goes on writing records of its own.
    for ledger in [&mut ledger, &mut restored] {
        ledger.retain(|row| row["agent"] == *scene.agent.id);
    }
    assert!(!ledger.is_empty());
    assert_eq!(restored, ledger);
    assert_eq!(rows(&["alerts", "list", "--all", "--limit", "1000"])?, alerts);
    assert_eq!(rows(&["search", MALLORY, "--limit", "100000"])?, events);
    let ids = |rows: &[Value]| rows.iter().map(|row| row["agent"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&rows(&["hosts"])?), ids(&hosts));
    assert!(Path::new(&data).join("collector.toml").is_file());

    // A second restore finds the place taken; the index that was built is used.
    let again = scene.elsewhere(&["restore", &scene.path("backup"), "--data", &data])?;
    assert_eq!(code(&again), 2);
    assert!(said(&again).contains("is not empty"), "{}", said(&again));
    Ok(())
}

fn manifest(backup: &Value) -> String {
    format!("manifest-{}", backup["commit"])
}

#[test]
fn damage_and_a_wrong_passphrase_are_named_and_leave_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.say(50)?;
    let (backup, passphrase) = (scene.path("backup"), scene.path("passphrase"));
    scene.backup(&["--passphrase-file", &passphrase])?;
    let (data, wrong) = (scene.path("restored"), scene.path("wrong"));
    let restore = ["restore", &backup, "--data", &data, "--passphrase-file"];

    write_secret(Path::new(&wrong), "not the passphrase it was\n")?;
    let refused = scene.elsewhere(&[&restore[..], &[&wrong]].concat())?;
    assert_eq!(code(&refused), 2);
    assert!(said(&refused).contains("wrong passphrase"), "{}", said(&refused));
    assert!(!Path::new(&data).exists());

    for path in files(&Path::new(&backup).join("history"))? {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name == "manifest" {
            continue;
        }
        let good = flip(&path)?;
        let found = scene.elsewhere(&["backup", &backup, "--check"])?;
        assert_eq!(code(&found), 1, "{name}");
        assert!(said(&found).contains(&name), "{}", said(&found));
        let refused = scene.elsewhere(&[&restore[..], &[&passphrase]].concat())?;
        assert_eq!(code(&refused), 2, "{name}");
        assert!(said(&refused).contains(&name), "{}", said(&refused));
        assert!(!Path::new(&data).exists(), "{name}");
        fs::write(&path, good)?;
    }
    scene.restored("restored")?;
    Ok(())
}

#[test]
fn an_agent_that_was_ahead_of_a_restored_collector_records_the_gap() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.say(40)?;
    scene.backup(&["--passphrase-file", &scene.path("passphrase")])?;
    scene.say(30)?;
    scene.collector.kill();
    let data = scene.restored("restored")?;
    fs::remove_dir_all(scene.collector.data())?;
    fs::rename(data, scene.collector.data())?;
    // While nobody listens, the agent reads on.
    scene.lines = 40;
    scene.collector.start()?;
    scene.say(20)?;
    assert_eq!(found(&scene.collector)?.len(), 60, "30 lines were in the lost part");
    let gaps = scene.collector.rows(&["ledger", "--gaps"])?;
    let gaps: Vec<_> =
        gaps.iter().filter(|gap| gap["agent"] == *scene.agent.id && gap["kind"] == "log").collect();
    assert!(!gaps.is_empty(), "the lost lines are told of");
    assert!(gaps.iter().all(|gap| gap["cause"] == "collector-rolled-back"), "{gaps:?}");
    let verified = scene.collector.command(&["verify"])?;
    assert_eq!(code(&verified), 0, "{}", said(&verified));
    Ok(())
}

#[test]
fn an_export_proves_itself_elsewhere_and_no_byte_of_it_can_be_changed() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.say(100)?;
    let (file, copy) = (scene.path("export.zst"), scene.path("copy.zst"));
    let mut made = scene.collector.rows(&["export", "--query", MALLORY, "-o", &file])?;
    let manifest = made.remove(0);
    assert_eq!(manifest["rows"], 100);
    assert!(manifest["by"].as_str().is_some_and(|by| by.starts_with("local:")), "{manifest}");
    let content = unpacked(&file)?;
    let rows: Vec<Value> = content.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(rows, found(&scene.collector)?, "what search prints");
    let again = scene.path("again.zst");
    scene.collector.must(&["export", "--query", MALLORY, "-o", &again])?;
    assert_eq!(unpacked(&again)?, content, "and in the same order");
    let taken = scene.collector.command(&["export", "-o", &file])?;
    assert_eq!(code(&taken), 2, "evidence is not written over");

    fs::copy(&file, &copy)?;
    let beside = |file: &str| PathBuf::from(format!("{file}.manifest.json"));
    let text = fs::read_to_string(beside(&file))?;
    fs::write(beside(&copy), &text)?;
    let seal: Value = serde_json::from_str(text.lines().nth(1).expect("a signature"))?;
    let (key, other) = (scene.path("key"), scene.path("other"));
    fs::write(&key, seal["key"].as_str().expect("a key"))?;
    fs::write(&other, "0".repeat(64))?;
    let verify = |key: &str| scene.elsewhere(&["verify", "--export", &copy, "--key", key]);
    assert_eq!(code(&verify(&key)?), 0);
    assert_eq!(code(&scene.elsewhere(&["verify", "--export", &copy])?), 0);
    assert_eq!(code(&verify(&other)?), 1, "another key");
    for path in [PathBuf::from(&copy), beside(&copy)] {
        let good = flip(&path)?;
        let found = verify(&key)?;
        assert_eq!(code(&found), 1, "{}", said(&found));
        fs::write(&path, &good[..good.len() - 3])?;
        assert_eq!(code(&verify(&key)?), 1);
        fs::write(&path, good)?;
    }
    assert_eq!(code(&verify(&key)?), 0);
    fs::remove_file(beside(&copy))?;
    assert_eq!(code(&verify(&key)?), 2, "without its manifest it is no export");

    // The heads it carries are part of the chain, and the daemon's own record of it is, too.
    let first: Value = serde_json::from_str(text.lines().next().expect("a statement"))?;
    let heads = scene.path("heads");
    fs::write(&heads, format!("{}\n", first["heads"]))?;
    let verified = scene.collector.command(&["verify", "--heads", &heads, "--key", &key])?;
    assert_eq!(code(&verified), 0, "{}", said(&verified));
    scene.agent.stop()?;
    scene.collector.stop()?;
    let offline = scene.path("offline.zst");
    scene.collector.must(&[
        "export",
        "--query",
        MALLORY,
        "-o",
        &offline,
        "--data",
        &scene.collector.data().display().to_string(),
    ])?;
    assert_eq!(unpacked(&offline)?, content, "a stopped collector exports the same");
    Ok(())
}

#[test]
fn an_export_and_a_backup_while_lines_arrive_are_whole() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.say(500)?;
    for n in 0..3 {
        // Nobody waits for these: they arrive meanwhile.
        let mut file = fs::OpenOptions::new().append(true).open(&scene.log)?;
        (0..3000).try_for_each(|line| writeln!(file, "another thing {n} {line}"))?;
        let out = scene.path(&format!("export-{n}.zst"));
        scene.collector.must(&["export", "-o", &out])?;
        scene.must(&["verify", "--export", &out])?;
        scene.backup(&[])?;
        scene.must(&["backup", &scene.path("backup"), "--check"])?;
        scene.must(&["verify", "--data", &scene.path("backup")])?;
    }
    Ok(())
}

/// What a packed file unpacks to.
fn unpacked(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    zstd::stream::read::Decoder::new(fs::File::open(file)?)?.read_to_string(&mut text)?;
    Ok(text)
}

//! What an assessor sees of a history that somebody changed: real daemons wrote it, `verify` reads it
//! offline, with heads from a host and a key from elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hengwei_tests::{Agent, Collector, PATIENCE, Site, binaries, wait};
use serde_json::Value;

/// A user that owns nothing here.
const NOBODY: u32 = 65_534;

fn say(log: &Path, from: u64, to: u64) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for number in from..to {
        writeln!(file, "numbered n={number} of a line")?;
    }
    Ok(())
}

/// Long lines that don't pack well: a log file is full, and sealed, after a few of them.
fn say_much(log: &Path, from: u64, to: u64) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for number in from..to {
        let mut state = number + 1;
        let mut noise = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            format!("{:016x}", state ^ (state >> 31))
        };
        let noise: String = (0..1_000).map(|_| noise()).collect();
        writeln!(file, "numbered n={number} {noise}")?;
    }
    Ok(())
}

fn wait_for(collector: &Collector, lines: usize) -> anyhow::Result<()> {
    wait(&format!("{lines} lines"), PATIENCE, || {
        let rows = collector.rows(&["search", "numbered", "--limit", "1000"])?;
        Ok((rows.len() == lines).then_some(()))
    })
}

/// A collector that took lines from an agent, both stopped; and the heads the agent printed.
struct Written {
    site: Site,
    collector: Collector,
    heads: PathBuf,
    agent: String,
}

fn written() -> anyhow::Result<Written> {
    written_as("", say)
}

/// With more in its configuration, and what `say` writes.
fn written_as(
    config: &str,
    say: fn(&Path, u64, u64) -> anyhow::Result<()>,
) -> anyhow::Result<Written> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let sources =
        format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n");
    let mut collector = site.collector(config)?;
    let mut agent = collector.agent("agent", "his", &sources)?;
    for round in 0..4 {
        say(&log, round * 10, round * 10 + 10)?;
        wait_for(&collector, (round as usize + 1) * 10)?;
    }
    agent.stop()?;
    collector.stop()?;
    let heads = site.path().join("heads.ndjson");
    fs::write(&heads, printed_heads(&agent)?)?;
    let agent = agent.id.clone();
    Ok(Written { site, collector, heads, agent })
}

fn printed_heads(agent: &Agent) -> anyhow::Result<Vec<u8>> {
    let output = agent.command(&["heads"])?;
    anyhow::ensure!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    Ok(output.stdout)
}

impl Written {
    /// Verifies a data folder.
    fn verify(&self, data: &Path, more: &[&str]) -> anyhow::Result<(Option<i32>, Vec<Value>)> {
        let output = self.output(data, more)?;
        let lines = String::from_utf8(output.stdout)?;
        let rows: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
        Ok((output.status.code(), rows?))
    }

    fn output(&self, data: &Path, more: &[&str]) -> anyhow::Result<Output> {
        let mut args = vec!["verify", "--json", "--data", data.to_str().expect("UTF-8")];
        args.extend(more);
        self.collector.command(&args)
    }

    /// A copy of the data folder, changed, and what is said of it with the agent's heads.
    fn tampered(&self, change: &dyn Fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<Vec<Value>> {
        let copy = self.copy()?;
        change(&copy.join("history"))?;
        let (code, rows) = self.verify(&copy, &["--heads", self.heads.to_str().expect("UTF-8")])?;
        anyhow::ensure!(code == Some(1), "nothing was found: {rows:?}");
        fs::remove_dir_all(copy)?;
        Ok(rows.into_iter().filter(|row| row["is"] == "finding").collect())
    }

    fn copy(&self) -> anyhow::Result<PathBuf> {
        let copy = self.site.path().join("copy");
        let status = Command::new("cp").arg("-a").arg(self.collector.data()).arg(&copy).status()?;
        anyhow::ensure!(status.success());
        Ok(copy)
    }
}

fn summary(rows: &[Value]) -> &Value {
    rows.last().filter(|row| row["is"] == "summary").expect("a summary comes last")
}

fn log_file(history: &Path) -> anyhow::Result<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(history.join("log"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.sort();
    Ok(files.pop().expect("a log file"))
}

#[test]
fn what_is_whole_is_proved_with_what_an_agent_kept() -> anyhow::Result<()> {
    let written = written()?;
    let data = written.collector.data();
    let heads = written.heads.to_str().expect("UTF-8");
    let (code, rows) = written.verify(&data, &["--heads", heads])?;
    let said = summary(&rows);
    assert_eq!((code, rows.len()), (Some(0), 1), "{rows:?}");
    assert_eq!((&said["key"], &said["index"]), (&"agents".into(), &"compared".into()), "{said}");
    assert_eq!((&said["clean"], &said["findings"]), (&true.into(), &0.into()));
    for count in ["commits", "records", "decisions", "links", "signatures", "index_rows"] {
        assert!(said[count].as_u64() > Some(0), "{count}: {said}");
    }
    let met = &said["heads"];
    let matched = met["matched"].as_u64().zip(met["matched_unsigned"].as_u64());
    assert!(matched.is_some_and(|(signed, unsigned)| signed + unsigned > 2), "{said}");
    assert_eq!((&met["unmatched"], &met["passed_over"]), (&0.into(), &0.into()), "{said}");

    // The key as the collector prints it is the one the agent was given.
    let key = written.collector.must(&["pki", "history-key"])?;
    assert!(fs::read_to_string(&written.heads)?.contains(key.trim()));
    let file = written.site.path().join("key");
    fs::write(&file, &key)?;
    let (code, rows) = written.verify(&data, &["--key", file.to_str().expect("UTF-8")])?;
    assert_eq!((code, &summary(&rows)["key"]), (Some(0), &"given".into()));
    let (code, rows) = written.verify(&data, &[])?;
    assert_eq!((code, &summary(&rows)["key"]), (Some(0), &"same-disk".into()));
    let plain = written.collector.must(&["verify"])?;
    assert!(plain.contains("every link holds") && plain.contains("proves less"), "{plain}");
    // Nothing is as young as that, but the log is always walked.
    let (code, rows) = written.verify(&data, &["--since", "1m", "--heads", heads])?;
    assert_eq!((code, &summary(&rows)["records"]), (Some(0), &said["records"]));
    Ok(())
}

#[test]
fn each_kind_of_tampering_is_named() -> anyhow::Result<()> {
    let written = written()?;
    let of_heads = format!("heads of {} in heads.ndjson", written.agent);
    let check = |rows: &[Value], problem: &str, file: &str| {
        let found = rows.iter().any(|row| {
            row["problem"] == problem
                && row["file"].as_str().is_some_and(|name| name.starts_with(file))
                && row["commit"].is_u64()
                && row["time"].is_string()
        });
        assert!(found, "{problem} {file}: {rows:?}");
    };

    let rows = written.tampered(&|history| {
        let file = log_file(history)?;
        let mut bytes = fs::read(&file)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(file, bytes)?)
    })?;
    check(&rows, "changed", "log/");

    // Commits that were acknowledged, gone without a trace in the file itself.
    let rows = written.tampered(&|history| {
        let file = log_file(history)?;
        let bytes = fs::read(&file)?;
        let frames = bytes.windows(4).enumerate().filter(|(_, four)| four == b"HWFR");
        let middle = frames.map(|(at, _)| at).find(|at| *at > bytes.len() / 2).expect("a frame");
        Ok(fs::write(file, &bytes[..middle])?)
    })?;
    check(&rows, "cut", "manifest");
    check(&rows, "cut", &of_heads);

    let rows = written.tampered(&|history| Ok(fs::remove_file(log_file(history)?)?))?;
    check(&rows, "cut", &of_heads);

    let rows = written.tampered(&|history| {
        for folder in ["log", "segments", "checkpoints"] {
            fs::remove_dir_all(history.join(folder))?;
            fs::create_dir(history.join(folder))?;
        }
        Ok(fs::remove_file(history.join("manifest"))?)
    })?;
    check(&rows, "cut", &of_heads);
    Ok(())
}

#[test]
fn tampering_with_sealed_segments_is_named() -> anyhow::Result<()> {
    let written = written_as("\n[history]\nseal_bytes = 65536\n", say_much)?;
    let segments = |history: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(history.join("segments"))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("log-") && name.ends_with(".seg") {
                found.push(path);
            }
        }
        found.sort();
        anyhow::ensure!(found.len() > 1, "{found:?}");
        Ok(found)
    };
    let name = |path: &Path| format!("segments/{}", path.file_name().expect("a name").display());
    let history = written.collector.data().join("history");
    let (first, last) = (segments(&history)?.remove(0), segments(&history)?.pop().expect("one"));
    let heads = written.heads.to_str().expect("UTF-8");
    let (code, rows) = written.verify(&written.collector.data(), &["--heads", heads])?;
    let said = summary(&rows);
    assert_eq!((code, &said["index"]), (Some(0), &"compared".into()), "{rows:?}");
    assert!(said["checkpoints"].as_u64() > Some(0), "{said}");

    let check = |rows: &[Value], problem: &str, path: &Path| {
        let found = rows.iter().find(|row| row["file"] == *name(path)).expect("its finding");
        assert_eq!(found["problem"], problem, "{rows:?}");
        assert_eq!(found["class"], "log", "{rows:?}");
        assert!(found["commit"].is_u64() && found["time"].is_string(), "{rows:?}");
    };
    let flipped = written.tampered(&|history| {
        let file = &segments(history)?[0];
        let mut bytes = fs::read(file)?;
        let at = bytes.len() / 3;
        bytes[at] ^= 4;
        Ok(fs::write(file, bytes)?)
    })?;
    check(&flipped, "changed", &first);
    let cut = written.tampered(&|history| {
        let file = &segments(history)?[0];
        let bytes = fs::read(file)?;
        Ok(fs::write(file, &bytes[..bytes.len() / 2])?)
    })?;
    check(&cut, "cut", &first);
    let removed = written
        .tampered(&|history| Ok(fs::remove_file(segments(history)?.pop().expect("a segment"))?))?;
    check(&removed, "removed", &last);
    let swapped = written.tampered(&|history| {
        let found = segments(history)?;
        let (one, other) = (&found[0], &found[found.len() - 1]);
        let between = history.join("between");
        fs::rename(one, &between)?;
        fs::rename(other, one)?;
        Ok(fs::rename(between, other)?)
    })?;
    check(&swapped, "swapped", &first);
    check(&swapped, "swapped", &last);
    // Without the list, the segments that are there say what they are.
    let unlisted = written.tampered(&|history| Ok(fs::remove_file(history.join("manifest"))?))?;
    assert_eq!(
        (&unlisted[0]["problem"], &unlisted[0]["file"]),
        (&"removed".into(), &"manifest".into())
    );
    Ok(())
}

#[test]
fn a_history_written_anew_under_another_key_is_not_the_one_agents_saw() -> anyhow::Result<()> {
    let written = written()?;
    // The attacker owns the machine: other keys, other lines, as many, and everything in order.
    let log = written.site.path().join("logs/other.log");
    let sources =
        format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n");
    let mut forged = written.site.collector_named("forged", "")?;
    forged.start()?;
    let mut accomplice = forged.agent("accomplice", "his", &sources)?;
    for round in 0..4 {
        say(&log, 500 + round * 10, 510 + round * 10)?;
        wait_for(&forged, (round as usize + 1) * 10)?;
    }
    accomplice.stop()?;
    forged.stop()?;
    let (code, rows) = written.verify(&forged.data(), &[])?;
    assert_eq!(code, Some(0), "by itself it is in order: {rows:?}");
    let (code, rows) =
        written.verify(&forged.data(), &["--heads", written.heads.to_str().expect("UTF-8")])?;
    assert_eq!(code, Some(1), "{rows:?}");
    let has = |problem: &str, file: &str| {
        rows.iter().any(|row| {
            row["problem"] == problem
                && row["file"].as_str().is_some_and(|name| name.contains(file))
        })
    };
    assert!(has("signature", "manifest"), "{rows:?}");
    assert!(has("head", &written.agent) || has("cut", &written.agent), "{rows:?}");
    Ok(())
}

#[test]
fn mistakes_of_whoever_asks_are_no_findings() -> anyhow::Result<()> {
    let written = written()?;
    let data = written.collector.data();
    let (nothing, wrong) = (written.site.path().join("nothing"), written.site.path().join("wrong"));
    fs::write(&wrong, "{\"no\": \"heads\"}\n")?;
    let wrong = wrong.to_str().expect("UTF-8");
    let missing = nothing.to_str().expect("UTF-8");
    for (data, args) in [
        (&nothing, &[][..]),
        (&data, &["--key", missing]),
        (&data, &["--key", wrong]),
        (&data, &["--heads", missing]),
        (&data, &["--heads", wrong]),
        (&data, &["--since", "yesterday"]),
    ] {
        let output = written.output(data, args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(output.stdout.is_empty() && said.lines().count() == 1, "{args:?}: {said}");
    }
    Ok(())
}

#[test]
fn beside_a_running_collector_and_as_somebody_who_may_only_read() -> anyhow::Result<()> {
    let mut written = written()?;
    let heads = written.heads.to_str().expect("UTF-8").to_owned();
    written.collector.start()?;
    let (code, rows) = written.verify(&written.collector.data(), &["--heads", &heads])?;
    let said = summary(&rows);
    assert_eq!((code, &said["index"]), (Some(0), &"in use".into()), "{rows:?}");
    written.collector.stop()?;

    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return Ok(());
    }
    let copy = written.copy()?;
    open_to_readers(written.site.path())?;
    let before = state(&copy)?;
    let temporary = tempfile::tempdir()?;
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o777))?;
    let binary = temporary.path().join("verifier");
    fs::copy(binaries()?.join("hengwei-collector"), &binary)?;
    let room = temporary.path().join("room");
    fs::create_dir(&room)?;
    fs::set_permissions(&room, fs::Permissions::from_mode(0o777))?;
    let output = Command::new(&binary)
        .args(["verify", "--json", "--heads", &heads, "--data"])
        .arg(&copy)
        .env("TMPDIR", &room)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()?;
    let rows: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{rows:?} {said}");
    assert_eq!(summary(&rows)["index"], "compared", "{rows:?}");
    assert!(state(&copy)? == before, "verifying changed something");
    assert_eq!(fs::read_dir(&room)?.count(), 0, "a copy of the index was left behind");
    // What may not be read is told as that, and not as tampering.
    fs::set_permissions(copy.join("history/manifest"), fs::Permissions::from_mode(0o600))?;
    let output = Command::new(&binary)
        .args(["verify", "--data"])
        .arg(&copy)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    Ok(())
}

/// Lets everybody read everything below a folder but keys.
fn open_to_readers(folder: &Path) -> anyhow::Result<()> {
    let mode = if folder.is_dir() { 0o755 } else { 0o644 };
    if folder.file_name().is_some_and(|name| name == "pki") {
        return Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?);
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            open_to_readers(&entry?.path())?;
        }
    }
    Ok(())
}

/// Every file below a folder with its bytes and its time.
fn state(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let modified = fs::metadata(&path)?.modified()?;
                found.insert(path.clone(), (fs::read(&path)?, modified));
            }
        }
    }
    Ok(found)
}

//! A line on a host becomes an alert; what was committed survives kills and the loss of the index.

use std::fs;
use std::io::Write;
use std::path::Path;

use hengwei_tests::{Collector, PATIENCE, Site, wait};
use serde_json::Value;

fn sources(log: &Path) -> String {
    format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    )
}

fn failures(log: &Path, source: &str, times: u32) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for attempt in 0..times {
        writeln!(
            file,
            "Nov 20 08:00:{attempt:02} db sshd[77]: Failed password for root from {source} port 4{attempt:03} ssh2"
        )?;
    }
    Ok(())
}

fn alerts(collector: &Collector) -> anyhow::Result<Vec<Value>> {
    collector.rows(&["alerts", "list", "--all"])
}

fn alert_about(collector: &Collector, entity: &str, count: u64) -> anyhow::Result<Value> {
    wait("an alert", PATIENCE, || {
        Ok(alerts(collector)?
            .into_iter()
            .find(|alert| alert["entity"]["value"] == entity && alert["count"] == count))
    })
}

#[test]
fn failed_logins_become_one_alert_which_an_officer_closes() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    failures(&log, "203.0.113.5", 3)?;
    let collector = site.collector("")?;
    let agent = collector.agent("agent", "regional-emr", &sources(&log))?;

    failures(&log, "203.0.113.5", 4)?;
    let alert = alert_about(&collector, "203.0.113.5", 7)?;
    assert_eq!(alert["rule"]["title"], "SSH brute force");
    assert_eq!(alert["state"], "new");
    assert_eq!(alert["agent"], Value::String(agent.id.clone()));
    assert_eq!(alert["system"], "regional-emr");
    assert_eq!(alert["evidence"].as_array().map(Vec::len), Some(7));
    assert_eq!(alerts(&collector)?.len(), 1, "one alert for one source");

    let id = alert["id"].as_str().expect("an id");
    collector.must(&["alerts", "ack", id, "--reason", "looking"])?;
    failures(&log, "203.0.113.5", 1)?;
    let joined = alert_about(&collector, "203.0.113.5", 8)?;
    assert_eq!(joined["state"], "acknowledged");
    collector.must(&["alerts", "close", id, "--as", "true-positive", "--reason", "blocked"])?;
    assert!(
        !collector
            .command(&["alerts", "close", id, "--as", "true-positive", "--reason", ""])?
            .status
            .success()
    );

    failures(&log, "203.0.113.5", 5)?;
    wait("a new alert after the closed one", PATIENCE, || {
        Ok((alerts(&collector)?.len() == 2).then_some(()))
    })?;
    let changes = alert_state(&collector, id)?["changes"].as_array().map(Vec::len);
    assert_eq!(changes, Some(2));
    Ok(())
}

fn alert_state(collector: &Collector, id: &str) -> anyhow::Result<Value> {
    let all = alerts(collector)?;
    all.into_iter().find(|alert| alert["id"] == id).ok_or_else(|| anyhow::anyhow!("no alert {id}"))
}

/// Everything a page answers from small records, and what a search finds.
fn answers(collector: &Collector) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for args in [
        &["ledger"][..],
        &["ledger", "--gaps"],
        &["alerts", "list", "--all"],
        &["alerts", "list", "--all", "--review"],
        &["pki", "list"],
        &["user", "list"],
        &["token", "list"],
        &["search", "Failed", "--limit", "100000"],
    ] {
        all.extend(collector.rows(args)?);
    }
    // Of hosts, what does not move by itself.
    for mut row in collector.rows(&["hosts"])? {
        if let Some(members) = row.as_object_mut() {
            members.retain(|name, _| {
                !matches!(name.as_str(), "presence" | "last_seen" | "lag_seconds")
            });
        }
        let agent = row["agent"].as_str().unwrap_or_default().to_owned();
        let detail = collector.rows(&["hosts", &agent])?.remove(0);
        all.extend([
            row,
            detail["inventory"].clone(),
            detail["changes"].clone(),
            detail["certificates"].clone(),
        ]);
    }
    Ok(all)
}

#[test]
fn without_its_index_the_collector_answers_the_same() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let mut collector = site.collector("")?;
    let sources = format!("{}[sources.assets]\n", sources(&log));
    let mut agent = collector.agent("agent", "regional-emr", &sources)?;
    failures(&log, "203.0.113.5", 9)?;
    failures(&log, "203.0.113.6", 4)?;
    wait("the inventory", PATIENCE, || {
        let detail = collector.rows(&["hosts", &agent.id])?.remove(0);
        let shelves = detail["inventory"].as_array().cloned().unwrap_or_default();
        Ok(shelves.iter().any(|shelf| shelf["dataset"] == "asset.host").then_some(()))
    })?;
    alert_about(&collector, "203.0.113.5", 9)?;
    collector.must(&["user", "add", "officer", "--role", "secadmin"])?;
    wait("all lines", PATIENCE, || {
        Ok((collector.rows(&["search", "203.0.113.6"])?.len() == 4).then_some(()))
    })?;
    agent.stop()?;
    let before = answers(&collector)?;

    collector.stop()?;
    let index = collector.data().join("history/index");
    assert!(index.is_dir(), "{} is not where the index is", index.display());
    fs::remove_dir_all(&index)?;
    collector.start()?;
    assert_eq!(answers(&collector)?, before, "after the index was deleted");

    collector.kill();
    collector.start()?;
    assert_eq!(answers(&collector)?, before, "after a kill");

    // Correlation state came back too: the fifth failure of the other source fires.
    agent.start()?;
    failures(&log, "203.0.113.6", 1)?;
    alert_about(&collector, "203.0.113.6", 5)?;
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

#[test]
fn a_flipped_byte_of_history_is_named() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let mut collector = site.collector("")?;
    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    failures(&log, "203.0.113.5", 20)?;
    alert_about(&collector, "203.0.113.5", 20)?;
    collector.stop()?;
    assert!(collector.command(&["verify"])?.status.success());
    let folder = collector.data().join("history/log");
    let file = fs::read_dir(&folder)?.next().expect("a log file")?.path();
    let clean = fs::read(&file)?;
    for at in [clean.len() / 4, clean.len() / 2, clean.len() - 10] {
        let mut bytes = clean.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, bytes)?;
        let output = collector.command(&["verify"])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "byte {at}: {said}");
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(said.contains(name), "byte {at}: {said}");
    }
    fs::write(&file, clean)?;
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

#[test]
fn a_revoked_agent_is_gone_within_seconds_and_stays_out() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let collector = site.collector("")?;
    let agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    failures(&log, "203.0.113.5", 1)?;
    wait("the first line", PATIENCE, || {
        Ok((!collector.rows(&["search", "203.0.113.5"])?.is_empty()).then_some(()))
    })?;
    collector.must(&["pki", "revoke", &agent.id, "--reason", "stolen"])?;
    let begun = std::time::Instant::now();
    wait("the connection to end", PATIENCE, || {
        Ok(collector.metrics_text()?.contains("\nhengwei_connections 0\n").then_some(()))
    })?;
    // Five seconds on a machine that has time for it; left alone, the connection would last for hours.
    assert!(begun.elapsed().as_secs() < 30, "it took {:?}", begun.elapsed());
    failures(&log, "203.0.113.7", 1)?;
    wait("a refusal by name", PATIENCE, || Ok(collector.log().contains("revoked").then_some(())))?;
    assert!(collector.rows(&["search", "203.0.113.7"])?.is_empty());
    Ok(())
}

#[test]
fn mistakes_in_the_configuration_end_with_2_before_anything_starts() -> anyhow::Result<()> {
    let site = Site::new()?;
    let collector = site.collector_named("collector", "")?;
    let good = fs::read_to_string(collector.config())?;
    for (text, named) in [
        (format!("{good}\n[mertics]\n"), "mertics"),
        ("data = [".to_owned(), "line 1"),
        (format!("site = \"A B\"\n{good}"), "site"),
    ] {
        fs::write(collector.config(), text)?;
        for verb in ["check", "run"] {
            let output = collector.command(&[verb])?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{verb}: {said}");
            assert!(said.contains(named) && said.contains("collector.toml"), "{said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    fs::write(collector.config(), &good)?;
    assert!(collector.command(&["check"])?.status.success());

    let taken = std::net::TcpListener::bind(("127.0.0.1", collector.agents))?;
    let output = collector.command(&["run"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&collector.agents.to_string()), "{said}");
    drop(taken);

    let key = collector.data().join("pki/issuing.pem");
    fs::write(&key, "no key")?;
    let output = collector.command(&["run"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("issuing.pem"), "{said}");
    Ok(())
}

#[test]
fn hostile_files_harm_nobody() -> anyhow::Result<()> {
    let site = Site::new()?;
    let logs = site.path().join("logs");
    let collector = site.collector("")?;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        logs.join("pipe.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )?;
    fs::write(logs.join("long.log"), [vec![b'x'; 10 << 20], b"\n".to_vec()].concat())?;
    fs::write(logs.join("binary.log"), (0..=255u8).cycle().take(100_000).collect::<Vec<_>>())?;
    fs::write(logs.join("nul.log"), b"before\0after nulmark\n\xff\xfe broken utf8mark\n")?;
    fs::write(logs.join("gb.log"), b"\xb5\xc7\xc2\xbc\xca\xa7\xb0\xdc gbmark\n")?;
    let sources = format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [\"{0}/[!g]*.log\"]\nfrom = \"start\"\n\
         [[sources.files.path]]\nglob = [\"{0}/gb.log\"]\ncharset = \"gb18030\"\nfrom = \"start\"\n",
        logs.display()
    );
    let agent = collector.agent("agent", "regional-emr", &sources)?;
    for mark in ["nulmark", "utf8mark", "gbmark"] {
        wait(
            mark,
            PATIENCE,
            || Ok((!collector.rows(&["search", mark])?.is_empty()).then_some(())),
        )?;
    }
    let found = collector.rows(&["search", "登录失败"])?;
    assert_eq!(found.len(), 1, "GB18030 is decoded: {found:?}");
    let gap = wait("the gap of the long line", PATIENCE, || {
        let gaps = collector.rows(&["ledger", "--gaps"])?;
        Ok(gaps.into_iter().find(|gap| {
            gap["cause"] == "line-cut"
                && gap["path"].as_str().is_some_and(|path| path.ends_with("long.log"))
        }))
    })?;
    assert!(gap["bytes"].as_u64().is_some_and(|bytes| bytes > 9 << 20), "{gap}");
    let status = agent.command(&["status"])?;
    assert!(String::from_utf8_lossy(&status.stdout).contains("pipe.log"), "the pipe is reported");
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

//! A release of somebody else's rules: imported, tried on what happened, live, and rolled back.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use hengwei_tests::{Collector, PATIENCE, Site, wait};
use serde_json::Value;

fn rule(n: u32, level: &str, word: &str) -> String {
    format!(
        "title: Rule {n}\nid: 6f1d2f6e-0000-4000-8000-00000000000{n}\nlevel: {level}\nlogsource: {{product: linux}}\ndetection:\n  mark: [{word}]\n  condition: mark\n"
    )
}

/// A folder as a release is one.
fn release(site: &Site, name: &str, rules: &[(&str, String)]) -> anyhow::Result<PathBuf> {
    let folder = site.path().join(name);
    for (path, text) in rules {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        fs::write(path, text)?;
    }
    Ok(folder)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn write(log: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    Ok(writeln!(file, "Nov 20 09:00:00 db app[1]: {line}")?)
}

fn counts(collector: &Collector, title: &str) -> anyhow::Result<Vec<u64>> {
    let alerts = collector.rows(&["alerts", "list", "--all"])?;
    let own = alerts.iter().filter(|alert| alert["rule"]["title"] == title);
    Ok(own.filter_map(|alert| alert["count"].as_u64()).collect())
}

fn outcomes(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["outcome"].as_str()).collect()
}

#[test]
fn a_release_is_tried_goes_live_and_is_rolled_back() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let mut collector = site.collector("")?;
    let sources = format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    );
    let _agent = collector.agent("agent", "his", &sources)?;
    write(&log, "first-mark one")?;
    write(&log, "second-mark two")?;
    wait("the lines", PATIENCE, || {
        Ok((collector.rows(&["search", "mark"])?.len() == 2).then_some(()))
    })?;

    let one = release(
        &site,
        "one",
        &[
            ("rules/linux/a.yml", rule(1, "high", "first-mark")),
            ("rules/linux/b.yml", rule(2, "high", "nothing-like-it")),
            ("rules/linux/list.yml", rule(3, "high", "x").replace("[x]", "{a|expand: '%none%'}")),
            (
                "rules/linux/old.yml",
                rule(4, "high", "first-mark").replace("level", "status: deprecated\nlevel"),
            ),
            ("deprecated/older.yml", rule(5, "high", "first-mark")),
            ("regression_data/info.yml", "not: a rule\n".to_owned()),
        ],
    )?;
    let rows =
        collector.rows(&["rules", "import", text(&one), "--name", "site", "--version", "1"])?;
    assert_eq!(outcomes(&rows), ["refused", "off"], "{rows:?}");
    assert!(
        rows[0]["reason"].as_str().is_some_and(|reason| reason.contains("none")),
        "{}",
        rows[0]
    );
    assert_eq!(rows[2]["rules"], 2);
    let two = release(
        &site,
        "two",
        &[
            ("rules/linux/a.yml", rule(1, "critical", "first-mark")),
            ("rules/linux/c.yml", rule(6, "high", "second-mark")),
        ],
    )?;
    let rows =
        collector.rows(&["rules", "import", text(&two), "--name", "site", "--version", "2"])?;
    assert_eq!(outcomes(&rows), ["changed", "new", "removed"], "{rows:?}");

    // Nobody knows yet what it would alert on.
    let refused = collector.command(&["rules", "activate", "site", "1"])?;
    assert_eq!(refused.status.code(), Some(2));
    let tried = collector.rows(&["rules", "backtest", "--pack", "site@1", "--since", "1d"])?;
    let summary = tried.last().expect("a summary");
    assert_eq!(
        (&summary["alerts"], &summary["alerts_before"]),
        (&1.into(), &0.into()),
        "{summary}"
    );
    let row = tried.iter().find(|row| row["change"].is_string()).expect("a rule");
    assert_eq!((&row["title"], &row["change"]), (&"Rule 1".into(), &"new".into()), "{row}");
    assert!(row["examples"][0]["text"].as_str().is_some_and(|it| it.contains("first-mark one")));

    collector.must(&["rules", "activate", "site", "1"])?;
    write(&log, "first-mark three")?;
    wait("an alert of the pack", PATIENCE, || {
        Ok((counts(&collector, "Rule 1")? == [1]).then_some(()))
    })?;
    collector.rows(&["rules", "backtest", "--pack", "site", "--since", "1d"])?;
    collector.must(&["rules", "activate", "site"])?;
    write(&log, "second-mark four")?;
    wait("an alert of the next version", PATIENCE, || {
        Ok((counts(&collector, "Rule 6")? == [1]).then_some(()))
    })?;
    let live = |collector: &Collector| -> anyhow::Result<Vec<String>> {
        let packs = collector.rows(&["rules", "packs"])?;
        let live = packs.iter().filter(|row| row["live"] == true);
        Ok(live.map(|row| row["version"].as_str().unwrap_or_default().to_owned()).collect())
    };
    assert_eq!(live(&collector)?, ["2"]);

    collector.must(&["rules", "rollback", "site"])?;
    assert_eq!(live(&collector)?, ["1"]);
    write(&log, "second-mark five")?;
    write(&log, "first-mark six")?;
    wait("the former version", PATIENCE, || {
        Ok((counts(&collector, "Rule 1")? == [2]).then_some(()))
    })?;
    assert_eq!(counts(&collector, "Rule 6")?, [1], "its rule is gone");

    // A stopped collector does the same.
    collector.stop()?;
    let data = collector.data();
    let offline = |args: &[&str]| {
        let mut args = args.to_vec();
        args.extend(["--data", text(&data)]);
        collector.rows(&args)
    };
    let tried = offline(&["rules", "backtest", "--pack", "site@2", "--since", "1d"])?;
    let summary = tried.last().expect("a summary");
    assert_eq!(summary["events"].as_u64().map(|events| events >= 6), Some(true), "{summary}");
    let row = offline(&["rules", "activate", "site", "2"])?.remove(0);
    assert_eq!((&row["new"], &row["changed"], &row["gone"]), (&1.into(), &1.into(), &1.into()));
    collector.start()?;
    assert_eq!(live(&collector)?, ["2"]);
    write(&log, "second-mark seven")?;
    wait("the version of the stopped collector", PATIENCE, || {
        Ok((counts(&collector, "Rule 6")? == [2]).then_some(()))
    })?;
    collector.must(&["verify"])?;
    Ok(())
}

#[test]
fn a_hostile_archive_is_refused_by_name_and_nothing_of_it_is_kept() -> anyhow::Result<()> {
    let site = Site::new()?;
    let collector = site.collector("")?;
    let file = site.path().join("bad.zip");
    fs::write(&file, b"PK\x05\x06 nothing of a zip")?;
    for name in ["site", "../site", "Site"] {
        let refused = collector.command(&["rules", "import", text(&file), "--name", name])?;
        assert_eq!(refused.status.code(), Some(2), "{name}");
    }
    assert!(collector.rows(&["rules", "packs"])?.is_empty());
    assert!(!collector.data().join("rules/packs").exists());
    Ok(())
}

//! Rules replaced while events come in: what was half counted is counted on, what is wrong changes
//! nothing.

use std::fs;
use std::io::Write;
use std::path::Path;

use hengwei_tests::{Collector, PATIENCE, Site, signal, wait};
use serde_json::Value;

const RELOADS: usize = 6;

fn sources(log: &Path) -> String {
    format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    )
}

fn write(log: &Path, lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

fn failures(source: &str, times: usize) -> impl Iterator<Item = String> {
    (0..times).map(move |n| {
        format!("Nov 20 08:00:{n:02} db sshd[77]: Failed password for root from {source} port 4{n:03} ssh2")
    })
}

fn marked(n: usize) -> String {
    format!("Nov 20 09:00:00 db app[1]: mark-of-a-test {n}")
}

fn rule(level: &str) -> String {
    format!(
        "title: A mark\nid: 6f1d2f6e-0000-4000-8000-000000000001\nlevel: {level}\nlogsource: {{product: linux}}\ndetection:\n  mark: [mark-of-a-test]\n  condition: mark\nhengwei:\n  entity: host.name\n"
    )
}

fn alerts(collector: &Collector) -> anyhow::Result<Vec<Value>> {
    collector.rows(&["alerts", "list", "--all"])
}

fn about(collector: &Collector, title: &str) -> anyhow::Result<Vec<Value>> {
    Ok(alerts(collector)?.into_iter().filter(|alert| alert["rule"]["title"] == title).collect())
}

fn stored(collector: &Collector, word: &str, times: usize) -> anyhow::Result<()> {
    wait("the lines", PATIENCE, || {
        let found = collector.rows(&["search", word, "--limit", "100000"])?.len();
        Ok((found == times).then_some(()))
    })
}

#[test]
fn a_reload_in_the_middle_of_a_stream_misses_and_doubles_nothing() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let mut collector = site.collector("")?;
    let rules = collector.folder.join("rules/mark.yml");
    fs::write(&rules, rule("high"))?;
    let row = collector.rows(&["rules", "reload"])?.remove(0);
    assert_eq!((&row["new"], &row["gone"]), (&1.into(), &0.into()), "{row}");

    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    write(&log, failures("203.0.113.5", 3))?;
    stored(&collector, "203.0.113.5", 3)?;
    collector.must(&["rules", "reload"])?;
    assert_eq!(alerts(&collector)?.len(), 0, "three failures are no attack");

    // Lines come while rules change again and again.
    let mut written = 0;
    for turn in 0..RELOADS {
        write(&log, (0..200).map(|n| marked(written + n)))?;
        written += 200;
        fs::write(&rules, format!("{}# {turn}\n", rule("high")))?;
        let row = collector.rows(&["rules", "reload"])?.remove(0);
        assert_eq!((&row["new"], &row["changed"]), (&0.into(), &1.into()), "{row}");
    }
    stored(&collector, "mark-of-a-test", written)?;
    let marks = wait("every mark counted", PATIENCE, || {
        let marks = about(&collector, "A mark")?;
        Ok(marks.iter().any(|alert| alert["count"] == written).then_some(marks))
    })?;
    assert_eq!(marks.len(), 1, "{marks:?}");

    // The window was half full all the while.
    write(&log, failures("203.0.113.5", 2))?;
    wait("the attack", PATIENCE, || {
        let attacks = about(&collector, "SSH brute force")?;
        Ok((attacks.len() == 1 && attacks[0]["count"] == 5).then_some(()))
    })?;

    // What is wrong changes nothing, and says so.
    let folder = collector.folder.join("rules");
    let away = collector.folder.join("away");
    fs::rename(&folder, &away)?;
    let refused = collector.command(&["rules", "reload"])?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rules"), "names the folder");
    write(&log, [marked(written)])?;
    wait("the former rules", PATIENCE, || {
        Ok((about(&collector, "A mark")?[0]["count"] == written + 1).then_some(()))
    })?;
    fs::create_dir(&folder)?;
    fs::write(folder.join("broken.yml"), "title: [")?;
    assert_eq!(collector.command(&["rules", "reload"])?.status.code(), Some(2));
    fs::remove_dir_all(&folder)?;
    fs::rename(&away, &folder)?;

    // A signal does the same; a rule that is gone matches no more.
    fs::remove_file(&rules)?;
    signal(collector.pid().expect("it runs"), rustix::process::Signal::HUP)?;
    wait("the log to tell", PATIENCE, || {
        Ok(collector.log().contains("signal:SIGHUP").then_some(()))
    })?;
    write(&log, [marked(written + 1), "Nov 20 09:00:01 db app[1]: the end".to_owned()])?;
    stored(&collector, "mark-of-a-test", written + 2)?;
    assert_eq!(about(&collector, "A mark")?[0]["count"], written + 1);

    // A restart has the same in force.
    let before = collector.rows(&["status"])?.remove(0)["rules"]["digest"].clone();
    collector.stop()?;
    collector.start()?;
    assert_eq!(collector.rows(&["status"])?.remove(0)["rules"]["digest"], before);
    collector.stop()?;
    collector.must(&["verify"])?;
    Ok(())
}

#[test]
fn tuning_and_lists_are_the_sites_own() -> anyhow::Result<()> {
    let site = Site::new()?;
    let collector = site.collector_named("collector", "")?;
    let folder = |name: &str| collector.folder.join(name);
    for name in ["tuning", "lists"] {
        fs::create_dir(folder(name))?;
    }
    let rules = folder("rules");
    fs::write(rules.join("mark.yml"), rule("high"))?;
    fs::write(
        rules.join("list.yml"),
        "title: A list\nid: 6f1d2f6e-0000-4000-8000-000000000002\nlevel: high\nlogsource: {product: linux}\ndetection:\n  s:\n    user.name|expand: '%watched%'\n  condition: s\n",
    )?;
    let extra = format!(
        "\n[rules]\ndirs = [{rules:?}]\ntuning = {:?}\nlists = {:?}\n",
        folder("tuning"),
        folder("lists")
    );
    collector.configure(&extra)?;
    let said = collector.command(&["check"])?;
    assert!(said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("watched"), "the list is missing");
    fs::write(folder("lists").join("watched.txt"), "# accounts\nroot\n")?;
    fs::write(
        folder("tuning").join("overrides.yml"),
        "- {rule: 6f1d2f6e-0000-4000-8000-000000000001, level: medium, reason: seen daily}\n- {rule: nobody, enabled: false, reason: gone}\n- {rule: x, enabled: false}\n",
    )?;
    fs::write(
        folder("tuning").join("scanner.yml"),
        "title: Our scanner\nid: 6f1d2f6e-0000-4000-8000-000000000003\nlogsource: {product: linux}\nfilter:\n  rules: [6f1d2f6e-0000-4000-8000-000000000001]\n  scanner: [from-our-scanner]\n  condition: not scanner\n",
    )?;
    fs::write(folder("tuning").join("broken.yml"), "a: [")?;
    let said = collector.command(&["check"])?;
    assert!(said.status.success(), "a wrong filter stops nothing");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    for expected in ["nobody: overrides no rule", "x: it needs a reason", "broken.yml"] {
        assert!(said.contains(expected), "{said} lacks {expected}");
    }
    assert!(!said.contains("watched") && !said.contains("scanner.yml"), "{said}");

    let mut collector = collector;
    collector.start()?;
    let log = site.path().join("logs/auth.log");
    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    write(
        &log,
        [marked(1), "Nov 20 09:00:00 db app[1]: mark-of-a-test from-our-scanner".to_owned()],
    )?;
    stored(&collector, "mark-of-a-test", 2)?;
    let review = wait("the mark", PATIENCE, || {
        let review = collector.rows(&["alerts", "list", "--review"])?;
        Ok(review.into_iter().find(|alert| alert["rule"]["title"] == "A mark"))
    })?;
    assert_eq!((&review["rule"]["level"], &review["count"]), (&"medium".into(), &1.into()));
    Ok(())
}

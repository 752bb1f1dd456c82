//! How long history is kept, as an operator meets it: what `check` refuses, what is written down, and
//! what `status` and the metrics tell of each class and site. That what is due goes is tested beside
//! the code, where time is passed in.

use std::fs;
use std::io::Write;

use hengwei_tests::{PATIENCE, Site, wait};

const SHORT: &str = "\n[history]\nallow_short_retention = true\n[history.security]\ndays = 30\n";

#[test]
fn a_shorter_retention_is_asked_for_recorded_and_shown() -> anyhow::Result<()> {
    let site = Site::new()?;
    let mut collector = site.collector_named("collector", "")?;
    collector.configure("\n[history.security]\ndays = 30\n")?;
    let refused = collector.command(&["check"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("allow_short_retention"), "{said}");
    collector.configure(SHORT)?;
    collector.must(&["check"])?;
    collector.start()?;

    let log = site.path().join("logs/app.log");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
    writeln!(file, "kept line")?;
    let sources =
        format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n");
    let _agent = collector.agent("agent", "his", &sources)?;
    let status = wait("the line's site in the status", PATIENCE, || {
        let status = collector.rows(&["status"])?.remove(0);
        let sites = status["oldest"].as_array().cloned().unwrap_or_default();
        let has = sites.iter().any(|row| row["class"] == "log" && row["oldest"].is_string());
        Ok(has.then_some(status))
    })?;
    assert_eq!(status["history"]["short_retention"][0], "security 30 days");
    let days = |class: &str| {
        let classes = status["classes"].as_array().into_iter().flatten();
        classes.clone().find(|row| row["class"] == class).and_then(|row| row["days"].as_u64())
    };
    assert_eq!(
        (days("security"), days("log"), days("performance")),
        (Some(30), Some(180), Some(30))
    );
    let metrics = collector.metrics_text()?;
    assert!(metrics.contains("hengwei_history_left_seconds{limit=\"disk\"} "), "{metrics}");

    collector.stop()?;
    collector.must(&["verify"])?;
    let log =
        fs::read(collector.data().join("history/log").read_dir()?.next().expect("a file")?.path())?;
    let needle = b"retention.shortened";
    let told = log.windows(needle.len()).filter(|bytes| bytes == needle).count();
    assert_eq!(told, 1, "once, when it took effect");
    Ok(())
}

//! Debian's Prometheus scrapes a live collector, and every query of every panel answers.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use hengwei_tests::{PATIENCE, Site, free_ports, http_get, repository, wait};
use serde_json::Value;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the partner is here; in CI it must be.
fn have(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is missing: make deps-test installs it"
    );
    if !found {
        eprintln!("skipped: no {program} here (make deps-test installs it)");
    }
    found
}

fn promtool(args: &[&str], input: Option<&str>) -> anyhow::Result<()> {
    use std::io::Write;
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    stdin.write_all(input.unwrap_or_default().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    anyhow::ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(())
}

#[test]
fn the_alerting_rules_are_good() -> anyhow::Result<()> {
    if have("promtool") {
        let folder = repository().join("packaging/prometheus");
        promtool(
            &["check", "rules", &folder.join("hengwei.rules.yml").display().to_string()],
            None,
        )?;
        promtool(&["check", "config", &folder.join("prometheus.yml").display().to_string()], None)?;
    }
    Ok(())
}

#[test]
fn every_panel_of_the_dashboards_has_data() -> anyhow::Result<()> {
    if !have("prometheus") || !have("promtool") {
        return Ok(());
    }
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let lines: String = (0..6).map(|n| format!("Nov 20 08:00:0{n} db sshd[7]: Failed password for root from 203.0.113.5 port 4{n} ssh2\n")).collect();
    fs::write(&log, &lines)?;
    let collector = site.collector("")?;
    let _agent = collector.agent(
        "agent",
        "health-card",
        &format!("\n[sources.performance]\ninterval_secs = 1\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"),
    )?;
    wait("the alert", PATIENCE, || {
        Ok((!collector.rows(&["alerts", "list"])?.is_empty()).then_some(()))
    })?;
    wait("performance of the host", PATIENCE, || {
        Ok(collector.metrics_text()?.contains("hengwei_host_cpu_ratio{").then_some(()))
    })?;
    promtool(&["check", "metrics"], Some(&collector.metrics_text()?))?;

    let [port] = free_ports::<1>()?;
    let config = site.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: hengwei\n    static_configs:\n      - targets: [\"127.0.0.1:{}\"]\n",
            collector.metrics
        ),
    )?;
    let output = fs::File::create(site.path().join("prometheus.log"))?;
    let _server = Server(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", site.path().join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?,
    );
    wait("two scrapes", PATIENCE, || {
        let answer = http_get(
            port,
            "/api/v1/query?query=count_over_time(hengwei_commits_total%5B1m%5D)%3E2",
        )
        .unwrap_or_default();
        Ok(answer.contains("\"metric\":{").then_some(()))
    })?;

    let mut asked = 0;
    for name in ["fleet", "security"] {
        let text = fs::read_to_string(repository().join(format!("packaging/grafana/{name}.json")))?;
        let dashboard: Value = serde_json::from_str(&text)?;
        for panel in dashboard["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().context("targets")? {
                let expression = target["expr"].as_str().context("expr")?;
                let query = expression.replace("$site", ".*").replace("$system", ".*");
                let path = format!("/api/v1/query?query={}", percent(&query));
                let title = &panel["title"];
                wait(&format!("data of {title}: {query}"), PATIENCE, || {
                    let answer: Value = serde_json::from_str(&http_get(port, &path)?)?;
                    Ok(answer["data"]["result"]
                        .as_array()
                        .is_some_and(|rows| !rows.is_empty())
                        .then_some(()))
                })?;
                asked += 1;
            }
        }
    }
    println!("{asked} queries of two dashboards, each with data");
    Ok(())
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

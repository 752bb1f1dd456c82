//! Which rules can fire: asked of a running collector, of a stopped one, of raw logs, and of what the
//! decoders know.

use std::fs;
use std::process::Command;

use hengwei_tests::{PATIENCE, Site, wait};
use serde_json::Value;

const RULES: &str = "\
title: Root logs in
id: 6f1d2f6e-0000-4000-8000-0000000000c1
level: high
logsource: {product: linux, service: sshd}
detection:
  s: {User: root, src_ip|startswith: '192.0.2.'}
  condition: s
---
title: A parent nobody tells
id: 6f1d2f6e-0000-4000-8000-0000000000c2
level: high
logsource: {product: linux, service: sshd}
detection:
  s: {User: root, ParentImage: /usr/bin/x}
  condition: s
---
title: A request
id: 6f1d2f6e-0000-4000-8000-0000000000c3
level: high
logsource: {category: webserver}
detection:
  s: {cs-uri-query|contains: passwd}
  condition: s
";

const LINE: &str =
    "Nov 20 09:00:00 db sshd[7]: Accepted password for root from 192.0.2.7 port 22 ssh2";

fn verdicts(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["verdict"].as_str()).collect()
}

#[test]
fn rules_are_judged_by_what_arrives() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let rules = site.path().join("some-rules");
    fs::create_dir_all(&rules)?;
    fs::write(rules.join("rules.yml"), RULES)?;
    let rules = rules.to_str().expect("text");

    let mut collector = site.collector("")?;
    let nothing = collector.rows(&["rules", "coverage", "--rules", rules])?;
    assert_eq!(verdicts(&nothing), ["no source"; 3], "{nothing:?}");

    let sources = format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    );
    let _agent = collector.agent("agent", "db", &sources)?;
    fs::write(&log, format!("{LINE}\n"))?;
    let expected = ["fires", "lacks", "no source"];
    let rows = wait("the line", PATIENCE, || {
        let rows = collector.rows(&["rules", "coverage", "--rules", rules])?;
        Ok((verdicts(&rows) == expected).then_some(rows))
    })?;
    assert_eq!(rows[1]["lacks"], serde_json::json!(["ParentImage"]));
    assert_eq!(rows[0]["datasets"], serde_json::json!(["sshd"]));
    let sshd = rows.iter().find(|row| row["dataset"] == "sshd").expect("it arrives");
    assert_eq!((&sshd["events"], &sshd["rules"]), (&1.into(), &1.into()), "{sshd}");
    let total = rows.last().expect("a total");
    assert_eq!(
        (&total["total"], &total["rules"], &total["fires"]),
        (&"rules".into(), &3.into(), &1.into())
    );

    collector.stop()?;
    let data = collector.data();
    let data = data.to_str().expect("text");
    let rows = collector.rows(&["rules", "coverage", "--rules", rules, "--data", data])?;
    assert_eq!(verdicts(&rows), expected, "of a stopped one");
    Ok(())
}

#[test]
fn rules_are_judged_by_raw_logs_and_by_what_is_known() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (rules, log) = (dir.path().join("rules.yml"), dir.path().join("auth.log"));
    fs::write(&rules, RULES)?;
    fs::write(&log, format!("{LINE}\n"))?;
    let run = |more: &[&str]| -> anyhow::Result<(Option<i32>, String)> {
        let mut command = Command::new(hengwei_tests::binaries()?.join("hengwei-collector"));
        command.args(["rules", "coverage", "--rules"]).arg(&rules).args(more);
        let output = command.output()?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?))
    };
    let rows = |text: &str| -> anyhow::Result<Vec<Value>> {
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    let log = log.to_str().expect("text");
    let (code, text) = run(&["--json", "--logs", log])?;
    assert_eq!((code, verdicts(&rows(&text)?)), (Some(0), vec!["fires", "lacks", "no source"]));
    let (code, text) = run(&["--json", "--known"])?;
    assert_eq!((code, verdicts(&rows(&text)?)), (Some(0), vec!["fires", "lacks", "fires"]));
    let (code, text) = run(&["--known", "--each"])?;
    assert_eq!(code, Some(0));
    for expected in ["Root logs in", "-/linux/sshd", "ParentImage", "no_source: 0"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    for wrong in [&["--known", "--logs", log][..], &["--logs", "/nonexistent/x"]] {
        assert_eq!(run(wrong)?.0, Some(2), "{wrong:?}");
    }
    Ok(())
}

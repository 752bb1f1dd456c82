//! Certificates change under running agents: renewed, led to another root, of a collector that was
//! issued anew, enrolled again. Lines go on meanwhile, each of them once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hengwei_protocol::ALPN_AGENT;
use hengwei_protocol::wire::{Hello, frame::Body};
use hengwei_tests::tls::{Authority, Client, Credential};
use hengwei_tests::{Agent, Collector, PATIENCE, Site, wait, write_secret};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);

fn sources(log: &Path) -> String {
    format!("\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nfrom = \"start\"\n")
}

fn say(log: &Path, numbers: Range<u64>) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for number in numbers {
        writeln!(file, "numbered n={number} of a line")?;
    }
    Ok(())
}

/// How often history holds each number.
fn held(collector: &Collector) -> anyhow::Result<BTreeMap<u64, u32>> {
    let mut held = BTreeMap::new();
    for row in collector.rows(&["search", "numbered", "--limit", "100000"])? {
        let line = row["event.original"].as_str().unwrap_or_default();
        let number = line.split("n=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        *held.entry(number.expect("a numbered line")).or_default() += 1;
    }
    Ok(held)
}

/// Waits for that number, and wants every one below it to be held once.
fn all_once(collector: &Collector, last: u64) -> anyhow::Result<()> {
    wait(&format!("line {last}"), PATIENCE, || {
        Ok(held(collector)?.contains_key(&last).then_some(()))
    })?;
    let expected: BTreeMap<u64, u32> = (0..=last).map(|number| (number, 1)).collect();
    assert_eq!(held(collector)?, expected);
    Ok(())
}

fn identity_of(agent: &Agent) -> anyhow::Result<Vec<u8>> {
    Ok(Credential::read(&agent.data().join("identity.pem"))?.certificate().to_vec())
}

fn roots_of(agent: &Agent) -> anyhow::Result<usize> {
    let text = fs::read_to_string(agent.data().join("roots.pem"))?;
    Ok(text.matches("BEGIN CERTIFICATE").count())
}

fn certificates(collector: &Collector, agent: &Agent) -> anyhow::Result<Vec<Value>> {
    let listed = collector.rows(&["pki", "list"])?;
    let own = listed
        .into_iter()
        .find(|row| row["agent"]["id"] == *agent.id)
        .expect("the agent is listed");
    Ok(own["certificates"].as_array().cloned().unwrap_or_default())
}

/// The serial number of the server's certificate.
fn server_serial(collector: &Collector) -> anyhow::Result<Value> {
    let own = collector.rows(&["pki", "own"])?;
    let server = own.into_iter().find(|row| row["role"] == "server");
    Ok(server.expect("a server certificate")["serial"].clone())
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// `pki import` of a CA below `root`; with `root` trusted first.
fn import(
    collector: &Collector,
    folder: &Path,
    root: &Authority,
    ca: &Authority,
) -> anyhow::Result<()> {
    let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
        let path = folder.join(name);
        write_secret(&path, text)?;
        Ok(path)
    };
    let root = file("next-root.pem", root.certificate_pem())?;
    let chain = file("next-chain.pem", ca.certificate_pem())?;
    let key = file("next-key.pem", &ca.key_pem())?;
    let mut args = vec!["pki", "import", "--name", "localhost", "--name", "127.0.0.1"];
    args.extend(["--chain", path_text(&chain), "--key", path_text(&key)]);
    args.extend(["--root", path_text(&root)]);
    collector.must(&args).map(drop)
}

fn trust(collector: &Collector, folder: &Path, root: &Authority) -> anyhow::Result<()> {
    let path = folder.join("trusted-root.pem");
    write_secret(&path, root.certificate_pem())?;
    collector.must(&["pki", "trust", path_text(&path)]).map(drop)
}

#[test]
fn renewing_while_lines_flow_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let mut collector = site.collector_named("collector", "")?;
    // No certificate outlives its CA, and each begins an hour ago: below a CA that ends in twenty
    // minutes two thirds of a certificate's life are over as soon as it is issued.
    let root = Authority::root("site root")?;
    let ca = root.below("a CA near its end", SystemTime::now() + 20 * MINUTE)?;
    trust(&collector, site.path(), &root)?;
    import(&collector, site.path(), &root, &ca)?;
    collector.start()?;
    let mut agent = collector.agent_stopped("agent", "his", &sources(&log))?;
    let enrolled = identity_of(&agent)?;

    let runs: u64 = 4;
    for run in 0..runs {
        agent.start()?;
        let before = run * 1000;
        for chunk in 0..100 {
            say(&log, before + chunk * 10..before + chunk * 10 + 10)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        let renewed = |log: &str| log.matches("certificate renewed").count() as u64;
        wait("the renewal", PATIENCE, || Ok((renewed(&collector.log()) > run).then_some(())))?;
        // Sometimes it is cut off, and sometimes it may finish.
        if run % 2 == 0 {
            agent.kill();
        } else {
            all_once(&collector, before + 999)?;
            agent.stop()?;
        }
        assert_eq!(renewed(&collector.log()), run + 1, "renewed once in each run, not in a loop");
    }
    assert_ne!(identity_of(&agent)?, enrolled);
    all_once(&collector, runs * 1000 - 1)?;
    // The one in use and the one before it are good; those before that are not.
    let known = certificates(&collector, &agent)?;
    let good: Vec<bool> = known.iter().map(|one| one["revoked"].is_null()).collect();
    assert_eq!(good, [false, false, false, true, true]);
    let gaps = collector.rows(&["ledger", "--gaps"])?;
    assert!(gaps.is_empty(), "{gaps:?}");
    assert!(collector.command(&["verify"])?.status.success());
    Ok(())
}

#[test]
fn a_second_root_reaches_agents_and_can_take_over() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let mut collector = site.collector("")?;
    let agent = collector.agent("agent", "his", &sources(&log))?;
    say(&log, 0..10)?;
    all_once(&collector, 9)?;
    assert_eq!(roots_of(&agent)?, 1);

    let root = Authority::root("the next root")?;
    let ca = root.below("the next CA", SystemTime::now() + 600 * MINUTE)?;
    let refused = import(&collector, site.path(), &root, &ca).expect_err("nobody trusts it yet");
    assert!(refused.to_string().contains("pki trust"), "{refused}");
    trust(&collector, site.path(), &root)?;
    wait("the second root at the agent", PATIENCE, || Ok((roots_of(&agent)? == 2).then_some(())))?;
    say(&log, 10..20)?;
    all_once(&collector, 19)?;

    let before = server_serial(&collector)?;
    import(&collector, site.path(), &root, &ca)?;
    assert_ne!(server_serial(&collector)?, before);
    collector.stop()?;
    collector.start()?;
    say(&log, 20..30)?;
    all_once(&collector, 29)?;

    // Whoever comes now trusts the new root by its token.
    let other_log = site.path().join("logs/other.log");
    let _other = collector.agent("other", "his", &sources(&other_log))?;
    say(&other_log, 30..40)?;
    all_once(&collector, 39)
}

#[test]
fn a_collector_issued_anew_from_the_sealed_root_keeps_its_agents() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let mut collector = site.collector("")?;
    let agent = collector.agent("agent", "his", &sources(&log))?;
    say(&log, 0..10)?;
    all_once(&collector, 9)?;
    let (serial, roots) = (server_serial(&collector)?, fs::read(agent.data().join("roots.pem"))?);
    let (identity, sealed) = (identity_of(&agent)?, collector.data().join("root.sealed"));

    let wrong = collector.folder.join("wrong");
    write_secret(&wrong, "another passphrase than that\n")?;
    let reissue = |passphrase: &Path| {
        let mut args = vec!["pki", "reissue", "--name", "localhost", "--name", "127.0.0.1"];
        args.extend(["--passphrase-file", path_text(passphrase), "--root", path_text(&sealed)]);
        collector.command(&args)
    };
    assert_eq!(reissue(&wrong)?.status.code(), Some(2));
    assert_eq!(server_serial(&collector)?, serial, "a wrong passphrase changes nothing");
    assert!(reissue(&collector.folder.join("passphrase"))?.status.success());
    assert_ne!(server_serial(&collector)?, serial);
    say(&log, 10..20)?;
    all_once(&collector, 19)?;

    collector.kill();
    collector.start()?;
    say(&log, 20..30)?;
    all_once(&collector, 29)?;
    assert_eq!(fs::read(agent.data().join("roots.pem"))?, roots, "the agent was not touched");
    assert_eq!(identity_of(&agent)?, identity, "and keeps its certificate");
    let newcomer = collector.agent_stopped("newcomer", "his", "")?;
    assert_eq!(certificates(&collector, &newcomer)?.len(), 1, "the new CA enrols");
    Ok(())
}

#[test]
fn enrolling_again_revokes_the_old_certificate() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/app.log");
    let collector = site.collector("")?;
    let mut agent = collector.agent("agent", "his", &sources(&log))?;
    say(&log, 0..10)?;
    all_once(&collector, 9)?;
    let old = Credential::read(&agent.data().join("identity.pem"))?;

    // The host is installed anew: another folder, the same id.
    let again = agent.twin(&site.path().join("reinstalled"))?;
    let new_log = site.path().join("logs/new.log");
    again.configure(&[collector.agents], &sources(&new_log))?;
    let token = collector.must(&["pki", "token", "--agent", &agent.id, "--ttl", "1h"])?;
    let token_file = again.folder.join("token");
    write_secret(&token_file, token.trim())?;
    let address = format!("127.0.0.1:{}", collector.agents);
    let args = ["enroll", "--collector", &address, "--token-file", path_text(&token_file)];
    let output = again.command(&args)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout)?.trim(), agent.id, "its own name again");

    // The old certificate is gone at once, and whoever still uses it.
    wait("the old connection to end", PATIENCE, || {
        Ok(agent.log().contains("refused: revoked").then_some(()))
    })?;
    let mut client = Client::connect(&collector, collector.agents, &[ALPN_AGENT], Some(&old))?;
    client.say(Body::Hello(Hello::default()))?;
    match client.hear()? {
        Some(Body::Refusal(refusal)) => assert_eq!(refusal.reason, "revoked"),
        other => panic!("no refusal but {other:?}"),
    }
    agent.kill();

    let mut again = again;
    again.start()?;
    say(&new_log, 10..20)?;
    all_once(&collector, 19)?;
    let known = certificates(&collector, &again)?;
    let revoked = known.iter().filter(|certificate| !certificate["revoked"].is_null()).count();
    assert_eq!((known.len(), revoked), (2, 1), "{known:?}");
    let queues = collector.rows(&["ledger"])?;
    let epochs = queues.iter().filter(|row| row["agent"] == *again.id && row["kind"] == "log");
    assert_eq!(epochs.count(), 2, "a new epoch: {queues:?}");
    // That was meant, so it is no sign of anything.
    let findings = collector.rows(&["alerts", "list", "--all", "--review"])?;
    assert!(findings.is_empty(), "{findings:?}");
    Ok(())
}

//! Console and API of a running collector, over HTTPS: what nobody sees who has not signed in, the
//! way of an officer from the link to the alert, programs that read, listen and are told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use hengwei_tests::https::{self, Event, Events};
use hengwei_tests::{Collector, PATIENCE, Site, wait, write_secret};
use serde_json::Value;

const PASSWORD: &str = "correct horse battery staple";

fn sources(log: &Path) -> String {
    format!(
        "\n[sources.files]\n[[sources.files.path]]\nglob = [{log:?}]\nkind = \"security\"\nfrom = \"start\"\n"
    )
}

/// Five failed logins, which are an alert.
fn attack(log: &Path, source: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    for attempt in 0..5 {
        writeln!(
            file,
            "Nov 20 08:00:{attempt:02} db sshd[77]: Failed password for root from {source} port 4{attempt:03} ssh2"
        )?;
    }
    Ok(())
}

/// The alert about that source, once it has all five.
fn raised(collector: &Collector, source: &str) -> anyhow::Result<Value> {
    wait("the alert", PATIENCE, || {
        let alerts = collector.rows(&["alerts", "list", "--all"])?;
        Ok(alerts
            .into_iter()
            .find(|alert| alert["entity"]["value"] == source && alert["count"] == 5))
    })
}

/// Adds an account; the path of its link.
fn invite(collector: &Collector, name: &str, role: &str) -> anyhow::Result<String> {
    let rows = collector.rows(&["user", "add", name, "--role", role])?;
    let link = rows[0]["link"].as_str().expect("a link").to_owned();
    Ok(link[link.find("/invite/").expect("an invitation")..].to_owned())
}

/// Sets the account's password and signs in: the cookie.
fn sign_in(collector: &Collector, name: &str, role: &str) -> anyhow::Result<String> {
    let link = invite(collector, name, role)?;
    let accepted =
        https::post(collector, &link, &[], &[("password", PASSWORD), ("again", PASSWORD)])?;
    assert_eq!((accepted.status, accepted.header("location")), (303, "/sign-in"));
    let form = [("name", name), ("password", PASSWORD)];
    let signed = https::post(collector, "/sign-in", &[], &form)?;
    assert_eq!(signed.status, 303, "{}", signed.body);
    let cookie = signed.header("set-cookie");
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    Ok(cookie.split(';').next().expect("a cookie").to_owned())
}

fn token(collector: &Collector, user: &str, name: &str, scope: &str) -> anyhow::Result<String> {
    let rows = collector.rows(&["token", "add", user, name, "--scope", scope])?;
    Ok(format!("Bearer {}", rows[0]["token"].as_str().expect("a token")))
}

/// A root with an account and a package to show.
fn host_root(folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join("root");
    for (path, text) in [
        (
            "etc/os-release",
            "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
        ),
        ("etc/hostname", "his-db-01\n"),
        ("var/log/auth.log", ""),
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nnurse:x:1000:1000::/home/nurse:/bin/bash\n",
        ),
        ("etc/group", "root:x:0:\nnurse:x:1000:\n"),
        (
            "var/lib/dpkg/status",
            "Package: postgresql-15\nStatus: install ok installed\nArchitecture: amd64\nVersion: 15.8-0\n\n",
        ),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        fs::write(path, text)?;
    }
    Ok(root)
}

#[test]
fn nothing_is_readable_without_signing_in_but_healthz() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let collector = site.collector("")?;
    let agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    attack(&log, "203.0.113.5")?;
    let alert = raised(&collector, "203.0.113.5")?;
    let id = alert["id"].as_str().expect("an id");

    let health = https::get(&collector, "/healthz", &[])?;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let strangers: [&[(&str, &str)]; 3] = [
        &[],
        &[("Cookie", "__Host-hengwei=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
        &[("Authorization", "Bearer hwt.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
    ];
    let (alert_page, host_page) = (format!("/alerts/{id}"), format!("/hosts/{}", agent.id));
    let pages = [
        "/",
        "/alerts",
        &alert_page,
        "/hosts",
        &host_page,
        "/systems",
        "/ledger",
        "/status",
        "/search?q=Failed",
    ];
    for headers in strangers {
        for page in pages {
            let answer = https::get(&collector, page, headers)?;
            assert_eq!(answer.status, 303, "{page} {headers:?}");
            assert!(answer.header("location").starts_with("/sign-in"), "{page}");
            assert_eq!(answer.body, "", "{page}");
        }
        for path in [
            "alerts",
            "alerts.atom",
            "alerts/stream",
            &format!("alerts/{id}"),
            "hosts",
            &format!("hosts/{}", agent.id),
            "coverage",
            "ledger",
            "status",
            "search?q=Failed",
        ] {
            let answer = https::get(&collector, &format!("/api/v1/{path}"), headers)?;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            let said = answer.json()?;
            assert!(said["error"].is_string() && said["remedy"].is_string(), "{said}");
            assert!(!answer.body.contains("203.0.113.5"), "{path}");
        }
    }
    // Nor can anything be changed, or learnt from what is open.
    for (path, expected) in
        [(format!("/alerts/{id}/ack"), 303), (format!("/api/v1/alerts/{id}/ack"), 401)]
    {
        let answer = https::post(&collector, &path, &[], &[("reason", "mine")])?;
        assert_eq!(answer.status, expected, "{path}");
    }
    assert_eq!(raised(&collector, "203.0.113.5")?["state"], "new");
    for open in ["/sign-in", "/invite/guessed", "/nowhere"] {
        let answer = https::get(&collector, open, &[])?;
        let told = answer.body.contains("203.0.113.5") || answer.body.contains(&agent.id);
        assert!(!told, "{open}: {}", answer.body);
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{open}");
    }
    // Without TLS there is nothing at all.
    let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, collector.console))?;
    plain.set_read_timeout(Some(PATIENCE))?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut said = Vec::new();
    // It may be reset as well as closed.
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("ok"), "{said:?}");
    Ok(())
}

#[test]
fn an_officer_comes_by_a_link_and_finds_hosts_and_alerts() -> anyhow::Result<()> {
    let site = Site::new()?;
    let collector = site.collector("")?;
    let root = host_root(site.path())?;
    let log = root.join("var/log/auth.log");
    let logs = sources(Path::new("/var/log/auth.log"));
    let all = format!("root = {root:?}\n[sources.assets]\n{logs}");
    let agent = collector.agent("agent", "regional-emr", &all)?;

    let link = invite(&collector, "officer", "secadmin")?;
    let page = https::get(&collector, &link, &[])?;
    assert!(page.status == 200 && page.body.contains("officer"), "{}", page.body);
    let weak =
        https::post(&collector, &link, &[], &[("password", "officer1"), ("again", "officer1")])?;
    assert_eq!(weak.status, 422, "a weak password leaves the link as it is");
    let chosen = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(https::post(&collector, &link, &[], &chosen)?.status, 303);
    assert_eq!(https::post(&collector, &link, &[], &chosen)?.status, 410, "a link works once");
    assert_eq!(https::get(&collector, &link, &[])?.status, 410);

    let wrong = [("name", "officer"), ("password", "correct horse battery stable")];
    assert_eq!(https::post(&collector, "/sign-in", &[], &wrong)?.status, 401);
    let right = [("name", "officer"), ("password", PASSWORD)];
    let signed = https::post(&collector, "/sign-in", &[], &right)?;
    assert_eq!((signed.status, signed.header("location")), (303, "/"));
    let cookie = signed.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let me = [("Cookie", cookie.as_str())];

    let hosts = https::get(&collector, "/hosts", &me)?;
    assert_eq!(hosts.status, 200);
    for shown in [agent.id.as_str(), "demo-hospital", "regional-emr"] {
        assert!(hosts.body.contains(shown), "{shown}: {}", hosts.body);
    }
    let path = format!("/hosts/{}", agent.id);
    let host = wait("the inventory", PATIENCE, || {
        let page = https::get(&collector, &path, &me)?;
        Ok(page.body.contains("postgresql-15").then_some(page))
    })?;
    assert!(host.body.contains("15.8-0") && host.body.contains("nurse"), "{}", host.body);
    let none = https::get(&collector, "/alerts", &me)?;
    assert!(!none.body.contains("brute force"), "no alert yet: {}", none.body);

    attack(&log, "203.0.113.5")?;
    let alert = raised(&collector, "203.0.113.5")?;
    let alerts = https::get(&collector, "/alerts", &me)?;
    assert!(alerts.body.contains("203.0.113.5"), "{}", alerts.body);
    let id = alert["id"].as_str().expect("an id");
    let page = https::get(&collector, &format!("/alerts/{id}"), &me)?;
    assert!(page.body.contains("Failed password for root"), "the evidence: {}", page.body);

    // A change needs the form's own token; with it, it is the officer's in history.
    let ack = format!("/alerts/{id}/ack");
    let forged = https::post(&collector, &ack, &me, &[("reason", "looking")])?;
    assert_eq!(forged.status, 403);
    let csrf = page.body.split("name=\"csrf\" value=\"").nth(1).expect("a form");
    let csrf = csrf.split('"').next().expect("a token");
    let done = https::post(&collector, &ack, &me, &[("reason", "looking"), ("csrf", csrf)])?;
    assert_eq!(done.status, 303, "{}", done.body);
    let changed = raised(&collector, "203.0.113.5")?;
    assert_eq!(changed["state"], "acknowledged");
    assert_eq!(changed["changes"][0]["who"], "officer", "{changed}");

    let out = https::post(&collector, "/sign-out", &me, &[("csrf", csrf)])?;
    assert_eq!(out.status, 303);
    assert_eq!(https::get(&collector, "/alerts", &me)?.status, 303, "the session is over");
    Ok(())
}

#[test]
fn a_token_reads_what_its_scope_and_its_owners_role_allow() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let mut collector = site.collector("")?;
    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    sign_in(&collector, "watcher", "viewer")?;
    let narrow = token(&collector, "watcher", "siem", "alerts")?;
    let full = token(&collector, "watcher", "all", "full")?;
    attack(&log, "203.0.113.5")?;
    let alert = raised(&collector, "203.0.113.5")?;
    let id = alert["id"].as_str().expect("an id");

    let check = |collector: &Collector, bearer: &str, path: &str, expected: u16| {
        let answer = https::get(collector, path, &[("Authorization", bearer)])?;
        assert_eq!(answer.status, expected, "{path}: {}", answer.body);
        anyhow::Ok(answer)
    };
    let list = check(&collector, &narrow, "/api/v1/alerts", 200)?.json()?;
    let found = list["alerts"].as_array().expect("alerts");
    assert_eq!(found.len(), 1, "{list}");
    assert_eq!((&found[0]["id"], &found[0]["count"]), (&alert["id"], &alert["count"]));
    let next = list["next"].as_u64().expect("a cursor");
    let later = check(&collector, &narrow, &format!("/api/v1/alerts?after={next}"), 200)?.json()?;
    assert_eq!(later["alerts"].as_array().map(Vec::len), Some(0), "{later}");
    check(&collector, &narrow, "/api/v1/hosts", 403)?;
    check(&collector, &narrow, "/hosts", 303)?;
    let hosts = check(&collector, &full, "/api/v1/hosts", 200)?.json()?;
    assert_eq!(hosts["hosts"].as_array().map(Vec::len), Some(1), "{hosts}");
    let ocsf = check(&collector, &narrow, &format!("/api/v1/alerts/{id}?format=ocsf"), 200)?;
    assert_eq!(ocsf.json()?["class_uid"], 2004, "an OCSF Detection Finding: {}", ocsf.body);

    // A viewer's token can't do what a viewer can't.
    let ack = format!("/api/v1/alerts/{id}/ack");
    let answer = https::post(&collector, &ack, &[("Authorization", &full)], &[])?;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(raised(&collector, "203.0.113.5")?["state"], "new");

    collector.kill();
    collector.start()?;
    check(&collector, &narrow, "/api/v1/alerts", 200)?;
    collector.must(&["token", "revoke", "watcher", "siem"])?;
    check(&collector, &narrow, "/api/v1/alerts", 401)?;
    collector.must(&["user", "disable", "watcher"])?;
    check(&collector, &full, "/api/v1/alerts", 401)?;
    Ok(())
}

/// The next alert of a stream.
fn next(events: &mut Events) -> anyhow::Result<(u64, Value)> {
    let Event { id, event, data } = events.event()?.expect("the stream goes on");
    assert_eq!(event, "alert", "{data}");
    Ok((id.parse()?, serde_json::from_str(&data)?))
}

#[test]
fn the_live_feed_resumes_without_a_gap_after_the_collector_was_killed() -> anyhow::Result<()> {
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let mut collector = site.collector("")?;
    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    sign_in(&collector, "watcher", "viewer")?;
    let bearer = token(&collector, "watcher", "siem", "alerts")?;
    let stream = |collector: &Collector, last: Option<u64>| {
        let last = last.map(|last| last.to_string());
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(last.as_deref().map(|last| ("Last-Event-ID", last)));
        let mut events = Events::open(collector, "/api/v1/alerts/stream", &headers)?;
        let hello = events.event()?.expect("a greeting");
        assert_eq!(hello.event, "hello");
        if let Some(last) = last {
            assert_eq!(hello.id, last);
        }
        anyhow::Ok(events)
    };

    let mut live = stream(&collector, None)?;
    attack(&log, "203.0.113.5")?;
    let (first, alert) = next(&mut live)?;
    assert_eq!(alert["entity"]["value"], "203.0.113.5");
    raised(&collector, "203.0.113.5")?;

    collector.kill();
    while let Ok(Some(_)) = live.event() {}
    collector.start()?;
    // These come while nobody listens.
    for source in ["203.0.113.6", "203.0.113.7"] {
        attack(&log, source)?;
        raised(&collector, source)?;
    }
    let feed = collector_feed(&collector, &bearer)?;
    let missed: Vec<u64> = feed.iter().copied().filter(|seq| *seq > first).collect();
    assert!(missed.len() >= 2, "{feed:?}");

    let mut resumed = stream(&collector, Some(first))?;
    let mut about = Vec::new();
    for expected in &missed {
        let (seq, alert) = next(&mut resumed)?;
        assert_eq!(seq, *expected, "no gap and no repeat");
        about.push(alert["entity"]["value"].as_str().unwrap_or_default().to_owned());
    }
    assert!(about.contains(&"203.0.113.6".to_owned()), "{about:?}");
    assert!(about.contains(&"203.0.113.7".to_owned()), "{about:?}");
    // Caught up, it is live again; an orderly stop ends it.
    attack(&log, "203.0.113.8")?;
    let (seq, alert) = next(&mut resumed)?;
    assert!(seq > *missed.last().expect("some"));
    assert_eq!(alert["entity"]["value"], "203.0.113.8");
    raised(&collector, "203.0.113.8")?;
    collector.stop()?;
    while let Ok(Some(event)) = resumed.event() {
        assert_eq!(event.event, "alert");
    }
    Ok(())
}

/// Every sequence of the feed, from its beginning.
fn collector_feed(collector: &Collector, bearer: &str) -> anyhow::Result<Vec<u64>> {
    let newest = https::get(collector, "/api/v1/alerts?limit=1000", &[("Authorization", bearer)])?;
    let end = newest.json()?["next"].as_u64().expect("a cursor");
    let mut events =
        Events::open(collector, "/api/v1/alerts/stream?after=0", &[("Authorization", bearer)])?;
    assert_eq!(events.event()?.expect("a greeting").event, "hello");
    let mut feed = Vec::new();
    while feed.last() != Some(&end) {
        feed.push(next(&mut events)?.0);
    }
    Ok(feed)
}

/// One POST as a receiver sees it.
struct Delivered {
    signature: String,
    body: String,
}

/// Takes POSTs on a port of its own; answers 503 to the first and 204 to those after it.
fn receiver() -> anyhow::Result<(u16, mpsc::Receiver<Delivered>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let (sender, delivered) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let status = if number == 0 { "503 Later" } else { "204 Taken" };
            let taken = take(stream, status);
            if taken.ok().is_none_or(|taken| sender.send(taken).is_err()) {
                return;
            }
        }
    });
    Ok((port, delivered))
}

fn take(mut stream: TcpStream, status: &str) -> anyhow::Result<Delivered> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            match line.trim_end() {
                "" => break,
                request => {
                    assert!(request.starts_with("POST /hook?from=hengwei "), "{request}");
                    continue;
                }
            }
        };
        match name.to_lowercase().as_str() {
            "x-hengwei-signature" => signature = value.to_owned(),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
    Ok(Delivered { signature, body: String::from_utf8(body)? })
}

/// Checks the signature as a receiver should, and reads the message.
fn verified(secret: &[u8], delivered: &Delivered) -> anyhow::Result<Value> {
    let (time, mac) = delivered.signature.split_once(",v1=").expect("t=…,v1=…");
    let seconds: u64 = time.strip_prefix("t=").expect("t=…").parse()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    assert!(now.abs_diff(seconds) < 120, "signed at {seconds}, now {now}");
    let mac: Vec<u8> = (0..mac.len() / 2)
        .map(|at| u8::from_str_radix(&mac[2 * at..2 * at + 2], 16))
        .collect::<Result<_, _>>()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = format!("{seconds}.{}", delivered.body);
    assert!(hmac::verify(&key, signed.as_bytes(), &mac).is_ok(), "{}", delivered.signature);
    Ok(serde_json::from_str(&delivered.body)?)
}

#[test]
fn a_webhook_is_told_signed_and_again_until_it_takes_it() -> anyhow::Result<()> {
    const SECRET: &[u8] = b"a secret of the receiver";
    let site = Site::new()?;
    let log = site.path().join("logs/auth.log");
    let (port, delivered) = receiver()?;
    let secret = site.path().join("webhook.secret");
    write_secret(&secret, std::str::from_utf8(SECRET)?)?;
    let mut collector = site.collector(&format!(
        "\n[notify.webhook]\nurl = \"http://127.0.0.1:{port}/hook?from=hengwei\"\nsecret_file = {secret:?}\n"
    ))?;
    let _agent = collector.agent("agent", "regional-emr", &sources(&log))?;
    let told = |source: &str| loop {
        let one = delivered.recv_timeout(PATIENCE)?;
        let message = verified(SECRET, &one)?;
        let alert = &message["alert"];
        if alert["entity"]["value"] == source && alert["count"] == 5 {
            break anyhow::Ok(message);
        }
    };

    attack(&log, "203.0.113.5")?;
    // The first attempt was answered 503.
    let refused = verified(SECRET, &delivered.recv_timeout(PATIENCE)?)?;
    assert_eq!(refused["alert"]["entity"]["value"], "203.0.113.5");
    let message = told("203.0.113.5")?;
    let alert = raised(&collector, "203.0.113.5")?;
    assert_eq!(message["alert"]["id"], alert["id"]);
    assert_eq!(message["alert"]["rule"], alert["rule"]);

    // What is raised around a kill is told after it, behind what was told before.
    attack(&log, "203.0.113.6")?;
    collector.kill();
    std::thread::sleep(Duration::from_millis(100));
    collector.start()?;
    let later = told("203.0.113.6")?;
    assert!(later["seq"].as_u64() > message["seq"].as_u64(), "{later}");
    Ok(())
}

